//! What people see: a line for each round, a table at the end, and the same as JSON and Markdown.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use crate::checker::Charge;
use crate::error::{At as _, Outcome, Trouble};
use crate::faults::Fault;
use crate::round::Played;
use crate::site::Store;

/// The median, the 99th percentile and the longest of some times, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// How many there are.
    pub count: usize,
    /// The median.
    pub p50: f64,
    /// The 99th percentile.
    pub p99: f64,
    /// The longest.
    pub max: f64,
}

/// The sums for one fault, or for all rounds.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Sum {
    /// Rounds in which it was.
    pub rounds: usize,
    /// How often it struck.
    pub strikes: usize,
    /// Findings of each kind in those rounds.
    pub findings: BTreeMap<Charge, usize>,
    /// Recovery: from the end of the fault until everything confirmed before it was visible.
    pub caught_up: Option<Spread>,
}

/// A whole run.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// The seed.
    pub seed: u64,
    /// Rounds played on each store.
    pub rounds: BTreeMap<Store, usize>,
    /// Rounds with a finding, or that could not be played.
    pub failed: usize,
    /// All rounds.
    pub total: Sum,
    /// Fault by fault. A finding counts for each fault of its round.
    pub faults: BTreeMap<Fault, Sum>,
    /// Bodies handed to the broker.
    pub published: usize,
    /// Bodies it confirmed.
    pub confirmed: usize,
    /// Different events that make a message.
    pub events: usize,
    /// Of these, archived exactly once by each of the adapters.
    pub archived: usize,
    /// Poisoned bodies in quarantine, whole.
    pub quarantined: usize,
    /// Different events that make no message.
    pub signals: usize,
    /// Looks of the hostile reader at all shares.
    pub looks: u64,
    /// Files that it opened at first sight.
    pub files: usize,
    /// Purge certificates compared.
    pub certificates: usize,
    /// Lines of event lists compared.
    pub listed: usize,
    /// After a kill: from the new start until the AMQP session consumed; kills with no other fault beside them.
    pub back_after_kill: Option<Spread>,
    /// After a kill: until everything confirmed before was visible; kills with no other fault beside them.
    pub caught_up_after_kill: Option<Spread>,
}

/// The figures that make or break a run.
const COLUMNS: [(&str, Charge); 9] = [
    ("lost", Charge::Lost),
    ("twice", Charge::Twice),
    ("wrong", Charge::Wrong),
    ("foreign", Charge::Foreign),
    ("partial", Charge::Partial),
    ("wrong purge", Charge::WrongPurge),
    ("unproven", Charge::Unproven),
    ("waiting", Charge::Waiting),
    ("other", Charge::Misbehaved),
];

impl Spread {
    /// The spread of some times; `None` when there are none.
    pub fn of(mut times: Vec<f64>) -> Option<Self> {
        times.sort_by(f64::total_cmp);
        let at = |share: f64| {
            // The smallest time that so many of a hundred do not exceed.
            let rank = (share * times.len() as f64).ceil().max(1.0) as usize;
            times.get(rank - 1).copied()
        };
        Some(Self { count: times.len(), p50: at(0.5)?, p99: at(0.99)?, max: *times.last()? })
    }

    fn words(spread: Option<Self>) -> [String; 3] {
        match spread {
            Some(spread) => [spread.p50, spread.p99, spread.max].map(|time| format!("{time:.2}")),
            None => [const { String::new() }; 3],
        }
    }
}

/// One round in one line.
pub fn line(played: &Played, colour: bool) -> String {
    let (plan, judgement) = (&played.plan, &played.judgement);
    let mut text = format!(
        "round {:>4}  {:<8}  {:<44}  confirmed {:>4}  archived {:>4}  quarantined {:>2}",
        plan.round,
        plan.store.name(),
        plan.faults(),
        judgement.confirmed,
        judgement.archived,
        judgement.quarantined,
    );
    for (name, charge) in COLUMNS.iter().filter(|(_, charge)| {
        // The four that are promised are always said; the others only when they are not zero.
        matches!(charge, Charge::Lost | Charge::Twice | Charge::Partial | Charge::WrongPurge)
            || judgement.count(*charge) > 0
    }) {
        let count = judgement.count(*charge);
        let word = format!("{name} {count}");
        let _ = write!(text, "  {}", if colour && count > 0 { format!("\x1b[31;1m{word}\x1b[0m") } else { word });
    }
    let slowest = played.recoveries.iter().filter_map(|recovery| recovery.caught_up).max_by(f64::total_cmp);
    if let Some(slowest) = slowest {
        let _ = write!(text, "  recovery {slowest:>5.2} s");
    }
    let _ = write!(text, "  {:>5.1} s", played.seconds);
    text
}

impl Summary {
    /// Sums up a run.
    pub fn of(seed: u64, played: &[Played], unplayable: usize) -> Self {
        let mut rounds: BTreeMap<Store, usize> = BTreeMap::new();
        for round in played {
            *rounds.entry(round.plan.store).or_default() += 1;
        }
        let present = Fault::all().filter(|fault| played.iter().any(|round| has(round, *fault)));
        let faults = present.map(|fault| (fault, sum(played, Some(fault)))).collect();
        let add = |count: fn(&Played) -> usize| played.iter().map(count).sum();
        let kills = |time: fn(&crate::round::Recovery) -> Option<f64>| {
            let recoveries = played.iter().flat_map(|round| &round.recoveries);
            let killed = recoveries.filter(|recovery| recovery.alone && recovery.fault.kills());
            Spread::of(killed.filter_map(time).collect())
        };
        Self {
            seed,
            rounds,
            failed: unplayable + played.iter().filter(|round| !round.clean()).count(),
            total: sum(played, None),
            faults,
            published: add(|round| round.judgement.published),
            confirmed: add(|round| round.judgement.confirmed),
            events: add(|round| round.judgement.events),
            archived: add(|round| round.judgement.archived),
            quarantined: add(|round| round.judgement.quarantined),
            signals: add(|round| round.judgement.signals),
            looks: played.iter().map(|round| round.looks).sum(),
            files: add(|round| round.files),
            certificates: add(|round| round.certificates),
            listed: add(|round| round.listed),
            back_after_kill: kills(|recovery| recovery.back),
            caught_up_after_kill: kills(|recovery| recovery.caught_up),
        }
    }

