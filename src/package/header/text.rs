//! Texts from outside, made fit for headers and file names.

use std::borrow::Cow;

/// What an unknown or unsuitable media type becomes.
const UNKNOWN: &str = "application/octet-stream";

/// A text for a header: control characters, line breaks among them, become blanks, and what a reader would take for an
/// encoded word is taken apart.
pub(in crate::package) fn one_line(text: &str) -> Cow<'_, str> {
    let text = text.trim_matches(is_gap);
    if text.contains(is_line_breaker) || text.contains("=?") {
        let line: String = text.chars().map(|c| if is_line_breaker(c) { ' ' } else { c }).collect();
        Cow::Owned(line.replace("=?", "= ?"))
    } else {
        Cow::Borrowed(text)
    }
}

/// A name for a file: no path, no control characters, never empty.
pub(in crate::package) fn file_name(name: &str) -> String {
    let name: String =
        name.chars().map(|c| if is_line_breaker(c) || matches!(c, '/' | '\\') { '_' } else { c }).collect();
    let name = name.trim();
    if name.is_empty() || name.chars().all(|c| c == '.') { "file".to_owned() } else { name.to_owned() }
}

/// A media type as a part may bear it. Parameters are dropped; `message/…` and `multipart/…` may not be encoded
/// (RFC 2045, section 6.4), and what is attached here is, so they are attached as plain bytes.
pub(in crate::package) fn media_type(claimed: Option<&str>) -> String {
    let claimed = claimed.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let token =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b));
    match claimed.split_once('/') {
        Some(("message" | "multipart", _)) | None => UNKNOWN.to_owned(),
        Some((kind, sub)) if token(kind) && token(sub) && claimed.len() <= 127 => claimed,
        Some(_) => UNKNOWN.to_owned(),
    }
}

pub(super) fn starts_with_ignoring_case(text: &str, start: &str) -> bool {
    text.get(..start.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(start))
}

/// Control characters, and the separators that some readers take for line breaks.
fn is_line_breaker(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

fn is_gap(c: char) -> bool {
    c == ' ' || is_line_breaker(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_cannot_be_broken() {
        for (text, line) in [
            ("plain", "plain"),
            ("a\r\nBcc: x@example.com", "a  Bcc: x@example.com"),
            ("\u{85}a\u{2028}b\0\t ", "a b"),
            ("\r\n", ""),
            ("=?utf-8?Q?a?=", "= ?utf-8?Q?a?="),
        ] {
            assert_eq!(one_line(text), line);
        }
    }

    #[test]
    fn file_names_are_no_paths() {
        for (name, plain) in [
            ("report.pdf", "report.pdf"),
            ("../../etc/passwd", ".._.._etc_passwd"),
            ("C:\\x\r\ny.txt", "C:_x__y.txt"),
            ("..", "file"),
            (" \n ", "_"),
            ("", "file"),
        ] {
            assert_eq!(file_name(name), plain, "{name:?}");
        }
    }

    #[test]
    fn media_types_are_plain_or_unknown() {
        for (claimed, taken) in [
            (Some("image/PNG"), "image/png"),
            (Some("text/html; charset=x\r\nX-Evil: 1"), "text/html"),
            (Some("image/svg+xml"), "image/svg+xml"),
            (Some("message/rfc822"), UNKNOWN),
            (Some("multipart/mixed"), UNKNOWN),
            (Some("text/pl ain"), UNKNOWN),
            (Some("text"), UNKNOWN),
            (Some("/"), UNKNOWN),
            (None, UNKNOWN),
        ] {
            assert_eq!(media_type(claimed), taken, "{claimed:?}");
        }
    }
}
