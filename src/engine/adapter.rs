//! One adapter at work: a cutter that cuts its batches when their interval closes, a writer that renders and publishes
//! them, and another that does so with their supplements.
//!
//! Cutting does not wait for the share: while that is away or hangs, batches are still cut at their boundaries
//! and are written one after the other once it is back.

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, Notify};
use tokio_util::sync::CancellationToken;

use super::cutter::Cutter;
use super::decide::{self, After, Job, Line, Met, Pace, Work};
use super::error::describe;
use super::lease::Tenure;
use super::manifest::{self, Holds};
use super::render::{RenderError, discard, render};
use super::share::{Lane, Side};
use super::{EngineError, Shared, TROUBLE_RETRY};
use crate::config::Adapter;
use crate::evidence::list::EventList;
use crate::model::Ticks;
use crate::pickup::Share;
use crate::staging::{
    BatchCounts, BatchFilter, BatchId, BatchRow, BatchState, BatchStep, By, Lease, PendingFile, RenderedBatch,
    StagingError, Workplace,
};
use crate::support::backoff::Backoff;
use crate::transform::{TransformSpec, Transformer};
use crate::vault::Giver;

/// What the tasks of one adapter share.
pub(super) struct AdapterShared {
    pub(super) shared: Arc<Shared>,
    pub(super) adapter: Adapter,
    pub(super) tenure: Tenure,
    pub(super) lane: Arc<Lane>,
    /// Told when a batch was cut.
    pub(super) cut: Notify,
    /// The share, and the token of the lease under which it was opened: once for all that write there, because whoever opens it
    /// clears what was being written under earlier leases.
    opened: Mutex<Option<(Share, i64)>>,
}

/// What an adapter has done since it began.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AdapterPass {
    /// The adapter's name.
    pub adapter: String,
    /// Batches published.
    pub batches: u64,
    /// Events in them.
    pub events: u64,
    /// Messages in them.
    pub messages: u64,
    /// Files in them.
    pub files: u64,
    /// Batches that could not be rendered, supplements of what was set aside among them.
    pub failed: u64,
}

impl AdapterPass {
    fn and(&self, other: &Self) -> Self {
        Self {
            adapter: self.adapter.clone(),
            batches: self.batches + other.batches,
            events: self.events + other.events,
            messages: self.messages + other.messages,
            files: self.files + other.files,
            failed: self.failed + other.failed,
        }
    }
}

impl AdapterShared {
    pub(super) fn new(shared: &Arc<Shared>, adapter: &Adapter) -> Arc<Self> {
        let (staging, lasting) = (Arc::clone(&shared.staging), shared.config.staging.lease.get());
        Arc::new(Self {
            shared: Arc::clone(shared),
            adapter: adapter.clone(),
            tenure: Tenure::new(staging, format!("adapter:{}", adapter.name), shared.lock.instance(), lasting),
            lane: Lane::new(shared.config.pickup_dir(adapter)),
            cut: Notify::new(),
            opened: Mutex::default(),
        })
    }

    /// What alerts about the adapter are about.
    pub(super) fn subject(&self) -> String {
        format!("adapter {}", self.adapter.name)
    }

    /// The adapter's batches in these states, oldest first.
    pub(super) async fn batches(&self, states: &[BatchState]) -> Result<Vec<BatchRow>, EngineError> {
        let filter = BatchFilter { adapter: Some(self.adapter.name.clone()), states: states.to_vec(), limit: None };
        Ok(self.shared.staging.batches(&filter).await?)
    }

    /// The adapter's share, opened once under each lease.
    pub(super) async fn share(&self, lease: &Lease) -> Result<Share, EngineError> {
        let mut opened = self.opened.lock().await;
        if let Some((share, token)) = &*opened
            && *token == lease.token
        {
            return Ok(share.clone());
        }
        let marker = decide::marker(!self.batches(&decide::ON_SHARE).await?.is_empty());
        let (dir, name) = (self.shared.config.pickup_dir(&self.adapter), self.adapter.name.clone());
        let share = self.lane.run("opening", move || Share::open(&dir, &name, marker)).await?;
        self.clear_workplaces(&share, lease).await?;
        Ok(opened.insert((share, lease.token)).0.clone())
    }

