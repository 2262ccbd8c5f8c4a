//! Puts the manifests of an adapter's batches beside their outputs, for archives that keep the evidence with what it is about.
//!
//! A manifest is copied once it lies in the evidence directory, signed, which is a moment after its batch is published as a rule. Delivery never
//! waits for that; the purge of the batch does.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use sha2::{Digest as _, Sha256};

use super::adapter::AdapterShared;
use super::error::describe;
use super::render::discard;
use super::{EngineError, decide};
use crate::evidence::{Copy, copies, copy_name};
use crate::model::Ticks;
use crate::pickup::Draft;
use crate::staging::{BatchId, CopyRow, Lease, StagingError, Uncopied, Workplace};

/// The alert about a manifest that cannot be copied.
const ALERT: &str = "manifest-not-copied";

/// Puts copies for one adapter.
pub(super) struct Copier {
    desk: Arc<AdapterShared>,
    /// Batches that nothing but a person can help, and since when they are left alone.
    resting: HashMap<BatchId, Instant>,
}

impl Copier {
    pub(super) fn new(desk: &Arc<AdapterShared>) -> Self {
        Self { desk: Arc::clone(desk), resting: HashMap::new() }
    }

    /// Copies every manifest that can be copied now. Returns the batches that must not be purged yet, for want of their copies.
    ///
    /// # Errors
    /// When staging or the share is away. What is about one batch alone is its alert, and no error.
    pub(super) async fn turn(&mut self, lease: &Lease) -> Result<HashSet<BatchId>, EngineError> {
        let desk = Arc::clone(&self.desk);
        let mut missing = HashSet::new();
        let staging = &desk.shared.staging;
        let beside = desk.adapter.manifests_beside;
        let uncopied = if beside { staging.uncopied(&desk.adapter.name).await? } else { Vec::new() };
        // What is recorded is carried out, also for a batch that was given up since, or without the key that asked for it.
        let copying = staging.copying(&desk.adapter.name).await?;
        if uncopied.is_empty() && copying.is_empty() {
            return Ok(missing);
        }
        missing.extend(uncopied.iter().map(|one| one.batch).chain(copying.iter().copied()));
        self.resting.retain(|id, since| missing.contains(id) && since.elapsed() < decide::rest());
        let written = staging.log_size().await?.written;
        let signed_from = staging.log_keys().await?.first().map(|key| key.entry);
        for id in copying {
            if !self.resting.contains_key(&id) && self.settle(id, publish(&desk, lease, id).await).await? {
                missing.remove(&id);
            }
        }
        for one in uncopied {
            if one.entry >= written || self.resting.contains_key(&one.batch) {
                continue;
            }
            let is_signed = signed_from.is_some_and(|from| one.entry >= from);
            if self.settle(one.batch, put(&desk, lease, one, is_signed).await).await? {
                missing.remove(&one.batch);
            }
        }
        Ok(missing)
    }

    /// Whether it was done; trouble with one batch alone is its alert.
    async fn settle(&mut self, id: BatchId, done: Result<(), EngineError>) -> Result<bool, EngineError> {
        match done {
            Err(error) if decide::is_about_one_copy(&error) => {
                self.set_to_rest(id, &error).await?;
                Ok(false)
            }
            other => other.map(|()| true),
        }
    }

    /// Leaves a batch alone for a while, and says so.
    async fn set_to_rest(&mut self, id: BatchId, error: &EngineError) -> Result<(), EngineError> {
        self.resting.insert(id, Instant::now());
        let cure = match error {
            EngineError::Record(error) => format!("; {}", error.cure()),
            _ => String::new(),
        };
        let detail = format!("{}: {}{cure}", self.desk.subject(), describe(error));
        tracing::warn!(kind = ALERT, batch = id, detail, "alert");
        Ok(self.desk.shared.staging.raise_alert(ALERT, &format!("batch {id}"), &detail, Ticks::now()).await?)
    }
}

/// Copies all that can be copied, once. The lease is kept.
pub(super) async fn once(desk: &Arc<AdapterShared>) -> Result<(), EngineError> {
    match desk.tenure.hold().await? {
        Some(lease) => Copier::new(desk).turn(&lease).await.map(drop),
        None => Ok(()),
    }
}

