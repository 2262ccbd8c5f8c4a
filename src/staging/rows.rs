//! The rows staging takes in and gives out. Plain values, no behaviour beyond their own invariants.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::model::{Kind, Ticks};

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

/// An event on its way into staging.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// Emitter.
    pub source: Arc<str>,
    /// Unique within the source.
    pub id: String,
    /// What happened.
    pub kind: Kind,
    /// The room's URI. `None` only for heartbeats, and then the event is in no conversation.
    pub room_uri: Option<String>,
    /// The sender's key, when the sender's native id is no 31-bit number and staging must number them.
    pub person_key: Option<String>,
    /// The message's native id, when it is no 31-bit number and staging must number it.
    pub message_id: Option<String>,
    /// When it happened; the receipt time where the source did not say.
    pub time: Ticks,
    /// Whether `time` is the receipt time.
    pub time_is_receipt: bool,
    /// The source's running count.
    pub sequence: Option<u64>,
    /// When intake received it.
    pub received: Ticks,
    /// Highest sequence a heartbeat reports.
    pub heartbeat_sequence: Option<u64>,
    /// The event as received: structured JSON, byte for byte (for binary mode: the envelope written
    /// around the body, byte for byte).
    pub raw: Vec<u8>,
    /// SHA-256 of `raw`.
    pub sha256: [u8; 32],
}

/// Something that is no event, on its way into quarantine.
#[derive(Debug, Clone)]
pub struct NewQuarantined {
    /// When intake received it.
    pub received: Ticks,
    /// Where it came from: `amqp:<queue>` or `spool:<file>:<line>`.
    pub origin: String,
    /// Stable reason word, e.g. `malformed-json`, `unknown-source`.
    pub reason: String,
    /// What was expected and found. Never message text.
    pub detail: String,
    /// The source, where it could be read.
    pub source: Option<String>,
    /// The event's id, where it could be read.
    pub event_id: Option<String>,
    /// Content type and headers as JSON, for AMQP messages; needed to decode the bytes again.
    pub headers: Option<String>,
    /// The exact bytes.
    pub raw: Vec<u8>,
}

/// What one commit of intake keeps.
#[derive(Debug, Clone, Default)]
pub struct StagingBatch {
    /// Events, in order of arrival.
    pub events: Vec<NewEvent>,
    /// What could not be understood.
    pub quarantined: Vec<NewQuarantined>,
}

/// What [`super::WriteStaging::stage`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Staged {
    /// Events kept, conflicts included.
    pub kept: u64,
    /// Events that were already there.
    pub duplicates: u64,
    /// Events kept although another content has the same key.
    pub conflicts: u64,
    /// Items newly in quarantine.
    pub quarantined: u64,
}

/// An event out of staging.
#[derive(Debug, Clone)]
pub struct StagedEvent {
    /// Arrival number.
    pub seq: Seq,
    /// Emitter.
    pub source: Arc<str>,
    /// Unique within the source.
    pub id: String,
    /// What happened.
    pub kind: Kind,
    /// The room's number.
    pub room: RoomNo,
    /// The room's URI.
    pub room_uri: Arc<str>,
    /// The number staging gave the sender, where the native id is no number.
    pub person_no: Option<i32>,
    /// The number staging gave the message, where the native id is no number.
    pub message_no: Option<i32>,
    /// When it happened.
    pub time: Ticks,
    /// Whether `time` is the receipt time.
    pub time_is_receipt: bool,
    /// The source's running count.
    pub sequence: Option<u64>,
    /// When intake received it.
    pub received: Ticks,
    /// Whether another event with the same key and other content is staged too.
    pub conflict: bool,
    /// The event as received.
    pub raw: Vec<u8>,
}

/// A lease: the right to work on something, with a token that grows with each new holder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// What it is for, e.g. `adapter:vantage`.
    pub name: String,
    /// Who holds it.
    pub holder: String,
    /// Grows by one with each new holder; writes carrying an old token are refused.
    pub token: i64,
}

/// A batch to cut.
#[derive(Debug, Clone)]
pub struct NewCut {
    /// The adapter's name.
    pub adapter: String,
    /// Start of the interval, used only if the adapter never cut before; else the last cut's end.
    pub interval_start: Ticks,
    /// End of the interval.
    pub interval_end: Ticks,
}

