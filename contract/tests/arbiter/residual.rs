//! Coins that contracts inside the channel hold when it is settled are never lost: the channel stays as residual (R5.11).

use crate::harness::*;
use protocol::{
    Amount, Hash, Pair, Rejection, StateCommitment,
    call::Call,
    event::ArbiterEvent,
    record::{Phase, Record},
};

/// What the contracts hold.
const REST: Amount = 25 * UNIT;
const BALANCES_OUTSIDE: Pair<Amount> = Pair::new(100 * UNIT, 35 * UNIT);

fn state(round: u64) -> State {
    let commitment =
        StateCommitment { balances: BALANCES_OUTSIDE, contracts_root: Hash([0xC0; 32]), calls_root: Hash([0xCA; 32]) };
    State::of(round, commitment)
}

async fn residual() -> (World, Channel, Record) {
    let (mut world, channel) = World::open().await;
    let _done = world.accept(Actor::Responder, &channel.close_solo(&state(6)), 0).await;
    let locked = world.record(&channel).await.unwrap();
    world.travel_to(world.now() + LOCK_PERIOD).await;
    let _done = world.accept(Actor::InitiatorsDelegate, &channel.settle(), 0).await;
    (world, channel, locked)
}

#[tokio::test]
async fn settling_pays_what_is_outside_contracts_and_keeps_the_rest_as_residual() {
    let (world, channel, locked) = residual().await;
    let record = world.record(&channel).await.unwrap();
    let settled = world.now() - 1;
    let phase = Phase::Residual { counted_from: Pair::new(settled, settled) };
    assert_eq!(record, Record { total: REST, phase, ..locked });
    assert_eq!(world.ledger.held(), 2 * VAULT - TOTAL + REST);
}

#[tokio::test]
async fn an_agreement_shares_out_the_rest_and_ends_the_channel() {
    let (mut world, channel, _locked) = residual().await;
    let before = world.snapshot().await;
    let shared = Pair::new(20 * UNIT, 4 * UNIT);
    let done = world.accept(Actor::Stranger, &channel.close_mutual(shared, UNIT, world.now()), 0).await;
    assert_eq!(done.events[0].event, ArbiterEvent::ChannelClosedMutually { balances: shared, fee: UNIT });
    assert_eq!(world.record(&channel).await, None);
    let after = world.snapshot().await;
    assert_eq!(after.info.items, before.info.items - 1, "only the pair's nonce stays");
    assert_eq!(after.free[&Actor::Initiator.id()] - before.free[&Actor::Initiator.id()], 20 * UNIT);
    assert_eq!(after.free[&Actor::Responder.id()] - before.free[&Actor::Responder.id()], 4 * UNIT);
}

mutations! {
    /// One thing wrong with a call on a residual channel, in which 25 units are left.
    Mutation {
        /// Its state is final: it is not closed again.
        CloseSolo,
        CloseSoloOnANewerState,
        /// Nor slashed, not even with a newer state: that would pay it out a second time.
        Slash,
        /// Nor settled a second time.
        Settle,
        /// The whole that may be shared out is the rest.
        ShareOutTheFormerTotal,
        ShareOutOneOver,
        ShareOutOneShort,
    }
}

#[tokio::test]
async fn everything_else_on_a_residual_channel_is_refused_and_changes_nothing() {
    let (world, channel, _locked) = residual().await;
    for &mutation in Mutation::ALL {
        let mut world = world.fork_for(&mutation).await;
        let agree = |initiator, responder| channel.close_mutual(Pair::new(initiator, responder), 0, world.now());
        let sum = |got| Rejection::SumMismatch { got: Some(got), want: REST };
        let (call, rejection): (Call, Rejection) = match mutation {
            Mutation::CloseSolo => (channel.close_solo_on_chain(state(6).commitment), Rejection::NotOpen),
            Mutation::CloseSoloOnANewerState => (channel.close_solo(&state(7)), Rejection::NotOpen),
            Mutation::Slash => (channel.slash(&state(7)), Rejection::NotClosing),
            Mutation::Settle => (channel.settle(), Rejection::NotClosing),
            Mutation::ShareOutTheFormerTotal => (agree(TOTAL, 0), sum(TOTAL)),
            Mutation::ShareOutOneOver => (agree(REST, 1), sum(REST + 1)),
            Mutation::ShareOutOneShort => (agree(REST - 1, 0), sum(REST - 1)),
        };
        world.refuse(Actor::Initiator, &call, 0, rejection).await;
    }
}

#[tokio::test]
async fn an_agreement_while_closing_shares_out_everything_contracts_included() {
    let (mut world, channel) = World::open().await;
    let _done = world.accept(Actor::Responder, &channel.close_solo(&state(6)), 0).await;
    let _done = world.accept(Actor::Responder, &channel.close_mutual(Pair::new(TOTAL, 0), 0, world.now()), 0).await;
    assert_eq!(world.record(&channel).await, None);
}

#[tokio::test]
async fn a_penalty_moves_between_the_parties_and_leaves_the_rest_alone() {
    let (mut world, channel) = World::open().await;
    let _done = world.accept(Actor::Responder, &channel.close_solo(&State::new(2, 0, TOTAL)), 0).await;
    let _done = world.accept(Actor::Initiator, &channel.slash(&state(7)), 0).await;
    world.travel_to(world.now() + LOCK_PERIOD).await;
    let done = world.accept(Actor::Initiator, &channel.settle(), 0).await;
    let balances = Pair::new(BALANCES_OUTSIDE.initiator + PENALTY, BALANCES_OUTSIDE.responder - PENALTY);
    assert_eq!(done.events[0].event, ArbiterEvent::ChannelSettled { balances, remaining: REST });
}

#[tokio::test]
async fn one_coin_in_a_contract_is_enough_to_stay_and_all_coins_may() {
    for (outside, rest) in [(Pair::new(TOTAL - 1, 0), 1), (Pair::new(0, TOTAL - 1), 1), (Pair::new(0, 0), TOTAL)] {
        let (mut world, channel) = World::open().await;
        let state = State::new(2, outside.initiator, outside.responder);
        let _done = world.accept(Actor::Initiator, &channel.close_solo(&state), 0).await;
        world.travel_to(world.now() + LOCK_PERIOD).await;
        let done = world.accept(Actor::Initiator, &channel.settle(), 0).await;
        assert_eq!(done.events[0].event, ArbiterEvent::ChannelSettled { balances: outside, remaining: rest });
        let _done = world.accept(Actor::Initiator, &channel.close_mutual(Pair::new(0, rest), 0, world.now()), 0).await;
        assert_eq!(world.record(&channel).await, None);
    }
}
