//! The Matrix bridge from outside: transactions over HTTP as a homeserver sends them, a real broker, the archive's output.

use std::collections::VecDeque;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt as _;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chancery::support::step::{CRASH_AT, Step};
use serde_json::{Value, json};

use crate::support::{Daemon, Lab, Message, Store, eventually, messages};

/// The steps at which a bridge at work can be cut off; `crash_points` leaves them to this file.
pub const STEPS: &[Step] = &[
    Step::BridgeMemoryOpened,
    Step::BridgeRecordedPending,
    Step::BridgeRecorded,
    Step::BridgePublished,
    Step::BridgeConfirmedPending,
    Step::BridgeConfirmed,
    Step::BridgePrunedPending,
    Step::BridgePruned,
];
/// Those of writing the registration.
pub const REGISTERING: &[Step] = &[Step::RegistrationWrittenPending, Step::RegistrationWritten];

/// No answer: the bridge is not there, or was cut off.
const NONE: u16 = 0;

/// The homeserver's room.
const ROOM: &str = "!RCYi4";

/// A homeserver as far as the bridge asks it: it knows what was deleted, and the state and history of one room.
struct Homeserver {
    address: SocketAddr,
    told: Arc<Told>,
}

#[derive(Default)]
struct Told {
    requests: Mutex<Vec<String>>,
    /// Oldest first.
    history: Mutex<Vec<Value>>,
}

impl Homeserver {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self { address: listener.local_addr().unwrap(), told: Arc::default() };
        let told = Arc::clone(&server.told);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let told = Arc::clone(&told);
                // A bridge that was killed while it asked leaves nobody to answer.
                std::thread::spawn(move || answer(stream, &told).is_ok());
            }
        });
        server
    }

    fn asked(&self, what: &str) -> usize {
        self.told.requests.lock().unwrap().iter().filter(|head| head.contains(what)).count()
    }
}

/// Two events of the history, newest first, from a token on that counts events.
fn page(history: &[Value], path: &str) -> Value {
    let from = path.split_once("&from=").map(|(_, token)| token.parse().unwrap());
    let start: usize = from.unwrap_or(history.len());
    let end = start.saturating_sub(2);
    let chunk: Vec<_> = history[end..start].iter().rev().collect();
    let mut page = json!({ "chunk": chunk, "start": start.to_string() });
    if end > 0 {
        page["end"] = end.to_string().into();
    }
    page
}

fn answer(mut stream: TcpStream, told: &Told) -> io::Result<()> {
    let mut head = String::new();
    let mut reader = BufReader::new(stream.try_clone()?);
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head)? > 0 {}
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    told.requests.lock().unwrap().push(head);
    let (status, body) = match path.as_str() {
        path if path.ends_with("/ping") => ("200 OK", json!({ "duration_ms": 1 })),
        "/_synapse/admin/v1/fetch_event/%24deleted" => {
            ("200 OK", json!({ "event": { "content": { "msgtype": "m.text", "body": "said and regretted" } } }))
        }
        path if path.starts_with("/_synapse/admin/v1/rooms?") => ("200 OK", json!({ "rooms": [{ "room_id": ROOM }] })),
        path if path.contains("/messages?dir=b&") => ("200 OK", page(&told.history.lock().unwrap(), path)),
        path if path.starts_with("/_synapse/admin/v1/rooms/") => {
            let state = json!([
                { "type": "m.room.name", "state_key": "", "content": { "name": "Trading desk" } },
                { "type": "m.room.member", "state_key": "@alice:lab.test", "content": { "membership": "join", "displayname": "Alice" } },
            ]);
            ("200 OK", json!({ "state": state }))
        }
        _ => ("404 Not Found", json!({ "errcode": "M_NOT_FOUND" })),
    };
    let body = body.to_string();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A laboratory with a bridge that is registered.
struct Bridged {
    lab: Lab,
    homeserver: Homeserver,
    listen: SocketAddr,
    token: String,
}

