//! What a source's running count tells: which numbers are missing, came twice, or began again.
//!
//! A pure fold over numbers in order of arrival. It keeps what is missing rather than what is there: as long as
//! numbers come in order, a source costs one row, however many events it sends. Arrival out of order is normal, so
//! everything found here is only suspected; it is reported once it has stood for `completeness.patience`.
//!
//! **Epochs.** A count that begins again begins an epoch. One number alone proves nothing, because the same number
//! under two ids is a repeat, so numbers that came before are kept in a *run* as long as nothing shows that the old
//! count goes on: each is at least as late, by the time in the event, as everything the count has shown so far. The
//! run becomes an epoch when it holds three numbers, beginning within the first sixteen, or sixty-four numbers
//! wherever they lie (a count set back from a copy). A heartbeat that reports less than half of the highest number
//! begins one at once. What is older than its epoch's beginning belongs to the epoch before.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::arrival::Arrival;
use super::{FindingKind, Result};

/// A count that starts again starts within these numbers.
const START_MAX: i64 = 16;
/// How many numbers from the start prove that a count began again.
const PROOF_FROM_START: usize = 3;
/// How many numbers from anywhere prove that a count was set back.
const PROOF_FROM_ANYWHERE: usize = 64;
/// So many epochs of a source are remembered; what is older than the first of them is taken for its.
pub(super) const EPOCHS_KEPT: i64 = 8;
/// Findings that are written in one statement, whatever a call brings.
pub(super) const FINDINGS_MAX: usize = 10_000;
/// How far ahead of the count the number of something may be that could not be understood; what is further may be garbled.
const KEPT_AHEAD_MAX: i64 = 10_000;
/// By how much at least a heartbeat must fall short of the highest number.
const HEARTBEAT_SHORT: i64 = 100;

/// A number as it arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Number {
    pub(super) number: i64,
    /// When the event happened, in ticks.
    pub(super) time: i64,
    pub(super) how: How,
}

/// How a number became known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// By an event that was not there before.
    Event,
    /// By something that is kept but proves no repeat: a quarantined item, or another content of a known event.
    Kept,
    /// By a heartbeat: so far the source has counted.
    Heartbeat,
}

/// Where a source's count stands in one epoch. Missing numbers are the open gaps between `first` and `highest`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Track {
    pub(super) epoch: i64,
    /// The first number that is expected. Nothing before it is missed.
    pub(super) first: i64,
    /// The highest number that is known to be counted; below `first` while there is none.
    pub(super) highest: i64,
    /// The event time, in ticks, with which the epoch began.
    pub(super) began: i64,
    /// The latest event time in it.
    pub(super) latest: i64,
    /// Numbers that came before, in order of arrival, as long as they may be the beginning of an epoch.
    pub(super) run: Vec<Suspect>,
}

/// A number that may begin an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Suspect {
    pub(super) number: i64,
    pub(super) time: i64,
}

/// Numbers that are missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OpenGap {
    /// Its row, if it has one.
    pub(super) row: Option<i64>,
    pub(super) epoch: i64,
    pub(super) first: i64,
    pub(super) last: i64,
    /// When something later was there first, in ticks.
    pub(super) found: i64,
    /// When it was reported, if it was.
    pub(super) reported: Option<i64>,
    /// When a person settled it, if one did.
    pub(super) settled: Option<i64>,
}

/// A number under a second id, or a count that began again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fact {
    Repeat {
        epoch: i64,
        number: i64,
    },
    /// `first` is where the new epoch begins, `last` the highest number of the one before.
    Reset {
        epoch: i64,
        first: i64,
        last: i64,
    },
}

impl Fact {
    /// The number that came again, if that is what happened.
    fn repeated(&self) -> Option<i64> {
        match *self {
            Self::Repeat { number, .. } => Some(number),
            Self::Reset { .. } => None,
        }
    }
}

/// What a fold changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    /// Tracks to be written.
    pub(super) tracks: Vec<Track>,
    /// Rows of gaps that are no longer as they were.
    pub(super) gone: Vec<i64>,
    /// Gaps to be written, open.
    pub(super) open: Vec<OpenGap>,
    /// Reported gaps that are filled, or the filled parts of such.
    pub(super) filled: Vec<OpenGap>,
    /// Suspected repeats that turned out to begin an epoch: its number, and theirs.
    pub(super) withdrawn: Vec<(i64, i64)>,
    /// What was found.
    pub(super) facts: Vec<Fact>,
}

