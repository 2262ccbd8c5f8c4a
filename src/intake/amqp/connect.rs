//! From the configuration to an open connection: address, credentials, certificates. Passwords are read
//! anew for each connection, so that they may be changed, and never shown.

use std::error::Error as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_rs::{Tokio, TokioRuntime};
use lapin::tcp::{AMQPUriTcpExt as _, OwnedIdentity, OwnedTLSConfig};
use lapin::types::ShortString;
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{AsyncTcpStream, Channel, Connection, ConnectionProperties, ErrorKind};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::timeout;

use super::wire::{Inflow, Wire, kit};
use crate::config::{Amqp, secret};
use crate::intake::{IntakeError, Result};

/// Seconds between heartbeats. The broker and Chancery notice a dead peer after two of them.
const HEARTBEAT_SECS: u16 = 15;
/// The longest a connection may take to be opened or closed, or a question to be answered.
pub(super) const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);

/// A broker, and who Chancery is there.
#[derive(Debug, Clone)]
pub(super) struct Broker {
    uri: AMQPUri,
    settings: Amqp,
    address: String,
}

impl Broker {
    /// Checks the address and the combination of settings; reads no file and opens no connection.
    pub(super) fn new(settings: &Amqp) -> Result<Self> {
        if authority(&settings.url).contains('@') {
            let detail = "it must hold neither user name nor password: use username, and password_file or password_env";
            return Err(bad("amqp.url", detail));
        }
        let mut uri: AMQPUri = settings.url.parse().map_err(|error: String| {
            bad("amqp.url", format!("expected amqp://HOST:PORT/VHOST or amqps://HOST:PORT/VHOST: {error}"))
        })?;
        uri.query.heartbeat = Some(HEARTBEAT_SECS);
        let with_tls = uri.scheme == AMQPScheme::AMQPS;
        if settings.ca_file.is_some() && !with_tls {
            return Err(bad("amqp.ca_file", "it needs an amqps:// address"));
        }
        if settings.cert_file.is_some() != settings.key_file.is_some() {
            return Err(bad("amqp.cert_file", "cert_file and key_file go together"));
        }
        if settings.cert_file.is_some() && !with_tls {
            return Err(bad("amqp.cert_file", "it needs an amqps:// address"));
        }
        for (key, name) in [
            ("amqp.exchange", &settings.exchange),
            ("amqp.queue", &settings.queue),
            ("amqp.dead_letter_exchange", &settings.dead_letter_exchange),
        ] {
            short(key, name)?;
        }
        let address = format!("{}:{}", uri.authority.host, uri.authority.port);
        Ok(Self { uri, settings: settings.clone(), address })
    }

    pub(super) fn settings(&self) -> &Amqp {
        &self.settings
    }

    /// Opens a connection that receives no messages.
    pub(super) async fn connect(&self) -> Result<Connection> {
        self.open(None).await
    }

    /// Opens a connection whose messages are counted by `inflow`.
    pub(super) async fn connect_counted(&self, inflow: Arc<Inflow>) -> Result<Connection> {
        self.open(Some(inflow)).await
    }

    /// Opens a connection named `chancery`. Its own recovery stays off: a session ends with its connection.
    async fn open(&self, inflow: Option<Arc<Inflow>>) -> Result<Connection> {
        let mut uri = self.uri.clone();
        uri.authority.userinfo.username.clone_from(&self.settings.username);
        uri.authority.userinfo.password = self.password()?.expose_secret().to_owned();
        let properties = ConnectionProperties::default().with_connection_name("chancery".into());
        let tls = self.tls().await?;
        let tokio = TokioRuntime::tokio_current();
        let socket = async move |uri: AMQPUri, _| {
            let stream = uri.connect_with_config_async(tls.as_ref(), &tokio).await?;
            Ok(AsyncTcpStream::Plain(Wire::new(stream, inflow.clone(), Tokio::current())))
        };
        match timeout(ANSWER_TIME_MAX, Connection::connector(uri, kit(), socket, properties)).await {
            Ok(opened) => opened.map_err(|error| self.failed(&error)),
            Err(_) => Err(self.broken(format!("no connection within {} s", ANSWER_TIME_MAX.as_secs()))),
        }
    }

    /// A driver error, as an error of this broker.
    pub(super) fn failed(&self, error: &lapin::Error) -> IntakeError {
        match error.kind() {
            ErrorKind::ParsingError(_) => self.broken(format!("what it sent is no AMQP 0-9-1 ({error})")),
            _ => self.broken(error.to_string()),
        }
    }

    /// An error of this broker.
    pub(super) fn broken(&self, detail: impl Into<String>) -> IntakeError {
        IntakeError::Broker { address: self.address.clone(), detail: detail.into() }
    }

    fn password(&self) -> Result<SecretString> {
        let (file, variable) = (self.settings.password_file.as_deref(), self.settings.password_env.as_deref());
        let key = if file.is_some() { "amqp.password_file" } else { "amqp.password_env" };
        let read = secret(file, variable).map_err(|error| match error.source() {
            Some(cause) => bad(key, format!("{error}: {cause}")),
            None => bad(key, error.to_string()),
        });
        Ok(read?.unwrap_or_else(|| SecretString::from("guest")))
    }

    async fn tls(&self) -> Result<OwnedTLSConfig> {
        let cert_chain = match &self.settings.ca_file {
            Some(path) => Some(read("amqp.ca_file", path).await?),
            None => None,
        };
        let identity = match (&self.settings.cert_file, &self.settings.key_file) {
            (Some(cert), Some(key)) => Some(OwnedIdentity::PKCS8 {
                pem: read("amqp.cert_file", cert).await?.into_bytes(),
                key: read("amqp.key_file", key).await?.into_bytes(),
            }),
            _ => None,
        };
        Ok(OwnedTLSConfig { identity, cert_chain })
    }
}

/// Closes a connection in order, its channel first: the driver stumbles over a channel that closes at the
/// same moment. What does not answer is dropped.
pub(super) async fn close(channel: Option<&Channel>, connection: &Connection) {
    let farewell = async {
        if let Some(channel) = channel {
            close_channel(channel).await;
        }
        connection.close(200, "done".into()).await
    };
    if let Ok(Err(error)) = timeout(Duration::from_secs(5), farewell).await {
        tracing::debug!(error = %error, "the connection was already gone");
    }
}

/// Closes a channel, unless the broker has done so already.
pub(super) async fn close_channel(channel: &Channel) {
    if channel.status().connected()
        && let Err(error) = channel.close(200, "done".into()).await
    {
        tracing::debug!(error = %error, "the channel was already gone");
    }
}

/// A name as the protocol wants it: at most 255 bytes.
pub(super) fn short(key: &'static str, name: &str) -> Result<ShortString> {
    ShortString::try_new(name).map_err(|error| bad(key, error.to_string()))
}

fn bad(key: &'static str, detail: impl Into<String>) -> IntakeError {
    IntakeError::BadSetting { key, detail: detail.into() }
}

/// What stands between `//` and the path.
fn authority(url: &str) -> &str {
    let rest = url.split_once("//").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}

async fn read(key: &'static str, path: &Path) -> Result<String> {
    tokio::fs::read_to_string(path).await.map_err(|error| bad(key, format!("cannot read {}: {error}", path.display())))
}
