//! Just enough of a URL to check a broker's or a database's address without showing its password.

/// `scheme://user:password@host:port/path?query`
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Address<'a> {
    pub scheme: &'a str,
    pub user: Option<&'a str>,
    pub password: Option<&'a str>,
    pub host: &'a str,
    /// `Ok(None)`: not given; `Err`: given, but no port.
    pub port: Result<Option<u16>, ()>,
    /// Without the slash before it; `None` where even the slash is missing.
    pub path: Option<&'a str>,
    pub query: &'a str,
}

impl<'a> Address<'a> {
    /// `None` when there is no `://`.
    pub(super) fn parse(url: &'a str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = match rest.rfind('@') {
            // A password may hold a slash that nobody encoded.
            Some(at) => match rest[at..].find('/') {
                Some(slash) => (&rest[..at + slash], Some(&rest[at + slash + 1..])),
                None => (rest, None),
            },
            None => rest.split_once('/').map_or((rest, None), |(authority, path)| (authority, Some(path))),
        };
        let (login, location) = authority.rsplit_once('@').map_or((None, authority), |(l, h)| (Some(l), h));
        let (user, password) = match login {
            Some(login) => login.split_once(':').map_or((Some(login), None), |(u, p)| (Some(u), Some(p))),
            None => (None, None),
        };
        let (host, port) = match location.rfind(':').filter(|&at| !location[at..].contains(']')) {
            Some(at) => (&location[..at], number(&location[at + 1..])),
            None => (location, Ok(None)),
        };
        Some(Self { scheme, user, password, host, port, path, query })
    }

    /// Whether the query has this parameter.
    pub(super) fn has_parameter(&self, name: &str) -> bool {
        self.query.split('&').any(|pair| pair.split('=').next().is_some_and(|found| found.eq_ignore_ascii_case(name)))
    }
}

fn number(text: &str) -> Result<Option<u16>, ()> {
    text.parse().map_err(|_| ()).and_then(|port| if port == 0 { Err(()) } else { Ok(Some(port)) })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test should panic")]
    use super::*;

    #[test]
    fn every_part_is_found() {
        let address = Address::parse("postgres://u:p@h:5432/db?sslmode=disable&Password=x").unwrap();
        let expected = Address {
            scheme: "postgres",
            user: Some("u"),
            password: Some("p"),
            host: "h",
            port: Ok(Some(5432)),
            path: Some("db"),
            query: "sslmode=disable&Password=x",
        };
        assert_eq!(address, expected);
        assert!(address.has_parameter("password"));
        assert!(!address.has_parameter("ssl"));
    }

    #[test]
    fn odd_addresses_are_read_too() {
        let read = |url| Address::parse(url).unwrap();
        assert_eq!((read("amqp://[::1]:1/").host, read("amqp://[::1]:1/").port), ("[::1]", Ok(Some(1))));
        assert_eq!((read("amqp://[::1]").host, read("amqp://[::1]").port), ("[::1]", Ok(None)));
        assert_eq!(
            (read("amqp://h").path, read("amqp://h/").path, read("amqp://h/a/b").path),
            (None, Some(""), Some("a/b"))
        );
        assert_eq!(read("amqp://u:a/b@h/v").password, Some("a/b"));
        assert_eq!((read("amqp://u@h").user, read("amqp://u@h").password), (Some("u"), None));
        for port in ["amqp://h:", "amqp://h:0", "amqp://h:70000", "amqp://h:x"] {
            assert_eq!(read(port).port, Err(()), "{port}");
        }
        assert_eq!(Address::parse("localhost:5672"), None);
    }
}
