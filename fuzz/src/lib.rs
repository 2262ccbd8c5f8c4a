//! What must hold for any bytes. The fuzzers try to break it; the project's own tests replay what was worth keeping.
//!
//! Each module has one function, `check`, which panics when something does not hold.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed check panics")]
#![allow(unreachable_pub, reason = "tests include this file as a module")]

pub mod decoder;
pub mod text;
pub mod xml_writer;
