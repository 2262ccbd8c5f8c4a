//! What to do next: pure rules from what is known to what follows.
//!
//! Nothing here reads a clock, asks staging, touches a share or remembers anything. The tasks of an adapter gather
//! facts, ask here, and act; the simulation asks the same questions of thousands of made-up histories. When an
//! interval closes is told by [`window`], what a look at the share proves by [`Sighting::judge`].

use std::collections::HashSet;
use std::time::Duration;

use super::EngineError;
use crate::assemble::window::{self, Window};
use crate::config::{Adapter, Span};
use crate::model::Ticks;
use crate::pickup::{Marker, Seen, Sighting};
use crate::staging::{
    BatchId, BatchRow, BatchState, Capture, CaptureRow, CopyRow, FindingKind, FindingTotals, LateFiles, OutputRow, Seq,
    StagingError,
};
use crate::support::backoff::Backoff;
use crate::vault::Giver;

/// The longest a task of an adapter sleeps: how soon it notices `batch retry` or a lease that became free.
const SLEEP_MAX: Duration = Duration::from_secs(2);
/// Waits between attempts at a batch that could not be rendered.
const BATCH_RETRY_FIRST: Duration = Duration::from_secs(10);
const BATCH_RETRY_LONGEST: Duration = Duration::from_secs(3600);
/// How soon a batch looks again whether files are still held up by us; it is told when some have come.
const HELD_UP_LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Waits between attempts to get a file, and the longest that a giver may ask for.
const FILE_RETRY_FIRST: Duration = Duration::from_secs(1);
const FILE_RETRY_LONGEST: Duration = Duration::from_secs(900);
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);
/// Files that come in at once: from events and the repository each, from one host, and from all hosts together. One that
/// does not answer keeps its own waiting, and eight of them nobody else's.
const CAPTURES_AT_ONCE: usize = 8;
const CAPTURES_OF_A_HOST: usize = 4;
const HOST_CAPTURES_AT_ONCE: usize = 32;
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

/// Which batches a writer works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    /// Those that were cut.
    Batches,
    /// Their supplements.
    Supplements,
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

