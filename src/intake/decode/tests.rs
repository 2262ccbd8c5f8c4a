//! The decoder's table: every form, every reason, and that nothing is ever lost.
#![allow(clippy::unwrap_used, reason = "a failed test should panic")]

use proptest::prelude::*;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::*;
use crate::config::ByteSize;
use crate::intake::testing::{SOURCE, config, posted};
use crate::model::Kind;

const ORIGIN: &str = "amqp:test";

fn decoder() -> Decoder {
    Decoder::new(&config()).unwrap()
}

fn head(content_type: Option<&str>, headers: serde_json::Value) -> MessageHead {
    let serde_json::Value::Object(headers) = headers else { panic!("headers are an object") };
    MessageHead { content_type: content_type.map(str::to_owned), headers, unreadable: None }
}

fn decode(head: Option<MessageHead>, body: &[u8]) -> Arrivals {
    let mut out = Arrivals::default();
    let input = Received { origin: ORIGIN, received: Ticks::now(), head, body: body.to_vec() };
    decoder().decode(input, &mut out);
    out
}

fn structured(body: &[u8]) -> Arrivals {
    decode(Some(head(Some(STRUCTURED), json!({}))), body)
}

#[track_caller]
fn refused(batch: &Arrivals, reason: &str, body: &[u8]) -> NewQuarantined {
    assert!(batch.events.is_empty(), "{batch:?}");
    let [item] = &batch.quarantined[..] else { panic!("expected one quarantined item, found {batch:?}") };
    assert_eq!((item.reason.as_str(), item.raw.as_slice(), item.origin.as_str()), (reason, body, ORIGIN));
    item.clone()
}

#[track_caller]
fn accepted(batch: Arrivals) -> crate::staging::NewEvent {
    assert!(batch.quarantined.is_empty(), "{batch:?}");
    let Ok([event]) = <[_; 1]>::try_from(batch.events) else { panic!("expected one event") };
    event
}

fn event(members: serde_json::Value) -> Vec<u8> {
    let mut event = json!({
        "specversion": "1.0", "id": "e1", "source": SOURCE, "type": "chat.message.posted", "subject": "room:1",
        "data": { "sender": { "id": 7, "uri": "sip:ada" }, "message": { "id": 1, "text": "secret words" } },
    });
    for (name, value) in members.as_object().unwrap() {
        if value.is_null() {
            event.as_object_mut().unwrap().remove(name)
        } else {
            event.as_object_mut().unwrap().insert(name.clone(), value.clone())
        };
    }
    event.to_string().into_bytes()
}

fn binary_headers(prefix: &str) -> serde_json::Value {
    json!({
        format!("{prefix}specversion"): "1.0",
        format!("{prefix}type"): "chat.message.posted",
        format!("{prefix}source"): SOURCE,
        format!("{prefix}id"): "b\"1",
        format!("{prefix}subject"): "room:1",
        format!("{prefix}sequence"): 12,
        "unrelated": [1, null],
    })
}

const DATA: &[u8] = br#" {"sender":{"uri":"sip:ada"},"message":{"text":"hi","zz":1.50}} "#;

#[test]
fn a_structured_event_keeps_its_bytes_and_fills_the_row() {
    let body = event(json!({ "time": "2026-11-22T10:15:00.25Z", "sequence": "0042" }));
    for content_type in [STRUCTURED, "Application/CloudEvents+JSON; charset=utf-8"] {
        let row = accepted(decode(Some(head(Some(content_type), json!({ "x-other": 1 }))), &body));
        assert_eq!(row.raw, body);
        assert_eq!(row.sha256, <[u8; 32]>::from(Sha256::digest(&body)));
        assert_eq!((&*row.source, row.id.as_str(), row.kind), (SOURCE, "e1", Kind::MessagePosted));
        assert_eq!(row.room_uri.as_deref(), Some("room:1"));
        assert_eq!((row.person_key, row.message_id), (None, None));
        assert_eq!(row.time.iso(), "2026-11-22T10:15:00.25Z");
        assert_eq!((row.time_is_receipt, row.sequence, row.heartbeat_sequence), (false, Some(42), None));
    }
}

