//! Passwords: read from a file or the environment at the moment of use, never from the command line,
//! and never shown.
//!
//! A password file that every user of the machine can read is refused.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use secrecy::SecretString;

use crate::support::durable::{PathError, WithPath};

/// A longer password file is taken for something else.
const SECRET_SIZE_MAX: u64 = 4096;

/// Why a password cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// Both or neither were given.
    #[error("a password comes from a file or from a variable, not from both")]
    Ambiguous,
    /// The file is missing or not readable.
    #[error("cannot read the password file")]
    Unreadable(#[source] PathError),
    /// Any user of the machine can read or change the file.
    #[error("every user of this machine can read or change the password file {}", .0.display())]
    Exposed(PathBuf),
    /// There is nothing in it.
    #[error("the password file {} is empty", .0.display())]
    Empty(PathBuf),
    /// It is no regular file, too large or not text.
    #[error("{} does not hold a password: it must be a text file of at most 4 KiB", .0.display())]
    NotAPassword(PathBuf),
    /// The variable is not set, empty or not text.
    #[error("the environment variable {0} is not set")]
    NotSet(String),
}

/// The password that a pair of `password_file` and `password_env` keys names; `None` if neither is set.
///
/// # Errors
/// When both are set, or the one that is set yields no password.
pub fn secret(file: Option<&Path>, variable: Option<&str>) -> Result<Option<SecretString>, SecretError> {
    secret_in(file, variable, |name| std::env::var(name).ok())
}

/// Like [`secret`], with the environment given.
pub(super) fn secret_in(
    file: Option<&Path>,
    variable: Option<&str>,
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<Option<SecretString>, SecretError> {
    match (file, variable) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(SecretError::Ambiguous),
        (Some(path), None) => from_file(path).map(Some),
        (None, Some(name)) => match lookup(name).filter(|value| !value.is_empty()) {
            Some(value) => Ok(Some(SecretString::from(value))),
            None => Err(SecretError::NotSet(name.to_owned())),
        },
    }
}

fn from_file(path: &Path) -> Result<SecretString, SecretError> {
    let file = File::open(path).at("open", path).map_err(SecretError::Unreadable)?;
    let metadata = file.metadata().at("look at", path).map_err(SecretError::Unreadable)?;
    if !metadata.is_file() {
        return Err(SecretError::NotAPassword(path.to_owned()));
    }
    if metadata.permissions().mode() & 0o006 != 0 {
        return Err(SecretError::Exposed(path.to_owned()));
    }
    let mut text = String::new();
    match file.take(SECRET_SIZE_MAX + 1).read_to_string(&mut text) {
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            return Err(SecretError::NotAPassword(path.to_owned()));
        }
        other => other.at("read", path).map_err(SecretError::Unreadable)?,
    };
    if text.len() as u64 > SECRET_SIZE_MAX {
        return Err(SecretError::NotAPassword(path.to_owned()));
    }
    let password = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    if password.is_empty() {
        return Err(SecretError::Empty(path.to_owned()));
    }
    Ok(SecretString::from(password.to_owned()))
}

/// The environment a configuration is read in. Values may be passwords, so they are never printed.
#[derive(Clone)]
pub(super) struct Environment(BTreeMap<String, String>);

impl Environment {
    pub(super) fn of_process() -> Self {
        Self::new(std::env::vars_os())
    }

    /// Names and values that are not UTF-8 cannot be meant for Chancery.
    pub(super) fn new(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let text = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
        Self(variables.into_iter().filter_map(text).collect())
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(super) fn beginning_with<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0.iter().filter(move |(name, _)| name.starts_with(prefix)).map(|(name, value)| (&**name, &**value))
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test should panic")]
    use super::*;
    use secrecy::ExposeSecret as _;
    use std::fs;

    fn file(text: &[u8], mode: u32) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        (dir, path)
    }

    #[test]
    fn one_trailing_line_break_is_no_part_of_the_password() {
        for (text, password) in [("a b", "a b"), ("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), (" a ", " a ")] {
            let (_dir, path) = file(text.as_bytes(), 0o600);
            assert_eq!(secret(Some(&path), None).unwrap().unwrap().expose_secret(), password);
        }
    }

    #[test]
    fn the_group_may_read_but_nobody_else() {
        let (_dir, path) = file(b"x", 0o640);
        assert!(secret(Some(&path), None).is_ok());
        for mode in [0o604, 0o602] {
            let (_dir, path) = file(b"x", mode);
            assert!(matches!(secret(Some(&path), None), Err(SecretError::Exposed(_))));
        }
    }

    #[test]
    fn what_is_no_password_is_refused() {
        let (dir, path) = file(b"\n", 0o600);
        assert!(matches!(secret(Some(&path), None), Err(SecretError::Empty(_))));
        assert!(matches!(secret(Some(dir.path()), None), Err(SecretError::NotAPassword(_))));
        assert!(matches!(secret(Some(&dir.path().join("none")), None), Err(SecretError::Unreadable(_))));
        assert!(matches!(secret(Some(&path), Some("X")), Err(SecretError::Ambiguous)));
        for text in [vec![b'x'; 5000], vec![0xff, 0xfe]] {
            let (_dir, path) = file(&text, 0o600);
            assert!(matches!(secret(Some(&path), None), Err(SecretError::NotAPassword(_))));
        }
    }

    #[test]
    fn a_variable_must_be_set_and_full() {
        let lookup = |name: &str| match name {
            "FULL" => Some("secret".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        let ask = |name| secret_in(None, Some(name), lookup);
        assert_eq!(ask("FULL").unwrap().unwrap().expose_secret(), "secret");
        assert!(matches!(ask("EMPTY"), Err(SecretError::NotSet(_))));
        assert!(matches!(ask("NONE"), Err(SecretError::NotSet(_))));
        assert!(secret(None, None).unwrap().is_none());
    }

    #[test]
    fn no_value_of_the_environment_is_ever_printed() {
        let environment = Environment::new([("PASSWORD".into(), "hunter2".into())]);
        assert_eq!(format!("{environment:?}"), "{\"PASSWORD\"}");
    }
}
