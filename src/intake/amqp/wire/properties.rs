//! Whether the driver can read the properties of a message.
//!
//! The broker hands properties on as they were published and does not look into their texts. The driver reads
//! every short string as UTF-8, follows nested tables by recursion, and gives the whole connection up over one
//! that it cannot read. So they are walked here first, by the same grammar, and with a limit to their depth.
//!
//! Source: AMQP 0-9-1, sections 4.2.5 (tables) and 4.2.6.1 (content header); the letters of the types are those
//! RabbitMQ uses.

use std::borrow::Cow;

/// Tables and arrays inside each other, beyond which properties count as unreadable. What has a meaning has one or two.
const DEPTH_MAX: u32 = 32;
/// How often the broker says it has delivered the message before: the only header that is the broker's own.
const DELIVERY_COUNT: &[u8] = b"x-delivery-count";
/// The flag of the headers property.
const HEADERS_FLAG: u16 = 1 << 13;
/// Flags that announce nothing RabbitMQ or the driver know.
const UNKNOWN_FLAGS: u16 = 0b11;

/// The properties in the order in which they stand, the highest flag first.
const PROPERTIES: [(&str, Sort); 14] = [
    ("content-type", Sort::Text),
    ("content-encoding", Sort::Text),
    ("headers", Sort::Table),
    ("delivery-mode", Sort::Bytes(1)),
    ("priority", Sort::Bytes(1)),
    ("correlation-id", Sort::Text),
    ("reply-to", Sort::Text),
    ("expiration", Sort::Text),
    ("message-id", Sort::Text),
    ("timestamp", Sort::Bytes(8)),
    ("type", Sort::Text),
    ("user-id", Sort::Text),
    ("app-id", Sort::Text),
    ("cluster-id", Sort::Text),
];

enum Sort {
    Text,
    Table,
    Bytes(usize),
}

/// Why the driver cannot read properties, for people; never holds their content.
pub(super) type Flaw = String;

/// What is wrong with properties (flags and list, as a content header has them after the body's size); `None` when
/// the driver can read them. A header named `reserved` is a flaw: nobody but Chancery may write it.
pub(super) fn flaw_of(properties: &[u8], reserved: &str) -> Option<Flaw> {
    walk(properties, reserved).err()
}

fn walk(properties: &[u8], reserved: &str) -> Result<(), Flaw> {
    let mut reader = Reader(properties);
    let flags = reader.u16()?;
    if flags & UNKNOWN_FLAGS != 0 {
        return Err("the flags announce a property that AMQP 0-9-1 does not have".into());
    }
    for (at, (name, sort)) in PROPERTIES.iter().enumerate() {
        if flags & (1 << (15 - at)) == 0 {
            continue;
        }
        match sort {
            Sort::Text => {
                reader.utf8().map_err(|flaw| flaw.unwrap_or_else(|| format!("the property {name} is no UTF-8")))?;
            }
            Sort::Bytes(count) => {
                reader.take(*count)?;
            }
            Sort::Table => reader.table(reserved, 1)?,
        }
    }
    if reader.0.is_empty() { Ok(()) } else { Err("bytes stand behind the last property".into()) }
}

/// The properties without the broker's delivery count, which would make each redelivery of a message look like
/// another one. Unchanged when it is not there or cannot be found.
pub(super) fn without_delivery_count(properties: &[u8]) -> Cow<'_, [u8]> {
    strip(properties).map_or(Cow::Borrowed(properties), Cow::Owned)
}

fn strip(properties: &[u8]) -> Option<Vec<u8>> {
    let mut reader = Reader(properties);
    let flags = reader.u16().ok().filter(|flags| flags & HEADERS_FLAG != 0)?;
    for flag in [1 << 15, 1 << 14] {
        if flags & flag != 0 {
            reader.short().ok()?;
        }
    }
    let table_at = properties.len() - reader.0.len();
    let table = reader.long().ok()?;
    let mut entries = Reader(table);
    let mut kept = Vec::with_capacity(table.len());
    while !entries.0.is_empty() {
        let entry = entries.0;
        let name = entries.short().ok()?;
        entries.skip_value().ok()?;
        if name != DELIVERY_COUNT {
            kept.extend_from_slice(&entry[..entry.len() - entries.0.len()]);
        }
    }
    if kept.len() == table.len() {
        return None;
    }
    let mut out = properties[..table_at].to_vec();
    if kept.is_empty() {
        // The broker made the table for its count alone.
        out[..2].copy_from_slice(&(flags & !HEADERS_FLAG).to_be_bytes());
    } else {
        out.extend_from_slice(&u32::try_from(kept.len()).ok()?.to_be_bytes());
        out.extend_from_slice(&kept);
    }
    out.extend_from_slice(reader.0);
    Some(out)
}

