//! Calls that the arbiter makes while the channel is open: both go on from the state after them.

use crate::harness::{
    Initiator, Responder, SHARE, World, apps,
    apps::Tokens,
    contracts::{call, counter, escrow, forced, pays, puppet},
    side::Fate,
};
use channel::{Event, Misuse, Notice, Outcome};
use protocol::{
    Pair, Party, Rejection, Round,
    contracts::{CallFault, ContractId},
};

/// Everything that is said and mined, a few times over.
pub(super) fn settle_down(world: &mut World) {
    for _ in 0..4 {
        world.run();
        world.mine();
    }
    world.run();
}

pub(super) fn told(world: &World, party: Party, test: impl Fn(&Event) -> bool) -> usize {
    world.sides[party].was_told(test)
}

fn replaced(world: &World, party: Party) -> Vec<(Round, Round)> {
    let events = world.sides[party].events.iter();
    events
        .filter_map(|it| if let Event::Replaced { forced, round } = it { Some((*forced, *round)) } else { None })
        .collect()
}

/// A puppet with fifty coins of each party's.
fn rich() -> (World, ContractId) {
    let (world, ids) = World::with(Initiator, vec![puppet(Pair::new(50, 50))]);
    (world, ids[0])
}

#[test]
fn calls_are_forced_and_both_go_on_from_the_state_after_them() {
    for forcer in Party::BOTH {
        let (mut world, contract) = rich();
        let base = world.sides[forcer].round();
        let calls = vec![forced(contract, 5, &pays(30, 0)), forced(contract, 0, &pays(0, 20))];
        world.force(forcer, calls).unwrap();
        assert_eq!(world.sides[forcer].events.last(), Some(&Event::Forcing { changes: Vec::new() }));
        assert!(world.sides[forcer].machine().status().forcing);
        world.mine();
        assert!(!world.sides[forcer].machine().status().forcing);
        assert_eq!(world.rounds(), (base + 2, base + 2));
        for party in Party::BOTH {
            let Some(Event::Executed { round, forced: true, performed }) = world.sides[party].events.last() else {
                panic!("{:?}", world.sides[party].events.last())
            };
            assert_eq!(*round, base + 2);
            let payouts = [Pair::new(30, 0), Pair::new(0, 20)];
            for (performed, (value, payouts)) in performed.iter().zip([5, 0].into_iter().zip(payouts)) {
                assert_eq!((performed.by, performed.change), (forcer, None));
                let output = b"done".to_vec();
                assert_eq!(performed.outcome, Outcome::Called { contract, value, payouts, output, ended: false });
            }
        }
        // Nobody proposes before both have seen it; then the rounds go on.
        let first = [world.pay(forcer, 1).unwrap(), world.pay(forcer.peer(), 2).unwrap()];
        world.run();
        assert!(matches!(world.fate(forcer, first[0]), Fate::Paid(round) if round > base + 2));
        assert!(matches!(world.fate(forcer.peer(), first[1]), Fate::Paid(_)));
        world.assert_agreed();
        let _id = world.make_one(forcer.peer(), call(contract, 0, &pays(0, 55))).unwrap();
        world.run();
        world.assert_agreed();
        world.assert_no_complaints();
        world.shutdown(forcer, 0).unwrap();
        world.run();
        world.mine();
        world.assert_reckoned(None);
    }
}

#[test]
fn one_forced_step_stands_on_another_of_either_party_until_the_quota_is_used() {
    let (mut world, contract) = rich();
    for step in 0..3 {
        for party in Party::BOTH {
            world.force(party, vec![forced(contract, 1, &pays(1, 1))]).unwrap();
            world.mine();
            if step % 2 == 0 {
                world.run();
            }
        }
    }
    world.run();
    let used_up = Err(Misuse::WouldBeRefused(Rejection::ForcedStepsUsedUp { max: 3 }));
    for party in Party::BOTH {
        assert_eq!(world.force(party, vec![forced(contract, 1, &pays(1, 1))]), used_up);
    }
    world.assert_agreed();
    // A newer co-signed state gives a new quota, also before it is on chain.
    let _id = world.pay(Initiator, 1).unwrap();
    world.run();
    for party in Party::BOTH {
        world.force(party, vec![forced(contract, 1, &pays(1, 1))]).unwrap();
        settle_down(&mut world);
    }
    assert!(replaced(&world, Initiator).is_empty() && replaced(&world, Responder).is_empty());
    world.assert_agreed();
    world.assert_no_complaints();
}

