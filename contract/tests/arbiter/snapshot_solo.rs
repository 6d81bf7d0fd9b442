//! `channel_snapshot_solo` (R5.6): healthy snapshots, and every single way in which one can be wrong.

use crate::harness::*;
use protocol::{
    Amount, BlockNumber, ChannelId, Party, Rejection, StateCommitment,
    call::{Call, Payload, SnapshotSolo},
    event::ArbiterEvent,
    record::OnChain,
    signing::Kind,
};
use sdk::chain::arbiter::ChannelEvent;

const NEWEST: State = State::new(6, 30 * UNIT, 130 * UNIT);

#[tokio::test]
async fn a_snapshot_puts_a_newer_state_on_chain_and_changes_nothing_else() {
    let (mut world, channel) = World::open().await;
    let before = world.snapshot().await;
    let mut expected = world.record(&channel).await.unwrap();
    let done = world.accept(Actor::Responder, &channel.snapshot(&NEWEST), 0).await;

    let event = ArbiterEvent::ChannelSnapshotted { round: 6, state_hash: NEWEST.hash() };
    assert_eq!(done.events, [ChannelEvent { channel: channel.id, event, payouts: Vec::new() }]);
    expected.on_chain = OnChain::agreed(6, NEWEST.hash());
    assert_eq!(world.record(&channel).await, Some(expected));
    let after = world.snapshot().await;
    assert_eq!((after.vaults, after.info), (before.vaults, before.info));
    assert_eq!(after.free[&world.address()], before.free[&world.address()]);
}

#[tokio::test]
async fn both_parties_and_the_delegates_of_both_sides_may_snapshot() {
    let (world, channel) = World::open().await;
    for who in Actor::DEFENDERS {
        let mut world = world.fork_for(&who).await;
        let _done = world.accept(who, &channel.snapshot(&State { round: 2, ..NEWEST }), 0).await;
        let _done = world.accept(who, &channel.snapshot(&State { round: u64::MAX, ..NEWEST }), 0).await;
    }
}

#[tokio::test]
async fn after_a_snapshot_nothing_older_counts_and_the_channel_lives_on() {
    let (mut world, channel) = World::open().await;
    let _done = world.accept(Actor::Initiator, &channel.snapshot(&NEWEST), 0).await;
    let old = State { round: 5, ..NEWEST };
    let too_old = Rejection::RoundTooOld { got: 5, have: 6 };
    world.refuse(Actor::Responder, &channel.close_solo(&old), 0, too_old).await;
    world.refuse(Actor::Responder, &channel.snapshot(&old), 0, too_old).await;
    let first = channel.close_solo_on_chain(StateCommitment::of_balances(BALANCES));
    world.refuse(Actor::Responder, &first, 0, Rejection::CommitmentMismatch).await;
    // The state of the snapshot may be closed on, with and without showing it again, and so may a newer one.
    for close in [
        channel.close_solo_on_chain(NEWEST.commitment),
        channel.close_solo(&NEWEST),
        channel.close_solo(&State { round: 7, ..NEWEST }),
    ] {
        let mut world = world.fork().await;
        let _done = world.accept(Actor::Responder, &close, 0).await;
    }
}

mutations! {
    /// One thing wrong with a snapshot.
    Mutation {
        /// R5.6: whoever else holds a state does not meddle.
        ByStranger,
        /// Never opened here, or over.
        OfNoChannel,
        /// R5.4: it would only cost a fee.
        OfTheRoundOnChain,
        /// R5.4: the round on chain, with another state.
        OfTheRoundOnChainWithAnotherState,
        /// R5.4: older than opening.
        OfRoundZero,
        /// R3.5: signatures over round 6, shown as round 7.
        SignedForAnotherRound,
        /// R3.5a: signatures over a round that goes on from opening, shown as one that goes on from round 5.
        SignedForAnotherBase,
        /// R3.5a: a block too late.
        Expired,
        /// Signatures over one state, shown with another.
        SignedForAnotherState,
    }
}

