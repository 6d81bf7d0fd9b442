//! Attacks on what is left of the calls that go with a conditional transfer (R8.3g): forced steps that are undone, rows with equal calls, calls that are on their way, and
//! channels that are settled before anything is due.

use super::*;
use crate::harness::{
    LOCK, apps,
    contracts::{counter, creation, forced},
    forge::sign,
};
use channel::{
    Event, Message, Outcome, Refusal, RefusalCode, Refused, State, Update,
    transfer::AppCall,
};
use protocol::{
    Pair,
    contracts::calls_root,
    decode_exact,
    signing::StateBody,
};

const AMOUNT: Amount = 100;

/// The calls by which deeds move with a transfer.
fn with_deeds(deeds: &[ContractId]) -> LockedCalls {
    let call = |input: u8| deeds.iter().map(|deed| AppCall { contract: *deed, input: vec![input] }).collect();
    LockedCalls { locking: call(0), claiming: call(1), returning: call(2) }
}

/// The initiator offers the transfer with this number, and these calls go with it.
fn offer_with(world: &mut World, number: u8, calls: LockedCalls, blocks: BlockNumber) {
    world.sides[Responder].registry.calls = calls.clone();
    let offer = Offer { calls, ..an_offer(number, AMOUNT, world.chain.head() + blocks) };
    world.command(Initiator, Command::Transfer(TransferCommand::Offer { key: name(number), offer, fee: 0 })).unwrap();
    world.run();
}

/// Deeds of the initiator's.
fn deeds(world: &mut World, count: usize) -> Vec<ContractId> {
    let deed = || creation(apps::DEED.code, Pair::default(), Initiator.encode());
    world.create(Initiator, (0..count).map(|_| deed()).collect())
}

/// An open channel in which so many deeds of the initiator's are locked with the transfer number 1.
fn locked(count: usize, blocks: BlockNumber) -> (World, Vec<ContractId>) {
    let mut world = World::opened();
    let deeds = deeds(&mut world, count);
    offer_with(&mut world, 1, with_deeds(&deeds), blocks);
    assert_eq!(world.open_transfers(), 1);
    (world, deeds)
}

/// Who owns a deed as a side sees it, and whether it is locked.
fn deed_of(world: &World, side: Party, deed: ContractId) -> Option<(Party, bool)> {
    let contracts = world.sides[side].channel.as_ref()?.contracts()?;
    let (owner, locked): (Party, Option<(HashLock, BlockNumber)>) = decode_exact(&contracts.get(&deed)?.state).ok()?;
    Some((owner, locked.is_some()))
}

/// How far a counter has come, as a side sees it.
fn count_of(world: &World, side: Party, counter: ContractId) -> u64 {
    let state = &world.sides[side].machine().contracts().unwrap().get(&counter).unwrap().state;
    decode_exact::<(u64, u64)>(state).unwrap().0
}

/// How often a contract was called, as a side was told.
fn calls_of(world: &World, side: Party, contract: ContractId) -> usize {
    let is_of = |outcome: &Outcome| matches!(outcome, Outcome::Called { contract: of, .. } if *of == contract);
    world.outcomes(side).iter().filter(|outcome| is_of(outcome)).count()
}

/// A call that counts by one.
fn one_more(counter: ContractId) -> AppCall {
    AppCall { contract: counter, input: 1_u64.encode() }
}

/// What returns is a call that counts by one.
fn returning(counter: ContractId) -> LockedCalls {
    LockedCalls { returning: vec![one_more(counter)], ..LockedCalls::NONE }
}

fn refund(contract: ContractId) -> ForcedCall {
    forced(contract, 0, &ConditionalInput::Refund)
}

