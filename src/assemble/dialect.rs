//! What the spellings of the canonical XML differ in. One question per difference, so that the writer
//! never asks which dialect it writes.

use crate::config::Dialect;
use crate::model::MessageType;

/// The end of every canonical document.
pub const DOCUMENT_CLOSE: &str = "</Conversations>\n";

const OPEN: &str = concat!(
    r#"<?xml version="1.0" encoding="utf-8"?>"#,
    "\n",
    r#"<Conversations xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:c="urn:chancery:1">"#
);

const OPEN_BARE: &str = concat!(
    r#"<?xml version="1.0" encoding="utf-8"?>"#,
    "\n",
    r#"<Conversations xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:xsd="http://www.w3.org/2001/XMLSchema">"#
);

/// The beginning of a canonical document, up to and including the root's start tag.
///
/// Conversations follow directly, with nothing between them: the built-in rules of old stylesheets
/// print white space between elements.
pub fn document_open(dialect: Dialect) -> &'static str {
    if extended(dialect) { OPEN } else { OPEN_BARE }
}

/// Whether our own namespace, and with it everything the old layout has no place for, is written.
pub(super) fn extended(dialect: Dialect) -> bool {
    match dialect {
        Dialect::Full | Dialect::Ocs2007r2 => true,
        Dialect::Lync2013 => false,
    }
}

/// The attribute of `Sender` that holds the display name.
pub(super) fn user_name(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Full | Dialect::Lync2013 => "UserName",
        Dialect::Ocs2007r2 => "userName",
    }
}

/// A room's or person's address as an `xs:anyURI`, which the published schema asks for and the addresses of some
/// chat servers are not: white space and delimiters are percent-encoded, and `./` goes before a colon that
/// would read as the end of a scheme (RFC 3986, section 4.2).
pub(super) fn any_uri(address: &str) -> String {
    let mut uri = String::with_capacity(address.len());
    if !has_scheme(address) && address.split('/').next().is_some_and(|segment| segment.contains(':')) {
        uri.push_str("./");
    }
    let mut fragment = false;
    for (at, c) in address.char_indices() {
        match c {
            '%' if is_escape(&address[at..]) => uri.push(c),
            '#' if !std::mem::replace(&mut fragment, true) => uri.push(c),
            '<' | '>' | '"' | '{' | '}' | '|' | '\\' | '^' | '`' | '%' | '[' | ']' | '#' | '\0'..=' ' | '\u{7f}' => {
                uri.push('%');
                uri.push_str(&hex::encode_upper([u8::try_from(u32::from(c)).unwrap_or_default()]));
            }
            c => uri.push(c),
        }
    }
    uri
}

/// Whether the text begins with `%` and two hexadecimal digits.
fn is_escape(text: &str) -> bool {
    text.as_bytes().get(1..3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
}

/// Whether the text begins with a scheme: a letter, then letters, digits, `+`, `-` or `.`, then a colon.
fn has_scheme(text: &str) -> bool {
    text.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
    })
}

/// Whether `Channel/@islogged` is written; the published schema lacks it.
pub(super) fn has_is_logged(dialect: Dialect) -> bool {
    extended(dialect)
}

/// The `Message/@type` a message is written with; `None`: the dialect has no place for it.
pub(super) fn spelled(dialect: Dialect, message_type: MessageType) -> Option<MessageType> {
    match dialect {
        Dialect::Full | Dialect::Ocs2007r2 => Some(message_type),
        Dialect::Lync2013 if message_type == MessageType::Edit => Some(MessageType::Chat),
        Dialect::Lync2013 => message_type.in_old_layout().then_some(message_type),
    }
}

#[cfg(test)]
mod tests {
    use super::any_uri;

    #[test]
    fn any_address_becomes_a_uri_and_a_uri_stays_as_it_is() {
        for same in ["sip:a@example.com", "ma-chan://desk/7", "!abc", "a%20b", "room/1#now", "Größe", ""] {
            assert_eq!(any_uri(same), same);
        }
        for (address, uri) in [
            ("@user:server", "./@user:server"),
            ("!room:server.org", "./!room:server.org"),
            ("a b<c>", "a%20b%3Cc%3E"),
            ("100%", "100%25"),
            ("#a#b", "#a%23b"),
            ("1:2", "./1:2"),
        ] {
            assert_eq!(any_uri(address), uri);
        }
    }
}
