//! The stand-in archive: collects from the pickup share the way third-party archives do.
//!
//! From `canonical` it moves files away; from `vantage` it copies each output with the files beside
//! it and then writes `<name>.ack`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::Outcome;

/// How often the archive looks at the share.
const LOOK: Duration = Duration::from_millis(800);

/// An archive at work.
pub(crate) struct Archive {
    closing: Arc<AtomicBool>,
    thread: JoinHandle<Outcome<Vec<Entry>>>,
}

/// A file as it was seen: its path below the directory looked at, and its size.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    pub(crate) path: PathBuf,
    pub(crate) size: u64,
}

impl Archive {
    /// Starts collecting from `home/pickup` into `archive`, both below `directory`.
    pub(crate) fn open(directory: &Path) -> Self {
        let closing = Arc::new(AtomicBool::new(false));
        let (close, pickup, archive) = (closing.clone(), directory.join("home/pickup"), directory.join("archive"));
        let thread = thread::spawn(move || {
            let mut fullest = Vec::new();
            let mut taken = BTreeSet::new();
            while !close.load(Ordering::Relaxed) {
                let seen = files_below(&pickup)?;
                if seen.len() > fullest.len() {
                    fullest = seen;
                }
                move_away(&pickup.join("canonical"), &archive.join("canonical"))?;
                copy_and_acknowledge(&pickup.join("vantage"), &archive.join("vantage"), &mut taken)?;
                thread::sleep(LOOK);
            }
            Ok(fullest)
        });
        Self { closing, thread }
    }

    /// Ends the collecting; gives the share as it was when most lay there.
    pub(crate) fn close(self) -> Outcome<Vec<Entry>> {
        self.closing.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| "the archive thread panicked")?
    }
}

/// Every complete file below a directory, sorted; none if there is no such directory.
pub(crate) fn files_below(root: &Path) -> Outcome<Vec<Entry>> {
    let mut found = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        let listing = match fs::read_dir(&directory) {
            Ok(listing) => listing,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(format!("{}: {error}", directory.display()).into()),
        };
        for entry in listing {
            let entry = entry?;
            let Ok(metadata) = entry.metadata() else { continue };
            if !complete(&entry.path()) {
                continue;
            }
            match metadata.is_dir() {
                true => open.push(entry.path()),
                false => {
                    let path = entry.path().strip_prefix(root)?.to_owned();
                    found.push(Entry { path, size: metadata.len() });
                }
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Whether a name is that of a finished file: temporary ones begin with a dot or end in `_inprogress`.
fn complete(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    !name.starts_with('.') && !name.ends_with("_inprogress")
}

/// Whether a file is an adapter's output and no attachment.
pub(crate) fn is_output(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "xml")
}

fn move_away(from: &Path, to: &Path) -> Outcome<()> {
    for Entry { path, .. } in files_below(from)? {
        let target = in_new_place(to, &path)?;
        fs::rename(from.join(&path), target)?;
    }
    Ok(())
}

fn copy_and_acknowledge(from: &Path, to: &Path, taken: &mut BTreeSet<PathBuf>) -> Outcome<()> {
    let outputs: Vec<_> = files_below(from)?.into_iter().filter(|entry| is_output(&entry.path)).collect();
    // An output that is there has its attachments beside it, so they are looked for after it was seen.
    let beside = |entry: &Entry| !is_output(&entry.path) && entry.path.extension().is_none_or(|end| end != "ack");
    let attachments = files_below(from)?.into_iter().filter(beside);
    for entry in attachments.chain(outputs) {
        if !taken.insert(entry.path.clone()) {
            continue;
        }
        fs::copy(from.join(&entry.path), in_new_place(to, &entry.path)?)?;
        if is_output(&entry.path) {
            let mut name = from.join(&entry.path).into_os_string();
            name.push(".ack");
            fs::write(name, b"")?;
        }
    }
    Ok(())
}

/// The place of a file in the archive. A name that was used before is an error: names never come twice.
fn in_new_place(to: &Path, path: &Path) -> Outcome<PathBuf> {
    let target = to.join(path);
    if target.exists() {
        return Err(format!("the name {} came twice", path.display()).into());
    }
    fs::create_dir_all(target.parent().unwrap_or(to))?;
    Ok(target)
}
