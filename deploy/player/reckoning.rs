//! The count at the end: what was published against what lies in the archive.
//!
//! The canonical files name each event they hold by `c:source` and `c:event`; those pairs are compared with
//! the published ones, one by one. FileDump names no events, so its acts are counted.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

use crate::archive::{files_below, is_output};
use crate::chancery::Status;
use crate::{Outcome, archive};

/// The event types that make no message by design.
const SIGNALS: [&str; 2] = ["chat.presence.renewed", "chat.source.heartbeat"];
/// The event types that FileDump tells as participants entering and leaving.
const MOVES: [&str; 2] = ["chat.room.joined", "chat.room.left"];

/// An event's key.
type Key = (String, String);

/// What was published.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    /// Events that must come out as messages, by key.
    messages: BTreeSet<Key>,
    pub(crate) signals: u64,
    moves: u64,
}

/// What arrived.
pub(crate) struct Reckoning {
    /// Events published in all.
    pub(crate) published: u64,
    /// Of these, those that make a message.
    pub(crate) messages: u64,
    /// Of these, joins and leaves.
    pub(crate) moves: u64,
    pub(crate) signals: u64,
    /// Messages found in the archive's canonical files, each event counted once.
    pub(crate) canonical: u64,
    /// Acts found in the archive's FileDump files.
    pub(crate) vantage: u64,
    /// Files still on the share.
    pub(crate) left_on_share: Vec<archive::Entry>,
    complaints: Vec<String>,
}

impl Expected {
    pub(crate) fn add(&mut self, source: &str, id: &str, event_type: &str) {
        if SIGNALS.contains(&event_type) {
            self.signals += 1;
            return;
        }
        self.moves += u64::from(MOVES.contains(&event_type));
        self.messages.insert((source.to_owned(), id.to_owned()));
    }

    /// How many events make a message.
    pub(crate) fn messages(&self) -> u64 {
        self.messages.len() as u64
    }

    /// How many events there are.
    pub(crate) fn all(&self) -> u64 {
        self.messages() + self.signals
    }
}

impl Reckoning {
    /// What does not balance, for people; nothing if all is well.
    pub(crate) fn complaints(&self) -> &[String] {
        &self.complaints
    }
}

/// Counts what lies in the archive and compares it with what was published.
pub(crate) fn reckon(expected: &Expected, status: &Status, directory: &Path) -> Outcome<Reckoning> {
    let mut found: BTreeMap<Key, u64> = BTreeMap::new();
    each_element(&directory.join("archive/canonical"), |element| {
        if element.local_name().as_ref() == "Message"
            && let (Some(source), Some(event)) = (attribute(element, "c:source"), attribute(element, "c:event"))
        {
            *found.entry((source, event)).or_default() += 1;
        }
    })?;
    let vantage = acts(&directory.join("archive/vantage"))?;
    let left_on_share = files_below(&directory.join("home/pickup"))?;
    let mut complaints = Vec::new();
    let mut complain = |wrong: bool, text: String| complaints.extend(wrong.then_some(text));

    let missing: Vec<_> = expected.messages.iter().filter(|&key| !found.contains_key(key)).collect();
    complain(
        !missing.is_empty(),
        format!("canonical: {} events are not in the archive, {}", missing.len(), some(&missing)),
    );
    let twice: Vec<_> = found.iter().filter(|&(_, &times)| times > 1).map(|(key, _)| key).collect();
    complain(
        !twice.is_empty(),
        format!("canonical: {} events are there more than once, {}", twice.len(), some(&twice)),
    );
    let strange: Vec<_> = found.keys().filter(|&key| !expected.messages.contains(key)).collect();
    complain(
        !strange.is_empty(),
        format!("canonical: {} events were never published, {}", strange.len(), some(&strange)),
    );
    let acts_expected = expected.messages() - expected.moves;
    complain(
        vantage != acts_expected,
        format!("vantage: {acts_expected} acts expected, {vantage} found in the archive"),
    );
    complain(!left_on_share.is_empty(), format!("{} files are still on the share", left_on_share.len()));
    for (wrong, text) in status_complaints(expected, status) {
        complain(wrong, text);
    }
    Ok(Reckoning {
        published: expected.all(),
        messages: expected.messages(),
        moves: expected.moves,
        signals: expected.signals,
        canonical: found.len() as u64,
        vantage,
        left_on_share,
        complaints,
    })
}

