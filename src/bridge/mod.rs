//! Bridges: programs that stand between a chat server and the queue, and speak the server's own language.
//!
//! A bridge is an emitter like any other. It knows nothing of staging, and what it publishes is the native event.

pub mod matrix;
