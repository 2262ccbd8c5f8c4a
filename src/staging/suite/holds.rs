//! Holds: what they keep, and what they wait for.

use std::time::Duration;

use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::kit::{ALL, Fixture, event, minute, quarantined, upload, with_raw};
use crate::staging::{
    Arrivals, BatchState, Capture, CaptureRow, HoldScope, NewAct, NewEvent, NewHold, NewQuarantined, QuarantineFilter,
    QuarantineResolution, SeqRange, place_hold,
};

fn act() -> NewAct {
    NewAct { at: minute(7), who: "w".into(), verb: "hold place".into(), subject: "s".into(), reason: "r".into() }
}

async fn hold(f: &Fixture, scope: HoldScope) -> i64 {
    let (id, outlived) = place_hold(&*f.staging, &NewHold { scope }, &act(), |_| {}).await.unwrap();
    assert!(outlived.is_empty());
    id
}

fn by(person: &str, event: NewEvent) -> NewEvent {
    let raw = json!({
        "specversion": "1.0", "id": event.id, "source": "s", "type": "chat.message.posted", "subject": "urn:room:1",
        "data": { "sender": { "uri": person }, "message": { "text": "t" } },
    });
    with_raw(event, raw.to_string().as_bytes())
}

pub(super) async fn what_a_hold_may_cover_is_not_discarded(f: &Fixture) {
    let of = |source: Option<&str>, raw: &[u8]| NewQuarantined {
        source: source.map(Into::into),
        ..quarantined(raw, "unreadable")
    };
    let items = vec![of(None, b"x"), of(Some("/a"), b"y"), of(Some("/b"), b"z")];
    f.staging.stage(&Arrivals { events: Vec::new(), quarantined: items }).await.unwrap();
    let rows = f.staging.quarantined(&QuarantineFilter::default()).await.unwrap();
    let id = |raw: &[u8]| rows.iter().find(|row| row.sha256 == <[u8; 32]>::from(Sha256::digest(raw))).unwrap().id;
    let (unknown, a, b) = (id(b"x"), id(b"y"), id(b"z"));
    let discard = async |id: i64| f.staging.resolve_quarantined(id, &QuarantineResolution::Discard, &act()).await;
    // A room, a person and a time do not rule out what could not be understood; another source does.
    let scopes = [
        HoldScope { room: Some("urn:room:1".into()), ..HoldScope::default() },
        HoldScope { person: Some("sip:jane".into()), ..HoldScope::default() },
        HoldScope { to: Some(minute(0)), ..HoldScope::default() },
        HoldScope { source: Some("/a".into()), room: Some("urn:room:1".into()), ..HoldScope::default() },
    ];
    for scope in scopes {
        let everywhere = scope.source.is_none();
        let hold = hold(f, scope).await;
        for item in [unknown, a] {
            let refused = discard(item).await.unwrap_err();
            assert!(refused.to_string().contains(&format!("may be under hold {hold}")), "{refused}");
            assert!(
                !f.staging.quarantined_bytes(item).await.unwrap().unwrap().1.is_empty(),
                "the bytes are still there"
            );
        }
        if everywhere {
            assert!(discard(b).await.is_err());
        } else {
            discard(b).await.unwrap();
        }
        f.staging.release_hold(hold, &act()).await.unwrap();
    }
    for item in [unknown, a] {
        discard(item).await.unwrap();
    }
}

/// Events that every adapter has finished with.
async fn finished(f: &Fixture, events: Vec<NewEvent>) -> SeqRange {
    f.stage(events).await;
    let last = f.staging.batches(&Default::default()).await.unwrap().len();
    let batch = f.cut("a", 5 + i64::try_from(last).unwrap()).await;
    f.finish(&batch, BatchState::Purged).await;
    batch.range
}

pub(super) async fn what_a_hold_covers_stays_until_it_is_released(f: &Fixture) {
    let other = NewEvent { room_uri: Some("urn:room:2".into()), ..event("s", "2") };
    let later = NewEvent { time: minute(50), ..event("s", "3") };
    let elsewhere = event("t", "4");
    let scopes = [
        (HoldScope { room: Some("urn:room:2".into()), ..HoldScope::default() }, vec!["2"]),
        (HoldScope { source: Some("t".into()), ..HoldScope::default() }, vec!["4"]),
        (HoldScope { from: Some(minute(40)), ..HoldScope::default() }, vec!["3"]),
        (HoldScope { to: Some(minute(40)), source: Some("s".into()), ..HoldScope::default() }, vec!["1", "2"]),
        (HoldScope { room: Some("urn:room:2".into()), source: Some("t".into()), ..HoldScope::default() }, vec![]),
        (HoldScope::default(), vec!["1", "2", "3", "4"]),
    ];
    for (round, (scope, kept)) in scopes.into_iter().enumerate() {
        let id = |event: &NewEvent| NewEvent { id: format!("{round}/{}", event.id), ..event.clone() };
        let events = [&event("s", "1"), &other, &later, &elsewhere].map(id).to_vec();
        finished(f, events).await;
        let hold = hold(f, scope.clone()).await;
        assert_eq!(f.purge(&["a"]).await, 4 - kept.len() as u64, "{scope}");
        assert_eq!(f.purge(&["a"]).await, 0);
        let mut found = f.ids(ALL).await;
        found.sort();
        assert_eq!(found, kept.iter().map(|id| format!("{round}/{id}")).collect::<Vec<_>>(), "{scope}");
        assert_eq!(f.staging.holds(false).await.unwrap()[0].scope, scope);
        f.staging.release_hold(hold, &act()).await.unwrap();
        assert!(f.staging.release_hold(hold, &act()).await.is_err(), "a hold is released once");
        assert_eq!(f.purge(&["a"]).await, kept.len() as u64, "{scope}");
    }
    assert_eq!((f.staging.holds(false).await.unwrap().len(), f.staging.holds(true).await.unwrap().len()), (0, 6));
    assert_eq!(f.staging.acts(100).await.unwrap().len(), 12, "placing and releasing are acts");
}

