//! Zip archives, written in one pass so that they can be the part of a mail.

use std::collections::HashSet;
use std::io::Write;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::cursor::Element;
use super::header::text;
use super::{PackageError, Pass, copy};
use crate::model::Ticks;

/// Bytes from which an entry needs the large form of the format.
const LARGE: u64 = u32::MAX as u64;

/// Writes the archive of a `zip` element.
pub(super) fn write<W: Write>(pass: &mut Pass<'_, '_>, zip: &Element, out: &mut W) -> Result<(), PackageError> {
    zip.only(&["at", "name"])?;
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .last_modified_time(time(zip)?)
        .unix_permissions(0o644);
    let mut archive = ZipWriter::new_stream(&mut *out);
    let mut names = HashSet::new();
    while let Some(entry) = pass.cursor.child(zip)? {
        entry.expect(&["entry"])?;
        entry.only(&["name", "source"])?;
        let name = entry_name(&entry)?;
        if !names.insert(name.to_lowercase()) {
            return Err(entry.value("name", "a name that no other entry has, whatever the case of its letters"));
        }
        match entry.optional("source") {
            Some(source) => {
                let mut attachment = pass.attachment(&entry, source)?;
                let options = options.large_file(attachment.size >= LARGE);
                archive.start_file(name, options).map_err(failed)?;
                copy(&mut attachment, &mut archive, &entry, source)?;
                pass.cursor.nothing(&entry)?;
            }
            None => {
                let content = pass.cursor.text(&entry)?;
                archive.start_file(name, options.large_file(content.len() as u64 >= LARGE)).map_err(failed)?;
                archive.write_all(content.as_bytes()).map_err(PackageError::Output)?;
            }
        }
    }
    archive.finish().map_err(failed)?;
    Ok(())
}

/// A plain name: archives are unpacked, and nobody should have to trust the names in them.
fn entry_name(entry: &Element) -> Result<&str, PackageError> {
    let name = entry.required("name")?;
    let plain = !matches!(name, "" | "." | "..")
        && name.len() <= 255
        && !name.contains(|c: char| c.is_control() || matches!(c, '/' | '\\' | ':'));
    if plain { Ok(name) } else { Err(entry.value("name", "a file name without /, \\, : and control characters")) }
}

/// The time of the entries: that of the document in UTC, to two seconds, or the first that the format knows.
fn time(zip: &Element) -> Result<DateTime, PackageError> {
    let Some(at) = zip.optional("at") else { return Ok(DateTime::DEFAULT) };
    let at = Ticks::parse(at).map_err(|_| zip.value("at", "a time in RFC 3339"))?.iso();
    let part = |from: usize, to: usize| at.get(from..to).and_then(|digits| digits.parse::<u16>().ok()).unwrap_or(0);
    let small = |from: usize, to: usize| u8::try_from(part(from, to)).unwrap_or(0);
    Ok(DateTime::from_date_and_time(part(0, 4), small(5, 7), small(8, 10), small(11, 13), small(14, 16), small(17, 19))
        .unwrap_or(DateTime::DEFAULT))
}

fn failed(error: zip::result::ZipError) -> PackageError {
    PackageError::Output(error.into())
}

/// The name of an archive inside a mail.
pub(super) fn name(zip: &Element) -> Result<String, PackageError> {
    Ok(text::file_name(zip.required("name")?))
}
