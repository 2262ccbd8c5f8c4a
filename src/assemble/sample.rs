//! The sample: a canonical document that shows every type of message, every attribute, and every trouble that texts, names
//! and files make. It is for people who write stylesheets, and what the shipped transforms are held to.
//!
//! It is assembled from built-in events by the same code as any batch, so it cannot say anything else than the
//! product does.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::captures::CapturedFile;
use super::conversation::{AssembleError, Assembler, BatchContext, RenderedConversation};
use super::document::CanonicalWriter;
use crate::config::{Dialect, Span};
use crate::model::{Event, Text, Ticks};
use crate::staging::{Seq, StagedEvent};

const EVENTS: &str = include_str!("../../transforms/sample.ndjson");
/// 2026-11-22T10:00:00Z, in ticks.
const START: i64 = 639_309_384_000_000_000;
/// A quarter of an hour, in ticks.
const INTERVAL: i64 = 15 * 60 * 10_000_000;
/// A minute, in ticks.
const MINUTE: i64 = 60 * 10_000_000;
/// The first number staging gives where the source has none.
const FIRST_NUMBER: i32 = 1001;

/// Writes the sample in a dialect.
///
/// # Errors
/// None, as long as the built-in events are events.
pub fn sample_document(dialect: Dialect) -> Result<Vec<u8>, AssembleError> {
    let conversations = assemble(batch(dialect), &staged()?)?;
    // Writing into memory cannot fail.
    Ok(write(dialect, &conversations).unwrap_or_default())
}

fn start() -> Ticks {
    Ticks::saturating_from_ticks(START)
}

fn write(dialect: Dialect, conversations: &[RenderedConversation]) -> io::Result<Vec<u8>> {
    let mut writer = CanonicalWriter::begin(Vec::new(), dialect)?;
    for text in conversations.iter().filter_map(|conversation| conversation.text.as_ref()) {
        writer.conversation(text, &text.whole())?;
    }
    writer.finish()
}

fn batch(dialect: Dialect) -> BatchContext {
    BatchContext {
        batch: 7,
        adapter: "archive".into(),
        interval_start: start(),
        interval_end: start().plus_ticks(INTERVAL),
        late_before: Some(start()),
        dialect,
        user_details: true,
        room_details: true,
        presence_lease: Span::from_secs(1200),
        completes: None,
    }
}

fn assemble(context: BatchContext, events: &[StagedEvent]) -> Result<Vec<RenderedConversation>, AssembleError> {
    let captures = captures(events);
    let mut events: Vec<&StagedEvent> = events.iter().collect();
    events.sort_by_key(|event| (event.room, event.time, event.sequence.is_none(), event.sequence, event.seq));
    let mut assembler = Assembler::new(context, &std::env::temp_dir());
    let mut rendered = Vec::new();
    for event in events {
        if assembler.begins_room(event) {
            rendered.extend(assembler.begin_room(event, None)?);
        }
        assembler.push(event, &captures)?;
    }
    rendered.extend(assembler.finish());
    Ok(rendered)
}

/// The events as staging would give them back.
fn staged() -> Result<Vec<StagedEvent>, AssembleError> {
    let (mut rooms, mut people, mut messages) = (HashMap::new(), HashMap::new(), HashMap::new());
    let mut events = Vec::new();
    for (seq, line) in (1..).zip(EVENTS.lines()) {
        let event = Event::read(line.as_bytes()).map_err(|reason| AssembleError::Damaged { seq, reason })?;
        let text = |text: &Text<'_>| text.as_str().unwrap_or_default().to_owned();
        let room_uri = event.room_uri.as_ref().map(text).unwrap_or_default();
        let next_room = 1 + i64::try_from(rooms.len()).unwrap_or(i64::MAX);
        let room = *rooms.entry(room_uri.clone()).or_insert(next_room);
        let person =
            event.data.sender.as_ref().filter(|sender| sender.id.as_ref().and_then(|id| id.as_int()).is_none());
        let message = event.data.message.as_ref().and_then(|message| message.id.as_ref());
        let message = message.filter(|id| id.as_int().is_none());
        // The last minute of the interval, one tick after the other.
        let received = start().plus_ticks(INTERVAL - MINUTE + seq - 1);
        events.push(StagedEvent {
            seq,
            source: text(&event.source).into(),
            id: text(&event.id),
            kind: event.kind,
            room,
            room_uri: Arc::from(room_uri),
            person_no: person.and_then(|person| person.key()).map(|key| number(&mut people, text(key))),
            message_no: message.map(|id| number(&mut messages, (room, text(&id.0)))),
            time: event.time.unwrap_or(received),
            time_is_receipt: event.time.is_none(),
            sequence: event.sequence,
            received,
            conflict: event.id.as_str() == Some("e-28"),
            raw: line.as_bytes().to_vec(),
        });
    }
    Ok(events)
}

fn number<K: std::hash::Hash + Eq>(known: &mut HashMap<K, i32>, key: K) -> i32 {
    let next = FIRST_NUMBER.saturating_add(i32::try_from(known.len()).unwrap_or(i32::MAX));
    *known.entry(key).or_insert(next)
}

