//! Brings in the bytes of uploaded files, beside everything else: as soon as an event is staged it is asked for, and asked
//! for again until it comes or its time is over.
//!
//! One process does so for all that work with one staging database, by a lease. What two of them do at once, as after a
//! take-over, is done twice and recorded once. Files of different givers do not wait for each other, and nothing waits for a
//! file but the batch that speaks of it, and that one not for long.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::error::describe;
use super::lease::Tenure;
use super::{EngineError, Shared, TROUBLE_RETRY, decide};
use crate::model::{Event, Ticks};
use crate::staging::{Capture, CaptureRow, ListedFile, PendingFile, PostponedFile, Seq, StagedEvent};
use crate::support::backoff::Backoff;
use crate::vault::{self, FileSource, Fresh, Giver, Outcome, Taken, VaultError, VaultUse};

/// How often it is asked which files there are to be got.
const TICK: Duration = Duration::from_millis(250);
/// Files whose outcomes are recorded in one commit, at most.
const RECORD_MAX: usize = 256;
/// Files that are listed in one commit, at most.
const LIST_MAX: usize = 512;
/// Files of one giver that are known in memory, at most; staging knows the others.
const QUEUE_MAX: u32 = 256;
/// How long an event may take from its number to its commit: a writer that drew an earlier one may still be at it.
const OUT_OF_ORDER: Duration = Duration::from_secs(10);
/// How often all events are looked through for what was overlooked all the same.
const LOOK_THROUGH: Duration = Duration::from_secs(60);
/// How long tokens and certificates that were read are used.
const SOURCE_AGE: Duration = Duration::from_secs(1);
/// Contents put in their places at once: each waits for its own syncs, and a disk serves several in the time of one.
const KEEP_THREADS: usize = 8;
const NOT_KEPT: &str = "it was swept while it was taken in";
const PANICKED: &str = "capturing the file panicked: a defect in chancery; please report it";

/// The task that brings files in.
pub(super) struct Fetcher {
    shared: Arc<Shared>,
    /// None for a single pass, which is somebody's own.
    tenure: Option<Tenure>,
    source: Option<(Arc<FileSource>, Instant)>,
    /// How far events were looked through, and when that was.
    looked: VecDeque<(Instant, Seq)>,
    looked_through: Option<Instant>,
    asked_at: Option<Instant>,
    /// Files to be asked for, by giver.
    queues: BTreeMap<String, VecDeque<PendingFile>>,
    /// How many of each giver are being asked for.
    busy: HashMap<String, usize>,
    /// Those, and the ones that wait to be recorded.
    underway: HashSet<Seq>,
    done: Vec<Attempt>,
    results: (mpsc::UnboundedSender<Attempt>, mpsc::UnboundedReceiver<Attempt>),
    /// Until then nothing new is begun: the vault has failed.
    rests_until: Option<Instant>,
    vault_trouble: Backoff,
}

/// An attempt to get a file that has ended.
struct Attempt {
    file: PendingFile,
    /// Names the event for people; `None` when it is staged no more.
    event: Option<(Arc<str>, String)>,
    taken: Result<Taken, VaultError>,
}

impl Fetcher {
    fn new(shared: &Arc<Shared>, tenure: Option<Tenure>) -> Self {
        Self {
            shared: Arc::clone(shared),
            tenure,
            source: None,
            looked: VecDeque::new(),
            looked_through: None,
            asked_at: None,
            queues: BTreeMap::new(),
            busy: HashMap::new(),
            underway: HashSet::new(),
            done: Vec::new(),
            results: mpsc::unbounded_channel(),
            rests_until: None,
            vault_trouble: Backoff::new(TROUBLE_RETRY.0, TROUBLE_RETRY.1),
        }
    }

    async fn turn(&mut self) -> Result<(), EngineError> {
        self.take_results();
        self.record().await?;
        let held = match &self.tenure {
            Some(tenure) => tenure.hold().await?.is_some(),
            None => true,
        };
        if held && self.asked_at.is_none_or(|at| at.elapsed() >= TICK) {
            self.asked_at = Some(Instant::now());
            self.list().await?;
            self.fill(Ticks::now()).await?;
        }
        if held {
            self.begin();
        }
        Ok(())
    }

