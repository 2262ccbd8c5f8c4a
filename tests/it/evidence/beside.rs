//! Copies of manifests beside the outputs: they come once, are what the evidence holds, and go with their batch.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::{entries, evidence, stock};
use crate::support::{Archive, Lab, Store, Takes, output_files};

fn adapter(keep: &str) -> String {
    format!(
        "[[adapter]]\nname = \"canonical\"\ninterval = \"1h\"\nmanifests_beside = true\nkeep_after_collection = \"{keep}\"\n"
    )
}

/// The names of the copies in a directory: signatures and manifests.
fn copies(dir: &Path) -> BTreeSet<String> {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.contains(".manifest.json")).collect()
}

/// What an archive does that knows nothing of manifests.
fn take_all_but_copies(share: &Path, archive: &Path) {
    let names = fs::read_dir(share).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    for name in names.filter(|name| !name.starts_with('.') && !name.contains(".manifest.json")) {
        fs::rename(share.join(&name), archive.join(&name)).unwrap();
    }
}

/// Sends events through the queue and makes one pass.
fn pass(lab: &Lab, lines: &[String]) {
    let file = lab.path("sent.ndjson");
    fs::write(&file, lines.join("\n")).unwrap();
    lab.ok(&["emit", file.to_str().unwrap()]);
    lab.ok(&["run", "--once"]);
}

/// The newest manifest in the log with outputs, and its file.
fn newest(dir: &Path) -> (Value, PathBuf) {
    let entries = entries(dir);
    let is_one = |entry: &&Value| {
        entry["format"] == "chancery-manifest-1" && entry["outputs"].as_array().is_some_and(|all| !all.is_empty())
    };
    let manifest = entries.iter().rfind(is_one).unwrap().clone();
    let number = manifest["entry"].as_u64().unwrap();
    (manifest, dir.join(format!("log/00000/{number:09}.json")))
}

