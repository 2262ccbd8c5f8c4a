//! Reading DER element by element, so that what is signed stays the very bytes that came.

use der::asn1::{AnyRef, ObjectIdentifier, OctetStringRef};
use der::{Decode as _, Reader as _, SliceReader, Tag, Tagged as _};

use crate::model::Ticks;

/// The elements of a sequence or set that are not read yet.
pub(super) struct Elements<'a> {
    reader: SliceReader<'a>,
}

impl<'a> Elements<'a> {
    /// Of the one sequence that these bytes are.
    pub(super) fn of_sequence(bytes: &'a [u8], what: &str) -> Result<Self, String> {
        let whole = AnyRef::from_der(bytes).map_err(|error| unreadable(what, &error))?;
        expect(whole, Tag::Sequence, what)?;
        Self::within(whole.value(), what)
    }

    /// Of what is within a sequence, set or tag.
    pub(super) fn within(bytes: &'a [u8], what: &str) -> Result<Self, String> {
        Ok(Self { reader: SliceReader::new(bytes).map_err(|error| unreadable(what, &error))? })
    }

    pub(super) fn is_finished(&self) -> bool {
        self.reader.is_finished()
    }

    /// The next element, whatever it is.
    pub(super) fn any(&mut self, what: &str) -> Result<AnyRef<'a>, String> {
        if self.is_finished() {
            return Err(format!("{what} is missing"));
        }
        AnyRef::decode(&mut self.reader).map_err(|error| unreadable(what, &error))
    }

    pub(super) fn skip(&mut self, what: &str) -> Result<(), String> {
        self.any(what).map(|_| ())
    }

    fn next(&mut self, tag: Tag, what: &str) -> Result<AnyRef<'a>, String> {
        let found = self.any(what)?;
        expect(found, tag, what)?;
        Ok(found)
    }

    pub(super) fn sequence(&mut self, what: &str) -> Result<Self, String> {
        Self::within(self.next(Tag::Sequence, what)?.value(), what)
    }

    pub(super) fn set(&mut self, what: &str) -> Result<Self, String> {
        Self::within(self.next(Tag::Set, what)?.value(), what)
    }

    /// What is within the next element if it has this context-specific tag; else nothing is read.
    pub(super) fn tagged(&mut self, number: u8) -> Option<&'a [u8]> {
        let mut ahead = self.reader.clone();
        let found = AnyRef::decode(&mut ahead).ok()?;
        match found.tag() {
            Tag::ContextSpecific { number: tag, .. } if tag.value() == number => {
                self.reader = ahead;
                Some(found.value())
            }
            _ => None,
        }
    }

    pub(super) fn oid(&mut self, what: &str) -> Result<ObjectIdentifier, String> {
        self.any(what)?.decode_as().map_err(|error| unreadable(what, &error))
    }

    pub(super) fn number(&mut self, what: &str) -> Result<u8, String> {
        self.any(what)?.decode_as().map_err(|error| unreadable(what, &error))
    }

    pub(super) fn octets(&mut self, what: &str) -> Result<&'a [u8], String> {
        let octets: OctetStringRef<'a> = self.any(what)?.decode_as().map_err(|error| unreadable(what, &error))?;
        Ok(octets.as_bytes())
    }

    /// The first number among the elements that follow.
    pub(super) fn optional_number(&mut self) -> Option<u64> {
        while !self.is_finished() {
            let found = self.any("").ok()?;
            if found.tag() == Tag::Integer {
                return found.decode_as().ok();
            }
        }
        None
    }

    /// A `GeneralizedTime` in UTC, which may have fractions of a second (RFC 3161 section 2.4.2).
    pub(super) fn time(&mut self, what: &str) -> Result<Ticks, String> {
        let found = self.next(Tag::GeneralizedTime, what)?;
        let bad = || format!("{what} is no time in UTC");
        let text = std::str::from_utf8(found.value()).ok().filter(|text| text.is_ascii()).ok_or_else(bad)?;
        let (digits, rest) = text.split_at_checked(14).ok_or_else(bad)?;
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(bad());
        }
        let part = |from: usize, to: usize| &digits[from..to];
        let (date, clock) = (
            format!("{}-{}-{}", part(0, 4), part(4, 6), part(6, 8)),
            format!("{}:{}:{}{rest}", part(8, 10), part(10, 12), part(12, 14)),
        );
        Ticks::parse(&format!("{date}T{clock}")).map_err(|_| bad())
    }

    /// The texts of a `PKIFreeText` that comes next.
    pub(super) fn texts(&mut self) -> Option<String> {
        let mut texts = self.sequence("").ok()?;
        let mut all = Vec::new();
        while !texts.is_finished() {
            all.push(String::from_utf8_lossy(texts.next(Tag::Utf8String, "").ok()?.value()).into_owned());
        }
        Some(all.join("; "))
    }
}

fn expect(found: AnyRef<'_>, tag: Tag, what: &str) -> Result<(), String> {
    if found.tag() == tag {
        return Ok(());
    }
    Err(format!("{what} is a {}, expected a {tag}", found.tag()))
}

fn unreadable(what: &str, error: &der::Error) -> String {
    format!("{what} cannot be read: {error}")
}
