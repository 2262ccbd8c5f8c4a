//! How a command ends: the exit statuses, and the one error type that people see.
//!
//! Stages have errors of their own; a command turns the one that stops it into a [`Failure`], which
//! knows its exit status and a hint. Nothing here decides what is an error.

use std::error::Error;
use std::fmt::{self, Write as _};
use std::process::ExitCode;

/// What the exit status of every command says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ExitStatus {
    /// The command did what it was asked.
    Done = 0,
    /// The command worked and found something: what was asked about is unbalanced, waiting or not in order.
    Finding = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The configuration is missing or wrong.
    Configuration = 3,
    /// The staging database cannot be used.
    Staging = 4,
    /// The broker cannot be used.
    Broker = 5,
    /// The pickup share or a file system cannot be used.
    FileSystem = 6,
    /// A transform failed.
    Transform = 7,
    /// The command was interrupted, or stopped for any other reason.
    Interrupted = 8,
}

impl ExitStatus {
    /// Every status, in order of its number.
    pub const ALL: [Self; 9] = [
        Self::Done,
        Self::Finding,
        Self::Usage,
        Self::Configuration,
        Self::Staging,
        Self::Broker,
        Self::FileSystem,
        Self::Transform,
        Self::Interrupted,
    ];

    /// The number the shell sees.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// One word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Finding => "finding",
            Self::Usage => "usage",
            Self::Configuration => "configuration",
            Self::Staging => "staging",
            Self::Broker => "broker",
            Self::FileSystem => "file system",
            Self::Transform => "transform",
            Self::Interrupted => "interrupted",
        }
    }

    /// What happened.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Done => "The command did what it was asked",
            Self::Finding => {
                "The command worked and found something: what was asked about is unbalanced, waiting or not in order"
            }
            Self::Usage => "The command line is wrong",
            Self::Configuration => "The configuration is missing or wrong",
            Self::Staging => "The staging database cannot be reached, or holds what Chancery did not write",
            Self::Broker => "The broker cannot be reached, or lacks the queue",
            Self::FileSystem => "The pickup share, the vault or another file system cannot be read or written",
            Self::Transform => "A stylesheet or schema cannot be loaded, or a transform failed",
            Self::Interrupted => "The command was interrupted, or stopped for a reason not named here",
        }
    }

    /// What to do about it.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Done => "Nothing",
            Self::Finding => "Read the output; it names what was found",
            Self::Usage => "See `chancery help`",
            Self::Configuration => "Run `chancery config check` and do what it says",
            Self::Staging => "Start the database or mend the connection; nothing is lost meanwhile",
            Self::Broker => "Start the broker or mend the connection, then `chancery setup`; nothing is lost meanwhile",
            Self::FileSystem => "Make room, restore the rights, or mount the share again",
            Self::Transform => "Mend the stylesheet, then retry the batch",
            Self::Interrupted => "Run the command again; each step may be repeated",
        }
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status.code())
    }
}

/// The page `docs/exit-codes.md`.
pub fn exit_codes_page() -> String {
    let mut page = String::from(
        "<!-- Generated from src/errors.rs by `UPDATE=1 cargo test generated_files`; do not edit. -->\n\n\
         # Exit codes\n\n\
         Every command of Chancery ends with one of these.\n\n\
         | code | word | what happened | what to do |\n|---|---|---|---|\n",
    );
    for status in ExitStatus::ALL {
        let _ =
            writeln!(page, "| {} | {} | {} | {} |", status.code(), status.word(), status.meaning(), status.advice());
    }
    page
}

/// Why a command ended early, for the person who ran it.
#[derive(Debug)]
pub struct Failure {
    /// Decides the exit status.
    pub status: ExitStatus,
    /// What could not be done; lower-case, no full stop.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// What lies beneath.
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

impl Failure {
    /// A failure without hint or cause.
    pub fn new(status: ExitStatus, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), hint: None, source: None }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds what lies beneath.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The text for standard error: the message, each cause once, the hint.
    pub fn report(&self) -> String {
        let mut text = format!("error: {}\n", self.message);
        let mut said = self.message.clone();
        let mut cause: Option<&(dyn Error + 'static)> = self.source();
        while let Some(error) = cause {
            let message = error.to_string();
            // Some drivers repeat their cause in their own message.
            if !said.contains(&message) {
                let _ = writeln!(text, "caused by: {message}");
                said = message;
            }
            cause = error.source();
        }
        if let Some(hint) = &self.hint {
            let _ = writeln!(text, "hint: {hint}");
        }
        text
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[test]
    fn numbers_are_in_order_and_words_are_unique() {
        for (index, status) in ExitStatus::ALL.iter().enumerate() {
            assert_eq!(usize::from(status.code()), index);
            assert!(ExitStatus::ALL[..index].iter().all(|other| other.word() != status.word()));
        }
    }

    #[test]
    fn a_report_names_message_causes_and_hint() {
        let denied = io::Error::new(io::ErrorKind::PermissionDenied, "permission denied");
        let failure = Failure::new(ExitStatus::FileSystem, "cannot publish to the pickup share")
            .caused_by(crate::support::durable::PathError {
                action: "open",
                path: "/srv/pickup".into(),
                source: denied,
            })
            .hint("give the service's user the right to write there");
        assert_eq!(
            failure.report(),
            "error: cannot publish to the pickup share\n\
             caused by: cannot open /srv/pickup\n\
             caused by: permission denied\n\
             hint: give the service's user the right to write there\n"
        );
    }

    #[test]
    fn a_cause_that_its_parent_already_tells_is_not_repeated() {
        let failure = Failure::new(ExitStatus::Staging, "no answer: timed out")
            .caused_by(io::Error::new(io::ErrorKind::TimedOut, "timed out"));
        assert_eq!(failure.report(), "error: no answer: timed out\n");
    }
}
