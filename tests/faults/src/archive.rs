//! The third-party archive: takes files from the shares as real ones do, and remembers everything it ever took.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::checker::Charge;
use crate::checker::Finding;
use crate::error::{At as _, Outcome, Trouble};
use crate::event::digest;
use crate::layout::{batch_of, is_output};
use crate::neighbour::Harm;

/// How an archive collects from a share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Manner {
    /// Moves files away.
    Move,
    /// Copies files, then deletes them.
    CopyAndDelete,
    /// Copies an output with the files beside it, then writes `<name>.ack`.
    Acknowledge,
}

/// A share and how it is collected from.
#[derive(Debug, Clone)]
pub struct Collected {
    /// The adapter.
    pub adapter: String,
    /// The directory.
    pub share: PathBuf,
    /// How.
    pub manner: Manner,
    /// Whether attachments are taken before outputs.
    pub attachments_first: bool,
    /// For how long a file must have lain there before it is taken.
    pub settled: Duration,
}

/// What the archive did with a name.
#[derive(Debug, Clone)]
pub struct Taken {
    /// SHA-256 of what it got, hex.
    pub sha256: String,
    /// Where its copy is.
    pub copy: PathBuf,
    /// When the archive read it.
    pub at: Instant,
    /// Since when the product may consider it collected: noted before the archive removes or acknowledges.
    pub released: Option<Instant>,
    /// Whether the name has been gone since.
    gone: bool,
    /// Since when it lies there without the acknowledgement that it had.
    bare: Option<Instant>,
    /// Whether a bad neighbour changed it afterwards.
    pub harmed: bool,
}

/// By adapter and name.
pub type Book = BTreeMap<(String, String), Taken>;

#[derive(Debug, Default)]
struct Shared {
    book: Book,
    findings: Vec<Finding>,
    /// Harm to do to the next file that is about to be acknowledged.
    harm: Vec<Harm>,
}

/// An archive at work.
#[derive(Debug)]
pub struct Archive {
    shared: Arc<Mutex<Shared>>,
    stop: Arc<AtomicBool>,
    paused: Arc<AtomicUsize>,
    looking: Arc<Mutex<()>>,
    thread: Option<JoinHandle<()>>,
}

/// While it lives the archive does not look at its shares.
#[derive(Debug)]
pub struct Pause(Arc<AtomicUsize>);

impl Drop for Pause {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// How long an acknowledged output may lie there after its acknowledgement is gone.
const BARE_TIME_MAX: Duration = Duration::from_millis(30);
/// How often the archive looks at each share.
const LOOK: Duration = Duration::from_millis(40);

impl Archive {
    /// Starts collecting into `store`.
    ///
    /// # Errors
    /// When the archive's own directories cannot be made.
    pub fn open(store: &Path, shares: Vec<Collected>) -> Outcome<Self> {
        for share in &shares {
            let dir = store.join(&share.adapter);
            fs::create_dir_all(&dir).at("create", &dir)?;
        }
        let (shared, stop) = (Arc::new(Mutex::new(Shared::default())), Arc::new(AtomicBool::new(false)));
        let worker = Worker { store: store.to_owned(), shares, shared: Arc::clone(&shared) };
        let (paused, looking) = <(Arc<AtomicUsize>, Arc<Mutex<()>>)>::default();
        let (stopped, pausing, looked) = (Arc::clone(&stop), Arc::clone(&paused), Arc::clone(&looking));
        let thread = std::thread::Builder::new()
            .name("archive".into())
            .spawn(move || {
                let mut known = Listings::default();
                while !stopped.load(Ordering::Relaxed) {
                    let look = looked.lock().unwrap_or_else(PoisonError::into_inner);
                    if pausing.load(Ordering::SeqCst) == 0 {
                        worker.look(&mut known);
                    }
                    drop(look);
                    std::thread::sleep(LOOK);
                }
            })
            .map_err(|error| Trouble::Said(format!("no thread for the archive: {error}")))?;
        Ok(Self { shared, stop, paused, looking, thread: Some(thread) })
    }

    /// Asks a bad neighbour to harm the next file that the archive is about to acknowledge.
    pub fn harm_next(&self, harm: Harm) {
        lock(&self.shared).harm.push(harm);
    }

    /// How many files were harmed so far.
    pub fn harmed(&self) -> usize {
        lock(&self.shared).book.values().filter(|taken| taken.harmed).count()
    }

