//! The transforms that the program carries, so that an installed binary needs no files.

use serde::{Deserialize, Serialize};

/// A transform that comes with Chancery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shipped {
    /// FaceTime / Actiance Vantage `FileDump`.
    FileDump,
}

impl Shipped {
    /// Every shipped transform.
    pub const ALL: [Self; 1] = [Self::FileDump];

    /// The name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::FileDump => "filedump",
        }
    }

    /// The transform of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|shipped| shipped.name() == name)
    }

    /// Its files, the main one first.
    pub(super) fn files(self) -> &'static [(&'static str, &'static [u8])] {
        match self {
            Self::FileDump => &[(
                "transforms/filedump/filedump.xsl",
                include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/transforms/filedump/filedump.xsl")),
            )],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Shipped;

    #[test]
    fn the_configuration_knows_every_shipped_transform() {
        assert_eq!(Shipped::ALL.map(Shipped::name), crate::config::SHIPPED_TRANSFORMS);
    }
}
