//! A cheat with its own key, its own copies of every state, and the chain: it gains nothing.

use crate::harness::{
    Initiator, LOCK, Responder, SHARE, World,
    contracts::{call, counter, escrow, forced, of, pays, puppet},
    forge::{sign, state_body},
    side::Fate,
};
use channel::{Change, ChangeFault, ChangeId, Event, Message, Notice, RefusalCode, State, Update, Violation};
use protocol::{
    Hash, Pair, Party,
    call::{Call, Payload, SnapshotSolo},
    contracts::{CallFault, ContractId},
};

/// What a party could force on, or close on, at this moment.
fn kept(world: &World, party: Party) -> (State, Option<Payload>) {
    let machine = world.sides[party].machine();
    (machine.state().unwrap().clone(), machine.evidence().unwrap().payload)
}

/// A puppet with a hundred coins, which then pays them all to the victim.
fn paid_to(victim: Party) -> (World, ContractId, State, Option<Payload>) {
    let (mut world, ids) = World::with(victim.peer(), vec![puppet(of(victim.peer(), 100))]);
    let (state, payload) = kept(&world, victim.peer());
    let payouts = of(victim, 100);
    let _id = world.make_one(victim.peer(), call(ids[0], 0, &pays(payouts.initiator, payouts.responder))).unwrap();
    world.run();
    assert_eq!(world.sides[victim].balances().ours, SHARE + 100);
    (world, ids[0], state, payload)
}

/// A counter of the victim's, and a round in which it is called: the cheat has it, and does not answer.
fn unanswered(victim: Party) -> (World, ContractId, ChangeId, Update) {
    let (mut world, ids) = World::with(victim, vec![counter(of(victim, 100), 1_000)]);
    let id = world.make_one(victim, call(ids[0], 7, &1_u64)).unwrap();
    let Message::Update(update) = world.steal(victim.peer()) else { panic!("the round") };
    (world, ids[0], id, update)
}

/// The state after that round: the victim keeps it for itself, so it is had from a world where it was answered.
fn answered(victim: Party) -> State {
    let mut twin = World::with(victim, vec![counter(of(victim, 100), 1_000)]).0;
    let contract = *twin.sides[victim].machine().contracts().unwrap().iter().next().unwrap().0;
    let _id = twin.make_one(victim, call(contract, 7, &1_u64)).unwrap();
    twin.run();
    kept(&twin, victim.peer()).0
}

/// What a puppet is told to pay everything to one party.
fn all_to(party: Party) -> protocol::contracts::AppReply {
    let payouts = of(party, 100);
    pays(payouts.initiator, payouts.responder)
}

#[test]
fn calls_forced_on_an_old_state_are_replaced_by_the_newer_one_while_open() {
    for victim in Party::BOTH {
        let (mut world, contract, state, payload) = paid_to(victim);
        let cheat = victim.peer();
        world.force_by_hand(cheat, &state, payload, vec![forced(contract, 0, &all_to(cheat))]);
        world.mine();
        assert!(!world.sides[victim].machine().status().stale_store);
        world.mine();
        // The newer state is on chain, and the old one is worth nothing any more.
        let record = world.chain.ledger.channels.values().next().unwrap();
        assert_eq!(record.on_chain.at, protocol::Base::of(world.sides[victim].round()));
        assert_eq!(world.sides[victim].was_told(|event| matches!(event, Event::Executed { forced: true, .. })), 0);
        assert_eq!(world.sides[victim].was_told(|event| matches!(event, Event::Replaced { .. })), 0);
        world.run();
        world.assert_agreed();
        let _id = world.pay(victim, 5).unwrap();
        world.run();
        world.assert_agreed();
    }
}

