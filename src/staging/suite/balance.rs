//! What reconciliation asks.

use super::kit::{ALL, Fixture, event, events, heartbeat, minute, quarantined, with_raw};
use crate::model::Ticks;
use crate::staging::{Arrivals, BatchState, KnownEvent, NewEvent, NewQuarantined, RoomBalance, RoomHour, SeqRange};

/// One event purged, two staged of which one happened an hour later in another room, and one quarantined.
async fn four(f: &Fixture) {
    f.stage(events("s", 0..1)).await;
    let batch = f.cut("a", 1).await;
    f.finish(&batch, BatchState::Purged).await;
    assert_eq!(f.purge(&["a"]).await, 1);
    let later = NewEvent { time: minute(60), room_uri: Some("urn:room:2".into()), ..event("s", "l\0ter") };
    let odd = NewQuarantined { source: Some("s".into()), event_id: Some("q".into()), ..quarantined(b"q", "r") };
    let staged = vec![event("s", "1"), later, event("other", "1"), heartbeat("s", "h", 9)];
    f.staging.stage(&Arrivals { events: staged, quarantined: vec![odd] }).await.unwrap();
}

pub(super) async fn events_are_known_by_id_also_once_they_are_purged(f: &Fixture) {
    four(f).await;
    let known = async |source: &str, ids: &[&str]| {
        let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
        f.staging.known_events(source, &ids).await.unwrap()
    };
    let expected = [
        Some(KnownEvent::Staged),
        None,
        Some(KnownEvent::Quarantined),
        Some(KnownEvent::Purged),
        Some(KnownEvent::Staged),
    ];
    assert_eq!(known("s", &["1", "never", "q", "0", "l\0ter"]).await, expected);
    assert_eq!(known("other", &["0", "1"]).await, [None, Some(KnownEvent::Staged)]);
    assert_eq!(known("never heard of", &["1"]).await, [None]);
    assert_eq!(known("s", &[]).await, []);
}

pub(super) async fn ids_are_listed_by_source_and_time(f: &Fixture) {
    four(f).await;
    let ids = async |source: &str, from, to| f.staging.event_ids(source, from, to).await.unwrap();
    assert_eq!(ids("s", minute(0), minute(61)).await, ["1", "l\0ter", "h"]);
    assert_eq!(ids("s", minute(0), minute(60)).await, ["1", "h"], "the end is not among them");
    assert_eq!(ids("s", minute(60), minute(61)).await, ["l\0ter"]);
    assert_eq!(ids("other", minute(0), minute(1)).await, ["1"]);
    assert_eq!(ids("never heard of", minute(0), minute(61)).await, [""; 0]);
}

pub(super) async fn events_are_counted_by_room_and_hour(f: &Fixture) {
    const HOUR: i64 = 36_000_000_000;
    four(f).await;
    // The clock of the test is of years ago: what is purged is counted by day, the rest by hour.
    let beginning = |at: i64, hours: i64| {
        let ticks = minute(at).ticks();
        Ticks::from_ticks(ticks - ticks % (hours * HOUR)).unwrap()
    };
    let (day, hour) = (beginning(0, 24), |at| beginning(at, 1));
    let line = |source: &str, room: Option<&str>, hour, present, purged| RoomHour {
        source: source.into(),
        room: room.map(str::to_owned),
        hour,
        present,
        purged,
    };
    let mut found = f.staging.room_hours(day, minute(61)).await.unwrap();
    found.sort_by_key(|line| (line.source.clone(), line.hour, line.room.clone()));
    let expected = [
        line("other", Some("urn:room:1"), hour(0), 1, 0),
        line("s", None, day, 0, 1),
        line("s", None, hour(0), 1, 0),
        line("s", Some("urn:room:1"), hour(0), 1, 0),
        line("s", Some("urn:room:2"), hour(60), 1, 0),
    ];
    assert_eq!(found, expected);
    let next = Ticks::from_ticks(hour(60).ticks() + HOUR).unwrap();
    let last = [line("s", Some("urn:room:2"), hour(60), 1, 0)];
    assert_eq!(f.staging.room_hours(hour(60), next).await.unwrap(), last);
}

pub(super) async fn rooms_are_counted_on_arrival_and_at_purge(f: &Fixture) {
    four(f).await;
    let balance = async || {
        let line = |RoomBalance { room, arrived, present, purged }| (room, [arrived, present, purged]);
        f.staging.room_balance().await.unwrap().into_iter().map(line).collect::<Vec<_>>()
    };
    let (one, two) = ("urn:room:1".to_owned(), "urn:room:2".to_owned());
    assert_eq!(balance().await, [(one.clone(), [3, 2, 1]), (two.clone(), [1, 1, 0])]);
    let range = f.events(ALL).await.iter().map(|event| event.seq).max().unwrap();
    assert_eq!(f.staging.room_counts(ALL).await.unwrap(), [(one.clone(), 2), (two.clone(), 1)]);
    let before = SeqRange { from: 0, to: range - 1 };
    assert_eq!(f.staging.room_counts(before).await.unwrap().iter().map(|(_, events)| events).sum::<u64>(), 2);
    assert_eq!(f.staging.room_counts(SeqRange { from: range, to: i64::MAX }).await.unwrap(), []);

    // What came before is not counted again, purged or not; other content under the same id is kept and counted.
    f.stage(vec![event("s", "0"), event("s", "1"), with_raw(event("s", "1"), b"{}")]).await;
    assert_eq!(balance().await, [(one.clone(), [4, 3, 1]), (two.clone(), [1, 1, 0])]);
    let batch = f.cut("a", 2).await;
    f.finish(&batch, BatchState::Purged).await;
    assert_eq!(f.purge(&["a"]).await, 5);
    assert_eq!(balance().await, [(one, [4, 0, 4]), (two, [1, 0, 1])]);
}
