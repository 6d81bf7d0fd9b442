//! Attacks on the marks of calls that were made by force (R8.3g): calls that are undone with and without the end of their transfer, ends that are tried a second time, apps
//! that are gone, and calls that are left and cannot be made.

use super::*;
use crate::harness::{
    LOCK, apps,
    contracts::{counter, forced},
    deeds::{calls_of, count_of, deed_of, returning},
};
use channel::{Acceptance, Change, Event, RefusalCode, State, transfer::AppCall};
use protocol::{Pair, call::Payload, contracts::calls_root, terms::CallWeight};

/// What the initiator keeps: the agreed state with what shows it, and the state after a payment of the responder's over 5 that it answers nobody, with what shows that.
struct Kept {
    agreed: (State, Option<Payload>),
    paid: (State, Option<Payload>),
}

/// The responder pays 5, and the initiator keeps the round back.
fn keep_back(world: &mut World) -> Kept {
    let (state, payload) = kept_state(world, Initiator);
    let _id = world.pay(Responder, 5).unwrap();
    let Message::Update(update) = world.steal(Initiator) else { panic!("the payment") };
    let mut paid = state.clone();
    paid.balances[Responder] -= 5;
    paid.balances[Initiator] += 5;
    paid.calls_root = calls_root(&[], &Native);
    assert_eq!(paid.hash(), update.state_hash, "the payment alone");
    let shown = world.co_signed(Responder, &update);
    Kept { agreed: (state, payload), paid: (paid, Some(shown)) }
}

/// The payer makes the deed's call by force and leaves the transfer open. Then it undoes that by a payment of the payee's that it has kept back, and in the same step forces the
/// claim of the coins alone. The mark of the call is from the step that does not count any more: `want_left` takes marks back of transfers that had ended alone, and of no
/// other. The payee takes the deed for claimed, its row is over, and the deed is the payer's. Right would be that a mark falls with the step that has made the call.
#[test]
fn a_call_that_was_made_before_the_end_and_is_undone_is_left() {
    let (mut world, deeds) = locked(1, 20);
    let contract = world.contract_of(Responder, 1).unwrap();
    let Kept { agreed, paid } = keep_back(&mut world);
    world.claim(Responder, 1).unwrap();
    world.kill(Initiator);
    world.force_by_hand(Initiator, &agreed.0, agreed.1, vec![deed_claim(deeds[0], 1)]);
    world.mine();
    assert_eq!(deed_of(&world, Responder, deeds[0]), Some((Responder, false)), "the step is followed");
    world.force_by_hand(Initiator, &paid.0, paid.1, vec![claim_of(contract, 1)]);
    world.mine();
    assert_eq!(
        deed_of(&world, Responder, deeds[0]),
        Some((Initiator, true)),
        "it is undone, and the coins are claimed"
    );
    world.mine_blocks(220);
    assert_eq!(world.ours(Responder), SHARE + AMOUNT - 5, "the coins are claimed");
    assert_eq!(deed_of(&world, Responder, deeds[0]), Some((Responder, false)), "and the deed with them");
}

/// The same where the payee has forced its claim with the deed itself: the payer undoes that and forces the claim of the coins alone in one step. No input ends with the
/// transfer in the agreed contracts, so that `want_left` does not find it there, and the marks of the step before stay. Right would be that a step which does not go on from the
/// one before begins without its marks.
#[test]
fn an_own_claim_that_is_undone_by_a_claim_alone_leaves_its_deed() {
    let (mut world, deeds) = locked(1, 20);
    let contract = world.contract_of(Responder, 1).unwrap();
    let Kept { paid, .. } = keep_back(&mut world);
    world.claim(Responder, 1).unwrap();
    world.kill(Initiator);
    world.force(Responder, vec![deed_claim(deeds[0], 1), claim_of(contract, 1)]).unwrap();
    world.mine();
    world.mine();
    assert_eq!(deed_of(&world, Responder, deeds[0]), Some((Responder, false)), "the step is made");
    world.force_by_hand(Initiator, &paid.0, paid.1, vec![claim_of(contract, 1)]);
    world.mine();
    assert_eq!(
        deed_of(&world, Responder, deeds[0]),
        Some((Initiator, true)),
        "it is undone, and the coins are claimed"
    );
    world.mine_blocks(220);
    assert_eq!(world.ours(Responder), SHARE + AMOUNT - 5, "the coins are claimed");
    assert_eq!(deed_of(&world, Responder, deeds[0]), Some((Responder, false)), "and the deed with them");
}

