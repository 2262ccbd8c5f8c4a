//! Enforces the import rules of `docs/architecture.md`: who may name whom, and where unsafe code may live.

#![allow(clippy::expect_used, reason = "a failed test should panic")]

use std::fs;
use std::path::{Path, PathBuf};

/// Stages meet in staging rows and in the engine, never in each other.
const STAGES: [&str; 5] = ["intake", "vault", "assemble", "transform", "pickup"];
/// What ties the stages together; nothing below may know it.
const TOP: [&str; 2] = ["engine", "cli"];

/// For each module, the modules of ours it may import. A module that is missing here fails the test.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("support", &["model"]),
    ("errors", &["model", "support"]),
    ("telemetry", &["model", "support", "config"]),
    ("config", &["model", "support", "errors"]),
    ("staging", &["model", "support", "config"]),
    ("vault", &["model", "support", "config", "staging"]),
    ("intake", &["model", "support", "config", "staging"]),
    ("assemble", &["model", "support", "config", "staging"]),
    ("transform", &["model", "support", "config"]),
    ("pickup", &["model", "support", "config", "staging"]),
    ("simulate", &["model", "support"]),
    (
        "engine",
        &["model", "support", "config", "telemetry", "staging", "vault", "intake", "assemble", "transform", "pickup"],
    ),
    (
        "cli",
        &[
            "model",
            "support",
            "errors",
            "config",
            "telemetry",
            "staging",
            "vault",
            "intake",
            "assemble",
            "transform",
            "pickup",
            "simulate",
            "engine",
        ],
    ),
];

/// Crates that only one module may name.
const FENCED_CRATES: &[(&str, &[&str])] = &[
    ("sqlx", &["staging"]),
    ("lapin", &["intake"]),
    ("notify", &["intake"]),
    ("quick_xml", &["assemble"]),
    ("landlock", &["transform"]),
    ("zstd", &["pickup", "vault"]),
    ("clap", &["cli"]),
    ("comfy_table", &["cli"]),
    ("indicatif", &["cli"]),
];

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("src can be listed") {
        let path = entry.expect("src can be listed").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The lines of each file below `src`, with the module it belongs to; `main.rs` and `lib.rs` belong to none.
fn lines() -> Vec<(String, PathBuf, usize, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    let mut lines = Vec::new();
    for file in files {
        let inside = file.strip_prefix(&src).expect("below src").to_owned();
        let module = inside.components().next().expect("a name").as_os_str().to_string_lossy().replace(".rs", "");
        if module == "main" || module == "lib" {
            continue;
        }
        let text = fs::read_to_string(&file).expect("a source file can be read");
        for (number, line) in text.lines().enumerate() {
            let code = line.trim_start();
            if !code.starts_with("//") {
                lines.push((module.clone(), inside.clone(), number + 1, code.to_owned()));
            }
        }
    }
    assert!(lines.len() > 1000, "the test found the sources");
    lines
}

/// The modules a line names by `crate::…`, braces included.
fn named_modules(line: &str) -> Vec<String> {
    line.match_indices("crate::")
        // `$crate::` in a macro and `some_crate::` are something else.
        .filter(|(at, _)| !line[..*at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
        .flat_map(|(at, word)| {
            let rest = &line[at + word.len()..];
            let list = rest.strip_prefix('{').map_or(rest, |inner| inner.split('}').next().unwrap_or(inner));
            let many = rest.starts_with('{');
            let names: Vec<String> = if many {
                list.split(',').map(|part| part.trim().split("::").next().unwrap_or_default().to_owned()).collect()
            } else {
                vec![list.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or_default().to_owned()]
            };
            names
        })
        .filter(|name| !name.is_empty())
        .collect()
}

#[test]
fn modules_import_only_what_the_table_allows() {
    let mut offences = Vec::new();
    for (module, file, number, line) in lines() {
        let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| *name == module) else {
            offences.push(format!("{}: module `{module}` is not in the import table", file.display()));
            continue;
        };
        for named in named_modules(&line) {
            let known = MAY_IMPORT.iter().any(|(name, _)| *name == named);
            if known && named != module && !allowed.contains(&named.as_str()) {
                offences.push(format!("src/{}:{number}: {module} must not import {named}: {line}", file.display()));
            }
        }
    }
    offences.sort();
    offences.dedup();
    assert!(offences.is_empty(), "\n{}", offences.join("\n"));
}

#[test]
fn the_table_itself_keeps_the_laws() {
    for (module, allowed) in MAY_IMPORT {
        let is_top = TOP.contains(module);
        for other in *allowed {
            assert!(is_top || !TOP.contains(other), "{module} must not import {other}");
            assert!(is_top || !(STAGES.contains(module) && STAGES.contains(other)), "{module} must not import {other}");
        }
    }
}

#[test]
fn drivers_and_engines_stay_behind_their_fences() {
    let mut offences = Vec::new();
    for (module, file, number, line) in lines() {
        for (outside, owners) in FENCED_CRATES {
            let named = line
                .match_indices(&format!("{outside}::"))
                .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':'));
            if named && !owners.contains(&module.as_str()) {
                offences.push(format!("src/{}:{number}: only {owners:?} may name {outside}: {line}", file.display()));
            }
        }
    }
    assert!(offences.is_empty(), "\n{}", offences.join("\n"));
}

#[test]
fn unsafe_code_lives_in_one_folder() {
    let mut offences = Vec::new();
    for (_, file, number, line) in lines() {
        let unsafe_code = line.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|word| word == "unsafe");
        if unsafe_code && !file.starts_with("transform/ffi") {
            offences.push(format!("src/{}:{number}: {line}", file.display()));
        }
    }
    assert!(offences.is_empty(), "\n{}", offences.join("\n"));
}

#[test]
fn the_scanner_finds_imports_in_every_spelling() {
    assert_eq!(named_modules("use crate::engine::Run;"), ["engine"]);
    assert_eq!(named_modules("use crate::{model::Ticks, engine};"), ["model", "engine"]);
    assert_eq!(named_modules("let x = crate::cli::run(crate::model::y());"), ["cli", "model"]);
    assert!(named_modules("use some_crate::engine;").is_empty());
}
