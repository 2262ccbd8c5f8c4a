//! Conversations that are being transformed, several at once, and come back in their order.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio_util::task::AbortOnDropHandle;

use super::fault::Fault;
use super::split::{self, Rendering, heard};
use super::{DocumentError, Entry, Means};
use crate::engine::EngineError;
use crate::transform::{Limits, Part, TransformError, Transformed, Transformer};

/// Conversations on their way through the stylesheet.
pub(super) struct Queue {
    pub(super) transformer: Arc<Transformer>,
    waiting: VecDeque<Waiting>,
}

struct Waiting {
    entry: Entry,
    part: Part,
    task: AbortOnDropHandle<Result<Transformed, TransformError>>,
}

/// A conversation that has come back.
pub(super) struct Settled {
    pub(super) entry: Entry,
    /// As which part of a document it was transformed.
    pub(super) part: Part,
    pub(super) result: Result<Rendering, Fault>,
}

impl Queue {
    pub(super) fn new(transformer: Arc<Transformer>) -> Self {
        Self { transformer, waiting: VecDeque::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Sends a conversation on its way.
    pub(super) fn send(&mut self, entry: Entry, part: Part, means: &Means<'_>) -> Result<(), DocumentError> {
        let document = split::document(&entry, &entry.text.whole(), means)?;
        let check = means.adapter.schema.is_some();
        let transformer = Arc::clone(&self.transformer);
        let task = means.handle.spawn(async move {
            let transformed = transformer.transform_part(&document, part).await?;
            if check {
                transformer.validate(&transformed.bytes).await?;
            }
            Ok(transformed)
        });
        self.waiting.push_back(Waiting { entry, part, task: AbortOnDropHandle::new(task) });
        Ok(())
    }

    /// The conversation that was sent first, if so many are under way that no worker is idle, or `all` must come back.
    pub(super) fn next(&mut self, all: bool, means: &Means<'_>) -> Result<Option<Settled>, DocumentError> {
        let workers = Limits::of(&means.adapter.limits).workers;
        if !all && self.waiting.len() <= workers {
            return Ok(None);
        }
        let Some(Waiting { entry, part, task }) = self.waiting.pop_front() else { return Ok(None) };
        let result = match means.handle.block_on(task) {
            Ok(Ok(transformed)) => Ok(heard(transformed, &means.adapter.name)),
            Ok(Err(error)) => Err(error.into()),
            Err(panic) => return Err(EngineError::TaskPanicked { detail: panic.to_string() }.into()),
        };
        Ok(Some(Settled { entry, part, result }))
    }
}
