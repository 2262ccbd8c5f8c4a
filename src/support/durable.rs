//! Files that are there after a power cut, or not there at all.
//!
//! Each function returns only when the file system has confirmed. A failed sync is never retried: what
//! the kernel then holds is unknown, so the caller writes the file anew.
//!
//! Each function that changes something demands the [`Step`] it is and announces it once it stands. Nothing
//! outside this file creates, syncs, renames or removes files, so no durable effect is without a step.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek as _, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::process::geteuid;
use sha2::{Digest, Sha256};

use super::step::{Commit, Step, reached};

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

/// How much of a large file is read or synced at a time: seconds of work even for a slow network share, and enough that the
/// waits between parts weigh nothing.
pub const PART_BYTES: u64 = 8 << 20;

/// Begins a file that is not there yet.
///
/// # Errors
/// `AlreadyExists` when it is; otherwise what the operating system said.
pub fn create_new(path: &Path, step: Step) -> Result<File, PathError> {
    let file = OpenOptions::new().write(true).create_new(true).open(path).at("create", path)?;
    reached(step);
    Ok(file)
}

/// Makes what was written to a file durable. Its name is durable only once its directory is synced.
///
/// # Errors
/// When the file cannot be synced; it must then be written anew.
pub fn sync_file(file: &File, path: &Path, step: Step) -> Result<(), PathError> {
    file.sync_all().at("sync", path)?;
    reached(step);
    Ok(())
}

/// Writes out what a file holds so far, so that syncing all of a large one at its end takes no longer than syncing a small one.
///
/// Nothing may rely on it, hence no [`Step`]: the file is durable only once [`sync_file`] has returned.
///
/// # Errors
/// When the file cannot be synced; it must then be written anew.
pub fn sync_part(file: &File) -> io::Result<()> {
    file.sync_data()
}

/// Syncs a directory, so that names created, renamed or removed in it are durable.
///
/// # Errors
/// When the directory cannot be opened or synced.
pub fn sync_dir(dir: &Path, step: Step) -> Result<(), PathError> {
    sync_names(dir)?;
    reached(step);
    Ok(())
}

fn sync_names(dir: &Path) -> Result<(), PathError> {
    File::open(dir).and_then(|handle| handle.sync_all()).at("sync directory", dir)
}

/// Makes durable what a directory holds already, whoever put it there. To be called before relying on a name that was found: the
/// attempt that made it may have been cut off before its sync, or the sync may have failed.
///
/// # Errors
/// When the directory cannot be opened or synced.
pub fn confirm_names(dir: &Path) -> Result<(), PathError> {
    sync_names(dir)
}

/// Directories whose names this process knows to be durable.
static LASTING: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

fn lasting() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    // A set is whole whatever panicked while it was held.
    LASTING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Creates a directory and its parents, durably. Each one that was not there is [`Step::DirectoryCreated`].
///
/// One that is there is not durable for that: an attempt whose sync failed, or a process that was killed before it, may have left it.
/// So each process syncs once what it finds, as far up as directories may be ours.
///
/// # Errors
/// When one of them cannot be created or synced.
pub fn create_dir(dir: &Path) -> Result<(), PathError> {
    let there = dir.is_dir();
    if there && (lasting().contains(dir) || !may_be_ours(dir)) {
        return Ok(());
    }
    if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        create_dir(parent)?;
    }
    if there {
        match confirm_names(parent(dir)) {
            // Nobody who may not list it could have made this directory durable, so it was not us who made it.
            Err(error) if error.source.kind() == io::ErrorKind::PermissionDenied => {}
            other => other?,
        }
    } else {
        match fs::create_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other.at("create directory", dir),
        }?;
        sync_dir(parent(dir), Step::DirectoryCreated)?;
    }
    lasting().insert(dir.to_owned());
    Ok(())
}

/// Whether this user may have made the directory: it is theirs, and no mount point.
fn may_be_ours(dir: &Path) -> bool {
    match (fs::metadata(dir), fs::metadata(parent(dir))) {
        (Ok(found), Ok(above)) => {
            found.uid() == geteuid().as_raw() && found.dev() == above.dev() && dir.parent().is_some()
        }
        _ => true,
    }
}

