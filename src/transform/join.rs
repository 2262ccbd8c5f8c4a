//! The results of single conversations as the one document that the whole would have given.
//!
//! Of XML and HTML the children of the document elements are put under the first one's, unread and byte for byte; what
//! stands around them must be equal in all parts, because one of it is written. Texts follow each other.
//!
//! The same bytes as from the whole come out of a stylesheet that treats each conversation by itself (no counting across
//! conversations, no `generate-id()` in the output), with these conditions: for XML with `indent="yes"`, the document
//! element holds no text of its own; for HTML, `indent="no"`, because its indentation depends on the number of siblings.

use std::io::{self, Write};
use std::ops::Range;

use super::spec::{OutputForm, OutputMethod};

/// Most of a document's beginning that an error shows, in characters.
const SHOWN_MAX: usize = 160;

/// Why results cannot be joined. Trying again helps in no case but [`JoinError::Write`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// Results in this encoding cannot follow each other.
    #[error(
        "results in {encoding} cannot be joined; write encoding=\"UTF-8\" in xsl:output, or set render = \"whole\""
    )]
    Encoding {
        /// The encoding of `xsl:output`.
        encoding: String,
    },
    /// A result is no document with one element.
    #[error(
        "the result for {conversation} has {found}; results are joined below one document element, so write one, or set render = \"whole\""
    )]
    Shape {
        /// The conversation.
        conversation: String,
        /// What it has instead.
        found: String,
    },
    /// What stands around the children is not the same as in the first result.
    #[error(
        "the result for {conversation} has {what} {other}, but the first result has {first}; they must be equal, so take out what depends on the conversation, or set render = \"whole\""
    )]
    Differs {
        /// The conversation.
        conversation: String,
        /// What is not the same.
        what: &'static str,
        /// As it stands in the first result.
        first: String,
        /// As it stands in this one.
        other: String,
    },
    /// The joined result cannot be written.
    #[error("cannot write the joined result")]
    Write(#[source] io::Error),
}

/// Joins results into one document, writing each at once.
#[derive(Debug)]
pub struct Joiner<W: Write> {
    out: W,
    form: OutputForm,
    /// What all results have around their children.
    frame: Option<Frame>,
    /// Whether the document element's start tag was written with `>`.
    opened: bool,
    /// Whether a line end stands before the document element's end tag.
    line_end: bool,
    /// The first result without a document element, should there be no other.
    bare: Option<Vec<u8>>,
}

/// What stands around the children of the document element.
#[derive(Debug, PartialEq, Eq)]
struct Frame {
    /// Everything before the document element.
    head: Vec<u8>,
    /// Its start tag without `>` or `/>`.
    tag: Vec<u8>,
    name: Vec<u8>,
    /// Everything after it.
    tail: Vec<u8>,
    /// Whether it was written as `<a/>`.
    closed: bool,
}

/// The places of the parts of one result.
struct Parts {
    tag: Range<usize>,
    name_len: usize,
    closed: bool,
    content: Range<usize>,
    tail: usize,
}

impl<W: Write> Joiner<W> {
    /// Joins results of a stylesheet whose output has this form.
    pub fn new(out: W, form: OutputForm) -> Self {
        Self { out, form, frame: None, opened: false, line_end: false, bare: None }
    }

    /// Adds the next result. `conversation` names it in errors.
    ///
    /// # Errors
    /// When it cannot be joined with those before it, or not be written. What was written before stays.
    pub fn add(&mut self, conversation: &str, result: &[u8]) -> Result<(), JoinError> {
        self.check_encoding()?;
        if self.form.method == OutputMethod::Text {
            return self.write(result);
        }
        let shape = |found: String| JoinError::Shape { conversation: conversation.to_owned(), found };
        let Some(parts) = parts(result, self.form.method == OutputMethod::Html).map_err(shape)? else {
            self.bare.get_or_insert_with(|| result.to_vec());
            return Ok(());
        };
        let frame = Frame {
            head: result[..parts.tag.start].to_vec(),
            tag: result[parts.tag.clone()].to_vec(),
            name: result[parts.tag.start + 1..parts.tag.start + 1 + parts.name_len].to_vec(),
            tail: result[parts.tail..].to_vec(),
            closed: parts.closed,
        };
        match &self.frame {
            Some(first) => first.compare(&frame, conversation)?,
            None => {
                self.write(&frame.head)?;
                self.write(&frame.tag)?;
                self.frame = Some(frame);
            }
        }
        self.add_content(&result[parts.content])
    }

