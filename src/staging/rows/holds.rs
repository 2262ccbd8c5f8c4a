//! Holds, and purges under way.

use std::fmt;

use crate::model::Ticks;

/// What a hold covers. All that is set must fit; what is not set limits nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HoldScope {
    /// Events in this room, by URI.
    pub room: Option<String>,
    /// Events by or about this person: the address, or the native id.
    pub person: Option<String>,
    /// Events of this source.
    pub source: Option<String>,
    /// Events that happened then or later.
    pub from: Option<Ticks>,
    /// Events that happened before.
    pub to: Option<Ticks>,
}

/// A hold to be placed. Who places it and why is told by the act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewHold {
    /// What it covers.
    pub scope: HoldScope,
}

/// A hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Number.
    pub id: i64,
    /// What it covers.
    pub scope: HoldScope,
    /// When it was placed.
    pub placed_at: Ticks,
    /// By whom.
    pub placed_by: String,
    /// Why.
    pub reason: String,
    /// When it was released, if it was.
    pub released_at: Option<Ticks>,
}

/// A purge of files that is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PurgeRow {
    /// Number.
    pub id: i64,
    /// What is purged, for people.
    pub what: String,
    /// When it began.
    pub began: Ticks,
    /// Whether its time has not run out, by the database's clock.
    pub live: bool,
}

/// The right to delete files, until it is given back or its time has run out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PurgePermit {
    /// Its number.
    pub id: i64,
    /// The holds that stand. Any that is placed later waits for this purge.
    pub holds: Vec<Hold>,
}

impl fmt::Display for HoldScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = [("room", &self.room), ("person", &self.person), ("source", &self.source)];
        let mut parts: Vec<String> =
            named.iter().filter_map(|(name, value)| Some(format!("{name} {}", value.as_ref()?))).collect();
        parts.extend(self.from.map(|from| format!("from {from}")));
        parts.extend(self.to.map(|to| format!("before {to}")));
        if parts.is_empty() { f.write_str("everything") } else { f.write_str(&parts.join(", ")) }
    }
}
