//! The power goes off at each call that changes something, just before it and just after it.

use chancery_faults::shim::{Action, Op, Rule, Survival};

use crate::lab::{Lab, Recorded, Store};
use crate::story::{Fault, STAGES, play};

fn depth() -> u64 {
    let text = std::env::var("CHANCERY_FAULT_DEPTH").unwrap_or_else(|_| "1".into());
    text.parse().unwrap_or_else(|_| panic!("CHANCERY_FAULT_DEPTH={text}: expected a whole number"))
}

fn cut_at(store: Store, stage: usize, number: u64, action: Action, survival: Option<Survival>) -> bool {
    let case = format!("{store:?}, {}, {action:?} at change number {number}, power cut {survival:?}", STAGES[stage]);
    let rules = |lab: &Lab| vec![Rule::new(Op::Change, lab.home(), action).after(number)];
    play(&Fault { case, store, recorded: Recorded::Home, stage, rules: &rules, cut: survival }).hit
}

/// Tries one change after the other until none is left.
fn at_each_change(store: Store, stride: usize, action: Action, cuts: impl Fn(u64) -> Vec<Option<Survival>>) {
    let mut tried = 0_u64;
    for stage in 0..STAGES.len() {
        for number in (0..).step_by(stride) {
            let mut hit = true;
            for cut in cuts(number) {
                hit = cut_at(store, stage, number, action, cut);
                tried += u64::from(hit);
            }
            if !hit {
                break;
            }
        }
    }
    println!("{store:?}: {tried} power cuts");
    assert!(tried >= 10, "the scenario has become too small: {tried} power cuts");
}

#[test]
fn the_power_goes_off_before_each_change() {
    at_each_change(Store::Sqlite, 1, Action::Kill, |_| vec![Some(Survival::Nothing)]);
}

#[test]
fn the_power_goes_off_after_changes_and_leaves_some_of_what_was_not_synced() {
    let seeds = depth();
    at_each_change(Store::Sqlite, 3, Action::KillAfter, |number| {
        (0..seeds).map(|seed| Some(Survival::Seeded(number * 1000 + seed))).collect()
    });
}

/// Killed first: the power goes off later, when the next process has done what was left to do.
#[test]
fn the_process_is_killed_and_the_power_goes_off_later() {
    at_each_change(Store::Sqlite, 3, Action::Kill, |_| vec![None]);
}

/// What differs is the store alone, so some changes will do.
#[test]
fn the_power_goes_off_at_changes_on_postgres() {
    at_each_change(Store::Postgres, 8, Action::Kill, |_| vec![Some(Survival::Nothing)]);
}
