#![allow(clippy::unwrap_used, reason = "a failed test should panic")]

use proptest::prelude::*;
use serde_json::value::to_raw_value;

use super::*;
use crate::bridge::matrix::event;
use crate::model::{Event, Kind, Text};

const ALICE: &str = "@alice:lab.test";
const BOB: &str = "@bob:lab.test";

fn matrix(value: &Value) -> MatrixEvent {
    MatrixEvent::new(to_raw_value(value).unwrap())
}

/// An event of Alice in a room of version 12, whose id has no server part.
fn from_alice(kind: &str, content: Value, more: Value) -> MatrixEvent {
    let mut value = json!({
        "event_id": "$e1", "room_id": "!RCYi4", "sender": ALICE, "type": kind, "content": content,
        "origin_server_ts": 1_795_319_264_992_i64, "unsigned": { "age": 5 },
    });
    value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    matrix(&value)
}

fn known() -> Known {
    let names = [(ALICE.to_owned(), "Alice".to_owned()), (BOB.to_owned(), "Bob".to_owned())].into();
    Known { room: RoomFacts { name: Some("Desk".into()), topic: None, direct: false }, names, target: None }
}

fn said(kind: SaidKind, text: &str, about: Option<&str>) -> Known {
    Known { target: Some(Said { kind, text: Some(text.into()), about: about.map(str::to_owned) }), ..known() }
}

/// The event as the reader of the native format understands it, and its type.
fn read(event: &MatrixEvent, known: &Known) -> (Mapped, Vec<u8>) {
    let mapped = map(event, known, Some("lab.test"));
    let body = event::body(event, &mapped, "/matrix", 7).unwrap();
    (mapped, body)
}

fn kind_of(body: &[u8]) -> Kind {
    let event = Event::read(body).unwrap();
    assert_eq!(event.sequence, Some(7));
    assert_eq!(event.source.as_str(), Some("/matrix"));
    event.kind
}

fn data(body: &[u8]) -> Value {
    serde_json::from_slice::<Value>(body).unwrap()["data"].clone()
}

#[test]
fn a_message_is_read_back_as_it_was_said() {
    let event = from_alice("m.room.message", json!({ "msgtype": "m.text", "body": "hello" }), json!({}));
    let (mapped, body) = read(&event, &known());
    let native = Event::read(&body).unwrap();
    assert_eq!((native.kind, native.id.as_str()), (Kind::MessagePosted, Some("$e1")));
    assert_eq!(native.room_uri.as_ref().and_then(Text::as_str), Some("!RCYi4"));
    assert_eq!(native.time.unwrap().since_1970_ms(), 1_795_319_264_992);
    let sender = native.data.sender.as_ref().unwrap();
    assert_eq!(sender.name.as_ref().and_then(Text::as_str), Some("Alice"));
    assert_eq!(sender.internal, Some(true));
    assert_eq!(data(&body)["message"], json!({ "id": "$e1", "text": "hello" }));
    assert_eq!(data(&body)["matrix"]["event"], event.value, "the event itself travels along");
    assert_eq!(
        mapped.learned,
        [Learned::Said(Said { kind: SaidKind::Message, text: Some("hello".into()), about: None })]
    );
}

#[test]
fn somebody_of_another_server_does_not_belong_to_the_firm() {
    let event = from_alice("m.room.message", json!({ "body": "hi" }), json!({ "sender": "@eve:other.test:8448" }));
    let (_, body) = read(&event, &known());
    assert_eq!(data(&body)["sender"], json!({ "uri": "@eve:other.test:8448", "internal": false }));
}

#[test]
fn an_edit_names_the_original_and_the_words_before() {
    let content = json!({
        "body": "* new", "msgtype": "m.text", "m.new_content": { "body": "new" },
        "m.relates_to": { "rel_type": "m.replace", "event_id": "$orig" },
    });
    let event = from_alice("m.room.message", content, json!({}));
    assert_eq!(wanted(&event).target.as_deref(), Some("$orig"));
    let (mapped, body) = read(&event, &said(SaidKind::Message, "old", None));
    assert_eq!(kind_of(&body), Kind::MessageEdited);
    assert_eq!(data(&body)["message"], json!({ "id": "$orig", "text": "new", "previous_text": "old" }));
    assert!(mapped.learned.contains(&Learned::Words("$orig".into(), "new".into())));
}

