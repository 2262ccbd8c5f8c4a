//! Looks at AMQP frames as they pass: everything goes on byte for byte, except what the driver would stumble over.
//!
//! - Properties that the driver cannot read are kept aside, and a stand-in goes on that names them by a number.
//! - Texts in methods that are no UTF-8 (the routing key of a delivery, the reason of a close, which brokers cut off
//!   at 255 bytes) are made readable in place: nothing that is archived comes from them.
//!
//! Methods and headers wait until they are complete; bodies flow through.
//!
//! Source: AMQP 0-9-1, section 4.2.3 (frames).

use std::io;
use std::task::Waker;

use super::inflow::{Admission, Inflow, Unreadable};
use super::properties::{flaw_of, without_delivery_count};

/// The header by which a stand-in names the properties that were kept aside. It never comes from outside: a message
/// that carries it counts as unreadable itself.
pub(in crate::intake::amqp) const STAND_IN: &str = "x-chancery-unreadable-properties";

const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
const HEARTBEAT: u8 = 8;
const FRAME_END: u8 = 0xCE;
/// Type, channel and size stand before a frame's payload, one octet behind it.
const PREFIX: usize = 7;
const HEARTBEAT_FRAME: [u8; PREFIX + 1] = [HEARTBEAT, 0, 0, 0, 0, 0, 0, FRAME_END];
/// Class, weight and body size, before the properties of a content header.
const CONTENT_PREFIX: usize = 12;
const BUFFER: usize = 128 << 10;
/// The largest method or header that is waited for. Brokers allow 128 KiB unless told otherwise.
const WHOLE_FRAME_MAX: usize = 16 << 20;

/// What stands in a method, as far as its texts.
enum Part {
    Text,
    Skip(usize),
}

/// The methods of a broker that hold text from outside: class, method, layout.
const METHODS_WITH_TEXT: [(u16, u16, &[Part]); 5] = [
    (10, 50, &[Part::Skip(2), Part::Text]),                         // connection.close
    (20, 40, &[Part::Skip(2), Part::Text]),                         // channel.close
    (60, 50, &[Part::Skip(2), Part::Text, Part::Text, Part::Text]), // basic.return
    (60, 60, &[Part::Text, Part::Skip(9), Part::Text, Part::Text]), // basic.deliver
    (60, 71, &[Part::Skip(9), Part::Text, Part::Text]),             // basic.get-ok
];

/// What can be done now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Something may be handed on.
    Serve,
    /// More must be read first.
    More,
    /// The next message has to wait.
    Hold,
}

/// Bytes between the socket and the driver.
#[derive(Debug, Default)]
pub(super) struct Frames {
    buffer: Vec<u8>,
    /// What was handed on, what may be handed on, and what was read: `start <= pass <= end`.
    start: usize,
    pass: usize,
    end: usize,
    /// Bytes of a body's frame that still have to come.
    flowing: usize,
    /// Goes on before anything else.
    insert: Vec<u8>,
    /// This is no AMQP, or it has ended: the driver shall judge.
    is_open: bool,
}

impl Frames {
    /// Finds out what can be done. Without `inflow`, no message is held or kept aside.
    pub(super) fn next(&mut self, inflow: Option<&Inflow>, reader: &Waker) -> io::Result<Next> {
        loop {
            if !self.insert.is_empty() || self.start < self.pass {
                return Ok(Next::Serve);
            }
            let waiting = self.end - self.pass;
            let flow = if self.is_open { waiting } else { self.flowing.min(waiting) };
            if flow > 0 {
                self.pass += flow;
                self.flowing = self.flowing.saturating_sub(flow);
                continue;
            }
            if waiting < PREFIX {
                return Ok(Next::More);
            }
            let frame = &mut self.buffer[self.pass..self.end];
            let size = u32::from_be_bytes([frame[3], frame[4], frame[5], frame[6]]) as usize;
            let whole = PREFIX + size + 1;
            match frame[0] {
                METHOD | HEADER if whole > WHOLE_FRAME_MAX => {
                    let detail = format!("a frame of {whole} bytes came, at most {WHOLE_FRAME_MAX} are read at once");
                    return Err(io::Error::new(io::ErrorKind::InvalidData, detail));
                }
                METHOD | HEADER if frame.len() < whole => return Ok(Next::More),
                METHOD => {
                    make_readable(&mut frame[PREFIX..whole - 1]);
                    self.pass += whole;
                }
                HEADER => match inflow {
                    Some(inflow) => match header(&frame[..whole], inflow, reader) {
                        Header::Passes => self.pass += whole,
                        Header::Waits => return Ok(Next::Hold),
                        Header::Replaced(stand_in) => {
                            self.insert = stand_in;
                            self.pass += whole;
                            self.start = self.pass;
                        }
                    },
                    None => self.pass += whole,
                },
                BODY | HEARTBEAT => self.flowing = whole,
                _ => self.is_open = true,
            }
        }
    }

