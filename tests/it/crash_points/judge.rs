//! The verdict: what the archives took against what was sent, and what is left in the home and on the shares.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::traffic::Traffic;
use crate::support::{Archive, Lab, Message, Takes, messages, output_files, sha256_of};

/// What is still to be done, by what it is: empty when the pipeline is at rest and every archive has something of each event.
pub fn waiting(status: &Value, archives: &[Archive], traffic: &Traffic) -> BTreeMap<String, u64> {
    let mut waiting = BTreeMap::new();
    for archive in archives.iter().filter(|archive| is_canonical(archive)) {
        let found: BTreeSet<String> = messages(archive.kept()).into_iter().map(|message| message.event).collect();
        let missing = traffic.ids().filter(|id| !found.contains(*id)).count();
        waiting.insert(format!("events for {}", archive.adapter), missing as u64);
    }
    waiting.insert("staged events".into(), status["intake"]["waiting"].as_u64().unwrap());
    for adapter in status["adapters"].as_array().unwrap() {
        for (state, count) in adapter["batches"].as_object().unwrap() {
            if !matches!(state.as_str(), "purged" | "empty" | "abandoned") {
                waiting.insert(format!("{state} batches of {}", adapter["adapter"]), count.as_u64().unwrap());
            }
        }
    }
    waiting.retain(|_, count| *count > 0);
    waiting
}

/// Everything that is wrong, in words.
pub fn judge(lab: &Lab, status: &Value, archives: &[Archive], traffic: &Traffic) -> Vec<String> {
    let batches = lab.json(&["batch", "list", "--limit", "1000"]);
    let mut wrong = Vec::new();
    for archive in archives {
        let adapter = &archive.adapter;
        let mut say = |what: String| wrong.push(format!("adapter {adapter}: {what}"));
        archive.violations().cloned().for_each(&mut say);
        let content = if is_canonical(archive) { events(archive, traffic) } else { texts(archive, traffic) };
        content.into_iter().for_each(&mut say);
        certificates(lab, &batches, archive).into_iter().for_each(&mut say);
        let left = walk(&lab.pickup(adapter));
        left.iter()
            .filter(|path| !path.ends_with(".inprogress/share"))
            .for_each(|path| say(format!("left: {}", path.display())));
    }
    wrong.extend(home(lab, status, traffic));
    let (code, said) = lab.verify(&[]);
    if code != Some(0) {
        wrong.push(format!("the evidence does not hold: {}", said["findings"]));
    }
    wrong
}

fn is_canonical(archive: &Archive) -> bool {
    archive.adapter != "vantage"
}

/// Each event that makes a message stands once, and each file lies beside it byte for byte.
fn events(archive: &Archive, traffic: &Traffic) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut found: BTreeMap<String, Vec<Message>> = BTreeMap::new();
    let mut completed: BTreeMap<String, Vec<Message>> = BTreeMap::new();
    for message in messages(archive.kept()) {
        // A message that stands once more with its file is no second event.
        match message.completes {
            Some(_) => completed.entry(message.event.clone()).or_default().push(message),
            None => found.entry(message.event.clone()).or_default().push(message),
        }
    }
    for id in traffic.ids() {
        match found.remove(id).unwrap_or_default().as_slice() {
            [] => wrong.push(format!("event {id} is lost")),
            [message] => {
                if let Some(bytes) = traffic.files.get(id) {
                    let again = completed.remove(id).unwrap_or_default();
                    let brought = match (&message.missing, again.as_slice()) {
                        (None, []) => message,
                        (Some(_), [again]) if again.missing.is_none() => again,
                        _ => {
                            wrong.push(format!("event {id} is completed {} times: {message:?}", again.len()));
                            continue;
                        }
                    };
                    let place = archive.kept().join(&brought.content);
                    if fs::read(&place).ok().as_ref() != Some(bytes) {
                        wrong.push(format!("the file of event {id} is not the one sent: {brought:?}"));
                    }
                } else if traffic.texts.get(id).is_some_and(|text| message.exact != text.as_bytes()) {
                    wrong.push(format!("the text of event {id} is not the one sent: {message:?}"));
                }
            }
            many => wrong.push(format!("event {id} stands {} times", many.len())),
        }
    }
    wrong.extend(found.keys().map(|id| format!("event {id} was never sent")));
    wrong.extend(completed.keys().map(|id| format!("event {id} is completed and lacked nothing")));
    wrong
}

