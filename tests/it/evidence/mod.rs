//! The evidence, from outside: what is written, what stock tools say of it, and what is found when it was changed.

mod beside;
mod schema;
mod stamps;
mod tamper;
mod walk;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::support::{Archive, CHANCERY, Lab, Store, Takes, output_files};

const ADAPTERS: &str = "[[adapter]]\nname = \"canonical\"\ninterval = \"1h\"\nkeep_after_collection = \"0s\"\n\
    [[adapter]]\nname = \"rooms\"\ninterval = \"1h\"\none_room_per_file = true\nkeep_after_collection = \"0s\"\n";

/// A laboratory with two days' batches of two adapters, of which the first day's are taken and purged.
fn worked(store: Store) -> (Lab, Vec<String>) {
    let lab = Lab::new(store, ADAPTERS);
    let lines = lab.simulate(11, 900);
    let (first, second) = lines.split_at(600);
    lab.spool("one.ndjson", first);
    lab.ok(&["run", "--once"]);
    for adapter in ["canonical", "rooms"] {
        Archive::new(&lab, adapter, Takes::Away).visit();
    }
    lab.spool("two.ndjson", second);
    lab.ok(&["run", "--once"]);
    (lab, lines)
}

fn evidence(lab: &Lab) -> PathBuf {
    lab.path("home/evidence")
}

/// Every entry of the log, in its order.
fn entries(dir: &Path) -> Vec<Value> {
    let sums = fs::read_to_string(dir.join("log/SHA256SUMS")).unwrap();
    let path = |line: &str| dir.join("log").join(line.split("  ").nth(1).unwrap());
    sums.lines().map(|line| serde_json::from_slice(&fs::read(path(line)).unwrap()).unwrap()).collect()
}

fn stock(program: &str, arguments: &[&str], dir: &Path, input: &Path) -> Output {
    let input = fs::File::open(input).unwrap();
    let mut command = Command::new(program);
    command.args(arguments).current_dir(dir).stdin(Stdio::from(input)).output().unwrap()
}

fn text(event: &str, member: &str) -> String {
    serde_json::from_str::<Value>(event).unwrap()[member].as_str().unwrap().to_owned()
}

fn everything_is_told_once(store: Store) {
    let (lab, lines) = worked(store);
    let dir = evidence(&lab);
    let share = lab.pickup("canonical");
    let (code, said) = lab.verify(&["--outputs", share.to_str().unwrap()]);
    assert_eq!((code, &said["holds"]), (Some(0), &Value::Bool(true)), "{said}");

    let entries = entries(&dir);
    let of = |format: &str| entries.iter().filter(|entry| entry["format"] == format).collect::<Vec<_>>();
    assert_eq!(of("chancery-key-1").len(), 1);
    assert_eq!(of("chancery-purge-1").len(), 2);
    let manifests = of("chancery-manifest-1");
    assert_eq!(manifests.len(), 4);
    for adapter in ["canonical", "rooms"] {
        let of_adapter: Vec<_> = manifests.iter().filter(|manifest| manifest["adapter"] == adapter).collect();
        let events: u64 = of_adapter.iter().map(|manifest| manifest["events"]["count"].as_u64().unwrap()).sum();
        // Every event of the day, signals and heartbeats too.
        assert_eq!(events, lines.len() as u64, "{adapter}");
        assert_eq!(of_adapter[0]["previous"], Value::Null);
        assert_eq!(of_adapter[1]["previous"]["entry"], of_adapter[0]["entry"]);
    }
    // What is on the share now, the second day's, is named with its digest.
    let named = |file: &PathBuf| {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        let outputs = manifests.iter().flat_map(|manifest| manifest["outputs"].as_array().unwrap());
        outputs.filter(|output| output["name"] == name.as_str()).count()
    };
    let outputs = output_files(&share);
    assert!(!outputs.is_empty() && outputs.iter().all(|file| named(file) == 1));

    let status = lab.status();
    let evidence = &status["evidence"];
    assert_eq!(status["state"], "ok", "{status}");
    assert_eq!(evidence["entries"], entries.len());
    assert_eq!((&evidence["entries"], &evidence["entries"]), (&evidence["written"], &evidence["signed"]));
}

#[test]
fn everything_is_told_once_on_sqlite() {
    everything_is_told_once(Store::Sqlite);
}

#[test]
fn everything_is_told_once_on_postgres() {
    everything_is_told_once(Store::Postgres);
}

