//! `[evidence]`: where the record lies that proves the others, and the key that signs it.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where the log of evidence lies, and the key that signs it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
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
}