    /// Puts files of events that were staged since on the list.
    async fn list(&mut self) -> Result<(), EngineError> {
        let now = Instant::now();
        if self.looked_through.is_none_or(|at| at.elapsed() >= LOOK_THROUGH) {
            self.looked_through = Some(now);
            self.looked.clear();
        }
        while self.looked.get(1).is_some_and(|(at, _)| at.elapsed() > OUT_OF_ORDER) {
            self.looked.pop_front();
        }
        let after = self.looked.front().filter(|(at, _)| at.elapsed() > OUT_OF_ORDER).map_or(0, |(_, seq)| *seq);
        let mut last = self.looked.back().map_or(0, |(_, seq)| *seq);
        let staging = Arc::clone(&self.shared.staging);
        let mut fresh: Vec<ListedFile> = Vec::new();
        let mut events = staging.unlisted_files(after);
        while let Some(event) = events.next().await {
            let event = event?;
            last = last.max(event.seq);
            let source = self.source()?;
            fresh.push(ListedFile {
                seq: event.seq,
                giver: giver_of(&source, &event).key(),
                received: event.received,
                next_at: event.received.min(Ticks::now()),
            });
            if fresh.len() == LIST_MAX {
                staging.list_files(&std::mem::take(&mut fresh)).await?;
            }
        }
        drop(events);
        if !fresh.is_empty() {
            staging.list_files(&fresh).await?;
        }
        self.looked.push_back((now, last));
        Ok(())
    }

    /// Learns which files are to be asked for now.
    async fn fill(&mut self, now: Ticks) -> Result<(), EngineError> {
        for row in self.shared.staging.file_givers(now).await?.into_iter().filter(|row| row.due > 0) {
            if self.queues.get(&row.giver).is_some_and(|queue| !queue.is_empty()) {
                continue;
            }
            // Those that are under way are due all the same until they are recorded.
            let busy = u32::try_from(self.underway.len()).unwrap_or(u32::MAX);
            let due = self.shared.staging.due_files(&row.giver, now, QUEUE_MAX.saturating_add(busy)).await?;
            let due = due.into_iter().filter(|file| !self.underway.contains(&file.seq)).take(QUEUE_MAX as usize);
            self.queues.insert(row.giver, due.collect());
        }
        Ok(())
    }

    /// Begins as many attempts as may be under way.
    fn begin(&mut self) {
        if self.rests_until.is_some_and(|until| until > Instant::now()) {
            return;
        }
        if self.queues.is_empty() {
            return;
        }
        let Ok(source) = self.source() else { return };
        let mut hosts: usize = self.busy.iter().filter(|(key, _)| is_host(key)).map(|(_, busy)| *busy).sum();
        let mut queues = std::mem::take(&mut self.queues);
        for (key, queue) in &mut queues {
            let busy = self.busy.entry(key.clone()).or_default();
            while *busy < decide::captures_at_once(&Giver::of_key(key), hosts) {
                let Some(file) = queue.pop_front() else { break };
                if !self.underway.insert(file.seq) {
                    continue;
                }
                *busy += 1;
                hosts += usize::from(is_host(key));
                let (shared, source, results) = (Arc::clone(&self.shared), Arc::clone(&source), self.results.0.clone());
                tokio::spawn(async move {
                    // Nobody is left to hear of it when the task has ended.
                    let _ = results.send(attempt(shared, source, file).await);
                });
            }
        }
        queues.retain(|_, queue| !queue.is_empty());
        self.queues = queues;
    }

    fn source(&mut self) -> Result<Arc<FileSource>, EngineError> {
        if let Some((source, since)) = &self.source
            && since.elapsed() < SOURCE_AGE
        {
            return Ok(Arc::clone(source));
        }
        let source = Arc::new(FileSource::open(&self.shared.config.files)?);
        self.source = Some((Arc::clone(&source), Instant::now()));
        Ok(source)
    }

