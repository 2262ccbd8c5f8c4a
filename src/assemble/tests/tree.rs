//! The output read back: a small tree, so that tests speak of elements and values instead of bytes.

use std::io::Write as _;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use quick_xml::events::{BytesStart, Event as Xml};
use quick_xml::{Reader, XmlVersion};

/// An element with its attributes as a parser reports them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) name: String,
    pub(super) attributes: Vec<(String, String)>,
    pub(super) children: Vec<Element>,
}

impl Element {
    /// Reads a document; panics on text of any kind inside the root, which the layout forbids.
    pub(super) fn read(document: &[u8]) -> Self {
        let mut reader = Reader::from_reader(document);
        let mut open = vec![Self { name: String::new(), attributes: Vec::new(), children: Vec::new() }];
        let mut buffer = Vec::new();
        loop {
            buffer.clear();
            match reader.read_event_into(&mut buffer).unwrap() {
                Xml::Start(start) => open.push(Self::of(&start)),
                Xml::Empty(start) => {
                    let element = Self::of(&start);
                    open.last_mut().unwrap().children.push(element);
                }
                Xml::End(_) => {
                    let element = open.pop().unwrap();
                    open.last_mut().unwrap().children.push(element);
                }
                Xml::Decl(_) => {}
                Xml::Text(text) => assert!(open.len() == 1, "text inside the root: {text:?}"),
                Xml::Eof => return open.remove(0).children.remove(0),
                other => panic!("unexpected {other:?}"),
            }
        }
    }

    fn of(start: &BytesStart<'_>) -> Self {
        let attributes = start.attributes().map(|attribute| {
            let attribute = attribute.unwrap();
            let name = attribute.key.as_ref().to_owned();
            (name, attribute.normalized_value(XmlVersion::Explicit1_0).unwrap().into_owned())
        });
        let name = start.name().as_ref().to_owned();
        Self { name, attributes: attributes.collect(), children: Vec::new() }
    }

    pub(super) fn get(&self, attribute: &str) -> Option<&str> {
        self.attributes.iter().find(|(name, _)| name == attribute).map(|(_, value)| value.as_str())
    }

    pub(super) fn child(&self, name: &str) -> &Self {
        self.children.iter().find(|child| child.name == name).unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }

    /// Every `Message`, of all conversations.
    pub(super) fn messages(&self) -> Vec<&Self> {
        self.children.iter().flat_map(|conversation| &conversation.child("Messages").children).collect()
    }

    /// The exact text of an attribute in WTF-8, as a reader of the record recovers it.
    pub(super) fn exact(&self, attribute: &str) -> Option<Vec<u8>> {
        let shown = self.get(attribute)?;
        if attribute == "content"
            && let Some(original) = self.get("c:original")
        {
            return Some(STANDARD.decode(original).unwrap());
        }
        let originals = self.get("c:originals").unwrap_or_default();
        let original =
            originals.split(' ').filter_map(|entry| entry.rsplit_once(':')).find(|(name, _)| *name == attribute);
        Some(original.map_or_else(|| shown.as_bytes().to_vec(), |(_, base64)| STANDARD.decode(base64).unwrap()))
    }
}

/// What libxml2 says to a document on its standard input.
pub(super) fn xmllint(arguments: &[&str], document: &[u8]) -> Vec<u8> {
    let mut child = Command::new("xmllint")
        .args(arguments)
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("xmllint (libxml2-utils) is needed by this test: {error}"));
    let mut input = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || input.write_all(document));
        child.wait_with_output().unwrap()
    });
    assert!(output.status.success(), "xmllint: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}
