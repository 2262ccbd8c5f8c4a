//! The purge audit: nothing may vanish from a share before its archive has it, and every certificate must tell the truth.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::archive::{Book, Collected, Manner};
use crate::checker::{Charge, Finding};
use crate::layout::{batch_of, is_output};
use crate::reader::Sightings;

/// A purge certificate, as far as it is judged.
#[derive(Deserialize)]
struct Certificate {
    adapter: String,
    files: Vec<Certified>,
}

#[derive(Deserialize)]
struct Certified {
    name: String,
    size: u64,
    sha256: String,
    disposal: String,
}

/// What the audit compares.
#[derive(Debug)]
pub struct Audit<'a> {
    /// The shares.
    pub shares: &'a [Collected],
    /// What the archive took.
    pub book: &'a Book,
    /// What the hostile reader saw.
    pub sightings: &'a Sightings,
    /// Directories with purge certificates; one for each home.
    pub certificates: &'a [PathBuf],
    /// Whether everything collected had time to be purged, so that a missing certificate is a finding.
    pub finished: bool,
}

impl Audit<'_> {
    /// Everything that is wrong; also how many certificates were read.
    pub fn findings(&self) -> (Vec<Finding>, usize) {
        let mut wrong = Vec::new();
        self.vanished(&mut wrong);
        let certified = self.certificates(&mut wrong);
        self.uncertified(&certified, &mut wrong);
        let findings = wrong.into_iter().map(|detail| Finding { charge: Charge::WrongPurge, detail }).collect();
        (findings, certified.len())
    }

    fn manner(&self, adapter: &str) -> Option<Manner> {
        self.shares.iter().find(|share| share.adapter == adapter).map(|share| share.manner)
    }

    /// Files that vanished without the archive, or before it was done with their batch.
    fn vanished(&self, wrong: &mut Vec<String>) {
        let mut batches: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
        for (adapter, name) in self.sightings.keys().filter(|(_, name)| is_output(name)) {
            batches.entry((adapter, batch_of(name))).or_default().push(name);
        }
        for ((adapter, name), sighting) in self.sightings {
            let Some(vanished) = sighting.vanished else { continue };
            let released = |name: &str| self.book.get(&(adapter.clone(), name.to_owned()))?.released;
            let harmed = self.book.get(&(adapter.clone(), name.clone())).is_some_and(|taken| taken.harmed);
            match self.manner(adapter) {
                None => {}
                _ if harmed => wrong.push(format!("{adapter}: {name} was changed by a neighbour, and is gone")),
                Some(Manner::Move | Manner::CopyAndDelete) if released(name).is_some_and(|at| at <= vanished) => {}
                Some(Manner::Move | Manner::CopyAndDelete) => {
                    wrong.push(format!("{adapter}: {name} is gone, and the archive did not take it"));
                }
                Some(Manner::Acknowledge) => {
                    let outputs = batches.get(&(adapter.as_str(), batch_of(name))).map_or(&[][..], Vec::as_slice);
                    let acknowledged = |name: &&str| released(name).is_some_and(|at| at <= vanished);
                    if outputs.is_empty() || !outputs.iter().all(acknowledged) {
                        wrong.push(format!("{adapter}: {name} is gone before its batch was acknowledged"));
                    }
                }
            }
        }
    }

    /// Compares each certificate with what the archive got; gives the names certified.
    fn certificates(&self, wrong: &mut Vec<String>) -> BTreeMap<PathBuf, (String, BTreeSet<String>)> {
        let mut read = BTreeMap::new();
        for path in self.certificates.iter().flat_map(|dir| json_files(dir)) {
            let shown = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let certificate: Certificate = match fs::read(&path).map(|bytes| serde_json::from_slice(&bytes)) {
                Ok(Ok(certificate)) => certificate,
                Ok(Err(error)) => {
                    wrong.push(format!("certificate {shown} is no certificate: {error}"));
                    continue;
                }
                Err(error) => {
                    wrong.push(format!("certificate {shown} cannot be read: {error}"));
                    continue;
                }
            };
            let manner = self.manner(&certificate.adapter);
            for file in &certificate.files {
                let entry = (certificate.adapter.clone(), file.name.clone());
                let Some(taken) = self.book.get(&entry) else {
                    wrong.push(format!("certificate {shown}: the archive never got {}", file.name));
                    continue;
                };
                let size = fs::metadata(&taken.copy).map(|about| about.len()).unwrap_or(0);
                if (taken.sha256.as_str(), size) != (file.sha256.as_str(), file.size) {
                    wrong.push(format!("certificate {shown}: the archive got {} with other bytes", file.name));
                }
                if taken.harmed {
                    wrong.push(format!("certificate {shown}: {} was changed by a neighbour", file.name));
                }
                let removes = matches!(manner, Some(Manner::Move | Manner::CopyAndDelete));
                let said = if removes { "taken-by-archive" } else { "deleted" };
                if file.disposal != said {
                    let is = &file.disposal;
                    wrong.push(format!("certificate {shown}: {} is said to be {is}; it was {said}", file.name));
                }
            }
            let names = certificate.files.into_iter().map(|file| file.name).collect();
            read.insert(path, (certificate.adapter, names));
        }
        read
    }

    /// Files that the product deleted or let go without a certificate.
    fn uncertified(&self, certified: &BTreeMap<PathBuf, (String, BTreeSet<String>)>, wrong: &mut Vec<String>) {
        for ((adapter, name), sighting) in self.sightings {
            let deleted_by_product = self.manner(adapter) == Some(Manner::Acknowledge);
            let due = sighting.vanished.is_some() && (deleted_by_product || self.finished);
            if due && !certified.values().any(|(of, names)| of == adapter && names.contains(name)) {
                wrong.push(format!("{adapter}: {name} is gone, and no certificate tells of it"));
            }
        }
    }
}

fn json_files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut files: Vec<_> =
        entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "json")).collect();
    files.sort();
    files
}
