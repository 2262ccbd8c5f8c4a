//! Builds the C shim.
fn main() {}
