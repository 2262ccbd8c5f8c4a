//! A room's presence as bytes: what one conversation leaves for the next.
//!
//! Versioned JSON, sorted by URI, so that the same people make the same bytes. A text that is no UTF-8
//! (half a surrogate pair) is stored as its byte values rather than damaged.

use std::borrow::Borrow;
use std::fmt;

use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::Inferred;
use crate::model::Text;

const VERSION: u32 = 1;

/// Who is in a room after its last conversation. Opaque; see [`super::Fold`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Presence {
    /// Sorted by URI. Somebody whose lease ran out unreported stands here until it is reported.
    pub(super) members: Vec<Member>,
}

/// Bytes that are no presence Chancery wrote, or that a later version wrote.
#[derive(Debug, thiserror::Error)]
pub enum BadPresence {
    /// Not the expected JSON.
    #[error("presence cannot be read: {0}")]
    Malformed(#[from] serde_json::Error),
    /// Another version of the format.
    #[error("presence has version {found}, expected {VERSION}")]
    Version {
        /// The version found.
        found: u32,
    },
}

/// Exact text in WTF-8.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Exact(Vec<u8>);

/// Times and lengths in ticks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Member {
    pub(super) uri: Exact,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<Exact>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) email: Option<Exact>,
    pub(super) since: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) lease: Option<Lease>,
    /// What was inferred and not yet reported.
    #[serde(default, skip_serializing_if = "Inferred::is_nothing")]
    pub(super) inferred: Inferred,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Lease {
    pub(super) length: i64,
    pub(super) expires: i64,
}

#[derive(Serialize, Deserialize)]
struct Stored<M> {
    version: u32,
    members: M,
}

#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

impl Presence {
    /// Reads what [`Presence::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`BadPresence`] for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BadPresence> {
        let Versioned { version } = serde_json::from_slice(bytes)?;
        if version != VERSION {
            return Err(BadPresence::Version { found: version });
        }
        let mut stored: Stored<Vec<Member>> = serde_json::from_slice(bytes)?;
        stored.members.sort_by(|a, b| a.uri.cmp(&b.uri));
        stored.members.dedup_by(|a, b| a.uri == b.uri);
        Ok(Self { members: stored.members })
    }

    /// The bytes to store. The same people give the same bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Strings, numbers and sequences cannot fail to serialise into memory.
        serde_json::to_vec(&Stored { version: VERSION, members: &self.members }).unwrap_or_default()
    }
}

impl Exact {
    pub(super) fn of(text: &Text<'_>) -> Self {
        Self(text.as_bytes().to_vec())
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn text(&self) -> Text<'static> {
        Text::from_wtf8(self.0.clone())
    }
}

impl Borrow<[u8]> for Exact {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl Serialize for Exact {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(&self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => serializer.collect_seq(&self.0),
        }
    }
}

impl<'de> Deserialize<'de> for Exact {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ExactVisitor;

        impl<'de> Visitor<'de> for ExactVisitor {
            type Value = Exact;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or its byte values")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Exact, E> {
                Ok(Exact(text.as_bytes().to_vec()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut bytes: A) -> Result<Exact, A::Error> {
                let mut exact = Vec::new();
                while let Some(byte) = bytes.next_element()? {
                    exact.push(byte);
                }
                Ok(Exact(exact))
            }
        }

        deserializer.deserialize_any(ExactVisitor)
    }
}

impl Inferred {
    fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

impl Serialize for Inferred {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.words())
    }
}

impl<'de> Deserialize<'de> for Inferred {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let words = String::deserialize(deserializer)?;
        let mut inferred = Self::default();
        for word in words.split_ascii_whitespace() {
            match word {
                "author" => inferred.author = true,
                "lease" => inferred.lease = true,
                _ => return Err(de::Error::custom("expected the words author and lease")),
            }
        }
        Ok(inferred)
    }
}
