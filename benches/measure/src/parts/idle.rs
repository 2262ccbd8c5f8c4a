//! What Chancery takes while nothing happens, and what its consuming costs those who publish.

use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::time::{MissedTickBehavior, interval};

use super::{Bench, Measured};
use crate::broker::Broker;
use crate::figure::{Figure, Whose, quantile};
use crate::site::{Rules, Site, Store};
use crate::staged::drop_schema;
use crate::traffic::{self, Day};

const ADAPTERS: &str = "[[adapter]]\nname = \"filedump\"\ntransform = \"filedump\"\ninterval = \"1m\"\n\
    [[adapter]]\nname = \"canonical\"\ninterval = \"15m\"\n";
/// Publications a second, one at a time: the next waits for the confirmation of the one before.
const RATE: u64 = 200;

pub(super) async fn measure(bench: &Bench, measured: &mut Measured) -> Result<()> {
    let seconds = bench.sizes.seconds;
    measured.settings = vec![
        format!("idle: two adapters, nothing arriving, {seconds} s"),
        format!(
            "publishers: {RATE} events/s for {seconds} s into a quorum queue, each confirmed before the next, with nobody consuming and with Chancery"
        ),
    ];
    let events = traffic::simulated(
        &bench.chancery,
        &bench.dir,
        Day { events: usize::try_from(RATE * seconds)?, rooms: 50, seed: 3, files: true },
    )?;
    let figure = |what: &str, unit: &str| Figure::new(what, Whose::Chancery, unit);
    for store in Store::BOTH {
        let mut idle = figure(&format!("idle, share of one core ({})", store.name()), "%");
        let mut memory = figure(&format!("idle, memory ({})", store.name()), "MiB");
        for _ in 0..bench.sizes.runs {
            let site = Site::make(bench, store, Rules::Firm, ADAPTERS)?;
            let mut daemon = site.run()?;
            tokio::time::sleep(Duration::from_secs(3)).await;
            let (before, begun) = (daemon.taken()?, Instant::now());
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            daemon.check(&site.log())?;
            idle.values.push((daemon.taken()?.seconds - before.seconds) / begun.elapsed().as_secs_f64() * 100.0);
            memory.values.push(daemon.memory_of_all());
            daemon.stop()?;
            if store == Store::Postgres {
                drop_schema(bench, &site.name).await?;
            }
        }
        measured.figures.extend([idle, memory]);
    }
    let mut alone =
        [figure("confirmation without Chancery, p50", "ms"), figure("confirmation without Chancery, p99", "ms")];
    for figure in &mut alone {
        figure.whose = Whose::Limit;
    }
    let mut beside = [figure("confirmation with Chancery, p50", "ms"), figure("confirmation with Chancery, p99", "ms")];
    for _ in 0..bench.sizes.runs {
        for (figures, consuming) in [(&mut alone, false), (&mut beside, true)] {
            let mut delays = confirmations(bench, &events, consuming).await?;
            figures[0].values.push(quantile(&mut delays, 0.5));
            figures[1].values.push(quantile(&mut delays, 0.99));
        }
    }
    measured.ratios.push(beside[0].over("confirmation p50, with : without", &alone[0], None));
    measured.ratios.push(beside[1].over("confirmation p99, with : without", &alone[1], None));
    measured.figures.extend(alone);
    measured.figures.extend(beside);
    Ok(())
}

/// How long each confirmation took, in milliseconds.
async fn confirmations(bench: &Bench, events: &[Vec<u8>], consuming: bool) -> Result<Vec<f64>> {
    let site = Site::make(bench, Store::Postgres, Rules::Firm, ADAPTERS)?;
    let daemon = if consuming { Some(site.run()?) } else { None };
    tokio::time::sleep(Duration::from_secs(2)).await;
    let broker = Broker::open(&bench.amqp_url).await?;
    broker.confirms().await?;
    let mut tick = interval(Duration::from_micros(1_000_000 / RATE));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut delays = Vec::with_capacity(events.len());
    for body in events {
        tick.tick().await;
        delays.push(broker.publish_one(&site.name, body).await?.as_secs_f64() * 1e3);
    }
    broker.close().await?;
    if let Some(daemon) = daemon {
        daemon.stop()?;
    }
    drop_schema(bench, &site.name).await?;
    Ok(delays)
}
