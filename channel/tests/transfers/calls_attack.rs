//! Attacks on calls of apps under the lock of a transfer (R8.3g): calls that are forced while they are also asked for, equal calls of several transfers, forced steps that are
//! fewer than what has to be made, and what is told of ends that are undone.

use super::*;
use crate::harness::{
    LOCK,
    contracts::{call, counter},
    deeds::{calls_of, count_of, deed_of, returning},
};
use channel::{ChainInput, Event, Input, RefusalCode, transfer::IncomingEnd};
use protocol::{
    Pair,
    call::{CallKind, Payload},
};

/// A transfer that returns by a call of a counter, and whose refund the payee has forced alone: the call is left, and the payer asks for it. Its round is on its way.
/// The two hear of each other again so many blocks before the call is due to be forced.
fn with_a_call_that_is_left(before: BlockNumber) -> (World, ContractId) {
    let (mut world, made) = World::with(Initiator, vec![counter(Pair::default(), 9)]);
    world.offer_with(1, returning(made[0]), 20);
    let contract = world.contract_of(Responder, 1).unwrap();
    world.mine_blocks(10);
    world.disconnect();
    world.mine_blocks(11);
    world.force(Responder, vec![refund(contract)]).unwrap();
    world.mine();
    let due = world.sides[Initiator].machine().outgoing_transfer(&name(1)).unwrap().offer.terms.expiry + 100;
    while world.chain.head() + before < due {
        world.mine();
    }
    world.connect();
    while !world.wire[Responder].iter().any(|message| matches!(message, Message::Update(_))) {
        let _moved = (world.deliver(Initiator), world.wire[Initiator].is_empty() && world.deliver(Responder));
    }
    (world, made[0])
}

/// The payer asks for a call that is left, and its peer does not hear of it. The payer forces the call: the round with it is abandoned, and its changes wait again (`abandon_below`,
/// `requeue`), the call among them. Once the peer is there the same call is made a second time. Right would be that a change which makes a call that is left goes from the queue once
/// the call is made by force.
#[test]
fn a_call_that_is_forced_while_it_is_asked_for_is_made_once() {
    let (mut world, counter) = with_a_call_that_is_left(90);
    world.disconnect();
    for _ in 0..260 {
        world.mine();
        if count_of(&world, Initiator, counter) == 1 {
            break;
        }
    }
    assert_eq!(count_of(&world, Initiator, counter), 1, "it is forced");
    for _ in 0..6 {
        world.run();
        world.mine();
    }
    assert_eq!(count_of(&world, Initiator, counter), 1, "it is made once");
}

/// The same where the peer's answer comes while the call is being forced: the round is agreed, and `stop_forcing` stops nothing, since what `force_ends` forces has no ids. The call is forced
/// on top of the round that has made it. Both sides are honest, and the link is slow. Right would be that what is forced is looked at again once a round is agreed.
#[test]
fn a_call_that_is_agreed_to_while_it_is_being_forced_is_made_once() {
    let (mut world, counter) = with_a_call_that_is_left(1);
    // The peer hears a block late what it is asked for.
    world.mine();
    assert!(world.sides[Initiator].machine().status().forcing, "it is being forced");
    world.chain.drop_pool();
    world.deliver_all();
    assert_eq!(count_of(&world, Initiator, counter), 1, "it is agreed to");
    for _ in 0..12 {
        world.mine();
        world.run();
    }
    assert_eq!(count_of(&world, Initiator, counter), 1, "it is made once");
}

/// The payer proposes a refund with its call, and the peer does not hear of it. The refund is forced in halves, the call first. The round that was proposed is abandoned, and waits again with
/// the call as it was. The peer is there again before the second half is made, and agrees: the call is made twice. Right would be that an end which waits again is made up anew.
#[test]
fn an_end_that_waits_again_has_no_call_that_is_made() {
    let (mut world, made) = World::with(Initiator, vec![counter(Pair::default(), 9)]);
    world.offer_with(1, returning(made[0]), 20);
    world.mine_blocks(20);
    while !world.wire[Responder].iter().any(|message| matches!(message, Message::Update(_))) {
        world.mine();
    }
    world.disconnect();
    assert!(world.force_in_halves(Initiator, 180, |world| count_of(world, Initiator, made[0]) == 1));
    assert_eq!((count_of(&world, Initiator, made[0]), world.open_transfers()), (1, 1), "half of it is made");
    world.refuse_step(Initiator);
    for _ in 0..12 {
        world.run();
        world.mine();
    }
    assert_eq!((world.ours(Initiator), world.open_transfers()), (SHARE, 0));
    assert_eq!(count_of(&world, Initiator, made[0]), 1, "it is made once");
}

