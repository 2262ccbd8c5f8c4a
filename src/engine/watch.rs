//! Watches over intake and the shares: a broker that stays away, a share that fails or hangs is an alert, not a
//! log line.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::decide::{self, Verdict};
use super::{AdapterShared, EngineError, Shared};
use crate::intake::IntakeStats;
use crate::model::Ticks;
use crate::staging::Staging;

const TICK: Duration = Duration::from_secs(1);
/// How long a session may be missing before it is an alert: a broker that restarts is back sooner.
const AWAY_MAX: Duration = Duration::from_secs(10);
/// How long an operation on a share may show no progress before it is an alert.
const HANGING_AFTER: Duration = Duration::from_secs(30);
/// The same in a laboratory, where nobody waits.
const HANGING_AFTER_IN_LABORATORY: Duration = Duration::from_secs(3);
/// How often an alert that stays open is raised again, so that it shows the newest error.
const REMIND: Duration = Duration::from_secs(60);

/// Keeps one alert in step with what is known.
pub(super) struct AlertKeeper {
    staging: Staging,
    kind: &'static str,
    subject: String,
    /// When it was raised last, and with which detail.
    raised: Option<(Instant, String)>,
    /// At first: an earlier process may have left it open.
    may_be_open: bool,
}

impl AlertKeeper {
    pub(super) fn new(shared: &Shared, kind: &'static str, subject: &str) -> Self {
        let staging = Arc::clone(&shared.staging);
        Self { staging, kind, subject: subject.to_owned(), raised: None, may_be_open: true }
    }

    /// Raises or closes the alert if that is not done yet. While staging is away it is tried again each time.
    pub(super) async fn tell(&mut self, verdict: Verdict) {
        let told = match verdict {
            Verdict::Open(detail) => {
                let fresh = |(at, before): &(Instant, String)| *before == detail && at.elapsed() < REMIND;
                if self.raised.as_ref().is_some_and(fresh) {
                    return;
                }
                tracing::warn!(kind = self.kind, subject = self.subject, detail, "alert");
                self.may_be_open = true;
                let told = self.staging.raise_alert(self.kind, &self.subject, &detail, Ticks::now()).await;
                told.map(|()| self.raised = Some((Instant::now(), detail)))
            }
            Verdict::Closed if self.may_be_open => {
                let told = self.staging.close_alert(self.kind, &self.subject, Ticks::now()).await;
                told.map(|()| {
                    self.raised = None;
                    self.may_be_open = false;
                })
            }
            Verdict::Closed | Verdict::Unknown => return,
        };
        if let Err(error) = told {
            tracing::debug!(kind = self.kind, subject = self.subject, error = %error, "the alert waits for staging");
        }
    }
}

/// Keeps the alert about the broker in step with what intake meets, until told to stop.
pub(super) async fn broker(
    shared: Arc<Shared>,
    stats: Arc<IntakeStats>,
    stop: CancellationToken,
) -> Result<(), EngineError> {
    let Some(settings) = &shared.config.amqp else { return Ok(()) };
    let mut alert = AlertKeeper::new(&shared, "broker-unavailable", &format!("queue {}", settings.queue));
    let mut seen = Instant::now();
    while tick(&stop).await {
        let verdict = if stats.connected() {
            seen = Instant::now();
            Verdict::Closed
        } else if seen.elapsed() >= AWAY_MAX {
            Verdict::Open(
                stats.last_error().map_or_else(|| "no session with the broker".to_owned(), |(_, error)| error),
            )
        } else {
            Verdict::Unknown
        };
        alert.tell(verdict).await;
    }
    Ok(())
}

/// Keeps the alert about an adapter's share in step with what its tasks meet there, until told to stop.
pub(super) async fn share(desk: Arc<AdapterShared>, stop: CancellationToken) -> Result<(), EngineError> {
    let mut alert = share_alert(&desk);
    while tick(&stop).await {
        alert.tell(share_verdict(&desk)).await;
    }
    Ok(())
}

/// The alert about an adapter's share.
pub(super) fn share_alert(desk: &AdapterShared) -> AlertKeeper {
    AlertKeeper::new(&desk.shared, "share-unavailable", &desk.subject())
}

/// What is to be told about it now.
pub(super) fn share_verdict(desk: &AdapterShared) -> Verdict {
    let patience = if desk.shared.config.laboratory { HANGING_AFTER_IN_LABORATORY } else { HANGING_AFTER };
    let known = desk.lane.knowledge();
    let underway = known.underway.as_ref().map(|(what, silent)| (what.as_str(), *silent));
    decide::share_alert(&known.writing, &known.collecting, underway, patience)
}

/// Waits a moment; `false` when it is time to stop.
async fn tick(stop: &CancellationToken) -> bool {
    tokio::select! {
        () = stop.cancelled() => false,
        () = tokio::time::sleep(TICK) => true,
    }
}
