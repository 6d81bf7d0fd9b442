//! `prove_contract_state` (R5.16): what a channel produced, for other contracts to rely on.

use crate::harness::*;
use protocol::{
    Base, ChannelId, Hash, Pair, Party, Rejection, Round, StateCommitment,
    call::ProveContractState,
    contracts::{Code, ContractId},
    record::{Artefact, Permanence},
    tree::{ProofError, TreeNode},
};
use sdk::chain::CallError;

fn agreed(world: &World, round: Round) -> Inside {
    let contracts = (0..12u8).map(|n| (ContractId([n.wrapping_mul(83); 32]), world.apps.counting(UNIT, n.into(), 99)));
    let counter = (COUNTER, world.apps.counting(8 * UNIT, 5, 10));
    Inside::new(round, Pair::new(80 * UNIT, 60 * UNIT), contracts.chain([counter]))
}

async fn open() -> (World, Channel, Inside) {
    let (mut world, channel) = World::open().await;
    let base = agreed(&world, 6);
    let _done = world.accept(Actor::Initiator, &channel.snapshot(&base.state()), 0).await;
    (world, channel, base)
}

/// What the contract answers; the rules in memory must say the same.
async fn prove(world: &World, claim: &ProveContractState) -> Result<Artefact, Rejection> {
    let by_the_rules = match world.ledger.channels.get(&claim.channel) {
        Some(record) => protocol::arbiter::prove_contract_state(record, claim, &protocol::crypto::Native),
        None => Err(Rejection::ChannelUnknown),
    };
    let before = world.snapshot().await;
    let answer = match world.arbiter.prove_contract_state(claim.clone()).await {
        Ok(artefact) => Ok(artefact),
        Err(CallError::Rejected(rejection)) => Err(rejection),
        Err(other) => panic!("the chain failed: {other}"),
    };
    assert_eq!(world.snapshot().await, before, "a read changes nothing");
    assert_eq!(answer, by_the_rules);
    answer
}

#[tokio::test]
async fn a_contract_is_shown_as_it_stands_through_the_whole_life_of_a_channel() {
    let (mut world, channel, base) = open().await;
    use Permanence::{OwnCallsOnly, Replaceable};
    let artefact = |steps, permanence| Ok(Artefact { state: Base { agreed: 6, steps }, permanence });
    assert_eq!(prove(&world, &base.claim(&channel, COUNTER)).await, artefact(0, Replaceable));

    let tip = world.force(&channel.step_on_chain(&base, Party::Initiator, vec![count(1)])).await;
    assert_eq!(prove(&world, &tip.claim(&channel, COUNTER)).await, artefact(1, Replaceable));
    assert_eq!(prove(&world, &base.claim(&channel, COUNTER)).await, Err(Rejection::CommitmentMismatch), "it moved on");

    let _done = world.accept(Actor::Initiator, &channel.close_solo_on_chain(tip.commitment()), 0).await;
    assert_eq!(prove(&world, &tip.claim(&channel, COUNTER)).await, artefact(1, Replaceable));
    world.travel_to(world.now() + LOCK_PERIOD).await;
    assert_eq!(prove(&world, &tip.claim(&channel, COUNTER)).await, artefact(1, Replaceable), "until it is settled");

    let _done = world.accept(Actor::InitiatorsDelegate, &channel.settle(), 0).await;
    assert_eq!(prove(&world, &tip.claim(&channel, COUNTER)).await, artefact(1, OwnCallsOnly));
    let _done = world.accept(Actor::Stranger, &channel.close_mutual(Pair::new(20 * UNIT, 0), 0, world.now()), 0).await;
    assert_eq!(prove(&world, &tip.claim(&channel, COUNTER)).await, Err(Rejection::ChannelUnknown));
}

#[tokio::test]
async fn what_a_settled_channel_shows_goes_on_changing_by_its_own_calls_and_by_nothing_else() {
    let (mut world, channel, base) = open().await;
    let _done = world.accept(Actor::Responder, &channel.close_solo(&base.state()), 0).await;
    world.travel_to(world.now() + LOCK_PERIOD).await;
    let _done = world.accept(Actor::InitiatorsDelegate, &channel.settle(), 0).await;
    let shown = |steps| Artefact { state: Base { agreed: 6, steps }, permanence: Permanence::OwnCallsOnly };
    assert_eq!(prove(&world, &base.claim(&channel, COUNTER)).await, Ok(shown(0)));
    let newer = channel.step(&base.at(7), Party::Initiator, vec![count(1)]);
    world.refuse_step(&newer, Rejection::StateFinal).await;
    let after = world.force(&channel.step_on_chain(&base, Party::Responder, vec![count(2), count(1)])).await;
    assert_eq!(prove(&world, &after.claim(&channel, COUNTER)).await, Ok(shown(2)));
    assert_eq!(prove(&world, &base.claim(&channel, COUNTER)).await, Err(Rejection::CommitmentMismatch));
}

#[tokio::test]
async fn every_contract_of_a_state_can_be_shown_and_also_a_lone_one() {
    let (world, channel, base) = open().await;
    for (id, _contract) in base.contracts.iter() {
        assert!(prove(&world, &base.claim(&channel, *id)).await.is_ok());
    }
    let (mut world, channel) = World::open().await;
    let lone = Inside::new(6, BALANCES, [(COUNTER, world.apps.counting(0, 0, 1))]);
    let _done = world.accept(Actor::Initiator, &channel.snapshot(&lone.state()), 0).await;
    assert!(prove(&world, &lone.claim(&channel, COUNTER)).await.is_ok());
}

