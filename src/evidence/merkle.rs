//! Merkle trees as RFC 6962, section 2.1, defines them: SHA-256, a byte 0 before a leaf and a byte 1 before a node.
//!
//! Two kinds of tree are built of it: one over the events of each batch, and one over the entries of the log.

use sha2::{Digest, Sha256};

/// A SHA-256.
pub type Hash = [u8; 32];

/// The hash of a leaf that consists of these pieces.
pub fn leaf(pieces: &[&[u8]]) -> Hash {
    let mut hasher = Sha256::new_with_prefix([0]);
    for piece in pieces {
        hasher.update(piece);
    }
    hasher.finalize().into()
}

/// The hash of a node above two others.
pub fn node(left: &Hash, right: &Hash) -> Hash {
    let mut hasher = Sha256::new_with_prefix([1]);
    hasher.update(left);
    hasher.update(right);
    hasher.finalize().into()
}

/// A tree that grows leaf by leaf. It keeps one hash per level, whatever its size.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    /// The roots of the complete subtrees, largest first.
    peaks: Vec<Hash>,
    size: u64,
}

impl Tree {
    /// Adds a leaf by its hash.
    pub fn push(&mut self, leaf: Hash) {
        let (mut hash, mut below) = (leaf, self.size);
        while below & 1 == 1
            && let Some(left) = self.peaks.pop()
        {
            hash = node(&left, &hash);
            below >>= 1;
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    /// How many leaves it has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Its root; that of the empty tree is the SHA-256 of nothing.
    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev();
        match peaks.next() {
            None => Sha256::digest([]).into(),
            Some(last) => peaks.fold(*last, |right, left| node(left, &right)),
        }
    }
}

impl FromIterator<Hash> for Tree {
    fn from_iter<T: IntoIterator<Item = Hash>>(leaves: T) -> Self {
        let mut tree = Self::default();
        leaves.into_iter().for_each(|leaf| tree.push(leaf));
        tree
    }
}

/// The root over these leaf hashes.
pub fn root(leaves: &[Hash]) -> Hash {
    leaves.iter().copied().collect::<Tree>().root()
}

/// Where a tree of `size` leaves, at least two, is divided: the largest power of two below it.
fn middle(size: usize) -> usize {
    size.next_power_of_two() / 2
}

/// The proof that the leaf at `index` is in the tree of `leaves`: the hashes beside its way up, lowest first.
///
/// `None` when there is no such leaf.
pub fn inclusion(leaves: &[Hash], index: usize) -> Option<Vec<Hash>> {
    let (mut leaves, mut index) = (leaves, index);
    if index >= leaves.len() {
        return None;
    }
    let mut path = Vec::new();
    while leaves.len() > 1 {
        let (left, right) = leaves.split_at(middle(leaves.len()));
        if index < left.len() {
            path.push(root(right));
            leaves = left;
        } else {
            path.push(root(left));
            index -= left.len();
            leaves = right;
        }
    }
    path.reverse();
    Some(path)
}

/// The root that an inclusion proof leads to; `None` when the proof cannot be one for a tree of that size.
pub fn root_by_inclusion(leaf: Hash, index: u64, size: u64, path: &[Hash]) -> Option<Hash> {
    if index >= size {
        return None;
    }
    let (mut place, mut last, mut hash) = (index, size - 1, leaf);
    for beside in path {
        if last == 0 {
            return None;
        }
        if place & 1 == 1 || place == last {
            hash = node(beside, &hash);
            // A last node without one beside it is its own parent.
            while place & 1 == 0 && place != 0 {
                place >>= 1;
                last >>= 1;
            }
        } else {
            hash = node(&hash, beside);
        }
        place >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(hash)
}

/// The proof that the tree of `leaves` continues the one of its first `size` leaves.
///
/// `None` when there are not so many leaves, or `size` is 0, of which nothing needs a proof.
pub fn consistency(leaves: &[Hash], size: usize) -> Option<Vec<Hash>> {
    if size == 0 || size > leaves.len() {
        return None;
    }
    let (mut leaves, mut size, mut whole) = (leaves, size, true);
    let mut path = Vec::new();
    while size < leaves.len() {
        let (left, right) = leaves.split_at(middle(leaves.len()));
        if size <= left.len() {
            path.push(root(right));
            leaves = left;
        } else {
            path.push(root(left));
            size -= left.len();
            leaves = right;
            whole = false;
        }
    }
    if !whole {
        path.push(root(leaves));
    }
    path.reverse();
    Some(path)
}

/// Whether a consistency proof ties the tree of `old` to that of `new`, each a size and a root.
pub fn is_consistent(old: (u64, &Hash), new: (u64, &Hash), path: &[Hash]) -> bool {
    let ((old_size, old_root), (new_size, new_root)) = (old, new);
    if old_size == new_size {
        return path.is_empty() && old_root == new_root;
    }
    if old_size == 0 || old_size > new_size {
        return false;
    }
    let mut path = path.iter();
    let (mut place, mut last) = (old_size - 1, new_size - 1);
    while place & 1 == 1 {
        place >>= 1;
        last >>= 1;
    }
    // A complete subtree is its own start.
    let start = if place == 0 { Some(old_root) } else { path.next() };
    let Some(start) = start else { return false };
    let (mut old_found, mut new_found) = (*start, *start);
    for beside in path {
        if last == 0 {
            return false;
        }
        if place & 1 == 1 || place == last {
            old_found = node(beside, &old_found);
            new_found = node(beside, &new_found);
            while place & 1 == 0 && place != 0 {
                place >>= 1;
                last >>= 1;
            }
        } else {
            new_found = node(&new_found, beside);
        }
        place >>= 1;
        last >>= 1;
    }
    last == 0 && old_found == *old_root && new_found == *new_root
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed test should panic")]
mod tests {
    use super::*;

    /// The leaves and the roots of the test vectors that Certificate Transparency's own implementations share.
    const LEAVES: [&str; 8] =
        ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
    const ROOTS: [&str; 8] = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    fn hash(text: &str) -> Hash {
        hex::decode(text).unwrap().try_into().unwrap()
    }

    fn known() -> Vec<Hash> {
        LEAVES.iter().map(|data| leaf(&[&hex::decode(data).unwrap()])).collect()
    }

    fn numbered(size: usize) -> Vec<Hash> {
        (0..size).map(|number| leaf(&[&number.to_be_bytes()])).collect()
    }

    #[test]
    fn the_known_roots_come_out() {
        assert_eq!(Tree::default().root(), hash("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
        for (size, expected) in (1..).zip(ROOTS) {
            assert_eq!(root(&known()[..size]), hash(expected), "{size}");
        }
    }

    #[test]
    fn the_known_proofs_come_out() {
        let leaves = known();
        let path = inclusion(&leaves, 5).unwrap();
        let expected = [
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ];
        assert_eq!(path, expected.map(hash));
        let path = consistency(&leaves, 6).unwrap();
        let expected = [
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ];
        assert_eq!(path, expected.map(hash));
    }

    #[test]
    fn every_inclusion_is_proven_and_no_other() {
        for size in 1..40_usize {
            let leaves = numbered(size);
            let expected = root(&leaves);
            for index in 0..size {
                let path = inclusion(&leaves, index).unwrap();
                let found =
                    |leaf, index: usize, path: &[Hash]| root_by_inclusion(leaf, index as u64, size as u64, path);
                assert_eq!(found(leaves[index], index, &path), Some(expected));
                assert_ne!(found(leaf(&[b"other"]), index, &path), Some(expected));
                for other in (0..size).filter(|other| *other != index) {
                    assert_ne!(found(leaves[index], other, &path), Some(expected), "{index} as {other} of {size}");
                }
                if let Some((_, shorter)) = path.split_last() {
                    assert_eq!(found(leaves[index], index, shorter), None);
                }
            }
            assert_eq!(inclusion(&leaves, size), None);
        }
    }

    #[test]
    fn every_continuation_is_proven_and_no_other() {
        for size in 1..40_usize {
            let leaves = numbered(size);
            let new = root(&leaves);
            for before in 1..=size {
                let old = root(&leaves[..before]);
                let path = consistency(&leaves, before).unwrap();
                let holds = |old: &Hash, new: &Hash| is_consistent((before as u64, old), (size as u64, new), &path);
                assert!(holds(&old, &new), "{before} of {size}");
                assert!(!holds(&leaf(&[b"other"]), &new) && !holds(&old, &leaf(&[b"other"])));
            }
            assert_eq!(consistency(&leaves, size + 1), None);
        }
    }
}