/// Where a batch stands. The arrows are the only ones there are.
///
/// `Cut → Rendered → Published → Collected → Purged`; `Cut → Empty`; `Cut → Failed → Cut`;
/// `Failed → Abandoned`, `Published → Abandoned`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BatchState {
    /// Its events are fixed.
    Cut,
    /// Its files are complete under temporary names; publishing has begun.
    Rendered,
    /// Its files are on the share.
    Published,
    /// The archive has taken it.
    Collected,
    /// Its files and events are deleted, or released for deletion.
    Purged,
    /// There was nothing to write.
    Empty,
    /// It could not be rendered; it is tried again at `retry_at`, or by hand.
    Failed,
    /// A person gave it up, with a reason.
    Abandoned,
}

/// One batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchRow {
    /// Number.
    pub id: BatchId,
    /// The adapter's name.
    pub adapter: String,
    /// Start of the interval.
    pub interval_start: Ticks,
    /// End of the interval.
    pub interval_end: Ticks,
    /// Its events.
    pub range: SeqRange,
    /// Whether it is the adapter's first batch; then nothing in it is late.
    pub first: bool,
    /// Where it stands.
    pub state: BatchState,
    /// Failed attempts so far.
    pub attempts: u32,
    /// When to try again, in state `Failed`.
    pub retry_at: Option<Ticks>,
    /// Why it failed, or why it was abandoned.
    pub reason: Option<String>,
    /// Counts, once rendered.
    pub counts: BatchCounts,
    /// When it was cut.
    pub cut_at: Ticks,
    /// When its last file appeared on the share.
    pub published_at: Option<Ticks>,
    /// When it was collected.
    pub collected_at: Option<Ticks>,
    /// How collection was proven: `removed`, `acknowledged`, `told`, `after`.
    pub collected_how: Option<String>,
    /// When it was purged.
    pub purged_at: Option<Ticks>,
}

/// What a batch holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BatchCounts {
    /// Staged events in its range that have a room.
    pub events: u64,
    /// Messages written.
    pub messages: u64,
    /// Events that make no message by design (presence).
    pub signals: u64,
    /// Conversations written.
    pub conversations: u64,
    /// Messages marked late.
    pub late: u64,
    /// Messages the dialect has no place for.
    pub left_out: u64,
    /// Characters XML forbids, shown as U+FFFD.
    pub replaced_characters: u64,
    /// Files on the share, attachments included.
    pub files: u64,
    /// Bytes on the share.
    pub bytes: u64,
}

/// Which batches to list.
#[derive(Debug, Clone, Default)]
pub struct BatchFilter {
    /// Only this adapter.
    pub adapter: Option<String>,
    /// Only these states; empty: all.
    pub states: Vec<BatchState>,
    /// At most so many; the newest when cut off. `None`: all.
    pub limit: Option<u32>,
}

/// What a file on the share is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OutputKind {
    /// An uploaded file.
    Attachment,
    /// The adapter's output.
    Output,
}

/// A file of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputRow {
    /// Its place in the order of publication, from 0.
    pub position: u32,
    /// Its name on the share.
    pub name: String,
    /// What it is.
    pub kind: OutputKind,
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 of its bytes.
    pub sha256: [u8; 32],
    /// Messages it holds; 0 for attachments.
    pub messages: u64,
    /// When it was seen to be collected.
    pub collected_at: Option<Ticks>,
}

/// What rendering made of a batch.
#[derive(Debug, Clone)]
pub struct RenderedBatch {
    /// The batch.
    pub id: BatchId,
    /// Counts.
    pub counts: BatchCounts,
    /// Files, in the order of publication; none: the batch is empty.
    pub outputs: Vec<OutputRow>,
    /// Rooms whose presence changed, with the new bytes.
    pub presence: Vec<(RoomNo, Vec<u8>)>,
}

