//! What is missing is noticed: numbers that never came, came twice, began again, and sources that fall silent.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::{Lab, Store, eventually};

const ADAPTER: &str = "[completeness]\npatience = \"0s\"\n[[adapter]]\nname = \"canonical\"\ninterval = \"1h\"\n";
const SOURCE: &str = "/web/1";

/// A draw from a fixed order, so that a failure can be had again.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// A source's day, as it was sent, and what was planted in it.
#[derive(Default)]
struct Day {
    lines: Vec<String>,
    gaps: BTreeSet<(u64, u64, u64)>,
    repeats: BTreeSet<(u64, u64)>,
    resets: BTreeSet<u64>,
}

fn line(id: u64, number: u64, at: u64) -> String {
    // Tenths of milliseconds since the day began: later events have later times.
    let (seconds, rest) = (at / 10_000, at % 10_000);
    let time = format!("2026-11-22T{:02}:{:02}:{:02}.{rest:04}Z", seconds / 3600, seconds / 60 % 60, seconds % 60);
    json!({
        "specversion": "1.0", "id": id.to_string(), "source": SOURCE, "type": "chat.message.posted",
        "subject": format!("room:{}", number % 20), "time": time, "sequence": number.to_string(),
        "data": { "sender": { "uri": "sip:a@example.com" }, "message": { "text": "t" } },
    })
    .to_string()
}

fn heartbeat(id: &str, number: u64) -> String {
    json!({
        "specversion": "1.0", "id": id, "source": SOURCE, "type": "chat.source.heartbeat",
        "time": "2026-11-22T23:59:59Z", "data": { "sequence": number, "count": number },
    })
    .to_string()
}

/// So many events in `epochs` counts, with planted losses and repeats, each moved by at most 30 places.
fn day(events: u64, epochs: u64) -> Day {
    let (mut day, mut dice) = (Day::default(), Dice(7));
    let (mut id, mut at) = (0, 0);
    let mut sent = Vec::new();
    for epoch in 1..=epochs {
        let (mut number, mut quiet) = (1, 0);
        let end = events / epochs;
        while number <= end {
            (id, at) = (id + 1, at + 1);
            // Not near the ends, and not near each other: two in a row are one.
            let room = quiet > 100 && number + 200 < end;
            match dice.below(300) {
                0 if room => {
                    let lost = 1 + dice.below(9);
                    day.gaps.insert((epoch, number, number + lost - 1));
                    (number, quiet) = (number + lost, 0);
                }
                1 if room => {
                    let again = number - 1 - dice.below(40);
                    day.repeats.insert((epoch, again));
                    sent.push(line(1_000_000 + id, again, at));
                    quiet = 0;
                }
                _ => {
                    sent.push(line(id, number, at));
                    (number, quiet) = (number + 1, quiet + 1);
                }
            }
        }
        if epoch > 1 {
            day.resets.insert(epoch);
        }
    }
    let mut keyed: Vec<_> = (0..).zip(sent).map(|(at, line)| (at + dice.below(30), at, line)).collect();
    keyed.sort_unstable();
    day.lines = keyed.into_iter().map(|(.., line)| line).collect();
    day
}

fn findings(lab: &Lab) -> Vec<Value> {
    let listed = lab.run(&["--format", "json", "sequence", "list", "--limit", "100000"]);
    serde_json::from_slice(&listed.stdout).unwrap()
}

