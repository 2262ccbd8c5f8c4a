//! Uploaded files on their way: which are waited for, what a batch said of those that had not come, and in which
//! supplement they follow.

use async_trait::async_trait;
use futures_util::stream::BoxStream;

use super::{
    BatchId, GiverRow, LateFiles, Lease, ListedFile, OwedFile, PendingFile, PostponedFile, Result, Seq, SeqRange,
    StagedEvent,
};
use crate::model::Ticks;

/// The account of files that have not come yet. A file is *pending* from when it is listed until its capture is recorded
/// ([`super::WriteStaging::record_captures`]); it is *owed* by each batch that went out without it.
#[async_trait]
pub trait ReadFiles: Send + Sync {
    /// Events after `after` that carry a file, have no capture and are not pending, in order of arrival.
    fn unlisted_files(&self, after: Seq) -> BoxStream<'_, Result<StagedEvent>>;

    /// What is waited for, by giver.
    async fn file_givers(&self, now: Ticks) -> Result<Vec<GiverRow>>;

    /// Pending files of a giver that are to be asked for now, those that have been due longest first, at most `limit`.
    async fn due_files(&self, giver: &str, now: Ticks, limit: u32) -> Result<Vec<PendingFile>>;

    /// One staged event that has a room.
    async fn event(&self, seq: Seq) -> Result<Option<StagedEvent>>;

    /// The files of a range without a capture, by arrival number, listed or not.
    async fn pending_files(&self, range: SeqRange) -> Result<Vec<PendingFile>>;

    /// What a batch said of files that had not come, by arrival number.
    async fn owed_files(&self, id: BatchId) -> Result<Vec<OwedFile>>;

    /// The events whose files a supplement brings, by arrival number.
    async fn completed_files(&self, id: BatchId) -> Result<Vec<Seq>>;

    /// Batches of an adapter that went out without files which have come since and follow in no supplement yet, oldest
    /// first.
    async fn late_files(&self, adapter: &str) -> Result<Vec<LateFiles>>;
}

/// Changing that account. Each method is one transaction and may be repeated with the same result.
#[async_trait]
pub trait FileStaging: Send + Sync {
    /// Makes files pending. One that has a capture, or is pending already, is left as it is.
    async fn list_files(&self, files: &[ListedFile]) -> Result<()>;

    /// Records attempts that were in vain. A file that is not pending any more is left as it is.
    async fn postpone_files(&self, files: &[PostponedFile]) -> Result<()>;

    /// Records what a batch says of files that have not come, each with its reason; they are owed from then on. What was
    /// recorded first stands, also when that was nothing.
    ///
    /// # Errors
    /// [`super::StagingError::LeaseLost`] when `lease` is no longer the newest for its name.
    async fn tell_files(&self, lease: &Lease, id: BatchId, missing: &[(Seq, String)]) -> Result<()>;

    /// Makes a supplement of the files that a batch owes and that have come: a batch of the same adapter, interval and range in
    /// state [`super::BatchState::Cut`] that holds their messages alone. `None`: there is nothing to bring.
    ///
    /// # Errors
    /// [`super::StagingError::LeaseLost`] as in [`FileStaging::tell_files`]; [`super::StagingError::Refused`] when the batch
    /// is not published, or was abandoned.
    async fn supplement_files(&self, lease: &Lease, id: BatchId) -> Result<Option<BatchId>>;
}
