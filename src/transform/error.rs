//! Why there is no output, and whether trying again helps.

use std::fmt;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Duration;

use super::diagnostic::Diagnostic;

/// Exit code of a worker that ran out of memory.
pub(super) const EXIT_EXHAUSTED: u8 = 77;
/// Exit code of a worker whose parent broke off in the middle of a frame.
pub(super) const EXIT_BROKEN_FRAME: u8 = 76;
/// Signal sent when a process has used up its processor time.
const SIGXCPU: i32 = 24;

/// Why a worker process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Death {
    /// Its memory limit.
    Memory,
    /// Its processor time limit.
    ProcessorTime,
    /// A signal: a crash, or somebody's `kill`.
    Signal(i32),
    /// It ended by itself, with this code.
    Exit(i32),
}

/// Why a document was not transformed, or a stylesheet cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransformError {
    /// The stylesheet, the schema or a parameter cannot be used.
    #[error("the transform of adapter {name} cannot be used: {}", first(diagnostics))]
    Unusable {
        /// The adapter.
        name: String,
        /// What is wrong, with file and line.
        diagnostics: Vec<Diagnostic>,
    },
    /// The files of the transform became others while a batch was being rendered.
    #[error(
        "the stylesheet or schema of adapter {name} changed while it was in use; the next attempt takes the new one"
    )]
    Changed {
        /// The adapter.
        name: String,
    },
    /// The document given to the stylesheet is not well-formed XML.
    #[error("the document is not well-formed: {}", first(diagnostics))]
    Input {
        /// What is wrong.
        diagnostics: Vec<Diagnostic>,
    },
    /// The stylesheet failed or stopped itself.
    #[error("the stylesheet failed: {}", first(diagnostics))]
    Failed {
        /// What went wrong, with file and line.
        diagnostics: Vec<Diagnostic>,
        /// What it said before.
        messages: Vec<String>,
    },
    /// The document does not follow the schema.
    #[error("the output does not follow its schema: {}", first(diagnostics))]
    Invalid {
        /// What is wrong, without quoting content.
        diagnostics: Vec<Diagnostic>,
    },
    /// The worker ended before it answered.
    #[error("the transform worker {death}")]
    WorkerDied {
        /// How it ended.
        death: Death,
    },
    /// The wall-clock limit passed; the worker was ended.
    #[error("the transform took longer than its limit of {} s", limit.as_secs_f64())]
    TimedOut {
        /// The limit.
        limit: Duration,
    },
    /// A worker cannot be started or spoken to.
    #[error("cannot {action} the transform worker")]
    Process {
        /// What was tried.
        action: &'static str,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

impl TransformError {
    /// Whether the same request may succeed later without anybody changing anything.
    pub fn retry_helps(&self) -> bool {
        match self {
            Self::WorkerDied { .. } | Self::TimedOut { .. } | Self::Process { .. } => true,
            Self::Unusable { .. }
            | Self::Changed { .. }
            | Self::Input { .. }
            | Self::Failed { .. }
            | Self::Invalid { .. } => false,
        }
    }

    /// Everything that was found wrong, with file and line.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        match self {
            Self::Unusable { diagnostics, .. }
            | Self::Input { diagnostics }
            | Self::Failed { diagnostics, .. }
            | Self::Invalid { diagnostics } => diagnostics,
            Self::Changed { .. } | Self::WorkerDied { .. } | Self::TimedOut { .. } | Self::Process { .. } => &[],
        }
    }
}

impl From<ExitStatus> for Death {
    fn from(status: ExitStatus) -> Self {
        match (status.signal(), status.code()) {
            (Some(SIGXCPU), _) => Self::ProcessorTime,
            (Some(signal), _) => Self::Signal(signal),
            (None, Some(code)) if code == i32::from(EXIT_EXHAUSTED) => Self::Memory,
            (None, code) => Self::Exit(code.unwrap_or(-1)),
        }
    }
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("reached its memory limit"),
            Self::ProcessorTime => f.write_str("reached its processor time limit"),
            Self::Signal(signal) => {
                let name = match signal {
                    6 => " (SIGABRT)",
                    7 => " (SIGBUS)",
                    8 => " (SIGFPE)",
                    9 => " (SIGKILL)",
                    11 => " (SIGSEGV)",
                    15 => " (SIGTERM)",
                    _ => "",
                };
                write!(f, "was ended by signal {signal}{name}")
            }
            Self::Exit(code) => write!(f, "ended with exit code {code}"),
        }
    }
}

/// The first diagnostic that names a place, or else the first, and how many there are besides.
fn first(diagnostics: &[Diagnostic]) -> String {
    let Some(first) = diagnostics.iter().find(|one| one.line.is_some()).or(diagnostics.first()) else {
        return "no reason was given".into();
    };
    match diagnostics.len() - 1 {
        0 => first.to_string(),
        others => format!("{first} (and {others} more)"),
    }
}
