//! `chancery sequence`: what is missing, came twice or began again in the running counts of the sources.

use clap::Subcommand;
use serde::Serialize;

use super::Outcome;
use super::act::act;
use super::context::{self, Context, staging_failure};
use super::print::{self, Column, Format};
use crate::errors::{ExitStatus, Failure};
use crate::model::Ticks;
use crate::staging::{Finding, FindingKind};

/// List gaps, repeats and resets in the sources' sequences, and settle what is explained
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List what was found and reported, newest last
    ///
    /// Ends with 1 when something is open.
    List {
        /// What is closed or settled too
        #[arg(long)]
        all: bool,
        /// At most so many
        #[arg(long, default_value_t = 100)]
        limit: u32,
    },
    /// Record an explanation, or that missing numbers are given up: it raises no alert any more
    ///
    /// A gap that is filled later is closed all the same.
    Settle {
        /// The findings' numbers
        #[arg(required = true)]
        ids: Vec<i64>,
        /// Why; recorded
        #[arg(long)]
        reason: String,
    },
}

#[derive(Debug, Serialize)]
struct Shown {
    id: i64,
    kind: &'static str,
    source: String,
    epoch: u64,
    first: u64,
    last: u64,
    found: String,
    reported: String,
    closed: Option<String>,
    open_for_ms: Option<u64>,
    settled: Option<String>,
}

impl From<Finding> for Shown {
    fn from(row: Finding) -> Self {
        let open_for = row.closed.map(|closed| closed.since(row.found));
        Self {
            id: row.id,
            kind: row.kind.as_str(),
            source: row.source,
            epoch: row.epoch,
            first: row.first,
            last: row.last,
            found: row.found.iso(),
            reported: row.reported.iso(),
            closed: row.closed.map(Ticks::iso),
            open_for_ms: open_for.map(|span| u64::try_from(span.as_millis()).unwrap_or(u64::MAX)),
            settled: row.settled.map(Ticks::iso),
        }
    }
}

pub(super) fn run(context: &Context, args: &Args) -> Outcome {
    let config = context.config()?;
    let format = context.format();
    context::block_on(async {
        let staging = context::open_staging(&config).await?;
        match &args.verb {
            Verb::List { all, limit } => {
                let found = staging.findings(*all, *limit).await.map_err(staging_failure)?;
                list(format, found)
            }
            Verb::Settle { ids, reason } => {
                if reason.trim().is_empty() {
                    return Err(Failure::new(ExitStatus::Usage, "--reason is empty, expected the explanation"));
                }
                let subject = format!("findings {}", ids.iter().map(i64::to_string).collect::<Vec<_>>().join(", "));
                let act = act("sequence settle", subject, reason.clone());
                staging.settle_findings(ids, &act).await.map_err(|error| {
                    staging_failure(error).hint("`chancery sequence list` shows what is open; nothing was settled")
                })?;
                eprintln!("settled");
                Ok(ExitStatus::Done)
            }
        }
    })
}

fn list(format: Format, found: Vec<Finding>) -> Outcome {
    let open = found.iter().any(|row| row.closed.is_none() && row.settled.is_none());
    if format == Format::Json {
        print::json(&found.into_iter().map(Shown::from).collect::<Vec<_>>())?;
    } else {
        let columns = [
            Column::Number("id"),
            Column::Text("found"),
            Column::Text("source"),
            Column::Number("epoch"),
            Column::Text("what"),
            Column::Text("state"),
        ];
        let rows = found.iter().map(|row| {
            let (id, epoch) = (row.id.to_string(), row.epoch.to_string());
            vec![id, row.found.iso(), print::harmless(&row.source), epoch, what(row), state(row)]
        });
        print::data(print::table(&columns, rows))?;
    }
    Ok(if open { ExitStatus::Finding } else { ExitStatus::Done })
}

fn what(row: &Finding) -> String {
    match row.kind {
        FindingKind::Gap if row.first == row.last => format!("{} is missing", row.first),
        FindingKind::Gap => format!("{} to {} are missing", row.first, row.last),
        FindingKind::Repeat => format!("{} came under two ids", row.first),
        FindingKind::Reset => format!("begins again at {}, after {}", row.first, row.last),
    }
}

fn state(row: &Finding) -> String {
    match (row.closed, row.settled) {
        (Some(closed), _) => format!("filled after {:.1} s", closed.since(row.found).as_secs_f64()),
        (None, Some(_)) => "settled".into(),
        (None, None) => "open".into(),
    }
}
