//! What the bridge must remember: which number each event has, what the broker has not confirmed yet, and what is known of
//! rooms and people. One SQLite file, fully synchronous.
//!
//! An event's body is stored before it is published and read back to publish it, so that whatever is cut off, the same event
//! goes out with the same bytes.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Row as _, SqlSafeStr as _, Sqlite, SqlitePool, Transaction};

use super::map::{Known, Learned, RoomFacts, Said, SaidKind, Wanted};
use crate::model::Ticks;
use crate::support::durable::{PathError, create_dir};
use crate::support::step::{Commit, Step, reached};

/// How long a statement waits for another process to let go of the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long ids and words are kept: longer than a homeserver tries to deliver, and than it keeps what was deleted.
pub const KEPT_FOR: Duration = Duration::from_secs(35 * 86_400);

/// Why the memory cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MemoryError {
    /// The file or its directory cannot be made.
    #[error("the bridge's memory cannot be made")]
    Path(#[from] PathError),
    /// The database does not answer, or is none.
    #[error("the bridge's memory {} cannot be used", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What the driver said.
        #[source]
        source: sqlx::Error,
    },
    /// Its tables cannot be brought up to date.
    #[error("the tables of the bridge's memory {} cannot be brought up to date", path.display())]
    Tables {
        /// The file.
        path: PathBuf,
        /// What the driver said.
        #[source]
        source: sqlx::migrate::MigrateError,
    },
}

/// The outcome of what asks the memory.
pub type Result<T> = std::result::Result<T, MemoryError>;

/// An event that the broker has not confirmed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// Its number.
    pub sequence: i64,
    /// The exact bytes to publish.
    pub body: Vec<u8>,
}

/// The open file.
pub struct Memory {
    pool: SqlitePool,
    path: PathBuf,
}

/// Changes that stand together, or not at all.
pub struct Change<'a> {
    transaction: Transaction<'static, Sqlite>,
    path: &'a Path,
    now: Ticks,
}

fn failed(path: &Path) -> impl FnOnce(sqlx::Error) -> MemoryError + '_ {
    move |source| MemoryError::Database { path: path.to_owned(), source }
}

impl Memory {
    /// Opens the file, creates it readable by its owner alone if it is missing, and brings its tables up to date.
    ///
    /// # Errors
    /// When it cannot be made, is no database, or comes from a later version.
    pub async fn open(path: &Path) -> Result<Self> {
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            create_dir(parent)?;
        }
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
            Err(source) if source.kind() != ErrorKind::AlreadyExists => {
                return Err(PathError { action: "create", path: path.to_owned(), source }.into());
            }
            _ => {}
        }
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT);
        // One connection: the bridge takes one transaction after the other, as its homeserver sends them.
        let pool = SqlitePoolOptions::new().max_connections(1).idle_timeout(None).max_lifetime(None);
        let pool = pool.connect_with(options).await.map_err(failed(path))?;
        let sql = include_str!("memory/0001_memory.sql").into_sql_str();
        let first = Migration::new(1, "memory".into(), MigrationType::Simple, sql, false);
        let tables = Migrator::with_migrations(vec![first]).run(&pool).await;
        tables.map_err(|source| MemoryError::Tables { path: path.to_owned(), source })?;
        reached(Step::BridgeMemoryOpened);
        Ok(Self { pool, path: path.to_owned() })
    }

    /// Begins a change. One that is dropped without [`Change::commit`] never was.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn change(&self, now: Ticks) -> Result<Change<'_>> {
        let transaction = self.pool.begin_with("begin immediate").await.map_err(failed(&self.path))?;
        Ok(Change { transaction, path: &self.path, now })
    }
}

