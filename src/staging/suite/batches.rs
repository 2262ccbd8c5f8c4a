//! The life of a batch after its cut.

use std::time::Duration;

use super::kit::{Fixture, event, minute, new_cut, rendered};
use crate::staging::{
    BatchCounts, BatchState, BatchStep, By, Lease, OutputRow, RenderedBatch, StagingError, Workplace,
};

fn refused<T: std::fmt::Debug>(result: crate::staging::Result<T>) {
    let error = result.unwrap_err();
    assert!(matches!(error, StagingError::Refused { .. }), "{error}");
}

pub(super) async fn a_rendered_batch_stands_and_is_not_rendered_otherwise(f: &Fixture) {
    let batch = f.cut("a", 1).await;
    let lease = f.lease("a").await;
    let result = rendered(&batch, &["f.bin", "a.xml"]);
    f.staging.finish_render(&lease, &result).await.unwrap();
    f.staging.finish_render(&lease, &result).await.unwrap();
    let row = f.staging.batch(batch.id).await.unwrap().unwrap();
    assert_eq!((row.state, row.counts), (BatchState::Rendered, result.counts));
    assert_eq!(f.staging.outputs(batch.id).await.unwrap(), result.outputs);
    refused(f.staging.finish_render(&lease, &rendered(&batch, &["other.xml"])).await);
    refused(f.staging.finish_render(&lease, &rendered(&batch, &[])).await);
    refused(f.staging.finish_render(&lease, &RenderedBatch { id: 999, ..result.clone() }).await);
    assert_eq!(f.staging.outputs(batch.id).await.unwrap(), result.outputs);
    let published = BatchStep::Published { at: minute(2) };
    f.staging.advance(By::Worker(&lease), batch.id, &[BatchState::Rendered], &published).await.unwrap();
    refused(f.staging.finish_render(&lease, &result).await);
}

pub(super) async fn a_batch_without_files_is_empty(f: &Fixture) {
    let batch = f.cut("a", 1).await;
    let lease = f.lease("a").await;
    let result = RenderedBatch { counts: BatchCounts { signals: 3, ..Default::default() }, ..rendered(&batch, &[]) };
    f.staging.finish_render(&lease, &result).await.unwrap();
    f.staging.finish_render(&lease, &result).await.unwrap();
    let row = f.staging.batch(batch.id).await.unwrap().unwrap();
    assert_eq!((row.state, row.counts.signals), (BatchState::Empty, 3));
    refused(f.staging.finish_render(&lease, &rendered(&batch, &["a.xml"])).await);
}

pub(super) async fn the_first_recorded_workplace_stands(f: &Fixture) {
    f.stage(vec![event("s", "1")]).await;
    let batch = f.cut("a", 1).await;
    let lease = f.lease("a").await;
    let made_in = |directory: &str| Workplace { share: "a-share".into(), directory: directory.into() };
    let result = |directory| RenderedBatch { workplace: made_in(directory), ..rendered(&batch, &["a.xml"]) };
    assert_eq!(batch.workplace, Workplace::default());
    f.staging.finish_render(&lease, &result("1-1")).await.unwrap();
    // As when the answer to the first was lost, and the batch was rendered again.
    f.staging.finish_render(&lease, &result("1-2")).await.unwrap();
    assert_eq!(f.staging.batch(batch.id).await.unwrap().unwrap().workplace, made_in("1-1"));
}

pub(super) async fn only_allowed_steps_are_taken(f: &Fixture) {
    let batch = f.cut("a", 1).await;
    let published = BatchStep::Published { at: minute(2) };
    refused(f.staging.advance(By::Collector, batch.id, &BatchState::ALL, &published).await);
    refused(f.staging.advance(By::Collector, 999, &BatchState::ALL, &published).await);
    f.finish(&batch, BatchState::Rendered).await;
    refused(f.staging.advance(By::Collector, batch.id, &[BatchState::Published], &published).await);
    let row = f.staging.advance(By::Collector, batch.id, &[BatchState::Rendered], &published).await.unwrap();
    assert_eq!(row.published_at, Some(minute(2)));
    let collected = BatchStep::Collected { at: minute(3), how: "removed".into() };
    f.staging.advance(By::Collector, batch.id, &[BatchState::Published], &collected).await.unwrap();
    let purged = BatchStep::Purged { at: minute(4) };
    let row = f.staging.advance(By::Collector, batch.id, &[BatchState::Collected], &purged).await.unwrap();
    assert_eq!(f.staging.batch(batch.id).await.unwrap(), Some(row.clone()));
    assert_eq!((row.state, row.collected_at, row.purged_at), (BatchState::Purged, Some(minute(3)), Some(minute(4))));
    assert_eq!(row.collected_how.as_deref(), Some("removed"));
    refused(f.staging.advance(By::Collector, batch.id, &BatchState::ALL, &BatchStep::Retry).await);
}

