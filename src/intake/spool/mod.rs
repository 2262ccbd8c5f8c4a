//! Intake from a directory: `*.ndjson` files, one structured event per line, for offline work and backfill.
//!
//! A file is moved in by rename, read in constant memory, and moved to `done/` when every line is committed.
//! Cut off in the middle, it is read again and its events are counted as duplicates. Listing the
//! directory is the truth; the file system's notifications only make it happen sooner. Names are taken
//! in order, so that names that begin with a time are taken in order of time.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::Watcher as _;
use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::commit::{Committer, Limits};
use super::{Decoder, IntakeError, IntakeStats, Result};
use crate::config::Config;
use crate::staging::StageEvents;
use crate::support::durable::{PathError, WithPath as _, create_dir};

mod file;
mod lines;
#[cfg(test)]
mod tests;

use file::{Outcome, TakeIn};

/// How long an unavailable staging is tried again before a file is left for later.
const PATIENCE: Duration = Duration::from_secs(30);

/// When spool intake ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpoolMode {
    /// When it is told to.
    Daemon,
    /// When no file is left that can be taken in.
    Once,
}

/// What became of files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SpoolReport {
    /// Files taken in whole and moved to `done/`.
    pub done: u64,
    /// Files moved to `refused/`, with the reason beside them.
    pub refused: u64,
    /// Files that could not be read or moved and are still where they were.
    pub left: u64,
}

/// Takes in from the spool directory until `shutdown` is cancelled or, in [`SpoolMode::Once`], until no file is left.
///
/// With `spool.enabled = false` there is nothing to do, and it returns at once. What it staged stands in `stats`.
///
/// # Errors
/// When the directory cannot be made or listed at the start, or staging fails in a way that retrying
/// cannot mend; in [`SpoolMode::Once`] also when staging stays away for half a minute.
pub async fn run(
    config: &Config,
    stage: Arc<dyn StageEvents>,
    stats: Arc<IntakeStats>,
    shutdown: CancellationToken,
    mode: SpoolMode,
) -> Result<SpoolReport> {
    let mut report = SpoolReport::default();
    if !config.spool.enabled {
        return Ok(report);
    }
    let directory = config.incoming_dir();
    create_dir(&directory)?;
    create_dir(&directory.join("done"))?;
    let decoder = Arc::new(Decoder::new(config)?);
    let take_in = TakeIn {
        decoder,
        committer: Committer::new(stage, stats.clone(), shutdown.clone(), PATIENCE),
        limits: Limits::new(&config.intake),
        line_max: config.intake.event_size_max.get(),
        stats: stats.clone(),
        shutdown: shutdown.clone(),
    };
    let hint = Arc::new(Notify::new());
    let _watcher = (mode == SpoolMode::Daemon).then(|| watch(&directory, hint.clone()));
    let mut first = true;
    loop {
        let moved_before = report.done + report.refused;
        match waiting(&directory) {
            Ok(files) => {
                report.left = 0;
                match scan(&take_in, &files, &mut report).await {
                    Err(error) if error.retryable() && shutdown.is_cancelled() => return Ok(report),
                    Err(error) if mode == SpoolMode::Once || !error.retryable() => return Err(error),
                    Err(error) => tracing::warn!(error = %error, "spool intake waits for staging"),
                    Ok(()) => {}
                }
            }
            Err(error) if first || mode == SpoolMode::Once => return Err(error.into()),
            Err(error) => note(&stats, &error),
        }
        first = false;
        let nothing_moved = report.done + report.refused == moved_before;
        if shutdown.is_cancelled() || mode == SpoolMode::Once && nothing_moved {
            return Ok(report);
        }
        if mode == SpoolMode::Once {
            continue;
        }
        tokio::select! {
            () = shutdown.cancelled() => return Ok(report),
            () = hint.notified() => {}
            () = sleep(config.spool.scan_interval.get()) => {}
        }
    }
}

/// Takes in every file of a listing, one after another.
async fn scan(take_in: &TakeIn, files: &[PathBuf], report: &mut SpoolReport) -> Result<()> {
    for file in files {
        if take_in.shutdown.is_cancelled() {
            return Ok(());
        }
        match take_in.file(file).await {
            Ok(Outcome::Done) => report.done += 1,
            Ok(Outcome::Refused) => report.refused += 1,
            Ok(Outcome::Left) => report.left += 1,
            Err(IntakeError::Path(error)) => {
                note(&take_in.stats, &error);
                report.left += 1;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn note(stats: &IntakeStats, error: &PathError) {
    let detail = format!("{error}: {}", error.source);
    tracing::warn!(error = %detail, "left for the next scan");
    stats.note_error(&detail);
}

/// The files that may be taken in, by name. Dot files, other endings, directories and links are not ours.
fn waiting(directory: &Path) -> Result<Vec<PathBuf>, PathError> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).at("list", directory)? {
        let entry = entry.at("list", directory)?;
        let path = entry.path();
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        let named = path.extension() == Some(OsStr::new("ndjson"));
        if named && !hidden && entry.file_type().is_ok_and(|kind| kind.is_file()) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Asks the file system to tell of new files. Where it cannot, the regular listing is enough.
fn watch(directory: &Path, hint: Arc<Notify>) -> Option<notify::RecommendedWatcher> {
    // Opening and listing the directory are told, too: our own listings must not lead to the next one.
    let tells_of_change = |told: &notify::Result<notify::Event>| match told {
        Ok(event) => !event.kind.is_access(),
        Err(_) => true,
    };
    let told = move |told| {
        if tells_of_change(&told) {
            hint.notify_one();
        }
    };
    let made = notify::recommended_watcher(told)
        .and_then(|mut watcher| watcher.watch(directory, notify::RecursiveMode::NonRecursive).map(|()| watcher));
    made.inspect_err(|error| tracing::debug!(error = %error, "no notifications, the spool is only listed")).ok()
}
