//! One adapter's pickup directory: its marker, its temporary files, and publication by rename.
//!
//! An unmounted share looks like an empty directory, and an empty directory looks like "all collected".
//! A marker file tells the two apart: without it nothing is published, collected or purged.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::PickupError;
use crate::staging::{OutputKind, OutputRow};
use crate::support::durable::{self, PathError, WithPath};
use crate::support::step::{Commit, Step};

/// Directory of temporary files below the share; archives skip it by its dot, and any file in it by its ending.
const TEMPORARY_DIR: &str = ".inprogress";
const TEMPORARY_ENDING: &str = "_inprogress";
const MARKER: &str = "share";

/// What to do when the share carries no marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marker {
    /// Make the directory and its marker: nothing was ever published there.
    Create,
    /// Refuse: files were published there, so the marker must be there too.
    Require,
}

/// An adapter's pickup directory, known to be the right one.
#[derive(Debug, Clone)]
pub struct Share {
    dir: PathBuf,
    adapter: String,
}

impl Share {
    /// Opens the share of an adapter.
    ///
    /// # Errors
    /// [`PickupError::NotTheShare`] when the marker is missing or names another adapter,
    /// [`PickupError::Disk`] when the file system refuses.
    pub fn open(dir: &Path, adapter: &str, marker: Marker) -> Result<Self, PickupError> {
        let share = Self { dir: dir.to_owned(), adapter: adapter.to_owned() };
        if marker == Marker::Create && !share.marker().exists() {
            durable::create_dir(&share.temporary_dir())?;
            durable::write_whole(&share.marker(), format!("{adapter}\n").as_bytes(), Commit::MARKER_WRITTEN)?;
        }
        share.check()?;
        Ok(share)
    }

    /// Whether the directory still is the share it was.
    ///
    /// # Errors
    /// As [`Share::open`].
    pub fn check(&self) -> Result<(), PickupError> {
        let wrong = |found: String| PickupError::NotTheShare {
            directory: self.dir.display().to_string(),
            adapter: self.adapter.clone(),
            found,
        };
        match fs::read_to_string(self.marker()) {
            Ok(owner) if owner.trim_end() == self.adapter => Ok(()),
            Ok(owner) => Err(wrong(format!("its marker names adapter {:?}", owner.trim_end()))),
            Err(error) => Err(wrong(format!("its marker {} cannot be read: {error}", self.marker().display()))),
        }
    }

    /// The directory from which the archive collects.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn marker(&self) -> PathBuf {
        self.temporary_dir().join(MARKER)
    }

    fn temporary_dir(&self) -> PathBuf {
        self.dir.join(TEMPORARY_DIR)
    }

    /// Where a file lies until it is published.
    pub(super) fn temporary_path(&self, name: &str) -> PathBuf {
        self.temporary_dir().join(format!("{name}{TEMPORARY_ENDING}"))
    }

    /// Where a file lies once it is published.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Makes the names of all temporary files durable. Must come before the batch is recorded as
    /// rendered: from then on a missing temporary file means that it was published.
    ///
    /// # Errors
    /// When the directory cannot be synced.
    pub fn sync_temporaries(&self) -> Result<(), PickupError> {
        Ok(durable::sync_dir(&self.temporary_dir(), Step::TemporariesSynced)?)
    }

    /// Deletes temporary files, except those of batches that are being published.
    ///
    /// # Errors
    /// When the directory cannot be listed or a file not be deleted.
    pub fn clear_temporaries(&self, keep: &[OutputRow]) -> Result<(), PickupError> {
        let dir = self.temporary_dir();
        let kept: Vec<PathBuf> = keep.iter().map(|output| self.temporary_path(&output.name)).collect();
        for entry in fs::read_dir(&dir).at("list", &dir)? {
            let path = entry.at("list", &dir)?.path();
            let ours = path.as_os_str().as_encoded_bytes().ends_with(TEMPORARY_ENDING.as_bytes());
            if ours && !kept.contains(&path) {
                durable::remove(&path, Step::LeftoverRemoved)?;
            }
        }
        Ok(())
    }

    /// Puts the files of a rendered batch on the share, attachments first, and makes their names durable.
    ///
    /// May be repeated after a crash at any point: a temporary file is renamed, a published one left
    /// alone. When neither is there the archive has already taken the file, for nobody else removes
    /// either, and it must not appear a second time.
    ///
    /// # Errors
    /// [`PickupError::NameTaken`] when a file of that name with other content is in the way.
    pub fn publish(&self, outputs: &[OutputRow]) -> Result<(), PickupError> {
        self.check()?;
        for kind in [OutputKind::Attachment, OutputKind::Output] {
            let mut any = false;
            for output in outputs.iter().filter(|output| output.kind == kind) {
                self.publish_one(output)?;
                any = true;
            }
            if any {
                durable::sync_dir(&self.dir, Step::DirectorySynced)?;
            }
        }
        Ok(durable::sync_dir(&self.temporary_dir(), Step::TemporariesGone)?)
    }

    fn publish_one(&self, output: &OutputRow) -> Result<(), PickupError> {
        let (from, to) = (self.temporary_path(&output.name), self.path(&output.name));
        match durable::rename_exclusive(&from, &to, Step::Renamed) {
            Ok(()) => Ok(()),
            Err(PathError { source, .. }) if source.kind() == io::ErrorKind::NotFound => self.check(),
            Err(PathError { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => {
                let (size, sha256) = durable::digest_file(&to)?;
                if (size, sha256) != (output.size, output.sha256) {
                    return Err(PickupError::NameTaken { name: output.name.clone() });
                }
                durable::remove(&from, Step::LeftoverRemoved)?;
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }
}
