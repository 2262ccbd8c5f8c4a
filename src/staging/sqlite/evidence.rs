//! The log of evidence: entries are appended in the transaction of what they record.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};

use super::write::add_act;
use super::{SqliteStaging, batches, leases, rows, sql};
use crate::evidence::entry::{self, Link};
use crate::evidence::list::EventList;
use crate::evidence::manifest::NewManifest;
use crate::evidence::{Draft, EntryKind};
use crate::model::{Kind, Ticks};
use crate::staging::commit::commit;
use crate::staging::keys::{broken, count, digest, key, refused, uncount};
use crate::staging::{
    BatchId, BatchRow, BatchState, CopyRow, Lease, LogEntry, LogSize, NewAct, ReadEvidence, Result, RoomlessEvent, Seq,
    SeqRange, StagingError, Uncopied, Workplace, WriteEvidence,
};
use crate::support::step::Commit;

/// Bytes of an event list in one row.
const PIECE: u64 = 1 << 20;

/// Where each piece of so many bytes begins.
fn pieces(size: u64) -> impl Iterator<Item = u64> {
    (0..size.div_ceil(PIECE)).map(|piece| piece * PIECE)
}

/// What an entry is about, to be found again by.
#[derive(Default)]
struct About<'a> {
    name: Option<&'a str>,
    batch: Option<BatchId>,
}

/// Appends an entry, which stands if the transaction does. To be called last in it: whoever appends waits for the
/// one before, and must not hold a row that the other still needs.
async fn append(connection: &mut SqliteConnection, draft: &Draft, about: About<'_>) -> Result<(u64, Vec<u8>)> {
    let number: i64 = sqlx::query_scalar(sql::NEXT_ENTRY).fetch_one(&mut *connection).await?;
    let kind = draft.kind();
    let previous = match (kind, about.name) {
        (EntryKind::Manifest, Some(adapter)) => {
            let last = sqlx::query(sql::LAST_OF_NAME).bind(kind.as_str()).bind(adapter);
            last.fetch_optional(&mut *connection).await?.as_ref().map(link).transpose()?
        }
        _ => None,
    };
    let bytes = draft.complete(uncount(number), Ticks::now(), previous);
    sqlx::query(sql::ADD_ENTRY)
        .bind(number)
        .bind(kind.as_str())
        .bind(about.name)
        .bind(about.batch)
        .bind(&entry::digest(&bytes)[..])
        .bind(&bytes)
        .execute(connection)
        .await?;
    Ok((uncount(number), bytes))
}

/// Appends the manifest of a batch that is being recorded as rendered, and keeps its event list.
pub(super) async fn append_manifest(
    connection: &mut SqliteConnection,
    batch: &BatchRow,
    manifest: &NewManifest,
) -> Result<()> {
    let stands = sqlx::query_scalar(sql::ENTRY_OF_BATCH).bind(manifest.draft.kind().as_str()).bind(batch.id);
    let stands: Option<Vec<u8>> = stands.fetch_optional(&mut *connection).await?;
    if let Some(bytes) = stands {
        // Evidence is never written over. Who renders a batch again, with the database's help, must get the same.
        return if manifest.draft.is_said_by(&bytes) {
            Ok(())
        } else {
            Err(refused(format!(
                "batch {} was rendered before, and the manifest that was recorded then says something else; compare \
                 it with `chancery batch show {}`, and give the batch up if that cannot be explained",
                batch.id, batch.id
            )))
        };
    }
    add_list(connection, batch.id, &manifest.list).await?;
    append(connection, &manifest.draft, About { name: Some(&batch.adapter), batch: Some(batch.id) }).await?;
    Ok(())
}

/// Appends what a person did. To be called last in a transaction.
pub(super) async fn append_act(connection: &mut SqliteConnection, act: &entry::ActBody) -> Result<()> {
    let draft = Draft::new(EntryKind::Act, act).map_err(|error| broken(error.to_string()))?;
    append(connection, &draft, About::default()).await?;
    Ok(())
}

