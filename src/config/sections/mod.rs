//! Every section and key. The doc comments are the manual: title, meaning, default.
//!
//! The types refuse unknown keys and malformed values; what fits together is judged by the rules of
//! `check`. No section reads a file or looks at the machine.

mod access;
mod adapter;
mod amqp;
mod bridge;
mod evidence;
mod files;

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ByteSize, Span};
pub use access::Access;
pub use adapter::{Adapter, CollectedWhen, Dialect, Render, TransformLimits};
pub use amqp::{Amqp, QueueType};
pub use bridge::{Bridge, MatrixBridge};
pub use evidence::Evidence;
pub use files::{FileHost, Files};

/// The whole configuration of one Chancery.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// # Home directory
    ///
    /// Where everything at run time lies unless a section says otherwise: `incoming/`, `pickup/`,
    /// `vault/`, `quarantine/`, `evidence/` and `state/`. A relative path counts from the
    /// configuration file's own directory. Default: `spool`.
    #[schemars(extend("format" = "path"))]
    pub home: PathBuf,

    /// # Laboratory
    ///
    /// Allows intervals and leases from one second, and lets `CHANCERY_CRASH_AT` and `CHANCERY_PAUSE_AT` end or stop the process
    /// at a named step, for demonstrations and tests. Never set it beside a real archive: it makes many small
    /// files. Default: false.
    pub laboratory: bool,

    /// # Known sources
    ///
    /// Only events of these emitters are believed; all others go to quarantine.
    pub source: Vec<Source>,

    /// # AMQP intake
    ///
    /// The queue on which the chat server puts its events. Leave the section out to take in from the
    /// spool directory alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amqp: Option<Amqp>,

    /// # Bridges
    pub bridge: Bridge,

    /// # Spool intake
    pub spool: Spool,

    /// # Intake limits
    pub intake: Intake,

    /// # Staging database
    pub staging: StagingSection,

    /// # Uploaded files
    pub files: Files,

    /// # Completeness
    pub completeness: Completeness,
    /// # Evidence
    pub evidence: Evidence,

    /// # Conversations
    pub conversations: Conversations,

    /// # Adapters
    ///
    /// The outputs, each with its own interval and pickup directory.
    pub adapter: Vec<Adapter>,

    /// # Access
    pub access: Access,

    /// # Logging
    pub log: Log,
}

/// One emitter that is believed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// # URI
    ///
    /// The CloudEvents `source` exactly as the emitter writes it.
    #[schemars(length(min = 1), extend("examples" = ["urn:chat:pool1:channel"]))]
    pub uri: String,

    /// # Description
    ///
    /// For people; shown by `status`. Default: none.
    #[schemars(extend("examples" = ["The channel service of pool 1"]))]
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,

    /// # Silence
    ///
    /// How long the source may send nothing, neither events nor heartbeats, before the alert `source-silent` is raised.
    /// Choose a few times the span between two heartbeats; for a source without heartbeats, longer than any night.
    /// From 10s to 30d; from 1s in a laboratory. Default: it may be silent.
    #[schemars(extend("examples" = ["5m"]))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silence: Option<Span>,
}

/// Intake from a directory: offline operation and backfill.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Spool {
    /// # Enabled
    ///
    /// Whether the directory is watched. Default: true.
    pub enabled: bool,

    /// # Directory
    ///
    /// NDJSON files (`*.ndjson`, one CloudEvent per line) are moved in here by rename. Finished files go
    /// to `done/` below it. Default: `<home>/incoming`.
    #[schemars(extend("format" = "path", "examples" = ["spool/incoming"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directory: Option<PathBuf>,

    /// # Scan interval
    ///
    /// How often the directory is listed, whatever the file system's notifications say; network shares send none. Default: 5s.
    pub scan_interval: Span,
}

/// How events are taken in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Intake {
    /// # Events per commit
    ///
    /// The most events staging keeps in one commit, 1 to 10000. Default: 2000.
    #[schemars(range(min = 1, max = 10_000))]
    pub commit_events_max: u32,

    /// # Commit delay
    ///
    /// The longest an event waits for others to share its commit. Default: 20ms.
    pub commit_delay: Span,

    /// # Largest event
    ///
    /// A larger body goes to quarantine. Default: 64MiB.
    pub event_size_max: ByteSize,
}

/// Where events wait.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StagingSection {
    /// # Store
    ///
    /// `sqlite` (embedded) or `postgres` (production). Default: `sqlite`.
    pub store: Store,

    /// # SQLite file
    ///
    /// Must lie on a local disk, never on a network share. Default: `<home>/state/staging.db`.
    #[schemars(extend("format" = "path", "examples" = ["spool/state/staging.db"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,

    /// # PostgreSQL address
    ///
    /// `postgres://USER@HOST:PORT/DATABASE`, with `?sslmode=verify-full` across a network. It must not
    /// hold a password. Default: none; required for `postgres`.
    #[schemars(extend("examples" = ["postgres://chancery@db.example.com:5432/chancery?sslmode=verify-full"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,

    /// # Password file
    ///
    /// A file that holds the PostgreSQL password. Default: none.
    #[schemars(extend("format" = "path", "examples" = ["/etc/chancery/postgres.password"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,

    /// # Password variable
    ///
    /// The environment variable that holds the PostgreSQL password. Default: none.
    #[schemars(extend("examples" = ["CHANCERY_POSTGRES_PASSWORD"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_env: Option<String>,

    /// # Schema
    ///
    /// The PostgreSQL schema that holds Chancery's tables; created if missing. Default: `chancery`.
    pub schema: String,

    /// # Connections
    ///
    /// The most connections to PostgreSQL, 2 to 100. Default: 8.
    #[schemars(range(min = 2, max = 100))]
    pub connections: u32,

    /// # Lease
    ///
    /// When several processes share one staging database, one of them works for an adapter, and another takes
    /// over when it has given no sign of life for so long. It gives one every third of it. From 5s to 1h;
    /// from 1s in a laboratory. Default: 1m.
    pub lease: Span,
}

