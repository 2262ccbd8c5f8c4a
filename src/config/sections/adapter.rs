//! `[[adapter]]`: one output, its spelling, and what proves its collection.
//!
//! A name says nothing about the archive behind it: all that differs between archives is a value here.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::{ByteSize, SHIPPED_TRANSFORMS, Span};

/// One output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Adapter {
    /// # Name
    ///
    /// Letters, digits, `-` and `_`; it begins every file name. Never reuse a name for another archive.
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[A-Za-z0-9_-]+$"), extend("examples" = ["vantage"]))]
    pub name: String,

    /// # Transform
    ///
    /// The XSLT file, or the name of a shipped transform: `xml`, `filedump`, `globalrelay`, `eml`, `csv`, `rsmf`, `html`,
    /// `jsonl`, `akonix`, `assentor`. `docs/transforms.md` compares them. Default: none, which writes the canonical XML.
    #[schemars(extend("format" = "transform", "examples" = ["filedump"]))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transform: Option<String>,

    /// # Conversation interval
    ///
    /// The slice of time that makes one batch, `1m` to `30d`, aligned to the clock (UTC). A longer interval gives
    /// fewer, larger files. Default: 15m.
    #[serde(default = "Adapter::default_interval")]
    pub interval: Span,

    /// # Pickup directory
    ///
    /// The share from which the archive collects; no two adapters may use the same. Default: `<home>/pickup/<name>`.
    #[schemars(extend("format" = "path", "examples" = ["/srv/pickup/vantage"]))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pickup: Option<PathBuf>,

    /// # One room per file
    ///
    /// Writes a file for each room with messages instead of one for all. Default: false.
    #[serde(default)]
    pub one_room_per_file: bool,

    /// # User details
    ///
    /// Fills `Sender/@UserName` and `@email`; otherwise the name is the address and the mail address stays empty. Default: true.
    #[serde(default = "yes")]
    pub user_details: bool,

    /// # Room details
    ///
    /// Fills `Channel/@name`, `@islogged`, topic and description; otherwise the name is the room's URI. Default: true.
    #[serde(default = "yes")]
    pub room_details: bool,

    /// # Dialect
    ///
    /// The spelling of the canonical XML: `full` (ours), `lync2013` (the published schema, nothing more)
    /// or `ocs2007r2` (like `full`, with `userName`). Default: `full`.
    #[serde(default)]
    pub dialect: Dialect,

    /// # Compress
    ///
    /// Writes outputs zstd-compressed, with `.zst` after the name. Default: false.
    #[serde(default)]
    pub compress: bool,

    /// # Rendering
    ///
    /// `whole` hands the stylesheet all conversations of a file in one document; `conversation` hands it each by itself
    /// and joins the results below their common document element, so that memory stays flat and every processor works.
    /// Default: `conversation` for the shipped transforms, `whole` for a stylesheet of your own.
    #[schemars(extend("examples" = ["conversation"]))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub render: Option<Render>,

    /// # Largest file
    ///
    /// Outputs are split when they grow beyond this size (before compression): between conversations, and a
    /// conversation that is larger alone between its messages, with its participants in each part. Default: none.
    #[schemars(extend("examples" = ["50MB"]))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_file_size: Option<ByteSize>,

    /// # Attachments manifest
    ///
    /// Writes, beside each output, a file that ends in `.ATTACH` and lists the uploaded files that the output speaks
    /// of. Default: false.
    #[serde(default)]
    pub attachments_manifest: bool,

    /// # Manifests beside the outputs
    ///
    /// Copies the signed manifest of each batch beside its outputs: `<adapter>-<end>-<batch>.manifest.json`, and its signature
    /// with `.sig` after that. `docs/evidence.md` says when they appear and go. Needs `keep_after_collection`. Default: false.
    #[serde(default)]
    pub manifests_beside: bool,

    /// # Heartbeat file
    ///
    /// Writes an output without conversations for an interval in which nothing happened, for archives that watch for
    /// silence. Default: false.
    #[serde(default)]
    pub heartbeat_file: bool,

    /// # Schema
    ///
    /// An XSD file against which each output is checked before it is published. Default: none.
    #[schemars(extend("format" = "path", "examples" = ["/etc/chancery/archive.xsd"]))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<PathBuf>,

    /// # Parameters
    ///
    /// Passed to the stylesheet as string parameters.
    #[schemars(extend("examples" = [{"tenant": "emea"}]))]
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,

    /// # Proof of collection
    ///
    /// `removed` (the file is gone from the directory), `acknowledged` (`<name>.ack` appeared beside it), `told`
    /// (`chancery batch collected ID`), or `after:<span>` for archives that only read. Default: `removed`.
    #[serde(default)]
    pub collected_when: CollectedWhen,

    /// # Keep after collection
    ///
    /// How long output, files and staged events are kept after collection before they are purged. Default: 0s.
    #[serde(default = "Adapter::default_keep")]
    pub keep_after_collection: Span,

    // The last one: in TOML the keys of a table stand after all others.
    /// # Limits of the transform
    #[serde(default)]
    pub limits: TransformLimits,
}

