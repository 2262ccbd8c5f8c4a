//! What passes the wire, in whatever pieces it arrives.
#![allow(clippy::unwrap_used, reason = "a failed test should panic")]

use std::collections::VecDeque;
use std::task::Waker;

use futures_util::{AsyncReadExt as _, FutureExt as _};
use lapin::protocol::basic::parse_properties;
use lapin::types::AMQPValue;
use proptest::prelude::*;

use super::*;

/// A socket that gives one piece per read, and then stays silent or ends.
struct Pieces {
    pieces: VecDeque<Vec<u8>>,
    ends: bool,
}

impl AsyncRead for Pieces {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, out: &mut [u8]) -> Poll<io::Result<usize>> {
        let Some(mut piece) = self.pieces.pop_front() else {
            return if self.ends { Poll::Ready(Ok(0)) } else { Poll::Pending };
        };
        let count = piece.len().min(out.len());
        out[..count].copy_from_slice(&piece[..count]);
        if count < piece.len() {
            self.pieces.push_front(piece.split_off(count));
        }
        Poll::Ready(Ok(count))
    }
}

fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let size = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&[kind, 0, 1], &size[..], payload, &[0xCE]].concat()
}

fn short(text: &[u8]) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap()], text].concat()
}

fn deliver(routing_key: &[u8]) -> Vec<u8> {
    let tag = [0, 0, 0, 0, 0, 0, 0, 7, 0];
    frame(1, &[&[0, 60, 0, 60][..], &short(b"chancery"), &tag, &short(b"events"), &short(routing_key)].concat())
}

fn header(size: u64, properties: &[u8]) -> Vec<u8> {
    frame(2, &[&[0, 60, 0, 0][..], &size.to_be_bytes(), properties].concat())
}

fn content_type(text: &[u8]) -> Vec<u8> {
    [&[0x80, 0][..], &short(text)].concat()
}

fn message(routing_key: &[u8], properties: &[u8], body: &[u8]) -> Vec<u8> {
    let mut out = [deliver(routing_key), header(body.len() as u64, properties)].concat();
    for part in body.chunks(100_000) {
        out.extend(frame(3, part));
    }
    out
}

fn wire(bytes: &[u8], piece: usize, ends: bool, inflow: &Arc<Inflow>) -> Wire<Pieces> {
    let pieces = bytes.chunks(piece.max(1)).map(<[u8]>::to_vec).collect();
    Wire::new(Pieces { pieces, ends }, Some(inflow.clone()), Tokio::default())
}

/// Everything that comes out, read `step` bytes at a time, until there is nothing more for now.
fn passed(wire: &mut Wire<Pieces>, step: usize) -> Vec<u8> {
    let (mut out, mut buffer) = (Vec::new(), vec![0; step.max(1)]);
    while let Some(count) = wire.read(&mut buffer).now_or_never() {
        match count.unwrap() {
            0 => break,
            count => out.extend_from_slice(&buffer[..count]),
        }
    }
    out
}

fn unlimited() -> Arc<Inflow> {
    Arc::new(Inflow::new(u64::MAX))
}

#[test]
fn readable_messages_pass_byte_for_byte_however_they_are_cut() {
    let heartbeat = [8, 0, 0, 0, 0, 0, 0, 0xCE];
    let bytes = [
        message(b"chat.message.posted", &content_type(b"application/json"), b"body"),
        heartbeat.to_vec(),
        message("\u{e4}".as_bytes(), &[0, 0], &vec![0xFF; 250_000]),
        message(b"", &[0, 0], b""),
    ]
    .concat();
    for (piece, step) in [(1, 1), (3, 1000), (1000, 7), (1 << 20, 1 << 20), (65_536, 4 << 20)] {
        let inflow = unlimited();
        assert!(passed(&mut wire(&bytes, piece, true, &inflow), step) == bytes, "{piece} {step}");
    }
}

#[test]
fn unreadable_properties_are_kept_aside_and_a_stand_in_names_them() {
    let bad = content_type(b"application/\xFF\xFEjson");
    let good = message(b"k", &content_type(b"a/b"), b"good");
    let bytes = [good.clone(), message(b"k", &bad, b"poison"), good.clone()].concat();
    for piece in [1, 50, 1 << 20] {
        let inflow = unlimited();
        let out = passed(&mut wire(&bytes, piece, true, &inflow), 1 << 20);
        assert!(out.starts_with(&good) && out.ends_with(&[frame(3, b"poison"), good.clone()].concat()));
        let rest = &out[good.len() + deliver(b"k").len()..];
        let payload = &rest[7..7 + u32::from_be_bytes(rest[3..7].try_into().unwrap()) as usize];
        assert_eq!(payload[..12], [&[0, 60, 0, 0][..], &6_u64.to_be_bytes()].concat());
        let (left, properties) = parse_properties(&payload[12..]).unwrap();
        assert!(left.is_empty() && properties.content_type().is_none());
        let AMQPValue::LongLongInt(number) = properties.headers().as_ref().unwrap().inner()[STAND_IN] else { panic!() };
        let kept = inflow.take_unreadable(number).unwrap();
        assert_eq!((kept.properties, kept.flaw.as_str()), (bad.clone(), "the property content-type is no UTF-8"));
        assert_eq!(inflow.take_unreadable(number), None);
    }
}

