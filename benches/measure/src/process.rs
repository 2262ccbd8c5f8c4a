//! Other programs: running them to their end, watching what they take, stopping them.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// How long a program that is told to stop may take.
const STOP_TIME_MAX: Duration = Duration::from_secs(60);

/// Runs a program that must succeed; gives back its standard output.
pub(crate) fn succeeded(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {command:?}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let last: Vec<&str> = said.lines().rev().take(5).collect();
        let last = last.into_iter().rev().collect::<Vec<_>>().join("\n");
        bail!("{} ended with {}: {last}", command.get_program().display(), output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("{command:?} wrote no UTF-8"))
}

/// A program that works until it is told to stop; killed when dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
}

/// How often it is looked at what a process takes.
const LOOK: Duration = Duration::from_millis(10);

/// What a process has taken so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Taken {
    /// Time on processors, user and system, in seconds, those of ended children included.
    pub(crate) seconds: f64,
    /// Largest resident memory in MiB.
    pub(crate) peak: f64,
}

impl Running {
    /// Starts it, its words going to a file.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let file = std::fs::File::create(log).with_context(|| format!("cannot create {}", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot run {command:?}"))?;
        Ok(Self { child })
    }

    /// Fails when it has ended by itself.
    pub(crate) fn check(&mut self, log: &Path) -> Result<()> {
        let Some(status) = self.child.try_wait()? else { return Ok(()) };
        let said = std::fs::read_to_string(log).unwrap_or_default();
        let end: Vec<&str> = said.lines().rev().take(5).collect();
        bail!("it ended with {status}: {}", end.into_iter().rev().collect::<Vec<_>>().join("\n"))
    }

    /// What it has taken so far.
    pub(crate) fn taken(&self) -> Result<Taken> {
        let of = |file: &str| {
            let path = format!("/proc/{}/{file}", self.child.id());
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))
        };
        let (stat, status) = (of("stat")?, of("status")?);
        // The name in brackets may hold anything; what follows it are numbers (proc_pid_stat(5)): utime, stime,
        // cutime and cstime are the 14th to 17th, the 12th to 15th after the name.
        let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
        let ticks: f64 = fields.iter().skip(11).take(4).filter_map(|field| field.parse::<f64>().ok()).sum();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.and_then(|line| line.trim().strip_suffix("kB")).and_then(|kib| kib.trim().parse::<f64>().ok());
        // USER_HZ is 100 on every Linux that Rust knows.
        Ok(Taken { seconds: ticks / 100.0, peak: peak.context("no VmHWM")? / 1024.0 })
    }

    /// The resident memory of the process and its children at this moment, in MiB. What they share is counted for each.
    pub(crate) fn memory_of_all(&self) -> f64 {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).into_iter().flatten().flatten();
        let lists = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
        let children: Vec<String> =
            lists.flat_map(|ids| ids.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect();
        let resident = |id: &String| {
            // One that has just ended takes nothing.
            let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
            line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()
        };
        children.iter().chain([&self.child.id().to_string()]).filter_map(resident).sum::<f64>() / 1024.0
    }

    /// Waits until it has ended by itself, and well; gives back what it took, but for the last moments.
    pub(crate) fn finish(mut self, log: &Path) -> Result<Taken> {
        let mut taken = Taken::default();
        loop {
            // What has ended has no memory to be told of.
            if let Ok(now) = self.taken() {
                taken = Taken { seconds: now.seconds, peak: taken.peak.max(now.peak) };
            }
            if self.child.try_wait()?.is_some_and(|status| status.success()) {
                return Ok(taken);
            }
            self.check(log)?;
            std::thread::sleep(LOOK);
        }
    }

    /// Tells it to stop and waits until it has.
    pub(crate) fn stop(mut self) -> Result<()> {
        succeeded(Command::new("kill").args(["-TERM", &self.child.id().to_string()]))?;
        let begun = Instant::now();
        while self.child.try_wait()?.is_none() {
            if begun.elapsed() > STOP_TIME_MAX {
                bail!("told to stop, it had not ended after {} s", STOP_TIME_MAX.as_secs());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended is not killed, and nobody waits for the answer.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
