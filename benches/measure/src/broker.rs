//! The broker's side of a measurement: filling a queue, counting what waits in it, draining it without doing anything.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use futures_util::StreamExt as _;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Consumer, PublisherConfirm};

/// Publications under way without a confirmation.
const WINDOW: usize = 1000;
const PERSISTENT: u8 = 2;
const MEDIA_TYPE: &str = "application/cloudevents+json";

/// A connection with one channel.
pub(crate) struct Broker {
    connection: Connection,
    channel: Channel,
}

impl Broker {
    pub(crate) async fn open(url: &str) -> Result<Self> {
        let properties = ConnectionProperties::default().with_connection_name("measure".into());
        let connection = Connection::connect(url, properties).await.context("the broker does not answer")?;
        let channel = connection.create_channel().await?;
        Ok(Self { connection, channel })
    }

    /// Closes once the broker has everything: with the channel it forgets what has not reached the queue yet.
    pub(crate) async fn close(self) -> Result<()> {
        let returned = self.channel.wait_for_confirms().await?.len();
        if returned > 0 {
            bail!("the broker gave {returned} messages back: no queue is bound to the exchange");
        }
        Ok(self.connection.close(200, "done".into()).await?)
    }

    /// Publishes bodies, each persistent, mandatory and confirmed.
    pub(crate) async fn publish(&self, exchange: &str, bodies: &[Vec<u8>]) -> Result<()> {
        self.channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let mut window = VecDeque::with_capacity(WINDOW);
        for body in bodies {
            if window.len() == WINDOW {
                settle(window.pop_front()).await?;
            }
            window.push_back(self.send(exchange, body).await?);
        }
        while !window.is_empty() {
            settle(window.pop_front()).await?;
        }
        Ok(())
    }

    /// Publishes one body and gives back how long its confirmation took.
    pub(crate) async fn publish_one(&self, exchange: &str, body: &[u8]) -> Result<Duration> {
        let begun = Instant::now();
        let confirm = self.send(exchange, body).await?;
        settle(Some(confirm)).await?;
        Ok(begun.elapsed())
    }

    /// Publishes one body; its confirmation is waited for by [`Self::close`] alone.
    pub(crate) async fn publish_unconfirmed(&self, exchange: &str, body: &[u8]) -> Result<()> {
        self.send(exchange, body).await.map(drop)
    }

    /// To be called once before [`Self::publish_one`].
    pub(crate) async fn confirms(&self) -> Result<()> {
        Ok(self.channel.confirm_select(ConfirmSelectOptions::default()).await?)
    }

    async fn send(&self, exchange: &str, body: &[u8]) -> Result<PublisherConfirm> {
        let options = BasicPublishOptions { mandatory: true, ..Default::default() };
        let properties = BasicProperties::default().with_delivery_mode(PERSISTENT).with_content_type(MEDIA_TYPE.into());
        Ok(self.channel.basic_publish(exchange.into(), "events".into(), options, body, properties).await?)
    }

    /// Begins to consume.
    async fn consume(&self, queue: &str, prefetch: u16) -> Result<Consumer> {
        self.channel.basic_qos(prefetch, BasicQosOptions::default()).await?;
        let options = BasicConsumeOptions::default();
        Ok(self.channel.basic_consume(queue.into(), "measure".into(), options, FieldTable::default()).await?)
    }

    /// Drains `events` messages in lots of `lot`, lets `keep` have each lot, and acknowledges it then. Gives back the
    /// rate from the first acknowledgement to the last: connecting is not what is measured.
    pub(crate) async fn drain<K>(
        &self,
        queue: &str,
        (events, lot, prefetch): (usize, usize, u16),
        mut keep: K,
    ) -> Result<f64>
    where
        K: AsyncFnMut(&[Vec<u8>]) -> Result<()>,
    {
        let mut consumer = self.consume(queue, prefetch).await?;
        let (mut done, mut first) = (0, None);
        let mut bodies = Vec::with_capacity(lot);
        while done < events {
            let mut last = None;
            while bodies.len() < lot && done + bodies.len() < events {
                let delivery = consumer.next().await.context("the consumer was cancelled")??;
                bodies.push(delivery.data);
                last = Some(delivery.acker);
            }
            keep(&bodies).await?;
            if let Some(acker) = last {
                acker.ack(BasicAckOptions { multiple: true }).await?;
            }
            done += bodies.len();
            bodies.clear();
            first.get_or_insert_with(|| (done, Instant::now()));
        }
        let Some((before, begun)) = first else { bail!("nothing was drained") };
        Ok((events - before) as f64 / begun.elapsed().as_secs_f64())
    }
}

async fn settle(confirm: Option<PublisherConfirm>) -> Result<()> {
    let Some(confirm) = confirm else { return Ok(()) };
    match confirm.await? {
        Confirmation::Ack(None) => Ok(()),
        other => bail!("the broker did not keep a message: {other:?}"),
    }
}
