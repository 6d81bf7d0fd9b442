//! Every single way in which the proof of a forced step can be wrong (R4.2).

use super::{
    mutations::{healthy, healthy_base, healthy_step},
    *,
};
use protocol::{
    Hash, Rejection,
    call::{Call, ForceProgress},
    contracts::{
        ContractId,
        conditional::{ConditionalInput, HashFunction, Preimage},
    },
    tree::{MAX_DEPTH, MAX_NODES, Proof, ProofError, TreeNode},
};

mutations! {
    /// One thing wrong with a proof about two of twenty-two contracts.
    Mutation {
        WithoutNodes,
        FirstNodeDropped,
        LastNodeDropped,
        NodeAdded,
        /// A sibling that is not called.
        SiblingChanged,
        SiblingsSwapped,
        SiblingLeftEmpty,
        LeafsValueChanged,
        /// The leaf of another key, which belongs elsewhere.
        LeafsKeyChanged,
        LeafMadeEmpty,
        LeafMadeOpaque,
        TopMadeOpaque,
        TopMadeEmpty,
        TopMadePruned,
        /// Honest, of a tree in which a contract that is not called has another state.
        OfAnotherTree,
        /// Honest, of the state after the step.
        OfTheStateAfter,
        /// Honest, of a tree without anything else.
        OfTheTwoContractsAlone,
        /// Honest, of one of the two.
        OfOneContractOnly,
        OneNodeTooMany,
        OneLevelTooDeep,
    }
}

impl Mutation {
    fn make(self, world: &World, channel: &Channel, base: &Inside, call: &ForceProgress) -> (ForceProgress, Rejection) {
        let mut call = call.clone();
        let nodes = &mut call.proof.nodes;
        let is_opaque = |node: &TreeNode| matches!(node, TreeNode::Opaque(_));
        let opaque = nodes.iter().position(is_opaque).unwrap();
        let last_opaque = nodes.iter().rposition(is_opaque).unwrap();
        let is_leaf = |node: &TreeNode| matches!(node, TreeNode::Leaf { key, .. } if *key == COUNTER.key());
        let leaf = nodes.iter().position(is_leaf).unwrap();
        let nodes_of = |state: &Inside, ids: &[ContractId]| {
            let calls = ids.iter().map(|id| crate::harness::call(*id, 0, &0u8)).collect();
            world.blind(&channel.step(state, Party::Initiator, calls)).proof.nodes
        };
        let both = [ESCROW, COUNTER];
        let invalid = Rejection::ProofInvalid;
        let rejection = match self {
            Self::WithoutNodes => {
                nodes.clear();
                invalid(ProofError::WrongLength)
            }
            Self::FirstNodeDropped => {
                // The next branch stands for the top then, and something is left over, or claimed where it is not.
                let _top = nodes.remove(0);
                invalid(ProofError::NotCovered)
            }
            Self::LastNodeDropped => {
                let _last = nodes.pop();
                invalid(ProofError::WrongLength)
            }
            Self::NodeAdded => {
                nodes.push(TreeNode::Empty);
                invalid(ProofError::WrongLength)
            }
            Self::SiblingChanged => {
                let TreeNode::Opaque(hash) = &mut nodes[opaque] else { unreachable!("found as opaque") };
                hash.0[0] ^= 1;
                Rejection::ProofOfAnotherState
            }
            Self::SiblingsSwapped => {
                assert_ne!(opaque, last_opaque);
                nodes.swap(opaque, last_opaque);
                Rejection::ProofOfAnotherState
            }
            Self::SiblingLeftEmpty => {
                nodes[opaque] = TreeNode::Empty;
                Rejection::ProofOfAnotherState
            }
            Self::LeafsValueChanged => {
                nodes[leaf] = TreeNode::Leaf { key: COUNTER.key(), value: Hash([1; 32]) };
                invalid(ProofError::WrongLeaf)
            }
            Self::LeafsKeyChanged => {
                let TreeNode::Leaf { key, .. } = &mut nodes[leaf] else { unreachable!("found as a leaf") };
                key.0[0] ^= 0x80;
                invalid(ProofError::Malformed)
            }
            Self::LeafMadeEmpty => {
                nodes[leaf] = TreeNode::Empty;
                invalid(ProofError::WrongLeaf)
            }
            Self::LeafMadeOpaque => {
                nodes[leaf] = TreeNode::Opaque(Hash([1; 32]));
                invalid(ProofError::NotCovered)
            }
            Self::TopMadeOpaque => {
                *nodes = vec![TreeNode::Opaque(base.contracts.root())];
                invalid(ProofError::NotCovered)
            }
            Self::TopMadeEmpty => {
                *nodes = vec![TreeNode::Empty];
                invalid(ProofError::WrongLeaf)
            }
            Self::TopMadePruned => {
                *nodes = vec![TreeNode::Pruned { left: Hash::ZERO, right: Hash::ZERO }];
                invalid(ProofError::NotCovered)
            }
            Self::OfAnotherTree => {
                let mut other = base.clone();
                other.contracts.insert(ContractId([1; 32]), world.apps.counting(UNIT / 4, 7, 99));
                *nodes = nodes_of(&other, &both);
                Rejection::ProofOfAnotherState
            }
            Self::OfTheStateAfter => {
                let (_call, after) = world.plan(&healthy_step(channel, base)).unwrap();
                *nodes = nodes_of(&after, &both);
                invalid(ProofError::WrongLeaf)
            }
            Self::OfTheTwoContractsAlone => {
                let alone = both.map(|id| (id, base.contract(id)));
                *nodes = nodes_of(&Inside::new(6, base.balances, alone), &both);
                Rejection::ProofOfAnotherState
            }
            Self::OfOneContractOnly => {
                *nodes = nodes_of(base, &[COUNTER]);
                invalid(ProofError::NotCovered)
            }
            Self::OneNodeTooMany => {
                *nodes = vec![TreeNode::Branch; MAX_NODES + 1];
                invalid(ProofError::TooLarge)
            }
            Self::OneLevelTooDeep => {
                *nodes = vec![TreeNode::Branch; MAX_DEPTH + 2];
                invalid(ProofError::TooLarge)
            }
        };
        (call, rejection)
    }
}