/// Two transfers return by an equal call, and one of them is refunded by force in halves, the call first. `note_forced` takes that for the call of whichever of the two has the lower id:
/// where that is the other one, the call of the one that is refunded is made again. Then the other one is claimed, so that its call was never to be made. Right would be that what is made
/// is of the transfer for which it was forced.
#[test]
fn half_of_a_step_makes_the_call_of_its_own_transfer() {
    let counts = [[20, 900], [900, 20]].map(|blocks| {
        let (mut world, made) = World::with(Initiator, vec![counter(Pair::default(), 9)]);
        for (number, blocks) in (1..).zip(blocks) {
            world.offer_with(number, returning(made[0]), blocks);
        }
        let late = if blocks[0] == 900 { 1 } else { 2 };
        world.disconnect();
        let is_told = world.force_in_halves(Initiator, 180, |_world| false);
        assert!(is_told);
        world.claim(Responder, late).unwrap();
        for _ in 0..6 {
            world.run();
            world.mine();
        }
        assert_eq!((world.ours(Initiator), world.open_transfers()), (SHARE - AMOUNT, 0));
        count_of(&world, Initiator, made[0])
    });
    assert_eq!(counts, [1, 1], "the call of the one that was refunded, and of no other");
}

/// Two transfers return by an equal call. The refund of the first is forced alone, and the payer forces its call afterwards. The payer takes that for the call of the first (`before`), the payee,
/// which knows of nothing that is left for its peer, for that of the second (`later`). The payee fails the second without the call, and the payer refuses that with each block, though both
/// are honest from here on. Right would be that both sides have the same marks of what returns.
#[test]
fn both_sides_know_the_same_of_calls_that_return() {
    let (mut world, made) = World::with(Initiator, vec![counter(Pair::default(), 9)]);
    world.offer_with(1, returning(made[0]), 20);
    world.offer_with(2, returning(made[0]), 5_000);
    let contract = world.contract_of(Responder, 1).unwrap();
    world.disconnect();
    world.mine_blocks(25);
    world.force(Responder, vec![refund(contract)]).unwrap();
    world.mine_blocks(260);
    assert_eq!(count_of(&world, Initiator, made[0]), 1, "what is left is forced");
    world.run();
    world.fail(Responder, 2).unwrap();
    for _ in 0..20 {
        world.run();
        world.mine();
    }
    assert_eq!((world.ours(Initiator), world.open_transfers()), (SHARE, 0), "it is given back");
    assert_eq!(count_of(&world, Initiator, made[0]), 2);
}

/// The payer knows the pre-images of transfers with a deed each, as the initiator of swaps does, closes alone, and shows one pre-image after another. The payee forces each claim at once: for each it has
/// a step, since no more transfers with calls are open than a side may make forced steps (R8.3g). Else the payer would claim the coins of the others alone, and the channel would end without their deeds.
#[test]
fn pre_images_that_are_shown_one_by_one_while_closing_leave_no_deed_behind() {
    let mut world = World::opened();
    let deeds = deeds(&mut world, 4);
    for (number, deed) in (1..).zip(&deeds[..3]) {
        world.offer_with(number, with_deeds(&[*deed]), 12 * LOCK);
    }
    assert_eq!(world.open_transfers(), 3);
    let offer = Offer { calls: with_deeds(&deeds[3..]), ..an_offer(4, AMOUNT, world.chain.head() + 12 * LOCK) };
    let fourth = Command::Transfer(TransferCommand::Offer { key: name(4), offer, fee: 0 });
    assert_eq!(world.command(Initiator, fourth), Err(Misuse::TransfersWithCalls { max: 3 }));
    world.disconnect();
    world.close_solo(Initiator).unwrap();
    world.mine();
    for number in 1..=3 {
        // The payee hears of it as a swap does: on the other chain.
        world.claim(Responder, number).unwrap();
        world.mine_blocks(4);
    }
    world.mine_blocks(12 * LOCK);
    assert!(world.chain.is_closed());
    assert_eq!(world.sides[Responder].claimed.len(), 3);
    let made: Vec<_> = deeds[..3].iter().map(|deed| calls_of(&world, Responder, *deed)).collect();
    assert_eq!(made, [2; 3], "each was claimed before the channel ended");
}

