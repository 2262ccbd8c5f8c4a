//! What may be deleted, when, and what is left of it.

use std::collections::HashSet;

use super::kit::{ALL, Fixture, event, events, heartbeat, rendered, upload, with_raw};
use crate::staging::{BatchState, BatchStep, By, Capture, CaptureRow, NewEvent, RenderedBatch, SeqRange};

pub(super) async fn only_what_every_adapter_has_finished_is_purged(f: &Fixture) {
    f.stage(vec![event("s", "0"), event("s", "1"), heartbeat("s", "h", 2)]).await;
    let a1 = f.cut("a", 1).await;
    f.stage(events("s", 2..4)).await;
    let a2 = f.cut("a", 2).await;
    f.finish(&a1, BatchState::Purged).await;
    assert_eq!(f.purge(&["a", "b"]).await, 0, "the other adapter never cut");
    let b1 = f.cut("b", 2).await;
    assert_eq!(f.purge(&["a", "b"]).await, 0, "the other adapter's batch is open");
    for state in [BatchState::Rendered, BatchState::Published, BatchState::Collected] {
        let other = f.cut("c", [5, 6, 7][state as usize - 1]).await;
        assert_eq!(other.state, BatchState::Cut);
        f.finish(&other, state).await;
        assert_eq!(f.purge(&["a"]).await, 0, "a batch that is {state} still needs its events");
    }
    let open: Vec<_> = f.staging.batches(&Default::default()).await.unwrap();
    let lease = f.lease("c").await;
    for batch in open.iter().filter(|batch| batch.adapter == "c") {
        let at = batch.cut_at;
        let steps = [
            (BatchState::Rendered, BatchStep::Published { at }),
            (BatchState::Published, BatchStep::Collected { at, how: "told".into() }),
            (BatchState::Collected, BatchStep::Purged { at }),
        ];
        for (from, step) in steps.into_iter().skip_while(|(from, _)| *from != batch.state) {
            f.staging.advance(By::Worker(&lease), batch.id, &[from], &step).await.unwrap();
        }
    }
    f.finish(&b1, BatchState::Empty).await;
    assert_eq!(f.purge(&["a", "b"]).await, 3, "the first batch with its heartbeat");
    assert_eq!(f.ids(ALL).await, ["2", "3"]);
    assert_eq!(f.purge(&[]).await, 0, "without adapters nothing is delivered");
    f.finish(&a2, BatchState::Empty).await;
    assert_eq!(f.purge(&["a", "b"]).await, 2);
    assert_eq!(f.purge(&["a", "b"]).await, 0);
    assert_eq!(f.staging.totals().await.unwrap().waiting, 0);
    f.stage(events("s", 10..11)).await;
    let next = f.cut("a", 9).await;
    assert_eq!(f.ids(next.range).await, ["10"], "arrival numbers are never used again");
    assert!(next.range.from >= a2.range.to && next.id > b1.id);
}

pub(super) async fn an_open_batch_of_a_removed_adapter_blocks(f: &Fixture) {
    f.stage(events("s", 0..2)).await;
    let gone = f.cut("gone", 1).await;
    let a1 = f.cut("a", 1).await;
    f.finish(&a1, BatchState::Purged).await;
    let failed = BatchStep::Failed {
        reason: "r".into(),
        retry_at: gone.cut_at,
        presence: Vec::new(),
        conversations: Vec::new(),
    };
    f.staging.advance(By::Collector, gone.id, &[BatchState::Cut], &failed).await.unwrap();
    assert_eq!(f.purge(&["a"]).await, 0);
    let abandoned = BatchStep::Abandoned { reason: "the archive is closed".into() };
    f.staging.advance(By::Collector, gone.id, &[BatchState::Failed], &abandoned).await.unwrap();
    assert_eq!(f.purge(&["a"]).await, 2);
}

