//! Back-filling: what the homeserver has and the bridge never received is published as if it had been delivered.
//!
//! Each event goes through the same mapping, under its own id, and gets the next number; what the bridge's memory knows is not
//! published again. So a back-fill may be repeated, and may run beside the bridge.

use std::collections::BTreeSet;

use super::deliver::{Counts, Delivery, DeliveryError};
use super::event::MatrixEvent;
use super::history::{self, Page};
use super::homeserver::{Homeserver, HomeserverError};
use crate::model::Ticks;

/// Which part of history.
#[derive(Debug, Clone)]
pub struct Scope {
    /// Events that happened from here on,
    pub since: Ticks,
    /// and before this.
    pub until: Ticks,
    /// These rooms alone; all of them when there are none.
    pub rooms: Vec<String>,
}

/// Why a back-fill ended early. What was published stays; the same command goes on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackfillError {
    /// The server's history cannot be read.
    #[error("the history cannot be read")]
    History(#[from] HomeserverError),
    /// It cannot be published.
    #[error("the history cannot be published")]
    Delivery(#[from] DeliveryError),
}

/// What a back-fill did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backfilled {
    /// Rooms that were read.
    pub rooms: u64,
    /// Events of the scope that the server has.
    pub events: u64,
    /// What became of them; what an earlier process had left to publish is among the published.
    pub counts: Counts,
}

/// Publishes what the server has of a scope, room by room, oldest first.
///
/// # Errors
/// When the history cannot be read or published. Nothing is lost: repeat it.
pub async fn backfill(
    homeserver: &Homeserver,
    delivery: &Delivery,
    scope: &Scope,
) -> Result<Backfilled, BackfillError> {
    let rooms = match scope.rooms.as_slice() {
        [] => history::rooms(homeserver).await?,
        some => some.iter().cloned().collect::<BTreeSet<_>>(),
    };
    let mut done = Backfilled::default();
    for room in &rooms {
        done.events += of_room(homeserver, delivery, scope, room).await?;
        done.rooms += 1;
    }
    done.counts = delivery.counts().await;
    Ok(done)
}

async fn of_room(
    homeserver: &Homeserver,
    delivery: &Delivery,
    scope: &Scope,
    room: &str,
) -> Result<u64, BackfillError> {
    // The server pages from the newest on, and what is learned from events must be learned in their order. So the way back is
    // remembered as tokens, not as events, and walked again.
    let mut newer = Vec::new();
    let mut page = history::page(homeserver, room, None, scope.since).await?;
    while let Some(older) = page.older.take() {
        newer.push(page.token);
        page = history::page(homeserver, room, Some(&older), scope.since).await?;
    }
    let mut events = 0;
    loop {
        let of_scope = in_scope(page, scope);
        events += of_scope.len() as u64;
        delivery.take_history(of_scope).await?;
        match newer.pop() {
            Some(token) => page = history::page(homeserver, room, Some(&token), scope.since).await?,
            None => break,
        }
    }
    if events > 0 {
        // The room may have changed since the pages were walked, or after `until`.
        delivery.learn_room(room).await?;
    }
    Ok(events)
}

/// The page's events of the scope, oldest first. An event without a time belongs to every scope.
fn in_scope(page: Page, scope: &Scope) -> Vec<MatrixEvent> {
    let within = |event: &MatrixEvent| event.time().is_none_or(|time| time >= scope.since && time < scope.until);
    page.events.into_iter().rev().filter(within).collect()
}
