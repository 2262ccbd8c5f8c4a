//! What to do next: pure rules from what is known to what follows.
//!
//! Nothing here reads a clock, asks staging, touches a share or remembers anything. The tasks of an adapter gather
//! facts, ask here, and act; the simulation asks the same questions of thousands of made-up histories. When an
//! interval closes is told by [`window`], what a look at the share proves by [`Sighting::judge`].

use std::time::Duration;

use super::EngineError;
use crate::assemble::window::{self, Window};
use crate::config::{Adapter, Span};
use crate::model::Ticks;
use crate::pickup::{Marker, Seen, Sighting};
use crate::staging::{BatchId, BatchRow, BatchState, FindingKind, FindingTotals, OutputRow, StagingError};
use crate::support::backoff::Backoff;

/// The longest a task of an adapter sleeps: how soon it notices `batch retry` or a lease that became free.
const SLEEP_MAX: Duration = Duration::from_secs(2);
/// Waits between attempts at a batch that could not be rendered.
const BATCH_RETRY_FIRST: Duration = Duration::from_secs(10);
const BATCH_RETRY_LONGEST: Duration = Duration::from_secs(3600);
/// How often staging is purged when no batch was: signals of empty batches go this way.
const PURGE_EVERY: Duration = Duration::from_secs(60);
/// How far the clock may stand behind the last cut before that is an alert: corrections of a second are everyday.
const CLOCK_BEHIND_MAX: Duration = Duration::from_secs(60);

/// When batches are cut, and those that failed tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// When their time has come.
    WhenDue,
    /// At once.
    AtOnce,
}

/// What is to be done with a waiting batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// Put its rendered files on the share.
    Publish,
    /// Render it, then publish it.
    Render,
    /// Take it back from `Failed`, then as [`Work::Render`].
    RenderAgain,
    /// Nothing was committed in its interval: record that, without the share.
    Close,
}

/// One piece of work, in the order in which they are to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Job {
    pub(super) batch: BatchRow,
    pub(super) work: Work,
}

/// How to go on after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// It is about this batch alone: leave it for later, work on the next.
    NextBatch,
    /// Somebody else works for the adapter now.
    LeaseGone,
    /// It would meet the next batch too: wait, then begin anew.
    Wait,
}

/// What one side of an adapter (writing or collecting) last met on the share.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Met {
    /// It had nothing to do there.
    #[default]
    Nothing,
    /// It worked.
    Fine,
    /// It did not.
    Trouble(String),
}

/// Whether an alert is to be open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Open, with this detail.
    Open(String),
    /// Closed.
    Closed,
    /// Left as it is: nothing is known.
    Unknown,
}

/// The window to cut now, if any. `last_end` is the end of the adapter's last cut.
pub(super) fn cut(last_end: Option<Ticks>, interval: Span, pace: Pace, now: Ticks) -> Option<Window> {
    match pace {
        Pace::WhenDue => window::due(last_end, interval, now),
        Pace::AtOnce => Some(window::close_now(last_end, interval, now)),
    }
}

/// How long the cutter sleeps: never past a boundary, whatever trouble it has just met.
pub(super) fn cutter_sleep(last_end: Option<Ticks>, interval: Span, trouble: Option<Duration>, now: Ticks) -> Duration {
    window::next_boundary(last_end, interval, now).since(now).min(trouble.unwrap_or(SLEEP_MAX))
}

/// How long the writer sleeps, unless a cut wakes it.
pub(super) fn writer_sleep(trouble: Option<Duration>) -> Duration {
    trouble.unwrap_or(SLEEP_MAX)
}

/// Whether the clock stands so far behind the last cut that nothing will be cut for a while.
pub(super) fn clock_alert(last_end: Option<Ticks>, now: Ticks) -> Verdict {
    match last_end {
        Some(last_end) if last_end.since(now) > CLOCK_BEHIND_MAX => Verdict::Open(format!(
            "this machine's clock stands before {last_end}, the end of the last interval; nothing is cut until it has \
             passed that. Set the clock right, or close an interval by hand with `chancery run --once`"
        )),
        _ => Verdict::Closed,
    }
}

/// The work there is, in order: what is rendered or cut, oldest first, then what failed and is due again, so
/// that trouble with one batch costs the later ones nothing. `blocked` says which ones met an error of their own
/// a moment ago.
pub(super) fn jobs(batches: Vec<BatchRow>, pace: Pace, now: Ticks, blocked: impl Fn(BatchId) -> bool) -> Vec<Job> {
    let mut jobs: Vec<Job> = batches
        .into_iter()
        .filter(|batch| !blocked(batch.id))
        .filter_map(|batch| {
            let work = match batch.state {
                BatchState::Rendered => Work::Publish,
                BatchState::Cut if batch.range.from == batch.range.to => Work::Close,
                BatchState::Cut => Work::Render,
                BatchState::Failed if pace == Pace::AtOnce || retry_is_due(&batch, now) => Work::RenderAgain,
                _ => return None,
            };
            Some(Job { batch, work })
        })
        .collect();
    jobs.sort_by_key(|job| (job.work == Work::RenderAgain, job.batch.id));
    jobs
}

