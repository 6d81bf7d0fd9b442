//! Every story once more, with a crash after every commit and before every effect: what was agreed stays, each payment counts once.

use crate::harness::{CrashPlan, Initiator, LOCK, PACE, Responder, SHARE, VALIDITY, World, effects_of, side::Fate};
use channel::{Channel, CloseReason, Command, Context, Effect, Event, Input};
use protocol::{Party, call::Call};

/// What users do, and how it has to end.
struct Story {
    name: &'static str,
    script: fn(&mut World),
    /// Whether the channel has ended afterwards.
    ends: bool,
}

/// Delivers, mines and reconnects until nothing changes any more.
fn converge(world: &mut World) {
    for _ in 0..3 {
        world.run();
        world.mine();
    }
    world.run();
    come_back(world);
}

/// Whoever has parted comes back at the very end.
fn come_back(world: &mut World) {
    for party in Party::BOTH {
        let _refused = world.command(party, Command::Rejoin);
    }
    world.run();
}

fn pay(world: &mut World, party: Party, amount: u128) {
    // Where the opening came to nothing there is nothing to pay.
    let _refused = world.pay(party, amount);
}

const STORIES: &[Story] = &[
    Story {
        name: "opening",
        script: |world| {
            world.open();
            converge(world);
        },
        ends: false,
    },
    Story {
        name: "payments one way, batched",
        script: |world| {
            (0..5).for_each(|_| pay(world, Initiator, 10));
            converge(world);
            (0..3).for_each(|_| pay(world, Responder, 7));
            converge(world);
        },
        ends: false,
    },
    Story {
        name: "payments that cross",
        script: |world| {
            for _ in 0..3 {
                pay(world, Initiator, 10);
                pay(world, Responder, 4);
                pay(world, Initiator, 1);
                converge(world);
            }
        },
        ends: false,
    },
    Story {
        name: "a close in agreement",
        script: |world| {
            pay(world, Responder, 70);
            converge(world);
            let _refused = world.shutdown(Initiator, 3);
            converge(world);
            world.mine_blocks(12);
        },
        ends: true,
    },
    Story {
        name: "closes that cross each other and a payment",
        script: |world| {
            pay(world, Responder, 70);
            pay(world, Initiator, 20);
            let _refused = world.shutdown(Initiator, 3);
            let _refused = world.shutdown(Responder, 0);
            converge(world);
            world.mine_blocks(12);
        },
        ends: true,
    },
    Story {
        name: "a close that expires, and another",
        script: |world| {
            let _new = world.chain.censored.insert("channel_close_mutual");
            pay(world, Responder, 70);
            let _refused = world.shutdown(Initiator, 3);
            converge(world);
            world.mine_blocks(105);
            converge(world);
            pay(world, Responder, 5);
            converge(world);
            let _old = world.chain.censored.remove("channel_close_mutual");
            let _refused = world.shutdown(Responder, 0);
            converge(world);
            world.mine_blocks(12);
        },
        ends: true,
    },
    Story {
        name: "a deposit, and payments while it is under way",
        script: |world| {
            let _refused = world.deposit(Initiator, 300);
            pay(world, Initiator, 10);
            converge(world);
            pay(world, Responder, 20);
            let _refused = world.deposit(Responder, 200);
            pay(world, Initiator, 5);
            converge(world);
        },
        ends: false,
    },
    Story {
        name: "a withdrawal, and other delegates",
        script: |world| {
            pay(world, Initiator, 10);
            let _refused = world.withdraw(Responder, 300);
            converge(world);
            let _refused = world.command(
                Initiator,
                Command::SetDelegates {
                    delegates: vec![protocol::terms::Delegate::defender(protocol::AccountId([9; 32]))],
                },
            );
            converge(world);
            pay(world, Responder, 20);
            converge(world);
        },
        ends: false,
    },
    Story {
        name: "operations that cross each other and payments",
        script: |world| {
            let _refused = world.deposit(Initiator, 300);
            let _refused = world.withdraw(Responder, 200);
            pay(world, Initiator, 10);
            pay(world, Responder, 20);
            converge(world);
            converge(world);
            let _refused = world.withdraw(Initiator, 50);
            let _refused = world.deposit(Responder, 70);
            pay(world, Responder, 5);
            converge(world);
            converge(world);
        },
        ends: false,
    },
    Story {
        name: "a deposit that expires, and another",
        script: |world| {
            let _new = world.chain.censored.insert("channel_deposit");
            let _refused = world.deposit(Initiator, 300);
            pay(world, Responder, 20);
            converge(world);
            world.mine_blocks(52);
            converge(world);
            let _old = world.chain.censored.remove("channel_deposit");
            let _refused = world.deposit(Initiator, 30);
            converge(world);
            converge(world);
        },
        ends: false,
    },
    Story {
        name: "parting and coming back",
        script: |world| {
            pay(world, Responder, 20);
            let _refused = world.command(Initiator, Command::Leave);
            converge(world);
            pay(world, Initiator, 5);
            let _refused = world.command(Responder, Command::Rejoin);
            converge(world);
        },
        ends: false,
    },
    Story {
        name: "a close by one side",
        script: |world| {
            pay(world, Responder, 70);
            converge(world);
            pay(world, Initiator, 5);
            let _refused = world.close_solo(Initiator);
            converge(world);
            world.mine_blocks(2 * LOCK + 5);
        },
        ends: true,
    },
    Story {
        name: "a close on an old state, slashed",
        script: |world| {
            let old = world.sides[Initiator].channel.as_ref().and_then(Channel::evidence);
            pay(world, Responder, 70);
            converge(world);
            if let Some(old) = old {
                world.chain.submit(Initiator, Call::ChannelCloseSolo(old));
            }
            converge(world);
            world.mine_blocks(2 * LOCK + 5);
        },
        ends: true,
    },
];

