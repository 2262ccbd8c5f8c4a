//! Events on their way into staging and out of it.

use std::sync::Arc;

use super::{NewQuarantined, RoomNo, Seq};
use crate::model::{Kind, Ticks};

/// An event on its way into staging.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// Emitter.
    pub source: Arc<str>,
    /// Unique within the source.
    pub id: String,
    /// What happened.
    pub kind: Kind,
    /// The room's URI. `None` only for heartbeats, and then the event is in no conversation.
    pub room_uri: Option<String>,
    /// The sender's key, when the sender's native id is no 31-bit number and staging must number them.
    pub person_key: Option<String>,
    /// The message's native id, when it is no 31-bit number and staging must number it.
    pub message_id: Option<String>,
    /// When it happened; the receipt time where the source did not say.
    pub time: Ticks,
    /// Whether `time` is the receipt time.
    pub time_is_receipt: bool,
    /// The source's running count.
    pub sequence: Option<u64>,
    /// When intake received it.
    pub received: Ticks,
    /// Highest sequence a heartbeat reports.
    pub heartbeat_sequence: Option<u64>,
    /// The event as received: structured JSON, byte for byte (for binary mode: the envelope written
    /// around the body, byte for byte).
    pub raw: Vec<u8>,
    /// SHA-256 of `raw`.
    pub sha256: [u8; 32],
}

/// What one commit of intake keeps.
#[derive(Debug, Clone, Default)]
pub struct Arrivals {
    /// Events, in order of arrival.
    pub events: Vec<NewEvent>,
    /// What could not be understood.
    pub quarantined: Vec<NewQuarantined>,
}

/// What [`crate::staging::StageEvents::stage`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Staged {
    /// Events kept, conflicts included.
    pub kept: u64,
    /// Events that were already there.
    pub duplicates: u64,
    /// Events kept although another content has the same key.
    pub conflicts: u64,
    /// Items newly in quarantine.
    pub quarantined: u64,
}

/// An event out of staging.
#[derive(Debug, Clone)]
pub struct StagedEvent {
    /// Arrival number.
    pub seq: Seq,
    /// Emitter.
    pub source: Arc<str>,
    /// Unique within the source.
    pub id: String,
    /// What happened.
    pub kind: Kind,
    /// The room's number.
    pub room: RoomNo,
    /// The room's URI.
    pub room_uri: Arc<str>,
    /// The number staging gave the sender, where the native id is no number.
    pub person_no: Option<i32>,
    /// The number staging gave the message, where the native id is no number.
    pub message_no: Option<i32>,
    /// When it happened.
    pub time: Ticks,
    /// Whether `time` is the receipt time.
    pub time_is_receipt: bool,
    /// The source's running count.
    pub sequence: Option<u64>,
    /// When intake received it.
    pub received: Ticks,
    /// Whether another event with the same key and other content is staged too.
    pub conflict: bool,
    /// The event as received.
    pub raw: Vec<u8>,
}
