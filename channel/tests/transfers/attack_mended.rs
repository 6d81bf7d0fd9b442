//! Attacks on what earlier attacks on pledges led to (R6.5d).

use super::pledges_audit::{AMOUNT, PREMIUM, mine_until, on_chain, proposed, staked};
use super::*;
use crate::harness::side::Fate;
use channel::RefusalCode;
use protocol::record::{Penalty, Phase as RecordPhase};

/// The payee pledges, and the payer proposes what does not arrive.
fn propose_pledged(world: &mut World) {
    for _ in 0..8 {
        let _asked = world.deliver(Responder);
        let _answered = world.deliver(Initiator);
        if matches!(world.wire[Responder].back(), Some(Message::Update(_))) {
            world.wire = protocol::Pair::default();
            return;
        }
        world.mine();
    }
    panic!("it is not pledged");
}

/// *Sequence:* as in [`a_payment_that_a_pledge_takes_the_place_of_is_told_as_undone`](super::pledges_audit3), but the first pledge is never shown and is over. Then the payer
/// asks for another pledge, on the state that the payment is in, keeps back its round and shows that pledge. *Loss:* the payee is told that its payment is undone, which
/// is in the state that counts: it pays once more. *Right:* what was noted for the first pledge is over with it.
#[test]
fn a_payment_that_stands_is_not_told_as_undone_by_a_later_pledge() {
    let mut world = World::opened();
    world.offer(Responder, 2, 30, 60).unwrap();
    world.run();
    let contract = world.contract_of(Initiator, 2).unwrap();
    let payment = world.pay(Responder, 5).unwrap();
    let Message::Update(given_up) = world.steal(Initiator) else { panic!("proposed") };
    // The payer agrees, and does as if it had not.
    let before = world.sides[Initiator].clone();
    world.hear(Initiator, Message::Update(given_up.clone()));
    let _kept_back = world.steal(Responder);
    let mut knows = std::mem::replace(&mut world.sides[Initiator], before);
    world.hear(Responder, Message::UpdateError { round: given_up.round, code: RefusalCode::STALE_STORE });
    world.force_claim(Initiator, contract, 2).unwrap();
    world.mine();
    while world.deliver(Responder) || world.deliver(Initiator) {}
    for call in ["channel_snapshot_solo", "channel_slash"] {
        let _new = world.chain.censored.insert(call);
    }
    let until = staked(&mut world, 20);
    propose_pledged(&mut world);
    let channel = world.channel_id();
    let shown = world.co_signed(Responder, &given_up);
    world.chain.censored.clear();
    world.chain.drop_pool();
    world.chain.submit(Initiator, Call::ChannelSnapshotSolo(SnapshotSolo { channel, payload: shown }));
    world.mine();
    world.chain.drop_pool();
    assert_eq!(on_chain(&world).agreed, given_up.round);
    assert!(matches!(world.fate(Responder, payment), Fate::Paid(_)));
    // The first pledge is never shown.
    for call in ["channel_snapshot_solo", "channel_slash"] {
        let _new = world.chain.censored.insert(call);
    }
    mine_until(&mut world, until + 3);
    world.chain.drop_pool();
    world.chain.censored.clear();
    world.disconnect();
    std::mem::swap(&mut knows, &mut world.sides[Initiator]);
    world.mine_blocks(2);
    world.chain.drop_pool();
    world.connect();
    while world.deliver(Responder) || world.deliver(Initiator) {}
    assert!(matches!(world.fate(Responder, payment), Fate::Paid(_)));
    let paid = world.ours(Responder);
    let head = world.chain.head();
    let offer = Offer { premium: PREMIUM, ..an_offer(4, AMOUNT, head + 40) };
    world.offer_staked(Initiator, 4, offer, head + 20).unwrap();
    let mut is_pledged = false;
    for _ in 0..16 {
        while world.deliver(Responder) {}
        if world.wire[Initiator].iter().any(|said| matches!(said, Message::PledgeSigned { .. })) {
            while world.deliver(Initiator) {}
            is_pledged = world.sides[Initiator].machine().pledge().is_some();
            if is_pledged {
                break;
            }
        }
        while world.deliver(Initiator) {}
        world.mine();
    }
    assert!(is_pledged, "asked again");
    // The round is not said: the machine shows the pledge when it is time.
    for _ in 0..26 {
        world.wire = protocol::Pair::default();
        world.mine();
    }
    assert_eq!(
        world.ours(Responder),
        paid - PREMIUM,
        "the payment is in the state that counts, and the premium is staked"
    );
    assert!(matches!(world.fate(Responder, payment), Fate::Paid(_)), "told as {:?}", world.fate(Responder, payment));
}