impl Bridged {
    fn new() -> Self {
        let homeserver = Homeserver::start();
        // Free now, and taken again by the bridge alone as long as nobody else asks for any port in between.
        let listen = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let adapter = "[[adapter]]\nname = \"canonical\"\ninterval = \"1s\"\n";
        let lab = Lab::with_broker(Store::Sqlite, adapter);
        fs::write(lab.path("admin.token"), "an-admin-token\n").unwrap();
        fs::set_permissions(lab.path("admin.token"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        // A file that the configuration names must be there first.
        lab.configure(&format!(
            "[[source]]\nuri = \"/matrix\"\n[bridge.matrix]\nhomeserver = \"http://{}\"\nserver = \"lab.test\"\n\
             listen = \"{listen}\"\nadmin_token_file = \"admin.token\"\n{adapter}",
            homeserver.address
        ));
        let said = lab.ok(&["bridge", "matrix", "register"]);
        assert!(said.contains("app_service_config_files"), "{said}");
        let registration = fs::read(lab.path("home/state/matrix-registration.json")).unwrap();
        let registration: Value = serde_json::from_slice(&registration).unwrap();
        assert_eq!(registration["url"], format!("http://{listen}"));
        let token = registration["hs_token"].as_str().unwrap().to_owned();
        Self { lab, homeserver, listen, token }
    }

    fn start(&self) -> Daemon {
        self.start_with(&[], &[])
    }

    fn start_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Daemon {
        let mut command = self.lab.command(&["bridge", "matrix"]);
        command.args(arguments).envs(variables.iter().copied());
        let mut bridge = Daemon::start(command, self.lab.path("bridge.log"));
        eventually("the bridge listens", || TcpStream::connect(self.listen).is_ok() || bridge.ended().is_some());
        bridge
    }

    /// Sends a transaction as a homeserver does; the status of the answer.
    fn put(&self, id: &str, events: &[Value]) -> u16 {
        self.put_with(id, Some(&self.token), &json!({ "events": events }).to_string()).unwrap_or(NONE)
    }

    fn put_with(&self, id: &str, token: Option<&str>, body: &str) -> io::Result<u16> {
        let mut stream = TcpStream::connect(self.listen)?;
        stream.set_read_timeout(Some(Duration::from_secs(90)))?;
        let token = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        let length = body.len();
        let request = format!(
            "PUT /_matrix/app/v1/transactions/{id} HTTP/1.1\r\nHost: bridge\r\n{token}Content-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        // A body that nobody wanted may be cut off by a reset, after the answer.
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        Ok(answer.split_whitespace().nth(1).and_then(|status| status.parse().ok()).unwrap_or(NONE))
    }

    /// Sends a transaction until it is taken.
    fn deliver(&self, id: &str, events: &[Value]) {
        eventually("the transaction is taken", || self.put(id, events) == 200);
    }

    /// Takes in what is on the queue and writes it: the messages that came by the bridge.
    fn archived(&self) -> Vec<Message> {
        let done = self.lab.json(&["run", "--once"]);
        assert_eq!((&done["conflicts"], &done["quarantined"]), (&json!(0), &json!(0)), "{done}");
        messages(&self.lab.pickup("canonical"))
    }
}

fn event(id: &str, kind: &str, content: Value) -> Value {
    json!({
        "event_id": id, "room_id": ROOM, "sender": "@alice:lab.test", "type": kind, "content": content,
        "origin_server_ts": 1_795_319_264_992_i64, "unsigned": { "age": 3 },
    })
}

fn says(id: &str, words: &str) -> Value {
    event(id, "m.room.message", json!({ "msgtype": "m.text", "body": words }))
}

/// Events and words of messages, in order of their ids.
fn words(messages: &[Message]) -> Vec<(String, String)> {
    let mut words: Vec<_> = messages.iter().map(|message| (message.event.clone(), message.content.clone())).collect();
    words.sort();
    words
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(id, words)| ((*id).to_owned(), (*words).to_owned())).collect()
}

#[test]
fn an_event_is_archived_once_whatever_its_transaction_is_called() {
    let bridged = Bridged::new();
    let _bridge = bridged.start();
    assert_eq!(bridged.put("376", &[says("$a", "one"), says("$b", "two")]), 200);
    assert_eq!(bridged.put("376", &[says("$a", "one"), says("$b", "two")]), 200, "sent again after a lost answer");
    assert_eq!(bridged.put("376", &[says("$c", "three")]), 200, "the same id with another event");
    assert_eq!(bridged.put("377", &[]), 200, "a transaction without events");
    assert_eq!(words(&bridged.archived()), pairs(&[("$a", "one"), ("$b", "two"), ("$c", "three")]));
    assert_eq!(bridged.homeserver.asked("/rooms/%21RCYi4/state"), 1, "a room is asked for once");
    eventually("the homeserver was told at the start", || bridged.homeserver.asked("/appservice/chancery/ping") == 1);
}

#[test]
fn nobody_but_the_homeserver_is_heard() {
    let bridged = Bridged::new();
    let bridge = bridged.start();
    let body = json!({ "events": [says("$x", "forged")] }).to_string();
    assert_eq!(bridged.put_with("1", None, &body).unwrap(), 401);
    assert_eq!(bridged.put_with("1", Some("wrong"), &body).unwrap(), 403);
    assert_eq!(bridged.put_with("1", Some(&bridged.token), "{").unwrap(), 400);
    assert_eq!(bridged.put("1", &[says("$a", "heard")]), 200);
    assert_eq!(words(&bridged.archived()), pairs(&[("$a", "heard")]));
    assert!(!bridge.log().contains(&bridged.token), "the token is logged");
    assert!(!bridge.log().contains("heard"), "words are logged");
    assert_eq!(bridge.terminate().0, Some(0));
}

#[test]
fn while_the_broker_is_away_nothing_is_called_taken_and_then_all_of_it_arrives() {
    let bridged = Bridged::new();
    let away = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let address = format!("amqp.url=amqp://{away}/%2f");
    let bridge = bridged.start_with(&["--set", &address], &[]);
    assert_eq!(bridged.put("1", &[says("$a", "one")]), 503);
    assert_eq!(bridged.put("1", &[says("$a", "one")]), 503, "what is kept is not yet safe");
    bridge.kill();
    let _bridge = bridged.start();
    bridged.deliver("1", &[says("$a", "one")]);
    bridged.deliver("2", &[says("$b", "two")]);
    assert_eq!(words(&bridged.archived()), pairs(&[("$a", "one"), ("$b", "two")]));
}

#[test]
fn what_was_deleted_before_it_arrived_is_fetched_or_is_a_visible_gap() {
    let bridged = Bridged::new();
    let _bridge = bridged.start();
    let stripped = |id: &str| {
        let mut event = event(id, "m.room.message", json!({}));
        event["unsigned"] = json!({ "redacted_because": { "event_id": "$r", "sender": "@alice:lab.test" } });
        event
    };
    assert_eq!(bridged.put("1", &[stripped("$deleted"), stripped("$forgotten")]), 200);
    let archived = bridged.archived();
    let kinds: Vec<_> = archived.iter().map(|message| (message.event.as_str(), message.kind.as_str())).collect();
    assert!(kinds.contains(&("$deleted", "CHAT")) && kinds.contains(&("$forgotten", "OTHER")), "{kinds:?}");
    assert!(words(&archived).contains(&("$deleted".to_owned(), "said and regretted".to_owned())));
}

#[test]
fn edits_reactions_and_deletions_know_what_they_are_about() {
    let bridged = Bridged::new();
    let _bridge = bridged.start();
    let edit = json!({
        "body": "* second", "m.new_content": { "body": "second" },
        "m.relates_to": { "rel_type": "m.replace", "event_id": "$a" },
    });
    let like = json!({ "m.relates_to": { "rel_type": "m.annotation", "event_id": "$a", "key": "+1" } });
    bridged.deliver("1", &[says("$a", "first"), event("$b", "m.room.message", edit), event("$c", "m.reaction", like)]);
    bridged.deliver(
        "2",
        &[
            event("$d", "m.room.redaction", json!({ "redacts": "$c" })),
            event("$e", "m.room.redaction", json!({ "redacts": "$a" })),
            event("$f", "m.room.encrypted", json!({ "ciphertext": "AwgA" })),
        ],
    );
    let archived = bridged.archived();
    let mut found: Vec<_> = archived
        .iter()
        .map(|message| (message.event.as_str(), message.kind.as_str(), message.content.as_str()))
        .collect();
    found.sort_unstable();
    assert_eq!(
        found[..5],
        [
            ("$a", "CHAT", "first"),
            ("$b", "EDIT", "second"),
            ("$c", "REACT", "+1"),
            ("$d", "UNREACT", "+1"),
            ("$e", "DELETE", "second"),
        ]
    );
    assert_eq!((found[5].0, found[5].1), ("$f", "OTHER"));
}

#[test]
fn the_sweep_names_what_never_arrived_and_the_backfill_brings_it() {
    let bridged = Bridged::new();
    let _bridge = bridged.start();
    let edit = json!({
        "body": "* second", "m.new_content": { "body": "second" },
        "m.relates_to": { "rel_type": "m.replace", "event_id": "$a" },
    });
    let edit = event("$b", "m.room.message", edit);
    let removal = event("$d", "m.room.redaction", json!({ "redacts": "$a" }));
    *bridged.homeserver.told.history.lock().unwrap() =
        vec![says("$a", "first"), edit.clone(), says("$c", "another"), removal, says("$e", "the end")];
    bridged.deliver("1", &[edit, says("$e", "the end")]);
    bridged.archived();

    let since = ["--since", "2026-01-01T00:00:00Z"];
    let sweep = [&["bridge", "matrix", "sweep", "--grace", "0s"], &since[..]].concat();
    let found = bridged.lab.run(&[&["--format", "json"], &sweep[..]].concat());
    let said = String::from_utf8(found.stdout).unwrap();
    assert_eq!(found.status.code(), Some(1), "{said}");
    assert!(["first", "second", "another"].iter().all(|words| !said.contains(words)), "words are printed: {said}");
    let verdict: Value = serde_json::from_str(&said).unwrap();
    let missing: Vec<_> =
        verdict["missing"].as_array().unwrap().iter().map(|one| (&one["room"], &one["event"])).collect();
    assert_eq!(missing, ["$d", "$c", "$a"].map(|id| (json!(ROOM), json!(id))).each_ref().map(|(room, id)| (room, id)));
    assert_eq!((&verdict["rooms"], &verdict["events"], &verdict["archived"]), (&json!(1), &json!(5), &json!(2)));
    let shown = bridged.lab.run(&sweep);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("$c"), "the table names it as well");

    let backfill = [&["bridge", "matrix", "backfill"], &since[..]].concat();
    let until = [&backfill[..], &["--until", "9999-01-01T00:00:00Z"]].concat();
    assert_eq!(bridged.lab.run(&backfill).status.code(), Some(2), "what is forgotten could be archived twice");
    let done = bridged.lab.json(&until);
    assert_eq!((&done["events"], &done["published"], &done["known"]), (&json!(5), &json!(3), &json!(2)));
    let again = bridged.lab.json(&until);
    assert_eq!((&again["published"], &again["known"]), (&json!(0), &json!(5)));
    bridged.deliver("2", &[says("$c", "another")]);
    let expected = pairs(&[("$a", "first"), ("$b", "second"), ("$c", "another"), ("$d", "second"), ("$e", "the end")]);
    assert_eq!(words(&bridged.archived()), expected, "each once, and the deletion knows the newest words");
    assert_eq!(bridged.lab.run(&sweep).status.code(), Some(0));
}

#[test]
fn the_sweep_says_what_it_needs_and_what_it_could_not_read() {
    let bridged = Bridged::new();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let away = format!("bridge.matrix.homeserver=http://{nobody}");
    let sweep = ["bridge", "matrix", "sweep", "--set", &away];
    let refused = bridged.lab.run(&sweep);
    assert_eq!(refused.status.code(), Some(8), "no verdict without a homeserver");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("bridge.matrix.homeserver"));
    let verdict = bridged.lab.run(&[&["--format", "json"], &sweep[..], &["--room", ROOM]].concat());
    assert_eq!(verdict.status.code(), Some(1), "a room that cannot be read is no room without gaps");
    let verdict: Value = serde_json::from_slice(&verdict.stdout).unwrap();
    assert_eq!((&verdict["rooms"], &verdict["unread"][0]["room"]), (&json!(0), &json!(ROOM)));
}