/// Both sides offer a transfer with calls at once where there is room for one: each has counted without the other's, and one of the two is refused.
#[test]
fn of_two_offers_with_calls_that_cross_one_is_refused_where_there_is_room_for_one() {
    let (mut world, made) = World::with(Initiator, vec![counter(Pair::default(), 9)]);
    world.sides[Initiator].registry.calls = returning(made[0]);
    for number in 1..=2 {
        world.offer_with(number, returning(made[0]), 40);
    }
    let expiry = world.chain.head() + 40;
    for (party, number) in [(Initiator, 3), (Responder, 4)] {
        let offer = Offer { calls: returning(made[0]), ..an_offer(number, AMOUNT, expiry) };
        world.command(party, Command::Transfer(TransferCommand::Offer { key: name(number), offer, fee: 0 })).unwrap();
    }
    world.run();
    assert_eq!(world.open_transfers(), 3);
    let refused = Failure::Refused(RefusalCode::LIMITS);
    let is_refused = |event: &TransferEvent| matches!(event, TransferEvent::Failed { why, .. } if *why == refused);
    assert_eq!(Party::BOTH.map(|party| world.was_routed(party, is_refused)).iter().sum::<usize>(), 1);
}

/// The payer knows the pre-image, closes alone, and shows it only once the channel is settled, by claiming the last coins for the payee: the channel and the deed are gone in the very step from which the
/// payee learns the pre-image. So far do the rules go (R8.3g): the coins are paid.
#[test]
fn a_deed_ends_with_the_last_coins_of_a_settled_channel() {
    let mut world = World::opened();
    let deeds = deeds(&mut world, 1);
    world.offer_with(1, with_deeds(&deeds), 8 * LOCK);
    let contract = world.contract_of(Responder, 1).unwrap();
    world.disconnect();
    world.close_solo(Initiator).unwrap();
    world.mine_blocks(LOCK + 4);
    assert!(!world.chain.is_closed());
    world.force_claim(Initiator, contract, 1).unwrap();
    world.mine_blocks(8 * LOCK);
    assert!(world.chain.is_closed());
    assert_eq!((world.sides[Responder].claimed.len(), calls_of(&world, Responder, deeds[0])), (1, 1));
}

/// The payee gives a transfer back, and the payer keeps that round back, forces the claim with its deed, and then shows the round: the transfer has failed, and coins and deed are the payer's, as the payee has
/// signed. The payee's row was over with the forced claim, though a state may count in which it has ended otherwise, and its router was told that it is paid. Right would be that the row stays as long as
/// its end may be another.
#[test]
fn a_router_is_not_told_of_a_claim_that_may_be_undone() {
    let mut world = World::opened();
    let deeds = deeds(&mut world, 1);
    world.offer_with(1, with_deeds(&deeds), 20);
    let contract = world.contract_of(Responder, 1).unwrap();
    let (state, payload) = kept_state(&world, Initiator);
    world.fail(Responder, 1).unwrap();
    let Message::Update(update) = world.steal(Initiator) else { panic!("the failure") };
    world.kill(Initiator);
    let deed_claim = deed_claim(deeds[0], 1);
    let claim = claim_of(contract, 1);
    world.force_by_hand(Initiator, &state, payload, vec![deed_claim, claim]);
    world.mine();
    assert_eq!(deed_of(&world, Responder, deeds[0]), Some((Responder, false)), "the step is followed");
    let (channel, payload) = (world.channel_id(), world.co_signed(Responder, &update));
    world.chain.submit(Initiator, Call::ChannelSnapshotSolo(SnapshotSolo { channel, payload }));
    world.mine();
    world.mine_blocks(3 * LOCK);
    assert_eq!((world.ours(Responder), deed_of(&world, Responder, deeds[0])), (SHARE, Some((Initiator, false))));
    let told = |end: IncomingEnd| {
        world.was_routed(Responder, |event| matches!(event, TransferEvent::Ended { end: told, .. } if *told == end))
    };
    assert_eq!((told(IncomingEnd::Claimed), told(IncomingEnd::Failed)), (0, 1), "it has failed");
}

