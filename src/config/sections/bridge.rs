//! `[bridge.matrix]`: the bridge to a Matrix homeserver, a process of its own.
//!
//! It names where tokens are kept and never holds one.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::Span;

/// Programs that put the events of a chat server on the queue.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Bridge {
    /// # Matrix
    ///
    /// What `chancery bridge matrix` does. Leave the section out where there is no Matrix homeserver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matrix: Option<MatrixBridge>,
}

/// The bridge to a Matrix homeserver (Synapse), as an application service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MatrixBridge {
    /// # Homeserver
    ///
    /// Where the bridge reaches the homeserver, without a path. Default: `http://127.0.0.1:8008`.
    pub homeserver: String,

    /// # Server name
    ///
    /// The homeserver's own name; people of other servers are then marked as not of the firm. Default: none; then nobody is marked.
    #[schemars(extend("examples" = ["firm.example"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,

    /// # Source
    ///
    /// The CloudEvents `source` of everything the bridge publishes; it must be the `uri` of a `[[source]]`. Never change it
    /// while a homeserver is archived: its events would be other events. Default: `/matrix`.
    pub source: String,

    /// # Listen
    ///
    /// The address and port at which the homeserver reaches the bridge. An address of the machine's own network lets others
    /// knock, too; they lack the token. Default: `127.0.0.1:29330`.
    pub listen: String,

    /// # Registration
    ///
    /// The file that `chancery bridge matrix register` writes. It holds both tokens; only its owner may read it (mode 0600).
    /// Default: `<home>/state/matrix-registration.json`.
    #[schemars(extend("format" = "path", "examples" = ["/etc/chancery/matrix-registration.json"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registration: Option<PathBuf>,

    /// # Admin token file
    ///
    /// A file that holds the access token of a server administrator; a trailing line break is ignored. With it, messages that were
    /// deleted while the bridge was away are fetched. Default: none; then each of them is a gap.
    #[schemars(extend("format" = "path", "examples" = ["/etc/chancery/matrix-admin.token"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin_token_file: Option<PathBuf>,

    /// # Admin token variable
    ///
    /// The environment variable that holds that token. Default: none.
    #[schemars(extend("examples" = ["CHANCERY_MATRIX_ADMIN_TOKEN"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin_token_env: Option<String>,

    /// # Heartbeat
    ///
    /// How often the bridge says how far it has come; `silence` of its `[[source]]` should be a few times this.
    /// From 1s to 1h. Default: 1m.
    pub heartbeat: Span,

    /// # Numbered transactions
    ///
    /// Set it only where the homeserver keeps its data in PostgreSQL and the bridge is its only application service. Transactions then count up
    /// by one, and one that is missing got stuck: the next one is refused once, which makes the homeserver send both. Default: false.
    pub numbered_transactions: bool,
}

impl Default for MatrixBridge {
    fn default() -> Self {
        Self {
            homeserver: "http://127.0.0.1:8008".into(),
            server: None,
            source: "/matrix".into(),
            listen: "127.0.0.1:29330".into(),
            registration: None,
            admin_token_file: None,
            admin_token_env: None,
            heartbeat: Span::from_secs(60),
            numbered_transactions: false,
        }
    }
}
