//! Taking a transaction: each event is numbered, kept, published and confirmed before the homeserver hears 200.
//!
//! The homeserver's transaction id proves nothing: Synapse on SQLite gives it out twice. The event's own id counts.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::event::{self, MatrixEvent, text};
use super::homeserver::Homeserver;
use super::map::{self, Learned, Remark};
use super::memory::{Change, Memory, MemoryError};
use crate::config::{Amqp, MatrixBridge};
use crate::intake::IntakeError;
use crate::intake::amqp::Publisher;
use crate::model::Ticks;
use crate::support::step::{Commit, Step, reached};

/// How long the broker may take to confirm a transaction: less than the minute after which Synapse gives up.
const CONFIRM_TIME_MAX: Duration = Duration::from_secs(50);
/// How often a homeserver that is away is asked for what it deleted, before the gap is recorded.
const REPAIR_TRIES: u32 = 3;
const REPAIR_PAUSE: Duration = Duration::from_millis(500);
/// How long a room that could not be asked for is left alone.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// Why a transaction was not taken. The homeserver sends it again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeliveryError {
    /// It is no transaction.
    #[error("the transaction is malformed: {0}")]
    Malformed(String),
    /// The bridge's own file.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// The broker does not have all of it.
    #[error("the broker did not confirm")]
    Broker(#[from] IntakeError),
    /// The broker is there and says nothing.
    #[error("the broker did not confirm within {} seconds", CONFIRM_TIME_MAX.as_secs())]
    Unconfirmed,
    /// It was refused to make the homeserver send an older one that got stuck.
    #[error("transactions before {0} are missing; this one is refused once, so that the homeserver sends them")]
    Shaken(u64),
    /// A native event cannot be written.
    #[error("an event cannot be written")]
    Json(#[from] serde_json::Error),
}

/// What was done since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Transactions answered with 200.
    pub transactions: u64,
    /// Events published and confirmed.
    pub published: u64,
    /// Events that were known already.
    pub repeated: u64,
    /// Events that are cipher text.
    pub encrypted: u64,
    /// Events whose words were deleted before they arrived and could be had all the same.
    pub repaired: u64,
    /// Events whose words nobody has any more.
    pub gaps: u64,
}

/// How transactions are taken.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The CloudEvents source.
    pub source: String,
    /// The homeserver's own name.
    pub server: Option<String>,
    /// Whether a missing transaction id means that a transaction got stuck.
    pub numbered: bool,
}

impl Settings {
    /// As the configuration says.
    pub fn of(bridge: &MatrixBridge) -> Self {
        Self { source: bridge.source.clone(), server: bridge.server.clone(), numbered: bridge.numbered_transactions }
    }
}

/// How events came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// In a transaction.
    Delivered,
    /// Read from the server's history. What is known is learned from once more, so that in the end what is known of a room and
    /// of its messages is the newest, as if all of them had come in this order.
    History,
}

/// Takes transactions, one after the other.
pub struct Delivery {
    settings: Settings,
    broker: Amqp,
    memory: Memory,
    homeserver: Homeserver,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Connected when it is needed; forgotten after any error.
    publisher: Option<Publisher>,
    counts: Counts,
    last_transaction: Option<u64>,
    /// Rooms that could not be asked for, and since when.
    unasked: BTreeMap<String, Instant>,
}

#[derive(Deserialize)]
struct Transaction {
    #[serde(default)]
    events: Vec<Box<RawValue>>,
}

impl Delivery {
    /// Takes transactions by these settings.
    pub fn new(settings: Settings, broker: Amqp, memory: Memory, homeserver: Homeserver) -> Self {
        Self { settings, broker, memory, homeserver, state: Mutex::default() }
    }

    /// What was done since the start.
    pub async fn counts(&self) -> Counts {
        self.state.lock().await.counts
    }

