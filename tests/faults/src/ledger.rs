//! The ledger: what was handed to the broker, and what the broker confirmed.
//!
//! Each line is written before the next step is taken, so the file tells the truth even when the runner itself is killed.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::error::{At as _, Outcome, Trouble};
use crate::event::{Key, Told, digest};

/// What an event was when it was published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Nature {
    /// As it should be, or dated back.
    Ordinary,
    /// The bytes of an earlier event once more.
    Duplicate,
    /// The key of an earlier event with other content: both must be kept.
    Conflict,
    /// Bytes that are no event: they must come to quarantine, whole.
    Poison,
}

/// One body that was handed to the broker.
#[derive(Debug, Clone)]
pub struct Entry {
    /// What it was.
    pub nature: Nature,
    /// The exact bytes.
    pub body: Vec<u8>,
    /// SHA-256 of the bytes, hex.
    pub sha256: String,
    /// What it says; `None` for what is no event.
    pub told: Option<Told>,
    /// When the broker confirmed it; `None` while that is not known.
    pub confirmed: Option<Instant>,
}

/// A line of the file.
#[derive(Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "kebab-case")]
enum Line {
    /// About to be published for the first time.
    Handed {
        number: usize,
        nature: Nature,
        source: Option<String>,
        id: Option<String>,
        kind: Option<String>,
        room: Option<String>,
        sha256: String,
        body: String,
    },
    /// Confirmed by the broker, in milliseconds since 1970.
    Confirmed { number: usize, at: u64 },
}

/// Everything that was handed to the broker, in a file and in memory.
#[derive(Debug)]
pub struct Ledger(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    file: Option<File>,
    entries: Vec<Entry>,
}

impl Ledger {
    /// Begins a ledger in a new file.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn create(path: &Path) -> Outcome<Self> {
        let file = OpenOptions::new().append(true).create_new(true).open(path).at("create", path)?;
        Ok(Self(Mutex::new(Inner { file: Some(file), entries: Vec::new() })))
    }

    /// A ledger without a file.
    pub fn in_memory() -> Self {
        Self(Mutex::new(Inner { file: None, entries: Vec::new() }))
    }

    /// Reads a ledger back, for instance one whose runner was killed. Times of confirmation are not taken over,
    /// only the fact.
    ///
    /// # Errors
    /// When the file cannot be read, or a line other than a torn last one is none of ours.
    pub fn read(path: &Path) -> Outcome<Self> {
        let ledger = Self::in_memory();
        let mut lines = BufReader::new(File::open(path).at("read", path)?).split(b'\n').peekable();
        while let Some(line) = lines.next() {
            let line: Line = match serde_json::from_slice(&line.at("read", path)?) {
                Ok(line) => line,
                Err(_) if lines.peek().is_none() => break,
                Err(error) => {
                    return Err(Trouble::Said(format!("{}: not a line of a ledger: {error}", path.display())));
                }
            };
            match line {
                Line::Handed { nature, body, .. } => {
                    let body =
                        STANDARD.decode(body).map_err(|error| Trouble::Said(format!("{}: {error}", path.display())))?;
                    ledger.hand_over(nature, body)?;
                }
                Line::Confirmed { number, .. } => ledger.confirm(number)?,
            }
        }
        Ok(ledger)
    }

    /// Notes a body that is about to be published; gives its number.
    ///
    /// # Errors
    /// When the line cannot be written.
    pub fn hand_over(&self, nature: Nature, body: Vec<u8>) -> Outcome<usize> {
        let told = Told::read(&body).filter(|_| nature != Nature::Poison);
        let entry = Entry { nature, sha256: digest(&body), body, told, confirmed: None };
        let mut inner = self.lock();
        let number = inner.entries.len();
        inner.write(|| {
            let told = entry.told.as_ref();
            Line::Handed {
                number,
                nature,
                source: told.map(|told| told.key.source.clone()),
                id: told.map(|told| told.key.id.clone()),
                kind: told.map(|told| told.kind.clone()),
                room: told.map(|told| told.room.clone()),
                sha256: entry.sha256.clone(),
                body: STANDARD.encode(&entry.body),
            }
        })?;
        inner.entries.push(entry);
        Ok(number)
    }

    /// Notes that the broker confirmed a body. From now on losing it is a finding.
    ///
    /// # Errors
    /// When the line cannot be written.
    pub fn confirm(&self, number: usize) -> Outcome<()> {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut inner = self.lock();
        inner.write(|| Line::Confirmed { number, at: u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX) })?;
        if let Some(entry) = inner.entries.get_mut(number) {
            entry.confirmed.get_or_insert_with(Instant::now);
        }
        Ok(())
    }

    /// Everything so far.
    pub fn entries(&self) -> Vec<Entry> {
        self.lock().entries.clone()
    }

    /// How many bodies are confirmed.
    pub fn confirmed(&self) -> usize {
        self.lock().entries.iter().filter(|entry| entry.confirmed.is_some()).count()
    }

    /// Keys of the messages confirmed so far.
    pub fn messages(&self) -> Vec<Key> {
        self.keys(|_, _| true)
    }

    /// Keys of the messages confirmed before an instant, but for those whose files the chat server brings when it likes.
    pub fn confirmed_before(&self, instant: Instant) -> Vec<Key> {
        self.keys(|at, told| at < instant && !told.by_path)
    }

    fn keys(&self, wanted: impl Fn(Instant, &Told) -> bool) -> Vec<Key> {
        let inner = self.lock();
        let confirmed = inner.entries.iter().filter_map(|entry| entry.confirmed.zip(entry.told.as_ref()));
        let messages = confirmed.filter(|(at, told)| told.facts.is_some() && wanted(*at, told));
        messages.map(|(_, told)| told.key.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn write(&mut self, line: impl FnOnce() -> Line) -> Outcome<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let mut bytes = serde_json::to_vec(&line()).map_err(|error| Trouble::Said(error.to_string()))?;
        bytes.push(b'\n');
        file.write_all(&bytes).at("write", Path::new("the ledger"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed test should panic")]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_outlives_its_runner() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.ndjson");
        let ledger = Ledger::create(&path).unwrap();
        ledger.hand_over(Nature::Poison, b"\xff{".to_vec()).unwrap();
        let event =
            br#"{"id":"1","source":"/web/1","type":"chat.room.left","subject":"r","time":"2026-11-22T10:00:00Z"}"#;
        ledger.hand_over(Nature::Ordinary, event.to_vec()).unwrap();
        ledger.confirm(1).unwrap();
        drop(ledger);
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"line\":\"confi").unwrap();

        let read = Ledger::read(&path).unwrap().entries();
        assert_eq!(read.len(), 2);
        assert_eq!((read[0].nature, read[0].body.as_slice()), (Nature::Poison, b"\xff{".as_slice()));
        assert!(read[0].confirmed.is_none() && read[1].confirmed.is_some());
        assert_eq!(read[1].told.as_ref().unwrap().key.id, "1");
    }
}
