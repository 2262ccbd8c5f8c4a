//! The life of batches: cut, rendered, advanced, collected. Which step may follow which is decided in
//! `staging::steps`.

use sqlx::SqliteConnection;

use super::write::add_act;
use super::{SqliteStaging, evidence, files, leases, rows, sql, supplements};
use crate::model::Ticks;
use crate::staging::commit::commit;
use crate::staging::keys::{count, plain, refused};
use crate::staging::steps::{Render, passes_presence, render, stepped};
use crate::staging::{
    AdapterRow, BatchId, BatchRow, BatchState, BatchStep, By, Lease, NewCut, RenderedBatch, Result, RoomNo, Seq,
    SeqRange,
};
use crate::support::step::Commit;

impl SqliteStaging {
    pub(super) async fn cut_batch(&self, lease: &Lease, cut: &NewCut) -> Result<BatchRow> {
        let mut tx = self.begin().await?;
        leases::check(&mut tx, lease).await?;
        // No other writer is at work, so no smaller number can still appear.
        let last_seq = sqlx::query_scalar(sql::LAST_SEQ).fetch_one(&mut *tx).await?;
        let before = sqlx::query(sql::LOCK_ADAPTER).bind(&cut.adapter).fetch_optional(&mut *tx).await?;
        let before = before.as_ref().map(rows::adapter).transpose()?;
        let batch = add_batch(&mut tx, cut, before.as_ref(), last_seq).await?;
        number_messages(&mut tx, batch.range).await?;
        commit(tx, Commit::INTERVAL_CUT).await?;
        Ok(batch)
    }

    pub(super) async fn record_render(&self, lease: &Lease, rendered: &RenderedBatch) -> Result<Option<BatchId>> {
        let mut tx = self.begin().await?;
        leases::check(&mut tx, lease).await?;
        let row = locked(&mut tx, rendered.id).await?;
        let outputs = sqlx::query(sql::OUTPUTS).bind(row.id).fetch_all(&mut *tx).await?;
        let outputs = outputs.iter().map(rows::output).collect::<Result<Vec<_>>>()?;
        let left = supplements::left_by(&mut tx, row.id).await?;
        let verdict = render(&row, &outputs, left, rendered)?;
        let left = match verdict {
            Render::Stands(left) => left,
            Render::Record(state) => {
                write_render(&mut tx, rendered, state).await?;
                if state == BatchState::Empty {
                    files::close_owed(&mut tx, row.id).await?;
                }
                supplements::forget_failures(&mut tx, &row).await?;
                match &rendered.set_aside {
                    Some(supplement) => Some(supplements::add(&mut tx, &row, supplement).await?),
                    None => None,
                }
            }
        };
        set_presence(&mut tx, &row, &rendered.presence).await?;
        if let Render::Record(_) = verdict {
            evidence::append_manifest(&mut tx, &row, &rendered.manifest).await?;
        }
        commit(tx, Commit::MARKED_RENDERED).await?;
        Ok(left)
    }

    pub(super) async fn step(
        &self,
        by: By<'_>,
        id: BatchId,
        from: &[BatchState],
        step: &BatchStep,
    ) -> Result<BatchRow> {
        let mut tx = self.begin().await?;
        match by {
            By::Worker(lease) => leases::check(&mut tx, lease).await?,
            By::Person(_) | By::Collector => {}
        }
        let before = locked(&mut tx, id).await?;
        let row = stepped(before.clone(), from, step)?;
        sqlx::query(sql::SET_BATCH)
            .bind(row.id)
            .bind(row.state.as_str())
            .bind(i64::from(row.attempts))
            .bind(row.retry_at.map(Ticks::ticks))
            .bind(row.reason.as_deref().map(plain).as_deref())
            .bind(row.published_at.map(Ticks::ticks))
            .bind(row.collected_at.map(Ticks::ticks))
            .bind(&row.collected_how)
            .bind(row.purged_at.map(Ticks::ticks))
            .execute(&mut *tx)
            .await?;
        if row.state == BatchState::Abandoned {
            files::close_owed(&mut tx, row.id).await?;
        }
        if let BatchStep::Failed { presence, conversations, .. } = step {
            passes_presence(&row, presence)?;
            if row != before {
                supplements::record_failures(&mut tx, &row, conversations).await?;
            }
            set_presence(&mut tx, &row, presence).await?;
        }
        if let By::Person(act) = by {
            add_act(&mut tx, act).await?;
        }
        commit(tx, step.commit()).await?;
        Ok(row)
    }

