//! Conditional transfers (R8.1) and pre-images shown on chain (R8.2).

use crate::fixture::*;
use protocol::contracts::conditional::HashLock;

const FUNCTIONS: [HashFunction; 2] = [HashFunction::Blake2b256, HashFunction::Sha2_256];

fn state_with(function: HashFunction, payee: Party) -> State {
    let lock = SECRET.lock(function, &Native);
    let transfer = contract(Code::Builtin(BUILTIN), 100, ConditionalTransfer { payee, lock, expiry: EXPIRY });
    let contracts = [(TRANSFER, transfer)].into_iter().collect();
    State { balances: Pair::new(450, 450), contracts, calls_root: Hash::ZERO }
}

fn claim() -> ForcedCall {
    call(TRANSFER, 0, ConditionalInput::Claim(SECRET))
}

fn refund() -> ForcedCall {
    call(TRANSFER, 0, ConditionalInput::Refund)
}

fn fault(world: &World, state: &State, call: ForcedCall) -> CallFault {
    match world.plan(state, None, Party::Initiator, vec![call]).map(drop) {
        Err(Rejection::CallFailed { round, fault }) if round == ROUND + 1 => fault,
        other => panic!("{other:?}"),
    }
}

fn register(world: &mut World, preimage: Preimage, function: HashFunction) -> Vec<(HashLock, Preimage, BlockNumber)> {
    world.apply(STRANGER, Call::PreimageRegister { preimage, function }).unwrap().preimages
}

#[test]
fn a_claim_in_time_pays_the_payee_whoever_makes_it_and_ends_the_contract() {
    for function in FUNCTIONS {
        for (payee, caller) in Party::BOTH.into_iter().flat_map(|payee| Party::BOTH.map(|caller| (payee, caller))) {
            let state = state_with(function, payee);
            let mut world = World { now: EXPIRY - 1, ..World::on(&state) };
            let (call, after) = world.step(&state, caller, vec![claim()]);
            let mut expected = state.balances;
            expected[payee] += 100;
            assert_eq!((after.balances, after.contracts.len()), (expected, 0));
            assert_eq!(after.commitment().contracts_root, Hash::ZERO);
            let account = if caller == Party::Initiator { INITIATOR } else { RESPONDER };
            let applied = world.force(account, call).unwrap();
            let lock = SECRET.lock(function, &Native);
            assert_eq!(applied.preimages, vec![(lock, SECRET, EXPIRY - 1)], "the claim shows it on chain");
            assert_eq!(world.ledger.preimages[&lock], EXPIRY - 1);
        }
    }
}

#[test]
fn at_the_expiry_a_claim_is_too_late_and_a_refund_begins() {
    let state = state_with(HashFunction::Sha2_256, Party::Responder);
    let before = World { now: EXPIRY - 1, ..World::on(&state) };
    let early = CallFault::TooEarly { expiry: EXPIRY, height: EXPIRY - 1 };
    assert_eq!(fault(&before, &state, refund()), early);
    for now in [EXPIRY, EXPIRY + 1] {
        let mut world = World { now, ..World::on(&state) };
        assert_eq!(fault(&world, &state, claim()), CallFault::TooLate { expiry: EXPIRY });
        let (call, after) = world.step(&state, Party::Responder, vec![refund()]);
        assert_eq!(after.balances, Pair::new(550, 450), "the payer's, also where the payee asks");
        let applied = world.force(RESPONDER, call).unwrap();
        assert!(applied.preimages.is_empty() && world.ledger.preimages.is_empty());
    }
}

#[test]
fn a_refused_claim_shows_nothing() {
    let state = state_with(HashFunction::Blake2b256, Party::Responder);
    let mut world = World { now: EXPIRY - 1, ..World::on(&state) };
    let (call, _) = world.step(&state, Party::Responder, vec![claim()]);
    world.now = EXPIRY;
    let late = Rejection::CallFailed { round: ROUND + 1, fault: CallFault::TooLate { expiry: EXPIRY } };
    assert_eq!(world.force(RESPONDER, call), Err(late));
    assert!(world.ledger.preimages.is_empty());
}

#[test]
fn a_preimage_shown_in_time_counts_for_ever_and_nothing_else_does() {
    let state = state_with(HashFunction::Blake2b256, Party::Responder);
    for (shown_at, counts) in [(EXPIRY - 1, true), (EXPIRY, false)] {
        let mut world = World { now: shown_at, ..World::on(&state) };
        let lock = SECRET.lock(HashFunction::Blake2b256, &Native);
        let shown = register(&mut world, SECRET, HashFunction::Blake2b256);
        assert_eq!(shown, vec![(lock, SECRET, shown_at)]);
        // The same secret under the other function is another lock; and showing it again later changes nothing.
        world.now = EXPIRY + 500;
        let _other = register(&mut world, SECRET, HashFunction::Sha2_256);
        assert_eq!(register(&mut world, SECRET, HashFunction::Blake2b256), vec![(lock, SECRET, shown_at)]);
        assert_eq!(world.ledger.preimages.len(), 2);
        if counts {
            assert_eq!(fault(&world, &state, refund()), CallFault::ShownInTime);
            let (call, after) = world.step(&state, Party::Responder, vec![claim()]);
            assert_eq!(after.balances, Pair::new(450, 550));
            let _applied = world.force(RESPONDER, call).unwrap();
        } else {
            assert_eq!(fault(&world, &state, claim()), CallFault::TooLate { expiry: EXPIRY });
            let (call, after) = world.step(&state, Party::Initiator, vec![refund()]);
            assert_eq!(after.balances, Pair::new(550, 450));
            let _applied = world.force(INITIATOR, call).unwrap();
        }
    }
}

