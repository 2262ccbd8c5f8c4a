//! Outputs against manifests: a pickup share, or a copy of what the archive took.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::manifest::{ManifestBody, Output};
use super::batches::{Batches, THREADS};
use super::strays::walk;
use super::{Finding, Report, is_gone};
use crate::support::durable::{self, PathError};

/// What the name of an acknowledgement has after that of its file.
const ACKNOWLEDGEMENT: &str = ".ack";

/// Compares every file in `place` with what the manifests say.
pub(super) fn check(place: &Path, batches: &Batches, report: &mut Report) -> Result<(), PathError> {
    let mut named: HashMap<&str, (u64, &ManifestBody, &Output)> = HashMap::new();
    for (entry, body) in batches.manifests() {
        named.extend(body.outputs.iter().map(|output| (output.name.as_str(), (*entry, body, output))));
    }
    let mut here: Vec<(PathBuf, u64, &Output)> = Vec::new();
    let (mut adapters, mut found) = (BTreeSet::new(), BTreeSet::new());
    for path in walk(place)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_hidden = path
            .strip_prefix(place)
            .is_ok_and(|inside| inside.iter().any(|part| part.to_string_lossy().starts_with('.')));
        if is_hidden || name.strip_suffix(ACKNOWLEDGEMENT).is_some_and(|file| named.contains_key(file)) {
            continue;
        }
        match named.get(name.as_str()) {
            Some((entry, body, output)) => {
                adapters.insert(body.adapter.as_str());
                found.insert(output.name.as_str());
                here.push((path, *entry, output));
            }
            None => report.findings.push(Finding::new(path.display().to_string(), "is in no manifest")),
        }
    }
    compare(&here, report)?;
    missing(place, batches, &adapters, &found, report);
    report.checked.outputs += here.len() as u64;
    Ok(())
}

fn compare(here: &[(PathBuf, u64, &Output)], report: &mut Report) -> Result<(), PathError> {
    let (next, gathered) = (AtomicUsize::new(0), Mutex::new((Vec::new(), Ok(()))));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some((path, entry, output)) = here.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let problem = match durable::digest_file(path) {
                        Ok((size, sha256)) if (size, sha256) == (output.size, output.sha256) => continue,
                        Ok((size, _)) if size < output.size => Ok("is shorter than its manifest says"),
                        Ok((size, _)) if size > output.size => Ok("is longer than its manifest says"),
                        Ok(_) => Ok("is not what its manifest names: it was changed"),
                        // Taken by the archive in this moment.
                        Err(error) if is_gone(&error.source) => Ok("is gone while it was looked at"),
                        Err(error) => Err(error),
                    };
                    let mut gathered = gathered.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    match problem {
                        Ok(problem) => {
                            gathered.0.push(Finding::new(path.display().to_string(), problem).of_entry(*entry));
                        }
                        Err(error) => gathered.1 = Err(error),
                    }
                }
            });
        }
    });
    let (findings, outcome) = gathered.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    report.findings.extend(findings);
    report.checked.bytes += here.iter().map(|(_, _, output)| output.size).sum::<u64>();
    outcome
}

/// Tells what is not here of the adapters of which something is.
fn missing(place: &Path, batches: &Batches, adapters: &BTreeSet<&str>, found: &BTreeSet<&str>, report: &mut Report) {
    let mut purged: BTreeMap<&str, u64> = BTreeMap::new();
    let mut elsewhere = BTreeSet::new();
    for (entry, body) in batches.manifests() {
        for output in body.outputs.iter().filter(|output| !found.contains(output.name.as_str())) {
            if !adapters.contains(body.adapter.as_str()) {
                elsewhere.insert(body.adapter.as_str());
            } else if batches.is_purged(body.batch) {
                *purged.entry(&body.adapter).or_default() += 1;
            } else {
                let path = place.join(&output.name).display().to_string();
                report.findings.push(Finding::new(path, "is missing, and its batch is not purged").of_entry(*entry));
            }
        }
    }
    let place = place.display();
    report.not_proven.extend(purged.iter().map(|(adapter, files)| {
        format!("{files} files of {adapter} that are purged: they are not in {place}, as their certificates say")
    }));
    report
        .not_proven
        .extend(elsewhere.iter().map(|adapter| format!("outputs of {adapter}: none of them is in {place}")));
}
