//! Uploaded files on their way, as `staging::files` tells.

mod read;

use async_trait::async_trait;
use sqlx::PgConnection;

use super::{PostgresStaging, leases, rows, sql, supplements};
use crate::model::Ticks;
use crate::staging::commit::commit;
use crate::staging::keys::{count, plain, refused};
use crate::staging::{
    BatchId, BatchRow, BatchState, Capture, CaptureRow, FileStaging, Lease, ListedFile, PostponedFile, Result, RoomNo,
    Seq, SetAside,
};
use crate::support::step::Commit;

#[async_trait]
impl FileStaging for PostgresStaging {
    async fn list_files(&self, files: &[ListedFile]) -> Result<()> {
        let mut tx = self.begin().await?;
        let givers: Vec<&str> = files.iter().map(|file| file.giver.as_str()).collect();
        sqlx::query(sql::LIST_FILES)
            .bind(files.iter().map(|file| file.seq).collect::<Vec<_>>())
            .bind(givers)
            .bind(files.iter().map(|file| file.received.ticks()).collect::<Vec<_>>())
            .bind(files.iter().map(|file| file.next_at.ticks()).collect::<Vec<_>>())
            .execute(&mut *tx)
            .await?;
        commit(tx, Commit::FILES_LISTED).await
    }

    async fn postpone_files(&self, files: &[PostponedFile]) -> Result<()> {
        let mut tx = self.begin().await?;
        // A purge that asks what is no longer referred to waits for this commit, however its client fares.
        sqlx::query(sql::LOCK_SHARED).bind(self.locks.batches).execute(&mut *tx).await?;
        let seqs: Vec<Seq> = files.iter().map(|file| file.seq).collect();
        sqlx::query(sql::RELEASE_MEANWHILE).bind(&seqs).execute(&mut *tx).await?;
        for file in files {
            let (sha256, size, extension) = match &file.meanwhile {
                Some(Capture::Stored { sha256, size, extension, .. }) => {
                    (Some(&sha256[..]), Some(count(*size)), extension.as_deref())
                }
                _ => (None, None, None),
            };
            let postpone = sqlx::query(sql::POSTPONE_FILE).bind(file.seq).bind(file.next_at.ticks());
            let postpone = postpone.bind(plain(&file.reason).into_owned()).bind(sha256).bind(size).bind(extension);
            postpone.execute(&mut *tx).await?;
        }
        commit(tx, Commit::FILES_POSTPONED).await
    }

    async fn tell_files(&self, lease: &Lease, id: BatchId, missing: &[(Seq, String)]) -> Result<()> {
        let mut tx = self.begin().await?;
        leases::check(&mut tx, lease).await?;
        sqlx::query(sql::LOCK).bind(self.locks.batches).execute(&mut *tx).await?;
        if sqlx::query(sql::SET_TOLD).bind(id).execute(&mut *tx).await?.rows_affected() > 0 {
            let (seqs, reasons): (Vec<Seq>, Vec<String>) =
                missing.iter().map(|(seq, reason)| (*seq, plain(reason).into_owned())).unzip();
            sqlx::query(sql::ADD_OWED).bind(id).bind(seqs).bind(reasons).execute(&mut *tx).await?;
        }
        commit(tx, Commit::FILES_TOLD).await
    }