/// Writes the copies of one batch under temporary names, records them, and puts them beside the outputs.
async fn put(
    desk: &Arc<AdapterShared>,
    lease: &Lease,
    Uncopied { batch: id, entry }: Uncopied,
    is_signed: bool,
) -> Result<(), EngineError> {
    let staging = &desk.shared.staging;
    let gone = || StagingError::Refused { detail: format!("there is no batch {id} with a manifest") };
    let batch = staging.batch(id).await?.ok_or_else(gone)?;
    let manifest = staging.log_entries(entry, 1).await?.pop().ok_or_else(gone)?.bytes;
    let name = copy_name(&batch.adapter, batch.interval_end, id);
    let dir = desk.shared.config.evidence_dir();
    let read = tokio::task::spawn_blocking(move || copies(&dir, (entry, manifest), is_signed, name));
    let copies = read.await.map_err(|panic| EngineError::TaskPanicked { detail: panic.to_string() })??;
    let (share, token) = (desk.share(lease).await?, lease.token);
    let write = {
        let share = share.clone();
        move || {
            share.owns(&batch.workplace)?;
            let draft = Draft::begin(&share, token)?;
            copies.iter().try_for_each(|copy| draft.write_beside(&copy.name, &copy.bytes))?;
            let workplace = draft.keep()?;
            Ok((copies.iter().map(|copy| row(copy, &workplace)).collect::<Vec<_>>(), workplace))
        }
    };
    let (rows, workplace) = desk.lane.run("copying a manifest to", write).await?;
    match staging.record_copies(lease, id, &rows).await {
        Ok(()) => publish(desk, lease, id).await,
        Err(error) => {
            // While it is not known whether they were recorded, as after a lost connection, they must stay.
            if let StagingError::LeaseLost { .. } | StagingError::Refused { .. } = &error {
                discard(&share, &desk.lane, workplace).await;
            }
            match error {
                // A person gave the batch up in this moment.
                StagingError::Refused { .. } => Ok(()),
                error => Err(error.into()),
            }
        }
    }
}

/// Puts what is recorded beside the outputs.
async fn publish(desk: &Arc<AdapterShared>, lease: &Lease, id: BatchId) -> Result<(), EngineError> {
    let staging = &desk.shared.staging;
    let share = desk.share(lease).await?;
    // As recorded, not as written here: the two differ when a recording arrived although it seemed to have failed.
    let copies = staging.copies(id).await?;
    let Some(workplace) = copies.first().map(|copy| copy.workplace.clone()) else { return Ok(()) };
    let (there, from) = (share.clone(), workplace.clone());
    let put = desk.lane.run("copying a manifest to", move || there.publish_beside(&from, &copies)).await;
    if put.is_err() {
        // Whoever took the lease over has done it, perhaps, and removed the workplace: that is no trouble with the share.
        desk.tenure.confirm(lease).await?;
    }
    put?;
    // Before the state: a crash between the two must not leave an alert that nothing closes any more.
    staging.close_alert(ALERT, &format!("batch {id}"), Ticks::now()).await?;
    staging.mark_copied(lease, id, Ticks::now()).await?;
    discard(&share, &desk.lane, workplace).await;
    Ok(())
}

fn row(copy: &Copy, workplace: &Workplace) -> CopyRow {
    CopyRow {
        name: copy.name.clone(),
        size: copy.bytes.len() as u64,
        sha256: Sha256::digest(&copy.bytes).into(),
        workplace: workplace.clone(),
        copied_at: None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed test should panic")]
mod tests {
    use super::*;
    use crate::pickup::{BatchNames, OutputPlace};

    #[test]
    fn a_copy_is_named_as_the_outputs_of_its_batch_are() {
        let end = Ticks::parse("2026-11-22T10:15:00Z").unwrap();
        let output = BatchNames::new("vantage", end, 42).output(OutputPlace::default(), "", false);
        assert_eq!(copy_name("vantage", end, 42), format!("{output}manifest.json"));
    }
}
