//! Cuts take each event once, in order, whoever commits meanwhile; leases tell who may cut.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::kit::{ALL, Fixture, event, events, heartbeat, minute, new_cut};
use crate::staging::{AdapterRow, Arrivals, BatchState, NewEvent, SeqRange, StagingError};

pub(super) async fn a_cut_takes_exactly_what_came_since_the_last(f: &Fixture) {
    let empty = f.cut("a", 1).await;
    assert_eq!((empty.range, empty.first, empty.state), (SeqRange { from: 0, to: 0 }, true, BatchState::Cut));
    assert_eq!((empty.interval_start, empty.interval_end), (minute(0), minute(1)));
    f.stage(events("s", 0..3)).await;
    let second = f.cut("a", 3).await;
    assert_eq!((second.interval_start, second.interval_end, second.first), (minute(1), minute(3), false));
    f.stage(vec![event("s", "3"), heartbeat("s", "h", 4)]).await;
    let third = f.cut("a", 4).await;
    let nothing = f.cut("a", 5).await;
    assert_eq!(f.ids(second.range).await, ["0", "1", "2"]);
    assert_eq!(f.ids(third.range).await, ["3"]);
    assert_eq!(f.staging.count_events(third.range).await.unwrap(), 1, "a heartbeat has no room");
    assert_eq!((nothing.range.from, nothing.range.to), (third.range.to, third.range.to));
    let late_comer = f.cut("b", 5).await;
    assert!(late_comer.first && late_comer.id > nothing.id);
    assert_eq!(f.ids(late_comer.range).await.len(), 4, "a first cut takes all that is staged");
    let positions = ["a", "b"].map(|adapter| {
        let cut_seq = third.range.to;
        AdapterRow { adapter: adapter.into(), cut_seq, cut_at: minute(5) }
    });
    assert_eq!(f.staging.adapters().await.unwrap(), positions);
}

pub(super) async fn a_cut_must_move_forward(f: &Fixture) {
    f.cut("a", 5).await;
    let lease = f.lease("a").await;
    for end in [5, 4] {
        let refused = f.staging.cut(&lease, &new_cut("a", end)).await.unwrap_err();
        assert!(matches!(refused, StagingError::Refused { .. }), "{refused}");
    }
    assert_eq!(f.staging.adapters().await.unwrap()[0].cut_at, minute(5));
    f.cut("a", 6).await;
}

pub(super) async fn events_come_ordered_by_room_time_sequence_and_arrival(f: &Fixture) {
    let at = |id: &str, room: &str, time: i64, sequence: Option<u64>| NewEvent {
        room_uri: Some(room.into()),
        time: minute(time),
        sequence,
        ..event("s", id)
    };
    f.stage(vec![
        at("1 room first seen", "z", 9, None),
        at("6 later room", "b", 0, None),
        at("5 no sequence, later", "z", 9, None),
        at("3 higher sequence", "z", 9, Some(10)),
        at("2 lower sequence", "z", 9, Some(2)),
    ])
    .await;
    f.stage(vec![at("0 earliest", "z", 8, Some(99)), at("4 same sequence, later", "z", 9, Some(10))]).await;
    let expected = [
        "0 earliest",
        "2 lower sequence",
        "3 higher sequence",
        "4 same sequence, later",
        "1 room first seen",
        "5 no sequence, later",
        "6 later room",
    ];
    assert_eq!(f.ids(ALL).await, expected);
}

/// Writers, each with so many events in all; for each, so many in a call. Small calls commit while a large
/// one is still under way, and only then can a cut go wrong.
pub(super) struct Race {
    pub(super) events: usize,
    pub(super) calls: [usize; 4],
}

pub(super) async fn every_event_is_in_one_batch_while_writers_commit(f: &Fixture) {
    race(f, &Race { events: 3000, calls: [1500, 1500, 20, 20] }).await;
}

/// Writers stage while two adapters cut. What a batch held when it was cut is compared with what it holds
/// in the end: an event that appears later in a range already cut would be lost.
pub(super) async fn race(f: &Fixture, race: &Race) {
    let total = race.calls.len() * race.events;
    let events = race.events;
    let writers = race.calls.into_iter().enumerate().map(|(writer, call)| {
        let staging = Arc::clone(&f.staging);
        tokio::spawn(async move {
            for start in (0..events).step_by(call) {
                let one = |n: usize| event("s", &format!("{writer}-{n}"));
                let events = (start..(start + call).min(events)).map(one).collect();
                let staged = staging.stage(&Arrivals { events, quarantined: Vec::new() }).await.unwrap();
                assert_eq!(staged.duplicates, 0);
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    let cutting = async |adapter| {
        let mut batches = Vec::new();
        for end in 1.. {
            // One that has failed is over, too.
            let over = writers.iter().all(tokio::task::JoinHandle::is_finished);
            let batch = f.cut(adapter, end).await;
            let held = f.staging.count_events(batch.range).await.unwrap();
            batches.push((batch.range, held));
            if over {
                break;
            }
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        batches
    };
    let cut = tokio::join!(cutting("one"), cutting("two"));
    for batches in <[_; 2]>::from(cut) {
        assert!(batches.len() > 3, "cuts must fall among commits, or nothing is tested");
        let mut last = 0;
        let mut sum = 0;
        for (range, held) in batches {
            assert_eq!(range.from, last, "no gap and no overlap");
            last = range.to;
            assert_eq!(f.staging.count_events(range).await.unwrap(), held, "an event appeared in {range:?}");
            sum += held;
        }
        assert_eq!(sum, total as u64);
    }
    for writer in writers {
        writer.await.unwrap();
    }
    let ids: HashSet<_> = f.ids(ALL).await.into_iter().collect();
    assert_eq!(ids.len(), total);
}

pub(super) async fn a_lease_is_held_by_one_and_fences_the_one_before(f: &Fixture) {
    let take =
        async |holder: &str, ttl| f.staging.lease("adapter:a", holder, Duration::from_millis(ttl)).await.unwrap();
    let first = take("first", 60_000).await.unwrap();
    assert_eq!(take("first", 60_000).await.unwrap().token, first.token, "renewing keeps the token");
    assert_eq!(take("second", 60_000).await, None);
    take("first", 0).await.unwrap();
    tokio::time::sleep(Duration::from_millis(5)).await;
    let second = take("second", 60_000).await.unwrap();
    assert_eq!(second.token, first.token + 1);
    let lost = f.staging.cut(&first, &new_cut("a", 1)).await.unwrap_err();
    assert!(matches!(&lost, StagingError::LeaseLost { name } if name == "adapter:a"), "{lost}");
    assert!(f.staging.adapters().await.unwrap().is_empty(), "nothing happened");
    f.staging.release(&first).await.unwrap();
    assert_eq!(take("third", 60_000).await, None, "a stale lease releases nothing");
    f.staging.cut(&second, &new_cut("a", 1)).await.unwrap();
    f.staging.release(&second).await.unwrap();
    assert!(f.staging.cut(&second, &new_cut("a", 2)).await.is_err(), "given back is given back");
    assert_eq!(take("third", 60_000).await.unwrap().token, second.token + 1);
}
