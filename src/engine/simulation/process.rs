//! The tasks of one process, step by step as the real ones go, asking the real decisions.
//!
//! Between two steps the process may die, stop for minutes, or find that another has taken its place.

use std::collections::{BTreeMap, HashSet};

use super::world::{Handle, World};
use super::{Plan, Sabotage, Scheduler};
use crate::config::CollectedWhen;
use crate::engine::decide::{self, After, Job, Line, Pace, Work};
use crate::engine::error::EngineError;
use crate::evidence::copy_name;
use crate::evidence::manifest::NewManifest;
use crate::model::Ticks;
use crate::pickup::{BatchNames, Marker, OutputPlace, PickupError, Seen, Sighting};
use crate::staging::{
    BatchCounts, BatchId, BatchRow, BatchState, BatchStep, By, CopyRow, Lease, NewCut, OutputKind, OutputRow,
    RenderedBatch, StagingError, Workplace,
};
use crate::support::backoff::Backoff;

use super::share::{Mood, ShareId, SimShare};

const LEASE_MS: i64 = 60_000;
const RENEWAL_MS: i64 = 20_000;
const COLLECTOR_TICK_MS: i64 = 1_000;

type Done<T> = Result<T, EngineError>;

/// Spawns the tasks of a process.
pub(super) fn start(scheduler: &mut Scheduler, process: usize) {
    let adapters = {
        let mut world = scheduler.world.borrow_mut();
        world.processes[process].held.clear();
        world.processes[process].opened.clear();
        world.processes[process].opening.clear();
        world.adapters.len()
    };
    for adapter in 0..adapters {
        scheduler.spawn(Some(process), |handle| cutter(handle, adapter));
        scheduler.spawn(Some(process), |handle| async move {
            Writer { handle, adapter, resting: BTreeMap::new() }.run().await;
        });
        scheduler.spawn(Some(process), |handle| collector(handle, adapter));
    }
    scheduler.spawn(Some(process), purger);
}

impl Handle {
    /// One transaction. The database may be away, and now and then its answer is lost after the fact.
    async fn store<T>(&self, f: impl FnOnce(&mut World) -> Result<T, StagingError>) -> Done<T> {
        self.give_way().await;
        let away = |detail: &str| Err(EngineError::Staging(StagingError::Unavailable { detail: detail.into() }));
        self.with(|world| {
            if !world.store_up {
                return away("down");
            }
            let done = f(world)?;
            if world.plan.answers_get_lost && !world.settling && world.dice.permille(5) {
                world.note(|| "an answer of the database is lost".into());
                return away("the answer was lost");
            }
            Ok(done)
        })
    }

    /// One operation on the share. It may hang, but it is not called off.
    async fn share<T>(&self, adapter: usize, f: impl FnOnce(&mut World) -> Result<T, PickupError>) -> Done<T> {
        self.give_way().await;
        while self.with(|world| world.adapters[adapter].share.mood == Mood::Hanging) {
            self.sleep(1_000).await;
        }
        Ok(self.with(f)?)
    }

    fn clock(&self) -> Ticks {
        self.with(|world| world.clock(self.process))
    }

    fn name(&self, adapter: usize) -> String {
        self.with(|world| world.adapters[adapter].config.name.clone())
    }

    /// Sleeps for as long as decided, and a little longer on a busy machine. When all is quiet in the end, much
    /// longer: then every task has nothing to do most of the time.
    async fn rest(&self, decided: std::time::Duration) {
        let decided = i64::try_from(decided.as_millis()).unwrap_or(i64::MAX / 200);
        let stretch = self.with(|world| match (world.plan.exact, world.settling) {
            (true, _) => 10,
            (false, false) => world.dice.between(10, 200),
            (false, true) => world.dice.between(100, 900),
        });
        self.sleep(decided.max(1) * stretch / 10).await;
    }

    /// As `Tenure::hold`.
    async fn hold(&self, adapter: usize) -> Done<Option<Lease>> {
        let fresh = self.with(|world| {
            let held = world.processes[self.process].held.get(&adapter);
            held.filter(|(_, renewed)| world.now - renewed < RENEWAL_MS).map(|(lease, _)| lease.clone())
        });
        if fresh.is_some() {
            return Ok(fresh);
        }
        let (name, holder) = (format!("adapter:{}", self.name(adapter)), format!("home {}", self.process));
        let lease = self
            .store(|world| {
                let clock = world.store_clock();
                Ok(world.store.lease(&name, &holder, LEASE_MS, clock))
            })
            .await?;
        self.with(|world| {
            let now = world.now;
            let held = &mut world.processes[self.process].held;
            match &lease {
                Some(lease) => held.insert(adapter, (lease.clone(), now)),
                None => held.remove(&adapter),
            };
        });
        Ok(lease)
    }

