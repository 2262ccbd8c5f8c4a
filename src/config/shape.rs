//! Whether every value has the shape its key takes: known keys, types, words, numbers in range.
//!
//! What does not fit is reported and taken out of the tree, so that all that remains can be read and
//! checked in the same run.

use std::collections::BTreeSet;

use toml::{Table, Value};

use super::outline::{Key, OUTLINE, Section, Shape};
use super::problem::{Origins, Problem};
use super::{ByteSize, CollectedWhen, Span};

/// The paths of values that were taken out; rules about them say nothing.
pub(super) type Broken = BTreeSet<Vec<String>>;

/// Judges the whole tree.
pub(super) fn check(root: &mut Table, origins: &Origins) -> (Vec<Problem>, Broken) {
    let mut judge = Judge { origins, problems: Vec::new(), broken: Broken::new(), entry: None, depth: 0 };
    judge.section(&OUTLINE, root, &mut Vec::new());
    (judge.problems, judge.broken)
}

/// How a rule names an entry of a list: `adapter "vantage"`, or `source 2` where there is no name.
pub(super) fn entry_label(list: &str, index: usize, name: Option<&str>) -> String {
    match name.filter(|name| !name.is_empty()) {
        Some(name) => format!("{list} {name:?}"),
        None => format!("{list} {}", index + 1),
    }
}

/// The known word that was probably meant.
pub(super) fn did_you_mean<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase().replace('-', "_");
    known
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How a value is shown in a message.
pub(super) fn show(name: &str, value: &Value) -> String {
    match value {
        Value::String(text) if name == "url" => format!("is {:?}", without_password(text)),
        Value::String(text) if text.is_empty() => "is empty".to_owned(),
        Value::String(text) => format!("is {:?}", shorten(text)),
        Value::Integer(number) => format!("is {number}"),
        Value::Float(number) => format!("is {number}"),
        Value::Boolean(flag) => format!("is {flag}"),
        Value::Datetime(time) => format!("is the time {time}"),
        Value::Array(_) => "is a list".to_owned(),
        Value::Table(_) => "is a table".to_owned(),
    }
}

/// An address with `***` in place of a password, before the host or in the query.
pub(super) fn without_password(url: &str) -> String {
    let (address, query) = url.split_once('?').map_or((url, None), |(address, query)| (address, Some(query)));
    let start = address.find("://").map_or(0, |at| at + 3);
    let mut shown = match address[start..].rfind('@').map(|at| start + at) {
        Some(end) => match address[start..end].find(':').map(|at| start + at) {
            Some(colon) => format!("{}:***{}", &address[..colon], &address[end..]),
            None => address.to_owned(),
        },
        None => address.to_owned(),
    };
    for (index, pair) in query.into_iter().flat_map(|query| query.split('&')).enumerate() {
        shown.push(if index == 0 { '?' } else { '&' });
        match pair.split_once('=') {
            Some((name, _)) if name.eq_ignore_ascii_case("password") => shown.push_str(&format!("{name}=***")),
            _ => shown.push_str(pair),
        }
    }
    shown
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

struct Judge<'a> {
    origins: &'a Origins,
    problems: Vec<Problem>,
    broken: Broken,
    /// The entry of a list the judge is in.
    entry: Option<String>,
    /// How many steps of the path lead to that entry.
    depth: usize,
}

