//! Leases: who may work on an adapter, by the database's own clock, fenced by a growing token.

use std::time::Duration;

use sqlx::SqliteConnection;

use super::{SqliteStaging, sql};
use crate::staging::commit::commit;
use crate::staging::{Lease, Result, StagingError};
use crate::support::step::Commit;

/// No lease lasts longer, whatever is asked for; the database's calendar ends somewhere.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

impl SqliteStaging {
    pub(super) async fn take_lease(&self, name: &str, holder: &str, ttl: Duration) -> Result<Option<Lease>> {
        let millis = i64::try_from(ttl.min(LONGEST).as_millis()).unwrap_or_default();
        let mut tx = self.begin().await?;
        let taken = sqlx::query_scalar(sql::LEASE).bind(name).bind(holder).bind(millis);
        let token: Option<i64> = taken.fetch_optional(&mut *tx).await?;
        match token {
            Some(token) => {
                commit(tx, Commit::LEASE_TAKEN).await?;
                Ok(Some(Lease { name: name.to_owned(), holder: holder.to_owned(), token }))
            }
            None => Ok(tx.rollback().await.map(|()| None)?),
        }
    }

    pub(super) async fn give_back(&self, lease: &Lease) -> Result<()> {
        let mut tx = self.begin().await?;
        let release = sqlx::query(sql::RELEASE).bind(&lease.name).bind(&lease.holder).bind(lease.token);
        release.execute(&mut *tx).await?;
        commit(tx, Commit::LEASE_RELEASED).await
    }
}

/// Refuses a lease that is no longer the newest of its name, and keeps it the newest until the transaction ends.
pub(super) async fn check(connection: &mut SqliteConnection, lease: &Lease) -> Result<()> {
    let newest = sqlx::query(sql::CHECK_LEASE).bind(&lease.name).bind(&lease.holder).bind(lease.token);
    match newest.fetch_optional(connection).await? {
        Some(_) => Ok(()),
        None => Err(StagingError::LeaseLost { name: lease.name.clone() }),
    }
}
