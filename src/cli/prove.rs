//! `chancery prove`: writes the proof for one event, and never its content.

use std::path::PathBuf;

use super::Outcome;
use super::context::{self, Context, staging_failure};
use super::print;
use crate::errors::{ExitStatus, Failure};
use crate::evidence::proof::{ProveError, prove};
use crate::support::durable;
use crate::support::step::Commit;

/// Write a proof that an event was archived with exactly its bytes; `chancery verify --proof` checks it anywhere
///
/// Ends with 1 when no batch of the signed log holds the event.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The event's source, as its CloudEvents `source` has it
    source: String,
    /// The event's id
    id: String,
    /// The evidence directory; without it, the one of the configuration
    #[arg(long, value_name = "DIR")]
    evidence: Option<PathBuf>,
    /// Write the proof to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) fn run(context: &Context, args: &Args) -> Outcome {
    let (dir, staged) = match &args.evidence {
        Some(dir) => (dir.clone(), None),
        None => {
            let config = context.config()?;
            let staged = context::block_on(async {
                let staging = context::open_staging(&config).await?;
                staging.is_staged(&args.source, &args.id).await.map_err(staging_failure)
            })?;
            (config.evidence_dir(), Some(staged))
        }
    };
    let proof = prove(&dir, &args.source, &args.id).map_err(failure)?;
    match staged {
        Some(true) => eprintln!("the event's bytes are still staged"),
        Some(false) => eprintln!("the event's bytes are not staged: they are purged, or never came"),
        None => {}
    }
    let Some(proof) = proof else {
        eprintln!(
            "no batch of the signed log holds an event {} of {}",
            print::harmless(&args.id),
            print::harmless(&args.source)
        );
        return Ok(ExitStatus::Finding);
    };
    let mut text = serde_json::to_string_pretty(&proof)
        .map_err(|error| Failure::new(ExitStatus::Interrupted, "cannot write the proof as JSON").caused_by(error))?;
    match &args.out {
        None => print::data(text)?,
        Some(path) => {
            text.push('\n');
            durable::write_whole(path, text.as_bytes(), Commit::EXPORT_WRITTEN)
                .map_err(|error| Failure::new(ExitStatus::FileSystem, "cannot write the proof").caused_by(error))?;
        }
    }
    Ok(ExitStatus::Done)
}

fn failure(error: ProveError) -> Failure {
    let cure = error.cure();
    let status = match &error {
        ProveError::Disk(_) => ExitStatus::FileSystem,
        _ => ExitStatus::Finding,
    };
    Failure::new(status, "no proof can be made").caused_by(error).hint(cure)
}
