//! `fault-run`: runs Chancery in rounds of trouble and judges what came out. `deploy/fault-run` builds and starts what it needs.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use chancery_faults::error::{At as _, Outcome, Trouble};
use chancery_faults::faults::{Abilities, Fault};
use chancery_faults::plan::Planner;
use chancery_faults::report::{Summary, line};
use chancery_faults::round::{Played, Setting, play};
use chancery_faults::servers::Servers;
use chancery_faults::site::{Store, may_mount};
use clap::{Parser, ValueEnum};

/// Bring Chancery into trouble, round after round, and judge what an archive would have got
///
/// Each round is a pipeline of its own: traffic is published for a few seconds while one to three faults strike, then all
/// is left in peace until everything is archived and purged, and then counted. Exit code 0: nothing lost, nothing twice, nothing
/// half, nothing purged wrongly, in any round.
#[derive(Debug, Parser)]
#[command(name = "fault-run", max_term_width = 110)]
struct Args {
    /// How many rounds
    #[arg(long, default_value_t = 20)]
    rounds: u64,
    /// The seed: the same seed gives the same rounds
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Play this round alone, again
    #[arg(long, value_name = "NUMBER")]
    round: Option<u64>,
    /// Where events are staged; `both` takes turns
    #[arg(long, value_enum, default_value_t = Stores::Both)]
    store: Stores,
    /// Only these faults, separated by commas [default: all that are possible here]
    #[arg(long, value_enum, value_delimiter = ',')]
    faults: Vec<Fault>,
    /// List the faults and end
    #[arg(long)]
    list: bool,
    /// Keep the directories of all rounds, not only of those that failed
    #[arg(long)]
    keep: bool,
    /// Write the figures to FILE.json and FILE.md
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// The binary to judge
    #[arg(long, value_name = "PATH", default_value = "target/release/chancery")]
    chancery: PathBuf,
    /// Where rounds have their directories
    #[arg(long, value_name = "DIR", default_value = "target/fault-run")]
    dir: PathBuf,
    /// The broker
    #[arg(long, env = "CHANCERY_TEST_AMQP_URL", hide_env_values = true, value_name = "URL")]
    amqp_url: Option<String>,
    /// The database
    #[arg(long, env = "CHANCERY_TEST_POSTGRES_URL", hide_env_values = true, value_name = "URL")]
    postgres_url: Option<String>,
    /// The directory given to `deploy/services start`, if the servers may be restarted
    #[arg(long, env = "CHANCERY_TEST_SERVICES", value_name = "DIR")]
    services: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Stores {
    Sqlite,
    Postgres,
    Both,
}

impl Stores {
    fn list(self) -> Vec<Store> {
        match self {
            Self::Sqlite => vec![Store::Sqlite],
            Self::Postgres => vec![Store::Postgres],
            Self::Both => vec![Store::Sqlite, Store::Postgres],
        }
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    if args.list {
        for fault in Fault::all() {
            println!("{:<17} {}", fault.name(), fault.about());
        }
        return ExitCode::SUCCESS;
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.to_string()),
    };
    let outcome = runtime.block_on(async {
        tokio::select! {
            outcome = run(&args) => outcome,
            // What is dropped then kills the process under test and unmounts.
            () = interrupted() => Err(Trouble::Said("interrupted".into())),
        }
    });
    // Never dropped: the driver's own threads still use it when a connection ended badly, and would panic on the way out.
    std::mem::forget(runtime);
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => failed(&error.to_string()),
    }
}

/// Ends when the runner is told to end, from the keyboard or by SIGTERM.
async fn interrupted() {
    match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(mut terminate) => tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        },
        Err(_) => drop(tokio::signal::ctrl_c().await),
    }
}

fn failed(error: &str) -> ExitCode {
    eprintln!("fault-run: {error}");
    ExitCode::from(2)
}

