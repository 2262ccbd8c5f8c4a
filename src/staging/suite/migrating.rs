//! A database that an earlier version filled is brought up to date without losing a row, also when that is cut off.

use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, SqliteConnection};

use super::kit::{Fixture, Place, minute, new_cut, rendered};
use crate::staging::open::migrator;
use crate::staging::{
    BatchCounts, BatchState, BatchStep, By, RenderedBatch, SeqRange, SetAside, Supplement, postgres, sqlite,
};

/// The last step before supplements.
const BEFORE: usize = 2;

/// What stands in each table afterwards, in the words of both stores; `BYTES` is four bytes, `DIGEST` 32, `LATER` an instant. A
/// batch that is gone must not have its number used again.
const FILLED: &[(&str, &str)] = &[
    ("sources", "insert into sources (source_no, uri, staged) values (1, '/web', 3)"),
    ("rooms", "insert into rooms (room_no, uri, whole_uri) values (1, 'room:1', null), (2, 'room:2', BYTES)"),
    ("persons", "insert into persons (person_no, key) values (1, 'sip:a')"),
    (
        "events",
        "insert into events (source_no, event_id, variant, kind, room_no, person_no, message_id, time, \
         time_is_receipt, received, conflict, sha256, raw) values (1, '1', 0, 3, 1, 1, 'm', 7, false, 8, false, BYTES, BYTES), \
         (1, '2', 0, 6, 2, 1, null, 7, true, 8, true, BYTES, BYTES)",
    ),
    ("seen", "insert into seen (source_no, id_hash, digest, purged_at) values (1, BYTES, BYTES, 5)"),
    ("message_numbers", "insert into message_numbers (room_no, message_id, number, last_seq) values (1, 'm', 1, 1)"),
    ("adapters", "insert into adapters (adapter, cut_seq, cut_at) values ('a', 2, 638000001800000000)"),
    (
        "batches",
        "insert into batches (adapter, interval_start, interval_end, from_seq, to_seq, first, state, attempts, retry_at, \
         reason, events, messages, signals, conversations, late, left_out, replaced_characters, files, bytes, cut_at, \
         published_at, collected_at, collected_how, purged_at, share, workplace) values \
         ('a', 1, 2, 0, 1, true, 'published', 2, 3, 'why', 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 'removed', 16, 's', 'w'), \
         ('a', 2, 3, 1, 2, false, 'failed', 1, 9, 'no', 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, null, null, null, null, '', ''), \
         ('b', 2, 3, 1, 2, false, 'cut', 0, null, null, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, null, null, null, null, '', ''), \
         ('gone', 2, 3, 1, 2, false, 'cut', 0, null, null, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, null, null, null, null, '', '')",
    ),
    (
        "outputs",
        "insert into outputs (batch_id, position, name, kind, size, sha256, messages, collected_at) values \
         (1, 0, 'f.pdf', 'attachment', 5, DIGEST, 0, 9), (1, 1, 'a.xml', 'output', 6, DIGEST, 4, null)",
    ),
    ("captures", "insert into captures (seq, sha256, size, extension) values (2, BYTES, 4, 'pdf')"),
    ("unreferenced", "insert into unreferenced (sha256) values (BYTES)"),
    (
        "presence",
        "insert into presence (adapter, room_no, batch_id, bytes) values ('a', 1, 1, BYTES), ('a', 2, 2, BYTES)",
    ),
    (
        "quarantine",
        "insert into quarantine (key, received, origin, reason, detail, size, sha256, raw, seen, state) \
         values (BYTES, 1, 'o', 'r', 'd', 4, BYTES, BYTES, 2, 'waiting')",
    ),
    ("leases", "insert into leases (name, holder, token, expires) values ('adapter:x', 'h', 4, LATER)"),
    ("alerts", "insert into alerts (kind, subject, detail, opened, last, count) values ('k', 's', 'd', 1, 2, 3)"),
    ("acts", "insert into acts (at, who, verb, subject, reason) values (1, 'w', 'v', 's', 'r')"),
];
const DIGEST: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const EMPTIED: &str = "delete from batches where adapter = 'gone'";

const CUT_TWICE: &str = "insert into batches (adapter, interval_start, interval_end, from_seq, to_seq, first, state, \
    cut_at) select adapter, interval_start, interval_end, from_seq, to_seq, first, state, cut_at from batches where id = 1";

