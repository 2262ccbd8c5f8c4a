//! What must stand on the broker: exchange, queue, binding, and a place for dead letters.
//!
//! `setup` makes it, as often as it is called; `check` only looks. Neither ever deletes or changes anything
//! that is there.
//!
//! The queue carries no limit of time or length. Its delivery limit is set so high that only a message
//! that is redelivered for ever meets it: RabbitMQ 4 would otherwise take a message away after 20
//! deliveries, while `-1`, its word for no limit, makes 3.10 drop a message at its first return. What
//! meets the limit goes to the dead-letter queue, at least once, and that strategy demands
//! `reject-publish`. The broker's own acknowledgement timeout (30 minutes unless `consumer_timeout` says
//! otherwise) is left alone: it is never reached, because a session is closed after half a minute
//! without a commit.

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, ErrorKind, ExchangeKind};

use super::connect::{Broker, close, close_channel, short};
use crate::config::{Amqp, QueueType};
use crate::intake::{IntakeError, Result};

/// Deliveries after which the broker gives a message up.
const DELIVERY_LIMIT: i64 = 1_000_000;

/// What `setup` found and made, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetupReport {
    /// One entry per exchange and queue.
    pub items: Vec<SetupItem>,
}

/// One exchange or queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetupItem {
    /// `exchange`, `queue`, `dead-letter exchange` or `dead-letter queue`.
    pub what: &'static str,
    /// Its name.
    pub name: String,
    /// Whether it was made now or stood already.
    pub made: Made,
}

/// Whether something was made now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// It was not there before.
    Now,
    /// It stood already, with the same properties.
    Before,
}

/// One thing that is to stand on the broker.
struct Item<'a> {
    what: &'static str,
    key: &'static str,
    name: &'a str,
    sort: Sort,
}

