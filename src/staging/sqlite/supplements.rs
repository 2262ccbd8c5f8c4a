//! Supplements: the conversations that a rendering had to leave out, as a batch of their own, and why each of them
//! could not be rendered.

use sqlx::SqliteConnection;

use super::arrive::raise;
use super::{files, sql};
use crate::model::Ticks;
use crate::staging::keys::{count, plain};
use crate::staging::steps::not_its_own;
use crate::staging::{BatchId, BatchRow, Result, SetAside, Supplement};

/// The supplement that the batch's rendering left, if it did.
pub(super) async fn left_by(connection: &mut SqliteConnection, id: BatchId) -> Result<Option<BatchId>> {
    Ok(sqlx::query_scalar(sql::LEFT_BY).bind(id).fetch_optional(connection).await?)
}

/// Makes the supplement of a batch that is being recorded as rendered, and opens the alert about it.
pub(super) async fn add(
    connection: &mut SqliteConnection,
    batch: &BatchRow,
    supplement: &Supplement,
) -> Result<BatchId> {
    let counts = &supplement.counts;
    let id = sqlx::query_scalar(sql::ADD_SUPPLEMENT)
        .bind(batch.id)
        .bind(supplement.retry_at.ticks())
        .bind(&*plain(&supplement.reason))
        .bind(count(counts.events))
        .bind(count(counts.messages))
        .bind(count(counts.signals))
        .bind(count(counts.conversations))
        .bind(count(counts.late))
        .bind(count(counts.left_out))
        .bind(count(counts.replaced_characters))
        .bind(count(counts.files))
        .bind(count(counts.bytes))
        .bind(count(counts.completed))
        .fetch_one(&mut *connection)
        .await?;
    if batch.supplement_to.is_some() {
        // Each conversation is in one supplement at a time.
        give(connection, batch, &supplement.conversations, id).await?;
    } else {
        name(connection, id, &supplement.conversations).await?;
    }
    files::set_aside(connection, batch, &supplement.conversations, id).await?;
    // In this commit, so that there is never a failed batch of which nobody is told.
    let detail = format!("adapter {}: {}", batch.adapter, supplement.reason);
    raise(connection, "batch-failed", &format!("batch {id}"), &detail, Ticks::now()).await?;
    Ok(id)
}

/// Records why conversations of a failed batch could not be rendered.
pub(super) async fn record_failures(
    connection: &mut SqliteConnection,
    batch: &BatchRow,
    conversations: &[SetAside],
) -> Result<()> {
    if batch.supplement_to.is_some() {
        return give(connection, batch, conversations, batch.id).await;
    }
    forget_failures(connection, batch).await?;
    name(connection, batch.id, conversations).await
}

/// Forgets why a batch failed before. A supplement keeps its conversations: they are what it holds.
pub(super) async fn forget_failures(connection: &mut SqliteConnection, batch: &BatchRow) -> Result<()> {
    if batch.supplement_to.is_none() {
        sqlx::query(sql::CLEAR_SET_ASIDE).bind(batch.id).execute(connection).await?;
    }
    Ok(())
}

/// Gives a batch its conversations.
pub(super) async fn name(connection: &mut SqliteConnection, id: BatchId, conversations: &[SetAside]) -> Result<()> {
    for SetAside { room, reason } in conversations {
        let add = sqlx::query(sql::ADD_SET_ASIDE).bind(id).bind(room).bind(plain(reason));
        add.execute(&mut *connection).await?;
    }
    Ok(())
}

/// Gives conversations of one supplement to another, or back to itself, each with its latest reason.
async fn give(
    connection: &mut SqliteConnection,
    from: &BatchRow,
    conversations: &[SetAside],
    to: BatchId,
) -> Result<()> {
    for SetAside { room, reason } in conversations {
        let give = sqlx::query(sql::MOVE_SET_ASIDE).bind(from.id).bind(room).bind(plain(reason)).bind(to);
        if give.execute(&mut *connection).await?.rows_affected() == 0 {
            return Err(not_its_own(from));
        }
    }
    Ok(())
}
