//! What operators do: look, set up, mend, decide.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Lab, Store, eventually, messages, output_files};

const TOLD: &str = "[[adapter]]\nname = \"canonical\"\ninterval = \"1h\"\ncollected_when = \"told\"\n";

fn event(id: u32, source: &str, text: &str) -> String {
    format!(
        r#"{{"specversion":"1.0","id":"{id}","source":"{source}","type":"chat.message.posted","subject":"room:1","time":"2026-11-22T10:00:00Z","data":{{"sender":{{"uri":"sip:a@example.com"}},"message":{{"text":"{text}"}}}}}}"#
    )
}

#[test]
fn what_is_no_event_waits_in_quarantine_until_someone_decides() {
    let lab = Lab::new(Store::Sqlite, TOLD);
    let stranger = event(2, "/stranger", "let me in");
    lab.spool("a.ndjson", &[event(1, "/web/1", "hello"), "{not json".into(), stranger.clone()]);
    let pass = lab.json(&["run", "--once"]);
    assert_eq!((pass["staged"].as_u64(), pass["quarantined"].as_u64()), (Some(1), Some(2)));
    assert_eq!(messages(&lab.pickup("canonical")).len(), 1, "the event beside them flowed on");

    let listed = lab.json(&["quarantine", "list"]);
    let by_reason = |reason: &str| {
        listed.as_array().unwrap().iter().find(|row| row["reason"] == reason).unwrap_or_else(|| panic!("{listed}"))["id"].to_string()
    };
    let (broken, unknown) = (by_reason("malformed-json"), by_reason("unknown-source"));
    assert_eq!(lab.ok(&["quarantine", "show", &broken, "--content"]), "{not json");
    assert!(!lab.ok(&["quarantine", "show", &unknown]).contains("let me in"), "no content without asking for it");

    // Replayed too early it stays; once the source is known it is taken in.
    assert_eq!(lab.run(&["quarantine", "replay", &unknown]).status.code(), Some(1));
    lab.configure(&format!("[[source]]\nuri = \"/stranger\"\n{TOLD}"));
    lab.ok(&["quarantine", "replay", "--reason", "unknown-source"]);
    let undecided = lab.run(&["quarantine", "discard", &broken, "--reason", "a test"]);
    assert_eq!(undecided.status.code(), Some(2), "discarding asks first");
    lab.ok(&["quarantine", "discard", &broken, "--reason", "a test", "--yes"]);
    lab.ok(&["run", "--once"]);
    let texts: Vec<String> = messages(&lab.pickup("canonical")).into_iter().map(|message| message.content).collect();
    assert_eq!(texts, ["hello", "let me in"]);
    assert_eq!(lab.json(&["quarantine", "list"]).as_array().unwrap().len(), 0);
}

#[test]
fn a_conflict_keeps_both_and_raises_an_alert() {
    let lab = Lab::new(Store::Sqlite, TOLD);
    lab.spool("a.ndjson", &[event(1, "/web/1", "buy"), event(1, "/web/1", "sell"), event(1, "/web/1", "buy")]);
    let pass = lab.json(&["run", "--once"]);
    assert_eq!(
        (pass["staged"].as_u64(), pass["duplicates"].as_u64(), pass["conflicts"].as_u64()),
        (Some(2), Some(1), Some(1))
    );
    let found = messages(&lab.pickup("canonical"));
    assert_eq!(found.len(), 2);
    assert!(found.iter().all(|message| message.attributes.iter().any(|(name, _)| name == "c:conflict")));
    let status = lab.status();
    assert_eq!(status["alerts"][0]["kind"], "conflict");
    assert_eq!(lab.run(&["status"]).status.code(), Some(1));
}

