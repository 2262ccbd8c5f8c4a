//! Publishing events, for `emit` and `simulate`: persistent, mandatory, confirmed, in a bounded window.
//!
//! A lost connection is opened again and everything unconfirmed is published again; intake counts the
//! copies as duplicates. An event that reaches no queue, or that the broker refuses, is an error that names it.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::FutureExt as _;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, Connection, PublisherConfirm};
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::time::{sleep, timeout};

use super::connect::{Broker, close, short};
use super::topology;
use crate::config::Amqp;
use crate::intake::decode::STRUCTURED;
use crate::intake::{IntakeError, Result};
use crate::support::backoff::Backoff;

/// Events under way to the broker without its confirmation, unless told otherwise.
const WINDOW: usize = 1000;
/// The longest a confirmation may take; then the connection counts as lost.
const CONFIRM_TIME_MAX: Duration = Duration::from_secs(30);
/// Connections tried in a row before the broker counts as away.
const CONNECT_TRIES_MAX: u32 = 8;
const PERSISTENT: u8 = 2;

/// A message to publish.
#[derive(Debug, Clone, PartialEq)]
pub struct Outgoing {
    /// What errors call it: the event's id.
    pub event: String,
    /// The CloudEvents type; at most 255 bytes.
    pub routing_key: String,
    /// The content-type property; `None` leaves it out.
    pub content_type: Option<String>,
    /// Headers; only text, whole numbers and booleans are sent.
    pub headers: Map<String, Value>,
    /// The body.
    pub body: Vec<u8>,
}

/// What was published.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Published {
    /// Events the broker confirmed.
    pub confirmed: u64,
    /// Events sent again after a lost connection; intake may count them as duplicates.
    pub repeated: u64,
}

/// Publishes events on the configured exchange.
pub struct Publisher {
    broker: Broker,
    exchange: ShortString,
    link: Option<(Connection, Channel)>,
    /// Sent and not yet confirmed, in order. `None`: must be sent again.
    window: VecDeque<(Outgoing, Option<PublisherConfirm>)>,
    window_max: usize,
    published: Published,
}

impl Outgoing {
    /// A structured event. Id and type are read for routing and errors only: bytes that are no event
    /// are published all the same, under the routing key `unreadable`, and intake will quarantine them.
    pub fn event(body: Vec<u8>) -> Self {
        #[derive(Deserialize, Default)]
        struct Peek {
            id: Option<String>,
            r#type: Option<String>,
        }
        let peek: Peek = serde_json::from_slice(&body).unwrap_or_default();
        Self {
            event: peek.id.unwrap_or_else(|| "(no id)".into()),
            routing_key: peek.r#type.filter(|key| key.len() <= 255).unwrap_or_else(|| "unreadable".into()),
            content_type: Some(STRUCTURED.into()),
            headers: Map::new(),
            body,
        }
    }

    fn properties(&self) -> BasicProperties {
        let mut properties = BasicProperties::default().with_delivery_mode(PERSISTENT);
        if let Some(content_type) = self.content_type.as_ref().and_then(|text| ShortString::try_new(text).ok()) {
            properties = properties.with_content_type(content_type);
        }
        if let Ok(id) = ShortString::try_new(self.event.as_str()) {
            properties = properties.with_message_id(id);
        }
        let mut headers = FieldTable::default();
        for (name, value) in &self.headers {
            let value = match value {
                Value::String(text) => AMQPValue::LongString(text.as_str().into()),
                Value::Bool(value) => AMQPValue::Boolean(*value),
                Value::Number(number) => match number.as_i64() {
                    Some(number) => AMQPValue::LongLongInt(number),
                    None => continue,
                },
                _ => continue,
            };
            if let Ok(name) = ShortString::try_new(name.as_str()) {
                headers.insert(name, value);
            }
        }
        if headers.inner().is_empty() { properties } else { properties.with_headers(headers) }
    }
}

impl Publisher {
    /// Connects and checks that the exchange stands.
    ///
    /// # Errors
    /// A setting that cannot work, a broker that cannot be reached, or an exchange that is not there.
    pub async fn connect(settings: &Amqp) -> Result<Self> {
        let broker = Broker::new(settings)?;
        let exchange = short("amqp.exchange", &settings.exchange)?;
        let link = Some(open(&broker).await?);
        let window = VecDeque::with_capacity(WINDOW);
        Ok(Self { broker, exchange, link, window, window_max: WINDOW, published: Published::default() })
    }

    /// Allows so many unconfirmed events, at least one.
    #[must_use]
    pub fn with_window(mut self, events: usize) -> Self {
        self.window_max = events.max(1);
        self
    }

    /// Publishes a structured event. Waits only while the window is full, so an error may be about an
    /// earlier event; it names the one it is about.
    ///
    /// # Errors
    /// [`IntakeError::Unroutable`], [`IntakeError::NotKept`], or a broker that stays away.
    pub async fn publish(&mut self, body: Vec<u8>) -> Result<()> {
        self.publish_as(Outgoing::event(body)).await
    }

