//! Conversations that could not be rendered: a batch of their own until they are.

use super::kit::{ALL, Fixture, event, minute, rendered};
use crate::staging::{
    BatchCounts, BatchId, BatchRow, BatchState, BatchStep, BatchTotals, By, Lease, NewAct, NewEvent, RenderedBatch,
    Result, RoomNo, SetAside, StagingError, Supplement,
};

fn refused<T: std::fmt::Debug>(result: Result<T>) {
    let error = result.unwrap_err();
    assert!(matches!(error, StagingError::Refused { .. }), "{error}");
}

fn conversation(room: RoomNo, reason: &str) -> SetAside {
    SetAside { room, reason: reason.into() }
}

fn supplement(conversations: &[SetAside]) -> Supplement {
    let counts = BatchCounts {
        events: 2 * conversations.len() as u64,
        conversations: conversations.len() as u64,
        ..Default::default()
    };
    Supplement { conversations: conversations.to_vec(), counts, retry_at: minute(30), reason: "too deep".into() }
}

/// The rendering of a batch that leaves these rooms out.
fn without(batch: &BatchRow, conversations: &[SetAside]) -> RenderedBatch {
    RenderedBatch { set_aside: Some(supplement(conversations)), ..rendered(batch, &["a.xml"]) }
}

fn failed(minutes: i64, conversations: &[SetAside]) -> BatchStep {
    let (reason, retry_at) = (format!("at {minutes}"), minute(minutes));
    BatchStep::Failed { reason, retry_at, presence: Vec::new(), conversations: conversations.to_vec() }
}

/// Two events in each of three rooms, in one batch.
async fn three_rooms(f: &Fixture) -> BatchRow {
    let said = |room: i32, id: i32| NewEvent {
        room_uri: Some(format!("urn:room:{room}")),
        ..event("s", &format!("{room} {id}"))
    };
    f.stage((1..=3).flat_map(|room| [said(room, 1), said(room, 2)]).collect()).await;
    f.cut("a", 1).await
}

/// Such a batch, rendered without its rooms 2 and 3.
async fn with_supplement(f: &Fixture) -> (BatchRow, BatchRow) {
    let batch = three_rooms(f).await;
    let left_out = [conversation(2, "no template"), conversation(3, "too long")];
    let made = f.staging.finish_render(&f.lease("a").await, &without(&batch, &left_out)).await.unwrap();
    (batch, row(f, made.unwrap()).await)
}

async fn row(f: &Fixture, id: BatchId) -> BatchRow {
    f.staging.batch(id).await.unwrap().unwrap()
}

async fn advance(f: &Fixture, id: BatchId, from: BatchState, step: &BatchStep) -> Result<BatchRow> {
    f.staging.advance(By::Worker(&f.lease("a").await), id, &[from], step).await
}

/// Takes a rendered batch to its end.
async fn deliver(f: &Fixture, id: BatchId) {
    let at = minute(50);
    advance(f, id, BatchState::Rendered, &BatchStep::Published { at }).await.unwrap();
    advance(f, id, BatchState::Published, &BatchStep::Collected { at, how: "removed".into() }).await.unwrap();
    advance(f, id, BatchState::Collected, &BatchStep::Purged { at }).await.unwrap();
}

/// The rooms of a supplement and their reasons.
async fn held(f: &Fixture, id: BatchId) -> Vec<(String, String)> {
    let found = f.staging.set_aside(id).await.unwrap();
    found.into_iter().map(|(room, set_aside)| (room.to_string(), set_aside.reason)).collect()
}

fn rooms(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(room, reason)| (format!("urn:room:{room}"), (*reason).to_owned())).collect()
}

