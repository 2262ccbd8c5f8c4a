//! Chancery: every event of a chat server reaches the firm's archive exactly once, in the archive's
//! own format.
//!
//! The modules follow the way of an event: [`intake`] → [`staging`] → [`assemble`] → [`transform`] →
//! [`pickup`]. Stages never import each other; [`engine`] ties them together. `docs/architecture.md`
//! holds the rules, and `tests/architecture.rs` enforces them.

pub mod assemble;
pub mod bridge;
pub mod cli;
pub mod config;
pub mod engine;
pub mod errors;
pub mod evidence;
pub mod intake;
pub mod model;
pub mod package;
pub mod pickup;
pub mod simulate;
pub mod staging;
pub mod support;
pub mod telemetry;
pub mod transform;
pub mod vault;
