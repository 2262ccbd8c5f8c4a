//! What there is to break: `list.toml`.

use serde::Deserialize;

const LIST: &str = include_str!("list.toml");

/// One promise of the code whose loss a test must notice.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sabotage {
    /// What it is called on the command line.
    pub(crate) name: String,
    /// The promise that goes.
    pub(crate) breaks: String,
    /// What is changed to take it out.
    pub(crate) edits: Vec<Edit>,
    /// Which tests must notice.
    pub(crate) tests: Tests,
}

/// One passage and what stands there instead.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Edit {
    /// The source file, from the project's directory.
    pub(crate) file: String,
    /// The passage, which stands in the file exactly once.
    pub(crate) find: String,
    /// What stands there instead.
    pub(crate) replace: String,
}

/// Some tests of one test target.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tests {
    /// The test target; none: the libraries' own tests.
    pub(crate) target: Option<String>,
    /// Parts of names: a test that contains one of them is run.
    pub(crate) filters: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    sabotage: Vec<Sabotage>,
}

/// The list, as it was compiled in.
pub(crate) fn read() -> Result<Vec<Sabotage>, String> {
    let file: File = toml::from_str(LIST).map_err(|error| format!("list.toml: {error}"))?;
    Ok(file.sabotage)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed test should panic")]
mod tests {
    use std::collections::HashSet;
    use std::fs;

    use super::*;
    use crate::{root, tree};

    /// Sources move; a list that no longer fits them would prove nothing.
    #[test]
    fn every_passage_stands_in_its_file_exactly_once() {
        let list = read().unwrap();
        assert!(list.len() >= 10, "only {}", list.len());
        for sabotage in &list {
            assert!(!sabotage.edits.is_empty(), "{} breaks nothing", sabotage.name);
            assert!(!sabotage.tests.filters.is_empty(), "{} names no tests", sabotage.name);
            for edit in &sabotage.edits {
                let text = fs::read_to_string(root().join(&edit.file)).unwrap();
                tree::broken_text(&text, edit).unwrap_or_else(|error| panic!("{}: {error}", sabotage.name));
            }
        }
        let names: HashSet<&str> = list.iter().map(|sabotage| sabotage.name.as_str()).collect();
        assert_eq!(names.len(), list.len(), "a name stands twice");
    }
}
