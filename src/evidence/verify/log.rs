//! The log itself: the list of entries, the entries, their signatures, and the keys among them.

use std::path::Path;

use super::super::entry::{EntryKind, KeyBody, Preface, digest, endorsed_bytes, log_leaf};
use super::super::key::{PublicKey, SignatureError};
use super::super::layout::{LOG, SIGNATURE, SIGNERS, SUM_LINE, SUMS, entry_path, in_log, sum_line};
use super::super::merkle::{Hash, Tree};
use super::super::record::{Signer, signers_text};
use super::super::{NAMESPACE, ROTATION_NAMESPACE};
use super::{Finding, Report, read};
use crate::model::Ticks;
use crate::support::durable::PathError;

/// The entries of a log.
pub(super) struct Log {
    entries: Vec<Entry>,
    /// Roots of the trees over the first 0, 1, … entries are asked of this.
    leaves: Vec<Hash>,
    keys: Vec<LogKey>,
    remarks: Vec<String>,
}

/// One entry, as far as it could be read.
pub(super) struct Entry {
    pub(super) sha256: Hash,
    pub(super) preface: Option<Preface>,
    pub(super) bytes: Vec<u8>,
}

/// A key that the log names.
pub(super) struct LogKey {
    /// Where it is named.
    pub(super) entry: u64,
    pub(super) fingerprint: String,
    key: PublicKey,
    recorded_at: Ticks,
}

impl Log {
    /// Reads and checks the log.
    pub(super) fn check(dir: &Path, trusted: &[PublicKey], report: &mut Report) -> Result<Self, PathError> {
        let sums = format!("{LOG}/{SUMS}");
        let text = read(dir, &sums, report)?.unwrap_or_default();
        let mut log = Self { entries: Vec::new(), leaves: Vec::new(), keys: Vec::new(), remarks: Vec::new() };
        for (number, line) in (0..).zip(text.chunks(SUM_LINE as usize)) {
            let mut listed = [0; 32];
            let is_digest = line.get(..64).is_some_and(|digits| hex::decode_to_slice(digits, &mut listed).is_ok());
            let sound = is_digest && line == sum_line(number, &listed).as_bytes();
            if !sound {
                let problem = format!("expected a SHA-256, two spaces, {} and a line break", in_log(number));
                report.findings.push(Finding::new(&sums, problem).at_line(number + 1).of_entry(number));
            }
            log.entry(dir, number, sound.then_some(listed), report)?;
        }
        let size = log.size();
        if size > 0 && dir.join(entry_path(size)).exists() {
            let problem =
                format!("does not list {}, which is there: the end is cut off, or about to be written", in_log(size));
            report.findings.push(Finding::new(&sums, problem).at_line(size + 1).of_entry(size).at_the_end());
        }
        if text.is_empty() && !dir.join(&sums).exists() && dir.join(LOG).exists() {
            report.findings.push(Finding::new(&sums, "is missing: it lists every entry"));
        }
        log.signatures(dir, report)?;
        log.trust(trusted, report);
        log.signers(dir, report)?;
        report.checked.entries = log.size();
        Ok(log)
    }