pub(super) async fn a_failed_batch_is_tried_again_and_passes_presence_on(f: &Fixture) {
    f.stage(vec![event("s", "1")]).await;
    let batch = f.cut("a", 1).await;
    let failed = |n: i64| BatchStep::Failed {
        reason: format!("no space {n}"),
        retry_at: minute(n),
        presence: vec![(1, vec![1, 2, 3])],
        conversations: Vec::new(),
    };
    let row = f.staging.advance(By::Collector, batch.id, &[BatchState::Cut], &failed(5)).await.unwrap();
    assert_eq!((row.state, row.attempts, row.retry_at), (BatchState::Failed, 1, Some(minute(5))));
    assert_eq!(row.reason.as_deref(), Some("no space 5"));
    assert_eq!(f.staging.presence("a", 1, batch.id + 1).await.unwrap(), Some(vec![1, 2, 3]));
    let lease = f.lease("a").await;
    refused(f.staging.finish_render(&lease, &rendered(&batch, &["a.xml"])).await);
    let row = f.staging.advance(By::Collector, batch.id, &[BatchState::Failed], &BatchStep::Retry).await.unwrap();
    assert_eq!((row.state, row.attempts, row.retry_at), (BatchState::Cut, 1, None));
    let row = f.staging.advance(By::Collector, batch.id, &[BatchState::Cut], &failed(6)).await.unwrap();
    assert_eq!(row.attempts, 2);
    let abandoned = BatchStep::Abandoned { reason: "lost for ever".into() };
    let row = f.staging.advance(By::Collector, batch.id, &[BatchState::Failed], &abandoned).await.unwrap();
    assert_eq!((row.state, row.reason.as_deref()), (BatchState::Abandoned, Some("lost for ever")));
}

pub(super) async fn outputs_are_collected_one_by_one(f: &Fixture) {
    let batch = f.cut("a", 1).await;
    let lease = f.lease("a").await;
    f.staging.finish_render(&lease, &rendered(&batch, &["f.bin", "a.xml", "b.xml"])).await.unwrap();
    f.staging.mark_collected(batch.id, &["a.xml".into()], minute(5)).await.unwrap();
    f.staging.mark_collected(batch.id, &["a.xml".into(), "b.xml".into()], minute(6)).await.unwrap();
    refused(f.staging.mark_collected(batch.id, &["f.bin".into(), "no.xml".into()], minute(7)).await);
    refused(f.staging.mark_collected(999, &[], minute(7)).await);
    let times: Vec<_> = f.staging.outputs(batch.id).await.unwrap().iter().map(|row| row.collected_at).collect();
    assert_eq!(times, [None, Some(minute(5)), Some(minute(6))]);
    let same: Vec<OutputRow> = f.staging.outputs(batch.id).await.unwrap();
    let again = RenderedBatch { outputs: same, ..rendered(&batch, &["f.bin", "a.xml", "b.xml"]) };
    f.staging.finish_render(&lease, &again).await.unwrap();
}

pub(super) async fn presence_is_that_of_the_last_batch_before(f: &Fixture) {
    f.stage(vec![event("s", "1")]).await;
    let mut batches = Vec::new();
    for (end, bytes) in [(1, Some(b"one")), (2, None), (3, Some(b"two"))] {
        let batch = f.cut("a", end).await;
        let presence = bytes.into_iter().map(|bytes| (1, bytes.to_vec())).collect();
        let result = RenderedBatch { presence, ..rendered(&batch, &["a.xml"]) };
        f.staging.finish_render(&f.lease("a").await, &result).await.unwrap();
        batches.push(batch.id);
    }
    let before = async |id| f.staging.presence("a", 1, id).await.unwrap();
    assert_eq!(before(batches[0]).await, None);
    assert_eq!(before(batches[1]).await.as_deref(), Some(&b"one"[..]));
    assert_eq!(before(batches[2]).await.as_deref(), Some(&b"one"[..]));
    assert_eq!(before(batches[2] + 1).await.as_deref(), Some(&b"two"[..]));
    assert_eq!(f.staging.presence("b", 1, i64::MAX).await.unwrap(), None);
    assert_eq!(f.staging.presence("a", 2, i64::MAX).await.unwrap(), None);
}

pub(super) async fn stale_leases_are_refused_everywhere(f: &Fixture) {
    let batch = f.cut("a", 1).await;
    let held = f.lease("a").await;
    let stale = Lease { token: held.token - 1, ..held.clone() };
    let foreign = Lease { holder: "other".into(), ..held };
    let never = Lease { name: "adapter:never".into(), holder: "test".into(), token: 1 };
    for lease in [&stale, &foreign, &never] {
        let step = BatchStep::Failed {
            reason: "r".into(),
            retry_at: minute(9),
            presence: Vec::new(),
            conversations: Vec::new(),
        };
        let results = [
            f.staging.cut(lease, &new_cut("a", 2)).await.map(drop),
            f.staging.finish_render(lease, &rendered(&batch, &["a.xml"])).await.map(drop),
            f.staging.advance(By::Worker(lease), batch.id, &[BatchState::Cut], &step).await.map(drop),
        ];
        for result in results {
            assert!(matches!(result, Err(StagingError::LeaseLost { .. })), "{result:?}");
        }
    }
    assert_eq!(f.staging.batch(batch.id).await.unwrap(), Some(batch));
    let other = f.staging.lease("adapter:b", "else", Duration::from_secs(60)).await.unwrap();
    assert!(other.is_some(), "leases of other names are free");
}
