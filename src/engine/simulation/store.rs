//! Staging as a model in memory: what the traits promise, as far as decisions depend on it.
//!
//! Written from the traits' documentation, not from the stores; `same_as_staging` holds it to the real ones.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use crate::model::Ticks;
use crate::staging::{
    AdapterRow, BatchCounts, BatchId, BatchRow, BatchState, BatchStep, By, CopyRow, Lease, NewCut, OutputRow,
    RenderedBatch, Result, Seq, SeqRange, StagingError, Workplace,
};

/// An event, by the number of its making.
pub(super) type EventNo = u64;

/// A database in memory.
#[derive(Default)]
pub(super) struct Model {
    last_seq: Seq,
    /// Transactions that have drawn arrival numbers and not committed yet.
    writing: BTreeMap<u64, Vec<(Seq, EventNo)>>,
    events: BTreeMap<Seq, EventNo>,
    adapters: BTreeMap<String, AdapterRow>,
    batches: BTreeMap<BatchId, BatchRow>,
    outputs: BTreeMap<BatchId, Vec<OutputRow>>,
    copies: BTreeMap<BatchId, Vec<CopyRow>>,
    leases: BTreeMap<String, Held>,
    /// Told to every row that is stamped by the database's host.
    pub(super) stamp: Option<Ticks>,
    /// A defect to be found: cuts do not wait for writers.
    pub(super) cuts_past_writers: bool,
    /// A defect to be found: tokens are not looked at.
    pub(super) honours_any_token: bool,
}

struct Held {
    holder: String,
    token: i64,
    /// By the database's clock, in milliseconds.
    until: i64,
}

fn refused<T>() -> Result<T> {
    Err(StagingError::Refused { detail: "not in this state".into() })
}

impl Model {
    /// Begins a writer's transaction: its numbers are drawn, and visible to nobody.
    pub(super) fn begin(&mut self, writer: u64, events: impl IntoIterator<Item = EventNo>) {
        let drawn = self.writing.entry(writer).or_default();
        for event in events {
            self.last_seq += 1;
            drawn.push((self.last_seq, event));
        }
    }

    /// Commits it; returns what became visible.
    pub(super) fn commit(&mut self, writer: u64) -> Vec<(Seq, EventNo)> {
        let drawn = self.writing.remove(&writer).unwrap_or_default();
        self.events.extend(drawn.iter().copied());
        drawn
    }

    /// Gives it up; its numbers stay unused.
    pub(super) fn roll_back(&mut self, writer: u64) {
        self.writing.remove(&writer);
    }

    pub(super) fn lease(&mut self, name: &str, holder: &str, ttl_ms: i64, clock_ms: i64) -> Option<Lease> {
        let until = clock_ms + ttl_ms;
        let lease = |token| Some(Lease { name: name.into(), holder: holder.into(), token });
        let Some(held) = self.leases.get_mut(name) else {
            self.leases.insert(name.into(), Held { holder: holder.into(), token: 1, until });
            return lease(1);
        };
        if held.holder != holder {
            if held.until > clock_ms {
                return None;
            }
            held.holder = holder.into();
            held.token += 1;
        }
        held.until = until;
        lease(held.token)
    }

    pub(super) fn release(&mut self, lease: &Lease) {
        if self.check(lease).is_ok()
            && let Some(held) = self.leases.get_mut(&lease.name)
        {
            held.holder.clear();
            held.until = 0;
        }
    }

    fn check(&self, lease: &Lease) -> Result<()> {
        match self.leases.get(&lease.name) {
            Some(held) if held.holder == lease.holder && held.token == lease.token => Ok(()),
            _ if self.honours_any_token => Ok(()),
            _ => Err(StagingError::LeaseLost { name: lease.name.clone() }),
        }
    }

