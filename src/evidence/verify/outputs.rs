//! Outputs against manifests: pickup shares, or copies of what the archive took; and the copies of manifests beside them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use sha2::{Digest as _, Sha256};

use super::super::beside::copy_name;
use super::super::layout::{SIGNATURE, entry_path};
use super::super::manifest::Output;
use super::super::merkle::Hash;
use super::batches::{Batches, THREADS};
use super::log::Log;
use super::strays::walk;
use super::{Finding, Report, is_gone};
use crate::model::Ticks;
use crate::support::durable::{self, PathError, WithPath as _};

/// What the name of an acknowledgement has after that of its file.
const ACKNOWLEDGEMENT: &str = ".ack";

/// What a file of this name must be.
#[derive(Clone)]
struct Expected {
    entry: u64,
    size: u64,
    sha256: Hash,
    /// The adapter, for an output; the file in the evidence directory of which it is a copy, otherwise.
    of: Of,
}

#[derive(Clone)]
enum Of {
    Adapter(String),
    Copy(String),
}

/// Compares every file in the places with what the manifests say. What lies in any of them is not missing.
pub(super) fn check(
    (dir, places): (&Path, &[PathBuf]),
    log: &Log,
    batches: &Batches,
    report: &mut Report,
) -> Result<(), PathError> {
    if places.is_empty() {
        return Ok(());
    }
    let named = expected(dir, log, batches)?;
    let mut here: Vec<(PathBuf, Expected)> = Vec::new();
    let (mut adapters, mut found) = (BTreeSet::new(), BTreeSet::new());
    for place in places {
        for path in walk(place)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let is_hidden = path
                .strip_prefix(place)
                .is_ok_and(|inside| inside.iter().any(|part| part.to_string_lossy().starts_with('.')));
            if is_hidden || name.strip_suffix(ACKNOWLEDGEMENT).is_some_and(|file| named.contains_key(file)) {
                continue;
            }
            let Some(expected) = named.get(&name) else {
                report.findings.push(Finding::new(path.display().to_string(), "is in no manifest"));
                continue;
            };
            if let Of::Adapter(adapter) = &expected.of {
                adapters.insert(adapter.clone());
                found.insert(name);
                report.checked.outputs += 1;
            }
            here.push((path, expected.clone()));
        }
    }
    compare(&here, report)?;
    missing(places, batches, &adapters, &found, report);
    Ok(())
}

/// Every file that may lie there, by name.
fn expected(dir: &Path, log: &Log, batches: &Batches) -> Result<HashMap<String, Expected>, PathError> {
    let mut named = HashMap::new();
    for (entry, body) in batches.manifests() {
        let entry = *entry;
        named.extend(body.outputs.iter().map(|output| {
            let Output { size, sha256, .. } = *output;
            (output.name.clone(), Expected { entry, size, sha256, of: Of::Adapter(body.adapter.clone()) })
        }));
        let (Some(manifest), Ok(end)) = (log.get(entry), Ticks::parse(&body.interval.end)) else { continue };
        let (name, path) = (copy_name(&body.adapter, end, body.batch), entry_path(entry));
        let (size, sha256) = (manifest.bytes.len() as u64, manifest.sha256);
        let signature = dir.join(format!("{path}{SIGNATURE}"));
        match std::fs::read(&signature) {
            Ok(bytes) => {
                let (size, sha256) = (bytes.len() as u64, Sha256::digest(&bytes).into());
                let of = Of::Copy(format!("{path}{SIGNATURE}"));
                named.insert(format!("{name}{SIGNATURE}"), Expected { entry, size, sha256, of });
            }
            Err(error) if is_gone(&error) => {}
            Err(error) => return Err(error).at("read", &signature),
        }
        named.insert(name, Expected { entry, size, sha256, of: Of::Copy(path) });
    }
    Ok(named)
}

fn compare(here: &[(PathBuf, Expected)], report: &mut Report) -> Result<(), PathError> {
    let (next, gathered) = (AtomicUsize::new(0), Mutex::new((Vec::new(), Ok(()))));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some((path, expected)) = here.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let was = (expected.size, expected.sha256);
                    let problem = match (durable::digest_file(path), &expected.of) {
                        (Ok(found), _) if found == was => continue,
                        (Ok(_), Of::Copy(of)) => {
                            Ok(format!("is not the copy of {of} that it should be: it was changed"))
                        }
                        (Ok((size, _)), _) if size < was.0 => Ok("is shorter than its manifest says".to_owned()),
                        (Ok((size, _)), _) if size > was.0 => Ok("is longer than its manifest says".to_owned()),
                        (Ok(_), _) => Ok("is not what its manifest names: it was changed".to_owned()),
                        // Taken by the archive in this moment.
                        (Err(error), _) if is_gone(&error.source) => Ok("is gone while it was looked at".to_owned()),
                        (Err(error), _) => Err(error),
                    };
                    let mut gathered = gathered.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    match problem {
                        Ok(problem) => {
                            let finding = Finding::new(path.display().to_string(), problem);
                            gathered.0.push(finding.of_entry(expected.entry));
                        }
                        Err(error) => gathered.1 = Err(error),
                    }
                }
            });
        }
    });
    let (findings, outcome) = gathered.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    report.findings.extend(findings);
    report.checked.bytes += here.iter().map(|(_, expected)| expected.size).sum::<u64>();
    outcome
}

/// Tells what is not here of the adapters of which something is.
fn missing(
    places: &[PathBuf],
    batches: &Batches,
    adapters: &BTreeSet<String>,
    found: &BTreeSet<String>,
    report: &mut Report,
) {
    let mut purged: BTreeMap<&str, u64> = BTreeMap::new();
    let mut elsewhere = BTreeSet::new();
    for (entry, body) in batches.manifests() {
        for output in body.outputs.iter().filter(|output| !found.contains(&output.name)) {
            if !adapters.contains(&body.adapter) {
                elsewhere.insert(body.adapter.as_str());
            } else if batches.is_purged(body.batch) {
                *purged.entry(&body.adapter).or_default() += 1;
            } else {
                let (file, problem) = match places {
                    [place] => (place.join(&output.name), "is missing, and its batch is not purged"),
                    _ => (PathBuf::from(&output.name), "is in none of the directories, and its batch is not purged"),
                };
                report.findings.push(Finding::new(file.display().to_string(), problem).of_entry(*entry));
            }
        }
    }
    let places = places.iter().map(|place| place.display().to_string()).collect::<Vec<_>>().join(" or ");
    report.not_proven.extend(purged.iter().map(|(adapter, files)| {
        format!("{files} files of {adapter} that are purged: they are not in {places}, as their certificates say")
    }));
    report
        .not_proven
        .extend(elsewhere.iter().map(|adapter| format!("outputs of {adapter}: none of them is in {places}")));
}
