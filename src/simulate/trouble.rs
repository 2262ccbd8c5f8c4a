//! Trouble for tests: the same event twice, an event that comes late, bytes that are no event.

use std::collections::VecDeque;

use super::dice::Dice;
use super::{SimEvent, SimNature, Trouble};
use crate::model::Ticks;

/// A duplicate repeats one of so many events before it.
const REPEATABLE_MAX: usize = 64;

/// What mixes trouble into the day.
pub(super) struct Mischief {
    trouble: Trouble,
    dice: Dice,
    recent: VecDeque<SimEvent>,
    poisoned: u64,
}

impl Mischief {
    pub(super) fn new(trouble: Trouble, seed: u64) -> Self {
        // A stream of its own: the day of a seed is the same with and without trouble.
        Self { trouble, dice: Dice::new(seed, 1), recent: VecDeque::new(), poisoned: 0 }
    }

    /// Something extra to send before the day's next event.
    pub(super) fn extra(&mut self, now: Ticks) -> Option<SimEvent> {
        if self.dice.chance(self.trouble.duplicates)
            && let Some(again) = self.recent.get(self.dice.below(self.recent.len()))
        {
            return Some(SimEvent { nature: SimNature::Duplicate, ..again.clone() });
        }
        self.dice.chance(self.trouble.poison).then(|| self.poison(now))
    }

    /// Remembers an event for a later duplicate.
    pub(super) fn notice(&mut self, event: &SimEvent) {
        if self.trouble.duplicates <= 0.0 {
            return;
        }
        if self.recent.len() == REPEATABLE_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(event.clone());
    }

    /// How far back in ticks the next event is dated; 0 for most.
    pub(super) fn delay_ticks(&mut self, day_ticks: i64) -> i64 {
        if !self.dice.chance(self.trouble.late) {
            return 0;
        }
        day_ticks / 20 + (self.dice.fraction() * day_ticks as f64 / 4.0) as i64
    }

    /// A body that no reader can take for an event; each differs from the others.
    fn poison(&mut self, time: Ticks) -> SimEvent {
        self.poisoned += 1;
        let n = self.poisoned;
        let at = time.iso();
        let body = match self.dice.below(8) {
            0 => format!(r#"{{"specversion":"1.0","id":"cut-off-{n}","source":"/web/1","type":"chat.mess"#).into_bytes(),
            1 => [b"{\"specversion\":\"1.0\",\"id\":\"\xff\xfe ".as_slice(), n.to_string().as_bytes(), b"\"}"].concat(),
            2 => format!(r#"{{"specversion":"1.0","source":"/web/1","type":"chat.message.posted","n":{n}}}"#).into_bytes(),
            3 => format!(r#"{{"specversion":"0.3","id":"old-{n}","source":"/web/1","type":"chat.room.left"}}"#).into_bytes(),
            4 => format!("<event id='{n}'>not JSON</event>").into_bytes(),
            5 => format!(
                r#"{{"specversion":"1.0","id":"when-{n}","source":"/web/1","type":"chat.room.left","time":"today at noon"}}"#
            )
            .into_bytes(),
            6 => format!(
                r#"{{"specversion":"1.0","id":"who-{n}","source":"/web/1","type":"chat.message.posted","time":"{at}","subject":"r","data":{{"message":{{"text":"nobody said this"}}}}}}"#
            )
            .into_bytes(),
            _ => format!(r#"{{"specversion":"1.0","id":"twice-{n}","id":"twice","source":"/web/1","type":"x"}}"#).into_bytes(),
        };
        SimEvent { event_type: "poison", time, nature: SimNature::Poison, body }
    }
}
