//! Files that nothing accounts for, and purge certificates, which lie beside the log once more.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::super::entry::{EntryKind, Preface};
use super::super::layout::{HEADS, LISTS, LOG, PURGE, SIGNATURE, SIGNERS, STAMP, SUMS, entry_path, list_path};
use super::batches::Batches;
use super::heads::Heads;
use super::log::Log;
use super::{Finding, Report, is_gone, read, shown};
use crate::support::durable::{PathError, WithPath as _};

/// Looks at every name in the directory.
pub(super) fn check(
    dir: &Path,
    log: &Log,
    heads: &Heads,
    batches: &Batches,
    report: &mut Report,
) -> Result<(), PathError> {
    let expected = expected(log, batches);
    for path in walk(dir)? {
        let inside = shown(dir, &path);
        let part = inside.split('/').next().unwrap_or_default();
        let accounted = match part {
            PURGE => {
                certificate(dir, &inside, log, report)?;
                true
            }
            // What is wrong with a head, or with its signature, was told; one of no head is a stray.
            HEADS => {
                inside.ends_with(".head")
                    || inside.strip_suffix(SIGNATURE).is_some_and(|head| heads.has(head) || dir.join(head).exists())
                    || inside.strip_suffix(STAMP).is_some_and(|head| heads.has(head))
            }
            _ => expected.contains(&inside),
        };
        if !accounted {
            let problem = stray(part);
            report.findings.push(Finding::new(inside, problem));
        }
    }
    for (number, entry) in log.entries() {
        let Some(name) = entry.preface.as_ref().and_then(|preface| certificate_name(preface, &entry.bytes)) else {
            continue;
        };
        if !dir.join(&name).is_file() {
            let problem = format!("is missing; {} has the same bytes", entry_path(number));
            report.findings.push(Finding::new(name, problem).of_entry(number));
        }
    }
    Ok(())
}

fn stray(part: &str) -> &'static str {
    match part {
        LOG => "is not accounted for: no line of SHA256SUMS names it, or nothing is signed there",
        LISTS => "is not accounted for: no manifest names it",
        HEADS => "is not accounted for: it belongs to no head",
        _ => "is not accounted for: it does not belong to an evidence directory",
    }
}

fn expected(log: &Log, batches: &Batches) -> HashSet<String> {
    let first_key = log.keys().first().map_or(u64::MAX, |key| key.entry);
    let entries = (0..log.size()).flat_map(|number| {
        let entry = entry_path(number);
        let signature = (number >= first_key).then(|| format!("{entry}{SIGNATURE}"));
        std::iter::once(entry).chain(signature)
    });
    let lists =
        batches.manifests().iter().filter(|(_, body)| body.events.count > 0).map(|(entry, _)| list_path(*entry));
    let others = [format!("{LOG}/{SUMS}"), SIGNERS.to_owned()];
    entries.chain(lists).chain(others).collect()
}

/// Where the purge put the certificate of an entry.
fn certificate_name(preface: &Preface, bytes: &[u8]) -> Option<String> {
    preface.kind().filter(|kind| *kind == EntryKind::Purge)?;
    let batch = serde_json::from_slice::<serde_json::Value>(bytes).ok()?["batch"].as_i64()?;
    Some(format!("{PURGE}/purge-{batch:09}.json"))
}

/// A certificate is the entry it says it is. One without an entry was written before there was a log.
fn certificate(dir: &Path, inside: &str, log: &Log, report: &mut Report) -> Result<(), PathError> {
    let Some(bytes) = read(dir, inside, report)? else { return Ok(()) };
    let Ok(value) = serde_json::from_slice::<serde_json::Value>(&bytes) else {
        report.findings.push(Finding::new(inside, "cannot be read as a purge certificate"));
        return Ok(());
    };
    let named = log.entries().find(|(_, entry)| {
        entry.preface.as_ref().is_some_and(|preface| certificate_name(preface, &entry.bytes).as_deref() == Some(inside))
    });
    match (value["entry"].as_u64(), named) {
        (_, Some((_, entry))) if entry.bytes == bytes => {}
        (_, Some((number, _))) => {
            let problem = format!("is not what {} says: it was changed", entry_path(number));
            report.findings.push(Finding::new(inside, problem).of_entry(number));
        }
        (Some(number), None) if log.get(number).is_none() => {
            let problem = format!(
                "is entry {number} of a log that has {}: entries are missing at its end, or about to be written",
                log.size()
            );
            report.findings.push(Finding::new(inside, problem).of_entry(number).at_the_end());
        }
        (Some(number), None) => {
            let problem = format!("says that it is entry {number}, which is another");
            report.findings.push(Finding::new(inside, problem).of_entry(number));
        }
        (None, None) => report
            .not_proven
            .push(format!("{inside}: it is no entry of the log; earlier versions wrote such certificates")),
    }
    Ok(())
}

/// Every file below a directory.
pub(super) fn walk(dir: &Path) -> Result<Vec<PathBuf>, PathError> {
    let (mut found, mut waiting) = (Vec::new(), vec![dir.to_owned()]);
    while let Some(dir) = waiting.pop() {
        let entries = match std::fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(error) if is_gone(&error) => continue,
            Err(error) => return Err(error).at("list", &dir),
        };
        for entry in entries {
            let entry = entry.at("list", &dir)?;
            let is_dir = entry.file_type().at("look at", &entry.path())?.is_dir();
            if is_dir { waiting.push(entry.path()) } else { found.push(entry.path()) }
        }
    }
    found.sort();
    Ok(found)
}
