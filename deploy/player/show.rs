//! What the visitor sees at the end: the share as it was, the archive, an excerpt, the table.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use comfy_table::{CellAlignment, Table, presets};

use crate::Outcome;
use crate::archive::{Entry, files_below, is_output};
use crate::chancery::{AdapterStatus, Status};
use crate::reckoning::Reckoning;

const FILES_SHOWN: usize = 5;
const LINE_CHARS: usize = 116;

/// Prints everything.
pub(crate) fn everything(directory: &Path, snapshot: &[Entry], status: &Status, reckoning: &Reckoning) -> Outcome<()> {
    println!("\nThe pickup share when most lay there (it is empty now: {} files):", reckoning.left_on_share.len());
    tree("pickup", snapshot);
    let archive = directory.join("archive");
    println!("\nThe archive:");
    tree("archive", &files_below(&archive)?);
    excerpt(&archive.join("vantage"))?;
    println!();
    println!("{}", table(status, reckoning));
    println!(
        "Counted in the archive's files: canonical {} distinct events; vantage {} acts and {} joins and leaves \
         (told there as participants).",
        reckoning.canonical, reckoning.vantage, reckoning.moves
    );
    for alert in &status.alerts {
        println!("alert {} {}: {}", alert.kind, alert.subject, alert.detail);
    }
    Ok(())
}

/// Directories with their first files.
fn tree(root: &str, entries: &[Entry]) {
    let mut directories: BTreeMap<PathBuf, Vec<&Entry>> = BTreeMap::new();
    for entry in entries {
        directories.entry(entry.path.parent().unwrap_or(Path::new("")).to_owned()).or_default().push(entry);
    }
    println!("{root}/");
    for (directory, files) in directories {
        let bytes: u64 = files.iter().map(|entry| entry.size).sum();
        println!("├── {}/  {} files, {} KiB", directory.display(), files.len(), bytes.div_ceil(1024));
        // Outputs say more than attachments, so they come first.
        let (outputs, others): (Vec<_>, Vec<_>) = files.into_iter().partition(|entry| is_output(&entry.path));
        let more = (outputs.len() + others.len()).saturating_sub(FILES_SHOWN);
        let attachments_shown = others.len().min(2);
        let shown = outputs.iter().take(FILES_SHOWN - attachments_shown).chain(others.iter().take(attachments_shown));
        let mut lines: Vec<_> = shown
            .map(|entry| {
                let name = entry.path.file_name().unwrap_or_default().to_string_lossy();
                format!("{name}  {} B", entry.size)
            })
            .collect();
        lines.extend((more > 0).then(|| format!("… and {more} more")));
        for (number, line) in lines.iter().enumerate() {
            let branch = if number + 1 == lines.len() { "└──" } else { "├──" };
            println!("│   {branch} {line}");
        }
    }
}

/// Some lines of the largest FileDump output: how it begins, and what was said.
fn excerpt(archive: &Path) -> Outcome<()> {
    let files = files_below(archive)?;
    let Some(largest) = files.iter().filter(|entry| is_output(&entry.path)).max_by_key(|entry| entry.size) else {
        return Ok(());
    };
    println!("\nFrom {}:", largest.path.display());
    // A record is one line of the file; here its elements stand below each other.
    let text = fs::read_to_string(archive.join(&largest.path))?.replace("><", ">\n  <");
    let lines: Vec<_> = text.lines().collect();
    let said = lines.iter().position(|line| line.trim_start().starts_with("<Message>")).unwrap_or(0);
    let head = said.min(11);
    for line in &lines[..head] {
        println!("  {}", shortened(line));
    }
    if said > head {
        println!("    …");
    }
    for line in lines[said..].iter().take(15) {
        println!("  {}", shortened(line));
    }
    println!("    …");
    Ok(())
}

fn shortened(line: &str) -> String {
    if line.chars().count() <= LINE_CHARS {
        return line.to_owned();
    }
    line.chars().take(LINE_CHARS - 1).chain(['…']).collect()
}

fn table(status: &Status, reckoning: &Reckoning) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_header(["", "published", "staged", "written", "collected", "left over"]);
    let staged = status.intake.staged.saturating_sub(reckoning.signals);
    for adapter in &status.adapters {
        let collected = match adapter.name.as_str() {
            "canonical" => reckoning.canonical,
            _ => collected_messages(adapter),
        };
        let left = reckoning.messages.saturating_sub(collected);
        let counts = [reckoning.messages, staged, adapter.written_messages, collected, left];
        table.add_row(std::iter::once(adapter.name.clone()).chain(counts.map(|count| count.to_string())));
    }
    let signals = status.intake.staged.saturating_sub(reckoning.messages);
    table.add_row([
        "presence, heartbeats".to_owned(),
        reckoning.signals.to_string(),
        signals.to_string(),
        "no message".to_owned(),
        "by design".to_owned(),
        String::new(),
    ]);
    table.add_row([
        "all events".to_owned(),
        reckoning.published.to_string(),
        status.intake.staged.to_string(),
        String::new(),
        String::new(),
        status.intake.waiting.to_string(),
    ]);
    for column in 1..6 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// Messages in collected batches: all written ones, unless events of written batches are not collected yet.
fn collected_messages(adapter: &AdapterStatus) -> u64 {
    adapter.written_messages.saturating_sub(adapter.written_events.saturating_sub(adapter.collected_events))
}
