//! Running counts: gaps, repeats and resets as the stores keep them. The rules themselves are tested beside them.

use super::kit::{Fixture, event, heartbeat, minute, quarantined};
use crate::staging::{Arrivals, Finding, FindingKind, NewAct, NewEvent, NewQuarantined};

const SOURCE: &str = "s";

/// An event with a number; its id is another one's unless the numbers differ.
fn numbered(id: &str, number: u64, at: i64) -> NewEvent {
    NewEvent { sequence: Some(number), time: minute(at), ..event(SOURCE, id) }
}

fn numbers(range: std::ops::RangeInclusive<u64>) -> Vec<NewEvent> {
    range.map(|number| numbered(&number.to_string(), number, i64::try_from(number).unwrap())).collect()
}

async fn reported(f: &Fixture) -> Vec<(FindingKind, u64, u64, u64)> {
    f.staging.report_findings(minute(1_000), minute(1_001)).await.unwrap();
    let found = f.staging.findings(false, 1_000).await.unwrap();
    found.into_iter().map(|row: Finding| (row.kind, row.epoch, row.first, row.last)).collect()
}

pub(super) async fn a_gap_is_reported_and_closes_when_it_is_filled(f: &Fixture) {
    use FindingKind::Gap;
    f.stage(numbers(1..=4)).await;
    f.stage(numbers(10..=12)).await;
    let row = &f.staging.sequences().await.unwrap()[0];
    assert_eq!((row.epoch, row.first, row.highest, row.missing), (1, 1, Some(12), 5));
    assert_eq!(f.staging.report_findings(minute(0), minute(1_001)).await.unwrap(), 0, "it is not old enough");
    assert_eq!(reported(f).await, [(Gap, 1, 5, 9)]);
    f.stage(numbers(6..=7)).await;
    assert_eq!(reported(f).await, [(Gap, 1, 5, 5), (Gap, 1, 8, 9)]);
    let totals = f.staging.finding_totals().await.unwrap();
    assert_eq!((totals[0].source.as_str(), totals[0].findings, totals[0].numbers), (SOURCE, 2, 3));
    f.stage(vec![numbered("8", 8, 8), numbered("5", 5, 5), numbered("9", 9, 9)]).await;
    assert_eq!(reported(f).await, []);
    let all = f.staging.findings(true, 1_000).await.unwrap();
    let closed: u64 = all.iter().map(|row| row.last - row.first + 1).sum();
    assert!(all.iter().all(|row| row.kind == Gap && row.closed == Some(minute(1))) && closed == 5, "{all:?}");
    assert_eq!(f.staging.sequences().await.unwrap()[0].missing, 0);
}

pub(super) async fn what_overtakes_is_no_gap(f: &Fixture) {
    for part in [vec![5, 3, 4], vec![1], vec![2, 9, 7], vec![8, 6]] {
        f.stage(part.into_iter().map(|number| numbered(&number.to_string(), number, 5)).collect()).await;
    }
    assert_eq!(reported(f).await, []);
    assert!(f.staging.findings(true, 10).await.unwrap().is_empty(), "what was never reported leaves nothing");
}

pub(super) async fn a_duplicate_is_no_repeat_and_another_id_is(f: &Fixture) {
    f.stage(numbers(1..=5)).await;
    f.stage(numbers(2..=5)).await;
    assert_eq!(reported(f).await, []);
    let other = NewEvent { raw: b"{}".to_vec(), sha256: [9; 32], ..numbered("4", 4, 4) };
    f.stage(vec![other]).await;
    assert_eq!(reported(f).await, [], "another content of a known event is a conflict");
    f.stage(vec![numbered("other", 4, 9)]).await;
    assert_eq!(reported(f).await, [(FindingKind::Repeat, 1, 4, 4)]);
}

pub(super) async fn a_count_that_begins_again_withdraws_the_repeats_it_looked_like(f: &Fixture) {
    f.stage(numbers(1..=50)).await;
    f.stage((1..=2).map(|number| numbered(&format!("again-{number}"), number, 60)).collect()).await;
    assert_eq!(reported(f).await.len(), 2);
    f.stage((3..=4).map(|number| numbered(&format!("again-{number}"), number, 61)).collect()).await;
    assert_eq!(reported(f).await, [(FindingKind::Reset, 2, 1, 50)]);
    let row = &f.staging.sequences().await.unwrap()[0];
    assert_eq!((row.epoch, row.first, row.highest, row.missing), (2, 1, Some(4), 0));
}

pub(super) async fn a_heartbeat_tells_what_is_missing_at_the_end(f: &Fixture) {
    f.stage(numbers(1..=5)).await;
    f.stage(vec![heartbeat(SOURCE, "beat", 7)]).await;
    assert_eq!(reported(f).await, [(FindingKind::Gap, 1, 6, 7)]);
}

pub(super) async fn what_is_quarantined_is_not_missing(f: &Fixture) {
    f.stage(numbers(1..=3)).await;
    let item = NewQuarantined {
        source: Some(SOURCE.into()),
        event_id: None,
        sequence: Some(4),
        ..quarantined(b"{broken", "malformed-json")
    };
    let far =
        NewQuarantined { sequence: Some(u64::MAX), ..NewQuarantined { raw: b"garbled".to_vec(), ..item.clone() } };
    f.staging.stage(&Arrivals { events: numbers(5..=6), quarantined: vec![item, far] }).await.unwrap();
    assert_eq!(reported(f).await, []);
    f.stage(vec![numbered("4", 4, 700)]).await;
    assert_eq!(reported(f).await, [], "it was sent again in a form that is understood");
}

pub(super) async fn a_finding_is_settled_once_with_an_act(f: &Fixture) {
    f.stage(numbers(1..=2)).await;
    f.stage(numbers(4..=4)).await;
    let act = NewAct {
        at: minute(7),
        who: "w".into(),
        verb: "sequence settle".into(),
        subject: "findings 1".into(),
        reason: "r".into(),
    };
    assert!(f.staging.settle_findings(&[1], &act).await.is_err(), "it was never reported");
    assert_eq!(reported(f).await.len(), 1);
    let id = f.staging.findings(false, 10).await.unwrap()[0].id;
    assert!(f.staging.settle_findings(&[id, id + 1], &act).await.is_err(), "all of them or none");
    f.staging.settle_findings(&[id], &act).await.unwrap();
    assert_eq!(f.staging.acts(10).await.unwrap().len(), 1);
    assert_eq!(reported(f).await, []);
    assert!(f.staging.settle_findings(&[id], &act).await.is_err());
    f.stage(numbers(3..=3)).await;
    assert_eq!(f.staging.findings(true, 10).await.unwrap()[0].closed, Some(minute(1)));
}

/// Writers that commit in any order, each with its part of one sequence.
pub(super) async fn writers_at_once_leave_no_gap(f: &Fixture) {
    let writers = (0..4u64).map(|writer| {
        let staging = std::sync::Arc::clone(&f.staging);
        tokio::spawn(async move {
            for part in 0..20 {
                let numbers = (0..10).map(|place| 1 + (part * 10 + place) * 4 + writer);
                let events: Vec<_> = numbers.map(|number| numbered(&number.to_string(), number, 5)).collect();
                while let Err(error) = staging.stage(&Arrivals { events: events.clone(), quarantined: vec![] }).await {
                    assert!(error.retryable(), "{error}");
                }
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let row = &f.staging.sequences().await.unwrap()[0];
    assert_eq!((row.first, row.highest, row.missing), (1, Some(800), 0));
    assert_eq!(reported(f).await, []);
}
