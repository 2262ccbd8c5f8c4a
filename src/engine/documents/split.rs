//! A conversation that is too large for one file: rendered in parts, all of them before the first is written.

use std::io::Write as _;
use std::ops::Range;

use super::fault::Fault;
use super::files::DOCUMENT_FRAME_MAX;
use super::{DocumentError, Entry, Means, Pass};
use crate::assemble::{CanonicalWriter, ConversationPart};
use crate::support::durable::WithPath as _;
use crate::support::scratch::Scratch;
use crate::support::step::{Step, reached};
use crate::transform::Transformed;

/// Attempts at parts that are small enough.
const ATTEMPTS_MAX: u32 = 12;
/// How a stylesheet tells, by `xsl:message`, of how many messages it has written nothing.
const LEFT_OUT: &str = "left out:";

/// The results for a conversation's parts.
struct Parts {
    results: Scratch,
    parts: Vec<(ConversationPart, Range<u64>)>,
    left_out: u64,
}

/// What a stylesheet made of a document.
pub(super) struct Rendering {
    pub(super) bytes: Vec<u8>,
    /// Messages that it says it left out.
    pub(super) left_out: u64,
}

/// Renders a conversation in parts whose results fit into files, and writes each into a file of its own.
pub(super) fn write(entry: Entry, pass: &mut Pass<'_>) -> Result<(), DocumentError> {
    let parts = match parts(&entry, pass) {
        Ok(parts) => parts,
        Err(fault) => return pass.set_aside(&entry, fault),
    };
    pass.files.next_room();
    for (part, range) in &parts.parts {
        let mut file = pass.files.create()?;
        let copied = parts.results.copy(range.clone(), &mut file);
        copied.map_err(|error| DocumentError::writing(error, pass.files.dir()))?;
        let speaks = entry.files.iter().filter(|file| part.messages.contains(&file.message));
        pass.files.complete(file, part.messages.len() as u64, speaks)?;
    }
    pass.written(entry, parts.left_out, |_| false);
    Ok(())
}

/// Parts in ever smaller sizes until each result fits, or each part is one message: how much larger or smaller than
/// the canonical XML a result is, only the stylesheet knows.
fn parts(entry: &Entry, pass: &Pass<'_>) -> Result<Parts, Fault> {
    let fits = pass.bytes_max();
    let mut canonical = pass.canonical_max();
    for _ in 0..ATTEMPTS_MAX {
        let split = entry.text.parts(canonical);
        let single = split.len() == entry.text.messages();
        let (rendered, largest) = render(entry, split, pass)?;
        if largest <= fits {
            return Ok(rendered);
        }
        if single {
            let limit = pass.bytes_max();
            tracing::warn!(
                adapter = pass.means.adapter.name, room = %entry.room_uri, bytes = largest, limit,
                "one message alone is larger than max_file_size"
            );
            return Ok(rendered);
        }
        canonical = smaller(canonical, fits, largest);
    }
    Err(Fault::conversation(format!(
        "however small its parts, what the stylesheet makes of them stays above max_file_size ({fits} bytes); raise it, or let the stylesheet write less beside the messages"
    )))
}

/// The next size to try, after `limit` gave a result of `largest` bytes where `fits` are allowed.
pub(super) fn smaller(limit: u64, fits: u64, largest: u64) -> u64 {
    let scaled = u128::from(limit) * u128::from(fits) / u128::from(largest.max(1)) * 9 / 10;
    u64::try_from(scaled).unwrap_or(limit / 2).max(1)
}

fn render(entry: &Entry, split: Vec<ConversationPart>, pass: &Pass<'_>) -> Result<(Parts, u64), Fault> {
    let mut results = Scratch::new(&pass.means.scratch);
    let (mut parts, mut largest, mut left_out) = (Vec::with_capacity(split.len()), 0, 0);
    for part in split {
        let document = document(entry, &part, &pass.means)?;
        let Rendering { bytes, left_out: here } = transformed(document, &pass.means)?;
        left_out += here;
        let from = results.len();
        results.write_all(&bytes).at("write", &pass.means.scratch).map_err(DocumentError::from)?;
        largest = largest.max(bytes.len() as u64);
        parts.push((part, from..results.len()));
    }
    Ok((Parts { results, parts, left_out }, largest))
}

/// A canonical document of one part of a conversation.
pub(super) fn document(entry: &Entry, part: &ConversationPart, means: &Means<'_>) -> Result<Vec<u8>, DocumentError> {
    // As large as it will be: growing would hold it twice for a moment.
    let room = Vec::with_capacity(memory(entry.text.bytes(part)));
    let written = CanonicalWriter::begin(room, means.adapter.dialect).and_then(|mut writer| {
        writer.conversation(&entry.text, part)?;
        writer.finish()
    });
    Ok(written.at("read", &means.scratch)?)
}

/// What a document whose conversations take so many bytes takes in memory.
pub(super) fn memory(bytes: u64) -> usize {
    usize::try_from(bytes.saturating_add(DOCUMENT_FRAME_MAX)).unwrap_or(0)
}

/// What the adapter makes of a document: the stylesheet's result, or itself where only a schema is asked.
pub(super) fn transformed(document: Vec<u8>, means: &Means<'_>) -> Result<Rendering, Fault> {
    let as_it_is = |bytes| Ok(Rendering { bytes, left_out: 0 });
    let Some(transformer) = &means.transformer else { return as_it_is(document) };
    if means.adapter.transform.is_none() {
        means.handle.block_on(transformer.validate(&document))?;
        return as_it_is(document);
    }
    let transformed = means.handle.block_on(transformer.transform(&document))?;
    Ok(heard(transformed, &means.adapter.name))
}

/// The result of a transform, after what it said was heard: `left out: 3` is counted, the rest logged.
pub(super) fn heard(transformed: Transformed, adapter: &str) -> Rendering {
    reached(Step::Transformed);
    let mut left_out = 0;
    for message in &transformed.messages {
        match message.trim().strip_prefix(LEFT_OUT).and_then(|number| number.trim().parse::<u64>().ok()) {
            Some(number) => left_out += number,
            None => tracing::warn!(adapter, message, "the stylesheet says"),
        }
    }
    Rendering { bytes: transformed.bytes, left_out }
}
