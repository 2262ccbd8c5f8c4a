//! One file of a stylesheet as XML with places, and the expressions in it.

use roxmltree::{Attribute, Document, Node, ParsingOptions};

use super::xpath::{self, Kind, Token};
use super::{Finding, Severity};

pub(super) const XSL: &str = "http://www.w3.org/1999/XSL/Transform";

/// One file.
pub(super) struct Source<'d, 'i> {
    label: &'d str,
    document: &'d Document<'i>,
}

/// What an expression is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// It gives a value.
    Value,
    /// It is the pattern of a template, key or number.
    Pattern,
    /// It stands at the top level, or in `xsl:key`: worked out once.
    Once,
}

/// An expression where it stands.
pub(super) struct Expression<'d, 'i> {
    pub(super) node: Node<'d, 'i>,
    pub(super) attribute: Attribute<'d, 'i>,
    /// Its first byte within the attribute's value.
    pub(super) start: usize,
    pub(super) tokens: Vec<Token<'d>>,
    pub(super) role: Role,
    /// Whether it is worked out for each of many nodes.
    pub(super) repeated: bool,
}

/// What `document()` is given.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum DocumentName<'a> {
    Literal(&'a str),
    Computed,
}

/// Reads a file; a document type with entities of its own is allowed, as the transform allows it.
pub(super) fn parse(text: &str) -> Result<Document<'_>, roxmltree::Error> {
    Document::parse_with_options(text, ParsingOptions { allow_dtd: true, ..ParsingOptions::default() })
}

/// The texts that the stylesheet of this text hands to `document()` in so many words.
pub(in crate::transform) fn document_names(text: &str) -> Vec<String> {
    let Ok(document) = parse(text) else { return Vec::new() };
    let source = Source::new("", &document);
    if !source.is_stylesheet() {
        return Vec::new();
    }
    let mut names = Vec::new();
    for expression in source.expressions() {
        for (_, name) in document_calls(&expression.tokens) {
            if let DocumentName::Literal(name) = name {
                names.push(name.to_owned());
            }
        }
    }
    names
}

/// The calls of `document()`, each with the byte at which it begins.
pub(super) fn document_calls<'a>(tokens: &[Token<'a>]) -> Vec<(usize, DocumentName<'a>)> {
    tokens
        .windows(4)
        .filter(|window| window[0].kind == Kind::Function("document"))
        .map(|window| {
            let name = match (window[2].kind, window[3].kind) {
                (Kind::Literal(name), Kind::Close | Kind::Comma) => DocumentName::Literal(name),
                _ => DocumentName::Computed,
            };
            (window[0].at, name)
        })
        .collect()
}

impl<'d, 'i> Source<'d, 'i> {
    pub(super) fn new(label: &'d str, document: &'d Document<'i>) -> Self {
        Self { label, document }
    }

    pub(super) fn root(&self) -> Node<'d, 'i> {
        self.document.root_element()
    }

    /// Whether it is a stylesheet: `xsl:stylesheet`, or the short form with `xsl:version`.
    pub(super) fn is_stylesheet(&self) -> bool {
        is_xsl(self.root(), "stylesheet")
            || is_xsl(self.root(), "transform")
            || self.root().has_attribute((XSL, "version"))
    }

    pub(super) fn elements(&self) -> impl Iterator<Item = Node<'d, 'i>> + use<'d, 'i> {
        self.document.descendants().filter(Node::is_element)
    }

    /// What is imported or included, with the element that asks for it.
    pub(super) fn imports(&self) -> Vec<(Node<'d, 'i>, &'d str)> {
        self.elements()
            .filter(|node| is_xsl(*node, "import") || is_xsl(*node, "include"))
            .filter_map(|node| Some((node, node.attribute("href")?)))
            .collect()
    }

