//! Answers that come late, or only by the chain: rounds given up for a forced step count all the same, once.

use crate::harness::{
    Initiator, LOCK, SHARE, World,
    contracts::{call, counter, forced, of, pays, puppet},
    side::Fate,
};
use channel::{Event, Message};
use protocol::{
    Amount, Party,
    call::{Call, SnapshotSolo},
    contracts::ContractId,
};

fn settle_down(world: &mut World) {
    for _ in 0..4 {
        world.run();
        world.mine();
    }
    world.run();
}

/// How the peer's answer comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// Before the forced step is in a block.
    BeforeTheBlock,
    /// When the step is final here.
    AfterTheBlock,
    /// It was lost with the link, and is said again when that is back, before or after the block.
    WithTheLink { mined: bool },
    /// The peer puts the round on chain before the step gets there.
    OnChain,
    /// The peer closes on it, before the step gets there.
    ByAClose,
}

const ANSWERS: [Answer; 6] = [
    Answer::BeforeTheBlock,
    Answer::AfterTheBlock,
    Answer::WithTheLink { mined: false },
    Answer::WithTheLink { mined: true },
    Answer::OnChain,
    Answer::ByAClose,
];

/// A round of a payment, two calls and another payment that the peer has agreed to; more that waits; and the forcer's patience is at its end.
struct Late {
    world: World,
    ids: Vec<ContractId>,
    forcer: Party,
    round: Vec<channel::ChangeId>,
    waiting: Vec<channel::ChangeId>,
}

fn late(forcer: Party) -> Late {
    let mut world = World::opened_with(forcer, |config| config.force_after = Some(1_000));
    let ids = world.create(forcer, vec![counter(of(forcer, 50), 100), puppet(of(forcer, 50))]);
    let payment = |amount: Amount| channel::Change::Transfer(channel::Payment { amount, reference: vec![] });
    let changes = vec![payment(7), call(ids[0], 3, &1_u64), call(ids[0], 4, &1_u64)];
    let round = world.make(forcer, changes).unwrap();
    let waiting = world.make(forcer, vec![call(ids[0], 5, &1_u64), payment(2)]).unwrap();
    assert!(world.deliver(forcer.peer()));
    assert!(matches!(world.wire[forcer][0], Message::UpdateAck { .. }));
    Late { world, ids, forcer, round, waiting }
}

#[test]
fn a_round_given_up_for_a_forced_step_counts_once_however_its_answer_comes() {
    for forcer in Party::BOTH {
        for answer in ANSWERS {
            let Late { mut world, ids, forcer, round, waiting } = late(forcer);
            let held = std::mem::take(&mut world.wire[forcer]);
            world.tick(0);
            world.tick(1_000);
            assert_eq!(world.fate(forcer, round[0]), Fate::Refused, "{answer:?}");
            assert_eq!(world.fate(forcer, round[1]), Fate::Forcing, "{answer:?}");
            match answer {
                Answer::BeforeTheBlock => world.wire[forcer].extend(held),
                Answer::AfterTheBlock => {
                    let _new = world.chain.censored.insert("channel_snapshot_solo");
                    world.mine();
                    assert!(matches!(world.fate(forcer, round[1]), Fate::Forced(_)), "{answer:?}");
                    world.wire[forcer].extend(held);
                    world.run();
                    world.chain.censored.clear();
                }
                Answer::WithTheLink { mined } => {
                    world.disconnect();
                    if mined {
                        let _new = world.chain.censored.insert("channel_snapshot_solo");
                        world.mine();
                        world.chain.censored.clear();
                    }
                }
                Answer::OnChain | Answer::ByAClose => {
                    world.chain.drop_pool();
                    world.disconnect();
                    let evidence = world.sides[forcer.peer()].machine().evidence().unwrap();
                    if answer == Answer::ByAClose {
                        world.close_solo(forcer.peer()).unwrap();
                    } else {
                        let payload = evidence.payload.unwrap();
                        let call = SnapshotSolo { channel: evidence.channel, payload };
                        world.chain.submit(forcer.peer(), Call::ChannelSnapshotSolo(call));
                    }
                    world.mine();
                }
            }
            world.run();
            settle_down(&mut world);
            let paid = |fate| matches!(fate, Fate::Paid(_));
            for id in &round {
                assert!(paid(world.fate(forcer, *id)), "{answer:?}: {id:?} {:?}", world.fate(forcer, *id));
            }
            if answer == Answer::ByAClose {
                world.mine_blocks(LOCK + 4);
                // What waited with them cannot be forced, or was.
                world
                    .force(forcer, vec![forced(ids[0], 0, &98_u64)])
                    .map_or_else(|_| world.force(forcer, vec![forced(ids[0], 0, &97_u64)]).unwrap(), drop);
                world.mine();
                world.force(forcer, vec![forced(ids[1], 0, &pays(25, 25))]).unwrap();
                world.mine();
                assert!(world.sides[forcer].closed().is_some());
                world.assert_reckoned(None);
            } else {
                assert!(paid(world.fate(forcer, waiting[1])), "{answer:?}");
                world.assert_agreed();
                // What was forced with them and is not in the round has not happened: the user was told.
                let undone = world.fate(forcer, waiting[0]) == Fate::Undone;
                assert!(undone || paid(world.fate(forcer, waiting[0])), "{:?}", world.fate(forcer, waiting[0]));
                assert_eq!(undone, matches!(answer, Answer::AfterTheBlock | Answer::WithTheLink { mined: true }));
                let attached = if undone { 3 + 4 } else { 3 + 4 + 5 };
                let count = world.sides[forcer].machine().contract(&ids[0]).unwrap();
                assert_eq!(count.balance, 50 + attached, "{answer:?}: each call once");
                assert_eq!(world.sides[forcer].balances().ours, SHARE - 100 - 7 - attached - 2, "{answer:?}");
            }
            let complaint = world.sides[forcer.peer()].notices().chain(world.sides[forcer].notices());
            let complaint = complaint
                .into_iter()
                .find(|notice| !matches!(notice, channel::Notice::PeerSilent | channel::Notice::CallRejected { .. }));
            assert_eq!(complaint, None, "{answer:?}");
        }
    }
}

