//! The order of calls, read from the trace alone; and the proof that no sync could be left out unnoticed.

use std::path::{Path, PathBuf};

use chancery_faults::shim::{Action, Call, Op, Outcome, Rule, Shim};

use crate::lab::{Lab, Recorded, Store, chat, upload};

/// The places that the rules name.
struct Places {
    share: PathBuf,
    incoming: PathBuf,
    certificates: PathBuf,
    vault: PathBuf,
    log: PathBuf,
    /// Directories with directories in them that each process uses.
    standing: Vec<PathBuf>,
}

/// The calls of one process, with questions about their order.
struct Story<'a> {
    calls: Vec<&'a Call>,
    places: &'a Places,
}

impl Story<'_> {
    fn done(&self, range: std::ops::Range<usize>, op: &str, path: &Path) -> Option<usize> {
        range.clone().find(|&at| self.calls[at].did(op, path))
    }

    fn last(&self, before: usize, ops: &[&str], path: &Path) -> Option<usize> {
        (0..before).rev().find(|&at| ops.iter().any(|op| self.calls[at].did(op, path)))
    }

    /// Where the next commit begins: the next write to the database's log, or the end.
    fn commit(&self, from: usize) -> usize {
        let is_log = |at: &usize| self.calls[*at].did("write", &self.places.log);
        (from..self.calls.len()).find(is_log).unwrap_or(self.calls.len())
    }

    /// Every break of an order on which the promises stand.
    fn breaks(&self) -> Vec<String> {
        let mut breaks = Vec::new();
        for dir in &self.places.standing {
            if self.done(0..self.calls.len(), "fsync", dir).is_none() {
                breaks.push(format!("what an earlier process may have made in {} was never synced", dir.display()));
            }
        }
        for (at, call) in self.calls.iter().enumerate().filter(|(_, call)| call.outcome == Outcome::Done) {
            match (call.op.as_str(), &call.other) {
                ("rename", Some(to)) => self.rename(at, &call.path, to, &mut breaks),
                ("mkdir", _) => self.synced_before_commit(at, parent(&call.path), "made", &call.path, &mut breaks),
                // A file that is added to in place: the list of the log of evidence.
                ("create", _) if call.path.ends_with("log/SHA256SUMS") => {
                    self.synced_before_commit(at, parent(&call.path), "made", &call.path, &mut breaks);
                }
                ("write", _)
                    if call.path.ends_with("log/SHA256SUMS")
                        && self.done(at..self.commit(at), "fsync", &call.path).is_none() =>
                {
                    breaks.push(format!("{} was added to and not synced before the next commit", call.path.display()));
                }
                ("unlink", _) if parent(&call.path) == self.places.share => self.removal(at, &call.path, &mut breaks),
                _ => {}
            }
        }
        breaks
    }

    fn rename(&self, at: usize, from: &Path, to: &Path, breaks: &mut Vec<String>) {
        let mut broken = |what: String| breaks.push(format!("{} -> {}: {what}", from.display(), to.display()));
        let made = self.last(at, &["create"], from);
        let synced = self.last(at, &["fsync"], from);
        if let Some(made) = made {
            let written = self.last(at, &["write", "truncate"], from).unwrap_or(made);
            if synced.is_none_or(|synced| synced < written) {
                broken("renamed before what was written to it was synced".into());
            }
        }
        let published = parent(to) == self.places.share;
        if published {
            let (made, synced) = (made.unwrap_or(at), synced.unwrap_or(at));
            if self.done(made..self.commit(synced), "fsync", parent(from)).is_none() {
                broken("its temporary name was not synced before the batch was recorded as rendered".into());
            }
            if self.done(synced..at, "open", from).is_none() {
                broken("it was not read back".into());
            }
            let log = self.last(at, &["write"], &self.places.log).unwrap_or(0);
            if self.done(log..at, "fsync", &self.places.log).is_none() {
                broken("the record that it was rendered was not synced".into());
            }
            if is_output(to) {
                let attachments = (0..at).filter(|&before| {
                    let other = self.calls[before].other.as_deref();
                    self.calls[before].op == "rename"
                        && other.is_some_and(|other| parent(other) == self.places.share && !is_output(other))
                });
                if let Some(last) = attachments.max()
                    && self.done(last..at, "fsync", &self.places.share).is_none()
                {
                    broken("published before its attachments were synced".into());
                }
            }
        }
        self.synced_before_commit(at, parent(to), "renamed", to, breaks);
        // In the vault the old name need not go for good: a start clears temporary files.
        if !from.starts_with(&self.places.vault) && parent(from) != parent(to) {
            self.synced_before_commit(at, parent(from), "renamed", from, breaks);
        }
        if from.starts_with(&self.places.incoming) && self.last(at, &["write"], &self.places.log).is_none() {
            breaks.push(format!("{} was set aside before anything was committed", from.display()));
        }
    }

    fn removal(&self, at: usize, path: &Path, breaks: &mut Vec<String>) {
        let certificate = (0..at).rev().find(|&before| {
            let other = self.calls[before].other.as_deref();
            self.calls[before].op == "rename" && other.is_some_and(|other| parent(other) == self.places.certificates)
        });
        let certified =
            certificate.is_some_and(|made| self.done(made..at, "fsync", &self.places.certificates).is_some());
        if !certified {
            breaks.push(format!("{} was removed before its certificate was durable", path.display()));
        }
        if path.extension().is_none_or(|ending| ending != "ack") && self.last(at, &["open"], path).is_none() {
            breaks.push(format!("{} was removed without being read back", path.display()));
        }
        // Without its acknowledgement a file that comes back would be taken again.
        if path.extension().is_some_and(|ending| ending == "ack")
            && let Some(file) = self.last(at, &["unlink"], &path.with_extension(""))
            && self.done(file..at, "fsync", &self.places.share).is_none()
        {
            breaks.push(format!("{} was removed before the removal of its file was synced", path.display()));
        }
        self.synced_before_commit(at, &self.places.share, "removed", path, breaks);
    }

    fn synced_before_commit(&self, at: usize, dir: &Path, what: &str, path: &Path, breaks: &mut Vec<String>) {
        if self.done(at..self.commit(at), "fsync", dir).is_none() {
            breaks.push(format!(
                "{} was {what}, and {} was not synced before the next commit",
                path.display(),
                dir.display()
            ));
        }
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}

