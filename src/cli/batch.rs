//! `chancery batch`: what each adapter made of each interval, and what a person may do about it.

use std::fmt::Write as _;
use std::sync::Arc;

use clap::Subcommand;
use serde::Serialize;

use super::Outcome;
use super::act::act;
use super::context::{self, Context, staging_failure};
use super::print::{self, Column, Format};
use crate::errors::{ExitStatus, Failure};
use crate::model::Ticks;
use crate::staging::{BatchFilter, BatchId, BatchRow, BatchState, BatchStep, By, OutputRow, SetAside, Staging};

/// List batches, look at one, or act on one
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List batches, newest last
    List {
        /// Only this adapter
        #[arg(long)]
        adapter: Option<String>,
        /// Only this state; may be repeated
        #[arg(long)]
        state: Vec<BatchState>,
        /// At most so many
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// Show one batch with its files, why it failed if it did, and what was set aside
    Show {
        /// The batch's number
        id: BatchId,
    },
    /// Render a failed batch again, for instance after its stylesheet was corrected
    Retry {
        /// The batch's number
        id: BatchId,
    },
    /// Give a batch up: it is not written (or not waited for) any more, and its events may be purged
    Abandon {
        /// The batch's number
        id: BatchId,
        /// Why; recorded
        #[arg(long)]
        reason: String,
        /// Do it without asking
        #[arg(long)]
        yes: bool,
    },
    /// Tell that the archive has taken a batch (for `collected_when = "told"`, or when another proof cannot come)
    Collected {
        /// The batch's number
        id: BatchId,
        /// How that is known; recorded
        #[arg(long, default_value = "told by command")]
        reason: String,
    },
}

/// A batch as it is printed.
#[derive(Debug, Serialize)]
struct Shown {
    id: BatchId,
    adapter: String,
    state: &'static str,
    interval_start: String,
    interval_end: String,
    events: u64,
    messages: u64,
    conversations: u64,
    signals: u64,
    late: u64,
    left_out: u64,
    replaced_characters: u64,
    files: u64,
    bytes: u64,
    attempts: u32,
    retry_at: Option<String>,
    reason: Option<String>,
    cut_at: String,
    published_at: Option<String>,
    collected_at: Option<String>,
    collected_how: Option<String>,
    purged_at: Option<String>,
    /// For a supplement, the batch whose conversations these are.
    supplement_to: Option<BatchId>,
    /// For a supplement of files, the batch in which they were missing.
    completes: Option<BatchId>,
    /// Messages written once more, with the file that was missing.
    completed: u64,
    /// The files that it says are missing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    missing: Vec<ShownFile>,
    /// The batches that hold what was set aside, or bring files that were missing.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "ids")]
    supplements: Vec<BatchRow>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    set_aside: Vec<ShownConversation>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    outputs: Vec<ShownOutput>,
}

/// A conversation that could not be rendered.
#[derive(Debug, Serialize)]
struct ShownConversation {
    room: String,
    reason: String,
}

/// A file that a batch says is missing.
#[derive(Debug, Serialize)]
struct ShownFile {
    source: Option<String>,
    event: Option<String>,
    reason: String,
    /// `waiting`, `follows` or `never`.
    state: &'static str,
    supplement: Option<BatchId>,
}

fn ids<S: serde::Serializer>(batches: &[BatchRow], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(batches.iter().map(|batch| batch.id))
}

#[derive(Debug, Serialize)]
struct ShownOutput {
    name: String,
    kind: &'static str,
    size: u64,
    sha256: String,
    messages: u64,
    collected_at: Option<String>,
}

