//! Files, durable, with nothing made: write, sync, rename, sync of the directory.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use anyhow::Result;

/// Writes contents under temporary names and renames them; gives back the bytes.
pub(crate) fn write_all(dir: &Path, contents: &[Vec<u8>]) -> Result<u64> {
    let directory = File::open(dir)?;
    let mut bytes = 0;
    for (number, content) in contents.iter().enumerate() {
        let (draft, name) = (dir.join(format!("{number:09}.tmp")), dir.join(format!("{number:09}.xml")));
        let mut file = File::create(&draft)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&draft, &name)?;
        bytes += content.len() as u64;
    }
    directory.sync_all()?;
    Ok(bytes)
}
