//! What is said: messages, edits, files, reactions, deletions.

use serde_json::{Map, Value};

use super::{Learned, Mapped, Said, SaidKind, View, member_of, message_of, redacts};
use crate::bridge::matrix::event::text;

/// A message, an edit or a file; `None` where the words that the type promises are not there.
pub(super) fn message(view: &View<'_>) -> Option<Mapped> {
    if view.text(&["content", "m.relates_to", "rel_type"]) == Some("m.replace") {
        return edit(view);
    }
    let sticker = view.text(&["type"]) == Some("m.sticker");
    let kind = view.text(&["content", "msgtype"]);
    let of_file = sticker || matches!(kind, Some("m.image" | "m.file" | "m.audio" | "m.video"));
    if of_file && let Some(mapped) = file(view) {
        return Some(mapped);
    }
    let words = view.text(&["content", "body"])?;
    Some(posted(view, words).noted("msgtype", kind.unwrap_or("m.sticker")))
}

/// A message with these words.
fn posted(view: &View<'_>, words: &str) -> Mapped {
    let id = view.event.id();
    let mut message = message_of(&id);
    message.insert("text".into(), words.into());
    relate(view, &mut message);
    let said = Said { kind: SaidKind::Message, text: Some(words.to_owned()), about: None };
    view.mapped("chat.message.posted", member_of("message", message)).learning([Learned::Said(said)])
}

/// What is answered, and the thread.
fn relate(view: &View<'_>, message: &mut Map<String, Value>) {
    let relation = ["content", "m.relates_to"];
    let in_thread = view.text(&[relation[0], relation[1], "rel_type"]) == Some("m.thread");
    // In a thread the answer may only be there for clients that know no threads.
    let falls_back = view
        .content("m.relates_to")
        .and_then(|relation| relation.get("is_falling_back"))
        .is_some_and(|flag| *flag == Value::Bool(true));
    if let Some(answered) = view.text(&[relation[0], relation[1], "m.in_reply_to", "event_id"])
        && !(in_thread && falls_back)
    {
        message.insert("in_reply_to".into(), answered.into());
    }
    if in_thread && let Some(thread) = view.text(&[relation[0], relation[1], "event_id"]) {
        message.insert("thread".into(), thread.into());
    }
}

fn edit(view: &View<'_>) -> Option<Mapped> {
    let original = view.text(&["content", "m.relates_to", "event_id"]).filter(|id| !id.is_empty())?;
    let words = view.text(&["content", "m.new_content", "body"])?;
    let mut message = message_of(original);
    message.insert("text".into(), words.into());
    if let Some(before) = view.known.target.as_ref().and_then(|said| said.text.as_deref()) {
        message.insert("previous_text".into(), before.into());
    }
    let said = Said { kind: SaidKind::Edit, text: Some(words.to_owned()), about: Some(original.to_owned()) };
    let learned = [Learned::Said(said), Learned::Words(original.to_owned(), words.to_owned())];
    Some(view.mapped("chat.message.edited", member_of("message", message)).learning(learned))
}

/// An uploaded file; `None` where it does not say where the bytes lie.
fn file(view: &View<'_>) -> Option<Mapped> {
    let encrypted = view.text(&["content", "file", "url"]);
    let location = view.text(&["content", "url"]).or(encrypted).filter(|url| !url.is_empty())?;
    let body = view.text(&["content", "body"]).filter(|body| !body.is_empty());
    let name = view.text(&["content", "filename"]).filter(|name| !name.is_empty()).or(body).unwrap_or(location);
    let mut file = Map::new();
    file.insert("id".into(), location.into());
    file.insert("name".into(), name.into());
    file.insert("location".into(), location.into());
    let info = view.content("info");
    if let Some(media_type) = info.and_then(|info| text(info, &["mimetype"])) {
        file.insert("media_type".into(), media_type.into());
    }
    // What the client claims about an encrypted file is about its clear text, which is not what is fetched.
    let size = info.and_then(|info| info.get("size")).and_then(Value::as_u64).filter(|_| encrypted.is_none());
    if let Some(size) = size {
        file.insert("size".into(), size.into());
    }
    let id = view.event.id();
    let mut message = message_of(&id);
    let caption = body.filter(|body| *body != name);
    if let Some(caption) = caption {
        message.insert("text".into(), caption.into());
    }
    relate(view, &mut message);
    let mut more = Map::new();
    more.insert("file".into(), Value::Object(file));
    more.insert("message".into(), Value::Object(message));
    let said = Said { kind: SaidKind::File, text: Some(name.to_owned()), about: Some(location.to_owned()) };
    let mapped = view.mapped("chat.file.uploaded", Value::Object(more)).learning([Learned::Said(said)]);
    Some(if encrypted.is_some() { mapped.noted("encrypted_file", true) } else { mapped })
}

