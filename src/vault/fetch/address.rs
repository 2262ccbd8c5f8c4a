//! Which network addresses a file host may have.
//!
//! A name is looked up once for each connection; all addresses that come back are judged, and one of those
//! very addresses is connected to. So a name that leads somewhere else a moment later gains nothing.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// A host's name leads where nothing may be fetched from.
#[derive(Debug, thiserror::Error)]
#[error("its name leads to {address}, {kind}{}", if *.curable { "; allow_private = true would allow it" } else { "" })]
pub(super) struct Forbidden {
    address: IpAddr,
    kind: &'static str,
    curable: bool,
}

/// What an address is, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Public,
    /// Allowed where the configuration says so.
    Private(&'static str),
    Never(&'static str),
}

/// Looks names up and lets nothing pass but allowed addresses.
pub(super) struct Guard {
    names: Arc<dyn Resolver>,
    allow_private: bool,
}

impl Guard {
    pub(super) fn new(names: Arc<dyn Resolver>, allow_private: bool) -> Self {
        Self { names, allow_private }
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("allow_private", &self.allow_private).finish_non_exhaustive()
    }
}

impl Resolver for Guard {
    /// One forbidden address spoils the name: whoever could slip one in may be the one who answers at the others.
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = self.names.resolve(uri, config, timeout)?;
        match found.iter().find_map(|address| judge(address.ip(), self.allow_private)) {
            Some(forbidden) => Err(ureq::Error::Other(forbidden.into())),
            None => Ok(found),
        }
    }
}

fn judge(address: IpAddr, allow_private: bool) -> Option<Forbidden> {
    let kind = match address {
        IpAddr::V4(address) => kind_v4(address),
        IpAddr::V6(address) => kind_v6(address),
    };
    match kind {
        Kind::Public => None,
        Kind::Private(_) if allow_private => None,
        Kind::Private(kind) => Some(Forbidden { address, kind, curable: true }),
        Kind::Never(kind) => Some(Forbidden { address, kind, curable: false }),
    }
}

/// By the registry of special-purpose IPv4 addresses (RFC 6890 and what has joined it since).
fn kind_v4(address: Ipv4Addr) -> Kind {
    match address.octets() {
        [0, ..] => Kind::Never("an unspecified address"),
        [127, ..] => Kind::Private("a loopback address"),
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Kind::Private("a private address"),
        [100, 64..=127, ..] => Kind::Private("a shared address (carrier-grade NAT)"),
        [169, 254, ..] => Kind::Never("a link-local address"),
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Kind::Never("a documentation address"),
        [198, 18..=19, ..] => Kind::Never("a benchmarking address"),
        [192, 0, 0, _] | [192, 88, 99, _] | [240..=255, ..] => Kind::Never("a reserved address"),
        [224..=239, ..] => Kind::Never("a multicast address"),
        _ => Kind::Public,
    }
}

/// By the registry of special-purpose IPv6 addresses; what lies outside of global unicast is never public.
fn kind_v6(address: Ipv6Addr) -> Kind {
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => Kind::Private("a loopback address"),
        [0, 0, 0, 0, 0, 0, 0, 0] => Kind::Never("an unspecified address"),
        [0, 0, 0, 0, 0, 0xffff, ..] => Kind::Never("an IPv4-mapped address"),
        [0, 0, 0, 0, 0, 0, ..] => Kind::Never("an IPv4-compatible address"),
        [0x64, 0xff9b, ..] => Kind::Never("a translated address (NAT64)"),
        [0x2002, ..] => Kind::Never("a translated address (6to4)"),
        [0x2001, 0, ..] => Kind::Never("a translated address (Teredo)"),
        [0x2001, 0x1..=0x1ff, ..] => Kind::Never("a reserved address"),
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Kind::Never("a documentation address"),
        [0xfc00..=0xfdff, ..] => Kind::Private("a unique local address"),
        [0xfe80..=0xfebf, ..] => Kind::Never("a link-local address"),
        [0xff00..=0xffff, ..] => Kind::Never("a multicast address"),
        [0x2000..=0x3fff, ..] => Kind::Public,
        _ => Kind::Never("a reserved address"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed test should panic")]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_what_the_registries_say() {
        let table = [
            (
                "public",
                "1.1.1.1 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 172.15.0.1 172.32.0.1 192.167.1.1 223.255.255.255",
            ),
            ("public", "2606:4700::1111 2001:200:: 2a00:: 3ffe::1 2001:db7::1"),
            (
                "private",
                "127.0.0.1 127.255.255.254 10.0.0.1 172.16.0.1 172.31.255.255 192.168.0.1 100.64.0.1 100.127.255.255",
            ),
            ("private", "::1 fc00::1 fdff:ffff::1"),
            (
                "never",
                "0.0.0.0 0.1.2.3 169.254.169.254 192.0.0.8 192.0.2.1 198.51.100.7 203.0.113.9 198.18.0.1 198.19.255.255",
            ),
            ("never", "192.88.99.1 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255"),
            (
                "never",
                ":: ::ffff:127.0.0.1 ::ffff:1.1.1.1 ::127.0.0.1 64:ff9b::7f00:1 64:ff9b:1::1 2002:7f00:1:: 2001::1",
            ),
            (
                "never",
                "2001:2::1 2001:20::1 2001:db8::1 3fff::1 fe80::1 febf::1 fec0::1 ff02::1 100::1 4000::1 5f00::1",
            ),
        ];
        for (expected, addresses) in table {
            for text in addresses.split(' ') {
                let address = text.parse().unwrap();
                let found = match (judge(address, false), judge(address, true)) {
                    (None, None) => "public",
                    (Some(_), None) => "private",
                    (Some(_), Some(_)) => "never",
                    (None, Some(_)) => "allowed only where less is",
                };
                assert_eq!(found, expected, "{text}");
            }
        }
    }
}
