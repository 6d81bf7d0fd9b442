//! One healthy step, and everything that can be wrong with it: each mutation meets its own refusal, and changes nothing.

use crate::{apps, fixture::*};
use protocol::{
    arbiter::{MAX_FORCED_CALLS, MAX_FORCED_INPUTS, prove_contract_state},
    contracts::{AppOutcome, AppReply, MAX_INPUT, MAX_STATE},
    crypto::Crypto,
    record::{Artefact, Permanence},
    tree::Proof,
};

/// On a co-signed state of a newer round: the initiator counts to the goal, and redeems tokens.
fn healthy(world: &World, state: &State) -> ForceProgress {
    let payload = payload(ROUND + 1, state);
    world.plan(state, Some(payload), Party::Initiator, vec![count(), redeem(60)]).unwrap().call
}

fn refused(change: impl FnOnce(&mut World, &mut ForceProgress)) -> Rejection {
    refused_by(INITIATOR, change)
}

fn refused_by(caller: AccountId, change: impl FnOnce(&mut World, &mut ForceProgress)) -> Rejection {
    let state = state();
    let mut world = World::on(&State { balances: Pair::new(500, 100), ..state.clone() });
    let mut call = healthy(&world, &state);
    change(&mut world, &mut call);
    world.force(caller, call).unwrap_err()
}

#[test]
fn the_healthy_step_is_accepted_and_each_call_is_a_round() {
    let state = state();
    let mut world = World::on(&State { balances: Pair::new(500, 100), ..state.clone() });
    let call = healthy(&world, &state);
    let before = world.record().clone();
    let applied = world.force(INITIATOR, call.clone()).unwrap();
    let at = Base { agreed: ROUND + 1, steps: 2 };
    let state_hash = call.state_hash.unwrap();
    let on_chain = world.record().on_chain.clone();
    assert_eq!((on_chain.at, on_chain.round(), on_chain.state_hash), (at, ROUND + 3, state_hash));
    assert_eq!(on_chain.maturity.marks(), [Mark { reached: at, block: NOW }], "one mark for the whole step");
    assert_eq!(*world.record(), Record { on_chain, forced_steps: Pair::new(1, 0), ..before });
    let event = ArbiterEvent::ChannelProgressed {
        party: Party::Initiator,
        at,
        state_hash,
        forced_steps: Pair::new(1, 0),
        total: TOTAL,
        closing: None,
        calls: call.calls,
    };
    assert_eq!(applied, Applied { events: vec![(CHANNEL, event, Vec::new())], ..Applied::default() });
}

#[test]
fn only_the_party_itself_forces_while_the_channel_is_open() {
    let party = Party::Initiator;
    for caller in [RESPONDER, DELEGATE, WATCHER, STRANGER] {
        assert_eq!(refused_by(caller, |_, _| {}), Rejection::MayNotForce { party });
    }
    let party = Party::Responder;
    assert_eq!(refused(|_, call| call.party = party), Rejection::MayNotForce { party });
}

#[test]
fn while_closing_a_delegate_forces_for_its_principal_alone_and_leaves_its_coins() {
    let close = |world: &mut World| *world = world.clone().closing(Pair::new(500, 100));
    let party = Party::Initiator;
    for caller in [RESPONDER, STRANGER] {
        assert_eq!(refused_by(caller, |world, _| close(world)), Rejection::MayNotForce { party });
    }
    let others = refused_by(DELEGATE, |world, call| {
        close(world);
        call.party = Party::Responder;
    });
    assert_eq!(others, Rejection::MayNotForce { party: Party::Responder });
    let attached = refused_by(DELEGATE, |world, call| {
        close(world);
        call.calls[0].value = 1;
    });
    assert_eq!(attached, Rejection::DelegateAttachesCoins);
    // The other class of delegates makes no calls at all, with coins or without.
    for value in [0, 1] {
        let watching = refused_by(WATCHER, |world, call| {
            close(world);
            call.calls[0].value = value;
        });
        assert_eq!(watching, Rejection::DelegateMayNotCall { party });
    }

    let state = state();
    let mut world = World::on(&state).closing(state.balances);
    let (call, after) = world.step(&state, party, vec![count()]);
    let _applied = world.force(DELEGATE, call).unwrap();
    let closing = Closing { balances: after.balances, unlock_at: NOW + 20, penalty: at_risk(ROUND) };
    assert_eq!(world.record().phase, Phase::Closing(closing));
}

