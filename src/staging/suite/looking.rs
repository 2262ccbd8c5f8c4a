//! What people are shown.

use super::kit::{ALL, Fixture, event, events, minute, quarantined, upload};
use crate::staging::{
    Arrivals, BatchFilter, BatchState, BatchTotals, Capture, CaptureRow, NewAct, QuarantineFilter, QuarantineState,
    StagingError, Totals,
};

pub(super) async fn batches_are_listed_oldest_first_and_cut_off_at_the_old_end(f: &Fixture) {
    let mut ids = Vec::new();
    for (adapter, end) in [("a", 1), ("b", 1), ("a", 2), ("a", 3)] {
        ids.push(f.cut(adapter, end).await.id);
    }
    let first = f.staging.batch(ids[0]).await.unwrap().unwrap();
    f.finish(&first, BatchState::Published).await;
    let list = async |adapter: Option<&str>, states: &[BatchState], limit| {
        let filter = BatchFilter { adapter: adapter.map(str::to_owned), states: states.to_vec(), limit };
        f.staging.batches(&filter).await.unwrap().iter().map(|row| row.id).collect::<Vec<_>>()
    };
    assert_eq!(list(None, &[], None).await, ids);
    assert_eq!(list(Some("a"), &[], None).await, [ids[0], ids[2], ids[3]]);
    assert_eq!(list(Some("a"), &[], Some(2)).await, [ids[2], ids[3]]);
    assert_eq!(list(None, &[BatchState::Published, BatchState::Failed], None).await, [ids[0]]);
    assert_eq!(list(None, &[BatchState::Cut], Some(0)).await, <[i64; 0]>::default());
    assert_eq!(f.staging.batch(999).await.unwrap(), None);
    let total = |adapter: &str, state, batches, events, messages| {
        let adapter = adapter.into();
        BatchTotals { adapter, state, batches, events, messages }
    };
    let totals = f.staging.batch_totals().await.unwrap();
    let expected = [
        total("a", BatchState::Cut, 2, 0, 0),
        total("a", BatchState::Published, 1, 2, 1),
        total("b", BatchState::Cut, 1, 0, 0),
    ];
    assert_eq!(totals, expected);
}

pub(super) async fn quarantined_items_are_listed_by_state_and_reason(f: &Fixture) {
    let quarantined = vec![quarantined(b"1", "r"), quarantined(b"2", "q"), quarantined(b"3", "r")];
    f.staging.stage(&Arrivals { events: Vec::new(), quarantined }).await.unwrap();
    let list = async |state, reason: Option<&str>, limit| {
        let filter = QuarantineFilter { state, reason: reason.map(str::to_owned), limit };
        f.staging.quarantined(&filter).await.unwrap().iter().map(|row| row.reason.clone()).collect::<Vec<_>>()
    };
    assert_eq!(list(None, None, None).await, ["r", "q", "r"]);
    assert_eq!(list(None, Some("r"), None).await, ["r", "r"]);
    assert_eq!(list(Some(QuarantineState::Waiting), None, Some(2)).await, ["r", "q"]);
    assert_eq!(list(Some(QuarantineState::Discarded), None, None).await, <[String; 0]>::default());
}

pub(super) async fn alerts_open_count_and_close(f: &Fixture) {
    f.staging.raise_alert("share", "a", "no space", minute(1)).await.unwrap();
    f.staging.raise_alert("share", "b", "no space", minute(2)).await.unwrap();
    f.staging.raise_alert("share", "a", "no rights", minute(3)).await.unwrap();
    let open = f.staging.alerts().await.unwrap();
    assert_eq!(open.iter().map(|row| (&*row.subject, row.count)).collect::<Vec<_>>(), [("a", 2), ("b", 1)]);
    assert_eq!((&*open[0].detail, open[0].opened, open[0].last), ("no rights", minute(1), minute(3)));
    f.staging.close_alert("share", "a", minute(4)).await.unwrap();
    f.staging.close_alert("share", "never", minute(4)).await.unwrap();
    assert_eq!(f.staging.alerts().await.unwrap().len(), 1);
    f.staging.raise_alert("share", "a", "again", minute(5)).await.unwrap();
    let open = f.staging.alerts().await.unwrap();
    assert_eq!((&*open[1].subject, open[1].count, open[1].opened), ("a", 1, minute(5)), "a new alert");
}

pub(super) async fn an_alert_that_a_person_closes_is_closed_with_the_act(f: &Fixture) {
    f.staging.raise_alert("file-missing", "files of s", "event 1", minute(1)).await.unwrap();
    f.staging.raise_alert("file-missing", "files of t", "event 2", minute(1)).await.unwrap();
    let act = NewAct {
        at: minute(2),
        who: "ada".into(),
        verb: "alert close".into(),
        subject: "file-missing about files of s".into(),
        reason: "deleted by its owner".into(),
    };
    f.staging.dismiss_alert("file-missing", "files of s", &act).await.unwrap();
    let open = f.staging.alerts().await.unwrap();
    assert_eq!(open.iter().map(|row| &*row.subject).collect::<Vec<_>>(), ["files of t"]);
    let acts = f.staging.acts(9).await.unwrap();
    assert_eq!((acts.len(), &acts[0].act), (1, &act));
    let again = f.staging.dismiss_alert("file-missing", "files of s", &act).await;
    assert!(matches!(again, Err(StagingError::Refused { .. })), "{again:?}");
    assert_eq!(f.staging.acts(9).await.unwrap().len(), 1, "what was not done is not recorded");
}

pub(super) async fn acts_are_listed_newest_first(f: &Fixture) {
    let act = |verb: &str| NewAct {
        at: minute(1),
        who: "ada".into(),
        verb: verb.into(),
        subject: "batch 1".into(),
        reason: "because".into(),
    };
    for verb in ["one", "two", "three"] {
        f.staging.record_act(&act(verb)).await.unwrap();
    }
    let acts = f.staging.acts(2).await.unwrap();
    assert_eq!(acts.iter().map(|row| row.act.clone()).collect::<Vec<_>>(), [act("three"), act("two")]);
    assert!(acts[0].id > acts[1].id);
}

pub(super) async fn totals_add_up(f: &Fixture) {
    assert_eq!(f.staging.totals().await.unwrap(), Totals::default());
    let quarantined = vec![quarantined(b"1", "r")];
    let mut call = events("s", 0..3);
    call.extend([event("s", "1"), event("t", "1"), upload("t", "2"), upload("t", "3")]);
    f.staging.stage(&Arrivals { events: call, quarantined }).await.unwrap();
    for event in f.staging.uncaptured(ALL, 9).await.unwrap() {
        let outcome = Capture::Stored { sha256: [1; 32], size: 1, mismatch: false, extension: Some("pdf".into()) };
        f.staging.record_captures(&[CaptureRow { seq: event.seq, outcome }]).await.unwrap();
    }
    let batch = f.cut("a", 1).await;
    f.finish(&batch, BatchState::Empty).await;
    let before = f.staging.totals().await.unwrap();
    let expected = Totals { staged: 6, duplicates: 1, conflicts: 0, waiting: 6, quarantined: 1, files: 1 };
    assert_eq!(before, expected);
    f.purge(&["a"]).await;
    assert_eq!(f.staging.totals().await.unwrap(), Totals { waiting: 0, files: 0, ..expected });
}
