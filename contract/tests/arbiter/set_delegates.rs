//! `channel_set_delegates` (R5.7): healthy changes, and every single way in which one can be wrong.

use crate::harness::*;
use protocol::{
    AccountId, Amount, Base, BlockNumber, ChannelId, Pair, Party, Rejection,
    call::{Call, SetDelegates},
    event::ArbiterEvent,
    record::OnChain,
    signing::{Kind, SetDelegatesBody},
    terms::{Delegate, MAX_DELEGATES, Power},
};
use sdk::chain::arbiter::ChannelEvent;

const AFTER: State = State::new(4, BALANCES.initiator, BALANCES.responder);

fn body(valid_until: BlockNumber) -> SetDelegatesBody {
    let delegates = vec![Delegate::defender(Actor::Stranger.id()), Delegate::caller(Actor::Deployer.id())];
    let (round, base, state_hash) = (AFTER.round, AFTER.base, AFTER.hash());
    SetDelegatesBody { delegates: Pair::new(delegates, Vec::new()), round, base, state_hash, valid_until }
}

fn crowd(account: u8, size: usize) -> Vec<Delegate> {
    vec![Delegate::defender(AccountId([account; 32])); size]
}

#[tokio::test]
async fn new_delegates_replace_the_old_ones_and_take_a_round() {
    let (mut world, channel) = World::open().await;
    let before = world.snapshot().await;
    let mut expected = world.record(&channel).await.unwrap();
    let body = body(world.now() + 5);
    let call = Call::ChannelSetDelegates(channel.set_delegates(body.clone()));
    let done = world.accept(Actor::Stranger, &call, 0).await;

    let (delegates, state_hash) = (body.delegates.clone(), AFTER.hash());
    let event = ArbiterEvent::ChannelDelegatesSet { delegates, round: 4, state_hash };
    assert_eq!(done.events, [ChannelEvent { channel: channel.id, event, payouts: Vec::new() }]);
    expected.on_chain = OnChain::agreed(4, state_hash);
    expected.terms.parties.initiator.delegates = body.delegates.initiator;
    expected.terms.parties.responder.delegates = body.delegates.responder;
    assert_eq!(world.record(&channel).await, Some(expected));
    let after = world.snapshot().await;
    assert_eq!((after.vaults, after.info), (before.vaults, before.info), "as many as before, so as large");

    // The old ones are delegates no more, the new ones are.
    let newer = State::new(6, TOTAL, 0);
    for gone in [Actor::InitiatorsDelegate, Actor::RespondersDelegate] {
        world.refuse(gone, &channel.snapshot(&newer), 0, Rejection::NotPartyOrDelegate).await;
    }
    let _done = world.accept(Actor::Stranger, &channel.snapshot(&newer), 0).await;
    let _done = world.accept(Actor::Responder, &channel.close_solo_on_chain(newer.commitment), 0).await;
    let _done = world.accept(Actor::Deployer, &channel.slash(&State { round: 7, ..newer }), 0).await;
}

#[tokio::test]
async fn whoever_makes_the_record_larger_pays_and_whoever_makes_it_smaller_is_paid() {
    let (mut world, channel) = World::open().await;
    let mut body = body(world.now() + 20);
    let many = vec![Delegate::caller(Actor::Stranger.id()); MAX_DELEGATES];
    body.delegates = Pair::new(many.clone(), many);
    let call = Call::ChannelSetDelegates(channel.set_delegates(body.clone()));
    let larger = world.accept(Actor::Stranger, &call, 0).await.receipt.storage_deposit;
    (body.delegates, body.round) = (Pair::new(Vec::new(), Vec::new()), 5);
    let call = Call::ChannelSetDelegates(channel.set_delegates(body));
    let smaller = world.accept(Actor::Deployer, &call, 0).await.receipt.storage_deposit;
    assert!(larger > 0 && smaller < 0 && -smaller > larger, "{larger}, {smaller}");
}

mutations! {
    /// Changes on the very edge of what is allowed.
    Edge {
        /// In the last block in which it counts (R5.3).
        ValidUntilNow,
        ValidAsLongAsAllowed,
        AsManyAsAllowed,
        None,
        WithTheNextRound,
        WithTheLastRoundThereIs,
    }
}

#[tokio::test]
async fn changes_on_the_edge_of_what_is_allowed_succeed() {
    let (world, channel) = World::open().await;
    for &edge in Edge::ALL {
        let mut world = world.fork_for(&edge).await;
        let mut body = body(world.now() + 1);
        match edge {
            Edge::ValidUntilNow => body.valid_until = world.now(),
            Edge::ValidAsLongAsAllowed => body.valid_until = world.now() + LIMITS.validity_max,
            Edge::AsManyAsAllowed => {
                body.delegates = Pair::new(crowd(1, 8), crowd(2, 8));
            }
            Edge::None => body.delegates = Pair::new(Vec::new(), Vec::new()),
            Edge::WithTheNextRound => body.round = 2,
            Edge::WithTheLastRoundThereIs => body.round = u64::MAX,
        }
        let call = Call::ChannelSetDelegates(channel.set_delegates(body));
        let _done = world.accept(Actor::Initiator, &call, 0).await;
    }
}