/// The database behind staging.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Store {
    /// Embedded.
    Sqlite,
    /// A server.
    Postgres,
}

/// How it is noticed that something is missing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Completeness {
    /// # Patience
    ///
    /// How long a gap in a source's sequence, a number under two ids, or a count that began again must have stood before
    /// it is reported: events may overtake each other. From 0s to 1d. Default: 1m.
    pub patience: Span,
}

/// How conversations are made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Conversations {
    /// # Presence lease
    ///
    /// How long a participant stays in a room after the last sign of presence, where the source renews
    /// presence but does not say for how long. Participants of sources that never renew stay until they
    /// leave. Default: 20m.
    pub presence_lease: Span,
}

/// What is logged, on standard error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// # Level
    ///
    /// `error`, `warn`, `info`, `debug` or `trace`. Default: `info`.
    pub level: LogLevel,

    /// # Format
    ///
    /// `text` for people or `json` for machines. Default: `text`.
    pub format: LogFormat,
}

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the words are their own explanation")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            home: PathBuf::from("spool"),
            laboratory: false,
            source: Vec::new(),
            amqp: None,
            bridge: Bridge::default(),
            spool: Spool::default(),
            intake: Intake::default(),
            staging: StagingSection::default(),
            files: Files::default(),
            completeness: Completeness::default(),
            evidence: Evidence::default(),
            conversations: Conversations::default(),
            adapter: Vec::new(),
            access: Access::default(),
            log: Log::default(),
        }
    }
}

impl Default for Spool {
    fn default() -> Self {
        Self { enabled: true, directory: None, scan_interval: Span::from_secs(5) }
    }
}

impl Default for Intake {
    fn default() -> Self {
        Self { commit_events_max: 2000, commit_delay: Span::from_millis(20), event_size_max: ByteSize::new(64 << 20) }
    }
}

impl Default for StagingSection {
    fn default() -> Self {
        Self {
            store: Store::Sqlite,
            path: None,
            url: None,
            password_file: None,
            password_env: None,
            schema: "chancery".into(),
            connections: 8,
            lease: Span::from_secs(60),
        }
    }
}

impl Default for Completeness {
    fn default() -> Self {
        Self { patience: Span::from_secs(60) }
    }
}

impl Default for Conversations {
    fn default() -> Self {
        Self { presence_lease: Span::from_secs(1200) }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { level: LogLevel::Info, format: LogFormat::Text }
    }
}

/// The absolute places everything lives in, worked out once from the configuration.
impl Config {
    /// Where NDJSON files are taken in.
    pub fn incoming_dir(&self) -> PathBuf {
        self.spool.directory.clone().unwrap_or_else(|| self.home.join("incoming"))
    }

    /// Where an adapter's archive collects.
    pub fn pickup_dir(&self, adapter: &Adapter) -> PathBuf {
        adapter.pickup.clone().unwrap_or_else(|| self.home.join("pickup").join(&adapter.name))
    }

    /// Where captured files are kept.
    pub fn vault_dir(&self) -> PathBuf {
        self.files.vault.clone().unwrap_or_else(|| self.home.join("vault"))
    }

    /// Where SQLite and the locks lie.
    pub fn state_dir(&self) -> PathBuf {
        self.home.join("state")
    }

    /// The Matrix bridge's registration.
    pub fn matrix_registration(&self, bridge: &MatrixBridge) -> PathBuf {
        bridge.registration.clone().unwrap_or_else(|| self.state_dir().join("matrix-registration.json"))
    }

    /// What the Matrix bridge remembers.
    pub fn matrix_memory(&self) -> PathBuf {
        self.state_dir().join("matrix.db")
    }

    /// Where evidence lies.
    pub fn evidence_dir(&self) -> PathBuf {
        self.evidence.directory.clone().unwrap_or_else(|| self.home.join("evidence"))
    }

    /// The key that signs evidence.
    pub fn evidence_key(&self) -> PathBuf {
        self.evidence.key.clone().unwrap_or_else(|| self.state_dir().join("evidence.key"))
    }

    /// Where quarantined bytes are exported to.
    pub fn quarantine_dir(&self) -> PathBuf {
        self.home.join("quarantine")
    }

    /// The SQLite file.
    pub fn sqlite_path(&self) -> PathBuf {
        self.staging.path.clone().unwrap_or_else(|| self.state_dir().join("staging.db"))
    }

    /// The adapter of a name.
    pub fn adapter_named(&self, name: &str) -> Option<&Adapter> {
        self.adapter.iter().find(|adapter| adapter.name == name)
    }
}
