//! Enforces the laws of `docs/architecture.md`: who may name whom, where unsafe code may live, and that nothing
//! durable changes without a named step.

#![allow(clippy::expect_used, reason = "a failed test should panic")]

use std::fs;
use std::path::{Path, PathBuf};

use chancery::support::step;

/// Stages meet in staging rows and in the engine, never in each other.
const STAGES: [&str; 6] = ["intake", "vault", "assemble", "transform", "package", "pickup"];
/// What ties the stages together; nothing below may know it.
const TOP: [&str; 2] = ["engine", "cli"];

/// For each module, the modules of ours it may import. A module that is missing here fails the test.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("support", &["model"]),
    ("errors", &["model", "support"]),
    ("telemetry", &["model", "support", "config"]),
    ("config", &["model", "support", "errors"]),
    ("evidence", &["model", "support"]),
    ("staging", &["model", "support", "config", "evidence"]),
    ("vault", &["model", "support", "config", "staging"]),
    ("intake", &["model", "support", "config", "staging"]),
    ("assemble", &["model", "support", "config", "staging"]),
    ("transform", &["model", "support", "config"]),
    ("package", &["model", "support"]),
    ("pickup", &["model", "support", "config", "staging"]),
    ("simulate", &["model", "support"]),
    // An emitter: it publishes as `emit` does, and never sees staging.
    ("bridge", &["model", "support", "config", "intake"]),
    (
        "engine",
        &[
            "model",
            "support",
            "config",
            "telemetry",
            "evidence",
            "staging",
            "vault",
            "intake",
            "assemble",
            "transform",
            "package",
            "pickup",
        ],
    ),
    (
        "cli",
        &[
            "model",
            "support",
            "errors",
            "config",
            "telemetry",
            "evidence",
            "staging",
            "vault",
            "intake",
            "assemble",
            "transform",
            "package",
            "pickup",
            "simulate",
            "bridge",
            "engine",
        ],
    ),
];

/// Crates that only one module may name.
const FENCED_CRATES: &[(&str, &[&str])] = &[
    ("sqlx", &["staging", "bridge"]),
    ("ed25519_dalek", &["evidence"]),
    ("lapin", &["intake"]),
    ("async_rs", &["intake"]),
    ("notify", &["intake", "cli"]),
    ("quick_xml", &["assemble", "package", "transform"]),
    ("roxmltree", &["transform"]),
    ("mail_builder", &["package"]),
    ("encodify", &["package"]),
    ("zip", &["package"]),
    ("landlock", &["transform"]),
    ("zstd", &["pickup", "vault"]),
    // Files of the chat server; time stamps of an authority; a chat server's own interface.
    ("ureq", &["vault", "evidence", "bridge"]),
    ("rustls", &["vault", "evidence", "bridge"]),
    ("rustls_native_certs", &["vault", "evidence", "bridge"]),
    ("webpki", &["evidence"]),
    ("der", &["evidence"]),
    ("hyper", &["bridge"]),
    ("hyper_util", &["bridge"]),
    ("http_body_util", &["bridge"]),
    ("url", &["config", "vault"]),
    ("clap", &["cli"]),
    ("comfy_table", &["cli"]),
    ("indicatif", &["cli"]),
];

/// Words of the standard library and of rustix with which a file or a name on a disk changes. What is allowed
/// to use them demands a step: `support/durable.rs`.
const CHANGES_A_DISK: &[&str] = &[
    "sync_all",
    "sync_data",
    "fsync",
    "fdatasync",
    "syncfs",
    "fs::rename",
    "renameat",
    "remove_file",
    "remove_dir",
    "unlink",
    "fs::write",
    "fs::copy",
    "hard_link",
    "symlink(",
    "symlinkat",
    "linkat",
    "fs::create_dir",
    "DirBuilder",
    "mkdirat",
    "File::create",
    "OpenOptions",
    "File::options",
    "set_len",
    "ftruncate",
    "OFlags::CREATE",
    "tempfile",
];

