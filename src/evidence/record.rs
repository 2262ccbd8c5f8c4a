//! Writing the evidence directory: what is recorded is put into files that only ever come to be, never change.
//!
//! Everything may be repeated after a crash with the same bytes. A file that is there and says something else is left as
//! it is and reported: evidence is never written over.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};

use super::head::Head;
use super::key::{PublicKey, SigningKey};
use super::layout::{
    HEADS, LISTS, LOG, SIGNATURE, SIGNERS, STAMP, SUM_LINE, SUMS, entry_path, head_path, list_path, sum_line,
};
use super::merkle::{Hash, Tree};
use super::stamp::Stamp;
use super::{NAMESPACE, SIGNER, entry};
use crate::model::Ticks;
use crate::support::durable::{self, PathError, WithPath as _};
use crate::support::step::{Commit, Step};

/// Why evidence cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] PathError),
    /// A file is there and is not what was recorded.
    #[error("{} is there and is not what was recorded", path.display())]
    Differs {
        /// The file.
        path: PathBuf,
    },
    /// Staging no longer has the whole of an event list that is not written.
    #[error("{} must have {size} bytes, and staging has {written} of them", path.display())]
    Short {
        /// The list.
        path: PathBuf,
        /// Bytes that its manifest names.
        size: u64,
        /// Bytes that staging gave.
        written: u64,
    },
    /// The directory holds less than was written.
    #[error("{} lists {found} entries, and {written} were written: this is another directory, or entries are gone", sums.display())]
    Behind {
        /// Its list of entries.
        sums: PathBuf,
        /// Whole lines in it.
        found: u64,
        /// What staging knows to be written.
        written: u64,
    },
    /// The list of entries cannot be read.
    #[error("{}: line {line}: expected a SHA-256, two spaces and the path of an entry", sums.display())]
    BadSums {
        /// The list.
        sums: PathBuf,
        /// The line, from 1.
        line: u64,
    },
}

impl RecordError {
    /// What to do about it.
    pub fn cure(&self) -> &'static str {
        match self {
            Self::Disk(_) => "make room there, or give the directory back; nothing is lost meanwhile",
            Self::Differs { .. } => {
                "find out who changed it (`chancery verify` names every place); move it away once that is known, and it is written again"
            }
            Self::Short { .. } | Self::Behind { .. } | Self::BadSums { .. } => {
                "let every process that shares the staging database share one evidence directory, or copy back the one that was written"
            }
        }
    }
}

/// The evidence directory, as far as it is written.
#[derive(Debug)]
pub struct Record {
    dir: PathBuf,
    tree: Tree,
    /// The size of the newest head that has a signature.
    headed: Option<u64>,
}

/// A key and from when on it signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// The key.
    pub key: PublicKey,
    /// When its entry was recorded.
    pub from: Ticks,
}

