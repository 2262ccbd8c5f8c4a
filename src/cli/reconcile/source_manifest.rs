//! `chancery reconcile --source-manifest`: what a source says it sent, one to one with what came.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::cell;
use crate::cli::Outcome;
use crate::cli::context::{self, Context, staging_failure};
use crate::cli::print::{self, Column, Format};
use crate::engine::{BadLine, Comparison, Difference, SourceManifest, compare};
use crate::errors::{ExitStatus, Failure};
use crate::model::Ticks;
use crate::support::durable::WithPath as _;

/// Differences that a table shows; JSON and CSV have all.
const SHOWN_MAX: usize = 100;

pub(super) fn run(context: &Context, file: &Path, as_csv: bool) -> Outcome {
    let config = context.config()?;
    let text = fs::read_to_string(file).at("read", file).map_err(|error| {
        Failure::new(ExitStatus::FileSystem, "the source's manifest cannot be read")
            .caused_by(error)
            .hint("correct the path; the file must be text in UTF-8")
    })?;
    let now = Ticks::now();
    let bad = |error: BadLine| {
        Failure::new(ExitStatus::Usage, format!("{}:{}: {}", file.display(), error.line, error.problem))
            .hint("docs/reconciliation.md has the format, schemas/source-manifest.schema.json each of its lines")
    };
    let manifest = SourceManifest::parse(&text).map_err(bad)?;
    manifest.can_be_compared(now).map_err(bad)?;
    let found = context::block_on(async {
        let staging = context::open_staging(&config).await?;
        compare(&staging, &manifest, now).await.map_err(staging_failure)
    })?;
    match context.format() {
        _ if as_csv => print::data(csv(&found).trim_end())?,
        Format::Json => print::json(&found)?,
        Format::Table => tables(&found)?,
    }
    Ok(if found.differences.is_empty() { ExitStatus::Done } else { ExitStatus::Finding })
}

/// What a difference is, in words.
fn kind(difference: &Difference) -> &'static str {
    match difference {
        Difference { listed, arrived, .. } if listed > arrived => "never arrived",
        _ => "not listed",
    }
}

fn tables(found: &Comparison) -> Result<(), Failure> {
    let columns = [
        Column::Text("source"),
        Column::Text("from"),
        Column::Text("to"),
        Column::Number("listed"),
        Column::Number("arrived"),
        Column::Number("quarantined"),
        Column::Number("purged"),
    ];
    let names = [&found.source, &found.from, &found.to].map(|text| print::harmless(text));
    let counts = [found.listed, found.arrived, found.quarantined, found.purged].map(print::count);
    print::data(print::table(&columns, [names.into_iter().chain(counts).collect()]))?;
    if found.differences.is_empty() {
        return print::data("what the source lists is what arrived");
    }
    let columns = [
        Column::Text("what"),
        Column::Text("event"),
        Column::Text("room"),
        Column::Text("hour"),
        Column::Number("listed"),
        Column::Number("arrived"),
    ];
    let text = |text: &Option<String>| text.as_deref().map(print::harmless).unwrap_or_default();
    let rows = found.differences.iter().take(SHOWN_MAX).map(|one| {
        let numbers = [one.listed, one.arrived].map(print::count);
        [kind(one).to_owned(), text(&one.id), text(&one.room), text(&one.hour)].into_iter().chain(numbers).collect()
    });
    print::data(print::table(&columns, rows))?;
    match found.differences.len().saturating_sub(SHOWN_MAX) {
        0 => Ok(()),
        more => print::data(format!("and {more} more; --csv and --format json have all")),
    }
}

fn csv(found: &Comparison) -> String {
    let mut text = String::from("what,event,room,hour,listed,arrived\r\n");
    for one in &found.differences {
        let [id, room, hour] = [&one.id, &one.room, &one.hour].map(|text| cell(text.as_deref().unwrap_or_default()));
        let _ = write!(text, "{},{id},{room},{hour},{},{}\r\n", kind(one), one.listed, one.arrived);
    }
    text
}