#[test]
fn deletions_are_of_what_was_deleted() {
    for (more, content) in
        [(json!({ "redacts": "$m" }), json!({})), (json!({}), json!({ "redacts": "$m", "reason": "rude" }))]
    {
        let event = from_alice("m.room.redaction", content, more);
        assert_eq!(wanted(&event).target.as_deref(), Some("$m"));
        let (_, body) = read(&event, &said(SaidKind::Message, "gone", None));
        assert_eq!(kind_of(&body), Kind::MessageDeleted);
        assert_eq!(data(&body)["message"], json!({ "id": "$m", "previous_text": "gone" }));
    }
    let event = from_alice("m.room.redaction", json!({}), json!({ "redacts": "$m" }));
    let (_, body) = read(&event, &said(SaidKind::Reaction, "👍", Some("$liked")));
    assert_eq!(kind_of(&body), Kind::MessageUnreacted);
    assert_eq!(data(&body)["message"], json!({ "id": "$liked", "reaction": "👍" }));
    let (_, body) = read(&event, &said(SaidKind::File, "plan.pdf", Some("mxc://lab.test/x")));
    assert_eq!(kind_of(&body), Kind::FileDeleted);
    assert_eq!(data(&body)["file"], json!({ "id": "mxc://lab.test/x", "name": "plan.pdf" }));
    let (_, body) = read(&event, &known());
    assert_eq!(kind_of(&body), Kind::MessageDeleted, "one that was never seen counts as a message");
}

#[test]
fn replies_threads_and_reactions_name_what_they_are_about() {
    let reply = json!({ "body": "yes", "m.relates_to": { "m.in_reply_to": { "event_id": "$q" } } });
    let (_, body) = read(&from_alice("m.room.message", reply, json!({})), &known());
    assert_eq!(data(&body)["message"]["in_reply_to"], "$q");
    let thread = |falls_back: bool| {
        json!({ "body": "yes", "m.relates_to": {
            "rel_type": "m.thread", "event_id": "$root", "is_falling_back": falls_back, "m.in_reply_to": { "event_id": "$q" },
        } })
    };
    let (_, body) = read(&from_alice("m.room.message", thread(true), json!({})), &known());
    assert_eq!(data(&body)["message"], json!({ "id": "$e1", "text": "yes", "thread": "$root" }));
    let (_, body) = read(&from_alice("m.room.message", thread(false), json!({})), &known());
    assert_eq!(data(&body)["message"]["in_reply_to"], "$q");
    let reaction = json!({ "m.relates_to": { "rel_type": "m.annotation", "event_id": "$q", "key": "👍" } });
    let (_, body) = read(&from_alice("m.reaction", reaction, json!({})), &known());
    assert_eq!(kind_of(&body), Kind::MessageReacted);
    assert_eq!(data(&body)["message"], json!({ "id": "$q", "reaction": "👍" }));
}

#[test]
fn a_file_says_where_its_bytes_lie_and_keeps_its_caption() {
    let content = json!({
        "msgtype": "m.image", "url": "mxc://lab.test/abc", "filename": "cat.png", "body": "look!",
        "info": { "mimetype": "image/png", "size": 17 },
    });
    let (_, body) = read(&from_alice("m.room.message", content, json!({})), &known());
    assert_eq!(kind_of(&body), Kind::FileUploaded);
    let file = json!({
        "id": "mxc://lab.test/abc", "name": "cat.png", "location": "mxc://lab.test/abc", "media_type": "image/png", "size": 17,
    });
    assert_eq!(data(&body)["file"], file);
    assert_eq!(data(&body)["message"], json!({ "id": "$e1", "text": "look!" }));

    let encrypted =
        json!({ "msgtype": "m.file", "body": "x", "file": { "url": "mxc://lab.test/e" }, "info": { "size": 3 } });
    let (_, body) = read(&from_alice("m.room.message", encrypted, json!({})), &known());
    assert_eq!(data(&body)["file"], json!({ "id": "mxc://lab.test/e", "name": "x", "location": "mxc://lab.test/e" }));
    assert_eq!(data(&body)["matrix"]["encrypted_file"], true);
}

