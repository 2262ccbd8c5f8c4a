//! What an adapter wants transformed, and how much it may cost.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::shipped::Shipped;
use crate::config::{Adapter, TransformLimits};

/// Bytes in a mebibyte.
const MEBIBYTE: u64 = 1 << 20;

/// Where a stylesheet comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stylesheet {
    /// Out of the program.
    Shipped(Shipped),
    /// Out of a file; what it imports must lie in the same folder or below.
    File(PathBuf),
}

/// One adapter's transform.
#[derive(Debug, Clone)]
pub struct TransformSpec {
    /// The adapter's name, for messages.
    pub name: String,
    /// The stylesheet; none when documents are only checked against the schema.
    pub stylesheet: Option<Stylesheet>,
    /// Texts given to the stylesheet's `xsl:param`s. A name in a namespace is written `{uri}name`.
    pub parameters: BTreeMap<String, String>,
    /// The XSD that every output must follow.
    pub schema: Option<PathBuf>,
    /// What a transform may cost.
    pub limits: Limits,
    /// The program that answers to [`super::WORKER_COMMAND`]; default: the one that is running.
    pub program: Option<PathBuf>,
}

/// What a transform may cost. Each limit ends the transform with an error that names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Address space of a worker, in bytes. A document takes about twelve times its size.
    pub memory: u64,
    /// Wall-clock time every transform has.
    pub time: Duration,
    /// Wall-clock time added for each mebibyte of input, begun ones included.
    pub time_per_mebibyte: Duration,
    /// Deepest nesting of instructions; a template that calls itself takes about three for each call.
    pub depth_max: u32,
    /// Most steps of templates, and most steps of XPath, in one transform.
    pub operations_max: u64,
    /// Most workers at once.
    pub workers: usize,
}

/// Which part of a document a conversation makes when each is transformed by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// The first.
    First,
    /// Any later one.
    Next,
}

/// What a stylesheet writes, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputForm {
    /// The method of `xsl:output`.
    pub method: OutputMethod,
    /// Whether it asks for indentation.
    pub indent: bool,
    /// The encoding it names; UTF-8 otherwise.
    pub encoding: Option<String>,
}

/// What a stylesheet writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputMethod {
    /// XML, also when the stylesheet does not say.
    Xml,
    /// HTML.
    Html,
    /// Text.
    Text,
}

/// Why a configured transform is none.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// Neither a shipped name nor a file.
    #[error("expected a stylesheet file or one of the shipped transforms ({}), found {found:?}", Shipped::ALL.map(Shipped::name).join(", "))]
    NotFound {
        /// What was configured.
        found: String,
        /// Why it is no file.
        #[source]
        source: std::io::Error,
    },
    /// A directory or device.
    #[error("expected a stylesheet file, found {} which is none", path.display())]
    NotAFile {
        /// What was configured.
        path: PathBuf,
    },
}

impl TransformSpec {
    /// A transform with default limits and nothing else.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            stylesheet: None,
            parameters: BTreeMap::new(),
            schema: None,
            limits: Limits::default(),
            program: None,
        }
    }
}

impl TransformSpec {
    /// What an adapter wants transformed or checked; `None` when it writes canonical XML unchecked.
    ///
    /// # Errors
    /// When the configured transform is neither a file nor a shipped one.
    pub fn of_adapter(adapter: &Adapter) -> Result<Option<Self>, ResolveError> {
        if adapter.transform.is_none() && adapter.schema.is_none() {
            return Ok(None);
        }
        // Configured paths are absolute once loaded.
        let stylesheet = adapter.transform.as_deref().map(|named| resolve(named, Path::new("/"))).transpose()?;
        Ok(Some(Self {
            stylesheet,
            parameters: adapter.parameters.clone(),
            schema: adapter.schema.clone(),
            limits: Limits::of(&adapter.limits),
            ..Self::new(&adapter.name)
        }))
    }
}

impl Part {
    /// The parameter that tells a stylesheet which part it makes, if it declares it.
    pub const PARAMETER: &str = "chancery-part";

    /// The value of [`Self::PARAMETER`].
    pub fn word(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Next => "next",
        }
    }
}

impl Default for Limits {
    /// What the configuration has when it says nothing.
    fn default() -> Self {
        Self::of(&TransformLimits::default())
    }
}

impl Limits {
    /// The limits of a configuration.
    pub fn of(configured: &TransformLimits) -> Self {
        Self {
            memory: configured.memory.get(),
            time: configured.time.get(),
            time_per_mebibyte: configured.time_per_mebibyte.get(),
            depth_max: configured.depth,
            operations_max: configured.operations,
            workers: match configured.workers {
                Some(workers) => workers as usize,
                None => std::thread::available_parallelism().map_or(1, usize::from),
            },
        }
    }

    /// The wall-clock time for a document of so many bytes.
    pub fn time_for(&self, bytes: usize) -> Duration {
        let mebibytes = u32::try_from((bytes as u64).div_ceil(MEBIBYTE)).unwrap_or(u32::MAX);
        self.time.saturating_add(self.time_per_mebibyte.saturating_mul(mebibytes))
    }
}

impl OutputMethod {
    /// The method of `xsl:output`.
    pub(super) fn of_name(name: Option<&str>) -> Self {
        match name {
            Some("html") => Self::Html,
            Some("text") => Self::Text,
            _ => Self::Xml,
        }
    }

    /// The file name's ending, without the point.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Xml => "xml",
            Self::Html => "html",
            Self::Text => "txt",
        }
    }
}

/// Finds the stylesheet of an adapter: a shipped transform by its name, or a file relative to `base`. A link is followed
/// when the file is read, not here: whoever turns it to another file changes the stylesheet.
///
/// # Errors
/// When it is neither.
pub fn resolve(name_or_path: &str, base: &Path) -> Result<Stylesheet, ResolveError> {
    if let Some(shipped) = Shipped::named(name_or_path) {
        return Ok(Stylesheet::Shipped(shipped));
    }
    let path = base.join(name_or_path);
    let found = path.metadata().map_err(|source| ResolveError::NotFound { found: name_or_path.to_owned(), source })?;
    if found.is_file() { Ok(Stylesheet::File(path)) } else { Err(ResolveError::NotAFile { path }) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test should panic")]
    use super::*;

    #[test]
    fn time_grows_with_the_document() {
        let limits =
            Limits { time: Duration::from_secs(10), time_per_mebibyte: Duration::from_secs(2), ..Limits::default() };
        assert_eq!(limits.time_for(0), Duration::from_secs(10));
        assert_eq!(limits.time_for(1), Duration::from_secs(12));
        assert_eq!(limits.time_for(3 << 20), Duration::from_secs(16));
    }

    #[test]
    fn a_transform_is_a_shipped_name_or_a_file() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("own.xsl"), "").unwrap();
        assert_eq!(resolve("filedump", folder.path()).unwrap(), Stylesheet::Shipped(Shipped::FileDump));
        let own = folder.path().join("own.xsl");
        assert_eq!(resolve("own.xsl", folder.path()).unwrap(), Stylesheet::File(own));
        let error = resolve("filedmup", folder.path()).unwrap_err().to_string();
        assert!(error.contains("filedump") && error.contains("filedmup"), "{error}");
        assert!(matches!(resolve(".", folder.path()), Err(ResolveError::NotAFile { .. })));
    }
}
