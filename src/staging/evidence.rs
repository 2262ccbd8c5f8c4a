//! The log of evidence: what staging keeps of it, and who may append.
//!
//! An entry is appended in the transaction of what it records, so that neither is ever without the other: manifests by
//! [`super::WriteStaging::finish_render`], acts by whatever carries them out. What has a transaction of its own is here.

use async_trait::async_trait;

use super::{BatchId, CopyRow, Lease, LogEntry, LogSize, NewAct, Result, RoomlessEvent, Seq, SeqRange, Uncopied};
use crate::evidence::Draft;
use crate::model::Ticks;

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

    /// Published and collected batches of an adapter of whose manifest no copy is recorded, oldest first. Those that an
    /// earlier version rendered without a manifest are none of them.
    async fn uncopied(&self, adapter: &str) -> Result<Vec<Uncopied>>;

    /// Batches of an adapter whose copies are recorded, and not yet known to have their names on the share; oldest first.
    async fn copying(&self, adapter: &str) -> Result<Vec<BatchId>>;

    /// The copies of a batch's manifest and its signature, in the order in which they are put beside its outputs.
    async fn copies(&self, batch: BatchId) -> Result<Vec<CopyRow>>;

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

    /// Records which files are about to be put beside the outputs of a published or collected batch, and where they lie until
    /// then; those that stand already stay. Under `lease`, so that whoever lost it cannot put them there later.
    ///
    /// # Errors
    /// [`super::StagingError::LeaseLost`] as above, [`super::StagingError::Refused`] when the batch is in another state.
    async fn record_copies(&self, lease: &Lease, batch: BatchId, copies: &[CopyRow]) -> Result<()>;

    /// Records that the copies of a batch have their names on the share; those that had them before keep their time.
    ///
    /// # Errors
    /// [`super::StagingError::LeaseLost`] as above.
    async fn mark_copied(&self, lease: &Lease, batch: BatchId, at: Ticks) -> Result<()>;

    /// Records that so many entries lie in the evidence directory, durably, and forgets the event lists of their
    /// batches. A smaller number than before changes nothing.
    ///
    /// # Errors
    /// [`super::StagingError::LeaseLost`] as above.
    async fn log_written(&self, lease: &Lease, entries: u64) -> Result<()>;
}
