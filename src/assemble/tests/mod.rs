//! Tests of the whole pass from staged events to canonical bytes.

#![allow(clippy::unwrap_used, reason = "a failed test should panic")]

mod golden;
mod order;
mod round_trip;
mod sample;
mod tree;
