//! `channel_deposit` (R5.5): healthy deposits, and every single way in which one can be wrong.

use crate::harness::*;
use protocol::{
    Amount, BlockNumber, ChannelId, Party, Rejection,
    call::{Call, Deposit},
    event::ArbiterEvent,
    record::OnChain,
    signing::{DepositBody, Kind},
};
use sdk::chain::arbiter::ChannelEvent;

const AMOUNT: Amount = 15 * UNIT;
/// The state after it.
const AFTER: State = State::new(4, BALANCES.initiator, BALANCES.responder + AMOUNT);

fn body(valid_until: BlockNumber) -> DepositBody {
    let (round, base, state_hash) = (AFTER.round, AFTER.base, AFTER.hash());
    DepositBody { party: Party::Responder, amount: AMOUNT, round, base, state_hash, valid_until }
}

#[tokio::test]
async fn a_deposit_moves_coins_from_the_depositors_vault_into_the_channel() {
    let (mut world, channel) = World::open().await;
    let before = world.snapshot().await;
    let mut expected = world.record(&channel).await.unwrap();
    let call = Call::ChannelDeposit(channel.deposit(body(world.now() + 5)));
    let done = world.accept(Actor::Initiator, &call, 0).await;

    let (total, round, state_hash) = (TOTAL + AMOUNT, 4, AFTER.hash());
    let event = ArbiterEvent::ChannelDeposited { party: Party::Responder, amount: AMOUNT, total, round, state_hash };
    assert_eq!(done.events, [ChannelEvent { channel: channel.id, event, payouts: Vec::new() }]);
    (expected.total, expected.on_chain) = (total, OnChain::agreed(round, state_hash));
    assert_eq!(world.record(&channel).await, Some(expected));

    let after = world.snapshot().await;
    assert_eq!(after.vaults[&Actor::Responder.vault()], before.vaults[&Actor::Responder.vault()] - AMOUNT);
    assert_eq!(after.vaults[&Actor::Initiator.vault()], before.vaults[&Actor::Initiator.vault()]);
    assert_eq!(after.free[&world.address()], before.free[&world.address()]);
    assert_eq!((after.info, done.receipt.storage_deposit), (before.info, 0));
}

#[tokio::test]
async fn anybody_may_submit_a_deposit_and_what_a_party_attaches_counts_for_itself() {
    let (world, channel) = World::open().await;
    for who in Actor::ALL {
        let mut world = world.fork_for(&who).await;
        let call = Call::ChannelDeposit(channel.deposit(body(world.now())));
        let _done = world.accept(who, &call, 0).await;
    }
    for who in [Actor::Initiator, Actor::Responder] {
        let mut world = world.fork_for(&who).await;
        let call = Call::ChannelDeposit(channel.deposit(body(world.now())));
        let before = world.vault(&who.vault());
        let _done = world.accept(who, &call, AMOUNT).await;
        let expected = if who == Actor::Responder { before } else { before + AMOUNT };
        assert_eq!(world.vault(&who.vault()), expected);
    }
}

#[tokio::test]
async fn coins_that_were_deposited_are_paid_out_like_the_others() {
    let (mut world, channel) = World::open().await;
    let _done = world.accept(Actor::Responder, &Call::ChannelDeposit(channel.deposit(body(world.now()))), 0).await;
    let _done = world.accept(Actor::Responder, &channel.close_solo_on_chain(AFTER.commitment), 0).await;
    world.travel_to(world.now() + LOCK_PERIOD).await;
    let done = world.accept(Actor::Responder, &channel.settle(), 0).await;
    assert_eq!(
        done.events[0].event,
        ArbiterEvent::ChannelSettled { balances: AFTER.commitment.balances, remaining: 0 }
    );
}

mutations! {
    /// Deposits on the very edge of what is allowed.
    Edge {
        /// In the last block in which it counts (R5.3).
        ValidUntilNow,
        ValidAsLongAsAllowed,
        OneCoin,
        TheWholeVault,
        OfTheInitiator,
        WithTheNextRound,
    }
}

#[tokio::test]
async fn deposits_on_the_edge_of_what_is_allowed_succeed() {
    let (world, channel) = World::open().await;
    for &edge in Edge::ALL {
        let mut world = world.fork_for(&edge).await;
        let mut body = body(world.now() + 1);
        match edge {
            Edge::ValidUntilNow => body.valid_until = world.now(),
            Edge::ValidAsLongAsAllowed => body.valid_until = world.now() + LIMITS.validity_max,
            Edge::OneCoin => body.amount = 1,
            Edge::TheWholeVault => body.amount = VAULT - SHARES.responder,
            Edge::OfTheInitiator => body.party = Party::Initiator,
            Edge::WithTheNextRound => body.round = 2,
        }
        let _done = world.accept(Actor::Initiator, &Call::ChannelDeposit(channel.deposit(body)), 0).await;
    }
}

