//! Proofs about a random tree, honest and tampered with: the verifier never panics; what it accepts under the tree's own root says the truth
//! about every leaf claimed, and gives the root of the tree after the change. Both roots are held against the tree by its definition (R4.2).

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use protocol::{
    Hash,
    crypto::{Crypto, Native},
    decode_exact,
    tree::{TreeChange, TreeNode, Proof, Roots, Tree},
};
use std::collections::BTreeMap;

#[derive(Arbitrary, Debug)]
struct Input {
    /// Leaves by number, with the number of their value.
    leaves: Vec<(u16, u8)>,
    /// Keys by number, what is claimed to be there (none: nothing; otherwise what is there plus this), and what comes after.
    claims: Vec<(u16, Option<u8>, Option<u8>)>,
    tampering: Vec<Tampering>,
}

#[derive(Arbitrary, Debug)]
enum Tampering {
    Remove(u16),
    Insert(u16, Piece),
    Replace(u16, Piece),
    Swap(u16, u16),
    Flip(u16, u16),
    Raw(Vec<u8>),
    /// Every empty subtree becomes opaque.
    Cover,
    /// What is opaque or pruned is opened by one level; its empty sides stay empty, or become opaque.
    Open(u16, bool),
    /// A subtree, by its hash.
    Close(u16),
}

#[derive(Arbitrary, Debug)]
enum Piece {
    Empty,
    Leaf(u16, u8),
    Opaque(u16),
    Branch,
    Pruned(u16, u16),
    /// The whole tree, closed.
    Root,
    /// Nothing at all, closed.
    Zero,
    /// One of the tree's subtrees, closed.
    Closed(u16),
    /// The same as a leaf or a pruned branch.
    Opened(u16),
}

type Leaves = BTreeMap<Hash, Hash>;

/// The tree by its definition: its root, and every subtree in it by its hash.
struct Plain {
    root: Hash,
    subtrees: BTreeMap<Hash, TreeNode>,
}

impl Plain {
    fn over(leaves: &Leaves) -> Self {
        let mut subtrees = BTreeMap::new();
        let root = subtree(&leaves.iter().map(|(key, value)| (*key, *value)).collect::<Vec<_>>(), 0, &mut subtrees);
        Self { root, subtrees }
    }

    fn some(&self, number: u16) -> Option<(Hash, TreeNode)> {
        let place = usize::from(number) % self.subtrees.len().max(1);
        self.subtrees.iter().nth(place).map(|(hash, node)| (*hash, *node))
    }
}

fn subtree(leaves: &[(Hash, Hash)], depth: usize, all: &mut BTreeMap<Hash, TreeNode>) -> Hash {
    let (hash, node) = match *leaves {
        [] => return Hash::ZERO,
        [(key, value)] => (hash(0, key, value), TreeNode::Leaf { key, value }),
        _ => {
            let goes_right = |key: &Hash| key.0[depth / 8] >> (7 - depth % 8) & 1 == 1;
            let (right, left): (Vec<_>, Vec<_>) = leaves.iter().partition(|(key, _)| goes_right(key));
            let (left, right) = (subtree(&left, depth + 1, all), subtree(&right, depth + 1, all));
            (hash(1, left, right), TreeNode::Pruned { left, right })
        }
    };
    let _known = all.insert(hash, node);
    hash
}

fn hash(tag: u8, one: Hash, other: Hash) -> Hash {
    Native.hash(&[&[tag][..], &one.0, &other.0].concat())
}

/// The end of the subtree that begins with this node.
fn end(nodes: &[TreeNode], from: usize) -> usize {
    let (mut at, mut open) = (from, 1usize);
    while open > 0 && at < nodes.len() {
        open = if nodes[at] == TreeNode::Branch { open + 1 } else { open - 1 };
        at += 1;
    }
    at
}

/// The hash of the subtree that begins with this node, by what the nodes say.
fn closed(nodes: &[TreeNode], from: usize) -> Hash {
    match nodes.get(from) {
        None | Some(TreeNode::Empty) => Hash::ZERO,
        Some(&TreeNode::Leaf { key, value }) => hash(0, key, value),
        Some(TreeNode::Opaque(hash)) => *hash,
        Some(&TreeNode::Pruned { left, right }) => hash(1, left, right),
        Some(TreeNode::Branch) => hash(1, closed(nodes, from + 1), closed(nodes, end(nodes, from + 1))),
    }
}

/// Few keys with long common beginnings among them, so that deep branches occur.
fn key(number: u16) -> Hash {
    let mut hash = Native.hash(&(number / 4).to_le_bytes());
    if number % 4 > 0 {
        let shared = usize::from(number % 4) * 3;
        let other = Native.hash(&number.to_be_bytes());
        let start = Native.hash(b"begin");
        hash.0[..shared].copy_from_slice(&start.0[..shared]);
        hash.0[shared..].copy_from_slice(&other.0[shared..]);
    }
    hash
}

fn value(number: u8) -> Hash {
    Native.hash(&[number])
}