    /// Keeps the archive from looking for as long as the result lives.
    pub fn stop_for_a_while(&self) -> Pause {
        self.paused.fetch_add(1, Ordering::SeqCst);
        // A look that has begun is waited for.
        drop(self.looking.lock().unwrap_or_else(PoisonError::into_inner));
        Pause(Arc::clone(&self.paused))
    }

    /// A power cut may have brought back what was acknowledged and deleted, for the deletion was not synced: that is no
    /// second delivery. Names in the archive's own hands stay what they are.
    pub fn power_was_cut(&self) {
        for taken in lock(&self.shared).book.values_mut() {
            taken.gone = false;
        }
    }

    /// What was taken so far.
    pub fn book(&self) -> Book {
        lock(&self.shared).book.clone()
    }

    /// Stops collecting; gives everything taken, and what was wrong with it.
    pub fn close(mut self) -> (Book, Vec<Finding>) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            let panicked = Finding { charge: Charge::Misbehaved, detail: "the judge's archive panicked".into() };
            lock(&self.shared).findings.push(panicked);
        }
        let shared = lock(&self.shared);
        (shared.book.clone(), shared.findings.clone())
    }
}

impl Drop for Archive {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// For each share its names, and since when they are there.
type Listings = BTreeMap<String, BTreeMap<String, Instant>>;

struct Worker {
    store: PathBuf,
    shares: Vec<Collected>,
    shared: Arc<Mutex<Shared>>,
}

impl Worker {
    /// One look at every share. A share that is away or refuses is looked at again later, as an archive does.
    ///
    /// A file is taken when it was seen before, which leaves the hostile reader time to see it before it is gone.
    fn look(&self, known: &mut Listings) {
        for share in &self.shares {
            let Some(mut names) = list_if_there(&share.share) else { continue };
            self.notice_gone(share, &names);
            let now = Instant::now();
            let known = known.entry(share.adapter.clone()).or_default();
            known.retain(|name, _| names.contains(name));
            for name in &names {
                known.entry(name.clone()).or_insert(now);
            }
            let all: BTreeSet<_> = names.iter().cloned().collect();
            names.retain(|name| known.get(name).is_some_and(|since| *since < now && since.elapsed() >= share.settled));
            names.sort_by_key(|name| (is_output(name) == share.attachments_first, name.clone()));
            for name in names {
                if name.ends_with(".ack") || name.starts_with(".copying") {
                    continue;
                }
                let taken = match share.manner {
                    Manner::Move => self.take(share, &name, true),
                    Manner::CopyAndDelete => self.take(share, &name, false),
                    Manner::Acknowledge => self.acknowledge(share, &name, &all),
                };
                // Whatever stood in the way, the file is still there at the next look, or was taken by nobody else.
                drop(taken);
            }
        }
    }

    fn copy_of(&self, share: &Collected, name: &str) -> PathBuf {
        self.store.join(&share.adapter).join(name)
    }

    /// Takes a file away, by moving it or by copying and deleting.
    fn take(&self, share: &Collected, name: &str, by_move: bool) -> io::Result<()> {
        let (from, to) = (share.share.join(name), self.copy_of(share, name));
        let bytes = fs::read(&from)?;
        if !self.note(share, name, &bytes) {
            return Ok(());
        }
        self.release(share, name);
        if by_move && fs::rename(&from, &to).is_ok() {
            return Ok(());
        }
        fs::write(&to, &bytes)?;
        fs::remove_file(&from)
    }

    /// Copies a file; an output is acknowledged once the files of its batch are copied.
    fn acknowledge(&self, share: &Collected, name: &str, all: &BTreeSet<String>) -> io::Result<()> {
        let acknowledgement = format!("{name}.ack");
        let from = share.share.join(name);
        let known = lock(&self.shared).book.get(&entry(share, name)).filter(|taken| !taken.gone).cloned();
        if is_output(name)
            && known.as_ref().is_some_and(|taken| taken.released.is_some())
            && !all.contains(&acknowledgement)
        {
            self.bare(share, name);
        }
        if known.is_none() {
            let bytes = fs::read(&from)?;
            if !self.note(share, name, &bytes) {
                return Ok(());
            }
            fs::write(self.copy_of(share, name), &bytes)?;
        }
        if !is_output(name) || all.contains(&acknowledgement) {
            return Ok(());
        }
        let beside = all.iter().filter(|other| batch_of(other) == batch_of(name) && !other.ends_with(".ack"));
        let mut copied = beside.filter(|other| !is_output(other));
        if copied.any(|other| !lock(&self.shared).book.contains_key(&entry(share, other))) {
            return Ok(());
        }
        let harm = lock(&self.shared).harm.pop();
        if let Some(harm) = harm {
            // Noted first: whoever sees the change must find it in the book.
            if let Some(taken) = lock(&self.shared).book.get_mut(&entry(share, name)) {
                taken.harmed = true;
            }
            harm.inflict(&from)?;
        }
        self.release(share, name);
        let acknowledged = fs::write(share.share.join(acknowledgement), b"");
        if acknowledged.is_err()
            && let Some(taken) = lock(&self.shared).book.get_mut(&entry(share, name))
        {
            taken.released = None;
        }
        acknowledged
    }

