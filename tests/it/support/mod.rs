//! A laboratory for one test: configuration, directories, broker objects and database schema of its own.

mod archive;
mod outputs;
mod raw_amqp;
mod tsa;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

pub use archive::{Archive, Takes, sha256_of};
pub use outputs::{Message, messages, output_files};
pub use raw_amqp::RawPublisher;
use tempfile::TempDir;
pub use tsa::Tsa;

/// The binary under test.
pub const CHANCERY: &str = env!("CARGO_BIN_EXE_chancery");

/// Which staging store a laboratory uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    Sqlite,
    Postgres,
}

/// Where a laboratory keeps what its configuration says of time stamps.
const STAMPS: &str = "stamps.toml";

pub struct Lab {
    dir: TempDir,
    /// Names the exchange, the queue and the schema.
    name: String,
    store: Store,
    broker: bool,
}

/// The address of a test server, or a panic that says how to get one.
fn server(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| {
        panic!("{variable} is not set: start the servers with `deploy/services start DIR` (`deploy/test` does)")
    })
}

impl Lab {
    /// A laboratory whose adapters are described by `adapters` (TOML). It takes in from the spool alone.
    pub fn new(store: Store, adapters: &str) -> Self {
        let name = format!("it-{}", uuid::Uuid::new_v4().simple());
        let lab = Self { dir: tempfile::tempdir().unwrap(), name, store, broker: false };
        // The chat server's, for tests that name it as `files.root`.
        fs::create_dir(lab.path("repository")).unwrap();
        lab.configure(adapters);
        lab
    }

    /// As [`Lab::new`], with an exchange and a queue of its own on the broker.
    pub fn with_broker(store: Store, adapters: &str) -> Self {
        let mut lab = Self::new(store, adapters);
        lab.broker = true;
        lab.configure(adapters);
        lab.ok(&["setup"]);
        lab
    }

    /// Writes the configuration.
    pub fn configure(&self, adapters: &str) {
        self.key();
        let mut text = String::from(
            "home = \"home\"\nlaboratory = true\n[[source]]\nuri = \"/channel-service/1\"\n[[source]]\nuri = \"/web/1\"\n[evidence]\nkey = \"evidence.key\"\n",
        );
        text += &fs::read_to_string(self.path(STAMPS)).unwrap_or_default();
        if self.store == Store::Postgres {
            let url = server("CHANCERY_TEST_POSTGRES_URL");
            text += &format!("[staging]\nstore = \"postgres\"\nurl = \"{url}\"\nschema = \"{}\"\n", self.schema());
        }
        if self.broker {
            let (url, name) = (server("CHANCERY_TEST_AMQP_URL"), &self.name);
            text += &format!(
                "[amqp]\nurl = \"{url}\"\nexchange = \"{name}\"\nqueue = \"{name}.q\"\ndead_letter_exchange = \"{name}.dead\"\n"
            );
        }
        text += "[spool]\nscan_interval = \"100ms\"\n";
        text += adapters;
        fs::write(self.path("chancery.toml"), text).unwrap();
    }

    /// Has heads stamped by this authority, from the next [`Lab::configure`] on.
    pub fn stamped_by(&self, tsa: &Tsa, interval: &str) {
        fs::write(self.path(STAMPS), format!("tsa = \"{}\"\ntsa_interval = \"{interval}\"\n", tsa.url())).unwrap();
    }

