//! Getting at the bytes of an event's file: inline in the event, below the configured root, or from a configured host.
//!
//! A path can never lead out of the root: the kernel resolves it beneath the root's directory and follows no
//! links. A URL can never lead to another host: see [`fetch`].

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;

use super::fetch::{self, Hosts};
use super::{Digest, Vault, VaultError};
use crate::config::Files;
use crate::model::{Text, event};
use crate::staging::Capture;

/// Longest ending taken over from an original name, in characters.
const EXTENSION_CHARS_MAX: usize = 10;

/// Where the bytes of files may come from.
#[derive(Debug, Default)]
pub struct FileSource {
    /// The chat server's file repository, if there is one.
    pub(super) root: Option<PathBuf>,
    /// The servers that may be asked.
    pub(super) hosts: Hosts,
}

impl FileSource {
    /// What the configuration allows. Tokens and certificates are read now.
    ///
    /// # Errors
    /// [`VaultError::Access`] when a token or a certificate cannot be had.
    pub fn open(files: &Files) -> Result<Self, VaultError> {
        Ok(Self { root: files.root.clone(), hosts: Hosts::open(files)? })
    }
}

/// Brings the bytes of an event's file into the vault.
///
/// Bytes that cannot be had are an outcome, not an error: the record says so and goes on.
///
/// # Errors
/// [`VaultError::Disk`] when the vault itself fails; the capture may then be tried again.
pub fn capture(vault: &Vault, source: &FileSource, file: Option<&event::File<'_>>) -> Result<Capture, VaultError> {
    let Some(file) = file else { return Ok(missing("the event describes no file")) };
    let stored = if let Some(inline) = &file.inline {
        match STANDARD.decode(inline.as_bytes()) {
            Ok(bytes) => vault.put_bytes(&bytes)?,
            Err(error) => return Ok(missing(format!("file.inline is no base64: {error}"))),
        }
    } else if let Some(location) = &file.location {
        let Some(location) = location.as_str() else {
            return Ok(missing("file.location holds half a surrogate pair"));
        };
        match take(vault, source, location)? {
            Ok(stored) => stored,
            Err(reason) => return Ok(missing(reason)),
        }
    } else {
        // A download names its content by digest; the upload brought the bytes.
        let known = file.sha256.as_ref().and_then(claimed_digest);
        let found =
            known.map(|digest| vault.size_of(&digest).map(|size| size.map(|size| (digest, size)))).transpose()?;
        match found.flatten() {
            Some(stored) => stored,
            None => return Ok(missing("the event holds neither file.inline nor file.location")),
        }
    };
    let (sha256, size) = stored;
    let digest_differs = file.sha256.as_ref().is_some_and(|claimed| claimed_digest(claimed) != Some(sha256));
    let mismatch = digest_differs || file.size.is_some_and(|claimed| claimed != size);
    let extension = file.name.as_ref().and_then(|name| safe_extension(&name.to_string_lossy()));
    Ok(Capture::Stored { sha256, size, mismatch, extension })
}

/// Brings the bytes at a location into the vault, or tells why they cannot be had.
fn take(vault: &Vault, source: &FileSource, location: &str) -> Result<Result<(Digest, u64), String>, VaultError> {
    let (giver, stored) = if fetch::is_url(location) {
        match source.hosts.fetch(location) {
            Ok((host, body)) => (host, vault.put(body)),
            Err(error) => return Ok(Err(error.to_string())),
        }
    } else if let Some(root) = &source.root {
        ("the file repository", open_below(root, location).map_err(VaultError::Source).and_then(|file| vault.put(file)))
    } else {
        return Ok(Err("file.location is a path, but files.root is not configured".to_owned()));
    };
    match stored {
        Ok(stored) => Ok(Ok(stored)),
        Err(VaultError::Source(error)) => Ok(Err(format!("{giver} did not give the file: {error}"))),
        Err(error) => Err(error),
    }
}

fn claimed_digest(claimed: &Text<'_>) -> Option<Digest> {
    hex::decode(claimed.as_bytes()).ok()?.try_into().ok()
}

/// Only short endings of letters and digits pass; whatever else the name holds stays out of names on the share.
fn safe_extension(name: &str) -> Option<String> {
    let (_, extension) = name.rsplit_once('.')?;
    let harmless = !extension.is_empty()
        && extension.len() <= EXTENSION_CHARS_MAX
        && extension.bytes().all(|byte| byte.is_ascii_alphanumeric());
    harmless.then(|| extension.to_ascii_lowercase())
}

fn missing(reason: impl Into<String>) -> Capture {
    Capture::Missing { reason: reason.into() }
}

/// Opens a regular file strictly below `root`; `..`, absolute paths and links of any kind are refused by the kernel.
fn open_below(root: &Path, location: &str) -> io::Result<impl Read> {
    if location.is_empty() {
        return Err(io::Error::other("the path is empty"));
    }
    if location.contains('\0') {
        return Err(io::Error::other("the path holds a NUL"));
    }
    let directory = rustix::fs::openat(CWD, root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    // NONBLOCK: opening a FIFO must not wait for its writer; it has no effect on regular files.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let opened = openat2(directory, location, flags, Mode::empty(), resolve).map_err(|errno| match errno {
        Errno::XDEV => io::Error::other("the path leads out of the file repository"),
        Errno::LOOP => io::Error::other("the path goes over a link"),
        Errno::NOENT => io::Error::new(io::ErrorKind::NotFound, "there is no such file"),
        other => other.into(),
    });
    let file = File::from(opened?);
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    Ok(file)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed test should panic")]
mod tests {
    use super::*;

    #[test]
    fn inline_bytes_are_captured_and_compared_with_the_claim() {
        let dir = tempfile::tempdir().unwrap();
        let vault = Vault::open(dir.path()).unwrap();
        let mut file = event::File { inline: Some(Text::from("aGVsbG8=")), size: Some(5), ..Default::default() };
        let right = capture(&vault, &FileSource::default(), Some(&file)).unwrap();
        assert!(matches!(right, Capture::Stored { size: 5, mismatch: false, .. }));
        file.size = Some(6);
        let wrong = capture(&vault, &FileSource::default(), Some(&file)).unwrap();
        assert!(matches!(wrong, Capture::Stored { size: 5, mismatch: true, .. }));
    }

    #[test]
    fn only_harmless_endings_of_names_are_taken_over() {
        for (name, ending) in [
            ("Q3 report.PDF", Some("pdf")),
            ("no extension", None),
            ("../../etc/passwd", None),
            ("x.a/b", None),
            ("x.\u{0}", None),
            ("трейд.дог", None),
            ("x.averyverylongextension", None),
            ("x.", None),
            ("", None),
        ] {
            assert_eq!(safe_extension(name).as_deref(), ending, "{name:?}");
        }
    }
}
