//! `channel_close_solo` (R5.8): healthy closes, and every single way in which one can be wrong.

use crate::harness::*;
use protocol::{
    Amount, Base, BlockNumber, ChannelId, Hash, Pair, Party, Rejection, Signature, StateCommitment,
    call::{Call, CloseSolo, Payload},
    crypto::Native,
    event::ArbiterEvent,
    record::{Closing, OnChain, Penalty, Phase},
    signing::Kind,
};
use sdk::chain::arbiter::ChannelEvent;

const NEWEST: State = State::new(6, 30 * UNIT, 130 * UNIT);

/// The state that opening made.
fn first() -> StateCommitment {
    StateCommitment::of_balances(BALANCES)
}

#[tokio::test]
async fn closing_on_a_co_signed_state_adopts_it_and_locks_its_balances() {
    let (mut world, channel) = World::open().await;
    let before = world.snapshot().await;
    let mut expected = world.record(&channel).await.unwrap();
    let unlock_at = world.now() + LOCK_PERIOD;
    let done = world.accept(Actor::Responder, &channel.close_solo(&NEWEST), 0).await;

    let penalty = Penalty::AtRisk { closer: Party::Responder, closed_on: 6 };
    let closing = Closing { balances: NEWEST.commitment.balances, unlock_at, penalty };
    let state_hash = NEWEST.commitment.hash(&Native);
    let event = ArbiterEvent::ChannelClosedSolo { at: Base::of(6), state_hash, closing: closing.clone() };
    assert_eq!(done.events, [ChannelEvent { channel: channel.id, event, payouts: Vec::new() }]);
    (expected.on_chain, expected.phase) = (OnChain::agreed(6, state_hash), Phase::Closing(closing));
    assert_eq!(world.record(&channel).await, Some(expected));

    let after = world.snapshot().await;
    assert_eq!(after.vaults, before.vaults);
    assert_eq!(after.free[&world.address()], before.free[&world.address()], "nothing is paid out yet");
    assert_eq!(after.info.items, before.info.items);
    let deposit = Amount::try_from(done.receipt.storage_deposit).unwrap();
    assert_eq!(deposit, after.info.deposit - before.info.deposit, "the closer pays for the larger record");
}

#[tokio::test]
async fn closing_without_a_payload_closes_on_the_state_on_chain() {
    let (world, channel) = World::open().await;
    for party in Party::BOTH {
        let mut world = world.fork_for(&party).await;
        let now = world.now();
        let _done = world.accept(party.into(), &channel.close_solo_on_chain(first()), 0).await;
        let record = world.record(&channel).await.unwrap();
        let penalty = Penalty::AtRisk { closer: party, closed_on: 1 };
        let closing = Closing { balances: BALANCES, unlock_at: now + LOCK_PERIOD, penalty };
        assert_eq!((record.on_chain.at, record.phase), (OPENING, Phase::Closing(closing)));
    }
}

#[tokio::test]
async fn the_state_on_chain_shown_again_as_a_payload_is_success() {
    // Nobody can be blocked by somebody who posts the same state first (R5.4).
    let (world, channel) = World::open().await;
    let known = channel.close_solo_on(&State::of(1, first()));
    let mut unsigned = known;
    unsigned.payload.as_mut().unwrap().signatures = Pair::new(Signature([0; 64]), Signature([0; 64]));
    for call in [known, unsigned] {
        let mut world = world.fork().await;
        let _done = world.accept(Actor::Initiator, &Call::ChannelCloseSolo(call), 0).await;
        assert_eq!(world.record(&channel).await.unwrap().on_chain.at, OPENING);
    }
}

mutations! {
    /// Closes on the very edge of what is allowed.
    Edge {
        /// The next round after the one on chain.
        OnTheSecondRound,
        OnTheLastRoundThereIs,
        /// One's own round and the peer's are equally good.
        OnARoundOfOnesOwn,
        WithAllForOne,
        WithNothingForEither,
        /// Contracts inside the channel hold the rest (R5.11).
        WithOneCoinInContracts,
        /// The contracts' root and the calls' root are part of the state.
        WithContractsAndCalls,
        /// A party below the reserve: both signed it, so it stands.
        BelowTheReserve,
    }
}

