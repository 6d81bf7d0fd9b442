//! Stories with contracts once more, with a crash after every commit and before every effect.

use crate::harness::{
    CrashPlan, Initiator, LOCK, Responder, World,
    contracts::{call, counter, escrow, forced, pays, puppet},
    side::Fate,
};
use channel::Change;
use protocol::{Amount, Pair, Party, contracts::ContractId};

type Script = fn(&mut World, &[ContractId]);

/// Delivers, decides, mines and reconnects until nothing changes any more.
fn converge(world: &mut World) {
    for _ in 0..5 {
        for party in Party::BOTH {
            world.run();
            world.consent(party);
        }
        world.run();
        world.mine();
    }
    world.run();
}

fn payment(amount: Amount) -> Change {
    Change::Transfer(channel::Payment { amount, reference: Vec::new() })
}

/// A counter and a puppet of the initiator's, a hundred coins in the puppet.
fn begin() -> (World, Vec<ContractId>) {
    let mut world = World::new();
    for party in Party::BOTH {
        world.sides[party].config.force_after = Some(500);
    }
    world.open();
    world.run();
    world.mine();
    world.run();
    let ids = world.create(Initiator, vec![counter(Pair::default(), 1_000), puppet(Pair::new(60, 40))]);
    (world, ids)
}

/// Runs a story with a crash. Says how many effects the commit had at which it came.
fn run(script: Script, plan: CrashPlan) -> Option<usize> {
    let (mut world, ids) = begin();
    let first = world.sides[plan.party].commits;
    world.crash_plan = Some(CrashPlan { commit: plan.commit + first, ..plan });
    script(&mut world, &ids);
    converge(&mut world);
    world.crash_plan = None;
    if world.states() == ("open", "open") {
        world.assert_agreed();
        for party in Party::BOTH {
            let ids = [world.pay(party, 1).unwrap(), world.make_one(party, call(ids[0], 0, &1_u64)).unwrap()];
            world.run();
            assert!(ids.iter().all(|id| matches!(world.fate(party, *id), Fate::Paid(_))), "{plan:?}");
        }
        world.assert_agreed();
    } else {
        let over = Party::BOTH.into_iter().all(|party| world.sides[party].is_over() || world.is_residual(party));
        assert!(over, "{:?} with {plan:?}", world.states());
        world.assert_reckoned(None);
    }
    let outdated = Party::BOTH
        .into_iter()
        .any(|party| world.sides[party].channel.as_ref().is_some_and(|channel| channel.status().stale_store));
    assert!(!outdated, "{plan:?}");
    world.crashed_with
}

/// Every commit of one side, and after each of its effects.
fn crash_everywhere(script: Script) {
    let mut crashes = 0;
    for party in Party::BOTH {
        for both in [false, true] {
            for commit in 0.. {
                let Some(of) = run(script, CrashPlan { party, commit, effects: 0, both }) else { break };
                for effects in 1..=of {
                    let _same = run(script, CrashPlan { party, commit, effects, both });
                }
                crashes += of + 1;
            }
        }
    }
    assert!(crashes > 10, "{crashes} crashes");
}

#[test]
fn lives_of_contracts_survive_every_crash() {
    crash_everywhere(|world, ids| {
        let _made = world.make(Initiator, vec![call(ids[0], 2, &1_u64), payment(3), escrow(1_000)]);
        let _made = world.make(Responder, vec![puppet(Pair::new(1, 2)), call(ids[0], 5, &1_u64)]);
        converge(world);
        let _made = world.make_one(Responder, Change::RemoveContract { contract: ids[1], shares: Pair::new(70, 30) });
        converge(world);
        let _refused = world.deposit(Initiator, 50);
        let _made = world.make_one(Initiator, call(ids[0], 0, &1_u64));
        converge(world);
    });
}

#[test]
fn forced_steps_survive_every_crash() {
    crash_everywhere(|world, ids| {
        let _made = world.make_one(Responder, call(ids[0], 1, &1_u64));
        let _refused = world.force(Initiator, vec![forced(ids[1], 4, &pays(20, 1)), forced(ids[0], 0, &1_u64)]);
        world.mine();
        let _refused = world.force(Responder, vec![forced(ids[1], 0, &pays(1, 20))]);
        converge(world);
        let _refused = world.withdraw(Responder, 30);
        let _paid = world.pay(Initiator, 9);
        converge(world);
    });
}

#[test]
fn calls_forced_because_the_peer_is_silent_survive_every_crash() {
    crash_everywhere(|world, ids| {
        // The peer answers, and the answer is lost with the link.
        let _made = world.make(Initiator, vec![payment(3), call(ids[0], 2, &1_u64), call(ids[1], 0, &pays(9, 0))]);
        let _made = world.make(Initiator, vec![call(ids[0], 5, &1_u64), payment(4)]);
        let _heard = world.deliver(Responder);
        world.disconnect();
        world.tick(0);
        world.tick(600);
        world.mine();
        world.run();
        world.tick(600);
        world.mine();
        converge(world);
    });
}

#[test]
fn two_that_force_each_other_survive_every_crash() {
    crash_everywhere(|world, ids| {
        world.disconnect();
        for party in Party::BOTH {
            let _made = world.make(party, vec![payment(3), call(ids[0], 2, &1_u64), payment(1)]);
        }
        world.tick(0);
        world.tick(600);
        world.mine_blocks(3);
        converge(world);
    });
}

#[test]
fn ends_with_coins_in_contracts_survive_every_crash() {
    crash_everywhere(|world, ids| {
        let _made = world.make_one(Initiator, call(ids[0], 2, &1_u64));
        converge(world);
        let _refused = world.close_solo(Responder);
        world.mine();
        let _refused = world.force(Initiator, vec![forced(ids[1], 0, &pays(10, 5))]);
        world.mine_blocks(LOCK + 5);
        let _refused = world.force(Initiator, vec![forced(ids[0], 0, &999_u64)]);
        world.mine();
        let _refused = world.force(Responder, vec![forced(ids[1], 0, &pays(50, 20)), forced(ids[1], 0, &pays(10, 5))]);
        world.mine_blocks(2);
    });
}

#[test]
fn a_cheat_that_forces_old_calls_is_answered_after_every_crash() {
    crash_everywhere(|world, ids| {
        let machine = world.sides[Responder].load().unwrap();
        let (state, payload) = (machine.state().unwrap().clone(), machine.evidence().unwrap().payload);
        let _made = world.make_one(Initiator, call(ids[1], 5, &pays(0, 100)));
        converge(world);
        let old = vec![forced(ids[1], 0, &pays(0, 100))];
        if let Some(step) = world.try_forced_step(Responder, &state, payload, old) {
            world.chain.submit(Responder, protocol::call::Call::ChannelForceProgress(step));
        }
        converge(world);
    });
}
