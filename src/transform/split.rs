//! A canonical document as documents of one conversation each, read as a stream.

use std::io::{self, BufRead};

use quick_xml::Reader;
use quick_xml::events::Event;

/// Why a document cannot be taken apart.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SplitError {
    /// It is no well-formed XML.
    #[error("the document is not well-formed: byte {at}: {reason}")]
    Malformed {
        /// The byte, from 0.
        at: u64,
        /// What is wrong.
        reason: String,
    },
    /// It is XML, but no canonical document.
    #[error("expected {expected} at byte {at}, found {found}")]
    Layout {
        /// The byte, from 0.
        at: u64,
        /// What should stand there.
        expected: &'static str,
        /// What stands there.
        found: String,
    },
    /// It cannot be read.
    #[error("cannot read the document")]
    Read(#[source] io::Error),
}

/// Gives the conversations of a canonical document one after the other, each in a document of its own: the XML
/// declaration and `Conversations` as they were, around one `Conversation`. Holds one conversation at a time.
///
/// White space and comments between conversations are left out. The input must be UTF-8.
pub struct ConversationDocuments<R: BufRead> {
    reader: Reader<R>,
    buffer: Vec<u8>,
    head: Vec<u8>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Before,
    Inside,
    After,
    Done,
}

impl<R: BufRead> ConversationDocuments<R> {
    /// Reads from a stream.
    pub fn new(input: R) -> Self {
        let mut reader = Reader::from_reader(input);
        reader.config_mut().check_end_names = true;
        Self { reader, buffer: Vec::new(), head: Vec::new(), state: State::Before }
    }

    fn read(&mut self) -> Result<Event<'static>, SplitError> {
        self.buffer.clear();
        let at = self.reader.buffer_position();
        match self.reader.read_event_into(&mut self.buffer) {
            Ok(event) => Ok(event.into_owned()),
            Err(quick_xml::Error::Io(error)) => Err(SplitError::Read(io::Error::other(error))),
            Err(error) => Err(SplitError::Malformed { at, reason: error.to_string() }),
        }
    }

    fn layout(&self, expected: &'static str, found: impl Into<String>) -> SplitError {
        SplitError::Layout { at: self.reader.buffer_position(), expected, found: found.into() }
    }

    fn next_document(&mut self) -> Result<Option<Vec<u8>>, SplitError> {
        loop {
            let event = self.read()?;
            match (self.state, &event) {
                (State::Before, Event::Decl(_)) => {
                    append(&mut self.head, &event);
                    self.head.push(b'\n');
                }
                (State::Before, Event::Start(tag)) if tag.name().as_ref() == "Conversations" => {
                    append(&mut self.head, &event);
                    self.state = State::Inside;
                }
                (State::Before, Event::Empty(tag)) if tag.name().as_ref() == "Conversations" => {
                    self.state = State::After
                }
                (State::Before, Event::DocType(_)) => return Err(self.layout("no document type", "one")),
                (State::Inside, Event::Start(tag)) if tag.name().as_ref() == "Conversation" => {
                    return self.conversation(&event).map(Some);
                }
                (State::Inside, Event::End(_)) => self.state = State::After,
                (State::After, Event::Eof) => return Ok(None),
                (_, Event::Comment(_) | Event::PI(_)) => {}
                (_, Event::Text(text)) if text.bytes().all(|byte| byte.is_ascii_whitespace()) => {}
                (State::Before, other) => return Err(self.layout("the element Conversations", named(other))),
                (State::Inside, other) => return Err(self.layout("an element Conversation", named(other))),
                (State::After | State::Done, other) => return Err(self.layout("the end of the document", named(other))),
            }
        }
    }

    /// Everything up to the end of the conversation that has just begun.
    fn conversation(&mut self, start: &Event<'_>) -> Result<Vec<u8>, SplitError> {
        let mut document = self.head.clone();
        append(&mut document, start);
        let mut depth = 1_usize;
        while depth > 0 {
            let event = self.read()?;
            match &event {
                Event::Start(_) => depth += 1,
                Event::End(_) => depth -= 1,
                Event::Eof => return Err(self.layout("the end of the conversation", named(&event))),
                _ => {}
            }
            append(&mut document, &event);
        }
        document.extend_from_slice(b"</Conversations>\n");
        Ok(document)
    }
}

