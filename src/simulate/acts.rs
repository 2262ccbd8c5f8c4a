//! What people do in a room: coming and going, talking, correcting, passing files, managing.

use std::time::Duration;

use serde_json::json;

use super::clock;
use super::day::{Day, Deed};
use super::event_json::{Content, MessageJson};
use super::files;
use super::people::Standing;
use super::rooms::{Life, RoomKind, Said};
use super::{talk, words};

/// How long a sign of presence counts, in seconds.
const LEASE_SECS: u64 = 3600;

impl Day {
    /// What happens next in a room.
    pub(super) fn deed_in(&mut self, room: usize) -> Deed {
        if self.rooms[room].life == Life::Planned {
            return self.created(room);
        }
        let (present, members) = (self.rooms[room].present.len(), self.rooms[room].members.len());
        let wanted = clock::present_of(members, self.share()).max(1);
        if present == 0 || (present < wanted && self.dice.chance(0.4)) {
            return self.joins(room);
        }
        if present > wanted && self.dice.chance(0.4) {
            return self.leaves(room);
        }
        self.acts(room).unwrap_or_else(|| self.posts(room))
    }

    /// An act other than plain talk, when the dice say so and the room allows it.
    fn acts(&mut self, room: usize) -> Option<Deed> {
        match self.dice.below(1000) {
            0..130 => self.answers(room),
            130..170 => self.edits(room),
            170..184 => self.deletes(room),
            184..254 => self.reacts(room),
            254..264 => self.unreacts(room),
            264..294 => Some(self.views_history(room)),
            294..308 => Some(self.searches(room)),
            308..330 if self.files => Some(self.uploads(room)),
            330..355 => self.downloads(room),
            355..358 => self.deletes_file(room),
            358..372 => self.manages(room),
            372..376 => Some(self.updates(room)),
            376..416 => self.renews(room),
            416..418 => Some(self.polls(room)),
            418..424 => self.dissolves(room),
            _ => None,
        }
    }

    fn joins(&mut self, room: usize) -> Deed {
        let lease_seconds = self.renews_presence(room).then_some(LEASE_SECS);
        let place = &mut self.rooms[room];
        let from = self.dice.below(place.members.len());
        let absent = (0..place.members.len())
            .map(|step| place.members[(from + step) % place.members.len()])
            .find(|person| !place.present.contains(person));
        // Called only while somebody is absent.
        let person = absent.unwrap_or(place.members[from]);
        place.present.push(person);
        Deed { content: Content { lease_seconds, ..Content::default() }, ..Deed::plain("chat.room.joined", person) }
    }

    fn leaves(&mut self, room: usize) -> Deed {
        let place = &mut self.rooms[room];
        let person = place.present.swap_remove(self.dice.below(place.present.len()));
        Deed::plain("chat.room.left", person)
    }

    fn posts(&mut self, room: usize) -> Deed {
        let author = self.someone_in(room);
        let text = talk::message(&mut self.dice, self.cast[author].standing);
        self.says(room, author, text, None)
    }

    fn answers(&mut self, room: usize) -> Option<Deed> {
        let author = self.someone_in(room);
        let question = self.remembered(room)?.clone();
        let text = talk::reply(&mut self.dice);
        Some(self.says(room, author, text, Some(question)))
    }

    fn says(&mut self, room: usize, author: usize, text: String, question: Option<Said>) -> Deed {
        let id = self.rooms[room].next_id(&mut self.dice);
        let in_reply_to = question.as_ref().map(|question| question.id.clone());
        let thread = question.map(|question| question.thread.unwrap_or(question.id));
        self.rooms[room].remember(Said {
            id: id.clone(),
            author,
            text: text.clone(),
            thread: thread.clone(),
            reaction: None,
        });
        let message = MessageJson {
            id: Some(id),
            text: Some(text),
            format: Some("text/plain"),
            in_reply_to,
            thread,
            ..MessageJson::default()
        };
        Deed::message("chat.message.posted", author, message)
    }

