//! Wiring: builds the stages from the configuration, supervises them, and stops them in order.
//!
//! The stages know nothing of each other; what passes between them passes through here or through
//! staging. Every step may be cut off at any instruction, so stopping is a courtesy, not a need.

mod adapter;
mod capture;
mod collector;
mod completeness;
mod copies;
mod cutter;
mod decide;
mod documents;
mod error;
mod lease;
mod lock;
mod manifest;
mod permit;
mod purger;
mod reconcile;
mod render;
mod scribe;
mod share;
#[cfg(test)]
mod simulation;
mod source_manifest;
mod stamper;
#[cfg(test)]
mod tests;
mod told;
mod watch;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard, Notify, watch as channel};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::intake::IntakeStats;
use crate::intake::amqp::{self, AmqpMode};
use crate::intake::spool::{self, SpoolMode};
use crate::staging::{self, Staging};
use crate::vault::{Vault, VaultGate, VaultUse};
use adapter::AdapterShared;
use collector::Collector;
use error::describe;
use lock::InstanceLock;

pub use adapter::AdapterPass;
pub use error::EngineError;
pub use reconcile::{
    AdapterLine, Files, Hop, Imbalance, IntervalLine, Lines, Period, Reconciliation, RoomLine, RoomOutcome, SourceLine,
    reconcile,
};
pub use source_manifest::{BadLine, Comparison, Difference, SourceManifest, compare};

/// Waits between attempts when staging or a share is away.
const TROUBLE_RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// How soon a vault in which another process works is asked for again.
const VAULT_RETRY: Duration = Duration::from_millis(50);

/// What every task of one Chancery shares.
struct Shared {
    config: Config,
    staging: Staging,
    vault: Vault,
    /// The part of [`Shared::files_gate`] that is within this process.
    files_gate: Mutex<()>,
    /// Told when it was recorded what became of files.
    files_settled: Notify,
    /// Whether it is our own doing that files do not come in: the vault's disk is full, for one. Batches wait for them then, as they
    /// do when the share or staging fails; the grace is for what others owe us.
    files_held_up: AtomicBool,
    /// Set when a batch was purged: staging may have events to purge.
    batch_purged: AtomicBool,
    /// The size of the newest signed head, while this process is the one that writes heads.
    headed: channel::Sender<Option<u64>>,
    /// Held for as long as the process works; its name holds the leases.
    lock: InstanceLock,
}

impl Shared {
    /// Keeps capturing and sweeping files apart, in this process and among all that share the vault.
    async fn files_gate(&self, purpose: VaultUse) -> Result<FilesGate<'_>, EngineError> {
        let within = self.files_gate.lock().await;
        let mut told = false;
        loop {
            if let Some(among) = self.vault.try_gate(purpose)? {
                return Ok(FilesGate { _within: within, _among: among });
            }
            if !std::mem::replace(&mut told, true) {
                tracing::debug!("another process works in the vault");
            }
            tokio::time::sleep(VAULT_RETRY).await;
        }
    }
}

/// Held while files that were taken in are put in their places and recorded, and while unreferenced ones are swept.
struct FilesGate<'a> {
    _within: MutexGuard<'a, ()>,
    _among: VaultGate,
}

/// A Chancery that is ready to work.
pub struct Engine {
    shared: Arc<Shared>,
    stats: Arc<IntakeStats>,
    stop: CancellationToken,
}

/// What one pass of `run --once` did.
#[derive(Debug, Clone, Default)]
pub struct Pass {
    /// Events taken in.
    pub staged: u64,
    /// Events that were already there.
    pub duplicates: u64,
    /// Events kept although another content has the same key.
    pub conflicts: u64,
    /// Items newly in quarantine.
    pub quarantined: u64,
    /// What each adapter did.
    pub adapters: Vec<AdapterPass>,
}

impl Engine {
    /// Takes the instance lock, opens staging and the vault.
    ///
    /// # Errors
    /// [`EngineError::Locked`] when another process works with the same home directory; [`EngineError::Key`] when there is
    /// a key that must not be used; otherwise whatever could not be opened.
    pub async fn start(config: Config, stop: CancellationToken) -> Result<Self, EngineError> {
        scribe::check_key(config.evidence_key())?;
        let lock = InstanceLock::take(&config.state_dir())?;
        let staging = staging::open(&config).await?;
        scribe::introduce(&staging, &config.evidence_key()).await?;
        let vault = Vault::open(&config.vault_dir())?;
        let shared = Shared {
            config,
            staging,
            vault,
            files_gate: Mutex::default(),
            files_settled: Notify::new(),
            files_held_up: AtomicBool::new(false),
            batch_purged: AtomicBool::default(),
            headed: channel::Sender::default(),
            lock,
        };
        Ok(Self { shared: Arc::new(shared), stats: Arc::new(IntakeStats::default()), stop })
    }

