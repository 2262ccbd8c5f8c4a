//! Whether an event costs the same however many others wait with it, and however many rooms they are spread over.
//!
//! What is compared is processor time, because it says the same on a machine that does other things, too.

use anyhow::{Result, ensure};

use super::{Bench, Measured};
use crate::broker::Broker;
use crate::figure::{Figure, Target, Whose};
use crate::process::Taken;
use crate::site::{Rules, Site, Store};
use crate::staged::{Counter, drop_schema};
use crate::traffic::{self, Day};

const CANONICAL: &str = "[[adapter]]\nname = \"canonical\"\ninterval = \"30d\"\n";
/// Rooms where it is the events that grow.
const ROOMS: usize = 50;
/// How far apart the costs of an event may be.
const COST: Target = Target::AtMost(1.15);
/// How far apart peaks of memory may be.
const MEMORY: Target = Target::AtMost(1.2);

pub(super) async fn measure(bench: &Bench, measured: &mut Measured) -> Result<()> {
    let [few, many] = bench.sizes.growth;
    measured.settings = vec![
        format!("{few} and {many} events in {ROOMS} rooms; {} events in {:?} rooms; none about a file", bench.sizes.events, bench.sizes.rooms),
        "processor time of Chancery alone, from a queue into staging and from staging to canonical XML on the share, one interval"
            .to_owned(),
    ];
    for store in Store::BOTH {
        let sizes = [(few, ROOMS), (many, ROOMS)];
        compare(bench, store, &sizes, |(events, _)| format!("{events} events"), measured).await?;
        let rooms = bench.sizes.rooms.map(|rooms| (bench.sizes.events, rooms));
        compare(bench, store, &rooms, |(_, rooms)| format!("{rooms} rooms"), measured).await?;
    }
    Ok(())
}

/// Measures each size, and the largest against the smallest.
async fn compare(
    bench: &Bench,
    store: Store,
    sizes: &[(usize, usize)],
    named: impl Fn((usize, usize)) -> String,
    measured: &mut Measured,
) -> Result<()> {
    let figure = |what: &str, size, unit| {
        Figure::new(format!("{what}, {} ({})", named(size), store.name()), Whose::Chancery, unit)
    };
    let mut figures: Vec<[Figure; 3]> = sizes
        .iter()
        .map(|&size| {
            [
                figure("take-in", size, "µs/event"),
                figure("interval", size, "µs/event"),
                figure("interval, peak memory", size, "MiB"),
            ]
        })
        .collect();
    for run in 1..=bench.sizes.runs {
        for (&size, [taken_in, interval, memory]) in sizes.iter().zip(&mut figures) {
            eprintln!("measure: {}, {}, run {run} of {}", store.name(), named(size), bench.sizes.runs);
            let (events, intake, writing) = once(bench, store, size).await?;
            taken_in.values.push(intake.seconds * 1e6 / events as f64);
            interval.values.push(writing.seconds * 1e6 / events as f64);
            memory.values.push(writing.peak);
        }
    }
    if let (Some(first), Some(last)) = (figures.first(), figures.last()) {
        for ((small, large), target) in first.iter().zip(last).zip([COST, COST, MEMORY]) {
            measured.ratios.push(large.over(format!("{} : the smallest", large.what), small, Some(target)));
        }
    }
    measured.figures.extend(figures.into_iter().flatten());
    Ok(())
}

/// How many events there were, what taking them in took, and what writing them took.
async fn once(bench: &Bench, store: Store, (events, rooms): (usize, usize)) -> Result<(usize, Taken, Taken)> {
    let events = traffic::simulated(&bench.chancery, &bench.dir, Day { events, rooms, seed: 1, files: false })?;
    let site = Site::make(bench, store, Rules::Firm, CANONICAL)?;
    let broker = Broker::open(&bench.amqp_url).await?;
    broker.publish(&site.name, &events).await?;
    broker.close().await?;
    let counter = Counter::open(bench, &site).await?;
    let mut daemon = site.run()?;
    counter.rate(events.len() as u64, &mut daemon, &site).await?;
    let intake = daemon.taken()?;
    daemon.stop()?;
    let writing = site.run_once()?.finish(&site.log())?;
    let batches = site.ask(&["batch", "list", "--adapter", "canonical"])?;
    let published = batches.as_array().into_iter().flatten().any(|batch| batch["state"] == "published");
    ensure!(published, "no batch is published: {batches}");
    if store == Store::Postgres {
        drop_schema(bench, &site.name).await?;
    }
    Ok((events.len(), intake, writing))
}