fn is_output(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "xml")
}

/// Publishes in one process, purges in the next, and gives what each of them broke. The rules hold in the process named.
fn breaks(rules: impl Fn(&Lab) -> Vec<Rule>, in_process: usize) -> (Vec<String>, Vec<Call>) {
    let mut lab = Lab::new(Store::Sqlite, Recorded::Everything);
    lab.spool("a.ndjson", &[chat("e1", "hello"), upload("e2", "report.bin", &[7; 9000])]);
    for process in 0..2 {
        let rules = if process == in_process { rules(&lab) } else { Vec::new() };
        let (status, log) = lab.pass(&rules);
        assert!(status.success(), "{status}\n{log}");
        lab.archive.visit("order");
    }
    let places = Places {
        share: lab.share(),
        incoming: lab.path("incoming"),
        certificates: lab.path("evidence/purge"),
        vault: lab.path("vault"),
        log: lab.database().with_file_name("staging.db-wal"),
        standing: vec![lab.home(), lab.path("vault"), lab.path("incoming"), lab.path("evidence")],
    };
    let calls = trace_of(&lab.shim);
    let found = (0..2)
        .flat_map(|run| {
            Story { calls: calls.iter().filter(|call| call.run == run).collect(), places: &places }.breaks()
        })
        .collect();
    (found, calls)
}

fn trace_of(shim: &Shim) -> Vec<Call> {
    let calls = shim.trace().unwrap();
    assert!(calls.iter().any(|call| call.op == "rename"), "renames are seen");
    calls
}

/// Whether the same process synced the same directory at another time too, and changed no name in it between the two.
///
/// Nothing relies on the log of evidence before the commit that says how much of it is written, nor on what lies beside the
/// workplaces of a share before the commit that names one: there any later sync will do that comes before a commit.
fn synced_without_it(calls: &[Call], skipped: usize) -> bool {
    let (run, dir) = (calls[skipped].run, &calls[skipped].path);
    let named = |name: &str| dir.components().any(|part| part.as_os_str() == name);
    let relied_on_by_commits = named("evidence") && !named("purge") || dir.ends_with(".inprogress");
    let no_matter = |at: usize| {
        !calls[at.min(skipped)..at.max(skipped)].iter().any(|call| {
            if relied_on_by_commits && at > skipped {
                return call.op == "write" && call.path.extension().is_some_and(|ending| ending == "db-wal");
            }
            let changes = ["create", "mkdir", "rename", "unlink"].contains(&call.op.as_str());
            let inside = |path: &Path| parent(path) == dir;
            changes
                && call.outcome == Outcome::Done
                && (inside(&call.path) || call.other.as_deref().is_some_and(inside))
        })
    };
    (0..calls.len()).any(|at| calls[at].run == run && calls[at].did("fsync", dir) && no_matter(at))
}

#[test]
fn what_must_be_durable_first_is_synced_first() {
    let (found, calls) = breaks(|_| Vec::new(), 0);
    assert_eq!(found, [""; 0]);
    let count = |op: &str| calls.iter().filter(|call| call.op == op && call.outcome == Outcome::Done).count();
    assert!(count("rename") >= 6 && count("unlink") >= 3 && count("mkdir") >= 8, "the scenario has become too small");
}

/// Each sync that the product makes is left out in turn, as if its code lacked it; the test above would find each one.
#[test]
fn no_sync_can_be_left_out_unnoticed() {
    let mut left_out = Vec::new();
    for process in 0..2 {
        for number in 0.. {
            let rule = |lab: &Lab| vec![Rule::new(Op::Fsync, lab.home(), Action::Skip).after(number).times(1)];
            let (found, calls) = breaks(rule, process);
            let Some(skipped) = calls.iter().position(|call| call.outcome == Outcome::Skipped) else { break };
            let path = &calls[skipped].path;
            if found.is_empty() {
                assert!(synced_without_it(&calls, skipped), "nobody notices that {} is not synced", path.display());
            } else {
                left_out.push(path.clone());
            }
        }
    }
    println!("{} syncs were left out, one at a time, and each was noticed", left_out.len());
    assert!(left_out.len() >= 20, "the scenario has become too small: {left_out:?}");
}
