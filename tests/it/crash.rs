//! Being stopped at any time: politely, or not.

use std::collections::HashSet;
use std::fs;
use std::time::Duration;

use crate::support::{Lab, Store, eventually, keys, messages};

/// An archive that only reads, so that every output stays to be counted.
const KEPT: &str = "[[adapter]]\nname = \"canonical\"\ninterval = \"1s\"\ncollected_when = \"told\"\n\
    [[adapter]]\nname = \"vantage\"\ninterval = \"2s\"\ntransform = \"filedump\"\ncollected_when = \"told\"\n";

#[test]
fn sigterm_ends_the_daemon_in_time_and_loses_nothing() {
    let lab = Lab::with_broker(Store::Sqlite, KEPT);
    let lines = lab.simulate(31, 6000);
    fs::write(lab.path("events.ndjson"), lines.join("\n")).unwrap();
    let daemon = lab.daemon();
    lab.ok(&["emit", lab.path("events.ndjson").to_str().unwrap()]);
    // In the middle of taking in, cutting and writing.
    let (code, took) = daemon.terminate();
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(10), "{took:?}");
    lab.ok(&["run", "--once"]);
    once_each(&lab, &lines);
}

fn kill_and_finish(store: Store) {
    let lab = Lab::with_broker(store, KEPT);
    let lines = lab.simulate(32, 8000);
    let parts: Vec<&[String]> = lines.chunks(1000).collect();
    for (number, part) in parts.iter().enumerate() {
        let daemon = lab.daemon();
        let file = lab.path("part.ndjson");
        fs::write(&file, part.join("\n")).unwrap();
        lab.ok(&["emit", file.to_str().unwrap()]);
        // A different moment each round, from taking in to publishing.
        std::thread::sleep(Duration::from_millis(150 + 271 * number as u64));
        daemon.kill();
    }
    let daemon = lab.daemon();
    eventually("the last start finishes the work", || {
        let status = lab.status();
        let adapters = status["adapters"].as_array().unwrap();
        status["intake"]["staged"] == lines.len() && adapters.iter().all(|adapter| adapter["waiting_events"] == 0)
    });
    daemon.terminate();
    lab.ok(&["run", "--once"]);
    once_each(&lab, &lines);
}

/// Every event that makes a message stands exactly once in the outputs, and nothing half-written is left.
fn once_each(lab: &Lab, lines: &[String]) {
    let expected: HashSet<(String, String)> = keys(lines).into_iter().collect();
    let found: Vec<(String, String)> =
        messages(&lab.pickup("canonical")).into_iter().map(|message| (message.source, message.event)).collect();
    let distinct: HashSet<(String, String)> = found.iter().cloned().collect();
    assert_eq!(found.len(), distinct.len(), "nothing twice");
    assert_eq!(distinct, expected, "nothing lost");
    let left: Vec<_> = fs::read_dir(lab.pickup("canonical").join(".inprogress"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .filter(|name| name != "share")
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn kill_at_any_time_and_the_next_start_finishes_on_sqlite() {
    kill_and_finish(Store::Sqlite);
}

#[test]
fn kill_at_any_time_and_the_next_start_finishes_on_postgres() {
    kill_and_finish(Store::Postgres);
}

#[test]
fn two_processes_never_work_in_one_home() {
    let lab = Lab::new(Store::Sqlite, KEPT);
    let daemon = lab.daemon();
    eventually("the daemon runs", || daemon.log().contains("running"));
    let second = lab.run(&["run", "--once"]);
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains("another chancery"));
}
