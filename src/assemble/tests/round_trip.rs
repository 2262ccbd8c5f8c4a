//! Text goes in and comes out exact, whatever it is, wherever it stands.

use proptest::prelude::*;

use super::super::*;
use super::sample::*;
use super::tree::{Element, xmllint};
use crate::config::Dialect;
use crate::staging::StagedEvent;

/// A JSON string of UTF-16 units, halves of pairs included.
fn json(units: &[u16]) -> String {
    let escaped: String = units
        .iter()
        .map(|&unit| match u8::try_from(unit) {
            Ok(byte) if byte.is_ascii_graphic() && !b"\"\\".contains(&byte) => char::from(byte).to_string(),
            _ => format!("\\u{unit:04x}"),
        })
        .collect();
    format!("\"{escaped}\"")
}

/// The same units in WTF-8, worked out apart from the code under test.
fn wtf8(units: &[u16]) -> Vec<u8> {
    let mut out = Vec::new();
    for unit in char::decode_utf16(units.iter().copied()) {
        match unit {
            Ok(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            Err(half) => {
                let half = half.unpaired_surrogate();
                let tail = |shift: u16| u8::try_from(0x80 | ((half >> shift) & 0x3F)).unwrap();
                out.extend([0xED, tail(6), tail(0)]);
            }
        }
    }
    out
}

fn nasty() -> Vec<(&'static str, Vec<u16>)> {
    let text = |text: &str| text.encode_utf16().collect::<Vec<_>>();
    vec![
        ("line breaks and tabs", text("\n a\r\nb\rc\td  e \n\n")),
        ("markup", text("<a b='c' d=\"e\">&amp;]]></a><!-- -- --><?x?>&#10;")),
        ("astral", text("\u{1F680}\u{10FFFF}\u{10000}\u{1D54F}")),
        ("looks like space", text("\u{85}\u{A0}\u{2028}\u{2029}\u{FEFF}\u{200B}")),
        ("forbidden", text("a\0b\u{1}c\u{8}\u{B}\u{C}\u{E}\u{1F}\u{FFFE}\u{FFFF}")),
        ("halves", vec![0x61, 0xD800, 0x62, 0xDC00, 0xDC00, 0xD83D, 0xDE80, 0xDBFF]),
        ("replacement character itself", text("\u{FFFD}")),
        ("long", "0123456789<\n\u{e9}\u{1F680}".encode_utf16().cycle().take(200_000 / 14 * 15).collect()),
        ("long and broken", "\0".encode_utf16().chain("x".encode_utf16().cycle().take(200_000)).collect()),
        ("empty", vec![]),
    ]
}

fn only_message(dialect: Dialect, events: &[StagedEvent]) -> (Vec<u8>, Element) {
    let found = document(dialect, &assemble_all(&batch(dialect), events));
    let root = Element::read(&found);
    let message = root.messages()[0].clone();
    (found, message)
}

#[test]
fn content_is_exact() {
    for (name, units) in nasty() {
        let line = posted("1", "2026-11-22T10:00:00Z", &format!(r#"{{"id":1,"text":{}}}"#, json(&units)));
        let (found, message) = only_message(Dialect::Full, &staged(&line));
        assert_eq!(message.exact("content").unwrap(), wtf8(&units), "{name}");
        xmllint(&["--noout", "--huge"], &found);
        // What libxml2 makes of the attribute is what our reader made of it.
        let told =
            xmllint(&["--huge", "--xpath", "string(/Conversations/Conversation/Messages/Message/@content)"], &found);
        let told = String::from_utf8(told).unwrap();
        assert_eq!(told.strip_suffix('\n').unwrap(), message.get("content").unwrap(), "{name}");
    }
}

#[test]
fn replaced_characters_are_counted_in_every_dialect() {
    let line = posted("1", "2026-11-22T10:00:00Z", r#"{"id":1,"text":"a\u0000b\ud800\ufffe"}"#);
    for (dialect, original) in [(Dialect::Full, Some("YQBi7aCA77++")), (Dialect::Lync2013, None)] {
        let events = staged(&line);
        assert_eq!(assemble_all(&batch(dialect), &events)[0].counts.replaced_characters, 3);
        let (_, message) = only_message(dialect, &events);
        assert_eq!(message.get("content"), Some("a\u{FFFD}b\u{FFFD}\u{FFFD}"));
        assert_eq!(message.get("c:original"), original);
    }
}

/// A mark in a template, and the element and attribute where its text comes out.
type Place = (&'static str, &'static str, &'static str);

/// Members of `data` that hold text, and where each comes out.
const PLACES: &[(&str, &[Place])] = &[
    (
        r#""type":"chat.message.edited","data":{"room":{"name":$0,"kind":$1,"topic":$2,"description":$3},"sender":{"uri":$4,"id":$5,"name":$6,"email":$7,"company":$8,"role":$9},"message":{"id":$a,"text":$b,"previous_text":$c,"format":$d,"in_reply_to":$e,"thread":$f,"reaction":$g}}"#,
        &[
            ("$0", "Channel", "name"),
            ("$1", "Channel", "c:kind"),
            ("$2", "Channel", "c:topic"),
            ("$3", "Channel", "c:description"),
            ("$4", "Sender", "uri"),
            ("$5", "Sender", "c:id"),
            ("$6", "Sender", "UserName"),
            ("$7", "Sender", "email"),
            ("$8", "Sender", "c:company"),
            ("$9", "Sender", "c:role"),
            ("$4", "c:Participant", "uri"),
            ("$6", "c:Participant", "name"),
            ("$7", "c:Participant", "email"),
            ("$a", "Message", "c:messageId"),
            ("$b", "Message", "content"),
            ("$c", "Message", "c:previous"),
            ("$d", "Message", "c:format"),
            ("$e", "Message", "c:inReplyTo"),
            ("$f", "Message", "c:thread"),
            ("$g", "Message", "c:reaction"),
        ],
    ),
    (
        r#""type":"chat.message.deleted","data":{"sender":{"id":$0},"message":{"id":1,"text":$1,"previous_text":$2}}"#,
        &[
            ("$0", "Sender", "uri"),
            ("$0", "Sender", "UserName"),
            ("$1", "Message", "c:replacement"),
            ("$2", "Message", "content"),
        ],
    ),
    (
        r#""type":"chat.message.reacted","data":{"sender":{"id":1},"message":{"id":$0,"reaction":$1}}"#,
        &[("$0", "Message", "c:messageId"), ("$1", "Message", "content"), ("$1", "Message", "c:reaction")],
    ),
    (
        r#""type":"chat.history.searched","data":{"sender":{"id":1},"query":{"text":$0,"from":$1,"to":$2}}"#,
        &[("$0", "Message", "content"), ("$1", "Message", "c:from"), ("$2", "Message", "c:to")],
    ),
    (
        r#""type":"chat.file.uploaded","data":{"sender":{"id":1},"file":{"id":$0,"name":$1,"media_type":$2,"sha256":$3}}"#,
        &[
            ("$0", "Message", "c:fileId"),
            ("$1", "Message", "content"),
            ("$1", "Message", "c:fileName"),
            ("$2", "Message", "c:mediaType"),
            ("$3", "Message", "c:sha256"),
        ],
    ),
    (
        r#""type":"chat.member.renamed","data":{"sender":{"id":1},"member":{"uri":$0,"id":$1,"name":$2,"previous_name":$3,"email":$4,"company":$5,"role":$6}}"#,
        &[
            ("$0", "Message", "content"),
            ("$0", "c:Member", "uri"),
            ("$1", "c:Member", "id"),
            ("$2", "c:Member", "name"),
            ("$3", "c:Member", "previousName"),
            ("$4", "c:Member", "email"),
            ("$5", "c:Member", "company"),
            ("$6", "c:Member", "role"),
        ],
    ),
    (
        r#""type":"chat.room.updated","data":{"sender":{"id":1},"room":{"name":$0}}"#,
        &[("$0", "Message", "content"), ("$0", "Channel", "name")],
    ),
];

fn units() -> impl Strategy<Value = Vec<u16>> {
    let unit = prop_oneof![
        4 => 0x20_u16..0x7F,
        2 => 0_u16..0x20,
        1 => Just(0xFFFE_u16),
        1 => 0xD800_u16..0xE000,
        2 => any::<u16>(),
        1 => proptest::sample::select("<>&'\"\n\r\t: ".encode_utf16().collect::<Vec<_>>()),
    ];
    proptest::collection::vec(unit, 1..12)
}

/// Any text Unicode can hold, NUL and its like included.
fn any_text() -> impl Strategy<Value = String> {
    let c = prop_oneof![2 => any::<char>(), 1 => (0_u8..0x80).prop_map(char::from)];
    proptest::collection::vec(c, 0..12).prop_map(String::from_iter)
}

/// The first element of a name, in document order.
fn find<'e>(element: &'e Element, name: &str) -> Option<&'e Element> {
    if element.name == name {
        return Some(element);
    }
    element.children.iter().find_map(|child| find(child, name))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn every_text_is_exact_wherever_it_stands(texts in proptest::collection::vec(units(), 17)) {
        for (template, places) in PLACES {
            let mut line = format!(
                r#"{{"specversion":"1.0","id":"1","source":"/s","time":"2026-11-22T10:00:00Z","subject":"room:1",{template}}}"#
            );
            for (text, mark) in texts.iter().zip("0123456789abcdefg".chars()) {
                line = line.replace(&format!("${mark}"), &json(text).replace('$', "\\u0024"));
            }
            let found = document(Dialect::Full, &assemble_all(&batch(Dialect::Full), &staged(&line)));
            let root = Element::read(&found);
            for (mark, element, attribute) in *places {
                let text = &texts["0123456789abcdefg".find(&mark[1..]).unwrap()];
                let exact = find(&root, element).unwrap().exact(attribute);
                prop_assert_eq!(exact, Some(wtf8(text)), "{}/@{} of {}", element, attribute, template);
            }
        }
    }

    #[test]
    fn names_that_staging_keeps_are_exact(
        source in any_text(), id in any_text(), room in any_text(), adapter in any_text(), stored in any_text(),
    ) {
        let line = r#"{"specversion":"1.0","id":"1","source":"/s","type":"chat.file.uploaded","subject":"r","data":{"sender":{"id":1},"file":{"name":"x"}}}"#;
        let mut events = staged(line);
        events[0].source = source.as_str().into();
        events[0].id.clone_from(&id);
        events[0].room_uri = room.as_str().into();
        let context = BatchContext { adapter: adapter.clone(), ..batch(Dialect::Full) };
        let capture = CapturedFile::Stored { name: stored.clone(), sha256: [1; 32], size: 1, mismatch: false };
        let mut assembler = pass(context);
        assembler.begin_room(&events[0], None).unwrap();
        assembler.push(&events[0], &std::collections::BTreeMap::from([(1, capture)])).unwrap();
        let found = document(Dialect::Full, &[assembler.finish().unwrap()]);
        let root = Element::read(&found);
        for (element, attribute, text) in [
            ("Message", "c:source", &source),
            ("Message", "c:event", &id),
            ("Message", "content", &stored),
            ("Channel", "uri", &room),
            ("Channel", "name", &room),
            ("Conversation", "c:adapter", &adapter),
        ] {
            prop_assert_eq!(find(&root, element).unwrap().exact(attribute), Some(text.clone().into_bytes()));
        }
    }
}
