//! The process is killed at every named step, on both stores, and the next start finishes the work: every event is
//! archived exactly once, byte for byte, and nothing half-done stays.
//!
//! The steps are those of [`Step::ALL`]. A step that is never reached fails: a new one needs a way to be reached,
//! in [`way`], before it can be committed.

mod judge;
mod traffic;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Output};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use chancery::support::step::{CRASH_AT, PAUSE_AT, Step};
use rustix::process::{Pid, Signal, kill_process};

use crate::bridge;
use crate::support::{Archive, Lab, Store, Takes, Tsa, eventually, messages};
use judge::judge;
use serde_json::Value;
use traffic::Traffic;

/// Cases at work at the same time in one test: most of the time each of them waits for an interval to close.
const AT_ONCE: usize = 4;
/// How long a daemon may take to reach a step, on a machine that does much else besides.
const REACHED_WITHIN: Duration = Duration::from_secs(180);
/// How often the daemon gets more to do until it reaches the step; less and less often, so that a slow machine comes to the end of
/// what there is, and to what follows from that.
const WAVE_EVERY: Duration = Duration::from_millis(1500);
/// Passes within which the work must be finished after the crash.
const PASSES_MAX: usize = 30;

const ADAPTERS: &str = r#"
[completeness]
patience = "0s"
[files]
root = "repository"
[[adapter]]
name = "canonical"
interval = "1s"
manifests_beside = true
keep_after_collection = "100ms"
[[adapter]]
name = "rooms"
interval = "1s"
one_room_per_file = true
collected_when = "acknowledged"
manifests_beside = true
keep_after_collection = "100ms"
[[adapter]]
name = "vantage"
interval = "1s"
transform = "filedump"
one_room_per_file = true
keep_after_collection = "0s"
"#;

/// A stylesheet that always fails, and the one that mends it.
const BROKEN: &str = r#"<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">
<xsl:template match="/"><xsl:message terminate="yes">broken</xsl:message></xsl:template></xsl:stylesheet>"#;
const MENDED: &str = r#"<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">
<xsl:template match="/"><xsl:copy-of select="."/></xsl:template></xsl:stylesheet>"#;

/// Which time counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    First,
    /// A second time in the same process, when there is more than one thing it is about.
    Second,
}

/// How a step is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// The daemon at work on events from the queue, with archives that take what it writes.
    Daemon,
    /// The first start in a home where nothing is, with events in the spool directory.
    FirstStart,
    /// `run --once`, again and again, with archives between.
    Passes,
    /// As [`Way::Passes`], with a stylesheet that is broken at first.
    Stylesheet,
    /// As [`Way::Passes`], with a spool file that is refused.
    Refused,
    /// As [`Way::Passes`], with an authority that stamps heads.
    Stamped,
    /// As [`Way::Passes`], with a sequence in which a number is missing.
    Gap,
    /// A command that a person gives.
    Person(Command),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Command {
    Show,
    Export,
    Discard,
    Abandon,
    Settle,
    Hold,
    Release,
    Rotate,
}

