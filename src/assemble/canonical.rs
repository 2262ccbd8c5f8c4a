//! The elements of the canonical XML: conversation, channel, participants, messages, people.
//!
//! Each function writes one element of the layout, extensions included where the dialect has them.
//! Values stand in attributes only, and no white space stands between elements: old stylesheets would print both.

use std::borrow::Cow;

use super::captures::CapturedFile;
use super::content::{compact_json, content, names_message};
use super::dialect::{extended, has_is_logged, user_name};
use super::participants::Participant;
use super::xml::XmlOut;
use super::{BatchContext, room::RoomSnapshot};
use crate::model::event::{Person, Query};
use crate::model::{Event, Kind, MessageType, Text};
use crate::staging::StagedEvent;

/// Why there are no bytes when nothing was tried.
pub(super) const NOT_CAPTURED: &str = "not captured";

/// One message on its way into the output.
pub(super) struct Message<'m> {
    pub(super) staged: &'m StagedEvent,
    pub(super) event: &'m Event<'m>,
    /// What it is.
    pub(super) meant: MessageType,
    /// How the dialect spells it.
    pub(super) spelled: MessageType,
    pub(super) captured: Option<&'m CapturedFile>,
    pub(super) late: bool,
}

/// Writes the start tag of a conversation, or of its `part`-th part of `parts`.
pub(super) fn start_conversation(out: &mut XmlOut, batch: &BatchContext, part: u32, parts: u32) {
    out.start("Conversation");
    if extended(batch.dialect) {
        out.plain("c:batch", batch.batch);
        out.text("c:adapter", &Text::from(batch.adapter.as_str()));
        out.instant("c:intervalStart", batch.interval_start);
        out.instant("c:intervalEnd", batch.interval_end);
        out.plain("c:part", part);
        out.plain("c:parts", parts);
    }
    out.open();
}

/// Writes who took part.
pub(super) fn participants(out: &mut XmlOut, batch: &BatchContext, participants: &[Participant]) {
    out.start("c:Participants");
    out.open();
    for participant in participants {
        out.start("c:Participant");
        out.text("uri", &participant.uri);
        if batch.user_details {
            out.text("name", participant.name.as_ref().unwrap_or(&participant.uri));
            out.text("email", participant.email.as_ref().unwrap_or(&Text::default()));
        } else {
            out.text("name", &participant.uri);
            out.word("email", "");
        }
        out.plain("presentAtStart", participant.present_at_start);
        out.plain("presentAtEnd", participant.present_at_end);
        for (name, at) in [("joined", participant.joined), ("left", participant.left)] {
            if let Some(at) = at {
                out.instant(name, at);
            }
        }
        if !participant.inferred.words().is_empty() {
            out.word("inferred", participant.inferred.words());
        }
        out.close_empty();
    }
    out.end("c:Participants");
}

/// Writes the room, as it was last described.
pub(super) fn channel(out: &mut XmlOut, batch: &BatchContext, uri: &str, room: &RoomSnapshot) {
    let uri = Text::from(uri);
    let details = batch.room_details.then_some(room);
    out.start("Channel");
    out.address(batch.dialect, &uri);
    out.text("name", details.and_then(|room| room.name.as_ref()).unwrap_or(&uri));
    if has_is_logged(batch.dialect) {
        out.word("islogged", truth(details.and_then(|room| room.logged)));
    }
    if extended(batch.dialect) {
        out.known("c:kind", room.kind.as_ref());
        out.known("c:topic", details.and_then(|room| room.topic.as_ref()));
        out.known("c:description", details.and_then(|room| room.description.as_ref()));
    }
    out.close_empty();
}

/// Writes one `Message` element.
pub(super) fn message(out: &mut XmlOut, batch: &BatchContext, message: &Message<'_>) {
    let Message { staged, event, meant, .. } = *message;
    out.start("Message");
    out.word("type", message.spelled.as_str());
    out.content(&content(meant, event, staged, message.captured));
    let native = event.data.message.as_ref().and_then(|message| message.id.as_ref()).and_then(|id| id.as_int());
    let id = if names_message(meant) { native.or(staged.message_no).unwrap_or(0) } else { 0 };
    out.plain("id", id);
    if extended(batch.dialect) {
        origin(out, message);
        particulars(out, message);
        circumstances(out, batch, message);
    }
    out.open();
    sender(out, batch, staged, event.data.sender.as_ref());
    out.triplet("DateTimeUTC", staged.time);
    if extended(batch.dialect)
        && meant == MessageType::Member
        && let Some(member) = &event.data.member
    {
        affected(out, batch, member);
    }
    out.end("Message");
}

/// Where the message came from.
fn origin(out: &mut XmlOut, Message { staged, event, .. }: &Message<'_>) {
    out.text("c:source", &Text::from(&*staged.source));
    out.text("c:event", &Text::from(staged.id.as_str()));
    if let Some(sequence) = staged.sequence {
        out.plain("c:sequence", sequence);
    }
    out.text("c:kind", &event.event_type);
}

