//! Time stamps on heads: asked of an authority beside delivery, kept beside the head, checked here and by `openssl`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use chancery::evidence::stamp::{Authorities, SignedBy, Stamp};
use serde_json::Value;

use super::{ADAPTERS, evidence, newest_head};
use crate::support::{Lab, Store, Tsa, eventually, output_files};

fn lab(tsa: &Tsa, interval: &str) -> Lab {
    let lab = Lab::new(Store::Sqlite, "");
    lab.stamped_by(tsa, interval);
    lab.configure(ADAPTERS);
    lab
}

fn stamps(dir: &Path) -> Vec<PathBuf> {
    let heads = fs::read_dir(dir.join("heads")).unwrap().map(|entry| entry.unwrap().path());
    let mut stamps: Vec<_> = heads.filter(|path| path.extension().is_some_and(|ending| ending == "tsr")).collect();
    stamps.sort();
    stamps
}

fn openssl_verifies(dir: &Path, root: &Path) -> bool {
    let head = newest_head(dir);
    let mut command = Command::new("openssl");
    command.args(["ts", "-verify", "-data", &head, "-in", &format!("{head}.tsr"), "-CAfile"]).arg(root);
    command.current_dir(dir).output().unwrap().status.success()
}

#[test]
fn heads_are_stamped_and_the_stamps_hold() {
    let (tsa, other) = (Tsa::start(), Tsa::start());
    let lab = lab(&tsa, "0s");
    let lines = lab.simulate(4, 200);
    for (name, lines) in [("one", &lines[..100]), ("two", &lines[100..])] {
        lab.spool(&format!("{name}.ndjson"), lines);
        lab.ok(&["run", "--once"]);
    }
    let dir = evidence(&lab);
    assert_eq!((stamps(&dir).len(), tsa.asked()), (2, 2));
    assert!(openssl_verifies(&dir, &tsa.root()), "stock openssl believes it");
    assert!(!openssl_verifies(&dir, &other.root()));

    let root = tsa.root();
    let (code, said) = lab.verify(&["--tsa-ca", root.to_str().unwrap()]);
    assert_eq!((code, &said["checked"]["stamps"]), (Some(0), &2.into()), "{said}");
    assert!(said["proven"].to_string().contains("as a time stamp authority says"), "{said}");
    let (code, said) = lab.verify(&[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said["not_proven"].to_string().contains("--tsa-ca FILE"), "{said}");
    let (code, said) = lab.verify(&["--tsa-ca", other.root().to_str().unwrap()]);
    assert_eq!(code, Some(1), "another authority's root vouches for nothing: {said}");
    assert!(said["findings"][0]["problem"].as_str().unwrap().contains("not vouched for"), "{said}");

    // Each is for its own head.
    let [first, second] = [0, 1].map(|place| stamps(&dir)[place].clone());
    let (of_first, of_second) = (fs::read(&first).unwrap(), fs::read(&second).unwrap());
    fs::write(&first, &of_second).unwrap();
    let (code, said) = lab.verify(&[]);
    assert_eq!(code, Some(1), "{said}");
    let name = format!("heads/{}", first.file_name().unwrap().to_str().unwrap());
    assert_eq!(said["findings"][0]["file"], name.as_str(), "{said}");
    assert!(said["findings"][0]["problem"].as_str().unwrap().contains("something else than its head"), "{said}");
    fs::write(&first, of_first).unwrap();
    fs::write(&second, "not a stamp").unwrap();
    assert_eq!(lab.verify(&[]).0, Some(1));
}

#[test]
fn no_change_to_a_stamp_changes_what_is_believed() {
    let tsa = Tsa::start();
    let lab = lab(&tsa, "0s");
    lab.spool("one.ndjson", &lab.simulate(4, 20));
    lab.ok(&["run", "--once"]);
    let sound = fs::read(&stamps(&evidence(&lab))[0]).unwrap();
    let authorities = Authorities::parse(&fs::read(tsa.root()).unwrap()).unwrap();
    let believed = |reply: &[u8]| {
        let stamp = Stamp::read(reply).ok()?;
        let by = stamp.signed_by().ok()?;
        stamp.vouched_for(&by, &authorities).ok()?;
        assert!(matches!(by, SignedBy::Certificate(_)));
        Some((stamp.digest, stamp.at))
    };
    let whole = believed(&sound);
    assert!(whole.is_some());
    let mut missed = BTreeSet::new();
    for place in 0..sound.len() {
        for bit in [0, 3, 7] {
            let mut changed = sound.clone();
            changed[place] ^= 1 << bit;
            match believed(&changed) {
                None => {}
                same if same == whole => drop(missed.insert(place)),
                other => panic!("byte {place} was changed, and {other:?} is believed"),
            }
        }
        assert_eq!(believed(&sound[..place]), None, "cut off after {place}");
    }
    // What nobody signs: versions, names of algorithms, and the certificate of the root, which is at hand anyway.
    assert!(missed.len() < sound.len() / 2, "{} of {} bytes", missed.len(), sound.len());
}

#[test]
fn an_authority_that_is_away_is_an_alert_that_closes_by_itself() {
    let tsa = Tsa::start();
    let lab = lab(&tsa, "0s");
    tsa.answers(false);
    lab.spool("one.ndjson", &lab.simulate(4, 100));
    lab.ok(&["run", "--once"]);
    assert!(!output_files(&lab.pickup("canonical")).is_empty(), "it is delivered");
    let status = lab.status();
    assert_eq!(status["alerts"][0]["kind"], "timestamp-unavailable", "{status}");
    let detail = status["alerts"][0]["detail"].as_str().unwrap();
    assert!(detail.contains("answered 503") && detail.contains("evidence.tsa"), "{detail}");
    assert_eq!(status["evidence"]["signed"], status["evidence"]["entries"], "it is signed all the same");
    let dir = evidence(&lab);
    assert!(stamps(&dir).is_empty());
    tsa.answers(true);
    let daemon = lab.daemon();
    eventually("the alert is closed", || lab.status()["alerts"] == Value::Array(Vec::new()));
    drop(daemon);
    assert!(openssl_verifies(&dir, &tsa.root()));
    assert_eq!(lab.verify(&["--tsa-ca", tsa.root().to_str().unwrap()]).0, Some(0));
}

#[test]
fn not_every_head_is_stamped() {
    let tsa = Tsa::start();
    let lab = lab(&tsa, "1h");
    let lines = lab.simulate(4, 90);
    for (place, lines) in lines.chunks(30).enumerate() {
        lab.spool(&format!("{place}.ndjson"), lines);
        lab.ok(&["run", "--once"]);
    }
    let dir = evidence(&lab);
    assert_eq!((stamps(&dir).len(), tsa.asked()), (1, 1));
    assert_eq!(lab.verify(&["--tsa-ca", tsa.root().to_str().unwrap()]).0, Some(0));
}
