//! Manifests and their event lists: each list holds exactly what its manifest counts, and an adapter's batches follow
//! each other without overlap.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use sha2::{Digest, Sha256};

use super::super::entry::{EntryKind, Link};
use super::super::layout::{entry_path, list_path};
use super::super::list::{Became, LINE, ListLine, event_leaf};
use super::super::manifest::{BecameCounts, ManifestBody};
use super::super::merkle::Tree;
use super::log::Log;
use super::{Finding, Report, is_gone};
use crate::support::durable::{PathError, WithPath as _};

/// Files are checked by this many threads: what one reads the other hashes.
pub(super) const THREADS: usize = 2;
/// Lines of a list read at once.
const LINES_AT_ONCE: usize = 1024;

/// The manifests of a log.
#[derive(Default)]
pub(super) struct Batches {
    manifests: Vec<(u64, ManifestBody)>,
    purged: HashSet<i64>,
    gaps: Vec<String>,
}

impl Batches {
    pub(super) fn check(dir: &Path, log: &Log, report: &mut Report) -> Result<Self, PathError> {
        let mut batches = Self::default();
        let mut newest: BTreeMap<String, Link> = BTreeMap::new();
        let mut seen: BTreeMap<i64, u64> = BTreeMap::new();
        for (number, entry) in log.entries() {
            let Some(preface) = &entry.preface else { continue };
            let say = |problem: String| Finding::new(entry_path(number), problem).of_entry(number);
            match preface.kind() {
                Some(EntryKind::Manifest) => {}
                Some(EntryKind::Purge) => {
                    batches.purged.extend(purged(&entry.bytes));
                    continue;
                }
                _ => continue,
            }
            let body: ManifestBody = match serde_json::from_slice(&entry.bytes) {
                Ok(body) => body,
                Err(error) => {
                    report.findings.push(say(format!("cannot be read as a manifest: {error}")));
                    continue;
                }
            };
            if let Some(problem) = chain_problem(preface.previous, newest.get(&body.adapter)) {
                report.findings.push(say(problem));
            }
            newest.insert(body.adapter.clone(), Link { entry: number, sha256: entry.sha256 });
            if let Some(first) = seen.insert(body.batch, number) {
                report.findings.push(say(format!("batch {} has a manifest already, in entry {first}", body.batch)));
            }
            report.findings.extend(sum_problem(&body).map(say));
            batches.manifests.push((number, body));
        }
        batches.ranges(report);
        batches.lists(dir, report)?;
        report.checked.manifests = batches.manifests.len() as u64;
        Ok(batches)
    }

    /// Manifests with the numbers of their entries.
    pub(super) fn manifests(&self) -> &[(u64, ManifestBody)] {
        &self.manifests
    }

    /// Whether the log has a purge certificate for a batch.
    pub(super) fn is_purged(&self, batch: i64) -> bool {
        self.purged.contains(&batch)
    }

    /// What no manifest speaks of.
    pub(super) fn gaps(&self) -> impl Iterator<Item = String> {
        self.gaps.iter().cloned()
    }

    /// The ranges of an adapter's batches, supplements aside, meet: what lies between two was not rendered, or given up.
    fn ranges(&mut self, report: &mut Report) {
        let mut adapters: BTreeMap<&str, Vec<(i64, i64, u64)>> = BTreeMap::new();
        for (entry, body) in self.manifests.iter().filter(|(_, body)| body.supplement_to.is_none()) {
            adapters.entry(&body.adapter).or_default().push((body.range.after, body.range.last, *entry));
        }
        for (adapter, mut ranges) in adapters {
            ranges.sort_unstable();
            for pair in ranges.windows(2) {
                let ((_, end, _), (begin, _, entry)) = (pair[0], pair[1]);
                if begin < end {
                    let problem = format!("its range begins at {begin}, within that of an earlier batch of {adapter}");
                    report.findings.push(Finding::new(entry_path(entry), problem).of_entry(entry));
                } else if begin > end {
                    self.gaps.push(format!(
                        "what became of arrivals {} to {begin} for {adapter}: no manifest speaks of them; their batch waits to be rendered, or was given up (an act says so)",
                        end + 1
                    ));
                }
            }
        }
    }

    /// Checks all lists, several at once.
    fn lists(&self, dir: &Path, report: &mut Report) -> Result<(), PathError> {
        let (next, gathered) = (AtomicUsize::new(0), Mutex::new((Vec::new(), Ok(()))));
        let (events, bytes) = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|_| {
                    scope.spawn(|| {
                        let (mut events, mut bytes) = (0, 0);
                        while let Some((entry, body)) = self.manifests.get(next.fetch_add(1, Ordering::Relaxed)) {
                            let found = check_list(dir, *entry, body);
                            events += body.events.count;
                            bytes += body.events.size;
                            let mut gathered = gathered.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                            match found {
                                Ok(finding) => gathered.0.extend(finding),
                                Err(error) => gathered.1 = Err(error),
                            }
                        }
                        (events, bytes)
                    })
                })
                .collect();
            let done = threads.into_iter().filter_map(|thread| thread.join().ok());
            done.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
        });
        let (findings, outcome) = gathered.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        report.findings.extend(findings);
        report.checked.events = events;
        report.checked.bytes += bytes;
        outcome
    }
}

