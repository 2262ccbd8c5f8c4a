//! Stands in for the command line: knows the transform worker only.

use std::process::ExitCode;

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some(chancery::transform::WORKER_COMMAND) => chancery::transform::worker_main(),
        _ => ExitCode::from(2),
    }
}
