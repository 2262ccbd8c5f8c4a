//! The stylesheet `filedump`: the service with its worker processes, beside `xsltproc` over the same documents.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use super::interval::Staged;
use super::{Bench, Measured};
use crate::figure::{Figure, Target, Whose};
use crate::site::Store;
use crate::site::files;
use crate::traffic::{self, Day};

const CANONICAL: &str = "[[adapter]]\nname = \"canonical\"\ninterval = \"30d\"\none_room_per_file = true\n";
const FILEDUMP: &str =
    "[[adapter]]\nname = \"filedump\"\ntransform = \"filedump\"\ninterval = \"30d\"\none_room_per_file = true\n";

pub(super) async fn measure(bench: &Bench, measured: &mut Measured) -> Result<()> {
    let events = traffic::simulated(
        &bench.chancery,
        &bench.dir,
        Day { events: bench.sizes.events, rooms: 50, seed: 1, files: false },
    )?;
    let mut ours = Figure::new("Chancery, both cores", Whose::Chancery, "MB/s");
    let mut one = Figure::new("Chancery, one core", Whose::Chancery, "MB/s");
    let mut tool = Figure::new("xsltproc, one core", Whose::Peer, "MB/s");
    let (mut megabytes, mut documents) = (0.0, 0);
    for run in 1..=bench.sizes.runs {
        eprintln!("measure: run {run} of {}", bench.sizes.runs);
        let canonical = Staged::make(bench, Store::Postgres, CANONICAL, &events).await?;
        canonical.write("canonical", false)?;
        let texts: Vec<_> = files(&canonical.site().pickup("canonical"))?
            .into_iter()
            .filter(|path| path.extension().is_some_and(|extension| extension == "xml"))
            .collect();
        documents = texts.len();
        megabytes =
            texts.iter().filter_map(|path| path.metadata().ok()).map(|meta| meta.len()).sum::<u64>() as f64 / 1e6;
        tool.values.push(megabytes / xsltproc(bench, &texts)?);
        canonical.clear(bench).await?;
        for (figure, one_core) in [(&mut ours, false), (&mut one, true)] {
            let staged = Staged::make(bench, Store::Postgres, FILEDUMP, &events).await?;
            figure.values.push(megabytes / staged.write("filedump", one_core)?);
            staged.clear(bench).await?;
        }
    }
    measured.settings = vec![
        format!("{} events, {documents} conversations, {megabytes:.0} MB of canonical XML, one file for each conversation", events.len()),
        "ours: from the cut to the last rename, reading from PostgreSQL, assembling, transforming, syncing and reading back \
         included; xsltproc: one process for all documents, written without syncing"
            .to_owned(),
    ];
    measured.ratios.push(ours.over("Chancery, both cores : xsltproc", &tool, Some(Target::AtLeast(1.5))));
    measured.ratios.push(one.over("Chancery, one core : xsltproc", &tool, None));
    measured.figures = vec![ours, one, tool];
    Ok(())
}

/// Seconds for all documents in one process on one core, which writes them one after the other into one file.
fn xsltproc(bench: &Bench, documents: &[PathBuf]) -> Result<f64> {
    let out = tempfile::NamedTempFile::new_in(&bench.dir)?;
    let mut command = Command::new("taskset");
    command.args(["-c", "0", "xsltproc", "--nonet"]).arg(stylesheet()?).args(documents).stdout(out.reopen()?);
    let begun = Instant::now();
    let status = command.status().context("cannot run xsltproc")?;
    let seconds = begun.elapsed().as_secs_f64();
    ensure!(status.success(), "xsltproc ended with {status}");
    let written = std::fs::read_to_string(out.path())?.matches("<FileDump").count();
    ensure!(written == documents.len(), "xsltproc wrote {written} documents for {}", documents.len());
    Ok(seconds)
}

/// The shipped stylesheet, from the tree that the benchmark was built in.
pub(super) fn stylesheet() -> Result<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../transforms/filedump/filedump.xsl");
    path.canonicalize().with_context(|| format!("cannot find {}", path.display()))
}
