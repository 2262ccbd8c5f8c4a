//! `chancery run`: the daemon, or one pass.

use std::time::Duration;

use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::Outcome;
use super::context::{self, Context};
use super::print::{self, Column, Format};
use crate::engine::{Engine, EngineError, Pass};
use crate::errors::{ExitStatus, Failure};

/// How long tasks may take to come to a safe stop. Every step may be cut off, so this is for tidiness alone.
const STOP_WITHIN: Duration = Duration::from_secs(8);

/// Run the pipeline until SIGTERM or SIGINT
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Take in all that waits in queue and spool, close every interval now, write, purge what is collected, and exit
    ///
    /// Ends with 1 when something could not be written; `chancery batch list --state failed` names it.
    #[arg(long)]
    once: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Outcome {
    let config = context.config()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("chancery")
        .build()
        .map_err(|error| Failure::new(ExitStatus::Interrupted, "cannot start the runtime").caused_by(error))?;
    let format = context.format();
    let outcome = runtime.block_on(async {
        let stop = CancellationToken::new();
        stop_on_signals(stop.clone())?;
        let engine = Engine::start(config, stop.clone()).await.map_err(failure)?;
        if args.once {
            return report(format, &engine.once().await.map_err(failure)?);
        }
        engine.run(STOP_WITHIN).await.map_err(failure)?;
        Ok(ExitStatus::Done)
    });
    // A transform under way on a blocking thread is not waited for: what it makes is made again.
    runtime.shutdown_background();
    outcome
}

/// Cancels `stop` at SIGTERM or SIGINT.
pub(super) fn stop_on_signals(stop: CancellationToken) -> Result<(), Failure> {
    let no_signals =
        |error: std::io::Error| Failure::new(ExitStatus::Interrupted, "cannot listen for signals").caused_by(error);
    let mut terminate = signal(SignalKind::terminate()).map_err(no_signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(no_signals)?;
    tokio::spawn(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        tracing::info!(signal = name, "stopping");
        stop.cancel();
    });
    Ok(())
}

/// A failure of the engine, with its exit code.
pub(super) fn failure(error: EngineError) -> Failure {
    match error {
        EngineError::Staging(error) => context::staging_failure(error),
        EngineError::Intake(error) => context::intake_failure(error),
        EngineError::Pickup(error) => {
            Failure::new(ExitStatus::FileSystem, "the pickup share cannot be used").caused_by(error)
        }
        EngineError::Transform(error) => Failure::new(ExitStatus::Transform, "the transform failed").caused_by(error),
        EngineError::Locked { .. } => Failure::new(ExitStatus::Finding, error.to_string())
            .hint("stop the other process first, or give this one a `home` of its own"),
        EngineError::Key(error) => {
            let cure = error.cure();
            Failure::new(ExitStatus::Configuration, error.to_string()).hint(cure)
        }
        error => Failure::new(ExitStatus::FileSystem, error.to_string()).caused_by(error),
    }
}

#[derive(Debug, Serialize)]
struct Row {
    adapter: String,
    batches: u64,
    events: u64,
    messages: u64,
    files: u64,
    failed: u64,
}

fn report(format: Format, pass: &Pass) -> Outcome {
    let rows: Vec<Row> = pass
        .adapters
        .iter()
        .map(|done| Row {
            adapter: done.adapter.clone(),
            batches: done.batches,
            events: done.events,
            messages: done.messages,
            files: done.files,
            failed: done.failed,
        })
        .collect();
    let failed: u64 = rows.iter().map(|row| row.failed).sum();
    match format {
        Format::Json => print::json(&serde_json::json!({
            "staged": pass.staged, "duplicates": pass.duplicates, "conflicts": pass.conflicts,
            "quarantined": pass.quarantined, "adapters": rows,
        }))?,
        Format::Table => {
            print::data(format!(
                "{} events taken in, {} duplicates, {} conflicts, {} quarantined",
                print::count(pass.staged),
                print::count(pass.duplicates),
                print::count(pass.conflicts),
                print::count(pass.quarantined),
            ))?;
            let columns = [
                Column::Text("adapter"),
                Column::Number("batches"),
                Column::Number("events"),
                Column::Number("messages"),
                Column::Number("files"),
                Column::Number("failed"),
            ];
            print::data(print::table(
                &columns,
                rows.into_iter().map(|row| {
                    let numbers = [row.batches, row.events, row.messages, row.files, row.failed];
                    std::iter::once(row.adapter).chain(numbers.map(print::count)).collect()
                }),
            ))?;
        }
    }
    Ok(if failed == 0 { ExitStatus::Done } else { ExitStatus::Finding })
}