    /// Takes a transaction: when this returns, the broker has every event of it.
    ///
    /// # Errors
    /// When it does not; the homeserver is then to send it again.
    pub async fn take(&self, transaction_id: &str, body: &[u8]) -> Result<(), DeliveryError> {
        let transaction: Transaction = serde_json::from_slice(body)
            .map_err(|error| DeliveryError::Malformed(format!("line {} column {}", error.line(), error.column())))?;
        let mut state = self.state.lock().await;
        if self.settings.numbered {
            state.look_for_stuck(transaction_id)?;
        }
        let events = transaction.events.into_iter().map(MatrixEvent::new).collect();
        state.counts = self.record(&mut state, events, Way::Delivered).await?;
        self.publish(&mut state).await?;
        state.counts.transactions += 1;
        Ok(())
    }

    /// Takes events of the server's history, oldest first: when this returns, the broker has every one of them.
    ///
    /// # Errors
    /// When it does not; what is taken again is published once.
    pub async fn take_history(&self, events: Vec<MatrixEvent>) -> Result<(), DeliveryError> {
        let mut state = self.state.lock().await;
        state.counts = self.record(&mut state, events, Way::History).await?;
        self.publish(&mut state).await
    }

    /// Learns what a room and its members are called now. A server that does not tell leaves them as they are known.
    ///
    /// # Errors
    /// When the memory cannot be used.
    pub async fn learn_room(&self, room: &str) -> Result<(), DeliveryError> {
        let learned = match self.homeserver.state_of(room, "").await {
            Ok(events) => of_state(&events),
            Err(error) => {
                tracing::warn!(room, error = %error, "what a room is called could not be asked for");
                return Ok(());
            }
        };
        let mut change = self.memory.change(Ticks::now()).await?;
        for one in &learned {
            change.learn(Some(room), "", one).await?;
        }
        change.completed(room).await?;
        change.commit(Commit::BRIDGE_RECORDED).await?;
        Ok(())
    }

    /// Publishes what an earlier process left unconfirmed, then says how far the source has come.
    ///
    /// # Errors
    /// When the broker or the memory is away.
    pub async fn heartbeat(&self) -> Result<(), DeliveryError> {
        let mut state = self.state.lock().await;
        self.publish(&mut state).await?;
        let mut change = self.memory.change(Ticks::now()).await?;
        let last = change.last_sequence().await?;
        drop(change);
        // Numbers are given out one by one from 1, so the highest one is the count, too.
        let body = event::heartbeat(&self.settings.source, Ticks::now(), last, last)?;
        self.send(&mut state, vec![body]).await
    }

    /// Forgets what is old.
    ///
    /// # Errors
    /// When the memory cannot be used.
    pub async fn prune(&self) -> Result<u64, DeliveryError> {
        let mut change = self.memory.change(Ticks::now()).await?;
        let gone = change.prune().await?;
        change.commit(Commit::BRIDGE_PRUNED).await?;
        Ok(gone)
    }