impl Record {
    /// Opens the directory, making it if nothing was written yet. `written`: how many entries staging knows to lie there.
    ///
    /// # Errors
    /// Every [`RecordError`] but [`RecordError::Differs`].
    pub fn open(dir: &Path, written: u64) -> Result<Self, RecordError> {
        let sums = dir.join(LOG).join(SUMS);
        let length = match fs::metadata(&sums) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error).at("look at", &sums).map_err(Into::into),
        };
        let found = length / SUM_LINE;
        if found < written {
            return Err(RecordError::Behind { sums, found, written });
        }
        for name in [LOG, LISTS, HEADS] {
            durable::create_dir(&dir.join(name))?;
        }
        let tree =
            if written == 0 { Tree::default() } else { read_sums(dir, written)?.iter().map(entry::log_leaf).collect() };
        let headed = newest_head(dir)?.map(|head| head.size);
        Ok(Self { dir: dir.to_owned(), tree, headed })
    }

    /// The size of the newest head that has a signature.
    pub fn headed(&self) -> Option<u64> {
        self.headed
    }

    /// How many entries are written and listed.
    pub fn size(&self) -> u64 {
        self.tree.size()
    }

    /// Writes the event list of the manifest in `entry`. `piece` gives its bytes piece by piece, `None` at the end.
    ///
    /// # Errors
    /// [`RecordError::Disk`], [`RecordError::Differs`], or what `piece` returns.
    pub fn list<E: From<RecordError> + From<PathError>>(
        &self,
        entry: u64,
        (size, sha256): (u64, &Hash),
        mut piece: impl FnMut(u32) -> Result<Option<Vec<u8>>, E>,
    ) -> Result<(), E> {
        let path = self.place(&list_path(entry))?;
        match durable::digest_file(&path) {
            Ok(found) if found == (size, *sha256) => return Ok(durable::confirm_names(parent(&path))?),
            Ok(_) => return Err(RecordError::Differs { path }.into()),
            Err(error) if error.source.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        durable::write_pieces(&path, Commit::LIST_WRITTEN, |file, temporary| {
            let (mut number, mut written) = (0, 0);
            while let Some(bytes) = piece(number)? {
                file.write_all(&bytes).at("write", temporary)?;
                written += bytes.len() as u64;
                number += 1;
            }
            if written == size { Ok(()) } else { Err(RecordError::Short { path: path.clone(), size, written }.into()) }
        })
    }

    /// Writes an entry, with its signature if it is to have one.
    ///
    /// # Errors
    /// [`RecordError::Disk`], [`RecordError::Differs`].
    pub fn entry(&self, number: u64, bytes: &[u8], key: Option<&SigningKey>) -> Result<(), RecordError> {
        let path = self.place(&entry_path(number))?;
        put(&path, bytes, Commit::ENTRY_WRITTEN)?;
        match key {
            Some(key) => sign(&path, bytes, key),
            None => Ok(()),
        }
    }

    /// Lists entries that are written, the ones that follow those listed already.
    ///
    /// # Errors
    /// [`RecordError::Disk`].
    pub fn listed(&mut self, digests: &[Hash]) -> Result<(), RecordError> {
        let from = self.size();
        let lines: String = (from..).zip(digests).map(|(entry, sha256)| sum_line(entry, sha256)).collect();
        let sums = self.dir.join(LOG).join(SUMS);
        durable::append_at(&sums, from * SUM_LINE, lines.as_bytes(), Step::EntriesListed)?;
        digests.iter().for_each(|sha256| self.tree.push(entry::log_leaf(sha256)));
        Ok(())
    }

    /// Writes the keys for `ssh-keygen -Y verify`, in their order, each valid until the next.
    ///
    /// # Errors
    /// [`RecordError::Disk`].
    pub fn signers(&self, signers: &[Signer]) -> Result<(), RecordError> {
        let text = signers_text(signers);
        let path = self.dir.join(SIGNERS);
        match fs::read(&path) {
            Ok(found) if found == text.as_bytes() => Ok(durable::confirm_names(&self.dir)?),
            _ => Ok(durable::write_whole(&path, text.as_bytes(), Commit::SIGNERS_WRITTEN)?),
        }
    }

    /// Writes and signs the head over all entries that are listed. `at`: when the last of them was recorded, so that
    /// whoever makes this head makes the same.
    ///
    /// # Errors
    /// [`RecordError::Disk`].
    pub fn head(&mut self, at: &str, key: &SigningKey) -> Result<(), RecordError> {
        let size = self.size();
        if self.headed == Some(size) {
            return Ok(());
        }
        self.forget_unsigned()?;
        let (root, key_name) = (self.tree.root(), key.public().fingerprint());
        let head = Head { size, root, previous: self.headed, at: at.to_owned(), key: key_name };
        let path = self.place(&head_path(size))?;
        put(&path, head.to_string().as_bytes(), Commit::HEAD_WRITTEN)?;
        sign(&path, head.to_string().as_bytes(), key)?;
        self.headed = Some(size);
        Ok(())
    }

    /// Deletes heads that an attempt left without a signature, or under a temporary name: nobody can have relied on them.
    fn forget_unsigned(&self) -> Result<(), RecordError> {
        for path in in_heads(&self.dir)? {
            let ending = path.extension().and_then(|ending| ending.to_str());
            if ending == Some("tmp") && !is_of_a_stamp(&path)
                || ending == Some("head") && !signature_path(&path).exists()
            {
                durable::remove(&path, Step::LeftoverRemoved)?;
            }
        }
        Ok(())
    }

    /// A path below the directory, whose own directory is there.
    fn place(&self, inside: &str) -> Result<PathBuf, PathError> {
        let path = self.dir.join(inside);
        durable::create_dir(parent(&path))?;
        Ok(path)
    }
}

/// The keys as `allowed_signers` has them.
pub(super) fn signers_text(signers: &[Signer]) -> String {
    let mut text = String::new();
    for (place, signer) in signers.iter().enumerate() {
        text += &format!("{SIGNER} valid-after=\"{}\"", second(signer.from));
        if let Some(next) = signers.get(place + 1) {
            // The end of the second: ssh-keygen counts no smaller.
            text += &format!(",valid-before=\"{}\"", second(after_a_second(next.from)));
        }
        text += &format!(",namespaces=\"{NAMESPACE},{}\" {}\n", super::ROTATION_NAMESPACE, signer.key.line());
    }
    text
}

/// The newest head in a directory that has a signature.
///
/// # Errors
/// When the directory cannot be listed; one that is not there holds none.
pub fn newest_head(dir: &Path) -> Result<Option<Head>, PathError> {
    Ok(newest_head_with_signature(dir)?.map(|(head, ..)| head))
}

