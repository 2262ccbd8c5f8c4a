//! Watches the shares for what the archive has taken, and purges what is collected.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::adapter::{blocking, describe};
use super::{EngineError, Shared};
use crate::config::{Adapter, CollectedWhen};
use crate::model::Ticks;
use crate::pickup::{self, Marker, PickupError, Seen, Share};
use crate::staging::{BatchFilter, BatchId, BatchRow, BatchState, BatchStep, By, OutputRow, StagingError};
use crate::support::step::{Step, reached};

/// How often the shares are listed. Their notifications are not used: network shares send none.
const TICK: Duration = Duration::from_secs(1);
/// How often staging is purged when no batch was: signals of empty batches go this way.
const PURGE_EVERY: Duration = Duration::from_secs(60);

pub(super) struct Collector {
    shared: Arc<Shared>,
    /// Files of published batches, so that waiting for an archive costs one listing and no query each.
    outputs: HashMap<String, HashMap<BatchId, Vec<OutputRow>>>,
    /// Adapters whose share may have an open alert: at first all, for an earlier process may have raised it.
    troubled: HashSet<String>,
    purged_events_at: Option<Instant>,
}

impl Collector {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let troubled = shared.config.adapter.iter().map(|adapter| adapter.name.clone()).collect();
        Self { shared, outputs: HashMap::new(), troubled, purged_events_at: None }
    }

    /// Works until told to stop. Trouble is waited out, never fatal.
    pub(super) async fn run(mut self, stop: CancellationToken) -> Result<(), EngineError> {
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                turned = self.turn() => {
                    if let Err(error) = turned {
                        tracing::warn!(error = describe(&error), "collection waits");
                    }
                }
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(TICK) => {}
            }
        }
    }

    /// One look at every share, and the purging that follows from it.
    pub(super) async fn turn(&mut self) -> Result<(), EngineError> {
        let shared = Arc::clone(&self.shared);
        let mut purged = false;
        for adapter in &shared.config.adapter {
            match self.look(adapter).await {
                Ok(()) => {}
                Err(EngineError::Pickup(error)) => {
                    self.troubled.insert(adapter.name.clone());
                    self.alert("share-unavailable", &subject(adapter), &error).await?;
                    continue;
                }
                Err(error) => return Err(error),
            }
            purged |= self.purge(adapter).await?;
        }
        if purged || self.purged_events_at.is_none_or(|at| at.elapsed() >= PURGE_EVERY) {
            self.purge_events().await?;
            self.purged_events_at = Some(Instant::now());
        }
        Ok(())
    }

    /// Notices which published batches the archive has taken.
    async fn look(&mut self, adapter: &Adapter) -> Result<(), EngineError> {
        let batches = self.batches(adapter, BatchState::Published).await?;
        let mut known = self.outputs.remove(&adapter.name).unwrap_or_default();
        if batches.is_empty() || adapter.collected_when == CollectedWhen::Told {
            return Ok(());
        }
        let share = self.share(adapter)?;
        let sighting = blocking(move || pickup::look(&share)).await?;
        let now = Ticks::now();
        if self.troubled.remove(&adapter.name) {
            self.shared.staging.close_alert("share-unavailable", &subject(adapter), now).await?;
        }
        let mut waiting = HashMap::new();
        for batch in batches {
            let mut outputs = match known.remove(&batch.id) {
                Some(outputs) => outputs,
                None => self.shared.staging.outputs(batch.id).await?,
            };
            let published_at = batch.published_at.unwrap_or(batch.cut_at);
            match sighting.judge(adapter.collected_when, &outputs, published_at, now) {
                Seen::Collected(how) => self.collected(&batch, &outputs, how, now).await?,
                Seen::Waiting { taken } => {
                    self.partly_taken(batch.id, &mut outputs, taken, now).await?;
                    waiting.insert(batch.id, outputs);
                }
            }
        }
        self.outputs.insert(adapter.name.clone(), waiting);
        Ok(())
    }

    async fn collected(
        &self,
        batch: &BatchRow,
        outputs: &[OutputRow],
        how: &str,
        at: Ticks,
    ) -> Result<(), EngineError> {
        let staging = &self.shared.staging;
        let names: Vec<String> = outputs.iter().map(|output| output.name.clone()).collect();
        reached(Step::CollectedSeen);
        staging.mark_collected(batch.id, &names, at).await?;
        let step = BatchStep::Collected { at, how: how.to_owned() };
        match staging.advance(By::Collector, batch.id, &[BatchState::Published], &step).await {
            Ok(_) => tracing::info!(adapter = batch.adapter, batch = batch.id, how, "collected"),
            // Somebody told it at the same moment; it is collected either way.
            Err(StagingError::Refused { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Records files taken one by one, each once.
    async fn partly_taken(
        &self,
        id: BatchId,
        outputs: &mut [OutputRow],
        taken: Vec<String>,
        at: Ticks,
    ) -> Result<(), EngineError> {
        let taken: HashSet<String> = taken.into_iter().collect();
        let fresh = outputs.iter_mut().filter(|output| output.collected_at.is_none() && taken.contains(&output.name));
        let mut names = Vec::new();
        for output in fresh {
            output.collected_at = Some(at);
            names.push(output.name.clone());
        }
        if names.is_empty() {
            return Ok(());
        }
        reached(Step::CollectedSeen);
        Ok(self.shared.staging.mark_collected(id, &names, at).await?)
    }

    /// Purges the files of collected batches whose time has come. Tells whether there were any.
    async fn purge(&self, adapter: &Adapter) -> Result<bool, EngineError> {
        let now = Ticks::now();
        let keep = adapter.keep_after_collection.get();
        let mut purged = false;
        for batch in self.batches(adapter, BatchState::Collected).await? {
            let due = batch.collected_at.is_some_and(|at| at.plus(keep) <= now);
            if due {
                purged |= self.purge_batch(adapter, batch, now).await?;
            }
        }
        Ok(purged)
    }

    async fn purge_batch(&self, adapter: &Adapter, batch: BatchRow, now: Ticks) -> Result<bool, EngineError> {
        let staging = &self.shared.staging;
        let id = batch.id;
        let outputs = staging.outputs(id).await?;
        let rule = format!(
            "collected_when = {}, keep_after_collection = {}",
            String::from(adapter.collected_when),
            adapter.keep_after_collection
        );
        let certificates = self.shared.config.evidence_dir().join("purge");
        let done = match self.share(adapter) {
            Ok(share) => {
                blocking(move || pickup::purge_batch(&share, &batch, &outputs, &rule, now, &certificates)).await
            }
            Err(error) => Err(error),
        };
        match done {
            Ok(_) => {
                staging.advance(By::Collector, id, &[BatchState::Collected], &BatchStep::Purged { at: now }).await?;
                staging.close_alert("changed-on-share", &format!("batch {id}"), now).await?;
                tracing::info!(adapter = adapter.name, batch = id, "purged");
                Ok(true)
            }
            Err(EngineError::Pickup(error @ PickupError::Changed { .. })) => {
                self.alert("changed-on-share", &format!("batch {id}"), &error).await?;
                Ok(false)
            }
            Err(EngineError::Pickup(error)) => {
                self.alert("share-unavailable", &subject(adapter), &error).await?;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Deletes staged events and files that no adapter needs any more.
    async fn purge_events(&self) -> Result<(), EngineError> {
        let names: Vec<String> = self.shared.config.adapter.iter().map(|adapter| adapter.name.clone()).collect();
        let _gate = self.shared.files_gate.lock().await;
        let purged = self.shared.staging.purge_events(&names).await?;
        self.shared.vault.sweep(&purged.unreferenced)?;
        if purged.events > 0 {
            tracing::info!(events = purged.events, files = purged.unreferenced.len(), "purged from staging");
        }
        Ok(())
    }

    async fn batches(&self, adapter: &Adapter, state: BatchState) -> Result<Vec<BatchRow>, EngineError> {
        let filter = BatchFilter { adapter: Some(adapter.name.clone()), states: vec![state], limit: None };
        Ok(self.shared.staging.batches(&filter).await?)
    }

    fn share(&self, adapter: &Adapter) -> Result<Share, EngineError> {
        Ok(Share::open(&self.shared.config.pickup_dir(adapter), &adapter.name, Marker::Require)?)
    }

    async fn alert(&self, kind: &str, subject: &str, error: &PickupError) -> Result<(), EngineError> {
        let detail = describe(error);
        tracing::warn!(kind, subject, detail, "alert");
        Ok(self.shared.staging.raise_alert(kind, subject, &detail, Ticks::now()).await?)
    }
}

fn subject(adapter: &Adapter) -> String {
    format!("adapter {}", adapter.name)
}
