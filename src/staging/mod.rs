//! What is waiting: the database that holds events until every adapter has delivered them and the
//! archive has collected them.
//!
//! Three traits tell what a caller may do: [`StageEvents`] takes in, [`ReadStaging`] looks, [`WriteStaging`]
//! changes. [`ReadFiles`] and [`FileStaging`] are their parts about uploaded files on their way. SQLite and
//! PostgreSQL implement both, and one conformance suite runs against the two. Nothing outside this
//! folder names a database driver.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream::BoxStream;

use crate::model::Ticks;

mod arrival;
mod commit;
mod errors;
mod evidence;
mod files;
mod holds;
mod keys;
mod open;
mod postgres;
mod rows;
mod sequence;
mod sqlite;
mod steps;
#[cfg(test)]
pub(crate) mod suite;

pub use evidence::{ReadEvidence, WriteEvidence};
pub use files::{FileStaging, ReadFiles};
pub use holds::{HoldSubject, place_hold};
pub use open::open;
pub use rows::{
    ActRow, AdapterRow, AlertRow, Arrivals, BatchCounts, BatchFilter, BatchId, BatchRow, BatchState, BatchStep,
    BatchTotals, By, Capture, CaptureRow, CopyRow, Finding, FindingKind, FindingTotals, GiverRow, Hold, HoldScope,
    KnownEvent, LateFiles, Lease, ListedFile, LogEntry, LogSize, NewAct, NewCut, NewEvent, NewHold, NewQuarantined,
    OutputKind, OutputRow, OwedFile, PendingFile, PostponedFile, PurgePermit, PurgeRow, PurgedEvents, QuarantineFilter,
    QuarantineResolution, QuarantineRow, QuarantineState, RenderedBatch, RoomBalance, RoomHour, RoomNo, RoomlessEvent,
    Seq, SeqRange, SequenceRow, SetAside, SourceBalance, SourceRow, Staged, StagedEvent, Supplement, Totals, Uncopied,
    Workplace,
};

/// Staging's answer when it could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StagingError {
    /// The database cannot be reached or is busy, full or shutting down. Retrying helps.
    #[error("staging is not available: {detail}")]
    Unavailable {
        /// What the database said.
        detail: String,
    },
    /// The lease was lost to another process; what was being done must stop. Retrying never helps.
    #[error("another process has taken over {name}")]
    LeaseLost {
        /// The lease's name.
        name: String,
    },
    /// The row does not exist or is not in a state that allows the change. Retrying never helps.
    #[error("{detail}")]
    Refused {
        /// What stood in the way.
        detail: String,
    },
    /// The database holds something Chancery did not write, or comes from a later version. Retrying never helps.
    #[error("staging database: {detail}")]
    Broken {
        /// What was found.
        detail: String,
    },
}

impl StagingError {
    /// Whether the same call may succeed later without anyone mending anything.
    pub fn retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

/// A result of staging.
pub type Result<T> = std::result::Result<T, StagingError>;

/// Both powers, shared by the stages.
pub type Staging = Arc<dyn WriteStaging>;

/// Looking into staging. Nothing here changes a row.
#[async_trait]
pub trait ReadStaging: ReadEvidence + ReadFiles + Send + Sync {
    /// Counts and last signs per source, by URI.
    async fn sources(&self) -> Result<Vec<SourceRow>>;

    /// The cut position of every adapter that ever cut, by name.
    async fn adapters(&self) -> Result<Vec<AdapterRow>>;

    /// Batches that match, oldest first.
    async fn batches(&self, filter: &BatchFilter) -> Result<Vec<BatchRow>>;

    /// One batch.
    async fn batch(&self, id: BatchId) -> Result<Option<BatchRow>>;

    /// The supplements of a batch, oldest first: all that hold conversations of a batch that was cut; of a
    /// supplement the one that its own rendering left, if it did.
    async fn supplements(&self, id: BatchId) -> Result<Vec<BatchRow>>;

