//! From the queue through `filedump` to collected and purged, everything at once.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::transform::stylesheet;
use super::{Bench, Measured};
use crate::broker::Broker;
use crate::figure::{Figure, Target, Whose};
use crate::peer;
use crate::site::{Rules, Site, Store, files};
use crate::staged::{Counter, drop_schema};
use crate::traffic::{self, Day};

const FILEDUMP: &str = "[[adapter]]\nname = \"filedump\"\ntransform = \"filedump\"\ninterval = \"5s\"\n";
/// Events of an interval of the Python pipeline: its time depends on it hardly, its memory does.
const PYTHON_INTERVAL: usize = 100_000;
const TICK: Duration = Duration::from_millis(100);
const TIME_MAX: Duration = Duration::from_secs(1800);

pub(super) async fn measure(bench: &Bench, measured: &mut Measured) -> Result<()> {
    let events = traffic::simulated(
        &bench.chancery,
        &bench.dir,
        Day { events: bench.sizes.events_end_to_end, rooms: 50, seed: 1, files: false },
    )?;
    measured.settings = vec![
        format!("{} events of {:.0} bytes on average, no files, all waiting in a quorum queue at the start", events.len(), traffic::mean_size(&events)),
        "Chancery: PostgreSQL, intervals of 5 s, an archive that takes every file it finds; from the start of the process until \
         nothing is left in staging; memory of all its processes together, sampled ten times a second"
            .to_owned(),
        format!("Python: intervals of {PYTHON_INTERVAL} events, no recovery and no evidence"),
    ];
    let mut ours = Figure::new("Chancery", Whose::Chancery, "events/s");
    let mut memory = Figure::new("Chancery, peak memory of all processes", Whose::Chancery, "MiB");
    let mut python = Figure::new("Python pipeline", Whose::Peer, "events/s");
    let mut python_memory = Figure::new("Python pipeline, peak memory", Whose::Peer, "MiB");
    for run in 1..=bench.sizes.runs {
        eprintln!("measure: run {run} of {}", bench.sizes.runs);
        let (rate, peak) = chancery(bench, &events).await?;
        ours.values.push(rate);
        memory.values.push(peak);
        let site = filled(bench, Store::Sqlite, &events).await?;
        let said = peer::end_to_end(bench, &site, events.len(), PYTHON_INTERVAL, &stylesheet()?)?;
        python.values.push(said.rate);
        python_memory.values.push(said.peak);
    }
    measured.ratios.push(ours.over("Chancery : Python", &python, Some(Target::AtLeast(3.0))));
    let mut bound = Figure::new("", Whose::Limit, "MiB");
    bound.values = vec![300.0];
    measured.ratios.push(memory.over("peak memory : 300 MiB", &bound, Some(Target::AtMost(1.0))));
    measured.figures = vec![ours, python, memory, python_memory];
    Ok(())
}

async fn filled(bench: &Bench, store: Store, events: &[Vec<u8>]) -> Result<Site> {
    let site = Site::make(bench, store, Rules::Laboratory, FILEDUMP)?;
    let broker = Broker::open(&bench.amqp_url).await?;
    broker.publish(&site.name, events).await?;
    broker.close().await?;
    Ok(site)
}

async fn chancery(bench: &Bench, events: &[Vec<u8>]) -> Result<(f64, f64)> {
    let site = filled(bench, Store::Postgres, events).await?;
    let counter = Counter::open(bench, &site).await?;
    let archive = Archive::open(site.pickup("filedump"));
    let begun = Instant::now();
    let mut daemon = site.run()?;
    let mut peak: f64 = 0.0;
    loop {
        peak = peak.max(daemon.memory_of_all());
        if counter.staged().await? >= events.len() as u64 && counter.is_empty().await? {
            break;
        }
        ensure!(begun.elapsed() < TIME_MAX, "not everything was archived in {} s", TIME_MAX.as_secs());
        daemon.check(&site.log())?;
        tokio::time::sleep(TICK).await;
    }
    let rate = events.len() as f64 / begun.elapsed().as_secs_f64();
    daemon.stop()?;
    archive.close()?;
    drop_schema(bench, &site.name).await?;
    Ok((rate, peak))
}

/// Takes every file that appears on a share, as an archive does.
struct Archive {
    closing: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Result<u64>>,
}

impl Archive {
    fn open(share: PathBuf) -> Self {
        let closing = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&closing);
        let thread = std::thread::spawn(move || {
            let mut taken = 0;
            while !told.load(Ordering::Relaxed) {
                if share.is_dir() {
                    for file in files(&share)? {
                        std::fs::remove_file(&file).with_context(|| format!("cannot take {}", file.display()))?;
                        taken += 1;
                    }
                }
                std::thread::sleep(TICK);
            }
            Ok(taken)
        });
        Self { closing, thread }
    }

    fn close(self) -> Result<()> {
        self.closing.store(true, Ordering::Relaxed);
        let taken = self.thread.join().map_err(|_| anyhow::anyhow!("the archive panicked"))??;
        ensure!(taken > 0, "the archive found no file");
        Ok(())
    }
}
