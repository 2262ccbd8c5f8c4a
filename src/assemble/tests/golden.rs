//! The published layout and our extensions, byte for byte.

use std::path::Path;

use super::super::*;
use super::sample::*;
use super::tree::{Element, xmllint};
use crate::config::Dialect;

/// Compares with the golden file; with `UPDATE_GOLDEN` set, writes it instead.
fn assert_golden(name: &str, found: &[u8]) {
    assert_same(&format!("tests/golden/canonical/{name}"), found);
}

/// Compares with any file of the project, or writes it.
fn assert_same(name: &str, found: &[u8]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, found).unwrap();
    }
    let expected = std::fs::read(&path).unwrap();
    let parted = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace("><", ">\n<");
    assert_eq!(parted(found), parted(&expected), "{name} differs; UPDATE_GOLDEN=1 rewrites it");
    assert_eq!(found, expected);
}

#[test]
fn every_kind_in_every_dialect() {
    let events = staged(EVERY_KIND);
    for (dialect, name) in
        [(Dialect::Full, "full.xml"), (Dialect::Lync2013, "lync2013.xml"), (Dialect::Ocs2007r2, "ocs2007r2.xml")]
    {
        let found = document(dialect, &assemble_all(&batch(dialect), &events));
        assert_golden(name, &found);
        xmllint(&["--noout"], &found);
    }
}

/// The sample of the shipped transforms is what the product writes.
#[test]
fn the_sample_of_the_transforms() {
    let found = sample_document(Dialect::Full).unwrap();
    assert_same("transforms/sample.xml", &found);
    xmllint(&["--noout"], &found);
}

#[test]
fn without_details() {
    let context = BatchContext { user_details: false, room_details: false, ..batch(Dialect::Full) };
    let found = document(Dialect::Full, &assemble_all(&context, &staged(EVERY_KIND)));
    assert_golden("full_without_details.xml", &found);
    let text = String::from_utf8(found).unwrap();
    for detail in ["Ann Ames", "ann.ames@example.com", "Cid Cole", "linkers"] {
        // The unknown events travel whole, base64; everywhere else the details are gone.
        assert!(!text.contains(detail), "{detail}");
    }
}

#[test]
fn the_published_instants() {
    let published = [
        ("2008-06-04T20:15:40.9535482Z", "1212610540953", "633482073409535482"),
        ("2008-06-04T20:16:42.5324614Z", "1212610602532", "633482074025324614"),
        ("2008-03-22T18:50:42.6127374Z", "1206211842612", "633418086426127374"),
        ("2008-03-12T19:56:40.522264Z", "1205351800522", "633409486005222640"),
        ("2008-03-20T17:33:05.2841594Z", "1206034385284", "633416311852841594"),
        ("2008-03-12T19:57:08.9755711Z", "1205351828975", "633409486289755711"),
        ("2008-06-04T20:25:41.8518646Z", "1212611141851", "633482079418518646"),
    ];
    for (text, since_1970, long) in published {
        let rendered = assemble_all(&batch(Dialect::Lync2013), &staged(&posted("1", text, r#"{"text":"x"}"#)));
        let root = Element::read(&document(Dialect::Lync2013, &rendered));
        let conversation = &root.children[0];
        let message = root.messages()[0].child("DateTimeUTC");
        let first = conversation.child("FirstMessage").child("DateTimeUTC");
        for instant in [message, first, conversation.child("StartTimeUTC"), conversation.child("EndTimeUTC")] {
            let expected = [("since1970", since_1970), ("string", text), ("long", long)];
            assert_eq!(instant.attributes, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        }
    }
}

/// Element, its children in order, its attributes: the published schema, in our words.
const PUBLISHED: &[(&str, &[&str], &[&str])] = &[
    ("Conversations", &["Conversation"], &["xmlns:xsi", "xmlns:xsd"]),
    ("Conversation", &["Channel", "FirstMessage", "Messages", "StartTimeUTC", "EndTimeUTC"], &[]),
    ("Channel", &[], &["uri", "name"]),
    ("FirstMessage", &["Sender", "DateTimeUTC"], &["type", "content", "id"]),
    ("Messages", &["Message"], &[]),
    ("Message", &["Sender", "DateTimeUTC"], &["type", "content", "id"]),
    ("Sender", &[], &["UserName", "id", "email", "internal", "uri"]),
    ("DateTimeUTC", &[], &["since1970", "string", "long"]),
    ("StartTimeUTC", &[], &["since1970", "string", "long"]),
    ("EndTimeUTC", &[], &["since1970", "string", "long"]),
];

fn assert_published(element: &Element) {
    let (_, children, attributes) =
        PUBLISHED.iter().find(|(name, _, _)| *name == element.name).unwrap_or_else(|| panic!("{}", element.name));
    for (name, value) in &element.attributes {
        assert!(attributes.contains(&name.as_str()), "{}/@{name}", element.name);
        match name.as_str() {
            "id" => assert!(value.parse::<i32>().is_ok(), "@id {value}"),
            "since1970" | "long" => assert!(value.parse::<i64>().is_ok(), "@{name} {value}"),
            "internal" => assert!(["true", "false"].contains(&value.as_str())),
            "type" => {
                assert!(["JOIN", "PART", "CHAT", "BACKCHAT", "FILEUPLOAD", "FILEDOWNLOAD"].contains(&value.as_str()));
            }
            _ => {}
        }
    }
    let mut names: Vec<_> = element.children.iter().map(|child| child.name.as_str()).collect();
    names.dedup();
    assert_eq!(names, *children, "{}", element.name);
    element.children.iter().for_each(assert_published);
}

#[test]
fn lync2013_says_nothing_the_published_schema_does_not_know() {
    let rendered = assemble_all(&batch(Dialect::Lync2013), &staged(EVERY_KIND));
    assert_published(&Element::read(&document(Dialect::Lync2013, &rendered)));
    let all: Vec<_> = rendered.iter().map(|conversation| conversation.counts).collect();
    assert_eq!(
        all[0],
        ConversationCounts {
            events: 26,
            messages: 12,
            signals: 1,
            late: 0,
            left_out: 13,
            replaced_characters: 3,
            completed: 0
        }
    );
    assert!(rendered[3].text.is_none(), "a room with nothing the dialect can say makes no conversation");
    assert_eq!((all[3].left_out, all[3].messages), (1, 0));
}

#[test]
fn counts_files_and_presence() {
    let rendered = assemble_all(&batch(Dialect::Full), &staged(EVERY_KIND));
    let [desk, direct, quiet, reaction] = &rendered[..] else { panic!("{} conversations", rendered.len()) };
    assert_eq!(
        desk.counts,
        ConversationCounts {
            events: 26,
            messages: 25,
            signals: 1,
            late: 0,
            left_out: 0,
            replaced_characters: 4,
            completed: 0
        }
    );
    let copies = desk.files.iter().filter_map(|file| file.copy().map(|(name, _, size)| (file.seq, name, size)));
    assert_eq!(
        copies.collect::<Vec<_>>(),
        [(12, "20261122T100000Z-0001.xlsx", 12), (14, "20261122T100000Z-0002.xlsx", 12)]
    );
    assert_eq!((direct.counts.messages, direct.counts.late), (2, 1));
    assert!(reaction.text.is_some());

    assert!(quiet.text.is_none(), "signals alone make no conversation");
    assert_eq!((quiet.counts.events, quiet.counts.signals, quiet.counts.messages), (1, 1, 0));
    assert!(quiet.presence_after.is_some());
}
