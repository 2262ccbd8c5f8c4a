//! `chancery setup`: what must exist before the daemon runs.

use super::Outcome;
use super::context::{self, Context};
use super::print::{self, Column, Format};
use crate::config::Config;
use crate::errors::{ExitStatus, Failure};
use crate::intake::amqp::{self, Made};
use crate::pickup::{Marker, Share};
use crate::support::durable;

/// Create directories, pickup shares and the staging database, and declare exchange and queue on the broker
///
/// Safe to repeat. Run it once after installing, and again after adding an adapter or replacing a share.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Leave the broker alone; its exchange and queue are declared by someone else
    #[arg(long)]
    no_broker: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Outcome {
    let config = context.config()?;
    let mut done = directories(&config)?;
    done.extend(context::block_on(async {
        context::open_staging(&config).await?;
        let mut done = vec![("staging".to_owned(), "ready".to_owned())];
        if let Some(settings) = config.amqp.as_ref().filter(|_| !args.no_broker) {
            let report = amqp::setup(settings).await.map_err(context::intake_failure)?;
            done.extend(report.items.into_iter().map(|item| {
                let made = match item.made {
                    Made::Now => "declared now",
                    Made::Before => "stands already",
                };
                (format!("{} {}", item.what, item.name), made.to_owned())
            }));
        }
        Ok(done)
    })?);
    match context.format() {
        Format::Table => {
            print::data(print::table(
                &[Column::Text("what"), Column::Text("state")],
                done.into_iter().map(|(what, state)| vec![what, state]),
            ))?;
        }
        Format::Json => print::json(&done)?,
    }
    Ok(ExitStatus::Done)
}

fn directories(config: &Config) -> Result<Vec<(String, String)>, Failure> {
    let mut done = Vec::new();
    let own =
        [config.state_dir(), config.vault_dir(), config.evidence_dir(), config.quarantine_dir(), config.incoming_dir()];
    for dir in own {
        durable::create_dir(&dir).map_err(|error| {
            Failure::new(ExitStatus::FileSystem, "cannot make the run-time directories").caused_by(error)
        })?;
        done.push(("directory".to_owned(), dir.display().to_string()));
    }
    for adapter in &config.adapter {
        let dir = config.pickup_dir(adapter);
        Share::open(&dir, &adapter.name, Marker::Create).map_err(|error| {
            Failure::new(ExitStatus::FileSystem, format!("cannot prepare the pickup share of adapter {}", adapter.name))
                .caused_by(error)
        })?;
        done.push((format!("pickup share of {}", adapter.name), dir.display().to_string()));
    }
    Ok(done)
}
