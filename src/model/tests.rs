#![allow(clippy::unwrap_used, reason = "a failed test should panic")]

use proptest::prelude::*;

use super::*;

fn event(json: &str) -> Result<Event<'_>, Unreadable> {
    Event::read(json.as_bytes())
}

fn posted(data: &str) -> String {
    format!(
        r#"{{"specversion":"1.0","id":"1","source":"/s","type":"chat.message.posted","subject":"room:1","data":{data}}}"#
    )
}

#[test]
fn an_event_is_read_with_all_its_members() {
    let json = posted(
        r#"{"sender":{"id":5,"uri":"sip:a@x","internal":true},"message":{"id":"m1","text":"hi","thread":17},"room":{"name":"Desk"}}"#,
    );
    let event = event(&json).unwrap();
    assert_eq!(event.kind, Kind::MessagePosted);
    assert!(!event.has_unknown);
    let sender = event.data.sender.as_ref().unwrap();
    assert_eq!(sender.id.as_ref().unwrap().as_int(), Some(5));
    assert_eq!(sender.key().unwrap().as_str(), Some("sip:a@x"));
    let message = event.data.message.as_ref().unwrap();
    assert_eq!(message.thread.as_ref().unwrap().0.as_str(), Some("17"));
    assert_eq!(message.id.as_ref().unwrap().as_int(), None);
}

