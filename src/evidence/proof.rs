//! Proofs for one event: what it takes to see that a batch of the signed log held exactly these bytes under this key. Beside
//! them, proofs that the log only grew.
//!
//! A proof stands by itself. It holds no content: whoever has the event's bytes compares their digest with it.

mod continuation;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::NAMESPACE;
use super::entry::{Preface, digest, log_leaf};
use super::head::Head;
use super::key::PublicKey;
use super::layout::{LISTS, entry_path};
use super::list::{LINE, ListLine, event_leaf, key_digest};
use super::manifest::ManifestBody;
use super::merkle::{Hash, inclusion, root, root_by_inclusion};
use super::record::{newest_head_with_signature, read_sums};
use super::verify::{Finding, Report};
use crate::support::durable::{PathError, WithPath as _};

pub use continuation::{Continuation, prove_continuation};

/// What the proof's `format` says.
const FORMAT: &str = "chancery-proof-1";

/// A proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// `chancery-proof-1`.
    pub format: String,
    /// The event's source.
    pub source: String,
    /// The event's id.
    pub id: String,
    /// SHA-256 of the source, a line feed and the id.
    #[serde(with = "hex")]
    pub key_sha256: Hash,
    /// Where the event is: once for each adapter, and for each content if several came under one key.
    pub events: Vec<EventProof>,
    /// The signed head that binds them.
    pub head: SignedHead,
}

/// The place of an event in one batch, and that of the batch in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventProof {
    /// SHA-256 of the event's bytes as they were received.
    #[serde(with = "hex")]
    pub content_sha256: Hash,
    /// What became of it, as the batch's list says. The tree does not bind this word; the list's digest in the manifest does.
    pub became: String,
    /// Its place in the tree of its batch.
    pub in_batch: Inclusion,
    /// The manifest of the batch, exactly as it was recorded.
    pub manifest: String,
    /// The manifest's place in the tree of the log.
    pub in_log: Inclusion,
}

/// A leaf's place in a tree, and the hashes beside its way up, lowest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inclusion {
    /// The leaf's place, from 0.
    pub index: u64,
    /// The leaves of the tree.
    pub size: u64,
    /// The hashes.
    pub path: Vec<String>,
}

/// A head with its signature and the key that made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedHead {
    /// Exactly what is signed.
    pub text: String,
    /// The signature, armored.
    pub signature: String,
    /// The public key, `ssh-ed25519 …`.
    pub key: String,
}

/// Why no proof can be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProveError {
    /// The directory cannot be read.
    #[error(transparent)]
    Disk(#[from] PathError),
    /// Nothing is signed there.
    #[error("{} holds no signed head, so nothing there can be proven to anybody", dir.display())]
    Unsigned {
        /// The directory.
        dir: PathBuf,
    },
    /// What is there does not hold.
    #[error("the evidence does not hold: {problem}")]
    Damaged {
        /// What was found.
        problem: String,
    },
}

impl ProveError {
    /// What to do about it.
    pub fn cure(&self) -> &'static str {
        match self {
            Self::Disk(_) => "name the evidence directory (--evidence DIR), and have the right to read it",
            Self::Unsigned { .. } => {
                "make a key with `chancery evidence keygen`; the next head covers everything before it"
            }
            Self::Damaged { .. } => "`chancery verify` names every place that does not hold",
        }
    }
}

/// Makes the proof of an event, or of all events of one key; `None` when no batch of the signed log holds any.
///
/// # Errors
/// See [`ProveError`].
pub fn prove(dir: &Path, source: &str, id: &str) -> Result<Option<Proof>, ProveError> {
    let damaged = |problem: String| ProveError::Damaged { problem };
    let Newest { leaves, head: (signed, head) } = newest(dir)?;
    let key_sha256 = key_digest(source, id);
    let mut events = Vec::new();
    for (entry, path) in lists(dir, head.size)? {
        let file = File::open(&path).at("open", &path)?;
        let (from, to) = find(&file, &path, &key_sha256)?;
        if from == to {
            continue;
        }
        let list = read_list(&path)?;
        let batch: Vec<Hash> = list.iter().map(|line| event_leaf(&line.key, &line.content)).collect();
        let manifest = dir.join(entry_path(entry));
        let manifest = fs::read_to_string(&manifest).at("read", &manifest)?;
        for index in from..to {
            let line = list.get(index).ok_or_else(|| damaged(format!("{} changes", path.display())))?;
            events.push(EventProof {
                content_sha256: line.content,
                became: line.became.as_str().to_owned(),
                in_batch: included(&batch, index).ok_or_else(|| damaged(format!("{} changes", path.display())))?,
                manifest: manifest.clone(),
                in_log: included(&leaves, usize::try_from(entry).unwrap_or(usize::MAX))
                    .ok_or_else(|| damaged(format!("entry {entry} is beyond the log")))?,
            });
        }
    }
    if events.is_empty() {
        return Ok(None);
    }
    Ok(Some(Proof { format: FORMAT.into(), source: source.into(), id: id.into(), key_sha256, events, head: signed }))
}

