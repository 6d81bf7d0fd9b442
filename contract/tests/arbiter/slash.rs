//! `channel_slash` (R5.9): healthy answers to a close, and every single way in which one can be wrong.

use crate::harness::*;
use protocol::{
    Amount, BlockNumber, ChannelId, Hash, Pair, Party, Rejection, StateCommitment,
    call::{Call, Payload, Slash},
    crypto::Native,
    event::ArbiterEvent,
    record::{Closing, OnChain, Penalty, Phase},
    signing::Kind,
};
use sdk::chain::arbiter::ChannelEvent;

/// What the responder closes on, though it signed newer ones.
const OLD: State = State::new(4, 10 * UNIT, 150 * UNIT);
const NEWEST: State = State::new(7, 140 * UNIT, 20 * UNIT);

async fn closed() -> (World, Channel) {
    let (mut world, channel) = World::open().await;
    let _done = world.accept(Actor::Responder, &channel.close_solo(&OLD), 0).await;
    (world, channel)
}

#[tokio::test]
async fn a_newer_state_replaces_the_one_closed_on_and_restarts_the_lock() {
    let (mut world, channel) = closed().await;
    world.travel_to(world.now() + 3).await;
    let before = world.snapshot().await;
    let mut expected = world.record(&channel).await.unwrap();
    let unlock_at = world.now() + LOCK_PERIOD;
    let done = world.accept(Actor::Initiator, &channel.slash(&NEWEST), 0).await;

    let closing = Closing { balances: NEWEST.commitment.balances, unlock_at, penalty: Penalty::Due(Party::Responder) };
    let state_hash = NEWEST.commitment.hash(&Native);
    let event = ArbiterEvent::ChannelSlashed { round: 7, state_hash, closing: closing.clone() };
    assert_eq!(done.events, [ChannelEvent { channel: channel.id, event, payouts: Vec::new() }]);
    (expected.on_chain, expected.phase) = (OnChain::agreed(7, state_hash), Phase::Closing(closing));
    assert_eq!(world.record(&channel).await, Some(expected));

    let after = world.snapshot().await;
    assert_eq!(after.free[&world.address()], before.free[&world.address()], "nothing is paid out yet");
    assert_eq!((after.vaults, after.info.items), (before.vaults, before.info.items));
    // A penalty that is due needs the round closed on no more.
    assert_eq!(after.info.bytes, before.info.bytes - 8);
    let given_back = Amount::try_from(-done.receipt.storage_deposit).unwrap();
    assert_eq!(given_back, before.info.deposit - after.info.deposit);
}

#[tokio::test]
async fn both_parties_and_the_delegates_of_both_sides_may_slash() {
    let (world, channel) = closed().await;
    for who in Actor::DEFENDERS {
        let mut world = world.fork_for(&who).await;
        let _done = world.accept(who, &channel.slash(&NEWEST), 0).await;
    }
}

#[tokio::test]
async fn a_delegate_may_slash_one_state_after_another() {
    let (mut world, channel) = closed().await;
    for (who, round) in [(Actor::InitiatorsDelegate, 5), (Actor::RespondersDelegate, 8), (Actor::Responder, 9)] {
        world.travel_to(world.now() + LOCK_PERIOD - 1).await;
        let unlock_at = world.now() + LOCK_PERIOD;
        let _done = world.accept(who, &channel.slash(&State { round, ..NEWEST }), 0).await;
        let record = world.record(&channel).await.unwrap();
        assert_eq!((record.on_chain.at.agreed, record.closing().unwrap().unlock_at), (round, unlock_at));
    }
}

#[tokio::test]
async fn a_slash_counts_before_at_and_after_the_end_of_the_lock_until_somebody_settled() {
    let (world, channel) = closed().await;
    let unlock_at = world.record(&channel).await.unwrap().closing().unwrap().unlock_at;
    for block in [unlock_at - 1, unlock_at, unlock_at + 1, unlock_at + 1_000] {
        let mut world = world.fork_for(&block).await;
        world.travel_to(block).await;
        let _done = world.accept(Actor::Initiator, &channel.slash(&NEWEST), 0).await;
        assert_eq!(world.record(&channel).await.unwrap().closing().unwrap().unlock_at, block + LOCK_PERIOD);
        // The lock is whole again: the close that was due a moment ago has to wait.
        let locked = Rejection::StillLocked { unlock_at: block + LOCK_PERIOD, now: block + 1 };
        world.refuse(Actor::Responder, &channel.settle(), 0, locked).await;
    }
}