    /// As `AdapterShared::share`: opens the share and clears what was being written under earlier tokens, once for all tasks of the
    /// process.
    async fn open(&self, adapter: usize, lease: &Lease) -> Done<ShareId> {
        while self.with(|world| !world.processes[self.process].opening.insert(adapter)) {
            self.sleep(100).await;
        }
        let opened = self.open_alone(adapter, lease).await;
        self.with(|world| world.processes[self.process].opening.remove(&adapter));
        opened
    }

    async fn open_alone(&self, adapter: usize, lease: &Lease) -> Done<ShareId> {
        let opened = self.with(|world| world.processes[self.process].opened.get(&adapter).copied());
        if let Some((token, share)) = opened
            && token == lease.token
        {
            return Ok(share);
        }
        let name = self.name(adapter);
        let forgetful = self.with(|world| world.plan.sabotage == Some(Sabotage::ForgetMarker));
        let of = async |states: &[BatchState]| self.store(|world| Ok(world.store.batches(&name, states))).await;
        let on_share = if forgetful { Vec::new() } else { of(&decide::ON_SHARE).await? };
        let marker = decide::marker(!on_share.is_empty());
        let share = self.share(adapter, |world| world.adapters[adapter].share.open(marker, forgetful)).await?;
        let rendered = of(&[BatchState::Rendered]).await?;
        let copies = |world: &mut World| {
            let copying = world.store.copying(&name);
            Ok(copying.into_iter().flat_map(|id| world.store.copies(id)).collect::<Vec<_>>())
        };
        let copying = self.store(copies).await?;
        let clear = |world: &mut World| {
            let this = &mut world.adapters[adapter];
            let copying = copying.iter().filter_map(|copy| copy.workplace.directory.parse().ok());
            let kept: HashSet<i64> = rendered.iter().filter_map(place).chain(copying).collect();
            let own = world.plan.place(lease.token);
            this.share.temporaries(share)?.retain(|(place, _), _| kept.contains(place) || *place > own);
            Ok(())
        };
        self.share(adapter, clear).await?;
        self.with(|world| world.processes[self.process].opened.insert(adapter, (lease.token, share)));
        Ok(share)
    }

    fn forget_if_lost(&self, adapter: usize, error: &EngineError) {
        if decide::after(error) == After::LeaseGone {
            self.with(|world| world.processes[self.process].held.remove(&adapter));
        }
    }
}

/// Waits as the real tasks do, without their jitter.
fn trouble(failures: &mut u32, failed: bool) -> Option<std::time::Duration> {
    *failures = if failed { *failures + 1 } else { 0 };
    failed.then(|| Backoff::new(crate::engine::TROUBLE_RETRY.0, crate::engine::TROUBLE_RETRY.1).step(*failures - 1))
}

async fn cutter(handle: Handle, adapter: usize) {
    let (mut last_end, mut failures) = (None, 0);
    let interval = handle.with(|world| world.adapters[adapter].config.interval);
    loop {
        let turned = cut(&handle, adapter, &mut last_end).await;
        if let Err(error) = &turned {
            handle.forget_if_lost(adapter, error);
        }
        let wait = trouble(&mut failures, turned.is_err());
        handle.rest(decide::cutter_sleep(last_end, interval, wait, handle.clock())).await;
    }
}

async fn cut(handle: &Handle, adapter: usize, last_end: &mut Option<Ticks>) -> Done<()> {
    let Some(lease) = handle.hold(adapter).await? else { return Ok(()) };
    let name = handle.name(adapter);
    let position = handle.store(|world| Ok(world.store.position(&name).cloned())).await?;
    *last_end = position.map(|row| row.cut_at);
    let (now, interval) = (handle.clock(), handle.with(|world| world.adapters[adapter].config.interval));
    if let Some(window) = decide::cut(*last_end, interval, Pace::WhenDue, now) {
        let new = NewCut { adapter: name.clone(), interval_start: window.start, interval_end: window.end };
        let batch = handle
            .store(|world| {
                let before = world.store.position(&name).map(|row| (row.cut_seq, row.cut_at));
                let batch = world.store.cut(&lease, &new)?;
                world.note(|| {
                    format!("process {} cuts batch {} of {name}: {:?}", handle.process, batch.id, batch.range)
                });
                world.cut(&batch, before, now);
                Ok(batch)
            })
            .await?;
        *last_end = Some(batch.interval_end);
    }
    Ok(())
}

