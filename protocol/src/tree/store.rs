//! The tree as peers keep it: every change costs about log2(leaves) hashes, and an old tree stays as it was.

use super::{Key, MAX_DEPTH, Proof, TreeChange, TreeNode, bit, branch_hash, leaf_hash};
use crate::{Hash, crypto::Native};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// A sparse Merkle tree. Cloning it is cheap; the clones share what they have in common.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    top: Part,
    leaves: usize,
}

/// A subtree with its hash.
#[derive(Clone, Debug, Default)]
enum Part {
    #[default]
    Empty,
    Leaf {
        key: Key,
        value: Hash,
        hash: Hash,
    },
    Branch(Arc<Branch>),
}

#[derive(Debug)]
struct Branch {
    left: Part,
    right: Part,
    hash: Hash,
}

impl Tree {
    /// A tree without leaves.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The hash that stands for all leaves; [`Hash::ZERO`] where there are none.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.top.hash()
    }

    /// How many leaves there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.leaves
    }

    /// Whether there is no leaf.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.leaves == 0
    }

    /// A leaf's value.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<Hash> {
        let mut part = &self.top;
        let mut depth = 0;
        loop {
            match part {
                Part::Empty => return None,
                Part::Leaf { key: found, value, .. } => return (found == key).then_some(*value),
                Part::Branch(branch) => {
                    part = if bit(key, depth) { &branch.right } else { &branch.left };
                    depth = depth.saturating_add(1);
                }
            }
        }
    }

    /// Sets a leaf's value, or removes it, and gives what it was before.
    pub fn set(&mut self, key: Key, value: Option<Hash>) -> Option<Hash> {
        let before = self.get(&key);
        if before != value {
            self.top = self.top.with(key, value, 0);
            self.leaves = match (before, value) {
                (None, Some(_)) => self.leaves.saturating_add(1),
                (Some(_), None) => self.leaves.saturating_sub(1),
                _ => self.leaves,
            };
        }
        before
    }

    /// Makes all `changes`, whose `before` is not looked at.
    #[must_use]
    pub fn with(&self, changes: &[TreeChange]) -> Self {
        let mut changed = self.clone();
        for TreeChange { key, after, .. } in changes {
            let _before = changed.set(*key, *after);
        }
        changed
    }

    /// How many branches stand above the leaf with this key, or above the place where it would be.
    #[must_use]
    pub fn depth(&self, key: &Key) -> usize {
        let mut part = &self.top;
        let mut depth: usize = 0;
        while let Part::Branch(branch) = part {
            part = if bit(key, depth) { &branch.right } else { &branch.left };
            depth = depth.saturating_add(1);
        }
        depth
    }

    /// The keys whose values differ between two trees, in ascending order. What they have in common is not visited.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<Key> {
        let mut keys = Vec::new();
        self.top.differences(&other.top, &mut keys);
        keys
    }

    /// The proof for `changes`, which are in ascending order of their keys.
    #[must_use]
    pub fn prove(&self, changes: &[TreeChange]) -> Proof {
        let removes = changes.iter().any(|change| change.after.is_none());
        let mut nodes = Vec::new();
        self.top.prove(changes, removes, 0, &mut nodes);
        Proof { nodes }
    }
}

impl FromIterator<(Key, Hash)> for Tree {
    fn from_iter<I: IntoIterator<Item = (Key, Hash)>>(leaves: I) -> Self {
        let mut tree = Self::new();
        for (key, value) in leaves {
            let _before = tree.set(key, Some(value));
        }
        tree
    }
}

impl Part {
    fn hash(&self) -> Hash {
        match self {
            Self::Empty => Hash::ZERO,
            Self::Leaf { hash, .. } => *hash,
            Self::Branch(branch) => branch.hash,
        }
    }

    fn leaf(key: Key, value: Hash) -> Self {
        Self::Leaf { key, value, hash: leaf_hash(&key, &value, &Native) }
    }

    /// The subtree over two children: a lone leaf rises.
    fn join(left: Self, right: Self) -> Self {
        match (left, right) {
            (Self::Empty, Self::Empty) => Self::Empty,
            (leaf @ Self::Leaf { .. }, Self::Empty) | (Self::Empty, leaf @ Self::Leaf { .. }) => leaf,
            (left, right) => {
                let hash = branch_hash(&left.hash(), &right.hash(), &Native);
                Self::Branch(Arc::new(Branch { left, right, hash }))
            }
        }
    }