#[test]
fn a_payload_is_held_to_the_rule_of_newer_and_to_both_signatures() {
    let old = refused(|_, call| call.payload = Some(payload(ROUND - 1, &state())));
    assert_eq!(old, Rejection::RoundTooOld { got: ROUND - 1, have: ROUND });
    let other = refused(|_, call| call.payload = Some(payload(ROUND, &state())));
    assert_eq!(other, Rejection::RoundHasOtherState { round: ROUND });
    for party in Party::BOTH {
        let unsigned = refused(|_, call| call.payload.as_mut().unwrap().signatures[party].0[0] ^= 1);
        assert_eq!(unsigned, Rejection::SignatureInvalid { party });
    }
}

#[test]
fn the_commitment_is_the_states_and_covers_no_more_than_the_total() {
    assert_eq!(refused(|_, call| call.commitment.calls_root = Hash([1; 32])), Rejection::CommitmentMismatch);
    let too_much = refused(|world, _| world.record().total = 599);
    assert_eq!(too_much, Rejection::BalancesExceedTotal { total: 599 });
    let lies = refused(|world, _| world.record().total = 759);
    assert_eq!(lies, Rejection::BalancesExceedTotal { total: 759 }, "the contracts hold less than they promise");
}

#[test]
fn steps_on_one_base_are_counted_for_each_party_and_start_again_with_a_newer_state() {
    let base = state();
    let mut state = base.clone();
    let mut world = World::on(&state);
    let mut force = |world: &mut World, caller, party, calls| {
        let (call, after) = world.step(&state, party, calls);
        let applied = world.force(caller, call).map(drop);
        if applied.is_ok() {
            state = after;
        }
        applied
    };
    let used_up = Err(Rejection::ForcedStepsUsedUp { max: 2 });
    // Many calls in one step count once.
    assert_eq!(force(&mut world, INITIATOR, Party::Initiator, vec![redeem(1); 9]), Ok(()));
    assert_eq!(force(&mut world, INITIATOR, Party::Initiator, vec![redeem(1)]), Ok(()));
    assert_eq!(force(&mut world, INITIATOR, Party::Initiator, vec![redeem(1)]), used_up);
    assert_eq!(force(&mut world, RESPONDER, Party::Responder, vec![redeem(1)]), Ok(()));
    assert_eq!(force(&mut world, RESPONDER, Party::Responder, vec![redeem(1)]), Ok(()));
    assert_eq!(force(&mut world, RESPONDER, Party::Responder, vec![redeem(1)]), used_up);
    assert_eq!(world.record().on_chain.at, Base { agreed: ROUND, steps: 12 });
    let newer = SnapshotSolo { channel: CHANNEL, payload: payload(ROUND + 1, &base) };
    let _applied = world.apply(RESPONDER, Call::ChannelSnapshotSolo(newer)).unwrap();
    assert_eq!(world.record().on_chain.at, Base::of(ROUND + 1));
    let (call, _) = world.step(&base, Party::Initiator, vec![redeem(1)]);
    let _applied = world.force(INITIATOR, call).unwrap();
    assert_eq!(world.record().forced_steps, Pair::new(1, 0));
}

