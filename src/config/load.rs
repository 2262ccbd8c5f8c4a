//! Finding, reading and layering the configuration.
//!
//! Later layers win: defaults, the file, the environment, `--set`. All problems of all layers are
//! reported together; a configuration with any problem is never handed out by [`Loader::load`].

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use toml::{Table, Value};

use super::SHIPPED_TRANSFORMS;
use super::check;
use super::layers::{Layers, VARIABLE_PREFIX};
use super::outline::{OUTLINE, Section, Shape};
use super::problem::{Origins, Problem};
use super::secrets::Environment;
use super::sections::Config;
use super::shape::{self, Broken};
use crate::errors::{ExitStatus, Failure};
use crate::support::durable::{PathError, WithPath};

/// A larger file is refused unread.
pub const FILE_SIZE_MAX: u64 = 1 << 20;
/// The environment variable that names the configuration file.
pub const FILE_VARIABLE: &str = "CHANCERY_CONFIG";
/// Where the file is looked for when nothing names it, in this order.
pub const FILES_DEFAULT: [&str; 2] = ["chancery.toml", "/etc/chancery/chancery.toml"];

/// A configuration that has been read.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The effective values; every path is absolute.
    pub config: Config,
    /// Where each value came from.
    pub origins: Origins,
    /// The configuration file, as it was named or found.
    pub file: PathBuf,
    pub(super) environment: Environment,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Nothing names a file, and none lies in the usual places.
    #[error("there is no configuration file: {} is not set, and neither {} nor {} exists", FILE_VARIABLE, FILES_DEFAULT[0], FILES_DEFAULT[1])]
    NotFound,
    /// The file cannot be read.
    #[error("the configuration file is not readable")]
    Unreadable(#[source] PathError),
    /// The file is larger than any configuration.
    #[error("the configuration file {} is larger than 1 MiB", .0.display())]
    TooLarge(PathBuf),
    /// The file is not UTF-8.
    #[error("the configuration file {} is not UTF-8 text: line {line} holds other bytes", file.display())]
    NotText {
        /// The file.
        file: PathBuf,
        /// The first bad line, from 1.
        line: usize,
    },
    /// The configuration says something wrong.
    #[error("the configuration has {}", Problems(.0))]
    Problems(Vec<Problem>),
}

struct Problems<'a>(&'a [Problem]);

impl fmt::Display for Problems<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => f.write_str("1 problem")?,
            count => write!(f, "{count} problems")?,
        }
        self.0.iter().try_for_each(|problem| write!(f, "\n{problem}"))
    }
}

impl ConfigError {
    /// The problems, if the file could be read at all.
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Problems(problems) => problems,
            _ => &[],
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let hint = match &error {
            ConfigError::NotFound => {
                "make one with `chancery config sample > chancery.toml`, or name one with --config"
            }
            ConfigError::Unreadable(_) => "check the path, and the rights of the user that runs Chancery",
            ConfigError::TooLarge(_) => "check that this is a configuration file",
            ConfigError::NotText { .. } => "save the file as UTF-8",
            ConfigError::Problems(_) => "mend these and run `chancery config check`",
        };
        let failure = Failure::new(ExitStatus::Configuration, error.to_string()).hint(hint);
        match error {
            ConfigError::Unreadable(source) => failure.caused_by(source),
            _ => failure,
        }
    }
}

/// Everything a configuration is made of.
#[derive(Debug, Clone)]
pub struct Loader {
    file: Option<PathBuf>,
    directory: PathBuf,
    arguments: Vec<String>,
    environment: Environment,
}

impl Loader {
    /// Reads the process's environment and looks for the file from the working directory.
    pub fn new() -> Self {
        Self { file: None, directory: PathBuf::new(), arguments: Vec::new(), environment: Environment::of_process() }
    }

    /// The file that `--config` names.
    #[must_use]
    pub fn file(mut self, file: Option<PathBuf>) -> Self {
        self.file = file;
        self
    }

    /// What the `--set` arguments say: `key=value` each.
    #[must_use]
    pub fn set(mut self, arguments: impl IntoIterator<Item = String>) -> Self {
        self.arguments.extend(arguments);
        self
    }

    /// Another environment than the process's.
    #[must_use]
    pub fn environment(mut self, variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        self.environment = Environment::new(variables);
        self
    }

    /// Another directory than the working directory to look for `./chancery.toml`.
    #[must_use]
    pub fn directory(mut self, directory: PathBuf) -> Self {
        self.directory = directory;
        self
    }

    /// Reads and checks the configuration: what it hands out can be run.
    ///
    /// # Errors
    /// When there is no file, it cannot be read, or anything in it is wrong; all problems at once.
    pub fn load(&self) -> Result<Loaded, ConfigError> {
        let (loaded, mut problems, broken) = self.read()?;
        problems.extend(check::check(&loaded, &broken));
        problems.sort_by_key(|problem| problem.place.line().unwrap_or(usize::MAX));
        if problems.is_empty() { Ok(loaded) } else { Err(ConfigError::Problems(problems)) }
    }

