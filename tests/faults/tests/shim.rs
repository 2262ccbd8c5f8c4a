//! The fault shim, tried on a program of our own: this very executable, which carries out a script.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "a failed test should panic")]

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use chancery_faults::shim::{Action, Errno, Op, Outcome, Rule, Shim, Survival, power_cut};
use tempfile::TempDir;

const SCRIPT: &str = "CHANCERY_SHIM_TEST_SCRIPT";

/// Carries out one step per line; a step that fails is told on standard output and the next one follows.
#[test]
#[ignore = "this is the program that the other tests run under the shim"]
fn program() {
    for line in std::env::var(SCRIPT).expect("run by the other tests").lines() {
        let words: Vec<&str> = line.split('\t').collect();
        let outcome = match words[..] {
            ["write", path, text] => OpenOptions::new()
                .create(true)
                .write(true)
                .truncate(true)
                .open(path)
                .and_then(|mut file| file.write_all(text.as_bytes())),
            ["append", path, text] => {
                OpenOptions::new().append(true).open(path).and_then(|mut file| file.write_all(text.as_bytes()))
            }
            ["sync", path] => File::open(path).and_then(|file| file.sync_all()),
            ["rename", from, to] => fs::rename(from, to),
            ["unlink", path] => fs::remove_file(path),
            ["mkdir", path] => fs::create_dir(path),
            ["time", path] => {
                fs::write(path, SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().to_string())
            }
            ["await", path] => {
                while !Path::new(path).exists() {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Ok(())
            }
            _ => panic!("no step: {line:?}"),
        };
        if let Err(error) = outcome {
            println!("failed: {}: {}", line.replace('\t', " "), error.raw_os_error().unwrap_or(0));
        }
    }
}

struct Lab {
    dir: TempDir,
    shim: Shim,
}

impl Lab {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("w/sub")).unwrap();
        let shim =
            Shim::new(&dir.path().join("shim")).unwrap().watching([dir.path().join("w")]).with_power_cuts().unwrap();
        Self { dir, shim }
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.dir.path().join("w").join(inside)
    }

    fn command(&self, script: &str) -> Command {
        let whole: Vec<String> = script
            .lines()
            .map(|line| {
                let mut words = line.trim().splitn(3, ' ');
                let (step, first) = (words.next().unwrap(), words.next().unwrap());
                let second = words.next().map(|word| match step {
                    "rename" => format!("\t{}", self.path(word).display()),
                    _ => format!("\t{word}"),
                });
                format!("{step}\t{}{}", self.path(first).display(), second.unwrap_or_default())
            })
            .collect();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--ignored", "--exact", "program", "--nocapture"]).env(SCRIPT, whole.join("\n"));
        self.shim.apply(&mut command);
        command
    }

    /// Runs a script; gives its exit status and which steps failed.
    fn run(&self, script: &str) -> (ExitStatus, Vec<String>) {
        let output = self.command(script).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let inside = format!("{}/", self.path("").display().to_string().trim_end_matches('/'));
        // The test runner's own words may stand before the first.
        let failed = said.split('\n').filter_map(|line| line.split_once("failed: ")).map(|(_, step)| step);
        (output.status, failed.map(|step| step.replace(&inside, "")).collect())
    }

    fn run_well(&self, script: &str) {
        let (status, failed) = self.run(script);
        assert!(status.success() && failed.is_empty(), "{status:?} {failed:?}");
    }

    /// What a file holds, if it is there.
    fn content(&self, inside: &str) -> Option<String> {
        fs::read_to_string(self.path(inside)).ok()
    }

    fn cut(&self, survival: Survival) {
        power_cut(&self.shim, survival).unwrap();
    }
}

fn fail(op: Op, path: &Path) -> Rule {
    Rule::new(op, path, Action::Fail(Errno::Io))
}

#[test]
fn a_power_cut_takes_what_was_not_synced_and_leaves_what_was() {
    let lab = Lab::new();
    lab.run_well(
        "write synced whole
         write unsynced whole
         write nameless whole
         write grown old
         sync synced
         sync grown
         sync .
         append grown -new
         sync nameless",
    );
    fs::write(lab.path("before"), "was there").unwrap();
    lab.cut(Survival::Nothing);
    assert_eq!(lab.content("synced").as_deref(), Some("whole"));
    assert_eq!(lab.content("unsynced").as_deref(), Some(""), "the name was synced, the content was not");
    assert_eq!(lab.content("nameless").as_deref(), Some("whole"), "the directory was synced after it was made");
    assert_eq!(lab.content("grown").as_deref(), Some("old"));
    lab.run_well(
        "write late whole
         sync late
         write before other",
    );
    lab.cut(Survival::Nothing);
    assert_eq!(lab.content("late"), None, "its directory was not synced");
    assert_eq!(lab.content("before").as_deref(), Some("was there"));
}