#[test]
fn stock_tools_check_what_is_written() {
    let (lab, _) = worked(Store::Sqlite);
    let dir = evidence(&lab);
    let sums = Command::new("sha256sum").args(["-c", "--quiet", "SHA256SUMS"]).current_dir(dir.join("log")).status();
    assert!(sums.unwrap().success());
    let verify = |file: &str| {
        let signature = format!("{file}.sig");
        let arguments =
            ["-Y", "verify", "-f", "allowed_signers", "-I", "chancery", "-n", "chancery-evidence", "-s", &signature];
        stock("ssh-keygen", &arguments, &dir, &dir.join(file))
    };
    let newest = newest_head(&dir);
    for file in ["log/00000/000000003.json", newest.as_str()] {
        let output = verify(file);
        assert!(output.status.success(), "{file}: {}", String::from_utf8_lossy(&output.stderr));
    }
    fs::write(dir.join("log/00000/000000003.json"), "{}").unwrap();
    assert!(!verify("log/00000/000000003.json").status.success());
}

fn newest_head(dir: &Path) -> String {
    let mut heads: Vec<String> = fs::read_dir(dir.join("heads"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".head"))
        .collect();
    heads.sort();
    format!("heads/{}", heads.last().unwrap())
}

#[test]
fn a_message_is_proven_also_once_it_is_purged() {
    let (lab, lines) = worked(Store::Sqlite);
    let dir = evidence(&lab);
    let (event, proof) = (lab.path("event"), lab.path("proof.json"));
    let (event_file, proof_file) = (event.to_str().unwrap(), proof.to_str().unwrap());
    let signers = lab.path("evidence.key.pub");
    let check = |more: &[&str]| {
        let mut command = Command::new(CHANCERY);
        command.args(["--format", "json", "verify", "--proof", proof_file]).args(more).output().unwrap()
    };
    for line in [&lines[0], &lines[599], &lines[899]] {
        fs::write(&event, line).unwrap();
        let (source, id) = (text(line, "source"), text(line, "id"));
        let proved = lab.run(&["prove", &source, &id, "--out", proof_file]);
        let said = String::from_utf8_lossy(&proved.stderr);
        assert!(proved.status.success(), "{said}");
        let purged = line != &lines[899];
        assert_eq!(said.contains("not staged"), purged, "{said}");
        let checked = check(&["--event", event_file, "--signers", signers.to_str().unwrap()]);
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
        // Once for each adapter.
        let read: Value = serde_json::from_slice(&fs::read(&proof).unwrap()).unwrap();
        assert_eq!(read["events"].as_array().unwrap().len(), 2);
        assert!(!fs::read_to_string(&proof).unwrap().contains("\"data\""), "a proof holds no content");
    }
    fs::write(&event, format!("{} ", lines[899])).unwrap();
    assert_eq!(check(&["--event", event_file]).status.code(), Some(1), "other bytes are not those");
    let sound = fs::read_to_string(&proof).unwrap();
    let read: Value = serde_json::from_str(&sound).unwrap();
    let id = read["id"].as_str().unwrap();
    let path = read["events"][0]["in_log"]["path"][0].as_str().unwrap();
    for (from, to) in [
        (id, "another"),
        (read["key_sha256"].as_str().unwrap(), &"0".repeat(64)),
        (read["events"][1]["content_sha256"].as_str().unwrap(), &"1".repeat(64)),
        (path, &"2".repeat(64)),
        ("\\\"batch\\\": ", "\\\"batch\\\": 1"),
        ("size ", "size 1"),
        ("\"index\": ", "\"index\": 1"),
    ] {
        let changed = sound.replacen(from, to, 1);
        assert_ne!(changed, sound, "{from}");
        fs::write(&proof, changed).unwrap();
        assert_eq!(check(&[]).status.code(), Some(1), "{from} became {to}");
    }
    let nothing = lab.run(&["prove", "/channel-service/1", "never sent", "--evidence", dir.to_str().unwrap()]);
    assert_eq!(nothing.status.code(), Some(1));
    assert!(nothing.stdout.is_empty());
}

#[test]
fn evidence_that_is_being_written_holds_at_any_moment() {
    let adapters = "[[adapter]]\nname = \"canonical\"\ninterval = \"1s\"\nkeep_after_collection = \"0s\"\n";
    let lab = Lab::new(Store::Sqlite, adapters);
    lab.ok(&["run", "--once"]);
    let lines = lab.simulate(12, 1_000);
    let mut looks = 0;
    std::thread::scope(|scope| {
        let working = scope.spawn(|| {
            let mut archive = Archive::new(&lab, "canonical", Takes::Away);
            for (number, part) in lines.chunks(100).enumerate() {
                lab.spool(&format!("{number}.ndjson"), part);
                lab.ok(&["run", "--once"]);
                archive.visit();
            }
        });
        while !working.is_finished() {
            let (code, said) = lab.verify(&[]);
            assert_eq!(code, Some(0), "look {looks}: {said}");
            looks += 1;
        }
    });
    assert!(looks > 5, "only {looks} looks while it was written");
    let certificates = entries(&evidence(&lab)).iter().filter(|entry| entry["format"] == "chancery-purge-1").count();
    assert!(certificates > 5, "only {certificates} certificates");
}

