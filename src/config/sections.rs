//! Every section and key. The doc comments are the manual: title, meaning, default.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ByteSize, Span};

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
    /// Allows intervals from one second, for demonstrations and tests. Never set it beside a real
    /// archive: it makes many small files. Default: false.
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

    /// # Spool intake
    pub spool: Spool,

    /// # Intake limits
    pub intake: Intake,

    /// # Staging database
    pub staging: StagingSection,

    /// # Uploaded files
    pub files: Files,

    /// # Conversations
    pub conversations: Conversations,

    /// # Adapters
    ///
    /// The outputs, each with its own interval and pickup directory.
    pub adapter: Vec<Adapter>,

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
}

/// The AMQP 0-9-1 broker and what Chancery uses there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Amqp {
    /// # Broker address
    ///
    /// `amqp://HOST:PORT/VHOST`, or `amqps://` for TLS. It must not hold a password: use
    /// `password_file` or `password_env`. The virtual host `/` is written `%2f`.
    /// Default: `amqp://127.0.0.1:5672/%2f`.
    pub url: String,

    /// # User name
    ///
    /// Default: `guest`, which RabbitMQ accepts from the same machine only.
    pub username: String,

    /// # Password file
    ///
    /// A file that holds the password; a trailing line break is ignored. Default: none.
    #[schemars(extend("format" = "path", "examples" = ["/etc/chancery/amqp.password"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,

    /// # Password variable
    ///
    /// The environment variable that holds the password. Default: none; with neither file nor
    /// variable the password is `guest`.
    #[schemars(extend("examples" = ["CHANCERY_AMQP_PASSWORD"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_env: Option<String>,

    /// # Certificate authority
    ///
    /// A PEM file with the authorities to trust, beside the machine's own. Only for `amqps://`. Default: none.
    #[schemars(extend("format" = "path", "examples" = ["/etc/chancery/ca.pem"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,

    /// # Client certificate
    ///
    /// A PEM file with Chancery's own certificate chain, for brokers that ask for one. Default: none.
    #[schemars(extend("format" = "path", "examples" = ["/etc/chancery/client.pem"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert_file: Option<PathBuf>,

    /// # Client key
    ///
    /// A PEM file with the key (PKCS#8) of `cert_file`. Default: none.
    #[schemars(extend("format" = "path", "examples" = ["/etc/chancery/client.key"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,

    /// # Exchange
    ///
    /// The durable topic exchange on which emitters publish. Default: `chancery.events`.
    pub exchange: String,

    /// # Queue
    ///
    /// The durable queue from which Chancery takes in. Default: `chancery.intake`.
    pub queue: String,

    /// # Queue type
    ///
    /// `quorum` (replicated, the safe choice) or `classic`. Default: `quorum`.
    pub queue_type: QueueType,

    /// # Dead-letter exchange
    ///
    /// Where the broker puts what it will not deliver again, so that nothing vanishes; a queue of the
    /// same name is bound to it. Default: `chancery.dead`.
    pub dead_letter_exchange: String,

    /// # Declare at start
    ///
    /// Whether `chancery run` may declare exchange, queue and bindings itself. Otherwise they are only
    /// checked, and `chancery setup` declares them. Default: false.
    pub declare: bool,

    /// # Prefetch
    ///
    /// How many events the broker may have under way to Chancery without acknowledgement, 1 to 65535. Default: 5000.
    #[schemars(range(min = 1))]
    pub prefetch: u16,
}

/// The kind of queue on the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum QueueType {
    /// Replicated, with a delivery limit.
    Quorum,
    /// On one node.
    Classic,
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

/// Where the bytes of uploaded files come from and where they are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Files {
    /// # File repository
    ///
    /// The chat server's directory of uploaded files; `file.location` is a path below it. Chancery only
    /// reads there. Default: none; then only inline bytes are captured.
    #[schemars(extend("format" = "path", "examples" = ["/srv/chat/files"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<PathBuf>,

    /// # Vault
    ///
    /// Where captured files are kept, each content once. Default: `<home>/vault`.
    #[schemars(extend("format" = "path", "examples" = ["spool/vault"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vault: Option<PathBuf>,
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

