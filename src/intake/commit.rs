//! Collects what was decoded and commits it: as many events as a commit may hold, or as long as an event may wait.
//!
//! A commit runs in a task of its own, so that the next batch is received meanwhile; there is never more
//! than one under way, so acknowledgements stay in order.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::IntakeStats;
use crate::config;
use crate::staging::{Arrivals, StageEvents, Staged, StagingError};
use crate::support::backoff::Backoff;
use crate::support::step::{Step, reached};

/// Bytes after which a batch is committed although it could hold more events: large events must not
/// pile up to gigabytes.
pub(super) const COMMIT_BYTES_MAX: usize = 32 << 20;
/// After so long without an answer a commit counts as failed. It may have happened; repeating it is harmless.
const COMMIT_TIME_MAX: Duration = Duration::from_secs(120);
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_LONGEST: Duration = Duration::from_secs(5);

/// When a batch is ready.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    events_max: usize,
    delay: Duration,
}

impl Limits {
    pub(super) fn new(intake: &config::Intake) -> Self {
        Self { events_max: intake.commit_events_max.max(1) as usize, delay: intake.commit_delay.get() }
    }
}

/// The batch that is being received.
#[derive(Debug)]
pub(super) struct Gatherer {
    limits: Limits,
    batch: Arrivals,
    bytes: usize,
    due: Option<Instant>,
}

impl Gatherer {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, batch: Arrivals::default(), bytes: 0, due: None }
    }

    /// Lets `decode` add to the batch; `bytes` is the size of what it decodes.
    pub(super) fn add(&mut self, bytes: usize, decode: impl FnOnce(&mut Arrivals)) {
        reached(Step::Received);
        decode(&mut self.batch);
        reached(Step::Decoded);
        self.bytes += bytes;
        self.due.get_or_insert_with(|| Instant::now() + self.limits.delay);
    }

    pub(super) fn len(&self) -> usize {
        self.batch.events.len() + self.batch.quarantined.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether nothing more may be added before the batch is taken.
    pub(super) fn is_full(&self) -> bool {
        self.len() >= self.limits.events_max || self.bytes >= COMMIT_BYTES_MAX
    }

    /// When the batch must be committed even if it is not full; `None` while it is empty.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Whether the batch must be committed now.
    pub(super) fn is_due(&self) -> bool {
        self.is_full() || self.due.is_some_and(|due| due <= Instant::now())
    }

    /// Takes the batch and begins the next.
    pub(super) fn take(&mut self) -> Arrivals {
        self.bytes = 0;
        self.due = None;
        std::mem::take(&mut self.batch)
    }
}

/// A commit under way. Dropping it stops waiting; whether it happened is then unknown, and repeating is harmless.
pub(super) type Committing = AbortOnDropHandle<Result<Staged, StagingError>>;

/// Commits batches into staging.
#[derive(Clone)]
pub(super) struct Committer {
    stage: Arc<dyn StageEvents>,
    stats: Arc<IntakeStats>,
    shutdown: CancellationToken,
    /// How long an unavailable staging is tried again; for ever when none.
    patience: Option<Duration>,
}

impl Committer {
    /// `patience`: how long an unavailable staging is tried again before the commit is given up. Once
    /// `shutdown` is cancelled, it is not tried again at all.
    pub(super) fn new(
        stage: Arc<dyn StageEvents>,
        stats: Arc<IntakeStats>,
        shutdown: CancellationToken,
        patience: Duration,
    ) -> Self {
        Self { stage, stats, shutdown, patience: Some(patience) }
    }

    /// One that tries until it succeeds or `shutdown` is cancelled. The batch that could not be committed is the only
    /// question to staging whose answer counts: a full disk still has room for a smaller one.
    pub(super) fn tireless(stage: Arc<dyn StageEvents>, stats: Arc<IntakeStats>, shutdown: CancellationToken) -> Self {
        Self { stage, stats, shutdown, patience: None }
    }

    /// Starts a commit. It fails with a retryable error only when patience has run out or
    /// intake is told to stop.
    pub(super) fn start(&self, batch: Arrivals) -> Committing {
        let this = self.clone();
        AbortOnDropHandle::new(tokio::spawn(async move { this.commit(&batch).await }))
    }

    async fn commit(&self, batch: &Arrivals) -> Result<Staged, StagingError> {
        let begun = Instant::now();
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_LONGEST);
        loop {
            let error = match self.attempt(batch).await {
                Ok(staged) => {
                    self.stats.note_committed(&staged);
                    return Ok(staged);
                }
                Err(error) => error,
            };
            self.stats.note_error(&error);
            let wait = backoff.after_failure();
            if !error.retryable() || self.patience.is_some_and(|patience| begun.elapsed() + wait > patience) {
                return Err(error);
            }
            tracing::warn!(error = %error, retry_ms = wait.as_millis() as u64, "staging did not commit, trying again");
            tokio::select! {
                () = self.shutdown.cancelled() => return Err(error),
                () = sleep(wait) => {}
            }
        }
    }

    async fn attempt(&self, batch: &Arrivals) -> Result<Staged, StagingError> {
        timeout(COMMIT_TIME_MAX, self.stage.stage(batch)).await.unwrap_or_else(|_| {
            let detail = format!("no answer to a commit within {} s", COMMIT_TIME_MAX.as_secs());
            Err(StagingError::Unavailable { detail })
        })
    }
}

/// The outcome of a commit's task, its own failure included.
pub(super) fn outcome(
    joined: Result<Result<Staged, StagingError>, tokio::task::JoinError>,
) -> Result<Staged, StagingError> {
    joined.unwrap_or_else(|error| Err(StagingError::Broken { detail: format!("a commit ended abnormally: {error}") }))
}
