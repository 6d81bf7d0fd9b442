//! Cases of `docs/catalogue.md` that need a hub with its machines.

use super::{
    link::{DOMAIN, LOCK},
    net::{MARGINS, Net, SHARE},
    oracle::Asked,
};
use channel::{
    Change, Message, Update,
    transfer::{Intent, Progress},
};
use network::{Opening, PaymentState};
use protocol::{
    Base, BlockNumber, Pair, Party,
    call::{Call, CloseSolo},
    contracts::conditional::{HashFunction, HashLock, Preimage},
    crypto::Native,
};

const PAYER: usize = 0;
const HUB: usize = 1;
const PAYEE: usize = 2;
const SECRET: Preimage = Preimage([1; 32]);
/// What the payer gives for a payment of 200.
const SENT: u128 = 202;

fn lock() -> HashLock {
    SECRET.lock(HashFunction::Sha2_256, &Native)
}

/// A payment of 200 that the payee holds, and that payer and payee see no further block of.
fn held() -> Net {
    let mut net = Net::new(3, &[(PAYER, HUB), (HUB, PAYEE)]);
    let invoice = net.invoice_for(PAYEE, 1, 200, &[HUB], Opening::Held(lock()));
    assert_eq!(net.pay(PAYER, 1, &invoice), Ok(PaymentState::Pending));
    net.run();
    (net.is_deaf[PAYER], net.is_deaf[PAYEE]) = (true, true);
    net
}

/// The blocks in which the payment expires upstream and downstream of the hub.
fn expiries(net: &Net) -> (BlockNumber, BlockNumber) {
    let upstream = net.links[0].sides[Party::Responder].machine().incoming_transfers();
    let downstream = net.links[1].sides[Party::Initiator].machine().outgoing_transfers();
    let first = upstream.values().next().expect("it came in").terms.expiry;
    (first, downstream.values().next().expect("it went on").offer.terms.expiry)
}

fn next_round(net: &Net, link: usize, by: Party) -> protocol::Round {
    let side = &net.links[link].sides[by.peer()];
    let next = side.signed.keys().max().copied().unwrap_or(0).max(side.round()) + 1;
    if Party::owner_of(next) == by { next } else { next + 1 }
}

/// Case T1d: claims to a hub, in any block, with its final head behind or not, and with any height named.
#[test]
fn a_claim_to_a_hub_is_agreed_to_by_its_newest_head_as_long_as_it_could_still_claim_upstream() {
    let (_, until) = expiries(&held());
    for distance in -20_i64..=20 {
        for (lag, height) in [(0, BlockNumber::MAX), (3, 0)] {
            let mut net = held();
            let (upstream, downstream) = expiries(&net);
            net.lag[HUB] = lag;
            let block = BlockNumber::try_from(i64::from(until) + distance).unwrap();
            while net.head() < block {
                net.mine();
            }
            let contract = *net.links[1].sides[Party::Responder].machine().incoming_transfers().keys().next().unwrap();
            let claim = vec![Change::Claim { contract, preimage: SECRET, calls: Vec::new() }];
            let balances = Pair::new(SHARE - 200, SHARE + 200);
            let round = next_round(&net, 1, Party::Responder);
            let update = net.links[1].forge_update_to(Party::Responder, round, claim, balances);
            net.links[1].hear(Party::Initiator, Message::Update(Update { height, ..update }));
            let left = net.links[1].sides[Party::Initiator].machine().contracts().unwrap().transfers();
            let is_safe = block < upstream - MARGINS.forward();
            assert_eq!(left == 0, is_safe, "{distance} blocks from block {downstream}, {lag} behind");
            // What is known is claimed upstream, as long as there is time; what is agreed to is never given back.
            let row = net.links[0].sides[Party::Responder].machine().incoming_transfers().values().next().cloned();
            let is_failed = row.is_none_or(|row| matches!(row.intent, Intent::Fail(_)));
            assert!(!(is_safe && is_failed), "{distance}: paid downstream and given back upstream");
            assert_eq!(is_failed, block >= downstream + lag, "{distance} blocks, {lag} behind");
        }
    }
}

/// Case T1d: a payer that asks a hub for its coins back.
#[test]
fn a_refund_by_a_hub_is_agreed_to_only_once_its_own_final_head_has_seen_the_expiry() {
    let (until, _) = expiries(&held());
    for distance in -20_i64..=20 {
        for (lag, height) in [(0, BlockNumber::MAX), (3, 0)] {
            let mut net = held();
            net.lag[HUB] = lag;
            let block = BlockNumber::try_from(i64::from(until) + distance).unwrap();
            while net.head() < block {
                net.mine();
            }
            let row = net.links[0].sides[Party::Responder].machine().incoming_transfers().values().next().cloned();
            let row = row.expect("nothing was agreed to");
            let refund = vec![Change::Refund { contract: row.contract, calls: Vec::new() }];
            let round = next_round(&net, 0, Party::Initiator);
            let update = net.links[0].forge_update_to(Party::Initiator, round, refund, Pair::new(SHARE, SHARE));
            net.links[0].hear(Party::Responder, Message::Update(Update { height, ..update }));
            let left = net.links[0].sides[Party::Responder].machine().contracts().unwrap().transfers();
            assert_eq!(left == 0, block >= until + lag, "{distance} blocks from the expiry, {lag} behind");
            net.settle();
            let asked = [Asked { payer: PAYER, payee: PAYEE, id: 1, amount: 200 }];
            assert_eq!(net.assert_ended_well(&asked), 0);
        }
    }
}

