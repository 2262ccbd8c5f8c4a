//! Files: what was captured of uploads, what lies on the share, what purging released.

use super::{BatchId, RoomNo, Seq};
use crate::model::Ticks;

/// What a file on the share is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OutputKind {
    /// An uploaded file.
    Attachment,
    /// The list of the uploaded files that an output speaks of.
    AttachmentsManifest,
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

/// A file whose bytes are to be got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedFile {
    /// The event.
    pub seq: Seq,
    /// Who has to give it.
    pub giver: String,
    /// When the event was received.
    pub received: Ticks,
    /// When to ask for it.
    pub next_at: Ticks,
}

/// A file whose bytes have not come yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingFile {
    /// The event.
    pub seq: Seq,
    /// Its room.
    pub room: RoomNo,
    /// Who has to give it; empty while it is not listed.
    pub giver: String,
    /// When the event was received.
    pub received: Ticks,
    /// Attempts so far, all in vain.
    pub attempts: u32,
    /// Why the last one was; `None` before the first.
    pub reason: Option<String>,
    /// What to make do with should nothing better come.
    pub meanwhile: Option<Capture>,
}

/// An attempt to get a file that was in vain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostponedFile {
    /// The event.
    pub seq: Seq,
    /// When to try again.
    pub next_at: Ticks,
    /// Why, for people.
    pub reason: String,
    /// What came, if it was less than the event claims: always [`Capture::Stored`].
    pub meanwhile: Option<Capture>,
}

/// What is waited for from one giver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GiverRow {
    /// Who has to give.
    pub giver: String,
    /// Files it has not given.
    pub waiting: u64,
    /// How many of them are to be asked for now.
    pub due: u64,
    /// When the oldest of their events was received.
    pub oldest: Ticks,
}

/// What a batch said of a file that had not come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwedFile {
    /// The event.
    pub seq: Seq,
    /// What the batch says why the file is missing.
    pub reason: String,
    /// The supplement in which it follows.
    pub supplement: Option<BatchId>,
    /// Whether nothing more will come of it: it follows, or never will.
    pub closed: bool,
}

/// A batch that said of files that they were missing, of which some have come since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LateFiles {
    /// The batch.
    pub batch: BatchId,
    /// How many have come and follow in no supplement yet.
    pub came: u64,
    /// How many may still come.
    pub waiting: u64,
    /// When the first of those that have come did.
    pub first_came: Ticks,
}

/// What purging deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PurgedEvents {
    /// Events deleted.
    pub events: u64,
    /// Files no longer referred to.
    pub unreferenced: Vec<[u8; 32]>,
}

impl OutputKind {
    /// Every kind, in the order in which files appear on the share.
    pub const ALL: [Self; 3] = [Self::Attachment, Self::AttachmentsManifest, Self::Output];

    /// The word in tables and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Attachment => "attachment",
            Self::AttachmentsManifest => "attachments-manifest",
            Self::Output => "output",
        }
    }
}