impl<R: BufRead> Iterator for ConversationDocuments<R> {
    type Item = Result<Vec<u8>, SplitError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.state == State::Done {
            return None;
        }
        let next = self.next_document().transpose();
        if !matches!(next, Some(Ok(_))) {
            self.state = State::Done;
        }
        next
    }
}

/// Appends an event as it was written.
fn append(out: &mut Vec<u8>, event: &Event<'_>) {
    let (open, text, close): (&str, &str, &str) = match event {
        Event::Start(tag) => ("<", tag, ">"),
        Event::End(tag) => ("</", tag, ">"),
        Event::Empty(tag) => ("<", tag, "/>"),
        Event::Text(text) => ("", text, ""),
        Event::CData(text) => ("<![CDATA[", text, "]]>"),
        Event::Comment(text) => ("<!--", text, "-->"),
        Event::Decl(text) => ("<?", text, "?>"),
        Event::PI(text) => ("<?", text, "?>"),
        Event::GeneralRef(name) => ("&", name, ";"),
        Event::DocType(_) | Event::Eof => return,
    };
    out.extend_from_slice(open.as_bytes());
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(close.as_bytes());
}

fn named(event: &Event<'_>) -> String {
    match event {
        Event::Start(tag) | Event::Empty(tag) => format!("the element {}", tag.name().as_ref()),
        Event::End(tag) => format!("the end of {}", tag.name().as_ref()),
        Event::Eof => "the end of the file".into(),
        Event::Decl(_) => "an XML declaration".into(),
        Event::DocType(_) => "a document type".into(),
        _ => "text".into(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test should panic")]
    use super::*;

    fn split(text: &str) -> Result<Vec<String>, SplitError> {
        ConversationDocuments::new(text.as_bytes())
            .map(|one| one.map(|bytes| String::from_utf8(bytes).unwrap()))
            .collect()
    }

    #[test]
    fn each_conversation_becomes_a_document_byte_for_byte() {
        let head = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<Conversations xmlns:c=\"urn:chancery:1\">";
        let one = "<Conversation c:batch='1'><Channel uri=\"a &amp; b&#10;\"/><Messages><Message content=\"&lt;>\"/></Messages></Conversation>";
        let two = "<Conversation ><!-- x --><Channel  uri='b'/></Conversation>";
        let document = format!("{head}{one}\n  <!-- between -->{two}</Conversations>\n");
        let wanted: Vec<String> = [one, two].map(|xml| format!("{head}{xml}</Conversations>\n")).into();
        assert_eq!(split(&document).unwrap(), wanted);
        assert!(split("<Conversations/>").unwrap().is_empty());
        assert!(split(&format!("{head}</Conversations>\n")).unwrap().is_empty());
    }

    #[test]
    fn what_is_no_canonical_document_is_named() {
        for (text, part) in [
            ("<FileDump/>", "the element Conversations at byte"),
            ("<Conversations>words</Conversations>", "found text"),
            ("<Conversations><Message/></Conversations>", "the element Message"),
            ("<Conversations><Conversation>", "the end of the conversation"),
            ("<Conversations><Conversation></Channel></Conversation></Conversations>", "not well-formed"),
            ("<Conversations></Conversations><more/>", "the end of the document"),
            ("<!DOCTYPE Conversations><Conversations/>", "no document type"),
            ("", "the element Conversations"),
        ] {
            let error = split(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
        // After an error there is nothing more.
        let mut documents = ConversationDocuments::new("<x/>".as_bytes());
        assert!(documents.next().unwrap().is_err());
        assert!(documents.next().is_none());
    }
}
