//! Attacks on what a router has staked (R8.5c), and on how it splits payments.

use crate::{
    harness::{OTHER, OTHER_CHAIN, World, at, hub_policy},
    swaps::{FULL, INITIATOR, policy},
    swaps_audit::{of_target, restarted, waits},
};
use ::channel::transfer::{IncomingTransfer, Intent, Offer, TransferCommand, TransferEvent};
use network::{Fee, PaymentState, Router, RouterInput, RouterOutput, RoutingPolicy, SwapTerms};
use protocol::contracts::{ContractId, conditional::Preimage};

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
    drop(router.handle(RouterInput::Head {
        chain: OTHER_CHAIN,
        best: terms.lock_by - 5,
        finalised: terms.lock_by - 5,
    }));
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

/// A hub with a great channel asks for more than the payer allows. It alone could carry all of a payment, so it is what is planned (`shares`, by `single`, which knows
/// nothing of the budget), and the payment is refused for its fees; two others carry it in parts for a hundredth of that. Right would be that one channel is taken
/// only where it is within the budget, and else what is split.
#[test]
fn a_hub_that_is_too_dear_keeps_no_payment_from_being_made_in_parts() {
    let dear = RoutingPolicy { fee: Fee { base: 20_000, parts_per_million: 0 }, ..hub_policy() };
    let policies = vec![RoutingPolicy::default(), hub_policy(), hub_policy(), dear, RoutingPolicy::default()];
    let to_payee = [(1, 4, FULL, 0), (2, 4, FULL, 0), (3, 4, FULL, 0)];
    for carries in [60_000, 110_000] {
        let to_hubs = [(0, 1, 60_000, FULL), (0, 2, 45_000, FULL), (0, 3, carries, FULL)];
        let mut world = World::new(policies.clone(), &[to_hubs, to_payee].concat());
        let invoice = world.invoice(4, 1, Some(80_000), &[1, 2, 3]);
        world.run();
        assert_eq!(
            world.pay_within(0, 1, &invoice, None, 1_000),
            Ok(PaymentState::Pending),
            "the dear one could carry {carries}"
        );
        world.run();
        world.settle();
        assert_eq!(world.payment(0, 1), Some(PaymentState::Paid(Preimage([1; 32]))));
    }
}