#[test]
fn memberships_are_told_apart() {
    let member = |sender: &str, now: &str, was: Option<&str>| {
        let unsigned = was.map_or(json!({}), |was| json!({ "prev_content": { "membership": was } }));
        let more = json!({ "sender": sender, "state_key": BOB, "unsigned": unsigned });
        let (mapped, body) = read(&from_alice("m.room.member", json!({ "membership": now }), more), &known());
        assert_eq!(Event::read(&body).unwrap().event_type.as_str(), Some(mapped.event_type.as_str()));
        let change = mapped.notes.get("change").and_then(Value::as_str).unwrap_or_default().to_owned();
        (mapped.event_type, change)
    };
    let plain = |kind: &str| (kind.to_owned(), String::new());
    assert_eq!(member(BOB, "join", None), plain("chat.room.joined"));
    assert_eq!(member(BOB, "join", Some("invite")), plain("chat.room.joined"));
    assert_eq!(member(ALICE, "invite", None), plain("chat.member.invited"));
    assert_eq!(member(BOB, "leave", Some("join")), plain("chat.room.left"));
    assert_eq!(member(ALICE, "leave", Some("join")), ("chat.member.removed".into(), "kicked".into()));
    assert_eq!(member(ALICE, "ban", Some("join")), ("chat.member.removed".into(), "banned".into()));
    assert_eq!(member(ALICE, "ban", None), plain("matrix.member.banned"));
    assert_eq!(member(ALICE, "leave", Some("ban")), plain("matrix.member.unbanned"));
    assert_eq!(member(BOB, "leave", Some("invite")), plain("matrix.member.declined"));
    assert_eq!(member(ALICE, "leave", Some("invite")), plain("matrix.member.invite_withdrawn"));
    assert_eq!(member(BOB, "knock", None), plain("matrix.member.knocked"));
    assert_eq!(member(ALICE, "leave", Some("knock")), plain("matrix.member.knock_refused"));
    assert_eq!(member(BOB, "join", Some("join")), plain("matrix.member.profile_changed"));
}

#[test]
fn another_name_is_a_rename_and_is_remembered() {
    let more = json!({
        "sender": BOB, "state_key": BOB, "unsigned": { "prev_content": { "membership": "join", "displayname": "Bob" } },
    });
    let event = from_alice("m.room.member", json!({ "membership": "join", "displayname": "Robert" }), more);
    let (mapped, body) = read(&event, &known());
    assert_eq!(kind_of(&body), Kind::MemberRenamed);
    assert_eq!(
        data(&body)["member"],
        json!({ "uri": BOB, "internal": true, "name": "Robert", "previous_name": "Bob" })
    );
    assert_eq!(mapped.learned, [Learned::PersonName(BOB.into(), Some("Robert".into()))]);
}

#[test]
fn a_rooms_state_tells_what_changed_and_is_remembered() {
    let more = json!({ "state_key": "", "unsigned": { "prev_content": { "name": "Desk" } } });
    let (mapped, body) = read(&from_alice("m.room.name", json!({ "name": "Trading" }), more), &known());
    assert_eq!(kind_of(&body), Kind::RoomUpdated);
    assert_eq!(data(&body)["room"]["name"], "Trading");
    assert_eq!(data(&body)["changes"]["m.room.name"]["from"], json!({ "name": "Desk" }));
    assert_eq!(mapped.learned, [Learned::RoomName(Some("Trading".into()))]);
    let (_, body) = read(
        &from_alice("m.room.create", json!({ "predecessor": { "room_id": "!old" } }), json!({ "state_key": "" })),
        &known(),
    );
    assert_eq!(kind_of(&body), Kind::RoomCreated);
    let tombstone = from_alice("m.room.tombstone", json!({ "replacement_room": "!new" }), json!({ "state_key": "" }));
    let (_, body) = read(&tombstone, &known());
    assert_eq!(data(&body)["changes"]["m.room.tombstone"]["to"]["replacement_room"], "!new");
}

#[test]
fn cipher_text_and_what_nobody_knows_are_kept_whole() {
    let event = from_alice("m.room.encrypted", json!({ "ciphertext": "AwgA" }), json!({}));
    let (mapped, body) = read(&event, &known());
    assert_eq!((mapped.event_type.as_str(), mapped.remark), ("matrix.m.room.encrypted", Some(Remark::Encrypted)));
    assert_eq!((kind_of(&body), data(&body)["matrix"]["event"].clone()), (Kind::Other, event.value));
    let (mapped, _) = read(&from_alice("com.firm.trade", json!({ "x": 1 }), json!({})), &known());
    assert_eq!(mapped.event_type, "matrix.com.firm.trade");
    for unspeakable in ["", "a b", &"x".repeat(300)] {
        let (mapped, body) = read(&from_alice(unspeakable, json!({}), json!({})), &known());
        assert_eq!((mapped.event_type.as_str(), kind_of(&body)), ("matrix.unnamed", Kind::Other));
    }
}

