#![allow(clippy::unwrap_used, reason = "a failed test should panic")]

use std::fs;
use std::io::Write as _;
use std::path::Path;

use super::*;
use crate::config::CollectedWhen;
use crate::model::Ticks;
use crate::staging::{BatchCounts, BatchRow, BatchState, OutputKind, OutputRow, SeqRange, Workplace};

fn share(dir: &Path) -> Share {
    Share::open(dir, "vantage", Marker::Create).unwrap()
}

fn write(draft: &Draft, name: &str, kind: OutputKind, content: &[u8]) -> OutputRow {
    let mut file = Temporary::create(draft, name, Compression::None).unwrap();
    file.write_all(content).unwrap();
    file.finish(kind, 0, 1, &mut || {}).unwrap()
}

/// A rendering of these files under a lease of this token, ready to be published.
fn rendered(share: &Share, token: i64, files: &[(&str, &str)]) -> (Workplace, Vec<OutputRow>) {
    let draft = Draft::begin(share, token).unwrap();
    let kind = |name: &str| if name.ends_with(".xml") { OutputKind::Output } else { OutputKind::Attachment };
    let outputs = files.iter().map(|(name, content)| write(&draft, name, kind(name), content.as_bytes())).collect();
    (draft.keep().unwrap(), outputs)
}

/// What lies beside the marker.
fn left_over(share: &Share) -> Vec<String> {
    let names = fs::read_dir(share.dir().join(".inprogress")).unwrap();
    let mut names: Vec<String> =
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).filter(|name| name != "share").collect();
    names.sort();
    names
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
        workplace: Workplace::default(),
        supplement_to: None,
        completes: None,
    }
}

#[test]
fn files_appear_whole_and_only_by_publication() {
    let dir = tempfile::tempdir().unwrap();
    let share = share(dir.path());
    let (workplace, outputs) = rendered(&share, 1, &[("a.bin", "file"), ("o.xml", "<x/>")]);
    assert!(!dir.path().join("o.xml").exists());
    share.publish(&workplace, &outputs, &mut || {}).unwrap();
    assert_eq!(fs::read(dir.path().join("o.xml")).unwrap(), b"<x/>");
    assert_eq!(fs::read(dir.path().join("a.bin")).unwrap(), b"file");
    share.publish(&workplace, &outputs, &mut || {}).unwrap();
}

#[test]
fn a_file_the_archive_took_before_the_crash_is_not_published_again() {
    let dir = tempfile::tempdir().unwrap();
    let share = share(dir.path());
    let (workplace, outputs) = rendered(&share, 1, &[("o.xml", "<x/>")]);
    share.publish(&workplace, &outputs, &mut || {}).unwrap();
    fs::remove_file(dir.path().join("o.xml")).unwrap();
    share.publish(&workplace, &outputs, &mut || {}).unwrap();
    assert!(!dir.path().join("o.xml").exists());
}

#[test]
fn a_name_in_the_way_is_never_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let share = share(dir.path());
    let (workplace, outputs) = rendered(&share, 1, &[("o.xml", "<x/>")]);
    fs::write(dir.path().join("o.xml"), "someone else's").unwrap();
    assert!(matches!(share.publish(&workplace, &outputs, &mut || {}), Err(PickupError::NameTaken { .. })));
    assert_eq!(fs::read(dir.path().join("o.xml")).unwrap(), b"someone else's");
}

#[test]
fn an_unmounted_share_is_neither_used_nor_taken_for_empty() {
    let dir = tempfile::tempdir().unwrap();
    let mount = dir.path().join("mount");
    let share = share(&mount);
    let (workplace, outputs) = rendered(&share, 1, &[("o.xml", "<x/>")]);
    share.publish(&workplace, &outputs, &mut || {}).unwrap();
    fs::rename(&mount, dir.path().join("away")).unwrap();
    fs::create_dir(&mount).unwrap();
    assert!(matches!(look(&share), Err(PickupError::NotTheShare { .. })));
    assert!(matches!(share.publish(&workplace, &outputs, &mut || {}), Err(PickupError::NotTheShare { .. })));
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
    let (workplace, outputs) = rendered(&share, 1, &[("a.bin", "file"), ("o.xml", "<x/>")]);
    share.publish(&workplace, &outputs, &mut || {}).unwrap();
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
    let (workplace, outputs) = rendered(&share, 1, &[("a.bin", "file"), ("o.xml", "<x/>")]);
    share.publish(&workplace, &outputs, &mut || {}).unwrap();
    fs::write(share.path("o.xml.ack"), "").unwrap();
    let now = Ticks::parse("2026-11-23T10:15:00Z").unwrap();

    fs::write(share.path("o.xml"), "<y/>").unwrap();
    let prepare = |batch: &BatchRow| Purge::prepare(&share, (batch, &outputs, &[]), "acknowledged", now, &mut || {});
    assert!(matches!(prepare(&batch()), Err(PickupError::Changed { .. })));
    assert!(share.path("a.bin").exists() && share.path("o.xml").exists(), "nothing of the batch is deleted");

    fs::write(share.path("o.xml"), "<x/>").unwrap();
    fs::remove_file(share.path("a.bin")).unwrap();
    // An unmounted share had looked as if everything were taken.
    let seen_gone = BatchRow { collected_how: Some("removed".into()), ..batch() };
    assert!(matches!(prepare(&seen_gone), Err(PickupError::Reappeared { .. })));
    let elsewhere = Workplace { share: "another".into(), ..workplace };
    assert!(matches!(prepare(&BatchRow { workplace: elsewhere, ..batch() }), Err(PickupError::NotTheShare { .. })));

    let carry_out =
        |certificate: &[u8]| prepare(&batch()).unwrap().carry_out(&share, certificate, &certificates, || true).unwrap();
    let recorded = serde_json::to_vec(&prepare(&batch()).unwrap()).unwrap();
    carry_out(&recorded);
    assert!(!share.path("o.xml").exists() && !share.path("o.xml.ack").exists());
    let first = fs::read_to_string(certificates.join("purge-000000007.json")).unwrap();
    assert!(first.contains("\"taken-by-archive\"") && first.contains("\"deleted\""), "{first}");

    carry_out(b"what another look would say");
    assert_eq!(fs::read_to_string(certificates.join("purge-000000007.json")).unwrap(), first);
}