/// Creates a directory that is not there yet. Its name is durable only once its parent is synced.
///
/// # Errors
/// `AlreadyExists` when it is; otherwise what the operating system said.
pub fn create_new_dir(dir: &Path, step: Step) -> Result<(), PathError> {
    fs::create_dir(dir).at("create directory", dir)?;
    reached(step);
    Ok(())
}

/// Renames without ever replacing a file. The new name is durable only once its directory is synced.
///
/// # Errors
/// `AlreadyExists` when `to` is there, `NotFound` when `from` is not; otherwise what the operating
/// system said.
pub fn rename_exclusive(from: &Path, to: &Path, step: Step) -> Result<(), PathError> {
    rename_unless_there(from, to)?;
    reached(step);
    Ok(())
}

fn rename_unless_there(from: &Path, to: &Path) -> Result<(), PathError> {
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
pub fn rename_new(from: &Path, to: &Path, step: Step) -> Result<(), PathError> {
    rename_unless_there(from, to)?;
    let (from_dir, to_dir) = (parent(from), parent(to));
    sync_names(to_dir)?;
    if from_dir != to_dir {
        sync_names(from_dir)?;
    }
    reached(step);
    Ok(())
}

/// Deletes a file; tells whether it was there. That it is gone is durable only once its directory is synced.
///
/// # Errors
/// When it is there and cannot be deleted.
pub fn remove(path: &Path, step: Step) -> Result<bool, PathError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        other => other.at("remove", path)?,
    }
    reached(step);
    Ok(true)
}

/// Deletes a directory and all in it; one that is already gone is no error. That it is gone is durable only once
/// its parent is synced.
///
/// # Errors
/// When something in it cannot be deleted.
pub fn remove_tree(dir: &Path, step: Step) -> Result<(), PathError> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.at("remove", dir)?,
    }
    reached(step);
    Ok(())
}

/// As [`write_whole`], for a file that must not be there yet, even when several processes try at once. The
/// temporary name is each one's own.
///
/// # Errors
/// `AlreadyExists` when it is there; otherwise as [`write_whole`].
pub fn write_new(path: &Path, bytes: &[u8], commit: Commit) -> Result<(), PathError> {
    write_unless_there(path, bytes, 0o666, commit)
}

/// `mode`: the file's permissions, less what the process's mask takes.
fn write_unless_there(path: &Path, bytes: &[u8], mode: u32, commit: Commit) -> Result<(), PathError> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!("-{}.tmp", uuid::Uuid::new_v4().simple()));
    let temporary = PathBuf::from(temporary);
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary).at("create", &temporary)?;
    file.write_all(bytes).at("write", &temporary)?;
    sync_file(&file, &temporary, commit.pending)?;
    if let Err(error) = rename_unless_there(&temporary, path) {
        remove(&temporary, Step::LeftoverRemoved)?;
        return Err(error);
    }
    sync_dir(parent(path), commit.done)
}

/// Writes a small file under a temporary name beside it, syncs it, renames it into place (replacing
/// an older one), and syncs the directory.
///
/// # Errors
/// When any of the steps fails; then the old file, if any, still stands. `AlreadyExists` when what stands there is a device, pipe, socket
/// or directory.
pub fn write_whole(path: &Path, bytes: &[u8], commit: Commit) -> Result<(), PathError> {
    write_pieces(path, commit, |file, temporary| file.write_all(bytes).at("write", temporary))
}

/// As [`write_whole`], for a file too large to be held in memory: `write` is given the file, and its temporary name for
/// errors.
///
/// # Errors
/// As [`write_whole`], and what `write` returns.
pub fn write_pieces<E: From<PathError>>(
    path: &Path,
    commit: Commit,
    write: impl FnOnce(&mut File, &Path) -> Result<(), E>,
) -> Result<(), E> {
    refuse_to_replace_what_is_no_file(path)?;
    let temporary = temporary_of(path);
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).open(&temporary).at("create", &temporary)?;
    write(&mut file, &temporary)?;
    sync_file(&file, &temporary, commit.pending)?;
    fs::rename(&temporary, path).at("rename to", path)?;
    Ok(sync_dir(parent(path), commit.done)?)
}

/// A device, pipe or socket would be gone, also for everybody else: whoever named `/dev/null` or `/dev/stdout` meant something else.
fn refuse_to_replace_what_is_no_file(path: &Path) -> Result<(), PathError> {
    match fs::metadata(path) {
        Ok(found) if !found.is_file() => {
            let what =
                "it is no regular file, and would be replaced by one; name a file, or nothing for standard output";
            Err(io::Error::new(io::ErrorKind::AlreadyExists, what)).at("write", path)
        }
        // What cannot be looked at is told by what follows.
        _ => Ok(()),
    }
}

