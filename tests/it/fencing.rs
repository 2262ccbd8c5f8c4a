//! Several processes on one staging database: what one of them does, or is paused in, never harms the other.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::{Daemon, Lab, Store, eventually, keys, messages};

/// Short enough that a test need not wait long, long enough for a busy machine to renew it.
const LEASE: &str = "5s";
/// Several files in each batch, so that there is something between one file and the next.
const ADAPTER: &str = "[[adapter]]\nname = \"canonical\"\ninterval = \"2s\"\none_room_per_file = true\n\
    keep_after_collection = \"0s\"\npickup = \"share/canonical\"\n";
/// Keeps what it has, and so keeps everything staged for [`ADAPTER`], which cuts later.
const OTHER: &str =
    "[[adapter]]\nname = \"other\"\ninterval = \"1h\"\ncollected_when = \"told\"\npickup = \"share/other\"\n";

/// A laboratory with several homes that share the staging database, the pickup directories and the vault.
struct Homes {
    lab: Lab,
    store: Store,
}

impl Homes {
    fn of(lab: Lab, store: Store) -> Self {
        Self { lab, store }
    }

    fn command(&self, home: &str, arguments: &[&str]) -> Command {
        let mut command = self.lab.command(arguments);
        command
            .env("CHANCERY__HOME", self.lab.path(home))
            .env("CHANCERY__STAGING__LEASE", LEASE)
            .env("CHANCERY__FILES__VAULT", self.lab.path("vault"))
            .env("CHANCERY__EVIDENCE__DIRECTORY", self.lab.path("evidence"));
        if self.store == Store::Sqlite {
            command.env("CHANCERY__STAGING__PATH", self.lab.path("staging.db"));
        }
        command
    }

    fn daemon(&self, home: &str) -> Daemon {
        Daemon::start(self.command(home, &["run"]), self.log(home))
    }

    /// One that stops itself at a step.
    fn pausing(&self, home: &str, step: &str) -> Daemon {
        let mut command = self.command(home, &["run"]);
        command.env("CHANCERY_PAUSE_AT", step);
        Daemon::start(command, self.log(home))
    }

    fn log(&self, home: &str) -> PathBuf {
        self.lab.path(&format!("{home}.log"))
    }

    /// Moves lines into a home's spool directory.
    fn spool(&self, home: &str, name: &str, lines: &[String]) {
        let incoming = self.lab.path(home).join("incoming");
        fs::create_dir_all(&incoming).unwrap();
        fs::write(incoming.join(format!(".{name}")), lines.join("\n") + "\n").unwrap();
        fs::rename(incoming.join(format!(".{name}")), incoming.join(name)).unwrap();
    }

