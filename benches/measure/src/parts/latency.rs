//! How long an event is on its way, at a steady 1,000 events a second.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tokio::time::{MissedTickBehavior, interval};

use super::{Bench, Measured};
use crate::broker::Broker;
use crate::figure::{Figure, Whose, quantile};
use crate::site::{Rules, Site, Store};
use crate::staged::{Counter, drop_schema};
use crate::traffic::{self, Day};

const RATE: u64 = 1_000;
const FILEDUMP: &str =
    "[[adapter]]\nname = \"filedump\"\ntransform = \"filedump\"\ninterval = \"2s\"\ncollected_when = \"told\"\n";
/// How finely the moment of staging is seen.
const LOOK: Duration = Duration::from_millis(2);
/// How long nothing may be staged while there is something to stage.
const STUCK: Duration = Duration::from_secs(60);

pub(super) async fn measure(bench: &Bench, measured: &mut Measured) -> Result<()> {
    let events = usize::try_from(RATE * bench.sizes.seconds)?;
    let events = traffic::simulated(&bench.chancery, &bench.dir, Day { events, rooms: 50, seed: 2, files: true })?;
    measured.settings = vec![
        format!("{RATE} events/s for {} s, quorum queue, intervals of 2 s through `filedump`", bench.sizes.seconds),
        "to staged: from before the publication to the commit, seen every 2 ms; to file: from the end of the interval to the \
         rename of its last file"
            .to_owned(),
    ];
    for store in Store::BOTH {
        let named = |what: &str| Figure::new(format!("{what} ({})", store.name()), Whose::Chancery, "ms");
        let mut figures =
            [named("to staged, p50"), named("to staged, p99"), named("to file, p50"), named("to file, p99")];
        for run in 1..=bench.sizes.runs {
            eprintln!("measure: {}, run {run} of {}", store.name(), bench.sizes.runs);
            let (mut staged, mut filed) = once(bench, store, &events).await?;
            for (figure, value) in figures.iter_mut().zip([
                quantile(&mut staged, 0.5),
                quantile(&mut staged, 0.99),
                quantile(&mut filed, 0.5),
                quantile(&mut filed, 0.99),
            ]) {
                figure.values.push(value);
            }
        }
        measured.figures.extend(figures);
    }
    Ok(())
}

/// Delays in milliseconds: of each event into staging, of each interval to its last file.
async fn once(bench: &Bench, store: Store, events: &[Vec<u8>]) -> Result<(Vec<f64>, Vec<f64>)> {
    let site = Site::make(bench, store, Rules::Laboratory, FILEDUMP)?;
    let counter = Counter::open(bench, &site).await?;
    let mut daemon = site.run()?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let publishing = {
        let (url, exchange, events) = (bench.amqp_url.clone(), site.name.clone(), events.to_vec());
        tokio::spawn(async move {
            let broker = Broker::open(&url).await?;
            broker.confirms().await?;
            let mut tick = interval(Duration::from_micros(1_000_000 / RATE));
            tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
            let mut sent = Vec::with_capacity(events.len());
            for body in &events {
                tick.tick().await;
                sent.push(Instant::now());
                broker.publish_unconfirmed(&exchange, body).await?;
            }
            broker.close().await?;
            Ok::<_, anyhow::Error>(sent)
        })
    };
    let mut seen: Vec<Instant> = Vec::with_capacity(events.len());
    let mut last = Instant::now();
    while seen.len() < events.len() {
        let staged = usize::try_from(counter.staged().await?)?;
        let now = Instant::now();
        if staged > seen.len() {
            last = now;
        } else if now.duration_since(last) > STUCK {
            bail!("{staged} of {} events are staged, and no more come", events.len());
        }
        seen.resize(staged.min(events.len()).max(seen.len()), now);
        daemon.check(&site.log())?;
        tokio::time::sleep(LOOK).await;
    }
    let sent = publishing.await.context("the publisher panicked")??;
    // One queue, one consumer: events are staged in the order in which they were sent.
    let staged =
        sent.iter().zip(&seen).map(|(sent, seen)| seen.saturating_duration_since(*sent).as_secs_f64() * 1e3).collect();
    tokio::time::sleep(Duration::from_secs(4)).await;
    daemon.stop()?;
    let filed = delays(&site)?;
    if store == Store::Postgres {
        drop_schema(bench, &site.name).await?;
    }
    Ok((staged, filed))
}

/// From the end of each interval to its last file, in milliseconds.
fn delays(site: &Site) -> Result<Vec<f64>> {
    let batches = site.ask(&["batch", "list", "--limit", "10000"])?;
    let published =
        batches.as_array().context("no list of batches")?.iter().filter(|batch| batch["published_at"].is_string());
    let at = |batch: &serde_json::Value, key: &str| -> Result<jiff::Timestamp> {
        let text = batch[key].as_str().with_context(|| format!("the batch has no {key}"))?;
        text.parse().with_context(|| format!("{key} is no instant: {text}"))
    };
    published
        .map(|batch| Ok((at(batch, "published_at")? - at(batch, "interval_end")?).total(jiff::Unit::Millisecond)?))
        .collect()
}
