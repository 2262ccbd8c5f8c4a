//! The player behind `deploy/quickstart`: plays a simulated day through the real `chancery` binary,
//! stands in for the archive, and counts what arrived from the collected files themselves.
//!
//! It uses nothing of the library. What it knows, it knows as an operator does: from the command
//! line, from `status --format json`, and from files.

mod archive;
mod chancery;
mod delivery;
mod evidence;
mod progress;
mod reckoning;
mod show;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};

use chancery::Chancery;

/// How long the day's traffic takes to be delivered.
const PLAY: Duration = Duration::from_secs(20);
/// How long after the last delivery everything must be written, collected and purged.
const SETTLE: Duration = Duration::from_secs(60);

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// What the script tells the player.
#[derive(Parser)]
struct Options {
    /// The binary to drive.
    #[arg(long)]
    chancery: PathBuf,
    /// Its configuration, with the adapters `canonical` and `vantage`.
    #[arg(long)]
    config: PathBuf,
    /// How the events get in.
    #[arg(long, value_enum)]
    intake: Intake,
    /// How many events the day has.
    #[arg(long)]
    events: u64,
    /// Which day it is.
    #[arg(long)]
    seed: u64,
}

/// How the events get in.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Intake {
    /// Published to the broker with confirms.
    Broker,
    /// Moved into the spool directory.
    Spool,
}

fn main() -> ExitCode {
    match play(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("quickstart: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Plays the day; tells whether every event arrived exactly once.
fn play(options: &Options) -> Outcome<bool> {
    let chancery = Chancery::new(&options.chancery, &options.config)?;
    let began = Instant::now();
    eprintln!("quickstart: chancery setup");
    chancery.setup()?;
    eprintln!("quickstart: chancery run");
    let mut running = chancery.run()?;
    let day = delivery::Day::simulate(&chancery, options.seed, options.events, PLAY)?;
    let archive = archive::Archive::open(chancery.directory());
    let delivery = day.deliver(&chancery, options.intake);
    let settled = progress::watch(&chancery, &mut running, &delivery, &day.expected, SETTLE);
    // The order matters: nobody delivers or collects any more when the last look is taken.
    delivery.finish()?;
    let snapshot = archive.close()?;
    let status = settled?;
    running.terminate()?;

    let reckoning = reckoning::reckon(&day.expected, &status, chancery.directory())?;
    show::everything(chancery.directory(), &snapshot, &status, &reckoning)?;
    // What the daemon had not signed when it was stopped.
    chancery.run_once()?;
    evidence::checked(&chancery, &day.message)?;
    let wrong = reckoning.complaints();
    for complaint in wrong {
        eprintln!("quickstart: MISSING: {complaint}");
    }
    if wrong.is_empty() {
        println!("Balanced: every event is in the archive exactly once. {} s.", began.elapsed().as_secs());
    }
    Ok(wrong.is_empty())
}
