//! Files that are there after a power cut, or not there at all.
//!
//! Each function returns only when the file system has confirmed. A failed sync is never retried: what
//! the kernel then holds is unknown, so the caller writes the file anew.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use sha2::{Digest, Sha256};

/// An I/O error with the path it is about.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
pub struct PathError {
    /// What was tried, e.g. `open`, `sync`.
    pub action: &'static str,
    /// On which file or directory.
    pub path: PathBuf,
    /// What the operating system said.
    #[source]
    pub source: io::Error,
}

/// Ties an I/O error to its action and path.
pub trait WithPath<T> {
    /// Adds what was tried, and on what.
    ///
    /// # Errors
    /// The same error, with its place.
    fn at(self, action: &'static str, path: &Path) -> Result<T, PathError>;
}

impl<T> WithPath<T> for io::Result<T> {
    fn at(self, action: &'static str, path: &Path) -> Result<T, PathError> {
        self.map_err(|source| PathError { action, path: path.to_owned(), source })
    }
}

impl<T> WithPath<T> for rustix::io::Result<T> {
    fn at(self, action: &'static str, path: &Path) -> Result<T, PathError> {
        self.map_err(|errno| PathError { action, path: path.to_owned(), source: errno.into() })
    }
}

/// Syncs a directory, so that names created, renamed or removed in it are durable.
///
/// # Errors
/// When the directory cannot be opened or synced.
pub fn sync_dir(dir: &Path) -> Result<(), PathError> {
    File::open(dir).and_then(|handle| handle.sync_all()).at("sync directory", dir)
}

/// Creates a directory and its parents, durably.
///
/// # Errors
/// When one of them cannot be created or synced.
pub fn create_dir(dir: &Path) -> Result<(), PathError> {
    if dir.is_dir() {
        return Ok(());
    }
    if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        create_dir(parent)?;
    }
    match fs::create_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other.at("create directory", dir),
    }?;
    match dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => sync_dir(parent),
        None => sync_dir(Path::new(".")),
    }
}

/// Renames without ever replacing a file. The new name is durable only once its directory is synced.
///
/// # Errors
/// `AlreadyExists` when `to` is there, `NotFound` when `from` is not; otherwise what the operating
/// system said.
pub fn rename_exclusive(from: &Path, to: &Path) -> Result<(), PathError> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // NFS and some FUSE file systems know no exclusive rename.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
            if fs::symlink_metadata(to).is_ok() {
                return Err(io::Error::from(io::ErrorKind::AlreadyExists)).at("rename to", to);
            }
            fs::rename(from, to).at("rename to", to)
        }
        other => other.at("rename to", to),
    }
}

/// Renames without ever replacing a file, then syncs both directories.
///
/// # Errors
/// As [`rename_exclusive`], or when a directory cannot be synced.
pub fn rename_new(from: &Path, to: &Path) -> Result<(), PathError> {
    rename_exclusive(from, to)?;
    let (from_dir, to_dir) = (parent(from), parent(to));
    sync_dir(to_dir)?;
    if from_dir != to_dir {
        sync_dir(from_dir)?;
    }
    Ok(())
}

/// Writes a small file under a temporary name beside it, syncs it, renames it into place (replacing
/// an older one), and syncs the directory.
///
/// # Errors
/// When any of the steps fails; then the old file, if any, still stands.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), PathError> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = PathBuf::from(temporary);
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).open(&temporary).at("create", &temporary)?;
    file.write_all(bytes).at("write", &temporary)?;
    file.sync_all().at("sync", &temporary)?;
    fs::rename(&temporary, path).at("rename to", path)?;
    sync_dir(parent(path))
}

/// Size and SHA-256 of a file, read in constant memory.
///
/// # Errors
/// When the file cannot be opened or read.
pub fn digest_file(path: &Path) -> Result<(u64, [u8; 32]), PathError> {
    let mut file = File::open(path).at("open", path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 128 * 1024];
    let mut size = 0;
    loop {
        let read = file.read(&mut buffer).at("read", path)?;
        if read == 0 {
            return Ok((size, hasher.finalize().into()));
        }
        hasher.update(&buffer[..read]);
        size += read as u64;
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
