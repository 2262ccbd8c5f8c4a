//! The record of calls on watched paths.

use std::io;
use std::path::{Path, PathBuf};

use super::unescape;

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It succeeded.
    Done,
    /// The file system refused it, with this errno.
    Failed(String),
    /// A rule made it fail with this errno; it was never made.
    Injected(String),
    /// A rule said that it was done; it was never made.
    Skipped,
}

/// A call on a watched path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Which process made it, counted from 0 in the order in which they made their first call. Right where one process ended before the
    /// next began.
    pub run: usize,
    /// `open`, `create`, `write`, `truncate`, `fsync`, `sync-range`, `rename`, `link`, `unlink`, `mkdir`, `readdir` or `stat`.
    pub op: String,
    /// On what.
    pub path: PathBuf,
    /// The new name, of a rename or a link.
    pub other: Option<PathBuf>,
    /// How it ended.
    pub outcome: Outcome,
}

impl Call {
    /// Whether it is such a call, on this path or to this new name, and succeeded.
    pub fn did(&self, op: &str, path: &Path) -> bool {
        self.op == op && self.other.as_deref().unwrap_or(&self.path) == path && self.outcome == Outcome::Done
    }
}

/// Reads a trace. A last line without an end is one that is being written, and is left out.
pub(super) fn parse(bytes: &[u8]) -> io::Result<Vec<Call>> {
    let mut calls = Vec::new();
    let mut runs = 0_usize;
    let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
    for (at, line) in bytes[..whole].split(|&byte| byte == b'\n').enumerate().filter(|(_, line)| !line.is_empty()) {
        let fields: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
        let (sequence, op, path, other, result) = match fields[..] {
            [sequence, op, path, result] => (sequence, op, path, None, result),
            [sequence, op, path, other, result] => (sequence, op, path, Some(other), result),
            _ => return Err(damaged(at, line)),
        };
        // Each process counts from 1.
        runs += usize::from(sequence == b"1");
        let word = |field: &[u8]| String::from_utf8(field.to_vec()).map_err(|_| damaged(at, line));
        let outcome = match (word(result)?.as_str(), result) {
            ("ok", _) => Outcome::Done,
            ("ok!", _) => Outcome::Skipped,
            (_, [errno @ .., b'!']) => Outcome::Injected(word(errno)?),
            (errno, _) => Outcome::Failed(errno.to_owned()),
        };
        calls.push(Call {
            run: runs.saturating_sub(1),
            op: word(op)?,
            path: unescape(path),
            other: other.map(unescape),
            outcome,
        });
    }
    Ok(calls)
}

fn damaged(at: usize, line: &[u8]) -> io::Error {
    io::Error::other(format!("line {} of the trace is no call: {}", at + 1, String::from_utf8_lossy(line)))
}
