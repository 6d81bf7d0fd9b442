//! Stores that may be old: what a user puts on chain out of one waits for the peer's word, or for its own (R6.6b).

use crate::harness::{
    Initiator, LOCK, PENALTY, SHARE, World,
    contracts::{call, forced, of, pays, puppet},
};
use channel::{Certainty, Command, Misuse, Notice, SoloStep};
use protocol::{Party, contracts::ContractId};

const CLOSE: &str = "channel_close_solo";
const BY_PEER: Command = Command::CloseSolo { certainty: Certainty::ConfirmedByPeer };
const BY_USER: Command = Command::CloseSolo { certainty: Certainty::OwnStoreIsNewest };

/// A channel in which `old` was paid 30 has paid 200 back and was paid 1, and was started again, without a link, on the store from between.
fn put_back(old: Party) -> World {
    let mut world = World::opened();
    let _id = world.pay(old.peer(), 30).unwrap();
    world.run();
    let copy = world.sides[old].copy();
    let _id = world.pay(old, 200).unwrap();
    world.run();
    // By agreeing to this one it has shown that it held a newer state than the copy's.
    let _id = world.pay(old.peer(), 1).unwrap();
    world.run();
    world.kill(old);
    let side = &mut world.sides[old];
    (side.stored, side.kept) = copy;
    side.agreed = 0;
    side.sent.clear();
    world.restart(old);
    world
}

/// A channel with a contract that holds 50 coins of the initiator's.
fn with_puppet() -> (World, ContractId) {
    let (world, ids) = World::with(Initiator, vec![puppet(of(Initiator, 50))]);
    (world, ids[0])
}

fn was_noticed(world: &World, party: Party, wanted: &Notice) -> bool {
    world.sides[party].notices().any(|notice| notice == wanted)
}

#[test]
fn a_close_right_after_a_start_waits_for_the_peer_and_is_not_made_on_an_old_store() {
    for old in Party::BOTH {
        let mut world = put_back(old);
        world.command(old, BY_PEER).unwrap();
        assert_eq!(world.sides[old].machine().status().awaits_peer_confirmation, Some(SoloStep::Close));
        assert!(was_noticed(&world, old, &Notice::AwaitsPeerConfirmation { step: SoloStep::Close }));
        world.mine_blocks(3);
        assert_eq!(world.chain.times_asked(old, CLOSE), 0, "it waits");
        world.run();
        let given_up = Notice::SoloStepCancelled { step: SoloStep::Close, why: Misuse::StaleStore };
        assert!(was_noticed(&world, old, &given_up));
        assert_eq!(world.sides[old].machine().status().awaits_peer_confirmation, None);
        world.mine_blocks(LOCK);
        assert_eq!(world.chain.times_asked(old, CLOSE), 0, "and no penalty is due");
        // The peer can close, and each has what was agreed last.
        world.close_solo(old.peer()).unwrap();
        world.mine_blocks(LOCK + 5);
        let (ours, peers) = (SHARE - 169, SHARE + 169);
        if old == Initiator { world.assert_paid_out(ours, peers) } else { world.assert_paid_out(peers, ours) }
    }
}

#[test]
fn a_close_on_an_old_store_that_its_user_vouches_for_costs_the_penalty() {
    let mut world = put_back(Initiator);
    world.command(Initiator, BY_USER).unwrap();
    world.mine_blocks(3 * LOCK);
    world.run();
    world.mine_blocks(LOCK);
    world.assert_paid_out(SHARE - 169 - PENALTY, SHARE + 169 + PENALTY);
}

#[test]
fn a_close_that_waited_is_made_when_the_peer_knows_of_nothing_newer() {
    for party in Party::BOTH {
        let mut world = World::opened();
        let _id = world.pay(party, 30).unwrap();
        world.run();
        world.crash(party);
        world.command(party, BY_PEER).unwrap();
        world.mine();
        assert_eq!(world.chain.times_asked(party, CLOSE), 0);
        world.run();
        assert_eq!(world.chain.times_asked(party, CLOSE), 1);
        assert!(!was_noticed(
            &world,
            party,
            &Notice::SoloStepCancelled { step: SoloStep::Close, why: Misuse::StaleStore }
        ));
        world.mine_blocks(LOCK + 5);
        let (ours, peers) = (SHARE - 30, SHARE + 30);
        if party == Initiator { world.assert_paid_out(ours, peers) } else { world.assert_paid_out(peers, ours) }
    }
}

#[test]
fn a_close_that_waits_in_vain_is_made_when_its_user_vouches_for_the_store() {
    let mut world = World::opened();
    world.kill(Initiator.peer());
    world.crash(Initiator);
    world.command(Initiator, BY_PEER).unwrap();
    world.mine_blocks(LOCK);
    assert_eq!(world.chain.times_asked(Initiator, CLOSE), 0);
    world.command(Initiator, BY_USER).unwrap();
    assert_eq!(world.chain.times_asked(Initiator, CLOSE), 1);
    world.mine_blocks(LOCK + 5);
    world.assert_paid_out(SHARE, SHARE);
}

