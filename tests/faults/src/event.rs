//! What an event says, read from its bytes on the wire, and what an archive must therefore hold.
//!
//! Written from the contract of the queue (`docs/asyncapi.yaml`, `schemas/event.schema.json`), not from the pipeline's code.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// What makes an event the same event.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// The CloudEvents `source`.
    pub source: String,
    /// The CloudEvents `id`.
    pub id: String,
}

/// What a message says, as far as it must reach the archive unchanged: one value per name.
///
/// Two readings are compared for equality, so whatever is in here is proven to arrive.
pub type Facts = BTreeMap<&'static str, String>;

/// One event as its emitter told it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Its key.
    pub key: Key,
    /// The CloudEvents `type`.
    pub kind: String,
    /// The room's URI.
    pub room: String,
    /// What the canonical XML must say; `None` for the two types that make no message.
    pub facts: Option<Facts>,
    /// Whether its bytes are the chat server's to bring, in its own time.
    pub by_path: bool,
    /// What a FileDump must say: nothing for joins and leaves, which it tells as participants.
    pub acts: Vec<Act>,
}

/// One act in a FileDump document.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Act {
    /// The room's URI.
    pub room: String,
    /// The id it goes by; the name the user saw for a file.
    pub id: String,
    /// When, in milliseconds since 1970.
    pub time: String,
    /// `UpdatedType`, or `Transfer`.
    pub update: String,
    /// What was said; the digest for a file. `None` where the stylesheet finds its own words, which are not judged.
    pub content: Option<String>,
}

/// SHA-256 in hex.
pub fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// The canonical message type of a CloudEvents type; `None`: makes no message.
fn message_type(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "chat.presence.renewed" | "chat.source.heartbeat" => return None,
        "chat.room.joined" => "JOIN",
        "chat.room.left" => "PART",
        "chat.message.posted" => "CHAT",
        "chat.history.viewed" | "chat.history.searched" => "BACKCHAT",
        "chat.file.uploaded" => "FILEUPLOAD",
        "chat.file.downloaded" => "FILEDOWNLOAD",
        "chat.file.deleted" => "FILEDELETE",
        "chat.message.edited" => "EDIT",
        "chat.message.deleted" => "DELETE",
        "chat.message.reacted" => "REACT",
        "chat.message.unreacted" => "UNREACT",
        "chat.room.created" => "ROOMCREATE",
        "chat.room.updated" => "ROOMUPDATE",
        "chat.room.deleted" => "ROOMDELETE",
        "chat.member.added"
        | "chat.member.removed"
        | "chat.member.renamed"
        | "chat.member.role_changed"
        | "chat.member.invited" => "MEMBER",
        _ => "OTHER",
    })
}

impl Told {
    /// Reads a structured event; `None` when the bytes are none.
    pub fn read(body: &[u8]) -> Option<Self> {
        let event: Value = serde_json::from_slice(body).ok()?;
        let attribute = |name: &str| Some(event.get(name)?.as_str()?.to_owned());
        let key = Key { source: attribute("source")?, id: attribute("id")? };
        let kind = attribute("type")?;
        let data = event.get("data").unwrap_or(&Value::Null);
        let room = attribute("subject").or_else(|| text(&data["room"]["uri"])).unwrap_or_else(|| key.source.clone());
        let by_path = data["file"].get("location").is_some();
        let mut told = Self { key, kind, room, facts: None, by_path, acts: Vec::new() };
        if let Some(meant) = message_type(&told.kind) {
            let time = attribute("time").and_then(|time| ticks(&time)).unwrap_or_default();
            told.facts = Some(told.facts_of(meant, data, time, body));
            told.acts = told.acts_of(meant, data, time);
        }
        Some(told)
    }

    fn facts_of(&self, meant: &'static str, data: &Value, time: i64, body: &[u8]) -> Facts {
        let mut facts = Facts::from([
            ("type", meant.to_owned()),
            ("kind", self.kind.clone()),
            ("room", self.room.clone()),
            ("time", time.to_string()),
        ]);
        let mut know = |name, value: Option<String>| facts.extend(value.map(|value| (name, value)));
        know("sender", text(&data["sender"]["uri"]));
        let message = &data["message"];
        know("message", text(&message["id"]));
        know("reply", text(&message["in_reply_to"]));
        know("thread", text(&message["thread"]));
        match meant {
            "FILEUPLOAD" | "FILEDOWNLOAD" => know("file", file_digest(data)),
            "OTHER" => know("raw", Some(digest(body))),
            _ => know("content", Some(self.content(meant, data))),
        }
        if meant == "EDIT" {
            know("previous", text(&message["previous_text"]));
        }
        facts
    }

    /// What stands in `Message/@content`.
    fn content(&self, meant: &str, data: &Value) -> String {
        let message = &data["message"];
        let chosen = match meant {
            "CHAT" | "EDIT" => text(&message["text"]),
            "DELETE" => text(&message["previous_text"]).or_else(|| text(&message["text"])),
            "REACT" | "UNREACT" => text(&message["reaction"]),
            "BACKCHAT" => asked(&data["query"]),
            "FILEDELETE" => text(&data["file"]["name"]),
            "ROOMCREATE" | "ROOMUPDATE" | "ROOMDELETE" => text(&data["room"]["name"]).or(Some(self.room.clone())),
            "MEMBER" => text(&data["member"]["uri"]),
            _ => None,
        };
        chosen.unwrap_or_default()
    }

