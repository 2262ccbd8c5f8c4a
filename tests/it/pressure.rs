//! Staging away while the queue is full: nothing is dropped, nothing is delivered again and again, memory stays bounded.
//!
//! Every test has servers of its own, for it stops them.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::support::{Daemon, Lab, Store, eventually, keys, messages};

const KEPT: &str = "[[adapter]]\nname = \"canonical\"\ninterval = \"1s\"\ncollected_when = \"told\"\n";
/// What RabbitMQ 4 does with a message that was delivered so often: it is dead-lettered, or dropped.
const DELIVERIES_MAX: u64 = 20;
/// Resident memory of a debug build that takes in, with room to spare. What waits in the queue would be far more.
const MEMORY_MAX_KIB: u64 = 400 * 1024;

/// A RabbitMQ and a PostgreSQL of one test, and Chancery on them.
struct Servers {
    dir: tempfile::TempDir,
    lab: Lab,
    store: Store,
    amqp: String,
    postgres: String,
}

impl Servers {
    /// `settings` and `advanced` are added to RabbitMQ's.
    fn start(store: Store, settings: &str, advanced: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("rabbitmq.extra.conf"), settings).unwrap();
        fs::write(dir.path().join("rabbitmq.advanced.config"), advanced).unwrap();
        let lab = Lab::with_broker(store, KEPT);
        let mut servers = Self { dir, lab, store, amqp: String::new(), postgres: String::new() };
        let addresses = servers.services("start", &[]);
        let address = |name: &str| {
            let line = addresses.lines().find(|line| line.contains(name)).unwrap();
            line.split_once('=').unwrap().1.to_owned()
        };
        servers.amqp = address("CHANCERY_TEST_AMQP_URL");
        servers.postgres = address("CHANCERY_TEST_POSTGRES_URL");
        servers.chancery(&["setup"]);
        let limit = format!("{{\"delivery-limit\":{DELIVERIES_MAX}}}");
        servers.services("rabbitmqctl", &["set_policy", "limit", ".*", &limit, "--apply-to", "queues"]);
        servers
    }

    fn services(&self, verb: &str, arguments: &[&str]) -> String {
        services(self.dir.path(), verb, arguments)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.lab.command(arguments);
        command
            .env("CHANCERY__AMQP__URL", &self.amqp)
            .env("CHANCERY__AMQP__PREFETCH", "500")
            .env("CHANCERY__INTAKE__COMMIT_EVENTS_MAX", "500");
        if self.store == Store::Postgres {
            command.env("CHANCERY__STAGING__URL", &self.postgres);
        }
        command
    }

    fn chancery(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn daemon(&self) -> Daemon {
        Daemon::start(self.command(&["run"]), self.lab.path("daemon.log"))
    }

    fn publish(&self, lines: &[String]) {
        let file = self.lab.path("events.ndjson");
        fs::write(&file, lines.join("\n")).unwrap();
        self.chancery(&["emit", file.to_str().unwrap()]);
    }

    /// What the broker says of each queue: name, ready, unacknowledged.
    fn queues(&self) -> Vec<(String, u64, u64)> {
        let ask = ["list_queues", "--no-table-headers", "name", "messages_ready", "messages_unacknowledged"];
        // On a busy machine the node is at times too late for its own tool.
        let mut asked = 1;
        let said = loop {
            match try_services(self.dir.path(), "rabbitmqctl", &ask) {
                Ok(said) => break said,
                Err(error) => assert!(asked < 5, "{error}"),
            }
            asked += 1;
            std::thread::sleep(Duration::from_secs(1));
        };
        said.lines()
            .map(|line| {
                let words: Vec<&str> = line.split_whitespace().collect();
                (words[0].to_owned(), words[1].parse().unwrap(), words[2].parse().unwrap())
            })
            .collect()
    }

    fn intake_queue(&self) -> (u64, u64) {
        let (_, ready, unacknowledged) = self.queues().into_iter().find(|(name, ..)| name.ends_with(".q")).unwrap();
        (ready, unacknowledged)
    }

    fn dead_letters(&self) -> u64 {
        self.queues()
            .into_iter()
            .filter(|(name, ..)| name.ends_with(".dead"))
            .map(|(_, ready, held)| ready + held)
            .sum()
    }

    /// How often the message at the head of the queue was delivered before, as the broker counts.
    fn deliveries(&self) -> u64 {
        let queue = self.queues().into_iter().find(|(name, ..)| name.ends_with(".q")).unwrap().0;
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let connection = lapin::Connection::connect(&self.amqp, Default::default()).await.unwrap();
            let channel = connection.create_channel().await.unwrap();
            let got = channel.basic_get(queue.into(), Default::default()).await.unwrap().unwrap();
            let headers = got.delivery.properties.headers().clone().unwrap_or_default();
            let count = headers.inner().get("x-delivery-count").and_then(|count| count.as_long_long_int()).unwrap_or(0);
            // Dropped with its channel, it goes back to its place.
            connection.close(200, "done".into()).await.unwrap();
            u64::try_from(count).unwrap()
        })
    }

    /// Waits until everything is archived, and checks that it is there once.
    fn all_archived_once(&self, lines: &[String]) {
        let mut expected = keys(lines);
        expected.sort();
        eventually("everything is archived", || {
            messages(&self.lab.pickup("canonical")).len() >= expected.len() && self.intake_queue() == (0, 0)
        });
        let mut found: Vec<(String, String)> = messages(&self.lab.pickup("canonical"))
            .into_iter()
            .map(|message| (message.source, message.event))
            .collect();
        found.sort();
        assert_eq!(found, expected, "each once");
        assert_eq!(self.dead_letters(), 0);
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        // Best effort: a test that panicked must not hide its reason.
        let _ = Command::new(script()).arg("stop").arg(self.dir.path()).output();
    }
}

