//! The three files that are generated from the section types: sample, JSON Schema, reference page.
//!
//! They are committed, so that they can be read without building anything; a test fails when one of
//! them no longer says what the types say.

use std::fmt::Write as _;

use schemars::schema_for;
use serde_json::Value;

use super::layers::VARIABLE_PREFIX;
use super::outline::{Key, OUTLINE, Section, Shape};
use super::sections::Config;
use super::shape::expectation;

/// Text in the sample and the page is wrapped at this column.
const WIDTH: usize = 100;

/// What the sample sets; everything else in it is commented out.
const SAMPLE_SOURCES: [&[(&str, &str)]; 1] = [&[("uri", "urn:chat:pool1:channel")]];
const SAMPLE_ADAPTERS: [&[(&str, &str)]; 2] =
    [&[("name", "canonical")], &[("name", "vantage"), ("transform", "filedump"), ("interval", "1h")]];

/// A commented configuration that can be used as it is: every key with its manual text, its default
/// commented out.
pub fn sample() -> String {
    let mut text = String::new();
    comment(
        &mut text,
        "Chancery's configuration. A line that begins with `#` and a key shows the default or, where there is \
         none, an example: remove the `#` to set it. Paths count from this file's directory. After each change \
         run `chancery config check`; `chancery config explain` shows every value and where it comes from.",
    );
    for key in &OUTLINE.keys {
        text.push('\n');
        match &key.shape {
            Shape::Section(section) => sample_section(&mut text, key, section),
            Shape::Entries(section) => {
                let entries: &[&[(&str, &str)]] = match key.name.as_str() {
                    "source" => &SAMPLE_SOURCES,
                    _ => &SAMPLE_ADAPTERS,
                };
                sample_entries(&mut text, key, section, entries);
            }
            _ => sample_key(&mut text, key, None),
        }
    }
    text
}

fn sample_section(text: &mut String, key: &Key, section: &Section) {
    heading(text, key, section);
    // A section that is absent by default must stay so, header included.
    let absent = if key.absent { "#" } else { "" };
    let _ = writeln!(text, "{absent}[{}]", key.name);
    for inner in &section.keys {
        text.push('\n');
        match &inner.shape {
            Shape::Entries(nested) => sample_nested(text, inner, nested, &format!("[[{}.{}]]", key.name, inner.name)),
            Shape::Section(nested) => sample_nested(text, inner, nested, &format!("[{}.{}]", key.name, inner.name)),
            _ => sample_key(text, inner, None),
        }
    }
}

fn sample_entries(text: &mut String, key: &Key, section: &Section, entries: &[&[(&str, &str)]]) {
    heading(text, key, section);
    for (index, set) in entries.iter().enumerate() {
        if index > 0 {
            let _ = writeln!(text, "\n# Another one; keys that are left out have their defaults.");
        }
        let _ = writeln!(text, "[[{}]]", key.name);
        for inner in &section.keys {
            let value = set.iter().find(|(name, _)| *name == inner.name).map(|(_, value)| *value);
            match (index, value) {
                (0, value) => {
                    text.push('\n');
                    match &inner.shape {
                        Shape::Section(nested) => {
                            sample_nested(text, inner, nested, &format!("[{}.{}]", key.name, inner.name));
                        }
                        _ => sample_key(text, inner, value),
                    }
                }
                (_, Some(value)) => {
                    let _ = writeln!(text, "{} = {value:?}", inner.name);
                }
                (_, None) => {}
            }
        }
    }
}

/// A section within an entry, or a list within a section, commented out with its header: it belongs to what is above it.
fn sample_nested(text: &mut String, key: &Key, section: &Section, header: &str) {
    comment(text, &format!("{}. {}", key.title, section_text(key, section)));
    let _ = writeln!(text, "#{header}");
    for inner in &section.keys {
        text.push('\n');
        sample_key(text, inner, None);
    }
}

fn heading(text: &mut String, key: &Key, section: &Section) {
    let _ = writeln!(text, "# {}\n# {}\n#", key.title, "=".repeat(key.title.len()));
    comment(text, &section_text(key, section));
}

fn section_text(key: &Key, section: &Section) -> String {
    if key.about.is_empty() { section.about.clone() } else { key.about.clone() }
}

fn sample_key(text: &mut String, key: &Key, set: Option<&str>) {
    comment(text, &format!("{}. {}", key.title, key.about));
    let _ = match set {
        Some(value) => writeln!(text, "{} = {value:?}", key.name),
        None => writeln!(text, "#{} = {}", key.name, toml_text(key.shown())),
    };
}

fn comment(text: &mut String, about: &str) {
    for line in wrap(about, WIDTH - 2) {
        let _ = writeln!(text, "# {line}");
    }
}

impl Key {
    fn shown(&self) -> &Value {
        self.default.as_ref().or(self.example.as_ref()).unwrap_or(&Value::Null)
    }
}

/// A value as TOML writes it on one line.
fn toml_text(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let members: Vec<String> = members.iter().map(|(name, value)| format!("{name} = {value}")).collect();
            format!("{{ {} }}", members.join(", "))
        }
        // Our own examples hold nothing that JSON and TOML quote differently.
        other => other.to_string(),
    }
}

fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}

