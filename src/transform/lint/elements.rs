//! Rules about elements: instructions that are not there, documents that are written, output that breaks.

use roxmltree::Node;

use super::source::{Source, XSL, is_xsl};
use super::{Finding, Severity};

/// The instructions of XSLT 1.0.
#[rustfmt::skip]
const INSTRUCTIONS: &[&str] = &[
    "stylesheet", "transform", "import", "include", "strip-space", "preserve-space", "output", "key", "decimal-format",
    "namespace-alias", "attribute-set", "variable", "param", "template", "apply-templates", "apply-imports",
    "call-template", "with-param", "value-of", "copy-of", "copy", "number", "choose", "when", "otherwise", "if",
    "for-each", "sort", "text", "element", "attribute", "comment", "processing-instruction", "message", "fallback",
];

/// Instructions of later versions, and what XSLT 1.0 has in their place.
const LATER: &[(&str, &str)] = &[
    ("for-each-group", "use set:distinct() and a key"),
    ("function", "use a named template"),
    ("analyze-string", "use str:tokenize()"),
    ("sequence", "use xsl:copy-of or xsl:value-of"),
    ("next-match", "use modes"),
    ("perform-sort", "use xsl:for-each with xsl:sort"),
    ("character-map", "use str:replace()"),
    ("namespace", "declare the namespace on a literal element"),
];

/// Extension elements that write files, and the namespaces they are in.
const WRITERS: &[(&str, &str)] = &[
    ("http://exslt.org/common", "document"),
    ("http://icl.com/saxon", "output"),
    ("http://saxon.sf.net/", "output"),
    ("http://www.jclark.com/xt", "document"),
    ("org.apache.xalan.xslt.extensions.Redirect", "write"),
    ("http://xml.apache.org/xalan/redirect", "write"),
    ("http://www.w3.org/1999/XSL/Transform", "document"),
    ("http://www.w3.org/1999/XSL/Transform", "result-document"),
];

/// Applies every rule to the elements of a file.
pub(super) fn examine(source: &Source<'_, '_>, findings: &mut Vec<Finding>) {
    let mut report = |node, attribute: Option<&str>, severity, rule, found: String, cure: &str| {
        let place = attribute.map_or_else(|| source.place(node), |name| source.attribute_place(node, name));
        findings.push(source.finding(place, severity, rule, found, cure));
    };
    let root = source.root();
    let (version, attribute) = match root.attribute("version") {
        Some(version) => (Some(version), "version"),
        None => (root.attribute((XSL, "version")), "xsl:version"),
    };
    if let Some(version) = version.filter(|version| *version != "1.0" && *version != "1.1") {
        report(
            root,
            Some(attribute),
            Severity::Warning,
            "version",
            format!("version {version} is asked for, and XSLT 1.0 with EXSLT is there"),
            "write version=\"1.0\", and mend what then fails",
        );
    }
    for node in source.elements() {
        let name = node.tag_name().name();
        let Some(namespace) = node.tag_name().namespace() else { continue };
        let extension = is_extension(node, namespace);
        if WRITERS.contains(&(namespace, name)) && (extension || namespace == XSL) {
            report(
                node,
                None,
                Severity::Error,
                "writes-document",
                format!("{} writes a file of its own, which is refused", qualified(node)),
                "write everything into the one result; one_room_per_file makes a file for each room",
            );
        } else if namespace == XSL && !INSTRUCTIONS.contains(&name) {
            if !node.children().any(|child| is_xsl(child, "fallback")) {
                let cure = LATER
                    .iter()
                    .find(|(later, _)| *later == name)
                    .map_or("use the elements of XSLT 1.0", |(_, cure)| cure);
                report(
                    node,
                    None,
                    Severity::Error,
                    "unknown-instruction",
                    format!("there is no xsl:{name} in XSLT 1.0"),
                    cure,
                );
            }
        } else if extension {
            let cure = match namespace {
                "http://exslt.org/functions" => "write a named template, and call it with xsl:call-template",
                _ => "write it with elements of XSLT 1.0; of extensions there are functions only",
            };
            if !node.children().any(|child| is_xsl(child, "fallback")) {
                let found = format!("the extension element {} is not there", qualified(node));
                report(node, None, Severity::Error, "extension-element", found, cure);
            }
        }
        if namespace == XSL {
            instruction(node, name, &mut report);
        }
    }
}

type Report<'r, 'd, 'i> = dyn FnMut(Node<'d, 'i>, Option<&str>, Severity, &'static str, String, &str) + 'r;

fn instruction<'d, 'i>(node: Node<'d, 'i>, name: &str, report: &mut Report<'_, 'd, 'i>) {
    if name == "number" && node.attribute("level") == Some("any") && !node.has_attribute("from") {
        report(
            node,
            Some("level"),
            Severity::Slow,
            "numbers-whole-document",
            "level=\"any\" counts through the whole document for each number".into(),
            "add from=\"Conversation\", or use position()",
        );
    }
    if node.attribute("disable-output-escaping") == Some("yes") {
        escaping(node, report);
    }
    if name == "output" {
        let encoding = node.attribute("encoding").unwrap_or("UTF-8").to_ascii_uppercase();
        if encoding.starts_with("UTF-16") || encoding.starts_with("UTF-32") || encoding.starts_with("UCS") {
            report(
                node,
                Some("encoding"),
                Severity::Hint,
                "encoding",
                format!("results in {encoding} cannot be joined, so that the adapter needs render = \"whole\""),
                "write encoding=\"UTF-8\"",
            );
        }
    }
}

fn escaping<'d, 'i>(node: Node<'d, 'i>, report: &mut Report<'_, 'd, 'i>) {
    let text_output = node
        .document()
        .root_element()
        .children()
        .any(|child| is_xsl(child, "output") && child.attribute("method") == Some("text"));
    let swallowed = ["variable", "param", "with-param", "attribute", "comment", "message"];
    let into = node.ancestors().skip(1).find_map(|outer| swallowed.into_iter().find(|name| is_xsl(outer, name)));
    let (found, cure) = match into {
        _ if text_output => return,
        Some(outer) => (
            format!("disable-output-escaping has no effect within xsl:{outer}"),
            "write the elements out instead of their text",
        ),
        None => (
            "what people wrote is printed as it is, so that a single < makes the result unreadable".into(),
            "write the elements out instead of their text, or use cdata-section-elements",
        ),
    };
    report(node, Some("disable-output-escaping"), Severity::Warning, "unescaped", found, cure);
}

/// Whether the namespace is declared as one of extension elements where the node stands.
fn is_extension(node: Node<'_, '_>, namespace: &str) -> bool {
    if namespace == "http://exslt.org/functions"
        && node.parent_element().is_some_and(|parent| parent == node.document().root_element())
    {
        return true;
    }
    namespace != XSL
        && node.ancestors().filter(Node::is_element).any(|outer| {
            let declared = if outer.tag_name().namespace() == Some(XSL) {
                outer.attribute("extension-element-prefixes")
            } else {
                outer.attribute((XSL, "extension-element-prefixes"))
            };
            declared.unwrap_or_default().split_whitespace().any(|prefix| {
                let prefix = (prefix != "#default").then_some(prefix);
                outer.lookup_namespace_uri(prefix) == Some(namespace)
            })
        })
}

fn qualified(node: Node<'_, '_>) -> String {
    let (name, namespace) = (node.tag_name().name(), node.tag_name().namespace().unwrap_or_default());
    match node.lookup_prefix(namespace) {
        Some(prefix) => format!("{prefix}:{name}"),
        None => name.to_owned(),
    }
}
