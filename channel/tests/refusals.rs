//! Refusals that both sign (R6.1a): what is refused is dead, everything else goes on, and nobody is left with a signature that waits.

use crate::harness::{
    Initiator, LOCK, Responder, SHARE, World, apps,
    contracts::{call, counter, of, pays, puppet},
    forge::payment,
    side::Fate,
};
use channel::{Acceptance, Change, Event, Message, Notice, Refusal, RefusalCode, Refused, Update};
use protocol::{
    Base, Pair, Party, Rejection,
    call::{Call, CallKind, CloseSolo, SnapshotSolo},
};

const NO: RefusalCode = RefusalCode(200);

fn transfer(amount: u128) -> Change {
    Change::Transfer(channel::Payment { amount, reference: amount.to_be_bytes().to_vec() })
}

fn stolen(world: &mut World, to: Party) -> Update {
    match world.steal(to) {
        Message::Update(update) => update,
        other => panic!("{other:?}"),
    }
}

/// A channel in which `payer` has proposed 40, and its peer has refused that by a counter-round which is on its way.
fn refused(payer: Party) -> (World, channel::ChangeId, Update) {
    let mut world = World::opened_with(payer.peer(), |config| config.acceptance = Acceptance::Manual);
    let id = world.pay(payer, 40).unwrap();
    assert!(world.deliver(payer.peer()));
    let round = world.asked(payer.peer()).unwrap();
    world.refuse(payer.peer(), round, NO).unwrap();
    let counter = stolen(&mut world, payer);
    assert_eq!(counter.refuses, Some(Refusal { round, items: Refused::All(NO) }));
    (world, id, counter)
}

#[test]
fn a_refusal_is_a_round_of_the_refusers_above_the_refused_one_that_changes_nothing() {
    for payer in Party::BOTH {
        let (mut world, id, counter) = refused(payer);
        assert_eq!(Party::owner_of(counter.round), payer.peer());
        assert_eq!(counter.base, Base::of(1));
        assert!(counter.changes.is_empty());
        world.hear(payer, Message::Update(counter.clone()));
        world.run();
        assert_eq!(world.rounds(), (counter.round, counter.round));
        assert_eq!(world.fate(payer, id), Fate::Refused);
        world.assert_balances(SHARE, SHARE);
        world.assert_agreed();
        assert_eq!(world.sides[Initiator].notices().chain(world.sides[Responder].notices()).next(), None);
    }
}

#[test]
fn what_was_refused_can_never_be_put_on_chain_once_both_have_signed_the_refusal() {
    for payer in Party::BOTH {
        let mut world = World::opened_with(payer.peer(), |config| config.acceptance = Acceptance::Manual);
        let _id = world.pay(payer, 40).unwrap();
        let kept = stolen(&mut world, payer.peer());
        let mut balances = Pair::new(SHARE, SHARE);
        balances[payer] -= 40;
        balances[payer.peer()] += 40;
        let evidence = world.co_sign(payer, &kept, balances);
        world.hear(payer.peer(), Message::Update(kept.clone()));
        world.refuse(payer.peer(), kept.round, NO).unwrap();
        world.run();
        // The refuser closes on it all the same, and loses the penalty: it proposed the newer round, and its peer signed it.
        world.chain.submit(payer.peer(), Call::ChannelCloseSolo(CloseSolo { ..evidence }));
        world.mine_blocks(3 * LOCK);
        assert!(world.chain.is_closed());
        assert!(world.chain.wealth(payer) >= 5_000, "{}", world.chain.wealth(payer));
    }
}

#[test]
fn one_bad_change_among_good_ones_is_refused_alone_and_the_others_are_made_in_their_order() {
    for payer in Party::BOTH {
        let mut world = World::opened();
        world.sides[payer.peer()].book.refused = [apps::PUPPET.code].into();
        let changes = vec![transfer(5), puppet(Pair::default()), transfer(7), counter(of(payer, 3), 9), transfer(11)];
        let ids = world.make(payer, changes).unwrap();
        world.run();
        let fates: Vec<_> = ids.iter().map(|id| world.fate(payer, *id)).collect();
        assert_eq!(fates[1], Fate::Refused);
        assert!([0, 2, 3, 4].into_iter().all(|at| matches!(fates[at], Fate::Paid(_))), "{fates:?}");
        let refused = Event::Refused { payments: [ids[1]].into(), code: RefusalCode::POLICY };
        assert_eq!(world.sides[payer].was_told(|event| *event == refused), 1);
        let amounts: Vec<_> = world.sides[payer.peer()].received.iter().map(|(payment, _)| payment.amount).collect();
        assert_eq!(amounts, [5, 7, 11]);
        world.assert_agreed();
    }
}

