//! Faults of the process: killed, ended, stopped, its worker killed.

use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process};
use tokio::time::sleep;

use super::{Injection, Scene, Strike, lasting, moments, strike};
use crate::daemon::children;
use crate::error::Outcome;

/// The steps that the product can be told to crash at, as its documentation names them: those of a running service.
const STEPS: [&str; 70] = [
    "instance-named-pending",
    "instance-named",
    "staging-opened",
    "leftover-removed",
    "marker-written-pending",
    "marker-written",
    "lease-taken-pending",
    "lease-taken",
    "received",
    "decoded",
    "staged",
    "committed",
    "acknowledged",
    "interval-cut-pending",
    "interval-cut",
    "capture-created",
    "capture-synced",
    "capture-renamed",
    "file-captured",
    "files-listed-pending",
    "files-listed",
    "captures-recorded-pending",
    "captures-recorded",
    "rendered",
    "transformed",
    "temporary-created",
    "temporary-written",
    "attachment-written",
    "synced",
    "temporaries-synced",
    "marked-rendered-pending",
    "marked-rendered",
    "marked-failed-pending",
    "marked-failed",
    "marked-retried-pending",
    "marked-retried",
    "renamed",
    "directory-synced",
    "temporaries-gone",
    "marked-published-pending",
    "marked-published",
    "collected-seen",
    "taken-recorded-pending",
    "taken-recorded",
    "marked-collected-pending",
    "marked-collected",
    "certificate-written-pending",
    "certificate-written",
    "acknowledgement-purged",
    "file-purged",
    "purge-synced",
    "marked-purged-pending",
    "marked-purged",
    "swept-forgotten-pending",
    "swept-forgotten",
    "staging-purged-pending",
    "staging-purged",
    "leftovers-purged-pending",
    "leftovers-purged",
    "tombstones-purged-pending",
    "tombstones-purged",
    "unreferenced-listed-pending",
    "unreferenced-listed",
    "vault-swept",
    "alert-raised-pending",
    "alert-raised",
    "alert-closed-pending",
    "alert-closed",
    "lease-released-pending",
    "lease-released",
];

/// How long a new process may take to appear.
const START_TIME_MAX: Duration = Duration::from_secs(20);
const TURN: Duration = Duration::from_millis(5);

pub(super) async fn kill(scene: &Scene, injection: &Injection) -> Outcome<Vec<Strike>> {
    let mut strikes = Vec::new();
    for pause in moments(injection) {
        sleep(pause).await;
        strikes.push(kill_once(scene, injection).await);
    }
    Ok(strikes)
}

/// Kills the process and waits until it was started again.
async fn kill_once(scene: &Scene, injection: &Injection) -> Strike {
    let (began, before) = (Instant::now(), scene.daemon.starts().len());
    scene.daemon.signal(Signal::KILL);
    started_after(scene, before).await;
    strike(injection, began, true)
}

async fn started_after(scene: &Scene, before: usize) {
    let begun = Instant::now();
    while scene.daemon.starts().len() <= before && begun.elapsed() < START_TIME_MAX {
        sleep(TURN).await;
    }
}

pub(super) async fn crash_point(scene: &Scene, injection: &Injection) -> Outcome<Vec<Strike>> {
    let step = STEPS[usize::try_from(injection.choice % STEPS.len() as u64).unwrap_or(0)];
    let count = 1 + injection.choice / 97 % 3;
    scene.daemon.next_environment("CHANCERY_CRASH_AT", &format!("{step}:{count}"));
    let mut strikes = vec![kill_once(scene, injection).await];
    let armed = scene.daemon.starts().len();
    let begun = Instant::now();
    while begun.elapsed() < lasting(injection) {
        // A step that this round's work does not come to leaves the process alone.
        if let Some(ended) = scene.daemon.starts().get(armed.saturating_sub(1)).and_then(|start| start.ended) {
            started_after(scene, armed).await;
            strikes.push(strike(injection, ended, true));
            break;
        }
        sleep(TURN).await;
    }
    Ok(strikes)
}

pub(super) async fn terminate(scene: &Scene, injection: &Injection) -> Outcome<Vec<Strike>> {
    let (began, before) = (Instant::now(), scene.daemon.starts().len());
    scene.daemon.signal(Signal::TERM);
    started_after(scene, before).await;
    Ok(vec![strike(injection, began, true)])
}

pub(super) async fn pause(scene: &Scene, injection: &Injection) -> Outcome<Vec<Strike>> {
    let began = Instant::now();
    scene.daemon.signal(Signal::STOP);
    sleep(lasting(injection)).await;
    scene.daemon.signal(Signal::CONT);
    Ok(vec![strike(injection, began, false)])
}

pub(super) async fn worker_kill(scene: &Scene, injection: &Injection) -> Outcome<Vec<Strike>> {
    let mut strikes = Vec::new();
    for pause in moments(injection) {
        sleep(pause).await;
        // The worker may live for an instant only: it is looked for during a while.
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(2500) {
            let began = Instant::now();
            let workers = scene.daemon.pid().map(children).unwrap_or_default();
            let worker = workers.into_iter().find(|(_, words)| words.contains("transform-worker"));
            if let Some((pid, _)) = worker {
                // Gone by itself meanwhile is no strike.
                if kill_process(pid, Signal::KILL).is_ok() {
                    strikes.push(strike(injection, began, false));
                }
                break;
            }
            sleep(TURN).await;
        }
    }
    Ok(strikes)
}
