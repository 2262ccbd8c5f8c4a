//! Counts, positions, alerts and acts: what `status` tells.

use super::{BatchState, Seq};
use crate::model::Ticks;

/// One adapter's batches in one state, summed up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchTotals {
    /// The adapter's name.
    pub adapter: String,
    /// The state.
    pub state: BatchState,
    /// How many batches.
    pub batches: u64,
    /// Their events (0 before they are rendered).
    pub events: u64,
    /// Their messages (0 before they are rendered).
    pub messages: u64,
}

/// One source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceRow {
    /// URI.
    pub source: String,
    /// Events kept, conflicts included.
    pub staged: u64,
    /// Events that were already there.
    pub duplicates: u64,
    /// Conflicts.
    pub conflicts: u64,
    /// Highest sequence seen on an event.
    pub last_sequence: Option<u64>,
    /// Highest sequence a heartbeat reported.
    pub heartbeat_sequence: Option<u64>,
    /// When it was last heard of.
    pub last_received: Ticks,
}

/// One adapter's cut position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdapterRow {
    /// Name.
    pub adapter: String,
    /// Last arrival number cut.
    pub cut_seq: Seq,
    /// End of the last interval.
    pub cut_at: Ticks,
}

/// An open alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertRow {
    /// What kind, e.g. `conflict`, `share-unavailable`.
    pub kind: String,
    /// What it is about.
    pub subject: String,
    /// The newest detail.
    pub detail: String,
    /// When it was opened.
    pub opened: Ticks,
    /// When it was last raised.
    pub last: Ticks,
    /// How often it was raised.
    pub count: u64,
}

/// An act of a person, to be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAct {
    /// When.
    pub at: Ticks,
    /// Who.
    pub who: String,
    /// What, e.g. `batch abandon`.
    pub verb: String,
    /// On what.
    pub subject: String,
    /// Why.
    pub reason: String,
}

/// A recorded act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActRow {
    /// Number.
    pub id: i64,
    /// The act.
    pub act: NewAct,
}

/// Totals for `status`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Events kept since the beginning.
    pub staged: u64,
    /// Duplicates since the beginning.
    pub duplicates: u64,
    /// Conflicts since the beginning.
    pub conflicts: u64,
    /// Events in staging now.
    pub waiting: u64,
    /// Quarantined items waiting now.
    pub quarantined: u64,
    /// Files captured and still referred to.
    pub files: u64,
}