    /// A key to sign evidence with, made without the product.
    fn key(&self) {
        let path = self.path("evidence.key");
        if !path.exists() {
            let mut command = Command::new("ssh-keygen");
            let made = command.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&path).status();
            assert!(made.expect("ssh-keygen is installed (package openssh-client; deploy/install test)").success());
        }
    }

    /// What `verify` says of this laboratory's evidence.
    pub fn verify(&self, more: &[&str]) -> (Option<i32>, serde_json::Value) {
        let dir = self.path("home/evidence");
        let mut arguments = vec!["--format", "json", "verify", dir.to_str().unwrap()];
        arguments.extend(more);
        let output = Command::new(CHANCERY).args(arguments).output().unwrap();
        let said = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
        (output.status.code(), said)
    }

    /// Takes one message off the queue for good, as somebody else would who reads it too.
    pub fn steal_message(&self) {
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let url = server("CHANCERY_TEST_AMQP_URL");
            let connection = lapin::Connection::connect(&url, lapin::ConnectionProperties::default()).await.unwrap();
            let channel = connection.create_channel().await.unwrap();
            let queue = format!("{}.q", self.name);
            let message = channel.basic_get(queue.into(), lapin::options::BasicGetOptions { no_ack: true }).await;
            assert!(message.unwrap().is_some(), "there was a message");
            connection.close(200, "done".into()).await.unwrap();
        });
    }

    /// A publisher on the exchange that sends any bytes for properties.
    pub fn raw_publisher(&self) -> RawPublisher {
        RawPublisher::connect(&server("CHANCERY_TEST_AMQP_URL"), &self.name)
    }

    fn schema(&self) -> String {
        self.name.replace('-', "_")
    }

    pub fn path(&self, inside: &str) -> PathBuf {
        self.dir.path().join(inside)
    }

    pub fn pickup(&self, adapter: &str) -> PathBuf {
        self.path("home/pickup").join(adapter)
    }

    /// The binary with this laboratory's configuration.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(CHANCERY);
        command.arg("--config").arg(self.path("chancery.toml")).args(arguments).env_remove("CHANCERY_LOG");
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs a command that must succeed, and gives its standard output.
    pub fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(
            output.status.success(),
            "chancery {arguments:?} ended with {:?}\n{}\n{}",
            output.status.code(),
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command that must succeed, and reads its standard output as JSON.
    pub fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let mut all = vec!["--format", "json"];
        all.extend(arguments);
        serde_json::from_str(&self.ok(&all)).unwrap()
    }

    /// `status`, which may end with "finding". While many tests share a slow disk a database may be away for
    /// a moment; then it is asked again.
    pub fn status(&self) -> serde_json::Value {
        let ask = || self.run(&["--format", "json", "status"]);
        let away = |output: &Output| output.status.code() == Some(4);
        let output = (0..3).map(|_| ask()).find(|output| !away(output)).unwrap_or_else(ask);
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
    }

    /// Starts the daemon; its log goes to a file of the laboratory.
    pub fn daemon(&self) -> Daemon {
        self.daemon_with(&[])
    }

    /// Starts the daemon with these environment variables.
    pub fn daemon_with(&self, variables: &[(&str, &str)]) -> Daemon {
        let mut command = self.command(&["run"]);
        command.envs(variables.iter().copied());
        Daemon::start(command, self.path("daemon.log"))
    }

    /// Moves lines into the spool directory as one file, as an emitter would.
    pub fn spool(&self, name: &str, lines: &[impl AsRef<[u8]>]) {
        let incoming = self.path("home/incoming");
        fs::create_dir_all(&incoming).unwrap();
        let mut bytes = Vec::new();
        for line in lines {
            bytes.extend_from_slice(line.as_ref());
            bytes.push(b'\n');
        }
        fs::write(incoming.join(format!(".{name}")), bytes).unwrap();
        fs::rename(incoming.join(format!(".{name}")), incoming.join(name)).unwrap();
    }

    /// Changes the staging database behind the product's back, to put it into a state that only a crash could.
    pub fn alter_sqlite(&self, statements: &[&'static str]) {
        use sqlx::{ConnectOptions as _, Executor as _};
        let path = self.path("home/state/staging.db");
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
            let mut connection = options.connect().await.unwrap();
            for statement in statements {
                connection.execute(*statement).await.unwrap();
            }
        });
    }

    /// As [`Self::alter_sqlite`], in whichever store this laboratory has.
    pub fn alter_staging(&self, statements: &[&'static str]) {
        use sqlx::{AssertSqlSafe, ConnectOptions as _, Executor as _};
        if self.store == Store::Sqlite {
            return self.alter_sqlite(statements);
        }
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let options: sqlx::postgres::PgConnectOptions = server("CHANCERY_TEST_POSTGRES_URL").parse().unwrap();
            let mut connection = options.connect().await.unwrap();
            connection.execute(AssertSqlSafe(format!("set search_path = {}", self.schema()))).await.unwrap();
            for statement in statements {
                connection.execute(*statement).await.unwrap();
            }
        });
    }

    /// Events of a simulated day, one per line.
    pub fn simulate(&self, seed: u64, events: u64) -> Vec<String> {
        let arguments = ["simulate", "--seed", &seed.to_string(), "--events", &events.to_string(), "--out", "-"];
        self.ok(&arguments).lines().map(str::to_owned).collect()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        // Best effort: a test that panicked must not hide its reason behind a failed clean-up.
        runtime.block_on(async {
            if self.broker {
                let _ = remove_broker_objects(&self.name).await;
            }
            if self.store == Store::Postgres {
                let _ = drop_schema(&self.schema()).await;
            }
        });
    }
}

