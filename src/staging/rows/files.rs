//! Files: what was captured of uploads, what lies on the share, what purging released.

use super::Seq;
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