/// What became of the files: some are others than was claimed, one is lost, the rest are there.
fn captures(events: &[StagedEvent]) -> BTreeMap<Seq, CapturedFile> {
    macro_rules! stored {
        ($name:literal, $mismatch:literal) => {{
            let bytes = include_bytes!(concat!("../../transforms/attachments/", $name));
            let sha256 = Sha256::digest(bytes).into();
            Some(CapturedFile::Stored { name: $name.into(), sha256, size: bytes.len() as u64, mismatch: $mismatch })
        }};
    }
    let outcome = |event: &StagedEvent| match event.id.as_str() {
        "e-13" => stored!("archive-20261122T101500Z-000000007-c1f7fa8083bf2a701efa146df87858ea.xlsx", true),
        "e-14" => Some(CapturedFile::Missing { reason: "no such file: in/<f-2>".into() }),
        "e-15" => stored!("archive-20261122T101500Z-000000007-c1f7fa8083bf2a701efa146df87858ea.xlsx", false),
        "e-16" => stored!("archive-20261122T101500Z-000000007-b29c79f87f6064c602be290c6393ddba.eml", false),
        "e-37" => stored!("archive-20261122T101500Z-000000007-b03bafd71f5539f49bdf53df264c59d8.png", true),
        _ => None,
    };
    events.iter().filter_map(|event| Some((event.seq, outcome(event)?))).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test should panic")]
    use std::collections::BTreeSet;

    use super::*;
    use crate::assemble::dialect::DOCUMENT_CLOSE;
    use crate::model::Kind;

    fn text(dialect: Dialect) -> String {
        String::from_utf8(sample_document(dialect).unwrap()).unwrap()
    }

    #[test]
    fn the_interval_is_the_one_of_the_events() {
        assert_eq!(start().iso(), "2026-11-22T10:00:00Z");
        assert!(text(Dialect::Full).ends_with(DOCUMENT_CLOSE));
    }

    #[test]
    fn every_kind_of_event_is_shown() {
        let text = text(Dialect::Full);
        for kind in Kind::all() {
            let (Some(name), Some(meant)) = (kind.event_type(), kind.message_type()) else { continue };
            assert!(text.contains(&format!("c:kind=\"{name}\"")), "{name}");
            assert!(text.contains(&format!("<Message type=\"{meant}\"")), "{meant}");
        }
        assert!(text.contains("<Message type=\"OTHER\""));
    }

    /// The schemas list what there is; nothing of it may be missing here.
    #[test]
    fn every_attribute_of_the_schemas_is_shown() {
        let text = self::text(Dialect::Full);
        let mut shown: BTreeSet<String> = BTreeSet::new();
        for tag in text.split('<').skip(1) {
            let element = tag.split([' ', '>', '/']).next().unwrap();
            // Values hold no raw angle bracket, and every `="` in a start tag ends an attribute's name.
            for before in tag.split("=\"").filter(|part| !part.contains('<')) {
                let name = before.rsplit(' ').next().unwrap();
                shown.insert(format!("{element}/@{name}"));
            }
        }
        let mut missing = Vec::new();
        for (schema, prefix) in [("canonical.xsd", ""), ("canonical-c.xsd", "c:")] {
            let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas").join(schema);
            for wanted in declared(&std::fs::read_to_string(path).unwrap(), prefix) {
                if !shown.contains(&wanted) {
                    missing.push(wanted);
                }
            }
        }
        // In this dialect it is UserName; and what completes a batch stands in supplements of files alone.
        missing.retain(|name| name != "Sender/@userName" && name != "Message/@c:completes");
        assert!(missing.is_empty(), "{missing:?}");
        assert!(self::text(Dialect::Ocs2007r2).contains(" userName=\""));
    }

    /// `Element/@attribute` of every attribute that a schema gives to an element.
    fn declared(schema: &str, prefix: &str) -> Vec<String> {
        let mut found = Vec::new();
        let mut element = "";
        for line in schema.lines().map(str::trim) {
            let value = |name: &str| {
                let rest = line.split_once(&format!("{name}=\""))?.1;
                rest.split('"').next()
            };
            if line.starts_with("<xs:complexType name=") || line.starts_with("<xs:attributeGroup name=") {
                element = value("name").unwrap().trim_start_matches("of");
            } else if line.starts_with("<xs:element name=\"Member\"") {
                element = "Member";
            } else if line.starts_with("</xs:attributeGroup") || line.starts_with("</xs:complexType") {
                element = "";
            } else if line.starts_with("<xs:attribute ") && !element.is_empty() {
                let name = value("ref").or(value("name")).unwrap();
                match element {
                    "Time" => {
                        found.extend(
                            ["DateTimeUTC", "StartTimeUTC", "EndTimeUTC"].map(|time| format!("{time}/@{name}")),
                        );
                    }
                    "Member" | "Participant" => found.push(format!("{prefix}{element}/@{name}")),
                    element => found.push(format!("{element}/@{name}")),
                }
            }
        }
        assert!(found.len() > 5, "{found:?}");
        found
    }
}
