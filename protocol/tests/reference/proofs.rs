//! Proofs rewritten by somebody who wants another root: whatever is accepted under the root of a tree is true of that tree, and ends in the
//! root of the tree after the changes (R4.2). Trees and roots are those of [`tree`], by the definition alone.

use crate::tree::{self, Claim, Leaves, NOTHING, hash};
use proptest::{
    prelude::*,
    sample::Index,
    test_runner::{RngAlgorithm, TestRng, TestRunner},
};
use protocol::{
    Hash,
    crypto::Native,
    tree::{Proof, ProofError, Tree, TreeChange, TreeNode},
};
use scale::Encode;
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

/// Some trees' leaves have these keys: two that part at the third bit, one that parts from them at the second, one at the first.
const FEW: [Hash; 4] = [Hash([0x10; 32]), Hash([0x30; 32]), Hash([0x50; 32]), Hash([0xC0; 32])];

fn value(number: u8) -> Hash {
    hash(&[b"value", &[number]])
}

fn tree_of(leaves: &Leaves) -> Tree {
    leaves.iter().map(|(key, value)| (*key, *value)).collect()
}

fn changed(leaves: &Leaves, changes: &[TreeChange]) -> Leaves {
    let mut leaves = leaves.clone();
    for change in changes {
        let _before = match change.after {
            Some(value) => leaves.insert(change.key, value),
            None => leaves.remove(&change.key),
        };
    }
    leaves
}

/// What a proof of these nodes comes to. Whether it is right is looked at here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    /// Under the tree's root, with the root after.
    Accepted,
    OfAnotherTree,
    Refused(&'static str),
}

fn judge(leaves: &Leaves, changes: &[TreeChange], nodes: &[TreeNode]) -> Verdict {
    let shown = Proof { nodes: nodes.to_vec() }.apply(changes, &Native).map(|roots| (roots.before, roots.after));
    let claim = |&TreeChange { key, before, after }: &TreeChange| Claim { key, before, after };
    let by_the_model = tree::shows(nodes, &changes.iter().map(claim).collect::<Vec<_>>());
    assert_eq!(shown, by_the_model, "the first by the rules, the second by the model, for {nodes:?}");
    match shown {
        Err(refused) => Verdict::Refused(match refused {
            ProofError::WrongLength => "wrong length",
            ProofError::TooLarge => "too large",
            ProofError::NotCovered => "not covered",
            ProofError::WrongLeaf => "wrong leaf",
            ProofError::KeysUnsorted => "keys unsorted",
            ProofError::Malformed => "malformed",
        }),
        Ok((before, _)) if before != tree::root(leaves) => Verdict::OfAnotherTree,
        Ok((_, after)) => {
            for change in changes {
                assert_eq!(leaves.get(&change.key), change.before.as_ref(), "a lie is accepted with {nodes:?}");
            }
            let expected = tree::root(&changed(leaves, changes));
            assert_eq!(after, expected, "the first is not the root after {changes:?} of {leaves:?}, with {nodes:?}");
            Verdict::Accepted
        }
    }
}

// Every tree over few keys.

/// All that may happen to the leaves of [`FEW`], lies about them included or not.
fn all_changes(leaves: &Leaves, with_lies: bool) -> Vec<Vec<TreeChange>> {
    FEW.iter().fold(vec![Vec::new()], |so_far, &key| {
        let truth = leaves.get(&key).copied();
        let lie = if truth.is_some() { None } else { Some(value(200)) };
        let afters = if truth.is_some() { vec![truth, Some(value(201)), None] } else { vec![None, Some(value(201))] };
        let mut kinds: Vec<Option<TreeChange>> = vec![None];
        kinds.extend(afters.into_iter().map(|after| Some(TreeChange { key, before: truth, after })));
        if with_lies {
            kinds.push(Some(TreeChange { key, before: lie, after: None }));
        }
        let longer = |changes: &Vec<TreeChange>| {
            let changes = changes.clone();
            kinds.clone().into_iter().map(move |kind| changes.iter().copied().chain(kind).collect())
        };
        so_far.iter().flat_map(longer).collect()
    })
}

