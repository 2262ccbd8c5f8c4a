//! A laboratory for one case: a home, a share and an archive of its own.

use std::fs;
use std::io::Read as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use chancery_faults::shim::{Rule, Shim, Survival, power_cut};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::archive::Archive;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    Sqlite,
    Postgres,
}

/// What the shim records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// The home, with all that a power cut needs. Not the database: SQLite and PostgreSQL are trusted with their syncs.
    Home,
    /// The home and the database, as a trace alone: no power cuts then.
    Everything,
}

pub struct Lab {
    pub shim: Shim,
    pub archive: Archive,
    dir: TempDir,
    store: Store,
    recorded: Recorded,
    name: String,
}

const ADAPTER: &str = "[[adapter]]\nname = \"canonical\"\ninterval = \"1h\"\ncollected_when = \"acknowledged\"\n";

impl Lab {
    pub fn new(store: Store, recorded: Recorded) -> Self {
        // In memory where possible: no case depends on the disk underneath, and SQLite's own syncs cost nothing there.
        let memory = Path::new("/dev/shm");
        let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
        let home = fs::canonicalize(dir.path()).unwrap().join("home");
        fs::create_dir(&home).unwrap();
        fs::create_dir(home.with_file_name("database")).unwrap();
        let shim = Shim::new(&dir.path().join("shim")).unwrap();
        let shim = match recorded {
            Recorded::Home => shim.watching([home.clone()]).with_power_cuts().unwrap(),
            Recorded::Everything => shim.watching([home.clone(), home.with_file_name("database")]),
        };
        let name = format!("disk_{}", dir.path().file_name().unwrap().to_str().unwrap().trim_start_matches(".tmp"));
        let archive = Archive::new(home.join("pickup/canonical"));
        let lab = Self { shim, archive, dir, store, recorded, name: name.to_lowercase() };
        lab.configure(ADAPTER);
        lab
    }

    pub fn configure(&self, rest: &str) {
        let mut text = format!(
            "home = \"{}\"\nlaboratory = true\n[[source]]\nuri = \"/web/1\"\n[spool]\nscan_interval = \"100ms\"\n",
            self.home().display()
        );
        text += &match self.store {
            Store::Sqlite => format!("[staging]\npath = \"{}\"\n", self.database().display()),
            Store::Postgres => {
                let url = server("CHANCERY_TEST_POSTGRES_URL");
                format!("[staging]\nstore = \"postgres\"\nurl = \"{url}\"\nschema = \"{}\"\n", self.name)
            }
        };
        fs::write(self.dir.path().join("chancery.toml"), text + rest).unwrap();
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn home(&self) -> PathBuf {
        fs::canonicalize(self.dir.path()).unwrap().join("home")
    }

    pub fn path(&self, inside: &str) -> PathBuf {
        self.home().join(inside)
    }

    /// The file of SQLite, in a directory of its own outside the home.
    pub fn database(&self) -> PathBuf {
        self.home().with_file_name("database").join("staging.db")
    }

    pub fn share(&self) -> PathBuf {
        self.path("pickup/canonical")
    }

    /// The binary with this laboratory's configuration, without the shim.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.arg("--config").arg(self.dir.path().join("chancery.toml")).args(arguments).env_remove("CHANCERY_LOG");
        command
    }

    fn shimmed(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(arguments);
        self.shim.apply(&mut command);
        command
    }