    fn acts_of(&self, meant: &str, data: &Value, time: i64) -> Vec<Act> {
        let named = text(&data["message"]["id"]).unwrap_or_else(|| self.key.id.clone());
        let content = || Some(shown(&self.content(meant, data)));
        let act = |id: &str, update: &str, content: Option<String>| Act {
            room: shown(&self.room),
            id: shown(id),
            time: milliseconds(time).to_string(),
            update: update.to_owned(),
            content,
        };
        match meant {
            "JOIN" | "PART" => Vec::new(),
            "CHAT" => vec![act(&named, "", content())],
            "BACKCHAT" => vec![act(&self.key.id, "", content())],
            "EDIT" => {
                let before = text(&data["message"]["previous_text"]).map(|previous| {
                    act(&format!("{}-before", self.key.id), "EditedOriginalMsg", Some(shown(&previous)))
                });
                before.into_iter().chain([act(&named, "EditedNewMsg", content())]).collect()
            }
            "DELETE" => vec![act(&named, "Deleted", content())],
            "FILEDELETE" => vec![act(&self.key.id, "FileDeleted", content())],
            "REACT" | "UNREACT" => vec![act(&named, "UpdatedNoMsgChange", content())],
            "FILEUPLOAD" | "FILEDOWNLOAD" => {
                let name = text(&data["file"]["name"]).unwrap_or_default();
                vec![act(&name, "Transfer", Some(file_digest(data).unwrap_or_default()))]
            }
            _ => vec![act(&self.key.id, "", None)],
        }
    }
}

/// A text, or a number as its digits.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Of the bytes within; of a file in the repository, the digest that the event claims: what it speaks of is never anything else.
fn file_digest(data: &Value) -> Option<String> {
    let file = &data["file"];
    if file.get("location").is_some() {
        return text(&file["sha256"]);
    }
    Some(digest(&STANDARD.decode(file["inline"].as_str()?).ok()?))
}

/// What a reader of history asked for: the words, else the range, else how many.
fn asked(query: &Value) -> Option<String> {
    let words = text(query).or_else(|| text(&query["text"]).filter(|words| !words.is_empty()));
    words.or_else(|| {
        let (from, to) = (text(&query["from"]), text(&query["to"]));
        match (&from, &to) {
            (None, None) => text(&query["limit"]),
            _ => Some(format!("{}/{}", from.unwrap_or_default(), to.unwrap_or_default())),
        }
    })
}

/// Text as XML 1.0 can show it: what it forbids is U+FFFD.
fn shown(text: &str) -> String {
    let forbidden =
        |c: char| matches!(c, '\0'..='\u{8}' | '\u{B}' | '\u{C}' | '\u{E}'..='\u{1F}' | '\u{FFFE}' | '\u{FFFF}');
    text.chars().map(|c| if forbidden(c) { '\u{FFFD}' } else { c }).collect()
}

/// Ticks of 100 ns since the year 1 of a time such as `2026-11-22T10:00:00.1234567Z`; other offsets are not understood.
pub(crate) fn ticks(time: &str) -> Option<i64> {
    let (date, clock) = time.strip_suffix('Z')?.split_once('T')?;
    let mut date = date.split('-').map(str::parse::<i64>);
    let (year, month, day) = (date.next()?.ok()?, date.next()?.ok()?, date.next()?.ok()?);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let mut clock = clock.split(':').map(str::parse::<i64>);
    let (hour, minute, second) = (clock.next()?.ok()?, clock.next()?.ok()?, clock.next()?.ok()?);
    let fraction: i64 = format!("{fraction:0<7}").get(..7)?.parse().ok()?;
    let days = days_before(year, month) + day - 1;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 10_000_000 + fraction)
}

/// Days from the first day of the year 1 to the first of a month.
fn days_before(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let before = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let within = usize::try_from(month - 1).ok().and_then(|at| before.get(at)).copied().unwrap_or(0);
    let past = year - 1;
    past * 365 + past / 4 - past / 100 + past / 400 + within + i64::from(leap && month > 2)
}

/// Ticks as whole milliseconds since 1970, cut off.
fn milliseconds(ticks: i64) -> i64 {
    (ticks - 621_355_968_000_000_000).div_euclid(10_000)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed test should panic")]
mod tests {
    use super::*;

    #[test]
    fn times_are_counted_as_the_layout_counts_them() {
        assert_eq!(ticks("2026-11-21T23:31:29.5915359Z"), Some(639_309_006_895_915_359));
        assert_eq!(milliseconds(639_309_006_895_915_359), 1_795_303_889_591);
        assert_eq!(ticks("1970-01-01T00:00:00Z"), Some(621_355_968_000_000_000));
        assert_eq!(ticks("2024-03-01T00:00:00.5Z").unwrap() - ticks("2024-02-29T00:00:00Z").unwrap(), 864_005_000_000);
        assert_eq!(ticks("noon"), None);
    }

    #[test]
    fn an_event_says_what_the_archive_must_hold() {
        let body = br#"{"specversion":"1.0","id":"7","source":"/web/1","type":"chat.message.edited","subject":"room:1","time":"2026-11-22T10:00:00Z","data":{"sender":{"uri":"sip:a"},"message":{"id":5,"text":"new","previous_text":"old"}}}"#;
        let told = Told::read(body).unwrap();
        let facts = told.facts.unwrap();
        assert_eq!(
            (facts["type"].as_str(), facts["content"].as_str(), facts["previous"].as_str()),
            ("EDIT", "new", "old")
        );
        assert_eq!((facts["message"].as_str(), facts["room"].as_str()), ("5", "room:1"));
        let acts: Vec<_> = told.acts.iter().map(|act| (act.id.as_str(), act.content.as_deref().unwrap())).collect();
        assert_eq!(acts, [("7-before", "old"), ("5", "new")]);
        let heartbeat = br#"{"id":"h","source":"/web/1","type":"chat.source.heartbeat","data":{}}"#;
        assert_eq!(Told::read(heartbeat).unwrap().facts, None);
        assert_eq!(Told::read(b"{not json"), None);
    }
}
