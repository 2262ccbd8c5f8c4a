//! Whether a directory is being written to while it is checked.
//!
//! A service that works writes an entry, then lists it, then signs a head over it. Whoever looks between two of these sees a log
//! whose end is missing, and must look again before saying so.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::super::layout::{LOG, SUMS};

/// How often a directory is looked at that does not hold and does not stand still.
pub(super) const LOOKS: usize = 10;
/// How long a service may take from one file to the next that belongs to it.
pub(super) const PAUSE: Duration = Duration::from_millis(500);

/// How a directory stands; another value once anything was written there. Files are made by renaming, which changes their
/// directory, but for the list of entries, which grows.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stand(Vec<(PathBuf, SystemTime, u64)>);

impl Stand {
    /// Looks. What cannot be read is left out: the check itself says so.
    pub(super) fn of(dir: &Path) -> Self {
        let mut found = Vec::new();
        let mut waiting = vec![dir.to_owned(), dir.join(LOG).join(SUMS)];
        while let Some(path) = waiting.pop() {
            let Ok(about) = path.metadata() else { continue };
            let Ok(changed) = about.modified() else { continue };
            if about.is_dir()
                && let Ok(names) = fs::read_dir(&path)
            {
                let inside = names.filter_map(|name| Some((name.as_ref().ok()?.path(), name.ok()?.file_type().ok()?)));
                waiting.extend(inside.filter(|(_, kind)| kind.is_dir()).map(|(path, _)| path));
            }
            found.push((path, changed, about.len()));
        }
        found.sort();
        Self(found)
    }
}
