//! The event: a CloudEvent read, checked, and ready to be staged or rendered.
//!
//! Source of the envelope: CloudEvents 1.0.2, JSON event format. Source of `data`: the project's own
//! contract, `schemas/event.schema.json`.

use std::fmt;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::members::{members, noticing_unknown};
use super::{Kind, Text, Ticks};

/// A number or a string, kept as text: native ids come in both shapes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NativeId<'a>(pub Text<'a>);

members! {
    /// The room an event happened in, as its source described it at that moment.
    pub struct Room<'a> {
        /// The room's URI, if it differs from the event's `subject`.
        "uri" => uri: Text<'a>,
        /// Display name.
        "name" => name: Text<'a>,
        /// `room`, `group` or `direct`.
        "kind" => kind: Text<'a>,
        /// Whether the chat server itself keeps the room's history.
        "logged" => logged: bool,
        /// Topic line.
        "topic" => topic: Text<'a>,
        /// Longer description.
        "description" => description: Text<'a>,
    }
}

members! {
    /// A person or bot, as the source described it at that moment.
    pub struct Person<'a> {
        /// Native id; written as `c:id`.
        "id" => id: NativeId<'a>,
        /// Address (SIP, Matrix id, ...); identifies the person.
        "uri" => uri: Text<'a>,
        /// Display name.
        "name" => name: Text<'a>,
        /// Mail address.
        "email" => email: Text<'a>,
        /// Whether the person belongs to the firm.
        "internal" => internal: bool,
        /// Whether a program wrote.
        "bot" => bot: bool,
        /// Company name.
        "company" => company: Text<'a>,
        /// Role in the room, for `chat.member.*`.
        "role" => role: Text<'a>,
        /// Name before a rename, for `chat.member.renamed`.
        "previous_name" => previous_name: Text<'a>,
    }
}

members! {
    /// A message, or the reference to one.
    pub struct Message<'a> {
        /// Native id; of the original, for edits, deletions and reactions.
        "id" => id: NativeId<'a>,
        /// The words.
        "text" => text: Text<'a>,
        /// The words before an edit or deletion, where known.
        "previous_text" => previous_text: Text<'a>,
        /// Media type of the words, e.g. `text/plain`.
        "format" => format: Text<'a>,
        /// Native id of the message answered.
        "in_reply_to" => in_reply_to: NativeId<'a>,
        /// Native id of the thread.
        "thread" => thread: NativeId<'a>,
        /// The reaction given or withdrawn.
        "reaction" => reaction: Text<'a>,
    }
}

members! {
    /// An uploaded file.
    pub struct File<'a> {
        /// Native id.
        "id" => id: NativeId<'a>,
        /// Name as the user saw it.
        "name" => name: Text<'a>,
        /// Media type.
        "media_type" => media_type: Text<'a>,
        /// Size in bytes.
        "size" => size: u64,
        /// SHA-256 of the bytes, lower-case hexadecimal.
        "sha256" => sha256: Text<'a>,
        /// Where the bytes lie: a path below the configured root.
        "location" => location: Text<'a>,
        /// The bytes themselves, base64.
        "inline" => inline: Text<'a>,
    }
}

members! {
    /// What was looked up in a room's history.
    pub struct HistoryQuery<'a> {
        /// The words searched for.
        "text" => text: Text<'a>,
        /// Start of the range, RFC 3339.
        "from" => from: Text<'a>,
        /// End of the range, RFC 3339.
        "to" => to: Text<'a>,
        /// How many messages were asked for.
        "limit" => limit: u64,
    }
}

members! {
    /// The `data` of an event.
    pub struct Data<'a> {
        /// Where.
        "room" => room: Room<'a>,
        /// Who did it.
        "sender" => sender: Person<'a>,
        /// Whom it was done to, for `chat.member.*`.
        "member" => member: Person<'a>,
        /// The message.
        "message" => message: Message<'a>,
        /// The file.
        "file" => file: File<'a>,
        /// The search or range, for `chat.history.*`.
        "query" => query: Query<'a>,
        /// What changed, for `chat.room.*`: any JSON, kept as it came.
        "changes" => changes: &'a RawValue,
        /// Length of the lease in seconds, for `chat.presence.renewed` and `chat.room.joined`.
        "lease_seconds" => lease_seconds: u64,
        /// Highest sequence sent so far, for `chat.source.heartbeat`.
        "sequence" => sequence: u64,
        /// Events sent so far, for `chat.source.heartbeat`.
        "count" => count: u64,
    }
}

