//! Each conversation by itself through the stylesheet, several at once, the results joined in their order: memory does
//! not grow with the interval.
//!
//! With a schema, each result is checked by itself, which tells whose fault it is, and the joined document as a
//! whole, for which it is held in memory.

use std::io::{self, Write};
use std::sync::Arc;

use super::fault::Fault;
use super::files::{Mark, OpenFile};
use super::queue::{Queue, Settled};
use super::split::{self, Rendering, heard};
use super::{DocumentError, Entry, Pass};
use crate::assemble::FileRef;
use crate::transform::{Joiner, Part, Transformer};

/// The document being written.
pub(super) struct Joined {
    queue: Queue,
    open: Option<Open>,
}

struct Open {
    joiner: Joiner<Sink>,
    /// Where the files stood before.
    before: Mark,
    conversations: usize,
    bytes: u64,
    messages: u64,
    files: Vec<FileRef>,
}

/// Where the joined document goes.
struct Sink {
    file: OpenFile,
    /// The document, where it must be checked before it is written.
    held: Option<Vec<u8>>,
}

impl Joined {
    pub(super) fn new(transformer: Arc<Transformer>) -> Self {
        Self { queue: Queue::new(transformer), open: None }
    }

    pub(super) fn add(&mut self, entry: Entry, pass: &mut Pass<'_>) -> Result<(), DocumentError> {
        if entry.text.bytes(&entry.text.whole()) > pass.canonical_max() {
            self.finish(pass)?;
            return split::write(entry, pass);
        }
        let part = self.part(pass);
        self.queue.send(entry, part, &pass.means)?;
        self.settle(false, pass)
    }

    pub(super) fn finish(&mut self, pass: &mut Pass<'_>) -> Result<(), DocumentError> {
        self.settle(true, pass)?;
        self.close(pass)
    }

    /// Which part the next conversation will be, if all that are under way succeed and fit.
    fn part(&self, pass: &Pass<'_>) -> Part {
        let tells = self.queue.transformer.declared().iter().any(|name| name == Part::PARAMETER);
        let first = self.open.is_none() && self.queue.is_empty();
        if first || !tells || pass.means.adapter.one_room_per_file { Part::First } else { Part::Next }
    }

    fn settle(&mut self, all: bool, pass: &mut Pass<'_>) -> Result<(), DocumentError> {
        while let Some(Settled { entry, part, result }) = self.queue.next(all, &pass.means)? {
            match result {
                Ok(rendering) if rendering.bytes.len() as u64 > pass.bytes_max() => {
                    self.close(pass)?;
                    split::write(entry, pass)?;
                }
                Ok(rendering) => self.place(entry, part, rendering, pass)?,
                Err(fault) => pass.set_aside(&entry, fault)?,
            }
        }
        Ok(())
    }

    /// Puts a result into the document it belongs to.
    fn place(
        &mut self,
        entry: Entry,
        part: Part,
        rendering: Rendering,
        pass: &mut Pass<'_>,
    ) -> Result<(), DocumentError> {
        let bytes = rendering.bytes.len() as u64;
        if self.open.as_ref().is_some_and(|open| open.bytes.saturating_add(bytes) > pass.bytes_max()) {
            self.close(pass)?;
        }
        // It was to follow conversations that failed, or that filled the file before.
        let rendering = match part {
            Part::Next if self.open.is_none() => match self.again_as_first(&entry, pass) {
                // What stands once in a file can be what is too much.
                Ok(first) if first.bytes.len() as u64 > pass.bytes_max() => return split::write(entry, pass),
                Ok(first) => first,
                Err(fault) => return pass.set_aside(&entry, fault),
            },
            _ => rendering,
        };
        let open = match &mut self.open {
            Some(open) => open,
            None => self.open.insert(begin(&self.queue.transformer, pass)?),
        };
        if let Err(error) = open.joiner.add(&entry.room_uri, &rendering.bytes) {
            let (fault, before) = (Fault::joining(error, pass.files.dir()), open.before);
            if open.conversations == 0 {
                // The file must not stay behind empty, nor its number be missing.
                self.open = None;
                pass.files.back_to(before)?;
            }
            return pass.set_aside(&entry, fault);
        }
        open.conversations += 1;
        open.bytes += rendering.bytes.len() as u64;
        open.messages += entry.counts.messages.saturating_sub(rendering.left_out);
        open.files.extend(entry.files.iter().cloned());
        pass.written(entry, rendering.left_out, |_| false);
        if pass.means.adapter.one_room_per_file { self.close(pass) } else { Ok(()) }
    }

    fn close(&mut self, pass: &mut Pass<'_>) -> Result<(), DocumentError> {
        let Some(Open { joiner, messages, files, .. }) = self.open.take() else { return Ok(()) };
        let joined = joiner.finish().map_err(|error| match Fault::joining(error, pass.files.dir()) {
            Fault::Batch(error) => error,
            Fault::Conversation { reason, .. } => DocumentError::batch(reason),
        })?;
        let Sink { mut file, held } = joined;
        if let Some(document) = held {
            self.check(&document, pass)?;
            file.write_all(&document).map_err(|error| DocumentError::writing(error, pass.files.dir()))?;
        }
        pass.files.complete(file, messages, &files)
    }

    fn again_as_first(&self, entry: &Entry, pass: &Pass<'_>) -> Result<Rendering, Fault> {
        let document = split::document(entry, &entry.text.whole(), &pass.means)?;
        let transforming = self.queue.transformer.transform_part(&document, Part::First);
        Ok(heard(pass.means.handle.block_on(transforming)?, &pass.means.adapter.name))
    }

    /// Asks the schema about a joined document of which each conversation follows it by itself.
    fn check(&self, document: &[u8], pass: &Pass<'_>) -> Result<(), DocumentError> {
        match pass.means.handle.block_on(self.queue.transformer.validate(document)).map_err(Fault::from) {
            Ok(()) => Ok(()),
            Err(Fault::Batch(error)) => Err(error),
            Err(Fault::Conversation { reason, .. }) => Err(DocumentError::batch(format!(
                "each conversation follows the schema, but not all together: {reason}; mend the stylesheet or the schema, or set one_room_per_file = true"
            ))),
        }
    }
}

fn begin(transformer: &Transformer, pass: &mut Pass<'_>) -> Result<Open, DocumentError> {
    let before = pass.files.mark();
    pass.files.next_room();
    let sink = Sink { file: pass.files.create()?, held: pass.means.adapter.schema.as_ref().map(|_| Vec::new()) };
    let joiner = Joiner::new(sink, transformer.form().clone());
    Ok(Open { joiner, before, conversations: 0, bytes: 0, messages: 0, files: Vec::new() })
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.held {
            Some(held) => held.write(bytes),
            None => self.file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
