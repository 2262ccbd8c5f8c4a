//! Rules for `[files]`: addresses that say exactly from where files may be fetched, tokens, times.

use url::Url;

use super::super::sections::{FileHost, Files};
use super::super::shape::without_password;
use super::super::{ByteSize, Span};
use super::Rules;

const URL_FORM: &str = "https://HOST/, perhaps with a port and a path that ends with a slash";

pub(super) fn check(rules: &mut Rules<'_>) {
    let files = &rules.config().files;
    let mut bases: Vec<Option<Url>> = Vec::with_capacity(files.host.len());
    for (index, host) in files.host.iter().enumerate() {
        let base = entry(rules, index, host);
        if let (Some(base), Some(other)) = (&base, bases.iter().position(|other| other.is_some() && *other == base)) {
            let found = format!("is {:?}, which files.host {} has too", base.as_str(), other + 1);
            rules.report(&url_path(&index.to_string()), found, "each address once", "remove one of the two");
        }
        bases.push(base);
    }
    media(rules, files, &bases);
    limits(rules, files);
}

fn url_path(index: &str) -> [&str; 4] {
    ["files", "host", index, "url"]
}

/// The entry's address, if it is one.
fn entry(rules: &mut Rules<'_>, index: usize, host: &FileHost) -> Option<Url> {
    let index = index.to_string();
    rules.secret(&["files", "host", &index], "token", host.token_file.as_deref(), host.token_env.as_deref());
    let path = url_path(&index);
    let Some(text) = &host.url else {
        rules.report(&path, "is missing", URL_FORM, "add url = \"https://files.firm.example/\"");
        return None;
    };
    let base = match address(text) {
        Ok(base) => base,
        Err((found, cure)) => {
            rules.report(&path, found, URL_FORM, cure);
            return None;
        }
    };
    if base.scheme() == "http" && !host.allow_http {
        rules.report(
            &path,
            format!("is {:?}, without TLS", base.as_str()),
            "https://",
            "begin it with https://, or set allow_http = true if token and files may cross the network in the clear",
        );
    }
    if let Some(file) = &host.ca_file {
        let path = ["files", "host", &index, "ca_file"];
        if base.scheme() == "http" {
            let found = "is set, but the url begins with http://";
            rules.report(
                &path,
                found,
                "an authority only for https://",
                "write the url with https://, or remove this key",
            );
        }
        rules.readable_file(&path, file, "a PEM file");
    }
    Some(base)
}

/// An address as it must be written: what was found instead, and the cure.
fn address(text: &str) -> Result<Url, (String, &'static str)> {
    let shown = format!("is {:?}", without_password(text));
    let url = match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => url,
        Ok(_) => return Err((shown, "begin it with https://")),
        Err(error) => {
            return Err((format!("{shown}, which is no URL: {error}"), "begin it with https:// and the host's name"));
        }
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err((
            "holds a user name or a password".to_owned(),
            "write it without; a bearer token goes into a file that token_file names, or use token_env",
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(("holds a `?` or a `#`".to_owned(), "end it with the slash of its path"));
    }
    if !url.path().ends_with('/') {
        return Err((format!("{shown}, which does not end with a slash"), "put a slash at its end"));
    }
    // One spelling: what counts at run time is what stands in the file.
    if url.as_str() != text && url.as_str() != format!("{text}/") {
        return Err((format!("{shown}, which means {:?}", url.as_str()), "write it the way it is meant"));
    }
    Ok(url)
}

fn media(rules: &mut Rules<'_>, files: &Files, bases: &[Option<Url>]) {
    let Some(text) = &files.media else { return };
    let path = ["files", "media"];
    match address(text) {
        Err((found, cure)) => rules.report(&path, found, URL_FORM, cure),
        // A broken entry may be the one that is meant; it is told already.
        Ok(_) if bases.iter().any(Option::is_none) => {}
        Ok(media) if bases.iter().flatten().any(|base| media.as_str().starts_with(base.as_str())) => {}
        Ok(media) => rules.report(
            &path,
            format!("is {:?}, below no [[files.host]]", media.as_str()),
            "an address below the url of a [[files.host]], whose token and permissions count",
            format!("add [[files.host]] with url = \"{}/\"", media.origin().ascii_serialization()),
        ),
    }
}

fn limits(rules: &mut Rules<'_>, files: &Files) {
    let (second, hour, day) = (Span::from_secs(1), Span::from_secs(3600), Span::from_secs(86_400));
    rules.span_between(&["files", "fetch_connect_timeout"], files.fetch_connect_timeout, second, hour);
    rules.span_between(&["files", "fetch_idle_timeout"], files.fetch_idle_timeout, second, hour);
    rules.span_between(&["files", "fetch_timeout"], files.fetch_timeout, second, day);
    if files.fetch_size_max < ByteSize::new(1) {
        let path = ["files", "fetch_size_max"];
        rules.report(&path, "is \"0B\"", "\"1B\" or more", "leave [[files.host]] out to fetch nothing");
    }
}
