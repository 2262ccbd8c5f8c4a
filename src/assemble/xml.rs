//! XML bytes: elements, attributes, and the text policy. quick-xml escapes; this file decides what is
//! handed to it and keeps what XML cannot hold.
//!
//! It knows no element of the layout. All values stand in attributes; it cannot write text nodes.

use std::fmt::Display;
use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use quick_xml::events::attributes::Attribute;

use super::dialect::{any_uri, extended};
use crate::config::Dialect;
use crate::model::{Text, Ticks};

const TICKS_PER_SECOND: i64 = 10_000_000;
const TICKS_PER_DAY: i64 = 86_400 * TICKS_PER_SECOND;

/// ASCII that stands in an attribute as it is.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0x20;
    while byte < 0x7F {
        plain[byte as usize] = !matches!(byte, b'<' | b'>' | b'&' | b'\'' | b'"');
        byte += 1;
    }
    plain
};

/// Whether the exact original of text with forbidden characters can travel along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Originals {
    /// In `c:original` and `c:originals`.
    Kept,
    /// The dialect has no place for them; they are only counted.
    Counted,
}

/// XML being written into memory.
#[derive(Debug)]
pub(super) struct XmlOut {
    bytes: Vec<u8>,
    originals: Originals,
    /// The original of the open element's `content`, base64.
    original: String,
    /// `attribute:base64` of the open element's other attributes, separated by spaces.
    others: String,
    scratch: String,
    replaced: u64,
    day: i64,
    date: String,
}