#[test]
fn names_come_back_and_go_as_their_directories_were_synced() {
    let lab = Lab::new();
    let begin = "write a first
         sync a
         write b second
         sync b
         sync .";
    for (then, expected) in [
        ("rename a b", [Some("first"), Some("second"), None]),
        ("rename a b\nsync .", [None, Some("first"), None]),
        ("unlink a", [Some("first"), Some("second"), None]),
        ("unlink a\nsync .", [None, Some("second"), None]),
        ("rename a sub/c", [Some("first"), Some("second"), None]),
        ("rename a sub/c\nsync sub\nsync .", [None, Some("second"), Some("first")]),
        ("rename a sub/c\nsync sub", [Some("first"), Some("second"), Some("first")]),
        ("rename a sub/c\nsync .", [None, Some("second"), None]),
        ("mkdir d\nwrite d/x there\nsync d/x\nsync d\nrename a d/a\nsync d", [Some("first"), Some("second"), None]),
    ] {
        lab.run_well(begin);
        lab.run_well(then);
        lab.cut(Survival::Nothing);
        assert_eq!(
            ["a", "b", "sub/c"].map(|name| lab.content(name)),
            expected.map(|text| text.map(str::to_owned)),
            "{then}"
        );
        assert!(!lab.path("d").exists(), "{then}");
        for name in ["a", "b", "sub/c"] {
            let _ = fs::remove_file(lab.path(name));
        }
    }
}

#[test]
fn a_sync_after_a_failed_one_makes_nothing_durable() {
    let lab = Lab::new();
    lab.shim.rules(&[fail(Op::Fsync, &lab.path("a")).times(1)]).unwrap();
    let (_, failed) = lab.run(
        "write a text
         sync .
         sync a
         sync a",
    );
    assert_eq!(failed, ["sync a: 5"]);
    let outcomes: Vec<Outcome> = lab
        .shim
        .trace()
        .unwrap()
        .into_iter()
        .filter(|call| call.op == "fsync" && call.path == lab.path("a"))
        .map(|call| call.outcome)
        .collect();
    assert_eq!(outcomes, [Outcome::Injected("EIO".into()), Outcome::Done]);
    lab.cut(Survival::Nothing);
    assert_eq!(lab.content("a").as_deref(), Some(""));
}

#[test]
fn what_survives_by_chance_keeps_the_order_of_each_directory_and_loses_no_renamed_file() {
    let (mut fewest, mut most) = (3, 0);
    for seed in 0..24 {
        let lab = Lab::new();
        fs::write(lab.path("sub/moved"), "kept").unwrap();
        lab.run_well(
            "write 1 x
             write 2 x
             rename sub/moved arrived
             write 3 x",
        );
        lab.cut(Survival::Seeded(seed));
        let there: Vec<bool> = ["1", "2", "3"].map(|name| lab.path(name).exists()).into();
        assert!(there.is_sorted_by(|earlier, later| earlier >= later), "seed {seed}: {there:?}");
        let count = there.iter().filter(|there| **there).count();
        (fewest, most) = (fewest.min(count), most.max(count));
        let names = ["sub/moved", "arrived"].map(|name| lab.content(name));
        assert!(names.iter().flatten().any(|text| text == "kept"), "seed {seed}: the renamed file is nowhere");
    }
    assert_eq!((fewest, most), (0, 3), "chance chooses among all of them");
}