fn purged(bytes: &[u8]) -> Option<i64> {
    serde_json::from_slice::<serde_json::Value>(bytes).ok()?["batch"].as_i64()
}

fn chain_problem(previous: Option<Link>, expected: Option<&Link>) -> Option<String> {
    match (previous, expected) {
        (None, None) => None,
        (Some(previous), Some(expected)) if previous == *expected => None,
        (_, Some(expected)) => {
            Some(format!("does not name entry {} as the adapter's manifest before it", expected.entry))
        }
        (Some(previous), None) => {
            Some(format!("names entry {} as the adapter's manifest before it, which it is not", previous.entry))
        }
    }
}

/// Whether the counts of a manifest contradict each other.
fn sum_problem(body: &ManifestBody) -> Option<String> {
    let BecameCounts { written, signal, left_out, set_aside, no_room } = body.became;
    let sums = [
        ("types", body.types.iter().map(|one| one.events).sum::<u64>()),
        ("sources", body.sources.iter().map(|one| one.events).sum()),
        ("became", written + signal + left_out + set_aside + no_room),
    ];
    let wrong = sums.into_iter().find(|(_, sum)| *sum != body.events.count)?;
    Some(format!("counts {} events, and {} under `{}`", body.events.count, wrong.1, wrong.0))
}

/// Reads a list once, and checks its digest, its order, its tree and its counts.
fn check_list(dir: &Path, entry: u64, body: &ManifestBody) -> Result<Option<Finding>, PathError> {
    let inside = list_path(entry);
    let path = dir.join(&inside);
    let say = |problem: &str| Finding::new(&inside, problem).of_entry(entry);
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound && body.events.count == 0 => return Ok(None),
        Err(error) if is_gone(&error) => return Ok(Some(say("is missing"))),
        Err(error) => return Err(error).at("open", &path),
    };
    let (mut hasher, mut tree, mut size, mut number) = (Sha256::new(), Tree::default(), 0_u64, 0_u64);
    let (mut last, mut counts, mut line_problem) = (None, BecameCounts::default(), None);
    let mut buffer = vec![0; LINE * LINES_AT_ONCE];
    loop {
        let filled = match fill(&mut file, &mut buffer) {
            Ok(0) => break,
            Ok(filled) => filled,
            Err(error) if is_gone(&error) => return Ok(Some(say("is no file"))),
            Err(error) => return Err(error).at("read", &path),
        };
        hasher.update(&buffer[..filled]);
        size += filled as u64;
        if line_problem.is_some() {
            continue;
        }
        for line in buffer[..filled].chunks(LINE) {
            number += 1;
            let Some(read) = ListLine::parse(line) else {
                line_problem = Some((number, "is no line of an event list"));
                break;
            };
            if last.is_some_and(|last| last >= (read.key, read.content)) {
                line_problem = Some((number, "is out of order"));
                break;
            }
            last = Some((read.key, read.content));
            count(&mut counts, read.became);
            tree.push(event_leaf(&read.key, &read.content));
        }
    }
    let events = &body.events;
    if (size, <[u8; 32]>::from(hasher.finalize())) != (events.size, events.sha256) {
        return Ok(Some(match line_problem {
            Some((line, problem)) => say(problem).at_line(line),
            None if size < events.size => say("is shorter than its manifest says: it was cut off"),
            None if size > events.size => say("is longer than its manifest says: something was added"),
            None => say("is not what its manifest names: it was changed"),
        }));
    }
    // It is the file that was recorded; what follows would be our own mistake.
    let problem = match line_problem {
        Some((line, problem)) => return Ok(Some(say(problem).at_line(line))),
        None if tree.size() != events.count => "has another number of events than its manifest",
        None if tree.root() != events.root => "has another root than its manifest",
        None if counts != body.became => "has other outcomes than its manifest counts",
        None => return Ok(None),
    };
    Ok(Some(say(problem)))
}

fn count(counts: &mut BecameCounts, became: Became) {
    *match became {
        Became::Written => &mut counts.written,
        Became::Signal => &mut counts.signal,
        Became::LeftOut => &mut counts.left_out,
        Became::SetAside => &mut counts.set_aside,
        Became::NoRoom => &mut counts.no_room,
    } += 1;
}

/// Reads until the buffer is full or the file ends.
fn fill(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}
