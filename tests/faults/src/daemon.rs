//! `chancery run` under a supervisor that starts it again whenever it ends, as a service manager does.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::checker::{Charge, Finding};
use crate::error::{At as _, Outcome, Trouble};

/// The pause before it is started again. Service managers wait longer; waiting tells nothing about the product.
const RESTART_PAUSE: Duration = Duration::from_millis(50);
const TURN: Duration = Duration::from_millis(5);
/// What the product logs once its AMQP session consumes.
const CONSUMING: &str = "taking in";
/// Exit codes after which the product's own page says to start it again: staging, broker, file system, interrupted.
const WORTH_ANOTHER_START: [i32; 5] = [0, 4, 5, 6, 8];
/// How long a stop by SIGTERM may take.
const STOP_TIME_MAX: Duration = Duration::from_secs(60);

/// How the daemon's command is made; the argument is the number of the start.
pub type MakeCommand = Box<dyn Fn(usize) -> Command + Send>;

/// One start of the process.
#[derive(Debug, Clone, Copy)]
pub struct Start {
    /// When it was started.
    pub at: Instant,
    /// When its AMQP session consumed.
    pub consuming: Option<Instant>,
    /// When it ended.
    pub ended: Option<Instant>,
}

#[derive(Debug, Default)]
struct State {
    pid: Option<Pid>,
    starts: Vec<Start>,
    /// Set for the next start only.
    environment: Vec<(String, String)>,
    /// While set, the process is not started again.
    held: bool,
    stopping: bool,
    findings: Vec<Finding>,
}

/// A supervised process.
#[derive(Debug)]
pub struct Daemon {
    state: Arc<Mutex<State>>,
    thread: Option<JoinHandle<()>>,
}

impl Daemon {
    /// Starts it; each start logs into a file of its own below `logs`.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn start(name: &str, logs: &Path, command: MakeCommand) -> Outcome<Self> {
        fs::create_dir_all(logs).at("create", logs)?;
        let state = Arc::new(Mutex::new(State::default()));
        let supervisor =
            Supervisor { name: name.to_owned(), logs: logs.to_owned(), command, state: Arc::clone(&state) };
        let thread = std::thread::Builder::new()
            .name(format!("supervisor-{name}"))
            .spawn(move || supervisor.run())
            .map_err(|error| Trouble::Said(format!("no thread for the supervisor: {error}")))?;
        Ok(Self { state, thread: Some(thread) })
    }

    /// Sends a signal, if a process is there.
    pub fn signal(&self, signal: Signal) -> bool {
        // Under the lock: the supervisor cannot reap the process and give its number away meanwhile.
        let state = lock(&self.state);
        state.pid.is_some_and(|pid| kill_process(pid, signal).is_ok())
    }

    /// The process.
    pub fn pid(&self) -> Option<Pid> {
        lock(&self.state).pid
    }

    /// Adds a variable to the environment of the next start alone.
    pub fn next_environment(&self, name: &str, value: &str) {
        lock(&self.state).environment.push((name.into(), value.into()));
    }

    /// Whether the process is to stay down when it ends.
    pub fn hold(&self, held: bool) {
        lock(&self.state).held = held;
    }

    /// Every start so far.
    pub fn starts(&self) -> Vec<Start> {
        lock(&self.state).starts.clone()
    }

    /// SIGTERM, and no other start; gives the starts, and what was wrong with how it ended.
    pub fn stop(mut self) -> (Vec<Start>, Vec<Finding>) {
        lock(&self.state).stopping = true;
        self.signal(Signal::CONT);
        self.signal(Signal::TERM);
        let begun = Instant::now();
        if let Some(thread) = self.thread.take() {
            while !thread.is_finished() {
                if begun.elapsed() > STOP_TIME_MAX && self.signal(Signal::KILL) {
                    let detail = format!("it did not stop within {} s of SIGTERM", STOP_TIME_MAX.as_secs());
                    lock(&self.state).findings.push(Finding { charge: Charge::Misbehaved, detail });
                }
                std::thread::sleep(TURN);
            }
        }
        let state = lock(&self.state);
        (state.starts.clone(), state.findings.clone())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        lock(&self.state).stopping = true;
        self.signal(Signal::KILL);
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Supervisor {
    name: String,
    logs: PathBuf,
    command: MakeCommand,
    state: Arc<Mutex<State>>,
}

impl Supervisor {
    fn run(self) {
        for number in 1.. {
            loop {
                let state = lock(&self.state);
                if state.stopping {
                    return;
                }
                if !state.held {
                    break;
                }
                drop(state);
                std::thread::sleep(TURN);
            }
            let log = self.logs.join(format!("{}-{number:03}.log", self.name));
            match self.spawn(number, &log) {
                Ok(child) => self.watch(child, &log),
                Err(error) => self.charge(format!("{} could not be started: {error}", self.name)),
            }
            std::thread::sleep(RESTART_PAUSE);
        }
    }

    fn spawn(&self, number: usize, log: &Path) -> Outcome<Child> {
        let stderr = fs::File::create(log).at("create", log)?;
        let mut command = (self.command)(number);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
        let mut state = lock(&self.state);
        command.envs(std::mem::take(&mut state.environment));
        let child = command.spawn().at("start", Path::new(command.get_program()))?;
        state.pid = Some(Pid::from_child(&child));
        state.starts.push(Start { at: Instant::now(), consuming: None, ended: None });
        Ok(child)
    }

    /// Follows one process to its end.
    fn watch(&self, mut child: Child, log: &Path) {
        let mut consuming = false;
        loop {
            if !consuming && fs::read_to_string(log).is_ok_and(|said| said.contains(CONSUMING)) {
                consuming = true;
                if let Some(start) = lock(&self.state).starts.last_mut() {
                    start.consuming = Some(Instant::now());
                }
            }
            let mut state = lock(&self.state);
            match child.try_wait() {
                Ok(None) => {}
                ended => {
                    state.pid = None;
                    if let Some(start) = state.starts.last_mut() {
                        start.ended = Some(Instant::now());
                    }
                    drop(state);
                    if let Ok(Some(status)) = ended {
                        self.judge_end(status, log);
                    }
                    return;
                }
            }
            drop(state);
            std::thread::sleep(TURN);
        }
    }

    fn judge_end(&self, status: ExitStatus, log: &Path) {
        // SIGTERM as a signal: it came before the process had begun to listen for it.
        let killed = matches!(status.signal(), Some(9 | 15));
        let worth = status.code().is_some_and(|code| WORTH_ANOTHER_START.contains(&code));
        if !killed && !worth {
            let log = log.file_name().unwrap_or_default().to_string_lossy();
            self.charge(format!("{} ended with {status} (see {log})", self.name));
        }
    }

    fn charge(&self, detail: String) {
        lock(&self.state).findings.push(Finding { charge: Charge::Misbehaved, detail });
    }
}

/// The processes that a process has started, with the words of their command lines.
pub(crate) fn children(pid: Pid) -> Vec<(Pid, String)> {
    let tasks = fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero())).into_iter().flatten().flatten();
    let listed = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    let numbers: Vec<i32> = listed
        .flat_map(|text| text.split_whitespace().filter_map(|word| word.parse().ok()).collect::<Vec<_>>())
        .collect();
    let named = numbers.into_iter().filter_map(|number| {
        let words = fs::read(format!("/proc/{number}/cmdline")).ok()?;
        Some((Pid::from_raw(number)?, String::from_utf8_lossy(&words).replace('\0', " ")))
    });
    named.collect()
}
