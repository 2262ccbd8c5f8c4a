//! The main job: from the queue to the share, collected, purged.

use std::collections::HashMap;
use std::fs;

use crate::support::{Lab, Message, Store, eventually, keys, messages, output_files, validate};

const TWO_ADAPTERS: &str = r#"
[[adapter]]
name = "canonical"
interval = "1h"
[[adapter]]
name = "rooms"
interval = "2h"
one_room_per_file = true
collected_when = "acknowledged"
[[adapter]]
name = "strict"
interval = "1h"
dialect = "lync2013"
[[adapter]]
name = "vantage"
interval = "1h"
transform = "filedump"
"#;

/// How often each event stands in an adapter's outputs.
fn counted(found: &[Message]) -> HashMap<(String, String), usize> {
    let mut counts = HashMap::new();
    for message in found {
        *counts.entry((message.source.clone(), message.event.clone())).or_default() += 1;
    }
    counts
}

fn ten_thousand_events_are_each_in_exactly_one_output_per_adapter(store: Store) {
    let lab = Lab::with_broker(store, TWO_ADAPTERS);
    let lines = lab.simulate(11, 10_000);
    fs::write(lab.path("events.ndjson"), lines.join("\n")).unwrap();
    lab.ok(&["emit", lab.path("events.ndjson").to_str().unwrap()]);
    let pass = lab.json(&["run", "--once"]);
    assert_eq!(pass["staged"], 10_000);
    assert_eq!(pass["quarantined"], 0);

    let expected = keys(&lines);
    for adapter in ["canonical", "rooms"] {
        let counts = counted(&messages(&lab.pickup(adapter)));
        assert_eq!(counts.len(), expected.len(), "{adapter}");
        for key in &expected {
            assert_eq!(counts.get(key), Some(&1), "{adapter}: {key:?}");
        }
    }
    assert!(output_files(&lab.pickup("rooms")).len() > 5, "one file for each room");
    for adapter in ["canonical", "rooms"] {
        for file in output_files(&lab.pickup(adapter)) {
            validate("canonical.xsd", &file);
        }
    }
    for file in output_files(&lab.pickup("strict")) {
        validate("lync2013.xsd", &file);
    }
    let dump = fs::read_to_string(&output_files(&lab.pickup("vantage"))[0]).unwrap();
    assert!(dump.contains("<FileDump"), "{}", &dump[..200]);
}

#[test]
fn ten_thousand_events_once_each_on_sqlite() {
    ten_thousand_events_are_each_in_exactly_one_output_per_adapter(Store::Sqlite);
}

#[test]
fn ten_thousand_events_once_each_on_postgres() {
    ten_thousand_events_are_each_in_exactly_one_output_per_adapter(Store::Postgres);
}

#[test]
fn a_running_daemon_writes_notices_collection_and_purges() {
    let lab = Lab::with_broker(
        Store::Sqlite,
        "[[adapter]]\nname = \"canonical\"\ninterval = \"1s\"\n\
         [[adapter]]\nname = \"acked\"\ninterval = \"2s\"\ncollected_when = \"acknowledged\"\n",
    );
    let daemon = lab.daemon();
    let lines = lab.simulate(5, 500);
    fs::write(lab.path("events.ndjson"), lines.join("\n")).unwrap();
    lab.ok(&["emit", lab.path("events.ndjson").to_str().unwrap()]);
    let expected = keys(&lines).len();

    // The archives: one takes files away, the other acknowledges them.
    let mut archive: HashMap<String, Vec<Message>> = HashMap::new();
    eventually("both archives have every message", || {
        for file in output_files(&lab.pickup("canonical")) {
            archive.entry("canonical".into()).or_default().extend(one_file(&file));
        }
        for entry in fs::read_dir(lab.pickup("canonical")).into_iter().flatten().flatten() {
            if entry.path().is_file() {
                fs::remove_file(entry.path()).unwrap();
            }
        }
        for file in output_files(&lab.pickup("acked")) {
            let acknowledgement = file.with_file_name(format!("{}.ack", file.file_name().unwrap().to_str().unwrap()));
            if !acknowledgement.exists() {
                archive.entry("acked".into()).or_default().extend(one_file(&file));
                fs::write(acknowledgement, "").unwrap();
            }
        }
        ["canonical", "acked"].iter().all(|name| archive.get(*name).is_some_and(|found| found.len() >= expected))
    });
    for (adapter, found) in &archive {
        assert_eq!(found.len(), expected, "{adapter}");
        assert_eq!(counted(found).len(), expected, "{adapter}");
    }
    eventually("everything is purged", || {
        let status = lab.status();
        status["intake"]["waiting"] == 0
            && status["adapters"].as_array().unwrap().iter().all(|adapter| {
                adapter["batches"].as_object().unwrap().keys().all(|state| state == "purged" || state == "empty")
            })
    });
    assert_eq!(output_files(&lab.pickup("acked")).len(), 0);
    // The gate that keeps sweep and capture apart, and the lock of the process that captures, are no content.
    let mut kept = walk(&lab.path("home/vault"));
    kept.retain(|file| file.extension().is_none_or(|ending| ending != "lock"));
    assert!(kept.is_empty(), "{kept:?}");
    let certificates = fs::read_dir(lab.path("home/evidence/purge")).unwrap().count();
    assert!(certificates >= 2, "a certificate for each purged batch");
    let (code, _) = daemon.terminate();
    assert_eq!(code, Some(0));
}

fn one_file(file: &std::path::Path) -> Vec<Message> {
    let dir = tempfile::tempdir().unwrap();
    fs::copy(file, dir.path().join("one.xml")).unwrap();
    messages(dir.path())
}

fn walk(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(walk(&path)) } else { found.push(path) }
    }
    found
}

#[test]
fn uploaded_files_lie_beside_the_output_under_the_name_it_gives() {
    let lab = Lab::new(Store::Sqlite, "[[adapter]]\nname = \"canonical\"\ninterval = \"1h\"\n");
    let lines = lab.simulate(3, 3000);
    lab.spool("day.ndjson", &lines);
    lab.ok(&["run", "--once"]);
    let found = messages(&lab.pickup("canonical"));
    let uploads: Vec<_> = found.iter().filter(|message| message.kind == "FILEUPLOAD").collect();
    assert!(uploads.len() > 3);
    for upload in uploads {
        assert_eq!(upload.missing, None);
        let bytes = fs::read(lab.pickup("canonical").join(&upload.content)).unwrap();
        let claimed = upload.attributes.iter().find(|(name, _)| name == "c:sha256").unwrap();
        let digest = <sha2::Sha256 as sha2::Digest>::digest(&bytes);
        assert_eq!(hex::encode(digest), claimed.1, "{}", upload.content);
    }
}