pub(super) async fn a_purged_event_that_comes_again_is_known(f: &Fixture) {
    f.stage(events("s", 0..300)).await;
    let batch = f.cut("a", 1).await;
    f.finish(&batch, BatchState::Purged).await;
    assert_eq!(f.purge(&["a"]).await, 300);
    let again = f.stage(events("s", 0..310)).await;
    assert_eq!((again.kept, again.duplicates, again.conflicts), (10, 300, 0));
    let reopened = f.reopened().await;
    let call = crate::staging::Arrivals { events: events("s", 0..310), quarantined: Vec::new() };
    assert_eq!(reopened.stage(&call).await.unwrap().duplicates, 310);
    let other = with_raw(event("s", "7"), b"{}");
    let conflict = f.stage(vec![other.clone(), other.clone(), event("s", "7"), event("t", "7")]).await;
    assert_eq!((conflict.kept, conflict.duplicates, conflict.conflicts), (2, 2, 1));
    let kept = f.events(ALL).await;
    assert_eq!(kept.iter().filter(|event| event.conflict).map(|event| &*event.id).collect::<Vec<_>>(), ["7"]);
    assert_eq!(f.staging.alerts().await.unwrap().len(), 1);
    let mixed = f.stage(vec![event("s", "8"), with_raw(event("s", "8"), b"[]"), event("s", "311")]).await;
    assert_eq!((mixed.kept, mixed.duplicates, mixed.conflicts), (2, 1, 1));
    let next = f.cut("a", 2).await;
    f.finish(&next, BatchState::Purged).await;
    f.purge(&["a"]).await;
    assert_eq!(f.stage(vec![other, event("s", "7")]).await.duplicates, 2, "both contents are remembered");
}

pub(super) async fn a_conflict_that_outlives_the_first_content_is_known(f: &Fixture) {
    let other = with_raw(event("s", "1"), b"{}");
    f.stage(vec![event("s", "1")]).await;
    let first = f.cut("a", 1).await;
    assert_eq!(f.stage(vec![other.clone()]).await.conflicts, 1);
    f.finish(&first, BatchState::Purged).await;
    assert_eq!(f.purge(&["a"]).await, 1);
    let spaced = with_raw(event("s", "1"), b"{ }");
    assert_eq!(f.stage(vec![other, spaced, event("s", "1")]).await.duplicates, 3);
    assert_eq!(f.ids(ALL).await, ["1"]);
    assert_eq!(f.stage(vec![with_raw(event("s", "1"), b"[]")]).await.conflicts, 1);
    assert!(f.events(ALL).await.iter().all(|event| event.conflict));
}

fn stored(seq: i64, sha256: u8) -> CaptureRow {
    CaptureRow {
        seq,
        outcome: Capture::Stored { sha256: [sha256; 32], size: 5, mismatch: sha256 == 2, extension: None },
    }
}

pub(super) async fn captures_are_kept_once_and_released_with_their_last_event(f: &Fixture) {
    f.stage(vec![upload("s", "0"), event("s", "1"), upload("s", "2"), upload("s", "3")]).await;
    let first = f.cut("a", 1).await;
    let waiting = f.staging.uncaptured(first.range, 2).await.unwrap();
    assert_eq!(waiting.iter().map(|event| &*event.id).collect::<Vec<_>>(), ["0", "2"]);
    let missing = CaptureRow { seq: waiting[1].seq, outcome: Capture::Missing { reason: "not found".into() } };
    let captures = [stored(waiting[0].seq, 1), missing];
    f.staging.record_captures(&captures).await.unwrap();
    f.staging.record_captures(&[stored(waiting[0].seq, 9)]).await.unwrap();
    assert_eq!(f.staging.captures(first.range).await.unwrap(), captures, "the first capture stands");
    let left = f.staging.uncaptured(first.range, 10).await.unwrap();
    assert_eq!(left.iter().map(|event| &*event.id).collect::<Vec<_>>(), ["3"]);
    f.stage(vec![upload("s", "4")]).await;
    let second = f.cut("a", 2).await;
    let later = f.staging.uncaptured(second.range, 10).await.unwrap()[0].seq;
    f.staging.record_captures(&[stored(left[0].seq, 2), stored(later, 1)]).await.unwrap();
    assert_eq!(f.staging.totals().await.unwrap().files, 2);
    f.finish(&first, BatchState::Purged).await;
    let purged = f.staging.purge_events(&["a".into()]).await.unwrap();
    assert_eq!((purged.events, purged.unreferenced), (4, vec![[2; 32]]), "the other file is still referred to");
    assert_eq!(f.staging.captures(ALL).await.unwrap(), [stored(later, 1)]);
    f.finish(&second, BatchState::Purged).await;
    assert_eq!(f.staging.purge_events(&["a".into()]).await.unwrap().unreferenced, [[1; 32]]);
    assert_eq!(f.staging.purge_events(&["a".into()]).await.unwrap().unreferenced, <[[u8; 32]; 0]>::default());
}

