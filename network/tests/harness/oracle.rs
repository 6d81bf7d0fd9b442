//! What has to hold whenever something leaves a node, and in the end.

use super::{Msg, World, channel::contract as named};
use crate::harness::world::at;
use ::channel::transfer::{IncomingEnd, Intent, Progress};
use network::PaymentState;
use protocol::Amount;

impl World {
    /// Looked at whenever a message leaves: what has to be committed by then is.
    pub(crate) fn check_leaving(&self, node: usize, channel: usize, message: &Msg) {
        let store = &self.nodes[node].store;
        match message {
            Msg::Offer { contract, .. } => {
                let open = &store.sides[&channel].own[contract];
                // I2: the row is there before it leaves.
                assert!(store.sides[&channel].outgoing.contains_key(&open.key), "an offer left without its row (I2)");
                if let Some((upstream, origin)) = forward_of(&open.key.0) {
                    let all = store.sides.iter().find(|(number, _)| at(**number).channel.0 == upstream);
                    let (_, side) = all.expect("a channel");
                    let origin = protocol::contracts::ContractId(origin);
                    // Said again it may be paid for already: by another part's pre-image.
                    if side.ended.get(&origin) == Some(&IncomingEnd::Claimed) {
                        return;
                    }
                    // I1: what it goes on from is committed, and not given back.
                    let incoming = side.incoming.get(&origin);
                    let incoming = incoming.expect("an offer went on before its origin was committed (I1)");
                    assert!(!matches!(incoming.intent, Intent::Fail(_)), "something that is given back went on");
                    // I6, I7, I8.
                    assert!(incoming.terms.expiry >= open.terms.expiry + 2, "expiries (I6)");
                    assert!(incoming.terms.amount >= open.terms.amount, "amounts (I7)");
                    assert_eq!(incoming.terms.lock, open.terms.lock, "locks (I8)");
                }
                // I9: no other live offer has its origin.
                let live = store.sides.values().filter_map(|side| side.outgoing.get(&open.key));
                let live = live.filter(|row| matches!(row.progress, Progress::Proposed | Progress::Offered));
                assert_eq!(live.count(), 1, "two live offers of one origin (I9)");
            }
            Msg::ClaimAck(contract) => {
                // I3: the pre-image is in the row, or the row was not needed any more.
                let key = &store.sides[&channel].own[contract].key;
                if let Some(row) = store.sides[&channel].outgoing.get(key)
                    && named(channel, node, key, &row.offer) == *contract
                {
                    assert!(
                        matches!(row.progress, Progress::Fulfilled(_)),
                        "a claim was acknowledged without its row (I3)"
                    );
                }
            }
            Msg::OfferAck(_) | Msg::Refuse(_) | Msg::Forfeit(_) | Msg::Claim(..) | Msg::Fail(..) | Msg::FailAck(_) => {}
        }
    }

    /// What a node gained, if more than nothing.
    pub(crate) fn gain(&self, node: usize) -> i128 {
        i128::try_from(self.total(node)).unwrap() - i128::try_from(self.nodes[node].first_total).unwrap()
    }
}

/// The channel and the contract of a forward's key.
pub(crate) fn forward_of(key: &[u8]) -> Option<([u8; 16], [u8; 32])> {
    let (tag, rest) = key.split_first()?;
    let (channel, contract) = rest.split_at_checked(16)?;
    (*tag == 0xf0).then(|| Some((channel.try_into().ok()?, contract.try_into().ok()?)))?
}

/// Nothing is under way anywhere.
pub(crate) fn assert_nothing_is_open(world: &World) {
    for (number, node) in world.nodes.iter().enumerate() {
        for side in node.store.sides.values() {
            let (incoming, outgoing) = (&side.incoming, &side.outgoing);
            let is_empty = incoming.is_empty() && outgoing.is_empty();
            assert!(is_empty, "node {number} keeps rows at {}: {incoming:#?} {outgoing:#?}", world.view.height);
            assert!(side.own.values().all(|open| open.end.is_some()));
        }
        assert_eq!(node.router.open(), (0, 0), "node {number} has something open");
    }
}

/// No coin is lost or made, where nothing is open.
pub(crate) fn assert_coins_are_kept(world: &World) {
    let all: Amount = (0..world.nodes.len()).map(|node| world.total(node)).sum();
    let first: Amount = world.nodes.iter().map(|node| node.first_total).sum();
    assert_eq!(all, first, "coins are lost or made");
}

/// No coin is lost or made, no node that carried on has less, and what a payer was told is what happened. `paid`: payer, payee, id, amount.
pub(crate) fn assert_ended_well(world: &World, paid: &[(usize, usize, u8, Amount)]) {
    assert_ended_well_after(world, &[], paid);
}

/// The same after payments that are forgotten: those of them that were made. `made`: payer, payee, amount.
pub(crate) fn assert_ended_well_after(
    world: &World,
    made: &[(usize, usize, Amount)],
    paid: &[(usize, usize, u8, Amount)],
) {
    assert_nothing_is_open(world);
    assert_coins_are_kept(world);
    let mut least = vec![0_i128; world.nodes.len()];
    let mut all_made = made.to_vec();
    for (payer, payee, id, amount) in paid {
        match world.payment(*payer, *id) {
            Some(PaymentState::Paid(_)) => all_made.push((*payer, *payee, *amount)),
            Some(PaymentState::Failed(_)) | None => {}
            Some(PaymentState::Pending) => panic!("payment {id} is stuck"),
        }
    }
    for (payer, payee, amount) in all_made {
        let amount = i128::try_from(amount).unwrap();
        least[payer] -= amount + amount / 100 + 100;
        least[payee] += amount;
    }
    for (node, least) in least.into_iter().enumerate() {
        assert!(world.gain(node) >= least, "node {node} gained {} and should have {least} at least", world.gain(node));
    }
}
