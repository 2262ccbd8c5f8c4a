//! Manifests: what a batch holds, in numbers and digests.

use serde::{Deserialize, Serialize};

use super::entry::{Draft, EntryKind};
use super::list::EventList;
use super::merkle::Hash;

/// A manifest that is ready to be recorded with its batch, and the event list it names.
#[derive(Debug, Clone)]
pub struct NewManifest {
    /// What it says.
    pub draft: Draft,
    /// The list.
    pub list: EventList,
}

impl NewManifest {
    /// A manifest with its list.
    ///
    /// # Errors
    /// When the manifest cannot be written as JSON, which is a defect of its type.
    pub fn new(body: &ManifestBody, list: EventList) -> serde_json::Result<Self> {
        Ok(Self { draft: Draft::new(EntryKind::Manifest, body)?, list })
    }

    /// One that says nothing, where only the place of a manifest matters.
    #[cfg(test)]
    #[allow(clippy::expect_used, reason = "only tests have it")]
    pub(crate) fn bare() -> Self {
        #[derive(Serialize)]
        struct Nothing {}
        let draft = Draft::new(EntryKind::Manifest, &Nothing {});
        Self { draft: draft.expect("an empty object is JSON"), list: EventList::empty() }
    }
}

/// What a manifest says after the members that every entry begins with. The order of the members is that of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestBody {
    /// What wrote it, with its version.
    pub software: String,
    /// The adapter's name.
    pub adapter: String,
    /// The batch's number.
    pub batch: i64,
    /// The batch whose conversations these are, for a supplement.
    pub supplement_to: Option<i64>,
    /// The interval.
    pub interval: Interval,
    /// When it was cut.
    pub cut_at: String,
    /// The arrival numbers it was cut from.
    pub range: Range,
    /// Its events.
    pub events: Events,
    /// Events by type, sorted by its name; `other` for types that Chancery does not know.
    pub types: Vec<TypeCount>,
    /// Events by source, sorted by its URI.
    pub sources: Vec<SourceCount>,
    /// What became of the events.
    pub became: BecameCounts,
    /// What was written.
    pub written: Written,
    /// Uploaded files that the events speak of.
    pub files: FileCounts,
    /// Conversations that could not be rendered; a supplement will hold them.
    pub set_aside: Vec<AsideRoom>,
    /// Every file of the batch on the share, in the order of publication.
    pub outputs: Vec<Output>,
}

/// From when to when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the words are their own explanation")]
pub struct Interval {
    pub start: String,
    pub end: String,
}

/// Arrival numbers: `after < number <= last`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "told above")]
pub struct Range {
    pub after: i64,
    pub last: i64,
}

/// The events. Unless there are none, their list lies at the place that the number of the manifest's entry gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Events {
    /// How many.
    pub count: u64,
    /// The root of the tree over them.
    #[serde(with = "hex")]
    pub root: Hash,
    /// Bytes of the list.
    pub size: u64,
    /// SHA-256 of the list.
    #[serde(with = "hex")]
    pub sha256: Hash,
}

/// Events of one type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "told above")]
pub struct TypeCount {
    pub r#type: String,
    pub events: u64,
}

/// Events of one source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceCount {
    /// Its URI.
    pub source: String,
    /// How many.
    pub events: u64,
    /// Those of them without a sequence.
    pub unnumbered: u64,
    /// The lowest sequence among the others.
    pub first_sequence: Option<u64>,
    /// The highest.
    pub last_sequence: Option<u64>,
}

/// Events by what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "told by `Became`")]
pub struct BecameCounts {
    pub written: u64,
    pub signal: u64,
    pub left_out: u64,
    pub set_aside: u64,
    pub no_room: u64,
}

/// What the outputs hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// Conversations.
    pub conversations: u64,
    /// Messages.
    pub messages: u64,
    /// Messages that the stylesheet left out and said so.
    pub left_out_by_stylesheet: u64,
    /// Messages marked late.
    pub late: u64,
    /// Characters XML forbids, shown as U+FFFD.
    pub replaced_characters: u64,
}

/// Uploaded files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the words are their own explanation")]
pub struct FileCounts {
    pub captured: u64,
    pub missing: u64,
}

/// A conversation that could not be rendered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the words are their own explanation")]
pub struct AsideRoom {
    pub room: String,
    pub reason: String,
}

/// A file on the share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Its name.
    pub name: String,
    /// `output`, `attachment` or `attachments-manifest`.
    pub kind: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of its bytes.
    #[serde(with = "hex")]
    pub sha256: Hash,
    /// Messages it holds.
    pub messages: u64,
}
