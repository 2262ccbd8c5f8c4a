//! Rules about single expressions: functions that are not there, and paths that take long.

use super::functions::{self, Verdict};
use super::source::{Expression, Role, Source, is_xsl};
use super::xpath::{Kind, Token};
use super::{Finding, Severity};

/// Applies every rule to one expression.
pub(super) fn examine(source: &Source<'_, '_>, expression: &Expression<'_, '_>, findings: &mut Vec<Finding>) {
    let mut report = |at: usize, severity, rule, found: String, cure: String| {
        findings.push(source.finding(source.expression_place(expression, at), severity, rule, found, cure));
    };
    for (index, token) in expression.tokens.iter().enumerate() {
        let found = match token.kind {
            Kind::Function(name) => call(expression, index, name),
            Kind::DoubleSlash | Kind::Slash | Kind::DotDot | Kind::Axis(_) => path(expression, index),
            Kind::Name("userName") if is_attribute(&expression.tokens, index) => old_spelling(expression),
            _ => None,
        };
        if let Some(Found { severity, rule, found, cure }) = found {
            report(token.at, severity, rule, found, cure);
        }
    }
    if let Some((at, found)) = arithmetic_on_time(expression) {
        report(at, found.severity, found.rule, found.found, found.cure);
    }
    if let Some((at, found)) = content_in_message(expression) {
        report(at, found.severity, found.rule, found.found, found.cure);
    }
}

struct Found {
    severity: Severity,
    rule: &'static str,
    found: String,
    cure: String,
}

fn found(severity: Severity, rule: &'static str, found: impl Into<String>, cure: impl Into<String>) -> Option<Found> {
    Some(Found { severity, rule, found: found.into(), cure: cure.into() })
}

fn call(expression: &Expression<'_, '_>, index: usize, name: &str) -> Option<Found> {
    let tokens = &expression.tokens;
    let next = |step: usize| tokens.get(index + step).map(|token| token.kind);
    match name {
        "unparsed-entity-uri" | "id" => {
            return found(
                Severity::Warning,
                "needs-doctype",
                format!("{name}() finds nothing: the canonical XML has no document type"),
                "use a key",
            );
        }
        "count" if next(2) == Some(Kind::Axis("preceding-sibling")) && expression.repeated => {
            return found(
                Severity::Slow,
                "counts-siblings",
                "for each node all nodes before it are counted",
                "use position(), or xsl:number",
            );
        }
        "not" if groups_by_siblings(&tokens[index..]) => {
            return found(
                Severity::Slow,
                "groups-by-siblings",
                "the first of each group is found by comparing each node with all before it",
                "use set:distinct(), or xsl:key and generate-id() = generate-id(key(…)[1])",
            );
        }
        _ => {}
    }
    if expression_asks_for(expression, name) {
        return None;
    }
    let verdict = match name.split_once(':') {
        None => functions::plain(name),
        Some((prefix, local)) => match expression.node.lookup_namespace_uri(Some(prefix)) {
            Some(uri) => functions::in_namespace(uri, local, next(2) == Some(Kind::Close)),
            None => Verdict::Unknown(format!("the prefix {prefix} is not declared")),
        },
    };
    match verdict {
        Verdict::Known => None,
        Verdict::Unknown(cure) => {
            found(Severity::Error, "unknown-function", format!("there is no function {name}()"), cure)
        }
        Verdict::Unrepeatable => found(
            Severity::Warning,
            "not-repeatable",
            format!("{name}() gives something else each time, but the same events must give the same bytes"),
            "use a time of the document, such as EndTimeUTC/@string or Conversation/@c:intervalEnd",
        ),
    }
}

/// Whether an instruction around it makes sure that the function is there.
fn expression_asks_for(expression: &Expression<'_, '_>, name: &str) -> bool {
    expression.node.ancestors().filter_map(|outer| outer.attribute("test")).any(|test| {
        let asked = format!("function-available('{name}')");
        test.contains(&asked) || test.contains(&asked.replace('\'', "\""))
    })
}

