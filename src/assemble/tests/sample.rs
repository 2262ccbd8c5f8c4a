//! Staged events for tests, numbered as staging would number them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::super::*;
use crate::config::{Dialect, Span};
use crate::model::{Event, Ticks};
use crate::staging::{RoomNo, Seq, SeqRange, StagedEvent};

/// One event of every kind, and some odd ones.
pub(super) const EVERY_KIND: &str = include_str!("../../../tests/data/canonical.ndjson");

pub(super) fn at(text: &str) -> Ticks {
    Ticks::parse(text).unwrap()
}

/// A batch of the interval from 10:00 to 10:15.
pub(super) fn batch(dialect: Dialect) -> BatchContext {
    BatchContext {
        batch: 7,
        adapter: "vantage".into(),
        interval_start: at("2026-11-22T10:00:00Z"),
        interval_end: at("2026-11-22T10:15:00Z"),
        late_before: Some(at("2026-11-22T10:00:00Z")),
        dialect,
        user_details: true,
        room_details: true,
        presence_lease: Span::from_secs(1200),
        completes: None,
    }
}

/// Stages one event per line, in order of arrival.
pub(super) fn staged(lines: &str) -> Vec<StagedEvent> {
    let (mut rooms, mut people, mut messages) = (HashMap::new(), HashMap::new(), HashMap::new());
    lines
        .lines()
        .enumerate()
        .map(|(at_line, line)| {
            let event = Event::read(line.as_bytes()).unwrap();
            let room_uri = event.room_uri.as_ref().unwrap().as_str().unwrap().to_owned();
            let next = rooms.len() + 1;
            let room = *rooms.entry(room_uri.clone()).or_insert(next);
            let number = |ids: &mut HashMap<Vec<u8>, i32>, key: Option<Vec<u8>>| {
                let next = 1001 + i32::try_from(ids.len()).unwrap();
                key.map(|key| *ids.entry(key).or_insert(next))
            };
            let sender = event.data.sender.as_ref();
            let native_person = sender.and_then(|person| person.id.as_ref()).and_then(|id| id.as_int());
            let person_key = sender
                .filter(|_| native_person.is_none())
                .and_then(|person| person.key())
                .map(|key| key.as_bytes().to_vec());
            let message_id = event.data.message.as_ref().and_then(|message| message.id.as_ref());
            let message_key =
                message_id.filter(|id| id.as_int().is_none()).map(|id| [&[room as u8], id.0.as_bytes()].concat());
            let received = at("2026-11-22T10:14:00Z").plus_ticks(i64::try_from(at_line).unwrap());
            StagedEvent {
                seq: i64::try_from(at_line).unwrap() + 1,
                source: event.source.as_str().unwrap().into(),
                id: event.id.as_str().unwrap().to_owned(),
                kind: event.kind,
                room: i64::try_from(room).unwrap(),
                room_uri: Arc::from(room_uri),
                person_no: number(&mut people, person_key),
                message_no: number(&mut messages, message_key),
                time: event.time.unwrap_or(received),
                time_is_receipt: event.time.is_none(),
                sequence: event.sequence,
                received,
                conflict: event.id.as_str() == Some("e-28"),
                raw: line.as_bytes().to_vec(),
            }
        })
        .collect()
}

/// The order in which staging gives the events of a range.
pub(super) fn in_stream_order(events: &[StagedEvent], range: SeqRange) -> Vec<StagedEvent> {
    let mut events: Vec<_> =
        events.iter().filter(|event| event.seq > range.from && event.seq <= range.to).cloned().collect();
    events.sort_by_key(|event| (event.room, event.time, event.sequence.is_none(), event.sequence, event.seq));
    events
}

/// What became of the files of [`EVERY_KIND`].
pub(super) fn captures() -> BTreeMap<Seq, CapturedFile> {
    let stored =
        |name: &str, mismatch| CapturedFile::Stored { name: name.into(), sha256: [0xAB; 32], size: 12, mismatch };
    BTreeMap::from([
        (12, stored("20261122T100000Z-0001.xlsx", true)),
        (13, CapturedFile::Missing { reason: "no such file: in/<f-2>".into() }),
        (14, stored("20261122T100000Z-0002.xlsx", false)),
    ])
}

/// Runs the pass over one range, reading and updating `presence` as the caller of the pass does.
pub(super) fn assemble(
    batch: &BatchContext,
    events: &[StagedEvent],
    range: SeqRange,
    presence: &mut HashMap<RoomNo, Vec<u8>>,
) -> Vec<RenderedConversation> {
    let captures = captures();
    let mut assembler = pass(batch.clone());
    let mut rendered = Vec::new();
    for event in in_stream_order(events, range) {
        if assembler.begins_room(&event) {
            rendered.extend(assembler.begin_room(&event, presence.get(&event.room).cloned()).unwrap());
        }
        assembler.push(&event, &captures).unwrap();
    }
    rendered.extend(assembler.finish());
    for conversation in &rendered {
        if let Some(bytes) = &conversation.presence_after {
            presence.insert(conversation.room, bytes.clone());
        }
    }
    rendered
}

/// Everything in one batch.
pub(super) fn assemble_all(batch: &BatchContext, events: &[StagedEvent]) -> Vec<RenderedConversation> {
    assemble(batch, events, SeqRange { from: 0, to: Seq::MAX }, &mut HashMap::new())
}

/// A pass that has seen nothing yet.
pub(super) fn pass(batch: BatchContext) -> Assembler {
    Assembler::new(batch, &std::env::temp_dir())
}

/// The one `Conversation` element of a conversation.
pub(super) fn xml(conversation: &RenderedConversation) -> Option<Vec<u8>> {
    let text = conversation.text.as_ref()?;
    let mut xml = Vec::new();
    text.write(&text.whole(), &mut xml).unwrap();
    Some(xml)
}

/// The document around conversations.
pub(super) fn document(dialect: Dialect, rendered: &[RenderedConversation]) -> Vec<u8> {
    let mut writer = CanonicalWriter::begin(Vec::new(), dialect).unwrap();
    for text in rendered.iter().filter_map(|conversation| conversation.text.as_ref()) {
        writer.conversation(text, &text.whole()).unwrap();
    }
    writer.finish().unwrap()
}

/// A `chat.message.posted` with the given JSON members.
pub(super) fn posted(id: &str, time: &str, message: &str) -> String {
    format!(
        r#"{{"specversion":"1.0","id":"{id}","source":"/s","type":"chat.message.posted","time":"{time}","subject":"room:1","data":{{"sender":{{"id":10,"uri":"ann@example.com"}},"message":{message}}}}}"#
    )
}
