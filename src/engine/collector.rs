//! Watches an adapter's share for what the archive has taken, and purges the files of what is collected.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::copies::Copier;
use super::decide::{self, Met};
use super::error::describe;
use super::permit::{Deadline, Permit};
use super::share::Side;
use super::{AdapterShared, EngineError};
use crate::config::CollectedWhen;
use crate::evidence::{Draft, EntryKind};
use crate::model::Ticks;
use crate::pickup::{self, Marker, PickupError, Purge, Seen, Share};
use crate::staging::{BatchId, BatchRow, BatchState, BatchStep, By, CopyRow, Hold, Lease, OutputRow, StagingError};
use crate::support::step::{Step, reached};

/// How often the share is listed. Its notifications are not used: network shares send none.
const TICK: Duration = Duration::from_secs(1);

pub(super) struct Collector {
    desk: Arc<AdapterShared>,
    /// Files of published batches, so that waiting for an archive costs one listing and no query each.
    outputs: HashMap<BatchId, Vec<OutputRow>>,
    /// Which hold covers something of a collected batch, by the holds it was compared with: a batch is read once for each
    /// change of the holds.
    held: HashMap<BatchId, (Vec<i64>, Option<i64>)>,
    copier: Copier,
}

impl Collector {
    pub(super) fn new(desk: Arc<AdapterShared>) -> Self {
        Self { copier: Copier::new(&desk), desk, outputs: HashMap::new(), held: HashMap::new() }
    }