/// The payer forces the claim of the coins alone and refuses the deed's call. In the same block the payee pays, and the payer keeps that back. The payee forces the deed's call: its
/// row is over with that, though the payment, in whose state the transfer has ended and the deed is locked, may count yet (`may_count` looks for the transfer's contract
/// alone). The payer shows the payment: the forced call is undone, and no row knows of it. Right would be that a row stays as long as a state may count in which its calls are not
/// made.
#[test]
fn a_call_that_was_left_and_is_undone_is_left_again() {
    let mut world = World::opened_with(Initiator, |config| config.acceptance = Acceptance::Manual);
    let deeds = deeds(&mut world, 1);
    world.offer_with(1, with_deeds(&deeds), 20);
    let contract = world.contract_of(Responder, 1).unwrap();
    world.force_claim(Initiator, contract, 1).unwrap();
    world.mine();
    world.run();
    world.mine();
    world.run();
    let round = world.asked(Initiator).expect("the payee asks for the deed");
    world.refuse(Initiator, round, RefusalCode(RefusalCode::APPLICATION.0)).unwrap();
    world.run();
    let Kept { paid, .. } = keep_back(&mut world);
    world.kill(Initiator);
    for _ in 0..200 {
        if deed_of(&world, Responder, deeds[0]) == Some((Responder, false)) {
            break;
        }
        world.mine();
    }
    assert_eq!(deed_of(&world, Responder, deeds[0]), Some((Responder, false)), "it is forced");
    let (channel, payload) = (world.channel_id(), paid.1.unwrap());
    world.chain.submit(Initiator, Call::ChannelSnapshotSolo(SnapshotSolo { channel, payload }));
    world.mine();
    assert_eq!(deed_of(&world, Responder, deeds[0]), Some((Initiator, true)), "it is undone");
    world.mine_blocks(220);
    assert_eq!(world.ours(Responder), SHARE + AMOUNT - 5);
    assert_eq!(deed_of(&world, Responder, deeds[0]), Some((Responder, false)), "and forced again");
}

/// A channel with a counter that is worth nothing without coins, a transfer of the initiator's that returns by a call of it, and a plain one. The responder has the counter
/// removed, which is agreed to at once.
fn with_an_app_that_is_gone() -> World {
    let (mut world, made) = World::with(Initiator, vec![counter(Pair::default(), 9)]);
    world.sides[Initiator].book.worthless = [apps::COUNTER.code].into();
    world.offer_with(1, returning(made[0]), 20);
    world.offer(Initiator, 2, AMOUNT, 20).unwrap();
    world.run();
    assert_eq!(world.open_transfers(), 2);
    let removal = Change::RemoveContract { contract: made[0], shares: Pair::default() };
    let _id = world.make_one(Responder, removal).unwrap();
    world.run();
    assert!(world.sides[Initiator].machine().contracts().unwrap().get(&made[0]).is_none(), "it is gone");
    assert_eq!(world.ours(Initiator), SHARE - 2 * AMOUNT);
    world
}

/// The payee has an app removed that the returning call of a transfer names, and is silent. `extend_step` leaves calls out where one of them fails (`CallFailed`), but not where
/// its contract is not there (`ContractNotShown`): the whole step is refused each time, and no transfer is ended by force any more, the plain ones as little. Right would be
/// that calls are left out whatever keeps the step from being made because of them.
#[test]
fn an_app_that_is_gone_holds_up_no_refund() {
    let mut world = with_an_app_that_is_gone();
    world.kill(Responder);
    world.mine_blocks(400);
    assert_eq!(world.ours(Initiator), SHARE);
}