#[test]
fn calls_are_there_and_not_too_many_or_too_long() {
    assert_eq!(refused(|_, call| call.calls.clear()), Rejection::CallsMissing);
    let move_one = call(ESCROW, 0, apps::Tokens::Move(1));
    let state = State { contracts: state().contracts, ..state() };
    let mut world = World::on(&state);
    let mut most = vec![call(ESCROW, 0, apps::Tokens::Redeem(1)); 60];
    most.extend(vec![call(PUPPET, 0, AppReply::Ok(AppOutcome::default())); MAX_FORCED_CALLS - 60]);
    let (healthy, _) = world.step(&state, Party::Initiator, most.clone());
    let _applied = world.clone().force(INITIATOR, healthy.clone()).unwrap();
    most.push(move_one);
    let many = ForceProgress { calls: most, ..healthy };
    assert_eq!(world.force(INITIATOR, many), Err(Rejection::CallsTooLarge));

    // A puppet's input may be as long as an app's refusal to read it: the lengths alone count.
    let long = |bytes| call(PUPPET, 0, AppReply::Ok(AppOutcome { output: vec![0; bytes], ..AppOutcome::default() }));
    let overhead = long(100).input.len() - 100;
    let (first, rest) = (long(MAX_INPUT - overhead), MAX_FORCED_INPUTS - MAX_INPUT);
    assert_eq!(first.input.len(), MAX_INPUT);
    let fits = vec![first.clone(), long(rest - overhead)];
    assert_eq!(fits[1].input.len(), rest);
    let (healthy, _) = world.step(&state, Party::Initiator, fits);
    let _applied = world.clone().force(INITIATOR, healthy.clone()).unwrap();
    let long = ForceProgress { calls: vec![first, long(rest + 1 - overhead)], ..healthy };
    assert_eq!(world.force(INITIATOR, long), Err(Rejection::CallsTooLarge));
}

#[test]
fn what_is_called_is_shown_once_in_order_and_as_it_stands() {
    let hidden = refused(|_, call| drop(call.contracts.pop()));
    assert_eq!(hidden, Rejection::ContractNotShown { contract: COUNTER });
    let unsorted = refused(|_, call| call.contracts.reverse());
    assert_eq!(unsorted, Rejection::ProofInvalid(ProofError::KeysUnsorted));
    let twice = refused(|_, call| call.contracts.push(call.contracts[1].clone()));
    assert_eq!(twice, Rejection::ProofInvalid(ProofError::KeysUnsorted));
    let richer = refused(|_, call| call.contracts[1].contract.balance += 1);
    assert_eq!(richer, Rejection::ProofInvalid(ProofError::WrongLeaf));
    let owned = refused(|_, call| call.contracts[0].contract.owner = Party::Responder);
    assert_eq!(owned, Rejection::ProofInvalid(ProofError::WrongLeaf));
    let elsewhere = Rejection::CallFailed { round: ROUND + 2, fault: CallFault::CodeNotThere };
    assert_eq!(refused(|_, call| call.contracts[1].app = None), elsewhere);
    assert_eq!(refused(|_, call| call.contracts[1].app = Some(apps::ESCROW.account)), elsewhere);
    assert_eq!(refused(|world, _| world.ledger.deployed.clear()), elsewhere);
}

