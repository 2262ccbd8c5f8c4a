//! What the log of evidence says of a batch, put together from what rendering knows of it.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::EngineError;
use crate::assemble::{CapturedFile, Taken};
use crate::evidence::list::{Became, EventList, Gathering, Listed};
use crate::evidence::manifest::{
    AsideRoom, BecameCounts, Events, FileCounts, Interval, ManifestBody, NewManifest, Output, Range, SourceCount,
    TypeCount, Written,
};
use crate::staging::{BatchCounts, BatchRow, OutputRow, RoomlessEvent, Seq, SetAside, StagedEvent};

/// What a batch holds, as far as its event list does not tell.
#[derive(Default)]
pub(super) struct Holds<'a> {
    pub(super) counts: BatchCounts,
    pub(super) captured: FileCounts,
    pub(super) set_aside: &'a [SetAside],
    /// The rooms' URIs, in the order of `set_aside`.
    pub(super) rooms_aside: &'a [Arc<str>],
    pub(super) outputs: &'a [OutputRow],
}

/// Adds an event of a room to a batch's list.
pub(super) fn add(list: &mut Gathering, event: &StagedEvent, taken: Taken) -> io::Result<()> {
    list.add(&Listed {
        source: &event.source,
        id: &event.id,
        content: Sha256::digest(&event.raw).into(),
        kind: event.kind,
        sequence: event.sequence,
        room: Some(event.room),
        became: match taken {
            Taken::Written => Became::Written,
            Taken::Signal => Became::Signal,
            Taken::LeftOut => Became::LeftOut,
        },
    })
}

/// Adds an event without a room.
pub(super) fn add_roomless(list: &mut Gathering, event: &RoomlessEvent) -> io::Result<()> {
    list.add(&Listed {
        source: &event.source,
        id: &event.id,
        content: Sha256::digest(&event.raw).into(),
        kind: event.kind,
        sequence: event.sequence,
        room: None,
        became: Became::NoRoom,
    })
}

/// How many files were captured, and how many could not be.
pub(super) fn files(captures: &HashMap<Seq, CapturedFile>) -> FileCounts {
    let missing = captures.values().filter(|file| matches!(file, CapturedFile::Missing { .. })).count() as u64;
    FileCounts { captured: captures.len() as u64 - missing, missing }
}

/// The manifest of a batch.
pub(super) fn of_batch(batch: &BatchRow, holds: &Holds<'_>, list: EventList) -> Result<NewManifest, EngineError> {
    let tallies = &list.tallies;
    let became = |became| tallies.became.get(&became).copied().unwrap_or_default();
    let counts = &holds.counts;
    let body = ManifestBody {
        software: concat!("chancery ", env!("CARGO_PKG_VERSION")).to_owned(),
        adapter: batch.adapter.clone(),
        batch: batch.id,
        supplement_to: batch.supplement_to,
        interval: Interval { start: batch.interval_start.iso(), end: batch.interval_end.iso() },
        cut_at: batch.cut_at.iso(),
        range: Range { after: batch.range.from, last: batch.range.to },
        events: Events { count: list.events, root: list.root, size: list.size(), sha256: list.sha256 },
        types: tallies
            .types
            .iter()
            .map(|(name, events)| TypeCount { r#type: (*name).into(), events: *events })
            .collect(),
        sources: tallies
            .sources
            .iter()
            .map(|(source, tally)| SourceCount {
                source: source.to_string(),
                events: tally.events,
                unnumbered: tally.unnumbered,
                first_sequence: tally.first_sequence,
                last_sequence: tally.last_sequence,
            })
            .collect(),
        became: BecameCounts {
            written: became(Became::Written),
            signal: became(Became::Signal),
            left_out: became(Became::LeftOut),
            set_aside: became(Became::SetAside),
            no_room: became(Became::NoRoom),
        },
        written: Written {
            conversations: counts.conversations,
            messages: counts.messages,
            left_out_by_stylesheet: counts.left_out.saturating_sub(became(Became::LeftOut)),
            late: counts.late,
            replaced_characters: counts.replaced_characters,
        },
        files: holds.captured,
        set_aside: holds
            .set_aside
            .iter()
            .zip(holds.rooms_aside)
            .map(|(one, room)| AsideRoom { room: room.to_string(), reason: one.reason.clone() })
            .collect(),
        outputs: holds
            .outputs
            .iter()
            .map(|output| Output {
                name: output.name.clone(),
                kind: output.kind.as_str().to_owned(),
                size: output.size,
                sha256: output.sha256,
                messages: output.messages,
            })
            .collect(),
    };
    NewManifest::new(&body, list).map_err(EngineError::unwritable)
}