mutations! {
    /// One thing wrong with a deposit that both parties signed all the same.
    Mutation {
        /// Never opened here, or over.
        IntoNoChannel,
        /// R5.3: agreed too long ago.
        ExpiredOneBlockAgo,
        /// R5.13: a deposit that hangs over both for longer than the arbiter allows.
        ValidTooLong,
        /// It would spend a round and move nothing.
        Nothing,
        /// R5.1: the vault is one coin short.
        VaultTooLow,
        /// R3.3: a total that wraps round.
        TotalOverflows,
        /// R5.4: the first round, with the state on chain.
        OfTheRoundOnChain,
        /// R5.4: the round on chain, with another state.
        OfTheRoundOnChainWithAnotherState,
        /// R5.4: a round before the one on chain.
        OfAnOlderRound,
    }
}

impl Mutation {
    fn make(self, call: &mut DepositBody, channel: &mut Channel, now: BlockNumber) -> Rejection {
        match self {
            Self::IntoNoChannel => {
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
            Self::Nothing => {
                call.amount = 0;
                Rejection::AmountZero
            }
            Self::VaultTooLow => {
                let have = VAULT - SHARES.responder;
                call.amount = have + 1;
                Rejection::VaultTooLow { party: Party::Responder, have, need: have + 1 }
            }
            Self::TotalOverflows => {
                call.amount = Amount::MAX - TOTAL + 1;
                Rejection::AmountOverflow
            }
            Self::OfTheRoundOnChain => {
                call.round = 1;
                call.state_hash = State::new(1, BALANCES.initiator, BALANCES.responder).hash();
                Rejection::RoundAlreadyKnown { round: 1 }
            }
            Self::OfTheRoundOnChainWithAnotherState => {
                call.round = 1;
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
async fn each_thing_wrong_with_a_deposit_is_refused_by_its_own_error_and_changes_nothing() {
    let (world, channel) = World::open().await;
    for &mutation in Mutation::ALL {
        let mut world = world.fork_for(&mutation).await;
        let (mut body, mut channel) = (body(world.now() + 5), channel);
        let rejection = mutation.make(&mut body, &mut channel, world.now());
        let call = Call::ChannelDeposit(channel.deposit(body));
        world.refuse(Actor::Initiator, &call, 0, rejection).await;
        if mutation == Mutation::VaultTooLow {
            // Coins that the other party attaches do not help; the depositor's own do.
            world.refuse(Actor::Initiator, &call, 1, rejection).await;
            let _done = world.accept(Actor::Responder, &call, 1).await;
        }
    }
}

#[tokio::test]
async fn a_deposit_with_forged_signatures_is_refused_and_changes_nothing() {
    let (world, channel) = World::open().await;
    let (body, binding) = (body(world.now() + 5), channel.binding(Kind::Deposit));
    let call = |signatures| Call::ChannelDeposit(Deposit { channel: channel.id, body: body.clone(), signatures });
    world.refuse_forgeries(Actor::Initiator, &binding, &body, call).await;
}

#[tokio::test]
async fn a_deposit_cannot_be_made_twice_nor_changed_after_it_was_signed() {
    let (mut world, channel) = World::open().await;
    let signed = channel.deposit(body(world.now() + 20));
    let changes: [fn(&mut DepositBody); 6] = [
        |body| body.party = Party::Initiator,
        |body| body.amount += 1,
        |body| body.round += 1,
        |body| body.base.steps += 1,
        |body| body.state_hash.0[0] ^= 1,
        |body| body.valid_until += 1,
    ];
    for change in changes {
        let mut call = signed.clone();
        change(&mut call.body);
        let rejection = Rejection::SignatureInvalid { party: Party::Initiator };
        world.refuse(Actor::Responder, &Call::ChannelDeposit(call), 0, rejection).await;
    }
    let call = Call::ChannelDeposit(signed);
    let _done = world.accept(Actor::Responder, &call, 0).await;
    world.refuse(Actor::Responder, &call, 0, Rejection::RoundAlreadyKnown { round: 4 }).await;
}

#[tokio::test]
async fn a_channel_that_closes_takes_no_deposit() {
    let (mut world, channel) = World::open().await;
    let _done = world.accept(Actor::Responder, &channel.close_solo(&State::new(2, 0, TOTAL - 1)), 0).await;
    let call = |world: &World| Call::ChannelDeposit(channel.deposit(body(world.now())));
    world.refuse(Actor::Responder, &call(&world), 0, Rejection::NotOpen).await;
    world.travel_to(world.now() + LOCK_PERIOD).await;
    world.refuse(Actor::Responder, &call(&world), 0, Rejection::NotOpen).await;
    let _done = world.accept(Actor::Responder, &channel.settle(), 0).await;
    world.refuse(Actor::Responder, &call(&world), 0, Rejection::NotOpen).await;
}
