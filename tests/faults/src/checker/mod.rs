//! The judgement: per confirmed event, whether the archive has it once, twice, not at all, or changed.
//!
//! It reads what an archive would see and nothing else: the files on the shares or taken from them, and the exported
//! quarantine. It never asks the product what it thinks.

use std::collections::{BTreeMap, HashMap};

use crate::event::{Act, Facts, Key};
use crate::layout::{self, Layout, Reading};
use crate::ledger::{Entry, Nature};

/// A file that an archive took, or that lies on the share.
#[derive(Debug, Clone)]
pub struct Obtained {
    /// Its name on the share.
    pub name: String,
    /// SHA-256 of its bytes, hex.
    pub sha256: String,
    /// Its bytes; only outputs are read, so attachments may leave this empty.
    pub bytes: Vec<u8>,
}

/// What one adapter delivered.
#[derive(Debug, Clone)]
pub struct Delivered {
    /// The adapter's name.
    pub adapter: String,
    /// Its layout.
    pub layout: Layout,
    /// Its files, in any order.
    pub files: Vec<Obtained>,
}

/// What is to be judged.
#[derive(Debug)]
pub struct Case<'c> {
    /// The ledger.
    pub entries: &'c [Entry],
    /// The adapters.
    pub delivered: &'c [Delivered],
    /// SHA-256 of each quarantined item's exact bytes, hex.
    pub quarantined: &'c [String],
    /// Whether the pipeline still holds something: what is not there yet is then waiting, not lost.
    pub unfinished: bool,
}

/// What kind of promise is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Charge {
    /// Confirmed, and neither archived nor quarantined.
    Lost,
    /// In the archive more often than it was said.
    Twice,
    /// In the archive or quarantine with other content, or in the wrong one of the two.
    Wrong,
    /// In the archive, and never published.
    Foreign,
    /// Not whole when it was first seen, or changed after that.
    Partial,
    /// Gone from the share although the archive had not taken or acknowledged it, or certified wrongly.
    WrongPurge,
    /// Not, or wrongly, in the evidence, or evidence or balance that the product itself finds fault with.
    Unproven,
    /// Still under way when time was up.
    Waiting,
    /// Anything else that must not happen, such as a second process that is let in.
    Misbehaved,
}

/// One broken promise, in words and without content.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// What kind.
    pub charge: Charge,
    /// Which event or file, and how.
    pub detail: String,
}

/// The judgement of a round.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Judgement {
    /// Bodies handed to the broker.
    pub published: usize,
    /// Bodies the broker confirmed.
    pub confirmed: usize,
    /// Different confirmed events that make a message.
    pub events: usize,
    /// Of these, archived exactly once by every adapter.
    pub archived: usize,
    /// Poisoned bodies found in quarantine exactly once.
    pub quarantined: usize,
    /// Different confirmed events that make no message by design.
    pub signals: usize,
    /// Copies of events already published.
    pub duplicates: usize,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

impl Judgement {
    /// How many findings there are of a kind.
    pub fn count(&self, charge: Charge) -> usize {
        self.findings.iter().filter(|finding| finding.charge == charge).count()
    }

    /// Adds a finding.
    pub fn charge(&mut self, charge: Charge, detail: impl Into<String>) {
        self.findings.push(Finding { charge, detail: detail.into() });
    }
}

/// How often a content is wanted: at least once for each confirmed one, and once more at most for each that was
/// handed over but never confirmed.
#[derive(Debug, Clone, Copy, Default)]
struct Wanted {
    least: usize,
    most: usize,
}

/// One content under one key.
struct Content<'e> {
    entry: &'e Entry,
    confirmed: bool,
}

