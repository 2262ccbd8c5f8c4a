//! The hostile reader: lists every share all the time and opens whatever has appeared at once.
//!
//! What it sees at first sight must be whole and must stay what it is. Real archives that poll too eagerly do just this.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::archive::{Book, list_if_there};
use crate::checker::{Charge, Finding};
use crate::error::{Outcome, Trouble};
use crate::event::{Key, digest};
use crate::layout::{self, Layout, is_output};

/// The pause between two looks at all shares.
const PAUSE: Duration = Duration::from_millis(3);

/// A share under watch.
#[derive(Debug, Clone)]
pub struct Watched {
    /// The adapter.
    pub adapter: String,
    /// The directory.
    pub share: PathBuf,
    /// What its outputs are.
    pub layout: Layout,
}

/// A name as the reader saw it.
#[derive(Debug, Clone)]
pub struct Sighting {
    /// SHA-256 at first sight, hex.
    pub sha256: String,
    /// When it was first seen.
    pub first: Instant,
    /// The first look at which it was no longer there.
    pub vanished: Option<Instant>,
    /// Inode, size and time of change at first sight.
    stamp: (u64, u64, i64, i64),
    changed: bool,
}

/// What the reader saw, by adapter and name.
pub type Sightings = BTreeMap<(String, String), Sighting>;

/// For each adapter with canonical outputs: when each event's first message became visible.
pub type Visible = HashMap<String, HashMap<Key, Instant>>;

#[derive(Debug, Default)]
struct Notes {
    sightings: Sightings,
    visible: Visible,
    findings: Vec<Finding>,
    /// Attachments that were missing when an output that refers to them was already there.
    owed: HashSet<(String, String)>,
}

/// A reader at work.
#[derive(Debug)]
pub struct HostileReader {
    notes: Arc<Mutex<Notes>>,
    looks: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// A file read at first sight, for the thread that examines it.
struct Read {
    adapter: String,
    layout: Layout,
    share: PathBuf,
    name: String,
    bytes: Vec<u8>,
    at: Instant,
}

impl HostileReader {
    /// Starts looking.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub fn open(shares: Vec<Watched>) -> Outcome<Self> {
        let (notes, looks, stop) = <(Arc<Mutex<Notes>>, Arc<AtomicU64>, Arc<AtomicBool>)>::default();
        let (sender, receiver) = channel();
        let spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
            let thread = std::thread::Builder::new().name(name.into()).spawn(work);
            thread.map_err(|error| Trouble::Said(format!("no thread for the hostile reader: {error}")))
        };
        let (counted, stopped, noted) = (Arc::clone(&looks), Arc::clone(&stop), Arc::clone(&notes));
        let looking = spawn(
            "hostile-reader",
            Box::new(move || {
                // One look more after the end, at a share that nobody changes any more.
                let mut last = false;
                while !last {
                    last = stopped.load(Ordering::Relaxed);
                    for share in &shares {
                        look(share, &noted, &sender);
                    }
                    counted.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(PAUSE);
                }
            }),
        )?;
        let noted = Arc::clone(&notes);
        let examining = spawn("examiner", Box::new(move || examine(&receiver, &noted)))?;
        Ok(Self { notes, looks, stop, threads: vec![looking, examining] })
    }

    /// When events became visible, so far.
    pub fn visible(&self) -> Visible {
        lock(&self.notes).visible.clone()
    }

    /// Whether a name (adapter, name) was seen.
    pub fn has_seen(&self, entry: &(String, String)) -> bool {
        lock(&self.notes).sightings.contains_key(entry)
    }

    /// Stops looking; gives what was seen, what was wrong with it, and how often the reader looked.
    ///
    /// `book` is the archive's: what it got under a name must be what was seen at first sight.
    pub fn close(mut self, book: &Book) -> (Sightings, Visible, Vec<Finding>, u64) {
        self.stop.store(true, Ordering::Relaxed);
        let mut panicked = false;
        for thread in self.threads.drain(..) {
            panicked |= thread.join().is_err();
        }
        let mut notes = lock(&self.notes);
        let mut findings = std::mem::take(&mut notes.findings);
        if panicked {
            findings.push(Finding { charge: Charge::Misbehaved, detail: "the hostile reader panicked".into() });
        }
        for (entry, sighting) in &notes.sightings {
            let (adapter, name) = entry;
            let taken = book.get(entry);
            if taken.is_some_and(|taken| taken.harmed) {
                continue;
            }
            let differs = taken.is_some_and(|taken| taken.sha256 != sighting.sha256);
            if sighting.changed || differs {
                let detail = format!("{adapter}: {name} changed after it was first seen");
                findings.push(Finding { charge: Charge::Partial, detail });
            }
        }
        (notes.sightings.clone(), notes.visible.clone(), findings, self.looks.load(Ordering::Relaxed))
    }
}