#[test]
fn a_proof_that_shows_nothing_or_another_state_is_refused() {
    let short = refused(|_, call| call.proof.nodes.truncate(1));
    assert_eq!(short, Rejection::ProofInvalid(ProofError::WrongLength));
    let long = refused(|_, call| call.proof.nodes.push(TreeNode::Empty));
    assert_eq!(long, Rejection::ProofInvalid(ProofError::WrongLength));
    // At most so large, and at most so deep: what is wrong with these is that they have no end, or nodes after it.
    for (nodes, error) in [
        (vec![TreeNode::Empty; MAX_NODES + 1], ProofError::TooLarge),
        (vec![TreeNode::Empty; MAX_NODES], ProofError::WrongLeaf),
        (vec![TreeNode::Branch; MAX_DEPTH + 1], ProofError::TooLarge),
        (vec![TreeNode::Branch; MAX_DEPTH], ProofError::WrongLength),
    ] {
        assert_eq!(refused(|_, call| call.proof.nodes = nodes), Rejection::ProofInvalid(error));
    }
    let opaque = refused(|_, call| call.proof.nodes = vec![TreeNode::Opaque(call.commitment.contracts_root)]);
    assert_eq!(opaque, Rejection::ProofInvalid(ProofError::NotCovered));
    let other = refused(|_, call| {
        for node in &mut call.proof.nodes {
            if let TreeNode::Opaque(hash) = node {
                hash.0[0] ^= 1;
            }
        }
    });
    assert_eq!(other, Rejection::ProofOfAnotherState);
    // Contracts of which only those called exist: a whole tree, but not this state's.
    let fewer = refused(|_, call| {
        let shown = |shown: &ShownContract| (shown.id, shown.contract.clone());
        let contracts: Contracts = call.contracts.iter().map(shown).collect();
        call.proof = contracts.prove(&unchanged(&call.contracts));
    });
    assert_eq!(fewer, Rejection::ProofOfAnotherState);
}

/// Of two transfers one is claimed, and the other rises to the root. Every way to say something else of the tree is refused: by its shape,
/// or because it is another tree's.
#[test]
fn a_shape_that_the_tree_does_not_have_is_refused() {
    let state = two_transfers();
    let mut world = World::on(&state);
    let claim = call(TO_INITIATOR, 0, ConditionalInput::Claim(SECRET));
    let (healthy, after) = world.step(&state, Party::Initiator, vec![claim]);
    let healthy = ForceProgress { state_hash: None, ..healthy };
    let value = |id: &ContractId| state.contracts.get(id).unwrap().leaf(&Native);
    let leaf = |id: ContractId| TreeNode::Leaf { key: id.key(), value: value(&id) };
    let (mine, theirs, branch, empty) = (leaf(TO_INITIATOR), leaf(TO_RESPONDER), TreeNode::Branch, TreeNode::Empty);
    assert_eq!(healthy.proof.nodes, [branch, branch, branch, mine, theirs, empty, empty]);

    let hash_of = |node: TreeNode| match node {
        TreeNode::Leaf { key, value } => Native.hash(&[&[0][..], &key.0, &value.0].concat()),
        _ => panic!("a leaf"),
    };
    let hidden = TreeNode::Opaque(hash_of(theirs));
    let zero = TreeNode::Opaque(Hash::ZERO);
    let pruned = |left, right| TreeNode::Pruned { left, right };
    let TreeNode::Leaf { key, value } = theirs else { unreachable!("a leaf") };
    let [malformed, not_covered] = [ProofError::Malformed, ProofError::NotCovered].map(Rejection::ProofInvalid);
    let other = Rejection::ProofOfAnotherState;
    let mutations = [
        ("the upper empty side is opaque", vec![branch, branch, branch, mine, theirs, empty, zero], malformed),
        ("the lower empty side is opaque", vec![branch, branch, branch, mine, theirs, zero, empty], malformed),
        ("both empty sides are opaque", vec![branch, branch, branch, mine, theirs, zero, zero], malformed),
        (
            "an empty side is a pruned branch",
            vec![branch, branch, branch, mine, theirs, pruned(Hash::ZERO, Hash::ZERO), empty],
            other,
        ),
        (
            "an empty side is a branch over nothing",
            vec![branch, branch, branch, mine, theirs, branch, empty, empty, empty],
            malformed,
        ),
        ("an empty side is a leaf", vec![branch, branch, branch, mine, theirs, theirs, empty], malformed),
        ("an empty side is left out", vec![branch, branch, mine, theirs, empty], malformed),
        ("both empty sides are left out", vec![branch, mine, theirs], malformed),
        ("the leaf that rises is opaque", vec![branch, branch, branch, mine, hidden, empty, empty], not_covered),
        (
            "that leaf is a pruned branch of the same parts",
            vec![branch, branch, branch, mine, pruned(key, value), empty, empty],
            other,
        ),
        (
            "that leaf is a pruned branch over it",
            vec![branch, branch, branch, mine, pruned(hash_of(theirs), Hash::ZERO), empty, empty],
            other,
        ),
        (
            "that leaf stands below a branch",
            vec![branch, branch, branch, mine, branch, theirs, empty, empty, empty],
            malformed,
        ),
        (
            "that leaf stands below it on the wrong side",
            vec![branch, branch, branch, mine, branch, empty, theirs, empty, empty],
            malformed,
        ),
        (
            "that leaf stands below it and is opaque",
            vec![branch, branch, branch, mine, branch, hidden, empty, empty, empty],
            other,
        ),
        (
            "that leaf is opaque beside a zero",
            vec![branch, branch, branch, mine, branch, hidden, zero, empty, empty],
            malformed,
        ),
        ("that leaf is left out", vec![branch, branch, branch, mine, empty, empty, empty], malformed),
        ("the leaves have changed their sides", vec![branch, branch, branch, theirs, mine, empty, empty], malformed),
        (
            "the claimed leaf is pruned",
            vec![branch, branch, branch, pruned(TO_INITIATOR.key(), value), theirs, empty, empty],
            not_covered,
        ),
        (
            "the claimed leaf is nothing, and opaque",
            vec![branch, branch, branch, zero, theirs, empty, empty],
            malformed,
        ),
        ("everything is opaque", vec![TreeNode::Opaque(state.contracts.root())], not_covered),
    ];
    for (what, nodes, rejection) in mutations {
        let call = ForceProgress { proof: Proof { nodes }, ..healthy.clone() };
        assert_eq!(world.force(INITIATOR, call), Err(rejection), "{what}");
    }
    let _applied = world.force(INITIATOR, healthy).unwrap();
    assert_eq!(world.record().on_chain.state_hash, after.hash());
    assert_eq!(after.contracts.root(), hash_of(theirs), "the other is alone, and the root");
}

