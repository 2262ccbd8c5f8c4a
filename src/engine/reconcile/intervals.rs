//! One line for each batch: what it was cut from, and where its events stand.

use serde::Serialize;

use super::AdapterLine;
use crate::staging::{BatchId, BatchRow};

/// events = messages + signals + left out, once the batch is rendered; each event counts in one of the last six columns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IntervalLine {
    /// The adapter.
    pub adapter: String,
    /// When the interval begins, in UTC.
    pub start: String,
    /// When it ends.
    pub end: String,
    /// The batch's number.
    pub batch: BatchId,
    /// The batch whose conversations these are, for a supplement.
    pub supplement_to: Option<BatchId>,
    /// For a supplement of files: the batch that it completes. It repeats messages and has no events of its own.
    pub completes: Option<BatchId>,
    /// Where it stands.
    pub state: &'static str,
    /// Its events that have a room.
    pub events: u64,
    /// Of these: messages, once it is rendered.
    pub messages: u64,
    /// Events that make no message by design.
    pub signals: u64,
    /// Messages for which the dialect or the transform has no place.
    pub left_out: u64,
    /// Messages written once more, now with the file that had been missing.
    pub completed: u64,
    /// Events that wait to be written.
    pub waiting: u64,
    /// Events written that wait for the archive.
    pub on_share: u64,
    /// Events written that the archive has taken.
    pub collected: u64,
    /// Events that could not be rendered and are tried again.
    pub failed: u64,
    /// Events that a person gave up.
    pub abandoned: u64,
}

impl IntervalLine {
    /// The line of a batch; `counted` is what it alone adds to its adapter's line.
    pub(super) fn of(batch: &BatchRow, counted: &AdapterLine) -> Self {
        let AdapterLine { waiting, on_share, collected, failed, abandoned, .. } = *counted;
        Self {
            adapter: batch.adapter.clone(),
            start: batch.interval_start.iso(),
            end: batch.interval_end.iso(),
            batch: batch.id,
            supplement_to: batch.supplement_to,
            completes: batch.completes,
            state: batch.state.as_str(),
            events: waiting + on_share + collected + failed + abandoned,
            messages: batch.counts.messages,
            signals: batch.counts.signals,
            left_out: batch.counts.left_out,
            completed: batch.counts.completed,
            waiting,
            on_share,
            collected,
            failed,
            abandoned,
        }
    }
}
