//! Staging in PostgreSQL: the production store, shared by any number of processes.
//!
//! A sequence number becomes visible when its transaction commits, not when it is drawn, so a plain
//! `max(seq)` would step over an event that is still being committed. Therefore every staging transaction
//! holds an advisory lock, shared, from before its first number until its commit, and a cut reads
//! `max(seq)` under the same lock, exclusive: at that moment no writer is between the two. Transaction ids
//! are deliberately not compared: they start anew after a dump and restore, and rows restored would never
//! be cut. The locks' keys are derived from the schema's name, so schemas do not wait for each other.

use std::sync::atomic::AtomicBool;

use sqlx::PgPool;
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
pub(crate) struct PostgresStaging {
    pool: PgPool,
    locks: Locks,
    numbers: Numbers,
    /// Set once a tombstone was seen. Other processes may purge too, so unset only means "ask".
    any_seen: AtomicBool,
    /// The digests that the last purge of this process returned; its caller has swept them by the next.
    returned: Mutex<Vec<[u8; 32]>>,
}

/// Keys of the advisory locks of one schema.
#[derive(Debug, Clone, Copy)]
struct Locks {
    /// Shared by staging transactions, exclusive while a cut reads the last arrival number.
    writers: i64,
    /// Held while new sources, rooms and persons are numbered.
    numbers: i64,
    /// Held by the transactions that cut and that purge; shared by those that record captures.
    batches: i64,
}
