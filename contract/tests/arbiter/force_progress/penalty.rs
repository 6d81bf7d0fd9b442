//! What forced steps mean for the penalty of a close (R5.9, `docs/adr/0001`).

use super::*;
use protocol::{Pair, Rejection, event::ArbiterEvent, record::Penalty};

async fn penalty(world: &World, channel: &Channel) -> Penalty {
    world.record(channel).await.unwrap().closing().unwrap().penalty
}

/// What a close on round 6 puts at risk.
const fn at_risk(closer: Party) -> Penalty {
    Penalty::AtRisk { closer, closed_on: 6 }
}

#[tokio::test]
async fn a_forced_step_without_a_newer_state_leaves_the_closer_at_risk_and_uncharged() {
    for closer in Party::BOTH {
        let (mut world, channel, base) = closing(closer).await;
        let mut tip = base.clone();
        for (party, shown) in [(closer, Shown::AsPayload), (closer.peer(), Shown::OnChain)] {
            // The state closed on may be shown once more: it is known already, and proves nothing.
            tip = world.force(&Step { shown, ..channel.step(&tip, party, vec![count(1)]) }).await;
            assert_eq!(penalty(&world, &channel).await, at_risk(closer));
        }
        world.travel_to(world.now() + LOCK_PERIOD).await;
        let done = world.accept(Actor::InitiatorsDelegate, &channel.settle(), 0).await;
        let event = ArbiterEvent::ChannelSettled { balances: base.balances, remaining: 5 * UNIT };
        assert_eq!(done.events[0].event, event);
    }
}

#[tokio::test]
async fn a_forced_step_on_a_newer_state_of_the_closers_peer_charges_the_closer_whoever_forces() {
    for closer in Party::BOTH {
        let (world, channel, _base) = closing(closer).await;
        for party in Party::BOTH {
            for round in [7, 8] {
                let mut world = world.fork_for(&(closer, party, round)).await;
                let newer = agreed(&world, round);
                let after = world.force(&channel.step(&newer, party, vec![call(COUNTER, UNIT, &1u64)])).await;
                let proven = Party::owner_of(round) == closer.peer();
                let expected = if proven { Penalty::Due(closer) } else { at_risk(closer) };
                assert_eq!(penalty(&world, &channel).await, expected);

                // It stays so in further steps, and is charged once, out of the balances after them.
                let after = world.force(&channel.step_on_chain(&after, party, vec![count(1)])).await;
                assert_eq!(penalty(&world, &channel).await, expected);
                world.travel_to(world.now() + LOCK_PERIOD).await;
                let done = world.accept(Actor::InitiatorsDelegate, &channel.settle(), 0).await;
                let mut balances: Pair<_> = after.balances;
                if proven {
                    balances[closer] -= PENALTY;
                    balances[closer.peer()] += PENALTY;
                }
                assert_eq!(done.events[0].event, ArbiterEvent::ChannelSettled { balances, remaining: 6 * UNIT });
            }
        }
    }
}

#[tokio::test]
async fn whoever_closes_on_a_forced_state_is_at_risk_like_everybody_who_closes() {
    // A newer co-signed round of the peer's parity proves that the closer held it, whatever was forced in between.
    let (world, channel, tip) = forced().await;
    for closer in Party::BOTH {
        for round in [7, 8, 10, 11] {
            let mut world = world.fork_for(&(closer, round)).await;
            let _done = world.accept(closer.into(), &channel.close_solo_on_chain(tip.commitment()), 0).await;
            assert_eq!(penalty(&world, &channel).await, at_risk(closer));
            let newer = agreed(&world, round);
            let _done = world.accept(closer.peer().into(), &channel.slash(&newer.state()), 0).await;
            let proven = Party::owner_of(round) == closer.peer();
            let expected = if proven { Penalty::Due(closer) } else { at_risk(closer) };
            assert_eq!(penalty(&world, &channel).await, expected);
        }
    }
}

#[tokio::test]
async fn settling_has_to_wait_for_a_full_period_after_every_forced_step() {
    // Closed, slashed, forced: one boundary for all of them.
    let (mut world, channel, base) = closing(Party::Responder).await;
    world.travel_to(world.now() + 2).await;
    let newer = base.at(7);
    let _done = world.accept(Actor::Initiator, &channel.slash(&newer.state()), 0).await;
    world.travel_to(world.now() + LOCK_PERIOD - 1).await;
    let _after = world.force(&channel.step_on_chain(&newer, Party::Initiator, vec![count(1)])).await;
    let unlock_at = world.now() - 1 + LOCK_PERIOD;
    assert_eq!(world.recorded(&channel).closing().unwrap().unlock_at, unlock_at);
    for block in [unlock_at - 1, unlock_at, unlock_at + 1] {
        let mut world = world.fork_for(&block).await;
        world.travel_to(block).await;
        if block < unlock_at {
            let locked = Rejection::StillLocked { unlock_at, now: block };
            world.refuse(Actor::Responder, &channel.settle(), 0, locked).await;
        } else {
            let _done = world.accept(Actor::Responder, &channel.settle(), 0).await;
        }
    }
}

#[tokio::test]
async fn a_forced_step_counts_before_at_and_after_the_end_of_the_lock_until_somebody_settled() {
    let (world, channel, base) = closing(Party::Initiator).await;
    let unlock_at = world.recorded(&channel).closing().unwrap().unlock_at;
    let step = channel.step_on_chain(&base, Party::Responder, vec![count(1)]);
    for block in [unlock_at - 1, unlock_at, unlock_at + 1, unlock_at + 1_000] {
        let mut world = world.fork_for(&block).await;
        world.travel_to(block).await;
        let _after = world.force(&step).await;
        let locked = Rejection::StillLocked { unlock_at: block + LOCK_PERIOD, now: block + 1 };
        world.refuse(Actor::Initiator, &channel.settle(), 0, locked).await;
    }
}

#[tokio::test]
async fn a_forced_step_on_the_closers_own_round_charges_it_only_where_that_goes_on_from_a_newer_one() {
    for closer in Party::BOTH {
        let (world, channel, _base) = closing(closer).await;
        let own = if closer == Party::Initiator { 9 } else { 10 };
        for (agreed_on, is_due) in [(5, false), (6, false), (7, true), (8, true)] {
            for party in Party::BOTH {
                let mut world = world.fork_for(&(closer, agreed_on, party)).await;
                let newer = agreed(&world, own).from(agreed_on, 0);
                let _after = world.force(&channel.step(&newer, party, vec![count(1)])).await;
                let expected = if is_due { Penalty::Due(closer) } else { at_risk(closer) };
                assert_eq!(penalty(&world, &channel).await, expected);
            }
        }
    }
}
