//! The Matrix bridge: an application service to which a homeserver delivers every event of every room, and which puts them
//! on the queue.
//!
//! [`server`] takes the homeserver's transactions, [`map`] says what each event is, [`memory`] gives it its number and keeps it
//! until the broker has it, [`deliver`] ties them together. [`history`] reads what the homeserver itself has, and [`backfill`]
//! publishes of it what never was delivered. `docs/sources/matrix.md` says what is captured and what is not.

pub mod backfill;
pub mod deliver;
pub mod event;
pub mod history;
pub mod homeserver;
pub mod map;
pub mod memory;
pub mod registration;
pub mod server;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use self::deliver::{Delivery, Settings};
use self::homeserver::{Homeserver, HomeserverError};
use self::memory::{Memory, MemoryError};
use self::registration::{Registration, RegistrationError};
use crate::config::{Amqp, Config, MatrixBridge, SecretError, secret};
use crate::support::backoff::Backoff;

/// The longest wait between two pings of a homeserver that is away.
const PING_PAUSE_MAX: Duration = Duration::from_secs(60);
/// How often old ids and words are forgotten.
const PRUNE_EVERY: Duration = Duration::from_secs(6 * 3600);

/// Why the bridge cannot run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BridgeError {
    /// Its registration.
    #[error(transparent)]
    Registration(#[from] RegistrationError),
    /// Its memory.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// The admin token.
    #[error("bridge.matrix: the admin token cannot be had")]
    AdminToken(#[from] SecretError),
    /// A token that no header can hold.
    #[error(transparent)]
    Homeserver(#[from] HomeserverError),
    /// The address is taken, or not this machine's.
    #[error("cannot listen on {listen}")]
    Listen {
        /// The address.
        listen: String,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

/// Who the bridge is, and the homeserver as it reaches it.
///
/// # Errors
/// When the registration or the admin token cannot be had.
pub fn connect(config: &Config, bridge: &MatrixBridge) -> Result<(Registration, Homeserver), BridgeError> {
    let who = registration::read(&config.matrix_registration(bridge))?;
    let admin: Option<SecretString> = secret(bridge.admin_token_file.as_deref(), bridge.admin_token_env.as_deref())?;
    let homeserver = Homeserver::new(&bridge.homeserver, &who.as_token, admin.as_ref())?;
    Ok((who, homeserver))
}

/// Runs the bridge until told to stop.
///
/// # Errors
/// When it cannot start; from then on it waits for what is away.
pub async fn run(
    config: &Config,
    bridge: &MatrixBridge,
    broker: &Amqp,
    stop: CancellationToken,
) -> Result<(), BridgeError> {
    let (who, homeserver) = connect(config, bridge)?;
    let who = Arc::new(who);
    let memory = Memory::open(&config.matrix_memory()).await?;
    let delivery = Arc::new(Delivery::new(Settings::of(bridge), broker.clone(), memory, homeserver.clone()));
    let listen = |source| BridgeError::Listen { listen: bridge.listen.clone(), source };
    let listener = TcpListener::bind(bridge.listen.as_str()).await.map_err(listen)?;
    tracing::info!(listen = bridge.listen, source = bridge.source, "the Matrix bridge is ready");
    if !homeserver.is_administered() {
        tracing::warn!("there is no admin token: what is deleted while the bridge is away will be missing");
    }
    let beside =
        tokio::spawn(beside(Arc::clone(&delivery), homeserver, Arc::clone(&who), bridge.heartbeat.get(), stop.clone()));
    server::serve(listener, who, delivery, stop).await;
    // It has nothing to finish.
    beside.abort();
    Ok(())
}

/// The ping at start, heartbeats, and forgetting.
async fn beside(
    delivery: Arc<Delivery>,
    homeserver: Homeserver,
    who: Arc<Registration>,
    every: Duration,
    stop: CancellationToken,
) {
    let announced = async {
        announce(&homeserver, &who.id).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = announced => {}
        () = beat(&delivery, every) => {}
        () = forget(&delivery) => {}
    }
}

/// Tells the homeserver that the bridge is there, until it hears.
async fn announce(homeserver: &Homeserver, id: &str) {
    let mut backoff = Backoff::new(Duration::from_secs(1), PING_PAUSE_MAX);
    while let Err(error) = homeserver.ping(id).await {
        tracing::warn!(error = %error, "the homeserver could not be told that the bridge is there");
        sleep(backoff.after_failure()).await;
    }
    tracing::info!("the homeserver knows that the bridge is there");
}

async fn beat(delivery: &Delivery, every: Duration) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = delivery.heartbeat().await {
            tracing::warn!(error = %server::chain(&error), "no heartbeat could be sent");
        }
        let counts = delivery.counts().await;
        tracing::info!(
            transactions = counts.transactions,
            published = counts.published,
            repeated = counts.repeated,
            encrypted = counts.encrypted,
            repaired = counts.repaired,
            gaps = counts.gaps,
            "since the start"
        );
    }
}

async fn forget(delivery: &Delivery) {
    let mut ticks = interval(PRUNE_EVERY);
    loop {
        ticks.tick().await;
        if let Err(error) = delivery.prune().await {
            tracing::warn!(error = %server::chain(&error), "what is old could not be forgotten");
        }
    }
}
