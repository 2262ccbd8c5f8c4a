//! Translates what the driver says into staging's own errors. Nothing outside this folder sees the driver.

use sqlx::error::DatabaseError;
use sqlx::migrate::MigrateError;
use sqlx::sqlite::SqliteError;

use super::StagingError;

impl From<sqlx::Error> for StagingError {
    fn from(error: sqlx::Error) -> Self {
        let detail = error.to_string();
        match &error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Self::Unavailable { detail },
            sqlx::Error::Database(database) if passes(database.as_ref()) => Self::Unavailable { detail },
            _ => Self::Broken { detail },
        }
    }
}

impl From<MigrateError> for StagingError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error.into(),
            MigrateError::VersionMissing(version) | MigrateError::VersionTooNew(version, _) => {
                Self::Broken { detail: format!("a later version of Chancery has changed it (step {version})") }
            }
            other => Self::Broken { detail: other.to_string() },
        }
    }
}

/// Whether the answer is about the database's condition and not about the statement.
fn passes(error: &dyn DatabaseError) -> bool {
    let Some(code) = error.code() else { return false };
    match error.try_downcast_ref::<SqliteError>() {
        Some(_) => code.parse().is_ok_and(sqlite_passes),
        None => sqlstate_passes(&code),
    }
}

/// SQLite's primary codes: busy, locked, out of memory, read-only, I/O error, full, cannot open.
fn sqlite_passes(code: i32) -> bool {
    matches!(code & 0xff, 5 | 6 | 7 | 8 | 10 | 13 | 14)
}

/// SQLSTATE: connection lost, out of resources, system error, operator's shutdown, cancelled, lock timeout,
/// serialisation, deadlock, idle too long.
fn sqlstate_passes(code: &str) -> bool {
    matches!(code.get(..2), Some("08" | "53" | "58"))
        || matches!(code, "57014" | "57P01" | "57P02" | "57P03" | "57P05" | "55P03" | "40001" | "40P01" | "25P03")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_conditions_that_pass_by_themselves_are_told_from_those_that_do_not() {
        for code in ["08006", "53100", "53300", "57P01", "57P03", "55P03", "40P01", "25P03", "58030"] {
            assert!(sqlstate_passes(code), "{code}");
        }
        for code in ["42P01", "42601", "22021", "23505", "28P01", "3D000", "54000"] {
            assert!(!sqlstate_passes(code), "{code}");
        }
        for code in [5, 6, 13, 10, 14, 5 | (2 << 8), 10 | (4 << 8)] {
            assert!(sqlite_passes(code), "{code}");
        }
        for code in [1, 11, 19, 26] {
            assert!(!sqlite_passes(code), "{code}");
        }
    }

    #[test]
    fn a_database_of_a_later_version_is_broken_and_an_exhausted_pool_is_not() {
        assert!(!StagingError::from(MigrateError::VersionMissing(9)).retryable());
        assert!(StagingError::from(MigrateError::Execute(sqlx::Error::PoolTimedOut)).retryable());
        assert!(StagingError::from(sqlx::Error::PoolClosed).retryable());
        assert!(!StagingError::from(sqlx::Error::RowNotFound).retryable());
    }
}
