//! A pass over a packaging document: elements and their texts, in order, with the line where each begins.

use std::borrow::Cow;

use quick_xml::NsReader;
use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::{Namespace, ResolveResult};

use super::{NAMESPACE, PackageError};

/// The namespace in which XHTML may stand; none at all is as good.
const XHTML: &str = "http://www.w3.org/1999/xhtml";

/// The place in a document.
pub(super) struct Cursor<'d> {
    document: &'d str,
    reader: NsReader<&'d [u8]>,
    /// A position and its line; lines are counted on from there.
    counted: (usize, usize),
}

/// Which vocabulary an element belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Vocabulary {
    Package,
    Html,
    Foreign,
}

/// The start of an element.
#[derive(Debug)]
pub(super) struct Element {
    name: String,
    vocabulary: Vocabulary,
    attributes: Vec<(String, String)>,
    line: usize,
}

/// What comes next.
pub(super) enum Node {
    Start(Element),
    End,
    Text(String),
}

impl<'d> Cursor<'d> {
    pub(super) fn open(document: &'d [u8]) -> Result<Self, PackageError> {
        let document = std::str::from_utf8(document).map_err(|error| PackageError::Malformed {
            line: 1 + document[..error.valid_up_to()].iter().filter(|&&byte| byte == b'\n').count(),
            reason: "it is not UTF-8".into(),
        })?;
        let mut reader = NsReader::from_str(document);
        reader.config_mut().expand_empty_elements = true;
        Ok(Self { document, reader, counted: (0, 1) })
    }

    /// The document element.
    pub(super) fn root(&mut self, name: &str) -> Result<Element, PackageError> {
        match self.next()? {
            Some(Node::Start(element)) => {
                element.expect(&[name])?;
                Ok(element)
            }
            Some(Node::Text(text)) if text.trim().is_empty() => self.root(name),
            _ => Err(self.unexpected(&format!("{name} in the namespace {NAMESPACE}"), "no element")),
        }
    }

    /// The next child of an element of the package, `None` at its end.
    pub(super) fn child(&mut self, parent: &Element) -> Result<Option<Element>, PackageError> {
        loop {
            match self.next()? {
                Some(Node::Start(element)) => return Ok(Some(element)),
                Some(Node::End) => return Ok(None),
                Some(Node::Text(text)) if text.chars().all(|c| c.is_ascii_whitespace()) => {}
                Some(Node::Text(_)) => return Err(self.unexpected(&format!("elements inside {}", parent.name), "text")),
                None => return Err(self.unexpected(&format!("the end of {}", parent.name), "the end of the document")),
            }
        }
    }

    /// The text of an element that holds nothing else.
    pub(super) fn text(&mut self, parent: &Element) -> Result<String, PackageError> {
        let mut whole = String::new();
        loop {
            match self.next()? {
                Some(Node::Text(text)) if whole.is_empty() => whole = text,
                Some(Node::Text(text)) => whole.push_str(&text),
                Some(Node::End) => return Ok(whole),
                Some(Node::Start(element)) => return Err(element.unexpected(&format!("text inside {}", parent.name))),
                None => return Err(self.unexpected(&format!("the end of {}", parent.name), "the end of the document")),
            }
        }
    }

    /// Passes the end of an element that holds nothing.
    pub(super) fn nothing(&mut self, parent: &Element) -> Result<(), PackageError> {
        match self.child(parent)? {
            None => Ok(()),
            Some(element) => Err(element.unexpected(&format!("nothing inside {}", parent.name))),
        }
    }

    /// After the document element nothing may follow.
    pub(super) fn finish(&mut self) -> Result<(), PackageError> {
        match self.next()? {
            None => Ok(()),
            Some(Node::Text(text)) if text.trim().is_empty() => self.finish(),
            Some(_) => Err(self.unexpected("the end of the document", "more of it")),
        }
    }

    /// The next node; `None` at the end of the document. Comments and processing instructions are passed over.
    pub(super) fn next(&mut self) -> Result<Option<Node>, PackageError> {
        loop {
            let line = self.line();
            let (namespace, event) = match self.reader.read_resolved_event() {
                Ok((ResolveResult::Bound(Namespace(NAMESPACE)), event)) => (Vocabulary::Package, event),
                Ok((ResolveResult::Bound(Namespace(XHTML)) | ResolveResult::Unbound, event)) => {
                    (Vocabulary::Html, event)
                }
                Ok((_, event)) => (Vocabulary::Foreign, event),
                Err(error) => return Err(malformed(line, &error)),
            };
            let node = match event {
                Event::Start(start) | Event::Empty(start) => Node::Start(element(&start, namespace, line)?),
                Event::End(_) => Node::End,
                Event::Text(text) => Node::Text(text.xml10_content().into_owned()),
                Event::CData(text) => Node::Text(text.xml10_content().into_owned()),
                Event::GeneralRef(reference) => match character(&reference) {
                    Some(text) => Node::Text(text.into_owned()),
                    None => return Err(malformed(line, &"an entity that is not declared")),
                },
                Event::Eof => return Ok(None),
                Event::DocType(_) => return Err(malformed(line, &"a document type declaration is not allowed")),
                Event::Comment(_) | Event::PI(_) | Event::Decl(_) => continue,
            };
            return Ok(Some(node));
        }
    }

