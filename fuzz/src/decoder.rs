//! The decoder loses nothing, and what it lets through can be relied on.
//!
//! Input: one line, which is the head of an AMQP message as JSON or else means a spool line; then the body.

use std::sync::LazyLock;

use chancery::config::{Config, Source};
use chancery::intake::Decoder;
use chancery::intake::decode::{MessageHead, Received};
use chancery::model::{Event, Ticks};
use chancery::staging::{Arrivals, NewEvent};
use sha2::{Digest as _, Sha256};

/// Keys are parts of database indexes, which have a limit.
const KEY_BYTES_MAX: usize = 1024;

static DECODER: LazyLock<Decoder> = LazyLock::new(|| {
    let source = |uri: &str| Source { uri: uri.into(), description: String::new(), silence: None };
    let config = Config { source: vec![source("/channel-service/1"), source("/web/1")], ..Config::default() };
    Decoder::new(&config).unwrap()
});

/// Decodes.
pub fn decode(head: Option<MessageHead>, body: &[u8]) -> Arrivals {
    let mut out = Arrivals::default();
    let origin = if head.is_some() { "amqp:q" } else { "spool:f:1" };
    DECODER.decode(Received { origin, received: Ticks::now(), head, body: body.to_vec() }, &mut out);
    out
}

/// The head and the body of an input.
pub fn parts(data: &[u8]) -> (Option<MessageHead>, &[u8]) {
    let at = data.iter().position(|&byte| byte == b'\n').unwrap_or(0);
    match serde_json::from_slice(&data[..at]) {
        Ok(head) => (Some(head), &data[at + 1..]),
        Err(_) => (None, data),
    }
}

/// Checks one input.
pub fn check(data: &[u8]) {
    let (head, body) = parts(data);
    let is_amqp = head.is_some();
    let batch = decode(head.clone(), body);
    assert!(!batch.events.is_empty() || !batch.quarantined.is_empty(), "nothing came of it");
    for event in &batch.events {
        check_event(event, body);
    }
    for item in &batch.quarantined {
        assert!(!item.reason.is_empty() && !item.detail.is_empty());
        assert!(contains(body, &item.raw), "quarantined bytes that never came");
        let origin = if is_amqp { "amqp:q" } else { "spool:f:1" };
        let again = DECODER.decode_again(item.headers.as_deref(), origin, item.raw.clone(), item.received);
        assert!(again.events.is_empty(), "{}: an event at the second try", item.reason);
        assert_eq!(again.quarantined[0].reason, item.reason);
        assert_eq!(again.quarantined[0].raw, item.raw);
    }
    if let ([], [item]) = (&batch.events[..], &batch.quarantined[..]) {
        let is_element = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
        assert!(item.raw == body || is_element, "quarantined in part");
    }
}

fn check_event(event: &NewEvent, body: &[u8]) {
    assert_eq!(event.sha256, <[u8; 32]>::from(Sha256::digest(&event.raw)));
    assert!((1..=KEY_BYTES_MAX).contains(&event.id.len()) && !event.id.contains('\0'));
    for key in [&event.room_uri, &event.person_key, &event.message_id].into_iter().flatten() {
        assert!(key.len() <= KEY_BYTES_MAX && !key.contains('\0'));
    }
    for number in [event.sequence, event.heartbeat_sequence].into_iter().flatten() {
        assert!(i64::try_from(number).is_ok());
    }
    // Rendering reads the bytes again, weeks later; it must come to the same.
    let read = Event::read(&event.raw).expect("what was staged can be read");
    assert_eq!((read.kind, read.id.as_str()), (event.kind, Some(event.id.as_str())));
    assert!(read.time.is_none_or(|time| time == event.time));
    // Binary mode wraps the body; everything else is kept as it came.
    let encoded = || base64::Engine::encode(&base64::engine::general_purpose::STANDARD, body);
    assert!(
        contains(body, &event.raw) || contains(&event.raw, body) || contains(&event.raw, encoded().as_bytes()),
        "the received bytes are gone"
    );
}

fn contains(all: &[u8], part: &[u8]) -> bool {
    all.len() >= part.len() && (part.is_empty() || all == part || all.windows(part.len()).any(|window| window == part))
}