    /// Reads the configuration and checks names, types and words only, not what they refer to: for
    /// commands that explain, and for those that must work while a share or a password file is away.
    ///
    /// # Errors
    /// As [`Loader::load`], with fewer rules.
    pub fn load_unchecked(&self) -> Result<Loaded, ConfigError> {
        let (loaded, problems, _) = self.read()?;
        if problems.is_empty() { Ok(loaded) } else { Err(ConfigError::Problems(problems)) }
    }

    fn read(&self) -> Result<(Loaded, Vec<Problem>, Broken), ConfigError> {
        let file = self.find()?;
        let text = read_limited(&self.directory.join(&file))?;
        let mut layers = Layers::from_text(&text, Origins::new(Arc::from(file.as_path())));
        if !layers.problems.is_empty() {
            // Without a tree every other rule would only report what is not there.
            return Err(ConfigError::Problems(layers.problems));
        }
        for (name, value) in self.environment.beginning_with(VARIABLE_PREFIX) {
            layers.add_variable(name, value);
        }
        for argument in &self.arguments {
            layers.add_argument(argument);
        }
        let Layers { mut root, origins, mut problems } = layers;
        let (more, broken) = shape::check(&mut root, &origins);
        problems.extend(more);
        let base = base_directory(&self.directory.join(&file))?;
        resolve_paths(&OUTLINE, &mut root, &base);
        let config = match Config::deserialize(root) {
            // `join` leaves an absolute home as it is; only the default is still relative.
            Ok(config) => Config { home: base.join(&config.home), ..config },
            Err(error) => {
                problems.push(unforeseen(&origins, error.message()));
                Config::default()
            }
        };
        Ok((Loaded { config, origins, file, environment: self.environment.clone() }, problems, broken))
    }

    fn find(&self) -> Result<PathBuf, ConfigError> {
        let named = self.file.clone().or_else(|| self.environment.get(FILE_VARIABLE).map(PathBuf::from));
        if let Some(file) = named.filter(|file| !file.as_os_str().is_empty()) {
            return Ok(file);
        }
        let usual = FILES_DEFAULT.iter().map(PathBuf::from);
        usual.into_iter().find(|file| self.directory.join(file).exists()).ok_or(ConfigError::NotFound)
    }
}

impl Default for Loader {
    fn default() -> Self {
        Self::new()
    }
}

fn read_limited(path: &Path) -> Result<String, ConfigError> {
    let mut bytes = Vec::new();
    let opened = File::open(path).at("open", path).map_err(ConfigError::Unreadable)?;
    opened.take(FILE_SIZE_MAX + 1).read_to_end(&mut bytes).at("read", path).map_err(ConfigError::Unreadable)?;
    if bytes.len() as u64 > FILE_SIZE_MAX {
        return Err(ConfigError::TooLarge(path.to_owned()));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = good.iter().filter(|&&byte| byte == b'\n').count() + 1;
        ConfigError::NotText { file: path.to_owned(), line }
    })
}

fn base_directory(file: &Path) -> Result<PathBuf, ConfigError> {
    let unreadable = |error: io::Error| {
        ConfigError::Unreadable(PathError { action: "find the directory of", path: file.to_owned(), source: error })
    };
    let absolute = std::path::absolute(file).map_err(unreadable)?;
    Ok(absolute.parent().map_or_else(|| PathBuf::from("/"), Path::to_path_buf))
}

/// Makes every path absolute, counted from the file's directory whatever layer it came from.
fn resolve_paths(section: &Section, table: &mut Table, base: &Path) {
    for key in &section.keys {
        match (&key.shape, table.get_mut(&key.name)) {
            (Shape::Section(inner), Some(Value::Table(table))) => resolve_paths(inner, table, base),
            (Shape::Entries(inner), Some(Value::Array(items))) => {
                items.iter_mut().filter_map(Value::as_table_mut).for_each(|table| resolve_paths(inner, table, base));
            }
            (Shape::Path, Some(Value::String(path))) => *path = absolute(base, path),
            (Shape::Transform, Some(Value::String(path)))
                if !path.is_empty() && !SHIPPED_TRANSFORMS.contains(&path.as_str()) =>
            {
                *path = absolute(base, path);
            }
            _ => {}
        }
    }
}

fn absolute(base: &Path, path: &str) -> String {
    // Both parts are text, so nothing is lost here unless the directory itself has a name that is none.
    base.join(path).components().collect::<PathBuf>().to_string_lossy().into_owned()
}

/// A rule of the types that the outline does not know; it is still a problem, not a crash.
fn unforeseen(origins: &Origins, message: &str) -> Problem {
    Problem {
        place: origins.nearest(&[]),
        entry: None,
        key: String::new(),
        found: message.to_owned(),
        expected: "what `chancery config sample` shows".to_owned(),
        cure: "compare the file with it".to_owned(),
    }
}