#[test]
fn a_log_is_proven_to_continue_a_head_that_was_kept() {
    let (lab, lines) = worked(Store::Sqlite);
    let dir = evidence(&lab);
    let (kept, proof) = (lab.path("kept.head"), lab.path("consistency.json"));
    let (kept_file, proof_file) = (kept.to_str().unwrap(), proof.to_str().unwrap());
    fs::copy(dir.join(newest_head(&dir)), &kept).unwrap();
    let prove = || lab.run(&["prove", "--since", kept_file, "--out", proof_file]);
    let check =
        |more: &[&str]| Command::new(CHANCERY).args(["verify", "--proof", proof_file]).args(more).output().unwrap();
    let signers = lab.path("evidence.key.pub");
    // The head itself, and then one that covers more.
    for more in [&[][..], &lines[..1]] {
        if !more.is_empty() {
            lab.spool("more.ndjson", more);
            lab.ok(&["run", "--once"]);
        }
        let proved = prove();
        assert!(proved.status.success(), "{}", String::from_utf8_lossy(&proved.stderr));
        let checked = check(&["--signers", signers.to_str().unwrap(), "--head", kept_file]);
        let said = String::from_utf8_lossy(&checked.stdout);
        assert!(checked.status.success() && said.contains("proven: the log of"), "{said}");
        assert!(!said.contains("not proven"), "{said}");
    }
    assert!(String::from_utf8_lossy(&check(&[]).stdout).contains("not proven: that you were ever shown"));
    let sound = fs::read_to_string(&proof).unwrap();
    let read: Value = serde_json::from_str(&sound).unwrap();
    let (size, path) = (read["size"].as_u64().unwrap(), read["path"].as_array().unwrap());
    assert!(!path.is_empty());
    for (from, to) in [
        (format!("\"size\": {size}"), format!("\"size\": {}", size - 1)),
        (read["root"].as_str().unwrap().to_owned(), "0".repeat(64)),
        (path[0].as_str().unwrap().to_owned(), "1".repeat(64)),
        ("size ".to_owned(), "size 1".to_owned()),
        ("chancery-consistency-1".to_owned(), "chancery-proof-1".to_owned()),
    ] {
        let changed = sound.replacen(&from, &to, 1);
        assert_ne!(changed, sound, "{from}");
        fs::write(&proof, changed).unwrap();
        assert_eq!(check(&[]).status.code(), Some(1), "{from} became {to}");
    }
    fs::write(&proof, &sound).unwrap();
    let other = lab.path("other.head");
    fs::copy(dir.join(newest_head(&dir)), &other).unwrap();
    let refused = check(&["--head", other.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stdout).contains("not the one that the proof starts from"));
    // A head of a log that went another way.
    let text = fs::read_to_string(&kept).unwrap();
    let root = text.lines().nth(2).unwrap();
    fs::write(&kept, text.replace(root, &format!("root {}", "2".repeat(64)))).unwrap();
    let refused = prove();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("are not those that the earlier head covers"), "{said}");
    fs::write(&kept, "no head").unwrap();
    assert_eq!(prove().status.code(), Some(2), "what is no head is a mistake of the command");
}

