//! Which of the configured hosts a location belongs to, if any, and what to ask it for.
//!
//! The scheme, host and port of a location only choose an entry of the configuration; what is connected to and
//! asked is put together from that entry. So no two readers of a URL can disagree about whose it is.

use url::Url;

use super::Refusal;

/// Longest part of a location that a reason shows.
const SHOWN_CHARS_MAX: usize = 100;
/// A location whose path is encoded more often is not decoded further, but refused.
const DECODINGS_MAX: usize = 8;

/// Whether a location is a URL that could be fetched; anything else is a path below the file repository.
pub(crate) fn is_url(location: &str) -> bool {
    ["http://", "https://", "mxc://"].iter().any(|scheme| begins_with(location, scheme))
}

fn begins_with(location: &str, scheme: &str) -> bool {
    location.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
}

/// The index of the base that `location` lies below, and the whole URL to ask for.
pub(super) fn find(location: &str, bases: &[&Url], media: Option<&Url>) -> Result<(usize, Url), Refusal> {
    if begins_with(location, "mxc://") {
        let Some(media) = media else {
            return Err(refused("it is a Matrix media URI, but files.media is not configured"));
        };
        let url = medium(&location["mxc://".len()..], media)?;
        let index = below(&url, bases).ok_or_else(|| refused("files.media lies below no [[files.host]]"))?;
        return Ok((index, url));
    }
    if location.contains(|c: char| c.is_control() || c == '\\') {
        return Err(refused("it is a URL with a backslash or a control character"));
    }
    let (scheme, rest) = location.split_once("://").unwrap_or(("", location));
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let scheme = scheme.to_ascii_lowercase();
    let same_host = |base: &&Url| base.scheme() == scheme && authority.eq_ignore_ascii_case(authority_of(base));
    let Some(base) = bases.iter().find(|base| same_host(base)) else {
        return Err(foreign(&scheme, authority, bases));
    };
    if climbs(path) {
        return Err(refused("its path climbs with `..`"));
    }
    let origin = format!("{}://{}", base.scheme(), authority_of(base));
    let mut url = Url::parse(&format!("{origin}{path}")).map_err(|error| refused(format!("it is no URL: {error}")))?;
    url.set_fragment(None);
    match below(&url, bases) {
        Some(index) => Ok((index, url)),
        None => Err(refused(format!(
            "its path does not lie below one that [[files.host]] allows on {}",
            shown(authority_of(base))
        ))),
    }
}

/// Host and port as the base writes them.
fn authority_of(base: &Url) -> &str {
    &base[url::Position::BeforeHost..url::Position::AfterPort]
}

/// The base that says most about the URL: the longest one it begins with.
fn below(url: &Url, bases: &[&Url]) -> Option<usize> {
    let fits = bases.iter().enumerate().filter(|(_, base)| url.as_str().starts_with(base.as_str()));
    fits.max_by_key(|(_, base)| base.as_str().len()).map(|(index, _)| index)
}

/// Why a location that matches no entry is refused, as helpfully as can be.
fn foreign(scheme: &str, authority: &str, bases: &[&Url]) -> Refusal {
    if authority.contains('@') {
        return refused("it holds a user name or a password");
    }
    // How a browser would read it.
    let read = Url::parse(&format!("{scheme}://{authority}/")).ok();
    let Some(read) = read.filter(|url| url.has_host()) else {
        return refused(format!("{:?} is no host and port", shown(authority)));
    };
    let host = read.host_str().unwrap_or_default();
    let same_host = |base: &&&Url| base.host_str() == Some(host);
    let same_port = |base: &&&Url| base.port_or_known_default() == read.port_or_known_default();
    match bases.iter().filter(same_host).collect::<Vec<_>>().as_slice() {
        [] => refused(format!("no [[files.host]] allows the host {:?}", shown(host))),
        known if known.iter().any(|base| base.scheme() == scheme && same_port(base)) => {
            refused(format!("it spells the host {:?} in another way than its [[files.host]]", shown(host)))
        }
        known => {
            let allowed: Vec<String> = known.iter().map(|base| base.origin().ascii_serialization()).collect();
            let asked = read.origin().ascii_serialization();
            refused(format!("it asks for {}, but [[files.host]] allows {}", shown(&asked), allowed.join(", ")))
        }
    }
}

/// Whether a path climbs, however its dots and slashes are encoded: what a server makes of them is not ours to guess.
fn climbs(path: &str) -> bool {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let mut bytes = path.as_bytes().to_vec();
    for _ in 0..DECODINGS_MAX {
        if bytes.split(|byte| matches!(byte, b'/' | b'\\')).any(|step| step == b"..") {
            return true;
        }
        let decoded = decoded(&bytes);
        if decoded == bytes {
            return false;
        }
        bytes = decoded;
    }
    true
}

/// `%XX` as the byte it stands for, once.
fn decoded(bytes: &[u8]) -> Vec<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&byte, after)) = rest.split_first() {
        let encoded = match (byte, after) {
            (b'%', [high, low, ..]) => digit(high).zip(digit(low)),
            _ => None,
        };
        let (byte, after) = match encoded.map(|(high, low)| u8::try_from(high * 16 + low)) {
            Some(Ok(value)) => (value, &after[2..]),
            _ => (byte, after),
        };
        decoded.push(byte);
        rest = after;
    }
    decoded
}

/// The address of a Matrix medium: `SERVER/ID` below the media endpoint.
fn medium(rest: &str, media: &Url) -> Result<Url, Refusal> {
    let form =
        || refused("it is no Matrix media URI: expected mxc://SERVER/ID with an ID of letters, digits, `_` and `-`");
    let (server, id) = rest.split_once('/').ok_or_else(form)?;
    // By the Matrix specification's advice on media ids, and its grammar of server names.
    let right_id = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    let right_server = server.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte))
        && server.bytes().any(|byte| byte.is_ascii_alphanumeric());
    if !right_id || !right_server {
        return Err(form());
    }
    let server = server.replace('[', "%5B").replace(']', "%5D");
    Url::parse(&format!("{media}{server}/{id}")).map_err(|_| form())
}

/// Text of an event within a reason: short and harmless.
fn shown(text: &str) -> String {
    text.chars().take(SHOWN_CHARS_MAX).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn refused(reason: impl Into<String>) -> Refusal {
    Refusal(reason.into())
}