/// As [`newest_head`], with the exact text of the head and its signature.
pub(super) fn newest_head_with_signature(dir: &Path) -> Result<Option<(Head, String, String)>, PathError> {
    let mut paths = in_heads(dir)?;
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "head") && signature_path(path).exists());
    // Names have at least nine digits; longer ones are larger.
    paths.sort_by_key(|path| (path.as_os_str().len(), path.clone()));
    let Some(path) = paths.pop() else { return Ok(None) };
    let text = fs::read_to_string(&path).at("read", &path)?;
    let signature = signature_path(&path);
    let signature = fs::read_to_string(&signature).at("read", &signature)?;
    Ok(Head::parse(&text).ok().map(|head| (head, text, signature)))
}

/// What is to be stamped of a head of `size` entries: the SHA-256 of its bytes; `None` if it has its time stamp.
///
/// # Errors
/// When the head cannot be read.
pub fn unstamped(dir: &Path, size: u64) -> Result<Option<Hash>, PathError> {
    let head = dir.join(head_path(size));
    if with_ending(&head, STAMP).exists() {
        return Ok(None);
    }
    Ok(Some(entry::digest(&fs::read(&head).at("read", &head)?)))
}

/// When the newest time stamp in a directory was given, by its authority's clock.
///
/// # Errors
/// When the directory or the stamp cannot be read; one that says nothing counts as none.
pub fn newest_stamp(dir: &Path) -> Result<Option<Ticks>, PathError> {
    let mut paths = in_heads(dir)?;
    paths.retain(|path| path.as_os_str().to_string_lossy().ends_with(STAMP));
    paths.sort_by_key(|path| (path.as_os_str().len(), path.clone()));
    let Some(path) = paths.pop() else { return Ok(None) };
    let reply = fs::read(&path).at("read", &path)?;
    Ok(Stamp::read(&reply).ok().map(|stamp| stamp.at))
}

/// Puts an authority's reply beside the head of `size` entries; one that is there stays.
///
/// # Errors
/// When the disk refuses.
pub fn keep_stamp(dir: &Path, size: u64, reply: &[u8]) -> Result<(), PathError> {
    for path in in_heads(dir)? {
        if path.extension().is_some_and(|ending| ending == "tmp") && is_of_a_stamp(&path) {
            durable::remove(&path, Step::LeftoverRemoved)?;
        }
    }
    let path = with_ending(&dir.join(head_path(size)), STAMP);
    match durable::write_new(&path, reply, Commit::STAMP_WRITTEN) {
        Err(error) if error.source.kind() == io::ErrorKind::AlreadyExists => durable::confirm_names(parent(&path)),
        kept => kept,
    }
}

/// Whether it is a time stamp, or one on its way.
fn is_of_a_stamp(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().contains(STAMP))
}