    /// The conversations of a supplement by room number: the room's URI, and why it could not be rendered last.
    /// A conversation that its rendering set aside once more is the next supplement's. Empty for any other batch,
    /// whose conversations are all in its range.
    async fn set_aside(&self, id: BatchId) -> Result<Vec<(Arc<str>, SetAside)>>;

    /// Why conversations could not be rendered, by room number: of a supplement as [`Self::set_aside`] has it, of any
    /// other batch as its last failed attempt told. For people; it does not say what a batch holds.
    async fn failures(&self, id: BatchId) -> Result<Vec<(Arc<str>, SetAside)>>;

    /// Sums per adapter and state, by adapter's name.
    async fn batch_totals(&self) -> Result<Vec<BatchTotals>>;

    /// How many staged events of a range have a room.
    async fn count_events(&self, range: SeqRange) -> Result<u64>;

    /// The files of a batch, in the order in which they are put on the share.
    async fn outputs(&self, id: BatchId) -> Result<Vec<OutputRow>>;

    /// The events of a batch (`from_seq < seq <= to_seq`) that have a room, ordered by room number,
    /// time, source sequence (none last), arrival. Memory stays flat however many there are.
    fn events(&self, range: SeqRange) -> BoxStream<'_, Result<StagedEvent>>;

    /// Events of a range that carry a file and have no capture row yet, in order of arrival, at most `limit`.
    async fn uncaptured(&self, range: SeqRange, limit: u32) -> Result<Vec<StagedEvent>>;

    /// What became of the files of the events in a range, by arrival number.
    async fn captures(&self, range: SeqRange) -> Result<Vec<CaptureRow>>;

    /// Who was in a room as the adapter's last batch before `before` (a batch's [`BatchRow::place`]) left it: the bytes that
    /// [`WriteStaging::finish_render`] was given then. `None`: nothing known yet.
    async fn presence(&self, adapter: &str, room: RoomNo, before: BatchId) -> Result<Option<Vec<u8>>>;

    /// Quarantined items that match, oldest first, without their bytes.
    async fn quarantined(&self, filter: &QuarantineFilter) -> Result<Vec<QuarantineRow>>;

    /// One quarantined item with its bytes.
    async fn quarantined_bytes(&self, id: i64) -> Result<Option<(QuarantineRow, Vec<u8>)>>;

    /// Open alerts, oldest first.
    async fn alerts(&self) -> Result<Vec<AlertRow>>;

    /// Acts of people, newest first, at most `limit`.
    async fn acts(&self, limit: u32) -> Result<Vec<ActRow>>;

    /// Totals for `status`.
    async fn totals(&self) -> Result<Totals>;
}

/// Taking in: all the power intake has.
#[async_trait]
pub trait StageEvents: Send + Sync {
    /// Asks the database for a sign of life.
    async fn ping(&self) -> Result<()>;

    /// Keeps events and quarantined items, durably, in one commit.
    ///
    /// An event whose (`source`, `id`) is already there is a duplicate when its bytes, or what they
    /// mean as JSON, are the same: it is counted, not kept. Otherwise it is a conflict: kept beside
    /// the first, flagged, and an alert `conflict` is raised for the source. Duplicates and conflicts
    /// within one call are treated alike. Rooms and persons get their numbers in order of arrival.
    /// A quarantined item whose bytes are already there only counts up `seen`.
    async fn stage(&self, batch: &Arrivals) -> Result<Staged>;
}

/// Running counts: where each source's sequence stands, and what was found in it. [`StageEvents::stage`] keeps them.
#[async_trait]
pub trait Sequences: Send + Sync {
    /// Where the count of each source stands that sends one, by URI.
    async fn sequences(&self) -> Result<Vec<SequenceRow>>;

    /// What was found and reported, oldest first; only what is open unless `all`. At most `limit`, the newest.
    async fn findings(&self, all: bool, limit: u32) -> Result<Vec<Finding>>;

