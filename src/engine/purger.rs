//! Deletes staged events and captured files that no adapter needs any more.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::error::describe;
use super::permit::Permit;
use super::{EngineError, Shared, decide};
use crate::vault::VaultUse;

/// How often it is asked whether there is something to purge.
const TICK: Duration = Duration::from_secs(1);

/// Contents deleted from the vault before it is asked whether there is time left.
const SWEPT_AT_ONCE: usize = 64;

/// Works until told to stop. Trouble is waited out, never fatal.
pub(super) async fn run(shared: Arc<Shared>, stop: CancellationToken) -> Result<(), EngineError> {
    let mut last: Option<Instant> = None;
    loop {
        let batch_purged = shared.batch_purged.swap(false, Ordering::Relaxed);
        if decide::staging_purge_is_due(batch_purged, last.map(|at| at.elapsed())) {
            last = Some(Instant::now());
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                purged = purge(&shared) => {
                    if let Err(error) = purged {
                        tracing::warn!(error = describe(&error), "purging staging waits");
                    }
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(TICK) => {}
        }
    }
}

/// Purges once.
pub(super) async fn purge(shared: &Arc<Shared>) -> Result<(), EngineError> {
    let names: Vec<String> = shared.config.adapter.iter().map(|adapter| adapter.name.clone()).collect();
    let _gate = shared.files_gate(VaultUse::Sweep).await?;
    let permit = Permit::begin(shared, "staged events and the vault").await?;
    if permit.holds().iter().any(|hold| hold.scope.is_everything()) {
        return permit.end().await;
    }
    let purged = shared.staging.purge_events(&names).await?;
    let (vault, files, until) = (Arc::clone(shared), purged.unreferenced.len(), permit.until());
    let swept = tokio::task::spawn_blocking(move || {
        purged.unreferenced.chunks(SWEPT_AT_ONCE).try_for_each(|some| {
            if until.lasts() {
                vault.vault.sweep(some).map_err(EngineError::from)
            } else {
                Err(EngineError::PermitLapsed)
            }
        })
    });
    let swept = swept.await.map_err(|panic| EngineError::TaskPanicked { detail: panic.to_string() });
    if let Err(error) = swept.and_then(|swept| swept) {
        shared.staging.not_swept().await;
        permit.end().await?;
        return Err(error);
    }
    permit.end().await?;
    if purged.events > 0 {
        tracing::info!(events = purged.events, files, "purged from staging");
    }
    Ok(())
}
