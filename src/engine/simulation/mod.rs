//! The decisions under a simulated clock, store and share: thousands of made-up histories in seconds.
//!
//! Two or three processes serve the same adapters while writers commit out of order, archives take files when they
//! like, and faults come and go. After each step the ledger of the world is asked whether anything was lost,
//! published twice, shown half-written, counted as collected that was not, or deleted too soon; when the faults are
//! over, everything must come to its end within a bounded time.
//!
//! A failure prints its seed, the faults that are needed for it, and the end of its history.
//! `CHANCERY_SIMULATION_SEED=N` runs that seed alone and prints all of it, `CHANCERY_SIMULATION_SEEDS=N` so many.

#![allow(clippy::unwrap_used, reason = "a failed test should panic")]

mod chaos;
mod process;
mod same_as_staging;
mod share;
mod store;
mod world;

use std::fmt::Write as _;
use std::num::NonZero;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::config::{Adapter, CollectedWhen, Span};
use world::{Dice, Order, Scheduler, World};

/// How long the faults last, in milliseconds.
const FAULTS_MS: i64 = 480_000;
/// Lines of history that a failure prints.
const LINES: usize = 60;

/// What may go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// A process is killed, and started again later.
    Crash,
    /// A process stands still, for longer than its lease at times.
    Pause,
    /// A share is away, read-only or hanging.
    Share,
    /// Staging cannot be reached.
    Store,
    /// The clock of a process steps, by hours at times.
    Clock,
    /// The clock of the database steps.
    StoreClock,
    /// Some batches cannot be rendered.
    Poison,
}

impl Fault {
    const ALL: [Self; 7] =
        [Self::Crash, Self::Pause, Self::Share, Self::Store, Self::Clock, Self::StoreClock, Self::Poison];
}

/// A defect built in on purpose, to see that it is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sabotage {
    /// Cuts do not wait for writers that have drawn numbers.
    CutPastWriters,
    /// Staging does not look at the token of a lease.
    NoFencing,
    /// Two renderings of a batch write to the same temporary names.
    SharedTemporaries,
    /// A share without a marker gets a new one, whatever was rendered there.
    ForgetMarker,
    /// What is missing in a directory counts as taken, marker or not.
    TrustEmptyDirectory,
    /// Staging is purged as if there were one adapter less.
    PurgeForTheFirstAlone,
    /// A manifest's copy gets its name before it is recorded.
    CopyUnrecorded,
}

impl Sabotage {
    const ALL: [Self; 7] = [
        Self::CutPastWriters,
        Self::NoFencing,
        Self::SharedTemporaries,
        Self::ForgetMarker,
        Self::TrustEmptyDirectory,
        Self::PurgeForTheFirstAlone,
        Self::CopyUnrecorded,
    ];
}

/// What a history is made from. The seed gives it all; a failure takes faults away.
#[derive(Debug, Clone)]
struct Plan {
    seed: u64,
    adapters: Vec<Adapter>,
    processes: usize,
    writers: u64,
    faults: Vec<Fault>,
    answers_get_lost: bool,
    clocks_step: bool,
    /// Tasks wake exactly when they want to.
    exact: bool,
    sabotage: Option<Sabotage>,
}

impl Plan {
    fn of(seed: u64) -> Self {
        let mut dice = Dice::new(seed ^ 0x5eed);
        let proofs = [
            CollectedWhen::Removed,
            CollectedWhen::Removed,
            CollectedWhen::Acknowledged,
            CollectedWhen::After(Span::from_secs(30)),
        ];
        let adapters = (0..dice.between(1, 3)).map(|number| {
            let mut adapter: Adapter =
                serde_json::from_value(serde_json::json!({ "name": format!("a{number}") })).unwrap();
            adapter.interval = Span::from_secs([60, 60, 90, 150][dice.below(4)]);
            adapter.collected_when = proofs[dice.below(4)];
            adapter.keep_after_collection = Span::from_secs([0, 0, 120][dice.below(3)]);
            adapter.manifests_beside = dice.permille(500);
            adapter
        });
        let adapters = adapters.collect();
        let faults: Vec<Fault> = Fault::ALL.into_iter().filter(|_| dice.permille(600)).collect();
        Self {
            seed,
            adapters,
            processes: usize::try_from(dice.between(1, 3)).unwrap(),
            writers: dice.between(1, 3).unsigned_abs(),
            answers_get_lost: dice.permille(500),
            clocks_step: faults.contains(&Fault::Clock),
            faults,
            exact: false,
            sabotage: None,
        }
    }

    fn has(&self, fault: Fault) -> bool {
        self.faults.contains(&fault)
    }

    /// Where a rendering under this token has its temporary files.
    fn place(&self, token: i64) -> i64 {
        if self.sabotage == Some(Sabotage::SharedTemporaries) { 0 } else { token }
    }
}

