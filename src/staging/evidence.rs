//! The log of evidence: what staging keeps of it, and who may append.
//!
//! An entry is appended in the transaction of what it records, so that neither is ever without the other: manifests by
//! [`super::WriteStaging::finish_render`], acts by whatever carries them out. What has a transaction of its own is here.

use async_trait::async_trait;

use super::{BatchId, Lease, LogEntry, LogSize, NewAct, Result, RoomlessEvent, Seq, SeqRange};
use crate::evidence::Draft;

/// Looking into the log.
#[async_trait]
pub trait ReadEvidence: Send + Sync {
    /// How long it is, and how much of it lies in the evidence directory.
    async fn log_size(&self) -> Result<LogSize>;

    /// Entries from a number on, in their order, at most `limit`.
    async fn log_entries(&self, from: u64, limit: u32) -> Result<Vec<LogEntry>>;

    /// The entries of keys, in their order; the last one signs now.
    async fn log_keys(&self) -> Result<Vec<LogEntry>>;

    /// A piece of a batch's event list, from 0; `None` after the last, and once the list lies in the evidence directory.
    async fn list_piece(&self, batch: BatchId, piece: u32) -> Result<Option<Vec<u8>>>;

    /// Whether the bytes of an event, or of several with the same key, are still staged.
    async fn is_staged(&self, source: &str, id: &str) -> Result<bool>;

    /// Events of a range without a room, in order of arrival, those after `after`, at most `limit`.
    async fn roomless(&self, range: SeqRange, after: Seq, limit: u32) -> Result<Vec<RoomlessEvent>>;
}

/// Changing the log. Like every change of staging, each is one transaction and may be repeated.
#[async_trait]
pub trait WriteEvidence: ReadEvidence {
    /// Appends the purge certificate of a batch, unless one stands already, and gives the bytes of the one that stands.
    ///
    /// # Errors
    /// [`super::StagingError::LeaseLost`] when `lease` is no longer the newest for its name.
    async fn record_certificate(&self, lease: &Lease, batch: BatchId, certificate: &Draft) -> Result<Vec<u8>>;

    /// Appends the entry of a key, and the act of the person who brought it, unless the key has an entry.
    async fn record_key(&self, fingerprint: &str, draft: &Draft, act: Option<&NewAct>) -> Result<()>;

    /// Records that so many entries lie in the evidence directory, durably, and forgets the event lists of their
    /// batches. A smaller number than before changes nothing.
    ///
    /// # Errors
    /// [`super::StagingError::LeaseLost`] as above.
    async fn log_written(&self, lease: &Lease, entries: u64) -> Result<()>;
}
