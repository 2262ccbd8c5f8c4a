//! Made-up histories with planted gaps, repeats and resets, shuffled and split at random: what was planted is found,
//! and nothing else.
#![allow(clippy::unwrap_used, reason = "a failed test should panic")]

use std::collections::BTreeSet;

use super::{Changes, EPOCHS_KEPT, Fact, How, Number, OpenGap, Track, fold, needs_gaps};

/// A store in memory, as the databases keep it.
#[derive(Default)]
struct Kept {
    tracks: Vec<Track>,
    gaps: Vec<OpenGap>,
    facts: Vec<Fact>,
    next_row: i64,
}

impl Kept {
    fn take(&mut self, numbers: &[Number], now: i64) {
        let gaps = if needs_gaps(&self.tracks, numbers) { self.gaps.clone() } else { Vec::new() };
        let changes = fold(self.tracks.clone(), gaps, numbers, now);
        self.keep(changes);
    }

    fn keep(&mut self, changes: Changes) {
        self.gaps.retain(|gap| !changes.gone.contains(&gap.row.unwrap()));
        for gap in changes.open {
            self.next_row += 1;
            self.gaps.push(OpenGap { row: Some(self.next_row), ..gap });
        }
        for track in changes.tracks {
            self.tracks.retain(|known| known.epoch != track.epoch);
            self.tracks.push(track);
        }
        self.tracks.sort_by_key(|track| track.epoch);
        while self.tracks.len() > EPOCHS_KEPT as usize {
            self.tracks.remove(0);
        }
        let withdrawn = |fact: &Fact| matches!(fact, Fact::Repeat { epoch, number } if changes.withdrawn.contains(&(*epoch, *number)));
        self.facts.retain(|fact| !withdrawn(fact));
        self.facts.extend(changes.facts);
    }

    fn missing(&self) -> BTreeSet<(i64, i64)> {
        self.gaps.iter().flat_map(|gap| (gap.first..=gap.last).map(|number| (gap.epoch, number))).collect()
    }
}

fn event(number: i64, time: i64) -> Number {
    Number { number, time, how: How::Event }
}

fn heartbeat(number: i64, time: i64) -> Number {
    Number { number, time, how: How::Heartbeat }
}

/// A small generator with a period far beyond what a test draws.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn i64_below(&mut self, sides: i64) -> i64 {
        i64::try_from(self.below(sides.unsigned_abs())).unwrap()
    }
}

/// What was planted in a history.
#[derive(Default)]
struct Planted {
    sent: Vec<Number>,
    missing: BTreeSet<(i64, i64)>,
    repeats: Vec<(i64, i64)>,
    resets: Vec<(i64, i64)>,
}

/// A source that counts through `epochs` epochs, loses numbers, repeats others, and sends heartbeats.
fn history(dice: &mut Dice, epochs: i64) -> Planted {
    let mut planted = Planted::default();
    let mut time = 1_000;
    for epoch in 1..=epochs {
        let length = 400 + dice.i64_below(800);
        let first = if epoch == 1 { dice.i64_below(5_000) } else { 1 };
        let mut number = first;
        while number < first + length {
            time += 1 + dice.i64_below(3);
            let inside = number > first + 20 && number < first + length - 90;
            match dice.below(100) {
                0 if inside => {
                    let lost = 1 + dice.i64_below(8);
                    planted.missing.extend((number..number + lost).map(|number| (epoch, number)));
                    number += lost;
                    continue;
                }
                1 if inside && planted.repeats.last().is_none_or(|last| *last < (epoch, number - 60)) => {
                    let again = number - 1 - dice.i64_below(15);
                    if !planted.missing.contains(&(epoch, again)) {
                        planted.repeats.push((epoch, again));
                        planted.sent.push(event(again, time));
                    }
                }
                2 => planted.sent.push(heartbeat(number - 1, time)),
                _ => {}
            }
            planted.sent.push(event(number, time));
            number += 1;
        }
        if epoch < epochs {
            planted.resets.push((epoch + 1, first + length - 1));
        }
    }
    // The end of the last epoch is lost; only a heartbeat tells of it.
    let last = planted.sent.iter().rev().find(|sent| sent.how == How::Event).unwrap().number;
    let lost = dice.i64_below(4);
    planted.missing.extend((last + 1..=last + lost).map(|number| (epochs, number)));
    planted.sent.push(heartbeat(last + lost, time + 1));
    planted
}

/// Moves each number by at most `window` places.
fn shuffled(dice: &mut Dice, sent: &[Number], window: u64) -> Vec<Number> {
    let mut keyed: Vec<(u64, usize)> = (0..sent.len()).map(|at| (at as u64 + dice.below(window), at)).collect();
    keyed.sort_unstable();
    keyed.into_iter().map(|(_, at)| sent[at]).collect()
}

