//! The functions a stylesheet may call, and what to write instead of those it may not.

/// XPath 1.0 and XSLT 1.0.
#[rustfmt::skip]
const PLAIN: &[&str] = &[
    "last", "position", "count", "id", "local-name", "namespace-uri", "name", "string", "concat", "starts-with",
    "contains", "substring-before", "substring-after", "substring", "string-length", "normalize-space", "translate",
    "boolean", "not", "true", "false", "lang", "number", "sum", "floor", "ceiling", "round", "document", "key",
    "format-number", "current", "unparsed-entity-uri", "generate-id", "system-property", "element-available",
    "function-available",
];

/// The EXSLT modules that are there, with their functions.
const MODULES: &[(&str, &str, &[&str])] = &[
    ("http://exslt.org/common", "exsl", &["node-set", "object-type"]),
    (
        "http://exslt.org/strings",
        "str",
        &["tokenize", "split", "encode-uri", "decode-uri", "padding", "align", "concat", "replace"],
    ),
    (
        "http://exslt.org/math",
        "math",
        &[
            "min", "max", "highest", "lowest", "constant", "random", "abs", "sqrt", "power", "log", "sin", "cos",
            "tan", "asin", "acos", "atan", "atan2", "exp",
        ],
    ),
    (
        "http://exslt.org/sets",
        "set",
        &["difference", "intersection", "distinct", "has-same-node", "leading", "trailing"],
    ),
    (
        "http://exslt.org/dates-and-times",
        "date",
        &[
            "add",
            "add-duration",
            "date",
            "date-time",
            "day-abbreviation",
            "day-in-month",
            "day-in-week",
            "day-in-year",
            "day-name",
            "day-of-week-in-month",
            "difference",
            "duration",
            "hour-in-day",
            "leap-year",
            "minute-in-hour",
            "month-abbreviation",
            "month-in-year",
            "month-name",
            "second-in-minute",
            "seconds",
            "sum",
            "time",
            "week-in-month",
            "week-in-year",
            "year",
        ],
    ),
];

/// Functions of later versions of XPath and XSLT, and what XSLT 1.0 has in their place.
const LATER: &[(&str, &str)] = &[
    ("if", "use xsl:choose"),
    ("upper-case", "use translate(…, 'abc…', 'ABC…')"),
    ("lower-case", "use translate(…, 'ABC…', 'abc…')"),
    ("ends-with", "use substring(a, string-length(a) - string-length(b) + 1) = b"),
    ("string-join", "use xsl:for-each with xsl:if test=\"position() > 1\""),
    ("tokenize", "use str:tokenize()"),
    ("replace", "use str:replace(), which takes plain texts"),
    ("matches", "use contains() or starts-with()"),
    ("distinct-values", "use set:distinct()"),
    ("exists", "use boolean()"),
    ("empty", "use not()"),
    ("avg", "use sum() div count()"),
    ("min", "use math:min()"),
    ("max", "use math:max()"),
    ("abs", "use math:abs()"),
    ("index-of", "use a key"),
    ("format-date", "cut the text of @string with substring()"),
    ("format-dateTime", "cut the text of @string with substring()"),
    ("current-dateTime", "use a time of the document: an output must be the same when it is made again"),
    ("current-date", "use a time of the document: an output must be the same when it is made again"),
    ("current-group", "use a key and set:distinct()"),
    ("current-grouping-key", "use a key and set:distinct()"),
    ("unparsed-text", "put the text into an XML file and use document()"),
    ("doc", "use document()"),
    ("node-set", "use exsl:node-set()"),
    ("round-half-to-even", "use format-number()"),
    ("xs:date", "times are texts in XSLT 1.0"),
];

/// What is wrong with calling a function.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Known,
    /// It is not there; what to do.
    Unknown(String),
    /// What it gives depends on when it is asked.
    Unrepeatable,
}

/// Judges the call of a function without a prefix.
pub(super) fn plain(name: &str) -> Verdict {
    if PLAIN.contains(&name) {
        return Verdict::Known;
    }
    Verdict::Unknown(match LATER.iter().find(|(later, _)| *later == name) {
        Some((_, cure)) => format!("it belongs to a later version; {cure}"),
        None => "XSLT 1.0 has no such function".into(),
    })
}

/// Judges the call of a function in a namespace.
pub(super) fn in_namespace(uri: &str, name: &str, without_arguments: bool) -> Verdict {
    let Some((_, prefix, functions)) = MODULES.iter().find(|(module, _, _)| *module == uri) else {
        let there: Vec<&str> = MODULES.iter().map(|(_, prefix, _)| *prefix).collect();
        return Verdict::Unknown(match uri {
            "http://exslt.org/dynamic" => "expressions made at run time are not allowed; write them out".into(),
            "http://exslt.org/functions" => "use xsl:call-template".into(),
            "http://exslt.org/regular-expressions" => "use contains(), str:tokenize() or str:replace()".into(),
            _ => format!("of extensions there are the EXSLT modules {}", there.join(", ")),
        });
    };
    if !functions.contains(&name) {
        return Verdict::Unknown(format!("the functions of {prefix} are {}", functions.join(", ")));
    }
    let asks_the_clock = *prefix == "date" && without_arguments;
    if asks_the_clock || *prefix == "math" && name == "random" {
        return Verdict::Unrepeatable;
    }
    Verdict::Known
}