struct Writer {
    handle: Handle,
    adapter: usize,
    resting: BTreeMap<BatchId, i64>,
}

impl Writer {
    async fn run(mut self) {
        let mut failures = 0;
        loop {
            let turned = self.turn().await;
            if let Err(error) = &turned {
                self.handle.forget_if_lost(self.adapter, error);
            }
            let wait = trouble(&mut failures, turned.is_err());
            self.handle.rest(decide::writer_sleep(wait, None)).await;
        }
    }

    async fn batches(&self, states: &[BatchState]) -> Done<Vec<BatchRow>> {
        let name = self.handle.name(self.adapter);
        self.handle.store(|world| Ok(world.store.batches(&name, states))).await
    }

    async fn turn(&mut self) -> Done<()> {
        let Some(lease) = self.handle.hold(self.adapter).await? else { return Ok(()) };
        let waiting = self.batches(&[BatchState::Cut, BatchState::Rendered, BatchState::Failed]).await?;
        let now = self.handle.with(|world| world.now);
        let rest = i64::try_from(decide::rest().as_millis()).unwrap_or(i64::MAX);
        self.resting.retain(|_, since| now - *since < rest);
        for job in decide::jobs(
            waiting,
            (Line::Batches, Pace::WhenDue, self.handle.clock()),
            |id| self.resting.contains_key(&id),
            |_| false,
        ) {
            let id = job.batch.id;
            match self.process(job, &lease).await {
                Err(error) if decide::after(&error) == After::NextBatch => {
                    self.resting.insert(id, now);
                }
                other => other?,
            }
        }
        Ok(())
    }

    async fn process(&mut self, job: Job, lease: &Lease) -> Done<()> {
        let Job { batch, work } = job;
        let (id, by) = (batch.id, By::Worker(lease));
        match work {
            Work::Close => self.record(id, Vec::new(), lease, "").await,
            Work::Publish => self.publish(&batch, lease).await,
            Work::Render => self.render_and_publish(batch, lease).await,
            Work::RenderAgain => {
                let again = self
                    .handle
                    .store(|world| world.store.advance(by, id, &[BatchState::Failed], &BatchStep::Retry))
                    .await?;
                self.render_and_publish(again, lease).await
            }
        }
    }

    async fn render_and_publish(&mut self, batch: BatchRow, lease: &Lease) -> Done<()> {
        let share = self.handle.open(self.adapter, lease).await?;
        let (adapter, id) = (self.adapter, batch.id);
        let events = self
            .handle
            .store(|world| {
                let (events, expected) = (world.store.events(batch.range), world.holds(&batch));
                let state = world.store.batch(id).map(|batch| batch.state);
                // One that was overtaken reads what it likes: its token is worth nothing any more.
                if state == Some(BatchState::Cut) && events != expected {
                    world.violated(format!("batch {id} is being rendered from {events:?}, not {expected:?}"));
                }
                Ok(events)
            })
            .await?;
        let poisoned = self.handle.with(|world| events.iter().any(|event| world.poison.contains(event)));
        if poisoned {
            let retry_at = decide::retry_at(batch.attempts, self.handle.clock());
            let failed = BatchStep::Failed {
                reason: "poison".into(),
                retry_at,
                presence: Vec::new(),
                conversations: Vec::new(),
            };
            let step = |world: &mut World| world.store.advance(By::Worker(lease), id, &[BatchState::Cut], &failed);
            return self.handle.store(step).await.map(|_| ());
        }
        let names = BatchNames::new(&batch.adapter, batch.interval_end, id);
        let mut outputs: Vec<OutputRow> = (0..id % 3)
            .map(|attachment| {
                row(names.attachment(&[u8::try_from(attachment).unwrap_or(0); 32], None), OutputKind::Attachment)
            })
            .collect();
        outputs.push(row(names.output(OutputPlace::default(), "xml", false), OutputKind::Output));
        for output in &outputs {
            let content = if output.kind == OutputKind::Output { events.clone() } else { Vec::new() };
            let key = |plan: &Plan| (plan.place(lease.token), output.name.clone());
            let begin = |world: &mut World| {
                let key = key(&world.plan);
                world.adapters[adapter].share.temporaries(share)?.insert(key, (Vec::new(), false));
                Ok(())
            };
            self.handle.share(adapter, begin).await?;
            let complete = |world: &mut World| {
                let key = key(&world.plan);
                world.adapters[adapter].share.temporaries(share)?.insert(key, (content, true));
                Ok(())
            };
            self.handle.share(adapter, complete).await?;
        }
        self.record(id, outputs, lease, share).await?;
        self.publish(&batch, lease).await
    }