#[test]
fn rounds_that_cross_and_are_both_refused_leave_nothing_wherever_the_link_breaks() {
    for first in Party::BOTH {
        for broken_after in 0..9 {
            let mut world = World::new();
            for party in Party::BOTH {
                world.sides[party].config.acceptance = Acceptance::Manual;
            }
            world.open();
            world.run();
            world.mine();
            world.run();
            let ids = Pair::new(world.pay(Initiator, 30).unwrap(), world.pay(Responder, 20).unwrap());
            let mut delivered = 0;
            for turn in 0..60 {
                let party = if turn % 2 == 0 { first } else { first.peer() };
                if world.linked && world.deliver(party) {
                    delivered += 1;
                }
                if delivered == broken_after {
                    delivered += 1;
                    world.disconnect();
                }
                if !world.linked {
                    world.connect();
                }
                if let Some(round) = world.asked(party) {
                    let _again = world.refuse(party, round, NO);
                }
            }
            for party in Party::BOTH {
                assert_eq!(world.fate(party, ids[party]), Fate::Refused, "{first:?} {broken_after} {party:?}");
            }
            world.assert_agreed();
            world.assert_balances(SHARE, SHARE);
            assert_eq!(world.sides[Initiator].notices().chain(world.sides[Responder].notices()).next(), None);
        }
    }
}

#[test]
fn a_second_refusal_is_not_signed_while_the_first_is_unanswered() {
    for victim in Party::BOTH {
        let mut world = World::opened();
        world.sides[victim].book.refused = [apps::PUPPET.code].into();
        let cheat = victim.peer();
        let bad = |world: &World, round| {
            let balances = world.agreed(victim);
            world.forge_update_to(cheat, round, vec![puppet(Pair::default())], balances)
        };
        let round = if cheat == Initiator { 3 } else { 4 };
        let first = bad(&world, round);
        world.hear(victim, Message::Update(first));
        let counter = stolen(&mut world, cheat);
        let saved = world.sides[victim].machine().save();
        for above in [2, 4, 6] {
            let again = bad(&world, counter.round + above - 1);
            world.hear(victim, Message::Update(again.clone()));
            let not_now = Message::UpdateError { round: again.round, code: RefusalCode::NOT_NOW };
            assert_eq!(world.steal(cheat), not_now);
        }
        assert!(world.sides[victim].machine().save() == saved, "one signature is out, and no other");
    }
}

#[test]
fn a_refusal_of_something_that_was_never_proposed_is_signed_and_changes_nothing() {
    for victim in Party::BOTH {
        let mut world = World::opened();
        let id = world.pay(victim, 30).unwrap();
        let ours = stolen(&mut world, victim.peer());
        let mut counter = world.forge_update_to(victim.peer(), ours.round + 1, Vec::new(), Pair::new(SHARE, SHARE));
        counter.refuses = Some(Refusal { round: 77, items: Refused::Some(vec![(0, NO), (9_999, NO)]) });
        world.hear(victim, Message::Update(counter.clone()));
        assert_eq!(world.sides[victim].round(), counter.round);
        assert_eq!(world.fate(victim, id), Fate::Pending, "it is proposed again above it");
        assert_eq!(world.agreed(victim), Pair::new(SHARE, SHARE));
    }
}

#[test]
fn what_is_asked_twice_in_vain_is_told_with_its_reason() {
    for payer in Party::BOTH {
        let mut world = World::opened();
        let id = world.pay(payer, 5).unwrap();
        let ours = stolen(&mut world, payer.peer());
        let (round, code) = (ours.round, RefusalCode::NOT_NOW);
        let told =
            |world: &World| world.sides[payer].notices().filter(|it| **it == Notice::Postponed { round, code }).count();
        for (times, expected) in [(1, 0), (2, 1), (3, 1), (4, 1)] {
            world.hear(payer, Message::UpdateError { round, code });
            assert_eq!(told(&world), expected, "after {times}");
            world.chain.mine();
            world.sides[payer].seen += 1;
            world.input(payer, channel::Input::Chain(channel::ChainInput::Head)).unwrap();
            assert_eq!(stolen(&mut world, payer.peer()), ours, "the very same round is said again");
        }
        assert_eq!(world.fate(payer, id), Fate::Pending);
    }
}

#[test]
fn an_operation_asked_twice_in_vain_is_told_with_its_reason() {
    for asker in Party::BOTH {
        let mut world = World::opened();
        world.deposit(asker, 5).unwrap();
        let code = RefusalCode::NOT_NOW;
        for times in 1..4 {
            let Message::DepositCreated(body) = world.steal(asker.peer()) else { panic!("the question") };
            world.hear(asker, Message::DepositError { round: body.round, code });
            let told = world.sides[asker].notices().filter(|it| matches!(it, Notice::Postponed { .. })).count();
            assert_eq!(told, usize::from(times >= 2));
            world.chain.mine();
            world.sides[asker].seen += 1;
            world.input(asker, channel::Input::Chain(channel::ChainInput::Head)).unwrap();
        }
    }
}