    /// Stages lines, and renders them for no adapter of the test.
    fn stage(&self, home: &str, lines: &[String]) {
        self.lab.configure(OTHER);
        self.spool(home, "first.ndjson", lines);
        let output = self.command(home, &["run", "--once"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        self.lab.configure(ADAPTER);
    }

    fn status(&self) -> Option<serde_json::Value> {
        let output = self.command("a", &["--format", "json", "status"]).output().unwrap();
        serde_json::from_slice(&output.stdout).ok()
    }

    /// Whether so many events are staged and every batch of the adapter is collected and purged.
    fn is_finished(&self, events: usize) -> bool {
        let Some(status) = self.status() else { return false };
        let adapter = status["adapters"].as_array().unwrap().iter().find(|one| one["name"] == "canonical").cloned();
        let Some(adapter) = adapter else { return false };
        let batches = adapter["batches"].as_object().unwrap();
        let open = ["cut", "rendered", "published", "collected", "failed"];
        status["intake"]["staged"] == events
            && adapter["waiting_events"] == 0
            && open.iter().all(|state| batches.get(*state).is_none_or(|count| count == 0))
    }

    fn share(&self) -> PathBuf {
        self.lab.path("share/canonical")
    }
}

/// An archive that looks all the time and takes at once what it sees, in whatever order.
struct Archive {
    taken: PathBuf,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<BTreeMap<String, u32>>>,
}

impl Archive {
    fn of(homes: &Homes) -> Self {
        let (share, taken) = (homes.share(), homes.lab.path("taken"));
        fs::create_dir_all(&taken).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, into) = (Arc::clone(&stop), taken.clone());
        let thread = std::thread::spawn(move || {
            let mut seen = BTreeMap::new();
            while !stopped.load(Ordering::Relaxed) {
                take_all(&share, &into, &mut seen);
                std::thread::sleep(Duration::from_millis(3));
            }
            take_all(&share, &into, &mut seen);
            seen
        });
        Self { taken, stop, thread: Some(thread) }
    }

    fn count(&self) -> usize {
        fs::read_dir(&self.taken).unwrap().count()
    }

    /// How often each name was taken.
    fn close(&mut self) -> BTreeMap<String, u32> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Archive {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn take_all(share: &Path, into: &Path, seen: &mut BTreeMap<String, u32>) {
    let Ok(entries) = fs::read_dir(share) else { return };
    for entry in entries {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if !name.starts_with('.') {
            let times = seen.entry(name.clone()).or_default();
            *times += 1;
            // A second one would replace the first; it goes beside it.
            let target = if *times == 1 { name.clone() } else { format!("{name}.{times}") };
            fs::rename(share.join(&name), into.join(target)).unwrap();
        }
    }
}

/// Every event once, every name once, every file whole, nothing left on the share, one certificate for each batch.
fn all_is_well(homes: &Homes, archive: &mut Archive, lines: &[String]) {
    let times = archive.close();
    let twice: Vec<_> = times.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "names that appeared more than once: {twice:?}");
    for name in times.keys().filter(|name| name.ends_with(".xml")) {
        let text = fs::read_to_string(archive.taken.join(name)).unwrap();
        assert!(text.trim_end().ends_with("</Conversations>"), "{name} is not whole");
    }
    let found: Vec<(String, String)> =
        messages(&archive.taken).into_iter().map(|message| (message.source, message.event)).collect();
    let distinct: HashSet<(String, String)> = found.iter().cloned().collect();
    assert_eq!(found.len(), distinct.len(), "nothing twice");
    let expected: HashSet<(String, String)> = keys(lines).into_iter().collect();
    assert_eq!(distinct, expected, "nothing lost");
    let attachments = messages(&archive.taken)
        .into_iter()
        .filter(|message| message.kind == "FILEUPLOAD" && message.missing.is_none())
        .inspect(|message| assert!(archive.taken.join(&message.content).is_file(), "{} is missing", message.content))
        .count();
    assert!(attachments > 0, "the test has uploaded files");
    let left: Vec<_> = fs::read_dir(homes.share().join(".inprogress"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .filter(|name| name != "share")
        .collect();
    assert!(left.is_empty(), "{left:?}");
    let certificates: Vec<_> =
        fs::read_dir(homes.lab.path("evidence/purge")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    let distinct: HashSet<_> = certificates.iter().collect();
    assert_eq!(distinct.len(), certificates.len(), "one certificate for each batch: {certificates:?}");
}

fn two_homes_under_load(store: Store) {
    let homes = Homes::of(Lab::with_broker(store, ADAPTER), store);
    let lines = homes.lab.simulate(41, 1200);
    let mut archive = Archive::of(&homes);
    let daemons = ["a", "b"].map(|home| homes.daemon(home));
    for part in lines.chunks(200) {
        let file = homes.lab.path("part.ndjson");
        fs::write(&file, part.join("\n")).unwrap();
        let emitted = homes.command("emitter", &["emit", file.to_str().unwrap()]).output().unwrap();
        assert!(emitted.status.success(), "{}", String::from_utf8_lossy(&emitted.stderr));
        std::thread::sleep(Duration::from_millis(300));
    }
    eventually("both have finished", || homes.is_finished(lines.len()));
    for daemon in daemons {
        assert_eq!(daemon.terminate().0, Some(0));
    }
    all_is_well(&homes, &mut archive, &lines);
}

#[test]
fn two_homes_on_one_sqlite_file_archive_everything_once() {
    two_homes_under_load(Store::Sqlite);
}

#[test]
fn two_homes_on_one_postgres_schema_archive_everything_once() {
    two_homes_under_load(Store::Postgres);
}

/// Waits until a process has stopped itself.
fn until_paused(daemon: &Daemon) {
    eventually("the process pauses", || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", daemon.id())).unwrap();
        let state = stat.rsplit(')').next().unwrap().trim_start().chars().next();
        assert_ne!(state, Some('Z'), "it ended: {}", daemon.log());
        state == Some('T')
    });
}

/// Whether nobody is in the middle of a transaction of the SQLite file. A process that is stopped in one holds
/// up all others until it goes on or ends; that is SQLite's nature, and no matter of leases.
fn is_free(homes: &Homes) -> bool {
    use sqlx::{ConnectOptions as _, Executor as _};
    if homes.store == Store::Postgres {
        return true;
    }
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(homes.lab.path("staging.db"));
        let mut connection = options.busy_timeout(Duration::from_secs(1)).connect().await.unwrap();
        connection.execute("begin immediate").await.is_ok() && connection.execute("rollback").await.is_ok()
    })
}

/// A process is stopped at a step, its lease runs out, another takes over and finishes, the archive collects,
/// and the first wakes up.
fn paused_at(store: Store, step: &str) {
    let (homes, paused, lines) = loop {
        let homes = Homes::of(Lab::new(store, OTHER), store);
        let lines = homes.lab.simulate(42, 600);
        homes.stage("a", &lines[..500]);
        let paused = homes.pausing("a", step);
        until_paused(&paused);
        if is_free(&homes) {
            break (homes, paused, lines);
        }
    };
    let since = Instant::now();
    let mut archive = Archive::of(&homes);
    let second = homes.daemon("b");
    eventually("the second takes something to its end", || {
        second.log().contains(" published") || homes.is_finished(500)
    });
    eprintln!("{store:?} {step}: taken over after {:.1} s; the lease lasts {LEASE}", since.elapsed().as_secs_f64());
    eventually("the second finishes", || homes.is_finished(500));
    // From whichever of the two: the paused one may have published all there was.
    assert!(archive.count() > 0);

    paused.signal(Signal::CONT);
    // What only it can take in.
    homes.spool("a", "second.ndjson", &lines[500..550]);
    eventually("the woken process is of use", || homes.is_finished(550));
    second.terminate();
    homes.spool("a", "third.ndjson", &lines[550..]);
    eventually("it takes over in turn", || homes.is_finished(600));
    assert_eq!(paused.terminate().0, Some(0));
    all_is_well(&homes, &mut archive, &lines);
}

/// Declares a test for each step and store. A step with a number is the so-manieth time it is reached.
macro_rules! paused {
    ($($test:ident: $step:literal;)*) => {
        mod sqlite {
            $(#[test]
            fn $test() {
                super::paused_at(super::Store::Sqlite, $step);
            })*
        }

        mod postgres {
            $(#[test]
            fn $test() {
                super::paused_at(super::Store::Postgres, $step);
            })*
        }
    };
}

paused! {
    paused_when_a_conversation_is_rendered: "rendered";
    paused_between_two_temporary_files: "temporary-written:2";
    paused_when_a_temporary_file_is_synced: "synced:2";
    paused_when_the_batch_is_marked_rendered: "marked-rendered";
    paused_between_two_renames: "renamed:2";
    paused_when_the_names_are_durable: "directory-synced";
    paused_when_the_batch_is_marked_published: "marked-published";
}

fn killed(store: Store) {
    let homes = Homes::of(Lab::new(store, OTHER), store);
    let lines = homes.lab.simulate(43, 600);
    homes.stage("a", &lines[..300]);
    let mut archive = Archive::of(&homes);
    // It holds the lease and is in the middle of writing.
    let holder = homes.pausing("a", "renamed:2");
    until_paused(&holder);
    holder.kill();
    let since = Instant::now();
    let second = homes.daemon("b");
    eventually("another home takes over once the lease has run out", || homes.is_finished(300));
    let other = since.elapsed();
    assert!(other > Duration::from_secs(1), "the lease was still held: {other:?}");
    second.terminate();

    homes.stage("a", &lines[300..]);
    let holder = homes.pausing("a", "renamed:2");
    until_paused(&holder);
    holder.kill();
    let since = Instant::now();
    let again = homes.daemon("a");
    eventually("the same home goes on", || again.log().matches(" published").count() > 0 && homes.is_finished(600));
    eprintln!(
        "{store:?}: after a kill another home had finished in {:.1} s with a lease of {LEASE}, the same home in {:.1} s",
        other.as_secs_f64(),
        since.elapsed().as_secs_f64()
    );
    again.terminate();
    all_is_well(&homes, &mut archive, &lines);
}

#[test]
fn a_killed_holder_is_followed_by_another_home_or_by_itself_on_sqlite() {
    killed(Store::Sqlite);
}

#[test]
fn a_killed_holder_is_followed_by_another_home_or_by_itself_on_postgres() {
    killed(Store::Postgres);
}

#[test]
fn homes_that_do_not_share_their_pickup_directories_conclude_nothing_from_each_others() {
    let homes = Homes::of(Lab::new(Store::Postgres, OTHER), Store::Postgres);
    let lines = homes.lab.simulate(44, 200);
    homes.stage("a", &lines);
    let first = homes.daemon("a");
    eventually("the first publishes", || first.log().contains(" published"));
    first.terminate();

    // Its own directory is empty, and that says nothing of what the first has published.
    let text = fs::read_to_string(homes.lab.path("chancery.toml")).unwrap();
    fs::write(homes.lab.path("chancery.toml"), text.replace("share/canonical", "elsewhere/canonical")).unwrap();
    homes.command("b", &["setup", "--no-broker"]).output().unwrap();
    let second = homes.daemon("b");
    eventually("the second says so", || {
        let alerts = homes.status().map(|status| status["alerts"].clone()).unwrap_or_default();
        alerts.as_array().is_some_and(|alerts| {
            alerts.iter().any(|alert| {
                alert["kind"] == "share-unavailable" && alert["detail"].as_str().unwrap().contains("its marker")
            })
        })
    });
    second.terminate();
    let status = homes.status().unwrap();
    let adapter = status["adapters"].as_array().unwrap().iter().find(|one| one["name"] == "canonical").unwrap();
    assert!(adapter["batches"]["published"].as_u64().is_some_and(|count| count > 0), "{adapter}");
    assert_eq!(adapter["batches"].get("collected"), None, "{adapter}");
    assert_eq!(adapter["collected_events"], 0, "{adapter}");
}
