//! From packaging documents to mails and archives: what a stylesheet cannot write, because it is not XML.
//!
//! A stylesheet decides the content, and says in a small XML document (`docs/packaging.md`, `schemas/package.xsd`)
//! which headers, bodies and attachments make up each file. This module turns that into bytes as they go out:
//! attachments stream through, texts are held one at a time.
//!
//! Packaging is a function of the document and the attachments: boundaries and message ids are digests, times
//! in archives come from the document. The same input gives the same bytes.

mod archive;
mod cursor;
mod encode;
mod error;
mod header;
mod html;
mod journal;
mod mail;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::io::{self, Read, Write};

pub use error::PackageError;

use cursor::{Cursor, Element};

/// The namespace of packaging documents.
pub const NAMESPACE: &str = "urn:chancery:package:1";

/// The media type by which a stylesheet tells, in `xsl:output`, that it writes a packaging document.
pub const MEDIA_TYPE: &str = "application/vnd.chancery.package+xml";

/// Bytes of an attachment that are held in memory.
const COPIED_AT_ONCE: usize = 64 * 1024;

/// The bytes of an attachment.
pub struct Attachment {
    /// How many bytes there are.
    pub size: u64,
    /// The bytes.
    pub bytes: Box<dyn Read>,
}

/// Where attachments are read from: a function from the name on the share to the bytes.
pub trait Attachments {
    /// Opens an attachment.
    ///
    /// # Errors
    /// When there is none of that name, or it cannot be read.
    fn open(&self, name: &str) -> io::Result<Attachment>;
}

impl<F: Fn(&str) -> io::Result<Attachment>> Attachments for F {
    fn open(&self, name: &str) -> io::Result<Attachment> {
        self(name)
    }
}

/// Where the files go. The receiver names them: it alone knows which names are free on the share.
pub trait Files {
    /// A file being written.
    type File: Write;

    /// Begins a file; its name should end in the extension (letters and digits, without a point).
    ///
    /// # Errors
    /// When it cannot be created.
    fn create(&mut self, extension: &str) -> io::Result<Self::File>;

    /// Takes a file that is complete.
    ///
    /// # Errors
    /// When it cannot be completed.
    fn complete(&mut self, file: Self::File, contents: Contents) -> io::Result<()>;
}

/// What went into a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// The attachments that the file holds, by their names on the share.
    pub attachments: BTreeSet<String>,
}

/// Writes the files of a packaging document, in its order.
///
/// # Errors
/// When the document is none, an attachment cannot be read, or a file cannot be written. Files that were begun and not
/// handed to [`Files::complete`] are incomplete.
pub fn write<F: Files>(document: &[u8], attachments: &dyn Attachments, files: &mut F) -> Result<(), PackageError> {
    let mut cursor = Cursor::open(document)?;
    let root = cursor.root("package")?;
    root.only(&[])?;
    while let Some(element) = cursor.child(&root)? {
        element.expect(&["file"])?;
        element.only(&["extension"])?;
        let extension = extension(&element)?;
        let out = files.create(extension).map_err(PackageError::Output)?;
        let mut pass = Pass { cursor: &mut cursor, attachments, contents: Contents::default() };
        let out = pass.file(&element, out)?;
        let contents = pass.contents;
        files.complete(out, contents).map_err(PackageError::Output)?;
    }
    cursor.finish()
}

/// The pass over one file.
struct Pass<'p, 'd> {
    cursor: &'p mut Cursor<'d>,
    attachments: &'p dyn Attachments,
    contents: Contents,
}

impl Pass<'_, '_> {
    /// Writes the one element that a file consists of.
    fn file<W: Write>(&mut self, file: &Element, mut out: W) -> Result<W, PackageError> {
        let content = self.cursor.child(file)?.ok_or_else(|| file.lacks("one of mail, zip and text"))?;
        match content.name() {
            "mail" => mail::write(self, &content, &mut out)?,
            "zip" => archive::write(self, &content, &mut out)?,
            "text" => {
                content.only(&[])?;
                let text = self.cursor.text(&content)?;
                out.write_all(text.as_bytes()).map_err(PackageError::Output)?;
            }
            _ => return Err(content.unexpected("one of mail, zip and text")),
        }
        match self.cursor.child(file)? {
            Some(second) => Err(second.unexpected("the end of file: it holds one element")),
            None => Ok(out),
        }
    }

    /// Opens an attachment and remembers that the file holds it.
    fn attachment(&mut self, element: &Element, name: &str) -> Result<Attachment, PackageError> {
        let attachment = self.attachments.open(name).map_err(|source| unreadable(element, name, source))?;
        self.contents.attachments.insert(name.to_owned());
        Ok(attachment)
    }
}

/// Copies an attachment; tells one that cannot be read from a file that cannot be written.
fn copy(attachment: &mut Attachment, out: &mut impl Write, element: &Element, name: &str) -> Result<(), PackageError> {
    let mut buffer = vec![0; COPIED_AT_ONCE];
    loop {
        match attachment.bytes.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => out.write_all(&buffer[..read]).map_err(PackageError::Output)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(unreadable(element, name, error)),
        }
    }
}

fn unreadable(element: &Element, name: &str, source: io::Error) -> PackageError {
    PackageError::Attachment { line: element.line(), name: name.to_owned(), source }
}

fn extension(file: &Element) -> Result<&str, PackageError> {
    let extension = file.required("extension")?;
    let plain = !extension.is_empty() && extension.len() <= 16 && extension.bytes().all(|b| b.is_ascii_alphanumeric());
    if plain { Ok(extension) } else { Err(file.value("extension", "1 to 16 letters and digits")) }
}
