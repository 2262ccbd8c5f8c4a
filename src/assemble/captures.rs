//! What the writer is told about files: the name of each one's copy on the share, or why there is none.
//!
//! It neither reads files nor names them; both are decided before a batch is rendered.

use std::collections::{BTreeMap, HashMap};

use crate::staging::Seq;

/// What became of the file of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CapturedFile {
    /// A copy goes onto the share.
    Stored {
        /// Its name there.
        name: String,
        /// SHA-256 of its bytes.
        sha256: [u8; 32],
        /// Its size in bytes.
        size: u64,
        /// Whether size or digest differ from what the event claimed.
        mismatch: bool,
    },
    /// The bytes could not be had.
    Missing {
        /// Why, for people.
        reason: String,
    },
}

/// Looks up what became of files.
pub trait Captures {
    /// What became of the file of the event with this arrival number; `None` when nothing was tried.
    fn of(&self, seq: Seq) -> Option<&CapturedFile>;
}

/// A file that the written output refers to, and that must be on the share before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachmentRef {
    /// The event that carried it.
    pub seq: Seq,
    /// Name of the copy on the share.
    pub name: String,
    /// SHA-256 of its bytes.
    pub sha256: [u8; 32],
    /// Size in bytes.
    pub size: u64,
}

/// For batches without files.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoCaptures;

impl Captures for NoCaptures {
    fn of(&self, _seq: Seq) -> Option<&CapturedFile> {
        None
    }
}

impl Captures for BTreeMap<Seq, CapturedFile> {
    fn of(&self, seq: Seq) -> Option<&CapturedFile> {
        self.get(&seq)
    }
}

impl Captures for HashMap<Seq, CapturedFile> {
    fn of(&self, seq: Seq) -> Option<&CapturedFile> {
        self.get(&seq)
    }
}
