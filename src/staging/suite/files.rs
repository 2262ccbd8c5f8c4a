//! Files on their way: listed, asked for in vain, owed by batches, and brought by supplements.

use futures_util::TryStreamExt as _;

use super::kit::{ALL, Fixture, event, minute, new_cut, rendered, upload};
use crate::staging::{
    BatchId, BatchRow, BatchState, BatchStep, By, Capture, CaptureRow, ListedFile, NewEvent, PostponedFile,
    RenderedBatch, Seq, SetAside, StagingError, Supplement,
};

fn stored(seq: Seq, sha256: u8) -> CaptureRow {
    let outcome = Capture::Stored { sha256: [sha256; 32], size: 5, mismatch: false, extension: Some("pdf".into()) };
    CaptureRow { seq, outcome }
}

fn missing(seq: Seq) -> CaptureRow {
    CaptureRow { seq, outcome: Capture::Missing { reason: "never".into() } }
}

fn listed(seq: Seq, giver: &str) -> ListedFile {
    ListedFile { seq, giver: giver.into(), received: minute(1), next_at: minute(1) }
}

fn in_room(room: &str, event: NewEvent) -> NewEvent {
    NewEvent { room_uri: Some(room.into()), ..event }
}

async fn unlisted(f: &Fixture, after: Seq) -> Vec<Seq> {
    f.staging.unlisted_files(after).map_ok(|event| event.seq).try_collect().await.unwrap()
}

async fn due(f: &Fixture, giver: &str, at: i64) -> Vec<Seq> {
    f.staging.due_files(giver, minute(at), 9).await.unwrap().iter().map(|file| file.seq).collect()
}

/// Stages two uploads to one room, one to another and a message, cuts them, and gives the batch and the uploads.
async fn three_uploads(f: &Fixture) -> (BatchRow, [Seq; 3]) {
    let (one, two) = ("urn:room:1", "urn:room:2");
    let uploads = vec![
        in_room(one, upload("s", "1")),
        event("s", "2"),
        in_room(one, upload("s", "3")),
        in_room(two, upload("s", "4")),
    ];
    f.stage(uploads).await;
    let batch = f.cut("a", 1).await;
    let seqs = unlisted(f, 0).await;
    f.staging.list_files(&seqs.iter().map(|seq| listed(*seq, "g")).collect::<Vec<_>>()).await.unwrap();
    (batch, seqs.try_into().unwrap())
}

/// Records a batch as rendered and published.
async fn publish(f: &Fixture, result: &RenderedBatch) -> Option<BatchId> {
    let lease = f.lease("a").await;
    let left = f.staging.finish_render(&lease, result).await.unwrap();
    let published = BatchStep::Published { at: minute(50) };
    f.staging.advance(By::Worker(&lease), result.id, &[BatchState::Rendered], &published).await.unwrap();
    left
}

async fn tell(f: &Fixture, id: BatchId, seqs: &[Seq]) {
    let told: Vec<_> = seqs.iter().map(|seq| (*seq, format!("not yet\0 {seq}"))).collect();
    f.staging.tell_files(&f.lease("a").await, id, &told).await.unwrap();
}