    /// Open findings per source and kind.
    async fn finding_totals(&self) -> Result<Vec<FindingTotals>>;

    /// Reports what was noticed at `before` or earlier and still stands: arrival out of order is over by then. Returns
    /// how many findings are new.
    async fn report_findings(&self, before: Ticks, at: Ticks) -> Result<u64>;

    /// Settles findings: a person has an explanation, or gives the missing numbers up. The act is recorded in the
    /// same commit. A settled gap is closed all the same when its numbers arrive.
    ///
    /// # Errors
    /// [`StagingError::Refused`] when one of them is not open.
    async fn settle_findings(&self, ids: &[i64], act: &NewAct) -> Result<()>;
}

/// Holds, and the purges they exclude. [`place_hold`] is the way to place one.
#[async_trait]
pub trait Holds: Send + Sync {
    /// The holds that stand, oldest first; released ones too with `all`.
    async fn holds(&self, all: bool) -> Result<Vec<Hold>>;

    /// Writes a hold down: from here on no purge of events touches what it covers. Purges of files that began
    /// before are still to be waited for.
    async fn place_hold(&self, hold: &NewHold, act: &NewAct) -> Result<i64>;

    /// Releases a hold; what it covered is purged as everything else.
    ///
    /// # Errors
    /// [`StagingError::Refused`] when there is no such hold, or it is released already.
    async fn release_hold(&self, id: i64, act: &NewAct) -> Result<()>;

    /// Announces that files are about to be deleted, by the database's clock for so long; `what` is for people.
    async fn begin_purge(&self, what: &str, ttl: std::time::Duration) -> Result<PurgePermit>;

    /// Takes an announcement back: nothing is deleted under it any more.
    async fn end_purge(&self, id: i64) -> Result<()>;

    /// Purges that were announced and are not over.
    async fn purges(&self) -> Result<Vec<PurgeRow>>;

    /// The first of these holds that covers an event of a range, if any does.
    async fn covered(&self, range: SeqRange, holds: &[Hold]) -> Result<Option<i64>>;

    /// Tells that what the last [`WriteStaging::purge_events`] returned was not swept: the next one returns it again.
    async fn not_swept(&self);

    /// The last arrival number that no adapter needs any more; holds not considered.
    async fn purge_limit(&self, adapters: &[String]) -> Result<Seq>;
}

/// What reconciliation asks.
#[async_trait]
pub trait Balance: Send + Sync {
    /// What each source sent against what is there and what was purged, by URI.
    async fn source_balance(&self) -> Result<Vec<SourceBalance>>;

    /// What arrived in each room against what is there and what was purged, by URI.
    async fn room_balance(&self) -> Result<Vec<RoomBalance>>;

    /// How many staged events of a range each room has, by URI; rooms without any are left out.
    async fn room_counts(&self, range: SeqRange) -> Result<Vec<(String, u64)>>;

    /// Events by source, room and hour, of the hours that begin from `from` on and before `to`.
    async fn room_hours(&self, from: Ticks, to: Ticks) -> Result<Vec<RoomHour>>;

    /// What is known of events of a source by their ids, in their order.
    async fn known_events(&self, source: &str, ids: &[String]) -> Result<Vec<Option<KnownEvent>>>;

    /// The ids of the staged events of a source that happened from `from` on and before `to`.
    async fn event_ids(&self, source: &str, from: Ticks, to: Ticks) -> Result<Vec<String>>;
}

/// Changing staging. Every method is one transaction: it happens whole or not at all, and it may be
/// repeated after a crash with the same result.
#[async_trait]
pub trait WriteStaging: ReadStaging + StageEvents + Sequences + Holds + Balance + WriteEvidence + FileStaging {
    /// Takes or renews a lease by the database's own clock. `None`: another holder has it.
    async fn lease(&self, name: &str, holder: &str, ttl: std::time::Duration) -> Result<Option<Lease>>;

    /// Gives a lease back before it runs out.
    async fn release(&self, lease: &Lease) -> Result<()>;

