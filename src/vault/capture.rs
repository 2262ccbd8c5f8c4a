//! Getting at the bytes of an event's file: inline in the event, below the configured root, or from a configured host.
//!
//! A path can never lead out of the root: the kernel resolves it beneath the root's directory and follows no
//! links. A URL can never lead to another host: see [`fetch`].

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;

use super::fetch::{self, Hosts};
use super::{Digest, Fresh, Vault, VaultError};
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

/// Who has to give a file's bytes. One that is slow holds up only what it has to give itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Giver {
    /// The event itself, or nobody: nothing is waited for.
    Event,
    /// The file repository.
    Repository,
    /// A configured host, by its name and port.
    Host(String),
}

/// What came of an attempt to get a file's bytes.
#[derive(Debug)]
pub struct Taken {
    /// The outcome, which may refer to `bytes`.
    pub outcome: Outcome,
    /// A content that the vault has taken in and must keep before the outcome is recorded.
    pub bytes: Option<Fresh>,
}

/// Whether more may come of a later attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// No: this is what became of the file.
    Settled(Capture),
    /// Yes.
    NotYet {
        /// Why there is no file, or not all of it. For people.
        reason: String,
        /// How long the giver asks to be left alone.
        retry_after: Option<Duration>,
        /// What to make do with should nothing better come: bytes that are fewer than the event claims.
        meanwhile: Option<Capture>,
    },
}

impl Giver {
    /// The word in the database.
    pub fn key(&self) -> String {
        match self {
            Self::Event => "event".to_owned(),
            Self::Repository => "repository".to_owned(),
            Self::Host(name) => format!("host {name}"),
        }
    }

    /// The giver that [`Giver::key`] was taken of.
    pub fn of_key(key: &str) -> Self {
        match key {
            "event" => Self::Event,
            "repository" => Self::Repository,
            other => Self::Host(other.strip_prefix("host ").unwrap_or(other).to_owned()),
        }
    }
}

impl FileSource {
    /// What the configuration allows. Tokens and certificates are read now; where they cannot be had, the host gives no files.
    ///
    /// # Errors
    /// [`VaultError::Access`] for an address that is none.
    pub fn open(files: &Files) -> Result<Self, VaultError> {
        Ok(Self { root: files.root.clone(), hosts: Hosts::open(files)? })
    }

    /// Who will be asked for a file.
    pub fn giver(&self, file: Option<&event::File<'_>>) -> Giver {
        let location = file.filter(|file| file.inline.is_none()).and_then(|file| file.location.as_ref());
        match location.and_then(Text::as_str) {
            None => Giver::Event,
            Some(location) if fetch::is_url(location) => {
                self.hosts.name_for(location).map_or(Giver::Event, Giver::Host)
            }
            Some(_) if self.root.is_some() => Giver::Repository,
            Some(_) => Giver::Event,
        }
    }
}

/// Takes the bytes of an event's file into the vault.
///
/// Bytes that cannot be had are an outcome, not an error: the record says so and goes on.
///
/// # Errors
/// [`VaultError::Disk`] when the vault itself fails; the capture may then be tried again.
pub fn capture(vault: &Vault, source: &FileSource, file: Option<&event::File<'_>>) -> Result<Taken, VaultError> {
    let Some(file) = file else { return Ok(missing("the event describes no file")) };
    if let Some(inline) = &file.inline {
        return match STANDARD.decode(inline.as_bytes()) {
            Ok(bytes) => Ok(stored(file, vault.take_bytes(&bytes)?, false)),
            Err(error) => Ok(missing(format!("file.inline is no base64: {error}"))),
        };
    }
    if let Some(location) = &file.location {
        let Some(location) = location.as_str() else {
            return Ok(missing("file.location holds half a surrogate pair"));
        };
        return match take(vault, source, location)? {
            Ok(fresh) => Ok(stored(file, fresh, true)),
            Err(none) => Ok(none),
        };
    }
    // A download names its content by digest; the upload brings the bytes.
    match file.sha256.as_ref().and_then(claimed_digest) {
        Some(digest) => match vault.known(&digest)? {
            Some(fresh) => Ok(stored(file, fresh, false)),
            None => Ok(not_yet("the event names its content by digest alone, and no upload has brought that", None)),
        },
        None => Ok(missing("the event holds neither file.inline nor file.location")),
    }
}

/// The outcome when bytes came. Fewer than claimed may be the beginning of more, where the giver can be asked again.
fn stored(file: &event::File<'_>, fresh: Fresh, may_ask_again: bool) -> Taken {
    let Fresh { digest: sha256, size, .. } = fresh;
    let digest_differs = file.sha256.as_ref().is_some_and(|claimed| claimed_digest(claimed) != Some(sha256));
    let mismatch = digest_differs || file.size.is_some_and(|claimed| claimed != size);
    let extension = file.name.as_ref().and_then(|name| safe_extension(&name.to_string_lossy()));
    let capture = Capture::Stored { sha256, size, mismatch, extension };
    let outcome = match file.size {
        Some(claimed) if may_ask_again && size < claimed => Outcome::NotYet {
            reason: format!("{size} bytes came, and the event claims {claimed}"),
            retry_after: None,
            meanwhile: Some(capture),
        },
        _ => Outcome::Settled(capture),
    };
    Taken { outcome, bytes: Some(fresh) }
}

