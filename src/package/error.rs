//! What can be wrong with a packaging document. Errors name places and kinds, never content: operators read them.

use std::io;

/// Why a packaging document gave no files.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// It is no XML.
    #[error("packaging document, line {line}: not well-formed XML: {reason}")]
    Malformed {
        /// From 1.
        line: usize,
        /// The parser's words.
        reason: String,
    },
    /// An element, or text, stands where it may not.
    #[error("packaging document, line {line}: expected {expected}, found {found}")]
    Unexpected {
        /// From 1.
        line: usize,
        /// What would be right.
        expected: String,
        /// What is there.
        found: String,
    },
    /// An element lacks an attribute, a child or a header.
    #[error("packaging document, line {line}: {element} needs {missing}")]
    Missing {
        /// Of the element's start, from 1.
        line: usize,
        /// Its name.
        element: String,
        /// What it needs.
        missing: String,
    },
    /// An attribute has a value that it may not have, or may not be there.
    #[error("packaging document, line {line}: attribute {attribute} of {element}: expected {expected}")]
    Value {
        /// Of the element's start, from 1.
        line: usize,
        /// Its name.
        element: String,
        /// The attribute's name.
        attribute: String,
        /// What would be right.
        expected: String,
    },
    /// An attachment cannot be read.
    #[error("packaging document, line {line}: the attachment {name} cannot be read")]
    Attachment {
        /// Of the element that names it, from 1.
        line: usize,
        /// Its name on the share.
        name: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("the packaged file cannot be written")]
    Output(#[source] io::Error),
}