fn all_trees() -> Vec<Leaves> {
    let subset = |bits: u8| FEW.iter().enumerate().filter(move |(place, _)| bits >> place & 1 == 1);
    (0..16).map(|bits| subset(bits).map(|(place, key)| (*key, value(place as u8))).collect()).collect()
}

/// Every way to show the subtree with this hash: each node says all that it knows, or less.
fn cuts(all: &BTreeMap<Hash, TreeNode>, top: Hash, empties: &[TreeNode]) -> Vec<Vec<TreeNode>> {
    match all.get(&top) {
        None => empties.iter().map(|empty| vec![*empty]).collect(),
        Some(&TreeNode::Pruned { left, right }) => {
            let (lefts, rights) = (cuts(all, left, empties), cuts(all, right, empties));
            let both = lefts
                .iter()
                .flat_map(|left| rights.iter().map(move |right| [&[TreeNode::Branch][..], left, right].concat()));
            [vec![TreeNode::Opaque(top)], vec![TreeNode::Pruned { left, right }]].into_iter().chain(both).collect()
        }
        Some(leaf) => vec![vec![TreeNode::Opaque(top)], vec![*leaf]],
    }
}

#[test]
fn every_way_to_show_every_tree_over_few_keys_gives_the_root_after_every_change_or_covers_too_little() {
    let mut tally = BTreeMap::<_, usize>::new();
    for leaves in all_trees() {
        let (tree, all, root) = (tree_of(&leaves), tree::subtrees(&leaves), tree::root(&leaves));
        let ways = cuts(&all, root, &[TreeNode::Empty, TreeNode::Opaque(NOTHING)]);
        for changes in all_changes(&leaves, false) {
            assert_eq!(judge(&leaves, &changes, &tree.prove(&changes).nodes), Verdict::Accepted);
            for way in &ways {
                let verdict = judge(&leaves, &changes, way);
                let allowed: &[Verdict] = if way.contains(&TreeNode::Opaque(NOTHING)) {
                    &[Verdict::Refused("malformed"), Verdict::Refused("not covered")]
                } else {
                    &[Verdict::Accepted, Verdict::Refused("not covered")]
                };
                assert!(allowed.contains(&verdict), "{verdict:?} for {changes:?} with {way:?}");
                *tally.entry(verdict).or_default() += 1;
            }
        }
    }
    println!("{tally:?}");
    assert!(tally.len() == 3 && tally.values().all(|&count| count >= 1_000), "{tally:?}");
}

/// So a tree has as many shapes as it has cuts: nothing else is accepted.
#[test]
fn of_all_proofs_of_up_to_five_nodes_those_that_cut_the_tree_are_accepted_and_no_others() {
    for leaves in all_trees() {
        let (all, root) = (tree::subtrees(&leaves), tree::root(&leaves));
        let mut ends =
            vec![TreeNode::Empty, TreeNode::Opaque(NOTHING), TreeNode::Pruned { left: NOTHING, right: NOTHING }];
        ends.extend(FEW.iter().enumerate().map(|(place, &key)| TreeNode::Leaf { key, value: value(place as u8) }));
        for (&hash, &node) in &all {
            ends.push(TreeNode::Opaque(hash));
            match node {
                // As if it were a branch of the same bytes, or had something beside it.
                TreeNode::Leaf { key, value } => ends.extend([
                    TreeNode::Pruned { left: key, right: value },
                    TreeNode::Pruned { left: hash, right: NOTHING },
                    TreeNode::Pruned { left: NOTHING, right: hash },
                ]),
                branch => ends.push(branch),
            }
        }
        let shapes: [&dyn Fn(TreeNode, TreeNode, TreeNode) -> Vec<TreeNode>; 4] = [
            &|one, _, _| vec![one],
            &|one, two, _| vec![TreeNode::Branch, one, two],
            &|one, two, three| vec![TreeNode::Branch, one, TreeNode::Branch, two, three],
            &|one, two, three| vec![TreeNode::Branch, TreeNode::Branch, one, two, three],
        ];
        let mut accepted = BTreeMap::new();
        for &one in &ends {
            for &two in &ends {
                for &three in &ends {
                    for nodes in shapes.map(|shape| shape(one, two, three)) {
                        let shown = Proof { nodes: nodes.clone() }.apply(&[], &Native);
                        if shown.is_ok_and(|roots| roots.before == root) {
                            let _again = accepted.insert(nodes.encode(), nodes);
                        }
                    }
                }
            }
        }
        let short = cuts(&all, root, &[TreeNode::Empty]).into_iter().filter(|nodes| nodes.len() <= 5);
        assert_eq!(accepted.keys().cloned().collect::<BTreeSet<_>>(), short.map(|nodes| nodes.encode()).collect());
        for changes in all_changes(&leaves, true) {
            for nodes in accepted.values() {
                let _verdict = judge(&leaves, &changes, nodes);
            }
        }
    }
}