/// The payer keeps a payment of the payee's back, which the payee has signed, and forces the claim of coins and deed, as is right. Then it shows the payment with both
/// signatures, which undoes the forced step (R5.4): transfer and deed are locked again. The payee has taken the deed's call out of its row when it followed the step
/// (`note_forced`, `drop_left`), so that it claims the coins alone. The deed stays with the payer. Right would be that a call that is made stays in the row as long as a
/// state with its transfer may count, and is to be made again where that state comes back (`want_left` says so, and finds nothing in the row).
#[test]
fn a_forced_claim_that_is_undone_is_claimed_again_with_its_deed() {
    let (mut world, deeds) = locked(1, 20);
    let contract = world.contract_of(Responder, 1).unwrap();
    let state = world.sides[Initiator].machine().state().unwrap().clone();
    let payload = world.sides[Initiator].machine().evidence().unwrap().payload;
    let _id = world.pay(Responder, 5).unwrap();
    let Message::Update(update) = world.steal(Initiator) else { panic!("the payment") };
    world.kill(Initiator);
    let claim = ConditionalInput::Claim(secret(1).0);
    let deed = ForcedCall { contract: deeds[0], value: 0, input: [&[1][..], &secret(1).0.0].concat() };
    world.force_by_hand(Initiator, &state, payload, vec![deed, forced(contract, 0, &claim)]);
    world.mine();
    assert_eq!(deed_of(&world, Responder, deeds[0]), Some((Responder, false)), "the step is followed");
    let (channel, payload) = (world.channel_id(), world.co_signed(Responder, &update));
    world.chain.submit(Initiator, Call::ChannelSnapshotSolo(SnapshotSolo { channel, payload }));
    world.mine();
    assert_eq!(deed_of(&world, Responder, deeds[0]), Some((Initiator, true)), "it is undone");
    world.mine_blocks(160);
    assert_eq!(world.ours(Responder), SHARE + AMOUNT - 5, "the coins are claimed");
    assert_eq!(deed_of(&world, Responder, deeds[0]), Some((Responder, false)), "and the deed with them");
}

/// The same where the payee forces the claim itself, since the payer does not answer: the payer undoes the payee's own step.
#[test]
fn an_own_forced_claim_that_the_payer_undoes_is_claimed_again_with_its_deed() {
    let (mut world, deeds) = locked(1, 20);
    let _id = world.pay(Responder, 5).unwrap();
    let Message::Update(update) = world.steal(Initiator) else { panic!("the payment") };
    world.claim(Responder, 1).unwrap();
    world.kill(Initiator);
    for _ in 0..200 {
        if deed_of(&world, Responder, deeds[0]) == Some((Responder, false)) {
            break;
        }
        world.mine();
    }
    assert_eq!(deed_of(&world, Responder, deeds[0]), Some((Responder, false)), "the step is made");
    let (channel, payload) = (world.channel_id(), world.co_signed(Responder, &update));
    world.chain.submit(Initiator, Call::ChannelSnapshotSolo(SnapshotSolo { channel, payload }));
    world.mine();
    assert_eq!(deed_of(&world, Responder, deeds[0]), Some((Initiator, true)), "it is undone");
    world.mine_blocks(220);
    assert_eq!(world.ours(Responder), SHARE + AMOUNT - 5, "the coins are claimed");
    assert_eq!(deed_of(&world, Responder, deeds[0]), Some((Responder, false)), "and the deed with them");
}

/// The payer's side of it: the payee keeps a payment of the payer's back, forces the refund with the deed's return, and shows the payment. The payer has taken the
/// returning call out of its row, and refunds the coins alone: its deed stays locked for ever.
#[test]
fn a_forced_refund_that_is_undone_is_refunded_again_with_its_deed() {
    let (mut world, deeds) = locked(1, 20);
    let contract = world.contract_of(Responder, 1).unwrap();
    let state = world.sides[Responder].machine().state().unwrap().clone();
    let payload = world.sides[Responder].machine().evidence().unwrap().payload;
    let _id = world.pay(Initiator, 5).unwrap();
    let Message::Update(update) = world.steal(Responder) else { panic!("the payment") };
    world.kill(Responder);
    world.mine_blocks(22);
    let deed = ForcedCall { contract: deeds[0], value: 0, input: vec![2] };
    world.force_by_hand(Responder, &state, payload, vec![deed, refund(contract)]);
    world.mine();
    assert_eq!(deed_of(&world, Initiator, deeds[0]), Some((Initiator, false)), "the step is followed");
    let (channel, payload) = (world.channel_id(), world.co_signed(Initiator, &update));
    world.chain.submit(Responder, Call::ChannelSnapshotSolo(SnapshotSolo { channel, payload }));
    world.mine();
    assert_eq!(deed_of(&world, Initiator, deeds[0]), Some((Initiator, true)), "it is undone");
    world.mine_blocks(220);
    assert_eq!(world.ours(Initiator), SHARE - 5, "the coins are back");
    assert_eq!(deed_of(&world, Initiator, deeds[0]), Some((Initiator, false)), "and the deed is free");
}