mutations! {
    /// One thing wrong with a claim.
    Mutation {
        OfNoChannel,
        OfAnotherChannel,
        CommitmentOfOtherBalances,
        CommitmentOfOtherContracts,
        CommitmentOfOtherCalls,
        CommitmentOfTheFirstState,
        WithAnotherState,
        WithMoreCoins,
        WithAnotherCode,
        WithAnotherOwner,
        /// The entry is not there at all, and its place is.
        OfAnAbsentContract,
        /// Somewhere else in the tree, which the proof does not show.
        OfAContractThatIsNotShown,
        ProofLeftOut,
        ProofTooLong,
        ProofOfAnotherState,
        ProofSiblingChanged,
    }
}

#[tokio::test]
async fn each_thing_wrong_with_a_claim_is_refused_by_its_own_error() {
    let (mut world, channel, base) = open().await;
    let other = world.create(&create_body(world.now())).await;
    let healthy = base.claim(&channel, COUNTER);
    for &mutation in Mutation::ALL {
        println!("with {mutation:?}");
        let mut claim = healthy.clone();
        let wrong_leaf = Rejection::ProofInvalid(ProofError::WrongLeaf);
        let is_opaque = |node: &TreeNode| matches!(node, TreeNode::Opaque(_));
        let rejection = match mutation {
            Mutation::OfNoChannel => {
                claim.channel = ChannelId([7; 32]);
                Rejection::ChannelUnknown
            }
            Mutation::OfAnotherChannel => {
                claim.channel = other.id;
                Rejection::CommitmentMismatch
            }
            Mutation::CommitmentOfOtherBalances => {
                claim.commitment.balances.initiator += 1;
                Rejection::CommitmentMismatch
            }
            Mutation::CommitmentOfOtherContracts => {
                claim.commitment.contracts_root = Hash::ZERO;
                Rejection::CommitmentMismatch
            }
            Mutation::CommitmentOfOtherCalls => {
                claim.commitment.calls_root.0[0] ^= 1;
                Rejection::CommitmentMismatch
            }
            Mutation::CommitmentOfTheFirstState => {
                claim.commitment = StateCommitment::of_balances(BALANCES);
                Rejection::CommitmentMismatch
            }
            Mutation::WithAnotherState => {
                claim.contract.state[0] ^= 1;
                wrong_leaf
            }
            Mutation::WithMoreCoins => {
                claim.contract.balance += 1;
                wrong_leaf
            }
            Mutation::WithAnotherCode => {
                claim.contract.code = Code::Contract(world.apps.escrow.code);
                wrong_leaf
            }
            Mutation::WithAnotherOwner => {
                claim.contract.owner = Party::Responder;
                wrong_leaf
            }
            Mutation::OfAnAbsentContract => {
                claim.id.0[31] ^= 1;
                wrong_leaf
            }
            Mutation::OfAContractThatIsNotShown => {
                claim.id.0[0] ^= 0x80;
                Rejection::ProofInvalid(ProofError::NotCovered)
            }
            Mutation::ProofLeftOut => {
                claim.proof.nodes.clear();
                Rejection::ProofInvalid(ProofError::WrongLength)
            }
            Mutation::ProofTooLong => {
                claim.proof.nodes.push(TreeNode::Empty);
                Rejection::ProofInvalid(ProofError::WrongLength)
            }
            Mutation::ProofOfAnotherState => {
                let mut later = base.clone();
                later.contracts.insert(ContractId([83; 32]), world.apps.counting(UNIT, 50, 99));
                claim.proof = later.claim(&channel, COUNTER).proof;
                Rejection::ProofOfAnotherState
            }
            Mutation::ProofSiblingChanged => {
                let sibling = claim.proof.nodes.iter_mut().find(|node| is_opaque(node)).unwrap();
                *sibling = TreeNode::Opaque(Hash([1; 32]));
                Rejection::ProofOfAnotherState
            }
        };
        assert_eq!(prove(&world, &claim).await, Err(rejection));
    }
}

#[tokio::test]
async fn asking_in_a_transaction_costs_its_fee_and_changes_nothing() {
    // As another contract would ask: a refusal is an answer.
    let (mut world, channel, base) = open().await;
    let claim = base.claim(&channel, COUNTER);
    let before = world.snapshot().await;
    let data = [&sdk::chain::arbiter::selector("prove_contract_state")[..], &scale::Encode::encode(&claim)].concat();
    let transaction = sdk::chain::Transaction::Call { contract: world.address(), value: 0, data };
    let stranger = Actor::Stranger;
    let dry_run = sdk::chain::Chain::dry_run(&world.chain, &stranger.id(), &transaction).await.unwrap();
    let artefact = Artefact { state: Base::of(6), permanence: Permanence::Replaceable };
    assert_eq!(dry_run.returned, [&[0, 0][..], &scale::Encode::encode(&artefact)].concat());
    let submitted =
        sdk::chain::Chain::submit(&world.chain, &stranger.dev().signer(), transaction, &dry_run).await.unwrap();
    assert_eq!((submitted.events, submitted.storage_deposit), (Vec::new(), 0));
    let mut expected = before;
    *expected.free.get_mut(&stranger.id()).unwrap() -= submitted.fee;
    expected.issuance -= submitted.fee;
    assert_eq!(world.snapshot().await, expected);
    let _done = world.accept(Actor::Responder, &Actor::Responder.vault_deposit(), UNIT).await;
}