/// Forgers, talkers and those who say nothing, all at once: the homeserver is heard all the same.
#[test]
fn a_flood_of_bad_requests_keeps_nothing_out() {
    const GOOD: usize = 30;
    let bridged = Bridged::new();
    let bridge = bridged.start();
    let over = AtomicBool::new(false);
    let refused = AtomicUsize::new(0);
    let forged = json!({ "events": [says("$x", "forged")] }).to_string();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(Relaxed) {
                    for token in [None, Some("wrong"), Some("")] {
                        let status = bridged.put_with("1", token, &forged).unwrap_or(NONE);
                        assert_ne!(status, 200);
                        refused.fetch_add(usize::from(matches!(status, 401 | 403)), Relaxed);
                    }
                }
            });
            scope.spawn(|| {
                // Each stays open until the bridge closes it, or there are enough of them.
                let mut silent = VecDeque::new();
                while !over.load(Relaxed) {
                    let Ok(mut stream) = TcpStream::connect(bridged.listen) else { continue };
                    // Whether it is still there to read this does not matter.
                    let _ = stream.write_all(b"PUT /_matrix/app/v1/transactions/1 HTTP/1.1\r\nAuthorization: Bea");
                    silent.push_back(stream);
                    silent.truncate(200);
                }
            });
            scope.spawn(|| {
                while !over.load(Relaxed) {
                    let Ok(mut stream) = TcpStream::connect(bridged.listen) else { continue };
                    let _ = stream.write_all(&[b'A'; 64 << 10]);
                }
            });
        }
        for number in 0..GOOD {
            bridged.deliver(&number.to_string(), &[says(&format!("${number:02}"), "heard")]);
        }
        over.store(true, Relaxed);
    });
    assert!(refused.load(Relaxed) > 0);
    let expected: Vec<_> = (0..GOOD).map(|number| (format!("${number:02}"), "heard".to_owned())).collect();
    assert_eq!(words(&bridged.archived()), expected);
    assert_eq!(bridge.terminate().0, Some(0));
}

