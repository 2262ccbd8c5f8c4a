//! Faults of the staging database.

use std::time::{Duration, Instant};

use sqlx::{ConnectOptions as _, Executor as _};
use tokio::time::sleep;

use super::{Injection, Scene, Strike, lasting, strike};
use crate::error::Outcome;
use crate::proxy::Door;
use crate::servers::Server;
use crate::site::Store;

pub(super) async fn restart(scene: &Scene, injection: &Injection) -> Outcome<Vec<Strike>> {
    let began = Instant::now();
    match injection.choice % 3 {
        0 => scene.servers.end_backends().await?,
        form => scene.servers.restart(Server::Database, form == 1).await?,
    }
    Ok(vec![strike(injection, began, false)])
}

pub(super) async fn down(scene: &Scene, injection: &Injection) -> Outcome<Vec<Strike>> {
    match (scene.site.store, &scene.database) {
        (Store::Postgres, Some(door)) => {
            let began = Instant::now();
            door.turn(if injection.choice.is_multiple_of(2) { Door::Shut } else { Door::Silent });
            sleep(lasting(injection)).await;
            door.turn(Door::Open);
            Ok(vec![strike(injection, began, false)])
        }
        _ => locked(scene, injection).await,
    }
}

/// Another process that holds the write lock of the SQLite file, as a backup or a curious administrator may.
async fn locked(scene: &Scene, injection: &Injection) -> Outcome<Vec<Strike>> {
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(scene.site.staging_file())
        .busy_timeout(Duration::from_secs(20));
    let mut connection = options.connect().await?;
    connection.execute("begin exclusive").await?;
    let began = Instant::now();
    sleep(lasting(injection)).await;
    connection.execute("rollback").await?;
    Ok(vec![strike(injection, began, false)])
}
