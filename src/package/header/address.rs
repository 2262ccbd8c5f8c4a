//! Addresses of people, some of whom have none: each gets one that is stable and can be told from real ones.

use sha2::{Digest as _, Sha256};

use super::super::PackageError;
use super::super::cursor::Element;
use super::text::one_line;

/// Most characters of a key that a made address shows.
const SHOWN_MAX: usize = 32;

/// Reads an `address` element: the name, and an address that every mail system can read.
///
/// # Errors
/// When it has neither a mail address nor a key to make one of.
pub(in crate::package) fn read(element: &Element, domain: &str) -> Result<(Option<String>, String), PackageError> {
    element.only(&["name", "mail", "key"])?;
    let name = one_line(element.optional("name").unwrap_or_default()).into_owned();
    let mail = element.optional("mail").unwrap_or_default();
    let address = if is_plain(mail) {
        mail.to_owned()
    } else {
        let key = element.optional("key").filter(|key| !key.is_empty()).unwrap_or(mail);
        if key.is_empty() {
            return Err(element.lacks("a mail or a key that is not empty"));
        }
        made(key, domain)
    };
    Ok(((!name.is_empty()).then_some(name), address))
}

/// An address for somebody without one: what can be shown of the key, and the start of its digest.
fn made(key: &str, domain: &str) -> String {
    let is_scheme = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let shown = key.split_once(':').map_or(key, |(scheme, rest)| if is_scheme(scheme) { rest } else { key });
    let mut local = String::new();
    for c in shown.chars() {
        if local.len() >= SHOWN_MAX {
            break;
        }
        let c = if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
        if c != '-' || !local.is_empty() && !local.ends_with('-') {
            local.push(c);
        }
    }
    let digest = hex::encode(&Sha256::digest(key.as_bytes())[..8]);
    let gap = if local.is_empty() || local.ends_with('-') { "" } else { "-" };
    format!("{local}{gap}{digest}@{domain}")
}

/// Whether a text is an address in its plain form (`dot-atom@domain`, ASCII).
fn is_plain(mail: &str) -> bool {
    let Some((local, domain)) = mail.rsplit_once('@') else { return false };
    let atom = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b))
    };
    local.len() <= 64 && local.split('.').all(atom) && is_domain(domain)
}

/// Whether a text is a domain of letters, digits and hyphens.
pub(super) fn is_domain(domain: &str) -> bool {
    let label = |part: &str| {
        (1..=63).contains(&part.len())
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    domain.len() <= 253 && domain.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_addresses_are_taken_as_they_are() {
        for plain in ["a@example.com", "first.last+tag@sub.example.co", "o'neil@example.com", "x@localhost"] {
            assert!(is_plain(plain), "{plain}");
        }
        for other in [
            "",
            "a",
            "@",
            "a@",
            "@b",
            "a b@example.com",
            "a@b@c d",
            "a..b@example.com",
            ".a@example.com",
            "a@exam_ple.com",
            "a@-x.com",
            "ü@example.com",
            "a@exämple.com",
            "a@example.com\r\nBcc: b@example.com",
            "<a@example.com>",
            "a@example.com, b@example.com",
        ] {
            assert!(!is_plain(other), "{other}");
        }
    }

    #[test]
    fn made_addresses_are_plain_stable_and_different() {
        let keys = [
            "sip:ann@firm.example",
            "sip:Ann@firm.example",
            "@bob:partner.example",
            "נועה",
            "a b",
            "a:b",
            "::",
            &"x".repeat(300),
        ];
        let made: Vec<String> = keys.iter().map(|key| made(key, "chat.invalid")).collect();
        assert_eq!(made[0], "ann-firm-example-1a50b9ad522505de@chat.invalid");
        for (at, address) in made.iter().enumerate() {
            assert!(is_plain(address), "{address}");
            assert!(!made[..at].contains(address), "{address}");
        }
    }
}
