//! What an endpoint made up and nobody confirmed: a channel answers it where an answer does no harm, and is bound to all that it had signed before
//! (R6.5, R6.9a). Its peer works together with that endpoint.

use crate::harness::{
    Initiator, LOCK, Responder, SHARE, World,
    chain::GENESIS,
    contracts::{forced, pays, puppet},
};
use channel::{ChainInput, Event, Input, Message, OperationKind, Stage};
use protocol::{
    Base, Pair, Party,
    call::Call,
    event::ArbiterEvent,
    record::{Closing, Penalty},
};

/// A close by `closer` on the first state, which never was.
fn forged_close(world: &World, closer: Party) -> ArbiterEvent {
    let balances = Pair::new(SHARE, SHARE);
    let unlock_at = world.chain.head() + LOCK;
    let closing = Closing { balances, unlock_at, penalty: Penalty::AtRisk { closer, closed_on: 1 } };
    ArbiterEvent::ChannelClosedSolo { at: Base::of(1), state_hash: channel::State::of(balances).hash(), closing }
}

/// An open channel in which both have paid the same, so that both hold proof of the last round.
fn paid_to_and_fro() -> World {
    let mut world = World::opened();
    for payer in [Responder, Initiator] {
        let _id = world.pay(payer, 40).unwrap();
        world.run();
    }
    world
}

/// One endpoint tells `party` of a close of its peer's; two say in the next block that there is none.
fn is_alarmed_for_nothing(world: &mut World, party: Party) {
    let (forged, phase) = (forged_close(world, party.peer()), world.sides[party].machine().status().phase);
    assert!(world.answers_in_doubt(party, &forged), "a node answers it in doubt");
    world.chain.drop_pool();
    world.tell_record(party, GENESIS + 1);
    assert_eq!(world.sides[party].machine().status().phase, phase);
}

/// The peer pays fifty in a round that its own machine would not make now; whether `party` signs it.
fn agrees_to_a_payment(world: &mut World, party: Party) -> bool {
    let peer = party.peer();
    world.wire[peer].clear();
    let round = world.sides[party].round() + 20;
    let round = if Party::owner_of(round) == peer { round } else { round + 1 };
    let update = world.forge_update(peer, round, &[50]);
    world.hear(party, Message::Update(update));
    matches!(world.steal(peer), Message::UpdateAck { .. })
}

#[test]
fn an_operation_that_was_signed_binds_beyond_a_close_that_never_was() {
    for party in Party::BOTH {
        let (mut world, peer) = (paid_to_and_fro(), party.peer());
        let _new = world.chain.censored.insert("channel_withdraw");
        world.withdraw(peer, 600).unwrap();
        world.run();
        assert_eq!(world.sides[party].machine().status().operation, Some(OperationKind::Withdraw));
        assert!(!agrees_to_a_payment(&mut world, party), "it is bound (R6.5)");

        is_alarmed_for_nothing(&mut world, party);
        let agreed = agrees_to_a_payment(&mut world, party);
        // The peer takes out what it had, and then closes on what is left.
        let _was = world.chain.censored.remove("channel_withdraw");
        world.mine_blocks(2);
        world.wire[party].clear();
        world.close_solo(peer).unwrap();
        world.mine_blocks(3 * LOCK);
        assert!(world.chain.is_closed());
        let (has, peer_has) = (world.chain.wealth(party), world.chain.wealth(peer));
        assert!(!agreed, "party {party:?} agreed to be paid 50, and has {has}; its peer has {peer_has}");
    }
}

#[test]
fn a_close_in_agreement_that_was_signed_binds_beyond_a_close_that_never_was() {
    for party in Party::BOTH {
        let (mut world, peer) = (paid_to_and_fro(), party.peer());
        let _new = world.chain.censored.insert("channel_close_mutual");
        world.shutdown(peer, 0).unwrap();
        world.run();
        assert_eq!(world.sides[party].machine().status().phase, Stage::Closing);

        is_alarmed_for_nothing(&mut world, party);
        let agreed = agrees_to_a_payment(&mut world, party);
        let _was = world.chain.censored.remove("channel_close_mutual");
        world.mine_blocks(3);
        assert!(world.chain.is_closed());
        let has = world.chain.wealth(party);
        assert!(!agreed, "party {party:?} agreed to be paid 50 beyond {SHARE}, and has {has}");
    }
}