#[test]
fn everything_planted_is_found_and_nothing_else() {
    for seed in 0..400 {
        let mut dice = Dice(seed);
        let epochs = 1 + dice.i64_below(4);
        let planted = history(&mut dice, epochs);
        let window = 1 + dice.below(20);
        let arriving = shuffled(&mut dice, &planted.sent, window);
        let mut kept = Kept::default();
        let (mut rest, mut now) = (arriving.as_slice(), 0);
        while !rest.is_empty() {
            let size = (1 + dice.below(200) as usize).min(rest.len());
            let (part, after) = rest.split_at(size);
            now += 1;
            kept.take(part, now);
            rest = after;
        }
        // A gap in an epoch that is over is no longer touched, but it stays.
        let difference: Vec<_> = kept.missing().symmetric_difference(&planted.missing).copied().take(20).collect();
        assert!(difference.is_empty(), "seed {seed}: {difference:?}");
        let mut repeats: Vec<_> = kept
            .facts
            .iter()
            .filter_map(|fact| match fact {
                Fact::Repeat { epoch, number } => Some((*epoch, *number)),
                Fact::Reset { .. } => None,
            })
            .collect();
        repeats.sort_unstable();
        let mut expected = planted.repeats.clone();
        expected.sort_unstable();
        assert_eq!(repeats, expected, "seed {seed}");
        let resets: Vec<_> = kept
            .facts
            .iter()
            .filter_map(|fact| match fact {
                Fact::Reset { epoch, .. } => Some(*epoch),
                Fact::Repeat { .. } => None,
            })
            .collect();
        assert_eq!(resets, planted.resets.iter().map(|(epoch, _)| *epoch).collect::<Vec<_>>(), "seed {seed}");
    }
}

#[test]
fn a_count_in_order_never_needs_its_gaps() {
    let mut kept = Kept::default();
    for number in 1..1_000 {
        let arrived = [event(number, number)];
        assert!(!needs_gaps(&kept.tracks, &arrived));
        kept.take(&arrived, number);
    }
    assert_eq!((kept.gaps.len(), kept.tracks[0].first, kept.tracks[0].highest), (0, 1, 999));
}

#[test]
fn a_gap_that_was_reported_is_closed_by_parts() {
    let track = Track { epoch: 1, first: 1, highest: 20, began: 0, latest: 9, run: Vec::new() };
    let gap = |row, first, last| OpenGap { row, epoch: 1, first, last, found: 5, reported: Some(6), settled: None };
    let changes = fold(vec![track], vec![gap(Some(3), 10, 15)], &[event(12, 1), event(13, 1), event(15, 1)], 30);
    assert_eq!(changes.gone, [3]);
    assert_eq!(changes.open, [gap(None, 10, 11), gap(None, 14, 14)]);
    assert_eq!(changes.filled, [gap(None, 12, 13), gap(None, 15, 15)]);
    assert!(changes.facts.is_empty() && changes.tracks.is_empty());
}

#[test]
fn what_is_quarantined_or_another_content_is_no_repeat() {
    let mut kept = Kept::default();
    kept.take(&[event(1, 1), event(2, 2), event(4, 4)], 1);
    kept.take(&[Number { number: 3, time: 9, how: How::Kept }, Number { number: 2, time: 9, how: How::Kept }], 2);
    assert!(kept.gaps.is_empty() && kept.facts.is_empty());
}

#[test]
fn a_heartbeat_tells_of_an_end_that_is_lost_and_of_a_count_that_began_again() {
    let mut kept = Kept::default();
    kept.take(&(1..=500).map(|number| event(number, number)).collect::<Vec<_>>(), 1);
    kept.take(&[heartbeat(503, 600)], 2);
    assert_eq!(kept.missing(), BTreeSet::from([(1, 501), (1, 502), (1, 503)]));
    kept.take(&[heartbeat(499, 650)], 3);
    assert_eq!(kept.facts, [], "a heartbeat that was overtaken proves nothing");
    kept.take(&[heartbeat(2, 700)], 4);
    assert_eq!(kept.facts, [Fact::Reset { epoch: 2, first: 1, last: 503 }]);
    kept.take(&[event(2, 690), event(1, 705), event(2, 706)], 5);
    assert_eq!(kept.missing().iter().filter(|(epoch, _)| *epoch == 2).count(), 0);
}

#[test]
fn a_count_set_back_to_a_copy_is_told_from_repeats() {
    let mut kept = Kept::default();
    kept.take(&(1..=1_000).map(|number| event(number, number)).collect::<Vec<_>>(), 1);
    kept.take(&(901..=963).map(|number| event(number, 2_000 + number)).collect::<Vec<_>>(), 2);
    assert_eq!(kept.facts.len(), 63, "until then they are repeats");
    kept.take(&[event(964, 4_000), event(965, 4_001)], 3);
    assert_eq!(kept.facts, [Fact::Reset { epoch: 2, first: 901, last: 1_000 }]);
    assert_eq!((kept.tracks[1].first, kept.tracks[1].highest), (901, 965));
}
