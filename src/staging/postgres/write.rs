//! Changing staging. Each method opens one transaction, hands it to the module that knows the statements,
//! and commits.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::{PgConnection, PgPool, Postgres, Transaction};

use super::arrive::{Tx, raise};
use super::holds::standing;
use super::{PostgresStaging, evidence, rows, sql};
use crate::model::Ticks;
use crate::staging::arrival::{Learned, arrive};
use crate::staging::commit::commit;
use crate::staging::holds::permit_discard;
use crate::staging::keys::{act_body, key, plain, refused};
use crate::staging::{
    Arrivals, BatchId, BatchRow, BatchState, BatchStep, By, CaptureRow, Lease, NewAct, NewCut, PurgedEvents,
    QuarantineResolution, QuarantineState, RenderedBatch, Result, StageEvents, Staged, WriteStaging,
};
use crate::support::step::Commit;

impl PostgresStaging {
    /// Where statements that only look go.
    pub(super) fn reader(&self) -> &PgPool {
        &self.pool
    }

    pub(super) async fn begin(&self) -> Result<Transaction<'static, Postgres>> {
        Ok(self.pool.begin().await?)
    }

    /// Stages inside a transaction that the caller commits.
    async fn stage_in(&self, connection: &mut PgConnection, batch: &Arrivals) -> Result<(Staged, Learned)> {
        // Before the first number is drawn: see the module's head.
        sqlx::query(sql::LOCK_SHARED).bind(self.locks.writers).execute(&mut *connection).await?;
        arrive(&mut Tx { store: self, connection }, &self.numbers, batch).await
    }
}

#[async_trait]
impl StageEvents for PostgresStaging {
    async fn ping(&self) -> Result<()> {
        sqlx::query(sql::PING).execute(&self.pool).await?;
        Ok(())
    }

    async fn stage(&self, batch: &Arrivals) -> Result<Staged> {
        if batch.events.is_empty() && batch.quarantined.is_empty() {
            return Ok(Staged::default());
        }
        let mut tx = self.begin().await?;
        let (staged, learned) = self.stage_in(&mut tx, batch).await?;
        commit(tx, Commit::STAGED).await?;
        self.numbers.remember(learned);
        Ok(staged)
    }
}

#[async_trait]
impl WriteStaging for PostgresStaging {
    async fn lease(&self, name: &str, holder: &str, ttl: Duration) -> Result<Option<Lease>> {
        self.take_lease(name, holder, ttl).await
    }

    async fn release(&self, lease: &Lease) -> Result<()> {
        self.give_back(lease).await
    }

    async fn cut(&self, lease: &Lease, cut: &NewCut) -> Result<BatchRow> {
        self.cut_batch(lease, cut).await
    }

    async fn record_captures(&self, captures: &[CaptureRow]) -> Result<()> {
        self.add_captures(captures).await
    }

    async fn finish_render(&self, lease: &Lease, rendered: &RenderedBatch) -> Result<Option<BatchId>> {
        self.record_render(lease, rendered).await
    }

    async fn advance(&self, by: By<'_>, id: BatchId, from: &[BatchState], step: &BatchStep) -> Result<BatchRow> {
        self.step(by, id, from, step).await
    }

    async fn mark_collected(&self, id: BatchId, names: &[String], at: Ticks) -> Result<()> {
        self.collect(id, names, at).await
    }

    async fn purge_events(&self, adapters: &[String]) -> Result<PurgedEvents> {
        self.purge(adapters).await
    }

    async fn resolve_quarantined(&self, id: i64, resolution: &QuarantineResolution, act: &NewAct) -> Result<()> {
        let mut tx = self.begin().await?;
        if matches!(resolution, QuarantineResolution::Discard) {
            // So that no hold is placed meanwhile.
            sqlx::query(sql::LOCK).bind(self.locks.batches).execute(&mut *tx).await?;
        }
        let row = sqlx::query(sql::LOCK_QUARANTINED).bind(id).fetch_optional(&mut *tx).await?;
        let row = rows::quarantined(&row.ok_or_else(|| refused(format!("there is no quarantined item {id}")))?)?;
        if row.state != QuarantineState::Waiting {
            return Err(refused(format!("quarantined item {id} is {} already", row.state.as_str())));
        }
        let (statement, learned) = match resolution {
            QuarantineResolution::Replay(batch) => (sql::REPLAYED, Some(self.stage_in(&mut tx, batch).await?.1)),
            QuarantineResolution::Discard => {
                permit_discard(&standing(&mut tx).await?, &row)?;
                (sql::DISCARDED, None)
            }
        };
        sqlx::query(statement).bind(id).execute(&mut *tx).await?;
        add_act(&mut tx, act).await?;
        commit(tx, Commit::QUARANTINE_RESOLVED).await?;
        if let Some(learned) = learned {
            self.numbers.remember(learned);
        }
        Ok(())
    }

    async fn raise_alert(&self, kind: &str, subject: &str, detail: &str, at: Ticks) -> Result<()> {
        let mut tx = self.begin().await?;
        raise(&mut tx, kind, subject, detail, at).await?;
        commit(tx, Commit::ALERT_RAISED).await
    }

    async fn close_alert(&self, kind: &str, subject: &str, at: Ticks) -> Result<()> {
        let mut tx = self.begin().await?;
        let close = sqlx::query(sql::CLOSE).bind(kind).bind(&*key(subject)).bind(at.ticks());
        close.execute(&mut *tx).await?;
        commit(tx, Commit::ALERT_CLOSED).await
    }

    async fn dismiss_alert(&self, kind: &str, subject: &str, act: &NewAct) -> Result<()> {
        let mut tx = self.begin().await?;
        let close = sqlx::query(sql::CLOSE).bind(kind).bind(&*key(subject)).bind(act.at.ticks());
        if close.execute(&mut *tx).await?.rows_affected() == 0 {
            return Err(refused(format!("no alert {kind} about {subject:?} is open")));
        }
        add_act(&mut tx, act).await?;
        commit(tx, Commit::ALERT_CLOSED).await
    }

    async fn record_act(&self, act: &NewAct) -> Result<()> {
        let mut tx = self.begin().await?;
        add_act(&mut tx, act).await?;
        commit(tx, Commit::ACT_RECORDED).await
    }
}

/// Records what a person did, in `acts` and in the log of evidence. To be called last in a transaction: appending to the
/// log waits for whoever appends at the same time.
pub(super) async fn add_act(connection: &mut PgConnection, act: &NewAct) -> Result<()> {
    sqlx::query(sql::ADD_ACT)
        .bind(act.at.ticks())
        .bind(&*plain(&act.who))
        .bind(&*plain(&act.verb))
        .bind(&*plain(&act.subject))
        .bind(&*plain(&act.reason))
        .execute(&mut *connection)
        .await?;
    evidence::append_act(connection, &act_body(act)).await
}
