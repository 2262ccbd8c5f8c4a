//! A power cut: puts the watched directories into a state that the machine's end could have left.
//!
//! The model is what POSIX promises and no more. A name that was made, changed or removed is durable once its directory was synced
//! afterwards; of what was not synced the earlier changes of a directory survive before the later ones. A content is durable
//! once the file was synced; of what was not, each block survives by itself. A sync that failed makes nothing durable, and neither does a
//! later one of the same content: the kernel has forgotten that there was something to write. A rename within a directory happens
//! or does not; across directories its two halves become durable with their own directory, and where neither was synced
//! the file is under one of its names or both, never under none.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::{Shim, unescape};

/// What survives of that which was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Survival {
    /// Nothing.
    Nothing,
    /// Something, chosen by this seed.
    Seeded(u64),
}

/// What a power cut has undone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PowerCut {
    /// Changes of names that were lost.
    pub names: usize,
    /// Files whose content was lost in whole or in part.
    pub contents: usize,
}

/// A file, as the journal names it.
type Inode = String;

/// What a name stood for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Meaning {
    Nothing,
    File(Inode),
    Directory,
}

/// One change of a directory: some of its names, each with its meaning before.
#[derive(Debug)]
struct Change {
    names: Vec<(OsString, Meaning)>,
    synced: bool,
    /// The other half of a rename out of this directory: its directory, and its place among that one's changes.
    arrival: Option<(PathBuf, usize)>,
}

/// All that happened since the machine came up.
#[derive(Debug, Default)]
struct History {
    changes: BTreeMap<PathBuf, Vec<Change>>,
    /// Contents that differ from what is durable, which is in this file of the vault, or is nothing.
    unsynced: BTreeMap<Inode, Option<String>>,
    /// Contents of which a sync failed.
    doomed: HashSet<Inode>,
}

/// Cuts the power: to be called when no process with this shim is running any more. The shim then begins anew.
///
/// # Errors
/// When the shim was not told to prepare for it ([`Shim::with_power_cuts`]), its journal is damaged, or a directory was
/// renamed, which is not modelled; or when the file system refuses.
pub fn power_cut(shim: &Shim, survival: Survival) -> io::Result<PowerCut> {
    if !shim.power_cuts {
        return Err(io::Error::other("this shim keeps nothing to undo: make it with `with_power_cuts`"));
    }
    let vault = shim.vault();
    let journal = match fs::read(vault.join("journal")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        read => read?,
    };
    let history = History::read(&journal, shim)?;
    let mut random = match survival {
        Survival::Nothing => None,
        Survival::Seeded(seed) => Some(ChaCha8Rng::seed_from_u64(seed)),
    };
    let survivors = history.survivors(random.as_mut());
    let cut = PowerCut {
        names: history.rewind_names(&survivors, &vault)?,
        contents: history.rewind_contents(random.as_mut(), &vault)?,
    };
    fs::remove_dir_all(&vault)?;
    fs::create_dir(&vault)?;
    Ok(cut)
}

