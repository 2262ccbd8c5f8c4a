//! Reads what an archive would see, with a reader of its own: no code of the writer is shared.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

/// One `Message` of the canonical XML.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    pub source: String,
    pub event: String,
    pub kind: String,
    pub content: String,
    /// The text as the emitter wrote it, by way of `c:original` where XML could not hold it.
    pub exact: Vec<u8>,
    pub room: String,
    pub ticks: String,
    pub missing: Option<String>,
    /// The batch in which its file was missing, for a message that stands here once more with it.
    pub completes: Option<String>,
    pub late: bool,
    /// All attributes but those that depend on the batch, in order of their names.
    pub attributes: Vec<(String, String)>,
}

/// The outputs of an adapter, by name: no temporary, acknowledgement or attachment among them.
pub fn output_files(pickup: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(pickup) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "xml"))
        .collect();
    files.sort();
    files
}

/// Every message in an adapter's canonical outputs, in order.
pub fn messages(pickup: &Path) -> Vec<Message> {
    output_files(pickup).iter().flat_map(|file| messages_of(&fs::read_to_string(file).unwrap())).collect()
}

fn attributes(element: &BytesStart<'_>) -> Vec<(String, String)> {
    element
        .attributes()
        .map(|attribute| {
            let attribute = attribute.unwrap();
            let value = quick_xml::escape::unescape(&attribute.value).unwrap().into_owned();
            (attribute.key.as_ref().to_owned(), value)
        })
        .collect()
}

fn messages_of(xml: &str) -> Vec<Message> {
    let mut reader = Reader::from_str(xml);
    let mut found: Vec<Message> = Vec::new();
    let mut room = String::new();
    let mut inside = false;
    loop {
        match reader.read_event().unwrap() {
            Event::Start(element) | Event::Empty(element) => match element.name().as_ref() {
                "Channel" => {
                    room = attributes(&element).into_iter().find(|(name, _)| name == "uri").unwrap().1;
                }
                "Message" => {
                    inside = true;
                    found.push(message(attributes(&element), &room));
                }
                "DateTimeUTC" if inside => {
                    let ticks = attributes(&element).into_iter().find(|(name, _)| name == "long").unwrap().1;
                    found.last_mut().unwrap().ticks = ticks;
                }
                "StartTimeUTC" => inside = false,
                _ => {}
            },
            Event::Eof => return found,
            _ => {}
        }
    }
}

fn message(mut attributes: Vec<(String, String)>, room: &str) -> Message {
    let get = |name: &str| attributes.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone());
    let content = get("content").unwrap_or_default();
    let exact = match get("c:original") {
        Some(original) => base64::engine::general_purpose::STANDARD.decode(original).unwrap(),
        None => content.clone().into_bytes(),
    };
    let message = Message {
        source: get("c:source").unwrap_or_default(),
        event: get("c:event").unwrap_or_default(),
        kind: get("type").unwrap_or_default(),
        exact,
        content,
        room: room.to_owned(),
        ticks: String::new(),
        missing: get("c:missing"),
        completes: get("c:completes"),
        late: get("c:late").is_some(),
        attributes: Vec::new(),
    };
    // What names the batch's own files, or when this run received the event, is no property of the event.
    let file = matches!(message.kind.as_str(), "FILEUPLOAD" | "FILEDOWNLOAD");
    attributes.retain(|(name, _)| match name.as_str() {
        "c:receivedAt" | "c:late" => false,
        "content" => !file,
        _ => true,
    });
    attributes.sort();
    Message { attributes, ..message }
}