pub(super) async fn what_is_set_aside_becomes_a_supplement(f: &Fixture) {
    let batch = three_rooms(f).await;
    let lease = f.lease("a").await;
    let none = RenderedBatch { set_aside: Some(supplement(&[])), ..rendered(&batch, &["a.xml"]) };
    refused(f.staging.finish_render(&lease, &none).await);
    let result = without(&batch, &[conversation(3, "too\0long"), conversation(2, "no template")]);
    let made = f.staging.finish_render(&lease, &result).await.unwrap().unwrap();
    assert!(made > batch.id);

    let left = row(f, made).await;
    let original = row(f, batch.id).await;
    assert_eq!((original.state, original.counts, original.supplement_to), (BatchState::Rendered, result.counts, None));
    let expected = BatchRow {
        id: made,
        state: BatchState::Failed,
        attempts: 1,
        retry_at: Some(minute(30)),
        reason: Some("too deep".into()),
        counts: supplement(&result.set_aside.as_ref().unwrap().conversations).counts,
        supplement_to: Some(batch.id),
        ..batch.clone()
    };
    assert_eq!(left, expected, "of the same adapter, interval and range");
    assert_eq!((original.place(), left.place()), (batch.id, batch.id));
    assert_eq!(held(f, made).await, rooms(&[("2", "no template"), ("3", "too\u{2400}long")]));
    assert_eq!(f.staging.failures(made).await.unwrap(), f.staging.set_aside(made).await.unwrap());
    assert_eq!(held(f, batch.id).await, []);
    assert_eq!(f.staging.supplements(batch.id).await.unwrap(), std::slice::from_ref(&left));
    assert_eq!(f.staging.supplements(made).await.unwrap(), []);
    let alerts = f.staging.alerts().await.unwrap();
    let told: Vec<_> =
        alerts.iter().map(|alert| (&*alert.kind, &*alert.subject, &*alert.detail, alert.count)).collect();
    assert_eq!(told, [("batch-failed", &*format!("batch {made}"), "adapter a: too deep", 1)]);

    // As when the answer to the first was lost, also much later.
    assert_eq!(f.staging.finish_render(&lease, &result).await.unwrap(), Some(made));
    advance(f, made, BatchState::Failed, &BatchStep::Retry).await.unwrap();
    assert_eq!(f.staging.finish_render(&lease, &result).await.unwrap(), Some(made));
    refused(f.staging.finish_render(&lease, &RenderedBatch { set_aside: None, ..result }).await);
    assert_eq!(f.staging.batches(&Default::default()).await.unwrap().len(), 2, "no second one");
    assert_eq!(f.staging.alerts().await.unwrap(), alerts, "and nothing is told twice");

    let next = f.cut("a", 2).await;
    assert_eq!((next.supplement_to, next.interval_start, next.range.from), (None, minute(1), batch.range.to));
}

pub(super) async fn a_supplement_is_a_batch_like_any_other(f: &Fixture) {
    let (batch, left) = with_supplement(f).await;
    deliver(f, batch.id).await;
    assert_eq!(f.purge(&["a"]).await, 0, "its events are needed");

    advance(f, left.id, BatchState::Failed, &BatchStep::Retry).await.unwrap();
    refused(advance(f, left.id, BatchState::Cut, &failed(40, &[conversation(3, "x"), conversation(1, "x")])).await);
    assert_eq!(row(f, left.id).await.state, BatchState::Cut, "a refused step changes nothing");
    let again = advance(f, left.id, BatchState::Cut, &failed(40, &[conversation(3, "still too long")])).await.unwrap();
    assert_eq!((again.attempts, again.retry_at, again.reason.as_deref()), (2, Some(minute(40)), Some("at 40")));
    assert_eq!(held(f, left.id).await, rooms(&[("2", "no template"), ("3", "still too long")]));
    // A step to the state it is in changes nothing.
    advance(f, left.id, BatchState::Failed, &failed(41, &[conversation(3, "other")])).await.unwrap();
    assert_eq!(held(f, left.id).await, rooms(&[("2", "no template"), ("3", "still too long")]));
    // The stylesheet could not even be loaded: nothing is known of the conversations, and they are kept.
    advance(f, left.id, BatchState::Failed, &BatchStep::Retry).await.unwrap();
    advance(f, left.id, BatchState::Cut, &failed(42, &[])).await.unwrap();
    assert_eq!(held(f, left.id).await.len(), 2);
    assert_eq!(f.purge(&["a"]).await, 0);

    let retried = advance(f, left.id, BatchState::Failed, &BatchStep::Retry).await.unwrap();
    let result = rendered(&retried, &["b.xml"]);
    assert_eq!(f.staging.finish_render(&f.lease("a").await, &result).await.unwrap(), None);
    let row = row(f, left.id).await;
    assert_eq!((row.state, row.reason, row.counts), (BatchState::Rendered, None, result.counts));
    assert_eq!(f.staging.outputs(left.id).await.unwrap(), result.outputs);
    assert_eq!(held(f, left.id).await.len(), 2, "what it holds stays known");
    assert_eq!(f.purge(&["a"]).await, 0);
    deliver(f, left.id).await;
    let counts = result.counts;
    let purged = BatchTotals {
        adapter: "a".into(),
        state: BatchState::Purged,
        batches: 2,
        events: 2 * counts.events,
        messages: 2 * counts.messages,
    };
    assert_eq!(f.staging.batch_totals().await.unwrap(), [purged], "each counts what it wrote");
    assert_eq!(f.purge(&["a"]).await, 6);
    assert_eq!(f.ids(ALL).await, <[String; 0]>::default());
}

