//! Getting at the bytes of an event's file: inline in the event, or below the configured root.
//!
//! A location can never lead out of the root: the kernel resolves it beneath the root's directory and
//! follows no links.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};

use super::{Digest, Vault, VaultError};
use crate::model::{Text, event};
use crate::staging::Capture;

/// Longest ending taken over from an original name, in characters.
const EXTENSION_CHARS_MAX: usize = 10;

/// Where the bytes of files may come from.
#[derive(Debug, Clone, Default)]
pub struct FileSource {
    /// The chat server's file repository, if there is one.
    pub root: Option<PathBuf>,
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
        let opened = match (&source.root, location.as_str()) {
            (None, _) => return Ok(missing("file.location is given, but files.root is not configured")),
            (_, None) => return Ok(missing("file.location holds half a surrogate pair")),
            (Some(root), Some(location)) => open_below(root, location),
        };
        match opened.map(|bytes| vault.put(bytes)) {
            Ok(Err(VaultError::Source(error))) | Err(error) => {
                return Ok(missing(format!("the file repository did not give the file: {error}")));
            }
            Ok(stored) => stored?,
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
    let directory = rustix::fs::openat(CWD, root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    // NONBLOCK: opening a FIFO must not wait for its writer; it has no effect on regular files.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let file = File::from(openat2(directory, location, flags, Mode::empty(), resolve)?);
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    Ok(file)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed test should panic")]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn located(location: &str) -> event::File<'_> {
        event::File { location: Some(Text::from(location)), ..Default::default() }
    }

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

    #[test]
    fn a_location_never_leads_out_of_the_root() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir_all(root.join("sub")).unwrap();
        std::fs::write(root.join("sub/in.txt"), "inside").unwrap();
        std::fs::write(dir.path().join("out.txt"), "outside").unwrap();
        symlink(dir.path().join("out.txt"), root.join("link.txt")).unwrap();
        symlink(dir.path(), root.join("linkdir")).unwrap();
        rustix::fs::mknodat(CWD, root.join("pipe"), rustix::fs::FileType::Fifo, Mode::RUSR, 0).unwrap();
        let vault = Vault::open(&dir.path().join("vault")).unwrap();
        let source = FileSource { root: Some(root.clone()) };

        let inside = capture(&vault, &source, Some(&located("sub/in.txt"))).unwrap();
        assert!(matches!(inside, Capture::Stored { size: 6, .. }));
        let absolute = dir.path().join("out.txt").display().to_string();
        for escape in
            ["../out.txt", "sub/../../out.txt", &absolute, "link.txt", "linkdir/out.txt", "pipe", "sub", "", "no\0name"]
        {
            let refused = capture(&vault, &source, Some(&located(escape))).unwrap();
            assert!(matches!(refused, Capture::Missing { .. }), "{escape:?} gave {refused:?}");
        }
    }
}