impl Change<'_> {
    /// Makes the change stand.
    ///
    /// # Errors
    /// When the database does not answer; whether it stands is then unknown.
    pub async fn commit(self, commit: Commit) -> Result<()> {
        reached(commit.pending);
        self.transaction.commit().await.map_err(failed(self.path))?;
        reached(commit.done);
        Ok(())
    }

    /// Whether the event has a number already.
    ///
    /// # Errors
    /// As all here: when the database does not answer.
    pub async fn has(&mut self, event_id: &str) -> Result<bool> {
        let found = sqlx::query("select 1 from events where event_id = ?").bind(event_id);
        let found = found.fetch_optional(&mut *self.transaction).await.map_err(failed(self.path))?;
        Ok(found.is_some())
    }

    /// The highest number given out; 0 before the first.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn last_sequence(&mut self) -> Result<i64> {
        let last = sqlx::query_scalar("select seq from sqlite_sequence where name = 'events'");
        let last: Option<i64> = last.fetch_optional(&mut *self.transaction).await.map_err(failed(self.path))?;
        Ok(last.unwrap_or(0))
    }

    /// Keeps an event under its number until it is confirmed.
    ///
    /// # Errors
    /// When the database does not answer, or knows the event or the number already.
    pub async fn add(&mut self, sequence: i64, event_id: &str, body: &[u8]) -> Result<()> {
        let add = sqlx::query("insert into events (sequence, event_id, body, received_at) values (?, ?, ?, ?)");
        let add = add.bind(sequence).bind(event_id).bind(body).bind(self.now.ticks());
        add.execute(&mut *self.transaction).await.map_err(failed(self.path))?;
        Ok(())
    }

    /// Everything that is not confirmed yet, in the order of its numbers.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn open_events(&mut self) -> Result<Vec<Open>> {
        let rows = sqlx::query("select sequence, body from events where body is not null order by sequence");
        let rows = rows.fetch_all(&mut *self.transaction).await.map_err(failed(self.path))?;
        Ok(rows.iter().map(|row| Open { sequence: row.get(0), body: row.get(1) }).collect())
    }

    /// Records that the broker has everything up to this number; the bodies are not needed any more.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn confirm(&mut self, up_to: i64) -> Result<()> {
        let confirm = sqlx::query("update events set body = null where body is not null and sequence <= ?");
        confirm.bind(up_to).execute(&mut *self.transaction).await.map_err(failed(self.path))?;
        Ok(())
    }

    /// What is known for mapping an event.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn known(&mut self, room: Option<&str>, wanted: &Wanted) -> Result<Known> {
        let mut known = Known::default();
        if let Some(room) = room {
            let facts = sqlx::query("select name, topic, direct from rooms where room_id = ?").bind(room);
            if let Some(row) = facts.fetch_optional(&mut *self.transaction).await.map_err(failed(self.path))? {
                known.room = RoomFacts { name: row.get(0), topic: row.get(1), direct: row.get::<i64, _>(2) != 0 };
            }
            for person in &wanted.people {
                let name = sqlx::query_scalar("select name from names where room_id = ? and person = ?");
                let name = name.bind(room).bind(person).fetch_optional(&mut *self.transaction).await;
                let name: Option<Option<String>> = name.map_err(failed(self.path))?;
                if let Some(name) = name.flatten() {
                    known.names.insert(person.clone(), name);
                }
            }
        }
        if let Some(target) = &wanted.target {
            let said = sqlx::query("select kind, words, about from said where event_id = ?").bind(target);
            let said = said.fetch_optional(&mut *self.transaction).await.map_err(failed(self.path))?;
            known.target =
                said.map(|row| Said { kind: SaidKind::of_word(row.get(0)), text: row.get(1), about: row.get(2) });
        }
        Ok(known)
    }

    /// Whether all that is to be known of the room is known.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn is_complete(&mut self, room: &str) -> Result<bool> {
        let complete = sqlx::query_scalar("select complete from rooms where room_id = ?").bind(room);
        let complete: Option<i64> = complete.fetch_optional(&mut *self.transaction).await.map_err(failed(self.path))?;
        Ok(complete.is_some_and(|complete| complete != 0))
    }

    /// Records that nothing about the room need be asked any more.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn completed(&mut self, room: &str) -> Result<()> {
        let done =
            "insert into rooms (room_id, complete) values (?, 1) on conflict (room_id) do update set complete = 1";
        sqlx::query(done).bind(room).execute(&mut *self.transaction).await.map_err(failed(self.path))?;
        Ok(())
    }

    /// Remembers what an event taught.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn learn(&mut self, room: Option<&str>, event_id: &str, learned: &Learned) -> Result<()> {
        let now = self.now.ticks();
        let change = match (learned, room) {
            (Learned::RoomName(name), Some(room)) => sqlx::query(
                "insert into rooms (room_id, name) values (?, ?) on conflict (room_id) do update set name = excluded.name",
            )
            .bind(room)
            .bind(name.as_deref()),
            (Learned::RoomTopic(topic), Some(room)) => sqlx::query(
                "insert into rooms (room_id, topic) values (?, ?) on conflict (room_id) do update set topic = excluded.topic",
            )
            .bind(room)
            .bind(topic.as_deref()),
            (Learned::Direct, Some(room)) => sqlx::query(
                "insert into rooms (room_id, direct) values (?, 1) on conflict (room_id) do update set direct = 1",
            )
            .bind(room),
            (Learned::PersonName(person, name), Some(room)) => sqlx::query(
                "insert into names (room_id, person, name) values (?, ?, ?) on conflict (room_id, person) do update set name = excluded.name",
            )
            .bind(room)
            .bind(person.as_str())
            .bind(name.as_deref()),
            (Learned::Said(said), _) => sqlx::query(
                "insert into said (event_id, kind, words, about, received_at) values (?, ?, ?, ?, ?) on conflict (event_id) do nothing",
            )
            .bind(event_id)
            .bind(said.kind.as_str())
            .bind(said.text.as_deref())
            .bind(said.about.as_deref())
            .bind(now),
            (Learned::Words(of, words), _) => {
                sqlx::query("update said set words = ? where event_id = ?").bind(words.as_str()).bind(of.as_str())
            }
            (_, None) => return Ok(()),
        };
        change.execute(&mut *self.transaction).await.map_err(failed(self.path))?;
        Ok(())
    }

    /// Forgets ids and words that are older than [`KEPT_FOR`]; what is not confirmed stays.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn prune(&mut self) -> Result<u64> {
        let before = self.now.minus(KEPT_FOR).ticks();
        let mut gone = 0;
        for old in
            ["delete from events where received_at < ? and body is null", "delete from said where received_at < ?"]
        {
            let done = sqlx::query(old).bind(before).execute(&mut *self.transaction).await;
            gone += done.map_err(failed(self.path))?.rows_affected();
        }
        Ok(gone)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test should panic")]

    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    async fn memory() -> (tempfile::TempDir, Memory) {
        let dir = tempfile::tempdir().unwrap();
        let memory = Memory::open(&dir.path().join("state/matrix.db")).await.unwrap();
        (dir, memory)
    }

    #[tokio::test]
    async fn a_number_is_given_out_once_even_when_its_row_is_pruned() {
        let (dir, memory) = memory().await;
        let long_ago = Ticks::now().minus(KEPT_FOR).minus(Duration::from_secs(1));
        let mut change = memory.change(long_ago).await.unwrap();
        assert_eq!(change.last_sequence().await.unwrap(), 0);
        change.add(1, "$a", b"one").await.unwrap();
        change.add(2, "$b", b"two").await.unwrap();
        change.confirm(1).await.unwrap();
        change.commit(Commit::BRIDGE_RECORDED).await.unwrap();
        drop(memory);

        let memory = Memory::open(&dir.path().join("state/matrix.db")).await.unwrap();
        let mut change = memory.change(Ticks::now()).await.unwrap();
        assert_eq!(change.prune().await.unwrap(), 1, "what is not confirmed stays, however old");
        assert!(!change.has("$a").await.unwrap() && change.has("$b").await.unwrap());
        assert_eq!(change.open_events().await.unwrap(), [Open { sequence: 2, body: b"two".to_vec() }]);
        assert_eq!(change.last_sequence().await.unwrap(), 2);
        change.confirm(2).await.unwrap();
        assert_eq!(change.prune().await.unwrap(), 1);
        assert_eq!(change.last_sequence().await.unwrap(), 2, "the rows are gone, the count goes on");
    }

    #[tokio::test]
    async fn what_was_not_committed_never_was_and_no_id_has_two_numbers() {
        let (_dir, memory) = memory().await;
        let mut change = memory.change(Ticks::now()).await.unwrap();
        change.add(1, "$a", b"one").await.unwrap();
        drop(change);
        let mut change = memory.change(Ticks::now()).await.unwrap();
        assert!(!change.has("$a").await.unwrap());
        assert_eq!(change.last_sequence().await.unwrap(), 0);
        change.add(1, "$a", b"one").await.unwrap();
        assert!(change.add(2, "$a", b"another").await.is_err());
    }

    #[tokio::test]
    async fn rooms_people_and_words_are_found_again() {
        let (_dir, memory) = memory().await;
        let mut change = memory.change(Ticks::now()).await.unwrap();
        let said = Said { kind: SaidKind::Message, text: Some("first".into()), about: None };
        for learned in [
            Learned::RoomName(Some("Ops".into())),
            Learned::Direct,
            Learned::PersonName("@a:x".into(), Some("Ann".into())),
            Learned::Said(said),
            Learned::Words("$m".into(), "second".into()),
        ] {
            change.learn(Some("!r"), "$m", &learned).await.unwrap();
        }
        assert!(!change.is_complete("!r").await.unwrap());
        change.completed("!r").await.unwrap();
        assert!(change.is_complete("!r").await.unwrap());
        let wanted = Wanted { people: vec!["@a:x".into(), "@b:x".into()], target: Some("$m".into()) };
        let known = change.known(Some("!r"), &wanted).await.unwrap();
        assert_eq!(known.room, RoomFacts { name: Some("Ops".into()), topic: None, direct: true });
        assert_eq!(known.names.into_iter().collect::<Vec<_>>(), [("@a:x".to_owned(), "Ann".to_owned())]);
        assert_eq!(known.target.unwrap().text.as_deref(), Some("second"));
    }

    #[tokio::test]
    async fn only_the_owner_may_read_it() {
        let (dir, _memory) = memory().await;
        let mode = dir.path().join("state/matrix.db").metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
