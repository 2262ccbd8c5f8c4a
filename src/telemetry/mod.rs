//! Log lines: where they go and how they look. Talk goes to standard error; data never does.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat, LogLevel};

/// Installs the process's logging. The variable `CHANCERY_LOG` (a `tracing` filter) overrides the level.
///
/// Calling it a second time has no effect.
pub fn install(log: &Log) {
    let level = match log.level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    };
    // The AMQP client reports every lost connection itself; intake says the same in the product's words.
    // The database driver would print whole statements when a disk is slow.
    let default = format!("chancery={level},warn,lapin=off,async_rs=off,sqlx=error");
    let filter = EnvFilter::try_from_env("CHANCERY_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let installed = match log.format {
        LogFormat::Text => builder.with_target(false).with_ansi(colours).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    if installed.is_err() {
        tracing::debug!("logging was already installed");
    }
}
