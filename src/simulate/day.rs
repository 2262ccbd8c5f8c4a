//! The day itself: who does what in which room, one event after the other.
//!
//! Each act is possible where it happens: only who is in a room talks there, only what was said is
//! edited, answered or deleted, only what was uploaded is downloaded.

use std::sync::Arc;

use serde_json::json;

use super::clock;
use super::dice::Dice;
use super::event_json::{Content, Data, Envelope, IdStyle, MessageJson, PersonJson, RoomJson};
use super::people::{self, Person, Standing};
use super::rooms::{self, Life, Room};
use super::{SimEvent, SimNature, SimSpec, talk};
use crate::model::Ticks;

/// A source reports its count after so many events of its own.
const HEARTBEAT_EVERY: u64 = 250;

/// An emitter of events.
struct Emitter {
    uri: Arc<str>,
    ids: IdStyle,
    /// The highest sequence given out.
    sequence: u64,
    heartbeats: u64,
    since_heartbeat: u64,
}

/// What happens, before it is written down.
pub(super) struct Deed {
    pub(super) event_type: &'static str,
    pub(super) sender: usize,
    pub(super) content: Content,
    /// Whom it is done to, with role and former name.
    pub(super) member: Option<(usize, Option<&'static str>, Option<String>)>,
}

/// The state of the firm while its day goes by.
pub(super) struct Day {
    pub(super) dice: Dice,
    pub(super) cast: Vec<Person>,
    pub(super) rooms: Vec<Room>,
    emitters: Vec<Emitter>,
    /// Marks the ids of this run.
    run: String,
    pub(super) start: Ticks,
    day_ticks: f64,
    /// Whether files are passed around.
    pub(super) files: bool,
    events: u64,
    done: u64,
}

impl Deed {
    pub(super) fn plain(event_type: &'static str, sender: usize) -> Self {
        Self { event_type, sender, content: Content::default(), member: None }
    }

    pub(super) fn message(event_type: &'static str, sender: usize, message: MessageJson) -> Self {
        Self { content: Content { message: Some(message), ..Content::default() }, ..Self::plain(event_type, sender) }
    }
}

impl Day {
    pub(super) fn new(spec: &SimSpec) -> Self {
        let mut dice = Dice::new(spec.seed, 0);
        let cast = people::cast(spec.people.max(2) as usize, &mut dice);
        let sources = if spec.sources.is_empty() { SimSpec::default().sources } else { spec.sources.clone() };
        let emitters: Vec<_> = sources
            .iter()
            .enumerate()
            .map(|(index, uri)| Emitter {
                uri: Arc::from(uri.as_str()),
                ids: if index % 2 == 0 { IdStyle::Numbers } else { IdStyle::Names },
                sequence: 0,
                heartbeats: 0,
                since_heartbeat: 0,
            })
            .collect();
        let styles: Vec<_> = emitters.iter().map(|emitter| emitter.ids).collect();
        let rooms = rooms::rooms(spec.rooms as usize, &cast, &styles, &mut dice);
        Self {
            run: format!("{:x}-{:x}", spec.seed, spec.start.since_1970_ms()),
            dice,
            cast,
            rooms,
            emitters,
            start: spec.start,
            day_ticks: (spec.duration.as_nanos() / 100) as f64,
            files: spec.files,
            events: spec.events,
            done: 0,
        }
    }

    /// The next event of the day, dated back by `delay_ticks` if it happens in a room; `None` when
    /// all have happened.
    pub(super) fn next_event(&mut self, delay_ticks: i64) -> Option<SimEvent> {
        if self.done == self.events {
            return None;
        }
        let time = self.time();
        let left = self.events - self.done;
        self.done += 1;
        if let Some(emitter) = self.heartbeat_due(left) {
            return Some(self.heartbeat(emitter, time));
        }
        let room = self.busy_room();
        let deed = self.deed_in(room);
        let nature = if delay_ticks == 0 { SimNature::Ordinary } else { SimNature::Late };
        Some(SimEvent { nature, ..self.written(room, deed, time.plus_ticks(-delay_ticks)) })
    }

    /// The share of the day's events that has happened.
    pub(super) fn share(&self) -> f64 {
        self.done as f64 / self.events as f64
    }

    fn time(&mut self) -> Ticks {
        let share = (self.done as f64 + self.dice.fraction()) / self.events as f64;
        self.start.plus_ticks((clock::time_of_share(share) * self.day_ticks) as i64)
    }