fn way(step: Step, turn: Turn) -> Option<Way> {
    use Step::*;
    // The bridge is a process of its own; its tests kill it at each of these.
    if bridge::STEPS.contains(&step) || bridge::REGISTERING.contains(&step) {
        return None;
    }
    let first = match step {
        DirectoryCreated | InstanceLocked | InstanceNamedPending | InstanceNamed | StagingOpened | LeftoverRemoved
        | MarkerWrittenPending | MarkerWritten | SpoolFileDone => Way::FirstStart,
        LeaseReleasedPending | LeaseReleased => Way::Passes,
        MarkedFailedPending | MarkedFailed | MarkedRetriedPending | MarkedRetried | AlertRaisedPending
        | AlertRaised => Way::Stylesheet,
        ReasonWrittenPending | ReasonWritten | SpoolFileRefused => Way::Refused,
        ActRecordedPending | ActRecorded => Way::Person(Command::Show),
        ExportWrittenPending | ExportWritten => Way::Person(Command::Export),
        QuarantineResolvedPending | QuarantineResolved => Way::Person(Command::Discard),
        FindingsReportedPending | FindingsReported => Way::Gap,
        StampWrittenPending | StampWritten => Way::Stamped,
        HoldPlacedPending | HoldPlaced => Way::Person(Command::Hold),
        HoldReleasedPending | HoldReleased => Way::Person(Command::Release),
        FindingsSettledPending | FindingsSettled => Way::Person(Command::Settle),
        MarkedAbandonedPending | MarkedAbandoned => Way::Person(Command::Abandon),
        KeyWrittenPending | KeyWritten | KeyReplaced => Way::Person(Command::Rotate),
        // Also when the service meets a key that the log does not know; a person's act is recorded with it, though.
        KeyRecordedPending | KeyRecorded => Way::Person(Command::Rotate),
        _ => Way::Daemon,
    };
    if turn == Turn::First {
        return Some(first);
    }
    match (step, first) {
        // Once in the life of a process or of a home, or nothing new happens before it comes again.
        (InstanceLocked | InstanceNamedPending | InstanceNamed | StagingOpened, _)
        | (TotalsCompactedPending | TotalsCompacted, _)
        | (LeftoversPurgedPending | LeftoversPurged | TombstonesPurgedPending | TombstonesPurged, _)
        | (UnreferencedListedPending | UnreferencedListed | SweptForgottenPending | SweptForgotten, _)
        | (_, Way::Person(_) | Way::Stylesheet | Way::Refused | Way::Gap | Way::Stamped) => None,
        // The moment that ends the trouble of a batch.
        (MarkedRenderedPending | MarkedRendered, _) => Some(Way::Stylesheet),
        // Once in a pass at most, or in the middle of several messages of the queue.
        // Once for each key.
        (SignersWrittenPending | SignersWritten, _) => None,
        // Once in a pass at most.
        (EntriesListed | LogWrittenPending | LogWritten | HeadWrittenPending | HeadWritten, _) => Some(Way::Daemon),
        (Received | Decoded | Staged | Committed | Acknowledged, _)
        | (FilesListedPending | FilesListed | FilesPostponedPending | FilesPostponed, _)
        | (FilesToldPending | FilesTold | FilesFollowPending | FilesFollow, _)
        | (CapturesRecordedPending | CapturesRecorded | StagingPurgedPending | StagingPurged, _) => Some(Way::Daemon),
        (_, Way::FirstStart) => Some(Way::FirstStart),
        _ => Some(Way::Passes),
    }
}

/// Where one part of the pipeline ends and the next begins, so that no test takes too long. Between them they hold every step.
const PARTS: [Step; 5] =
    [Step::Received, Step::IntervalCutPending, Step::TemporaryCreated, Step::Renamed, Step::CertificateRecordedPending];

/// The steps of the part that ends where `PARTS[part]` begins; of the last one for `PARTS.len()`.
fn steps_of(part: usize) -> &'static [Step] {
    let place = |step: Step| Step::ALL.iter().position(|other| *other == step).unwrap();
    let from = part.checked_sub(1).map_or(0, |before| place(PARTS[before]));
    let to = PARTS.get(part).map_or(Step::ALL.len(), |next| place(*next));
    &Step::ALL[from..to]
}

/// Declares the tests of each part, on both stores.
macro_rules! parts {
    ($($name:ident: $part:expr;)*) => {
        $(
            mod $name {
                use super::{Store, crash_everywhere};

                #[test]
                fn on_sqlite() {
                    crash_everywhere(Store::Sqlite, $part);
                }

                #[test]
                fn on_postgres() {
                    crash_everywhere(Store::Postgres, $part);
                }
            }
        )*

        #[test]
        fn the_parts_hold_every_step() {
            let steps: Vec<Step> = [$($part),*].into_iter().flat_map(steps_of).copied().collect();
            assert_eq!(steps, Step::ALL);
        }
    };
}

parts! {
    at_the_start: 0;
    while_taking_in: 1;
    while_rendering: 2;
    while_writing: 3;
    while_publishing_and_collecting: 4;
    while_purging_and_afterwards: 5;
}

