//! A door between the product and a server: it can be shut, go silent, or break every connection, while the server itself
//! runs on for whoever else uses it.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::error::{At as _, Outcome};

/// What the door does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// Lets everything through.
    Open,
    /// Breaks all connections and refuses new ones, as a server that is down.
    Shut,
    /// Accepts and keeps connections, but nothing passes, as a network that has lost its way.
    Silent,
}

/// The state of the door; a new `epoch` breaks every connection made before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    door: Door,
    epoch: u64,
}

/// A door on a loopback port of its own.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    state: watch::Sender<State>,
}

const REBIND_PAUSE: Duration = Duration::from_millis(20);

impl Proxy {
    /// Opens a door to `server`.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn open(server: SocketAddr) -> Outcome<Self> {
        let place = std::path::Path::new("127.0.0.1:0");
        let listener = TcpListener::bind("127.0.0.1:0").await.at("listen on", place)?;
        let address = listener.local_addr().at("listen on", place)?;
        let (state, seen) = watch::channel(State { door: Door::Open, epoch: 0 });
        tokio::spawn(keep(listener, address, server, seen));
        Ok(Self { address, state })
    }

    /// Where to connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Moves the door. Connections survive only while it stays open.
    pub fn turn(&self, door: Door) {
        self.state.send_modify(|state| {
            let leaving_silence = state.door == Door::Silent && door != Door::Silent;
            if door == Door::Shut || leaving_silence {
                state.epoch += 1;
            }
            state.door = door;
        });
    }

    /// Breaks every connection; new ones are let through.
    pub fn cut(&self) {
        self.state.send_modify(|state| state.epoch += 1);
    }
}

/// Accepts for as long as the [`Proxy`] lives.
async fn keep(listener: TcpListener, address: SocketAddr, server: SocketAddr, mut seen: watch::Receiver<State>) {
    let mut listener = Some(listener);
    loop {
        let shut = seen.borrow_and_update().door == Door::Shut;
        match (&listener, shut) {
            (Some(_), true) => listener = None,
            (None, false) => match TcpListener::bind(address).await {
                Ok(bound) => listener = Some(bound),
                Err(_) => tokio::time::sleep(REBIND_PAUSE).await,
            },
            (Some(open), false) => tokio::select! {
                accepted = open.accept() => {
                    if let Ok((client, _)) = accepted {
                        tokio::spawn(pass(client, server, seen.clone()));
                    }
                }
                changed = seen.changed() => if changed.is_err() { return },
            },
            (None, true) => {
                if seen.changed().await.is_err() {
                    return;
                }
            }
        }
    }
}

/// One connection, until either side ends it or its epoch is over.
async fn pass(client: TcpStream, server: SocketAddr, seen: watch::Receiver<State>) {
    let epoch = seen.borrow().epoch;
    let mut ended = seen.clone();
    let through = async {
        open_again(seen.clone()).await;
        let Ok(server) = TcpStream::connect(server).await else { return };
        // Small frames must not wait for each other.
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
        tokio::select! {
            () = pump(from_client, to_server, seen.clone()) => {}
            () = pump(from_server, to_client, seen) => {}
        }
    };
    tokio::select! {
        () = through => {}
        // Also when the door itself is gone.
        _ = ended.wait_for(|state| state.epoch != epoch) => {}
    }
}

async fn pump(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    seen: watch::Receiver<State>,
) {
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        open_again(seen.clone()).await;
        if to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}

async fn open_again(mut seen: watch::Receiver<State>) {
    // A door that is gone passes nothing either; the epoch ends the connection.
    let _ = seen.wait_for(|state| state.door == Door::Open).await;
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed test should panic")]
mod tests {
    use super::*;

    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.into_split();
                    tokio::io::copy(&mut from, &mut to).await
                });
            }
        });
        address
    }

    async fn answers(stream: &mut TcpStream) -> bool {
        let mut byte = [0];
        let exchange = async {
            stream.write_all(b"x").await?;
            stream.read_exact(&mut byte).await
        };
        matches!(tokio::time::timeout(Duration::from_millis(300), exchange).await, Ok(Ok(1)))
    }

    #[tokio::test]
    async fn a_door_opens_breaks_shuts_and_falls_silent() {
        let proxy = Proxy::open(echo().await).await.unwrap();
        let connect = || TcpStream::connect(proxy.address());
        let mut first = connect().await.unwrap();
        assert!(answers(&mut first).await);
        proxy.cut();
        assert!(!answers(&mut first).await);
        let mut second = connect().await.unwrap();
        assert!(answers(&mut second).await);
        proxy.turn(Door::Silent);
        assert!(!answers(&mut second).await);
        proxy.turn(Door::Shut);
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(connect().await.is_err());
        proxy.turn(Door::Open);
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(answers(&mut connect().await.unwrap()).await);
    }
}