    pub(super) fn cut(&mut self, lease: &Lease, cut: &NewCut) -> Result<BatchRow> {
        if !self.writing.is_empty() && !self.cuts_past_writers {
            return Err(StagingError::Unavailable { detail: "writers are at work".into() });
        }
        self.check(lease)?;
        let before = self.adapters.get(&cut.adapter);
        let (from, start, first) = before.map_or((0, cut.interval_start, true), |row| (row.cut_seq, row.cut_at, false));
        if cut.interval_end <= start {
            return refused();
        }
        let to = self.events.last_key_value().map_or(0, |(seq, _)| *seq).max(from);
        let id = self.batches.last_key_value().map_or(0, |(id, _)| *id) + 1;
        let (adapter, cut_at) = (cut.adapter.clone(), cut.interval_end);
        self.adapters.insert(adapter.clone(), AdapterRow { adapter: adapter.clone(), cut_seq: to, cut_at });
        let batch = BatchRow {
            id,
            adapter,
            interval_start: start,
            interval_end: cut.interval_end,
            range: SeqRange { from, to },
            first,
            state: BatchState::Cut,
            attempts: 0,
            retry_at: None,
            reason: None,
            counts: BatchCounts::default(),
            cut_at: self.stamp.unwrap_or(cut.interval_end),
            published_at: None,
            collected_at: None,
            collected_how: None,
            purged_at: None,
            workplace: Workplace::default(),
            supplement_to: None,
            completes: None,
        };
        self.batches.insert(id, batch.clone());
        Ok(batch)
    }

    pub(super) fn finish_render(&mut self, lease: &Lease, rendered: &RenderedBatch) -> Result<()> {
        self.check(lease)?;
        let next = if rendered.outputs.is_empty() { BatchState::Empty } else { BatchState::Rendered };
        let Some(row) = self.batches.get_mut(&rendered.id) else { return refused() };
        if row.state == BatchState::Cut {
            row.state = next;
            row.counts = rendered.counts;
            row.workplace = rendered.workplace.clone();
            row.reason = None;
            self.outputs.insert(rendered.id, rendered.outputs.clone());
            return Ok(());
        }
        let names = |outputs: &[OutputRow]| outputs.iter().map(|output| output.name.clone()).collect::<Vec<_>>();
        let stands = self.outputs.get(&rendered.id).map_or(&[][..], Vec::as_slice);
        if row.state == next && row.counts == rendered.counts && names(stands) == names(&rendered.outputs) {
            return Ok(());
        }
        refused()
    }

    pub(super) fn advance(
        &mut self,
        by: By<'_>,
        id: BatchId,
        from: &[BatchState],
        step: &BatchStep,
    ) -> Result<BatchRow> {
        use BatchState::{Abandoned, Collected, Cut, Failed, Published, Purged, Rendered};
        if let By::Worker(lease) = by {
            self.check(lease)?;
        }
        let Some(row) = self.batches.get_mut(&id) else { return refused() };
        if !from.contains(&row.state) {
            return refused();
        }
        let was = row.state;
        let (next, sources): (_, &[BatchState]) = match step {
            BatchStep::Published { .. } => (Published, &[Rendered]),
            BatchStep::Collected { .. } => (Collected, &[Published]),
            BatchStep::Purged { .. } => (Purged, &[Collected]),
            BatchStep::Failed { .. } => (Failed, &[Cut]),
            BatchStep::Retry => (Cut, &[Failed]),
            BatchStep::Abandoned { .. } => (Abandoned, &[Failed, Published]),
        };
        if was == next {
            return Ok(row.clone());
        }
        if !sources.contains(&was) {
            return refused();
        }
        row.state = next;
        match step {
            BatchStep::Published { at } => row.published_at = Some(*at),
            BatchStep::Collected { at, how } => {
                (row.collected_at, row.collected_how) = (Some(*at), Some(how.clone()));
            }
            BatchStep::Purged { at } => row.purged_at = Some(*at),
            BatchStep::Failed { reason, retry_at, .. } => {
                row.attempts += 1;
                (row.reason, row.retry_at) = (Some(reason.clone()), Some(*retry_at));
            }
            BatchStep::Retry => row.retry_at = None,
            BatchStep::Abandoned { reason } => (row.reason, row.retry_at) = (Some(reason.clone()), None),
        }
        Ok(row.clone())
    }