    /// Gives each new event its number and keeps it; nothing is published yet. Returns the counts that then hold.
    async fn record(&self, state: &mut State, events: Vec<MatrixEvent>, way: Way) -> Result<Counts, DeliveryError> {
        let mut counts = state.counts;
        let mut seen = BTreeSet::new();
        let (mut events, mut fresh) = (events, BTreeSet::new());
        events.retain(|event| {
            let first = seen.insert(event.id());
            counts.repeated += u64::from(!first);
            first
        });
        {
            let mut change = self.memory.change(Ticks::now()).await?;
            for event in &events {
                let id = event.id();
                if !change.has(&id).await? {
                    fresh.insert(id);
                }
            }
        }
        if way == Way::Delivered {
            counts.repeated += (events.len() - fresh.len()) as u64;
            events.retain(|event| fresh.contains(&event.id()));
        }
        if events.is_empty() {
            return Ok(counts);
        }
        // All that takes time is asked before anything is written, so that the file is not held meanwhile.
        let mut repaired = BTreeSet::new();
        for event in events.iter_mut().filter(|event| fresh.contains(&event.id())) {
            if event.is_stripped() && self.repair(event).await? {
                repaired.insert(event.id());
            }
        }
        let learned = self.ask_for_rooms(state, &events).await?;

        let mut change = self.memory.change(Ticks::now()).await?;
        for (room, learned) in &learned {
            for one in learned {
                change.learn(Some(room), "", one).await?;
            }
            change.completed(room).await?;
        }
        let mut sequence = change.last_sequence().await?;
        for event in &events {
            let id = event.id();
            let mut mapped = self.map(&mut change, event).await?;
            // Asked once more: a back-fill and the bridge may meanwhile have met the same event.
            if change.has(&id).await? {
                counts.repeated += 1;
            } else {
                sequence += 1;
                if repaired.contains(&id) {
                    mapped
                        .notes
                        .insert("repaired".into(), "deleted before the bridge received it; fetched afterwards".into());
                }
                if way == Way::History {
                    mapped.notes.insert("backfilled".into(), "read from the server's history afterwards".into());
                }
                counts.note(&id, &mapped, repaired.contains(&id));
                change.add(sequence, &id, &event::body(event, &mapped, &self.settings.source, sequence)?).await?;
            }
            for learned in &mapped.learned {
                change.learn(event.room(), &id, learned).await?;
            }
        }
        change.commit(Commit::BRIDGE_RECORDED).await?;
        Ok(counts)
    }

    async fn map(&self, change: &mut Change<'_>, event: &MatrixEvent) -> Result<map::Mapped, DeliveryError> {
        let known = change.known(event.room(), &map::wanted(event)).await?;
        Ok(map::map(event, &known, self.settings.server.as_deref()))
    }

    /// Asks the homeserver for the words of an event that was deleted before it arrived, and puts them back.
    async fn repair(&self, event: &mut MatrixEvent) -> Result<bool, DeliveryError> {
        let mut tries = 1;
        let content = loop {
            match self.homeserver.content_of(&event.id()).await {
                Ok(content) => break content,
                Err(error) if error.passes() && tries < REPAIR_TRIES => {
                    tries += 1;
                    tokio::time::sleep(REPAIR_PAUSE).await;
                }
                Err(error) => {
                    tracing::warn!(event = event.id(), error = %error, "a deleted event could not be fetched");
                    return Ok(false);
                }
            }
        };
        let mut whole = event.value.clone();
        whole["content"] = content;
        if let Some(unsigned) = whole.get_mut("unsigned").and_then(Value::as_object_mut) {
            unsigned.remove("redacted_because");
        }
        *event = MatrixEvent::new(to_raw_value(&whole)?);
        Ok(true)
    }

    /// What the homeserver tells of the rooms that are not known yet. A room that cannot be asked for stays as unknown as it is.
    async fn ask_for_rooms(
        &self,
        state: &mut State,
        events: &[MatrixEvent],
    ) -> Result<BTreeMap<String, Vec<Learned>>, DeliveryError> {
        let mut learned = BTreeMap::new();
        for event in events {
            let (Some(room), Some(sender)) = (event.room(), text(&event.value, &["sender"])) else { continue };
            if learned.contains_key(room) {
                continue;
            }
            let mut change = self.memory.change(Ticks::now()).await?;
            let known = change.is_complete(room).await?;
            drop(change);
            if known || state.unasked.get(room).is_some_and(|asked| asked.elapsed() < ASK_AGAIN_AFTER) {
                continue;
            }
            if text(&event.value, &["type"]) == Some("m.room.create") {
                // Everything about it follows.
                learned.insert(room.to_owned(), Vec::new());
                continue;
            }
            match self.homeserver.state_of(room, sender).await {
                Ok(events) => {
                    state.unasked.remove(room);
                    learned.insert(room.to_owned(), of_state(&events));
                }
                Err(error) => {
                    tracing::warn!(room, error = %error, "what a room is called could not be asked for");
                    state.unasked.insert(room.to_owned(), Instant::now());
                }
            }
        }
        Ok(learned)
    }

