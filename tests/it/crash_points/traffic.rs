//! What the chat server does while the process is killed: wave after wave of events, each known to the byte.

use std::collections::BTreeMap;
use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::Lab;

const SOURCE: &str = "/web/1";
/// A line that is no event.
pub const POISON: &str = "{not json";

/// Everything that was sent so far.
pub struct Traffic {
    by_queue: bool,
    waves: usize,
    next_id: usize,
    /// The texts of posted messages, each unlike all others, by event.
    pub texts: BTreeMap<String, String>,
    /// The bytes of uploaded files, by event.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Where the files lie that come late, and their bytes, by wave.
    late: Vec<(String, Vec<u8>)>,
    /// The events that make a message and are neither of these.
    pub others: Vec<String>,
    /// Items that wait in quarantine.
    pub quarantined: usize,
    /// Whether a spool file was sent that must be refused.
    pub refused: bool,
    /// The event that is missing in a source's sequence.
    missing: Option<Value>,
}

impl Traffic {
    /// `by_queue`: through the broker, each event confirmed by it; otherwise as spool files.
    pub fn new(by_queue: bool) -> Self {
        Self {
            by_queue,
            waves: 0,
            next_id: 0,
            texts: BTreeMap::new(),
            files: BTreeMap::new(),
            late: Vec::new(),
            others: Vec::new(),
            quarantined: 0,
            refused: false,
            missing: None,
        }
    }

    /// The ids of all events that make a message.
    pub fn ids(&self) -> impl Iterator<Item = &String> {
        self.texts.keys().chain(self.files.keys()).chain(&self.others)
    }

    /// Sends the next wave: two rooms, messages, a file that is new, one that comes in every wave, and one whose bytes come
    /// later.
    pub fn wave(&mut self, lab: &Lab) {
        self.waves += 1;
        let wave = self.waves;
        let mut lines = Vec::new();
        for room in 1..=2 {
            let id = self.id();
            lines.push(event(&id, room, "chat.room.joined", json!({})));
            self.others.push(id);
            for number in 1..=2 {
                let (id, text) = (self.id(), format!("wave-{wave}-room-{room}-text-{number}."));
                lines.push(event(&id, room, "chat.message.posted", json!({ "message": { "text": text } })));
                self.texts.insert(id, text);
            }
            let bytes =
                if room == 1 { format!("the file of wave {wave}\n") } else { "the same in every wave\n".into() };
            let id = self.id();
            let file = json!({ "name": "notes.txt", "media_type": "text/plain", "inline": STANDARD.encode(&bytes) });
            lines.push(event(&id, room, "chat.file.uploaded", json!({ "file": file })));
            self.files.insert(id, bytes.into_bytes());
        }
        let (id, place, bytes) = (self.id(), format!("late-{wave}.txt"), format!("the late file of wave {wave}\n"));
        let file = json!({ "name": "late.txt", "media_type": "text/plain", "location": place });
        lines.push(event(&id, 1, "chat.file.uploaded", json!({ "file": file })));
        self.late.push((place, bytes.clone().into_bytes()));
        self.files.insert(id, bytes.into_bytes());
        self.send(lab, &lines);
    }

    /// Lets the late files come of all waves but the last `but`.
    pub fn late_files_come(&self, lab: &Lab, but: usize) {
        let repository = lab.path("repository");
        for (place, bytes) in self.late.iter().rev().skip(but) {
            if !repository.join(place).exists() {
                fs::write(repository.join("new"), bytes).unwrap();
                fs::rename(repository.join("new"), repository.join(place)).unwrap();
            }
        }
    }

    /// Sends a line that is no event.
    pub fn poison(&mut self, lab: &Lab) {
        lab.spool("poison.ndjson", &[POISON]);
        self.quarantined += 1;
    }

    /// The item that waited in quarantine is out of it.
    pub fn discarded(&mut self) {
        self.quarantined -= 1;
    }

    /// Sends a spool file whose second line is too long even for quarantine.
    pub fn refused_file(&mut self, lab: &Lab) {
        let (id, text) = (self.id(), "before-the-long-line.".to_owned());
        let line = event(&id, 1, "chat.message.posted", json!({ "message": { "text": text } })).to_string();
        lab.spool("refused.ndjson", &[line, "x".repeat(64 << 10)]);
        self.texts.insert(id, text);
        self.refused = true;
    }

    /// Sends events of a sequence in which a number is missing.
    pub fn gap(&mut self, lab: &Lab) {
        let mut lines = Vec::new();
        for number in 1..=3 {
            let (id, text) = (self.id(), format!("number-{number}-of-three."));
            let mut line = event(&id, 1, "chat.message.posted", json!({ "message": { "text": text } }));
            line["source"] = "/channel-service/1".into();
            line["sequence"] = number.to_string().into();
            self.texts.insert(id, text);
            if number == 2 { self.missing = Some(line) } else { lines.push(line.to_string()) }
        }
        lab.spool("gap.ndjson", &lines);
    }

    /// Sends what was missing, if anything was.
    pub fn fill(&mut self, lab: &Lab) {
        if let Some(line) = self.missing.take() {
            lab.spool("fill.ndjson", &[line.to_string()]);
        }
    }

    fn send(&self, lab: &Lab, lines: &[Value]) {
        let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
        if self.by_queue {
            let file = lab.path("wave.ndjson");
            fs::write(&file, lines.join("\n")).unwrap();
            lab.ok(&["emit", file.to_str().unwrap()]);
        } else {
            lab.spool(&format!("wave-{:03}.ndjson", self.waves), &lines);
        }
    }

    fn id(&mut self) -> String {
        self.next_id += 1;
        self.next_id.to_string()
    }
}

fn event(id: &str, room: usize, kind: &str, what: Value) -> Value {
    let mut data = json!({ "sender": { "uri": "sip:a@example.com", "name": "A" } });
    if let (Some(data), Value::Object(what)) = (data.as_object_mut(), what) {
        data.extend(what);
    }
    json!({
        "specversion": "1.0", "id": id, "source": SOURCE, "type": kind, "subject": format!("room:{room}"),
        "time": "2026-11-22T10:00:00Z", "data": data,
    })
}
