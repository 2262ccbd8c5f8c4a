//! The events that are measured with: those of the product's own simulator, so that everyone can make them again.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::process::succeeded;

/// How the types of events about files begin.
const FILE_TYPE: &[u8] = b"\"chat.file.";

/// Events as lines, without the line feed.
pub(crate) fn simulated(chancery: &Path, dir: &Path, events: usize, rooms: usize, seed: u64) -> Result<Vec<Vec<u8>>> {
    let file = dir.join(format!("events-{seed}-{rooms}-{events}.ndjson"));
    if !file.exists() {
        let mut command = Command::new(chancery);
        command.args(["simulate", "--seed", &seed.to_string(), "--events", &events.to_string()]);
        command.args(["--rooms", &rooms.to_string(), "--out"]).arg(&file).current_dir(dir);
        succeeded(&mut command)?;
    }
    let text = std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect())
}

/// The events that speak of no file: capturing and copying files is a measurement of its own.
pub(crate) fn without_files(events: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let speaks = |event: &Vec<u8>| event.windows(FILE_TYPE.len()).any(|part| part == FILE_TYPE);
    events.into_iter().filter(|event| !speaks(event)).collect()
}

/// The mean size of events in bytes.
pub(crate) fn mean_size(events: &[Vec<u8>]) -> f64 {
    events.iter().map(Vec::len).sum::<usize>() as f64 / events.len().max(1) as f64
}
