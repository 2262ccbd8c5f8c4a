//! Who comes and goes: `m.room.member`.
//!
//! Source: Matrix client-server API, "m.room.member". Only who was joined can leave or be removed; what else may happen to
//! a membership (a declined invitation, a lifted ban) has a type of its own, so that nobody is taken out of a room twice.

use serde_json::Value;

use super::{Learned, Mapped, View, member_of};
use crate::bridge::matrix::event::text;

pub(super) fn member(view: &View<'_>) -> Option<Mapped> {
    let member = view.text(&["state_key"]).filter(|member| !member.is_empty())?;
    let now = view.text(&["content", "membership"])?;
    let before = previous(view);
    let was = before.and_then(|before| text(before, &["membership"])).unwrap_or("leave");
    let own = view.sender() == Some(member);
    let mapped = match (now, was) {
        ("join", "join") => changed(view, member, before),
        ("join", _) => joined(view, member),
        ("invite", _) => with_member(view, "chat.member.invited", member),
        ("leave", "join") if own => view.mapped("chat.room.left", Value::Null),
        ("leave", "join") => with_member(view, "chat.member.removed", member).noted("change", "kicked"),
        ("leave", "ban") => with_member(view, "matrix.member.unbanned", member),
        ("leave", "invite") if own => with_member(view, "matrix.member.declined", member),
        ("leave", "invite") => with_member(view, "matrix.member.invite_withdrawn", member),
        ("leave", "knock") if own => with_member(view, "matrix.member.knock_withdrawn", member),
        ("leave", "knock") => with_member(view, "matrix.member.knock_refused", member),
        ("ban", "join") => with_member(view, "chat.member.removed", member).noted("change", "banned"),
        ("ban", _) => with_member(view, "matrix.member.banned", member),
        ("knock", _) => with_member(view, "matrix.member.knocked", member),
        _ => return None,
    };
    let mapped = mapped.noted("membership", now).noted("previous_membership", was);
    let mapped = match view.text(&["content", "reason"]) {
        Some(reason) => mapped.noted("reason", reason),
        None => mapped,
    };
    let direct = view.content("is_direct").is_some_and(|flag| *flag == Value::Bool(true));
    Some(if direct { mapped.learning([Learned::Direct]) } else { mapped })
}

/// The membership before, where the server tells; it stands in two places.
fn previous<'a>(view: &'a View<'_>) -> Option<&'a Value> {
    let unsigned = view.value.get("unsigned").and_then(|unsigned| unsigned.get("prev_content"));
    unsigned.or_else(|| view.value.get("prev_content"))
}

/// The name the event itself gives the member.
fn own_name(view: &View<'_>) -> Option<String> {
    view.text(&["content", "displayname"]).map(str::to_owned)
}

/// An event about a member, under the name it gives them, else under the one that is known.
fn with_member(view: &View<'_>, event_type: &str, member: &str) -> Mapped {
    let mut person = view.person(member);
    if let Some(name) = own_name(view) {
        person.insert("name".into(), name.into());
    }
    view.mapped(event_type, member_of("member", person))
}

/// Somebody is in the room now; they did it themselves, whoever sent the event.
fn joined(view: &View<'_>, member: &str) -> Mapped {
    let mut person = view.person(member);
    person.remove("name");
    let name = own_name(view);
    if let Some(name) = &name {
        person.insert("name".into(), name.as_str().into());
    }
    let learned = Learned::PersonName(member.to_owned(), name);
    view.mapped("chat.room.joined", member_of("sender", person)).learning([learned])
}

/// Another display name, or another picture, of somebody who is in the room and stays there.
fn changed(view: &View<'_>, member: &str, before: Option<&Value>) -> Mapped {
    let (old, new) = (before.and_then(|before| text(before, &["displayname"])), own_name(view));
    if old == new.as_deref() {
        return with_member(view, "matrix.member.profile_changed", member);
    }
    let mut person = view.person(member);
    person.remove("name");
    if let Some(name) = &new {
        person.insert("name".into(), name.as_str().into());
    }
    if let Some(old) = old {
        person.insert("previous_name".into(), old.into());
    }
    let learned = Learned::PersonName(member.to_owned(), new);
    view.mapped("chat.member.renamed", member_of("member", person)).learning([learned])
}