pub(super) async fn files_are_pending_until_they_are_captured(f: &Fixture) {
    let (batch, [first, second, third]) = three_uploads(f).await;
    assert_eq!(unlisted(f, 0).await, <[Seq; 0]>::default());
    f.staging.list_files(&[listed(first, "another"), listed(999, "g")]).await.unwrap();
    let givers = f.staging.file_givers(minute(1)).await.unwrap();
    let told: Vec<_> = givers.iter().map(|row| (&*row.giver, row.waiting, row.due, row.oldest)).collect();
    assert_eq!(told, [("g", 3, 3, minute(1))], "what is listed stays, and what is not staged is not listed");
    assert_eq!(due(f, "g", 0).await, <[Seq; 0]>::default());

    let meanwhile = stored(second, 7).outcome;
    let later = |seq, meanwhile| PostponedFile { seq, next_at: minute(3), reason: "404\0".into(), meanwhile };
    f.staging.postpone_files(&[later(first, None), later(second, Some(meanwhile.clone()))]).await.unwrap();
    assert_eq!(due(f, "g", 2).await, [third]);
    assert_eq!(due(f, "g", 3).await, [third, first, second], "longest due first");
    let pending = f.staging.pending_files(batch.range).await.unwrap();
    assert_eq!(
        pending.iter().map(|file| (file.seq, file.attempts)).collect::<Vec<_>>(),
        [(first, 1), (second, 1), (third, 0)]
    );
    assert_eq!(pending[0].reason.as_deref(), Some("404\u{2400}"));
    assert!(
        matches!(&pending[1].meanwhile, Some(Capture::Stored { sha256, size: 5, mismatch: true, .. }) if *sha256 == [7; 32])
    );
    let named = f.staging.event(second).await.unwrap().unwrap();
    assert_eq!((&*named.id, named.seq), ("3", second));

    f.staging.record_captures(&[stored(first, 1), missing(third)]).await.unwrap();
    let left = f.staging.pending_files(ALL).await.unwrap();
    assert_eq!(left.iter().map(|file| file.seq).collect::<Vec<_>>(), [second]);
    f.staging.postpone_files(&[later(first, None)]).await.unwrap();
    f.staging.list_files(&[listed(first, "g")]).await.unwrap();
    assert_eq!(due(f, "g", 9).await, [second], "what is captured is pending no more");
    assert_eq!(unlisted(f, 0).await, <[Seq; 0]>::default());
    f.stage(vec![upload("s", "5")]).await;
    assert_eq!(unlisted(f, third).await.len(), 1);
    assert_eq!(f.staging.pending_files(ALL).await.unwrap()[1].giver, "", "not listed yet");
}

pub(super) async fn what_came_meanwhile_is_not_swept_before_its_time(f: &Fixture) {
    let (batch, [first, second, third]) = three_uploads(f).await;
    let half = |seq, sha256| PostponedFile {
        seq,
        next_at: minute(3),
        reason: "half".into(),
        meanwhile: Some(stored(seq, sha256).outcome),
    };
    let unreferenced = async || f.staging.purge_events(&["a".into()]).await.unwrap().unreferenced;
    f.staging.postpone_files(&[half(first, 1), half(second, 2)]).await.unwrap();
    assert_eq!(unreferenced().await, <[[u8; 32]; 0]>::default());
    f.staging.postpone_files(&[half(first, 3)]).await.unwrap();
    assert_eq!(unreferenced().await, [[1; 32]], "there is something newer");
    f.staging.record_captures(&[stored(first, 4), stored(second, 2), missing(third)]).await.unwrap();
    assert_eq!(unreferenced().await, [[3; 32]], "and the whole of it; the other half is all there is");
    f.stage(vec![upload("s", "9")]).await;
    let abandoned = f.cut("a", 2).await;
    let last = unlisted(f, 0).await[0];
    f.staging.list_files(&[listed(last, "g")]).await.unwrap();
    f.staging.postpone_files(&[half(last, 5)]).await.unwrap();
    f.finish(&batch, BatchState::Purged).await;
    f.finish(&abandoned, BatchState::Purged).await;
    let purged = f.staging.purge_events(&["a".into()]).await.unwrap();
    assert_eq!((purged.events, purged.unreferenced), (5, vec![[2; 32], [4; 32], [5; 32]]));
    assert_eq!(f.staging.file_givers(minute(9)).await.unwrap(), []);
}

