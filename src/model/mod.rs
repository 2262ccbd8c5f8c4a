//! The pure domain: events, people, rooms, time and text. No I/O, no async, no clock.
//!
//! Everything here is a value. Parsing is the only place that validates; what has been parsed is
//! trusted by the stages that follow.

pub mod event;
pub mod kind;
mod members;
pub mod text;
pub mod time;

pub use event::{Event, Unreadable, UnreadableReason};
pub use kind::{Kind, MessageType};
pub use text::Text;
pub use time::Ticks;

#[cfg(test)]
mod tests;
