//! The CloudEvent as the simulated chat server writes it: structured JSON, members in a fixed order.
//!
//! This is the emitter's side of the contract; `model::event` is the reader's. The two share no
//! code on purpose: what one writes, the other must accept.

use serde::{Serialize, Serializer};
use serde_json::Value;

use super::people::{Person, Standing};
use super::rooms::Room;
use crate::model::Ticks;

/// An id as its source writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(super) enum NativeId {
    Number(u64),
    Text(String),
}

/// How a source writes its ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IdStyle {
    /// Small numbers, counted per room; the sequence without padding.
    Numbers,
    /// UUIDs and names; the sequence padded with zeros.
    Names,
}

/// The attributes of an event.
#[derive(Serialize)]
pub(super) struct Envelope<'a> {
    pub(super) specversion: &'static str,
    pub(super) id: &'a str,
    pub(super) source: &'a str,
    #[serde(rename = "type")]
    pub(super) event_type: &'static str,
    #[serde(serialize_with = "rfc3339")]
    pub(super) time: Ticks,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) subject: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) partitionkey: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sequence: Option<String>,
    pub(super) data: Data<'a>,
}

/// The content of an event.
#[derive(Default, Serialize)]
pub(super) struct Data<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) room: Option<RoomJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sender: Option<PersonJson<'a>>,
    #[serde(flatten)]
    pub(super) content: Content,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) member: Option<PersonJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sequence: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) count: Option<u64>,
}

/// What an event tells besides room and people.
#[derive(Default, Serialize)]
pub(super) struct Content {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message: Option<MessageJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) file: Option<FileJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) query: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) changes: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) poll: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) lease_seconds: Option<u64>,
}

#[derive(Serialize)]
pub(super) struct RoomJson<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    uri: Option<&'a str>,
    name: &'a str,
    kind: &'static str,
    logged: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'static str>,
}

#[derive(Serialize)]
pub(super) struct PersonJson<'a> {
    id: NativeId,
    uri: String,
    name: &'a str,
    email: &'a str,
    internal: bool,
    bot: bool,
    company: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_name: Option<String>,
}

/// A message or a reference to one.
#[derive(Default, Serialize)]
pub(super) struct MessageJson {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<NativeId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) previous_text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) format: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) in_reply_to: Option<NativeId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) thread: Option<NativeId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reaction: Option<&'static str>,
}

/// A file with its bytes.
#[derive(Debug, Clone, Serialize)]
pub(super) struct FileJson {
    pub(super) id: NativeId,
    pub(super) name: String,
    pub(super) media_type: &'static str,
    pub(super) size: u64,
    pub(super) sha256: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) inline: Option<String>,
}

impl<'a> RoomJson<'a> {
    /// The room as a source describes it: the one with numbers repeats the URI, the one with names
    /// tells the topic each time.
    pub(super) fn of(room: &'a Room, ids: IdStyle, event_type: &str) -> Self {
        let (names, news) = (ids == IdStyle::Names, event_type.starts_with("chat.room."));
        Self {
            uri: Some(room.uri.as_str()).filter(|_| !names),
            name: &room.name,
            kind: room.kind.as_str(),
            logged: room.logged,
            topic: Some(room.topic.as_str()).filter(|topic| (names || news) && !topic.is_empty()),
            description: Some(room.description).filter(|description| news && !description.is_empty()),
        }
    }
}

impl<'a> PersonJson<'a> {
    pub(super) fn of(person: &'a Person, ids: IdStyle) -> Self {
        let login = person.address.split('@').next().unwrap_or_default();
        Self {
            id: match ids {
                IdStyle::Numbers => NativeId::Number(person.number),
                IdStyle::Names => NativeId::Text(format!("u-{login}")),
            },
            uri: format!("sip:{}", person.address),
            name: &person.name,
            email: if person.standing == Standing::Bot { "" } else { &person.address },
            internal: person.standing != Standing::Guest,
            bot: person.standing == Standing::Bot,
            company: person.company,
            role: None,
            previous_name: None,
        }
    }

    /// The same person with what `chat.member.*` tells besides.
    pub(super) fn changed(self, role: Option<&'static str>, previous_name: Option<String>) -> Self {
        Self { role, previous_name, ..self }
    }
}

fn rfc3339<S: Serializer>(time: &Ticks, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&time.iso())
}
