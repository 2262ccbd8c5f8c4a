//! Time stamps on heads: each is for the bytes of its head, and signed by an authority.

use std::path::Path;
use std::time::Duration;

use super::super::entry::digest;
use super::super::layout::{STAMP, head_path};
use super::super::stamp::{Authorities, SignedBy, Stamp};
use super::heads::Heads;
use super::{Finding, Report, read};
use crate::model::Ticks;
use crate::support::durable::PathError;

/// How far the machine's clock may be ahead of an authority's without a word.
const CLOCKS_APART_MAX: Duration = Duration::from_secs(60);

/// Checks every time stamp that lies beside a head.
pub(super) fn check(
    dir: &Path,
    heads: &Heads,
    authorities: &Authorities,
    report: &mut Report,
) -> Result<(), PathError> {
    let mut newest = None;
    for head in heads.all() {
        let file = format!("{}{STAMP}", head_path(head.size));
        let Some(reply) = read(dir, &file, report)? else { continue };
        report.checked.stamps += 1;
        let checked = Stamp::read(&reply).and_then(|stamp| {
            if stamp.digest != digest(head.to_string().as_bytes()) {
                return Err("is the time stamp of something else than its head".to_owned());
            }
            let by = stamp.signed_by()?;
            if !authorities.is_empty() {
                stamp.vouched_for(&by, authorities)?;
            }
            Ok((stamp.at, by))
        });
        match checked {
            Ok((at, by)) => {
                if let SignedBy::Unchecked(why) = by {
                    report.not_proven.push(format!("that {file} holds: {why}; `openssl ts -verify` may"));
                } else {
                    newest = Some((head.size, at));
                }
                if Ticks::parse(&head.at).is_ok_and(|recorded| recorded > at.plus(CLOCKS_APART_MAX)) {
                    let (recorded, at) = (&head.at, at.iso());
                    report.not_proven.push(format!("that the machine's clock was right: {file} is of {at}, and the head says {recorded}, which is later"));
                }
            }
            Err(problem) => report.findings.push(Finding::new(file, format!("does not hold: {problem}"))),
        }
    }
    if let Some((size, at)) = newest {
        let (last, at) = (size - 1, at.iso());
        if authorities.is_empty() {
            report.not_proven.push(format!("that entries 0 to {last} were there at {at}: a time stamp says so, but whose it is was not checked (--tsa-ca FILE)"));
        } else {
            report.proven.push(format!("entries 0 to {last} were there at {at}, as a time stamp authority says"));
        }
    } else if !authorities.is_empty() {
        report.not_proven.push("the time of anything: no time stamp lies beside a head".into());
    }
    Ok(())
}