#[test]
fn texts_of_methods_are_made_readable_in_place() {
    let close = |text: &[u8]| frame(1, &[&[0, 10, 0, 50, 1, 64][..], &short(text), &[0, 0, 0, 0]].concat());
    for (before, after) in [
        (deliver(b"caf\xE9.\xC3"), deliver(b"caf?.?")),
        (
            close("cut off in the middle of an \u{e4}".as_bytes().split_last().unwrap().1),
            close(b"cut off in the middle of an ?"),
        ),
        // Not a method with text, and one that is shorter than it says: for the driver to judge.
        (frame(1, b"\0\x3C\0\x1F\xFF"), frame(1, b"\0\x3C\0\x1F\xFF")),
        (frame(1, b"\0\x0A\0\x32\0\0\x20\xFF"), frame(1, b"\0\x0A\0\x32\0\0\x20\xFF")),
    ] {
        assert_eq!(passed(&mut wire(&before, 3, true, &unlimited()), 64), after);
    }
}

#[test]
fn what_is_no_amqp_is_left_to_the_driver() {
    for bytes in [&b"AMQP\0\0\x09\x01 and more"[..], b"\x01\0", b"HTTP/1.1 400 Bad Request\r\n\r\n"] {
        assert_eq!(passed(&mut wire(bytes, 2, true, &unlimited()), 64), bytes);
    }
    let huge = [1, 0, 1, 0xFF, 0xFF, 0xFF, 0xFF, 0];
    let error = wire(&huge, 64, true, &unlimited()).read(&mut [0; 8]).now_or_never().unwrap().unwrap_err();
    assert!(error.to_string().contains("a frame of 4294967303 bytes came"), "{error}");
}

#[tokio::test]
async fn a_message_waits_while_too_much_is_under_way_and_the_driver_hears_a_heart_beat() {
    let inflow = Arc::new(Inflow::new(1000));
    let messages: Vec<_> = [600, 400, 1, 5000].map(|size| message(b"k", &[0, 0], &vec![b'x'; size])).into();
    let mut wire = wire(&messages.concat(), 100, false, &inflow);
    (wire.timer, wire.beat) = (Tokio::current(), Duration::from_millis(20));
    let mut buffer = vec![0; 1 << 16];

    let out = passed(&mut wire, 1 << 16);
    assert_eq!(out.len(), messages[0].len() + messages[1].len() + deliver(b"k").len(), "all but the third header");
    inflow.held().await;
    let begun = tokio::time::Instant::now();
    for beats in 1..=3 {
        assert_eq!(wire.read(&mut buffer).await.unwrap(), 8);
        assert_eq!(buffer[..8], [8, 0, 0, 0, 0, 0, 0, 0xCE]);
        assert!(begun.elapsed() >= wire.beat * beats);
    }
    inflow.settle(600);
    let out = passed(&mut wire, 1 << 16);
    assert_eq!(out.len(), header(1, &[0, 0]).len() + frame(3, b"x").len() + deliver(b"k").len());
    // A body larger than the limit passes once nothing else is under way.
    inflow.settle(400);
    assert!(passed(&mut wire, 1 << 16).is_empty());
    inflow.settle(1);
    assert_eq!(passed(&mut wire, 1 << 16).len(), messages[3].len() - deliver(b"k").len());
    assert!(inflow.held().now_or_never().is_none());
}

#[tokio::test]
async fn a_reader_that_waits_is_woken_when_there_is_room_and_when_the_session_is_over() {
    let inflow = Arc::new(Inflow::new(10));
    let bytes = [message(b"k", &[0, 0], b"0123456789"), message(b"k", &[0, 0], b"x")].concat();
    let mut wire = wire(&bytes, 1 << 16, false, &inflow);
    wire.timer = Tokio::current();
    let reader = tokio::spawn(async move {
        let (mut count, mut buffer) = (0, [0; 1 << 12]);
        loop {
            match wire.read(&mut buffer).await {
                Ok(read) => count += read,
                Err(error) => return (count, error.kind()),
            }
        }
    });
    inflow.held().await;
    inflow.settle(10);
    while inflow.held().now_or_never().is_some() {
        tokio::task::yield_now().await;
    }
    inflow.cut();
    assert_eq!(reader.await.unwrap(), (bytes.len(), io::ErrorKind::ConnectionAborted));
}

#[test]
fn a_connection_without_a_count_holds_nothing_back() {
    let bytes = message(b"k", &content_type(b"\xFF"), &[0; 1000]);
    let pieces = Pieces { pieces: [bytes.clone()].into(), ends: true };
    let mut wire = Wire::new(pieces, None, Tokio::default());
    assert_eq!(passed(&mut wire, 64), bytes);
}

proptest! {
    /// Nothing the broker could send makes the wire panic, loop or grow.
    #[test]
    fn no_bytes_confuse_the_wire(bytes in prop::collection::vec(any::<u8>(), 0..400), piece in 1_usize..50) {
        let mut frames = Frames::default();
        let inflow = Inflow::new(100);
        let mut out = [0; 64];
        'all: for piece in bytes.chunks(piece) {
            let space = frames.space();
            space[..piece.len()].copy_from_slice(piece);
            frames.filled(piece.len());
            loop {
                match frames.next(Some(&inflow), Waker::noop()) {
                    Ok(Next::Serve) => prop_assert!(frames.serve(&mut out) > 0),
                    Ok(Next::More) => break,
                    Ok(Next::Hold) => inflow.settle(u64::MAX),
                    Err(_) => break 'all,
                }
            }
        }
    }
}