/// Takes in the bytes at a location, or tells why there are none.
fn take(vault: &Vault, source: &FileSource, location: &str) -> Result<Result<Fresh, Taken>, VaultError> {
    let (giver, taken) = if fetch::is_url(location) {
        match source.hosts.fetch(location) {
            Ok((host, body)) => (host, vault.take(body)),
            Err(error) => {
                return Ok(Err(match error.passing() {
                    Some(retry_after) => not_yet(error.to_string(), retry_after),
                    None => missing(error.to_string()),
                }));
            }
        }
    } else if let Some(root) = &source.root {
        (
            "the file repository",
            Steady::open(root, location).map_err(VaultError::Source).and_then(|file| vault.take(file)),
        )
    } else {
        return Ok(Err(missing("file.location is a path, but files.root is not configured")));
    };
    match taken {
        Ok(fresh) => Ok(Ok(fresh)),
        Err(VaultError::Source(error)) => {
            let reason = format!("{giver} did not give the file: {error}");
            let refused = error.get_ref().is_some_and(|inner| inner.is::<Refused>());
            Ok(Err(if refused { missing(reason) } else { not_yet(reason, None) }))
        }
        Err(error) => Err(error),
    }
}

/// By our own rules, whatever time brings.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Refused(pub(super) String);

/// An error that no later attempt will mend.
pub(super) fn refused(reason: impl Into<String>) -> io::Error {
    io::Error::other(Refused(reason.into()))
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

fn missing(reason: impl Into<String>) -> Taken {
    Taken { outcome: Outcome::Settled(Capture::Missing { reason: reason.into() }), bytes: None }
}

fn not_yet(reason: impl Into<String>, retry_after: Option<Duration>) -> Taken {
    Taken { outcome: Outcome::NotYet { reason: reason.into(), retry_after, meanwhile: None }, bytes: None }
}

/// A regular file of the repository that is read from its beginning to its end while nobody changes it. Half an old and half a
/// new version of a file is neither.
struct Steady<'a> {
    file: File,
    root: &'a Path,
    location: &'a str,
    /// What tells one state of the file from another, as it was opened.
    state: [i128; 4],
}

impl<'a> Steady<'a> {
    fn open(root: &'a Path, location: &'a str) -> io::Result<Self> {
        let (file, found) = open_below(root, location)?;
        Ok(Self { file, root, location, state: state(&found) })
    }

    /// That the file is as it was opened, and that its path still leads to it.
    fn confirm(&self) -> io::Result<()> {
        let changed = || io::Error::other("it was changed while it was read");
        if state(&self.file.metadata()?) != self.state {
            return Err(changed());
        }
        let (_, now) = open_below(self.root, self.location)?;
        if state(&now) == self.state { Ok(()) } else { Err(changed()) }
    }
}

/// Inode and device, size, and when its content was last changed.
fn state(found: &Metadata) -> [i128; 4] {
    const SECOND: i128 = 1_000_000_000;
    let written = i128::from(found.mtime()) * SECOND + i128::from(found.mtime_nsec());
    [i128::from(found.ino()), i128::from(found.size()), written, i128::from(found.dev())]
}

impl Read for Steady<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        if read == 0 && !buffer.is_empty() {
            self.confirm()?;
        }
        Ok(read)
    }
}

/// Opens a regular file strictly below `root`; `..`, absolute paths and links of any kind are refused by the kernel.
fn open_below(root: &Path, location: &str) -> io::Result<(File, Metadata)> {
    if location.is_empty() {
        return Err(refused("the path is empty"));
    }
    if location.contains('\0') {
        return Err(refused("the path holds a NUL"));
    }
    let directory = rustix::fs::openat(CWD, root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    // NONBLOCK: opening a FIFO must not wait for its writer; it has no effect on regular files.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let opened = openat2(directory, location, flags, Mode::empty(), resolve).map_err(|errno| match errno {
        Errno::XDEV => refused("the path leads out of the file repository"),
        Errno::LOOP => refused("the path goes over a link"),
        // What can be no path, and devices and sockets that cannot be opened.
        Errno::NAMETOOLONG | Errno::INVAL | Errno::NXIO | Errno::ISDIR => refused(io::Error::from(errno).to_string()),
        Errno::NOENT => io::Error::new(io::ErrorKind::NotFound, "there is no such file"),
        other => other.into(),
    });
    let file = File::from(opened?);
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(refused("it is not a regular file"));
    }
    Ok((file, found))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed test should panic")]
mod tests {
    use super::*;

