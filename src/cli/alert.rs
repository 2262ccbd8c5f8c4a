//! `chancery alert`: closing what only a person can judge.

use clap::Subcommand;

use super::Outcome;
use super::act::act;
use super::context::{self, Context, staging_failure};
use super::print;
use crate::errors::{ExitStatus, Failure};

/// Alerts that a person closes; the others close by themselves once their cause is gone.
const BY_HAND: [&str; 2] = ["conflict", "file-missing"];

/// Close an alert that does not close by itself
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Close an open alert, with a reason that is recorded
    Close {
        /// Its kind, as `status` shows it: `file-missing` or `conflict`
        kind: String,
        /// What it is about, as `status` shows it, e.g. `files of /web/1`
        subject: String,
        /// Why; recorded with your name
        #[arg(long)]
        reason: String,
    },
}

pub(super) fn run(context: &Context, args: &Args) -> Outcome {
    let config = context.config()?;
    let Verb::Close { kind, subject, reason } = &args.verb;
    if reason.trim().is_empty() {
        return Err(Failure::new(ExitStatus::Usage, "--reason is empty, expected why the alert is closed"));
    }
    if !BY_HAND.contains(&kind.as_str()) {
        let found = format!("alerts of the kind {kind:?} are not closed by hand");
        return Err(Failure::new(ExitStatus::Usage, found)
            .hint(format!("{} are; any other closes once its cause is gone", BY_HAND.join(" and "))));
    }
    context::block_on(async {
        let staging = context::open_staging(&config).await?;
        let act = act("alert close", format!("{kind} about {subject}"), reason.as_str());
        let closed = staging.dismiss_alert(kind, subject, &act).await;
        closed.map_err(|error| staging_failure(error).hint("`chancery status` lists open alerts"))
    })?;
    print::data(format!("closed: {kind} about {subject}"))?;
    Ok(ExitStatus::Done)
}
