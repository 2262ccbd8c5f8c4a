//! `chancery quarantine`: what could not be understood, and what becomes of it.

use std::io::Write as _;
use std::path::PathBuf;

use clap::Subcommand;
use serde::Serialize;

use super::Outcome;
use super::access::look;
use super::act::act;
use super::context::{self, Context, staging_failure};
use super::print::{self, Column, Format};
use crate::config::Config;
use crate::errors::{ExitStatus, Failure};
use crate::intake::Decoder;
use crate::model::Ticks;
use crate::staging::{QuarantineFilter, QuarantineResolution, QuarantineRow, QuarantineState, Staging};
use crate::support::durable;
use crate::support::step::Commit;

/// List what could not be understood, look at it, take it in after all, or discard it
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List quarantined items, oldest first, without their content
    List {
        /// Only this reason, e.g. `unknown-source`
        #[arg(long)]
        reason: Option<String>,
        /// Items already replayed or discarded too
        #[arg(long)]
        all: bool,
        /// At most so many
        #[arg(long, default_value_t = 100)]
        limit: u32,
    },
    /// Show one item; its exact bytes only with --content or --export, and that look is recorded
    Show {
        /// The item's number
        id: i64,
        /// Write the exact bytes to standard output
        #[arg(long, conflicts_with = "export")]
        content: bool,
        /// Write the exact bytes to a file
        #[arg(long, value_name = "FILE")]
        export: Option<PathBuf>,
        /// Write what came beside the bytes in an AMQP message to standard output, as JSON: content type and headers, or the
        /// properties in base64 when they are not what AMQP says. That look is recorded too
        #[arg(long, conflicts_with_all = ["content", "export"])]
        head: bool,
    },
    /// Decode again and take in, for instance after the source was added to the configuration
    Replay {
        /// The items' numbers
        #[arg(required_unless_present = "reason")]
        ids: Vec<i64>,
        /// All waiting items with this reason
        #[arg(long, conflicts_with = "ids")]
        reason: Option<String>,
    },
    /// Decide that an item is no event: its bytes are deleted, its digest and reason stay
    Discard {
        /// The item's number
        id: i64,
        /// Why; recorded
        #[arg(long)]
        reason: String,
        /// Do it without asking
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Serialize)]
struct Shown {
    id: i64,
    state: &'static str,
    reason: String,
    detail: String,
    received: String,
    origin: String,
    source: Option<String>,
    event_id: Option<String>,
    size: u64,
    sha256: String,
    seen: u64,
}

impl From<QuarantineRow> for Shown {
    fn from(row: QuarantineRow) -> Self {
        Self {
            id: row.id,
            state: row.state.as_str(),
            reason: row.reason,
            detail: row.detail,
            received: row.received.iso(),
            origin: row.origin,
            source: row.source,
            event_id: row.event_id,
            size: row.size,
            sha256: hex::encode(row.sha256),
            seen: row.seen,
        }
    }
}

pub(super) fn run(context: &Context, args: &Args) -> Outcome {
    let config = context.config()?;
    let format = context.format();
    context::block_on(async {
        let staging = context::open_staging(&config).await?;
        match &args.verb {
            Verb::List { reason, all, limit } => {
                let state = (!all).then_some(QuarantineState::Waiting);
                let filter = QuarantineFilter { state, reason: reason.clone(), limit: Some(*limit) };
                list(format, staging.quarantined(&filter).await.map_err(staging_failure)?)
            }
            Verb::Show { id, content, export, head } => {
                let (row, bytes) = found(&staging, *id).await?;
                if *head {
                    let subject = format!("quarantine {id}");
                    look(&staging, &config, "quarantine look", subject, "content type and headers were shown").await?;
                    return print::data(row.headers.unwrap_or_else(|| "null".into())).map(|()| ExitStatus::Done);
                }
                if *content || export.is_some() {
                    let subject = format!("quarantine {id}");
                    look(&staging, &config, "quarantine look", subject, "content was shown").await?;
                    return reveal(&bytes, export.as_deref());
                }
                show(format, row)
            }
            Verb::Replay { ids, reason } => {
                let ids = match reason {
                    Some(reason) => waiting_with(&staging, reason).await?,
                    None => ids.clone(),
                };
                replay(&staging, &config, &ids).await
            }
            Verb::Discard { id, reason, yes } => {
                let (row, _) = found(&staging, *id).await?;
                if !yes {
                    show(format, row)?;
                    return Err(Failure::new(
                        ExitStatus::Usage,
                        "nothing was done: discarding deletes the bytes for good",
                    )
                    .hint("repeat the command with --yes"));
                }
                let act = act("quarantine discard", format!("quarantine {id}"), reason.clone());
                staging
                    .resolve_quarantined(*id, &QuarantineResolution::Discard, &act)
                    .await
                    .map_err(staging_failure)?;
                eprintln!("quarantine {id} is discarded");
                Ok(ExitStatus::Done)
            }
        }
    })
}

