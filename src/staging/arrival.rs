//! How events arrive: numbered, kept once, compared when they come again.
//!
//! The rule that makes staging exactly-once stands here, once for both stores; a store only lends the
//! statements ([`Arrival`]) and the transaction around them. Nothing here commits.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::keys::{half, id_hash, key, quarantine_digests, same_meaning};
use super::sequence::{self, Changes, How, Number, OpenGap, Track};
use super::{Arrivals, NewEvent, NewQuarantined, Result, Seq, Staged};
use crate::model::Ticks;

/// Texts remembered with their numbers before the memory is emptied and filled anew.
const REMEMBERED_MAX: usize = 500_000;

/// What staging numbers in order of arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Book {
    Sources,
    Rooms,
    Persons,
}

/// An event with its numbers, ready for its row.
pub(super) struct EventRow<'a> {
    pub(super) event: &'a NewEvent,
    pub(super) source_no: i64,
    pub(super) key: Cow<'a, str>,
    pub(super) room_no: Option<i64>,
    pub(super) person_no: Option<i64>,
    pub(super) message_key: Option<Cow<'a, str>>,
}

/// Which rows of a call became variant 0 of their key.
pub(super) enum Inserted {
    All,
    Some(HashSet<Seq>),
}

/// A staged row of a key.
pub(super) struct Variant {
    pub(super) seq: Seq,
    pub(super) source_no: i64,
    pub(super) key: String,
    pub(super) variant: i64,
    pub(super) sha256: [u8; 32],
}

/// What is left of a purged event.
pub(super) struct Tombstone {
    pub(super) source_no: i64,
    pub(super) id_hash: [u8; 16],
    pub(super) digest: [u8; 16],
}

/// A quarantined item with its digests and how often it came in one call.
pub(super) struct Held<'a> {
    pub(super) item: &'a NewQuarantined,
    pub(super) sha256: [u8; 32],
    pub(super) key: [u8; 32],
    pub(super) seen: i64,
}

/// How many of the items are new, from how often each key has been seen by now.
pub(super) fn new_items(items: &[Held<'_>], seen: &[(Vec<u8>, i64)]) -> u64 {
    let now: HashMap<&[u8], i64> = seen.iter().map(|(key, seen)| (&key[..], *seen)).collect();
    items.iter().filter(|held| now.get(&held.key[..]) == Some(&held.seen)).count() as u64
}

/// What a call adds to a source's counts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tally {
    pub(super) staged: i64,
    pub(super) duplicates: i64,
    pub(super) conflicts: i64,
    pub(super) last_sequence: Option<i64>,
    pub(super) heartbeat_sequence: Option<i64>,
    pub(super) last_received: i64,
}

impl Tally {
    const NONE: Self = Self {
        staged: 0,
        duplicates: 0,
        conflicts: 0,
        last_sequence: None,
        heartbeat_sequence: None,
        last_received: 0,
    };
}

