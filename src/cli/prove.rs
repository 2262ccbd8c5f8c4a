//! `chancery prove`: writes the proof for one event, and never its content, or that the log continues an earlier head.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::Outcome;
use super::context::{self, Context, staging_failure};
use super::print;
use crate::errors::{ExitStatus, Failure};
use crate::evidence::head::Head;
use crate::evidence::proof::{ProveError, prove, prove_continuation};
use crate::support::durable::{self, WithPath as _};
use crate::support::step::Commit;

/// Write a proof that an event was archived with exactly its bytes, or that the log only grew since a head;
/// `chancery verify --proof` checks it anywhere
///
/// Ends with 1 when no batch of the signed log holds the event, or the log does not continue the head.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The event's source, as its CloudEvents `source` has it
    #[arg(required_unless_present = "since")]
    source: Option<String>,
    /// The event's id
    #[arg(required_unless_present = "since")]
    id: Option<String>,
    /// Prove instead that the newest signed head continues the log of this head, which was kept elsewhere
    #[arg(long, value_name = "HEAD", conflicts_with_all = ["source", "id"])]
    since: Option<PathBuf>,
    /// The evidence directory; without it, the one of the configuration
    #[arg(long, value_name = "DIR")]
    evidence: Option<PathBuf>,
    /// Write the proof to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) fn run(context: &Context, args: &Args) -> Outcome {
    match (&args.since, &args.source, &args.id) {
        (Some(head), ..) => since(context, args, head),
        (None, Some(source), Some(id)) => event(context, args, source, id),
        (None, ..) => Err(Failure::new(ExitStatus::Usage, "an event is named by its source and its id")),
    }
}

/// Proves that the log continues a head.
fn since(context: &Context, args: &Args, path: &Path) -> Outcome {
    let unreadable = |problem: String| {
        Failure::new(ExitStatus::Usage, format!("{} is no head: {problem}", path.display()))
            .hint("give a file from `heads` of the evidence directory, as it was when you were given it")
    };
    let text = fs::read_to_string(path).at("read", path).map_err(|error| failure(error.into()))?;
    let head = Head::parse(&text).map_err(unreadable)?;
    let dir = match &args.evidence {
        Some(dir) => dir.clone(),
        None => context.config()?.evidence_dir(),
    };
    write(args, &prove_continuation(&dir, &head).map_err(failure)?)
}

/// Proves an event.
fn event(context: &Context, args: &Args, source: &str, id: &str) -> Outcome {
    let (dir, staged) = match &args.evidence {
        Some(dir) => (dir.clone(), None),
        None => {
            let config = context.config()?;
            let staged = context::block_on(async {
                let staging = context::open_staging(&config).await?;
                staging.is_staged(source, id).await.map_err(staging_failure)
            })?;
            (config.evidence_dir(), Some(staged))
        }
    };
    let proof = prove(&dir, source, id).map_err(failure)?;
    match staged {
        Some(true) => eprintln!("the event's bytes are still staged"),
        Some(false) => eprintln!("the event's bytes are not staged: they are purged, or never came"),
        None => {}
    }
    let Some(proof) = proof else {
        eprintln!("no batch of the signed log holds an event {} of {}", print::harmless(id), print::harmless(source));
        return Ok(ExitStatus::Finding);
    };
    write(args, &proof)
}

fn write(args: &Args, proof: &impl Serialize) -> Outcome {
    let mut text = serde_json::to_string_pretty(proof)
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