#[tokio::test]
async fn a_slash_after_somebody_settled_comes_too_late() {
    let (mut world, channel) = closed().await;
    world.travel_to(world.now() + LOCK_PERIOD).await;
    let _done = world.accept(Actor::Responder, &channel.settle(), 0).await;
    world.refuse(Actor::Initiator, &channel.slash(&NEWEST), 0, Rejection::ChannelUnknown).await;
}

#[tokio::test]
async fn an_open_channel_is_not_slashed() {
    let (world, channel) = World::open().await;
    for who in [Actor::Initiator, Actor::Responder, Actor::InitiatorsDelegate] {
        world.fork().await.refuse(who, &channel.slash(&NEWEST), 0, Rejection::NotClosing).await;
    }
}

mutations! {
    /// Answers on the very edge of what is allowed.
    Edge {
        /// The next round after the one closed on, and the closer's peer's.
        WithTheNextRound,
        /// The round after that, which is the closer's own.
        WithTheRoundAfterTheNext,
        WithTheLastRoundThereIs,
        WithAllForOne,
        /// Contracts inside the channel hold everything (R5.11).
        WithNothingForEither,
        WithContractsAndCalls,
        /// A newer round of the very same state.
        WithTheSameState,
        /// In the last block in which it may be shown (R3.5a).
        ValidUntilNow,
        ValidUntilTheNextBlock,
        /// What a round goes on from matters for maturity and the penalty alone.
        OnABaseThatWasNeverOnChain,
        OnTheLastBaseThereIs,
    }
}

impl Edge {
    fn of(self, now: BlockNumber) -> State {
        let mut state = NEWEST;
        match self {
            Self::WithTheNextRound => state.round = 5,
            Self::WithTheRoundAfterTheNext => state.round = 6,
            Self::WithTheLastRoundThereIs => state.round = u64::MAX,
            Self::WithAllForOne => state = State::new(7, 0, TOTAL),
            Self::WithNothingForEither => state = State::new(7, 0, 0),
            Self::WithContractsAndCalls => {
                state.commitment.contracts_root = Hash([1; 32]);
                state.commitment.calls_root = Hash([2; 32]);
            }
            Self::WithTheSameState => state.commitment = OLD.commitment,
            Self::ValidUntilNow => state.valid_until = Some(now),
            Self::ValidUntilTheNextBlock => state.valid_until = Some(now + 1),
            Self::OnABaseThatWasNeverOnChain => state = state.from(3, 7),
            Self::OnTheLastBaseThereIs => state = state.from(u64::MAX, u32::MAX),
        }
        state
    }
}

#[tokio::test]
async fn answers_on_the_edge_of_what_is_allowed_succeed() {
    let (world, channel) = closed().await;
    for &edge in Edge::ALL {
        let mut world = world.fork_for(&edge).await;
        let state = edge.of(world.now());
        let _done = world.accept(Actor::Initiator, &channel.slash(&state), 0).await;
        let record = world.record(&channel).await.unwrap();
        assert_eq!(record.on_chain, OnChain::agreed(state.round, state.commitment.hash(&Native)));
        assert_eq!(record.closing().unwrap().balances, state.commitment.balances);
    }
}

mutations! {
    /// One thing wrong with an answer to a close on round 4.
    Mutation {
        /// R5.9: whoever else holds a state does not meddle.
        ByStranger,
        /// Never opened here, or over.
        OfNoChannel,
        /// R5.4: the state closed on, again, would restart the lock for ever.
        WithTheSameRound,
        /// R5.4: another state of the round closed on.
        WithTheSameRoundOfAnotherState,
        /// R5.4: the close was on a newer one.
        WithAnOlderRound,
        /// R5.4: older than everything but opening.
        WithTheFirstRound,
        WithRoundZero,
        /// R3.5: signatures over round 7, shown as round 8.
        SignedForAnotherRound,
        /// R3.5a: signatures over a round that goes on from opening, shown as one that goes on from the round closed on: that would make the
        /// penalty due.
        SignedForAnotherBase,
        SignedWithoutAnExpiry,
        SignedForAnotherExpiry,
        /// R3.5a: a block too late.
        Expired,
        /// Signatures over one state, shown with another.
        SignedForAnotherState,
        /// Balances that nobody signed, beside a good payload.
        CommitmentOfOtherBalances,
        /// The balances closed on, beside a good payload.
        CommitmentClosedOn,
        CommitmentOfOtherContracts,
        CommitmentOfOtherCalls,
        /// R4.4: both signed more than there is, by one coin.
        BalancesOneAboveTotal,
        /// R3.3: both signed balances whose sum wraps round.
        BalancesOverflow,
    }
}