pub(super) async fn a_supplement_sees_presence_as_of_its_place(f: &Fixture) {
    let present = |bytes: &[u8]| vec![(2, bytes.to_vec())];
    let deliver_with = async |batch: &BatchRow, bytes: &[u8], left_out: Option<Supplement>| {
        let result = RenderedBatch { presence: present(bytes), set_aside: left_out, ..rendered(batch, &["a.xml"]) };
        let made = f.staging.finish_render(&f.lease("a").await, &result).await.unwrap();
        deliver(f, batch.id).await;
        made
    };
    let before = three_rooms(f).await;
    deliver_with(&before, b"before", None).await;
    f.stage(vec![NewEvent { room_uri: Some("urn:room:2".into()), ..event("s", "x") }]).await;
    let batch = f.cut("a", 2).await;
    let left = deliver_with(&batch, b"with", Some(supplement(&[conversation(2, "no")]))).await.unwrap();
    f.stage(vec![event("s", "y")]).await;
    let after = f.cut("a", 3).await;
    deliver_with(&after, b"after", None).await;
    assert_eq!(f.purge(&["a"]).await, 6, "of the batch before; this also purges presence that nobody needs");

    let left = row(f, left).await;
    let seen = async |place: BatchId| f.staging.presence("a", 2, place).await.unwrap();
    assert_eq!(seen(left.place()).await.as_deref(), Some(&b"before"[..]), "not what its own events led to");
    advance(f, left.id, BatchState::Failed, &BatchStep::Retry).await.unwrap();
    let tells = RenderedBatch { presence: present(b"late"), ..rendered(&left, &["b.xml"]) };
    refused(f.staging.finish_render(&f.lease("a").await, &tells).await);
    let fails = BatchStep::Failed {
        reason: "r".into(),
        retry_at: minute(9),
        presence: present(b"late"),
        conversations: Vec::new(),
    };
    refused(advance(f, left.id, BatchState::Cut, &fails).await);
    assert_eq!(seen(i64::MAX).await.as_deref(), Some(&b"after"[..]), "what came later is not undone");

    f.staging.finish_render(&f.lease("a").await, &rendered(&left, &["b.xml"])).await.unwrap();
    deliver(f, left.id).await;
    assert_eq!(f.purge(&["a"]).await, 2);
    assert_eq!(seen(left.place()).await, None, "superseded");
    assert_eq!(seen(i64::MAX).await.as_deref(), Some(&b"after"[..]));
}

pub(super) async fn a_supplement_is_abandoned_with_an_act(f: &Fixture) {
    let (batch, left) = with_supplement(f).await;
    deliver(f, batch.id).await;
    let act = NewAct {
        at: minute(60),
        who: "ada".into(),
        verb: "batch abandon".into(),
        subject: format!("batch {}", left.id),
        reason: "not for the archive".into(),
    };
    let abandoned = BatchStep::Abandoned { reason: act.reason.clone() };
    let row = f.staging.advance(By::Person(&act), left.id, &[BatchState::Failed], &abandoned).await.unwrap();
    assert_eq!((row.state, row.reason.as_deref()), (BatchState::Abandoned, Some("not for the archive")));
    assert_eq!(f.staging.acts(9).await.unwrap().into_iter().map(|row| row.act).collect::<Vec<_>>(), [act]);
    assert_eq!(held(f, left.id).await.len(), 2, "what was given up stays known");
    assert_eq!(f.purge(&["a"]).await, 6);
}