/// Judges a round.
pub fn judge(case: &Case<'_>) -> Judgement {
    let mut judgement = Judgement {
        published: case.entries.len(),
        confirmed: case.entries.iter().filter(|entry| entry.confirmed.is_some()).count(),
        ..Judgement::default()
    };
    let contents = contents(case.entries);
    let missing = if case.unfinished { Charge::Waiting } else { Charge::Lost };
    let mut incomplete: HashMap<&Key, bool> = HashMap::new();
    for delivered in case.delivered {
        let readings = read_all(delivered, &mut judgement);
        let mut bad = |key: &'_ Key| {
            if let Some((key, _)) = contents.get_key_value(key) {
                incomplete.insert(key, true);
            }
        };
        match delivered.layout {
            Layout::Canonical => check_messages(delivered, &readings, &contents, missing, &mut judgement, &mut bad),
            Layout::FileDump => check_acts(delivered, &readings, &contents, missing, &mut judgement, &mut bad),
        }
    }
    for (key, list) in &contents {
        let confirmed = list.iter().filter(|content| content.confirmed);
        let (signals, messages): (Vec<_>, Vec<_>) = confirmed.partition(|content| facts(content.entry).is_none());
        judgement.signals += signals.len();
        judgement.events += messages.len();
        if !case.delivered.is_empty() && !incomplete.contains_key(key) {
            judgement.archived += messages.len();
        }
    }
    judgement.duplicates = case.entries.iter().filter(|entry| entry.nature == Nature::Duplicate).count();
    check_quarantine(case, missing, &mut judgement);
    judgement.findings.sort_by_key(|finding| finding.charge);
    judgement
}

fn facts(entry: &Entry) -> Option<&Facts> {
    entry.told.as_ref()?.facts.as_ref()
}

/// The different contents of each key.
fn contents(entries: &[Entry]) -> BTreeMap<Key, Vec<Content<'_>>> {
    let mut contents: BTreeMap<Key, Vec<Content<'_>>> = BTreeMap::new();
    for entry in entries {
        let Some(told) = &entry.told else { continue };
        let list = contents.entry(told.key.clone()).or_default();
        let confirmed = entry.confirmed.is_some();
        match list.iter_mut().find(|content| content.entry.sha256 == entry.sha256) {
            Some(content) => content.confirmed |= confirmed,
            None => list.push(Content { entry, confirmed }),
        }
    }
    contents
}

/// Every output read whole, each with the digests of its attachments.
fn read_all(delivered: &Delivered, judgement: &mut Judgement) -> Vec<Reading> {
    let digests: HashMap<&str, &str> =
        delivered.files.iter().map(|file| (file.name.as_str(), file.sha256.as_str())).collect();
    let mut readings = Vec::new();
    for file in delivered.files.iter().filter(|file| layout::is_output(&file.name)) {
        let mut reading = match layout::read(delivered.layout, &file.name, &file.bytes) {
            Ok(reading) => reading,
            Err(error) => {
                judgement.charge(Charge::Partial, format!("{}: {error}", file.name));
                continue;
            }
        };
        for name in &reading.attachments {
            if !digests.contains_key(name.as_str()) {
                judgement.charge(Charge::Lost, format!("{} refers to {name}, which is not there", file.name));
            }
        }
        let digest_of =
            |name: &str| digests.get(name).map_or_else(|| "missing".to_owned(), |&digest| digest.to_owned());
        for found in &mut reading.messages {
            if let Some(name) = &found.attachment {
                found.facts.insert("file", digest_of(name));
            }
        }
        for act in reading.acts.iter_mut().filter(|act| act.update == "Transfer") {
            act.content = act.content.as_deref().map(digest_of);
        }
        readings.push(reading);
    }
    readings
}

