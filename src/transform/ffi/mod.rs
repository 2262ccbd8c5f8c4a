//! The fence around libxml2 and libxslt: a C shim, its declarations, and the safe owners over them.
//!
//! This folder is the only place with `unsafe`. Everything beyond it sees [`Sheet`], [`Schema`] and
//! plain values.
#![allow(unsafe_code, reason = "the one place where C is called")]

mod raw;
mod safe;
#[cfg(test)]
mod tests;

pub(super) use safe::{
    Fault, Output, Parameters, RunLimits, Schema, Sheet, cpu_seconds, exit_when_exhausted, release_memory,
};
