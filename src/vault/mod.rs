//! Uploaded files, kept once per content under their SHA-256.
//!
//! The vault stores and verifies bytes; it knows nothing of events, batches or the share. A content is
//! written once, durably, before anything refers to it, and its digest is checked again on each read.

mod capture;
mod fetch;

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{FlockOperation, flock};
use sha2::{Digest as _, Sha256};

use crate::support::durable::{self, PathError, WithPath};
use crate::support::step::Step;

pub use capture::{FileSource, capture};
pub use fetch::AccessError;

/// SHA-256 of a content.
pub type Digest = [u8; 32];

const BUFFER_BYTES: usize = 128 * 1024;

/// A directory of files named by their SHA-256.
#[derive(Debug)]
pub struct Vault {
    dir: PathBuf,
    temporary: PathBuf,
    /// Tells this process's temporary files from those of others, on whatever machine.
    instance: String,
    next_temporary: AtomicU64,
    lasting: Mutex<HashSet<Digest>>,
}

/// What the holder of a [`VaultGate`] is about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VaultUse {
    /// Put contents, or find them there, and record that they are referred to. Any number at once.
    Capture,
    /// Ask which contents nothing refers to, and sweep them. One alone.
    Sweep,
}

/// Keeps capture and sweep apart, in all processes that share the vault: a content must not be swept between
/// its being found there and being recorded. The kernel holds it, not a clock, so that a process that is
/// paused in the middle of a sweep still has it when it wakes up; one that ends, however it ends, gives it back.
#[derive(Debug)]
pub struct VaultGate {
    _file: File,
}

/// A content being read. What was read must not be used before the end was reached without an error.
#[derive(Debug)]
pub struct Content {
    file: File,
    path: PathBuf,
    size: u64,
    expected: Digest,
    /// Until the end was reached.
    hasher: Option<Sha256>,
}

/// Why the vault could not keep or give a content.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VaultError {
    /// The disk refused. Retrying helps once space or rights return.
    #[error(transparent)]
    Disk(#[from] PathError),
    /// The source of the bytes failed while it was read. Retrying may help.
    #[error("cannot read the file's bytes")]
    Source(#[source] io::Error),
    /// A token or a certificate for fetching files cannot be had. Retrying helps once it can.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The stored bytes are not what their name says. Retrying never helps.
    #[error("the vault's copy of {} is damaged: its bytes have another digest", hex::encode(expected))]
    Damaged {
        /// The digest asked for.
        expected: Digest,
    },
    /// A content that was captured is not there. Retrying helps once the right vault is.
    #[error(
        "the vault {} does not hold {}, which was captured; restore it, or, where several homes work with one staging \
         database, name one vault for all of them (files.vault)", vault.display(), hex::encode(digest)
    )]
    Missing {
        /// The vault's directory.
        vault: PathBuf,
        /// The digest asked for.
        digest: Digest,
    },
}

impl Vault {
    /// Opens the vault in `dir`, creating it if needed, and clears what an earlier crash left half-written,
    /// unless another process is just writing there.
    ///
    /// # Errors
    /// When the directories cannot be created, listed or cleared.
    pub fn open(dir: &Path) -> Result<Self, VaultError> {
        let temporary = dir.join("tmp");
        durable::create_dir(&temporary)?;
        let instance = uuid::Uuid::new_v4().simple().to_string();
        let vault = Self {
            dir: dir.to_owned(),
            temporary,
            instance,
            next_temporary: AtomicU64::new(0),
            lasting: Mutex::default(),
        };
        if let Some(_gate) = vault.try_gate(VaultUse::Sweep)? {
            vault.clear()?;
        }
        Ok(vault)
    }

    fn clear(&self) -> Result<(), VaultError> {
        for entry in fs::read_dir(&self.temporary).at("list", &self.temporary)? {
            let path = entry.at("list", &self.temporary)?.path();
            durable::remove(&path, Step::LeftoverRemoved)?;
        }
        Ok(())
    }

