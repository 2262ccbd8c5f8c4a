//! The layers of a configuration in one tree: file, environment, `--set`, each value with its origin.
//!
//! A later layer replaces a value of an earlier one. What a layer may address is decided by the outline;
//! what it says is judged later, in one place, by [`super::shape`].

use std::ops::Range;
use std::sync::Arc;

use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

use super::outline::{Key, OUTLINE, Section, Shape};
use super::problem::{Origin, Origins, Problem};
use super::shape::did_you_mean;

/// The environment variables that set keys begin with this.
pub(super) const VARIABLE_PREFIX: &str = "CHANCERY__";

/// All layers, merged.
pub(super) struct Layers {
    pub root: Table,
    pub origins: Origins,
    pub problems: Vec<Problem>,
}

impl Layers {
    /// The first layer. Syntax errors are problems, and then the tree is empty.
    pub(super) fn from_text(text: &str, origins: Origins) -> Self {
        let mut layers = Self { root: Table::new(), origins, problems: Vec::new() };
        let (document, errors) = DeTable::parse_recoverable(text);
        let lines = Lines::new(text);
        if errors.is_empty() {
            layers.root = layers.table(document.into_inner(), &mut Vec::new(), &lines);
        }
        for error in errors {
            let place = layers.in_file(&lines, error.span().unwrap_or_default());
            layers.problems.push(syntax_problem(place, error.message()));
        }
        layers.problems.sort_by_key(|problem| problem.place.line());
        layers
    }

    fn in_file(&self, lines: &Lines<'_>, span: Range<usize>) -> Origin {
        let (line, column) = lines.position(span.start);
        Origin::File { file: Arc::clone(self.origins.file()), line, column }
    }

    fn table(&mut self, table: DeTable<'_>, path: &mut Vec<String>, lines: &Lines<'_>) -> Table {
        let mut merged = Table::new();
        for (key, value) in table {
            let place = self.in_file(lines, key.span());
            let name = key.into_inner().into_owned();
            path.push(name.clone());
            self.origins.record(path.clone(), place);
            merged.insert(name, self.value(value, path, lines));
            path.pop();
        }
        merged
    }

