//! The statements behind reconciliation.

use async_trait::async_trait;
use sqlx::Row;

use super::{PostgresStaging, rows, sql};
use crate::model::Ticks;
use crate::staging::keys::{id_hash, key, plain};
use crate::staging::{Balance, KnownEvent, Result, RoomBalance, RoomHour, SeqRange, SourceBalance};

/// An hour in ticks.
const HOUR: i64 = 36_000_000_000;

#[async_trait]
impl Balance for PostgresStaging {
    async fn source_balance(&self) -> Result<Vec<SourceBalance>> {
        sqlx::query(sql::SOURCE_BALANCE).fetch_all(self.reader()).await?.iter().map(rows::source_balance).collect()
    }

    async fn room_balance(&self) -> Result<Vec<RoomBalance>> {
        sqlx::query(sql::ROOM_BALANCE).fetch_all(self.reader()).await?.iter().map(rows::room_balance).collect()
    }

    async fn room_counts(&self, range: SeqRange) -> Result<Vec<(String, u64)>> {
        let found = sqlx::query(sql::ROOM_COUNTS).bind(range.from).bind(range.to).fetch_all(self.reader()).await?;
        found.iter().map(rows::room_count).collect()
    }

    async fn room_hours(&self, from: Ticks, to: Ticks) -> Result<Vec<RoomHour>> {
        let (first, end) = (from.ticks() / HOUR, to.ticks() / HOUR + i64::from(to.ticks() % HOUR > 0));
        let found = sqlx::query(sql::ROOM_HOURS).bind(first).bind(end).fetch_all(self.reader()).await?;
        found.iter().map(rows::room_hour).collect()
    }

    async fn known_events(&self, source: &str, ids: &[String]) -> Result<Vec<Option<KnownEvent>>> {
        let mut reader = self.reader().acquire().await?;
        let source_key = key(source);
        let numbers =
            sqlx::query(sql::FIND_SOURCES).bind(vec![source_key.into_owned()]).fetch_optional(&mut *reader).await?;
        let source_no: i64 = numbers.map_or(Ok(0), |row| row.try_get("source_no"))?;
        let mut known = Vec::with_capacity(ids.len());
        for id in ids {
            let event_key = key(id);
            let asked = sqlx::query_scalar(sql::KNOWN_EVENT)
                .bind(source_no)
                .bind(event_key.clone().into_owned())
                .bind(id_hash(&event_key).to_vec())
                .bind(plain(source).into_owned())
                .bind(plain(id).into_owned());
            let word: String = asked.fetch_one(&mut *reader).await?;
            known.push(match word.as_str() {
                "staged" => Some(KnownEvent::Staged),
                "purged" => Some(KnownEvent::Purged),
                "quarantined" => Some(KnownEvent::Quarantined),
                _ => None,
            });
        }
        Ok(known)
    }

    async fn event_ids(&self, source: &str, from: Ticks, to: Ticks) -> Result<Vec<String>> {
        let ids = sqlx::query(sql::EVENT_IDS).bind(key(source).into_owned()).bind(from.ticks()).bind(to.ticks());
        ids.fetch_all(self.reader()).await?.iter().map(|row| rows::whole(row, "event_id", "whole_id")).collect()
    }
}