#[test]
fn changes_that_were_told_as_made_and_are_replaced_on_chain_are_told_as_undone() {
    // A round with a payment and a call goes unanswered; the call is forced, the payment given up; another payment follows on the forced state.
    // Then the peer, which has signed both rounds in silence, puts one after the other on chain.
    for payer in Party::BOTH {
        let mut world = World::opened_with(payer, |config| config.force_after = Some(1_000));
        let ids = world.create(payer, vec![counter(of(payer, 50), 100)]);
        let before = world.agreed(payer);
        let changes = vec![Change::Transfer(payment(7)), call(ids[0], 3, &1_u64)];
        let first = world.make(payer, changes).unwrap();
        let kept = stolen(&mut world, payer.peer());
        world.kill(payer.peer());
        world.tick(0);
        world.tick(1_000);
        world.mine();
        assert!(matches!(world.fate(payer, first[1]), Fate::Forced(_)));
        // The peer says that it follows, and is paid once more in a round which it keeps as well.
        let forced_round = world.sides[payer].round();
        world.linked = true;
        world.input(payer, channel::Input::LinkUp).unwrap();
        let Some(Message::Reestablish(notes)) = world.wire[payer.peer()].pop_back() else { panic!("its notes") };
        world.hear(payer, Message::ReestablishAck(notes));
        world.hear(payer, Message::ForceProgressLocked { round: forced_round });
        let second = world.pay(payer, 11).unwrap();
        let later = stolen(&mut world, payer.peer());
        assert_eq!(later.base, Base { agreed: kept.base.agreed, steps: 1 });

        let channel = world.channel_id();
        for update in [&kept, &later] {
            let payload = world.co_signed(payer, update);
            world.chain.submit(payer.peer(), Call::ChannelSnapshotSolo(SnapshotSolo { channel, payload }));
            world.mine();
            assert_eq!(world.sides[payer].round(), update.round);
            if update == &kept {
                assert!(first.iter().all(|id| world.fate(payer, *id) == Fate::Paid(kept.round)));
            }
        }
        let undone = |event: &Event| match event {
            Event::Undone { changes, round } => changes.ids() == [first[0]] && *round == later.round,
            _ => false,
        };
        assert_eq!(world.sides[payer].was_told(undone), 1);
        // The call is in the forced state, from which the later round goes on.
        assert_eq!(world.fate(payer, first[1]), Fate::Paid(kept.round));
        assert_eq!(world.fate(payer, second), Fate::Paid(later.round));
        assert_eq!(world.agreed(payer)[payer], before[payer] - 3 - 11);
    }
}

#[test]
fn a_claim_forced_in_time_is_not_undone_after_a_lock_period_by_a_round_from_before_it() {
    // The case of the audit: the victim pays 1, the cheat never answers; the victim forces what it is owed, well before its deadline. At
    // the deadline the cheat signs the payment and shows it.
    for victim in Party::BOTH {
        let cheat = victim.peer();
        let mut world = World::opened();
        let ids = world.create(victim, vec![puppet(of(cheat, 0))]);
        let ids = [ids[0], world.create(cheat, vec![puppet(of(cheat, 100))])[0]];
        let _id = world.pay(victim, 1).unwrap();
        let kept = stolen(&mut world, cheat);
        world.kill(cheat);
        let claim = if victim == Initiator { pays(100, 0) } else { pays(0, 100) };
        world.force(victim, vec![crate::harness::contracts::forced(ids[1], 0, &claim)]).unwrap();
        world.mine();
        let claimed = world.agreed(victim)[victim];
        assert_eq!(claimed, SHARE + 100);
        for waited in [LOCK - 2, 1] {
            world.mine_blocks(waited);
            let (channel, payload) = (world.channel_id(), world.co_signed(victim, &kept));
            // A block before a lock period is over it would still count: the last look of the victim's has to lie before that.
            if waited == 1 {
                world.chain.submit(cheat, Call::ChannelSnapshotSolo(SnapshotSolo { channel, payload }));
                world.mine();
                let block = world.chain.block(world.chain.head());
                let floor = Base { agreed: kept.base.agreed, steps: 1 };
                let refused = Rejection::BaseTooOld { got: kept.base, floor };
                assert_eq!(block.rejected, [(cheat, CallKind::ChannelSnapshotSolo, refused)]);
            }
        }
        assert_eq!(world.agreed(victim)[victim], claimed);
        world.close_solo(victim).unwrap();
        world.mine_blocks(LOCK + 5);
        assert_eq!(world.chain.wealth(victim), 4_000 + claimed);
    }
}
