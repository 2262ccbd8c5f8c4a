//! The rows staging takes in and gives out. Plain values, no behaviour beyond their own invariants.

mod balance;
mod batches;
mod events;
mod evidence;
mod files;
mod holds;
mod overview;
mod quarantine;
mod sequences;

pub use balance::{KnownEvent, RoomBalance, RoomHour, SourceBalance};
pub use batches::{
    BatchCounts, BatchFilter, BatchRow, BatchState, BatchStep, By, Lease, NewCut, RenderedBatch, SetAside, Supplement,
    Workplace,
};
pub use events::{Arrivals, NewEvent, Staged, StagedEvent};
pub use evidence::{CopyRow, LogEntry, LogSize, RoomlessEvent, Uncopied};
pub use files::{
    Capture, CaptureRow, GiverRow, LateFiles, ListedFile, OutputKind, OutputRow, OwedFile, PendingFile, PostponedFile,
    PurgedEvents,
};
pub use holds::{Hold, HoldScope, NewHold, PurgePermit, PurgeRow};
pub use overview::{ActRow, AdapterRow, AlertRow, BatchTotals, NewAct, SourceRow, Totals};
pub use quarantine::{NewQuarantined, QuarantineFilter, QuarantineResolution, QuarantineRow, QuarantineState};
pub use sequences::{Finding, FindingKind, FindingTotals, SequenceRow};

/// Arrival number of a staged event. Starts at 1 and only grows.
pub type Seq = i64;
/// Number staging gave a room when it first saw it.
pub type RoomNo = i64;
/// Number of a batch, unique over all adapters, never used again.
pub type BatchId = i64;

/// Events with `from < seq <= to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeqRange {
    /// The last arrival number of the batch before.
    pub from: Seq,
    /// The last arrival number of this batch.
    pub to: Seq,
}
