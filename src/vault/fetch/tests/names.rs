//! Names that lead where they should not, or to a different place each time.

use super::server::{Bench, Names, Server, answer};
use crate::staging::Capture;

fn bench() -> (Bench, Server, String) {
    let server = Server::new(|_, wire| answer(wire, "200 OK", "", b"bytes"));
    let mut bench = Bench::new();
    let base = format!("http://files.test:{}/", server.port());
    bench.allow(&base).allow_http = true;
    (bench, server, format!("{base}x"))
}

#[test]
fn a_name_in_a_private_network_must_be_allowed() {
    let (mut bench, server, location) = bench();
    bench.files.host[0].allow_private = false;
    for address in ["127.0.0.1", "::1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.1.1", "fd00::1"] {
        bench.names = Names::new(&[address]);
        let reason = bench.reason(&location);
        assert!(reason.contains(&format!("its name leads to {address}, a ")), "{reason}");
        assert!(reason.ends_with("allow_private = true would allow it"), "{reason}");
    }
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn some_addresses_are_never_allowed() {
    let (mut bench, server, location) = bench();
    let table = [
        ("169.254.169.254", "link-local"),
        ("0.0.0.0", "unspecified"),
        ("224.0.0.1", "multicast"),
        ("192.0.2.1", "documentation"),
        ("255.255.255.255", "reserved"),
        ("::", "unspecified"),
        ("::ffff:127.0.0.1", "IPv4-mapped"),
        ("::127.0.0.1", "IPv4-compatible"),
        ("64:ff9b::127.0.0.1", "NAT64"),
        ("2002:7f00:1::", "6to4"),
        ("fe80::1", "link-local"),
        ("ff02::1", "multicast"),
        // One bad address spoils the good ones beside it.
        ("127.0.0.1 169.254.169.254", "link-local"),
        ("::ffff:127.0.0.1 127.0.0.1", "IPv4-mapped"),
    ];
    for (addresses, kind) in table {
        bench.names = Names::new(&[addresses]);
        let reason = bench.reason(&location);
        assert!(reason.contains("its name leads to ") && reason.contains(kind), "{addresses}: {reason}");
        assert!(!reason.contains("would allow it"), "{addresses}: {reason}");
    }
    assert_eq!(server.requests().len(), 0);
}

/// The address that was judged is the one that is connected to: there is no second look-up in between that
/// could say something else.
#[test]
fn a_name_that_changes_between_lookups_gains_nothing() {
    let (mut bench, server, location) = bench();
    bench.names = Names::new(&["127.0.0.1", "169.254.169.254", "127.0.0.1"]);
    assert!(matches!(bench.capture(&location), Capture::Stored { size: 5, .. }));
    assert_eq!(bench.names.asked(), 1);
    assert!(bench.reason(&location).contains("169.254.169.254, a link-local address"));
    assert_eq!((bench.names.asked(), server.requests().len()), (2, 1));
    assert!(matches!(bench.capture(&location), Capture::Stored { size: 5, .. }));
    assert_eq!((bench.names.asked(), server.requests().len()), (3, 2));
}

/// With the machine's own resolver, for a host that is configured as an address.
#[test]
fn an_address_instead_of_a_name_is_judged_too() {
    let server = Server::new(|_, wire| answer(wire, "200 OK", "", b"bytes"));
    let mut files = crate::config::Files::default();
    let base = format!("http://127.0.0.1:{}/", server.port());
    files.host.push(crate::config::FileHost { url: Some(base.clone()), allow_http: true, ..Default::default() });
    let refused = crate::vault::fetch::Hosts::open(&files).unwrap().fetch(&format!("{base}x")).map(drop).unwrap_err();
    assert!(refused.to_string().contains("its name leads to 127.0.0.1, a loopback address"), "{refused}");
    assert_eq!(server.requests().len(), 0);
    files.host[0].allow_private = true;
    crate::vault::fetch::Hosts::open(&files).unwrap().fetch(&format!("{base}x")).unwrap();
}
