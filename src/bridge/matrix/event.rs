//! A Matrix event as the homeserver sends it, and the CloudEvent that is made of it.
//!
//! Source: Matrix specification, application-service API and client-server API ("room event format").

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::map::Mapped;
use crate::model::Ticks;

/// The longest id that the native format allows, in bytes.
const ID_BYTES_MAX: usize = 1024;
/// Ticks between the year 1 and 1970, by which Matrix counts its milliseconds.
const UNIX_EPOCH_TICKS: i64 = 621_355_968_000_000_000;
const TICKS_PER_MILLI: i64 = 10_000;
/// Digits of a sequence number, so that it sorts as text; 2^63 has 19.
const SEQUENCE_DIGITS: usize = 20;

/// One event, read as far as JSON can be read, with the exact text it came as.
#[derive(Debug, Clone)]
pub struct MatrixEvent {
    /// The exact JSON.
    pub raw: Box<RawValue>,
    /// The same, to look things up in; `null` where the text holds what Unicode cannot (half a surrogate pair).
    pub value: Value,
}

impl MatrixEvent {
    /// Reads an event; whatever it is, it can be archived.
    pub fn new(raw: Box<RawValue>) -> Self {
        let value = serde_json::from_str(raw.get()).unwrap_or(Value::Null);
        Self { raw, value }
    }

    /// What identifies the event: the server's own id, else the digest of its text, so that a redelivery has the same one.
    pub fn id(&self) -> String {
        let own = text(&self.value, &["event_id"]);
        match own.filter(|id| !id.is_empty() && id.len() <= ID_BYTES_MAX && !id.contains('\0')) {
            Some(id) => id.to_owned(),
            None => format!("unnamed-{}", hex::encode(Sha256::digest(self.raw.get().as_bytes()))),
        }
    }

    /// The room, where the event names one.
    pub fn room(&self) -> Option<&str> {
        text(&self.value, &["room_id"]).filter(|room| !room.is_empty() && room.len() <= ID_BYTES_MAX)
    }

    /// When the sender's server says it happened. A time beyond the years 1 to 9999 is none.
    pub fn time(&self) -> Option<Ticks> {
        let millis = self.value.get("origin_server_ts")?.as_i64()?;
        Ticks::from_ticks(millis.checked_mul(TICKS_PER_MILLI)?.checked_add(UNIX_EPOCH_TICKS)?)
    }

    /// Whether its words were taken away before it was sent: it was deleted while the bridge could not receive it.
    pub fn is_stripped(&self) -> bool {
        let unsigned = self.value.get("unsigned");
        let redacted = unsigned.and_then(|unsigned| unsigned.get("redacted_because")).is_some_and(Value::is_object);
        redacted && self.value.get("state_key").is_none()
    }
}

/// The text at a path of member names.
pub(super) fn text<'a>(value: &'a Value, path: &[&str]) -> Option<&'a str> {
    path.iter().try_fold(value, |value, name| value.get(name))?.as_str()
}

#[derive(Serialize)]
struct Envelope<'a> {
    specversion: &'static str,
    id: &'a str,
    source: &'a str,
    #[serde(rename = "type")]
    event_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    partitionkey: Option<&'a str>,
    sequence: String,
    datacontenttype: &'static str,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    #[serde(flatten)]
    native: &'a Map<String, Value>,
    matrix: Origin<'a>,
}

/// What only Matrix knows, beside the members of the native format.
#[derive(Serialize)]
struct Origin<'a> {
    #[serde(flatten)]
    notes: &'a Map<String, Value>,
    event: &'a RawValue,
}

/// The body to publish: a function of what is given, so that it is the same whenever it is made.
///
/// # Errors
/// When JSON cannot be written, which no event brings about.
pub fn body(event: &MatrixEvent, mapped: &Mapped, source: &str, sequence: i64) -> serde_json::Result<Vec<u8>> {
    let id = event.id();
    serde_json::to_vec(&Envelope {
        specversion: "1.0",
        id: &id,
        source,
        event_type: &mapped.event_type,
        time: event.time().map(Ticks::iso),
        subject: event.room(),
        partitionkey: event.room(),
        sequence: format!("{sequence:0SEQUENCE_DIGITS$}"),
        datacontenttype: "application/json",
        data: Data { native: &mapped.data, matrix: Origin { notes: &mapped.notes, event: &event.raw } },
    })
}

/// A heartbeat: so many events, the last one with this number, all confirmed by the broker.
///
/// # Errors
/// As [`body`].
pub fn heartbeat(source: &str, now: Ticks, sequence: i64, count: i64) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(&serde_json::json!({
        "specversion": "1.0",
        "id": format!("heartbeat-{}", uuid::Uuid::new_v4()),
        "source": source,
        "type": "chat.source.heartbeat",
        "time": now.iso(),
        "data": { "sequence": sequence, "count": count },
    }))
}
