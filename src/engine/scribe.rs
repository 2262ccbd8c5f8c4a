//! Writes the log of evidence out of staging into the evidence directory, and signs it.
//!
//! What is recorded stands in staging already, so nothing waits for this: a disk that is full or away is an alert, and
//! what it missed is written once it is back. One process at a time does it, by a lease.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::decide::Verdict;
use super::error::describe;
use super::lease::Tenure;
use super::watch::AlertKeeper;
use super::{EngineError, Shared};
use crate::evidence::EntryKind;
use crate::evidence::entry::{KeyBody, Preface};
use crate::evidence::key::{KeyError, PublicKey, SigningKey};
use crate::evidence::manifest::ManifestBody;
use crate::evidence::record::{Record, Signer};
use crate::model::Ticks;
use crate::staging::{Lease, LogEntry, Staging, StagingError};

/// How often it is asked whether there is something to write.
const TICK: Duration = Duration::from_secs(1);
/// Entries written before staging is told.
const ENTRIES_AT_ONCE: u32 = 256;
/// What the alerts are about.
const SUBJECT: &str = "evidence";

/// Writes evidence for one Chancery.
pub(super) struct Scribe {
    shared: Arc<Shared>,
    tenure: Tenure,
    unsigned: AlertKeeper,
    unavailable: AlertKeeper,
    /// The directory as this process has written it; unknown after any error.
    record: Option<Record>,
    /// The size of the last head, and the key that signed it.
    headed: Option<(u64, PublicKey)>,
}

/// With what the log is signed now.
#[derive(Debug)]
struct Signing {
    /// The key, if it is there and the one that the log names.
    key: Option<SigningKey>,
    /// The first entry that must have a signature.
    from: Option<u64>,
    /// Every key that the log names.
    signers: Vec<Signer>,
    /// Why nothing can be signed.
    trouble: Option<String>,
}

impl Signing {
    fn must_sign(&self, entry: u64) -> bool {
        self.from.is_some_and(|from| entry >= from)
    }
}

/// Works until told to stop. Trouble is waited out, never fatal.
pub(super) async fn run(shared: Arc<Shared>, stop: CancellationToken) -> Result<(), EngineError> {
    let mut scribe = Scribe::new(&shared);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            turned = scribe.turn() => {
                if let Err(error) = turned {
                    tracing::warn!(error = describe(&error), "writing evidence waits");
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(TICK) => {}
        }
    }
    scribe.tenure.release().await;
    Ok(())
}

/// Writes all there is, once.
pub(super) async fn once(shared: &Arc<Shared>) -> Result<(), EngineError> {
    let mut scribe = Scribe::new(shared);
    let turned = scribe.turn().await;
    scribe.tenure.release().await;
    turned
}

impl Scribe {
    fn new(shared: &Arc<Shared>) -> Self {
        let lasting = shared.config.staging.lease.get();
        Self {
            tenure: Tenure::new(Arc::clone(&shared.staging), "evidence".to_owned(), shared.lock.instance(), lasting),
            unsigned: AlertKeeper::new(shared, "evidence-unsigned", SUBJECT),
            unavailable: AlertKeeper::new(shared, "evidence-unavailable", SUBJECT),
            shared: Arc::clone(shared),
            record: None,
            headed: None,
        }
    }

    /// Writes what is recorded and not written yet. Trouble with the directory or the key is an alert and no error.
    async fn turn(&mut self) -> Result<(), EngineError> {
        let Some(lease) = self.tenure.hold().await? else {
            self.record = None;
            self.shared.headed.send_replace(None);
            return Ok(());
        };
        let signing = signing(&self.shared.staging, self.shared.config.evidence_key()).await?;
        let verdict = signing.trouble.clone().map_or(Verdict::Closed, Verdict::Open);
        self.unsigned.tell(verdict).await;
        let verdict = match self.catch_up(&lease, signing).await {
            Ok(()) => Verdict::Closed,
            Err(EngineError::Record(error)) => Verdict::Open(format!("{}; {}", describe(&error), error.cure())),
            Err(error) => {
                if let EngineError::Staging(StagingError::LeaseLost { .. }) = &error {
                    self.tenure.forget().await;
                }
                return Err(error);
            }
        };
        self.unavailable.tell(verdict).await;
        Ok(())
    }

    async fn catch_up(&mut self, lease: &Lease, signing: Signing) -> Result<(), EngineError> {
        let size = self.shared.staging.log_size().await?;
        let headed = signing.key.as_ref().map(|key| (size.entries, key.public()));
        let record = self.record.take();
        if record.as_ref().is_some_and(|record| record.size() == size.entries)
            && (headed.is_none() || headed == self.headed)
        {
            self.record = record;
            return Ok(());
        }
        let (shared, handle) = (Arc::clone(&self.shared), Handle::current());
        let held = lease.clone();
        let writing = tokio::task::spawn_blocking(move || {
            let record = match record {
                Some(record) => record,
                None => Record::open(&shared.config.evidence_dir(), size.written)?,
            };
            Writing { record, staging: &shared.staging, handle, lease: held, signing }.all()
        });
        // Renewed meanwhile: after an outage there may be much to write.
        let written = tokio::select! {
            written = writing => written.map_err(|panic| EngineError::TaskPanicked { detail: panic.to_string() })?,
            lost = self.tenure.keep(lease) => return Err(lost),
        };
        let record = written?;
        self.headed = headed.filter(|(entries, _)| *entries == record.size());
        self.shared.headed.send_replace(record.headed());
        self.record = Some(record);
        Ok(())
    }
}

