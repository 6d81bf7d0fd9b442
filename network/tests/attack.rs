//! Attacks on what a router has staked (R8.5c).

use crate::{
    harness::{OTHER, OTHER_CHAIN, World, at},
    swaps::{INITIATOR, policy},
    swaps_audit::{of_target, restarted, waits},
};
use ::channel::transfer::{IncomingTransfer, Intent, Offer, TransferCommand, TransferEvent};
use network::{Router, RouterInput, RouterOutput, SwapTerms};
use protocol::contracts::ContractId;

/// An initiator that has locked the source leg, and the swap's terms.
fn initiator() -> (World, Router, SwapTerms) {
    let (world, terms) = waits(vec![policy(false), policy(true)]);
    let (router, _) = restarted(&world, INITIATOR, &[]);
    (world, router, terms)
}

/// The initiator's router says yes to a pledge for an offer; what the channel then agrees to without asking may have another instruction, since the pledged round is
/// known by its state alone (`channel`: `what_is_agreed_to_of_a_pledged_round_is_what_was_pledged`). The router gives it back, and with it its own premium, which goes
/// to the responder.
#[test]
fn a_premium_is_not_given_away_by_an_instruction_that_was_never_pledged() {
    let (_world, mut router, terms) = initiator();
    drop(router.handle(RouterInput::Head { chain: OTHER_CHAIN, best: terms.lock_by - 5, finalised: terms.lock_by - 5 }));
    let offer = of_target(&terms, 1);
    assert!(router.stakes_until(&at(OTHER), &offer).is_some(), "it pledges");
    let Offer { terms, .. } = offer;
    let (contract, premium) = (ContractId([1; 32]), Some(ContractId([2; 32])));
    let row = IncomingTransfer { contract, premium, terms, instruction: vec![0xee; 40], intent: Intent::Undecided };
    let outputs = router.handle(RouterInput::Transfer(at(OTHER), TransferEvent::Offered(row)));
    let gives_back = outputs
        .iter()
        .any(|output| matches!(output, RouterOutput::Command { command: TransferCommand::Fail { .. }, .. }));
    assert!(!gives_back, "the premium is given away: {outputs:?}");
}