    /// The emitter that should report now: after every so many events, and each once at the end.
    fn heartbeat_due(&self, left: u64) -> Option<usize> {
        let count = self.emitters.len() as u64;
        if left <= count && self.events > 4 * count {
            return usize::try_from(count - left).ok();
        }
        self.emitters.iter().position(|emitter| emitter.since_heartbeat >= HEARTBEAT_EVERY)
    }

    /// Draws a room that is not deleted; earlier ones are busier.
    fn busy_room(&mut self) -> usize {
        for _ in 0..8 {
            let pull = self.dice.fraction();
            let index = (pull * pull * self.rooms.len() as f64) as usize;
            if self.rooms[index].life != Life::Deleted {
                return index;
            }
        }
        // The first room is a desk room, and those are never deleted.
        0
    }

    /// Numbers an event and writes it as JSON.
    fn written(&mut self, room: usize, deed: Deed, time: Ticks) -> SimEvent {
        let room = &self.rooms[room];
        let emitter = &mut self.emitters[room.emitter];
        emitter.sequence += 1;
        emitter.since_heartbeat += 1;
        let (id, sequence) = match emitter.ids {
            IdStyle::Numbers => (format!("{}-{}", self.run, emitter.sequence), emitter.sequence.to_string()),
            IdStyle::Names => (self.dice.uuid(), format!("{:012}", emitter.sequence)),
        };
        let member = deed.member.map(|(person, role, previous_name)| {
            PersonJson::of(&self.cast[person], emitter.ids).changed(role, previous_name)
        });
        let data = Data {
            room: Some(RoomJson::of(room, emitter.ids, deed.event_type)),
            sender: Some(PersonJson::of(&self.cast[deed.sender], emitter.ids)),
            content: deed.content,
            member,
            ..Data::default()
        };
        Self::json(emitter, &id, deed.event_type, time, Some((&room.uri, sequence)), data)
    }

    /// A source's own report: no room, no sequence of its own.
    fn heartbeat(&mut self, emitter: usize, time: Ticks) -> SimEvent {
        let emitter = &mut self.emitters[emitter];
        emitter.heartbeats += 1;
        emitter.since_heartbeat = 0;
        let id = format!("{}-heartbeat-{}", self.run, emitter.heartbeats);
        let data = Data { sequence: Some(emitter.sequence), count: Some(emitter.sequence), ..Data::default() };
        Self::json(emitter, &id, "chat.source.heartbeat", time, None, data)
    }

    fn json(
        emitter: &Emitter,
        id: &str,
        event_type: &'static str,
        time: Ticks,
        place: Option<(&str, String)>,
        data: Data<'_>,
    ) -> SimEvent {
        let (room, sequence) = place.unzip();
        // `partitionkey` is optional: one style of source sends it, the other does not.
        let envelope = Envelope {
            specversion: "1.0",
            id,
            source: &emitter.uri,
            event_type,
            time,
            subject: room,
            partitionkey: room.filter(|_| emitter.ids == IdStyle::Names).and_then(|uri| uri.rsplit('/').next()),
            sequence,
            data,
        };
        let mut body = Vec::with_capacity(1024);
        // Only strings, numbers and a growing buffer: there is nothing that could fail.
        let _ = serde_json::to_writer(&mut body, &envelope);
        SimEvent { event_type, time, nature: SimNature::Ordinary, body }
    }

    /// Somebody who is in the room.
    pub(super) fn someone_in(&mut self, room: usize) -> usize {
        let present = &self.rooms[room].present;
        present[self.dice.below(present.len())]
    }

    /// An employee among those who are in, else anybody who is in: guests and bots do not manage rooms.
    pub(super) fn manager_in(&mut self, room: usize) -> usize {
        let anybody = self.someone_in(room);
        let present = &self.rooms[room].present;
        present.iter().copied().find(|&person| self.cast[person].standing == Standing::Employee).unwrap_or(anybody)
    }

    /// Whether the room's source renews presence: then its joins carry a lease.
    pub(super) fn renews_presence(&self, room: usize) -> bool {
        self.emitters[self.rooms[room].emitter].ids == IdStyle::Names
    }

    pub(super) fn created(&mut self, room: usize) -> Deed {
        self.rooms[room].life = Life::Open;
        let founder = self.rooms[room].members[0];
        let topic = talk::topic(&mut self.dice);
        let changes =
            json!({ "name": self.rooms[room].name, "topic": topic, "members": self.rooms[room].members.len() });
        self.rooms[room].topic = topic;
        Deed {
            content: Content { changes: Some(changes), ..Content::default() },
            ..Deed::plain("chat.room.created", founder)
        }
    }
}