impl Mutation {
    fn make(self, channel: &Channel, now: BlockNumber) -> (Actor, Slash, Rejection) {
        let mut call = channel.slash_with(&NEWEST);
        let with = |state| channel.slash_with(&state);
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
            Self::WithTheSameRound => {
                call = with(OLD);
                Rejection::RoundAlreadyKnown { round: 4 }
            }
            Self::WithTheSameRoundOfAnotherState => {
                call = with(State { round: 4, ..NEWEST });
                Rejection::RoundHasOtherState { round: 4 }
            }
            Self::WithAnOlderRound => {
                call = with(State { round: 3, ..NEWEST });
                Rejection::RoundTooOld { got: 3, have: 4 }
            }
            Self::WithTheFirstRound => {
                call = with(State::of(1, StateCommitment::of_balances(BALANCES)));
                Rejection::RoundTooOld { got: 1, have: 4 }
            }
            Self::WithRoundZero => {
                call = with(State { round: 0, ..NEWEST });
                Rejection::RoundTooOld { got: 0, have: 4 }
            }
            Self::SignedForAnotherRound => {
                call.payload.round = 8;
                Rejection::SignatureInvalid { party: Party::Initiator }
            }
            Self::SignedForAnotherBase => {
                call.payload.base.agreed = 6;
                Rejection::SignatureInvalid { party: Party::Initiator }
            }
            Self::SignedWithoutAnExpiry => {
                call.payload.valid_until = Some(now);
                Rejection::SignatureInvalid { party: Party::Initiator }
            }
            Self::SignedForAnotherExpiry => {
                call = with(State { valid_until: Some(now), ..NEWEST });
                call.payload.valid_until = Some(now + 1);
                Rejection::SignatureInvalid { party: Party::Initiator }
            }
            Self::Expired => {
                call = with(State { valid_until: Some(now - 1), ..NEWEST });
                Rejection::Expired { valid_until: now - 1, now }
            }
            Self::SignedForAnotherState => {
                call.payload.signatures = channel.payload(&State { round: 7, ..OLD }).signatures;
                Rejection::SignatureInvalid { party: Party::Initiator }
            }
            Self::CommitmentOfOtherBalances => {
                call.commitment.balances = Pair::new(141 * UNIT, 19 * UNIT);
                Rejection::CommitmentMismatch
            }
            Self::CommitmentClosedOn => {
                call.commitment = OLD.commitment;
                Rejection::CommitmentMismatch
            }
            Self::CommitmentOfOtherContracts => {
                call.commitment.contracts_root.0[31] = 1;
                Rejection::CommitmentMismatch
            }
            Self::CommitmentOfOtherCalls => {
                call.commitment.calls_root.0[31] = 1;
                Rejection::CommitmentMismatch
            }
            Self::BalancesOneAboveTotal => {
                call = with(State::new(7, 140 * UNIT, 20 * UNIT + 1));
                Rejection::BalancesExceedTotal { total: TOTAL }
            }
            Self::BalancesOverflow => {
                call = with(State::new(7, TOTAL + 1, Amount::MAX));
                Rejection::BalancesExceedTotal { total: TOTAL }
            }
        };
        (who, call, rejection)
    }
}

#[tokio::test]
async fn each_thing_wrong_with_an_answer_is_refused_by_its_own_error_and_changes_nothing() {
    let (world, channel) = closed().await;
    for &mutation in Mutation::ALL {
        let mut world = world.fork_for(&mutation).await;
        let (who, call, rejection) = mutation.make(&channel, world.now());
        world.refuse(who, &Call::ChannelSlash(call), 0, rejection).await;
    }
}

#[tokio::test]
async fn an_answer_with_forged_signatures_is_refused_and_changes_nothing() {
    let (world, channel) = closed().await;
    let healthy = channel.slash_with(&NEWEST);
    let call = |signatures| Call::ChannelSlash(Slash { payload: Payload { signatures, ..healthy.payload }, ..healthy });
    world.refuse_forgeries(Actor::Initiator, &channel.binding(Kind::State), &healthy.payload.body(), call).await;
}