/// The same on a settled channel, where the plan that fails is not even told of: `force_ends` returns as long as any transfer with calls is there.
#[test]
fn an_app_that_is_gone_holds_up_no_coins_of_a_settled_channel() {
    let mut world = with_an_app_that_is_gone();
    world.close_solo(Responder).unwrap();
    world.kill(Responder);
    world.mine_blocks(400);
    assert!(world.chain.is_closed(), "what is left are coins of the initiator's");
}

/// A refund with its calls is made in halves: the app's call, then the refund. After the first half the payee is there again and agrees to the refund, or the step is given up
/// and tried anew. Either has all calls of the row again (`end_of`, `calls_at`), whatever marks there are of it: the call is made twice. Right would be that a refund or a claim
/// has those of its calls that are not marked.
#[test]
fn what_half_of_a_step_has_made_is_not_made_again() {
    let counts = [true, false].map(|is_agreed| {
        let (mut world, made) = World::with(Initiator, vec![counter(Pair::default(), 9)]);
        world.offer_with(1, returning(made[0]), 20);
        world.disconnect();
        assert!(world.force_in_halves(Initiator, 180, |world| count_of(world, Initiator, made[0]) == 1));
        assert_eq!((count_of(&world, Initiator, made[0]), world.open_transfers()), (1, 1), "half of it is made");
        world.refuse_step(Initiator);
        if is_agreed {
            world.connect();
            world.run();
        }
        for _ in 0..220 {
            world.run();
            world.mine();
        }
        assert_eq!(world.ours(Initiator), SHARE);
        count_of(&world, Initiator, made[0])
    });
    assert_eq!(counts, [1, 1], "where it is agreed to, and where it is forced again");
}

/// Two deeds are left, and their app takes as much as a round does. The second call is one too many in a round with the first (`RoundFull`), which is nothing that the app says, and
/// `ask_for_ends` drops it all the same. Right would be that it is asked for in a round of its own.
#[test]
fn what_is_too_much_for_one_round_is_asked_for_in_two() {
    let (mut world, deeds) = locked(2, 20);
    let contract = world.contract_of(Responder, 1).unwrap();
    for party in Party::BOTH {
        world.sides[party].book.takes = 11 * CallWeight::STANDARD.ref_time;
    }
    world.force_claim(Initiator, contract, 1).unwrap();
    for _ in 0..12 {
        world.mine();
        world.run();
    }
    let owned = deeds.iter().map(|deed| deed_of(&world, Responder, *deed)).collect::<Vec<_>>();
    assert_eq!(owned, [Some((Responder, false)); 2]);
}

/// The deed is locked until an earlier block than the transfer with whose claim it is to move. In between the payer forces the claim of the coins alone: the registry is silent at the
/// earlier block for ever, so that the call is never made. Off chain it can be made as far as the app says, is asked for with each block, and refused; by force it is left
/// out. The row never ends, and neither side can close in agreement (`has_any_left`). Right would be that a call whose requirement cannot be met any more is nothing that is
/// left.
#[test]
fn a_call_that_can_never_be_made_holds_up_no_close_in_agreement() {
    let mut world = World::opened();
    let deed = deeds(&mut world, 1)[0];
    let until = world.chain.head() + 8;
    let lock = apps::DeedInput::Lock(secret(1).1, until).encode();
    let _id = world.make_one(Initiator, Change::CallContract { contract: deed, value: 0, input: lock }).unwrap();
    world.run();
    let calls = LockedCalls { claiming: vec![AppCall { contract: deed, input: vec![1] }], ..LockedCalls::NONE };
    world.offer_with(1, calls, 40);
    let contract = world.contract_of(Responder, 1).unwrap();
    world.mine_blocks(12);
    world.force_claim(Initiator, contract, 1).unwrap();
    for _ in 0..200 {
        world.mine();
        world.run();
    }
    assert_eq!(deed_of(&world, Responder, deed), Some((Initiator, true)), "it is not to be claimed any more");
    assert!(calls_of(&world, Responder, deed) <= 1);
    assert!(world.sides[Responder].machine().incoming_transfers().is_empty(), "the row is over");
    world.shutdown(Initiator, 0).unwrap();
    world.run();
    for _ in 0..40 {
        world.mine();
        world.run();
    }
    assert!(world.chain.is_closed(), "it is closed in agreement");
}

