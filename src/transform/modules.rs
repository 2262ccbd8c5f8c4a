//! The files of one stylesheet or schema: which may be read, and what was read.
//!
//! Everything is read while compiling, from the folder of the main file or from the program itself;
//! afterwards the set is sealed and serves only what it already holds. A path that leads out of the
//! folder, by `..` or by a symbolic link, is refused.

use std::collections::BTreeMap;
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

/// Most files one stylesheet may consist of.
const FILES_MAX: usize = 256;
/// Largest file a stylesheet may consist of, in bytes.
const FILE_SIZE_MAX: u64 = 16 << 20;

/// The main file and all that it includes.
#[derive(Debug)]
pub(super) struct Modules {
    main: PathBuf,
    /// The folder files may come from; `None` once sealed, and for what the program carries.
    folder: Option<PathBuf>,
    files: BTreeMap<PathBuf, Arc<[u8]>>,
}

impl Modules {
    /// Reads the main file; others are read from its folder when they are asked for.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let main = path.canonicalize()?;
        let folder = main.parent().map(Path::to_owned);
        let files = BTreeMap::from([(main.clone(), read(&main)?)]);
        Ok(Self { main, folder, files })
    }

    /// Files that the program carries; the first is the main one.
    pub(super) fn carried(files: &[(&str, &[u8])]) -> Self {
        let path = |name: &str| Path::new("/").join(name);
        Self {
            main: files.first().map(|(name, _)| path(name)).unwrap_or_default(),
            folder: None,
            files: files.iter().map(|&(name, bytes)| (path(name), Arc::from(bytes))).collect(),
        }
    }

    /// The main file: its address as a URI reference, and its bytes.
    pub(super) fn main(&self) -> (CString, Arc<[u8]>) {
        let bytes = self.files.get(&self.main).cloned().unwrap_or_default();
        // A path holds no NUL, and encoding adds none.
        (CString::new(to_uri(&self.main)).unwrap_or_default(), bytes)
    }

    /// The bytes of a file, if it may be read.
    pub(super) fn fetch(&mut self, uri: &str) -> Option<Arc<[u8]>> {
        let path = from_uri(uri)?;
        if let Some(bytes) = self.files.get(&path) {
            return Some(Arc::clone(bytes));
        }
        let folder = self.folder.as_ref()?;
        let path = path.canonicalize().ok().filter(|path| path.starts_with(folder))?;
        if self.files.len() >= FILES_MAX {
            return None;
        }
        let bytes = read(&path).ok()?;
        self.files.insert(path, Arc::clone(&bytes));
        Some(bytes)
    }

    /// From now on nothing more is read.
    pub(super) fn seal(&mut self) {
        self.folder = None;
    }

    /// Hashes the names and bytes of all files; names count from the main file's folder, wherever that lies.
    pub(super) fn digest_into(&self, hasher: &mut Sha256) {
        let folder = self.main.parent().unwrap_or(&self.main);
        for (path, bytes) in &self.files {
            let name = path.strip_prefix(folder).unwrap_or(path);
            for part in [name.as_os_str().as_bytes(), bytes] {
                hasher.update((part.len() as u64).to_le_bytes());
                hasher.update(part);
            }
        }
    }
}

fn read(path: &Path) -> io::Result<Arc<[u8]>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_SIZE_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_SIZE_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {FILE_SIZE_MAX} bytes")));
    }
    Ok(bytes.into())
}

/// An absolute path as a URI reference: everything but plain characters is percent-encoded.
fn to_uri(path: &Path) -> String {
    let mut uri = String::new();
    for &byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    uri
}

/// The absolute path that a URI reference names; `None` for any other scheme or form.
pub(super) fn from_uri(uri: &str) -> Option<PathBuf> {
    let encoded = uri.strip_prefix("file://").unwrap_or(uri);
    if !encoded.starts_with('/') || encoded.contains(['?', '#']) {
        return None;
    }
    let mut path = Vec::with_capacity(encoded.len());
    let mut bytes = encoded.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            path.push(byte);
            continue;
        }
        let digits = [bytes.next()?, bytes.next()?];
        path.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
    }
    (!path.contains(&0)).then(|| PathBuf::from(std::ffi::OsString::from_vec(path)))
}

/// The name of a file for people.
pub(super) fn file_name(uri: &str) -> Option<String> {
    let path = from_uri(uri)?;
    path.file_name().map(OsStr::to_string_lossy).map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test should panic")]
    use super::*;

    #[test]
    fn addresses_return_to_the_path_they_came_from() {
        for name in ["/plain/a.xsl", "/with space/ä%20#?.xsl", "/a'b\"c/d&e.xsl"] {
            let path = Path::new(name);
            assert_eq!(from_uri(&to_uri(path)).as_deref(), Some(path));
        }
        for foreign in ["http://example.org/a.xsl", "relative.xsl", "/a?b", "/a%0", "/a%00b", ""] {
            assert_eq!(from_uri(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn only_the_own_folder_is_read_and_nothing_after_sealing() {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("transform");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(outer.path().join("secret.xsl"), "secret").unwrap();
        for name in ["main.xsl", "part.xsl", "late.xsl"] {
            std::fs::write(folder.join(name), name).unwrap();
        }
        std::os::unix::fs::symlink(outer.path().join("secret.xsl"), folder.join("link.xsl")).unwrap();

        let mut modules = Modules::open(&folder.join("main.xsl")).unwrap();
        let uri = |name: &str| to_uri(&folder.canonicalize().unwrap().join(name));
        assert_eq!(modules.fetch(&uri("part.xsl")).as_deref(), Some(b"part.xsl".as_slice()));
        assert!(modules.fetch(&uri("../secret.xsl")).is_none());
        assert!(modules.fetch(&uri("link.xsl")).is_none());
        assert!(modules.fetch("/etc/passwd").is_none());
        modules.seal();
        assert!(modules.fetch(&uri("part.xsl")).is_some());
        assert!(modules.fetch(&uri("late.xsl")).is_none());
    }
}
