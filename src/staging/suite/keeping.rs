//! What is kept, what is a duplicate, what is a conflict, and what waits in quarantine.

use std::sync::Arc;

use serde_json::json;

use super::kit::{ALL, Fixture, event, events, heartbeat, minute, quarantined, upload, with_raw};
use crate::staging::{
    Arrivals, NewAct, NewEvent, QuarantineFilter, QuarantineResolution, QuarantineState, Staged, StagingError,
};

fn staged(kept: u64, duplicates: u64, conflicts: u64) -> Staged {
    Staged { kept, duplicates, conflicts, quarantined: 0 }
}

pub(super) async fn an_event_is_kept_once(f: &Fixture) {
    f.staging.ping().await.unwrap();
    assert_eq!(f.stage(Vec::new()).await, Staged::default());
    assert_eq!(f.stage(events("s", 0..450)).await, staged(450, 0, 0));
    assert_eq!(f.stage(events("s", 400..500)).await, staged(50, 50, 0));
    assert_eq!(f.stage(events("s", 0..500)).await, staged(0, 500, 0));
    let ids = f.ids(ALL).await;
    assert_eq!(ids, (0..500).map(|id| id.to_string()).collect::<Vec<_>>(), "kept once, in order of arrival");
    let source = f.staging.sources().await.unwrap().remove(0);
    assert_eq!((source.staged, source.duplicates, source.conflicts), (500, 550, 0));
    let first = f.events(ALL).await.remove(0);
    let sent = event("s", "0");
    assert_eq!((first.raw, first.time, first.received), (sent.raw, sent.time, sent.received));
    assert_eq!((&*first.source, &*first.room_uri, first.kind), ("s", "urn:room:1", sent.kind));
    assert!(!first.conflict && !first.time_is_receipt);
}

