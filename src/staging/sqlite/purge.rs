//! Deletes what no adapter needs any more, a slice at a time, so that writers are never held up for long.
//!
//! Each slice asks anew what may go and leaves tombstones in the same commit; nothing above the limit of
//! `staging::steps` is ever touched.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sqlx::{AssertSqlSafe, SqliteConnection};

use super::arrive::chunk;
use super::holds::{note_held, sift, standing};
use super::{SqliteStaging, rows, sql};
use crate::model::Ticks;
use crate::staging::commit::commit;
use crate::staging::keys::{count, digest, half, id_hash, uncount};
use crate::staging::steps::purge_limit;
use crate::staging::{PurgedEvents, Result, Seq, SeqRange};
use crate::support::step::Commit;

/// A deleted event: number, source, id, digest, room, time.
type Gone = (Seq, i64, String, Vec<u8>, Option<i64>, i64);

/// An hour in ticks.
const HOUR: i64 = 36_000_000_000;
/// Rows deleted in one transaction.
const SLICE: i64 = 20_000;
/// For how long it is told in which room and hour purged events happened; afterwards only the day.
const ROOM_TOTALS_AGE: Duration = Duration::from_secs(35 * 86_400);
/// Events looked at in one transaction while there are holds.
const SIFTED_MAX: i64 = 2_000;
/// How long a tombstone stands: longer than any queue or spool holds back a second delivery.
const TOMBSTONE_AGE: Duration = Duration::from_secs(30 * 86_400);

impl SqliteStaging {
    pub(super) async fn purge(&self, adapters: &[String]) -> Result<PurgedEvents> {
        let mut returned = self.returned.lock().await;
        if !returned.is_empty() {
            self.forget_swept(&returned).await?;
            returned.clear();
        }
        let now = Ticks::now();
        let mut purged = PurgedEvents::default();
        let mut after = Some(0);
        while let Some(from) = after {
            let events;
            (events, after) = self.purge_slice(adapters, from, now).await?;
            purged.events += uncount(events);
        }
        if purged.events > 0 {
            self.purge_leftovers(adapters).await?;
        }
        self.purge_tombstones(now).await?;
        purged.unreferenced = self.unreferenced().await?;
        returned.clone_from(&purged.unreferenced);
        Ok(purged)
    }

    /// One slice of events with their captures; returns how many events went, and after which the next slice begins.
    /// What a hold covers stays.
    async fn purge_slice(&self, adapters: &[String], from: Seq, now: Ticks) -> Result<(i64, Option<Seq>)> {
        let mut tx = self.begin().await?;
        let limit = limit(&mut tx, adapters).await?;
        // In this transaction: one that places a hold comes before it or after it.
        let holds = standing(&mut tx).await?;
        let (events, last, next) = if holds.is_empty() {
            let (events, last) = bury(&mut tx, limit, now).await?;
            (events, last, (events >= SLICE).then_some(last))
        } else {
            let sifted = sift(&mut tx, SeqRange { from, to: limit }, &holds, SIFTED_MAX).await?;
            note_held(&mut tx, &sifted.held).await?;
            let (events, last) = bury_listed(&mut tx, &sifted.free, now).await?;
            (events, last, sifted.more.then_some(sifted.last))
        };
        if events > 0 {
            sqlx::query(sql::RELEASE_CAPTURES).bind(last).execute(&mut *tx).await?;
            sqlx::query(sql::PURGE_CAPTURES).bind(last).execute(&mut *tx).await?;
            sqlx::query(sql::RELEASE_PENDING).bind(last).execute(&mut *tx).await?;
            sqlx::query(sql::PURGE_PENDING).bind(last).execute(&mut *tx).await?;
        }
        commit(tx, Commit::STAGING_PURGED).await?;
        if events > 0 {
            self.any_seen.store(true, Ordering::Relaxed);
        }
        Ok((events, next))
    }

    /// Message numbers and presence rows that only purged events needed.
    async fn purge_leftovers(&self, adapters: &[String]) -> Result<()> {
        let mut tx = self.begin().await?;
        let limit = limit(&mut tx, adapters).await?;
        sqlx::query(sql::PURGE_MESSAGES).bind(limit).execute(&mut *tx).await?;
        sqlx::query(sql::PURGE_PRESENCE).execute(&mut *tx).await?;
        commit(tx, Commit::LEFTOVERS_PURGED).await
    }

