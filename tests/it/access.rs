//! Operators see counts, states, names and errors, never content; officers see it, and each look is recorded first.

use serde_json::{Value, json};

use crate::support::{Lab, Store};

/// Stands wherever content stands, and nowhere else.
const MARKER: &str = "sesame-7431";
const ADAPTER: &str = "[[adapter]]\nname = \"canonical\"\ninterval = \"1h\"\ncollected_when = \"told\"\n";
/// Of the users that tests run as, none.
const STRANGER: &str = "[access]\nofficers = { 4000000000 = \"somebody else\" }\n";

fn lab() -> Lab {
    let lab = Lab::new(Store::Sqlite, ADAPTER);
    let event = json!({
        "specversion": "1.0", "id": "1", "source": "/web/1", "type": "chat.file.uploaded", "subject": "room:1",
        "time": "2026-11-22T10:00:00Z",
        "data": {
            "room": { "name": format!("name {MARKER}"), "topic": format!("topic {MARKER}") },
            "sender": { "uri": "sip:a@example.com", "name": format!("sender {MARKER}") },
            "message": { "text": format!("text {MARKER}") },
            "file": { "name": format!("{MARKER}.txt"), "inline": "aGVsbG8=" },
        },
    });
    let mut unknown = event.clone();
    unknown["source"] = json!("/stranger");
    let lines = [event.to_string(), unknown.to_string(), format!("{{broken {MARKER}"), format!("\"{MARKER}\"")];
    lab.spool("a.ndjson", &lines);
    lab
}

#[test]
fn an_operator_finds_no_content_by_any_command() {
    let lab = lab();
    lab.configure(&format!("{STRANGER}{ADAPTER}"));
    let mut seen = String::new();
    let mut run = |arguments: &[&str]| {
        let output = lab.run(arguments);
        seen += &format!("{arguments:?}\n");
        seen += &String::from_utf8_lossy(&output.stdout);
        seen += &String::from_utf8_lossy(&output.stderr);
        output.status.code()
    };
    // All that is logged, however much that is.
    let logged = lab.command(&["run", "--once"]).env("CHANCERY_LOG", "trace").output().unwrap();
    let list = lab.path("sent.ndjson");
    let first = "{\"format\":\"chancery-source-manifest-1\",\"source\":\"/web/1\",\"from\":\"2026-11-22T10:00:00Z\",\"to\":\"2026-11-22T11:00:00Z\"}";
    std::fs::write(&list, format!("{first}\n{{\"id\": \"never sent\"}}\n")).unwrap();
    let [source_manifest, verify] = [
        format!("reconcile --source-manifest {}", list.display()),
        format!("verify {} --outputs {}", lab.path("home/evidence").display(), lab.pickup("canonical").display()),
    ];
    for format in ["json", "table"] {
        for command in [
            "status",
            "batch list",
            "batch show 1",
            "quarantine list",
            "quarantine show 1",
            "quarantine show 2",
            "quarantine show 3",
            "quarantine replay 1 2 3",
            "sequence list --all",
            "hold list --all",
            "reconcile",
            "reconcile --csv",
            "reconcile --by room,interval",
            "reconcile --by room,interval --csv",
            &source_manifest,
            "hold place --room room:1 --reason test",
            "hold place --person sip:a@example.com --reason test",
            "hold list",
            "hold release 1 --reason test",
            "prove /web/1 1",
            "prove /web/1 2",
            &verify,
            "evidence keygen",
            "evidence rotate --reason test",
            "sequence settle 1 --reason test",
            "alert close conflict /web/1 --reason test",
            "purge --dry-run",
            "acts",
            "config check",
            "config explain",
        ] {
            let arguments: Vec<_> = ["--format", format].into_iter().chain(command.split(' ')).collect();
            assert_ne!(run(&arguments), Some(2), "{command} is no command");
        }
    }
    let export = lab.path("export");
    for refused in [
        vec!["quarantine", "show", "1", "--content"],
        vec!["quarantine", "show", "1", "--head"],
        vec!["quarantine", "show", "1", "--export", export.to_str().unwrap()],
    ] {
        assert_eq!(run(&refused), Some(1), "{refused:?}");
    }
    assert!(!export.exists());
    let logs = String::from_utf8_lossy(&logged.stderr);
    assert!(logs.lines().count() > 20, "everything is logged: {logs}");
    seen += &logs;
    seen += &String::from_utf8_lossy(&logged.stdout);
    let found = seen.lines().find(|line| line.contains(MARKER));
    assert_eq!(found, None, "content was shown");
    assert!(seen.contains("access.officers"), "the refusal names the key");
    let acts = lab.json(&["acts"]);
    let refused = acts.as_array().unwrap().iter().filter(|act| act["what"] == "quarantine look refused").count();
    assert_eq!(refused, 3);
}

#[test]
fn an_officer_sees_content_and_each_look_is_recorded() {
    let lab = lab();
    let officer = rustix::process::getuid().as_raw();
    lab.configure(&format!("[access]\nofficers = {{ {officer} = \"me\" }}\n{ADAPTER}"));
    lab.ok(&["run", "--once"]);
    let listed = lab.json(&["quarantine", "list"]);
    let id = listed.as_array().unwrap().iter().find(|row| row["reason"] == "malformed-json").unwrap()["id"].to_string();
    assert!(lab.ok(&["quarantine", "show", &id, "--content"]).contains(MARKER));
    let acts: Value = lab.json(&["acts"]);
    let look = &acts[0];
    assert_eq!((&look["what"], &look["subject"]), (&json!("quarantine look"), &json!(format!("quarantine {id}"))));
    assert!(look["who"].as_str().unwrap().contains(&format!("uid {officer}")), "{look}");
    assert!(lab.ok(&["acts"]).contains("quarantine look"));
}