    fn value(&mut self, value: Spanned<DeValue<'_>>, path: &mut Vec<String>, lines: &Lines<'_>) -> Value {
        match value.into_inner() {
            DeValue::String(text) => Value::String(text.into_owned()),
            // A number too large for TOML itself stays text, which no number key takes.
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => Value::Integer(number),
                Err(_) => Value::String(number.to_string()),
            },
            DeValue::Float(number) => match number.as_str().parse() {
                Ok(number) => Value::Float(number),
                Err(_) => Value::String(number.to_string()),
            },
            DeValue::Boolean(flag) => Value::Boolean(flag),
            DeValue::Datetime(time) => Value::Datetime(time),
            DeValue::Array(items) => {
                let mut merged = Vec::with_capacity(items.len());
                for (index, item) in items.into_iter().enumerate() {
                    path.push(index.to_string());
                    let place = self.in_file(lines, item.span());
                    self.origins.record(path.clone(), place);
                    merged.push(self.value(item, path, lines));
                    path.pop();
                }
                Value::Array(merged)
            }
            DeValue::Table(table) => Value::Table(self.table(table, path, lines)),
        }
    }

    /// The layer of environment variables: `CHANCERY__SECTION__KEY=value`.
    pub(super) fn add_variable(&mut self, name: &str, text: &str) {
        let origin = Origin::Environment(name.to_owned());
        let steps: Vec<String> = name[VARIABLE_PREFIX.len()..].split("__").map(str::to_lowercase).collect();
        if let Some(Key { shape: Shape::Entries(_), name: list, .. }) = OUTLINE.key(&steps[0]) {
            let cure = match list.as_str() {
                "adapter" => "set it in the file, or with --set adapter.NAME.KEY=VALUE".to_owned(),
                _ => format!("write it as [[{list}]] in the file"),
            };
            let expected = "a key outside [[source]] and [[adapter]], whose entries no variable can name";
            self.refuse(origin, &steps.join("."), "cannot be set by the environment", expected, &cure);
            return;
        }
        if text.is_empty() {
            self.refuse(origin, &steps.join("."), "is empty", "a value", "give it a value, or unset the variable");
            return;
        }
        self.set(Vec::new(), &OUTLINE, &steps, text, origin);
    }

    /// The layer of `--set KEY=VALUE`, where `adapter.NAME.KEY` names an adapter.
    pub(super) fn add_argument(&mut self, argument: &str) {
        let Some((key, text)) = argument.split_once('=') else {
            let origin = Origin::Argument(argument.to_owned());
            self.refuse(
                origin,
                argument,
                "has no value",
                "KEY=VALUE",
                "write --set KEY=VALUE, such as log.level=debug",
            );
            return;
        };
        let (key, text) = (key.trim(), text.trim());
        let origin = Origin::Argument(key.to_owned());
        let steps: Vec<String> = key.split('.').map(|step| step.trim().to_owned()).collect();
        match OUTLINE.key(&steps[0]) {
            Some(Key { shape: Shape::Entries(section), name, .. }) if name == "adapter" => {
                if let Some(index) = self.adapter_index(&steps, &origin) {
                    let path = vec![name.clone(), index.to_string()];
                    self.set(path, section, &steps[2..], text, origin);
                }
            }
            Some(Key { shape: Shape::Entries(_), name, .. }) => {
                let cure = format!("write it as [[{name}]] in the file");
                self.refuse(origin, key, "cannot be set by an argument", "a key outside [[source]]", &cure);
            }
            _ => self.set(Vec::new(), &OUTLINE, &steps, text, origin),
        }
    }

    fn adapter_index(&mut self, steps: &[String], origin: &Origin) -> Option<usize> {
        let list = self.root.get("adapter").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let names: Vec<&str> =
            list.iter().map(|entry| entry.get("name").and_then(Value::as_str).unwrap_or_default()).collect();
        let (found, expected, cure) = match steps {
            [_, name, _, ..] => match names.iter().position(|known| known == name) {
                Some(index) => return Some(index),
                None => (
                    format!("names the adapter {name:?}, which the file does not have"),
                    if names.is_empty() {
                        "an [[adapter]] in the file".to_owned()
                    } else {
                        format!("one of the names {}", names.join(", "))
                    },
                    match did_you_mean(name, names.iter().copied()) {
                        Some(close) => format!("write adapter.{close}.KEY=VALUE"),
                        None => "use the name of an adapter in the file".to_owned(),
                    },
                ),
            },
            _ => (
                "names no key of an adapter".to_owned(),
                "adapter.NAME.KEY=VALUE".to_owned(),
                "write --set adapter.NAME.KEY=VALUE, such as adapter.vantage.interval=5m".to_owned(),
            ),
        };
        self.refuse(origin.clone(), &steps.join("."), &found, &expected, &cure);
        None
    }

    fn set(&mut self, mut path: Vec<String>, section: &Section, steps: &[String], text: &str, origin: Origin) {
        let name = &steps[0];
        let dotted = || steps.join(".");
        path.push(name.clone());
        match (section.key(name).map(|key| &key.shape), &steps[1..]) {
            (Some(Shape::Section(inner)), rest) if !rest.is_empty() => self.set(path, inner, rest, text, origin),
            (Some(Shape::Texts), rest) if !rest.is_empty() => {
                path.push(rest.join("."));
                self.put(path, value_from_text(&Shape::Text, text), origin);
            }
            (Some(Shape::Entries(_)), _) => {
                let list = path.join(".");
                let cure = format!("write it as [[{list}]] in the file");
                self.refuse(
                    origin,
                    &list,
                    "is a list of tables",
                    "a key outside lists, whose entries have no names",
                    &cure,
                );
            }
            (Some(Shape::Section(inner)), _) => {
                let example = inner.keys.first().map_or("KEY", |key| &key.name);
                let cure = format!("name one of its keys, such as {name}.{example}");
                self.refuse(origin, &dotted(), "is a section", "a key", &cure);
            }
            (Some(Shape::Texts), _) => {
                let cure = format!("name one of its keys: {name}.KEY=VALUE");
                self.refuse(origin, &dotted(), "is a table", "a key", &cure);
            }
            (Some(shape), []) => self.put(path, value_from_text(shape, text), origin),
            (Some(_), _) => {
                let found = format!("looks below {name}, which is a single value");
                let cure = format!("set {name} itself");
                self.refuse(origin, &dotted(), &found, "the name of a key", &cure);
            }
            // Left in the tree, so that it is judged with the unknown keys of the file.
            (None, _) => self.put(path, Value::String(text.to_owned()), origin),
        }
    }

    /// Replaces the value at a path of tables and list entries.
    fn put(&mut self, path: Vec<String>, value: Value, origin: Origin) {
        let Some((last, parents)) = path.split_last() else { return };
        let mut place = &mut self.root;
        let mut steps = parents.iter();
        while let Some(step) = steps.next() {
            let mut child = place.entry(step.clone()).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Array(items) = child {
                let Some(item) = steps.next().and_then(|n| n.parse().ok()).and_then(|n: usize| items.get_mut(n)) else {
                    return;
                };
                child = item;
            }
            // A section that is no table is reported as such; there is nowhere to put the value.
            let Value::Table(table) = child else { return };
            place = table;
        }
        place.insert(last.clone(), value);
        self.origins.record(path, origin);
    }

    fn refuse(&mut self, place: Origin, key: &str, found: &str, expected: &str, cure: &str) {
        self.problems.push(Problem {
            place,
            entry: None,
            key: key.to_owned(),
            found: found.to_owned(),
            expected: expected.to_owned(),
            cure: cure.to_owned(),
        });
    }
}

