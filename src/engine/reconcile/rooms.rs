//! Balances each room: what arrived in it, what lies in staging, and what each adapter made of that.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::{Hop, Imbalance, unaccounted};
use crate::config::Config;
use crate::engine::EngineError;
use crate::staging::{BatchFilter, BatchId, BatchRow, BatchState, Seq, SeqRange, Staging};

/// arrived = present + purged; present = written + waiting + abandoned, for each adapter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RoomLine {
    /// URI.
    pub room: String,
    /// Events kept since the beginning, as counted on arrival.
    pub arrived: u64,
    /// Events that lie in staging.
    pub present: u64,
    /// Events purged.
    pub purged: u64,
    /// What became of those that lie in staging, by adapter.
    pub adapters: Vec<RoomOutcome>,
}

/// What an adapter made of the events of a room that lie in staging.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RoomOutcome {
    /// The adapter.
    pub adapter: String,
    /// Events in batches that are written.
    pub written: u64,
    /// Events that wait to be written: in batches that are not written yet, or in none.
    pub waiting: u64,
    /// Events that a person gave up.
    pub abandoned: u64,
}

/// What happened, or is to happen, to a piece of an adapter's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Written,
    Waiting,
    Abandoned,
    /// Between two batches: in none of them.
    Skipped,
}

impl Outcome {
    fn of(state: BatchState) -> Self {
        match state {
            BatchState::Cut | BatchState::Failed | BatchState::Rendered => Self::Waiting,
            BatchState::Abandoned => Self::Abandoned,
            BatchState::Published | BatchState::Collected | BatchState::Purged | BatchState::Empty => Self::Written,
        }
    }
}

impl RoomOutcome {
    fn add(&mut self, outcome: Outcome, events: u64) {
        match outcome {
            Outcome::Written => self.written += events,
            Outcome::Waiting => self.waiting += events,
            Outcome::Abandoned => self.abandoned += events,
            Outcome::Skipped => {}
        }
    }
}

/// A line for each room, and what does not balance. What comes in between the looks at two adapters counts for the later one.
pub(super) async fn rooms(
    staging: &Staging,
    config: &Config,
    imbalances: &mut Vec<Imbalance>,
) -> Result<Vec<RoomLine>, EngineError> {
    let mut lines = Vec::new();
    for row in staging.room_balance().await? {
        if let Some(detail) = unaccounted(row.arrived, row.present, row.purged) {
            imbalances.push(Imbalance { hop: Hop::Staging, subject: format!("room {}", row.room), detail });
        }
        let adapters = config.adapter.iter();
        let outcome = |name: &String| RoomOutcome { adapter: name.clone(), ..RoomOutcome::default() };
        lines.push(RoomLine {
            room: row.room,
            arrived: row.arrived,
            present: row.present,
            purged: row.purged,
            adapters: adapters.map(|adapter| outcome(&adapter.name)).collect(),
        });
    }
    let places: BTreeMap<String, usize> = lines.iter().map(|line| line.room.clone()).zip(0..).collect();
    for (column, adapter) in config.adapter.iter().enumerate() {
        let filter = BatchFilter { adapter: Some(adapter.name.clone()), states: Vec::new(), limit: None };
        let batches = staging.batches(&filter).await?;
        for piece in pieces(&batches) {
            let otherwise = piece.otherwise(staging).await?;
            for (room, events) in staging.room_counts(piece.range).await? {
                let outcome = otherwise.get(room.as_str()).copied().unwrap_or(piece.outcome);
                if outcome == Outcome::Skipped {
                    let SeqRange { from, to } = piece.range;
                    let detail = format!(
                        "{events} events with arrival numbers after {from} and up to {to} are in no batch of adapter {}",
                        adapter.name
                    );
                    imbalances.push(Imbalance { hop: Hop::Staging, subject: format!("room {room}"), detail });
                }
                // A room that was not there a moment ago is left for the next reconciliation.
                if let Some(line) = places.get(&room).and_then(|&line| lines.get_mut(line)) {
                    line.adapters[column].add(outcome, events);
                }
            }
        }
    }
    Ok(lines)
}

/// A piece of an adapter's history.
struct Piece<'a> {
    range: SeqRange,
    outcome: Outcome,
    /// Supplements whose conversations have another outcome. One of files repeats what is written and is not among them.
    apart: Vec<&'a BatchRow>,
}

impl Piece<'_> {
    /// The rooms that have another outcome than the piece.
    async fn otherwise(&self, staging: &Staging) -> Result<BTreeMap<Arc<str>, Outcome>, EngineError> {
        let mut found = BTreeMap::new();
        for supplement in &self.apart {
            let outcome = Outcome::of(supplement.state);
            found.extend(staging.set_aside(supplement.id).await?.into_iter().map(|(room, _)| (room, outcome)));
        }
        Ok(found)
    }
}