/// The code of an app with calls that are left is never found again. What is left waits for it with each block and for ever, whatever the patience is: the row never ends, and
/// neither side closes in agreement, though the peer is honest. Right would be that such a call is given up after a bounded time, as it is where it is forced with its claim.
#[test]
fn a_call_whose_code_never_comes_holds_up_no_close_in_agreement_for_ever() {
    let mut world = World::opened();
    let deeds = deeds(&mut world, 1);
    world.offer_with(1, with_deeds(&deeds), 20);
    world.leave_deeds_without_code();
    assert!(world.is_closed_in_agreement(Responder));
}

/// A user's own call of a contract is no call of a transfer's: see `docs/apps.md`. It is here to hold the harness against it.
#[test]
fn a_call_by_itself_leaves_the_transfer_as_it_is() {
    let (mut world, made) = World::with(Initiator, vec![counter(Pair::default(), 9)]);
    world.offer_with(1, returning(made[0]), 20);
    let _id = world.make_one(Initiator, call(made[0], 0, &1_u64)).unwrap();
    world.run();
    world.fail(Responder, 1).unwrap();
    world.run();
    assert_eq!((world.ours(Initiator), count_of(&world, Initiator, made[0])), (SHARE, 2));
}

/// The payee's claim, in a round that the payer keeps back, and a payment of the payee's on top of a claim that the payer has forced alone. The payer shows the first round, then the second, which takes its place
/// (R6.2a): the user is told that a change is undone that it has never made, since what was asked for of transfers is forgotten once it is agreed (`Wants::note`). Right would be that
/// only the router hears of it.
#[test]
fn a_user_is_not_told_that_a_claim_is_undone() {
    let mut world = World::opened();
    let deeds = deeds(&mut world, 1);
    world.offer_with(1, with_deeds(&deeds), 40);
    let contract = world.contract_of(Responder, 1).unwrap();
    let (state, payload) = kept_state(&world, Initiator);
    world.claim(Responder, 1).unwrap();
    let Message::Update(first) = world.steal(Initiator) else { panic!("the claim") };
    let claim = claim_of(contract, 1);
    world.force_by_hand(Initiator, &state, payload, vec![claim]);
    world.mine();
    world.deliver_all();
    world.mine();
    let second = loop {
        let Some(message) = world.wire[Initiator].pop_front() else {
            let _moved = world.deliver(Responder);
            if world.wire[Initiator].is_empty() {
                let _id = world.pay(Responder, 5).unwrap();
            }
            continue;
        };
        match message {
            Message::Update(update) if update.base != first.base => break update,
            other => world.hear(Initiator, other),
        }
    };
    world.kill(Initiator);
    for update in [first, second] {
        let (channel, payload) = (world.channel_id(), world.co_signed(Responder, &update));
        world.chain.submit(Initiator, Call::ChannelSnapshotSolo(SnapshotSolo { channel, payload }));
        world.mine();
    }
    let undone = world.sides[Responder].was_told(|event| matches!(event, Event::Undone { .. }));
    assert_eq!(undone, 0);
}

/// A channel with a deed that is locked with the transfer number 1. The attacker has agreed to a payment of its peer's over 5, and has kept its answer back. Then it forces a call of the deed's by
/// itself, on the state before the payment, and says that it goes on from there. The payload shows the payment.
fn with_a_deed_that_was_called_by_itself(
    attacker: Party,
    input: Vec<u8>,
    wait: BlockNumber,
) -> (World, ContractId, Payload) {
    let mut world = World::opened_with(attacker, |config| {
        config.defend = false;
        config.force_transfers_after = None;
    });
    let deed = deeds(&mut world, 1)[0];
    world.offer_with(1, with_deeds(&[deed]), 20);
    world.mine_blocks(wait);
    let (state, payload) = kept_state(&world, attacker);
    let _id = world.pay(attacker.peer(), 5).unwrap();
    assert!(world.deliver(attacker));
    let Message::UpdateAck { .. } = world.steal(attacker.peer()) else { panic!("the answer") };
    let paid = world.sides[attacker].machine().evidence().unwrap().payload.unwrap();
    world.force_by_hand(attacker, &state, payload, vec![ForcedCall { contract: deed, value: 0, input }]);
    world.mine();
    (world, deed, paid)
}

