//! The right to do a piece of work that one process does for all: an adapter's, held for its cutter and its writers
//! together, bringing files in, or writing evidence.

use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use super::EngineError;
use crate::staging::{Lease, Staging, StagingError};

/// A lease is renewed when this part of it has passed.
const RENEWAL_PART: u32 = 3;

/// A lease, as far as this process holds it.
pub(super) struct Tenure {
    staging: Staging,
    name: String,
    holder: String,
    /// How long it lasts without being renewed; another process takes over after that.
    lasting: Duration,
    held: Mutex<Option<(Lease, Instant)>>,
}

impl Tenure {
    /// Of the lease `name`; nothing is taken yet. `holder` is the name of this home.
    pub(super) fn new(staging: Staging, name: String, holder: &str, lasting: Duration) -> Self {
        Self { staging, name, holder: holder.to_owned(), lasting, held: Mutex::new(None) }
    }

    /// Takes the lease, or renews it when that is due. `None`: another process works for the adapter.
    pub(super) async fn hold(&self) -> Result<Option<Lease>, EngineError> {
        let mut held = self.held.lock().await;
        if let Some((lease, renewed)) = &*held
            && renewed.elapsed() < self.lasting / RENEWAL_PART
        {
            return Ok(Some(lease.clone()));
        }
        let lease = self.staging.lease(&self.name, &self.holder, self.lasting).await?;
        if lease.is_none() {
            tracing::debug!(lease = self.name, "another process does this work");
        }
        *held = lease.clone().map(|lease| (lease, Instant::now()));
        Ok(lease)
    }

    /// As [`Tenure::hold`], where there is no waiting for another process.
    pub(super) async fn insist(&self) -> Result<Lease, EngineError> {
        self.hold().await?.ok_or_else(|| self.lost())
    }

    /// Asks staging whether a lease is still held: nobody else has had it in between, then, however long this
    /// process was paused.
    pub(super) async fn confirm(&self, lease: &Lease) -> Result<(), EngineError> {
        match self.staging.lease(&self.name, &self.holder, self.lasting).await? {
            Some(renewed) if renewed.token == lease.token => Ok(()),
            _ => {
                self.forget().await;
                Err(self.lost())
            }
        }
    }

    /// Renews the lease for as long as it is polled; returns only when it is lost.
    pub(super) async fn keep(&self, lease: &Lease) -> EngineError {
        loop {
            tokio::time::sleep(self.lasting / RENEWAL_PART / 2).await;
            match self.hold().await {
                Ok(Some(renewed)) if renewed.token == lease.token => {}
                Ok(_) => return self.lost(),
                // Whether it is lost, the next write that carries its token will tell.
                Err(error) => tracing::debug!(error = %error, "the lease could not be renewed"),
            }
        }
    }

    /// Forgets a lease that staging no longer honours.
    pub(super) async fn forget(&self) {
        *self.held.lock().await = None;
    }

    /// Gives the lease back.
    pub(super) async fn release(&self) {
        if let Some((lease, _)) = self.held.lock().await.take()
            && let Err(error) = self.staging.release(&lease).await
        {
            tracing::debug!(error = %error, "the lease runs out by itself");
        }
    }

    fn lost(&self) -> EngineError {
        StagingError::LeaseLost { name: self.name.clone() }.into()
    }
}