/// What transforming one document may cost; reaching a limit ends that transform with an error that names it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TransformLimits {
    /// # Memory
    ///
    /// Address space of one worker process. A document takes about twelve times its size. Default: 2GiB.
    pub memory: ByteSize,

    /// # Time
    ///
    /// Wall-clock time that every transform has. Default: 1m.
    pub time: Span,

    /// # Time for each mebibyte
    ///
    /// Time added for each mebibyte of the document, begun ones included. Default: 2s.
    pub time_per_mebibyte: Span,

    /// # Depth
    ///
    /// Deepest nesting of instructions, 1000 to 30000; a template that calls itself takes about three for each call. Default: 20000.
    #[schemars(range(min = 1_000, max = 30_000))]
    pub depth: u32,

    /// # Operations
    ///
    /// Most steps of templates, and most steps of XPath, in one transform. Default: 2000000000.
    #[schemars(range(min = 1_000_000, max = 1_000_000_000_000_u64))]
    pub operations: u64,

    /// # Workers
    ///
    /// Most worker processes of this adapter at once, 1 to 64. Default: as many as there are processors.
    #[schemars(range(min = 1, max = 64), extend("examples" = [2]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workers: Option<u32>,
}

/// The spelling of the canonical XML.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// Ours: the old layout plus our namespace.
    #[default]
    Full,
    /// The published schema, nothing more.
    Lync2013,
    /// Like `full`, but `Sender/@userName`.
    Ocs2007r2,
}

/// What a stylesheet is handed at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Render {
    /// All conversations of a file in one document.
    Whole,
    /// Each conversation in a document of its own; the results are joined.
    Conversation,
}

/// What proves that the archive has taken a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("format" = "proof", "pattern" = "^(removed|acknowledged|told|after:([0-9]+(d|h|m|s|ms))+)$", "examples" = ["removed", "acknowledged", "told", "after:2h"]))]
pub enum CollectedWhen {
    /// The file is gone.
    #[default]
    Removed,
    /// `<name>.ack` appeared.
    Acknowledged,
    /// A person or program said so.
    Told,
    /// So long after publication.
    After(Span),
}

impl Default for TransformLimits {
    fn default() -> Self {
        Self {
            memory: ByteSize::new(2 << 30),
            time: Span::from_secs(60),
            time_per_mebibyte: Span::from_secs(2),
            depth: 20_000,
            operations: 2_000_000_000,
            workers: None,
        }
    }
}

fn yes() -> bool {
    true
}

impl Adapter {
    /// What its stylesheet is handed at a time.
    pub fn rendering(&self) -> Render {
        let shipped = self.transform.as_deref().is_some_and(|name| SHIPPED_TRANSFORMS.contains(&name));
        self.render.unwrap_or(if shipped { Render::Conversation } else { Render::Whole })
    }

    fn default_interval() -> Span {
        Span::from_secs(900)
    }

    fn default_keep() -> Span {
        Span::from_secs(0)
    }
}

impl FromStr for CollectedWhen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "removed" => Ok(Self::Removed),
            "acknowledged" => Ok(Self::Acknowledged),
            "told" => Ok(Self::Told),
            _ => match text.strip_prefix("after:") {
                Some(span) => span.parse().map(Self::After),
                None => Err(format!(
                    "expected \"removed\", \"acknowledged\", \"told\" or \"after:<span>\" such as \"after:2h\", found {text:?}"
                )),
            },
        }
    }
}

impl TryFrom<String> for CollectedWhen {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<CollectedWhen> for String {
    fn from(when: CollectedWhen) -> Self {
        match when {
            CollectedWhen::Removed => "removed".into(),
            CollectedWhen::Acknowledged => "acknowledged".into(),
            CollectedWhen::Told => "told".into(),
            CollectedWhen::After(span) => format!("after:{span}"),
        }
    }
}
