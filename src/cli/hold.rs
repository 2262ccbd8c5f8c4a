//! `chancery hold`: what must not be purged.

use clap::Subcommand;
use serde::Serialize;

use super::Outcome;
use super::act::act;
use super::context::{self, Context, staging_failure};
use super::print::{self, Column, Format};
use crate::errors::{ExitStatus, Failure};
use crate::model::Ticks;
use crate::staging::{Hold, HoldScope, NewHold, Staging, place_hold};

/// Place, list and release holds: what is under one is not purged
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Forbid the purge of share files, staged events and uploaded files from the moment this returns
    ///
    /// All limits that are given must fit. A file on the share is kept as soon as anything in its batch is under the hold.
    Place {
        #[command(flatten)]
        scope: Scope,
        /// Why; recorded
        #[arg(long)]
        reason: String,
    },
    /// List holds, newest last
    List {
        /// Released ones too
        #[arg(long)]
        all: bool,
    },
    /// Release a hold: what it covered is purged as everything else
    Release {
        /// The hold's number
        id: i64,
        /// Why; recorded
        #[arg(long)]
        reason: String,
    },
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
struct Scope {
    /// Only events in this room, by URI
    #[arg(long, value_name = "URI")]
    room: Option<String>,
    /// Only events by or about this person: the address, or the native id
    #[arg(long, value_name = "KEY")]
    person: Option<String>,
    /// Only events of this source
    #[arg(long, value_name = "URI")]
    source: Option<String>,
    /// Only events that happened then or later, e.g. `2026-11-22T00:00:00Z`
    #[arg(long, value_name = "TIME", value_parser = instant)]
    from: Option<Ticks>,
    /// Only events that happened before
    #[arg(long, value_name = "TIME", value_parser = instant)]
    to: Option<Ticks>,
    /// Everything
    #[arg(long, conflicts_with_all = ["room", "person", "source", "from", "to"])]
    all: bool,
}

#[derive(Debug, Serialize)]
struct Shown {
    id: i64,
    covers: String,
    room: Option<String>,
    person: Option<String>,
    source: Option<String>,
    from: Option<String>,
    to: Option<String>,
    placed_at: String,
    placed_by: String,
    reason: String,
    released_at: Option<String>,
}

impl From<Hold> for Shown {
    fn from(hold: Hold) -> Self {
        Self {
            id: hold.id,
            covers: hold.scope.to_string(),
            room: hold.scope.room,
            person: hold.scope.person,
            source: hold.scope.source,
            from: hold.scope.from.map(Ticks::iso),
            to: hold.scope.to.map(Ticks::iso),
            placed_at: hold.placed_at.iso(),
            placed_by: hold.placed_by,
            reason: hold.reason,
            released_at: hold.released_at.map(Ticks::iso),
        }
    }
}

/// An instant as people write it.
pub(super) fn instant(text: &str) -> Result<Ticks, String> {
    Ticks::parse(text).map_err(|error| format!("{error}; expected a time like 2026-11-22T00:00:00Z"))
}

pub(super) fn run(context: &Context, args: &Args) -> Outcome {
    let config = context.config()?;
    let format = context.format();
    context::block_on(async {
        let staging = context::open_staging(&config).await?;
        match &args.verb {
            Verb::Place { scope, reason } => place(&staging, format, scope, given(reason)?).await,
            Verb::List { all } => {
                list(format, staging.holds(*all).await.map_err(staging_failure)?)?;
                Ok(ExitStatus::Done)
            }
            Verb::Release { id, reason } => {
                let act = act("hold release", format!("hold {id}"), given(reason)?);
                staging
                    .release_hold(*id, &act)
                    .await
                    .map_err(|error| staging_failure(error).hint("`chancery hold list` shows which holds stand"))?;
                eprintln!("hold {id} is released");
                Ok(ExitStatus::Done)
            }
        }
    })
}

fn given(reason: &str) -> Result<&str, Failure> {
    if reason.trim().is_empty() {
        return Err(Failure::new(ExitStatus::Usage, "--reason is empty, expected why the hold is placed or released"));
    }
    Ok(reason)
}

async fn place(staging: &Staging, format: Format, scope: &Scope, reason: &str) -> Outcome {
    if let (Some(from), Some(to)) = (scope.from, scope.to)
        && from >= to
    {
        return Err(Failure::new(ExitStatus::Usage, "--from is not before --to: nothing would be under the hold"));
    }
    let scope = HoldScope {
        room: scope.room.clone(),
        person: scope.person.clone(),
        source: scope.source.clone(),
        from: scope.from,
        to: scope.to,
    };
    let act = act("hold place", format!("hold on {scope}"), reason);
    let waiting = |purge: &crate::staging::PurgeRow| {
        eprintln!("waiting for a purge that began before: {}", purge.what);
    };
    let placed = place_hold(&**staging, &NewHold { scope }, &act, waiting).await;
    let (id, outlived) = placed.map_err(staging_failure)?;
    for purge in outlived {
        eprintln!(
            "the purge of {} that began at {} never ended, and its time has run out: its process died, or stands still \
             and finds so before it deletes the next file",
            purge.what, purge.began
        );
    }
    if format == Format::Json {
        print::json(&serde_json::json!({ "id": id }))?;
    } else {
        print::data(format!("hold {id} stands"))?;
    }
    Ok(ExitStatus::Done)
}

fn list(format: Format, holds: Vec<Hold>) -> Result<(), Failure> {
    if format == Format::Json {
        return print::json(&holds.into_iter().map(Shown::from).collect::<Vec<_>>());
    }
    let columns = [
        Column::Number("id"),
        Column::Text("covers"),
        Column::Text("placed"),
        Column::Text("by"),
        Column::Text("reason"),
        Column::Text("released"),
    ];
    let rows = holds.into_iter().map(Shown::from).map(|hold| {
        let covers = print::harmless(&hold.covers);
        let released = hold.released_at.unwrap_or_default();
        vec![hold.id.to_string(), covers, hold.placed_at, hold.placed_by, print::harmless(&hold.reason), released]
    });
    print::data(print::table(&columns, rows))
}