/// What the payee may put on chain later: the state before the payment.
fn before_the_offer() -> (Net, CloseSolo) {
    let mut net = Net::new(3, &[(PAYER, HUB), (HUB, PAYEE)]);
    let _id = net.links[1].pay(Party::Initiator, 1).unwrap();
    net.run();
    let kept = net.links[1].sides[Party::Responder].machine().evidence().unwrap();
    (net, kept)
}

/// Case T2c: the hub is told by the registry, is away while its downstream channel ends on the state before the offer, and starts anew.
#[test]
fn a_hub_that_knows_the_pre_image_claims_upstream_although_its_channel_was_settled_on_a_state_before_the_offer() {
    let (mut net, kept) = before_the_offer();
    let invoice = net.invoice(PAYEE, 1, 200, &[HUB]);
    assert_eq!(net.pay(PAYER, 1, &invoice), Ok(PaymentState::Pending));
    // The payee has it, and shows the pre-image to nobody but the registry.
    while net.links[1].sides[Party::Responder].machine().incoming_transfers().is_empty() {
        let next = net.ready()[0];
        net.step(next);
    }
    net.links[1].wire = Pair::default();
    net.cut(1);
    let (upstream, downstream) = expiries(&net);
    net.cut(0);
    while net.head() < downstream {
        net.mine();
    }
    assert_eq!(net.links[1].chain.preimages.len(), 1);
    let known = |net: &Net| {
        let rows = net.links[1].sides[Party::Initiator].transfers.values().cloned().collect::<Vec<_>>();
        matches!(&rows[..], [channel::transfer::TransferRow::Outgoing(row)] if matches!(row.progress, Progress::Fulfilled(_)))
    };
    assert!(known(&net), "the hub has written it down");
    net.vanish(HUB);
    net.links[1].chain.submit(Party::Responder, Call::ChannelCloseSolo(kept));
    for _ in 0..2 * LOCK + 2 {
        net.mine();
    }
    assert!(net.head() > upstream);
    let record = net.links[1].chain.ledger.channels.is_empty();
    net.come_back(HUB);
    net.run();
    for _ in 0..5 {
        net.mine();
        net.run();
    }
    assert!(record, "the channel was settled on the state before, with nothing in it");
    assert_eq!(net.payment(PAYER, 1), Some(PaymentState::Paid(Preimage([1; 32]))));
    let upstream = &net.links[0].sides[Party::Responder];
    assert_eq!((upstream.balances().ours, upstream.transfers.len()), (SHARE + SENT, 0), "claimed all the same");
    assert_eq!(net.links[0].states(), ("open", "open"));
}

/// Case T2c: the hub heard the pre-image in a claim that it could not agree to, crashed, and found its channel closing on the state before the offer.
#[test]
fn a_hub_that_heard_the_pre_image_in_a_round_that_it_did_not_look_at_claims_upstream_after_a_crash() {
    let (mut net, kept) = before_the_offer();
    let invoice = net.invoice_for(PAYEE, 1, 200, &[HUB], Opening::Held(lock()));
    assert_eq!(net.pay(PAYER, 1, &invoice), Ok(PaymentState::Pending));
    net.run();
    let contract = *net.links[1].sides[Party::Responder].machine().incoming_transfers().keys().next().unwrap();
    let claim = vec![Change::Claim { contract, preimage: SECRET, calls: Vec::new() }];
    let round = next_round(&net, 1, Party::Responder);
    let update = net.links[1].forge_update_to(Party::Responder, round, claim, Pair::new(SHARE - 201, SHARE + 201));
    let base = Base::of(1);
    net.links[1].hear(Party::Initiator, Message::Update(Update { base, ..update }));
    let left = net.links[1].sides[Party::Initiator].machine().contracts().unwrap().transfers();
    assert_eq!(left, 1, "a round on another state is not agreed to");
    // The claim that goes upstream because of it is lost with the process.
    net.vanish(HUB);
    net.links[1].chain.submit(Party::Responder, Call::ChannelCloseSolo(kept));
    net.mine();
    net.come_back(HUB);
    net.run();
    assert_eq!(net.payment(PAYER, 1), Some(PaymentState::Paid(SECRET)));
    assert_eq!(net.links[0].sides[Party::Responder].balances().ours, SHARE + SENT);
    for _ in 0..60 {
        net.mine();
        net.run();
    }
    assert!(net.node(HUB).shared().router.earned(DOMAIN).len() <= 1);
    assert!(net.links[0].sides[Party::Responder].transfers.is_empty());
    let hub = net.links[1].chain.wealth(Party::Initiator);
    assert!(
        hub >= super::link::chain::FUNDS - 1 - 200,
        "the hub has {hub}: it paid 1 and, at the most, what it had upstream"
    );
}