/// The newest signed head, and the leaves that it covers.
struct Newest {
    leaves: Vec<Hash>,
    head: (SignedHead, Head),
}

/// Reads them, and whether they belong together.
fn newest(dir: &Path) -> Result<Newest, ProveError> {
    let unsigned = || ProveError::Unsigned { dir: dir.to_owned() };
    let damaged = |problem: String| ProveError::Damaged { problem };
    let (head, text, signature) = newest_head_with_signature(dir)?.ok_or_else(unsigned)?;
    let key =
        PublicKey::of_signature(&signature).ok_or_else(|| damaged("the newest head's signature is none".into()))?;
    let sums = read_sums(dir, head.size).map_err(|error| damaged(error.to_string()))?;
    let leaves: Vec<Hash> = sums.iter().map(log_leaf).collect();
    if root(&leaves) != head.root {
        return Err(damaged(format!("the entries are not those that the head of {} was signed over", head.size)));
    }
    Ok(Newest { leaves, head: (SignedHead { text, signature, key: key.line() }, head) })
}

fn included(leaves: &[Hash], index: usize) -> Option<Inclusion> {
    let path = inclusion(leaves, index)?.iter().map(hex::encode).collect();
    Some(Inclusion { index: index as u64, size: leaves.len() as u64, path })
}

/// The lists of entries below `size`, oldest first.
fn lists(dir: &Path, size: u64) -> Result<Vec<(u64, PathBuf)>, PathError> {
    let mut found = Vec::new();
    let lists = dir.join(LISTS);
    let listing = |dir: &Path| -> Result<Vec<PathBuf>, PathError> {
        match fs::read_dir(dir) {
            Ok(names) => names.map(|name| Ok(name.at("list", dir)?.path())).collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error).at("list", dir),
        }
    };
    for part in listing(&lists)? {
        for path in listing(&part)? {
            let is_list = path.extension().is_some_and(|ending| ending == "events");
            let entry = path.file_stem().and_then(|name| name.to_str()?.parse::<u64>().ok());
            found.extend(entry.filter(|entry| is_list && *entry < size).map(|entry| (entry, path)));
        }
    }
    found.sort();
    Ok(found)
}

/// Lines of a list that are read at once: about 12 KB, which a disk gives as fast as one line.
const BLOCK: usize = 64;

/// The lines of a list that have a key: from, and up to but without.
///
/// Digests are spread evenly, so that the key itself says about where it stands. Half of the looks are by halves all the same: a
/// list that somebody made up must not cost a look at each line.
fn find(file: &File, path: &Path, key: &Hash) -> Result<(usize, usize), PathError> {
    let digits = hex::encode(key);
    let lines = usize::try_from(file.metadata().at("look at", path)?.len()).unwrap_or(usize::MAX) / LINE;
    let mut bytes = [0; BLOCK * LINE];
    let mut read = |from: usize, to: usize| -> Result<Vec<[u8; 64]>, PathError> {
        let bytes = &mut bytes[..(to - from) * LINE];
        file.read_exact_at(bytes, (from * LINE) as u64).at("read", path)?;
        Ok(bytes.chunks_exact(LINE).filter_map(|line| line.first_chunk().copied()).collect())
    };
    // Every line before `low` is below the key, and none from `high` on.
    let (mut low, mut high) = (0, lines);
    let (mut below, mut above, wanted) = (0, u64::MAX, leading(digits.as_bytes()));
    let mut by_halves = false;
    while low < high {
        let guess = if by_halves { low + (high - low) / 2 } else { low + share(high - low, below, wanted, above) };
        by_halves = !by_halves;
        let from = guess.saturating_sub(BLOCK / 2).max(low);
        let to = (from + BLOCK).min(high);
        let block = read(from, to)?;
        match block.partition_point(|line| &line[..] < digits.as_bytes()) {
            0 => (high, above) = (from, block.first().map_or(above, |line| leading(line))),
            all if all == block.len() => (low, below) = (to, block.last().map_or(below, |line| leading(line))),
            some => (low, high) = (from + some, from + some),
        }
    }
    let mut end = low;
    while end < lines && read(end, end + 1)?.iter().any(|line| &line[..] == digits.as_bytes()) {
        end += 1;
    }
    Ok((low, end))
}

