//! A share in memory: what the file system does, and what an archive does to it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;

use super::store::EventNo;
use crate::pickup::{Marker, PickupError};
use crate::support::durable::PathError;

/// How the share answers the machines that use it. The archive reads it where it lies, whatever they see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    Well,
    /// Not mounted: what is reached is the empty directory below.
    Away,
    /// Read-only, or full.
    ReadOnly,
    /// Operations do not come back.
    Hanging,
}

/// What tells the markers of two directories apart.
pub(super) type ShareId = &'static str;

/// Temporary files, by the place of their rendering and their final name: what they hold, and whether they are complete.
pub(super) type Temporaries = BTreeMap<(i64, String), (Vec<EventNo>, bool)>;

/// A directory as a process sees it.
#[derive(Debug, Default)]
pub(super) struct Dir {
    pub(super) marker: bool,
    /// Files that are not published yet.
    pub(super) temporaries: Temporaries,
    pub(super) files: BTreeMap<String, Vec<EventNo>>,
    pub(super) acknowledged: BTreeSet<String>,
}

/// An adapter's share.
pub(super) struct SimShare {
    pub(super) mood: Mood,
    /// The share itself.
    pub(super) there: Dir,
    /// The directory that it is mounted over.
    below: Dir,
    /// Every name that ever appeared, with what it held.
    pub(super) appeared: BTreeMap<String, Vec<EventNo>>,
    /// What the archive took, or acknowledged.
    pub(super) taken: BTreeSet<String>,
}

impl SimShare {
    pub(super) fn new() -> Self {
        Self {
            mood: Mood::Well,
            there: Dir::default(),
            below: Dir::default(),
            appeared: BTreeMap::new(),
            taken: BTreeSet::new(),
        }
    }

    /// The directory that is reached now.
    pub(super) fn dir(&mut self) -> &mut Dir {
        if self.mood == Mood::Away { &mut self.below } else { &mut self.there }
    }

    /// As `dir`, to be changed.
    pub(super) fn writable(&mut self) -> Result<&mut Dir, PickupError> {
        if self.mood == Mood::ReadOnly {
            let (path, source) = (PathBuf::from("share"), io::Error::from(io::ErrorKind::ReadOnlyFilesystem));
            return Err(PickupError::Disk(PathError { action: "write", path, source }));
        }
        Ok(self.dir())
    }

    /// As `writable`, for temporary files: their directory is only where it was made.
    pub(super) fn temporaries(&mut self, id: ShareId) -> Result<&mut Temporaries, PickupError> {
        let here = self.id() == id;
        let dir = self.writable()?;
        if dir.marker && here {
            return Ok(&mut dir.temporaries);
        }
        let (path, source) = (PathBuf::from(".inprogress"), io::Error::from(io::ErrorKind::NotFound));
        Err(PickupError::Disk(PathError { action: "create", path, source }))
    }

    /// What the marker in the directory that is reached now says, if there is one.
    pub(super) fn id(&self) -> ShareId {
        if self.mood == Mood::Away { "below" } else { "there" }
    }

    /// Whether the directory that is reached now is the one that was opened, or in which a batch was rendered.
    pub(super) fn check(&mut self, id: &str) -> Result<(), PickupError> {
        if self.dir().marker && self.id() == id {
            return Ok(());
        }
        let (directory, adapter, found) = ("share".into(), "a".into(), "no such marker".into());
        Err(PickupError::NotTheShare { directory, adapter, found })
    }

    /// Opens the directory that is reached now. What lies below a mount point is usually not for the service to
    /// write to; where it is, a process that stood still between deciding to make a marker and making it could make
    /// one there.
    pub(super) fn open(&mut self, marker: Marker, below_is_writable: bool) -> Result<ShareId, PickupError> {
        let writable = self.mood != Mood::Away || below_is_writable;
        if marker == Marker::Create && !self.dir().marker && writable {
            self.writable()?.marker = true;
        }
        let id = self.id();
        self.check(id)?;
        Ok(id)
    }

    /// Whether the name is one the archive has dealt with.
    pub(super) fn is_taken(&self, name: &str) -> bool {
        self.taken.contains(name)
    }
}