#[test]
fn a_leaf_is_not_begun_beside_another_that_agrees_in_as_many_bits_as_the_bound() {
    let one = hash(&[b"one"]);
    let leaves: Leaves = [(one, value(0))].into_iter().collect();
    for (bits, verdict) in [
        (94, Verdict::Accepted),
        (95, Verdict::Accepted),
        (96, Verdict::Refused("too large")),
        (255, Verdict::Refused("too large")),
    ] {
        let mut two = one;
        two.0[bits / 8] ^= 0x80 >> (bits % 8);
        let begun = TreeChange { key: two, before: None, after: Some(value(1)) };
        let shown = TreeNode::Leaf { key: one, value: value(0) };
        assert_eq!(judge(&leaves, &[begun], &[shown]), verdict, "{bits} bits");
    }
}

// Random trees.

/// A key: of many short ones, of hashes, or of two families that agree in 40 and in 88 bits.
fn key(number: u16) -> Hash {
    let mut key = hash(&[b"key", &number.to_le_bytes()]);
    let (shared, own) = (hash(&[b"shared"]), (number >> 2) as u8);
    match number % 4 {
        0 => {}
        1 => key = Hash([own; 32]),
        2 => key.0[..5].copy_from_slice(&shared.0[..5]),
        _ => {
            key.0[..11].copy_from_slice(&shared.0[..11]);
            key.0[11] = own;
        }
    }
    key
}

/// A node that somebody might put in the place of another.
#[derive(Clone, Debug)]
enum Piece {
    Empty,
    Branch,
    /// An empty subtree, opaque or pruned.
    Zero(bool),
    /// A subtree of the tree, opaque.
    Closed(Index),
    /// The same, as a leaf or pruned.
    Open(Index),
    /// A branch with a subtree on one side and nothing on the other.
    Lone(Index, bool),
}

#[derive(Clone, Debug)]
enum Rewriting {
    /// Every empty subtree passes for something.
    AllEmptyOpaque,
    /// One of the empty subtrees becomes this.
    EmptyMade(Index, Piece),
    /// The subtree that begins with one of the nodes, by its hash.
    Closed(Index),
    /// The same, pruned.
    Pruned(Index),
    /// What is closed or pruned, opened by one level; its empty sides pass for something, or do not.
    Opened(Index, bool),
    /// A subtree with a branch above it that has nothing on the other side; that passes for something, or does not.
    Wrapped(Index, bool, bool),
    /// A branch of which the left or the right side alone remains.
    Unwrapped(Index, bool),
    /// A pruned branch loses a side.
    SideMadeZero(Index, bool),
    Swapped(Index, Index),
    /// One subtree in the place of another.
    Copied(Index, Index),
    Replaced(Index, Piece),
    Inserted(Index, Piece),
    Dropped(Index),
}

