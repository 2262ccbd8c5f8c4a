//! The attachments manifest: which files the messages of one output speak of, and what became of each.
//!
//! The original product wrote extra files with the ending `.ATTACH`, whose content is published nowhere. This one is
//! ours: `schemas/attachments.xsd`.

use super::captures::{CapturedFile, FileRef};
use super::xml::{Originals, XmlOut};
use crate::model::Text;

/// The manifest of the output `output`: a document with an element for each file that its messages speak of, in their
/// order. A copy that several messages speak of stands there as often.
pub fn attachments_manifest<'f>(output: &str, files: impl IntoIterator<Item = &'f FileRef>) -> Vec<u8> {
    let mut out = XmlOut::new(Originals::Kept);
    out.raw(b"<?xml version=\"1.0\" encoding=\"utf-8\"?>\n");
    out.start("c:Attachments");
    out.word("xmlns:c", "urn:chancery:1");
    out.word("output", output);
    out.open();
    for file in files {
        out.raw(b"\n  ");
        attachment(&mut out, file);
    }
    out.raw(b"\n");
    out.end("c:Attachments");
    out.raw(b"\n");
    out.into_bytes()
}

fn attachment(out: &mut XmlOut, file: &FileRef) {
    out.start("c:Attachment");
    match &file.outcome {
        CapturedFile::Stored { name, sha256, size, mismatch } => {
            out.text("name", &Text::from(name.as_str()));
            out.plain("size", size);
            out.word("sha256", &hex::encode(sha256));
            if *mismatch {
                out.word("mismatch", "true");
            }
        }
        CapturedFile::Missing { reason } => out.text("missing", &Text::from(reason.as_str())),
    }
    out.known("originalName", file.original_name.as_ref());
    out.known("mediaType", file.media_type.as_ref());
    out.text("source", &Text::from(&*file.source));
    out.text("event", &Text::from(file.event.as_str()));
    out.close_empty();
}
