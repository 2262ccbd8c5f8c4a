//! The one way in which a transaction of either store becomes durable.

use sqlx::{Database, Transaction};

use super::Result;
use crate::support::step::{Commit, reached};

/// Commits, and announces the step on either side. A transaction that is dropped instead is rolled back.
pub(super) async fn commit<D: Database>(transaction: Transaction<'static, D>, commit: Commit) -> Result<()> {
    reached(commit.pending);
    transaction.commit().await?;
    reached(commit.done);
    Ok(())
}
