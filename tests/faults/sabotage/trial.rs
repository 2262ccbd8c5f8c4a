//! Building the copy and running tests on it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::list::Tests;
use crate::tree::Tree;

/// What became of a sabotage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// These tests failed, as they should.
    Noticed { by: Vec<String> },
    /// Every test passed: the promise is not tested.
    Missed,
    /// The broken code does not compile, so it proves nothing.
    DoesNotBuild { error: String },
}

/// Runs tests of the copy.
pub(crate) struct Trial<'a> {
    tree: &'a Tree,
    build: PathBuf,
}

impl<'a> Trial<'a> {
    pub(crate) fn new(tree: &'a Tree, build: &Path) -> Result<Self, String> {
        let build = std::path::absolute(build).map_err(|error| format!("cannot use {}: {error}", build.display()))?;
        Ok(Self { tree, build })
    }

    /// Runs tests that must pass; otherwise a failure later would prove nothing.
    pub(crate) fn untouched(&self, tests: &Tests) -> Result<(), String> {
        match self.of(tests)? {
            Outcome::Missed => Ok(()),
            outcome => Err(format!("{tests} on the untouched copy: {outcome}; mend that first")),
        }
    }

    /// Runs tests and tells what they noticed.
    pub(crate) fn of(&self, tests: &Tests) -> Result<Outcome, String> {
        // What cargo knows nothing of: the tests of the judge run the product's binary. The product's own library tests need none.
        if tests.target.is_some()
            && let Some(outcome) = failed_to_build(&mut self.cargo(&["build", "--bin", "chancery"]))?
        {
            return Ok(outcome);
        }
        let mut cargo = self.cargo(&["test", "--no-run"]);
        select(&mut cargo, tests);
        if let Some(outcome) = failed_to_build(&mut cargo)? {
            return Ok(outcome);
        }
        let mut cargo = self.cargo(&["test", "--no-fail-fast"]);
        select(&mut cargo, tests);
        let ran = output(cargo.arg("--").args(&tests.filters))?;
        let text = String::from_utf8_lossy(&ran.stdout);
        if ran.status.success() {
            return if ran_any(&text) { Ok(Outcome::Missed) } else { Err(format!("{tests}: there is no such test")) };
        }
        let by = failed(&text);
        if by.is_empty() {
            return Err(format!("{tests} ended with {} and named no test:\n{text}", ran.status));
        }
        Ok(Outcome::Noticed { by })
    }

    fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        // The whole workspace each time: then what it depends on has the same features and is built once.
        command.args(arguments).args(["--workspace", "--quiet", "--locked"]).current_dir(self.tree.dir());
        command.env("CARGO_TARGET_DIR", &self.build).env_remove("RUSTFLAGS");
        command
    }
}

fn select(cargo: &mut Command, tests: &Tests) {
    match &tests.target {
        Some(target) => cargo.args(["--test", target]),
        None => cargo.arg("--lib"),
    };
}

/// Builds; gives the outcome when that fails.
fn failed_to_build(cargo: &mut Command) -> Result<Option<Outcome>, String> {
    let built = output(cargo)?;
    if built.status.success() {
        return Ok(None);
    }
    let stderr = String::from_utf8_lossy(&built.stderr);
    let error = stderr.lines().find(|line| line.starts_with("error")).unwrap_or("cargo says no more").to_owned();
    Ok(Some(Outcome::DoesNotBuild { error }))
}

fn output(command: &mut Command) -> Result<Output, String> {
    command.output().map_err(|error| format!("cannot run cargo: {error}"))
}

/// Whether the test runner's summary counts at least one test.
fn ran_any(text: &str) -> bool {
    text.lines().filter_map(|line| line.strip_prefix("test result: ok. ")).any(|counts| !counts.starts_with("0 passed"))
}

/// The names listed under the last `failures:`, each once.
fn failed(text: &str) -> Vec<String> {
    let mut names: Vec<String> = text
        .lines()
        .skip_while(|line| *line != "failures:")
        .filter_map(|line| line.strip_prefix("    "))
        .filter(|name| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b':'))
        .map(str::to_owned)
        .collect();
    names.sort();
    names.dedup();
    names
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Noticed { by } => write!(f, "noticed by {}", by.join(", ")),
            Self::Missed => f.write_str("MISSED: every test passed"),
            Self::DoesNotBuild { error } => write!(f, "DOES NOT BUILD: {error}"),
        }
    }
}

impl fmt::Display for Tests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.target.as_deref().unwrap_or("lib"), self.filters.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_tests_are_read_from_the_runners_summary() {
        let text = "running 2 tests\n.F\nfailures:\n\n---- crash::a stdout ----\n    left: 1\n\nfailures:\n    crash::a\n    text::b\n\ntest result: FAILED. 0 passed; 2 failed\n";
        assert_eq!(failed(text), ["crash::a", "text::b"]);
        assert!(ran_any("test result: ok. 3 passed; 0 failed"));
        assert!(!ran_any("test result: ok. 0 passed; 0 failed; 9 filtered out"));
    }
}
