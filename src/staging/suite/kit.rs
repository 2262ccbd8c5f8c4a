//! What the tests are made with: a store of one's own, and short ways to make events and batches.

use std::path::PathBuf;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use serde_json::json;
use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tempfile::TempDir;

use crate::config::{Config, StagingSection, Store};
use crate::evidence::manifest::NewManifest;
use crate::model::{Kind, Ticks};
use crate::staging::{
    Arrivals, BatchCounts, BatchRow, BatchState, BatchStep, By, Lease, NewCut, NewEvent, NewQuarantined, OutputKind,
    OutputRow, RenderedBatch, SeqRange, Staged, StagedEvent, Staging, Workplace, open,
};

/// A store of one test.
pub(crate) struct Fixture {
    pub(crate) staging: Staging,
    pub(crate) config: Config,
    _place: Place,
}

/// Where the store of one test is, opened or not.
pub(super) struct Place {
    pub(super) config: Config,
    _home: TempDir,
    _schema: Option<Schema>,
}

/// Drops the schema when the test ends, however it ends.
struct Schema {
    url: String,
    name: String,
}

impl Place {
    pub(super) fn sqlite() -> Self {
        Self::of(StagingSection::default(), None)
    }

    pub(super) fn postgres() -> Self {
        let Ok(url) = std::env::var("CHANCERY_TEST_POSTGRES_URL") else {
            panic!("CHANCERY_TEST_POSTGRES_URL is not set: start them with deploy/services (deploy/test does)")
        };
        let name = format!("test_{}", uuid::Uuid::new_v4().simple());
        let section = StagingSection {
            store: Store::Postgres,
            url: Some(url.clone()),
            schema: name.clone(),
            ..StagingSection::default()
        };
        Self::of(section, Some(Schema { url, name }))
    }

    fn of(section: StagingSection, schema: Option<Schema>) -> Self {
        let home = tempfile::tempdir().unwrap();
        let config = Config { home: PathBuf::from(home.path()), staging: section, ..Config::default() };
        Self { config, _home: home, _schema: schema }
    }

    /// Opens the store, as a start of the daemon does.
    pub(super) async fn open(self) -> Fixture {
        Fixture { staging: open(&self.config).await.unwrap(), config: self.config.clone(), _place: self }
    }
}

impl Fixture {
    pub(crate) async fn sqlite() -> Self {
        Place::sqlite().open().await
    }

    pub(crate) async fn postgres() -> Self {
        Place::postgres().open().await
    }

    /// The same store, opened once more.
    pub(super) async fn reopened(&self) -> Staging {
        open(&self.config).await.unwrap()
    }

    pub(super) async fn stage(&self, events: Vec<NewEvent>) -> Staged {
        self.staging.stage(&Arrivals { events, quarantined: Vec::new() }).await.unwrap()
    }

    pub(super) async fn lease(&self, adapter: &str) -> Lease {
        let name = format!("adapter:{adapter}");
        self.staging.lease(&name, "test", Duration::from_secs(60)).await.unwrap().unwrap()
    }

    /// Cuts at a minute of the test's clock. A cut that could not get past writers in time is tried again, as
    /// the engine does: on a busy machine a large call may hold its lock for longer than a cut waits.
    pub(super) async fn cut(&self, adapter: &str, minute: i64) -> BatchRow {
        let lease = self.lease(adapter).await;
        loop {
            match self.staging.cut(&lease, &new_cut(adapter, minute)).await {
                Err(error) if error.retryable() => {}
                other => return other.unwrap(),
            }
        }
    }

    pub(super) async fn events(&self, range: SeqRange) -> Vec<StagedEvent> {
        self.staging.events(range).try_collect().await.unwrap()
    }

    /// The ids of the events in a range, in the order in which they come.
    pub(super) async fn ids(&self, range: SeqRange) -> Vec<String> {
        self.events(range).await.into_iter().map(|event| event.id).collect()
    }

    /// Renders a batch with one file and takes it as far as `state`.
    pub(super) async fn finish(&self, batch: &BatchRow, state: BatchState) {
        let lease = self.lease(&batch.adapter).await;
        let at = minute(100);
        if state == BatchState::Empty {
            self.staging.finish_render(&lease, &rendered(batch, &[])).await.unwrap();
            return;
        }
        self.staging.finish_render(&lease, &rendered(batch, &["a.xml"])).await.unwrap();
        let steps = [
            (BatchState::Rendered, BatchState::Published, BatchStep::Published { at }),
            (BatchState::Published, BatchState::Collected, BatchStep::Collected { at, how: "told".into() }),
            (BatchState::Collected, BatchState::Purged, BatchStep::Purged { at }),
        ];
        for (from, to, step) in steps {
            if from == state {
                break;
            }
            assert_eq!(self.staging.advance(By::Worker(&lease), batch.id, &[from], &step).await.unwrap().state, to);
        }
    }

