//! Holds: what they cover, and how placing one waits for purges that have begun.
//!
//! A purge of events asks for holds in the transaction that deletes, and that transaction excludes the one that places a
//! hold. Files on a share and in the vault know no transactions; so whoever deletes them announces it first
//! ([`super::Holds::begin_purge`]), is told the holds of that instant, and takes the announcement back afterwards. Placing a hold writes it
//! down and then waits until every purge that was announced before is over. The announcement of a process that died runs
//! out; one that was merely stopped finds its time run out before it deletes the next file.

use std::time::Duration;

use super::keys::refused;
use super::{Hold, HoldScope, NewAct, NewHold, PurgeRow, QuarantineRow, Result, WriteStaging};
use crate::model::{Event, Ticks};

/// How often it is asked whether the purges are over.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What a hold is compared with.
#[derive(Debug, Clone, Copy)]
pub struct HoldSubject<'a> {
    /// The emitter.
    pub source: &'a str,
    /// The room's URI, where there is one.
    pub room: Option<&'a str>,
    /// When it happened.
    pub time: Ticks,
    /// The event as received. Empty where no hold names a person.
    pub raw: &'a [u8],
}

impl HoldScope {
    /// Whether it covers everything.
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    /// Whether an event is under the hold. What names its persons in a way that cannot be read is, as far as the rest fits:
    /// when in doubt, it is kept.
    pub fn covers(&self, subject: &HoldSubject<'_>) -> bool {
        let matches = |wanted: &Option<String>, found: Option<&str>| wanted.is_none() || wanted.as_deref() == found;
        matches(&self.source, Some(subject.source))
            && matches(&self.room, subject.room)
            && self.from.is_none_or(|from| from <= subject.time)
            && self.to.is_none_or(|to| subject.time < to)
            && self.person.as_deref().is_none_or(|person| speaks_of(subject.raw, person))
    }

    /// Whether something that could not be understood may be under the hold. Of its room, persons and time nothing is known;
    /// when in doubt, it is kept.
    fn may_cover(&self, source: Option<&str>) -> bool {
        match (self.source.as_deref(), source) {
            (Some(held), Some(source)) => held == source,
            _ => true,
        }
    }
}

/// Whether an event is by or about a person: the address or the native id of its sender or member.
fn speaks_of(raw: &[u8], person: &str) -> bool {
    let Ok(event) = Event::read(raw) else { return true };
    let people = event.data.sender.iter().chain(event.data.member.iter());
    people.into_iter().any(|known| {
        let address = known.uri.as_ref().and_then(|uri| uri.as_str());
        let native = known.id.as_ref().and_then(|id| id.0.as_str());
        address == Some(person) || native == Some(person)
    })
}

/// The first of the holds that covers an event.
pub(super) fn covering(holds: &[Hold], subject: &HoldSubject<'_>) -> Option<i64> {
    holds.iter().find(|hold| hold.scope.covers(subject)).map(|hold| hold.id)
}

/// Refuses to discard a quarantined item that may be under one of the holds.
pub(super) fn permit_discard(holds: &[Hold], item: &QuarantineRow) -> Result<()> {
    match holds.iter().find(|hold| hold.scope.may_cover(item.source.as_deref())) {
        None => Ok(()),
        Some(Hold { id: hold, .. }) => Err(refused(format!(
            "quarantined item {} may be under hold {hold}: it could not be understood, so nothing rules that out; replay it, or discard it once the hold is released",
            item.id
        ))),
    }
}

/// Whether any of the holds must see the events themselves.
pub(super) fn need_content(holds: &[Hold]) -> bool {
    holds.iter().any(|hold| hold.scope.person.is_some())
}

/// Places a hold and returns once nothing under it can be deleted any more: its number, and the purges whose time ran out
/// while they were waited for. Should such a process still live, it finds that before it deletes another file.
///
/// # Errors
/// As staging has them. A hold that is written down stands, whatever happens while purges are waited for.
pub async fn place_hold(
    staging: &dyn WriteStaging,
    hold: &NewHold,
    act: &NewAct,
    mut waiting: impl FnMut(&PurgeRow),
) -> Result<(i64, Vec<PurgeRow>)> {
    let id = staging.place_hold(hold, act).await?;
    let mut before = staging.purges().await?;
    let mut outlived = Vec::new();
    let mut told = false;
    while !before.is_empty() {
        let now = staging.purges().await?;
        before.retain(|purge| {
            let found = now.iter().find(|row| row.id == purge.id);
            if let Some(found) = found.filter(|row| !row.live) {
                outlived.push(found.clone());
            }
            found.is_some_and(|row| row.live)
        });
        if let Some(purge) = before.first() {
            if !std::mem::replace(&mut told, true) {
                waiting(purge);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
    Ok((id, outlived))
}
