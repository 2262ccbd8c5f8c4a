//! The binary under demonstration, driven as an operator drives it: subcommands, exit codes, JSON, SIGTERM.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;

use crate::Outcome;

/// The binary and its configuration.
#[derive(Clone)]
pub(crate) struct Chancery {
    binary: PathBuf,
    config: PathBuf,
    directory: PathBuf,
}

/// A `chancery run` of our own.
pub(crate) struct Running {
    child: Child,
    log: PathBuf,
}

/// `chancery status --format json`, as far as the player looks at it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Status {
    pub(crate) intake: IntakeStatus,
    pub(crate) adapters: Vec<AdapterStatus>,
    pub(crate) alerts: Vec<Alert>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct IntakeStatus {
    pub(crate) staged: u64,
    pub(crate) duplicates: u64,
    pub(crate) conflicts: u64,
    pub(crate) quarantined: u64,
    pub(crate) waiting: u64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct AdapterStatus {
    pub(crate) name: String,
    pub(crate) batches: BTreeMap<String, u64>,
    pub(crate) written_events: u64,
    pub(crate) written_messages: u64,
    pub(crate) collected_events: u64,
    pub(crate) purged_events: u64,
    pub(crate) waiting_events: u64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Alert {
    pub(crate) kind: String,
    pub(crate) subject: String,
    pub(crate) detail: String,
}

impl Chancery {
    pub(crate) fn new(binary: &Path, config: &Path) -> Outcome<Self> {
        let config = fs::canonicalize(config).map_err(|error| format!("{}: {error}", config.display()))?;
        let binary = fs::canonicalize(binary).map_err(|error| format!("{}: {error}", binary.display()))?;
        let directory = config.parent().ok_or("the configuration lies in no directory")?.to_owned();
        Ok(Self { binary, config, directory })
    }

    /// The directory of the configuration; `home/` lies below it.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(crate) fn setup(&self) -> Outcome<()> {
        self.succeed(["setup"]).map(drop)
    }

    /// Writes a simulated day to a file.
    pub(crate) fn simulate(&self, seed: u64, events: u64, start: &str, span: Duration, out: &Path) -> Outcome<()> {
        let (seed, events, span) = (seed.to_string(), events.to_string(), format!("{}s", span.as_secs()));
        let common = ["simulate", "--seed", &seed, "--events", &events, "--rate", "0", "--start", start];
        let args = common.iter().map(OsStr::new).chain([
            OsStr::new("--duration"),
            OsStr::new(&span),
            OsStr::new("--out"),
            out.as_os_str(),
        ]);
        self.succeed(args).map(drop)
    }

    /// Publishes a file of events; returns when the broker has confirmed each.
    pub(crate) fn emit(&self, file: &Path) -> Outcome<()> {
        self.succeed([OsStr::new("emit"), file.as_os_str()]).map(drop)
    }

    pub(crate) fn status(&self) -> Outcome<Status> {
        let mut command = self.command(["status", "--format", "json"]);
        let output = command.output().map_err(|error| format!("cannot run chancery: {error}"))?;
        // A finding, such as an open alert, has an exit code of its own but prints the status all the same.
        serde_json::from_slice(&output.stdout).map_err(|error| {
            let said = String::from_utf8_lossy(&output.stderr);
            format!("chancery status gave no JSON ({error}); it said: {}", said.trim()).into()
        })
    }

    /// Starts the daemon; its log goes to `run.log` beside the configuration.
    pub(crate) fn run(&self) -> Outcome<Running> {
        let log = self.directory.join("run.log");
        let file = File::create(&log)?;
        let child = self.command(["run"]).stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).spawn()?;
        Ok(Running { child, log })
    }

    /// Does what is left to do, once.
    pub(crate) fn run_once(&self) -> Outcome<()> {
        self.succeed(["run", "--once"]).map(drop)
    }

    fn command<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(&self, args: I) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg("--config").arg(&self.config).args(args);
        command
    }

    /// Runs a subcommand that must succeed.
    pub(crate) fn succeed<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(&self, args: I) -> Outcome<Vec<u8>> {
        let mut command = self.command(args);
        let output = command.output().map_err(|error| format!("cannot run {:?}: {error}", self.binary))?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("{command:?} ended with {}:\n{}", output.status, said.trim()).into())
    }
}

impl Running {
    /// Fails when the daemon has ended by itself.
    pub(crate) fn check(&mut self) -> Outcome<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(format!("chancery run ended with {status}:\n{}", self.last_words()).into()),
        }
    }

    /// Ends the daemon with SIGTERM; it has ten seconds, as promised.
    pub(crate) fn terminate(mut self) -> Outcome<()> {
        self.check()?;
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).ok_or("the daemon has no process id")?;
        kill_process(pid, Signal::TERM)?;
        let sent = Instant::now();
        while sent.elapsed() < Duration::from_secs(10) {
            if let Some(status) = self.child.try_wait()? {
                return match status.success() {
                    true => Ok(()),
                    false => {
                        Err(format!("after SIGTERM chancery run ended with {status}:\n{}", self.last_words()).into())
                    }
                };
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err("chancery run did not end within 10 s of SIGTERM".into())
    }

    fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

impl Drop for Running {
    /// Whatever happened, no daemon stays behind.
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            // Both can only fail if the process is gone already.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
