//! The spool directory against a staging that can be told to fail.
#![allow(clippy::unwrap_used, reason = "a failed test should panic")]

use std::collections::BTreeSet;

use tempfile::TempDir;

use super::*;
use crate::config::{ByteSize, Span};
use crate::intake::Counts;
use crate::intake::testing::{Recorder, config, posted};

struct Bench {
    home: TempDir,
    config: Config,
    stage: Arc<Recorder>,
    stats: Arc<IntakeStats>,
    shutdown: CancellationToken,
}

impl Bench {
    fn new() -> Self {
        let home = TempDir::new().unwrap();
        let mut config = config();
        config.home = home.path().to_owned();
        config.intake.commit_events_max = 10;
        config.spool.scan_interval = Span::from_millis(50);
        fs::create_dir(home.path().join("incoming")).unwrap();
        Self { home, config, stage: Arc::default(), stats: Arc::default(), shutdown: CancellationToken::new() }
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        let hidden = self.path(".new");
        fs::write(&hidden, bytes).unwrap();
        fs::rename(hidden, self.path(name)).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join("incoming").join(name)
    }

    fn names(&self, below: &str) -> BTreeSet<String> {
        let entries = fs::read_dir(self.path(below)).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    async fn once(&self) -> Result<SpoolReport> {
        self.run(SpoolMode::Once).await
    }

    async fn run(&self, mode: SpoolMode) -> Result<SpoolReport> {
        run(&self.config, self.stage.clone(), self.stats.clone(), self.shutdown.clone(), mode).await
    }
}

fn lines(ids: std::ops::Range<u32>) -> Vec<u8> {
    ids.flat_map(|id| [posted(&format!("{id:04}")), b"\n".to_vec()].concat()).collect()
}

fn names<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.into_iter().map(str::to_owned).collect()
}

#[tokio::test]
async fn files_are_taken_in_whole_and_moved_to_done() {
    let bench = Bench::new();
    bench.put("b.ndjson", &lines(0..25));
    bench.put("a.ndjson", &[b"\r\n".as_slice(), &posted("x"), b"\r\n  \n", &posted("y")].concat());
    for ignored in ["notes.txt", ".hidden.ndjson"] {
        bench.put(ignored, b"not ours");
    }
    fs::create_dir(bench.path("directory.ndjson")).unwrap();
    assert_eq!(bench.once().await.unwrap(), SpoolReport { done: 2, refused: 0, left: 0 });
    assert_eq!(bench.stage.len(), 27);
    assert_eq!(bench.names("done"), names(["a.ndjson", "b.ndjson"]));
    assert_eq!(bench.names(""), names([".hidden.ndjson", "directory.ndjson", "done", "notes.txt"]));
    assert!(bench.stage.look(|kept| kept.largest <= 10 && kept.quarantined.is_empty()));
    assert_eq!(bench.stats.counts(), Counts { received: 27, staged: 27, commits: 4, ..Counts::default() });
}

#[tokio::test]
async fn bad_lines_are_quarantined_by_file_and_line_and_hold_nothing_up() {
    let bench = Bench::new();
    bench.put("mixed.ndjson", &[&posted("1"), &b"\nnonsense\xff\n\n"[..], &posted("2"), b"\n{\"id\":"].concat());
    bench.once().await.unwrap();
    assert_eq!(bench.stage.ids(), ["1", "2"]);
    let found = bench.stage.look(|kept| {
        let shown = kept.quarantined.iter().map(|item| (item.origin.clone(), item.reason.clone(), item.raw.clone()));
        shown.collect::<Vec<_>>()
    });
    assert_eq!(
        found,
        [
            ("spool:mixed.ndjson:2".into(), "not-utf8".into(), b"nonsense\xff".to_vec()),
            ("spool:mixed.ndjson:5".into(), "malformed-json".into(), b"{\"id\":".to_vec()),
        ]
    );
}

#[tokio::test]
async fn a_name_that_is_taken_gets_a_number() {
    let bench = Bench::new();
    for id in ["1", "2", "3"] {
        bench.put("same.ndjson", &posted(id));
        assert_eq!(bench.once().await.unwrap().done, 1);
    }
    assert_eq!(bench.names("done"), names(["same.ndjson", "same.2.ndjson", "same.3.ndjson"]));
    assert_eq!(fs::read(bench.path("done/same.2.ndjson")).unwrap(), posted("2"));
}