impl Changes {
    /// The rows of what was found, closed or changed, in the order of their numbers in the table.
    pub(super) fn findings(&self, now: i64) -> Vec<FindingRow> {
        let open = self.open.iter().map(|gap| FindingRow::of_gap(gap, None));
        let filled = self.filled.iter().map(|gap| FindingRow::of_gap(gap, Some(now)));
        let facts = self.facts.iter().map(|fact| FindingRow::of_fact(fact, now));
        open.chain(filled).chain(facts).collect()
    }

    /// The epochs that began.
    pub(super) fn begun(&self) -> impl Iterator<Item = i64> {
        self.facts.iter().filter_map(|fact| match *fact {
            Fact::Reset { epoch, .. } => Some(epoch),
            Fact::Repeat { .. } => None,
        })
    }
}

/// The row of a finding.
pub(super) struct FindingRow {
    pub(super) kind: FindingKind,
    pub(super) epoch: i64,
    pub(super) first: i64,
    pub(super) last: i64,
    pub(super) found: i64,
    pub(super) reported: Option<i64>,
    pub(super) closed: Option<i64>,
    pub(super) settled: Option<i64>,
}

impl FindingRow {
    /// Of a gap that is open, or was closed at an instant.
    fn of_gap(gap: &OpenGap, closed: Option<i64>) -> Self {
        let OpenGap { epoch, first, last, found, reported, settled, .. } = *gap;
        Self { kind: FindingKind::Gap, epoch, first, last, found, reported, closed, settled }
    }

    /// Of a fact that was found at an instant.
    fn of_fact(fact: &Fact, found: i64) -> Self {
        let (kind, epoch, first, last) = match *fact {
            Fact::Repeat { epoch, number } => (FindingKind::Repeat, epoch, number, number),
            Fact::Reset { epoch, first, last } => (FindingKind::Reset, epoch, first, last),
        };
        Self { kind, epoch, first, last, found, reported: None, closed: None, settled: None }
    }
}

/// Folds what a call brought into where its sources stand, inside the call's transaction. The sources' rows are locked,
/// so that two writers never fold at once. `numbers` holds, per source, its URI and its numbers in order of arrival.
pub(super) async fn follow(
    tx: &mut dyn Arrival,
    numbers: &BTreeMap<i64, (Arc<str>, Vec<Number>)>,
    now: i64,
) -> Result<()> {
    if numbers.is_empty() {
        return Ok(());
    }
    let mut tracks: BTreeMap<i64, Vec<Track>> = BTreeMap::new();
    for (source_no, track) in tx.tracks(&numbers.keys().copied().collect::<Vec<_>>()).await? {
        tracks.entry(source_no).or_default().push(track);
    }
    for (&source_no, (source, numbers)) in numbers {
        let tracks = tracks.remove(&source_no).unwrap_or_default();
        let mut gaps = Vec::new();
        if needs_gaps(&tracks, numbers) {
            let counted = || numbers.iter().filter(|number| number.how != How::Heartbeat).map(|number| number.number);
            gaps = tx.open_gaps(source_no, counted().min().unwrap_or(0), counted().max().unwrap_or(0)).await?;
        }
        let mut changes = fold(tracks, gaps, numbers, now);
        let repeated: Vec<i64> = changes.facts.iter().filter_map(Fact::repeated).collect();
        if !repeated.is_empty() {
            // An event whose first form could not be understood is sent again under its own number.
            let mended: HashSet<i64> = tx.were_quarantined(source, &repeated).await?.into_iter().collect();
            changes.facts.retain(|fact| fact.repeated().is_none_or(|number| !mended.contains(&number)));
        }
        tx.follow(source_no, &changes, now).await?;
    }
    Ok(())
}

/// Whether the open gaps of a source are needed to fold these numbers.
pub(super) fn needs_gaps(tracks: &[Track], numbers: &[Number]) -> bool {
    let Some(current) = tracks.last() else { return false };
    let counted = numbers.iter().filter(|number| number.how != How::Heartbeat);
    counted.into_iter().any(|number| number.number <= current.highest || number.time < current.began)
}