/// The number that the first 16 of a digest's digits are; they are anything in a list that was tampered with.
fn leading(digits: &[u8]) -> u64 {
    digits.get(..16).and_then(|digits| u64::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()).unwrap_or_default()
}

/// How many of `count` lines stand before `wanted`, were they spread evenly from `below` to `above`; less than `count`.
fn share(count: usize, below: u64, wanted: u64, above: u64) -> usize {
    let (span, before) = (above.saturating_sub(below), wanted.saturating_sub(below).min(above.saturating_sub(below)));
    let share = count as u128 * u128::from(before) / (u128::from(span) + 1);
    usize::try_from(share).unwrap_or_default().min(count - 1)
}

fn read_list(path: &Path) -> Result<Vec<ListLine>, ProveError> {
    let bytes = fs::read(path).at("read", path)?;
    let bad = || ProveError::Damaged { problem: format!("{} is no event list", path.display()) };
    bytes.chunks(LINE).map(|line| ListLine::parse(line).ok_or_else(bad)).collect()
}

/// What a proof of any kind is compared with.
#[derive(Debug, Default)]
pub struct Against {
    /// The event's bytes, if they are at hand.
    pub event: Option<Vec<u8>>,
    /// Heads that were kept elsewhere: file and text.
    pub kept: Vec<(String, String)>,
    /// The keys that are believed; none: any.
    pub trusted: Vec<PublicKey>,
}

/// Checks a proof, for one event or of consistency, with nothing but itself and what is at hand. `file` is how findings name
/// the proof.
pub fn check(text: &str, file: &str, against: &Against) -> Report {
    let Against { event, kept, trusted } = against;
    #[derive(Deserialize)]
    struct Kind {
        format: String,
    }
    let kind = serde_json::from_str(text).map(|Kind { format }| format);
    let refuse = |problem: &str| Report { findings: vec![Finding::new(file, problem)], ..Report::default() };
    match kind.as_deref() {
        Ok(continuation::FORMAT) if event.is_some() => {
            refuse("is a consistency proof, which is about no event: leave --event out")
        }
        Ok(continuation::FORMAT) => continuation::check(text, file, kept, trusted),
        _ if !kept.is_empty() => refuse("is no consistency proof: leave --head out"),
        _ => check_events(text, file, event.as_deref(), trusted),
    }
}

fn check_events(text: &str, file: &str, event: Option<&[u8]>, trusted: &[PublicKey]) -> Report {
    let mut report = Report::default();
    let mut say = |problem: String| {
        report.findings.push(Finding::new(file, problem));
    };
    let proof: Proof = match serde_json::from_str(text) {
        Ok(proof) => proof,
        Err(error) => {
            say(format!("cannot be read as a proof: {error}"));
            return report;
        }
    };
    if proof.format != FORMAT {
        say(format!("has the format {:?}, expected {FORMAT:?}", proof.format));
        return report;
    }
    if proof.key_sha256 != key_digest(&proof.source, &proof.id) {
        say("key_sha256 is not the digest of its source and id".into());
    }
    let head = match signed_head(&proof.head) {
        Ok((head, key)) => {
            if !trusted.is_empty() && !trusted.contains(&key) {
                say(format!(
                    "the head is signed with {}, which is none of the keys that are believed",
                    key.fingerprint()
                ));
            }
            head
        }
        Err(problem) => {
            say(problem);
            return report;
        }
    };
    if proof.events.is_empty() {
        say("proves nothing: it names no event".into());
    }
    let mut contents = Vec::new();
    let mut proven = Vec::new();
    for (place, one) in proof.events.iter().enumerate() {
        match check_event(&proof.key_sha256, one, &head) {
            Ok((entry, body)) => proven.push(format!(
                "batch {} of {} ({} to {}) held this event with the content {}; its manifest is entry {entry} of the log that {} signed",
                body.batch, body.adapter, body.interval.start, body.interval.end, hex::encode(one.content_sha256), head.key
            )),
            Err(problem) => say(format!("events[{place}]: {problem}")),
        }
        contents.push(one.content_sha256);
    }
    if let Some(bytes) = event {
        if contents.contains(&digest(bytes)) {
            proven.push("the event's bytes are those that were received".into());
        } else {
            say("the event's bytes have another digest than the proof".into());
        }
    } else {
        report.not_proven.push("which bytes the event had, but for their digest (--event FILE compares them)".into());
    }
    if trusted.is_empty() {
        let key = &head.key;
        report
            .not_proven
            .push(format!("that {key} is the firm's key: compare it with one you were given, or give --signers"));
    }
    if report.findings.is_empty() {
        report.proven = proven;
    }
    report.checked.signatures = 1;
    report.checked.events = proof.events.len() as u64;
    report.checked.bytes = text.len() as u64;
    report
}

