//! Looking into staging. Every answer is one statement and so one snapshot; nothing here changes a row.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream::{BoxStream, StreamExt as _};

use super::{SqliteStaging, packed, rows, sql};
use crate::staging::keys::uncount;
use crate::staging::{
    ActRow, AdapterRow, AlertRow, BatchFilter, BatchId, BatchRow, BatchState, BatchTotals, CaptureRow, OutputRow,
    QuarantineFilter, QuarantineRow, QuarantineState, ReadStaging, Result, RoomNo, SeqRange, SetAside, SourceRow,
    StagedEvent, Totals,
};

#[async_trait]
impl ReadStaging for SqliteStaging {
    async fn sources(&self) -> Result<Vec<SourceRow>> {
        sqlx::query(sql::SOURCES).fetch_all(self.reader()).await?.iter().map(rows::source).collect()
    }

    async fn adapters(&self) -> Result<Vec<AdapterRow>> {
        sqlx::query(sql::ADAPTERS).fetch_all(self.reader()).await?.iter().map(rows::adapter).collect()
    }

    async fn batches(&self, filter: &BatchFilter) -> Result<Vec<BatchRow>> {
        let states = serde_json::Value::from_iter(filter.states.iter().copied().map(BatchState::as_str)).to_string();
        let newest_first = sqlx::query(sql::BATCHES)
            .bind(&filter.adapter)
            .bind(states)
            .bind(limit(filter.limit))
            .fetch_all(self.reader())
            .await?;
        newest_first.iter().rev().map(rows::batch).collect()
    }

    async fn batch(&self, id: BatchId) -> Result<Option<BatchRow>> {
        sqlx::query(sql::BATCH).bind(id).fetch_optional(self.reader()).await?.as_ref().map(rows::batch).transpose()
    }

    async fn supplements(&self, id: BatchId) -> Result<Vec<BatchRow>> {
        sqlx::query(sql::SUPPLEMENTS).bind(id).fetch_all(self.reader()).await?.iter().map(rows::batch).collect()
    }

    async fn set_aside(&self, id: BatchId) -> Result<Vec<(Arc<str>, SetAside)>> {
        sqlx::query(sql::SET_ASIDE).bind(id).fetch_all(self.reader()).await?.iter().map(rows::set_aside).collect()
    }

    async fn failures(&self, id: BatchId) -> Result<Vec<(Arc<str>, SetAside)>> {
        sqlx::query(sql::FAILURES).bind(id).fetch_all(self.reader()).await?.iter().map(rows::set_aside).collect()
    }

    async fn batch_totals(&self) -> Result<Vec<BatchTotals>> {
        sqlx::query(sql::BATCH_TOTALS).fetch_all(self.reader()).await?.iter().map(rows::batch_totals).collect()
    }

    async fn count_events(&self, range: SeqRange) -> Result<u64> {
        let count = sqlx::query_scalar(sql::COUNT_EVENTS).bind(range.from).bind(range.to);
        Ok(uncount(count.fetch_one(self.reader()).await?))
    }

    async fn outputs(&self, id: BatchId) -> Result<Vec<OutputRow>> {
        sqlx::query(sql::OUTPUTS).bind(id).fetch_all(self.reader()).await?.iter().map(rows::output).collect()
    }

    fn events(&self, range: SeqRange) -> BoxStream<'_, Result<StagedEvent>> {
        let mut events = packed::Events::default();
        sqlx::query(sql::EVENTS)
            .bind(range.from)
            .bind(range.to)
            .fetch(self.reader())
            .map(move |row| events.read(&row?))
            .boxed()
    }

    async fn uncaptured(&self, range: SeqRange, limit: u32) -> Result<Vec<StagedEvent>> {
        let mut events = packed::Events::default();
        let found = sqlx::query(sql::UNCAPTURED)
            .bind(range.from)
            .bind(range.to)
            .bind(i64::from(limit))
            .fetch_all(self.reader())
            .await?;
        found.iter().map(|row| events.read(row)).collect()
    }

    async fn captures(&self, range: SeqRange) -> Result<Vec<CaptureRow>> {
        let found = sqlx::query(sql::CAPTURES).bind(range.from).bind(range.to).fetch_all(self.reader()).await?;
        found.iter().map(rows::capture).collect()
    }

    async fn presence(&self, adapter: &str, room: RoomNo, before: BatchId) -> Result<Option<Vec<u8>>> {
        let found = sqlx::query_scalar(sql::PRESENCE).bind(adapter).bind(room).bind(before);
        Ok(found.fetch_optional(self.reader()).await?)
    }

    async fn quarantined(&self, filter: &QuarantineFilter) -> Result<Vec<QuarantineRow>> {
        let found = sqlx::query(sql::QUARANTINED)
            .bind(filter.state.map(QuarantineState::as_str))
            .bind(&filter.reason)
            .bind(limit(filter.limit))
            .fetch_all(self.reader())
            .await?;
        found.iter().map(rows::quarantined).collect()
    }

    async fn quarantined_bytes(&self, id: i64) -> Result<Option<(QuarantineRow, Vec<u8>)>> {
        let found = sqlx::query(sql::QUARANTINED_ONE).bind(id).fetch_optional(self.reader()).await?;
        found.as_ref().map(|row| Ok((rows::quarantined(row)?, sqlx::Row::try_get(row, "raw")?))).transpose()
    }

    async fn alerts(&self) -> Result<Vec<AlertRow>> {
        sqlx::query(sql::ALERTS).fetch_all(self.reader()).await?.iter().map(rows::alert).collect()
    }

    async fn acts(&self, limit: u32) -> Result<Vec<ActRow>> {
        let found = sqlx::query(sql::ACTS).bind(i64::from(limit)).fetch_all(self.reader()).await?;
        found.iter().map(rows::act).collect()
    }

    async fn totals(&self) -> Result<Totals> {
        rows::totals(&sqlx::query(sql::TOTALS).fetch_one(self.reader()).await?)
    }
}

/// A limit for the database; none reads as the largest.
fn limit(limit: Option<u32>) -> i64 {
    limit.map_or(i64::MAX, i64::from)
}
