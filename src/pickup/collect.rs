//! Whether the archive has taken a batch: decided from one listing of the share, by a pure rule.

use std::collections::HashSet;
use std::fs;

use super::share::TEMPORARY_DIR;
use super::{PickupError, Share};
use crate::config::CollectedWhen;
use crate::model::Ticks;
use crate::staging::{OutputKind, OutputRow};
use crate::support::durable::WithPath;

/// The ending by which an archive acknowledges a file.
const ACKNOWLEDGEMENT: &str = ".ack";

/// Proof that nothing of a batch is left on the share.
pub(super) const REMOVED: &str = "removed";

/// The names on a share at one moment.
#[derive(Debug, Clone, Default)]
pub struct Sighting(HashSet<String>);

/// What a sighting says of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// The archive has taken all of it; the word says how that was proven.
    Collected(&'static str),
    /// Some files are still to be taken; these are gone already.
    Waiting {
        /// Names taken so far.
        taken: Vec<String>,
    },
}

/// Lists the share.
///
/// # Errors
/// [`PickupError::NotTheShare`] when the directory is not, or no longer, the share: then nothing may be
/// concluded from what is missing in it.
pub fn look(share: &Share) -> Result<Sighting, PickupError> {
    share.check()?;
    let mut names = HashSet::new();
    for entry in fs::read_dir(share.dir()).at("list", share.dir())? {
        // A name that is no UTF-8 is none of ours.
        if let Ok(name) = entry.at("list", share.dir())?.file_name().into_string() {
            names.insert(name);
        }
    }
    // Once more: a share that went away during the listing, or came back, fails here or failed above.
    share.check()?;
    // And one that did both in between has left a listing of what lies below it.
    if !names.contains(TEMPORARY_DIR) {
        return Err(share.wrong(format!("{TEMPORARY_DIR} was missing when it was listed")));
    }
    Ok(Sighting(names))
}

impl FromIterator<String> for Sighting {
    fn from_iter<I: IntoIterator<Item = String>>(names: I) -> Self {
        Self(names.into_iter().collect())
    }
}

impl Sighting {
    /// Judges a published batch by its files.
    pub fn judge(&self, when: CollectedWhen, outputs: &[OutputRow], published_at: Ticks, now: Ticks) -> Seen {
        match when {
            // All files, attachments too: an archive may take an output first and then what it refers to.
            CollectedWhen::Removed => self.all(outputs.iter(), REMOVED, |name| !self.0.contains(name)),
            CollectedWhen::Acknowledged => {
                let main = outputs.iter().filter(|output| output.kind == OutputKind::Output);
                self.all(main, "acknowledged", |name| self.0.contains(&acknowledgement(name)))
            }
            CollectedWhen::Told => Seen::Waiting { taken: Vec::new() },
            CollectedWhen::After(span) if now >= published_at.plus(span.get()) => Seen::Collected("after"),
            CollectedWhen::After(_) => Seen::Waiting { taken: Vec::new() },
        }
    }

    fn all<'a>(
        &self,
        outputs: impl Iterator<Item = &'a OutputRow>,
        how: &'static str,
        is_taken: impl Fn(&str) -> bool,
    ) -> Seen {
        let (taken, waiting): (Vec<_>, Vec<_>) = outputs.map(|output| &output.name).partition(|name| is_taken(name));
        if waiting.is_empty() {
            Seen::Collected(how)
        } else {
            Seen::Waiting { taken: taken.into_iter().cloned().collect() }
        }
    }
}

/// The name of the file by which an archive acknowledges `name`.
pub(super) fn acknowledgement(name: &str) -> String {
    format!("{name}{ACKNOWLEDGEMENT}")
}