    fn take_results(&mut self) {
        while self.done.len() < RECORD_MAX
            && let Ok(attempt) = self.results.1.try_recv()
        {
            self.ended(attempt);
        }
    }

    fn ended(&mut self, attempt: Attempt) {
        if let Some(busy) = self.busy.get_mut(&attempt.file.giver) {
            *busy = busy.saturating_sub(1);
        }
        self.done.push(attempt);
    }

    /// Records what has ended. What cannot be recorded is kept for the next time.
    async fn record(&mut self) -> Result<(), EngineError> {
        if self.done.is_empty() {
            return Ok(());
        }
        let mut held_up = self.give_up_failed();
        let shared = Arc::clone(&self.shared);
        // From when contents are in their places until it is recorded that they are referred to, none may be swept.
        let gate = shared.files_gate(VaultUse::Capture).await?;
        let (mut fresh, mut outcomes) = (Vec::new(), HashMap::new());
        for (place, attempt) in self.done.iter_mut().enumerate() {
            if let Ok(Taken { bytes: Some(_), .. }) = &attempt.taken {
                // Nothing is recorded of it unless it is known to be in its place.
                let taken =
                    std::mem::replace(&mut attempt.taken, Err(VaultError::Source(std::io::Error::other(NOT_KEPT))));
                if let Ok(Taken { outcome, bytes: Some(bytes) }) = taken {
                    fresh.push((place, bytes));
                    outcomes.insert(place, outcome);
                }
            }
        }
        let kept = tokio::task::spawn_blocking({
            let shared = Arc::clone(&shared);
            move || keep_all(&shared, fresh)
        });
        let kept = kept.await.map_err(|panic| EngineError::TaskPanicked { detail: panic.to_string() })?;
        for (place, kept) in kept {
            match (kept, outcomes.remove(&place)) {
                // Should recording fail, its bytes are not put there again, but it is asked whether they are still there.
                (Ok(Some(there)), Some(outcome)) => self.done[place].taken = Ok(Taken { outcome, bytes: Some(there) }),
                (Err(error), _) => self.done[place].taken = Err(error),
                // Swept in between: asked for once more, as if nothing had been.
                (Ok(_), _) => {}
            }
        }
        held_up |= self.give_up_failed();
        let now = Ticks::now();
        let (mut settled, mut postponed) = (Vec::new(), Vec::new());
        for attempt in &self.done {
            match self.follows(attempt, now).await? {
                Follows::Settled(outcome) => settled.push(CaptureRow { seq: attempt.file.seq, outcome }),
                Follows::Postponed(file) => postponed.push(file),
            }
        }
        if !settled.is_empty() {
            shared.staging.record_captures(&settled).await?;
        }
        if !postponed.is_empty() {
            shared.staging.postpone_files(&postponed).await?;
        }
        drop(gate);
        if !held_up && self.done.iter().any(brought) {
            shared.files_held_up.store(false, Ordering::Relaxed);
        }
        for attempt in self.done.drain(..) {
            self.underway.remove(&attempt.file.seq);
        }
        shared.files_settled.notify_waiters();
        Ok(())
    }

    /// Leaves files for later that the vault could not take, and rests for a while. Tells whether its disk was the reason.
    fn give_up_failed(&mut self) -> bool {
        let (mut failed, mut held_up, underway) = (false, false, &mut self.underway);
        self.done.retain(|attempt| match &attempt.taken {
            Ok(_) => true,
            Err(error) => {
                failed = true;
                held_up |= matches!(error, VaultError::Disk(_));
                tracing::warn!(seq = attempt.file.seq, error = describe(error), "the vault cannot take a file");
                underway.remove(&attempt.file.seq);
                false
            }
        });
        if held_up {
            self.shared.files_held_up.store(true, Ordering::Relaxed);
        }
        if failed {
            self.rests_until = Some(Instant::now() + self.vault_trouble.after_failure());
        } else if !self.done.is_empty() {
            self.vault_trouble.reset();
        }
        held_up
    }

