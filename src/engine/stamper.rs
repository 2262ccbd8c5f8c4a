//! Gets time stamps of an outside authority for signed heads.
//!
//! The process that writes heads has them stamped. Nothing waits for the authority: one that is away is an alert, and the newest head
//! is stamped once it is back.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::decide::Verdict;
use super::error::describe;
use super::watch::AlertKeeper;
use super::{EngineError, Shared};
use crate::config::secret;
use crate::evidence::record::{keep_stamp, newest_stamp, unstamped};
use crate::evidence::stamp::{Authority, Request};
use crate::model::Ticks;
use crate::support::backoff::Backoff;

/// How often it is asked whether a stamp is due.
const TICK: Duration = Duration::from_secs(1);
/// Waits between attempts when the authority gives none.
const RETRY: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(600));
/// What the alert is about.
const SUBJECT: &str = "evidence";

/// Has heads stamped for one Chancery.
struct Stamper {
    shared: Arc<Shared>,
    unavailable: AlertKeeper,
    /// The newest head that is known to be stamped.
    stamped: Option<u64>,
    /// When the next stamp is due by this machine's clock; unknown at first.
    due: Option<Instant>,
    backoff: Backoff,
}

/// Works until told to stop.
pub(super) async fn run(shared: Arc<Shared>, stop: CancellationToken) -> Result<(), EngineError> {
    let mut stamper = Stamper::new(&shared);
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = stamper.turn() => {}
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(TICK) => {}
        }
    }
}

/// Has the newest head stamped, if that is due.
pub(super) async fn once(shared: &Arc<Shared>) {
    Stamper::new(shared).turn().await;
}

impl Stamper {
    fn new(shared: &Arc<Shared>) -> Self {
        Self {
            unavailable: AlertKeeper::new(shared, "timestamp-unavailable", SUBJECT),
            shared: Arc::clone(shared),
            stamped: None,
            due: None,
            backoff: Backoff::new(RETRY.0, RETRY.1),
        }
    }

    async fn turn(&mut self) {
        let Some(url) = self.shared.config.evidence.tsa.clone() else {
            // It may have been configured before.
            self.unavailable.tell(Verdict::Closed).await;
            return;
        };
        let Some(size) = *self.shared.headed.borrow() else { return };
        if self.stamped == Some(size) || self.due.is_some_and(|due| Instant::now() < due) {
            return;
        }
        let (dir, interval) = (self.shared.config.evidence_dir(), self.shared.config.evidence.tsa_interval.get());
        let first = self.due.is_none();
        let evidence = self.shared.config.evidence.clone();
        let attempt = tokio::task::spawn_blocking(move || {
            if first && let Some(wait) = still_to_wait(&dir, interval)? {
                return Ok(Outcome::Wait(wait));
            }
            let token = secret(evidence.tsa_token_file.as_deref(), evidence.tsa_token_env.as_deref())
                .map_err(|error| format!("no token for the time stamp authority: {}", describe(&error)))?;
            let authority = Authority::open(&url, token.as_ref()).map_err(|error| told(&error))?;
            stamp(&authority, dir, size)
        });
        let outcome = attempt.await.unwrap_or_else(|panic| Err(panic.to_string()));
        let now = Instant::now();
        match outcome {
            Ok(Outcome::Wait(wait)) => self.due = Some(now + wait),
            Ok(Outcome::Stamped) => {
                self.stamped = Some(size);
                self.due = Some(now + interval);
                self.backoff.reset();
                self.unavailable.tell(Verdict::Closed).await;
            }
            Err(reason) => {
                self.due = Some(now + self.backoff.after_failure());
                self.unavailable.tell(Verdict::Open(reason)).await;
            }
        }
    }
}

enum Outcome {
    /// The last stamp, by an earlier process, is too young.
    Wait(Duration),
    Stamped,
}

fn still_to_wait(dir: &std::path::Path, interval: Duration) -> Result<Option<Duration>, String> {
    let last = newest_stamp(dir).map_err(|error| describe(&error))?;
    // A stamp from the future of this machine's clock is as good as one of now.
    let passed = last.map(|last| Ticks::now().since(last));
    Ok(passed.and_then(|passed| interval.checked_sub(passed)).filter(|wait| !wait.is_zero()))
}

fn stamp(authority: &Authority, dir: PathBuf, size: u64) -> Result<Outcome, String> {
    let Some(digest) = unstamped(&dir, size).map_err(|error| describe(&error))? else { return Ok(Outcome::Stamped) };
    let request = Request::new(digest).map_err(|error| error.to_string())?;
    let (reply, at) = authority.ask(&request).map_err(|error| told(&error))?;
    keep_stamp(&dir, size, &reply).map_err(|error| describe(&error))?;
    tracing::debug!(size, at = at.iso(), "a head is stamped");
    Ok(Outcome::Stamped)
}

fn told(error: &crate::evidence::stamp::AuthorityError) -> String {
    format!("{}; {}", describe(error), error.cure())
}
