//! Deletion of a collected batch's files from the share, each read back and compared first, and the
//! certificate that tells of it.

use std::io;
use std::path::Path;

use serde::Serialize;

use super::collect::{REMOVED, acknowledgement};
use super::{PickupError, Share};
use crate::model::Ticks;
use crate::staging::{BatchRow, OutputRow};
use crate::support::durable;
use crate::support::step::{Commit, Step};

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
        batch: &BatchRow,
        outputs: &[OutputRow],
        rule: &str,
        now: Ticks,
        pause: &mut dyn FnMut(),
    ) -> Result<Self, PickupError> {
        share.check()?;
        share.owns(&batch.workplace)?;
        let all_taken = batch.collected_how.as_deref() == Some(REMOVED);
        let files = outputs
            .iter()
            .map(|output| {
                let disposal = disposal(share, output, pause)?;
                if all_taken && disposal == Disposal::Deleted {
                    return Err(PickupError::Reappeared { name: output.name.clone() });
                }
                Ok(PurgedFile {
                    name: output.name.clone(),
                    kind: output.kind.as_str(),
                    size: output.size,
                    sha256: hex::encode(output.sha256),
                    disposal,
                })
            })
            .collect::<Result<Vec<_>, PickupError>>()?;
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
        Ok(durable::sync_dir(share.dir(), Step::PurgeSynced)?)
    }
}

fn disposal(share: &Share, output: &OutputRow, pause: &mut dyn FnMut()) -> Result<Disposal, PickupError> {
    match durable::digest_file_in_parts(&share.path(&output.name), pause) {
        Ok(found) if found == (output.size, output.sha256) => Ok(Disposal::Deleted),
        Ok(_) => Err(PickupError::Changed { name: output.name.clone() }),
        Err(error) if error.source.kind() == io::ErrorKind::NotFound => Ok(Disposal::TakenByArchive),
        Err(error) => Err(error.into()),
    }
}