/// Somebody closed on an old state in the name of `party`, by another hand than its machine's, which leaves the answer to the peer (R5.9). An endpoint
/// says that the peer was it.
#[test]
fn a_close_by_ones_own_account_is_not_answered_because_a_forged_one_names_the_peer() {
    for party in Party::BOTH {
        let mut world = World::opened();
        let old = world.sides[party].machine().evidence().unwrap();
        for payer in [party, party.peer(), party] {
            let _id = world.pay(payer, 40).unwrap();
            world.run();
        }
        world.kill(party.peer());
        world.chain.submit(party, Call::ChannelCloseSolo(old));
        world.mine();
        assert_eq!(world.chain.times_asked(party, "channel_slash"), 0, "it is left to the peer");
        let forged = forged_close(&world, party.peer());
        assert!(!world.answers_in_doubt(party, &forged));
        world.mine_blocks(2);
        let record = world.chain.ledger.channels.first_key_value().unwrap().1.clone();
        let penalty = record.closing().unwrap().penalty;
        assert_ne!(penalty, Penalty::Due(party), "its own penalty is due");
    }
}

/// Nobody confirms any block for a while: a close that has settled meanwhile, or a deadline that is over, is not known.
#[test]
fn a_side_that_is_far_behind_what_an_endpoint_tells_agrees_to_no_payment_before_the_next_head() {
    for party in Party::BOTH {
        let (mut world, peer) = (paid_to_and_fro(), party.peer());
        let window = u32::from(world.sides[party].config.height_window.behind);
        let head = world.chain.head();
        for (sighted, agrees) in [(head + window, true), (head + window + 1, false)] {
            world.input(party, Input::Chain(ChainInput::UnconfirmedHead(sighted))).unwrap();
            let round = world.sides[party].round();
            let _id = world.pay(peer, 5).unwrap();
            world.run();
            assert_eq!(
                world.sides[party].round() > round,
                agrees,
                "block {sighted} was told of, and {head} is the head"
            );
        }
        world.input(party, Input::Chain(ChainInput::Head)).unwrap();
        world.mine();
        world.run();
        assert_eq!(world.sides[party].balances().ours, SHARE + 10);
    }
}

/// What defends a channel is asked for again with each block that one endpoint tells of, and nothing of it is noted.
#[test]
fn a_defence_is_asked_for_again_while_nobody_confirms_what_comes_after_the_close() {
    let mut world = paid_to_and_fro();
    let old = protocol::call::CloseSolo {
        payload: None,
        commitment: channel::State::of(Pair::new(SHARE, SHARE)).commitment(),
        ..world.sides[Responder].machine().evidence().unwrap()
    };
    let _new = world.chain.censored.insert("channel_slash");
    world.kill(Responder);
    world.chain.submit(Responder, Call::ChannelCloseSolo(old));
    world.mine();
    let (asked, saved) = (world.chain.times_asked(Initiator, "channel_slash"), world.sides[Initiator].machine().save());
    assert!(asked > 0);
    for later in 1..=3 {
        world.input(Initiator, Input::Chain(ChainInput::UnconfirmedHead(world.chain.head() + later))).unwrap();
    }
    assert_eq!(world.chain.times_asked(Initiator, "channel_slash"), asked + 3);
    assert_eq!(world.sides[Initiator].machine().save(), saved);
}

/// An endpoint tells of many closes of one channel in one block, each another one.
#[test]
fn closes_that_nobody_confirms_are_not_all_stored() {
    let mut world = paid_to_and_fro();
    world.sides[Initiator].takes_events = false;
    let before = world.sides[Initiator].machine().save().len();
    let ArbiterEvent::ChannelClosedSolo { at, state_hash, closing } = forged_close(&world, Responder) else { panic!() };
    let count: u32 = 1_000;
    for later in 0..count {
        let closing = Closing { unlock_at: closing.unlock_at + later, ..closing.clone() };
        let forged = ArbiterEvent::ChannelClosedSolo { at, state_hash, closing };
        assert!(world.answers_in_doubt(Initiator, &forged));
    }
    let grown = world.sides[Initiator].machine().save().len() - before;
    assert!(grown < 4_096, "{count} forged closes are {grown} bytes of the channel's row");
}