#[test]
fn an_unfinished_rendering_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let share = share(dir.path());
    let draft = Draft::begin(&share, 1).unwrap();
    let mut file = Temporary::create(&draft, "o.xml", Compression::Zstd).unwrap();
    file.write_all(b"half").unwrap();
    drop(file);
    assert!(!draft.path("o.xml").exists());
    write(&draft, "p.xml", OutputKind::Output, b"<x/>");
    drop(draft);
    assert!(left_over(&share).is_empty());
}

/// A disk that gives back other bytes than it was given must be noticed while the bytes can still be written anew.
#[test]
fn a_file_that_reads_back_otherwise_is_not_published() {
    let dir = tempfile::tempdir().unwrap();
    let draft = Draft::begin(&share(dir.path()), 1).unwrap();
    let mut file = Temporary::create(&draft, "a.xml", Compression::None).unwrap();
    file.write_all(&[b'x'; 1 << 20]).unwrap();
    // Behind its back, in the part that is already written out.
    let other = fs::OpenOptions::new().write(true).open(draft.path("a.xml")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&other, b"y", 0).unwrap();
    let finished = file.finish(OutputKind::Output, 0, 1, &mut || {});
    assert!(matches!(finished, Err(PickupError::ReadBack { .. })), "{finished:?}");
}

#[test]
fn compressed_output_decompresses_to_what_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let share = share(dir.path());
    let draft = Draft::begin(&share, 1).unwrap();
    let mut file = Temporary::create(&draft, "o.xml.zst", Compression::Zstd).unwrap();
    file.write_all(&b"<x/>".repeat(10_000)).unwrap();
    let output = file.finish(OutputKind::Output, 0, 1, &mut || {}).unwrap();
    share.publish(&draft.keep().unwrap(), std::slice::from_ref(&output), &mut || {}).unwrap();
    let packed = fs::read(dir.path().join("o.xml.zst")).unwrap();
    assert_eq!(packed.len() as u64, output.size);
    assert_eq!(zstd::decode_all(packed.as_slice()).unwrap(), b"<x/>".repeat(10_000));
}

#[test]
fn two_renderings_of_one_batch_never_touch_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let share = share(dir.path());
    let paused = Draft::begin(&share, 5).unwrap();
    let mut half = Temporary::create(&paused, "o.xml", Compression::None).unwrap();
    half.write_all(b"<x").unwrap();

    // The lease ran out; another holder renders the same batch under the same names.
    let (workplace, outputs) = rendered(&share, 6, &[("o.xml", "<x/>"), ("p.xml", "<p/>")]);

    half.write_all(b"/>").unwrap();
    half.finish(OutputKind::Output, 0, 1, &mut || {}).unwrap();
    let mut next = Temporary::create(&paused, "p.xml", Compression::None).unwrap();
    next.write_all(b"<h").unwrap();
    next.flush().unwrap();
    share.publish(&workplace, &outputs, &mut || {}).unwrap();
    assert_eq!(fs::read(dir.path().join("o.xml")).unwrap(), b"<x/>");
    assert_eq!(fs::read(dir.path().join("p.xml")).unwrap(), b"<p/>");
}

#[test]
fn a_recorded_rendering_outlives_the_clearing_of_an_earlier_holder() {
    let dir = tempfile::tempdir().unwrap();
    let share = share(dir.path());
    let (recorded, outputs) = rendered(&share, 6, &[("o.xml", "<x/>")]);
    // It was paused after it had asked what is recorded, which was nothing then.
    share.clear_workplaces(5, &[]).unwrap();
    share.publish(&recorded, &outputs, &mut || {}).unwrap();
    assert!(dir.path().join("o.xml").exists());
}

