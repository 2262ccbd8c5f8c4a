//! An AMQP publisher that sends any bytes for properties and routing keys: drivers only send what they consider lawful.

use std::io::{BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
const FRAME_END: u8 = 0xCE;
const BODY_MAX: usize = 120_000;
/// A broker that refuses something may fall silent; then the test must fail and not hang.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection with one channel in confirm mode.
pub struct RawPublisher {
    reader: BufReader<TcpStream>,
    exchange: String,
    published: u64,
    confirmed: u64,
}

/// A short string.
fn short(text: &[u8]) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap()], text].concat()
}

/// A long string.
fn long(text: &[u8]) -> Vec<u8> {
    [&u32::try_from(text.len()).unwrap().to_be_bytes(), text].concat()
}

impl RawPublisher {
    /// Connects to `amqp://HOST:PORT/%2f` as guest and publishes on `exchange`.
    pub fn connect(url: &str, exchange: &str) -> Self {
        let address = url.strip_prefix("amqp://").unwrap().split('/').next().unwrap();
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        let mut this = Self { reader: BufReader::new(stream), exchange: exchange.into(), published: 0, confirmed: 0 };
        this.reader.get_mut().write_all(b"AMQP\0\0\x09\x01").unwrap();
        this.await_method(10, 10);
        let start = [&long(b"")[..], &short(b"PLAIN"), &long(b"\0guest\0guest"), &short(b"en_US")].concat();
        this.method(0, 10, 11, &start);
        this.await_method(10, 30);
        this.method(0, 10, 31, &[&16_u16.to_be_bytes()[..], &131_072_u32.to_be_bytes(), &[0, 0]].concat());
        this.method(0, 10, 40, &[&short(b"/")[..], &short(b""), &[0]].concat());
        this.await_method(10, 41);
        this.method(1, 20, 10, &short(b""));
        this.await_method(20, 11);
        this.method(1, 85, 10, &[0]);
        this.await_method(85, 11);
        this
    }

    /// Sends a message; `properties` are flags and list as a content header holds them.
    pub fn publish(&mut self, routing_key: &[u8], properties: &[u8], body: &[u8]) {
        let arguments = [&[0, 0][..], &short(self.exchange.as_bytes()), &short(routing_key), &[1]].concat();
        self.method(1, 60, 40, &arguments);
        let size = (body.len() as u64).to_be_bytes();
        self.frame(HEADER, 1, &[&[0, 60, 0, 0][..], &size, properties].concat());
        for part in body.chunks(BODY_MAX) {
            self.frame(BODY, 1, part);
        }
        self.published += 1;
    }

    /// Waits until the broker has confirmed everything.
    pub fn settle(&mut self) {
        while self.confirmed < self.published {
            let payload = self.await_method(60, 80);
            let tag = u64::from_be_bytes(payload[4..12].try_into().unwrap());
            self.confirmed = if payload[12] & 1 == 1 { tag } else { self.confirmed + 1 };
        }
    }

    fn method(&mut self, channel: u16, class: u16, method: u16, arguments: &[u8]) {
        let payload = [&class.to_be_bytes(), &method.to_be_bytes(), arguments].concat();
        self.frame(METHOD, channel, &payload);
    }

    fn frame(&mut self, kind: u8, channel: u16, payload: &[u8]) {
        let size = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let frame = [&[kind], &channel.to_be_bytes()[..], &size, payload, &[FRAME_END]].concat();
        self.reader.get_mut().write_all(&frame).unwrap();
    }

    /// The payload of the next method, which must be this one.
    fn await_method(&mut self, class: u16, method: u16) -> Vec<u8> {
        loop {
            let mut prefix = [0; 7];
            self.reader.read_exact(&mut prefix).unwrap();
            let size = u32::from_be_bytes(prefix[3..].try_into().unwrap()) as usize;
            let mut payload = vec![0; size + 1];
            self.reader.read_exact(&mut payload).unwrap();
            if prefix[0] == METHOD {
                let expected = [class.to_be_bytes(), method.to_be_bytes()].concat();
                assert_eq!(payload[..4], expected, "the broker says {:?}", String::from_utf8_lossy(&payload));
                return payload;
            }
        }
    }
}
