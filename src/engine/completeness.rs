//! Watches over what sources send: reports what has stood for long enough in their running counts, and keeps the alerts
//! about gaps, repeats, resets and silence in step with it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::error::describe;
use super::{EngineError, Shared, decide};
use crate::model::Ticks;
use crate::staging::FindingKind;

const TICK: Duration = Duration::from_secs(1);
/// The alerts that are kept here.
const SILENT: &str = "source-silent";
const KINDS: [(&str, FindingKind); 3] = [
    ("sequence-gap", FindingKind::Gap),
    ("sequence-repeat", FindingKind::Repeat),
    ("sequence-reset", FindingKind::Reset),
];

/// Alerts that are to be open: the detail by kind and subject.
type Alerts = BTreeMap<(&'static str, String), String>;

/// What the task remembers between two looks.
pub(super) struct Watch {
    shared: Arc<Shared>,
    began: Ticks,
    /// What staging was told last; `None` at first, because an earlier process may have left alerts open.
    told: Option<Alerts>,
}

/// Works until told to stop. Trouble is waited out, never fatal.
pub(super) async fn run(shared: Arc<Shared>, stop: CancellationToken) -> Result<(), EngineError> {
    let mut watch = Watch::new(shared);
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            looked = watch.look() => {
                if let Err(error) = looked {
                    tracing::debug!(error = describe(&error), "looking for what is missing waits");
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(TICK) => {}
        }
    }
}

impl Watch {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, began: Ticks::now(), told: None }
    }

    /// One look.
    pub(super) async fn look(&mut self) -> Result<(), EngineError> {
        let now = Ticks::now();
        let staging = &self.shared.staging;
        let patience = self.shared.config.completeness.patience.get();
        staging.report_findings(now.minus(patience), now).await?;
        let mut wanted = Alerts::new();
        for totals in staging.finding_totals().await? {
            let kind = KINDS.iter().find(|(_, kind)| *kind == totals.kind).map_or(SILENT, |(alert, _)| alert);
            wanted.insert((kind, subject(&totals.source)), decide::finding_detail(&totals));
        }
        wanted.extend(self.silent(now).await?);
        self.tell(wanted, now).await
    }

    /// Sources that have been silent for too long.
    async fn silent(&self, now: Ticks) -> Result<Alerts, EngineError> {
        let watched = self.shared.config.source.iter().filter_map(|source| Some((source, source.silence?)));
        let mut heard = None;
        let mut silent = Alerts::new();
        for (source, patience) in watched {
            let heard = match &heard {
                Some(heard) => heard,
                None => heard.insert(self.shared.staging.sources().await?),
            };
            let last = heard.iter().find(|row| row.source == source.uri).map(|row| row.last_received);
            if let Some(detail) = decide::silence(last, self.began, patience, now) {
                silent.insert((SILENT, subject(&source.uri)), detail);
            }
        }
        Ok(silent)
    }

    async fn tell(&mut self, wanted: Alerts, now: Ticks) -> Result<(), EngineError> {
        if self.told.as_ref() == Some(&wanted) {
            return Ok(());
        }
        let staging = &self.shared.staging;
        let ours = |kind: &str| kind == SILENT || KINDS.iter().any(|(alert, _)| *alert == kind);
        let open = staging.alerts().await?;
        for ((kind, subject), detail) in &wanted {
            let stands = open.iter().any(|row| row.kind == *kind && row.subject == *subject && row.detail == *detail);
            if !stands {
                tracing::warn!(kind, subject, detail, "alert");
                staging.raise_alert(kind, subject, detail, now).await?;
            }
        }
        for row in open.iter().filter(|row| ours(&row.kind)) {
            if !wanted.keys().any(|(kind, subject)| row.kind == *kind && row.subject == *subject) {
                staging.close_alert(&row.kind, &row.subject, now).await?;
            }
        }
        self.told = Some(wanted);
        Ok(())
    }
}

/// What an alert about a source is about.
fn subject(source: &str) -> String {
    format!("source {source}")
}
