//! Balances what sources sent, what is staged, what each adapter wrote and what the archive took. Changes nothing.
//!
//! All counts come from what is durably recorded: those made on arrival, at rendering and at purge are compared with the rows
//! and files that are there now. What changes between two looks is left for the next reconciliation, never reported.

mod intervals;
mod rooms;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio_util::sync::CancellationToken;

pub use intervals::IntervalLine;
pub use rooms::{RoomLine, RoomOutcome};

use super::error::describe;
use super::{EngineError, Shared};
use crate::config::{Adapter, CollectedWhen, Config, Dialect};
use crate::model::Ticks;
use crate::pickup::{Marker, Share};
use crate::staging::{
    BatchFilter, BatchRow, BatchState, FindingKind, OutputKind, OutputRow, Seq, SeqRange, Staging, StagingError,
};
use crate::support::durable::digest_file;

/// Where something went missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hop {
    /// The source never sent it, or the broker never delivered it.
    Source,
    /// It was staged and is neither there nor purged.
    Staging,
    /// It was handed to an adapter and is in none of its counts, or not in its output.
    Transform,
    /// It was published and does not lie on the share as it was, although the archive has not taken it.
    Share,
}

impl Hop {
    /// Every hop, in the order of the pipeline.
    pub const ALL: [Self; 4] = [Self::Source, Self::Staging, Self::Transform, Self::Share];

    /// The word in tables and alerts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Staging => "staging",
            Self::Transform => "transform",
            Self::Share => "share",
        }
    }
}

/// Something that does not balance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Imbalance {
    /// Where.
    pub hop: Hop,
    /// What it is about: a source, or a batch.
    pub subject: String,
    /// What was expected and found.
    pub detail: String,
}

/// emitted = arrived + missing; staged = present + purged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SourceLine {
    /// URI.
    pub source: String,
    /// Numbers counted in the present epoch, for sources that send a sequence.
    pub emitted: Option<u64>,
    /// Of these, the ones that never arrived.
    pub missing: u64,
    /// Events kept since the beginning, as counted on arrival.
    pub staged: u64,
    /// Events that lie in staging.
    pub present: u64,
    /// Events purged.
    pub purged: u64,
    /// Items that wait in quarantine.
    pub quarantined: u64,
}

/// events = messages + signals + left out, in batches that are written; written = collected + on the share.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct AdapterLine {
    /// The adapter.
    pub adapter: String,
    /// Batches looked at.
    pub batches: u64,
    /// Events in batches that are written.
    pub written: u64,
    /// Of these: messages, signals (which make no message by design), and messages left out as told.
    pub messages: u64,
    /// Events that make no message by design.
    pub signals: u64,
    /// Messages for which the dialect or the transform has no place.
    pub left_out: u64,
    /// Events written that the archive has taken.
    pub collected: u64,
    /// Events written that wait for the archive.
    pub on_share: u64,
    /// Events that wait to be written, those in no batch yet among them.
    pub waiting: u64,
    /// Events in batches that failed and are tried again.
    pub failed: u64,
    /// Events in batches that a person gave up.
    pub abandoned: u64,
}

/// What reconciliation found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Reconciliation {
    /// By source.
    pub sources: Vec<SourceLine>,
    /// By adapter.
    pub adapters: Vec<AdapterLine>,
    /// By batch, where asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intervals: Option<Vec<IntervalLine>>,
    /// By room, where asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rooms: Option<Vec<RoomLine>>,
    /// What does not balance; empty: everything does.
    pub imbalances: Vec<Imbalance>,
}

/// Which lines are asked for beside those by source and by adapter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lines {
    /// One for each batch of the period.
    pub intervals: bool,
    /// One for each room, whatever the period.
    pub rooms: bool,
}

/// How closely files on the shares are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Files {
    /// That they are there, and their size.
    Present,
    /// Also their bytes.
    Read,
}

/// Which batches: those whose interval ends after `from` and not after `to`.
#[derive(Debug, Clone, Copy)]
pub struct Period {
    /// The beginning.
    pub from: Ticks,
    /// The end.
    pub to: Ticks,
}

/// Reconciles everything.
///
/// # Errors
/// When staging cannot be read. A share that is away is no imbalance and no error: nothing is known of it.
pub async fn reconcile(
    staging: &Staging,
    config: &Config,
    period: Period,
    files: Files,
    lines: Lines,
) -> Result<Reconciliation, EngineError> {
    let mut found = Reconciliation { intervals: lines.intervals.then(Vec::new), ..Reconciliation::default() };
    sources(staging, &mut found).await?;
    let mut names: Vec<String> = staging.adapters().await?.into_iter().map(|row| row.adapter).collect();
    names.extend(config.adapter.iter().map(|adapter| adapter.name.clone()));
    names.sort();
    names.dedup();
    for name in names {
        let line = adapter(staging, config, &name, (period, files), &mut found).await?;
        found.adapters.push(line);
    }
    if lines.rooms {
        found.rooms = Some(rooms::rooms(staging, config, &mut found.imbalances).await?);
    }
    found.imbalances.sort_by(|one, other| (one.hop, &one.subject).cmp(&(other.hop, &other.subject)));
    Ok(found)
}

