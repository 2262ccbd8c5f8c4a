//! The sources that are believed. Each is kept once, so that a staged event shares its name instead of copying it.

use std::collections::HashSet;
use std::sync::Arc;

use super::{IntakeError, Result};
use crate::config;

/// The configured sources, by URI.
#[derive(Debug, Clone, Default)]
pub struct KnownSources(HashSet<Arc<str>>);

impl KnownSources {
    /// The sources of a configuration.
    ///
    /// # Errors
    /// [`IntakeError::BadSetting`] when two entries name the same source; it names both by their position.
    pub fn new(sources: &[config::Source]) -> Result<Self> {
        let mut known = HashSet::with_capacity(sources.len());
        for (position, source) in sources.iter().enumerate() {
            if !known.insert(Arc::from(source.uri.as_str())) {
                let first = sources.iter().position(|other| other.uri == source.uri).unwrap_or(position);
                return Err(IntakeError::BadSetting {
                    key: "source",
                    detail: format!("entries {} and {} both name {:?}", first + 1, position + 1, source.uri),
                });
            }
        }
        Ok(Self(known))
    }

    /// The shared name of a source; `None` when it is not believed.
    pub fn get(&self, uri: &str) -> Option<Arc<str>> {
        self.0.get(uri).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(uri: &str) -> config::Source {
        config::Source { uri: uri.into(), description: String::new(), silence: None }
    }

    #[test]
    fn two_entries_for_one_source_are_refused_with_both_named() {
        let refused = KnownSources::new(&[source("/a"), source("/b"), source("/a")]);
        assert_eq!(
            refused.map(|_| ()).map_err(|e| e.to_string()),
            Err("source: entries 1 and 3 both name \"/a\"".into())
        );
    }
}
