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

/// A directory as a process sees it.
#[derive(Debug, Default)]
pub(super) struct Dir {
    pub(super) marker: bool,
    /// Temporary files, by the place of their rendering and their final name; complete or not.
    pub(super) temporaries: BTreeMap<(i64, String), (Vec<EventNo>, bool)>,
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

    /// As `writable`, for temporary files: their directory is made together with the marker.
    pub(super) fn temporaries(&mut self) -> Result<&mut BTreeMap<(i64, String), (Vec<EventNo>, bool)>, PickupError> {
        let dir = self.writable()?;
        if dir.marker {
            return Ok(&mut dir.temporaries);
        }
        let (path, source) = (PathBuf::from(".inprogress"), io::Error::from(io::ErrorKind::NotFound));
        Err(PickupError::Disk(PathError { action: "create", path, source }))
    }

    pub(super) fn check(&mut self) -> Result<(), PickupError> {
        if self.dir().marker {
            return Ok(());
        }
        let (directory, adapter, found) = ("share".into(), "a".into(), "no marker".into());
        Err(PickupError::NotTheShare { directory, adapter, found })
    }

    pub(super) fn open(&mut self, marker: Marker) -> Result<(), PickupError> {
        if marker == Marker::Create && !self.dir().marker {
            self.writable()?.marker = true;
        }
        self.check()
    }

    /// Whether the name is one the archive has dealt with.
    pub(super) fn is_taken(&self, name: &str) -> bool {
        self.taken.contains(name)
    }
}