/// A step of a batch's life.
#[derive(Debug, Clone)]
pub enum BatchStep {
    /// All files are on the share.
    Published {
        /// When the last one appeared.
        at: Ticks,
    },
    /// The archive has taken it.
    Collected {
        /// When it was noticed.
        at: Ticks,
        /// What proved it: `removed`, `acknowledged`, `told`, `after`.
        how: String,
    },
    /// Its files are deleted.
    Purged {
        /// When the last one was deleted.
        at: Ticks,
    },
    /// It could not be rendered.
    Failed {
        /// For people.
        reason: String,
        /// When to try again.
        retry_at: Ticks,
        /// Who is in each room after the batch, where that changed: what comes after it builds on this,
        /// and does not wait until the batch is mended.
        presence: Vec<(RoomNo, Vec<u8>)>,
    },
    /// It shall be rendered again.
    Retry,
    /// A person gave it up.
    Abandoned {
        /// For people.
        reason: String,
    },
}

/// What became of an event's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaptureRow {
    /// The event.
    pub seq: Seq,
    /// The outcome.
    pub outcome: Capture,
}

/// Whether a file's bytes were captured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Capture {
    /// The bytes are in the vault.
    Stored {
        /// SHA-256 of the bytes.
        sha256: [u8; 32],
        /// Size in bytes.
        size: u64,
        /// Whether size or digest differ from what the event claimed.
        mismatch: bool,
        /// A harmless form of the original name's ending, for the name of the copy on the share.
        extension: Option<String>,
    },
    /// The bytes could not be had; the reason is for people.
    Missing {
        /// Why.
        reason: String,
    },
}

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

/// What purging deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PurgedEvents {
    /// Events deleted.
    pub events: u64,
    /// Files no longer referred to.
    pub unreferenced: Vec<[u8; 32]>,
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

/// One quarantined item, without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantineRow {
    /// Number.
    pub id: i64,
    /// When it was first received.
    pub received: Ticks,
    /// Where it came from.
    pub origin: String,
    /// Reason word.
    pub reason: String,
    /// What was expected and found.
    pub detail: String,
    /// The source, where it could be read.
    pub source: Option<String>,
    /// The id, where it could be read.
    pub event_id: Option<String>,
    /// Content type and headers as JSON.
    pub headers: Option<String>,
    /// Size of the bytes.
    pub size: u64,
    /// SHA-256 of the bytes.
    pub sha256: [u8; 32],
    /// How often the same bytes came.
    pub seen: u64,
    /// `waiting`, `replayed` or `discarded`.
    pub state: QuarantineState,
}

/// Where a quarantined item stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum QuarantineState {
    /// Nobody has decided.
    Waiting,
    /// It is an event now.
    Replayed,
    /// A person decided that it is none; bytes are gone, digest and reason stay.
    Discarded,
}

/// Which quarantined items to list.
#[derive(Debug, Clone, Default)]
pub struct QuarantineFilter {
    /// Only this state.
    pub state: Option<QuarantineState>,
    /// Only this reason word.
    pub reason: Option<String>,
    /// At most so many. `None`: all.
    pub limit: Option<u32>,
}

/// What happens to a quarantined item.
#[derive(Debug, Clone)]
pub enum QuarantineResolution {
    /// It is these events after all (a batch body holds several); they are staged in the same commit.
    Replay(StagingBatch),
    /// It is none; its bytes are deleted.
    Discard,
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

impl BatchState {
    /// Every state.
    pub const ALL: [Self; 8] = [
        Self::Cut,
        Self::Rendered,
        Self::Published,
        Self::Collected,
        Self::Purged,
        Self::Empty,
        Self::Failed,
        Self::Abandoned,
    ];

    /// The word in tables and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cut => "cut",
            Self::Rendered => "rendered",
            Self::Published => "published",
            Self::Collected => "collected",
            Self::Purged => "purged",
            Self::Empty => "empty",
            Self::Failed => "failed",
            Self::Abandoned => "abandoned",
        }
    }

    /// Whether nothing more will happen to the batch.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Purged | Self::Empty | Self::Abandoned)
    }
}

impl fmt::Display for BatchState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for BatchState {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|state| state.as_str() == word).ok_or_else(|| {
            let words: Vec<_> = Self::ALL.iter().map(|state| state.as_str()).collect();
            format!("expected one of {}, found {word:?}", words.join(", "))
        })
    }
}

impl OutputKind {
    /// The word in tables and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Attachment => "attachment",
            Self::Output => "output",
        }
    }
}

impl QuarantineState {
    /// The word in tables and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Replayed => "replayed",
            Self::Discarded => "discarded",
        }
    }
}