/// What is left where nothing is wrong: the plain refund of a settled channel goes at once though a transfer with calls is open in it.
#[test]
fn plain_coins_of_a_settled_channel_do_not_wait_for_transfers_with_calls() {
    let (mut world, _deeds) = locked(1, 12 * LOCK);
    world.offer(Initiator, 2, 7, 2 * LOCK).unwrap();
    world.run();
    world.kill(Responder);
    world.close_solo(Initiator).unwrap();
    world.mine_blocks(2 * LOCK + 6);
    let open = world.sides[Initiator].machine().contracts().unwrap().transfers();
    assert_eq!(open, 1, "the plain one is refunded");
}

/// A user of the payer's makes a call of its own that is equal to one that is left, and the payer crashes before the round with both is answered. `load` takes the first signed call that is
/// equal to what is left (`left_of`) for the one that is left: the user is never told what became of its own, and is told of a change that it does not know. Right would be that it is stored which change makes a call that is left.
#[test]
fn a_call_of_the_users_is_not_taken_for_one_that_is_left() {
    for at in 0..14 {
        let (mut world, made) = World::with(Initiator, vec![counter(Pair::default(), 9)]);
        world.offer_with(1, returning(made[0]), 20);
        let contract = world.contract_of(Responder, 1).unwrap();
        world.leave_what_returns(contract);
        let own = Change::CallContract { contract: made[0], value: 0, input: 1_u64.encode() };
        let id = world.make_one(Initiator, own).unwrap();
        world.connect();
        for step in 0..20 {
            if step == at {
                world.crash(Initiator);
                world.run();
                break;
            }
            let _moved = world.deliver(if step % 2 == 0 { Responder } else { Initiator });
        }
        for _ in 0..6 {
            world.mine();
            world.run();
        }
        assert_eq!((world.ours(Initiator), world.open_transfers()), (SHARE, 0));
        // What is told of the user's change; one that was not proposed is gone with the crash.
        let told = world.sides[Initiator].performed.iter().filter(|(_, _, it)| it.change == Some(id)).count();
        let count = count_of(&world, Initiator, made[0]);
        assert_eq!(count, 1 + u64::try_from(told).unwrap(), "crash at {at}: the user was told of {told}");
    }
}

/// A channel is settled with a transfer in it, and the payee learns its pre-image only then. What goes with its claim is to be made as soon as the arbiter would do it, whatever the expiry (R8.3g);
/// but pre-images are registered at once only while the lock of a close runs, and not on a settled channel. The payer has all blocks until shortly before the expiry to claim the last
/// coins alone, which ends the channel and the deed with it. Right would be that the pre-image is registered at once on a settled channel as well.
#[test]
fn what_is_claimed_on_a_settled_channel_is_claimed_at_once_with_its_deed() {
    let (mut world, deeds) = locked(1, 8 * LOCK);
    let contract = world.contract_of(Responder, 1).unwrap();
    world.disconnect();
    world.close_solo(Initiator).unwrap();
    world.mine_blocks(LOCK + 4);
    assert!(!world.chain.is_closed());
    world.claim(Responder, 1).unwrap();
    world.mine_blocks(2 * LOCK);
    if !world.chain.is_closed() {
        world.force_claim(Initiator, contract, 1).unwrap();
    }
    world.mine_blocks(8 * LOCK);
    assert!(world.chain.is_closed());
    assert_eq!(calls_of(&world, Responder, deeds[0]), 2, "it was claimed before the channel ended");
}

