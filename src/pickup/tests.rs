#![allow(clippy::unwrap_used, reason = "a failed test should panic")]

use std::fs;
use std::io::Write as _;
use std::path::Path;

use super::*;
use crate::config::CollectedWhen;
use crate::model::Ticks;
use crate::staging::{BatchCounts, BatchRow, BatchState, OutputKind, OutputRow, SeqRange};

fn share(dir: &Path) -> Share {
    Share::open(dir, "vantage", Marker::Create).unwrap()
}

fn write(share: &Share, name: &str, kind: OutputKind, content: &[u8]) -> OutputRow {
    let mut file = Temporary::create(share, name, Compression::None).unwrap();
    file.write_all(content).unwrap();
    file.finish(kind, 0, 1).unwrap()
}

fn batch() -> BatchRow {
    let at = Ticks::parse("2026-11-22T10:15:00Z").unwrap();
    BatchRow {
        id: 7,
        adapter: "vantage".into(),
        interval_start: at,
        interval_end: at,
        range: SeqRange { from: 0, to: 9 },
        first: true,
        state: BatchState::Collected,
        attempts: 0,
        retry_at: None,
        reason: None,
        counts: BatchCounts::default(),
        cut_at: at,
        published_at: Some(at),
        collected_at: Some(at),
        collected_how: Some("acknowledged".into()),
        purged_at: None,
    }
}

#[test]
fn files_appear_whole_and_only_by_publication() {
    let dir = tempfile::tempdir().unwrap();
    let share = share(dir.path());
    let outputs =
        [write(&share, "a.bin", OutputKind::Attachment, b"file"), write(&share, "o.xml", OutputKind::Output, b"<x/>")];
    assert!(!dir.path().join("o.xml").exists());
    share.publish(&outputs).unwrap();
    assert_eq!(fs::read(dir.path().join("o.xml")).unwrap(), b"<x/>");
    assert_eq!(fs::read(dir.path().join("a.bin")).unwrap(), b"file");
    share.publish(&outputs).unwrap();
}

#[test]
fn a_file_the_archive_took_before_the_crash_is_not_published_again() {
    let dir = tempfile::tempdir().unwrap();
    let share = share(dir.path());
    let outputs = [write(&share, "o.xml", OutputKind::Output, b"<x/>")];
    share.publish(&outputs).unwrap();
    fs::remove_file(dir.path().join("o.xml")).unwrap();
    share.publish(&outputs).unwrap();
    assert!(!dir.path().join("o.xml").exists());
}

#[test]
fn a_name_in_the_way_is_never_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let share = share(dir.path());
    let outputs = [write(&share, "o.xml", OutputKind::Output, b"<x/>")];
    fs::write(dir.path().join("o.xml"), "someone else's").unwrap();
    assert!(matches!(share.publish(&outputs), Err(PickupError::NameTaken { .. })));
    assert_eq!(fs::read(dir.path().join("o.xml")).unwrap(), b"someone else's");
}

#[test]
fn an_unmounted_share_is_neither_used_nor_taken_for_empty() {
    let dir = tempfile::tempdir().unwrap();
    let mount = dir.path().join("mount");
    let share = share(&mount);
    let outputs = [write(&share, "o.xml", OutputKind::Output, b"<x/>")];
    share.publish(&outputs).unwrap();
    fs::rename(&mount, dir.path().join("away")).unwrap();
    fs::create_dir(&mount).unwrap();
    assert!(matches!(look(&share), Err(PickupError::NotTheShare { .. })));
    assert!(matches!(share.publish(&outputs), Err(PickupError::NotTheShare { .. })));
    assert!(matches!(Share::open(&mount, "vantage", Marker::Require), Err(PickupError::NotTheShare { .. })));
}

#[test]
fn a_share_of_another_adapter_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    share(dir.path());
    assert!(matches!(Share::open(dir.path(), "other", Marker::Create), Err(PickupError::NotTheShare { .. })));
}

