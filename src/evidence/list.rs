//! The event list of a batch: a line of one length for each event, in the order of its key's digest, and the tree over
//! them.
//!
//! The order says nothing of when events came, and lets a reader find one, or see that it is not there, by looking at
//! few lines. A list holds digests and counters, never content; it is what a proof is made from once the events are purged.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashSet};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::merkle::{self, Hash, Tree};
use crate::model::Kind;
use crate::support::scratch::Scratch;

/// Bytes of a line, its line break included.
pub const LINE: usize = 64 + 1 + 64 + 1 + 20 + 1 + 9 + 1 + 24 + 1;
/// What stands for the sequence of an event that has none.
const NO_SEQUENCE: &str = "--------------------";
/// The type of an event of a kind that Chancery does not know.
pub const OTHER: &str = "other";
/// Events sorted in memory at once.
const RUN: usize = 65_536;
/// Records read back at once from each sorted run.
const READ_AHEAD: u64 = 512;
/// Bytes of an event on its way into the list.
const RECORD: usize = 32 + 32 + 8 + 9 + 2 + 1;

/// What became of an event in its batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Became {
    /// It is a message of an output, unless the stylesheet left it out, which the manifest counts.
    Written,
    /// It makes no message by design.
    Signal,
    /// The adapter's dialect has no place for it.
    LeftOut,
    /// Its conversation could not be rendered and is a supplement's.
    SetAside,
    /// It belongs to no room, as a source's heartbeat.
    NoRoom,
}

impl Became {
    /// Every outcome.
    pub const ALL: [Self; 5] = [Self::Written, Self::Signal, Self::LeftOut, Self::SetAside, Self::NoRoom];

    /// The word in lists and manifests.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::Signal => "signal",
            Self::LeftOut => "left-out",
            Self::SetAside => "set-aside",
            Self::NoRoom => "no-room",
        }
    }
}

/// The digest that an event's key is known by: the SHA-256 of its source, a line feed and its id.
///
/// A known source has no line feed, so no other pair gives the same bytes.
pub fn key_digest(source: &str, id: &str) -> Hash {
    let mut hasher = Sha256::new_with_prefix(source);
    hasher.update(b"\n");
    hasher.update(id);
    hasher.finalize().into()
}

/// The leaf of an event in its batch's tree: over the digest of its key and that of its bytes.
pub fn event_leaf(key: &Hash, content: &Hash) -> Hash {
    merkle::leaf(&[key, content])
}

/// An event for the list.
#[derive(Debug, Clone)]
pub struct Listed<'a> {
    /// Emitter.
    pub source: &'a Arc<str>,
    /// Unique within the source.
    pub id: &'a str,
    /// SHA-256 of the bytes as received.
    pub content: Hash,
    /// What happened.
    pub kind: Kind,
    /// The source's running count.
    pub sequence: Option<u64>,
    /// The room's number, if it has one.
    pub room: Option<i64>,
    /// What became of it, unless its room is set aside.
    pub became: Became,
}

/// What a batch holds of one source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SourceTally {
    /// Its events.
    pub events: u64,
    /// Those of them without a sequence.
    pub unnumbered: u64,
    /// The lowest sequence among the others.
    pub first_sequence: Option<u64>,
    /// The highest.
    pub last_sequence: Option<u64>,
}

/// Counts over a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tallies {
    /// By event type; `other` for those Chancery does not know.
    pub types: BTreeMap<&'static str, u64>,
    /// By source.
    pub sources: BTreeMap<Arc<str>, SourceTally>,
    /// By what became of them.
    pub became: BTreeMap<Became, u64>,
}

/// A list that is being gathered, in any order. Memory stays flat: what is too much is sorted in a scratch file.
#[derive(Debug)]
pub struct Gathering {
    run: Vec<Record>,
    spilled: Scratch,
    /// How many records each run in `spilled` has.
    runs: Vec<u64>,
    tallies: Tallies,
}