/// The JSON Schema of the file, for editors.
pub fn schema() -> String {
    let mut schema = schema_for!(Config);
    schema.insert("title".to_owned(), "Chancery configuration".into());
    schema.insert(
        "$comment".to_owned(),
        "Generated from src/config/sections by `UPDATE=1 cargo test generated_files`; do not edit.".into(),
    );
    format!("{:#}\n", schema.to_value())
}

/// The page `docs/configuration.md`.
pub fn reference() -> String {
    let mut page = String::from(REFERENCE_HEAD);
    let _ = writeln!(page, "\n## Keys at the top of the file\n");
    for key in OUTLINE.keys.iter().filter(|key| !matches!(key.shape, Shape::Section(_) | Shape::Entries(_))) {
        reference_key(&mut page, "", key, Some(variable("", key)));
    }
    for key in &OUTLINE.keys {
        let (section, header) = match &key.shape {
            Shape::Section(section) => (section, format!("[{}]", key.name)),
            Shape::Entries(section) => (section, format!("[[{}]]", key.name)),
            _ => continue,
        };
        let _ = writeln!(page, "## `{header}`: {}\n", key.title);
        paragraph(&mut page, &section_text(key, section));
        for inner in &section.keys {
            let settable = matches!(key.shape, Shape::Section(_));
            let nested = match &inner.shape {
                Shape::Section(nested) => Some((nested, format!("[{}.{}]", key.name, inner.name))),
                Shape::Entries(nested) => Some((nested, format!("[[{}.{}]]", key.name, inner.name))),
                _ => None,
            };
            if let Some((nested, header)) = nested {
                let _ = writeln!(page, "### `{header}`: {}\n", inner.title);
                paragraph(&mut page, &section_text(inner, nested));
                for innermost in &nested.keys {
                    reference_key(&mut page, &format!("{}.{}", key.name, inner.name), innermost, None);
                }
                continue;
            }
            reference_key(&mut page, &key.name, inner, settable.then(|| variable(&key.name, inner)));
        }
    }
    page.truncate(page.trim_end().len());
    page.push('\n');
    page
}

fn variable(section: &str, key: &Key) -> String {
    let separator = if section.is_empty() { "" } else { "__" };
    format!("{VARIABLE_PREFIX}{}{separator}{}", section.to_uppercase(), key.name.to_uppercase())
}

fn reference_key(page: &mut String, section: &str, key: &Key, variable: Option<String>) {
    let separator = if section.is_empty() { "" } else { "." };
    let _ = writeln!(page, "### `{section}{separator}{}`\n", key.name);
    paragraph(page, &format!("**{}.** {}", key.title, key.about));
    let _ = writeln!(page, "- takes: {}", expectation(key));
    if key.required {
        let _ = writeln!(page, "- required");
    }
    if key.default.is_none() && key.example.is_some() {
        let _ = writeln!(page, "- example: `{} = {}`", key.name, toml_text(key.shown()));
    }
    if let Some(variable) = variable {
        let _ = writeln!(page, "- environment: `{variable}`");
    }
    page.push('\n');
}

fn paragraph(page: &mut String, text: &str) {
    for line in wrap(text, WIDTH) {
        let _ = writeln!(page, "{line}");
    }
    page.push('\n');
}

const REFERENCE_HEAD: &str = "\
<!-- Generated from src/config/sections by `UPDATE=1 cargo test generated_files`; do not edit. -->

# Configuration

One TOML file says everything. `chancery config sample > chancery.toml` makes one to start from,
`chancery config check` judges it, `chancery config explain` shows every effective value and where it
comes from, and `schemas/config.schema.json` lets an editor help while it is written.

## Where values come from

Later layers win over earlier ones:

1. the defaults on this page;
2. the file: `--config FILE`, else the file that `$CHANCERY_CONFIG` names, else `./chancery.toml`, else
   `/etc/chancery/chancery.toml`; at most 1 MiB of UTF-8;
3. the environment: `CHANCERY__SECTION__KEY=value`, two underscores between the parts; entries of
   `[[source]]`, `[[adapter]]` and `[[files.host]]` have no variables;
4. the command line: `--set section.key=value`, and `--set adapter.NAME.key=value` for the adapter of
   that name. Never put a password on a command line; no key takes one.

A value from the environment or the command line is read as the key needs it; text needs no quotes.
A relative path counts from the directory of the configuration file, whichever layer it comes from.

## What is checked

Every mistake is reported in one run, each with its place, what was found, what is expected and what
to do. (Only where the file is no TOML are the faults of its syntax reported first, alone.)

```text
chancery.toml:12:1: adapter \"vantage\": interval is \"10s\"; expected 1m to 30d; set it to \"1m\" or more (or laboratory = true for tests)
```

Unknown keys are mistakes too, so that a misspelt one is never silently ignored. A password in an
address is refused, and so is a password file that every user of the machine can read.

## How values are written

- a span of time: `\"90s\"`, `\"15m\"`, `\"8h\"`, `\"30d\"`, `\"500ms\"`; parts may be joined: `\"1h30m\"`
- a size: `\"64KiB\"`, `\"50MB\"`, `\"1GiB\"`; `KB` counts 1000 bytes, `KiB` 1024
- a path: text in double quotes; links are followed
";
