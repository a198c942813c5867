//! The right edge of a tree: what `ledger/merkle/compact.py` does, byte for byte.

use sha2::{Digest, Sha256};

/// A SHA-256 digest.
pub type Hash = [u8; 32];

/// Returns the hash of these parts, one after another.
pub fn sha256(parts: &[&[u8]]) -> Hash {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// Returns the leaf hash of a leaf.
pub fn hash_leaf(leaf: &[u8]) -> Hash {
    sha256(&[&[0], leaf])
}

/// The leaves `[0, size)`: the size and the roots of the perfect subtrees that its binary digits name, largest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompactRange {
    size: u64,
    hashes: Vec<Hash>,
}

impl CompactRange {
    /// Returns the range, or `None` where size and hashes do not fit together.
    pub fn new(size: u64, packed: &[u8]) -> Option<Self> {
        let fits = size < 1 << 63 && packed.len() == 32 * size.count_ones() as usize;
        fits.then(|| Self {
            size,
            hashes: packed.chunks(32).filter_map(|hash| hash.try_into().ok()).collect(),
        })
    }

    /// Adds a leaf hash, and to `stored` the hashes of all perfect subtrees that it completes, itself included.
    pub fn push(&mut self, leaf_hash: Hash, stored: &mut Vec<u8>) {
        stored.extend_from_slice(&leaf_hash);
        let mut node = leaf_hash;
        // Each trailing 1 of the size is a subtree that this leaf completes to one of twice its size.
        for _ in 0..self.size.trailing_ones() {
            let Some(left) = self.hashes.pop() else { break };
            node = sha256(&[&[1], &left, &node]);
            stored.extend_from_slice(&node);
        }
        self.hashes.push(node);
        self.size += 1;
    }

    /// Returns the root; of no leaves, the empty root.
    pub fn root(&self) -> Hash {
        let mut subtrees = self.hashes.iter().rev();
        match subtrees.next() {
            None => sha256(&[]),
            Some(last) => subtrees.fold(*last, |root, left| sha256(&[&[1], left, &root])),
        }
    }

    /// Returns the hashes one after another, largest subtree first.
    pub fn packed(&self) -> Vec<u8> {
        self.hashes.concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn naive_root(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => sha256(&[]),
            [leaf] => *leaf,
            _ => {
                let split = leaves.len().next_power_of_two() / 2;
                sha256(&[&[1], &naive_root(&leaves[..split]), &naive_root(&leaves[split..])])
            }
        }
    }

    #[test]
    fn every_size_has_the_root_of_the_recursive_definition() {
        let leaves: Vec<Hash> = (0..70_u8).map(|number| hash_leaf(&[number])).collect();
        let mut range = CompactRange::new(0, &[]).unwrap();
        let mut stored = Vec::new();
        for size in 0..leaves.len() {
            assert_eq!(range.root(), naive_root(&leaves[..size]), "size {size}");
            range.push(leaves[size], &mut stored);
        }
        // 2n - popcount(n) hashes are stored for n leaves.
        assert_eq!(stored.len(), 32 * (2 * 70 - 3));
    }

    #[test]
    fn a_range_goes_on_from_its_packed_form() {
        let mut whole = CompactRange::new(0, &[]).unwrap();
        for number in 0..21_u8 {
            whole.push(hash_leaf(&[number]), &mut Vec::new());
        }
        let again = CompactRange::new(21, &whole.packed()).unwrap();
        assert_eq!(again, whole);
    }

    #[test]
    fn size_and_hashes_must_fit() {
        assert_eq!(CompactRange::new(2, &[]), None);
        assert_eq!(CompactRange::new(1, &[0; 31]), None);
        assert_eq!(CompactRange::new(1, &[0; 33]), None);
        assert_eq!(CompactRange::new(1 << 63, &[0; 32]), None);
    }
}
