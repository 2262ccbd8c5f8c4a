//! One adapter's pickup directory: its marker, its temporary files, and publication by rename.
//!
//! An unmounted share looks like an empty directory, and an empty directory looks like "all collected".
//! A marker file tells the two apart: without it nothing is published, collected or purged.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::PickupError;
use super::draft::temporary_path;
use crate::staging::{OutputKind, OutputRow, Workplace};
use crate::support::durable::{self, PathError};
use crate::support::step::{Commit, Step};

/// Directory of temporary files below the share; archives skip it by its dot, and any file in it by its ending.
pub(super) const TEMPORARY_DIR: &str = ".inprogress";
pub(super) const TEMPORARY_ENDING: &str = "_inprogress";
/// Its first line names the adapter, its second the share: an id that no other share has.
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
    id: String,
}

impl Share {
    /// Opens the share of an adapter.
    ///
    /// # Errors
    /// [`PickupError::NotTheShare`] when the marker is missing or names another adapter,
    /// [`PickupError::Disk`] when the file system refuses.
    pub fn open(dir: &Path, adapter: &str, marker: Marker) -> Result<Self, PickupError> {
        let mut share = Self { dir: dir.to_owned(), adapter: adapter.to_owned(), id: String::new() };
        if marker == Marker::Create && !share.marker().exists() {
            durable::create_dir(&share.temporary_dir())?;
            share.mark()?;
        }
        share.id = share.read_marker()?;
        Ok(share)
    }

    /// Whether the directory still is the share it was.
    ///
    /// # Errors
    /// As [`Share::open`].
    pub fn check(&self) -> Result<(), PickupError> {
        let found = self.read_marker()?;
        if found == self.id {
            return Ok(());
        }
        Err(self.wrong(format!("its marker says {found:?}, and it was the share {:?}", self.id)))
    }

    /// Writes the marker, unless another process is faster: then that one's counts.
    fn mark(&self) -> Result<(), PickupError> {
        let id = uuid::Uuid::new_v4();
        let text = format!("{}\n{id}\n", self.adapter);
        match durable::write_new(&self.marker(), text.as_bytes(), Commit::MARKER_WRITTEN) {
            Err(error) if error.source.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => Ok(other?),
        }
    }

    /// The id in the marker; empty in one of an earlier version.
    fn read_marker(&self) -> Result<String, PickupError> {
        let marker = self.marker();
        let text = fs::read_to_string(&marker)
            .map_err(|error| self.wrong(format!("its marker {} cannot be read: {error}", marker.display())))?;
        let mut lines = text.lines().map(str::trim_end);
        match lines.next().unwrap_or_default() {
            owner if owner == self.adapter => Ok(lines.next().unwrap_or_default().to_owned()),
            owner => Err(self.wrong(format!("its marker names adapter {owner:?}"))),
        }
    }

    /// Whether a name among the temporary files is a marker that was never put in place. Once the share is open
    /// it has its marker, so such a file is worthless; whoever may still be writing it finds the marker there.
    pub(super) fn is_marker_draft(name: &str) -> bool {
        name.strip_prefix(MARKER).is_some_and(|rest| rest.starts_with('-') && rest.ends_with(".tmp"))
    }

    pub(super) fn wrong(&self, found: String) -> PickupError {
        PickupError::NotTheShare { directory: self.dir.display().to_string(), adapter: self.adapter.clone(), found }
    }

    /// What tells this share from any other; empty when its marker is of an earlier version.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// The directory from which the archive collects.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn marker(&self) -> PathBuf {
        self.temporary_dir().join(MARKER)
    }

    pub(super) fn temporary_dir(&self) -> PathBuf {
        self.dir.join(TEMPORARY_DIR)
    }

    /// Where a file lies once it is published.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Puts the files of a rendered batch on the share, attachments first, and makes their names durable.
    ///
    /// May be repeated after a crash at any point: a temporary file is renamed, a published one left
    /// alone. When neither is there the archive has already taken the file, for nobody else removes
    /// either, and it must not appear a second time. Two processes may do this at once: each file is one
    /// file, and can be renamed once. `pause` is called between parts of the reading where a name is taken already.
    ///
    /// # Errors
    /// [`PickupError::NameTaken`] when a file of that name with other content is in the way;
    /// [`PickupError::NotTheShare`] also when the batch was rendered on another share.
    pub fn publish(
        &self,
        workplace: &Workplace,
        outputs: &[OutputRow],
        pause: &mut dyn FnMut(),
    ) -> Result<(), PickupError> {
        self.check()?;
        let from = self.expect(workplace)?;
        for kind in OutputKind::ALL {
            let mut any = false;
            for output in outputs.iter().filter(|output| output.kind == kind) {
                let file = (output.name.as_str(), output.size, output.sha256);
                self.publish_one(&from, file, Step::Renamed, pause)?;
                any = true;
            }
            if any {
                durable::sync_dir(&self.dir, Step::DirectorySynced)?;
            }
        }
        Ok(durable::sync_dir(&from, Step::TemporariesGone)?)
    }

    pub(super) fn publish_one(
        &self,
        from: &Path,
        (name, size, sha256): (&str, u64, [u8; 32]),
        step: Step,
        pause: &mut dyn FnMut(),
    ) -> Result<(), PickupError> {
        let (from, to) = (temporary_path(from, name), self.path(name));
        match durable::rename_exclusive(&from, &to, step) {
            Ok(()) => Ok(()),
            Err(PathError { source, .. }) if source.kind() == io::ErrorKind::NotFound => self.check(),
            Err(PathError { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => {
                if durable::digest_file_in_parts(&to, pause)? != (size, sha256) {
                    return Err(PickupError::NameTaken { name: name.to_owned() });
                }
                durable::remove(&from, Step::LeftoverRemoved)?;
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }
}