async fn sources(staging: &Staging, found: &mut Reconciliation) -> Result<(), EngineError> {
    let sequences = staging.sequences().await?;
    for row in staging.source_balance().await? {
        let sequence = sequences.iter().find(|sequence| sequence.source == row.source);
        let emitted = sequence.map(|sequence| sequence.highest.map_or(0, |highest| highest - sequence.first + 1));
        if let Some(detail) = unaccounted(row.staged, row.present, row.purged) {
            found.imbalances.push(Imbalance { hop: Hop::Staging, subject: format!("source {}", row.source), detail });
        }
        found.sources.push(SourceLine {
            emitted,
            missing: sequence.map_or(0, |sequence| sequence.missing),
            staged: row.staged,
            present: row.present,
            purged: row.purged,
            quarantined: row.quarantined,
            source: row.source,
        });
    }
    for totals in staging.finding_totals().await?.into_iter().filter(|totals| totals.kind == FindingKind::Gap) {
        let detail = format!("{} numbers of its sequence never arrived, in {} gaps", totals.numbers, totals.findings);
        found.imbalances.push(Imbalance { hop: Hop::Source, subject: format!("source {}", totals.source), detail });
    }
    Ok(())
}

/// What is wrong with what was kept on arrival, if it is not what is in staging and what was purged.
fn unaccounted(arrived: u64, present: u64, purged: u64) -> Option<String> {
    let there = present + purged;
    (arrived != there).then(|| {
        format!(
            "{arrived} events were kept on arrival, {present} are in staging and {purged} were purged: {} are {}",
            arrived.abs_diff(there),
            if arrived > there { "gone without having been purged" } else { "there that never arrived" }
        )
    })
}

async fn adapter(
    staging: &Staging,
    config: &Config,
    name: &str,
    (period, files): (Period, Files),
    Reconciliation { intervals, imbalances, .. }: &mut Reconciliation,
) -> Result<AdapterLine, EngineError> {
    let mut line = AdapterLine { adapter: name.to_owned(), ..AdapterLine::default() };
    let filter = BatchFilter { adapter: Some(name.to_owned()), states: Vec::new(), limit: None };
    let batches = staging.batches(&filter).await?;
    let mut end: Option<(i64, Seq)> = None;
    let mut share = SharedFiles::new(config, name, files);
    for batch in &batches {
        if batch.supplement_to.is_none() {
            if let Some((before, to)) = end
                && to != batch.range.from
            {
                let detail = format!(
                    "it begins after arrival number {}, and batch {before} before it ends at {to}: what lies between is in neither",
                    batch.range.from
                );
                imbalances.push(Imbalance { hop: Hop::Staging, subject: format!("batch {}", batch.id), detail });
            }
            end = Some((batch.id, batch.range.to));
        }
        if batch.interval_end <= period.from || batch.interval_end > period.to {
            continue;
        }
        let mut counted = AdapterLine::default();
        counted.count(staging, batch).await?;
        line.add(&counted);
        if let Some(intervals) = intervals {
            intervals.push(IntervalLine::of(batch, &counted));
        }
        imbalances.extend(events(staging, batch, &batches).await?);
        imbalances.extend(counts(batch));
        if batch.state == BatchState::Published {
            imbalances.extend(share.compare(staging, batch).await?);
        }
    }
    if config.adapter_named(name).is_some() {
        let from = end.map_or(0, |(_, to)| to);
        line.waiting += staging.count_events(SeqRange { from, to: Seq::MAX }).await?;
    }
    Ok(line)
}

impl AdapterLine {
    fn add(&mut self, other: &Self) {
        self.batches += other.batches;
        self.written += other.written;
        self.messages += other.messages;
        self.signals += other.signals;
        self.left_out += other.left_out;
        self.collected += other.collected;
        self.on_share += other.on_share;
        self.waiting += other.waiting;
        self.failed += other.failed;
        self.abandoned += other.abandoned;
    }

