//! What the machine does when nothing but the bare work is done: the figures that ours are held against.

pub(crate) mod files;
pub(crate) mod postgres;
pub(crate) mod sqlite;