    /// Publishes any message, e.g. one in batch or binary mode. Otherwise like [`Publisher::publish`].
    ///
    /// # Errors
    /// As for [`Publisher::publish`].
    pub async fn publish_as(&mut self, message: Outgoing) -> Result<()> {
        while self.window.len() >= self.window_max {
            self.settle_oldest().await?;
        }
        let confirm = self.send(&message).await;
        self.window.push_back((message, confirm));
        self.settle_ready()?;
        if self.link.is_none() {
            self.resend().await?;
        }
        Ok(())
    }

    /// Waits for every confirmation, and keeps the connection.
    ///
    /// # Errors
    /// As for [`Publisher::publish`]. What is unconfirmed then may be on the queue or not; drop the publisher.
    pub async fn flush(&mut self) -> Result<()> {
        while !self.window.is_empty() {
            self.settle_oldest().await?;
        }
        Ok(())
    }

    /// Waits for every confirmation and closes the connection.
    ///
    /// # Errors
    /// As for [`Publisher::publish`].
    pub async fn finish(mut self) -> Result<Published> {
        self.flush().await?;
        if let Some((connection, channel)) = &self.link {
            close(Some(channel), connection).await;
        }
        Ok(self.published)
    }

    /// Sends one message; `None`, and no link any more, when the connection is lost.
    async fn send(&mut self, message: &Outgoing) -> Option<PublisherConfirm> {
        let (_, channel) = self.link.as_ref()?;
        let routing_key = ShortString::try_new(message.routing_key.as_str()).unwrap_or_default();
        let options = BasicPublishOptions { mandatory: true, ..Default::default() };
        let sent =
            channel.basic_publish(self.exchange.clone(), routing_key, options, &message.body, message.properties());
        match timeout(CONFIRM_TIME_MAX, sent).await {
            Ok(Ok(confirm)) => Some(confirm),
            _ => {
                self.link = None;
                None
            }
        }
    }

    /// Takes the confirmations that are already here from the front of the window.
    fn settle_ready(&mut self) -> Result<()> {
        while let Some((_, Some(confirm))) = self.window.front_mut() {
            let Some(outcome) = confirm.now_or_never() else { return Ok(()) };
            match outcome {
                Ok(confirmation) => self.settle(confirmation)?,
                Err(_) => {
                    self.lose_link();
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Waits for the confirmation of the oldest message, opening the connection again where needed.
    async fn settle_oldest(&mut self) -> Result<()> {
        loop {
            let confirmed = match self.window.front_mut() {
                None => return Ok(()),
                Some((_, None)) => None,
                Some((_, Some(confirm))) => timeout(CONFIRM_TIME_MAX, confirm).await.ok().and_then(lapin::Result::ok),
            };
            match confirmed {
                Some(confirmation) => return self.settle(confirmation),
                None => {
                    self.lose_link();
                    self.resend().await?;
                }
            }
        }
    }

    /// Strikes the oldest message off the window.
    fn settle(&mut self, confirmation: Confirmation) -> Result<()> {
        let Some((message, _)) = self.window.pop_front() else { return Ok(()) };
        match confirmation {
            Confirmation::Ack(None) => {
                self.published.confirmed += 1;
                Ok(())
            }
            Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_)) => Err(IntakeError::Unroutable {
                event: message.event,
                exchange: self.exchange.to_string(),
                routing_key: message.routing_key,
            }),
            Confirmation::Nack(None) | Confirmation::NotRequested => Err(IntakeError::NotKept { event: message.event }),
        }
    }

    fn lose_link(&mut self) {
        self.link = None;
        for (_, confirm) in &mut self.window {
            *confirm = None;
        }
    }

    /// Opens the connection again and sends everything unconfirmed, in order.
    async fn resend(&mut self) -> Result<()> {
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
        loop {
            self.lose_link();
            match open(&self.broker).await {
                Ok(link) => self.link = Some(link),
                Err(error) if error.retryable() && backoff.failures() < CONNECT_TRIES_MAX => {
                    tracing::warn!(error = %error, "the broker is away, trying again");
                    sleep(backoff.after_failure()).await;
                    continue;
                }
                Err(error) => return Err(error),
            }
            let mut window = std::mem::take(&mut self.window);
            for (message, confirm) in &mut window {
                *confirm = self.send(message).await;
            }
            self.published.repeated += window.len() as u64;
            self.window = window;
            if self.link.is_some() {
                return Ok(());
            }
            sleep(backoff.after_failure()).await;
        }
    }
}

async fn open(broker: &Broker) -> Result<(Connection, Channel)> {
    let connection = broker.connect().await?;
    topology::check_exchange(broker, &connection).await?;
    let channel = async {
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(channel)
    };
    let channel = channel.await.map_err(|error: lapin::Error| broker.failed(&error))?;
    Ok((connection, channel))
}
