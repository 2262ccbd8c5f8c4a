//! What a batch says of its files: of each one that came what it is, of the others why they are missing.
//!
//! It is settled once, before the batch is rendered for the first time, and never asked again: a file that comes between
//! two renderings changes none of the batch's bytes. It follows in a supplement.

use std::collections::HashMap;

use super::{EngineError, Shared, decide};
use crate::assemble::CapturedFile;
use crate::pickup::BatchNames;
use crate::staging::{BatchRow, Capture, CaptureRow, Lease, PendingFile, Seq};

/// Why a file is missing that nobody was asked for yet.
const NOT_ASKED: &str = "it has not been asked for yet";

/// Settles what the batch says of files that have not come, unless that was done before.
pub(super) async fn settle(shared: &Shared, batch: &BatchRow, lease: &Lease) -> Result<(), EngineError> {
    // A supplement of files holds those that have come.
    if batch.completes.is_some() {
        return Ok(());
    }
    let staging = &shared.staging;
    let mut pending = staging.pending_files(batch.range).await?;
    if batch.supplement_to.is_some() {
        let rooms: Vec<_> = staging.set_aside(batch.id).await?.into_iter().map(|(_, one)| one.room).collect();
        pending.retain(|file| rooms.contains(&file.room));
    }
    // What is less than claimed was waited for long enough: it is what there is.
    let short: Vec<CaptureRow> = pending
        .iter()
        .filter_map(|file| Some(CaptureRow { seq: file.seq, outcome: file.meanwhile.clone()? }))
        .collect();
    if !short.is_empty() {
        staging.record_captures(&short).await?;
    }
    let late = pending.iter().filter(|file| file.meanwhile.is_none());
    let mut missing: Vec<(Seq, String)> = late.map(|file| (file.seq, told(shared, file))).collect();
    if batch.supplement_to.is_none() {
        let captures = staging.captures(batch.range).await?;
        let max = shared.config.files.with_batch_max;
        let large = decide::too_large_to_go_along(&captures, max.get());
        missing.extend(large.into_iter().map(|seq| {
            (
                seq,
                format!(
                    "it would hold up the batch, whose files are larger than files.with_batch_max = {max}; it follows"
                ),
            )
        }));
    }
    if missing.is_empty() { Ok(()) } else { Ok(staging.tell_files(lease, batch.id, &missing).await?) }
}

fn told(shared: &Shared, file: &PendingFile) -> String {
    let reason = file.reason.as_deref().unwrap_or(NOT_ASKED);
    let deadline = file.received.plus(shared.config.files.deadline.get());
    format!("not yet: {reason}; it follows if it comes before {}", deadline.iso())
}

/// What the batch says of each file, with the name its copy gets on the share: one copy for each content.
pub(super) async fn captured(
    shared: &Shared,
    batch: &BatchRow,
    names: &BatchNames,
) -> Result<HashMap<Seq, CapturedFile>, EngineError> {
    let staging = &shared.staging;
    let mut files: HashMap<Seq, CapturedFile> = HashMap::new();
    for owed in staging.owed_files(batch.id).await? {
        files.insert(owed.seq, CapturedFile::Missing { reason: owed.reason });
    }
    let mut copies: HashMap<[u8; 32], String> = HashMap::new();
    for row in staging.captures(batch.range).await? {
        files.entry(row.seq).or_insert_with(|| match row.outcome {
            Capture::Stored { sha256, size, mismatch, extension } => {
                // The first name that came with a content ends the name of its one copy.
                let name = copies.entry(sha256).or_insert_with(|| names.attachment(&sha256, extension.as_deref()));
                CapturedFile::Stored { name: name.clone(), sha256, size, mismatch }
            }
            Capture::Missing { reason } => CapturedFile::Missing { reason },
        });
    }
    Ok(files)
}
