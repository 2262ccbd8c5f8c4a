//! A home for one measurement of Chancery: its configuration, its queue, its staging.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use crate::parts::Bench;
use crate::process::{Running, succeeded};

/// Which store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Store {
    Sqlite,
    Postgres,
}

impl Store {
    pub(crate) const BOTH: [Self; 2] = [Self::Postgres, Self::Sqlite];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        }
    }
}

/// Under which rules a home stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rules {
    /// Those of a firm.
    Firm,
    /// Those of a laboratory, which may have intervals of seconds, and which reconciles each second.
    Laboratory,
}

/// A home with a queue of its own; all of it is gone when it is dropped.
#[derive(Debug)]
pub(crate) struct Site {
    dir: TempDir,
    chancery: PathBuf,
    /// Names the exchange, the queue (with `.q`) and the schema.
    pub(crate) name: String,
    pub(crate) store: Store,
}

impl Site {
    /// Configures a home and declares its queue. `adapters` is TOML.
    pub(crate) fn make(bench: &Bench, store: Store, rules: Rules, adapters: &str) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("site-").tempdir_in(&bench.dir).context("no directory")?;
        let name = format!(
            "measure_{}_{}",
            std::process::id(),
            dir.path().file_name().map_or_else(String::new, |name| {
                name.to_string_lossy()
                    .chars()
                    .filter(char::is_ascii_alphanumeric)
                    .collect::<String>()
                    .to_ascii_lowercase()
            })
        );
        let staging = match store {
            Store::Sqlite => String::new(),
            Store::Postgres => {
                format!("[staging]\nstore = \"postgres\"\nurl = \"{}\"\nschema = \"{name}\"\n", bench.postgres_url)
            }
        };
        let laboratory = rules == Rules::Laboratory;
        let toml = format!(
            "home = \"home\"\nlaboratory = {laboratory}\n[log]\nlevel = \"warn\"\n\
             [[source]]\nuri = \"/channel-service/1\"\n[[source]]\nuri = \"/web/1\"\n\
             [amqp]\nurl = \"{}\"\nexchange = \"{name}\"\nqueue = \"{name}.q\"\ndead_letter_exchange = \"{name}.dead\"\n\
             {staging}{adapters}",
            bench.amqp_url
        );
        std::fs::write(dir.path().join("chancery.toml"), toml).context("cannot write the configuration")?;
        let site = Self { dir, chancery: bench.chancery.clone(), name, store };
        succeeded(site.command().arg("setup"))?;
        Ok(site)
    }

    pub(crate) fn queue(&self) -> String {
        format!("{}.q", self.name)
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    pub(crate) fn pickup(&self, adapter: &str) -> PathBuf {
        self.path("home/pickup").join(adapter)
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.path("daemon.log")
    }

    /// The command, with the configuration named.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.chancery);
        command.arg("--config").arg(self.dir.path().join("chancery.toml")).current_dir(self.dir.path());
        command
    }

    /// Starts the daemon.
    pub(crate) fn run(&self) -> Result<Running> {
        Running::start(self.command().arg("run"), &self.log())
    }

    /// Starts what ends when everything is done.
    pub(crate) fn run_once(&self) -> Result<Running> {
        Running::start(self.command().args(["run", "--once"]), &self.log())
    }

    /// Starts it pinned to one processor.
    pub(crate) fn run_on_one_core(&self, arguments: &[&str]) -> Result<()> {
        let whole = self.command();
        let mut command = Command::new("taskset");
        command.args(["-c", "0"]).arg(whole.get_program()).args(whole.get_args()).args(arguments);
        succeeded(command.current_dir(self.dir.path())).map(drop)
    }

    /// Asks something as JSON.
    pub(crate) fn ask(&self, arguments: &[&str]) -> Result<serde_json::Value> {
        let said = succeeded(self.command().args(["--format", "json"]).args(arguments))?;
        serde_json::from_str(&said).context("the answer is no JSON")
    }

    /// The file that SQLite stages in.
    pub(crate) fn staging_file(&self) -> PathBuf {
        self.path("home/state/staging.db")
    }
}

/// The files below a directory, `.inprogress` left out, by name.
pub(crate) fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}
