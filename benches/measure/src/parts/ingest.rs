//! From the queue into staging: validated, deduplicated, committed, acknowledged.

use anyhow::Result;

use super::{Bench, Measured};
use crate::broker::Broker;
use crate::figure::{Figure, Target, Whose};
use crate::limits::{postgres, sqlite};
use crate::peer;
use crate::site::{Rules, Site, Store};
use crate::staged::{Counter, drop_schema};
use crate::traffic::{self, Day};

/// The bare loops that are known to be fastest with the client that the product uses.
const LOT_POSTGRES: usize = 1_000;
const LOT_SQLITE: usize = 5_000;
const PREFETCH: u16 = 5_000;
const DRAIN_LOT: usize = 500;
/// No interval ends while it is measured.
const NO_OUTPUT: &str = "[[adapter]]\nname = \"later\"\ninterval = \"30d\"\n";

pub(super) async fn measure(bench: &Bench, store: Store, measured: &mut Measured) -> Result<()> {
    let events = traffic::simulated(
        &bench.chancery,
        &bench.dir,
        Day { events: bench.sizes.events, rooms: 50, seed: 1, files: false },
    )?;
    measured.settings = vec![
        format!(
            "{} events of {:.0} bytes on average, none about a file, quorum queue, all waiting at the start",
            events.len(),
            traffic::mean_size(&events)
        ),
        "rate from the first commit to the last; each event validated, deduplicated, committed, acknowledged"
            .to_owned(),
        match store {
            Store::Postgres => {
                "fsync and synchronous_commit on; bare loop: UNNEST of 1,000 with ON CONFLICT, nothing parsed"
                    .to_owned()
            }
            Store::Sqlite => "synchronous = FULL; bare loop: 5,000 per commit, nothing parsed".to_owned(),
        },
    ];
    let mut drained = Figure::new("drain and acknowledge, nothing stored", Whose::Limit, "events/s");
    let mut bare =
        Figure::new(format!("bare loop: drain, insert, acknowledge ({})", store.name()), Whose::Limit, "events/s");
    let mut ours = Figure::new("Chancery", Whose::Chancery, "events/s");
    let mut cpu = Figure::new("Chancery, processor time", Whose::Chancery, "µs/event");
    let mut peak = Figure::new("Chancery, peak memory", Whose::Chancery, "MiB");
    let mut python = Figure::new("Python pipeline, its take-in", Whose::Peer, "events/s");
    for run in 1..=bench.sizes.runs {
        eprintln!("measure: run {run} of {}", bench.sizes.runs);
        drained.values.push(drain(bench, &events).await?);
        bare.values.push(bare_loop(bench, store, &events).await?);
        let (rate, seconds, memory) = chancery(bench, store, &events).await?;
        ours.values.push(rate);
        cpu.values.push(seconds * 1e6 / events.len() as f64);
        peak.values.push(memory);
        if store == Store::Postgres {
            python.values.push(peer_take_in(bench, &events).await?);
        }
    }
    measured.ratios.push(ours.over("Chancery : bare loop", &bare, Some(Target::AtLeast(0.75))));
    if store == Store::Postgres {
        measured.ratios.push(ours.over("Chancery : Python", &python, Some(Target::AtLeast(3.0))));
    }
    measured.ratios.push(ours.over("Chancery : drain alone", &drained, None));
    measured.figures = vec![drained, bare, ours, cpu, peak];
    if store == Store::Postgres {
        measured.figures.push(python);
    }
    Ok(())
}

/// A site whose queue holds the events.
async fn filled(bench: &Bench, store: Store, events: &[Vec<u8>]) -> Result<(Site, Broker)> {
    let site = Site::make(bench, store, Rules::Firm, NO_OUTPUT)?;
    let broker = Broker::open(&bench.amqp_url).await?;
    broker.publish(&site.name, events).await?;
    Ok((site, broker))
}

async fn drain(bench: &Bench, events: &[Vec<u8>]) -> Result<f64> {
    let (site, broker) = filled(bench, Store::Sqlite, events).await?;
    let rate = broker
        .drain(&site.queue(), (events.len(), DRAIN_LOT.min(events.len() / 4).max(1), PREFETCH), async |_| Ok(()))
        .await?;
    broker.close().await?;
    Ok(rate)
}

async fn bare_loop(bench: &Bench, store: Store, events: &[Vec<u8>]) -> Result<f64> {
    let (site, broker) = filled(bench, Store::Sqlite, events).await?;
    let lot = |usual: usize| usual.min(events.len() / 4).max(1);
    let rate = match store {
        Store::Postgres => {
            let mut table = postgres::BareTable::make(&bench.postgres_url, &format!("{}_bare", site.name)).await?;
            let how = (events.len(), lot(LOT_POSTGRES), PREFETCH);
            let rate = broker.drain(&site.queue(), how, async |bodies| table.insert(bodies).await).await?;
            table.drop().await?;
            rate
        }
        Store::Sqlite => {
            let mut table = sqlite::BareTable::make(&site.path("bare.db")).await?;
            // A lot must fit into what the broker hands out at once.
            let how = (events.len(), lot(LOT_SQLITE), 2 * PREFETCH);
            let rate = broker.drain(&site.queue(), how, async |bodies| table.insert(bodies).await).await?;
            table.close().await;
            rate
        }
    };
    broker.close().await?;
    Ok(rate)
}

/// Rate, seconds of processor time, peak memory.
async fn chancery(bench: &Bench, store: Store, events: &[Vec<u8>]) -> Result<(f64, f64, f64)> {
    let (site, broker) = filled(bench, store, events).await?;
    let counter = Counter::open(bench, &site).await?;
    let mut daemon = site.run()?;
    let rate = counter.rate(events.len() as u64, &mut daemon, &site).await?;
    let taken = daemon.taken()?;
    daemon.stop()?;
    broker.close().await?;
    if store == Store::Postgres {
        drop_schema(bench, &site.name).await?;
    }
    Ok((rate, taken.seconds, taken.peak))
}

async fn peer_take_in(bench: &Bench, events: &[Vec<u8>]) -> Result<f64> {
    let (site, broker) = filled(bench, Store::Sqlite, events).await?;
    let said = peer::take_in(bench, &site, events.len())?;
    broker.close().await?;
    Ok(said.rate)
}