fn node(piece: &Piece, tree: &Tree, plain: &Plain) -> TreeNode {
    let hash = |number: u16| tree.get(&key(number)).unwrap_or(key(number));
    match *piece {
        Piece::Empty => TreeNode::Empty,
        Piece::Leaf(number, other) => TreeNode::Leaf { key: key(number), value: value(other) },
        Piece::Opaque(number) => TreeNode::Opaque(hash(number)),
        Piece::Branch => TreeNode::Branch,
        Piece::Pruned(left, right) => TreeNode::Pruned { left: hash(left), right: hash(right) },
        Piece::Root => TreeNode::Opaque(tree.root()),
        Piece::Zero => TreeNode::Opaque(Hash::ZERO),
        Piece::Closed(number) => plain.some(number).map_or(TreeNode::Empty, |(hash, _)| TreeNode::Opaque(hash)),
        Piece::Opened(number) => plain.some(number).map_or(TreeNode::Empty, |(_, node)| node),
    }
}

fn tamper(nodes: &mut Vec<TreeNode>, tampering: &Tampering, tree: &Tree, plain: &Plain) {
    let length = nodes.len().max(1);
    let place = |number: u16| usize::from(number) % length;
    match tampering {
        Tampering::Remove(number) if !nodes.is_empty() => {
            drop::<Vec<_>>(nodes.splice(place(*number)..=place(*number), []).collect())
        }
        Tampering::Insert(number, piece) => nodes.insert(place(*number).min(nodes.len()), node(piece, tree, plain)),
        Tampering::Replace(number, piece) if !nodes.is_empty() => nodes[place(*number)] = node(piece, tree, plain),
        Tampering::Swap(one, two) if !nodes.is_empty() => nodes.swap(place(*one), place(*two)),
        Tampering::Flip(number, bit) if !nodes.is_empty() => {
            let flip = |hash: &mut Hash| hash.0[usize::from(bit / 8) % 32] ^= 1 << (bit % 8);
            match &mut nodes[place(*number)] {
                TreeNode::Leaf { key, .. } if *bit < 256 => flip(key),
                TreeNode::Leaf { value: hash, .. } | TreeNode::Opaque(hash) | TreeNode::Pruned { left: hash, .. } => flip(hash),
                TreeNode::Empty | TreeNode::Branch => {}
            }
        }
        Tampering::Raw(bytes) => {
            if let Ok(proof) = decode_exact::<Proof>(bytes) {
                *nodes = proof.nodes;
            }
        }
        Tampering::Cover => {
            for node in nodes.iter_mut().filter(|node| **node == TreeNode::Empty) {
                *node = TreeNode::Opaque(Hash::ZERO);
            }
        }
        Tampering::Open(number, covers) if !nodes.is_empty() => {
            let at = place(*number);
            let side = |hash| match (hash == Hash::ZERO, covers) {
                (true, false) => TreeNode::Empty,
                _ => TreeNode::Opaque(hash),
            };
            if matches!(nodes[at], TreeNode::Opaque(_) | TreeNode::Pruned { .. }) {
                let opened = match plain.subtrees.get(&closed(nodes, at)) {
                    None => vec![nodes[at]],
                    Some(&TreeNode::Pruned { left, right }) => vec![TreeNode::Branch, side(left), side(right)],
                    Some(leaf) => vec![*leaf],
                };
                drop::<Vec<_>>(nodes.splice(at..=at, opened).collect());
            }
        }
        Tampering::Close(number) if !nodes.is_empty() => {
            let at = place(*number);
            let (end, hash) = (end(nodes, at), closed(nodes, at));
            drop::<Vec<_>>(nodes.splice(at..end, [TreeNode::Opaque(hash)]).collect());
        }
        _ => {}
    }
}

fuzz_target!(|input: Input| {
    let leaves: Leaves = input.leaves.iter().map(|(number, other)| (key(*number), value(*other))).collect();
    let tree: Tree = leaves.iter().map(|(key, value)| (*key, *value)).collect();
    let plain = Plain::over(&leaves);
    assert_eq!(tree.root(), plain.root, "the tree as peers keep it is not the one of the definition");
    // By key: in ascending order, each once.
    let claims: BTreeMap<Hash, TreeChange> = (input.claims.iter())
        .map(|(number, before, after)| {
            let key = key(*number);
            let before = match before {
                Some(0) | None => tree.get(&key),
                Some(1) => None,
                Some(lie) => Some(value(*lie)),
            };
            (key, TreeChange { key, before, after: after.map(value) })
        })
        .collect();
    let changes: Vec<TreeChange> = claims.into_values().collect();
    let is_true = changes.iter().all(|change| tree.get(&change.key) == change.before);
    let mut proof = tree.prove(&changes);
    if input.tampering.is_empty() {
        let shown = proof.apply(&changes, &Native);
        assert_eq!(shown.is_ok(), is_true, "an honest proof shows the truth, and no lie");
    }
    for tampering in &input.tampering {
        tamper(&mut proof.nodes, tampering, &tree, &plain);
    }
    let Ok(Roots { before, after }) = proof.apply(&changes, &Native) else { return };
    if before == plain.root {
        assert!(is_true, "a false claim under the true root");
        let mut changed = leaves;
        for TreeChange { key, after, .. } in &changes {
            let _before = match after {
                Some(value) => changed.insert(*key, *value),
                None => changed.remove(key),
            };
        }
        assert_eq!(after, Plain::over(&changed).root, "a false root after the change");
        assert_eq!(after, tree.with(&changes).root(), "a tree's root does not tell how it came about");
    }
});
