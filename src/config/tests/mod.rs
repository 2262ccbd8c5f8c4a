//! What a configuration may say and what it may not, end to end through [`Loader`](super::Loader).

#![allow(clippy::unwrap_used, reason = "a failed test should panic")]

mod generated;
mod good;
mod mistakes;
mod values;

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use super::{Loader, Problem};

/// A directory with a `chancery.toml`; the file is looked for there, in an environment that holds
/// nothing else.
struct Desk {
    dir: tempfile::TempDir,
    environment: Vec<(OsString, OsString)>,
    arguments: Vec<String>,
}

impl Desk {
    fn new(toml: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("chancery.toml"), toml).unwrap();
        Self { dir, environment: Vec::new(), arguments: Vec::new() }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    fn loader(&self) -> Loader {
        Loader::new()
            .directory(self.path().to_owned())
            .environment(self.environment.clone())
            .set(self.arguments.clone())
    }

    fn problems(&self) -> Vec<Problem> {
        match self.loader().load() {
            Ok(_) => Vec::new(),
            Err(error) => {
                assert!(!error.problems().is_empty(), "{error}");
                error.problems().to_vec()
            }
        }
    }
}
