//! `chancery status`: counts, states and alerts; never content.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Outcome;
use super::context::{self, Context, staging_failure};
use super::print::{self, Column, Format};
use crate::config::Config;
use crate::errors::{ExitStatus, Failure};
use crate::evidence::record::newest_head;
use crate::model::Ticks;
use crate::staging::{BatchFilter, BatchRow, BatchState, BatchTotals, FindingKind, Seq, SeqRange, Staging, Totals};

/// Show what was taken in, what waits, what each adapter has written, and open alerts
///
/// Ends with 1 when an alert is open or a batch has failed.
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

#[derive(Debug, Serialize)]
struct Status {
    state: &'static str,
    intake: Intake,
    pending_files: Vec<Giver>,
    sources: Vec<Source>,
    adapters: Vec<Adapter>,
    holds: Vec<Held>,
    evidence: Evidence,
    alerts: Vec<Alert>,
}

#[derive(Debug, Serialize)]
struct Evidence {
    /// Entries recorded.
    entries: u64,
    /// Those of them that lie in the evidence directory.
    written: u64,
    /// Those of them that the newest head covers.
    signed: u64,
    /// When the newest entry that it covers was recorded.
    head_at: Option<String>,
    /// The fingerprint of the key that signed it.
    key: Option<String>,
}

#[derive(Debug, Serialize)]
struct Intake {
    staged: u64,
    duplicates: u64,
    conflicts: u64,
    quarantined: u64,
    waiting: u64,
    files: u64,
    /// Files that have not come yet.
    pending_files: u64,
}

/// What is waited for from one giver of files.
#[derive(Debug, Serialize)]
struct Giver {
    giver: String,
    waiting: u64,
    oldest: String,
}

#[derive(Debug, Serialize)]
struct Source {
    source: String,
    description: String,
    staged: u64,
    duplicates: u64,
    conflicts: u64,
    last_sequence: Option<u64>,
    heartbeat_sequence: Option<u64>,
    last_received: Option<String>,
    sequence: Sequence,
}

/// What is known of a source's running count; findings are those reported and open.
#[derive(Debug, Default, Serialize)]
struct Sequence {
    epoch: Option<u64>,
    first: Option<u64>,
    highest: Option<u64>,
    gaps: u64,
    missing: u64,
    repeats: u64,
    resets: u64,
}

#[derive(Debug, Default, Serialize)]
struct Adapter {
    name: String,
    configured: bool,
    interval: Option<String>,
    last_cut: Option<String>,
    batches: BTreeMap<&'static str, u64>,
    written_events: u64,
    written_messages: u64,
    collected_events: u64,
    purged_events: u64,
    waiting_events: u64,
}

/// A hold that stands.
#[derive(Debug, Serialize)]
struct Held {
    id: i64,
    covers: String,
    placed_at: String,
}

#[derive(Debug, Serialize)]
struct Alert {
    kind: String,
    subject: String,
    detail: String,
    opened: String,
    last: String,
    count: u64,
}

pub(super) fn run(context: &Context, _args: &Args) -> Outcome {
    let config = context.config()?;
    let format = context.format();
    let status = context::block_on(async {
        let staging = context::open_staging(&config).await?;
        gather(&staging, &config).await
    })?;
    match format {
        Format::Json => print::json(&status)?,
        Format::Table => print_tables(&status)?,
    }
    Ok(if status.state == "ok" { ExitStatus::Done } else { ExitStatus::Finding })
}

async fn gather(staging: &Staging, config: &Config) -> Result<Status, Failure> {
    let totals: Totals = staging.totals().await.map_err(staging_failure)?;
    let alerts: Vec<Alert> = staging
        .alerts()
        .await
        .map_err(staging_failure)?
        .into_iter()
        .map(|alert| Alert {
            kind: alert.kind,
            subject: alert.subject,
            detail: alert.detail,
            opened: alert.opened.iso(),
            last: alert.last.iso(),
            count: alert.count,
        })
        .collect();
    let adapters = adapters(staging, config).await?;
    let givers = staging.file_givers(Ticks::now()).await.map_err(staging_failure)?;
    let pending_files: Vec<Giver> = givers
        .into_iter()
        .map(|row| Giver { giver: row.giver, waiting: row.waiting, oldest: row.oldest.iso() })
        .collect();
    let failed =
        adapters.iter().any(|adapter| adapter.batches.get(BatchState::Failed.as_str()).is_some_and(|&n| n > 0));
    Ok(Status {
        state: if alerts.is_empty() && !failed { "ok" } else { "alert" },
        intake: Intake {
            staged: totals.staged,
            duplicates: totals.duplicates,
            conflicts: totals.conflicts,
            quarantined: totals.quarantined,
            waiting: totals.waiting,
            files: totals.files,
            pending_files: pending_files.iter().map(|giver| giver.waiting).sum(),
        },
        pending_files,
        sources: sources(staging, config).await?,
        adapters,
        holds: staging
            .holds(false)
            .await
            .map_err(staging_failure)?
            .into_iter()
            .map(|hold| Held { id: hold.id, covers: hold.scope.to_string(), placed_at: hold.placed_at.iso() })
            .collect(),
        evidence: evidence(staging, config).await?,
        alerts,
    })
}

