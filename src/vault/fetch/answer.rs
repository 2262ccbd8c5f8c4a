//! Which answers hold a file, and reading one to its true end.
//!
//! Nothing of an answer but its status, its length and a redirect's target is believed or repeated.

use std::io::{self, Read};
use std::time::Duration;

use ureq::BodyReader;
use ureq::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, LOCATION, RETRY_AFTER, TRANSFER_ENCODING};
use ureq::http::{HeaderMap, HeaderName, Response, StatusCode};
use url::Url;

use super::Passing;
use super::address::Forbidden;
use crate::config::ByteSize;
use crate::vault::capture::refused;

/// The bytes of a file on their way. An end that comes too early is an error, and so is one that does not come.
pub(in crate::vault) struct Body {
    bytes: BodyReader<'static>,
    /// `None`: the answer comes in chunks, whose end is marked.
    length: Option<u64>,
    read: u64,
    size_max: u64,
}

/// The file in an answer, or why there is none, and whether there may be one later.
pub(super) fn body(
    response: Response<ureq::Body>,
    asked: &Url,
    size_max: u64,
) -> Result<Body, (String, Option<Passing>)> {
    let status = response.status();
    let headers = response.headers();
    let never = |reason: String| Err((reason, None));
    if status.is_redirection() {
        return never(redirect(headers, asked, status));
    }
    if status != StatusCode::OK {
        let passing = may_pass(status).then(|| Passing(retry_after(headers)));
        return Err((format!("it answered {}", named(status)), passing));
    }
    if let Some(coding) = word(headers, &CONTENT_ENCODING).filter(|coding| coding != "identity") {
        return never(format!("it sent the file encoded ({coding:?}), although asked for the bytes as they are"));
    }
    let chunked = match word(headers, &TRANSFER_ENCODING) {
        None => false,
        Some(coding) if coding == "chunked" => true,
        Some(coding) => {
            return never(format!("it sent the file in the transfer coding {coding:?}; expected chunked or none"));
        }
    };
    let length = word(headers, &CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok()).filter(|_| !chunked);
    match length {
        None if !chunked => {
            return never(
                "it does not say how long the file is, so that nobody could tell whether it came whole".to_owned(),
            );
        }
        Some(length) if length > size_max => return never(too_large(&format!("of {length} bytes"), size_max)),
        _ => {}
    }
    Ok(Body { bytes: response.into_body().into_reader(), length, read: 0, size_max })
}

/// Whether a file may be there later that is not now: not uploaded yet, too many requests, a server that is being mended, or a
/// token that is.
fn may_pass(status: StatusCode) -> bool {
    status.is_server_error()
        || matches!(
            status,
            StatusCode::UNAUTHORIZED
                | StatusCode::FORBIDDEN
                | StatusCode::NOT_FOUND
                | StatusCode::REQUEST_TIMEOUT
                | StatusCode::CONFLICT
                | StatusCode::LOCKED
                | StatusCode::TOO_EARLY
                | StatusCode::TOO_MANY_REQUESTS
        )
}

/// How long the host asks to be left alone, where it says so in seconds (RFC 9110, section 10.2.3). A date would need its clock
/// to be ours; without an answer that can be read, our own back-off counts.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    word(headers, &RETRY_AFTER)?.parse().ok().map(Duration::from_secs)
}

/// Whether a request that failed, or the reading of its answer, may succeed later. What our own rules refuse will not.
pub(super) fn passing(error: &ureq::Error) -> Option<Passing> {
    match error {
        ureq::Error::Other(inner) if inner.downcast_ref::<Forbidden>().is_some() => None,
        _ => Some(Passing(None)),
    }
}

/// Where a redirect would have led; the target's path and query may hold secrets.
fn redirect(headers: &HeaderMap, asked: &Url, status: StatusCode) -> String {
    let target =
        headers.get(LOCATION).and_then(|target| target.to_str().ok()).and_then(|target| asked.join(target).ok());
    let place = match target {
        Some(target) if target.origin() == asked.origin() => "another path of the same host".to_owned(),
        Some(target) if target.has_host() => target.origin().ascii_serialization(),
        Some(target) => format!("a {:?} address", target.scheme()),
        None => "no address that can be read".to_owned(),
    };
    format!("it answered {} and redirects to {place}; redirects are not followed", named(status))
}

fn named(status: StatusCode) -> String {
    match status.canonical_reason() {
        Some(reason) => format!("{} {reason}", status.as_u16()),
        None => status.as_u16().to_string(),
    }
}

fn word(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let value = headers.get(name)?;
    Some(String::from_utf8_lossy(value.as_bytes()).trim().to_ascii_lowercase())
}

fn too_large(size: &str, size_max: u64) -> String {
    format!("the file {size} is larger than files.fetch_size_max = {}", ByteSize::new(size_max))
}

/// Why a request or the reading of its answer failed, in words.
pub(super) fn reason(error: &ureq::Error) -> String {
    match error {
        ureq::Error::HostNotFound => "its name leads to no address".to_owned(),
        ureq::Error::Timeout(ureq::Timeout::Resolve | ureq::Timeout::Connect) => {
            "it could not be reached within files.fetch_connect_timeout".to_owned()
        }
        ureq::Error::Timeout(ureq::Timeout::PerRead | ureq::Timeout::PerWrite) => {
            "it was silent for longer than files.fetch_idle_timeout".to_owned()
        }
        ureq::Error::Timeout(_) => "it took longer than files.fetch_timeout".to_owned(),
        ureq::Error::Io(error) => match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(error) => format!("TLS failed: {error}"),
            None => error.to_string(),
        },
        ureq::Error::Rustls(error) => format!("TLS failed: {error}"),
        ureq::Error::Other(inner) => match inner.downcast_ref::<Forbidden>() {
            Some(forbidden) => forbidden.to_string(),
            None => inner.to_string(),
        },
        other => other.to_string(),
    }
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.bytes.read(buffer).map_err(|error| match error.get_ref().and_then(|e| e.downcast_ref()) {
            Some(inner) => self.broken_off(&reason(inner)),
            None => self.broken_off(&error.to_string()),
        })?;
        self.read += read as u64;
        if self.read > self.size_max {
            return Err(refused(too_large("in chunks", self.size_max)));
        }
        match self.length {
            Some(length) if read == 0 && !buffer.is_empty() && self.read != length => {
                Err(self.broken_off("the end came too early"))
            }
            _ => Ok(read),
        }
    }
}

impl Body {
    fn broken_off(&self, reason: &str) -> io::Error {
        let of = self.length.map(|length| format!(" of {length}")).unwrap_or_default();
        io::Error::other(format!("after {}{of} bytes: {reason}", self.read))
    }
}
