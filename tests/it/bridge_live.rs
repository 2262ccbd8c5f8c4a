//! The Matrix bridge behind a real Synapse: people talk on it, and what the archive shows is held against what they did
//! and against the homeserver's own history of every room.
//!
//! `CHANCERY_TEST_SYNAPSE` names the Python environment that `deploy/synapse install` made. Where Synapse cannot be
//! installed it says `unavailable`, and these tests say so and prove nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use chancery::support::step::{CRASH_AT, Step};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::support::{Daemon, Lab, Message, Store, eventually, messages, output_files};

const VARIABLE: &str = "CHANCERY_TEST_SYNAPSE";
/// What is uploaded.
const BYTES: &[u8] = b"the bytes of the file";
/// What the bridge did not bring by now is missing.
const SWEEP: [&str; 5] = ["bridge", "matrix", "sweep", "--grace", "0s"];
/// The script that starts and stops Synapse.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/synapse");

/// The Python environment that holds Synapse; `None` where it cannot be had.
fn environment() -> Option<PathBuf> {
    let found = std::env::var(VARIABLE).unwrap_or_else(|_| {
        panic!("{VARIABLE} is not set: run `deploy/synapse install DIR` and set it to DIR (`deploy/test` does)")
    });
    if found == "unavailable" {
        eprintln!("SKIPPED: Synapse could not be installed on this machine ({VARIABLE}=unavailable)");
        return None;
    }
    Some(found.into())
}

/// A running Synapse; stopped at the end.
struct Synapse {
    directory: PathBuf,
    environment: PathBuf,
    /// The one application service it is told of when it starts.
    service: Mutex<PathBuf>,
    address: String,
    agent: ureq::Agent,
}

impl Synapse {
    fn start(directory: PathBuf, environment: PathBuf, service: PathBuf) -> Self {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .timeout_global(Some(Duration::from_secs(60)))
            .max_idle_connections(0)
            .build()
            .into();
        let service = Mutex::new(service);
        let mut synapse = Self { directory, environment, service, address: String::new(), agent };
        synapse.again();
        let printed = synapse.script("env", &[]);
        synapse.address = printed.trim().split_once('=').unwrap().1.to_owned();
        synapse
    }

    /// Starts it on its old port and data.
    fn again(&self) {
        self.script("start", &[&self.environment, &self.service.lock().unwrap().clone()]);
    }

    fn script(&self, verb: &str, arguments: &[&Path]) -> String {
        let mut command = Command::new(SCRIPT);
        command.arg(verb).arg(&self.directory).args(arguments).stdin(Stdio::null());
        let output = command.output().unwrap();
        assert!(output.status.success(), "deploy/synapse {verb}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn user<'a>(&'a self, name: &str, role: &str) -> Person<'a> {
        let token = self.script("user", &[Path::new(name), Path::new(role)]).trim().to_owned();
        Person { synapse: self, id: format!("@{name}:lab.test"), token }
    }
}

impl Drop for Synapse {
    fn drop(&mut self) {
        let _ = Command::new(SCRIPT).arg("stop").arg(&self.directory).stderr(Stdio::null()).status();
    }
}

/// Somebody with an account.
struct Person<'a> {
    synapse: &'a Synapse,
    id: String,
    token: String,
}