/// How far the log of evidence is recorded, written and signed. A directory that cannot be read shows as unsigned: the
/// alert about it says why.
async fn evidence(staging: &Staging, config: &Config) -> Result<Evidence, Failure> {
    let size = staging.log_size().await.map_err(staging_failure)?;
    let head = newest_head(&config.evidence_dir()).ok().flatten();
    Ok(Evidence {
        entries: size.entries,
        written: size.written,
        signed: head.as_ref().map_or(0, |head| head.size),
        head_at: head.as_ref().map(|head| head.at.clone()),
        key: head.map(|head| head.key),
    })
}

/// Every source of the configuration, heard of or not, and every other one that staging knows.
async fn sources(staging: &Staging, config: &Config) -> Result<Vec<Source>, Failure> {
    let mut sources: Vec<Source> = staging
        .sources()
        .await
        .map_err(staging_failure)?
        .into_iter()
        .map(|row| Source {
            description: String::new(),
            staged: row.staged,
            duplicates: row.duplicates,
            conflicts: row.conflicts,
            last_sequence: row.last_sequence,
            heartbeat_sequence: row.heartbeat_sequence,
            last_received: Some(row.last_received.iso()),
            sequence: Sequence::default(),
            source: row.source,
        })
        .collect();
    for configured in &config.source {
        match sources.iter_mut().find(|source| source.source == configured.uri) {
            Some(source) => source.description = configured.description.clone(),
            None => sources.push(Source {
                source: configured.uri.clone(),
                description: configured.description.clone(),
                staged: 0,
                duplicates: 0,
                conflicts: 0,
                last_sequence: None,
                heartbeat_sequence: None,
                last_received: None,
                sequence: Sequence::default(),
            }),
        }
    }
    for row in staging.sequences().await.map_err(staging_failure)? {
        if let Some(source) = sources.iter_mut().find(|source| source.source == row.source) {
            let (epoch, first, highest) = (Some(row.epoch), Some(row.first), row.highest);
            source.sequence = Sequence { epoch, first, highest, ..Sequence::default() };
        }
    }
    for totals in staging.finding_totals().await.map_err(staging_failure)? {
        let Some(source) = sources.iter_mut().find(|source| source.source == totals.source) else { continue };
        match totals.kind {
            FindingKind::Gap => {
                source.sequence.gaps = totals.findings;
                source.sequence.missing = totals.numbers;
            }
            FindingKind::Repeat => source.sequence.repeats = totals.findings,
            FindingKind::Reset => source.sequence.resets = totals.findings,
        }
    }
    sources.sort_by(|a, b| a.source.cmp(&b.source));
    Ok(sources)
}

async fn adapters(staging: &Staging, config: &Config) -> Result<Vec<Adapter>, Failure> {
    let mut adapters: BTreeMap<String, Adapter> = BTreeMap::new();
    let named = |name: &str| Adapter { name: name.to_owned(), ..Adapter::default() };
    for adapter in &config.adapter {
        let entry = adapters.entry(adapter.name.clone()).or_insert_with(|| named(&adapter.name));
        entry.configured = true;
        entry.interval = Some(adapter.interval.to_string());
    }
    for totals in staging.batch_totals().await.map_err(staging_failure)? {
        let entry = adapters.entry(totals.adapter.clone()).or_insert_with(|| named(&totals.adapter));
        entry.add(&totals);
    }
    let positions = staging.adapters().await.map_err(staging_failure)?;
    for entry in adapters.values_mut() {
        let position = positions.iter().find(|row| row.adapter == entry.name);
        entry.last_cut = position.map(|row| row.cut_at.iso());
        // An adapter that is no longer configured waits for nothing new.
        if entry.configured {
            let uncut = SeqRange { from: position.map_or(0, |row| row.cut_seq), to: Seq::MAX };
            entry.waiting_events += staging.count_events(uncut).await.map_err(staging_failure)?;
        }
        let unwritten = BatchFilter {
            adapter: Some(entry.name.clone()),
            states: vec![BatchState::Cut, BatchState::Rendered, BatchState::Failed],
            limit: None,
        };
        for batch in staging.batches(&unwritten).await.map_err(staging_failure)? {
            entry.waiting_events += waiting(staging, &batch).await?;
        }
    }
    Ok(adapters.into_values().collect())
}