#[tokio::test]
async fn a_long_line_is_quarantined_and_a_monstrous_one_sets_its_file_aside() {
    let mut bench = Bench::new();
    bench.config.intake.event_size_max = ByteSize::new(1000);
    let long = vec![b'x'; 3000];
    bench.put("long.ndjson", &[&posted("1"), &b"\n"[..], &long, b"\n", &posted("2")].concat());
    bench.put("monster.ndjson", &[&posted("3"), &b"\n"[..], &vec![b'y'; 4001], b"\n", &posted("4")].concat());
    assert_eq!(bench.once().await.unwrap(), SpoolReport { done: 1, refused: 1, left: 0 });
    assert_eq!(bench.stage.ids(), ["1", "2", "3"]);
    let quarantined = bench.stage.look(|kept| kept.quarantined.iter().map(|item| item.raw.clone()).collect::<Vec<_>>());
    assert_eq!(quarantined, [long]);
    assert_eq!(bench.names("refused"), names(["monster.ndjson", "monster.ndjson.reason"]));
    let reason = fs::read_to_string(bench.path("refused/monster.ndjson.reason")).unwrap();
    assert!(reason.starts_with("line 2 is longer than 4000 bytes"), "{reason}");
}

#[tokio::test]
async fn a_file_cut_off_in_the_middle_is_read_again_and_counted_as_duplicates() {
    let bench = Bench::new();
    bench.put("a.ndjson", &lines(0..25));
    // What a crash before the last commit leaves behind: the first commits, and the file in its place.
    let decoder = Decoder::new(&bench.config).unwrap();
    let mut before = crate::staging::Arrivals::default();
    for id in 0..10 {
        let again =
            decoder.decode_again(None, "spool:a.ndjson:1", posted(&format!("{id:04}")), crate::model::Ticks::now());
        before.events.extend(again.events);
    }
    bench.stage.stage(&before).await.unwrap();
    assert_eq!(bench.once().await.unwrap().done, 1);
    assert_eq!(bench.stage.len(), 25);
    let counts = bench.stats.counts();
    assert_eq!((counts.staged, counts.duplicates), (15, 10));
}

#[tokio::test]
async fn a_staging_that_cannot_be_mended_leaves_the_file_where_it_is() {
    let bench = Bench::new();
    bench.put("a.ndjson", &lines(0..5));
    bench.stage.set_broken();
    assert!(matches!(bench.once().await, Err(IntakeError::Staging(error)) if !error.retryable()));
    assert_eq!(bench.names(""), names(["a.ndjson", "done"]));
}

#[tokio::test]
async fn the_daemon_waits_for_staging_takes_new_files_and_stops_when_told() {
    let bench = Arc::new(Bench::new());
    bench.stage.set_away(true);
    bench.put("a.ndjson", &lines(0..5));
    let daemon = tokio::spawn({
        let bench = bench.clone();
        async move { bench.run(SpoolMode::Daemon).await }
    });
    until(|| bench.stage.failures() >= 2).await;
    assert_eq!((bench.stage.len(), bench.names("done").len()), (0, 0));
    bench.stage.set_away(false);
    until(|| bench.names("done").len() == 1).await;
    bench.put("b.ndjson", &lines(5..40));
    until(|| bench.names("done").len() == 2).await;
    assert_eq!(bench.stage.len(), 40);
    bench.shutdown.cancel();
    let report = tokio::time::timeout(Duration::from_secs(10), daemon).await.unwrap().unwrap().unwrap();
    assert_eq!(report, SpoolReport { done: 2, refused: 0, left: 0 });
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_a_staging_that_is_away() {
    for mode in [SpoolMode::Daemon, SpoolMode::Once] {
        let bench = Arc::new(Bench::new());
        bench.stage.set_away(true);
        bench.put("a.ndjson", &lines(0..5));
        let running = tokio::spawn({
            let bench = bench.clone();
            async move { bench.run(mode).await }
        });
        until(|| bench.stage.failures() >= 1).await;
        bench.shutdown.cancel();
        let report = tokio::time::timeout(Duration::from_secs(3), running).await.unwrap().unwrap().unwrap();
        assert_eq!((report.done, bench.names("")), (0, names(["a.ndjson", "done"])));
    }
}

async fn until(mut reached: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if reached() {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("not reached within 10 s");
}

#[tokio::test]
async fn only_changes_are_hints_not_our_own_listings() {
    let dir = tempfile::tempdir().unwrap();
    let (directory, outside) = (dir.path().join("incoming"), dir.path().join("file"));
    fs::create_dir(&directory).unwrap();
    let hint = Arc::new(Notify::new());
    let watcher = watch(&directory, hint.clone());
    assert!(watcher.is_some());
    for _ in 0..3 {
        assert!(waiting(&directory).unwrap().is_empty());
    }
    let early = tokio::time::timeout(Duration::from_millis(300), hint.notified()).await;
    assert!(early.is_err(), "a listing leads to the next one, for ever");
    fs::write(&outside, "{}\n").unwrap();
    fs::rename(&outside, directory.join("a.ndjson")).unwrap();
    let told = tokio::time::timeout(Duration::from_secs(60), hint.notified()).await;
    assert!(told.is_ok(), "a file that is moved in is told");
}
