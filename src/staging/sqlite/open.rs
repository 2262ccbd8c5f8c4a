//! Opens the store: file, connections, migrations. Refuses a file that is no SQLite database.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use sqlx::SqlitePool;
use sqlx::migrate::MigrateError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use tokio::sync::Mutex;

use super::SqliteStaging;
use crate::staging::arrival::Numbers;
use crate::staging::open::migrator;
use crate::staging::{Result, StagingError};

/// How long a call waits for a free connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a statement waits for another process to let go of the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How often it is tried to bring the tables up to date.
const MIGRATION_LOOKS: u32 = 5;
/// How long others may be at it who open the file at the same time, and the pause between two looks.
const OPENING_PATIENCE: Duration = Duration::from_secs(30);
const OPENING_PAUSE: Duration = Duration::from_millis(100);
/// Connections that only read; a running render holds one.
const READERS: u32 = 8;
/// Pages in the log before they are copied into the file: fewer, larger copies than the default of 1000.
const CHECKPOINT_PAGES: &str = "8000";
/// Page cache of the writing connection, in KiB, as a negative number.
const CACHE_KIB: &str = "-65536";
/// Page cache of each reading connection, likewise: sorting the events of an interval needs more than the default.
const READING_CACHE_KIB: &str = "-16384";
/// Rows that the reading thread may be ahead of whoever takes them: with few the two wake each other for each row.
const ROWS_AHEAD: usize = 1024;
/// The log is cut back to so many bytes after it has grown beyond.
const LOG_BYTES: &str = "67108864";

pub(in crate::staging) const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "staging", include_str!("migrations/0001_staging.sql")),
    (2, "workplace", include_str!("migrations/0002_workplace.sql")),
    (3, "supplements", include_str!("migrations/0003_supplements.sql")),
    (4, "files", include_str!("migrations/0004_files.sql")),
    (5, "evidence", include_str!("migrations/0005_evidence.sql")),
    (6, "sequences", include_str!("migrations/0006_sequences.sql")),
    (7, "holds", include_str!("migrations/0007_holds.sql")),
    (8, "totals", include_str!("migrations/0008_totals.sql")),
    (9, "rooms", include_str!("migrations/0009_rooms.sql")),
    (10, "copies", include_str!("migrations/0010_copies.sql")),
];

/// Opens the file, creates it if it is missing, and brings its tables up to date. Its directory exists.
pub(in crate::staging) async fn open(path: &Path) -> Result<SqliteStaging> {
    create_private(path)?;
    let options = SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT);
    let writing = options
        .clone()
        .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
        .pragma("journal_size_limit", LOG_BYTES)
        .pragma("cache_size", CACHE_KIB);
    let pool = || SqlitePoolOptions::new().acquire_timeout(ACQUIRE_TIMEOUT).test_before_acquire(false);
    let for_writing = || pool().max_connections(1).idle_timeout(None).max_lifetime(None);
    let writer = connect(for_writing, writing).await?;
    // Two processes may open a new file at once, and the driver takes no lock for that in SQLite. Each step is one
    // transaction: the process that comes second fails, and finds it done when it looks again.
    let (mut looks, begun) = (1, Instant::now());
    while let Err(error) = migrator(MIGRATIONS).run(&writer).await {
        let cause = match &error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => Some(error),
            _ => None,
        };
        let others_at_it = cause.is_some_and(is_locked) && begun.elapsed() < OPENING_PATIENCE;
        if looks >= MIGRATION_LOOKS && !others_at_it {
            return Err(error.into());
        }
        looks += 1;
        tokio::time::sleep(OPENING_PAUSE).await;
    }
    let reading = options.read_only(true).row_buffer_size(ROWS_AHEAD).pragma("cache_size", READING_CACHE_KIB);
    let readers = connect(|| pool().max_connections(READERS), reading).await?;
    Ok(SqliteStaging {
        writer,
        readers,
        numbers: Numbers::default(),
        any_seen: AtomicBool::new(false),
        returned: Mutex::default(),
    })
}

/// Connects. That sets the journal's mode, for which SQLite waits for no lock that another connection has just then.
async fn connect(pool: impl Fn() -> SqlitePoolOptions, options: SqliteConnectOptions) -> Result<SqlitePool> {
    let begun = Instant::now();
    loop {
        match pool().connect_with(options.clone()).await {
            Err(error) if is_locked(&error) && begun.elapsed() < OPENING_PATIENCE => {
                tokio::time::sleep(OPENING_PAUSE).await;
            }
            connected => return Ok(connected?),
        }
    }
}

/// Whether another connection held the file.
fn is_locked(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    // The lower byte is the kind: SQLITE_BUSY or SQLITE_LOCKED.
    code.and_then(|code| code.parse::<u32>().ok()).is_some_and(|code| matches!(code & 0xff, 5 | 6))
}

/// Creates an empty file that only its owner can read: it will hold content. The log beside it takes over
/// its rights.
fn create_private(path: &Path) -> Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            Err(StagingError::Unavailable { detail: format!("cannot create {}: {error}", path.display()) })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test should panic")]

    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[tokio::test]
    async fn what_is_no_database_or_comes_from_a_later_version_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let text = dir.path().join("text.db");
        std::fs::write(&text, "this is no database, but it is long enough to be looked at".repeat(20)).unwrap();
        assert!(matches!(open(&text).await, Err(StagingError::Broken { .. })));

        let later = dir.path().join("later.db");
        let store = open(&later).await.unwrap();
        let change = "insert into _sqlx_migrations (version, description, success, checksum, execution_time) \
            values (999, 'of a later version', 1, x'00', 0)";
        sqlx::query(change).execute(&store.writer).await.unwrap();
        let refused = open(&later).await.err().unwrap();
        assert!(matches!(&refused, StagingError::Broken { detail } if detail.contains("later version")), "{refused}");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_new_file_may_be_opened_by_several_at_once() {
        let dir = tempfile::tempdir().unwrap();
        for round in 0..5 {
            let path = dir.path().join(format!("{round}.db"));
            let opened: Vec<_> = (0..4)
                .map(|_| {
                    let path = path.clone();
                    tokio::spawn(async move { open(&path).await.map(drop) })
                })
                .collect();
            for one in opened {
                one.await.unwrap().unwrap();
            }
        }
    }

    #[tokio::test]
    async fn the_file_is_its_owners_alone_and_fully_synchronous() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("staging.db");
        let store = open(&path).await.unwrap();
        for file in ["staging.db", "staging.db-wal"] {
            let mode = dir.path().join(file).metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
        let pragma =
            async |name: &'static str| sqlx::query_scalar::<_, i64>(name).fetch_one(&store.writer).await.unwrap();
        assert_eq!(pragma("pragma synchronous").await, 2);
        assert_eq!(pragma("pragma foreign_keys").await, 1);
        assert_eq!(pragma("pragma busy_timeout").await, 5000);
        let write = sqlx::query("delete from events").execute(&store.readers).await;
        assert!(write.is_err(), "readers cannot write");
    }
}