/// Plays a history to its end; gives what was violated, if anything, and the world as it then is.
fn play(plan: Plan, traced: bool) -> Option<(String, Vec<String>)> {
    let processes = plan.processes;
    let mut scheduler = Scheduler::new(World::new(plan, traced));
    for number in 0..processes {
        scheduler.world.borrow_mut().agenda.entry(0).or_default().push(Order::Start(number));
    }
    chaos::start(&mut scheduler);
    scheduler.run(FAULTS_MS, process::start, |_| false);
    chaos::end(&mut scheduler.world.borrow_mut());
    // Writers have a minute to come to their end, and so has what was begun under a clock that was wrong.
    let begun_is_done = scheduler.world.borrow().now + 70_000;
    scheduler.run(begun_is_done, process::start, |_| false);
    let deadline = scheduler.world.borrow().deadline();
    scheduler.run(deadline, process::start, World::at_rest);
    let mut world = scheduler.world.borrow_mut();
    if world.violation.is_none() && !world.at_rest() {
        let unfinished = world.unfinished();
        world.violated(format!("not everything came to its end: {unfinished}"));
    }
    let violation = world.violation.take()?;
    Some((violation, world.trace()))
}

/// Panics with all that helps to understand a violation: the fewest faults that still lead to one, and its history.
fn explain(mut plan: Plan, violation: &str) -> ! {
    for fault in Fault::ALL {
        let mut fewer = plan.clone();
        fewer.faults.retain(|other| *other != fault);
        if play(fewer.clone(), false).is_some() {
            plan = fewer;
        }
    }
    let (fewest, trace) = play(plan.clone(), true).unwrap_or_default();
    let mut text = format!("seed {}: {violation}\nwith the faults {:?} alone: {fewest}\n", plan.seed, plan.faults);
    for line in &trace[trace.len().saturating_sub(LINES)..] {
        let _ = writeln!(text, "{line}");
    }
    let seed = plan.seed;
    panic!("{text}run it again with CHANCERY_SIMULATION_SEED={seed}");
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

#[test]
fn nothing_is_lost_or_twice_in_any_history() {
    if let Some(seed) = number("CHANCERY_SIMULATION_SEED") {
        let played = play(Plan::of(seed), true);
        if let Some((violation, trace)) = played {
            panic!("{}\nseed {seed}: {violation}", trace.join("\n"));
        }
        return;
    }
    let seeds = number("CHANCERY_SIMULATION_SEEDS").unwrap_or(1_000);
    if let Some((seed, violation)) = first_violation(seeds) {
        explain(Plan::of(seed), &violation);
    }
}

/// Plays the seeds below `seeds` on all processors, until one of them is violated.
fn first_violation(seeds: u64) -> Option<(u64, String)> {
    let (next, found) = (AtomicU64::new(0), Mutex::new(None));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, NonZero::get) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds {
                        return;
                    }
                    if let Some((violation, _)) = play(Plan::of(seed), false) {
                        found.lock().unwrap().get_or_insert((seed, violation));
                        // Nobody begins another one.
                        next.store(seeds, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    found.into_inner().unwrap()
}

#[test]
fn a_seed_is_a_history() {
    for seed in 0..3 {
        let history = |_| {
            let world = World::new(Plan::of(seed), true);
            let mut scheduler = Scheduler::new(world);
            scheduler.world.borrow_mut().agenda.entry(0).or_default().push(Order::Start(0));
            chaos::start(&mut scheduler);
            scheduler.run(FAULTS_MS, process::start, |_| false);
            let trace = scheduler.world.borrow_mut().trace();
            assert!(trace.len() > 20, "{trace:?}");
            trace
        };
        assert_eq!(history(1), history(2));
    }
}

#[test]
fn each_defect_of_the_pipeline_around_the_decisions_is_found() {
    for sabotage in Sabotage::ALL {
        let found = (0..2_000).any(|seed| {
            let sabotaged = Plan { sabotage: Some(sabotage), ..Plan::of(seed) };
            // By the defect, not by the seed.
            play(sabotaged, false).is_some() && play(Plan::of(seed), false).is_none()
        });
        assert!(found, "{sabotage:?} went unnoticed");
    }
}

#[test]
fn boundaries_are_kept_whatever_the_shares_do() {
    for seed in 0..100 {
        let faults = vec![Fault::Share, Fault::Poison];
        let plan = Plan {
            faults,
            processes: 1,
            writers: 2,
            answers_get_lost: false,
            clocks_step: false,
            exact: true,
            ..Plan::of(seed)
        };
        let mut scheduler = Scheduler::new(World::new(plan, false));
        scheduler.world.borrow_mut().agenda.entry(0).or_default().push(Order::Start(0));
        chaos::start(&mut scheduler);
        scheduler.run(FAULTS_MS, process::start, |_| false);
        let world = scheduler.world.borrow();
        assert_eq!(world.violation, None);
        for adapter in &world.adapters {
            let interval = adapter.config.interval.get();
            let batches = world.store.batches(&adapter.config.name, &[]);
            let cuts = u128::from(FAULTS_MS.unsigned_abs()) / interval.as_millis();
            assert!(batches.len() as u128 >= cuts, "seed {seed}: {} cuts in {FAULTS_MS} ms", batches.len());
            // The first one ends when the process starts, between two boundaries.
            for pair in batches[1..].windows(2) {
                assert_eq!(pair[1].interval_end.since(pair[0].interval_end), interval, "seed {seed}: {:?}", pair[1]);
            }
        }
    }
}
