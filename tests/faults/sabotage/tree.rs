//! The copy of the project in which things are broken. The project itself is never touched.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::list::{Edit, Sabotage};

/// A copy of everything that git knows or would add.
pub(crate) struct Tree {
    dir: PathBuf,
}

/// Files that are broken until they are mended.
pub(crate) struct Broken {
    files: Vec<(PathBuf, String)>,
}

impl Tree {
    /// Brings the copy up to date. Files that are the same keep their time, so that little is built again.
    pub(crate) fn copy(from: &Path, to: &Path) -> Result<Self, String> {
        let listed = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(from)
            .output()
            .map_err(|error| format!("cannot run git to list the project's files: {error}"))?;
        if !listed.status.success() {
            return Err(format!("git ls-files: {}", String::from_utf8_lossy(&listed.stderr).trim()));
        }
        for name in listed.stdout.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
            let name = std::str::from_utf8(name).map_err(|_| "a file's name is no UTF-8".to_owned())?;
            copy_file(&from.join(name), &to.join(name)).map_err(|error| format!("cannot copy {name}: {error}"))?;
        }
        let dir = to.canonicalize().map_err(|error| format!("cannot use {}: {error}", to.display()))?;
        Ok(Self { dir })
    }

    /// Where it lies.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Makes every change of one sabotage.
    pub(crate) fn break_one(&self, sabotage: &Sabotage) -> Result<Broken, String> {
        let mut files = Vec::new();
        for edit in &sabotage.edits {
            let path = self.dir.join(&edit.file);
            let whole = fs::read_to_string(&path).map_err(|error| format!("cannot read {}: {error}", edit.file))?;
            write(&path, &broken_text(&whole, edit)?)?;
            files.push((path, whole));
        }
        Ok(Broken { files })
    }
}

impl Broken {
    /// Puts everything back, the last change first.
    pub(crate) fn mend(self) -> Result<(), String> {
        self.files.iter().rev().try_for_each(|(path, whole)| write(path, whole))
    }
}

/// The file's text with the passage replaced.
pub(crate) fn broken_text(whole: &str, edit: &Edit) -> Result<String, String> {
    match whole.matches(&edit.find).count() {
        1 => Ok(whole.replacen(&edit.find, &edit.replace, 1)),
        found => Err(format!(
            "the passage to break stands {found} times in {}, expected once; mend tests/faults/sabotage/list.toml:\n{}",
            edit.file, edit.find
        )),
    }
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    let bytes = match fs::read(from) {
        // Listed by git, but deleted in the working tree.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        bytes => bytes?,
    };
    if fs::read(to).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(to, bytes)?;
    fs::set_permissions(to, fs::metadata(from)?.permissions())
}