/// Folds numbers, in order of arrival, into where a source stands: the tracks of its last epochs, oldest first, and
/// the open gaps that the numbers may touch. `now`: when they were received, in ticks.
pub(super) fn fold(tracks: Vec<Track>, gaps: Vec<OpenGap>, numbers: &[Number], now: i64) -> Changes {
    let mut fold = Fold {
        before: tracks.clone(),
        tracks,
        gaps: gaps.into_iter().map(|gap| ((gap.epoch, gap.first), gap)).collect(),
        rows: BTreeMap::new(),
        changes: Changes::default(),
        now,
    };
    fold.rows = fold.gaps.values().filter_map(|gap| gap.row.map(|row| (row, gap.clone()))).collect();
    for number in numbers {
        fold.take(*number);
    }
    fold.end()
}

struct Fold {
    before: Vec<Track>,
    tracks: Vec<Track>,
    gaps: BTreeMap<(i64, i64), OpenGap>,
    /// The gaps that have a row, as it stands.
    rows: BTreeMap<i64, OpenGap>,
    changes: Changes,
    now: i64,
}

impl Fold {
    fn take(&mut self, arrived: Number) {
        let Number { number, time, how } = arrived;
        let proven = |highest: i64| how != How::Kept || number <= highest.saturating_add(KEPT_AHEAD_MAX);
        if !self.tracks.last().map_or(how != How::Kept, |track| proven(track.highest)) {
            return;
        }
        let Some(current) = self.tracks.len().checked_sub(1) else {
            let first = if how == How::Heartbeat { number.saturating_add(1) } else { number };
            let run = Vec::new();
            return self.tracks.push(Track { epoch: 1, first, highest: number, began: time, latest: time, run });
        };
        let at = self.epoch_of(current, arrived);
        let track = &mut self.tracks[at];
        track.began = track.began.min(time);
        let Track { epoch, first, highest, latest, .. } = self.tracks[at];
        if number > highest {
            self.advance(at, arrived);
        } else if how == How::Heartbeat {
            let short = number < highest / 2 && highest - number > HEARTBEAT_SHORT;
            if short && at == current && time >= latest {
                self.begin(Some(arrived));
            }
        } else if self.fill(epoch, number) {
            self.goes_on(at, time);
        } else if how == How::Event {
            self.came_before(at, arrived, at == current);
        } else if number < first {
            self.extend_down(at, number);
        }
    }

    /// What happened before the count began again was counted in the epoch before. Of the numbers that are older than
    /// what is known of the new epoch, those later than everything in the old one belong to the new one all the same:
    /// they were overtaken.
    fn epoch_of(&self, current: usize, arrived: Number) -> usize {
        let mut at = current;
        while let Some(before) = at.checked_sub(1) {
            let older = arrived.time < self.tracks[at].began;
            let fits = arrived.number > self.tracks[before].highest || arrived.time <= self.tracks[before].latest;
            if !(older && fits) {
                break;
            }
            at = before;
        }
        at
    }

    /// The count went on, perhaps over numbers that are not there yet.
    fn advance(&mut self, at: usize, arrived: Number) {
        let (epoch, before) = (self.tracks[at].epoch, self.tracks[at].highest);
        let last = if arrived.how == How::Heartbeat { arrived.number } else { arrived.number - 1 };
        self.miss(epoch, before.saturating_add(1), last);
        self.tracks[at].highest = arrived.number;
        self.goes_on(at, arrived.time);
    }

    /// The epoch has shown another number: what came before it is no beginning.
    fn goes_on(&mut self, at: usize, time: i64) {
        let track = &mut self.tracks[at];
        track.latest = track.latest.max(time);
        if track.run.iter().any(|suspect| suspect.time <= time) {
            track.run.clear();
        }
    }

