//! Sessions: what is acknowledged and when, and what a lost broker or a lost staging does.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::bench::{Bench, Proxy, message, until};
use crate::intake::amqp::Publisher;
use crate::intake::decode::{BATCH, STRUCTURED};
use crate::intake::testing::{SOURCE, posted};
use crate::intake::{Counts, IntakeError};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_form_arrives_and_a_drained_run_ends() {
    let bench = Bench::new().await;
    let mut publisher = Publisher::connect(&bench.settings).await.unwrap();
    publisher.publish(posted("structured")).await.unwrap();
    let batch = [b"[", posted("batch-1").as_slice(), b",", &posted("batch-2"), b",{}]"].concat();
    publisher.publish_as(message(Some(BATCH), json!({}), &batch)).await.unwrap();
    for prefix in ["ce-", "cloudEvents:", "cloudEvents_"] {
        let headers = json!({
            format!("{prefix}specversion"): "1.0", format!("{prefix}id"): format!("binary {prefix}"),
            format!("{prefix}source"): SOURCE, format!("{prefix}type"): "chat.message.posted",
            format!("{prefix}subject"): "room:1", format!("{prefix}sequence"): 5,
        });
        let data = br#"{"sender":{"uri":"sip:ada"},"message":{"text":"hi"}}"#;
        publisher.publish_as(message(Some("application/json"), headers, data)).await.unwrap();
    }
    publisher.publish_as(message(None, json!({}), b"\xff\x00garbage")).await.unwrap();
    assert_eq!(publisher.finish().await.unwrap().confirmed, 6);

    bench.drain().await.unwrap();
    let mut ids = ["structured", "batch-1", "batch-2", "binary ce-", "binary cloudEvents:", "binary cloudEvents_"];
    ids.sort_unstable();
    assert_eq!(bench.stage.ids(), ids);
    let reasons = bench.stage.look(|kept| kept.quarantined.iter().map(|item| item.reason.clone()).collect::<Vec<_>>());
    assert_eq!(reasons, ["missing-member", "unknown-content-type"]);
    let counts = bench.stats.counts();
    assert_eq!((counts.received, counts.staged, counts.quarantined, counts.epochs), (8, 6, 2, 1));

    // Everything was acknowledged: a second run finds nothing.
    bench.drain().await.unwrap();
    assert_eq!(bench.stats.counts(), Counts { epochs: 2, ..counts });
    assert!(!bench.stats.connected());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_acknowledged_before_it_is_committed() {
    let bench = Arc::new(Bench::new().await);
    let ids = bench.publish(0..300).await;
    bench.stage.set_away(true);
    let daemon = bench.daemon();
    until(|| bench.stage.failures() > 0).await;
    // The process dies while the commit is under way.
    daemon.abort();
    let _ = daemon.await;
    bench.until_ready(300).await;
    bench.stage.set_away(false);
    bench.drain().await.unwrap();
    assert_eq!(bench.stage.ids(), ids);
    assert_eq!(bench.stage.look(|kept| kept.duplicates), 0);
    assert_eq!(bench.ready(&bench.settings.queue).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_staging_is_away_the_session_is_closed_and_nothing_is_rejected() {
    let mut bench = Bench::new().await;
    bench.timing.outage = Duration::from_millis(500);
    bench.settings.prefetch = 50;
    let bench = Arc::new(bench);
    let ids = bench.publish(0..200).await;
    bench.stage.set_away(true);
    let daemon = bench.daemon();
    until(|| bench.stats.counts().epochs == 1 && !bench.stats.connected()).await;
    bench.until_ready(200).await;
    // No session is opened in vain meanwhile.
    let failures = bench.stage.failures();
    until(|| bench.stage.failures() >= failures + 3).await;
    assert_eq!(bench.stats.counts().epochs, 1);
    assert!(bench.stats.last_error().is_some_and(|(_, error)| error.contains("told to fail")));
    bench.stage.set_away(false);
    until(|| bench.stage.len() == 200).await;
    assert_eq!(bench.stage.ids(), ids);
    assert_eq!(bench.stats.counts().epochs, 2);
    assert_eq!(bench.ready(&bench.settings.dead_letter_exchange).await, 0);
    bench.shutdown.cancel();
    daemon.await.unwrap().unwrap();
    assert_eq!(bench.ready(&bench.settings.queue).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_hangs_closes_the_session_as_well() {
    let mut bench = Bench::new().await;
    bench.timing.outage = Duration::from_millis(500);
    // Fewer than there are: the rest needs a second session.
    bench.settings.prefetch = 50;
    let bench = Arc::new(bench);
    let ids = bench.publish(0..200).await;
    bench.stage.set_hanging(true);
    let daemon = bench.daemon();
    until(|| bench.stats.counts().epochs == 1 && !bench.stats.connected()).await;
    bench.until_ready(200).await;
    bench.stage.set_hanging(false);
    until(|| bench.stage.len() == 200).await;
    assert_eq!(bench.stage.ids(), ids);
    assert_eq!(bench.stats.counts().epochs, 2);
    bench.shutdown.cancel();
    daemon.await.unwrap().unwrap();
    assert_eq!(bench.ready(&bench.settings.queue).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_breaks_while_staging_is_away_is_not_opened_again_in_vain() {
    let mut bench = Bench::new().await;
    let ids = bench.publish(0..200).await;
    let proxy = Proxy::to(&bench.settings.url).await;
    bench.settings.url = proxy.url();
    let bench = Arc::new(bench);
    bench.stage.set_away(true);
    let daemon = bench.daemon();
    until(|| bench.stage.failures() > 0).await;
    // As a broker does that waited too long for an acknowledgement.
    proxy.cut();
    until(|| !bench.stats.connected()).await;
    let failures = bench.stage.failures();
    until(|| bench.stage.failures() >= failures + 3).await;
    assert_eq!(bench.stats.counts().epochs, 1, "each session would count up the deliveries");
    bench.stage.set_away(false);
    until(|| bench.stage.len() == 200).await;
    assert_eq!(bench.stage.ids(), ids);
    bench.shutdown.cancel();
    daemon.await.unwrap().unwrap();
    assert_eq!(bench.ready(&bench.settings.queue).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_trouble_of_staging_keeps_the_session() {
    let bench = Arc::new(Bench::new().await);
    bench.publish(0..20).await;
    bench.stage.set_away(true);
    let daemon = bench.daemon();
    until(|| bench.stage.failures() >= 2).await;
    bench.stage.set_away(false);
    until(|| bench.stage.len() == 20).await;
    bench.shutdown.cancel();
    daemon.await.unwrap().unwrap();
    assert_eq!(bench.stats.counts().epochs, 1);
    assert_eq!(bench.ready(&bench.settings.queue).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_staging_that_cannot_be_mended_ends_intake_and_keeps_the_queue() {
    let bench = Bench::new().await;
    bench.publish(0..20).await;
    bench.stage.set_broken();
    assert!(matches!(bench.drain().await, Err(IntakeError::Staging(error)) if !error.retryable()));
    bench.until_ready(20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_connections_lose_and_double_nothing() {
    let mut bench = Bench::new().await;
    let ids = bench.publish(0..3000).await;
    let proxy = Proxy::to(&bench.settings.url).await;
    bench.settings.url = proxy.url();
    bench.settings.prefetch = 400;
    bench.config.intake.commit_events_max = 20;
    let bench = Arc::new(bench);
    let daemon = bench.daemon();
    for cut in 1..=4 {
        until(|| bench.stage.len() >= cut * 300).await;
        proxy.cut();
        until(|| bench.stats.counts().epochs > cut as u64).await;
    }
    until(|| bench.stage.len() == 3000).await;
    bench.shutdown.cancel();
    daemon.await.unwrap().unwrap();
    assert_eq!(bench.stage.ids(), ids);
    bench.stage.look(|kept| {
        assert!(kept.events.values().all(|contents| contents.len() == 1), "a redelivery is no conflict");
        assert!(kept.quarantined.is_empty());
    });
    assert!(bench.stats.counts().epochs >= 5);
    bench.until_ready(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_falls_silent_is_noticed() {
    let mut bench = Bench::new().await;
    let proxy = Proxy::to(&bench.settings.url).await;
    let direct = std::mem::replace(&mut bench.settings.url, proxy.url());
    bench.timing.silence = Duration::from_millis(300);
    bench.timing.answer = Duration::from_millis(500);
    let bench = Arc::new(bench);
    let daemon = bench.daemon();
    until(|| bench.stats.connected()).await;
    // Asked now and then, the broker answers, and the session stays.
    tokio::time::sleep(Duration::from_millis(1000)).await;
    assert_eq!(bench.stats.counts().epochs, 1);
    proxy.freeze();
    until(|| bench.stats.counts().epochs == 2).await;
    // The broker would wait for the frozen connection until its own heartbeat fails.
    proxy.cut();
    let mut publisher =
        Publisher::connect(&crate::config::Amqp { url: direct, ..bench.settings.clone() }).await.unwrap();
    publisher.publish(posted("after")).await.unwrap();
    publisher.finish().await.unwrap();
    until(|| bench.stage.len() == 1).await;
    bench.shutdown.cancel();
    daemon.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_acknowledges_what_is_committed() {
    let mut bench = Bench::new().await;
    bench.config.intake.commit_events_max = 10;
    let bench = Arc::new(bench);
    let ids = bench.publish(0..2000).await;
    let daemon = bench.daemon();
    until(|| bench.stage.len() > 100).await;
    bench.shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(10), daemon).await.unwrap().unwrap().unwrap();
    let staged = bench.stage.len() as u32;
    bench.until_ready(2000 - staged).await;
    let mut bench = Arc::try_unwrap(bench).ok().unwrap();
    bench.shutdown = CancellationToken::new();
    bench.drain().await.unwrap();
    assert_eq!(bench.stage.ids(), ids);
    assert_eq!(bench.stage.look(|kept| kept.duplicates), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_does_not_wait_for_a_staging_that_is_away() {
    let bench = Arc::new(Bench::new().await);
    bench.publish(0..20).await;
    bench.stage.set_away(true);
    let daemon = bench.daemon();
    until(|| bench.stage.failures() > 0).await;
    bench.shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(5), daemon).await.unwrap().unwrap().unwrap();
    bench.until_ready(20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drained_run_gives_up_on_a_broker_that_stays_away() {
    let mut bench = Bench::new().await;
    bench.timing.give_up = Duration::from_millis(600);
    let url = std::mem::replace(&mut bench.settings.url, "amqp://127.0.0.1:1/%2f".into());
    let error = bench.drain().await.unwrap_err();
    assert!(matches!(error, IntakeError::Broker { .. }) && error.retryable(), "{error}");
    assert!(error.to_string().starts_with("broker 127.0.0.1:1: "), "{error}");
    bench.settings.url = url;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_of_a_megabyte_with_charset_arrives_whole() {
    let bench = Bench::new().await;
    let id = "x".repeat(10);
    let mut body = posted(&id);
    let padding = format!(r#","padding":"{}"}}"#, "y".repeat(1 << 20));
    body.pop();
    body.extend_from_slice(padding.as_bytes());
    let mut publisher = Publisher::connect(&bench.settings).await.unwrap();
    let content_type = format!("{STRUCTURED}; charset=utf-8");
    publisher.publish_as(message(Some(&content_type), json!({}), &body)).await.unwrap();
    publisher.finish().await.unwrap();
    bench.drain().await.unwrap();
    assert_eq!(bench.stage.look(|kept| kept.events[&(SOURCE.to_owned(), id)].clone()), [body]);
}
