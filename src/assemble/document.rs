//! A whole canonical document: the root around any number of conversations.

use std::io::{self, Write};

use super::dialect::{DOCUMENT_CLOSE, document_open};
use super::text::{ConversationPart, ConversationText};
use crate::config::Dialect;

/// Writes conversations into one document.
///
/// A document that is dropped before [`CanonicalWriter::finish`] lacks its end and is not well-formed.
#[derive(Debug)]
pub struct CanonicalWriter<W: Write> {
    out: W,
}

impl<W: Write> CanonicalWriter<W> {
    /// Begins a document.
    ///
    /// # Errors
    /// Whatever `out` says.
    pub fn begin(mut out: W, dialect: Dialect) -> io::Result<Self> {
        out.write_all(document_open(dialect).as_bytes())?;
        Ok(Self { out })
    }

    /// Adds a conversation, or a part of one.
    ///
    /// # Errors
    /// Whatever `out` says, or that the conversation's scratch file cannot be read.
    pub fn conversation(&mut self, text: &ConversationText, part: &ConversationPart) -> io::Result<()> {
        text.write(part, &mut self.out)
    }

    /// Ends the document, flushes, and gives `out` back.
    ///
    /// # Errors
    /// Whatever `out` says.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.write_all(DOCUMENT_CLOSE.as_bytes())?;
        self.out.flush()?;
        Ok(self.out)
    }
}