    /// Every expression and pattern, in document order.
    pub(super) fn expressions(&self) -> Vec<Expression<'d, 'i>> {
        let mut found = Vec::new();
        for node in self.elements() {
            let in_xsl = node.tag_name().namespace() == Some(XSL);
            for attribute in node.attributes() {
                let own = attribute.namespace().is_none();
                let role = match (attribute.name(), in_xsl && own) {
                    ("match" | "count" | "from", true) => Some(Role::Pattern),
                    ("select" | "test" | "use" | "value", true) => Some(Role::Value),
                    _ => None,
                };
                let role_of = |role| if role == Role::Value && stands_once(node) { Role::Once } else { role };
                let repeated = stands_repeated(node);
                if let Some(role) = role {
                    let tokens = xpath::tokens(attribute.value());
                    found.push(Expression { node, attribute, start: 0, tokens, role: role_of(role), repeated });
                } else if !in_xsl || is_template(attribute.name()) {
                    for (start, text) in xpath::embedded(attribute.value()) {
                        let tokens = xpath::tokens(text);
                        found.push(Expression { node, attribute, start, tokens, role: role_of(Role::Value), repeated });
                    }
                }
            }
        }
        found
    }

    pub(super) fn place(&self, node: Node<'_, '_>) -> (u32, u32) {
        self.at(node.range().start)
    }

    /// The place of an attribute, or of its element where it is not there.
    pub(super) fn attribute_place(&self, node: Node<'_, '_>, name: &str) -> (u32, u32) {
        self.at(node.attribute_node(name).map_or(node.range().start, |attribute| attribute.range().start))
    }

    /// The place of a byte of an expression; of the attribute where entities stand in between.
    pub(super) fn expression_place(&self, expression: &Expression<'_, '_>, at: usize) -> (u32, u32) {
        let range = expression.attribute.range_value();
        let raw = self.document.input_text().get(range.clone());
        if raw == Some(expression.attribute.value()) {
            self.at(range.start + expression.start + at)
        } else {
            self.at(expression.attribute.range().start)
        }
    }

    fn at(&self, byte: usize) -> (u32, u32) {
        let place = self.document.text_pos_at(byte);
        (place.row, place.col)
    }

    pub(super) fn finding(
        &self,
        (line, column): (u32, u32),
        severity: Severity,
        rule: &'static str,
        found: impl Into<String>,
        cure: impl Into<String>,
    ) -> Finding {
        Finding { file: self.label.to_owned(), line, column, severity, rule, found: found.into(), cure: cure.into() }
    }
}

/// Whether a node is an instruction of this name.
pub(super) fn is_xsl(node: Node<'_, '_>, name: &str) -> bool {
    node.is_element() && node.tag_name().namespace() == Some(XSL) && node.tag_name().name() == name
}

/// Attributes of instructions that are attribute value templates.
fn is_template(attribute: &str) -> bool {
    matches!(
        attribute,
        "name"
            | "namespace"
            | "lang"
            | "order"
            | "data-type"
            | "case-order"
            | "format"
            | "letter-value"
            | "grouping-separator"
            | "grouping-size"
            | "href"
    )
}

/// Whether what stands in a node is worked out once for a whole document.
fn stands_once(node: Node<'_, '_>) -> bool {
    node.ancestors().filter(Node::is_element).all(|outer| !is_xsl(outer, "template"))
        && node.ancestors().any(|outer| is_xsl(outer, "stylesheet") || is_xsl(outer, "transform"))
        && !node.ancestors().skip(1).any(|outer| is_xsl(outer, "for-each"))
}

/// Whether what stands in a node is worked out for each of many nodes: within a loop, or in a template for anything but
/// the root.
fn stands_repeated(node: Node<'_, '_>) -> bool {
    let mut outers = node.ancestors().skip(1).filter(Node::is_element);
    let looped = outers.any(|outer| is_xsl(outer, "for-each") || is_xsl(outer, "template") && !is_for_root(outer));
    // A sort key is worked out for each node that is sorted.
    looped || is_xsl(node, "sort")
}

fn is_for_root(template: Node<'_, '_>) -> bool {
    let Some(pattern) = template.attribute("match") else { return false };
    pattern.split('|').all(|one| matches!(one.trim(), "/" | "/*" | "/Conversations" | "Conversations"))
}