    async fn count(&mut self, staging: &Staging, batch: &BatchRow) -> Result<(), EngineError> {
        use BatchState::{Abandoned, Collected, Cut, Empty, Failed, Published, Purged, Rendered};
        let counts = batch.counts;
        self.batches += 1;
        match batch.state {
            Cut => self.waiting += events_of(staging, batch).await?,
            Failed => self.failed += events_of(staging, batch).await?,
            Rendered => self.waiting += counts.events,
            Abandoned => self.abandoned += counts.events,
            Published | Collected | Purged | Empty => {
                self.written += counts.events;
                self.messages += counts.messages;
                self.signals += counts.signals;
                self.left_out += counts.left_out;
                if batch.state == Published { self.on_share += counts.events } else { self.collected += counts.events }
            }
        }
        Ok(())
    }
}

/// The events of a batch that is not written yet.
async fn events_of(staging: &Staging, batch: &BatchRow) -> Result<u64, StagingError> {
    if batch.supplement_to.is_some() { Ok(batch.counts.events) } else { staging.count_events(batch.range).await }
}

/// While a batch is open its events are all in staging: as many as it and its supplements were rendered from.
async fn events(staging: &Staging, batch: &BatchRow, all: &[BatchRow]) -> Result<Option<Imbalance>, EngineError> {
    let rendered = |batch: &BatchRow| !matches!(batch.state, BatchState::Cut | BatchState::Failed);
    if batch.supplement_to.is_some() || batch.state.is_final() || !rendered(batch) {
        return Ok(None);
    }
    let supplements = || all.iter().filter(|other| other.supplement_to == Some(batch.id));
    // What could not be rendered yet, or never was, is counted only as far as it is known.
    if supplements().any(|supplement| !rendered(supplement) || supplement.state == BatchState::Abandoned) {
        return Ok(None);
    }
    let told = batch.counts.events + supplements().map(|supplement| supplement.counts.events).sum::<u64>();
    let there = staging.count_events(batch.range).await?;
    // A batch that came to its end meanwhile may have been purged.
    let still = staging.batch(batch.id).await?.is_some_and(|now| now.state == batch.state);
    Ok((still && told != there).then(|| Imbalance {
        hop: Hop::Staging,
        subject: format!("batch {}", batch.id),
        detail: format!("it was rendered from {told} events, and its range holds {there} now"),
    }))
}

/// Each event of a rendered batch became a message or a signal, or was left out and counted.
fn counts(batch: &BatchRow) -> Option<Imbalance> {
    use BatchState::{Collected, Empty, Published, Purged, Rendered};
    let counts = batch.counts;
    let accounted = counts.messages + counts.signals + counts.left_out;
    let rendered = matches!(batch.state, Rendered | Published | Collected | Purged | Empty);
    (rendered && counts.events != accounted).then(|| Imbalance {
        hop: Hop::Transform,
        subject: format!("batch {}", batch.id),
        detail: format!(
            "of {} events {} became messages, {} are signals and {} were left out: {} are unaccounted for",
            counts.events,
            counts.messages,
            counts.signals,
            counts.left_out,
            counts.events.abs_diff(accounted)
        ),
    })
}

/// The files of an adapter on its share, as far as they can be compared.
struct SharedFiles<'a> {
    adapter: Option<(&'a Adapter, PathBuf)>,
    files: Files,
}

impl<'a> SharedFiles<'a> {
    fn new(config: &'a Config, name: &str, files: Files) -> Self {
        Self { adapter: config.adapter_named(name).map(|adapter| (adapter, config.pickup_dir(adapter))), files }
    }

    /// Compares the files of a published batch that the archive has not taken.
    async fn compare(&mut self, staging: &Staging, batch: &BatchRow) -> Result<Vec<Imbalance>, EngineError> {
        let Some((adapter, dir)) = &self.adapter else { return Ok(Vec::new()) };
        let outputs: Vec<OutputRow> = staging.outputs(batch.id).await?;
        let outputs: Vec<_> = outputs.into_iter().filter(|output| output.collected_at.is_none()).collect();
        let (dir, name, files) = (dir.clone(), adapter.name.clone(), self.files);
        let gone_is_taken = adapter.collected_when == CollectedWhen::Removed;
        let canonical = adapter.transform.is_none() && !adapter.compress && adapter.dialect != Dialect::Lync2013;
        let look = move || {
            let share = Share::open(&dir, &name, Marker::Require).ok()?;
            let found = outputs.iter().filter_map(|output| wrong(&share, output, (files, gone_is_taken, canonical)));
            let found: Vec<String> = found.collect();
            // A share that went away in between shows nothing but missing files.
            share.check().is_ok().then_some(found)
        };
        let found = tokio::task::spawn_blocking(look)
            .await
            .map_err(|panic| EngineError::TaskPanicked { detail: panic.to_string() })?;
        let Some(found) = found.filter(|found| !found.is_empty()) else { return Ok(Vec::new()) };
        // What was taken or told meanwhile is none of it.
        let now = staging.batch(batch.id).await?.map(|now| now.state);
        let subject = format!("batch {}", batch.id);
        let imbalance = |detail| Imbalance { hop: Hop::Share, subject: subject.clone(), detail };
        Ok(if now == Some(BatchState::Published) { found.into_iter().map(imbalance).collect() } else { Vec::new() })
    }
}