/// The paths of all files beside the heads of a directory, in no order.
fn in_heads(dir: &Path) -> Result<Vec<PathBuf>, PathError> {
    let heads = dir.join(HEADS);
    match fs::read_dir(&heads) {
        Ok(names) => names.map(|name| Ok(name.at("list", &heads)?.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).at("list", &heads),
    }
}

/// The first `count` digests that a list of entries names.
pub(super) fn read_sums(dir: &Path, count: u64) -> Result<Vec<Hash>, RecordError> {
    let sums = &dir.join(LOG).join(SUMS);
    let file = File::open(sums).at("open", sums)?;
    let mut digests = Vec::new();
    let mut lines = BufReader::new(file).lines();
    for entry in 0..count {
        let bad = || RecordError::BadSums { sums: sums.to_owned(), line: entry + 1 };
        let line = lines.next().ok_or_else(bad)?.at("read", sums)?;
        let mut sha256 = [0; 32];
        hex::decode_to_slice(line.get(..64).unwrap_or_default(), &mut sha256).map_err(|_| bad())?;
        if format!("{line}\n") != sum_line(entry, &sha256) {
            return Err(bad());
        }
        digests.push(sha256);
    }
    Ok(digests)
}

/// Writes a file unless it is there.
fn put(path: &Path, bytes: &[u8], commit: Commit) -> Result<(), RecordError> {
    match fs::read(path) {
        Ok(found) if found == bytes => Ok(durable::confirm_names(parent(path))?),
        Ok(_) => Err(RecordError::Differs { path: path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(durable::write_whole(path, bytes, commit)?),
        Err(error) => Err(error).at("read", path).map_err(Into::into),
    }
}

/// Signs a file. A signature that is there stays: its key may have been replaced since.
fn sign(path: &Path, bytes: &[u8], key: &SigningKey) -> Result<(), RecordError> {
    let signature = signature_path(path);
    if signature.exists() {
        return Ok(durable::confirm_names(parent(path))?);
    }
    Ok(durable::write_whole(&signature, key.sign(NAMESPACE, bytes).as_bytes(), Commit::SIGNATURE_WRITTEN)?)
}

pub(super) fn signature_path(path: &Path) -> PathBuf {
    with_ending(path, SIGNATURE)
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut longer = path.as_os_str().to_owned();
    longer.push(ending);
    longer.into()
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}

fn after_a_second(at: Ticks) -> Ticks {
    Ticks::saturating_from_ticks(at.ticks() + 10_000_000)
}

/// An instant as `allowed_signers` has it, in UTC.
pub(super) fn second(at: Ticks) -> String {
    let digits: String = at.iso().split('.').next().unwrap_or_default().chars().filter(char::is_ascii_digit).collect();
    digits + "Z"
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed test should panic")]
mod tests {
    use super::*;

    fn digests(entries: std::ops::Range<u8>) -> Vec<Hash> {
        entries.map(|entry| entry::digest(&[entry])).collect()
    }

    fn write(record: &mut Record, entries: std::ops::Range<u8>, key: Option<&SigningKey>) {
        for entry in entries.clone() {
            record.entry(entry.into(), &[entry], key).unwrap();
        }
        record.listed(&digests(entries)).unwrap();
    }

    fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
        let mut found = Vec::new();
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { found.extend(files(&path)) } else { found.push((path.clone(), fs::read(path).unwrap())) }
        }
        found.sort();
        found
    }

    #[test]
    fn writing_again_after_a_crash_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let key = SigningKey::generate().unwrap();
        let mut record = Record::open(dir.path(), 0).unwrap();
        write(&mut record, 0..5, Some(&key));
        record.head("2026-11-22T10:00:00Z", &key).unwrap();
        let head = newest_head(dir.path()).unwrap().unwrap();
        let before = files(dir.path());
        // Staging was told of three entries; two more were listed, and a line was cut off.
        let sums = dir.path().join("log/SHA256SUMS");
        let listed = fs::read(&sums).unwrap();
        fs::write(&sums, [&listed[..], b"half a li"].concat()).unwrap();
        let mut record = Record::open(dir.path(), 3).unwrap();
        assert_eq!(record.size(), 3);
        write(&mut record, 3..5, Some(&key));
        record.head("2026-11-22T10:00:00Z", &key).unwrap();
        assert_eq!(files(dir.path()), before);
        assert_eq!(newest_head(dir.path()).unwrap(), Some(head));
    }

    #[test]
    fn evidence_is_never_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let mut record = Record::open(dir.path(), 0).unwrap();
        write(&mut record, 0..1, None);
        let differs = |result: Result<(), RecordError>| matches!(result, Err(RecordError::Differs { .. }));
        assert!(differs(record.entry(0, b"other", None)));
        let list = |bytes: &'static [u8]| {
            let expected = (bytes.len() as u64, &entry::digest(bytes));
            record.list::<RecordError>(7, expected, |piece| Ok((piece == 0).then(|| bytes.to_vec())))
        };
        list(b"list").unwrap();
        list(b"list").unwrap();
        assert!(differs(list(b"lost")));
    }

    #[test]
    fn a_directory_that_holds_less_than_was_written_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mut record = Record::open(dir.path(), 0).unwrap();
        write(&mut record, 0..2, None);
        let error = Record::open(dir.path(), 3).unwrap_err();
        assert!(matches!(error, RecordError::Behind { found: 2, written: 3, .. }), "{error}");
        let other = tempfile::tempdir().unwrap();
        assert!(Record::open(other.path(), 1).is_err());
        assert_eq!(fs::read_dir(other.path()).unwrap().count(), 0, "nothing was begun there");
    }

    #[test]
    fn the_signers_file_gives_each_key_its_time() {
        let dir = tempfile::tempdir().unwrap();
        let record = Record::open(dir.path(), 0).unwrap();
        let keys = [SigningKey::generate().unwrap().public(), SigningKey::generate().unwrap().public()];
        let from = |text| Ticks::parse(text).unwrap();
        record
            .signers(&[
                Signer { key: keys[0], from: from("2026-11-22T10:00:00.5Z") },
                Signer { key: keys[1], from: from("2026-12-31T23:59:59.9Z") },
            ])
            .unwrap();
        let namespaces = "namespaces=\"chancery-evidence,chancery-rotation\"";
        assert_eq!(
            fs::read_to_string(dir.path().join("allowed_signers")).unwrap(),
            format!(
                "chancery valid-after=\"20261122100000Z\",valid-before=\"20270101000000Z\",{namespaces} {}\n\
                 chancery valid-after=\"20261231235959Z\",{namespaces} {}\n",
                keys[0].line(),
                keys[1].line()
            )
        );
    }
}
