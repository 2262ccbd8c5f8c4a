//! The way to an adapter's share: one operation at a time, and how long it has been under way.
//!
//! A network share may hang: an operation then does not return for hours and cannot be called off. So every
//! operation runs on a blocking thread and under a gate that the thread itself holds; however often the task that
//! asked for it is cancelled, one thread per share hangs, not one per attempt. What needs no share goes on.
//!
//! What takes long because it is much, as with a file of gigabytes, pauses between its parts: others get their turn there,
//! and each part counts as an operation that has come back.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::OwnedMutexGuard;

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
    /// Operations between two of their parts.
    paused: usize,
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
        self.run_in_parts(what, |_| work()).await
    }

    /// As [`Lane::run`], for what takes long: `work` is given what to call between its parts.
    pub(super) async fn run_in_parts<T: Send + 'static>(
        self: &Arc<Self>,
        what: &'static str,
        work: impl FnOnce(&mut dyn FnMut()) -> Result<T, PickupError> + Send + 'static,
    ) -> Result<T, EngineError> {
        let gate = Arc::clone(&self.gate).lock_owned().await;
        let lane = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || {
            let mut turn = Turn::begin(&lane, what, gate);
            work(&mut || turn.pause())
        });
        Ok(done.await.map_err(|panic| EngineError::TaskPanicked { detail: panic.to_string() })??)
    }

    /// As [`Lane::run`], for code that is on a blocking thread already.
    pub(super) fn step<T>(&self, what: &'static str, work: impl FnOnce() -> T) -> T {
        self.step_in_parts(what, |_| work())
    }

    /// As [`Lane::run_in_parts`], for code that is on a blocking thread already.
    pub(super) fn step_in_parts<T>(&self, what: &'static str, work: impl FnOnce(&mut dyn FnMut()) -> T) -> T {
        let mut turn = Turn::begin(self, what, Arc::clone(&self.gate).blocking_lock_owned());
        work(&mut || turn.pause())
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

    /// Whether no operation is under way, nor between two of its parts.
    pub(super) fn idle(&self) -> bool {
        let seen = self.seen();
        seen.underway.is_none() && seen.paused == 0
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // Plain values: a panic elsewhere leaves none of them half-changed.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One operation's turn at the share; its end is noted even when it panics.
struct Turn<'a> {
    lane: &'a Lane,
    what: &'static str,
    /// Always there, except during a pause.
    gate: Option<OwnedMutexGuard<()>>,
}

impl<'a> Turn<'a> {
    fn begin(lane: &'a Lane, what: &'static str, gate: OwnedMutexGuard<()>) -> Self {
        lane.seen().underway = Some((what, Instant::now(), Ticks::now()));
        Self { lane, what, gate: Some(gate) }
    }

    /// Lets those in who wait, in the order in which they came, and goes on behind them.
    fn pause(&mut self) {
        {
            let mut seen = self.lane.seen();
            seen.underway = None;
            seen.paused += 1;
        }
        self.gate = None;
        *self = Self::begin(self.lane, self.what, Arc::clone(&self.lane.gate).blocking_lock_owned());
        self.lane.seen().paused -= 1;
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.gate.is_some() {
            self.lane.seen().underway = None;
        }
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
            Some(file) => {
                self.lane.step_in_parts("completing a file in", |pause| file.finish(kind, position, messages, pause))
            }
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test should panic")]

    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn between_the_parts_of_a_long_operation_others_get_their_turn() {
        let lane = Lane::new(PathBuf::from("share"));
        let (begun, first) = mpsc::channel();
        let (go_on, wait) = mpsc::channel::<()>();
        let long = tokio::spawn({
            let lane = Arc::clone(&lane);
            async move {
                let work = move |pause: &mut dyn FnMut()| {
                    begun.send(()).unwrap();
                    wait.recv().unwrap();
                    pause();
                    begun.send(()).unwrap();
                    wait.recv().unwrap();
                    Ok(())
                };
                lane.run_in_parts("copying to", work).await
            }
        });
        let first = tokio::task::spawn_blocking(move || {
            first.recv().unwrap();
            first
        });
        let first = first.await.unwrap();
        let (_, before) = lane.seen().underway.map(|(what, since, _)| (what, since)).unwrap();
        let other = tokio::spawn({
            let lane = Arc::clone(&lane);
            async move { lane.run("listing", || Ok(())).await }
        });
        while Arc::strong_count(&lane.gate) < 3 {
            tokio::task::yield_now().await;
        }
        assert!(!other.is_finished(), "one operation at a time");
        go_on.send(()).unwrap();
        other.await.unwrap().unwrap();
        let second = tokio::task::spawn_blocking(move || first.recv().unwrap());
        second.await.unwrap();
        let (what, since) = lane.seen().underway.map(|(what, since, _)| (what, since)).unwrap();
        assert!(what == "copying to" && since > before, "each part is an operation of its own");
        assert!(!lane.idle());
        go_on.send(()).unwrap();
        long.await.unwrap().unwrap();
        assert!(lane.idle());
    }
}
