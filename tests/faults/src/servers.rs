//! The broker and the database: where they are, and how to restart them by `deploy/services`.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use lapin::options::{ExchangeDeleteOptions, QueueDeleteOptions};
use lapin::{Connection, ConnectionProperties};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Executor as _};
use tokio::process::Command;
use tokio::time::{sleep, timeout};

use crate::error::{At as _, Outcome, Trouble, said};

/// One of the two servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// RabbitMQ.
    Broker,
    /// PostgreSQL.
    Database,
}

/// Both servers.
#[derive(Debug, Clone)]
pub struct Servers {
    /// The broker's address, `amqp://…`.
    pub amqp_url: String,
    /// The database's address; `None` when no round needs it.
    pub postgres_url: Option<String>,
    /// `deploy/services` and the directory that it keeps the servers in; `None`: they cannot be restarted.
    pub keeper: Option<(PathBuf, PathBuf)>,
}

const PATIENCE: Duration = Duration::from_secs(20);

impl Server {
    fn name(self) -> &'static str {
        match self {
            Self::Broker => "rabbitmq",
            Self::Database => "postgres",
        }
    }
}

impl Servers {
    /// Where a server listens.
    ///
    /// # Errors
    /// When its address is none, or it is not there at all.
    pub fn socket(&self, server: Server) -> Outcome<SocketAddr> {
        let url = match (server, &self.postgres_url) {
            (Server::Broker, _) => &self.amqp_url,
            (Server::Database, Some(url)) => url,
            (Server::Database, None) => return said("there is no PostgreSQL: set CHANCERY_TEST_POSTGRES_URL"),
        };
        let resolved = authority(url).to_socket_addrs().ok().and_then(|mut found| found.next());
        resolved.ok_or_else(|| Trouble::Said(format!("no address in {url}; expected HOST:PORT after the user name")))
    }

    /// The same address by way of a door.
    pub fn through(url: &str, door: SocketAddr) -> String {
        url.replacen(authority(url), &door.to_string(), 1)
    }

    /// Stops a server, by its own manners or at once, and starts it again on its old port and data.
    ///
    /// # Errors
    /// When it does not come back.
    pub async fn restart(&self, server: Server, at_once: bool) -> Outcome<()> {
        let Some((services, dir)) = &self.keeper else { return said("the servers are not ours to restart") };
        if at_once {
            self.kill(server).await?;
        }
        run(Command::new(services).arg("restart").arg(dir).arg(server.name())).await
    }

    /// SIGKILL for the broker; SIGQUIT for the database, which is what its own manual calls a crash that leaves no orphans.
    async fn kill(&self, server: Server) -> Outcome<()> {
        let Some((_, dir)) = &self.keeper else { return Ok(()) };
        let file = dir.join(format!("{}.pid", server.name()));
        let text = std::fs::read_to_string(&file).at("read", &file)?;
        let Some(pid) = text.trim().parse().ok().and_then(Pid::from_raw) else {
            return said(format!("{} holds no process id", file.display()));
        };
        let signal = if server == Server::Broker { Signal::KILL } else { Signal::QUIT };
        // It may be gone already, which is what was wanted.
        let _ = kill_process(pid, signal);
        for _ in 0..200 {
            if test_kill_process(pid).is_err() {
                return Ok(());
            }
            sleep(Duration::from_millis(50)).await;
        }
        said(format!("{} did not end when it was killed", server.name()))
    }

    /// Ends every backend of the database but our own: what an administrator or a failover does.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn end_backends(&self) -> Outcome<()> {
        let Some(url) = &self.postgres_url else { return said("there is no PostgreSQL") };
        let options: sqlx::postgres::PgConnectOptions = url.parse()?;
        let mut connection = options.connect().await?;
        connection.execute("select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and backend_type = 'client backend'").await?;
        Ok(())
    }

    /// Deletes what a round left on the servers. Best effort: the servers are private and go away with the run.
    pub async fn tidy(&self, name: &str, schema: Option<&str>) {
        let _ = timeout(PATIENCE, delete_queues(&self.amqp_url, name)).await;
        if let (Some(url), Some(schema)) = (&self.postgres_url, schema) {
            let _ = timeout(PATIENCE, drop_schema(url, schema)).await;
        }
    }
}

/// `HOST:PORT` of an address.
fn authority(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?']).next().unwrap_or(rest);
    authority.rsplit('@').next().unwrap_or(authority)
}

async fn delete_queues(url: &str, name: &str) -> Outcome<()> {
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    for queue in [format!("{name}.q"), format!("{name}.dead")] {
        channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await?;
    }
    for exchange in [name.to_owned(), format!("{name}.dead")] {
        channel.exchange_delete(exchange.into(), ExchangeDeleteOptions::default()).await?;
    }
    Ok(connection.close(200, "done".into()).await?)
}

async fn drop_schema(url: &str, schema: &str) -> Outcome<()> {
    let options: sqlx::postgres::PgConnectOptions = url.parse()?;
    let mut connection = options.connect().await?;
    connection.execute(AssertSqlSafe(format!("drop schema if exists {schema} cascade"))).await?;
    Ok(())
}

/// Runs a command that must succeed.
///
/// # Errors
/// With the end of what it said.
pub(crate) async fn run(command: &mut Command) -> Outcome<()> {
    let shown = format!("{:?}", command.as_std());
    let output = command.stdin(std::process::Stdio::null()).output().await.at("run", Path::new(&shown))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().chars().take(2000).collect();
    Err(Trouble::Command { command: shown, status: output.status.to_string(), said })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_led_through_a_door() {
        let door = SocketAddr::from(([127, 0, 0, 1], 7));
        assert_eq!(Servers::through("amqp://127.0.0.1:5672/%2f", door), "amqp://127.0.0.1:7/%2f");
        assert_eq!(Servers::through("postgres://me@localhost:5432/db?a=b", door), "postgres://me@127.0.0.1:7/db?a=b");
    }
}