/// Runs a story with a crash, and holds the end against what must be true whatever crashed. Says whether the crash came, and how many effects
/// its commit had.
fn run(story: &Story, plan: CrashPlan) -> Option<usize> {
    let opening = story.name == "opening";
    let mut world = if opening { World::new() } else { World::opened() };
    let first = world.sides[plan.party].commits;
    world.crash_plan = Some(CrashPlan { commit: plan.commit + first, ..plan });
    (story.script)(&mut world);
    converge(&mut world);
    if opening {
        world.mine_blocks(VALIDITY + 2);
        converge(&mut world);
    }
    let context = format!("{} with {plan:?}: {:?}", story.name, world.states());
    if story.ends {
        for party in Party::BOTH {
            let reason = world.sides[party].closed();
            assert!(matches!(reason, Some(CloseReason::Mutual { .. } | CloseReason::Settled { .. })), "{context}");
            assert!(world.sides[party].was_told(|event| matches!(event, Event::Closed(_))) > 0, "{context}");
        }
        assert!(world.chain.is_closed(), "{context}");
        world.assert_books();
    } else if world.states() == ("open", "open") {
        world.assert_agreed();
        // It still works.
        for party in Party::BOTH {
            let id = world.pay(party, 1).unwrap();
            world.run();
            assert!(matches!(world.sides[party].sent[&id].1, Fate::Paid(_)), "{context}");
        }
        world.assert_agreed();
    } else {
        assert!(opening && world.sides[Initiator].is_over() && world.sides[Responder].is_over(), "{context}");
        assert!(world.chain.is_closed(), "{context}");
        assert_eq!(world.chain.wealth(Initiator), 5_000, "{context}");
    }
    world.crashed_with
}

/// Every commit of one side, and after each of its effects.
fn crash_everywhere(name: &str) {
    let story = STORIES.iter().find(|story| story.name == name).unwrap();
    let mut crashes = 0;
    for party in Party::BOTH {
        for both in [false, true] {
            for commit in 0.. {
                let mut effects = 0;
                let Some(of) = run(story, CrashPlan { party, commit, effects, both }) else { break };
                crashes += 1;
                while effects < of {
                    effects += 1;
                    let _same = run(story, CrashPlan { party, commit, effects, both });
                    crashes += 1;
                }
            }
        }
    }
    assert!(crashes > 4, "{crashes} crashes");
}

#[test]
fn an_opening_survives_every_crash_or_costs_nothing() {
    crash_everywhere("opening");
}

#[test]
fn payments_survive_every_crash() {
    crash_everywhere("payments one way, batched");
}

#[test]
fn crossing_payments_survive_every_crash() {
    crash_everywhere("payments that cross");
}

#[test]
fn a_close_in_agreement_survives_every_crash() {
    crash_everywhere("a close in agreement");
}

#[test]
fn crossing_closes_survive_every_crash() {
    crash_everywhere("closes that cross each other and a payment");
}

#[test]
fn a_close_that_expires_survives_every_crash() {
    crash_everywhere("a close that expires, and another");
}

#[test]
fn deposits_survive_every_crash() {
    crash_everywhere("a deposit, and payments while it is under way");
}

#[test]
fn withdrawals_and_other_delegates_survive_every_crash() {
    crash_everywhere("a withdrawal, and other delegates");
}

#[test]
fn crossing_operations_survive_every_crash() {
    crash_everywhere("operations that cross each other and payments");
}

#[test]
fn a_deposit_that_expires_survives_every_crash() {
    crash_everywhere("a deposit that expires, and another");
}

#[test]
fn parting_survives_every_crash() {
    crash_everywhere("parting and coming back");
}

#[test]
fn a_close_by_one_side_survives_every_crash() {
    crash_everywhere("a close by one side");
}

#[test]
fn the_defence_survives_every_crash() {
    crash_everywhere("a close on an old state, slashed");
}

#[test]
fn a_side_that_was_down_while_its_channel_opened_finds_it_open() {
    for down in Party::BOTH {
        let mut world = World::new();
        world.open();
        world.run();
        assert_eq!(world.states(), ("signed", "signed"));
        world.kill(down);
        // Longer than the opening was valid.
        world.mine_blocks(VALIDITY + 5);
        world.restart(down);
        world.run();
        assert_eq!(world.states(), ("open", "open"));
        assert_eq!(world.sides[down].was_told(|event| matches!(event, Event::Closed(_))), 0);
        world.assert_agreed();
    }
}