#[test]
fn a_replaced_key_signs_on_and_the_old_one_vouches_for_it() {
    let (lab, lines) = worked(Store::Sqlite);
    let dir = evidence(&lab);
    let first = fs::read_to_string(lab.path("evidence.key.pub")).unwrap();
    lab.ok(&["evidence", "rotate", "--reason", "a year has passed"]);
    let status = lab.status();
    lab.spool("three.ndjson", &lines[..1]);
    lab.ok(&["run", "--once"]);
    let signers = lab.path("evidence.key.pub");
    let (code, said) = lab.verify(&["--signers", signers.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{said}");
    assert_ne!(lab.status()["evidence"]["key"], status["evidence"]["key"]);
    // By hand: the old key's signature on the line of the new one.
    let entry = entries(&dir).into_iter().rfind(|entry| entry["format"] == "chancery-key-1").unwrap();
    let (line, signature) = (lab.path("line"), lab.path("line.sig"));
    fs::write(&line, format!("{}\n", entry["key"].as_str().unwrap())).unwrap();
    fs::write(&signature, entry["endorsement"].as_str().unwrap()).unwrap();
    fs::write(lab.path("old"), format!("chancery {first}")).unwrap();
    let (old, signature) = (lab.path("old"), signature.to_str().unwrap().to_owned());
    let arguments =
        ["-Y", "verify", "-f", old.to_str().unwrap(), "-I", "chancery", "-n", "chancery-rotation", "-s", &signature];
    assert!(stock("ssh-keygen", &arguments, &dir, &line).status.success());
    // A key of somebody else is not believed.
    fs::write(&signers, format!("{}\n", entry["key"].as_str().unwrap())).unwrap();
    let (code, said) = lab.verify(&["--signers", signers.to_str().unwrap()]);
    assert_eq!(code, Some(1), "the first key is none of those: {said}");
    // A key that is lost leaves a trace.
    fs::remove_file(lab.path("evidence.key")).unwrap();
    assert_eq!(lab.run(&["evidence", "rotate", "--reason", "gone"]).status.code(), Some(3));
    lab.ok(&["evidence", "rotate", "--lost", "--reason", "gone"]);
    lab.ok(&["run", "--once"]);
    let (code, said) = lab.verify(&[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said["not_proven"].to_string().contains("the old key was lost"), "{said}");
}

#[test]
fn without_a_key_everything_is_recorded_and_the_first_head_covers_it() {
    let lab = Lab::new(Store::Sqlite, ADAPTERS);
    fs::remove_file(lab.path("evidence.key")).unwrap();
    lab.spool("one.ndjson", &lab.simulate(3, 100));
    lab.ok(&["run", "--once"]);
    let status = lab.status();
    let kinds: Vec<_> = status["alerts"].as_array().unwrap().iter().map(|alert| alert["kind"].clone()).collect();
    assert_eq!(kinds, ["evidence-unsigned"]);
    assert!(status["alerts"][0]["detail"].as_str().unwrap().contains("chancery evidence keygen"), "{status}");
    let (code, said) = lab.verify(&[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said["not_proven"].to_string().contains("nothing is signed"), "{said}");
    assert!(lab.run(&["prove", "/web/1", "1"]).status.code() == Some(1), "nothing can be proven yet");
    lab.ok(&["evidence", "keygen"]);
    assert_eq!(lab.run(&["evidence", "keygen"]).status.code(), Some(1), "a key is not replaced unasked");
    lab.ok(&["run", "--once"]);
    let status = lab.status();
    assert_eq!((&status["state"], &status["evidence"]["signed"]), (&"ok".into(), &status["evidence"]["entries"]));
    let (code, said) = lab.verify(&[]);
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn a_key_that_others_may_read_is_refused_at_the_start() {
    use std::os::unix::fs::PermissionsExt as _;
    let lab = Lab::new(Store::Sqlite, ADAPTERS);
    fs::set_permissions(lab.path("evidence.key"), fs::Permissions::from_mode(0o644)).unwrap();
    let output = lab.run(&["run", "--once"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("mode 0644") && said.contains("hint: `chmod 600"), "{said}");
}

#[test]
fn an_evidence_directory_that_is_away_holds_up_nothing_and_catches_up() {
    let lab = Lab::new(Store::Sqlite, ADAPTERS);
    fs::create_dir_all(lab.path("home")).unwrap();
    // No directory can be made there.
    fs::write(lab.path("home/evidence"), "").unwrap();
    lab.spool("one.ndjson", &lab.simulate(3, 100));
    lab.ok(&["run", "--once"]);
    assert!(!output_files(&lab.pickup("canonical")).is_empty(), "it is delivered");
    let status = lab.status();
    assert_eq!(status["alerts"][0]["kind"], "evidence-unavailable", "{status}");
    assert_eq!(status["evidence"]["written"], 0);
    fs::remove_file(lab.path("home/evidence")).unwrap();
    lab.ok(&["run", "--once"]);
    let status = lab.status();
    assert_eq!((&status["state"], &status["evidence"]["written"]), (&"ok".into(), &status["evidence"]["entries"]));
    let (code, said) = lab.verify(&[]);
    assert_eq!(code, Some(0), "{said}");
    // Another directory is not begun in the middle of the log.
    fs::rename(lab.path("home/evidence"), lab.path("home/elsewhere")).unwrap();
    lab.ok(&["run", "--once"]);
    let status = lab.status();
    assert_eq!(status["alerts"][0]["kind"], "evidence-unavailable", "{status}");
    assert!(!lab.path("home/evidence/log").exists());
}