    fn edits(&mut self, room: usize) -> Option<Deed> {
        let at = self.own_message(room)?;
        let said = &mut self.rooms[room].said[at];
        let text = talk::corrected(&mut self.dice, &said.text);
        let previous = std::mem::replace(&mut said.text, text.clone());
        let message = MessageJson {
            id: Some(said.id.clone()),
            text: Some(text),
            previous_text: Some(previous),
            format: Some("text/plain"),
            thread: said.thread.clone(),
            ..MessageJson::default()
        };
        Some(Deed::message("chat.message.edited", said.author, message))
    }

    fn deletes(&mut self, room: usize) -> Option<Deed> {
        let at = self.own_message(room)?;
        let said = self.rooms[room].said.remove(at)?;
        let message = MessageJson {
            id: Some(said.id),
            previous_text: Some(said.text),
            thread: said.thread,
            ..MessageJson::default()
        };
        Some(Deed::message("chat.message.deleted", said.author, message))
    }

    fn reacts(&mut self, room: usize) -> Option<Deed> {
        let person = self.someone_in(room);
        let reaction = self.dice.pick(words::REACTIONS);
        let said = self.remembered(room)?;
        said.reaction = Some((person, reaction));
        let message = MessageJson { id: Some(said.id.clone()), reaction: Some(reaction), ..MessageJson::default() };
        Some(Deed::message("chat.message.reacted", person, message))
    }

    fn unreacts(&mut self, room: usize) -> Option<Deed> {
        let place = &mut self.rooms[room];
        let said = place
            .said
            .iter_mut()
            .find(|said| said.reaction.is_some_and(|(person, _)| place.present.contains(&person)))?;
        let (person, reaction) = said.reaction.take()?;
        let message = MessageJson { id: Some(said.id.clone()), reaction: Some(reaction), ..MessageJson::default() };
        Some(Deed::message("chat.message.unreacted", person, message))
    }

    fn views_history(&mut self, room: usize) -> Deed {
        let person = self.someone_in(room);
        let ended = self.start.minus(Duration::from_secs(3600 * self.dice.between(1, 200) as u64));
        let began = ended.minus(Duration::from_secs(3600 * self.dice.between(1, 100) as u64));
        let query = json!({ "from": began.iso(), "to": ended.iso(), "limit": 25 * self.dice.between(1, 8) });
        Deed {
            content: Content { query: Some(query), ..Content::default() },
            ..Deed::plain("chat.history.viewed", person)
        }
    }

    fn searches(&mut self, room: usize) -> Deed {
        let person = self.someone_in(room);
        let text = talk::search(&mut self.dice);
        let query = match self.dice.chance(0.5) {
            true => json!(text),
            false => json!({ "text": text, "limit": 50 }),
        };
        let content = Content { query: Some(query), ..Content::default() };
        Deed { content, ..Deed::plain("chat.history.searched", person) }
    }

    fn uploads(&mut self, room: usize) -> Deed {
        let person = self.someone_in(room);
        let id = self.rooms[room].next_id(&mut self.dice);
        let file = files::small_file(&mut self.dice, id);
        self.rooms[room].keep_file(file.clone());
        Deed {
            content: Content { file: Some(file), ..Content::default() },
            ..Deed::plain("chat.file.uploaded", person)
        }
    }

    /// A download hands over the same bytes again: the record shows what the reader got.
    fn downloads(&mut self, room: usize) -> Option<Deed> {
        let person = self.someone_in(room);
        let files = &self.rooms[room].files;
        let file = files.get(self.dice.below(files.len()))?.clone();
        let content = Content { file: Some(file), ..Content::default() };
        Some(Deed { content, ..Deed::plain("chat.file.downloaded", person) })
    }

    fn deletes_file(&mut self, room: usize) -> Option<Deed> {
        let person = self.manager_in(room);
        let mut file = self.rooms[room].files.pop_front()?;
        file.inline = None;
        let content = Content { file: Some(file), ..Content::default() };
        Some(Deed { content, ..Deed::plain("chat.file.deleted", person) })
    }