/// Each text stands once in the outputs, in the form a stylesheet gave them.
fn texts(archive: &Archive, traffic: &Traffic) -> Vec<String> {
    let outputs: Vec<String> =
        output_files(archive.kept()).iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let times = |text: &str| outputs.iter().map(|output| output.matches(text).count()).sum::<usize>();
    let wrong = traffic.texts.values().map(|text| (text, times(text))).filter(|(_, times)| *times != 1);
    wrong.map(|(text, times)| format!("{text:?} stands {times} times")).collect()
}

/// Each purged batch has a certificate that names exactly the files the archive took, with their digests, and
/// says truly who deleted them; no file was purged that the archive has not taken.
fn certificates(lab: &Lab, batches: &Value, archive: &Archive) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut taken = archive.names();
    let of_the_archive = |batch: &&Value| batch["adapter"] == archive.adapter.as_str();
    for batch in batches.as_array().unwrap().iter().filter(of_the_archive) {
        let (id, state) = (batch["id"].as_i64().unwrap(), batch["state"].as_str().unwrap());
        let path = lab.path(&format!("home/evidence/purge/purge-{id:09}.json"));
        if state != "purged" {
            if path.exists() {
                wrong.push(format!("batch {id} is {state} and has a purge certificate"));
            }
            if state == "abandoned" {
                // Nothing is certified of it; its files stay the archive's.
                taken.retain(|name| !name.contains(&format!("-{id:09}")));
            }
            continue;
        }
        let Some(certificate) = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok())
        else {
            wrong.push(format!("batch {id} is purged without a certificate"));
            continue;
        };
        for file in certificate["files"].as_array().unwrap() {
            let name = file["name"].as_str().unwrap();
            let (is_copy, is_taken) = (file["kind"] == "manifest", taken.remove(name));
            if is_copy {
                // The archive has it, or was slower than the purge: the copies prove nothing of collection.
                if is_taken && file["sha256"] != sha256_of(&archive.kept().join(name)) {
                    wrong.push(format!("batch {id}: the copy {name} has another digest in its certificate"));
                }
                continue;
            }
            if !is_taken {
                wrong.push(format!("batch {id}: {name} is purged and was never taken"));
            } else if file["sha256"] != sha256_of(&archive.kept().join(name)) {
                wrong.push(format!("batch {id}: {name} has another digest in its certificate"));
            }
            let disposal = match archive.takes {
                Takes::Away => "taken-by-archive",
                Takes::ByAcknowledging => "deleted",
            };
            if file["disposal"] != disposal {
                wrong.push(format!("batch {id}: {name} is certified as {}, expected {disposal}", file["disposal"]));
            }
        }
    }
    wrong.extend(taken.iter().map(|name| format!("{name} was taken and is in no certificate")));
    wrong
}

/// What the home holds once everything is done.
fn home(lab: &Lab, status: &Value, traffic: &Traffic) -> Vec<String> {
    let mut wrong = Vec::new();
    // The lock file is no content, and stays.
    let contents = |path: &&PathBuf| !path.ends_with("gate.lock");
    let vault = walk(&lab.path("home/vault"));
    wrong.extend(vault.iter().filter(contents).map(|path| format!("left in the vault: {}", path.display())));
    let temporary = |path: &&PathBuf| path.extension().is_some_and(|ending| ending == "tmp");
    wrong.extend(walk(&lab.path("home")).iter().filter(temporary).map(|path| format!("left: {}", path.display())));
    let incoming = walk(&lab.path("home/incoming"));
    for path in &incoming {
        let done = path.parent().is_some_and(|parent| parent.ends_with("done") || parent.ends_with("refused"));
        if !done {
            wrong.push(format!("left in the spool directory: {}", path.display()));
        }
    }
    let has = |name: &str| incoming.iter().any(|path| path.ends_with(Path::new("refused").join(name)));
    if (has("refused.ndjson"), has("refused.ndjson.reason")) != (traffic.refused, traffic.refused) {
        wrong.push(format!("the refused spool file and its reason are not beside each other: {incoming:?}"));
    }
    let quarantined = &status["intake"]["quarantined"];
    if *quarantined != traffic.quarantined {
        wrong.push(format!("{quarantined} items wait in quarantine, expected {}", traffic.quarantined));
    }
    let alerts = &status["alerts"];
    if alerts.as_array().is_none_or(|alerts| !alerts.is_empty()) {
        wrong.push(format!("alerts are still open: {alerts}"));
    }
    wrong
}

fn walk(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(walk(&path)) } else { found.push(path) }
    }
    found
}
