//! Everything that one round has to itself: directories, mounts, configuration, names on the servers.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::archive::{Collected, Manner};
use crate::error::{At as _, Outcome, Trouble};
use crate::layout::Layout;
use crate::reader::Watched;

/// Which database a round stages in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Store {
    /// SQLite.
    Sqlite,
    /// PostgreSQL.
    Postgres,
}

impl Store {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

/// An adapter of a round.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Output {
    /// Its name, without a dash.
    pub name: &'static str,
    /// What its archive does.
    pub manner: Manner,
    /// Whether the archive takes attachments before outputs.
    pub attachments_first: bool,
    /// For how long a file must have lain there before the archive takes it, in milliseconds.
    pub settled_ms: u64,
    /// Whether it writes FileDump documents.
    pub file_dump: bool,
    /// Its other keys, as TOML.
    #[serde(skip)]
    pub keys: &'static str,
}

impl Output {
    fn layout(&self) -> Layout {
        if self.file_dump { Layout::FileDump } else { Layout::Canonical }
    }
}

/// Two directories that can be small file systems of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Volume {
    /// All pickup shares.
    Shares,
    /// The SQLite file.
    Staging,
}

/// The round's place.
#[derive(Debug)]
pub struct Site {
    /// The directory of the round.
    pub dir: PathBuf,
    /// Names the exchange, the queue and the schema.
    pub name: String,
    /// The store.
    pub store: Store,
    chancery: PathBuf,
    outputs: Vec<Output>,
    mounted: Vec<PathBuf>,
}

/// How the product reaches its servers.
#[derive(Debug, Clone)]
pub struct Ways {
    /// The broker's address.
    pub amqp_url: String,
    /// The database's address.
    pub postgres_url: Option<String>,
}

const VOLUME_SIZE: &str = "64m";

impl Site {
    /// Makes the directories and mounts.
    ///
    /// # Errors
    /// When something cannot be made.
    pub fn make(
        dir: &Path,
        name: &str,
        store: Store,
        chancery: &Path,
        outputs: Vec<Output>,
        volumes: &[Volume],
    ) -> Outcome<Self> {
        let mut site = Self {
            dir: dir.to_owned(),
            name: name.to_owned(),
            store,
            chancery: chancery.to_owned(),
            outputs,
            mounted: Vec::new(),
        };
        for volume in [Volume::Shares, Volume::Staging] {
            let place = site.volume(volume);
            fs::create_dir_all(&place).at("create", &place)?;
        }
        for volume in volumes {
            let place = site.volume(*volume);
            mount(&["-t", "tmpfs", "-o", &format!("size={VOLUME_SIZE}"), "tmpfs"], &place)?;
            site.mounted.push(place);
        }
        let repository = site.repository();
        fs::create_dir_all(&repository).at("create", &repository)?;
        for output in &site.outputs {
            let share = site.share(output.name);
            fs::create_dir_all(&share).at("create", &share)?;
        }
        Ok(site)
    }

    /// Where a volume is.
    pub fn volume(&self, volume: Volume) -> PathBuf {
        self.dir.join(match volume {
            Volume::Shares => "shares",
            Volume::Staging => "staging",
        })
    }

    /// The pickup directory of an adapter.
    pub fn share(&self, adapter: &str) -> PathBuf {
        self.volume(Volume::Shares).join(adapter)
    }

    /// The adapters.
    pub fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// The shares as the archive sees them.
    pub fn collected(&self) -> Vec<Collected> {
        let share = |output: &Output| Collected {
            adapter: output.name.to_owned(),
            share: self.share(output.name),
            manner: output.manner,
            attachments_first: output.attachments_first,
            settled: Duration::from_millis(output.settled_ms),
        };
        self.outputs.iter().map(share).collect()
    }

    /// The shares as the hostile reader sees them.
    pub fn watched(&self) -> Vec<Watched> {
        let share = |output: &Output| Watched {
            adapter: output.name.to_owned(),
            share: self.share(output.name),
            layout: output.layout(),
        };
        self.outputs.iter().map(share).collect()
    }

    /// An adapter's layout.
    pub fn layout(&self, adapter: &str) -> Layout {
        self.outputs.iter().find(|output| output.name == adapter).map_or(Layout::Canonical, Output::layout)
    }

    /// The PostgreSQL schema.
    pub fn schema(&self) -> Option<String> {
        (self.store == Store::Postgres).then(|| self.name.replace(['-', '.'], "_"))
    }

