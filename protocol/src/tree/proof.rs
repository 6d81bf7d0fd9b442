//! Proofs about several leaves at once, and their verification.

use super::{Key, Subtree, bit, branch_hash};
use crate::{Hash, crypto::Crypto};
use alloc::vec::Vec;
use scale::{Decode, Encode, MaxEncodedLen};
use thiserror::Error;

/// The deepest place in a tree that a proof may speak of. Two keys that agree in so many bits do not exist but by more work than anybody has;
/// the bound keeps the verifier's stack small.
pub const MAX_DEPTH: usize = 96;
/// The most nodes of a proof: bounds the work that one call can ask for.
pub const MAX_NODES: usize = 4_096;

/// The part of a tree that matters for some keys, in pre-order.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(feature = "std", derive(scale_info::TypeInfo))]
pub struct Proof {
    /// Every branch on the way to one of the keys, followed by its left and its right subtree.
    pub nodes: Vec<Node>,
}

/// One subtree of a [`Proof`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(feature = "std", derive(scale_info::TypeInfo))]
pub enum Node {
    /// No leaf at all.
    #[codec(index = 0)]
    Empty,
    /// One leaf.
    #[codec(index = 1)]
    Leaf {
        /// Its key.
        key: Key,
        /// Its value.
        value: Hash,
    },
    /// One leaf or more, none of them of interest.
    #[codec(index = 2)]
    Opaque(Hash),
    /// At least two leaves, some of them of interest: its two subtrees follow.
    #[codec(index = 3)]
    Branch,
    /// At least two leaves, none of them of interest, by the hashes of its two subtrees: where something beside it is removed, it has to be
    /// shown that this is no lone leaf that would rise.
    #[codec(index = 4)]
    Pruned {
        /// The left subtree.
        left: Hash,
        /// The right subtree.
        right: Hash,
    },
}

/// What happens to one leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which.
    pub key: Key,
    /// What it is before; none where there is no such leaf.
    pub before: Option<Hash>,
    /// What it is after; none where it is removed.
    pub after: Option<Hash>,
}

/// What a proof shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roots {
    /// The root of the tree as it is.
    pub before: Hash,
    /// The root once all changes are made.
    pub after: Hash,
}

/// Why a proof shows nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, Error)]
#[cfg_attr(feature = "std", derive(scale_info::TypeInfo))]
pub enum ProofError {
    /// It ends early, or goes on after its end.
    #[codec(index = 0)]
    #[error("the proof has too few or too many nodes")]
    WrongLength,
    /// More than [`MAX_NODES`], or deeper than [`MAX_DEPTH`].
    #[codec(index = 1)]
    #[error("the proof is larger or deeper than allowed")]
    TooLarge,
    /// It leaves out a part that has to do with one of the keys.
    #[codec(index = 2)]
    #[error("the proof does not cover every key")]
    NotCovered,
    /// A leaf is not what was claimed.
    #[codec(index = 3)]
    #[error("a leaf is not what it was claimed to be")]
    WrongLeaf,
    /// The keys are not in ascending order, or one appears twice.
    #[codec(index = 4)]
    #[error("keys must ascend, each once")]
    KeysUnsorted,
    /// A leaf stands where its key does not belong, or a branch has fewer than two leaves.
    #[codec(index = 5)]
    #[error("no tree has such a shape")]
    Malformed,
}

impl Proof {
    /// Checks the changes' `before` against the tree and computes the root before and after them. The caller compares `before` with the
    /// root it trusts: nothing is proved without that.
    ///
    /// # Errors
    /// [`ProofError`].
    pub fn apply(&self, changes: &[Change], crypto: &impl Crypto) -> Result<Roots, ProofError> {
        if self.nodes.len() > MAX_NODES {
            return Err(ProofError::TooLarge);
        }
        if !changes.is_sorted_by(|one, next| one.key < next.key) {
            return Err(ProofError::KeysUnsorted);
        }
        let mut walk = Walk { nodes: self.nodes.iter(), path: Hash::ZERO, crypto };
        let (before, after) = walk.subtree(0, changes)?;
        if walk.nodes.next().is_some() {
            return Err(ProofError::WrongLength);
        }
        Ok(Roots { before: before.hash(crypto), after: after.hash(crypto) })
    }
}

struct Walk<'a, C> {
    nodes: core::slice::Iter<'a, Node>,
    /// The bits of the way down to here.
    path: Key,
    crypto: &'a C,
}