/// *Sequence:* a payer holds a pledge whose round is not answered. Its own account closes on an old state by another hand, and its peer is away. *Loss:* where the close is not
/// final yet when the pledge is due, its machine shows the pledge by a slash beside the snapshot, which makes its own penalty due. *Right:* that is the price of a slash that
/// goes beside every snapshot, since whose the close is cannot be known, and the peer's would leave no block for it (R6.5d). Where the close is final nothing is shown that
/// makes this side's own penalty due.
#[test]
fn a_payer_makes_its_own_penalty_due_by_a_pledge_only_where_the_close_is_not_final() {
    let mut due = Vec::new();
    for lag in [0, 1, 2, 3] {
        for before in 1..=7 {
            let mut world = World::opened();
            for party in Party::BOTH {
                world.sides[party].registry.margins = channel::transfer::Margins { register: REGISTER, answer: 1 };
            }
            let _paid = world.pay(Responder, 1).unwrap();
            world.run();
            let old = world.kept(Initiator);
            for party in Party::BOTH {
                let _paid = world.pay(party, 1).unwrap();
                world.run();
            }
            let (until, update) = proposed(&mut world, 8);
            world.kill(Responder);
            world.lag[Initiator] = lag;
            mine_until(&mut world, until - before);
            world.chain.submit(Initiator, Call::ChannelCloseSolo(old));
            mine_until(&mut world, until + 6);
            let record = world.chain.ledger.channels.first_key_value().unwrap().1.clone();
            let RecordPhase::Closing(closing) = record.phase else { continue };
            if closing.penalty == Penalty::Due(Initiator) {
                assert!(on_chain(&world).agreed >= update.round, "nobody pays for what does not count");
                due.push((lag, before));
            }
        }
    }
    assert!(!due.is_empty(), "the price that is known");
    // The pledge is due that many blocks before its last one, by the newest block; and the close is in the block after this one.
    let known: Vec<_> = due.into_iter().filter(|(lag, before)| *before > REGISTER + *lag).collect();
    assert!(
        known.is_empty(),
        "made due by its own machine, with such a lag, closed so long before the last block: {known:?}"
    );
}

/// What showing a pledge takes there.
const REGISTER: BlockNumber = 4;

/// *Sequence:* two questions cross, and the higher one wins and is refused: here one for a pledge, which whoever is asked does not give. *Loss:* the lower one has no answer, and is
/// not asked anew, so that nothing goes through the channel on that side until no block can take it any more. *Right:* it is asked anew as soon as the other one has its
/// answer (R6.5a).
#[test]
fn a_question_that_loses_to_one_that_is_refused_is_asked_anew() {
    for asker in Party::BOTH {
        let mut world = World::opened();
        world.withdraw(asker, 50).unwrap();
        let offer = Offer { premium: PREMIUM, ..an_offer(1, AMOUNT, world.chain.head() + 100) };
        let until = world.chain.head() + 20;
        world.offer_staked(asker.peer(), 1, offer, until).unwrap();
        while world.deliver(Responder) || world.deliver(Initiator) {}
        world.mine();
        assert_eq!(world.chain.paid_out.values().sum::<Amount>(), 50, "asked by {asker:?}");
    }
}
