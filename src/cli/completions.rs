//! `chancery completions`: completion scripts for shells.

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::{Cli, Outcome};
use crate::errors::ExitStatus;

/// Print a completion script, e.g. `chancery completions bash > /etc/bash_completion.d/chancery`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(args: &Args) -> Outcome {
    clap_complete::generate(args.shell, &mut Cli::command(), "chancery", &mut std::io::stdout());
    Ok(ExitStatus::Done)
}