#[test]
fn a_batch_told_to_be_collected_is_purged_and_one_abandoned_is_not_waited_for() {
    let lab = Lab::new(Store::Sqlite, TOLD);
    lab.spool("a.ndjson", &[event(1, "/web/1", "hello")]);
    lab.ok(&["run", "--once"]);
    let id = lab.json(&["batch", "list"])[0]["id"].to_string();
    assert_eq!(lab.status()["intake"]["waiting"], 1);
    lab.ok(&["batch", "collected", &id]);
    lab.ok(&["run", "--once"]);
    assert_eq!(lab.json(&["batch", "show", &id])["state"], "purged");
    assert_eq!(lab.status()["intake"]["waiting"], 0);
    assert_eq!(output_files(&lab.pickup("canonical")).len(), 0);
    let again = lab.run(&["batch", "collected", &id]);
    assert_eq!(again.status.code(), Some(1), "what is purged cannot be collected again");

    lab.spool("b.ndjson", &[event(2, "/web/1", "gone")]);
    lab.ok(&["run", "--once"]);
    let listed = lab.json(&["batch", "list", "--state", "published"]);
    let id = listed[0]["id"].to_string();
    assert_eq!(
        lab.run(&["batch", "abandon", &id, "--reason", "a test"]).status.code(),
        Some(2),
        "abandoning asks first"
    );
    lab.ok(&["batch", "abandon", &id, "--reason", "a test", "--yes"]);
    let shown = lab.json(&["batch", "show", &id]);
    assert_eq!((shown["state"].as_str(), shown["reason"].as_str()), (Some("abandoned"), Some("a test")));
}

#[test]
fn what_was_set_aside_is_shown_with_its_batch_and_retried_by_its_own_number() {
    let lab = Lab::new(Store::Sqlite, TOLD);
    lab.spool("a.ndjson", &[event(1, "/web/1", "hello"), event(2, "/web/1", "again")]);
    lab.ok(&["run", "--once"]);
    lab.alter_sqlite(&[
        "insert into batches (adapter, interval_start, interval_end, from_seq, to_seq, first, state, attempts, retry_at, \
         reason, events, conversations, cut_at, supplement_to, left_by) select adapter, interval_start, interval_end, \
         from_seq, to_seq, first, 'failed', 1, cut_at, 'line 7 of a.xsl: too deep', 1, 1, cut_at, id, id from batches",
        "insert into set_aside (batch_id, room_no, reason) values (2, 1, 'line 7 of a.xsl: too deep' || char(10) || 'depth 3001')",
        "update batches set events = 1 where id = 1",
    ]);
    let original = lab.json(&["batch", "show", "1"]);
    assert_eq!((&original["supplement_to"], &original["supplements"]), (&Value::Null, &json!([2])));
    assert_eq!(original["set_aside"], Value::Null);
    let left = lab.json(&["batch", "show", "2"]);
    assert_eq!((&left["supplement_to"], &left["supplements"]), (&json!(1), &Value::Null));
    assert_eq!(left["set_aside"], json!([{ "room": "room:1", "reason": "line 7 of a.xsl: too deep\ndepth 3001" }]));
    let table = |arguments: &[&str]| {
        let output = lab.run(arguments);
        String::from_utf8(output.stdout).unwrap()
    };
    let told = table(&["batch", "show", "1"]);
    assert!(told.contains("batch 2, failed: conversations 1, events 1"), "{told}");
    let told = table(&["batch", "show", "2"]);
    assert!(
        told.contains("supplement to")
            && told.contains("\n  room:1\n      line 7 of a.xsl: too deep\n      depth 3001\n"),
        "{told}"
    );
    let listed = lab.json(&["batch", "list"]);
    assert_eq!((&listed[0]["supplement_to"], &listed[1]["supplement_to"]), (&Value::Null, &json!(1)));

    let adapter = &lab.status()["adapters"][0];
    assert_eq!((&adapter["written_events"], &adapter["waiting_events"]), (&json!(1), &json!(1)), "counted once");
    let refused = lab.run(&["batch", "retry", "1"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1));
    assert!(said.contains("batch 2") && said.contains("chancery batch retry 2"), "{said}");
    assert_eq!(lab.json(&["batch", "show", "2"])["state"], "failed", "nothing was done");
    lab.ok(&["batch", "retry", "2"]);
    assert_eq!(lab.json(&["batch", "show", "2"])["state"], "cut");
    assert_eq!(lab.status()["adapters"][0]["waiting_events"], 1, "not the whole range");
}

