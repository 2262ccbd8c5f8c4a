//! Deletion of a collected batch's files from the share, each read back and compared first, and the
//! certificate that tells of it.

use std::io;
use std::path::Path;

use serde::Serialize;

use super::collect::{REMOVED, acknowledgement};
use super::{PickupError, Share};
use crate::model::Ticks;
use crate::staging::{BatchRow, CopyRow, OutputRow};
use crate::support::durable;
use crate::support::step::{Commit, Step};

/// What the certificate calls the copy of a manifest or of its signature.
const COPY: &str = "manifest";

/// What became of a file at purge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Disposal {
    /// The archive had removed it.
    TakenByArchive,
    /// It was read back, found unchanged, and deleted.
    Deleted,
}

/// One file in the certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct PurgedFile {
    name: String,
    kind: &'static str,
    size: u64,
    sha256: String,
    disposal: Disposal,
}

/// The purge certificate of a batch: what, when, by which rule, and the proof of collection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Purge {
    batch: i64,
    adapter: String,
    interval_start: String,
    interval_end: String,
    events: u64,
    messages: u64,
    published_at: Option<String>,
    collected_at: Option<String>,
    collected_how: Option<String>,
    purged_at: String,
    rule: String,
    files: Vec<PurgedFile>,
}

impl Purge {
    /// Looks at what is left of a collected batch on the share, and compares it with what was published.
    /// Changes nothing. `pause` is called between parts of the reading.
    ///
    /// # Errors
    /// [`PickupError::Changed`] when a file is no longer what was published, [`PickupError::Reappeared`] when it
    /// is there although it was seen to be taken; [`PickupError::NotTheShare`] and [`PickupError::Disk`] as
    /// everywhere.
    pub fn prepare(
        share: &Share,
        (batch, outputs, copies): (&BatchRow, &[OutputRow], &[CopyRow]),
        rule: &str,
        now: Ticks,
        pause: &mut dyn FnMut(),
    ) -> Result<Self, PickupError> {
        share.check()?;
        share.owns(&batch.workplace)?;
        let all_taken = batch.collected_how.as_deref() == Some(REMOVED);
        let mut files = Vec::new();
        for output in outputs {
            let file = look(share, (&output.name, output.kind.as_str()), (output.size, output.sha256), pause)?;
            if all_taken && file.disposal == Disposal::Deleted {
                return Err(PickupError::Reappeared { name: output.name.clone() });
            }
            files.push(file);
        }
        // They prove nothing of collection: the archive may take them or leave them.
        for copy in copies {
            files.push(look(share, (&copy.name, COPY), (copy.size, copy.sha256), pause)?);
        }
        // Once more: on a share that went away while it was read, everything is missing.
        share.check()?;
        Ok(Self {
            batch: batch.id,
            adapter: batch.adapter.clone(),
            interval_start: batch.interval_start.iso(),
            interval_end: batch.interval_end.iso(),
            events: batch.counts.events,
            messages: batch.counts.messages,
            published_at: batch.published_at.map(Ticks::iso),
            collected_at: batch.collected_at.map(Ticks::iso),
            collected_how: batch.collected_how.clone(),
            purged_at: now.iso(),
            rule: rule.to_owned(),
            files,
        })
    }

    /// Writes the certificate, as it was recorded, to `certificates` and deletes the files. May be repeated after a crash.
    ///
    /// What was prepared must still be so: nobody else may have begun to delete since, or the certificate would
    /// say of files that the archive took them. `may_delete` is asked before each file; once it says no, nothing more is
    /// deleted.
    ///
    /// # Errors
    /// [`PickupError::OutOfTime`] when `may_delete` said no; [`PickupError::NotTheShare`] and [`PickupError::Disk`] as everywhere.
    pub fn carry_out(
        &self,
        share: &Share,
        certificate: &[u8],
        certificates: &Path,
        may_delete: impl Fn() -> bool,
    ) -> Result<(), PickupError> {
        let ask = || if may_delete() { Ok(()) } else { Err(PickupError::OutOfTime) };
        share.check()?;
        let path = certificates.join(format!("purge-{:09}.json", self.batch));
        // The certificate comes first: a crash in the middle of deletion must not leave one that says the
        // archive took what we deleted. A repetition finds it and leaves it as it is.
        if path.exists() {
            durable::confirm_names(certificates)?;
        } else {
            durable::create_dir(certificates)?;
            durable::write_whole(&path, certificate, Commit::CERTIFICATE_WRITTEN)?;
        }
        for file in &self.files {
            ask()?;
            durable::remove(&share.path(&file.name), Step::FilePurged)?;
        }
        durable::sync_dir(share.dir(), Step::PurgeSynced)?;
        // The acknowledgements go last, once it is durable that their files are gone: an archive that finds a file
        // without one takes it again.
        for file in &self.files {
            ask()?;
            durable::remove(&share.path(&acknowledgement(&file.name)), Step::AcknowledgementPurged)?;
        }
        durable::sync_dir(share.dir(), Step::PurgeSynced)?;
        // On a share that went away meanwhile nothing was deleted.
        share.check()
    }
}

/// What there is of a file that had this size and digest.
fn look(
    share: &Share,
    (name, kind): (&str, &'static str),
    was: (u64, [u8; 32]),
    pause: &mut dyn FnMut(),
) -> Result<PurgedFile, PickupError> {
    let disposal = match durable::digest_file_in_parts(&share.path(name), pause) {
        Ok(found) if found == was => Disposal::Deleted,
        Ok(_) => return Err(PickupError::Changed { name: name.to_owned() }),
        Err(error) if error.source.kind() == io::ErrorKind::NotFound => Disposal::TakenByArchive,
        Err(error) => return Err(error.into()),
    };
    Ok(PurgedFile { name: name.to_owned(), kind, size: was.0, sha256: hex::encode(was.1), disposal })
}
