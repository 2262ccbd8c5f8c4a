//! Asking an authority for a time stamp, over http(s) (RFC 3161 section 3.4).
//!
//! The address is the configuration's; no redirect is followed, and no proxy or cookie used.

use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use ureq::Agent;
use ureq::http::header::{AUTHORIZATION, CONTENT_TYPE};
use ureq::http::{HeaderValue, StatusCode};
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::Request;
use crate::model::Ticks;

/// A reply has some kilobytes: a stamp and the authority's certificates.
const REPLY_MAX: u64 = 1 << 20;
/// How long finding and reaching the authority may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// How long the whole of it may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Why there is no time stamp.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorityError {
    /// The token that authorises us holds what no HTTP header can.
    #[error("the bearer token holds characters that cannot be sent; expected visible ASCII characters")]
    TokenCharacters,
    /// This machine trusts nobody.
    #[error("this machine has no certificate authorities that can be trusted")]
    NoAuthorities,
    /// The authority, or the way to it.
    #[error("{url} gave no time stamp: {reason}")]
    NotGiven {
        /// Whom was asked.
        url: String,
        /// Why not.
        reason: String,
    },
}

impl AuthorityError {
    /// What to do about it.
    pub fn cure(&self) -> &'static str {
        match self {
            Self::TokenCharacters => "correct the file or variable that evidence.tsa_token_file or tsa_token_env names",
            Self::NoAuthorities => "install them (package ca-certificates)",
            Self::NotGiven { .. } => {
                "nothing waits for it and it is asked again; if it stays away, correct evidence.tsa, or leave that out"
            }
        }
    }
}

/// A time stamp authority.
#[derive(Debug)]
pub struct Authority {
    url: String,
    authorization: Option<HeaderValue>,
    agent: Agent,
}

impl Authority {
    /// At this address; `token` authorises us, if it is needed.
    ///
    /// # Errors
    /// [`AuthorityError::TokenCharacters`], [`AuthorityError::NoAuthorities`].
    pub fn open(url: &str, token: Option<&SecretString>) -> Result<Self, AuthorityError> {
        let authorization = token.map(|token| bearer(token).ok_or(AuthorityError::TokenCharacters)).transpose()?;
        let with_tls = url.starts_with("https:");
        let mut config = Agent::config_builder()
            .https_only(with_tls)
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .max_idle_connections(0)
            .user_agent(concat!("chancery/", env!("CARGO_PKG_VERSION")))
            .timeout_resolve(Some(CONNECT_WITHIN))
            .timeout_connect(Some(CONNECT_WITHIN))
            .timeout_global(Some(ANSWER_WITHIN));
        if with_tls {
            config = config.tls_config(
                TlsConfig::builder()
                    .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
                    .root_certs(RootCerts::Specific(Arc::new(machines_own()?)))
                    .build(),
            );
        }
        Ok(Self { url: url.to_owned(), authorization, agent: config.build().new_agent() })
    }

    /// Asks for a stamp; gives the reply as it is to be kept, and the time that it names.
    ///
    /// # Errors
    /// [`AuthorityError::NotGiven`].
    pub fn ask(&self, request: &Request) -> Result<(Vec<u8>, Ticks), AuthorityError> {
        let not_given = |reason: String| AuthorityError::NotGiven { url: self.url.clone(), reason };
        let mut post = self.agent.post(&self.url).header(CONTENT_TYPE, "application/timestamp-query");
        if let Some(authorization) = &self.authorization {
            post = post.header(AUTHORIZATION, authorization);
        }
        let answer = post.send(request.bytes()).map_err(|error| not_given(error.to_string()))?;
        if answer.status() != StatusCode::OK {
            return Err(not_given(format!("it answered {}", answer.status())));
        }
        let mut reply = Vec::new();
        let mut body = answer.into_body().into_reader().take(REPLY_MAX + 1);
        body.read_to_end(&mut reply).map_err(|error| not_given(error.to_string()))?;
        if reply.len() as u64 > REPLY_MAX {
            return Err(not_given(format!("its answer is larger than {REPLY_MAX} bytes")));
        }
        let stamp = request.accepts(&reply).map_err(not_given)?;
        Ok((reply, stamp.at))
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

fn machines_own() -> Result<Vec<Certificate<'static>>, AuthorityError> {
    let found: Vec<_> = rustls_native_certs::load_native_certs()
        .certs
        .iter()
        .map(|certificate| Certificate::from_der(certificate.as_ref()).to_owned())
        .collect();
    if found.is_empty() { Err(AuthorityError::NoAuthorities) } else { Ok(found) }
}
