//! A loss planted at each hop is found and named.

use std::fs;
use std::time::Instant;

use serde_json::{Value, json};

use crate::support::{Lab, Store, eventually, output_files, sha256_of};

const ACKNOWLEDGED: &str = "[completeness]\npatience = \"0s\"\n[[adapter]]\nname = \"canonical\"\ninterval = \"1h\"\ncollected_when = \"acknowledged\"\nkeep_after_collection = \"0s\"\n";

fn event(number: u64) -> String {
    json!({
        "specversion": "1.0", "id": number.to_string(), "source": "/web/1", "type": "chat.message.posted",
        "subject": format!("room:{}", number % 2), "time": format!("2026-11-22T10:00:{number:02}Z"),
        "sequence": number.to_string(),
        "data": { "sender": { "uri": "sip:a@example.com" }, "message": { "text": format!("text {number}") } },
    })
    .to_string()
}

/// Ten events, written and waiting for the archive.
fn written(store: Store) -> Lab {
    let lab = Lab::new(store, ACKNOWLEDGED);
    lab.spool("a.ndjson", &(1..=10).map(event).collect::<Vec<_>>());
    lab.ok(&["run", "--once"]);
    lab
}

fn reconcile(lab: &Lab) -> Value {
    let output = lab.run(&["--format", "json", "reconcile"]);
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let balanced = found["imbalances"].as_array().unwrap().is_empty();
    assert_eq!(output.status.code(), Some(i32::from(!balanced)));
    found
}

fn hops(lab: &Lab) -> Vec<String> {
    let found = reconcile(lab);
    found["imbalances"].as_array().unwrap().iter().map(|lost| lost["hop"].as_str().unwrap().to_owned()).collect()
}

fn everything_balances_before_and_after_purge(store: Store) {
    let lab = written(store);
    let found = reconcile(&lab);
    assert_eq!(found["imbalances"], json!([]));
    let adapter = &found["adapters"][0];
    assert_eq!((&adapter["written"], &adapter["on_share"], &adapter["collected"]), (&json!(10), &json!(10), &json!(0)));
    for file in output_files(&lab.pickup("canonical")) {
        let mut name = file.into_os_string();
        name.push(".ack");
        fs::write(name, "").unwrap();
    }
    lab.ok(&["run", "--once"]);
    lab.spool("b.ndjson", &[event(11)]);
    lab.ok(&["run", "--once"]);
    let found = reconcile(&lab);
    assert_eq!(found["imbalances"], json!([]));
    let source = found["sources"].as_array().unwrap().iter().find(|line| line["source"] == "/web/1").unwrap();
    let counts = ["emitted", "missing", "staged", "present", "purged"].map(|name| source[name].as_u64().unwrap());
    assert_eq!(counts, [11, 0, 11, 1, 10]);
    let csv = lab.ok(&["reconcile", "--csv"]);
    assert!(csv.starts_with("of,name,count,value\r\n") && csv.contains("source,/web/1,purged,10\r\n"), "{csv}");
    assert!(lab.ok(&["reconcile"]).trim_end().ends_with("balanced"));
}

#[test]
fn everything_balances_before_and_after_purge_on_sqlite() {
    everything_balances_before_and_after_purge(Store::Sqlite);
}

#[test]
fn everything_balances_before_and_after_purge_on_postgres() {
    everything_balances_before_and_after_purge(Store::Postgres);
}

#[test]
fn what_the_source_skipped_is_found() {
    let lab = Lab::new(Store::Sqlite, ACKNOWLEDGED);
    lab.spool("a.ndjson", &[event(1), event(2), event(4)]);
    lab.ok(&["run", "--once"]);
    assert_eq!(hops(&lab), ["source"]);
}

#[test]
fn what_somebody_took_off_the_queue_is_found() {
    let lab = Lab::with_broker(Store::Sqlite, ACKNOWLEDGED);
    let file = lab.path("events.ndjson");
    fs::write(&file, [event(1), event(2), event(3)].join("\n")).unwrap();
    lab.spool("first.ndjson", &[event(0)]);
    lab.ok(&["run", "--once"]);
    lab.ok(&["emit", file.to_str().unwrap()]);
    lab.steal_message();
    lab.ok(&["run", "--once"]);
    assert_eq!(hops(&lab), ["source"]);
}

#[test]
fn rows_deleted_by_hand_are_found_at_any_time() {
    let lab = Lab::new(Store::Sqlite, "[[adapter]]\nname = \"canonical\"\ninterval = \"1h\"\n");
    lab.spool("a.ndjson", &(1..=10).map(event).collect::<Vec<_>>());
    lab.ok(&["run", "--once"]);
    lab.alter_sqlite(&["delete from events where seq = 4"]);
    let found = reconcile(&lab);
    let subjects: Vec<_> = found["imbalances"].as_array().unwrap().iter().map(|lost| lost["subject"].clone()).collect();
    assert_eq!(subjects, ["batch 1", "source /web/1"], "{found}");
    assert_eq!(hops(&lab), ["staging", "staging"]);
}