impl Mutation {
    fn make(self, channel: &Channel, now: BlockNumber) -> (Actor, SnapshotSolo, Rejection) {
        let mut call = channel.snapshot_with(&NEWEST);
        let first = State::of(1, StateCommitment::of_balances(BALANCES));
        let mut who = Actor::Initiator;
        let rejection = match self {
            Self::ByStranger => {
                who = Actor::Stranger;
                Rejection::NotPartyOrDelegate
            }
            Self::OfNoChannel => {
                call.channel = ChannelId([7; 32]);
                Rejection::ChannelUnknown
            }
            Self::OfTheRoundOnChain => {
                call = channel.snapshot_with(&first);
                Rejection::RoundAlreadyKnown { round: 1 }
            }
            Self::OfTheRoundOnChainWithAnotherState => {
                call = channel.snapshot_with(&State { round: 1, ..NEWEST });
                Rejection::RoundHasOtherState { round: 1 }
            }
            Self::OfRoundZero => {
                call = channel.snapshot_with(&State { round: 0, ..first });
                Rejection::RoundTooOld { got: 0, have: 1 }
            }
            Self::SignedForAnotherRound => {
                call.payload.round = 7;
                Rejection::SignatureInvalid { party: Party::Initiator }
            }
            Self::SignedForAnotherBase => {
                call.payload.base.agreed = 5;
                Rejection::SignatureInvalid { party: Party::Initiator }
            }
            Self::Expired => {
                call = channel.snapshot_with(&State { valid_until: Some(now - 1), ..NEWEST });
                Rejection::Expired { valid_until: now - 1, now }
            }
            Self::SignedForAnotherState => {
                call.payload.state_hash = first.hash();
                Rejection::SignatureInvalid { party: Party::Initiator }
            }
        };
        (who, call, rejection)
    }
}

#[tokio::test]
async fn each_thing_wrong_with_a_snapshot_is_refused_by_its_own_error_and_changes_nothing() {
    let (world, channel) = World::open().await;
    for &mutation in Mutation::ALL {
        let mut world = world.fork_for(&mutation).await;
        let (who, call, rejection) = mutation.make(&channel, world.now());
        world.refuse(who, &Call::ChannelSnapshotSolo(call), 0, rejection).await;
    }
}

#[tokio::test]
async fn a_snapshot_with_forged_signatures_is_refused_and_changes_nothing() {
    let (world, channel) = World::open().await;
    let healthy = channel.snapshot_with(&NEWEST);
    let call = |signatures| {
        Call::ChannelSnapshotSolo(SnapshotSolo { payload: Payload { signatures, ..healthy.payload }, ..healthy })
    };
    world.refuse_forgeries(Actor::Initiator, &channel.binding(Kind::State), &healthy.payload.body(), call).await;
}

#[tokio::test]
async fn a_channel_that_closes_or_is_residual_takes_no_snapshot() {
    let (mut world, channel) = World::open().await;
    let _done = world.accept(Actor::Responder, &channel.close_solo(&State::new(2, 0, TOTAL - 1)), 0).await;
    world.refuse(Actor::Initiator, &channel.snapshot(&NEWEST), 0, Rejection::NotOpen).await;
    world.travel_to(world.now() + LOCK_PERIOD).await;
    world.refuse(Actor::Initiator, &channel.snapshot(&NEWEST), 0, Rejection::NotOpen).await;
    let _done = world.accept(Actor::Responder, &channel.settle(), 0).await;
    world.refuse(Actor::Initiator, &channel.snapshot(&NEWEST), 0, Rejection::NotOpen).await;
}

#[tokio::test]
async fn balances_above_the_total_may_be_put_on_chain_but_never_closed_on() {
    // A snapshot shows no balances; the close that follows does (R4.4).
    let (mut world, channel) = World::open().await;
    let greedy = State::new(6, Amount::MAX, 1);
    let _done = world.accept(Actor::Initiator, &channel.snapshot(&greedy), 0).await;
    let close = channel.close_solo_on_chain(greedy.commitment);
    world.refuse(Actor::Initiator, &close, 0, Rejection::BalancesExceedTotal { total: TOTAL }).await;
}
