//! Shares that are away or hang: what else there is to do is done, people are told, and it catches up by itself.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::support::{Lab, Store, eventually, messages, output_files};

const TWO: &str = "[[adapter]]\nname = \"stuck\"\ninterval = \"1s\"\n[[adapter]]\nname = \"well\"\ninterval = \"1s\"\n";

fn event(id: u32) -> String {
    format!(
        r#"{{"specversion":"1.0","id":"{id}","source":"/web/1","type":"chat.message.posted","subject":"room:1","time":"2026-11-22T10:00:00Z","data":{{"sender":{{"uri":"sip:a@example.com"}},"message":{{"text":"hello"}}}}}}"#
    )
}

/// What `status` tells of an adapter.
fn adapter(lab: &Lab, name: &str) -> serde_json::Value {
    let status = lab.status();
    status["adapters"].as_array().unwrap().iter().find(|adapter| adapter["name"] == name).unwrap().clone()
}

fn share_alerts(lab: &Lab) -> Vec<serde_json::Value> {
    let status = lab.status();
    let alerts = status["alerts"].as_array().unwrap().iter();
    alerts.filter(|alert| alert["kind"] == "share-unavailable").cloned().collect()
}

/// How many threads of its runtime the daemon has; those of the database driver have other names.
fn threads(lab: &Lab) -> usize {
    let id = fs::read_to_string(lab.path("home/state/instance.lock")).unwrap();
    let tasks = fs::read_dir(format!("/proc/{}/task", id.trim())).unwrap();
    tasks
        .filter(|task| {
            fs::read_to_string(task.as_ref().unwrap().path().join("comm")).is_ok_and(|name| name.trim() == "chancery")
        })
        .count()
}

/// A share whose marker is a FIFO: reading it does not come back, as on a network share whose server is gone.
struct Hang {
    fifo: std::path::PathBuf,
    marker: std::path::PathBuf,
    kept: std::path::PathBuf,
}

impl Hang {
    fn begin(lab: &Lab, adapter: &str) -> Self {
        let (fifo, kept) = (lab.path("fifo"), lab.path("marker"));
        let marker = lab.pickup(adapter).join(".inprogress/share");
        fs::copy(&marker, &kept).unwrap();
        mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let link = lab.path("link");
        fs::hard_link(&fifo, &link).unwrap();
        fs::rename(&link, &marker).unwrap();
        Self { fifo, marker, kept }
    }

    /// The server is back: whoever waits gets an answer, and everyone after that the file.
    fn end(self) {
        fs::rename(&self.kept, &self.marker).unwrap();
        let answer = fs::OpenOptions::new()
            .write(true)
            .custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32)
            .open(&self.fifo);
        // Without a reader there is nobody to answer.
        if let Ok(mut answer) = answer {
            answer.write_all(b"stuck\n").unwrap();
        }
    }
}

#[test]
fn a_hanging_share_holds_up_nothing_but_itself() {
    let lab = Lab::new(Store::Sqlite, TWO);
    let daemon = lab.daemon();
    lab.spool("a.ndjson", &[event(1)]);
    let outputs = |name: &str| output_files(&lab.pickup(name));
    eventually("the first outputs", || ["stuck", "well"].iter().all(|name| outputs(name).len() == 1));
    eventually("they are recorded as published", || adapter(&lab, "stuck")["waiting_events"] == 0);

    let (hang, begun) = (Hang::begin(&lab, "stuck"), Instant::now());
    lab.spool("b.ndjson", &[event(2)]);
    eventually("the other adapter writes", || outputs("well").len() == 2);
    eventually("an alert", || !share_alerts(&lab).is_empty());
    let alerts = share_alerts(&lab);
    assert_eq!((alerts.len(), &alerts[0]["subject"]), (1, &"adapter stuck".into()), "{alerts:?}");
    assert!(alerts[0]["detail"].as_str().unwrap().contains("has not come back"), "{alerts:?}");
    assert_eq!(lab.run(&["status"]).status.code(), Some(1), "an open alert is a finding");

    // Cutting goes on, interval by interval, and nobody is in a hurry to hang as well.
    let (cut, running) = (adapter(&lab, "stuck")["batches"]["cut"].as_u64().unwrap_or(0), threads(&lab));
    eventually("its own batches are cut", || adapter(&lab, "stuck")["batches"]["cut"].as_u64() >= Some(cut + 5));
    assert!(threads(&lab) <= running + 2, "{running} threads became {}", threads(&lab));
    assert_eq!(adapter(&lab, "stuck")["waiting_events"], 1);
    // The other adapter's archive takes its files; they are noticed and purged.
    let told = share_alerts(&lab)[0]["count"].as_u64().unwrap();
    assert!(told <= 2 + begun.elapsed().as_secs() / 60, "the same trouble is told once a minute, not {told} times");
    for file in outputs("well") {
        fs::remove_file(file).unwrap();
    }
    eventually("the other adapter is collected", || adapter(&lab, "well")["purged_events"] == 2);

    let (code, took) = daemon.terminate();
    assert_eq!(code, Some(0), "{took:?}");
    assert!(took < Duration::from_secs(10), "{took:?}");

    let daemon = lab.daemon();
    lab.spool("c.ndjson", &[event(3)]);
    eventually("the other adapter writes again", || outputs("well").len() == 1);
    assert_eq!(outputs("stuck").len(), 1);
    hang.end();
    eventually("the share is caught up with", || messages(&lab.pickup("stuck")).len() == 3);
    eventually("the alert is closed", || lab.status()["state"] == "ok");
    assert_eq!(adapter(&lab, "stuck")["waiting_events"], 0);
    assert_eq!(daemon.terminate().0, Some(0));
}