/// What Chancery's own books must say.
fn status_complaints(expected: &Expected, status: &Status) -> Vec<(bool, String)> {
    let intake = &status.intake;
    let mut list = vec![
        (intake.staged != expected.all(), format!("staged {} of {} events", intake.staged, expected.all())),
        (intake.waiting != 0, format!("{} events are still in staging", intake.waiting)),
        (intake.quarantined != 0, format!("{} items are in quarantine", intake.quarantined)),
        (intake.conflicts != 0, format!("{} conflicts", intake.conflicts)),
        (status.adapters.len() != 2, format!("{} adapters instead of 2", status.adapters.len())),
    ];
    for adapter in &status.adapters {
        let name = &adapter.name;
        let (written, wanted) = (adapter.written_messages, expected.messages());
        list.push((written != wanted, format!("{name}: {written} of {wanted} messages written")));
        list.push((adapter.waiting_events != 0, format!("{name}: {} events wait", adapter.waiting_events)));
        list.push((
            adapter.collected_events != adapter.written_events,
            format!("{name}: {} of {} written events collected", adapter.collected_events, adapter.written_events),
        ));
        for state in ["failed", "abandoned"] {
            let count = adapter.batches.get(state).copied().unwrap_or_default();
            list.push((count != 0, format!("{name}: {count} batches {state}")));
        }
    }
    list
}

/// The first few of a list of keys.
fn some(keys: &[&Key]) -> String {
    let shown: Vec<_> = keys.iter().take(3).map(|(source, id)| format!("{source} {id}")).collect();
    format!("such as {}", shown.join(", "))
}

/// Acts in FileDump files: each message once (an edit also tells the words before it), each file transfer once.
fn acts(root: &Path) -> Outcome<u64> {
    let (mut acts, mut is_update_type, mut before_edits) = (0, false, 0);
    for text in outputs(root)? {
        let mut reader = Reader::from_str(&text);
        loop {
            match reader.read_event()? {
                Event::Eof => break,
                Event::Start(element) | Event::Empty(element) => {
                    let name = element.local_name();
                    acts += u64::from(matches!(name.as_ref(), "Message" | "FileTransferEnded"));
                    is_update_type = name.as_ref() == "UpdatedType";
                }
                Event::Text(words) if is_update_type => {
                    before_edits += u64::from(words.as_ref() == "EditedOriginalMsg");
                }
                Event::End(_) => is_update_type = false,
                _ => {}
            }
        }
    }
    Ok(acts - before_edits)
}

fn each_element(root: &Path, mut see: impl FnMut(&BytesStart<'_>)) -> Outcome<()> {
    for text in outputs(root)? {
        let mut reader = Reader::from_str(&text);
        loop {
            match reader.read_event()? {
                Event::Eof => break,
                Event::Start(element) | Event::Empty(element) => see(&element),
                _ => {}
            }
        }
    }
    Ok(())
}

/// The text of every output in an archive.
fn outputs(root: &Path) -> Outcome<Vec<String>> {
    let files = files_below(root)?;
    let texts =
        files.iter().filter(|entry| is_output(&entry.path)).map(|entry| fs::read_to_string(root.join(&entry.path)));
    Ok(texts.collect::<Result<_, _>>()?)
}

fn attribute(element: &BytesStart<'_>, name: &str) -> Option<String> {
    let attribute = element.try_get_attribute(name).ok().flatten()?;
    attribute.normalized_value(XmlVersion::Explicit1_0).ok().map(|value| value.into_owned())
}
