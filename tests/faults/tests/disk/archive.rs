//! A third-party archive that takes each file once and judges what it was given.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use roxmltree::Document;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::lab::Lab;

const CHANCERY: &str = "urn:chancery:1";

pub struct Archive {
    share: PathBuf,
    /// Name and content of each file taken.
    taken: BTreeMap<String, Vec<u8>>,
}

impl Archive {
    pub fn new(share: PathBuf) -> Self {
        Self { share, taken: BTreeMap::new() }
    }

    /// Takes what is new and acknowledges it, as it lies there: no file may be half, none may come twice.
    pub fn visit(&mut self, case: &str) {
        let names: Vec<String> = visible(&self.share);
        let (outputs, attachments): (Vec<_>, Vec<_>) =
            names.iter().filter(|name| !name.ends_with(".ack")).partition(|name| name.ends_with(".xml"));
        for name in attachments {
            self.take(name, case);
        }
        for name in outputs {
            let acknowledged = names.contains(&format!("{name}.ack"));
            assert!(
                acknowledged || !self.taken.contains_key(name),
                "{case}: {name} was taken and acknowledged, and is offered again"
            );
            self.take(name, case);
            for (event, attachment) in events(&self.taken[name], name, case) {
                let there = attachment.as_ref().is_none_or(|attachment| self.taken.contains_key(attachment));
                assert!(there, "{case}: {name} refers to {attachment:?} for event {event}, which is not there");
            }
            fs::write(self.share.join(format!("{name}.ack")), "").unwrap();
        }
    }

    fn take(&mut self, name: &str, case: &str) {
        let content = fs::read(self.share.join(name)).unwrap();
        if let Some(before) = self.taken.get(name) {
            assert_eq!(before, &content, "{case}: {name} has changed since it was taken");
        }
        self.taken.insert(name.to_owned(), content);
    }

    /// How often each event was archived; the bytes of its file where it brought one.
    pub fn events(&self, case: &str) -> BTreeMap<String, Vec<Option<&[u8]>>> {
        let mut found: BTreeMap<String, Vec<Option<&[u8]>>> = BTreeMap::new();
        for (name, content) in self.taken.iter().filter(|(name, _)| name.ends_with(".xml")) {
            for (event, attachment) in events(content, name, case) {
                found.entry(event).or_default().push(attachment.map(|attachment| self.taken[&attachment].as_slice()));
            }
        }
        found
    }

    /// Every certificate is whole, and tells only of what was taken as it was.
    pub fn check_certificates(&self, dir: &Path, case: &str) -> usize {
        let names = visible(dir);
        for name in names.iter().filter(|name| name.ends_with(".json")) {
            let text = fs::read(dir.join(name)).unwrap();
            let certificate: Value = serde_json::from_slice(&text)
                .unwrap_or_else(|error| panic!("{case}: the certificate {name} is not whole: {error}"));
            for file in certificate["files"].as_array().unwrap() {
                let purged = file["name"].as_str().unwrap();
                let taken = self.taken.get(purged).unwrap_or_else(|| panic!("{case}: {purged} was purged, not taken"));
                assert_eq!(file["sha256"], hex::encode(Sha256::digest(taken)), "{case}: {purged}");
            }
        }
        names.len()
    }
}

/// Names that an archive looks at.
pub fn visible(dir: &Path) -> Vec<String> {
    let entries =
        fs::read_dir(dir).into_iter().flatten().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = entries.filter(|name| !name.starts_with('.')).collect();
    names.sort();
    names
}

/// Events of an output, each with the attachment it refers to.
fn events(content: &[u8], name: &str, case: &str) -> Vec<(String, Option<String>)> {
    let text = std::str::from_utf8(content).unwrap_or_else(|error| panic!("{case}: {name} is not whole: {error}"));
    let document = Document::parse(text).unwrap_or_else(|error| panic!("{case}: {name} is not whole: {error}"));
    let messages = document.descendants().filter(|node| node.has_tag_name("Message"));
    messages
        .map(|message| {
            let event = message.attribute((CHANCERY, "event")).expect("each message names its event").to_owned();
            let file = message.attribute("type") == Some("FILEUPLOAD");
            (event, file.then(|| message.attribute("content").unwrap_or_default().to_owned()))
        })
        .collect()
}

/// What the standing scenario has to come to, whatever happened on the way: everything archived once, certified and gone.
pub fn check_end(lab: &Lab, expected: &[(&str, Option<&[u8]>)], case: &str) {
    let found = lab.archive.events(case);
    assert_eq!(found.len(), expected.len(), "{case}: {:?}", found.keys());
    for (event, bytes) in expected {
        let archived = found.get(*event).unwrap_or_else(|| panic!("{case}: event {event} is lost"));
        assert_eq!(archived.len(), 1, "{case}: event {event} was archived {} times", archived.len());
        assert!(archived[0] == *bytes, "{case}: event {event} was archived with other bytes");
    }
    let certificates = lab.archive.check_certificates(&lab.path("evidence/purge"), case);
    assert!(certificates > 0, "{case}: no certificate was left");
    for (id, state) in lab.batches() {
        assert!(state == "purged" || state == "empty", "{case}: batch {id} is {state}");
    }
    assert_eq!(visible(&lab.share()), [""; 0], "{case}: the share is empty");
    assert_eq!(visible(&lab.path("incoming")), ["done"], "{case}: nothing waits, nothing was refused");
    let status = lab.status();
    assert_eq!(status["intake"]["waiting"], 0, "{case}: {status}");
    assert!(status["alerts"].is_array(), "{case}: {status}");
    assert_eq!(lab.alerts(), Vec::<serde_json::Value>::new(), "{case}: alerts close by themselves");
}
