//! The standing scenario: events come in, are published, are collected, are purged; one fault on the way.

use chancery_faults::shim::{Call, Outcome, Rule, Survival};

use crate::archive::check_end;
use crate::lab::{Lab, Recorded, Store, chat, killed, upload};

/// The two passes: events to the share, then what was collected to nothing.
pub const STAGES: [&str; 2] = ["publishing", "purging"];

/// A fault.
pub struct Fault<'a> {
    /// For messages.
    pub case: String,
    pub store: Store,
    pub recorded: Recorded,
    /// In which pass it strikes.
    pub stage: usize,
    pub rules: &'a dyn Fn(&Lab) -> Vec<Rule>,
    /// What survives when the power goes off right after it.
    pub cut: Option<Survival>,
}

/// What the pass with the fault left.
pub struct Struck {
    /// What it called.
    pub calls: Vec<Call>,
    /// Whether the fault took place.
    pub hit: bool,
    /// Batches with their states, unless the process was killed.
    pub batches: Vec<(i64, String)>,
}

fn attachment() -> Vec<u8> {
    (0..9000_u32).flat_map(|at| at.to_le_bytes()).collect()
}

/// Plays it to its end, which has to be the good one, and gives what was seen right after the fault.
///
/// Whatever was reported as done survives a power cut at each point where nothing is left to do.
pub fn play(fault: &Fault<'_>) -> Struck {
    let case = fault.case.as_str();
    let mut lab = Lab::new(fault.store, fault.recorded);
    let bytes = attachment();
    lab.spool("a.ndjson", &[chat("e1", "hello"), chat("e2", "and again"), upload("e3", "report.bin", &bytes)]);
    let mut struck = None;
    for stage in 0..STAGES.len() {
        if stage == fault.stage {
            struck = Some(strike(&mut lab, fault));
        }
        lab.settle(case);
        lab.cut(Survival::Nothing);
        // Before the archive comes, so that the next stage has all of its work still before it.
        lab.settle(case);
        lab.archive.visit(case);
    }
    check_end(&lab, &[("e1", None), ("e2", None), ("e3", Some(&bytes))], case);
    struck.expect("each fault strikes in one of the stages")
}

fn strike(lab: &mut Lab, fault: &Fault<'_>) -> Struck {
    lab.shim.clear_trace().unwrap();
    let (status, log) = lab.pass(&(fault.rules)(lab));
    let calls = lab.shim.trace().unwrap();
    let hit = killed(status) || calls.iter().any(|call| matches!(call.outcome, Outcome::Injected(_)));
    assert!(killed(status) || status.code().is_some_and(|code| code < 100), "{}: {status}\n{log}", fault.case);
    let batches = if killed(status) { Vec::new() } else { lab.batches() };
    if let Some(survival) = fault.cut {
        lab.cut(survival);
        lab.archive.visit(&fault.case);
    }
    Struck { calls, hit, batches }
}