impl Judge<'_> {
    fn section(&mut self, section: &Section, table: &mut Table, path: &mut Vec<String>) {
        let names: Vec<String> = table.keys().cloned().collect();
        for name in names {
            path.push(name.clone());
            match (section.key(&name), table.get_mut(&name)) {
                (Some(key), Some(value)) => {
                    if !self.value(key, value, path) {
                        table.remove(&name);
                        self.broken.insert(path.clone());
                    }
                }
                _ => {
                    table.remove(&name);
                    self.unknown_key(section, &name, path);
                }
            }
            path.pop();
        }
        for key in section.keys.iter().filter(|key| key.required) {
            if table.contains_key(&key.name) {
                continue;
            }
            path.push(key.name.clone());
            if self.broken.insert(path.clone()) {
                let example = key.example.as_ref().map(ToString::to_string).unwrap_or_default();
                self.report(path, "is missing".into(), expectation(key), format!("add {} = {example}", key.name));
            }
            path.pop();
            table.insert(key.name.clone(), Value::String(String::new()));
        }
    }

    /// Whether the value fits its key. A table always stays; what does not fit inside is taken out.
    fn value(&mut self, key: &Key, value: &mut Value, path: &mut Vec<String>) -> bool {
        match (&key.shape, value) {
            (Shape::Section(section), Value::Table(table)) => self.section(section, table, path),
            (Shape::Entries(section), Value::Array(items)) if items.iter().all(Value::is_table) => {
                self.entries(section, items, path);
            }
            (Shape::Texts, Value::Table(table)) => {
                let wrong: Vec<String> =
                    table.iter().filter(|(_, value)| !value.is_str()).map(|(name, _)| name.clone()).collect();
                for name in wrong {
                    path.push(name.clone());
                    let found = table.remove(&name).map(|value| show(&name, &value)).unwrap_or_default();
                    self.report(path, found, "text".into(), "put the value in double quotes".into());
                    path.pop();
                }
            }
            (_, value) => {
                if let Some((expected, cure)) = mismatch(key, value, path) {
                    self.report(path, show(&key.name, value), expected, cure);
                    return false;
                }
            }
        }
        true
    }

    fn entries(&mut self, section: &Section, items: &mut [Value], path: &mut Vec<String>) {
        for (index, item) in items.iter_mut().enumerate() {
            let Value::Table(table) = item else { continue };
            path.push(index.to_string());
            let list = path[..path.len() - 1].join(".");
            self.entry = Some(entry_label(&list, index, table.get("name").and_then(Value::as_str)));
            self.depth = path.len();
            self.section(section, table, path);
            self.entry = None;
            self.depth = 0;
            path.pop();
        }
    }

    fn unknown_key(&mut self, section: &Section, name: &str, path: &[String]) {
        let known = || section.keys.iter().map(|key| key.name.as_str());
        let secret = matches!(name, "password" | "passwd" | "secret") && section.key("password_file").is_some();
        let token = matches!(name, "token" | "bearer" | "secret") && section.key("token_file").is_some();
        let cure = match did_you_mean(name, known()) {
            _ if token => "write the token to a file and name it in token_file, or use token_env".to_owned(),
            _ if secret => "write the password to a file and name it in password_file, or use password_env".to_owned(),
            Some(close) => format!("did you mean {close}?"),
            None => "remove it, or see `chancery config sample`".to_owned(),
        };
        let expected = format!("one of {}", known().collect::<Vec<_>>().join(", "));
        self.report(path, "is no key here".into(), expected, cure);
    }

    fn report(&mut self, path: &[String], found: String, expected: String, cure: String) {
        let steps: Vec<&str> = path.iter().map(String::as_str).collect();
        self.problems.push(Problem {
            place: self.origins.nearest(&steps),
            entry: self.entry.clone(),
            key: path[self.depth..].join("."),
            found,
            expected,
            cure,
        });
    }
}

/// What the key at `path` takes and how to mend this value; `None` if it fits.
fn mismatch(key: &Key, value: &Value, path: &[String]) -> Option<(String, String)> {
    let text = value.as_str();
    let fits = match &key.shape {
        Shape::Flag => value.is_bool(),
        Shape::Number { min, max } => {
            value.as_integer().and_then(|n| u64::try_from(n).ok()).is_some_and(|n| (*min..=*max).contains(&n))
        }
        Shape::Text | Shape::Transform => text.is_some(),
        Shape::Path => text.is_some_and(|text| !text.is_empty() && !text.contains('\0')),
        Shape::Span => text.is_some_and(|text| text.parse::<Span>().is_ok()),
        Shape::Size => text.is_some_and(|text| text.parse::<ByteSize>().is_ok()),
        Shape::Proof => text.is_some_and(|text| text.parse::<CollectedWhen>().is_ok()),
        Shape::Words(words) => text.is_some_and(|text| words.iter().any(|word| word == text)),
        Shape::Texts | Shape::Section(_) | Shape::Entries(_) => false,
    };
    (!fits).then(|| (expectation(key), cure(key, value, path)))
}

