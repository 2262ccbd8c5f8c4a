//! What servers answer: whole files, and every way of not giving one.

use std::thread;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::server::{Bench, Server, TOKEN, Wire, answer};
use crate::config::{ByteSize, Span};
use crate::model::{Text, event};
use crate::staging::Capture;
use crate::vault::Outcome;

const CONTENT: &[u8] = b"the bytes of the file";

/// Paths of this server are named after what it does wrong.
fn clumsy(path: &str, wire: &mut dyn Wire) -> std::io::Result<()> {
    match path {
        "/404" => answer(wire, "404 Not Found", "", b"nothing here"),
        "/401" => answer(wire, "401 Unauthorized", "WWW-Authenticate: Bearer\r\n", b""),
        "/403" => answer(wire, "403 Forbidden", "", b""),
        "/500" => answer(wire, "500 Internal Server Error", "", b"oops"),
        "/503" => answer(wire, "503 Service Unavailable", "Retry-After: 1\r\n", b""),
        "/204" => write!(wire, "HTTP/1.1 204 No Content\r\n\r\n"),
        "/206" => answer(wire, "206 Partial Content", "Content-Range: bytes 0-1/9\r\n", b"ab"),
        "/truncated" => write!(wire, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this"),
        "/headless" => write!(wire, "HTTP/1.1 200 OK\r\nContent-Len"),
        "/silent" => Ok(()),
        "/chunks-cut" => write!(wire, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n"),
        "/chunk-cut" => write!(wire, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nabcd"),
        "/endless" => write!(wire, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall or not all?"),
        "/gzip" => answer(wire, "200 OK", "Content-Encoding: gzip\r\n", b"\x1f\x8b"),
        "/coding" => write!(wire, "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        "/garbage" => write!(wire, "220 mail.test ESMTP\r\n\r\n"),
        "/large" => answer(wire, "200 OK", "", &[7; 1001]),
        "/large-chunks" => {
            let chunk = "x".repeat(600);
            write!(
                wire,
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n258\r\n{chunk}\r\n258\r\n{chunk}\r\n0\r\n\r\n"
            )
        }
        _ => answer(wire, "200 OK", "Content-Encoding: identity\r\nSet-Cookie: a=b\r\n", CONTENT),
    }?;
    wire.flush()
}

fn bench(server: &Server) -> (Bench, String) {
    let mut bench = Bench::new();
    let base = format!("http://files.test:{}", server.port());
    bench.allow(&format!("{base}/")).allow_http = true;
    (bench, base)
}

#[test]
fn a_file_comes_whole_with_the_token_and_nothing_else() {
    let server = Server::new(clumsy);
    let (mut bench, base) = bench(&server);
    let expected: [u8; 32] = Sha256::digest(CONTENT).into();
    for location in [
        format!("{base}/a file?v=1&sig=a%2Fb#page=2"),
        format!("HTTP://FILES.test:{}/Zahlen%20für%20Q3.pdf", server.port()),
    ] {
        let Capture::Stored { sha256, size, mismatch, .. } = bench.capture(&location) else { panic!("{location}") };
        assert_eq!((sha256, size, mismatch), (expected, CONTENT.len() as u64, false));
    }
    bench.files.host[0].token_file = None;
    assert!(matches!(bench.capture(&format!("{base}/again")), Capture::Stored { .. }));

    let requests = server.requests();
    let heads: Vec<String> = requests.iter().map(|head| head.to_ascii_lowercase()).collect();
    assert!(requests[0].starts_with("GET /a%20file?v=1&sig=a%2Fb HTTP/1.1\r\n"), "{}", requests[0]);
    assert!(requests[1].starts_with("GET /Zahlen%20f%C3%BCr%20Q3.pdf HTTP/1.1\r\n"), "{}", requests[1]);
    for head in &heads {
        assert!(head.contains(&format!("\r\nhost: files.test:{}\r\n", server.port())), "{head}");
        assert!(head.contains("\r\naccept-encoding: identity\r\n") && !head.contains("\r\ncookie"), "{head}");
    }
    assert!(requests[..2].iter().all(|head| head.contains(&format!("Bearer {TOKEN}\r\n"))), "{requests:?}");
    assert!(!heads[2].contains("authorization"), "{}", heads[2]);
}

#[test]
fn a_token_goes_to_its_own_entry_alone() {
    let (server, other) = (Server::new(clumsy), Server::new(clumsy));
    let mut bench = Bench::new();
    bench.allow(&format!("http://files.test:{}/", server.port())).allow_http = true;
    let inner = bench.allow(&format!("http://files.test:{}/open/", server.port()));
    (inner.allow_http, inner.token_file) = (true, None);
    let second = bench.allow(&format!("http://files.test:{}/", other.port()));
    (second.allow_http, second.token_file) = (true, None);
    for location in [
        format!("http://files.test:{}/x", server.port()),
        format!("http://files.test:{}/open/x", server.port()),
        format!("http://files.test:{}/x", other.port()),
    ] {
        assert!(matches!(bench.capture(&location), Capture::Stored { .. }), "{location}");
    }
    let with_token = |server: &Server| -> Vec<bool> {
        server.requests().iter().map(|head| head.to_ascii_lowercase().contains("authorization:")).collect()
    };
    assert_eq!((with_token(&server), with_token(&other)), (vec![true, false], vec![false]));
}

#[test]
fn a_matrix_uri_is_asked_of_the_media_endpoint() {
    let server = Server::new(clumsy);
    let (mut bench, base) = bench(&server);
    bench.files.media = Some(format!("{base}/_matrix/client/v1/media/download/"));
    for uri in ["mxc://matrix.org/AbC_-1", "MXC://matrix.org:8448/x", "mxc://[2001:db8::1]:80/x"] {
        assert!(matches!(bench.capture(uri), Capture::Stored { .. }), "{uri}");
    }
    let requests = server.requests();
    let lines: Vec<&str> = requests.iter().filter_map(|head| head.lines().next()).collect();
    let base = "GET /_matrix/client/v1/media/download";
    let asked = ["matrix.org/AbC_-1", "matrix.org:8448/x", "%5B2001:db8::1%5D:80/x"];
    assert_eq!(lines, asked.map(|place| format!("{base}/{place} HTTP/1.1")));
    assert!(requests.iter().all(|head| head.contains(TOKEN)));
}

#[test]
fn what_is_no_whole_file_is_told_as_such() {
    let server = Server::new(clumsy);
    let (mut bench, base) = bench(&server);
    bench.files.fetch_size_max = ByteSize::new(1000);
    let table = [
        ("/404", "it answered 404 Not Found"),
        ("/401", "it answered 401 Unauthorized"),
        ("/403", "it answered 403 Forbidden"),
        ("/500", "it answered 500 Internal Server Error"),
        ("/503", "it answered 503 Service Unavailable"),
        ("/204", "it answered 204 No Content"),
        ("/206", "it answered 206 Partial Content"),
        ("/truncated", "after 9 of 100 bytes: "),
        ("/headless", "Peer disconnected"),
        ("/silent", "Peer disconnected"),
        ("/chunks-cut", "after 4 bytes: "),
        ("/chunk-cut", "after 4 bytes: "),
        ("/endless", "it does not say how long the file is"),
        ("/gzip", "it sent the file encoded (\"gzip\")"),
        ("/coding", "transfer coding \"gzip, chunked\""),
        ("/garbage", "files.test did not give the file: "),
        ("/large", "the file of 1001 bytes is larger than files.fetch_size_max = 1KB"),
        ("/large-chunks", "the file in chunks is larger than files.fetch_size_max = 1KB"),
    ];
    let mut wrong = Vec::new();
    for (path, expected) in table {
        let reason = bench.reason(&format!("{base}{path}"));
        if !(reason.starts_with("files.test did not give the file: ") && reason.contains(expected)) {
            wrong.push(format!("{path}: {reason}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn other_bytes_than_the_event_claims_are_kept_and_flagged() {
    let server = Server::new(clumsy);
    let (bench, base) = bench(&server);
    let location = format!("{base}/x");
    let file = event::File {
        location: Some(Text::from(location.as_str())),
        sha256: Some(Text::from("00".repeat(32).leak() as &str)),
        ..event::File::default()
    };
    assert!(matches!(bench.capture_file(&file), Capture::Stored { size: 21, mismatch: true, .. }));
}

/// The server neither goes on nor closes; only Chancery can end this.
#[test]
fn a_silent_server_is_given_up() {
    let server = Server::new(|path, wire| {
        if path == "/body" {
            write!(wire, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")?;
            wire.flush()?;
        }
        wire.read_exact(&mut [0])
    });
    let (mut bench, base) = bench(&server);
    bench.files.fetch_idle_timeout = Span::from_millis(300);
    for path in ["/head", "/body"] {
        let reason = bench.reason(&format!("{base}{path}"));
        assert!(reason.ends_with("it was silent for longer than files.fetch_idle_timeout"), "{reason}");
    }
}

#[test]
fn a_server_that_trickles_is_given_up() {
    let server = Server::new(|_, wire| {
        write!(wire, "HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")?;
        loop {
            wire.write_all(b"x")?;
            wire.flush()?;
            thread::sleep(Duration::from_millis(5));
        }
    });
    let (mut bench, base) = bench(&server);
    bench.files.fetch_timeout = Span::from_secs(1);
    let reason = bench.reason(&format!("{base}/x"));
    assert!(reason.ends_with(" of 100000000 bytes: it took longer than files.fetch_timeout"), "{reason}");
}

#[test]
fn a_server_that_is_away_is_told() {
    let server = Server::new(clumsy);
    let (bench, base) = bench(&server);
    drop(server);
    // The listener goes with its thread, which takes a moment.
    let refused = (0..500).find_map(|_| match bench.capture(&format!("{base}/x")) {
        Capture::Missing { reason } if reason.contains("refused") => Some(reason),
        _ => {
            thread::sleep(Duration::from_millis(10));
            None
        }
    });
    assert!(refused.unwrap().starts_with("files.test did not give the file: Connection refused"));
}

#[test]
fn with_tls_the_server_must_prove_its_name() {
    let (server, authority) = Server::with_tls("files.test", clumsy);
    let (wrong_name, wrong_authority) = Server::with_tls("decoy.test", clumsy);
    let mut bench = Bench::new();
    let file = bench.dir.path().join("ca.pem");
    std::fs::write(&file, authority).unwrap();
    bench.allow(&format!("https://files.test:{}/", server.port())).ca_file = Some(file.clone());
    let wrong_file = bench.dir.path().join("wrong.pem");
    std::fs::write(&wrong_file, &wrong_authority).unwrap();
    bench.allow(&format!("https://files.test:{}/", wrong_name.port())).ca_file = Some(wrong_file);
    let location = format!("https://files.test:{}/x", server.port());
    assert!(matches!(bench.capture(&location), Capture::Stored { size: 21, mismatch: false, .. }));
    let reason = bench.reason(&format!("https://files.test:{}/truncated", server.port()));
    assert!(reason.contains("after 9 of 100 bytes"), "{reason}");

    let reason = bench.reason(&format!("https://files.test:{}/x", wrong_name.port()));
    assert!(reason.contains("TLS failed: ") && reason.contains("not valid for name"), "{reason}");
    // An authority of somebody else's.
    std::fs::write(&file, wrong_authority).unwrap();
    let reason = bench.reason(&location);
    assert!(reason.contains("TLS failed: invalid peer certificate"), "{reason}");
    assert_eq!((server.requests().len(), wrong_name.requests().len()), (2, 0));
}

/// Trouble of Chancery's own passes: it must not be recorded that a file is missing because of it.
#[test]
fn without_its_token_or_authority_nothing_is_asked_for_and_nothing_given_up() {
    let (server, authority) = Server::with_tls("files.test", clumsy);
    let mut bench = Bench::new();
    let location = format!("https://files.test:{}/x", server.port());
    bench.allow(&format!("https://files.test:{}/", server.port()));
    let ca = bench.dir.path().join("ca.pem");
    bench.files.host[0].ca_file = Some(ca.clone());
    std::fs::write(&ca, &authority).unwrap();
    let waits = |bench: &Bench, why: &str| {
        let file = event::File { location: Some(Text::from(location.as_str())), ..event::File::default() };
        match bench.attempt(&file) {
            Outcome::NotYet { reason, .. } if reason.contains(why) => reason,
            other => panic!("{why}: {other:?}"),
        }
    };
    let token = bench.dir.path().join("token");
    for bad in ["two words", "l\u{ed}ne", "line\nbreak"] {
        std::fs::write(&token, bad).unwrap();
        assert!(!waits(&bench, "files.host 1: the token holds characters that cannot be sent").contains(bad));
    }
    std::fs::remove_file(&token).unwrap();
    waits(&bench, "files.host 1: no token: ");
    bench.files.host[0].token_file = None;
    std::fs::write(&ca, "no certificate").unwrap();
    waits(&bench, &format!("files.host 1: {} holds no certificate that can be trusted; name one", ca.display()));
    std::fs::remove_file(&ca).unwrap();
    waits(&bench, "files.host 1: cannot read ca_file");
    assert!(server.requests().is_empty());
    std::fs::write(&ca, authority).unwrap();
    assert!(matches!(bench.capture(&location), Capture::Stored { size: 21, .. }), "once it is mended");
}

/// Which answers may be others later, and how long the host wants to be left alone.
#[test]
fn what_may_pass_is_told_from_what_will_not() {
    let statuses = [
        ("401 Unauthorized", true),
        ("403 Forbidden", true),
        ("404 Not Found", true),
        ("425 Too Early", true),
        ("429 Too Many Requests", true),
        ("500 Internal Server Error", true),
        ("502 Bad Gateway", true),
        ("503 Service Unavailable", true),
        ("504 Gateway Timeout", true),
        ("204 No Content", false),
        ("206 Partial Content", false),
        ("302 Found", false),
        ("400 Bad Request", false),
        ("410 Gone", false),
        ("414 URI Too Long", false),
        ("451 Unavailable For Legal Reasons", false),
    ];
    let server = Server::new(move |path, wire| {
        let status =
            statuses.iter().find(|(status, _)| path.ends_with(&status[..3])).map_or("200 OK", |(status, _)| status);
        answer(wire, status, "Retry-After: 120\r\n", b"no file")
    });
    let (bench, base) = bench(&server);
    for (status, passes) in statuses {
        let location = format!("{base}/{}", &status[..3]);
        let file = event::File { location: Some(Text::from(location)), ..event::File::default() };
        match bench.attempt(&file) {
            Outcome::NotYet { reason, retry_after, meanwhile: None } if passes => {
                assert!(reason.ends_with(&format!("it answered {status}")), "{reason}");
                assert_eq!(retry_after, Some(Duration::from_secs(120)));
            }
            Outcome::Settled(Capture::Missing { .. }) if !passes => {}
            other => panic!("{status}: {other:?}"),
        }
    }
    // Cut off, silent, or shorter than the event claims: more may come. Too long: it may not.
    let with = |path: &str, size: u64| {
        let location = Text::from(format!("{base}{path}"));
        bench.attempt(&event::File { location: Some(location), size: Some(size), ..event::File::default() })
    };
    assert!(matches!(with("/x", 8), Outcome::NotYet { meanwhile: Some(Capture::Stored { size: 7, .. }), .. }));
    assert!(matches!(with("/x", 6), Outcome::Settled(Capture::Stored { size: 7, mismatch: true, .. })));
}
