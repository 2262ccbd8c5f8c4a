//! The log of evidence, as staging keeps it until it lies in the evidence directory, and ever after.

use std::sync::Arc;

use super::{BatchId, Seq, Workplace};
use crate::evidence::EntryKind;
use crate::model::{Kind, Ticks};

/// How long the log is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogSize {
    /// Entries recorded.
    pub entries: u64,
    /// Those of them that lie in the evidence directory.
    pub written: u64,
}

/// An entry of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// Its number, from 0.
    pub entry: u64,
    /// What it records.
    pub kind: EntryKind,
    /// The batch that a manifest or a certificate is about.
    pub batch: Option<BatchId>,
    /// SHA-256 of its bytes.
    pub sha256: [u8; 32],
    /// Its bytes, exactly as they are hashed and signed.
    pub bytes: Vec<u8>,
}

/// A published batch of whose manifest no copy is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uncopied {
    /// The batch.
    pub batch: BatchId,
    /// The entry of its manifest.
    pub entry: u64,
}

/// A file that is put beside a batch's outputs: its manifest, or the signature on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyRow {
    /// Its name on the share.
    pub name: String,
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 of its bytes.
    pub sha256: [u8; 32],
    /// Where it lies under its temporary name until it is put there.
    pub workplace: Workplace,
    /// Since when it is known to have its name there.
    pub copied_at: Option<Ticks>,
}

/// An event that belongs to no room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomlessEvent {
    /// Arrival number.
    pub seq: Seq,
    /// Emitter.
    pub source: Arc<str>,
    /// Unique within the source.
    pub id: String,
    /// What happened.
    pub kind: Kind,
    /// The source's running count.
    pub sequence: Option<u64>,
    /// The event as received.
    pub raw: Vec<u8>,
}