pub(super) async fn what_a_crash_left_unswept_is_told_again(f: &Fixture) {
    f.stage(vec![upload("s", "0"), upload("s", "1")]).await;
    let batch = f.cut("a", 1).await;
    let seqs: Vec<_> = f.staging.uncaptured(batch.range, 9).await.unwrap().iter().map(|event| event.seq).collect();
    f.staging.record_captures(&[stored(seqs[0], 1), stored(seqs[1], 2)]).await.unwrap();
    f.finish(&batch, BatchState::Purged).await;
    assert_eq!(f.staging.purge_events(&["a".into()]).await.unwrap().unreferenced.len(), 2);
    f.stage(vec![upload("s", "2")]).await;
    let again = f.cut("a", 2).await;
    let seq = f.staging.uncaptured(again.range, 1).await.unwrap()[0].seq;
    f.staging.record_captures(&[stored(seq, 2)]).await.unwrap();
    let after_crash = f.reopened().await;
    let told = after_crash.purge_events(&["a".into()]).await.unwrap();
    assert_eq!(told.unreferenced, [[1; 32]], "but not what is referred to again");
}

pub(super) async fn leftovers_go_with_their_events_and_no_sooner(f: &Fixture) {
    let said = |id: &str, message: &str| NewEvent { message_id: Some(message.into()), ..event("s", id) };
    let render = async |batch: &crate::staging::BatchRow, bytes: &[u8]| {
        let result = RenderedBatch { presence: vec![(1, bytes.to_vec())], ..rendered(batch, &[]) };
        f.staging.finish_render(&f.lease("a").await, &result).await.unwrap();
    };
    f.stage(vec![said("1", "x"), said("2", "y"), said("3", "z")]).await;
    let first = f.cut("a", 1).await;
    f.stage(vec![said("4", "y")]).await;
    let second = f.cut("a", 2).await;
    f.stage(vec![said("5", "z")]).await;
    render(&first, b"one").await;
    assert_eq!(f.purge(&["a"]).await, 3);
    assert_eq!(f.staging.presence("a", 1, second.id).await.unwrap().as_deref(), Some(&b"one"[..]));
    render(&second, b"two").await;
    assert_eq!(f.purge(&["a"]).await, 1);
    assert_eq!(f.staging.presence("a", 1, i64::MAX).await.unwrap().as_deref(), Some(&b"two"[..]));
    assert_eq!(f.staging.presence("a", 1, second.id).await.unwrap(), None, "superseded");
    f.stage(vec![said("6", "x"), said("7", "w")]).await;
    let third = f.cut("a", 3).await;
    let numbers: Vec<_> = f.events(third.range).await.iter().map(|event| event.message_no).collect();
    assert_eq!(numbers, [Some(3), Some(4), Some(5)], "z was still waiting; numbers are never given twice");
}

pub(super) async fn a_large_purge_goes_slice_by_slice(f: &Fixture) {
    for start in (0..41_000).step_by(2000) {
        f.stage(events("s", start..(start + 2000).min(41_000))).await;
    }
    let batch = f.cut("a", 1).await;
    f.stage(events("s", 50_000..50_003)).await;
    f.finish(&batch, BatchState::Purged).await;
    assert_eq!(f.purge(&["a"]).await, 41_000);
    let left: HashSet<_> = f.ids(ALL).await.into_iter().collect();
    assert_eq!(left, ["50000", "50001", "50002"].map(str::to_owned).into());
    assert_eq!(f.staging.count_events(SeqRange { from: 0, to: batch.range.to }).await.unwrap(), 0);
}