/// Two transfers return by the same call. The payee forces both refunds with one call: `note_forced` takes the one that was made for that of either row, so that the
/// payer does not make the other. Right would be that each call in the step counts for one call of one row.
#[test]
fn one_forced_call_does_not_stand_for_those_of_two_transfers() {
    let (mut world, made) = World::with(Initiator, vec![counter(Pair::default(), 9)]);
    offer_with(&mut world, 1, returning(made[0]), 20);
    offer_with(&mut world, 2, returning(made[0]), 20);
    let contracts = [1, 2].map(|number| world.contract_of(Responder, number).unwrap());
    world.disconnect();
    world.mine_blocks(25);
    let calls = vec![forced(made[0], 0, &1_u64), refund(contracts[0]), refund(contracts[1])];
    world.force(Responder, calls).unwrap();
    for _ in 0..6 {
        world.mine();
        world.run();
    }
    assert_eq!((world.ours(Initiator), world.open_transfers()), (SHARE, 0));
    assert_eq!(count_of(&world, Initiator, made[0]), 2, "one for each transfer");
}

/// Calls of two transfers that are equal are left, and the payer crashes at some point while it asks for both. `load` takes both signed calls for those of the first row
/// (`left_of`), so that once the round is agreed the second row has its call yet, and makes it a second time. Right would be that each signed call is of another one that
/// is left.
#[test]
fn a_crash_while_equal_calls_are_asked_for_makes_none_of_them_twice() {
    for at in 0..14 {
        let (mut world, made) = World::with(Initiator, vec![counter(Pair::default(), 9)]);
        offer_with(&mut world, 1, returning(made[0]), 20);
        offer_with(&mut world, 2, returning(made[0]), 20);
        let contracts = [1, 2].map(|number| world.contract_of(Responder, number).unwrap());
        world.disconnect();
        world.mine_blocks(25);
        world.force(Responder, contracts.map(refund).to_vec()).unwrap();
        world.mine();
        world.mine();
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
        assert_eq!(count_of(&world, Initiator, made[0]), 2, "crash at {at}: one for each transfer");
    }
}

/// A payer's own forced refund takes more than a block holds, and is made in halves: the app's call, then the refund. The second step is followed as one that has left
/// the call out, though the first one made it, and the payer makes it again: its peer loses what the app gives twice. Right would be that what an own step has made before
/// its end counts as made.
#[test]
fn an_own_forced_refund_in_halves_makes_its_calls_once() {
    let (mut world, made) = World::with(Initiator, vec![counter(Pair::default(), 9)]);
    offer_with(&mut world, 1, returning(made[0]), 20);
    world.disconnect();
    let mut is_told = false;
    for _ in 0..180 {
        if world.sides[Initiator].machine().status().forcing && !is_told {
            is_told = true;
            world.chain.drop_pool();
            let call = protocol::call::CallKind::ChannelForceProgress;
            world.input(Initiator, channel::Input::Chain(channel::ChainInput::Undeliverable { call })).unwrap();
        }
        world.mine();
    }
    assert!(is_told);
    for _ in 0..4 {
        world.run();
        world.mine();
    }
    assert_eq!(world.ours(Initiator), SHARE);
    assert_eq!(count_of(&world, Initiator, made[0]), 1);
}