/// Writes a secret as [`write_new`] writes a file, readable by its owner alone from the first byte on.
///
/// # Errors
/// As [`write_new`].
pub fn write_new_secret(path: &Path, bytes: &[u8], commit: Commit) -> Result<(), PathError> {
    write_unless_there(path, bytes, 0o600, commit)
}

/// Puts `bytes` at a place of a file that is otherwise only added to, creating it if need be. What was there from that
/// place on, as an attempt that was cut off left it, is gone; when it is what is to be there, nothing changes.
///
/// After such an attempt the file is made anew: its sync may have failed, and no later sync of it would then make up for that.
///
/// # Errors
/// When the file cannot be opened, is shorter than `offset`, or cannot be written or synced.
pub fn append_at(path: &Path, offset: u64, bytes: &[u8], step: Step) -> Result<(), PathError> {
    let mut file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).at("open", path)?;
    let length = file.metadata().at("look at", path)?.len();
    if length < offset {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof)).at("add to", path);
    }
    if length > offset {
        let temporary = temporary_of(path);
        let mut anew = File::create(&temporary).at("create", &temporary)?;
        io::copy(&mut file.take(offset), &mut anew).at("write", &temporary)?;
        anew.write_all(bytes).at("write", &temporary)?;
        anew.sync_all().at("sync", &temporary)?;
        return replace(&temporary, path, step);
    }
    file.seek(io::SeekFrom::Start(offset)).at("add to", path)?;
    file.write_all(bytes).at("add to", path)?;
    file.sync_all().at("sync", path)?;
    sync_dir(parent(path), step)
}

/// Renames over a file that may be there, then syncs the directory.
///
/// # Errors
/// `NotFound` when `from` is not there; otherwise what the operating system said.
pub fn replace(from: &Path, to: &Path, step: Step) -> Result<(), PathError> {
    fs::rename(from, to).at("rename to", to)?;
    sync_dir(parent(to), step)
}

/// Size and SHA-256 of a file, read in constant memory.
///
/// # Errors
/// When the file cannot be opened or read.
pub fn digest_file(path: &Path) -> Result<(u64, [u8; 32]), PathError> {
    digest_file_in_parts(path, &mut || {})
}

/// As [`digest_file`]; `pause` is called after each part of [`PART_BYTES`] that is not the last.
///
/// # Errors
/// As [`digest_file`].
pub fn digest_file_in_parts(path: &Path, pause: &mut dyn FnMut()) -> Result<(u64, [u8; 32]), PathError> {
    let mut file = File::open(path).at("open", path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 128 * 1024];
    let (mut size, mut part) = (0, 0);
    loop {
        if part >= PART_BYTES {
            part = 0;
            pause();
        }
        let read = file.read(&mut buffer).at("read", path)?;
        if read == 0 {
            return Ok((size, hasher.finalize().into()));
        }
        hasher.update(&buffer[..read]);
        size += read as u64;
        part += read as u64;
    }
}

fn temporary_of(path: &Path) -> PathBuf {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    temporary.into()
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test should panic")]

    use std::os::unix::fs::{FileTypeExt as _, symlink};
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_file_is_replaced_and_nothing_else_is() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str| write_whole(&dir.path().join(name), b"new", Commit::EXPORT_WRITTEN);
        fs::write(dir.path().join("old"), "old").unwrap();
        for name in ["old", "young"] {
            write(name).unwrap();
            assert_eq!(fs::read(dir.path().join(name)).unwrap(), b"new");
        }
        let _listening = UnixListener::bind(dir.path().join("socket")).unwrap();
        symlink("socket", dir.path().join("link")).unwrap();
        fs::create_dir(dir.path().join("directory")).unwrap();
        for name in ["socket", "link", "directory"] {
            let error = write(name).unwrap_err();
            assert_eq!(error.source.kind(), io::ErrorKind::AlreadyExists, "{name}: {error}");
        }
        assert!(fs::symlink_metadata(dir.path().join("socket")).unwrap().file_type().is_socket());
        assert!(fs::symlink_metadata(dir.path().join("link")).unwrap().is_symlink());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 5, "nothing is left beside them");
    }
}