/// The head, and the key that signed it; else what does not hold.
fn signed_head(signed: &SignedHead) -> Result<(Head, PublicKey), String> {
    let head = Head::parse(&signed.text).map_err(|problem| format!("head.text: {problem}"))?;
    let key = PublicKey::parse(&signed.key).ok_or("head.key is no Ed25519 key")?;
    if key.fingerprint() != head.key {
        return Err("head.key is not the key that head.text names".into());
    }
    let held = key.verify(NAMESPACE, signed.text.as_bytes(), &signed.signature);
    held.map_err(|error| format!("head.signature does not hold: {error}"))?;
    Ok((head, key))
}

/// Follows one event to the head; gives the manifest's entry and what it says.
fn check_event(key: &Hash, event: &EventProof, head: &Head) -> Result<(u64, ManifestBody), String> {
    let body: ManifestBody =
        serde_json::from_str(&event.manifest).map_err(|error| format!("manifest cannot be read: {error}"))?;
    let preface: Preface =
        serde_json::from_str(&event.manifest).map_err(|error| format!("manifest cannot be read: {error}"))?;
    if event.in_batch.size != body.events.count {
        return Err("in_batch.size is not the number of events that the manifest names".into());
    }
    if reached(event_leaf(key, &event.content_sha256), &event.in_batch)? != body.events.root {
        return Err("the event is not in the tree of the batch that the manifest names".into());
    }
    if event.in_log.size != head.size || event.in_log.index != preface.entry {
        return Err("in_log is not the place that the manifest and the head name".into());
    }
    if reached(log_leaf(&digest(event.manifest.as_bytes())), &event.in_log)? != head.root {
        return Err("the manifest is not in the tree that the head was signed over".into());
    }
    Ok((preface.entry, body))
}

fn reached(leaf: Hash, inclusion: &Inclusion) -> Result<Hash, String> {
    let path = digests(&inclusion.path)?;
    root_by_inclusion(leaf, inclusion.index, inclusion.size, &path)
        .ok_or_else(|| "a path does not fit its tree".to_owned())
}

/// The digests of a path.
fn digests(path: &[String]) -> Result<Vec<Hash>, String> {
    let digest = |text: &String| {
        let mut hash = [0; 32];
        hex::decode_to_slice(text, &mut hash)
            .map_err(|_| "a path holds something other than SHA-256 digests".to_owned())?;
        Ok(hash)
    };
    path.iter().map(digest).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed test should panic")]
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;

    /// Finds each key, and one beside it, in a list of these keys; looks at the list as a whole in another way.
    fn check(mut keys: Vec<Hash>) {
        keys.sort_unstable();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        for key in &keys {
            writeln!(file, "{:width$}", hex::encode(key), width = LINE - 1).unwrap();
        }
        let beside = keys.iter().map(|key| {
            let mut key = *key;
            key[31] ^= 1;
            key
        });
        for key in beside.chain(keys.iter().copied()).chain([[0; 32], [255; 32]]) {
            let from = keys.iter().filter(|other| **other < key).count();
            let to = keys.iter().filter(|other| **other <= key).count();
            assert_eq!(find(file.as_file(), file.path(), &key).unwrap(), (from, to), "{}", hex::encode(key));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn keys_are_found_where_they_are(keys in prop::collection::vec(any::<Hash>(), 0..400)) {
            check(keys);
        }

        #[test]
        fn also_where_digests_are_not_spread(keys in prop::collection::vec(0..40u8, 0..400), place in 0..32usize) {
            check(keys.into_iter().map(|byte| { let mut key = [7; 32]; key[place] = byte; key }).collect());
        }
    }
}
