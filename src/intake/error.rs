//! What can go wrong between the wire and staging, in words for operators. Driver errors end here.

use crate::staging::StagingError;
use crate::support::durable::PathError;

/// Why intake, set-up or publishing stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IntakeError {
    /// The configuration says something that cannot work. Retrying never helps.
    #[error("{key}: {detail}")]
    BadSetting {
        /// The configuration key, e.g. `amqp.url`.
        key: &'static str,
        /// What was expected and found; never a secret.
        detail: String,
    },
    /// The broker cannot be reached, refused the login, or ended the session. Retrying may help.
    #[error("broker {address}: {detail}")]
    Broker {
        /// Host and port.
        address: String,
        /// What it said.
        detail: String,
    },
    /// An exchange or queue is not there.
    #[error("{what} {name:?} does not exist on the broker: run `chancery setup`, or correct amqp.{key}")]
    Missing {
        /// `exchange` or `queue`.
        what: &'static str,
        /// Its name.
        name: String,
        /// The configuration key that names it.
        key: &'static str,
    },
    /// An exchange or queue is there, but made differently.
    #[error(
        "{what} {name:?} exists with other properties ({detail}): delete it once it is empty and run `chancery setup` again, \
         or name another in amqp.{key}"
    )]
    Mismatch {
        /// `exchange`, `queue`, `dead-letter exchange` or `dead-letter queue`.
        what: &'static str,
        /// Its name.
        name: String,
        /// The configuration key that names it.
        key: &'static str,
        /// What the broker said.
        detail: String,
    },
    /// A published event reached no queue. Retrying does not help before the bindings are mended.
    #[error("event {event:?} reached no queue: exchange {exchange:?} has no binding for routing key {routing_key:?}")]
    Unroutable {
        /// The event's id.
        event: String,
        /// Where it was published.
        exchange: String,
        /// With which key.
        routing_key: String,
    },
    /// The broker refused to keep a published event. Retrying may help.
    #[error("the broker refused to keep event {event:?}")]
    NotKept {
        /// The event's id.
        event: String,
    },
    /// Staging was away for longer than a run that must end can wait.
    #[error(transparent)]
    Staging(#[from] StagingError),
    /// The spool directory cannot be used.
    #[error(transparent)]
    Path(#[from] PathError),
}

/// A result of intake.
pub type Result<T, E = IntakeError> = std::result::Result<T, E>;

impl IntakeError {
    /// Whether the same call may succeed later without anyone mending anything.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Broker { .. } | Self::NotKept { .. } => true,
            Self::Staging(error) => error.retryable(),
            _ => false,
        }
    }
}
