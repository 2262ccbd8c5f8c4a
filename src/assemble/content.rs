//! What stands in `Message/@content`: one rule per message type.
//!
//! Pure choices between the members of an event; nothing here writes or escapes.

use std::borrow::Cow;

use super::captures::CapturedFile;
use crate::model::event::{HistoryQuery, Query};
use crate::model::{Event, MessageType, Text, Ticks};
use crate::staging::StagedEvent;

/// The words of a message, as exact as they came.
pub(super) fn content<'t>(
    message_type: MessageType,
    event: &'t Event<'t>,
    staged: &'t StagedEvent,
    captured: Option<&'t CapturedFile>,
) -> Cow<'t, Text<'t>> {
    let data = &event.data;
    let message = data.message.as_ref();
    let chosen = match message_type {
        MessageType::Chat | MessageType::Edit => message.and_then(|message| message.text.as_ref()),
        MessageType::Delete => message.and_then(|message| message.previous_text.as_ref().or(message.text.as_ref())),
        MessageType::React | MessageType::Unreact => message.and_then(|message| message.reaction.as_ref()),
        MessageType::Backchat => return data.query.as_ref().map_or_else(nothing, asked),
        MessageType::FileUpload | MessageType::FileDownload => match captured {
            Some(CapturedFile::Stored { name, .. }) => return Cow::Owned(Text::from(name.as_str())),
            _ => file_name(event),
        },
        MessageType::FileDelete => file_name(event),
        MessageType::RoomCreate | MessageType::RoomUpdate | MessageType::RoomDelete => {
            match data.room.as_ref().and_then(|room| room.name.as_ref()) {
                None => return Cow::Owned(Text::from(&*staged.room_uri)),
                name => name,
            }
        }
        MessageType::Member => data.member.as_ref().and_then(|member| member.key()),
        MessageType::Join | MessageType::Part | MessageType::Other => None,
    };
    chosen.map_or_else(nothing, Cow::Borrowed)
}

/// Whether messages of the type name a message, so that `Message/@id` is its number.
pub(super) fn names_message(message_type: MessageType) -> bool {
    matches!(
        message_type,
        MessageType::Chat
            | MessageType::Edit
            | MessageType::Delete
            | MessageType::FileDelete
            | MessageType::React
            | MessageType::Unreact
    )
}

/// JSON without the white space between its tokens; every token stays as it was written.
pub(super) fn compact_json(json: &str) -> String {
    let (mut in_string, mut escaped) = (false, false);
    let mut compact = String::with_capacity(json.len());
    let mut kept = 0;
    for (at, byte) in json.bytes().enumerate() {
        match byte {
            b'"' if !escaped => in_string = !in_string,
            // White space is ASCII, so it never lies within a character.
            _ if !in_string && byte.is_ascii_whitespace() => {
                compact.push_str(&json[kept..at]);
                kept = at + 1;
            }
            _ => {}
        }
        escaped = in_string && byte == b'\\' && !escaped;
    }
    compact.push_str(&json[kept..]);
    compact
}

fn nothing<'t>() -> Cow<'t, Text<'t>> {
    Cow::Owned(Text::default())
}

fn file_name<'t>(event: &'t Event<'t>) -> Option<&'t Text<'t>> {
    let file = event.data.file.as_ref()?;
    file.name.as_ref().or(file.id.as_ref().map(|id| &id.0))
}

/// The words searched for, else the range, else the number of messages asked for.
fn asked<'t>(query: &'t Query<'t>) -> Cow<'t, Text<'t>> {
    match query {
        Query::Words(words) => Cow::Borrowed(words),
        Query::Range(range) => match &**range {
            HistoryQuery { text: Some(words), .. } if !words.is_empty() => Cow::Borrowed(words),
            HistoryQuery { from: None, to: None, limit, .. } => {
                limit.map_or_else(nothing, |limit| Cow::Owned(Text::from(limit.to_string())))
            }
            HistoryQuery { from, to, .. } => {
                let mut shown = from.as_ref().map_or_else(Vec::new, normalised);
                shown.push(b'/');
                shown.extend(to.as_ref().map_or_else(Vec::new, normalised));
                Cow::Owned(Text::from_wtf8(shown))
            }
        },
    }
}

/// A time in UTC; what is no time stays as it came.
fn normalised(time: &Text<'_>) -> Vec<u8> {
    match time.as_str().and_then(|time| Ticks::parse(time).ok()) {
        Some(at) => at.iso().into_bytes(),
        None => time.as_bytes().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_loses_only_the_space_between_tokens() {
        for (json, compact) in [
            ("{ \"a\" : [ 1.0 , 2e3 ],\n\t\"b c\": \"x \\\" y\" }", "{\"a\":[1.0,2e3],\"b c\":\"x \\\" y\"}"),
            (r#"{ "path": "c:\\ ", "d" : " " }"#, r#"{"path":"c:\\ ","d":" "}"#),
            ("null", "null"),
        ] {
            assert_eq!(compact_json(json), compact);
        }
    }
}
