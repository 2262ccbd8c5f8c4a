//! What the tests share: names of their own, a broker to look into, and a proxy that can be cut or frozen.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use lapin::options::{ExchangeDeleteOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use serde_json::Map;
use tokio::io::copy;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::super::{AmqpMode, Broker, Outgoing, Publisher, SetupReport, Timing, run_timed, setup};
use crate::config::{Amqp, Config};
use crate::intake::testing::{Recorder, config, posted};
use crate::intake::{IntakeStats, Result};

pub(super) struct Bench {
    pub(super) settings: Amqp,
    pub(super) config: Config,
    pub(super) timing: Timing,
    pub(super) stage: Arc<Recorder>,
    pub(super) stats: Arc<IntakeStats>,
    pub(super) shutdown: CancellationToken,
}

impl Bench {
    /// Names of its own on the broker, where nothing stands yet.
    pub(super) fn bare() -> Self {
        let url = std::env::var("CHANCERY_TEST_AMQP_URL").unwrap_or_else(|_| {
            panic!("CHANCERY_TEST_AMQP_URL is not set: start them with deploy/services (deploy/test does)")
        });
        let own = uuid::Uuid::new_v4().simple().to_string();
        let settings = Amqp {
            url,
            exchange: format!("test.{own}.events"),
            queue: format!("test.{own}.intake"),
            dead_letter_exchange: format!("test.{own}.dead"),
            ..Amqp::default()
        };
        Self {
            settings,
            config: config(),
            timing: Timing::default(),
            stage: Arc::default(),
            stats: Arc::default(),
            shutdown: CancellationToken::new(),
        }
    }

    /// The same, set up.
    pub(super) async fn new() -> Self {
        let bench = Self::bare();
        bench.setup().await.unwrap();
        bench
    }

    pub(super) async fn setup(&self) -> Result<SetupReport> {
        setup(&self.settings).await
    }

    /// Takes in until the queue is empty.
    pub(super) async fn drain(&self) -> Result<()> {
        tokio::time::timeout(Duration::from_secs(60), self.run(AmqpMode::Drained)).await.unwrap()
    }

    /// Takes in until told to stop.
    pub(super) fn daemon(self: &Arc<Self>) -> JoinHandle<Result<()>> {
        let this = self.clone();
        tokio::spawn(async move { this.run(AmqpMode::Daemon).await })
    }

    async fn run(&self, mode: AmqpMode) -> Result<()> {
        let (stage, stats, shutdown) = (self.stage.clone(), self.stats.clone(), self.shutdown.clone());
        run_timed(&self.config, &self.settings, stage, stats, shutdown, mode, self.timing).await
    }

    /// Publishes messages numbered from `from`, and tells their ids.
    pub(super) async fn publish(&self, numbers: std::ops::Range<u32>) -> Vec<String> {
        let ids: Vec<_> = numbers.map(|number| format!("{number:06}")).collect();
        let mut publisher = Publisher::connect(&self.settings).await.unwrap();
        for id in &ids {
            publisher.publish(posted(id)).await.unwrap();
        }
        publisher.finish().await.unwrap();
        ids
    }

    /// Messages ready in a queue.
    pub(super) async fn ready(&self, queue: &str) -> u32 {
        let connection = Broker::new(&self.settings).unwrap().connect().await.unwrap();
        let options = QueueDeclareOptions { passive: true, ..Default::default() };
        let channel = connection.create_channel().await.unwrap();
        channel.queue_declare(queue.into(), options, FieldTable::default()).await.unwrap().message_count()
    }

