//! Counts that are kept in the repository.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};

/// Counts, and what they were made with.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Recorded {
    /// Compiler and valgrind: another version of either may give other counts.
    pub(crate) toolchain: String,
    /// Instructions for one event, by path.
    pub(crate) paths: BTreeMap<String, u64>,
}

impl Recorded {
    /// None counted yet, on this machine.
    pub(crate) fn here() -> Result<Self> {
        let toolchain = format!("{}, {}", version("rustc")?, version("valgrind")?);
        Ok(Self { toolchain, paths: BTreeMap::new() })
    }

    pub(crate) fn read(file: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        serde_json::from_str(&text)
            .with_context(|| format!("{} is damaged: write it anew with --record", file.display()))
    }

    pub(crate) fn write(&self, file: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
    }
}

/// How a program calls itself: `rustc 1.95.0`, `valgrind-3.19.0`, without what follows.
fn version(program: &str) -> Result<String> {
    let output = Command::new(program).arg("--version").output().with_context(|| format!("cannot run {program}"))?;
    ensure!(output.status.success(), "{program} --version failed");
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.split_whitespace().take(2).collect::<Vec<_>>().join(" "))
}
