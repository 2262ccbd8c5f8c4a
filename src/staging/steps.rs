//! The life of a batch and the limit of a purge, as pure functions over rows.
//!
//! Both stores ask here what may follow what; neither decides for itself, and nothing here does I/O.

use super::keys::refused;
use super::{
    AdapterRow, BatchId, BatchRow, BatchState, BatchStep, OutputRow, RenderedBatch, Result, RoomNo, Seq, StagingError,
};
use crate::support::step::Commit;

/// The batch after a step. A step to the state it is in already changes nothing.
///
/// # Errors
/// [`super::StagingError::Refused`] when the batch is in none of `from`, or no arrow leads there.
pub(super) fn stepped(mut row: BatchRow, from: &[BatchState], step: &BatchStep) -> Result<BatchRow> {
    if !from.contains(&row.state) {
        let words: Vec<_> = from.iter().map(|state| state.as_str()).collect();
        return Err(refused(format!("batch {} is {}, not {}", row.id, row.state, words.join(" or "))));
    }
    let next = target(step);
    if row.state == next {
        return Ok(row);
    }
    if !allowed(row.state, next) {
        return Err(refused(format!("batch {} is {} and cannot become {next}", row.id, row.state)));
    }
    row.state = next;
    match step {
        BatchStep::Published { at } => row.published_at = Some(*at),
        BatchStep::Collected { at, how } => {
            row.collected_at = Some(*at);
            row.collected_how = Some(how.clone());
        }
        BatchStep::Purged { at } => row.purged_at = Some(*at),
        BatchStep::Failed { reason, retry_at, .. } => {
            row.attempts = row.attempts.saturating_add(1);
            row.reason = Some(reason.clone());
            row.retry_at = Some(*retry_at);
        }
        BatchStep::Retry => row.retry_at = None,
        BatchStep::Abandoned { reason } => {
            row.reason = Some(reason.clone());
            row.retry_at = None;
        }
    }
    Ok(row)
}

fn target(step: &BatchStep) -> BatchState {
    match step {
        BatchStep::Published { .. } => BatchState::Published,
        BatchStep::Collected { .. } => BatchState::Collected,
        BatchStep::Purged { .. } => BatchState::Purged,
        BatchStep::Failed { .. } => BatchState::Failed,
        BatchStep::Retry => BatchState::Cut,
        BatchStep::Abandoned { .. } => BatchState::Abandoned,
    }
}

impl BatchStep {
    /// The commit that carries the step.
    pub(super) fn commit(&self) -> Commit {
        match self {
            Self::Published { .. } => Commit::MARKED_PUBLISHED,
            Self::Collected { .. } => Commit::MARKED_COLLECTED,
            Self::Purged { .. } => Commit::MARKED_PURGED,
            Self::Failed { .. } => Commit::MARKED_FAILED,
            Self::Retry => Commit::MARKED_RETRIED,
            Self::Abandoned { .. } => Commit::MARKED_ABANDONED,
        }
    }
}

fn allowed(from: BatchState, to: BatchState) -> bool {
    use BatchState::{Abandoned, Collected, Cut, Empty, Failed, Published, Purged, Rendered};
    matches!(
        (from, to),
        (Cut, Rendered | Empty | Failed)
            | (Rendered, Published)
            | (Published, Collected | Abandoned)
            | (Collected, Purged)
            | (Failed, Cut | Abandoned)
    )
}

/// What recording a render must do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Render {
    /// Write it; the batch becomes this state.
    Record(BatchState),
    /// The same result stands already, with the supplement it left, if any.
    Stands(Option<BatchId>),
}

/// Whether a render may be recorded for a batch that already has `outputs` and left the supplement `left`.
///
/// # Errors
/// [`super::StagingError::Refused`] when the batch is beyond rendering, or was rendered to something else.
pub(super) fn render(
    row: &BatchRow,
    outputs: &[OutputRow],
    left: Option<BatchId>,
    rendered: &RenderedBatch,
) -> Result<Render> {
    let next = if rendered.outputs.is_empty() { BatchState::Empty } else { BatchState::Rendered };
    passes_presence(row, &rendered.presence)?;
    if rendered.set_aside.as_ref().is_some_and(|supplement| supplement.conversations.is_empty()) {
        return Err(refused(format!("batch {}: a supplement holds at least one conversation", row.id)));
    }
    if row.state == BatchState::Cut {
        return Ok(Render::Record(next));
    }
    let uncollected = |output: &OutputRow| OutputRow { collected_at: None, ..output.clone() };
    let same = row.state == next
        && row.counts == rendered.counts
        && left.is_some() == rendered.set_aside.is_some()
        && outputs.iter().map(uncollected).eq(rendered.outputs.iter().map(uncollected));
    if same {
        return Ok(Render::Stands(left));
    }
    Err(refused(format!("batch {} is {} and cannot be recorded as rendered", row.id, row.state)))
}

