//! What happens in a round: all of it follows from the seed and the round's number.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::archive::Manner;
use crate::dice::Dice;
use crate::faults::{Abilities, Fault, Injection};
use crate::site::{Output, Store, Volume};
use crate::traffic::Traffic;

/// A round's plan.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// The seed of the run.
    pub seed: u64,
    /// The round's number, from 0.
    pub round: u64,
    /// The store.
    pub store: Store,
    /// What is published.
    pub traffic: Traffic,
    /// The adapters.
    pub outputs: Vec<Output>,
    /// What goes wrong, and when.
    pub injections: Vec<Injection>,
}

/// Makes plans.
#[derive(Debug, Clone)]
pub struct Planner {
    /// The seed of the run.
    pub seed: u64,
    /// The stores, taken in turn.
    pub stores: Vec<Store>,
    /// The faults to choose from.
    pub faults: Vec<Fault>,
    /// What is possible here.
    pub able: Abilities,
}

/// Most faults in one round.
const FAULTS_MAX: usize = 3;

impl Planner {
    /// The plan of a round. It depends on the rounds before it, which are therefore planned too: faults are dealt out so
    /// that each has its turn.
    pub fn plan(&self, round: u64) -> Plan {
        let mut used: BTreeMap<(Store, Fault), u64> = BTreeMap::new();
        let mut dealt = Vec::new();
        for number in 0..=round {
            let mut dice = Dice::new(self.seed, 2 * number);
            dealt = self.deal(self.store(number), &mut used, &mut dice);
        }
        let mut dice = Dice::new(self.seed, 2 * round + 1);
        let traffic = traffic(&dealt, &mut dice);
        let span = traffic.events * 1000 / traffic.rate;
        let mut injections: Vec<_> = dealt.iter().map(|&fault| injection(fault, span, &mut dice)).collect();
        injections.sort_by_key(|injection| injection.at);
        Plan {
            seed: self.seed,
            round,
            store: self.store(round),
            traffic,
            outputs: outputs(&dealt, &mut dice),
            injections,
        }
    }

    fn store(&self, round: u64) -> Store {
        self.stores[usize::try_from(round % self.stores.len() as u64).unwrap_or(0)]
    }

    /// Chooses a round's faults: those used least so far come first, chance decides among equals.
    fn deal(&self, store: Store, used: &mut BTreeMap<(Store, Fault), u64>, dice: &mut Dice) -> Vec<Fault> {
        let mut possible: Vec<Fault> =
            self.faults.iter().copied().filter(|fault| fault.obstacle(store, self.able).is_none()).collect();
        dice.shuffle(&mut possible);
        possible.sort_by_key(|&fault| used.get(&(store, fault)).copied().unwrap_or(0));
        let count = 1 + dice.below(FAULTS_MAX);
        // Whether slow ones are among the faults must not make a round longer than one of them.
        let mut dealt: Vec<Fault> = Vec::new();
        for fault in possible {
            let apart = |one: Fault, other: Fault| {
                one.slow() && other.slow()
                    || one.solitary() && !other.in_traffic()
                    || other.solitary() && !one.in_traffic()
            };
            let compatible = !dealt.iter().any(|&other| apart(fault, other));
            if dealt.len() < count && compatible {
                dealt.push(fault);
            }
        }
        for &fault in &dealt {
            *used.entry((store, fault)).or_default() += 1;
        }
        dealt
    }
}

impl Plan {
    /// The small file systems that the round needs.
    pub fn volumes(&self) -> Vec<Volume> {
        let wanted: Vec<_> = self.injections.iter().filter_map(|injection| injection.fault.volume()).collect();
        [Volume::Shares, Volume::Staging].into_iter().filter(|volume| wanted.contains(volume)).collect()
    }

    /// Its faults, as one word.
    pub fn faults(&self) -> String {
        let names: Vec<_> = self.injections.iter().map(|injection| injection.fault.name()).collect();
        names.join(",")
    }
}