fn check_messages(
    delivered: &Delivered,
    readings: &[Reading],
    contents: &BTreeMap<Key, Vec<Content<'_>>>,
    missing: Charge,
    judgement: &mut Judgement,
    bad: &mut impl FnMut(&Key),
) {
    let mut found: BTreeMap<&Key, Vec<&Facts>> = BTreeMap::new();
    for message in readings.iter().flat_map(|reading| &reading.messages) {
        found.entry(&message.key).or_default().push(&message.facts);
    }
    let adapter = &delivered.adapter;
    check_late_files(adapter, readings, contents, judgement, bad);
    for (key, list) in contents {
        let mut here = found.remove(key).unwrap_or_default();
        let mut wanted: BTreeMap<&Facts, Wanted> = BTreeMap::new();
        for content in list {
            let Some(facts) = facts(content.entry) else { continue };
            let wanted = wanted.entry(facts).or_default();
            wanted.least += usize::from(content.confirmed);
            wanted.most += 1;
        }
        let mut short = Vec::new();
        for (facts, wanted) in wanted {
            let count = here.iter().filter(|&&here| here == facts).count();
            here.retain(|&here| here != facts);
            short.extend(std::iter::repeat_n(facts, wanted.least.saturating_sub(count)));
            for _ in wanted.most..count {
                bad(key);
                judgement.charge(Charge::Twice, format!("{adapter}: {} {}", key.source, key.id));
            }
        }
        for facts in short {
            bad(key);
            match here.pop() {
                Some(other) => {
                    let differing = differing(facts, other);
                    judgement.charge(Charge::Wrong, format!("{adapter}: {} {}: {differing}", key.source, key.id));
                }
                None => judgement.charge(missing, format!("{adapter}: {} {}", key.source, key.id)),
            }
        }
        for other in here {
            bad(key);
            let charge =
                if list.iter().any(|content| facts(content.entry).is_some()) { Charge::Twice } else { Charge::Foreign };
            let kind = other.get("kind").map_or("?", String::as_str);
            judgement.charge(charge, format!("{adapter}: {} {}: another message of kind {kind}", key.source, key.id));
        }
    }
    for (key, list) in found {
        for _ in list {
            judgement.charge(Charge::Foreign, format!("{adapter}: {} {}", key.source, key.id));
        }
    }
}

/// A message that says that its file is missing is no archived event: the one that completes it is, and must say so. Neither comes
/// without the other, and they differ in nothing but the file.
fn check_late_files(
    adapter: &str,
    readings: &[Reading],
    contents: &BTreeMap<Key, Vec<Content<'_>>>,
    judgement: &mut Judgement,
    bad: &mut impl FnMut(&Key),
) {
    let mut owed: BTreeMap<&Key, Vec<&Facts>> = BTreeMap::new();
    for message in readings.iter().flat_map(|reading| &reading.owed) {
        owed.entry(&message.key).or_default().push(&message.facts);
    }
    let without = |facts: &Facts| -> Facts { facts.iter().filter(|(name, _)| **name != "file").map(own).collect() };
    for message in readings.iter().flat_map(|reading| &reading.messages) {
        let here = owed.get_mut(&message.key);
        let at = here.as_ref().and_then(|here| {
            let before = without(&message.facts);
            here.iter().position(|owed| **owed == before)
        });
        let (key, name) = (&message.key, format!("{adapter}: {} {}", message.key.source, message.key.id));
        match (here, at) {
            (Some(here), Some(at)) if message.completes => drop(here.swap_remove(at)),
            (_, _) if message.completes => {
                bad(key);
                judgement.charge(Charge::Wrong, format!("{name}: it completes a message that there is not"));
            }
            _ => {}
        }
    }
    // One that nothing completes is missing below, unless the event is there another time: as if it had been said twice.
    let whole: std::collections::HashSet<&Key> =
        readings.iter().flat_map(|reading| &reading.messages).map(|message| &message.key).collect();
    for (key, list) in owed.into_iter().filter(|(_, list)| !list.is_empty()) {
        let name = format!("{adapter}: {} {}", key.source, key.id);
        if !contents.contains_key(key) {
            judgement.charge(Charge::Foreign, name);
        } else if whole.contains(key) || list.len() > 1 {
            bad(key);
            judgement.charge(Charge::Twice, format!("{name}: also without its file, which nothing completes"));
        }
    }
}

fn own<'n>((name, value): (&&'n str, &String)) -> (&'n str, String) {
    (name, value.clone())
}

/// Names what two readings disagree on, without content.
fn differing(wanted: &Facts, found: &Facts) -> String {
    let names: std::collections::BTreeSet<_> = wanted.keys().chain(found.keys()).collect();
    let differ: Vec<_> = names.into_iter().filter(|name| wanted.get(**name) != found.get(**name)).copied().collect();
    format!("differs in {}", differ.join(", "))
}

/// What acts are told apart by, besides what was said.
type Place<'a> = (&'a str, &'a str, &'a str, &'a str);

fn place(act: &Act) -> Place<'_> {
    (&act.room, &act.id, &act.time, &act.update)
}

