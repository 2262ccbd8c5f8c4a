//! Opens the store: address, password, schema, migrations. Refuses a schema name that would need quoting.

use std::str::FromStr;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use sha2::{Digest, Sha256};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, PgPool};
use tokio::sync::Mutex;

use super::{Locks, PostgresStaging, sql};
use crate::staging::Result;
use crate::staging::arrival::Numbers;
use crate::staging::keys::broken;
use crate::staging::open::migrator;

/// How long a call waits for a free or new connection. On a machine whose disk stalls, a new one can take
/// longer than five seconds.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(15);
/// The server ends a transaction that sits idle so long, so that a hung process holds up nobody.
const IDLE_IN_TRANSACTION_TIMEOUT: &str = "30s";

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

/// Connects, creates the schema if it is missing, and brings its tables up to date.
pub(in crate::staging) async fn open(
    url: &str,
    password: Option<&str>,
    schema: &str,
    connections: u32,
) -> Result<PostgresStaging> {
    check_schema_name(schema)?;
    let mut options = PgConnectOptions::from_str(url)?
        .application_name("chancery")
        .options([("search_path", schema), ("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION_TIMEOUT)]);
    if let Some(password) = password {
        options = options.password(password);
    }
    let pool = PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_with(options)
        .await?;
    create_schema(&pool, schema).await?;
    migrator(MIGRATIONS).run(&pool).await?;
    Ok(PostgresStaging {
        pool,
        locks: Locks::of(schema),
        numbers: Numbers::default(),
        any_seen: AtomicBool::new(false),
        returned: Mutex::default(),
    })
}

fn check_schema_name(schema: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let fits = (1..=63).contains(&schema.len()) && schema.chars().all(plain);
    if fits && !schema.starts_with(|c: char| c.is_ascii_digit()) && !schema.starts_with("pg_") {
        return Ok(());
    }
    Err(broken(format!("expected a schema name of lower-case letters, digits and _, found {schema:?}")))
}

/// Two processes may create it at once; the one that comes second finds it there.
async fn create_schema(pool: &PgPool, schema: &str) -> Result<()> {
    let there = || sqlx::query_scalar::<_, bool>(sql::HAS_SCHEMA).bind(schema).fetch_one(pool);
    if there().await? {
        return Ok(());
    }
    // The name was checked: it holds nothing that would need quoting.
    match sqlx::query(AssertSqlSafe(format!("create schema if not exists {schema}"))).execute(pool).await {
        Err(_) if there().await? => Ok(()),
        other => other.map(drop).map_err(Into::into),
    }
}

impl Locks {
    /// The keys for a schema; advisory locks are the database's, not the schema's.
    fn of(schema: &str) -> Self {
        let key = |purpose: &str| {
            let digest: [u8; 32] = Sha256::digest(format!("chancery {purpose} {schema}")).into();
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&digest[..8]);
            i64::from_be_bytes(bytes)
        };
        Self { writers: key("writers"), numbers: key("numbers"), batches: key("batches") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_connection_stays_in_its_schema_and_never_sits_idle_in_a_transaction() {
        let fixture = crate::staging::suite::Fixture::postgres().await;
        let section = &fixture.config.staging;
        let store = open(section.url.as_deref().unwrap_or_default(), None, &section.schema, 2).await;
        let pool = store.map(|store| store.pool).unwrap_or_else(|error| panic!("{error}"));
        let shown = async |name: &'static str| sqlx::query_scalar::<_, String>(name).fetch_one(&pool).await.ok();
        assert_eq!(shown("show search_path").await.as_deref(), Some(&*section.schema));
        assert_eq!(shown("show idle_in_transaction_session_timeout").await.as_deref(), Some("30s"));
        assert_eq!(shown("show synchronous_commit").await.as_deref(), Some("on"));
    }

    #[tokio::test]
    async fn a_server_that_does_not_answer_may_answer_later() {
        let Err(error) = open("postgres://nobody@127.0.0.1:1/none", None, "chancery", 2).await else {
            panic!("nothing listens on port 1")
        };
        assert!(error.retryable(), "{error}");
    }

    #[test]
    fn only_plain_schema_names_are_taken() {
        for name in ["chancery", "_a1", "a"] {
            assert!(check_schema_name(name).is_ok(), "{name}");
        }
        for name in ["", "1a", "a b", "a\"", "A", "pg_x", &"a".repeat(64)] {
            assert!(check_schema_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn schemas_and_purposes_do_not_share_locks() {
        let (one, other) = (Locks::of("one"), Locks::of("other"));
        let keys = [one.writers, one.numbers, one.batches, other.writers, other.numbers, other.batches];
        assert_eq!(keys.iter().collect::<std::collections::HashSet<_>>().len(), keys.len());
    }
}
