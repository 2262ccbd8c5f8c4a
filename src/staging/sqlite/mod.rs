//! Staging in SQLite: the embedded store, for one process and a local disk.
//!
//! Write-ahead log with full synchronisation; one connection writes, in transactions that take the write lock
//! at once, so arrival numbers are committed in order and a cut needs no lock of its own. Other connections
//! only read. Never put the file on a network share.

use std::sync::atomic::AtomicBool;

use sqlx::SqlitePool;
use tokio::sync::Mutex;

use super::arrival::Numbers;

mod arrive;
mod balance;
mod batches;
mod evidence;
mod files;
mod holds;
mod leases;
mod open;
mod packed;
mod purge;
mod read;
mod rows;
mod sequences;
mod sql;
mod supplements;
mod write;

#[cfg(test)]
pub(super) use open::MIGRATIONS;
pub(super) use open::open;

/// An open store.
pub(crate) struct SqliteStaging {
    writer: SqlitePool,
    readers: SqlitePool,
    numbers: Numbers,
    /// Set once a tombstone was seen.
    any_seen: AtomicBool,
    /// The digests that the last purge of this process returned; its caller has swept them by the next.
    returned: Mutex<Vec<[u8; 32]>>,
}