fn rewriting() -> impl Strategy<Value = Rewriting> {
    let index = any::<Index>;
    let piece = || {
        prop_oneof![
            Just(Piece::Empty),
            Just(Piece::Branch),
            any::<bool>().prop_map(Piece::Zero),
            index().prop_map(Piece::Closed),
            index().prop_map(Piece::Open),
            (index(), any::<bool>()).prop_map(|(of, right)| Piece::Lone(of, right)),
        ]
    };
    prop_oneof![
        1 => Just(Rewriting::AllEmptyOpaque),
        1 => (index(), piece()).prop_map(|(at, piece)| Rewriting::EmptyMade(at, piece)),
        3 => index().prop_map(Rewriting::Closed),
        3 => index().prop_map(Rewriting::Pruned),
        6 => (index(), prop::bool::weighted(0.2)).prop_map(|(at, opaque)| Rewriting::Opened(at, opaque)),
        1 => (index(), any::<bool>(), any::<bool>()).prop_map(|(at, right, opaque)| Rewriting::Wrapped(at, right, opaque)),
        1 => (index(), any::<bool>()).prop_map(|(at, right)| Rewriting::Unwrapped(at, right)),
        1 => (index(), any::<bool>()).prop_map(|(at, right)| Rewriting::SideMadeZero(at, right)),
        1 => (index(), index()).prop_map(|(one, two)| Rewriting::Swapped(one, two)),
        1 => (index(), index()).prop_map(|(from, to)| Rewriting::Copied(from, to)),
        1 => (index(), piece()).prop_map(|(at, piece)| Rewriting::Replaced(at, piece)),
        1 => (index(), piece()).prop_map(|(at, piece)| Rewriting::Inserted(at, piece)),
        1 => index().prop_map(Rewriting::Dropped),
    ]
}

impl Piece {
    fn node(&self, all: &BTreeMap<Hash, TreeNode>) -> TreeNode {
        let some = |of: &Index| {
            all.iter()
                .nth(of.index(all.len().max(1)))
                .map_or((value(0), TreeNode::Empty), |(hash, node)| (*hash, *node))
        };
        match self {
            Self::Empty => TreeNode::Empty,
            Self::Branch => TreeNode::Branch,
            Self::Zero(false) => TreeNode::Opaque(NOTHING),
            Self::Zero(true) => TreeNode::Pruned { left: NOTHING, right: NOTHING },
            Self::Closed(of) => TreeNode::Opaque(some(of).0),
            Self::Open(of) => some(of).1,
            Self::Lone(of, false) => TreeNode::Pruned { left: some(of).0, right: NOTHING },
            Self::Lone(of, true) => TreeNode::Pruned { left: NOTHING, right: some(of).0 },
        }
    }
}

/// The nodes of the subtree that begins here.
fn span(nodes: &[TreeNode], from: usize) -> Range<usize> {
    let (mut to, mut open) = (from, 1);
    while open > 0 && to < nodes.len() {
        open = if nodes[to] == TreeNode::Branch { open + 1 } else { open - 1 };
        to += 1;
    }
    from..to
}

/// What a subtree is, by the nodes alone: its hash, and its sides' where it is a branch.
fn closed(nodes: &[TreeNode]) -> (Hash, Option<(Hash, Hash)>) {
    let over = |left: Hash, right: Hash| (hash(&[&[1], &left.0, &right.0]), Some((left, right)));
    match nodes.first() {
        Some(TreeNode::Leaf { key, value }) => (hash(&[&[0], &key.0, &value.0]), None),
        Some(TreeNode::Opaque(hash)) => (*hash, None),
        Some(&TreeNode::Pruned { left, right }) => over(left, right),
        Some(TreeNode::Branch) => {
            let left = span(nodes, 1);
            let right = span(nodes, left.end);
            over(closed(&nodes[left]).0, closed(&nodes[right]).0)
        }
        Some(TreeNode::Empty) | None => (NOTHING, None),
    }
}

