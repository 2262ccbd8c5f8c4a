//! What a Matrix event is in the native format: functions of the event and of what is known, without I/O.
//!
//! Source: Matrix specification 1.11, "Room events" and "Instant messaging"; what Synapse really sends was seen on a
//! running server. What has no native type keeps its own under `matrix.`, whole, and is archived as such.

mod member;
mod message;
mod room;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::event::{MatrixEvent, text};

/// The longest type that is spelled out: it is the routing key too, which AMQP limits to 255 bytes.
const TYPE_BYTES_MAX: usize = 200;

/// What a Matrix event is in the native format.
#[derive(Debug, Clone, PartialEq)]
pub struct Mapped {
    /// The CloudEvents type.
    pub event_type: String,
    /// Members of `data` that the native format knows.
    pub data: Map<String, Value>,
    /// Members of `data.matrix` beside the event itself.
    pub notes: Map<String, Value>,
    /// What later events need to know of this one.
    pub learned: Vec<Learned>,
    /// What a person should hear of.
    pub remark: Option<Remark>,
}

/// What is counted, because the archive cannot show what was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remark {
    /// End-to-end encrypted: archived as cipher text.
    Encrypted,
    /// Its content was gone before it could be had.
    Gap,
}

/// What is known before an event is mapped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// The room's name, topic and kind.
    pub room: RoomFacts,
    /// Display names in that room by Matrix id.
    pub names: BTreeMap<String, String>,
    /// What the event refers to, if it was seen.
    pub target: Option<Said>,
}

/// What is known of a room.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoomFacts {
    /// Display name.
    pub name: Option<String>,
    /// Topic line.
    pub topic: Option<String>,
    /// Whether its members made it as a direct conversation.
    pub direct: bool,
}

/// What somebody said, as far as edits and deletions must know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// What it is.
    pub kind: SaidKind,
    /// The words, newest version; the reaction for a reaction; the name for a file.
    pub text: Option<String>,
    /// What a reaction or an edit is about; where a file lies.
    pub about: Option<String>,
}

/// The kinds of what can be edited or deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the words are their own explanation")]
pub enum SaidKind {
    Message,
    Edit,
    Reaction,
    File,
}

impl SaidKind {
    /// The word the bridge's memory stores.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Edit => "edit",
            Self::Reaction => "reaction",
            Self::File => "file",
        }
    }

    /// The kind of a stored word; a word of a later version counts as a message.
    pub fn of_word(word: &str) -> Self {
        [Self::Edit, Self::Reaction, Self::File].into_iter().find(|kind| kind.as_str() == word).unwrap_or(Self::Message)
    }
}

/// One thing to be remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Learned {
    /// The room has this name now; `None`: no name.
    RoomName(Option<String>),
    /// The room has this topic now.
    RoomTopic(Option<String>),
    /// The room is a direct conversation.
    Direct,
    /// A person has this display name in the room; `None`: no name.
    PersonName(String, Option<String>),
    /// The event itself, under its id.
    Said(Said),
    /// The newest words of an earlier event.
    Words(String, String),
}

/// What must be looked up before an event can be mapped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Whose names.
    pub people: Vec<String>,
    /// Which earlier event.
    pub target: Option<String>,
}

/// What must be looked up for this event.
pub fn wanted(event: &MatrixEvent) -> Wanted {
    let value = &event.value;
    let people = [text(value, &["sender"]), text(value, &["state_key"])];
    let people = people.into_iter().flatten().filter(|id| id.starts_with('@')).map(str::to_owned).collect();
    let target = match text(value, &["type"]) {
        Some("m.room.redaction") => redacts(value),
        _ if text(value, &["content", "m.relates_to", "rel_type"]) == Some("m.replace") => {
            text(value, &["content", "m.relates_to", "event_id"])
        }
        _ => None,
    };
    Wanted { people, target: target.map(str::to_owned) }
}

/// The native form of an event. `server`: the homeserver's own name, whose people belong to the firm.
pub fn map(event: &MatrixEvent, known: &Known, server: Option<&str>) -> Mapped {
    let view = View { event, value: &event.value, known, server };
    if event.is_stripped() {
        return view.gap();
    }
    let native = match text(view.value, &["type"]) {
        // Every type that is native needs a room and somebody who did it.
        _ if event.room().is_none() || view.sender().is_none() => None,
        Some("m.room.message" | "m.sticker") => message::message(&view),
        Some("m.reaction") => message::reaction(&view),
        Some("m.room.redaction") => message::redaction(&view),
        Some(kind) if message::is_poll(kind) => message::poll(&view),
        Some("m.room.member") => member::member(&view),
        Some(kind) if text(view.value, &["state_key"]).is_some() => room::state(&view, kind),
        _ => None,
    };
    native.unwrap_or_else(|| view.other())
}