/// Where a disk may change otherwise: the file, the word, and why no step is lost by it.
const DISK_EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("engine/lock.rs", "OpenOptions", "the kernel's lock is what counts; `instance-locked` follows"),
    ("engine/lock.rs", "set_len", "the process id in the lock file is for people alone"),
    ("vault/mod.rs", "OpenOptions", "an empty file, for the kernel's lock alone"),
    ("vault/taking.rs", "OpenOptions", "an empty file, for the kernel's lock alone"),
    ("staging/sqlite/open.rs", "OpenOptions", "an empty file, so that its rights are right; `staging-opened` follows"),
    (
        "bridge/matrix/memory.rs",
        "OpenOptions",
        "an empty file, so that its rights are right; `bridge-memory-opened` follows",
    ),
    ("support/scratch.rs", "tempfile", "a file without a name, gone with the process"),
    ("cli/simulate.rs", "File::create", "made-up events in a file that a person named; nothing depends on it"),
];

/// Ways to a database within staging, which alone may name the driver. A statement outside a transaction would
/// commit by itself, without a step.
const REACHES_A_DATABASE: &[&str] =
    &[".commit().await", "self.pool", "self.writer", "self.readers", "(pool)", "(&pool)", "(&writer)", ".reader()"];

/// Where a database may be reached: the file, the word, and why no step is lost by it.
const DATABASE_EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("staging/commit.rs", ".commit().await", "the one commit function"),
    (
        "bridge/matrix/memory.rs",
        ".commit().await",
        "the bridge's one commit function, which announces the step on either side",
    ),
    ("bridge/matrix/memory.rs", "self.pool", "`change` alone, which begins what that function commits"),
    (
        "bridge/matrix/memory.rs",
        "(&pool)",
        "migrations, each in a transaction of the driver; `bridge-memory-opened` follows",
    ),
    ("staging/sqlite/write.rs", "self.writer", "`begin`, and a ping that changes nothing"),
    ("staging/sqlite/write.rs", "self.readers", "hands out connections that cannot write"),
    ("staging/sqlite/evidence.rs", ".reader()", "its connections cannot write"),
    ("staging/sqlite/read.rs", ".reader()", "its connections cannot write"),
    ("staging/sqlite/balance.rs", ".reader()", "it only looks"),
    ("staging/sqlite/holds.rs", ".reader()", "it only looks"),
    ("staging/sqlite/sequences.rs", ".reader()", "its connections cannot write"),
    ("staging/postgres/balance.rs", ".reader()", "it only looks"),
    ("staging/postgres/holds.rs", ".reader()", "it only looks"),
    ("staging/postgres/sequences.rs", ".reader()", "the same queries as SQLite's, whose connections cannot write"),
    ("staging/sqlite/files/read.rs", ".reader()", "its connections cannot write"),
    ("staging/postgres/write.rs", "self.pool", "`begin`, `reader`, and a ping that changes nothing"),
    ("staging/postgres/evidence.rs", ".reader()", "looks, as SQLite's does, whose connections cannot write"),
    ("staging/postgres/read.rs", ".reader()", "the same queries as SQLite's, whose connections cannot write"),
    ("staging/postgres/files/read.rs", ".reader()", "the same queries as SQLite's, whose connections cannot write"),
    ("staging/postgres/open.rs", "(pool)", "creates the schema if it is missing; `staging-opened` follows"),
    (
        "staging/postgres/open.rs",
        "(&pool)",
        "migrations, each in a transaction of the driver; `staging-opened` follows",
    ),
    (
        "staging/sqlite/open.rs",
        "(&writer)",
        "migrations, each in a transaction of the driver; `staging-opened` follows",
    ),
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

