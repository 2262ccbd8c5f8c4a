//! `chancery transform`: what an adapter would make of a canonical file.

use std::io::Write as _;
use std::path::PathBuf;

use super::Outcome;
use super::context::{self, Context};
use crate::engine::adapter_transform;
use crate::errors::{ExitStatus, Failure};
use crate::support::durable;
use crate::support::step::Commit;
use crate::transform::{ResolveError, TransformError, Transformer};

/// Apply an adapter's stylesheet, parameters and schema to a canonical XML file
///
/// It runs in the same sandbox as in the daemon; nothing is staged or published.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The canonical file, e.g. one that an adapter without a transform has written
    file: PathBuf,
    /// The adapter's name in the configuration
    #[arg(long)]
    adapter: String,
    /// Write the result to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) fn run(context: &Context, args: &Args) -> Outcome {
    let config = context.config()?;
    let adapter = config.adapter_named(&args.adapter).ok_or_else(|| {
        let names: Vec<&str> = config.adapter.iter().map(|adapter| adapter.name.as_str()).collect();
        Failure::new(ExitStatus::Usage, format!("there is no adapter {:?} in the configuration", args.adapter))
            .hint(format!("the adapters are: {}", names.join(", ")))
    })?;
    let document = std::fs::read(&args.file).map_err(|error| {
        Failure::new(ExitStatus::FileSystem, format!("cannot read {}", args.file.display())).caused_by(error)
    })?;
    let bytes = context::block_on(async {
        let Some(spec) = adapter_transform(adapter).map_err(unresolved)? else { return Ok(document) };
        let transformer = Transformer::start(spec).await.map_err(|error| failed(&error))?;
        if adapter.transform.is_none() {
            transformer.validate(&document).await.map_err(|error| failed(&error))?;
            return Ok(document);
        }
        let transformed = transformer.transform(&document).await.map_err(|error| failed(&error))?;
        for message in transformed.messages {
            eprintln!("the stylesheet says: {message}");
        }
        Ok(transformed.bytes)
    })?;
    match &args.out {
        Some(path) => durable::write_whole(path, &bytes, Commit::EXPORT_WRITTEN)
            .map_err(|error| Failure::new(ExitStatus::FileSystem, "cannot write the result").caused_by(error))?,
        None => std::io::stdout().write_all(&bytes).map_err(|error| {
            Failure::new(ExitStatus::Interrupted, "cannot write to standard output").caused_by(error)
        })?,
    }
    Ok(ExitStatus::Done)
}

fn unresolved(error: ResolveError) -> Failure {
    Failure::new(ExitStatus::Configuration, "the adapter's transform cannot be found").caused_by(error)
}

/// The failure with every diagnostic on a line of its own.
fn failed(error: &TransformError) -> Failure {
    if error.diagnostics().len() > 1 {
        for diagnostic in error.diagnostics() {
            eprintln!("{diagnostic}");
        }
    }
    Failure::new(ExitStatus::Transform, error.to_string())
}
