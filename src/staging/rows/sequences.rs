//! Sequences: where a source's running count stands, and what was found in it.

use crate::model::Ticks;

/// Where a source's running count stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SequenceRow {
    /// URI.
    pub source: String,
    /// How often the count has begun, as far as was noticed; 1 at first.
    pub epoch: u64,
    /// The first number expected in this epoch. Nothing before it is missed.
    pub first: u64,
    /// The highest number known to be counted in this epoch; `None` while there is none.
    pub highest: Option<u64>,
    /// Numbers between the two that are not there, also those not reported yet.
    pub missing: u64,
}

/// What can be found in a running count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FindingKind {
    /// Numbers are missing.
    Gap,
    /// A number came under a second id.
    Repeat,
    /// The count began again.
    Reset,
}

/// Something found in a running count, and reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Number.
    pub id: i64,
    /// What it is.
    pub kind: FindingKind,
    /// The source's URI.
    pub source: String,
    /// The epoch of the numbers.
    pub epoch: u64,
    /// Of a gap, the first missing number; of a repeat, the number; of a reset, where the new epoch begins.
    pub first: u64,
    /// Of a gap, the last missing number; of a repeat, the number; of a reset, the highest number of the epoch before.
    pub last: u64,
    /// When it was noticed: for a gap, when something later was there.
    pub found: Ticks,
    /// When it was reported, because it still stood.
    pub reported: Ticks,
    /// When the missing numbers arrived after all.
    pub closed: Option<Ticks>,
    /// When a person settled it.
    pub settled: Option<Ticks>,
}

/// The open findings of one kind of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FindingTotals {
    /// The source's URI.
    pub source: String,
    /// The kind.
    pub kind: FindingKind,
    /// How many there are.
    pub findings: u64,
    /// How many numbers they are about; for gaps, how many are missing.
    pub numbers: u64,
}

impl FindingKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Gap, Self::Repeat, Self::Reset];

    /// The word in tables and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gap => "gap",
            Self::Repeat => "repeat",
            Self::Reset => "reset",
        }
    }
}