    /// Deletes what renderings that came to nothing left behind. What is recorded is asked only now that the
    /// lease is held: nothing more can be recorded under an older one.
    async fn clear_workplaces(&self, share: &Share, lease: &Lease) -> Result<(), EngineError> {
        let mut recorded: Vec<Workplace> =
            self.batches(&[BatchState::Rendered]).await?.into_iter().map(|batch| batch.workplace).collect();
        let staging = &self.shared.staging;
        for id in staging.copying(&self.adapter.name).await? {
            recorded.extend(staging.copies(id).await?.into_iter().map(|copy| copy.workplace));
        }
        let (share, token) = (share.clone(), lease.token);
        self.lane.run("clearing workplaces in", move || share.clear_workplaces(token, &recorded)).await
    }

    /// Gives the lease back, unless an operation on the share is still under way: what it does there, it may do
    /// only as long as nobody else works for the adapter.
    pub(super) async fn finish(&self) {
        if self.lane.idle() {
            self.tenure.release().await;
        }
    }
}

/// Cuts, renders and publishes for one adapter until told to stop.
pub(super) async fn run(desk: Arc<AdapterShared>, stop: CancellationToken) -> Result<(), EngineError> {
    let cutter = Cutter::new(Arc::clone(&desk));
    let writer = |line| AdapterWriter::new(Arc::clone(&desk), line);
    let (batches, supplements) = (writer(Line::Batches), writer(Line::Supplements));
    tokio::join!(cutter.run(stop.clone()), batches.run(stop.clone()), supplements.run(stop));
    desk.finish().await;
    Ok(())
}

/// Cuts one batch at once, and renders and publishes all that wait. The lease is kept.
pub(super) async fn once(desk: &Arc<AdapterShared>) -> (AdapterPass, Result<(), EngineError>) {
    let writer = |line| AdapterWriter::new(Arc::clone(desk), line);
    let (mut batches, mut supplements) = (writer(Line::Batches), writer(Line::Supplements));
    let cut = Cutter::new(Arc::clone(desk)).turn(Pace::AtOnce).await;
    let outcome = match cut {
        Ok(()) => {
            // First, because what this pass sets aside is for the next one. Trouble of the one is none of the other's.
            let supplemented = supplements.turn(Pace::AtOnce).await;
            supplemented.and(batches.turn(Pace::AtOnce).await)
        }
        Err(error) => Err(error),
    };
    (batches.pass.and(&supplements.pass), outcome)
}

struct AdapterWriter {
    desk: Arc<AdapterShared>,
    /// Which batches it works on.
    line: Line,
    /// How much longer a batch may wait for files, if one does.
    waits: Option<Duration>,
    transformer: Option<Arc<Transformer>>,
    /// Batches that met an error of their own, and when.
    resting: HashMap<BatchId, Instant>,
    pass: AdapterPass,
}

impl AdapterWriter {
    fn new(desk: Arc<AdapterShared>, line: Line) -> Self {
        let pass = AdapterPass { adapter: desk.adapter.name.clone(), ..AdapterPass::default() };
        Self { desk, line, waits: None, transformer: None, resting: HashMap::new(), pass }
    }

    /// Works until told to stop. Trouble is waited out, never fatal.
    async fn run(mut self, stop: CancellationToken) {
        let mut backoff = Backoff::new(TROUBLE_RETRY.0, TROUBLE_RETRY.1);
        let desk = Arc::clone(&self.desk);
        loop {
            let trouble = tokio::select! {
                () = stop.cancelled() => return,
                turned = self.turn(Pace::WhenDue) => match turned {
                    Ok(()) => {
                        backoff.reset();
                        None
                    }
                    Err(error) => {
                        let wait = backoff.after_failure();
                        tracing::warn!(adapter = desk.adapter.name, error = describe(&error), wait_ms = wait.as_millis(), "writing waits");
                        Some(wait)
                    }
                },
            };
            tokio::select! {
                () = stop.cancelled() => return,
                // A cut is news only to a writer that has no trouble to wait out.
                () = desk.cut.notified(), if trouble.is_none() && self.line == Line::Batches => {}
                () = desk.shared.files_settled.notified(), if trouble.is_none() && self.waits.is_some() => {}
                () = tokio::time::sleep(decide::writer_sleep(trouble, self.waits)) => {}
            }
        }
    }