#[test]
fn calls_beyond_one_step_are_made_in_several() {
    for forcer in Party::BOTH {
        let (mut world, contract) = rich();
        let before = world.sides[forcer].round();
        let calls = (0..130).map(|_| forced(contract, 0, &pays(0, 0))).collect();
        world.force(forcer, calls).unwrap();
        for made in [64, 128, 130] {
            settle_down(&mut world);
            assert!(world.sides[forcer].round() <= before + 130);
            assert!(world.sides[forcer].round() >= before + made, "{made}");
        }
        assert!(!world.sides[forcer].machine().status().forcing);
        world.assert_agreed();
    }
}

#[test]
fn a_step_that_the_chain_cannot_make_is_tried_with_fewer_calls_and_ends_with_a_word() {
    let (mut world, contract) = rich();
    let _new = world.chain.censored.insert("channel_force_progress");
    world.force(Initiator, (0..5).map(|_| forced(contract, 0, &pays(0, 0))).collect()).unwrap();
    let cannot = || {
        channel::Input::Chain(channel::ChainInput::Undeliverable {
            call: protocol::call::CallKind::ChannelForceProgress,
        })
    };
    // Five calls, two, one; and one alone eight times.
    for tried in 0..10 {
        assert!(world.sides[Initiator].machine().status().forcing, "{tried}");
        world.input(Initiator, cannot()).unwrap();
    }
    assert!(!world.sides[Initiator].machine().status().forcing);
    let failed = |event: &Event| matches!(event, Event::ForceFailed { rejection: Rejection::StepTooLarge, .. });
    assert_eq!(world.sides[Initiator].was_told(failed), 1);
    world.chain.censored.clear();
    let _id = world.pay(Initiator, 5).unwrap();
    world.run();
    world.assert_agreed();
}

#[test]
fn what_the_arbiter_would_refuse_is_refused_to_the_user_at_once() {
    let (mut world, contract) = rich();
    let fault = |fault| Misuse::WouldBeRefused(Rejection::CallFailed { round: 4, fault });
    let base = world.sides[Initiator].round();
    assert_eq!(base, 3);
    let unknown = ContractId([9; 32]);
    for (calls, misuse) in [
        (Vec::new(), Misuse::WouldBeRefused(Rejection::CallsMissing)),
        (vec![forced(contract, 0, &0_u8)], fault(CallFault::Undecodable)),
        (vec![forced(contract, 0, &pays(101, 0))], fault(CallFault::PaysTooMuch { balance: 100 })),
        (vec![forced(unknown, 0, &0_u8)], Misuse::WouldBeRefused(Rejection::ContractNotShown { contract: unknown })),
        (
            vec![forced(contract, SHARE, &pays(0, 0))],
            Misuse::WouldBeRefused(Rejection::CannotAttach { have: SHARE - 50, value: SHARE, reserve: 10 }),
        ),
    ] {
        assert_eq!(world.force(Initiator, calls), Err(misuse));
        assert!(!world.sides[Initiator].machine().status().forcing);
    }
    world.force(Initiator, vec![forced(contract, 0, &pays(1, 0))]).unwrap();
    assert_eq!(world.force(Initiator, vec![forced(contract, 0, &pays(1, 0))]), Err(Misuse::AlreadyForcing));
    settle_down(&mut world);
    world.assert_agreed();
    let _new = world.chain.censored.insert("channel_close_solo");
    world.close_solo(Initiator).unwrap();
    assert_eq!(world.force(Initiator, vec![forced(contract, 0, &pays(1, 0))]), Err(Misuse::AlreadyClosing));
}

