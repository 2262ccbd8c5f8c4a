//! Faults between the product and the broker, and of the broker itself. The judge's publisher meets them too.

use std::time::Instant;

use tokio::time::sleep;

use super::{Injection, Scene, Strike, lasting, moments, strike};
use crate::error::Outcome;
use crate::proxy::Door;
use crate::servers::Server;

pub(super) async fn connection_kill(scene: &Scene, injection: &Injection) -> Outcome<Vec<Strike>> {
    let mut strikes = Vec::new();
    for pause in moments(injection) {
        sleep(pause).await;
        let began = Instant::now();
        scene.broker.cut();
        strikes.push(strike(injection, began, false));
    }
    Ok(strikes)
}

pub(super) async fn broker_restart(scene: &Scene, injection: &Injection) -> Outcome<Vec<Strike>> {
    let began = Instant::now();
    scene.servers.restart(Server::Broker, injection.choice.is_multiple_of(2)).await?;
    Ok(vec![strike(injection, began, false)])
}

pub(super) async fn broker_down(scene: &Scene, injection: &Injection) -> Outcome<Vec<Strike>> {
    let began = Instant::now();
    scene.broker.turn(if injection.choice.is_multiple_of(2) { Door::Shut } else { Door::Silent });
    sleep(lasting(injection)).await;
    scene.broker.turn(Door::Open);
    Ok(vec![strike(injection, began, false)])
}