fn traffic(faults: &[Fault], dice: &mut Dice) -> Traffic {
    let rate = dice.between(120, 320);
    let mut percent = |fault, low, high| if faults.contains(&fault) { dice.between(low, high) } else { 0 };
    let duplicates = percent(Fault::Duplicates, 5, 30);
    let late = percent(Fault::Late, 5, 40);
    let poison = percent(Fault::Poison, 1, 4);
    let conflicts = percent(Fault::Conflicts, 5, 20);
    let disorder = percent(Fault::Reordering, 5, 80);
    let events = rate * dice.between(2000, 3500) / 1000;
    Traffic { seed: dice.word() % 1_000_000, events, rate, duplicates, late, poison, conflicts, disorder }
}

fn injection(fault: Fault, span: u64, dice: &mut Dice) -> Injection {
    let (shortest, longest) = fault.lasts();
    let at = if fault.in_traffic() { 0 } else { dice.between(200, span.max(400) * 3 / 4) };
    Injection { fault, at, lasts: dice.between(shortest, longest), choice: dice.word() }
}

/// Three adapters, one for each way in which archives collect; how the removing ones do it is left to chance.
fn outputs(faults: &[Fault], dice: &mut Dice) -> Vec<Output> {
    // No archive can undo what it has taken, so one that is in the same building waits out the moment between a name and its
    // sync. Others are as quick as they like.
    let shortest = if faults.contains(&Fault::PowerCut) { 500 } else { 0 };
    let settled = |dice: &mut Dice| dice.between(shortest, shortest + 300);
    let removing = [Manner::Move, Manner::CopyAndDelete];
    vec![
        Output {
            name: "acked",
            manner: Manner::Acknowledge,
            attachments_first: dice.percent(50),
            settled_ms: settled(dice),
            file_dump: false,
            keys: "interval = \"1s\"\n",
        },
        Output {
            name: "rooms",
            manner: *dice.pick(&removing),
            attachments_first: dice.percent(50),
            settled_ms: settled(dice),
            file_dump: false,
            keys: "interval = \"1s\"\none_room_per_file = true\ncompress = true\n",
        },
        Output {
            name: "dump",
            manner: *dice.pick(&removing),
            attachments_first: dice.percent(50),
            settled_ms: settled(dice),
            file_dump: true,
            keys: "interval = \"2s\"\ntransform = \"filedump\"\n",
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planner(stores: &[Store]) -> Planner {
        let able = Abilities { mounts: true, crash_points: true, keeper: true };
        Planner { seed: 7, stores: stores.to_vec(), faults: Fault::all().collect(), able }
    }

    #[test]
    fn a_round_is_planned_alike_each_time() {
        let planner = planner(&[Store::Sqlite, Store::Postgres]);
        for round in [0, 5, 40] {
            assert_eq!(format!("{:?}", planner.plan(round)), format!("{:?}", planner.plan(round)));
        }
        assert_ne!(planner.plan(3).traffic, planner.plan(5).traffic);
    }

    #[test]
    fn every_fault_has_its_turn_on_each_store_it_applies_to() {
        for store in [Store::Sqlite, Store::Postgres] {
            let planner = planner(&[store]);
            let dealt: Vec<Fault> =
                (0..20).flat_map(|round| planner.plan(round).injections).map(|injection| injection.fault).collect();
            for fault in Fault::all().filter(|fault| fault.obstacle(store, planner.able).is_none()) {
                assert!(dealt.contains(&fault), "{fault:?} on {store:?}");
            }
        }
    }

    #[test]
    fn a_round_has_few_faults_and_at_most_one_slow_one() {
        let planner = planner(&[Store::Sqlite, Store::Postgres]);
        for round in 0..40 {
            let plan = planner.plan(round);
            assert!((1..=FAULTS_MAX).contains(&plan.injections.len()));
            assert!(plan.injections.iter().filter(|injection| injection.fault.slow()).count() <= 1);
            assert_eq!(
                plan.volumes().contains(&Volume::Shares),
                plan.injections.iter().any(|i| i.fault.volume() == Some(Volume::Shares))
            );
        }
    }
}