fn they_come_once_and_are_what_the_evidence_holds(store: Store) {
    let lab = Lab::with_broker(store, &adapter("1h"));
    let (dir, share) = (evidence(&lab), lab.pickup("canonical"));
    let lines = lab.simulate(5, 300);
    pass(&lab, &lines[..200]);
    let stem = output_files(&share)[0].with_extension("").file_name().unwrap().to_str().unwrap().to_owned();
    let (manifest, signature) = (format!("{stem}.manifest.json"), format!("{stem}.manifest.json.sig"));
    assert_eq!(copies(&share), BTreeSet::from([manifest.clone(), signature.clone()]));
    let (_, recorded) = newest(&dir);
    assert_eq!(fs::read(share.join(&manifest)).unwrap(), fs::read(&recorded).unwrap());
    assert_eq!(fs::read(share.join(&signature)).unwrap(), fs::read(recorded.with_extension("json.sig")).unwrap());
    // By hand, with the keys of the evidence directory.
    let signers = dir.join("allowed_signers");
    let arguments = [
        "-Y",
        "verify",
        "-f",
        signers.to_str().unwrap(),
        "-I",
        "chancery",
        "-n",
        "chancery-evidence",
        "-s",
        &signature,
    ];
    assert!(stock("ssh-keygen", &arguments, &share, &share.join(&manifest)).status.success());
    let (code, said) = lab.verify(&["--outputs", share.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{said}");

    // An archive that takes the outputs alone: the copies do not count, and stay while the batch is kept.
    let first = lab.path("first");
    fs::create_dir_all(&first).unwrap();
    take_all_but_copies(&share, &first);
    lab.ok(&["run", "--once"]);
    assert_eq!(lab.status()["adapters"][0]["batches"]["collected"], 1, "{}", lab.status());
    // Then it takes them as well: that is no trouble, and they do not come again. Intervals without outputs have none.
    for name in copies(&share) {
        fs::remove_file(share.join(name)).unwrap();
    }
    for _ in 0..2 {
        lab.ok(&["run", "--once"]);
        assert_eq!(copies(&share), BTreeSet::new());
    }
    assert_eq!(lab.status()["state"], "ok", "{}", lab.status());

    // The next batch, in an archive's hands.
    pass(&lab, &lines[200..]);
    let mut archive = Archive::new(&lab, "canonical", Takes::Away);
    archive.visit();
    assert_eq!(copies(archive.kept()).len(), 2);
    let kept = archive.kept().to_str().unwrap().to_owned();
    let mine = |name: &str| archive.kept().join(name);
    // What lies in one of two directories is not missing in the other.
    let both = ["--outputs", first.to_str().unwrap(), "--outputs", &kept];
    let (code, said) = lab.verify(&both);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = lab.verify(&both[..2]);
    assert!(code == Some(1) && said["findings"][0]["problem"].as_str().unwrap().contains("is missing"), "{said}");

    let (manifest, recorded) = newest(&dir);
    let names = copies(archive.kept());
    for name in &names {
        let whole = fs::read(mine(name)).unwrap();
        let mut changed = whole.clone();
        changed[20] ^= 1;
        fs::write(mine(name), &changed).unwrap();
        let (code, said) = lab.verify(&both);
        let finding = &said["findings"][0];
        assert!(code == Some(1) && said["findings"].as_array().unwrap().len() == 1, "{said}");
        assert!(finding["file"].as_str().unwrap().ends_with(name) && finding["entry"] == manifest["entry"], "{said}");
        assert!(finding["problem"].as_str().unwrap().contains("log/00000/"), "{said}");
        fs::write(mine(name), whole).unwrap();
    }
    fs::copy(&recorded, mine("canonical-20200101T000000Z-000000099.manifest.json")).unwrap();
    let (code, said) = lab.verify(&both);
    assert!(code == Some(1) && said["findings"][0]["problem"] == "is in no manifest", "{said}");
}

#[test]
fn they_come_once_and_are_what_the_evidence_holds_on_sqlite() {
    they_come_once_and_are_what_the_evidence_holds(Store::Sqlite);
}

#[test]
fn they_come_once_and_are_what_the_evidence_holds_on_postgres() {
    they_come_once_and_are_what_the_evidence_holds(Store::Postgres);
}

#[test]
fn what_the_archive_leaves_goes_with_its_batch_and_is_certified() {
    let lab = Lab::with_broker(Store::Sqlite, &adapter("100ms"));
    let share = lab.pickup("canonical");
    pass(&lab, &lab.simulate(5, 100));
    let names = copies(&share);
    assert_eq!(names.len(), 2);
    fs::create_dir_all(lab.path("archive")).unwrap();
    take_all_but_copies(&share, &lab.path("archive"));
    lab.ok(&["run", "--once"]);
    std::thread::sleep(Duration::from_millis(300));
    lab.ok(&["run", "--once"]);
    assert_eq!(copies(&share), BTreeSet::new());
    let certificates = fs::read_dir(evidence(&lab).join("purge")).unwrap().map(|entry| entry.unwrap().path());
    let certificate: Value = serde_json::from_slice(&fs::read(certificates.last().unwrap()).unwrap()).unwrap();
    let of_copies = certificate["files"].as_array().unwrap().iter().filter(|file| file["kind"] == "manifest");
    let certified: Vec<_> = of_copies.map(|file| (file["name"].as_str().unwrap(), &file["disposal"])).collect();
    assert_eq!(certified.iter().map(|(name, _)| (*name).to_owned()).collect::<BTreeSet<_>>(), names);
    assert!(certified.iter().all(|(_, disposal)| *disposal == "deleted"), "{certificate}");
    let (code, said) = lab.verify(&[]);
    assert_eq!((code, &lab.status()["state"]), (Some(0), &"ok".into()), "{said}");
}

#[test]
fn delivery_waits_for_no_copy_and_purge_does() {
    let lab = Lab::with_broker(Store::Sqlite, &adapter("100ms"));
    let share = lab.pickup("canonical");
    // No evidence can be written there.
    fs::remove_dir_all(lab.path("home/evidence")).unwrap();
    fs::write(lab.path("home/evidence"), "").unwrap();
    pass(&lab, &lab.simulate(5, 100));
    let outputs = output_files(&share);
    assert_eq!(outputs.len(), 1, "{}", lab.status());
    let stem = outputs[0].with_extension("").file_name().unwrap().to_str().unwrap().to_owned();
    assert_eq!(copies(&share), BTreeSet::new());
    fs::create_dir_all(lab.path("archive")).unwrap();
    take_all_but_copies(&share, &lab.path("archive"));
    for _ in 0..2 {
        lab.ok(&["run", "--once"]);
        std::thread::sleep(Duration::from_millis(200));
    }
    let states = lab.json(&["batch", "list", "--limit", "100"]);
    assert!(states.as_array().unwrap().iter().any(|batch| batch["state"] == "collected"), "{states}");

    // Somebody else's file in the way is not replaced, and is an alert.
    fs::remove_file(lab.path("home/evidence")).unwrap();
    let mine = share.join(format!("{stem}.manifest.json"));
    fs::write(&mine, "not ours").unwrap();
    lab.ok(&["run", "--once"]);
    let alerts = lab.status()["alerts"].clone();
    assert_eq!(alerts[0]["kind"], "manifest-not-copied", "{alerts}");
    assert!(alerts[0]["detail"].as_str().unwrap().contains("is already on the share with other content"), "{alerts}");
    assert_eq!(fs::read(&mine).unwrap(), b"not ours");

    fs::remove_file(&mine).unwrap();
    lab.ok(&["run", "--once"]);
    assert_eq!((copies(&share).len(), &lab.status()["state"]), (2, &"ok".into()), "{}", lab.status());
    std::thread::sleep(Duration::from_millis(300));
    lab.ok(&["run", "--once"]);
    assert_eq!(copies(&share), BTreeSet::new());
}