async fn add_list(connection: &mut SqliteConnection, batch: BatchId, list: &EventList) -> Result<()> {
    let unreadable = |error: std::io::Error| StagingError::Unavailable {
        detail: format!("the event list of batch {batch} cannot be read back from its scratch file: {error}"),
    };
    for (number, from) in (0_i64..).zip(pieces(list.size())) {
        let piece = list.piece(from, PIECE).map_err(unreadable)?;
        sqlx::query(sql::ADD_PIECE).bind(batch).bind(number).bind(piece).execute(&mut *connection).await?;
    }
    Ok(())
}

#[async_trait]
impl ReadEvidence for SqliteStaging {
    async fn log_size(&self) -> Result<LogSize> {
        let row = sqlx::query(sql::LOG_SIZE).fetch_one(self.reader()).await?;
        Ok(LogSize { entries: uncount(row.try_get("entries")?), written: uncount(row.try_get("written")?) })
    }

    async fn log_entries(&self, from: u64, limit: u32) -> Result<Vec<LogEntry>> {
        let found = sqlx::query(sql::LOG_ENTRIES).bind(count(from)).bind(i64::from(limit));
        found.fetch_all(self.reader()).await?.iter().map(log_entry).collect()
    }

    async fn log_keys(&self) -> Result<Vec<LogEntry>> {
        let found = sqlx::query(sql::LOG_OF_KIND).bind(EntryKind::Key.as_str());
        found.fetch_all(self.reader()).await?.iter().map(log_entry).collect()
    }

    async fn list_piece(&self, batch: BatchId, piece: u32) -> Result<Option<Vec<u8>>> {
        let found = sqlx::query_scalar(sql::PIECE).bind(batch).bind(i64::from(piece));
        Ok(found.fetch_optional(self.reader()).await?)
    }

    async fn uncopied(&self, adapter: &str) -> Result<Vec<Uncopied>> {
        let found = sqlx::query(sql::UNCOPIED).bind(adapter).fetch_all(self.reader()).await?;
        let uncopied =
            |row: &SqliteRow| Ok(Uncopied { batch: row.try_get("batch_id")?, entry: uncount(row.try_get("entry")?) });
        found.iter().map(uncopied).collect()
    }

    async fn copying(&self, adapter: &str) -> Result<Vec<BatchId>> {
        Ok(sqlx::query_scalar(sql::COPYING).bind(adapter).fetch_all(self.reader()).await?)
    }

    async fn copies(&self, batch: BatchId) -> Result<Vec<CopyRow>> {
        sqlx::query(sql::COPIES).bind(batch).fetch_all(self.reader()).await?.iter().map(copy).collect()
    }

    async fn is_staged(&self, source: &str, id: &str) -> Result<bool> {
        let (source, id) = (key(source), key(id));
        let found = sqlx::query_scalar(sql::IS_STAGED).bind(&*source).bind(&*id);
        Ok(found.fetch_one(self.reader()).await?)
    }

    async fn roomless(&self, range: SeqRange, after: Seq, limit: u32) -> Result<Vec<RoomlessEvent>> {
        let found = sqlx::query(sql::ROOMLESS)
            .bind(range.from.max(after))
            .bind(range.to)
            .bind(i64::from(limit))
            .fetch_all(self.reader())
            .await?;
        found.iter().map(roomless).collect()
    }
}

#[async_trait]
impl WriteEvidence for SqliteStaging {
    async fn record_certificate(&self, lease: &Lease, batch: BatchId, certificate: &Draft) -> Result<Vec<u8>> {
        let mut tx = self.begin().await?;
        leases::check(&mut tx, lease).await?;
        let kind = certificate.kind().as_str();
        let stands = sqlx::query_scalar(sql::ENTRY_OF_BATCH).bind(kind).bind(batch).fetch_optional(&mut *tx).await?;
        let bytes = match stands {
            Some(bytes) => bytes,
            None => append(&mut tx, certificate, About { batch: Some(batch), name: None }).await?.1,
        };
        commit(tx, Commit::CERTIFICATE_RECORDED).await?;
        Ok(bytes)
    }