    pub(super) fn size(&self) -> u64 {
        self.entries.len() as u64
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (u64, &Entry)> {
        (0..).zip(&self.entries)
    }

    pub(super) fn get(&self, number: u64) -> Option<&Entry> {
        self.entries.get(usize::try_from(number).ok()?)
    }

    pub(super) fn keys(&self) -> &[LogKey] {
        &self.keys
    }

    pub(super) fn remarks(&self) -> &[String] {
        &self.remarks
    }

    /// When the last of the first `size` entries was recorded, as it says.
    pub(super) fn recorded_at(&self, size: u64) -> Option<&str> {
        self.get(size.checked_sub(1)?)?.preface.as_ref().map(|preface| preface.recorded_at.as_str())
    }

    /// The roots at these sizes, which must not fall.
    pub(super) fn roots(&self, sizes: impl IntoIterator<Item = u64>) -> Vec<Option<Hash>> {
        let (mut tree, mut leaves) = (Tree::default(), self.leaves.iter());
        let mut root = |size: u64| {
            while tree.size() < size {
                tree.push(*leaves.next()?);
            }
            (tree.size() == size).then(|| tree.root())
        };
        sizes.into_iter().map(&mut root).collect()
    }

    /// Reads one entry. Its file counts for the tree; what its line says is compared with it.
    fn entry(&mut self, dir: &Path, number: u64, listed: Option<Hash>, report: &mut Report) -> Result<(), PathError> {
        let path = entry_path(number);
        let bytes = read(dir, &path, report)?;
        let missing = bytes.is_none();
        let bytes = bytes.unwrap_or_default();
        let sha256 = digest(&bytes);
        let say = |problem: &str| Finding::new(&path, problem).of_entry(number);
        let mut preface = None;
        if missing {
            report.findings.push(say("is missing"));
        } else {
            match serde_json::from_slice::<Preface>(&bytes) {
                Ok(read) if read.entry == number && read.kind().is_some() => preface = Some(read),
                Ok(read) if read.entry != number => {
                    report.findings.push(say(&format!("says that it is entry {}", read.entry)))
                }
                Ok(_) => report.findings.push(say("has a format that this version does not know")),
                Err(_) => report.findings.push(say("cannot be read as an entry")),
            }
            // Before the comparison: the entry of a key is signed with that key.
            self.name_key(number, preface.as_ref(), &bytes, report);
            if listed.is_some_and(|listed| listed != sha256) {
                let line = format!("{LOG}/{SUMS}");
                let signed = self.is_signed(dir, &path, &bytes, report)?;
                // A signature decides which of the two was changed.
                report.findings.push(if signed {
                    Finding::new(line, format!("does not list the digest of {path}, which is as it was signed"))
                        .at_line(number + 1)
                        .of_entry(number)
                } else {
                    say("is not what SHA256SUMS lists: it was changed")
                });
            }
        }
        // A missing file leaves its listed digest, so that the entries after it are not blamed.
        let counted = if missing { listed.unwrap_or(sha256) } else { sha256 };
        self.leaves.push(log_leaf(&counted));
        self.entries.push(Entry { sha256: counted, preface, bytes });
        Ok(())
    }

    fn is_signed(&self, dir: &Path, path: &str, bytes: &[u8], report: &mut Report) -> Result<bool, PathError> {
        let signature = read(dir, &format!("{path}{SIGNATURE}"), report)?.and_then(|text| String::from_utf8(text).ok());
        let held = |signature: &String| self.keys.iter().any(|key| key.key.verify(NAMESPACE, bytes, signature).is_ok());
        Ok(signature.as_ref().is_some_and(held))
    }

    /// Takes a key from its entry.
    fn name_key(&mut self, entry: u64, preface: Option<&Preface>, bytes: &[u8], report: &mut Report) {
        let Some(preface) = preface.filter(|preface| preface.kind() == Some(EntryKind::Key)) else { return };
        let say = |problem: &str| Finding::new(entry_path(entry), problem).of_entry(entry);
        let body = serde_json::from_slice::<KeyBody>(bytes).ok();
        let named = body.as_ref().and_then(|body| PublicKey::parse(&body.key));
        let (Some(body), Some(key)) = (body, named) else {
            report.findings.push(say("names no key that can be read"));
            return;
        };
        let Ok(recorded_at) = Ticks::parse(&preface.recorded_at) else {
            report.findings.push(say("has no time at which it was recorded"));
            return;
        };
        let fingerprint = key.fingerprint();
        if fingerprint != body.fingerprint || key.line() != body.key {
            report.findings.push(say("names a fingerprint that is not its key's"));
        }
        let before = self.keys.last();
        if before.map(|key| &key.fingerprint) != body.replaces.as_ref() {
            report.findings.push(say("does not replace the key before it"));
        }
        match (before, &body.endorsement) {
            (Some(old), Some(endorsement)) => {
                let line = endorsed_bytes(&body.key);
                if let Err(error) = old.key.verify(ROTATION_NAMESPACE, line.as_bytes(), endorsement) {
                    report.findings.push(say(&format!("the old key's signature on the new key does not hold: {error}")));
                }
                report.checked.signatures += 1;
            }
            (Some(_), None) => self.remarks.push(format!(
                "that the key of entry {entry} follows the one before: the old key was lost and did not sign it; ask who recorded it, and why (the act beside it)"
            )),
            (None, _) => {}
        }
        self.keys.push(LogKey { entry, fingerprint, key, recorded_at });
    }

    /// Every entry from the first key on has a signature of a key that is not older than the newest at its place.
    fn signatures(&self, dir: &Path, report: &mut Report) -> Result<(), PathError> {
        let Some(first) = self.keys.first().map(|key| key.entry) else { return Ok(()) };
        for (number, entry) in self.entries() {
            if number < first || entry.bytes.is_empty() {
                continue;
            }
            let signature = format!("{}{SIGNATURE}", entry_path(number));
            let text = read(dir, &signature, report)?;
            let problem = match text.as_deref().map(std::str::from_utf8) {
                None => Some("is missing: every entry from the first key on is signed".to_owned()),
                Some(Err(_)) => Some("is no SSH signature".to_owned()),
                Some(Ok(text)) => self.signature_problem(number, &entry.bytes, text),
            };
            report.checked.signatures += 1;
            report.findings.extend(problem.map(|problem| Finding::new(signature, problem).of_entry(number)));
        }
        Ok(())
    }

    fn signature_problem(&self, number: u64, bytes: &[u8], text: &str) -> Option<String> {
        let Some(maker) = PublicKey::of_signature(text) else {
            return Some(SignatureError::Malformed.to_string());
        };
        let Some(place) = self.keys.iter().position(|key| key.key == maker) else {
            return Some(format!("was made with {}, which is no key of this log", maker.fingerprint()));
        };
        let current = self.keys.iter().rposition(|key| key.entry <= number).unwrap_or_default();
        if place < current {
            return Some(format!("was made with {}, which was replaced before this entry", maker.fingerprint()));
        }
        let held = maker.verify(NAMESPACE, bytes, text);
        held.err().map(|error| format!("does not hold: {error}; the signature or the entry was changed"))
    }

    /// Checks a signature on a head: by a key that the log names before the head's end.
    pub(super) fn head_key(&self, fingerprint: &str, size: u64) -> Option<&PublicKey> {
        let named = |key: &&LogKey| key.fingerprint == fingerprint && key.entry < size;
        self.keys.iter().find(named).map(|key| &key.key)
    }

    fn trust(&self, trusted: &[PublicKey], report: &mut Report) {
        if trusted.is_empty() {
            return;
        }
        // Each later key that was endorsed rests on the one before it; one that was not must be known itself.
        for (place, key) in self.keys.iter().enumerate() {
            let rests =
                place > 0 && !self.remarks.iter().any(|remark| remark.contains(&format!("of entry {} ", key.entry)));
            if !rests && !trusted.contains(&key.key) {
                let problem = format!("{} is none of the keys that are believed", key.fingerprint);
                report.findings.push(Finding::new(entry_path(key.entry), problem).of_entry(key.entry));
            }
        }
        if self.keys.is_empty() && self.size() > 0 {
            report.findings.push(Finding::new(LOG, "names no key at all, expected one that is believed"));
        }
    }

    /// The file for `ssh-keygen` says of the keys what the log says.
    fn signers(&self, dir: &Path, report: &mut Report) -> Result<(), PathError> {
        let signers: Vec<Signer> = self.keys.iter().map(|key| Signer { key: key.key, from: key.recorded_at }).collect();
        let problem = match (read(dir, SIGNERS, report)?, signers.is_empty()) {
            (None, true) => return Ok(()),
            (None, false) => "is missing: it names the keys of the log for ssh-keygen",
            (Some(found), false) if found == signers_text(&signers).as_bytes() => return Ok(()),
            (Some(_), _) => "does not name exactly the keys of the log",
        };
        report.findings.push(Finding::new(SIGNERS, problem));
        Ok(())
    }
}

/// The keys of an `allowed_signers` file, or of lines `ssh-ed25519 BASE64`.
///
/// # Errors
/// The number of a line that names no Ed25519 key, or 0 when there is none at all.
pub fn trusted_keys(text: &str) -> Result<Vec<PublicKey>, usize> {
    let mut keys = Vec::new();
    for (number, line) in (1_usize..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let from = line.find("ssh-ed25519 ").ok_or(number)?;
        keys.push(PublicKey::parse(&line[from..]).ok_or(number)?);
    }
    if keys.is_empty() { Err(0) } else { Ok(keys) }
}