    fn with(&self, key: Key, value: Option<Hash>, depth: usize) -> Self {
        match (self, value) {
            (Self::Empty, None) => Self::Empty,
            (Self::Empty, Some(value)) => Self::leaf(key, value),
            (Self::Leaf { key: found, .. }, None) if *found == key => Self::Empty,
            (Self::Leaf { key: found, .. }, Some(value)) if *found == key => Self::leaf(key, value),
            (Self::Leaf { .. }, None) => self.clone(),
            (Self::Leaf { key: found, .. }, Some(value)) => self.split(*found, key, value, depth),
            (Self::Branch(branch), value) => {
                let below = depth.saturating_add(1);
                if bit(&key, depth) {
                    Self::join(branch.left.clone(), branch.right.with(key, value, below))
                } else {
                    Self::join(branch.left.with(key, value, below), branch.right.clone())
                }
            }
        }
    }

    /// Two leaves where there was one. Keys that agree beyond [`MAX_DEPTH`] cannot be proved, and do not exist.
    fn split(&self, found: Key, key: Key, value: Hash, depth: usize) -> Self {
        debug_assert!(depth < MAX_DEPTH, "keys are hashes");
        match (bit(&found, depth), bit(&key, depth)) {
            (false, true) => Self::join(self.clone(), Self::leaf(key, value)),
            (true, false) => Self::join(Self::leaf(key, value), self.clone()),
            (true, true) => Self::join(Self::Empty, self.split(found, key, value, depth.saturating_add(1))),
            (false, false) => Self::join(self.split(found, key, value, depth.saturating_add(1)), Self::Empty),
        }
    }

    fn differences(&self, other: &Self, keys: &mut Vec<Key>) {
        if self.hash() == other.hash() {
            return;
        }
        if let (Self::Branch(one), Self::Branch(two)) = (self, other) {
            one.left.differences(&two.left, keys);
            one.right.differences(&two.right, keys);
            return;
        }
        // One of the two is a leaf at most, so nearly everything in the other differs.
        let (mut one, mut two) = (BTreeMap::new(), BTreeMap::new());
        self.leaves(&mut one);
        other.leaves(&mut two);
        let all: BTreeSet<_> = one.keys().chain(two.keys()).copied().collect();
        keys.extend(all.into_iter().filter(|key| one.get(key) != two.get(key)));
    }

    fn leaves(&self, into: &mut BTreeMap<Key, Hash>) {
        match self {
            Self::Empty => {}
            Self::Leaf { key, value, .. } => drop(into.insert(*key, *value)),
            Self::Branch(branch) => {
                branch.left.leaves(into);
                branch.right.leaves(into);
            }
        }
    }