    /// A number that is not missing came by a new event.
    fn came_before(&mut self, at: usize, arrived: Number, current: bool) {
        let Number { number, time, .. } = arrived;
        let track = &mut self.tracks[at];
        let later = current && time >= track.latest;
        if number < track.first {
            // Clocks of whole seconds show many events at once; only what is later by them is no straggler.
            if !later || time == track.latest {
                return self.extend_down(at, number);
            }
        } else {
            self.changes.facts.push(Fact::Repeat { epoch: track.epoch, number });
        }
        if !later || track.run.iter().any(|suspect| suspect.number == number) {
            return;
        }
        track.run.push(Suspect { number, time });
        let least = track.run.iter().map(|suspect| suspect.number).min().unwrap_or(number);
        let enough = if least <= START_MAX { PROOF_FROM_START } else { PROOF_FROM_ANYWHERE };
        if track.run.len() >= enough {
            self.begin(None);
        }
    }

    /// A number from before the first one that was heard of.
    fn extend_down(&mut self, at: usize, number: i64) {
        let (epoch, first) = (self.tracks[at].epoch, self.tracks[at].first);
        self.miss(epoch, number + 1, first - 1);
        self.tracks[at].first = number;
    }

    /// The count has begun again, with the numbers of the run.
    fn begin(&mut self, heartbeat: Option<Number>) {
        let Some(old) = self.tracks.last_mut() else { return };
        let (epoch, last, first_before) = (old.epoch, old.highest, old.first);
        let run = std::mem::take(&mut old.run);
        let numbers: BTreeSet<i64> = run.iter().map(|suspect| suspect.number).collect();
        self.changes.facts.retain(
            |fact| !matches!(fact, Fact::Repeat { epoch: of, number } if *of == epoch && numbers.contains(number)),
        );
        let repeats = numbers.iter().filter(|number| **number >= first_before);
        self.changes.withdrawn.extend(repeats.map(|number| (epoch, *number)));
        let least = numbers.first().copied().unwrap_or(1);
        let first = if least <= START_MAX { least.min(1) } else { least };
        let highest = numbers.last().copied().unwrap_or(0).max(heartbeat.map_or(0, |reported| reported.number));
        let times = || run.iter().map(|suspect| suspect.time).chain(heartbeat.map(|reported| reported.time));
        let began = times().min().unwrap_or(self.now);
        let latest = times().max().unwrap_or(self.now);
        let epoch = epoch + 1;
        let mut next = first;
        for number in numbers {
            self.miss(epoch, next, number - 1);
            next = number + 1;
        }
        self.miss(epoch, next, highest);
        self.changes.facts.push(Fact::Reset { epoch, first, last });
        self.tracks.push(Track { epoch, first, highest, began, latest, run: Vec::new() });
    }

    fn miss(&mut self, epoch: i64, first: i64, last: i64) {
        if first <= last {
            let gap = OpenGap { row: None, epoch, first, last, found: self.now, reported: None, settled: None };
            self.gaps.insert((epoch, first), gap);
        }
    }

    /// Takes a number out of the gap it is missing in; `false` when it is in none.
    fn fill(&mut self, epoch: i64, number: i64) -> bool {
        let Some((&key, gap)) = self.gaps.range((epoch, i64::MIN)..=(epoch, number)).next_back() else { return false };
        if gap.last < number {
            return false;
        }
        let Some(gap) = self.gaps.remove(&key) else { return false };
        if gap.first < number {
            self.gaps.insert(key, OpenGap { row: None, last: number - 1, ..gap.clone() });
        }
        if number < gap.last {
            self.gaps.insert((epoch, number + 1), OpenGap { row: None, first: number + 1, ..gap.clone() });
        }
        if gap.reported.is_some() {
            let filled = &mut self.changes.filled;
            match filled.last_mut() {
                // Numbers that come one after the other close one gap, not many.
                Some(last) if last.epoch == epoch && last.last + 1 == number && last.found == gap.found => {
                    last.last = number;
                }
                _ => filled.push(OpenGap { row: None, first: number, last: number, ..gap }),
            }
        }
        true
    }

    fn end(mut self) -> Changes {
        let kept: BTreeSet<i64> = self.gaps.values().filter_map(|gap| gap.row).collect();
        self.changes.gone = self.rows.keys().copied().filter(|row| !kept.contains(row)).collect();
        self.changes.open = self.gaps.into_values().filter(|gap| gap.row.is_none()).collect();
        let before = self.before;
        self.changes.tracks = self.tracks.into_iter().filter(|track| !before.contains(track)).collect();
        self.changes
    }
}

#[cfg(test)]
mod tests;
