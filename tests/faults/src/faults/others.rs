//! Faults that others bring: a second Chancery, a bad neighbour on the share.

use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use super::{Injection, Scene, Strike, lasting, strike};
use crate::daemon::Daemon;
use crate::error::{At as _, Outcome};
use crate::neighbour::Harm;

/// How long a second process may take to see that it is not alone.
const REFUSAL_TIME_MAX: Duration = Duration::from_secs(20);

/// How long the next output to acknowledge may take to come. Only traffic that is over leaves nothing to tamper with.
const ACKNOWLEDGEMENT_TIME_MAX: Duration = Duration::from_secs(20);

pub(super) async fn two_instances(scene: &Scene, injection: &Injection) -> Outcome<Vec<Strike>> {
    refused(scene).await?;
    let began = Instant::now();
    let logs = scene.site.dir.join("log");
    let second = scene.site.command("second", &["run"]);
    let (program, arguments) =
        (second.get_program().to_owned(), second.get_args().map(ToOwned::to_owned).collect::<Vec<_>>());
    let dir = scene.site.dir.clone();
    let again = move |_| {
        let mut command = std::process::Command::new(&program);
        command.args(&arguments).current_dir(&dir);
        command
    };
    let daemon = Daemon::start("second", &logs, Box::new(again))?;
    sleep(lasting(injection)).await;
    let stopped = tokio::task::spawn_blocking(move || daemon.stop()).await;
    for finding in stopped.map(|(_, findings)| findings).unwrap_or_default() {
        scene.charge(format!("the second home: {}", finding.detail));
    }
    Ok(vec![strike(injection, began, false)])
}

/// A second process on the same home must be turned away while the first runs.
async fn refused(scene: &Scene) -> Outcome<()> {
    for _ in 0..3 {
        let starts = scene.daemon.starts().len();
        let mut command = tokio::process::Command::from(scene.site.command("home", &["run", "--once"]));
        command.kill_on_drop(true);
        let ended = timeout(REFUSAL_TIME_MAX, command.output()).await;
        let alone = scene.daemon.starts().len() != starts || scene.daemon.pid().is_none();
        let let_in = match ended {
            Ok(output) => output.at("run", &scene.site.dir)?.status.success(),
            Err(_) => true,
        };
        // If the first was down for a moment, being let in was right, and proves nothing.
        if alone {
            continue;
        }
        if let_in {
            scene.charge("a second process was let into the home of the first");
        }
        return Ok(());
    }
    Ok(())
}

pub(super) async fn tamper(scene: &Scene, injection: &Injection) -> Outcome<Vec<Strike>> {
    let harm = Harm::ALL[usize::try_from(injection.choice % Harm::ALL.len() as u64).unwrap_or(0)];
    let before = scene.archive.harmed();
    scene.archive.harm_next(harm);
    let began = Instant::now();
    while scene.archive.harmed() == before && began.elapsed() < ACKNOWLEDGEMENT_TIME_MAX {
        sleep(Duration::from_millis(10)).await;
    }
    let struck = scene.archive.harmed() > before;
    Ok(struck.then(|| strike(injection, began, false)).into_iter().collect())
}
