//! The share from which the third-party archive collects.
//!
//! Files appear whole or not at all, attachments before the output that refers to them, under names
//! that are never used twice. Collection is proven by what is seen on the share, never assumed.

mod beside;
mod collect;
mod draft;
mod name;
mod purge;
mod share;
mod temporary;

pub use collect::{Seen, Sighting, look};
pub use draft::Draft;
pub use name::{BatchNames, OutputPlace};
pub use purge::Purge;
pub use share::{Marker, Share};
pub use temporary::{Compression, Temporary};

#[cfg(test)]
mod tests;

use crate::support::durable::PathError;

/// Why the share could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PickupError {
    /// The file system refused. Retrying helps once space, rights or the mount return.
    #[error(transparent)]
    Disk(#[from] PathError),
    /// The directory is not the share it was: not mounted, perhaps. Retrying helps once it is back.
    #[error(
        "{directory} is not the pickup share of adapter {adapter}: {found}; mount the share again, or run `chancery setup` if it was replaced on purpose"
    )]
    NotTheShare {
        /// The configured directory.
        directory: String,
        /// The adapter.
        adapter: String,
        /// What is wrong with it.
        found: String,
    },
    /// The bytes read back are not the bytes written. Retrying writes them anew.
    #[error("{name} was read back with other bytes than were written")]
    ReadBack {
        /// The file.
        name: String,
    },
    /// A file of that name is already there with other content. Retrying never helps.
    #[error("{name} is already on the share with other content; it was not replaced")]
    NameTaken {
        /// The file.
        name: String,
    },
    /// A file that was seen to be gone from the share is there again. Retrying never helps.
    #[error(
        "{name} is on the share although it was seen to be taken; it was not deleted: let the archive take it, or \
         remove it if the archive has it"
    )]
    Reappeared {
        /// The file.
        name: String,
    },
    /// The file on the share is no longer what was published. Retrying never helps.
    #[error("{name} was changed on the share after it was published; it was not deleted")]
    Changed {
        /// The file.
        name: String,
    },
    /// The time for which deleting was announced has run out. Retrying goes on from where it stopped.
    #[error("deleting took longer than it was announced for; the rest follows")]
    OutOfTime,
}

impl PickupError {
    /// Whether the same call may succeed later without anyone mending the files.
    pub fn retryable(&self) -> bool {
        matches!(self, Self::Disk(_) | Self::NotTheShare { .. } | Self::ReadBack { .. } | Self::OutOfTime)
    }
}
