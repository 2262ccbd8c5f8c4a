//! `chancery reconcile`: whether everything that was sent is where it should be.

mod by;
mod source_manifest;

use std::fmt::Write as _;
use std::path::PathBuf;

use super::Outcome;
use super::context::{self, Context};
use super::hold::instant;
use super::print::{self, Column, Format};
use super::run::failure;
use crate::engine::{Files, Lines, Period, Reconciliation, reconcile};
use crate::errors::{ExitStatus, Failure};
use crate::model::Ticks;

/// Balance what sources sent, what is staged, what each adapter wrote, and what the archive took
///
/// Reads the files that wait on the shares and compares their digests. Ends with 1 when something does not balance.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only batches whose interval ends later
    #[arg(long, value_name = "TIME", value_parser = instant)]
    from: Option<Ticks>,
    /// Only batches whose interval ends then or earlier
    #[arg(long, value_name = "TIME", value_parser = instant)]
    to: Option<Ticks>,
    /// Only ask whether the files are there and for their size; do not read them
    #[arg(long)]
    quick: bool,
    /// Print as CSV: one line for each count, with what it is of; with a source's manifest, one for each difference
    #[arg(long)]
    csv: bool,
    /// Also a line for each batch, or for each room
    #[arg(long, value_enum, value_name = "WHAT", value_delimiter = ',')]
    by: Vec<by::By>,
    /// Compare what a source says it sent, as this file lists it, with what came (docs/reconciliation.md)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["from", "to", "quick", "by"])]
    source_manifest: Option<PathBuf>,
}

pub(super) fn run(context: &Context, args: &Args) -> Outcome {
    if let Some(file) = &args.source_manifest {
        return source_manifest::run(context, file, args.csv);
    }
    let config = context.config()?;
    let format = context.format();
    let period = Period { from: args.from.unwrap_or(Ticks::MIN), to: args.to.unwrap_or(Ticks::MAX) };
    if period.from >= period.to {
        return Err(Failure::new(ExitStatus::Usage, "--from is not before --to: no batch lies between"));
    }
    let lines = Lines { intervals: args.by.contains(&by::By::Interval), rooms: args.by.contains(&by::By::Room) };
    if lines.rooms && (args.from.is_some() || args.to.is_some()) {
        let why = "--by room does not go with --from and --to: a room's purged events are not counted by interval";
        return Err(Failure::new(ExitStatus::Usage, why).hint("leave --from and --to out, or use --by interval"));
    }
    let files = if args.quick { Files::Present } else { Files::Read };
    let found = context::block_on(async {
        let staging = context::open_staging(&config).await?;
        reconcile(&staging, &config, period, files, lines).await.map_err(failure)
    })?;
    match format {
        _ if args.csv => print::data(csv(&found).trim_end())?,
        Format::Json => print::json(&found)?,
        Format::Table => tables(&found)?,
    }
    Ok(if found.imbalances.is_empty() { ExitStatus::Done } else { ExitStatus::Finding })
}

fn tables(found: &Reconciliation) -> Result<(), Failure> {
    let columns = [
        Column::Text("source"),
        Column::Number("emitted"),
        Column::Number("missing"),
        Column::Number("staged"),
        Column::Number("present"),
        Column::Number("purged"),
        Column::Number("quarantined"),
    ];
    let rows = found.sources.iter().map(|line| {
        let numbers = [line.missing, line.staged, line.present, line.purged, line.quarantined];
        let emitted = line.emitted.map_or_else(|| "unknown".into(), print::count);
        [print::harmless(&line.source), emitted].into_iter().chain(numbers.map(print::count)).collect()
    });
    print::data(print::table(&columns, rows))?;
    let columns = [
        Column::Text("adapter"),
        Column::Number("waiting"),
        Column::Number("written"),
        Column::Number("messages"),
        Column::Number("signals"),
        Column::Number("left out"),
        Column::Number("collected"),
        Column::Number("on share"),
        Column::Number("failed"),
        Column::Number("abandoned"),
    ];
    let rows = found.adapters.iter().map(|line| {
        let counts = [line.waiting, line.written, line.messages, line.signals, line.left_out];
        let counts = counts.into_iter().chain([line.collected, line.on_share, line.failed, line.abandoned]);
        std::iter::once(line.adapter.clone()).chain(counts.map(print::count)).collect()
    });
    print::data(print::table(&columns, rows))?;
    by::tables(found)?;
    if found.imbalances.is_empty() {
        return print::data("balanced");
    }
    let columns = [Column::Text("lost at"), Column::Text("about"), Column::Text("what")];
    let row = |found: &crate::engine::Imbalance| {
        vec![found.hop.as_str().into(), print::harmless(&found.subject), print::harmless(&found.detail)]
    };
    print::data(print::table(&columns, found.imbalances.iter().map(row)))
}

fn csv(found: &Reconciliation) -> String {
    let mut text = String::from("of,name,count,value\r\n");
    let mut put = |of: &str, name: &str, count: &str, value: &str| {
        let cells = [of, name, count, value].map(cell);
        let _ = write!(text, "{}\r\n", cells.join(","));
    };
    for line in &found.sources {
        let counts = [
            ("emitted", line.emitted),
            ("missing", Some(line.missing)),
            ("staged", Some(line.staged)),
            ("present", Some(line.present)),
            ("purged", Some(line.purged)),
            ("quarantined", Some(line.quarantined)),
        ];
        for (count, value) in counts {
            put("source", &line.source, count, &value.map(|value| value.to_string()).unwrap_or_default());
        }
    }
    for line in &found.adapters {
        let counts = [
            ("waiting", line.waiting),
            ("written", line.written),
            ("messages", line.messages),
            ("signals", line.signals),
            ("left_out", line.left_out),
            ("collected", line.collected),
            ("on_share", line.on_share),
            ("failed", line.failed),
            ("abandoned", line.abandoned),
        ];
        for (count, value) in counts {
            put("adapter", &line.adapter, count, &value.to_string());
        }
    }
    by::csv(found, &mut put);
    for lost in &found.imbalances {
        put(&format!("lost at {}", lost.hop.as_str()), &lost.subject, "detail", &lost.detail);
    }
    text
}

/// A cell as RFC 4180 has it; one that a spreadsheet would take for a formula begins with an apostrophe.
fn cell(text: &str) -> String {
    let text = print::harmless(text);
    let text = if text.starts_with(['=', '+', '-', '@']) { format!("'{text}") } else { text };
    if text.contains([',', '"']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::cell;

    #[test]
    fn a_cell_is_quoted_where_it_must_be_and_never_a_formula() {
        assert_eq!(["a", "a,b", "say \"x\"", "=1+1"].map(cell), ["a", "\"a,b\"", "\"say \"\"x\"\"\"", "'=1+1"]);
    }
}
