//! SQLite with `synchronous = FULL`, nothing parsed: a table of keys and bytes.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;
use futures_util::TryStreamExt as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, Row as _, SqlitePool};

/// Rows of one statement: SQLite allows 32,766 parameters.
const ROWS: usize = 500;

pub(crate) struct BareTable {
    pool: SqlitePool,
    rows: i64,
}

impl BareTable {
    pub(crate) async fn make(file: &Path) -> Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full);
        let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
        let table = "create table events (seq integer primary key, source integer not null, id text not null,
            room integer not null, time integer not null, raw blob not null, unique (source, id))";
        sqlx::raw_sql(table).execute(&pool).await?;
        Ok(Self { pool, rows: 0 })
    }

    /// Inserts bodies in one commit.
    pub(crate) async fn insert(&mut self, bodies: &[Vec<u8>]) -> Result<()> {
        let mut transaction = self.pool.begin().await?;
        for chunk in bodies.chunks(ROWS) {
            let mut sql = "insert into events (source, id, room, time, raw) values (?,?,?,?,?)".to_owned();
            for _ in 1..chunk.len() {
                write!(sql, ",(?,?,?,?,?)")?;
            }
            sql.push_str(" on conflict do nothing");
            let mut query = sqlx::query(AssertSqlSafe(sql));
            for raw in chunk {
                let number = self.rows;
                self.rows += 1;
                query = query
                    .bind(number % 2)
                    .bind(format!("{number:020}"))
                    .bind(number % 50)
                    .bind(number)
                    .bind(raw.as_slice());
            }
            query.execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Reads everything back, ordered by room and time; gives back how many bytes.
    pub(crate) async fn read(&self) -> Result<u64> {
        let mut rows = sqlx::query("select raw from events order by room, time, seq").fetch(&self.pool);
        let mut bytes = 0;
        while let Some(row) = rows.try_next().await? {
            bytes += row.try_get::<&[u8], _>(0)?.len() as u64;
        }
        Ok(bytes)
    }

    pub(crate) async fn close(self) {
        self.pool.close().await;
    }
}