impl Rewriting {
    /// What of the nodes becomes what; none where there is nothing of its kind.
    fn edit(&self, nodes: &[TreeNode], all: &BTreeMap<Hash, TreeNode>) -> Option<(Range<usize>, Vec<TreeNode>)> {
        let among = |at: &Index, is: &dyn Fn(&TreeNode) -> bool| {
            let places: Vec<usize> = (0..nodes.len()).filter(|&place| is(&nodes[place])).collect();
            (!places.is_empty()).then(|| places[at.index(places.len())])
        };
        let any_of = |at: &Index| among(at, &|_| true).map(|place| span(nodes, place));
        let empty = |opaque: bool| if opaque { TreeNode::Opaque(NOTHING) } else { TreeNode::Empty };
        Some(match self {
            Self::AllEmptyOpaque => {
                let opaque = |node: &TreeNode| if *node == TreeNode::Empty { empty(true) } else { *node };
                (0..nodes.len(), nodes.iter().map(opaque).collect())
            }
            Self::EmptyMade(at, piece) => {
                let place = among(at, &|node| *node == TreeNode::Empty)?;
                (place..place + 1, vec![piece.node(all)])
            }
            Self::Closed(at) => {
                let place = any_of(at)?;
                (place.clone(), vec![TreeNode::Opaque(closed(&nodes[place]).0)])
            }
            Self::Pruned(at) => {
                let place = any_of(at)?;
                let (left, right) = closed(&nodes[place.clone()]).1?;
                (place, vec![TreeNode::Pruned { left, right }])
            }
            Self::Opened(at, opaque) => {
                let place = among(at, &|node| matches!(node, TreeNode::Opaque(_) | TreeNode::Pruned { .. }))?;
                let side = |hash| if hash == NOTHING { empty(*opaque) } else { TreeNode::Opaque(hash) };
                let opened = match *all.get(&closed(&nodes[place..=place]).0)? {
                    TreeNode::Pruned { left, right } => vec![TreeNode::Branch, side(left), side(right)],
                    leaf => vec![leaf],
                };
                (place..place + 1, opened)
            }
            Self::Wrapped(at, right, opaque) => {
                let place = any_of(at)?;
                let (inner, beside) = (&nodes[place.clone()], [empty(*opaque)]);
                let sides = if *right { [&beside, inner] } else { [inner, &beside] };
                (place, [&[TreeNode::Branch][..], &sides.concat()].concat())
            }
            Self::Unwrapped(at, right) => {
                let branch = among(at, &|node| *node == TreeNode::Branch)?;
                let left = span(nodes, branch + 1);
                let side = if *right { span(nodes, left.end) } else { left };
                (span(nodes, branch), nodes[side].to_vec())
            }
            Self::SideMadeZero(at, is_right) => {
                let place = among(at, &|node| matches!(node, TreeNode::Pruned { .. }))?;
                let (left, right) = closed(&nodes[place..=place]).1?;
                let (left, right) = if *is_right { (left, NOTHING) } else { (NOTHING, right) };
                (place..place + 1, vec![TreeNode::Pruned { left, right }])
            }
            Self::Swapped(one, two) => {
                let mut swapped = nodes.to_vec();
                swapped.swap(any_of(one)?.start, any_of(two)?.start);
                (0..nodes.len(), swapped)
            }
            Self::Copied(from, to) => (any_of(to)?, nodes[any_of(from)?].to_vec()),
            Self::Replaced(at, piece) => (any_of(at)?, vec![piece.node(all)]),
            Self::Inserted(at, piece) => {
                let place = at.index(nodes.len() + 1);
                (place..place, vec![piece.node(all)])
            }
            Self::Dropped(at) => {
                let place = any_of(at)?.start;
                (place..place + 1, Vec::new())
            }
        })
    }
}

