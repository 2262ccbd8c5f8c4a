//! Where things lie in the evidence directory.

/// Files in one directory of entries or lists: a listing stays short however long the log grows.
const FILES_PER_DIRECTORY: u64 = 10_000;

/// The directory of entries.
pub(super) const LOG: &str = "log";
/// Within it: a line `SHA-256, two spaces, path` per entry, in their order, as `sha256sum -c` reads them.
pub(super) const SUMS: &str = "SHA256SUMS";
/// The directory of event lists.
pub(super) const LISTS: &str = "lists";
/// The directory of tree heads.
pub(super) const HEADS: &str = "heads";
/// The directory of purge certificates, which the purge itself writes.
pub(super) const PURGE: &str = "purge";
/// The public keys, as `ssh-keygen -Y verify -f` reads them.
pub(super) const SIGNERS: &str = "allowed_signers";
/// What the name of a signature has after that of what is signed.
pub(super) const SIGNATURE: &str = ".sig";
/// What the name of an authority's time stamp has after that of the head.
pub(super) const STAMP: &str = ".tsr";

/// The length of a line of [`SUMS`], its line break included.
pub(super) const SUM_LINE: u64 = 64 + 2 + 5 + 1 + 14 + 1;

fn sharded(number: u64, extension: &str) -> String {
    format!("{:05}/{number:09}.{extension}", number / FILES_PER_DIRECTORY)
}

/// An entry's path within [`LOG`].
pub(super) fn in_log(entry: u64) -> String {
    sharded(entry, "json")
}

/// An entry's path in the evidence directory.
pub fn entry_path(entry: u64) -> String {
    format!("{LOG}/{}", in_log(entry))
}

/// The path of the event list that the manifest in this entry names, in the evidence directory.
pub fn list_path(entry: u64) -> String {
    format!("{LISTS}/{}", sharded(entry, "events"))
}

/// The path of the head of a tree of `size` entries in the evidence directory.
pub(super) fn head_path(size: u64) -> String {
    format!("{HEADS}/{size:09}.head")
}

/// The line of [`SUMS`] for an entry.
pub(super) fn sum_line(entry: u64, sha256: &super::merkle::Hash) -> String {
    format!("{}  {}\n", hex::encode(sha256), in_log(entry))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_by_number_and_lines_have_one_length() {
        assert_eq!(entry_path(12_345), "log/00001/000012345.json");
        assert_eq!(list_path(7), "lists/00000/000000007.events");
        for entry in [0, 9_999, 999_999_999] {
            assert_eq!(sum_line(entry, &[7; 32]).len() as u64, SUM_LINE, "{entry}");
        }
    }
}
