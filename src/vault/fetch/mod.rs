//! Fetching files over http(s) from the hosts that the configuration names, and from nowhere else.
//!
//! [`location`] decides whom to ask and for what, [`address`] which network addresses that host may have,
//! [`answer`] which answers hold a file. No redirect is followed, no proxy, cookie or variable of the environment is
//! used, and a connection serves one file alone.

mod address;
mod answer;
mod location;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use ureq::Agent;
use ureq::http::HeaderValue;
use ureq::http::header::AUTHORIZATION;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::unversioned::resolver::{DefaultResolver, Resolver};
use ureq::unversioned::transport::DefaultConnector;
use url::Url;

use self::address::Guard;
use crate::config::{FileHost, Files, SecretError, secret};
use crate::support::durable::{PathError, WithPath as _};

pub(super) use answer::Body;
pub(super) use location::is_url;

/// Why nothing can be fetched until somebody mends Chancery's own settings or files. Retrying helps then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccessError {
    /// The token cannot be had.
    #[error("files.host {entry}: no token")]
    Token {
        /// Which entry, from 1.
        entry: usize,
        /// Why not.
        #[source]
        source: SecretError,
    },
    /// The token holds what no HTTP header can.
    #[error("files.host {entry}: the token holds characters that cannot be sent; expected visible ASCII characters")]
    TokenCharacters {
        /// Which entry, from 1.
        entry: usize,
    },
    /// The file of the authorities cannot be read.
    #[error("files.host {entry}: cannot read ca_file")]
    Authorities {
        /// Which entry, from 1.
        entry: usize,
        /// Why not.
        #[source]
        source: PathError,
    },
    /// The file of the authorities, or the machine, has none.
    #[error("files.host {entry}: {} certificate that can be trusted; name one in ca_file", place(.file))]
    NoAuthorities {
        /// Which entry, from 1.
        entry: usize,
        /// The file; `None`: the machine's own.
        file: Option<PathBuf>,
    },
    /// An address that is none.
    #[error("{key}: expected https://HOST/")]
    Address {
        /// The key of the configuration.
        key: String,
    },
}

fn place(file: &Option<PathBuf>) -> String {
    match file {
        Some(file) => format!("{} holds no", file.display()),
        None => "this machine has no".to_owned(),
    }
}

/// A location from which nothing may be fetched; why.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Refusal(String);

/// Why there are no bytes.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    /// By our own rules.
    #[error("file.location is refused: {0}")]
    Refused(#[from] Refusal),
    /// The host, or the way to it.
    #[error("{host} did not give the file: {reason}")]
    NotGiven { host: String, reason: String, passing: Option<Passing> },
}

/// Trouble that may be over at a later attempt, and how long the host asks to be left alone until then.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Passing(pub(super) Option<Duration>);

impl FetchError {
    /// For what may be had later: how long the host asks to be left alone.
    pub(super) fn passing(&self) -> Option<Option<Duration>> {
        match self {
            Self::NotGiven { passing: Some(Passing(retry_after)), .. } => Some(*retry_after),
            _ => None,
        }
    }
}

/// The hosts from which files may be fetched.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    hosts: Vec<Host>,
    media: Option<Url>,
    size_max: u64,
}

#[derive(Debug)]
struct Host {
    base: Url,
    /// Or why nothing can be asked as things are.
    access: Result<Access, AccessError>,
}

#[derive(Debug)]
struct Access {
    /// For this host alone.
    authorization: Option<HeaderValue>,
    agent: Agent,
}

impl Hosts {
    /// Reads tokens and authorities; a host whose cannot be had gives no files.
    pub(super) fn open(files: &Files) -> Result<Self, AccessError> {
        Self::with_names(files, || Arc::new(DefaultResolver::default()))
    }

    fn with_names(files: &Files, names: impl Fn() -> Arc<dyn Resolver>) -> Result<Self, AccessError> {
        let hosts = files.host.iter().enumerate();
        let hosts = hosts.map(|(index, host)| Host::open(index + 1, host, files, names())).collect::<Result<_, _>>()?;
        let media = match &files.media {
            Some(media) => Some(Url::parse(media).map_err(|_| AccessError::Address { key: "files.media".to_owned() })?),
            None => None,
        };
        Ok(Self { hosts, media, size_max: files.fetch_size_max.get() })
    }

