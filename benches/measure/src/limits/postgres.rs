//! PostgreSQL, durable, with nothing parsed: a table of keys and bytes.

use anyhow::Result;
use futures_util::TryStreamExt as _;
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, PgPool, Row as _};

/// A table of its own, in a schema of its own.
pub(crate) struct BareTable {
    pool: PgPool,
    schema: String,
    rows: i64,
}

impl BareTable {
    pub(crate) async fn make(url: &str, schema: &str) -> Result<Self> {
        let pool = PgPoolOptions::new().max_connections(1).connect(url).await?;
        let statements = format!(
            "create schema {schema}; create table {schema}.events (
                seq bigint generated always as identity primary key, source bigint not null, id text not null,
                room bigint not null, time bigint not null, raw bytea not null, unique (source, id))"
        );
        sqlx::raw_sql(AssertSqlSafe(statements)).execute(&pool).await?;
        Ok(Self { pool, schema: schema.to_owned(), rows: 0 })
    }

    /// Inserts bodies in one statement, which is one commit. Keys are counted up, since nothing is parsed.
    pub(crate) async fn insert(&mut self, bodies: &[Vec<u8>]) -> Result<()> {
        let first = self.rows;
        self.rows += i64::try_from(bodies.len())?;
        let ids: Vec<String> = (first..self.rows).map(|number| format!("{number:020}")).collect();
        let (sources, rooms): (Vec<i64>, Vec<i64>) = (first..self.rows).map(|number| (number % 2, number % 50)).unzip();
        let times: Vec<i64> = (first..self.rows).collect();
        let raws: Vec<&[u8]> = bodies.iter().map(Vec::as_slice).collect();
        let sql = format!(
            "insert into {}.events (source, id, room, time, raw)
             select * from unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[], $5::bytea[])
             on conflict do nothing",
            self.schema
        );
        sqlx::query(AssertSqlSafe(sql))
            .bind(sources)
            .bind(ids)
            .bind(rooms)
            .bind(times)
            .bind(raws)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Reads everything back, ordered by room and time; gives back how many bytes.
    pub(crate) async fn read(&self) -> Result<u64> {
        let sql = format!("select raw from {}.events order by room, time, seq", self.schema);
        let mut rows = sqlx::query(AssertSqlSafe(sql)).fetch(&self.pool);
        let mut bytes = 0;
        while let Some(row) = rows.try_next().await? {
            bytes += row.try_get::<&[u8], _>(0)?.len() as u64;
        }
        Ok(bytes)
    }

    pub(crate) async fn drop(self) -> Result<()> {
        sqlx::raw_sql(AssertSqlSafe(format!("drop schema {} cascade", self.schema))).execute(&self.pool).await?;
        self.pool.close().await;
        Ok(())
    }
}
