//! A premium that an initiator has pledged is never lost to a responder that locks its leg late, or by the chain: the leg is claimed as long as there is time (R8.5c).

use crate::{
    harness::{CHAIN, OTHER, OTHER_CHAIN, World, at},
    swaps::{ID, INITIATOR, RESPONDER, policy, words},
    swaps_audit::{of_target, restarted, secret, waits},
};
use ::channel::{
    IdempotencyKey,
    transfer::{FailReason, Failure, IncomingTransfer, Intent, LockedCalls, Offer, TransferCommand, TransferEvent},
};
use network::{Router, RouterInput, RouterOutput, SwapBody, SwapCode, SwapError, SwapItem, SwapStage, SwapTerms};
use protocol::{BlockNumber, contracts::ContractId};

/// An initiator that has locked the source leg, and the swap's terms.
fn initiator() -> (World, Router, SwapTerms) {
    let (world, terms) = waits(vec![policy(false), policy(true)]);
    let (router, _) = restarted(&world, INITIATOR, &[]);
    (world, router, terms)
}

fn head(router: &mut Router, best: BlockNumber, finalised: BlockNumber) {
    drop(router.handle(RouterInput::Head { chain: OTHER_CHAIN, best, finalised }));
}

/// The target leg is locked, with or without the premium.
fn locked(router: &mut Router, terms: &SwapTerms, is_staked: bool) -> Vec<RouterOutput> {
    let Offer { terms, instruction, .. } = of_target(terms, 1);
    let (contract, premium) = (ContractId([1; 32]), is_staked.then_some(ContractId([2; 32])));
    let row =
        IncomingTransfer { contract, premium, terms, calls: LockedCalls::NONE, instruction, intent: Intent::Undecided };
    router.handle(RouterInput::Transfer(at(OTHER), TransferEvent::Offered(row)))
}

fn claims(outputs: &[RouterOutput]) -> bool {
    let is_claim = |output: &RouterOutput| match output {
        RouterOutput::Command { at: to, command: TransferCommand::Claim { preimage, .. } } => {
            *to == at(OTHER) && *preimage == secret()
        }
        _ => false,
    };
    outputs.iter().any(is_claim)
}

fn cancel(world: &World, router: &mut Router) {
    let body = Some(SwapBody::Cancel(SwapCode::Cancelled));
    let bytes = words(SwapItem { id: ID, number: 2, acknowledges: 1, body });
    drop(router.handle(RouterInput::Swap { chain: CHAIN, peer: world.key(RESPONDER), bytes }));
}

/// The responder says that the swap is over, and shows the pledge to the chain all the same.
#[test]
fn a_leg_that_is_locked_after_a_cancel_is_claimed_where_a_premium_is_staked_beside_it() {
    for is_staked in [true, false] {
        let (world, mut router, terms) = initiator();
        cancel(&world, &mut router);
        let outputs = locked(&mut router, &terms, is_staked);
        assert_eq!(claims(&outputs), is_staked, "{outputs:?}");
    }
}

/// What was shown in the last block of the pledge is known once that is final.
#[test]
fn a_leg_that_comes_by_the_chain_after_its_last_block_is_claimed_as_long_as_there_is_time() {
    let margin = policy(false).chain.margins.forward();
    let last = |terms: &SwapTerms| terms.target.expiry - margin;
    for (after, in_time) in [(0, true), (1, true), (u32::MAX, true), (u32::MAX - 1, false)] {
        for finalised in [None, Some(5_000)] {
            let (_world, mut router, terms) = initiator();
            let best = match after {
                u32::MAX => last(&terms),
                after if after == u32::MAX - 1 => last(&terms) + 1,
                after => terms.lock_by + after,
            };
            // Also while finality stands still.
            head(&mut router, best, finalised.unwrap_or(best));
            let outputs = locked(&mut router, &terms, true);
            assert_eq!(claims(&outputs), in_time, "in block {best}, {finalised:?} final");
        }
    }
}

#[test]
fn a_leg_without_a_premium_is_claimed_up_to_the_block_by_which_it_is_locked() {
    let (_world, mut router, terms) = initiator();
    head(&mut router, terms.lock_by + 1, terms.lock_by + 1);
    assert!(!claims(&locked(&mut router, &terms, false)));
}

/// A start between the lock and the claim.
#[test]
fn a_staked_leg_of_a_swap_that_is_being_cleared_is_claimed_after_a_start() {
    let (mut world, mut router, terms) = initiator();
    cancel(&world, &mut router);
    let Offer { terms: of_leg, instruction, .. } = of_target(&terms, 1);
    let (contract, premium) = (ContractId([1; 32]), Some(ContractId([2; 32])));
    let row = IncomingTransfer {
        contract,
        premium,
        terms: of_leg,
        calls: LockedCalls::NONE,
        instruction,
        intent: Intent::Undecided,
    };
    let _none = world.nodes[INITIATOR].store.sides.get_mut(&OTHER).unwrap().incoming.insert(contract, row);
    let (mut router, mut outputs) = restarted(&world, INITIATOR, &[]);
    outputs.extend(router.handle(RouterInput::Tick(world.now + 1_000)));
    assert!(claims(&outputs), "{outputs:?}");
}

/// Its row has the pre-image: it stays as long as the pledge may still come to count, though the source leg is back and the swap is over.
#[test]
fn a_swap_is_not_forgotten_while_its_pledge_may_be_shown() {
    let (world, mut router, terms) = initiator();
    cancel(&world, &mut router);
    let key = IdempotencyKey([&[0xf2][..], &ID.0, &0_u32.to_le_bytes()].concat());
    let why = Failure::ByPayee(FailReason(Vec::new()));
    drop(router.handle(RouterInput::Transfer(at(0), TransferEvent::Failed { key, why })));
    assert!(matches!(router.swap(&ID).unwrap().stage, SwapStage::Ended { .. }));
    let last = terms.lock_by + policy(false).chain.margins.answer;
    head(&mut router, last, last);
    assert_eq!(router.forget_swap(ID).unwrap_err(), SwapError::UnderWay);
    head(&mut router, last + 1, last + 1);
    assert!(router.forget_swap(ID).is_ok());
}
