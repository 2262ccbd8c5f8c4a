//! The simulated world: its time, its stores and shares, the ledger that judges it, and the scheduler.
//!
//! Tasks are futures that give way before each step that touches staging or a share. One thread polls them in an
//! order that the seed alone decides, so a seed is a history, and a crash is a future dropped between two steps.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::Plan;
use super::share::{Mood, ShareId, SimShare};
use super::store::{EventNo, Model};
use crate::config::CollectedWhen;
use crate::model::Ticks;
use crate::staging::{BatchRow, BatchState, Lease, Seq};

/// True time at the start of a history: a Sunday, at no boundary of any interval.
const EPOCH_TICKS: i64 = 639_300_000_001_234_567;
/// Ticks of 100 ns in a millisecond.
const MILLI: i64 = 10_000;

/// Numbers from the seed.
pub(super) struct Dice(ChaCha8Rng);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// From `low` to `high`, both included.
    pub(super) fn between(&mut self, low: i64, high: i64) -> i64 {
        let span = u64::try_from(high - low + 1).unwrap_or(1);
        low + i64::try_from(self.0.next_u64() % span).unwrap_or(0)
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.between(0, bound as i64 - 1)).unwrap_or(0)
    }

    /// Whether something happens that happens so many times in a thousand.
    pub(super) fn permille(&mut self, chance: i64) -> bool {
        self.between(0, 999) < chance
    }
}

/// What the world does by itself at a given time.
#[derive(Debug, Clone, Copy)]
pub(super) enum Order {
    Start(usize),
    Mood(usize, Mood),
    Store(bool),
    Clock(usize, i64),
}

/// One adapter of the simulation.
pub(super) struct SimAdapter {
    pub(super) config: crate::config::Adapter,
    pub(super) share: SimShare,
    /// Events that stand in a file on the share, or stood there.
    archived: BTreeSet<EventNo>,
}

/// One process, as the world sees it.
#[derive(Default)]
pub(super) struct SimProcess {
    pub(super) running: bool,
    /// In milliseconds of true time; stopped until then.
    pub(super) paused_until: i64,
    /// How far its clock is from true time, in milliseconds.
    pub(super) clock: i64,
    /// The lease of each adapter, and when it was renewed.
    pub(super) held: BTreeMap<usize, (Lease, i64)>,
    /// The share of each adapter as it was opened, and the token under which it was.
    pub(super) opened: BTreeMap<usize, (i64, ShareId)>,
    /// Adapters whose share is being opened.
    pub(super) opening: BTreeSet<usize>,
}

pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) dice: Dice,
    /// Milliseconds of true time since the start.
    pub(super) now: i64,
    pub(super) store: Model,
    pub(super) store_up: bool,
    /// How far the database's clock is from true time, in milliseconds.
    pub(super) store_clock: i64,
    pub(super) adapters: Vec<SimAdapter>,
    pub(super) processes: Vec<SimProcess>,
    pub(super) agenda: BTreeMap<i64, Vec<Order>>,
    /// Processes to be killed as soon as the running step ends.
    pub(super) doomed: Vec<usize>,
    /// Everything committed, with its arrival number.
    committed: BTreeMap<Seq, EventNo>,
    pub(super) last_event: EventNo,
    /// Events whose batch cannot be rendered before they are mended.
    pub(super) poison: BTreeSet<EventNo>,
    /// Faults are over: everything must come to its end.
    pub(super) settling: bool,
    pub(super) violation: Option<String>,
    trace: Option<Vec<String>>,
}

impl World {
    pub(super) fn new(plan: Plan, traced: bool) -> Self {
        let adapters = plan.adapters.iter().map(|config| SimAdapter {
            config: config.clone(),
            share: SimShare::new(),
            archived: BTreeSet::new(),
        });
        let mut store = Model::default();
        store.cuts_past_writers = plan.sabotage == Some(super::Sabotage::CutPastWriters);
        store.honours_any_token = plan.sabotage == Some(super::Sabotage::NoFencing);
        Self {
            dice: Dice::new(plan.seed),
            now: 0,
            store,
            store_up: true,
            store_clock: 0,
            adapters: adapters.collect(),
            processes: (0..plan.processes).map(|_| SimProcess::default()).collect(),
            agenda: BTreeMap::new(),
            doomed: Vec::new(),
            committed: BTreeMap::new(),
            last_event: 0,
            poison: BTreeSet::new(),
            settling: false,
            violation: None,
            trace: traced.then(Vec::new),
            plan,
        }
    }

    /// What the clock of a process shows.
    pub(super) fn clock(&self, process: usize) -> Ticks {
        Ticks::saturating_from_ticks(EPOCH_TICKS + (self.now + self.processes[process].clock) * MILLI)
    }

