//! Whose fault it is when a document cannot be made: one conversation's, the batch's, or that of something outside.

use std::io;
use std::path::Path;

use super::super::EngineError;
use super::super::error::describe;
use crate::package::PackageError;
use crate::pickup::PickupError;
use crate::staging::SetAside;
use crate::support::durable::WithPath as _;
use crate::transform::{JoinError, TransformError};
use crate::vault::VaultError;

/// Why no more documents can be made of a batch.
#[derive(Debug)]
pub(in super::super) enum DocumentError {
    /// The share, the vault or a disk refused; the batch is rendered again later.
    Engine(EngineError),
    /// The batch cannot be rendered as things are; it is set aside.
    Batch {
        /// For people.
        reason: String,
        /// Which conversations failed, as far as known.
        conversations: Vec<SetAside>,
    },
}

/// Why one conversation is in no file.
#[derive(Debug)]
pub(super) enum Fault {
    /// It cannot be rendered; others may.
    Conversation {
        /// For people.
        reason: String,
        /// Whether that took all the time or memory there is.
        costly: bool,
    },
    /// Nothing more can.
    Batch(DocumentError),
}

impl DocumentError {
    pub(super) fn batch(reason: String) -> Self {
        Self::Batch { reason, conversations: Vec::new() }
    }

    /// A file on the share could not be written.
    pub(super) fn writing(error: io::Error, dir: &Path) -> Self {
        Self::pickup(Err::<(), _>(error).at("write", dir).err().map(PickupError::from))
    }

    fn pickup(error: Option<PickupError>) -> Self {
        let unknown = || EngineError::TaskPanicked { detail: "an error without a reason".into() };
        Self::Engine(error.map_or_else(unknown, EngineError::Pickup))
    }
}

impl<E: Into<EngineError>> From<E> for DocumentError {
    fn from(error: E) -> Self {
        Self::Engine(error.into())
    }
}

impl From<DocumentError> for Fault {
    fn from(error: DocumentError) -> Self {
        Self::Batch(error)
    }
}

impl From<TransformError> for Fault {
    fn from(error: TransformError) -> Self {
        match error {
            TransformError::Input { .. } | TransformError::Failed { .. } | TransformError::Invalid { .. } => {
                Self::conversation(describe(&error))
            }
            TransformError::TimedOut { .. } | TransformError::WorkerDied { .. } => {
                Self::Conversation { reason: describe(&error), costly: true }
            }
            // A stylesheet that cannot be used, or a machine that starts no process.
            _ => Self::Batch(DocumentError::batch(describe(&error))),
        }
    }
}

impl Fault {
    pub(super) fn conversation(reason: String) -> Self {
        Self::Conversation { reason, costly: false }
    }

    /// A result could not be joined with those before it. `dir`: where the joined file lies.
    pub(super) fn joining(error: JoinError, dir: &Path) -> Self {
        match error {
            JoinError::Write(source) => Self::Batch(DocumentError::writing(source, dir)),
            JoinError::Encoding { .. } => Self::Batch(DocumentError::batch(error.to_string())),
            _ => Self::conversation(error.to_string()),
        }
    }

    /// A packaging document gave no files. `dir`: where they were to be.
    pub(super) fn packaging(error: PackageError, dir: &Path) -> Self {
        match error {
            PackageError::Output(source) => Self::Batch(DocumentError::writing(source, dir)),
            PackageError::Attachment { line, name, source } => match source.downcast::<VaultError>() {
                Ok(VaultError::Damaged { expected }) => {
                    Self::conversation(VaultError::Damaged { expected }.to_string())
                }
                Ok(error) => Self::Batch(error.into()),
                Err(source) => Self::conversation(describe(&PackageError::Attachment { line, name, source })),
            },
            error => Self::conversation(describe(&error)),
        }
    }
}
