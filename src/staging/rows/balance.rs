//! What came in against what is there and what was purged.

use crate::model::Ticks;

/// The events of a source: as counted on arrival, as they lie in staging, and as counted at purge. One look at one instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceBalance {
    /// URI.
    pub source: String,
    /// Events kept since the beginning, as counted on arrival.
    pub staged: u64,
    /// Events in staging now.
    pub present: u64,
    /// Events purged since the beginning.
    pub purged: u64,
    /// Items of the source that wait in quarantine.
    pub quarantined: u64,
}

/// The events of a room: as counted on arrival, as they lie in staging, and as counted at purge. One look at one instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomBalance {
    /// URI.
    pub room: String,
    /// Events kept since the beginning, as counted on arrival.
    pub arrived: u64,
    /// Events in staging now.
    pub present: u64,
    /// Events purged since the beginning.
    pub purged: u64,
}

/// The events of a source in a room that happened in one hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomHour {
    /// The source's URI.
    pub source: String,
    /// The room's URI; `None` for events without one, and for hours so long ago that rooms are no longer told apart.
    pub room: Option<String>,
    /// The hour's beginning.
    pub hour: Ticks,
    /// Events in staging now.
    pub present: u64,
    /// Events purged.
    pub purged: u64,
}

/// What is known of an event by its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KnownEvent {
    /// It is staged.
    Staged,
    /// It was staged and is purged; its tombstone stands.
    Purged,
    /// It lies in quarantine, or was taken out of it.
    Quarantined,
}
