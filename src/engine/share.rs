//! The way to an adapter's share: one operation at a time, and how long it has been under way.
//!
//! A network share may hang: an operation then does not return for hours and cannot be called off. So every
//! operation runs on a blocking thread and under a gate that the thread itself holds; however often the task that
//! asked for it is cancelled, one thread per share hangs, not one per attempt. What needs no share goes on.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::decide::Met;
use super::error::EngineError;
use crate::model::Ticks;
use crate::pickup::{Compression, Draft, PickupError, Share, Temporary};
use crate::staging::{OutputKind, OutputRow, Workplace};

/// One adapter's access to its share.
pub(super) struct Lane {
    /// Where the share is.
    dir: PathBuf,
    gate: Arc<tokio::sync::Mutex<()>>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// What is under way, since when, and when that was by the clock.
    underway: Option<(&'static str, Instant, Ticks)>,
    writing: Met,
    collecting: Met,
}

/// Which of an adapter's tasks tells what it met.
#[derive(Debug, Clone, Copy)]
pub(super) enum Side {
    Writing,
    Collecting,
}

/// What is known of a share at one moment.
pub(super) struct Knowledge {
    pub(super) writing: Met,
    pub(super) collecting: Met,
    /// What people are told of the operation under way, the same at each look, and how long it has taken.
    pub(super) underway: Option<(String, Duration)>,
}

impl Lane {
    pub(super) fn new(dir: PathBuf) -> Arc<Self> {
        Arc::new(Self { dir, gate: Arc::default(), seen: Mutex::default() })
    }

    /// Runs an operation on a blocking thread, after the one that is under way.
    pub(super) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        what: &'static str,
        work: impl FnOnce() -> Result<T, PickupError> + Send + 'static,
    ) -> Result<T, EngineError> {
        let gate = Arc::clone(&self.gate).lock_owned().await;
        let lane = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || {
            let _gate = gate;
            lane.timed(what, work)
        });
        Ok(done.await.map_err(|panic| EngineError::TaskPanicked { detail: panic.to_string() })??)
    }

    /// As [`Lane::run`], for code that is on a blocking thread already.
    pub(super) fn step<T>(&self, what: &'static str, work: impl FnOnce() -> T) -> T {
        let _gate = self.gate.blocking_lock();
        self.timed(what, work)
    }

    fn timed<T>(&self, what: &'static str, work: impl FnOnce() -> T) -> T {
        self.seen().underway = Some((what, Instant::now(), Ticks::now()));
        let _end = Ended(self);
        work()
    }

    /// Notes what one side met.
    pub(super) fn note(&self, side: Side, met: Met) {
        let mut seen = self.seen();
        match side {
            Side::Writing => seen.writing = met,
            Side::Collecting => seen.collecting = met,
        }
    }

    /// What is known now.
    pub(super) fn knowledge(&self) -> Knowledge {
        let seen = self.seen();
        let named = |(what, since, begun): (&str, Instant, Ticks)| {
            let what = format!("{what} {} has not come back from the file system since {begun}", self.dir.display());
            (what, since.elapsed())
        };
        let underway = seen.underway.map(named);
        Knowledge { writing: seen.writing.clone(), collecting: seen.collecting.clone(), underway }
    }

    /// Whether no operation is under way.
    pub(super) fn idle(&self) -> bool {
        self.seen().underway.is_none()
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // Plain values: a panic elsewhere leaves none of them half-changed.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Notes the end of an operation, even when it panics.
struct Ended<'a>(&'a Lane);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.seen().underway = None;
    }
}

/// A rendering being written beside the share, each of its operations by way of the lane. For blocking threads.
pub(super) struct LaneDraft {
    lane: Arc<Lane>,
    dir: PathBuf,
    /// Always there, except while it is kept or dropped.
    draft: Option<Draft>,
}

impl LaneDraft {
    pub(super) fn begin(lane: &Arc<Lane>, share: &Share, token: i64) -> Result<Self, PickupError> {
        let draft = lane.step("making a workplace in", || Draft::begin(share, token))?;
        Ok(Self { lane: Arc::clone(lane), dir: share.dir().to_owned(), draft: Some(draft) })
    }

    /// The share, for errors.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn create(&self, name: &str, compression: Compression) -> Result<LaneFile, PickupError> {
        let Some(draft) = &self.draft else { return Err(PickupError::ReadBack { name: name.to_owned() }) };
        let file = self.lane.step("creating a file in", || Temporary::create(draft, name, compression))?;
        Ok(LaneFile { lane: Arc::clone(&self.lane), file: Some(file) })
    }

    /// Deletes a finished file again.
    pub(super) fn remove(&self, name: &str) -> Result<(), PickupError> {
        let remove = |draft: &Draft| self.lane.step("removing a file from", || draft.remove(name));
        self.draft.as_ref().map_or(Ok(()), remove)
    }

    pub(super) fn keep(mut self) -> Result<Workplace, PickupError> {
        match self.draft.take() {
            Some(draft) => self.lane.step("syncing", || draft.keep()),
            None => Ok(Workplace::default()),
        }
    }
}

impl Drop for LaneDraft {
    fn drop(&mut self) {
        if let Some(draft) = self.draft.take() {
            self.lane.step("removing a workplace from", || drop(draft));
        }
    }
}

/// A file being written beside the share, each of its operations by way of the lane. For blocking threads.
pub(super) struct LaneFile {
    lane: Arc<Lane>,
    /// Always there, except while it is finished or dropped.
    file: Option<Temporary>,
}

impl LaneFile {
    pub(super) fn finish(mut self, kind: OutputKind, position: u32, messages: u64) -> Result<OutputRow, PickupError> {
        match self.file.take() {
            Some(file) => self.lane.step("completing a file in", || file.finish(kind, position, messages)),
            None => Err(PickupError::ReadBack { name: String::new() }),
        }
    }

    fn write_by<T>(&mut self, write: impl FnOnce(&mut Temporary) -> io::Result<T>) -> io::Result<T> {
        match &mut self.file {
            Some(file) => self.lane.step("writing a file in", || write(file)),
            None => Err(io::Error::other("the file is already complete")),
        }
    }
}

impl Write for LaneFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_by(|file| file.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.write_by(Temporary::flush)
    }
}

impl Drop for LaneFile {
    fn drop(&mut self) {
        if let Some(file) = self.file.take() {
            self.lane.step("removing a file from", || drop(file));
        }
    }
}