/// Whether a batch may say who is in its rooms now. A supplement may not: what comes after the batch it belongs to
/// was told by that one, and has perhaps been delivered.
pub(super) fn passes_presence(row: &BatchRow, presence: &[(RoomNo, Vec<u8>)]) -> Result<()> {
    match row.supplement_to {
        Some(original) if !presence.is_empty() => {
            Err(refused(format!("batch {} supplements batch {original}, which has told who is in its rooms", row.id)))
        }
        _ => Ok(()),
    }
}

/// The answer to conversations that a supplement does not hold.
pub(super) fn not_its_own(row: &BatchRow) -> StagingError {
    refused(format!("batch {} is a supplement and can only set aside conversations of its own", row.id))
}

/// The last arrival number no adapter needs any more. `open` holds, per adapter, where its oldest batch
/// begins to which something will still happen.
pub(super) fn purge_limit(adapters: &[String], cut: &[AdapterRow], open: &[(String, Seq)]) -> Seq {
    let done = adapters.iter().map(|name| cut.iter().find(|row| row.adapter == *name).map_or(0, |row| row.cut_seq));
    match done.min() {
        Some(done) => open.iter().map(|(_, from)| *from).fold(done, Seq::min),
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test should panic")]

    use super::*;
    use crate::model::Ticks;
    use crate::staging::{BatchCounts, SeqRange, Workplace};

    fn batch(state: BatchState) -> BatchRow {
        BatchRow {
            id: 7,
            adapter: "a".into(),
            interval_start: Ticks::MIN,
            interval_end: Ticks::MAX,
            range: SeqRange { from: 0, to: 9 },
            first: true,
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

    #[test]
    fn only_the_arrows_of_the_state_table_are_taken() {
        let at = Ticks::MIN;
        let steps = [
            (BatchStep::Published { at }, vec![BatchState::Rendered]),
            (BatchStep::Collected { at, how: "told".into() }, vec![BatchState::Published]),
            (BatchStep::Purged { at }, vec![BatchState::Collected]),
            (
                BatchStep::Failed { reason: "r".into(), retry_at: at, presence: Vec::new(), conversations: Vec::new() },
                vec![BatchState::Cut],
            ),
            (BatchStep::Retry, vec![BatchState::Failed]),
            (BatchStep::Abandoned { reason: "r".into() }, vec![BatchState::Failed, BatchState::Published]),
        ];
        for (step, sources) in steps {
            for state in BatchState::ALL {
                let result = stepped(batch(state), &BatchState::ALL, &step);
                let expected = sources.contains(&state) || state == target(&step);
                assert_eq!(result.is_ok(), expected, "{state} by {step:?}");
                assert!(stepped(batch(state), &[], &step).is_err(), "not among the states the caller expects");
            }
        }
    }

    #[test]
    fn a_repeated_step_keeps_the_first_stamp() {
        let first = stepped(batch(BatchState::Rendered), &BatchState::ALL, &BatchStep::Published { at: Ticks::MIN });
        let first = first.unwrap();
        let second = stepped(first.clone(), &BatchState::ALL, &BatchStep::Published { at: Ticks::MAX });
        assert_eq!(second.unwrap(), first);
    }

    #[test]
    fn purging_stops_at_the_slowest_adapter_and_at_any_open_batch() {
        let cut = |name: &str, cut_seq| AdapterRow { adapter: name.into(), cut_seq, cut_at: Ticks::MIN };
        let cuts = [cut("a", 90), cut("b", 70), cut("gone", 50)];
        let named = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(purge_limit(&named(&["a", "b"]), &cuts, &[]), 70);
        assert_eq!(purge_limit(&named(&["a"]), &cuts, &[]), 90, "an adapter that left needs nothing");
        assert_eq!(purge_limit(&named(&["a"]), &cuts, &[("gone".into(), 40)]), 40, "but its open batch does");
        assert_eq!(purge_limit(&named(&["a", "new"]), &cuts, &[]), 0, "a first cut takes all that is staged");
        assert_eq!(purge_limit(&[], &cuts, &[]), 0);
    }
}
