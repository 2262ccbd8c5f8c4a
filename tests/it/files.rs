//! Uploaded files that a server gives out over HTTP, from the spool to the share.

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

/// Gives out `/small` and `/large` and keeps silent about `/silent`; everything else is not there. Its thread ends with the test's process.
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
    requests.lock().unwrap().push(head);
    match path.as_str() {
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
    eventually("all uploads are on the share", || found().len() == locations.len());
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
    assert!(reasons[0].contains("127.0.0.1 did not give the file: it answered 404 Not Found"), "{reasons:?}");
    assert!(reasons[1].contains("file.location is refused: it asks for http://127.0.0.1:"), "{reasons:?}");

    let requests = server.requests();
    assert_eq!(requests.len(), 3, "each file is asked for once: {requests:?}");
    assert!(requests.iter().all(|head| head.contains("Bearer hush-3f9a\r\n")), "{requests:?}");
    assert!(proxy.requests().is_empty(), "a proxy of the environment was used");
    assert!(!daemon.log().contains("hush-3f9a"), "the token is logged");
}

/// Trouble of Chancery's own must not end as a missing file: the batch waits until it is mended.
#[test]
fn without_its_token_a_batch_waits() {
    let server = FileServer::start();
    let base = format!("http://127.0.0.1:{}", server.address.port());
    let lab = lab(&base, "");
    let token = lab.path("token");
    let daemon = lab.daemon();
    eventually("the daemon is at work", || lab.path("home/state/staging.db").exists() && !daemon.log().is_empty());
    fs::remove_file(&token).unwrap();
    lab.spool("day.ndjson", &uploads(&lab, &[format!("{base}/small")]));
    eventually("the trouble is told", || daemon.log().contains("files.host 1: no token"));
    assert!(messages(&lab.pickup("canonical")).is_empty());
    write_token(&lab);
    eventually("the upload is on the share", || !messages(&lab.pickup("canonical")).is_empty());
    assert_eq!(messages(&lab.pickup("canonical"))[0].missing, None);
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
    assert!(messages(&lab.pickup("canonical")).is_empty(), "nothing is told about a file that was still on its way");
    // The next start asks again.
    let _daemon = lab.daemon();
    eventually("the server is asked again", || server.requests().len() == 2);
}
