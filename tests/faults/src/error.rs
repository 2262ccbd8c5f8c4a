//! What can go wrong in the runner itself. What goes wrong in the product is a finding, never an error.

use std::io;
use std::path::Path;

/// A result of the runner.
pub type Outcome<T> = Result<T, Trouble>;

/// Why a round could not be played.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Trouble {
    /// A file or directory of the runner's own.
    #[error("cannot {what} {path}: {source}")]
    Disk {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// The broker, seen from the judge's publisher.
    #[error("broker: {0}")]
    Broker(#[from] lapin::Error),
    /// The database, seen from the runner.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    /// A command ended as it should not.
    #[error("`{command}` ended with {status}: {said}")]
    Command {
        /// The command.
        command: String,
        /// Its exit status.
        status: String,
        /// The end of what it said on standard error.
        said: String,
    },
    /// Anything else, said in full.
    #[error("{0}")]
    Said(String),
}

/// Adds the place to an error of the file system.
pub trait At<T> {
    /// `what` is a verb: "read", "write".
    ///
    /// # Errors
    /// The same error, with its place.
    fn at(self, what: &'static str, path: &Path) -> Outcome<T>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, what: &'static str, path: &Path) -> Outcome<T> {
        self.map_err(|source| Trouble::Disk { what, path: path.display().to_string(), source })
    }
}

/// An error that is only its words.
pub fn said<T>(words: impl Into<String>) -> Outcome<T> {
    Err(Trouble::Said(words.into()))
}