#[test]
fn members_nobody_knows_are_noticed_wherever_they_stand() {
    let plain = r#"{"sender":{"uri":"u"},"message":{"text":"t"}}"#;
    assert!(!event(&posted(plain)).unwrap().has_unknown);
    for data in [
        r#"{"sender":{"uri":"u","mood":1},"message":{"text":"t"}}"#,
        r#"{"sender":{"uri":"u"},"message":{"text":"t"},"extra":{"deep":[1]}}"#,
    ] {
        assert!(event(&posted(data)).unwrap().has_unknown, "{data}");
    }
    let extension = posted(plain).replacen('{', r#"{"traceparent":"00-1","#, 1);
    assert!(event(&extension).unwrap().has_unknown);
    assert!(!event(&posted(plain)).unwrap().has_unknown, "the notice does not stick");
}

#[test]
fn what_is_no_event_says_why() {
    let text = r#"{"sender":{"uri":"u"},"message":{"text":"t"}}"#;
    for (json, reason, place) in [
        ("".to_owned(), UnreadableReason::Malformed, "EOF"),
        ("[]".to_owned(), UnreadableReason::Malformed, "wrong JSON type"),
        ("{}".to_owned(), UnreadableReason::MissingMember, "specversion"),
        (posted(text).replace("1.0", "0.3"), UnreadableReason::UnknownVersion, "1.0"),
        (posted(text).replace(r#""id":"1","#, ""), UnreadableReason::MissingMember, "id"),
        (posted(text).replace(r#""id":"1""#, r#""id":"""#), UnreadableReason::MissingMember, "id"),
        (posted(text).replace(r#""id":"1""#, r#""id":"\ud800""#), UnreadableReason::BadMember, "surrogate"),
        (posted(text).replace(r#""id":"1""#, r#""id":"1","id":"2""#), UnreadableReason::Malformed, "duplicate"),
        (posted(text).replacen('{', r#"{"time":"yesterday","#, 1), UnreadableReason::BadMember, "RFC 3339"),
        (posted(text).replacen('{', r#"{"sequence":"-1","#, 1), UnreadableReason::BadMember, "sequence"),
        (posted(r#"{"message":{"text":"t"}}"#), UnreadableReason::MissingMember, "data.sender"),
        (posted(r#"{"sender":{"uri":"u"}}"#), UnreadableReason::MissingMember, "data.message.text"),
        (posted(r#"{"sender":"u","message":{"text":"t"}}"#), UnreadableReason::Malformed, "wrong JSON type"),
        (posted(text).replace(r#""subject":"room:1","#, ""), UnreadableReason::MissingMember, "subject"),
        (format!("{}1{}", "[".repeat(5000), "]".repeat(5000)), UnreadableReason::Malformed, "JSON type"),
        (posted(&format!("{}1{}", "[".repeat(5000), "]".repeat(5000))), UnreadableReason::Malformed, "JSON type"),
    ] {
        let error = event(&json).unwrap_err();
        assert_eq!(error.reason, reason, "{json:.80}: {error}");
        assert!(error.detail.contains(place), "{json:.80}: {error}");
    }
    assert_eq!(Event::read(b"{\"id\":\"\xff\"}").unwrap_err().reason, UnreadableReason::NotUtf8);
}

#[test]
fn an_unknown_type_is_never_refused() {
    for data in [r#""free text""#, "[1,2]", "null", r#"{"sender":3}"#] {
        let json =
            format!(r#"{{"specversion":"1.0","id":"1","source":"/s","type":"chat.call.started","data":{data}}}"#);
        let event = event(&json).unwrap();
        assert_eq!(event.kind, Kind::Other);
        assert_eq!(event.event_type.as_str(), Some("chat.call.started"));
    }
}

#[test]
fn each_known_type_reads_back_as_itself() {
    for kind in Kind::all() {
        assert_eq!(Kind::of_type(kind.event_type().unwrap()), kind);
        assert_eq!(Kind::of_code(kind.code()), kind);
    }
    assert_eq!(Kind::of_type("chat.unheard.of"), Kind::Other);
    assert_eq!(Kind::of_code(999), Kind::Other);
}

#[test]
fn text_keeps_what_unicode_and_xml_cannot() {
    let json = posted(r#"{"sender":{"uri":"u"},"message":{"text":"a\ud800b\u0000\ufffe\t\r\n😀\u0001"}}"#);
    let event = event(&json).unwrap();
    let text = event.data.message.unwrap().text.unwrap();
    assert_eq!(text.as_str(), None);
    let shown = text.for_xml();
    assert_eq!(shown.shown, "a\u{fffd}b\u{fffd}\u{fffd}\t\r\n😀\u{fffd}");
    assert_eq!(shown.replaced, 4);
    assert_eq!(text.as_bytes(), b"a\xed\xa0\x80b\0\xef\xbf\xbe\t\r\n\xf0\x9f\x98\x80\x01");
}

#[test]
fn the_three_forms_of_an_instant_agree() {
    let ticks = Ticks::from_ticks(633_704_844_405_222_640).unwrap();
    assert_eq!(ticks.iso(), "2009-02-17T16:20:40.522264Z");
    assert_eq!(ticks.since_1970_ms(), 1_234_887_640_522);
    assert_eq!(Ticks::parse("1970-01-01T00:00:00Z").unwrap().since_1970_ms(), 0);
    assert_eq!(Ticks::parse("2026-11-22T10:15:00+02:00").unwrap().iso(), "2026-11-22T08:15:00Z");
    assert_eq!(Ticks::parse("2026-11-22T10:15:00.9999999999Z").unwrap().iso(), "2026-11-22T10:15:00.9999999Z");
    assert_eq!(Ticks::MIN.iso(), "0001-01-01T00:00:00Z");
    assert_eq!(Ticks::MAX.iso(), "9999-12-31T23:59:59.9999999Z");
    assert_eq!(Ticks::parse("2026-11-22T10:15:00Z").unwrap().file_stamp(), "20261122T101500Z");
    for absurd in [
        "",
        "now",
        "2026-13-01T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "99999-01-01T00:00:00Z",
        "2026-11-22",
        "2026-11-22T10:15:00",
        "2026-11-22T10:15:00.Z",
        "2026-11-22T24:00:00Z",
        "2026-02-30T00:00:00Z",
        "2026-11-22T10:15:00+2:00",
        "0001-01-01T00:00:00+01:00",
        "２026-11-22T10:15:00Z",
    ] {
        assert!(Ticks::parse(absurd).is_err(), "{absurd}");
    }
}

proptest! {
    #[test]
    fn any_instant_survives_its_text(ticks in 0..=Ticks::MAX.ticks()) {
        let instant = Ticks::from_ticks(ticks).unwrap();
        prop_assert_eq!(Ticks::parse(&instant.iso()).unwrap(), instant);
    }

    #[test]
    fn any_text_survives_json_and_is_fit_for_xml(text in any::<String>()) {
        let json = posted(&format!(r#"{{"sender":{{"uri":"u"}},"message":{{"text":{}}}}}"#, serde_json::to_string(&text).unwrap()));
        let read = event(&json).unwrap().data.message.unwrap().text.unwrap().into_owned();
        prop_assert_eq!(read.as_str(), Some(text.as_str()));
        let shown = read.for_xml();
        prop_assert!(shown.shown.chars().all(text::allowed_in_xml));
        prop_assert_eq!(shown.replaced == 0, shown.shown == text);
        prop_assert_eq!(shown.shown.chars().count(), text.chars().count());
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Event::read(&bytes);
    }
}
