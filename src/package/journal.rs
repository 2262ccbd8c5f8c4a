//! The envelope of a journal report: one field per line, addresses only.

use std::collections::HashSet;
use std::fmt::Write as _;

use super::PackageError;
use super::cursor::{Cursor, Element};
use super::header::{address, message_id, text};

/// The text of an `envelope` element.
pub(super) fn envelope(cursor: &mut Cursor<'_>, envelope: &Element, domain: &str) -> Result<String, PackageError> {
    envelope.only(&["subject"])?;
    let (mut sender, mut id, mut list) = (None, None, None);
    let mut recipients = Vec::new();
    let mut known = HashSet::new();
    while let Some(element) = cursor.child(envelope)? {
        match element.name() {
            "sender" => sender = Some(only_address(cursor, &element, domain)?),
            "expanded" => list = Some(only_address(cursor, &element, domain)?),
            "id" => {
                id = Some(message_id(&element, domain)?);
                cursor.nothing(&element)?;
            }
            "address" => {
                let (_, mail) = address::read(&element, domain)?;
                cursor.nothing(&element)?;
                if known.insert(mail.to_ascii_lowercase()) {
                    recipients.push(mail);
                }
            }
            _ => return Err(element.unexpected("one of sender, expanded, id and address")),
        }
    }
    let sender = sender.ok_or_else(|| envelope.lacks("a sender"))?;
    let id = id.ok_or_else(|| envelope.lacks("an id"))?;
    let subject = text::one_line(envelope.required("subject")?);
    let mut lines = format!("Sender: {sender}\nSubject: {subject}\nMessage-ID: <{id}>\n");
    for recipient in recipients {
        // Writing into memory cannot fail.
        let _ = match &list {
            Some(list) => writeln!(lines, "To: {recipient}, Expanded: {list}"),
            None => writeln!(lines, "To: {recipient}"),
        };
    }
    Ok(lines)
}

fn only_address(cursor: &mut Cursor<'_>, parent: &Element, domain: &str) -> Result<String, PackageError> {
    parent.only(&[])?;
    let element = cursor.child(parent)?.ok_or_else(|| parent.lacks("an address"))?;
    element.expect(&["address"])?;
    let (_, mail) = address::read(&element, domain)?;
    cursor.nothing(&element)?;
    cursor.nothing(parent)?;
    Ok(mail)
}
