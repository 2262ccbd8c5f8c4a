//! From staged events to files on the share, without a stylesheet: read, sorted into conversations, written as canonical XML,
//! synced, read back, renamed.

use anyhow::{Context as _, Result, ensure};

use super::{Bench, Measured};
use crate::broker::Broker;
use crate::figure::{Figure, Target, Whose};
use crate::limits::{files, postgres, sqlite};
use crate::site::{self, Rules, Site, Store};
use crate::staged::{Counter, drop_schema};
use crate::traffic::{self, Day};

const CANONICAL: &str = "[[adapter]]\nname = \"canonical\"\ninterval = \"30d\"\n";

pub(super) async fn measure(bench: &Bench, measured: &mut Measured) -> Result<()> {
    let events = traffic::simulated(
        &bench.chancery,
        &bench.dir,
        Day { events: bench.sizes.events, rooms: 50, seed: 1, files: false },
    )?;
    measured.settings = vec![
        format!(
            "{} staged events of {:.0} bytes on average, none about a file, 50 rooms, one output",
            events.len(),
            traffic::mean_size(&events)
        ),
        "time from the cut to the last rename, as the batch's record has it".to_owned(),
        "limits: the same bytes read ordered by room and time; the same files written, synced, renamed".to_owned(),
    ];
    for store in Store::BOTH {
        let named = |what: &str| format!("{what} ({})", store.name());
        let mut ours = Figure::new(named("Chancery"), Whose::Chancery, "events/s");
        let mut read = Figure::new(named("read alone"), Whose::Limit, "events/s");
        let mut write = Figure::new(named("write alone"), Whose::Limit, "events/s");
        for run in 1..=bench.sizes.runs {
            eprintln!("measure: {}, run {run} of {}", store.name(), bench.sizes.runs);
            let staged = Staged::make(bench, store, CANONICAL, &events).await?;
            ours.values.push(events.len() as f64 / staged.write("canonical", false)?);
            let contents = staged.contents("canonical")?;
            staged.clear(bench).await?;
            read.values.push(events.len() as f64 / read_alone(bench, store, &events).await?);
            let dir = tempfile::tempdir_in(&bench.dir)?;
            let begun = std::time::Instant::now();
            files::write_all(dir.path(), &contents)?;
            write.values.push(events.len() as f64 / begun.elapsed().as_secs_f64());
        }
        let both = 1.0 / (1.0 / read.median() + 1.0 / write.median());
        let mut sum = Figure::new(named("read, then write"), Whose::Limit, "events/s");
        sum.values = vec![both];
        measured.ratios.push(ours.over(named("Chancery : read, then write"), &sum, None));
        let mut floor = Figure::new("", Whose::Limit, "events/s");
        floor.values = vec![150_000.0];
        measured.ratios.push(ours.over(named("Chancery : 150,000 events/s"), &floor, Some(Target::AtLeast(1.0))));
        measured.figures.extend([ours, read, write, sum]);
    }
    Ok(())
}

/// A site in whose staging the events lie, with nothing cut yet.
pub(super) struct Staged {
    site: Site,
}

impl Staged {
    pub(super) async fn make(bench: &Bench, store: Store, adapters: &str, events: &[Vec<u8>]) -> Result<Self> {
        let site = Site::make(bench, store, Rules::Firm, adapters)?;
        let broker = Broker::open(&bench.amqp_url).await?;
        broker.publish(&site.name, events).await?;
        broker.close().await?;
        let counter = Counter::open(bench, &site).await?;
        let mut daemon = site.run()?;
        counter.rate(events.len() as u64, &mut daemon, &site).await?;
        daemon.stop()?;
        Ok(Self { site })
    }

    /// Closes the interval; gives back the seconds from the cut to the last file.
    pub(super) fn write(&self, adapter: &str, one_core: bool) -> Result<f64> {
        if one_core {
            self.site.run_on_one_core(&["run", "--once"])?;
        } else {
            crate::process::succeeded(self.site.command().args(["run", "--once"]))?;
        }
        let batches = self.site.ask(&["batch", "list", "--adapter", adapter])?;
        // The first start cut an empty one.
        let mut filled = batches.as_array().into_iter().flatten().filter(|batch| batch["events"] != 0);
        let batch = filled.next().context("no batch was cut")?;
        let at = |key: &str| -> Result<jiff::Timestamp> {
            let text = batch[key].as_str().with_context(|| format!("the batch has no {key}: {batch}"))?;
            text.parse::<jiff::Timestamp>().with_context(|| format!("{key} is no instant: {text}"))
        };
        ensure!(batch["state"] == "published", "the batch is not published: {batch}");
        Ok((at("published_at")? - at("cut_at")?).total(jiff::Unit::Second)?)
    }

    /// The files on the share.
    pub(super) fn contents(&self, adapter: &str) -> Result<Vec<Vec<u8>>> {
        let read =
            |path: std::path::PathBuf| std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()));
        site::files(&self.site.pickup(adapter))?.into_iter().map(read).collect()
    }

    pub(super) fn site(&self) -> &Site {
        &self.site
    }

    pub(super) async fn clear(self, bench: &Bench) -> Result<()> {
        if self.site.store == Store::Postgres { drop_schema(bench, &self.site.name).await } else { Ok(()) }
    }
}

/// Seconds for reading the same bytes from a bare table, ordered as conversations are.
async fn read_alone(bench: &Bench, store: Store, events: &[Vec<u8>]) -> Result<f64> {
    let dir = tempfile::tempdir_in(&bench.dir)?;
    match store {
        Store::Postgres => {
            let schema = format!("measure_read_{}", std::process::id());
            let mut table = postgres::BareTable::make(&bench.postgres_url, &schema).await?;
            for lot in events.chunks(5_000) {
                table.insert(lot).await?;
            }
            let begun = std::time::Instant::now();
            table.read().await?;
            let seconds = begun.elapsed().as_secs_f64();
            table.drop().await?;
            Ok(seconds)
        }
        Store::Sqlite => {
            let mut table = sqlite::BareTable::make(&dir.path().join("bare.db")).await?;
            for lot in events.chunks(5_000) {
                table.insert(lot).await?;
            }
            let begun = std::time::Instant::now();
            table.read().await?;
            let seconds = begun.elapsed().as_secs_f64();
            table.close().await;
            Ok(seconds)
        }
    }
}