    fn prove(&self, changes: &[TreeChange], removes: bool, depth: usize, nodes: &mut Vec<TreeNode>) {
        match self {
            Self::Empty => nodes.push(TreeNode::Empty),
            Self::Leaf { hash, .. } if changes.is_empty() && !removes => nodes.push(TreeNode::Opaque(*hash)),
            Self::Leaf { key, value, .. } => nodes.push(TreeNode::Leaf { key: *key, value: *value }),
            Self::Branch(branch) if changes.is_empty() => nodes.push(if removes {
                TreeNode::Pruned { left: branch.left.hash(), right: branch.right.hash() }
            } else {
                TreeNode::Opaque(branch.hash)
            }),
            Self::Branch(branch) => {
                nodes.push(TreeNode::Branch);
                let middle = changes.partition_point(|change| !bit(&change.key, depth));
                let (left, right) = changes.split_at(middle);
                let below = depth.saturating_add(1);
                branch.left.prove(left, removes, below, nodes);
                branch.right.prove(right, removes, below, nodes);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "small numbers")]
mod tests {
    use super::*;
    use crate::{
        crypto::Crypto,
        tree::{MAX_NODES, ProofError, Roots, proof::build},
    };
    use proptest::prelude::*;

    fn hash(seed: u32) -> Hash {
        Native.hash(&seed.to_le_bytes())
    }

    /// The tree by its definition alone.
    fn root_of(leaves: &BTreeMap<Key, Hash>) -> Hash {
        let leaves: Vec<_> = leaves.iter().map(|(key, value)| (*key, *value)).collect();
        *build(&leaves, 0, &Native).unwrap().hash()
    }

    fn tree(size: u32) -> Tree {
        (0..size).map(|seed| (hash(seed), hash(seed + 1))).collect()
    }

    fn change(tree: &Tree, key: Key, after: Option<Hash>) -> TreeChange {
        TreeChange { key, before: tree.get(&key), after }
    }

    /// Some changes of `tree`, in order, for keys in it and not in it.
    fn changes(tree: &Tree, seeds: &[(u32, Option<u32>)]) -> Vec<TreeChange> {
        let by_key: BTreeMap<_, _> = seeds.iter().map(|(key, after)| (hash(*key), after.map(hash))).collect();
        by_key.into_iter().map(|(key, after)| change(tree, key, after)).collect()
    }

    #[test]
    fn an_empty_tree_has_the_root_zero_and_a_lone_leaf_is_its_own_root() {
        assert_eq!(Tree::new().root(), Hash::ZERO);
        let lone: Tree = [(hash(1), hash(2))].into_iter().collect();
        assert_eq!(lone.root(), leaf_hash(&hash(1), &hash(2), &Native));
    }

    #[test]
    fn a_proof_grows_with_the_logarithm_of_the_tree() {
        let size = |leaves| {
            let tree = tree(leaves);
            let change = [change(&tree, hash(0), Some(hash(7)))];
            let proof = tree.prove(&change);
            assert_eq!(proof.apply(&change, &Native).unwrap().before, tree.root());
            scale::Encode::encoded_size(&proof)
        };
        let (one, thousand, many) = (size(1), size(1_000), size(100_000));
        assert!(one < 100 && thousand < 700 && many < 1_000, "{one}, {thousand}, {many} bytes");
    }

    #[test]
    fn a_removal_beside_an_opaque_subtree_is_not_covered() {
        let tree = tree(2);
        let removal = changes(&tree, &[(0, None)]);
        let shown = tree.prove(&changes(&tree, &[(0, Some(9))]));
        assert!(shown.nodes.iter().any(|node| matches!(node, TreeNode::Opaque(_))));
        assert_eq!(shown.apply(&removal, &Native), Err(ProofError::NotCovered));
        assert_eq!(tree.prove(&removal).apply(&removal, &Native).unwrap().after, tree.with(&removal).root());
    }

    #[test]
    fn a_false_claim_about_a_leaf_is_refused() {
        let tree = tree(50);
        for key in [hash(3), hash(1_000)] {
            for before in [None, Some(hash(77))].into_iter().filter(|before| *before != tree.get(&key)) {
                let claim = [TreeChange { key, before, after: None }];
                assert_eq!(tree.prove(&claim).apply(&claim, &Native), Err(ProofError::WrongLeaf));
            }
        }
    }

    #[test]
    fn keys_out_of_order_or_twice_are_refused() {
        let tree = tree(9);
        let mut two = changes(&tree, &[(1, None), (2, None)]);
        let proof = tree.prove(&two);
        two.reverse();
        assert_eq!(proof.apply(&two, &Native), Err(ProofError::KeysUnsorted));
        assert_eq!(proof.apply(&[two[0], two[0]], &Native), Err(ProofError::KeysUnsorted));
    }

    #[test]
    fn a_proof_that_ends_early_goes_on_or_is_too_deep_is_refused() {
        let tree = tree(9);
        let one = changes(&tree, &[(1, None)]);
        let mut proof = tree.prove(&one);
        proof.nodes.push(TreeNode::Empty);
        assert_eq!(proof.apply(&one, &Native), Err(ProofError::WrongLength));
        let end = proof.nodes.len() - 2;
        proof.nodes.truncate(end);
        assert_eq!(proof.apply(&one, &Native), Err(ProofError::WrongLength));
        for (nodes, error) in [
            (vec![TreeNode::Branch; MAX_DEPTH], ProofError::WrongLength),
            (vec![TreeNode::Branch; MAX_DEPTH + 1], ProofError::TooLarge),
            (vec![TreeNode::Empty; MAX_NODES], ProofError::WrongLength),
            (vec![TreeNode::Empty; MAX_NODES + 1], ProofError::TooLarge),
        ] {
            assert_eq!(Proof { nodes }.apply(&[], &Native), Err(error));
        }
    }

    #[test]
    fn a_leaf_where_its_key_does_not_belong_is_refused() {
        let tree = tree(2);
        let Proof { mut nodes } = tree.prove(&changes(&tree, &[(0, None), (1, None)]));
        nodes.swap(1, 2);
        assert_eq!(Proof { nodes }.apply(&[], &Native), Err(ProofError::Malformed));
    }

    proptest! {
        #[test]
        fn the_tree_and_its_proofs_agree_with_the_definition(
            size in 0u32..60,
            seeds in prop::collection::vec((0u32..80, prop::option::of(any::<u32>())), 0..12),
        ) {
            let tree = tree(size);
            let mut plain: BTreeMap<_, _> = (0..size).map(|seed| (hash(seed), hash(seed + 1))).collect();
            prop_assert_eq!(tree.root(), root_of(&plain));
            let changes = changes(&tree, &seeds);
            let proof = tree.prove(&changes);
            let before = tree.root();
            for TreeChange { key, after, .. } in &changes {
                match after {
                    Some(value) => drop(plain.insert(*key, *value)),
                    None => drop(plain.remove(key)),
                }
            }
            let after = root_of(&plain);
            prop_assert_eq!(tree.with(&changes).root(), after);
            let differ: Vec<_> = changes.iter().filter(|change| change.before != change.after).map(|change| change.key).collect();
            prop_assert_eq!(tree.differences(&tree.with(&changes)), differ.clone());
            prop_assert_eq!(tree.with(&changes).differences(&tree), differ);
            prop_assert_eq!(tree.with(&changes).len(), plain.len());
            prop_assert_eq!(proof.apply(&changes, &Native), Ok(Roots { before, after }));
        }

        #[test]
        fn no_change_of_a_proof_shows_another_change_of_the_same_tree(
            size in 1u32..40,
            seeds in prop::collection::vec((0u32..50, prop::option::of(any::<u32>())), 1..4),
            place in any::<prop::sample::Index>(),
            flip in 0usize..512,
        ) {
            let tree = tree(size);
            let changes = changes(&tree, &seeds);
            let mut proof = tree.prove(&changes);
            let node = place.index(proof.nodes.len());
            let flipped = |hash: &mut Hash| hash.0[flip / 8 % 32] ^= 1 << (flip % 8);
            match &mut proof.nodes[node] {
                TreeNode::Empty => proof.nodes[node] = TreeNode::Opaque(hash(1)),
                TreeNode::Branch => proof.nodes[node] = TreeNode::Empty,
                TreeNode::Leaf { key, .. } if flip < 256 => flipped(key),
                TreeNode::Leaf { value, .. } => flipped(value),
                TreeNode::Opaque(hash) => flipped(hash),
                TreeNode::Pruned { left, .. } if flip < 256 => flipped(left),
                TreeNode::Pruned { right, .. } => flipped(right),
            }
            let shown = proof.apply(&changes, &Native);
            prop_assert!(shown.is_err() || shown.unwrap().before != tree.root());
        }

        #[test]
        fn random_nodes_never_panic(
            nodes in prop::collection::vec((0u8..5, any::<u32>(), any::<u32>()), 0..200),
            seeds in prop::collection::vec((0u32..50, prop::option::of(any::<u32>())), 0..4),
        ) {
            let nodes = nodes
                .into_iter()
                .map(|(kind, one, two)| match kind {
                    0 => TreeNode::Empty,
                    1 => TreeNode::Leaf { key: hash(one), value: hash(two) },
                    2 => TreeNode::Opaque(hash(one)),
                    3 => TreeNode::Branch,
                    _ => TreeNode::Pruned { left: hash(one), right: hash(two) },
                })
                .collect();
            let _shown = Proof { nodes }.apply(&changes(&Tree::new(), &seeds), &Native);
        }
    }
}