    /// Hands on what may be handed on; 0 when that is nothing.
    pub(super) fn serve(&mut self, out: &mut [u8]) -> usize {
        if !self.insert.is_empty() {
            let count = self.insert.len().min(out.len());
            out[..count].copy_from_slice(&self.insert[..count]);
            self.insert.drain(..count);
            return count;
        }
        let count = (self.pass - self.start).min(out.len());
        out[..count].copy_from_slice(&self.buffer[self.start..self.start + count]);
        self.start += count;
        count
    }

    /// Where to read to: never empty.
    pub(super) fn space(&mut self) -> &mut [u8] {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.pass -= self.start;
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.buffer.len() {
            self.buffer.resize(self.buffer.len() + BUFFER, 0);
        } else if self.end == 0 && self.buffer.len() > BUFFER {
            self.buffer.truncate(BUFFER);
            self.buffer.shrink_to_fit();
        }
        &mut self.buffer[self.end..]
    }

    /// So many bytes were read into [`Frames::space`].
    pub(super) fn filled(&mut self, count: usize) {
        self.end += count;
    }

    /// Nothing more comes: what is left goes on as it is.
    pub(super) fn finish(&mut self) {
        self.is_open = true;
    }

    /// A heartbeat goes on next.
    pub(super) fn insert_heartbeat(&mut self) {
        self.insert.extend_from_slice(&HEARTBEAT_FRAME);
    }
}

enum Header {
    Passes,
    Waits,
    Replaced(Vec<u8>),
}

/// Decides about a whole header frame.
fn header(frame: &[u8], inflow: &Inflow, reader: &Waker) -> Header {
    let payload = &frame[PREFIX..frame.len() - 1];
    let Some((content, properties)) = payload.split_at_checked(CONTENT_PREFIX) else { return Header::Passes };
    // A frame that does not end as frames end is for the driver to refuse.
    if frame.last() != Some(&FRAME_END) {
        return Header::Passes;
    }
    let mut size = [0; 8];
    size.copy_from_slice(&content[4..]);
    if inflow.admit(u64::from_be_bytes(size), reader) == Admission::Held {
        return Header::Waits;
    }
    let Some(flaw) = flaw_of(properties, STAND_IN) else { return Header::Passes };
    let properties = without_delivery_count(properties).into_owned();
    let number = inflow.keep(Unreadable { flaw, properties });
    Header::Replaced(stand_in(frame, content, number))
}

/// The same header with one property: a header that holds `number`.
fn stand_in(frame: &[u8], content: &[u8], number: i64) -> Vec<u8> {
    let mut entry = vec![STAND_IN.len() as u8];
    entry.extend_from_slice(STAND_IN.as_bytes());
    entry.push(b'l');
    entry.extend_from_slice(&number.to_be_bytes());
    let mut payload = content.to_vec();
    payload.extend_from_slice(&(1_u16 << 13).to_be_bytes());
    payload.extend_from_slice(&(entry.len() as u32).to_be_bytes());
    payload.extend_from_slice(&entry);
    let mut out = frame[..3].to_vec();
    out.extend_from_slice(&(payload.len() as u32).to_be_bytes());
    out.extend_from_slice(&payload);
    out.push(FRAME_END);
    out
}

/// Replaces what is no UTF-8 in the texts of a method by question marks, byte for byte.
fn make_readable(payload: &mut [u8]) {
    let [a, b, c, d, ..] = *payload else { return };
    let (class, method) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    let Some((.., parts)) = METHODS_WITH_TEXT.iter().find(|known| (known.0, known.1) == (class, method)) else {
        return;
    };
    let mut rest = &mut payload[4..];
    for part in *parts {
        let length = match part {
            Part::Skip(count) => *count,
            Part::Text => {
                let Some((length, after)) = rest.split_first_mut() else { return };
                rest = after;
                usize::from(*length)
            }
        };
        let Some((field, after)) = rest.split_at_mut_checked(length) else { return };
        if matches!(part, Part::Text) {
            mend(field);
        }
        rest = after;
    }
}

fn mend(text: &mut [u8]) {
    let mut from = 0;
    while let Err(error) = std::str::from_utf8(&text[from..]) {
        let bad = from + error.valid_up_to();
        let end = error.error_len().map_or(text.len(), |length| bad + length);
        text[bad..end].fill(b'?');
        from = end;
    }
}