#[test]
fn half_a_surrogate_pair_is_archived_as_it_came_and_always_under_the_same_id() {
    let raw = r#"{"event_id":"$x","type":"m.room.message","content":{"body":"\ud800"}}"#;
    let event = || MatrixEvent::new(serde_json::value::RawValue::from_string(raw.to_owned()).unwrap());
    assert!(event().id().starts_with("unnamed-"));
    let (_, body) = read(&event(), &known());
    assert_eq!(kind_of(&body), Kind::Other);
    assert!(String::from_utf8(body.clone()).unwrap().contains(r#""body":"\ud800""#));
    assert_eq!(body, read(&event(), &known()).1);
}

#[test]
fn what_was_stripped_is_a_visible_gap() {
    let more = json!({ "unsigned": { "redacted_because": { "sender": BOB, "event_id": "$r" } } });
    let event = from_alice("m.room.message", json!({}), more);
    assert!(event.is_stripped());
    let (mapped, body) = read(&event, &known());
    assert_eq!((mapped.event_type.as_str(), mapped.remark), ("matrix.stripped", Some(Remark::Gap)));
    let notes = &data(&body)["matrix"];
    assert_eq!((&notes["deleted_by"], &notes["deleted_by_event"]), (&json!(BOB), &json!("$r")));
    assert!(notes["gap"].is_string());
}

#[test]
fn a_poll_is_its_question_and_answers() {
    let old = json!({ "org.matrix.msc3381.poll.start": {
        "question": { "org.matrix.msc1767.text": "Lunch?" },
        "answers": [{ "id": "1", "org.matrix.msc1767.text": "yes" }, { "id": "2", "org.matrix.msc1767.text": "no" }],
    } });
    let new = json!({ "m.poll": {
        "question": { "m.text": [{ "body": "Lunch?" }] },
        "answers": [{ "m.id": "1", "m.text": [{ "body": "yes" }] }, { "m.id": "2", "m.text": [{ "body": "no" }] }],
    } });
    for (kind, content) in [("org.matrix.msc3381.poll.start", old), ("m.poll.start", new)] {
        let (_, body) = read(&from_alice(kind, content, json!({})), &known());
        assert_eq!(data(&body)["message"]["text"], "Lunch?\n- yes\n- no");
    }
}

/// JSON of any form, with the names that the mapping looks at.
fn any_json() -> impl Strategy<Value = Value> {
    let names = prop::sample::select(vec![
        "content",
        "body",
        "m.relates_to",
        "rel_type",
        "event_id",
        "m.new_content",
        "membership",
        "displayname",
        "unsigned",
        "prev_content",
        "redacted_because",
        "url",
        "file",
        "info",
        "size",
        "key",
        "question",
        "answers",
        "m.poll",
        "reason",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        prop::sample::select(vec!["m.replace", "m.thread", "join", "leave", "ban", "$x", "@a:b", ":", ""])
            .prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map(names.clone().prop_map(str::to_owned), inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    /// Whatever a homeserver sends becomes an event that intake can read, and always the same one.
    #[test]
    fn nothing_is_unmappable(
        kind in prop::sample::select(vec![
            "m.room.message", "m.sticker", "m.reaction", "m.room.redaction", "m.room.member", "m.room.name", "m.poll.start", "x",
        ]),
        content in any_json(),
        unsigned in any_json(),
        state_key in prop::option::of(prop::sample::select(vec!["", "@a:b", "x"])),
        time in any::<i64>(),
        sender in prop::sample::select(vec![json!("@a:b"), json!(""), json!(5), json!("@nocolon")]),
    ) {
        let mut value = json!({
            "event_id": "$e", "room_id": "!r", "type": kind, "content": content, "unsigned": unsigned,
            "origin_server_ts": time, "sender": sender, "redacts": "$t",
        });
        if let Some(key) = state_key {
            value["state_key"] = key.into();
        }
        let event = matrix(&value);
        wanted(&event);
        for known in [Known::default(), said(SaidKind::Reaction, "x", Some("$o")), said(SaidKind::Edit, "x", None)] {
            let (mapped, body) = read(&event, &known);
            let native = Event::read(&body);
            prop_assert!(native.is_ok(), "{:?}: {}", native.err(), mapped.event_type);
            prop_assert_eq!(&body, &read(&event, &known).1);
        }
    }
}