    pub(super) async fn collect(&self, id: BatchId, names: &[String], at: Ticks) -> Result<()> {
        let mut tx = self.begin().await?;
        locked(&mut tx, id).await?;
        for name in names {
            let set = sqlx::query(sql::SET_COLLECTED).bind(id).bind(name).bind(at.ticks());
            if set.execute(&mut *tx).await?.rows_affected() == 0 {
                return Err(refused(format!("batch {id} has no file {name}")));
            }
        }
        commit(tx, Commit::TAKEN_RECORDED).await?;
        Ok(())
    }
}

pub(super) async fn locked(connection: &mut SqliteConnection, id: BatchId) -> Result<BatchRow> {
    let row = sqlx::query(sql::LOCK_BATCH).bind(id).fetch_optional(connection).await?;
    rows::batch(&row.ok_or_else(|| refused(format!("there is no batch {id}")))?)
}

async fn set_presence(
    connection: &mut SqliteConnection,
    batch: &BatchRow,
    presence: &[(RoomNo, Vec<u8>)],
) -> Result<()> {
    for (room, bytes) in presence {
        let set = sqlx::query(sql::SET_PRESENCE).bind(&batch.adapter).bind(room).bind(batch.id).bind(bytes);
        set.execute(&mut *connection).await?;
    }
    Ok(())
}

async fn add_batch(
    connection: &mut SqliteConnection,
    cut: &NewCut,
    before: Option<&AdapterRow>,
    last_seq: Seq,
) -> Result<BatchRow> {
    let (from, start) = before.map_or((0, cut.interval_start), |row| (row.cut_seq, row.cut_at));
    if cut.interval_end <= start {
        let (end, adapter) = (cut.interval_end, &cut.adapter);
        return Err(refused(format!("adapter {adapter} cannot cut at {end}: its interval begins at {start}")));
    }
    // After a purge of everything the last arrival number reads as less than what was cut.
    let to = last_seq.max(from);
    let set = sqlx::query(sql::SET_ADAPTER).bind(&cut.adapter).bind(to).bind(cut.interval_end.ticks());
    set.execute(&mut *connection).await?;
    let added = sqlx::query(sql::ADD_BATCH)
        .bind(&cut.adapter)
        .bind(start.ticks())
        .bind(cut.interval_end.ticks())
        .bind(from)
        .bind(to)
        .bind(before.is_none())
        .bind(Ticks::now().ticks())
        .fetch_one(connection)
        .await?;
    rows::batch(&added)
}

/// Numbers the messages of the range that have no number yet, in the order of their first events. The range is read once,
/// into a table of this connection.
async fn number_messages(connection: &mut SqliteConnection, range: SeqRange) -> Result<()> {
    sqlx::query(sql::MAKE_TOUCHED).execute(&mut *connection).await?;
    sqlx::query(sql::FIND_TOUCHED).bind(range.from).bind(range.to).execute(&mut *connection).await?;
    for statement in [sql::NUMBER_MESSAGES, sql::NEXT_MESSAGE_NUMBERS, sql::TOUCH_MESSAGES, sql::FORGET_TOUCHED] {
        sqlx::query(statement).execute(&mut *connection).await?;
    }
    Ok(())
}

async fn write_render(connection: &mut SqliteConnection, rendered: &RenderedBatch, state: BatchState) -> Result<()> {
    let counts = &rendered.counts;
    sqlx::query(sql::SET_RENDERED)
        .bind(rendered.id)
        .bind(state.as_str())
        .bind(count(counts.events))
        .bind(count(counts.messages))
        .bind(count(counts.signals))
        .bind(count(counts.conversations))
        .bind(count(counts.late))
        .bind(count(counts.left_out))
        .bind(count(counts.replaced_characters))
        .bind(count(counts.files))
        .bind(count(counts.bytes))
        .bind(&rendered.workplace.share)
        .bind(&rendered.workplace.directory)
        .bind(count(counts.completed))
        .execute(&mut *connection)
        .await?;
    sqlx::query(sql::CLEAR_OUTPUTS).bind(rendered.id).execute(&mut *connection).await?;
    for output in &rendered.outputs {
        sqlx::query(sql::ADD_OUTPUT)
            .bind(rendered.id)
            .bind(i64::from(output.position))
            .bind(&output.name)
            .bind(output.kind.as_str())
            .bind(count(output.size))
            .bind(&output.sha256[..])
            .bind(count(output.messages))
            .bind(output.collected_at.map(Ticks::ticks))
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}
