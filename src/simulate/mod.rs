//! Realistic chat traffic of a small trading firm, made from a seed: for demonstrations, tests and
//! measurements.
//!
//! It generates and does nothing else: no clock, no network, no file. The same [`SimSpec`] gives the
//! same bytes on every machine. Every event is one that a real chat server could have sent: people
//! talk only where they are, and only what was said is edited.

use std::time::Duration;

use crate::model::Ticks;

mod acts;
mod clock;
mod day;
mod dice;
mod event_json;
mod files;
mod people;
mod rooms;
mod talk;
#[cfg(test)]
mod tests;
mod trouble;
mod words;

/// What to simulate.
#[derive(Debug, Clone, PartialEq)]
pub struct SimSpec {
    /// The seed; the same seed gives the same day.
    pub seed: u64,
    /// How many people there are, guests included and the bot not; at least 2.
    pub people: u32,
    /// How many rooms there are; at least 1.
    pub rooms: u32,
    /// How many events the day has, heartbeats included. Duplicates and poison come on top.
    pub events: u64,
    /// When the day begins.
    pub start: Ticks,
    /// How long the day lasts; the events' times are spread over it as a business day's are.
    pub duration: Duration,
    /// The CloudEvents `source` of each emitter. Those at even places number their messages per room; those at odd
    /// places use UUIDs and renew presence. Rooms are dealt out in turn; none: the two of the default.
    pub sources: Vec<String>,
    /// Whether files are uploaded, downloaded and deleted. Without them the same people talk instead.
    pub files: bool,
    /// What shall go wrong.
    pub trouble: Trouble,
}

/// What goes wrong, each as a probability per event from 0 to 1.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Trouble {
    /// An earlier event is sent again, byte for byte.
    pub duplicates: f64,
    /// Bytes are sent that are no event.
    pub poison: f64,
    /// An event is dated back by five to thirty per cent of the day.
    pub late: f64,
}

/// One thing to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimEvent {
    /// The CloudEvents `type`; `poison` for bytes that are no event.
    pub event_type: &'static str,
    /// When it happened.
    pub time: Ticks,
    /// What kind of trouble it is, if any.
    pub nature: SimNature,
    /// A structured CloudEvent in JSON, without line breaks; for poison, whatever it is.
    pub body: Vec<u8>,
}

/// Whether an event is part of the day or of the trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SimNature {
    /// As it should be.
    Ordinary,
    /// Dated back.
    Late,
    /// The bytes of an earlier event.
    Duplicate,
    /// No event.
    Poison,
}

/// A day of traffic: an iterator over what to send, in order.
pub struct Simulation {
    day: day::Day,
    mischief: trouble::Mischief,
    day_ticks: i64,
    latest: Ticks,
    next: Option<SimEvent>,
}

impl Default for SimSpec {
    /// Forty people in fourteen rooms, 10,000 events over ten hours from 2026-11-02T07:00:00Z, without trouble.
    fn default() -> Self {
        Self {
            seed: 1,
            people: 40,
            rooms: 14,
            events: 10_000,
            start: Ticks::saturating_from_ticks(639_291_996_000_000_000),
            duration: Duration::from_secs(10 * 3600),
            sources: vec!["/channel-service/1".into(), "/web/1".into()],
            files: true,
            trouble: Trouble::default(),
        }
    }
}

impl SimSpec {
    /// How many events a day of this length has at a rate per second.
    pub fn events_at(duration: Duration, per_second: f64) -> u64 {
        // A float converts to the nearest number that fits; negative rates give none.
        (duration.as_secs_f64() * per_second).round() as u64
    }
}

impl Simulation {
    /// Prepares a day: people, rooms, and nothing said yet.
    pub fn new(spec: SimSpec) -> Self {
        Self {
            day: day::Day::new(&spec),
            mischief: trouble::Mischief::new(spec.trouble, spec.seed),
            day_ticks: i64::try_from(spec.duration.as_nanos() / 100).unwrap_or(i64::MAX),
            latest: spec.start,
            next: None,
        }
    }
}

impl Iterator for Simulation {
    type Item = SimEvent;

    fn next(&mut self) -> Option<SimEvent> {
        if let Some(event) = self.next.take() {
            return Some(event);
        }
        let delay = self.mischief.delay_ticks(self.day_ticks);
        let event = self.day.next_event(delay)?;
        self.latest = self.latest.max(event.time);
        let extra = self.mischief.extra(self.latest);
        self.mischief.notice(&event);
        match extra {
            Some(extra) => {
                self.next = Some(event);
                Some(extra)
            }
            None => Some(event),
        }
    }
}
