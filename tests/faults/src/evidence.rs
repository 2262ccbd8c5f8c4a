//! The audit of evidence: its files are read here with nothing of the product's, and its own verdicts are asked for beside it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::checker::{Charge, Finding};
use crate::error::{Outcome, Trouble};
use crate::event::{Key, digest};
use crate::ledger::Entry;
use crate::site::Site;

/// Bytes of a line of an event list, as docs/evidence.md has it.
const LINE: usize = 186;

/// Which lists, by the number of their entry, have a line with a key digest and a content digest.
type Lines = BTreeMap<(String, String), Vec<u64>>;

/// What the event lists of a directory say, by adapter and key digest. Lists of supplements have lines of others again and are left out.
#[derive(Debug, Default)]
pub struct Lists(BTreeMap<String, Lines>);

/// What every entry of the log says first.
#[derive(Deserialize)]
struct Preface {
    format: String,
    entry: u64,
}

/// A manifest, as far as it is needed.
#[derive(Deserialize)]
struct Manifest {
    adapter: String,
    supplement_to: Option<i64>,
    events: Events,
}

#[derive(Deserialize)]
struct Events {
    count: u64,
}

impl Lists {
    /// Reads the log and the lists of a directory.
    ///
    /// # Errors
    /// Words on a file that is not there or not what the documentation says.
    pub fn read(dir: &Path) -> Result<Self, String> {
        let mut lists = Self::default();
        for path in files(&dir.join("log"), "json")? {
            let bytes = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            let unread = |error| format!("{}: {error}", path.display());
            let Preface { format, entry } = serde_json::from_slice(&bytes).map_err(unread)?;
            if format != "chancery-manifest-1" {
                continue;
            }
            let Manifest { adapter, supplement_to, events } = serde_json::from_slice(&bytes).map_err(unread)?;
            if supplement_to.is_some() || events.count == 0 {
                continue;
            }
            let name = format!("{:05}/{entry:09}.events", entry / 10_000);
            add(&dir.join("lists").join(name), entry, events.count, lists.0.entry(adapter).or_default())?;
        }
        Ok(lists)
    }

    /// Compares the lists with what was published. `finished`: whether everything had time to be listed.
    pub fn findings(&self, entries: &[Entry], adapters: &[&str], finished: bool) -> Vec<Finding> {
        // A key that came with two contents is two events.
        let mut bodies: BTreeMap<(String, String), (&Key, bool)> = BTreeMap::new();
        for entry in entries {
            let Some(told) = &entry.told else { continue };
            let body = bodies.entry((key_digest(&told.key), entry.sha256.clone())).or_insert((&told.key, false));
            body.1 |= entry.confirmed.is_some();
        }
        let mut found = Vec::new();
        let mut wrong = |detail: String| found.push(Finding { charge: Charge::Unproven, detail });
        let none = Lines::new();
        for adapter in adapters {
            let lines = self.0.get(*adapter).unwrap_or(&none);
            for (body, (Key { source, id }, confirmed)) in &bodies {
                match lines.get(body).map_or(&[][..], Vec::as_slice) {
                    [] if *confirmed && finished => wrong(format!("{adapter}: {source} {id} is in no event list")),
                    [] | [_] => {}
                    several => {
                        wrong(format!("{adapter}: {source} {id} is {} times in lists {several:?}", several.len()))
                    }
                }
            }
            for ((name, content), lists) in lines.iter().filter(|(body, _)| !bodies.contains_key(*body)) {
                wrong(format!("{adapter}: lists {lists:?} have {name} {content}, which nobody published"));
            }
        }
        found
    }

    /// How many lines were read.
    pub fn lines(&self) -> usize {
        self.0.values().flat_map(BTreeMap::values).map(Vec::len).sum()
    }
}

fn add(path: &Path, entry: u64, count: u64, lines: &mut Lines) -> Result<(), String> {
    let bytes = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    if bytes.len() as u64 != count * LINE as u64 {
        return Err(format!("{}: {} bytes, and its manifest counts {count} events", path.display(), bytes.len()));
    }
    for line in bytes.chunks_exact(LINE) {
        let text = |range| String::from_utf8_lossy(&line[range]).into_owned();
        lines.entry((text(0..64), text(65..129))).or_default().push(entry);
    }
    Ok(())
}

/// The digest by which a list names an event.
fn key_digest(key: &Key) -> String {
    digest(format!("{}\n{}", key.source, key.id).as_bytes())
}

/// Files with an ending in a directory and the directories in it; none if it is not there.
fn files(dir: &Path, ending: &str) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    if !dir.exists() {
        return Ok(found);
    }
    for entry in fs::read_dir(dir).map_err(|error| format!("{}: {error}", dir.display()))? {
        let path = entry.map_err(|error| format!("{}: {error}", dir.display()))?.path();
        if path.is_dir() {
            found.extend(files(&path, ending)?);
        } else if path.extension().is_some_and(|found| found == ending) {
            found.push(path);
        }
    }
    Ok(found)
}

#[derive(Deserialize)]
struct Verdict {
    holds: bool,
    findings: Vec<serde_json::Value>,
    not_proven: Vec<String>,
}

#[derive(Deserialize)]
struct Balance {
    imbalances: Vec<serde_json::Value>,
}