    /// Takes the gate, unless another process has it for something that does not go together with `purpose`.
    ///
    /// # Errors
    /// When the lock file cannot be opened, or its file system knows no locks.
    pub fn try_gate(&self, purpose: VaultUse) -> Result<Option<VaultGate>, VaultError> {
        let path = self.dir.join("gate.lock");
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).at("open", &path)?;
        let operation = match purpose {
            VaultUse::Capture => FlockOperation::NonBlockingLockShared,
            VaultUse::Sweep => FlockOperation::NonBlockingLockExclusive,
        };
        match flock(&file, operation) {
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            other => {
                other.at("lock", &path)?;
                Ok(Some(VaultGate { _file: file }))
            }
        }
    }

    fn path_of(&self, digest: &Digest) -> PathBuf {
        let name = hex::encode(digest);
        self.dir.join("sha256").join(&name[..2]).join(name)
    }

    /// Keeps a content, read in constant memory, and returns its digest and size in bytes.
    ///
    /// # Errors
    /// [`VaultError::Source`] when `bytes` fails, [`VaultError::Disk`] when the vault does.
    pub fn put(&self, mut bytes: impl Read) -> Result<(Digest, u64), VaultError> {
        let number = self.next_temporary.fetch_add(1, Ordering::Relaxed);
        let temporary = self.temporary.join(format!("{}-{number}", self.instance));
        let written = self.write_temporary(&temporary, &mut bytes);
        let (digest, size) = written.inspect_err(|_| {
            // What is half-written is worthless; should this fail too, the next start clears it.
            let _ = durable::remove(&temporary, Step::LeftoverRemoved);
        })?;
        let path = self.path_of(&digest);
        durable::create_dir(path.parent().unwrap_or(&self.dir))?;
        self.lasting().remove(&digest);
        match durable::rename_exclusive(&temporary, &path, Step::CaptureRenamed) {
            // Only the new name must last; should the old one come back after a power cut, the next start clears it.
            Ok(()) => durable::sync_dir(path.parent().unwrap_or(&self.dir), Step::FileCaptured)?,
            Err(error) if error.source.kind() == io::ErrorKind::AlreadyExists => {
                durable::remove(&temporary, Step::LeftoverRemoved)?;
                self.size_of(&digest)?;
            }
            Err(error) => return Err(error.into()),
        }
        self.lasting().insert(digest);
        Ok((digest, size))
    }

    /// As [`Vault::put`], for bytes that are in memory: a content that is already there is not written again.
    ///
    /// # Errors
    /// As [`Vault::put`].
    pub fn put_bytes(&self, bytes: &[u8]) -> Result<(Digest, u64), VaultError> {
        let digest = Sha256::digest(bytes).into();
        let size = bytes.len() as u64;
        if self.size_of(&digest)? == Some(size) { Ok((digest, size)) } else { self.put(bytes) }
    }

    fn write_temporary(&self, path: &Path, bytes: &mut impl Read) -> Result<(Digest, u64), VaultError> {
        let mut file = durable::create_new(path, Step::CaptureCreated)?;
        let mut hasher = Sha256::new();
        let mut size = 0;
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let read = bytes.read(&mut buffer).map_err(VaultError::Source)?;
            if read == 0 {
                break;
            }
            hasher.update(&buffer[..read]);
            file.write_all(&buffer[..read]).at("write", path)?;
            size += read as u64;
        }
        durable::sync_file(&file, path, Step::CaptureSynced)?;
        Ok((hasher.finalize().into(), size))
    }

    /// The size in bytes of a content the vault holds, and will hold after a power cut.
    ///
    /// # Errors
    /// When its name cannot be made durable.
    pub fn size_of(&self, digest: &Digest) -> Result<Option<u64>, VaultError> {
        let path = self.path_of(digest);
        let Ok(found) = fs::metadata(&path) else { return Ok(None) };
        if !self.lasting().contains(digest) {
            let dir = path.parent().unwrap_or(&self.dir);
            durable::create_dir(dir)?;
            durable::confirm_names(dir)?;
            self.lasting().insert(*digest);
        }
        Ok(Some(found.len()))
    }

    /// Contents whose names this process knows to be durable. One that is merely there may be what an attempt has left whose last sync
    /// failed or never came.
    fn lasting(&self) -> MutexGuard<'_, HashSet<Digest>> {
        // A set is whole whatever panicked while it was held.
        self.lasting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a content for reading; its digest is checked on the way.
    ///
    /// # Errors
    /// [`VaultError::Missing`] when there is none, [`VaultError::Disk`] when it cannot be opened.
    pub fn open_content(&self, digest: &Digest) -> Result<Content, VaultError> {
        let path = self.path_of(digest);
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(VaultError::Missing { vault: self.dir.clone(), digest: *digest });
            }
            other => other.at("open", &path)?,
        };
        let size = file.metadata().at("look at", &path)?.len();
        Ok(Content { file, path, size, expected: *digest, hasher: Some(Sha256::new()) })
    }

    /// Copies a content into `out` and checks its digest on the way.
    ///
    /// # Errors
    /// [`VaultError::Damaged`] when the stored bytes are not what they should be; what `out` then
    /// holds must not be used. [`VaultError::Missing`] when there are none. [`VaultError::Disk`] when reading
    /// or writing fails.
    pub fn copy_to(&self, digest: &Digest, out: &mut impl Write) -> Result<u64, VaultError> {
        let mut content = self.open_content(digest)?;
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut size = 0;
        loop {
            let read = content.next(&mut buffer)?;
            if read == 0 {
                return Ok(size);
            }
            out.write_all(&buffer[..read]).at("copy", &content.path)?;
            size += read as u64;
        }
    }

    /// Deletes contents nothing refers to any more. One that is already gone is no error.
    ///
    /// # Errors
    /// When a file cannot be deleted; the others are then untouched and may be swept again.
    pub fn sweep(&self, digests: &[Digest]) -> Result<(), VaultError> {
        for digest in digests {
            self.lasting().remove(digest);
            durable::remove(&self.path_of(digest), Step::VaultSwept)?;
        }
        Ok(())
    }
}

