//! Attacks on what a hub keeps back (R6.5d, R8.5h): a payee that has pledged, and knows the round that its peer keeps back, does with it what its peer has not begun.

use super::{
    pledges_audit::{PREMIUM, mine_until},
    *,
};
use crate::harness::forge::{sign, state_body};
use channel::RefusalCode;
use protocol::call::Payload;

const AMOUNT: Amount = 100;

/// The initiator has the responder's pledge, and keeps the round back: the pledge, as whoever gave it knows it as well.
fn kept_back(world: &mut World, lasts: BlockNumber) -> Payload {
    world.sides[Responder].registry.premium = PREMIUM;
    let offer = Offer { premium: PREMIUM, ..an_offer(1, AMOUNT, world.chain.head() + 30) };
    let until = world.chain.head() + lasts;
    let (key, pledged_until, is_kept_back) = (name(1), until, true);
    let staked = TransferCommand::OfferStaked { key, offer, pledged_until, is_kept_back };
    world.command(Initiator, Command::Transfer(staked)).unwrap();
    world.run();
    // As it would be shown, were the round released.
    let side = &world.sides[Initiator];
    let mut released = side.machine().clone();
    let release = Input::User(Command::Transfer(TransferCommand::Release { key: name(1) }));
    let _step = released.handle(release, &side.context(world.now, world.pace)).unwrap();
    *released.pledge().expect("held")
}

/// *Sequence:* the payee pledges, and at once acknowledges the round that it has pledged, of which it has not heard: number, base and state are those of the
/// question that it was asked. *Loss:* the payer takes the answer for one to a round that it has said, so that the transfer is agreed although it was never released;
/// after a lost connection it hands its own signature over (`reestablish`), and the payee is paid for what has never come in. *Right:* what is kept back is not
/// acknowledged by anybody: such an answer is passed over, and nothing is locked before the release.
#[test]
fn a_payee_does_not_acknowledge_what_was_not_said() {
    let mut world = World::opened();
    let pledge = kept_back(&mut world, 10);
    let body = state_body(pledge.round, pledge.base, pledge.state_hash);
    let signature = sign(Responder, world.channel_id(), &body);
    world.hear(Initiator, Message::UpdateAck { round: pledge.round, signature });
    world.disconnect();
    world.run();
    if world.contract_of(Responder, 1).is_some() {
        world.claim(Responder, 1).unwrap();
        world.run();
    }
    let (payer, payee) = (world.ours(Initiator), world.ours(Responder));
    assert_eq!((payer, payee), (SHARE, SHARE), "the payee was paid for what was never offered");
}

/// *Sequence:* as above, without the claim. *Right:* the row says that it is only proposed, the round is not agreed.
#[test]
fn what_is_kept_back_is_not_agreed_by_the_peer_alone() {
    let mut world = World::opened();
    let pledge = kept_back(&mut world, 10);
    let body = state_body(pledge.round, pledge.base, pledge.state_hash);
    let signature = sign(Responder, world.channel_id(), &body);
    world.hear(Initiator, Message::UpdateAck { round: pledge.round, signature });
    assert_eq!(world.progress(Initiator, 1), Some(Progress::Proposed));
    assert!(world.sides[Initiator].machine().status().round < Some(pledge.round));
}

/// *Sequence:* the payee pledges, says of the round that is kept back that its own store is old, or puts it off, forces a step, and goes away and comes back: whatever
/// it does, the round is released in time and counts.
#[test]
fn errors_about_what_was_not_said_change_nothing() {
    for code in [RefusalCode::STALE_STORE, RefusalCode::CLOSING, RefusalCode::NOT_NOW, RefusalCode::POLICY] {
        for reconnects in [false, true] {
            for crashes in [false, true] {
                let mut world = World::opened();
                let pledge = kept_back(&mut world, 10);
                world.hear(Initiator, Message::UpdateError { round: pledge.round, code });
                if reconnects {
                    world.disconnect();
                    world.connect();
                    world.run();
                }
                if crashes {
                    world.crash(Initiator);
                    world.connect();
                    world.run();
                }
                assert_eq!(world.chain.times_asked(Initiator, "channel_snapshot_solo"), 0);
                assert!(world.contract_of(Responder, 1).is_none(), "{code:?} {reconnects} {crashes}");
                world.command(Initiator, Command::Transfer(TransferCommand::Release { key: name(1) })).unwrap();
                world.run();
                mine_until(&mut world, pledge.valid_until.unwrap());
                world.mine_blocks(2);
                world.run();
                let row = world.progress(Initiator, 1);
                assert_eq!(row, Some(Progress::Offered), "{code:?} {reconnects} {crashes}");
            }
        }
    }
}

/// *Sequence:* the payee forces a step on the state before its pledge (the kept-back round is given up for it), and cuts the connection, or its peer crashes; the
/// payer releases just in time for the pledge to be shown. *Right:* the round counts.
#[test]
fn what_is_given_up_for_a_forced_step_and_then_disconnected_is_still_released() {
    for (cuts, crashes) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut world = World::opened();
        world.offer(Initiator, 3, 30, 60).unwrap();
        world.run();
        let theirs = world.contract_of(Responder, 3).unwrap();
        let kept = world.kept(Responder);
        let state = world.sides[Responder].machine().state().unwrap().clone();
        let pledge = kept_back(&mut world, 15);
        let input = ConditionalInput::Claim(secret(3).0).encode();
        let calls = vec![ForcedCall { contract: theirs, value: 0, input }];
        world.force_by_hand(Responder, &state, Some(kept.payload.unwrap()), calls);
        world.mine_blocks(2);
        world.run();
        if cuts {
            world.disconnect();
            world.tick(60_000);
            world.connect();
            world.run();
        }
        if crashes {
            world.crash(Initiator);
            world.connect();
            world.run();
        }
        world.mine_blocks(2);
        world.command(Initiator, Command::Transfer(TransferCommand::Release { key: name(1) })).unwrap();
        mine_until(&mut world, pledge.valid_until.unwrap() + 2);
        world.run();
        let row = world.progress(Initiator, 1);
        assert_eq!(row, Some(Progress::Offered), "{cuts} {crashes}");
    }
}