pub(super) async fn a_late_file_follows_in_a_supplement(f: &Fixture) {
    let (batch, [first, second, third]) = three_uploads(f).await;
    let lease = f.lease("a").await;
    tell(f, batch.id, &[first, second, third]).await;
    tell(f, batch.id, &[first]).await;
    let owed = f.staging.owed_files(batch.id).await.unwrap();
    let told: Vec<_> = owed.iter().map(|owed| (owed.seq, &*owed.reason, owed.supplement, owed.closed)).collect();
    let reasons = [first, second, third].map(|seq| format!("not yet\u{2400} {seq}"));
    let expected: Vec<_> =
        [first, second, third].into_iter().zip(&reasons).map(|(seq, why)| (seq, &**why, None, false)).collect();
    assert_eq!(told, expected, "what was told first stands");
    f.staging.record_captures(&[stored(first, 1)]).await.unwrap();
    assert_eq!(f.staging.late_files("a").await.unwrap(), [], "it is not published yet");
    assert!(matches!(f.staging.supplement_files(&lease, batch.id).await, Err(StagingError::Refused { .. })));
    publish(f, &rendered(&batch, &["a.xml"])).await;

    let late = f.staging.late_files("a").await.unwrap();
    assert_eq!(late.iter().map(|late| (late.batch, late.came, late.waiting)).collect::<Vec<_>>(), [(batch.id, 1, 2)]);
    assert_eq!(f.staging.late_files("b").await.unwrap(), []);
    let made = f.staging.supplement_files(&lease, batch.id).await.unwrap().unwrap();
    assert_eq!(f.staging.supplement_files(&lease, batch.id).await.unwrap(), None, "once");
    assert_eq!(f.staging.late_files("a").await.unwrap(), []);
    let row = f.staging.batch(made).await.unwrap().unwrap();
    assert!(made > batch.id);
    let kind = (row.state, row.attempts, row.supplement_to, row.completes, row.range);
    assert_eq!(kind, (BatchState::Cut, 0, Some(batch.id), Some(batch.id), batch.range));
    assert_eq!(f.staging.completed_files(made).await.unwrap(), [first]);
    let rooms: Vec<_> = f.staging.set_aside(made).await.unwrap().into_iter().map(|(uri, _)| uri.to_string()).collect();
    assert_eq!(rooms, ["urn:room:1"]);
    assert_eq!(f.staging.supplements(batch.id).await.unwrap(), std::slice::from_ref(&row));
    assert_eq!(f.staging.supplements(made).await.unwrap(), []);
    assert_eq!(f.staging.alerts().await.unwrap(), [], "nothing has failed");

    // Another one for what comes later; what never comes needs none.
    f.staging.record_captures(&[stored(third, 1), missing(second)]).await.unwrap();
    let other = f.staging.supplement_files(&lease, batch.id).await.unwrap().unwrap();
    assert_eq!(f.staging.completed_files(other).await.unwrap(), [third]);
    let owed = f.staging.owed_files(batch.id).await.unwrap();
    let told: Vec<_> = owed.iter().map(|owed| (owed.supplement, owed.closed)).collect();
    assert_eq!(told, [(Some(made), true), (None, true), (Some(other), true)]);
    let next = f.cut("a", 2).await;
    assert!(next.id > other, "numbers go on");
}

pub(super) async fn nothing_that_a_late_file_needs_is_purged(f: &Fixture) {
    let (batch, [first, second, third]) = three_uploads(f).await;
    f.staging.record_captures(&[stored(third, 3)]).await.unwrap();
    tell(f, batch.id, &[first, second]).await;
    let before = RenderedBatch { presence: vec![(1, b"before".to_vec())], ..rendered(&batch, &["a.xml"]) };
    publish(f, &before).await;
    let lease = f.lease("a").await;
    let finish = async |id: BatchId| {
        let collected = BatchStep::Collected { at: minute(51), how: "removed".into() };
        f.staging.advance(By::Collector, id, &[BatchState::Published], &collected).await.unwrap();
        let purged = BatchStep::Purged { at: minute(52) };
        f.staging.advance(By::Worker(&lease), id, &[BatchState::Collected], &purged).await.unwrap();
    };
    finish(batch.id).await;
    assert_eq!(f.purge(&["a"]).await, 0, "two files may still come");
    f.staging.record_captures(&[missing(second)]).await.unwrap();
    assert_eq!(f.purge(&["a"]).await, 0, "one may");
    f.staging.record_captures(&[stored(first, 1)]).await.unwrap();
    assert_eq!(f.purge(&["a"]).await, 0, "it follows");
    let made = f.staging.supplement_files(&lease, batch.id).await.unwrap().unwrap();
    assert_eq!(f.purge(&["a"]).await, 0, "its supplement is open");
    assert_eq!(f.staging.captures(ALL).await.unwrap().len(), 3);
    let row = f.staging.batch(made).await.unwrap().unwrap();
    publish(f, &rendered(&row, &["b.xml"])).await;
    finish(made).await;
    assert_eq!(f.purge(&["a"]).await, 4);
}