    /// Records a rendering, and with it where its files are.
    async fn record(&self, id: BatchId, outputs: Vec<OutputRow>, lease: &Lease, share: ShareId) -> Done<()> {
        let counts = BatchCounts { files: outputs.len() as u64, ..BatchCounts::default() };
        let directory = self.handle.with(|world| world.plan.place(lease.token)).to_string();
        let workplace = Workplace { share: share.to_owned(), directory };
        let rendered = RenderedBatch {
            id,
            counts,
            outputs,
            presence: Vec::new(),
            workplace,
            set_aside: None,
            manifest: NewManifest::bare(),
        };
        self.handle
            .store(|world| {
                let before = world.store.batch(id).map(|batch| batch.state);
                world.store.finish_render(lease, &rendered)?;
                if before == Some(BatchState::Cut) {
                    world.note(|| format!("process {} has rendered batch {id}", self.handle.process));
                }
                Ok(())
            })
            .await
    }

    async fn publish(&mut self, batch: &BatchRow, lease: &Lease) -> Done<()> {
        let share = self.handle.open(self.adapter, lease).await?;
        let (adapter, id) = (self.adapter, batch.id);
        // As recorded, not as rendered here: another process may have been faster.
        let (outputs, recorded) =
            self.handle.store(|world| Ok((world.store.outputs(id), world.store.batch(id).cloned()))).await?;
        let recorded = recorded.unwrap_or_else(|| batch.clone());
        self.handle
            .share(adapter, |world| {
                world.adapters[adapter].share.check(share)?;
                world.adapters[adapter].share.check(&recorded.workplace.share)
            })
            .await?;
        let from = (share, place(&recorded).unwrap_or(0));
        for output in &outputs {
            self.handle.share(adapter, |world| publish_one(world, adapter, id, from, output)).await?;
        }
        let published = BatchStep::Published { at: self.handle.clock() };
        self.handle
            .store(|world| {
                world.store.advance(By::Worker(lease), id, &[BatchState::Rendered], &published)?;
                world.note(|| format!("process {} has published batch {id}", self.handle.process));
                Ok(())
            })
            .await
    }
}

/// Where the recorded rendering of a batch has its temporary files.
fn place(batch: &BatchRow) -> Option<i64> {
    batch.workplace.directory.parse().ok()
}

fn row(name: String, kind: OutputKind) -> OutputRow {
    OutputRow { position: 0, name, kind, size: 1, sha256: [0; 32], messages: 0, collected_at: None }
}

/// As `Share::publish` does with each file: what is under neither name was taken by the archive.
fn publish_one(
    world: &mut World,
    adapter: usize,
    id: BatchId,
    (opened, place): (ShareId, i64),
    output: &OutputRow,
) -> Result<(), PickupError> {
    let share: &mut SimShare = &mut world.adapters[adapter].share;
    let dir = share.writable()?;
    let Some((events, complete)) = dir.temporaries.remove(&(place, output.name.clone())) else {
        return share.check(opened);
    };
    if dir.files.contains_key(&output.name) {
        return Err(PickupError::NameTaken { name: output.name.clone() });
    }
    dir.files.insert(output.name.clone(), events.clone());
    if share.mood == Mood::Away {
        world.violated(format!("{} was published below the mount point", output.name));
    }
    world.appears(adapter, &output.name, id, &events, complete);
    Ok(())
}

async fn collector(handle: Handle, adapter: usize) {
    loop {
        // Trouble is waited out until the next look.
        if look(&handle, adapter).await.is_ok() {
            let _ = purge(&handle, adapter).await;
        }
        handle.rest(std::time::Duration::from_millis(COLLECTOR_TICK_MS.unsigned_abs())).await;
    }
}