/// `not(… = preceding-sibling::…)` or the like, unless only the nearest sibling is looked at.
fn groups_by_siblings(call: &[Token<'_>]) -> bool {
    let depth = call[0].parentheses;
    let inside = call
        .iter()
        .skip(2)
        .take_while(|token| !(token.kind == Kind::Close && token.parentheses == depth))
        .copied()
        .collect::<Vec<_>>();
    let compares = inside.iter().any(|token| token.kind == Kind::Operator("="));
    compares
        && inside.iter().enumerate().any(|(index, token)| {
            matches!(token.kind, Kind::Axis("preceding-sibling" | "preceding")) && !takes_nearest(&inside[index..])
        })
}

/// Whether a step goes to the nearest node only: `preceding-sibling::x[1]`.
fn takes_nearest(step: &[Token<'_>]) -> bool {
    let kinds: Vec<Kind<'_>> = step.iter().skip(1).take(4).map(|token| token.kind).collect();
    matches!(kinds[..], [_, Kind::OpenBracket, Kind::Number("1"), Kind::CloseBracket])
}

fn path(expression: &Expression<'_, '_>, index: usize) -> Option<Found> {
    let tokens = &expression.tokens;
    let token = tokens[index];
    if let Kind::Axis(axis @ ("preceding" | "following")) = token.kind {
        return found(
            Severity::Slow,
            "whole-document-axis",
            format!("{axis}:: visits the rest of the document, other conversations included"),
            format!("use {axis}-sibling::, or a key"),
        );
    }
    let before = index.checked_sub(1).map(|before| tokens[before].kind);
    let begins = !before.is_some_and(|kind| kind.ends_operand() || matches!(kind, Kind::Slash | Kind::DoubleSlash));
    let descends = matches!(token.kind, Kind::DoubleSlash | Kind::Axis("descendant" | "descendant-or-self"));
    // A pattern is matched upwards from each node; only its predicates walk.
    let walks = expression.role != Role::Pattern || token.predicates > 0;
    if !walks || !(descends || begins && matches!(token.kind, Kind::Slash | Kind::DotDot)) {
        return None;
    }
    let many = expression.repeated && expression.role != Role::Once || token.predicates > 0;
    if many && joins(&tokens[index..], token.kind != Kind::DotDot) {
        return found(
            Severity::Slow,
            "join-without-key",
            "for each node, many nodes are searched for those with an equal value",
            "declare <xsl:key name=\"…\" match=\"…\" use=\"…\"/> and use key()",
        );
    }
    let absolute = begins && token.kind == Kind::DoubleSlash
        || matches!(token.kind, Kind::Axis(_)) && before == Some(Kind::Slash) && begins_at(tokens, index - 1);
    let looped = expression.node.ancestors().skip(1).any(|outer| is_xsl(outer, "for-each")) || token.predicates > 0;
    if descends && many && (absolute || looped) {
        return found(
            Severity::Slow,
            "searches-descendants",
            "for each node, a whole tree is searched",
            "write the path out, such as Messages/Message, or use a key",
        );
    }
    None
}

fn begins_at(tokens: &[Token<'_>], index: usize) -> bool {
    index.checked_sub(1).is_none_or(|before| !tokens[before].kind.ends_operand())
}

/// Whether a path has a predicate that compares with the current node or, where it may, with a variable.
fn joins(path: &[Token<'_>], with_variables: bool) -> bool {
    let (predicates, parentheses) = (path[0].predicates, path[0].parentheses);
    let steps = path.iter().skip(1).take_while(|token| {
        let same_level = token.predicates == predicates && token.parentheses == parentheses;
        let ends = matches!(token.kind, Kind::Operator(_) | Kind::Comma | Kind::Close);
        token.predicates > predicates || !(same_level && ends) && token.parentheses >= parentheses
    });
    let inside: Vec<Kind<'_>> = steps.filter(|token| token.predicates > predicates).map(|token| token.kind).collect();
    inside.contains(&Kind::Operator("="))
        && inside.iter().any(|kind| match kind {
            Kind::Function("current") => true,
            Kind::Variable(_) => with_variables,
            _ => false,
        })
}

fn is_attribute(tokens: &[Token<'_>], index: usize) -> bool {
    index.checked_sub(1).is_some_and(|before| matches!(tokens[before].kind, Kind::At | Kind::Axis("attribute")))
}

fn old_spelling(expression: &Expression<'_, '_>) -> Option<Found> {
    let knows_both = expression.tokens.iter().any(|token| token.kind == Kind::Name("UserName"));
    if knows_both {
        return None;
    }
    found(
        Severity::Warning,
        "user-name",
        "@userName is empty, unless the adapter has dialect = \"ocs2007r2\"; the published schema spells it UserName",
        "write @UserName | @userName",
    )
}

/// Numbers as large as times: XPath prints them as 1.2e+12, and ticks do not fit into its numbers at all.
fn arithmetic_on_time(expression: &Expression<'_, '_>) -> Option<(usize, Found)> {
    let tokens = &expression.tokens;
    let time = tokens
        .iter()
        .enumerate()
        .find(|(index, token)| matches!(token.kind, Kind::Name("since1970" | "long")) && is_attribute(tokens, *index));
    let (index, token) = time?;
    let calculates = |token: &&Token<'_>| matches!(token.kind, Kind::Operator("+" | "-" | "*" | "div" | "mod"));
    if expression.role == Role::Pattern || !tokens.iter().any(|token| calculates(&token)) {
        return None;
    }
    if token.kind == Kind::Name("long") {
        let found = found(
            Severity::Warning,
            "ticks-lose-digits",
            "ticks have 18 digits, and a number of XPath keeps 15",
            "calculate with @since1970, which has milliseconds, or with parts of the text @string",
        )?;
        return Some((tokens[index].at, found));
    }
    let printed =
        is_xsl(expression.node, "value-of") || expression.node.tag_name().namespace() != Some(super::source::XSL);
    if !printed || tokens.iter().any(|token| token.kind == Kind::Function("format-number")) {
        return None;
    }
    let found = found(
        Severity::Warning,
        "number-with-exponent",
        "large numbers that were calculated are printed like 1.7e+12",
        "write format-number(…, '0')",
    )?;
    Some((tokens[index].at, found))
}

/// Words of a message go to the log, which operators read.
fn content_in_message(expression: &Expression<'_, '_>) -> Option<(usize, Found)> {
    let within = expression.node.ancestors().skip(1).any(|outer| is_xsl(outer, "message"));
    let tokens = &expression.tokens;
    let (_, token) = tokens.iter().enumerate().find(|(index, token)| {
        matches!(token.kind, Kind::Name("content" | "c:previous" | "c:original" | "c:raw"))
            && is_attribute(tokens, *index)
    })?;
    if !within || !(is_xsl(expression.node, "value-of") || is_xsl(expression.node, "copy-of")) {
        return None;
    }
    let found = found(
        Severity::Warning,
        "content-in-log",
        "the words of people go into the log, which operators read",
        "name the event instead: @c:source and @c:event",
    )?;
    Some((token.at, found))
}
