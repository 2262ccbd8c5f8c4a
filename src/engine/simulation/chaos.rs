//! What happens to the processes: writers that commit, archives that take files, and faults.

use super::share::Mood;
use super::world::{Handle, Order, World};
use super::{Fault, Scheduler};
use crate::engine::decide;

/// Spawns everything that is not ours.
pub(super) fn start(scheduler: &mut Scheduler) {
    let (adapters, writers, faults) = {
        let world = scheduler.world.borrow();
        (world.adapters.len(), world.plan.writers, !world.plan.faults.is_empty())
    };
    for number in 0..writers {
        scheduler.spawn(None, move |handle| writer(handle, number));
    }
    for adapter in 0..adapters {
        scheduler.spawn(None, move |handle| archive(handle, adapter));
    }
    if faults {
        scheduler.spawn(None, trouble_maker);
    }
}

/// Takes events in: numbers are drawn at once and become visible later, or never.
async fn writer(handle: Handle, number: u64) {
    loop {
        let wait = handle.with(|world| world.dice.between(2_000, 60_000));
        handle.sleep(wait).await;
        if handle.with(|world| world.settling) {
            return;
        }
        let open = handle.with(|world| {
            let count = world.dice.between(1, 6).unsigned_abs();
            let first = world.last_event + 1;
            world.last_event += count;
            world.store.begin(number, first..first + count);
            if world.plan.has(Fault::Poison) && world.dice.permille(60) {
                world.poison.insert(first);
            }
            if world.plan.exact { 0 } else { world.dice.between(0, 4_000) }
        });
        handle.sleep(open).await;
        handle.with(|world| {
            if world.dice.permille(100) {
                return world.store.roll_back(number);
            }
            let visible = world.store.commit(number);
            world.note(|| format!("committed {visible:?}"));
            world.committed(&visible);
        });
    }
}

/// An archive with habits of its own: prompt or slow, file by file or in heaps, in no particular order.
async fn archive(handle: Handle, adapter: usize) {
    let (slowest, greed) = handle.with(|world| (world.dice.between(500, 90_000), world.dice.between(100, 1000)));
    loop {
        let wait = handle.with(|world| {
            let slowest = if world.settling { 30_000 } else { slowest };
            world.dice.between(100, slowest)
        });
        handle.sleep(wait).await;
        handle.with(|world| take(world, adapter, greed));
    }
}

fn take(world: &mut World, adapter: usize, greed: i64) {
    use crate::config::CollectedWhen::{Acknowledged, After, Removed, Told};
    let names: Vec<String> = world.adapters[adapter].share.there.files.keys().cloned().collect();
    for name in names {
        if !world.dice.permille(greed) {
            continue;
        }
        let this = &mut world.adapters[adapter];
        match this.config.collected_when {
            Removed => {
                this.share.there.files.remove(&name);
            }
            Acknowledged => {
                this.share.there.acknowledged.insert(name.clone());
            }
            Told | After(_) => continue,
        }
        this.share.taken.insert(name.clone());
        world.note(|| format!("the archive takes {name}"));
    }
}

/// One fault after another, each with its end.
async fn trouble_maker(handle: Handle) {
    loop {
        let wait = handle.with(|world| world.dice.between(2_000, 40_000));
        handle.sleep(wait).await;
        if handle.with(|world| world.settling) {
            return;
        }
        handle.with(|world| {
            let faults = world.plan.faults.clone();
            let fault = faults[world.dice.below(faults.len())];
            happens(world, fault);
        });
    }
}

fn happens(world: &mut World, fault: Fault) {
    let (process, adapter) = (world.dice.below(world.processes.len()), world.dice.below(world.adapters.len()));
    let later = |world: &mut World, longest: i64, order: Order| {
        let at = world.now + world.dice.between(100, longest);
        world.agenda.entry(at).or_default().push(order);
    };
    match fault {
        Fault::Crash if world.processes[process].running => {
            world.note(|| format!("process {process} is killed"));
            world.processes[process].running = false;
            world.processes[process].paused_until = 0;
            world.doomed.push(process);
            later(world, 90_000, Order::Start(process));
        }
        Fault::Pause => {
            let until = world.now + world.dice.between(1_000, 200_000);
            world.note(|| format!("process {process} stops until {} s", until / 1000));
            world.processes[process].paused_until = until;
        }
        Fault::Share => {
            let moods = [Mood::Away, Mood::Away, Mood::ReadOnly, Mood::Hanging];
            let mut mood = moods[world.dice.below(moods.len())];
            // Before anything was rendered there, nobody can tell the share from the directory below it.
            let name = &world.adapters[adapter].config.name;
            if mood == Mood::Away && world.store.batches(name, &decide::ON_SHARE).is_empty() {
                mood = Mood::ReadOnly;
            }
            world.note(|| format!("share {adapter} is {mood:?}"));
            world.adapters[adapter].share.mood = mood;
            later(world, 300_000, Order::Mood(adapter, Mood::Well));
        }
        Fault::Store => {
            world.note(|| "staging is down".into());
            world.store_up = false;
            later(world, 60_000, Order::Store(true));
        }
        Fault::Clock => {
            let farthest = [5_000, 60_000, 10_800_000][world.dice.below(3)];
            let offset = world.dice.between(-farthest, farthest);
            world.note(|| format!("the clock of process {process} is {offset} ms off"));
            world.processes[process].clock = offset;
            if world.dice.permille(500) {
                later(world, 120_000, Order::Clock(process, 0));
            }
        }
        Fault::StoreClock => world.store_clock = world.dice.between(-120_000, 120_000),
        // Poison comes with the events; the dead cannot be killed.
        Fault::Poison | Fault::Crash => {}
    }
}

/// Ends all faults for good.
pub(super) fn end(world: &mut World) {
    world.settling = true;
    world.store_up = true;
    world.poison.clear();
    world.agenda.clear();
    for number in 0..world.adapters.len() {
        world.adapters[number].share.mood = Mood::Well;
    }
    let now = world.now;
    for number in 0..world.processes.len() {
        world.processes[number].paused_until = 0;
        world.processes[number].clock = 0;
        world.agenda.entry(now).or_default().push(Order::Start(number));
    }
    world.note(|| "all faults end".into());
}
