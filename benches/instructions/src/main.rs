//! `instructions`: what Chancery's hot paths cost for one event, counted by valgrind. Times move with whatever else the
//! machine does; these counts stand still, so a regression of a few per cent shows anywhere. `deploy/bench
//! instructions` builds it and runs it.
//!
//! Each path is run twice in a process of its own, with few events and with many, both after the same preparation. The
//! difference is what the events between the two cost: starting up and preparing fall out of it.

mod paths;
mod recorded;

use std::path::{Path as FilePath, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use clap::{Parser, Subcommand, ValueEnum as _};

use paths::Path;
use recorded::Recorded;

/// Events that are prepared; the longer of both runs takes them all.
const EVENTS: usize = 6_000;
/// Events that the shorter run takes. Both are multiples of what one commit of intake takes.
const EVENTS_FEW: usize = 2_000;
/// How much more a path may cost than is recorded, in per cent.
const TOLERANCE_PERCENT: f64 = 5.0;

/// Count the instructions of the hot paths for one event, and compare them with the recorded ones
#[derive(Debug, Parser)]
#[command(name = "instructions", max_term_width = 110)]
struct Args {
    #[command(subcommand)]
    inner: Option<Inner>,
    /// Which paths [default: all]
    #[arg(value_enum)]
    paths: Vec<Path>,
    /// The counts to compare with
    #[arg(long, value_name = "FILE", default_value = "benches/instructions/recorded.json")]
    recorded: PathBuf,
    /// Keep the new counts instead of comparing
    #[arg(long)]
    record: bool,
    /// Also keep a profile of each path there, for callgrind_annotate
    #[arg(long, value_name = "DIR")]
    profiles: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Inner {
    /// Run one path, to be counted from outside
    #[command(hide = true)]
    Take {
        #[arg(value_enum)]
        path: Path,
        events: usize,
    },
}

fn main() -> Result<()> {
    let args = Args::parse();
    if let Some(Inner::Take { path, events }) = args.inner {
        return paths::take(path, EVENTS, events);
    }
    let chosen = if args.paths.is_empty() { Path::value_variants().to_vec() } else { args.paths };
    let mut counted = Recorded::here()?;
    for path in chosen {
        counted.paths.insert(path.to_string(), per_event(path, args.profiles.as_deref())?);
    }
    if args.record {
        let mut kept = if args.recorded.exists() { Recorded::read(&args.recorded)? } else { Recorded::default() };
        kept.paths.append(&mut counted.paths);
        return Recorded { paths: kept.paths, ..counted }.write(&args.recorded);
    }
    let known = Recorded::read(&args.recorded)?;
    if known.toolchain != counted.toolchain {
        eprintln!(
            "instructions: recorded with {}, counted with {}: part of a difference may be the tools'",
            known.toolchain, counted.toolchain
        );
    }
    let worse = print(&known, &counted);
    ensure!(
        worse.is_empty(),
        "more instructions than recorded, by over {TOLERANCE_PERCENT} %: {}; mend it, or keep the new counts with --record and say why in the commit",
        worse.join(", ")
    );
    Ok(())
}

/// Prints a table of all paths; gives back those that are worse than they may be.
fn print(known: &Recorded, counted: &Recorded) -> Vec<String> {
    println!("| path | recorded | counted | difference |\n|---|---:|---:|---:|");
    let mut worse = Vec::new();
    for (path, count) in &counted.paths {
        let Some(before) = known.paths.get(path) else {
            println!("| {path} | - | {count} | not recorded |");
            continue;
        };
        let percent = (*count as f64 / *before as f64 - 1.0) * 100.0;
        println!("| {path} | {before} | {count} | {percent:+.1} % |");
        if percent > TOLERANCE_PERCENT {
            worse.push(path.clone());
        }
    }
    worse
}

/// Instructions of a path for one event.
fn per_event(path: Path, profiles: Option<&FilePath>) -> Result<u64> {
    let (few, many) = (total(path, EVENTS_FEW, None)?, total(path, EVENTS, profiles)?);
    let between = (EVENTS - EVENTS_FEW) as u64;
    Ok(many.saturating_sub(few) / between)
}

/// All instructions of a process that takes so many events.
fn total(path: Path, events: usize, profiles: Option<&FilePath>) -> Result<u64> {
    let profile = match profiles {
        Some(dir) => {
            std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
            std::path::absolute(dir)?.join(format!("callgrind.{path}"))
        }
        None => PathBuf::from("/dev/null"),
    };
    let own = std::env::current_exe().context("where is this program?")?;
    let output = Command::new("valgrind")
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={}", profile.display()))
        .arg(own)
        .args(["take", &path.to_string(), &events.to_string()])
        .output()
        .context("cannot run valgrind: `deploy/install bench` installs it")?;
    let told = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("{path} failed under valgrind:\n{told}");
    }
    let count = told.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok());
    count.with_context(|| format!("valgrind told no count:\n{told}"))
}
