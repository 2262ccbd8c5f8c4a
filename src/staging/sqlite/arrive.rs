//! The statements with which events arrive. What is kept and why is decided in `staging::arrival`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use sqlx::{AssertSqlSafe, Row, SqliteConnection};

use super::{SqliteStaging, sql};
use crate::model::Ticks;
use crate::staging::arrival::{Arrival, Book, EventRow, Held, Inserted, Tally, Tombstone, Variant, new_items};
use crate::staging::keys::{broken, count, digest, id_hash, key, plain, whole};
use crate::staging::sequence::{Changes, OpenGap, Track};
use crate::staging::{Result, Seq, StagingError};

/// A statement carries one of these numbers of rows and about so many bytes, whatever a call holds.
const CHUNKS: [usize; 4] = [200, 20, 5, 1];
const BYTES_MAX: usize = 32 << 20;

/// The statements of one transaction.
pub(super) struct Tx<'a> {
    pub(super) store: &'a SqliteStaging,
    pub(super) connection: &'a mut SqliteConnection,
}

#[async_trait]
impl Arrival for Tx<'_> {
    async fn number(&mut self, book: Book, texts: &[&str]) -> Result<Vec<i64>> {
        let keys: Vec<String> = texts.iter().map(|text| key(text).into_owned()).collect();
        let mut known = self.find(book, &keys).await?;
        if known.len() < texts.len() {
            let add = match book {
                Book::Sources => sql::ADD_SOURCE,
                Book::Rooms => sql::ADD_ROOM,
                Book::Persons => sql::ADD_PERSON,
            };
            for (text, key) in texts.iter().zip(&keys).filter(|(_, key)| !known.contains_key(*key)) {
                sqlx::query(add).bind(key).bind(whole(text, key)).execute(&mut *self.connection).await?;
            }
            known = self.find(book, &keys).await?;
        }
        let number = |key| known.get(key).copied().ok_or_else(|| broken("a number just given is not there"));
        keys.iter().map(number).collect()
    }

    async fn insert(&mut self, rows: &[EventRow<'_>]) -> Result<Inserted> {
        // The only writer: what has a higher number afterwards was inserted here.
        let before: Seq = sqlx::query_scalar(sql::LAST_SEQ).fetch_one(&mut *self.connection).await?;
        let mut inserted = 0;
        let mut rest = rows;
        while !rest.is_empty() {
            let (part, after) = rest.split_at(statement_rows(rest, |row| row.event.raw.len()));
            rest = after;
            inserted += insert_query(part).execute(&mut *self.connection).await?.rows_affected();
        }
        if inserted == rows.len() as u64 {
            return Ok(Inserted::All);
        }
        let seqs = sqlx::query_scalar(sql::SEQS_AFTER).bind(before).fetch_all(&mut *self.connection).await?;
        Ok(Inserted::Some(seqs.into_iter().collect::<HashSet<_>>()))
    }

    async fn insert_variant(&mut self, row: &EventRow<'_>, variant: i64) -> Result<Option<Seq>> {
        let event = row.event;
        let inserted = sqlx::query_scalar(sql::INSERT_VARIANT)
            .bind(row.source_no)
            .bind(&*row.key)
            .bind(whole(&event.id, &row.key))
            .bind(variant)
            .bind(event.kind.code())
            .bind(row.room_no)
            .bind(row.person_no)
            .bind(row.message_key.as_deref())
            .bind(event.time.ticks())
            .bind(event.time_is_receipt)
            .bind(event.sequence.map(count))
            .bind(event.received.ticks())
            .bind(&event.sha256[..])
            .bind(&event.raw);
        Ok(inserted.fetch_optional(&mut *self.connection).await?)
    }

    async fn tombstones(&mut self, rows: &[EventRow<'_>]) -> Result<Vec<Tombstone>> {
        if !self.store.any_seen.load(Ordering::Relaxed) {
            if !sqlx::query_scalar::<_, bool>(sql::ANY_SEEN).fetch_one(&mut *self.connection).await? {
                return Ok(Vec::new());
            }
            self.store.any_seen.store(true, Ordering::Relaxed);
        }
        let mut found = Vec::new();
        let mut rest = rows;
        while !rest.is_empty() {
            let (part, after) = rest.split_at(chunk(rest.len()));
            rest = after;
            let mut query = sqlx::query(AssertSqlSafe(sql::many(sql::SEEN, "(?, ?)", sql::SEEN_END, part.len())));
            for row in part {
                query = query.bind(row.source_no).bind(id_hash(&row.key).to_vec());
            }
            found.extend(query.fetch_all(&mut *self.connection).await?);
        }
        let half = |bytes: &[u8]| bytes.try_into().map_err(|_| broken("a tombstone has the wrong size"));
        let grave = |row: &sqlx::sqlite::SqliteRow| {
            Ok(Tombstone {
                source_no: row.try_get("source_no")?,
                id_hash: half(row.try_get("id_hash")?)?,
                digest: half(row.try_get("digest")?)?,
            })
        };
        found.iter().map(grave).collect()
    }

    async fn variants(&mut self, keys: &[(i64, &str)]) -> Result<Vec<Variant>> {
        let mut found = Vec::new();
        let mut rest = keys;
        while !rest.is_empty() {
            let (part, after) = rest.split_at(chunk(rest.len()));
            rest = after;
            let mut query =
                sqlx::query(AssertSqlSafe(sql::many(sql::VARIANTS, "(?, ?)", sql::VARIANTS_END, part.len())));
            for (source_no, key) in part {
                query = query.bind(source_no).bind(key.to_owned());
            }
            found.extend(query.fetch_all(&mut *self.connection).await?);
        }
        let variant = |row: &sqlx::sqlite::SqliteRow| {
            Ok(Variant {
                seq: row.try_get("seq")?,
                source_no: row.try_get("source_no")?,
                key: row.try_get("event_id")?,
                variant: row.try_get("variant")?,
                sha256: digest(row.try_get("sha256")?)?,
            })
        };
        found.iter().map(variant).collect()
    }

    async fn raw(&mut self, seq: Seq) -> Result<Vec<u8>> {
        let raw = sqlx::query_scalar(sql::RAW).bind(seq).fetch_optional(&mut *self.connection).await?;
        raw.ok_or_else(|| StagingError::Unavailable { detail: "an event was purged while it was compared".into() })
    }

    async fn flag(&mut self, source_no: i64, key: &str) -> Result<()> {
        sqlx::query(sql::FLAG).bind(source_no).bind(key).execute(&mut *self.connection).await?;
        Ok(())
    }

    async fn remove(&mut self, seqs: &[Seq]) -> Result<()> {
        sqlx::query(sql::REMOVE)
            .bind(serde_json::Value::from_iter(seqs.iter().copied()).to_string())
            .execute(&mut *self.connection)
            .await?;
        Ok(())
    }

    async fn raise(&mut self, kind: &str, subject: &str, detail: &str, at: Ticks) -> Result<()> {
        raise(&mut *self.connection, kind, subject, detail, at).await
    }

    async fn quarantine(&mut self, items: &[Held<'_>]) -> Result<u64> {
        let mut new = 0;
        let mut rest = items;
        while !rest.is_empty() {
            let (part, after) = rest.split_at(statement_rows(rest, |held| held.item.raw.len()));
            rest = after;
            new += new_items(part, &quarantine_query(part).fetch_all(&mut *self.connection).await?);
        }
        Ok(new)
    }

    async fn tally(&mut self, tallies: &BTreeMap<i64, Tally>) -> Result<()> {
        for (source_no, tally) in tallies {
            sqlx::query(sql::TALLY)
                .bind(source_no)
                .bind(tally.staged)
                .bind(tally.duplicates)
                .bind(tally.conflicts)
                .bind(tally.last_sequence)
                .bind(tally.heartbeat_sequence)
                .bind(tally.last_received)
                .execute(&mut *self.connection)
                .await?;
        }
        Ok(())
    }

    async fn tally_rooms(&mut self, kept: &BTreeMap<i64, i64>) -> Result<()> {
        let kept =
            serde_json::Value::from_iter(kept.iter().map(|(room_no, events)| vec![*room_no, *events])).to_string();
        sqlx::query(sql::TALLY_ROOMS).bind(kept).execute(&mut *self.connection).await?;
        Ok(())
    }

    async fn tracks(&mut self, sources: &[i64]) -> Result<Vec<(i64, Track)>> {
        self.read_tracks(sources).await
    }

    async fn open_gaps(&mut self, source_no: i64, first: i64, last: i64) -> Result<Vec<OpenGap>> {
        self.read_gaps(source_no, first, last).await
    }

    async fn were_quarantined(&mut self, source: &str, numbers: &[i64]) -> Result<Vec<i64>> {
        let numbers = serde_json::Value::from_iter(numbers.iter().copied()).to_string();
        let asked = sqlx::query_scalar(sql::WERE_QUARANTINED).bind(plain(source)).bind(numbers);
        Ok(asked.fetch_all(&mut *self.connection).await?)
    }

    async fn follow(&mut self, source_no: i64, changes: &Changes, now: i64) -> Result<()> {
        self.write_changes(source_no, changes, now).await
    }
}

impl Tx<'_> {
    async fn find(&mut self, book: Book, keys: &[String]) -> Result<HashMap<String, i64>> {
        let find = match book {
            Book::Sources => sql::FIND_SOURCES,
            Book::Rooms => sql::FIND_ROOMS,
            Book::Persons => sql::FIND_PERSONS,
        };
        let keys = serde_json::Value::from_iter(keys.iter().map(String::as_str)).to_string();
        let found = sqlx::query_as::<_, (i64, String)>(find).bind(keys).fetch_all(&mut *self.connection).await?;
        Ok(found.into_iter().map(|(number, key)| (key, number)).collect())
    }
}

/// How many of so many rows the next statement carries. A few sizes only, so that each is prepared once.
pub(super) fn chunk(rows: usize) -> usize {
    CHUNKS.into_iter().find(|&size| size <= rows).unwrap_or(rows)
}

/// How many of the rows the next statement carries; fewer where they are large.
fn statement_rows<T>(rows: &[T], bytes: impl Fn(&T) -> usize) -> usize {
    let bytes = |size: usize| rows.iter().take(size).map(&bytes).sum::<usize>();
    CHUNKS.into_iter().find(|&size| size <= rows.len() && bytes(size) <= BYTES_MAX).unwrap_or(1)
}

type InsertQuery<'q> = sqlx::query::Query<'q, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>;

fn insert_query<'q>(rows: &'q [EventRow<'_>]) -> InsertQuery<'q> {
    let statement = sql::many(sql::INSERT_EVENTS, sql::EVENT_VALUES, sql::INSERT_EVENTS_END, rows.len());
    let mut query = sqlx::query(AssertSqlSafe(statement));
    for row in rows {
        let event = row.event;
        query = query
            .bind(row.source_no)
            .bind(&*row.key)
            .bind(whole(&event.id, &row.key))
            .bind(event.kind.code())
            .bind(row.room_no)
            .bind(row.person_no)
            .bind(row.message_key.as_deref())
            .bind(event.time.ticks())
            .bind(event.time_is_receipt)
            .bind(event.sequence.map(count))
            .bind(event.received.ticks())
            .bind(&event.sha256[..])
            .bind(&event.raw[..]);
    }
    query
}

type QuarantineQuery<'q> = sqlx::query::QueryAs<'q, sqlx::Sqlite, (Vec<u8>, i64), sqlx::sqlite::SqliteArguments>;

/// One statement for many items: each one waits for its answer, and sound events wait with it.
fn quarantine_query<'q>(items: &'q [Held<'_>]) -> QuarantineQuery<'q> {
    let statement = sql::many(sql::QUARANTINE, sql::QUARANTINE_VALUES, sql::QUARANTINE_END, items.len());
    let mut query = sqlx::query_as(AssertSqlSafe(statement));
    for held in items {
        let item = held.item;
        query = query
            .bind(&held.key[..])
            .bind(item.received.ticks())
            .bind(plain(&item.origin))
            .bind(plain(&item.reason))
            .bind(plain(&item.detail))
            .bind(item.source.as_deref().map(plain))
            .bind(item.event_id.as_deref().map(plain))
            .bind(item.headers.as_deref().map(plain))
            .bind(count(item.raw.len() as u64))
            .bind(&held.sha256[..])
            .bind(&item.raw[..])
            .bind(held.seen)
            .bind(item.sequence.map(count));
    }
    query
}

/// Opens an alert or counts it up.
pub(super) async fn raise(
    connection: &mut SqliteConnection,
    kind: &str,
    subject: &str,
    detail: &str,
    at: Ticks,
) -> Result<()> {
    let raise = sqlx::query(sql::RAISE).bind(kind).bind(&*key(subject)).bind(&*plain(detail)).bind(at.ticks());
    raise.execute(connection).await?;
    Ok(())
}
