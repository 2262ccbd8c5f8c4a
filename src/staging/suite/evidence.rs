//! The log of evidence: gapless, chained, and never without what it records.

use std::sync::Arc;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::kit::{ALL, Fixture, event, events, heartbeat, minute, rendered};
use crate::evidence::entry::{KeyBody, Link, Preface};
use crate::evidence::key::SigningKey;
use crate::evidence::list::{Became, EventList, Gathering, Listed};
use crate::evidence::manifest::NewManifest;
use crate::evidence::{Draft, EntryKind};
use crate::model::Kind;
use crate::staging::{
    BatchState, BatchStep, By, CopyRow, LogEntry, LogSize, NewAct, RenderedBatch, StagingError, Uncopied, Workplace,
};

fn act(subject: &str) -> NewAct {
    let (who, verb, reason) = ("ann".into(), "batch abandon".into(), "a test".into());
    NewAct { at: minute(3), who, verb, subject: subject.into(), reason }
}

fn preface(entry: &LogEntry) -> Preface {
    serde_json::from_slice(&entry.bytes).unwrap()
}

async fn log(f: &Fixture) -> Vec<LogEntry> {
    f.staging.log_entries(0, 1000).await.unwrap()
}

async fn kinds(f: &Fixture) -> Vec<EntryKind> {
    log(f).await.iter().map(|entry| entry.kind).collect()
}

fn certificate(text: &str) -> Draft {
    Draft::new(EntryKind::Purge, &serde_json::json!({ "rule": text })).unwrap()
}

/// A list of this many events.
fn list(count: usize) -> EventList {
    let (source, dir): (Arc<str>, _) = ("/web".into(), tempfile::tempdir().unwrap());
    let mut gathering = Gathering::new(dir.path());
    for id in 0..count {
        let (id, content) = (id.to_string(), [7; 32]);
        let (kind, became) = (Kind::MessagePosted, Became::Written);
        let event = Listed { source: &source, id: &id, content, kind, sequence: None, room: Some(1), became };
        gathering.add(&event).unwrap();
    }
    gathering.finish(dir.path(), &Default::default()).unwrap()
}

pub(super) async fn manifests_are_chained_by_adapter(f: &Fixture) {
    f.stage(events("/web", 0..4)).await;
    for (adapter, end) in [("a", 1), ("b", 1), ("a", 2), ("a", 3)] {
        let batch = f.cut(adapter, end).await;
        f.finish(&batch, BatchState::Empty).await;
    }
    let log = log(f).await;
    assert!((0..).zip(&log).all(|(number, entry)| entry.entry == number && preface(entry).entry == number));
    assert!(log.iter().all(|entry| entry.sha256 == <[u8; 32]>::from(Sha256::digest(&entry.bytes))));
    let link = |entry: &LogEntry| Some(Link { entry: entry.entry, sha256: entry.sha256 });
    let previous: Vec<_> = log.iter().map(|entry| preface(entry).previous).collect();
    assert_eq!(previous, [None, None, link(&log[0]), link(&log[2])]);
    assert_eq!(f.staging.log_size().await.unwrap(), LogSize { entries: 4, written: 0 });
}

pub(super) async fn a_manifest_is_recorded_once_with_its_batch(f: &Fixture) {
    f.stage(events("/web", 0..1)).await;
    let batch = f.cut("a", 1).await;
    let lease = f.lease("a").await;
    let result = rendered(&batch, &["a.xml"]);
    for _ in 0..3 {
        f.staging.finish_render(&lease, &result).await.unwrap();
    }
    assert_eq!(kinds(f).await, [EntryKind::Manifest]);
    let other = f.staging.finish_render(&lease, &rendered(&batch, &["b.xml"])).await;
    assert!(matches!(other, Err(StagingError::Refused { .. })));
    assert_eq!((kinds(f).await.len(), log(f).await[0].batch), (1, Some(batch.id)));
}

