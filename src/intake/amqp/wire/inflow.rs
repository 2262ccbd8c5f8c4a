//! How much a session has received and not yet brought to safety.
//!
//! `prefetch` counts messages, not bytes: a few thousand large ones would fill the memory. So bodies are counted
//! as they come off the wire, and taken off the count once they are committed and acknowledged. While too much is
//! under way, no further message is read from the socket: the network holds the broker back.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use tokio::sync::watch;

/// Properties the driver cannot read, kept aside while it reads stand-ins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::intake::amqp) struct Unreadable {
    /// What is wrong with them, for people.
    pub(in crate::intake::amqp) flaw: String,
    /// Flags and list as they came, without the broker's delivery count.
    pub(in crate::intake::amqp) properties: Vec<u8>,
}

/// The count of one connection, shared by the socket's reader and the session.
#[derive(Debug)]
pub(in crate::intake::amqp) struct Inflow {
    bytes_max: u64,
    state: Mutex<State>,
    held: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct State {
    bytes: u64,
    is_cut: bool,
    reader: Option<Waker>,
    kept: HashMap<i64, Unreadable>,
    kept_ever: i64,
}

/// What becomes of a message whose header has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// It is counted and goes on.
    Granted,
    /// It waits; the reader is woken when it makes sense to ask again.
    Held,
}

impl Inflow {
    /// Holds back once `bytes_max` bytes of bodies are under way. A single larger body passes alone, so what is
    /// under way never exceeds the larger of `bytes_max` and one message.
    pub(in crate::intake::amqp) fn new(bytes_max: u64) -> Self {
        Self { bytes_max, state: Mutex::default(), held: watch::Sender::new(false) }
    }

    /// Bytes of bodies are committed and acknowledged.
    pub(in crate::intake::amqp) fn settle(&self, bytes: u64) {
        let mut state = self.state();
        state.bytes = state.bytes.saturating_sub(bytes);
        wake(state);
    }

    /// The connection reads nothing more and ends with an error: its session is over.
    pub(in crate::intake::amqp) fn cut(&self) {
        let mut state = self.state();
        state.is_cut = true;
        wake(state);
    }

    /// Returns once the broker is held back. Until something is settled, nothing it says arrives.
    pub(in crate::intake::amqp) async fn held(&self) {
        // The sender lives in `self`, so there is always an answer.
        let _ = self.held.subscribe().wait_for(|held| *held).await;
    }

    /// Properties that were kept aside, once.
    pub(in crate::intake::amqp) fn take_unreadable(&self, number: i64) -> Option<Unreadable> {
        self.state().kept.remove(&number)
    }

    /// Asks for a message to go on.
    pub(super) fn admit(&self, bytes: u64, reader: &Waker) -> Admission {
        let mut state = self.state();
        let admission = if state.bytes > 0 && state.bytes.saturating_add(bytes) > self.bytes_max {
            state.reader = Some(reader.clone());
            Admission::Held
        } else {
            state.bytes += bytes;
            Admission::Granted
        };
        drop(state);
        let held = admission == Admission::Held;
        self.held.send_if_modified(|before| std::mem::replace(before, held) != held);
        admission
    }

    /// Keeps properties aside and gives them a number.
    pub(super) fn keep(&self, unreadable: Unreadable) -> i64 {
        let mut state = self.state();
        state.kept_ever += 1;
        let number = state.kept_ever;
        state.kept.insert(number, unreadable);
        number
    }

    /// Whether the session is over. If not, `reader` is woken when it is.
    pub(super) fn is_cut(&self, reader: &Waker) -> bool {
        let mut state = self.state();
        if !state.reader.as_ref().is_some_and(|known| known.will_wake(reader)) {
            state.reader = Some(reader.clone());
        }
        state.is_cut
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes the reader outside the lock.
fn wake(mut state: MutexGuard<'_, State>) {
    let reader = state.reader.take();
    drop(state);
    if let Some(reader) = reader {
        reader.wake();
    }
}
