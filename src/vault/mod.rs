//! Uploaded files, kept once per content under their SHA-256.
//!
//! The vault stores and verifies bytes; it knows nothing of events, batches or the share. A content is
//! written once, durably, before anything refers to it, and its digest is checked again on each read.

mod capture;
mod content;
mod fetch;
mod taking;

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{FlockOperation, flock};
use sha2::{Digest as _, Sha256};

use crate::support::durable::{self, PathError, WithPath};
use crate::support::step::Step;

pub use capture::{FileSource, Giver, Outcome, Taken, capture};
pub use content::Content;
use content::Form;
pub use fetch::AccessError;
pub use taking::Fresh;
use taking::Workplace;

/// SHA-256 of a content.
pub type Digest = [u8; 32];

const BUFFER_BYTES: usize = 128 * 1024;

/// A directory of files named by their SHA-256, some of them as zstd frames.
#[derive(Debug)]
pub struct Vault {
    dir: PathBuf,
    workplace: Workplace,
    lasting: Mutex<HashSet<Digest>>,
}

/// What the holder of a [`VaultGate`] is about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VaultUse {
    /// Put contents that have been taken in, or find them there, and record that they are referred to. Any number at once.
    Capture,
    /// Ask which contents nothing refers to, and sweep them. One alone.
    Sweep,
}

/// Keeps capture and sweep apart, in all processes that share the vault: a content must not be swept between
/// its being found there and being recorded. The kernel holds it, not a clock, so that a process that is
/// paused in the middle of a sweep still has it when it wakes up; one that ends, however it ends, gives it back.
///
/// Nobody holds it while bytes come in from elsewhere: that may take hours, or for ever.
#[derive(Debug)]
pub struct VaultGate {
    _file: File,
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
    /// Opens the vault in `dir`, creating it if needed, and clears what processes that have ended left half-written.
    ///
    /// # Errors
    /// When the directories cannot be created, listed or cleared.
    pub fn open(dir: &Path) -> Result<Self, VaultError> {
        let temporary = dir.join("tmp");
        durable::create_dir(&temporary)?;
        taking::clear(&temporary)?;
        let workplace = Workplace::make(&temporary)?;
        let vault = Self { dir: dir.to_owned(), workplace, lasting: Mutex::default() };
        // Files of versions that had no directories of their own there are nobody's, if nobody is capturing.
        if let Some(_gate) = vault.try_gate(VaultUse::Sweep)? {
            taking::clear_files(&temporary)?;
        }
        Ok(vault)
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

    fn path_of(&self, digest: &Digest, form: Form) -> PathBuf {
        let name = hex::encode(digest);
        self.dir.join("sha256").join(&name[..2]).join(format!("{name}{}", form.ending()))
    }

    fn found(&self, digest: &Digest) -> Option<(PathBuf, Form)> {
        Form::ALL.into_iter().map(|form| (self.path_of(digest, form), form)).find(|(path, _)| path.exists())
    }

    /// Takes a content in, read in constant memory: it is then durable, but not yet where [`Vault::keep`] puts it. One that
    /// is there already is read to its end and not written again.
    ///
    /// # Errors
    /// [`VaultError::Source`] when `bytes` fails, [`VaultError::Disk`] when the vault does.
    pub fn take(&self, bytes: impl Read) -> Result<Fresh, VaultError> {
        let fresh = self.workplace.take(bytes)?;
        if self.holds(&fresh.digest)? { Ok(fresh.without_bytes()) } else { fresh.synced() }
    }

    /// As [`Vault::take`], for bytes that are in memory: a content that is already there is not written at all.
    ///
    /// # Errors
    /// As [`Vault::take`].
    pub fn take_bytes(&self, bytes: &[u8]) -> Result<Fresh, VaultError> {
        let digest = Sha256::digest(bytes).into();
        if self.holds(&digest)? { Ok(Fresh::there(digest, bytes.len() as u64)) } else { self.take(bytes) }
    }

    /// A content that the vault holds already, by its digest and the size it is known to have.
    ///
    /// # Errors
    /// When its name cannot be made durable, or its size not be read.
    pub fn known(&self, digest: &Digest) -> Result<Option<Fresh>, VaultError> {
        if !self.holds(digest)? {
            return Ok(None);
        }
        Ok(Some(Fresh::there(*digest, self.open_content(digest)?.size())))
    }

    /// Puts a content that was taken in under its digest, for good. `false`: it was there when it was taken in, and was
    /// swept since; it must be taken in again. The caller holds the gate for [`VaultUse::Capture`] until it is recorded that the
    /// content is referred to.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn keep(&self, fresh: Fresh) -> Result<bool, VaultError> {
        let digest = fresh.digest;
        let Some((temporary, form)) = fresh.into_bytes() else { return self.holds(&digest) };
        if self.holds(&digest)? {
            // Somebody else was faster; which of the two files stays is all the same.
            durable::remove(&temporary, Step::LeftoverRemoved)?;
            return Ok(true);
        }
        let path = self.path_of(&digest, form);
        durable::create_dir(path.parent().unwrap_or(&self.dir))?;
        match durable::rename_exclusive(&temporary, &path, Step::CaptureRenamed) {
            // Only the new name must last; should the old one come back after a power cut, the next start clears it.
            Ok(()) => durable::sync_dir(path.parent().unwrap_or(&self.dir), Step::FileCaptured)?,
            Err(error) if error.source.kind() == io::ErrorKind::AlreadyExists => {
                durable::remove(&temporary, Step::LeftoverRemoved)?;
                return self.holds(&digest);
            }
            Err(error) => return Err(error.into()),
        }
        self.lasting().insert(digest);
        Ok(true)
    }