pub(super) async fn a_file_that_will_never_come_is_not_owed(f: &Fixture) {
    let (batch, [first, second, third]) = three_uploads(f).await;
    // Recorded while the batch was about to say that it had not come yet.
    f.staging.record_captures(&[missing(first), missing(second)]).await.unwrap();
    tell(f, batch.id, &[first, second, third]).await;
    let closed: Vec<_> = f.staging.owed_files(batch.id).await.unwrap().iter().map(|owed| owed.closed).collect();
    assert_eq!(closed, [true, true, false]);
    publish(f, &rendered(&batch, &["a.xml"])).await;
    let act = crate::staging::NewAct {
        at: minute(60),
        who: "w".into(),
        verb: "abandon".into(),
        subject: "batch".into(),
        reason: "r".into(),
    };
    let abandoned = BatchStep::Abandoned { reason: "r".into() };
    f.staging.advance(By::Person(&act), batch.id, &[BatchState::Published], &abandoned).await.unwrap();
    assert!(f.staging.owed_files(batch.id).await.unwrap().iter().all(|owed| owed.closed), "nor by what was given up");
    assert_eq!(f.purge(&["a"]).await, 4);
}

pub(super) async fn a_conversation_that_is_set_aside_takes_its_files_along(f: &Fixture) {
    let (batch, [first, second, third]) = three_uploads(f).await;
    let lease = f.lease("a").await;
    tell(f, batch.id, &[first, second, third]).await;
    let pending = f.staging.pending_files(batch.range).await.unwrap();
    let (one, two) = (pending[0].room, pending[2].room);
    let aside = |room| Supplement {
        conversations: vec![SetAside { room, reason: "too deep".into() }],
        counts: Default::default(),
        retry_at: minute(30),
        reason: "too deep".into(),
    };
    // Of a batch: the conversation's own supplement says anew which files have not come.
    let left =
        publish(f, &RenderedBatch { set_aside: Some(aside(two)), ..rendered(&batch, &["a.xml"]) }).await.unwrap();
    let owed: Vec<_> = f.staging.owed_files(batch.id).await.unwrap().iter().map(|owed| owed.seq).collect();
    assert_eq!(owed, [first, second]);
    let retry = f.staging.advance(By::Worker(&lease), left, &[BatchState::Failed], &BatchStep::Retry).await.unwrap();
    tell(f, left, &[third]).await;
    publish(f, &rendered(&retry, &["b.xml"])).await;
    f.staging.record_captures(&[stored(first, 1), stored(second, 2), stored(third, 3)]).await.unwrap();
    let late: Vec<_> = f.staging.late_files("a").await.unwrap().iter().map(|late| (late.batch, late.came)).collect();
    assert_eq!(late, [(batch.id, 2), (left, 1)]);
    let follows = f.staging.supplement_files(&lease, left).await.unwrap().unwrap();
    let row = f.staging.batch(follows).await.unwrap().unwrap();
    assert_eq!((row.supplement_to, row.completes), (Some(batch.id), Some(left)));

    // Of a supplement of files: the next one brings them.
    let made = f.staging.supplement_files(&lease, batch.id).await.unwrap().unwrap();
    let row = f.staging.batch(made).await.unwrap().unwrap();
    let next = publish(f, &RenderedBatch { set_aside: Some(aside(one)), ..rendered(&row, &["c.xml"]) }).await.unwrap();
    assert_eq!(f.staging.completed_files(made).await.unwrap(), <[Seq; 0]>::default());
    assert_eq!(f.staging.completed_files(next).await.unwrap(), [first, second]);
    assert_eq!(f.staging.batch(next).await.unwrap().unwrap().completes, Some(batch.id));
}

pub(super) async fn files_are_told_and_follow_under_the_lease_alone(f: &Fixture) {
    let (batch, [first, ..]) = three_uploads(f).await;
    tell(f, batch.id, &[first]).await;
    publish(f, &rendered(&batch, &["a.xml"])).await;
    f.staging.record_captures(&[stored(first, 1)]).await.unwrap();
    let old = f.lease("a").await;
    f.staging.release(&old).await.unwrap();
    let hour = std::time::Duration::from_secs(3600);
    f.staging.lease("adapter:a", "another", hour).await.unwrap().unwrap();
    let lost = |error: StagingError| assert!(matches!(error, StagingError::LeaseLost { .. }), "{error}");
    lost(f.staging.tell_files(&old, batch.id, &[]).await.unwrap_err());
    lost(f.staging.supplement_files(&old, batch.id).await.unwrap_err());
    lost(f.staging.cut(&old, &new_cut("a", 3)).await.unwrap_err());
}
