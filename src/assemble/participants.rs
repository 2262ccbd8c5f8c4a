//! Who was in a room: the fold of its events into participants, and what is carried to the next interval.
//!
//! Events are folded in the order in which they are written, however old they are; nothing here judges
//! whether they make sense. What cannot be known (when a person came who merely wrote) is marked as inferred.
//!
//! The rules, per person and conversation:
//! - joined or was added: in. Left or was removed: out. Any other act of somebody who is not in: in,
//!   inferred from the act; if nothing in this interval says otherwise, also at its start.
//! - `joined` stands for people who were not there at the start: their first join in this interval.
//!   `left` stands for people who are out at the end. What happened between, the messages show.
//! - A lease binds only those who renewed it, or joined with one. Every act within it is a sign of
//!   presence and prolongs it; when it runs out, the person is out as of that moment, until the next act.
//! - A lease that ran out while the room was silent is reported by the room's next conversation.

use std::collections::HashMap;

use crate::config::Span;
use crate::model::event::Person;
use crate::model::{Event, Kind, Text, Ticks};

pub use stored::{BadPresence, Presence};
use stored::{Exact, Lease, Member};

mod stored;
#[cfg(test)]
mod tests;

/// One person's part in a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Participant {
    /// Address, else native id.
    pub uri: Text<'static>,
    /// Display name, as last heard.
    pub name: Option<Text<'static>>,
    /// Mail address, as last heard.
    pub email: Option<Text<'static>>,
    /// Whether they were in the room when the interval began.
    pub present_at_start: bool,
    /// Whether they were in the room when it ended.
    pub present_at_end: bool,
    /// When they first came within the interval, if they were not there at its start.
    pub joined: Option<Ticks>,
    /// When they last left, if they were not there at the end.
    pub left: Option<Ticks>,
    /// What of this no join or leave said.
    pub inferred: Inferred,
}

/// What about a participant was inferred rather than told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Inferred {
    /// They acted in the room without having joined.
    pub author: bool,
    /// Their presence lease ran out.
    pub lease: bool,
}

/// Whether a conversation is written, and so its participants reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reporting {
    /// The participants stand in the output.
    Written,
    /// There was no message; what the participants did is kept for the next conversation.
    Silent,
}

/// The participants of one conversation while its events are read.
#[derive(Debug)]
pub struct Fold {
    index: HashMap<Exact, usize>,
    entries: Vec<Entry>,
    default_lease: i64,
}

#[derive(Debug, Default)]
struct Entry {
    name: Option<Exact>,
    email: Option<Exact>,
    /// Unknown until the first event that tells.
    at_start: Option<bool>,
    inside: bool,
    since: i64,
    joined: Option<Ticks>,
    left: Option<Ticks>,
    /// Stays after it ran out, so that a return within the interval is bound by it again.
    lease: Option<Lease>,
    inferred: Inferred,
}

impl Fold {
    /// Begins a conversation with the people the room's last one left behind.
    pub fn open(presence: Presence, interval_start: Ticks, default_lease: Span) -> Self {
        let mut fold = Self {
            index: HashMap::with_capacity(presence.members.len()),
            entries: Vec::with_capacity(presence.members.len()),
            default_lease: span_ticks(default_lease.get().as_secs()).max(1),
        };
        for member in presence.members {
            let mut entry = Entry {
                name: member.name,
                email: member.email,
                at_start: Some(true),
                inside: true,
                since: member.since,
                lease: member.lease,
                inferred: member.inferred,
                ..Entry::default()
            };
            entry.lapse(interval_start);
            entry.at_start = Some(entry.inside);
            fold.index.insert(member.uri, fold.entries.len());
            fold.entries.push(entry);
        }
        fold
    }

    /// Takes the room's next event, which happened at `time`.
    pub fn event(&mut self, time: Ticks, event: &Event<'_>) {
        let data = &event.data;
        let (sender, member) = (data.sender.as_ref(), data.member.as_ref());
        let lease = data.lease_seconds.map(span_ticks);
        match event.kind {
            Kind::SourceHeartbeat => {}
            Kind::RoomJoined => self.with(sender, time, |entry| entry.enter(time, lease)),
            Kind::RoomLeft => self.with(sender, time, |entry| entry.leave(time)),
            Kind::MemberAdded => self.with(member, time, |entry| entry.enter(time, None)),
            Kind::MemberRemoved => self.with(member, time, |entry| entry.leave(time)),
            Kind::PresenceRenewed => {
                let lease = lease.unwrap_or(self.default_lease);
                self.with(sender, time, |entry| entry.renew(time, lease));
            }
            Kind::MemberRenamed => {
                self.describe_known(member);
                self.with(sender, time, |entry| entry.act(time));
            }
            _ => self.with(sender, time, |entry| entry.act(time)),
        }
    }