    /// Whether the vault holds a content, and will hold it after a power cut.
    ///
    /// # Errors
    /// When its name cannot be made durable.
    pub fn holds(&self, digest: &Digest) -> Result<bool, VaultError> {
        let Some((path, _)) = self.found(digest) else { return Ok(false) };
        if !self.lasting().contains(digest) {
            let dir = path.parent().unwrap_or(&self.dir);
            durable::create_dir(dir)?;
            durable::confirm_names(dir)?;
            self.lasting().insert(*digest);
        }
        Ok(true)
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
    /// [`VaultError::Missing`] when there is none, [`VaultError::Disk`] when it cannot be opened, [`VaultError::Damaged`] when
    /// it is no content of ours.
    pub fn open_content(&self, digest: &Digest) -> Result<Content, VaultError> {
        for form in Form::ALL {
            let path = self.path_of(digest, form);
            match File::open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => return Content::open(other.at("open", &path)?, path, form, *digest),
            }
        }
        Err(VaultError::Missing { vault: self.dir.clone(), digest: *digest })
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
            out.write_all(&buffer[..read]).at("copy", content.path())?;
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
            for form in Form::ALL {
                durable::remove(&self.path_of(digest, form), Step::VaultSwept)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed test should panic")]
mod tests {
    use std::fs;

    use super::*;

    /// Takes a content in and keeps it.
    fn put(vault: &Vault, bytes: &[u8]) -> Digest {
        let fresh = vault.take(bytes).unwrap();
        let digest = fresh.digest;
        assert_eq!(fresh.size, bytes.len() as u64);
        assert!(vault.keep(fresh).unwrap());
        digest
    }

    fn back(vault: &Vault, digest: &Digest) -> Vec<u8> {
        let mut back = Vec::new();
        vault.copy_to(digest, &mut back).unwrap();
        assert_eq!(vault.open_content(digest).unwrap().size(), back.len() as u64);
        back
    }

    /// Files below a directory.
    fn files(dir: &Path) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
        }
        found
    }

    /// Bytes that no compression makes smaller.
    fn noise(size: usize) -> Vec<u8> {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut bytes = Vec::with_capacity(size + 8);
        while bytes.len() < size {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.extend_from_slice(&state.to_le_bytes());
        }
        bytes.truncate(size);
        bytes
    }

    #[test]
    fn a_content_is_kept_once_and_read_back_whole() {
        let dir = tempfile::tempdir().unwrap();
        let vault = Vault::open(dir.path()).unwrap();
        for content in [Vec::new(), b"short".to_vec(), vec![7; 300_000], noise(300_000)] {
            let digest = put(&vault, &content);
            assert_eq!(digest, put(&vault, &content));
            assert!(vault.keep(vault.take_bytes(&content).unwrap()).unwrap());
            assert_eq!(back(&vault, &digest), content);
        }
        assert_eq!(files(&dir.path().join("sha256")).len(), 4, "each content once");
        assert!(
            files(&dir.path().join("tmp")).iter().all(|file| file.extension().is_some()),
            "no temporary file stays"
        );
    }

    #[test]
    fn what_gets_smaller_is_kept_as_a_frame_that_zstd_can_read() {
        let dir = tempfile::tempdir().unwrap();
        let vault = Vault::open(dir.path()).unwrap();
        let text = b"the same words again and again; ".repeat(50_000);
        let digest = put(&vault, &text);
        let (path, form) = vault.found(&digest).unwrap();
        assert_eq!(form, Form::Zstd);
        assert!(path.metadata().unwrap().len() < text.len() as u64 / 10);
        assert_eq!(zstd::decode_all(File::open(&path).unwrap()).unwrap(), text);
        // What an earlier version kept as it was stays readable, and is found.
        let plain = vault.path_of(&digest, Form::Plain);
        fs::remove_file(&path).unwrap();
        fs::write(&plain, &text).unwrap();
        assert_eq!(put(&vault, &text), digest);
        assert_eq!(back(&vault, &digest), text);
        assert!(!path.exists());
        vault.sweep(&[digest]).unwrap();
        assert!(!plain.exists());
        assert_eq!(vault.found(&put(&vault, &noise(300_000))).unwrap().1, Form::Plain);
    }

    #[test]
    fn a_content_that_was_swept_after_it_was_taken_in_is_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        let vault = Vault::open(dir.path()).unwrap();
        let digest = put(&vault, b"swept");
        let again = vault.take(&b"swept"[..]).unwrap();
        vault.sweep(&[digest]).unwrap();
        assert!(!vault.keep(again).unwrap(), "its bytes are nowhere");
        assert!(vault.keep(vault.take(&b"swept"[..]).unwrap()).unwrap());
    }

