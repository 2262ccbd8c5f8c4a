//! Small files that lie beside the outputs of a published batch and are no part of it: its manifest, and the signature on that.
//!
//! They come as outputs do: durable under temporary names, recorded, renamed. So each appears once, whatever is cut off.

use std::io::Write as _;

use sha2::{Digest as _, Sha256};

use super::{Draft, PickupError, Share};
use crate::staging::{CopyRow, Workplace};
use crate::support::durable::{self, WithPath as _};
use crate::support::step::Step;

impl Draft {
    /// Writes a small file that will lie beside the outputs.
    ///
    /// # Errors
    /// When writing or syncing fails, or [`PickupError::ReadBack`] when the disk gives other bytes than it was given.
    pub fn write_beside(&self, name: &str, bytes: &[u8]) -> Result<(), PickupError> {
        let path = self.path(name);
        let mut file = durable::create_new(&path, Step::CopyCreated)?;
        file.write_all(bytes).at("write", &path)?;
        durable::sync_file(&file, &path, Step::CopySynced)?;
        drop(file);
        if durable::digest_file(&path)? != (bytes.len() as u64, Sha256::digest(bytes).into()) {
            return Err(PickupError::ReadBack { name: name.to_owned() });
        }
        Ok(())
    }
}

impl Share {
    /// Puts recorded copies beside the outputs, in their order, and makes their names durable. May be repeated, as
    /// [`Share::publish`] may: one that is under neither name was taken.
    ///
    /// # Errors
    /// As [`Share::publish`].
    pub fn publish_beside(&self, workplace: &Workplace, copies: &[CopyRow]) -> Result<(), PickupError> {
        self.check()?;
        let from = self.expect(workplace)?;
        for copy in copies {
            self.publish_one(&from, (&copy.name, copy.size, copy.sha256), Step::CopyRenamed, &mut || {})?;
        }
        durable::sync_dir(self.dir(), Step::CopiesSynced)?;
        Ok(durable::sync_dir(&from, Step::CopiesSynced)?)
    }
}
