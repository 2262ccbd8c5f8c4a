//! Random changes to a directory that the product wrote: each is found, and the place that is named is the one.
//!
//! `CHANCERY_TAMPER_ROUNDS` makes more of them, `CHANCERY_TAMPER_SEED` others.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use chancery::evidence::verify::{Finding, Options, verify};
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::{evidence, worked};
use crate::support::Store;

/// Rounds when nobody asks for more.
const ROUNDS: u64 = 400;
/// Bytes of a line of an event list, and of the list of entries.
const LINES: [(&str, usize); 2] = [("events", 186), ("SHA256SUMS", 87)];

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().unwrap())
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

fn findings(dir: &Path) -> Vec<Finding> {
    verify(&Options { dir: dir.to_owned(), ..Options::default() }).unwrap().findings
}

/// A change: what was done, to which files, and how they were before.
struct Change {
    what: &'static str,
    before: BTreeMap<PathBuf, Option<Vec<u8>>>,
}

struct Tamperer<'a> {
    dir: &'a Path,
    dice: ChaCha8Rng,
    files: Vec<PathBuf>,
    /// A key that is none of the log's.
    stranger: PathBuf,
}

impl Tamperer<'_> {
    fn below(&mut self, end: usize) -> usize {
        self.dice.random_range(0..end)
    }

    fn any(&mut self) -> PathBuf {
        let place = self.below(self.files.len());
        self.files[place].clone()
    }

    /// Any file whose path holds `part`.
    fn any_of(&mut self, part: &str) -> PathBuf {
        let fitting: Vec<_> = self.files.iter().filter(|file| file.to_str().unwrap().contains(part)).cloned().collect();
        let place = self.below(fitting.len());
        fitting[place].clone()
    }

    fn change(&mut self) -> Change {
        loop {
            let kind = self.below(11);
            let mut change = Change { what: "", before: BTreeMap::new() };
            match kind {
                0 => change.rewrite("a bit is flipped", self.any(), |bytes| {
                    let at = self.below(bytes.len());
                    bytes[at] ^= 1 << self.below(8);
                }),
                1 => change.rewrite("the end is cut off", self.any(), |bytes| bytes.truncate(self.below(bytes.len()))),
                2 => change.rewrite("bytes are inserted", self.any(), |bytes| {
                    let (at, more) = (self.below(bytes.len() + 1), self.dice.next_u32().to_be_bytes());
                    let count = 1 + self.below(4);
                    bytes.splice(at..at, more.into_iter().take(count));
                }),
                3 => change.rewrite("bytes are deleted", self.any(), |bytes| {
                    let at = self.below(bytes.len());
                    let end = (at + 1 + self.below(100)).min(bytes.len());
                    bytes.drain(at..end);
                }),
                4 => change.remove("a file is removed", self.any()),
                5 => {
                    let (from, number) = (self.any(), 100 + self.below(900));
                    let name = from.file_name().unwrap().to_str().unwrap().to_owned();
                    let digits: String = name.chars().filter(char::is_ascii_digit).collect();
                    let other = name.replace(&digits, &format!("{number:09}"));
                    let to = from.with_file_name(if other == name { format!("{name}.old") } else { other });
                    change.before.insert(to.clone(), None);
                    fs::copy(from, to).unwrap();
                    change.what = "a file is added";
                }
                6 => {
                    let one = self.any();
                    let ending = one.extension().map(|ending| ending.to_str().unwrap().to_owned()).unwrap_or_default();
                    let other = self.any_of(&ending);
                    let (first, second) = (fs::read(&one).unwrap(), fs::read(&other).unwrap());
                    change.rewrite("two files are exchanged", one, |bytes| *bytes = second);
                    change.rewrite("two files are exchanged", other, |bytes| *bytes = first);
                }
                7 | 8 => {
                    let (part, length) = LINES[self.below(2)];
                    change.rewrite("lines are exchanged or removed", self.any_of(part), |bytes| {
                        let lines = bytes.len() / length;
                        let (one, other) = (self.below(lines), self.below(lines));
                        if kind == 7 {
                            for at in 0..length {
                                bytes.swap(one * length + at, other * length + at);
                            }
                        } else {
                            bytes.drain(one * length..(one + 1) * length);
                        }
                    });
                }
                9 => {
                    let entry = self.any_of(".json.sig");
                    let signed = entry.with_extension("");
                    let signature = self.sign(&signed);
                    change.rewrite("a signature of another key", entry, |bytes| *bytes = signature);
                }
                _ => self.remove_batch(&mut change),
            }
            if change.happened() {
                return change;
            }
            change.undo();
        }
    }

    /// A whole batch goes: its entry, its signature and its list; sometimes its line, too.
    fn remove_batch(&mut self, change: &mut Change) {
        let list = self.any_of(".events");
        let name = list.file_stem().unwrap().to_str().unwrap().to_owned();
        change.remove("a whole batch is removed", list);
        for ending in ["json", "json.sig"] {
            change.remove("a whole batch is removed", self.dir.join(format!("log/00000/{name}.{ending}")));
        }
        if self.dice.random() {
            change.rewrite("a whole batch is removed", self.dir.join("log/SHA256SUMS"), |bytes| {
                let text = String::from_utf8(bytes.clone()).unwrap();
                let kept: Vec<_> = text.lines().filter(|line| !line.contains(&name)).collect();
                *bytes = (kept.join("\n") + "\n").into_bytes();
            });
        }
    }

    fn sign(&self, file: &Path) -> Vec<u8> {
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-Y", "sign", "-n", "chancery-evidence", "-f"]).arg(&self.stranger);
        let output = command.stdin(fs::File::open(file).unwrap()).output().unwrap();
        assert!(output.status.success());
        output.stdout
    }
}