/// An adapter's history, neighbours of one outcome together, so that few questions count all; the last piece has no end.
fn pieces(batches: &[BatchRow]) -> Vec<Piece<'_>> {
    let mut supplements: BTreeMap<BatchId, Vec<&BatchRow>> = BTreeMap::new();
    for row in batches.iter().filter(|row| row.completes.is_none()) {
        if let Some(batch) = row.supplement_to {
            supplements.entry(batch).or_default().push(row);
        }
    }
    let mut pieces: Vec<Piece<'_>> = Vec::new();
    let mut add = |from: Seq, to: Seq, outcome, apart: Vec<_>| match pieces.last_mut() {
        _ if from >= to => {}
        Some(last) if last.outcome == outcome && last.apart.is_empty() && apart.is_empty() => last.range.to = to,
        _ => pieces.push(Piece { range: SeqRange { from, to }, outcome, apart }),
    };
    let mut end = 0;
    for batch in batches.iter().filter(|batch| batch.supplement_to.is_none()) {
        add(end, batch.range.from, Outcome::Skipped, Vec::new());
        let outcome = Outcome::of(batch.state);
        let mut apart = supplements.remove(&batch.id).unwrap_or_default();
        apart.retain(|supplement| Outcome::of(supplement.state) != outcome);
        add(batch.range.from, batch.range.to, outcome, apart);
        end = end.max(batch.range.to);
    }
    add(end, Seq::MAX, Outcome::Waiting, Vec::new());
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Ticks;
    use crate::staging::{BatchCounts, Workplace};

    fn batch(id: BatchId, from: Seq, to: Seq, state: BatchState) -> BatchRow {
        BatchRow {
            id,
            adapter: "a".into(),
            interval_start: Ticks::MIN,
            interval_end: Ticks::MIN,
            range: SeqRange { from, to },
            first: false,
            state,
            attempts: 0,
            retry_at: None,
            reason: None,
            counts: BatchCounts::default(),
            cut_at: Ticks::MIN,
            published_at: None,
            collected_at: None,
            collected_how: None,
            purged_at: None,
            workplace: Workplace::default(),
            supplement_to: None,
            completes: None,
        }
    }

    fn told(batches: &[BatchRow]) -> Vec<(Seq, Seq, Outcome, Vec<BatchId>)> {
        let apart = |piece: &Piece<'_>| piece.apart.iter().map(|row| row.id).collect();
        pieces(batches).iter().map(|piece| (piece.range.from, piece.range.to, piece.outcome, apart(piece))).collect()
    }

    #[test]
    fn neighbours_of_one_outcome_are_one_piece_and_what_lies_between_batches_is_another() {
        use BatchState::{Abandoned, Collected, Empty, Failed, Published, Purged};
        assert_eq!(told(&[]), [(0, Seq::MAX, Outcome::Waiting, vec![])]);
        let batches = [
            batch(1, 0, 4, Purged),
            batch(2, 4, 4, Empty),
            batch(3, 4, 9, Collected),
            batch(4, 12, 20, Published),
            batch(5, 20, 25, Abandoned),
            batch(6, 25, 30, Failed),
        ];
        let expected = [
            (0, 9, Outcome::Written, vec![]),
            (9, 12, Outcome::Skipped, vec![]),
            (12, 20, Outcome::Written, vec![]),
            (20, 25, Outcome::Abandoned, vec![]),
            (25, Seq::MAX, Outcome::Waiting, vec![]),
        ];
        assert_eq!(told(&batches), expected);
    }

    #[test]
    fn a_supplement_stands_apart_as_long_as_its_outcome_is_another() {
        let supplement = |id, state| BatchRow { supplement_to: Some(1), ..batch(id, 0, 4, state) };
        let of_files = BatchRow { completes: Some(1), ..supplement(5, BatchState::Cut) };
        let batches = [
            batch(1, 0, 4, BatchState::Published),
            supplement(2, BatchState::Published),
            supplement(3, BatchState::Failed),
            supplement(4, BatchState::Abandoned),
            of_files,
            batch(6, 4, 8, BatchState::Published),
        ];
        let expected = [
            (0, 4, Outcome::Written, vec![3, 4]),
            (4, 8, Outcome::Written, vec![]),
            (8, Seq::MAX, Outcome::Waiting, vec![]),
        ];
        assert_eq!(told(&batches), expected);
    }
}
