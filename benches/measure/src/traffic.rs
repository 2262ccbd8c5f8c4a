//! The events that are measured with: those of the product's own simulator, so that everyone can make them again.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::process::succeeded;

/// A day of the simulator.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Day {
    pub(crate) events: usize,
    pub(crate) rooms: usize,
    pub(crate) seed: u64,
    /// Whether some events bring files, in themselves: capturing and copying those is a measurement of its own.
    pub(crate) files: bool,
}

/// Events as lines, without the line feed.
pub(crate) fn simulated(chancery: &Path, dir: &Path, day: Day) -> Result<Vec<Vec<u8>>> {
    let Day { events, rooms, seed, files } = day;
    let file = dir.join(format!("events-{seed}-{rooms}-{events}-{files}.ndjson"));
    if !file.exists() {
        let mut command = Command::new(chancery);
        command.args(["simulate", "--seed", &seed.to_string(), "--events", &events.to_string()]);
        command.args(["--rooms", &rooms.to_string(), "--out"]).arg(&file).current_dir(dir);
        if !files {
            command.arg("--no-files");
        }
        succeeded(&mut command)?;
    }
    let text = std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect())
}

/// The mean size of events in bytes.
pub(crate) fn mean_size(events: &[Vec<u8>]) -> f64 {
    events.iter().map(Vec::len).sum::<usize>() as f64 / events.len().max(1) as f64
}