/// How long the writer sleeps, unless a cut or a file wakes it. `waits`: how much longer a batch may wait for files.
pub(super) fn writer_sleep(trouble: Option<Duration>, waits: Option<Duration>) -> Duration {
    trouble.unwrap_or_else(|| waits.map_or(SLEEP_MAX, |waits| waits.min(SLEEP_MAX)))
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

/// Which of an adapter's two writers works on a batch. Supplements come late anyway, and may bring files that take
/// minutes to copy: they are worked on beside the batches that are cut.
pub(super) fn line(batch: &BatchRow) -> Line {
    if batch.supplement_to.is_some() { Line::Supplements } else { Line::Batches }
}

/// How long a batch may wait for files after its interval has ended.
pub(super) fn grace(grace: Span, interval: Span) -> Duration {
    grace.get().min(interval.get())
}

/// How much longer a batch may wait for files that have not come; `None`: it is rendered without them. Waiting is
/// over at once where the clock has been put back before the end of the interval. `held_up`: that they have not come is our own doing;
/// then it waits until that is mended.
pub(super) fn waits_for_files(
    batch: &BatchRow,
    pace: Pace,
    (grace, held_up): (Duration, bool),
    now: Ticks,
) -> Option<Duration> {
    let is_new = batch.state == BatchState::Cut && batch.range.from < batch.range.to && line(batch) == Line::Batches;
    if !is_new {
        return None;
    }
    if held_up {
        return Some(HELD_UP_LOOK_AGAIN);
    }
    // One that was cut late, after a standstill, is not to be without grace for that.
    let from = batch.interval_end.max(batch.cut_at);
    let waits = pace == Pace::WhenDue && batch.attempts == 0 && from <= now;
    let until = from.plus(grace);
    (waits && now < until).then(|| until.since(now))
}

/// Whether the files that came late for a batch follow now. They follow together: when none is waited for any more, or the first
/// has waited for the others as long as the batch did.
pub(super) fn files_follow(late: &LateFiles, pace: Pace, grace: Duration, now: Ticks) -> bool {
    pace == Pace::AtOnce || late.waiting == 0 || late.first_came > now || late.first_came.plus(grace) <= now
}

/// Files that are beyond what goes along with a batch, by arrival: each is taken that still fits, and contents that are
/// taken already cost nothing.
pub(super) fn too_large_to_go_along(captures: &[CaptureRow], bytes_max: u64) -> Vec<Seq> {
    let (mut taken, mut bytes, mut beyond) = (HashSet::new(), 0_u64, Vec::new());
    for row in captures {
        let Capture::Stored { sha256, size, .. } = &row.outcome else { continue };
        if taken.contains(sha256) {
            continue;
        }
        match bytes.checked_add(*size).filter(|sum| *sum <= bytes_max) {
            Some(sum) => {
                bytes = sum;
                taken.insert(*sha256);
            }
            None => beyond.push(row.seq),
        }
    }
    beyond
}

/// When a file is asked for again that was asked for `attempts` times before, and once more just now; `None`: its time is over.
/// `asked`: how long its giver wants to be left alone.
pub(super) fn next_attempt(attempts: u32, asked: Option<Duration>, now: Ticks, deadline: Ticks) -> Option<Ticks> {
    if now >= deadline {
        return None;
    }
    let step = Backoff::new(FILE_RETRY_FIRST, FILE_RETRY_LONGEST).step(attempts);
    let wait = asked.map_or(step, |asked| asked.clamp(step, RETRY_AFTER_MAX.max(step)));
    Some(now.plus(wait).min(deadline))
}

/// How many files of a giver are brought in at once, itself included, while `hosts` files come from hosts.
pub(super) fn captures_at_once(giver: &Giver, hosts: usize) -> usize {
    match giver {
        Giver::Event | Giver::Repository => CAPTURES_AT_ONCE,
        Giver::Host(_) if hosts < HOST_CAPTURES_AT_ONCE => CAPTURES_OF_A_HOST,
        Giver::Host(_) => 0,
    }
}

/// The work there is on one line, in order: what is rendered or cut, oldest first, then what failed and is due again, so
/// that trouble with one batch costs the later ones nothing. `blocked` says which ones met an error of their own
/// a moment ago, `waits` which are waiting for files: behind such a one nothing is rendered that was cut later,
/// because who is in a room is passed on from batch to batch.
pub(super) fn jobs(
    batches: Vec<BatchRow>,
    (line_of, pace, now): (Line, Pace, Ticks),
    blocked: impl Fn(BatchId) -> bool,
    waits: impl Fn(BatchId) -> bool,
) -> Vec<Job> {
    let waiting = batches.iter().filter(|batch| line(batch) == line_of && waits(batch.id));
    let first_waiting = waiting.map(|batch| batch.id).min();
    let mut jobs: Vec<Job> = batches
        .into_iter()
        .filter(|batch| line(batch) == line_of && !blocked(batch.id))
        .filter(|batch| batch.state != BatchState::Cut || first_waiting.is_none_or(|waiting| batch.id < waiting))
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

/// Whether an error in copying a manifest is about that one, and not about staging or the share.
pub(super) fn is_about_one_copy(error: &EngineError) -> bool {
    matches!(error, EngineError::Record(_)) || after(error) == After::NextBatch
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

/// Whether copies that lie beside the files of a batch have lain there for long enough to be purged with them.
pub(super) fn copies_are_due(copies: &[CopyRow], keep: Span, now: Ticks) -> bool {
    copies.iter().all(|copy| copy.copied_at.is_some_and(|at| at.plus(keep.get()) <= now))
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test should panic")]

    use super::*;
    use crate::staging::{BatchCounts, SeqRange, Workplace};

    const SECOND: Duration = Duration::from_secs(1);

    fn at(second: u64) -> Ticks {
        Ticks::parse("2026-11-22T10:00:00Z").unwrap().plus(SECOND * u32::try_from(second).unwrap())
    }

    fn batch(id: BatchId) -> BatchRow {
        BatchRow {
            id,
            adapter: "a".into(),
            interval_start: at(0),
            interval_end: at(60),
            range: SeqRange { from: 0, to: 9 },
            first: true,
            state: BatchState::Cut,
            attempts: 0,
            retry_at: None,
            reason: None,
            counts: BatchCounts::default(),
            cut_at: at(60),
            published_at: None,
            collected_at: None,
            collected_how: None,
            purged_at: None,
            workplace: Workplace::default(),
            supplement_to: None,
            completes: None,
        }
    }

    #[test]
    fn a_batch_waits_for_files_once_and_not_beyond_the_grace() {
        let grace = grace(Span::from_secs(30), Span::from_secs(20));
        assert_eq!(grace, 20 * SECOND, "never longer than another interval");
        let waits = |batch: &BatchRow, now| waits_for_files(batch, Pace::WhenDue, (grace, false), now);
        assert_eq!(waits(&batch(1), at(60)), Some(20 * SECOND));
        assert_eq!(waits(&batch(1), at(79)), Some(SECOND));
        assert_eq!(waits(&batch(1), at(80)), None);
        assert_eq!(waits(&batch(1), at(59)), None, "the clock was put back");
        assert_eq!(waits_for_files(&batch(1), Pace::AtOnce, (grace, false), at(60)), None);
        let held_up = |pace, now| waits_for_files(&batch(1), pace, (grace, true), now).is_some();
        assert!(
            held_up(Pace::WhenDue, at(9_000)) && held_up(Pace::AtOnce, at(60)),
            "what is ours to mend is waited for"
        );
        let retried = BatchRow { attempts: 1, ..batch(1) };
        assert!(waits_for_files(&retried, Pace::WhenDue, (grace, true), at(60)).is_some());
        for other in [
            BatchRow { state: BatchState::Rendered, ..batch(1) },
            BatchRow { attempts: 1, ..batch(1) },
            BatchRow { supplement_to: Some(1), ..batch(2) },
            BatchRow { range: SeqRange { from: 9, to: 9 }, ..batch(1) },
        ] {
            assert_eq!(waits(&other, at(60)), None, "{other:?}");
        }
    }

    #[test]
    fn nothing_overtakes_a_batch_that_waits_but_what_is_rendered_and_supplements_go_on() {
        let batches = vec![
            batch(1),
            batch(2),
            BatchRow { state: BatchState::Rendered, ..batch(3) },
            batch(4),
            BatchRow { supplement_to: Some(1), ..batch(5) },
        ];
        let ids = |line, waiting: Option<BatchId>| {
            let when = (line, Pace::WhenDue, at(60));
            let jobs = jobs(batches.clone(), when, |_| false, |id| waiting == Some(id));
            jobs.iter().map(|job| job.batch.id).collect::<Vec<_>>()
        };
        assert_eq!(ids(Line::Batches, None), [1, 2, 3, 4]);
        assert_eq!(ids(Line::Batches, Some(2)), [1, 3]);
        assert_eq!(ids(Line::Supplements, Some(2)), [5]);
    }

    #[test]
    fn late_files_follow_together() {
        let late = |waiting| LateFiles { batch: 1, came: 1, waiting, first_came: at(100) };
        let follow = |waiting, now| files_follow(&late(waiting), Pace::WhenDue, 20 * SECOND, now);
        assert!(follow(0, at(100)));
        assert!(!follow(1, at(119)));
        assert!(follow(1, at(120)));
        assert!(follow(1, at(99)), "the clock was put back");
        assert!(files_follow(&late(1), Pace::AtOnce, 20 * SECOND, at(100)));
    }

    #[test]
    fn what_goes_along_with_a_batch_is_bounded() {
        let row = |seq, content: u8, size| CaptureRow {
            seq,
            outcome: Capture::Stored { sha256: [content; 32], size, mismatch: false, extension: None },
        };
        let missing = CaptureRow { seq: 9, outcome: Capture::Missing { reason: String::new() } };
        let rows = [row(1, 1, 60), row(2, 2, 50), row(3, 1, 60), row(4, 3, 40), missing, row(10, 4, u64::MAX)];
        assert_eq!(too_large_to_go_along(&rows, 100), [2, 10], "what fits is taken, each content once");
        assert_eq!(too_large_to_go_along(&rows, 0), [1, 2, 3, 4, 10]);
    }

    #[test]
    fn a_file_is_asked_for_less_and_less_often_until_its_time_is_over() {
        let next =
            |attempts, asked, now| next_attempt(attempts, asked, at(now), at(10_000)).map(|then| then.since(at(now)));
        assert_eq!(next(0, None, 0), Some(SECOND));
        assert_eq!(next(3, None, 0), Some(8 * SECOND));
        assert_eq!(next(40, None, 0), Some(900 * SECOND));
        assert_eq!(next(0, Some(120 * SECOND), 0), Some(120 * SECOND));
        assert_eq!(next(0, Some(100_000 * SECOND), 0), Some(3600 * SECOND), "within reason");
        assert_eq!(next(9, Some(SECOND), 0), Some(512 * SECOND), "but not sooner for being asked");
        assert_eq!(next(0, Some(120 * SECOND), 9_990), Some(10 * SECOND), "once more at the end");
        assert_eq!(next(0, None, 10_000), None);
    }

    #[test]
    fn hosts_leave_room_for_each_other_and_for_everything_else() {
        let host = Giver::Host("h".into());
        assert_eq!(captures_at_once(&host, 0), 4);
        assert_eq!(captures_at_once(&host, 32), 0);
        assert_eq!((captures_at_once(&Giver::Repository, 32), captures_at_once(&Giver::Event, 32)), (8, 8));
    }
}
