//! Refusals, and answers of real servers on loopback.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed test should panic")]

mod answers;
mod names;
mod refusals;
mod server;
