//! Everything from the wire to a commit of staging: AMQP sessions, the spool directory, one decoder for both.
//!
//! Intake acknowledges only what staging has committed, quarantines what it cannot understand, and drops
//! nothing. It knows no store and no adapter: it hands a [`crate::staging::Arrivals`] to
//! [`crate::staging::StageEvents`] and is done.

pub mod amqp;
mod commit;
pub mod decode;
mod error;
mod known;
pub mod spool;
mod stats;
#[cfg(test)]
mod testing;

pub use decode::Decoder;
pub use error::{IntakeError, Result};
pub use known::KnownSources;
pub use stats::{Counts, IntakeStats};
