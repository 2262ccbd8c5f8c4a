//! The fault shim from outside: a library that is put between a program and its file system and clock.
//!
//! ```no_run
//! # use std::{io, path::Path, process::Command};
//! use chancery_faults::shim::{Action, Errno, Op, Rule, Shim, Survival, power_cut};
//!
//! # fn main() -> io::Result<()> {
//! let share = Path::new("/srv/share");
//! let shim = Shim::new(Path::new("/srv/lab/shim"))?.watching([share]).with_power_cuts()?;
//! let mut command = Command::new("chancery");
//! shim.apply(&mut command);
//! let mut process = command.spawn()?;
//! shim.rules(&[Rule::new(Op::Fsync, share, Action::Fail(Errno::Io)).after(3).times(1)])?;
//! process.kill()?;
//! process.wait()?;
//! power_cut(&shim, Survival::Nothing)?;
//! # Ok(())
//! # }
//! ```

mod power_cut;
mod rule;
mod trace;

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

pub use power_cut::{PowerCut, Survival, power_cut};
pub use rule::{Action, Errno, Op, Rule};
pub use trace::{Call, Outcome};

/// The library, as it was built with this package.
const LIBRARY: &str = env!("CHANCERY_FAULT_SHIM");

/// A shim for the processes of one laboratory.
#[derive(Debug)]
pub struct Shim {
    dir: PathBuf,
    watched: Vec<PathBuf>,
    power_cuts: bool,
    standing: Mutex<Standing>,
}

/// What stands in the file of rules.
#[derive(Debug, Default)]
struct Standing {
    rules: Vec<Rule>,
    clock_seconds: f64,
}

impl Shim {
    /// A shim that keeps its files in `dir`, which is made if it is missing. It has no rules and watches nothing.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn new(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let dir = fs::canonicalize(dir)?;
        let shim = Self { dir, watched: Vec::new(), power_cuts: false, standing: Mutex::default() };
        shim.rules(&[])?;
        Ok(shim)
    }

    /// Records what is called on paths in these directories, which need not exist yet.
    ///
    /// They are named as the program names them: links are not followed.
    #[must_use]
    pub fn watching(mut self, dirs: impl IntoIterator<Item = impl AsRef<Path>>) -> Self {
        self.watched.extend(dirs.into_iter().map(|dir| dir.as_ref().to_owned()));
        self
    }

    /// Keeps what [`power_cut()`] needs. The shim's directory must then lie on the file system of the watched ones.
    ///
    /// Syncs of watched files are no longer passed on to the disk, which makes everything faster. Databases are not to be
    /// watched: they write through memory maps, which the shim does not see, and are trusted with syncs of their own.
    ///
    /// # Errors
    /// When the directory for it cannot be made.
    pub fn with_power_cuts(mut self) -> io::Result<Self> {
        self.power_cuts = true;
        fs::create_dir_all(self.vault())?;
        Ok(self)
    }

    /// Puts the shim before a program that is about to be started.
    pub fn apply(&self, command: &mut Command) {
        command.env("LD_PRELOAD", LIBRARY).env("CHANCERY_SHIM_RULES", self.rules_file());
        if !self.watched.is_empty() {
            let mut list = OsString::new();
            for dir in &self.watched {
                if !list.is_empty() {
                    list.push(":");
                }
                list.push(dir);
            }
            command.env("CHANCERY_SHIM_WATCH", list).env("CHANCERY_SHIM_TRACE", self.trace_file());
        }
        if self.power_cuts {
            command.env("CHANCERY_SHIM_VAULT", self.vault());
        }
    }

    /// Replaces the rules, for running processes too, from their next call on. The clock stays as it is.
    ///
    /// # Errors
    /// When the file of rules cannot be written.
    pub fn rules(&self, rules: &[Rule]) -> io::Result<()> {
        self.change(|standing| standing.rules = rules.to_vec())
    }

    /// Shifts the clock of the wall, of running processes too, by so many seconds from the true time.
    ///
    /// # Errors
    /// When the file of rules cannot be written.
    pub fn clock(&self, offset_seconds: f64) -> io::Result<()> {
        self.change(|standing| standing.clock_seconds = offset_seconds)
    }

    fn change(&self, change: impl FnOnce(&mut Standing)) -> io::Result<()> {
        let mut standing = self.standing.lock().map_err(|_| io::Error::other("a change of rules panicked"))?;
        change(&mut standing);
        let mut text = Vec::new();
        if standing.clock_seconds != 0.0 {
            text.extend(format!("clock {}\n", standing.clock_seconds).into_bytes());
        }
        for rule in &standing.rules {
            text.extend(rule.line());
        }
        let fresh = self.dir.join("rules.new");
        fs::write(&fresh, text)?;
        fs::rename(fresh, self.rules_file())
    }

    /// What was called on watched paths since the start or since [`Shim::clear_trace`], in the order in which calls ended.
    ///
    /// # Errors
    /// When the trace cannot be read, or is damaged.
    pub fn trace(&self) -> io::Result<Vec<Call>> {
        match fs::read(self.trace_file()) {
            Ok(bytes) => trace::parse(&bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Forgets the calls made so far. Processes that are running go on in the same file.
    ///
    /// # Errors
    /// When the trace cannot be cut.
    pub fn clear_trace(&self) -> io::Result<()> {
        match fs::OpenOptions::new().write(true).truncate(true).open(self.trace_file()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn rules_file(&self) -> PathBuf {
        self.dir.join("rules")
    }

    fn trace_file(&self) -> PathBuf {
        self.dir.join("trace")
    }

    fn vault(&self) -> PathBuf {
        self.dir.join("vault")
    }

    fn watches(&self, path: &Path) -> bool {
        self.watched.iter().any(|dir| path.starts_with(dir))
    }
}

/// Writes a path as a field without blanks.
fn escape(path: &Path) -> Vec<u8> {
    let mut field = Vec::new();
    for &byte in path.as_os_str().as_bytes() {
        if byte > b' ' && byte != b'%' && byte != 127 {
            field.push(byte);
        } else {
            field.extend(format!("%{byte:02X}").into_bytes());
        }
    }
    field
}

/// Reads a field that holds a path.
fn unescape(field: &[u8]) -> PathBuf {
    let digit = |byte: Option<&u8>| byte.and_then(|&byte| char::from(byte).to_digit(16));
    let mut bytes = Vec::with_capacity(field.len());
    let mut at = 0;
    while let Some(&byte) = field.get(at) {
        let escaped = (byte == b'%').then(|| digit(field.get(at + 1)).zip(digit(field.get(at + 2)))).flatten();
        if let Some((high, low)) = escaped {
            bytes.push(u8::try_from(high * 16 + low).unwrap_or(b'%'));
            at += 3;
        } else {
            bytes.push(byte);
            at += 1;
        }
    }
    OsString::from_vec(bytes).into()
}