async fn found(staging: &Staging, id: i64) -> Result<(QuarantineRow, Vec<u8>), Failure> {
    staging.quarantined_bytes(id).await.map_err(staging_failure)?.ok_or_else(|| {
        Failure::new(ExitStatus::Finding, format!("there is no quarantined item {id}"))
            .hint("`chancery quarantine list` shows what is there")
    })
}

async fn waiting_with(staging: &Staging, reason: &str) -> Result<Vec<i64>, Failure> {
    let filter =
        QuarantineFilter { state: Some(QuarantineState::Waiting), reason: Some(reason.to_owned()), limit: None };
    Ok(staging.quarantined(&filter).await.map_err(staging_failure)?.into_iter().map(|row| row.id).collect())
}

/// Takes in what can be understood now; what still cannot stays where it is, with a word on why.
async fn replay(staging: &Staging, config: &Config, ids: &[i64]) -> Outcome {
    let decoder = Decoder::new(config).map_err(context::intake_failure)?;
    let (mut taken, mut refused) = (0, 0);
    for &id in ids {
        let (row, bytes) = found(staging, id).await?;
        if row.state != QuarantineState::Waiting {
            eprintln!("quarantine {id} is already {}", row.state.as_str());
            refused += 1;
            continue;
        }
        let batch = decoder.decode_again(row.headers.as_deref(), &row.origin, bytes, Ticks::now());
        if let Some(still) = batch.quarantined.first() {
            eprintln!("quarantine {id} stays: {}: {}", still.reason, still.detail);
            refused += 1;
            continue;
        }
        let act = act("quarantine replay", format!("quarantine {id}"), "");
        staging.resolve_quarantined(id, &QuarantineResolution::Replay(batch), &act).await.map_err(staging_failure)?;
        taken += 1;
    }
    eprintln!("{taken} taken in, {refused} not");
    Ok(if refused == 0 { ExitStatus::Done } else { ExitStatus::Finding })
}

fn reveal(bytes: &[u8], export: Option<&std::path::Path>) -> Outcome {
    let written = match export {
        Some(path) => durable::write_whole(path, bytes, Commit::EXPORT_WRITTEN)
            .map_err(|error| Failure::new(ExitStatus::FileSystem, "cannot export the bytes").caused_by(error)),
        None => std::io::stdout()
            .write_all(bytes)
            .map_err(|error| Failure::new(ExitStatus::Interrupted, "cannot write to standard output").caused_by(error)),
    };
    written.map(|()| ExitStatus::Done)
}

fn list(format: Format, rows: Vec<QuarantineRow>) -> Outcome {
    let rows: Vec<Shown> = rows.into_iter().map(Shown::from).collect();
    if format == Format::Json {
        print::json(&rows)?;
        return Ok(ExitStatus::Done);
    }
    let columns = [
        Column::Number("id"),
        Column::Text("received"),
        Column::Text("reason"),
        Column::Text("detail"),
        Column::Text("origin"),
        Column::Number("bytes"),
        Column::Number("seen"),
    ];
    print::data(print::table(
        &columns,
        rows.into_iter().map(|row| {
            vec![
                row.id.to_string(),
                row.received,
                row.reason,
                row.detail,
                row.origin,
                print::count(row.size),
                print::count(row.seen),
            ]
        }),
    ))?;
    Ok(ExitStatus::Done)
}

fn show(format: Format, row: QuarantineRow) -> Outcome {
    let row = Shown::from(row);
    if format == Format::Json {
        print::json(&row)?;
        return Ok(ExitStatus::Done);
    }
    let rows = [
        ("id", row.id.to_string()),
        ("state", row.state.to_owned()),
        ("reason", row.reason),
        ("detail", row.detail),
        ("received", row.received),
        ("origin", row.origin),
        ("source", row.source.unwrap_or_default()),
        ("event id", row.event_id.unwrap_or_default()),
        ("bytes", print::count(row.size)),
        ("sha-256", row.sha256),
        ("seen", print::count(row.seen)),
    ];
    print::data(print::table(
        &[Column::Text("key"), Column::Text("value")],
        rows.into_iter().map(|(key, value)| vec![key.to_owned(), value]),
    ))?;
    Ok(ExitStatus::Done)
}
