//! `chancery bridge matrix sweep`: the homeserver's own history beside what was archived.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;

use crate::bridge::matrix::event::MatrixEvent;
use crate::bridge::matrix::history;
use crate::bridge::matrix::homeserver::Homeserver;
use crate::cli::Outcome;
use crate::cli::context::{self, Context, staging_failure};
use crate::cli::hold::instant;
use crate::cli::print::{self, Column, Format};
use crate::config::{Config, MatrixBridge, Span};
use crate::errors::{ExitStatus, Failure};
use crate::model::Ticks;
use crate::staging::{KnownEvent, Staging};

/// For how long staging knows a purged event by its id. An event is purged after it happened, so one of this time is known.
const KNOWN_FOR: Duration = Duration::from_secs(30 * 86_400);
/// Differences that a table shows; JSON has all.
const SHOWN_MAX: usize = 100;

/// Compare the homeserver's own history of every room with what was archived
///
/// Asks the homeserver for the events of every room, as its administrator, and staging for each of them. Names those that
/// never arrived by room and event; never prints what was said. Ends with 1 when one is missing or a room cannot be read.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only events that happened from here on [default: 30 days ago, for so long purged events are known by id]
    #[arg(long, value_name = "TIME", value_parser = instant)]
    since: Option<Ticks>,
    /// Only this room; may be given more than once
    #[arg(long, value_name = "ID")]
    room: Vec<String>,
    /// How long an event may be under way before it counts as missing
    #[arg(long, value_name = "SPAN", default_value = "1m")]
    grace: Span,
}

/// The verdict.
#[derive(Debug, Default, Serialize)]
struct Sweep {
    source: String,
    since: String,
    /// Rooms that were read.
    rooms: u64,
    /// Of these, the ones that the homeserver does not list any more (or not yet).
    unlisted: u64,
    /// Events of that time that the homeserver has.
    events: u64,
    /// Of these, the ones that are staged, or were.
    archived: u64,
    /// Of these, the ones that wait in quarantine or were taken out of it.
    quarantined: u64,
    /// Those that did not arrive yet and happened so lately that they may be under way.
    under_way: u64,
    missing: Vec<Missing>,
    unread: Vec<Unread>,
}

/// An event that the homeserver has and the archive has not.
#[derive(Debug, Serialize)]
struct Missing {
    room: String,
    event: String,
    time: Option<String>,
}

/// A room of which nothing can be said.
#[derive(Debug, Serialize)]
struct Unread {
    room: String,
    reason: String,
}

pub(super) fn run(context: &Context, config: &Config, bridge: &MatrixBridge, args: &Args) -> Outcome {
    let (homeserver, _) = super::administered(config, bridge)?;
    let found = context::block_on(async {
        let staging = context::open_staging(config).await?;
        sweep(&staging, &homeserver, &bridge.source, args).await
    })?;
    match context.format() {
        Format::Json => print::json(&found)?,
        Format::Table => tables(&found)?,
    }
    Ok(if found.missing.is_empty() && found.unread.is_empty() { ExitStatus::Done } else { ExitStatus::Finding })
}

async fn sweep(staging: &Staging, homeserver: &Homeserver, source: &str, args: &Args) -> Result<Sweep, Failure> {
    let now = Ticks::now();
    let since = args.since.unwrap_or_else(|| now.minus(KNOWN_FOR));
    let mut found = Sweep { source: source.to_owned(), since: since.iso(), ..Sweep::default() };
    let rooms: BTreeSet<String> = if args.room.is_empty() {
        let listed = history::rooms(homeserver).await.map_err(super::unanswered)?;
        // A room that is deleted is listed no more, and one that is new not yet; both are known here by their events.
        let known = staging.room_balance().await.map_err(staging_failure)?;
        let known = known.into_iter().map(|room| room.room).filter(|room| room.starts_with('!'));
        let rooms: BTreeSet<String> = known.chain(listed.iter().cloned()).collect();
        found.unlisted = (rooms.len() - listed.len()) as u64;
        rooms
    } else {
        args.room.iter().cloned().collect()
    };
    for room in rooms {
        let mut token = None;
        loop {
            let page = match history::page(homeserver, &room, token.as_deref(), since).await {
                Ok(page) => page,
                Err(error) => {
                    found.unread.push(Unread { room: room.clone(), reason: error.to_string() });
                    break;
                }
            };
            let events: Vec<_> =
                page.events.iter().filter(|event| event.time().is_none_or(|time| time >= since)).collect();
            found.compare(staging, &room, &events, now.minus(args.grace.get())).await?;
            token = page.older;
            if token.is_none() {
                found.rooms += 1;
                break;
            }
        }
    }
    Ok(found)
}

impl Sweep {
    /// Looks each event up; what happened from `late` on may be under way.
    async fn compare(
        &mut self,
        staging: &Staging,
        room: &str,
        events: &[&MatrixEvent],
        late: Ticks,
    ) -> Result<(), Failure> {
        let ids: Vec<String> = events.iter().map(|event| event.id()).collect();
        let known = staging.known_events(&self.source, &ids).await.map_err(staging_failure)?;
        for ((event, id), known) in events.iter().zip(ids).zip(known) {
            self.events += 1;
            let time = event.time();
            match known {
                Some(KnownEvent::Quarantined) => self.quarantined += 1,
                Some(KnownEvent::Staged | KnownEvent::Purged) => self.archived += 1,
                None if time.is_some_and(|time| time >= late) => self.under_way += 1,
                None => {
                    let time = time.map(Ticks::iso);
                    self.missing.push(Missing { room: room.to_owned(), event: id, time });
                }
            }
        }
        Ok(())
    }
}

fn tables(found: &Sweep) -> Result<(), Failure> {
    let columns = [
        Column::Text("source"),
        Column::Text("since"),
        Column::Number("rooms"),
        Column::Number("unlisted"),
        Column::Number("events"),
        Column::Number("archived"),
        Column::Number("quarantined"),
        Column::Number("under way"),
        Column::Number("missing"),
    ];
    let counts = [found.rooms, found.unlisted, found.events, found.archived, found.quarantined, found.under_way];
    let counts = counts.into_iter().chain([found.missing.len() as u64]).map(print::count);
    let row = [print::harmless(&found.source), found.since.clone()].into_iter().chain(counts).collect();
    print::data(print::table(&columns, [row]))?;
    if !found.unread.is_empty() {
        let columns = [Column::Text("room that cannot be read"), Column::Text("why")];
        let rows = found.unread.iter().map(|one| vec![print::harmless(&one.room), print::harmless(&one.reason)]);
        print::data(print::table(&columns, rows.take(SHOWN_MAX)))?;
    }
    if found.missing.is_empty() {
        let verdict = if found.unread.is_empty() {
            "nothing is missing"
        } else {
            "in the rooms that were read nothing is missing"
        };
        return print::data(verdict);
    }
    let columns = [Column::Text("room"), Column::Text("missing event"), Column::Text("time")];
    let rows = found.missing.iter().take(SHOWN_MAX).map(|one| {
        let time = one.time.clone().unwrap_or_default();
        vec![print::harmless(&one.room), print::harmless(&one.event), time]
    });
    print::data(print::table(&columns, rows))?;
    if let Some(more) = found.missing.len().checked_sub(SHOWN_MAX).filter(|more| *more > 0) {
        print::data(format!("and {more} more; --format json has all"))?;
    }
    print::data("`chancery bridge matrix backfill --since TIME` publishes what is missing")
}
