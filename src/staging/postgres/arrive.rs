//! The statements with which events arrive. What is kept and why is decided in `staging::arrival`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use sqlx::{PgConnection, Row};

use super::{PostgresStaging, sql};
use crate::model::Ticks;
use crate::staging::arrival::{Arrival, Book, EventRow, Held, Inserted, Tally, Tombstone, Variant, new_items};
use crate::staging::keys::{broken, count, digest, id_hash, key, plain, whole};
use crate::staging::sequence::{Changes, OpenGap, Track};
use crate::staging::{NewQuarantined, Result, Seq, StagingError};

/// A statement carries at most so many rows and about so many bytes, whatever a call holds.
const ROWS_MAX: usize = 10_000;
const BYTES_MAX: usize = 32 << 20;

/// The statements of one transaction.
pub(super) struct Tx<'a> {
    pub(super) store: &'a PostgresStaging,
    pub(super) connection: &'a mut PgConnection,
}

#[async_trait]
impl Arrival for Tx<'_> {
    async fn number(&mut self, book: Book, texts: &[&str]) -> Result<Vec<i64>> {
        let keys: Vec<String> = texts.iter().map(|text| key(text).into_owned()).collect();
        let mut known = self.find(book, &keys).await?;
        if known.len() < texts.len() {
            // Only one transaction at a time numbers, so numbers have no gaps and follow arrival.
            sqlx::query(sql::LOCK).bind(self.store.locks.numbers).execute(&mut *self.connection).await?;
            known = self.find(book, &keys).await?;
            let new: Vec<usize> = (0..keys.len()).filter(|&place| !known.contains_key(&keys[place])).collect();
            let wholes: Vec<Option<&[u8]>> = new.iter().map(|&place| whole(texts[place], &keys[place])).collect();
            let new: Vec<&str> = new.iter().map(|&place| keys[place].as_str()).collect();
            let add = match book {
                Book::Sources => sql::ADD_SOURCES,
                Book::Rooms => sql::ADD_ROOMS,
                Book::Persons => sql::ADD_PERSONS,
            };
            sqlx::query(add).bind(new).bind(wholes).execute(&mut *self.connection).await?;
            known = self.find(book, &keys).await?;
        }
        let number = |key| known.get(key).copied().ok_or_else(|| broken("a number just given is not there"));
        keys.iter().map(number).collect()
    }

    async fn insert(&mut self, rows: &[EventRow<'_>]) -> Result<Inserted> {
        let mut inserted: Vec<Seq> = Vec::with_capacity(rows.len());
        let mut rest = rows;
        while !rest.is_empty() {
            let (part, after) = rest.split_at(statement_rows(rest, |row| row.event.raw.len()));
            rest = after;
            inserted.extend(insert_query(part).fetch_all(&mut *self.connection).await?);
        }
        if inserted.len() == rows.len() {
            return Ok(Inserted::All);
        }
        Ok(Inserted::Some(inserted.into_iter().collect::<HashSet<_>>()))
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
            if !sqlx::query_scalar(sql::ANY_SEEN).fetch_one(&mut *self.connection).await? {
                return Ok(Vec::new());
            }
            self.store.any_seen.store(true, Ordering::Relaxed);
        }
        let sources: Vec<i64> = rows.iter().map(|row| row.source_no).collect();
        let hashes: Vec<Vec<u8>> = rows.iter().map(|row| id_hash(&row.key).to_vec()).collect();
        let found = sqlx::query(sql::SEEN).bind(sources).bind(hashes).fetch_all(&mut *self.connection).await?;
        let half = |bytes: &[u8]| bytes.try_into().map_err(|_| broken("a tombstone has the wrong size"));
        let grave = |row: &sqlx::postgres::PgRow| {
            Ok(Tombstone {
                source_no: row.try_get("source_no")?,
                id_hash: half(row.try_get("id_hash")?)?,
                digest: half(row.try_get("digest")?)?,
            })
        };
        found.iter().map(grave).collect()
    }

    async fn variants(&mut self, keys: &[(i64, &str)]) -> Result<Vec<Variant>> {
        let sources: Vec<i64> = keys.iter().map(|(source_no, _)| *source_no).collect();
        let ids: Vec<&str> = keys.iter().map(|(_, key)| *key).collect();
        let found = sqlx::query(sql::VARIANTS).bind(sources).bind(ids).fetch_all(&mut *self.connection).await?;
        let variant = |row: &sqlx::postgres::PgRow| {
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
        sqlx::query(sql::REMOVE).bind(seqs).execute(&mut *self.connection).await?;
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
        let sources: Vec<i64> = tallies.keys().copied().collect();
        if sources.len() > 1 {
            // In one order, or two writers could wait for each other.
            sqlx::query(sql::LOCK_SOURCES).bind(&sources).execute(&mut *self.connection).await?;
        }
        let each = |count: fn(&Tally) -> i64| tallies.values().map(count).collect::<Vec<_>>();
        let maybe = |count: fn(&Tally) -> Option<i64>| tallies.values().map(count).collect::<Vec<_>>();
        sqlx::query(sql::TALLY)
            .bind(sources)
            .bind(each(|tally| tally.staged))
            .bind(each(|tally| tally.duplicates))
            .bind(each(|tally| tally.conflicts))
            .bind(maybe(|tally| tally.last_sequence))
            .bind(maybe(|tally| tally.heartbeat_sequence))
            .bind(each(|tally| tally.last_received))
            .execute(&mut *self.connection)
            .await?;
        Ok(())
    }

    async fn tally_rooms(&mut self, kept: &BTreeMap<i64, i64>) -> Result<()> {
        let (rooms, events): (Vec<i64>, Vec<i64>) = kept.iter().map(|(room_no, events)| (*room_no, *events)).unzip();
        sqlx::query(sql::TALLY_ROOMS).bind(rooms).bind(events).execute(&mut *self.connection).await?;
        Ok(())
    }

    async fn tracks(&mut self, sources: &[i64]) -> Result<Vec<(i64, Track)>> {
        self.read_tracks(sources).await
    }

    async fn open_gaps(&mut self, source_no: i64, first: i64, last: i64) -> Result<Vec<OpenGap>> {
        self.read_gaps(source_no, first, last).await
    }

    async fn were_quarantined(&mut self, source: &str, numbers: &[i64]) -> Result<Vec<i64>> {
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
        let found = sqlx::query_as::<_, (i64, String)>(find).bind(keys).fetch_all(&mut *self.connection).await?;
        Ok(found.into_iter().map(|(number, key)| (key, number)).collect())
    }
}

