//! Mails: a header block, then one body, which may be a tree of parts.

use std::io::Write;

use mail_builder::headers::content_type::ContentType;

use super::cursor::Element;
use super::encode::{Base64Lines, quoted_printable};
use super::header::{self, Headers, text};
use super::{PackageError, Pass, archive, copy, html, journal};

/// The bodies that a mail or a multipart may hold.
const BODIES: &str = "one of text, html, multipart, attachment, zip, envelope and mail";
/// Parts within parts; a journal report needs four.
const DEPTH_MAX: u32 = 10;

/// What the parts of one mail share.
struct Shared {
    /// Where people without an address live.
    domain: String,
    /// Begins the boundaries. They cannot occur in any part: `=_` is neither quoted-printable nor base64, and
    /// embedded mails have digests of their own.
    digest: String,
    next_boundary: u32,
}

/// Writes the mail of a `mail` element.
pub(super) fn write<W: Write>(pass: &mut Pass<'_, '_>, mail: &Element, out: &mut W) -> Result<(), PackageError> {
    nested(pass, mail, out, 0)
}

fn nested<W: Write>(pass: &mut Pass<'_, '_>, mail: &Element, out: &mut W, depth: u32) -> Result<(), PackageError> {
    let mut headers = Headers::new(mail)?;
    let body = loop {
        let element = pass.cursor.child(mail)?.ok_or_else(|| mail.lacks(BODIES))?;
        if !headers.take(pass.cursor, &element)? {
            break element;
        }
    };
    let (block, digest, domain) = headers.finish(mail)?;
    put(out, &block)?;
    part(pass, &body, out, &mut Shared { domain, digest, next_boundary: 1 }, depth + 1)?;
    match pass.cursor.child(mail)? {
        None => Ok(()),
        Some(more) => Err(more.unexpected("the end of mail: headers come first, and it holds one body")),
    }
}

/// Writes one body with the headers that describe it.
fn part<W: Write>(
    pass: &mut Pass<'_, '_>,
    element: &Element,
    out: &mut W,
    shared: &mut Shared,
    depth: u32,
) -> Result<(), PackageError> {
    if depth > DEPTH_MAX {
        return Err(element.unexpected(&format!("at most {DEPTH_MAX} parts within each other")));
    }
    match element.name() {
        "text" => {
            element.only(&[])?;
            let text = pass.cursor.text(element)?;
            words(out, "text/plain", &text)
        }
        "html" => {
            let html = html::document(pass.cursor, element)?;
            words(out, "text/html", &html)
        }
        "envelope" => {
            let text = journal::envelope(pass.cursor, element, &shared.domain)?;
            words(out, "text/plain", &text)
        }
        "multipart" => multipart(pass, element, out, shared, depth),
        "attachment" => attachment(pass, element, out),
        "zip" => {
            let name = archive::name(element)?;
            let content_type = ContentType::new("application/zip").attribute("name", name.as_str());
            put(out, &header::of_part(&content_type, Some(&name), "base64"))?;
            let mut lines = Base64Lines::new(out);
            archive::write(pass, element, &mut lines)?;
            lines.finish().map(drop).map_err(PackageError::Output)
        }
        "mail" => {
            put(out, &header::of_part(&ContentType::new("message/rfc822"), None, "7bit"))?;
            nested(pass, element, out, depth)
        }
        _ => Err(element.unexpected(BODIES)),
    }
}

fn words<W: Write>(out: &mut W, media_type: &str, text: &str) -> Result<(), PackageError> {
    let content_type = ContentType::new(media_type).attribute("charset", "utf-8");
    put(out, &header::of_part(&content_type, None, "quoted-printable"))?;
    quoted_printable(text, out).map_err(PackageError::Output)
}

fn multipart<W: Write>(
    pass: &mut Pass<'_, '_>,
    element: &Element,
    out: &mut W,
    shared: &mut Shared,
    depth: u32,
) -> Result<(), PackageError> {
    element.only(&["subtype"])?;
    let subtype = element.required("subtype")?;
    if !["mixed", "alternative", "related", "digest"].contains(&subtype) {
        return Err(element.value("subtype", "mixed, alternative, related or digest"));
    }
    let boundary = shared.boundary();
    let content_type = ContentType::new(format!("multipart/{subtype}")).attribute("boundary", boundary.as_str());
    put(out, &header::of_part(&content_type, None, ""))?;
    let mut parts = 0;
    while let Some(child) = pass.cursor.child(element)? {
        put(out, format!("--{boundary}\r\n").as_bytes())?;
        part(pass, &child, out, shared, depth + 1)?;
        parts += 1;
    }
    if parts == 0 {
        return Err(element.lacks("a part"));
    }
    put(out, format!("--{boundary}--\r\n").as_bytes())
}

fn attachment<W: Write>(pass: &mut Pass<'_, '_>, element: &Element, out: &mut W) -> Result<(), PackageError> {
    element.only(&["source", "name", "type"])?;
    let source = element.required("source")?;
    let name = text::file_name(element.optional("name").unwrap_or(source));
    let media_type = text::media_type(element.optional("type"));
    pass.cursor.nothing(element)?;
    let mut attachment = pass.attachment(element, source)?;
    let content_type = ContentType::new(media_type).attribute("name", name.as_str());
    put(out, &header::of_part(&content_type, Some(&name), "base64"))?;
    let mut lines = Base64Lines::new(out);
    copy(&mut attachment, &mut lines, element, source)?;
    lines.finish().map(drop).map_err(PackageError::Output)
}

impl Shared {
    /// Of equal length, so that none is the beginning of another.
    fn boundary(&mut self) -> String {
        let boundary = format!("=_{}_{:04}", self.digest, self.next_boundary);
        self.next_boundary += 1;
        boundary
    }
}

fn put<W: Write>(out: &mut W, bytes: &[u8]) -> Result<(), PackageError> {
    out.write_all(bytes).map_err(PackageError::Output)
}
