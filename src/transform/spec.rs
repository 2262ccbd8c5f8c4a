//! What an adapter wants transformed, and how much it may cost.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::shipped::Shipped;

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

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 2 << 30,
            time: Duration::from_secs(60),
            time_per_mebibyte: Duration::from_secs(2),
            depth_max: 20_000,
            operations_max: 2_000_000_000,
            workers: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

impl Limits {
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

/// Finds the stylesheet of an adapter: a shipped transform by its name, or a file relative to `base`.
///
/// # Errors
/// When it is neither.
pub fn resolve(name_or_path: &str, base: &Path) -> Result<Stylesheet, ResolveError> {
    if let Some(shipped) = Shipped::named(name_or_path) {
        return Ok(Stylesheet::Shipped(shipped));
    }
    let path = base
        .join(name_or_path)
        .canonicalize()
        .map_err(|source| ResolveError::NotFound { found: name_or_path.to_owned(), source })?;
    if path.is_file() { Ok(Stylesheet::File(path)) } else { Err(ResolveError::NotAFile { path }) }
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
        let own = folder.path().canonicalize().unwrap().join("own.xsl");
        assert_eq!(resolve("own.xsl", folder.path()).unwrap(), Stylesheet::File(own));
        let error = resolve("filedmup", folder.path()).unwrap_err().to_string();
        assert!(error.contains("filedump") && error.contains("filedmup"), "{error}");
        assert!(matches!(resolve(".", folder.path()), Err(ResolveError::NotAFile { .. })));
    }
}