    /// The name and port of the host that would be asked for a file; none if nobody would.
    pub(super) fn name_for(&self, location: &str) -> Option<String> {
        let bases: Vec<&Url> = self.hosts.iter().map(|host| &host.base).collect();
        let (index, _) = location::find(location, &bases, self.media.as_ref()).ok()?;
        let base = &self.hosts[index].base;
        Some(base[url::Position::BeforeHost..url::Position::AfterPort].to_owned())
    }

    /// Asks for a file: the host's name, and the bytes, which come as they are read.
    pub(super) fn fetch(&self, location: &str) -> Result<(&str, Body), FetchError> {
        let bases: Vec<&Url> = self.hosts.iter().map(|host| &host.base).collect();
        let (index, url) = location::find(location, &bases, self.media.as_ref())?;
        let host = &self.hosts[index];
        let name = host.base.host_str().unwrap_or_default();
        let not_given = |(reason, passing)| FetchError::NotGiven { host: name.to_owned(), reason, passing };
        let access = host.access.as_ref().map_err(|error| not_given((told(error), Some(Passing(None)))))?;
        let mut request = access.agent.get(url.as_str());
        if let Some(authorization) = &access.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let response = request.call().map_err(|error| not_given((answer::reason(&error), answer::passing(&error))))?;
        Ok((name, answer::body(response, &url, self.size_max).map_err(not_given)?))
    }
}

/// What a person must mend before the host can be asked.
fn told(error: &AccessError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

impl Host {
    fn open(entry: usize, host: &FileHost, files: &Files, names: Arc<dyn Resolver>) -> Result<Self, AccessError> {
        let base = host.url.as_deref().and_then(|url| Url::parse(url).ok()).filter(|url| url.path().ends_with('/'));
        let base = base.ok_or_else(|| AccessError::Address { key: format!("files.host {entry}: url") })?;
        let access = Access::open(entry, host, files, base.scheme() == "https", names);
        Ok(Self { base, access })
    }
}

impl Access {
    fn open(
        entry: usize,
        host: &FileHost,
        files: &Files,
        with_tls: bool,
        names: Arc<dyn Resolver>,
    ) -> Result<Self, AccessError> {
        let token = secret(host.token_file.as_deref(), host.token_env.as_deref())
            .map_err(|source| AccessError::Token { entry, source })?;
        let authorization =
            token.map(|token| bearer(&token).ok_or(AccessError::TokenCharacters { entry })).transpose()?;
        let mut config = Agent::config_builder()
            .https_only(with_tls)
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            // A pooled connection may just be closing when it is taken, which would lose a file that is there.
            .max_idle_connections(0)
            .user_agent(concat!("chancery/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity")
            .timeout_global(Some(files.fetch_timeout.get()))
            .timeout_resolve(Some(files.fetch_connect_timeout.get()))
            .timeout_connect(Some(files.fetch_connect_timeout.get()))
            .timeout_per_read(Some(files.fetch_idle_timeout.get()))
            .timeout_per_write(Some(files.fetch_idle_timeout.get()));
        if with_tls {
            config = config.tls_config(
                TlsConfig::builder()
                    .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
                    .root_certs(RootCerts::Specific(Arc::new(authorities(entry, host)?)))
                    .build(),
            );
        }
        let guard = Guard::new(names, host.allow_private);
        let agent = Agent::with_parts(config.build(), DefaultConnector::default(), guard);
        Ok(Self { authorization, agent })
    }
}

/// `None` for what no header can hold. The value is never shown by anything that prints headers.
fn bearer(token: &SecretString) -> Option<HeaderValue> {
    let token = token.expose_secret();
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn authorities(entry: usize, host: &FileHost) -> Result<Vec<Certificate<'static>>, AccessError> {
    let found: Vec<Certificate<'static>> = match &host.ca_file {
        Some(file) => {
            let pem = fs::read(file).at("read", file).map_err(|source| AccessError::Authorities { entry, source })?;
            let certificate = |item| match item {
                Ok(PemItem::Certificate(certificate)) => Some(certificate),
                _ => None,
            };
            parse_pem(&pem).filter_map(certificate).collect()
        }
        // What the machine has in a form that nobody can read trusts nobody.
        None => rustls_native_certs::load_native_certs()
            .certs
            .iter()
            .map(|certificate| Certificate::from_der(certificate.as_ref()).to_owned())
            .collect(),
    };
    if found.is_empty() {
        return Err(AccessError::NoAuthorities { entry, file: host.ca_file.clone() });
    }
    Ok(found)
}