impl Shown {
    /// A batch as it stands in the list.
    fn new(batch: BatchRow) -> Self {
        let iso = |at: Option<Ticks>| at.map(Ticks::iso);
        let counts = batch.counts;
        Self {
            id: batch.id,
            adapter: batch.adapter,
            state: batch.state.as_str(),
            interval_start: batch.interval_start.iso(),
            interval_end: batch.interval_end.iso(),
            events: counts.events,
            messages: counts.messages,
            conversations: counts.conversations,
            signals: counts.signals,
            late: counts.late,
            left_out: counts.left_out,
            replaced_characters: counts.replaced_characters,
            files: counts.files,
            bytes: counts.bytes,
            attempts: batch.attempts,
            retry_at: iso(batch.retry_at),
            reason: batch.reason,
            cut_at: batch.cut_at.iso(),
            published_at: iso(batch.published_at),
            collected_at: iso(batch.collected_at),
            collected_how: batch.collected_how,
            purged_at: iso(batch.purged_at),
            supplement_to: batch.supplement_to,
            completes: batch.completes,
            completed: counts.completed,
            missing: Vec::new(),
            supplements: Vec::new(),
            set_aside: Vec::new(),
            outputs: Vec::new(),
        }
    }
}

impl ShownOutput {
    fn new(output: OutputRow) -> Self {
        Self {
            name: output.name,
            kind: output.kind.as_str(),
            size: output.size,
            sha256: hex::encode(output.sha256),
            messages: output.messages,
            collected_at: output.collected_at.map(Ticks::iso),
        }
    }
}

pub(super) fn run(context: &Context, args: &Args) -> Outcome {
    let config = context.config()?;
    let format = context.format();
    context::block_on(async {
        let staging = context::open_staging(&config).await?;
        match &args.verb {
            Verb::List { adapter, state, limit } => {
                let filter = BatchFilter { adapter: adapter.clone(), states: state.clone(), limit: Some(*limit) };
                let batches = staging.batches(&filter).await.map_err(staging_failure)?;
                list(format, batches.into_iter().map(Shown::new).collect())
            }
            Verb::Show { id } => show(format, found(&staging, *id).await?),
            Verb::Retry { id } => {
                not_its_supplement(&staging, *id).await?;
                step(&staging, *id, &[BatchState::Failed], &BatchStep::Retry, ("batch retry", "")).await?;
                eprintln!("batch {id} will be rendered again by the running daemon, or by `chancery run --once`");
                Ok(ExitStatus::Done)
            }
            Verb::Abandon { id, reason, yes } => {
                let batch = found(&staging, *id).await?;
                if !yes {
                    show(format, batch)?;
                    return Err(Failure::new(ExitStatus::Usage, "nothing was done: abandoning cannot be undone")
                        .hint("repeat the command with --yes"));
                }
                let from = [BatchState::Failed, BatchState::Cut, BatchState::Published];
                let abandon = BatchStep::Abandoned { reason: reason.clone() };
                let was_abandoned = batch.state == BatchState::Abandoned.as_str();
                let abandoned = step(&staging, *id, &from, &abandon, ("batch abandon", reason)).await;
                // Also when it was abandoned before: that may have been cut off before the alert was closed.
                if abandoned.is_ok() || was_abandoned {
                    let subject = format!("batch {id}");
                    staging.close_alert("batch-failed", &subject, Ticks::now()).await.map_err(staging_failure)?;
                }
                abandoned?;
                eprintln!("batch {id} is abandoned");
                for supplement in staging.supplements(*id).await.map_err(staging_failure)? {
                    if !supplement.state.is_final() {
                        let BatchRow { id, state, .. } = supplement;
                        eprintln!("batch {id}, which holds what was set aside from it, stays {state}");
                    }
                }
                Ok(ExitStatus::Done)
            }
            Verb::Collected { id, reason } => {
                let collected = BatchStep::Collected { at: Ticks::now(), how: "told".into() };
                step(&staging, *id, &[BatchState::Published], &collected, ("batch collected", reason)).await?;
                eprintln!("batch {id} is collected");
                Ok(ExitStatus::Done)
            }
        }
    })
}

async fn step(
    staging: &Staging,
    id: BatchId,
    from: &[BatchState],
    step: &BatchStep,
    (verb, reason): (&str, &str),
) -> Result<(), Failure> {
    let act = act(verb, format!("batch {id}"), reason);
    staging.advance(By::Person(&act), id, from, step).await.map(drop).map_err(staging_failure)
}

