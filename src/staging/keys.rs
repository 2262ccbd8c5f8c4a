//! What staging compares by: keys that fit an index, digests, and the meaning of JSON.
//!
//! Pure functions over what sources send, shared by both stores so that they can never disagree about
//! what is the same. Nothing here is ever shown as content.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::{NewAct, NewQuarantined, Result, StagingError};
use crate::evidence::entry::ActBody;
use crate::model::Ticks;

/// The longest text, in bytes, that is its own key. PostgreSQL indexes at most about 2,700 bytes.
const KEY_BYTES_MAX: usize = 512;
/// How much of a longer text its key shows, for people.
const KEY_PREFIX_CHARS: usize = 100;
/// Stands between the prefix and the digest of a shortened key. A text that holds it is always shortened,
/// so no text equals the key of another.
const SHORTENED: char = '\u{1a}';
/// Nesting beyond which two texts are never held to mean the same.
const DEPTH_MAX: u32 = 128;

/// The key of a text: itself where a database can index it, else a prefix and its SHA-256.
pub(super) fn key(text: &str) -> Cow<'_, str> {
    if text.len() <= KEY_BYTES_MAX && !text.contains(['\0', SHORTENED]) {
        return Cow::Borrowed(text);
    }
    let prefix: String = text.chars().filter(|c| !matches!(*c, '\0' | SHORTENED)).take(KEY_PREFIX_CHARS).collect();
    Cow::Owned(format!("{prefix}{SHORTENED}{}", hex::encode(Sha256::digest(text))))
}

/// The text itself, as bytes, where its key is not the text; else nothing.
pub(super) fn whole<'a>(text: &'a str, key: &str) -> Option<&'a [u8]> {
    (text != key).then_some(text.as_bytes())
}

/// A text for people, with U+2400 for NUL, which PostgreSQL cannot hold.
pub(super) fn plain(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{2400}")) } else { Cow::Borrowed(text) }
}

/// The first half of a SHA-256: what a tombstone keeps.
pub(super) fn half(digest: &[u8; 32]) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&digest[..16]);
    half
}

/// What a tombstone knows an event's key by.
pub(super) fn id_hash(event_key: &str) -> [u8; 16] {
    half(&Sha256::digest(event_key).into())
}

/// Bytes and key of a quarantined item: the same bytes under other headers are another item.
pub(super) fn quarantine_digests(item: &NewQuarantined) -> ([u8; 32], [u8; 32]) {
    let raw: [u8; 32] = Sha256::digest(&item.raw).into();
    let mut hasher = Sha256::new_with_prefix(raw);
    hasher.update(item.headers.as_deref().unwrap_or_default());
    (raw, hasher.finalize().into())
}

/// Whether two texts are JSON and mean the same: other white space, escapes and order of members do
/// not count. Numbers are compared as written, because a long id loses digits in a float.
pub(super) fn same_meaning(one: &[u8], other: &[u8]) -> bool {
    let raw = |bytes| serde_json::from_slice::<&RawValue>(bytes);
    match (raw(one), raw(other)) {
        (Ok(one), Ok(other)) => same_value(one.get(), other.get(), 0),
        _ => false,
    }
}

fn same_value(one: &str, other: &str, depth: u32) -> bool {
    if one == other {
        return true;
    }
    let (Some(first), true) = (one.bytes().next(), depth < DEPTH_MAX) else { return false };
    if other.bytes().next() != Some(first) {
        return false;
    }
    match first {
        b'"' => matches!(
            (serde_json::from_str::<String>(one), serde_json::from_str::<String>(other)),
            (Ok(one), Ok(other)) if one == other
        ),
        b'[' => match (serde_json::from_str::<Vec<&RawValue>>(one), serde_json::from_str::<Vec<&RawValue>>(other)) {
            (Ok(one), Ok(other)) => {
                one.len() == other.len()
                    && one.iter().zip(&other).all(|(one, other)| same_value(one.get(), other.get(), depth + 1))
            }
            _ => false,
        },
        b'{' => match (serde_json::from_str::<Members<'_>>(one), serde_json::from_str::<Members<'_>>(other)) {
            (Ok(one), Ok(other)) => {
                one.0.len() == other.0.len()
                    && one
                        .0
                        .iter()
                        .zip(&other.0)
                        .all(|(one, other)| one.0 == other.0 && same_value(one.1.get(), other.1.get(), depth + 1))
            }
            _ => false,
        },
        _ => false,
    }
}

