//! Holds from outside: placed, looked at, obeyed, released.

use serde_json::json;

use crate::support::{Lab, Store, output_files};

const TOLD: &str =
    "[[adapter]]\nname = \"canonical\"\ninterval = \"1h\"\ncollected_when = \"told\"\nkeep_after_collection = \"0s\"\n";

fn event(id: u32, room: &str, who: &str) -> String {
    json!({
        "specversion": "1.0", "id": id.to_string(), "source": "/web/1", "type": "chat.message.posted", "subject": room,
        "time": "2026-11-22T10:00:00Z", "data": { "sender": { "uri": who }, "message": { "text": "hello" } },
    })
    .to_string()
}

fn a_hold_is_obeyed_until_it_is_released(store: Store) {
    let lab = Lab::new(store, TOLD);
    lab.spool("a.ndjson", &[event(1, "room:1", "sip:a@x"), event(2, "room:2", "sip:b@x")]);
    lab.ok(&["run", "--once"]);
    lab.ok(&["batch", "collected", "1"]);
    let hold = lab.json(&["hold", "place", "--person", "sip:a@x", "--reason", "case 4711"])["id"].to_string();

    let dry = lab.json(&["purge", "--dry-run"]);
    assert_eq!((&dry["batches"][0]["purge"], dry["batches"][0]["held_by"].to_string()), (&json!("held"), hold.clone()));
    lab.ok(&["run", "--once"]);
    assert_eq!(output_files(&lab.pickup("canonical")).len(), 1, "the batch is held whole");
    let status = lab.status();
    assert_eq!((&status["intake"]["waiting"], &status["holds"][0]["covers"]), (&json!(2), &json!("person sip:a@x")));
    assert!(lab.ok(&["hold", "list"]).contains("case 4711"));

    lab.ok(&["hold", "release", &hold, "--reason", "case closed"]);
    assert_eq!(lab.json(&["purge", "--dry-run"])["batches"][0]["purge"], "now");
    assert_eq!(lab.run(&["hold", "release", &hold, "--reason", "again"]).status.code(), Some(1));
    lab.ok(&["run", "--once"]);
    assert_eq!(output_files(&lab.pickup("canonical")).len(), 0);
    assert_eq!(lab.status()["intake"]["waiting"], 0);
    let certificate = std::fs::read_to_string(lab.path("home/evidence/purge/purge-000000001.json")).unwrap();
    assert!(certificate.contains("no hold covers it"), "{certificate}");
}

#[test]
fn a_hold_is_obeyed_until_it_is_released_on_sqlite() {
    a_hold_is_obeyed_until_it_is_released(Store::Sqlite);
}

#[test]
fn a_hold_is_obeyed_until_it_is_released_on_postgres() {
    a_hold_is_obeyed_until_it_is_released(Store::Postgres);
}

#[test]
fn a_hold_that_says_nothing_is_refused() {
    let lab = Lab::new(Store::Sqlite, TOLD);
    let code = |arguments: &[&str]| lab.run(arguments).status.code();
    assert_eq!(code(&["hold", "place", "--reason", "why"]), Some(2), "no limit, and not --all");
    assert_eq!(code(&["hold", "place", "--all"]), Some(2), "no reason");
    assert_eq!(code(&["hold", "place", "--all", "--reason", " "]), Some(2), "no reason either");
    assert_eq!(code(&["hold", "place", "--all", "--room", "room:1", "--reason", "why"]), Some(2));
    let times = ["hold", "place", "--from", "2026-11-23T00:00:00Z", "--to", "2026-11-22T00:00:00Z", "--reason", "why"];
    assert_eq!(code(&times), Some(2), "nothing lies between");
    assert_eq!(code(&["purge"]), Some(2), "there is no purging by hand");
    assert_eq!(lab.json(&["hold", "list", "--all"]), json!([]));
}
