//! What stops the engine, or one of its tasks for a while.

use std::error::Error;

use crate::evidence::key::KeyError;
use crate::evidence::record::RecordError;
use crate::intake::IntakeError;
use crate::pickup::PickupError;
use crate::staging::StagingError;
use crate::support::durable::PathError;
use crate::transform::TransformError;
use crate::vault::VaultError;

/// Why the engine, or a task of it, could not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// Another process works with the same home directory.
    #[error("another chancery (process {holder}) is working in {directory}")]
    Locked {
        /// Its process id, as far as the lock file tells.
        holder: String,
        /// The state directory.
        directory: String,
    },
    /// Staging.
    #[error(transparent)]
    Staging(#[from] StagingError),
    /// Intake.
    #[error(transparent)]
    Intake(#[from] IntakeError),
    /// The pickup share.
    #[error(transparent)]
    Pickup(#[from] PickupError),
    /// The vault.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// A transform that cannot be loaded.
    #[error(transparent)]
    Transform(#[from] TransformError),
    /// A purge took longer than it was announced for; it goes on from the beginning.
    #[error("the purge took longer than it was announced for (staging.lease); it is begun again")]
    PermitLapsed,
    /// A directory or file of our own.
    #[error(transparent)]
    Path(#[from] PathError),
    /// The key that signs evidence cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The evidence directory.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A record of evidence cannot be written as JSON. A defect.
    #[error("a record of evidence cannot be written: {detail}")]
    Unwritable {
        /// What the serialiser said.
        detail: String,
    },
    /// A task ended that must not end. A defect; the supervisor restarts the service.
    #[error("a task of the pipeline ended: {detail}")]
    TaskPanicked {
        /// What is known of it.
        detail: String,
    },
}

impl EngineError {
    pub(super) fn unwritable(error: serde_json::Error) -> Self {
        Self::Unwritable { detail: error.to_string() }
    }
}

/// The message with its causes, in one line.
pub(super) fn describe(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        if !text.contains(&message) {
            text = format!("{text}: {message}");
        }
        cause = error.source();
    }
    text
}
