//! The statements about sequences: where each source's count stands, and what was found in it. The rules stand in
//! `staging::sequence`.

use async_trait::async_trait;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::arrive::Tx;
use super::write::add_act;
use super::{PostgresStaging, rows, sql};
use crate::model::Ticks;
use crate::staging::commit::commit;
use crate::staging::keys::{broken, refused};
use crate::staging::sequence::{Changes, EPOCHS_KEPT, FINDINGS_MAX, FindingRow, OpenGap, Track};
use crate::staging::{Finding, FindingTotals, NewAct, Result, SequenceRow, Sequences};
use crate::support::step::Commit;

impl Tx<'_> {
    pub(super) async fn read_tracks(&mut self, sources: &[i64]) -> Result<Vec<(i64, Track)>> {
        let found = sqlx::query(sql::TRACKS).bind(sources).fetch_all(&mut *self.connection).await?;
        found.iter().map(|row| Ok((row.try_get("source_no")?, track(row)?))).collect()
    }

    pub(super) async fn read_gaps(&mut self, source_no: i64, first: i64, last: i64) -> Result<Vec<OpenGap>> {
        let gaps = sqlx::query(sql::OPEN_GAPS).bind(source_no).bind(first).bind(last);
        let gap = |row: &PgRow| {
            Ok(OpenGap {
                row: Some(row.try_get("id")?),
                epoch: row.try_get("epoch")?,
                first: row.try_get("first")?,
                last: row.try_get("last")?,
                found: row.try_get("found")?,
                reported: row.try_get("reported")?,
                settled: row.try_get("settled")?,
            })
        };
        gaps.fetch_all(&mut *self.connection).await?.iter().map(gap).collect()
    }

    pub(super) async fn write_changes(&mut self, source_no: i64, changes: &Changes, now: i64) -> Result<()> {
        for track in &changes.tracks {
            let run = serde_json::to_string(&track.run).map_err(|error| broken(error.to_string()))?;
            sqlx::query(sql::SET_TRACK)
                .bind(source_no)
                .bind(track.epoch)
                .bind(track.first)
                .bind(track.highest)
                .bind(track.began)
                .bind(track.latest)
                .bind(run)
                .execute(&mut *self.connection)
                .await?;
        }
        if !changes.gone.is_empty() {
            let gone = sqlx::query(sql::REMOVE_GAPS).bind(&changes.gone);
            gone.execute(&mut *self.connection).await?;
        }
        for (epoch, number) in &changes.withdrawn {
            let withdraw = sqlx::query(sql::WITHDRAW_REPEAT).bind(source_no).bind(*epoch).bind(*number);
            withdraw.execute(&mut *self.connection).await?;
        }
        self.add_findings(source_no, &changes.findings(now)).await?;
        for epoch in changes.begun() {
            let forget = sqlx::query(sql::FORGET_TRACKS).bind(source_no).bind(epoch - EPOCHS_KEPT + 1);
            forget.execute(&mut *self.connection).await?;
        }
        Ok(())
    }

    async fn add_findings(&mut self, source_no: i64, rows: &[FindingRow]) -> Result<()> {
        for rows in rows.chunks(FINDINGS_MAX) {
            let kinds: Vec<&str> = rows.iter().map(|row| row.kind.as_str()).collect();
            let numbers = |of: fn(&FindingRow) -> i64| rows.iter().map(of).collect::<Vec<_>>();
            let instants = |of: fn(&FindingRow) -> Option<i64>| rows.iter().map(of).collect::<Vec<_>>();
            sqlx::query(sql::ADD_FINDINGS)
                .bind(source_no)
                .bind(kinds)
                .bind(numbers(|row| row.epoch))
                .bind(numbers(|row| row.first))
                .bind(numbers(|row| row.last))
                .bind(numbers(|row| row.found))
                .bind(instants(|row| row.reported))
                .bind(instants(|row| row.closed))
                .bind(instants(|row| row.settled))
                .execute(&mut *self.connection)
                .await?;
        }
        Ok(())
    }
}

fn track(row: &PgRow) -> Result<Track> {
    let run: String = row.try_get("run")?;
    Ok(Track {
        epoch: row.try_get("epoch")?,
        first: row.try_get("first")?,
        highest: row.try_get("highest")?,
        began: row.try_get("began")?,
        latest: row.try_get("latest")?,
        run: serde_json::from_str(&run).map_err(|error| broken(format!("the run of a sequence: {error}")))?,
    })
}

#[async_trait]
impl Sequences for PostgresStaging {
    async fn sequences(&self) -> Result<Vec<SequenceRow>> {
        sqlx::query(sql::SEQUENCES).fetch_all(self.reader()).await?.iter().map(rows::sequence).collect()
    }

    async fn findings(&self, all: bool, limit: u32) -> Result<Vec<Finding>> {
        let newest_first = sqlx::query(sql::FINDINGS).bind(all).bind(i64::from(limit)).fetch_all(self.reader()).await?;
        newest_first.iter().rev().map(rows::finding).collect()
    }

    async fn finding_totals(&self) -> Result<Vec<FindingTotals>> {
        sqlx::query(sql::FINDING_TOTALS).fetch_all(self.reader()).await?.iter().map(rows::finding_totals).collect()
    }

    async fn report_findings(&self, before: Ticks, at: Ticks) -> Result<u64> {
        let any = sqlx::query_scalar(sql::ANY_UNREPORTED).bind(before.ticks());
        // Nearly always there is nothing, and then no transaction is worth its while.
        if !any.fetch_one(self.reader()).await? {
            return Ok(0);
        }
        let mut tx = self.begin().await?;
        let report = sqlx::query(sql::REPORT).bind(before.ticks()).bind(at.ticks());
        let reported = report.execute(&mut *tx).await?.rows_affected();
        commit(tx, Commit::FINDINGS_REPORTED).await?;
        Ok(reported)
    }

    async fn settle_findings(&self, ids: &[i64], act: &NewAct) -> Result<()> {
        let mut tx = self.begin().await?;
        for id in ids {
            let settle = sqlx::query(sql::SETTLE).bind(*id).bind(act.at.ticks());
            if settle.execute(&mut *tx).await?.rows_affected() == 0 {
                return Err(refused(format!(
                    "finding {id} is not open: it is closed or settled already, or was never reported"
                )));
            }
        }
        add_act(&mut tx, act).await?;
        commit(tx, Commit::FINDINGS_SETTLED).await
    }
}
