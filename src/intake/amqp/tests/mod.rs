//! AMQP intake against a real broker. Each test makes its own exchanges and queues and deletes them.
#![allow(clippy::unwrap_used, reason = "a failed test should panic")]

mod bench;
mod publishing;
mod sessions;
mod setup;
mod tls;
