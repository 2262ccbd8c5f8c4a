//! Intake from RabbitMQ: one session after another until told to stop.
//!
//! A session is an epoch. Whatever goes wrong ends it; every delivery and every acknowledgement that
//! belongs to it is dropped, and the broker delivers again on the next one. Staging makes that
//! harmless. Nothing is ever rejected back to the broker.

use std::sync::Arc;
use std::time::Duration;

use lapin::Connection;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::commit::{COMMIT_BYTES_MAX, Committer, Committing, Limits, outcome};
use super::{Decoder, IntakeStats, Result};
use crate::config::{Amqp, Config};
use crate::staging::{StageEvents, StagingError};
use crate::support::backoff::Backoff;

mod connect;
mod head;
mod publish;
mod session;
#[cfg(test)]
mod tests;
mod topology;
mod wire;

use connect::{Broker, close};
pub use publish::{Outgoing, Published, Publisher};
use session::{End, Session};
pub use topology::{Made, SetupItem, SetupReport, setup};
use wire::Inflow;

/// When AMQP intake ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AmqpMode {
    /// When it is told to.
    Daemon,
    /// When the queue holds nothing more and everything received is committed and acknowledged.
    Drained,
}

/// Bytes of bodies that may be received and not yet committed and acknowledged; one larger body passes alone. Twice what a
/// commit holds, so that the next one fills up meanwhile.
const INFLOW_BYTES_MAX: u64 = 2 * COMMIT_BYTES_MAX as u64;

/// How long things may take. Tests shorten them.
#[derive(Debug, Clone, Copy)]
struct Timing {
    /// When a commit takes so long, by failing or by hanging, the session is closed: far below the time after which
    /// a broker gives up waiting for acknowledgements.
    outage: Duration,
    /// Without a delivery for so long, the broker is asked for a sign of life.
    silence: Duration,
    /// Without a delivery for so long, an empty queue counts as drained.
    quiet: Duration,
    /// The longest an acknowledgement or an answer of the broker may take.
    answer: Duration,
    /// A run that must end gives up when it could not consume for so long.
    give_up: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            outage: Duration::from_secs(30),
            silence: Duration::from_secs(20),
            quiet: Duration::from_millis(300),
            answer: connect::ANSWER_TIME_MAX,
            give_up: Duration::from_secs(30),
        }
    }
}

/// Takes in from the configured queue until `shutdown` is cancelled or, in [`AmqpMode::Drained`], until it is empty.
///
/// Without an `[amqp]` section there is nothing to do, and it returns at once. What it did stands in `stats`.
///
/// # Errors
/// Before the first session: a setting that cannot work, or an exchange or queue that is not there. At any
/// time: a staging error that retrying cannot mend. In [`AmqpMode::Drained`] also a broker or staging
/// that stays away for half a minute.
pub async fn run(
    config: &Config,
    stage: Arc<dyn StageEvents>,
    stats: Arc<IntakeStats>,
    shutdown: CancellationToken,
    mode: AmqpMode,
) -> Result<()> {
    let Some(settings) = &config.amqp else { return Ok(()) };
    run_timed(config, settings, stage, stats, shutdown, mode, Timing::default()).await
}

async fn run_timed(
    config: &Config,
    settings: &Amqp,
    stage: Arc<dyn StageEvents>,
    stats: Arc<IntakeStats>,
    shutdown: CancellationToken,
    mode: AmqpMode,
    timing: Timing,
) -> Result<()> {
    let broker = Broker::new(settings)?;
    let intake = Intake {
        decoder: Decoder::new(config)?,
        limits: Limits::new(&config.intake),
        committer: Committer::tireless(stage, stats.clone(), shutdown.clone()),
        broker,
        stats,
        mode,
        timing,
    };
    intake.epochs(&shutdown).await
}

/// What every session of one run shares.
struct Intake {
    broker: Broker,
    decoder: Decoder,
    limits: Limits,
    committer: Committer,
    stats: Arc<IntakeStats>,
    mode: AmqpMode,
    timing: Timing,
}

