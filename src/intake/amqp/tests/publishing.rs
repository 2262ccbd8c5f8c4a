//! The publisher: confirmed, mandatory, and back after a lost connection.

use serde_json::json;

use super::bench::{Bench, Proxy, message};
use crate::intake::IntakeError;
use crate::intake::amqp::Publisher;
use crate::intake::decode::STRUCTURED;
use crate::intake::testing::posted;

#[tokio::test]
async fn an_event_that_reaches_no_queue_is_an_error_that_names_it() {
    let bench = Bench::new().await;
    bench.delete_queue().await;
    let mut publisher = Publisher::connect(&bench.settings).await.unwrap();
    // The broker's word may come back before `publish` returns, or only when all is settled.
    let error = match publisher.publish(posted("lonely")).await {
        Err(error) => error,
        Ok(()) => publisher.finish().await.unwrap_err(),
    };
    assert!(
        matches!(&error, IntakeError::Unroutable { event, routing_key, .. }
        if event == "lonely" && routing_key == "chat.message.posted"),
        "{error}"
    );
}

#[tokio::test]
async fn a_missing_exchange_is_said_at_once() {
    let bench = Bench::bare();
    let error = Publisher::connect(&bench.settings).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, IntakeError::Missing { what: "exchange", .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_connection_loses_no_event() {
    let mut bench = Bench::new().await;
    let proxy = Proxy::to(&bench.settings.url).await;
    let direct = std::mem::replace(&mut bench.settings.url, proxy.url());
    let mut publisher = Publisher::connect(&bench.settings).await.unwrap().with_window(100);
    let ids: Vec<_> = (0..1000).map(|number| format!("{number:06}")).collect();
    for (number, id) in ids.iter().enumerate() {
        if number % 300 == 250 {
            proxy.cut();
        }
        publisher.publish(posted(id)).await.unwrap();
    }
    let published = publisher.finish().await.unwrap();
    assert_eq!(published.confirmed, 1000);
    assert!(published.repeated > 0, "{published:?}");
    bench.settings.url = direct;
    bench.drain().await.unwrap();
    assert_eq!(bench.stage.ids(), ids);
    assert_eq!(bench.stats.counts().conflicts, 0);
}

#[tokio::test]
async fn bytes_that_are_no_event_are_published_and_quarantined() {
    let bench = Bench::new().await;
    let mut publisher = Publisher::connect(&bench.settings).await.unwrap();
    publisher.publish(b"no event".to_vec()).await.unwrap();
    let mut long = message(Some(STRUCTURED), json!({ "x".repeat(300): 1 }), &posted("long names"));
    long.event = "e".repeat(300);
    publisher.publish_as(long).await.unwrap();
    assert_eq!(publisher.finish().await.unwrap().confirmed, 2);
    bench.drain().await.unwrap();
    assert_eq!((bench.stage.ids(), bench.stats.counts().quarantined), (vec!["long names".to_owned()], 1));
}
