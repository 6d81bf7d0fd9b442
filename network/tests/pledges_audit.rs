//! Attacks on an initiator that has pledged a premium (R6.5d, R8.5c).

use crate::{
    harness::{OTHER, OTHER_CHAIN, World, at},
    swaps::{INITIATOR, policy},
    swaps_audit::{of_target, restarted, secret, waits},
};
use ::channel::transfer::{IncomingTransfer, Intent, LockedCalls, Offer, Stake, TransferCommand, TransferEvent};
use network::{Router, RouterInput, RouterOutput, SwapTerms};
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

/// The responder shows the pledge in its last block, while finality lags as far as the initiator's policy lets it when it pledges. The initiator hears of the
/// leg once that block is final.
#[test]
fn a_leg_that_is_shown_in_the_last_block_of_its_pledge_is_claimed_however_far_finality_may_lag() {
    let mut lost = Vec::new();
    for lag in 0..=policy(false).chain.max_lag {
        let (_world, mut router, terms) = initiator();
        let offer = of_target(&terms, 1);
        head(&mut router, terms.lock_by, terms.lock_by.saturating_sub(lag));
        let (contract, valid_until) = (ContractId([1; 32]), terms.lock_by);
        let wanted = TransferEvent::PledgeWanted { contract, offer: offer.clone(), valid_until };
        let _answers = router.handle(RouterInput::Transfer(at(OTHER), wanted));
        if router.stakes(&at(OTHER), &ContractId([1; 32]), &offer) != Stake::Until(terms.lock_by) {
            continue;
        }
        head(&mut router, terms.lock_by + lag, terms.lock_by);
        let Offer { terms, instruction, .. } = offer;
        let (contract, premium) = (ContractId([1; 32]), Some(ContractId([2; 32])));
        let row = IncomingTransfer {
            contract,
            premium,
            terms,
            calls: LockedCalls::NONE,
            instruction,
            intent: Intent::Undecided,
        };
        let outputs = router.handle(RouterInput::Transfer(at(OTHER), TransferEvent::Offered(row)));
        let is_claim = |output: &RouterOutput| match output {
            RouterOutput::Command { at: to, command: TransferCommand::Claim { preimage, .. } } => {
                *to == at(OTHER) && *preimage == secret()
            }
            _ => false,
        };
        if !outputs.iter().any(is_claim) {
            lost.push(lag);
        }
    }
    assert!(lost.is_empty(), "the premium is lost where finality lags by so many blocks: {lost:?}");
}
