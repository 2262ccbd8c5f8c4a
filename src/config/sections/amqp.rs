//! `[amqp]`: the broker and what Chancery uses there.
//!
//! It names where the password is kept and never holds it.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The AMQP 0-9-1 broker and what Chancery uses there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Amqp {
    /// # Broker address
    ///
    /// `amqp://HOST:PORT/VHOST`, or `amqps://` for TLS. It must not hold a password: use
    /// `password_file` or `password_env`. The virtual host `/` is written `%2f`.
    /// Default: `amqp://127.0.0.1:5672/%2f`.
    pub url: String,

    /// # User name
    ///
    /// Default: `guest`, which RabbitMQ accepts from the same machine only.
    pub username: String,

    /// # Password file
    ///
    /// A file that holds the password; a trailing line break is ignored. Default: none.
    #[schemars(extend("format" = "path", "examples" = ["/etc/chancery/amqp.password"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,

    /// # Password variable
    ///
    /// The environment variable that holds the password. Default: none; with neither file nor
    /// variable the password is `guest`.
    #[schemars(extend("examples" = ["CHANCERY_AMQP_PASSWORD"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_env: Option<String>,

    /// # Certificate authority
    ///
    /// A PEM file with the authorities to trust, beside the machine's own. Only for `amqps://`. Default: none.
    #[schemars(extend("format" = "path", "examples" = ["/etc/chancery/ca.pem"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,

    /// # Client certificate
    ///
    /// A PEM file with Chancery's own certificate chain, for brokers that ask for one. Default: none.
    #[schemars(extend("format" = "path", "examples" = ["/etc/chancery/client.pem"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert_file: Option<PathBuf>,

    /// # Client key
    ///
    /// A PEM file with the key (PKCS#8) of `cert_file`. Default: none.
    #[schemars(extend("format" = "path", "examples" = ["/etc/chancery/client.key"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,

    /// # Exchange
    ///
    /// The durable topic exchange on which emitters publish. Default: `chancery.events`.
    pub exchange: String,

    /// # Queue
    ///
    /// The durable queue from which Chancery takes in. Default: `chancery.intake`.
    pub queue: String,

    /// # Queue type
    ///
    /// `quorum` (replicated, the safe choice) or `classic`. Default: `quorum`.
    pub queue_type: QueueType,

    /// # Dead-letter exchange
    ///
    /// Where the broker puts what it will not deliver again, so that nothing vanishes; a queue of the
    /// same name is bound to it. Default: `chancery.dead`.
    pub dead_letter_exchange: String,

    /// # Declare at start
    ///
    /// Whether `chancery run` may declare exchange, queue and bindings itself. Otherwise they are only
    /// checked, and `chancery setup` declares them. Default: false.
    pub declare: bool,

    /// # Prefetch
    ///
    /// How many events the broker may have under way to Chancery without acknowledgement, 1 to 65535. Default: 5000.
    #[schemars(range(min = 1))]
    pub prefetch: u16,
}

/// The kind of queue on the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum QueueType {
    /// Replicated, with a delivery limit.
    Quorum,
    /// On one node.
    Classic,
}

impl Default for Amqp {
    fn default() -> Self {
        Self {
            url: "amqp://127.0.0.1:5672/%2f".into(),
            username: "guest".into(),
            password_file: None,
            password_env: None,
            ca_file: None,
            cert_file: None,
            key_file: None,
            exchange: "chancery.events".into(),
            queue: "chancery.intake".into(),
            queue_type: QueueType::Quorum,
            dead_letter_exchange: "chancery.dead".into(),
            declare: false,
            prefetch: 5000,
        }
    }
}