fn crash_everywhere(store: Store, part: usize) {
    let only = std::env::var("CHANCERY_TEST_STEP").ok();
    let mut cases: Vec<(Step, Turn, Way)> = [Turn::First, Turn::Second]
        .into_iter()
        .flat_map(|turn| steps_of(part).iter().map(move |step| (*step, turn)))
        .filter(|(step, _)| only.as_deref().is_none_or(|only| step.name() == only))
        .filter_map(|(step, turn)| way(step, turn).map(|way| (step, turn, way)))
        .collect();
    let count = cases.len();
    cases.reverse();
    let (cases, failures) = (Mutex::new(cases), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some((step, turn, way)) = cases.lock().unwrap().pop() else { return };
                    let begun = Instant::now();
                    let found = Case::new(store, step, turn, way).run();
                    let place = format!("crash at `{}` ({turn:?} time, {way:?}) on {store:?}", step.name());
                    println!("{place}: {} violations, {:.1} s", found.len(), begun.elapsed().as_secs_f64());
                    failures.lock().unwrap().extend(found.into_iter().map(|found| format!("{place}: {found}")));
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{} violations in {count} crashes\n{}", failures.len(), failures.join("\n"));
}

/// One crash, from the events to the verdict.
struct Case {
    lab: Lab,
    /// The value of the variable: the step and which time.
    order: String,
    way: Way,
    archives: Vec<Archive>,
    traffic: Traffic,
}

impl Case {
    fn new(store: Store, step: Step, turn: Turn, way: Way) -> Self {
        let stylesheet =
            "[[adapter]]\nname = \"own\"\ninterval = \"1s\"\ntransform = \"own.xsl\"\nkeep_after_collection = \"0s\"\n";
        let adapters = match way {
            Way::Stylesheet => format!("{ADAPTERS}{stylesheet}"),
            Way::Refused => format!("[intake]\nevent_size_max = \"1KiB\"\n{ADAPTERS}"),
            _ => ADAPTERS.to_owned(),
        };
        let by_queue = way == Way::Daemon;
        let lab = if by_queue {
            Lab::with_broker(store, &adapters)
        } else {
            let lab = Lab::new(store, "");
            fs::write(lab.path("own.xsl"), BROKEN).unwrap();
            if way == Way::Stamped {
                lab.stamped_by(&Tsa::start(), "0s");
            }
            lab.configure(&adapters);
            lab
        };
        let mut archives = vec![
            Archive::new(&lab, "canonical", Takes::Away),
            Archive::new(&lab, "rooms", Takes::ByAcknowledging),
            Archive::new(&lab, "vantage", Takes::Away),
        ];
        if way == Way::Stylesheet {
            archives.push(Archive::new(&lab, "own", Takes::Away));
        }
        let count = match (turn, way) {
            (Turn::First, _) => 1,
            // After one empty batch of each adapter that had no trouble.
            (Turn::Second, Way::Stylesheet) => 4,
            (Turn::Second, _) => 2,
        };
        Self { lab, order: format!("{}:{count}", step.name()), way, archives, traffic: Traffic::new(by_queue) }
    }

    /// Everything that is wrong, in words; nothing when the promises were kept.
    fn run(mut self) -> Vec<String> {
        let crashed = match self.way {
            Way::Daemon | Way::FirstStart => self.crash_daemon(),
            Way::Passes | Way::Stylesheet | Way::Refused | Way::Gap | Way::Stamped => self.crash_pass(),
            Way::Person(command) => self.crash_command(command),
        };
        match crashed.and_then(|()| self.finish()) {
            Ok(status) => judge(&self.lab, &status, &self.archives, &self.traffic),
            Err(trouble) => vec![trouble],
        }
    }

    fn visit(&mut self) {
        self.archives.iter_mut().for_each(Archive::visit);
    }

    fn variables(&self) -> [(&'static str, String); 1] {
        [(CRASH_AT, self.order.clone())]
    }

    /// Lets the daemon work until it kills itself.
    fn crash_daemon(&mut self) -> Result<(), String> {
        if self.way == Way::FirstStart {
            self.leave_leftovers();
        }
        self.traffic.wave(&self.lab);
        let order = self.order.clone();
        let mut daemon = self.lab.daemon_with(&[(CRASH_AT, &order)]);
        let begun = Instant::now();
        let (mut next_wave, mut every) = (WAVE_EVERY, WAVE_EVERY);
        loop {
            if let Some(status) = daemon.ended() {
                return self.died(status, &daemon.log());
            }
            if begun.elapsed() > REACHED_WITHIN {
                return Err(format!("the step is never reached; the daemon's log:\n{}", daemon.log()));
            }
            if begun.elapsed() > next_wave {
                every += WAVE_EVERY / 2;
                next_wave += every;
                self.traffic.wave(&self.lab);
                // Those of the waves before have gone out without theirs by now.
                self.traffic.late_files_come(&self.lab, 2);
            }
            self.visit();
            std::thread::sleep(Duration::from_millis(25));
        }
    }

    /// What an earlier process left half-written.
    fn leave_leftovers(&self) {
        for place in
            ["home/vault/tmp/1-0", "home/vault/tmp/1-1", "home/pickup/canonical/.inprogress/old.xml_inprogress"]
        {
            let place = self.lab.path(place);
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::write(place, "half a fi").unwrap();
        }
    }

    /// Makes one pass after the other until one kills itself.
    fn crash_pass(&mut self) -> Result<(), String> {
        self.traffic.wave(&self.lab);
        self.traffic.wave(&self.lab);
        if self.way == Way::Refused {
            self.traffic.refused_file(&self.lab);
        }
        if self.way == Way::Gap {
            self.traffic.gap(&self.lab);
        }
        let mut said = String::new();
        for _ in 0..4 {
            let output = self.pass(&self.variables());
            if output.status.signal().is_some() {
                return self.died(output.status, &String::from_utf8_lossy(&output.stderr));
            }
            said += &String::from_utf8_lossy(&output.stderr);
            self.mend();
            self.visit();
        }
        Err(format!("the step is never reached; the passes said:\n{said}"))
    }

    fn pass(&self, variables: &[(&'static str, String)]) -> Output {
        let mut command = self.lab.command(&["run", "--once"]);
        command.envs(variables.iter().map(|(name, value)| (name, value))).output().unwrap()
    }

    fn mend(&mut self) {
        fs::write(self.lab.path("own.xsl"), MENDED).unwrap();
        self.traffic.fill(&self.lab);
        self.traffic.late_files_come(&self.lab, 0);
    }

    /// Kills a command of a person, then gives it again.
    fn crash_command(&mut self, command: Command) -> Result<(), String> {
        self.traffic.wave(&self.lab);
        // A batch that is given up brings no files any more.
        self.traffic.late_files_come(&self.lab, 0);
        self.traffic.poison(&self.lab);
        if command == Command::Settle {
            self.traffic.gap(&self.lab);
        }
        if command == Command::Release {
            self.lab.ok(&["hold", "place", "--room", "room:none", "--reason", "a test"]);
        }
        self.lab.ok(&["run", "--once"]);
        let listed = self.lab.json(&["quarantine", "list"]);
        let item = listed[0]["id"].to_string();
        let batch = self.lab.json(&["batch", "list", "--adapter", "canonical"])[0]["id"].to_string();
        let export = self.lab.path("item");
        let export = export.to_str().unwrap();
        let found = self.lab.run(&["--format", "json", "sequence", "list"]);
        let found: Value = serde_json::from_slice(&found.stdout).unwrap();
        let finding = found[0]["id"].to_string();
        let arguments = match command {
            Command::Hold => vec!["hold", "place", "--room", "room:none", "--reason", "a test"],
            Command::Release => vec!["hold", "release", "1", "--reason", "a test"],
            Command::Settle => vec!["sequence", "settle", &finding, "--reason", "a test"],
            Command::Show => vec!["quarantine", "show", &item, "--content"],
            Command::Export => vec!["quarantine", "show", &item, "--export", export],
            Command::Discard => vec!["quarantine", "discard", &item, "--reason", "a test", "--yes"],
            Command::Abandon => vec!["batch", "abandon", &batch, "--reason", "a test", "--yes"],
            Command::Rotate => vec!["evidence", "rotate", "--reason", "a test"],
        };
        let killed = self.lab.command(&arguments).envs(self.variables()).output().unwrap();
        self.died(killed.status, &String::from_utf8_lossy(&killed.stderr))?;
        // Given again, it does the rest, or says that it is done.
        let again = self.lab.run(&arguments);
        let said = String::from_utf8_lossy(&again.stderr);
        let done = match command {
            Command::Discard => "is discarded already",
            Command::Abandon => "is abandoned, not",
            Command::Settle => "is not open",
            Command::Release => "does not stand",
            Command::Show | Command::Export | Command::Hold | Command::Rotate => "",
        };
        if !again.status.success() && (done.is_empty() || !said.contains(done)) {
            return Err(format!("given again, the command ended with {:?}: {said}", again.status.code()));
        }
        match command {
            Command::Show if again.stdout != traffic::POISON.as_bytes() => Err("other bytes are shown".to_owned()),
            Command::Export if fs::read(export).ok().as_deref() != Some(traffic::POISON.as_bytes()) => {
                Err("other bytes are exported".to_owned())
            }
            Command::Discard => {
                self.traffic.discarded();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Whether it was the order that ended the process, and nothing else.
    fn died(&self, status: ExitStatus, said: &str) -> Result<(), String> {
        let step = self.order.split(':').next().unwrap_or_default();
        if status.signal() == Some(9) && said.contains(&format!("{CRASH_AT} = {step}")) {
            return Ok(());
        }
        Err(format!("the process was to kill itself, and ended with {status}; it said:\n{said}"))
    }

    /// Starts again without the order until nothing is left to do; gives the last status.
    fn finish(&mut self) -> Result<Value, String> {
        self.mend();
        let mut waiting = BTreeMap::new();
        for _ in 0..PASSES_MAX {
            self.visit();
            let output = self.pass(&[]);
            if !output.status.success() {
                let said = String::from_utf8_lossy(&output.stderr);
                return Err(format!("the next start ended with {:?}: {said}", output.status.code()));
            }
            self.visit();
            let status = self.lab.status();
            waiting = judge::waiting(&status, &self.archives, &self.traffic);
            if waiting.is_empty() {
                return Ok(status);
            }
        }
        Err(format!("the work is not finished after {PASSES_MAX} passes: {waiting:?}"))
    }
}

const HOURLY: &str = "[[adapter]]\nname = \"canonical\"\ninterval = \"1h\"\n";

#[test]
fn an_order_is_refused_where_it_could_do_harm_or_means_nothing() {
    let lab = Lab::new(Store::Sqlite, HOURLY);
    let run = |value: &str, more: &[&str]| {
        let arguments: Vec<&str> = more.iter().copied().chain(["run", "--once"]).collect();
        let output = lab.command(&arguments).env(CRASH_AT, value).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) = run("renamed", &["--set", "laboratory=false"]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("CHANCERY_CRASH_AT is set") && said.contains("hint: unset CHANCERY_CRASH_AT"), "{said}");
    let (code, said) = run("renmed:2", &[]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("did you mean renamed?"), "{said}");
    let (code, said) = run("renamed:0", &[]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("N from 1"), "{said}");
    assert!(!lab.path("home/state").exists(), "nothing was done");
}

#[test]
fn a_paused_process_goes_on_when_it_is_told_to() {
    let lab = Lab::new(Store::Sqlite, HOURLY);
    let mut traffic = Traffic::new(false);
    traffic.wave(&lab);
    let mut child = lab.command(&["run", "--once"]).env(PAUSE_AT, "decoded:3").spawn().unwrap();
    let id = Pid::from_child(&child);
    eventually("the process stops itself", || {
        // After the name in parentheses: the state, T when it is stopped.
        let stat = fs::read_to_string(format!("/proc/{}/stat", id.as_raw_nonzero())).unwrap();
        stat.rsplit_once(") ").unwrap().1.starts_with('T')
    });
    kill_process(id, Signal::CONT).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(messages(&lab.pickup("canonical")).len(), traffic.ids().count());
}