#[derive(Clone, Debug)]
struct Case {
    /// By the numbers of their keys.
    leaves: Vec<(u16, u8)>,
    /// Of the leaves that there are, or of others: what they become.
    touched: Vec<(Touched, Option<u8>)>,
    /// Whether the first of them says something else of what is there.
    lies: bool,
    rewritings: Vec<Rewriting>,
}

#[derive(Clone, Debug)]
enum Touched {
    Leaf(Index),
    Key(u16),
}

fn case() -> impl Strategy<Value = Case> {
    let number = || 0u16..1_024;
    let touched = prop_oneof![3 => any::<Index>().prop_map(Touched::Leaf), 1 => number().prop_map(Touched::Key)];
    // Removals are what makes leaves rise.
    let after = prop::option::weighted(0.4, 0u8..4);
    let leaves =
        prop_oneof![prop::collection::vec((number(), 0u8..4), 0..8), prop::collection::vec((number(), 0u8..4), 0..65)];
    (
        leaves,
        prop::collection::vec((touched, after), 0..6),
        prop::bool::weighted(0.05),
        prop::collection::vec(rewriting(), 0..5),
    )
        .prop_map(|(leaves, touched, lies, rewritings)| Case { leaves, touched, lies, rewritings })
}

#[test]
fn however_a_proof_is_rewritten_what_is_accepted_under_a_trees_root_gives_the_root_after_the_changes() {
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(8_000) };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &[1; 32]));
    let tally = RefCell::new(BTreeMap::<_, usize>::new());
    let ran = runner.run(&case(), |Case { leaves, touched, lies, rewritings }| {
        let leaves: Leaves = leaves.into_iter().map(|(number, other)| (key(number), value(other))).collect();
        let changes: BTreeMap<Hash, TreeChange> = (touched.iter())
            .map(|(touched, after)| {
                let key = match touched {
                    Touched::Leaf(at) if !leaves.is_empty() => *leaves.keys().nth(at.index(leaves.len())).unwrap(),
                    Touched::Leaf(at) => key(at.index(1_024) as u16),
                    Touched::Key(number) => key(*number),
                };
                (key, TreeChange { key, before: leaves.get(&key).copied(), after: after.map(value) })
            })
            .collect();
        let mut changes: Vec<TreeChange> = changes.into_values().collect();
        if let Some(first) = changes.first_mut().filter(|_| lies) {
            first.before = if first.before.is_some() { None } else { Some(value(200)) };
        }
        let (tree, all) = (tree_of(&leaves), tree::subtrees(&leaves));
        prop_assert_eq!(tree.root(), tree::root(&leaves));
        let honest = tree.prove(&changes).nodes;
        let as_it_is = judge(&leaves, &changes, &honest);
        prop_assert_eq!(
            as_it_is,
            if lies && !changes.is_empty() { Verdict::Refused("wrong leaf") } else { Verdict::Accepted }
        );
        let mut nodes = honest.clone();
        for rewriting in &rewritings {
            if let Some((place, new)) = rewriting.edit(&nodes, &all) {
                drop(nodes.splice(place, new).collect::<Vec<_>>());
            }
        }
        if nodes != honest {
            *tally.borrow_mut().entry(judge(&leaves, &changes, &nodes)).or_default() += 1;
        }
        Ok(())
    });
    println!("{tally:?}");
    ran.unwrap_or_else(|failed| panic!("{failed}"));
    let tally = tally.into_inner();
    let counted = |verdict| tally.get(&verdict).copied().unwrap_or(0);
    for verdict in
        [Verdict::Accepted, Verdict::OfAnotherTree, Verdict::Refused("malformed"), Verdict::Refused("not covered")]
    {
        assert!(counted(verdict) >= 200, "{verdict:?} of {tally:?}");
    }
    for refused in ["wrong length", "wrong leaf"] {
        assert!(counted(Verdict::Refused(refused)) >= 100, "{refused} of {tally:?}");
    }
}