impl Edge {
    fn of(self) -> State {
        let Pair { initiator, responder } = BALANCES;
        let mut state = State::new(8, initiator, responder);
        match self {
            Self::OnTheSecondRound => state.round = 2,
            Self::OnTheLastRoundThereIs => state.round = u64::MAX,
            Self::OnARoundOfOnesOwn => state.round = 9,
            Self::WithAllForOne => state = State::new(8, TOTAL, 0),
            Self::WithNothingForEither => state = State::new(8, 0, 0),
            Self::WithOneCoinInContracts => state.commitment.balances.initiator -= 1,
            Self::WithContractsAndCalls => {
                state.commitment.contracts_root = Hash([1; 32]);
                state.commitment.calls_root = Hash([2; 32]);
            }
            Self::BelowTheReserve => state = State::new(8, RESERVE - 1, TOTAL - (RESERVE - 1)),
        }
        state
    }
}

#[tokio::test]
async fn closes_on_the_edge_of_what_is_allowed_succeed() {
    let (world, channel) = World::open().await;
    for &edge in Edge::ALL {
        let mut world = world.fork_for(&edge).await;
        let state = edge.of();
        let _done = world.accept(Actor::Initiator, &channel.close_solo(&state), 0).await;
        let record = world.record(&channel).await.unwrap();
        assert_eq!(record.on_chain, OnChain::agreed(state.round, state.commitment.hash(&Native)));
        assert_eq!(record.closing().unwrap().balances, state.commitment.balances);
    }
}

mutations! {
    /// One thing wrong with a close.
    Mutation {
        /// R5.8: only a party closes.
        ByStranger,
        /// A delegate may defend but not attack.
        ByInitiatorsDelegate,
        ByRespondersDelegate,
        /// Never opened here, or over.
        OfNoChannel,
        /// R5.4: older than the state on chain.
        OnRoundZero,
        /// R5.4: opening cannot be replaced by another first round.
        OnAnotherFirstRound,
        /// R3.5: signatures over round 6, shown as round 7.
        SignedForAnotherRound,
        /// R3.5a: signatures over a round that goes on from opening, shown as one that goes on from a forced step after it.
        SignedForAnotherBase,
        /// R3.5a: a block too late.
        Expired,
        /// Signatures over one state, shown with another.
        SignedForAnotherState,
        /// Balances that nobody signed, beside a good payload.
        CommitmentOfOtherBalances,
        /// A contracts' root that nobody signed.
        CommitmentOfOtherContracts,
        /// A calls' root that nobody signed.
        CommitmentOfOtherCalls,
        /// Balances other than those on chain, without a payload.
        CommitmentNotOnChain,
        /// Balances other than those on chain, beside the known payload.
        CommitmentNotOfTheKnownRound,
        /// R4.4: both signed more than there is, by one coin.
        BalancesOneAboveTotal,
        /// R3.3: both signed balances whose sum wraps round.
        BalancesOverflow,
    }
}