impl Change {
    fn remember(&mut self, file: &Path) -> Vec<u8> {
        let bytes = fs::read(file).unwrap();
        self.before.entry(file.to_owned()).or_insert_with(|| Some(bytes.clone()));
        bytes
    }

    fn rewrite(&mut self, what: &'static str, file: PathBuf, how: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = self.remember(&file);
        how(&mut bytes);
        fs::write(file, bytes).unwrap();
        self.what = what;
    }

    fn remove(&mut self, what: &'static str, file: PathBuf) {
        self.remember(&file);
        fs::remove_file(file).unwrap();
        self.what = what;
    }

    /// Whether anything is other than before: exchanging equal lines changes nothing.
    fn happened(&self) -> bool {
        self.before.iter().any(|(file, before)| fs::read(file).ok() != *before)
    }

    fn undo(&self) {
        for (file, before) in &self.before {
            match before {
                Some(bytes) => fs::write(file, bytes).unwrap(),
                None => fs::remove_file(file).unwrap(),
            }
        }
    }

    /// Whether a finding names a file that was changed. The newest head that is gone cannot be named: it is the
    /// entries that nothing covers any more.
    fn is_named(&self, dir: &Path, findings: &[Finding]) -> bool {
        self.before.keys().any(|file| {
            let path = file.strip_prefix(dir).unwrap().to_str().unwrap();
            let is_head = path.starts_with("heads/");
            findings.iter().any(|finding| finding.file == path || is_head && finding.file == "heads")
        })
    }
}

#[test]
fn every_change_is_found_and_its_place_named() {
    let (lab, _) = worked(Store::Sqlite);
    lab.ok(&["evidence", "rotate", "--reason", "a test"]);
    lab.ok(&["run", "--once"]);
    let dir = evidence(&lab);
    assert_eq!(findings(&dir), []);
    let stranger = lab.path("stranger");
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&stranger).status();
    assert!(made.unwrap().success());
    let (seed, rounds) = (number("CHANCERY_TAMPER_SEED", 1), number("CHANCERY_TAMPER_ROUNDS", ROUNDS));
    let mut tamperer = Tamperer { dir: &dir, dice: ChaCha8Rng::seed_from_u64(seed), files: files(&dir), stranger };
    let mut kinds: BTreeMap<&str, u64> = BTreeMap::new();
    for round in 0..rounds {
        let change = tamperer.change();
        let found = findings(&dir);
        let files: Vec<_> = change.before.keys().collect();
        assert!(!found.is_empty(), "round {round} of seed {seed}: {} in {files:?} is not found", change.what);
        assert!(
            change.is_named(&dir, &found),
            "round {round} of seed {seed}: {} in {files:?}; named instead: {found:?}",
            change.what
        );
        change.undo();
        *kinds.entry(change.what).or_default() += 1;
    }
    assert_eq!(findings(&dir), [], "every change was undone");
    println!("{rounds} changes found and named: {kinds:?}");
}

/// What no directory can tell of itself: that it is an earlier state of itself. A head that was kept elsewhere does.
#[test]
fn a_log_that_was_put_back_is_found_by_a_head_that_was_kept() {
    let (lab, _) = worked(Store::Sqlite);
    let dir = evidence(&lab);
    let earlier = lab.path("earlier");
    let copied = Command::new("cp").arg("-r").arg(&dir).arg(&earlier).status();
    assert!(copied.unwrap().success());
    lab.ok(&["run", "--once"]);
    let witness = lab.path("witness");
    fs::copy(dir.join(super::newest_head(&dir)), &witness).unwrap();
    let check = |dir: &Path, witness: &Path| {
        let witnesses = vec![(witness.to_owned(), fs::read_to_string(witness).unwrap())];
        verify(&Options { dir: dir.to_owned(), witnesses, ..Options::default() }).unwrap()
    };
    assert_eq!(check(&dir, &witness).findings, []);
    assert_eq!(check(&dir, &earlier.join(super::newest_head(&earlier))).findings, []);
    let alone = verify(&Options { dir: earlier.clone(), ..Options::default() }).unwrap();
    assert_eq!(alone.findings, []);
    assert!(alone.not_proven.iter().any(|line| line.contains("cut off at the end")), "{:?}", alone.not_proven);
    let found = check(&earlier, &witness).findings;
    assert!(found[0].problem.contains("put back to an earlier state"), "{found:?}");
}

/// Outputs are compared, too, and each that is wrong is named.
#[test]
fn changed_missing_and_foreign_outputs_are_named() {
    let (lab, _) = worked(Store::Sqlite);
    let share = lab.pickup("rooms");
    let check = || {
        let (_, said) = lab.verify(&["--outputs", share.to_str().unwrap()]);
        said["findings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|finding| finding["file"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert!(check().is_empty());
    let outputs = crate::support::output_files(&share);
    let shown = |file: &Path| file.to_str().unwrap().to_owned();
    let bytes = fs::read(&outputs[0]).unwrap();
    let mut changed = bytes.clone();
    changed[bytes.len() / 2] ^= 1;
    fs::write(&outputs[0], changed).unwrap();
    assert_eq!(check(), [shown(&outputs[0])]);
    fs::write(&outputs[0], &bytes[1..]).unwrap();
    assert_eq!(check(), [shown(&outputs[0])]);
    fs::write(&outputs[0], &bytes).unwrap();
    let foreign = share.join("foreign.xml");
    fs::write(&foreign, "<x/>").unwrap();
    assert_eq!(check(), [shown(&foreign)]);
    fs::remove_file(&foreign).unwrap();
    fs::remove_file(&outputs[1]).unwrap();
    assert_eq!(check(), [shown(&outputs[1])]);
}