#[test]
fn calls_forced_on_an_old_state_are_slashed_while_closing() {
    for victim in Party::BOTH {
        for sleeps in [false, true] {
            let (mut world, contract, state, payload) = paid_to(victim);
            let cheat = victim.peer();
            let close =
                protocol::call::CloseSolo { channel: world.channel_id(), payload, commitment: state.commitment() };
            world.kill(cheat);
            if sleeps {
                world.kill(victim);
            }
            world.chain.submit(cheat, Call::ChannelCloseSolo(close));
            world.mine();
            world.force_by_hand(cheat, &state, payload, vec![forced(contract, 0, &all_to(cheat))]);
            world.mine_blocks(LOCK - 2);
            if sleeps {
                world.restart(victim);
            }
            world.mine_blocks(2 * LOCK + 5);
            world.assert_reckoned(Some(cheat));
            assert!(world.chain.is_closed());
            // The newer round was the cheat's own: it proves nothing, and costs nothing more.
            assert_eq!(world.chain.wealth(victim), 5_000 + 100);
        }
    }
}

#[test]
fn a_cheat_that_forces_and_then_shows_a_newer_round_undoes_only_its_own_step() {
    for victim in Party::BOTH {
        let (mut world, contract, id, update) = unanswered(victim);
        let (cheat, round) = (victim.peer(), update.round);
        let (state, payload) = kept(&world, cheat);
        world.kill(cheat);
        let before = world.told(victim);
        world.force_by_hand(cheat, &state, payload, vec![forced(contract, 3, &2_u64)]);
        world.mine();
        assert_eq!(world.fate(victim, id), Fate::Pending);
        assert_eq!(world.outcomes(victim).len(), 2, "it is followed");
        // Then it shows the round.
        let (channel, payload) = (world.channel_id(), world.co_signed(victim, &update));
        world.chain.submit(cheat, Call::ChannelSnapshotSolo(SnapshotSolo { channel, payload }));
        world.mine();
        assert_eq!(world.fate(victim, id), Fate::Paid(round));
        let replaced = world.sides[victim].was_told(|event| matches!(event, Event::Replaced { .. }));
        assert_eq!(replaced, 1);
        assert_eq!(world.told(victim), before - 7);
        assert_eq!(world.sides[victim].balances().ours, world.told(victim));
        // It goes on with that state, and closes on it.
        world.close_solo(victim).unwrap();
        world.mine_blocks(LOCK + 5);
        world.assert_reckoned(Some(cheat));
        assert!(world.is_residual(victim));
    }
}

#[test]
fn a_step_forced_on_a_round_that_was_never_answered_is_followed_and_the_round_told_as_paid() {
    for victim in Party::BOTH {
        for refused in [false, true] {
            let (mut world, contract, id, update) = unanswered(victim);
            let (cheat, round) = (victim.peer(), update.round);
            // The state that the victim keeps for it.
            let state = answered(victim);
            assert_eq!(state.hash(), update.state_hash);
            if refused {
                world.hear(victim, Message::UpdateError { round, code: RefusalCode::APPLICATION });
                assert_eq!(world.fate(victim, id), Fate::Pending, "nothing is refused without a counter-round");
            }
            let payload = world.co_signed(victim, &update);
            world.kill(cheat);
            world.force_by_hand(cheat, &state, Some(payload), vec![forced(contract, 3, &2_u64)]);
            world.mine();
            assert_eq!(world.fate(victim, id), Fate::Paid(round));
            assert_eq!(world.sides[victim].round(), round + 1);
            assert_eq!(world.sides[victim].balances().ours, world.told(victim));
            world.crash(victim);
            world.close_solo(victim).unwrap();
            world.mine_blocks(LOCK + 5);
            world.assert_reckoned(Some(cheat));
        }
    }
}

