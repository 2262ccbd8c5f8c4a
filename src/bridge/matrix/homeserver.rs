//! What the bridge asks of the homeserver: a ping at start, the state of rooms it does not know, and what was deleted before
//! it arrived.
//!
//! Sources: Matrix client-server API ("application service ping", "rooms/{roomId}/state"); Synapse admin API ("fetch_event").

use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::Agent;
use ureq::http::HeaderValue;
use ureq::http::header::AUTHORIZATION;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// How long one question may take.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(15);
/// The largest answer that is read: the state of a room with some ten thousand members.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// Why the homeserver gave no answer that helps.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HomeserverError {
    /// It, or the way to it, is away; asking again may help.
    #[error("the homeserver did not answer: {0}")]
    Away(String),
    /// It answered with an error.
    #[error("the homeserver answered {status}{}", code(.errcode))]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Matrix's word for it.
        errcode: Option<String>,
    },
    /// The answer is not what the specification says.
    #[error("the homeserver's answer is not understood: {0}")]
    Unclear(&'static str),
    /// The question needs a token that is not configured.
    #[error("no admin token is configured (bridge.matrix.admin_token_file)")]
    NoAdminToken,
    /// The token cannot be sent.
    #[error("{0} holds characters that cannot be sent; expected visible ASCII characters")]
    TokenCharacters(&'static str),
}

fn code(errcode: &Option<String>) -> String {
    errcode.as_ref().map(|errcode| format!(" {errcode}")).unwrap_or_default()
}

impl HomeserverError {
    /// Whether asking again may bring another answer.
    pub fn passes(&self) -> bool {
        match self {
            Self::Away(_) => true,
            Self::Refused { status, .. } => *status >= 500 || *status == 429,
            _ => false,
        }
    }
}

/// The homeserver, as the bridge reaches it.
#[derive(Clone)]
pub struct Homeserver {
    agent: Agent,
    base: Arc<str>,
    service: HeaderValue,
    admin: Option<HeaderValue>,
}

impl Homeserver {
    /// A client for the server at `url`, e.g. `http://127.0.0.1:8008`.
    ///
    /// # Errors
    /// When a token holds what no HTTP header can.
    pub fn new(url: &str, service: &SecretString, admin: Option<&SecretString>) -> Result<Self, HomeserverError> {
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .max_idle_connections(0)
            .user_agent(concat!("chancery/", env!("CARGO_PKG_VERSION")))
            .timeout_global(Some(ANSWER_TIME_MAX));
        if url.starts_with("https://") {
            let authorities = rustls_native_certs::load_native_certs().certs;
            let authorities: Vec<Certificate<'static>> =
                authorities.iter().map(|found| Certificate::from_der(found.as_ref()).to_owned()).collect();
            config = config.tls_config(
                TlsConfig::builder()
                    .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
                    .root_certs(RootCerts::Specific(Arc::new(authorities)))
                    .build(),
            );
        }
        Ok(Self {
            agent: config.build().into(),
            base: url.trim_end_matches('/').into(),
            service: bearer(service).ok_or(HomeserverError::TokenCharacters("the registration's as_token"))?,
            admin: admin
                .map(|token| bearer(token).ok_or(HomeserverError::TokenCharacters("the admin token")))
                .transpose()?,
        })
    }

    /// Tells the homeserver that the bridge is there, so that it delivers at once what waits. It calls the bridge meanwhile.
    ///
    /// # Errors
    /// When the homeserver does not answer, does not know the bridge, or cannot reach it.
    pub async fn ping(&self, id: &str) -> Result<(), HomeserverError> {
        let path = format!("/_matrix/client/v1/appservice/{}/ping", segment(id));
        self.ask(Some(serde_json::json!({})), path, self.service.clone()).await.map(|_: Value| ())
    }

    /// The content an event had before it was deleted, as long as the server keeps it.
    ///
    /// # Errors
    /// When it cannot be had.
    pub async fn content_of(&self, event_id: &str) -> Result<Value, HomeserverError> {
        let admin = self.admin.clone().ok_or(HomeserverError::NoAdminToken)?;
        let path = format!("/_synapse/admin/v1/fetch_event/{}", segment(event_id));
        let answer: Value = self.ask(None, path, admin).await?;
        let content = answer.get("event").and_then(|event| event.get("content"));
        match content {
            Some(content) if content.as_object().is_some_and(|members| !members.is_empty()) => Ok(content.clone()),
            _ => Err(HomeserverError::Unclear("it has no content of the event any more")),
        }
    }

    /// The state events of a room, as `member`, who is in it, may see them.
    ///
    /// # Errors
    /// When they cannot be had.
    pub async fn state_of(&self, room: &str, member: &str) -> Result<Vec<Value>, HomeserverError> {
        let (path, token) = match &self.admin {
            Some(admin) => (format!("/_synapse/admin/v1/rooms/{}/state", segment(room)), admin.clone()),
            None => {
                let (room, member) = (segment(room), segment(member));
                (format!("/_matrix/client/v3/rooms/{room}/state?user_id={member}"), self.service.clone())
            }
        };
        match self.ask(None, path, token).await? {
            Value::Array(events) => Ok(events),
            Value::Object(mut answer) => match answer.remove("state") {
                Some(Value::Array(events)) => Ok(events),
                _ => Err(HomeserverError::Unclear("it holds no state")),
            },
            _ => Err(HomeserverError::Unclear("it holds no state")),
        }
    }

    /// Whether there is an admin token.
    pub fn is_administered(&self) -> bool {
        self.admin.is_some()
    }

    /// What the server tells its administrator at this path; what the path holds of others must be escaped for it.
    ///
    /// # Errors
    /// When it does not, or tells something else.
    pub(super) async fn as_admin<T: DeserializeOwned + Send + 'static>(
        &self,
        path: &str,
    ) -> Result<T, HomeserverError> {
        let admin = self.admin.clone().ok_or(HomeserverError::NoAdminToken)?;
        self.ask(None, path.to_owned(), admin).await
    }

    /// Asks on a thread of its own; `body` makes it a POST.
    async fn ask<T: DeserializeOwned + Send + 'static>(
        &self,
        body: Option<Value>,
        path: String,
        token: HeaderValue,
    ) -> Result<T, HomeserverError> {
        let (agent, url) = (self.agent.clone(), format!("{}{path}", self.base));
        let asked = tokio::task::spawn_blocking(move || {
            let response = match body {
                Some(body) => agent
                    .post(&url)
                    .header(AUTHORIZATION, token)
                    .header("content-type", "application/json")
                    .send(body.to_string()),
                None => agent.get(&url).header(AUTHORIZATION, token).call(),
            };
            let mut response = response.map_err(|error| HomeserverError::Away(error.to_string()))?;
            let status = response.status().as_u16();
            let read = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
            let bytes = read.map_err(|error| HomeserverError::Away(error.to_string()))?;
            if status == 200 {
                return serde_json::from_slice(&bytes)
                    .map_err(|_| HomeserverError::Unclear("it is no JSON, or not what the interface promises"));
            }
            let answer: Option<Value> = serde_json::from_slice(&bytes).ok();
            let errcode = answer.as_ref().and_then(|answer| answer.get("errcode")).and_then(Value::as_str);
            // The server's own words, but no more of them than a code has.
            let errcode = errcode.filter(|code| code.len() <= 64).map(str::to_owned);
            Err(HomeserverError::Refused { status, errcode })
        });
        asked.await.unwrap_or_else(|_| Err(HomeserverError::Away("the question was cut off".into())))
    }
}

fn bearer(token: &SecretString) -> Option<HeaderValue> {
    let token = token.expose_secret();
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Text as one segment of a path or one value of a query (RFC 3986, unreserved characters alone).
pub(super) fn segment(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len() * 3), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::segment;

    #[test]
    fn ids_cannot_leave_their_place_in_a_path() {
        assert_eq!(segment("!a:lab.test"), "%21a%3Alab.test");
        assert_eq!(segment("$x/../y?z#ä"), "%24x%2F..%2Fy%3Fz%23%C3%A4");
    }
}