enum Sort {
    Exchange(ExchangeKind),
    Queue { arguments: FieldTable, bound_to: String, routing_key: &'static str },
}

/// Declares everything Chancery needs on the broker; what already stands is left as it is.
///
/// # Errors
/// [`IntakeError::Mismatch`] when something of the same name stands there with other properties;
/// [`IntakeError::Broker`] when the broker cannot be reached or refuses.
pub async fn setup(settings: &Amqp) -> Result<SetupReport> {
    let broker = Broker::new(settings)?;
    let connection = broker.connect().await?;
    let report = declare(&broker, &connection).await;
    close(None, &connection).await;
    report
}

/// Declares everything on an open connection.
pub(super) async fn declare(broker: &Broker, connection: &Connection) -> Result<SetupReport> {
    let mut items = Vec::new();
    for item in wanted(broker.settings()) {
        let made = match look(broker, connection, &item).await {
            Ok(()) => Made::Before,
            Err(IntakeError::Missing { .. }) => Made::Now,
            Err(error) => return Err(error),
        };
        make(broker, connection, &item).await?;
        items.push(SetupItem { what: item.what, name: item.name.to_owned(), made });
    }
    Ok(SetupReport { items })
}

/// Checks that exchange and queue stand.
pub(super) async fn check(broker: &Broker, connection: &Connection) -> Result<()> {
    for item in wanted(broker.settings()).iter().filter(|item| matches!(item.what, "exchange" | "queue")) {
        look(broker, connection, item).await?;
    }
    Ok(())
}

/// Checks that the exchange stands: all a publisher needs.
pub(super) async fn check_exchange(broker: &Broker, connection: &Connection) -> Result<()> {
    for item in wanted(broker.settings()).iter().filter(|item| item.what == "exchange") {
        look(broker, connection, item).await?;
    }
    Ok(())
}

/// Dead letters first: a queue must never point at an exchange that is not there.
fn wanted(settings: &Amqp) -> [Item<'_>; 4] {
    let dead = settings.dead_letter_exchange.as_str();
    [
        Item {
            what: "dead-letter exchange",
            key: "dead_letter_exchange",
            name: dead,
            sort: Sort::Exchange(ExchangeKind::Fanout),
        },
        Item {
            what: "dead-letter queue",
            key: "dead_letter_exchange",
            name: dead,
            sort: Sort::Queue {
                arguments: queue_arguments(settings.queue_type, None),
                bound_to: dead.to_owned(),
                routing_key: "",
            },
        },
        Item { what: "exchange", key: "exchange", name: &settings.exchange, sort: Sort::Exchange(ExchangeKind::Topic) },
        Item {
            what: "queue",
            key: "queue",
            name: &settings.queue,
            sort: Sort::Queue {
                arguments: queue_arguments(settings.queue_type, Some(dead)),
                bound_to: settings.exchange.clone(),
                routing_key: "#",
            },
        },
    ]
}

fn queue_arguments(queue_type: QueueType, dead_letters_to: Option<&str>) -> FieldTable {
    let text = |value: &str| AMQPValue::LongString(value.into());
    let mut arguments = FieldTable::default();
    if let Some(exchange) = dead_letters_to {
        arguments.insert("x-dead-letter-exchange".into(), text(exchange));
    }
    match queue_type {
        QueueType::Classic => {
            arguments.insert("x-queue-type".into(), text("classic"));
        }
        QueueType::Quorum => {
            arguments.insert("x-queue-type".into(), text("quorum"));
            arguments.insert("x-delivery-limit".into(), AMQPValue::LongLongInt(DELIVERY_LIMIT));
            if dead_letters_to.is_some() {
                arguments.insert("x-dead-letter-strategy".into(), text("at-least-once"));
                arguments.insert("x-overflow".into(), text("reject-publish"));
            }
        }
    }
    arguments
}

/// Looks whether the item stands. A refusal closes the channel, so each look has its own.
async fn look(broker: &Broker, connection: &Connection, item: &Item<'_>) -> Result<()> {
    let channel = connection.create_channel().await.map_err(|error| broker.failed(&error))?;
    let name = short(item.key, item.name)?;
    let found = match &item.sort {
        Sort::Exchange(kind) => {
            let options = ExchangeDeclareOptions { passive: true, ..Default::default() };
            channel.exchange_declare(name, kind.clone(), options, FieldTable::default()).await
        }
        Sort::Queue { .. } => {
            let options = QueueDeclareOptions { passive: true, ..Default::default() };
            channel.queue_declare(name, options, FieldTable::default()).await.map(|_| ())
        }
    };
    close_channel(&channel).await;
    found.map_err(|error| translate(broker, item, &error))
}

async fn make(broker: &Broker, connection: &Connection, item: &Item<'_>) -> Result<()> {
    let channel = connection.create_channel().await.map_err(|error| broker.failed(&error))?;
    let made = declare_one(&channel, item).await?;
    close_channel(&channel).await;
    made.map_err(|error| translate(broker, item, &error))
}

async fn declare_one(channel: &Channel, item: &Item<'_>) -> Result<lapin::Result<()>> {
    let name = short(item.key, item.name)?;
    Ok(match &item.sort {
        Sort::Exchange(kind) => {
            let options = ExchangeDeclareOptions { durable: true, ..Default::default() };
            channel.exchange_declare(name, kind.clone(), options, FieldTable::default()).await
        }
        Sort::Queue { arguments, bound_to, routing_key } => {
            let options = QueueDeclareOptions { durable: true, ..Default::default() };
            match channel.queue_declare(name.clone(), options, arguments.clone()).await {
                Ok(_) => {
                    let exchange = short(item.key, bound_to)?;
                    let options = QueueBindOptions::default();
                    channel.queue_bind(name, exchange, (*routing_key).into(), options, FieldTable::default()).await
                }
                Err(error) => Err(error),
            }
        }
    })
}

fn translate(broker: &Broker, item: &Item<'_>, error: &lapin::Error) -> IntakeError {
    let (what, name, key) = (item.what, item.name.to_owned(), item.key);
    let ErrorKind::ProtocolError(protocol) = error.kind() else { return broker.failed(error) };
    match protocol.kind() {
        AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND) => IntakeError::Missing { what, name, key },
        AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED) => {
            IntakeError::Mismatch { what, name, key, detail: protocol.get_message().to_string() }
        }
        _ => broker.failed(error),
    }
}