    #[test]
    fn a_sweep_is_alone_and_a_start_clears_nothing_that_is_being_written() {
        let dir = tempfile::tempdir().unwrap();
        let vault = Vault::open(dir.path()).unwrap();
        let old = dir.path().join("tmp/half");
        fs::write(&old, "half").unwrap();
        let taken = vault.take(&b"taken in, not kept yet"[..]).unwrap();
        {
            let _captures = [VaultUse::Capture; 2].map(|purpose| vault.try_gate(purpose).unwrap().unwrap());
            assert!(vault.try_gate(VaultUse::Sweep).unwrap().is_none());
            // Another process that starts meanwhile.
            Vault::open(dir.path()).unwrap();
            assert!(old.exists());
        }
        let sweep = vault.try_gate(VaultUse::Sweep).unwrap().unwrap();
        assert!(vault.try_gate(VaultUse::Capture).unwrap().is_none());
        drop(sweep);
        Vault::open(dir.path()).unwrap();
        assert!(!old.exists());
        assert!(vault.keep(taken).unwrap(), "what a living process has taken in is its own");
    }

    #[test]
    fn what_a_process_that_has_ended_left_is_cleared() {
        let dir = tempfile::tempdir().unwrap();
        let vault = Vault::open(dir.path()).unwrap();
        let left = vault.take(&b"never kept"[..]).unwrap();
        // As when it is killed: the kernel lets go of the lock, and nobody tidies up.
        std::mem::forget(left.into_bytes());
        let workplace = dir.path().join("tmp").join(vault.workplace.name());
        drop(vault);
        fs::create_dir(&workplace).unwrap();
        fs::write(workplace.with_extension("lock"), "").unwrap();
        fs::write(workplace.join("0"), "never kept").unwrap();
        let _next = Vault::open(dir.path()).unwrap();
        assert!(!workplace.exists() && !workplace.with_extension("lock").exists());
    }

    #[test]
    fn a_damaged_content_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let vault = Vault::open(dir.path()).unwrap();
        let digest = put(&vault, b"original");
        fs::write(vault.path_of(&digest, Form::Plain), b"0riginal").unwrap();
        assert!(matches!(vault.copy_to(&digest, &mut Vec::new()), Err(VaultError::Damaged { .. })));
        // A frame that is cut off, has a flipped bit, or is another content's.
        let text = b"words and words ".repeat(10_000);
        let digest = put(&vault, &text);
        let path = vault.path_of(&digest, Form::Zstd);
        let whole = fs::read(&path).unwrap();
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 1;
        let mut short = whole.clone();
        short.truncate(whole.len() - 5);
        let mut other = Vec::new();
        File::open(vault.path_of(&put(&vault, &b"other words ".repeat(10_000)), Form::Zstd))
            .unwrap()
            .read_to_end(&mut other)
            .unwrap();
        for damaged in [flipped, short, other, b"no frame at all".to_vec(), Vec::new()] {
            fs::write(&path, damaged).unwrap();
            let copied = vault.copy_to(&digest, &mut Vec::new());
            assert!(matches!(copied, Err(VaultError::Damaged { .. })), "{copied:?}");
        }
    }

    #[test]
    fn sweeping_deletes_what_is_named_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let vault = Vault::open(dir.path()).unwrap();
        let (first, second) = (put(&vault, b"first"), put(&vault, b"second"));
        vault.sweep(&[first]).unwrap();
        vault.sweep(&[first]).unwrap();
        assert!(matches!(vault.copy_to(&first, &mut Vec::new()), Err(VaultError::Missing { .. })));
        assert_eq!(back(&vault, &second), b"second");
    }
}
