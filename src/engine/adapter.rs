//! One adapter at work: cuts its batches when their interval closes, renders and publishes them in order.
//!
//! Cutting does not wait for the share: while that is away, batches are still cut at their boundaries
//! and are written one after the other once it is back.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::render::{RenderError, render};
use super::{EngineError, Shared};
use crate::assemble::window;
use crate::config::Adapter;
use crate::model::Ticks;
use crate::pickup::{Marker, PickupError, Share};
use crate::staging::{BatchFilter, BatchRow, BatchState, BatchStep, By, Lease, NewCut, StagingError};
use crate::support::backoff::Backoff;
use crate::transform::{self, ResolveError, TransformSpec, Transformer};

/// How long a lease lasts without being renewed; another process takes over after that.
const LEASE: Duration = Duration::from_secs(60);
const LEASE_RENEWAL: Duration = Duration::from_secs(20);
/// The longest an adapter sleeps: how soon it notices `batch retry` or a lease that became free.
const SLEEP_MAX: Duration = Duration::from_secs(2);
/// Waits between attempts at a batch that could not be rendered, and at a share that is away.
const BATCH_RETRY: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(3600));
const TROUBLE_RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// When batches are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cutting {
    /// When their interval closes.
    WhenDue,
    /// At once.
    Now,
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
    /// Batches that could not be rendered.
    pub failed: u64,
}

pub(super) struct AdapterWorker {
    shared: Arc<Shared>,
    adapter: Adapter,
    share: Option<Share>,
    transformer: Option<Arc<Transformer>>,
    lease: Option<(Lease, Instant)>,
    /// When the next interval closes.
    boundary: Ticks,
    pass: AdapterPass,
}

impl AdapterWorker {
    pub(super) fn new(shared: Arc<Shared>, adapter: Adapter) -> Self {
        let pass = AdapterPass { adapter: adapter.name.clone(), ..AdapterPass::default() };
        Self { shared, adapter, share: None, transformer: None, lease: None, boundary: Ticks::MAX, pass }
    }