/// Text from outside the file is TOML where the key takes more than text, and else just text; quoted
/// text loses its quotes.
fn value_from_text(shape: &Shape, text: &str) -> Value {
    let parsed = || DeValue::parse(text).ok().map(Spanned::into_inner);
    match (shape, parsed()) {
        (Shape::Flag | Shape::Number { .. }, Some(DeValue::Boolean(flag))) => Value::Boolean(flag),
        (Shape::Flag | Shape::Number { .. }, Some(DeValue::Integer(number))) => {
            match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => Value::Integer(number),
                Err(_) => Value::String(text.to_owned()),
            }
        }
        (_, Some(DeValue::String(unquoted))) => Value::String(unquoted.into_owned()),
        _ => Value::String(text.to_owned()),
    }
}

fn syntax_problem(place: Origin, message: &str) -> Problem {
    let (found, expected) = message.split_once(", expected ").unwrap_or((message, "TOML"));
    let (expected, cure) = if found.contains("duplicate key") {
        ("each key once", "keep one of the two")
    } else if found.contains("unclosed") || found.ends_with("string") && expected.contains('"') {
        (expected, "close it on this line")
    } else if found.contains("must be quoted") || found.starts_with("invalid") {
        ("a number, true, false, or text in double quotes", "put text in double quotes")
    } else if found.contains("no value") {
        (expected, "write KEY = VALUE")
    } else {
        (expected, "mend the line; `chancery config sample` shows the form")
    };
    // Text without quotes is taken for whatever its first letters look like: `info` for a float.
    let found = if found == "invalid float" { "a value that TOML cannot read" } else { found };
    Problem {
        place,
        entry: None,
        key: String::new(),
        found: found.to_owned(),
        expected: expected.to_owned(),
        cure: cure.to_owned(),
    }
}

/// Byte offsets as lines and columns.
struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { text, starts }
    }

    fn position(&self, offset: usize) -> (usize, usize) {
        let line = self.starts.partition_point(|&start| start <= offset);
        let start = self.starts[line - 1];
        let column = self.text.get(start..offset).map_or(0, |before| before.chars().count());
        (line, column + 1)
    }
}
