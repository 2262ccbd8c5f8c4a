//! The room as its events describe it: the last word on each detail stands.

use crate::model::Text;
use crate::model::event::Room;

/// What is known of a room at the end of a conversation.
#[derive(Debug, Default)]
pub(super) struct RoomSnapshot {
    pub(super) name: Option<Text<'static>>,
    pub(super) kind: Option<Text<'static>>,
    pub(super) logged: Option<bool>,
    pub(super) topic: Option<Text<'static>>,
    pub(super) description: Option<Text<'static>>,
}

impl RoomSnapshot {
    /// Takes over what an event says; what it does not mention stays.
    pub(super) fn update(&mut self, room: &Room<'_>) {
        let told = [
            (&mut self.name, &room.name),
            (&mut self.kind, &room.kind),
            (&mut self.topic, &room.topic),
            (&mut self.description, &room.description),
        ];
        for (known, heard) in told {
            if let Some(heard) = heard
                && known.as_ref().is_none_or(|known| known.as_bytes() != heard.as_bytes())
            {
                *known = Some(heard.clone().into_owned());
            }
        }
        self.logged = room.logged.or(self.logged);
    }
}