    async fn purge_tombstones(&self, now: Ticks) -> Result<()> {
        let by_day = now.minus(ROOM_TOTALS_AGE).ticks() / HOUR / 24 * 24;
        let mut tx = self.begin().await?;
        sqlx::query(sql::COMPACT_TOTALS).bind(by_day).execute(&mut *tx).await?;
        sqlx::query(sql::FORGET_TOTALS).bind(by_day).execute(&mut *tx).await?;
        commit(tx, Commit::TOTALS_COMPACTED).await?;
        let before = now.minus(TOMBSTONE_AGE).ticks();
        loop {
            let mut tx = self.begin().await?;
            let purge = sqlx::query(sql::PURGE_SEEN).bind(before).bind(SLICE);
            let purged = purge.execute(&mut *tx).await?.rows_affected();
            commit(tx, Commit::TOMBSTONES_PURGED).await?;
            if purged < SLICE.unsigned_abs() {
                return Ok(());
            }
        }
    }

    /// Digests without a capture. They stay on record until the next purge, so that a crash before the
    /// vault's sweep loses none of them.
    async fn unreferenced(&self) -> Result<Vec<[u8; 32]>> {
        let mut tx = self.begin().await?;
        sqlx::query(sql::REFERENCED_AGAIN).execute(&mut *tx).await?;
        let found: Vec<Vec<u8>> = sqlx::query_scalar(sql::UNREFERENCED).fetch_all(&mut *tx).await?;
        commit(tx, Commit::UNREFERENCED_LISTED).await?;
        found.iter().map(|sha256| digest(sha256)).collect()
    }

    async fn forget_swept(&self, digests: &[[u8; 32]]) -> Result<()> {
        let mut tx = self.begin().await?;
        for sha256 in digests {
            sqlx::query(sql::SWEPT).bind(&sha256[..]).execute(&mut *tx).await?;
        }
        commit(tx, Commit::SWEPT_FORGOTTEN).await
    }
}

/// The last arrival number that may go.
pub(super) async fn limit(connection: &mut SqliteConnection, adapters: &[String]) -> Result<Seq> {
    let cut = sqlx::query(sql::ADAPTERS).fetch_all(&mut *connection).await?;
    let cut = cut.iter().map(rows::adapter).collect::<Result<Vec<_>>>()?;
    let open: Vec<(String, Seq)> = sqlx::query_as(sql::OPEN_BATCHES).fetch_all(connection).await?;
    Ok(purge_limit(adapters, &cut, &open))
}

/// Deletes a slice of events and leaves tombstones; returns how many, and the last arrival number among them.
async fn bury(connection: &mut SqliteConnection, limit: Seq, now: Ticks) -> Result<(i64, Seq)> {
    let purge = sqlx::query_as(sql::PURGE_EVENTS).bind(limit).bind(SLICE);
    let gone = purge.fetch_all(&mut *connection).await?;
    leave_tombstones(connection, &gone, now).await
}

/// As [`bury`], for events that were chosen.
async fn bury_listed(connection: &mut SqliteConnection, seqs: &[Seq], now: Ticks) -> Result<(i64, Seq)> {
    let seqs = serde_json::Value::from_iter(seqs.iter().copied()).to_string();
    let gone = sqlx::query_as(sql::PURGE_LISTED).bind(seqs).fetch_all(&mut *connection).await?;
    leave_tombstones(connection, &gone, now).await
}

async fn leave_tombstones(connection: &mut SqliteConnection, gone: &[Gone], now: Ticks) -> Result<(i64, Seq)> {
    let mut totals: BTreeMap<(i64, i64, i64), i64> = BTreeMap::new();
    for (_, source_no, _, _, room_no, time) in gone {
        *totals.entry((*source_no, room_no.unwrap_or(0), time / HOUR)).or_default() += 1;
    }
    let mut rooms: BTreeMap<i64, i64> = BTreeMap::new();
    for ((source_no, room_no, hour), events) in totals {
        if room_no != 0 {
            *rooms.entry(room_no).or_default() += events;
        }
        let add = sqlx::query(sql::ADD_PURGED).bind(source_no).bind(room_no).bind(hour).bind(events);
        add.execute(&mut *connection).await?;
    }
    let rooms = serde_json::Value::from_iter(rooms.into_iter().map(|(room_no, events)| vec![room_no, events]));
    sqlx::query(sql::ADD_ROOM_PURGES).bind(rooms.to_string()).execute(&mut *connection).await?;
    let mut rest = gone;
    while !rest.is_empty() {
        let (part, after) = rest.split_at(chunk(rest.len()));
        rest = after;
        let statement = sql::many(sql::ADD_SEEN, "(?, ?, ?, ?)", sql::ADD_SEEN_END, part.len());
        let mut add = sqlx::query(AssertSqlSafe(statement));
        for (_, source_no, key, sha256, ..) in part {
            add = add.bind(source_no).bind(id_hash(key).to_vec()).bind(half(&digest(sha256)?).to_vec());
            add = add.bind(now.ticks());
        }
        add.execute(&mut *connection).await?;
    }
    let last = gone.iter().map(|(seq, ..)| *seq).max().unwrap_or(0);
    Ok((count(gone.len() as u64), last))
}
