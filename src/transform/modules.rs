//! The files of one stylesheet or schema: which may be read, and what was read.
//!
//! Everything is read while compiling, from the folder of the main file or from the program itself;
//! afterwards the set is sealed and serves only what it already holds. A path that leads out of the
//! folder, by `..` or by a symbolic link, is refused.

use std::collections::BTreeMap;
use std::ffi::{CString, OsStr};
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::lint::document_names;

/// Most files one stylesheet may consist of.
const FILES_MAX: usize = 256;
/// Largest file a stylesheet may consist of, in bytes.
const FILE_SIZE_MAX: u64 = 16 << 20;

/// A file that was read, and the SHA-256 of its bytes, hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ReadFile {
    pub(super) path: PathBuf,
    pub(super) sha256: String,
}

/// Why a file is not given to a stylesheet or schema, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refused {
    /// Another scheme than `file`.
    Address(String),
    /// Relative to a document that has no folder.
    Relative(String),
    /// It lies outside of the folder, or a link leads there.
    Outside(PathBuf, PathBuf),
    /// The program's own stylesheets have no folder.
    Carried(PathBuf),
    /// It cannot be read.
    Unreadable(PathBuf, String),
    /// It was not read with the stylesheet.
    Sealed(PathBuf),
    /// There are too many.
    TooMany(PathBuf),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(uri) => write!(
                f,
                "loading {uri} is refused; a transform has no network: copy the file into the stylesheet's folder and name it there"
            ),
            Self::Relative(uri) => write!(
                f,
                "loading {uri} is refused; only files are there that the stylesheet names in so many words, such as \
                 document('codes.xml'), and a name out of the document belongs to no folder"
            ),
            Self::Outside(path, folder) => write!(
                f,
                "loading {} is refused; a transform reads nothing outside of its own folder {}: copy the file there",
                path.display(),
                folder.display()
            ),
            Self::Carried(path) => {
                write!(f, "loading {} is refused; a shipped transform has no folder of its own", path.display())
            }
            Self::Unreadable(path, reason) => write!(f, "loading {} is refused; {reason}", path.display()),
            Self::Sealed(path) => write!(
                f,
                "loading {} is refused; only files are there that the stylesheet names in so many words, such as \
                 document('codes.xml'): a name that is worked out while the transform runs comes too late",
                path.display()
            ),
            Self::TooMany(path) => {
                write!(f, "loading {} is refused; a transform may consist of {FILES_MAX} files", path.display())
            }
        }
    }
}