impl Drop for HostileReader {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn lock(notes: &Mutex<Notes>) -> MutexGuard<'_, Notes> {
    notes.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One look at one share: new names are read at once, known ones only compared by their stamp.
fn look(share: &Watched, notes: &Mutex<Notes>, sender: &Sender<Read>) {
    let Some(names) = list_if_there(&share.share) else { return };
    let now = Instant::now();
    for name in names.iter().filter(|name| !name.ends_with(".ack")) {
        let entry = (share.adapter.clone(), name.clone());
        let path = share.share.join(name);
        let known = lock(notes).sightings.get(&entry).map(|sighting| sighting.stamp);
        let Some(stamp) = stamp(&path) else { continue };
        if known == Some(stamp) {
            continue;
        }
        // Gone between listing and reading, or unreadable for now: the next look tries again.
        let Ok(bytes) = fs::read(&path) else { continue };
        let sha256 = digest(&bytes);
        let mut noted = lock(notes);
        if noted.owed.remove(&entry) {
            let detail = format!("{}: {name} appeared after an output that refers to it", share.adapter);
            noted.findings.push(Finding { charge: Charge::Partial, detail });
        }
        match noted.sightings.get_mut(&entry) {
            Some(sighting) => {
                sighting.stamp = stamp;
                sighting.changed |= sighting.sha256 != sha256;
                sighting.vanished = None;
            }
            None => {
                let sighting = Sighting { sha256, first: now, vanished: None, stamp, changed: false };
                noted.sightings.insert(entry, sighting);
                drop(noted);
                let (adapter, layout, share) = (share.adapter.clone(), share.layout, share.share.clone());
                // The examiner lives as long as the sender does.
                let _ = sender.send(Read { adapter, layout, share, name: name.clone(), bytes, at: now });
            }
        }
    }
    let here: HashSet<&str> = names.iter().map(String::as_str).collect();
    for ((adapter, name), sighting) in &mut lock(notes).sightings {
        if *adapter == share.adapter {
            match here.contains(name.as_str()) {
                true => sighting.vanished = None,
                false => drop(sighting.vanished.get_or_insert(now)),
            }
        }
    }
}

fn stamp(path: &std::path::Path) -> Option<(u64, u64, i64, i64)> {
    let about = fs::metadata(path).ok()?;
    Some((about.ino(), about.size(), about.mtime(), about.mtime_nsec()))
}

/// Examines what was read: whole documents, and attachments there before what refers to them.
fn examine(receiver: &Receiver<Read>, notes: &Mutex<Notes>) {
    for read in receiver {
        if !is_output(&read.name) {
            if read.name.contains("_inprogress") {
                let detail = format!("{}: the temporary file {} is in plain sight", read.adapter, read.name);
                lock(notes).findings.push(Finding { charge: Charge::Partial, detail });
            }
            continue;
        }
        match layout::read(read.layout, &read.name, &read.bytes) {
            Err(error) => {
                let detail = format!("{}: {} at first sight: {error}", read.adapter, read.name);
                lock(notes).findings.push(Finding { charge: Charge::Partial, detail });
            }
            Ok(reading) => {
                let here = list_if_there(&read.share).unwrap_or_default();
                let mut noted = lock(notes);
                // Only while the output itself still lies there: an archive may already have taken both.
                if here.contains(&read.name) {
                    for name in reading.attachments {
                        let entry = (read.adapter.clone(), name);
                        if !here.contains(&entry.1) && !noted.sightings.contains_key(&entry) {
                            noted.owed.insert(entry);
                        }
                    }
                }
                let visible = noted.visible.entry(read.adapter.clone()).or_default();
                for message in reading.messages {
                    visible.entry(message.key).or_insert(read.at);
                }
            }
        }
    }
}