    /// Cuts the adapter's next batch: exactly the events committed since its last cut, however many
    /// writers are committing meanwhile. Also numbers the messages of the batch whose native id is
    /// no 31-bit number, per room, in order of arrival. The batch starts in [`BatchState::Cut`]; an
    /// adapter's first cut takes everything that is still staged.
    ///
    /// # Errors
    /// [`StagingError::LeaseLost`] when `lease` is no longer the newest for its name;
    /// [`StagingError::Refused`] when `interval_end` is not after the adapter's last cut.
    async fn cut(&self, lease: &Lease, cut: &NewCut) -> Result<BatchRow>;

    /// Records what became of files, for good: they are pending no longer. A capture that is already there is left as it is. Of
    /// what will never come nothing is owed any more.
    async fn record_captures(&self, captures: &[CaptureRow]) -> Result<()>;

    /// Records that a batch is rendered: its counts, its files (all under their temporary names in its workplace
    /// and synced), and who is in each room now. A second recording of the same result changes nothing, not
    /// even the workplace: the files that are published are those of the first. The batch becomes [`BatchState::Rendered`], or
    /// [`BatchState::Empty`] when there are no files. A batch already beyond that is refused.
    ///
    /// What was set aside becomes a supplement in the same commit: a batch of the same adapter, interval and range in
    /// state [`BatchState::Failed`], whose conversations are only those, with an open alert `batch-failed` about
    /// `batch N`. While it is open, nothing of its range is purged. Returns its number: also when the same
    /// rendering is recorded again, the number of the one that stands.
    ///
    /// # Errors
    /// [`StagingError::LeaseLost`] as in `cut`; [`StagingError::Refused`] also when a supplement is to pass presence
    /// on, or sets aside a conversation that is not its own.
    async fn finish_render(&self, lease: &Lease, rendered: &RenderedBatch) -> Result<Option<BatchId>>;

    /// Moves a batch from one state to the next and stamps the time. A person's act is recorded in the same
    /// commit.
    ///
    /// # Errors
    /// [`StagingError::Refused`] when the batch is in none of `from`, or when a supplement is to pass presence on or
    /// names a conversation that is not its own; [`StagingError::LeaseLost`] as in `cut`.
    async fn advance(&self, by: By<'_>, id: BatchId, from: &[BatchState], step: &BatchStep) -> Result<BatchRow>;

    /// Marks outputs of a batch as collected at `at`; already marked ones keep their time.
    async fn mark_collected(&self, id: BatchId, names: &[String], at: Ticks) -> Result<()>;

    /// Deletes staged events that no adapter needs any more: those in batches that are purged,
    /// abandoned or empty for every adapter of `adapters` and in no open batch of any other. Capture
    /// rows, message numbers and presence rows that only they needed go too. Returns the digests of
    /// files that no remaining capture refers to; the vault may sweep exactly these.
    async fn purge_events(&self, adapters: &[String]) -> Result<PurgedEvents>;

    /// Takes a quarantined item out of quarantine: by staging the event it became, or as discarded.
    async fn resolve_quarantined(&self, id: i64, resolution: &QuarantineResolution, act: &NewAct) -> Result<()>;

    /// Opens an alert, or counts it up when the same (`kind`, `subject`) is already open.
    async fn raise_alert(&self, kind: &str, subject: &str, detail: &str, at: Ticks) -> Result<()>;

    /// Closes an open alert; nothing happens if none is open.
    async fn close_alert(&self, kind: &str, subject: &str, at: Ticks) -> Result<()>;

    /// Closes an open alert because a person says so, and records that act with it.
    ///
    /// # Errors
    /// [`StagingError::Refused`] when no such alert is open; then nothing is recorded.
    async fn dismiss_alert(&self, kind: &str, subject: &str, act: &NewAct) -> Result<()>;

    /// Records what a person did.
    async fn record_act(&self, act: &NewAct) -> Result<()>;
}