/// Between the bridge and the broker: its connections can be cut.
struct Between {
    address: SocketAddr,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Between {
    fn start(broker: &str) -> Self {
        let broker: SocketAddr = broker.split(['/', '@']).nth(2).unwrap().parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let between = Self { address: listener.local_addr().unwrap(), open: Arc::default() };
        let open = Arc::clone(&between.open);
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let far = TcpStream::connect(broker).unwrap();
                for (mut from, mut to) in
                    [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far, near.try_clone().unwrap())]
                {
                    std::thread::spawn(move || io::copy(&mut from, &mut to).is_ok());
                }
                open.lock().unwrap().push(near);
            }
        });
        between
    }

    fn cut(&self) -> usize {
        let open = std::mem::take(&mut *self.open.lock().unwrap());
        // One that the other side has closed already cannot be closed again.
        open.iter().for_each(|stream| _ = stream.shutdown(Shutdown::Both));
        open.len()
    }
}

#[test]
fn a_connection_that_died_while_nobody_spoke_costs_no_transaction() {
    let bridged = Bridged::new();
    let between = Between::start(&std::env::var("CHANCERY_TEST_AMQP_URL").unwrap());
    let through = format!("amqp.url=amqp://{}/%2f", between.address);
    let _bridge = bridged.start_with(&["--set", &through], &[]);
    bridged.deliver("1", &[says("$a", "one")]);
    assert!(between.cut() > 0);
    assert_eq!(bridged.put("2", &[says("$b", "two")]), 200, "at the first try");
    assert_eq!(words(&bridged.archived()), pairs(&[("$a", "one"), ("$b", "two")]));
}