/// The attacker says that it goes on from the forced state, hears the round that its peer proposes there and does not answer it, shows the payment, which undoes the forced step, and agrees to
/// whatever its peer proposes then.
fn undo_and_agree(world: &mut World, attacker: Party, paid: Payload) {
    let round = world.sides[attacker.peer()].round();
    world.hear(attacker.peer(), Message::ForceProgressLocked { round });
    let Message::Update(asked) = world.steal(attacker) else { panic!("what is wanted on the forced state") };
    assert!(asked.changes.iter().any(|change| change.is_of_transfer_end()), "{:?}", asked.changes);
    let channel = world.channel_id();
    world.chain.submit(attacker, Call::ChannelSnapshotSolo(SnapshotSolo { channel, payload: paid }));
    world.mine();
    world.disconnect();
    for _ in 0..6 {
        world.run();
        world.mine();
    }
}

trait Ends {
    fn is_of_transfer_end(&self) -> bool;
}

impl Ends for channel::Change {
    fn is_of_transfer_end(&self) -> bool {
        matches!(self, Self::Claim { .. } | Self::Refund { .. } | Self::Fail { .. })
    }
}

/// The payer makes the deed's claim by force and alone. The payee claims the coins, and leaves the deed's call out, since the app refuses it now: the deed is its own. The payer keeps that round
/// back too, and undoes its step by the payment: the deed is the payer's again. What the payee has proposed waits again as it was (`requeue`), without the deed's call, and the payer agrees to
/// it. The payee is paid, its row is over, and the deed is lost. Right would be that an end which waits again is made up anew on the state that counts then.
#[test]
fn a_claim_that_waits_again_has_the_calls_that_are_undone() {
    let input = [&[1][..], &secret(1).0.0].concat();
    let (mut world, deed, paid) = with_a_deed_that_was_called_by_itself(Initiator, input, 1);
    assert_eq!(deed_of(&world, Responder, deed), Some((Responder, false)), "the step is followed");
    world.claim(Responder, 1).unwrap();
    undo_and_agree(&mut world, Initiator, paid);
    assert_eq!(world.ours(Responder), SHARE + AMOUNT - 5, "it is paid");
    world.mine_blocks(200);
    assert_eq!(deed_of(&world, Responder, deed), Some((Responder, false)), "and has the deed");
}

/// The payer's side of it: the payee returns the deed by force and alone, which requires nothing, and the payer has its coins refunded without the deed's call. The payee undoes its step, and agrees
/// to the same refund: the deed stays locked, and nothing returns it.
#[test]
fn a_refund_that_waits_again_has_the_calls_that_are_undone() {
    let (mut world, deed, paid) = with_a_deed_that_was_called_by_itself(Responder, vec![2], 14);
    assert_eq!(deed_of(&world, Initiator, deed), Some((Initiator, false)), "the step is followed");
    world.mine_blocks(8);
    undo_and_agree(&mut world, Responder, paid);
    assert_eq!((world.ours(Initiator), world.open_transfers()), (SHARE - 5, 0), "it has its coins back");
    world.mine_blocks(200);
    assert_eq!(deed_of(&world, Initiator, deed), Some((Initiator, false)), "and its deed");
}

/// The payee forces its claim in halves, the deed's call first, and claims the coins alone off chain, since the call is made (R8.3g). The payer keeps that round back, undoes the half by a
/// payment that it has kept back as well, and agrees to what waits again: the claim without the deed. It is the same fault as above, by a step of the payee's own.
#[test]
fn a_claim_that_waits_again_has_the_half_that_is_undone() {
    let mut world = World::opened_with(Initiator, |config| {
        config.defend = false;
        config.force_transfers_after = None;
    });
    let deed = deeds(&mut world, 1)[0];
    world.offer_with(1, with_deeds(&[deed]), 20);
    let _id = world.pay(Responder, 5).unwrap();
    assert!(world.deliver(Initiator));
    let Message::UpdateAck { .. } = world.steal(Responder) else { panic!("the answer") };
    let paid = world.sides[Initiator].machine().evidence().unwrap().payload.unwrap();
    world.claim(Responder, 1).unwrap();
    world.wire = Pair::default();
    let call = CallKind::ChannelForceProgress;
    for _ in 0..180 {
        if world.sides[Responder].machine().status().forcing {
            break;
        }
        world.mine();
        world.wire = Pair::default();
    }
    world.chain.drop_pool();
    world.input(Responder, Input::Chain(ChainInput::Undeliverable { call })).unwrap();
    world.mine();
    world.wire = Pair::default();
    world.mine();
    assert_eq!(deed_of(&world, Responder, deed), Some((Responder, false)), "half of it is made");
    world.refuse_step(Responder);
    world.wire = Pair::default();
    undo_and_agree(&mut world, Initiator, paid);
    assert_eq!(world.ours(Responder), SHARE + AMOUNT - 5, "it is paid");
    world.mine_blocks(200);
    assert_eq!(deed_of(&world, Responder, deed), Some((Responder, false)), "and has the deed");
}

