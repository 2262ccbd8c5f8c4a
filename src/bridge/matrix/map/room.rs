//! What a room is: its state events.

use serde_json::{Value, json};

use super::{Learned, Mapped, View};

/// State that describes or rules a room, as the specification names it. A tombstone is among it: an upgraded room can
/// still be read, and its members are still in it.
const DESCRIBES: &[&str] = &[
    "m.room.name",
    "m.room.topic",
    "m.room.avatar",
    "m.room.canonical_alias",
    "m.room.join_rules",
    "m.room.history_visibility",
    "m.room.guest_access",
    "m.room.power_levels",
    "m.room.pinned_events",
    "m.room.server_acl",
    "m.room.encryption",
    "m.room.tombstone",
    "m.space.child",
    "m.space.parent",
];

pub(super) fn state(view: &View<'_>, kind: &str) -> Option<Mapped> {
    let event_type = match kind {
        "m.room.create" => "chat.room.created",
        kind if DESCRIBES.contains(&kind) => "chat.room.updated",
        _ => return None,
    };
    let null = Value::Null;
    let content = view.value.get("content").unwrap_or(&null);
    let unsigned = view.value.get("unsigned").and_then(|unsigned| unsigned.get("prev_content"));
    let before = unsigned.or_else(|| view.value.get("prev_content")).unwrap_or(&null);
    let changes = json!({ kind: { "to": content, "from": before, "state_key": view.text(&["state_key"]) } });
    let mut mapped = view.mapped(event_type, json!({ "changes": changes }));
    let new = |name: &str| view.text(&["content", name]).map(str::to_owned);
    let learned = match kind {
        "m.room.name" => Learned::RoomName(new("name")),
        "m.room.topic" => Learned::RoomTopic(new("topic")),
        _ => return Some(mapped),
    };
    // The event tells of the room as it is from now on.
    if let (Some(Value::Object(room)), Learned::RoomName(text) | Learned::RoomTopic(text)) =
        (mapped.data.get_mut("room"), &learned)
    {
        let member = if matches!(learned, Learned::RoomName(_)) { "name" } else { "topic" };
        room.remove(member);
        if let Some(text) = text.as_ref().filter(|text| !text.is_empty()) {
            room.insert(member.into(), text.as_str().into());
        }
    }
    Some(mapped.learning([learned]))
}
