//! The rules that types cannot say: what fits together, what exists, what is safe.
//!
//! Nothing is created, opened for writing or connected to. A rule about a value that is already
//! reported as malformed keeps silent, so that each mistake is told once.

mod adapters;
mod amqp;
mod bridge;
mod evidence;
mod files;
mod places;
mod sources;
mod staging;

use std::fs::File;
use std::io;
use std::path::Path;

use super::load::Loaded;
use super::problem::Problem;
use super::secrets::{SecretError, secret_in};
use super::sections::Config;
use super::shape::{Broken, entry_label};
use super::{ByteSize, Span};

/// All that is wrong with a configuration that could be read.
pub(super) fn check(loaded: &Loaded, broken: &Broken) -> Vec<Problem> {
    let mut rules = Rules { loaded, broken, problems: Vec::new() };
    sources::check(&mut rules);
    amqp::check(&mut rules);
    bridge::check(&mut rules);
    intake(&mut rules);
    staging::check(&mut rules);
    files::check(&mut rules);
    evidence::check(&mut rules);
    completeness(&mut rules);
    conversations(&mut rules);
    access(&mut rules);
    adapters::check(&mut rules);
    places::check(&mut rules);
    rules.problems
}

/// What the rules look at, and what they found.
struct Rules<'a> {
    loaded: &'a Loaded,
    broken: &'a Broken,
    problems: Vec<Problem>,
}

impl<'a> Rules<'a> {
    fn config(&self) -> &'a Config {
        &self.loaded.config
    }

    /// Whether the value, or the section it stands in, is already reported as malformed.
    fn broken(&self, path: &[&str]) -> bool {
        (1..=path.len()).any(|end| {
            let steps: Vec<String> = path[..end].iter().map(|&step| step.to_owned()).collect();
            self.broken.contains(&steps)
        })
    }

    fn report(
        &mut self,
        path: &[&str],
        found: impl Into<String>,
        expected: impl Into<String>,
        cure: impl Into<String>,
    ) {
        if self.broken(path) {
            return;
        }
        let (entry, key) = match path {
            [list @ ("adapter" | "source"), index, rest @ ..] => {
                let index = index.parse().unwrap_or(0);
                let name = self.config().adapter.get(index).map(|adapter| adapter.name.as_str());
                (Some(entry_label(list, index, name.filter(|_| *list == "adapter"))), rest.join("."))
            }
            ["files", "host", index, rest @ ..] => {
                (Some(entry_label("files.host", index.parse().unwrap_or(0), None)), rest.join("."))
            }
            _ => (None, path.join(".")),
        };
        let place = self.loaded.origins.nearest(path);
        self.problems.push(Problem {
            place,
            entry,
            key,
            found: found.into(),
            expected: expected.into(),
            cure: cure.into(),
        });
    }

    fn span_between(&mut self, path: &[&str], value: Span, least: Span, most: Span) {
        let cure = match value {
            value if value < least => format!("set it to \"{least}\" or more"),
            value if value > most => format!("set it to \"{most}\" or less"),
            _ => return,
        };
        self.report(path, format!("is \"{value}\""), format!("{least} to {most}"), cure);
    }

    /// That a file is there and can be read; `what` names it: "a PEM file".
    fn readable_file(&mut self, path: &[&str], file: &Path, what: &str) -> bool {
        let (trouble, cure) = match probe(file) {
            Ok(()) => return true,
            Err(Trouble::Missing) => ("which does not exist", "put the file there, or correct the path"),
            Err(Trouble::NotAFile) => ("which is not a file", "name the file itself"),
            Err(Trouble::Unreadable) => {
                ("which cannot be read", "give the user that runs Chancery the right to read it")
            }
        };
        self.report(path, format!("names {}, {trouble}", file.display()), what, cure);
        false
    }

    /// A `password_file` and `password_env` pair of a section.
    fn password(&mut self, section: &str, file: Option<&Path>, variable: Option<&str>) {
        self.secret(&[section], "password", file, variable);
    }

    /// A pair of keys that name the file or the variable of a secret: `{what}_file` and `{what}_env` in the section or entry at `path`.
    fn secret(&mut self, path: &[&str], what: &str, file: Option<&Path>, variable: Option<&str>) {
        let from_environment = |name: &str| self.loaded.environment.get(name).map(str::to_owned);
        let Err(error) = secret_in(file, variable, from_environment) else { return };
        let (file_name, env_name) = (format!("{what}_file"), format!("{what}_env"));
        let key = |name| path.iter().copied().chain([name]).collect::<Vec<_>>();
        let (file_key, env_key) = (key(file_name.as_str()), key(env_name.as_str()));
        let file_with_it = format!("a file that holds the {what}");
        match error {
            SecretError::Ambiguous => {
                self.report(&env_key, format!("is set beside {file_name}"), "one of the two", "remove one of them");
            }
            SecretError::NotSet(name) => self.report(
                &env_key,
                format!("names the variable {name}, which is not set or empty"),
                format!("the name of a variable that holds the {what}"),
                format!("set {name} where Chancery is started, or use {file_name}"),
            ),
            SecretError::Unreadable(_) => {
                if let Some(file) = file {
                    self.readable_file(&file_key, file, &file_with_it);
                }
            }
            SecretError::Exposed(path) => self.report(
                &file_key,
                format!("names {}, which every user of this machine can read or change", path.display()),
                "a file for Chancery's user alone",
                format!("run chmod 600 {}", path.display()),
            ),
            SecretError::Empty(path) => self.report(
                &file_key,
                format!("names {}, which is empty", path.display()),
                file_with_it,
                format!("write the {what} into it"),
            ),
            SecretError::NotAPassword(path) => self.report(
                &file_key,
                format!("names {}, which is no text file of at most 4 KiB", path.display()),
                format!("{file_with_it} and nothing else"),
                "name the right file",
            ),
        }
    }
}

