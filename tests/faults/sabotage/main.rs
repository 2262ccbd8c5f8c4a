//! `sabotage`: breaks one promise of the code at a time, in a copy, and looks whether the tests notice.
//!
//! A promise that can be taken out of the code without any test failing is not tested. Each entry of
//! `list.toml` replaces one passage of the sources; the tests it names pass on the untouched copy and
//! must fail on the broken one.

mod list;
mod tree;
mod trial;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use comfy_table::{ContentArrangement, Table, presets};

use list::Sabotage;
use tree::Tree;
use trial::{Outcome, Trial};

/// Break one promise of the code at a time and see a test fail
///
/// Needs CHANCERY_TEST_AMQP_URL and CHANCERY_TEST_POSTGRES_URL, which `deploy/sabotage` provides. Exit code 0
/// only when every sabotage was noticed.
#[derive(Debug, Parser)]
#[command(name = "sabotage", max_term_width = 110)]
struct Args {
    /// Only these; all when none is named
    names: Vec<String>,
    /// Print what there is and exit
    #[arg(long)]
    list: bool,
    /// Where the copy and its build lie; kept for the next run
    #[arg(long, value_name = "DIR", default_value = "target/sabotage")]
    work: PathBuf,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("sabotage: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(args: &Args) -> Result<bool, String> {
    let all = list::read()?;
    if args.list {
        for sabotage in &all {
            println!("{:28} {}", sabotage.name, sabotage.breaks);
        }
        return Ok(true);
    }
    let chosen = choose(&all, &args.names)?;
    let tree = Tree::copy(&root(), &args.work.join("tree"))?;
    let trial = Trial::new(&tree, &args.work.join("build"))?;
    eprintln!("sabotage: the tests on the untouched copy, which must pass");
    for tests in distinct_tests(&chosen) {
        trial.untouched(tests)?;
    }
    let mut results = Vec::new();
    for sabotage in &chosen {
        eprintln!("sabotage: {}: {}", sabotage.name, sabotage.breaks);
        let broken = tree.break_one(sabotage)?;
        let outcome = trial.of(&sabotage.tests)?;
        broken.mend()?;
        eprintln!("sabotage: {}: {outcome}", sabotage.name);
        results.push((*sabotage, outcome));
    }
    println!("{}", table(&results));
    Ok(results.iter().all(|(_, outcome)| matches!(outcome, Outcome::Noticed { .. })))
}

fn choose<'a>(all: &'a [Sabotage], names: &[String]) -> Result<Vec<&'a Sabotage>, String> {
    if names.is_empty() {
        return Ok(all.iter().collect());
    }
    names
        .iter()
        .map(|name| {
            all.iter().find(|sabotage| sabotage.name == *name).ok_or_else(|| {
                let known: Vec<&str> = all.iter().map(|sabotage| sabotage.name.as_str()).collect();
                format!("there is no sabotage {name:?}; expected one of: {}", known.join(", "))
            })
        })
        .collect()
}

fn distinct_tests<'a>(chosen: &[&'a Sabotage]) -> Vec<&'a list::Tests> {
    let mut distinct: Vec<&list::Tests> = Vec::new();
    for tests in chosen.iter().map(|sabotage| &sabotage.tests) {
        if !distinct.contains(&tests) {
            distinct.push(tests);
        }
    }
    distinct
}

fn table(results: &[(&Sabotage, Outcome)]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["sabotage", "what it breaks", "outcome"]);
    for (sabotage, outcome) in results {
        table.add_row([&sabotage.name, &sabotage.breaks, &outcome.to_string()]);
    }
    table
}

/// The project's own directory.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
