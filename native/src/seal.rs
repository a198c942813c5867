//! Sections to leaves and leaves into the tree: what `PythonKernel.seal` of `ledger/engine/kernel.py` does, byte for byte.

use crate::tree::{hash_leaf, sha256, CompactRange, Hash};

/// Bytes of a salt.
pub const SALT_SIZE: usize = 16;

const EVENT_COMMIT_PREFIX: &[u8] = b"logproof/commit/v1\0\x01";
const PERSONAL_COMMIT_PREFIX: &[u8] = b"logproof/commit/v1\0\x02";
const PREVIOUS_TAG: &[u8] = b"\x2a\x20";
const EVENT_TAG: &[u8] = b"\x32\x20";
const PERSONAL_TAG: &[u8] = b"\x3a\x20";

/// What becomes one entry.
pub struct Draft<'a> {
    /// What begins its leaf.
    pub prefix: &'a [u8],
    /// Event section.
    pub event: &'a [u8],
    /// Personal section; empty for none.
    pub personal: &'a [u8],
}

/// What a batch of drafts became.
pub struct Sealed {
    /// The leaves.
    pub leaves: Vec<Vec<u8>>,
    /// The stored hashes that they complete, one after another.
    pub hashes: Vec<u8>,
    /// Hash of the last leaf, or what came before where there are no drafts.
    pub last_leaf_hash: Hash,
}

/// Returns the two salts of the draft at a position.
pub fn salts_of(salts: &[u8], position: usize) -> (&[u8], &[u8]) {
    salts[2 * SALT_SIZE * position..2 * SALT_SIZE * (position + 1)].split_at(SALT_SIZE)
}

/// Seals drafts in a chain and adds them to the tree; `salts` has two for each, event first.
pub fn seal(drafts: &[Draft<'_>], salts: &[u8], previous: Hash, tree: &mut CompactRange) -> Sealed {
    let mut sealed = Sealed {
        leaves: Vec::with_capacity(drafts.len()),
        hashes: Vec::with_capacity(64 * drafts.len() + 2048),
        last_leaf_hash: previous,
    };
    for (position, draft) in drafts.iter().enumerate() {
        let (event_salt, personal_salt) = salts_of(salts, position);
        let mut leaf = Vec::with_capacity(draft.prefix.len() + 3 * 34);
        leaf.extend_from_slice(draft.prefix);
        leaf.extend_from_slice(PREVIOUS_TAG);
        leaf.extend_from_slice(&sealed.last_leaf_hash);
        leaf.extend_from_slice(EVENT_TAG);
        leaf.extend_from_slice(&sha256(&[EVENT_COMMIT_PREFIX, event_salt, draft.event]));
        if !draft.personal.is_empty() {
            leaf.extend_from_slice(PERSONAL_TAG);
            leaf.extend_from_slice(&sha256(&[PERSONAL_COMMIT_PREFIX, personal_salt, draft.personal]));
        }
        sealed.last_leaf_hash = hash_leaf(&leaf);
        tree.push(sealed.last_leaf_hash, &mut sealed.hashes);
        sealed.leaves.push(leaf);
    }
    sealed
}

/// Returns the acknowledgements of appended entries as fields 1 of an `AppendBatchResponse`.
///
/// An entry is its leaf, event salt and personal salt, the last one empty for none.
pub fn acknowledge<'a>(first_index: u64, entries: impl Iterator<Item = (&'a [u8], &'a [u8], &'a [u8])>) -> Vec<u8> {
    let mut all = Vec::new();
    let mut one = Vec::with_capacity(256);
    for (index, (leaf, event_salt, personal_salt)) in (first_index..).zip(entries) {
        one.clear();
        // Outcome: appended.
        one.extend_from_slice(b"\x08\x01");
        if index != 0 {
            one.push(0x10);
            write_varint(&mut one, index);
        }
        for (tag, content) in [(0x1a, leaf), (0x22, event_salt), (0x2a, personal_salt)] {
            if !content.is_empty() {
                one.push(tag);
                write_varint(&mut one, content.len() as u64);
                one.extend_from_slice(content);
            }
        }
        all.push(0x0a);
        write_varint(&mut all, one.len() as u64);
        all.extend_from_slice(&one);
    }
    all
}

fn write_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_are_chained_and_hold_a_commitment_for_each_section() {
        let drafts = [
            Draft {
                prefix: b"p",
                event: b"e",
                personal: b"",
            },
            Draft {
                prefix: b"p",
                event: b"e",
                personal: b"x",
            },
        ];
        let mut tree = CompactRange::new(0, &[]).unwrap();
        let sealed = seal(&drafts, &[7; 64], [9; 32], &mut tree);
        assert_eq!(sealed.leaves[0].len(), 1 + 34 + 34);
        assert_eq!(sealed.leaves[1].len(), 1 + 34 + 34 + 34);
        assert_eq!(sealed.leaves[0][3..35], [9; 32]);
        assert_eq!(sealed.leaves[1][3..35], hash_leaf(&sealed.leaves[0]));
        assert_eq!(sealed.last_leaf_hash, hash_leaf(&sealed.leaves[1]));
        assert_eq!(sealed.hashes.len(), 3 * 32);
        assert_eq!(tree.root(), sealed.hashes[64..]);
    }

    #[test]
    fn an_acknowledgement_leaves_out_what_is_empty_or_zero() {
        let entries = [(&b"L"[..], &b"S"[..], &b""[..]), (b"L", b"S", b"T")];
        let bytes = acknowledge(0, entries.into_iter());
        assert_eq!(
            bytes,
            b"\x0a\x08\x08\x01\x1a\x01L\x22\x01S\x0a\x0d\x08\x01\x10\x01\x1a\x01L\x22\x01S\x2a\x01T"
        );
        assert_eq!(acknowledge(300, entries[..1].iter().copied())[4..7], *b"\x10\xac\x02");
    }
}
