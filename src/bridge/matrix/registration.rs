//! The registration file: what tells the homeserver of the bridge, and holds the two tokens by which they know each other.
//!
//! Source: Matrix application-service API, "Registration". It is YAML there; JSON is YAML, and both sides read it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rand::RngExt as _;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use crate::support::durable::{PathError, WithPath as _, create_dir, write_new_secret};
use crate::support::step::Commit;

/// A larger file is taken for something else.
const SIZE_MAX: u64 = 64 << 10;
/// A shorter token could be guessed.
const TOKEN_CHARS_MIN: usize = 16;

/// Why there is no registration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistrationError {
    /// It cannot be read or written.
    #[error("the registration cannot be used")]
    Path(#[from] PathError),
    /// Any user of the machine could act as the bridge, and as every user of the chat server.
    #[error("every user of this machine can read or change the registration {}", .0.display())]
    Exposed(PathBuf),
    /// It is something else.
    #[error("{} is no registration that `chancery bridge matrix register` wrote: {detail}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it. Never holds a token.
        detail: String,
    },
}

/// What the bridge needs of its registration.
#[derive(Debug)]
pub struct Registration {
    /// How the homeserver calls the bridge.
    pub id: String,
    /// By which the homeserver knows the bridge.
    pub as_token: SecretString,
    /// By which the bridge knows the homeserver.
    pub hs_token: SecretString,
}

#[derive(Serialize, Deserialize)]
struct File {
    id: String,
    url: String,
    as_token: String,
    hs_token: String,
    sender_localpart: String,
    rate_limited: bool,
    receive_ephemeral: bool,
    namespaces: Namespaces,
}

#[derive(Serialize, Deserialize)]
struct Namespaces {
    users: Vec<Namespace>,
    rooms: Vec<Namespace>,
    aliases: Vec<Namespace>,
}

#[derive(Serialize, Deserialize)]
struct Namespace {
    exclusive: bool,
    regex: String,
}

fn token() -> String {
    hex::encode(rand::rng().random::<[u8; 32]>())
}

/// Writes a new registration with new tokens, readable by its owner alone. `url`: where the homeserver reaches the bridge.
///
/// # Errors
/// When the file is there already, or cannot be written.
pub fn write(path: &Path, id: &str, url: &str) -> Result<(), RegistrationError> {
    // Every user and every room, and none for the bridge alone: so every event of every room arrives, and nobody sees it.
    let everything = || vec![Namespace { exclusive: false, regex: ".*".into() }];
    let file = File {
        id: id.to_owned(),
        url: url.to_owned(),
        as_token: token(),
        hs_token: token(),
        sender_localpart: "_chancery".into(),
        rate_limited: false,
        // Receipts, typing and presence are not kept by the server when the bridge is away, so no archive could rely on them.
        receive_ephemeral: false,
        namespaces: Namespaces { users: everything(), rooms: everything(), aliases: Vec::new() },
    };
    let malformed = |error: serde_json::Error| RegistrationError::Malformed {
        path: path.to_owned(),
        detail: format!("it cannot be written: {error}"),
    };
    let mut text = serde_json::to_string_pretty(&file).map_err(malformed)?;
    text.push('\n');
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        create_dir(parent)?;
    }
    Ok(write_new_secret(path, text.as_bytes(), Commit::REGISTRATION_WRITTEN)?)
}

/// Reads the registration.
///
/// # Errors
/// When it is missing, open to every user of the machine, or something else.
pub fn read(path: &Path) -> Result<Registration, RegistrationError> {
    let malformed = |detail: String| RegistrationError::Malformed { path: path.to_owned(), detail };
    let metadata = fs::metadata(path).at("look at", path)?;
    if metadata.permissions().mode() & 0o006 != 0 {
        return Err(RegistrationError::Exposed(path.to_owned()));
    }
    if metadata.len() > SIZE_MAX {
        return Err(malformed("it is larger than 64 KiB".into()));
    }
    let bytes = fs::read(path).at("read", path)?;
    // The parser's own words could hold a token.
    let file: File = serde_json::from_slice(&bytes).map_err(|error| {
        malformed(format!("line {} column {} is not as it was written", error.line(), error.column()))
    })?;
    for (name, token) in [("as_token", &file.as_token), ("hs_token", &file.hs_token)] {
        if token.len() < TOKEN_CHARS_MIN || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(malformed(format!("{name} is no token of {TOKEN_CHARS_MIN} or more visible ASCII characters")));
        }
    }
    Ok(Registration { id: file.id, as_token: file.as_token.into(), hs_token: file.hs_token.into() })
}

impl Registration {
    /// Whether this is the homeserver's token. How long the comparison takes tells nothing of the token.
    pub fn is_homeserver(&self, token: &[u8]) -> bool {
        use subtle::ConstantTimeEq as _;
        self.hs_token.expose_secret().as_bytes().ct_eq(token).into()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test should panic")]

    use super::*;

    #[test]
    fn what_is_written_is_its_owners_alone_and_read_back_and_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state/registration.json");
        write(&path, "chancery", "http://127.0.0.1:29330").unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let first = read(&path).unwrap();
        assert_eq!(first.id, "chancery");
        assert_eq!(first.hs_token.expose_secret().len(), 64);
        assert_ne!(first.hs_token.expose_secret(), first.as_token.expose_secret());
        assert!(first.is_homeserver(first.hs_token.expose_secret().as_bytes()));
        assert!(!first.is_homeserver(first.as_token.expose_secret().as_bytes()));
        assert!(!first.is_homeserver(b""));
        assert!(write(&path, "chancery", "http://127.0.0.1:29330").is_err());
        assert_eq!(read(&path).unwrap().hs_token.expose_secret(), first.hs_token.expose_secret());
    }

    #[test]
    fn what_others_can_read_or_what_is_something_else_is_refused_without_its_tokens() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("registration.json");
        write(&path, "chancery", "http://127.0.0.1:29330").unwrap();
        let text = fs::read_to_string(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(read(&path), Err(RegistrationError::Exposed(_))));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let token = read(&path).unwrap().hs_token;
        for bad in
            [text.replace("\"hs_token\"", "\"token\""), text.replace(token.expose_secret(), "short"), "id: x".into()]
        {
            fs::write(&path, bad).unwrap();
            let refused = read(&path).unwrap_err();
            assert!(matches!(refused, RegistrationError::Malformed { .. }), "{refused}");
            assert!(!refused.to_string().contains(token.expose_secret()));
        }
    }
}