/// What is wrong with a published file that was not collected.
fn wrong(share: &Share, output: &OutputRow, (files, gone_is_taken, canonical): (Files, bool, bool)) -> Option<String> {
    let (path, name) = (share.path(&output.name), &output.name);
    let size = match std::fs::metadata(&path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return (!gone_is_taken).then(|| format!("{name} is gone, and the archive has not said that it took it"));
        }
        Err(error) => return Some(format!("{name} cannot be read: {error}")),
    };
    if size != output.size {
        return Some(format!("{name} has {size} bytes, {} were published", output.size));
    }
    if files == Files::Read {
        match digest_file(&path) {
            Ok(found) if found == (output.size, output.sha256) => {}
            Ok(_) => return Some(format!("{name} holds other bytes than were published")),
            Err(error) if error.source.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => return Some(format!("{name} cannot be read: {error}")),
        }
    }
    if files == Files::Read && canonical && output.kind == OutputKind::Output {
        let messages = std::fs::read(&path).ok().map(|bytes| count_messages(&bytes));
        if let Some(messages) = messages.filter(|messages| *messages != output.messages) {
            return Some(format!("{name} holds {messages} messages, {} were written", output.messages));
        }
    }
    None
}

/// How many messages a canonical output holds. No text in it can look like one: it is all in attributes, escaped.
fn count_messages(bytes: &[u8]) -> u64 {
    const BEGIN: &[u8] = b"<Message ";
    bytes.windows(BEGIN.len()).filter(|window| *window == BEGIN).count() as u64
}

/// The alert about what does not balance.
const UNBALANCED: &str = "unbalanced";
/// The longest and the shortest wait between two reconciliations.
const EVERY: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(3600));
const EVERY_IN_LABORATORY: Duration = Duration::from_secs(1);
/// The wait is at least so many times as long as reconciling took: it counts what waits, and must not take the machine from
/// what works that off.
const REST: u32 = 20;

/// Reconciles by itself, each shortest interval, until told to stop; an imbalance is an alert that names the hop.
pub(super) async fn run(shared: Arc<Shared>, stop: CancellationToken) -> Result<(), EngineError> {
    let intervals = shared.config.adapter.iter().map(|adapter| adapter.interval.get());
    let every = intervals.min().unwrap_or(EVERY.0).clamp(EVERY.0, EVERY.1);
    let every = if shared.config.laboratory { EVERY_IN_LABORATORY } else { every };
    let mut took = Duration::ZERO;
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(every.max(took.saturating_mul(REST))) => {}
        }
        let begun = Instant::now();
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            told = tell(&shared) => {
                if let Err(error) = told {
                    tracing::debug!(error = describe(&error), "reconciliation waits");
                }
            }
        }
        took = begun.elapsed();
    }
}

/// Reconciles once and keeps the alerts in step.
pub(super) async fn tell(shared: &Arc<Shared>) -> Result<(), EngineError> {
    let all = Period { from: Ticks::MIN, to: Ticks::MAX };
    let found = reconcile(&shared.staging, &shared.config, all, Files::Present, Lines::default()).await?;
    let (staging, now) = (&shared.staging, Ticks::now());
    let open = staging.alerts().await?;
    for hop in Hop::ALL {
        // Gaps have an alert of their own, which waits for the patience that is configured.
        let here: Vec<_> = found.imbalances.iter().filter(|found| found.hop == hop && hop != Hop::Source).collect();
        let subject = format!("hop {}", hop.as_str());
        let stands = open.iter().find(|alert| alert.kind == UNBALANCED && alert.subject == subject);
        match (here.first(), stands) {
            (Some(first), _) => {
                let more = if here.len() > 1 { format!("; and {} more", here.len() - 1) } else { String::new() };
                let detail = format!("{}: {}{more}; `chancery reconcile` names all", first.subject, first.detail);
                if stands.is_none_or(|alert| alert.detail != detail) {
                    tracing::warn!(kind = UNBALANCED, subject, detail, "alert");
                    staging.raise_alert(UNBALANCED, &subject, &detail, now).await?;
                }
            }
            (None, Some(_)) => staging.close_alert(UNBALANCED, &subject, now).await?,
            (None, None) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::count_messages;

    #[test]
    fn only_messages_are_counted() {
        let text =
            b"<FirstMessage type=\"CHAT\"/><Messages><Message type=\"CHAT\"/><Message type=\"JOIN\"/></Messages>";
        assert_eq!(count_messages(text), 2);
    }
}