    /// Ends the document and gives `out` back, flushed.
    ///
    /// # Errors
    /// [`JoinError::Write`].
    pub fn finish(mut self) -> Result<W, JoinError> {
        if let Some(frame) = self.frame.take() {
            if self.line_end {
                self.write(b"\n")?;
            }
            if self.opened || !frame.closed {
                if !self.opened {
                    self.write(b">")?;
                }
                self.write(b"</")?;
                self.write(&frame.name)?;
                self.write(b">")?;
            } else {
                self.write(b"/>")?;
            }
            self.write(&frame.tail)?;
        } else if let Some(bare) = self.bare.take() {
            self.write(&bare)?;
        }
        self.out.flush().map_err(JoinError::Write)?;
        Ok(self.out)
    }

    fn add_content(&mut self, content: &[u8]) -> Result<(), JoinError> {
        if content.is_empty() {
            return Ok(());
        }
        if !self.opened {
            self.opened = true;
            self.write(b">")?;
        }
        // An indented element begins each child on a line of its own, and ends after the last one's.
        let indented = self.form.indent && self.form.method == OutputMethod::Xml && content.starts_with(b"\n");
        match content.strip_suffix(b"\n") {
            Some(children) if indented => {
                self.line_end = true;
                self.write(children)
            }
            _ => {
                if std::mem::take(&mut self.line_end) {
                    self.write(b"\n")?;
                }
                self.write(content)
            }
        }
    }

