//! A rendering's own directory for temporary files.
//!
//! Two workers may render the same batch at once when one was paused beyond its lease, so each rendering
//! writes where no other does. Which rendering counts is decided by staging, which records the workplace of
//! the first that still held its lease, and only from there is anything published.
//!
//! A workplace's name begins with the token of the lease under which it was made. Since staging takes no
//! recording under an older token, whoever holds the newest one knows which workplaces are worthless for
//! ever: those of tokens up to its own that are not recorded. Nobody deletes any other but their own.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::share::TEMPORARY_ENDING;
use super::{PickupError, Share};
use crate::staging::Workplace;
use crate::support::durable::{self, WithPath as _};
use crate::support::step::Step;

/// Counts the renderings of this process: a rendering that was given up may still be writing on a hanging share.
static RENDERINGS: AtomicU64 = AtomicU64::new(1);

/// A rendering that is being written. Dropped without [`Draft::keep`], it is deleted.
#[derive(Debug)]
pub struct Draft {
    share: Share,
    directory: String,
    kept: bool,
}

impl Draft {
    /// Makes a workplace for one rendering under a lease of this token.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn begin(share: &Share, token: i64) -> Result<Self, PickupError> {
        loop {
            let directory = format!("{token}-{}", RENDERINGS.fetch_add(1, Ordering::Relaxed));
            let path = share.temporary_dir().join(&directory);
            match durable::create_new_dir(&path, Step::WorkplaceMade) {
                // An earlier process of the same home had the same token and counted from 1, too.
                Err(error) if error.source.kind() == io::ErrorKind::AlreadyExists => {}
                other => {
                    other?;
                    return Ok(Self { share: share.clone(), directory, kept: false });
                }
            }
        }
    }

    /// The share it will be published on.
    pub fn share(&self) -> &Share {
        &self.share
    }

    /// Where a file of it is written.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.share.workplace_dir(&self.directory).join(temporary_name(name))
    }

    /// Deletes a finished file of it again.
    ///
    /// # Errors
    /// When it cannot be deleted.
    pub fn remove(&self, name: &str) -> Result<(), PickupError> {
        durable::remove(&self.path(name), Step::LeftoverRemoved)?;
        Ok(())
    }

    /// Makes the names of all its files durable and leaves them to whoever publishes them. Must come before the
    /// batch is recorded as rendered: from then on a missing temporary file means that it was published.
    ///
    /// # Errors
    /// When a directory cannot be synced.
    pub fn keep(mut self) -> Result<Workplace, PickupError> {
        durable::sync_dir(&self.share.workplace_dir(&self.directory), Step::TemporariesSynced)?;
        durable::sync_dir(&self.share.temporary_dir(), Step::WorkplaceSynced)?;
        self.kept = true;
        Ok(Workplace { share: self.share.id().to_owned(), directory: std::mem::take(&mut self.directory) })
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.kept {
            // Should this fail, whoever takes the lease next clears it.
            let _ = durable::remove_tree(&self.share.workplace_dir(&self.directory), Step::LeftoverRemoved);
        }
    }
}

impl Share {
    /// Deletes a workplace of one's own: its files are published, or staging has refused to record them. When it
    /// is not known whether they were recorded it must stay.
    ///
    /// # Errors
    /// When it cannot be deleted.
    pub fn discard(&self, workplace: &Workplace) -> Result<(), PickupError> {
        if workplace.directory.is_empty() {
            return Ok(());
        }
        let path = self.workplace_dir(&workplace.directory);
        durable::remove_tree(&path, Step::WorkplaceRemoved)?;
        Ok(())
    }

    /// Deletes what renderings that came to nothing left behind, up to and including those of the lease `token`.
    /// `recorded`: the workplaces of batches that are rendered and not yet published, read after the
    /// lease was taken.
    ///
    /// # Errors
    /// When the directory cannot be listed or something in it not be deleted.
    pub fn clear_workplaces(&self, token: i64, recorded: &[Workplace]) -> Result<(), PickupError> {
        let dir = self.temporary_dir();
        for entry in fs::read_dir(&dir).at("list", &dir)? {
            let path = entry.at("list", &dir)?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            if recorded.iter().any(|kept| kept.directory == name) {
                continue;
            }
            if token_of(name).is_some_and(|made_under| made_under <= token) {
                durable::remove_tree(&path, Step::LeftoverRemoved)?;
            } else if Self::is_marker_draft(name)
                || name.ends_with(TEMPORARY_ENDING) && recorded.iter().all(|kept| !kept.directory.is_empty())
            {
                durable::remove(&path, Step::LeftoverRemoved)?;
            }
        }
        Ok(())
    }

    /// That a batch was rendered on this share, and that its workplace is still there: only then does a
    /// missing temporary file mean that it was published.
    pub(super) fn expect(&self, workplace: &Workplace) -> Result<PathBuf, PickupError> {
        self.owns(workplace)?;
        let dir = self.workplace_dir(&workplace.directory);
        match fs::metadata(&dir) {
            Ok(_) => Ok(dir),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(self.wrong(format!("the directory {} of a rendered batch is missing", dir.display())))
            }
            Err(error) => Err(error).at("look at", &dir)?,
        }
    }

    /// That a batch was rendered on this share, not on another that an earlier holder of the lease was configured with.
    ///
    /// # Errors
    /// [`PickupError::NotTheShare`] when it was not.
    pub fn owns(&self, workplace: &Workplace) -> Result<(), PickupError> {
        if workplace.share.is_empty() || workplace.share == self.id() {
            return Ok(());
        }
        let (here, there) = (self.id(), &workplace.share);
        Err(self.wrong(format!("its marker says {here:?}, and a batch was written on the share {there:?}")))
    }

    fn workplace_dir(&self, directory: &str) -> PathBuf {
        // Joining an empty name would end the path in a slash.
        if directory.is_empty() { self.temporary_dir() } else { self.temporary_dir().join(directory) }
    }
}

/// Where a file lies in a workplace until it is published.
pub(super) fn temporary_path(dir: &Path, name: &str) -> PathBuf {
    dir.join(temporary_name(name))
}

fn temporary_name(name: &str) -> String {
    format!("{name}{TEMPORARY_ENDING}")
}

/// The token in a workplace's name; none if it is no workplace.
fn token_of(name: &str) -> Option<i64> {
    let (token, number) = name.split_once('-')?;
    number.parse::<u64>().ok()?;
    token.parse().ok()
}
