//! Every effective value with its origin, for the question "why is it so?".
//!
//! Passwords are never read here: only the file or variable that holds them is named, and addresses
//! are shown without one.

use serde::Serialize;
use serde_json::Value;

use super::load::Loaded;
use super::outline::{OUTLINE, Section, Shape};
use super::problem::Origin;
use super::sections::{Config, Store};
use super::shape::without_password;

/// One effective value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExplainRow {
    /// Dotted, as `--set` takes it; entries of `source` have a number from 1.
    pub key: String,
    /// The value as TOML writes it; what a default works out to where it depends on others; `-` for none.
    pub value: String,
    /// Who set it.
    pub origin: Origin,
}

/// Every value in the order of the manual.
pub fn explain(loaded: &Loaded) -> Vec<ExplainRow> {
    let mut rows = Vec::new();
    // Serialising plain data into memory cannot fail; no row is better than a panic if it ever does.
    let values = serde_json::to_value(&loaded.config).unwrap_or_default();
    walk(&OUTLINE, &values, &mut Vec::new(), &mut Vec::new(), &mut |path, names, value| {
        rows.push(ExplainRow {
            key: names.join("."),
            value: derived(&loaded.config, path).unwrap_or_else(|| shown(path, value)),
            origin: loaded.origins.of(path),
        });
    });
    rows
}

type Visit<'a> = dyn FnMut(&[&str], &[String], &Value) + 'a;

/// Visits each key with its path by index and its path by name.
fn walk<'a>(
    section: &'a Section,
    values: &Value,
    path: &mut Vec<&'a str>,
    names: &mut Vec<String>,
    visit: &mut Visit<'_>,
) {
    for key in &section.keys {
        let value = &values[&key.name];
        path.push(&key.name);
        names.push(key.name.clone());
        match (&key.shape, value) {
            (Shape::Section(inner), Value::Object(_)) => walk(inner, value, path, names, visit),
            (Shape::Entries(inner), Value::Array(items)) => {
                for (index, item) in items.iter().enumerate() {
                    let name = item["name"].as_str().map_or_else(|| (index + 1).to_string(), str::to_owned);
                    entry(inner, item, (index, name), path, names, visit);
                }
            }
            (Shape::Texts, Value::Object(texts)) => {
                for (name, text) in texts {
                    let full: Vec<&str> = path.iter().copied().chain([name.as_str()]).collect();
                    names.push(name.clone());
                    visit(&full, names, text);
                    names.pop();
                }
            }
            (Shape::Texts, _) => {}
            _ => visit(path, names, value),
        }
        path.pop();
        names.pop();
    }
}

fn entry(
    section: &Section,
    item: &Value,
    (index, name): (usize, String),
    path: &[&str],
    names: &mut Vec<String>,
    visit: &mut Visit<'_>,
) {
    let step = index.to_string();
    let mut path: Vec<&str> = path.iter().copied().chain([step.as_str()]).collect();
    names.push(name);
    walk(section, item, &mut path, names, visit);
    names.pop();
}

fn shown(path: &[&str], value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) if path.last() == Some(&"url") => format!("{:?}", without_password(text)),
        other => other.to_string(),
    }
}

/// What a default that depends on other values works out to.
fn derived(config: &Config, path: &[&str]) -> Option<String> {
    let place = match path {
        ["spool", "directory"] => config.incoming_dir(),
        ["evidence", "directory"] => config.evidence_dir(),
        ["evidence", "key"] => config.evidence_key(),
        ["files", "vault"] => config.vault_dir(),
        ["staging", "path"] if config.staging.store == Store::Sqlite => config.sqlite_path(),
        ["adapter", index, "pickup"] => config.pickup_dir(config.adapter.get(index.parse::<usize>().ok()?)?),
        _ => return None,
    };
    Some(format!("{:?}", place.to_string_lossy()))
}
