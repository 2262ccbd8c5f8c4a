//! The configuration: what an operator may say, and what each word means.
//!
//! The doc comments of [`sections`] are the manual: the sample file, the JSON Schema and the
//! reference page are generated from them. [`Loader`] reads and checks; nothing else in the program
//! opens the file or looks at the environment for a setting.

mod check;
pub mod explain;
pub mod generate;
mod layers;
pub mod load;
mod outline;
pub mod problem;
pub mod secrets;
pub mod sections;
mod shape;
#[cfg(test)]
mod tests;
mod url;
pub mod values;

pub use explain::{ExplainRow, explain};
pub use generate::{reference, sample, schema};
pub use load::{ConfigError, Loaded, Loader};
pub use problem::{Origin, Origins, Problem};
pub use secrets::{SecretError, secret};
pub use sections::*;
pub use values::{ByteSize, Span};

/// The transforms that come with Chancery; an adapter names them without a path.
pub const SHIPPED_TRANSFORMS: [&str; 10] =
    ["xml", "filedump", "globalrelay", "eml", "csv", "rsmf", "html", "jsonl", "akonix", "assentor"];