/// What `reconcile --by` says, and the subjects of what does not balance.
fn by(lab: &Lab, what: &str) -> (Value, Vec<String>) {
    let output = lab.run(&["--format", "json", "reconcile", "--by", what]);
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let lost = found["imbalances"].as_array().unwrap();
    let subjects = lost.iter().map(|lost| format!("{}: {}", lost["hop"], lost["subject"])).collect();
    (found, subjects)
}

fn room(room: &str, [arrived, present, purged]: [u64; 3], [written, waiting]: [u64; 2]) -> Value {
    json!({
        "room": room, "arrived": arrived, "present": present, "purged": purged,
        "adapters": [{ "adapter": "canonical", "written": written, "waiting": waiting, "abandoned": 0 }],
    })
}

fn a_room_whose_rows_were_deleted_by_hand_is_named(store: Store) {
    let lab = written(store);
    let (found, lost) = by(&lab, "room,interval");
    assert_eq!(lost, [""; 0]);
    assert_eq!(found["rooms"], json!([room("room:0", [5, 5, 0], [5, 0]), room("room:1", [5, 5, 0], [5, 0])]));
    let batch = &found["intervals"][0];
    let told = ["batch", "events", "messages", "on_share", "collected"].map(|name| batch[name].as_u64().unwrap());
    assert_eq!((told, &batch["state"]), ([1, 10, 10, 10, 0], &json!("published")), "{found}");
    assert_eq!(reconcile(&lab).get("rooms"), None, "only where asked for");

    lab.alter_staging(&["delete from events where seq = 3"]);
    let (found, lost) = by(&lab, "room");
    assert_eq!(lost, ["\"staging\": \"batch 1\"", "\"staging\": \"room room:1\"", "\"staging\": \"source /web/1\""]);
    assert_eq!(found["rooms"], json!([room("room:0", [5, 5, 0], [5, 0]), room("room:1", [5, 4, 0], [4, 0])]));

    // Once the rest is purged.
    for file in output_files(&lab.pickup("canonical")) {
        let mut name = file.into_os_string();
        name.push(".ack");
        fs::write(name, "").unwrap();
    }
    lab.ok(&["run", "--once"]);
    let (found, lost) = by(&lab, "room,interval");
    assert_eq!(lost, ["\"staging\": \"room room:1\"", "\"staging\": \"source /web/1\""], "{found}");
    assert_eq!(found["rooms"], json!([room("room:0", [5, 0, 5], [0, 0]), room("room:1", [5, 0, 4], [0, 0])]));
    let csv = String::from_utf8(lab.run(&["reconcile", "--csv", "--by", "room", "--by", "interval"]).stdout).unwrap();
    for line in [
        "room,room:1,purged,4",
        "room,room:0,written by canonical,0",
        "interval,canonical batch 1,state,purged",
        "interval,canonical batch 1,collected,10",
    ] {
        assert!(csv.contains(&format!("{line}\r\n")), "{line}: {csv}");
    }
    let table = String::from_utf8(lab.run(&["reconcile", "--by", "room,interval"]).stdout).unwrap();
    assert!(table.contains("room:1") && table.contains("2026-"), "{table}");
    let refused = lab.run(&["reconcile", "--by", "room", "--to", "2026-11-22T10:00:00Z"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("not counted by interval"));
}

#[test]
fn a_room_whose_rows_were_deleted_by_hand_is_named_on_sqlite() {
    a_room_whose_rows_were_deleted_by_hand_is_named(Store::Sqlite);
}

#[test]
fn a_room_whose_rows_were_deleted_by_hand_is_named_on_postgres() {
    a_room_whose_rows_were_deleted_by_hand_is_named(Store::Postgres);
}

#[test]
fn an_output_that_lacks_messages_is_found() {
    let lab = written(Store::Sqlite);
    let file = output_files(&lab.pickup("canonical")).remove(0);
    // As if the rendering itself had lost one: what was recorded fits the file.
    let text = fs::read_to_string(&file).unwrap().replacen("<Message ", "<Massage ", 1);
    fs::write(&file, text).unwrap();
    let digest: &'static str = sha256_of(&file).leak();
    lab.alter_sqlite(&[format!("update outputs set sha256 = x'{digest}'").leak()]);
    assert_eq!(hops(&lab), ["share"], "the messages in the file are counted");
    lab.alter_sqlite(&["update batches set messages = messages - 1"]);
    assert_eq!(hops(&lab), ["transform", "share"]);
}

#[test]
fn a_file_that_is_gone_or_altered_before_collection_is_found() {
    let lab = written(Store::Sqlite);
    let file = output_files(&lab.pickup("canonical")).remove(0);
    let bytes = fs::read(&file).unwrap();
    let altered = String::from_utf8(bytes.clone()).unwrap().replace("text 3", "text 4");
    fs::write(&file, altered).unwrap();
    assert_eq!(hops(&lab), ["share"]);
    assert_eq!(lab.run(&["reconcile", "--quick"]).status.code(), Some(0), "its size is the same");
    fs::remove_file(&file).unwrap();
    assert_eq!(hops(&lab), ["share"]);
    assert_eq!(lab.run(&["reconcile", "--quick"]).status.code(), Some(1));
    assert_eq!(lab.run(&["reconcile", "--to", "2026-01-01T00:00:00Z"]).status.code(), Some(0), "another period");
    fs::write(&file, bytes).unwrap();
    assert_eq!(hops(&lab), Vec::<String>::new());
    fs::rename(lab.pickup("canonical"), lab.path("away")).unwrap();
    assert_eq!(hops(&lab), Vec::<String>::new(), "of a share that is away nothing is known");
}

/// Plants a loss under a running service, waits for the alert about it, and prints after how long it was there. That it comes is the
/// test; how soon is for docs/reconciliation.md.
fn noticed(lab: &Lab, hop: &str, (kind, subject): (&str, &str), plant: impl FnOnce()) {
    let open = || is_open(lab, kind, subject);
    assert!(!open());
    plant();
    let begun = Instant::now();
    eventually("the loss is an alert", open);
    println!("a loss at {hop} was an alert after {:.1} s", begun.elapsed().as_secs_f64());
    let begun = Instant::now();
    assert_eq!(lab.run(&["reconcile"]).status.code(), Some(1));
    println!("`reconcile` said so within {:.1} s", begun.elapsed().as_secs_f64());
}

fn is_open(lab: &Lab, kind: &str, subject: &str) -> bool {
    let alerts = lab.status()["alerts"].clone();
    alerts.as_array().unwrap().iter().any(|alert| alert["kind"] == kind && alert["subject"] == subject)
}

const GAP: (&str, &str) = ("sequence-gap", "source /web/1");

#[test]
fn the_service_notices_a_loss_at_the_source() {
    let lab = Lab::new(Store::Sqlite, ACKNOWLEDGED);
    let _daemon = lab.daemon();
    lab.spool("a.ndjson", &[event(1), event(2)]);
    eventually("they are staged", || lab.status()["intake"]["staged"] == 2);
    noticed(&lab, "the source", GAP, || lab.spool("b.ndjson", &[event(4)]));
}

#[test]
fn the_service_notices_a_loss_at_the_broker() {
    let lab = Lab::with_broker(Store::Sqlite, ACKNOWLEDGED);
    let file = lab.path("events.ndjson");
    fs::write(&file, [event(1), event(2), event(3)].join("\n")).unwrap();
    lab.spool("first.ndjson", &[event(0)]);
    lab.ok(&["run", "--once"]);
    lab.ok(&["emit", file.to_str().unwrap()]);
    lab.steal_message();
    let daemon = std::cell::OnceCell::new();
    // Nobody can take a message away under a service that is connected; it counts from its start.
    noticed(&lab, "the broker", GAP, || assert!(daemon.set(lab.daemon()).is_ok()));
}

#[test]
fn the_service_notices_a_loss_in_staging() {
    let lab = Lab::new(Store::Sqlite, "[[adapter]]\nname = \"canonical\"\ninterval = \"1h\"\n");
    lab.spool("a.ndjson", &(1..=10).map(event).collect::<Vec<_>>());
    lab.ok(&["run", "--once"]);
    let _daemon = lab.daemon();
    let delete = || lab.alter_sqlite(&["delete from events where seq = 4"]);
    noticed(&lab, "staging", ("unbalanced", "hop staging"), delete);
}

#[test]
fn the_service_notices_a_loss_in_the_transform() {
    let lab = written(Store::Sqlite);
    let _daemon = lab.daemon();
    let lose = || lab.alter_sqlite(&["update batches set messages = messages - 1"]);
    noticed(&lab, "the transform", ("unbalanced", "hop transform"), lose);
}

#[test]
fn the_service_notices_a_loss_on_the_share_and_closes_the_alert() {
    let lab = written(Store::Sqlite);
    let daemon = lab.daemon();
    let file = output_files(&lab.pickup("canonical")).remove(0);
    let lost = ("unbalanced", "hop share");
    noticed(&lab, "the share", lost, || fs::rename(&file, lab.path("taken")).unwrap());
    fs::rename(lab.path("taken"), &file).unwrap();
    eventually("the alert is closed", || !is_open(&lab, lost.0, lost.1));
    daemon.terminate();
}

const FIRST: &str = r#"{"format":"chancery-source-manifest-1","source":"/web/1","from":"2026-11-22T10:00:00Z","to":"2026-11-22T11:00:00Z"}"#;

/// What `reconcile` says of a source's manifest of these lines; each is as the schema has it.
fn compared(lab: &Lab, lines: &[String]) -> (Option<i32>, Value) {
    let schema = include_str!("../../schemas/source-manifest.schema.json");
    let schema = jsonschema::validator_for(&serde_json::from_str(schema).unwrap()).unwrap();
    let lines: Vec<&str> = std::iter::once(FIRST).chain(lines.iter().map(String::as_str)).collect();
    assert!(lines.iter().all(|line| schema.is_valid(&serde_json::from_str(line).unwrap())));
    let file = lab.path("sent.ndjson");
    fs::write(&file, lines.join("\n")).unwrap();
    let output = lab.run(&["--format", "json", "reconcile", "--source-manifest", file.to_str().unwrap()]);
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap())
}