    /// Works until told to stop. Trouble is waited out, never fatal.
    pub(super) async fn run(mut self, stop: CancellationToken) -> Result<(), EngineError> {
        let mut backoff = Backoff::new(TROUBLE_RETRY.0, TROUBLE_RETRY.1);
        loop {
            let wait = tokio::select! {
                () = stop.cancelled() => break,
                turned = self.turn(Cutting::WhenDue) => match turned {
                    Ok(()) => {
                        backoff.reset();
                        SLEEP_MAX
                    }
                    Err(error) => {
                        let wait = backoff.after_failure();
                        tracing::warn!(adapter = self.adapter.name, error = describe(&error), wait_ms = wait.as_millis(), "the adapter waits");
                        wait
                    }
                },
            };
            // Trouble with one batch does not move the boundary of the next.
            let wait = wait.min(self.boundary.since(Ticks::now()));
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(wait) => {}
            }
        }
        self.finish().await;
        Ok(())
    }

    /// Gives the lease back and tells what was done.
    pub(super) async fn finish(mut self) -> AdapterPass {
        if let Some((lease, _)) = self.lease.take()
            && let Err(error) = self.shared.staging.release(&lease).await
        {
            tracing::debug!(error = %error, "the lease runs out by itself");
        }
        self.pass
    }

    /// One round: cut if due, then render and publish what is waiting, oldest first.
    pub(super) async fn turn(&mut self, cutting: Cutting) -> Result<(), EngineError> {
        let turned = self.work(cutting).await;
        if let Err(EngineError::Staging(StagingError::LeaseLost { .. })) = &turned {
            self.lease = None;
        }
        turned
    }

    async fn work(&mut self, cutting: Cutting) -> Result<(), EngineError> {
        let Some(lease) = self.hold_lease().await? else {
            let name = lease_name(&self.adapter);
            return if cutting == Cutting::Now { Err(StagingError::LeaseLost { name }.into()) } else { Ok(()) };
        };
        self.cut(&lease, cutting).await?;
        let waiting = BatchFilter {
            adapter: Some(self.adapter.name.clone()),
            states: vec![BatchState::Cut, BatchState::Rendered, BatchState::Failed],
            limit: None,
        };
        let mut batches = self.shared.staging.batches(&waiting).await?;
        batches.sort_by_key(|batch| batch.id);
        let now = Ticks::now();
        for batch in batches {
            let due = batch.state != BatchState::Failed || batch.retry_at.is_none_or(|at| at <= now);
            if due || cutting == Cutting::Now {
                let kept = keep_lease(Arc::clone(&self.shared), lease.clone());
                tokio::select! {
                    done = self.process(batch, &lease) => done?,
                    lost = kept => return Err(lost),
                }
            }
        }
        Ok(())
    }

    async fn hold_lease(&mut self) -> Result<Option<Lease>, EngineError> {
        if let Some((lease, renewed)) = &self.lease
            && renewed.elapsed() < LEASE_RENEWAL
        {
            return Ok(Some(lease.clone()));
        }
        let name = lease_name(&self.adapter);
        let lease = self.shared.staging.lease(&name, self.shared.lock.instance(), LEASE).await?;
        if lease.is_none() {
            tracing::debug!(adapter = self.adapter.name, "another process works for this adapter");
        }
        self.lease = lease.clone().map(|lease| (lease, Instant::now()));
        Ok(lease)
    }

    /// Cuts the next batch if its interval has closed.
    async fn cut(&mut self, lease: &Lease, cutting: Cutting) -> Result<(), EngineError> {
        let staging = &self.shared.staging;
        let name = &self.adapter.name;
        let position = staging.adapters().await?.into_iter().find(|row| row.adapter == *name);
        let mut last_end = position.map(|row| row.cut_at);
        let (interval, now) = (self.adapter.interval, Ticks::now());
        let window = match cutting {
            Cutting::WhenDue => window::due(last_end, interval, now),
            Cutting::Now => Some(window::close_now(last_end, interval, now)),
        };
        if let Some(window) = window {
            let cut = NewCut { adapter: name.clone(), interval_start: window.start, interval_end: window.end };
            let batch = staging.cut(lease, &cut).await?;
            tracing::debug!(adapter = name, batch = batch.id, end = %batch.interval_end, "cut");
            last_end = Some(batch.interval_end);
        }
        self.boundary = window::next_boundary(last_end, interval, now);
        Ok(())
    }

    async fn process(&mut self, batch: BatchRow, lease: &Lease) -> Result<(), EngineError> {
        let id = batch.id;
        let outcome = match batch.state {
            BatchState::Rendered => self.publish(id, lease).await,
            BatchState::Failed => {
                let again = self
                    .shared
                    .staging
                    .advance(By::Worker(lease), id, &[BatchState::Failed], &BatchStep::Retry)
                    .await?;
                self.render_and_publish(again, lease).await
            }
            _ => self.render_and_publish(batch, lease).await,
        };
        self.tell_share_state(&outcome).await?;
        outcome
    }

    async fn render_and_publish(&mut self, batch: BatchRow, lease: &Lease) -> Result<(), EngineError> {
        let id = batch.id;
        if batch.range.from == batch.range.to {
            let empty = crate::staging::RenderedBatch {
                id,
                counts: crate::staging::BatchCounts::default(),
                outputs: Vec::new(),
                presence: Vec::new(),
            };
            return Ok(self.shared.staging.finish_render(lease, &empty).await?);
        }
        let share = self.share().await?;
        let rendered = match self.transformer().await {
            Ok(transformer) => render(&self.shared, &self.adapter, &batch, &share, transformer).await,
            // The batches after this one still need its presence; assembly without a transform gives it.
            Err(error) => match render(&self.shared, &self.untransformed(), &batch, &share, None).await {
                Ok(assembled) => Err(RenderError::Batch { reason: describe(&*error), presence: assembled.presence }),
                Err(other) => Err(other),
            },
        };
        match rendered {
            Ok(rendered) => {
                let empty = rendered.outputs.is_empty();
                self.shared.staging.finish_render(lease, &rendered).await?;
                self.shared.staging.close_alert("batch-failed", &format!("batch {id}"), Ticks::now()).await?;
                if empty { Ok(()) } else { self.publish(id, lease).await }
            }
            Err(RenderError::Engine(error)) => Err(error),
            Err(RenderError::Batch { reason, presence }) => self.set_aside(&batch, lease, reason, presence).await,
        }
    }

    async fn publish(&mut self, id: i64, lease: &Lease) -> Result<(), EngineError> {
        let share = self.share().await?;
        let outputs = self.shared.staging.outputs(id).await?;
        blocking(move || share.publish(&outputs)).await?;
        let published = BatchStep::Published { at: Ticks::now() };
        let batch = self.shared.staging.advance(By::Worker(lease), id, &[BatchState::Rendered], &published).await?;
        let counts = batch.counts;
        self.pass.batches += 1;
        self.pass.events += counts.events;
        self.pass.messages += counts.messages;
        self.pass.files += counts.files;
        tracing::info!(
            adapter = self.adapter.name,
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
    async fn set_aside(
        &mut self,
        batch: &BatchRow,
        lease: &Lease,
        reason: String,
        presence: Vec<(i64, Vec<u8>)>,
    ) -> Result<(), EngineError> {
        self.transformer = None;
        self.pass.failed += 1;
        let share = self.share().await?;
        self.clear_temporaries(&share).await?;
        let now = Ticks::now();
        let wait = Backoff::new(BATCH_RETRY.0, BATCH_RETRY.1).step(batch.attempts);
        tracing::error!(adapter = self.adapter.name, batch = batch.id, reason, "the batch could not be rendered");
        let failed = BatchStep::Failed { reason: reason.clone(), retry_at: now.plus(wait), presence };
        let staging = &self.shared.staging;
        staging.advance(By::Worker(lease), batch.id, &[BatchState::Cut], &failed).await?;
        let detail = format!("adapter {}: {reason}", self.adapter.name);
        Ok(staging.raise_alert("batch-failed", &format!("batch {}", batch.id), &detail, now).await?)
    }

    /// The adapter's share, opened once. A share on which something was published must still carry its marker.
    async fn share(&mut self) -> Result<Share, EngineError> {
        if let Some(share) = &self.share {
            return Ok(share.clone());
        }
        let name = self.adapter.name.clone();
        let states = vec![BatchState::Published, BatchState::Collected, BatchState::Purged];
        let before = BatchFilter { adapter: Some(name.clone()), states, limit: Some(1) };
        let used = !self.shared.staging.batches(&before).await?.is_empty();
        let marker = if used { Marker::Require } else { Marker::Create };
        let dir = self.shared.config.pickup_dir(&self.adapter);
        let share = blocking(move || Share::open(&dir, &name, marker)).await?;
        self.clear_temporaries(&share).await?;
        Ok(self.share.insert(share).clone())
    }

    /// Deletes what renderings that came to nothing left behind.
    async fn clear_temporaries(&self, share: &Share) -> Result<(), EngineError> {
        let being_published =
            BatchFilter { adapter: Some(self.adapter.name.clone()), states: vec![BatchState::Rendered], limit: None };
        let mut kept = Vec::new();
        for batch in self.shared.staging.batches(&being_published).await? {
            kept.extend(self.shared.staging.outputs(batch.id).await?);
        }
        let share = share.clone();
        blocking(move || share.clear_temporaries(&kept)).await
    }

    /// The adapter's transform, loaded once; `None` when it needs none.
    async fn transformer(&mut self) -> Result<Option<Arc<Transformer>>, Box<dyn Error + Send + Sync>> {
        if self.transformer.is_none()
            && let Some(spec) = adapter_transform(&self.adapter)?
        {
            self.transformer = Some(Arc::new(Transformer::start(spec).await?));
        }
        Ok(self.transformer.clone())
    }

    fn untransformed(&self) -> Adapter {
        Adapter { transform: None, schema: None, ..self.adapter.clone() }
    }

    /// Keeps the alert about the share in step with what was just met.
    async fn tell_share_state(&self, outcome: &Result<(), EngineError>) -> Result<(), StagingError> {
        let (staging, subject, now) = (&self.shared.staging, format!("adapter {}", self.adapter.name), Ticks::now());
        match outcome {
            Ok(()) => staging.close_alert("share-unavailable", &subject, now).await,
            Err(EngineError::Pickup(error)) => {
                staging.raise_alert("share-unavailable", &subject, &describe(error), now).await
            }
            Err(_) => Ok(()),
        }
    }
}

fn lease_name(adapter: &Adapter) -> String {
    format!("adapter:{}", adapter.name)
}

/// The message with its causes, in one line.
pub(super) fn describe(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        if !text.contains(&message) {
            text = format!("{text}: {message}");
        }
        cause = error.source();
    }
    text
}