    /// Renders and publishes what is waiting.
    async fn turn(&mut self, pace: Pace) -> Result<(), EngineError> {
        let turned = self.work(pace).await;
        if let Err(error) = &turned
            && decide::after(error) == After::LeaseGone
        {
            self.desk.tenure.forget().await;
        }
        turned
    }

    async fn work(&mut self, pace: Pace) -> Result<(), EngineError> {
        let desk = Arc::clone(&self.desk);
        let lease = match pace {
            Pace::AtOnce => desk.tenure.insist().await?,
            Pace::WhenDue => match desk.tenure.hold().await? {
                Some(lease) => lease,
                None => return Ok(()),
            },
        };
        if self.line == Line::Supplements {
            self.let_files_follow(pace, &lease).await?;
        }
        let waiting = desk.batches(&[BatchState::Cut, BatchState::Rendered, BatchState::Failed]).await?;
        self.resting.retain(|_, since| since.elapsed() < decide::rest());
        let now = Ticks::now();
        let waits = self.waiting_for_files(&waiting, pace, now).await?;
        let jobs = decide::jobs(
            waiting,
            (self.line, pace, now),
            |id| self.resting.contains_key(&id),
            |id| waits.is_some_and(|(waits, _)| waits == id),
        );
        self.waits = waits.map(|(_, longest)| longest);
        let mut trouble = None;
        for job in jobs {
            let id = job.batch.id;
            let done = tokio::select! {
                done = self.process(job, &lease) => done,
                lost = desk.tenure.keep(&lease) => return Err(lost),
            };
            match done {
                Err(error) if decide::after(&error) == After::NextBatch => {
                    self.set_to_rest(id, &error).await?;
                    trouble.get_or_insert(error);
                }
                other => other?,
            }
        }
        if self.line == Line::Supplements {
            // There is seldom one: its workers are not kept for the next.
            self.transformer = None;
        }
        // By hand, whoever asked is told; the service has raised an alert and goes on.
        match trouble {
            Some(error) if pace == Pace::AtOnce => Err(error),
            _ => Ok(()),
        }
    }

    /// The first batch that waits for files, and how much longer it may.
    async fn waiting_for_files(
        &self,
        batches: &[BatchRow],
        pace: Pace,
        now: Ticks,
    ) -> Result<Option<(BatchId, Duration)>, EngineError> {
        let desk = &self.desk;
        let grace = decide::grace(desk.shared.config.files.grace, desk.adapter.interval);
        let held_up = desk.shared.files_held_up.load(Ordering::Relaxed);
        for batch in batches.iter().filter(|batch| decide::line(batch) == self.line) {
            if decide::waits_for_files(batch, pace, (grace, true), now).is_none() {
                continue;
            }
            let pending = desk.shared.staging.pending_files(batch.range).await?;
            if pending.is_empty() {
                continue;
            }
            let held_up = held_up || pace == Pace::WhenDue && pending.iter().any(is_ours_to_bring);
            if let Some(longest) = decide::waits_for_files(batch, pace, (grace, held_up), now) {
                return Ok(Some((batch.id, longest)));
            }
        }
        Ok(None)
    }

    /// Makes supplements of files that came after their batch had gone out.
    async fn let_files_follow(&self, pace: Pace, lease: &Lease) -> Result<(), EngineError> {
        let desk = &self.desk;
        let grace = decide::grace(desk.shared.config.files.grace, desk.adapter.interval);
        for late in desk.shared.staging.late_files(&desk.adapter.name).await? {
            if decide::files_follow(&late, pace, grace, Ticks::now()) {
                let supplement = desk.shared.staging.supplement_files(lease, late.batch).await?;
                tracing::info!(
                    adapter = desk.adapter.name,
                    batch = late.batch,
                    supplement,
                    files = late.came,
                    "files follow"
                );
            }
        }
        Ok(())
    }