#[test]
fn nothing_is_forced_before_the_channel_is_open_and_after_its_end() {
    let mut world = World::new();
    world.open();
    let calls = vec![forced(ContractId([1; 32]), 0, &0_u8)];
    assert_eq!(world.force(Initiator, calls.clone()), Err(Misuse::NotOpen { state: "initialized" }));
    let mut world = World::opened();
    world.shutdown(Initiator, 0).unwrap();
    assert_eq!(world.force(Initiator, calls.clone()), Err(Misuse::NotOpen { state: "closing" }));
    world.run();
    world.mine();
    assert_eq!(world.force(Initiator, calls), Err(Misuse::NotOpen { state: "closed" }));
}

#[test]
fn what_the_arbiter_refuses_in_the_end_is_told_and_the_channel_goes_on() {
    // The token's deadline runs out before the step is in a block.
    let (mut world, ids) = World::with(Initiator, vec![escrow(110)]);
    let _new = world.chain.censored.insert("channel_force_progress");
    world.force(Initiator, vec![forced(ids[0], 20, &Tokens::Issue)]).unwrap();
    let _id = world.pay(Responder, 5).unwrap();
    world.run();
    world.mine_blocks(15);
    let fault = CallFault::Refused;
    let failed = Event::ForceFailed { changes: Vec::new(), rejection: Rejection::CallFailed { round: 4, fault } };
    assert_eq!(told(&world, Initiator, |event| *event == failed), 1);
    settle_down(&mut world);
    world.assert_balances(SHARE + 5, SHARE - 5);
    world.assert_agreed();
    world.assert_no_complaints();
}

#[test]
fn reasons_that_pass_are_waited_for_a_few_times() {
    let (mut world, contract) = rich();
    let calls = vec![forced(contract, 0, &pays(1, 0))];
    world.force(Initiator, calls).unwrap();
    let _new = world.chain.censored.insert("channel_force_progress");
    world.chain.drop_pool();
    let reject = |world: &mut World| {
        let rejection = Rejection::CommitmentMismatch;
        let rejected =
            channel::ChainInput::Rejected { call: protocol::call::CallKind::ChannelForceProgress, rejection };
        world.input(Initiator, channel::Input::Chain(rejected)).unwrap();
    };
    for _ in 0..7 {
        reject(&mut world);
        assert!(world.sides[Initiator].machine().status().forcing);
    }
    reject(&mut world);
    let failed = Event::ForceFailed { changes: Vec::new(), rejection: Rejection::CommitmentMismatch };
    assert_eq!(world.sides[Initiator].events.last(), Some(&failed));
    assert!(!world.sides[Initiator].machine().status().forcing);
    // Some reasons never pass.
    world.force(Initiator, vec![forced(contract, 0, &pays(1, 0))]).unwrap();
    let rejection = Rejection::ForcedStepsUsedUp { max: 3 };
    let rejected = channel::ChainInput::Rejected { call: protocol::call::CallKind::ChannelForceProgress, rejection };
    world.input(Initiator, channel::Input::Chain(rejected)).unwrap();
    assert_eq!(told(&world, Initiator, |event| matches!(event, Event::ForceFailed { .. })), 2);
}