    /// One pass behind the shim with these rules; gives how it ended, and its log.
    pub fn pass(&self, rules: &[Rule]) -> (ExitStatus, String) {
        self.shim.rules(rules).unwrap();
        let child = self
            .shimmed(&["run", "--once"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let ended = finish(child, Duration::from_secs(120));
        self.shim.rules(&[]).unwrap();
        ended
    }

    /// Passes without faults until one has nothing to complain of: three at most, and nobody mends anything between them.
    pub fn settle(&self, case: &str) {
        let mut log = String::new();
        for _ in 0..3 {
            let (status, said) = self.pass(&[]);
            if status.success() {
                return;
            }
            log += &format!("{status}\n{said}");
        }
        panic!("{case}: it does not recover by itself\n{log}");
    }

    /// The power goes off, where the shim is ready for it.
    pub fn cut(&self, survival: Survival) {
        if self.recorded == Recorded::Home {
            power_cut(&self.shim, survival).unwrap();
        }
    }

    pub fn ok(&self, arguments: &[&str]) -> String {
        let Output { status, stdout, stderr } = self.command(arguments).output().unwrap();
        assert!(status.success(), "chancery {arguments:?} ended with {status}\n{}", String::from_utf8_lossy(&stderr));
        String::from_utf8(stdout).unwrap()
    }

    /// Batches with their states, the oldest first.
    pub fn batches(&self) -> Vec<(i64, String)> {
        let listed: Value = serde_json::from_str(&self.ok(&["--format", "json", "batch", "list"])).unwrap();
        let of = |batch: &Value| (batch["id"].as_i64().unwrap(), batch["state"].as_str().unwrap().to_owned());
        let mut batches: Vec<_> = listed.as_array().unwrap().iter().map(of).collect();
        batches.sort();
        batches
    }

    /// `status`, or null while staging is not available.
    pub fn status(&self) -> Value {
        let output = self.command(&["--format", "json", "status"]).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
    }

    /// The open alerts, but for the one that the evidence is unsigned: no key is made here.
    pub fn alerts(&self) -> Vec<Value> {
        let mut alerts = self.status()["alerts"].as_array().cloned().unwrap_or_default();
        alerts.retain(|alert| alert["kind"] != "evidence-unsigned");
        alerts
    }

    pub fn daemon(&self) -> Daemon {
        let log = fs::File::create(self.dir.path().join("daemon.log")).unwrap();
        let child = self.shimmed(&["run"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        Daemon { child, log: self.dir.path().join("daemon.log") }
    }

    /// Moves events into the incoming directory, as an emitter would.
    pub fn spool(&self, name: &str, events: &[Value]) {
        let incoming = self.path("incoming");
        fs::create_dir_all(&incoming).unwrap();
        fs::write(incoming.join(format!(".{name}")), lines(events)).unwrap();
        fs::rename(incoming.join(format!(".{name}")), incoming.join(name)).unwrap();
    }

    /// A file of the laboratory outside the home.
    pub fn aside(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if self.store == Store::Postgres {
            // Best effort: a test that panicked must not hide its reason behind a failed clean-up.
            let _ = tokio::runtime::Runtime::new().unwrap().block_on(drop_schema(&self.name));
        }
    }
}

async fn drop_schema(schema: &str) -> Result<(), sqlx::Error> {
    use sqlx::{AssertSqlSafe, ConnectOptions as _, Executor as _};
    let options: sqlx::postgres::PgConnectOptions = server("CHANCERY_TEST_POSTGRES_URL").parse()?;
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
    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
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

fn finish(mut child: Child, within: Duration) -> (ExitStatus, String) {
    let mut log = child.stderr.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut said = String::new();
        log.read_to_string(&mut said).map(|_| said)
    });
    let begun = Instant::now();
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None if begun.elapsed() > within => {
                child.kill().unwrap();
                child.wait().unwrap();
                panic!("the pass did not end\n{}", reader.join().unwrap().unwrap());
            }
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    };
    (status, reader.join().unwrap().unwrap())
}

/// Whether a rule ended the process.
pub fn killed(status: ExitStatus) -> bool {
    status.signal() == Some(9)
}

/// The binary beside this test's own executable.
fn binary() -> PathBuf {
    let profile = std::env::current_exe().unwrap().parent().and_then(Path::parent).unwrap().to_owned();
    let binary = profile.join("chancery");
    assert!(
        binary.is_file(),
        "{} is not there: `cargo build --bin chancery` makes it, and so does a test run with --workspace",
        binary.display()
    );
    binary
}

/// The address of a test server, or a panic that says how to get one.
pub fn server(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| {
        panic!("{variable} is not set: start the servers with `deploy/services start DIR` (`deploy/test` does)")
    })
}

/// Asks until the answer is yes, or panics with `what` after two minutes: machines are slow at times.
pub fn eventually(what: &str, mut ready: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !ready() {
        assert!(begun.elapsed() < Duration::from_secs(120), "still not: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn event(id: &str, kind: &str, data: Value) -> Value {
    let mut whole = json!({"sender": {"uri": "sip:a@example.com"}, "room": {"uri": "room:1"}});
    whole.as_object_mut().unwrap().extend(data.as_object().unwrap().clone());
    json!({"specversion": "1.0", "id": id, "source": "/web/1", "type": kind, "subject": "room:1",
        "time": "2026-11-22T10:00:00Z", "data": whole})
}

pub fn chat(id: &str, text: &str) -> Value {
    event(id, "chat.message.posted", json!({"message": {"text": text}}))
}

pub fn upload(id: &str, name: &str, bytes: &[u8]) -> Value {
    let inline = base64::engine::general_purpose::STANDARD.encode(bytes);
    let sha256 = hex::encode(Sha256::digest(bytes));
    event(
        id,
        "chat.file.uploaded",
        json!({"file": {"name": name, "size": bytes.len(), "sha256": sha256, "inline": inline}}),
    )
}

/// One event per line.
pub fn lines(events: &[Value]) -> String {
    events.iter().map(|event| format!("{event}\n")).collect()
}