/// A history query: plain words, or words with a range.
#[derive(Debug, Clone)]
pub enum Query<'a> {
    /// Only words.
    Words(Text<'a>),
    /// Words, range and limit.
    Range(Box<HistoryQuery<'a>>),
}

members! {
    struct Envelope<'a> {
        "specversion" => specversion: Text<'a>,
        "id" => id: Text<'a>,
        "source" => source: Text<'a>,
        "type" => event_type: Text<'a>,
        "time" => time: Text<'a>,
        "subject" => subject: Text<'a>,
        "partitionkey" => partition_key: Text<'a>,
        "sequence" => sequence: NativeId<'a>,
        "datacontenttype" => data_content_type: Text<'a>,
        "dataschema" => data_schema: Text<'a>,
        "data" => data: &'a RawValue,
        "data_base64" => data_base64: Text<'a>,
    }
}

/// One event, read from its received bytes without copying them.
#[derive(Debug, Clone)]
pub struct Event<'a> {
    /// Unique within `source`.
    pub id: Text<'a>,
    /// URI-reference of the emitter.
    pub source: Text<'a>,
    /// The CloudEvents `type` as sent.
    pub event_type: Text<'a>,
    /// What Chancery makes of the type.
    pub kind: Kind,
    /// When it happened; `None` if the source did not say.
    pub time: Option<Ticks>,
    /// The room's URI: `subject`, else `data.room.uri`.
    pub room_uri: Option<Text<'a>>,
    /// The source's running count.
    pub sequence: Option<u64>,
    /// The content; empty for kinds Chancery does not know.
    pub data: Data<'a>,
    /// Whether the event holds members Chancery does not know; then its bytes travel along as `c:raw`.
    pub has_unknown: bool,
}

/// Why bytes are not an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UnreadableReason {
    /// Not UTF-8.
    NotUtf8,
    /// Not JSON, nested too deeply, or a member stands twice.
    Malformed,
    /// A required attribute or member is missing or empty.
    MissingMember,
    /// A member has a value that cannot be meant.
    BadMember,
    /// `specversion` is not `1.0`.
    UnknownVersion,
}

/// Bytes that are not an event, with the reason for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct Unreadable {
    /// The class of the problem.
    pub reason: UnreadableReason,
    /// What was expected and found, and where. Never holds message text.
    pub detail: String,
}

impl UnreadableReason {
    /// The stable word for this reason in tables and quarantine.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotUtf8 => "not-utf8",
            Self::Malformed => "malformed-json",
            Self::MissingMember => "missing-member",
            Self::BadMember => "bad-member",
            Self::UnknownVersion => "unknown-specversion",
        }
    }
}

impl fmt::Display for UnreadableReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Unreadable {
    fn new(reason: UnreadableReason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

impl<'a> Event<'a> {
    /// Reads one CloudEvent in structured JSON form.
    ///
    /// # Errors
    /// [`Unreadable`] with a reason that names the attribute or member; a well-formed event of an
    /// unknown type is never refused.
    pub fn read(received: &'a [u8]) -> Result<Self, Unreadable> {
        let text = std::str::from_utf8(received).map_err(|error| {
            Unreadable::new(UnreadableReason::NotUtf8, format!("invalid UTF-8 at byte {}", error.valid_up_to()))
        })?;
        let (event, has_unknown) = noticing_unknown(|| Self::read_text(text));
        event.map(|event| Self { has_unknown, ..event })
    }

    fn read_text(text: &'a str) -> Result<Self, Unreadable> {
        let envelope: Envelope<'a> = serde_json::from_str(text).map_err(|error| malformed(&error))?;
        match envelope.specversion.as_ref().map(Text::as_bytes) {
            Some(b"1.0") => {}
            Some(_) => return Err(Unreadable::new(UnreadableReason::UnknownVersion, "expected specversion \"1.0\"")),
            None => return Err(missing("specversion")),
        }
        let id = required(envelope.id, "id")?;
        let source = required(envelope.source, "source")?;
        let event_type = required(envelope.event_type, "type")?;
        let kind = Kind::of_type(event_type.as_str().unwrap_or_default());
        let time = envelope.time.map(|text| read_time(&text)).transpose()?;
        let sequence = envelope.sequence.map(|text| read_sequence(&text.0)).transpose()?;
        let data = match (kind, envelope.data) {
            (Kind::Other, data) => data.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default(),
            (_, Some(raw)) => serde_json::from_str(raw.get()).map_err(|error| {
                let mut unreadable = malformed(&error);
                unreadable.detail.insert_str(0, "data: ");
                unreadable
            })?,
            (Kind::SourceHeartbeat, None) => Data::default(),
            (_, None) => return Err(missing("data")),
        };
        let room_uri = envelope
            .subject
            .filter(|uri| !uri.is_empty())
            .or_else(|| data.room.as_ref().and_then(|room| room.uri.clone()).filter(|uri| !uri.is_empty()));
        let event = Self { id, source, event_type, kind, time, room_uri, sequence, data, has_unknown: false };
        event.check()?;
        Ok(event)
    }

    /// The members each kind cannot do without.
    fn check(&self) -> Result<(), Unreadable> {
        let keys = [
            ("id", Some(&self.id)),
            ("source", Some(&self.source)),
            ("type", Some(&self.event_type)),
            ("subject", self.room_uri.as_ref()),
        ];
        for (name, text) in keys {
            if text.is_some_and(|text| text.as_str().is_none()) {
                return Err(Unreadable::new(
                    UnreadableReason::BadMember,
                    format!("{name} holds half a surrogate pair"),
                ));
            }
        }
        if matches!(self.kind, Kind::Other | Kind::SourceHeartbeat) {
            return Ok(());
        }
        if self.room_uri.is_none() {
            return Err(missing("subject (or data.room.uri)"));
        }
        let sender = self.data.sender.as_ref().ok_or_else(|| missing("data.sender"))?;
        if sender.key().is_none() {
            return Err(missing("data.sender.uri (or data.sender.id)"));
        }
        let message = self.data.message.as_ref();
        match self.kind {
            Kind::MessagePosted | Kind::MessageEdited if message.is_none_or(|m| m.text.is_none()) => {
                Err(missing("data.message.text"))
            }
            Kind::MessageEdited | Kind::MessageDeleted | Kind::MessageReacted | Kind::MessageUnreacted
                if message.is_none_or(|m| m.id.is_none()) =>
            {
                Err(missing("data.message.id"))
            }
            Kind::MessageReacted | Kind::MessageUnreacted if message.is_none_or(|m| m.reaction.is_none()) => {
                Err(missing("data.message.reaction"))
            }
            Kind::FileUploaded | Kind::FileDownloaded | Kind::FileDeleted
                if self.data.file.as_ref().is_none_or(|file| file.name.is_none() && file.id.is_none()) =>
            {
                Err(missing("data.file.name (or data.file.id)"))
            }
            kind if kind.member_change().is_some()
                && self.data.member.as_ref().is_none_or(|member| member.key().is_none()) =>
            {
                Err(missing("data.member.uri (or data.member.id)"))
            }
            _ => Ok(()),
        }
    }
}

impl Person<'_> {
    /// What identifies the person: the address, else the native id.
    pub fn key(&self) -> Option<&Text<'_>> {
        self.uri.as_ref().filter(|uri| !uri.is_empty()).or(self.id.as_ref().map(|id| &id.0))
    }
}