#[test]
fn a_peer_that_is_always_faster_does_not_have_a_forced_step_given_up() {
    let (mut world, contract) = rich();
    world.force(Initiator, vec![forced(contract, 0, &pays(1, 0))]).unwrap();
    let _new = world.chain.censored.insert("channel_force_progress");
    world.chain.drop_pool();
    let rejection = Rejection::CommitmentMismatch;
    let reject = |world: &mut World| {
        for _ in 0..7 {
            let rejected =
                channel::ChainInput::Rejected { call: protocol::call::CallKind::ChannelForceProgress, rejection };
            world.input(Initiator, channel::Input::Chain(rejected)).unwrap();
        }
    };
    reject(&mut world);
    // The peer's own step was there first.
    let (state, payload) = {
        let machine = world.sides[Responder].machine();
        (machine.state().cloned().unwrap(), machine.evidence().unwrap().payload)
    };
    let step = world.forced_step(Responder, &state, payload, vec![forced(contract, 0, &pays(0, 1))]);
    let _was = world.chain.censored.remove("channel_force_progress");
    world.chain.submit(Responder, protocol::call::Call::ChannelForceProgress(step));
    world.mine();
    let _new = world.chain.censored.insert("channel_force_progress");
    world.chain.drop_pool();
    reject(&mut world);
    assert!(world.sides[Initiator].machine().status().forcing, "it is tried on what is there now");
    let _was = world.chain.censored.remove("channel_force_progress");
    settle_down(&mut world);
    assert_eq!(told(&world, Initiator, |event| matches!(event, Event::ForceFailed { .. })), 0);
    world.assert_balances(SHARE - 50 + 1, SHARE - 50 + 1);
}

#[test]
fn both_force_at_once_and_each_call_is_made_once() {
    for first in Party::BOTH {
        let (mut world, contract) = rich();
        for party in [first, first.peer()] {
            world.force(party, vec![forced(contract, 2, &pays(1, 1))]).unwrap();
        }
        settle_down(&mut world);
        for party in Party::BOTH {
            assert_eq!(world.outcomes(party).len(), 3, "one creation and two calls");
        }
        world.assert_balances(SHARE - 50, SHARE - 50);
        world.assert_agreed();
        world.assert_no_complaints();
    }
}

#[test]
fn proposals_that_cross_a_forced_step_are_made_on_top_of_it() {
    for forcer in Party::BOTH {
        for lagging in [None, Some(Initiator), Some(Responder)] {
            for delivered in 0..4 {
                let (mut world, contract) = rich();
                if let Some(lagging) = lagging {
                    world.lag[lagging] = 2;
                }
                let theirs = world.pay(forcer.peer(), 6).unwrap();
                let ours = world.pay(forcer, 5).unwrap();
                for n in 0..delivered {
                    let _any = world.deliver(if n % 2 == 0 { forcer } else { forcer.peer() });
                }
                world.force(forcer, vec![forced(contract, 1, &pays(0, 30))]).unwrap();
                let more = world.make_one(forcer.peer(), call(contract, 0, &pays(9, 0))).unwrap();
                world.mine();
                settle_down(&mut world);
                world.lag = Pair::default();
                settle_down(&mut world);
                assert!(matches!(world.fate(forcer, ours), Fate::Paid(_)));
                assert!(matches!(world.fate(forcer.peer(), theirs), Fate::Paid(_)));
                assert!(matches!(world.fate(forcer.peer(), more), Fate::Paid(_)));
                world.assert_agreed();
                world.assert_no_complaints();
            }
        }
    }
}

#[test]
fn operations_and_closes_that_cross_a_forced_step_come_after_it() {
    for forcer in Party::BOTH {
        for lag in [0, 2] {
            for asker in Party::BOTH {
                let (mut world, contract) = rich();
                world.lag[forcer.peer()] = lag;
                world.force(forcer, vec![forced(contract, 1, &pays(0, 30))]).unwrap();
                world.deposit(asker, 44).unwrap();
                world.run();
                world.mine();
                world.run();
                world.withdraw(asker.peer(), 11).unwrap();
                for _ in 0..3 {
                    settle_down(&mut world);
                }
                world.lag = Pair::default();
                for _ in 0..16 {
                    settle_down(&mut world);
                }
                assert!(replaced(&world, Initiator).is_empty(), "nothing is signed over what is forced");
                assert_eq!(world.sides[asker].deposited, 44);
                assert_eq!(world.sides[asker.peer()].withdrawn, 11);
                world.assert_agreed();
                world.assert_no_complaints();
            }
        }
    }
}

