//! Deletes staged events and captured files that no adapter needs any more.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::error::describe;
use super::{EngineError, Shared, decide};
use crate::vault::VaultUse;

/// How often it is asked whether there is something to purge.
const TICK: Duration = Duration::from_secs(1);

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
    let purged = shared.staging.purge_events(&names).await?;
    let (vault, files) = (Arc::clone(shared), purged.unreferenced.len());
    tokio::task::spawn_blocking(move || vault.vault.sweep(&purged.unreferenced))
        .await
        .map_err(|panic| EngineError::TaskPanicked { detail: panic.to_string() })??;
    if purged.events > 0 {
        tracing::info!(events = purged.events, files, "purged from staging");
    }
    Ok(())
}
