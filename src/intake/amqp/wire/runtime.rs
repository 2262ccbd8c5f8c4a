//! The driver's runtime, with streams of ours: it takes a stream only from the reactor it runs on.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use async_rs::traits::Reactor;
use async_rs::util::RuntimeParts;
use async_rs::{Runtime, Tokio};
use futures_util::{AsyncRead, AsyncWrite, Stream};
use lapin::AsyncTcpStream;

use super::Wire;

/// Tokio, whose streams are watched.
pub(in crate::intake::amqp) type Kit = RuntimeParts<Tokio, Watched>;

/// The runtime the caller is on.
pub(in crate::intake::amqp) fn kit() -> Runtime<Kit> {
    let tokio = Tokio::current();
    Runtime::new(RuntimeParts::new(tokio.clone(), Watched(tokio)))
}

/// Tokio's reactor, with another type of stream.
#[derive(Debug, Clone)]
pub(in crate::intake::amqp) struct Watched(Tokio);

impl Reactor for Watched {
    type TcpStream = Wire<AsyncTcpStream<<Tokio as Reactor>::TcpStream>>;
    type Sleep = <Tokio as Reactor>::Sleep;

    fn register<H: Read + Write + AsFd + AsRawFd + Send + 'static>(
        &self,
        socket: H,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        self.0.register(socket)
    }

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        self.0.sleep(duration)
    }

    fn interval(&self, duration: Duration) -> impl Stream<Item = Instant> + Send + 'static {
        self.0.interval(duration)
    }

    fn tcp_connect_addr(
        &self,
        address: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::TcpStream>> + Send + 'static {
        let (connect, timer) = (self.0.tcp_connect_addr(address), self.0.clone());
        async move { Ok(Wire::new(AsyncTcpStream::Plain(connect.await?), None, timer)) }
    }
}