/// A complete list.
#[derive(Debug, Clone)]
pub struct EventList {
    text: Arc<Scratch>,
    /// Events.
    pub events: u64,
    /// SHA-256 of the list's bytes.
    pub sha256: Hash,
    /// The root of the tree over the events, in the order of the list.
    pub root: Hash,
    /// What it holds.
    pub tallies: Tallies,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Record {
    key: Hash,
    content: Hash,
    room: i64,
    sequence: Option<u64>,
    kind: i16,
    became: Became,
}

/// Rooms are numbered from 1.
const NO_ROOM: i64 = 0;

impl Record {
    fn to_bytes(self) -> [u8; RECORD] {
        let mut bytes = [0; RECORD];
        bytes[..32].copy_from_slice(&self.key);
        bytes[32..64].copy_from_slice(&self.content);
        bytes[64..72].copy_from_slice(&self.room.to_be_bytes());
        bytes[72] = u8::from(self.sequence.is_some());
        bytes[73..81].copy_from_slice(&self.sequence.unwrap_or_default().to_be_bytes());
        bytes[81..83].copy_from_slice(&self.kind.to_be_bytes());
        bytes[83] = self.became as u8;
        bytes
    }

    fn of_bytes(bytes: &[u8; RECORD]) -> Self {
        let (mut key, mut content, mut number) = ([0; 32], [0; 32], [0; 8]);
        key.copy_from_slice(&bytes[..32]);
        content.copy_from_slice(&bytes[32..64]);
        number.copy_from_slice(&bytes[64..72]);
        let room = i64::from_be_bytes(number);
        number.copy_from_slice(&bytes[73..81]);
        let sequence = (bytes[72] == 1).then_some(u64::from_be_bytes(number));
        let became = Became::ALL.into_iter().find(|became| *became as u8 == bytes[83]).unwrap_or(Became::NoRoom);
        Self { key, content, room, sequence, kind: i16::from_be_bytes([bytes[81], bytes[82]]), became }
    }
}

impl Gathering {
    /// An empty one. `scratch` is a directory for files without a name, should they be needed.
    pub fn new(scratch: &Path) -> Self {
        Self { run: Vec::new(), spilled: Scratch::new(scratch), runs: Vec::new(), tallies: Tallies::default() }
    }

    /// Adds an event.
    ///
    /// # Errors
    /// When a scratch file cannot be written.
    pub fn add(&mut self, event: &Listed<'_>) -> io::Result<()> {
        let source = match self.tallies.sources.get_mut(event.source) {
            Some(source) => source,
            None => self.tallies.sources.entry(Arc::clone(event.source)).or_default(),
        };
        source.events += 1;
        match event.sequence {
            None => source.unnumbered += 1,
            Some(sequence) => {
                source.first_sequence = Some(source.first_sequence.map_or(sequence, |first| first.min(sequence)));
                source.last_sequence = source.last_sequence.max(Some(sequence));
            }
        }
        *self.tallies.types.entry(type_name(event.kind)).or_default() += 1;
        self.run.push(Record {
            key: key_digest(event.source, event.id),
            content: event.content,
            room: event.room.unwrap_or(NO_ROOM),
            sequence: event.sequence,
            kind: event.kind.code(),
            became: event.became,
        });
        if self.run.len() == RUN { self.spill() } else { Ok(()) }
    }

    fn spill(&mut self) -> io::Result<()> {
        self.run.sort_unstable();
        for record in &self.run {
            self.spilled.write_all(&record.to_bytes())?;
        }
        self.runs.push(self.run.len() as u64);
        self.run.clear();
        Ok(())
    }

    /// The list. Events of the rooms in `set_aside` are marked so, whatever they seemed to become.
    ///
    /// # Errors
    /// When a scratch file cannot be written or read.
    pub fn finish(mut self, scratch: &Path, set_aside: &HashSet<i64>) -> io::Result<EventList> {
        let mut writer = Writer {
            text: Scratch::new(scratch),
            hasher: Sha256::new(),
            tree: Tree::default(),
            tallies: std::mem::take(&mut self.tallies),
            set_aside,
        };
        if self.runs.is_empty() {
            self.run.sort_unstable();
            self.run.iter().try_for_each(|record| writer.write(record))?;
            return Ok(writer.finish());
        }
        self.spill()?;
        let mut cursors = Vec::new();
        let mut heads = BinaryHeap::new();
        let mut begin = 0;
        for records in &self.runs {
            let mut cursor = Cursor { at: begin, end: begin + records * RECORD as u64, ahead: Vec::new() };
            begin = cursor.end;
            heads.extend(cursor.next(&self.spilled)?.map(|record| Reverse((record, cursors.len()))));
            cursors.push(cursor);
        }
        while let Some(Reverse((record, run))) = heads.pop() {
            writer.write(&record)?;
            heads.extend(cursors[run].next(&self.spilled)?.map(|record| Reverse((record, run))));
        }
        Ok(writer.finish())
    }
}

/// A place in a sorted run.
struct Cursor {
    at: u64,
    end: u64,
    /// Records that are read already, the next one last.
    ahead: Vec<Record>,
}

impl Cursor {
    fn next(&mut self, spilled: &Scratch) -> io::Result<Option<Record>> {
        if self.ahead.is_empty() && self.at < self.end {
            let until = self.end.min(self.at + READ_AHEAD * RECORD as u64);
            let mut bytes = Vec::new();
            spilled.copy(self.at..until, &mut bytes)?;
            self.at = until;
            self.ahead = bytes.as_chunks::<RECORD>().0.iter().rev().map(Record::of_bytes).collect();
        }
        Ok(self.ahead.pop())
    }
}

struct Writer<'a> {
    text: Scratch,
    hasher: Sha256,
    tree: Tree,
    tallies: Tallies,
    set_aside: &'a HashSet<i64>,
}