#[test]
fn who_has_run_since_the_opening_and_who_has_heard_the_peer_once_waits_for_nobody() {
    for restarted in [false, true] {
        let mut world = World::opened();
        if restarted {
            world.crash(Initiator);
            world.run();
        }
        world.disconnect();
        world.command(Initiator, BY_PEER).unwrap();
        assert_eq!(world.chain.times_asked(Initiator, CLOSE), 1);
    }
}

#[test]
fn a_close_that_was_begun_goes_on_after_a_restart() {
    let mut world = World::opened();
    world.kill(Initiator.peer());
    world.command(Initiator, BY_PEER).unwrap();
    world.chain.drop_pool();
    world.crash(Initiator);
    world.mine_blocks(LOCK + 5);
    world.assert_paid_out(SHARE, SHARE);
}

#[test]
fn forced_calls_wait_as_closes_do() {
    for vouched in [false, true] {
        let (mut world, contract) = with_puppet();
        world.crash(Initiator);
        let calls = vec![forced(contract, 0, &pays(1, 0))];
        let force = |certainty| Command::Force { calls: calls.clone(), certainty };
        world.command(Initiator, force(Certainty::ConfirmedByPeer)).unwrap();
        assert_eq!(world.command(Initiator, force(Certainty::ConfirmedByPeer)), Err(Misuse::AlreadyForcing));
        assert_eq!(world.sides[Initiator].machine().status().awaits_peer_confirmation, Some(SoloStep::Force));
        world.mine();
        assert_eq!(world.chain.times_asked(Initiator, "channel_force_progress"), 0);
        if vouched {
            world.command(Initiator, force(Certainty::OwnStoreIsNewest)).unwrap();
        } else {
            world.run();
        }
        assert!(world.chain.times_asked(Initiator, "channel_force_progress") > 0);
        world.mine();
        world.run();
        world.mine_blocks(3);
        world.run();
        assert_eq!(world.sides[Initiator].performed.len(), 2, "begun, and called once");
        let given_up = |notice: &&Notice| matches!(notice, Notice::SoloStepCancelled { .. });
        assert_eq!(world.sides[Initiator].notices().filter(given_up).count(), 0);
        assert_eq!(world.sides[Initiator].machine().status().awaits_peer_confirmation, None);
    }
}

#[test]
fn a_copied_store_signs_nothing_new_and_still_answers_an_old_close() {
    for party in Party::BOTH {
        let mut world = World::opened();
        let old = world.sides[party].machine().evidence().unwrap();
        let _id = world.pay(party.peer(), 30).unwrap();
        world.run();
        let _id = world.pay(party, 1).unwrap();
        world.run();
        world.kill(party);
        world.restart_from_copy(party);
        assert!(was_noticed(&world, party, &Notice::StoreCopied));
        assert!(world.sides[party].machine().status().stale_store);
        assert_eq!(world.pay(party, 1), Err(Misuse::StoreCopied));
        assert_eq!(world.deposit(party, 1), Err(Misuse::StoreCopied));
        assert_eq!(world.shutdown(party, 0), Err(Misuse::StoreCopied));
        world.run();
        let id = world.pay(party.peer(), 1).unwrap();
        world.run();
        assert_eq!(world.sides[party.peer()].sent[&id].1, crate::harness::Fate::Refused, "it signs no round");
        world.kill(party.peer());
        world.chain.submit(party.peer(), protocol::call::Call::ChannelCloseSolo(old));
        world.mine_blocks(2 * LOCK + 5);
        assert!(world.chain.times_asked(party, "channel_slash") > 0);
        let (ours, peers) = (SHARE + 29 + PENALTY, SHARE - 29 - PENALTY);
        if party == Initiator { world.assert_paid_out(ours, peers) } else { world.assert_paid_out(peers, ours) }
    }
}

#[test]
fn a_copied_store_that_its_owner_vouches_for_goes_on_as_before() {
    for party in Party::BOTH {
        let (mut world, contract) = with_puppet();
        world.kill(party);
        world.restart_from_copy(party);
        world.run();
        // It is stored with a commit, and forgotten at the next start.
        world.sides[party].stored = Some(world.sides[party].machine().save());
        world.crash(party);
        assert!(!world.sides[party].machine().status().stale_store);
        world.run();
        let _id = world.make_one(party, call(contract, 0, &pays(0, 0))).unwrap();
        world.run();
        world.assert_agreed();
    }
}

#[test]
fn a_channel_that_opens_on_a_copied_store_is_no_better_than_the_others() {
    let mut world = World::new();
    world.open();
    world.run();
    world.kill(Initiator);
    world.restart_from_copy(Initiator);
    world.run();
    world.mine();
    world.run();
    assert_eq!(world.states(), ("open", "open"));
    assert_eq!(world.pay(Initiator, 1), Err(Misuse::StoreCopied));
}