pub(super) async fn a_hold_on_a_person_covers_what_that_person_wrote(f: &Fixture) {
    let unreadable = with_raw(event("s", "3"), b"no event at all");
    let range = finished(f, vec![by("sip:a", event("s", "1")), by("sip:b", event("s", "2")), unreadable]).await;
    let scope = HoldScope { person: Some("sip:a".into()), ..HoldScope::default() };
    let id = hold(f, scope).await;
    let holds = f.staging.holds(false).await.unwrap();
    assert_eq!(f.staging.covered(range, &holds).await.unwrap(), Some(id));
    assert_eq!(f.staging.covered(SeqRange { from: 1, to: 2 }, &holds).await.unwrap(), None);
    assert_eq!(f.purge(&["a"]).await, 1);
    assert_eq!(f.ids(ALL).await, ["1", "3"], "what cannot be read is kept when in doubt");
}

pub(super) async fn two_holds_both_have_to_go(f: &Fixture) {
    finished(f, vec![event("s", "1")]).await;
    let room = hold(f, HoldScope { room: Some("urn:room:1".into()), ..HoldScope::default() }).await;
    let source = hold(f, HoldScope { source: Some("s".into()), ..HoldScope::default() }).await;
    assert_eq!(f.purge(&["a"]).await, 0);
    f.staging.release_hold(room, &act()).await.unwrap();
    assert_eq!(f.purge(&["a"]).await, 0);
    f.staging.release_hold(source, &act()).await.unwrap();
    assert_eq!(f.purge(&["a"]).await, 1);
}

pub(super) async fn files_of_held_events_stay_referred_to(f: &Fixture) {
    let other = NewEvent { room_uri: Some("urn:room:2".into()), ..upload("s", "2") };
    let range = finished(f, vec![upload("s", "1"), other]).await;
    let captures: Vec<_> = [(range.from + 1, [1; 32]), (range.from + 2, [2; 32])]
        .map(|(seq, sha256)| {
            let outcome = Capture::Stored { sha256, size: 1, mismatch: false, extension: None };
            CaptureRow { seq, outcome }
        })
        .to_vec();
    f.staging.record_captures(&captures).await.unwrap();
    let id = hold(f, HoldScope { room: Some("urn:room:2".into()), ..HoldScope::default() }).await;
    let purged = f.staging.purge_events(&["a".to_owned()]).await.unwrap();
    assert_eq!((purged.events, purged.unreferenced), (1, vec![[1; 32]]));
    assert_eq!(f.staging.captures(range).await.unwrap().len(), 1);
    f.staging.release_hold(id, &act()).await.unwrap();
    assert_eq!(f.staging.purge_events(&["a".to_owned()]).await.unwrap().unreferenced, [[2; 32]]);
}

pub(super) async fn placing_a_hold_waits_for_the_purges_before_it(f: &Fixture) {
    let permit = f.staging.begin_purge("batch 1", Duration::from_secs(600)).await.unwrap();
    assert_eq!(permit.holds, []);
    let staging = std::sync::Arc::clone(&f.staging);
    let placing = tokio::spawn(async move {
        let mut told = 0;
        let placed = place_hold(&*staging, &NewHold { scope: HoldScope::default() }, &act(), |_| told += 1).await;
        (placed.unwrap(), told)
    });
    // It is written down, and whoever begins now is told of it; the placing itself goes on waiting.
    loop {
        let later = f.staging.begin_purge("batch 2", Duration::from_secs(600)).await.unwrap();
        if !later.holds.is_empty() {
            break;
        }
        f.staging.end_purge(later.id).await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!placing.is_finished());
    f.staging.end_purge(permit.id).await.unwrap();
    let ended = |row: &crate::staging::PurgeRow| row.what == "batch 1";
    assert!(!f.staging.purges().await.unwrap().iter().any(ended));
    for row in f.staging.purges().await.unwrap() {
        f.staging.end_purge(row.id).await.unwrap();
    }
    let ((_, outlived), told) = placing.await.unwrap();
    assert_eq!((outlived.len(), told), (0, 1));
}

pub(super) async fn a_purge_whose_process_died_is_waited_for_until_its_time_is_out(f: &Fixture) {
    f.staging.begin_purge("batch 1", Duration::from_millis(300)).await.unwrap();
    let (_, outlived) =
        place_hold(&*f.staging, &NewHold { scope: HoldScope::default() }, &act(), |_| {}).await.unwrap();
    assert_eq!(outlived.len(), 1);
    assert_eq!((outlived[0].what.as_str(), outlived[0].live), ("batch 1", false));
}