#[test]
fn an_unmounted_share_is_noticed_waited_for_and_caught_up_with() {
    let lab = Lab::new(Store::Sqlite, "[[adapter]]\nname = \"canonical\"\ninterval = \"1s\"\n");
    let daemon = lab.daemon();
    lab.spool("a.ndjson", &[event(1, "/web/1", "before")]);
    eventually("the first output", || output_files(&lab.pickup("canonical")).len() == 1);
    let away = lab.path("away");
    fs::rename(lab.pickup("canonical"), &away).unwrap();
    fs::create_dir(lab.pickup("canonical")).unwrap();
    lab.spool("b.ndjson", &[event(2, "/web/1", "meanwhile")]);
    eventually("an alert", || lab.status()["alerts"].to_string().contains("share-unavailable"));
    let batches = lab.json(&["batch", "list", "--state", "published"]);
    assert_eq!(batches.as_array().unwrap().len(), 1, "an empty directory is no proof of collection");
    fs::remove_dir(lab.pickup("canonical")).unwrap();
    fs::rename(&away, lab.pickup("canonical")).unwrap();
    eventually("the second output", || output_files(&lab.pickup("canonical")).len() == 2);
    eventually("the alert is closed", || lab.status()["state"] == "ok");
    assert_eq!(daemon.terminate().0, Some(0));
}

#[test]
fn a_broker_that_stays_away_is_an_alert_until_it_is_back() {
    let lab = Lab::with_broker(Store::Sqlite, TOLD);
    let right = fs::read_to_string(lab.path("chancery.toml")).unwrap();
    let url = right.lines().find(|line| line.starts_with("url = \"amqp")).unwrap();
    fs::write(lab.path("chancery.toml"), right.replace(url, "url = \"amqp://127.0.0.1:1/%2f\"")).unwrap();
    let daemon = lab.daemon();
    eventually("an alert", || lab.status()["alerts"].to_string().contains("broker-unavailable"));
    assert_eq!(daemon.terminate().0, Some(0));
    fs::write(lab.path("chancery.toml"), right).unwrap();
    let daemon = lab.daemon();
    eventually("the alert is closed", || lab.status()["state"] == "ok");
    assert_eq!(daemon.terminate().0, Some(0));
}

#[test]
fn what_is_collected_is_kept_for_as_long_as_configured() {
    let keep = TOLD.replace("\"told\"", "\"after:1s\"\nkeep_after_collection = \"1h\"");
    let lab = Lab::new(Store::Sqlite, &keep);
    lab.spool("a.ndjson", &[event(1, "/web/1", "hello")]);
    lab.ok(&["run", "--once"]);
    eventually("it is collected by time", || {
        lab.ok(&["run", "--once"]);
        lab.json(&["batch", "show", "1"])["collected_how"] == "after"
    });
    lab.ok(&["run", "--once"]);
    assert_eq!(lab.json(&["batch", "show", "1"])["state"], "collected");
    assert_eq!(lab.status()["intake"]["waiting"], 1);
    assert_eq!(output_files(&lab.pickup("canonical")).len(), 1);
    lab.configure(&keep.replace("keep_after_collection = \"1h\"", "keep_after_collection = \"0s\""));
    lab.ok(&["run", "--once"]);
    assert_eq!(lab.json(&["batch", "show", "1"])["state"], "purged");
    assert_eq!(lab.status()["intake"]["waiting"], 0);
    assert_eq!(output_files(&lab.pickup("canonical")).len(), 0);
}

#[test]
fn a_broken_stylesheet_stops_its_own_adapter_alone() {
    let adapters = "[[adapter]]\nname = \"broken\"\ninterval = \"1h\"\ntransform = \"bad.xsl\"\n[[adapter]]\nname = \"canonical\"\ninterval = \"1h\"\n";
    let lab = Lab::new(Store::Sqlite, adapters);
    fs::write(lab.path("bad.xsl"), "<xsl:stylesheet version='1.0' xmlns:xsl='http://www.w3.org/1999/XSL/Transform'><xsl:template match='['/></xsl:stylesheet>").unwrap();
    lab.spool("a.ndjson", &[event(1, "/web/1", "hello")]);
    assert_eq!(lab.run(&["run", "--once"]).status.code(), Some(1));
    assert_eq!(messages(&lab.pickup("canonical")).len(), 1);
    let reason = lab.json(&["batch", "list", "--state", "failed"])[0]["reason"].clone();
    assert!(reason.as_str().unwrap().contains("bad.xsl"), "{reason}");
}