    async fn supplement_files(&self, lease: &Lease, id: BatchId) -> Result<Option<BatchId>> {
        let mut tx = self.begin().await?;
        leases::check(&mut tx, lease).await?;
        let row = sqlx::query(sql::LOCK_BATCH).bind(id).fetch_optional(&mut *tx).await?;
        let batch = rows::batch(&row.ok_or_else(|| refused(format!("there is no batch {id}")))?)?;
        if !matches!(batch.state, BatchState::Published | BatchState::Collected | BatchState::Purged) {
            return Err(refused(format!("batch {id} is {}; files follow only what is published", batch.state)));
        }
        let came: Vec<(Seq, RoomNo)> = sqlx::query_as(sql::OWED_THAT_CAME).bind(id).fetch_all(&mut *tx).await?;
        if came.is_empty() {
            return Ok(tx.rollback().await.map(|()| None)?);
        }
        let seqs: Vec<Seq> = came.iter().map(|(seq, _)| *seq).collect();
        let add =
            sqlx::query_scalar(sql::ADD_FILES_SUPPLEMENT).bind(id).bind(why(&seqs, id)).bind(Ticks::now().ticks());
        let supplement: BatchId = add.fetch_one(&mut *tx).await?;
        let mut rooms: Vec<RoomNo> = came.iter().map(|(_, room)| *room).collect();
        rooms.sort_unstable();
        rooms.dedup();
        let conversations = rooms.into_iter().map(|room| SetAside { room, reason: why(&seqs, id) });
        supplements::name(&mut tx, supplement, &conversations.collect::<Vec<_>>()).await?;
        sqlx::query(sql::SET_FOLLOWS).bind(id).bind(supplement).bind(&seqs).execute(&mut *tx).await?;
        commit(tx, Commit::FILES_FOLLOW).await?;
        Ok(Some(supplement))
    }
}

impl PostgresStaging {
    pub(super) async fn add_captures(&self, captures: &[CaptureRow]) -> Result<()> {
        let mut tx = self.begin().await?;
        // A purge that asks what is no longer referred to waits for this commit, however its client fares.
        sqlx::query(sql::LOCK_SHARED).bind(self.locks.batches).execute(&mut *tx).await?;
        let now = Ticks::now();
        for capture in captures {
            let add = sqlx::query(sql::ADD_CAPTURE).bind(capture.seq);
            let add = match &capture.outcome {
                Capture::Stored { sha256, size, mismatch, extension } => add
                    .bind(Some(&sha256[..]))
                    .bind(Some(count(*size)))
                    .bind(*mismatch)
                    .bind(extension.as_deref())
                    .bind(None::<String>),
                Capture::Missing { reason } => add
                    .bind(None::<&[u8]>)
                    .bind(None::<i64>)
                    .bind(false)
                    .bind(None::<&str>)
                    .bind(Some(plain(reason).into_owned())),
            };
            add.bind(now.ticks()).execute(&mut *tx).await?;
        }
        let seqs: Vec<Seq> = captures.iter().map(|capture| capture.seq).collect();
        sqlx::query(sql::RELEASE_MEANWHILE).bind(&seqs).execute(&mut *tx).await?;
        sqlx::query(sql::UNLIST_FILES).bind(&seqs).execute(&mut *tx).await?;
        let never = captures.iter().filter(|capture| matches!(capture.outcome, Capture::Missing { .. }));
        let never: Vec<Seq> = never.map(|capture| capture.seq).collect();
        if !never.is_empty() {
            sqlx::query(sql::CLOSE_OWED).bind(&never).execute(&mut *tx).await?;
        }
        commit(tx, Commit::CAPTURES_RECORDED).await
    }
}

/// Nothing is owed by a batch any more: it makes no file, or a person gave it up.
pub(super) async fn close_owed(connection: &mut PgConnection, id: BatchId) -> Result<()> {
    sqlx::query(sql::CLOSE_OWED_OF_BATCH).bind(id).execute(connection).await?;
    Ok(())
}

/// What a batch was to say of files of conversations that another one holds now. That one says it anew; of a supplement of files, it
/// brings them.
pub(super) async fn set_aside(
    connection: &mut PgConnection,
    batch: &BatchRow,
    conversations: &[SetAside],
    to: BatchId,
) -> Result<()> {
    let rooms: Vec<RoomNo> = conversations.iter().map(|one| one.room).collect();
    match batch.completes {
        Some(_) => sqlx::query(sql::MOVE_OWED).bind(batch.id).bind(to).bind(&rooms),
        None => sqlx::query(sql::FORGET_OWED).bind(batch.id).bind(&rooms),
    }
    .execute(connection)
    .await?;
    Ok(())
}

fn why(seqs: &[Seq], id: BatchId) -> String {
    match seqs.len() {
        1 => format!("a file came after batch {id} had gone out"),
        several => format!("{several} files came after batch {id} had gone out"),
    }
}
