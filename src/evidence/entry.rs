//! Entries of the log: what is recorded, as the exact bytes that are hashed, signed and chained.
//!
//! An entry is a JSON object with the same first members for every kind. What it records is written once; the bytes
//! are kept as they are and never made again from what they say.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::ROTATION_NAMESPACE;
use super::key::{PublicKey, SigningKey};
use super::merkle::{self, Hash};
use crate::model::Ticks;

/// What an entry records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// What a batch holds.
    Manifest,
    /// What was purged of a batch, when and by which rule.
    Purge,
    /// A key that signs from here on.
    Key,
    /// What a person did.
    Act,
}

impl EntryKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Manifest, Self::Purge, Self::Key, Self::Act];

    /// The word in tables and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Manifest => "manifest",
            Self::Purge => "purge",
            Self::Key => "key",
            Self::Act => "act",
        }
    }

    /// The kind of a word.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// What the entry's `format` says.
    pub fn format(self) -> &'static str {
        match self {
            Self::Manifest => "chancery-manifest-1",
            Self::Purge => "chancery-purge-1",
            Self::Key => "chancery-key-1",
            Self::Act => "chancery-act-1",
        }
    }
}

/// An entry of the log by its place and its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Its number.
    pub entry: u64,
    /// SHA-256 of its bytes.
    #[serde(with = "hex")]
    pub sha256: Hash,
}

/// What an entry will say, but for what only its place in the log decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    kind: EntryKind,
    /// A JSON object, indented.
    body: Vec<u8>,
}

impl Draft {
    /// An entry that says `body`, which must be written as a JSON object.
    ///
    /// # Errors
    /// When `body` cannot be written as JSON, which is a defect of its type.
    pub fn new(kind: EntryKind, body: &impl Serialize) -> serde_json::Result<Self> {
        Ok(Self { kind, body: serde_json::to_vec_pretty(body)? })
    }

    /// What it records.
    pub fn kind(&self) -> EntryKind {
        self.kind
    }

    /// The bytes of the entry at its place. `previous`: the manifest of the same adapter before this one.
    pub fn complete(&self, entry: u64, recorded_at: Ticks, previous: Option<Link>) -> Vec<u8> {
        let mut text = format!(
            "{{\n  \"format\": \"{}\",\n  \"entry\": {entry},\n  \"recorded_at\": \"{}\"",
            self.kind.format(),
            recorded_at.iso()
        );
        if self.kind == EntryKind::Manifest {
            text += &match previous {
                Some(Link { entry, sha256 }) => format!(
                    ",\n  \"previous\": {{\n    \"entry\": {entry},\n    \"sha256\": \"{}\"\n  }}",
                    hex::encode(sha256)
                ),
                None => ",\n  \"previous\": null".to_owned(),
            };
        }
        let mut bytes = text.into_bytes();
        match self.body.strip_prefix(b"{\n") {
            Some(members) => {
                bytes.extend_from_slice(b",\n");
                bytes.extend_from_slice(members);
            }
            None => bytes.extend_from_slice(b"\n}"),
        }
        bytes.push(b'\n');
        bytes
    }

    /// Whether an entry, by its bytes, says the same as this one does at its place.
    pub fn is_said_by(&self, bytes: &[u8]) -> bool {
        let Ok(preface) = serde_json::from_slice::<Preface>(bytes) else { return false };
        let recorded_at = Ticks::parse(&preface.recorded_at);
        recorded_at.is_ok_and(|at| self.complete(preface.entry, at, preface.previous) == bytes)
    }
}

/// The first members of every entry.
#[derive(Debug, Clone, Deserialize)]
pub struct Preface {
    /// Which kind, and which version of it.
    pub format: String,
    /// Its number in the log, from 0.
    pub entry: u64,
    /// When it was recorded, as the recording machine's clock said.
    pub recorded_at: String,
    /// Of a manifest: the one before of the same adapter.
    #[serde(default)]
    pub previous: Option<Link>,
}

impl Preface {
    /// The kind that the format names.
    pub fn kind(&self) -> Option<EntryKind> {
        EntryKind::ALL.into_iter().find(|kind| kind.format() == self.format)
    }
}

/// The SHA-256 of an entry's bytes: what `SHA256SUMS` lists.
pub fn digest(bytes: &[u8]) -> Hash {
    Sha256::digest(bytes).into()
}

/// The log's leaf of an entry, by the SHA-256 of its bytes.
pub fn log_leaf(sha256: &Hash) -> Hash {
    merkle::leaf(&[sha256])
}