mutations! {
    /// One thing wrong with a change that both parties signed all the same.
    Mutation {
        /// Never opened here, or over.
        OfNoChannel,
        /// R5.3: agreed too long ago.
        ExpiredOneBlockAgo,
        /// R5.13: a change that hangs over both for longer than the arbiter allows.
        ValidTooLong,
        /// Each delegate is read with every dispute call.
        TooManyOfInitiator,
        TooManyOfResponder,
        /// R5.7: without a new round it could be replayed.
        OfTheRoundOnChain,
        /// R5.4: the round on chain, with another state.
        OfTheRoundOnChainWithAnotherState,
        /// R5.4: a round before the one on chain.
        OfAnOlderRound,
    }
}

impl Mutation {
    fn make(self, call: &mut SetDelegatesBody, channel: &mut Channel, now: BlockNumber) -> Rejection {
        match self {
            Self::OfNoChannel => {
                channel.id = ChannelId([7; 32]);
                Rejection::ChannelUnknown
            }
            Self::ExpiredOneBlockAgo => {
                call.valid_until = now - 1;
                Rejection::Expired { valid_until: now - 1, now }
            }
            Self::ValidTooLong => {
                call.valid_until = now + 51;
                Rejection::ExpiryTooFar { valid_until: now + 51, max: now + 50 }
            }
            Self::TooManyOfInitiator => {
                call.delegates.initiator = crowd(1, 9);
                Rejection::TooManyDelegates
            }
            Self::TooManyOfResponder => {
                call.delegates.responder = crowd(1, 9);
                Rejection::TooManyDelegates
            }
            Self::OfTheRoundOnChain => {
                call.round = 1;
                Rejection::RoundAlreadyKnown { round: 1 }
            }
            Self::OfTheRoundOnChainWithAnotherState => {
                call.round = 1;
                call.state_hash = State::new(1, 0, TOTAL).hash();
                Rejection::RoundHasOtherState { round: 1 }
            }
            Self::OfAnOlderRound => {
                call.round = 0;
                Rejection::RoundTooOld { got: 0, have: 1 }
            }
        }
    }
}

#[tokio::test]
async fn each_thing_wrong_with_a_change_is_refused_by_its_own_error_and_changes_nothing() {
    let (world, channel) = World::open().await;
    for &mutation in Mutation::ALL {
        let mut world = world.fork_for(&mutation).await;
        let (mut body, mut channel) = (body(world.now() + 5), channel);
        let rejection = mutation.make(&mut body, &mut channel, world.now());
        let call = Call::ChannelSetDelegates(channel.set_delegates(body));
        world.refuse(Actor::Initiator, &call, 0, rejection).await;
    }
}

#[tokio::test]
async fn a_change_with_forged_signatures_is_refused_and_changes_nothing() {
    let (world, channel) = World::open().await;
    let (body, binding) = (body(world.now() + 5), channel.binding(Kind::SetDelegates));
    let call =
        |signatures| Call::ChannelSetDelegates(SetDelegates { channel: channel.id, body: body.clone(), signatures });
    world.refuse_forgeries(Actor::Initiator, &binding, &body, call).await;
}

#[tokio::test]
async fn a_change_cannot_be_made_twice_nor_changed_after_it_was_signed() {
    let (mut world, channel) = World::open().await;
    let signed = channel.set_delegates(body(world.now() + 20));
    let changes: [fn(&mut SetDelegatesBody); 7] = [
        |body| body.delegates.responder.push(Delegate::defender(Actor::InitiatorsDelegate.id())),
        |body| body.delegates.initiator[0].power = Power::Call,
        |body| body.delegates = Pair::new(Vec::new(), body.delegates.initiator.clone()),
        |body| body.round += 1,
        |body| body.base = Base::of(2),
        |body| body.state_hash.0[0] ^= 1,
        |body| body.valid_until += 1,
    ];
    for change in changes {
        let mut call = signed.clone();
        change(&mut call.body);
        let rejection = Rejection::SignatureInvalid { party: Party::Initiator };
        world.refuse(Actor::Initiator, &Call::ChannelSetDelegates(call), 0, rejection).await;
    }
    let call = Call::ChannelSetDelegates(signed);
    let _done = world.accept(Actor::Initiator, &call, 0).await;
    world.refuse(Actor::Initiator, &call, 0, Rejection::RoundAlreadyKnown { round: 4 }).await;
}

#[tokio::test]
async fn a_channel_that_closes_or_is_residual_keeps_its_delegates() {
    let (mut world, channel) = World::open().await;
    let rest: Amount = 1;
    let _done = world.accept(Actor::Responder, &channel.close_solo(&State::new(2, 0, TOTAL - rest)), 0).await;
    let call = |world: &World| Call::ChannelSetDelegates(channel.set_delegates(body(world.now())));
    world.refuse(Actor::Initiator, &call(&world), 0, Rejection::NotOpen).await;
    world.travel_to(world.now() + LOCK_PERIOD).await;
    world.refuse(Actor::Initiator, &call(&world), 0, Rejection::NotOpen).await;
    let _done = world.accept(Actor::Responder, &channel.settle(), 0).await;
    world.refuse(Actor::Initiator, &call(&world), 0, Rejection::NotOpen).await;
}