impl XmlOut {
    pub(super) fn new(originals: Originals) -> Self {
        Self {
            bytes: Vec::new(),
            originals,
            original: String::new(),
            others: String::new(),
            scratch: String::new(),
            replaced: 0,
            day: -1,
            date: String::new(),
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// How many characters were shown as U+FFFD.
    pub(super) fn replaced(&self) -> u64 {
        self.replaced
    }

    /// Forgets what was written. What was counted stays counted.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Appends XML that is already complete.
    pub(super) fn raw(&mut self, xml: &[u8]) {
        self.bytes.extend_from_slice(xml);
    }

    /// `<name`; attributes follow.
    pub(super) fn start(&mut self, name: &str) {
        self.bytes.push(b'<');
        self.raw(name.as_bytes());
    }

    /// `>` after the attributes.
    pub(super) fn open(&mut self) {
        self.write_originals();
        self.bytes.push(b'>');
    }

    /// `/>` after the attributes.
    pub(super) fn close_empty(&mut self) {
        self.write_originals();
        self.raw(b"/>");
    }

    /// `</name>`.
    pub(super) fn end(&mut self, name: &str) {
        self.raw(b"</");
        self.raw(name.as_bytes());
        self.bytes.push(b'>');
    }

    /// An attribute whose value needs no escaping: our own words, numbers, digests.
    pub(super) fn plain(&mut self, name: &str, value: impl Display) {
        self.begin_value(name);
        // Writing into memory cannot fail.
        let _ = write!(self.bytes, "{value}");
        self.bytes.push(b'"');
    }

    /// An attribute whose value is one of our own words.
    pub(super) fn word(&mut self, name: &str, word: &str) {
        self.begin_value(name);
        self.raw(word.as_bytes());
        self.bytes.push(b'"');
    }

    /// An attribute with text from outside. What XML cannot hold is shown as U+FFFD, counted, and kept
    /// in the element's `c:originals`.
    pub(super) fn text(&mut self, name: &str, text: &Text<'_>) {
        if self.shown(name, text) && self.originals == Originals::Kept {
            if !self.others.is_empty() {
                self.others.push(' ');
            }
            self.others.push_str(name);
            self.others.push(':');
            STANDARD.encode_string(text.as_bytes(), &mut self.others);
        }
    }

    /// The attribute `uri` of a room or person.
    pub(super) fn address(&mut self, dialect: Dialect, address: &Text<'_>) {
        if extended(dialect) {
            self.text("uri", address);
        } else {
            self.text("uri", &Text::from(any_uri(&address.to_string_lossy())));
        }
    }

    /// Like [`XmlOut::text`] where there is text.
    pub(super) fn known(&mut self, name: &str, text: Option<&Text<'_>>) {
        if let Some(text) = text {
            self.text(name, text);
        }
    }

    /// The attribute `content`, whose original has an attribute of its own.
    pub(super) fn content(&mut self, text: &Text<'_>) {
        if self.shown("content", text) && self.originals == Originals::Kept {
            STANDARD.encode_string(text.as_bytes(), &mut self.original);
        }
    }

    /// An attribute with bytes in base64.
    pub(super) fn base64(&mut self, name: &str, bytes: &[u8]) {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        STANDARD.encode_string(bytes, &mut scratch);
        self.word(name, &scratch);
        self.scratch = scratch;
    }

    /// An attribute with an instant in ISO 8601.
    pub(super) fn instant(&mut self, name: &str, at: Ticks) {
        self.begin_value(name);
        self.iso(at);
        self.bytes.push(b'"');
    }

    /// An empty element with the three forms of one instant.
    pub(super) fn triplet(&mut self, element: &str, at: Ticks) {
        self.start(element);
        self.plain("since1970", at.since_1970_ms());
        self.instant("string", at);
        self.plain("long", at.ticks());
        self.raw(b"/>");
    }

    fn begin_value(&mut self, name: &str) {
        self.bytes.push(b' ');
        self.raw(name.as_bytes());
        self.raw(b"=\"");
    }

    /// Writes the attribute as far as XML can hold it; tells whether the original must travel along.
    fn shown(&mut self, name: &str, text: &Text<'_>) -> bool {
        self.begin_value(name);
        let replaced = if text.as_bytes().iter().all(|&byte| PLAIN[usize::from(byte)]) {
            self.raw(text.as_bytes());
            0
        } else {
            let fit = text.for_xml();
            let escaped = Attribute::from((name, fit.shown.as_ref())).value;
            self.raw(escaped.as_bytes());
            fit.replaced
        };
        self.bytes.push(b'"');
        self.replaced += replaced;
        replaced != 0
    }

    fn write_originals(&mut self) {
        for (name, kept) in [("c:original", &mut self.original), ("c:originals", &mut self.others)] {
            if !kept.is_empty() {
                // The borrow of one field rules out `word`; base64 and attribute names need no escaping.
                let _ = write!(self.bytes, " {name}=\"{kept}\"");
                kept.clear();
            }
        }
    }

    /// The same text as [`Ticks::iso`]. The calendar is asked once a day of output, not once an event.
    fn iso(&mut self, at: Ticks) {
        let (day, within) = (at.ticks() / TICKS_PER_DAY, at.ticks() % TICKS_PER_DAY);
        if day != self.day {
            self.date = at.iso().chars().take("0000-00-00".len()).collect();
            self.day = day;
        }
        let (seconds, fraction) = (within / TICKS_PER_SECOND, within % TICKS_PER_SECOND);
        self.bytes.extend_from_slice(self.date.as_bytes());
        for (mark, value) in [(b'T', seconds / 3600), (b':', seconds / 60 % 60), (b':', seconds % 60)] {
            self.bytes.extend([mark, digit(value / 10), digit(value)]);
        }
        if fraction != 0 {
            let mut digits = [b'0'; 7];
            let mut rest = fraction;
            for place in digits.iter_mut().rev() {
                *place = digit(rest);
                rest /= 10;
            }
            let kept = digits.iter().rposition(|&place| place != b'0').map_or(0, |last| last + 1);
            self.bytes.push(b'.');
            self.bytes.extend_from_slice(&digits[..kept]);
        }
        self.bytes.push(b'Z');
    }
}

fn digit(value: i64) -> u8 {
    b'0' + u8::try_from(value % 10).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test should panic")]

    use proptest::prelude::*;

    use super::*;

    fn iso(out: &mut XmlOut, at: Ticks) -> String {
        let from = out.bytes.len();
        out.iso(at);
        String::from_utf8(out.bytes[from..].to_vec()).unwrap()
    }

    #[test]
    fn originals_are_written_once_and_only_on_their_element() {
        let mut out = XmlOut::new(Originals::Kept);
        out.start("Sender");
        out.text("uri", &"a\u{1}".into());
        out.text("email", &"\u{2}b".into());
        out.close_empty();
        out.start("Next");
        out.text("uri", &"a".into());
        out.close_empty();
        let expected =
            "<Sender uri=\"a\u{FFFD}\" email=\"\u{FFFD}b\" c:originals=\"uri:YQE= email:AmI=\"/><Next uri=\"a\"/>";
        assert_eq!(std::str::from_utf8(out.bytes()).unwrap(), expected);
        assert_eq!(out.replaced(), 2);
    }

    #[test]
    fn a_dialect_without_a_place_for_originals_still_counts() {
        let mut out = XmlOut::new(Originals::Counted);
        out.start("Message");
        out.content(&"\u{0}\u{B}".into());
        out.close_empty();
        assert_eq!(std::str::from_utf8(out.bytes()).unwrap(), "<Message content=\"\u{FFFD}\u{FFFD}\"/>");
        assert_eq!(out.replaced(), 2);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn instants_read_as_the_model_writes_them(
            ticks in proptest::collection::vec(0_i64..=3_155_378_975_999_999_999, 1..4),
            nudges in proptest::collection::vec(-20_000_000_i64..20_000_000, 1..8),
        ) {
            let mut out = XmlOut::new(Originals::Kept);
            for tick in ticks {
                let rounded = Ticks::saturating_from_ticks(tick - tick % TICKS_PER_SECOND);
                prop_assert_eq!(iso(&mut out, rounded), rounded.iso());
                for nudge in &nudges {
                    let at = rounded.plus_ticks(*nudge);
                    prop_assert_eq!(iso(&mut out, at), at.iso());
                }
            }
        }
    }
}
