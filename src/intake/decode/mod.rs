//! One decoder for everything that arrives: AMQP messages (structured, batch, binary), spool lines, and
//! quarantined bytes that are tried again.
//!
//! Every input ends as events or in quarantine, with its exact bytes; nothing is dropped and nothing
//! panics. Reasons and details never hold message text.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{KnownSources, Result};
use crate::config::Config;
use crate::model::{Ticks, UnreadableReason};
use crate::staging::{Arrivals, NewQuarantined};

mod binary;
#[cfg(test)]
mod contract;
mod event;
#[cfg(test)]
mod tests;

/// Media type of one event in structured JSON form.
pub const STRUCTURED: &str = "application/cloudevents+json";
/// Media type of a JSON array of events.
pub const BATCH: &str = "application/cloudevents-batch+json";

/// What travels beside the body of an AMQP message, as far as decoding needs it.
///
/// As JSON it is stored with a quarantined item, so that the bytes can be decoded again.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct MessageHead {
    /// The content-type property.
    pub content_type: Option<String>,
    /// The headers by name. Text stays text; bytes that are no text stand as `{"base64": ...}`.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub headers: serde_json::Map<String, serde_json::Value>,
    /// The properties when they are not what AMQP says; then there is nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<UnreadableProperties>,
}

/// The properties of a message that do not follow AMQP 0-9-1, for instance because a text in them is no UTF-8.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UnreadableProperties {
    /// What is wrong with them, for people.
    pub flaw: String,
    /// Flags and list as they came, in base64, without the broker's delivery count.
    pub base64: String,
}

/// Bytes as they arrived.
#[derive(Debug)]
pub struct Received<'a> {
    /// Where from: `amqp:<queue>` or `spool:<file>:<line>`.
    pub origin: &'a str,
    /// When.
    pub received: Ticks,
    /// The message's head; `None` for a spool line, which is always one structured event.
    pub head: Option<MessageHead>,
    /// The exact bytes.
    pub body: Vec<u8>,
}

/// Turns received bytes into rows for staging.
#[derive(Debug, Clone)]
pub struct Decoder {
    sources: KnownSources,
    size_max: u64,
}

/// Why something is no event.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Refusal {
    reason: &'static str,
    detail: String,
    source: Option<String>,
    event_id: Option<String>,
    sequence: Option<u64>,
}

/// How a message says its body is to be read.
enum Form {
    Structured,
    Batch,
    Binary(&'static str),
}

impl Decoder {
    /// A decoder that believes the sources of a configuration and keeps its size limit.
    ///
    /// # Errors
    /// When two entries name the same source.
    pub fn new(config: &Config) -> Result<Self> {
        Ok(Self { sources: KnownSources::new(&config.source)?, size_max: config.intake.event_size_max.get() })
    }

    /// Decodes one input and adds what it holds to `out`.
    pub fn decode(&self, input: Received<'_>, out: &mut Arrivals) {
        let size = input.body.len();
        if size as u64 > self.size_max {
            let detail = format!("{size} bytes, the limit is {} (intake.event_size_max)", self.size_max);
            return out.quarantined.push(quarantined(input, Refusal::new("too-large", detail)));
        }
        match input.head.as_ref().map_or(Ok(Form::Structured), |head| form_of(head, &input.body)) {
            Ok(Form::Structured) => self.structured(input, out),
            Ok(Form::Batch) => self.batch(input, out),
            Ok(Form::Binary(prefix)) => self.binary(input, prefix, out),
            Err(refusal) => out.quarantined.push(quarantined(input, refusal)),
        }
    }

    /// Decodes quarantined bytes again, with the head that was stored beside them. The result holds
    /// quarantined items for whatever still cannot be understood.
    pub fn decode_again(&self, headers: Option<&str>, origin: &str, raw: Vec<u8>, received: Ticks) -> Arrivals {
        let mut out = Arrivals::default();
        let head = match headers {
            Some(json) => Some(serde_json::from_str(json).unwrap_or_default()),
            None if origin.starts_with("spool:") => None,
            None => Some(MessageHead::default()),
        };
        self.decode(Received { origin, received, head, body: raw }, &mut out);
        out
    }

    fn structured(&self, input: Received<'_>, out: &mut Arrivals) {
        match self.read(&input.body, input.received) {
            Ok(event) => out.events.push(event.with_raw(input.body)),
            Err(refusal) => out.quarantined.push(quarantined(input, refusal)),
        }
    }

