//! Bytes on their way into the vault: temporary files, each process's in a directory of its own.
//!
//! A process that ends, however it ends, lets go of the lock beside its directory; whoever opens the vault next
//! clears directories that nobody has a lock on. So files may come in for hours without anybody waiting for them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek as _, SeekFrom, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{FlockOperation, flock};
use sha2::{Digest as _, Sha256};

use super::content::{Form, SIZE_FRAME_BYTES, ZSTD_LEVEL, form_for, size_frame};
use super::{BUFFER_BYTES, Digest, VaultError};
use crate::support::durable::{self, PathError, WithPath as _};
use crate::support::step::Step;

/// A content that was taken in, to be kept. Dropped instead, it leaves nothing behind.
#[derive(Debug)]
pub struct Fresh {
    /// SHA-256 of the content.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Its bytes; none for what was there already.
    bytes: Option<Temporary>,
}

#[derive(Debug)]
struct Temporary {
    file: Option<File>,
    path: PathBuf,
    form: Form,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.path.as_os_str().is_empty() {
            // Should this fail, a later start clears it.
            let _ = durable::remove(&self.path, Step::LeftoverRemoved);
        }
    }
}

impl Fresh {
    /// A content that the vault holds, or is believed to.
    pub fn there(digest: Digest, size: u64) -> Self {
        Self { digest, size, bytes: None }
    }

    pub(super) fn without_bytes(self) -> Self {
        Self::there(self.digest, self.size)
    }

    /// Makes its bytes durable.
    pub(super) fn synced(mut self) -> Result<Self, VaultError> {
        if let Some(temporary) = &mut self.bytes
            && let Some(file) = temporary.file.take()
        {
            durable::sync_file(&file, &temporary.path, Step::CaptureSynced)?;
        }
        Ok(self)
    }

    /// The file with its bytes, which is the caller's from here on.
    pub(super) fn into_bytes(mut self) -> Option<(PathBuf, Form)> {
        self.bytes.as_mut().map(|temporary| (std::mem::take(&mut temporary.path), temporary.form))
    }
}

/// The directory of one process's temporary files.
#[derive(Debug)]
pub(super) struct Workplace {
    dir: PathBuf,
    _lock: File,
    next: AtomicU64,
}

impl Workplace {
    pub(super) fn make(temporary: &Path) -> Result<Self, PathError> {
        loop {
            let dir = temporary.join(uuid::Uuid::new_v4().simple().to_string());
            let path = lock_of(&dir);
            let lock = OpenOptions::new().write(true).create_new(true).open(&path).at("create", &path)?;
            flock(&lock, FlockOperation::LockExclusive).at("lock", &path)?;
            // Between the two, somebody who clears may have taken it for one that was left.
            if lock.metadata().at("look at", &path)?.nlink() > 0 {
                durable::create_new_dir(&dir, Step::DirectoryCreated)?;
                durable::confirm_names(temporary)?;
                return Ok(Self { dir, _lock: lock, next: AtomicU64::new(0) });
            }
        }
    }

    #[cfg(test)]
    pub(super) fn name(&self) -> &std::ffi::OsStr {
        self.dir.file_name().unwrap_or_default()
    }

    /// Reads a content to its end into a temporary file, which is not durable yet.
    pub(super) fn take(&self, mut bytes: impl Read) -> Result<Fresh, VaultError> {
        let path = self.dir.join(self.next.fetch_add(1, Ordering::Relaxed).to_string());
        // The first bytes tell how the content is to be kept.
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut filled = 0;
        while filled < buffer.len() {
            match bytes.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(VaultError::Source(error)),
            }
        }
        let form = form_for(&buffer[..filled]);
        let file = durable::create_new(&path, Step::CaptureCreated)?;
        // From here on the file goes with it, whatever happens.
        let mut temporary = Temporary { file: None, path, form };
        let path = &temporary.path;
        let mut sink = Sink::new(file, form).at("write", path)?;
        let mut hasher = Sha256::new();
        let mut size = 0;
        while filled > 0 {
            hasher.update(&buffer[..filled]);
            sink.write_all(&buffer[..filled]).at("write", path)?;
            size += filled as u64;
            filled = loop {
                match bytes.read(&mut buffer) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    read => break read.map_err(VaultError::Source)?,
                }
            };
        }
        let file = sink.finish(size).at("write", path)?;
        temporary.file = Some(file);
        Ok(Fresh { digest: hasher.finalize().into(), size, bytes: Some(temporary) })
    }
}

impl Drop for Workplace {
    fn drop(&mut self) {
        // Should this fail, a later start clears it.
        let _ = durable::remove_tree(&self.dir, Step::LeftoverRemoved);
        let _ = durable::remove(&lock_of(&self.dir), Step::LeftoverRemoved);
    }
}

/// Where the bytes of a temporary file go.
enum Sink {
    Plain(File),
    Zstd(Box<zstd::Encoder<'static, File>>),
}

impl Sink {
    fn new(mut file: File, form: Form) -> io::Result<Self> {
        match form {
            Form::Plain => Ok(Self::Plain(file)),
            Form::Zstd => {
                // The size is known at the end.
                file.write_all(&[0; SIZE_FRAME_BYTES])?;
                let mut encoder = zstd::Encoder::new(file, ZSTD_LEVEL)?;
                encoder.include_checksum(true)?;
                Ok(Self::Zstd(Box::new(encoder)))
            }
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(file) => file.write_all(bytes),
            Self::Zstd(encoder) => encoder.write_all(bytes),
        }
    }

    fn finish(self, size: u64) -> io::Result<File> {
        match self {
            Self::Plain(file) => Ok(file),
            Self::Zstd(encoder) => {
                let mut file = encoder.finish()?;
                file.seek(SeekFrom::Start(0))?;
                file.write_all(&size_frame(size))?;
                Ok(file)
            }
        }
    }
}

/// The file whose lock says that a process works in the directory.
fn lock_of(dir: &Path) -> PathBuf {
    dir.with_extension("lock")
}

/// Deletes the directories of processes that have ended.
pub(super) fn clear(temporary: &Path) -> Result<(), PathError> {
    for entry in fs::read_dir(temporary).at("list", temporary)? {
        let path = entry.at("list", temporary)?.path();
        if path.extension().is_none_or(|ending| ending != "lock") {
            continue;
        }
        let lock = match OpenOptions::new().write(true).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other.at("open", &path)?,
        };
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => continue,
            other => other.at("lock", &path)?,
        }
        durable::remove_tree(&path.with_extension(""), Step::LeftoverRemoved)?;
        durable::remove(&path, Step::LeftoverRemoved)?;
    }
    Ok(())
}

/// Deletes files that lie beside those directories.
pub(super) fn clear_files(temporary: &Path) -> Result<(), PathError> {
    for entry in fs::read_dir(temporary).at("list", temporary)? {
        let path = entry.at("list", temporary)?.path();
        if path.is_file() && path.extension().is_none_or(|ending| ending != "lock") {
            durable::remove(&path, Step::LeftoverRemoved)?;
        }
    }
    Ok(())
}
