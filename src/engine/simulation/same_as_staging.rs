//! Holds the model to the real stores: the same random operations must get the same answers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::TryStreamExt as _;

use super::store::{EventNo, Model};
use super::world::Dice;
use crate::evidence::manifest::NewManifest;
use crate::model::Ticks;
use crate::staging::suite::{Fixture, events};
use crate::staging::{
    Arrivals, BatchCounts, BatchFilter, BatchId, BatchRow, BatchState, BatchStep, By, CopyRow, Lease, NewCut,
    OutputKind, OutputRow, RenderedBatch, Result, Staging, StagingError, Workplace,
};

const ADAPTERS: [&str; 2] = ["a", "b"];
const HOLDERS: [&str; 3] = ["one", "two", "three"];
const HOUR: Duration = Duration::from_secs(3600);

/// The two, side by side.
struct Pair {
    real: Staging,
    model: Model,
    dice: Dice,
    leases: Vec<Lease>,
    staged: usize,
    history: Vec<String>,
}

/// What matters of an answer: the row without the stamp of the database's host, or the kind of the refusal.
fn told<T>(answer: Result<T>) -> std::result::Result<T, &'static str> {
    answer.map_err(|error| match error {
        StagingError::Unavailable { .. } => "unavailable",
        StagingError::LeaseLost { .. } => "lease lost",
        StagingError::Refused { .. } => "refused",
        _ => "broken",
    })
}

fn unstamped(row: BatchRow) -> BatchRow {
    BatchRow { cut_at: row.interval_end, ..row }
}

fn at(minute: i64) -> Ticks {
    Ticks::parse("2026-11-22T10:00:00Z").unwrap().plus_ticks(minute * 600_000_000)
}

impl Pair {
    fn new(real: Staging, seed: u64) -> Self {
        Self {
            real,
            model: Model::default(),
            dice: Dice::new(seed),
            leases: Vec::new(),
            staged: 0,
            history: Vec::new(),
        }
    }

    /// Panics, with all that led to it, when the two answer differently.
    fn same<T: PartialEq + std::fmt::Debug>(&mut self, what: String, real: T, model: T) {
        assert!(real == model, "{}\n{what}\nstaging: {real:?}\nmodel:   {model:?}", self.history.join("\n"));
        self.history.push(format!("{what} -> {real:?}"));
    }

    fn some_lease(&mut self) -> Option<Lease> {
        // The newest most of the time, so that something gets done.
        let oldest = if self.dice.permille(700) { self.leases.len().saturating_sub(2) } else { 0 };
        let from = self.leases.get(oldest..)?;
        (!from.is_empty()).then(|| from[self.dice.below(from.len())].clone())
    }

    fn some_batch(&mut self) -> Option<BatchRow> {
        let all: Vec<BatchRow> = self.model.all_batches().cloned().collect();
        (!all.is_empty()).then(|| all[self.dice.below(all.len())].clone())
    }

    async fn operation(&mut self) {
        match self.dice.below(13) {
            0 | 1 => self.stage().await,
            2 => self.lease().await,
            3 => self.release().await,
            4 | 5 => self.cut().await,
            6 | 7 => self.finish_render().await,
            8..=10 => self.advance().await,
            11 => self.record_copies().await,
            _ => self.purge().await,
        }
    }

    async fn stage(&mut self) {
        let count = usize::try_from(self.dice.between(1, 4)).unwrap();
        let ids = self.staged..self.staged + count;
        self.staged += count;
        self.model.begin(0, ids.clone().map(|id| id as EventNo));
        self.model.commit(0);
        let arrivals = Arrivals { events: events("/s", ids), quarantined: Vec::new() };
        let kept = self.real.stage(&arrivals).await.unwrap();
        self.same(format!("stage {count}"), kept.kept, count as u64);
    }

    async fn lease(&mut self) {
        let name = format!("adapter:{}", ADAPTERS[self.dice.below(2)]);
        let holder = HOLDERS[self.dice.below(3)];
        // Either it outlasts the test, or it has run out at once.
        let ttl = if self.dice.permille(500) { HOUR } else { Duration::ZERO };
        let real = self.real.lease(&name, holder, ttl).await.unwrap();
        let model = self.model.lease(&name, holder, i64::try_from(ttl.as_millis()).unwrap(), 0);
        self.leases.extend(model.clone());
        self.same(format!("lease {name} for {holder} for {ttl:?}"), real, model);
    }