    fn captured(vault: &Vault, source: &FileSource, file: &event::File<'_>) -> Outcome {
        let Taken { outcome, bytes } = capture(vault, source, Some(file)).unwrap();
        bytes.map_or(Ok(true), |fresh| vault.keep(fresh)).unwrap();
        outcome
    }

    fn at(location: &'static str) -> event::File<'static> {
        event::File { location: Some(Text::from(location)), ..Default::default() }
    }

    #[test]
    fn inline_bytes_are_captured_and_compared_with_the_claim() {
        let dir = tempfile::tempdir().unwrap();
        let vault = Vault::open(dir.path()).unwrap();
        let mut file = event::File { inline: Some(Text::from("aGVsbG8=")), size: Some(5), ..Default::default() };
        let right = captured(&vault, &FileSource::default(), &file);
        assert!(matches!(right, Outcome::Settled(Capture::Stored { size: 5, mismatch: false, .. })));
        file.size = Some(6);
        let wrong = captured(&vault, &FileSource::default(), &file);
        assert!(matches!(wrong, Outcome::Settled(Capture::Stored { size: 5, mismatch: true, .. })), "{wrong:?}");
    }

    #[test]
    fn what_may_still_come_is_told_from_what_never_will() {
        let dir = tempfile::tempdir().unwrap();
        let vault = Vault::open(&dir.path().join("vault")).unwrap();
        let root = dir.path().join("repository");
        let mut source = FileSource { root: Some(root.clone()), ..FileSource::default() };
        let not_yet = |file: &event::File<'_>, source: &FileSource, why: &str| {
            let outcome = captured(&vault, source, file);
            assert!(matches!(&outcome, Outcome::NotYet { reason, .. } if reason.contains(why)), "{why}: {outcome:?}");
            outcome
        };
        not_yet(&at("a"), &source, "No such file or directory");
        std::fs::create_dir(&root).unwrap();
        not_yet(&at("a"), &source, "there is no such file");
        std::fs::write(root.join("a"), "half").unwrap();
        let mut claims = at("a");
        claims.size = Some(8);
        let half = not_yet(&claims, &source, "4 bytes came, and the event claims 8");
        let Outcome::NotYet { meanwhile: Some(Capture::Stored { sha256, size: 4, mismatch: true, .. }), .. } = half
        else {
            panic!("{half:?}")
        };
        assert!(vault.holds(&sha256).unwrap(), "what came is kept meanwhile");
        std::fs::write(root.join("a"), "half now whole").unwrap();
        let longer = captured(&vault, &source, &claims);
        assert!(matches!(longer, Outcome::Settled(Capture::Stored { size: 14, mismatch: true, .. })), "{longer:?}");
        let mut by_digest = event::File { sha256: Some(Text::from("00".repeat(32))), ..Default::default() };
        not_yet(&by_digest, &source, "no upload has brought that");
        by_digest.sha256 = Some(Text::from(hex::encode(sha256)));
        assert!(matches!(captured(&vault, &source, &by_digest), Outcome::Settled(Capture::Stored { size: 4, .. })));
        std::os::unix::fs::symlink("a", root.join("link")).unwrap();
        for (location, why) in
            [("", "empty"), ("../a", "leads out"), ("/a", "leads out"), ("link", "over a link"), (".", "regular")]
        {
            let outcome = captured(&vault, &source, &at(location));
            let missing = matches!(&outcome, Outcome::Settled(Capture::Missing { reason }) if reason.contains(why));
            assert!(missing, "{location:?}: {outcome:?}");
        }
        source.root = None;
        assert!(matches!(captured(&vault, &source, &at("a")), Outcome::Settled(Capture::Missing { .. })));
    }

    #[test]
    fn a_file_that_changes_while_it_is_read_is_not_taken() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        type Change = fn(&Path);
        let changes: [Change; 4] = [
            |path| std::fs::write(path, b"ONE").unwrap(),
            |path| {
                std::fs::OpenOptions::new()
                    .append(true)
                    .open(path)
                    .and_then(|mut f| io::Write::write_all(&mut f, b"!"))
                    .unwrap()
            },
            |path| {
                std::fs::write(path.with_extension("new"), b"one").unwrap();
                std::fs::rename(path.with_extension("new"), path).unwrap();
            },
            |path| std::fs::remove_file(path).unwrap(),
        ];
        for (number, change) in changes.into_iter().enumerate() {
            std::fs::write(&path, b"one").unwrap();
            let early = std::time::SystemTime::UNIX_EPOCH;
            File::options().write(true).open(&path).unwrap().set_modified(early).unwrap();
            let mut steady = Steady::open(dir.path(), "a").unwrap();
            steady.read_exact(&mut [0; 3]).unwrap();
            change(&path);
            let ended = io::read_to_string(&mut steady);
            assert!(ended.is_err(), "change {number} went unnoticed: {ended:?}");
        }
        std::fs::write(&path, b"one").unwrap();
        assert_eq!(io::read_to_string(Steady::open(dir.path(), "a").unwrap()).unwrap(), "one");
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