    /// Writes a file into the book. `false`: it is there already and only its removal failed before, or it should not be
    /// there at all.
    fn note(&self, share: &Collected, name: &str, bytes: &[u8]) -> bool {
        let sha256 = digest(bytes);
        let mut shared = lock(&self.shared);
        match shared.book.get(&entry(share, name)) {
            None => {
                let taken = Taken {
                    sha256,
                    copy: self.copy_of(share, name),
                    at: Instant::now(),
                    released: None,
                    gone: false,
                    bare: None,
                    harmed: false,
                };
                shared.book.insert(entry(share, name), taken);
                true
            }
            Some(before) if before.gone => {
                let how = if before.sha256 == sha256 { "with the same content" } else { "with other content" };
                let detail = format!("{}: {name} was taken, and appeared again {how}", share.adapter);
                if !shared.findings.iter().any(|finding| finding.detail == detail) {
                    shared.findings.push(Finding { charge: Charge::Twice, detail });
                }
                false
            }
            Some(before) if before.sha256 != sha256 && !before.harmed => {
                let detail = format!("{}: {name} was read twice with different content", share.adapter);
                shared.findings.push(Finding { charge: Charge::Partial, detail });
                true
            }
            Some(_) => true,
        }
    }

    /// An output that was acknowledged lies there without its acknowledgement. For an instant that is how a purge looks; if
    /// it stays so, an archive that goes by acknowledgements would take the file a second time.
    fn bare(&self, share: &Collected, name: &str) {
        let mut shared = lock(&self.shared);
        let Some(taken) = shared.book.get_mut(&entry(share, name)) else { return };
        let since = *taken.bare.get_or_insert_with(Instant::now);
        let still = |name: &str| share.share.join(name).exists();
        if since.elapsed() >= BARE_TIME_MAX && still(name) && !still(&format!("{name}.ack")) {
            let detail =
                format!("{}: {name} was acknowledged, and lies there again without its acknowledgement", share.adapter);
            if !shared.findings.iter().any(|finding| finding.detail == detail) {
                shared.findings.push(Finding { charge: Charge::Twice, detail });
            }
        }
    }

    /// From now on the product may call it collected.
    fn release(&self, share: &Collected, name: &str) {
        if let Some(taken) = lock(&self.shared).book.get_mut(&entry(share, name)) {
            taken.released.get_or_insert_with(Instant::now);
        }
    }

    /// Remembers which names are gone, so that one that comes back is noticed.
    fn notice_gone(&self, share: &Collected, names: &[String]) {
        let here: BTreeSet<_> = names.iter().collect();
        for ((adapter, name), taken) in &mut lock(&self.shared).book {
            if *adapter == share.adapter && taken.released.is_some() && !here.contains(name) {
                taken.gone = true;
            }
        }
    }
}

fn entry(share: &Collected, name: &str) -> (String, String) {
    (share.adapter.clone(), name.to_owned())
}

/// Names on a share, without those that begin with a dot. `None` when the share is not there: an empty mount point proves
/// nothing. The adapter's own marker tells, before the listing and after it.
pub(crate) fn list_if_there(share: &Path) -> Option<Vec<String>> {
    let marker = share.join(".inprogress/share");
    if !marker.exists() {
        return None;
    }
    let mut names = Vec::new();
    for found in fs::read_dir(share).ok()? {
        if let Ok(name) = found.ok()?.file_name().into_string()
            && !name.starts_with('.')
        {
            names.push(name);
        }
    }
    marker.exists().then_some(names)
}
