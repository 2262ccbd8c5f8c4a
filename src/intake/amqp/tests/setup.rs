//! Set-up: what is made, what is only checked, and what the errors say.

use std::os::unix::fs::PermissionsExt as _;

use lapin::ExchangeKind;
use std::time::Duration;

use lapin::options::{BasicGetOptions, BasicNackOptions, ExchangeDeclareOptions};
use lapin::types::FieldTable;

use super::super::{Broker, Made};
use super::bench::Bench;
use crate::config::QueueType;
use crate::intake::IntakeError;

#[tokio::test]
async fn setup_may_be_repeated() {
    for queue_type in [QueueType::Quorum, QueueType::Classic] {
        let mut bench = Bench::bare();
        bench.settings.queue_type = queue_type;
        let first = bench.setup().await.unwrap();
        let whats: Vec<_> = first.items.iter().map(|item| (item.what, item.made)).collect();
        assert_eq!(
            whats,
            [
                ("dead-letter exchange", Made::Now),
                ("dead-letter queue", Made::Now),
                ("exchange", Made::Now),
                ("queue", Made::Now)
            ]
        );
        bench.publish(0..3).await;
        let second = bench.setup().await.unwrap();
        assert!(second.items.iter().all(|item| item.made == Made::Before), "{second:?}");
        assert_eq!(bench.ready(&bench.settings.queue).await, 3, "what is in the queue stays there");
    }
}

#[tokio::test]
async fn a_queue_of_another_type_is_named_with_the_cure() {
    let mut bench = Bench::new().await;
    bench.settings.queue_type = QueueType::Classic;
    let error = bench.setup().await.unwrap_err();
    assert!(matches!(&error, IntakeError::Mismatch { what: "dead-letter queue", .. }), "{error}");
    let shown = error.to_string();
    for part in
        [bench.settings.dead_letter_exchange.as_str(), "x-queue-type", "chancery setup", "amqp.dead_letter_exchange"]
    {
        assert!(shown.contains(part), "{shown}");
    }
}

#[tokio::test]
async fn an_exchange_of_another_type_is_named_with_the_cure() {
    let bench = Bench::bare();
    let connection = Broker::new(&bench.settings).unwrap().connect().await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let options = ExchangeDeclareOptions { durable: true, ..Default::default() };
    let name = bench.settings.exchange.as_str().into();
    channel.exchange_declare(name, ExchangeKind::Direct, options, FieldTable::default()).await.unwrap();
    let error = bench.setup().await.unwrap_err();
    assert!(matches!(&error, IntakeError::Mismatch { what: "exchange", key: "exchange", .. }), "{error}");
}

#[tokio::test]
async fn intake_only_checks_and_says_what_is_missing() {
    let bench = Bench::bare();
    let error = bench.drain().await.unwrap_err().to_string();
    let exchange = &bench.settings.exchange;
    assert_eq!(
        error,
        format!("exchange {exchange:?} does not exist on the broker: run `chancery setup`, or correct amqp.exchange")
    );
    bench.setup().await.unwrap();
    bench.delete_queue().await;
    let error = bench.drain().await.unwrap_err().to_string();
    let queue = &bench.settings.queue;
    assert_eq!(
        error,
        format!("queue {queue:?} does not exist on the broker: run `chancery setup`, or correct amqp.queue")
    );
}

#[tokio::test]
async fn intake_declares_when_it_is_allowed_to() {
    let mut bench = Bench::bare();
    bench.settings.declare = true;
    bench.drain().await.unwrap();
    bench.publish(0..2).await;
    bench.drain().await.unwrap();
    assert_eq!(bench.stage.len(), 2);
}

#[tokio::test]
async fn secrets_stay_out_of_the_address_and_out_of_errors() {
    let mut bench = Bench::bare();
    bench.settings.url = "amqp://ada:hush@127.0.0.1:5672/%2f".into();
    let error = bench.setup().await.unwrap_err().to_string();
    assert!(error.starts_with("amqp.url: ") && error.contains("password_file") && !error.contains("hush"), "{error}");

    let mut bench = Bench::bare();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("password");
    std::fs::write(&file, "hush\r\n").unwrap();
    bench.settings.password_file = Some(file.clone());
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let error = bench.setup().await.unwrap_err().to_string();
    assert!(error.starts_with("amqp.password_file: every user"), "{error}");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let error = bench.setup().await.unwrap_err();
    assert!(matches!(&error, IntakeError::Broker { detail, .. } if detail.contains("ACCESS_REFUSED")), "{error}");
    assert!(!format!("{error:?}").contains("hush"));
    std::fs::write(&file, "guest\n").unwrap();
    bench.setup().await.unwrap();

    bench.settings.password_file = None;
    bench.settings.password_env = Some("CHANCERY_TEST_NO_SUCH_VARIABLE".into());
    let error = bench.setup().await.unwrap_err().to_string();
    assert!(error.contains("CHANCERY_TEST_NO_SUCH_VARIABLE is not set"), "{error}");
    bench.settings.password_env = None;
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused_before_any_connection() {
    let mut cases = vec![];
    for (change, key) in [
        (Box::new(|amqp: &mut crate::config::Amqp| amqp.url = "http://x".into()) as Box<dyn Fn(&mut _)>, "amqp.url"),
        (Box::new(|amqp: &mut crate::config::Amqp| amqp.ca_file = Some("ca.pem".into())), "amqp.ca_file"),
        (Box::new(|amqp: &mut crate::config::Amqp| amqp.cert_file = Some("c.pem".into())), "amqp.cert_file"),
        (Box::new(|amqp: &mut crate::config::Amqp| amqp.queue = "q".repeat(256)), "amqp.queue"),
    ] {
        let mut settings = crate::config::Amqp::default();
        change(&mut settings);
        cases.push((Broker::new(&settings).unwrap_err().to_string(), key));
    }
    for (error, key) in cases {
        assert!(error.starts_with(&format!("{key}: ")), "{error}");
    }
}

#[tokio::test]
async fn what_the_broker_gives_up_lies_in_the_dead_letter_queue() {
    for queue_type in [QueueType::Quorum, QueueType::Classic] {
        let mut bench = Bench::bare();
        bench.settings.queue_type = queue_type;
        bench.setup().await.unwrap();
        bench.publish(0..1).await;
        let connection = Broker::new(&bench.settings).unwrap().connect().await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        for requeue in [true, true, false] {
            let queue = bench.settings.queue.as_str().into();
            let got = channel.basic_get(queue, BasicGetOptions::default()).await.unwrap();
            let acker = got.map(|message| message.delivery.acker).unwrap();
            assert!(acker.nack(BasicNackOptions { requeue, ..Default::default() }).await.unwrap());
        }
        for _ in 0..100 {
            if bench.ready(&bench.settings.dead_letter_exchange).await == 1 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(bench.ready(&bench.settings.dead_letter_exchange).await, 1);
    }
}
