//! Whatever an event says, the canonical XML is well-formed and gives every text back exactly.
//!
//! Input: a byte that chooses the kind of event, then texts, separated by line feeds; one that is no UTF-8 is read as UTF-16.
//! The reader is not the writer's.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chancery::assemble::{Assembler, BatchContext, CanonicalWriter, CapturedFile, RenderedConversation};
use chancery::config::{Dialect, Span};
use chancery::model::Ticks;
use chancery::staging::StagedEvent;
use roxmltree::{Document, Node, ParsingOptions};

use super::decoder::decode;
use super::text::{json, wtf8};

/// `data` with a mark per text, and where each text comes out.
type Template = (&'static str, &'static str, &'static [(char, &'static str, &'static str)]);

const TEMPLATES: [Template; 8] = [
    (
        "chat.message.posted",
        r#""room":{"name":$0,"topic":$1},"sender":{"uri":$2,"name":$3},"message":{"id":5,"text":$4}"#,
        &[
            ('0', "Channel", "name"),
            ('1', "Channel", "c:topic"),
            ('3', "Sender", "UserName"),
            ('4', "Message", "content"),
        ],
    ),
    (
        "chat.message.edited",
        r#""sender":{"id":7,"company":$0,"role":$1,"email":$2},"message":{"id":$3,"text":$4,"previous_text":$5,"thread":$6}"#,
        &[
            ('0', "Sender", "c:company"),
            ('1', "Sender", "c:role"),
            ('2', "Sender", "email"),
            ('3', "Message", "c:messageId"),
            ('4', "Message", "content"),
            ('5', "Message", "c:previous"),
            ('6', "Message", "c:thread"),
        ],
    ),
    (
        "chat.message.deleted",
        r#""sender":{"id":7},"message":{"id":1,"text":$0,"previous_text":$1}"#,
        &[('0', "Message", "c:replacement"), ('1', "Message", "content")],
    ),
    (
        "chat.message.reacted",
        r#""sender":{"id":7},"message":{"id":1,"reaction":$0}"#,
        &[('0', "Message", "content"), ('0', "Message", "c:reaction")],
    ),
    (
        "chat.history.searched",
        r#""sender":{"id":7},"query":{"text":$0,"from":$1,"to":$2}"#,
        &[('1', "Message", "c:from"), ('2', "Message", "c:to")],
    ),
    (
        "chat.file.uploaded",
        r#""sender":{"id":7},"file":{"id":$0,"name":$1,"media_type":$2,"sha256":$3}"#,
        &[('0', "Message", "c:fileId"), ('1', "Message", "c:fileName"), ('2', "Message", "c:mediaType")],
    ),
    (
        "chat.member.renamed",
        r#""sender":{"id":7},"member":{"id":9,"name":$0,"previous_name":$1,"email":$2,"role":$3}"#,
        &[
            ('0', "c:Member", "name"),
            ('1', "c:Member", "previousName"),
            ('2', "c:Member", "email"),
            ('3', "c:Member", "role"),
        ],
    ),
    (
        "chat.room.updated",
        r#""sender":{"id":7},"room":{"name":$0,"description":$1},"changes":{"was":$2}"#,
        &[('0', "Message", "content"), ('0', "Channel", "name"), ('1', "Channel", "c:description")],
    ),
];

/// Checks one input.
pub fn check(data: &[u8]) {
    let (choice, rest) = data.split_first().map_or((0, data), |(choice, rest)| (*choice, rest));
    let texts: Vec<Vec<u16>> = rest.split(|&byte| byte == b'\n').map(units).collect();
    let (kind, template, places) = TEMPLATES[usize::from(choice) % TEMPLATES.len()];
    let text = |mark: char| texts.get(mark as usize - '0' as usize).map_or(&[][..], Vec::as_slice);
    let mut members = template.to_owned();
    for mark in '0'..='6' {
        members = members.replace(&format!("${mark}"), &json(text(mark)));
    }
    let body = format!(
        r#"{{"specversion":"1.0","id":"e","source":"/web/1","type":"{kind}","subject":"room:1","time":"2026-11-22T10:00:00Z","data":{{{members}}}}}"#
    );
    let batch = decode(None, body.as_bytes());
    // Members that identify may not be empty; then there is nothing to write.
    let [event] = &batch.events[..] else { return };
    let staged = StagedEvent {
        seq: 1,
        source: event.source.clone(),
        id: event.id.clone(),
        kind: event.kind,
        room: 1,
        room_uri: "room:1".into(),
        person_no: Some(1001),
        message_no: Some(1001),
        time: event.time,
        time_is_receipt: event.time_is_receipt,
        sequence: event.sequence,
        received: event.received,
        conflict: false,
        raw: event.raw.clone(),
    };
    for dialect in [Dialect::Full, Dialect::Lync2013, Dialect::Ocs2007r2] {
        let xml = written(&staged, dialect);
        let options = ParsingOptions { nodes_limit: u32::MAX, ..ParsingOptions::default() };
        let document = Document::parse_with_options(&xml, options).expect("well-formed XML");
        let root = document.root_element();
        assert!(root.descendants().all(|node| node.is_element()), "text between elements");
        if dialect == Dialect::Full {
            for &(mark, element, attribute) in places {
                let found = root.descendants().find(|node| named(*node, element)).expect("the element is there");
                assert_eq!(exact(found, attribute), wtf8(text(mark)), "{element}/@{attribute} of {kind}");
            }
        }
    }
}

/// A text: UTF-8 where it is, else UTF-16.
fn units(bytes: &[u8]) -> Vec<u16> {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.encode_utf16().collect(),
        Err(_) => bytes.chunks(2).map(|pair| u16::from_le_bytes([pair[0], *pair.get(1).unwrap_or(&0)])).collect(),
    }
}