/// Two deeds go with one transfer, and the payer forces the claim of the coins alone. Of the payee's round with both calls it refuses the first by a counter-round, which
/// has the second proposed again, and is silent. With the next block `ask_for_ends` tries every call that is left, also what is on its way: on top of the own proposal the
/// app refuses the second one, which `drop_left` takes for a call that there is no need for. It is erased from the row while the peer alone decides about the round with
/// it. Right would be that a call that is asked for is not tried again, and that what an app says on top of what is only proposed erases nothing.
#[test]
fn a_call_that_is_on_its_way_is_not_taken_for_one_that_is_made() {
    let (mut world, deeds) = locked(2, 20);
    let contract = world.contract_of(Responder, 1).unwrap();
    world.force_claim(Initiator, contract, 1).unwrap();
    world.mine();
    while world.deliver(Responder) {}
    world.mine();
    while world.deliver(Responder) {}
    // What the payee says, as far as it is a round.
    let said = |world: &mut World| {
        let all: Vec<_> = world.wire[Initiator].drain(..).collect();
        all.into_iter().find_map(|message| match message {
            Message::Update(update) => Some(update),
            _ => None,
        })
    };
    let asked = said(&mut world).expect("the payee asks for the deeds");
    assert_eq!(asked.changes.len(), 2);
    let machine = world.sides[Responder].machine();
    let State { balances, contracts, contracts_root, .. } = machine.state().unwrap().clone();
    let calls_root = calls_root(&[], &Native);
    let state_hash = State { balances, contracts, contracts_root, calls_root }.hash();
    let (base, height) = (world.base(Responder), world.chain.head());
    let round = asked.round + 1;
    assert_eq!(Party::owner_of(round), Initiator);
    let signature =
        sign(Initiator, world.channel_id(), &StateBody { round, base, state_hash, valid_until: None });
    let items = Refused::Some(vec![(0, RefusalCode::NOT_NOW)]);
    let refuses = Some(Refusal { round: asked.round, items });
    let counter = Update { round, base, height, refuses, changes: Vec::new(), state_hash, signature };
    world.hear(Responder, Message::Update(counter));
    assert!(said(&mut world).is_some(), "the second one is asked for again");
    for _ in 0..260 {
        world.mine();
        while world.deliver(Responder) {}
        world.wire[Initiator].clear();
    }
    let owned = deeds.iter().map(|deed| deed_of(&world, Responder, *deed)).collect::<Vec<_>>();
    assert_eq!(owned, [Some((Responder, false)); 2]);
}

/// The payer closes alone, and the channel is settled long before the transfer expires. The payee wants to claim, knows the pre-image, and registers it only shortly before
/// the expiry: so it forces nothing while the channel closes. On the settled channel the payer forces the claim of the last coins alone, which ends the channel and the
/// deed with it. Right would be that a payee with calls registers the pre-image and forces its claim while the channel closes, as `force_ends` does with what is shown.
#[test]
fn a_payee_claims_its_deed_before_a_channel_that_closes_is_settled() {
    let (mut world, deeds) = locked(1, 4 * LOCK);
    let contract = world.contract_of(Responder, 1).unwrap();
    world.disconnect();
    world.claim(Responder, 1).unwrap();
    world.close_solo(Initiator).unwrap();
    world.mine_blocks(LOCK + 4);
    // Whatever of it is open yet, the payer claims for the payee.
    if !world.chain.is_closed() && !world.sides[Initiator].is_over() {
        let _made_already = world.force_claim(Initiator, contract, 1);
    }
    world.mine_blocks(4 * LOCK);
    assert!(world.chain.is_closed());
    assert_eq!(calls_of(&world, Responder, deeds[0]), 2, "it was claimed before the channel ended");
}

/// More transfers with calls become due while a channel closes, one after the other, than the payee has forced steps left. What is refused for that is tried with each block:
/// each try tells the user of a step that is forced and of one that has failed, and both are stored until they are acknowledged. Right would be that no step is begun whose
/// quota is used up.
#[test]
fn a_quota_that_is_used_up_while_closing_is_not_tried_in_each_block() {
    let mut world = World::opened();
    let deeds = deeds(&mut world, 5);
    for (number, deed) in (1..).zip(&deeds) {
        offer_with(&mut world, number, with_deeds(&[*deed]), 14 + 6 * BlockNumber::from(number));
    }
    assert_eq!(world.open_transfers(), 5);
    world.disconnect();
    for number in 1..=5 {
        world.claim(Responder, number).unwrap();
    }
    world.mine_blocks(6);
    world.close_solo(Initiator).unwrap();
    world.mine_blocks(5 * LOCK);
    assert!(world.chain.is_closed());
    let failed = world.sides[Responder].was_told(|event| matches!(event, Event::ForceFailed { .. }));
    for deed in &deeds {
        assert_eq!(calls_of(&world, Responder, *deed), 2, "it was claimed before the channel ended");
    }
    assert!(failed <= 1, "{failed} times");
}
