//! Bytes that are written once and read piece by piece: in memory as long as they are few, else in a file without
//! a name, which is gone with the process.

use std::fs::File;
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// Bytes kept in memory.
const MEMORY_MAX: usize = 8 * 1024 * 1024;
/// Bytes read from the file at once.
const READ_AT_ONCE: usize = 256 * 1024;

/// A store for bytes of one piece of work. Nothing of it lasts.
#[derive(Debug)]
pub struct Scratch {
    dir: PathBuf,
    /// What comes after what is in the file.
    memory: Vec<u8>,
    file: Option<File>,
    in_file: u64,
}

impl Scratch {
    /// An empty one. `dir` is where the file is made, should one be needed.
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), memory: Vec::new(), file: None, in_file: 0 }
    }

    /// How many bytes it holds.
    pub fn len(&self) -> u64 {
        self.in_file + self.memory.len() as u64
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies a range of what was written into `out`.
    ///
    /// # Errors
    /// When the file cannot be read, `out` refuses, or the range reaches beyond the end.
    pub fn copy(&self, range: Range<u64>, out: &mut impl Write) -> io::Result<()> {
        let mut at = range.start;
        if let Some(file) = &self.file {
            let mut buffer = vec![0; READ_AT_ONCE];
            while at < range.end.min(self.in_file) {
                let wanted = usize::try_from(range.end.min(self.in_file) - at).unwrap_or(usize::MAX).min(READ_AT_ONCE);
                file.read_exact_at(&mut buffer[..wanted], at)?;
                out.write_all(&buffer[..wanted])?;
                at += wanted as u64;
            }
        }
        if at < range.end {
            let within = |position: u64| usize::try_from(position.saturating_sub(self.in_file)).unwrap_or(usize::MAX);
            let bytes = self.memory.get(within(at)..within(range.end));
            out.write_all(bytes.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?)?;
        }
        Ok(())
    }
}

impl Write for Scratch {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.memory.len() + bytes.len() > MEMORY_MAX {
            let file = match self.file.take() {
                Some(file) => file,
                None => tempfile::tempfile_in(&self.dir)?,
            };
            let file = self.file.insert(file);
            // At its place, not at its end: a write that failed half-way is written over by the next.
            file.write_all_at(&self.memory, self.in_file)?;
            self.in_file += self.memory.len() as u64;
            self.memory.clear();
        }
        self.memory.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed test should panic")]
mod tests {
    use super::*;

    #[test]
    fn any_range_comes_back_from_memory_file_or_both() {
        let dir = tempfile::tempdir().unwrap();
        let piece: Vec<u8> = (0..=255_u8).cycle().take(3 * 1024 * 1024 + 17).collect();
        let mut scratch = Scratch::new(dir.path());
        let mut all = Vec::new();
        for _ in 0..4 {
            scratch.write_all(&piece).unwrap();
            all.extend_from_slice(&piece);
        }
        assert_eq!(scratch.len(), all.len() as u64);
        assert!(scratch.in_file > 0 && !scratch.memory.is_empty());
        let border = usize::try_from(scratch.in_file).unwrap();
        for range in [0..10, 0..all.len(), border - 5..border + 5, border..all.len(), border - 5..border, 7..7] {
            let mut found = Vec::new();
            scratch.copy(range.start as u64..range.end as u64, &mut found).unwrap();
            assert!(found == all[range.clone()], "{range:?}");
        }
        assert!(scratch.copy(0..all.len() as u64 + 1, &mut io::sink()).is_err());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "the file has no name");
    }

    #[test]
    fn a_directory_that_is_gone_is_an_error_only_when_it_is_needed() {
        let mut scratch = Scratch::new(Path::new("/nowhere"));
        scratch.write_all(&[0; 1024]).unwrap();
        assert!(scratch.write_all(&vec![0; MEMORY_MAX]).is_err());
    }
}