/// What is left to read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Flaw> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or("a property ends too early")?;
        self.0 = rest;
        Ok(taken)
    }

    fn u8(&mut self) -> Result<u8, Flaw> {
        self.take(1).map(|taken| taken[0])
    }

    fn u16(&mut self) -> Result<u16, Flaw> {
        self.take(2).map(|taken| u16::from_be_bytes([taken[0], taken[1]]))
    }

    /// A short string.
    fn short(&mut self) -> Result<&'a [u8], Flaw> {
        let length = self.u8()?;
        self.take(usize::from(length))
    }

    /// A short string that must be UTF-8; `None` as the error when it is not.
    fn utf8(&mut self) -> Result<&'a str, Option<Flaw>> {
        let text = self.short().map_err(Some)?;
        std::str::from_utf8(text).map_err(|_| None)
    }

    /// What follows its own length in four bytes.
    fn long(&mut self) -> Result<&'a [u8], Flaw> {
        let length = self.take(4)?;
        let length = u32::from_be_bytes([length[0], length[1], length[2], length[3]]);
        self.take(usize::try_from(length).map_err(|_| "a property ends too early")?)
    }

    fn table(&mut self, reserved: &str, depth: u32) -> Result<(), Flaw> {
        let mut entries = Reader(self.long()?);
        while !entries.0.is_empty() {
            let name =
                entries.utf8().map_err(|flaw| flaw.unwrap_or_else(|| "the name of a header is no UTF-8".into()))?;
            if depth == 1 && name == reserved {
                return Err(format!("a header is named {reserved}, which is reserved"));
            }
            entries.value(reserved, depth)?;
        }
        Ok(())
    }

    fn value(&mut self, reserved: &str, depth: u32) -> Result<(), Flaw> {
        if depth > DEPTH_MAX {
            return Err(format!("the headers are nested deeper than {DEPTH_MAX}"));
        }
        match self.0.first() {
            Some(b'F') => {
                self.u8()?;
                self.table(reserved, depth + 1)
            }
            Some(b'A') => {
                self.u8()?;
                let mut entries = Reader(self.long()?);
                while !entries.0.is_empty() {
                    entries.value(reserved, depth + 1)?;
                }
                Ok(())
            }
            _ => self.skip_value(),
        }
    }

    /// Steps over a value, whatever is in it.
    fn skip_value(&mut self) -> Result<(), Flaw> {
        let size = match self.u8()? {
            b'V' => 0,
            b't' | b'b' | b'B' => 1,
            b's' | b'U' | b'u' => 2,
            b'I' | b'i' | b'f' => 4,
            b'D' => 5,
            b'L' | b'l' | b'd' | b'T' => 8,
            b'S' | b'x' | b'A' | b'F' => return self.long().map(|_| ()),
            _ => return Err("a header has a type that AMQP 0-9-1 does not have".into()),
        };
        self.take(size).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test should panic")]

    use lapin::BasicProperties;
    use lapin::protocol::basic::{gen_properties, parse_properties};
    use lapin::types::{AMQPValue, DecimalValue, FieldArray, FieldTable};
    use proptest::prelude::*;

    use super::*;

    const RESERVED: &str = "x-reserved";

    fn written(properties: &BasicProperties) -> Vec<u8> {
        gen_properties(properties)(Vec::new().into()).unwrap().into_inner().0
    }

    /// Every property and every type of header.
    fn everything() -> BasicProperties {
        let mut inner = FieldTable::default();
        inner.insert("nested".into(), AMQPValue::LongString("ä".into()));
        let mut array = FieldArray::default();
        array.push(AMQPValue::FieldTable(inner.clone()));
        let mut headers = FieldTable::default();
        for (name, value) in [
            ("boolean", AMQPValue::Boolean(true)),
            ("b", AMQPValue::ShortShortInt(-1)),
            ("B", AMQPValue::ShortShortUInt(1)),
            ("s", AMQPValue::ShortInt(-2)),
            ("u", AMQPValue::ShortUInt(2)),
            ("I", AMQPValue::LongInt(-3)),
            ("i", AMQPValue::LongUInt(3)),
            ("l", AMQPValue::LongLongInt(-4)),
            ("f", AMQPValue::Float(0.5)),
            ("d", AMQPValue::Double(0.25)),
            ("D", AMQPValue::DecimalValue(DecimalValue { scale: 2, value: 314 })),
            ("S", AMQPValue::LongString(vec![0xFF, 0].into())),
            ("x", AMQPValue::ByteArray(vec![0xFE, 1].into())),
            ("T", AMQPValue::Timestamp(u64::MAX)),
            ("A", AMQPValue::FieldArray(array)),
            ("F", AMQPValue::FieldTable(inner)),
            ("V", AMQPValue::Void),
        ] {
            headers.insert(name.into(), value);
        }
        BasicProperties::default()
            .with_content_type("application/json".into())
            .with_content_encoding("utf-8".into())
            .with_headers(headers)
            .with_delivery_mode(2)
            .with_priority(9)
            .with_correlation_id("c".into())
            .with_reply_to("r".into())
            .with_expiration("60000".into())
            .with_message_id("m".into())
            .with_timestamp(1)
            .with_type("k".into())
            .with_user_id("guest".into())
            .with_app_id("a".into())
            .with_cluster_id("x".into())
    }

    #[test]
    fn every_property_and_type_the_driver_writes_is_readable() {
        assert_eq!(flaw_of(&written(&everything()), RESERVED), None);
        assert_eq!(flaw_of(&written(&BasicProperties::default()), RESERVED), None);
    }

    #[test]
    fn each_flaw_is_named() {
        let named = |name: &str| {
            let mut headers = FieldTable::default();
            headers.insert(name.into(), AMQPValue::Void);
            written(&BasicProperties::default().with_headers(headers))
        };
        let mut bad_name = named("name");
        let at = bad_name.len() - 3;
        bad_name[at] = 0xFF;
        let mut bad_text = written(&BasicProperties::default().with_app_id("app".into()));
        *bad_text.last_mut().unwrap() = 0x80;
        let mut unknown_type = named("n");
        *unknown_type.last_mut().unwrap() = b'?';
        let mut deep = vec![];
        for _ in 0..20_000 {
            let length = u32::try_from(deep.len()).unwrap().to_be_bytes();
            deep = [b"A".as_slice(), &length, &deep].concat();
        }
        let entry = [b"\x01n".as_slice(), &deep].concat();
        let deep =
            [&HEADERS_FLAG.to_be_bytes(), &u32::try_from(entry.len()).unwrap().to_be_bytes()[..], &entry].concat();
        for (properties, part) in [
            (bad_name, "the name of a header is no UTF-8"),
            (bad_text, "the property app-id is no UTF-8"),
            (unknown_type, "a header has a type"),
            (named(RESERVED), "reserved"),
            (deep, "nested deeper than 32"),
            (vec![0x80, 0], "ends too early"),
            (vec![], "ends too early"),
            (vec![0, 1], "the flags announce"),
            (vec![0, 0, 0], "bytes stand behind"),
        ] {
            let flaw = flaw_of(&properties, RESERVED).unwrap_or_default();
            assert!(flaw.contains(part), "{part}: {flaw:?}");
        }
    }

    #[test]
    fn the_brokers_count_is_taken_out_and_nothing_else() {
        let mut properties = everything();
        assert_eq!(without_delivery_count(&written(&properties)), written(&properties));
        let mut headers = properties.headers().clone().unwrap();
        headers.insert("x-delivery-count".into(), AMQPValue::LongLongInt(3));
        let counted = written(&properties.clone().with_headers(headers));
        assert_eq!(without_delivery_count(&counted), written(&properties));

        let mut alone = FieldTable::default();
        alone.insert("x-delivery-count".into(), AMQPValue::LongLongInt(3));
        properties = BasicProperties::default().with_content_type("a".into()).with_message_id("m".into());
        let counted = written(&properties.clone().with_headers(alone));
        assert_eq!(without_delivery_count(&counted), written(&properties));
        assert_eq!(without_delivery_count(b"\xff"), &b"\xff"[..]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// What passes here, the driver reads to the end: else one message could still end every session.
        #[test]
        fn what_has_no_flaw_the_driver_can_read(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4)) {
            let mut properties = written(&everything());
            for (at, byte) in changes {
                let at = at.index(properties.len());
                properties[at] = byte;
            }
            let read = parse_properties(&properties[..]);
            let readable = read.is_ok_and(|(rest, _)| rest.is_empty());
            if flaw_of(&properties, RESERVED).is_none() {
                prop_assert!(readable, "{properties:?}");
            }
        }
    }
}
