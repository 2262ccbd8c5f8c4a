//! Opens the store that the configuration names. The only place that reads the database password, and it
//! never repeats it in an error.

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migration, MigrationType, Migrator};

use super::keys::broken;
use super::{Result, Staging, StagingError, postgres, sqlite};
use crate::config::{Config, StagingSection, Store, secret};
use crate::support::durable::create_dir;
use crate::support::step::{Step, reached};

/// Opens staging as configured: creates what is missing, and brings the tables up to date.
///
/// # Errors
/// [`StagingError::Unavailable`] when the database does not answer; [`StagingError::Broken`] when it
/// comes from a later version, or its address or password cannot be read.
pub async fn open(config: &Config) -> Result<Staging> {
    let section = &config.staging;
    let staging: Staging = match section.store {
        Store::Sqlite => {
            let path = config.sqlite_path();
            if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                create_dir(parent).map_err(|error| unavailable(&error, &error.source))?;
            }
            Arc::new(sqlite::open(&path).await?)
        }
        Store::Postgres => {
            let url = section.url.as_deref().ok_or_else(|| broken("no address (staging.url) is set"))?;
            let password = password(section)?;
            let password = password.as_ref().map(ExposeSecret::expose_secret);
            let store = postgres::open(url, password, &section.schema, section.connections).await?;
            Arc::new(store)
        }
    };
    reached(Step::StagingOpened);
    Ok(staging)
}

/// The password, from its file or its variable; none if neither is named.
fn password(section: &StagingSection) -> Result<Option<SecretString>> {
    let read = secret(section.password_file.as_deref(), section.password_env.as_deref());
    // The chain is told whole: the message alone does not say what the operating system refused.
    read.map_err(|error| broken(format!("staging.password_file or staging.password_env: {}", chain(&error))))
}

fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(error.source(), |cause| cause.source())
        .fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn unavailable(what: &dyn std::fmt::Display, why: &dyn std::fmt::Display) -> StagingError {
    StagingError::Unavailable { detail: format!("{what}: {why}") }
}

/// The steps that bring a store's tables up to date. Steps are only ever added.
pub(super) fn migrator(steps: &[(i64, &'static str, &'static str)]) -> Migrator {
    let step = |&(version, name, sql): &(i64, &'static str, &'static str)| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator::with_migrations(steps.iter().map(step).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test should panic")]

    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_password_comes_from_its_file_without_the_line_break() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        std::fs::write(&path, "a secret \n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let mut section = StagingSection { password_file: Some(path.clone()), ..StagingSection::default() };
        assert_eq!(password(&section).unwrap().unwrap().expose_secret(), "a secret ");
        section.password_file = Some(dir.path().join("missing"));
        assert!(!password(&section).unwrap_err().retryable());
        assert!(password(&StagingSection::default()).unwrap().is_none());
        let named = StagingSection { password_env: Some("CHANCERY_NO_SUCH_VARIABLE".into()), ..Default::default() };
        assert!(password(&named).unwrap_err().to_string().contains("CHANCERY_NO_SUCH_VARIABLE"));
    }
}
