//! `chancery purge --dry-run`: what would be purged, and what is held.

use serde::Serialize;

use super::Outcome;
use super::context::{self, Context, staging_failure};
use super::print::{self, Column, Format};
use crate::config::Config;
use crate::errors::{ExitStatus, Failure};
use crate::model::Ticks;
use crate::staging::{BatchFilter, BatchState, Hold, SeqRange, Staging};

/// Tell what would be purged now, what waits, and what is under a hold
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Change nothing: the service purges by itself, and so does `chancery run --once`
    #[arg(long, required = true)]
    dry_run: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    batches: Vec<Batch>,
    /// Staged events that no adapter needs any more.
    staged_events: u64,
    /// Whether any of them is under a hold, and which hold was met first.
    staged_events_held_by: Option<i64>,
}

#[derive(Debug, Serialize)]
struct Batch {
    id: i64,
    adapter: String,
    interval_end: String,
    files: u64,
    bytes: u64,
    collected_at: Option<String>,
    /// `now`, `later` or `held`.
    purge: &'static str,
    due_at: Option<String>,
    held_by: Option<i64>,
}

pub(super) fn run(context: &Context, _args: &Args) -> Outcome {
    let config = context.config()?;
    let format = context.format();
    let report = context::block_on(async {
        let staging = context::open_staging(&config).await?;
        gather(&staging, &config).await
    })?;
    match format {
        Format::Json => print::json(&report)?,
        Format::Table => print_table(&report)?,
    }
    Ok(ExitStatus::Done)
}

async fn gather(staging: &Staging, config: &Config) -> Result<Report, Failure> {
    let (now, holds) = (Ticks::now(), staging.holds(false).await.map_err(staging_failure)?);
    let filter = BatchFilter { adapter: None, states: vec![BatchState::Collected], limit: None };
    let mut batches = Vec::new();
    for row in staging.batches(&filter).await.map_err(staging_failure)? {
        let keep = config.adapter_named(&row.adapter).map(|adapter| adapter.keep_after_collection.get());
        let due_at = row.collected_at.zip(keep).map(|(at, keep)| at.plus(keep));
        let held_by = covered(staging, row.range, &holds).await?;
        batches.push(Batch {
            id: row.id,
            interval_end: row.interval_end.iso(),
            files: row.counts.files,
            bytes: row.counts.bytes,
            collected_at: row.collected_at.map(Ticks::iso),
            purge: match (held_by, due_at) {
                (Some(_), _) => "held",
                (None, Some(due)) if due <= now => "now",
                // Of an adapter that is no longer configured nothing is purged.
                _ => "later",
            },
            due_at: due_at.map(Ticks::iso),
            held_by,
            adapter: row.adapter,
        });
    }
    let names: Vec<String> = config.adapter.iter().map(|adapter| adapter.name.clone()).collect();
    let range = SeqRange { from: 0, to: staging.purge_limit(&names).await.map_err(staging_failure)? };
    Ok(Report {
        batches,
        staged_events: staging.count_events(range).await.map_err(staging_failure)?,
        staged_events_held_by: covered(staging, range, &holds).await?,
    })
}

async fn covered(staging: &Staging, range: SeqRange, holds: &[Hold]) -> Result<Option<i64>, Failure> {
    if holds.is_empty() {
        return Ok(None);
    }
    staging.covered(range, holds).await.map_err(staging_failure)
}

fn print_table(report: &Report) -> Result<(), Failure> {
    let columns = [
        Column::Number("batch"),
        Column::Text("adapter"),
        Column::Text("interval ends"),
        Column::Number("files"),
        Column::Number("bytes"),
        Column::Text("purge"),
    ];
    let rows = report.batches.iter().map(|batch| {
        let purge = match (batch.held_by, &batch.due_at) {
            (Some(hold), _) => format!("held by hold {hold}"),
            (None, Some(due)) if batch.purge == "later" => format!("at {due}"),
            (None, None) => "never: its adapter is not configured".into(),
            (None, Some(_)) => "now".into(),
        };
        let (id, files) = (batch.id.to_string(), print::count(batch.files));
        vec![id, batch.adapter.clone(), batch.interval_end.clone(), files, print::count(batch.bytes), purge]
    });
    print::data(print::table(&columns, rows))?;
    let held = report.staged_events_held_by.map(|hold| format!("; those under a hold stay, first met: hold {hold}"));
    print::data(format!(
        "{} staged events are needed by no adapter any more{}",
        print::count(report.staged_events),
        held.unwrap_or_default()
    ))
}
