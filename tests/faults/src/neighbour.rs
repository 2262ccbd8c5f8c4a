//! The bad neighbour: somebody else with access to the share, who changes files that are not theirs.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

/// What a neighbour does to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    /// Changes one byte and leaves the size.
    Alter,
    /// Cuts the file to half.
    Truncate,
    /// Writes something behind its end.
    Append,
    /// Puts another file under its name.
    Replace,
}

impl Harm {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Alter, Self::Truncate, Self::Append, Self::Replace];

    /// Does it.
    ///
    /// # Errors
    /// When the file is gone or cannot be written.
    pub fn inflict(self, path: &Path) -> io::Result<()> {
        match self {
            Self::Alter => {
                let mut bytes = fs::read(path)?;
                let middle = bytes.len() / 2;
                if let Some(byte) = bytes.get_mut(middle) {
                    *byte ^= 1;
                }
                fs::write(path, bytes)
            }
            Self::Truncate => {
                let file = OpenOptions::new().write(true).open(path)?;
                file.set_len(file.metadata()?.len() / 2)
            }
            Self::Append => OpenOptions::new().append(true).open(path)?.write_all(b"<!-- and more -->"),
            Self::Replace => {
                let other = path.with_file_name(".replacement");
                fs::write(&other, b"something else")?;
                fs::rename(other, path)
            }
        }
    }
}