async fn found(staging: &Staging, id: BatchId) -> Result<Shown, Failure> {
    let batch = staging.batch(id).await.map_err(staging_failure)?;
    let batch = batch.ok_or_else(|| {
        Failure::new(ExitStatus::Finding, format!("there is no batch {id}"))
            .hint("`chancery batch list` shows the newest")
    })?;
    let outputs = staging.outputs(id).await.map_err(staging_failure)?;
    let failures = staging.failures(id).await.map_err(staging_failure)?;
    let conversation = |(room, set_aside): (Arc<str>, SetAside)| ShownConversation {
        room: room.to_string(),
        reason: set_aside.reason,
    };
    Ok(Shown {
        supplements: staging.supplements(id).await.map_err(staging_failure)?,
        set_aside: failures.into_iter().map(conversation).collect(),
        outputs: outputs.into_iter().map(ShownOutput::new).collect(),
        missing: missing(staging, id).await?,
        ..Shown::new(batch)
    })
}

/// The files that a batch says are missing, and what became of each since.
async fn missing(staging: &Staging, id: BatchId) -> Result<Vec<ShownFile>, Failure> {
    let mut files = Vec::new();
    for owed in staging.owed_files(id).await.map_err(staging_failure)? {
        // Purged events are named no more.
        let event = staging.event(owed.seq).await.map_err(staging_failure)?;
        files.push(ShownFile {
            source: event.as_ref().map(|event| event.source.to_string()),
            event: event.map(|event| event.id),
            reason: owed.reason,
            state: match (owed.closed, owed.supplement) {
                (false, _) => "waiting",
                (true, Some(_)) => "follows",
                (true, None) => "never",
            },
            supplement: owed.supplement,
        });
    }
    Ok(files)
}

/// Whoever retries a batch that has not failed probably means what was set aside from it.
async fn not_its_supplement(staging: &Staging, id: BatchId) -> Result<(), Failure> {
    let Some(batch) = staging.batch(id).await.map_err(staging_failure)? else { return Ok(()) };
    if batch.state == BatchState::Failed {
        return Ok(());
    }
    let supplements = staging.supplements(id).await.map_err(staging_failure)?;
    let failed: Vec<BatchId> =
        supplements.iter().filter(|batch| batch.state == BatchState::Failed).map(|batch| batch.id).collect();
    if failed.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = failed.iter().map(|id| format!("batch {id}")).collect();
    let commands: Vec<String> = failed.iter().map(|id| format!("`chancery batch retry {id}`")).collect();
    let found = format!("batch {id} is {}; what was set aside from it waits in {}", batch.state, names.join(" and "));
    Err(Failure::new(ExitStatus::Finding, found).hint(format!("use {}", commands.join(" and "))))
}

fn list(format: Format, batches: Vec<Shown>) -> Outcome {
    if format == Format::Json {
        print::json(&batches)?;
        return Ok(ExitStatus::Done);
    }
    let mut columns = vec![
        Column::Number("batch"),
        Column::Text("adapter"),
        Column::Text("interval end"),
        Column::Text("state"),
        Column::Number("events"),
        Column::Number("messages"),
        Column::Number("files"),
        Column::Number("attempts"),
    ];
    // Lists are wide already, and supplements are rare.
    let any_supplement = batches.iter().any(|batch| batch.supplement_to.is_some());
    if any_supplement {
        columns.push(Column::Number("supplement to"));
    }
    print::data(print::table(
        &columns,
        batches.into_iter().map(|batch| {
            let mut row = vec![
                batch.id.to_string(),
                batch.adapter,
                batch.interval_end,
                batch.state.to_owned(),
                print::count(batch.events),
                print::count(batch.messages),
                print::count(batch.files),
                batch.attempts.to_string(),
            ];
            if any_supplement {
                row.push(batch.supplement_to.map(|original| original.to_string()).unwrap_or_default());
            }
            row
        }),
    ))?;
    Ok(ExitStatus::Done)
}

