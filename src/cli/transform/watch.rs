//! `chancery transform --watch`: run again whenever something changes.
//!
//! The file system's notifications make it prompt; looking once a second makes it certain, because network shares and
//! some editors send none.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use notify::{RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

use super::super::Outcome;
use super::bytes;
use super::run::{self, Job};
use crate::errors::{ExitStatus, Failure};
use crate::model::Ticks;
use crate::transform::Stylesheet;

/// How often files are looked at without a notification.
const LOOK: Duration = Duration::from_secs(1);
/// How long a file must rest before it is read: editors write in steps.
const REST: Duration = Duration::from_millis(80);

pub(super) async fn run(job: &Job) -> Outcome {
    let Some(Stylesheet::File(stylesheet)) = &job.spec.stylesheet else {
        return Err(
            Failure::new(ExitStatus::Usage, "a shipped transform never changes").hint("watch a stylesheet file")
        );
    };
    let mut files: BTreeSet<PathBuf> = [Some(stylesheet.as_path()), job.spec.schema.as_deref(), job.input.path()]
        .into_iter()
        .flatten()
        .map(Path::to_owned)
        .collect();
    let (told, mut changes) = mpsc::channel(1);
    // A full channel already says what this would.
    let mut watcher = notify::recommended_watcher(move |_| {
        let _ = told.try_send(());
    })
    .ok();
    loop {
        let began = Instant::now();
        let mut seen = state(&files);
        match once(job, &mut files).await {
            Ok(size) => println!("{}  {:>8.1} ms  {}", clock(), began.elapsed().as_secs_f64() * 1000.0, bytes(size)),
            Err(failure) => {
                println!("{}  failed", clock());
                eprint!("{}", failure.report());
            }
        }
        for folder in files.iter().filter_map(|file| file.parent()).collect::<BTreeSet<_>>() {
            if let Some(watcher) = &mut watcher {
                // Where notifications are not to be had, looking is enough.
                let _ = watcher.watch(folder, RecursiveMode::NonRecursive);
            }
        }
        // As they were before the run, lest a change during it be missed; those that came in with it as they are now.
        for (path, found) in state(&files) {
            seen.entry(path).or_insert(found);
        }
        tokio::select! {
            _ = tokio::signal::ctrl_c() => return Ok(ExitStatus::Done),
            () = changed(&files, &seen, &mut changes) => {}
        }
    }
}

/// Runs once; the files that took part are added to those that are watched.
async fn once(job: &Job, files: &mut BTreeSet<PathBuf>) -> Result<usize, Failure> {
    let transformer = run::start(job).await?;
    files.extend(transformer.watched());
    let document = job.input.read()?;
    let transformed = run::transform(job, &transformer, &document).await?;
    run::tell(&transformed);
    if job.out.is_some() {
        run::deliver(&transformed.bytes, job.out.as_deref())?;
    }
    Ok(transformed.bytes.len())
}

type State = BTreeMap<PathBuf, Option<(SystemTime, u64)>>;

fn state(files: &BTreeSet<PathBuf>) -> State {
    let of = |path: &PathBuf| fs::metadata(path).ok().and_then(|found| Some((found.modified().ok()?, found.len())));
    files.iter().map(|path| (path.clone(), of(path))).collect()
}

/// Ends when a file is no longer as it was seen, and rests.
async fn changed(files: &BTreeSet<PathBuf>, seen: &State, changes: &mut mpsc::Receiver<()>) {
    loop {
        // Either way the files are looked at.
        let _ = tokio::time::timeout(LOOK, changes.recv()).await;
        let mut now = state(files);
        if now == *seen {
            continue;
        }
        loop {
            tokio::time::sleep(REST).await;
            let later = state(files);
            if std::mem::replace(&mut now, later.clone()) == later {
                return;
            }
        }
    }
}

/// The time of day, UTC.
fn clock() -> String {
    let now = Ticks::now().iso();
    now.get(11..19).unwrap_or(&now).to_owned()
}
