//! Cuts an adapter's batches when their interval closes. It touches no share and waits for none.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::decide::{self, Pace, Verdict};
use super::error::describe;
use super::watch::AlertKeeper;
use super::{AdapterShared, EngineError, TROUBLE_RETRY};
use crate::model::Ticks;
use crate::staging::{NewCut, StagingError};
use crate::support::backoff::Backoff;

pub(super) struct Cutter {
    desk: Arc<AdapterShared>,
    clock_alert: AlertKeeper,
    /// End of the last cut, as far as known: tells when the next interval closes.
    last_end: Option<Ticks>,
}

impl Cutter {
    pub(super) fn new(desk: Arc<AdapterShared>) -> Self {
        let clock_alert = AlertKeeper::new(&desk.shared, "clock-behind", &desk.subject());
        Self { desk, clock_alert, last_end: None }
    }

    /// Works until told to stop. Trouble is waited out, never fatal.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut backoff = Backoff::new(TROUBLE_RETRY.0, TROUBLE_RETRY.1);
        let (name, interval) = (self.desk.adapter.name.clone(), self.desk.adapter.interval);
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
                        tracing::warn!(adapter = name, error = describe(&error), wait_ms = wait.as_millis(), "cutting waits");
                        Some(wait)
                    }
                },
            };
            let sleep = decide::cutter_sleep(self.last_end, interval, trouble, Ticks::now());
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(sleep) => {}
            }
        }
    }

    /// Cuts the next batch if its time has come.
    pub(super) async fn turn(&mut self, pace: Pace) -> Result<(), EngineError> {
        let turned = self.cut(pace).await;
        if let Err(EngineError::Staging(StagingError::LeaseLost { .. })) = &turned {
            self.desk.tenure.forget().await;
        }
        turned
    }

    async fn cut(&mut self, pace: Pace) -> Result<(), EngineError> {
        let lease = match pace {
            Pace::AtOnce => self.desk.tenure.insist().await?,
            Pace::WhenDue => match self.desk.tenure.hold().await? {
                Some(lease) => lease,
                None => return Ok(()),
            },
        };
        let (staging, adapter) = (&self.desk.shared.staging, &self.desk.adapter);
        let position = staging.adapters().await?.into_iter().find(|row| row.adapter == adapter.name);
        self.last_end = position.map(|row| row.cut_at);
        let now = Ticks::now();
        if let Some(window) = decide::cut(self.last_end, adapter.interval, pace, now) {
            let cut = NewCut { adapter: adapter.name.clone(), interval_start: window.start, interval_end: window.end };
            let batch = staging.cut(&lease, &cut).await?;
            tracing::debug!(adapter = adapter.name, batch = batch.id, end = %batch.interval_end, "cut");
            self.last_end = Some(batch.interval_end);
            self.desk.cut.notify_one();
        }
        let verdict = match pace {
            Pace::WhenDue => decide::clock_alert(self.last_end, now),
            // Closed by hand, an interval may end a tick ahead of the clock.
            Pace::AtOnce => Verdict::Unknown,
        };
        self.clock_alert.tell(verdict).await;
        Ok(())
    }
}
