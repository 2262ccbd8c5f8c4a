//! `chancery acts`: what people did.

use serde::Serialize;

use super::Outcome;
use super::context::{self, Context, staging_failure};
use super::print::{self, Column, Format};
use crate::errors::ExitStatus;
use crate::staging::ActRow;

/// List what people did: who, when, what, to which thing, and why
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// At most so many, the newest
    #[arg(long, default_value_t = 100)]
    limit: u32,
}

#[derive(Debug, Serialize)]
struct Shown {
    id: i64,
    at: String,
    who: String,
    what: String,
    subject: String,
    reason: String,
}

impl From<ActRow> for Shown {
    fn from(row: ActRow) -> Self {
        let act = row.act;
        Self { id: row.id, at: act.at.iso(), who: act.who, what: act.verb, subject: act.subject, reason: act.reason }
    }
}

pub(super) fn run(context: &Context, args: &Args) -> Outcome {
    let config = context.config()?;
    let acts = context::block_on(async {
        let staging = context::open_staging(&config).await?;
        staging.acts(args.limit).await.map_err(staging_failure)
    })?;
    let acts: Vec<Shown> = acts.into_iter().rev().map(Shown::from).collect();
    if context.format() == Format::Json {
        print::json(&acts)?;
        return Ok(ExitStatus::Done);
    }
    let columns = [
        Column::Number("id"),
        Column::Text("at"),
        Column::Text("who"),
        Column::Text("what"),
        Column::Text("to"),
        Column::Text("why"),
    ];
    let rows = acts.into_iter().map(|act| {
        let texts = [act.who, act.what, act.subject, act.reason].map(|text| print::harmless(&text));
        [act.id.to_string(), act.at].into_iter().chain(texts).collect()
    });
    print::data(print::table(&columns, rows))?;
    Ok(ExitStatus::Done)
}