fn written(staged: &StagedEvent, dialect: Dialect) -> String {
    let at = |text: &str| Ticks::parse(text).unwrap();
    let batch = BatchContext {
        batch: 7,
        adapter: "canonical".into(),
        interval_start: at("2026-11-22T10:00:00Z"),
        interval_end: at("2026-11-22T10:15:00Z"),
        late_before: None,
        dialect,
        user_details: true,
        room_details: true,
        presence_lease: Span::from_secs(1200),
        completes: None,
    };
    let mut assembler = Assembler::new(batch, &std::env::temp_dir());
    let none: BTreeMap<i64, CapturedFile> = BTreeMap::new();
    assembler.begin_room(staged, None).expect("the first room");
    assembler.push(staged, &none).expect("what was staged can be rendered");
    let RenderedConversation { text, .. } = assembler.finish().expect("a conversation");
    let mut writer = CanonicalWriter::begin(Vec::new(), dialect).expect("memory");
    if let Some(text) = text {
        writer.conversation(&text, &text.whole()).expect("memory");
    }
    String::from_utf8(writer.finish().expect("memory")).expect("UTF-8")
}

fn named(node: Node<'_, '_>, name: &str) -> bool {
    let local = name.trim_start_matches("c:");
    node.tag_name().name() == local && node.tag_name().namespace().is_some() == name.starts_with("c:")
}

/// The exact text of an attribute, in WTF-8: itself, or the original that travels beside it.
fn exact(node: Node<'_, '_>, attribute: &str) -> Vec<u8> {
    let beside = |name: &str| node.attribute(("urn:chancery:1", name));
    let original = if attribute == "content" {
        beside("original")
    } else {
        let pairs = beside("originals").unwrap_or_default().split(' ');
        pairs.filter_map(|pair| pair.rsplit_once(':')).find(|(name, _)| *name == attribute).map(|(_, base64)| base64)
    };
    let shown = match attribute.strip_prefix("c:") {
        Some(local) => beside(local),
        None => node.attribute(attribute),
    };
    match original {
        Some(base64) => STANDARD.decode(base64).expect("base64"),
        None => shown.expect("the attribute is there").as_bytes().to_vec(),
    }
}