impl History {
    fn read(journal: &[u8], shim: &Shim) -> io::Result<Self> {
        let mut history = Self::default();
        // Directories whose last change the line before has added.
        let mut latest: Vec<PathBuf> = Vec::new();
        let whole = journal.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        for line in journal[..whole].split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            let fields: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
            let damaged = || io::Error::other(format!("the journal is damaged: {}", String::from_utf8_lossy(line)));
            let path = |at: usize| fields.get(at).map(|field| unescape(field)).ok_or_else(damaged);
            let word =
                |at: usize| fields.get(at).map(|field| String::from_utf8_lossy(field).into_owned()).ok_or_else(damaged);
            let meaning = |at: usize| {
                word(at).map(|word| match word.as_str() {
                    "-" => Meaning::Nothing,
                    "dir" => Meaning::Directory,
                    _ => Meaning::File(word),
                })
            };
            if fields[0] == b"x" {
                for dir in latest.drain(..) {
                    history.changes.entry(dir).or_default().pop();
                }
                continue;
            }
            latest.clear();
            match fields[0] {
                b"a" => latest.extend(history.change(shim, &[(path(1)?, Meaning::Nothing)], None)),
                b"r" => latest.extend(history.change(shim, &[(path(1)?, meaning(2)?)], None)),
                b"m" => latest = history.rename(shim, (path(1)?, meaning(2)?), (path(3)?, meaning(4)?))?,
                b"d" => history.changes.entry(path(1)?).or_default().iter_mut().for_each(|change| change.synced = true),
                b"w" => {
                    let copy = Some(word(2)?).filter(|copy| copy != "-");
                    history.unsynced.entry(word(1)?).or_insert(copy);
                }
                b"f" => {
                    let inode = word(1)?;
                    if !history.doomed.contains(&inode) {
                        history.unsynced.remove(&inode);
                    }
                }
                b"t" => {
                    history.doomed.remove(&word(1)?);
                }
                b"p" => {
                    let inode = word(1)?;
                    if history.unsynced.contains_key(&inode) {
                        history.doomed.insert(inode);
                    }
                }
                _ => return Err(damaged()),
            }
        }
        Ok(history)
    }

    /// Adds a change of one directory; gives the directory, unless what happens in it is no concern of ours.
    fn change(
        &mut self,
        shim: &Shim,
        names: &[(PathBuf, Meaning)],
        arrival: Option<(PathBuf, usize)>,
    ) -> Option<PathBuf> {
        let dir = names.first()?.0.parent()?.to_owned();
        if !shim.watches(&dir) {
            return None;
        }
        let names =
            names.iter().filter_map(|(path, meaning)| Some((path.file_name()?.to_owned(), meaning.clone()))).collect();
        self.changes.entry(dir.clone()).or_default().push(Change { names, synced: false, arrival });
        Some(dir)
    }

    fn rename(&mut self, shim: &Shim, from: (PathBuf, Meaning), to: (PathBuf, Meaning)) -> io::Result<Vec<PathBuf>> {
        if from.1 == Meaning::Directory {
            return Err(io::Error::other(format!(
                "the directory {} was renamed, which is not modelled",
                from.0.display()
            )));
        }
        if from.0.parent() == to.0.parent() {
            return Ok(self.change(shim, &[from, to], None).into_iter().collect());
        }
        let arrived = self.change(shim, &[to], None);
        let arrival = arrived.clone().map(|dir| {
            let place = self.changes.get(&dir).map_or(0, |changes| changes.len() - 1);
            (dir, place)
        });
        Ok(arrived.into_iter().chain(self.change(shim, &[from], arrival)).collect())
    }

    /// How many changes of each directory survive, the earliest first.
    fn survivors(&self, mut random: Option<&mut ChaCha8Rng>) -> HashMap<PathBuf, usize> {
        let mut survivors: HashMap<PathBuf, usize> = HashMap::new();
        for (dir, changes) in &self.changes {
            let synced = changes.iter().take_while(|change| change.synced).count();
            let survive = random.as_mut().map_or(synced, |random| random.random_range(synced..=changes.len()));
            survivors.insert(dir.clone(), survive);
        }
        // A file that left one directory has arrived in the other, unless the leaving alone was synced.
        loop {
            let early = self.changes.iter().flat_map(|(dir, changes)| &changes[..survivors[dir]]).find_map(|change| {
                let (dir, place) = change.arrival.as_ref().filter(|_| !change.synced)?;
                (survivors[dir] <= *place).then(|| (dir.clone(), place + 1))
            });
            match early {
                Some((dir, survive)) => survivors.insert(dir, survive),
                None => return survivors,
            };
        }
    }

    fn rewind_names(&self, survivors: &HashMap<PathBuf, usize>, vault: &Path) -> io::Result<usize> {
        let mut undone = 0;
        let mut wanted: BTreeMap<PathBuf, &Meaning> = BTreeMap::new();
        for (dir, changes) in &self.changes {
            for change in changes[survivors[dir]..].iter().rev() {
                undone += 1;
                for (name, before) in change.names.iter().rev() {
                    wanted.insert(dir.join(name), before);
                }
            }
        }
        // What comes back first: it may have to come back from a directory that goes.
        for (path, meaning) in &wanted {
            match meaning {
                Meaning::File(inode) if path.parent().is_some_and(Path::is_dir) => {
                    bring_back(&vault.join(inode), path)?
                }
                Meaning::Directory if !path.exists() && path.parent().is_some_and(Path::is_dir) => {
                    fs::create_dir(path)?
                }
                _ => {}
            }
        }
        for (path, _) in wanted.iter().filter(|(_, meaning)| ***meaning == Meaning::Nothing) {
            match fs::symlink_metadata(path) {
                Ok(found) if found.is_dir() => fs::remove_dir_all(path)?,
                Ok(_) => fs::remove_file(path)?,
                Err(_) => {}
            }
        }
        Ok(undone)
    }

    fn rewind_contents(&self, mut random: Option<&mut ChaCha8Rng>, vault: &Path) -> io::Result<usize> {
        for (inode, copy) in &self.unsynced {
            let path = vault.join(inode);
            let synced = copy.as_ref().map_or(Ok(Vec::new()), |copy| fs::read(vault.join(copy)))?;
            let written = fs::read(&path)?;
            let left = match &mut random {
                None => synced,
                // After a failed sync the old state is the likely one, and the worst.
                Some(_) if self.doomed.contains(inode) => synced,
                Some(random) => torn(&synced, &written, random),
            };
            File::create(&path)?.write_all(&left)?;
        }
        Ok(self.unsynced.len())
    }
}

/// Makes `path` a name of the file `kept`.
fn bring_back(kept: &Path, path: &Path) -> io::Result<()> {
    if let Ok(found) = fs::symlink_metadata(path) {
        let file = fs::symlink_metadata(kept)?;
        if (found.dev(), found.ino()) == (file.dev(), file.ino()) {
            return Ok(());
        }
        fs::remove_file(path)?;
    }
    fs::hard_link(kept, path)
}

/// Of each block either state; a length that either had, or that ends with a block. What was never written reads as zeros.
fn torn(synced: &[u8], written: &[u8], random: &mut ChaCha8Rng) -> Vec<u8> {
    let block = if random.random() { 512 } else { 4096 };
    let (short, long) = (synced.len().min(written.len()), synced.len().max(written.len()));
    let length = match random.random_range(0..3) {
        0 => synced.len(),
        1 => written.len(),
        _ => random.random_range(short / block..=long.div_ceil(block)).saturating_mul(block).clamp(short, long),
    };
    let mut left = vec![0; length];
    for (at, place) in left.chunks_mut(block).enumerate() {
        let source = if random.random() { synced } else { written };
        let content = source.get(at * block..).unwrap_or_default();
        let whole = content.len().min(place.len());
        place[..whole].copy_from_slice(&content[..whole]);
    }
    left
}