/// An id as one segment of a path.
fn segment(id: &str) -> String {
    id.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

impl Person<'_> {
    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.synapse.address)
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let request = self.synapse.agent.post(self.url(path)).header("Authorization", format!("Bearer {}", self.token));
        read(path, request.header("Content-Type", "application/json").send(body.to_string()))
    }

    fn put(&self, path: &str, body: &Value) -> Value {
        let request = self.synapse.agent.put(self.url(path)).header("Authorization", format!("Bearer {}", self.token));
        read(path, request.header("Content-Type", "application/json").send(body.to_string()))
    }

    fn get(&self, path: &str) -> Value {
        let request = self.synapse.agent.get(self.url(path)).header("Authorization", format!("Bearer {}", self.token));
        read(path, request.call())
    }

    fn upload(&self, bytes: &[u8]) -> String {
        let path = "/_matrix/media/v3/upload?filename=notes.txt";
        let request = self.synapse.agent.post(self.url(path)).header("Authorization", format!("Bearer {}", self.token));
        let answer = read(path, request.header("Content-Type", "text/plain").send(bytes));
        answer["content_uri"].as_str().unwrap().to_owned()
    }

    fn create(&self, room: Value) -> String {
        self.post("/_matrix/client/v3/createRoom", &room)["room_id"].as_str().unwrap().to_owned()
    }

    /// Something done to a room, such as `join` or `kick`.
    fn act(&self, room: &str, what: &str, body: Value) -> Value {
        self.post(&format!("/_matrix/client/v3/rooms/{}/{what}", segment(room)), &body)
    }

    /// Sends an event; its id.
    fn send(&self, room: &str, kind: &str, content: Value) -> String {
        let transaction = uuid::Uuid::new_v4().simple();
        let path = format!("/_matrix/client/v3/rooms/{}/send/{kind}/{transaction}", segment(room));
        id_of(&self.put(&path, &content))
    }

    fn says(&self, room: &str, words: &str) -> String {
        self.send(room, "m.room.message", json!({ "msgtype": "m.text", "body": words }))
    }

    fn edits(&self, room: &str, event: &str, words: &str) -> String {
        let relation = json!({ "rel_type": "m.replace", "event_id": event });
        let new = json!({ "msgtype": "m.text", "body": words });
        let body = format!("* {words}");
        let content = json!({ "msgtype": "m.text", "body": body, "m.new_content": new, "m.relates_to": relation });
        self.send(room, "m.room.message", content)
    }

    fn redacts(&self, room: &str, event: &str) -> String {
        let transaction = uuid::Uuid::new_v4().simple();
        let path = format!("/_matrix/client/v3/rooms/{}/redact/{}/{transaction}", segment(room), segment(event));
        id_of(&self.put(&path, &json!({ "reason": "a slip" })))
    }

    fn sets(&self, room: &str, kind: &str, content: Value) -> String {
        id_of(&self.put(&format!("/_matrix/client/v3/rooms/{}/state/{kind}/", segment(room)), &content))
    }

    /// The ids of all events of a room, as the homeserver itself has them. Needs an administrator.
    fn history(&self, room: &str) -> Vec<String> {
        let mut ids = Vec::new();
        let mut from = String::new();
        loop {
            let path = format!("/_synapse/admin/v1/rooms/{}/messages?dir=b&limit=100{from}", segment(room));
            let page = self.get(&path);
            let chunk = page["chunk"].as_array().unwrap();
            ids.extend(chunk.iter().map(id_of));
            match page["end"].as_str() {
                Some(end) if !chunk.is_empty() => from = format!("&from={end}"),
                _ => return ids,
            }
        }
    }
}

fn id_of(answer: &Value) -> String {
    answer["event_id"].as_str().unwrap_or_else(|| panic!("no event id: {answer}")).to_owned()
}

