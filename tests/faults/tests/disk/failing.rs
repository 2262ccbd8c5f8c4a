//! The n-th call of each kind fails, for all n: no success is reported on it, and what follows mends it without a human.

use std::path::Path;

use chancery_faults::shim::{Action, Call, Errno, Op, Outcome, Rule};

use crate::lab::{Lab, Recorded, Store};
use crate::story::{Fault, STAGES, Struck, play};

/// Fails one call after the other, each `stride`-th of them, until none is left to fail; gives how many there were.
fn each_call(store: Store, op: Op, errno: Errno, stride: usize, look: impl Fn(&str, usize, &Struck)) -> u64 {
    let mut tried = 0;
    for (stage, stage_name) in STAGES.iter().enumerate() {
        for number in (0..).step_by(stride) {
            let case = format!("{store:?}, {stage_name}, {op:?} number {number} fails with {}", errno.name());
            let rules = |lab: &Lab| vec![Rule::new(op, lab.home(), Action::Fail(errno)).after(number).times(1)];
            let fault = Fault { case, store, recorded: Recorded::Home, stage, rules: &rules, cut: None };
            let struck = play(&fault);
            if !struck.hit {
                break;
            }
            look(&fault.case, stage, &struck);
            tried += 1;
        }
    }
    println!("{store:?}: {op:?} failed with {} in {tried} places", errno.name());
    tried
}

/// A batch must not be recorded as being further than what was made durable.
fn nothing_is_recorded_on_it(case: &str, stage: usize, struck: &Struck) {
    let at = struck.calls.iter().position(|call| matches!(call.outcome, Outcome::Injected(_))).unwrap();
    let place = &struck.calls[at];
    // What becomes of the incoming file is no matter of a batch: its events are committed.
    if place.path.components().any(|part| part.as_os_str() == "incoming") {
        return;
    }
    // A lock file holds nothing; what was held up by it came after the batch.
    if place.path.extension().is_some_and(|ending| ending == "lock") {
        return;
    }
    if is_of_the_log(&struck.calls, at, stage) {
        return;
    }
    let too_far = ["published", "purged"][stage];
    let found = struck.batches.iter().find(|(_, state)| state == too_far);
    assert_eq!(found, None, "{case}: {} failed", place.path.display());
}

/// Whether a call was made for the log of evidence, which is written from staging beside the delivery and holds up nothing. Purge
/// certificates, which lie there too, come before what they certify.
fn is_of_the_log(calls: &[Call], at: usize, stage: usize) -> bool {
    let named = |path: &Path, name: &str| path.components().any(|part| part.as_os_str() == name);
    let path = &calls[at].path;
    let made = calls[..at].iter().any(|call| call.op == "mkdir" && call.path == path.join("evidence"));
    let inside = named(path, "evidence") && ["log", "lists", "heads"].iter().any(|part| named(path, part));
    let whole = path.ends_with("evidence") || path.ends_with("allowed_signers.tmp") || made;
    // The directory itself is also the certificates' parent, until the first of them stands.
    let certified =
        || calls[..at].iter().any(|call| call.op == "rename" && call.other.iter().any(|to| named(to, "purge")));
    inside || whole && (stage == 0 || certified())
}

/// What was not synced is not renamed: it is made anew first.
fn what_failed_is_written_anew(case: &str, calls: &[Call]) {
    for (at, failed) in calls.iter().enumerate() {
        if failed.op != "fsync" || !matches!(failed.outcome, Outcome::Injected(_)) {
            continue;
        }
        let after = &calls[at + 1..];
        let renamed = after.iter().position(|call| call.op == "rename" && call.path == failed.path);
        let anew = after.iter().position(|call| call.did("create", &failed.path));
        if let Some(renamed) = renamed {
            assert!(
                anew.is_some_and(|anew| anew < renamed),
                "{case}: {} was renamed all the same",
                failed.path.display()
            );
        }
    }
}

fn every_sync_fails_once(store: Store, stride: usize) {
    let tried = each_call(store, Op::Fsync, Errno::Io, stride, |case, stage, struck| {
        nothing_is_recorded_on_it(case, stage, struck);
        what_failed_is_written_anew(case, &struck.calls);
    });
    assert!(tried * stride as u64 >= 20, "the scenario has become too small: {tried} syncs");
}

#[test]
fn no_success_is_reported_after_a_failed_sync_on_sqlite() {
    every_sync_fails_once(Store::Sqlite, 1);
}

#[test]
fn no_success_is_reported_after_a_failed_sync_on_postgres() {
    every_sync_fails_once(Store::Postgres, 4);
}

#[test]
fn every_write_fails_once() {
    let tried = each_call(Store::Sqlite, Op::Write, Errno::NoSpace, 1, nothing_is_recorded_on_it);
    assert!(tried >= 5, "the scenario has become too small: {tried} writes");
}

#[test]
fn every_rename_fails_once() {
    let tried = each_call(Store::Sqlite, Op::Rename, Errno::Io, 1, nothing_is_recorded_on_it);
    assert!(tried >= 5, "the scenario has become too small: {tried} renames");
}

#[test]
fn every_creation_fails_once() {
    let tried = each_call(Store::Sqlite, Op::Create, Errno::NoSpace, 1, nothing_is_recorded_on_it);
    assert!(tried >= 10, "the scenario has become too small: {tried} creations");
}

#[test]
fn every_removal_fails_once() {
    // One that fails before the batch is published leaves litter at worst, which the next pass clears.
    let tried = each_call(Store::Sqlite, Op::Unlink, Errno::Access, 1, |_, _, _| {});
    assert!(tried >= 3, "the scenario has become too small: {tried} removals");
}

#[test]
fn every_open_and_listing_fails_once() {
    for op in [Op::Open, Op::Readdir] {
        let tried = each_call(Store::Sqlite, op, Errno::Stale, 1, |_, _, _| {});
        assert!(tried >= 4, "the scenario has become too small: {tried} calls of {op:?}");
    }
}

/// Calls of SQLite itself. Writes are many and alike, so only each seventh is made to fail.
#[test]
fn writes_and_syncs_of_the_database_fail_once() {
    for (op, errno, stride) in [(Op::Write, Errno::NoSpace, 7), (Op::Fsync, Errno::Io, 1)] {
        let mut tried = 0;
        for (stage, stage_name) in STAGES.iter().enumerate() {
            for number in (0..).step_by(stride) {
                let case = format!("{stage_name}, {op:?} number {number} of the database fails");
                let rules = |lab: &Lab| vec![Rule::new(op, lab.database(), Action::Fail(errno)).after(number).times(1)];
                let recorded = Recorded::Everything;
                if !play(&Fault { case, store: Store::Sqlite, recorded, stage, rules: &rules, cut: None }).hit {
                    break;
                }
                tried += 1;
            }
        }
        println!("{op:?} of the database failed in {tried} places");
        assert!(tried >= 4, "the scenario has become too small: {tried} calls of {op:?}");
    }
}