pub(super) async fn the_same_meaning_is_a_duplicate(f: &Fixture) {
    let first = with_raw(event("s", "1"), br#"{"id":"1","data":{"text":"a","n":1}}"#);
    let again = with_raw(event("s", "1"), b"{ \"data\": {\"n\":1, \"text\":\"\\u0061\"},\n \"id\": \"1\" }");
    assert_eq!(f.stage(vec![first.clone()]).await, staged(1, 0, 0));
    assert_eq!(f.stage(vec![again, first]).await, staged(0, 2, 0));
    assert!(f.staging.alerts().await.unwrap().is_empty());
}

pub(super) async fn other_content_is_kept_beside_the_first_with_an_alert(f: &Fixture) {
    let content = |n: u32| with_raw(event("s", "1"), json!({ "id": "1", "n": n }).to_string().as_bytes());
    f.stage(vec![content(1)]).await;
    assert_eq!(f.stage(vec![content(2)]).await, staged(1, 0, 1));
    assert_eq!(f.stage(vec![content(2), content(1)]).await, staged(0, 2, 0), "both are known now");
    assert_eq!(f.stage(vec![content(3), event("s", "2")]).await, staged(2, 0, 1));
    let kept = f.events(ALL).await;
    let flags: Vec<_> = kept.iter().map(|event| (event.id.as_str(), event.conflict)).collect();
    assert_eq!(flags, [("1", true), ("1", true), ("2", false), ("1", true)]);
    let alerts = f.staging.alerts().await.unwrap();
    assert_eq!(alerts.len(), 1);
    assert_eq!((alerts[0].kind.as_str(), alerts[0].subject.as_str(), alerts[0].count), ("conflict", "s", 2));
    assert_eq!(f.staging.sources().await.unwrap()[0].conflicts, 2);
}

pub(super) async fn duplicates_and_conflicts_within_one_call_are_treated_alike(f: &Fixture) {
    let other = with_raw(event("s", "1"), b"{}");
    let spaced = with_raw(event("s", "1"), b"{ }");
    let call = vec![event("s", "1"), event("s", "1"), other, spaced, event("s", "2"), event("s", "2")];
    assert_eq!(f.stage(call.clone()).await, staged(3, 3, 1));
    assert_eq!(f.stage(call).await, staged(0, 6, 0));
    assert_eq!(f.ids(ALL).await, ["1", "2", "1"]);
}

pub(super) async fn the_same_id_of_another_source_is_another_event(f: &Fixture) {
    let call = vec![event("a", "1"), event("b", "1"), heartbeat("b", "h", 17)];
    assert_eq!(f.stage(call).await, staged(3, 0, 0));
    f.stage(vec![NewEvent { sequence: Some(9), received: minute(5), ..event("b", "2") }, heartbeat("b", "h2", 16)])
        .await;
    let sources = f.staging.sources().await.unwrap();
    assert_eq!(sources.iter().map(|row| &*row.source).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!((sources[0].last_sequence, sources[0].heartbeat_sequence), (None, None));
    assert_eq!((sources[1].last_sequence, sources[1].heartbeat_sequence), (Some(9), Some(17)));
    assert_eq!((sources[1].staged, sources[1].last_received), (4, minute(5)));
    assert_eq!(f.events(ALL).await.len(), 3, "heartbeats are in no conversation");
}

pub(super) async fn every_text_a_source_may_send_is_kept(f: &Fixture) {
    let long: String = (0..5000).map(|n| char::from_u32(0x4e00 + n % 3000).unwrap()).collect();
    let odd = ["nul\0inside", "\u{1a}", "quote'\"\\", "\u{feff}\u{10ffff}", &long, &format!("{long}x")];
    let call: Vec<_> = odd
        .iter()
        .map(|text| NewEvent {
            room_uri: Some((*text).to_owned()),
            person_key: Some((*text).to_owned()),
            message_id: Some((*text).to_owned()),
            ..with_raw(event("s", text), text.as_bytes())
        })
        .collect();
    assert_eq!(f.stage(call.clone()).await, staged(6, 0, 0));
    assert_eq!(f.stage(call).await, staged(0, 6, 0));
    f.cut("a", 1).await;
    let kept = f.events(ALL).await;
    for (text, event) in odd.iter().zip(&kept) {
        assert_eq!((&*event.id, &*event.room_uri, event.raw.as_slice()), (*text, *text, text.as_bytes()));
        assert_eq!(event.message_no, Some(1));
    }
    assert_eq!(kept.iter().map(|event| event.person_no).collect::<Vec<_>>(), (1..=6).map(Some).collect::<Vec<_>>());
    f.staging.raise_alert("kind", &long, "de\0tail", minute(0)).await.unwrap();
    f.staging.close_alert("kind", &long, minute(1)).await.unwrap();
    assert!(f.staging.alerts().await.unwrap().is_empty());
}

pub(super) async fn writers_at_once_keep_each_event_once(f: &Fixture) {
    let writers: Vec<_> = (0..4)
        .map(|_| {
            let staging = Arc::clone(&f.staging);
            tokio::spawn(async move {
                let mut sum = Staged::default();
                for start in (0..1000).step_by(100) {
                    let batch = Arrivals { events: events("s", start..start + 100), quarantined: Vec::new() };
                    let staged = staging.stage(&batch).await.unwrap();
                    sum.kept += staged.kept;
                    sum.duplicates += staged.duplicates;
                }
                sum
            })
        })
        .collect();
    let mut sum = Staged::default();
    for writer in writers {
        let staged = writer.await.unwrap();
        sum.kept += staged.kept;
        sum.duplicates += staged.duplicates;
    }
    assert_eq!((sum.kept, sum.duplicates), (1000, 3000));
    assert_eq!(f.events(ALL).await.len(), 1000);
}

pub(super) async fn quarantine_counts_the_same_bytes_once(f: &Fixture) {
    let items = vec![quarantined(b"x", "malformed-json"), quarantined(b"x", "malformed-json"), quarantined(b"y", "r")];
    let batch = Arrivals { events: vec![upload("s", "1")], quarantined: items };
    let both = f.staging.stage(&batch).await.unwrap();
    assert_eq!(both, Staged { kept: 1, duplicates: 0, conflicts: 0, quarantined: 2 });
    assert_eq!(f.staging.stage(&batch).await.unwrap().quarantined, 0);
    let rows = f.staging.quarantined(&QuarantineFilter::default()).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.seen).collect::<Vec<_>>(), [4, 2]);
    assert_eq!((rows[0].size, rows[0].state), (1, QuarantineState::Waiting));
    assert_eq!(rows[0].event_id.as_deref(), Some("id\u{2400}with nul"));
    let (row, raw) = f.staging.quarantined_bytes(rows[1].id).await.unwrap().unwrap();
    assert_eq!((&row, raw.as_slice()), (&rows[1], &b"y"[..]));
    assert!(f.staging.quarantined_bytes(999).await.unwrap().is_none());
}

