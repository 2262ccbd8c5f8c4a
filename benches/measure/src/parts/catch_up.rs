//! A backlog that is worked off while new events keep coming at 1,000 a second.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tokio::time::{MissedTickBehavior, interval};

use super::{Bench, Measured};
use crate::broker::Broker;
use crate::figure::{Figure, Whose};
use crate::site::{Rules, Site, Store};
use crate::staged::{Counter, drop_schema};
use crate::traffic::{self, Day};

const RATE: u64 = 1_000;
/// Events sent together, so that the clock is asked less often.
const LOT: u64 = 10;
const INTERVAL_SECS: i64 = 5;
const FILEDUMP: &str =
    "[[adapter]]\nname = \"filedump\"\ntransform = \"filedump\"\ninterval = \"5s\"\ncollected_when = \"told\"\n";
/// Fresh events that may wait when take-in is current: those of one second.
const WAITING: u64 = RATE;
const TICK: Duration = Duration::from_millis(100);
const TIME_MAX: Duration = Duration::from_secs(3600);

pub(super) async fn measure(bench: &Bench, measured: &mut Measured) -> Result<()> {
    let backlog = bench.sizes.backlog;
    let events =
        traffic::simulated(&bench.chancery, &bench.dir, Day { events: backlog, rooms: 50, seed: 1, files: false })?;
    measured.settings = vec![
        format!(
            "{} events wait in a quorum queue, as after {} s at {RATE} events/s; {RATE} events/s keep coming",
            events.len(),
            events.len() as u64 / RATE
        ),
        format!(
            "intervals of {INTERVAL_SECS} s through `filedump`; take-in is current when no more waits than comes in a second, the share \
             when the file of an interval is there within {INTERVAL_SECS} s"
        ),
    ];
    for store in Store::BOTH {
        let named = |what: &str| Figure::new(format!("{what} ({})", store.name()), Whose::Chancery, "s");
        let (mut staged, mut shared) = (named("until take-in is current"), named("until the share is current"));
        for run in 1..=bench.sizes.runs {
            eprintln!("measure: {}, run {run} of {}", store.name(), bench.sizes.runs);
            let (take_in, share) = once(bench, store, &events).await?;
            staged.values.push(take_in);
            shared.values.push(share);
        }
        measured.figures.extend([staged, shared]);
    }
    Ok(())
}

/// Seconds from the start of the daemon until take-in, and then the share, is current.
async fn once(bench: &Bench, store: Store, backlog: &[Vec<u8>]) -> Result<(f64, f64)> {
    let site = Site::make(bench, store, Rules::Laboratory, FILEDUMP)?;
    let broker = Broker::open(&bench.amqp_url).await?;
    broker.publish(&site.name, backlog).await?;
    broker.close().await?;
    let counter = Counter::open(bench, &site).await?;
    let fresh = Fresh::begin(bench, &site);
    let (begun, begun_at) = (Instant::now(), jiff::Timestamp::now());
    let mut daemon = site.run()?;

    let take_in = loop {
        let sent = backlog.len() as u64 + fresh.sent();
        if counter.staged().await? + WAITING >= sent {
            break begun.elapsed().as_secs_f64();
        }
        ensure_in_time(begun)?;
        daemon.check(&site.log())?;
        tokio::time::sleep(TICK).await;
    };
    let share = loop {
        if let Some(at) = current_since(&site)? {
            break (at - begun_at).total(jiff::Unit::Second)?;
        }
        ensure_in_time(begun)?;
        daemon.check(&site.log())?;
        tokio::time::sleep(TICK * 5).await;
    };
    fresh.end().await?;
    daemon.stop()?;
    if store == Store::Postgres {
        drop_schema(bench, &site.name).await?;
    }
    // An interval that was published in time may have ended before the last of the backlog was staged.
    Ok((take_in, share.max(take_in)))
}

fn ensure_in_time(begun: Instant) -> Result<()> {
    ensure!(begun.elapsed() < TIME_MAX, "the backlog was not worked off in {} s", TIME_MAX.as_secs());
    Ok(())
}

/// When the last batch that is cut was published, if that was in time and no older one waits.
fn current_since(site: &Site) -> Result<Option<jiff::Timestamp>> {
    let batches = site.ask(&["batch", "list", "--limit", "10000"])?;
    let filled = batches.as_array().context("no list of batches")?.iter().filter(|batch| batch["state"] != "empty");
    let at = |batch: &serde_json::Value, key: &str| -> Result<Option<jiff::Timestamp>> {
        batch[key].as_str().map(|text| text.parse().with_context(|| format!("{key} is no instant: {text}"))).transpose()
    };
    let mut last: Option<(jiff::Timestamp, jiff::Timestamp, bool)> = None;
    for batch in filled {
        let (Some(end), Some(published)) = (at(batch, "interval_end")?, at(batch, "published_at")?) else {
            return Ok(None);
        };
        let late = (published - end).total(jiff::Unit::Second)? > INTERVAL_SECS as f64;
        if last.is_none_or(|(before, ..)| end > before) {
            last = Some((end, published, late));
        }
    }
    Ok(last.filter(|(.., late)| !late).map(|(_, published, _)| published))
}

/// Events that keep coming.
struct Fresh {
    ending: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<Result<()>>,
}

impl Fresh {
    fn begin(bench: &Bench, site: &Site) -> Self {
        let (ending, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (url, exchange) = (bench.amqp_url.clone(), site.name.clone());
        let (told, count) = (Arc::clone(&ending), Arc::clone(&sent));
        let task = tokio::spawn(async move {
            let broker = Broker::open(&url).await?;
            broker.confirms().await?;
            let mut tick = interval(Duration::from_micros(1_000_000 * LOT / RATE));
            tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
            while !told.load(Ordering::Relaxed) {
                tick.tick().await;
                for _ in 0..LOT {
                    let number = count.load(Ordering::Relaxed);
                    broker.publish_unconfirmed(&exchange, &posted(number)).await?;
                    count.store(number + 1, Ordering::Relaxed);
                }
            }
            broker.close().await
        });
        Self { ending, sent, task }
    }

    fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    async fn end(self) -> Result<()> {
        self.ending.store(true, Ordering::Relaxed);
        self.task.await.context("the publisher panicked")?
    }
}

/// A message of about the usual size.
fn posted(number: u64) -> Vec<u8> {
    let (room, person, now) = (number % 50, number % 40, jiff::Timestamp::now());
    let words = "We shall see what the market makes of it tomorrow morning. ".repeat(5);
    let event = serde_json::json!({
        "specversion": "1.0",
        "id": format!("fresh-{number}"),
        "source": "/web/1",
        "type": "chat.message.posted",
        "time": now.to_string(),
        "subject": format!("ma-chan://catch-up/{room}"),
        "data": {
            "sender": {"id": format!("p{person}"), "uri": format!("sip:p{person}@firm.example"), "name": format!("Person {person}")},
            "message": {"id": format!("m{number}"), "text": words},
        },
    });
    event.to_string().into_bytes()
}
