//! What the writer is told about files: the name of each one's copy on the share, or why there is none.
//!
//! It neither reads files nor names them; both are decided before a batch is rendered.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::model::Text;
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

/// An uploaded or downloaded file that a message speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRef {
    /// Which of its conversation's messages that is, from 0.
    pub message: usize,
    /// Arrival number of the event.
    pub seq: Seq,
    /// The event's source.
    pub source: Arc<str>,
    /// The event's id.
    pub event: String,
    /// What the file was called where it came from.
    pub original_name: Option<Text<'static>>,
    /// Its media type, as the event says.
    pub media_type: Option<Text<'static>>,
    /// What became of its bytes.
    pub outcome: CapturedFile,
}

impl FileRef {
    /// The name, digest and size of the copy that must be on the share before the output; `None` when there is none.
    pub fn copy(&self) -> Option<(&str, &[u8; 32], u64)> {
        match &self.outcome {
            CapturedFile::Stored { name, sha256, size, .. } => Some((name, sha256, *size)),
            CapturedFile::Missing { .. } => None,
        }
    }
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
