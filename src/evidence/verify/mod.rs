//! Checking an evidence directory offline, with nothing but the directory itself.
//!
//! What is wrong is told with the smallest place that can be told: a file, an entry, a line. What holds is told, too,
//! and what cannot be known from the directory alone. Memory grows with the number of entries, not with that of events.

mod batches;
mod heads;
mod log;
mod moving;
mod outputs;
mod stamps;
mod strays;

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::key::PublicKey;
use super::stamp::Authorities;
use crate::support::durable::{PathError, WithPath as _};
use batches::Batches;
use heads::Heads;
use log::Log;
use moving::Stand;

pub use log::trusted_keys;

/// What to check, and against what.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The evidence directory.
    pub dir: PathBuf,
    /// Directories with outputs: a pickup share, or a copy of what the archive took.
    pub outputs: Vec<PathBuf>,
    /// The keys that are believed; without any, those that the directory itself names.
    pub trusted: Vec<PublicKey>,
    /// The authorities that are believed to give the time; without any, no chain of certificates is checked.
    pub authorities: Authorities,
    /// Texts of heads that were kept elsewhere, each with where it comes from.
    pub witnesses: Vec<(PathBuf, String)>,
}

/// Something that is not as it was recorded.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// The file, as a path in the directory that was checked.
    pub file: String,
    /// The line, from 1, where it can be told.
    pub line: Option<u64>,
    /// The entry of the log that it is about, where it can be told.
    pub entry: Option<u64>,
    /// What is wrong.
    pub problem: String,
    /// Whether it may be no more than that the next file is about to be written.
    #[serde(skip)]
    at_end: bool,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.problem)?;
        match self.entry {
            Some(entry) => write!(f, " (entry {entry})"),
            None => Ok(()),
        }
    }
}

impl Finding {
    pub(super) fn new(file: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { file: file.into(), line: None, entry: None, problem: problem.into(), at_end: false }
    }

    fn at_the_end(self) -> Self {
        Self { at_end: true, ..self }
    }

    fn at_line(self, line: u64) -> Self {
        Self { line: Some(line), ..self }
    }

    fn of_entry(self, entry: u64) -> Self {
        Self { entry: Some(entry), ..self }
    }
}

/// How much was checked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "the words are their own explanation")]
pub struct Checked {
    pub entries: u64,
    pub manifests: u64,
    pub events: u64,
    pub heads: u64,
    pub stamps: u64,
    pub signatures: u64,
    pub outputs: u64,
    /// Bytes that were read.
    pub bytes: u64,
}

/// What checking found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// What is wrong; nothing, if the evidence holds.
    pub findings: Vec<Finding>,
    /// What is proven.
    pub proven: Vec<String>,
    /// What is not, and why.
    pub not_proven: Vec<String>,
    /// How much was checked.
    pub checked: Checked,
}

/// Checks a directory. One in which something was found, and to which something is written meanwhile, is looked at again.
///
/// # Errors
/// When a file or directory cannot be read, which says nothing about what it holds.
pub fn verify(options: &Options) -> Result<Report, PathError> {
    let mut stood = Stand::of(&options.dir);
    let mut report = look(options)?;
    for _ in 1..moving::LOOKS {
        if report.findings.iter().any(|finding| finding.at_end) {
            std::thread::sleep(moving::PAUSE);
        }
        let stands = Stand::of(&options.dir);
        if report.findings.is_empty() || stands == stood {
            break;
        }
        stood = stands;
        report = look(options)?;
    }
    Ok(report)
}

fn look(options: &Options) -> Result<Report, PathError> {
    let dir = &options.dir;
    std::fs::metadata(dir).at("look at", dir)?;
    let mut report = Report::default();
    let log = Log::check(dir, &options.trusted, &mut report)?;
    let heads = Heads::check(dir, &log, &mut report)?;
    heads.witnesses(&options.witnesses, &log, &mut report);
    stamps::check(dir, &heads, &options.authorities, &mut report)?;
    let batches = Batches::check(dir, &log, &mut report)?;
    strays::check(dir, &log, &heads, &batches, &mut report)?;
    outputs::check((dir, &options.outputs), &log, &batches, &mut report)?;
    conclude(&log, &heads, &batches, options, &mut report);
    report.findings.sort();
    report.findings.dedup();
    Ok(report)
}

/// Says what the checks that passed amount to, and what they leave open.
fn conclude(log: &Log, heads: &Heads, batches: &Batches, options: &Options, report: &mut Report) {
    let size = log.size();
    let sound = report.findings.is_empty();
    match heads.newest() {
        Some(head) if sound => {
            report.proven.push(format!(
                "entries 0 to {} are those that {} signed, in this order, none missing among them",
                head.size - 1,
                head.key
            ));
        }
        Some(_) => report.not_proven.push("something is wrong; what is named above is not to be relied on".into()),
        None if size == 0 => report.not_proven.push("the log is empty".into()),
        None if log.keys().is_empty() => {
            report.not_proven.push("nothing is signed: whoever could write here could write anything".into());
        }
        None => {}
    }
    if sound && size > 0 {
        let (manifests, events) = (report.checked.manifests, report.checked.events);
        report.proven.push(format!(
            "{manifests} batches held exactly the {events} events that their lists name, by key and content"
        ));
    }
    if sound && !options.outputs.is_empty() {
        let outputs = report.checked.outputs;
        report.proven.push(format!("{outputs} files are byte for byte those that their manifests name"));
    } else if options.outputs.is_empty() {
        report.not_proven.push("outputs were not looked at (--outputs)".into());
    }
    if !log.keys().is_empty() && options.trusted.is_empty() {
        let first = &log.keys()[0].fingerprint;
        report.not_proven.push(format!("that the keys are the firm's: they are those that the directory names, the first is {first}; compare it with one you were given, or give --signers"));
    }
    if size > 0 && options.witnesses.is_empty() {
        report.not_proven.push("that nothing was cut off at the end: a directory that was put back to an earlier state is whole in itself; give a head that you kept (--head)".into());
    }
    report.not_proven.extend(batches.gaps());
    report.not_proven.extend(log.remarks().iter().cloned());
}

/// A path in the directory as findings show it.
fn shown(dir: &Path, path: &Path) -> String {
    path.strip_prefix(dir).unwrap_or(path).display().to_string()
}

/// Reads a file that should be there; `None` and a finding when it is not.
fn read(dir: &Path, inside: &str, report: &mut Report) -> Result<Option<Vec<u8>>, PathError> {
    let path = dir.join(inside);
    match std::fs::read(&path) {
        Ok(bytes) => {
            report.checked.bytes += bytes.len() as u64;
            Ok(Some(bytes))
        }
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(error).at("read", &path),
    }
}

/// Whether an error says that there is no such file; a directory in its place is none either.
fn is_gone(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{IsADirectory, NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory | IsADirectory)
}
