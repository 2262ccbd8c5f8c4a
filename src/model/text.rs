//! Text as it arrives, and what of it may enter XML.
//!
//! JSON can carry text that Unicode cannot (`"\ud800"`), and Unicode can carry text that XML 1.0
//! cannot (NUL, U+0001, U+FFFE). Neither may be lost: [`Text`] holds what JSON said in WTF-8, and
//! [`Text::for_xml`] says what may be shown and whether the exact original must travel beside it.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{self, Deserialize, Deserializer, Visitor};

/// Text of an event, in WTF-8: UTF-8 plus lone surrogates as three-byte sequences.
///
/// It is plain UTF-8 unless the source's JSON escaped half a surrogate pair.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Text<'a>(Cow<'a, [u8]>);

/// Text made fit for XML 1.0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XmlText<'a> {
    /// What is shown; every character XML forbids stands as U+FFFD.
    pub shown: Cow<'a, str>,
    /// How many characters were replaced. When it is not zero, the original must travel along.
    pub replaced: u64,
}

impl<'a> Text<'a> {
    /// Text from its exact bytes, as [`Text::as_bytes`] gave them.
    pub fn from_wtf8(bytes: impl Into<Cow<'a, [u8]>>) -> Self {
        Self(bytes.into())
    }

    /// The text as UTF-8, or `None` when it holds a lone surrogate.
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// The exact text in WTF-8.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The exact text in WTF-8 as standard base64: the form of `c:original`.
    pub fn to_base64(&self) -> String {
        STANDARD.encode(&self.0)
    }

    /// Whether there is no text at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text for people: lone surrogates shown as U+FFFD.
    pub fn to_string_lossy(&self) -> Cow<'_, str> {
        match std::str::from_utf8(&self.0) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => Cow::Owned(replace_forbidden(&self.0, |_| true).0),
        }
    }

    /// What may be written into XML 1.0, and how many characters had to be replaced.
    ///
    /// Source: XML 1.0 (Fifth Edition), section 2.2, production `Char`.
    pub fn for_xml(&self) -> XmlText<'_> {
        if let Ok(text) = std::str::from_utf8(&self.0)
            && text.chars().all(allowed_in_xml)
        {
            return XmlText { shown: Cow::Borrowed(text), replaced: 0 };
        }
        let (shown, replaced) = replace_forbidden(&self.0, allowed_in_xml);
        XmlText { shown: Cow::Owned(shown), replaced }
    }

    /// The same text, owning its bytes.
    pub fn into_owned(self) -> Text<'static> {
        Text(Cow::Owned(self.0.into_owned()))
    }
}

/// Whether XML 1.0 allows the character at all, escaped or not.
pub fn allowed_in_xml(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..='\u{10FFFF}')
}

/// Shows WTF-8 as UTF-8: each lone surrogate (three bytes) and each forbidden character becomes one U+FFFD.
fn replace_forbidden(bytes: &[u8], allowed: impl Fn(char) -> bool) -> (String, u64) {
    let mut out = String::with_capacity(bytes.len());
    let mut replaced = 0;
    let mut rest = bytes;
    loop {
        let (valid, bad_len) = match std::str::from_utf8(rest) {
            Ok(text) => (text, 0),
            Err(error) => {
                let valid = std::str::from_utf8(&rest[..error.valid_up_to()]).unwrap_or_default();
                // A surrogate in WTF-8 is ED A0..BF 80..BF; anything else bad is taken byte by byte.
                let tail = &rest[error.valid_up_to()..];
                let surrogate = matches!(tail, [0xED, 0xA0..=0xBF, 0x80..=0xBF, ..]);
                (valid, if surrogate { 3 } else { 1 })
            }
        };
        for c in valid.chars() {
            if allowed(c) {
                out.push(c);
            } else {
                out.push(char::REPLACEMENT_CHARACTER);
                replaced += 1;
            }
        }
        if bad_len == 0 {
            return (out, replaced);
        }
        out.push(char::REPLACEMENT_CHARACTER);
        replaced += 1;
        rest = &rest[valid.len() + bad_len..];
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self(Cow::Borrowed(text.as_bytes()))
    }
}

impl From<String> for Text<'_> {
    fn from(text: String) -> Self {
        Self(Cow::Owned(text.into_bytes()))
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_string_lossy(), f)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Borrowed(text.as_bytes())))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(text.as_bytes().to_vec())))
    }

    fn visit_borrowed_bytes<E: de::Error>(self, bytes: &'de [u8]) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Borrowed(bytes)))
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(bytes.to_vec())))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    /// serde_json hands escaped lone surrogates over as WTF-8 only to those who ask for bytes.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(TextVisitor)
    }
}
