//! Rules for `[staging]`: the keys of one store only, and an address without a password.

use super::super::Span;
use super::super::sections::{StagingSection, Store};
use super::super::shape::without_password;
use super::super::url::Address;
use super::Rules;

/// A shorter lease would change hands whenever a disk stalls.
const LEASE_MIN: Span = Span::from_secs(5);
const LEASE_MIN_LABORATORY: Span = Span::from_secs(1);
/// A longer one would leave an adapter without a worker for too long.
const LEASE_MAX: Span = Span::from_secs(3600);

pub(super) fn check(rules: &mut Rules<'_>) {
    let least = if rules.config().laboratory { LEASE_MIN_LABORATORY } else { LEASE_MIN };
    rules.span_between(&["staging", "lease"], rules.config().staging.lease, least, LEASE_MAX);
    if rules.broken(&["staging", "store"]) {
        return;
    }
    let staging = &rules.config().staging;
    match staging.store {
        Store::Sqlite => sqlite(rules, staging),
        Store::Postgres => postgres(rules, staging),
    }
}

fn sqlite(rules: &mut Rules<'_>, staging: &StagingSection) {
    let given = [
        ("url", staging.url.is_some()),
        ("password_file", staging.password_file.is_some()),
        ("password_env", staging.password_env.is_some()),
    ];
    for (key, _) in given.iter().filter(|(_, given)| *given) {
        rules.report(
            &["staging", key],
            "is set, but the store is \"sqlite\"",
            format!("{key} only for \"postgres\""),
            "set staging.store = \"postgres\", or remove this key",
        );
    }
    if let Some(path) = staging.path.as_deref().filter(|path| path.is_dir()) {
        let found = format!("names {}, which is a directory", path.display());
        rules.report(&["staging", "path"], found, "a file", format!("write {}/staging.db", path.display()));
    }
}

fn postgres(rules: &mut Rules<'_>, staging: &StagingSection) {
    if staging.path.is_some() {
        rules.report(
            &["staging", "path"],
            "is set, but the store is \"postgres\"",
            "path only for \"sqlite\"",
            "set staging.store = \"sqlite\", or remove this key",
        );
    }
    rules.password("staging", staging.password_file.as_deref(), staging.password_env.as_deref());
    match &staging.url {
        Some(url) => address(rules, url),
        None => rules.report(
            &["staging", "url"],
            "is missing",
            "the address of the PostgreSQL server",
            "add url = \"postgres://USER@HOST:5432/DATABASE\" below [staging]",
        ),
    }
    let schema = &staging.schema;
    let first_is_letter = schema.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    let rest_is_plain = schema.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if !first_is_letter || !rest_is_plain || schema.len() > 63 || schema.starts_with("pg_") {
        rules.report(
            &["staging", "schema"],
            format!("is {schema:?}"),
            "a name of small letters, digits and _, at most 63, that begins with a letter and not with pg_",
            "choose another name, such as \"chancery\"",
        );
    }
}

fn address(rules: &mut Rules<'_>, url: &str) {
    let path = ["staging", "url"];
    let shown = format!("is {:?}", without_password(url));
    let form = "postgres://USER@HOST:PORT/DATABASE";
    let Some(address) = Address::parse(url).filter(|address| matches!(address.scheme, "postgres" | "postgresql"))
    else {
        return rules.report(&path, shown, form, "begin it with postgres://");
    };
    if address.password.is_some() || address.has_parameter("password") {
        rules.report(
            &path,
            "holds a password",
            format!("{form}, without a password"),
            "move the password to a file and name it in staging.password_file, or use staging.password_env",
        );
    }
    if address.host.is_empty() && !address.has_parameter("host") {
        rules.report(
            &path,
            format!("{shown}, without a host"),
            form,
            "name the server, or a socket with ?host=/DIRECTORY",
        );
    }
    if address.port.is_err() {
        let found = format!("{shown}, with a port that is none");
        rules.report(&path, found, "a port from 1 to 65535", "write 5432, PostgreSQL's own");
    }
}