    async fn record_key(&self, fingerprint: &str, draft: &Draft, act: Option<&NewAct>) -> Result<()> {
        let mut tx = self.begin().await?;
        let kind = draft.kind().as_str();
        // Before looking: two processes may find the same key at once.
        sqlx::query(sql::LOCK_LOG).execute(&mut *tx).await?;
        let stands = sqlx::query_scalar(sql::ENTRY_OF_NAME).bind(kind).bind(fingerprint);
        let stands: Option<i64> = stands.fetch_optional(&mut *tx).await?;
        if stands.is_none() {
            append(&mut tx, draft, About { name: Some(fingerprint), batch: None }).await?;
            if let Some(act) = act {
                add_act(&mut tx, act).await?;
            }
        }
        commit(tx, Commit::KEY_RECORDED).await
    }

    async fn record_copies(&self, lease: &Lease, batch: BatchId, copies: &[CopyRow]) -> Result<()> {
        let mut tx = self.begin().await?;
        leases::check(&mut tx, lease).await?;
        let row = batches::locked(&mut tx, batch).await?;
        if !matches!(row.state, BatchState::Published | BatchState::Collected) {
            return Err(refused(format!("batch {batch} is {}: nothing is put beside its outputs", row.state)));
        }
        if sqlx::query(sql::COPIES).bind(batch).fetch_optional(&mut *tx).await?.is_none() {
            for (position, copy) in (0_i64..).zip(copies) {
                sqlx::query(sql::ADD_COPY)
                    .bind(batch)
                    .bind(position)
                    .bind(&copy.name)
                    .bind(count(copy.size))
                    .bind(&copy.sha256[..])
                    .bind(&copy.workplace.share)
                    .bind(&copy.workplace.directory)
                    .execute(&mut *tx)
                    .await?;
            }
        }
        commit(tx, Commit::COPIES_RECORDED).await
    }

    async fn mark_copied(&self, lease: &Lease, batch: BatchId, at: Ticks) -> Result<()> {
        let mut tx = self.begin().await?;
        leases::check(&mut tx, lease).await?;
        sqlx::query(sql::SET_COPIED).bind(batch).bind(at.ticks()).execute(&mut *tx).await?;
        commit(tx, Commit::MARKED_COPIED).await
    }

    async fn log_written(&self, lease: &Lease, entries: u64) -> Result<()> {
        let mut tx = self.begin().await?;
        leases::check(&mut tx, lease).await?;
        sqlx::query(sql::SET_WRITTEN).bind(count(entries)).execute(&mut *tx).await?;
        sqlx::query(sql::CLEAR_PIECES).bind(count(entries)).execute(&mut *tx).await?;
        commit(tx, Commit::LOG_WRITTEN).await
    }
}

fn link(row: &SqliteRow) -> Result<Link> {
    Ok(Link { entry: uncount(row.try_get("entry")?), sha256: digest(row.try_get("sha256")?)? })
}

fn copy(row: &SqliteRow) -> Result<CopyRow> {
    Ok(CopyRow {
        name: row.try_get("name")?,
        size: uncount(row.try_get("size")?),
        sha256: digest(row.try_get("sha256")?)?,
        workplace: Workplace { share: row.try_get("share")?, directory: row.try_get("workplace")? },
        copied_at: row.try_get::<Option<i64>, _>("copied_at")?.map(Ticks::saturating_from_ticks),
    })
}

fn log_entry(row: &SqliteRow) -> Result<LogEntry> {
    let word: &str = row.try_get("kind")?;
    let kind = EntryKind::of_word(word).ok_or_else(|| broken(format!("{word:?} is no kind of entry")))?;
    Ok(LogEntry {
        entry: uncount(row.try_get("entry")?),
        kind,
        batch: row.try_get("batch_id")?,
        sha256: digest(row.try_get("sha256")?)?,
        bytes: row.try_get("bytes")?,
    })
}

fn roomless(row: &SqliteRow) -> Result<RoomlessEvent> {
    Ok(RoomlessEvent {
        seq: row.try_get("seq")?,
        source: Arc::from(rows::whole(row, "source", "whole_source")?),
        id: rows::whole(row, "event_id", "whole_id")?,
        kind: Kind::of_code(row.try_get("kind")?),
        sequence: row.try_get::<Option<i64>, _>("sequence")?.map(uncount),
        raw: row.try_get("raw")?,
    })
}