impl Writer<'_> {
    fn write(&mut self, record: &Record) -> io::Result<()> {
        let became = if self.set_aside.contains(&record.room) { Became::SetAside } else { record.became };
        *self.tallies.became.entry(became).or_default() += 1;
        self.tree.push(event_leaf(&record.key, &record.content));
        let line = line(record, became);
        self.hasher.update(&line);
        self.text.write_all(line.as_bytes())
    }

    fn finish(self) -> EventList {
        EventList {
            text: Arc::new(self.text),
            events: self.tree.size(),
            sha256: self.hasher.finalize().into(),
            root: self.tree.root(),
            tallies: self.tallies,
        }
    }
}

fn line(record: &Record, became: Became) -> String {
    let sequence = record.sequence.map_or_else(|| NO_SEQUENCE.to_owned(), |sequence| format!("{sequence:020}"));
    format!(
        "{} {} {sequence} {:<9} {:<24}\n",
        hex::encode(record.key),
        hex::encode(record.content),
        became.as_str(),
        type_name(Kind::of_code(record.kind))
    )
}

fn type_name(kind: Kind) -> &'static str {
    kind.event_type().unwrap_or(OTHER)
}

impl EventList {
    /// The list of a batch without events.
    pub fn empty() -> Self {
        let nothing = Sha256::digest([]).into();
        let text = Arc::new(Scratch::new(Path::new("")));
        Self { text, events: 0, sha256: nothing, root: nothing, tallies: Tallies::default() }
    }

    /// Bytes.
    pub fn size(&self) -> u64 {
        self.text.len()
    }

    /// A piece of its bytes, at most `length` of them; empty at its end.
    ///
    /// # Errors
    /// When the scratch file cannot be read.
    pub fn piece(&self, from: u64, length: u64) -> io::Result<Vec<u8>> {
        let mut piece = Vec::new();
        self.text.copy(from..self.size().min(from.saturating_add(length)), &mut piece)?;
        Ok(piece)
    }
}

/// A line of a list, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListLine {
    /// The digest of the event's key.
    pub key: Hash,
    /// The digest of its bytes.
    pub content: Hash,
    /// The source's running count.
    pub sequence: Option<u64>,
    /// What became of it.
    pub became: Became,
}

impl ListLine {
    /// Reads a line with its line break; `None` when it is not exactly one that a list has.
    pub fn parse(line: &[u8]) -> Option<Self> {
        if line.len() != LINE || line[LINE - 1] != b'\n' || [64, 129, 150, 160].iter().any(|at| line[*at] != b' ') {
            return None;
        }
        let (mut key, mut content) = ([0; 32], [0; 32]);
        digest(&line[..64], &mut key)?;
        digest(&line[65..129], &mut content)?;
        let sequence = std::str::from_utf8(&line[130..150]).ok()?;
        let sequence = match sequence {
            NO_SEQUENCE => None,
            digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => Some(digits.parse().ok()?),
            _ => return None,
        };
        let word = std::str::from_utf8(&line[151..160]).ok()?;
        let became = Became::ALL.into_iter().find(|became| format!("{:<9}", became.as_str()) == word)?;
        let kind = std::str::from_utf8(&line[161..LINE - 1]).ok()?;
        let name = kind.trim_end_matches(' ');
        let known = name == OTHER || Kind::of_type(name).event_type() == Some(name);
        known.then_some(Self { key, content, sequence, became })
    }
}

