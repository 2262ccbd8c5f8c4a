//! From staged events to conversations: the pass over one batch, room by room.
//!
//! It takes events in the order in which staging gives them and refuses any other, and it holds one
//! room's messages at a time, long conversations in a scratch file. It reads nothing from staging: the caller
//! loads each room's presence.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::canonical::{self, Message};
use super::captures::{CapturedFile, Captures, FileRef};
use super::dialect::{extended, spelled};
use super::participants::{BadPresence, Fold, Presence, Reporting};
use super::room::RoomSnapshot;
use super::text::{ConversationText, Messages};
use super::xml::{Originals, XmlOut};
use crate::config::{Adapter, Dialect, Span};
use crate::model::{Event, Text, Ticks, Unreadable};
use crate::staging::{BatchId, BatchRow, RoomNo, Seq, StagedEvent};

/// What all conversations of a batch have in common.
#[derive(Debug, Clone)]
pub struct BatchContext {
    /// The batch's number.
    pub batch: BatchId,
    /// The adapter's name.
    pub adapter: String,
    /// Start of the interval.
    pub interval_start: Ticks,
    /// End of the interval.
    pub interval_end: Ticks,
    /// Events that happened before this are late. `None`: nothing is, as in an adapter's first batch.
    pub late_before: Option<Ticks>,
    /// The spelling.
    pub dialect: Dialect,
    /// Whether names and mail addresses of people are written.
    pub user_details: bool,
    /// Whether names and descriptions of rooms are written.
    pub room_details: bool,
    /// The presence lease where the source renews but names no length.
    pub presence_lease: Span,
    /// For a supplement of files: the batch that said of them that they were missing.
    pub completes: Option<BatchId>,
}

/// One room's part of a batch.
#[derive(Debug)]
pub struct RenderedConversation {
    /// The room's number.
    pub room: RoomNo,
    /// The room's URI.
    pub room_uri: Arc<str>,
    /// Its canonical XML; `None` when the room had no message that the dialect can say.
    pub text: Option<ConversationText>,
    /// The room's presence for the next batch, where it changed.
    pub presence_after: Option<Vec<u8>>,
    /// Counts.
    pub counts: ConversationCounts,
    /// The files its messages speak of, in their order. The same copy may stand here more than once.
    pub files: Vec<FileRef>,
}

/// What a conversation holds. `events = messages + signals + left_out`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConversationCounts {
    /// Events taken.
    pub events: u64,
    /// Messages written.
    pub messages: u64,
    /// Events that make no message by design.
    pub signals: u64,
    /// Messages marked late, or that would be where the dialect has no mark.
    pub late: u64,
    /// Messages the dialect has no place for.
    pub left_out: u64,
    /// Characters XML forbids, shown as U+FFFD.
    pub replaced_characters: u64,
    /// Messages written a second time, to complete an earlier batch. They are in no other count.
    pub completed: u64,
}

/// What an event became.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// A message.
    Written,
    /// No message, by design.
    Signal,
    /// Nothing: the dialect has no place for it.
    LeftOut,
}

/// Why a batch cannot be assembled. Trying again helps in no case but [`AssembleError::Scratch`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AssembleError {
    /// The staged bytes are no event, although they were when they were taken in.
    #[error("staged event {seq} is damaged: {reason}")]
    Damaged {
        /// Its arrival number.
        seq: Seq,
        /// What reading said.
        reason: Unreadable,
    },
    /// The stored presence of a room is damaged or from a later version.
    #[error("room {room}: {reason}")]
    Presence {
        /// The room's number.
        room: RoomNo,
        /// What reading said.
        reason: BadPresence,
    },
    /// The event does not belong after the one before it, or to the room that was begun.
    #[error("staged event {seq} came out of order")]
    OutOfOrder {
        /// Its arrival number.
        seq: Seq,
    },
    /// A long conversation is kept in a scratch file meanwhile, and that cannot be written.
    #[error("cannot write a conversation to a scratch file")]
    Scratch(#[source] io::Error),
}

/// The pass over one batch.
///
/// For each event in stream order: if [`Assembler::begins_room`], load the room's presence and call
/// [`Assembler::begin_room`], which gives the conversation before; then [`Assembler::push`]. At the end
/// [`Assembler::finish`] gives the last conversation.
#[derive(Debug)]
pub struct Assembler {
    batch: Arc<BatchContext>,
    scratch: PathBuf,
    open: Option<Conversation>,
}