/// A peer forces a step on the round before the last one, in a block that no second endpoint confirms for a lock period: `answers` says what a node
/// does about such a block.
#[test]
fn forced_steps_below_a_newer_state_are_answered_before_they_are_confirmed() {
    for party in Party::BOTH {
        let (mut world, ids) = World::with(Initiator, vec![puppet(Pair::new(50, 50))]);
        let peer = party.peer();
        let (old, payload) = {
            let machine = world.sides[party].machine();
            (machine.state().cloned().unwrap(), machine.evidence().unwrap().payload)
        };
        let _id = world.pay(peer, 300).unwrap();
        world.run();
        let agreed = world.sides[party].round();
        world.kill(peer);
        world.sides[party].asleep = true;
        world.force_by_hand(peer, &old, payload, vec![forced(ids[0], 0, &pays(0, 0))]);
        let from = world.sides[party].seen + 1;
        for _ in 0..=LOCK {
            world.mine();
            let number = world.chain.head();
            world.sides[party].seen = number;
            for event in world.chain.block(number).events.clone() {
                let _answered = world.answers_in_doubt(party, &event);
            }
            world.input(party, Input::Chain(ChainInput::Head)).unwrap();
        }
        // Two agree at last.
        world.sides[party].asleep = false;
        world.tell_record(party, from);
        world.input(party, Input::Chain(ChainInput::Head)).unwrap();
        world.mine_blocks(2);
        let record = world.chain.ledger.channels.first_key_value().unwrap().1.on_chain.clone();
        assert_eq!(record.at.agreed, agreed, "the payment of 300 in round {agreed} is undone: {:?}", record.at);
    }
}

/// Every record of a story, and then the blocks that led to it, in their order and once more: what is known does not change by them.
#[test]
fn late_events_change_nothing_that_a_record_has_told() {
    type Story = fn(&mut World, Party);
    let stories: [(&str, Story); 5] = [
        ("a deposit and a close", |world, by| {
            world.deposit(by, 500).unwrap();
            world.run();
            world.mine_blocks(2);
            world.close_solo(by).unwrap();
            world.mine_blocks(2);
        }),
        ("a forced step", |world, by| {
            let id = world.sides[by].machine().contracts().unwrap().iter().next().map(|(id, _)| *id).unwrap();
            world.force(by, vec![forced(id, 3, &pays(30, 10))]).unwrap();
            world.mine_blocks(3);
        }),
        ("a forced step while closing", |world, by| {
            let id = world.sides[by].machine().contracts().unwrap().iter().next().map(|(id, _)| *id).unwrap();
            world.close_solo(by).unwrap();
            world.mine_blocks(2);
            world.force(by, vec![forced(id, 3, &pays(30, 10))]).unwrap();
            world.mine_blocks(3);
        }),
        ("a residual channel", |world, by| {
            world.close_solo(by).unwrap();
            world.mine_blocks(2 * LOCK);
        }),
        ("a residual channel that pays", |world, by| {
            let id = world.sides[by].machine().contracts().unwrap().iter().next().map(|(id, _)| *id).unwrap();
            world.close_solo(by).unwrap();
            world.mine_blocks(2 * LOCK);
            world.force(by, vec![forced(id, 0, &pays(30, 10))]).unwrap();
            world.mine_blocks(3);
        }),
    ];
    for (name, story) in stories {
        for (party, by) in
            [(Initiator, Initiator), (Initiator, Responder), (Responder, Initiator), (Responder, Responder)]
        {
            let (mut world, _ids) = World::with(Initiator, vec![puppet(Pair::new(50, 50))]);
            world.pay_once(party, "key", 4).unwrap();
            world.run();
            if party == by {
                // It acts, and forgets that it has seen what came of it.
                let stored = world.sides[party].seen;
                story(&mut world, by);
                world.kill(party);
                world.sides[party].seen_stored = stored;
            } else {
                world.kill(party);
                story(&mut world, by);
            }
            let from = world.sides[party].seen_stored + 1;
            world.restart_from_record(party);
            let to = world.chain.head();
            let view = |world: &World| {
                let machine = world.sides[party].machine();
                (
                    machine.status(),
                    machine.balances(),
                    machine.evidence(),
                    machine.state().cloned(),
                    machine.list_payments(),
                )
            };
            let known = view(&world);
            for _ in 0..2 {
                for number in from.max(GENESIS + 1)..=to {
                    for event in world.chain.block(number).events.clone() {
                        world.input(party, Input::Chain(ChainInput::Event(event))).unwrap();
                    }
                }
                assert_eq!(view(&world), known, "{name}, {by:?} as seen by {party:?}");
            }
            let skipped = world.sides[party].was_told(|event| matches!(event, Event::BlocksSkipped { .. }));
            assert_eq!(skipped, 1);
        }
    }
}
