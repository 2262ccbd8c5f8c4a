//! The transforms that the program carries, so that an installed binary needs no files.

use serde::{Deserialize, Serialize};

/// A transform that comes with Chancery. `docs/transforms.md` compares them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shipped {
    /// The canonical XML as it is.
    Xml,
    /// FaceTime / Actiance Vantage `FileDump`.
    FileDump,
    /// Mails as Global Relay takes them.
    GlobalRelay,
    /// Mails (RFC 5322), or Exchange journal reports.
    Eml,
    /// Comma-separated values (RFC 4180).
    Csv,
    /// Relativity Short Message Format 2.0.
    Rsmf,
    /// A transcript for people.
    Html,
    /// JSON Lines, lossless.
    Jsonl,
    /// The published layout, a preset of ours.
    Akonix,
    /// Plain mails, a preset of ours.
    Assentor,
}

/// The file of a transform, at the address under which its stylesheet imports it.
macro_rules! carried {
    ($($path:literal),+) => {
        &[$(($path, include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/", $path)))),+]
    };
}

impl Shipped {
    /// Every shipped transform.
    pub const ALL: [Self; 10] = [
        Self::Xml,
        Self::FileDump,
        Self::GlobalRelay,
        Self::Eml,
        Self::Csv,
        Self::Rsmf,
        Self::Html,
        Self::Jsonl,
        Self::Akonix,
        Self::Assentor,
    ];

    /// The name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Xml => "xml",
            Self::FileDump => "filedump",
            Self::GlobalRelay => "globalrelay",
            Self::Eml => "eml",
            Self::Csv => "csv",
            Self::Rsmf => "rsmf",
            Self::Html => "html",
            Self::Jsonl => "jsonl",
            Self::Akonix => "akonix",
            Self::Assentor => "assentor",
        }
    }

    /// The transform of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|shipped| shipped.name() == name)
    }

    /// Its files, the main one first.
    pub(super) fn files(self) -> &'static [(&'static str, &'static [u8])] {
        match self {
            Self::Xml => carried!("transforms/xml/xml.xsl"),
            Self::FileDump => carried!("transforms/filedump/filedump.xsl"),
            Self::GlobalRelay => carried!(
                "transforms/globalrelay/globalrelay.xsl",
                "transforms/globalrelay/mail.xsl",
                "transforms/globalrelay/words.xsl"
            ),
            Self::Eml => {
                carried!("transforms/eml/eml.xsl", "transforms/eml/mail.xsl", "transforms/eml/words.xsl")
            }
            Self::Csv => carried!("transforms/csv/csv.xsl"),
            Self::Rsmf => {
                carried!("transforms/rsmf/rsmf.xsl", "transforms/rsmf/mail.xsl", "transforms/rsmf/words.xsl")
            }
            Self::Html => {
                carried!("transforms/html/html.xsl", "transforms/html/style.xsl", "transforms/html/words.xsl")
            }
            Self::Jsonl => carried!("transforms/jsonl/jsonl.xsl"),
            Self::Akonix => carried!("transforms/akonix/akonix.xsl", "transforms/akonix/words.xsl"),
            Self::Assentor => carried!(
                "transforms/assentor/assentor.xsl",
                "transforms/assentor/mail.xsl",
                "transforms/assentor/words.xsl"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Shipped;
    use crate::config::SHIPPED_TRANSFORMS;

    #[test]
    fn the_configuration_knows_every_shipped_transform() {
        assert_eq!(Shipped::ALL.map(Shipped::name), SHIPPED_TRANSFORMS);
    }
}
