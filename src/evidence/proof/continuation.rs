//! Consistency proofs (RFC 6962, 2.1.2): what it takes to see that the log of a later head continues that of an earlier one,
//! without the log.
//!
//! Whoever was given a head, and no evidence, learns from one of these that nothing below that head was changed since.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Newest, ProveError, SignedHead, digests, newest, signed_head};
use crate::evidence::head::Head;
use crate::evidence::key::PublicKey;
use crate::evidence::merkle::{Hash, consistency, is_consistent};
use crate::evidence::verify::{Finding, Report};

/// What the proof's `format` says.
pub(super) const FORMAT: &str = "chancery-consistency-1";

/// A consistency proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Continuation {
    /// `chancery-consistency-1`.
    pub format: String,
    /// The size of the earlier log.
    pub size: u64,
    /// Its root.
    #[serde(with = "hex")]
    pub root: Hash,
    /// The hashes that lead from it to the head.
    pub path: Vec<String>,
    /// The signed head that continues it.
    pub head: SignedHead,
}

/// Proves that the newest signed head continues the log of an earlier one.
///
/// # Errors
/// See [`ProveError`]; [`ProveError::Damaged`] also when it does not continue it.
pub fn prove_continuation(dir: &Path, earlier: &Head) -> Result<Continuation, ProveError> {
    let Newest { leaves, head: (signed, newest) } = newest(dir)?;
    let short = || ProveError::Damaged {
        problem: format!("the newest head covers {} entries, the earlier one {}", newest.size, earlier.size),
    };
    let size = usize::try_from(earlier.size).map_err(|_| short())?;
    let path = if earlier.size == newest.size { Some(Vec::new()) } else { consistency(&leaves, size) };
    let path = path.ok_or_else(short)?;
    if !is_consistent((earlier.size, &earlier.root), (newest.size, &newest.root), &path) {
        return Err(ProveError::Damaged {
            problem: format!("the first {} entries are not those that the earlier head covers", earlier.size),
        });
    }
    let path = path.iter().map(hex::encode).collect();
    Ok(Continuation { format: FORMAT.into(), size: earlier.size, root: earlier.root, path, head: signed })
}

/// Checks a consistency proof with nothing but itself. `kept`: the texts of heads that were kept elsewhere, with their files'
/// names; `trusted`: the keys that are believed, if any. `file` is how findings name the proof.
pub(super) fn check(text: &str, file: &str, kept: &[(String, String)], trusted: &[PublicKey]) -> Report {
    let mut report = Report::default();
    let mut say = |file: &str, problem: String| {
        report.findings.push(Finding::new(file, problem));
    };
    let proof: Continuation = match serde_json::from_str(text) {
        Ok(proof) => proof,
        Err(error) => {
            say(file, format!("cannot be read as a consistency proof: {error}"));
            return report;
        }
    };
    let (head, key) = match signed_head(&proof.head) {
        Ok(signed) => signed,
        Err(problem) => {
            say(file, problem);
            return report;
        }
    };
    if !trusted.is_empty() && !trusted.contains(&key) {
        say(
            file,
            format!("the head is signed with {}, which is none of the keys that are believed", key.fingerprint()),
        );
    }
    match digests(&proof.path) {
        Ok(path) if is_consistent((proof.size, &proof.root), (head.size, &head.root), &path) => {}
        Ok(_) => say(file, format!("the log of the head does not continue the log of {} entries", proof.size)),
        Err(problem) => say(file, problem),
    }
    for (name, text) in kept {
        match Head::parse(text) {
            Ok(kept) if (kept.size, kept.root) == (proof.size, proof.root) => {}
            Ok(kept) => {
                say(name, format!("is a head of {} entries, and not the one that the proof starts from", kept.size))
            }
            Err(problem) => say(name, format!("is no head: {problem}")),
        }
    }
    let earlier = format!("the log of {} entries with the root {}", proof.size, hex::encode(proof.root));
    if report.findings.is_empty() {
        report.proven.push(format!(
            "the log of {} entries that {} signed continues {earlier}: nothing in it was changed, taken away or put between",
            head.size, head.key
        ));
    }
    if kept.is_empty() {
        report
            .not_proven
            .push(format!("that you were ever shown {earlier}: compare it with the head you kept (--head FILE)"));
    }
    if trusted.is_empty() {
        report.not_proven.push(format!(
            "that {} is the firm's key: compare it with one you were given, or give --signers",
            head.key
        ));
    }
    report.checked.heads = 1;
    report.checked.signatures = 1;
    report.checked.bytes = text.len() as u64;
    report
}