/// What else the event says.
fn particulars(out: &mut XmlOut, message: &Message<'_>) {
    let data = &message.event.data;
    if let Some(words) = &data.message {
        out.known("c:messageId", words.id.as_ref().map(|id| &id.0));
        out.known("c:inReplyTo", words.in_reply_to.as_ref().map(|id| &id.0));
        out.known("c:thread", words.thread.as_ref().map(|id| &id.0));
        out.known("c:format", words.format.as_ref());
        match (message.meant, &words.previous_text, &words.text) {
            // The previous text is the content; words beside it are what the reader sees instead.
            (MessageType::Delete, Some(_), replacement) => out.known("c:replacement", replacement.as_ref()),
            (MessageType::Delete, None, _) => {}
            (_, previous, _) => out.known("c:previous", previous.as_ref()),
        }
        out.known("c:reaction", words.reaction.as_ref());
    }
    if let Some(word) = message.event.kind.member_change() {
        out.word("c:change", word);
    } else if let Some(changes) = data.changes {
        out.text("c:change", &Text::from(compact_json(changes.get())));
    }
    if let Some(Query::Range(range)) = &data.query {
        out.known("c:from", range.from.as_ref());
        out.known("c:to", range.to.as_ref());
        if let Some(limit) = range.limit {
            out.plain("c:limit", limit);
        }
    }
    file(out, message);
}

/// The file: what was captured where it was, what the event claims otherwise.
fn file(out: &mut XmlOut, message: &Message<'_>) {
    let Some(file) = &message.event.data.file else { return };
    out.known("c:fileId", file.id.as_ref().map(|id| &id.0));
    out.known("c:fileName", file.name.as_ref());
    out.known("c:mediaType", file.media_type.as_ref());
    let claimed = |out: &mut XmlOut, size_name: &str, digest_name: &str| {
        if let Some(size) = file.size {
            out.plain(size_name, size);
        }
        out.known(digest_name, file.sha256.as_ref());
    };
    if !message.event.kind.carries_file() {
        return claimed(out, "c:size", "c:sha256");
    }
    match message.captured {
        Some(CapturedFile::Stored { sha256, size, mismatch, .. }) => {
            out.plain("c:size", size);
            out.word("c:sha256", &hex::encode(sha256));
            if *mismatch {
                out.word("c:mismatch", "true");
                claimed(out, "c:claimedSize", "c:claimedSha256");
            }
        }
        Some(CapturedFile::Missing { reason }) => {
            claimed(out, "c:size", "c:sha256");
            out.text("c:missing", &Text::from(reason.as_str()));
        }
        None => {
            claimed(out, "c:size", "c:sha256");
            out.word("c:missing", NOT_CAPTURED);
        }
    }
}

/// How the event reached us.
fn circumstances(out: &mut XmlOut, batch: &BatchContext, Message { staged, event, late, .. }: &Message<'_>) {
    out.instant("c:receivedAt", staged.received);
    for (name, holds) in
        [("c:timeIsReceipt", staged.time_is_receipt), ("c:late", *late), ("c:conflict", staged.conflict)]
    {
        if holds {
            out.word(name, "true");
        }
    }
    if let Some(completed) = batch.completes {
        out.plain("c:completes", completed);
    }
    if event.kind == Kind::Other || event.has_unknown {
        out.base64("c:raw", &staged.raw);
    }
}

fn sender(out: &mut XmlOut, batch: &BatchContext, staged: &StagedEvent, sender: Option<&Person<'_>>) {
    let uri = sender.and_then(Person::key).map_or_else(|| Cow::Owned(Text::default()), Cow::Borrowed);
    let details = sender.filter(|_| batch.user_details);
    out.start("Sender");
    out.text(user_name(batch.dialect), details.and_then(|person| person.name.as_ref()).unwrap_or(&uri));
    let native = sender.and_then(|person| person.id.as_ref());
    out.plain("id", native.and_then(|id| id.as_int()).or(staged.person_no).unwrap_or(0));
    match details.and_then(|person| person.email.as_ref()) {
        Some(email) => out.text("email", email),
        None => out.word("email", ""),
    }
    if let Some(internal) = sender.and_then(|person| person.internal) {
        out.plain("internal", internal);
    }
    out.address(batch.dialect, &uri);
    if extended(batch.dialect) {
        out.known("c:id", native.map(|id| &id.0));
        if let Some(bot) = sender.and_then(|person| person.bot) {
            out.plain("c:bot", bot);
        }
        out.known("c:company", sender.and_then(|person| person.company.as_ref()));
        out.known("c:role", sender.and_then(|person| person.role.as_ref()));
    }
    out.close_empty();
}

/// Whom a `MEMBER` message is about.
fn affected(out: &mut XmlOut, batch: &BatchContext, member: &Person<'_>) {
    out.start("c:Member");
    out.known("uri", member.key());
    out.known("id", member.id.as_ref().map(|id| &id.0));
    if batch.user_details {
        out.known("name", member.name.as_ref());
        out.known("previousName", member.previous_name.as_ref());
        out.known("email", member.email.as_ref());
    }
    if let Some(internal) = member.internal {
        out.plain("internal", internal);
    }
    if let Some(bot) = member.bot {
        out.plain("bot", bot);
    }
    out.known("company", member.company.as_ref());
    out.known("role", member.role.as_ref());
    out.close_empty();
}

fn truth(known: Option<bool>) -> &'static str {
    match known {
        Some(true) => "true",
        Some(false) => "false",
        None => "",
    }
}
