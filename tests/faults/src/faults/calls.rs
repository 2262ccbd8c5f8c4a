//! Faults of single calls, by the shim that stands between the product and its file system and clock.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::time::sleep;

use super::{Fault, Injection, Scene, Strike, lasting, moments, strike};
use crate::dice::Dice;
use crate::error::{At as _, Outcome, Trouble};
use crate::shim::{Action, Errno, Op, Rule, Shim, Survival, power_cut};
use crate::site::Volume;

/// Calls fail, or are slow, below the shares or the home; then they work again.
pub(super) async fn failing(scene: &Scene, injection: &Injection) -> Outcome<Vec<Strike>> {
    let shim = shim(scene)?;
    let mut dice = Dice::new(injection.choice, 2);
    let shares = scene.site.volume(Volume::Shares);
    let places: [PathBuf; 3] = [shares.clone(), scene.site.dir.join("vault"), scene.site.dir.join("home")];
    let place = dice.pick(&places).clone();
    let every = dice.between(1, 4);
    let fail = |op, place: &PathBuf, errno| Rule::new(op, place, Action::Fail(errno)).every(every);
    let rules = match injection.fault {
        Fault::ShareSlow => {
            let delay = Duration::from_millis(dice.between(20, 250));
            vec![Rule::new(Op::Any, &shares, Action::Delay(delay)).every(every)]
        }
        Fault::SyncFails => vec![fail(Op::Fsync, &place, Errno::Io)],
        Fault::RenameFails => vec![fail(Op::Rename, &place, *dice.pick(&[Errno::Io, Errno::Stale, Errno::Access]))],
        _ => vec![fail(Op::Write, &place, *dice.pick(&[Errno::Io, Errno::NoSpace, Errno::Stale]))],
    };
    let began = Instant::now();
    shim.rules(&rules).at("write rules of", &place)?;
    sleep(lasting(injection)).await;
    shim.rules(&[]).at("write rules of", &place)?;
    Ok(vec![strike(injection, began, false)])
}

/// The clock of the wall jumps, forwards and back, and is right again in the end.
pub(super) async fn clock_steps(scene: &Scene, injection: &Injection) -> Outcome<Vec<Strike>> {
    let shim = shim(scene)?;
    let mut dice = Dice::new(injection.choice, 2);
    let began = Instant::now();
    let set = |seconds: f64| shim.clock(seconds).at("set the clock of", &scene.site.dir);
    for pause in moments(injection) {
        set(*dice.pick(&[-3600.0, -90.0, -5.0, -0.7, 0.7, 5.0, 20.0]))?;
        sleep(pause).await;
    }
    set(0.0)?;
    Ok(vec![strike(injection, began, false)])
}

/// The process is killed, and everything that it did not sync below shares, vault and home is undone before it starts again.
pub(super) async fn cut_power(scene: &Scene, injection: &Injection) -> Outcome<Vec<Strike>> {
    let shim = shim(scene)?;
    let mut dice = Dice::new(injection.choice, 2);
    let mut strikes = Vec::new();
    for pause in moments(injection) {
        sleep(pause).await;
        // The archive is on the same current, and sees nothing of what is put back.
        let stopped = scene.archive.stop_for_a_while();
        scene.daemon.hold(true);
        let began = Instant::now();
        scene.daemon.signal(Signal::KILL);
        while scene.daemon.pid().is_some() {
            sleep(Duration::from_millis(5)).await;
        }
        let survival = if dice.percent(50) { Survival::Nothing } else { Survival::Seeded(dice.word()) };
        power_cut(shim, survival).at("cut the power of", &scene.site.dir)?;
        scene.archive.power_was_cut();
        drop(stopped);
        scene.daemon.hold(false);
        let mut again = started_again(scene, injection).await;
        again.began = began;
        strikes.push(again);
    }
    Ok(strikes)
}

/// Waits for the start after a cut.
async fn started_again(scene: &Scene, injection: &Injection) -> Strike {
    let began = Instant::now();
    while scene.daemon.pid().is_none() && began.elapsed() < Duration::from_secs(20) {
        sleep(Duration::from_millis(5)).await;
    }
    strike(injection, began, true)
}

fn shim(scene: &Scene) -> Outcome<&Shim> {
    scene.shim.as_ref().ok_or_else(|| Trouble::Said("this round was set up without the shim".into()))
}
