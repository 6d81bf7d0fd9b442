//! Proofs about several leaves at once, and their verification.

use super::{Key, Subtree, bit, branch_hash, leaf_hash};
use crate::{Hash, crypto::Crypto};
use alloc::vec::Vec;
use scale::{Compact, Decode, Encode, Error, Input, MaxEncodedLen};

/// The deepest place in a tree that a proof may speak of. Two keys that agree in so many bits cost about 2^48 hashes to find where somebody is
/// free to choose both: a peer refuses a contract that would stand deeper than it likes, since what stands deeper than this can never be forced;
/// the bound keeps the verifier's stack small.
pub const MAX_DEPTH: usize = 96;
/// The most nodes of a proof: bounds the work, and the memory, that one call can ask for. About as many as a call has bytes for.
pub const MAX_NODES: usize = 2_048;

/// The part of a tree that matters for some keys, in pre-order (R4.2).
///
/// A subtree may be shown in more than one way: a branch as a branch, pruned or opaque, a leaf as a leaf or opaque. Nothing else has two
/// ways: an empty subtree is [`TreeNode::Empty`], and a branch has two leaves at least. All proofs of the same changes that are accepted under
/// the root of one tree give the same root after them.
#[derive(Clone, Debug, PartialEq, Eq, Encode)]
#[cfg_attr(feature = "std", derive(scale_info::TypeInfo))]
pub struct Proof {
    /// Every branch on the way to one of the keys, followed by its left and its right subtree.
    pub nodes: Vec<TreeNode>,
}

/// One subtree of a [`Proof`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(feature = "std", derive(scale_info::TypeInfo))]
pub enum TreeNode {
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
    /// One leaf or more, none of them of interest. Never the zero hash: that is an empty subtree's, beside which a lone leaf rises.
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

/// In one piece: the contract's memory takes back nothing of what a list leaves behind that grows. Of nodes beyond what is allowed one is
/// kept, for which the proof is refused.
impl Decode for Proof {
    fn decode<I: Input>(input: &mut I) -> Result<Self, Error> {
        let Compact(count) = Compact::<u32>::decode(input)?;
        let kept = (count as usize).min(MAX_NODES + 1);
        let mut nodes = Vec::with_capacity(kept);
        for _ in 0..count {
            let node = TreeNode::decode(input)?;
            if nodes.len() < kept {
                nodes.push(node);
            }
        }
        Ok(Self { nodes })
    }
}

/// What happens to one leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeChange {
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, thiserror::Error)]
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
    /// A leaf stands where its key does not belong, a branch has fewer than two leaves, or an empty subtree passes for an opaque one.
    #[codec(index = 5)]
    #[error("no tree has such a shape")]
    Malformed,
}

impl Proof {
    /// Checks the changes' `before` against the tree and computes the root before and after them. The caller compares `before` with the
    /// root it trusts: nothing is proved without that.
    ///
    /// Where `before` is the root of a tree, every change's `before` is true of that tree and `after` is its root once the changes are made,
    /// whoever wrote the nodes. From the top down each hash belongs to one subtree only: leaves and branches are hashed under different tags,
    /// and nothing hashes to zero but the empty subtree. So no node can say of its subtree what is not so; it can only leave open what it
    /// is. [`TreeNode::Opaque`] leaves open whether a lone leaf would rise, and is refused where that matters.
    ///
    /// No proof shows that `before` is the root of a tree: that is kept from state to state. A channel begins without contracts, whoever
    /// signs a state computes its root from all leaves, and every step that is forced on a tree's root ends in a tree's root by the above.
    ///
    /// # Errors
    /// [`ProofError`].
    pub fn apply(&self, changes: &[TreeChange], crypto: &impl Crypto) -> Result<Roots, ProofError> {
        if self.nodes.len() > MAX_NODES {
            return Err(ProofError::TooLarge);
        }
        if !changes.is_sorted_by(|one, next| one.key < next.key) {
            return Err(ProofError::KeysUnsorted);
        }
        let mut walk = Walk { nodes: self.nodes.iter(), path: Hash::ZERO, crypto };
        let mut whole = Both::EMPTY;
        walk.subtree(0, changes, &mut whole)?;
        if walk.nodes.next().is_some() {
            return Err(ProofError::WrongLength);
        }
        Ok(Roots { before: *whole.before.hash(), after: *whole.after.hash() })
    }
}

