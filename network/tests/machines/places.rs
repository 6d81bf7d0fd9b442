//! Fees for places, with real machines: each is paid with its offer and with nothing else, once, whoever crashes (B6).

use super::net::{Net, policy};
use network::{FailureCode, Opening, PayError, PaymentState, RoutingPolicy};
use protocol::{
    Amount, Party,
    contracts::conditional::{HashFunction, Preimage},
    crypto::Native,
};

const PAYER: usize = 0;
const HUB: usize = 1;
const PAYEE: usize = 2;
/// What a place costs.
const PLACE: i128 = 7;
/// What the hub takes for carrying on.
const FEE: i128 = 2;
const AMOUNT: Amount = 200;

fn net() -> Net {
    let policy = RoutingPolicy { slot_fee: 7, ..policy() };
    Net::with(policy, 3, &[(PAYER, HUB), (HUB, PAYEE)])
}

fn settled(net: &mut Net) -> (i128, i128, i128) {
    net.settle();
    net.assert_quiet();
    (net.gain(PAYER), net.gain(HUB), net.gain(PAYEE))
}

#[test]
fn a_place_is_paid_for_with_its_offer_and_counts_against_what_the_payer_allows() {
    let mut net = net();
    let invoice = net.invoice(PAYEE, 1, AMOUNT, &[HUB]);
    let refused = net.pay_for(PAYER, 1, &invoice, 8);
    assert_eq!(refused, Err(PayError::Fees { needed: 9, allowed: 8 }));
    assert_eq!(net.pay_for(PAYER, 1, &invoice, 9), Ok(PaymentState::Pending));
    net.run();
    assert_eq!(net.pay_for(PAYER, 1, &invoice, 9), Ok(PaymentState::Paid(Preimage([1; 32]))), "asked for again");
    assert_eq!(settled(&mut net), (-200 - FEE - PLACE, FEE + PLACE, 200));
}

#[test]
fn what_a_place_has_cost_does_not_come_back_and_is_not_spent_again() {
    let mut net = net();
    let lock = Preimage([2; 32]).lock(HashFunction::Blake2b256, &Native);
    let invoice = net.invoice_for(PAYEE, 2, AMOUNT, &[HUB], Opening::Held(lock));
    assert_eq!(net.pay_for(PAYER, 1, &invoice, 100), Ok(PaymentState::Pending));
    net.run();
    net.cancel(PAYEE, lock);
    net.run();
    assert_eq!(net.payment(PAYER, 1), Some(PaymentState::Failed(FailureCode::UnknownOrWrong)));
    assert_eq!(settled(&mut net), (-PLACE, PLACE, 0));
}

#[test]
fn a_place_is_paid_for_once_wherever_anybody_crashes() {
    let mut crashes = 0;
    for (link, party) in [(0, Party::Initiator), (0, Party::Responder), (1, Party::Initiator), (1, Party::Responder)] {
        for commit in 0.. {
            let mut with = None;
            for effects in [0, usize::MAX] {
                let mut net = net();
                let invoice = net.invoice(PAYEE, 1, AMOUNT, &[HUB]);
                net.links[link].plan_crash(party, commit, effects, false);
                for _ in 0..3 {
                    let _state = net.pay_for(PAYER, 1, &invoice, 9);
                    net.run();
                    net.tick(2_000);
                }
                with = net.links[link].crashed_with;
                let gains = settled(&mut net);
                match net.payment(PAYER, 1) {
                    Some(PaymentState::Paid(_)) => assert_eq!(gains, (-200 - FEE - PLACE, FEE + PLACE, 200)),
                    // Nobody has signed it, or the hub had its place taken and gave it back.
                    Some(PaymentState::Failed(_)) => assert!([0, PLACE].contains(&gains.1), "{gains:?}"),
                    other => panic!("{other:?} after a crash of the {party:?} of {link} at {commit}"),
                }
                assert_eq!((gains.0 + gains.1 + gains.2, gains.2 % 200), (0, 0), "{gains:?}");
                if with.is_none() {
                    break;
                }
                crashes += 1;
            }
            if with.is_none() {
                break;
            }
        }
    }
    assert!(crashes > 20, "{crashes}");
}