/// How many of the rows the next statement carries; at least one.
fn statement_rows<T>(rows: &[T], bytes: impl Fn(&T) -> usize) -> usize {
    let mut sum = 0;
    let fitting = rows.iter().take(ROWS_MAX).take_while(|row| {
        sum += bytes(row);
        sum <= BYTES_MAX
    });
    fitting.count().max(1)
}

type InsertQuery<'q> = sqlx::query::QueryScalar<'q, sqlx::Postgres, Seq, sqlx::postgres::PgArguments>;

fn insert_query<'q>(rows: &'q [EventRow<'_>]) -> InsertQuery<'q> {
    sqlx::query_scalar(sql::INSERT_EVENTS)
        .bind(rows.iter().map(|row| row.source_no).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| &*row.key).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| whole(&row.event.id, &row.key)).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.event.kind.code()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.room_no).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.person_no).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.message_key.as_deref()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.event.time.ticks()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.event.time_is_receipt).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.event.sequence.map(count)).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.event.received.ticks()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| &row.event.sha256[..]).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| &row.event.raw[..]).collect::<Vec<_>>())
}

type QuarantineQuery<'q> = sqlx::query::QueryAs<'q, sqlx::Postgres, (Vec<u8>, i64), sqlx::postgres::PgArguments>;

/// One statement for many items: each one waits for its answer, and sound events wait with it.
fn quarantine_query<'q>(items: &'q [Held<'_>]) -> QuarantineQuery<'q> {
    let text = |of: fn(&NewQuarantined) -> &str| items.iter().map(|held| plain(of(held.item))).collect::<Vec<_>>();
    let maybe =
        |of: fn(&NewQuarantined) -> Option<&str>| items.iter().map(|held| of(held.item).map(plain)).collect::<Vec<_>>();
    sqlx::query_as(sql::QUARANTINE)
        .bind(items.iter().map(|held| &held.key[..]).collect::<Vec<_>>())
        .bind(items.iter().map(|held| held.item.received.ticks()).collect::<Vec<_>>())
        .bind(text(|item| &item.origin))
        .bind(text(|item| &item.reason))
        .bind(text(|item| &item.detail))
        .bind(maybe(|item| item.source.as_deref()))
        .bind(maybe(|item| item.event_id.as_deref()))
        .bind(maybe(|item| item.headers.as_deref()))
        .bind(items.iter().map(|held| count(held.item.raw.len() as u64)).collect::<Vec<_>>())
        .bind(items.iter().map(|held| &held.sha256[..]).collect::<Vec<_>>())
        .bind(items.iter().map(|held| &held.item.raw[..]).collect::<Vec<_>>())
        .bind(items.iter().map(|held| held.seen).collect::<Vec<_>>())
        .bind(items.iter().map(|held| held.item.sequence.map(count)).collect::<Vec<_>>())
}

/// Opens an alert or counts it up.
pub(super) async fn raise(
    connection: &mut PgConnection,
    kind: &str,
    subject: &str,
    detail: &str,
    at: Ticks,
) -> Result<()> {
    let raise = sqlx::query(sql::RAISE).bind(kind).bind(&*key(subject)).bind(&*plain(detail)).bind(at.ticks());
    raise.execute(connection).await?;
    Ok(())
}
