//! One session: receive, decode, commit, acknowledge, over one channel with one consumer.
//!
//! While a batch is committed the next one is received, never more. An acknowledgement is sent once per
//! commit, for everything up to its last delivery, and only then. The session ends at the first
//! sign that the broker no longer counts on it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _};
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions, QueueDeclareOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Acker, Channel, Connection, Consumer};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::connect::{close, short};
use super::head::{delivery_count, head_of};
use super::wire::Inflow;
use super::{AmqpMode, Intake};
use crate::intake::commit::{Committing, Gatherer, outcome};
use crate::intake::decode::Received;
use crate::intake::{IntakeError, Result};
use crate::model::Ticks;
use crate::staging::StagingError;
use crate::support::step::{Step, reached};

/// Deliveries of one message after which an operator should know. Harmless as such: the limit is far higher.
const DELIVERIES_WORTH_A_WARNING: u64 = 15;
/// The longest a shutdown waits for the commit under way.
const LAST_COMMIT_TIME_MAX: Duration = Duration::from_secs(20);

/// Why a session ended.
pub(super) enum End {
    /// It was told to stop, or the queue is drained.
    Finished,
    /// The broker or the connection is gone; a new session may follow at once.
    Broken(IntakeError),
    /// A commit takes too long; a new session makes sense only when it is done.
    Outage,
    /// Staging says that retrying never helps.
    Fatal(StagingError),
}

/// What a commit is followed by.
struct Owed {
    /// The acknowledgement of the newest delivery, which is that of all before it.
    acker: Acker,
    /// Bytes of bodies that are no longer under way then.
    bytes: u64,
}

/// A consumer, and what is on its way from it into staging.
pub(super) struct Session<'a> {
    intake: &'a Intake,
    channel: Channel,
    consumer: Consumer,
    queue: ShortString,
    origin: String,
    inflow: Arc<Inflow>,
    gatherer: Gatherer,
    /// What is owed for the deliveries in `gatherer`.
    owed: Option<Owed>,
    committing: Option<(Committing, Owed)>,
    /// When the commit under way began.
    committing_since: Instant,
    /// When the broker last gave a sign of life.
    heard: Instant,
    /// The highest delivery count seen, once it is worth a warning.
    delivered_often: u64,
    has_acknowledged: bool,
}

impl<'a> Session<'a> {
    pub(super) async fn open(intake: &'a Intake, connection: &Connection, inflow: Arc<Inflow>) -> Result<Self> {
        let settings = intake.broker.settings();
        let queue = short("amqp.queue", &settings.queue)?;
        let opened = async {
            let channel = connection.create_channel().await?;
            channel.basic_qos(settings.prefetch.max(1), BasicQosOptions::default()).await?;
            let options = BasicConsumeOptions::default();
            let consumer =
                channel.basic_consume(queue.clone(), "chancery".into(), options, FieldTable::default()).await?;
            Ok((channel, consumer))
        };
        let (channel, consumer) = opened.await.map_err(|error: lapin::Error| intake.broker.failed(&error))?;
        Ok(Self {
            intake,
            channel,
            consumer,
            origin: format!("amqp:{queue}"),
            queue,
            inflow,
            gatherer: Gatherer::new(intake.limits),
            owed: None,
            committing: None,
            committing_since: Instant::now(),
            heard: Instant::now(),
            delivered_often: DELIVERIES_WORTH_A_WARNING - 1,
            has_acknowledged: false,
        })
    }

    /// Runs until something ends the session. What is not acknowledged by then the broker delivers again.
    pub(super) async fn run(&mut self, shutdown: &CancellationToken) -> End {
        loop {
            match self.step(shutdown).await {
                Ok(()) => {}
                Err(end) => return end,
            }
        }
    }

    /// Takes leave of the broker, unless it is held back: its answer would lie behind messages nobody takes in.
    pub(super) async fn close(self, connection: &Connection) {
        tokio::select! {
            biased;
            () = self.inflow.held() => {}
            () = close(Some(&self.channel), connection) => {}
        }
    }

