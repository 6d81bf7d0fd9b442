//! Room and coins of a hub, with real machines, where somebody means ill.

use super::net::{MARGINS, Net, SHARE, identity};
use channel::{
    Command, IdempotencyKey, Input,
    transfer::{LockedCalls, Offer, TransferCommand, TransferTerms},
};
use network::{Forward, Instruction, PaymentState};
use protocol::{
    Party,
    contracts::conditional::{HashFunction, Preimage},
    crypto::Native,
};

/// The router carries on what expires `M` blocks from now, and the next channel takes only what expires later than that. Whoever offers that pays nothing, has
/// its coins back at once, and offers it again.
#[test]
fn offers_that_the_next_channel_refuses_take_none_of_its_coins() {
    for blocks in [1, 0] {
        offered_so_late(blocks);
    }
}

/// So many blocks later than the router asks for.
fn offered_so_late(blocks: u32) {
    let mut net = Net::new(3, &[(0, 1), (1, 2)]);
    let mut amount = SHARE / 2;
    for number in 1..=20 {
        let expiry = net.head() + MARGINS.forward() + blocks;
        let forward = Forward { next: identity(2), chain: None, amount, expiry, inner: vec![1] };
        let lock = Preimage([100 + number; 32]).lock(HashFunction::Blake2b256, &Native);
        let terms = TransferTerms { amount: amount + amount / 500 + 2, lock, expiry: expiry + 40 };
        let instruction = Instruction::Forward(forward).to_bytes().unwrap();
        let offer = Offer { terms, premium: 0, calls: LockedCalls::NONE, instruction };
        let command = TransferCommand::Offer { key: IdempotencyKey(vec![number]), offer, fee: 0 };
        net.links[0].input(Party::Initiator, Input::User(Command::Transfer(command))).unwrap();
        net.run();
        amount = (amount / 2).max(1);
    }
    assert_eq!(net.node(1).shared().router.open(), (0, 0), "all of them have gone back");
    let invoice = net.invoice(2, 1, 200, &[1]);
    let begun = net.pay(0, 1, &invoice);
    net.run();
    let paid = PaymentState::Paid(Preimage([1; 32]));
    assert_eq!((begun, net.payment(0, 1)), (Ok(PaymentState::Pending), Some(paid)), "{blocks} blocks later");
}