enum Trouble {
    Missing,
    NotAFile,
    Unreadable,
}

fn probe(file: &Path) -> Result<(), Trouble> {
    match File::open(file).and_then(|handle| handle.metadata()) {
        Ok(metadata) if metadata.is_file() => Ok(()),
        Ok(_) => Err(Trouble::NotAFile),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Trouble::Missing),
        Err(_) => Err(Trouble::Unreadable),
    }
}

fn intake(rules: &mut Rules<'_>) {
    let config = rules.config();
    rules.span_between(
        &["intake", "commit_delay"],
        config.intake.commit_delay,
        Span::from_secs(0),
        Span::from_secs(10),
    );
    let (least, most) = (ByteSize::new(1 << 10), ByteSize::new(512 << 20));
    let size = config.intake.event_size_max;
    let cure = match size {
        size if size < least => format!("set it to \"{least}\" or more"),
        size if size > most => format!("set it to \"{most}\" or less"),
        _ => String::new(),
    };
    if !cure.is_empty() {
        let expected = format!("{least} to {most}");
        rules.report(&["intake", "event_size_max"], format!("is \"{size}\""), expected, cure);
    }
    let scan = config.spool.scan_interval;
    rules.span_between(&["spool", "scan_interval"], scan, Span::from_millis(100), Span::from_secs(3600));
    if config.amqp.is_none() && !config.spool.enabled && !rules.broken(&["amqp"]) {
        rules.report(
            &["spool", "enabled"],
            "is false, and there is no [amqp] section",
            "at least one way in",
            "set spool.enabled = true, or add [amqp]",
        );
    }
}

fn completeness(rules: &mut Rules<'_>) {
    let patience = rules.config().completeness.patience;
    let day = Span::from_secs(86_400);
    rules.span_between(&["completeness", "patience"], patience, Span::from_secs(0), day);
}

fn access(rules: &mut Rules<'_>) {
    let access = &rules.config().access;
    for (key, ids) in [("officers", &access.officers), ("officer_groups", &access.officer_groups)] {
        for id in ids.keys() {
            // As the kernel writes it; 0042 would never be anybody.
            if id.parse::<u32>().is_ok_and(|number| number.to_string() == *id) {
                continue;
            }
            rules.report(
                &["access", key],
                format!("names {id:?}"),
                "numeric ids as the kernel knows them",
                "write the number that `id -u NAME` or `getent group NAME` shows",
            );
        }
    }
}

fn conversations(rules: &mut Rules<'_>) {
    let lease = rules.config().conversations.presence_lease;
    let week = Span::from_secs(7 * 86_400);
    rules.span_between(&["conversations", "presence_lease"], lease, Span::from_secs(1), week);
}