impl Mutation {
    fn make(self, channel: &Channel, now: BlockNumber) -> (Actor, CloseSolo, Rejection) {
        let mut call = channel.close_solo_on(&NEWEST);
        let payload = |call: &mut CloseSolo, change: fn(&mut Payload)| change(call.payload.as_mut().unwrap());
        let on = |state| channel.close_solo_on(&state);
        let mut who = Actor::Responder;
        let rejection = match self {
            Self::ByStranger => {
                who = Actor::Stranger;
                Rejection::NotParty
            }
            Self::ByInitiatorsDelegate => {
                who = Actor::InitiatorsDelegate;
                Rejection::NotParty
            }
            Self::ByRespondersDelegate => {
                who = Actor::RespondersDelegate;
                Rejection::NotParty
            }
            Self::OfNoChannel => {
                call.channel = ChannelId([7; 32]);
                Rejection::ChannelUnknown
            }
            Self::OnRoundZero => {
                call = on(State::of(0, first()));
                Rejection::RoundTooOld { got: 0, have: 1 }
            }
            Self::OnAnotherFirstRound => {
                call = on(State { round: 1, ..NEWEST });
                Rejection::RoundHasOtherState { round: 1 }
            }
            Self::SignedForAnotherRound => {
                payload(&mut call, |payload| payload.round = 7);
                Rejection::SignatureInvalid { party: Party::Initiator }
            }
            Self::SignedForAnotherBase => {
                payload(&mut call, |payload| payload.base.steps = 1);
                Rejection::SignatureInvalid { party: Party::Initiator }
            }
            Self::Expired => {
                call = on(State { valid_until: Some(now - 1), ..NEWEST });
                Rejection::Expired { valid_until: now - 1, now }
            }
            Self::SignedForAnotherState => {
                let other = State::new(6, 130 * UNIT, 30 * UNIT);
                let signatures = channel.payload(&other).signatures;
                call.payload.as_mut().unwrap().signatures = signatures;
                Rejection::SignatureInvalid { party: Party::Initiator }
            }
            Self::CommitmentOfOtherBalances => {
                call.commitment.balances = Pair::new(29 * UNIT, 131 * UNIT);
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
            Self::CommitmentNotOnChain => {
                call.payload = None;
                Rejection::CommitmentMismatch
            }
            Self::CommitmentNotOfTheKnownRound => {
                call = on(State::of(1, first()));
                call.commitment = NEWEST.commitment;
                Rejection::CommitmentMismatch
            }
            Self::BalancesOneAboveTotal => {
                call = on(State::new(6, 30 * UNIT + 1, 130 * UNIT));
                Rejection::BalancesExceedTotal { total: TOTAL }
            }
            Self::BalancesOverflow => {
                call = on(State::new(6, Amount::MAX, TOTAL + 1));
                Rejection::BalancesExceedTotal { total: TOTAL }
            }
        };
        (who, call, rejection)
    }
}

#[tokio::test]
async fn each_thing_wrong_with_a_close_is_refused_by_its_own_error_and_changes_nothing() {
    let (world, channel) = World::open().await;
    for &mutation in Mutation::ALL {
        let mut world = world.fork_for(&mutation).await;
        let (who, call, rejection) = mutation.make(&channel, world.now());
        world.refuse(who, &Call::ChannelCloseSolo(call), 0, rejection).await;
    }
}

#[tokio::test]
async fn a_close_with_forged_signatures_is_refused_and_changes_nothing() {
    let (world, channel) = World::open().await;
    let healthy = channel.close_solo_on(&NEWEST);
    let payload = healthy.payload.unwrap();
    let call =
        |signatures| Call::ChannelCloseSolo(CloseSolo { payload: Some(Payload { signatures, ..payload }), ..healthy });
    world.refuse_forgeries(Actor::Responder, &channel.binding(Kind::State), &payload.body(), call).await;
}

#[tokio::test]
async fn a_channel_that_closes_already_is_not_closed_again() {
    let (mut world, channel) = World::open().await;
    let _done = world.accept(Actor::Responder, &channel.close_solo(&State::new(4, TOTAL, 0)), 0).await;
    let locked_until = world.record(&channel).await.unwrap().closing().unwrap().unlock_at;
    for block in [world.now(), locked_until - 1, locked_until, locked_until + 1] {
        let mut world = world.fork_for(&block).await;
        world.travel_to(block).await;
        // Not with a newer state, not with the same one, not without one, and by neither party.
        for call in [
            channel.close_solo(&NEWEST),
            channel.close_solo(&State::new(4, TOTAL, 0)),
            channel.close_solo_on_chain(StateCommitment::of_balances(Pair::new(TOTAL, 0))),
        ] {
            let mut world = world.fork().await;
            world.refuse(Actor::Responder, &call, 0, Rejection::NotOpen).await;
        }
        world.refuse(Actor::Initiator, &channel.close_solo(&NEWEST), 0, Rejection::NotOpen).await;
    }
}