impl Content {
    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    fn next(&mut self, buffer: &mut [u8]) -> Result<usize, VaultError> {
        let read = self.file.read(buffer).at("read", &self.path)?;
        if read > 0 {
            if let Some(hasher) = &mut self.hasher {
                hasher.update(&buffer[..read]);
            }
        } else if !buffer.is_empty()
            && let Some(hasher) = self.hasher.take()
            && Digest::from(hasher.finalize()) != self.expected
        {
            return Err(VaultError::Damaged { expected: self.expected });
        }
        Ok(read)
    }
}

impl Read for Content {
    /// The error's inner error is a [`VaultError`].
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.next(buffer).map_err(io::Error::other)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed test should panic")]
mod tests {
    use super::*;

    #[test]
    fn a_content_is_kept_once_and_read_back_whole() {
        let dir = tempfile::tempdir().unwrap();
        let vault = Vault::open(dir.path()).unwrap();
        let content = vec![7; 300_000];
        let (digest, size) = vault.put(content.as_slice()).unwrap();
        assert_eq!((digest, size), vault.put(content.as_slice()).unwrap());
        assert_eq!((digest, size), vault.put_bytes(&content).unwrap());
        let mut back = Vec::new();
        vault.copy_to(&digest, &mut back).unwrap();
        assert_eq!(back, content);
        assert_eq!(fs::read_dir(dir.path().join("tmp")).unwrap().count(), 0, "no temporary file stays");
    }

    #[test]
    fn a_sweep_is_alone_and_a_start_clears_nothing_that_is_being_written() {
        let dir = tempfile::tempdir().unwrap();
        let vault = Vault::open(dir.path()).unwrap();
        let written = dir.path().join("tmp/half");
        fs::write(&written, "half").unwrap();
        {
            let _captures = [VaultUse::Capture; 2].map(|purpose| vault.try_gate(purpose).unwrap().unwrap());
            assert!(vault.try_gate(VaultUse::Sweep).unwrap().is_none());
            // Another process that starts meanwhile.
            Vault::open(dir.path()).unwrap();
            assert!(written.exists());
        }
        let sweep = vault.try_gate(VaultUse::Sweep).unwrap().unwrap();
        assert!(vault.try_gate(VaultUse::Capture).unwrap().is_none());
        drop(sweep);
        Vault::open(dir.path()).unwrap();
        assert!(!written.exists());
    }

    #[test]
    fn a_damaged_content_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let vault = Vault::open(dir.path()).unwrap();
        let (digest, _) = vault.put(&b"original"[..]).unwrap();
        fs::write(vault.path_of(&digest), b"0riginal").unwrap();
        assert!(matches!(vault.copy_to(&digest, &mut Vec::new()), Err(VaultError::Damaged { .. })));
    }

    #[test]
    fn sweeping_deletes_what_is_named_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let vault = Vault::open(dir.path()).unwrap();
        let (first, _) = vault.put(&b"first"[..]).unwrap();
        let (second, _) = vault.put(&b"second"[..]).unwrap();
        vault.sweep(&[first]).unwrap();
        vault.sweep(&[first]).unwrap();
        assert!(matches!(vault.copy_to(&first, &mut Vec::new()), Err(VaultError::Missing { .. })));
        assert_eq!(vault.copy_to(&second, &mut Vec::new()).unwrap(), 6);
    }
}