/// The event a redaction is about; room version 11 moved it into the content.
fn redacts(value: &Value) -> Option<&str> {
    text(value, &["redacts"]).or_else(|| text(value, &["content", "redacts"])).filter(|id| !id.is_empty())
}

/// An event beside what is known.
struct View<'a> {
    event: &'a MatrixEvent,
    value: &'a Value,
    known: &'a Known,
    server: Option<&'a str>,
}

impl View<'_> {
    fn text(&self, path: &[&str]) -> Option<&str> {
        text(self.value, path)
    }

    fn content(&self, name: &str) -> Option<&Value> {
        self.value.get("content")?.get(name)
    }

    fn sender(&self) -> Option<&str> {
        self.text(&["sender"]).filter(|sender| !sender.is_empty())
    }

    /// The person as known at this moment.
    fn person(&self, id: &str) -> Map<String, Value> {
        let mut person = Map::new();
        person.insert("uri".into(), id.into());
        if let Some(name) = self.known.names.get(id).filter(|name| !name.is_empty()) {
            person.insert("name".into(), name.as_str().into());
        }
        // A server's name may hold a colon itself, before its port; the person's own part cannot.
        if let (Some(server), Some((_, of))) = (self.server, id.split_once(':')) {
            person.insert("internal".into(), (of == server).into());
        }
        person
    }

    fn room(&self) -> Value {
        let facts = &self.known.room;
        let mut room = Map::new();
        room.insert("kind".into(), if facts.direct { "direct" } else { "room" }.into());
        room.insert("logged".into(), true.into());
        for (name, text) in [("name", &facts.name), ("topic", &facts.topic)] {
            if let Some(text) = text.as_ref().filter(|text| !text.is_empty()) {
                room.insert(name.into(), text.as_str().into());
            }
        }
        Value::Object(room)
    }

    /// An event of a type with room and sender, where they are known; `more` members come on top.
    fn mapped(&self, event_type: &str, more: Value) -> Mapped {
        let mut data = Map::new();
        if self.event.room().is_some() {
            data.insert("room".into(), self.room());
        }
        if let Some(sender) = self.sender() {
            data.insert("sender".into(), Value::Object(self.person(sender)));
        }
        if let Value::Object(more) = more {
            data.extend(more);
        }
        Mapped { event_type: event_type.to_owned(), data, notes: Map::new(), learned: Vec::new(), remark: None }
    }

    /// What has no native type, under its own name.
    fn other(&self) -> Mapped {
        let own = self.text(&["type"]).filter(|own| {
            // What an AMQP topic could not carry, or would read as several words or none, is not spelled out.
            !own.is_empty() && own.len() <= TYPE_BYTES_MAX && own.bytes().all(|byte| byte.is_ascii_graphic())
        });
        let mapped = self.mapped(&format!("matrix.{}", own.unwrap_or("unnamed")), Value::Null);
        match own {
            Some("m.room.encrypted") => mapped.remarked(Remark::Encrypted),
            _ => mapped,
        }
    }

    /// Something that was said and whose words nobody has any more.
    fn gap(&self) -> Mapped {
        let mut mapped = self.mapped("matrix.stripped", Value::Null).remarked(Remark::Gap);
        let because = self.value.get("unsigned").and_then(|unsigned| unsigned.get("redacted_because"));
        mapped.notes.insert("gap".into(), "deleted before the bridge received it, and the server gave no copy".into());
        for (name, path) in [("deleted_by", "sender"), ("deleted_by_event", "event_id")] {
            if let Some(found) = because.and_then(|because| text(because, &[path])) {
                mapped.notes.insert(name.into(), found.into());
            }
        }
        mapped
    }
}

impl Mapped {
    fn remarked(mut self, remark: Remark) -> Self {
        self.remark = Some(remark);
        self
    }

    fn learning(mut self, learned: impl IntoIterator<Item = Learned>) -> Self {
        self.learned.extend(learned);
        self
    }

    fn noted(mut self, name: &str, note: impl Into<Value>) -> Self {
        self.notes.insert(name.to_owned(), note.into());
        self
    }
}

/// A reference to a message.
fn message_of(id: &str) -> Map<String, Value> {
    let mut message = Map::new();
    message.insert("id".into(), id.into());
    message
}

/// `{"name": value}`, for the members of `data`.
fn member_of(name: &str, value: Map<String, Value>) -> Value {
    json!({ name: Value::Object(value) })
}
