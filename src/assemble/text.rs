//! One conversation's canonical XML, to be written whole or in parts.
//!
//! A part is a `Conversation` element of its own: the participants and the room stand in each, the messages in one.

use std::io::{self, Write};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::canonical;
use super::conversation::{BatchContext, originals};
use super::xml::XmlOut;
use crate::model::Ticks;
use crate::support::scratch::Scratch;

/// Bytes of the numbers of a part and of both instants, at most; what a part has beside head and messages.
const FRAME_MAX: u64 = 1024;

/// The messages of one conversation, back to back.
#[derive(Debug)]
pub(super) struct Messages {
    xml: Scratch,
    marks: Vec<Mark>,
}

/// Where a message ends, and when it was.
#[derive(Debug, Clone, Copy)]
struct Mark {
    end: u64,
    time: Ticks,
}

/// One conversation's canonical XML.
#[derive(Debug)]
pub struct ConversationText {
    batch: Arc<BatchContext>,
    /// Participants and room.
    head: Vec<u8>,
    messages: Messages,
}

/// A part of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConversationPart {
    /// Which part, from 1.
    pub number: u32,
    /// How many there are.
    pub of: u32,
    /// Its messages, from 0.
    pub messages: Range<usize>,
}

impl Messages {
    pub(super) fn new(scratch: &Path) -> Self {
        Self { xml: Scratch::new(scratch), marks: Vec::new() }
    }

    pub(super) fn count(&self) -> usize {
        self.marks.len()
    }

    pub(super) fn add(&mut self, message: &[u8], time: Ticks) -> io::Result<()> {
        self.xml.write_all(message)?;
        self.marks.push(Mark { end: self.xml.len(), time });
        Ok(())
    }

    fn place(&self, range: &Range<usize>) -> Range<u64> {
        let before = |message: usize| match message.checked_sub(1) {
            Some(last) => self.marks.get(last).map_or(self.xml.len(), |mark| mark.end),
            None => 0,
        };
        before(range.start)..before(range.end)
    }
}

impl ConversationText {
    pub(super) fn new(batch: Arc<BatchContext>, head: Vec<u8>, messages: Messages) -> Self {
        Self { batch, head, messages }
    }

    /// How many messages there are; at least one.
    pub fn messages(&self) -> usize {
        self.messages.count()
    }

    /// The conversation in one part.
    pub fn whole(&self) -> ConversationPart {
        ConversationPart { number: 1, of: 1, messages: 0..self.messages.count() }
    }

    /// The fewest parts of which none takes more than `bytes_max` bytes, unless it is one message. The same
    /// conversation and limit give the same parts.
    pub fn parts(&self, bytes_max: u64) -> Vec<ConversationPart> {
        let mut ranges: Vec<Range<usize>> = Vec::new();
        let mut from = 0;
        for message in 1..=self.messages.count() {
            if message - from > 1 && self.size(&(from..message)) > bytes_max {
                ranges.push(from..message - 1);
                from = message - 1;
            }
        }
        ranges.push(from..self.messages.count());
        let of = u32::try_from(ranges.len()).unwrap_or(u32::MAX);
        (1..).zip(ranges).map(|(number, messages)| ConversationPart { number, of, messages }).collect()
    }

    /// The bytes of a part, at most; never less than what [`Self::write`] writes.
    pub fn bytes(&self, part: &ConversationPart) -> u64 {
        self.size(&part.messages)
    }

    fn size(&self, messages: &Range<usize>) -> u64 {
        let length = |range: &Range<usize>| {
            let place = self.messages.place(range);
            place.end - place.start
        };
        let adapter = 6 * self.batch.adapter.len() as u64;
        let first = messages.start..(messages.start + 1).min(messages.end);
        FRAME_MAX + adapter + self.head.len() as u64 + length(&first) + length(messages)
    }

    /// Writes a part as a `Conversation` element.
    ///
    /// # Errors
    /// When the scratch file cannot be read, or `out` refuses.
    pub fn write(&self, part: &ConversationPart, out: &mut impl Write) -> io::Result<()> {
        let mut frame = XmlOut::new(originals(self.batch.dialect));
        canonical::start_conversation(&mut frame, &self.batch, part.number, part.of);
        out.write_all(frame.bytes())?;
        out.write_all(&self.head)?;
        self.first_message(part, out)?;
        out.write_all(b"<Messages>")?;
        self.messages.xml.copy(self.messages.place(&part.messages), out)?;
        out.write_all(b"</Messages>")?;
        frame.clear();
        let marks = self.messages.marks.get(part.messages.clone()).unwrap_or_default();
        if let (Some(first), Some(last)) = (marks.first(), marks.last()) {
            frame.triplet("StartTimeUTC", first.time);
            frame.triplet("EndTimeUTC", last.time);
        }
        frame.end("Conversation");
        out.write_all(frame.bytes())
    }

    /// The first message once more, under its other name.
    fn first_message(&self, part: &ConversationPart, out: &mut impl Write) -> io::Result<()> {
        let mut message = Vec::new();
        let first = part.messages.start..part.messages.start + 1;
        self.messages.xml.copy(self.messages.place(&first), &mut message)?;
        let inner = message.strip_prefix(b"<Message").and_then(|rest| rest.strip_suffix(b"</Message>"));
        out.write_all(b"<FirstMessage")?;
        out.write_all(inner.unwrap_or_default())?;
        out.write_all(b"</FirstMessage>")
    }
}