    /// Ends the conversation: its participants and what the next one starts from, both sorted by URI.
    pub fn close(self, interval_end: Ticks, reporting: Reporting) -> (Vec<Participant>, Presence) {
        let mut people: Vec<_> = self.index.into_iter().collect();
        people.sort_unstable();
        let mut entries: Vec<_> = self.entries.into_iter().map(Some).collect();
        let mut participants = Vec::with_capacity(people.len());
        let mut members = Vec::with_capacity(people.len());
        for (uri, at) in people {
            let Some(mut entry) = entries.get_mut(at).and_then(Option::take) else { continue };
            entry.lapse(interval_end);
            if reporting == Reporting::Written {
                participants.push(entry.participant(&uri));
                if entry.inside {
                    members.push(entry.member(uri, Inferred::default()));
                }
            } else if entry.inside || entry.inferred.lease {
                let inferred = entry.inferred;
                members.push(entry.member(uri, inferred));
            }
        }
        (participants, Presence { members })
    }

    fn with(&mut self, person: Option<&Person<'_>>, time: Ticks, change: impl FnOnce(&mut Entry)) {
        let Some((person, key)) = person.and_then(|person| Some((person, person.key()?))) else { return };
        let at = match self.index.get(key.as_bytes()) {
            Some(&at) => at,
            None => {
                self.index.insert(Exact::of(key), self.entries.len());
                self.entries.push(Entry::default());
                self.entries.len() - 1
            }
        };
        if let Some(entry) = self.entries.get_mut(at) {
            entry.lapse(time);
            entry.describe(person);
            change(entry);
        }
    }

    /// Takes over the new name of somebody who is already known; a rename brings nobody in.
    fn describe_known(&mut self, person: Option<&Person<'_>>) {
        let at = person.and_then(Person::key).and_then(|key| self.index.get(key.as_bytes()));
        if let (Some(person), Some(entry)) = (person, at.and_then(|&at| self.entries.get_mut(at))) {
            entry.describe(person);
        }
    }
}

impl Entry {
    fn describe(&mut self, person: &Person<'_>) {
        for (known, heard) in [(&mut self.name, &person.name), (&mut self.email, &person.email)] {
            if let Some(heard) = heard
                && known.as_ref().is_none_or(|known| known.as_bytes() != heard.as_bytes())
            {
                *known = Some(Exact::of(heard));
            }
        }
    }

    fn enter(&mut self, time: Ticks, lease: Option<i64>) {
        if !self.inside {
            let at_start = *self.at_start.get_or_insert(false);
            self.come_in(time, at_start);
            self.lease = None;
        }
        if let Some(lease) = lease {
            self.prolong(time, lease);
        }
    }

    fn leave(&mut self, time: Ticks) {
        if self.at_start.is_none() {
            self.at_start = Some(true);
            self.inferred.author = true;
        }
        self.inside = false;
        self.left = Some(time);
        self.lease = None;
    }

    fn act(&mut self, time: Ticks) {
        if !self.inside {
            let at_start = *self.at_start.get_or_insert(true);
            self.inferred.author = true;
            self.come_in(time, at_start);
        }
        if let Some(lease) = self.lease {
            self.prolong(time, lease.length);
        }
    }

    fn renew(&mut self, time: Ticks, lease: i64) {
        self.act(time);
        self.prolong(time, lease);
    }

    fn come_in(&mut self, time: Ticks, at_start: bool) {
        self.inside = true;
        self.since = time.ticks();
        self.left = None;
        if !at_start {
            self.joined.get_or_insert(time);
        }
    }

    /// An act that arrives late never shortens a lease.
    fn prolong(&mut self, time: Ticks, length: i64) {
        let expires = time.plus_ticks(length).ticks();
        let running = self.lease.map_or(expires, |lease| lease.expires.max(expires));
        self.lease = Some(Lease { length, expires: running });
    }

    /// Closes the person out if the lease ran out by `now`.
    fn lapse(&mut self, now: Ticks) {
        if let Some(lease) = self.lease
            && self.inside
            && lease.expires <= now.ticks()
        {
            self.inside = false;
            self.left = Some(Ticks::saturating_from_ticks(lease.expires));
            self.inferred.lease = true;
        }
    }

    fn participant(&self, uri: &Exact) -> Participant {
        Participant {
            uri: uri.text(),
            name: self.name.as_ref().map(Exact::text),
            email: self.email.as_ref().map(Exact::text),
            present_at_start: self.at_start.unwrap_or(false),
            present_at_end: self.inside,
            joined: self.joined,
            left: self.left.filter(|_| !self.inside),
            inferred: self.inferred,
        }
    }

    fn member(self, uri: Exact, inferred: Inferred) -> Member {
        Member { uri, name: self.name, email: self.email, since: self.since, lease: self.lease, inferred }
    }
}

impl Inferred {
    /// The words of `@inferred`; empty when nothing was inferred.
    pub fn words(self) -> &'static str {
        match (self.author, self.lease) {
            (false, false) => "",
            (true, false) => "author",
            (false, true) => "lease",
            (true, true) => "author lease",
        }
    }
}

fn span_ticks(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(10_000_000)
}