/// Reads lower-case hexadecimal digits, the one way in which a digest is written.
fn digest(text: &[u8], out: &mut Hash) -> Option<()> {
    for (byte, pair) in out.iter_mut().zip(text.as_chunks::<2>().0) {
        let digit = |char: u8| match char {
            b'0'..=b'9' => Some(char - b'0'),
            b'a'..=b'f' => Some(char - b'a' + 10),
            _ => None,
        };
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed test should panic")]
mod tests {
    use super::*;

    fn gathered(numbers: impl Iterator<Item = u64>, set_aside: &[i64]) -> EventList {
        let dir = tempfile::tempdir().unwrap();
        let mut gathering = Gathering::new(dir.path());
        let source: Arc<str> = "/channel/1".into();
        for number in numbers {
            let (id, content) = (number.to_string(), Sha256::digest(number.to_be_bytes()).into());
            let sequence = (!number.is_multiple_of(3)).then_some(number);
            let room = Some(1 + i64::try_from(number % 5).unwrap());
            let kind = if number.is_multiple_of(2) { Kind::MessagePosted } else { Kind::Other };
            let became = if number.is_multiple_of(7) { Became::LeftOut } else { Became::Written };
            let event = Listed { source: &source, id: &id, content, kind, sequence, room, became };
            gathering.add(&event).unwrap();
        }
        gathering.finish(dir.path(), &set_aside.iter().copied().collect()).unwrap()
    }

    fn text(list: &EventList) -> Vec<u8> {
        list.piece(0, u64::MAX).unwrap()
    }

    #[test]
    fn a_list_is_the_same_in_whatever_order_it_is_gathered() {
        let forward = gathered(0..1000, &[2]);
        let backward = gathered((0..1000).rev(), &[2]);
        assert_eq!(text(&forward), text(&backward));
        assert_eq!((forward.root, forward.sha256), (backward.root, backward.sha256));
        assert_eq!(forward.tallies, backward.tallies);
        assert_eq!(forward.size(), 1000 * LINE as u64);
    }

    #[test]
    fn what_is_sorted_on_disk_comes_out_as_from_memory() {
        let events = 2 * RUN as u64 + 1000;
        let list = gathered(0..events, &[]);
        assert_eq!(list.events, events);
        let bytes = text(&list);
        let lines: Vec<ListLine> = bytes.chunks(LINE).map(|line| ListLine::parse(line).unwrap()).collect();
        assert!(lines.is_sorted_by(|one, next| one.key < next.key));
        let leaves: Vec<Hash> = lines.iter().map(|line| event_leaf(&line.key, &line.content)).collect();
        assert_eq!(merkle::root(&leaves), list.root);
        assert_eq!(Hash::from(Sha256::digest(&bytes)), list.sha256);
    }

    #[test]
    fn tallies_add_up() {
        let list = gathered(1..=100, &[1]);
        let tallies = &list.tallies;
        assert_eq!(tallies.types["chat.message.posted"] + tallies.types[OTHER], 100);
        assert_eq!(tallies.became[&Became::SetAside], 20);
        assert_eq!(tallies.became.values().sum::<u64>(), 100);
        let source = tallies.sources.values().next().unwrap();
        assert_eq!((source.events, source.unnumbered), (100, 33));
        assert_eq!((source.first_sequence, source.last_sequence), (Some(1), Some(100)));
    }

    #[test]
    fn a_line_is_read_as_it_is_written_and_not_otherwise() {
        let list = gathered(5..6, &[]);
        let line = text(&list);
        let read = ListLine::parse(&line).unwrap();
        assert_eq!(read.key, key_digest("/channel/1", "5"));
        assert_eq!((read.sequence, read.became), (Some(5), Became::Written));
        for at in 0..LINE {
            for other in [b' ', b'G', b'\n', line[at] ^ 0x20] {
                let mut changed = line.clone();
                changed[at] = other;
                if changed != line {
                    assert_ne!(ListLine::parse(&changed), Some(read), "byte {at} as {other}");
                }
            }
        }
        assert_eq!(ListLine::parse(&line[1..]), None);
    }

    #[test]
    fn the_empty_list_has_the_empty_root() {
        let none = gathered(0..0, &[]);
        let empty = EventList::empty();
        assert_eq!((none.events, none.sha256, none.root), (0, empty.sha256, empty.root));
        assert_eq!(empty.root, Tree::default().root());
        assert!(text(&empty).is_empty());
    }

    #[test]
    fn every_type_fits_its_column() {
        assert!(Kind::all().filter_map(Kind::event_type).all(|name| name.len() <= 24));
    }
}
