//! Headers of a mail, from the elements that describe them. What a header cannot hold is replaced, never passed on:
//! a name or a subject can neither end a header nor begin another.

pub(super) mod address;
pub(super) mod text;

use std::collections::HashSet;

use mail_builder::headers::Header;
use mail_builder::headers::address::Address;
use mail_builder::headers::content_type::ContentType;
use mail_builder::headers::date::Date;
use mail_builder::headers::message_id::MessageId;
use mail_builder::headers::text::Text;
use sha2::{Digest as _, Sha256};

use super::PackageError;
use super::cursor::{Cursor, Element};
use crate::model::Ticks;

/// Headers that a mail may have once (RFC 5322, section 3.6).
const ONCE: [&str; 11] =
    ["date", "from", "sender", "reply-to", "to", "cc", "bcc", "message-id", "in-reply-to", "references", "subject"];

/// The headers of one mail, written as they come.
pub(super) struct Headers {
    bytes: Vec<u8>,
    seen: HashSet<String>,
    domain: String,
}

impl Headers {
    /// `domain` stands where a person has no usable address, and in message ids.
    pub(super) fn new(mail: &Element) -> Result<Self, PackageError> {
        mail.only(&["domain"])?;
        let domain = mail.required("domain")?;
        if !address::is_domain(domain) {
            return Err(mail.value("domain", "a domain such as chat.invalid"));
        }
        Ok(Self { bytes: Vec::new(), seen: HashSet::new(), domain: domain.to_owned() })
    }

    /// Writes the header that an element describes; `false` when it describes none.
    pub(super) fn take(&mut self, cursor: &mut Cursor<'_>, element: &Element) -> Result<bool, PackageError> {
        match element.name() {
            "header" => {
                element.only(&["name"])?;
                let value = cursor.text(element)?;
                self.put(self.name(element)?, &Text::new(text::one_line(&value)), element)?;
            }
            "addresses" => self.addresses(cursor, element)?,
            "date" => {
                element.only(&["name", "at"])?;
                let at =
                    Ticks::parse(element.required("at")?).map_err(|_| element.value("at", "a time in RFC 3339"))?;
                cursor.nothing(element)?;
                self.put(self.name(element)?, &Date::new(at.since_1970_ms().div_euclid(1000)), element)?;
            }
            "ids" => self.ids(cursor, element)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The header block, a digest of it in hexadecimal, and the mail's domain.
    pub(super) fn finish(mut self, mail: &Element) -> Result<(Vec<u8>, String, String), PackageError> {
        for needed in ["From", "Date"] {
            if !self.seen.contains(&needed.to_ascii_lowercase()) {
                return Err(mail.lacks(&format!("the header {needed}")));
            }
        }
        self.bytes.extend_from_slice(b"MIME-Version: 1.0\r\n");
        let digest = hex::encode(&Sha256::digest(&self.bytes)[..12]);
        Ok((self.bytes, digest, self.domain))
    }

    fn addresses(&mut self, cursor: &mut Cursor<'_>, element: &Element) -> Result<(), PackageError> {
        element.only(&["name"])?;
        let mut list = Vec::new();
        let mut known = HashSet::new();
        while let Some(person) = cursor.child(element)? {
            person.expect(&["address"])?;
            let (name, mail) = address::read(&person, &self.domain)?;
            cursor.nothing(&person)?;
            if known.insert(mail.to_ascii_lowercase()) {
                list.push(Address::new_address(name, mail));
            }
        }
        let name = self.name(element)?;
        let value = match (list.len(), name) {
            (1, _) => list.remove(0),
            (0, "From" | "Sender") => return Err(element.lacks("an address")),
            (2.., "From" | "Sender") => return Err(element.lacks("no more than one address")),
            // The customary way to write that there is nobody.
            (0, _) => Address::new_group(Some("undisclosed-recipients"), Vec::new()),
            _ => Address::new_list(list),
        };
        self.put(name, &value, element)
    }

    fn ids(&mut self, cursor: &mut Cursor<'_>, element: &Element) -> Result<(), PackageError> {
        element.only(&["name"])?;
        let mut ids = Vec::new();
        while let Some(id) = cursor.child(element)? {
            id.expect(&["id"])?;
            ids.push(message_id(&id, &self.domain)?);
            cursor.nothing(&id)?;
        }
        if ids.is_empty() {
            return Err(element.lacks("an id"));
        }
        self.put(self.name(element)?, &MessageId::from(ids), element)
    }

    /// The name of a header, which must be one that a stylesheet may write.
    fn name<'e>(&self, element: &'e Element) -> Result<&'e str, PackageError> {
        let name = element.required("name")?;
        let token =
            !name.is_empty() && name.len() <= 70 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let ours = name.eq_ignore_ascii_case("mime-version") || text::starts_with_ignoring_case(name, "content-");
        if !token || ours {
            return Err(element.value("name", "letters, digits and -, and neither MIME-Version nor Content-…"));
        }
        Ok(name)
    }

    fn put(&mut self, name: &str, value: &impl Header, element: &Element) -> Result<(), PackageError> {
        let key = name.to_ascii_lowercase();
        if ONCE.contains(&key.as_str()) && self.seen.contains(&key) {
            return Err(element.value("name", "a header that the mail does not have yet"));
        }
        self.seen.insert(key);
        write(name, value, &mut self.bytes);
        Ok(())
    }
}

/// The message id of an `id` element: a digest of its key, so that the same conversation has the same id for ever.
pub(super) fn message_id(id: &Element, domain: &str) -> Result<String, PackageError> {
    id.only(&["key"])?;
    let digest = Sha256::digest(id.required("key")?.as_bytes());
    Ok(format!("{}@{domain}", hex::encode(&digest[..16])))
}

/// Writes one header, folded.
fn write(name: &str, value: &impl Header, out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    value.write_header(out, name.len() + 2);
}

/// The headers that say what a part is.
pub(super) fn of_part(content_type: &ContentType<'_>, disposition: Option<&str>, encoding: &str) -> Vec<u8> {
    let mut out = Vec::new();
    write("Content-Type", content_type, &mut out);
    if let Some(name) = disposition {
        write("Content-Disposition", &ContentType::new("attachment").attribute("filename", name), &mut out);
    }
    if !encoding.is_empty() {
        write("Content-Transfer-Encoding", &Text::new(encoding), &mut out);
    }
    out.extend_from_slice(b"\r\n");
    out
}
