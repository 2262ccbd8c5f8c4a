//! Batches: how they are cut, where they stand, and which steps they take.

use std::fmt;
use std::str::FromStr;

use super::{BatchId, NewAct, OutputRow, RoomNo, SeqRange};
use crate::evidence::manifest::NewManifest;
use crate::model::Ticks;

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

/// Who moves a batch on.
#[derive(Debug, Clone, Copy)]
pub enum By<'a> {
    /// The adapter's worker, as long as it holds the lease.
    Worker(&'a Lease),
    /// The collector, by what it saw on the share.
    Collector,
    /// A person, whose act is recorded.
    Person(&'a NewAct),
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
/// `Failed → Abandoned`, `Published → Abandoned`. A supplement begins as `Failed`, one of files as `Cut`.
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
    /// Where its temporary files were made, once rendered.
    pub workplace: Workplace,
    /// The batch whose conversations these are, for a supplement. Also a supplement that another one left names the
    /// batch that was cut.
    pub supplement_to: Option<BatchId>,
    /// For a supplement of files: the batch that said of them that they were missing. What it holds are the messages
    /// that speak of them, once more and with the files.
    pub completes: Option<BatchId>,
}

/// Where one rendering of a batch made its temporary files. No other rendering writes there, so the files of a
/// recorded rendering are never touched by one that was paused meanwhile.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Workplace {
    /// The id in the share's marker. Empty: the marker has none, or nothing was written.
    pub share: String,
    /// The directory's name among the temporary files. Empty: none of its own, as before there were workplaces.
    pub directory: String,
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
    /// Messages that the dialect or the transform has no place for.
    pub left_out: u64,
    /// Characters XML forbids, shown as U+FFFD.
    pub replaced_characters: u64,
    /// Files on the share, attachments included.
    pub files: u64,
    /// Bytes on the share.
    pub bytes: u64,
    /// Messages written a second time, now with the file that had been missing. They are in no other count of
    /// messages.
    pub completed: u64,
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
    /// Where its temporary files lie.
    pub workplace: Workplace,
    /// Conversations that could not be rendered, if any; they become a supplement.
    pub set_aside: Option<Supplement>,
    /// What the log of evidence is to say of it.
    pub manifest: NewManifest,
}

/// A conversation that could not be rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// Its room.
    pub room: RoomNo,
    /// For people.
    pub reason: String,
}

/// The conversations that a rendering leaves to a batch of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Supplement {
    /// What was set aside; at least one, each room once.
    pub conversations: Vec<SetAside>,
    /// Counts of what was set aside, as far as known; the batch that was rendered does not count it.
    pub counts: BatchCounts,
    /// When to try again.
    pub retry_at: Ticks,
    /// What is told in the alert and as the batch's reason.
    pub reason: String,
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
        /// Why each conversation failed, where that is known. Of a supplement only its own, and those that are not
        /// named keep the reason they had; of any other batch these replace what was recorded before.
        conversations: Vec<SetAside>,
    },
    /// It shall be rendered again.
    Retry,
    /// A person gave it up.
    Abandoned {
        /// For people.
        reason: String,
    },
}

impl BatchRow {
    /// The batch whose place in the adapter's history this one has: itself, or the one it supplements. Presence is
    /// looked up by it.
    pub fn place(&self) -> BatchId {
        self.supplement_to.unwrap_or(self.id)
    }
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