    async fn release(&mut self) {
        let Some(lease) = self.some_lease() else { return };
        if self.dice.permille(600) {
            return;
        }
        self.real.release(&lease).await.unwrap();
        self.model.release(&lease);
        self.same(format!("release {lease:?}"), (), ());
    }

    async fn cut(&mut self) {
        let Some(lease) = self.some_lease() else { return };
        let adapter = lease.name.trim_start_matches("adapter:").to_owned();
        let last = self.model.position(&adapter).map_or(at(0), |row| row.cut_at);
        let interval_end = last.plus_ticks(self.dice.between(-1, 4) * 600_000_000);
        let cut = NewCut { adapter, interval_start: at(-1), interval_end };
        let real = told(self.real.cut(&lease, &cut).await).map(unstamped);
        let model = told(self.model.cut(&lease, &cut)).map(unstamped);
        self.same(format!("cut {cut:?} by {lease:?}"), real, model);
    }

    async fn finish_render(&mut self) {
        let (Some(lease), Some(batch)) = (self.some_lease(), self.some_batch()) else { return };
        let outputs: Vec<OutputRow> = (0..u32::try_from(self.dice.below(3)).unwrap())
            .map(|position| OutputRow {
                position,
                name: format!("{}-{position}.xml", batch.id),
                kind: OutputKind::Output,
                size: 1,
                sha256: [1; 32],
                messages: 1,
                collected_at: None,
            })
            .collect();
        let counts = BatchCounts { files: outputs.len() as u64, ..BatchCounts::default() };
        let workplace = Workplace { share: "s".into(), directory: self.dice.below(3).to_string() };
        let rendered = RenderedBatch {
            id: batch.id,
            counts,
            outputs,
            presence: Vec::new(),
            workplace,
            set_aside: None,
            manifest: NewManifest::bare(),
        };
        let real = told(self.real.finish_render(&lease, &rendered).await.map(drop));
        let model = told(self.model.finish_render(&lease, &rendered));
        self.same(format!("render batch {} with {} files by {lease:?}", batch.id, counts.files), real, model);
    }

    async fn advance(&mut self) {
        let (Some(lease), Some(batch)) = (self.some_lease(), self.some_batch()) else { return };
        let now = at(self.dice.between(0, 100));
        if batch.state == BatchState::Published && self.dice.permille(300) {
            return self.mark_collected(&batch, now).await;
        }
        let steps = [
            BatchStep::Published { at: now },
            BatchStep::Collected { at: now, how: "told".into() },
            BatchStep::Purged { at: now },
            BatchStep::Failed {
                reason: "poison".into(),
                retry_at: now,
                presence: Vec::new(),
                conversations: Vec::new(),
            },
            BatchStep::Retry,
            BatchStep::Abandoned { reason: "enough".into() },
        ];
        let natural = match batch.state {
            BatchState::Rendered => 0,
            BatchState::Published => 1,
            BatchState::Collected => 2,
            BatchState::Cut => 3,
            BatchState::Failed => 4,
            _ => 5,
        };
        let step = &steps[if self.dice.permille(700) { natural } else { self.dice.below(steps.len()) }];
        let from = if self.dice.permille(800) { vec![batch.state] } else { vec![BatchState::Cut, BatchState::Failed] };
        let by = if self.dice.permille(500) { By::Worker(&lease) } else { By::Collector };
        let real = told(self.real.advance(by, batch.id, &from, step).await).map(unstamped);
        let model = told(self.model.advance(by, batch.id, &from, step)).map(unstamped);
        self.same(format!("batch {} from {from:?} by {by:?}: {step:?}", batch.id), real, model);
    }

    async fn mark_collected(&mut self, batch: &BatchRow, now: Ticks) {
        let mut names: Vec<String> = self.model.outputs(batch.id).into_iter().map(|output| output.name).collect();
        names.truncate(self.dice.below(3));
        if self.dice.permille(200) {
            names.push("unknown.xml".into());
        }
        let real = told(self.real.mark_collected(batch.id, &names, now).await);
        let model = told(self.model.mark_collected(batch.id, &names, now));
        self.same(format!("collected of batch {}: {names:?}", batch.id), real, model);
    }

