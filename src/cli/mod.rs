//! The command line: one file per subcommand, data on standard output, talk on standard error.
//!
//! `docs/exit-codes.md` lists the exit codes. Every command reads the same configuration.

mod access;
mod act;
mod acts;
mod alert;
mod batch;
mod bridge;
mod completions;
mod config;
mod context;
mod emit;
mod evidence;
mod hold;
mod print;
mod prove;
mod purge;
mod quarantine;
mod reconcile;
mod run;
mod sequence;
mod setup;
mod simulate;
mod status;
mod transform;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::errors::{ExitStatus, Failure};
use context::Context;
use print::Format;

/// What a command ends with.
type Outcome = Result<ExitStatus, Failure>;

/// Chancery archives what a chat server says: exactly once, in the archive's own format.
#[derive(Debug, Parser)]
#[command(name = "chancery", version, about, long_about = None, propagate_version = true, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(flatten)]
    global: Global,

    #[command(subcommand)]
    command: Command,
}

/// Options of every command.
#[derive(Debug, clap::Args)]
pub(crate) struct Global {
    /// Configuration file [default: $CHANCERY_CONFIG, ./chancery.toml, /etc/chancery/chancery.toml]
    #[arg(long, short, global = true, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Override one key, e.g. `--set amqp.prefetch=100` or `--set adapter.vantage.interval=5m`
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    set: Vec<String>,

    /// How data is printed
    #[arg(long, global = true, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Args),
    Setup(setup::Args),
    Emit(emit::Args),
    Bridge(bridge::Args),
    Simulate(simulate::Args),
    Transform(transform::Args),
    Status(status::Args),
    Batch(batch::Args),
    Alert(alert::Args),
    Quarantine(quarantine::Args),
    Sequence(sequence::Args),
    Reconcile(reconcile::Args),
    Hold(hold::Args),
    Acts(acts::Args),
    Purge(purge::Args),
    Evidence(evidence::Args),
    Prove(prove::Args),
    Verify(verify::Args),
    Config(config::Args),
    Completions(completions::Args),
    /// The sandboxed half of an adapter; started by Chancery itself.
    #[command(hide = true)]
    TransformWorker,
}

/// Parses the command line, runs the command and tells the exit code.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors to clap's exit code either.
            let status = if error.use_stderr() { ExitStatus::Usage } else { ExitStatus::Done };
            // A closed standard output leaves nobody to tell.
            let _ = error.print();
            return status.into();
        }
    };
    if matches!(cli.command, Command::TransformWorker) {
        return crate::transform::worker_main();
    }
    match dispatch(cli) {
        Ok(status) => status.into(),
        Err(failure) => {
            eprint!("{}", failure.report());
            failure.status.into()
        }
    }
}

fn dispatch(cli: Cli) -> Outcome {
    let context = Context::new(cli.global);
    match cli.command {
        Command::Run(args) => run::run(&context, &args),
        Command::Setup(args) => setup::run(&context, &args),
        Command::Emit(args) => emit::run(&context, &args),
        Command::Bridge(args) => bridge::run(&context, &args),
        Command::Simulate(args) => simulate::run(&context, &args),
        Command::Transform(args) => transform::run(&context, &args),
        Command::Status(args) => status::run(&context, &args),
        Command::Batch(args) => batch::run(&context, &args),
        Command::Alert(args) => alert::run(&context, &args),
        Command::Quarantine(args) => quarantine::run(&context, &args),
        Command::Sequence(args) => sequence::run(&context, &args),
        Command::Reconcile(args) => reconcile::run(&context, &args),
        Command::Acts(args) => acts::run(&context, &args),
        Command::Hold(args) => hold::run(&context, &args),
        Command::Purge(args) => purge::run(&context, &args),
        Command::Evidence(args) => evidence::run(&context, &args),
        Command::Prove(args) => prove::run(&context, &args),
        Command::Verify(args) => verify::run(&context, &args),
        Command::Config(args) => config::run(&context, &args),
        Command::Completions(args) => completions::run(&args),
        Command::TransformWorker => Ok(ExitStatus::Done),
    }
}
