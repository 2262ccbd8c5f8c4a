//! What people write: sentences put together from the vocabulary, and how they are corrected later.

use std::fmt::Write as _;

use super::dice::Dice;
use super::people::Standing;
use super::words;

/// A message of a person or of the bot.
pub(super) fn message(dice: &mut Dice, standing: Standing) -> String {
    if standing == Standing::Bot {
        return bot_line(dice);
    }
    match dice.below(100) {
        0..44 => sentence(dice, words::DESK),
        44..56 => format!("{}. {}", sentence(dice, words::DESK), sentence(dice, words::DESK)),
        56..64 => sentence(dice, words::OUTSIDE),
        64..76 => sentence(dice, words::SMALL_TALK),
        76..86 => sentence(dice, words::WORLD),
        86..91 => sentence(dice, words::AWKWARD),
        91..94 => ladder(dice),
        94..97 => recap(dice),
        _ => format!("{}\r\n\r\n{}", sentence(dice, words::OUTSIDE), sentence(dice, words::WORLD)),
    }
}

/// A short answer to somebody.
pub(super) fn reply(dice: &mut Dice) -> String {
    match dice.below(10) {
        0..3 => sentence(dice, words::SMALL_TALK),
        3..8 => format!("re that: {}", sentence(dice, words::DESK)),
        _ => sentence(dice, words::WORLD),
    }
}

/// The corrected form of what was written.
pub(super) fn corrected(dice: &mut Dice, text: &str) -> String {
    match dice.below(4) {
        0 => format!("{text} (make that {} {})", 5 * dice.between(1, 60), dice.pick(words::SIZES)),
        1 => format!("{text} – sorry, typo"),
        2 => format!("CORRECTION: {text}"),
        _ => sentence(dice, words::DESK),
    }
}

/// A room's new topic.
pub(super) fn topic(dice: &mut Dice) -> String {
    sentence(dice, words::TOPICS)
}

/// Words to look for.
pub(super) fn search(dice: &mut Dice) -> String {
    sentence(dice, words::SEARCHES)
}

/// One sentence of a table with its blanks filled in, all about the same instrument.
fn sentence(dice: &mut Dice, table: &[&str]) -> String {
    let pattern = dice.pick(table);
    let instrument = dice.below(words::INSTRUMENTS.len());
    let mut out = String::with_capacity(pattern.len() + 32);
    let mut rest = pattern;
    while let Some(at) = rest.find('{') {
        out.push_str(&rest[..at]);
        let tail = &rest[at..];
        let filled = match tail.as_bytes() {
            [b'{', blank, b'}', ..] => fill(dice, *blank, instrument, &mut out),
            _ => false,
        };
        rest = if filled {
            &tail[3..]
        } else {
            out.push('{');
            &tail[1..]
        };
    }
    out.push_str(rest);
    out
}

/// Writes what a blank stands for; `false` for a letter that stands for nothing.
fn fill(dice: &mut Dice, blank: u8, instrument: usize, out: &mut String) -> bool {
    match blank {
        b'i' => out.push_str(words::INSTRUMENTS[instrument].0),
        b'p' => out.push_str(&price(dice, instrument)),
        b's' => push(out, format_args!("{} {}", 5 * dice.between(1, 60), dice.pick(words::SIZES))),
        b'n' => push(out, format_args!("{}", dice.between(2, 9))),
        b't' => push(out, format_args!("{}:{:02}", dice.between(7, 18), 5 * dice.below(12))),
        _ => return false,
    }
    true
}

fn price(dice: &mut Dice, instrument: usize) -> String {
    let (_, typical, spread) = words::INSTRUMENTS[instrument];
    let cents = typical + dice.below(2 * spread) - spread;
    format!("{}.{:02}", cents / 100, cents % 100)
}

/// A price ladder: several lines, with tabs.
fn ladder(dice: &mut Dice) -> String {
    let (name, typical, spread) = words::INSTRUMENTS[dice.below(words::INSTRUMENTS.len())];
    let mut out = format!("{name}\nbid\toffer\tsize");
    for step in 0..dice.between(3, 6) {
        let (bid, offer) = (typical - step * spread / 20, typical + (step + 1) * spread / 20);
        push(
            &mut out,
            format_args!(
                "\n{}.{:02}\t{}.{:02}\t{}",
                bid / 100,
                bid % 100,
                offer / 100,
                offer % 100,
                25 * dice.between(1, 20)
            ),
        );
    }
    out
}

/// A recap of several points.
fn recap(dice: &mut Dice) -> String {
    let mut out = String::from("Recap:");
    for point in 1..=dice.between(3, 5) {
        let said = sentence(dice, words::DESK);
        push(&mut out, format_args!("\n{point}. {said}"));
    }
    out
}

fn bot_line(dice: &mut Dice) -> String {
    let instrument = dice.below(words::INSTRUMENTS.len());
    let name = words::INSTRUMENTS[instrument].0;
    let side = if dice.chance(0.5) { "BUY" } else { "SELL" };
    let size = 5 * dice.between(1, 60);
    let price = price(dice, instrument);
    let order = dice.below(1 << 24);
    match dice.below(3) {
        0 => format!("FILL {order:06x} {side} {size} {name} @ {price} <XOFF> & booked"),
        1 => format!(
            "{{\"order\":\"{order:06x}\",\"side\":\"{side}\",\"qty\":{size},\"px\":\"{price}\",\"state\":\"working\"}}"
        ),
        _ => format!("⚠️ {name}: last {price}, moved {} ticks in 60 s", dice.between(4, 30)),
    }
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing into a String cannot fail.
    let _ = out.write_fmt(text);
}