    fn unexpected(&mut self, expected: &str, found: &str) -> PackageError {
        PackageError::Unexpected { line: self.line(), expected: expected.into(), found: found.into() }
    }

    /// The line that the reader has come to.
    fn line(&mut self) -> usize {
        let (from, line) = self.counted;
        let at = usize::try_from(self.reader.buffer_position()).unwrap_or(from).clamp(from, self.document.len());
        let passed = &self.document.as_bytes()[from..at];
        self.counted = (at, line + passed.iter().filter(|&&byte| byte == b'\n').count());
        self.counted.1
    }
}

impl Element {
    /// The local name.
    pub(super) fn name(&self) -> &str {
        // A name of another vocabulary must not be taken for one of ours.
        if self.vocabulary == Vocabulary::Package { &self.name } else { "" }
    }

    /// The local name of an element of HTML.
    pub(super) fn html_name(&self) -> Option<&str> {
        (self.vocabulary == Vocabulary::Html).then_some(self.name.as_str())
    }

    pub(super) fn line(&self) -> usize {
        self.line
    }

    pub(super) fn attributes(&self) -> &[(String, String)] {
        &self.attributes
    }

    pub(super) fn optional(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn required(&self, name: &str) -> Result<&str, PackageError> {
        self.optional(name).ok_or_else(|| self.lacks(&format!("the attribute {name}")))
    }

    /// Refuses an element whose name is none of these.
    pub(super) fn expect(&self, names: &[&str]) -> Result<(), PackageError> {
        if names.contains(&self.name()) { Ok(()) } else { Err(self.unexpected(&names.join(", "))) }
    }

    /// Refuses attributes other than these.
    pub(super) fn only(&self, names: &[&str]) -> Result<(), PackageError> {
        match self.attributes.iter().find(|(name, _)| !names.contains(&name.as_str())) {
            None => Ok(()),
            Some((name, _)) if names.is_empty() => Err(self.value(name, "no attributes")),
            Some((name, _)) => Err(self.value(name, &format!("no other attributes than {}", names.join(", ")))),
        }
    }

    pub(super) fn unexpected(&self, expected: &str) -> PackageError {
        let found = match self.vocabulary {
            Vocabulary::Package => self.name.clone(),
            Vocabulary::Html => format!("{} outside the namespace {NAMESPACE}", self.name),
            Vocabulary::Foreign => format!("{} of another namespace", self.name),
        };
        PackageError::Unexpected { line: self.line, expected: expected.into(), found }
    }

    pub(super) fn lacks(&self, missing: &str) -> PackageError {
        PackageError::Missing { line: self.line, element: self.name.clone(), missing: missing.into() }
    }

    pub(super) fn value(&self, attribute: &str, expected: &str) -> PackageError {
        PackageError::Value {
            line: self.line,
            element: self.name.clone(),
            attribute: attribute.into(),
            expected: expected.into(),
        }
    }
}

fn element(start: &BytesStart<'_>, vocabulary: Vocabulary, line: usize) -> Result<Element, PackageError> {
    let mut attributes = Vec::new();
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|error| malformed(line, &error))?;
        let name = attribute.key.0;
        if name == "xmlns" || name.starts_with("xmlns:") {
            continue;
        }
        let value = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|error| malformed(line, &error))?;
        attributes.push((name.to_owned(), value.into_owned()));
    }
    Ok(Element { name: start.local_name().as_ref().to_owned(), vocabulary, attributes, line })
}

/// The text of a reference: a character's number, or one of the five names that XML itself knows.
fn character(reference: &quick_xml::events::BytesRef<'_>) -> Option<Cow<'static, str>> {
    if let Ok(Some(c)) = reference.resolve_char_ref() {
        return Some(Cow::Owned(c.to_string()));
    }
    quick_xml::escape::resolve_predefined_entity(reference).map(Cow::Borrowed)
}

fn malformed(line: usize, reason: &dyn std::fmt::Display) -> PackageError {
    PackageError::Malformed { line, reason: reason.to_string() }
}
