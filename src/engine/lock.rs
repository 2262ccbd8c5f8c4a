//! One working process per home directory.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use super::EngineError;
use crate::support::durable::{self, WithPath};
use crate::support::step::{Commit, Step, reached};

/// Held as long as the process works; the kernel frees it when the process ends, however it ends.
#[derive(Debug)]
pub(super) struct InstanceLock {
    _file: File,
    instance: String,
}

impl InstanceLock {
    /// Takes the lock of a state directory, creating the directory if needed.
    pub(super) fn take(dir: &Path) -> Result<Self, EngineError> {
        durable::create_dir(dir)?;
        let path = dir.join("instance.lock");
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).at("open", &path)?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            let mut holder = String::new();
            // The lock is what counts; without the id the message is only less helpful.
            let _ = file.read_to_string(&mut holder);
            return Err(EngineError::Locked { holder: holder.trim().to_owned(), directory: dir.display().to_string() });
        }
        file.set_len(0).at("write", &path)?;
        file.rewind().at("write", &path)?;
        writeln!(file, "{}", std::process::id()).at("write", &path)?;
        reached(Step::InstanceLocked);
        Ok(Self { _file: file, instance: instance(&dir.join("instance"))? })
    }

    /// The name of this home, the same after each start. Leases are held in this name: the process that
    /// held them before is gone for certain, because it would still hold the lock, so a restart need not wait
    /// for them to run out.
    pub(super) fn instance(&self) -> &str {
        &self.instance
    }
}

/// Reads the home's name, or gives it one.
fn instance(path: &Path) -> Result<String, EngineError> {
    match fs::read_to_string(path) {
        Ok(name) if !name.trim().is_empty() => return Ok(name.trim().to_owned()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error).at("read", path)?,
        _ => {}
    }
    let name = uuid::Uuid::new_v4().to_string();
    durable::write_whole(path, format!("{name}\n").as_bytes(), Commit::INSTANCE_NAMED)?;
    Ok(name)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed test should panic")]
mod tests {
    use super::*;

    #[test]
    fn a_second_instance_is_refused_until_the_first_ends() {
        let dir = tempfile::tempdir().unwrap();
        let first = InstanceLock::take(dir.path()).unwrap();
        let refused = InstanceLock::take(dir.path()).unwrap_err();
        assert!(refused.to_string().contains(&std::process::id().to_string()), "{refused}");
        let name = first.instance().to_owned();
        drop(first);
        assert_eq!(InstanceLock::take(dir.path()).unwrap().instance(), name, "a home keeps its name");
    }
}
