//! What the homeserver itself has: its rooms, and the events of each, page by page from the newest on.
//!
//! Source: Synapse admin API, "List Room API" and "Room Messages API". They show every room and every event, whoever is in it.

use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::sleep;

use super::event::MatrixEvent;
use super::homeserver::{Homeserver, HomeserverError, segment};
use crate::model::Ticks;
use crate::support::backoff::Backoff;

/// Rooms and events asked for at once. Events have 64 KiB at most, so a page stays far below the largest answer.
const ROOMS_AT_ONCE: usize = 500;
const EVENTS_AT_ONCE: usize = 200;
/// How often a page that did not come is asked for before it is given up.
const TRIES_MAX: u32 = 4;
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Some events of a room.
#[derive(Debug)]
pub struct Page {
    /// The events, newest first.
    pub events: Vec<MatrixEvent>,
    /// What gives this page again.
    pub token: String,
    /// What gives the page before it in time; `None` when there is none, or none that matters.
    pub older: Option<String>,
}

#[derive(Deserialize)]
struct RoomList {
    rooms: Vec<ListedRoom>,
    next_batch: Option<u64>,
}

#[derive(Deserialize)]
struct ListedRoom {
    room_id: String,
}

#[derive(Deserialize)]
struct Messages {
    chunk: Vec<Box<RawValue>>,
    start: String,
    end: Option<String>,
}

/// Every room the server lists. One that was made a moment ago may not be among them yet.
///
/// # Errors
/// When the server does not answer, or the admin token is missing or not an administrator's.
pub async fn rooms(homeserver: &Homeserver) -> Result<BTreeSet<String>, HomeserverError> {
    let mut rooms = BTreeSet::new();
    let mut from = Some(0);
    while let Some(at) = from {
        let path = format!("/_synapse/admin/v1/rooms?limit={ROOMS_AT_ONCE}&from={at}");
        let page: RoomList = again(|| homeserver.as_admin(&path)).await?;
        // An empty page with a following one would be asked for without end.
        from = page.next_batch.filter(|next| *next > at && !page.rooms.is_empty());
        rooms.extend(page.rooms.into_iter().map(|room| room.room_id));
    }
    Ok(rooms)
}

/// A page of a room's events: the newest ones, or those that a token gives. Pages end with the one whose events all happened
/// before `since`.
///
/// # Errors
/// As [`rooms`].
pub async fn page(
    homeserver: &Homeserver,
    room: &str,
    token: Option<&str>,
    since: Ticks,
) -> Result<Page, HomeserverError> {
    let from = token.map(|token| format!("&from={}", segment(token))).unwrap_or_default();
    let path = format!("/_synapse/admin/v1/rooms/{}/messages?dir=b&limit={EVENTS_AT_ONCE}{from}", segment(room));
    let found: Messages = again(|| homeserver.as_admin(&path)).await?;
    let events: Vec<_> = found.chunk.into_iter().map(MatrixEvent::new).collect();
    let all_before = !events.is_empty() && events.iter().all(|event| event.time().is_some_and(|time| time < since));
    let older = found.end.filter(|end| *end != found.start && !all_before);
    Ok(Page { events, token: found.start, older })
}

/// Asks until there is an answer that asking again would not change.
async fn again<T, F: Future<Output = Result<T, HomeserverError>>>(ask: impl Fn() -> F) -> Result<T, HomeserverError> {
    let mut backoff = Backoff::new(Duration::from_millis(250), PAUSE_MAX);
    loop {
        match ask().await {
            Err(error) if error.passes() && backoff.failures() + 1 < TRIES_MAX => {
                sleep(backoff.after_failure()).await;
            }
            answer => return answer,
        }
    }
}