#[tokio::test]
async fn each_thing_wrong_with_the_proof_of_a_forced_step_is_refused_by_its_own_error_and_changes_nothing() {
    let (world, channel, base, healthy) = healthy().await;
    for &mutation in Mutation::ALL {
        let mut world = world.fork_for(&mutation).await;
        let (call, rejection) = mutation.make(&world, &channel, &base, &healthy);
        world.refuse(Actor::Initiator, &Call::ChannelForceProgress(call), 0, rejection).await;
    }
}

#[tokio::test]
async fn every_node_of_a_proof_matters() {
    let (world, _channel, base, healthy) = healthy().await;
    for place in 0..healthy.proof.nodes.len() {
        let mut world = world.fork_for(&place).await;
        let mut call = healthy.clone();
        let node = &mut call.proof.nodes[place];
        let flip = |hash: &mut Hash| hash.0[31] ^= 1;
        match node {
            TreeNode::Empty => *node = TreeNode::Opaque(Hash([1; 32])),
            TreeNode::Branch => *node = TreeNode::Opaque(base.contracts.root()),
            TreeNode::Leaf { value, .. } => flip(value),
            TreeNode::Opaque(hash) | TreeNode::Pruned { left: hash, .. } => flip(hash),
        }
        let call = Call::ChannelForceProgress(call);
        let refused = world.accept_or_refuse(Actor::Initiator, &call, 0).await.unwrap_err();
        assert!(matches!(refused, Rejection::ProofInvalid(_) | Rejection::ProofOfAnotherState), "{refused:?}");
    }
}

#[tokio::test]
async fn a_contract_that_ends_beside_a_subtree_that_is_not_shown_needs_a_proof_that_says_what_it_is() {
    // A lone leaf would rise into the place of the branch: the arbiter has to know which it is.
    let (mut world, channel) = World::open().await;
    let secret = Preimage([5; 32]);
    let mut base = healthy_base(&world);
    let locked = transfer(UNIT, Party::Initiator, &secret, HashFunction::Blake2b256, world.now() + 9);
    base.contracts.insert(TRANSFER, locked);
    let step = channel.step(&base, Party::Initiator, vec![call(TRANSFER, 0, &ConditionalInput::Claim(secret))]);
    let mut call = world.blind(&step);
    let is_pruned = |node: &TreeNode| matches!(node, TreeNode::Pruned { .. });
    assert!(call.proof.nodes.iter().any(is_pruned));
    let hidden = call.proof.nodes.iter().map(|node| match node {
        TreeNode::Pruned { left, right } => {
            let branch = [&[1][..], &left.0, &right.0].concat();
            TreeNode::Opaque(protocol::crypto::Crypto::hash(&protocol::crypto::Native, &branch))
        }
        node => *node,
    });
    // Where the transfer's own sibling is hidden, nothing shows what takes its place.
    call.proof = Proof { nodes: hidden.collect() };
    let refused = Rejection::ProofInvalid(ProofError::NotCovered);
    let hidden = Call::ChannelForceProgress(call);
    if world.accept_or_refuse(Actor::Initiator, &hidden, 0).await == Err(refused) {
        let after = world.force(&step).await;
        assert_eq!(after.contracts.get(&TRANSFER), None);
    } else {
        panic!("the branch beside it was not needed: choose another tree");
    }
}

