//! `chancery evidence`: the key that signs the log of evidence, and the one that replaces it.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde::Serialize;

use super::Outcome;
use super::act::act;
use super::context::{self, Context, staging_failure};
use super::print::{self, Column, Format};
use crate::config::Config;
use crate::errors::{ExitStatus, Failure};
use crate::evidence::entry::KeyBody;
use crate::evidence::key::{KeyError, SigningKey};
use crate::staging::Staging;
use crate::support::durable::{self, PathError};
use crate::support::step::{Commit, Step};

/// Make the key that signs the log of evidence, or replace it
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make the key, or record one that is there already
    Keygen,
    /// Replace the key; the old one signs the new one, and both are recorded in the log
    Rotate {
        /// Why, for the record
        #[arg(long)]
        reason: String,
        /// The old key is gone and cannot sign the new one; whoever verifies is told so
        #[arg(long)]
        lost: bool,
    },
}

/// What is told of a key.
#[derive(Debug, Serialize)]
struct Shown {
    fingerprint: String,
    public_key: String,
    file: PathBuf,
}

pub(super) fn run(context: &Context, args: &Args) -> Outcome {
    let config = context.config()?;
    let format = context.format();
    let shown = context::block_on(async {
        let staging = context::open_staging(&config).await?;
        match &args.verb {
            Verb::Keygen => keygen(&staging, &config).await,
            Verb::Rotate { reason, lost } => rotate(&staging, &config, reason, *lost).await,
        }
    })?;
    match format {
        Format::Json => print::json(&shown)?,
        Format::Table => {
            let rows = [
                ("fingerprint", shown.fingerprint),
                ("public key", shown.public_key),
                ("file", shown.file.display().to_string()),
            ];
            let rows = rows.into_iter().map(|(key, value)| vec![key.to_owned(), value]);
            print::data(print::table(&[Column::Text("key"), Column::Text("value")], rows))?;
        }
    }
    Ok(ExitStatus::Done)
}

async fn keygen(staging: &Staging, config: &Config) -> Result<Shown, Failure> {
    let file = config.evidence_key();
    let newest = newest(staging).await?;
    let key = match (SigningKey::load(&file), newest) {
        (Ok(key), None) => key,
        (Ok(_), Some(_)) => {
            return Err(Failure::new(ExitStatus::Finding, format!("there is a key in {} already", file.display()))
                .hint("`chancery evidence rotate` replaces it"));
        }
        (Err(error), newest) if is_missing(&error) => match newest {
            None => make(&file)?,
            Some(newest) => {
                let message = format!("the log's key is {}, and {} is not there", newest.fingerprint, file.display());
                return Err(Failure::new(ExitStatus::Finding, message)
                    .hint("copy it back; if it is gone, `chancery evidence rotate --lost` makes another"));
            }
        },
        (Err(error), _) => return Err(unusable(error)),
    };
    record(staging, KeyBody::first(&key.public()), "evidence keygen", "").await?;
    Ok(shown(&key, file))
}

async fn rotate(staging: &Staging, config: &Config, reason: &str, lost: bool) -> Result<Shown, Failure> {
    let file = config.evidence_key();
    let Some(newest) = newest(staging).await? else {
        return Err(Failure::new(ExitStatus::Finding, "there is no key to be replaced")
            .hint("`chancery evidence keygen` makes the first"));
    };
    // Under a name of its own until the log knows it: while both files are there, this command can be given again.
    let mut next = file.clone().into_os_string();
    next.push(".next");
    let next = PathBuf::from(next);
    let key = match SigningKey::load(&next) {
        Err(error) if is_missing(&error) => make(&next)?,
        other => other.map_err(unusable)?,
    };
    if key.public().fingerprint() != newest.fingerprint {
        let body = if lost {
            KeyBody::after_lost(&key.public(), &newest.fingerprint)
        } else {
            let old = SigningKey::load(&file).map_err(|error| {
                unusable(error).hint("copy the key back; if it is gone, give --lost, and whoever verifies is told so")
            })?;
            if old.public().fingerprint() != newest.fingerprint {
                let here = old.public().fingerprint();
                let message = format!("{} is {here}, and the log's key is {}", file.display(), newest.fingerprint);
                return Err(Failure::new(ExitStatus::Finding, message)
                    .hint("copy the log's key back; if it is gone, give --lost, and whoever verifies is told so"));
            }
            KeyBody::endorsed(&key.public(), &old)
        };
        record(staging, body, "evidence rotate", reason).await?;
    }
    durable::replace(&next, &file, Step::KeyReplaced).map_err(disk)?;
    Ok(shown(&key, file))
}

/// The newest key of the log.
async fn newest(staging: &Staging) -> Result<Option<KeyBody>, Failure> {
    let keys = staging.log_keys().await.map_err(staging_failure)?;
    let read = keys.last().map(|entry| serde_json::from_slice(&entry.bytes)).transpose();
    read.map_err(|error| Failure::new(ExitStatus::Staging, "the log's newest key cannot be read").caused_by(error))
}

fn make(file: &Path) -> Result<SigningKey, Failure> {
    let key = SigningKey::generate().map_err(unusable)?;
    let text = key.to_openssh("chancery evidence").map_err(unusable)?;
    if let Some(parent) = file.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        durable::create_dir(parent).map_err(disk)?;
    }
    durable::write_new_secret(file, text.as_bytes(), Commit::KEY_WRITTEN).map_err(disk)?;
    Ok(key)
}

async fn record(staging: &Staging, body: KeyBody, verb: &str, reason: &str) -> Result<(), Failure> {
    let unwritable = |error| Failure::new(ExitStatus::Interrupted, "cannot write the key's entry").caused_by(error);
    let (fingerprint, draft) = body.draft().map_err(|error: serde_json::Error| unwritable(error))?;
    let act = act(verb, format!("key {fingerprint}"), reason);
    staging.record_key(&fingerprint, &draft, Some(&act)).await.map_err(staging_failure)
}

fn shown(key: &SigningKey, file: PathBuf) -> Shown {
    Shown { fingerprint: key.public().fingerprint(), public_key: key.public().line(), file }
}

fn is_missing(error: &KeyError) -> bool {
    matches!(error, KeyError::Unreadable { source, .. } if source.kind() == std::io::ErrorKind::NotFound)
}

fn unusable(error: KeyError) -> Failure {
    let cure = error.cure();
    Failure::new(ExitStatus::Configuration, "the key cannot be used").caused_by(error).hint(cure)
}

fn disk(error: PathError) -> Failure {
    Failure::new(ExitStatus::FileSystem, "the key cannot be written").caused_by(error)
}