    /// Whether every promise was kept in every round.
    pub fn clean(&self) -> bool {
        self.failed == 0
    }

    /// The table.
    pub fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED);
        table.set_header(header());
        for (name, sum) in self.rows() {
            table.add_row(cells(&name, sum));
        }
        for number in 1..header().len() {
            if let Some(column) = table.column_mut(number) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table
    }

    fn rows(&self) -> Vec<(String, &Sum)> {
        let faults = self.faults.iter().map(|(fault, sum)| (fault.name(), sum));
        faults.chain([("all rounds".to_owned(), &self.total)]).collect()
    }

    /// The figures beside the table, one fact a line.
    pub fn facts(&self) -> Vec<String> {
        let stores: Vec<_> = self.rounds.iter().map(|(store, count)| format!("{count} on {}", store.name())).collect();
        let mut facts = vec![
            format!("seed {}: {} rounds ({}), {} failed", self.seed, self.total.rounds, stores.join(", "), self.failed),
            format!(
                "{} bodies published, {} confirmed; {} different messages, {} archived exactly once by each of three adapters; \
                 {} poisoned bodies in quarantine, whole; {} signals, which make no message",
                self.published, self.confirmed, self.events, self.archived, self.quarantined, self.signals
            ),
            format!(
                "the hostile reader looked {} times and opened {} files at first sight; {} purge certificates and {} lines of event lists compared",
                self.looks, self.files, self.certificates, self.listed
            ),
        ];
        for (what, spread) in [
            ("from the start after a kill until the queue is consumed again", self.back_after_kill),
            ("until everything confirmed before the kill is visible", self.caught_up_after_kill),
        ] {
            if let Some(spread) = spread {
                let [p50, p99, max] = Spread::words(Some(spread));
                facts.push(format!("{what}: p50 {p50} s, p99 {p99} s, longest {max} s, of {} kills", spread.count));
            }
        }
        facts
    }

    /// Writes `FILE.json` and `FILE.md`.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn write(&self, file: &Path) -> Outcome<()> {
        let json = serde_json::to_vec_pretty(self).map_err(|error| Trouble::Said(error.to_string()))?;
        let path = file.with_extension("json");
        fs::write(&path, json).at("write", &path)?;
        let mut text = String::new();
        for fact in self.facts() {
            let _ = writeln!(text, "- {fact}");
        }
        let header = header();
        let _ = writeln!(text, "\n| {} |\n|{}|", header.join(" | "), vec!["---"; header.len()].join("|"));
        for (name, sum) in self.rows() {
            let _ = writeln!(text, "| {} |", cells(&name, sum).join(" | "));
        }
        let path = file.with_extension("md");
        fs::write(&path, text).at("write", &path)
    }
}

fn has(round: &Played, fault: Fault) -> bool {
    round.plan.injections.iter().any(|injection| injection.fault == fault)
}

fn sum(played: &[Played], fault: Option<Fault>) -> Sum {
    let rounds: Vec<_> = played.iter().filter(|round| fault.is_none_or(|fault| has(round, fault))).collect();
    let mut sum = Sum { rounds: rounds.len(), ..Sum::default() };
    let mut times = Vec::new();
    for round in rounds {
        let counted = |of: &Fault| fault.is_none_or(|fault| fault == *of);
        sum.strikes += round.strikes.iter().filter(|(of, _)| counted(of)).map(|(_, count)| count).sum::<usize>();
        for finding in &round.judgement.findings {
            *sum.findings.entry(finding.charge).or_default() += 1;
        }
        let recoveries = round.recoveries.iter().filter(|recovery| counted(&recovery.fault));
        times.extend(recoveries.filter_map(|recovery| recovery.caught_up));
    }
    sum.caught_up = Spread::of(times);
    sum
}

fn header() -> Vec<&'static str> {
    let charges = COLUMNS.iter().map(|(name, _)| *name);
    ["fault", "rounds", "strikes"].into_iter().chain(charges).chain(["recovery p50 s", "p99", "longest"]).collect()
}

fn cells(name: &str, sum: &Sum) -> Vec<String> {
    let charges = COLUMNS.iter().map(|(_, charge)| sum.findings.get(charge).copied().unwrap_or(0).to_string());
    let begin = [name.to_owned(), sum.rounds.to_string(), sum.strikes.to_string()];
    begin.into_iter().chain(charges).chain(Spread::words(sum.caught_up)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads_are_taken_from_the_ranks() {
        let times: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        let spread = Spread { count: 200, p50: 100.0, p99: 198.0, max: 200.0 };
        assert_eq!(Spread::of(times), Some(spread));
        assert_eq!(Spread::of(vec![2.0]), Some(Spread { count: 1, p50: 2.0, p99: 2.0, max: 2.0 }));
        assert_eq!(Spread::of(Vec::new()), None);
    }
}
