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

fn at_each_change(store: Store, stride: usize) {
    let mut tried = 0_u64;
    for stage in 0..STAGES.len() {
        for number in (0..).step_by(stride) {
            if !cut_at(store, stage, number, Action::Kill, Some(Survival::Nothing)) {
                break;
            }
            // Killed first; the power goes off later, when the next process has done what was left to do.
            if number % 2 == 0 {
                cut_at(store, stage, number, Action::Kill, None);
                tried += 1;
            }
            tried += 1;
            for seed in 0..depth() {
                cut_at(store, stage, number, Action::KillAfter, Some(Survival::Seeded(number * 1000 + seed)));
                tried += 1;
            }
        }
    }
    println!("{store:?}: {tried} power cuts");
    assert!(tried > 20, "the scenario has become too small: {tried} power cuts");
}

#[test]
fn the_power_goes_off_at_each_change_on_sqlite() {
    at_each_change(Store::Sqlite, 1);
}

/// What differs is the store alone, so each fifth change will do.
#[test]
fn the_power_goes_off_at_changes_on_postgres() {
    at_each_change(Store::Postgres, 5);
}