/// The claim was made in time; then the payer replaced the forced chain, hoping that the next claim comes too late (R8.2).
#[test]
fn a_claim_whose_chain_was_replaced_is_made_again_after_the_expiry() {
    let state = state_with(HashFunction::Blake2b256, Party::Responder);
    let mut world = World { now: EXPIRY - 1, ..World::on(&state) };
    let (call, _) = world.step(&state, Party::Responder, vec![claim()]);
    let _applied = world.force(RESPONDER, call).unwrap();
    world.now = EXPIRY + 1;
    let newer = SnapshotSolo { channel: CHANNEL, payload: payload(ROUND + 2, &state) };
    let _applied = world.apply(INITIATOR, Call::ChannelSnapshotSolo(newer)).unwrap();
    let refused = Rejection::CallFailed { round: ROUND + 3, fault: CallFault::ShownInTime };
    assert_eq!(world.plan(&state, None, Party::Initiator, vec![refund()]).map(drop), Err(refused));
    let (call, after) = world.step(&state, Party::Responder, vec![claim()]);
    assert_eq!(after.balances, Pair::new(450, 550));
    let _applied = world.force(RESPONDER, call).unwrap();
}

#[test]
fn a_transfer_takes_no_coins_no_garbage_and_no_other_preimage() {
    let state = state_with(HashFunction::Blake2b256, Party::Responder);
    let world = World::on(&state);
    assert_eq!(fault(&world, &state, ForcedCall { value: 1, ..claim() }), CallFault::TakesNoCoins);
    let other = call(TRANSFER, 0, ConditionalInput::Claim(Preimage([78; 32])));
    assert_eq!(fault(&world, &state, other), CallFault::WrongPreimage);
    assert_eq!(fault(&world, &state, call(TRANSFER, 0, ())), CallFault::Malformed);
    assert_eq!(fault(&world, &state, call(TRANSFER, 0, (ConditionalInput::Refund, 0u8))), CallFault::Malformed);
    let mut broken = state.clone();
    let mut contract = broken.contracts.get(&TRANSFER).unwrap().clone();
    contract.state.push(0);
    broken.contracts.insert(TRANSFER, contract.clone());
    assert_eq!(fault(&World::on(&broken), &broken, claim()), CallFault::Malformed);
    for number in [0, 2, 255] {
        broken.contracts.insert(TRANSFER, Contract { code: Code::Builtin(number), ..contract.clone() });
        assert_eq!(fault(&World::on(&broken), &broken, claim()), CallFault::BuiltinUnknown(number));
    }
}

#[test]
fn a_contract_that_has_ended_is_not_there_any_more() {
    let state = state_with(HashFunction::Blake2b256, Party::Responder);
    let world = World::on(&state);
    let gone = Rejection::ContractNotShown { contract: TRANSFER };
    assert_eq!(world.plan(&state, None, Party::Initiator, vec![claim(), claim()]).map(drop), Err(gone));
    let (_, after) = world.step(&state, Party::Initiator, vec![claim()]);
    assert_eq!(World::on(&after).plan(&after, None, Party::Initiator, vec![claim()]).map(drop), Err(gone));
}

/// Were the step accepted, the other transfer would not rise to the root: nothing in the channel could be proved any more, and its coins
/// would be lost.
#[test]
fn a_claim_cannot_take_the_others_transfer_out_of_the_tree() {
    let state = two_transfers();
    let claim = |id, secret| call(id, 0, ConditionalInput::Claim(secret));
    for now in [EXPIRY - 1, EXPIRY] {
        let mut world = World { now: EXPIRY - 1, ..World::on(&state) };
        let (honest, after) = world.step(&state, Party::Initiator, vec![claim(TO_INITIATOR, SECRET)]);
        let mut forged = ForceProgress { state_hash: None, ..honest.clone() };
        for node in forged.proof.nodes.iter_mut().filter(|node| **node == TreeNode::Empty) {
            *node = TreeNode::Opaque(Hash::ZERO);
        }
        assert_ne!(forged.proof, honest.proof, "there is nothing beside the two");
        let malformed = Rejection::ProofInvalid(ProofError::Malformed);
        assert_eq!(world.force(INITIATOR, forged), Err(malformed));
        assert!(world.ledger.preimages.is_empty(), "a refused claim shows nothing");

        // The claim as it should be made leaves the other to be claimed, or given back.
        let _applied = world.force(INITIATOR, honest).unwrap();
        assert_eq!(world.record().on_chain.state_hash, after.hash());
        world.now = now;
        let (call, balances) = if now < EXPIRY {
            (claim(TO_RESPONDER, OTHER_SECRET), Pair::new(500, 500))
        } else {
            (call(TO_RESPONDER, 0, ConditionalInput::Refund), Pair::new(600, 400))
        };
        let (call, end) = world.step(&after, Party::Responder, vec![call]);
        let _applied = world.force(RESPONDER, call).unwrap();
        assert_eq!(world.record().on_chain.state_hash, end.hash());
        assert_eq!((end.balances, end.contracts.root()), (balances, Hash::ZERO));
    }
}