#[test]
fn clearing_takes_what_can_never_be_published_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let share = share(dir.path());
    let (kept, _) = rendered(&share, 1, &[("kept.xml", "<x/>")]);
    let (stale, _) = rendered(&share, 1, &[("stale.xml", "<x/>")]);
    let (own, _) = rendered(&share, 2, &[("own.xml", "<x/>")]);
    let (later, _) = rendered(&share, 3, &[("later.xml", "<x/>")]);
    fs::write(dir.path().join(".inprogress/old.xml_inprogress"), "of an earlier version").unwrap();
    fs::write(dir.path().join(".inprogress/share-00ff.tmp"), "a marker that was never put in place").unwrap();
    fs::write(dir.path().join(".inprogress/notes.txt"), "nobody's").unwrap();

    // A batch that an earlier version rendered has its files there without a workplace of their own.
    share.clear_workplaces(2, &[kept.clone(), Workplace::default()]).unwrap();
    let all = |mut names: Vec<String>| {
        names.sort();
        names
    };
    let rest = ["notes.txt".to_owned(), "old.xml_inprogress".to_owned()];
    assert_eq!(left_over(&share), all([&rest[..], &[kept.directory.clone(), later.directory.clone()]].concat()));

    share.clear_workplaces(2, std::slice::from_ref(&kept)).unwrap();
    assert_eq!(left_over(&share), all(vec!["notes.txt".into(), kept.directory, later.directory]));
    assert!(!share.dir().join(".inprogress").join(stale.directory).exists());
    assert!(!share.dir().join(".inprogress").join(own.directory).exists());
    share.check().unwrap();
}

#[test]
fn a_rendering_of_an_earlier_version_is_published() {
    let dir = tempfile::tempdir().unwrap();
    let share = share(dir.path());
    fs::write(dir.path().join(".inprogress/share"), "vantage\n").unwrap();
    let share = Share::open(share.dir(), "vantage", Marker::Require).unwrap();
    let (made, outputs) = rendered(&share, 1, &[("o.xml", "<x/>")]);
    let inside = dir.path().join(".inprogress");
    fs::rename(inside.join(made.directory).join("o.xml_inprogress"), inside.join("o.xml_inprogress")).unwrap();
    share.publish(&Workplace::default(), &outputs, &mut || {}).unwrap();
    assert_eq!(fs::read(dir.path().join("o.xml")).unwrap(), b"<x/>");
}

#[test]
fn a_batch_is_only_published_on_the_share_it_was_rendered_on() {
    let dir = tempfile::tempdir().unwrap();
    let (here, there) = (share(&dir.path().join("here")), share(&dir.path().join("there")));
    let (workplace, outputs) = rendered(&here, 1, &[("o.xml", "<x/>")]);
    // On the other share the file is under neither name, and that must not read as "taken".
    assert!(matches!(there.publish(&workplace, &outputs, &mut || {}), Err(PickupError::NotTheShare { .. })));
    let error = there.owns(&workplace).unwrap_err().to_string();
    assert!(error.contains(&workplace.share), "{error}");
    here.discard(&workplace).unwrap();
    assert!(matches!(here.publish(&workplace, &outputs, &mut || {}), Err(PickupError::NotTheShare { .. })));
}

#[test]
fn a_share_keeps_its_id_and_notices_another_in_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let mount = dir.path().join("mount");
    let first = share(&mount);
    assert_eq!(first.id(), share(&mount).id());
    first.check().unwrap();
    fs::rename(&mount, dir.path().join("away")).unwrap();
    share(&mount);
    assert!(matches!(first.check(), Err(PickupError::NotTheShare { .. })));
}

/// So that whoever waits for the share meanwhile gets a turn, and nobody takes long work for a share that hangs.
#[test]
fn large_files_are_read_back_in_parts() {
    const SIZE: usize = 20 << 20;
    let dir = tempfile::tempdir().unwrap();
    let share = share(dir.path());
    let draft = Draft::begin(&share, 1).unwrap();
    let mut file = Temporary::create(&draft, "large", Compression::None).unwrap();
    file.write_all(&vec![7; SIZE]).unwrap();
    let mut pauses = 0;
    let output = file.finish(OutputKind::Attachment, 0, 0, &mut || pauses += 1).unwrap();
    assert_eq!(pauses, 3, "after the sync, and after each 8 MiB but the last");
    share.publish(&draft.keep().unwrap(), std::slice::from_ref(&output), &mut || {}).unwrap();
    pauses = 0;
    Purge::prepare(&share, (&batch(), &[output], &[]), "acknowledged", Ticks::now(), &mut || pauses += 1).unwrap();
    assert_eq!(pauses, 2);
}