/// One output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Adapter {
    /// # Name
    ///
    /// Letters, digits, `-` and `_`; it begins every file name. Never reuse a name for another archive.
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[A-Za-z0-9_-]+$"), extend("examples" = ["vantage"]))]
    pub name: String,

    /// # Transform
    ///
    /// The XSLT file, or the name of a shipped transform (`filedump`). Default: none, which writes the canonical XML.
    #[schemars(extend("format" = "transform", "examples" = ["filedump"]))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transform: Option<String>,

    /// # Conversation interval
    ///
    /// The slice of time that makes one batch, `1m` to `30d`, aligned to the clock (UTC). A longer interval gives
    /// fewer, larger files. Default: 15m.
    #[serde(default = "Adapter::default_interval")]
    pub interval: Span,

    /// # Pickup directory
    ///
    /// The share from which the archive collects; no two adapters may use the same. Default: `<home>/pickup/<name>`.
    #[schemars(extend("format" = "path", "examples" = ["/srv/pickup/vantage"]))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pickup: Option<PathBuf>,

    /// # One room per file
    ///
    /// Writes a file for each room with messages instead of one for all. Default: false.
    #[serde(default)]
    pub one_room_per_file: bool,

    /// # User details
    ///
    /// Fills `Sender/@UserName` and `@email`; otherwise the name is the address and the mail address stays empty. Default: true.
    #[serde(default = "yes")]
    pub user_details: bool,

    /// # Room details
    ///
    /// Fills `Channel/@name`, `@islogged`, topic and description; otherwise the name is the room's URI. Default: true.
    #[serde(default = "yes")]
    pub room_details: bool,

    /// # Dialect
    ///
    /// The spelling of the canonical XML: `full` (ours), `lync2013` (the published schema, nothing more)
    /// or `ocs2007r2` (like `full`, with `userName`). Default: `full`.
    #[serde(default)]
    pub dialect: Dialect,

    /// # Compress
    ///
    /// Writes outputs zstd-compressed, with `.zst` after the name. Default: false.
    #[serde(default)]
    pub compress: bool,

    /// # Schema
    ///
    /// An XSD file against which each output is checked before it is published. Default: none.
    #[schemars(extend("format" = "path", "examples" = ["/etc/chancery/archive.xsd"]))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<PathBuf>,

    /// # Parameters
    ///
    /// Passed to the stylesheet as string parameters.
    #[schemars(extend("examples" = [{"tenant": "emea"}]))]
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,

    /// # Proof of collection
    ///
    /// `removed` (the file is gone from the directory), `acknowledged` (`<name>.ack` appeared beside it), `told`
    /// (`chancery batch collected ID`), or `after:<span>` for archives that only read. Default: `removed`.
    #[serde(default)]
    pub collected_when: CollectedWhen,

    /// # Keep after collection
    ///
    /// How long output, files and staged events are kept after collection before they are purged. Default: 0s.
    #[serde(default = "Adapter::default_keep")]
    pub keep_after_collection: Span,
}

/// The spelling of the canonical XML.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// Ours: the old layout plus our namespace.
    #[default]
    Full,
    /// The published schema, nothing more.
    Lync2013,
    /// Like `full`, but `Sender/@userName`.
    Ocs2007r2,
}

/// What proves that the archive has taken a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("format" = "proof", "pattern" = "^(removed|acknowledged|told|after:([0-9]+(d|h|m|s|ms))+)$", "examples" = ["removed", "acknowledged", "told", "after:2h"]))]
pub enum CollectedWhen {
    /// The file is gone.
    #[default]
    Removed,
    /// `<name>.ack` appeared.
    Acknowledged,
    /// A person or program said so.
    Told,
    /// So long after publication.
    After(Span),
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

fn yes() -> bool {
    true
}

impl Adapter {
    fn default_interval() -> Span {
        Span::from_secs(900)
    }

    fn default_keep() -> Span {
        Span::from_secs(0)
    }
}

impl FromStr for CollectedWhen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "removed" => Ok(Self::Removed),
            "acknowledged" => Ok(Self::Acknowledged),
            "told" => Ok(Self::Told),
            _ => match text.strip_prefix("after:") {
                Some(span) => span.parse().map(Self::After),
                None => Err(format!(
                    "expected \"removed\", \"acknowledged\", \"told\" or \"after:<span>\" such as \"after:2h\", found {text:?}"
                )),
            },
        }
    }
}

impl TryFrom<String> for CollectedWhen {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<CollectedWhen> for String {
    fn from(when: CollectedWhen) -> Self {
        match when {
            CollectedWhen::Removed => "removed".into(),
            CollectedWhen::Acknowledged => "acknowledged".into(),
            CollectedWhen::Told => "told".into(),
            CollectedWhen::After(span) => format!("after:{span}"),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            home: PathBuf::from("spool"),
            laboratory: false,
            source: Vec::new(),
            amqp: None,
            spool: Spool::default(),
            intake: Intake::default(),
            staging: StagingSection::default(),
            files: Files::default(),
            conversations: Conversations::default(),
            adapter: Vec::new(),
            log: Log::default(),
        }
    }
}

impl Default for Amqp {
    fn default() -> Self {
        Self {
            url: "amqp://127.0.0.1:5672/%2f".into(),
            username: "guest".into(),
            password_file: None,
            password_env: None,
            ca_file: None,
            cert_file: None,
            key_file: None,
            exchange: "chancery.events".into(),
            queue: "chancery.intake".into(),
            queue_type: QueueType::Quorum,
            dead_letter_exchange: "chancery.dead".into(),
            declare: false,
            prefetch: 5000,
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
        }
    }
}

impl Default for Files {
    fn default() -> Self {
        Self { root: None, vault: None }
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

    /// Where purge certificates lie.
    pub fn evidence_dir(&self) -> PathBuf {
        self.home.join("evidence")
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