fn a_sources_own_manifest_is_compared_one_to_one(store: Store) {
    let lab = written(store);
    let id = |id: u64| json!({ "id": id.to_string() }).to_string();
    let hour =
        |room: &str, count: u64| json!({ "room": room, "hour": "2026-11-22T10:00:00Z", "count": count }).to_string();
    let difference = |id: &str, listed: u64, arrived: u64| json!({ "id": id, "room": null, "hour": null, "listed": listed, "arrived": arrived });
    let all = || (1..=10).map(id);
    let differs = |lines: &[String], expected: Value| {
        let (code, found) = compared(&lab, lines);
        assert_eq!((code, &found["differences"]), (Some(1), &expected), "{found}");
    };
    let agrees = |lines: &[String], purged: u64| {
        let (code, found) = compared(&lab, lines);
        assert_eq!((code, &found["listed"], &found["arrived"]), (Some(0), &json!(10), &json!(10)), "{found}");
        assert_eq!(found["purged"], purged, "{found}");
    };
    agrees(&all().collect::<Vec<_>>(), 0);
    differs(&all().chain([id(11)]).collect::<Vec<_>>(), json!([difference("11", 1, 0)]));
    differs(&all().skip(1).chain([id(11)]).collect::<Vec<_>>(), json!([difference("1", 0, 1), difference("11", 1, 0)]));
    agrees(&[hour("room:0", 5), hour("room:1", 5)], 0);
    let line = |room: &str, listed: u64, arrived: u64| json!({ "id": null, "room": room, "hour": "2026-11-22T10:00:00Z", "listed": listed, "arrived": arrived });
    differs(&[hour("room:1", 6)], json!([line("room:0", 0, 5), line("room:1", 6, 5)]));

    // Purged events are known by id and counted by room and hour.
    for file in output_files(&lab.pickup("canonical")) {
        let mut name = file.into_os_string();
        name.push(".ack");
        fs::write(name, "").unwrap();
    }
    lab.ok(&["run", "--once"]);
    agrees(&all().collect::<Vec<_>>(), 10);
    agrees(&[hour("room:0", 5), hour("room:1", 5)], 10);
    differs(&all().chain([id(11)]).collect::<Vec<_>>(), json!([difference("11", 1, 0)]));

    let file = lab.path("sent.ndjson");
    let asked = ["reconcile", "--source-manifest", file.to_str().unwrap()];
    let table = String::from_utf8(lab.run(&asked).stdout).unwrap();
    assert!(table.contains("never arrived"), "{table}");
    let csv = String::from_utf8(lab.run(&[&asked[..], &["--csv"]].concat()).stdout).unwrap();
    assert_eq!(csv, "what,event,room,hour,listed,arrived\r\nnever arrived,11,,,1,0\n");
    fs::write(&file, format!("{FIRST}\n{{\"id\": 7}}\n")).unwrap();
    let refused = lab.run(&asked);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("sent.ndjson:2: expected {\"id\": …}") && said.contains("docs/reconciliation.md"), "{said}");
}

#[test]
fn a_sources_own_manifest_is_compared_one_to_one_on_sqlite() {
    a_sources_own_manifest_is_compared_one_to_one(Store::Sqlite);
}

#[test]
fn a_sources_own_manifest_is_compared_one_to_one_on_postgres() {
    a_sources_own_manifest_is_compared_one_to_one(Store::Postgres);
}