#[test]
fn a_rule_hits_the_calls_it_names_and_no_others() {
    let lab = Lab::new();
    let five = "write a 1\nwrite a 2\nwrite a 3\nwrite a 4\nwrite a 5\nwrite b 6";
    for (rule, expected) in [
        (fail(Op::Write, &lab.path("a")).after(1).times(2), vec!["write a 2: 5", "write a 3: 5"]),
        (fail(Op::Write, &lab.path("a")).every(2), vec!["write a 2: 5", "write a 4: 5"]),
        (Rule::new(Op::Create, lab.path("b"), Action::Fail(Errno::NoSpace)), vec!["write b 6: 28"]),
        (fail(Op::Rename, &lab.path("")), vec![]),
    ] {
        lab.shim.rules(std::slice::from_ref(&rule)).unwrap();
        assert_eq!(lab.run(five).1, expected, "{rule:?}");
    }
    lab.shim.rules(&[Rule::new(Op::Rename, lab.path("sub"), Action::Fail(Errno::Stale))]).unwrap();
    assert_eq!(lab.run("rename a sub/a\nrename a b").1, ["rename a sub/a: 116"], "the new name counts too");
}

#[test]
fn a_process_ends_before_or_after_the_call_it_was_told() {
    for (action, made) in [(Action::Kill, false), (Action::KillAfter, true)] {
        let lab = Lab::new();
        lab.shim.rules(&[Rule::new(Op::Change, lab.path(""), action).after(2)]).unwrap();
        // Making and writing `a` are the first two.
        let (status, _) = lab.run("write a 1\nrename a b\nwrite c 1");
        assert_eq!(status.signal(), Some(9));
        assert_eq!(lab.path("b").exists(), made);
        assert!(!lab.path("c").exists());
    }
}

#[test]
fn a_call_hangs_until_its_rule_is_gone() {
    let lab = Lab::new();
    lab.shim.rules(&[Rule::new(Op::Write, lab.path("hung"), Action::Hang)]).unwrap();
    let mut process = lab.command("write free 1\nwrite hung 1\nwrite end 1").stdout(Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    while !lab.path("hung").exists() {
        assert!(begun.elapsed() < Duration::from_secs(60), "the program did not come to the call");
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(100));
    assert!(process.try_wait().unwrap().is_none(), "it hangs");
    assert!(!lab.path("end").exists());
    lab.shim.rules(&[]).unwrap();
    assert!(process.wait().unwrap().success());
    assert_eq!(lab.content("hung").as_deref(), Some("1"));
}

#[test]
fn the_clock_steps_while_a_process_runs() {
    let lab = Lab::new();
    let mut process = lab.command("time before\nawait go\ntime after").stdout(Stdio::null()).spawn().unwrap();
    let seconds = |name: &str| {
        let begun = Instant::now();
        loop {
            match lab.content(name).map(|text| text.parse::<i64>()) {
                Some(Ok(seconds)) => return seconds,
                _ => assert!(begun.elapsed() < Duration::from_secs(60), "{name} was not written"),
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    let before = seconds("before");
    lab.shim.clock(-86_400.0).unwrap();
    fs::write(lab.path("go"), "").unwrap();
    assert!(process.wait().unwrap().success());
    let back = before - seconds("after");
    assert!((86_000..=86_400).contains(&back), "{back}");
}

#[test]
fn the_trace_tells_paths_of_any_bytes_and_each_run() {
    let lab = Lab::new();
    lab.run_well("write 100%_a%20b 1");
    fs::rename(lab.path("100%_a%20b"), lab.path("a b\n%")).unwrap();
    let mut command = lab.command("sync .");
    command.env(SCRIPT, format!("rename\t{}\t{}", lab.path("100%").display(), lab.path("x").display()));
    assert!(command.output().unwrap().status.success());
    let calls = lab.shim.trace().unwrap();
    let written = calls.iter().find(|call| call.op == "write").unwrap();
    assert_eq!((written.run, &written.path, &written.outcome), (0, &lab.path("100%_a%20b"), &Outcome::Done));
    let missing = calls.iter().find(|call| call.op == "rename").unwrap();
    assert_eq!((missing.run, missing.other.as_deref()), (1, Some(lab.path("x").as_path())));
    assert_eq!(missing.outcome, Outcome::Failed("ENOENT".into()));
    lab.shim.clear_trace().unwrap();
    assert_eq!(lab.shim.trace().unwrap(), []);
}

#[test]
fn a_rule_that_is_none_ends_the_program_instead_of_passing_for_no_fault() {
    let lab = Lab::new();
    fs::write(lab.dir.path().join("shim/rules"), "fsync /tmp EWHAT\n").unwrap();
    let output = lab.command("write a 1").output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("line 1") && said.contains("EWHAT"), "{said}");
}