#[test]
fn a_close_offered_over_a_forced_step_is_refused_for_now() {
    // The contract is empty, and gets a coin by the step.
    for lag in [0, 2] {
        let mut world = World::opened_with(Responder, |config| config.close_validity = 4);
        let ids = world.create(Initiator, vec![counter(Pair::default(), 9)]);
        world.lag[Responder] = lag;
        world.force(Initiator, vec![forced(ids[0], 1, &1_u64)]).unwrap();
        if lag > 0 {
            world.mine();
        }
        world.shutdown(Responder, 0).unwrap();
        world.run();
        assert_eq!(told(&world, Responder, |event| matches!(event, Event::ShutdownRefused { .. })), 1);
        world.mine();
        world.lag = Pair::default();
        // Both have seen the step while the close was under way, and go on from it once the close has expired.
        world.mine_blocks(7);
        world.run();
        assert_eq!(world.states(), ("open", "open"));
        for party in Party::BOTH {
            let id = world.pay(party, 3).unwrap();
            world.run();
            assert!(matches!(world.fate(party, id), Fate::Paid(_)), "{party:?} with a lag of {lag}");
        }
        world.assert_agreed();
        world.assert_no_complaints();
    }
}

#[test]
fn what_goes_on_from_a_forced_state_does_not_replace_it() {
    // Neither a deposit on top of it, nor an own round on top of it that the peer puts on chain without answering.
    for forcer in Party::BOTH {
        let (mut world, contract) = rich();
        world.force(forcer, vec![forced(contract, 1, &pays(0, 30))]).unwrap();
        settle_down(&mut world);
        world.deposit(forcer.peer(), 10).unwrap();
        settle_down(&mut world);
        assert_eq!((replaced(&world, Initiator), replaced(&world, Responder)), (Vec::new(), Vec::new()));
        world.assert_agreed();
        world.force(forcer, vec![forced(contract, 1, &pays(0, 30))]).unwrap();
        settle_down(&mut world);
        let _id = world.pay(forcer, 7).unwrap();
        assert!(world.deliver(forcer.peer()));
        world.wire[forcer].clear();
        let evidence = world.sides[forcer.peer()].machine().evidence().unwrap();
        let call = protocol::call::SnapshotSolo { channel: evidence.channel, payload: evidence.payload.unwrap() };
        world.chain.submit(forcer.peer(), protocol::call::Call::ChannelSnapshotSolo(call));
        settle_down(&mut world);
        assert_eq!((replaced(&world, Initiator), replaced(&world, Responder)), (Vec::new(), Vec::new()));
        world.assert_agreed();
        world.assert_no_complaints();
    }
}

#[test]
fn blocks_told_again_change_nothing_whatever_stood_in_them() {
    for forcer in Party::BOTH {
        for slow in [None, Some(Initiator), Some(Responder)] {
            let (mut world, contract) = rich();
            let state = world.sides[forcer].machine().state().unwrap().clone();
            let payload = world.sides[forcer].machine().evidence().unwrap().payload;
            // Two steps in one block, the second on top of the first.
            let first = vec![forced(contract, 1, &pays(1, 1))];
            let evidence = world.sides[forcer].machine().evidence().unwrap();
            let snapshot = protocol::call::SnapshotSolo { channel: evidence.channel, payload: payload.unwrap() };
            world.chain.submit(forcer, protocol::call::Call::ChannelSnapshotSolo(snapshot));
            world.force_by_hand(forcer, &state, payload, first.clone());
            let mut after = World::with(Initiator, vec![puppet(Pair::new(50, 50))]).0;
            after.force_by_hand(forcer, &state, payload, first.clone());
            after.mine();
            let then = after.sides[forcer].machine().state().unwrap().clone();
            let second = after.forced_step(forcer, &then, None, first);
            world.chain.submit(forcer, protocol::call::Call::ChannelForceProgress(second));
            if let Some(slow) = slow {
                world.kill(slow);
            }
            world.mine();
            if let Some(slow) = slow {
                world.restart(slow);
            }
            let told_before = Pair::new(world.outcomes(Initiator), world.outcomes(Responder));
            assert_eq!(told_before.initiator.len(), 3);
            for party in Party::BOTH {
                // The last block is told again after a crash.
                world.crash(party);
                assert_eq!(world.outcomes(party), told_before[party]);
                assert!(!world.sides[party].machine().status().stale_store);
            }
            settle_down(&mut world);
            world.assert_agreed();
            world.assert_no_complaints();
        }
    }
}

