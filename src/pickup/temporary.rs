//! A file being written beside the share, invisible to the archive.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use sha2::{Digest as _, Sha256};

use super::{Draft, PickupError};
use crate::staging::{OutputKind, OutputRow};
use crate::support::durable::{self, WithPath};
use crate::support::step::{Step, reached};

const BUFFER_BYTES: usize = 256 * 1024;
/// zstd's own default: nine tenths of the gain at a fifth of the time of higher levels.
const ZSTD_LEVEL: i32 = 3;

/// Whether a file is compressed while it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// As it is.
    None,
    /// One zstd frame with a content checksum.
    Zstd,
}

/// A file under its temporary name. Dropped without [`Temporary::finish`], it is deleted.
pub struct Temporary {
    name: String,
    path: PathBuf,
    writer: Option<Sink>,
}

enum Sink {
    Plain(Counting),
    Zstd(Box<zstd::Encoder<'static, Counting>>),
}

/// Counts and digests what goes to disk.
struct Counting {
    file: BufWriter<File>,
    hasher: Sha256,
    size: u64,
    /// How much of that may not be durable yet.
    unsynced: u64,
}

impl Temporary {
    /// Begins the file that will be published as `name`. A draft has each name once.
    ///
    /// # Errors
    /// When the file cannot be created.
    pub fn create(draft: &Draft, name: &str, compression: Compression) -> Result<Self, PickupError> {
        let path = draft.path(name);
        let file = durable::create_new(&path, Step::TemporaryCreated)?;
        let counting = Counting {
            file: BufWriter::with_capacity(BUFFER_BYTES, file),
            hasher: Sha256::new(),
            size: 0,
            unsynced: 0,
        };
        let sink = match compression {
            Compression::None => Sink::Plain(counting),
            Compression::Zstd => {
                let mut encoder = zstd::Encoder::new(counting, ZSTD_LEVEL).at("compress", &path)?;
                encoder.include_checksum(true).at("compress", &path)?;
                Sink::Zstd(Box::new(encoder))
            }
        };
        Ok(Self { name: name.to_owned(), path, writer: Some(sink) })
    }

    /// Completes the file: written out, synced, read back and compared. `pause` is called between parts of the reading.
    ///
    /// # Errors
    /// When writing or syncing fails (never retried: the file must be written anew), or
    /// [`PickupError::ReadBack`] when the disk gives other bytes than it was given.
    pub fn finish(
        mut self,
        kind: OutputKind,
        position: u32,
        messages: u64,
        pause: &mut dyn FnMut(),
    ) -> Result<OutputRow, PickupError> {
        let counting = match self.writer.take() {
            Some(Sink::Plain(counting)) => counting,
            Some(Sink::Zstd(encoder)) => encoder.finish().at("compress", &self.path)?,
            None => return Err(PickupError::ReadBack { name: self.name.clone() }),
        };
        let Counting { file, hasher, size, .. } = counting;
        let file = file.into_inner().map_err(io::IntoInnerError::into_error).at("write", &self.path)?;
        reached(match kind {
            OutputKind::Attachment => Step::AttachmentWritten,
            OutputKind::AttachmentsManifest | OutputKind::Output => Step::TemporaryWritten,
        });
        durable::sync_file(&file, &self.path, Step::Synced)?;
        drop(file);
        pause();
        let sha256: [u8; 32] = hasher.finalize().into();
        if durable::digest_file_in_parts(&self.path, pause)? != (size, sha256) {
            return Err(PickupError::ReadBack { name: self.name.clone() });
        }
        let name = std::mem::take(&mut self.name);
        self.path = PathBuf::new();
        Ok(OutputRow { position, name, kind, size, sha256, messages, collected_at: None })
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.path.as_os_str().is_empty() {
            self.writer = None;
            // Should this fail, it goes with its draft.
            let _ = durable::remove(&self.path, Step::LeftoverRemoved);
        }
    }
}

impl Write for Temporary {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.writer {
            Some(Sink::Plain(counting)) => counting.write(bytes),
            Some(Sink::Zstd(encoder)) => encoder.write(bytes),
            None => Err(io::Error::other("the file is already complete")),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.writer {
            Some(Sink::Plain(counting)) => counting.flush(),
            Some(Sink::Zstd(encoder)) => encoder.flush(),
            None => Ok(()),
        }
    }
}

impl Write for Counting {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.size += written as u64;
        self.unsynced += written as u64;
        if self.unsynced >= durable::PART_BYTES {
            self.unsynced = 0;
            self.file.flush()?;
            durable::sync_part(self.file.get_ref())?;
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
