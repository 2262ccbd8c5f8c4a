//! What every command starts from: the configuration, the log, and an open staging database.

use std::future::Future;

use super::Global;
use super::print::Format;
use crate::config::{Amqp, Config, Loaded, Loader};
use crate::errors::{ExitStatus, Failure};
use crate::intake::IntakeError;
use crate::staging::{self, Staging, StagingError};
use crate::support::step;
use crate::telemetry;

/// The global options, and the ways to what they name.
pub(super) struct Context {
    global: Global,
}

impl Context {
    pub(super) fn new(global: Global) -> Self {
        Self { global }
    }

    /// How data is printed.
    pub(super) fn format(&self) -> Format {
        self.global.format
    }

    /// Reads and layers the configuration without judging it.
    pub(super) fn loader(&self) -> Loader {
        Loader::new().file(self.global.config.clone()).set(self.global.set.iter().cloned())
    }

    /// The checked configuration, and logging as it says.
    pub(super) fn load(&self) -> Result<Loaded, Failure> {
        let loaded = self.loader().load().map_err(Failure::from)?;
        telemetry::install(&loaded.config.log);
        Ok(loaded)
    }

    /// As [`Context::load`], for commands that work with what is configured. In a laboratory the process is armed to
    /// end or to stop at a step, when its environment says so.
    pub(super) fn config(&self) -> Result<Config, Failure> {
        let config = self.load()?.config;
        arm(&config)?;
        Ok(config)
    }
}

fn arm(config: &Config) -> Result<(), Failure> {
    let refused = |message: String, cure: String| Failure::new(ExitStatus::Configuration, message).hint(cure);
    let variable = |name: &str| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
    let orders = step::orders(variable).map_err(|error| refused(error.to_string(), error.cure()))?;
    if let Some(order) = orders.first().filter(|_| !config.laboratory) {
        let variable = order.variable();
        return Err(refused(
            format!(
                "{variable} is set, expected it only in a laboratory: the process would end itself in the middle of its work"
            ),
            format!("unset {variable}, or say laboratory = true in a configuration that serves no real archive"),
        ));
    }
    step::arm(orders);
    Ok(())
}

/// Opens the staging database of a configuration.
pub(super) async fn open_staging(config: &Config) -> Result<Staging, Failure> {
    staging::open(config).await.map_err(|error| {
        staging_failure(error).hint("`chancery config check` names the database; the daemon's log may say more")
    })
}

/// The broker's section, or a failure that says how to get one.
pub(super) fn amqp(config: &Config) -> Result<&Amqp, Failure> {
    config.amqp.as_ref().ok_or_else(|| {
        Failure::new(ExitStatus::Configuration, "there is no [amqp] section in the configuration")
            .hint("add one (`chancery config sample` shows it), or move NDJSON files into the spool directory instead")
    })
}

/// Runs a command's asynchronous part on one thread; only the daemon needs more.
pub(super) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(ExitStatus::Interrupted, "cannot start the runtime").caused_by(error))?;
    runtime.block_on(work)
}

/// A failure of staging, with its exit code.
pub(super) fn staging_failure(error: StagingError) -> Failure {
    let status = match error {
        StagingError::Refused { .. } => ExitStatus::Finding,
        _ => ExitStatus::Staging,
    };
    Failure::new(status, error.to_string())
}

/// A failure of intake or publishing, with its exit code.
pub(super) fn intake_failure(error: IntakeError) -> Failure {
    let status = match &error {
        IntakeError::BadSetting { .. } => ExitStatus::Configuration,
        IntakeError::Staging(_) => ExitStatus::Staging,
        IntakeError::Path(_) => ExitStatus::FileSystem,
        _ => ExitStatus::Broker,
    };
    Failure::new(status, "intake failed").caused_by(error)
}