    /// Somebody is added, removed, invited, renamed, or gets another role.
    fn manages(&mut self, room: usize) -> Option<Deed> {
        if self.rooms[room].kind == RoomKind::Direct {
            return None;
        }
        let manager = self.manager_in(room);
        let stranger = self.dice.below(self.cast.len() - 1);
        let known = self.rooms[room].members.contains(&stranger);
        let (event_type, member) = match self.dice.below(5) {
            0 if !known => {
                self.rooms[room].members.push(stranger);
                ("chat.member.added", (stranger, Some("member"), None))
            }
            1 if !known => ("chat.member.invited", (stranger, None, None)),
            2 => ("chat.member.removed", (self.removed_member(room)?, None, None)),
            3 => {
                let person = self.someone_in(room);
                ("chat.member.renamed", (person, None, Some(self.renamed(person))))
            }
            _ => {
                let role = self.dice.pick(&["moderator", "member", "reader"]);
                ("chat.member.role_changed", (self.someone_in(room), Some(role), None))
            }
        };
        Some(Deed { member: Some(member), ..Deed::plain(event_type, manager) })
    }

    /// Takes an absent member off a room that keeps at least two.
    fn removed_member(&mut self, room: usize) -> Option<usize> {
        let place = &mut self.rooms[room];
        if place.members.len() < 3 {
            return None;
        }
        let at = place.members.iter().position(|person| !place.present.contains(person))?;
        Some(place.members.swap_remove(at))
    }

    /// Gives a person a new display name and returns the old one.
    fn renamed(&mut self, person: usize) -> String {
        let name = &self.cast[person].name;
        let plain = name.split(" (").next().unwrap_or(name);
        let status = self.dice.pick(&[" (on the road)", " (London)", " (out until Monday)", ""]);
        let new = format!("{plain}{status}");
        std::mem::replace(&mut self.cast[person].name, new)
    }

    fn updates(&mut self, room: usize) -> Deed {
        let person = self.manager_in(room);
        let topic = talk::topic(&mut self.dice);
        let previous = std::mem::replace(&mut self.rooms[room].topic, topic.clone());
        let changes = json!({ "topic": { "from": previous, "to": topic } });
        let content = Content { changes: Some(changes), ..Content::default() };
        Deed { content, ..Deed::plain("chat.room.updated", person) }
    }

    /// Whoever has been in the room longest without a sign gives one.
    fn renews(&mut self, room: usize) -> Option<Deed> {
        if !self.renews_presence(room) {
            return None;
        }
        self.rooms[room].present.rotate_left(1);
        let person = *self.rooms[room].present.last()?;
        let content = Content { lease_seconds: Some(LEASE_SECS), ..Content::default() };
        Some(Deed { content, ..Deed::plain("chat.presence.renewed", person) })
    }

    /// A type of event that the contract does not know; it is archived whole.
    fn polls(&mut self, room: usize) -> Deed {
        let person = self.someone_in(room);
        let poll = json!({ "question": talk::search(&mut self.dice), "choices": ["yes", "no", "ask <risk> & wait"] });
        Deed { content: Content { poll: Some(poll), ..Content::default() }, ..Deed::plain("chat.poll.opened", person) }
    }

    /// Late in the day, a group that has done its work is deleted.
    fn dissolves(&mut self, room: usize) -> Option<Deed> {
        if self.rooms[room].kind != RoomKind::Group || self.share() < 0.8 {
            return None;
        }
        let person = self.manager_in(room);
        self.rooms[room].life = Life::Deleted;
        self.rooms[room].present.clear();
        let content = Content { changes: Some(json!({ "reason": "project closed" })), ..Content::default() };
        Some(Deed { content, ..Deed::plain("chat.room.deleted", person) })
    }

    fn remembered(&mut self, room: usize) -> Option<&mut Said> {
        let said = &mut self.rooms[room].said;
        let at = self.dice.below(said.len());
        said.get_mut(at)
    }

    /// A remembered message whose author is in the room and no bot.
    fn own_message(&mut self, room: usize) -> Option<usize> {
        let place = &self.rooms[room];
        let from = self.dice.below(place.said.len());
        (from..place.said.len()).find(|&at| {
            let author = place.said[at].author;
            place.present.contains(&author) && self.cast[author].standing != Standing::Bot
        })
    }
}
