//! Reads the two layouts that an archive gets, with a parser that the pipeline does not use.

use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use roxmltree::{Document, Node};

use crate::event::{Act, Facts, Key, digest};

const OURS: &str = "urn:chancery:1";

/// Which layout an adapter writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// The canonical XML, full dialect.
    Canonical,
    /// The FileDump document.
    FileDump,
}

/// One message found in the canonical XML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its event.
    pub key: Key,
    /// What it says. The fact `file` is added once the copy beside the document was looked at.
    pub facts: Facts,
    /// The name of the copy beside the document.
    pub attachment: Option<String>,
    /// Whether it says that it stood in an earlier batch without its file.
    pub completes: bool,
}

/// One act found in a FileDump; for a transfer `content` is the name of the copy beside the document.
pub type FoundAct = Act;

/// A document as an archive would understand it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reading {
    /// The messages of a canonical document.
    pub messages: Vec<Found>,
    /// The acts of a FileDump.
    pub acts: Vec<FoundAct>,
    /// Names of the files it refers to.
    pub attachments: Vec<String>,
    /// Messages of a canonical document that say that their file is missing.
    pub owed: Vec<Found>,
    /// Transfers of a FileDump that say so.
    pub owed_acts: Vec<FoundAct>,
}

/// Whether a name on the share is that of an output, not of an attachment.
pub fn is_output(name: &str) -> bool {
    // Attachments may be XML too; only the name of an output ends in its number.
    let stem = name.strip_suffix(".zst").unwrap_or(name);
    let Some(stem) = stem.strip_suffix(".xml") else { return false };
    let last = stem.rsplit('-').next().unwrap_or_default();
    let number = last.strip_prefix('r').unwrap_or(last);
    number.len() < 32 && !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// The part of a name that all files of one batch begin with: adapter, end of the interval, number.
pub fn batch_of(name: &str) -> &str {
    let mut dashes = name.match_indices('-').map(|(at, _)| at);
    // Adapter names of the runner hold no dash.
    match (dashes.next(), dashes.next(), dashes.next()) {
        (Some(_), Some(_), Some(end)) => &name[..end],
        _ => name.split('.').next().unwrap_or(name),
    }
}

/// Reads an output whole: decompressed, UTF-8, well formed to the end of its root.
///
/// # Errors
/// In words, what makes it less than a whole document.
pub fn read(layout: Layout, name: &str, bytes: &[u8]) -> Result<Reading, String> {
    let mut unpacked = Vec::new();
    let bytes = if name.ends_with(".zst") {
        let mut decoder =
            ruzstd::decoding::StreamingDecoder::new(bytes).map_err(|error| format!("no zstd frame: {error}"))?;
        decoder.read_to_end(&mut unpacked).map_err(|error| format!("the zstd frame breaks off: {error}"))?;
        let (said, is) = (decoder.decoder.get_checksum_from_data(), decoder.decoder.get_calculated_checksum());
        if said.is_none() || said != is {
            return Err("the zstd frame's checksum is missing or wrong".into());
        }
        unpacked.as_slice()
    } else {
        bytes
    };
    let text = std::str::from_utf8(bytes).map_err(|error| format!("no UTF-8: {error}"))?;
    let document = Document::parse(text).map_err(|error| format!("no whole XML document: {error}"))?;
    let root = document.root_element();
    match layout {
        Layout::Canonical => canonical(root),
        Layout::FileDump => file_dump(root),
    }
}

fn canonical(root: Node<'_, '_>) -> Result<Reading, String> {
    expect(root, "Conversations")?;
    let mut reading = Reading::default();
    for conversation in elements(root) {
        expect(conversation, "Conversation")?;
        let room = child(conversation, "Channel").and_then(|channel| channel.attribute("uri")).unwrap_or_default();
        let messages = child(conversation, "Messages").ok_or("a Conversation has no Messages")?;
        for message in elements(messages) {
            let (found, owed) = message_of(message, room)?;
            if owed {
                reading.owed.push(found);
                continue;
            }
            reading.attachments.extend(found.attachment.clone());
            reading.messages.push(found);
        }
    }
    Ok(reading)
}

/// A message, and whether it says that its file is missing.
fn message_of(message: Node<'_, '_>, room: &str) -> Result<(Found, bool), String> {
    let ours = |name: &str| message.attribute((OURS, name)).map(str::to_owned);
    let key = match (ours("source"), ours("event")) {
        (Some(source), Some(id)) => Key { source, id },
        _ => return Err("a Message without c:source and c:event".into()),
    };
    let meant = message.attribute("type").unwrap_or_default();
    let mut facts = Facts::from([("type", meant.to_owned()), ("room", room.to_owned())]);
    let mut know = |name, value: Option<String>| facts.extend(value.map(|value| (name, value)));
    know("kind", ours("kind"));
    let time = child(message, "DateTimeUTC").and_then(|time| time.attribute("long"));
    know("time", time.map(str::to_owned));
    let sender = child(message, "Sender").and_then(|sender| sender.attribute("uri"));
    know("sender", sender.filter(|uri| !uri.is_empty()).map(str::to_owned));
    // Where XML could not hold a text, its exact bytes travel beside it.
    let originals = ours("originals").unwrap_or_default();
    let exact = |name: &str| {
        let mut kept = originals.split(' ').filter_map(|kept| kept.strip_prefix("c:")?.split_once(':'));
        kept.find(|(of, _)| *of == name).and_then(|(_, base64)| STANDARD.decode(base64).ok())
    };
    for (fact, name) in
        [("message", "messageId"), ("reply", "inReplyTo"), ("thread", "thread"), ("previous", "previous")]
    {
        know(fact, exact(name).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).or_else(|| ours(name)));
    }
    let shown = message.attribute("content").unwrap_or_default().to_owned();
    let mut attachment = None;
    match meant {
        "FILEUPLOAD" | "FILEDOWNLOAD" => attachment = ours("missing").is_none().then_some(shown),
        "OTHER" => know(
            "raw",
            ours("raw").map(|raw| STANDARD.decode(raw).map_or_else(|_| "no base64".into(), |raw| digest(&raw))),
        ),
        _ => {
            let original = ours("original").and_then(|original| STANDARD.decode(original).ok());
            know("content", Some(original.map_or(shown, |exact| String::from_utf8_lossy(&exact).into_owned())));
        }
    }
    let owed = matches!(meant, "FILEUPLOAD" | "FILEDOWNLOAD") && attachment.is_none();
    let completes = ours("completes").is_some();
    Ok((Found { key, facts, attachment, completes }, owed))
}