#[derive(Debug)]
struct Conversation {
    room: RoomNo,
    room_uri: Arc<str>,
    presence_before: Option<Vec<u8>>,
    fold: Fold,
    snapshot: RoomSnapshot,
    /// The message being written.
    out: XmlOut,
    messages: Messages,
    last: Option<(Ticks, SequenceOrder, Seq)>,
    counts: ConversationCounts,
    files: Vec<FileRef>,
}

/// Source sequences in order, events without one last.
type SequenceOrder = (bool, Option<u64>);

impl BatchContext {
    /// The context of a batch of `adapter`.
    pub fn of_adapter(adapter: &Adapter, batch: &BatchRow, presence_lease: Span) -> Self {
        Self {
            batch: batch.id,
            adapter: batch.adapter.clone(),
            interval_start: batch.interval_start,
            interval_end: batch.interval_end,
            late_before: (!batch.first).then_some(batch.interval_start),
            dialect: adapter.dialect,
            user_details: adapter.user_details,
            room_details: adapter.room_details,
            presence_lease,
            completes: batch.completes,
        }
    }
}

impl Assembler {
    /// A pass that has seen nothing yet. `scratch` is a directory where long conversations may be kept meanwhile,
    /// in files without a name.
    pub fn new(batch: BatchContext, scratch: &Path) -> Self {
        Self { batch: Arc::new(batch), scratch: scratch.to_owned(), open: None }
    }

    /// Whether the event is the first of its room, so that [`Assembler::begin_room`] must come first.
    pub fn begins_room(&self, event: &StagedEvent) -> bool {
        self.open.as_ref().is_none_or(|open| open.room != event.room)
    }

    /// Begins the event's room with its stored presence, and gives the conversation before.
    ///
    /// # Errors
    /// [`AssembleError::Presence`] for damaged presence; [`AssembleError::OutOfOrder`] when the room's
    /// number is not above the one before.
    pub fn begin_room(
        &mut self,
        event: &StagedEvent,
        presence: Option<Vec<u8>>,
    ) -> Result<Option<RenderedConversation>, AssembleError> {
        if self.open.as_ref().is_some_and(|open| open.room >= event.room) {
            return Err(AssembleError::OutOfOrder { seq: event.seq });
        }
        let next = Conversation::begin(&self.batch, event, presence, &self.scratch)?;
        Ok(self.open.replace(next).map(|before| before.finish(&self.batch)))
    }

    /// Takes the next event of the room, and tells what it became.
    ///
    /// # Errors
    /// [`AssembleError::Damaged`] when the staged bytes cannot be read; [`AssembleError::OutOfOrder`] when
    /// the event belongs before one that was taken already, or to a room that was not begun;
    /// [`AssembleError::Scratch`] when the disk refuses.
    pub fn push(&mut self, event: &StagedEvent, captures: &(impl Captures + ?Sized)) -> Result<Taken, AssembleError> {
        match &mut self.open {
            Some(open) if open.room == event.room => open.push(&self.batch, event, captures.of(event.seq)),
            _ => Err(AssembleError::OutOfOrder { seq: event.seq }),
        }
    }

    /// Takes the next event of the room, of which no message is written: the batch is not about it, and it tells who is in the
    /// room and what that is called.
    ///
    /// # Errors
    /// As [`Assembler::push`].
    pub fn push_context(&mut self, event: &StagedEvent) -> Result<(), AssembleError> {
        match &mut self.open {
            Some(open) if open.room == event.room => open.learn(event).map(drop),
            _ => Err(AssembleError::OutOfOrder { seq: event.seq }),
        }
    }

    /// Gives the last conversation; `None` when there was no event at all.
    pub fn finish(self) -> Option<RenderedConversation> {
        self.open.map(|open| open.finish(&self.batch))
    }
}

impl Conversation {
    fn begin(
        batch: &BatchContext,
        event: &StagedEvent,
        presence: Option<Vec<u8>>,
        scratch: &Path,
    ) -> Result<Self, AssembleError> {
        let read = presence.as_deref().map(Presence::from_bytes).transpose();
        let known = read.map_err(|reason| AssembleError::Presence { room: event.room, reason })?.unwrap_or_default();
        Ok(Self {
            room: event.room,
            room_uri: Arc::clone(&event.room_uri),
            presence_before: presence,
            fold: Fold::open(known, batch.interval_start, batch.presence_lease),
            snapshot: RoomSnapshot::default(),
            out: XmlOut::new(originals(batch.dialect)),
            messages: Messages::new(scratch),
            last: None,
            counts: ConversationCounts::default(),
            files: Vec::new(),
        })
    }