fn script() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/services")
}

fn services(dir: &Path, verb: &str, arguments: &[&str]) -> String {
    try_services(dir, verb, arguments).unwrap_or_else(|error| panic!("{error}"))
}

fn try_services(dir: &Path, verb: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(script()).arg(verb).arg(dir).args(arguments).output().unwrap();
    match output.status.success() {
        true => Ok(String::from_utf8(output.stdout).unwrap()),
        false => Err(format!("services {verb} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr))),
    }
}

/// Peak resident memory of a process, in KiB.
fn peak_kib(daemon: &Daemon) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// A broker's two hours, a hundred and eighty times as fast: it waits ten seconds for an acknowledgement where it
/// would wait half an hour.
const IMPATIENT: (&str, &str) = ("consumer_timeout = 10000\n", "[{rabbit, [{channel_tick_interval, 1000}]}].\n");
/// More than four times as long as the broker waits.
const OUTAGE: Duration = Duration::from_secs(45);

#[test]
fn a_database_that_is_down_for_longer_than_the_brokers_patience_costs_nothing() {
    let servers = Servers::start(Store::Postgres, IMPATIENT.0, IMPATIENT.1);
    let lines = servers.lab.simulate(51, 4000);
    let daemon = servers.daemon();
    servers.publish(&lines[..500]);
    eventually("it takes in", || servers.intake_queue() == (0, 0));

    servers.services("stop", &["postgres"]);
    servers.publish(&lines[500..]);
    // The session is ended, by Chancery or by the broker, and no other is opened.
    eventually("nothing is held any more", || servers.intake_queue() == (3500, 0));
    std::thread::sleep(OUTAGE);
    assert_eq!(servers.intake_queue(), (3500, 0), "nothing is consumed while staging is down");
    let deliveries = servers.deliveries();
    assert!(deliveries <= 3, "delivered {deliveries} times during one outage");
    assert_eq!(servers.dead_letters(), 0);
    let peak = peak_kib(&daemon);
    assert!(peak < MEMORY_MAX_KIB, "{peak} KiB");

    servers.services("start", &["postgres"]);
    servers.all_archived_once(&lines);
    let sessions = daemon.log().matches(" taking in ").count();
    eprintln!("deliveries {deliveries}, sessions {sessions}, peak {} MiB", peak / 1024);
    // Before, after, and one that a database just restarting may cost.
    assert!((2..=3).contains(&sessions), "{sessions} sessions");
    assert_eq!(daemon.terminate().0, Some(0));
}

#[test]
fn a_locked_sqlite_file_holds_intake_up_and_nothing_else() {
    let servers = Servers::start(Store::Sqlite, IMPATIENT.0, IMPATIENT.1);
    let lines = servers.lab.simulate(52, 2500);
    let daemon = servers.daemon();
    servers.publish(&lines[..500]);
    eventually("it takes in", || servers.intake_queue() == (0, 0));

    let runtime = tokio::runtime::Runtime::new().unwrap();
    let held = runtime.block_on(async {
        use sqlx::{ConnectOptions as _, Executor as _};
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(servers.lab.path("home/state/staging.db"));
        let mut connection = options.busy_timeout(Duration::from_secs(30)).connect().await.unwrap();
        connection.execute("begin exclusive").await.unwrap();
        connection
    });
    servers.publish(&lines[500..]);
    eventually("nothing is held any more", || servers.intake_queue() == (2000, 0));
    std::thread::sleep(OUTAGE / 2);
    assert_eq!(servers.intake_queue(), (2000, 0), "nothing is consumed while staging is locked");
    let deliveries = servers.deliveries();
    assert!(deliveries <= 3, "delivered {deliveries} times during one outage");
    let peak = peak_kib(&daemon);
    assert!(peak < MEMORY_MAX_KIB, "{peak} KiB");
    runtime.block_on(async {
        use sqlx::Connection as _;
        held.close().await.unwrap();
    });
    servers.all_archived_once(&lines);
    eprintln!("deliveries {deliveries}, peak {} MiB", peak / 1024);
    assert_eq!(daemon.terminate().0, Some(0));
}