async fn remove_broker_objects(name: &str) -> Result<(), lapin::Error> {
    let url = server("CHANCERY_TEST_AMQP_URL");
    let connection = lapin::Connection::connect(&url, lapin::ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    for queue in [format!("{name}.q"), format!("{name}.dead")] {
        channel.queue_delete(queue.into(), Default::default()).await?;
    }
    for exchange in [name.to_owned(), format!("{name}.dead")] {
        channel.exchange_delete(exchange.into(), Default::default()).await?;
    }
    connection.close(200, "done".into()).await
}

async fn drop_schema(schema: &str) -> Result<(), sqlx::Error> {
    use sqlx::{AssertSqlSafe, ConnectOptions as _, Executor as _};
    let url = server("CHANCERY_TEST_POSTGRES_URL");
    let options: sqlx::postgres::PgConnectOptions = url.parse()?;
    let mut connection = options.connect().await?;
    connection.execute(AssertSqlSafe(format!("drop schema if exists {schema} cascade"))).await?;
    Ok(())
}

/// A running `chancery run`; killed if the test ends before it does.
pub struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts a `chancery run`; what it says is added to the file `log`.
    pub fn start(mut command: Command, log: PathBuf) -> Self {
        let file = fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file).spawn().unwrap();
        Self { child, log }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, signal).unwrap();
    }

    /// SIGTERM; gives the exit code and how long it took.
    pub fn terminate(mut self) -> (Option<i32>, Duration) {
        self.signal(rustix::process::Signal::TERM);
        let begun = Instant::now();
        let status = self.child.wait().unwrap();
        (status.code(), begun.elapsed())
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.signal(rustix::process::Signal::KILL);
        self.child.wait().unwrap();
    }

    /// The most memory it has had resident so far, in bytes.
    pub fn peak_memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().trim().parse::<u64>().unwrap() * 1024
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks until the answer is yes, or panics with `what` after two minutes: machines are slow at times.
pub fn eventually(what: &str, mut ready: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !ready() {
        assert!(begun.elapsed() < Duration::from_secs(120), "still not: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// `(source, id)` of the events that make a message; of all of them when `signals` too.
pub fn keys(lines: &[String]) -> Vec<(String, String)> {
    lines
        .iter()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter(|event| !matches!(event["type"].as_str(), Some("chat.presence.renewed" | "chat.source.heartbeat")))
        .map(|event| (event["source"].as_str().unwrap().to_owned(), event["id"].as_str().unwrap().to_owned()))
        .collect()
}

/// Validates a file against a schema of the project by an independent validator.
pub fn validate(schema: &str, file: &Path) {
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas").join(schema);
    let output = Command::new("xmllint")
        .args(["--noout", "--huge", "--nonet", "--schema"])
        .arg(schema)
        .arg(file)
        .output()
        .expect("xmllint is installed (package libxml2-utils; deploy/install test)");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}", said.chars().take(4000).collect::<String>());
}
