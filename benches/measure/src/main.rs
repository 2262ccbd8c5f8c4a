//! `measure`: how fast Chancery is, beside what the machine could do at best and what a user would write instead.
//! `deploy/bench` builds and starts what it needs.
//!
//! Everything that is compared runs in turns in one run, several times each: figures of different hours cannot be
//! compared on a machine that is shared.

mod broker;
mod figure;
mod limits;
mod machine;
mod parts;
mod peer;
mod process;
mod report;
mod site;
mod staged;
mod traffic;

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Parser;

use parts::{Bench, Extent, Part, Sizes};

/// Measure Chancery, the machine's limits and a Python pipeline, side by side
#[derive(Debug, Parser)]
#[command(name = "measure", max_term_width = 110)]
struct Args {
    /// What to measure [default: everything]
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// A run that shows only that everything works: small and once
    #[arg(long)]
    quick: bool,
    /// Growth to 5,000,000 events, and the backlog of an hour: takes hours and about 20 GB of disk
    #[arg(long, conflicts_with = "quick")]
    large: bool,
    /// How often each is measured [default: 3, quick: 1]
    #[arg(long)]
    runs: Option<u32>,
    /// Events of one measurement, where a part does not fix it [default: 200000, quick: 4000]
    #[arg(long)]
    events: Option<usize>,
    /// The binary to measure
    #[arg(long, value_name = "PATH", default_value = "target/release/chancery")]
    chancery: PathBuf,
    /// Where measurements have their directories: it should be on the disk that a firm would use
    #[arg(long, value_name = "DIR", default_value = "target/measure")]
    dir: PathBuf,
    /// Where results are kept, one file for each part; the page is written from all that lie there
    #[arg(long, value_name = "DIR")]
    results: Option<PathBuf>,
    /// The page whose tables and plots are to be written from the results
    #[arg(long, value_name = "FILE", requires = "results")]
    page: Option<PathBuf>,
    /// The broker
    #[arg(long, env = "CHANCERY_TEST_AMQP_URL", hide_env_values = true, value_name = "URL")]
    amqp_url: String,
    /// The database
    #[arg(long, env = "CHANCERY_TEST_POSTGRES_URL", hide_env_values = true, value_name = "URL")]
    postgres_url: String,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let extent = match (args.quick, args.large) {
        (true, _) => Extent::Quick,
        (_, true) => Extent::Large,
        _ => Extent::Usual,
    };
    let sizes = Sizes::new(extent, args.runs, args.events);
    std::fs::create_dir_all(&args.dir).with_context(|| format!("cannot create {}", args.dir.display()))?;
    let chancery = std::path::absolute(&args.chancery).context("where is the binary?")?;
    anyhow::ensure!(chancery.is_file(), "{} is no file: build it first", chancery.display());
    let bench = Bench {
        chancery,
        dir: std::path::absolute(&args.dir).context("where is the directory?")?,
        amqp_url: args.amqp_url,
        postgres_url: args.postgres_url,
        sizes,
    };
    let mut parts = if args.parts.is_empty() { Part::ALL.to_vec() } else { args.parts.clone() };
    if args.quick && args.parts.is_empty() {
        // Both compare rates, for which there are too few events here, and would take longer than all the others.
        parts.retain(|part| !matches!(part, Part::Growth | Part::CatchUp));
    }
    for part in parts {
        eprintln!("measure: {}", part.title());
        let measured = bench.measure(part).await.with_context(|| format!("measuring {} failed", part.name()))?;
        print!("{}", report::table(&measured));
        if let Some(results) = &args.results {
            report::keep(results, &measured)?;
        }
    }
    if let (Some(results), Some(page)) = (&args.results, &args.page) {
        report::write_page(results, page)?;
    }
    Ok(())
}