/// When a batch that failed `attempts` times before is due again.
pub(super) fn retry_at(attempts: u32, now: Ticks) -> Ticks {
    now.plus(Backoff::new(BATCH_RETRY_FIRST, BATCH_RETRY_LONGEST).step(attempts))
}

/// How long a batch rests that met an error of its own without changing its state.
pub(super) fn rest() -> Duration {
    BATCH_RETRY_FIRST
}

fn retry_is_due(batch: &BatchRow, now: Ticks) -> bool {
    // A time further away than any wait was written by a clock that has been put back since.
    batch.retry_at.is_none_or(|at| at <= now || at.since(now) > BATCH_RETRY_LONGEST)
}

/// How the writer goes on after an error.
pub(super) fn after(error: &EngineError) -> After {
    match error {
        EngineError::Staging(StagingError::LeaseLost { .. }) => After::LeaseGone,
        EngineError::Pickup(error) if !error.retryable() => After::NextBatch,
        _ => After::Wait,
    }
}

/// States of batches that were, or are about to be, on the share. When there is one, the share must already
/// carry its marker: a directory without it is some other directory, and in it every missing file would pass
/// for one that the archive took.
pub(super) const ON_SHARE: [BatchState; 5] =
    [BatchState::Rendered, BatchState::Published, BatchState::Collected, BatchState::Purged, BatchState::Abandoned];

/// Whether the share must carry its marker.
pub(super) fn marker(any_on_share: bool) -> Marker {
    if any_on_share { Marker::Require } else { Marker::Create }
}

/// What a look at the share proves of a published batch.
pub(super) fn collection(
    seen: &Sighting,
    adapter: &Adapter,
    batch: &BatchRow,
    outputs: &[OutputRow],
    now: Ticks,
) -> Seen {
    seen.judge(adapter.collected_when, outputs, batch.published_at.unwrap_or(batch.cut_at), now)
}

/// Whether the files of a batch may be purged now.
pub(super) fn purge_is_due(batch: &BatchRow, keep: Span, now: Ticks) -> bool {
    batch.state == BatchState::Collected && batch.collected_at.is_some_and(|at| at.plus(keep.get()) <= now)
}

/// Whether staged events are purged now. `since_last`: how long ago that was done, if ever by this process.
pub(super) fn staging_purge_is_due(batch_purged: bool, since_last: Option<Duration>) -> bool {
    batch_purged || since_last.is_none_or(|since| since >= PURGE_EVERY)
}

/// What the alert about the open findings of a source says.
pub(super) fn finding_detail(totals: &FindingTotals) -> String {
    let FindingTotals { findings, numbers, .. } = totals;
    let what = match totals.kind {
        FindingKind::Gap => format!("{numbers} numbers of its sequence are missing, in {findings} gaps"),
        FindingKind::Repeat => format!("{findings} numbers of its sequence came a second time, under another id"),
        FindingKind::Reset => format!("its sequence began again {findings} times"),
    };
    format!(
        "{what}; `chancery sequence list` names them, `chancery sequence settle` records an explanation and closes this"
    )
}

/// Whether a source has been silent for too long. `last`: when it was last heard of; `began`: since when somebody listens.
pub(super) fn silence(last: Option<Ticks>, began: Ticks, patience: Span, now: Ticks) -> Option<String> {
    // While nobody listened, nothing could be heard.
    let since = last.map_or(began, |last| last.max(began));
    (now.since(since) > patience.get()).then(|| match last {
        Some(last) => format!("nothing was heard of it since {last}, neither events nor heartbeats"),
        None => format!("nothing was ever heard of it, and it may be silent for {patience}"),
    })
}

/// Whether the share is to be reported as unavailable. `underway`: what is told of the operation under way, and how
/// long it has taken; `patience`: how long that may be.
pub(super) fn share_alert(
    writing: &Met,
    collecting: &Met,
    underway: Option<(&str, Duration)>,
    patience: Duration,
) -> Verdict {
    if let Some((told, taken)) = underway
        && taken > patience
    {
        return Verdict::Open(told.to_owned());
    }
    match (writing, collecting) {
        (Met::Trouble(detail), _) | (_, Met::Trouble(detail)) => Verdict::Open(detail.clone()),
        (Met::Fine, _) | (_, Met::Fine) => Verdict::Closed,
        (Met::Nothing, Met::Nothing) => Verdict::Unknown,
    }
}