/// Whether the type is the start of a poll, in the specification's or the older spelling.
pub(super) fn is_poll(kind: &str) -> bool {
    matches!(kind, "m.poll.start" | "org.matrix.msc3381.poll.start")
}

/// A poll, as its question and answers.
pub(super) fn poll(view: &View<'_>) -> Option<Mapped> {
    let words = |value: &Value| {
        let stable = value.get("m.text").and_then(|texts| texts.get(0)).and_then(|first| text(first, &["body"]));
        let plain = |name: &str| text(value, &[name]);
        stable
            .or_else(|| plain("m.text"))
            .or_else(|| plain("org.matrix.msc1767.text"))
            .or_else(|| plain("body"))
            .map(str::to_owned)
    };
    let poll =
        ["m.poll", "m.poll.start", "org.matrix.msc3381.poll.start"].iter().find_map(|name| view.content(name))?;
    let question = words(poll.get("question")?)?;
    let answers = poll.get("answers").and_then(Value::as_array).into_iter().flatten().filter_map(words);
    let lines: Vec<String> = std::iter::once(question).chain(answers.map(|answer| format!("- {answer}"))).collect();
    Some(posted(view, &lines.join("\n")).noted("msgtype", "poll"))
}

/// A reaction to a message.
pub(super) fn reaction(view: &View<'_>) -> Option<Mapped> {
    let target = view.text(&["content", "m.relates_to", "event_id"]).filter(|id| !id.is_empty())?;
    let key = view.text(&["content", "m.relates_to", "key"])?;
    let mut message = message_of(target);
    message.insert("reaction".into(), key.into());
    let said = Said { kind: SaidKind::Reaction, text: Some(key.to_owned()), about: Some(target.to_owned()) };
    Some(view.mapped("chat.message.reacted", member_of("message", message)).learning([Learned::Said(said)]))
}

/// A deletion: of a message, an edit, a file or a reaction. One that was never seen counts as a message.
pub(super) fn redaction(view: &View<'_>) -> Option<Mapped> {
    let target = redacts(view.value)?;
    let said = view.known.target.as_ref();
    let about = said.and_then(|said| said.about.as_deref());
    let words = said.and_then(|said| said.text.as_deref());
    let mut mapped = match (said.map(|said| said.kind), about) {
        (Some(SaidKind::Reaction), Some(about)) => {
            let mut message = message_of(about);
            message.insert("reaction".into(), words.unwrap_or_default().into());
            view.mapped("chat.message.unreacted", member_of("message", message))
        }
        (Some(SaidKind::File), Some(location)) => {
            let mut file = Map::new();
            file.insert("id".into(), location.into());
            if let Some(name) = words {
                file.insert("name".into(), name.into());
            }
            let mut more = Map::new();
            more.insert("file".into(), Value::Object(file));
            more.insert("message".into(), Value::Object(message_of(target)));
            view.mapped("chat.file.deleted", Value::Object(more))
        }
        (kind, _) => {
            let mut message = message_of(target);
            if let Some(words) = words {
                message.insert("previous_text".into(), words.into());
            }
            let mapped = view.mapped("chat.message.deleted", member_of("message", message));
            match (kind, about) {
                (Some(SaidKind::Edit), Some(original)) => mapped.noted("edit_of", original),
                _ => mapped,
            }
        }
    };
    if let Some(reason) = view.text(&["content", "reason"]) {
        mapped = mapped.noted("reason", reason);
    }
    Some(mapped.noted("redacts", target))
}