#[test]
fn each_proof_of_collection_is_recognised() {
    let dir = tempfile::tempdir().unwrap();
    let share = share(dir.path());
    let outputs =
        [write(&share, "a.bin", OutputKind::Attachment, b"file"), write(&share, "o.xml", OutputKind::Output, b"<x/>")];
    share.publish(&outputs).unwrap();
    let at = Ticks::parse("2026-11-22T10:15:00Z").unwrap();
    let later = Ticks::parse("2026-11-22T12:15:00Z").unwrap();
    let judge = |when: &str, now| look(&share).unwrap().judge(when.parse().unwrap(), &outputs, at, now);
    let waiting = || Seen::Waiting { taken: Vec::new() };

    assert_eq!(judge("removed", later), waiting());
    assert_eq!(judge("acknowledged", later), waiting());
    assert_eq!(judge("told", later), waiting());
    assert_eq!(judge("after:2h", later.plus_ticks(-1)), waiting());
    assert_eq!(judge("after:2h", later), Seen::Collected("after"));

    fs::write(dir.path().join("o.xml.ack"), "").unwrap();
    assert_eq!(judge("acknowledged", later), Seen::Collected("acknowledged"));
    fs::remove_file(dir.path().join("o.xml")).unwrap();
    assert_eq!(judge("removed", later), Seen::Waiting { taken: vec!["o.xml".into()] });
    fs::remove_file(dir.path().join("a.bin")).unwrap();
    assert_eq!(judge("removed", later), Seen::Collected("removed"));
    assert_eq!(judge(&String::from(CollectedWhen::Told), later), waiting());
}

#[test]
fn purge_deletes_only_what_is_unchanged_and_certifies_it() {
    let dir = tempfile::tempdir().unwrap();
    let certificates = dir.path().join("evidence/purge");
    let share = share(&dir.path().join("pickup"));
    let outputs =
        [write(&share, "a.bin", OutputKind::Attachment, b"file"), write(&share, "o.xml", OutputKind::Output, b"<x/>")];
    share.publish(&outputs).unwrap();
    fs::write(share.path("o.xml.ack"), "").unwrap();
    let now = Ticks::parse("2026-11-23T10:15:00Z").unwrap();

    fs::write(share.path("o.xml"), "<y/>").unwrap();
    let refused = purge_batch(&share, &batch(), &outputs, "acknowledged", now, &certificates);
    assert!(matches!(refused, Err(PickupError::Changed { .. })));
    assert!(share.path("a.bin").exists() && share.path("o.xml").exists(), "nothing of the batch is deleted");

    fs::write(share.path("o.xml"), "<x/>").unwrap();
    fs::remove_file(share.path("a.bin")).unwrap();
    purge_batch(&share, &batch(), &outputs, "acknowledged", now, &certificates).unwrap();
    assert!(!share.path("o.xml").exists() && !share.path("o.xml.ack").exists());
    let first = fs::read_to_string(certificates.join("purge-000000007.json")).unwrap();
    assert!(first.contains("\"taken-by-archive\"") && first.contains("\"deleted\""), "{first}");

    purge_batch(&share, &batch(), &outputs, "acknowledged", now, &certificates).unwrap();
    assert_eq!(fs::read_to_string(certificates.join("purge-000000007.json")).unwrap(), first);
}

#[test]
fn an_unfinished_temporary_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let share = share(dir.path());
    let mut file = Temporary::create(&share, "o.xml", Compression::Zstd).unwrap();
    file.write_all(b"half").unwrap();
    drop(file);
    assert!(!share.temporary_path("o.xml").exists());
}

#[test]
fn compressed_output_decompresses_to_what_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let share = share(dir.path());
    let mut file = Temporary::create(&share, "o.xml.zst", Compression::Zstd).unwrap();
    file.write_all(&b"<x/>".repeat(10_000)).unwrap();
    let output = file.finish(OutputKind::Output, 0, 1).unwrap();
    share.publish(std::slice::from_ref(&output)).unwrap();
    let packed = fs::read(dir.path().join("o.xml.zst")).unwrap();
    assert_eq!(packed.len() as u64, output.size);
    assert_eq!(zstd::decode_all(packed.as_slice()).unwrap(), b"<x/>".repeat(10_000));
}

#[test]
fn clearing_keeps_the_files_of_batches_being_published() {
    let dir = tempfile::tempdir().unwrap();
    let share = share(dir.path());
    let kept = write(&share, "kept.xml", OutputKind::Output, b"<x/>");
    write(&share, "stale.xml", OutputKind::Output, b"<x/>");
    share.clear_temporaries(std::slice::from_ref(&kept)).unwrap();
    assert!(share.temporary_path("kept.xml").exists());
    assert!(!share.temporary_path("stale.xml").exists());
    share.check().unwrap();
}
