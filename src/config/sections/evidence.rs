//! `[evidence]`: where the record lies that proves the others, and the key that signs it.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::Span;

/// Where the log of evidence lies, and the key that signs it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Evidence {
    /// # Directory
    ///
    /// Where manifests, event lists, purge certificates and signed heads lie. Processes that share a staging database must share it.
    /// Default: `<home>/evidence`.
    #[schemars(extend("format" = "path", "examples" = ["/srv/evidence"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directory: Option<PathBuf>,

    /// # Key
    ///
    /// The private key that signs the log: an Ed25519 key in OpenSSH's format, without a passphrase, which nobody but its owner
    /// may read (mode 0600). `chancery evidence keygen` makes it. Without one everything is recorded all the same, unsigned, and
    /// the alert `evidence-unsigned` is open. Default: `<home>/state/evidence.key`.
    #[schemars(extend("format" = "path", "examples" = ["/etc/chancery/evidence.key"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,

    /// # Time stamp authority
    ///
    /// The address of an authority that gives time stamps (RFC 3161), which are then put beside signed heads. Only the digest of a
    /// head is sent there, over http or https. An authority that is away is the alert `timestamp-unavailable` and holds up nothing.
    /// Default: none; then there are no time stamps.
    #[schemars(extend("examples" = ["https://tsa.firm.example/"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tsa: Option<String>,

    /// # Time between stamps
    ///
    /// Not every head is stamped: the newest is, once this time has passed since the last stamp. `0s` stamps the newest head
    /// whenever there is a new one. Default: `1h`.
    pub tsa_interval: Span,

    /// # Token file
    ///
    /// A file that holds a bearer token for the authority, if it demands one; the address must begin with `https://` then.
    /// Default: none.
    #[schemars(extend("format" = "path", "examples" = ["/etc/chancery/tsa.token"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tsa_token_file: Option<PathBuf>,

    /// # Token variable
    ///
    /// The environment variable that holds the bearer token. Default: none; with neither file nor variable no token is sent.
    #[schemars(extend("examples" = ["CHANCERY_TSA_TOKEN"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tsa_token_env: Option<String>,
}

impl Default for Evidence {
    fn default() -> Self {
        Self {
            directory: None,
            key: None,
            tsa: None,
            tsa_interval: Span::from_secs(3600),
            tsa_token_file: None,
            tsa_token_env: None,
        }
    }
}
