//! The contracts' tree by its definition (R4.2), and what a proof says by itself.

use blake2::{Blake2b, Digest, digest::consts::U32};
use protocol::{
    Hash,
    tree::{ProofError, TreeNode},
};
use std::collections::BTreeMap;

/// The most nodes of a proof, and how deep it may go.
const NODES: usize = 2_048;
const DEPTH: usize = 96;

/// A leaf's value before and after, by its key; none where there is no such leaf.
pub struct Claim {
    pub key: Hash,
    pub before: Option<Hash>,
    pub after: Option<Hash>,
}

/// The leaves of a tree, or of a part of it: values by keys.
pub type Leaves = BTreeMap<Hash, Hash>;

/// What hash an empty subtree has.
pub const NOTHING: Hash = Hash([0; 32]);

/// blake2b-256 (R3.1).
pub fn hash(parts: &[&[u8]]) -> Hash {
    let mut hasher = Blake2b::<U32>::new();
    parts.iter().for_each(|part| hasher.update(part));
    Hash(hasher.finalize().into())
}

/// The bit of a key that decides at a depth, as it is written in a path.
fn letter(key: &Hash, depth: usize) -> char {
    char::from(b'0' + (key.0[depth / 8] >> (7 - depth % 8)) % 2)
}

fn is_below(key: &Hash, path: &str) -> bool {
    path.chars().enumerate().all(|(depth, bit)| letter(key, depth) == bit)
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
            Self::Nothing => NOTHING,
            Self::Leaf(key, value) => hash(&[&[0], &key.0, &value.0]),
            Self::Many(hash) | Self::Some(hash) => *hash,
        }
    }
}

/// The root over whole leaves.
pub fn root(leaves: &Leaves) -> Hash {
    over(leaves, 0, &mut |_, _| ()).hash()
}

/// Every subtree over whole leaves by its hash: a leaf, or a branch by the hashes of its sides.
pub fn subtrees(leaves: &Leaves) -> BTreeMap<Hash, TreeNode> {
    let mut all = BTreeMap::new();
    let _top = over(leaves, 0, &mut |hash, node| all.extend([(hash, node)]));
    all
}

/// The subtree over the leaves that are below one place, which are all the leaves that there are.
fn over(leaves: &Leaves, depth: usize, seen: &mut dyn FnMut(Hash, TreeNode)) -> Known {
    let mut each = leaves.iter();
    let (known, node) = match (each.next(), each.next()) {
        (None, _) => return Known::Nothing,
        (Some((&key, &value)), None) => (Known::Leaf(key, value), TreeNode::Leaf { key, value }),
        _ => {
            let mut side = |bit| {
                let here = leaves.iter().filter(|(key, _)| letter(key, depth) == bit);
                over(&here.map(|(key, value)| (*key, *value)).collect(), depth + 1, seen).hash()
            };
            let (left, right) = (side('0'), side('1'));
            (Known::Many(branch_hash(&left, &right)), TreeNode::Pruned { left, right })
        }
    };
    seen(known.hash(), node);
    known
}

fn branch_hash(left: &Hash, right: &Hash) -> Hash {
    hash(&[&[1], &left.0, &right.0])
}

/// The roots before and after that a proof shows for these claims. Checked in this order: its size; the keys' order; then node by node as it
/// is written, a branch itself after both its sides; at the end that nothing follows.
pub fn shows(nodes: &[TreeNode], claims: &[Claim]) -> Result<(Hash, Hash), ProofError> {
    if nodes.len() > NODES {
        return Err(ProofError::TooLarge);
    }
    if claims.windows(2).any(|two| two[0].key >= two[1].key) {
        return Err(ProofError::KeysUnsorted);
    }
    let mut rest = nodes;
    let (before, after) = part(&mut rest, "", claims)?;
    if rest.is_empty() { Ok((before.hash(), after.hash())) } else { Err(ProofError::WrongLength) }
}

fn part(rest: &mut &[TreeNode], path: &str, claims: &[Claim]) -> Result<(Known, Known), ProofError> {
    let here: Vec<&Claim> = claims.iter().filter(|claim| is_below(&claim.key, path)).collect();
    if path.len() > DEPTH {
        return Err(ProofError::TooLarge);
    }
    let (node, more) = rest.split_first().ok_or(ProofError::WrongLength)?;
    *rest = more;
    let before = match *node {
        TreeNode::Empty => Known::Nothing,
        TreeNode::Leaf { key, value } if is_below(&key, path) => Known::Leaf(key, value),
        TreeNode::Leaf { .. } => return Err(ProofError::Malformed),
        TreeNode::Branch => return branch(rest, path, claims, !here.is_empty()),
        TreeNode::Opaque(NOTHING) => return Err(ProofError::Malformed),
        _ if !here.is_empty() => return Err(ProofError::NotCovered),
        TreeNode::Opaque(hash) => Known::Some(hash),
        TreeNode::Pruned { left, right } => Known::Many(branch_hash(&left, &right)),
    };
    if here.is_empty() {
        return Ok((before.clone(), before));
    }
    // At most one leaf was here: every claim is about it, or about one that was not.
    let was: Leaves = match before {
        Known::Leaf(key, value) => [(key, value)].into_iter().collect(),
        _ => Leaves::new(),
    };
    let mut is = was.clone();
    for claim in here {
        if was.get(&claim.key) != claim.before.as_ref() {
            return Err(ProofError::WrongLeaf);
        }
        let _old = match claim.after {
            Some(value) => is.insert(claim.key, value),
            None => is.remove(&claim.key),
        };
    }
    let keys: Vec<&Hash> = is.keys().collect();
    let are_close = |one: &Hash, two: &Hash| (0..DEPTH).all(|depth| letter(one, depth) == letter(two, depth));
    if keys.windows(2).any(|two| are_close(two[0], two[1])) {
        return Err(ProofError::TooLarge);
    }
    Ok((before, over(&is, path.len(), &mut |_, _| ())))
}

fn branch(rest: &mut &[TreeNode], path: &str, claims: &[Claim], touched: bool) -> Result<(Known, Known), ProofError> {
    let left = part(rest, &format!("{path}0"), claims)?;
    let right = part(rest, &format!("{path}1"), claims)?;
    let before = match (&left.0, &right.0) {
        // A branch has two leaves at least.
        (Known::Nothing, Known::Nothing | Known::Leaf(..)) | (Known::Leaf(..), Known::Nothing) => {
            return Err(ProofError::Malformed);
        }
        (one, two) => Known::Many(branch_hash(&one.hash(), &two.hash())),
    };
    if !touched || (left.0 == left.1 && right.0 == right.1) {
        return Ok((before.clone(), before));
    }
    let after = match (left.1, right.1) {
        (Known::Nothing, Known::Nothing) => Known::Nothing,
        // A lone leaf rises; of something unknown it is not known whether it would.
        (leaf @ Known::Leaf(..), Known::Nothing) | (Known::Nothing, leaf @ Known::Leaf(..)) => leaf,
        (Known::Some(_), Known::Nothing) | (Known::Nothing, Known::Some(_)) => return Err(ProofError::NotCovered),
        (one, two) => Known::Many(branch_hash(&one.hash(), &two.hash())),
    };
    Ok((before, after))
}
