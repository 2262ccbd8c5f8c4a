//! What a stylesheet must not use, what makes it slow, and what trips up stylesheets for the old layout.
//!
//! It reads the files of a stylesheet as XML and their expressions as tokens, and runs nothing. It follows `xsl:import`,
//! `xsl:include` and `document()` by the same rules as the transform itself.

mod elements;
mod expressions;
mod functions;
mod source;
mod whole;
mod xpath;

use std::fmt;
use std::io;
use std::path::Path;

use serde::Serialize;

use super::modules::{Modules, to_uri};
use super::spec::Stylesheet;
use source::Source;

pub(super) use source::document_names;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The stylesheet is refused, or fails when it comes to this place.
    Error,
    /// It runs, but not as its author meant.
    Warning,
    /// It takes time that grows faster than the document.
    Slow,
    /// Worth a look.
    Hint,
}

/// One thing a stylesheet should do differently.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// The file, counted from the main file's folder.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1, in characters.
    pub column: u32,
    /// How much it matters.
    pub severity: Severity,
    /// The rule's name.
    pub rule: &'static str,
    /// What was found.
    pub found: String,
    /// What to do.
    pub cure: String,
}

impl Severity {
    /// One word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Slow => "slow",
            Self::Hint => "hint",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, severity, rule, found, cure } = self;
        write!(f, "{file}:{line}:{column}: {} [{rule}]: {found}; {cure}", severity.word())
    }
}

/// Examines a stylesheet with all that it imports and includes. Findings stand in the order of files and lines.
///
/// # Errors
/// When the main file cannot be read. What is wrong within it, XML included, is a finding.
pub fn lint(stylesheet: &Stylesheet) -> io::Result<Vec<Finding>> {
    let mut modules = match stylesheet {
        Stylesheet::Shipped(shipped) => Modules::carried(shipped.files()),
        Stylesheet::File(path) => Modules::open(path)?,
    };
    let mut findings = Vec::new();
    let mut summary = whole::Summary::default();
    let mut done = Vec::new();
    // Each round may bring in what the files of the one before import.
    while let Some((path, text)) = modules.texts().into_iter().find(|(path, _)| !done.contains(path)) {
        examine(&mut modules, &path, &text, &mut summary, &mut findings);
        done.push(path);
    }
    findings.extend(summary.findings());
    findings.sort();
    findings.dedup();
    Ok(findings)
}

fn examine(modules: &mut Modules, path: &Path, text: &str, summary: &mut whole::Summary, findings: &mut Vec<Finding>) {
    let label = modules.label(path);
    let document = match source::parse(text) {
        Ok(document) => document,
        Err(error) => {
            let place = error.pos();
            findings.push(Finding {
                file: label,
                line: place.row,
                column: place.col,
                severity: Severity::Error,
                rule: "not-xml",
                found: format!("this is no well-formed XML: {error}"),
                cure: "mend it; `xmllint --noout` tells more".into(),
            });
            return;
        }
    };
    let source = Source::new(&label, &document);
    if !source.is_stylesheet() {
        // A document for document().
        return;
    }
    elements::examine(&source, findings);
    let expressions = source.expressions();
    for expression in &expressions {
        expressions::examine(&source, expression, findings);
    }
    summary.add(&source, &expressions);
    follow(modules, path, &source, &expressions, findings);
}

/// Reads what the file names, and tells what it may not name.
fn follow(
    modules: &mut Modules,
    path: &Path,
    source: &Source<'_, '_>,
    expressions: &[source::Expression<'_, '_>],
    findings: &mut Vec<Finding>,
) {
    let folder = path.parent().map(to_uri).unwrap_or_default();
    let mut fetch = |name: &str| -> Result<(), String> {
        let plain = name.split('#').next().unwrap_or_default();
        let uri =
            if plain.starts_with('/') || plain.contains(':') { plain.to_owned() } else { format!("{folder}/{plain}") };
        modules.fetch(&uri).map(drop).map_err(|refused| refused.to_string())
    };
    for (node, href) in source.imports() {
        if let Err(refused) = fetch(href) {
            let (found, cure) = parted(&refused);
            findings.push(source.finding(
                source.attribute_place(node, "href"),
                Severity::Error,
                "import-outside",
                found,
                cure,
            ));
        }
    }
    for expression in expressions {
        for (at, name) in source::document_calls(&expression.tokens) {
            match name {
                source::DocumentName::Literal("") => {}
                source::DocumentName::Literal(name) => {
                    if let Err(refused) = fetch(name) {
                        let (found, cure) = parted(&refused);
                        let place = source.expression_place(expression, at);
                        findings.push(source.finding(place, Severity::Error, "document-outside", found, cure));
                    }
                }
                source::DocumentName::Computed => findings.push(source.finding(
                    source.expression_place(expression, at),
                    Severity::Error,
                    "document-computed",
                    "document() gets a name that is worked out while the transform runs, when nothing is read any more",
                    "write the name as a text, such as document('codes.xml'), and choose within the document",
                )),
            }
        }
    }
}

/// What a refusal says, and its cure.
fn parted(refused: &str) -> (String, String) {
    let (found, cure) = refused.split_once("; ").unwrap_or((refused, "name a file in the stylesheet's folder"));
    (found.to_owned(), cure.to_owned())
}
