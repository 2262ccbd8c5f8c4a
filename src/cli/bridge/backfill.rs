//! `chancery bridge matrix backfill`: publishes what the homeserver has and the bridge never received.

use serde::Serialize;

use crate::bridge::matrix::backfill::{BackfillError, Scope, backfill};
use crate::bridge::matrix::deliver::{Delivery, DeliveryError};
use crate::bridge::matrix::memory::{KEPT_FOR, Memory};
use crate::cli::Outcome;
use crate::cli::context::{self, Context};
use crate::cli::hold::instant;
use crate::cli::print::{self, Column, Format};
use crate::config::{Config, MatrixBridge};
use crate::errors::{ExitStatus, Failure};
use crate::model::Ticks;

/// Publish what the homeserver has and the bridge never received, such as events from before its registration
///
/// Each event is published under its own id, oldest first in each room; what the bridge has published in the last 35 days is
/// left out. Repeat it when it was cut off. It may run beside the bridge, with the same home.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Events that happened from here on
    #[arg(long, value_name = "TIME", value_parser = instant)]
    since: Ticks,
    /// Events that happened before this [default: now]
    ///
    /// Needed when --since is more than 35 days ago: the bridge forgets ids after that time, and what it archived would be
    /// archived once more. Give the time from which on the bridge received events itself.
    #[arg(long, value_name = "TIME", value_parser = instant)]
    until: Option<Ticks>,
    /// Only this room; may be given more than once
    #[arg(long, value_name = "ID")]
    room: Vec<String>,
}

#[derive(Serialize)]
struct Report {
    rooms: u64,
    events: u64,
    published: u64,
    known: u64,
    repaired: u64,
    encrypted: u64,
    gaps: u64,
}

pub(super) fn run(context: &Context, config: &Config, bridge: &MatrixBridge, args: &Args) -> Outcome {
    let now = Ticks::now();
    if args.until.is_none() && args.since < now.minus(KEPT_FOR) {
        let message = "--since is more than 35 days ago, expected --until as well: what was archived longer ago than that is not known by id any more";
        return Err(Failure::new(ExitStatus::Usage, message)
            .hint("give --until the time from which on the bridge received events itself"));
    }
    let until = args.until.unwrap_or(now);
    if until <= args.since {
        return Err(Failure::new(ExitStatus::Usage, "--until is not after --since, expected some time in between")
            .hint("exchange the two"));
    }
    let broker = context::amqp(config)?;
    let (homeserver, settings) = super::administered(config, bridge)?;
    let scope = Scope { since: args.since, until, rooms: args.room.clone() };
    let done = context::block_on(async {
        let memory = Memory::open(&config.matrix_memory()).await.map_err(|error| super::failure(error.into()))?;
        let delivery = Delivery::new(settings, broker.clone(), memory, homeserver.clone());
        backfill(&homeserver, &delivery, &scope).await.map_err(failure)
    })?;
    let counts = done.counts;
    let report = Report {
        rooms: done.rooms,
        events: done.events,
        published: counts.published,
        known: counts.repeated,
        repaired: counts.repaired,
        encrypted: counts.encrypted,
        gaps: counts.gaps,
    };
    match context.format() {
        Format::Json => print::json(&report)?,
        Format::Table => {
            let names = ["rooms", "events", "published", "known", "repaired", "encrypted", "gaps"].map(Column::Number);
            let row = [report.rooms, report.events, report.published, report.known, report.repaired];
            let row = row.into_iter().chain([report.encrypted, report.gaps]).map(print::count).collect();
            print::data(print::table(&names, [row]))?;
        }
    }
    Ok(ExitStatus::Done)
}

fn failure(error: BackfillError) -> Failure {
    let (status, cure) = match error {
        BackfillError::History(error) => return super::unanswered(error),
        BackfillError::Delivery(DeliveryError::Memory(_)) => {
            (ExitStatus::FileSystem, "make room or restore the rights, then repeat the command")
        }
        BackfillError::Delivery(_) => {
            (ExitStatus::Broker, "see to the broker, then repeat the command; what is published is not published again")
        }
    };
    Failure::new(status, "the back-fill was cut off").caused_by(error).hint(cure)
}