#[test]
fn a_side_that_was_down_while_its_channel_closed_in_agreement_hears_of_nothing_else() {
    for down in Party::BOTH {
        let mut world = World::opened();
        world.shutdown(Initiator, 0).unwrap();
        world.run();
        world.kill(down);
        let validity = world.sides[down].config.close_validity;
        world.mine_blocks(validity + 5);
        world.restart(down);
        assert!(matches!(world.sides[down].closed(), Some(CloseReason::Mutual { .. })));
        assert_eq!(world.sides[down].was_told(|event| matches!(event, Event::ShutdownRefused { .. })), 0);
        world.assert_paid_out(SHARE, SHARE);
    }
}

/// What a machine that has just been started asks of the arbiter, before it has heard anything.
fn asks_when_started(world: &World, party: Party) -> Vec<&'static str> {
    let side = &world.sides[party];
    let mut channel = side.load().unwrap();
    let ctx = side.context(0, PACE);
    let step = channel.handle(Input::Restarted, &ctx).unwrap();
    assert!(
        !step.is_commit() && channel.save() == *side.stored.as_ref().unwrap(),
        "nothing is decided before the chain has spoken"
    );
    let calls = effects_of(step).into_iter().filter_map(|effect| match effect {
        Effect::Submit(call) => Some(call.name()),
        _ => None,
    });
    calls.collect()
}

#[test]
fn what_was_asked_of_the_arbiter_is_asked_again_at_once() {
    let mut world = World::new();
    world.open();
    world.run();
    assert_eq!(asks_when_started(&world, Initiator), ["channel_create"]);
    assert!(asks_when_started(&world, Responder).is_empty());

    let mut world = World::opened();
    assert!(asks_when_started(&world, Initiator).is_empty());
    world.shutdown(Initiator, 0).unwrap();
    world.run();
    assert_eq!(asks_when_started(&world, Initiator), ["channel_close_mutual"]);

    let mut world = World::opened();
    let old = world.sides[Initiator].machine().evidence().unwrap();
    let _id = world.pay(Initiator, 5).unwrap();
    world.run();
    world.close_solo(Responder).unwrap();
    assert_eq!(asks_when_started(&world, Responder), ["channel_close_solo"]);
    let _new = world.chain.censored.insert("channel_slash");
    world.chain.drop_pool();
    world.chain.submit(Initiator, Call::ChannelCloseSolo(old));
    world.mine();
    assert_eq!(asks_when_started(&world, Responder), ["channel_slash"]);
}

#[test]
fn what_the_chain_says_twice_is_told_once_and_an_end_is_told_again() {
    let mut world = World::opened();
    world.close_solo(Initiator).unwrap();
    world.mine();
    for party in Party::BOTH {
        // The last block is told again after a crash.
        world.crash(party);
        assert_eq!(world.sides[party].was_told(|event| matches!(event, Event::ClosingSolo { .. })), 1);
    }
    world.mine_blocks(LOCK + 2);
    for party in Party::BOTH {
        assert_eq!(world.sides[party].was_told(|event| matches!(event, Event::Closed(_))), 1);
        let bytes = world.sides[party].stored.clone().unwrap();
        let told_again = |bytes: &[u8]| {
            let mut channel = Channel::load(bytes, [], [], []).unwrap();
            let ctx = Context {
                key: &world.sides[party].key,
                now: 0,
                head: world.sides[party].seen,
                apps: &channel::NoApps,
                pace: PACE,
                transfers: &channel::transfer::NoTransfers,
            };
            let step = channel.handle(Input::Restarted, &ctx).unwrap();
            let effects = effects_of(step);
            let closed = effects
                .iter()
                .filter(|it| matches!(it, Effect::Deliver { event: Event::Closed(_), .. } | Effect::Forget));
            let up_to = world.sides[party].taken;
            let _none = channel.handle(Input::EventsAcked { up_to }, &ctx).unwrap();
            (closed.count(), channel.save())
        };
        let (times, taken) = told_again(&bytes);
        assert_eq!(times, 1, "so that it can be forgotten");
        assert_eq!(told_again(&taken).0, 1, "even where the user has taken it");
    }
}

#[test]
fn a_cheat_that_waits_for_the_peers_crash_is_slashed_when_it_is_back_in_time() {
    let mut world = World::opened();
    let old = world.sides[Initiator].machine().evidence().unwrap();
    let _id = world.pay(Initiator, 500).unwrap();
    world.run();
    world.kill(Responder);
    // The cheat's own machine would slash: it sleeps too.
    world.kill(Initiator);
    world.chain.submit(Initiator, Call::ChannelCloseSolo(old));
    world.mine_blocks(LOCK - 2);
    world.restart(Responder);
    world.mine_blocks(LOCK + 5);
    world.assert_paid_out(SHARE - 500, SHARE + 500);
}