    pub(super) async fn until_ready(&self, wanted: u32) {
        for _ in 0..200 {
            if self.ready(&self.settings.queue).await == wanted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{wanted} messages were not ready within 10 s");
    }

    pub(super) async fn delete_queue(&self) {
        let connection = Broker::new(&self.settings).unwrap().connect().await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel.queue_delete(self.settings.queue.as_str().into(), QueueDeleteOptions::default()).await.unwrap();
    }
}

impl Drop for Bench {
    /// Leaves nothing on the broker, whether the test passed or not.
    fn drop(&mut self) {
        let mut settings = self.settings.clone();
        if let Ok(url) = std::env::var("CHANCERY_TEST_AMQP_URL") {
            settings.url = url;
        }
        settings.username = "guest".into();
        settings.password_env = None;
        let deleting = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(delete(&settings));
        });
        assert!(deleting.join().is_ok() || std::thread::panicking(), "the broker could not be cleaned");
    }
}

async fn delete(settings: &Amqp) {
    let connection = Broker::new(settings).unwrap().connect().await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    for queue in BTreeSet::from([&settings.queue, &settings.dead_letter_exchange]) {
        channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default()).await.unwrap();
    }
    for exchange in BTreeSet::from([&settings.exchange, &settings.dead_letter_exchange]) {
        channel.exchange_delete(exchange.as_str().into(), ExchangeDeleteOptions::default()).await.unwrap();
    }
    connection.close(200, "done".into()).await.unwrap();
}

/// A message in any form.
pub(super) fn message(content_type: Option<&str>, headers: serde_json::Value, body: &[u8]) -> Outgoing {
    Outgoing {
        event: "any".into(),
        routing_key: "any".into(),
        content_type: content_type.map(str::to_owned),
        headers: headers.as_object().cloned().unwrap_or_else(Map::new),
        body: body.to_vec(),
    }
}

pub(super) async fn until(mut reached: impl FnMut() -> bool) {
    for _ in 0..3000 {
        if reached() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not reached within 30 s");
}

/// Stands between client and broker.
pub(super) struct Proxy {
    url: String,
    generation: watch::Sender<(u64, Flow)>,
    _listening: tokio_util::task::AbortOnDropHandle<()>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    Open,
    /// Connections stay open, and nothing comes through any more.
    Frozen,
}

impl Proxy {
    /// A proxy to the broker of `url`.
    pub(super) async fn to(url: &str) -> Self {
        let (scheme, rest) = url.split_once("//").unwrap();
        let (address, vhost) = rest.split_once('/').unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("{scheme}//{}/{vhost}", listener.local_addr().unwrap());
        let (generation, watching) = watch::channel((0, Flow::Open));
        let address = address.to_owned();
        let listening = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(broker) = TcpStream::connect(&address).await else { continue };
                tokio::spawn(carry(client, broker, watching.clone()));
            }
        });
        Self { url, generation, _listening: tokio_util::task::AbortOnDropHandle::new(listening) }
    }

    pub(super) fn url(&self) -> String {
        self.url.clone()
    }

    /// Breaks every connection; new ones are let through.
    pub(super) fn cut(&self) {
        self.generation.send_modify(|(generation, flow)| {
            *generation += 1;
            *flow = Flow::Open;
        });
    }

    /// Lets nothing through any more on the connections there are; new ones are let through.
    pub(super) fn freeze(&self) {
        self.generation.send_modify(|(generation, flow)| {
            *generation += 1;
            *flow = Flow::Frozen;
        });
    }
}

async fn carry(mut client: TcpStream, mut broker: TcpStream, mut watching: watch::Receiver<(u64, Flow)>) {
    let generation = watching.borrow().0;
    let (mut from_client, mut to_client) = client.split();
    let (mut from_broker, mut to_broker) = broker.split();
    let flow = tokio::select! {
        _ = copy(&mut from_client, &mut to_broker) => Flow::Open,
        _ = copy(&mut from_broker, &mut to_client) => Flow::Open,
        changed = watching.wait_for(|(now, _)| *now != generation) => changed.map_or(Flow::Open, |changed| changed.1),
    };
    if flow == Flow::Frozen {
        // The broker still counts on this connection, until the next cut.
        let frozen = watching.borrow().0;
        let _ = watching.wait_for(|(now, _)| *now != frozen).await;
    }
}