/// What the entry of a person's act says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActBody {
    /// When.
    pub at: String,
    /// Who.
    pub who: String,
    /// What, e.g. `batch abandon`.
    pub verb: String,
    /// On what.
    pub subject: String,
    /// Why.
    pub reason: String,
}

/// What the entry of a key says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyBody {
    /// The public key as OpenSSH writes it, without a comment.
    pub key: String,
    /// Its fingerprint, `SHA256:…`.
    pub fingerprint: String,
    /// The fingerprint of the key that it replaces.
    pub replaces: Option<String>,
    /// The replaced key's signature on the line `key` with its line break, in the namespace `chancery-rotation`.
    pub endorsement: Option<String>,
}

impl KeyBody {
    /// The entry of a key that replaces none that could vouch for it.
    pub fn first(key: &PublicKey) -> Self {
        Self { key: key.line(), fingerprint: key.fingerprint(), replaces: None, endorsement: None }
    }

    /// The entry of a key that replaces one that is lost.
    pub fn after_lost(key: &PublicKey, lost: &str) -> Self {
        Self { replaces: Some(lost.to_owned()), ..Self::first(key) }
    }

    /// The entry of a key that replaces `old`, which vouches for it.
    pub fn endorsed(key: &PublicKey, old: &SigningKey) -> Self {
        let endorsement = old.sign(ROTATION_NAMESPACE, endorsed_bytes(&key.line()).as_bytes());
        Self { endorsement: Some(endorsement), ..Self::after_lost(key, &old.public().fingerprint()) }
    }

    /// The draft of the entry, with the fingerprint by which it is known.
    ///
    /// # Errors
    /// As [`Draft::new`].
    pub fn draft(self) -> serde_json::Result<(String, Draft)> {
        let draft = Draft::new(EntryKind::Key, &self)?;
        Ok((self.fingerprint, draft))
    }
}

/// What an old key signs of the line of a new one: what `jq -r .key` prints.
pub fn endorsed_bytes(line: &str) -> String {
    format!("{line}\n")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed test should panic")]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Nothing {}

    #[test]
    fn an_entry_begins_with_its_place_and_ends_with_a_line_break() {
        let act = ActBody {
            at: "2026-11-22T10:00:00Z".into(),
            who: "ann (uid 7)".into(),
            verb: "batch abandon".into(),
            subject: "batch 3".into(),
            reason: "\"twice\"\n".into(),
        };
        let draft = Draft::new(EntryKind::Act, &act).unwrap();
        let at = Ticks::parse("2026-11-22T10:00:01Z").unwrap();
        assert_eq!(
            String::from_utf8(draft.complete(7, at, None)).unwrap(),
            "{\n  \"format\": \"chancery-act-1\",\n  \"entry\": 7,\n  \"recorded_at\": \"2026-11-22T10:00:01Z\",\n  \
             \"at\": \"2026-11-22T10:00:00Z\",\n  \"who\": \"ann (uid 7)\",\n  \"verb\": \"batch abandon\",\n  \
             \"subject\": \"batch 3\",\n  \"reason\": \"\\\"twice\\\"\\n\"\n}\n"
        );
    }

    #[test]
    fn an_entry_says_the_same_wherever_it_stands_and_nothing_else_does() {
        let key = |fingerprint: &str| KeyBody {
            key: "k".into(),
            fingerprint: fingerprint.into(),
            replaces: None,
            endorsement: None,
        };
        let (one, other) = (key("SHA256:1").draft().unwrap().1, key("SHA256:2").draft().unwrap().1);
        let bytes = one.complete(7, Ticks::parse("2026-11-22T10:00:00.5Z").unwrap(), None);
        assert!(one.is_said_by(&bytes));
        assert!(!other.is_said_by(&bytes) && !one.is_said_by(b"{}") && !one.is_said_by(&bytes[1..]));
    }

    #[test]
    fn a_manifest_names_the_one_before() {
        let draft = Draft::new(EntryKind::Manifest, &Nothing {}).unwrap();
        for previous in [None, Some(Link { entry: 3, sha256: [0xab; 32] })] {
            let bytes = draft.complete(9, Ticks::MIN, previous);
            let read: Preface = serde_json::from_slice(&bytes).unwrap();
            assert_eq!((read.entry, read.previous, read.kind()), (9, previous, Some(EntryKind::Manifest)));
            assert!(bytes.ends_with(b"}\n"));
        }
    }
}