/// What stands in place of the share while it is gone.
fn gone_and_back(lab: &Lab, replace: impl FnOnce(), restore: impl FnOnce()) {
    let daemon = lab.daemon();
    lab.spool("a.ndjson", &[event(1)]);
    eventually("the first output", || output_files(&lab.pickup("stuck")).len() == 1);
    eventually("it is recorded as published", || adapter(lab, "stuck")["waiting_events"] == 0);
    let away = lab.path("away");
    fs::rename(lab.pickup("stuck"), &away).unwrap();
    replace();
    lab.spool("b.ndjson", &[event(2), event(3)]);
    eventually("an alert", || !share_alerts(lab).is_empty());
    eventually("the events wait", || adapter(lab, "stuck")["waiting_events"] == 2);
    assert_eq!(lab.run(&["status"]).status.code(), Some(1));
    let cut = adapter(lab, "stuck")["last_cut"].clone();
    eventually("cutting goes on", || adapter(lab, "stuck")["last_cut"] != cut);
    restore();
    fs::rename(&away, lab.pickup("stuck")).unwrap();
    eventually("the share is caught up with", || messages(&lab.pickup("stuck")).len() == 3);
    eventually("the alert is closed", || lab.status()["state"] == "ok");
    assert_eq!(daemon.terminate().0, Some(0));
}

#[test]
fn a_share_that_is_removed_is_waited_for() {
    let lab = Lab::new(Store::Sqlite, TWO);
    gone_and_back(&lab, || {}, || {});
}

#[test]
fn a_share_in_whose_place_a_file_stands_is_waited_for() {
    let lab = Lab::new(Store::Sqlite, TWO);
    let path = lab.pickup("stuck");
    gone_and_back(&lab, || fs::write(&path, "no directory").unwrap(), || fs::remove_file(&path).unwrap());
}

/// The marker tells a share from the directory below its mount point also when nothing was ever published:
/// what is rendered already lies there, and must not pass for taken.
#[test]
fn a_share_that_goes_away_before_its_first_publication_is_waited_for() {
    let lab = Lab::new(Store::Sqlite, "[[adapter]]\nname = \"stuck\"\ninterval = \"1h\"\ncollected_when = \"told\"\n");
    lab.spool("a.ndjson", &[event(1)]);
    lab.ok(&["run", "--once"]);
    // As a crash between rendering and publishing would have left it, with its file in no directory of its own.
    let output = output_files(&lab.pickup("stuck")).remove(0);
    let name = output.file_name().unwrap().to_str().unwrap();
    fs::rename(&output, lab.pickup("stuck").join(".inprogress").join(format!("{name}_inprogress"))).unwrap();
    lab.alter_sqlite(&["update batches set state = 'rendered', published_at = null, workplace = ''"]);
    let away = lab.path("away");
    fs::rename(lab.pickup("stuck"), &away).unwrap();
    fs::create_dir(lab.pickup("stuck")).unwrap();
    assert_ne!(lab.run(&["run", "--once"]).status.code(), Some(0));
    assert_eq!(lab.json(&["batch", "show", "1"])["state"], "rendered");
    fs::remove_dir_all(lab.pickup("stuck")).unwrap();
    fs::rename(&away, lab.pickup("stuck")).unwrap();
    lab.ok(&["run", "--once"]);
    assert_eq!(messages(&lab.pickup("stuck")).len(), 1);
}