    /// The SQLite file.
    pub fn staging_file(&self) -> PathBuf {
        self.volume(Volume::Staging).join("staging.db")
    }

    /// The evidence directory, which both homes share.
    pub fn evidence(&self) -> PathBuf {
        self.dir.join("evidence")
    }

    /// Where the chat server keeps its files.
    pub fn repository(&self) -> PathBuf {
        self.dir.join("repository")
    }

    /// Directories that hold purge certificates.
    pub fn certificates(&self) -> Vec<PathBuf> {
        vec![self.evidence().join("purge")]
    }

    /// Writes the configuration of both homes. The second works with the same store, vault and shares as the first.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn configure(&self, ways: &Ways) -> Outcome<()> {
        for home in ["home", "second"] {
            let path = self.configuration(home);
            fs::write(&path, self.toml(home, ways)).at("write", &path)?;
        }
        Ok(())
    }

    fn configuration(&self, home: &str) -> PathBuf {
        self.dir.join(format!("{home}.toml"))
    }

    fn toml(&self, home: &str, ways: &Ways) -> String {
        let name = &self.name;
        let mut text = format!(
            "home = \"{home}\"\nlaboratory = true\n\n[[source]]\nuri = \"/channel-service/1\"\n\n[[source]]\nuri = \"/web/1\"\n\n\
             [spool]\nenabled = false\n\n[files]\nroot = \"repository\"\nvault = \"vault\"\n\n\
             [evidence]\ndirectory = \"evidence\"\nkey = \"evidence.key\"\n\n\
             [amqp]\nurl = \"{}\"\nexchange = \"{name}\"\nqueue = \"{name}.q\"\ndead_letter_exchange = \"{name}.dead\"\n\n",
            ways.amqp_url
        );
        text += &match (self.schema(), &ways.postgres_url) {
            (Some(schema), Some(url)) => {
                format!("[staging]\nstore = \"postgres\"\nurl = \"{url}\"\nschema = \"{schema}\"\n")
            }
            _ => "[staging]\nstore = \"sqlite\"\npath = \"staging/staging.db\"\n".to_owned(),
        };
        for output in &self.outputs {
            let when = if output.manner == Manner::Acknowledge { "acknowledged" } else { "removed" };
            let name = output.name;
            text +=
                &format!("\n[[adapter]]\nname = \"{name}\"\npickup = \"shares/{name}\"\ncollected_when = \"{when}\"\n");
            text += output.keys;
        }
        text
    }

    /// The product with the configuration of a home.
    pub fn command(&self, home: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.chancery);
        command.arg("--config").arg(self.configuration(home)).args(arguments).current_dir(&self.dir);
        // What is meant for another Chancery must not reach this one.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"CHANCERY")) {
            command.env_remove(name);
        }
        command
    }

    /// Runs a command of the product to its end; gives its standard output.
    ///
    /// # Errors
    /// When it cannot be run, or ends with a code other than 0 and 1.
    pub async fn ask(&self, arguments: &[&str]) -> Outcome<Vec<u8>> {
        let mut command = tokio::process::Command::from(self.command("home", arguments));
        command.kill_on_drop(true);
        let output = command.output().await.at("run", &self.chancery)?;
        if matches!(output.status.code(), Some(0 | 1)) {
            return Ok(output.stdout);
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(Trouble::Command {
            command: format!("chancery {}", arguments.join(" ")),
            status: output.status.to_string(),
            said,
        })
    }

    /// Unmounts what was mounted.
    pub fn unmount(&mut self) {
        for place in self.mounted.drain(..).rev() {
            // Lazily: whoever still looks there must not keep it.
            let _ = Command::new("umount").arg("-l").arg(&place).output();
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.unmount();
    }
}

/// Runs `mount ARGUMENTS PLACE`.
///
/// # Errors
/// When it fails.
pub(crate) fn mount(arguments: &[&str], place: &Path) -> Outcome<()> {
    let output = Command::new("mount").args(arguments).arg(place).output().at("mount", place)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let command = format!("mount {} {}", arguments.join(" "), place.display());
    Err(Trouble::Command { command, status: output.status.to_string(), said })
}

/// Whether this process may mount, tried on a directory of its own.
pub fn may_mount(dir: &Path) -> bool {
    let place = dir.join("mount-test");
    let may = fs::create_dir_all(&place).is_ok() && mount(&["-t", "tmpfs", "-o", "size=1m", "tmpfs"], &place).is_ok();
    if may {
        let _ = Command::new("umount").arg(&place).output();
    }
    let _ = fs::remove_dir(&place);
    may
}
