//! The configuration: what an operator may say, and what each word means.
//!
//! The doc comments of [`sections`] are the manual: the sample file, the JSON Schema and the
//! reference page are generated from them. Loading, layering and checking live beside it.

pub mod sections;
pub mod values;

pub use sections::*;
pub use values::{ByteSize, Span};