fn show(format: Format, batch: Shown) -> Outcome {
    if format == Format::Json {
        print::json(&batch)?;
        return Ok(ExitStatus::Done);
    }
    let mut rows = vec![
        ("batch", batch.id.to_string()),
        ("adapter", batch.adapter),
        ("state", batch.state.to_owned()),
        ("interval", format!("{} to {}", batch.interval_start, batch.interval_end)),
    ];
    rows.extend(batch.supplement_to.map(|original| ("supplement to", format!("batch {original}"))));
    rows.extend([
        ("events", print::count(batch.events)),
        ("messages", print::count(batch.messages)),
        ("conversations", print::count(batch.conversations)),
        ("late", print::count(batch.late)),
        ("presence signals", print::count(batch.signals)),
        ("left out by the format", print::count(batch.left_out)),
        ("characters replaced", print::count(batch.replaced_characters)),
    ]);
    rows.extend(batch.completes.map(|told| ("files missing in", format!("batch {told}"))));
    rows.extend((batch.completed > 0).then(|| ("messages completed", print::count(batch.completed))));
    rows.extend(batch.supplements.iter().map(|supplement| match supplement.completes {
        Some(_) => ("files follow", follows(supplement)),
        None => ("set aside", set_aside(supplement)),
    }));
    let optional = [
        ("attempts", (batch.attempts > 0).then(|| batch.attempts.to_string())),
        ("reason", batch.reason),
        ("tried again at", batch.retry_at),
        ("published", batch.published_at),
        ("collected", batch.collected_at.map(|at| format!("{at} ({})", batch.collected_how.unwrap_or_default()))),
        ("purged", batch.purged_at),
    ];
    rows.extend(optional.into_iter().filter_map(|(key, value)| value.map(|value| (key, value))));
    print::data(print::table(
        &[Column::Text("key"), Column::Text("value")],
        rows.into_iter().map(|(key, value)| vec![key.to_owned(), value]),
    ))?;
    if !batch.set_aside.is_empty() {
        let heading = match batch.supplement_to {
            Some(_) => "conversations, and why each was set aside",
            None => "conversations that could not be rendered",
        };
        print::data(reasons(heading, &batch.set_aside))?;
    }
    if !batch.missing.is_empty() {
        print::data(missing_files(&batch.missing))?;
    }
    if !batch.outputs.is_empty() {
        let columns = [
            Column::Text("file"),
            Column::Text("kind"),
            Column::Number("bytes"),
            Column::Text("sha-256"),
            Column::Text("collected"),
        ];
        print::data(print::table(
            &columns,
            batch.outputs.into_iter().map(|output| {
                vec![
                    output.name,
                    output.kind.to_owned(),
                    print::count(output.size),
                    output.sha256.chars().take(16).chain(['…']).collect(),
                    output.collected_at.unwrap_or_default(),
                ]
            }),
        ))?;
    }
    Ok(ExitStatus::Done)
}

/// Where conversations that were set aside are now.
fn set_aside(supplement: &BatchRow) -> String {
    let BatchRow { id, state, counts, .. } = supplement;
    let (conversations, events) = (print::count(counts.conversations), print::count(counts.events));
    format!("batch {id}, {state}: conversations {conversations}, events {events}")
}

/// Where files are that came late.
fn follows(supplement: &BatchRow) -> String {
    let BatchRow { id, state, counts, .. } = supplement;
    format!("batch {id}, {state}: messages completed {}", print::count(counts.completed))
}

fn missing_files(files: &[ShownFile]) -> String {
    let mut text = "\nfiles that are missing in it:".to_owned();
    for file in files {
        let name = match (&file.source, &file.event) {
            (Some(source), Some(event)) => format!("event {event} of {source}"),
            _ => "an event that is purged".to_owned(),
        };
        let since = match (file.state, file.supplement) {
            ("follows", Some(supplement)) => format!("follows in batch {supplement}"),
            ("never", _) => "will never come".to_owned(),
            _ => "is still waited for".to_owned(),
        };
        // Writing to a string cannot fail.
        let _ = write!(text, "\n  {}: {since}\n      {}", print::harmless(&name), print::harmless(&file.reason));
    }
    text.push('\n');
    text
}

/// Conversations and why they could not be rendered. No table: a reason may be long, and the name of a room is only of
/// use in one piece.
fn reasons(heading: &str, conversations: &[ShownConversation]) -> String {
    let mut text = format!("\n{heading}:");
    for ShownConversation { room, reason } in conversations {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n  {}", print::harmless(room));
        for line in reason.lines() {
            let _ = write!(text, "\n      {}", print::harmless(line));
        }
    }
    text.push('\n');
    text
}