async fn run(args: &Args) -> Outcome<bool> {
    let chancery = absolute(&args.chancery)?;
    std::fs::create_dir_all(&args.dir).at("create", &args.dir)?;
    let dir = absolute(&args.dir)?;
    let keeper = match &args.services {
        Some(services) => Some((absolute(Path::new("deploy/services"))?, absolute(services)?)),
        None => None,
    };
    let amqp_url = args.amqp_url.clone().ok_or_else(|| {
        Trouble::Said("no broker: set CHANCERY_TEST_AMQP_URL, or run deploy/fault-run, which starts one".into())
    })?;
    let binary = std::fs::read(&chancery).at("read", &chancery)?;
    let able = Abilities {
        mounts: may_mount(&dir),
        crash_points: contains(&binary, b"CHANCERY_CRASH_AT"),
        keeper: keeper.is_some(),
    };
    let faults = if args.faults.is_empty() { Fault::all().collect() } else { args.faults.clone() };
    let planner = Planner { seed: args.seed, stores: args.store.list(), faults, able };
    say_what_is_missing(&planner)?;
    let servers = Servers { amqp_url, postgres_url: args.postgres_url.clone(), keeper };
    // The names on the servers must differ from those of another run on the same servers.
    let setting = Setting { chancery, servers, dir, mark: format!("faults-{}-{}", args.seed, std::process::id()) };

    let numbers: Vec<u64> = args.round.map_or_else(|| (0..args.rounds).collect(), |round| vec![round]);
    let (mut played, mut unplayable) = (Vec::new(), 0);
    for number in numbers {
        unplayable += usize::from(!one(args, &planner, &setting, number, &mut played).await);
    }
    let summary = Summary::of(args.seed, &played, unplayable);
    println!("\n{}", summary.table());
    for fact in summary.facts() {
        println!("{fact}");
    }
    if let Some(file) = &args.report {
        summary.write(file)?;
    }
    Ok(summary.clean())
}

/// Plays a round and tells of it; `false` when it could not be played.
async fn one(args: &Args, planner: &Planner, setting: &Setting, number: u64, played: &mut Vec<Played>) -> bool {
    let plan = planner.plan(number);
    let dir = setting.dir.join(format!("round-{number:04}-{}", plan.store.name()));
    let outcome = play(setting, &plan).await;
    let clean = match &outcome {
        Ok(round) => {
            println!("{}", line(round, std::io::stdout().is_terminal()));
            for finding in round.judgement.findings.iter().take(12) {
                println!("            {:?}: {}", finding.charge, finding.detail);
            }
            let more = round.judgement.findings.len().saturating_sub(12);
            if more > 0 {
                println!("            … and {more} more in {}", dir.join("findings.json").display());
            }
            round.clean()
        }
        Err(error) => {
            println!("round {number:>4}  {:<8}  {}  could not be played: {error}", plan.store.name(), plan.faults());
            false
        }
    };
    if !clean {
        println!("            again: {}", replay(args, number));
        println!("            kept:  {}", dir.display());
    } else if !args.keep {
        // What cannot be deleted now is deleted by the next run.
        let _ = std::fs::remove_dir_all(&dir);
    }
    let could_be_played = outcome.is_ok();
    played.extend(outcome);
    could_be_played
}

/// The command that plays a round again.
fn replay(args: &Args, number: u64) -> String {
    let store = args.store.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
    let mut text = format!("deploy/fault-run --seed {} --store {store} --round {number}", args.seed);
    if !args.faults.is_empty() {
        let names: Vec<_> = args.faults.iter().map(|fault| fault.name()).collect();
        text += &format!(" --faults {}", names.join(","));
    }
    if args.chancery.components().any(|part| part.as_os_str() == "debug") {
        text += " --debug";
    }
    text
}

/// Says which faults cannot be brought about, and refuses to begin when none is left.
fn say_what_is_missing(planner: &Planner) -> Outcome<()> {
    let mut possible = false;
    for &fault in &planner.faults {
        let obstacles: Vec<_> = planner.stores.iter().map(|&store| fault.obstacle(store, planner.able)).collect();
        if obstacles.iter().any(Option::is_none) {
            possible = true;
        } else if let Some(Some(why)) = obstacles.first() {
            eprintln!("fault-run: {} is left out: {why}", fault.name());
        }
    }
    if possible { Ok(()) } else { Err(Trouble::Said("none of the faults is possible here; see --list".into())) }
}

fn absolute(path: &Path) -> Outcome<PathBuf> {
    std::path::absolute(path).and_then(|path| path.canonicalize()).at("find", path)
}

fn contains(bytes: &[u8], words: &[u8]) -> bool {
    bytes.windows(words.len()).any(|window| window == words)
}
