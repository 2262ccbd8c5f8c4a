//! One spool file: read it in chunks, commit each, and move it away when all of it is committed.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::lines::{Line, Lines};
use crate::intake::commit::{Committer, Committing, Gatherer, Limits, outcome};
use crate::intake::decode::Received;
use crate::intake::{Decoder, IntakeStats, Result};
use crate::model::Ticks;
use crate::staging::{Arrivals, StagingError};
use crate::support::durable::{PathError, WithPath as _, create_dir, rename_new, write_whole};
use crate::support::step::{Commit, Step};

/// A line may be so many times the largest event and is still quarantined whole; a longer one would
/// have to be held in memory as one piece, so its file is set aside instead.
const LINE_FACTOR: u64 = 4;
const BUFFER: usize = 128 * 1024;

/// All that taking in a file needs.
pub(super) struct TakeIn {
    pub(super) decoder: Arc<Decoder>,
    pub(super) committer: Committer,
    pub(super) limits: Limits,
    pub(super) line_max: u64,
    pub(super) stats: Arc<IntakeStats>,
    pub(super) shutdown: CancellationToken,
}

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Committed whole, moved to `done/`.
    Done,
    /// Moved to `refused/`.
    Refused,
    /// Still where it was: another process took it, it is still growing, or intake was told to stop.
    Left,
}

/// A file that is being read.
struct Reading {
    lines: Lines<BufReader<File>>,
    name: String,
    path: PathBuf,
}

/// Lines that are committed together, and whether more follow.
struct Chunk {
    batch: Arrivals,
    then: Then,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    More,
    End,
    /// The line of this number is too long even for quarantine.
    Refuse(u64),
}

impl TakeIn {
    /// Takes in one file.
    pub(super) async fn file(&self, path: &Path) -> Result<Outcome> {
        let mut reading = self.open(path)?;
        let mut committing: Option<Committing> = None;
        let then = loop {
            let (back, chunk) = self.chunk(reading).await?;
            reading = back;
            self.stats.note_received(chunk.batch.events.len() + chunk.batch.quarantined.len());
            settle(committing.take()).await?;
            if !chunk.batch.events.is_empty() || !chunk.batch.quarantined.is_empty() {
                committing = Some(self.committer.start(chunk.batch));
            }
            if chunk.then != Then::More {
                break chunk.then;
            }
            if self.shutdown.is_cancelled() {
                settle(committing.take()).await?;
                return Ok(Outcome::Left);
            }
        };
        settle(committing.take()).await?;
        match then {
            Then::Refuse(line) => refuse(path, line, self.line_max * LINE_FACTOR),
            _ => finish(path, reading.lines.bytes()),
        }
    }

    fn open(&self, path: &Path) -> Result<Reading, PathError> {
        let file = File::open(path).at("open", path)?;
        let max = usize::try_from(self.line_max.saturating_mul(LINE_FACTOR)).unwrap_or(usize::MAX - 1);
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let lines = Lines::new(BufReader::with_capacity(BUFFER, file), max);
        Ok(Reading { lines, name, path: path.to_owned() })
    }

    /// Reads and decodes the next chunk, away from the tasks that must answer quickly.
    async fn chunk(&self, mut reading: Reading) -> Result<(Reading, Chunk)> {
        let (decoder, limits) = (self.decoder.clone(), self.limits);
        let read = tokio::task::spawn_blocking(move || {
            let chunk = read_chunk(&decoder, limits, &mut reading);
            (reading, chunk)
        });
        match read.await {
            Ok((reading, chunk)) => Ok((reading, chunk?)),
            Err(error) => Err(StagingError::Broken { detail: format!("reading ended abnormally: {error}") }.into()),
        }
    }
}

fn read_chunk(decoder: &Decoder, limits: Limits, reading: &mut Reading) -> Result<Chunk, PathError> {
    let mut gatherer = Gatherer::new(limits);
    let received = Ticks::now();
    let then = loop {
        if gatherer.is_full() {
            break Then::More;
        }
        match reading.lines.next().at("read", &reading.path)? {
            Line::End => break Then::End,
            Line::TooLong => break Then::Refuse(reading.lines.number()),
            Line::Whole(line) if line.trim_ascii().is_empty() => {}
            Line::Whole(body) => {
                let origin = format!("spool:{}:{}", reading.name, reading.lines.number());
                let input = Received { origin: &origin, received, head: None, body };
                gatherer.add(input.body.len(), |batch| decoder.decode(input, batch));
            }
        }
    };
    Ok(Chunk { batch: gatherer.take(), then })
}

/// Waits for a commit.
async fn settle(committing: Option<Committing>) -> Result<()> {
    match committing {
        Some(commit) => Ok(outcome(commit.await).map(|_| ())?),
        None => Ok(()),
    }
}

/// Moves a committed file to `done/`, unless it has grown meanwhile: then it was not moved in whole, and
/// is read again.
fn finish(path: &Path, read: u64) -> Result<Outcome> {
    match std::fs::metadata(path) {
        Ok(now) if now.len() == read => {}
        Ok(_) => {
            tracing::warn!(file = %path.display(), "the file grows while it is read: move files in by rename");
            return Ok(Outcome::Left);
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Outcome::Left),
        Err(error) => return Err(error).at("look at", path).map_err(Into::into),
    }
    match set_aside(path, "done", Step::SpoolFileDone, |_| Ok(()))? {
        Some(_) => Ok(Outcome::Done),
        None => Ok(Outcome::Left),
    }
}

/// Sets aside a file with a line that is too long, and says why beside it.
fn refuse(path: &Path, line: u64, max: u64) -> Result<Outcome> {
    let reason = format!(
        "line {line} is longer than {max} bytes, {LINE_FACTOR} times intake.event_size_max. The lines before it are staged; \
         it and the lines after it are not. Raise the limit, or split the line off, and move the file in again: \
         what is staged already is counted as duplicates.\n"
    );
    // The reason comes first: a crash between the two must not leave a refused file that says nothing.
    let explain = |to: &Path| {
        let mut beside = to.as_os_str().to_owned();
        beside.push(".reason");
        write_whole(Path::new(&beside), reason.as_bytes(), Commit::REASON_WRITTEN)
    };
    let Some(moved) = set_aside(path, "refused", Step::SpoolFileRefused, explain)? else { return Ok(Outcome::Left) };
    tracing::error!(file = %moved.display(), line, "a spool file is refused, the reason lies beside it");
    Ok(Outcome::Refused)
}

/// Moves a file into a directory beside it, under a name that is not taken; `before` is done with that name
/// just before. `None`: the file is gone.
fn set_aside(
    path: &Path,
    directory: &str,
    step: Step,
    before: impl Fn(&Path) -> Result<(), PathError>,
) -> Result<Option<PathBuf>, PathError> {
    let into = path.with_file_name(directory);
    create_dir(&into)?;
    let stem = path.file_stem().unwrap_or_default();
    for number in 1_u32.. {
        let mut name = OsString::from(stem);
        if number > 1 {
            name.push(format!(".{number}"));
        }
        name.push(".ndjson");
        let to = into.join(name);
        if to.symlink_metadata().is_ok() {
            continue;
        }
        before(&to)?;
        match rename_new(path, &to, step) {
            Ok(()) => return Ok(Some(to)),
            Err(error) if error.source.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) if error.source.kind() == io::ErrorKind::NotFound && !path.exists() => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}
