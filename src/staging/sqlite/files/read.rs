//! Looking at files on their way. Every answer is one statement and so one snapshot; nothing here changes a row.

use async_trait::async_trait;
use futures_util::stream::{BoxStream, StreamExt as _};
use sqlx::Row as _;

use super::super::{SqliteStaging, packed, sql};
use crate::model::Ticks;
use crate::staging::keys::{digest, instant, uncount};
use crate::staging::{
    BatchId, Capture, GiverRow, LateFiles, OwedFile, PendingFile, ReadFiles, Result, Seq, SeqRange, StagedEvent,
};

#[async_trait]
impl ReadFiles for SqliteStaging {
    fn unlisted_files(&self, after: Seq) -> BoxStream<'_, Result<StagedEvent>> {
        let mut events = packed::Events::default();
        let found = sqlx::query(sql::UNLISTED_FILES).bind(after).fetch(self.reader());
        found.map(move |row| events.read(&row?)).boxed()
    }

    async fn file_givers(&self, now: Ticks) -> Result<Vec<GiverRow>> {
        let found = sqlx::query(sql::FILE_GIVERS).bind(now.ticks()).fetch_all(self.reader()).await?;
        found.iter().map(giver).collect()
    }

    async fn due_files(&self, giver: &str, now: Ticks, limit: u32) -> Result<Vec<PendingFile>> {
        let due = sqlx::query(sql::DUE_FILES).bind(giver).bind(now.ticks()).bind(i64::from(limit));
        due.fetch_all(self.reader()).await?.iter().map(pending).collect()
    }

    async fn event(&self, seq: Seq) -> Result<Option<StagedEvent>> {
        let found = sqlx::query(sql::ONE_EVENT).bind(seq).fetch_optional(self.reader()).await?;
        found.as_ref().map(|row| packed::Events::default().read(row)).transpose()
    }

    async fn pending_files(&self, range: SeqRange) -> Result<Vec<PendingFile>> {
        let found = sqlx::query(sql::PENDING_FILES).bind(range.from).bind(range.to).fetch_all(self.reader()).await?;
        found.iter().map(pending).collect()
    }

    async fn owed_files(&self, id: BatchId) -> Result<Vec<OwedFile>> {
        let found = sqlx::query(sql::OWED_FILES).bind(id).fetch_all(self.reader()).await?;
        let owed = |row: &sqlx::sqlite::SqliteRow| {
            Ok(OwedFile {
                seq: row.try_get("seq")?,
                reason: row.try_get("reason")?,
                supplement: row.try_get("supplement")?,
                closed: row.try_get("closed")?,
            })
        };
        found.iter().map(owed).collect()
    }

    async fn completed_files(&self, id: BatchId) -> Result<Vec<Seq>> {
        Ok(sqlx::query_scalar(sql::COMPLETED_FILES).bind(id).fetch_all(self.reader()).await?)
    }

    async fn late_files(&self, adapter: &str) -> Result<Vec<LateFiles>> {
        let found = sqlx::query(sql::LATE_FILES).bind(adapter).fetch_all(self.reader()).await?;
        let late = |row: &sqlx::sqlite::SqliteRow| {
            Ok(LateFiles {
                batch: row.try_get("batch_id")?,
                came: uncount(row.try_get("came")?),
                waiting: uncount(row.try_get("waiting")?),
                first_came: instant(row.try_get("first_came")?)?,
            })
        };
        found.iter().map(late).collect()
    }
}

fn giver(row: &sqlx::sqlite::SqliteRow) -> Result<GiverRow> {
    Ok(GiverRow {
        giver: row.try_get("giver")?,
        waiting: uncount(row.try_get("waiting")?),
        due: uncount(row.try_get("due")?),
        oldest: instant(row.try_get("oldest")?)?,
    })
}

fn pending(row: &sqlx::sqlite::SqliteRow) -> Result<PendingFile> {
    let meanwhile = match row.try_get::<Option<Vec<u8>>, _>("sha256")? {
        Some(sha256) => Some(Capture::Stored {
            sha256: digest(&sha256)?,
            size: uncount(row.try_get("size")?),
            mismatch: true,
            extension: row.try_get("extension")?,
        }),
        None => None,
    };
    Ok(PendingFile {
        seq: row.try_get("seq")?,
        room: row.try_get("room_no")?,
        giver: row.try_get("giver")?,
        received: instant(row.try_get("received")?)?,
        attempts: u32::try_from(row.try_get::<i64, _>("attempts")?).unwrap_or(u32::MAX),
        reason: row.try_get("reason")?,
        meanwhile,
    })
}
