//! HTML out of the elements of a packaging document: what XML and HTML write differently, and nothing that runs.

use super::PackageError;
use super::cursor::{Cursor, Element, Node};

/// Elements that HTML writes without an end.
const VOID: [&str; 14] =
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"];

/// Reads what an element holds, and gives it as an HTML document.
///
/// # Errors
/// When it holds elements of another vocabulary, or a script.
pub(super) fn document(cursor: &mut Cursor<'_>, parent: &Element) -> Result<String, PackageError> {
    parent.only(&[])?;
    let mut html = Html { text: String::from("<!DOCTYPE html>\n"), after_return: false };
    // Each open element, and where its content begins.
    let mut open: Vec<(String, usize)> = Vec::new();
    loop {
        match cursor.next()? {
            Some(Node::Start(element)) => {
                let name = html.start(&element)?;
                open.push((name, html.text.len()));
            }
            Some(Node::End) => match open.pop() {
                None => return Ok(html.text),
                Some((name, from)) => {
                    // The text of a style is not escaped in HTML, so it must not hold what could end it.
                    if name == "style" && html.text[from..].contains("</") {
                        return Err(parent.unexpected("a style without \"</\""));
                    }
                    html.end(&name);
                }
            },
            Some(Node::Text(text)) if open.last().is_some_and(|(name, _)| name == "style") => html.text.push_str(&text),
            Some(Node::Text(text)) => html.escape(&text),
            None => return Err(parent.lacks("an end")),
        }
    }
}

/// HTML as it is written.
struct Html {
    text: String,
    /// Whether the last character was a carriage return: XML writes the one as a reference and the line feed
    /// behind it as itself, so they come in two texts.
    after_return: bool,
}

impl Html {
    fn start(&mut self, element: &Element) -> Result<String, PackageError> {
        let name = match element.html_name() {
            Some(name) if !name.eq_ignore_ascii_case("script") => name,
            _ => return Err(element.unexpected("elements of HTML, and no script")),
        };
        self.after_return = false;
        self.text.extend(["<", name]);
        for (name, value) in element.attributes() {
            self.text.extend([" ", name, "=\""]);
            self.escape(value);
            self.after_return = false;
            self.text.push('"');
        }
        self.text.push('>');
        Ok(name.to_owned())
    }

    fn end(&mut self, name: &str) {
        self.after_return = false;
        if !VOID.contains(&name) {
            self.text.extend(["</", name, ">"]);
        }
    }

    /// A carriage return is a line break, as it is to a reader of HTML that meets one; as a reference it would be none.
    fn escape(&mut self, text: &str) {
        for c in text.chars() {
            let after_return = std::mem::replace(&mut self.after_return, c == '\r');
            match c {
                '&' => self.text.push_str("&amp;"),
                '<' => self.text.push_str("&lt;"),
                '>' => self.text.push_str("&gt;"),
                '"' => self.text.push_str("&quot;"),
                '\n' if after_return => {}
                '\r' => self.text.push('\n'),
                c => self.text.push(c),
            }
        }
    }
}
