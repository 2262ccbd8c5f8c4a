//! `chancery bridge`: puts the events of a chat server on the queue.

mod backfill;
mod sweep;

use tokio_util::sync::CancellationToken;

use super::Outcome;
use super::context::{self, Context};
use super::{print, run};
use crate::bridge::matrix::deliver::Settings;
use crate::bridge::matrix::homeserver::{Homeserver, HomeserverError};
use crate::bridge::matrix::registration::{self, RegistrationError};
use crate::bridge::matrix::{self, BridgeError};
use crate::config::{Config, MatrixBridge};
use crate::errors::{ExitStatus, Failure};

/// How the bridge is called on the homeserver.
const ID: &str = "chancery";

/// Put the events of a chat server on the queue, until SIGTERM or SIGINT
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    which: Which,
}

#[derive(Debug, clap::Subcommand)]
enum Which {
    Matrix(Matrix),
}

/// Take every event of a Matrix homeserver (Synapse), as an application service
///
/// It may run beside `chancery run` or on another machine. The homeserver hears that a transaction was taken
/// only when the broker has confirmed every event of it.
#[derive(Debug, clap::Args)]
struct Matrix {
    #[command(subcommand)]
    task: Option<Task>,
}

#[derive(Debug, clap::Subcommand)]
enum Task {
    /// Write the registration file, with new tokens, and say what to do with it
    Register(Register),
    Sweep(sweep::Args),
    Backfill(backfill::Args),
}

#[derive(Debug, clap::Args)]
struct Register {
    /// Where the homeserver reaches the bridge [default: http:// and bridge.matrix.listen]
    #[arg(long)]
    url: Option<String>,
}

pub(super) fn run(context: &Context, args: &Args) -> Outcome {
    let Which::Matrix(matrix) = &args.which;
    let config = context.config()?;
    let bridge = config.bridge.matrix.as_ref().ok_or_else(|| {
        Failure::new(ExitStatus::Configuration, "there is no [bridge.matrix] section in the configuration")
            .hint("add one; `chancery config sample` shows it")
    })?;
    match &matrix.task {
        None => serve(&config, bridge),
        Some(Task::Register(register)) => write(&config, bridge, register),
        Some(Task::Sweep(args)) => sweep::run(context, &config, bridge, args),
        Some(Task::Backfill(args)) => backfill::run(context, &config, bridge, args),
    }
}

fn serve(config: &Config, bridge: &MatrixBridge) -> Outcome {
    let broker = context::amqp(config)?;
    context::block_on(async {
        let stop = CancellationToken::new();
        run::stop_on_signals(stop.clone())?;
        matrix::run(config, bridge, broker, stop).await.map_err(failure)?;
        Ok(ExitStatus::Done)
    })
}

fn write(config: &Config, bridge: &MatrixBridge, register: &Register) -> Outcome {
    let path = config.matrix_registration(bridge);
    let url = register.url.clone().unwrap_or_else(|| format!("http://{}", bridge.listen));
    registration::write(&path, ID, &url).map_err(|error| failure(error.into()))?;
    print::data(format!(
        "The registration is in {path}; the homeserver will deliver to {url}.\n\
         1. Copy it to where the homeserver can read it, and nobody else.\n\
         2. Name the copy in homeserver.yaml, and restart the homeserver:\n   \
         app_service_config_files: [\"/path/to/the/copy\"]\n\
         3. Start the bridge: chancery bridge matrix",
        path = path.display()
    ))?;
    Ok(ExitStatus::Done)
}

/// The homeserver as its administrator reaches it, and how the bridge publishes.
fn administered(config: &Config, bridge: &MatrixBridge) -> Result<(Homeserver, Settings), Failure> {
    let (_, homeserver) = matrix::connect(config, bridge).map_err(failure)?;
    if !homeserver.is_administered() {
        return Err(Failure::new(
            ExitStatus::Configuration,
            "no admin token is configured, and only an administrator sees every room",
        )
        .hint("put an administrator's access token into a file and name it in bridge.matrix.admin_token_file"));
    }
    Ok((homeserver, Settings::of(bridge)))
}

/// A homeserver that gives no answer that helps.
fn unanswered(error: HomeserverError) -> Failure {
    let cure = match &error {
        HomeserverError::Refused { status: 401 | 403, .. } => {
            "the admin token must be the access token of a server administrator that is still logged in"
        }
        HomeserverError::Refused { .. } | HomeserverError::Unclear(_) => {
            "bridge.matrix.homeserver must be a Synapse, and what stands before it must let /_synapse/admin through"
        }
        _ => "see whether the homeserver runs and bridge.matrix.homeserver is its address",
    };
    Failure::new(ExitStatus::Interrupted, "the homeserver's history cannot be read").caused_by(error).hint(cure)
}

fn failure(error: BridgeError) -> Failure {
    let (status, hint) = match &error {
        BridgeError::Registration(RegistrationError::Exposed(path)) => {
            (ExitStatus::Configuration, format!("run chmod 600 {}", path.display()))
        }
        BridgeError::Registration(RegistrationError::Path(path))
            if path.source.kind() == std::io::ErrorKind::AlreadyExists =>
        {
            let cure = "the homeserver may know it; move it away first if new tokens are meant, and give the homeserver the new one";
            (ExitStatus::FileSystem, cure.to_owned())
        }
        BridgeError::Registration(_) => {
            (ExitStatus::Configuration, "`chancery bridge matrix register` writes one".to_owned())
        }
        BridgeError::Memory(_) => (
            ExitStatus::FileSystem,
            "make room, restore the rights, or see docs/sources/matrix.md for what a lost memory means".to_owned(),
        ),
        BridgeError::Listen { .. } => (
            ExitStatus::Configuration,
            "stop what holds the address, or choose another bridge.matrix.listen".to_owned(),
        ),
        _ => (ExitStatus::Configuration, "`chancery config check` says more".to_owned()),
    };
    Failure::new(status, "the Matrix bridge cannot do its work").caused_by(error).hint(hint)
}