fn everything_planted_is_reported(store: Store, events: u64) {
    let lab = Lab::new(store, ADAPTER);
    let day = day(events, 3);
    assert!(day.gaps.len() > 30 && day.repeats.len() > 30, "{} {}", day.gaps.len(), day.repeats.len());
    lab.spool("day.ndjson", &day.lines);
    lab.ok(&["run", "--once"]);
    let number = |row: &Value, name: &str| row[name].as_u64().unwrap();
    let of = |kind: &str| findings(&lab).into_iter().filter(|row| row["kind"] == kind).collect::<Vec<_>>();
    let gaps: BTreeSet<_> =
        of("gap").iter().map(|row| (number(row, "epoch"), number(row, "first"), number(row, "last"))).collect();
    assert_eq!(gaps, day.gaps);
    let repeats: BTreeSet<_> = of("repeat").iter().map(|row| (number(row, "epoch"), number(row, "first"))).collect();
    assert_eq!(repeats, day.repeats);
    let resets: BTreeSet<_> = of("reset").iter().map(|row| number(row, "epoch")).collect();
    assert_eq!(resets, day.resets);
    assert_eq!(findings(&lab).len(), day.gaps.len() + day.repeats.len() + day.resets.len());

    let status = lab.status();
    let kinds: Vec<_> = status["alerts"].as_array().unwrap().iter().map(|alert| alert["kind"].clone()).collect();
    assert_eq!(kinds, ["sequence-gap", "sequence-repeat", "sequence-reset"]);
    let source = status["sources"].as_array().unwrap().iter().find(|source| source["source"] == SOURCE).unwrap();
    let missing: u64 = day.gaps.iter().map(|(_, first, last)| last - first + 1).sum();
    assert_eq!((number(&source["sequence"], "missing"), number(&source["sequence"], "epoch")), (missing, 3));

    // What was lost at first is found after all: nothing of it is open any more.
    let first_epoch = day.gaps.iter().filter(|(epoch, ..)| *epoch == 1);
    let lost =
        first_epoch.flat_map(|(_, first, last)| *first..=*last).map(|number| line(2_000_000 + number, number, 0));
    lab.spool("lost.ndjson", &lost.collect::<Vec<_>>());
    lab.ok(&["run", "--once"]);
    let open: BTreeSet<_> = of("gap").iter().map(|row| number(row, "epoch")).collect();
    assert_eq!(open, BTreeSet::from([2, 3]));
    assert_eq!(of("repeat").len(), day.repeats.len());
    let all = lab.run(&["--format", "json", "sequence", "list", "--all", "--limit", "100000"]);
    let all: Value = serde_json::from_slice(&all.stdout).unwrap();
    let closed: Vec<_> = all.as_array().unwrap().iter().filter(|row| !row["closed"].is_null()).collect();
    assert!(!closed.is_empty() && closed.iter().all(|row| row["open_for_ms"].is_u64()), "{closed:?}");
}

#[test]
fn everything_planted_is_reported_and_nothing_else_on_sqlite() {
    everything_planted_is_reported(Store::Sqlite, 100_000);
}

#[test]
fn everything_planted_is_reported_and_nothing_else_on_postgres() {
    everything_planted_is_reported(Store::Postgres, 100_000);
}

#[test]
fn a_lost_end_is_told_by_a_heartbeat_and_settled_by_a_person() {
    let lab = Lab::new(Store::Sqlite, ADAPTER);
    lab.spool("a.ndjson", &[line(1, 1, 1), line(2, 2, 2), heartbeat("beat", 5)]);
    lab.ok(&["run", "--once"]);
    let found = findings(&lab);
    assert_eq!((found.len(), &found[0]["first"], &found[0]["last"]), (1, &json!(3), &json!(5)));
    let id = found[0]["id"].to_string();
    let table = String::from_utf8(lab.run(&["sequence", "list"]).stdout).unwrap();
    assert!(table.contains("3 to 5 are missing"), "{table}");
    assert_eq!(lab.run(&["sequence", "settle", &id, "--reason", " "]).status.code(), Some(2));
    lab.ok(&["sequence", "settle", &id, "--reason", "the source was reinstalled"]);
    assert_eq!(lab.run(&["sequence", "settle", &id, "--reason", "again"]).status.code(), Some(1));
    lab.ok(&["run", "--once"]);
    assert_eq!((lab.status()["state"].as_str(), findings(&lab).len()), (Some("ok"), 0));
}

#[test]
fn what_is_quarantined_with_its_number_is_not_missing() {
    let lab = Lab::new(Store::Sqlite, ADAPTER);
    let broken = line(2, 2, 2).replace("\"time\":\"2026", "\"time\":\"yesterday");
    lab.spool("a.ndjson", &[line(1, 1, 1), broken, line(3, 3, 3)]);
    lab.ok(&["run", "--once"]);
    assert_eq!(lab.json(&["quarantine", "list"]).as_array().unwrap().len(), 1);
    assert_eq!(findings(&lab), Vec::<Value>::new());
}

#[test]
fn a_source_that_falls_silent_is_an_alert_until_it_speaks() {
    let lab = Lab::new(Store::Sqlite, "");
    lab.configure(&format!("[[source]]\nuri = \"urn:quiet\"\nsilence = \"1s\"\n{ADAPTER}"));
    let daemon = lab.daemon();
    let silent = || lab.status()["alerts"].as_array().unwrap().iter().any(|alert| alert["kind"] == "source-silent");
    eventually("it is silent", silent);
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for beat in 0.. {
                if stop.load(std::sync::atomic::Ordering::Relaxed) {
                    break;
                }
                lab.spool(
                    &format!("beat-{beat}.ndjson"),
                    &[heartbeat(&beat.to_string(), 1).replace(SOURCE, "urn:quiet")],
                );
                std::thread::sleep(std::time::Duration::from_millis(200));
            }
        });
        eventually("it spoke", || !silent());
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    eventually("it is silent again", silent);
    daemon.terminate();
}