/// What a key takes, in words.
pub(super) fn expectation(key: &Key) -> String {
    match &key.shape {
        Shape::Flag => "true or false".to_owned(),
        Shape::Number { min, max } => format!("a whole number from {min} to {max}"),
        Shape::Text => "text".to_owned(),
        Shape::Path => "a path".to_owned(),
        Shape::Transform => "a path or the name of a shipped transform".to_owned(),
        Shape::Span => "a span of time such as \"90s\", \"15m\", \"8h\" or \"30d\"".to_owned(),
        Shape::Size => "a size such as \"64KiB\", \"50MB\" or \"1GiB\"".to_owned(),
        Shape::Proof => "\"removed\", \"acknowledged\", \"told\" or \"after:<span>\"".to_owned(),
        Shape::Words(words) => {
            let quoted: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
            format!("one of {}", quoted.join(", "))
        }
        Shape::Texts => "a table of texts".to_owned(),
        Shape::Section(_) => "a section".to_owned(),
        Shape::Entries(_) => "a list of tables".to_owned(),
    }
}

fn cure(key: &Key, value: &Value, path: &[String]) -> String {
    let name = &key.name;
    // Headers do not count the entries of lists.
    let header =
        || path.iter().filter(|step| step.parse::<usize>().is_err()).map(String::as_str).collect::<Vec<_>>().join(".");
    match (&key.shape, value) {
        (Shape::Flag, Value::String(text)) if text == "true" || text == "false" => "leave the quotes out".to_owned(),
        (Shape::Flag, _) => format!("write {name} = true or {name} = false"),
        (Shape::Number { .. }, Value::String(text)) if text.parse::<u32>().is_ok() => "leave the quotes out".to_owned(),
        (Shape::Number { min, .. }, Value::Integer(number)) if *number < i64::try_from(*min).unwrap_or(i64::MAX) => {
            format!("set it to {min} or more")
        }
        (Shape::Number { max, .. }, Value::Integer(_)) => format!("set it to {max} or less"),
        (Shape::Span, Value::Integer(number)) => {
            format!("give it a unit: \"{number}s\", \"{number}m\" or \"{number}h\"")
        }
        (Shape::Size, Value::Integer(number)) => format!("write it as text: \"{number}B\""),
        (Shape::Words(words), Value::String(text)) => match did_you_mean(text, words.iter().map(String::as_str)) {
            Some(close) => format!("did you mean {close:?}?"),
            None => "choose one of these words".to_owned(),
        },
        (Shape::Proof, Value::String(text)) => {
            match did_you_mean(text, ["removed", "acknowledged", "told"].into_iter()) {
                Some(close) => format!("did you mean {close:?}?"),
                None => "write \"removed\", or for archives that only read \"after:2h\"".to_owned(),
            }
        }
        (Shape::Section(_), _) => format!("write [{}] on a line of its own, its keys below", header()),
        (Shape::Entries(_), _) => format!("write [[{}]] on a line of its own, its keys below", header()),
        (Shape::Texts, _) => format!("write {name} = {{ NAME = \"text\" }}"),
        (Shape::Path, Value::String(text)) if text.is_empty() => "name a path, or leave the key out".to_owned(),
        (Shape::Text | Shape::Path | Shape::Transform, _) => "put the value in double quotes".to_owned(),
        _ => match key.default.as_ref().or(key.example.as_ref()) {
            Some(value) => format!("write it like {value}"),
            None => "see `chancery config sample`".to_owned(),
        },
    }
}