#[test]
fn a_side_that_was_down_finds_the_forced_steps_and_goes_on_from_them() {
    for down in Party::BOTH {
        let (mut world, contract) = rich();
        world.kill(down);
        for _ in 0..2 {
            world.force(down.peer(), vec![forced(contract, 1, &pays(1, 1))]).unwrap();
            world.mine_blocks(2);
        }
        world.restart(down);
        assert_eq!(world.sides[down].round(), 5);
        world.run();
        for party in Party::BOTH {
            let _id = world.pay(party, 4).unwrap();
            world.run();
        }
        world.assert_agreed();
        world.assert_no_complaints();
    }
}

#[test]
fn contracts_at_a_height_see_the_block_of_the_step() {
    let (mut world, ids) = World::with(Initiator, vec![escrow(106)]);
    // In the last block before the deadline, and one too late.
    world.mine_blocks(105 - 1 - world.chain.head());
    world.force(Responder, vec![forced(ids[0], 20, &Tokens::Issue)]).unwrap();
    world.mine();
    assert_eq!(world.chain.head(), 105);
    world.run();
    assert_eq!(world.outcomes(Initiator).len(), 2);
    world.assert_agreed();
    let refused = Rejection::CallFailed { round: 5, fault: CallFault::Refused };
    let late = vec![forced(ids[0], 20, &Tokens::Issue)];
    assert_eq!(world.force(Responder, late), Err(Misuse::WouldBeRefused(refused)));
    world.force(Responder, vec![forced(ids[0], 0, &Tokens::Redeem(20))]).unwrap();
    settle_down(&mut world);
    world.assert_balances(SHARE, SHARE);
    world.assert_agreed();
}

#[test]
fn what_an_app_allows_from_the_next_block_on_is_asked_for_again_where_the_arbiter_was_asked_in_this_one() {
    let (mut world, contract) = rich();
    let _new = world.chain.censored.insert("channel_force_progress");
    world.force(Initiator, vec![forced(contract, 0, &pays(1, 0))]).unwrap();
    let rejection = Rejection::CallFailed { round: 4, fault: CallFault::Refused };
    let rejected = channel::ChainInput::Rejected { call: protocol::call::CallKind::ChannelForceProgress, rejection };
    world.input(Initiator, channel::Input::Chain(rejected)).unwrap();
    assert!(world.sides[Initiator].machine().status().forcing);
    let _was = world.chain.censored.remove("channel_force_progress");
    world.chain.drop_pool();
    settle_down(&mut world);
    assert_eq!(told(&world, Initiator, |event| matches!(event, Event::ForceFailed { .. })), 0);
    assert_eq!(told(&world, Initiator, |event| matches!(event, Event::Executed { forced: true, .. })), 1);
    world.assert_agreed();
}

#[test]
fn an_app_that_stands_nowhere_cannot_be_forced() {
    let (mut world, contract) = rich();
    let gone = world.chain.ledger.deployed.remove(&apps::PUPPET.account);
    assert!(gone.is_some());
    world.force(Initiator, vec![forced(contract, 0, &pays(100, 0))]).unwrap();
    settle_down(&mut world);
    let fault = CallFault::CodeNotThere;
    let failed = Event::ForceFailed { changes: Vec::new(), rejection: Rejection::CallFailed { round: 4, fault } };
    assert_eq!(told(&world, Initiator, |event| *event == failed), 1);
    assert!(!world.sides[Initiator].notices().any(|notice| matches!(notice, Notice::PendingReplay { .. })));
    world.assert_agreed();
}