/// Cut off at each step, started again, and sent the same transaction again: all of it is archived, once.
#[test]
fn a_bridge_that_is_killed_at_any_step_archives_each_event_once() {
    for step in STEPS {
        let bridged = Bridged::new();
        let events = [says("$a", "one"), says("$b", "two")];
        let mut bridge = bridged.start_with(&[], &[(CRASH_AT, step.name())]);
        eventually("the bridge is cut off", || {
            // Whether there is an answer depends on where it is cut off.
            bridged.put("1", &events);
            bridge.ended().is_some()
        });
        assert_eq!(bridge.ended().unwrap().signal(), Some(9), "{}: {}", step.name(), bridge.log());
        let _bridge = bridged.start();
        bridged.deliver("1", &events);
        bridged.deliver("2", &[says("$c", "three")]);
        let archived = words(&bridged.archived());
        assert_eq!(archived, pairs(&[("$a", "one"), ("$b", "two"), ("$c", "three")]), "cut off at {}", step.name());
    }
}

#[test]
fn a_registration_that_was_cut_off_can_be_written_again() {
    for step in REGISTERING {
        let bridged = Bridged::new();
        let path = bridged.lab.path("home/state/matrix-registration.json");
        fs::remove_file(&path).unwrap();
        let mut command = bridged.lab.command(&["bridge", "matrix", "register"]);
        let status = command.env(CRASH_AT, step.name()).output().unwrap().status;
        assert_eq!(status.signal(), Some(9), "{}", step.name());
        assert_eq!(path.exists(), *step == Step::RegistrationWritten);
        if !path.exists() {
            bridged.lab.ok(&["bridge", "matrix", "register"]);
        }
        let again = bridged.lab.run(&["bridge", "matrix", "register"]);
        assert_eq!(again.status.code(), Some(6), "tokens that are in use are never replaced");
        bridged.start().kill();
    }
}
