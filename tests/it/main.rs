//! The product from outside: publish to the queue or drop a spool file, read the pickup directory.
//!
//! Every test has a home directory, an exchange, a queue and a schema of its own, and removes them.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed test should panic")]
#![allow(unreachable_pub, reason = "nothing outside this test sees its support module")]

mod access;
mod adapters;
mod bridge;
mod bridge_live;
mod completeness;
mod crash;
mod crash_points;
mod end_to_end;
mod evidence;
mod fencing;
mod files;
mod holds;
mod operations;
mod poison;
mod pressure;
mod reconcile;
mod same_result;
mod shares;
mod support;
mod text;