pub(super) async fn a_quarantined_item_is_replayed_or_discarded_once(f: &Fixture) {
    let quarantined = vec![quarantined(b"x", "unknown-source"), quarantined(b"y", "r")];
    f.staging.stage(&Arrivals { events: Vec::new(), quarantined }).await.unwrap();
    let ids: Vec<_> =
        f.staging.quarantined(&QuarantineFilter::default()).await.unwrap().iter().map(|row| row.id).collect();
    let act = |verb: &str| NewAct {
        at: minute(2),
        who: "officer".into(),
        verb: verb.into(),
        subject: "quarantine".into(),
        reason: "known now".into(),
    };
    let events = Arrivals { events: vec![event("s", "1"), event("s", "2")], quarantined: Vec::new() };
    let replay = QuarantineResolution::Replay(events);
    f.staging.resolve_quarantined(ids[0], &replay, &act("replay")).await.unwrap();
    f.staging.resolve_quarantined(ids[1], &QuarantineResolution::Discard, &act("discard")).await.unwrap();
    assert_eq!(f.ids(ALL).await, ["1", "2"]);
    for (id, again) in [(ids[0], &QuarantineResolution::Discard), (ids[1], &replay), (999, &replay)] {
        let refused = f.staging.resolve_quarantined(id, again, &act("again")).await.unwrap_err();
        assert!(matches!(refused, StagingError::Refused { .. }), "{refused}");
    }
    let rows = f.staging.quarantined(&QuarantineFilter::default()).await.unwrap();
    assert_eq!(
        rows.iter().map(|row| row.state).collect::<Vec<_>>(),
        [QuarantineState::Replayed, QuarantineState::Discarded]
    );
    assert!(f.staging.quarantined_bytes(ids[1]).await.unwrap().unwrap().1.is_empty(), "discarded bytes are gone");
    assert_eq!(rows[1].size, 1, "what they were is still on record");
    let acts = f.staging.acts(10).await.unwrap();
    assert_eq!(acts.iter().map(|row| row.act.verb.as_str()).collect::<Vec<_>>(), ["discard", "replay"]);
}

pub(super) async fn everything_is_there_after_reopening(f: &Fixture) {
    f.stage(vec![NewEvent { person_key: Some("p".into()), ..event("s", "1") }]).await;
    let batch = f.cut("a", 1).await;
    let reopened = f.reopened().await;
    assert_eq!(reopened.batch(batch.id).await.unwrap(), Some(batch));
    let again = vec![
        event("s", "1"),
        NewEvent { room_uri: Some("r2".into()), person_key: Some("q".into()), ..event("s", "2") },
        NewEvent { person_key: Some("p".into()), ..event("s", "3") },
    ];
    let result = reopened.stage(&Arrivals { events: again, quarantined: Vec::new() }).await.unwrap();
    assert_eq!(result, staged(2, 1, 0));
    let kept = f.events(ALL).await;
    let numbers: Vec<_> = kept.iter().map(|event| (event.id.as_str(), event.room, event.person_no)).collect();
    assert_eq!(numbers, [("1", 1, Some(1)), ("3", 1, Some(1)), ("2", 2, Some(2))]);
    assert_eq!(f.staging.sources().await.unwrap().len(), 1);
}