#[test]
fn compressed_outputs_and_own_parameters() {
    let lab = Lab::new(
        Store::Sqlite,
        "[[adapter]]\nname = \"small\"\ninterval = \"1h\"\ncompress = true\n\
         [[adapter]]\nname = \"seconds\"\ninterval = \"1h\"\ntransform = \"filedump\"\nparameters = { time_unit = \"s\" }\n",
    );
    lab.spool("a.ndjson", &[event(1, "/web/1", "hello")]);
    lab.ok(&["run", "--once"]);
    let packed = fs::read_dir(lab.pickup("small"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|e| e == "zst"))
        .unwrap();
    let text = String::from_utf8(zstd::decode_all(fs::File::open(packed).unwrap()).unwrap()).unwrap();
    assert!(text.contains("hello"));
    let dump = fs::read_to_string(&output_files(&lab.pickup("seconds"))[0]).unwrap();
    assert!(dump.contains("1795341600") && !dump.contains("1795341600000"), "{dump}");
}

#[test]
fn a_file_named_by_its_place_is_captured_and_one_that_cannot_be_had_is_said_to_be_missing() {
    let lab = Lab::new(Store::Sqlite, &format!("[files]\nroot = \"repository\"\n{TOLD}"));
    fs::create_dir_all(lab.path("repository/2026")).unwrap();
    fs::write(lab.path("repository/2026/report.pdf"), "the report").unwrap();
    fs::write(lab.path("secret.txt"), "outside").unwrap();
    let upload = |id: u32, location: &str| {
        format!(
            r#"{{"specversion":"1.0","id":"{id}","source":"/web/1","type":"chat.file.uploaded","subject":"room:1","time":"2026-11-22T10:00:0{id}Z","data":{{"sender":{{"uri":"sip:a@example.com"}},"file":{{"name":"Q3 report.PDF","location":"{location}"}}}}}}"#
        )
    };
    lab.spool("a.ndjson", &[upload(1, "2026/report.pdf"), upload(2, "../secret.txt"), upload(3, "2026/gone.pdf")]);
    lab.ok(&["run", "--once"]);
    let found = messages(&lab.pickup("canonical"));
    assert_eq!(found[0].missing, None);
    assert!(found[0].content.ends_with(".pdf"), "{}", found[0].content);
    assert_eq!(fs::read_to_string(lab.pickup("canonical").join(&found[0].content)).unwrap(), "the report");
    for refused in &found[1..] {
        assert!(refused.missing.as_ref().is_some_and(|reason| reason.contains("file repository")), "{refused:?}");
        assert_eq!(refused.content, "Q3 report.PDF");
    }
    let copies =
        fs::read_dir(lab.pickup("canonical")).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_file());
    assert_eq!(copies.count(), 2, "one output, one attachment");
}

#[test]
fn a_queue_that_is_missing_is_named_with_its_cure() {
    let lab = Lab::with_broker(Store::Sqlite, TOLD);
    let text = fs::read_to_string(lab.path("chancery.toml")).unwrap();
    fs::write(lab.path("chancery.toml"), text.replace(".q\"", ".nowhere\"")).unwrap();
    let output = lab.run(&["run", "--once"]);
    assert_eq!(output.status.code(), Some(5));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains(".nowhere") && said.contains("chancery setup"), "{said}");
}

#[test]
fn a_wrong_configuration_ends_with_exit_code_three() {
    let lab = Lab::new(Store::Sqlite, "[[adapter]]\nname = \"a\"\nintervall = \"1h\"\n");
    for arguments in [&["config", "check"][..], &["run", "--once"], &["status"]] {
        let output = lab.run(arguments);
        assert_eq!(output.status.code(), Some(3), "{arguments:?}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("chancery.toml:") && said.contains("intervall") && said.contains("interval"), "{said}");
    }
}