    pub(super) async fn purge(&self, adapters: &[&str]) -> u64 {
        let adapters: Vec<_> = adapters.iter().map(|name| (*name).to_owned()).collect();
        self.staging.purge_events(&adapters).await.unwrap().events
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        let (url, name) = (self.url.clone(), self.name.clone());
        let drop_schema = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let Ok(runtime) = runtime else { return };
            runtime.block_on(async {
                let Ok(mut connection) = PgConnection::connect(&url).await else { return };
                let statement = format!("set lock_timeout = '5s'; drop schema if exists {name} cascade");
                if let Err(error) = sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await {
                    eprintln!("schema {name} is left behind: {error}");
                }
            });
        };
        // A runtime cannot be entered from inside another, so it gets a thread of its own.
        if std::thread::spawn(drop_schema).join().is_err() {
            eprintln!("schema {} is left behind", self.name);
        }
    }
}

/// Everything.
pub(super) const ALL: SeqRange = SeqRange { from: 0, to: i64::MAX };

/// A minute of the test's clock.
pub(super) fn minute(minute: i64) -> Ticks {
    Ticks::from_ticks(638_000_000_000_000_000 + minute * 600_000_000).unwrap()
}

/// A posted message.
pub(super) fn event(source: &str, id: &str) -> NewEvent {
    let raw = json!({ "specversion": "1.0", "id": id, "source": source, "data": { "text": "hello" } });
    let bare = NewEvent {
        source: source.into(),
        id: id.into(),
        kind: Kind::MessagePosted,
        room_uri: Some("urn:room:1".into()),
        person_key: None,
        message_id: None,
        time: minute(0),
        time_is_receipt: false,
        sequence: None,
        received: minute(1),
        heartbeat_sequence: None,
        raw: Vec::new(),
        sha256: [0; 32],
    };
    with_raw(bare, raw.to_string().as_bytes())
}

/// The event with other bytes.
pub(super) fn with_raw(event: NewEvent, raw: &[u8]) -> NewEvent {
    NewEvent { raw: raw.to_vec(), sha256: Sha256::digest(raw).into(), ..event }
}

/// Events with ids from a range.
pub(crate) fn events(source: &str, ids: std::ops::Range<usize>) -> Vec<NewEvent> {
    ids.map(|id| event(source, &id.to_string())).collect()
}

pub(super) fn heartbeat(source: &str, id: &str, sequence: u64) -> NewEvent {
    let kind = Kind::SourceHeartbeat;
    NewEvent { kind, room_uri: None, heartbeat_sequence: Some(sequence), ..event(source, id) }
}

pub(super) fn upload(source: &str, id: &str) -> NewEvent {
    NewEvent { kind: Kind::FileUploaded, ..event(source, id) }
}

pub(super) fn quarantined(raw: &[u8], reason: &str) -> NewQuarantined {
    NewQuarantined {
        received: minute(1),
        origin: "amqp:test".into(),
        reason: reason.into(),
        detail: "expected { at byte 0".into(),
        source: None,
        event_id: Some("id\0with nul".into()),
        sequence: None,
        headers: None,
        raw: raw.to_vec(),
    }
}

pub(super) fn new_cut(adapter: &str, end: i64) -> NewCut {
    NewCut { adapter: adapter.into(), interval_start: minute(0), interval_end: minute(end) }
}

/// What rendering made of a batch, with files of these names.
pub(super) fn rendered(batch: &BatchRow, names: &[&str]) -> RenderedBatch {
    let outputs = names.iter().zip(0..).map(|(name, position)| OutputRow {
        position,
        name: (*name).into(),
        kind: if name.ends_with(".xml") { OutputKind::Output } else { OutputKind::Attachment },
        size: 10,
        sha256: [7; 32],
        messages: 1,
        collected_at: None,
    });
    let counts = BatchCounts { events: 2, messages: 1, files: names.len() as u64, bytes: 10, ..BatchCounts::default() };
    RenderedBatch {
        id: batch.id,
        counts,
        outputs: outputs.collect(),
        presence: Vec::new(),
        workplace: Workplace::default(),
        set_aside: None,
        manifest: NewManifest::bare(),
    }
}
