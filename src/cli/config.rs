//! `chancery config`: is it right, where does each value come from, what may be said.

use clap::Subcommand;

use super::Outcome;
use super::context::Context;
use super::print::{self, Column, Format};
use super::transform;
use crate::config;
use crate::errors::{ExitStatus, Failure};

/// Check the configuration, explain it, or print a sample or its JSON Schema
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Check every key; each problem is named with its file, line and cure
    Check,
    /// Show every effective value and where it came from
    Explain,
    /// Print a commented sample with every key
    Sample,
    /// Print the JSON Schema of the configuration
    Schema,
}

pub(super) fn run(context: &Context, args: &Args) -> Outcome {
    match args.verb {
        Verb::Check => {
            let loaded = context.load()?;
            eprintln!(
                "{}: in order, {} sources, {} adapters",
                loaded.file.display(),
                loaded.config.source.len(),
                loaded.config.adapter.len()
            );
            for warning in transform::warnings(&loaded.config) {
                eprintln!("warning: {warning}");
            }
        }
        Verb::Explain => explain(context)?,
        Verb::Sample => print::data(config::sample().trim_end())?,
        Verb::Schema => print::data(config::schema().trim_end())?,
    }
    Ok(ExitStatus::Done)
}

fn explain(context: &Context) -> Result<(), Failure> {
    let rows = config::explain(&context.loader().load_unchecked().map_err(Failure::from)?);
    if context.format() == Format::Json {
        return print::json(&rows);
    }
    let columns = [Column::Text("key"), Column::Text("value"), Column::Text("origin")];
    print::data(print::table(&columns, rows.into_iter().map(|row| vec![row.key, row.value, row.origin.to_string()])))
}
