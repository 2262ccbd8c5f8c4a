//! The files of a batch: their names, their order, and the attachments manifest beside each.

use std::io::{self, Write};

use super::super::share::{LaneDraft, LaneFile};
use super::DocumentError;
use crate::assemble::{FileRef, attachments_manifest};
use crate::config::Adapter;
use crate::pickup::{BatchNames, Compression, OutputPlace};
use crate::staging::{OutputKind, OutputRow};
use crate::transform::Transformer;

/// Bytes that stand around the conversations of a document, at most.
pub(super) const DOCUMENT_FRAME_MAX: u64 = 512;

/// Names and makes the files of a batch.
pub(super) struct Files<'a> {
    adapter: &'a Adapter,
    draft: &'a LaneDraft,
    names: &'a BatchNames,
    extension: &'static str,
    /// Whether a batch, or a room of it, may have several files.
    several: bool,
    room: u64,
    number: u64,
    made: Vec<OutputRow>,
}

/// A file being written.
pub(super) struct OpenFile {
    file: LaneFile,
    name: String,
    place: OutputPlace,
    /// Bytes written, before compression.
    pub(super) bytes: u64,
}

/// How far the files of a batch had come, to go back to.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    made: usize,
    room: u64,
    number: u64,
}

impl<'a> Files<'a> {
    pub(super) fn new(
        adapter: &'a Adapter,
        draft: &'a LaneDraft,
        names: &'a BatchNames,
        transformer: Option<&Transformer>,
        several: bool,
    ) -> Self {
        // Without a stylesheet the transformer only checks a schema, and the document stays XML.
        let transformer = transformer.filter(|_| adapter.transform.is_some());
        let extension = transformer.map_or("xml", extension);
        let several = several || adapter.max_file_size.is_some();
        Self { adapter, draft, names, extension, several, room: 0, number: 0, made: Vec::new() }
    }

    /// The files that are complete.
    pub(super) fn made(&self) -> &[OutputRow] {
        &self.made
    }

    pub(super) fn into_made(self) -> Vec<OutputRow> {
        self.made
    }

    /// Where the files lie, for errors.
    pub(super) fn dir(&self) -> &std::path::Path {
        self.draft.dir()
    }

    /// The files that follow are those of the next room, where each room has its own.
    pub(super) fn next_room(&mut self) {
        if self.adapter.one_room_per_file {
            self.room += 1;
            self.number = 0;
        }
    }

    /// Begins the next file.
    pub(super) fn create(&mut self) -> Result<OpenFile, DocumentError> {
        self.create_as(self.extension)
    }

    /// As [`Self::create`], with another extension than the stylesheet's.
    pub(super) fn create_as(&mut self, extension: &str) -> Result<OpenFile, DocumentError> {
        self.number += 1;
        let place = OutputPlace {
            room: self.adapter.one_room_per_file.then_some(self.room),
            number: self.several.then_some(self.number),
        };
        let name = self.names.output(place, extension, self.adapter.compress);
        let compression = if self.adapter.compress { Compression::Zstd } else { Compression::None };
        let file = self.draft.create(&name, compression)?;
        Ok(OpenFile { file, name, place, bytes: 0 })
    }

    /// Takes a file that is complete. `files`: the uploaded files that its messages speak of.
    pub(super) fn complete<'f>(
        &mut self,
        open: OpenFile,
        messages: u64,
        files: impl IntoIterator<Item = &'f FileRef>,
    ) -> Result<(), DocumentError> {
        let OpenFile { file, name, place, .. } = open;
        if self.adapter.attachments_manifest {
            let manifest = attachments_manifest(&name, files);
            let mut beside = self.draft.create(&self.names.attachments_manifest(place), Compression::None)?;
            beside.write_all(&manifest).map_err(|error| DocumentError::writing(error, self.draft.dir()))?;
            self.made.push(beside.finish(OutputKind::AttachmentsManifest, 0, 0)?);
        }
        self.made.push(file.finish(OutputKind::Output, 0, messages)?);
        Ok(())
    }

    pub(super) fn mark(&self) -> Mark {
        Mark { made: self.made.len(), room: self.room, number: self.number }
    }

    /// Deletes the files that were completed since.
    pub(super) fn back_to(&mut self, mark: Mark) -> Result<(), DocumentError> {
        for file in self.made.drain(mark.made..) {
            self.draft.remove(&file.name)?;
        }
        (self.room, self.number) = (mark.room, mark.number);
        Ok(())
    }
}

impl Write for OpenFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// How the names of what a stylesheet writes end: by the media type it names, else by its method.
fn extension(transformer: &Transformer) -> &'static str {
    let media_type = transformer.media_type().unwrap_or_default();
    match media_type.split(';').next().unwrap_or_default().trim() {
        "text/csv" => "csv",
        "application/x-ndjson" | "application/jsonl" => "jsonl",
        "application/json" => "json",
        "text/html" => "html",
        "text/xml" | "application/xml" => "xml",
        _ => transformer.method().extension(),
    }
}