fn read(path: &str, answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Value {
    let mut answer = answer.unwrap_or_else(|error| panic!("{path}: {error}"));
    let (status, body) = (answer.status(), answer.body_mut().read_to_string().unwrap());
    assert!(status.is_success(), "{path}: {status}: {body}");
    serde_json::from_str(&body).unwrap()
}

/// A laboratory whose events come from a Synapse of its own.
struct Live {
    // Stopped before its directory goes.
    synapse: Synapse,
    lab: Lab,
    listen: SocketAddr,
    admin_token: String,
    registration: PathBuf,
}

impl Live {
    fn new() -> Option<Self> {
        Self::with(true)
    }

    /// With a homeserver that knows the bridge from its first start on, or another application service in its place.
    fn with(bridge: bool) -> Option<Self> {
        let environment = environment()?;
        // Free now, and taken again by the bridge alone as long as nobody else asks for any port in between.
        let listen = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let adapter = "[[adapter]]\nname = \"canonical\"\ninterval = \"1s\"\n";
        let configuration = |homeserver: &str| {
            format!(
                "[[source]]\nuri = \"/matrix\"\n[bridge.matrix]\nhomeserver = \"{homeserver}\"\nserver = \"lab.test\"\n\
                 listen = \"{listen}\"\nadmin_token_file = \"admin.token\"\nheartbeat = \"1s\"\n\
                 [files]\nmedia = \"{homeserver}/_matrix/client/v1/media/download/\"\n[[files.host]]\nurl = \"{homeserver}/\"\n\
                 allow_http = true\nallow_private = true\ntoken_file = \"service.token\"\n{adapter}"
            )
        };
        let lab = Lab::with_broker(Store::Sqlite, adapter);
        for token in ["admin.token", "service.token"] {
            write_secret(&lab.path(token), "not-yet-known");
        }
        // The homeserver's address is known when it runs, and it must know the bridge before it runs.
        lab.configure(&configuration("http://127.0.0.1:1"));
        lab.ok(&["bridge", "matrix", "register"]);
        let registration = lab.path("home/state/matrix-registration.json");
        let tokens: Value = serde_json::from_slice(&fs::read(&registration).unwrap()).unwrap();
        write_secret(&lab.path("service.token"), tokens["as_token"].as_str().unwrap());
        let other = lab.path("other.json");
        let nobody = json!({
            "id": "other", "url": null, "as_token": "another-token", "hs_token": "one-more-token", "sender_localpart": "_other",
            "namespaces": { "users": [], "rooms": [], "aliases": [] },
        });
        write_secret(&other, &nobody.to_string());
        let service = if bridge { registration.clone() } else { other };
        let synapse = Synapse::start(lab.path("synapse"), environment, service);
        let admin_token = synapse.user("root", "admin").token;
        write_secret(&lab.path("admin.token"), &admin_token);
        lab.configure(&configuration(&synapse.address));
        Some(Self { synapse, lab, listen, admin_token, registration })
    }

    fn admin(&self) -> Person<'_> {
        Person { synapse: &self.synapse, id: "@root:lab.test".into(), token: self.admin_token.clone() }
    }

    fn bridge(&self) -> Daemon {
        self.bridge_with(&[], &[])
    }

    fn bridge_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Daemon {
        let mut command = self.lab.command(&["bridge", "matrix"]);
        command.args(arguments).envs(variables.iter().copied());
        let mut bridge = Daemon::start(command, self.lab.path("bridge.log"));
        eventually("the bridge listens", || TcpStream::connect(self.listen).is_ok() || bridge.ended().is_some());
        bridge
    }

    /// Takes in until the archive has every event of these rooms that the homeserver has; fails when one is there twice.
    fn archived(&self, rooms: &[&str]) -> BTreeMap<String, Message> {
        let admin = self.admin();
        let expected: BTreeSet<String> = rooms.iter().flat_map(|room| admin.history(room)).collect();
        let mut found = Vec::new();
        eventually("the archive has all that the homeserver has", || {
            let done = self.lab.json(&["run", "--once"]);
            assert_eq!((&done["conflicts"], &done["quarantined"]), (&json!(0), &json!(0)), "{done}");
            found = messages(&self.lab.pickup("canonical"));
            expected.iter().all(|id| found.iter().any(|message| message.event == *id))
        });
        // A file that came after its message went out stands in a supplement once more, which says so.
        found.retain(|message| message.completes.is_none());
        let by_id: BTreeMap<_, _> = found.iter().map(|message| (message.event.clone(), message.clone())).collect();
        assert_eq!(by_id.len(), found.len(), "an event is archived twice");
        let verdict = self.lab.json(&SWEEP);
        assert_eq!((&verdict["missing"], &verdict["unread"]), (&json!([]), &json!([])), "{verdict}");
        assert!(verdict["archived"].as_u64() >= Some(expected.len() as u64), "{verdict}");
        by_id
    }

    /// What kind of room the outputs say a room is, one after the other.
    fn kinds_of_room(&self, room: &str) -> Vec<String> {
        let files = output_files(&self.lab.pickup("canonical"));
        let texts: Vec<_> = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
        let channels = texts.iter().flat_map(|text| text.split("<Channel ").skip(1));
        let ours = channels.filter_map(|channel| channel.split_once('>')).filter(|(tag, _)| tag.contains(room));
        ours.map(|(tag, _)| tag.split_once("c:kind=\"").unwrap().1.split_once('"').unwrap().0.to_owned()).collect()
    }

    /// The events that the sweep misses, once the archive has taken in what is on the queue.
    fn missed(&self) -> Vec<String> {
        self.lab.ok(&["run", "--once"]);
        let output = self.lab.run(&[&["--format", "json"], &SWEEP[..]].concat());
        let verdict: Value = serde_json::from_slice(&output.stdout).unwrap();
        let missing: Vec<_> = verdict["missing"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["event"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(output.status.code(), Some(i32::from(!missing.is_empty())), "{verdict}");
        missing
    }
}

fn write_secret(path: &Path, secret: &str) {
    fs::write(path, secret).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn attribute<'a>(message: &'a Message, name: &str) -> Option<&'a str> {
    message.attributes.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
}

/// Canonical type and CloudEvents type of each event of a kind, in order of time.
fn kinds_of(archived: &BTreeMap<String, Message>, room: &str, kinds: &[&str]) -> Vec<(String, String)> {
    let mut found: Vec<_> =
        archived.values().filter(|message| message.room == room && kinds.contains(&&*message.kind)).collect();
    found.sort_by(|one, other| one.ticks.cmp(&other.ticks));
    found.into_iter().map(|message| (message.kind.clone(), attribute(message, "c:kind").unwrap().to_owned())).collect()
}

#[test]
fn what_people_do_on_a_homeserver_is_archived_as_what_it_is() {
    let Some(live) = Live::new() else { return };
    let _bridge = live.bridge();
    let (alice, bob, carol) =
        (live.synapse.user("alice", ""), live.synapse.user("bob", ""), live.synapse.user("carol", ""));
    let room =
        alice.create(json!({ "preset": "private_chat", "name": "Trading desk", "topic": "Grain", "invite": [bob.id] }));
    bob.act(&room, "join", json!({}));
    let said = alice.says(&room, "first");
    let edited = alice.edits(&room, &said, "second");
    let relation = json!({ "m.relates_to": { "rel_type": "m.annotation", "event_id": said, "key": "👍" } });
    let reacted = bob.send(&room, "m.reaction", relation);
    let unreacted = bob.redacts(&room, &reacted);
    let reply =
        json!({ "msgtype": "m.text", "body": "an answer", "m.relates_to": { "m.in_reply_to": { "event_id": said } } });
    let replied = bob.send(&room, "m.room.message", reply);
    let thread = json!({ "msgtype": "m.text", "body": "in a thread", "m.relates_to": { "rel_type": "m.thread", "event_id": said } });
    let threaded = bob.send(&room, "m.room.message", thread);
    let deleted = bob.redacts(&room, &replied);
    let location = alice.upload(BYTES);
    let file = json!({ "msgtype": "m.file", "body": "notes.txt", "url": location, "info": { "mimetype": "text/plain", "size": BYTES.len() } });
    let uploaded = alice.send(&room, "m.room.message", file);
    let encrypted = alice.send(
        &room,
        "m.room.encrypted",
        json!({ "algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "AwgA", "session_id": "s" }),
    );
    let sticker = alice.send(&room, "m.sticker", json!({ "body": "a wave", "url": location, "info": {} }));
    let text = |words: &str| json!({ "org.matrix.msc1767.text": words });
    let mut answers = [text("Soup"), text("Fish")];
    for (number, answer) in answers.iter_mut().enumerate() {
        answer["id"] = number.to_string().into();
    }
    let question = json!({ "kind": "org.matrix.msc3381.poll.disclosed", "max_selections": 1, "question": text("Lunch?"), "answers": answers });
    let kind = "org.matrix.msc3381.poll.start";
    let poll = alice.send(&room, kind, json!({ (kind): question, "org.matrix.msc1767.text": "Lunch?" }));
    let topic = alice.sets(&room, "m.room.topic", json!({ "topic": "Oil" }));
    bob.put(
        &format!("/_matrix/client/v3/profile/{}/displayname", segment(&bob.id)),
        &json!({ "displayname": "Robert" }),
    );
    // The homeserver tells the rooms of it in its own time.
    let membership = format!("/_matrix/client/v3/rooms/{}/state/m.room.member/{}", segment(&room), segment(&bob.id));
    eventually("the room knows the new name", || bob.get(&membership)["displayname"] == "Robert");
    for (who, what, body) in [
        (&alice, "invite", json!({ "user_id": carol.id })),
        (&carol, "leave", json!({})),
        (&alice, "invite", json!({ "user_id": carol.id })),
        (&carol, "join", json!({})),
        (&carol, "leave", json!({})),
        (&alice, "invite", json!({ "user_id": carol.id })),
        (&carol, "join", json!({})),
        (&alice, "kick", json!({ "user_id": carol.id, "reason": "a test" })),
        (&alice, "invite", json!({ "user_id": carol.id })),
        (&carol, "join", json!({})),
        (&alice, "ban", json!({ "user_id": carol.id })),
        (&alice, "unban", json!({ "user_id": carol.id })),
    ] {
        who.act(&room, what, body);
    }
    let knock = json!({ "type": "m.room.join_rules", "state_key": "", "content": { "join_rule": "knock" } });
    let club = alice.create(json!({ "preset": "private_chat", "initial_state": [knock] }));
    carol.post(&format!("/_matrix/client/v3/knock/{}", segment(&club)), &json!({}));
    alice.act(&club, "invite", json!({ "user_id": carol.id }));
    carol.act(&club, "join", json!({}));
    let direct = alice.create(json!({ "preset": "trusted_private_chat", "is_direct": true, "invite": [bob.id] }));
    bob.act(&direct, "join", json!({}));
    let whispered = bob.says(&direct, "between us");
    let next = alice.act(&room, "upgrade", json!({ "new_version": "11" }));
    let next = next["replacement_room"].as_str().unwrap();

    let archived = live.archived(&[&room, &club, &direct, next]);
    let seen = |id: &str| {
        let message = &archived[id];
        (message.kind.as_str(), attribute(message, "c:kind").unwrap(), message.content.as_str())
    };
    assert_eq!(seen(&said), ("CHAT", "chat.message.posted", "first"));
    assert_eq!(seen(&edited), ("EDIT", "chat.message.edited", "second"));
    assert_eq!(attribute(&archived[&edited], "c:messageId"), Some(said.as_str()));
    assert_eq!(attribute(&archived[&edited], "c:previous"), Some("first"));
    assert_eq!(seen(&reacted), ("REACT", "chat.message.reacted", "👍"));
    assert_eq!(seen(&unreacted), ("UNREACT", "chat.message.unreacted", "👍"));
    assert_eq!(seen(&replied), ("CHAT", "chat.message.posted", "an answer"));
    assert_eq!(attribute(&archived[&replied], "c:inReplyTo"), Some(said.as_str()));
    assert_eq!(attribute(&archived[&threaded], "c:thread"), Some(said.as_str()));
    assert_eq!(seen(&deleted), ("DELETE", "chat.message.deleted", "an answer"));
    assert_eq!(seen(&uploaded).0, "FILEUPLOAD");
    assert_eq!(attribute(&archived[&uploaded], "c:fileName"), Some("notes.txt"));
    let digest = hex::encode(Sha256::digest(BYTES));
    eventually("the file itself is archived", || {
        live.lab.ok(&["run", "--once"]);
        let found = messages(&live.lab.pickup("canonical"));
        found.iter().any(|message| {
            message.event == uploaded
                && message.missing.is_none()
                && attribute(message, "c:sha256") == Some(digest.as_str())
        })
    });
    assert_eq!((seen(&encrypted).0, seen(&encrypted).1), ("OTHER", "matrix.m.room.encrypted"));
    assert_eq!((seen(&topic).0, seen(&topic).1), ("ROOMUPDATE", "chat.room.updated"));
    assert_eq!(seen(&whispered), ("CHAT", "chat.message.posted", "between us"));
    assert_eq!(
        (live.kinds_of_room(&direct).last(), live.kinds_of_room(&room).last()),
        (Some(&"direct".into()), Some(&"room".into()))
    );
    assert_eq!((seen(&sticker).0, attribute(&archived[&sticker], "c:fileName")), ("FILEUPLOAD", Some("a wave")));
    assert_eq!(seen(&poll), ("CHAT", "chat.message.posted", "Lunch?\n- Soup\n- Fish"));
    let knocking: Vec<_> =
        kinds_of(&archived, &club, &["JOIN", "MEMBER", "OTHER"]).into_iter().map(|(_, kind)| kind).collect();
    assert_eq!(knocking[knocking.len() - 3..], ["matrix.member.knocked", "chat.member.invited", "chat.room.joined"]);

    // Tombstone and new room: the old one is described anew, the new one is created.
    assert_eq!(kinds_of(&archived, next, &["ROOMCREATE"]).len(), 1);
    let comings: Vec<String> = kinds_of(&archived, &room, &["JOIN", "PART", "MEMBER", "OTHER"])
        .into_iter()
        .map(|(_, kind)| kind.trim_start_matches("chat.").to_owned())
        .filter(|kind| !kind.starts_with("matrix.m."))
        .collect();
    let expected = [
        "room.joined",
        "member.invited",
        "room.joined",
        "member.renamed",
        "member.invited",
        "matrix.member.declined",
        "member.invited",
        "room.joined",
        "room.left",
        "member.invited",
        "room.joined",
        "member.removed",
        "member.invited",
        "room.joined",
        "member.removed",
        "matrix.member.unbanned",
    ];
    assert_eq!(comings, expected);
}

/// A homeserver that did not know the bridge at first, a bridge that is away, one that is killed before its answer, a broker that is
/// away, a homeserver that crashes: afterwards the archive has all that the homeserver has, once, and the words of what was
/// deleted meanwhile.
#[test]
fn after_every_outage_nothing_is_missing_and_nothing_is_there_twice() {
    let Some(live) = Live::with(false) else { return };
    let alice = live.synapse.user("alice", "");
    let old = alice.create(json!({ "name": "Old desk" }));
    let early = alice.says(&old, "before anybody listened");
    let early_edit = alice.edits(&old, &early, "before anybody listens");
    // A homeserver that never had an application service would deliver all of this to its first one.
    alice.says(&old, "nobody takes this");
    live.synapse.script("stop", &[]);
    *live.synapse.service.lock().unwrap() = live.registration.clone();
    live.synapse.again();

    // The bridge was away from the room's creation on, and a message is deleted before it comes back.
    let room = alice.create(json!({ "name": "Trading desk" }));
    let regretted = alice.says(&room, "said and regretted");
    alice.redacts(&room, &regretted);
    let bridge = live.bridge();
    alice.redacts(&old, &early);
    let history: BTreeSet<_> = live.admin().history(&old).into_iter().collect();
    eventually("the sweep misses what was before, and nothing else", || {
        let missed: BTreeSet<_> = live.missed().into_iter().collect();
        missed.contains(&early) && missed.contains(&early_edit) && missed.is_subset(&history)
    });

    // What nobody delivered is fetched, also twice, and also what was deleted of it.
    let backfill =
        ["bridge", "matrix", "backfill", "--since", "2020-01-01T00:00:00Z", "--until", "9999-01-01T00:00:00Z"];
    assert_ne!(live.lab.json(&backfill)["published"], 0);
    assert_eq!(live.lab.json(&backfill)["published"], 0);
    let first = live.archived(&[&old, &room]);
    assert_eq!((first[&regretted].kind.as_str(), first[&regretted].content.as_str()), ("CHAT", "said and regretted"));
    assert_eq!((first[&early].kind.as_str(), first[&early].content.as_str()), ("CHAT", "before anybody listened"));
    assert_eq!(attribute(&first[&early_edit], "c:previous"), Some("before anybody listened"));
    bridge.kill();

    // Killed when the broker has the event and the homeserver has not heard so.
    let mut bridge = live.bridge_with(&[], &[(CRASH_AT, Step::BridgePublished.name())]);
    alice.says(&room, "cut off");
    eventually("the bridge is cut off", || bridge.ended().is_some());
    let bridge = live.bridge();
    live.archived(&[&room]);
    bridge.kill();

    // The broker is away: nothing is called taken.
    let away = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let bridge = live.bridge_with(&["--set", &format!("amqp.url=amqp://{away}/%2f")], &[]);
    let waiting = alice.says(&room, "waiting");
    eventually("the homeserver was refused", || bridge.log().contains("a transaction was not taken"));
    assert!(!bridge.log().contains("waiting"), "words are logged");
    bridge.kill();

    // The homeserver crashes while all this waits.
    live.synapse.script("kill", &[]);
    live.synapse.again();
    let bridge = live.bridge();
    alice.says(&room, "all is well");
    let archived = live.archived(&[&room]);
    assert_eq!(archived[&waiting].content, "waiting");
    bridge.kill();

    // It crashes in the middle of a delivery, and does not send again what it had begun to send.
    let deaf = TcpListener::bind(live.listen).unwrap();
    let stuck = alice.says(&room, "stuck");
    // Whoever is here said so before anything of the request was read, and is never answered.
    let unanswered = deaf.accept().unwrap();
    live.synapse.script("kill", &[]);
    drop((unanswered, deaf));
    live.synapse.again();
    let bridge = live.bridge();
    alice.says(&room, "behind it");
    eventually("the sweep misses what is stuck alone", || live.missed() == [stuck.clone()]);
    assert_ne!(live.lab.json(&backfill)["published"], 0);
    live.archived(&[&old, &room]);
    bridge.kill();

    // The next failure shakes it loose; it is known by then.
    let last = alice.says(&room, "after a failure");
    let bridge = live.bridge();
    let archived = live.archived(&[&old, &room]);
    assert_eq!((&*archived[&stuck].content, &*archived[&last].content), ("stuck", "after a failure"));
    drop(bridge);
}

/// When each event was sent, or seen somewhere.
type Times = BTreeMap<String, Instant>;

/// A thousand messages by eight people at once, as fast as the homeserver takes them: when each was sent.
fn burst(alice: &Person<'_>, room: &str) -> Times {
    std::thread::scope(|scope| {
        let senders: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let say = |number| {
                        let sent = Instant::now();
                        (alice.says(room, &format!("message {number}")), sent)
                    };
                    (0..125).map(say).collect::<Vec<_>>()
                })
            })
            .collect();
        senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect()
    })
}