#[test]
fn a_state_that_was_not_expected_is_refused_and_the_expectation_may_be_left_out() {
    let state = state();
    let computed = healthy(&World::on(&state), &state).state_hash.unwrap();
    assert_eq!(refused(|_, call| call.state_hash = Some(Hash([1; 32]))), Rejection::ForcedStateDiffers { computed });
    let mut world = World::on(&State { balances: Pair::new(500, 100), ..state.clone() });
    let call = ForceProgress { state_hash: None, ..healthy(&world, &state) };
    let _applied = world.force(INITIATOR, call).unwrap();
    assert_eq!(world.record().on_chain.state_hash, computed);
}

#[test]
fn coins_are_attached_down_to_the_reserve() {
    let state = state();
    for (value, expected) in [
        (290, Ok(())),
        (291, Err(Rejection::CannotAttach { have: 300, value: 291, reserve: RESERVE })),
        (Amount::MAX, Err(Rejection::CannotAttach { have: 300, value: Amount::MAX, reserve: RESERVE })),
    ] {
        let world = World::on(&state);
        let planned = world.plan(&state, None, Party::Responder, vec![call(ESCROW, value, apps::Tokens::Issue)]);
        assert_eq!(planned.as_ref().map(drop).map_err(|refused| *refused), expected);
        if let Ok(planned) = planned {
            assert_eq!(planned.balances, Pair::new(300, 10));
            assert_eq!(planned.contracts.get(&ESCROW).unwrap().balance, 390);
            let _applied = world.clone().force(RESPONDER, planned.call).unwrap();
        }
    }
}

