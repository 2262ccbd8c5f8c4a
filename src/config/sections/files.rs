//! `[files]`: where the bytes of uploaded files come from and where they are kept.
//!
//! It names where tokens are kept and never holds one.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::{ByteSize, Span};

/// Where the bytes of uploaded files come from and where they are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Files {
    /// # File repository
    ///
    /// The chat server's directory of uploaded files; a `file.location` that is no URL is a path below it.
    /// Chancery only reads there. Default: none; then no paths are followed.
    #[schemars(extend("format" = "path", "examples" = ["/srv/chat/files"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<PathBuf>,

    /// # Vault
    ///
    /// Where captured files are kept, each content once. Default: `<home>/vault`.
    #[schemars(extend("format" = "path", "examples" = ["spool/vault"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vault: Option<PathBuf>,

    /// # Matrix media
    ///
    /// Where the bridge or homeserver gives media out; `mxc://SERVER/ID` becomes this address with `SERVER/ID` behind it.
    /// It must lie below the `url` of a `[[files.host]]`, whose token and permissions count. Default: none; then `mxc://`
    /// locations are refused.
    #[schemars(extend("examples" = ["https://files.firm.example/_matrix/client/v1/media/download/"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media: Option<String>,

    /// # Grace
    ///
    /// How long a batch waits, after its interval has ended, for files that have not come yet; never longer than another interval.
    /// Then it goes out and says which files are missing; they follow in a supplement. Default: `1m`.
    pub grace: Span,

    /// # Deadline
    ///
    /// How long after its event was received a file is asked for. One that has not come then is missing for good, and an alert
    /// says so. Events whose files may still come are not purged. Default: `7d`.
    pub deadline: Span,

    /// # Files that go with a batch
    ///
    /// A batch takes files of so many bytes along, each content counted once. What is beyond that follows in a
    /// supplement, so that copying it holds up no batch. Default: `256MiB`.
    pub with_batch_max: ByteSize,

    /// # Largest fetched file
    ///
    /// A larger answer of a file host is refused. Default: `64GiB`.
    pub fetch_size_max: ByteSize,

    /// # Time to connect
    ///
    /// How long finding a file host's address may take, and as long again connecting to it. Default: `10s`.
    pub fetch_connect_timeout: Span,

    /// # Time between bytes
    ///
    /// How long a file host may be silent. Default: `30s`.
    pub fetch_idle_timeout: Span,

    /// # Time for one file
    ///
    /// How long fetching one file may take from first to last. Default: `15m`.
    pub fetch_timeout: Span,

    /// # File hosts
    ///
    /// The servers from which files are fetched where an event's `file.location` is a URL. Nothing is ever fetched
    /// from anywhere else, whatever an event, a redirect or a name server says.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub host: Vec<FileHost>,
}

/// One server from which files may be fetched.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FileHost {
    /// # Address
    ///
    /// `https://HOST/`, with a port and a path if files lie only there; it ends with a slash. Only locations that begin with it
    /// are fetched. It must not hold a user name, a password or a token.
    #[schemars(extend("examples" = ["https://files.firm.example/"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,

    /// # Token file
    ///
    /// A file that holds the bearer token for this host alone; a trailing line break is ignored, and it is read
    /// anew every few seconds. Default: none.
    #[schemars(extend("format" = "path", "examples" = ["/etc/chancery/files.token"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,

    /// # Token variable
    ///
    /// The environment variable that holds the bearer token. Default: none; with neither file nor variable no token is sent.
    #[schemars(extend("examples" = ["CHANCERY_FILES_TOKEN"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_env: Option<String>,

    /// # Certificate authority
    ///
    /// A PEM file with the only authorities to trust for this host. Only for `https://`. Default: none; then the
    /// machine's own are trusted.
    #[schemars(extend("format" = "path", "examples" = ["/etc/chancery/ca.pem"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,

    /// # Without TLS
    ///
    /// Allows an address that begins with `http://`; token and files then cross the network in the clear. Default: false.
    pub allow_http: bool,

    /// # In a private network
    ///
    /// Allows the host's name to lead to private, shared, unique local and loopback addresses. Link-local, multicast,
    /// documentation, reserved and translated addresses (IPv4-mapped, 6to4, Teredo, NAT64) are never allowed. Default: false.
    pub allow_private: bool,
}

impl Default for Files {
    fn default() -> Self {
        Self {
            root: None,
            vault: None,
            media: None,
            grace: Span::from_secs(60),
            deadline: Span::from_secs(7 * 86_400),
            with_batch_max: ByteSize::new(256 << 20),
            fetch_size_max: ByteSize::new(64 << 30),
            fetch_connect_timeout: Span::from_secs(10),
            fetch_idle_timeout: Span::from_secs(30),
            fetch_timeout: Span::from_secs(15 * 60),
            host: Vec::new(),
        }
    }
}
