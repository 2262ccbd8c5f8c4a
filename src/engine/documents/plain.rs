//! Canonical XML, streamed: of a conversation never more than its scratch file's buffer is in memory.

use super::files::OpenFile;
use super::{DocumentError, Entry, Pass};
use crate::assemble::{CanonicalWriter, FileRef};

/// The document being written.
#[derive(Default)]
pub(super) struct Plain {
    open: Option<Open>,
}

struct Open {
    writer: CanonicalWriter<OpenFile>,
    bytes: u64,
    messages: u64,
    files: Vec<FileRef>,
}

impl Plain {
    pub(super) fn add(&mut self, entry: Entry, pass: &mut Pass<'_>) -> Result<(), DocumentError> {
        pass.files.next_room();
        for part in entry.text.parts(pass.canonical_max()) {
            let bytes = entry.text.bytes(&part);
            if self.open.as_ref().is_some_and(|open| open.bytes.saturating_add(bytes) > pass.canonical_max()) {
                self.close(pass)?;
            }
            let mut open = match self.open.take() {
                Some(open) => open,
                None => begin(pass)?,
            };
            let written = open.writer.conversation(&entry.text, &part);
            written.map_err(|error| DocumentError::writing(error, pass.files.dir()))?;
            open.bytes += bytes;
            open.messages += part.messages.len() as u64;
            open.files.extend(entry.files.iter().filter(|file| part.messages.contains(&file.message)).cloned());
            self.open = Some(open);
        }
        if pass.means.adapter.one_room_per_file {
            self.close(pass)?;
        }
        pass.written(entry, 0, |_| false);
        Ok(())
    }

    pub(super) fn finish(&mut self, pass: &mut Pass<'_>) -> Result<(), DocumentError> {
        self.close(pass)
    }

    fn close(&mut self, pass: &mut Pass<'_>) -> Result<(), DocumentError> {
        let Some(Open { writer, messages, files, .. }) = self.open.take() else { return Ok(()) };
        let file = writer.finish().map_err(|error| DocumentError::writing(error, pass.files.dir()))?;
        pass.files.complete(file, messages, &files)
    }
}

fn begin(pass: &mut Pass<'_>) -> Result<Open, DocumentError> {
    let file = pass.files.create()?;
    let writer = CanonicalWriter::begin(file, pass.means.adapter.dialect);
    let writer = writer.map_err(|error| DocumentError::writing(error, pass.files.dir()))?;
    Ok(Open { writer, bytes: 0, messages: 0, files: Vec::new() })
}