/// One catching up, on a blocking thread.
struct Writing<'a> {
    record: Record,
    staging: &'a Staging,
    handle: Handle,
    lease: Lease,
    signing: Signing,
}

impl Writing<'_> {
    fn all(mut self) -> Result<Record, EngineError> {
        if !self.signing.signers.is_empty() {
            self.record.signers(&self.signing.signers)?;
        }
        loop {
            let next = self.staging.log_entries(self.record.size(), ENTRIES_AT_ONCE);
            let mut entries = self.handle.block_on(next)?;
            if self.signing.key.is_none() {
                // What follows a key is never written without a signature: a reader could not tell it from one that
                // somebody took away.
                entries.retain(|entry| !self.signing.must_sign(entry.entry));
            }
            if entries.is_empty() {
                break;
            }
            for entry in &entries {
                self.entry(entry)?;
            }
            let digests: Vec<_> = entries.iter().map(|entry| entry.sha256).collect();
            self.record.listed(&digests)?;
            self.handle.block_on(self.staging.log_written(&self.lease, self.record.size()))?;
        }
        self.head()?;
        Ok(self.record)
    }

    fn entry(&self, entry: &LogEntry) -> Result<(), EngineError> {
        if let (EntryKind::Manifest, Some(batch)) = (entry.kind, entry.batch)
            && let Ok(ManifestBody { events, .. }) = serde_json::from_slice(&entry.bytes)
            && events.count > 0
        {
            self.record.list::<EngineError>(entry.entry, (events.size, &events.sha256), |piece| {
                Ok(self.handle.block_on(self.staging.list_piece(batch, piece))?)
            })?;
        }
        let key = self.signing.key.as_ref().filter(|_| self.signing.must_sign(entry.entry));
        Ok(self.record.entry(entry.entry, &entry.bytes, key)?)
    }

    fn head(&mut self) -> Result<(), EngineError> {
        let (Some(key), Some(last)) = (&self.signing.key, self.record.size().checked_sub(1)) else { return Ok(()) };
        let newest = self.handle.block_on(self.staging.log_entries(last, 1))?;
        let Some(preface) = newest.first().and_then(|entry| serde_json::from_slice::<Preface>(&entry.bytes).ok())
        else {
            return Ok(());
        };
        self.record.head(&preface.recorded_at, key)?;
        Ok(())
    }
}

/// What is there to sign with, and what the log says should be. A key that the log does not know yet becomes its first.
async fn signing(staging: &Staging, path: PathBuf) -> Result<Signing, EngineError> {
    let mut recorded = staging.log_keys().await?;
    let loaded = SigningKey::load(&path);
    if let (Ok(key), true) = (&loaded, recorded.is_empty()) {
        record_first(staging, key).await?;
        recorded = staging.log_keys().await?;
    }
    let bodies: Vec<KeyBody> = recorded.iter().filter_map(|entry| serde_json::from_slice(&entry.bytes).ok()).collect();
    let current = bodies.last().map(|body| body.fingerprint.as_str());
    let (key, trouble) = match loaded {
        Ok(key) if current == Some(&key.public().fingerprint()) => (Some(key), None),
        Ok(key) => {
            let (here, there) = (key.public().fingerprint(), current.unwrap_or("unreadable"));
            let path = path.display();
            let trouble = format!(
                "the key {path} is {here}, and the log's newest key is {there}; copy that one back, or give `chancery evidence rotate` again"
            );
            (None, Some(trouble))
        }
        Err(error) => (None, Some(format!("{}; {}", describe(&error), error.cure()))),
    };
    let signers = recorded.iter().filter_map(signer).collect();
    Ok(Signing { key, from: recorded.first().map(|entry| entry.entry), signers, trouble })
}

fn signer(entry: &LogEntry) -> Option<Signer> {
    let body: KeyBody = serde_json::from_slice(&entry.bytes).ok()?;
    let preface: Preface = serde_json::from_slice(&entry.bytes).ok()?;
    Some(Signer { key: PublicKey::parse(&body.key)?, from: Ticks::parse(&preface.recorded_at).ok()? })
}

/// Makes a key that is there at the start the first entry of an empty log, so that every entry can be signed.
pub(super) async fn introduce(staging: &Staging, path: &Path) -> Result<(), EngineError> {
    match SigningKey::load(path) {
        Ok(key) if staging.log_size().await?.entries == 0 => record_first(staging, &key).await,
        _ => Ok(()),
    }
}

async fn record_first(staging: &Staging, key: &SigningKey) -> Result<(), EngineError> {
    let (fingerprint, draft) = KeyBody::first(&key.public()).draft().map_err(EngineError::unwritable)?;
    Ok(staging.record_key(&fingerprint, &draft, None).await?)
}

/// Refuses a key that cannot be used, or that others may read. That there is none is an alert, not a reason not to start.
pub(super) fn check_key(path: PathBuf) -> Result<(), EngineError> {
    match SigningKey::load(&path) {
        Ok(_) => Ok(()),
        Err(KeyError::Unreadable { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error.into()),
    }
}