#[test]
fn a_forced_chain_that_is_replaced_by_a_round_below_its_own_last_one() {
    // An own round of the victim's; then two steps by force on the state before it; then that round on chain.
    for victim in Party::BOTH {
        let (mut world, contract, id, update) = unanswered(victim);
        let (cheat, round) = (victim.peer(), update.round);
        let (state, payload) = kept(&world, cheat);
        world.kill(cheat);
        let many = (0..6).map(|_| forced(contract, 1, &1_u64)).collect();
        world.force_by_hand(cheat, &state, payload, many);
        world.mine();
        assert!(world.sides[victim].round() > round);
        // By a close this time.
        let close = protocol::call::CloseSolo {
            channel: world.channel_id(),
            payload: Some(world.co_signed(victim, &update)),
            commitment: answered(victim).commitment(),
        };
        world.chain.submit(cheat, Call::ChannelCloseSolo(close));
        world.mine();
        assert_eq!((world.sides[victim].round(), world.fate(victim, id)), (round, Fate::Paid(round)));
        world.mine_blocks(LOCK + 5);
        world.assert_reckoned(Some(cheat));
    }
}

#[test]
fn a_call_with_another_outcome_than_its_own_is_refused() {
    for cheat in Party::BOTH {
        let proposed = || {
            let (mut world, ids) = World::with(cheat.peer(), vec![puppet(of(cheat.peer(), 100))]);
            let _id = world.make_one(cheat, call(ids[0], 5, &pays(1, 1))).unwrap();
            let Message::Update(update) = world.steal(cheat.peer()) else { panic!("the round") };
            (world, ids, update)
        };
        let (mut world, ids, update) = proposed();
        let (round, base, height, wanted) = (update.round, update.base, update.height, update.state_hash);
        let before = world.sides[cheat.peer()].balances();
        let say = |changes: Vec<Change>, state_hash: Hash| {
            let (mut world, ..) = proposed();
            let signature = sign(cheat, world.channel_id(), &state_body(round, base, state_hash));
            let update = Update { round, base, height, refuses: None, changes, state_hash, signature };
            world.hear(cheat.peer(), Message::Update(update));
            assert_eq!(world.refusal(cheat.peer()), RefusalCode::VALIDATION);
            assert_eq!(world.sides[cheat.peer()].balances(), before);
            match world.sides[cheat.peer()].notices().last() {
                Some(Notice::PeerViolated(violation)) => violation.clone(),
                other => panic!("{other:?}"),
            }
        };
        let other = call(ids[0], 5, &pays(1, 2));
        assert!(matches!(say(vec![other], wanted), Violation::StateHashMismatch { got, .. } if got == wanted));
        let less = call(ids[0], 4, &pays(1, 1));
        assert!(matches!(say(vec![less], wanted), Violation::StateHashMismatch { .. }));
        let bad = call(ids[0], 5, &77_u8);
        let fault = Violation::Change(ChangeFault::Call(CallFault::Undecodable));
        assert_eq!(say(vec![bad], wanted), fault);
        let twice = vec![update.changes[0].clone(), update.changes[0].clone()];
        assert!(matches!(say(twice, wanted), Violation::StateHashMismatch { .. }));
        // Another signature, and then the right one: nothing was lost by all that.
        let mut wrong = update.clone();
        wrong.signature.0[0] ^= 1;
        world.hear(cheat.peer(), Message::Update(wrong));
        assert_eq!(
            world.sides[cheat.peer()].notices().last(),
            Some(&Notice::PeerViolated(Violation::SignatureInvalid))
        );
    }
}

#[test]
fn coins_of_the_victims_cannot_be_attached_or_taken_without_its_user() {
    for cheat in Party::BOTH {
        let (mut world, ids) = World::with(cheat.peer(), vec![puppet(of(cheat.peer(), 100))]);
        let victim = cheat.peer();
        let before = world.sides[victim].balances().ours;
        for change in [
            puppet(of(victim, 50)),
            Change::RemoveContract { contract: ids[0], shares: of(cheat, 100) },
            Change::UpgradeContract {
                contract: ids[0],
                code: protocol::contracts::Code::Contract(crate::harness::apps::COUNTER.code),
                state: None,
            },
        ] {
            let _id = world.make_one(cheat, change).unwrap();
            world.run();
            world.tick(world.sides[victim].config.timeouts.review);
            world.run();
            assert_eq!(world.sides[victim].balances().ours, before);
            assert!(world.sides[victim].machine().contract(&ids[0]).is_some());
        }
        world.assert_agreed();
    }
}

