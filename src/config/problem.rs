//! What is wrong with a configuration, and where.
//!
//! A problem always says four things: the place, what was found, what was expected and what to do. It
//! never holds a password, not even one written where none belongs.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// A line of the configuration file.
    File {
        /// The file, as it was named.
        file: Arc<Path>,
        /// From 1.
        line: usize,
        /// From 1, in characters.
        column: usize,
    },
    /// An environment variable, by name.
    Environment(String),
    /// `--set`, by key.
    Argument(String),
}

impl Origin {
    /// The line in the file, for values from there.
    pub fn line(&self) -> Option<usize> {
        match self {
            Self::File { line, .. } => Some(*line),
            _ => None,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { file, line, column } => write!(f, "{}:{line}:{column}", file.display()),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::Argument(key) => write!(f, "--set {key}"),
        }
    }
}

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The origin of every value that somebody set.
#[derive(Debug, Clone)]
pub struct Origins {
    file: Arc<Path>,
    by_path: BTreeMap<Vec<String>, Origin>,
}

impl Origins {
    /// No value of the file is known yet.
    pub(super) fn new(file: Arc<Path>) -> Self {
        Self { file, by_path: BTreeMap::new() }
    }

    /// The file of the first layer.
    pub(super) fn file(&self) -> &Arc<Path> {
        &self.file
    }

    /// Notes where the value at `path` came from; entries of lists count from 0.
    pub(super) fn record(&mut self, path: Vec<String>, origin: Origin) {
        self.by_path.insert(path, origin);
    }

    /// Where exactly this value came from: [`Origin::Default`] if nobody set it.
    pub fn of(&self, path: &[&str]) -> Origin {
        self.by_path.get(&owned(path)).cloned().unwrap_or(Origin::Default)
    }

    /// The nearest place to point at: the value, else the section it would stand in, else the file's start.
    pub fn nearest(&self, path: &[&str]) -> Origin {
        let mut path = owned(path);
        while !path.is_empty() {
            if let Some(origin) = self.by_path.get(&path) {
                return origin.clone();
            }
            path.pop();
        }
        Origin::File { file: Arc::clone(&self.file), line: 1, column: 1 }
    }
}

fn owned(path: &[&str]) -> Vec<String> {
    path.iter().map(|&step| step.to_owned()).collect()
}

/// One thing that is wrong, and its cure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Where it stands, or where it is missing.
    pub place: Origin,
    /// The entry of a list, such as `adapter "vantage"` or `source 2`.
    pub entry: Option<String>,
    /// The key, within its entry if there is one.
    pub key: String,
    /// What was found, such as `is "10s"`.
    pub found: String,
    /// What the key takes.
    pub expected: String,
    /// What to do.
    pub cure: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if let Some(entry) = &self.entry {
            write!(f, "{entry}: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{} ", self.key)?;
        }
        write!(f, "{}; expected {}; {}", self.found, self.expected, self.cure)
    }
}
