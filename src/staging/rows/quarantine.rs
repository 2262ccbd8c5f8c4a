//! What could not be understood, and what became of it.

use super::Arrivals;
use crate::model::Ticks;

/// Something that is no event, on its way into quarantine.
#[derive(Debug, Clone)]
pub struct NewQuarantined {
    /// When intake received it.
    pub received: Ticks,
    /// Where it came from: `amqp:<queue>` or `spool:<file>:<line>`.
    pub origin: String,
    /// Stable reason word, e.g. `malformed-json`, `unknown-source`.
    pub reason: String,
    /// What was expected and found. Never message text.
    pub detail: String,
    /// The source, where it could be read.
    pub source: Option<String>,
    /// The event's id, where it could be read.
    pub event_id: Option<String>,
    /// Its number in the source's running count, where it could be read and the source is known: then it is not missing.
    pub sequence: Option<u64>,
    /// Content type and headers as JSON, for AMQP messages; needed to decode the bytes again.
    pub headers: Option<String>,
    /// The exact bytes.
    pub raw: Vec<u8>,
}

/// One quarantined item, without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantineRow {
    /// Number.
    pub id: i64,
    /// When it was first received.
    pub received: Ticks,
    /// Where it came from.
    pub origin: String,
    /// Reason word.
    pub reason: String,
    /// What was expected and found.
    pub detail: String,
    /// The source, where it could be read.
    pub source: Option<String>,
    /// The id, where it could be read.
    pub event_id: Option<String>,
    /// Content type and headers as JSON.
    pub headers: Option<String>,
    /// Size of the bytes.
    pub size: u64,
    /// SHA-256 of the bytes.
    pub sha256: [u8; 32],
    /// How often the same bytes came.
    pub seen: u64,
    /// `waiting`, `replayed` or `discarded`.
    pub state: QuarantineState,
}

/// Where a quarantined item stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum QuarantineState {
    /// Nobody has decided.
    Waiting,
    /// It is an event now.
    Replayed,
    /// A person decided that it is none; bytes are gone, digest and reason stay.
    Discarded,
}

/// Which quarantined items to list.
#[derive(Debug, Clone, Default)]
pub struct QuarantineFilter {
    /// Only this state.
    pub state: Option<QuarantineState>,
    /// Only this reason word.
    pub reason: Option<String>,
    /// At most so many. `None`: all.
    pub limit: Option<u32>,
}

/// What happens to a quarantined item.
#[derive(Debug, Clone)]
pub enum QuarantineResolution {
    /// It is these events after all (a batch body holds several); they are staged in the same commit.
    Replay(Arrivals),
    /// It is none; its bytes are deleted.
    Discard,
}

impl QuarantineState {
    /// The word in tables and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Replayed => "replayed",
            Self::Discarded => "discarded",
        }
    }
}