impl NativeId<'_> {
    /// The id as the number old stylesheets expect: plain digits that fit 31 bits.
    pub fn as_int(&self) -> Option<i32> {
        let text = self.0.as_str()?;
        let plain =
            !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
        plain.then(|| text.parse().ok()).flatten()
    }
}

fn required<'a>(text: Option<Text<'a>>, name: &str) -> Result<Text<'a>, Unreadable> {
    text.filter(|text| !text.is_empty()).ok_or_else(|| missing(name))
}

fn missing(name: &str) -> Unreadable {
    Unreadable::new(UnreadableReason::MissingMember, format!("{name} is missing or empty"))
}

/// serde_json's message without the offending value, which may be content.
fn malformed(error: &serde_json::Error) -> Unreadable {
    let detail = match error.classify() {
        serde_json::error::Category::Data => {
            let text = error.to_string();
            if text.starts_with("duplicate field") {
                text
            } else {
                format!("a member has the wrong JSON type at line {} column {}", error.line(), error.column())
            }
        }
        _ => error.to_string(),
    };
    Unreadable::new(UnreadableReason::Malformed, detail)
}

fn read_time(text: &Text<'_>) -> Result<Ticks, Unreadable> {
    let shown = text.to_string_lossy();
    Ticks::parse(&shown).map_err(|error| Unreadable::new(UnreadableReason::BadMember, format!("time: {error}")))
}

/// Digits, zero-padded or not, as the CloudEvents sequence extension writes them.
fn read_sequence(text: &Text<'_>) -> Result<u64, Unreadable> {
    text.as_str()
        .filter(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
        .and_then(|digits| digits.parse().ok())
        .filter(|&number| i64::try_from(number).is_ok())
        .ok_or_else(|| Unreadable::new(UnreadableReason::BadMember, "sequence: expected digits below 2^63"))
}

impl<'de: 'a, 'a> Deserialize<'de> for NativeId<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&'de RawValue>::deserialize(deserializer)?;
        if raw.get().starts_with('"') {
            return serde_json::from_str(raw.get()).map(Self).map_err(serde::de::Error::custom);
        }
        if raw.get().bytes().all(|b| b.is_ascii_digit() || matches!(b, b'-' | b'+' | b'.' | b'e' | b'E')) {
            return Ok(Self(Text::from(raw.get())));
        }
        Err(serde::de::Error::custom("expected a number or a string"))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Query<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&'de RawValue>::deserialize(deserializer)?;
        let read = if raw.get().starts_with('"') {
            serde_json::from_str(raw.get()).map(Self::Words)
        } else {
            serde_json::from_str(raw.get()).map(|range| Self::Range(Box::new(range)))
        };
        read.map_err(serde::de::Error::custom)
    }
}