impl Intake {
    async fn epochs(&self, shutdown: &CancellationToken) -> Result<()> {
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(15));
        let mut ever_consumed = false;
        let mut away_since = Instant::now();
        loop {
            let opened = tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(()),
                opened = self.open() => opened,
            };
            let trouble = match opened {
                Ok((connection, session)) => {
                    ever_consumed = true;
                    let (end, progress, committing) = self.consume(connection, session, shutdown).await;
                    // A session that opens and breaks at once must not be opened again without a pause.
                    if progress {
                        backoff.reset();
                    }
                    away_since = Instant::now();
                    match end {
                        End::Finished => return Ok(()),
                        End::Fatal(error) => return Err(error.into()),
                        End::Broken(error) => {
                            // A broker that breaks off because it waited too long would do so again, and count
                            // each time how often it delivered.
                            self.outlast(committing, shutdown).await?;
                            error
                        }
                        End::Outage => {
                            tracing::error!("staging is away, the session is closed until it is back");
                            self.outlast(committing, shutdown).await?;
                            continue;
                        }
                    }
                }
                Err(error) if !ever_consumed && !error.retryable() => return Err(error),
                Err(error) => error,
            };
            self.stats.note_error(&trouble);
            let wait = backoff.after_failure();
            if self.mode == AmqpMode::Drained && away_since.elapsed() + wait > self.timing.give_up {
                return Err(trouble);
            }
            tracing::warn!(error = %trouble, retry_ms = wait.as_millis() as u64, "no session with the broker, trying again");
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    async fn open(&self) -> Result<(Connection, Session<'_>)> {
        let inflow = Arc::new(Inflow::new(INFLOW_BYTES_MAX));
        let connection = self.broker.connect_counted(inflow.clone()).await?;
        let session = async {
            if self.broker.settings().declare {
                topology::declare(&self.broker, &connection).await?;
            } else {
                topology::check(&self.broker, &connection).await?;
            }
            Session::open(self, &connection, inflow).await
        };
        let opened = tokio::time::timeout(self.timing.answer, session)
            .await
            .unwrap_or_else(|_| Err(self.broker.broken("no answer while a session was opened")));
        match opened {
            Ok(session) => Ok((connection, session)),
            Err(error) => {
                close(None, &connection).await;
                Err(error)
            }
        }
    }

    /// Runs one session. Also tells whether it acknowledged anything, and which commit it leaves behind.
    async fn consume(
        &self,
        connection: Connection,
        mut session: Session<'_>,
        shutdown: &CancellationToken,
    ) -> (End, bool, Option<Committing>) {
        self.stats.note_connected();
        tracing::info!(queue = %self.broker.settings().queue, "taking in");
        let end = session.run(shutdown).await;
        let (progress, committing) = (session.has_acknowledged(), session.leave());
        self.stats.note_disconnected();
        // A broken connection is only dropped: saying farewell to it would mean waiting for an answer.
        if !matches!(end, End::Broken(_)) {
            session.close(&connection).await;
        }
        (end, progress, committing)
    }

    /// Waits for the commit that a session left behind. No session is open meanwhile, so the broker waits for no
    /// acknowledgement and delivers nothing again, however long it takes. What is committed then comes once
    /// more and is a duplicate.
    async fn outlast(&self, committing: Option<Committing>, shutdown: &CancellationToken) -> Result<()> {
        let Some(committing) = committing else { return Ok(()) };
        let committed = async { outcome(committing.await) };
        let patience = match self.mode {
            AmqpMode::Daemon => Duration::MAX,
            AmqpMode::Drained => self.timing.give_up,
        };
        tokio::select! {
            () = shutdown.cancelled() => Ok(()),
            waited = tokio::time::timeout(patience, committed) => match waited {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(error)) => Err(error.into()),
                Err(_) => Err(self.away().into()),
            }
        }
    }

    /// What is known of a staging that stays away.
    fn away(&self) -> StagingError {
        let seen = self.stats.last_error().map(|(_, error)| error);
        StagingError::Unavailable { detail: seen.unwrap_or_else(|| "no answer to a commit".to_owned()) }
    }
}