pub(super) async fn what_a_supplement_sets_aside_is_the_next_ones(f: &Fixture) {
    let (batch, first) = with_supplement(f).await;
    let first = advance(f, first.id, BatchState::Failed, &BatchStep::Retry).await.unwrap();
    let lease = f.lease("a").await;
    refused(f.staging.finish_render(&lease, &without(&first, &[conversation(1, "not its own")])).await);
    assert_eq!(row(f, first.id).await, first, "a refused rendering changes nothing");
    assert_eq!(f.staging.alerts().await.unwrap().len(), 1);

    let result = without(&first, &[conversation(3, "still too long")]);
    let second = f.staging.finish_render(&lease, &result).await.unwrap().unwrap();
    assert_eq!(f.staging.finish_render(&lease, &result).await.unwrap(), Some(second));
    let second = row(f, second).await;
    assert_eq!((second.supplement_to, second.place(), second.attempts), (Some(batch.id), batch.id, 1));
    assert_eq!((second.range, second.interval_end, second.first), (batch.range, batch.interval_end, batch.first));
    assert_eq!(held(f, first.id).await, rooms(&[("2", "no template")]));
    assert_eq!(held(f, second.id).await, rooms(&[("3", "still too long")]));
    let listed = async |id| f.staging.supplements(id).await.unwrap().iter().map(|row| row.id).collect::<Vec<_>>();
    assert_eq!(listed(batch.id).await, [first.id, second.id]);
    assert_eq!(listed(first.id).await, [second.id]);

    deliver(f, batch.id).await;
    deliver(f, first.id).await;
    assert_eq!(f.purge(&["a"]).await, 0, "the second is open");
    let retried = advance(f, second.id, BatchState::Failed, &BatchStep::Retry).await.unwrap();
    assert_eq!(f.staging.finish_render(&lease, &rendered(&retried, &["c.xml"])).await.unwrap(), None);
    deliver(f, second.id).await;
    assert_eq!(f.purge(&["a"]).await, 6);
}

pub(super) async fn a_batch_without_files_may_leave_a_supplement(f: &Fixture) {
    let batch = three_rooms(f).await;
    let lease = f.lease("a").await;
    let left_out = supplement(&[conversation(1, "r")]);
    let result = RenderedBatch { set_aside: Some(left_out), ..rendered(&batch, &[]) };
    let made = f.staging.finish_render(&lease, &result).await.unwrap();
    assert!(made.is_some());
    assert_eq!(f.staging.finish_render(&lease, &result).await.unwrap(), made);
    assert_eq!(row(f, batch.id).await.state, BatchState::Empty);
    assert_eq!(f.purge(&["a"]).await, 0);
}

pub(super) async fn a_lost_lease_makes_no_supplement(f: &Fixture) {
    let batch = three_rooms(f).await;
    let held = f.lease("a").await;
    let result = without(&batch, &[conversation(1, "r")]);
    for lease in [Lease { token: held.token - 1, ..held.clone() }, Lease { holder: "other".into(), ..held.clone() }] {
        let lost = f.staging.finish_render(&lease, &result).await;
        assert!(matches!(lost, Err(StagingError::LeaseLost { .. })), "{lost:?}");
    }
    assert_eq!(f.staging.batches(&Default::default()).await.unwrap(), [batch]);
    assert_eq!(f.staging.alerts().await.unwrap(), []);
    assert!(f.staging.finish_render(&held, &result).await.unwrap().is_some());
}

pub(super) async fn a_wholly_failed_batch_tells_why_of_each_conversation(f: &Fixture) {
    let batch = three_rooms(f).await;
    let why = async || {
        let found = f.staging.failures(batch.id).await.unwrap();
        found.into_iter().map(|(room, one)| (room.to_string(), one.reason)).collect::<Vec<_>>()
    };
    let all = [1, 2, 3].map(|room| conversation(room, "no template"));
    advance(f, batch.id, BatchState::Cut, &failed(10, &all)).await.unwrap();
    assert_eq!(why().await, rooms(&[("1", "no template"), ("2", "no template"), ("3", "no template")]));
    assert_eq!(held(f, batch.id).await, [], "it holds its whole range, not only what is told of");
    assert_eq!(f.staging.supplements(batch.id).await.unwrap(), []);
    advance(f, batch.id, BatchState::Failed, &BatchStep::Retry).await.unwrap();
    advance(f, batch.id, BatchState::Cut, &failed(20, &all[2..])).await.unwrap();
    assert_eq!(why().await, rooms(&[("3", "no template")]), "what was told before is replaced");
    let retried = advance(f, batch.id, BatchState::Failed, &BatchStep::Retry).await.unwrap();
    let made = f.staging.finish_render(&f.lease("a").await, &without(&retried, &all[..1])).await.unwrap().unwrap();
    assert_eq!(why().await, []);
    assert_eq!(held(f, made).await, rooms(&[("1", "no template")]));
}
