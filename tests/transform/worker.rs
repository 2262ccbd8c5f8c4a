//! The worker by itself, spoken to in frames.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use chancery::transform::{Death, Limits, WORKER_COMMAND};

use super::{SLOW, Sheet};

const PROGRAM: &str = env!("CARGO_BIN_EXE_chancery");

/// A worker spoken to by hand, in the frames that `src/transform/frame.rs` describes.
struct RawWorker(std::process::Child);

impl RawWorker {
    fn start(stylesheet: &Path) -> Self {
        let mut command = Command::new(PROGRAM);
        command.arg(WORKER_COMMAND);
        Self::start_as(&mut command, stylesheet, Some(std::process::id()))
    }

    /// Below a shell, which is then the parent.
    fn start_below_shell(stylesheet: &Path) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", "exec 3<&0; \"$0\" \"$1\" <&3 & wait", PROGRAM, WORKER_COMMAND]);
        Self::start_as(&mut command, stylesheet, None)
    }

    /// `parent` is the worker's parent; by default the process of `command`.
    fn start_as(command: &mut Command, stylesheet: &Path, parent: Option<u32>) -> Self {
        let mut worker = Self(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap());
        let parent = parent.unwrap_or(worker.0.id());
        let start = serde_json::json!({
            "stylesheet": {"file": stylesheet}, "schema": null, "parameters": {}, "parent": parent,
            "limits": Limits::default(),
        });
        worker.send(&start, b"");
        assert!(worker.receive().contains("ready"));
        worker
    }

    fn send(&mut self, head: &serde_json::Value, body: &[u8]) {
        let head = head.to_string();
        let mut frame = (head.len() as u32).to_le_bytes().to_vec();
        frame.extend((body.len() as u64).to_le_bytes());
        frame.extend(head.as_bytes());
        frame.extend(body);
        self.0.stdin.as_mut().unwrap().write_all(&frame).unwrap();
    }

    /// The head of the next answer.
    fn receive(&mut self) -> String {
        let answers = self.0.stdout.as_mut().unwrap();
        let mut lengths = [0; 12];
        answers.read_exact(&mut lengths).unwrap();
        let mut head = vec![0; u32::from_le_bytes(lengths[..4].try_into().unwrap()) as usize];
        answers.read_exact(&mut head).unwrap();
        String::from_utf8(head).unwrap()
    }

    fn end(mut self) -> std::process::ExitStatus {
        drop(self.0.stdin.take());
        self.0.wait().unwrap()
    }
}

#[test]
fn a_worker_ends_when_its_processor_time_is_used_up() {
    let sheet = Sheet::new(SLOW);
    let mut worker = RawWorker::start(&sheet.folder.path().join("sheet.xsl"));
    worker.send(&serde_json::json!({"task": "transform", "cpu_secs": 1}), b"<slow/>");
    assert_eq!(Death::from(worker.end()), Death::ProcessorTime);
}

#[test]
fn a_busy_worker_ends_when_its_parent_is_gone() {
    let sheet = Sheet::new(SLOW);
    let mut worker = RawWorker::start_below_shell(&sheet.folder.path().join("sheet.xsl"));
    worker.send(&serde_json::json!({"task": "transform", "cpu_secs": 60}), b"<slow/>");
    let began = Instant::now();
    worker.0.kill().unwrap();
    worker.0.wait().unwrap();
    // The end of its input reaches a busy worker late; the end of its output says that it is gone.
    assert_eq!(worker.0.stdout.as_mut().unwrap().read_to_end(&mut Vec::new()).unwrap(), 0);
    assert!(began.elapsed() < Duration::from_secs(30));
}

#[test]
fn a_worker_ends_with_its_input_and_refuses_what_is_no_frame() {
    let sheet = Sheet::new(SLOW);
    let path = sheet.folder.path().join("sheet.xsl");
    assert!(RawWorker::start(&path).end().success());

    let mut worker = RawWorker::start(&path);
    worker.send(&serde_json::json!({"task": "dance"}), b"<a/>");
    assert_eq!(worker.end().code(), Some(76));
}