/// The statements of one staging transaction.
#[async_trait]
pub(super) trait Arrival: Send {
    /// The numbers of texts, new ones assigned in the order given. The texts are distinct.
    async fn number(&mut self, book: Book, texts: &[&str]) -> Result<Vec<i64>>;
    /// Inserts rows as variant 0, in the order given, unless their key is there.
    async fn insert(&mut self, rows: &[EventRow<'_>]) -> Result<Inserted>;
    /// Inserts a row as a later variant, marked as a conflict; `None` if that variant is there.
    async fn insert_variant(&mut self, row: &EventRow<'_>, variant: i64) -> Result<Option<Seq>>;
    /// The tombstones of the rows' keys. Asked after the insert, so that a purge committed meanwhile is seen.
    async fn tombstones(&mut self, rows: &[EventRow<'_>]) -> Result<Vec<Tombstone>>;
    /// The staged rows of keys.
    async fn variants(&mut self, keys: &[(i64, &str)]) -> Result<Vec<Variant>>;
    /// The bytes of a staged row.
    async fn raw(&mut self, seq: Seq) -> Result<Vec<u8>>;
    /// Marks every row of a key as a conflict.
    async fn flag(&mut self, source_no: i64, key: &str) -> Result<()>;
    /// Takes back rows of this transaction.
    async fn remove(&mut self, seqs: &[Seq]) -> Result<()>;
    /// Raises an alert.
    async fn raise(&mut self, kind: &str, subject: &str, detail: &str, at: Ticks) -> Result<()>;
    /// Keeps or counts up quarantined items; returns how many are new. The keys are distinct.
    async fn quarantine(&mut self, items: &[Held<'_>]) -> Result<u64>;
    /// Adds to the counts of sources; their rows are locked from here to the commit.
    async fn tally(&mut self, tallies: &BTreeMap<i64, Tally>) -> Result<()>;
    /// Adds to the counts of rooms. Asked after [`Self::tally`], so that all writers wait for rows in one order.
    async fn tally_rooms(&mut self, kept: &BTreeMap<i64, i64>) -> Result<()>;
    /// Where the counts of sources stand: the tracks of their last epochs, oldest first.
    async fn tracks(&mut self, sources: &[i64]) -> Result<Vec<(i64, Track)>>;
    /// The open gaps of a source that hold a number from `first` to `last`.
    async fn open_gaps(&mut self, source_no: i64, first: i64, last: i64) -> Result<Vec<OpenGap>>;
    /// Of these numbers of a source those with which an item was ever quarantined.
    async fn were_quarantined(&mut self, source: &str, numbers: &[i64]) -> Result<Vec<i64>>;
    /// Writes what a fold changed.
    async fn follow(&mut self, source_no: i64, changes: &Changes, now: i64) -> Result<()>;
}

/// Numbers already known, so that most events need no look-up. Filled only after a commit.
#[derive(Default)]
pub(super) struct Numbers {
    books: Mutex<[HashMap<String, i64>; 3]>,
}

/// Numbers a transaction learned; they count once it is committed.
pub(super) struct Learned(Vec<(Book, String, i64)>);

impl Numbers {
    /// Remembers what a committed transaction learned.
    pub(super) fn remember(&self, learned: Learned) {
        let mut books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        for (book, text, number) in learned.0 {
            let known = &mut books[book as usize];
            if known.len() >= REMEMBERED_MAX {
                known.clear();
            }
            known.insert(text, number);
        }
    }

    /// The known numbers of texts, in their order.
    fn known<'a>(&self, book: Book, texts: impl Iterator<Item = Option<&'a str>>) -> Vec<Option<i64>> {
        let books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        texts.map(|text| text.and_then(|text| books[book as usize].get(text).copied())).collect()
    }
}

/// Keeps what arrived, inside the store's transaction.
pub(super) async fn arrive(tx: &mut dyn Arrival, numbers: &Numbers, batch: &Arrivals) -> Result<(Staged, Learned)> {
    let mut learned = Learned(Vec::new());
    let mut staged = Staged::default();
    let (mut tallies, mut counted, mut kept_in) = (BTreeMap::new(), Counted::new(), BTreeMap::new());
    if !batch.events.is_empty() {
        let rows = numbered(tx, numbers, &batch.events, &mut learned).await?;
        tallies = tallies_of(&rows);
        keep(tx, &rows, &mut tallies, (&mut counted, &mut kept_in)).await?;
        for tally in tallies.values() {
            staged.kept += tally.staged.unsigned_abs();
            staged.duplicates += tally.duplicates.unsigned_abs();
            staged.conflicts += tally.conflicts.unsigned_abs();
        }
    }
    if !batch.quarantined.is_empty() {
        staged.quarantined = tx.quarantine(&held(&batch.quarantined)).await?;
        count_quarantined(tx, numbers, &batch.quarantined, (&mut tallies, &mut counted), &mut learned).await?;
    }
    if !tallies.is_empty() {
        // Last, because other writers wait for a source's row from here to the commit.
        tx.tally(&tallies).await?;
        if !kept_in.is_empty() {
            tx.tally_rooms(&kept_in).await?;
        }
        let received = batch.events.iter().map(|event| event.received);
        let now = received.chain(batch.quarantined.iter().map(|item| item.received)).max();
        sequence::follow(tx, &counted, now.map_or(0, Ticks::ticks)).await?;
    }
    Ok((staged, learned))
}

/// The numbers of running counts that a call brought, per source, in order of arrival.
type Counted = BTreeMap<i64, (Arc<str>, Vec<Number>)>;

/// What is quarantined has arrived: its number is not missing.
async fn count_quarantined(
    tx: &mut dyn Arrival,
    numbers: &Numbers,
    items: &[NewQuarantined],
    (tallies, counted): (&mut BTreeMap<i64, Tally>, &mut Counted),
    learned: &mut Learned,
) -> Result<()> {
    let told: Vec<(&str, i64, Ticks)> = items
        .iter()
        .filter_map(|item| Some((item.source.as_deref()?, super::keys::count(item.sequence?), item.received)))
        .collect();
    let sources: Vec<_> = told.iter().map(|(source, ..)| Some(*source)).collect();
    let sources = resolve(tx, numbers, Book::Sources, &sources, learned).await?;
    for ((source, number, received), source_no) in told.into_iter().zip(sources) {
        let Some(source_no) = source_no else { continue };
        let tally = tallies.entry(source_no).or_insert(Tally::NONE);
        tally.last_received = tally.last_received.max(received.ticks());
        let number = Number { number, time: received.ticks(), how: How::Kept };
        counted.entry(source_no).or_insert_with(|| (source.into(), Vec::new())).1.push(number);
    }
    Ok(())
}

/// Notes the numbers that an event tells.
fn count_event(row: &EventRow<'_>, verdict: Verdict, counted: &mut Counted) {
    let event = row.event;
    let how = match verdict {
        Verdict::Kept => How::Event,
        Verdict::Conflict => How::Kept,
        Verdict::Duplicate => return,
    };
    let told = event.sequence.map(|number| (number, how));
    let reported = event.heartbeat_sequence.map(|number| (number, How::Heartbeat));
    for (number, how) in told.into_iter().chain(reported) {
        let number = Number { number: super::keys::count(number), time: event.time.ticks(), how };
        counted.entry(row.source_no).or_insert_with(|| (Arc::clone(&event.source), Vec::new())).1.push(number);
    }
}

/// Gives events the numbers of their source, room and sender.
async fn numbered<'a>(
    tx: &mut dyn Arrival,
    numbers: &Numbers,
    events: &'a [NewEvent],
    learned: &mut Learned,
) -> Result<Vec<EventRow<'a>>> {
    let sources: Vec<_> = events.iter().map(|event| Some(&*event.source)).collect();
    let rooms: Vec<_> = events.iter().map(|event| event.room_uri.as_deref()).collect();
    let persons: Vec<_> = events.iter().map(|event| event.person_key.as_deref()).collect();
    let sources = resolve(tx, numbers, Book::Sources, &sources, learned).await?;
    let rooms = resolve(tx, numbers, Book::Rooms, &rooms, learned).await?;
    let persons = resolve(tx, numbers, Book::Persons, &persons, learned).await?;
    let row = |(event, ((source_no, room_no), person_no)): (&'a NewEvent, ((Option<i64>, _), _))| EventRow {
        event,
        source_no: source_no.unwrap_or_default(),
        key: key(&event.id),
        room_no,
        person_no,
        message_key: event.message_id.as_deref().map(key),
    };
    Ok(events.iter().zip(sources.into_iter().zip(rooms).zip(persons)).map(row).collect())
}

async fn resolve(
    tx: &mut dyn Arrival,
    numbers: &Numbers,
    book: Book,
    texts: &[Option<&str>],
    learned: &mut Learned,
) -> Result<Vec<Option<i64>>> {
    let mut found = numbers.known(book, texts.iter().copied());
    let mut wanted = HashSet::new();
    let missing: Vec<&str> = texts
        .iter()
        .zip(&found)
        .filter_map(|(text, number)| text.filter(|text| number.is_none() && wanted.insert(*text)))
        .collect();
    if missing.is_empty() {
        return Ok(found);
    }
    let assigned = tx.number(book, &missing).await?;
    let fresh: HashMap<&str, i64> = missing.iter().copied().zip(assigned).collect();
    for (number, text) in found.iter_mut().zip(texts) {
        *number = number.or_else(|| text.and_then(|text| fresh.get(text).copied()));
    }
    learned.0.extend(fresh.into_iter().map(|(text, number)| (book, text.to_owned(), number)));
    Ok(found)
}

/// Counts per source as if nothing were kept yet.
fn tallies_of(rows: &[EventRow<'_>]) -> BTreeMap<i64, Tally> {
    let mut tallies = BTreeMap::new();
    for row in rows {
        let tally = tallies.entry(row.source_no).or_insert(Tally::NONE);
        let stored = |sequence: Option<u64>| sequence.map(super::keys::count);
        tally.last_sequence = tally.last_sequence.max(stored(row.event.sequence));
        tally.heartbeat_sequence = tally.heartbeat_sequence.max(stored(row.event.heartbeat_sequence));
        tally.last_received = tally.last_received.max(row.event.received.ticks());
    }
    tallies
}

/// Keeps each event once, and both where one key has two contents. A conflicting event is found out only
/// after the others of its call were inserted, so its arrival number follows theirs.
async fn keep(
    tx: &mut dyn Arrival,
    rows: &[EventRow<'_>],
    tallies: &mut BTreeMap<i64, Tally>,
    (counted, kept_in): (&mut Counted, &mut BTreeMap<i64, i64>),
) -> Result<()> {
    let inserted = tx.insert(rows).await?;
    let mut known = Known::default();
    // Staged rows before tombstones: what a purge takes away in between then still shows as a tombstone.
    if matches!(inserted, Inserted::Some(_)) {
        known.look_up(tx, rows.iter().map(|row| (row.source_no, &*row.key)).collect()).await?;
    }
    let mut graves: HashMap<(i64, [u8; 16]), Vec<[u8; 16]>> = HashMap::new();
    for grave in tx.tombstones(rows).await? {
        graves.entry((grave.source_no, grave.id_hash)).or_default().push(grave.digest);
    }
    if matches!(inserted, Inserted::All) && !graves.is_empty() {
        let buried = |row: &&EventRow<'_>| graves.contains_key(&(row.source_no, id_hash(&row.key)));
        known.look_up(tx, rows.iter().filter(buried).map(|row| (row.source_no, &*row.key)).collect()).await?;
    }
    let mut met = HashSet::new();
    let mut buried = Vec::new();
    for row in rows {
        let verdict = if let Some(&place) = known.places.get(&(row.source_no, &*row.key)) {
            let known = &mut known.rows[place];
            let graves = if graves.is_empty() { None } else { graves.get(&(row.source_no, id_hash(&row.key))) };
            let graves = graves.map_or(&[][..], Vec::as_slice);
            // Of several rows with one key in a call, only the first can have become variant 0.
            let own = if met.insert((row.source_no, &*row.key)) { own(known, &inserted) } else { None };
            judge(tx, row, known, graves, own, &mut buried).await?
        } else {
            Verdict::Kept
        };
        if let Some(tally) = tallies.get_mut(&row.source_no) {
            tally.staged += i64::from(verdict != Verdict::Duplicate);
            tally.duplicates += i64::from(verdict == Verdict::Duplicate);
            tally.conflicts += i64::from(verdict == Verdict::Conflict);
        }
        if let Some(room_no) = row.room_no.filter(|_| verdict != Verdict::Duplicate) {
            *kept_in.entry(room_no).or_default() += 1;
        }
        count_event(row, verdict, counted);
    }
    take_back(tx, &mut buried).await
}

/// The staged rows of the keys that need a closer look.
#[derive(Default)]
struct Known<'a> {
    places: HashMap<(i64, &'a str), usize>,
    rows: Vec<Vec<Variant>>,
}

impl<'a> Known<'a> {
    async fn look_up(&mut self, tx: &mut dyn Arrival, keys: HashSet<(i64, &'a str)>) -> Result<()> {
        let keys: Vec<_> = keys.into_iter().collect();
        self.places = keys.iter().copied().zip(0..).collect();
        self.rows.resize_with(keys.len(), Vec::new);
        for variant in tx.variants(&keys).await? {
            if let Some(&place) = self.places.get(&(variant.source_no, &*variant.key)) {
                self.rows[place].push(variant);
            }
        }
        Ok(())
    }
}

/// What became of an event.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Kept,
    Duplicate,
    Conflict,
}

/// The place of the row that this call inserted as variant 0.
fn own(known: &[Variant], inserted: &Inserted) -> Option<usize> {
    known.iter().position(|variant| {
        variant.variant == 0
            && match inserted {
                Inserted::All => true,
                Inserted::Some(seqs) => seqs.contains(&variant.seq),
            }
    })
}

/// Compares an event with all that is and was staged under its key. Rows to be taken back go to `buried`.
async fn judge(
    tx: &mut dyn Arrival,
    row: &EventRow<'_>,
    known: &mut Vec<Variant>,
    graves: &[[u8; 16]],
    own: Option<usize>,
    buried: &mut Vec<Seq>,
) -> Result<Verdict> {
    let own = own.map(|place| known.remove(place));
    if graves.contains(&half(&row.event.sha256)) || is_among(tx, row, known).await? {
        buried.extend(own.map(|variant| variant.seq));
        return Ok(Verdict::Duplicate);
    }
    if let Some(own) = own {
        let alone = known.is_empty() && graves.is_empty();
        known.push(own);
        if alone {
            return Ok(Verdict::Kept);
        }
    } else {
        // The row to be inserted may need the place of one to be taken back.
        take_back(tx, buried).await?;
        if !insert_beside(tx, row, known).await? {
            return Ok(Verdict::Duplicate);
        }
    }
    tx.flag(row.source_no, &row.key).await?;
    let detail = format!("event {} came again with other content", super::keys::plain(&row.key));
    tx.raise("conflict", &row.event.source, &detail, row.event.received).await?;
    Ok(Verdict::Conflict)
}

/// Whether one of the staged rows is the same event, byte for byte or in its meaning.
async fn is_among(tx: &mut dyn Arrival, row: &EventRow<'_>, known: &[Variant]) -> Result<bool> {
    if known.iter().any(|variant| variant.sha256 == row.event.sha256) {
        return Ok(true);
    }
    for variant in known {
        if same_meaning(&tx.raw(variant.seq).await?, &row.event.raw) {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn take_back(tx: &mut dyn Arrival, buried: &mut Vec<Seq>) -> Result<()> {
    if !buried.is_empty() {
        tx.remove(buried).await?;
        buried.clear();
    }
    Ok(())
}

/// Inserts a conflicting event as the next variant; `false` if another writer has just staged the same bytes.
async fn insert_beside(tx: &mut dyn Arrival, row: &EventRow<'_>, known: &mut Vec<Variant>) -> Result<bool> {
    loop {
        let next = known.iter().map(|variant| variant.variant + 1).max().unwrap_or(0);
        if let Some(seq) = tx.insert_variant(row, next).await? {
            let (source_no, key, sha256) = (row.source_no, row.key.clone().into_owned(), row.event.sha256);
            known.push(Variant { seq, source_no, key, variant: next, sha256 });
            return Ok(true);
        }
        *known = tx.variants(&[(row.source_no, &row.key)]).await?;
        if known.iter().any(|variant| variant.sha256 == row.event.sha256) {
            return Ok(false);
        }
    }
}

/// Items with their digests, each key once.
fn held(items: &[NewQuarantined]) -> Vec<Held<'_>> {
    let mut places: HashMap<[u8; 32], usize> = HashMap::new();
    let mut held: Vec<Held<'_>> = Vec::new();
    for item in items {
        let (sha256, key) = quarantine_digests(item);
        if let Some(&place) = places.get(&key) {
            held[place].seen += 1;
        } else {
            places.insert(key, held.len());
            held.push(Held { item, sha256, key, seen: 1 });
        }
    }
    held
}