#[test]
fn a_late_answer_with_a_wrong_signature_is_no_answer() {
    let Late { mut world, forcer, .. } = late(Initiator);
    let Some(Message::UpdateAck { round, .. }) = world.wire[forcer].pop_front() else { panic!("the answer") };
    world.tick(0);
    world.tick(1_000);
    let signature = protocol::Signature([1; 64]);
    world.hear(forcer, Message::UpdateAck { round, signature });
    let violated = channel::Notice::PeerViolated(channel::Violation::SignatureInvalid);
    assert_eq!(world.sides[forcer].notices().last(), Some(&violated));
    let signature = crate::harness::forge::sign(
        forcer.peer(),
        world.channel_id(),
        &crate::harness::forge::state_body(round + 2, world.base(forcer), protocol::Hash::ZERO),
    );
    world.hear(forcer, Message::UpdateAck { round: round + 2, signature });
    let violated = channel::Notice::PeerViolated(channel::Violation::RoundNotProposed { got: round + 2 });
    assert_eq!(world.sides[forcer].notices().last(), Some(&violated));
}

#[test]
fn an_answer_lost_on_top_of_a_forced_state_is_found_again() {
    for by in Party::BOTH {
        let (mut world, ids) = World::with(Initiator, vec![puppet(of(Initiator, 50))]);
        world.force(by, vec![forced(ids[0], 0, &pays(10, 10))]).unwrap();
        settle_down(&mut world);
        for payer in Party::BOTH {
            let id = world.pay(payer, 5).unwrap();
            assert!(world.deliver(payer.peer()));
            world.disconnect();
            world.run();
            assert!(matches!(world.fate(payer, id), Fate::Paid(_)), "{:?}", world.fate(payer, id));
            world.assert_agreed();
            world.assert_no_complaints();
            world.force(by, vec![forced(ids[0], 0, &pays(1, 1))]).unwrap();
            settle_down(&mut world);
        }
    }
}

#[test]
fn what_is_proposed_again_in_parts_is_not_paid_twice_when_the_first_round_counts_after_all() {
    // The payer's round lost to nothing but its own forced step, after which the call in it cannot be made again.
    for payer in Party::BOTH {
        let (mut world, ids) = World::with(payer, vec![counter(of(payer, 50), 5)]);
        let payment = |amount: Amount| channel::Change::Transfer(channel::Payment { amount, reference: vec![] });
        let made = world.make(payer, vec![payment(3), call(ids[0], 0, &5_u64), payment(4)]).unwrap();
        assert!(world.deliver(payer.peer()));
        let evidence = world.sides[payer.peer()].machine().evidence().unwrap();
        world.wire[payer].clear();
        let _new = world.chain.censored.insert("channel_snapshot_solo");
        world.force(payer, vec![forced(ids[0], 0, &1_u64)]).unwrap();
        world.mine();
        // A link that breaks would tell; a cheat unlocks it by a word.
        world.hear(payer, Message::ForceProgressLocked { round: u64::MAX });
        world.wire[payer.peer()].clear();
        // Its round is on chain before it has an answer to the second, smaller one.
        world.chain.censored.clear();
        world.kill(payer.peer());
        let call = SnapshotSolo { channel: evidence.channel, payload: evidence.payload.unwrap() };
        world.chain.submit(payer.peer(), Call::ChannelSnapshotSolo(call));
        world.mine();
        for id in &made {
            assert!(matches!(world.fate(payer, *id), Fate::Paid(_)), "{:?}", world.fate(payer, *id));
        }
        assert_eq!(world.sides[payer].was_told(|event| matches!(event, Event::Replaced { .. })), 1);
        let status = world.sides[payer].machine().status();
        world.close_solo(payer).unwrap();
        world.mine_blocks(LOCK + 4);
        assert!(status.pending <= 1);
        assert_eq!(world.sides[payer].turnover().0, 7, "each payment once");
        assert_eq!(world.chain.wealth(payer), 5_000 - 7);
    }
}