/// The payer makes the deed's call by itself and forces the claim of the coins alone afterwards, and is never heard of again. What is left is a call that the app refuses: it is over off chain (`ask_for_ends`), and by
/// force it is left out of each step and never noted (`extend_step`). Right would be that the row is over, since the app refuses what is left.
#[test]
fn a_row_ends_once_the_app_refuses_what_is_left() {
    let mut world = World::opened();
    let deeds = deeds(&mut world, 1);
    world.offer_with(1, with_deeds(&deeds), 20);
    let contract = world.contract_of(Responder, 1).unwrap();
    world.claim(Responder, 1).unwrap();
    world.disconnect();
    let deed_claim = deed_claim(deeds[0], 1);
    world.force(Initiator, vec![deed_claim]).unwrap();
    world.mine_blocks(2);
    world.force_claim(Initiator, contract, 1).unwrap();
    world.mine_blocks(2);
    world.kill(Initiator);
    world.mine_blocks(400);
    assert_eq!(
        (world.ours(Responder), deed_of(&world, Responder, deeds[0])),
        (SHARE + AMOUNT, Some((Responder, false)))
    );
    assert!(world.sides[Responder].machine().incoming_transfers().is_empty(), "the row is over");
}

/// A channel with one forced step for each side, which the payer closes alone. It makes the deed's call by force and alone, so that the payee begins to force its claim without it (`extend_step`). The payer undoes its own step by
/// a payment that it has kept back, before the payee's is made. What is being forced stays as it was (`force_again` plans the same calls on any state): the payee claims the coins alone by its own and only step, and
/// nothing is left for the deed. Right would be that what `force_ends` forces is made up anew on the state that counts.
#[test]
fn what_is_being_forced_has_the_calls_that_are_undone() {
    let mut world = World::new();
    world.sides[Initiator].config.defend = false;
    world.sides[Initiator].config.force_transfers_after = None;
    world.propose(channel::ChannelOpen { max_forced: 1, ..crate::harness::opening() }).unwrap();
    world.run();
    world.mine();
    world.run();
    let deed = deeds(&mut world, 1)[0];
    world.offer_with(1, with_deeds(&[deed]), 6 * LOCK);
    let kept = world.kept(Initiator);
    let state = world.sides[Initiator].machine().state().unwrap().clone();
    let _id = world.pay(Responder, 5).unwrap();
    assert!(world.deliver(Initiator));
    let Message::UpdateAck { .. } = world.steal(Responder) else { panic!("the answer") };
    let CloseSolo { channel, payload, commitment } = world.kept(Initiator);
    let slash = Call::ChannelSlash(protocol::call::Slash { channel, payload: payload.unwrap(), commitment });
    world.disconnect();
    world.chain.submit(Initiator, Call::ChannelCloseSolo(kept));
    world.mine();
    let input = [&[1][..], &secret(1).0.0].concat();
    world.force_by_hand(Initiator, &state, None, vec![ForcedCall { contract: deed, value: 0, input }]);
    world.mine();
    assert_eq!(deed_of(&world, Responder, deed), Some((Responder, false)), "the step is followed");
    world.claim(Responder, 1).unwrap();
    for _ in 0..6 {
        if world.sides[Responder].machine().status().forcing {
            break;
        }
        world.mine();
    }
    assert!(world.sides[Responder].machine().status().forcing, "the payee forces its claim");
    world.chain.drop_pool();
    world.chain.submit(Initiator, slash);
    world.mine();
    assert_eq!(deed_of(&world, Responder, deed), Some((Initiator, true)), "the payer's step is undone");
    world.mine_blocks(8 * LOCK);
    assert!(world.chain.is_closed());
    assert_eq!(calls_of(&world, Responder, deed), 2, "the deed was claimed before the channel ended");
}