#[test]
fn every_fault_of_a_call_names_its_round() {
    let outcome = |payouts| AppReply::Ok(AppOutcome { payouts, ..AppOutcome::default() });
    let large = AppOutcome { state: vec![0; MAX_STATE + 1], ..AppOutcome::default() };
    // A state so long cannot be told in an input; so the contract has it from the beginning.
    assert!(large.encode().len() > MAX_INPUT);
    let faults = [
        (call(COUNTER, 0, 2u64), CallFault::Refused),
        (call(COUNTER, 0, ()), CallFault::Refused),
        (call(ESCROW, 5, apps::Tokens::Redeem(1)), CallFault::Refused),
        (call(PUPPET, 0, ()), CallFault::Undecodable),
        (call(PUPPET, 0, AppReply::Err(vec![1])), CallFault::Refused),
        (call(PUPPET, 0, outcome(Pair::new(100, 1))), CallFault::PaysTooMuch { balance: 100 }),
        (call(PUPPET, 7, outcome(Pair::new(100, 8))), CallFault::PaysTooMuch { balance: 107 }),
        (call(PUPPET, 0, outcome(Pair::new(Amount::MAX, 1))), CallFault::Overflow),
        (call(PUPPET, 0, [0u8; MAX_INPUT + 1]), CallFault::TooLarge),
    ];
    let state = state();
    for (wrong, fault) in faults {
        let mut world = World::on(&state);
        let (healthy, _) =
            world.step(&state, Party::Initiator, vec![redeem(1), call(PUPPET, 0, outcome(Pair::default())), count()]);
        let step = ForceProgress { calls: vec![redeem(1), wrong, count()], ..healthy };
        assert_eq!(world.force(INITIATOR, step), Err(Rejection::CallFailed { round: ROUND + 2, fault }));
    }
}

#[test]
fn a_contract_stands_in_the_last_state_on_chain_or_it_does_not() {
    let state = state();
    let mut world = World::on(&state);
    let shown = ShownContract { id: COUNTER, contract: state.contracts.get(&COUNTER).unwrap().clone(), app: None };
    let proof = state.contracts.prove(&unchanged(std::slice::from_ref(&shown)));
    let claim = ProveContractState {
        channel: CHANNEL,
        commitment: state.commitment(),
        id: COUNTER,
        contract: shown.contract,
        proof,
    };
    let proven = |world: &mut World, claim: &ProveContractState| prove_contract_state(world.record(), claim, &Native);
    let stands = Artefact { state: Base::of(ROUND), permanence: Permanence::Replaceable };
    assert_eq!(proven(&mut world, &claim), Ok(stands));
    let forced = Base { agreed: ROUND - 1, steps: 1 };
    world.record().on_chain.at = forced;
    let stands = Artefact { state: forced, ..stands };
    assert_eq!(proven(&mut world, &claim), Ok(stands));
    world = world.closing(state.balances);
    assert_eq!(proven(&mut world, &claim), Ok(stands), "a close may be answered");
    world = world.residual(400);
    assert_eq!(proven(&mut world, &claim), Ok(Artefact { permanence: Permanence::OwnCallsOnly, ..stands }));

    let mut other = claim.clone();
    other.contract.balance += 1;
    assert_eq!(proven(&mut world, &other), Err(Rejection::ProofInvalid(ProofError::WrongLeaf)));
    let mut other = claim.clone();
    other.id = ESCROW;
    assert!(matches!(proven(&mut world, &other), Err(Rejection::ProofInvalid(_))));
    let mut other = claim.clone();
    other.commitment.balances = Pair::new(301, 299);
    assert_eq!(proven(&mut world, &other), Err(Rejection::CommitmentMismatch));
    let mut other = claim.clone();
    other.proof.nodes.truncate(1);
    assert_eq!(proven(&mut world, &other), Err(Rejection::ProofInvalid(ProofError::WrongLength)));
    let (_, after) = World::on(&state).step(&state, Party::Initiator, vec![count()]);
    world.record().on_chain.state_hash = after.hash();
    assert_eq!(proven(&mut world, &claim), Err(Rejection::CommitmentMismatch));
    let moved = ProveContractState { commitment: after.commitment(), ..claim };
    assert_eq!(proven(&mut world, &moved), Err(Rejection::ProofOfAnotherState));
}