    /// What an event tells of the room, whether or not it makes a message.
    fn learn<'e>(&mut self, staged: &'e StagedEvent) -> Result<Event<'e>, AssembleError> {
        let place = (staged.time, (staged.sequence.is_none(), staged.sequence), staged.seq);
        if self.last.is_some_and(|last| last >= place) {
            return Err(AssembleError::OutOfOrder { seq: staged.seq });
        }
        let event = Event::read(&staged.raw).map_err(|reason| AssembleError::Damaged { seq: staged.seq, reason })?;
        self.last = Some(place);
        self.fold.event(staged.time, &event);
        if let Some(room) = &event.data.room {
            self.snapshot.update(room);
        }
        Ok(event)
    }

    fn push(
        &mut self,
        batch: &BatchContext,
        staged: &StagedEvent,
        captured: Option<&CapturedFile>,
    ) -> Result<Taken, AssembleError> {
        let event = self.learn(staged)?;
        let again = batch.completes.is_some();
        self.counts.events += u64::from(!again);
        let Some(meant) = event.kind.message_type() else {
            self.counts.signals += 1;
            return Ok(Taken::Signal);
        };
        let Some(spelled) = spelled(batch.dialect, meant) else {
            self.counts.left_out += 1;
            return Ok(Taken::LeftOut);
        };
        let late = batch.late_before.is_some_and(|before| staged.time < before);
        let captured = captured.filter(|_| event.kind.carries_file());
        let message = Message { staged, event: &event, meant, spelled, captured, late };
        self.out.clear();
        canonical::message(&mut self.out, batch, &message);
        if event.kind.carries_file() {
            self.files.push(file_ref(&message, self.messages.count()));
        }
        if again {
            self.counts.completed += 1;
        } else {
            self.counts.messages += 1;
            self.counts.late += u64::from(late);
        }
        self.messages.add(self.out.bytes(), staged.time).map_err(AssembleError::Scratch)?;
        Ok(Taken::Written)
    }

    fn finish(self, batch: &Arc<BatchContext>) -> RenderedConversation {
        let written = self.messages.count() > 0;
        let reporting = if written { Reporting::Written } else { Reporting::Silent };
        let (participants, presence) = self.fold.close(batch.interval_end, reporting);
        let mut counts = self.counts;
        counts.replaced_characters = self.out.replaced();
        let text = written.then(|| {
            let mut head = XmlOut::new(originals(batch.dialect));
            if extended(batch.dialect) {
                canonical::participants(&mut head, batch, &participants);
            }
            canonical::channel(&mut head, batch, &self.room_uri, &self.snapshot);
            counts.replaced_characters += head.replaced();
            ConversationText::new(Arc::clone(batch), head.into_bytes(), self.messages)
        });
        let bytes = presence.to_bytes();
        // A room nobody was ever seen in needs no row.
        let unchanged = match &self.presence_before {
            Some(before) => *before == bytes,
            None => presence == Presence::default(),
        };
        RenderedConversation {
            room: self.room,
            room_uri: self.room_uri,
            text,
            presence_after: (!unchanged).then_some(bytes),
            counts,
            files: self.files,
        }
    }
}

fn file_ref(message: &Message<'_>, number: usize) -> FileRef {
    let file = message.event.data.file.as_ref();
    let outcome = message.captured.cloned();
    FileRef {
        message: number,
        seq: message.staged.seq,
        source: Arc::clone(&message.staged.source),
        event: message.staged.id.clone(),
        original_name: file.and_then(|file| file.name.clone()).map(Text::into_owned),
        media_type: file.and_then(|file| file.media_type.clone()).map(Text::into_owned),
        outcome: outcome.unwrap_or_else(|| CapturedFile::Missing { reason: canonical::NOT_CAPTURED.into() }),
    }
}

pub(super) fn originals(dialect: Dialect) -> Originals {
    if extended(dialect) { Originals::Kept } else { Originals::Counted }
}
