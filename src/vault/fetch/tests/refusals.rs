//! Attempts to get at what nobody allowed, each refused with its reason and without anything being asked.

use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use proptest::prelude::*;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use url::Url;

use super::server::{Bench, Server, answer};
use crate::staging::Capture;
use crate::vault::fetch::location;

/// A server that answers everything; whoever reaches it has got through.
fn open_server() -> Server {
    Server::new(|_, wire| answer(wire, "200 OK", "", b"secret"))
}

fn assert_reasons(bench: &Bench, attempts: &[(String, &str)]) {
    let mut wrong = Vec::new();
    for (location, expected) in attempts {
        let reason = bench.reason(location);
        if !reason.contains(expected) {
            wrong.push(format!("{location:?}: {reason}\n  expected: {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn urls_to_anything_but_the_configured_place_are_refused() {
    let (server, decoy) = (open_server(), open_server());
    let (port, other) = (server.port(), decoy.port());
    let mut bench = Bench::new();
    bench.allow(&format!("http://files.test:{port}/pub/")).allow_http = true;
    let stored = bench.capture(&format!("http://files.test:{port}/pub/x"));
    assert!(matches!(stored, Capture::Stored { size: 6, .. }), "the rest of this test shows nothing: {stored:?}");

    const NO_HOST: &str = "no [[files.host]] allows the host";
    const LOGIN: &str = "holds a user name or a password";
    const SPELLS: &str = "spells the host \"files.test\" in another way";
    const ASKS: &str = "but [[files.host]] allows http://files.test:";
    const CLIMBS: &str = "climbs with `..`";
    const OUTSIDE: &str = "does not lie below";
    const CONTROL: &str = "a backslash or a control character";
    const NOWHERE: &str = "is no host and port";
    let at = |authority: &str| format!("http://{authority}/pub/x");
    let below = |path: &str| format!("http://files.test:{port}{path}");
    let attempts = [
        // Other hosts.
        (at(&format!("decoy.test:{other}")), "no [[files.host]] allows the host \"decoy.test\""),
        (at(&format!("files.test.decoy.test:{port}")), NO_HOST),
        (at(&format!("xfiles.test:{port}")), NO_HOST),
        (at(&format!("test:{port}")), NO_HOST),
        (at(&format!("files.test.:{port}")), NO_HOST),
        (format!("http://decoy.test:{other}/http://files.test:{port}/pub/x"), NO_HOST),
        (at(&format!("localhost:{port}")), NO_HOST),
        (at(&format!("127.0.0.1:{port}")), "allows the host \"127.0.0.1\""),
        (at(&format!("2130706433:{port}")), "allows the host \"127.0.0.1\""),
        (at(&format!("0x7f.1:{port}")), "allows the host \"127.0.0.1\""),
        (at(&format!("0177.0.0.1:{port}")), "allows the host \"127.0.0.1\""),
        (at(&format!("127.1:{port}")), "allows the host \"127.0.0.1\""),
        (at(&format!("%31%32%37.0.0.1:{port}")), "allows the host \"127.0.0.1\""),
        (at(&format!("[::1]:{port}")), NO_HOST),
        (at(&format!("[::ffff:127.0.0.1]:{port}")), NO_HOST),
        (at(&format!("[::ffff:7f00:1]:{port}")), NO_HOST),
        // User names and passwords.
        (at(&format!("files.test:{port}@decoy.test:{other}")), LOGIN),
        (at(&format!("user:hush-3f9a@files.test:{port}")), LOGIN),
        (at(&format!("@files.test:{port}")), LOGIN),
        (at(&format!("decoy.test%40files.test:{port}")), NOWHERE),
        // Ports and schemes.
        (at(&format!("files.test:{other}")), ASKS),
        (at("files.test"), "it asks for http://files.test, but"),
        (at("files.test:"), ASKS),
        (at("files.test:x"), NOWHERE),
        (at(&format!("files.test:0{port}")), SPELLS),
        (format!("https://files.test:{port}/pub/x"), ASKS),
        // Other spellings of the same host.
        (at(&format!("files%2etest:{port}")), SPELLS),
        (at(&format!("\u{ff46}iles.test:{port}")), SPELLS),
        (at(&format!("files\u{3002}test:{port}")), SPELLS),
        (at(&format!("fi\u{ad}les.test:{port}")), SPELLS),
        // No host at all.
        ("http://".to_owned(), NOWHERE),
        ("http:///pub/x".to_owned(), NOWHERE),
        (format!("http:////files.test:{port}/pub/x"), NOWHERE),
        (at("[::1"), NOWHERE),
        // What parsers disagree about.
        (format!("http://files.test:{port}\\@decoy.test:{other}/pub/x"), CONTROL),
        (format!("http:\\\\decoy.test:{other}/pub/x").replace("http:\\\\", "http://\\"), CONTROL),
        (at(&format!("files.test\t:{port}")), CONTROL),
        (below("/pub/x HTTP/1.1\r\nHost: decoy.test\r\n\r\n"), CONTROL),
        (below("/pub/x\0"), CONTROL),
        (format!("http://decoy.test:{other}#@files.test:{port}/pub/x"), NO_HOST),
        (format!("http://decoy.test:{other}?@files.test:{port}/pub/x"), NO_HOST),
        // Paths.
        (below(""), OUTSIDE),
        (below("?/pub/x"), OUTSIDE),
        (below("/private/x"), OUTSIDE),
        (below("/public/x"), OUTSIDE),
        (below("//pub/x"), OUTSIDE),
        (below("/PUB/x"), OUTSIDE),
        (below("/pub/../private/x"), CLIMBS),
        (below("/pub/%2e%2E/private/x"), CLIMBS),
        (below("/pub/.%2e/private/x"), CLIMBS),
        (below("/pub/..%2fprivate/x"), CLIMBS),
        (below("/pub/..%5cprivate/x"), CLIMBS),
        (below("/pub/%252e%252e%252fprivate/x"), CLIMBS),
        (below("/pub/%25252525252525252525252e"), CLIMBS),
        // Matrix, without a media endpoint.
        ("mxc://matrix.test/abc".to_owned(), "files.media is not configured"),
    ];
    assert_reasons(&bench, &attempts);
    assert_eq!(server.requests().len(), 1, "the allowed host was asked");
    assert_eq!(decoy.requests().len(), 0, "another host was asked");
    assert_eq!(bench.names.asked(), 1, "a name was looked up");
}

#[test]
fn matrix_uris_that_are_none_are_refused() {
    let server = open_server();
    let port = server.port();
    let mut bench = Bench::new();
    bench.allow(&format!("http://bridge.test:{port}/")).allow_http = true;
    bench.files.media = Some(format!("http://bridge.test:{port}/media/"));
    let attempts = [
        "mxc://",
        "mxc://matrix.test",
        "mxc://matrix.test/",
        "mxc:///abc",
        "mxc://../abc",
        "mxc://./abc",
        "mxc://matrix.test/..",
        "mxc://matrix.test/../abc",
        "mxc://matrix.test/a/b",
        "mxc://matrix.test/a%2fb",
        "mxc://matrix.test%2f../abc",
        "mxc://matrix.test/abc?allow_remote=true",
        "mxc://matrix.test/abc#x",
        "mxc://u@matrix.test/abc",
        "mxc://matrix.test/abc\r\nx",
    ];
    assert_reasons(&bench, &attempts.map(|uri| (uri.to_owned(), "no Matrix media URI: expected mxc://SERVER/ID")));
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn paths_that_lead_out_of_the_repository_or_to_no_file_are_refused() {
    let mut bench = Bench::new();
    let root = bench.dir.path().join("root");
    let outside = bench.dir.path().join("out.txt");
    std::fs::create_dir_all(root.join("sub")).unwrap();
    std::fs::write(&outside, "outside").unwrap();
    symlink(&outside, root.join("link")).unwrap();
    symlink(bench.dir.path(), root.join("linkdir")).unwrap();
    symlink("/dev/zero", root.join("zero")).unwrap();
    symlink("link", root.join("chain")).unwrap();
    mknodat(CWD, root.join("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    let _socket = UnixListener::bind(root.join("socket")).unwrap();
    assert!(bench.reason("sub").contains("files.root is not configured"));
    bench.files.root = Some(root);

    const OUT: &str = "the path leads out of the file repository";
    const LINK: &str = "the path goes over a link";
    const IRREGULAR: &str = "it is not a regular file";
    const NONE: &str = "there is no such file";
    let attempts = [
        ("..", OUT),
        ("../out.txt", OUT),
        ("sub/../../out.txt", OUT),
        ("sub/../../../../../../../etc/passwd", OUT),
        (outside.to_str().unwrap(), OUT),
        ("/", OUT),
        ("//etc/passwd", OUT),
        ("/dev/zero", OUT),
        ("/proc/self/environ", OUT),
        ("link", LINK),
        ("chain", LINK),
        ("linkdir/out.txt", LINK),
        ("zero", LINK),
        ("pipe", IRREGULAR),
        ("socket", "did not give the file"),
        ("sub", IRREGULAR),
        (".", IRREGULAR),
        ("", "the path is empty"),
        ("no\0name", "the path holds a NUL"),
        ("none", NONE),
        ("%2e%2e/out.txt", NONE),
        ("..\\out.txt", NONE),
        ("file:///etc/passwd", NONE),
        ("ftp://files.test/x", NONE),
        ("http:/files.test/x", NONE),
    ];
    assert_reasons(&bench, &attempts.map(|(path, reason)| (path.to_owned(), reason)));
}

#[test]
fn redirects_are_refused_wherever_they_lead() {
    let decoy = open_server();
    let other = decoy.port();
    let server = Server::new(move |path, wire| {
        let (status, target) = match path {
            "/host" => ("302 Found", format!("http://decoy.test:{other}/x?token=hush-3f9a")),
            "/scheme-relative" => ("303 See Other", format!("//decoy.test:{other}/x")),
            "/metadata" => ("307 Temporary Redirect", "http://169.254.169.254/latest/meta-data".to_owned()),
            "/port" => ("301 Moved Permanently", format!("http://files.test:{other}/x")),
            "/path" => ("308 Permanent Redirect", "/elsewhere".to_owned()),
            "/file" => ("302 Found", "file:///etc/passwd".to_owned()),
            "/nowhere" => return answer(wire, "302 Found", "", b""),
            _ => return answer(wire, "200 OK", "", b"secret"),
        };
        answer(wire, status, &format!("Location: {target}\r\n"), b"")
    });
    let port = server.port();
    let mut bench = Bench::new();
    bench.allow(&format!("http://files.test:{port}/")).allow_http = true;
    let attempts = [
        ("/host", format!("302 Found and redirects to http://decoy.test:{other}; redirects are not followed")),
        ("/scheme-relative", format!("redirects to http://decoy.test:{other};")),
        ("/metadata", "redirects to http://169.254.169.254;".to_owned()),
        ("/port", format!("redirects to http://files.test:{other};")),
        ("/path", "redirects to another path of the same host;".to_owned()),
        ("/file", "redirects to a \"file\" address;".to_owned()),
        ("/nowhere", "redirects to no address that can be read;".to_owned()),
    ];
    for (path, expected) in &attempts {
        let reason = bench.reason(&format!("http://files.test:{port}{path}"));
        assert!(
            reason.starts_with("files.test did not give the file: ") && reason.contains(expected),
            "{path}: {reason}"
        );
    }
    assert_eq!(server.requests().len(), attempts.len(), "one request each");
    assert_eq!(decoy.requests().len(), 0, "a redirect was followed");
}

/// What URLs of good and of bad will are made of.
const PIECES: [&str; 26] = [
    "http://",
    "HTTPS://",
    "mxc://",
    "files.test",
    "FILES.test",
    "decoy.test",
    ":8080",
    ":80",
    ":",
    "@",
    "/",
    "//",
    "\\",
    "pub/",
    "..",
    "%2e",
    "%2f",
    "%25",
    "?",
    "#",
    "[::1]",
    "127.1",
    "\u{3002}",
    "\t",
    " ",
    "x",
];

proptest! {
    /// However a location is put together: no panic, and nothing is asked for but what lies below the entry that allows it.
    #[test]
    fn whatever_is_found_lies_below_its_entry(
        pieces in prop::collection::vec(prop::sample::select(PIECES.to_vec()), 0..9),
        begin in prop::sample::select(vec!["", "http://files.test:8080/pub/", "https://files.test/", "mxc://m.test/"]),
        noise in "\\PC{0,3}",
    ) {
        let text = format!("{begin}{}{noise}", pieces.concat());
        let bases = ["http://files.test:8080/pub/", "https://files.test/", "https://files.test/media/"].map(|url| Url::parse(url).unwrap());
        let bases: Vec<&Url> = bases.iter().collect();
        if location::is_url(&text)
            && let Ok((index, url)) = location::find(&text, &bases, Some(bases[2]))
        {
            prop_assert!(url.as_str().starts_with(bases[index].as_str()), "{text:?} became {url}");
            prop_assert_eq!(url.origin(), bases[index].origin());
            prop_assert!(url.username().is_empty() && url.password().is_none() && url.fragment().is_none());
            let steps = url.path().to_ascii_lowercase().replace("%2e", ".").replace("%2f", "/").replace("%5c", "/");
            prop_assert!(steps.split('/').all(|step| step != ".."), "{text:?} became {url}");
        }
    }
}