    pub(super) fn mark_collected(&mut self, id: BatchId, names: &[String], at: Ticks) -> Result<()> {
        if !self.batches.contains_key(&id) {
            return refused();
        }
        let outputs = self.outputs.entry(id).or_default();
        let known: BTreeSet<_> = outputs.iter().map(|output| output.name.clone()).collect();
        if !names.iter().all(|name| known.contains(name)) {
            return refused();
        }
        for output in outputs.iter_mut().filter(|output| names.contains(&output.name)) {
            output.collected_at.get_or_insert(at);
        }
        Ok(())
    }

    pub(super) fn record_copies(&mut self, lease: &Lease, id: BatchId, copies: &[CopyRow]) -> Result<()> {
        self.check(lease)?;
        let state = self.batches.get(&id).map(|row| row.state);
        if !matches!(state, Some(BatchState::Published | BatchState::Collected)) {
            return refused();
        }
        self.copies.entry(id).or_insert_with(|| copies.to_vec());
        Ok(())
    }

    pub(super) fn mark_copied(&mut self, lease: &Lease, id: BatchId, at: Ticks) -> Result<()> {
        self.check(lease)?;
        for copy in self.copies.get_mut(&id).into_iter().flatten() {
            copy.copied_at.get_or_insert(at);
        }
        Ok(())
    }

    /// Batches of an adapter whose copies are recorded and not marked as copied, oldest first.
    pub(super) fn copying(&self, adapter: &str) -> Vec<BatchId> {
        let under_way = |id: &BatchId| self.copies(*id).iter().any(|copy| copy.copied_at.is_none());
        self.batches(adapter, &[]).iter().map(|batch| batch.id).filter(under_way).collect()
    }

    pub(super) fn copies(&self, id: BatchId) -> Vec<CopyRow> {
        self.copies.get(&id).cloned().unwrap_or_default()
    }

    /// Published and collected batches without copies, oldest first.
    pub(super) fn uncopied(&self, adapter: &str) -> Vec<BatchId> {
        let all = self.batches(adapter, &[BatchState::Published, BatchState::Collected]);
        all.iter().map(|batch| batch.id).filter(|id| !self.copies.contains_key(id)).collect()
    }

    /// Deletes what no adapter needs any more; returns what went.
    pub(super) fn purge_events(&mut self, adapters: &[String]) -> Vec<(Seq, EventNo)> {
        let cut = |name: &String| self.adapters.get(name).map_or(0, |row| row.cut_seq);
        let done = adapters.iter().map(cut).min().unwrap_or(0);
        let open = self.batches.values().filter(|batch| !batch.state.is_final()).map(|batch| batch.range.from).min();
        let limit = open.map_or(done, |open| open.min(done));
        let kept = self.events.split_off(&(limit + 1));
        std::mem::replace(&mut self.events, kept).into_iter().collect()
    }

    pub(super) fn adapters(&self) -> Vec<AdapterRow> {
        self.adapters.values().cloned().collect()
    }

    pub(super) fn position(&self, adapter: &str) -> Option<&AdapterRow> {
        self.adapters.get(adapter)
    }

    /// Of an adapter, oldest first; no states: all.
    pub(super) fn batches(&self, adapter: &str, states: &[BatchState]) -> Vec<BatchRow> {
        let wanted = |row: &&BatchRow| row.adapter == adapter && (states.is_empty() || states.contains(&row.state));
        self.batches.values().filter(wanted).cloned().collect()
    }

    pub(super) fn batch(&self, id: BatchId) -> Option<&BatchRow> {
        self.batches.get(&id)
    }

    pub(super) fn all_batches(&self) -> impl Iterator<Item = &BatchRow> {
        self.batches.values()
    }

    pub(super) fn outputs(&self, id: BatchId) -> Vec<OutputRow> {
        self.outputs.get(&id).cloned().unwrap_or_default()
    }

    pub(super) fn events(&self, range: SeqRange) -> Vec<EventNo> {
        self.events.range((Bound::Excluded(range.from), Bound::Included(range.to))).map(|(_, event)| *event).collect()
    }
}
