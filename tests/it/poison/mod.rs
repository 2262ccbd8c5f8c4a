//! Poison never blocks: whatever is published is archived or quarantined whole, and what comes before and after it is
//! archived as if it were not there.

mod kinds;

use std::collections::{HashMap, HashSet};
use std::fs;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use crate::support::{Lab, Message, RawPublisher, Store, eventually, messages, output_files, validate};
use kinds::{EVENT_BYTES_MAX, Fate, Kind, Scale, kinds, ordinary, properties};

const ORDINARY: &str = "/web/1";
/// Another known source.
const BESIDE: &str = "/channel-service/1";

fn config() -> String {
    format!("[intake]\nevent_size_max = \"{EVENT_BYTES_MAX}B\"\n[[adapter]]\nname = \"canonical\"\ninterval = \"1h\"\n")
}

fn publish_ordinary(publisher: &mut RawPublisher, id: &str) {
    publish_from(publisher, ORDINARY, id);
}

fn publish_from(publisher: &mut RawPublisher, source: &str, id: &str) {
    let head = properties(b"application/cloudevents+json", b"", 2);
    publisher.publish(b"chat.message.posted", &head, &ordinary(source, id, &format!("words of {id}")));
}

/// What is expected of all kinds together: events staged, items quarantined.
fn totals(kinds: &[Kind]) -> (usize, usize) {
    kinds.iter().fold((0, 0), |(staged, held), kind| match &kind.fate {
        Fate::Quarantined(_) => (staged, held + 1),
        Fate::Raw | Fate::Text(_) => (staged + 1, held),
        Fate::Parts { archived, quarantined } => (staged + archived, held + quarantined.len()),
    })
}