    /// Reads an array. One bad element is quarantined alone, as the structured event it tried to be.
    fn batch(&self, input: Received<'_>, out: &mut Arrivals) {
        let elements: Vec<&RawValue> = match serde_json::from_slice(&input.body) {
            Ok(elements) => elements,
            Err(error) => {
                let refusal = not_json(&input.body, &error, "a JSON array of events");
                return out.quarantined.push(quarantined(input, refusal));
            }
        };
        if elements.is_empty() {
            let refusal = Refusal::new("empty-batch", "the array holds no event");
            return out.quarantined.push(quarantined(input, refusal));
        }
        for element in elements {
            let body = element.get().as_bytes();
            match self.read(body, input.received) {
                Ok(event) => out.events.push(event.with_raw(body.to_vec())),
                Err(refusal) => {
                    let head = MessageHead { content_type: Some(STRUCTURED.into()), ..MessageHead::default() };
                    let element = Received {
                        origin: input.origin,
                        received: input.received,
                        head: Some(head),
                        body: body.to_vec(),
                    };
                    out.quarantined.push(quarantined(element, refusal));
                }
            }
        }
    }

    fn binary(&self, input: Received<'_>, prefix: &'static str, out: &mut Arrivals) {
        let head = input.head.as_ref();
        let read = head.map_or_else(|| Err(Refusal::default()), |head| binary::envelope(head, prefix, &input.body));
        let read = read.and_then(|raw| self.read(&raw, input.received).map(|event| event.with_raw(raw)));
        match read {
            Ok(event) => out.events.push(event),
            Err(refusal) => out.quarantined.push(quarantined(input, refusal)),
        }
    }
}

impl Refusal {
    fn new(reason: &'static str, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into(), source: None, event_id: None, sequence: None }
    }
}

/// Decides how a message is to be read. A CloudEvents content type wins over headers; headers win over guessing.
fn form_of(head: &MessageHead, body: &[u8]) -> Result<Form, Refusal> {
    if let Some(unreadable) = &head.unreadable {
        let flaw = &unreadable.flaw;
        return Err(Refusal::new(
            "unreadable-properties",
            format!("expected properties as AMQP 0-9-1 has them, but {flaw}"),
        ));
    }
    let media_type = head.content_type.as_deref().map(essence).filter(|media_type| !media_type.is_empty());
    match media_type.as_deref() {
        Some(STRUCTURED) => return Ok(Form::Structured),
        Some(BATCH) => return Ok(Form::Batch),
        _ => {}
    }
    if let Some(prefix) = binary::prefix_of(head)? {
        return Ok(Form::Binary(prefix));
    }
    let unknown = |detail: String| Err(Refusal::new("unknown-content-type", detail));
    if let Some(media_type) = media_type {
        let shown: String = media_type.chars().filter(|c| !c.is_control()).take(100).collect();
        return unknown(format!("expected {STRUCTURED} or {BATCH}, found {shown}"));
    }
    match body.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'[') => Ok(Form::Batch),
        Some(b'{') if event::lacks_specversion(body) => {
            unknown("no content type, and the JSON object has no specversion".into())
        }
        Some(b'{') => Ok(Form::Structured),
        _ => unknown("no content type, and the body is neither a JSON object nor an array".into()),
    }
}

/// A media type without its parameters, in lower case.
fn essence(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn quarantined(input: Received<'_>, refusal: Refusal) -> NewQuarantined {
    NewQuarantined {
        received: input.received,
        origin: input.origin.to_owned(),
        reason: refusal.reason.to_owned(),
        detail: refusal.detail,
        source: refusal.source,
        event_id: refusal.event_id,
        sequence: refusal.sequence,
        headers: input.head.and_then(|head| serde_json::to_string(&head).ok()),
        raw: input.body,
    }
}

fn not_json(body: &[u8], error: &serde_json::Error, expected: &str) -> Refusal {
    match std::str::from_utf8(body) {
        Ok(_) => Refusal::new(
            UnreadableReason::Malformed.as_str(),
            format!("expected {expected}, reading failed at line {} column {}", error.line(), error.column()),
        ),
        Err(bad) => Refusal::new(
            UnreadableReason::NotUtf8.as_str(),
            format!("expected {expected}, found invalid UTF-8 at byte {}", bad.valid_up_to()),
        ),
    }
}