impl<C: Crypto> Walk<'_, C> {
    /// The next subtree, before and after the changes of the leaves in it.
    fn subtree(&mut self, depth: usize, changes: &[Change]) -> Result<(Subtree, Subtree), ProofError> {
        if depth > MAX_DEPTH {
            return Err(ProofError::TooLarge);
        }
        match *self.nodes.next().ok_or(ProofError::WrongLength)? {
            Node::Empty => Ok((Subtree::Empty, self.grown(depth, None, changes)?)),
            Node::Leaf { key, value } => {
                if !self.is_on_path(&key, depth) {
                    return Err(ProofError::Malformed);
                }
                Ok((Subtree::Leaf { key, value }, self.grown(depth, Some((key, value)), changes)?))
            }
            Node::Branch => self.branch(depth, changes),
            Node::Opaque(_) | Node::Pruned { .. } if !changes.is_empty() => Err(ProofError::NotCovered),
            Node::Opaque(hash) => Ok((Subtree::Opaque(hash), Subtree::Opaque(hash))),
            Node::Pruned { left, right } => {
                let branch = Subtree::Branch(branch_hash(&left, &right, self.crypto));
                Ok((branch, branch))
            }
        }
    }

    fn branch(&mut self, depth: usize, changes: &[Change]) -> Result<(Subtree, Subtree), ProofError> {
        let middle = changes.partition_point(|change| !bit(&change.key, depth));
        let (to_left, to_right) = changes.split_at(middle);
        let left = self.subtree(depth.saturating_add(1), to_left)?;
        self.set_bit(depth, true);
        let right = self.subtree(depth.saturating_add(1), to_right)?;
        self.set_bit(depth, false);
        // Were an opaque side a lone leaf beside nothing, this would be no tree's branch; then `before` is no tree's root either.
        let before = match (left.0, right.0) {
            (Subtree::Opaque(_), Subtree::Empty) | (Subtree::Empty, Subtree::Opaque(_)) => {
                Subtree::Branch(branch_hash(&left.0.hash(self.crypto), &right.0.hash(self.crypto), self.crypto))
            }
            (left, right) => Subtree::join(left, right, self.crypto).ok_or(ProofError::Malformed)?,
        };
        if !matches!(before, Subtree::Branch(_)) {
            return Err(ProofError::Malformed);
        }
        let after = if left.0 == left.1 && right.0 == right.1 {
            before
        } else {
            Subtree::join(left.1, right.1, self.crypto).ok_or(ProofError::NotCovered)?
        };
        Ok((before, after))
    }

    /// What stands here after the changes, where at most one leaf stood before. Checks the claims about that leaf and about absent ones.
    fn grown(&self, depth: usize, old: Option<(Key, Hash)>, changes: &[Change]) -> Result<Subtree, ProofError> {
        let mut leaves: Vec<(Key, Hash)> = Vec::with_capacity(changes.len().saturating_add(1));
        let mut untouched = old;
        for change in changes {
            let found = old.filter(|(key, _)| *key == change.key);
            if found.map(|(_, value)| value) != change.before {
                return Err(ProofError::WrongLeaf);
            }
            if found.is_some() {
                untouched = None;
            }
            leaves.extend(change.after.map(|value| (change.key, value)));
        }
        if let Some(leaf) = untouched {
            let place = leaves.partition_point(|(key, _)| *key < leaf.0);
            leaves.insert(place, leaf);
        }
        build(&leaves, depth, self.crypto)
    }

    /// Whether `key` goes this way down to `depth`.
    fn is_on_path(&self, key: &Key, depth: usize) -> bool {
        (0..depth).all(|depth| bit(key, depth) == bit(&self.path, depth))
    }

    fn set_bit(&mut self, depth: usize, right: bool) {
        if let Some(byte) = self.path.0.get_mut(depth / 8) {
            let mask = 0x80 >> (depth % 8);
            *byte = if right { *byte | mask } else { *byte & !mask };
        }
    }
}

/// The subtree at `depth` over leaves in ascending order of their keys.
pub(super) fn build(leaves: &[(Key, Hash)], depth: usize, crypto: &impl Crypto) -> Result<Subtree, ProofError> {
    match leaves {
        [] => Ok(Subtree::Empty),
        &[(key, value)] => Ok(Subtree::Leaf { key, value }),
        _ if depth >= MAX_DEPTH => Err(ProofError::TooLarge),
        _ => {
            let middle = leaves.partition_point(|(key, _)| !bit(key, depth));
            let (left, right) = leaves.split_at(middle);
            let below = depth.saturating_add(1);
            let (left, right) = (build(left, below, crypto)?, build(right, below, crypto)?);
            // Nothing here is opaque.
            Subtree::join(left, right, crypto).ok_or(ProofError::Malformed)
        }
    }
}
