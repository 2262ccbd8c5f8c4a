//! Disks that are full, and have room again: work stops where it must, is seen to stop, and goes on by itself.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use chancery_faults::shim::{Action, Errno, Op, Rule};
use serde_json::Value;

use crate::lab::{Lab, Recorded, Store, chat, eventually, lines, server, upload};

const ADAPTER: &str = "[[adapter]]\nname = \"canonical\"\ninterval = \"1s\"\ncollected_when = \"acknowledged\"\n";

/// A directory whose disk can be filled: a small file system in memory where this test may mount one, else the shim says
/// that it is full.
struct SmallDisk {
    dir: PathBuf,
    mounted: bool,
}

impl SmallDisk {
    fn new(dir: &Path) -> Self {
        fs::create_dir_all(dir).unwrap();
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m", "none"]).arg(dir).output();
        let mounted = mount.is_ok_and(|output| output.status.success());
        println!(
            "{} is {}",
            dir.display(),
            if mounted { "a file system of 4 MiB" } else { "full when the shim says so" }
        );
        Self { dir: dir.to_owned(), mounted }
    }

    fn ballast(&self) -> PathBuf {
        self.dir.join(".ballast")
    }

    fn fill(&self, lab: &Lab) {
        if self.mounted {
            let mut file = OpenOptions::new().append(true).create(true).open(self.ballast()).unwrap();
            while file.write_all(&[1; 512]).is_ok() {}
        } else {
            let full = |op| Rule::new(op, &self.dir, Action::Fail(Errno::NoSpace));
            lab.shim.rules(&[full(Op::Write), full(Op::Create)]).unwrap();
        }
    }

    fn make_room(&self, lab: &Lab) {
        if self.mounted {
            fs::remove_file(self.ballast()).unwrap();
        } else {
            lab.shim.rules(&[]).unwrap();
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if self.mounted {
            // Lazily: whatever still runs there is killed by its own owner.
            let _ = Command::new("umount").arg("-l").arg(&self.dir).status();
        }
    }
}

fn everything_once(lab: &mut Lab, expected: &[&str]) {
    let case = "space is back";
    eventually("everything is archived", || {
        lab.archive.visit(case);
        expected.iter().all(|event| lab.archive.events(case).contains_key(*event))
    });
    for (event, archived) in lab.archive.events(case) {
        assert_eq!(archived.len(), 1, "event {event}");
    }
}

fn alerts(lab: &Lab) -> String {
    serde_json::Value::from(lab.alerts()).to_string()
}

fn published(lab: &Lab) -> usize {
    lab.batches().iter().filter(|(_, state)| state != "cut" && state != "empty" && state != "rendered").count()
}

#[test]
fn a_full_share_is_told_waited_for_and_caught_up_with() {
    let mut lab = Lab::new(Store::Sqlite, Recorded::Everything);
    lab.configure(ADAPTER);
    let share = lab.share();
    let disk = SmallDisk::new(&share);
    lab.settle("the first start");
    let mut daemon = lab.daemon();
    lab.spool("a.ndjson", &[chat("before", "hello")]);
    eventually("the first output", || published(&lab) == 1);
    disk.fill(&lab);
    lab.spool("b.ndjson", &[chat("meanwhile", &"long ".repeat(2000)), upload("file", "a.bin", &[7; 90_000])]);
    eventually("an alert", || alerts(&lab).contains("share-unavailable"));
    assert_eq!(published(&lab), 1, "nothing is published on a full share");
    assert!(daemon.runs());
    disk.make_room(&lab);
    everything_once(&mut lab, &["before", "meanwhile", "file"]);
    eventually("the alert is closed", || alerts(&lab) == "[]");
    assert!(daemon.runs(), "{}", daemon.log());
}

#[test]
fn a_full_vault_holds_up_what_needs_it_and_is_caught_up_with() {
    let mut lab = Lab::new(Store::Sqlite, Recorded::Everything);
    lab.configure(ADAPTER);
    let disk = SmallDisk::new(&lab.path("vault"));
    lab.settle("the first start");
    let mut daemon = lab.daemon();
    lab.spool("a.ndjson", &[chat("before", "hello")]);
    eventually("the first output", || published(&lab) == 1);
    disk.fill(&lab);
    lab.spool("b.ndjson", &[upload("file", "a.bin", &[7; 90_000])]);
    eventually("the batch waits", || lab.batches().iter().any(|(_, state)| state == "cut"));
    eventually("the reason is in the log", || daemon.log().contains("No space left"));
    assert_eq!(published(&lab), 1, "nothing is published without its file");
    disk.make_room(&lab);
    everything_once(&mut lab, &["before", "file"]);
    let found = lab.archive.events("space is back");
    assert!(found["file"] == [Some([7; 90_000].as_slice())], "the file came with it, whole");
    assert!(daemon.runs(), "{}", daemon.log());
}

#[test]
fn a_full_staging_acknowledges_nothing_and_goes_on_by_itself() {
    let mut lab = Lab::new(Store::Sqlite, Recorded::Everything);
    let (url, name) = (server("CHANCERY_TEST_AMQP_URL"), lab.name().to_owned());
    let queue = format!(
        "[amqp]\nurl = \"{url}\"\nexchange = \"{name}\"\nqueue = \"{name}.q\"\ndead_letter_exchange = \"{name}.dead\"\n"
    );
    lab.configure(&(queue + ADAPTER));
    let _broker = Broker { url, name };
    let disk = SmallDisk::new(lab.database().parent().unwrap());
    lab.ok(&["setup"]);
    let emit = |lab: &Lab, event: &Value| {
        let file = lab.aside("events.ndjson", lines(std::slice::from_ref(event)).as_bytes());
        lab.ok(&["emit", file.to_str().unwrap()]);
    };
    lab.settle("the first start");
    let mut daemon = lab.daemon();
    emit(&lab, &chat("before", "hello"));
    eventually("the first output", || published(&lab) == 1);
    disk.fill(&lab);
    let names: Vec<String> = (0..20).map(|number| format!("full{number}")).collect();
    for name in &names {
        emit(&lab, &chat(name, &"long ".repeat(20_000)));
    }
    eventually("staging says that it is full", || daemon.log().contains("disk is full"));
    assert!(daemon.runs(), "{}", daemon.log());
    disk.make_room(&lab);
    let expected: Vec<&str> = std::iter::once("before").chain(names.iter().map(String::as_str)).collect();
    everything_once(&mut lab, &expected);
    assert_eq!(lab.status()["intake"]["quarantined"], 0);
    assert!(daemon.runs(), "{}", daemon.log());
}

/// Removes this laboratory's objects from the broker at the end.
struct Broker {
    url: String,
    name: String,
}

impl Broker {
    async fn remove(&self) -> Result<(), lapin::Error> {
        let connection = lapin::Connection::connect(&self.url, lapin::ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        for queue in [format!("{}.q", self.name), format!("{}.dead", self.name)] {
            channel.queue_delete(queue.into(), Default::default()).await?;
        }
        for exchange in [self.name.clone(), format!("{}.dead", self.name)] {
            channel.exchange_delete(exchange.into(), Default::default()).await?;
        }
        connection.close(200, "done".into()).await
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // Best effort, as for the database.
        let _ = tokio::runtime::Runtime::new().unwrap().block_on(self.remove());
    }
}