#[test]
fn a_missing_time_is_the_receipt_time() {
    let row = accepted(structured(&event(json!({}))));
    assert!(row.time_is_receipt);
    assert_eq!(row.time, row.received);
}

#[test]
fn ids_that_are_no_numbers_are_handed_to_staging_for_numbering() {
    let data = |sender, message| json!({ "data": { "sender": sender, "message": { "id": message, "text": "x" } } });
    let row = accepted(structured(&event(data(json!({ "id": "@ada", "uri": "sip:ada" }), json!("$m")))));
    assert_eq!((row.person_key.as_deref(), row.message_id.as_deref()), (Some("sip:ada"), Some("$m")));
    let row = accepted(structured(&event(data(json!({ "id": 4_000_000_000_u32 }), json!("007")))));
    assert_eq!((row.person_key.as_deref(), row.message_id.as_deref()), (Some("4000000000"), Some("007")));

    // What a database cannot index stands in as its digest: equal stays equal, different stays different.
    let long = "x".repeat(5000);
    let one = accepted(structured(&event(data(json!({ "uri": long }), json!("a\0")))));
    let same = accepted(structured(&event(data(json!({ "uri": long }), json!("a\0")))));
    assert_eq!((&one.person_key, &one.message_id), (&same.person_key, &same.message_id));
    assert_eq!(one.person_key.as_ref().map(String::len), Some("sha256:".len() + 64));
    assert_ne!(one.person_key, one.message_id);
}

#[test]
fn kinds_without_a_room() {
    let other = accepted(structured(&event(json!({ "type": "vendor.thing", "subject": null, "data": "free" }))));
    assert_eq!((other.kind, other.room_uri.as_deref()), (Kind::Other, Some(SOURCE)));
    let heartbeat = json!({ "type": "chat.source.heartbeat", "data": { "sequence": 9, "count": 9 } });
    let heartbeat = accepted(structured(&event(heartbeat)));
    assert_eq!((heartbeat.room_uri, heartbeat.heartbeat_sequence), (None, Some(9)));
    let absurd = event(json!({ "type": "chat.source.heartbeat", "data": { "sequence": u64::MAX } }));
    refused(&structured(&absurd), "bad-member", &absurd);
}

