//! Watches over intake: a broker that stays away is an alert, not a log line.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{EngineError, Shared};
use crate::intake::IntakeStats;
use crate::model::Ticks;
use crate::staging::StagingError;

const TICK: Duration = Duration::from_secs(1);
/// How long a session may be missing before it is an alert: a broker that restarts is back sooner.
const AWAY_MAX: Duration = Duration::from_secs(10);
/// How often an alert that stays open is raised again, so that it shows the newest error.
const REMIND: Duration = Duration::from_secs(60);
const KIND: &str = "broker-unavailable";

/// Keeps the alert about the broker in step with what intake meets, until told to stop.
pub(super) async fn broker(
    shared: Arc<Shared>,
    stats: Arc<IntakeStats>,
    stop: CancellationToken,
) -> Result<(), EngineError> {
    let Some(settings) = &shared.config.amqp else { return Ok(()) };
    let subject = format!("queue {}", settings.queue);
    let mut seen = Instant::now();
    let mut raised: Option<Instant> = None;
    // An earlier process may have left the alert open.
    let mut may_be_open = true;
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(TICK) => {}
        }
        let told = if stats.connected() {
            seen = Instant::now();
            raised = None;
            if !may_be_open {
                continue;
            }
            shared.staging.close_alert(KIND, &subject, Ticks::now()).await.map(|()| may_be_open = false)
        } else if seen.elapsed() >= AWAY_MAX && raised.is_none_or(|at| at.elapsed() >= REMIND) {
            raised = Some(Instant::now());
            may_be_open = true;
            raise(&shared, &stats, &subject).await
        } else {
            continue;
        };
        if let Err(error) = told {
            tracing::debug!(error = %error, "the alert about the broker waits for staging");
        }
    }
}

async fn raise(shared: &Shared, stats: &IntakeStats, subject: &str) -> Result<(), StagingError> {
    let detail = stats.last_error().map_or_else(|| "no session with the broker".to_owned(), |(_, error)| error);
    shared.staging.raise_alert(KIND, subject, &detail, Ticks::now()).await
}