/// As [`lines`], without code that only tests run: test modules are at the end of their file or in files of their own.
fn product_lines() -> Vec<(PathBuf, usize, String)> {
    let of_tests = |file: &Path| {
        file.components().any(|part| matches!(part.as_os_str().to_str(), Some("tests" | "suite")))
            || matches!(file.file_name().and_then(|name| name.to_str()), Some("tests.rs" | "testing.rs" | "suite.rs"))
    };
    let mut ended: Option<PathBuf> = None;
    let mut kept = Vec::new();
    for (_, file, number, line) in lines() {
        if line == "mod tests {" {
            ended = Some(file.clone());
        }
        if !of_tests(&file) && ended.as_ref() != Some(&file) {
            kept.push((file, number, line));
        }
    }
    assert!(kept.len() > 1000, "the test found the sources");
    kept
}

/// Lines of the files that are `looked_at` that hold one of `words` and are no exception; and exceptions that nothing needs any more.
fn offences(words: &[&str], looked_at: impl Fn(&Path) -> bool, exceptions: &[(&str, &str, &str)]) -> Vec<String> {
    let mut needed = vec![false; exceptions.len()];
    let mut found = Vec::new();
    for (file, number, line) in product_lines() {
        if !looked_at(&file) {
            continue;
        }
        for word in words.iter().filter(|word| line.contains(**word)) {
            let exception = exceptions.iter().position(|(place, known, _)| file.ends_with(place) && known == word);
            match exception {
                Some(place) => needed[place] = true,
                None => found.push(format!("src/{}:{number}: `{word}` without a step: {line}", file.display())),
            }
        }
    }
    let stale = exceptions.iter().zip(needed).filter(|(_, needed)| !needed);
    found.extend(stale.map(|((file, word, _), _)| format!("the exception for `{word}` in src/{file} is not needed")));
    found
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

#[test]
fn nothing_changes_on_a_disk_without_a_step() {
    let offences = offences(CHANGES_A_DISK, |file| !file.ends_with("support/durable.rs"), DISK_EXCEPTIONS);
    assert!(offences.is_empty(), "use support::durable, which asks for the step:\n{}", offences.join("\n"));
}

#[test]
fn nothing_changes_in_a_database_without_a_step() {
    let holds_one = |file: &Path| file.starts_with("staging") || file.starts_with("bridge");
    let offences = offences(REACHES_A_DATABASE, holds_one, DATABASE_EXCEPTIONS);
    assert!(offences.is_empty(), "use `begin` and `commit`, which asks for the step:\n{}", offences.join("\n"));
}

/// A step that nothing announces could never be tested.
#[test]
fn every_step_is_announced_somewhere() {
    let product: Vec<_> = product_lines().into_iter().filter(|(file, ..)| !file.ends_with("support/step.rs")).collect();
    let names = |word: &str| {
        product.iter().any(|(.., line)| {
            line.match_indices(word).any(|(at, _)| !line[at + word.len()..].starts_with(char::is_alphanumeric))
        })
    };
    let missing: Vec<_> = step::Step::ALL
        .iter()
        .filter(|step| {
            let commit = step::Commit::of(**step).map(|commit| format!("Commit::{}", commit.constant()));
            !names(&format!("Step::{step:?}")) && !commit.is_some_and(|commit| names(&commit))
        })
        .collect();
    assert!(missing.is_empty(), "nothing announces {missing:?}");
}

/// The table of steps in `docs/architecture.md` is the code's own.
#[test]
fn generated_files_hold_every_step() {
    const BEGIN: &str = "<!-- steps: generated from src/support/step.rs by `UPDATE=1 cargo test generated_files` -->\n";
    const END: &str = "<!-- end of steps -->";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/architecture.md");
    let page = fs::read_to_string(&path).expect("the page can be read");
    let (before, rest) = page.split_once(BEGIN).expect("the page has a place for the steps");
    let (found, after) = rest.split_once(END).expect("the place for the steps ends");
    let expected = format!("\n{}\n", step::table());
    if found == expected {
        return;
    }
    assert!(std::env::var_os("UPDATE").is_some(), "out of date: run `UPDATE=1 cargo test generated_files`");
    fs::write(&path, format!("{before}{BEGIN}{expected}{END}{after}")).expect("the page can be written");
}