/// Runs file system work where it may block.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PickupError> + Send + 'static,
) -> Result<T, EngineError> {
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(|panic| EngineError::TaskPanicked { detail: panic.to_string() })??)
}

/// Renews the lease for as long as it is polled; returns only when the lease is lost.
async fn keep_lease(shared: Arc<Shared>, lease: Lease) -> EngineError {
    loop {
        tokio::time::sleep(LEASE_RENEWAL).await;
        match shared.staging.lease(&lease.name, &lease.holder, LEASE).await {
            Ok(Some(renewed)) if renewed.token == lease.token => {}
            Ok(_) => return StagingError::LeaseLost { name: lease.name }.into(),
            // Whether it is lost, the next write that carries its token will tell.
            Err(error) => tracing::debug!(error = %error, "the lease could not be renewed"),
        }
    }
}

/// What an adapter wants transformed or checked; `None` when it writes canonical XML unchecked.
///
/// # Errors
/// When the configured transform is neither a file nor a shipped one.
pub fn adapter_transform(adapter: &Adapter) -> Result<Option<TransformSpec>, ResolveError> {
    if adapter.transform.is_none() && adapter.schema.is_none() {
        return Ok(None);
    }
    let stylesheet = match &adapter.transform {
        // Configured paths are absolute once loaded.
        Some(named) => Some(transform::resolve(named, Path::new("/"))?),
        None => None,
    };
    Ok(Some(TransformSpec {
        stylesheet,
        parameters: adapter.parameters.clone(),
        schema: adapter.schema.clone(),
        ..TransformSpec::new(&adapter.name)
    }))
}