/// Plain transfers become due on a settled channel one after the other, more of them within a lock period than a side may make steps (R5.11). The quota of a settled channel is looked at
/// by the arbiter alone: each block begins a step that is refused, and the user is told of each time, which is stored until it is acknowledged. Right would be that no step is begun whose
/// quota is used up.
#[test]
fn a_quota_that_is_used_up_on_a_settled_channel_is_not_tried_in_each_block() {
    let mut world = World::opened();
    for number in 1..=6 {
        world.offer(Initiator, number, AMOUNT, 2 * LOCK + 2 * BlockNumber::from(number)).unwrap();
        world.run();
    }
    assert_eq!(world.open_transfers(), 6);
    world.kill(Responder);
    world.close_solo(Initiator).unwrap();
    world.mine_blocks(5 * LOCK);
    assert!(world.chain.is_closed(), "everything is refunded");
    let failed = world.sides[Initiator].was_told(|event| matches!(event, Event::ForceFailed { .. }));
    assert!(failed <= 1, "{failed} times");
}

/// Two calls return, of a counter and of a deed. The payee has the counter come to its goal, so that it refuses any more, forces the refund of the coins alone, and is silent. Off chain
/// each call that is left is asked for by itself, and the one that is refused is dropped; by force (`extend_step`) one that is refused keeps all others from being made, and
/// while the peer is away nothing is dropped either: the deed stays locked, and the row never ends. Right would be that what is left is forced as far as apps take it.
#[test]
fn a_call_that_is_refused_keeps_no_other_from_being_forced() {
    let mut world = World::opened();
    let deed = deeds(&mut world, 1)[0];
    let counter = world.create(Initiator, vec![counter(Pair::default(), 9)])[0];
    let mut calls = with_deeds(&[deed]);
    calls.returning.insert(0, AppCall { contract: counter, input: 1_u64.encode() });
    world.offer_with(1, calls, 20);
    let contract = world.contract_of(Responder, 1).unwrap();
    world.disconnect();
    world.mine_blocks(25);
    world.force(Responder, vec![forced(counter, 0, &9_u64), refund(contract)]).unwrap();
    world.mine();
    world.mine();
    world.kill(Responder);
    world.mine_blocks(300);
    assert_eq!(world.ours(Initiator), SHARE);
    assert_eq!(deed_of(&world, Initiator, deed), Some((Initiator, false)));
}

/// The peer refuses a call that is left for now. In the same block the user makes an equal call of its own, which is alone in its round, and the payer crashes. `load` takes the user's
/// call for the one that is left, and drops that when the round is agreed: of two calls one is made. Right would be that both are.
#[test]
fn a_call_of_the_users_does_not_stand_for_one_that_is_left() {
    let counts = [false, true].map(|is_crash| {
        let mut world = World::opened_with(Responder, |config| config.acceptance = Acceptance::Manual);
        let counter = world.create(Initiator, vec![counter(Pair::default(), 9)])[0];
        world.offer_with(1, returning(counter), 20);
        let contract = world.contract_of(Responder, 1).unwrap();
        world.leave_what_returns(contract);
        world.connect();
        world.run();
        let round = world.asked(Responder).expect("the payer asks for what is left");
        world.refuse(Responder, round, RefusalCode(RefusalCode::APPLICATION.0)).unwrap();
        world.run();
        let own = Change::CallContract { contract: counter, value: 0, input: 1_u64.encode() };
        let _id = world.make_one(Initiator, own).unwrap();
        world.run();
        assert!(world.asked(Responder).is_some(), "the user's call is proposed");
        if is_crash {
            world.crash(Initiator);
            world.run();
        }
        for _ in 0..6 {
            world.consent(Responder);
            world.run();
            world.mine();
            world.run();
        }
        count_of(&world, Initiator, counter)
    });
    assert_eq!(counts, [2, 2], "without a crash, and with one");
}
