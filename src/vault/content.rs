//! A content as it lies in the vault: as it is, or as a zstd frame where that is smaller.
//!
//! A framed content begins with a skippable frame that tells its size, as the zstd format provides for data of an
//! application's own (RFC 8878, section 3.1.2): every zstd tool reads over it. The digest is that of the content.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::{BUFFER_BYTES, Digest, VaultError};
use crate::support::durable::WithPath as _;

/// How a content lies in the vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// As it is.
    Plain,
    /// [`SIZE_FRAME_BYTES`] that tell its size, then one zstd frame with a checksum.
    Zstd,
}

impl Form {
    pub(super) const ALL: [Self; 2] = [Self::Plain, Self::Zstd];

    /// What is added to the digest in the file's name.
    pub(super) fn ending(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Zstd => ".zst",
        }
    }
}

/// Bytes of the skippable frame: its magic number, its length, the content's size.
pub(super) const SIZE_FRAME_BYTES: usize = 16;
/// Magic number of a skippable frame and the length of what it holds, both little-endian.
const SIZE_FRAME_START: [u8; 8] = [0x50, 0x2a, 0x4d, 0x18, 8, 0, 0, 0];
/// zstd's own default: nine tenths of the gain at a fifth of the time of higher levels.
pub(super) const ZSTD_LEVEL: i32 = 3;
/// The fastest level tells whether bytes get smaller at all.
const SAMPLE_LEVEL: i32 = 1;

/// The skippable frame for a content of this size.
pub(super) fn size_frame(size: u64) -> [u8; SIZE_FRAME_BYTES] {
    let mut frame = [0; SIZE_FRAME_BYTES];
    frame[..8].copy_from_slice(&SIZE_FRAME_START);
    frame[8..].copy_from_slice(&size.to_le_bytes());
    frame
}

/// How a content that begins with these bytes is to be kept: as a frame if that takes a tenth off them. Short ones are not worth it,
/// because a file takes whole blocks of the disk anyway.
pub(super) fn form_for(sample: &[u8]) -> Form {
    const BLOCK: usize = 4096;
    if sample.len() <= BLOCK {
        return Form::Plain;
    }
    match zstd::bulk::compress(sample, SAMPLE_LEVEL) {
        Ok(smaller) if smaller.len() < sample.len() / 10 * 9 => Form::Zstd,
        _ => Form::Plain,
    }
}

/// A content being read. What was read must not be used before the end was reached without an error.
pub struct Content {
    bytes: Bytes,
    path: PathBuf,
    size: u64,
    read: u64,
    expected: Digest,
    /// Until the end was reached.
    hasher: Option<Sha256>,
}

enum Bytes {
    Plain(File),
    Zstd(Box<zstd::Decoder<'static, BufReader<File>>>),
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Content").field("path", &self.path).field("size", &self.size).finish_non_exhaustive()
    }
}

impl Content {
    pub(super) fn open(mut file: File, path: PathBuf, form: Form, expected: Digest) -> Result<Self, VaultError> {
        let (bytes, size) = match form {
            Form::Plain => {
                let size = file.metadata().at("look at", &path)?.len();
                (Bytes::Plain(file), size)
            }
            Form::Zstd => {
                let mut start = [0; SIZE_FRAME_BYTES];
                match file.read_exact(&mut start) {
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                        return Err(VaultError::Damaged { expected });
                    }
                    other => other.at("read", &path)?,
                }
                let (magic, size) = start.split_at(8);
                if magic != SIZE_FRAME_START {
                    return Err(VaultError::Damaged { expected });
                }
                let size = size.try_into().map(u64::from_le_bytes).unwrap_or_default();
                let decoder = zstd::Decoder::with_buffer(BufReader::with_capacity(BUFFER_BYTES, file));
                (Bytes::Zstd(Box::new(decoder.at("read", &path)?)), size)
            }
        };
        Ok(Self { bytes, path, size, read: 0, expected, hasher: Some(Sha256::new()) })
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn next(&mut self, buffer: &mut [u8]) -> Result<usize, VaultError> {
        let read = match &mut self.bytes {
            Bytes::Plain(file) => file.read(buffer).at("read", &self.path)?,
            Bytes::Zstd(decoder) => match decoder.read(buffer) {
                // What the disk refuses has a number; what the frame is refused for has none.
                Err(error) if error.raw_os_error().is_none() => {
                    return Err(VaultError::Damaged { expected: self.expected });
                }
                other => other.at("read", &self.path)?,
            },
        };
        self.read += read as u64;
        if read > 0 {
            if let Some(hasher) = &mut self.hasher {
                hasher.update(&buffer[..read]);
            }
        } else if !buffer.is_empty()
            && let Some(hasher) = self.hasher.take()
            && (Digest::from(hasher.finalize()) != self.expected || self.read != self.size)
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
