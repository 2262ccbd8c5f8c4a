//! The way of the original product: the stylesheet, or the schema alone, sees all conversations of a file in one
//! document.

use std::io::Write as _;

use super::fault::Fault;
use super::split::{self, Rendering, transformed};
use super::{DocumentError, Entry, Pass};
use crate::assemble::CanonicalWriter;
use crate::support::durable::WithPath as _;

/// The conversations of the next document.
#[derive(Default)]
pub(super) struct Whole {
    group: Vec<Entry>,
    bytes: u64,
}

impl Whole {
    pub(super) fn add(&mut self, entry: Entry, pass: &mut Pass<'_>) -> Result<(), DocumentError> {
        let bytes = entry.text.bytes(&entry.text.whole());
        if bytes > pass.canonical_max() {
            self.finish(pass)?;
            return split::write(entry, pass);
        }
        if self.bytes.saturating_add(bytes) > pass.canonical_max() {
            self.finish(pass)?;
        }
        self.bytes += bytes;
        self.group.push(entry);
        if pass.means.adapter.one_room_per_file { self.finish(pass) } else { Ok(()) }
    }

    pub(super) fn finish(&mut self, pass: &mut Pass<'_>) -> Result<(), DocumentError> {
        self.bytes = 0;
        write(std::mem::take(&mut self.group), pass)
    }
}

/// Writes conversations into one file, or into several when the result is too large.
fn write(mut group: Vec<Entry>, pass: &mut Pass<'_>) -> Result<(), DocumentError> {
    if group.is_empty() {
        return Ok(());
    }
    match transformed(document(&group, pass)?, &pass.means) {
        Ok(Rendering { bytes, left_out }) if bytes.len() as u64 <= pass.bytes_max() => {
            pass.files.next_room();
            file(&bytes, &group, pass)?;
            // Which conversation they were left out of, a stylesheet that sees all of them does not say.
            let mut left_out = left_out;
            for entry in group {
                let here = left_out.min(entry.counts.messages);
                left_out -= here;
                pass.written(entry, here, |_| false);
            }
            Ok(())
        }
        Ok(_) => match group.len() {
            1 => group.into_iter().try_for_each(|entry| split::write(entry, pass)),
            _ => {
                let second = group.split_off(group.len() / 2);
                write(group, pass)?;
                write(second, pass)
            }
        },
        Err(Fault::Batch(error)) => Err(error),
        Err(fault) if group.len() > 1 => without_the_faulty(group, fault, pass),
        Err(fault) => match group.first() {
            Some(alone) => pass.set_aside(alone, fault),
            None => Ok(()),
        },
    }
}

/// Finds out which conversations fail by themselves, sets them aside, and writes the others.
fn without_the_faulty(group: Vec<Entry>, together: Fault, pass: &mut Pass<'_>) -> Result<(), DocumentError> {
    let all = group.len();
    let mut sound = Vec::with_capacity(all);
    for entry in group {
        let alone = split::document(&entry, &entry.text.whole(), &pass.means)?;
        match transformed(alone, &pass.means) {
            Ok(_) => {
                pass.sound += 1;
                sound.push(entry);
            }
            Err(fault) => pass.set_aside(&entry, fault)?,
        }
    }
    pass.sound -= sound.len();
    if let Fault::Conversation { reason, .. } = together
        && sound.len() == all
    {
        return Err(DocumentError::batch(format!(
            "each conversation can be rendered by itself, but not all together: {reason}; set render = \"conversation\", or raise what it reached in [adapter.limits]"
        )));
    }
    write(sound, pass)
}

/// Writes an output without conversations.
pub(super) fn heartbeat(pass: &mut Pass<'_>) -> Result<(), DocumentError> {
    match transformed(document(&[], pass)?, &pass.means) {
        Ok(Rendering { bytes, .. }) => file(&bytes, &[], pass),
        Err(Fault::Conversation { reason, .. }) => {
            Err(DocumentError::batch(format!("the heartbeat file of an empty interval: {reason}")))
        }
        Err(Fault::Batch(error)) => Err(error),
    }
}

fn document(group: &[Entry], pass: &Pass<'_>) -> Result<Vec<u8>, DocumentError> {
    let bytes = group.iter().map(|entry| entry.text.bytes(&entry.text.whole())).sum();
    let room = Vec::with_capacity(split::memory(bytes));
    let written = CanonicalWriter::begin(room, pass.means.adapter.dialect).and_then(|mut writer| {
        for entry in group {
            writer.conversation(&entry.text, &entry.text.whole())?;
        }
        writer.finish()
    });
    Ok(written.at("read", &pass.means.scratch)?)
}

fn file(bytes: &[u8], group: &[Entry], pass: &mut Pass<'_>) -> Result<(), DocumentError> {
    let mut file = pass.files.create()?;
    file.write_all(bytes).map_err(|error| DocumentError::writing(error, pass.files.dir()))?;
    let messages = group.iter().map(|entry| entry.counts.messages).sum();
    pass.files.complete(file, messages, group.iter().flat_map(|entry| &entry.files))
}
