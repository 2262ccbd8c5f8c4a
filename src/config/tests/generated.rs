//! The generated files say what the types say, and the sample works as it stands.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use serde::Deserialize as _;

use super::super::outline::{OUTLINE, Section, Shape};
use super::super::{Adapter, Amqp, Config, Loader, TransformLimits, reference, sample, schema};
use super::Desk;
use crate::errors::exit_codes_page;

#[test]
fn generated_files_are_up_to_date() {
    let files = [
        ("schemas/config.schema.json", schema()),
        ("docs/configuration.md", reference()),
        ("docs/exit-codes.md", exit_codes_page()),
        ("deploy/chancery.sample.toml", sample()),
    ];
    let mut stale = Vec::new();
    for (name, text) in files {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        if fs::read_to_string(&path).is_ok_and(|found| found == text) {
            continue;
        }
        if std::env::var_os("UPDATE").is_some() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
        } else {
            stale.push(name);
        }
    }
    assert!(stale.is_empty(), "out of date: {}; run `UPDATE=1 cargo test generated_files`", stale.join(", "));
}

/// The manual names each default in words; the words must be those of the code.
#[test]
fn the_manual_names_the_true_defaults() {
    fn check(section: &Section) {
        for key in &section.keys {
            if let Shape::Section(inner) | Shape::Entries(inner) = &key.shape {
                check(inner);
            } else if let Some(default) = &key.default {
                let bare = default.as_str().map_or_else(|| default.to_string(), str::to_owned);
                let about = key.about.replace(['`', '\n'], " ").split_whitespace().collect::<Vec<_>>().join(" ");
                let (_, told) = about.split_once("Default: ").unwrap_or_else(|| panic!("{}: {about}", key.name));
                let next = told.strip_prefix(&bare).unwrap_or_else(|| panic!("{} is {bare}: {about}", key.name));
                assert!(next.trim_start().starts_with(['.', ',']), "{} is {bare}: {about}", key.name);
            }
        }
    }
    check(&OUTLINE);
}

#[test]
fn the_sample_works_as_it_stands() {
    let desk = Desk::new(&sample());
    let loaded = desk.loader().load().unwrap();
    let names: Vec<&str> = loaded.config.adapter.iter().map(|adapter| adapter.name.as_str()).collect();
    assert_eq!(names, ["canonical", "vantage"]);
    assert_eq!(loaded.config.adapter[1].transform.as_deref(), Some("filedump"));
    let rest = Config { source: Vec::new(), adapter: Vec::new(), home: "spool".into(), ..loaded.config };
    assert_eq!(rest, Config::default());
}

/// Every line of the sample that is commented out, brought back: no key is missing, misspelt or of the
/// wrong type, and what it shows as the default is the default.
#[test]
fn the_sample_shows_every_key_with_its_default() {
    let text: String = sample().lines().map(|line| format!("{}\n", uncommented(line))).collect();
    let desk = Desk::new(&text);
    let loaded = desk.loader().load_unchecked().unwrap();
    fn every_key<'a>(section: &'a Section, path: &mut Vec<&'a str>, seen: &mut dyn FnMut(&[&str])) {
        for key in &section.keys {
            path.push(&key.name);
            match &key.shape {
                Shape::Section(inner) => every_key(inner, path, seen),
                Shape::Entries(inner) => {
                    path.push("0");
                    every_key(inner, path, seen);
                    path.pop();
                }
                _ => seen(path),
            }
            path.pop();
        }
    }
    every_key(&OUTLINE, &mut Vec::new(), &mut |path| {
        assert!(loaded.origins.of(path).line().is_some(), "{path:?} is not in the sample");
    });
    let mut config = loaded.config;
    let amqp = config.amqp.take().unwrap();
    let bare = Amqp { password_file: None, password_env: None, ca_file: None, cert_file: None, key_file: None, ..amqp };
    assert_eq!(bare, Amqp::default());
    let adapter = config.adapter.remove(0);
    let default = Adapter::deserialize(toml::toml! { name = "canonical" }).unwrap();
    let limits = TransformLimits { workers: None, ..adapter.limits.clone() };
    let bare = Adapter {
        transform: None,
        pickup: None,
        render: None,
        max_file_size: None,
        schema: None,
        parameters: Default::default(),
        limits,
        ..adapter
    };
    assert_eq!(bare, default);
    assert_eq!((config.intake, config.log), (Config::default().intake, Config::default().log));
}

fn uncommented(line: &str) -> &str {
    match line.strip_prefix('#') {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') => rest,
        _ => line,
    }
}

proptest! {
    /// Whatever part of the sample is brought back to life, it still has the right names and types, and
    /// what is printed from it is read back as the same configuration.
    #[test]
    fn any_part_of_the_sample_round_trips(picks in prop::collection::vec(any::<bool>(), 100)) {
        let mut section = true;
        let mut picks = picks.into_iter().cycle();
        let mut text = String::new();
        for line in sample().lines() {
            let alive = uncommented(line);
            let optional = line.starts_with("#[");
            if optional {
                section = picks.next().unwrap_or_default();
            } else if alive.starts_with('[') {
                section = true;
            }
            // Keys below a header that stays commented out would belong to the section before.
            let pick = if optional { section } else { section && picks.next().unwrap_or_default() };
            text.push_str(if pick { alive } else { line });
            text.push('\n');
        }
        let desk = Desk::new(&text);
        let config = desk.loader().load_unchecked().map_err(|error| TestCaseError::fail(error.to_string()))?.config;
        let printed = toml::to_string(&config).unwrap();
        let again = Desk::new(&printed).loader().load_unchecked().unwrap().config;
        prop_assert_eq!(again, config);
    }
}

#[test]
fn the_schema_accepts_the_sample_and_refuses_mistakes() {
    let schema: serde_json::Value = serde_json::from_str(&schema()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let text: String = sample().lines().map(|line| format!("{}\n", uncommented(line))).collect();
    let sample: serde_json::Value = toml::from_str(&text).unwrap();
    assert!(validator.is_valid(&sample), "{:?}", validator.iter_errors(&sample).collect::<Vec<_>>());
    let mistakes = [
        ("adapter", serde_json::json!([{ "name": "a b" }])),
        ("adapter", serde_json::json!([{ "name": "a", "interval": "10" }])),
        ("adapter", serde_json::json!([{ "name": "a", "collected_when": "after" }])),
        ("intake", serde_json::json!({ "commit_events_max": 0 })),
        ("intake", serde_json::json!({ "event_size_max": "1TB" })),
        ("log", serde_json::json!({ "level": "loud" })),
        ("colour", serde_json::json!("red")),
    ];
    for (key, value) in mistakes {
        assert!(!validator.is_valid(&serde_json::json!({ key: value })), "{key} = {value}");
    }
}

#[test]
fn the_sample_loads_with_the_process_environment_too() {
    let desk = Desk::new(&sample());
    let named = Loader::new().file(Some(desk.path().join("chancery.toml")));
    assert!(named.load_unchecked().is_ok());
}
