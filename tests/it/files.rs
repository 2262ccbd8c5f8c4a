//! Uploaded files that a server gives out over HTTP, from the spool to the share.

mod cases;
mod names;

use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, Mutex};

use sha2::{Digest as _, Sha256};

use crate::support::{Lab, Store, eventually, messages};

/// A large file, made up as it goes over the wire.
const LARGE_BYTES: usize = 200 << 20;
const BLOCK: usize = 1 << 20;

/// Gives out `/small` and `/large`, breaks off in the middle of `/cut` when it is asked for the first time, and keeps silent about
/// `/silent`; everything else is not there. Its thread ends with the test's process.
struct FileServer {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

fn block(number: usize) -> Vec<u8> {
    let mut block = vec![u8::try_from(number % 251).unwrap(); BLOCK];
    block[..8].copy_from_slice(&number.to_le_bytes());
    block
}

fn large_digest() -> String {
    let mut hasher = Sha256::new();
    (0..LARGE_BYTES / BLOCK).for_each(|number| hasher.update(block(number)));
    hex::encode(hasher.finalize())
}

impl FileServer {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self { address: listener.local_addr().unwrap(), requests: Arc::default() };
        let requests = Arc::clone(&server.requests);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let requests = Arc::clone(&requests);
                std::thread::spawn(move || serve(stream, &requests));
            }
        });
        server
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

fn serve(mut stream: TcpStream, requests: &Mutex<Vec<String>>) -> io::Result<()> {
    let mut head = String::new();
    let mut reader = BufReader::new(stream.try_clone()?);
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head)? > 0 {}
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let asked = {
        let mut requests = requests.lock().unwrap();
        requests.push(head);
        requests.iter().filter(|head| head.starts_with(&format!("GET {path} "))).count()
    };
    match path.as_str() {
        "/cut" if asked == 1 => write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf "),
        "/cut" => write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf and h"),
        // Never answers, never closes.
        "/silent" => stream.read_exact(&mut [0]),
        "/small" => write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nsmall"),
        "/large" => {
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {LARGE_BYTES}\r\n\r\n")?;
            (0..LARGE_BYTES / BLOCK).try_for_each(|number| stream.write_all(&block(number)))
        }
        _ => write!(stream, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
    }
}

/// A laboratory that may fetch files from `base`, with a token and these further keys of `[files]`.
fn lab(base: &str, keys: &str) -> Lab {
    let lab = Lab::new(
        Store::Sqlite,
        &format!(
            "[[adapter]]\nname = \"canonical\"\ninterval = \"1s\"\n[files]\n{keys}[[files.host]]\nurl = \"{base}/\"\n\
             allow_http = true\nallow_private = true\ntoken_file = \"token\"\n"
        ),
    );
    write_token(&lab);
    lab
}