pub(super) async fn an_act_is_an_entry_if_it_is_carried_out(f: &Fixture) {
    f.stage(events("/web", 0..1)).await;
    let batch = f.cut("a", 1).await;
    f.finish(&batch, BatchState::Published).await;
    let abandoned = BatchStep::Abandoned { reason: "a test".into() };
    let (first, second) = (act("batch 1"), act("again"));
    f.staging.advance(By::Person(&first), batch.id, &[BatchState::Published], &abandoned).await.unwrap();
    f.staging.advance(By::Person(&second), batch.id, &[BatchState::Published], &abandoned).await.unwrap_err();
    f.staging.record_act(&second).await.unwrap();
    let log = log(f).await;
    let subjects: Vec<String> = log[1..]
        .iter()
        .map(|entry| serde_json::from_slice::<Value>(&entry.bytes).unwrap()["subject"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(subjects, ["batch 1", "again"]);
}

pub(super) async fn a_certificate_stands_as_it_was_first_recorded(f: &Fixture) {
    f.stage(events("/web", 0..1)).await;
    let batch = f.cut("a", 1).await;
    let lease = f.lease("a").await;
    let first = f.staging.record_certificate(&lease, batch.id, &certificate("one")).await.unwrap();
    let again = f.staging.record_certificate(&lease, batch.id, &certificate("two")).await.unwrap();
    assert_eq!((&first, log(f).await.len()), (&again, 1));
    let stale = crate::staging::Lease { token: lease.token + 1, ..lease };
    let refused = f.staging.record_certificate(&stale, batch.id, &certificate("three")).await;
    assert!(matches!(refused, Err(StagingError::LeaseLost { .. })));
}

pub(super) async fn copies_of_a_published_manifest_are_recorded_once(f: &Fixture) {
    f.stage(events("/web", 0..3)).await;
    let (empty, batch) = (f.cut("b", 1).await, f.cut("a", 1).await);
    f.finish(&empty, BatchState::Empty).await;
    let uncopied = async || f.staging.uncopied("a").await.unwrap();
    let lease = f.lease("a").await;
    let copies = |directory: &str, copied_at: Option<_>| {
        let workplace = Workplace { share: "s".into(), directory: directory.into() };
        let copy = |name: &str| CopyRow {
            name: name.into(),
            size: 7,
            sha256: [3; 32],
            workplace: workplace.clone(),
            copied_at,
        };
        vec![copy("a.manifest.json.sig"), copy("a.manifest.json")]
    };
    f.staging.finish_render(&lease, &rendered(&batch, &["a.xml"])).await.unwrap();
    let too_soon = f.staging.record_copies(&lease, batch.id, &copies("1-1", None)).await;
    assert!(matches!(too_soon, Err(StagingError::Refused { .. })), "it is not published: {too_soon:?}");
    assert_eq!(uncopied().await, []);

    let published = BatchStep::Published { at: minute(1) };
    f.staging.advance(By::Worker(&lease), batch.id, &[BatchState::Rendered], &published).await.unwrap();
    let entry = log(f).await.iter().find(|entry| entry.batch == Some(batch.id)).unwrap().entry;
    assert_eq!(uncopied().await, [Uncopied { batch: batch.id, entry }]);
    assert_eq!(f.staging.uncopied("b").await.unwrap(), [], "nothing lies beside an empty batch");

    let stale = crate::staging::Lease { token: lease.token + 1, ..lease.clone() };
    let refused = f.staging.record_copies(&stale, batch.id, &copies("1-1", None)).await;
    assert!(matches!(refused, Err(StagingError::LeaseLost { .. })));
    assert_eq!((uncopied().await.len(), f.staging.copies(batch.id).await.unwrap()), (1, vec![]));

    let collected = BatchStep::Collected { at: minute(2), how: "told".into() };
    f.staging.advance(By::Collector, batch.id, &[BatchState::Published], &collected).await.unwrap();
    assert_eq!(uncopied().await.len(), 1, "the archive may be faster than the copy");
    for directory in ["1-2", "1-3"] {
        f.staging.record_copies(&lease, batch.id, &copies(directory, None)).await.unwrap();
    }
    let there = async || f.staging.copies(batch.id).await.unwrap();
    let copying = async || f.staging.copying("a").await.unwrap();
    assert_eq!((uncopied().await, copying().await, there().await), (vec![], vec![batch.id], copies("1-2", None)));
    let refused = f.staging.mark_copied(&stale, batch.id, minute(3)).await;
    assert!(matches!(refused, Err(StagingError::LeaseLost { .. })));
    assert_eq!(copying().await, [batch.id]);
    for later in 3..5 {
        f.staging.mark_copied(&lease, batch.id, minute(later)).await.unwrap();
    }
    assert_eq!((uncopied().await, copying().await), (vec![], vec![]));
    assert_eq!(there().await, copies("1-2", Some(minute(3))));
    let outputs = f.staging.outputs(batch.id).await.unwrap();
    assert_eq!(outputs.iter().map(|output| &*output.name).collect::<Vec<_>>(), ["a.xml"], "they are no outputs");

    f.staging
        .advance(By::Worker(&lease), batch.id, &[BatchState::Collected], &BatchStep::Purged { at: minute(4) })
        .await
        .unwrap();
    assert_eq!(there().await.len(), 2, "what was there is remembered");
}

pub(super) async fn a_key_is_recorded_once(f: &Fixture) {
    let key = SigningKey::generate().unwrap();
    for _ in 0..2 {
        let (fingerprint, draft) = KeyBody::first(&key.public()).draft().unwrap();
        f.staging.record_key(&fingerprint, &draft, Some(&act("key"))).await.unwrap();
    }
    assert_eq!(kinds(f).await, [EntryKind::Key, EntryKind::Act]);
    let keys = f.staging.log_keys().await.unwrap();
    let body: KeyBody = serde_json::from_slice(&keys[0].bytes).unwrap();
    assert_eq!((keys.len(), body.fingerprint), (1, key.public().fingerprint()));
}

pub(super) async fn an_event_list_is_kept_until_it_is_written(f: &Fixture) {
    f.stage(events("/web", 0..1)).await;
    let batch = f.cut("a", 1).await;
    let lease = f.lease("a").await;
    // More than one piece.
    let list = list(8000);
    let manifest = NewManifest { list: list.clone(), ..NewManifest::bare() };
    let result = RenderedBatch { manifest, ..rendered(&batch, &["a.xml"]) };
    f.staging.finish_render(&lease, &result).await.unwrap();
    let kept = async || {
        let mut bytes = Vec::new();
        for piece in 0.. {
            let Some(more) = f.staging.list_piece(batch.id, piece).await.unwrap() else { return bytes };
            bytes.extend(more);
        }
        bytes
    };
    assert!(kept().await == list.piece(0, u64::MAX).unwrap());
    f.staging.log_written(&lease, 0).await.unwrap();
    assert_eq!(kept().await.len() as u64, list.size());
    f.staging.log_written(&lease, 1).await.unwrap();
    f.staging.log_written(&lease, 0).await.unwrap();
    assert!(kept().await.is_empty());
    assert_eq!(f.staging.log_size().await.unwrap(), LogSize { entries: 1, written: 1 });
}

pub(super) async fn events_without_a_room_are_found(f: &Fixture) {
    f.stage(vec![event("/web", "1"), heartbeat("/web", "2", 9), event("/web", "3"), heartbeat("/web", "4", 9)]).await;
    let found = f.staging.roomless(ALL, 0, 10).await.unwrap();
    let ids: Vec<_> = found.iter().map(|event| (&*event.source, &*event.id, event.kind)).collect();
    assert_eq!(ids, [("/web", "2", Kind::SourceHeartbeat), ("/web", "4", Kind::SourceHeartbeat)]);
    let rest = f.staging.roomless(ALL, found[0].seq, 10).await.unwrap();
    assert_eq!(rest, found[1..]);
    assert_eq!(f.staging.roomless(ALL, 0, 1).await.unwrap(), found[..1]);
}

pub(super) async fn the_log_has_no_gap_when_writers_race(f: &Fixture) {
    let others = [f.reopened().await, f.reopened().await, Arc::clone(&f.staging)];
    let writers = others.map(|staging| {
        tokio::spawn(async move {
            for number in 0..20 {
                // A file that several open at once may be busy for longer than one of them waits.
                while let Err(error) = staging.record_act(&act(&number.to_string())).await {
                    assert!(error.retryable(), "{error}");
                }
            }
        })
    });
    for writer in writers {
        writer.await.unwrap();
    }
    let log = log(f).await;
    assert_eq!(log.len(), 60);
    assert!((0..).zip(&log).all(|(number, entry)| entry.entry == number && preface(entry).entry == number));
}