#[test]
fn rounds_ground_for_a_contracts_id_are_refused_beyond_a_bound() {
    // The id of a contract follows from its round. Rounds lie at most so far apart, so that there is little to choose from.
    let mut world = World::opened();
    let _id = world.make_one(Responder, escrow(1_000)).unwrap();
    let Message::Update(mut update) = world.steal(Initiator) else { panic!("the round") };
    for (round, taken) in [(1 + (1 << 16) + 1, false), (1 << 16, true)] {
        update.round = round;
        let state_hash = update.state_hash;
        update.signature = sign(Responder, world.channel_id(), &state_body(round, update.base, state_hash));
        world.hear(Initiator, Message::Update(update.clone()));
        let told = world.sides[Initiator].notices().last().cloned();
        let Some(Notice::PeerViolated(violation)) = told else { panic!("{told:?}") };
        // The honest hash is that of another round's contract.
        assert_eq!(matches!(violation, Violation::StateHashMismatch { .. }), taken, "{violation:?}");
        assert_eq!(matches!(violation, Violation::RoundTooFar { .. }), !taken);
    }
}

#[test]
fn a_cheat_that_asks_for_operations_while_a_call_is_forced_replaces_nothing() {
    for victim in Party::BOTH {
        let (mut world, ids) = World::with(victim, vec![escrow(130)]);
        let cheat = victim.peer();
        world.deposit(cheat, 5).unwrap();
        let Message::DepositCreated(body) = world.steal(victim) else { panic!("the question") };
        // The tokens have to be issued before the deadline.
        world.force(victim, vec![forced(ids[0], 50, &crate::harness::apps::Tokens::Issue)]).unwrap();
        let round = body.round;
        for _ in 0..2 {
            world.hear(victim, Message::DepositCreated(body.clone()));
            assert_eq!(world.steal(cheat), Message::DepositError { round, code: RefusalCode::NOT_NOW });
            world.mine();
        }
        world.wire = Pair::default();
        assert_eq!(world.outcomes(victim).len(), 2);
        assert_eq!(world.sides[victim].was_told(|event| matches!(event, Event::Replaced { .. })), 0);
    }
}

#[test]
fn a_side_that_was_down_answers_what_was_forced_on_an_old_state_meanwhile() {
    for victim in Party::BOTH {
        for snapshot_first in [false, true] {
            for closes in [false, true] {
                let (mut world, contract, state, payload) = paid_to(victim);
                let (cheat, channel) = (victim.peer(), world.channel_id());
                world.kill(victim);
                world.kill(cheat);
                if snapshot_first {
                    let call = SnapshotSolo { channel, payload: payload.unwrap() };
                    world.chain.submit(cheat, Call::ChannelSnapshotSolo(call));
                    world.mine();
                }
                if closes {
                    let close = protocol::call::CloseSolo { channel, payload, commitment: state.commitment() };
                    world.chain.submit(cheat, Call::ChannelCloseSolo(close));
                    world.mine();
                }
                world.force_by_hand(cheat, &state, payload, vec![forced(contract, 0, &all_to(cheat))]);
                world.mine();
                world.restart(victim);
                world.mine();
                let record = world.chain.ledger.channels.values().next().unwrap();
                assert_eq!(record.on_chain.at, protocol::Base::of(world.sides[victim].round()));
                if !closes {
                    world.close_solo(victim).unwrap();
                }
                world.mine_blocks(LOCK + 5);
                world.assert_reckoned(Some(cheat));
            }
        }
    }
}