    async fn process(&mut self, job: Job, lease: &Lease) -> Result<(), EngineError> {
        let Job { batch, work } = job;
        let id = batch.id;
        let outcome = match work {
            Work::Close if !self.desk.adapter.heartbeat_file => return self.close(&batch, lease).await,
            Work::Publish => self.publish(id, lease).await,
            Work::Render | Work::Close => self.render_and_publish(batch, lease).await,
            Work::RenderAgain => {
                let staging = &self.desk.shared.staging;
                let again = staging.advance(By::Worker(lease), id, &[BatchState::Failed], &BatchStep::Retry).await?;
                self.render_and_publish(again, lease).await
            }
        };
        match &outcome {
            Ok(()) => self.desk.lane.note(Side::Writing, Met::Fine),
            Err(EngineError::Pickup(error)) if error.retryable() => {
                self.desk.lane.note(Side::Writing, Met::Trouble(describe(error)));
            }
            Err(_) => {}
        }
        outcome
    }

    /// Records that nothing was committed in a batch's interval.
    async fn close(&self, batch: &BatchRow, lease: &Lease) -> Result<(), EngineError> {
        let empty = RenderedBatch {
            id: batch.id,
            counts: BatchCounts::default(),
            outputs: Vec::new(),
            presence: Vec::new(),
            workplace: Workplace::default(),
            set_aside: None,
            manifest: manifest::of_batch(batch, &Holds::default(), EventList::empty())?,
        };
        self.desk.shared.staging.finish_render(lease, &empty).await?;
        Ok(())
    }

    /// Leaves a batch alone for a while that nothing but a person can help, and says so.
    async fn set_to_rest(&mut self, id: BatchId, error: &EngineError) -> Result<(), EngineError> {
        self.resting.insert(id, Instant::now());
        let detail = format!("{}: {}", self.desk.subject(), describe(error));
        tracing::error!(
            adapter = self.desk.adapter.name,
            batch = id,
            error = detail,
            "the batch could not be published"
        );
        let subject = format!("batch {id}");
        Ok(self.desk.shared.staging.raise_alert("batch-blocked", &subject, &detail, Ticks::now()).await?)
    }

    async fn render_and_publish(&mut self, batch: BatchRow, lease: &Lease) -> Result<(), EngineError> {
        let desk = Arc::clone(&self.desk);
        let id = batch.id;
        let share = self.desk.share(lease).await?;
        let to = (&share, &desk.lane, lease);
        let rendered = match self.transformer().await {
            Ok(transformer) => render(&desk.shared, &desk.adapter, &batch, to, transformer).await,
            // The batches after this one still need its presence; assembly without a transform gives it.
            Err(error) => match render(&desk.shared, &self.untransformed(), &batch, to, None).await {
                Ok(assembled) => {
                    discard(&share, &desk.lane, assembled.workplace).await;
                    Err(RenderError::Batch {
                        reason: describe(&*error),
                        conversations: Vec::new(),
                        presence: assembled.presence,
                    })
                }
                Err(other) => Err(other),
            },
        };
        match rendered {
            Ok(rendered) => {
                let empty = rendered.outputs.is_empty();
                // Before the state: a crash between the two must not leave an alert that nothing closes any more.
                desk.shared.staging.close_alert("batch-failed", &format!("batch {id}"), Ticks::now()).await?;
                self.record(&share, lease, &rendered).await?;
                self.pass.failed += u64::from(rendered.set_aside.is_some());
                if empty { Ok(()) } else { self.publish(id, lease).await }
            }
            Err(RenderError::Engine(error)) => Err(error),
            Err(RenderError::Batch { reason, conversations, mut presence }) => {
                if batch.supplement_to.is_some() {
                    // It was recorded with the batch whose conversations these are.
                    presence.clear();
                }
                let retry_at = decide::retry_at(batch.attempts, Ticks::now());
                let failed = BatchStep::Failed { reason, retry_at, presence, conversations };
                self.set_aside(&batch, lease, failed).await
            }
        }
    }