fn write_token(lab: &Lab) {
    fs::write(lab.path("token.new"), "hush-3f9a\n").unwrap();
    fs::set_permissions(lab.path("token.new"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(lab.path("token.new"), lab.path("token")).unwrap();
}

/// Upload events whose files lie at these locations.
fn uploads(lab: &Lab, locations: &[String]) -> Vec<String> {
    let lines = lab.simulate(3, 3000);
    let uploads = lines.iter().filter_map(|line| {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        (event["type"] == "chat.file.uploaded").then_some(event)
    });
    let events: Vec<String> = uploads
        .zip(locations)
        .map(|(mut event, location)| {
            event["data"]["file"] = serde_json::json!({ "id": location, "name": "Q3.bin", "location": location });
            event.to_string()
        })
        .collect();
    assert_eq!(events.len(), locations.len(), "the simulated day has too few uploads");
    events
}

#[test]
fn files_of_a_server_reach_the_share_whole_and_in_flat_memory() {
    let (server, proxy) = (FileServer::start(), FileServer::start());
    let base = format!("http://127.0.0.1:{}", server.address.port());
    let lab = lab(&base, "");
    let elsewhere = format!("http://127.0.0.1:{}/small", proxy.address.port());
    let locations = [format!("{base}/small"), format!("{base}/large"), format!("{base}/none"), elsewhere];
    lab.spool("day.ndjson", &uploads(&lab, &locations));

    let through = format!("http://{}", proxy.address);
    let daemon = lab.daemon_with(&[("http_proxy", &through), ("HTTP_PROXY", &through), ("ALL_PROXY", &through)]);
    let found = || -> Vec<_> {
        messages(&lab.pickup("canonical")).into_iter().filter(|message| message.kind == "FILEUPLOAD").collect()
    };
    let brought = || found().into_iter().filter(|message| message.missing.is_none()).count();
    let said = || found().into_iter().filter(|message| message.completes.is_none()).count();
    eventually("all uploads are on the share", || said() == locations.len() && brought() == 2);
    let memory = daemon.peak_memory();
    println!("peak memory {:.1} MB", memory as f64 / 1e6);
    assert!(memory < 100_000_000, "a file of {LARGE_BYTES} bytes took {memory} bytes of memory");

    let digest = |bytes: &[u8]| hex::encode(Sha256::digest(bytes));
    let mut given = Vec::new();
    let mut reasons = Vec::new();
    for upload in found() {
        match upload.missing {
            Some(reason) => reasons.push(reason),
            None => given.push(digest(&fs::read(lab.pickup("canonical").join(&upload.content)).unwrap())),
        }
    }
    given.sort();
    reasons.sort();
    let mut expected = [digest(b"small"), large_digest()];
    expected.sort();
    assert_eq!(given, expected);
    // On a slow machine a batch may go out before anything was asked for.
    let known = |reason: &String| reason.starts_with("not yet: ") || reason.starts_with("file.location is refused: ");
    assert!(reasons.len() >= 2 && reasons.iter().all(known), "{reasons:?}");

    let requests = server.requests();
    let asked = |path: &str| requests.iter().filter(|head| head.starts_with(&format!("GET /{path} "))).count();
    assert_eq!((asked("small"), asked("large")), (1, 1), "what came is asked for once: {requests:?}");
    assert!(asked("none") >= 1 && asked("small") + asked("large") + asked("none") == requests.len(), "{requests:?}");
    assert!(requests.iter().all(|head| head.contains("Bearer hush-3f9a\r\n")), "{requests:?}");
    assert!(proxy.requests().is_empty(), "a proxy of the environment was used");
    assert!(!daemon.log().contains("hush-3f9a"), "the token is logged");
}

/// Trouble of Chancery's own must not end as a missing file: it follows once that is mended.
#[test]
fn without_its_token_a_file_waits_and_its_batch_does_not() {
    let server = FileServer::start();
    let base = format!("http://127.0.0.1:{}", server.address.port());
    let lab = lab(&base, "");
    let daemon = lab.daemon();
    eventually("the daemon is at work", || lab.path("home/state/staging.db").exists() && !daemon.log().is_empty());
    fs::remove_file(lab.path("token")).unwrap();
    lab.spool("day.ndjson", &uploads(&lab, &[format!("{base}/small")]));
    eventually("the batch goes out", || !messages(&lab.pickup("canonical")).is_empty());
    let reason = messages(&lab.pickup("canonical"))[0].missing.clone().unwrap();
    assert!(reason.contains("files.host 1: no token"), "{reason}");
    assert!(daemon.log().contains("files.host 1: no token"));
    assert!(server.requests().is_empty());
    write_token(&lab);
    eventually("the file follows", || messages(&lab.pickup("canonical")).len() == 2);
    let follows = messages(&lab.pickup("canonical")).pop().unwrap();
    assert_eq!(fs::read(lab.pickup("canonical").join(follows.content)).unwrap(), b"small");
}

/// A laboratory with a file repository, and the events of uploads that lie at these paths there.
fn repository(keys: &str, files: &[(&str, serde_json::Value)]) -> (Lab, Vec<String>) {
    let adapters =
        "[[adapter]]\nname = \"canonical\"\ninterval = \"1s\"\n[[adapter]]\nname = \"slow\"\ninterval = \"1m\"\n";
    let lab = Lab::new(Store::Sqlite, &format!("[files]\nroot = \"repository\"\n{keys}{adapters}"));
    let events = files.iter().enumerate().map(|(number, (location, claims))| {
        let mut file = serde_json::json!({ "name": format!("{location}.bin"), "location": location });
        file.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        serde_json::json!({
            "specversion": "1.0", "id": number.to_string(), "source": "/web/1", "type": "chat.file.uploaded",
            "subject": "room:1", "time": "2026-11-22T10:00:00Z",
            "data": { "sender": { "uri": "sip:a@example.com" }, "file": file },
        })
        .to_string()
    });
    let events = events.collect();
    (lab, events)
}

/// The messages about a file, those of its event first and those that complete it after that.
fn of_event(lab: &Lab, event: &str) -> Vec<crate::support::Message> {
    let mut found = messages(&lab.pickup("canonical"));
    found.retain(|message| message.event == event);
    found.sort_by_key(|message| message.completes.is_some());
    found
}

#[test]
fn a_late_file_follows_once_and_changes_nothing_that_went_out() {
    let none = serde_json::json!({});
    let (lab, events) = repository("", &[("late", none.clone()), ("there", none)]);
    fs::write(lab.path("repository/there"), "there from the beginning").unwrap();
    lab.spool("day.ndjson", &events);
    let daemon = lab.daemon();
    eventually("the batch goes out", || messages(&lab.pickup("canonical")).len() == 2);
    let outputs = crate::support::output_files(&lab.pickup("canonical"));
    let before: Vec<_> = outputs.iter().map(|file| fs::read(file).unwrap()).collect();
    let reason = of_event(&lab, "0")[0].missing.clone().unwrap();
    // On a slow machine it may not even have been asked for.
    assert!(reason.starts_with("not yet: ") && reason.contains("; it follows if it comes before "), "{reason}");
    assert_eq!(of_event(&lab, "1")[0].missing, None);
    let status = lab.status();
    assert_eq!(status["pending_files"][0]["giver"], "repository", "{status}");
    assert_eq!(status["intake"]["pending_files"], 1);

    fs::write(lab.path("repository/late"), "late, but whole").unwrap();
    eventually("the file follows", || of_event(&lab, "0").len() == 2);
    let told = &of_event(&lab, "0")[0];
    let follows = of_event(&lab, "0").pop().unwrap();
    assert_eq!((follows.missing.as_ref(), &follows.room, &follows.ticks), (None, &told.room, &told.ticks));
    assert_eq!(fs::read(lab.pickup("canonical").join(&follows.content)).unwrap(), b"late, but whole");
    let after: Vec<_> = outputs.iter().map(|file| fs::read(file).unwrap()).collect();
    assert_eq!(before, after);

    let batches = lab.json(&["batch", "list", "--adapter", "canonical"]);
    let batches = batches.as_array().unwrap();
    let supplement = batches.iter().find(|batch| !batch["completes"].is_null()).unwrap();
    let counts = ["events", "messages", "completed", "files"].map(|key| supplement[key].as_u64().unwrap());
    assert_eq!(counts, [0, 0, 1, 2], "{supplement}");
    let told = supplement["completes"].as_i64().unwrap();
    assert_eq!(follows.completes, Some(told.to_string()));
    let shown = lab.json(&["batch", "show", &told.to_string()]);
    assert_eq!(
        (&shown["missing"][0]["state"], &shown["missing"][0]["event"]),
        (&"follows".into(), &"0".into()),
        "{shown}"
    );
    assert_eq!(shown["messages"], 2);
    let table = lab.ok(&["batch", "show", &told.to_string()]);
    assert!(table.contains(&format!("event 0 of /web/1: follows in batch {}", supplement["id"])), "{table}");
    crate::support::validate("canonical.xsd", crate::support::output_files(&lab.pickup("canonical")).last().unwrap());
    assert!(lab.status()["alerts"].as_array().unwrap().is_empty());
    drop(daemon);
    // An adapter whose batch goes out later has it from the beginning.
    lab.ok(&["run", "--once"]);
    let slow = messages(&lab.pickup("slow"));
    assert_eq!(slow.iter().filter(|message| message.missing.is_none() && message.completes.is_none()).count(), 2);
    assert_eq!(slow.len(), 2);
}

#[test]
fn what_never_comes_ends_at_the_deadline_with_an_alert_that_a_person_closes() {
    let (lab, events) = repository("deadline = \"20s\"\n", &[("never", serde_json::json!({}))]);
    lab.spool("day.ndjson", &events);
    let _daemon = lab.daemon();
    eventually("the batch goes out", || messages(&lab.pickup("canonical")).len() == 1);
    let alert =
        || lab.status()["alerts"].as_array().unwrap().iter().find(|alert| alert["kind"] == "file-missing").cloned();
    eventually("an alert tells", || alert().is_some());
    let detail = alert().unwrap()["detail"].as_str().unwrap().to_owned();
    assert!(
        detail.starts_with("event 0: it did not come until ") && detail.ends_with("there is no such file"),
        "{detail}"
    );
    fs::write(lab.path("repository/never"), "too late").unwrap();
    lab.ok(&["alert", "close", "file-missing", "files of /web/1", "--reason", "it was deleted"]);
    assert!(alert().is_none());
    let again = lab.run(&["alert", "close", "file-missing", "files of /web/1", "--reason", "again"]);
    assert_eq!(again.status.code(), Some(1));
    let acts = lab.json(&["acts"]);
    let act = ["what", "subject", "reason"].map(|key| acts[0][key].as_str().unwrap());
    assert_eq!(act, ["alert close", "file-missing about files of /web/1", "it was deleted"]);
    assert_eq!(acts.as_array().unwrap().len(), 1, "what was not done is not recorded: {acts}");
    let batch = lab.json(&["batch", "list", "--adapter", "canonical"])[0]["id"].to_string();
    assert_eq!(lab.json(&["batch", "show", &batch])["missing"][0]["state"], "never");
    assert_eq!(messages(&lab.pickup("canonical")).len(), 1, "nothing follows any more");
}

/// Claims that the bytes do not meet, and bytes that are not what they were.
#[test]
fn short_and_corrupted_files_are_kept_and_flagged() {
    let claim = |size: usize, of: &str| serde_json::json!({ "size": size, "sha256": hex::encode(Sha256::digest(of)) });
    let files = [("short", claim(10, "0123456789")), ("grown", claim(10, "0123456789")), ("corrupt", claim(4, "true"))];
    let (lab, events) = repository("", &files);
    fs::write(lab.path("repository/short"), "01234").unwrap();
    fs::write(lab.path("repository/grown"), "01234").unwrap();
    fs::write(lab.path("repository/corrupt"), "fals").unwrap();
    lab.spool("day.ndjson", &events);
    // One pass has no patience.
    lab.ok(&["run", "--once"]);
    let found = messages(&lab.pickup("canonical"));
    assert_eq!(found.len(), 3);
    for (message, bytes) in found.iter().zip([&b"01234"[..], b"01234", b"fals"]) {
        assert_eq!(message.missing, None);
        assert_eq!(fs::read(lab.pickup("canonical").join(&message.content)).unwrap(), bytes);
        let has = |name: &str| message.attributes.iter().any(|(found, _)| found == name);
        assert!(has("c:mismatch") && has("c:claimedSha256"), "{message:?}");
    }
}

#[test]
fn a_large_file_follows_beside_its_batch() {
    let none = serde_json::json!({});
    let (lab, events) = repository("with_batch_max = \"1KiB\"\n", &[("large", none.clone()), ("small", none)]);
    fs::write(lab.path("repository/large"), vec![7; 5000]).unwrap();
    fs::write(lab.path("repository/small"), "small").unwrap();
    lab.spool("day.ndjson", &events);
    lab.ok(&["run", "--once"]);
    let (large, small) = (of_event(&lab, "0"), of_event(&lab, "1"));
    assert_eq!((large.len(), small.len(), small[0].missing.is_none()), (1, 1, true));
    assert!(large[0].missing.as_ref().unwrap().contains("files.with_batch_max = 1KiB; it follows"), "{large:?}");
    lab.ok(&["run", "--once"]);
    let large = of_event(&lab, "0");
    assert_eq!(large.len(), 2);
    assert_eq!(fs::read(lab.pickup("canonical").join(&large[1].content)).unwrap(), vec![7; 5000]);
}

/// The file was not had, and not given up either.
#[test]
fn a_stop_does_not_wait_for_a_silent_server() {
    let server = FileServer::start();
    let base = format!("http://127.0.0.1:{}", server.address.port());
    let lab = lab(&base, "fetch_idle_timeout = \"1h\"\nfetch_timeout = \"1d\"\n");
    lab.spool("day.ndjson", &uploads(&lab, &[format!("{base}/silent")]));
    let mut daemon = lab.daemon();
    eventually("the server is asked", || server.requests().len() == 1);
    daemon.signal(rustix::process::Signal::TERM);
    eventually("the daemon ends", || daemon.ended().is_some());
    let told = messages(&lab.pickup("canonical"));
    let waited_for = |reason: &String| reason.starts_with("not yet: ");
    assert!(told.iter().all(|message| message.missing.as_ref().is_some_and(waited_for)), "given up: {told:?}");
    // The next start asks again.
    let _daemon = lab.daemon();
    eventually("the server is asked again", || server.requests().len() == 2);
}
