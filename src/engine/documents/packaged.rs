//! Mails and archives: each conversation's packaging document, turned into files by the packager.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use super::fault::Fault;
use super::files::{Files, OpenFile};
use super::queue::{Queue, Settled};
use super::split::{self, Rendering};
use super::{DocumentError, Entry, Pass};
use crate::assemble::ConversationPart;
use crate::package::{self, Attachment, Contents};
use crate::transform::{Part, Transformer};
use crate::vault::Vault;

/// Attempts at parts that are small enough.
const ATTEMPTS_MAX: u32 = 12;

/// The conversations on their way.
pub(super) struct Packaged {
    queue: Queue,
}

/// What packaging one conversation made.
#[derive(Default)]
struct Made {
    left_out: u64,
    /// Bytes of the largest file, before compression.
    largest: u64,
    /// Names of the uploaded files within the files.
    embedded: BTreeSet<String>,
}

impl Packaged {
    pub(super) fn new(transformer: Arc<Transformer>) -> Self {
        Self { queue: Queue::new(transformer) }
    }

    pub(super) fn add(&mut self, entry: Entry, pass: &mut Pass<'_>) -> Result<(), DocumentError> {
        if entry.text.bytes(&entry.text.whole()) > pass.canonical_max() {
            self.finish(pass)?;
            return in_parts(entry, pass.canonical_max(), pass);
        }
        self.queue.send(entry, Part::First, &pass.means)?;
        self.settle(false, pass)
    }

    pub(super) fn finish(&mut self, pass: &mut Pass<'_>) -> Result<(), DocumentError> {
        self.settle(true, pass)
    }

    fn settle(&mut self, all: bool, pass: &mut Pass<'_>) -> Result<(), DocumentError> {
        while let Some(Settled { entry, result, .. }) = self.queue.next(all, &pass.means)? {
            let before = pass.files.mark();
            pass.files.next_room();
            let whole = entry.text.whole();
            let made = result.and_then(|rendering| package(&entry, &whole, rendering, pass));
            match made {
                Ok(made) if made.largest > pass.bytes_max() && entry.text.messages() > 1 => {
                    pass.files.back_to(before)?;
                    let limit = entry.text.bytes(&whole).min(pass.canonical_max());
                    in_parts(entry, split::smaller(limit, pass.bytes_max(), made.largest), pass)?;
                }
                Ok(made) => pass.written(entry, made.left_out, |name| made.embedded.contains(name)),
                Err(fault) => {
                    pass.files.back_to(before)?;
                    pass.set_aside(&entry, fault)?;
                }
            }
        }
        Ok(())
    }
}

/// Packages a conversation in parts, in ever smaller ones until each file fits or each part is one message.
fn in_parts(entry: Entry, limit: u64, pass: &mut Pass<'_>) -> Result<(), DocumentError> {
    let before = pass.files.mark();
    let mut canonical = limit;
    for _ in 0..ATTEMPTS_MAX {
        let parts = entry.text.parts(canonical);
        let single = parts.len() == entry.text.messages();
        pass.files.next_room();
        match parts_of(&entry, &parts, pass) {
            Ok(made) if single || made.largest <= pass.bytes_max() => {
                pass.written(entry, made.left_out, |name| made.embedded.contains(name));
                return Ok(());
            }
            Ok(made) => {
                pass.files.back_to(before)?;
                canonical = split::smaller(canonical, pass.bytes_max(), made.largest);
            }
            Err(fault) => {
                pass.files.back_to(before)?;
                return pass.set_aside(&entry, fault);
            }
        }
    }
    let limit = pass.bytes_max();
    let reason = format!(
        "however small its parts, what is made of them stays above max_file_size ({limit} bytes); raise it: a file that was uploaded is in one mail or archive whole"
    );
    pass.set_aside(&entry, Fault::conversation(reason))
}

fn parts_of(entry: &Entry, parts: &[ConversationPart], pass: &mut Pass<'_>) -> Result<Made, Fault> {
    let mut all = Made::default();
    for part in parts {
        let document = split::document(entry, part, &pass.means)?;
        let made = package(entry, part, split::transformed(document, &pass.means)?, pass)?;
        all.left_out += made.left_out;
        all.largest = all.largest.max(made.largest);
        all.embedded.extend(made.embedded);
    }
    Ok(all)
}

/// Writes the files of one packaging document.
fn package(entry: &Entry, part: &ConversationPart, rendering: Rendering, pass: &mut Pass<'_>) -> Result<Made, Fault> {
    let vault = pass.means.vault;
    let attachments = |name: &str| open(vault, entry, name);
    let mut shelf = Shelf {
        files: &mut pass.files,
        entry,
        messages: part.messages.len() as u64,
        made: Made { left_out: rendering.left_out, ..Made::default() },
        trouble: None,
    };
    let written = package::write(&rendering.bytes, &attachments, &mut shelf);
    let Shelf { made, trouble, .. } = shelf;
    if let Some(error) = trouble {
        return Err(error.into());
    }
    written.map_err(|error| Fault::packaging(error, pass.files.dir()))?;
    Ok(made)
}

/// Opens the copy of an uploaded file that the conversation speaks of.
fn open(vault: &Vault, entry: &Entry, name: &str) -> io::Result<Attachment> {
    let copy = entry.files.iter().filter_map(|file| file.copy()).find(|(copy, ..)| *copy == name);
    let Some((_, sha256, size)) = copy else {
        let reason = "no message of the conversation speaks of a file of that name";
        return Err(io::Error::new(io::ErrorKind::NotFound, reason));
    };
    let content = vault.open_content(sha256).map_err(io::Error::other)?;
    Ok(Attachment { size, bytes: Box::new(content) })
}

/// Where the packager puts its files.
struct Shelf<'p, 'a> {
    files: &'p mut Files<'a>,
    entry: &'p Entry,
    /// The messages of the part; they are told of its first file.
    messages: u64,
    made: Made,
    /// What an [`io::Error`] cannot say.
    trouble: Option<DocumentError>,
}

impl Shelf<'_, '_> {
    fn kept<T>(&mut self, result: Result<T, DocumentError>) -> io::Result<T> {
        result.map_err(|error| {
            self.trouble = Some(error);
            io::Error::other("the share refused")
        })
    }
}

impl package::Files for Shelf<'_, '_> {
    type File = OpenFile;

    fn create(&mut self, extension: &str) -> io::Result<OpenFile> {
        let created = self.files.create_as(extension);
        self.kept(created)
    }

    fn complete(&mut self, file: OpenFile, contents: Contents) -> io::Result<()> {
        self.made.largest = self.made.largest.max(file.bytes);
        let messages = std::mem::take(&mut self.messages);
        let within = |name: &str| contents.attachments.contains(name);
        let speaks = self.entry.files.iter().filter(|file| file.copy().is_some_and(|(name, ..)| within(name)));
        let completed = self.files.complete(file, messages, speaks);
        self.kept(completed)?;
        self.made.embedded.extend(contents.attachments);
        Ok(())
    }
}
