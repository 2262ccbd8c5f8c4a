//! The stream between the socket and the driver. It bounds what is received, and keeps what the driver cannot read from it.
//!
//! TLS is below it: what passes here is AMQP in the clear.

use std::future::Future as _;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_rs::Tokio;
use async_rs::traits::Reactor as _;
use futures_util::{AsyncRead, AsyncWrite};
use tokio::time::Sleep;

mod frames;
mod inflow;
mod properties;
mod runtime;
#[cfg(test)]
mod tests;

pub(super) use frames::STAND_IN;
use frames::{Frames, Next};
pub(super) use inflow::Inflow;
pub(super) use runtime::kit;

/// While the broker is held back, the driver is given a heartbeat of ours so often.
///
/// The broker's own heartbeats lie unread behind the message that waits, and the driver would take the silence for a
/// dead peer after twice the agreed time. Our heartbeats to the broker go out as ever. A hold lasts as long as one commit:
/// when that fails for too long the session ends, and with it the hold; so a dead broker is noticed that much later.
const BEAT: Duration = Duration::from_secs(5);

/// A stream of AMQP, watched.
#[derive(Debug)]
pub(super) struct Wire<S> {
    inner: S,
    inflow: Option<Arc<Inflow>>,
    frames: Frames,
    timer: Tokio,
    beat: Duration,
    /// Runs while a message is held.
    pulse: Option<Pin<Box<Sleep>>>,
    has_ended: bool,
}

impl<S> Wire<S> {
    /// Watches `inner`. Without `inflow` nothing is held back: for connections that receive no messages.
    pub(super) fn new(inner: S, inflow: Option<Arc<Inflow>>, timer: Tokio) -> Self {
        Self { inner, inflow, frames: Frames::default(), timer, beat: BEAT, pulse: None, has_ended: false }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut [u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if out.is_empty() {
            return Poll::Ready(Ok(0));
        }
        loop {
            let inflow = this.inflow.as_deref();
            if inflow.is_some_and(|inflow| inflow.is_cut(cx.waker())) {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the session is over")));
            }
            match this.frames.next(inflow, cx.waker())? {
                Next::Serve => {
                    this.pulse = None;
                    return Poll::Ready(Ok(this.frames.serve(out)));
                }
                Next::Hold => {
                    let pulse = this.pulse.get_or_insert_with(|| Box::pin(this.timer.sleep(this.beat)));
                    ready!(pulse.as_mut().poll(cx));
                    this.pulse = None;
                    this.frames.insert_heartbeat();
                }
                Next::More if this.has_ended => return Poll::Ready(Ok(0)),
                Next::More => match ready!(Pin::new(&mut this.inner).poll_read(cx, this.frames.space()))? {
                    0 => {
                        this.has_ended = true;
                        this.frames.finish();
                    }
                    count => this.frames.filled(count),
                },
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write_vectored(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_close(cx)
    }
}
