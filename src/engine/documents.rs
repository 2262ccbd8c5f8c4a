//! From conversations to files: which conversation goes into which document, through which transform.
//!
//! Runs on a blocking thread. Without a transform or schema, conversations stream straight into the
//! file; with one, a document is held whole, because a stylesheet sees it whole.

use std::io::Write as _;

use tokio::runtime::Handle;

use super::EngineError;
use super::share::{LaneDraft, LaneFile};
use crate::assemble::{CanonicalWriter, RenderedConversation};
use crate::config::{Adapter, Dialect};
use crate::pickup::{BatchNames, Compression, Extension, PickupError};
use crate::staging::{OutputKind, OutputRow};
use crate::support::durable::WithPath as _;
use crate::support::step::{Step, reached};
use crate::transform::{OutputMethod, TransformError, Transformer};

/// Why a document could not be made.
pub(super) enum DocumentError {
    /// The share or vault refused; the batch is rendered again later.
    Engine(EngineError),
    /// The stylesheet or schema refused; the batch is set aside.
    Transform(TransformError),
}

/// The outputs of one batch, being written.
pub(super) struct Documents<'a> {
    adapter: &'a Adapter,
    draft: &'a LaneDraft,
    names: &'a BatchNames,
    transformer: Option<&'a Transformer>,
    handle: Handle,
    open: Option<Open>,
    rooms: u64,
    finished: Vec<OutputRow>,
}

/// A document that has begun.
struct Open {
    sink: Sink,
    name: String,
    messages: u64,
}

enum Sink {
    File(CanonicalWriter<LaneFile>),
    Memory(CanonicalWriter<Vec<u8>>),
}

impl<'a> Documents<'a> {
    pub(super) fn new(
        adapter: &'a Adapter,
        draft: &'a LaneDraft,
        names: &'a BatchNames,
        transformer: Option<&'a Transformer>,
        handle: Handle,
    ) -> Self {
        Self { adapter, draft, names, transformer, handle, open: None, rooms: 0, finished: Vec::new() }
    }

    /// Adds a conversation to the document it belongs to.
    pub(super) fn add(&mut self, conversation: &RenderedConversation) -> Result<(), DocumentError> {
        let Some(xml) = &conversation.xml else { return Ok(()) };
        reached(Step::Rendered);
        self.rooms += 1;
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.begin()?,
        };
        match &mut open.sink {
            Sink::File(writer) => writer.conversation(xml),
            Sink::Memory(writer) => writer.conversation(xml),
        }
        .at("write", self.draft.dir())
        .map_err(pickup)?;
        open.messages += conversation.counts.messages;
        if self.adapter.one_room_per_file {
            return self.finish_document(open);
        }
        self.open = Some(open);
        Ok(())
    }

    /// Completes the last document and gives the files, in order.
    pub(super) fn finish(mut self) -> Result<Vec<OutputRow>, DocumentError> {
        if let Some(open) = self.open.take() {
            self.finish_document(open)?;
        }
        Ok(self.finished)
    }

    fn begin(&self) -> Result<Open, DocumentError> {
        let name = self.name();
        let dialect: Dialect = self.adapter.dialect;
        let sink = if self.transformer.is_some() {
            CanonicalWriter::begin(Vec::new(), dialect).map(Sink::Memory)
        } else {
            CanonicalWriter::begin(self.create(&name)?, dialect).map(Sink::File)
        };
        let sink = sink.at("write", self.draft.dir()).map_err(pickup)?;
        Ok(Open { sink, name, messages: 0 })
    }

    fn name(&self) -> String {
        // Without a stylesheet the transformer only checks a schema, and the document stays XML.
        let transformer = self.transformer.filter(|_| self.adapter.transform.is_some());
        let extension = match transformer.map(Transformer::method) {
            Some(OutputMethod::Html) => Extension::Html,
            Some(OutputMethod::Text) => Extension::Text,
            Some(OutputMethod::Xml) | None => Extension::Xml,
        };
        if self.adapter.one_room_per_file {
            self.names.room_output(self.rooms, extension, self.adapter.compress)
        } else {
            self.names.output(extension, self.adapter.compress)
        }
    }

    fn create(&self, name: &str) -> Result<LaneFile, DocumentError> {
        let compression = if self.adapter.compress { Compression::Zstd } else { Compression::None };
        self.draft.create(name, compression).map_err(pickup)
    }

    fn finish_document(&mut self, open: Open) -> Result<(), DocumentError> {
        let file = match open.sink {
            Sink::File(writer) => writer.finish().at("write", self.draft.dir()).map_err(pickup)?,
            Sink::Memory(writer) => {
                let document = writer.finish().at("write", self.draft.dir()).map_err(pickup)?;
                let bytes = self.transformed(document).map_err(DocumentError::Transform)?;
                let mut file = self.create(&open.name)?;
                file.write_all(&bytes).at("write", self.draft.dir()).map_err(pickup)?;
                file
            }
        };
        self.finished.push(file.finish(OutputKind::Output, 0, open.messages).map_err(pickup)?);
        Ok(())
    }

    fn transformed(&self, document: Vec<u8>) -> Result<Vec<u8>, TransformError> {
        match self.transformer {
            Some(transformer) if self.adapter.transform.is_some() => {
                let transformed = self.handle.block_on(transformer.transform(&document))?;
                reached(Step::Transformed);
                for message in &transformed.messages {
                    tracing::warn!(adapter = self.adapter.name, message, "the stylesheet says");
                }
                Ok(transformed.bytes)
            }
            Some(transformer) => self.handle.block_on(transformer.validate(&document)).map(|()| document),
            None => Ok(document),
        }
    }
}

fn pickup(error: impl Into<PickupError>) -> DocumentError {
    DocumentError::Engine(EngineError::Pickup(error.into()))
}