/// A table and its columns.
type Columns = Vec<(&'static str, Vec<String>)>;
/// Each table's rows as text, sorted.
type Contents = Vec<(&'static str, Vec<String>)>;

/// The statements of a step. None of ours holds a semicolon of its own.
fn statements(step: &(i64, &'static str, &'static str)) -> Vec<&'static str> {
    let all: Vec<_> = step.2.split_terminator(";\n").collect();
    assert!(all.len() > 5 && all.iter().all(|statement| !statement.contains(';')), "{all:?}");
    all
}

/// What an earlier version kept is there, the tables hold together, and supplements can be made.
async fn usable(f: &Fixture) {
    let lease = f.staging.lease("adapter:a", "test", std::time::Duration::from_secs(60)).await.unwrap().unwrap();
    let by = By::Worker(&lease);
    assert!(f.staging.batches(&Default::default()).await.unwrap().iter().all(|row| row.supplement_to.is_none()));
    let rooms = f.staging.room_balance().await.unwrap();
    let counts: Vec<_> = rooms.iter().map(|room| [room.arrived, room.present, room.purged]).collect();
    assert_eq!(counts, [[1, 1, 0], [1, 1, 0]], "{rooms:?}");
    let names: Vec<_> = f.staging.outputs(1).await.unwrap().into_iter().map(|output| output.name).collect();
    assert_eq!(names, ["f.pdf", "a.xml"]);
    assert_eq!(f.staging.presence("a", 2, 3).await.unwrap(), Some(vec![1, 2, 3, 4]));
    let retried = f.staging.advance(by, 2, &[BatchState::Failed], &BatchStep::Retry).await.unwrap();
    assert_eq!((retried.attempts, retried.range), (1, SeqRange { from: 1, to: 2 }));
    let next = f.staging.cut(&lease, &new_cut("a", 9)).await.unwrap();
    assert_eq!(next.id, 5, "the number of a batch that is gone is not used again");
    let set_aside = Supplement {
        conversations: vec![SetAside { room: 2, reason: "r".into() }],
        counts: BatchCounts::default(),
        retry_at: minute(9),
        reason: "r".into(),
    };
    let result = RenderedBatch { set_aside: Some(set_aside), ..rendered(&retried, &["b.xml"]) };
    assert_eq!(f.staging.finish_render(&lease, &result).await.unwrap(), Some(6));
}

async fn sqlite_at(path: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true).foreign_keys(true);
    // A small cache writes pages to the log long before the commit.
    options.journal_mode(SqliteJournalMode::Wal).pragma("cache_size", "1").connect().await.unwrap()
}

async fn sqlite_filled(path: &Path) -> (SqliteConnection, Columns) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut connection = sqlite_at(path).await;
    migrator(&sqlite::MIGRATIONS[..BEFORE]).run(&mut connection).await.unwrap();
    let mut columns = Columns::new();
    for (table, statement) in FILLED {
        let statement =
            statement.replace("BYTES", "x'01020304'").replace("DIGEST", &format!("x'{DIGEST}'")).replace("LATER", "99");
        sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
        let names = sqlx::query_scalar("select name from pragma_table_info($1) order by cid").bind(table);
        columns.push((table, names.fetch_all(&mut connection).await.unwrap()));
    }
    sqlx::query(EMPTIED).execute(&mut connection).await.unwrap();
    (connection, columns)
}

async fn sqlite_contents(connection: &mut SqliteConnection, columns: &Columns) -> Contents {
    let mut contents = Contents::new();
    for (table, names) in columns {
        let row = names.iter().map(|name| format!("quote({name})")).collect::<Vec<_>>().join(" || ' ' || ");
        let rows = sqlx::query_scalar(AssertSqlSafe(format!("select {row} from {table} order by 1")));
        contents.push((*table, rows.fetch_all(&mut *connection).await.unwrap()));
    }
    contents
}

#[tokio::test]
async fn sqlite_keeps_every_row() {
    let place = Place::sqlite();
    let path = place.config.sqlite_path();
    let (mut connection, columns) = sqlite_filled(&path).await;
    let before = sqlite_contents(&mut connection, &columns).await;
    assert!(before.iter().all(|(_, rows)| !rows.is_empty()), "{before:?}");
    let tables: Vec<String> = sqlx::query_scalar("select name from sqlite_master where type = 'table'")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    let ours = tables.iter().filter(|name| !name.starts_with("sqlite_") && !name.starts_with("_sqlx")).count();
    assert_eq!(ours, FILLED.len(), "no table was forgotten: {tables:?}");
    connection.close().await.unwrap();

    let fixture = place.open().await;
    let mut connection = sqlite_at(&path).await;
    assert_eq!(sqlite_contents(&mut connection, &columns).await, before);
    let broken = sqlx::query("pragma foreign_key_check").fetch_all(&mut connection).await.unwrap();
    assert!(broken.is_empty());
    for (table, parent) in
        [("outputs", "batches"), ("presence", "batches"), ("presence", "rooms"), ("set_aside", "batches")]
    {
        let parents = sqlx::query_scalar("select \"table\" from pragma_foreign_key_list($1)").bind(table);
        let parents: Vec<String> = parents.fetch_all(&mut connection).await.unwrap();
        assert!(parents.iter().any(|name| name == parent), "{table}: {parents:?}");
    }
    usable(&fixture).await;
    assert!(sqlx::query(CUT_TWICE).execute(&mut connection).await.is_err(), "an interval is cut once");
}