    /// What is to be recorded of an attempt.
    async fn follows(&self, attempt: &Attempt, now: Ticks) -> Result<Follows, EngineError> {
        let Attempt { file, event, taken } = attempt;
        let Ok(taken) = taken else { return Ok(Follows::Settled(Capture::Missing { reason: PANICKED.into() })) };
        let (source, id) = event.as_ref().map_or(("", ""), |(source, id)| (&**source, id.as_str()));
        let (reason, retry_after, meanwhile) = match &taken.outcome {
            Outcome::Settled(capture) => {
                if let Capture::Missing { reason } = capture {
                    tracing::warn!(source, event = id, reason, "a file will never come");
                }
                return Ok(Follows::Settled(capture.clone()));
            }
            Outcome::NotYet { reason, retry_after, meanwhile } => (reason, *retry_after, meanwhile),
        };
        let deadline = file.received.plus(self.shared.config.files.deadline.get());
        if let Some(next_at) = decide::next_attempt(file.attempts, retry_after, now, deadline) {
            if file.attempts == 0 {
                tracing::warn!(source, event = id, reason, "a file has not come yet");
            }
            let (seq, reason, meanwhile) = (file.seq, reason.clone(), meanwhile.clone());
            return Ok(Follows::Postponed(PostponedFile { seq, next_at, reason, meanwhile }));
        }
        if let Some(capture) = meanwhile {
            return Ok(Follows::Settled(capture.clone()));
        }
        let reason = format!("it did not come until {} (files.deadline); at last: {reason}", deadline.iso());
        // Before it is recorded: a crash between the two must not leave a missing file of which nobody is told.
        let (subject, detail) = (format!("files of {source}"), format!("event {id}: {reason}"));
        tracing::warn!(source, event = id, reason, "a file did not come in time");
        self.shared.staging.raise_alert("file-missing", &subject, &detail, now).await?;
        Ok(Follows::Settled(Capture::Missing { reason }))
    }
}

/// Whether the vault has taken something: then it is not what holds files up.
fn brought(attempt: &Attempt) -> bool {
    matches!(&attempt.taken, Ok(Taken { bytes: Some(_), .. }))
}

/// What is to be recorded of an attempt.
enum Follows {
    Settled(Capture),
    Postponed(PostponedFile),
}

/// Brings files in until told to stop. Trouble is waited out, never fatal.
pub(super) async fn run(shared: Arc<Shared>, stop: CancellationToken) -> Result<(), EngineError> {
    let tenure = Tenure::new(
        Arc::clone(&shared.staging),
        "files".to_owned(),
        shared.lock.instance(),
        shared.config.staging.lease.get(),
    );
    let mut fetcher = Fetcher::new(&shared, Some(tenure));
    let mut backoff = Backoff::new(TROUBLE_RETRY.0, TROUBLE_RETRY.1);
    loop {
        let wait = tokio::select! {
            () = stop.cancelled() => break,
            turned = fetcher.turn() => match turned {
                Ok(()) => {
                    backoff.reset();
                    TICK
                }
                Err(error) => {
                    // Staging holds up batches by itself, and what is configured wrongly is somebody else's to tell.
                    if matches!(error, EngineError::Vault(VaultError::Disk(_))) {
                        fetcher.shared.files_held_up.store(true, Ordering::Relaxed);
                    }
                    let wait = backoff.after_failure();
                    tracing::warn!(error = describe(&error), wait_ms = wait.as_millis(), "files wait");
                    wait
                }
            },
        };
        tokio::select! {
            () = stop.cancelled() => break,
            // A result is news only to one that has no trouble to wait out.
            ended = fetcher.results.1.recv(), if wait == TICK => if let Some(attempt) = ended {
                fetcher.ended(attempt);
            },
            () = tokio::time::sleep(wait) => {}
        }
    }
    if let Some(tenure) = &fetcher.tenure {
        tenure.release().await;
    }
    Ok(())
}

