//! Events out of rows of one value.
//!
//! The driver hands rows from the database's thread to ours and allocates for each value of each row, twice. A conversation
//! interval is hundreds of thousands of rows, so the statement packs an event into one value: eleven numbers and the lengths
//! of three texts in decimal, each followed by a space (nothing before it where there is none), then the texts of the source, the
//! room and the id, then the event as received.

use std::collections::HashMap;
use std::sync::Arc;

use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use crate::model::Kind;
use crate::staging::keys::{broken, instant, small, uncount};
use crate::staging::{Result, RoomNo, StagedEvent, StagingError};

/// Reads events and shares the texts that many of them have in common.
#[derive(Default)]
pub(in crate::staging::sqlite) struct Events {
    sources: HashMap<i64, Arc<str>>,
    room: Option<(RoomNo, Arc<str>)>,
}

impl Events {
    pub(in crate::staging::sqlite) fn read(&mut self, row: &SqliteRow) -> Result<StagedEvent> {
        self.unpack(row.try_get(0)?)
    }

    fn unpack(&mut self, packed: &[u8]) -> Result<StagedEvent> {
        let mut rest = Packed { rest: packed };
        let seq = rest.number("seq")?;
        let source_no = rest.number("source_no")?;
        let kind = i16::try_from(rest.number("kind")?).map_err(|_| unreadable("kind"))?;
        let room = rest.number("room_no")?;
        let person_no = rest.maybe("person_no")?.map(small).transpose()?;
        let message_no = rest.maybe("message_no")?.map(small).transpose()?;
        let time = instant(rest.number("time")?)?;
        let time_is_receipt = rest.number("time_is_receipt")? != 0;
        let sequence = rest.maybe("sequence")?.map(uncount);
        let received = instant(rest.number("received")?)?;
        let conflict = rest.number("conflict")? != 0;
        let lengths = [rest.number("source")?, rest.number("room_uri")?, rest.number("id")?];
        let (source, room_uri, id) = (rest.bytes(lengths[0])?, rest.bytes(lengths[1])?, rest.bytes(lengths[2])?);
        let source = match self.sources.get(&source_no) {
            Some(source) => Arc::clone(source),
            None => {
                let source: Arc<str> = text(source, "source")?.into();
                self.sources.insert(source_no, Arc::clone(&source));
                source
            }
        };
        let room_uri = match &self.room {
            Some((number, uri)) if *number == room => Arc::clone(uri),
            _ => {
                let uri: Arc<str> = text(room_uri, "room_uri")?.into();
                self.room = Some((room, Arc::clone(&uri)));
                uri
            }
        };
        Ok(StagedEvent {
            seq,
            source,
            id: text(id, "id")?.to_owned(),
            kind: Kind::of_code(kind),
            room,
            room_uri,
            person_no,
            message_no,
            time,
            time_is_receipt,
            sequence,
            received,
            conflict,
            raw: rest.rest.to_vec(),
        })
    }
}

/// What is left of a packed event.
struct Packed<'a> {
    rest: &'a [u8],
}

impl<'a> Packed<'a> {
    /// The next number.
    fn number(&mut self, name: &str) -> Result<i64> {
        self.maybe(name)?.ok_or_else(|| unreadable(name))
    }

    /// The next number, if there is one. Only what [`i64`] writes is read.
    fn maybe(&mut self, name: &str) -> Result<Option<i64>> {
        let space = self.rest.iter().position(|byte| *byte == b' ').ok_or_else(|| unreadable(name))?;
        let (digits, rest) = (&self.rest[..space], &self.rest[space + 1..]);
        self.rest = rest;
        if digits.is_empty() {
            return Ok(None);
        }
        let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
        number.map(Some).ok_or_else(|| unreadable(name))
    }

    /// The next text.
    fn bytes(&mut self, length: i64) -> Result<&'a [u8]> {
        let split = usize::try_from(length).ok().and_then(|length| self.rest.split_at_checked(length));
        let (bytes, rest) = split.ok_or_else(|| unreadable("texts"))?;
        self.rest = rest;
        Ok(bytes)
    }
}

fn text<'a>(bytes: &'a [u8], name: &str) -> Result<&'a str> {
    std::str::from_utf8(bytes).map_err(|_| broken(format!("{name} of a staged event is not UTF-8")))
}

fn unreadable(name: &str) -> StagingError {
    broken(format!("{name} of a staged event cannot be read"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test should panic")]

    use super::*;
    use crate::model::Ticks;

    fn unpack(packed: &[u8]) -> Result<StagedEvent> {
        Events::default().unpack(packed)
    }

    #[test]
    fn every_part_comes_back_whatever_the_texts_hold() {
        let event = unpack("7 2 1 3 4 5 600 1 8 900 1 3 4 5 s\0 r é1 2 3{ } \0".as_bytes()).unwrap();
        assert_eq!((event.seq, event.room, event.kind), (7, 3, Kind::of_code(1)));
        assert_eq!((event.person_no, event.message_no, event.sequence), (Some(4), Some(5), Some(8)));
        let at = |ticks| Ticks::from_ticks(ticks).unwrap();
        assert_eq!((event.time, event.received), (at(600), at(900)));
        assert!(event.time_is_receipt && event.conflict);
        assert_eq!((&*event.source, &*event.room_uri, &*event.id), ("s\0 ", "r é", "1 2 3"));
        assert_eq!(event.raw, b"{ } \0");
    }

    #[test]
    fn what_is_missing_stays_missing() {
        let event = unpack(b"7 2 1 3   600 0  900 0 1 1 1 sri").unwrap();
        assert_eq!((event.person_no, event.message_no, event.sequence), (None, None, None));
        assert!(!event.time_is_receipt && !event.conflict && event.raw.is_empty());
    }

    #[test]
    fn what_the_statement_cannot_have_packed_is_refused() {
        for damaged in [
            &b""[..],
            b"7 2 1 3   600 0  900 0 1 1 9 sri",
            b"7 2 1 3   600 0  900 0 1 1 -1 sri",
            b"7 2 1    600 0  900 0 1 1 1 sri",
            b"7 2 70000 3   600 0  900 0 1 1 1 sri",
            b"7 2 1 3 9000000000  600 0  900 0 1 1 1 sri",
            b"7 2 1 3   -600 0  900 0 1 1 1 sri",
            b"7 2 1 3   600 0  900 0 1 1 1 s\xffi",
            b"7 two 1 3   600 0  900 0 1 1 1 sri",
        ] {
            assert!(matches!(unpack(damaged), Err(StagingError::Broken { .. })), "{damaged:?}");
        }
    }
}