    /// True time as an instant.
    fn true_time(&self) -> Ticks {
        Ticks::saturating_from_ticks(EPOCH_TICKS + self.now * MILLI)
    }

    /// The database's clock, in milliseconds.
    pub(super) fn store_clock(&self) -> i64 {
        self.now + self.store_clock
    }

    /// Writes a line of the history, when somebody will read it.
    pub(super) fn note(&mut self, line: impl FnOnce() -> String) {
        let now = self.now;
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>9.3} s  {}", now as f64 / 1000.0, line()));
        }
    }

    pub(super) fn trace(&mut self) -> Vec<String> {
        self.trace.take().unwrap_or_default()
    }

    /// Something happened that must never happen.
    pub(super) fn violated(&mut self, what: String) {
        self.note(|| format!("VIOLATION: {what}"));
        self.violation.get_or_insert(what);
    }

    /// Judges a commit: no number may become visible below a cut that was made.
    pub(super) fn committed(&mut self, visible: &[(Seq, EventNo)]) {
        self.committed.extend(visible.iter().copied());
        let cut = self.store.adapters();
        for (seq, event) in visible {
            if let Some(row) = cut.iter().find(|row| row.cut_seq >= *seq) {
                self.violated(format!(
                    "event {event} became visible as {seq}, but {} has cut to {}",
                    row.adapter, row.cut_seq
                ));
            }
        }
    }

    /// Judges a cut: it goes on where the last one ended, and does not end in the future.
    pub(super) fn cut(&mut self, batch: &BatchRow, before: Option<(Seq, Ticks)>, clock: Ticks) {
        let id = batch.id;
        if let Some((seq, end)) = before
            && (batch.range.from, batch.interval_start) != (seq, end)
        {
            self.violated(format!("batch {id} does not begin where the last one ended"));
        }
        if batch.interval_start >= batch.interval_end || batch.range.from > batch.range.to {
            self.violated(format!("batch {id} runs backwards"));
        }
        if batch.interval_end > clock {
            self.violated(format!("batch {id} ends at {} and was cut at {clock}", batch.interval_end));
        }
    }

    /// What a batch must hold.
    pub(super) fn holds(&self, batch: &BatchRow) -> Vec<EventNo> {
        self.committed
            .range((Bound::Excluded(batch.range.from), Bound::Included(batch.range.to)))
            .map(|(_, event)| *event)
            .collect()
    }

    /// Judges a file that appears on the share.
    pub(super) fn appears(&mut self, adapter: usize, name: &str, id: i64, events: &[EventNo], complete: bool) {
        let expected = self.store.batch(id).map(|batch| self.holds(batch)).unwrap_or_default();
        let this = &mut self.adapters[adapter];
        if this.share.appeared.insert(name.to_owned(), events.to_vec()).is_some() {
            return self.violated(format!("{name} appeared a second time"));
        }
        let twice = events.iter().find(|event| !this.archived.insert(**event)).copied();
        if !complete {
            self.violated(format!("{name} of batch {id} appeared half-written"));
        } else if name.ends_with(".xml") && events != expected {
            self.violated(format!("{name} holds {events:?}, batch {id} {expected:?}"));
        } else if let Some(event) = twice {
            self.violated(format!("event {event} was published twice, now in {name} of batch {id}"));
        }
    }

    /// Judges a manifest's copy that appears beside the outputs.
    pub(super) fn copy_appears(&mut self, adapter: usize, name: &str, id: i64, complete: bool) {
        let state = self.store.batch(id).map(|batch| batch.state);
        let beside = matches!(state, Some(BatchState::Published | BatchState::Collected));
        if !complete {
            self.violated(format!("{name} of batch {id} appeared half-written"));
        } else if !beside {
            self.violated(format!("{name} appeared while batch {id} was {state:?}"));
        } else if self.adapters[adapter].share.appeared.insert(name.to_owned(), Vec::new()).is_some() {
            self.violated(format!("{name} of batch {id} came again"));
        }
        self.note(|| format!("{name} appears on share {adapter}"));
    }

    /// Judges the step to `Collected`.
    pub(super) fn collects(&mut self, adapter: usize, id: i64) {
        let outputs = self.store.outputs(id);
        let this = &self.adapters[adapter];
        let needed = |name: &str| match this.config.collected_when {
            CollectedWhen::Removed => true,
            CollectedWhen::Acknowledged => name.ends_with(".xml"),
            CollectedWhen::Told | CollectedWhen::After(_) => false,
        };
        let not_taken = outputs.iter().find(|output| needed(&output.name) && !this.share.is_taken(&output.name));
        let not_there = outputs.iter().find(|output| !this.share.appeared.contains_key(&output.name));
        if let Some(output) = not_taken.or(not_there) {
            let name = output.name.clone();
            self.violated(format!("batch {id} counts as collected, but the archive never had {name}"));
        }
    }

    /// Judges the deletion of a file by us.
    pub(super) fn deletes(&mut self, adapter: usize, id: i64, name: &str) {
        let state = self.store.batch(id).map(|batch| batch.state);
        let keep = self.adapters[adapter].config.keep_after_collection.get();
        if state != Some(BatchState::Collected) && state != Some(BatchState::Purged) {
            self.violated(format!("{name} of batch {id} was deleted while that was {state:?}"));
        }
        if self.adapters[adapter].config.manifests_beside
            && self.store.copies(id).iter().all(|copy| copy.copied_at.is_none())
        {
            self.violated(format!("{name} of batch {id} was deleted before its manifest was copied"));
        }
        // Under true clocks, not before its time either.
        let at = self.store.batch(id).and_then(|batch| batch.collected_at);
        if !self.plan.clocks_step && at.is_some_and(|at| at.plus(keep) > self.true_time()) {
            self.violated(format!("{name} of batch {id} was deleted too soon"));
        }
    }

    /// Judges a purge of staging: every configured adapter must be through with each event.
    pub(super) fn purged(&mut self, gone: &[(Seq, EventNo)]) {
        for (seq, event) in gone {
            for adapter in 0..self.adapters.len() {
                let name = self.adapters[adapter].config.name.clone();
                let holder = self
                    .store
                    .all_batches()
                    .find(|batch| batch.adapter == name && batch.range.from < *seq && *seq <= batch.range.to);
                if !holder.is_some_and(|batch| batch.state.is_final()) {
                    self.violated(format!("event {event} was purged from staging before {name} was through with it"));
                }
            }
        }
    }

    /// Whether everything has come to its end.
    pub(super) fn at_rest(&self) -> bool {
        let last = self.committed.last_key_value().map_or(0, |(seq, _)| *seq);
        let cut =
            |adapter: &SimAdapter| self.store.position(&adapter.config.name).is_some_and(|row| row.cut_seq >= last);
        self.adapters.iter().all(cut)
            && self.store.all_batches().all(|batch| batch.state.is_final())
            && self.adapters.iter().all(|adapter| self.committed.values().all(|event| adapter.archived.contains(event)))
            && self.adapters.iter().all(|adapter| adapter.share.there.files.is_empty())
    }

    /// When, in true time, everything must have come to its end: bounded by the longest wait for a failed batch and
    /// a few intervals, from the end of the faults or from when the clocks have passed the last cut and collection.
    pub(super) fn deadline(&self) -> i64 {
        let cuts = self.store.adapters().into_iter().map(|row| row.cut_at);
        // What was collected by a clock that ran ahead is purged when the true one has passed that.
        let collected = self.store.all_batches().filter_map(|batch| batch.collected_at);
        let copied =
            self.store.all_batches().flat_map(|batch| self.store.copies(batch.id)).filter_map(|copy| copy.copied_at);
        let ahead = cuts.chain(collected).chain(copied).map(|at| at.since(self.true_time()).as_millis()).max();
        let intervals = self.adapters.iter().map(|adapter| adapter.config.interval.get().as_millis()).max();
        let wait = ahead.unwrap_or(0) + 5 * intervals.unwrap_or(0) + 3_600_000 + 1_200_000;
        self.now + i64::try_from(wait).unwrap_or(i64::MAX / 2)
    }

    /// What has not come to its end, for people.
    pub(super) fn unfinished(&self) -> String {
        let open: Vec<String> = self
            .store
            .all_batches()
            .filter(|batch| !batch.state.is_final())
            .map(|batch| format!("batch {} of {} is {}", batch.id, batch.adapter, batch.state))
            .collect();
        let missing = self.adapters.iter().map(|adapter| {
            let missing = self.committed.values().filter(|event| !adapter.archived.contains(event)).count();
            format!("{missing} events never reached the share of {}", adapter.config.name)
        });
        missing.chain(open).collect::<Vec<_>>().join("; ")
    }
}

