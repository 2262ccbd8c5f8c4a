//! The program that a user would write instead, well written: Python with pika, psycopg2 and lxml.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::parts::Bench;
use crate::process::succeeded;
use crate::site::Site;

/// What the program tells at its end.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Said {
    /// Events per second from the first commit to the last (take-in), or from the start to the last file gone (all).
    pub(crate) rate: f64,
    /// Largest resident memory in MiB.
    pub(crate) peak: f64,
}

/// Takes in what waits in the site's queue.
pub(crate) fn take_in(bench: &Bench, site: &Site, events: usize) -> Result<Said> {
    run(bench, site, events, &["take-in"])
}

/// Takes in, writes documents through the stylesheet, and purges, in intervals of so many events.
pub(crate) fn end_to_end(
    bench: &Bench,
    site: &Site,
    events: usize,
    interval: usize,
    stylesheet: &Path,
) -> Result<Said> {
    let out = site.path("python-out");
    std::fs::create_dir_all(&out).with_context(|| format!("cannot create {}", out.display()))?;
    let (out, sheet) = (out.display().to_string(), stylesheet.display().to_string());
    run(
        bench,
        site,
        events,
        &["end-to-end", "--interval", &interval.to_string(), "--out", &out, "--stylesheet", &sheet],
    )
}

fn run(bench: &Bench, site: &Site, events: usize, arguments: &[&str]) -> Result<Said> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/peer/pipeline.py");
    let said = succeeded(
        Command::new("/usr/bin/python3")
            .arg(script)
            .args(["--amqp", &bench.amqp_url, "--postgres", &bench.postgres_url, "--queue", &site.queue()])
            .args(["--schema", &format!("{}_python", site.name), "--events", &events.to_string()])
            .args(arguments),
    )?;
    serde_json::from_str(&said).with_context(|| format!("the Python pipeline said {said:?}"))
}
