//! Rules for directories: nothing Chancery keeps may lie where an archive collects, and every place
//! can be made.
//!
//! Paths are compared as the file system sees them: links followed as far as they exist.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Access, access};
use rustix::io::Errno;

use super::Rules;

/// A directory, the key that names it and the words for it.
struct Place {
    path: Vec<String>,
    what: String,
    directory: PathBuf,
}

impl Place {
    fn new(path: &[&str], what: impl Into<String>, directory: &Path) -> Self {
        let path = path.iter().map(|&step| step.to_owned()).collect();
        Self { path, what: what.into(), directory: real(directory) }
    }
}

pub(super) fn check(rules: &mut Rules<'_>) {
    let config = rules.config();
    creatable(rules, &["home"], &config.home);
    let mut kept = vec![
        Place::new(&["spool", "directory"], "the incoming directory", &config.incoming_dir()),
        Place::new(&["files", "vault"], "the vault", &config.vault_dir()),
        Place::new(&["home"], "the state directory", &config.state_dir()),
        Place::new(&["evidence", "directory"], "the evidence directory", &config.evidence_dir()),
        Place::new(&["home"], "the quarantine directory", &config.quarantine_dir()),
    ];
    if let Some(database) = &config.staging.path {
        kept.push(Place::new(&["staging", "path"], "the staging database", database));
        if !database.exists() {
            creatable(rules, &["staging", "path"], database);
        }
    }
    file_repository(rules, &mut kept);
    let overrides = [
        (["files", "vault"], &config.files.vault),
        (["spool", "directory"], &config.spool.directory),
        (["evidence", "directory"], &config.evidence.directory),
    ];
    for (path, directory) in overrides {
        if let Some(directory) = directory {
            creatable(rules, &path, directory);
        }
    }
    pickups(rules, &kept);
}

fn pickups(rules: &mut Rules<'_>, kept: &[Place]) {
    let config = rules.config();
    let mut earlier: Vec<Place> = Vec::new();
    for (index, adapter) in config.adapter.iter().enumerate() {
        let step = index.to_string();
        let path = ["adapter", step.as_str(), "pickup"];
        let name_path = ["adapter", step.as_str(), "name"];
        // Without a good name the default directory means nothing.
        if rules.broken(&path) || adapter.pickup.is_none() && (rules.broken(&name_path) || adapter.name.is_empty()) {
            continue;
        }
        let place = Place::new(&path, format!("the pickup of adapter {:?}", adapter.name), &config.pickup_dir(adapter));
        if let Some(directory) = &adapter.pickup {
            creatable(rules, &path, directory);
        }
        // Two adapters of one name have one default directory; the name is what is wrong then.
        let namesake = config.adapter[..index].iter().any(|other| other.name == adapter.name);
        if adapter.pickup.is_some() || !namesake {
            // One clash is enough: a pickup at the home directory would otherwise be reported for each part.
            let _ = earlier.iter().chain(kept).any(|other| clash(rules, &place, other));
        }
        earlier.push(place);
    }
}

/// Reports a pickup that is not apart from another place; whether it did.
fn clash(rules: &mut Rules<'_>, place: &Place, other: &Place) -> bool {
    let other_path: Vec<&str> = other.path.iter().map(String::as_str).collect();
    if rules.broken(&other_path) {
        return false;
    }
    let relation = if same(&place.directory, &other.directory) {
        "the same as"
    } else if place.directory.starts_with(&other.directory) {
        "inside"
    } else if other.directory.starts_with(&place.directory) {
        "around"
    } else {
        return false;
    };
    let line = rules.loaded.origins.of(&other_path).line().map(|line| format!(" (line {line})")).unwrap_or_default();
    let path: Vec<&str> = place.path.iter().map(String::as_str).collect();
    rules.report(
        &path,
        format!("is {}, {relation} {}{line}", place.directory.display(), other.what),
        "a directory of its own, because the archive collects whatever lies in it",
        "choose another directory",
    );
    true
}

fn file_repository(rules: &mut Rules<'_>, kept: &mut Vec<Place>) {
    let config = rules.config();
    let Some(root) = &config.files.root else { return };
    let path = ["files", "root"];
    if !root.is_dir() {
        rules.report(
            &path,
            format!("is {}, which is no directory", root.display()),
            "the chat server's directory of uploaded files",
            "mount it, or correct the path",
        );
    }
    let (repository, vault) = (real(root), real(&config.vault_dir()));
    if same(&repository, &vault) || repository.starts_with(&vault) || vault.starts_with(&repository) {
        rules.report(
            &path,
            format!("is {}, and the vault is {}", repository.display(), vault.display()),
            "two directories, neither inside the other: Chancery only reads from the repository",
            "set files.vault to another directory",
        );
    }
    kept.push(Place::new(&path, "the file repository", root));
}

/// That the place is there or can be made, judged by the nearest ancestor that exists. A file system that is
/// read-only is trouble of the moment and no mistake: the start must not fail over one share, for then nothing
/// would be taken in either.
fn creatable(rules: &mut Rules<'_>, path: &[&str], place: &Path) {
    let Some(ancestor) = place.ancestors().find(|ancestor| ancestor.symlink_metadata().is_ok()) else { return };
    let (found, cure) = if !ancestor.is_dir() {
        (format!("is {}, but {} is no directory", place.display(), ancestor.display()), "choose another directory")
    } else if access(ancestor, Access::WRITE_OK | Access::EXEC_OK).is_err_and(|errno| errno != Errno::ROFS) {
        (
            format!("is {}, but nothing can be written in {}", place.display(), ancestor.display()),
            "choose another directory, or give the user that runs Chancery the right to write there",
        )
    } else {
        return;
    };
    rules.report(path, found, "a place that is there or can be made", cure);
}

fn same(one: &Path, other: &Path) -> bool {
    let identity = |path: &Path| fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino())).ok();
    one == other || identity(one).is_some_and(|one| Some(one) == identity(other))
}

/// The path with links followed as far as it exists, and `.` and `..` worked out in the rest.
fn real(path: &Path) -> PathBuf {
    let mut missing: Vec<OsString> = Vec::new();
    for ancestor in path.ancestors() {
        if let Ok(mut found) = ancestor.canonicalize() {
            for step in missing.iter().rev() {
                match Path::new(step).components().next() {
                    Some(Component::ParentDir) => drop(found.pop()),
                    _ => found.push(step),
                }
            }
            return found;
        }
        // An ancestor that ends in `..` has no file name, yet is a step of its own.
        let last = ancestor.components().next_back().map(|step| step.as_os_str().to_owned());
        missing.extend(last);
    }
    path.to_owned()
}