/// A task's view of the world.
#[derive(Clone)]
pub(super) struct Handle {
    world: Rc<RefCell<World>>,
    pub(super) process: usize,
    wake: Rc<Cell<i64>>,
}

impl Handle {
    /// Looks at the world, or changes it, in no time.
    pub(super) fn with<T>(&self, f: impl FnOnce(&mut World) -> T) -> T {
        f(&mut self.world.borrow_mut())
    }

    /// Lets others go first, for the moment that an operation takes: long enough to die or be stopped in the
    /// middle of a batch.
    pub(super) async fn give_way(&self) {
        let moment = self.with(|world| if world.plan.exact { 0 } else { world.dice.between(0, 500) });
        self.sleep(moment).await;
    }

    /// Sleeps for so many milliseconds of true time.
    pub(super) async fn sleep(&self, ms: i64) {
        self.wake.set(self.with(|world| world.now) + ms);
        let mut slept = false;
        std::future::poll_fn(|_| if std::mem::replace(&mut slept, true) { Poll::Ready(()) } else { Poll::Pending })
            .await;
    }
}

struct Task {
    process: Option<usize>,
    wake: Rc<Cell<i64>>,
    future: Pin<Box<dyn Future<Output = ()>>>,
}

/// Runs the tasks.
pub(super) struct Scheduler {
    pub(super) world: Rc<RefCell<World>>,
    tasks: Vec<Task>,
    /// Places of the tasks that can go on, while one of them is chosen.
    ready: Vec<usize>,
}

