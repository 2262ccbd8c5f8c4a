//! `chancery emit`: puts events from a file on the queue.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal as _};
use std::path::PathBuf;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Outcome;
use super::context::{self, Context};
use crate::errors::{ExitStatus, Failure};
use crate::intake::amqp::Publisher;
use crate::model::Event;

/// Publish the events of an NDJSON file, one CloudEvent per line, each confirmed by the broker
///
/// Lines are published as they are; one that is no event is published too, and named. The exit code
/// is 0 only when the broker has confirmed every line.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The file, or `-` for standard input
    file: PathBuf,
    /// Refuse lines that Chancery would quarantine, before anything is published
    #[arg(long)]
    strict: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Outcome {
    let config = context.config()?;
    if args.strict {
        check(args)?;
    }
    let lines = open(args)?;
    context::block_on(async {
        let mut publisher = Publisher::connect(context::amqp(&config)?).await.map_err(context::intake_failure)?;
        let progress = progress();
        for line in lines.split(b'\n') {
            let mut line = line.map_err(|error| unreadable(args, error))?;
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            if line.is_empty() {
                continue;
            }
            publisher.publish(line).await.map_err(context::intake_failure)?;
            progress.inc(1);
        }
        let published = publisher.finish().await.map_err(context::intake_failure)?;
        progress.finish_and_clear();
        eprintln!("{} events published and confirmed", published.confirmed);
        Ok(ExitStatus::Done)
    })
}

fn open(args: &Args) -> Result<Box<dyn BufRead>, Failure> {
    if args.file.as_os_str() == "-" {
        return Ok(Box::new(BufReader::new(io::stdin())));
    }
    let file = File::open(&args.file).map_err(|error| unreadable(args, error))?;
    Ok(Box::new(BufReader::with_capacity(1 << 20, file)))
}

fn unreadable(args: &Args, error: io::Error) -> Failure {
    Failure::new(ExitStatus::FileSystem, format!("cannot read {}", args.file.display())).caused_by(error)
}

/// Names the first line that is no event.
fn check(args: &Args) -> Result<(), Failure> {
    if args.file.as_os_str() == "-" {
        return Err(Failure::new(ExitStatus::Usage, "--strict reads the input twice and needs a file")
            .hint("write the events to a file first"));
    }
    for (number, line) in open(args)?.split(b'\n').enumerate() {
        let line = line.map_err(|error| unreadable(args, error))?;
        if let Err(error) = Event::read(line.strip_suffix(b"\r").unwrap_or(&line))
            && !line.is_empty()
        {
            return Err(Failure::new(ExitStatus::Finding, format!("{}:{}: {error}", args.file.display(), number + 1))
                .hint("nothing was published; mend the line, or leave --strict out"));
        }
    }
    Ok(())
}

/// A count that moves while a person watches, and nothing otherwise.
pub(super) fn progress() -> ProgressBar {
    let progress = ProgressBar::new_spinner();
    if !io::stderr().is_terminal() {
        progress.set_draw_target(ProgressDrawTarget::hidden());
    }
    if let Ok(style) = ProgressStyle::with_template("{spinner} {human_pos} events published, {per_sec}") {
        progress.set_style(style);
    }
    progress.enable_steady_tick(Duration::from_millis(200));
    progress
}