#[test]
fn unreadable_events_are_quarantined_with_source_and_id_but_never_their_words() {
    let cases = [
        (event(json!({ "specversion": "0.3" })), "unknown-specversion"),
        (event(json!({ "source": "/somebody/else" })), "unknown-source"),
        (event(json!({ "data": { "message": { "text": "secret words" } } })), "missing-member"),
        (event(json!({ "data": { "message": "secret words" } })), "malformed-json"),
        (event(json!({ "sequence": "secret words" })), "bad-member"),
        (event(json!({ "subject": "a\0b" })), "bad-member"),
        (event(json!({ "subject": "r".repeat(2000) })), "bad-member"),
    ];
    for (body, reason) in cases {
        let item = refused(&structured(&body), reason, &body);
        assert!(!item.detail.contains("secret"), "{}", item.detail);
        assert_eq!(item.event_id.as_deref(), Some("e1"), "{reason}");
        assert!(item.source.is_some());
        assert_eq!(item.headers.as_deref(), Some(r#"{"content_type":"application/cloudevents+json"}"#));
    }
    for (body, reason) in [(&b"{\"id\":\"\xff\"}"[..], "not-utf8"), (b"{", "malformed-json"), (b"", "malformed-json")] {
        refused(&structured(body), reason, body);
    }
    let body = event(json!({ "id": "e\0" }));
    assert_eq!(refused(&structured(&body), "bad-member", &body).event_id, None);
}

#[test]
fn an_event_over_the_limit_is_quarantined_and_one_at_the_limit_is_not() {
    let body = event(json!({}));
    let mut config = config();
    for (limit, kept) in [(body.len() as u64, 1), (body.len() as u64 - 1, 0)] {
        config.intake.event_size_max = ByteSize::new(limit);
        let batch = Decoder::new(&config).unwrap().decode_again(None, "spool:a:1", body.clone(), Ticks::now());
        assert_eq!(batch.events.len(), kept);
        assert_eq!(batch.quarantined.iter().filter(|item| item.reason == "too-large").count(), 1 - kept);
    }
}

#[test]
fn one_bad_element_of_a_batch_is_quarantined_alone() {
    let (good, bad) = (String::from_utf8(event(json!({}))).unwrap(), r#"{ "specversion" : "1.0" }"#);
    let body = format!("[ {good} ,\n{bad},{}]", String::from_utf8(event(json!({ "id": "e2" }))).unwrap());
    let batch = decode(Some(head(Some(BATCH), json!({ "x": 1 }))), body.as_bytes());
    assert_eq!(batch.events.iter().map(|event| event.id.as_str()).collect::<Vec<_>>(), ["e1", "e2"]);
    assert_eq!(batch.events[0].raw, good.as_bytes());
    let [item] = &batch.quarantined[..] else { panic!("{batch:?}") };
    assert_eq!((item.raw.as_slice(), item.reason.as_str()), (bad.as_bytes(), "missing-member"));
    let again = decoder().decode_again(item.headers.as_deref(), ORIGIN, item.raw.clone(), Ticks::now());
    refused(&again, "missing-member", bad.as_bytes());
}

#[test]
fn a_batch_that_is_none_is_quarantined_whole() {
    for (body, reason) in [
        (&b"[{},"[..], "malformed-json"),
        (b"{}", "malformed-json"),
        (b"[\"\xff\"]", "not-utf8"),
        (b"[ ]", "empty-batch"),
    ] {
        refused(&decode(Some(head(Some(BATCH), json!({}))), body), reason, body);
    }
}

#[test]
fn binary_mode_with_each_prefix_becomes_the_same_structured_event() {
    let expected = format!(
        r#"{{"datacontenttype":"application/json; charset=utf-8","id":"b\"1","sequence":"12","source":"{SOURCE}","specversion":"1.0","subject":"room:1","type":"chat.message.posted","data":{}}}"#,
        std::str::from_utf8(DATA).unwrap()
    );
    for prefix in ["ce-", "cloudEvents:", "cloudEvents_"] {
        let head = head(Some("application/json; charset=utf-8"), binary_headers(prefix));
        let row = accepted(decode(Some(head), DATA));
        assert_eq!(String::from_utf8(row.raw).unwrap(), expected);
        assert_eq!((row.id.as_str(), row.sequence), ("b\"1", Some(12)));
    }
}

#[test]
fn binary_mode_with_a_body_that_is_no_json_is_kept_in_base64() {
    let mut headers = binary_headers("ce-");
    headers["ce-type"] = json!("vendor.picture");
    let row = accepted(decode(Some(head(Some("image/png"), headers)), b"\x89PNG"));
    assert_eq!(row.kind, Kind::Other);
    assert!(String::from_utf8(row.raw).unwrap().ends_with(r#""type":"vendor.picture","data_base64":"iVBORw=="}"#));
}

#[test]
fn binary_mode_refuses_what_is_ambiguous() {
    let with = |name: &str, value: serde_json::Value| {
        let mut headers = binary_headers("ce-");
        headers[name] = value;
        decode(Some(head(Some("application/json"), headers)), DATA)
    };
    refused(&with("cloudEvents_id", json!("b1")), "mixed-prefixes", DATA);
    refused(&with("ce-datacontenttype", json!("text/plain")), "bad-member", DATA);
    refused(&with("ce-data", json!("x")), "bad-member", DATA);
    refused(&with("ce-Upper", json!("x")), "bad-member", DATA);
    refused(&with("ce-list", json!([1])), "bad-member", DATA);
    assert_eq!(with("ce-datacontenttype", json!("application/json")).events.len(), 1);
    let head = || Some(head(Some("application/json"), binary_headers("ce-")));
    refused(&decode(head(), b"{},\"id\":\"x\""), "malformed-json", b"{},\"id\":\"x\"");
    refused(&decode(head(), b"\"\xff\""), "not-utf8", b"\"\xff\"");
    refused(&decode(head(), b""), "missing-member", b"");
}

#[test]
fn without_a_content_type_the_body_decides() {
    let none = || Some(MessageHead::default());
    let body = posted("n1");
    accepted(decode(none(), &body));
    accepted(decode(none(), &[b" [", body.as_slice(), b"]"].concat()));
    accepted(decode(Some(head(None, binary_headers("ce-"))), DATA));
    for body in [&b"hello"[..], b"", br#"{"id":"x"}"#] {
        refused(&decode(none(), body), "unknown-content-type", body);
    }
    refused(&decode(Some(head(Some("text/plain"), json!({}))), &body), "unknown-content-type", &body);
    refused(&decode(none(), b"{\"specversion\""), "malformed-json", b"{\"specversion\"");
}

#[test]
fn a_quarantined_binary_message_decodes_again_once_its_source_is_known() {
    let mut headers = binary_headers("ce-");
    headers["ce-source"] = json!("/new");
    let batch = decode(Some(head(Some("application/json"), headers)), DATA);
    let item = refused(&batch, "unknown-source", DATA);
    assert_eq!(item.source.as_deref(), Some("/new"));
    let mut config = config();
    config.source[0].uri = "/new".into();
    let again = Decoder::new(&config).unwrap().decode_again(item.headers.as_deref(), ORIGIN, item.raw, Ticks::now());
    assert_eq!(&*accepted(again).source, "/new");
}

fn any_head() -> impl Strategy<Value = Option<MessageHead>> {
    let content_type = prop_oneof![
        Just(None),
        prop::sample::select(vec![STRUCTURED, BATCH, "application/json", "text/plain", ""])
            .prop_map(|t| Some(t.to_owned())),
        any::<String>().prop_map(Some),
    ];
    let name = prop_oneof!["ce-[a-z]{1,6}", "cloudEvents[:_][a-z]{1,6}", any::<String>()];
    let value = prop_oneof![
        any::<String>().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        Just(json!("1.0")),
        Just(json!(SOURCE)),
        Just(json!(null)),
    ];
    let headers = prop::collection::btree_map(name, value, 0..6).prop_map(|map| map.into_iter().collect());
    prop::option::of((content_type, headers).prop_map(|(content_type, headers)| MessageHead {
        content_type,
        headers,
        unreadable: None,
    }))
}

fn any_body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        any::<Vec<u8>>(),
        "[\\[\\]{}\",:0-9a-z ]{0,40}".prop_map(String::into_bytes),
        "[a-z0-9]{0,8}".prop_map(|id| posted(&id)),
        // An event with one byte changed, removed or doubled somewhere.
        (any::<prop::sample::Index>(), any::<u8>(), 0..3_usize).prop_map(|(at, byte, copies)| {
            let mut body = posted("p");
            let at = at.index(body.len());
            body.splice(at..=at, std::iter::repeat_n(byte, copies));
            body
        }),
        prop::collection::vec("[a-z]{0,3}", 0..4).prop_map(|ids| {
            let events: Vec<_> = ids.iter().map(|id| String::from_utf8(posted(id)).unwrap()).collect();
            format!("[{}]", events.join(" , ")).into_bytes()
        }),
    ]
}

proptest! {
    #[test]
    fn no_input_panics_and_none_is_lost(head in any_head(), body in any_body()) {
        let batch = decode(head.clone(), &body);
        prop_assert!(batch.events.len() + batch.quarantined.len() > 0);
        for event in &batch.events {
            prop_assert_eq!(event.sha256, <[u8; 32]>::from(Sha256::digest(&event.raw)));
            let kept = body.windows(event.raw.len().max(1)).any(|window| window == event.raw);
            // Only binary mode wraps; then the body, or its base64, is inside.
            let wrapped = event.raw.windows(body.len().max(1)).any(|window| window == body)
                || String::from_utf8_lossy(&event.raw).contains("data_base64");
            prop_assert!(kept || wrapped || body.is_empty());
        }
        if batch.events.is_empty() && batch.quarantined.len() == 1 {
            let item = &batch.quarantined[0];
            prop_assert!(item.raw == body || body.windows(item.raw.len()).any(|window| window == item.raw));
            // What was stored beside the bytes is enough to come to the same conclusion again.
            let origin = if head.is_some() { ORIGIN } else { "spool:f:1" };
            let again = decoder().decode_again(item.headers.as_deref(), origin, item.raw.clone(), Ticks::now());
            prop_assert_eq!(again.quarantined.len(), 1);
            prop_assert_eq!(&again.quarantined[0].reason, &item.reason);
        }
    }
}