impl Scheduler {
    pub(super) fn new(world: World) -> Self {
        Self { world: Rc::new(RefCell::new(world)), tasks: Vec::new(), ready: Vec::new() }
    }

    /// Adds a task of a process, or of the world itself.
    pub(super) fn spawn<F: Future<Output = ()> + 'static>(
        &mut self,
        process: Option<usize>,
        task: impl FnOnce(Handle) -> F,
    ) {
        let wake = Rc::new(Cell::new(self.world.borrow().now));
        let handle =
            Handle { world: Rc::clone(&self.world), process: process.unwrap_or(usize::MAX), wake: Rc::clone(&wake) };
        self.tasks.push(Task { process, wake, future: Box::pin(task(handle)) });
    }

    /// Ends the tasks of the doomed, between two steps.
    fn bury(&mut self) {
        let doomed = std::mem::take(&mut self.world.borrow_mut().doomed);
        if !doomed.is_empty() {
            self.tasks.retain(|task| !task.process.is_some_and(|process| doomed.contains(&process)));
        }
    }

    /// Polls until `end` (in milliseconds of true time), a violation, or until `done` says so.
    pub(super) fn run(&mut self, end: i64, start: impl Fn(&mut Self, usize), done: impl Fn(&World) -> bool) {
        let mut polls = 0_u32;
        loop {
            polls += 1;
            {
                let world = self.world.borrow();
                if world.violation.is_some() || world.now >= end || (polls.is_multiple_of(32) && done(&world)) {
                    return;
                }
            }
            self.carry_out(&start);
            let Some(next) = self.choose() else { continue };
            let waker = Waker::noop();
            if self.tasks[next].future.as_mut().poll(&mut Context::from_waker(waker)).is_ready() {
                drop(self.tasks.swap_remove(next));
            }
            self.bury();
        }
    }

    /// Does what the agenda has for now.
    fn carry_out(&mut self, start: &impl Fn(&mut Self, usize)) {
        loop {
            let due = {
                let mut world = self.world.borrow_mut();
                let now = world.now;
                match world.agenda.first_entry() {
                    Some(entry) if *entry.key() <= now => entry.remove(),
                    _ => return,
                }
            };
            for order in due {
                let mut world = self.world.borrow_mut();
                world.note(|| format!("{order:?}"));
                match order {
                    Order::Start(process) if !world.processes[process].running => {
                        world.processes[process].running = true;
                        drop(world);
                        start(self, process);
                    }
                    Order::Start(_) => {}
                    Order::Mood(adapter, mood) => world.adapters[adapter].share.mood = mood,
                    Order::Store(up) => world.store_up = up,
                    Order::Clock(process, offset) => world.processes[process].clock = offset,
                }
            }
        }
    }

    /// One of the tasks that can go on; when there is none, time passes.
    fn choose(&mut self) -> Option<usize> {
        let mut world = self.world.borrow_mut();
        let (now, mut next) = (world.now, i64::MAX);
        self.ready.clear();
        // Once through, by index: here an unoptimised build spends most of its time.
        for (place, task) in self.tasks.iter().enumerate() {
            let mut at = task.wake.get();
            if let Some(process) = task.process {
                let paused = world.processes[process].paused_until;
                if paused > at {
                    at = paused;
                }
            }
            if at <= now {
                self.ready.push(place);
            } else if at < next {
                next = at;
            }
        }
        if self.ready.is_empty() {
            let agenda = world.agenda.first_key_value().map_or(i64::MAX, |(at, _)| *at);
            // With nothing left to do, a minute at a time to the end.
            world.now = next.min(agenda).min(now + 60_000).max(now + 1);
            return None;
        }
        Some(self.ready[world.dice.below(self.ready.len())])
    }
}