fn check_acts(
    delivered: &Delivered,
    readings: &[Reading],
    contents: &BTreeMap<Key, Vec<Content<'_>>>,
    missing: Charge,
    judgement: &mut Judgement,
    bad: &mut impl FnMut(&Key),
) {
    let mut found: BTreeMap<Place<'_>, Vec<&Act>> = BTreeMap::new();
    for act in readings.iter().flat_map(|reading| &reading.acts) {
        found.entry(place(act)).or_default().push(act);
    }
    // As often as transfers failed there, at most, they were completed there; this layout has no word for that.
    let mut owed: BTreeMap<Place<'_>, usize> = BTreeMap::new();
    for act in readings.iter().flat_map(|reading| &reading.owed_acts) {
        *owed.entry(place(act)).or_default() += 1;
    }
    // Different events may be told by equal acts, so they are counted, place by place.
    let mut wanted: BTreeMap<Place<'_>, Vec<(&Act, &Key, bool)>> = BTreeMap::new();
    for (key, list) in contents {
        for content in list {
            let acts = content.entry.told.iter().flat_map(|told| &told.acts);
            for act in acts {
                wanted.entry(place(act)).or_default().push((act, key, content.confirmed));
            }
        }
    }
    let adapter = &delivered.adapter;
    for (place, owed) in owed {
        let most = wanted.get(&place).map_or(0, Vec::len);
        for _ in most..owed {
            let charge = if most == 0 { Charge::Foreign } else { Charge::Twice };
            judgement
                .charge(charge, format!("{adapter}: a failed transfer of {} at {} in {}", place.1, place.2, place.0));
        }
    }
    for (place, mut list) in wanted {
        let mut here = found.remove(&place).unwrap_or_default();
        // Those whose words are known choose first, confirmed before unconfirmed.
        list.sort_by_key(|(act, _, confirmed)| (act.content.is_none(), !confirmed));
        let mut short = Vec::new();
        let mut last = None;
        for (act, key, confirmed) in list {
            last = Some(key);
            match here.iter().position(|here| act.content.is_none() || here.content == act.content) {
                Some(at) => drop(here.swap_remove(at)),
                None if confirmed => short.push(key),
                None => {}
            }
        }
        for key in short {
            bad(key);
            let charge = if here.pop().is_some() { Charge::Wrong } else { missing };
            judgement.charge(charge, format!("{adapter}: {} {}", key.source, key.id));
        }
        if let Some(key) = last {
            for _ in here {
                bad(key);
                judgement.charge(Charge::Twice, format!("{adapter}: {} {}", key.source, key.id));
            }
        }
    }
    for (place, list) in found {
        for _ in list {
            judgement.charge(Charge::Foreign, format!("{adapter}: an act {} at {} in {}", place.1, place.2, place.0));
        }
    }
}

fn check_quarantine(case: &Case<'_>, missing: Charge, judgement: &mut Judgement) {
    let mut held: HashMap<&str, usize> = HashMap::new();
    for sha256 in case.quarantined {
        *held.entry(sha256).or_default() += 1;
    }
    let mut poison: HashMap<&str, bool> = HashMap::new();
    for entry in case.entries.iter().filter(|entry| entry.nature == Nature::Poison) {
        *poison.entry(&entry.sha256).or_default() |= entry.confirmed.is_some();
    }
    for (sha256, confirmed) in poison {
        match held.remove(sha256) {
            Some(1) => judgement.quarantined += usize::from(confirmed),
            Some(times) => judgement.charge(Charge::Twice, format!("quarantine holds {sha256} {times} times")),
            None if confirmed => judgement.charge(missing, format!("poison {sha256} is not in quarantine")),
            None => {}
        }
    }
    for sha256 in held.into_keys() {
        let event = case.entries.iter().find(|entry| entry.sha256 == sha256).and_then(|entry| entry.told.as_ref());
        match event {
            Some(told) => {
                let (source, id) = (&told.key.source, &told.key.id);
                judgement.charge(Charge::Wrong, format!("quarantine: {source} {id} is a good event"));
            }
            None => judgement.charge(Charge::Foreign, format!("quarantine: {sha256} was never published")),
        }
    }
}

#[cfg(test)]
mod tests;
