//! From the bytes of one event to its row for staging: known source, keys a database can index, digest.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::{Decoder, Refusal};
use crate::model::event::NativeId;
use crate::model::{Event, Kind, Text, Ticks, UnreadableReason};
use crate::staging::NewEvent;

/// Longest id or room URI in bytes. Both are parts of unique keys, and PostgreSQL indexes no entry
/// beyond 2704 bytes: a longer one would stop staging for everyone.
pub(super) const KEY_BYTES_MAX: usize = 1024;

/// A row that still lacks the bytes it was read from.
pub(super) struct ReadEvent(NewEvent);

impl ReadEvent {
    /// The row, with the bytes it was read from.
    pub(super) fn with_raw(mut self, raw: Vec<u8>) -> NewEvent {
        self.0.raw = raw;
        self.0
    }
}

impl Decoder {
    /// Reads one structured event and checks what staging relies on.
    pub(super) fn read(&self, bytes: &[u8], received: Ticks) -> Result<ReadEvent, Refusal> {
        let event = Event::read(bytes).map_err(|unreadable| {
            let (source, event_id, sequence) = peek(bytes);
            // Whoever is not known could make numbers up.
            let sequence = sequence.filter(|_| source.as_deref().is_some_and(|uri| self.sources.get(uri).is_some()));
            Refusal { reason: unreadable.reason.as_str(), detail: unreadable.detail, source, event_id, sequence }
        })?;
        let known = |reason, detail: String| Refusal {
            reason,
            detail,
            source: showable(event.source.as_str()),
            event_id: showable(event.id.as_str()),
            sequence: event
                .sequence
                .filter(|_| event.source.as_str().is_some_and(|uri| self.sources.get(uri).is_some())),
        };
        let bad = |detail: String| known(UnreadableReason::BadMember.as_str(), detail);
        let id = key("id", &event.id).map_err(bad)?;
        let source = event
            .source
            .as_str()
            .and_then(|uri| self.sources.get(uri))
            .ok_or_else(|| known("unknown-source", "the source is not configured under [[source]]".into()))?;
        let room_uri = match (event.kind, &event.room_uri) {
            (Kind::SourceHeartbeat, _) => None,
            (_, Some(room)) => Some(key("subject", room).map_err(bad)?),
            (_, None) => Some(source.to_string()),
        };
        let heartbeat_sequence = event.data.sequence.filter(|_| event.kind == Kind::SourceHeartbeat);
        if heartbeat_sequence.is_some_and(|sequence| i64::try_from(sequence).is_err()) {
            return Err(bad("data.sequence: expected a number below 2^63".into()));
        }
        Ok(ReadEvent(NewEvent {
            source,
            id,
            kind: event.kind,
            room_uri,
            person_key: person_key(&event),
            message_id: message_id(&event),
            time: event.time.unwrap_or(received),
            time_is_receipt: event.time.is_none(),
            sequence: event.sequence,
            received,
            heartbeat_sequence,
            raw: Vec::new(),
            sha256: Sha256::digest(bytes).into(),
        }))
    }
}

/// What staging numbers the sender by, unless the native id already is a number.
fn person_key(event: &Event<'_>) -> Option<String> {
    let sender = event.data.sender.as_ref().filter(|_| event.kind != Kind::SourceHeartbeat)?;
    match sender.id.as_ref().and_then(NativeId::as_int) {
        Some(_) => None,
        None => sender.key().map(indexable),
    }
}

/// What staging numbers the message by, unless the native id already is a number.
fn message_id(event: &Event<'_>) -> Option<String> {
    let id = event.data.message.as_ref()?.id.as_ref()?;
    id.as_int().is_none().then(|| indexable(&id.0))
}

/// An attribute that becomes part of a unique key, or what is wrong with it.
fn key(name: &str, text: &Text<'_>) -> Result<String, String> {
    match text.as_str() {
        None => Err(format!("{name} holds half a surrogate pair")),
        Some(text) if text.contains('\0') => Err(format!("{name} holds a NUL character")),
        Some(text) if text.len() > KEY_BYTES_MAX => {
            Err(format!("{name} has {} bytes, at most {KEY_BYTES_MAX} are allowed", text.len()))
        }
        Some(text) => Ok(text.to_owned()),
    }
}

/// A native id as text every database can index: as it is, or by its digest when it is too long or no
/// plain text. Equal ids give equal keys and different ids different ones.
fn indexable(text: &Text<'_>) -> String {
    match key("", text) {
        Ok(text) => text,
        Err(_) => format!("sha256:{}", hex::encode(Sha256::digest(text.as_bytes()))),
    }
}

fn showable(text: Option<&str>) -> Option<String> {
    text.filter(|text| !text.is_empty() && text.len() <= KEY_BYTES_MAX && !text.contains('\0')).map(str::to_owned)
}

/// Source, id and number of something that is no event, as far as they can be told.
fn peek(bytes: &[u8]) -> (Option<String>, Option<String>, Option<u64>) {
    #[derive(Deserialize)]
    struct Peek<'a> {
        #[serde(borrow)]
        source: Option<&'a RawValue>,
        #[serde(borrow)]
        id: Option<&'a RawValue>,
        #[serde(borrow)]
        sequence: Option<&'a RawValue>,
    }
    let text = |raw: Option<&RawValue>| -> Option<String> {
        showable(Some(&serde_json::from_str::<String>(raw?.get()).ok()?))
    };
    let number = |raw: Option<&RawValue>| serde_json::from_str::<String>(raw?.get()).ok()?.parse().ok();
    serde_json::from_slice::<Peek<'_>>(bytes)
        .map_or((None, None, None), |peek| (text(peek.source), text(peek.id), number(peek.sequence)))
}

/// Whether the bytes are a JSON object that certainly is no structured event.
pub(super) fn lacks_specversion(bytes: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Peek {
        specversion: Option<IgnoredAny>,
    }
    serde_json::from_slice::<Peek>(bytes).is_ok_and(|peek| peek.specversion.is_none())
}
