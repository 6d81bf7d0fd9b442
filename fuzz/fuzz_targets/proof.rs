//! Proofs about a random tree, honest and tampered with: the verifier never panics; what it accepts under the tree's own root says the truth
//! about every leaf claimed, and gives the root of the tree after the change.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use protocol::{
    Hash,
    crypto::{Crypto, Native},
    decode_exact,
    tree::{Change, Node, Proof, Roots, Tree},
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

fn node(piece: &Piece, tree: &Tree) -> Node {
    let hash = |number: u16| tree.get(&key(number)).unwrap_or(key(number));
    match *piece {
        Piece::Empty => Node::Empty,
        Piece::Leaf(number, other) => Node::Leaf { key: key(number), value: value(other) },
        Piece::Opaque(number) => Node::Opaque(hash(number)),
        Piece::Branch => Node::Branch,
        Piece::Pruned(left, right) => Node::Pruned { left: hash(left), right: hash(right) },
        Piece::Root => Node::Opaque(tree.root()),
    }
}

fn tamper(nodes: &mut Vec<Node>, tampering: &Tampering, tree: &Tree) {
    let length = nodes.len().max(1);
    let place = |number: u16| usize::from(number) % length;
    match tampering {
        Tampering::Remove(number) if !nodes.is_empty() => {
            drop::<Vec<_>>(nodes.splice(place(*number)..=place(*number), []).collect())
        }
        Tampering::Insert(number, piece) => nodes.insert(place(*number).min(nodes.len()), node(piece, tree)),
        Tampering::Replace(number, piece) if !nodes.is_empty() => nodes[place(*number)] = node(piece, tree),
        Tampering::Swap(one, two) if !nodes.is_empty() => nodes.swap(place(*one), place(*two)),
        Tampering::Flip(number, bit) if !nodes.is_empty() => {
            let flip = |hash: &mut Hash| hash.0[usize::from(bit / 8) % 32] ^= 1 << (bit % 8);
            match &mut nodes[place(*number)] {
                Node::Leaf { key, .. } if *bit < 256 => flip(key),
                Node::Leaf { value: hash, .. } | Node::Opaque(hash) | Node::Pruned { left: hash, .. } => flip(hash),
                Node::Empty | Node::Branch => {}
            }
        }
        Tampering::Raw(bytes) => {
            if let Ok(proof) = decode_exact::<Proof>(bytes) {
                *nodes = proof.nodes;
            }
        }
        _ => {}
    }
}

fuzz_target!(|input: Input| {
    let tree: Tree = input.leaves.iter().map(|(number, other)| (key(*number), value(*other))).collect();
    // By key: in ascending order, each once.
    let claims: BTreeMap<Hash, Change> = (input.claims.iter())
        .map(|(number, before, after)| {
            let key = key(*number);
            let before = match before {
                Some(0) | None => tree.get(&key),
                Some(1) => None,
                Some(lie) => Some(value(*lie)),
            };
            (key, Change { key, before, after: after.map(value) })
        })
        .collect();
    let changes: Vec<Change> = claims.into_values().collect();
    let is_true = changes.iter().all(|change| tree.get(&change.key) == change.before);
    let mut proof = tree.prove(&changes);
    if input.tampering.is_empty() {
        let shown = proof.apply(&changes, &Native);
        assert_eq!(shown.is_ok(), is_true, "an honest proof shows the truth, and no lie");
    }
    for tampering in &input.tampering {
        tamper(&mut proof.nodes, tampering, &tree);
    }
    let Ok(Roots { before, after }) = proof.apply(&changes, &Native) else { return };
    if before == tree.root() {
        assert!(is_true, "a false claim under the true root");
        assert_eq!(after, tree.with(&changes).root(), "a false root after the change");
        let rebuilt: Tree = (input.leaves.iter().map(|(number, _)| key(*number)))
            .filter_map(|key| Some((key, tree.with(&changes).get(&key)?)))
            .chain(changes.iter().filter_map(|change| Some((change.key, change.after?))))
            .collect();
        assert_eq!(after, rebuilt.root(), "a tree's root does not tell how it came about");
    }
});