    async fn record_copies(&mut self) {
        let (Some(lease), Some(batch)) = (self.some_lease(), self.some_batch()) else { return };
        let now = at(self.dice.between(0, 100));
        if self.dice.permille(400) {
            let real = told(self.real.mark_copied(&lease, batch.id, now).await);
            let model = told(self.model.mark_copied(&lease, batch.id, now));
            return self.same(format!("batch {} is copied at {now} by {lease:?}", batch.id), real, model);
        }
        let workplace = Workplace { share: "s".into(), directory: self.dice.below(100).to_string() };
        let copy = |number| CopyRow {
            name: format!("{}-{number}", batch.id),
            size: number,
            sha256: [2; 32],
            workplace: workplace.clone(),
            copied_at: None,
        };
        let copies: Vec<CopyRow> = (0..2).map(copy).collect();
        let real = told(self.real.record_copies(&lease, batch.id, &copies).await);
        let model = told(self.model.record_copies(&lease, batch.id, &copies));
        self.same(format!("copies of batch {} in {workplace:?} by {lease:?}", batch.id), real, model);
    }

    async fn purge(&mut self) {
        let named: Vec<String> = ADAPTERS[self.dice.below(2)..].iter().map(|name| (*name).to_owned()).collect();
        let real = self.real.purge_events(&named).await.unwrap().events;
        let model = self.model.purge_events(&named).len() as u64;
        self.same(format!("purge for {named:?}"), real, model);
    }

    /// Compares all that can be seen.
    async fn compare(&mut self) {
        let (real, model) = (self.real.adapters().await.unwrap(), self.model.adapters());
        self.same("positions".into(), real, model);
        for adapter in ADAPTERS {
            for states in [vec![], vec![BatchState::Rendered, BatchState::Published], vec![BatchState::Failed]] {
                let filter = BatchFilter { adapter: Some(adapter.into()), states: states.clone(), limit: None };
                let real: Vec<BatchRow> =
                    self.real.batches(&filter).await.unwrap().into_iter().map(unstamped).collect();
                let model = self.model.batches(adapter, &states).into_iter().map(unstamped).collect();
                self.same(format!("batches of {adapter} in {states:?}"), real, model);
            }
        }
        for adapter in ADAPTERS {
            // Those that a manifest tells of: all that were rendered here.
            let real = self.real.uncopied(adapter).await.unwrap().into_iter().map(|one| one.batch).collect::<Vec<_>>();
            let model = self.model.uncopied(adapter);
            self.same(format!("uncopied of {adapter}"), real, model);
            let (real, model) = (self.real.copying(adapter).await.unwrap(), self.model.copying(adapter));
            self.same(format!("copying of {adapter}"), real, model);
        }
        let batches: Vec<(BatchId, _)> = self.model.all_batches().map(|batch| (batch.id, batch.range)).collect();
        let mut ids: BTreeMap<BatchId, _> = BTreeMap::new();
        for (id, range) in batches {
            let (real, model) = (self.real.outputs(id).await.unwrap(), self.model.outputs(id));
            self.same(format!("files of batch {id}"), real, model);
            let (real, model) = (self.real.copies(id).await.unwrap(), self.model.copies(id));
            self.same(format!("copies of batch {id}"), real, model);
            let found: Vec<_> = self.real.events(range).try_collect().await.unwrap();
            let mut real: Vec<EventNo> = found.iter().map(|event| event.id.parse().unwrap()).collect();
            real.sort_unstable();
            ids.insert(id, (real, self.model.events(range)));
        }
        for (id, (real, model)) in ids {
            self.same(format!("events of batch {id}"), real, model);
        }
    }
}

async fn play(fixture: &Fixture, seed: u64, operations: usize, reached: &mut BTreeSet<&'static str>) {
    let mut pair = Pair::new(fixture.staging.clone(), seed);
    for done in 1..=operations {
        pair.operation().await;
        reached.extend(pair.model.all_batches().map(|batch| batch.state.as_str()));
        if done % 20 == 0 {
            pair.compare().await;
        }
    }
    pair.compare().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_model_answers_as_sqlite_does() {
    let mut reached = BTreeSet::new();
    for seed in 0..12 {
        play(&Fixture::sqlite().await, seed, 120, &mut reached).await;
    }
    assert_eq!(reached.len(), BatchState::ALL.len(), "{reached:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_model_answers_as_postgres_does() {
    let mut reached = BTreeSet::new();
    for seed in 100..105 {
        play(&Fixture::postgres().await, seed, 120, &mut reached).await;
    }
    assert!(reached.len() >= 5, "{reached:?}");
}