#[tokio::test]
async fn a_claim_that_calls_an_empty_subtree_opaque_is_refused_and_the_others_transfer_is_still_claimed() {
    // The two ids agree in their first bits: nothing stands beside them, and the one that is left rises to the root.
    let (mine, theirs) = (ContractId([0x10; 32]), ContractId([0x20; 32]));
    let secrets = [Preimage([5; 32]), Preimage([6; 32])];
    let (mut world, channel) = World::open().await;
    let expiry = world.now() + 30;
    let locked = |payee, secret| transfer(UNIT, payee, secret, HashFunction::Blake2b256, expiry);
    let transfers = [(mine, locked(Party::Initiator, &secrets[0])), (theirs, locked(Party::Responder, &secrets[1]))];
    let base = Inside::new(6, Pair::new(80 * UNIT, 70 * UNIT), transfers);
    let _done = world.accept(Actor::Initiator, &channel.snapshot(&base.state()), 0).await;
    let claim = |id, secret| vec![call(id, 0, &ConditionalInput::Claim(secret))];
    let step = channel.step_on_chain(&base, Party::Initiator, claim(mine, secrets[0]));

    let honest = world.blind(&step);
    let empty: Vec<usize> =
        (0..honest.proof.nodes.len()).filter(|&at| honest.proof.nodes[at] == TreeNode::Empty).collect();
    assert_eq!(empty.len(), 2);
    for opaque in [&empty[..1], &empty[1..], &empty[..]] {
        let mut forged = honest.clone();
        opaque.iter().for_each(|&at| forged.proof.nodes[at] = TreeNode::Opaque(Hash::ZERO));
        let malformed = Rejection::ProofInvalid(ProofError::Malformed);
        world.refuse(Actor::Initiator, &Call::ChannelForceProgress(forged), 0, malformed).await;
    }

    let after = world.force(&step).await;
    let end = world.force(&channel.step_on_chain(&after, Party::Responder, claim(theirs, secrets[1]))).await;
    assert_eq!((end.balances, end.contracts.root()), (Pair::new(81 * UNIT, 71 * UNIT), Hash::ZERO));
}

#[tokio::test]
async fn a_contract_is_called_however_deep_it_stands_up_to_the_bound() {
    let (world, channel) = World::open().await;
    for depth in [1, 30, 60, MAX_DEPTH - 1] {
        let mut world = world.fork_for(&depth).await;
        // Two ids that agree in so many bits: their leaves stand one below.
        let mut beside = COUNTER.0;
        beside[depth / 8] ^= 0x80 >> (depth % 8);
        let mut base = agreed(&world, 6);
        base.balances.initiator -= UNIT;
        base.contracts.insert(ContractId(beside), world.apps.counting(UNIT, 0, 9));
        let tip = world.force(&channel.step(&base, Party::Initiator, vec![count(1)])).await;
        let both = vec![count(1), crate::harness::call(ContractId(beside), 0, &1u64)];
        let _after = world.force(&channel.step_on_chain(&tip, Party::Initiator, both)).await;
    }
}

#[tokio::test]
async fn two_contracts_that_agree_in_more_bits_than_the_bound_cannot_be_forced() {
    // Peers must not agree to a contract that stands so close to another: see the deepest proof above.
    let (mut world, channel) = World::open().await;
    let base = agreed(&world, 6);
    let mut call = world.blind(&channel.step(&base, Party::Initiator, vec![count(1)]));
    let leaf = call.proof.nodes[0];
    let sibling = TreeNode::Opaque(Hash([1; 32]));
    // Down to one level below the bound, always along the key.
    let down = (0..=MAX_DEPTH).map(|depth| COUNTER.0[depth / 8] << (depth % 8) & 0x80 != 0).collect::<Vec<_>>();
    let lefts =
        down.iter().flat_map(|right| if *right { vec![TreeNode::Branch, sibling] } else { vec![TreeNode::Branch] });
    let rights = down.iter().rev().filter(|right| !**right).map(|_| sibling);
    call.proof = Proof { nodes: lefts.chain([leaf]).chain(rights).collect() };
    let refused = Rejection::ProofInvalid(ProofError::TooLarge);
    world.refuse(Actor::Initiator, &Call::ChannelForceProgress(call.clone()), 0, refused).await;
    // One level higher it is a proof, if of another tree.
    let down = &down[..MAX_DEPTH];
    let lefts =
        down.iter().flat_map(|right| if *right { vec![TreeNode::Branch, sibling] } else { vec![TreeNode::Branch] });
    let rights = down.iter().rev().filter(|right| !**right).map(|_| sibling);
    call.proof = Proof { nodes: lefts.chain([leaf]).chain(rights).collect() };
    let call = Call::ChannelForceProgress(call);
    world.refuse(Actor::Initiator, &call, 0, Rejection::ProofOfAnotherState).await;
}
