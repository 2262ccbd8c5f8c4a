//! Small tools every stage may use.

pub mod backoff;
pub mod durable;
pub mod scratch;
pub mod step;
