//! Chancery on disks that fail, fill up, or lose what was not synced.
//!
//! The binary is run as it was built, behind the fault shim. `CHANCERY_FAULT_DEPTH` (default 1) multiplies the power cuts by
//! chance; each run of a test says how many cases it tried.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    unreachable_pub,
    reason = "a failed test should panic"
)]

mod archive;
mod failing;
mod full;
mod lab;
mod order;
mod power;
mod story;