/// The events of a batch that is not written. What it set aside is counted by its supplement: once it is rendered,
/// its range holds more than it does.
async fn waiting(staging: &Staging, batch: &BatchRow) -> Result<u64, Failure> {
    if batch.state == BatchState::Rendered || batch.supplement_to.is_some() {
        return Ok(batch.counts.events);
    }
    staging.count_events(batch.range).await.map_err(staging_failure)
}

impl Adapter {
    fn add(&mut self, totals: &BatchTotals) {
        use BatchState::{Collected, Empty, Published, Purged};
        *self.batches.entry(totals.state.as_str()).or_default() += totals.batches;
        if matches!(totals.state, Published | Collected | Purged | Empty) {
            self.written_events += totals.events;
            self.written_messages += totals.messages;
        }
        // What an empty batch held (presence, nothing to write) needs no collection.
        if matches!(totals.state, Collected | Purged | Empty) {
            self.collected_events += totals.events;
        }
        if matches!(totals.state, Purged | Empty) {
            self.purged_events += totals.events;
        }
    }
}

fn print_tables(status: &Status) -> Result<(), Failure> {
    let intake = &status.intake;
    print::data(format!(
        "state {}: {} events taken in, {} duplicates, {} conflicts, {} in quarantine, {} in staging, {} files in the vault",
        status.state,
        print::count(intake.staged),
        print::count(intake.duplicates),
        print::count(intake.conflicts),
        print::count(intake.quarantined),
        print::count(intake.waiting),
        print::count(intake.files),
    ))?;
    let columns = [
        Column::Text("source"),
        Column::Number("events"),
        Column::Number("duplicates"),
        Column::Number("conflicts"),
        Column::Number("last sequence"),
        Column::Number("missing"),
        Column::Number("repeats"),
        Column::Number("resets"),
        Column::Text("last heard of"),
    ];
    print::data(print::table(
        &columns,
        status.sources.iter().map(|source| {
            vec![
                source.source.clone(),
                print::count(source.staged),
                print::count(source.duplicates),
                print::count(source.conflicts),
                source.last_sequence.map(|number| number.to_string()).unwrap_or_default(),
                print::count(source.sequence.missing),
                print::count(source.sequence.repeats),
                print::count(source.sequence.resets),
                source.last_received.clone().unwrap_or_else(|| "never".into()),
            ]
        }),
    ))?;
    let columns = [
        Column::Text("adapter"),
        Column::Text("interval"),
        Column::Text("last cut"),
        Column::Number("waiting"),
        Column::Number("written"),
        Column::Number("collected"),
        Column::Number("purged"),
        Column::Text("batches"),
    ];
    print::data(print::table(
        &columns,
        status.adapters.iter().map(|adapter| {
            let batches: Vec<String> =
                adapter.batches.iter().map(|(state, count)| format!("{count} {state}")).collect();
            vec![
                adapter.name.clone(),
                adapter.interval.clone().unwrap_or_else(|| "not configured".into()),
                adapter.last_cut.clone().unwrap_or_else(|| "never".into()),
                print::count(adapter.waiting_events),
                print::count(adapter.written_events),
                print::count(adapter.collected_events),
                print::count(adapter.purged_events),
                batches.join(", "),
            ]
        }),
    ))?;
    if !status.holds.is_empty() {
        let columns = [Column::Number("hold"), Column::Text("covers"), Column::Text("since")];
        let row = |hold: &Held| vec![hold.id.to_string(), print::harmless(&hold.covers), hold.placed_at.clone()];
        print::data(print::table(&columns, status.holds.iter().map(row)))?;
    }
    let evidence = &status.evidence;
    print::data(format!(
        "evidence: {} entries recorded, {} written, {} signed{}",
        print::count(evidence.entries),
        print::count(evidence.written),
        print::count(evidence.signed),
        evidence.key.as_ref().map(|key| format!(" with {key}")).unwrap_or_default(),
    ))?;
    if !status.alerts.is_empty() {
        let columns = [
            Column::Text("alert"),
            Column::Text("about"),
            Column::Text("detail"),
            Column::Text("since"),
            Column::Number("times"),
        ];
        print::data(print::table(
            &columns,
            status.alerts.iter().map(|alert| {
                vec![
                    alert.kind.clone(),
                    alert.subject.clone(),
                    alert.detail.clone(),
                    alert.opened.clone(),
                    print::count(alert.count),
                ]
            }),
        ))?;
    }
    Ok(())
}