/// The file and its log are what a process leaves that is killed at that moment.
#[tokio::test]
async fn sqlite_survives_a_crash_at_each_statement() {
    let whole = statements(&sqlite::MIGRATIONS[BEFORE]);
    for done in 1..=whole.len() {
        let (running, crashed) = (tempfile::tempdir().unwrap(), Place::sqlite());
        let path = running.path().join("staging.db");
        let (mut connection, columns) = sqlite_filled(&path).await;
        let before = sqlite_contents(&mut connection, &columns).await;
        sqlx::query("begin immediate").execute(&mut connection).await.unwrap();
        for statement in &whole[..done] {
            sqlx::raw_sql(*statement).execute(&mut connection).await.unwrap();
        }
        let left = crashed.config.sqlite_path();
        std::fs::create_dir_all(left.parent().unwrap()).unwrap();
        std::fs::copy(&path, &left).unwrap();
        std::fs::copy(path.with_extension("db-wal"), left.with_extension("db-wal")).unwrap();
        drop(connection);

        let fixture = crashed.open().await;
        assert_eq!(sqlite_contents(&mut sqlite_at(&left).await, &columns).await, before, "after {done} statements");
        usable(&fixture).await;
    }
}

async fn postgres_at(place: &Place) -> PgConnection {
    let section = &place.config.staging;
    let mut connection = PgConnection::connect(section.url.as_deref().unwrap()).await.unwrap();
    let path = format!("set search_path = {}", section.schema);
    sqlx::query(AssertSqlSafe(path)).execute(&mut connection).await.unwrap();
    connection
}

async fn postgres_filled(place: &Place) -> (PgConnection, Columns) {
    let mut connection = postgres_at(place).await;
    let create = format!("create schema {}", place.config.staging.schema);
    sqlx::query(AssertSqlSafe(create)).execute(&mut connection).await.unwrap();
    migrator(&postgres::MIGRATIONS[..BEFORE]).run(&mut connection).await.unwrap();
    let mut columns = Columns::new();
    for (table, statement) in FILLED {
        let statement = statement
            .replace("BYTES", r"'\x01020304'")
            .replace("DIGEST", &format!(r"'\x{DIGEST}'"))
            .replace("LATER", "'2026-11-22T10:00:00Z'");
        sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
        let names = "select column_name::text from information_schema.columns \
            where table_schema = current_schema() and table_name = $1 order by ordinal_position";
        columns.push((table, sqlx::query_scalar(names).bind(table).fetch_all(&mut connection).await.unwrap()));
    }
    sqlx::query(EMPTIED).execute(&mut connection).await.unwrap();
    (connection, columns)
}

async fn postgres_contents(connection: &mut PgConnection, columns: &Columns) -> Contents {
    let mut contents = Contents::new();
    for (table, names) in columns {
        let row =
            names.iter().map(|name| format!("coalesce({name}::text, '-')")).collect::<Vec<_>>().join(" || ' ' || ");
        let rows = sqlx::query_scalar(AssertSqlSafe(format!("select {row} from {table} order by 1")));
        contents.push((*table, rows.fetch_all(&mut *connection).await.unwrap()));
    }
    contents
}

#[tokio::test]
async fn postgres_keeps_every_row_also_after_a_crash_at_each_statement() {
    let place = Place::postgres();
    let (mut connection, columns) = postgres_filled(&place).await;
    let before = postgres_contents(&mut connection, &columns).await;
    assert!(before.iter().all(|(_, rows)| !rows.is_empty()), "{before:?}");
    let whole = statements(&postgres::MIGRATIONS[BEFORE]);
    for done in 1..=whole.len() {
        let mut crashing = postgres_at(&place).await;
        sqlx::query("begin").execute(&mut crashing).await.unwrap();
        for statement in &whole[..done] {
            sqlx::raw_sql(*statement).execute(&mut crashing).await.unwrap();
        }
        // Without a word of farewell, as when the process is killed.
        drop(crashing);
        assert_eq!(postgres_contents(&mut connection, &columns).await, before, "after {done} statements");
    }
    let fixture = place.open().await;
    assert_eq!(postgres_contents(&mut connection, &columns).await, before);
    usable(&fixture).await;
    assert!(sqlx::query(CUT_TWICE).execute(&mut connection).await.is_err(), "an interval is cut once");
}