/// What the product itself says of its evidence and its balance once everything is at rest. `harmed`: whether a neighbour changed
/// files on the share, which then need not balance.
///
/// # Errors
/// When a command cannot be run, or does not say what is expected of it.
pub async fn verdicts(site: &Site, harmed: bool) -> Outcome<Vec<Finding>> {
    let mut found = Vec::new();
    let mut wrong = |detail: String| found.push(Finding { charge: Charge::Unproven, detail });
    let dir = site.evidence();
    let said = site.ask(&["--format", "json", "verify", &dir.to_string_lossy()]).await?;
    let verdict: Verdict = read("verify", &said)?;
    if !verdict.holds || !verdict.findings.is_empty() {
        wrong(format!("verify finds {}", serde_json::Value::from(verdict.findings)));
    }
    if let Some(unsigned) = verdict.not_proven.iter().find(|text| text.contains("nothing is signed")) {
        wrong(format!("verify: {unsigned}"));
    }
    let said = site.ask(&["--format", "json", "reconcile"]).await?;
    let mut balance: Balance = read("reconcile", &said)?;
    balance.imbalances.retain(|imbalance| !(harmed && imbalance["hop"] == "share"));
    if !balance.imbalances.is_empty() {
        wrong(format!("reconcile finds {}", serde_json::Value::from(balance.imbalances)));
    }
    Ok(found)
}

fn read<T: serde::de::DeserializeOwned>(command: &str, said: &[u8]) -> Outcome<T> {
    serde_json::from_slice(said).map_err(|error| Trouble::Said(format!("{command}: {error}")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed test should panic")]
mod tests {
    use super::*;
    use crate::event::Told;
    use crate::ledger::Nature;

    const ADAPTER: &str = "plain";

    fn body(id: &str, text: &str) -> String {
        format!(r#"{{"specversion":"1.0","type":"chat.message","source":"/s","id":"{id}","data":{{"text":"{text}"}}}}"#)
    }

    fn entry(id: &str, text: &str) -> Entry {
        let key = Key { source: "/s".into(), id: id.into() };
        let body = body(id, text).into_bytes();
        Entry {
            nature: Nature::Ordinary,
            sha256: digest(&body),
            body,
            told: Some(Told {
                key,
                kind: "chat.message".into(),
                room: "/r".into(),
                facts: None,
                by_path: false,
                acts: Vec::new(),
            }),
            confirmed: Some(std::time::Instant::now()),
        }
    }

    fn lists(events: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, manifest) in [(0, None), (1, Some(1))] {
            let (log, lists) = (dir.path().join("log/00000"), dir.path().join("lists/00000"));
            fs::create_dir_all(&log).unwrap();
            fs::create_dir_all(&lists).unwrap();
            let count = events.len();
            let text = format!(
                r#"{{"format":"chancery-manifest-1","entry":{name},"adapter":"{ADAPTER}","supplement_to":{},"events":{{"count":{count}}}}}"#,
                manifest.map_or("null".to_owned(), |number: i64| number.to_string())
            );
            fs::write(log.join(format!("{name:09}.json")), text).unwrap();
            let lines: String = events
                .iter()
                .map(|(id, text)| {
                    let key = key_digest(&Key { source: "/s".into(), id: (*id).into() });
                    format!("{key} {} {:-<20} {:<9} {:<24}\n", digest(body(id, text).as_bytes()), "", "written", "chat")
                })
                .collect();
            fs::write(lists.join(format!("{name:09}.events")), lines).unwrap();
        }
        dir
    }

    fn judged(published: &[(&str, &str)], listed: &[(&str, &str)], finished: bool) -> Vec<String> {
        let entries: Vec<_> = published.iter().map(|(id, text)| entry(id, text)).collect();
        let dir = lists(listed);
        let lists = Lists::read(dir.path()).unwrap();
        assert_eq!(lists.lines(), listed.len(), "lines of the supplement do not count");
        lists.findings(&entries, &[ADAPTER], finished).into_iter().map(|finding| finding.detail).collect()
    }

    #[test]
    fn each_event_is_in_one_list_with_its_own_content() {
        let two = [("a", "1"), ("b", "2")];
        assert_eq!(judged(&two, &two, true), [""; 0]);
        assert_eq!(judged(&two, &two[..1], true), ["plain: /s b is in no event list"]);
        assert_eq!(judged(&two, &two[..1], false), [""; 0]);
        let other = judged(&two, &[("a", "1"), ("b", "3")], true);
        assert!(other[0].contains("/s b is in no") && other[1].contains("which nobody published"), "{other:?}");
        assert_eq!(judged(&two[..1], &[("a", "1"), ("a", "1")], true), ["plain: /s a is 2 times in lists [0, 0]"]);
        let conflict = [("a", "1"), ("a", "2")];
        assert_eq!(judged(&conflict, &conflict, true), [""; 0], "a key with two contents");
        assert_eq!(judged(&conflict, &conflict[..1], true), ["plain: /s a is in no event list"]);
        assert_eq!(judged(&two[..1], &two, true).len(), 1, "what nobody published");
    }

    #[test]
    fn a_list_that_is_gone_or_cut_off_is_told() {
        let dir = lists(&[("a", "1")]);
        let list = dir.path().join("lists/00000/000000000.events");
        fs::write(&list, "short").unwrap();
        assert!(Lists::read(dir.path()).unwrap_err().contains("its manifest counts 1 events"));
        fs::remove_file(&list).unwrap();
        assert!(Lists::read(dir.path()).is_err());
    }
}