/// A subtree before and after the changes of the leaves in it. Filled in where it will be needed: moving it about would cost the arbiter
/// more than computing it.
struct Both {
    before: Subtree,
    after: Subtree,
}

impl Both {
    const EMPTY: Self = Self { before: Subtree::Empty, after: Subtree::Empty };

    const fn unchanged(&mut self, subtree: Subtree) {
        self.before = subtree;
        self.after = subtree;
    }
}

struct Walk<'a, C> {
    nodes: core::slice::Iter<'a, TreeNode>,
    /// The bits of the way down to here.
    path: Key,
    crypto: &'a C,
}

impl<C: Crypto> Walk<'_, C> {
    /// The next subtree.
    fn subtree(&mut self, depth: usize, changes: &[TreeChange], both: &mut Both) -> Result<(), ProofError> {
        if depth > MAX_DEPTH {
            return Err(ProofError::TooLarge);
        }
        match self.nodes.next().ok_or(ProofError::WrongLength)? {
            TreeNode::Empty => both.after = self.grown(depth, None, changes)?,
            TreeNode::Leaf { key, value } => {
                if !self.is_on_path(key, depth) {
                    return Err(ProofError::Malformed);
                }
                both.before = Subtree::Leaf(leaf_hash(key, value, self.crypto));
                both.after = self.grown(depth, Some((*key, *value)), changes)?;
            }
            TreeNode::Branch => self.branch(depth, changes, both)?,
            // It would keep a lone leaf from rising, and end in a root that no tree has.
            TreeNode::Opaque(Hash::ZERO) => return Err(ProofError::Malformed),
            TreeNode::Opaque(_) | TreeNode::Pruned { .. } if !changes.is_empty() => return Err(ProofError::NotCovered),
            TreeNode::Opaque(hash) => both.unchanged(Subtree::Opaque(*hash)),
            TreeNode::Pruned { left, right } => both.unchanged(Subtree::Branch(branch_hash(left, right, self.crypto))),
        }
        Ok(())
    }

    fn branch(&mut self, depth: usize, changes: &[TreeChange], both: &mut Both) -> Result<(), ProofError> {
        let middle = changes.partition_point(|change| !bit(&change.key, depth));
        let (to_left, to_right) = changes.split_at(middle);
        let (mut left, mut right) = (Both::EMPTY, Both::EMPTY);
        self.subtree(depth.saturating_add(1), to_left, &mut left)?;
        self.set_bit(depth, true);
        self.subtree(depth.saturating_add(1), to_right, &mut right)?;
        self.set_bit(depth, false);
        // Were an opaque side a lone leaf beside nothing, this would be no tree's branch; then `before` is no tree's root either.
        both.before = match (&left.before, &right.before) {
            (Subtree::Opaque(_), Subtree::Empty) | (Subtree::Empty, Subtree::Opaque(_)) => {
                Subtree::Branch(branch_hash(left.before.hash(), right.before.hash(), self.crypto))
            }
            (left, right) => Subtree::join(left, right, self.crypto).ok_or(ProofError::Malformed)?,
        };
        if !matches!(both.before, Subtree::Branch(_)) {
            return Err(ProofError::Malformed);
        }
        both.after = if left.before == left.after && right.before == right.after {
            both.before
        } else {
            Subtree::join(&left.after, &right.after, self.crypto).ok_or(ProofError::NotCovered)?
        };
        Ok(())
    }

    /// What stands here after the changes, where at most one leaf stood before. Checks the claims about that leaf and about absent ones.
    fn grown(&self, depth: usize, old: Option<(Key, Hash)>, changes: &[TreeChange]) -> Result<Subtree, ProofError> {
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
        [(key, value)] => Ok(Subtree::Leaf(leaf_hash(key, value, crypto))),
        _ if depth >= MAX_DEPTH => Err(ProofError::TooLarge),
        _ => {
            let middle = leaves.partition_point(|(key, _)| !bit(key, depth));
            let (left, right) = leaves.split_at(middle);
            let below = depth.saturating_add(1);
            let (left, right) = (build(left, below, crypto)?, build(right, below, crypto)?);
            // Nothing here is opaque.
            Subtree::join(&left, &right, crypto).ok_or(ProofError::Malformed)
        }
    }
}