    fn check_encoding(&self) -> Result<(), JoinError> {
        let encoding = self.form.encoding.as_deref().unwrap_or("UTF-8");
        let upper = encoding.to_ascii_uppercase();
        // Their results begin with a byte order mark, or do not spell tags in ASCII.
        let wide = ["UTF-16", "UTF16", "UTF-32", "UTF32", "UCS", "ISO-10646-UCS", "EBCDIC", "IBM037", "UTF-7"];
        if wide.iter().any(|prefix| upper.starts_with(prefix)) {
            return Err(JoinError::Encoding { encoding: encoding.to_owned() });
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), JoinError> {
        self.out.write_all(bytes).map_err(JoinError::Write)
    }
}

impl Frame {
    fn compare(&self, other: &Self, conversation: &str) -> Result<(), JoinError> {
        for (what, first, other) in [
            ("before its document element", &self.head, &other.head),
            ("the document element", &self.tag, &other.tag),
            ("after its document element", &self.tail, &other.tail),
        ] {
            if first != other {
                return Err(JoinError::Differs {
                    conversation: conversation.to_owned(),
                    what,
                    first: shown(first),
                    other: shown(other),
                });
            }
        }
        Ok(())
    }
}

fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim();
    match text.char_indices().nth(SHOWN_MAX) {
        _ if text.is_empty() => "nothing".into(),
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A piece of markup, or the text before the next one.
enum Piece<'r> {
    Text(&'r [u8]),
    /// A comment, an instruction, a declaration.
    Aside,
    /// With its name; whether it is closed at once.
    Start(&'r [u8], bool),
    End(&'r [u8]),
}

/// Takes a result apart without understanding it, in any encoding that spells markup in ASCII.
struct Pieces<'r> {
    result: &'r [u8],
    at: usize,
    html: bool,
    /// What ends the script whose text comes next: HTML does not escape it.
    raw_until: Option<Vec<u8>>,
}

impl<'r> Iterator for Pieces<'r> {
    type Item = Result<(Range<usize>, Piece<'r>), String>;

    fn next(&mut self) -> Option<Self::Item> {
        let start = self.at;
        let rest = &self.result[start..];
        if rest.is_empty() {
            return None;
        }
        let piece = self.piece(rest);
        Some(match piece {
            Some((len, piece)) => {
                self.at += len;
                Ok((start..self.at, piece))
            }
            None => {
                self.at = self.result.len();
                Err(format!("markup without an end at byte {start}"))
            }
        })
    }
}

impl<'r> Pieces<'r> {
    fn piece(&mut self, rest: &'r [u8]) -> Option<(usize, Piece<'r>)> {
        if let Some(close) = self.raw_until.take() {
            let len = find_ignoring_case(rest, &close)?;
            return Some((len, Piece::Text(&rest[..len])));
        }
        if rest[0] != b'<' {
            let len = memchr::memchr(b'<', rest).unwrap_or(rest.len());
            return Some((len, Piece::Text(&rest[..len])));
        }
        if rest.starts_with(b"<!--") {
            return Some((end_of(rest, b"-->")?, Piece::Aside));
        }
        if !self.html && rest.starts_with(b"<![CDATA[") {
            let len = end_of(rest, b"]]>")?;
            return Some((len, Piece::Text(&rest[..len])));
        }
        if rest.starts_with(b"<?") {
            return Some((end_of(rest, if self.html { b">" } else { b"?>" })?, Piece::Aside));
        }
        let len = tag_len(rest)?;
        let tag = &rest[..len];
        let piece = match tag[1] {
            b'!' => Piece::Aside,
            b'/' => Piece::End(tag_name(&tag[2..])),
            _ => {
                let name = tag_name(&tag[1..]);
                if self.html && (name.eq_ignore_ascii_case(b"script") || name.eq_ignore_ascii_case(b"style")) {
                    self.raw_until = Some([b"</", name].concat());
                }
                Piece::Start(name, !self.html && tag.ends_with(b"/>"))
            }
        };
        Some((len, piece))
    }
}

/// Where the document element stands; `None` when there is none.
///
/// HTML leaves the end tags of some elements out, so there only those named like the document element are counted.
fn parts(result: &[u8], html: bool) -> Result<Option<Parts>, String> {
    let mut parts: Option<Parts> = None;
    let mut depth = 0_usize;
    for piece in (Pieces { result, at: 0, html, raw_until: None }) {
        let (range, piece) = piece?;
        let is_root = |parts: &Parts, name: &[u8]| {
            let root = &result[parts.tag.start + 1..parts.tag.start + 1 + parts.name_len];
            !html || name.eq_ignore_ascii_case(root)
        };
        match (piece, &mut parts) {
            (Piece::Aside, _) => {}
            (Piece::Text(text), _) => {
                if depth == 0 && !text.iter().all(u8::is_ascii_whitespace) {
                    return Err("text beside its document element".into());
                }
            }
            (Piece::Start(name, closed), None) => {
                let markup_end = if closed { 2 } else { 1 };
                parts = Some(Parts {
                    tag: range.start..range.end - markup_end,
                    name_len: name.len(),
                    closed,
                    content: range.end..range.end,
                    tail: range.end,
                });
                depth = usize::from(!closed);
            }
            (Piece::Start(..), Some(_)) if depth == 0 => return Err("more than one document element".into()),
            (Piece::Start(name, closed), Some(parts)) => depth += usize::from(!closed && is_root(parts, name)),
            (Piece::End(name), Some(parts)) if is_root(parts, name) && depth > 0 => {
                depth -= 1;
                if depth == 0 {
                    parts.content.end = range.start;
                    parts.tail = range.end;
                }
            }
            (Piece::End(_), _) => {}
        }
    }
    if depth > 0 {
        return Err("a document element that does not end".into());
    }
    Ok(parts)
}

fn end_of(text: &[u8], end: &[u8]) -> Option<usize> {
    memchr::memmem::find(text, end).map(|at| at + end.len())
}

fn find_ignoring_case(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window.eq_ignore_ascii_case(wanted))
}

/// The length of a tag; `>` in quotes does not end it.
fn tag_len(text: &[u8]) -> Option<usize> {
    let mut quote = None;
    for (at, &byte) in text.iter().enumerate() {
        match quote {
            Some(open) if byte == open => quote = None,
            Some(_) => {}
            None if matches!(byte, b'"' | b'\'') => quote = Some(byte),
            None if byte == b'>' => return Some(at + 1),
            None => {}
        }
    }
    None
}

fn tag_name(text: &[u8]) -> &[u8] {
    let len =
        text.iter().position(|byte| byte.is_ascii_whitespace() || matches!(byte, b'>' | b'/')).unwrap_or(text.len());
    &text[..len]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test should panic")]
    use super::*;

    fn form(method: OutputMethod, indent: bool) -> OutputForm {
        OutputForm { method, indent, encoding: None }
    }

    fn joined(form: OutputForm, results: &[&str]) -> Result<String, JoinError> {
        let mut joiner = Joiner::new(Vec::new(), form);
        for (number, result) in results.iter().enumerate() {
            joiner.add(&format!("room {number}"), result.as_bytes())?;
        }
        joiner.finish().map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn children_come_under_one_document_element() {
        let xml = form(OutputMethod::Xml, false);
        let indented = form(OutputMethod::Xml, true);
        let html = form(OutputMethod::Html, false);
        #[rustfmt::skip]
        let cases: [(&OutputForm, &[&str], &str); 14] = [
            (&xml, &["<a x='>'><b/>t</a>", "<a x='>'>&amp;<c></c></a>"], "<a x='>'><b/>t&amp;<c></c></a>"),
            (&xml, &["<a/>\n", "<a><b/></a>\n", "<a/>\n"], "<a><b/></a>\n"),
            (&xml, &["<a/>", "<a/>"], "<a/>"),
            (&xml, &["<a></a>", "<a></a>"], "<a></a>"),
            (&xml, &["<?xml version=\"1.0\"?>\n<!DOCTYPE a>\n<!-- </a> --><?p i?><a><a/></a><!--e--> "; 2],
                "<?xml version=\"1.0\"?>\n<!DOCTYPE a>\n<!-- </a> --><?p i?><a><a/><a/></a><!--e--> "),
            (&xml, &["<a><![CDATA[</a>]]></a>"; 2], "<a><![CDATA[</a>]]><![CDATA[</a>]]></a>"),
            (&xml, &["<a>\n</a>"; 2], "<a>\n\n</a>"),
            (&xml, &["", "<a>1</a>", ""], "<a>1</a>"),
            (&xml, &["<?xml version=\"1.0\"?>\n"; 2], "<?xml version=\"1.0\"?>\n"),
            (&indented, &["<a>\n  <b/>\n</a>\n", "<a/>\n", "<a>\n  <c/>\n</a>\n"], "<a>\n  <b/>\n  <c/>\n</a>\n"),
            (&html, &["<!DOCTYPE html>\n<html><p>1<br></html>\n", "<!DOCTYPE html>\n<html><p>2</html>\n"],
                "<!DOCTYPE html>\n<html><p>1<br><p>2</html>\n"),
            (&html, &["<div title=\"a>b\"><div>1</div><script>if (a<b) \"</div>\"</script></div>"; 2],
                "<div title=\"a>b\"><div>1</div><script>if (a<b) \"</div>\"</script><div>1</div><script>if (a<b) \"</div>\"</script></div>"),
            (&form(OutputMethod::Text, false), &["a\n", "", "<b"], "a\n<b"),
            (&xml, &[], ""),
        ];
        for (form, results, wanted) in cases {
            assert_eq!(joined(form.clone(), results).unwrap(), wanted);
        }
    }

    #[test]
    fn what_cannot_be_joined_is_named_with_its_conversation() {
        let xml = form(OutputMethod::Xml, false);
        for (results, parts) in [
            (["<a n='1'/>", "<a n='2'/>"], ["room 1", "<a n='1'", "<a n='2'"]),
            (["<a/>", "<b/>"], ["room 1", "<a", "<b"]),
            (["<a/>", "<a/><!-- x -->"], ["room 1", "nothing", "<!-- x -->"]),
            (["<?xml version=\"1.0\"?><a/>", "<a/>"], ["room 1", "<?xml", "nothing"]),
            (["<a/>", "<a/><a/>"], ["room 1", "more than one", "render"]),
            (["words", ""], ["room 0", "text beside", "render"]),
            (["<a>", ""], ["room 0", "does not end", "render"]),
        ] {
            let text = joined(xml.clone(), &results).unwrap_err().to_string();
            assert!(parts.iter().all(|part| text.contains(part)), "{text}");
        }
        let wide = OutputForm { encoding: Some("utf-16".into()), ..xml };
        assert!(matches!(joined(wide, &["x"]), Err(JoinError::Encoding { .. })));
    }
}