fn file_dump(root: Node<'_, '_>) -> Result<Reading, String> {
    expect(root, "FileDump")?;
    let mut reading = Reading::default();
    for conversation in elements(root) {
        expect(conversation, "Conversation")?;
        let room = words(conversation, "RoomID");
        let (mut entered, mut left) = (0, 0);
        for element in elements(conversation) {
            match element.tag_name().name() {
                "Message" => {
                    let update = words(element, "UpdatedType");
                    let content = words(element, "Content");
                    // What the stylesheet puts before people's own words, as its page says.
                    let own = match update.as_str() {
                        "Deleted" | "FileDeleted" => content.strip_prefix("delete "),
                        "UpdatedNoMsgChange" => {
                            content.strip_prefix("reacted ").or(content.strip_prefix("withdrew the reaction "))
                        }
                        _ => None,
                    };
                    let content = own.map_or(content.clone(), str::to_owned);
                    reading.acts.push(Act {
                        room: room.clone(),
                        id: words(element, "MessageId"),
                        time: words(element, "DateTimeUTC"),
                        update,
                        content: Some(content),
                    });
                }
                "FileTransferEnded" => {
                    let name = words(element, "FileName");
                    let act = Act {
                        room: room.clone(),
                        id: words(element, "UserFileName"),
                        time: words(element, "DateTimeUTC"),
                        update: "Transfer".into(),
                        content: Some(name.clone()),
                    };
                    if words(element, "Status") == "Completed" {
                        reading.attachments.push(name);
                        reading.acts.push(act);
                    } else {
                        reading.owed_acts.push(Act { content: None, ..act });
                    }
                }
                "ParticipantEntered" => entered += 1,
                "ParticipantLeft" => left += 1,
                _ => {}
            }
        }
        if entered != left {
            return Err(format!("{entered} participants entered and {left} left"));
        }
    }
    Ok(reading)
}

fn expect(node: Node<'_, '_>, name: &str) -> Result<(), String> {
    let found = node.tag_name().name();
    if found == name { Ok(()) } else { Err(format!("expected element {name}, found {found}")) }
}

fn elements<'d, 'i>(node: Node<'d, 'i>) -> impl Iterator<Item = Node<'d, 'i>> {
    node.children().filter(Node::is_element)
}

fn child<'d, 'i>(node: Node<'d, 'i>, name: &str) -> Option<Node<'d, 'i>> {
    elements(node).find(|child| child.tag_name().name() == name)
}

fn words(node: Node<'_, '_>, name: &str) -> String {
    child(node, name).and_then(|child| child.text()).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_outputs_from_attachments() {
        for name in ["a-20261122T093031Z-000000001.xml", "a-20261122T093031Z-000000001-r000002.xml.zst"] {
            assert!(is_output(name), "{name}");
            assert_eq!(batch_of(name), "a-20261122T093031Z-000000001");
        }
        for name in [
            "a-20261122T093031Z-000000001-1b96111015dc09fac607a4de684e9689.csv",
            "a-20261122T093031Z-000000001-11961110150109090607040684096890.xml",
            "a-20261122T093031Z-000000001.xml.ack",
        ] {
            assert!(!is_output(name), "{name}");
        }
        assert_eq!(batch_of("a-20261122T093031Z-000000001-1b96.csv"), "a-20261122T093031Z-000000001");
    }

    #[test]
    fn half_a_document_is_none() {
        let whole = "<Conversations xmlns:c='urn:chancery:1'><Conversation><Channel uri='r'/><Messages/></Conversation></Conversations>";
        assert_eq!(read(Layout::Canonical, "a.xml", whole.as_bytes()), Ok(Reading::default()));
        for end in [0, 1, whole.len() / 2, whole.len() - 1] {
            assert!(read(Layout::Canonical, "a.xml", &whole.as_bytes()[..end]).is_err(), "{end}");
        }
        assert!(read(Layout::Canonical, "a.xml.zst", b"no frame").is_err());
        assert!(read(Layout::FileDump, "a.xml", whole.as_bytes()).is_err());
    }
}
