//! The auditor's walk of `docs/audit.md`: the commands of the page, run as they stand there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::{ADAPTERS, evidence, text};
use crate::support::{Lab, Store, Tsa};

/// The commands of the page, in their order.
fn commands() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/audit.md");
    let page = fs::read_to_string(page).unwrap();
    let blocks: Vec<&str> = page.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(blocks.len() > 6, "the test found the commands");
    blocks.join("\n")
}

fn walk(dir: &Path, event: &str) -> Output {
    let script = format!("set -euo pipefail\n{}", commands());
    Command::new("bash")
        .args(["-c", &script])
        .current_dir(dir)
        .env("SOURCE", text(event, "source"))
        .env("ID", text(event, "id"))
        .output()
        .unwrap()
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-r").arg(from).arg(to).status().unwrap().success());
}

#[test]
fn the_commands_of_the_page_hold_and_find_what_was_changed() {
    let (tsa, lab) = (Tsa::start(), Lab::new(Store::Sqlite, ""));
    lab.stamped_by(&tsa, "0s");
    lab.configure(ADAPTERS);
    let first_key = fs::read(lab.path("evidence.key.pub")).unwrap();
    let lines = lab.simulate(5, 400);
    lab.spool("one.ndjson", &lines[..200]);
    lab.ok(&["run", "--once"]);
    lab.ok(&["evidence", "rotate", "--reason", "a test"]);
    lab.spool("two.ndjson", &lines[200..]);
    lab.ok(&["run", "--once"]);
    let dir = lab.path("audit");
    fs::create_dir(&dir).unwrap();
    copy(&evidence(&lab), &dir.join("evidence"));
    copy(&lab.pickup("canonical"), &dir.join("outputs"));
    fs::remove_dir_all(dir.join("outputs/.inprogress")).unwrap();
    fs::write(dir.join("firm.pub"), first_key).unwrap();
    fs::copy(tsa.root(), dir.join("tsa-root.pem")).unwrap();
    fs::write(dir.join("event.json"), &lines[300]).unwrap();
    let sound = walk(&dir, &lines[300]);
    let said = format!("{}{}", String::from_utf8_lossy(&sound.stdout), String::from_utf8_lossy(&sound.stderr));
    assert!(sound.status.success(), "{said}");
    assert!(said.contains("Good \"chancery-evidence\" signature") && said.contains("evidence rotate"), "{said}");
    assert!(said.contains("Verification: OK") && said.contains("Time stamp: "), "{said}");

    let output = fs::read_dir(dir.join("outputs")).unwrap().next().unwrap().unwrap().path();
    let list = dir.join("evidence/lists");
    let list = fs::read_dir(fs::read_dir(list).unwrap().next().unwrap().unwrap().path()).unwrap();
    let mut changed: Vec<_> = list.map(|entry| entry.unwrap().path()).collect();
    changed.extend([output, dir.join("event.json"), dir.join("evidence/log/00000/000000001.json")]);
    let newest = dir.join("evidence").join(super::newest_head(&dir.join("evidence")));
    changed.push(PathBuf::from(format!("{}.tsr", newest.display())));
    let mut found = 0;
    for file in &changed {
        let before = fs::read(file).unwrap();
        // A stamp is one DER value with its signature at the end; what follows it openssl does not read.
        let changed = match before.split_last() {
            Some((last, rest)) if file.extension().is_some_and(|ending| ending == "tsr") => {
                [rest, &[last ^ 1]].concat()
            }
            _ => [&before[..], b" "].concat(),
        };
        fs::write(file, changed).unwrap();
        found += usize::from(!walk(&dir, &lines[300]).status.success());
        fs::write(file, before).unwrap();
    }
    // The page looks at the one list that the message is in.
    assert!(found >= 5, "{found} of {} changes", changed.len());
}
