//! Rules: which calls go wrong, and how.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::escape;

/// Calls that a rule may meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// Opening a file that must be there.
    Open,
    /// Opening a file that is made if it is missing; making a directory or a link.
    Create,
    /// Reading from an open file.
    Read,
    /// Writing to an open file, or changing its length.
    Write,
    /// Syncing a file or a directory.
    Fsync,
    /// Renaming; both names are compared.
    Rename,
    /// Removing a file or a directory.
    Unlink,
    /// Opening a directory for listing, and each step of it.
    Readdir,
    /// Asking for a file's size, kind or rights.
    Stat,
    /// Create, write, fsync, rename and unlink.
    Change,
    /// All of them.
    Any,
}

impl Op {
    fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Create => "create",
            Self::Read => "read",
            Self::Write => "write",
            Self::Fsync => "fsync",
            Self::Rename => "rename",
            Self::Unlink => "unlink",
            Self::Readdir => "readdir",
            Self::Stat => "stat",
            Self::Change => "change",
            Self::Any => "*",
        }
    }
}

/// Errors that a call can be made to fail with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Errno {
    /// `EIO`
    Io,
    /// `ENOSPC`
    NoSpace,
    /// `EROFS`
    ReadOnly,
    /// `ESTALE`
    Stale,
    /// `EACCES`
    Access,
}

impl Errno {
    /// Its name in C, as the trace gives it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Io => "EIO",
            Self::NoSpace => "ENOSPC",
            Self::ReadOnly => "EROFS",
            Self::Stale => "ESTALE",
            Self::Access => "EACCES",
        }
    }
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It is not made and fails.
    Fail(Errno),
    /// It is made later.
    Delay(Duration),
    /// It is made once the rule is gone.
    Hang,
    /// The process ends before it, as by SIGKILL.
    Kill,
    /// The process ends after it, as by SIGKILL.
    KillAfter,
    /// It is not made, and the process is told that it was: as if the code lacked it. For [`Op::Fsync`] alone.
    Skip,
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    op: Op,
    prefix: PathBuf,
    action: Action,
    after: u64,
    times: Option<u64>,
    every: u64,
}

impl Rule {
    /// Each such call on a path that begins with `prefix` (byte by byte: `/a/b` is a prefix of `/a/bc`).
    pub fn new(op: Op, prefix: impl AsRef<Path>, action: Action) -> Self {
        Self { op, prefix: prefix.as_ref().to_owned(), action, after: 0, times: None, every: 1 }
    }

    /// Lets the first `calls` pass, counted in each process.
    #[must_use]
    pub fn after(mut self, calls: u64) -> Self {
        self.after = calls;
        self
    }

    /// Hits so many calls at most, counted in each process.
    #[must_use]
    pub fn times(mut self, calls: u64) -> Self {
        self.times = Some(calls);
        self
    }

    /// Hits only each `calls`-th. Zero counts as one.
    #[must_use]
    pub fn every(mut self, calls: u64) -> Self {
        self.every = calls.max(1);
        self
    }

    pub(super) fn line(&self) -> Vec<u8> {
        let mut line = format!("{} ", self.op.word()).into_bytes();
        line.extend(escape(&self.prefix));
        let action = match self.action {
            Action::Fail(errno) => errno.name().to_owned(),
            Action::Delay(span) => format!("delay={}", span.as_millis()),
            Action::Hang => "hang".to_owned(),
            Action::Kill => "kill".to_owned(),
            Action::KillAfter => "kill-after".to_owned(),
            Action::Skip => "skip".to_owned(),
        };
        let times = self.times.map(|times| format!(" times={times}")).unwrap_or_default();
        line.extend(format!(" {action} after={}{times} every={}\n", self.after, self.every).into_bytes());
        line
    }
}
