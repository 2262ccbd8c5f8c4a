//! Signed heads: each binds the entries before it, and names the head before itself.

use std::path::{Path, PathBuf};

use super::super::NAMESPACE;
use super::super::head::Head;
use super::super::layout::{HEADS, SIGNATURE, head_path};
use super::log::Log;
use super::{Finding, Report, read, shown};
use crate::support::durable::{PathError, WithPath as _};

/// The heads of a directory, smallest first.
pub(super) struct Heads {
    heads: Vec<Head>,
}

impl Heads {
    /// Reads and checks all heads.
    pub(super) fn check(dir: &Path, log: &Log, report: &mut Report) -> Result<Self, PathError> {
        let mut heads = Vec::new();
        for path in paths(dir)? {
            let inside = shown(dir, &path);
            let Some(bytes) = read(dir, &inside, report)? else { continue };
            let head =
                String::from_utf8(bytes).map_err(|_| "is no text".to_owned()).and_then(|text| Head::parse(&text));
            match head {
                Ok(head) if head_path(head.size) == inside && head.size > 0 => heads.push(head),
                Ok(head) => report
                    .findings
                    .push(Finding::new(inside, format!("is the head of {} entries, under another's name", head.size))),
                Err(problem) => {
                    report.findings.push(Finding::new(inside, format!("cannot be read as a head: {problem}")))
                }
            }
        }
        heads.sort_by_key(|head| head.size);
        let checked = Self { heads };
        checked.signatures(dir, log, report)?;
        checked.roots(log, report);
        checked.order(log, report);
        report.checked.heads = checked.heads.len() as u64;
        Ok(checked)
    }

    pub(super) fn all(&self) -> &[Head] {
        &self.heads
    }

    pub(super) fn newest(&self) -> Option<&Head> {
        self.heads.last()
    }

    pub(super) fn has(&self, inside: &str) -> bool {
        self.heads.iter().any(|head| head_path(head.size) == inside)
    }

    fn signatures(&self, dir: &Path, log: &Log, report: &mut Report) -> Result<(), PathError> {
        let roots = log.roots(self.heads.iter().map(|head| head.size));
        let mut before = None;
        for (head, root) in self.heads.iter().zip(roots) {
            let path = head_path(head.size);
            let signature = format!("{path}{SIGNATURE}");
            // What a head says follows from the log; so it can be told which of the two was changed.
            let as_written =
                root == Some(head.root) && head.previous == before && log.recorded_at(head.size) == Some(&*head.at);
            before = Some(head.size);
            report.checked.signatures += 1;
            let Some(text) = read(dir, &signature, report)? else {
                report.findings.push(Finding::new(signature, "is missing"));
                continue;
            };
            let Some(key) = log.head_key(&head.key, head.size) else {
                let problem = format!("names {} as its key, which the log does not name before it", head.key);
                report.findings.push(Finding::new(path, problem));
                continue;
            };
            let held = key.verify(NAMESPACE, head.to_string().as_bytes(), &String::from_utf8_lossy(&text));
            if let Err(error) = held {
                let (file, problem) = if as_written {
                    (signature, format!("does not hold: {error}; the head is what the log says"))
                } else {
                    (path, format!("is not what was signed: {error}"))
                };
                report.findings.push(Finding::new(file, problem));
            }
        }
        Ok(())
    }

    /// Each root is that of the entries. Of the heads that contradict them only the first is told: those after it
    /// cannot but follow.
    fn roots(&self, log: &Log, report: &mut Report) {
        let mut sound = 0;
        let roots = log.roots(self.heads.iter().map(|head| head.size));
        for (head, root) in self.heads.iter().zip(roots) {
            let problem = match root {
                Some(root) if root == head.root => {
                    sound = head.size;
                    continue;
                }
                Some(_) => format!("the entries {sound} to {} are not those that it was signed over", head.size - 1),
                None => format!(
                    "covers {} entries, and the log has {}: entries are missing at its end",
                    head.size,
                    log.size()
                ),
            };
            report.findings.push(Finding::new(head_path(head.size), problem));
            return;
        }
    }

    /// No head is missing: each names the one before, and the newest covers the whole log.
    fn order(&self, log: &Log, report: &mut Report) {
        let mut before = None;
        for head in &self.heads {
            if head.previous != before
                && let Some(previous) = head.previous
            {
                let problem = format!("is missing: {} names it as the head before", head_path(head.size));
                report.findings.push(Finding::new(head_path(previous), problem));
            } else if head.previous != before {
                report.findings.push(Finding::new(head_path(head.size), "says that it is the first head, and is not"));
            }
            before = Some(head.size);
        }
        let (covered, size) = (before.unwrap_or_default(), log.size());
        if !log.keys().is_empty() && covered < size {
            let problem = format!(
                "no signed head covers the entries {covered} to {}: the newest is missing, or is about to be written",
                size - 1
            );
            report.findings.push(Finding::new(HEADS, problem).at_the_end());
        }
    }

    /// The log continues what heads said that were kept elsewhere.
    pub(super) fn witnesses(&self, witnesses: &[(PathBuf, String)], log: &Log, report: &mut Report) {
        for (path, text) in witnesses {
            let file = path.display().to_string();
            let head = match Head::parse(text) {
                Ok(head) => head,
                Err(problem) => {
                    report.findings.push(Finding::new(file, format!("cannot be read as a head: {problem}")));
                    continue;
                }
            };
            match log.roots([head.size]).first() {
                Some(Some(root)) if *root == head.root => {
                    report.proven.push(format!("the log continues the {} entries of {file}", head.size));
                }
                Some(Some(_)) => {
                    let problem = format!("the first {} entries are not those that it was signed over", head.size);
                    report.findings.push(Finding::new(file, problem));
                }
                _ => {
                    let problem = format!(
                        "the log had {} entries when it was signed, and has {}: it was put back to an earlier state",
                        head.size,
                        log.size()
                    );
                    report.findings.push(Finding::new(file, problem));
                }
            }
        }
    }
}

fn paths(dir: &Path) -> Result<Vec<PathBuf>, PathError> {
    let heads = dir.join(HEADS);
    let names = match std::fs::read_dir(&heads) {
        Ok(names) => names,
        Err(error) if super::is_gone(&error) => return Ok(Vec::new()),
        Err(error) => return Err(error).at("list", &heads),
    };
    let mut paths = Vec::new();
    for name in names {
        let path = name.at("list", &heads)?.path();
        if path.extension().is_some_and(|ending| ending == "head") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}
