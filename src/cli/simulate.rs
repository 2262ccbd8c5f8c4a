//! `chancery simulate`: realistic traffic, to a file or through the broker.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::Outcome;
use super::context::{self, Context};
use super::emit::progress;
use crate::config::Span;
use crate::errors::{ExitStatus, Failure};
use crate::intake::amqp::Publisher;
use crate::model::Ticks;
use crate::simulate::{SimSpec, Simulation, Trouble};

/// Make a business day of a small trading firm: rooms, direct messages, joins, edits, uploads, history views
///
/// The same seed gives the same bytes on every machine. Without --out the events are published.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many events the day has
    #[arg(long, default_value_t = 10_000)]
    events: u64,
    /// How many people
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(2..))]
    people: u32,
    /// How many rooms
    #[arg(long, default_value_t = 14, value_parser = clap::value_parser!(u32).range(1..))]
    rooms: u32,
    /// When the day begins, RFC 3339 [default: so that it ends now]
    #[arg(long, value_name = "TIME", value_parser = time)]
    start: Option<Ticks>,
    /// How long the day lasts, in its own time
    #[arg(long, default_value = "10h")]
    duration: Span,
    /// Events sent per second, in our time; 0 is as fast as possible
    #[arg(long, default_value_t = 0)]
    rate: u32,
    /// Nobody uploads a file; the same people talk instead
    #[arg(long)]
    no_files: bool,
    /// Fraction of events sent again, byte for byte
    #[arg(long, default_value_t = 0.0, value_parser = fraction)]
    duplicates: f64,
    /// Fraction of bodies that are no event
    #[arg(long, default_value_t = 0.0, value_parser = fraction)]
    poison: f64,
    /// Fraction of events dated back
    #[arg(long, default_value_t = 0.0, value_parser = fraction)]
    late: f64,
    /// Write NDJSON to this file (`-`: standard output) instead of publishing
    #[arg(long, value_name = "FILE", conflicts_with = "publish")]
    out: Option<PathBuf>,
    /// Publish through the configured broker (the default)
    #[arg(long)]
    publish: bool,
}

fn time(text: &str) -> Result<Ticks, String> {
    Ticks::parse(text).map_err(|error| error.to_string())
}

fn fraction(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|number| (0.0..=1.0).contains(number))
        .ok_or_else(|| "expected a number from 0 to 1".into())
}

pub(super) fn run(context: &Context, args: &Args) -> Outcome {
    let duration = args.duration.get();
    let simulation = Simulation::new(SimSpec {
        seed: args.seed,
        people: args.people,
        rooms: args.rooms,
        events: args.events,
        start: args.start.unwrap_or_else(|| Ticks::now().minus(duration)),
        duration,
        files: !args.no_files,
        trouble: Trouble { duplicates: args.duplicates, poison: args.poison, late: args.late },
        ..SimSpec::default()
    });
    match &args.out {
        Some(path) => write(simulation, args, path),
        None => publish(context, simulation, args),
    }
}

fn write(simulation: Simulation, args: &Args, path: &std::path::Path) -> Outcome {
    let unwritable = |error: io::Error| {
        Failure::new(ExitStatus::FileSystem, format!("cannot write {}", path.display())).caused_by(error)
    };
    let sink: Box<dyn Write> = if path.as_os_str() == "-" {
        Box::new(io::stdout().lock())
    } else {
        Box::new(File::create(path).map_err(unwritable)?)
    };
    let mut out = BufWriter::with_capacity(1 << 20, sink);
    let mut pace = Pace::new(args.rate);
    let mut written: u64 = 0;
    for event in simulation {
        if let Some(wait) = pace.wait() {
            out.flush().map_err(unwritable)?;
            std::thread::sleep(wait);
        }
        out.write_all(&event.body).and_then(|()| out.write_all(b"\n")).map_err(unwritable)?;
        written += 1;
    }
    out.flush().map_err(unwritable)?;
    eprintln!("{written} events written");
    Ok(ExitStatus::Done)
}

fn publish(context: &Context, simulation: Simulation, args: &Args) -> Outcome {
    let config = context.config()?;
    context::block_on(async {
        let mut publisher = Publisher::connect(context::amqp(&config)?).await.map_err(context::intake_failure)?;
        let progress = progress();
        let mut pace = Pace::new(args.rate);
        for event in simulation {
            if let Some(wait) = pace.wait() {
                tokio::time::sleep(wait).await;
            }
            publisher.publish(event.body).await.map_err(context::intake_failure)?;
            progress.inc(1);
        }
        let published = publisher.finish().await.map_err(context::intake_failure)?;
        progress.finish_and_clear();
        eprintln!("{} events published and confirmed", published.confirmed);
        Ok(ExitStatus::Done)
    })
}

/// Spreads sending evenly: the n-th event is due n/rate seconds after the first.
struct Pace {
    begun: Instant,
    sent: u32,
    rate: u32,
}

impl Pace {
    fn new(rate: u32) -> Self {
        Self { begun: Instant::now(), sent: 0, rate }
    }

    /// How long to wait before the next event; waits too short to keep exactly are saved up.
    fn wait(&mut self) -> Option<Duration> {
        if self.rate == 0 {
            return None;
        }
        let due = Duration::from_secs_f64(f64::from(self.sent) / f64::from(self.rate));
        self.sent = self.sent.saturating_add(1);
        due.checked_sub(self.begun.elapsed()).filter(|wait| *wait >= Duration::from_millis(2))
    }
}
