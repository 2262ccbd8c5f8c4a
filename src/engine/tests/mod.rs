//! Parts of the engine at work with each other, in one process and on both stores.
#![allow(clippy::unwrap_used, reason = "a failed test should panic")]

mod holds;
