//! Files that are not what they were, or not there: each ends in the state that `docs/files.md` names, and no batch waits for them for
//! longer than the grace.

use std::fs;

use chancery::support::step::PAUSE_AT;
use rustix::process::Signal;

use super::{FileServer, lab, of_event, repository, uploads};
use crate::support::{Daemon, Lab, eventually, messages};

/// More than is read before the step at which the daemon stops.
const SIZE: usize = 1 << 20;

/// A daemon that has read the beginning of a file, and stands still.
fn in_the_middle(keys: &str) -> (Lab, Daemon) {
    let (lab, events) = repository(keys, &[("moving", serde_json::json!({}))]);
    fs::write(lab.path("repository/moving"), vec![b'a'; SIZE]).unwrap();
    let daemon = lab.daemon_with(&[(PAUSE_AT, "capture-created:1")]);
    lab.spool("day.ndjson", &events);
    eventually("the daemon stands still", || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", daemon.id())).unwrap();
        // After the name in parentheses: the state, T when it is stopped.
        stat.rsplit_once(") ").unwrap().1.starts_with('T')
    });
    (lab, daemon)
}

#[test]
fn a_file_that_changes_while_it_is_read_is_taken_again_and_never_half() {
    let (lab, daemon) = in_the_middle("");
    fs::write(lab.path("repository/moving"), vec![b'b'; SIZE]).unwrap();
    daemon.signal(Signal::CONT);
    eventually("the file is on the share", || of_event(&lab, "0").last().is_some_and(|last| last.missing.is_none()));
    let found = of_event(&lab, "0");
    let bytes = fs::read(lab.pickup("canonical").join(&found.last().unwrap().content)).unwrap();
    assert_eq!((bytes.len(), bytes.iter().filter(|byte| **byte != b'b').count()), (SIZE, 0));
    assert!(daemon.log().contains("it was changed while it was read"), "{}", daemon.log());
    // One that went out before says why.
    if found.len() == 2 {
        assert!(found[0].missing.as_ref().unwrap().starts_with("not yet: "), "{found:?}");
    }
}

#[test]
fn a_file_that_is_deleted_while_it_is_read_is_missing_and_no_half_of_it_is_kept() {
    let (lab, daemon) = in_the_middle("deadline = \"20s\"\n");
    fs::remove_file(lab.path("repository/moving")).unwrap();
    daemon.signal(Signal::CONT);
    eventually("the batch goes out", || of_event(&lab, "0").len() == 1);
    let status = || lab.status();
    eventually("an alert tells", || {
        status()["alerts"].as_array().unwrap().iter().any(|one| one["kind"] == "file-missing")
    });
    assert!(of_event(&lab, "0")[0].missing.is_some());
    let status = status();
    assert_eq!((&status["intake"]["files"], &status["intake"]["pending_files"]), (&0.into(), &0.into()), "{status}");
    let vault = lab.path("home/vault/sha256");
    assert!(!vault.exists() || fs::read_dir(vault).unwrap().next().is_none(), "something of it is kept");
}

#[test]
fn an_answer_that_ends_early_is_no_file_and_is_asked_for_again() {
    let server = FileServer::start();
    let base = format!("http://127.0.0.1:{}", server.address.port());
    let lab = lab(&base, "");
    let daemon = lab.daemon();
    lab.spool("day.ndjson", &uploads(&lab, &[format!("{base}/cut")]));
    let brought = || messages(&lab.pickup("canonical")).into_iter().find(|message| message.missing.is_none());
    eventually("the file is on the share", || brought().is_some());
    assert_eq!(fs::read(lab.pickup("canonical").join(brought().unwrap().content)).unwrap(), b"half and h");
    assert_eq!(server.requests().len(), 2);
    assert!(daemon.log().contains("a file has not come yet"), "{}", daemon.log());
}

/// What is deleted from the repository once it was captured stays in the archive, also for a download that comes after that.
#[test]
fn a_file_that_is_deleted_after_its_capture_is_given_to_every_batch_that_speaks_of_it() {
    let none = serde_json::json!({});
    let (lab, events) = repository("", &[("kept", none)]);
    fs::write(lab.path("repository/kept"), "kept all the same").unwrap();
    lab.spool("upload.ndjson", &events);
    lab.ok(&["run", "--once"]);
    fs::remove_file(lab.path("repository/kept")).unwrap();
    let digest = hex::encode(<sha2::Sha256 as sha2::Digest>::digest("kept all the same"));
    let mut download: serde_json::Value = serde_json::from_str(&events[0]).unwrap();
    download["id"] = "download".into();
    download["type"] = "chat.file.downloaded".into();
    download["data"]["file"] = serde_json::json!({ "name": "kept.bin", "sha256": digest });
    lab.spool("download.ndjson", &[download.to_string()]);
    lab.ok(&["run", "--once"]);
    let found = messages(&lab.pickup("canonical"));
    assert_eq!(found.len(), 2);
    for message in found {
        assert_eq!(message.missing, None, "{message:?}");
        assert_eq!(fs::read(lab.pickup("canonical").join(&message.content)).unwrap(), b"kept all the same");
    }
}
