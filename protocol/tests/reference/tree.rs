//! The contracts' tree by its definition (R4.2), and what a proof says by itself.

use blake2::{Blake2b, Digest, digest::consts::U32};
use protocol::{
    Hash,
    tree::{Node, ProofError},
};
use std::collections::BTreeMap;

/// A leaf's value before and after, by its key.
pub struct Claim {
    pub key: Hash,
    pub before: Hash,
    pub after: Option<Hash>,
}

/// blake2b-256 (R3.1).
pub fn hash(parts: &[&[u8]]) -> Hash {
    let mut hasher = Blake2b::<U32>::new();
    parts.iter().for_each(|part| hasher.update(part));
    Hash(hasher.finalize().into())
}

fn bits(key: &Hash) -> String {
    key.0.iter().map(|byte| format!("{byte:08b}")).collect()
}

/// What a part of a tree is known to be. A part is named by the bits that lead to it.
#[derive(Clone, Debug, PartialEq)]
enum Known {
    Nothing,
    Leaf(Hash, Hash),
    /// Something of at least two leaves.
    Many(Hash),
    /// A leaf, or many.
    Some(Hash),
}

impl Known {
    fn hash(&self) -> Hash {
        match self {
            Self::Nothing => Hash([0; 32]),
            Self::Leaf(key, value) => hash(&[&[0], &key.0, &value.0]),
            Self::Many(hash) | Self::Some(hash) => *hash,
        }
    }
}

/// The root over whole leaves.
pub fn root(leaves: &BTreeMap<Hash, Hash>) -> Hash {
    let leaves: Vec<_> = leaves.iter().map(|(key, value)| (bits(key), *key, *value)).collect();
    over(&leaves, 0).hash()
}

fn over(leaves: &[(String, Hash, Hash)], depth: usize) -> Known {
    match leaves {
        [] => Known::Nothing,
        [(_, key, value)] => Known::Leaf(*key, *value),
        _ => {
            let side = |bit| {
                let here = leaves.iter().filter(|(bits, ..)| bits.as_bytes()[depth] == bit);
                over(&here.cloned().collect::<Vec<_>>(), depth + 1).hash()
            };
            Known::Many(hash(&[&[1], &side(b'0').0, &side(b'1').0]))
        }
    }
}

/// The roots before and after that a proof shows for these claims. Checked in this order: its size; the keys' order; then node by node as it
/// is written, a branch itself after both its sides; at the end that nothing follows.
pub fn shows(nodes: &[Node], claims: &[Claim]) -> Result<(Hash, Hash), ProofError> {
    if nodes.len() > 4_096 {
        return Err(ProofError::TooLarge);
    }
    if claims.windows(2).any(|two| two[0].key >= two[1].key) {
        return Err(ProofError::KeysUnsorted);
    }
    let mut rest = nodes;
    let (before, after) = part(&mut rest, "", claims)?;
    if rest.is_empty() { Ok((before.hash(), after.hash())) } else { Err(ProofError::WrongLength) }
}

fn part(rest: &mut &[Node], path: &str, claims: &[Claim]) -> Result<(Known, Known), ProofError> {
    let here: Vec<&Claim> = claims.iter().filter(|claim| bits(&claim.key).starts_with(path)).collect();
    if path.len() > 96 {
        return Err(ProofError::TooLarge);
    }
    let (node, more) = rest.split_first().ok_or(ProofError::WrongLength)?;
    *rest = more;
    let before = match *node {
        Node::Empty => Known::Nothing,
        Node::Leaf { key, value } if bits(&key).starts_with(path) => Known::Leaf(key, value),
        Node::Leaf { .. } => return Err(ProofError::Malformed),
        Node::Branch => return branch(rest, path, claims, !here.is_empty()),
        _ if !here.is_empty() => return Err(ProofError::NotCovered),
        Node::Opaque(hash) => Known::Some(hash),
        Node::Pruned { left, right } => Known::Many(hash(&[&[1], &left.0, &right.0])),
    };
    if here.is_empty() {
        return Ok((before.clone(), before));
    }
    // At most one leaf was here: every claim must be about it.
    let Known::Leaf(key, value) = before else { return Err(ProofError::WrongLeaf) };
    match here[..] {
        [claim] if (claim.key, claim.before) == (key, value) => {
            Ok((before, claim.after.map_or(Known::Nothing, |after| Known::Leaf(key, after))))
        }
        _ => Err(ProofError::WrongLeaf),
    }
}

fn branch(rest: &mut &[Node], path: &str, claims: &[Claim], touched: bool) -> Result<(Known, Known), ProofError> {
    let left = part(rest, &format!("{path}0"), claims)?;
    let right = part(rest, &format!("{path}1"), claims)?;
    let before = match (&left.0, &right.0) {
        // A branch has two leaves at least.
        (Known::Nothing, Known::Nothing | Known::Leaf(..)) | (Known::Leaf(..), Known::Nothing) => {
            return Err(ProofError::Malformed);
        }
        (one, two) => Known::Many(hash(&[&[1], &one.hash().0, &two.hash().0])),
    };
    if !touched || (left.0 == left.1 && right.0 == right.1) {
        return Ok((before.clone(), before));
    }
    let after = match (left.1, right.1) {
        (Known::Nothing, Known::Nothing) => Known::Nothing,
        // A lone leaf rises; of something unknown it is not known whether it would.
        (leaf @ Known::Leaf(..), Known::Nothing) | (Known::Nothing, leaf @ Known::Leaf(..)) => leaf,
        (Known::Some(_), Known::Nothing) | (Known::Nothing, Known::Some(_)) => return Err(ProofError::NotCovered),
        (one, two) => Known::Many(hash(&[&[1], &one.hash().0, &two.hash().0])),
    };
    Ok((before, after))
}
