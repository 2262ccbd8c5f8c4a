//! The rooms of the simulated chat server and what each remembers: who is in, what was said lately,
//! which files lie there.

use std::collections::VecDeque;

use super::dice::Dice;
use super::event_json::{FileJson, IdStyle, NativeId};
use super::people::{Person, Standing};
use super::words;

/// How many messages a room remembers for edits, reactions and answers.
const REMEMBERED_MAX: usize = 12;
const FILES_MAX: usize = 4;

/// The kind of a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RoomKind {
    Room,
    Group,
    Direct,
}

/// Where a room is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    /// It will be created by its first event.
    Planned,
    Open,
    Deleted,
}

/// A message that the room remembers.
#[derive(Debug, Clone)]
pub(super) struct Said {
    pub(super) id: NativeId,
    pub(super) author: usize,
    pub(super) text: String,
    /// The message that opened the thread, if this one stands in a thread.
    pub(super) thread: Option<NativeId>,
    /// The last reaction, and whose it is.
    pub(super) reaction: Option<(usize, &'static str)>,
}

/// A room.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) uri: String,
    pub(super) name: String,
    pub(super) kind: RoomKind,
    pub(super) logged: bool,
    pub(super) topic: String,
    pub(super) description: &'static str,
    /// The emitter it belongs to.
    pub(super) emitter: usize,
    pub(super) life: Life,
    /// Everybody who may be here.
    pub(super) members: Vec<usize>,
    /// Everybody who is here.
    pub(super) present: Vec<usize>,
    pub(super) said: VecDeque<Said>,
    pub(super) files: VecDeque<FileJson>,
    counted: u64,
    ids: IdStyle,
}

impl RoomKind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Room => "room",
            Self::Group => "group",
            Self::Direct => "direct",
        }
    }
}

impl Room {
    /// The next id of a message or file.
    pub(super) fn next_id(&mut self, dice: &mut Dice) -> NativeId {
        self.counted += 1;
        match self.ids {
            IdStyle::Numbers => NativeId::Number(self.counted),
            IdStyle::Names => NativeId::Text(dice.uuid()),
        }
    }

    pub(super) fn remember(&mut self, said: Said) {
        if self.said.len() == REMEMBERED_MAX {
            self.said.pop_front();
        }
        self.said.push_back(said);
    }

    pub(super) fn keep_file(&mut self, file: FileJson) {
        if self.files.len() == FILES_MAX {
            self.files.pop_front();
        }
        self.files.push_back(file);
    }
}

/// All rooms, dealt out to the emitters in turn. There is at least one.
pub(super) fn rooms(count: usize, cast: &[Person], emitters: &[IdStyle], dice: &mut Dice) -> Vec<Room> {
    let mut named = [0; 3];
    (0..count.max(1))
        .map(|index| {
            let kind = match index % 14 {
                0 | 1 | 3 | 5 | 7 | 8 | 11 => RoomKind::Room,
                2 | 6 | 10 | 13 => RoomKind::Group,
                _ => RoomKind::Direct,
            };
            // Kinds repeat after 14 rooms, so both emitters of a pair get rooms of every kind.
            let emitter = (index / 2 + index) % emitters.len();
            let nth = named[kind as usize];
            named[kind as usize] += 1;
            room((index, nth), kind, (emitter, emitters[emitter]), cast, dice)
        })
        .collect()
}

/// The room at place `index` of all, the `nth` of its kind.
fn room(
    (index, nth): (usize, usize),
    kind: RoomKind,
    (emitter, ids): (usize, IdStyle),
    cast: &[Person],
    dice: &mut Dice,
) -> Room {
    let members = members(index, kind, cast, dice);
    let name = match kind {
        RoomKind::Room => numbered(words::DESKS, nth),
        RoomKind::Group => numbered(words::GROUPS, nth),
        RoomKind::Direct => members.iter().map(|&person| cast[person].name.as_str()).collect::<Vec<_>>().join(", "),
    };
    let node = 100 + index;
    let uri = match ids {
        IdStyle::Numbers => format!("ma-chan://haldenbrook.example/{node}"),
        IdStyle::Names => format!("https://chat.haldenbrook.example/rooms/{}", dice.uuid()),
    };
    Room {
        uri,
        name,
        kind,
        logged: kind != RoomKind::Group,
        topic: if kind == RoomKind::Room { "Business only; records are kept".into() } else { String::new() },
        description: match kind {
            RoomKind::Room => "Desk room; guests by invitation of the desk head",
            RoomKind::Group => "Temporary group",
            RoomKind::Direct => "",
        },
        emitter,
        life: if kind == RoomKind::Group { Life::Planned } else { Life::Open },
        members,
        present: Vec::new(),
        said: VecDeque::new(),
        files: VecDeque::new(),
        counted: 0,
        ids,
    }
}

fn numbered(names: &[&str], nth: usize) -> String {
    let name = names[nth % names.len()];
    match nth / names.len() {
        0 => name.to_owned(),
        round => format!("{name} {}", round + 1),
    }
}

/// Draws the members of a room, nobody twice; the bot is in every desk room.
fn members(index: usize, kind: RoomKind, cast: &[Person], dice: &mut Dice) -> Vec<usize> {
    let people = cast.len().saturating_sub(1).max(1);
    let wanted = match kind {
        RoomKind::Room if index == 0 => people,
        RoomKind::Room => dice.between(5, 18),
        RoomKind::Group => dice.between(3, 7),
        RoomKind::Direct => 2,
    };
    let wanted = wanted.min(people).min(400);
    let mut members = Vec::with_capacity(wanted + 1);
    // A stride without a common divisor walks over everybody before it meets anybody again.
    let stride = (1 + dice.below(people)..).find(|&stride| gcd(stride, people) == 1).unwrap_or(1);
    let from = dice.below(people);
    members.extend((0..wanted).map(|step| (from + step * stride) % people));
    if kind == RoomKind::Room
        && let Some(bot) = cast.iter().position(|person| person.standing == Standing::Bot)
    {
        members.push(bot);
    }
    members
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}