    /// Waits for the next thing to happen and deals with it.
    async fn step(&mut self, shutdown: &CancellationToken) -> Result<(), End> {
        let may_receive = !self.gatherer.is_full();
        let due = self.gatherer.due().filter(|_| self.committing.is_none());
        let look = self.next_look();
        tokio::select! {
            biased;
            () = shutdown.cancelled() => Err(self.finish().await),
            committed = commit_of(&mut self.committing) => self.acknowledge(committed).await,
            () = sleep_until(self.committing_since + self.intake.timing.outage), if self.committing.is_some() => {
                Err(End::Outage)
            }
            delivery = self.consumer.next(), if may_receive => self.receive(delivery),
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                self.commit();
                Ok(())
            }
            () = sleep_until(look) => self.look().await,
        }
    }

    /// Takes a delivery and all others that are already here.
    fn receive(&mut self, first: Option<lapin::Result<Delivery>>) -> Result<(), End> {
        let mut next = Some(first);
        while let Some(delivery) = next {
            let delivery = match delivery {
                Some(Ok(delivery)) => delivery,
                Some(Err(error)) => return Err(End::Broken(self.intake.broker.failed(&error))),
                None => return Err(End::Broken(self.intake.broker.broken("the consumer was cancelled"))),
            };
            self.decode(delivery)?;
            next = if self.gatherer.is_full() { None } else { self.consumer.next().now_or_never() };
        }
        self.heard = Instant::now();
        if self.committing.is_none() && self.gatherer.is_due() {
            self.commit();
        }
        Ok(())
    }

    fn decode(&mut self, delivery: Delivery) -> Result<(), End> {
        // After a lost connection, deliveries may still lie in the client; they belong to nobody.
        if !delivery.acker.usable() {
            return Err(self.gone("the channel was closed"));
        }
        if delivery.redelivered {
            let count = delivery_count(&delivery.properties);
            if count > self.delivered_often {
                self.delivered_often = count;
                tracing::warn!(queue = %self.queue, deliveries = count, "a message is delivered again and again");
            }
        }
        let before = self.gatherer.len();
        let head = Some(head_of(&delivery.properties, &self.inflow));
        let input = Received { origin: &self.origin, received: Ticks::now(), head, body: delivery.data };
        let decoder = &self.intake.decoder;
        let size = input.body.len();
        self.gatherer.add(size, |batch| decoder.decode(input, batch));
        self.intake.stats.note_received(self.gatherer.len() - before);
        let bytes = size as u64 + self.owed.take().map_or(0, |before| before.bytes);
        self.owed = Some(Owed { acker: delivery.acker, bytes });
        Ok(())
    }

    fn commit(&mut self) {
        if let Some(owed) = self.owed.take() {
            self.committing = Some((self.intake.committer.start(self.gatherer.take()), owed));
            self.committing_since = Instant::now();
        }
    }

    async fn acknowledge(&mut self, (committed, owed): (Result<(), StagingError>, Owed)) -> Result<(), End> {
        match committed {
            Ok(()) => {}
            // It gives up only when told to stop.
            Err(error) if error.retryable() => return Err(End::Finished),
            Err(error) => return Err(End::Fatal(error)),
        }
        let acked = tokio::select! {
            biased;
            acked = timeout(self.intake.timing.answer, owed.acker.ack(BasicAckOptions { multiple: true })) => acked.ok(),
            () = closed(&self.channel) => None,
        };
        match acked {
            Some(Ok(true)) => reached(Step::Acknowledged),
            // The driver's way of saying that the channel this delivery came on is gone.
            Some(Ok(false)) => return Err(self.gone("an acknowledgement came too late")),
            Some(Err(error)) => return Err(End::Broken(self.intake.broker.failed(&error))),
            None => return Err(self.gone("an acknowledgement could not be sent")),
        }
        self.has_acknowledged = true;
        self.inflow.settle(owed.bytes);
        if self.gatherer.is_due() {
            self.commit();
        }
        Ok(())
    }

    /// The end of a session whose channel is gone: for the reason that waits behind the deliveries still in
    /// the client, else for `otherwise`.
    fn gone(&mut self, otherwise: &str) -> End {
        while let Some(Some(waiting)) = self.consumer.next().now_or_never() {
            if let Err(error) = waiting {
                return End::Broken(self.intake.broker.failed(&error));
            }
        }
        End::Broken(self.intake.broker.broken(otherwise))
    }

    /// The commit that is still under way when the session has ended. Nothing of it is acknowledged any more.
    pub(super) fn leave(&mut self) -> Option<Committing> {
        self.committing.take().map(|(committing, _)| committing)
    }

    /// Whether the session has got anything done.
    pub(super) fn has_acknowledged(&self) -> bool {
        self.has_acknowledged
    }

    /// When to look after the broker, or whether the queue is drained.
    fn next_look(&self) -> Instant {
        let timing = &self.intake.timing;
        match self.intake.mode {
            AmqpMode::Drained if self.is_idle() => self.heard + timing.quiet,
            _ => self.heard + timing.silence,
        }
    }

    fn is_idle(&self) -> bool {
        self.committing.is_none() && self.gatherer.is_empty()
    }

    /// Asks the broker how many messages wait: a sign of life, and the way to know that the queue is drained.
    async fn look(&mut self) -> Result<(), End> {
        let options = QueueDeclareOptions { passive: true, ..Default::default() };
        let asked = self.channel.queue_declare(self.queue.clone(), options, FieldTable::default());
        let answered = tokio::select! {
            answered = timeout(self.intake.timing.answer, asked) => answered,
            // Deliveries came before the answer, which will not arrive before they are taken in.
            () = self.inflow.held() => {
                self.heard = Instant::now();
                return Ok(());
            }
        };
        let waiting = match answered {
            Ok(Ok(queue)) => queue.message_count(),
            Ok(Err(error)) => return Err(End::Broken(self.intake.broker.failed(&error))),
            Err(_) => return Err(End::Broken(self.intake.broker.broken("no sign of life"))),
        };
        self.heard = Instant::now();
        // A delivery may have overtaken the answer.
        if let Some(delivery) = self.consumer.next().now_or_never() {
            return self.receive(delivery);
        }
        if self.intake.mode == AmqpMode::Drained && self.is_idle() && waiting == 0 {
            return Err(End::Finished);
        }
        Ok(())
    }

    /// Told to stop: waits for the commit under way and acknowledges it. What was only received comes again.
    async fn finish(&mut self) -> End {
        self.owed = None;
        self.gatherer.take();
        if self.committing.is_none() {
            return End::Finished;
        }
        match timeout(LAST_COMMIT_TIME_MAX, commit_of(&mut self.committing)).await {
            Ok(committed) => match self.acknowledge(committed).await {
                Err(End::Fatal(error)) => End::Fatal(error),
                _ => End::Finished,
            },
            Err(_) => End::Finished,
        }
    }
}

impl Drop for Session<'_> {
    /// Whatever still comes is for nobody. A driver that is held back would otherwise wait for ever.
    fn drop(&mut self) {
        self.inflow.cut();
    }
}

/// Returns soon after the channel is gone. The driver may leave an acknowledgement unanswered that it was
/// given at the moment the connection broke.
async fn closed(channel: &Channel) {
    while channel.status().connected() {
        sleep(Duration::from_millis(100)).await;
    }
}

/// The outcome of the commit under way; never, when there is none.
async fn commit_of(committing: &mut Option<(Committing, Owed)>) -> (Result<(), StagingError>, Owed) {
    let Some((commit, _)) = committing.as_mut() else { return std::future::pending().await };
    let joined = commit.await;
    match committing.take() {
        Some((_, owed)) => (outcome(joined).map(|_| ()), owed),
        None => std::future::pending().await,
    }
}