/// The members of an object by name; a member that stands twice is kept twice.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                members.sort_by(|(one, _): &(String, _), (other, _)| one.cmp(other));
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

/// A count as databases hold it; what does not fit stays at the largest.
pub(super) fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// What the log of evidence says of an act.
pub(super) fn act_body(act: &NewAct) -> ActBody {
    ActBody {
        at: act.at.iso(),
        who: act.who.clone(),
        verb: act.verb.clone(),
        subject: act.subject.clone(),
        reason: act.reason.clone(),
    }
}

/// A count out of the database.
pub(super) fn uncount(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// An instant out of the database.
pub(super) fn instant(ticks: i64) -> Result<Ticks> {
    Ticks::from_ticks(ticks).ok_or_else(|| broken(format!("{ticks} is no instant")))
}

/// A digest out of the database.
pub(super) fn digest(bytes: &[u8]) -> Result<[u8; 32]> {
    bytes.try_into().map_err(|_| broken(format!("expected a digest of 32 bytes, found {}", bytes.len())))
}

/// A number that the canonical XML writes as `@id`.
pub(super) fn small(number: i64) -> Result<i32> {
    i32::try_from(number).map_err(|_| broken(format!("{number} is beyond the numbers that ids may have")))
}

/// The database holds what it never should.
pub(super) fn broken(detail: impl Into<String>) -> StagingError {
    StagingError::Broken { detail: detail.into() }
}

/// The rows do not allow what was asked.
pub(super) fn refused(detail: impl Into<String>) -> StagingError {
    StagingError::Refused { detail: detail.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_text_unless_no_index_can_hold_it() {
        assert_eq!(key("urn:room:1"), "urn:room:1");
        let long = "ä".repeat(3000);
        assert!(key(&long).len() < KEY_BYTES_MAX);
        assert_ne!(key(&long), key(&format!("{long}x")));
        assert!(!key("a\0b").contains('\0'));
        assert_ne!(key("a\0b"), key("ab"));
        let shortened = key(&long).into_owned();
        assert_ne!(key(&shortened), shortened, "a text that looks like a key gets another key");
        assert_eq!(whole("x", &key("x")), None);
        assert_eq!(whole("a\0b", &key("a\0b")), Some(&b"a\0b"[..]));
    }

    #[test]
    fn meaning_ignores_writing_but_not_content() {
        let same = |one: &str, other: &str| same_meaning(one.as_bytes(), other.as_bytes());
        assert!(same(r#"{"a":1,"b":[true,null,"x"]}"#, "{ \"b\" : [true, null, \"\\u0078\"],\n\"a\":1}"));
        assert!(!same(r#"{"a":1}"#, r#"{"a":2}"#));
        assert!(!same(r#"{"a":1}"#, r#"{"a":1,"b":2}"#));
        assert!(!same("[1,2]", "[2,1]"));
        assert!(!same("123456789012345678901", "123456789012345678902"), "digits beyond a float count");
        assert!(!same(r#"{"a":1,"a":2}"#, r#"{"a":2}"#), "a member that stands twice counts");
        assert!(!same("no json", "no json "));
        let deep = |inner: &str| format!("{}{inner}{}", "[".repeat(200), "]".repeat(200));
        assert!(!same(&deep("1"), &deep(" 1")), "too deep to tell, so both are kept");
    }

    #[test]
    fn quarantine_tells_items_apart_by_bytes_and_headers() {
        let item = |raw: &[u8], headers: Option<&str>| {
            let raw = raw.to_vec();
            let headers = headers.map(str::to_owned);
            let (received, source, event_id) = (Ticks::MIN, None, None);
            let (origin, reason, detail) = (String::new(), String::new(), String::new());
            quarantine_digests(&NewQuarantined {
                received,
                origin,
                reason,
                detail,
                source,
                event_id,
                sequence: None,
                headers,
                raw,
            })
        };
        assert_eq!(item(b"x", None), item(b"x", None));
        assert_eq!(item(b"x", None).0, item(b"x", Some("{}")).0);
        assert_ne!(item(b"x", None).1, item(b"x", Some("{}")).1);
    }
}