/// The main file and all that it includes.
#[derive(Debug)]
pub(super) struct Modules {
    main: PathBuf,
    /// The folder files may come from; `None` for what the program carries.
    folder: Option<PathBuf>,
    sealed: bool,
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
        Ok(Self { main, folder, sealed: false, files })
    }

    /// Files that the program carries; the first is the main one.
    pub(super) fn carried(files: &[(&str, &[u8])]) -> Self {
        let path = |name: &str| Path::new("/").join(name);
        Self {
            main: files.first().map(|(name, _)| path(name)).unwrap_or_default(),
            folder: None,
            sealed: false,
            files: files.iter().map(|&(name, bytes)| (path(name), Arc::from(bytes))).collect(),
        }
    }

    /// The main file: its address as a URI reference, and its bytes.
    pub(super) fn main(&self) -> (CString, Arc<[u8]>) {
        let bytes = self.files.get(&self.main).cloned().unwrap_or_default();
        // A path holds no NUL, and encoding adds none.
        (CString::new(to_uri(&self.main)).unwrap_or_default(), bytes)
    }

    /// The bytes of a file.
    ///
    /// # Errors
    /// Why it may not be read, or cannot.
    pub(super) fn fetch(&mut self, uri: &str) -> Result<Arc<[u8]>, Refused> {
        let path = from_uri(uri).ok_or_else(|| match uri.contains(':') {
            true => Refused::Address(uri.to_owned()),
            false => Refused::Relative(uri.to_owned()),
        })?;
        if let Some(bytes) = self.files.get(&path) {
            return Ok(Arc::clone(bytes));
        }
        let Some(folder) = &self.folder else { return Err(Refused::Carried(path)) };
        let outside = |path: &Path| Refused::Outside(path.to_owned(), folder.clone());
        // Told by its name first: whether a file exists elsewhere is nobody's business.
        if !normalised(&path).starts_with(folder) {
            return Err(outside(&path));
        }
        let real = path.canonicalize().map_err(|error| Refused::Unreadable(path.clone(), error.to_string()))?;
        if let Some(bytes) = self.files.get(&real) {
            return Ok(Arc::clone(bytes));
        }
        if !real.starts_with(folder) {
            return Err(outside(&path));
        }
        if self.sealed {
            return Err(Refused::Sealed(path));
        }
        if self.files.len() >= FILES_MAX {
            return Err(Refused::TooMany(path));
        }
        let bytes = read(&real).map_err(|error| Refused::Unreadable(path, error.to_string()))?;
        self.files.insert(real, Arc::clone(&bytes));
        Ok(bytes)
    }

    /// Reads the files that the stylesheets read so far name in `document('…')`. One that may not be read is left to the
    /// transform, which may never ask for it.
    pub(super) fn fetch_named_documents(&mut self) {
        let stylesheets: Vec<(PathBuf, Arc<[u8]>)> =
            self.files.iter().map(|(path, bytes)| (path.clone(), Arc::clone(bytes))).collect();
        for (path, bytes) in stylesheets {
            let Ok(text) = std::str::from_utf8(&bytes) else { continue };
            let folder = path.parent().map(to_uri).unwrap_or_default();
            for name in document_names(text) {
                let plain = name.split('#').next().unwrap_or_default();
                if !plain.is_empty() && !plain.starts_with('/') && !plain.contains(':') {
                    // Refused files are told when they are asked for.
                    let _ = self.fetch(&format!("{folder}/{plain}"));
                }
            }
        }
    }

    /// From now on nothing more is read.
    pub(super) fn seal(&mut self) {
        self.sealed = true;
    }

    /// What was read from disk, the main file first.
    pub(super) fn read_files(&self) -> Vec<ReadFile> {
        if self.folder.is_none() {
            return Vec::new();
        }
        let mut files: Vec<ReadFile> = self
            .files
            .iter()
            .map(|(path, bytes)| ReadFile { path: path.clone(), sha256: hex::encode(Sha256::digest(bytes)) })
            .collect();
        files.sort_by_key(|file| file.path != self.main);
        files
    }

    /// The files as text, the main one first; what is no UTF-8 is passed over.
    pub(super) fn texts(&self) -> Vec<(PathBuf, String)> {
        let mut texts: Vec<(PathBuf, String)> = self
            .files
            .iter()
            .filter_map(|(path, bytes)| Some((path.clone(), std::str::from_utf8(bytes).ok()?.to_owned())))
            .collect();
        texts.sort_by_key(|(path, _)| *path != self.main);
        texts
    }

    /// The name of one of the files, counted from the main file's folder.
    pub(super) fn label(&self, path: &Path) -> String {
        let folder = self.main.parent().unwrap_or(&self.main);
        path.strip_prefix(folder).unwrap_or(path).display().to_string()
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

impl ReadFile {
    /// Whether the file still holds what was read.
    pub(super) fn is_current(&self) -> bool {
        read(&self.path).is_ok_and(|bytes| hex::encode(Sha256::digest(&bytes)) == self.sha256)
    }
}

/// The path without `.` and `..`, as its letters say; links are not followed.
fn normalised(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for step in path.components() {
        match step {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            step => plain.push(step),
        }
    }
    plain
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
pub(super) fn to_uri(path: &Path) -> String {
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
        assert_eq!(modules.fetch(&uri("part.xsl")).as_deref(), Ok(b"part.xsl".as_slice()));
        for outside in [uri("../secret.xsl"), uri("link.xsl"), uri("../nothing"), "/etc/passwd".into()] {
            assert!(matches!(modules.fetch(&outside), Err(Refused::Outside(..))), "{outside}");
        }
        assert!(matches!(modules.fetch(&uri("none.xsl")), Err(Refused::Unreadable(..))));
        assert!(matches!(modules.fetch("http://127.0.0.1/x"), Err(Refused::Address(_))));
        modules.seal();
        assert!(modules.fetch(&uri("part.xsl")).is_ok());
        assert!(matches!(modules.fetch(&uri("late.xsl")), Err(Refused::Sealed(_))));
    }
}