/// Asks once for every file that is to be asked for now.
pub(super) async fn once(shared: &Arc<Shared>) -> Result<(), EngineError> {
    let mut fetcher = Fetcher::new(shared, None);
    fetcher.list().await?;
    // What was asked for in vain is due again later than this.
    let now = Ticks::now();
    loop {
        if fetcher.queues.is_empty() {
            fetcher.fill(now).await?;
        }
        fetcher.begin();
        if fetcher.underway.is_empty() {
            return Ok(());
        }
        if let Some(attempt) = fetcher.results.1.recv().await {
            fetcher.ended(attempt);
        }
        fetcher.take_results();
        if let Some(Err(_)) = fetcher.done.iter().map(|attempt| &attempt.taken).find(|taken| taken.is_err()) {
            let failed = fetcher.done.into_iter().find_map(|attempt| attempt.taken.err());
            return failed.map_or(Ok(()), |error| Err(error.into()));
        }
        fetcher.record().await?;
    }
}

/// One attempt at one file.
async fn attempt(shared: Arc<Shared>, source: Arc<FileSource>, file: PendingFile) -> Attempt {
    let staged = match shared.staging.event(file.seq).await {
        Ok(staged) => staged,
        // Recording will meet the same, and is what waits for staging.
        Err(error) => {
            let reason = error.to_string();
            return Attempt { file, event: None, taken: Ok(not_yet(reason)) };
        }
    };
    let Some(staged) = staged else {
        let gone = Outcome::Settled(Capture::Missing { reason: "the event is staged no more".into() });
        return Attempt { file, event: None, taken: Ok(Taken { outcome: gone, bytes: None }) };
    };
    let event = Some((Arc::clone(&staged.source), staged.id.clone()));
    let taken = tokio::task::spawn_blocking(move || match Event::read(&staged.raw) {
        Ok(event) => vault::capture(&shared.vault, &source, event.data.file.as_ref()),
        Err(error) => {
            let reason = format!("the staged event is damaged: {error}");
            Ok(Taken { outcome: Outcome::Settled(Capture::Missing { reason }), bytes: None })
        }
    });
    // The panic's own message may quote content.
    let taken = taken.await.unwrap_or_else(|_| Ok(not_yet(PANICKED.to_owned())));
    Attempt { file, event, taken }
}

fn not_yet(reason: String) -> Taken {
    Taken { outcome: Outcome::NotYet { reason, retry_after: None, meanwhile: None }, bytes: None }
}

fn giver_of(source: &FileSource, event: &StagedEvent) -> Giver {
    // What is damaged is told when it is tried.
    Event::read(&event.raw).map_or(Giver::Event, |event| source.giver(event.data.file.as_ref()))
}

fn is_host(key: &str) -> bool {
    matches!(Giver::of_key(key), Giver::Host(_))
}

/// Puts contents in their places. `None`: it is not there any more.
fn keep_all(shared: &Shared, fresh: Vec<(usize, Fresh)>) -> Vec<(usize, Result<Option<Fresh>, VaultError>)> {
    let share = fresh.len().div_ceil(KEEP_THREADS).max(1);
    let mut fresh = fresh.into_iter();
    let parts: Vec<Vec<_>> = std::iter::from_fn(|| {
        let part: Vec<_> = fresh.by_ref().take(share).collect();
        (!part.is_empty()).then_some(part)
    })
    .collect();
    let keep = |bytes: Fresh| {
        let there = Fresh::there(bytes.digest, bytes.size);
        Ok(shared.vault.keep(bytes)?.then_some(there))
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = parts
            .into_iter()
            .map(|part| {
                scope.spawn(move || part.into_iter().map(|(place, bytes)| (place, keep(bytes))).collect::<Vec<_>>())
            })
            .collect();
        // A thread that panicked has kept nothing that is told of; those files are asked for again.
        threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect()
    })
}