fn every_kind_is_kept_and_blocks_nobody(store: Store) {
    let lab = Lab::with_broker(store, &config());
    let kinds = kinds(Scale::Full);
    assert!(kinds.len() > 100);
    let names: HashSet<_> = kinds.iter().map(|kind| kind.name.as_str()).collect();
    assert_eq!(names.len(), kinds.len(), "each kind has a name of its own");

    let daemon = lab.daemon();
    let mut publisher = lab.raw_publisher();
    for (number, kind) in kinds.iter().enumerate() {
        publish_ordinary(&mut publisher, &format!("before {number}"));
        publisher.publish(&kind.routing_key, &kind.wire_properties(), &kind.body);
    }
    publish_ordinary(&mut publisher, "last");
    publisher.settle();
    let (staged, held) = totals(&kinds);
    let staged = staged + kinds.len() + 1;
    eventually(&format!("{} items are taken in: {}", staged + held, lab.status()["intake"]), || {
        let intake = lab.status()["intake"].clone();
        intake["staged"].as_u64().unwrap() + intake["quarantined"].as_u64().unwrap() == (staged + held) as u64
    });
    let log = daemon.log();
    assert_eq!(daemon.terminate().0, Some(0));
    assert!(!log.contains("no session with the broker"), "one session is enough: {log}");
    let pass = lab.json(&["run", "--once"]);
    assert_eq!(pass["staged"], 0, "everything was acknowledged");

    let found = messages(&lab.pickup("canonical"));
    let mut archived = Archived::new();
    for message in &found {
        archived.entry((&message.source, &message.event)).or_default().push(message);
    }
    for id in (0..kinds.len()).map(|number| format!("before {number}")).chain(["last".into()]) {
        let [message] = archived[&(ORDINARY, id.as_str())][..] else { panic!("{id} is archived once") };
        assert_eq!(message.content, format!("words of {id}"));
    }
    let held = Held::of(&lab);
    let mut wrong = Vec::new();
    for kind in &kinds {
        if let Err(what) = met_its_fate(&lab, kind, &archived, &held) {
            wrong.push(format!("{:?} {what}", kind.name));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(found.len(), staged);
    assert_eq!(found.iter().filter(|message| message.room == "room:crowd").count(), 10_000);
    for file in output_files(&lab.pickup("canonical")) {
        validate("canonical.xsd", &file);
    }
}

/// What the archive holds, by source and id.
type Archived<'m> = HashMap<(&'m str, &'m str), Vec<&'m Message>>;

/// Whether what became of a message is what was to become of it; else what is wrong.
fn met_its_fate(lab: &Lab, kind: &Kind, archived: &Archived<'_>, held: &Held) -> Result<(), String> {
    let once = || match archived.get(&(kinds::SOURCE, kind.name.as_str())).map(Vec::as_slice) {
        Some([message]) => Ok(*message),
        found => Err(format!(
            "is archived {} times; quarantined: {:?}",
            found.map_or(0, <[_]>::len),
            held.reasons(&kind.body)
        )),
    };
    let exactly = |holds: bool, what: &str| if holds { Ok(()) } else { Err(format!("is not exact in {what}")) };
    match &kind.fate {
        Fate::Quarantined(reason) => {
            let id = held.exact(lab, reason, &kind.body)?;
            if *reason == "unreadable-properties" {
                let head = lab.json(&["quarantine", "show", &id, "--head"]);
                let kept = head["unreadable"]["base64"].as_str().map(|base64| STANDARD.decode(base64).unwrap());
                exactly(kept == kind.properties, "its properties")?;
            }
            Ok(())
        }
        Fate::Raw => {
            let raw = once()?.attributes.iter().find(|(name, _)| name == "c:raw").ok_or("has no c:raw")?;
            exactly(STANDARD.decode(&raw.1).unwrap() == kind.body, "c:raw")
        }
        Fate::Text(text) => exactly(once()?.exact == *text, "its text"),
        Fate::Parts { quarantined, .. } => {
            quarantined.iter().try_for_each(|(reason, element)| held.exact(lab, reason, element).map(|_| ()))
        }
    }
}

/// What lies in quarantine, by reason and digest.
struct Held(HashMap<(String, String), String>);

impl Held {
    fn of(lab: &Lab) -> Self {
        let listed = lab.json(&["quarantine", "list", "--limit", "10000"]);
        let text = |row: &serde_json::Value, name: &str| row[name].as_str().unwrap().to_owned();
        let rows = listed.as_array().unwrap().iter().map(|row| {
            assert!(!text(row, "detail").is_empty() && !text(row, "detail").contains("hello"), "{row}");
            assert_eq!(row["seen"], 1, "{row}");
            ((text(row, "reason"), text(row, "sha256")), row["id"].to_string())
        });
        Self(rows.collect())
    }

    /// The number of the item that holds exactly these bytes for this reason, after exporting it.
    fn exact(&self, lab: &Lab, reason: &str, bytes: &[u8]) -> Result<String, String> {
        let Some(id) = self.0.get(&(reason.to_owned(), hex::encode(Sha256::digest(bytes)))) else {
            return Err(format!("is not in quarantine as {reason}, but as {:?}", self.reasons(bytes)));
        };
        let file = lab.path("exported");
        lab.ok(&["quarantine", "show", id, "--export", file.to_str().unwrap()]);
        if fs::read(file).unwrap() == bytes { Ok(id.clone()) } else { Err("is exported with other bytes".into()) }
    }

    /// Why these bytes are in quarantine.
    fn reasons(&self, bytes: &[u8]) -> Vec<&str> {
        let digest = hex::encode(Sha256::digest(bytes));
        self.0.keys().filter(|(_, held)| *held == digest).map(|(reason, _)| reason.as_str()).collect()
    }
}

#[test]
fn every_kind_is_kept_and_blocks_nobody_on_sqlite() {
    every_kind_is_kept_and_blocks_nobody(Store::Sqlite);
}

#[test]
fn every_kind_is_kept_and_blocks_nobody_on_postgres() {
    every_kind_is_kept_and_blocks_nobody(Store::Postgres);
}

/// From publishing to being staged, for each of the events that are timed; after each comes one of `poison`, or an
/// event of another source when there is none, so that as much is published either way.
fn times_to_staged(poison: &[Kind]) -> Vec<Duration> {
    const EVENTS: usize = 300;
    let lab = Lab::with_broker(Store::Sqlite, &config());
    let daemon = lab.daemon();
    eventually("the daemon takes in", || daemon.log().contains("taking in"));
    let mut publisher = lab.raw_publisher();
    let watcher = std::thread::spawn({
        let path = lab.path("home/state/staging.db");
        move || watch_staged(&path, EVENTS)
    });
    let mut published = Vec::with_capacity(EVENTS);
    let mut poison = poison.iter().cycle();
    for number in 0..EVENTS {
        published.push(Instant::now());
        publish_ordinary(&mut publisher, &number.to_string());
        match poison.next() {
            Some(kind) => publisher.publish(&kind.routing_key, &kind.wire_properties(), &kind.body),
            None => publish_from(&mut publisher, BESIDE, &format!("beside {number}")),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    publisher.settle();
    let staged = watcher.join().unwrap();
    assert_eq!(daemon.terminate().0, Some(0));
    let mut times: Vec<_> = published.iter().zip(staged).map(|(from, to)| to - *from).collect();
    times.sort();
    times
}

/// When each of so many ordinary events was seen in staging, in their order.
fn watch_staged(database: &std::path::Path, events: usize) -> Vec<Instant> {
    use sqlx::ConnectOptions as _;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(database).read_only(true);
        let mut connection = options.connect().await.unwrap();
        let mut seen = Vec::with_capacity(events);
        while seen.len() < events {
            let staged: Option<i64> = sqlx::query_scalar("select staged from sources where uri = ?")
                .bind(ORDINARY)
                .fetch_optional(&mut connection)
                .await
                .unwrap();
            seen.resize(usize::try_from(staged.unwrap_or(0)).unwrap(), Instant::now());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        seen
    })
}

/// Prints how long events wait to be staged with poison among them and without: times are no matter for an assertion
/// on a noisy machine. That the events arrive, one for each that was published, is asserted.
#[test]
fn events_among_poison_arrive_and_how_soon() {
    // A batch of hundreds of sound events is work and no poison.
    let small: Vec<Kind> =
        kinds(Scale::Small).into_iter().filter(|kind| !matches!(kind.fate, Fate::Parts { .. })).collect();
    let (without, with) = (times_to_staged(&[]), times_to_staged(&small));
    let at = |times: &[Duration], percent: usize| times[times.len() * percent / 100].as_secs_f64() * 1000.0;
    for percent in [50, 99] {
        let (plain, poisoned) = (at(&without, percent), at(&with, percent));
        println!(
            "publish to staged, p{percent}: {plain:.1} ms with a sound event after each, {poisoned:.1} ms with poison after each, ratio {:.2}",
            poisoned / plain
        );
    }
}

/// Large bodies wait in the queue, far more than may be in memory at once.
#[test]
fn memory_is_bounded_however_large_the_bodies_are() {
    let bodies: usize = std::env::var("CHANCERY_TEST_LARGE_BODIES").map_or(60, |count| count.parse().unwrap());
    let size = 8_000_000;
    let lab = Lab::with_broker(Store::Sqlite, &config());
    let mut publisher = lab.raw_publisher();
    let head = properties(b"application/cloudevents+json", b"", 2);
    for number in 0..bodies {
        let text = "x".repeat(size);
        // Half of them are events.
        let source = if number % 2 == 0 { ORDINARY } else { "/somebody/else" };
        publisher.publish(b"large", &head, &ordinary(source, &number.to_string(), &text));
    }
    publisher.settle();
    let daemon = lab.daemon();
    eventually("everything is taken in", || {
        let intake = lab.status()["intake"].clone();
        intake["staged"] == bodies.div_ceil(2) && intake["quarantined"] == bodies / 2
    });
    let peak = daemon.peak_memory();
    assert!(!daemon.log().contains("no session with the broker"), "{}", daemon.log());
    assert_eq!(daemon.terminate().0, Some(0));
    let waiting = (bodies * size) as u64;
    println!("peak memory with {} MB waiting in bodies of 8 MB: {} MB", waiting / 1_000_000, peak / 1_000_000);
    assert!(peak < 360_000_000, "{peak} bytes for {waiting} waiting");
}
