//! How much Chancery has staged, asked of the database: the one look inside that is needed, because a command of ours
//! would take a share of the processors that are being measured.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use sqlx::postgres::PgPoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{AssertSqlSafe, PgPool, Row as _, SqlitePool};

use crate::parts::Bench;
use crate::process::Running;
use crate::site::{Site, Store};

/// How often it is asked.
const TICK: Duration = Duration::from_millis(5);
/// After so long without anything new something is wrong.
const PATIENCE: Duration = Duration::from_secs(60);

/// A view of the counts of a site.
pub(crate) enum Counter {
    Postgres(PgPool, String),
    Sqlite(SqlitePool),
}

impl Counter {
    /// To be opened after `setup`, which makes the tables.
    pub(crate) async fn open(bench: &Bench, site: &Site) -> Result<Self> {
        Ok(match site.store {
            Store::Postgres => {
                let pool = PgPoolOptions::new().max_connections(1).connect(&bench.postgres_url).await?;
                Self::Postgres(pool, site.name.clone())
            }
            Store::Sqlite => {
                let options = SqliteConnectOptions::new().filename(site.staging_file()).read_only(true);
                Self::Sqlite(SqlitePoolOptions::new().max_connections(1).connect_with(options).await?)
            }
        })
    }

    /// Events staged since the beginning.
    pub(crate) async fn staged(&self) -> Result<u64> {
        let staged: i64 = match self {
            Self::Postgres(pool, schema) => {
                let sql = format!("select coalesce(sum(staged), 0)::bigint from {schema}.sources");
                sqlx::query(AssertSqlSafe(sql)).fetch_one(pool).await?.try_get(0)?
            }
            Self::Sqlite(pool) => {
                sqlx::query("select coalesce(sum(staged), 0) from sources").fetch_one(pool).await?.try_get(0)?
            }
        };
        u64::try_from(staged).context("a negative count")
    }

    /// Whether no event lies in staging any more.
    pub(crate) async fn is_empty(&self) -> Result<bool> {
        let (postgres, sqlite) = ("select not exists (select from ", "select not exists (select 1 from events)");
        Ok(match self {
            Self::Postgres(pool, schema) => {
                sqlx::query(AssertSqlSafe(format!("{postgres}{schema}.events)"))).fetch_one(pool).await?.try_get(0)?
            }
            Self::Sqlite(pool) => sqlx::query(sqlite).fetch_one(pool).await?.try_get(0)?,
        })
    }

    /// Waits until so many are staged; gives back the rate from the first commit that was seen to the last.
    pub(crate) async fn rate(&self, events: u64, daemon: &mut Running, site: &Site) -> Result<f64> {
        let (mut first, mut last) = (None, (0, Instant::now()));
        loop {
            let staged = self.staged().await?;
            let now = Instant::now();
            if staged > 0 {
                first.get_or_insert((staged, now));
            }
            if staged >= events {
                break;
            }
            if staged != last.0 {
                last = (staged, now);
            } else if now - last.1 > PATIENCE {
                bail!("only {staged} of {events} events were staged, and nothing more in {} s", PATIENCE.as_secs());
            }
            daemon.check(&site.log())?;
            tokio::time::sleep(TICK).await;
        }
        match first {
            Some((before, begun)) if before < events => Ok((events - before) as f64 / begun.elapsed().as_secs_f64()),
            _ => bail!("everything was staged at once: too few events to measure"),
        }
    }
}

/// Deletes what a measurement left in PostgreSQL.
pub(crate) async fn drop_schema(bench: &Bench, name: &str) -> Result<()> {
    let pool = PgPoolOptions::new().max_connections(1).connect(&bench.postgres_url).await?;
    sqlx::raw_sql(AssertSqlSafe(format!("drop schema if exists {name} cascade"))).execute(&pool).await?;
    pool.close().await;
    Ok(())
}
