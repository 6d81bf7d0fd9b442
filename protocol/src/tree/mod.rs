//! The contracts' tree (R4.2): a compact sparse Merkle tree over 32-byte keys, and proofs about several keys at once.
//!
//! ```text
//!   empty subtree        0 (32 zero bytes)
//!   subtree of one leaf  H(0, key, value)
//!   any other subtree    H(1, left, right)        left: next bit of the key is 0, most significant first
//! ```
//!
//! A subtree of one leaf *is* that leaf, however deep it stands, so a path is about log2(leaves) long and so is the cost of checking it.
//!
//! [`Tree`] is what peers keep; [`Proof`] is what they show; [`Proof::apply`] is what the arbiter runs: it gives the root before a change of
//! some leaves and the root after it, from the same bytes.

mod proof;
#[cfg(feature = "std")]
mod store;

pub use proof::{MAX_DEPTH, MAX_NODES, Proof, ProofError, Roots, TreeChange, TreeNode};
#[cfg(feature = "std")]
pub use store::Tree;

use crate::{Hash, crypto::Crypto};

/// Names a leaf: a contract's id.
pub type Key = Hash;

/// A subtree, as far as its hash needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subtree {
    Empty,
    /// Its key and value do not matter any more: wherever it rises to, its hash is the same.
    Leaf(Hash),
    Branch(Hash),
    /// A leaf or a branch.
    Opaque(Hash),
}

impl Subtree {
    const fn hash(&self) -> &Hash {
        match self {
            Self::Empty => &Hash::ZERO,
            Self::Leaf(hash) | Self::Branch(hash) | Self::Opaque(hash) => hash,
        }
    }

    /// The subtree over two children: a lone leaf rises. None where it is not known whether it does.
    fn join(left: &Self, right: &Self, crypto: &impl Crypto) -> Option<Self> {
        match (left, right) {
            (Self::Empty, Self::Empty) => Some(Self::Empty),
            (Self::Leaf(leaf), Self::Empty) | (Self::Empty, Self::Leaf(leaf)) => Some(Self::Leaf(*leaf)),
            (Self::Opaque(_), Self::Empty) | (Self::Empty, Self::Opaque(_)) => None,
            (left, right) => Some(Self::Branch(branch_hash(left.hash(), right.hash(), crypto))),
        }
    }
}

fn leaf_hash(key: &Key, value: &Hash, crypto: &impl Crypto) -> Hash {
    tagged_hash(0, key, value, crypto)
}

fn branch_hash(left: &Hash, right: &Hash, crypto: &impl Crypto) -> Hash {
    tagged_hash(1, left, right, crypto)
}

/// The hash of a tag and two hashes, put together in place: the arbiter does little else when it checks a proof.
fn tagged_hash(tag: u8, one: &Hash, other: &Hash, crypto: &impl Crypto) -> Hash {
    let mut bytes = [tag; 65];
    bytes[1..33].copy_from_slice(&one.0);
    bytes[33..].copy_from_slice(&other.0);
    crypto.hash(&bytes)
}

/// The bit of `key` that decides at `depth`: 0 goes left.
fn bit(key: &Key, depth: usize) -> bool {
    let byte = key.0.get(depth / 8).copied().unwrap_or(0);
    byte << (depth % 8) & 0x80 != 0
}
