//! The tokens of XPath 1.0, by the rules of its section 3.7: enough to tell a name from an operator, a function
//! from a node test, and a string from everything.
//!
//! It judges nothing. What is no XPath gives the tokens up to the place where it stops being any; the stylesheet's
//! compiler reports the rest.

/// One token, with the byte at which it begins and how deep in brackets it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind<'a>,
    pub(super) at: usize,
    /// How many predicates it stands in.
    pub(super) predicates: u32,
    /// How many parentheses it stands in, those of calls included.
    pub(super) parentheses: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    /// A string, without its quotes.
    Literal(&'a str),
    Number(&'a str),
    /// A node test by name, prefix included.
    Name(&'a str),
    /// The name of a function; its parenthesis follows.
    Function(&'a str),
    /// `text`, `node`, `comment` or `processing-instruction` before a parenthesis.
    NodeType(&'a str),
    /// An axis; `::` belongs to it.
    Axis(&'a str),
    Variable(&'a str),
    /// `and or div mod = != < <= > >= + - * |`
    Operator(&'a str),
    /// `*` as a node test.
    Star,
    Slash,
    DoubleSlash,
    Open,
    Close,
    OpenBracket,
    CloseBracket,
    Comma,
    At,
    Dot,
    DotDot,
}

impl Kind<'_> {
    /// Whether an operand ends with it, so that a name or `*` after it is an operator.
    pub(super) fn ends_operand(self) -> bool {
        matches!(
            self,
            Kind::Literal(_)
                | Kind::Number(_)
                | Kind::Name(_)
                | Kind::Variable(_)
                | Kind::Star
                | Kind::Close
                | Kind::CloseBracket
                | Kind::Dot
                | Kind::DotDot
        )
    }
}

/// The tokens of an expression or pattern.
pub(super) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut found: Vec<Token<'_>> = Vec::new();
    let (mut predicates, mut parentheses) = (0_u32, 0_u32);
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        if first.is_ascii_whitespace() {
            at += 1;
            continue;
        }
        let operand_before = found.last().is_some_and(|token| token.kind.ends_operand());
        let Some((kind, len)) = token_at(&text[at..], operand_before) else { break };
        match kind {
            Kind::CloseBracket => predicates = predicates.saturating_sub(1),
            Kind::Close => parentheses = parentheses.saturating_sub(1),
            _ => {}
        }
        found.push(Token { kind, at, predicates, parentheses });
        match kind {
            Kind::OpenBracket => predicates += 1,
            Kind::Open => parentheses += 1,
            _ => {}
        }
        at += len;
    }
    found
}

/// The token a text begins with, and its length.
fn token_at(text: &str, operand_before: bool) -> Option<(Kind<'_>, usize)> {
    const SYMBOLS: [(&str, Kind<'static>); 14] = [
        ("//", Kind::DoubleSlash),
        ("/", Kind::Slash),
        ("(", Kind::Open),
        (")", Kind::Close),
        ("[", Kind::OpenBracket),
        ("]", Kind::CloseBracket),
        (",", Kind::Comma),
        ("@", Kind::At),
        ("..", Kind::DotDot),
        ("!=", Kind::Operator("!=")),
        ("<=", Kind::Operator("<=")),
        (">=", Kind::Operator(">=")),
        ("<", Kind::Operator("<")),
        (">", Kind::Operator(">")),
    ];
    let first = text.chars().next()?;
    if matches!(first, '"' | '\'') {
        let end = text[1..].find(first)?;
        return Some((Kind::Literal(&text[1..=end]), end + 2));
    }
    let starts_number = first.is_ascii_digit() || first == '.' && text[1..].starts_with(|c: char| c.is_ascii_digit());
    if starts_number {
        let len = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        return Some((Kind::Number(&text[..len]), len));
    }
    if let Some(&(symbol, kind)) = SYMBOLS.iter().find(|(symbol, _)| text.starts_with(symbol)) {
        return Some((kind, symbol.len()));
    }
    match first {
        '.' => Some((Kind::Dot, 1)),
        '*' if operand_before => Some((Kind::Operator("*"), 1)),
        '*' => Some((Kind::Star, 1)),
        '=' | '+' | '-' | '|' => Some((Kind::Operator(&text[..1]), 1)),
        '$' => {
            let len = name_len(&text[1..])?;
            Some((Kind::Variable(&text[1..=len]), len + 1))
        }
        _ => {
            let len = name_len(text)?;
            let name = &text[..len];
            if operand_before {
                return Some((Kind::Operator(name), len));
            }
            let rest = text[len..].trim_start();
            let kind = if let Some(after) = rest.strip_prefix("::") {
                // The colons and the space before them belong to the axis.
                return Some((Kind::Axis(name), text.len() - after.len()));
            } else if rest.starts_with('(') {
                match name {
                    "text" | "node" | "comment" | "processing-instruction" => Kind::NodeType(name),
                    _ => Kind::Function(name),
                }
            } else {
                Kind::Name(name)
            };
            Some((kind, len))
        }
    }
}

/// The length of the qualified name, or `prefix:*`, a text begins with.
fn name_len(text: &str) -> Option<usize> {
    let plain = |text: &str| {
        let mut chars = text.char_indices();
        let starts = chars.next().is_some_and(|(_, c)| c.is_alphabetic() || c == '_');
        starts.then(|| {
            chars
                .find(|&(_, c)| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '\u{b7}')))
                .map_or(text.len(), |(at, _)| at)
        })
    };
    let len = plain(text)?;
    match text[len..].strip_prefix(':') {
        Some(rest) if rest.starts_with('*') => Some(len + 2),
        Some(rest) if !rest.starts_with(':') => Some(plain(rest).map_or(len, |more| len + 1 + more)),
        _ => Some(len),
    }
}

/// The expressions in an attribute value template, each with the byte at which it begins.
pub(super) fn embedded(template: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(open) = template[at..].find('{').map(|open| at + open) {
        if template[open + 1..].starts_with('{') {
            at = open + 2;
            continue;
        }
        let Some(len) = expression_len(&template[open + 1..]) else { break };
        found.push((open + 1, &template[open + 1..open + 1 + len]));
        at = open + 1 + len + 1;
    }
    found
}

/// The length of an expression up to the brace that closes it; braces in strings do not count.
fn expression_len(text: &str) -> Option<usize> {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if matches!(c, '"' | '\'') => quote = Some(c),
            None if c == '}' => return Some(at),
            None => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<Kind<'_>> {
        tokens(text).into_iter().map(|token| token.kind).collect()
    }

    #[test]
    fn names_operators_and_functions_are_told_apart() {
        use Kind::*;
        assert_eq!(
            kinds("div div mod * and/text()[. = 'a//b']"),
            [
                Name("div"),
                Operator("div"),
                Name("mod"),
                Operator("*"),
                Name("and"),
                Slash,
                NodeType("text"),
                Open,
                Close,
                OpenBracket,
                Dot,
                Operator("="),
                Literal("a//b"),
                CloseBracket
            ]
        );
        assert_eq!(
            kinds("a and (b) or count( //x ) -1.5"),
            [
                Name("a"),
                Operator("and"),
                Open,
                Name("b"),
                Close,
                Operator("or"),
                Function("count"),
                Open,
                DoubleSlash,
                Name("x"),
                Close,
                Operator("-"),
                Number("1.5")
            ]
        );
        assert_eq!(
            kinds("preceding-sibling :: c:Participant[1]/@c:* | $v/..//self::node()"),
            [
                Axis("preceding-sibling"),
                Name("c:Participant"),
                OpenBracket,
                Number("1"),
                CloseBracket,
                Slash,
                At,
                Name("c:*"),
                Operator("|"),
                Variable("v"),
                Slash,
                DotDot,
                DoubleSlash,
                Axis("self"),
                NodeType("node"),
                Open,
                Close
            ]
        );
    }

    #[test]
    fn depth_counts_predicates_and_parentheses() {
        let tokens = tokens("f(a[b = (1)])");
        let at = |name| tokens.iter().find(|token| token.kind == name).map(|t| (t.predicates, t.parentheses));
        assert_eq!(at(Kind::Name("b")), Some((1, 1)));
        assert_eq!(at(Kind::Number("1")), Some((1, 2)));
        assert_eq!(at(Kind::CloseBracket), Some((0, 1)));
    }

    #[test]
    fn what_is_no_xpath_ends_quietly() {
        for text in ["'open", "a ! b", "#", "$", "a[", "\u{0}", "é::", "))", "{"] {
            let _ = tokens(text);
        }
        assert_eq!(kinds("'it''s'"), [Kind::Literal("it"), Kind::Literal("s")]);
    }

    #[test]
    fn templates_hold_expressions() {
        assert_eq!(embedded("a{b}c{{d}}{'}'}e{f"), [(2, "b"), (11, "'}'")]);
        assert!(embedded("{{x}}").is_empty());
    }
}