async fn look(handle: &Handle, adapter: usize) -> Done<()> {
    let name = handle.name(adapter);
    let batches = handle.store(|world| Ok(world.store.batches(&name, &[BatchState::Published]))).await?;
    let config = handle.with(|world| world.adapters[adapter].config.clone());
    if batches.is_empty() || config.collected_when == CollectedWhen::Told {
        return Ok(());
    }
    // The marker, the listing, the marker again: in between the share may go away and come back.
    let checked = handle.with(|world| world.plan.sabotage != Some(Sabotage::TrustEmptyDirectory));
    let opened = handle.share(adapter, |world| world.adapters[adapter].share.open(Marker::Require, false)).await;
    let share = if checked { opened? } else { "" };
    let check = |world: &mut World| if checked { world.adapters[adapter].share.check(share) } else { Ok(()) };
    let listing = |world: &mut World| {
        // The temporary directory is in the listing, or it is none of the share.
        check(world)?;
        let dir = world.adapters[adapter].share.dir();
        let acknowledged = dir.acknowledged.iter().map(|name| format!("{name}.ack"));
        Ok(dir.files.keys().cloned().chain(acknowledged).collect::<Vec<String>>())
    };
    let names = handle.share(adapter, listing).await?;
    handle.share(adapter, check).await?;
    let (sighting, now) = (Sighting::from_iter(names), handle.clock());
    for batch in batches {
        let id = batch.id;
        if checked && batch.workplace.share != share {
            return handle.share(adapter, |world| world.adapters[adapter].share.check(&batch.workplace.share)).await;
        }
        let outputs = handle.store(|world| Ok(world.store.outputs(id))).await?;
        match decide::collection(&sighting, &config, &batch, &outputs, now) {
            Seen::Waiting { taken } => {
                handle.store(|world| world.store.mark_collected(id, &taken, now)).await?;
            }
            Seen::Collected(how) => {
                let step = BatchStep::Collected { at: now, how: how.into() };
                let moved = handle
                    .store(|world| {
                        let row = world.store.advance(By::Collector, id, &[BatchState::Published], &step)?;
                        world.note(|| format!("process {} notes batch {id} as collected", handle.process));
                        world.collects(adapter, id);
                        Ok(row)
                    })
                    .await;
                match moved {
                    Ok(_) | Err(EngineError::Staging(StagingError::Refused { .. })) => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }
    Ok(())
}

/// As `Copier::turn`: what still has no copy of its manifest.
async fn copy(handle: &Handle, adapter: usize) -> Done<HashSet<BatchId>> {
    let (name, beside) = handle
        .with(|world| (world.adapters[adapter].config.name.clone(), world.adapters[adapter].config.manifests_beside));
    if !beside {
        return Ok(HashSet::new());
    }
    let uncopied = handle.store(|world| Ok(world.store.uncopied(&name))).await?;
    let copying = handle.store(|world| Ok(world.store.copying(&name))).await?;
    let mut missing: HashSet<BatchId> = uncopied.iter().chain(&copying).copied().collect();
    let Some(lease) = handle.hold(adapter).await? else { return Ok(missing) };
    for id in copying {
        publish_copy(handle, adapter, id, &lease).await?;
        missing.remove(&id);
    }
    for id in uncopied {
        let Some(batch) = handle.store(|world| Ok(world.store.batch(id).cloned())).await? else { continue };
        let share = handle.open(adapter, &lease).await?;
        let (copy, place) =
            (copy_name(&batch.adapter, batch.interval_end, id), handle.with(|world| world.plan.place(lease.token)));
        handle.share(adapter, |world| world.adapters[adapter].share.check(&batch.workplace.share)).await?;
        for complete in [false, true] {
            let write = |world: &mut World| {
                let temporaries = world.adapters[adapter].share.temporaries(share)?;
                temporaries.insert((place, copy.clone()), (Vec::new(), complete));
                Ok(())
            };
            handle.share(adapter, write).await?;
        }
        let workplace = Workplace { share: share.to_owned(), directory: place.to_string() };
        let rows = [CopyRow { name: copy, size: 1, sha256: [0; 32], workplace, copied_at: None }];
        let unrecorded = handle.with(|world| world.plan.sabotage == Some(Sabotage::CopyUnrecorded));
        if unrecorded {
            rename_copies(handle, adapter, id, &rows).await?;
        }
        match handle.store(|world| world.store.record_copies(&lease, id, &rows)).await {
            Ok(()) => publish_copy(handle, adapter, id, &lease).await?,
            Err(EngineError::Staging(StagingError::Refused { .. })) => {}
            Err(error) => return Err(error),
        }
        missing.remove(&id);
    }
    Ok(missing)
}

async fn publish_copy(handle: &Handle, adapter: usize, id: BatchId, lease: &Lease) -> Done<()> {
    handle.open(adapter, lease).await?;
    let copies = handle.store(|world| Ok(world.store.copies(id))).await?;
    rename_copies(handle, adapter, id, &copies).await?;
    let now = handle.clock();
    handle.store(|world| world.store.mark_copied(lease, id, now)).await
}

/// As `Share::publish_beside`: what is under neither name was taken.
async fn rename_copies(handle: &Handle, adapter: usize, id: BatchId, copies: &[CopyRow]) -> Done<()> {
    for copy in copies {
        let place: i64 = copy.workplace.directory.parse().unwrap_or(0);
        let rename = |world: &mut World| {
            let share = &mut world.adapters[adapter].share;
            share.check(&copy.workplace.share)?;
            let dir = share.writable()?;
            let Some((_, complete)) = dir.temporaries.remove(&(place, copy.name.clone())) else { return Ok(()) };
            if dir.files.insert(copy.name.clone(), Vec::new()).is_some() {
                return Err(PickupError::NameTaken { name: copy.name.clone() });
            }
            world.copy_appears(adapter, &copy.name, id, complete);
            Ok(())
        };
        handle.share(adapter, rename).await?;
    }
    Ok(())
}

async fn purge(handle: &Handle, adapter: usize) -> Done<()> {
    let (name, keep) = handle.with(|world| {
        (world.adapters[adapter].config.name.clone(), world.adapters[adapter].config.keep_after_collection)
    });
    let now = handle.clock();
    let collected = handle.store(|world| Ok(world.store.batches(&name, &[BatchState::Collected]))).await?;
    let uncopied = copy(handle, adapter).await?;
    for batch in collected {
        let id = batch.id;
        if !decide::purge_is_due(&batch, keep, now) || uncopied.contains(&id) {
            continue;
        }
        let copies = handle.store(|world| Ok(world.store.copies(id))).await?;
        if !decide::copies_are_due(&copies, keep, now) {
            continue;
        }
        let outputs = handle.store(|world| Ok(world.store.outputs(id))).await?;
        let names = outputs.into_iter().map(|output| output.name).chain(copies.into_iter().map(|copy| copy.name));
        handle.share(adapter, |world| world.adapters[adapter].share.check(&batch.workplace.share)).await?;
        for name in names {
            let delete = |world: &mut World| {
                let dir = world.adapters[adapter].share.writable()?;
                dir.acknowledged.remove(&name);
                if dir.files.remove(&name).is_some() {
                    world.deletes(adapter, id, &name);
                }
                Ok(())
            };
            handle.share(adapter, delete).await?;
        }
        handle.share(adapter, |world| world.adapters[adapter].share.check(&batch.workplace.share)).await?;
        let step = BatchStep::Purged { at: now };
        handle.store(|world| world.store.advance(By::Collector, id, &[BatchState::Collected], &step)).await?;
    }
    Ok(())
}

async fn purger(handle: Handle) {
    let mut last: Option<i64> = None;
    loop {
        let now = handle.with(|world| world.now);
        let since = last.map(|at| std::time::Duration::from_millis((now - at).unsigned_abs()));
        let batch_purged = handle.with(|world| world.dice.permille(300));
        if decide::staging_purge_is_due(batch_purged, since) {
            last = Some(now);
            let _ = handle
                .store(|world| {
                    let skip = usize::from(world.plan.sabotage == Some(Sabotage::PurgeForTheFirstAlone));
                    let named: Vec<String> =
                        world.adapters.iter().rev().skip(skip).map(|adapter| adapter.config.name.clone()).collect();
                    let gone = world.store.purge_events(&named);
                    world.purged(&gone);
                    Ok(())
                })
                .await;
        }
        handle.rest(std::time::Duration::from_secs(1)).await;
    }
}
