//! A hold placed while purge runs: from the moment at which it is placed, nothing under it goes.
//!
//! `CHANCERY_HOLD_ROUNDS=1000 cargo test hold_placed_while` plays a thousand rounds on each store.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt as _;
use tokio_util::sync::CancellationToken;

use crate::config::{Adapter, Config, Source};
use crate::engine::adapter::{self, AdapterShared};
use crate::engine::collector::Collector;
use crate::engine::{Engine, purger};
use crate::intake::Decoder;
use crate::model::Ticks;
use crate::staging::suite::Fixture;
use crate::staging::{Arrivals, BatchRow, BatchState, BatchStep, By, HoldScope, NewAct, NewHold, Staging, place_hold};

const ROUNDS: u32 = 12;
const ROOMS: u32 = 6;

fn act(reason: &str) -> NewAct {
    let (who, verb, subject) = ("a test".into(), "hold place".into(), "a hold".into());
    NewAct { at: Ticks::now(), who, verb, subject, reason: reason.into() }
}

fn events(config: &Config, round: u32) -> Arrivals {
    let decoder = Decoder::new(config).unwrap();
    let mut out = Arrivals::default();
    for room in 0..ROOMS {
        let body = format!(
            r#"{{"specversion":"1.0","id":"{round}-{room}","source":"/web/1","type":"chat.message.posted","subject":"room:{room}","time":"2026-11-22T10:00:00Z","data":{{"sender":{{"uri":"sip:p{room}@example.com"}},"message":{{"text":"hello"}}}}}}"#
        );
        out.events.extend(decoder.decode_again(None, "spool:t:1", body.into_bytes(), Ticks::now()).events);
    }
    assert_eq!(out.events.len(), ROOMS as usize);
    out
}

/// What there is of a batch: files on the share, and events in staging.
async fn there(config: &Config, staging: &Staging, batch: &BatchRow) -> (BTreeSet<String>, BTreeSet<String>) {
    let named = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let files = std::fs::read_dir(config.pickup_dir(&config.adapter[0])).unwrap().map(named);
    let files = files.filter(|name| name.contains(&format!("-{:09}", batch.id))).collect();
    let events: Vec<_> = staging.events(batch.range).try_collect().await.unwrap();
    (files, events.into_iter().map(|event| format!("{} in {}", event.id, event.room_uri)).collect())
}

async fn race(fixture: &Fixture) {
    let rounds = std::env::var("CHANCERY_HOLD_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().unwrap());
    let text = "name = \"a\"\ninterval = \"1s\"\none_room_per_file = true\ncollected_when = \"told\"\nkeep_after_collection = \"0s\"\n";
    let adapter: Adapter = toml::from_str(text).unwrap();
    let source = Source { uri: "/web/1".into(), description: String::new(), silence: None };
    let config = Config { laboratory: true, source: vec![source], adapter: vec![adapter], ..fixture.config.clone() };
    let engine = Engine::start(config.clone(), CancellationToken::new()).await.unwrap();
    let desk = AdapterShared::new(&engine.shared, &config.adapter[0]);
    let staging = Arc::clone(&engine.shared.staging);
    let (mut before, mut after) = (0, 0);
    // How long a purge takes here, so that holds come at every moment of it.
    let mut usual = Duration::from_millis(20);
    for round in 0..rounds {
        staging.stage(&events(&config, round)).await.unwrap();
        let (pass, outcome) = adapter::once(&desk).await;
        outcome.unwrap();
        assert_eq!((pass.batches, pass.events), (1, u64::from(ROOMS)));
        let batch = staging.batches(&Default::default()).await.unwrap().pop().unwrap();
        let told = BatchStep::Collected { at: Ticks::now(), how: "told".into() };
        staging.advance(By::Person(&act("told")), batch.id, &[BatchState::Published], &told).await.unwrap();

        let (shared, mut collector) = (Arc::clone(&engine.shared), Collector::new(Arc::clone(&desk)));
        let purging = tokio::spawn(async move {
            let began = Instant::now();
            collector.turn().await.unwrap();
            purger::purge(&shared).await.unwrap();
            (collector, began.elapsed())
        });
        // A multiple of the golden section strews the moments evenly.
        let part = (f64::from(round) * 0.618_034).fract() * 1.2;
        tokio::time::sleep(usual.mul_f64(part)).await;
        let room = round % ROOMS;
        let scope = match round % 3 {
            0 => HoldScope { room: Some(format!("room:{room}")), ..HoldScope::default() },
            1 => HoldScope { person: Some(format!("sip:p{room}@example.com")), ..HoldScope::default() },
            _ => HoldScope::default(),
        };
        let everything = scope.is_everything();
        let (hold, outlived) = place_hold(&*staging, &NewHold { scope }, &act("race"), |_| {}).await.unwrap();
        assert!(outlived.is_empty());
        let held = there(&config, &staging, &batch).await;
        assert!(
            held.0.is_empty() || held.0.len() == ROOMS as usize,
            "round {round}: the hold came in the midst of a purge: {held:?}"
        );

        let (mut collector, took) = purging.await.unwrap();
        usual = (usual * 3 + took) / 4;
        for _ in 0..2 {
            collector.turn().await.unwrap();
            purger::purge(&engine.shared).await.unwrap();
        }
        let left = there(&config, &staging, &batch).await;
        let mine = |(_, events): &(BTreeSet<String>, BTreeSet<String>)| {
            let of_room = format!("in room:{room}");
            events.iter().filter(|event| everything || event.ends_with(&of_room)).cloned().collect::<BTreeSet<_>>()
        };
        assert_eq!(left.0, held.0, "round {round}: files went after the hold was placed");
        assert_eq!(mine(&left), mine(&held), "round {round}: events went after the hold was placed");
        if held.0.is_empty() {
            after += 1
        } else {
            before += 1
        }

        staging.release_hold(hold, &act("over")).await.unwrap();
        collector.turn().await.unwrap();
        purger::purge(&engine.shared).await.unwrap();
        let gone = there(&config, &staging, &batch).await;
        assert_eq!((gone.0.len(), gone.1.len()), (0, 0), "round {round}: released, it is purged: {gone:?}");
    }
    println!("{rounds} rounds: {before} holds before the deletion, {after} after it");
    desk.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hold_placed_while_purge_runs_on_sqlite() {
    race(&Fixture::sqlite().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hold_placed_while_purge_runs_on_postgres() {
    race(&Fixture::postgres().await).await;
}