    /// Works until told to stop. Trouble is waited out, never fatal.
    pub(super) async fn run(mut self, stop: CancellationToken) -> Result<(), EngineError> {
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                turned = self.turn() => {
                    if let Err(error) = turned {
                        tracing::warn!(adapter = self.desk.adapter.name, error = describe(&error), "collection waits");
                    }
                }
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(TICK) => {}
            }
        }
    }

    /// One look at the share, and the purging that follows from it. Trouble with the share is noted for its alert.
    pub(super) async fn turn(&mut self) -> Result<(), EngineError> {
        let worked = match self.look().await {
            Ok(looked) => self.purge().await.map(|purged| looked || purged),
            Err(error) => Err(error),
        };
        let met = match worked {
            Ok(true) => Met::Fine,
            Ok(false) => Met::Nothing,
            Err(EngineError::Pickup(error)) => Met::Trouble(describe(&error)),
            Err(error) => return Err(error),
        };
        self.desk.lane.note(Side::Collecting, met);
        Ok(())
    }

    /// Notices which published batches the archive has taken. Tells whether it had to look.
    async fn look(&mut self) -> Result<bool, EngineError> {
        let desk = Arc::clone(&self.desk);
        let batches = desk.batches(&[BatchState::Published]).await?;
        let mut known = std::mem::take(&mut self.outputs);
        if batches.is_empty() || desk.adapter.collected_when == CollectedWhen::Told {
            return Ok(false);
        }
        let open = self.opening();
        let rendered_in: Vec<_> = batches.iter().map(|batch| batch.workplace.clone()).collect();
        let look = move || {
            let share = open()?;
            // What is missing on another share says nothing.
            rendered_in.iter().try_for_each(|workplace| share.owns(workplace))?;
            pickup::look(&share)
        };
        let sighting = desk.lane.run("listing", look).await?;
        let now = Ticks::now();
        for batch in batches {
            let mut outputs = match known.remove(&batch.id) {
                Some(outputs) => outputs,
                None => desk.shared.staging.outputs(batch.id).await?,
            };
            match decide::collection(&sighting, &desk.adapter, &batch, &outputs, now) {
                Seen::Collected(how) => self.collected(&batch, &outputs, how, now).await?,
                Seen::Waiting { taken } => {
                    self.partly_taken(batch.id, &mut outputs, taken, now).await?;
                    self.outputs.insert(batch.id, outputs);
                }
            }
        }
        Ok(true)
    }

    async fn collected(
        &self,
        batch: &BatchRow,
        outputs: &[OutputRow],
        how: &str,
        at: Ticks,
    ) -> Result<(), EngineError> {
        let staging = &self.desk.shared.staging;
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
        Ok(self.desk.shared.staging.mark_collected(id, &names, at).await?)
    }

    /// Purges the files of collected batches whose time has come. Tells whether there were any.
    ///
    /// Looking needs no lease, since what is missing on the share was taken, whoever sees it and however late.
    /// Deleting does, for the sake of the certificates: two processes that deleted the same files at once would
    /// each hold those of the other for taken by the archive.
    async fn purge(&mut self) -> Result<bool, EngineError> {
        let now = Ticks::now();
        let keep = self.desk.adapter.keep_after_collection;
        let mut any = false;
        // Before the batches are read: what another holder has purged since is none of them then.
        let Some(lease) = self.desk.tenure.hold().await? else { return Ok(false) };
        let desk = Arc::clone(&self.desk);
        let collected = desk.batches(&[BatchState::Collected]).await?;
        self.held.retain(|id, _| collected.iter().any(|batch| batch.id == *id));
        // After the batches are read, so that none of them was published since.
        let uncopied = self.copier.turn(&lease).await?;
        let is_due = |batch: &BatchRow| decide::purge_is_due(batch, keep, now) && !uncopied.contains(&batch.id);
        let due: Vec<_> = collected.into_iter().filter(is_due).collect();
        let holds = if due.is_empty() { Vec::new() } else { desk.shared.staging.holds(false).await? };
        for batch in due {
            if self.held_by(&batch, &holds).await?.is_some() {
                continue;
            }
            let copies = desk.shared.staging.copies(batch.id).await?;
            if decide::copies_are_due(&copies, keep, now) {
                self.purge_batch((batch, copies), &lease, now).await?;
                any = true;
            }
        }
        Ok(any)
    }

    /// The hold that covers something of a batch, if one does. A file cannot be kept in part, so a batch is held whole.
    async fn held_by(&mut self, batch: &BatchRow, holds: &[Hold]) -> Result<Option<i64>, EngineError> {
        if holds.is_empty() {
            return Ok(None);
        }
        let standing: Vec<i64> = holds.iter().map(|hold| hold.id).collect();
        if let Some((compared, hold)) = self.held.get(&batch.id)
            && *compared == standing
        {
            return Ok(*hold);
        }
        let hold = self.desk.shared.staging.covered(batch.range, holds).await?;
        if let Some(hold) = hold {
            tracing::info!(adapter = batch.adapter, batch = batch.id, hold, "not purged: it is under a hold");
        }
        self.held.insert(batch.id, (standing, hold));
        Ok(hold)
    }

    async fn purge_batch(
        &mut self,
        (batch, copies): (BatchRow, Vec<CopyRow>),
        lease: &Lease,
        now: Ticks,
    ) -> Result<(), EngineError> {
        let desk = Arc::clone(&self.desk);
        let held = batch.clone();
        let staging = &desk.shared.staging;
        let id = batch.id;
        let outputs = staging.outputs(id).await?;
        let rule = format!(
            "collected_when = {}, keep_after_collection = {}, no hold covers it",
            String::from(desk.adapter.collected_when),
            desk.adapter.keep_after_collection
        );
        let open = self.opening();
        let prepare = move |pause: &mut dyn FnMut()| {
            let share = open()?;
            Purge::prepare(&share, (&batch, &outputs, &copies), &rule, now, pause).map(|purge| (share, purge))
        };
        let done = match desk.lane.run_in_parts("reading back from", prepare).await {
            Ok((share, purge)) => {
                // Had somebody taken the lease over, some of it might have been deleted before it was looked at.
                desk.tenure.confirm(lease).await?;
                let permit =
                    Permit::begin(&desk.shared, &format!("batch {id} of adapter {}", desk.adapter.name)).await?;
                // A hold may have been placed since the batch was looked at; any later one waits.
                if self.held_by(&held, permit.holds()).await?.is_some() {
                    return permit.end().await;
                }
                let carried = self.carry_out(id, lease, (share, purge), permit.until()).await;
                permit.end().await?;
                carried
            }
            Err(error) => Err(error),
        };
        match done {
            Ok(()) => {
                // Before the state: a crash between the two must not leave an alert that nothing closes any more.
                staging.close_alert("changed-on-share", &format!("batch {id}"), now).await?;
                staging
                    .advance(By::Worker(lease), id, &[BatchState::Collected], &BatchStep::Purged { at: now })
                    .await?;
                tracing::info!(adapter = desk.adapter.name, batch = id, "purged");
                desk.shared.batch_purged.store(true, Ordering::Relaxed);
                Ok(())
            }
            // About this batch alone; the others are purged all the same.
            Err(EngineError::Pickup(error @ (PickupError::Changed { .. } | PickupError::Reappeared { .. }))) => {
                let detail = describe(&error);
                tracing::warn!(batch = id, detail, "alert");
                Ok(staging.raise_alert("changed-on-share", &format!("batch {id}"), &detail, now).await?)
            }
            Err(error) => Err(error),
        }
    }

    /// Records the certificate, and deletes the files until time is up.
    async fn carry_out(
        &self,
        id: BatchId,
        lease: &Lease,
        (share, purge): (Share, Purge),
        until: Deadline,
    ) -> Result<(), EngineError> {
        let shared = &self.desk.shared;
        // In the log before anything is deleted. After a crash what was recorded first stands: by then files may be
        // gone that we deleted.
        let draft = Draft::new(EntryKind::Purge, &purge).map_err(EngineError::unwritable)?;
        let certificate = shared.staging.record_certificate(lease, id, &draft).await?;
        let certificates = shared.config.evidence_dir().join("purge");
        let carry_out = move || purge.carry_out(&share, &certificate, &certificates, || until.lasts());
        self.desk.lane.run("purging from", carry_out).await
    }

    /// How to open the share; to be called on the lane.
    fn opening(&self) -> impl FnOnce() -> Result<Share, PickupError> + Send + 'static {
        let (dir, name) = (self.desk.shared.config.pickup_dir(&self.desk.adapter), self.desk.adapter.name.clone());
        move || Share::open(&dir, &name, Marker::Require)
    }
}
