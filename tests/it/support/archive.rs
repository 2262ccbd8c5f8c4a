//! An archive at the other end of a share: takes what appears, keeps it, and remembers what it should never have seen.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::Lab;

/// How an archive tells that it has taken a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// By removing it.
    Away,
    /// By an acknowledgement beside it.
    ByAcknowledging,
}

/// The archive of one adapter.
pub struct Archive {
    pub adapter: String,
    pub takes: Takes,
    share: PathBuf,
    kept: PathBuf,
    violations: BTreeSet<String>,
}

impl Archive {
    pub fn new(lab: &Lab, adapter: &str, takes: Takes) -> Self {
        let kept = lab.path("archive").join(adapter);
        fs::create_dir_all(&kept).unwrap();
        let (adapter, share) = (adapter.to_owned(), lab.pickup(adapter));
        Self { adapter, takes, share, kept, violations: BTreeSet::new() }
    }

    /// Everything it has taken, as a directory that looks like the share.
    pub fn kept(&self) -> &Path {
        &self.kept
    }

    /// What the product did that no archive may see, e.g. a file that came again.
    pub fn violations(&self) -> impl Iterator<Item = &String> {
        self.violations.iter()
    }

    /// The names of the files it has taken.
    pub fn names(&self) -> BTreeSet<String> {
        names_in(&self.kept)
    }

    /// Takes all that is on the share.
    pub fn visit(&mut self) {
        let listed = names_in(&self.share);
        for name in listed.iter().filter(|name| !name.ends_with(".ack")) {
            let (place, mine) = (self.share.join(name), self.kept.join(name));
            // It may be purged between the listing and now, but only after it was acknowledged.
            let Ok(bytes) = fs::read(&place) else {
                // A copy of a manifest goes with its batch, taken or not.
                if (self.takes == Takes::Away || !mine.exists()) && !name.contains(".manifest.json") {
                    self.violations.insert(format!("{name} went away before it was taken"));
                }
                continue;
            };
            match self.takes {
                Takes::Away => {
                    if mine.exists() {
                        self.violations.insert(format!("{name} came a second time"));
                    }
                    fs::write(&mine, bytes).unwrap();
                    fs::remove_file(&place).unwrap();
                }
                Takes::ByAcknowledging => self.acknowledge(name, &listed, &bytes),
            }
        }
    }

    fn acknowledge(&mut self, name: &str, listed: &BTreeSet<String>, bytes: &[u8]) {
        let mine = self.kept.join(name);
        let acknowledgement = format!("{name}.ack");
        // Only outputs are acknowledged; the attachments beside them go with them.
        let is_output = is_main(name);
        if let Ok(before) = fs::read(&mine) {
            if before != bytes {
                self.violations.insert(format!("{name} changed after it was taken"));
            }
            if is_output && !listed.contains(&acknowledgement) {
                self.violations
                    .insert(format!("{name} lies there without its acknowledgement and would be taken again"));
            }
            return;
        }
        fs::write(&mine, bytes).unwrap();
        if is_output {
            // What it refers to was published before it, even if the listing came too early to show it.
            for attachment in names_in(&self.share).iter().filter(|name| !is_main(name) && !name.ends_with(".ack")) {
                if let Ok(bytes) = fs::read(self.share.join(attachment)) {
                    fs::write(self.kept.join(attachment), bytes).unwrap();
                }
            }
            fs::write(self.share.join(acknowledgement), "").unwrap();
        }
    }
}

/// Whether a file is an output and no attachment.
fn is_main(name: &str) -> bool {
    name.ends_with(".xml")
}

/// The plain files of a directory that are not hidden.
fn names_in(dir: &Path) -> BTreeSet<String> {
    let Ok(entries) = fs::read_dir(dir) else { return BTreeSet::new() };
    entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
        .map(|entry| entry.file_name().into_string().unwrap())
        .filter(|name| !name.starts_with('.'))
        .collect()
}

/// The SHA-256 of a file, hexadecimal.
pub fn sha256_of(file: &Path) -> String {
    hex::encode(<sha2::Sha256 as sha2::Digest>::digest(fs::read(file).unwrap()))
}