    /// Records a rendering. One that is refused for certain is deleted; while it is not known whether it was
    /// recorded, as after a lost connection, its files must stay.
    async fn record(&self, share: &Share, lease: &Lease, rendered: &RenderedBatch) -> Result<(), EngineError> {
        let recorded = self.desk.shared.staging.finish_render(lease, rendered).await;
        if let Err(StagingError::LeaseLost { .. } | StagingError::Refused { .. }) = &recorded {
            discard(share, &self.desk.lane, rendered.workplace.clone()).await;
        }
        recorded?;
        Ok(())
    }

    async fn publish(&mut self, id: i64, lease: &Lease) -> Result<(), EngineError> {
        let share = self.desk.share(lease).await?;
        let staging = &self.desk.shared.staging;
        // As recorded, not as rendered: the two differ when a recording arrived although it seemed to have failed.
        let gone = || StagingError::Refused { detail: format!("there is no batch {id}") };
        let workplace = staging.batch(id).await?.ok_or_else(gone)?.workplace;
        let outputs = staging.outputs(id).await?;
        let (there, from) = (share.clone(), workplace.clone());
        let done =
            self.desk.lane.run_in_parts("publishing to", move |pause| there.publish(&from, &outputs, pause)).await;
        if let Err(error) = done {
            // Whoever took the lease over has published the batch, perhaps, and removed its workplace: that is no
            // trouble with the share.
            self.desk.tenure.confirm(lease).await?;
            return Err(error);
        }
        let published = BatchStep::Published { at: Ticks::now() };
        let batch = staging.advance(By::Worker(lease), id, &[BatchState::Rendered], &published).await?;
        discard(&share, &self.desk.lane, workplace).await;
        if self.resting.remove(&id).is_some() {
            staging.close_alert("batch-blocked", &format!("batch {id}"), Ticks::now()).await?;
        }
        let counts = batch.counts;
        self.pass.batches += 1;
        self.pass.events += counts.events;
        self.pass.messages += counts.messages;
        self.pass.files += counts.files;
        tracing::info!(
            adapter = self.desk.adapter.name,
            batch = id,
            events = counts.events,
            messages = counts.messages,
            conversations = counts.conversations,
            files = counts.files,
            bytes = counts.bytes,
            "published"
        );
        Ok(())
    }

    /// Records that a batch cannot be rendered as things are; the next attempt loads the stylesheet anew.
    async fn set_aside(&mut self, batch: &BatchRow, lease: &Lease, failed: BatchStep) -> Result<(), EngineError> {
        self.transformer = None;
        self.pass.failed += 1;
        let reason = match &failed {
            BatchStep::Failed { reason, .. } => reason.as_str(),
            _ => "",
        };
        let now = Ticks::now();
        let (staging, name) = (&self.desk.shared.staging, &self.desk.adapter.name);
        tracing::error!(adapter = name, batch = batch.id, reason, "the batch could not be rendered");
        // Before the state: a crash between the two must not leave a failed batch of which nobody is told.
        let detail = format!("adapter {name}: {reason}");
        staging.raise_alert("batch-failed", &format!("batch {}", batch.id), &detail, now).await?;
        staging.advance(By::Worker(lease), batch.id, &[BatchState::Cut], &failed).await?;
        Ok(())
    }

    /// The adapter's transform, loaded once and again when its files changed; `None` when it needs none.
    async fn transformer(&mut self) -> Result<Option<Arc<Transformer>>, Box<dyn Error + Send + Sync>> {
        if let Some(transformer) = &self.transformer
            && !transformer.is_current().await
        {
            self.transformer = None;
        }
        if self.transformer.is_none()
            && let Some(spec) = TransformSpec::of_adapter(&self.desk.adapter)?
        {
            self.transformer = Some(Arc::new(Transformer::start(spec).await?));
        }
        Ok(self.transformer.clone())
    }

    fn untransformed(&self) -> Adapter {
        Adapter { transform: None, schema: None, heartbeat_file: false, ..self.desk.adapter.clone() }
    }
}

/// Whether nobody else owes a file: its bytes stand in the event, or nobody has looked yet where they are.
fn is_ours_to_bring(file: &PendingFile) -> bool {
    file.giver.is_empty() || file.giver == Giver::Event.key()
}