/// An application service that takes everything and does nothing: when each event reached it.
fn take_everything(listener: &TcpListener, over: &AtomicBool, seen: &Mutex<Times>) {
    listener.set_nonblocking(true).unwrap();
    while !over.load(Relaxed) {
        let Ok((stream, _)) = listener.accept() else {
            std::thread::sleep(Duration::from_millis(1));
            continue;
        };
        stream.set_nonblocking(false).unwrap();
        let mut reader = BufReader::new(&stream);
        let (mut length, mut line) = (0, String::new());
        while reader.read_line(&mut line).unwrap() > 2 {
            if let Some(bytes) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = bytes.trim().parse().unwrap();
            }
            line.clear();
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let answer =
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
        (&stream).write_all(answer.as_bytes()).unwrap();
        let now = Instant::now();
        let body: Value = serde_json::from_slice(&body).unwrap();
        let events = body["events"].as_array().into_iter().flatten().map(|event| (id_of(event), now));
        seen.lock().unwrap().extend(events);
    }
}

/// Looks every 5 ms which events staging has committed.
fn watch_staging(path: &Path, over: &AtomicBool, seen: &Mutex<Times>) {
    use sqlx::{ConnectOptions as _, Row as _};
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).read_only(true);
        let mut connection = options.connect().await.unwrap();
        let mut last = 0_i64;
        while !over.load(Relaxed) {
            let rows = sqlx::query("select seq, event_id from events where seq > ? order by seq").bind(last);
            let rows = rows.fetch_all(&mut connection).await.unwrap();
            let now = Instant::now();
            for row in rows {
                last = row.get(0);
                seen.lock().unwrap().insert(row.get(1), now);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
}

/// Prints how long events took from being sent to being seen, and at which rate they were seen.
fn tell(what: &str, sent: &Times, seen: &Times) {
    let mut took: Vec<Duration> = sent.iter().map(|(id, sent)| seen[id].duration_since(*sent)).collect();
    took.sort();
    let at = |percent: usize| took[(took.len() * percent).div_ceil(100) - 1].as_millis();
    let rate = |times: &mut dyn Iterator<Item = Instant>| {
        let times: Vec<_> = times.collect();
        sent.len() as f64 / times.iter().max().unwrap().duration_since(*times.iter().min().unwrap()).as_secs_f64()
    };
    eprintln!(
        "{what}: p50 {} ms, p99 {} ms, longest {} ms; sent at {:.0}/s, seen at {:.0}/s",
        at(50),
        at(99),
        at(100),
        rate(&mut sent.values().copied()),
        rate(&mut sent.keys().map(|id| seen[id])),
    );
}

#[test]
#[ignore = "measures and decides nothing: `cargo nextest run --run-ignored only --no-capture -E 'test(a_burst)'`"]
fn a_burst_measured() {
    let Some(live) = Live::new() else { return };
    let alice = live.synapse.user("alice", "");
    let (over, seen) = (AtomicBool::new(false), Mutex::new(Times::new()));
    let has = |ids: &[&String]| {
        let seen = seen.lock().unwrap();
        ids.iter().all(|id| seen.contains_key(*id))
    };

    let listener = TcpListener::bind(live.listen).unwrap();
    let room = std::thread::scope(|scope| {
        scope.spawn(|| take_everything(&listener, &over, &seen));
        let room = alice.create(json!({ "name": "Trading desk" }));
        let ready = alice.says(&room, "ready");
        eventually("the homeserver delivers", || has(&[&ready]));
        let sent = burst(&alice, &room);
        eventually("all are delivered", || has(&sent.keys().collect::<Vec<_>>()));
        over.store(true, Relaxed);
        tell("Synapse alone, to a service that does nothing", &sent, &seen.lock().unwrap());
        room
    });
    drop(listener);

    over.store(false, Relaxed);
    let _bridge = live.bridge();
    let _daemon = live.lab.daemon();
    let staging = live.lab.path("home/state/staging.db");
    std::thread::scope(|scope| {
        let ready = alice.says(&room, "ready again");
        eventually("staging is there", || staging.exists());
        scope.spawn(|| watch_staging(&staging, &over, &seen));
        eventually("the bridge delivers", || has(&[&ready]));
        let sent = burst(&alice, &room);
        eventually("all are staged", || has(&sent.keys().collect::<Vec<_>>()));
        over.store(true, Relaxed);
        tell("through bridge and broker, to staging", &sent, &seen.lock().unwrap());
    });
}
