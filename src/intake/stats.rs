//! What intake has done since it started: counters that `status` and the log read while intake runs.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::model::Ticks;
use crate::staging::Staged;

/// Shared counters; every one only grows.
#[derive(Debug, Default)]
pub struct IntakeStats {
    received: AtomicU64,
    staged: AtomicU64,
    duplicates: AtomicU64,
    conflicts: AtomicU64,
    quarantined: AtomicU64,
    commits: AtomicU64,
    epochs: AtomicU64,
    connected: AtomicBool,
    last_error: Mutex<Option<(Ticks, String)>>,
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events and quarantined items taken off the wire, redelivered ones counted again.
    pub received: u64,
    /// Events that staging kept, conflicts included.
    pub staged: u64,
    /// Events that were already there.
    pub duplicates: u64,
    /// Events kept although another content has the same key.
    pub conflicts: u64,
    /// Items newly in quarantine.
    pub quarantined: u64,
    /// Commits of staging.
    pub commits: u64,
    /// AMQP sessions opened.
    pub epochs: u64,
}

impl IntakeStats {
    /// The counters now.
    pub fn counts(&self) -> Counts {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            received: get(&self.received),
            staged: get(&self.staged),
            duplicates: get(&self.duplicates),
            conflicts: get(&self.conflicts),
            quarantined: get(&self.quarantined),
            commits: get(&self.commits),
            epochs: get(&self.epochs),
        }
    }

    /// Whether an AMQP session is consuming.
    pub fn connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }

    /// The newest trouble and when it was met; `None` when there never was any.
    pub fn last_error(&self) -> Option<(Ticks, String)> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn note_received(&self, items: usize) {
        self.received.fetch_add(items as u64, Ordering::Relaxed);
    }

    pub(super) fn note_committed(&self, staged: &Staged) {
        self.staged.fetch_add(staged.kept, Ordering::Relaxed);
        self.duplicates.fetch_add(staged.duplicates, Ordering::Relaxed);
        self.conflicts.fetch_add(staged.conflicts, Ordering::Relaxed);
        self.quarantined.fetch_add(staged.quarantined, Ordering::Relaxed);
        self.commits.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn note_connected(&self) {
        self.epochs.fetch_add(1, Ordering::Relaxed);
        self.connected.store(true, Ordering::Relaxed);
    }

    pub(super) fn note_disconnected(&self) {
        self.connected.store(false, Ordering::Relaxed);
    }

    pub(super) fn note_error(&self, error: &dyn std::fmt::Display) {
        let entry = Some((Ticks::now(), error.to_string()));
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = entry;
    }
}
