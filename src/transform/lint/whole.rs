//! Rules about a stylesheet as a whole, all of its files together: what it has no template for.

use std::collections::BTreeSet;

use super::source::{Expression, Role, Source, is_xsl};
use super::xpath::Kind;
use super::{Finding, Severity};

/// Types that the layout of 2007 to 2015 did not know.
#[rustfmt::skip]
const LATER_TYPES: [&str; 10] = [
    "EDIT", "DELETE", "FILEDELETE", "REACT", "UNREACT", "ROOMCREATE", "ROOMUPDATE", "ROOMDELETE", "MEMBER", "OTHER",
];
const OLD_TYPES: [&str; 6] = ["JOIN", "PART", "CHAT", "BACKCHAT", "FILEUPLOAD", "FILEDOWNLOAD"];

/// What the files seen so far have.
#[derive(Default)]
pub(super) struct Summary {
    /// Where a type is first told from others.
    first_type: Option<Finding>,
    types: BTreeSet<String>,
    /// Whether some template takes any message, whatever its type.
    any_message: bool,
    /// Where nodes are first handed to whatever template there is.
    first_push: Option<Finding>,
    text_handled: bool,
}

impl Summary {
    pub(super) fn add(&mut self, source: &Source<'_, '_>, expressions: &[Expression<'_, '_>]) {
        for expression in expressions {
            for token in &expression.tokens {
                let Kind::Literal(word) = token.kind else { continue };
                if OLD_TYPES.contains(&word) || LATER_TYPES.contains(&word) {
                    self.types.insert(word.to_owned());
                    let place = source.expression_place(expression, token.at);
                    self.first_type.get_or_insert_with(|| source.finding(place, Severity::Hint, "types", "", ""));
                }
            }
            let is_template = is_xsl(expression.node, "template") && expression.role == Role::Pattern;
            if is_template && takes_any_message(expression) && !has_only_silent_branches(expression) {
                self.any_message = true;
            }
        }
        for node in source.elements() {
            if is_xsl(node, "apply-templates") && !node.has_attribute("select") {
                let place = source.place(node);
                self.first_push.get_or_insert_with(|| source.finding(place, Severity::Hint, "built-in-rules", "", ""));
            }
            let pattern = node.attribute("match").filter(|_| is_xsl(node, "template")).unwrap_or_default();
            let strips = is_xsl(node, "strip-space") && node.attribute("elements") == Some("*");
            self.text_handled |= strips || pattern.split('|').any(|one| matches!(one.trim(), "text()" | "node()"));
        }
    }

    pub(super) fn findings(self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let missing: Vec<&str> = LATER_TYPES.into_iter().filter(|word| !self.types.contains(*word)).collect();
        if let Some(finding) = self.first_type
            && !self.any_message
            && !missing.is_empty()
        {
            findings.push(Finding {
                found: format!("messages of type {} leave no trace in the output", missing.join(", ")),
                cure: "add a template for Message without a type, or choose dialect = \"lync2013\", which counts them"
                    .into(),
                ..finding
            });
        }
        if let Some(finding) = self.first_push
            && !self.text_handled
        {
            findings.push(Finding {
                found:
                    "the built-in rules print the text of elements that have no template; the canonical XML has none, \
                        but a file that somebody indented has white space"
                        .into(),
                cure: "add <xsl:template match=\"text()\"/> or <xsl:strip-space elements=\"*\"/>".into(),
                ..finding
            });
        }
        findings
    }
}

/// A pattern that ends in `Message` and asks nothing of it.
fn takes_any_message(expression: &Expression<'_, '_>) -> bool {
    expression.tokens.split(|token| token.kind == Kind::Operator("|")).any(|one| match one {
        [.., last] => matches!(last.kind, Kind::Name("Message") | Kind::Star),
        [] => false,
    })
}

/// Whether the template is an `xsl:choose` over types and nothing else, whose `xsl:otherwise` is empty or missing.
fn has_only_silent_branches(expression: &Expression<'_, '_>) -> bool {
    let mut children = expression
        .node
        .children()
        .filter(|child| child.is_element() && !is_xsl(*child, "param") && !is_xsl(*child, "variable"));
    let (Some(only), None) = (children.next(), children.next()) else { return false };
    is_xsl(only, "choose")
        && only.children().filter(|branch| is_xsl(*branch, "otherwise")).all(|branch| {
            !branch
                .children()
                .any(|child| child.is_element() || child.text().is_some_and(|text| !text.trim().is_empty()))
        })
}