    /// Publishes everything that is not confirmed yet, in the order of its numbers.
    async fn publish(&self, state: &mut State) -> Result<(), DeliveryError> {
        let mut change = self.memory.change(Ticks::now()).await?;
        let open = change.open_events().await?;
        drop(change);
        let Some(last) = open.last().map(|event| event.sequence) else { return Ok(()) };
        let count = open.len() as u64;
        self.send(state, open.into_iter().map(|event| event.body).collect()).await?;
        reached(Step::BridgePublished);
        let mut change = self.memory.change(Ticks::now()).await?;
        change.confirm(last).await?;
        change.commit(Commit::BRIDGE_CONFIRMED).await?;
        state.counts.published += count;
        Ok(())
    }

    /// Publishes bodies and waits until the broker has confirmed each.
    async fn send(&self, state: &mut State, bodies: Vec<Vec<u8>>) -> Result<(), DeliveryError> {
        let kept = state.publisher.take();
        let sent = timeout(CONFIRM_TIME_MAX, async {
            let mut publisher = match kept {
                Some(publisher) => publisher,
                None => Publisher::connect(&self.broker).await?,
            };
            for body in bodies {
                publisher.publish(body).await?;
            }
            publisher.flush().await?;
            Ok::<_, IntakeError>(publisher)
        });
        state.publisher = Some(sent.await.map_err(|_| DeliveryError::Unconfirmed)??);
        Ok(())
    }
}

impl Counts {
    /// Counts what a person should hear of an event that is new.
    fn note(&mut self, id: &str, mapped: &map::Mapped, repaired: bool) {
        self.repaired += u64::from(repaired);
        match mapped.remark {
            Some(Remark::Encrypted) => self.encrypted += 1,
            Some(Remark::Gap) => {
                self.gaps += 1;
                tracing::warn!(event = id, "its words were deleted before it arrived, and nobody has them any more");
            }
            None => {}
        }
    }
}

impl State {
    /// Refuses a transaction once when one before it is missing: Synapse forgets a transaction that was cut off until the next
    /// failure. On PostgreSQL its ids count up by one for a single service, so a gap tells.
    fn look_for_stuck(&mut self, transaction_id: &str) -> Result<(), DeliveryError> {
        let Ok(number) = transaction_id.parse::<u64>() else { return Ok(()) };
        let last = self.last_transaction;
        self.last_transaction = Some(last.map_or(number, |last| last.max(number)));
        match last {
            Some(last) if number > last.saturating_add(1) => Err(DeliveryError::Shaken(number)),
            _ => Ok(()),
        }
    }
}

/// What the state events of a room teach.
fn of_state(events: &[Value]) -> Vec<Learned> {
    let mut learned = Vec::new();
    for event in events {
        let own = |name: &str| text(event, &["content", name]).map(str::to_owned);
        match text(event, &["type"]) {
            Some("m.room.name") => learned.push(Learned::RoomName(own("name"))),
            Some("m.room.topic") => learned.push(Learned::RoomTopic(own("topic"))),
            Some("m.room.member") => {
                if let Some(person) = text(event, &["state_key"]) {
                    learned.push(Learned::PersonName(person.to_owned(), own("displayname")));
                }
                if event.get("content").and_then(|content| content.get("is_direct")) == Some(&json!(true)) {
                    learned.push(Learned::Direct);
                }
            }
            _ => {}
        }
    }
    learned
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test should panic")]

    use super::*;

    #[test]
    fn a_missing_transaction_is_asked_for_once() {
        let mut state = State::default();
        for id in ["7", "8", "8", "3", "9", "not-a-number"] {
            assert!(state.look_for_stuck(id).is_ok(), "{id}");
        }
        assert!(matches!(state.look_for_stuck("11"), Err(DeliveryError::Shaken(11))));
        for id in ["10", "11", "12"] {
            assert!(state.look_for_stuck(id).is_ok(), "{id}");
        }
    }
}
