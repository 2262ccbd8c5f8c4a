//! The published schema, the examples and the reader say the same.
#![allow(clippy::unwrap_used, reason = "a failed test should panic")]

use std::collections::BTreeSet;
use std::path::Path;

use jsonschema::Validator;
use serde_json::{Value, json};

use crate::model::{Event, Kind};

const SCHEMA: &str = include_str!("../../../schemas/event.schema.json");

fn validator() -> Validator {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    jsonschema::draft202012::meta::validate(&schema).unwrap();
    jsonschema::draft202012::options().should_validate_formats(true).build(&schema).unwrap()
}

fn examples() -> Vec<(String, Vec<u8>)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/events");
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut examples: Vec<_> = entries
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(&path).unwrap()))
        .collect();
    examples.sort();
    examples
}

#[test]
fn there_is_an_example_of_every_type_and_all_are_valid() {
    let validator = validator();
    let mut kinds = BTreeSet::new();
    for (name, bytes) in examples() {
        let value: Value = serde_json::from_slice(&bytes).unwrap();
        let errors: Vec<_> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{name}: {errors:?}");
        let event = Event::read(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(!event.has_unknown || event.kind == Kind::Other, "{name} holds a member that the reader does not know");
        kinds.insert(event.kind);
    }
    assert_eq!(kinds, Kind::all().chain([Kind::Other]).collect());
}

#[test]
fn the_examples_show_every_member_of_the_schema() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let shown: String = examples().iter().map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned()).collect();
    let mut objects: Vec<_> = schema["$defs"].as_object().unwrap().values().collect();
    objects.extend([&schema, &schema["$defs"]["query"]["oneOf"][1]]);
    for object in objects {
        for member in object["properties"].as_object().into_iter().flatten().map(|(name, _)| name) {
            let exempt = member == "data_base64" || object["title"] == Value::Null && member == "text";
            assert!(exempt || shown.contains(&format!("\"{member}\":")), "no example shows {member}");
        }
    }
}

/// Every event that lacks one member of an example, at any depth.
fn without_one_member(value: &Value) -> Vec<Value> {
    let Value::Object(members) = value else { return vec![] };
    let mut lacking = vec![];
    for (name, member) in members {
        let mut rest = members.clone();
        rest.remove(name);
        lacking.push(Value::Object(rest));
        for changed in without_one_member(member) {
            let mut changed_members = members.clone();
            changed_members.insert(name.clone(), changed);
            lacking.push(Value::Object(changed_members));
        }
    }
    lacking
}

#[test]
fn schema_and_reader_refuse_the_same() {
    let validator = validator();
    let (mut accepted, mut refused) = (0, 0);
    for (name, bytes) in examples() {
        let example: Value = serde_json::from_slice(&bytes).unwrap();
        let mut variants = without_one_member(&example);
        for (pointer, value) in [
            ("/specversion", json!("1.1")),
            ("/specversion", json!(1.0)),
            ("/id", json!("")),
            ("/id", json!(7)),
            ("/sequence", json!("12a")),
            ("/sequence", json!(-1)),
            ("/sequence", json!(12)),
            ("/time", json!("yesterday")),
            ("/time", json!("2026-11-22T10:15:00+01:00")),
            ("/data/sender/uri", json!(1)),
            ("/data/sender/id", json!("text")),
            ("/data/sender/internal", json!("yes")),
            ("/data/message/text", json!(["list"])),
            ("/data/message", json!("text")),
            ("/data/file/size", json!(-1)),
            ("/data/query", json!(5)),
            ("/data/extra", json!({ "kept": true })),
        ] {
            let mut variant = example.clone();
            let (parent, member) = pointer.rsplit_once('/').unwrap();
            if let Some(Value::Object(parent)) = variant.pointer_mut(parent) {
                parent.insert(member.to_owned(), value);
                variants.push(variant);
            }
        }
        for variant in variants {
            let read = Event::read(variant.to_string().as_bytes()).map(|_| ()).map_err(|error| error.to_string());
            let errors: Vec<_> = validator.iter_errors(&variant).map(|error| error.to_string()).collect();
            assert_eq!(read.is_ok(), errors.is_empty(), "{name}: {variant}\nreader: {read:?}\nschema: {errors:?}");
            if read.is_ok() { accepted += 1 } else { refused += 1 }
        }
    }
    assert!(accepted > 100 && refused > 100, "{accepted} accepted, {refused} refused");
}
