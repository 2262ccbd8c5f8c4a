//! The right to delete files: announced to staging, so that a hold that is placed meanwhile waits for the end of it.

use std::time::{Duration, Instant};

use super::{EngineError, Shared};
use crate::staging::{Hold, PurgePermit, Staging};

/// How long before the announcement runs out nothing is begun any more: what is told by two clocks differs, and one
/// deletion may be under way.
const MARGIN: u32 = 4;

/// A purge that was announced.
pub(super) struct Permit {
    staging: Staging,
    permit: PurgePermit,
    until: Instant,
}

impl Permit {
    /// Announces a purge; `what` is for people. Its holds are those of this instant.
    pub(super) async fn begin(shared: &Shared, what: &str) -> Result<Self, EngineError> {
        let lasting = shared.config.staging.lease.get();
        // Before it is written: by our clock it ends no later than by the database's.
        let until = Instant::now() + (lasting - lasting / MARGIN);
        let permit = shared.staging.begin_purge(what, lasting).await?;
        Ok(Self { staging: Staging::clone(&shared.staging), permit, until })
    }

    /// The holds that stand.
    pub(super) fn holds(&self) -> &[Hold] {
        &self.permit.holds
    }

    /// Until when something may be deleted.
    pub(super) fn until(&self) -> Deadline {
        Deadline(self.until)
    }

    /// Takes the announcement back.
    pub(super) async fn end(self) -> Result<(), EngineError> {
        Ok(self.staging.end_purge(self.permit.id).await?)
    }
}

/// The end of a permit, for threads that delete.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline(Instant);

impl Deadline {
    /// Whether there is time left. Asked before each deletion, so that a process that was stopped in between deletes nothing
    /// under a hold that no longer waited for it.
    pub(super) fn lasts(self) -> bool {
        self.left() > Duration::ZERO
    }

    fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }
}