    /// Works until told to stop; then waits at most `stop_within` for tasks to come to a safe stop.
    ///
    /// # Errors
    /// When a task ends that should not have, for instance because the queue does not exist.
    pub async fn run(self, stop_within: Duration) -> Result<(), EngineError> {
        let mut tasks: JoinSet<Result<(), EngineError>> = JoinSet::new();
        let config = &self.shared.config;
        if config.amqp.is_some() {
            let (shared, stats, stop) = (Arc::clone(&self.shared), Arc::clone(&self.stats), self.stop.clone());
            tasks.spawn(async move {
                Ok(amqp::run(&shared.config, shared.staging.clone(), stats, stop, AmqpMode::Daemon).await?)
            });
            tasks.spawn(watch::broker(Arc::clone(&self.shared), Arc::clone(&self.stats), self.stop.clone()));
        }
        if config.spool.enabled {
            let (shared, stats, stop) = (Arc::clone(&self.shared), Arc::clone(&self.stats), self.stop.clone());
            tasks.spawn(async move {
                spool::run(&shared.config, shared.staging.clone(), stats, stop, SpoolMode::Daemon).await?;
                Ok(())
            });
        }
        for adapter in &config.adapter {
            let desk = AdapterShared::new(&self.shared, adapter);
            tasks.spawn(adapter::run(Arc::clone(&desk), self.stop.clone()));
            tasks.spawn(Collector::new(Arc::clone(&desk)).run(self.stop.clone()));
            tasks.spawn(watch::share(desk, self.stop.clone()));
        }
        tasks.spawn(reconcile::run(Arc::clone(&self.shared), self.stop.clone()));
        tasks.spawn(completeness::run(Arc::clone(&self.shared), self.stop.clone()));
        tasks.spawn(capture::run(Arc::clone(&self.shared), self.stop.clone()));
        tasks.spawn(purger::run(Arc::clone(&self.shared), self.stop.clone()));
        tasks.spawn(scribe::run(Arc::clone(&self.shared), self.stop.clone()));
        tasks.spawn(stamper::run(Arc::clone(&self.shared), self.stop.clone()));
        tracing::info!(
            sources = config.source.len(),
            adapters = config.adapter.len(),
            store = ?config.staging.store,
            "running"
        );
        let outcome = self.supervise(&mut tasks).await;
        self.stop.cancel();
        let stopped = tokio::time::timeout(stop_within, async { while tasks.join_next().await.is_some() {} }).await;
        if stopped.is_err() {
            tracing::warn!("some work was cut off; the next start finishes it");
            tasks.abort_all();
        }
        let counts = self.stats.counts();
        tracing::info!(staged = counts.staged, duplicates = counts.duplicates, "stopped");
        outcome
    }

    /// Waits for the signal to stop, or for the first task that ends before it.
    async fn supervise(&self, tasks: &mut JoinSet<Result<(), EngineError>>) -> Result<(), EngineError> {
        tokio::select! {
            () = self.stop.cancelled() => Ok(()),
            ended = tasks.join_next() => match ended {
                Some(Ok(Err(error))) => Err(error),
                Some(Err(panic)) => Err(EngineError::TaskPanicked { detail: panic.to_string() }),
                Some(Ok(Ok(()))) | None if self.stop.is_cancelled() => Ok(()),
                Some(Ok(Ok(()))) | None => Err(EngineError::TaskPanicked { detail: "a task ended by itself".into() }),
            },
        }
    }

    /// Takes in all that waits in spool and queue, closes every interval now, writes, purges what
    /// is collected, and writes the evidence of it.
    ///
    /// # Errors
    /// The first thing that stood in the way; whatever could be done without it was done.
    pub async fn once(self) -> Result<Pass, EngineError> {
        let shared = &self.shared;
        let config = &shared.config;
        if config.spool.enabled {
            let stats = Arc::clone(&self.stats);
            spool::run(config, shared.staging.clone(), stats, self.stop.clone(), SpoolMode::Once).await?;
        }
        if config.amqp.is_some() {
            let stats = Arc::clone(&self.stats);
            amqp::run(config, shared.staging.clone(), stats, self.stop.clone(), AmqpMode::Drained).await?;
        }
        let mut pass = Pass::default();
        let mut trouble = None;
        let files = tokio::select! {
            () = self.stop.cancelled() => Ok(()),
            brought = capture::once(shared) => brought,
        };
        if let Err(error) = files {
            tracing::error!(error = describe(&error), "files could not be brought in");
            shared.files_held_up.store(true, Ordering::Relaxed);
            trouble = Some(error);
        }
        for adapter in &config.adapter {
            let desk = AdapterShared::new(shared, adapter);
            // A share may hang; whoever stops the pass is not kept waiting for it.
            let outcome = tokio::select! {
                () = self.stop.cancelled() => break,
                (done, outcome) = adapter::once(&desk) => {
                    pass.adapters.push(done);
                    outcome
                }
            };
            if let Err(error) = outcome {
                tracing::error!(adapter = adapter.name, error = describe(&error), "the adapter could not work");
                trouble.get_or_insert(error);
            }
            let mut collector = Collector::new(Arc::clone(&desk));
            tokio::select! {
                () = self.stop.cancelled() => break,
                looked = collector.turn() => looked?,
            }
            watch::share_alert(&desk).tell(watch::share_verdict(&desk)).await;
            desk.finish().await;
        }
        tokio::select! {
            () = self.stop.cancelled() => {}
            purged = purger::purge(shared) => purged?,
        }
        completeness::Watch::new(Arc::clone(shared)).look().await?;
        reconcile::tell(shared).await?;
        tokio::select! {
            () = self.stop.cancelled() => {}
            written = scribe::once(shared) => written?,
        }
        for adapter in config.adapter.iter().filter(|adapter| adapter.manifests_beside) {
            let desk = AdapterShared::new(shared, adapter);
            tokio::select! {
                () = self.stop.cancelled() => break,
                copied = copies::once(&desk) => if let Err(error) = copied {
                    tracing::error!(adapter = adapter.name, error = describe(&error), "manifests could not be copied");
                    trouble.get_or_insert(error);
                },
            }
            desk.finish().await;
        }
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = stamper::once(shared) => {}
        }
        let counts = self.stats.counts();
        pass.staged = counts.staged;
        pass.duplicates = counts.duplicates;
        pass.conflicts = counts.conflicts;
        pass.quarantined = counts.quarantined;
        trouble.map_or(Ok(pass), Err)
    }
}
