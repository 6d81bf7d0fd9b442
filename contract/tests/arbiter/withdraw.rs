//! `channel_withdraw` (R5.5): healthy withdrawals, and every single way in which one can be wrong.

use crate::harness::*;
use protocol::{
    AccountId, Amount, BlockNumber, ChannelId, Party, Rejection,
    call::{Call, Withdraw},
    event::{ArbiterEvent, Payout},
    record::OnChain,
    signing::{Kind, WithdrawBody},
    terms::Destination,
};
use sdk::chain::arbiter::ChannelEvent;

const AMOUNT: Amount = 15 * UNIT;
/// The state after it.
const AFTER: State = State::new(4, BALANCES.initiator - AMOUNT, BALANCES.responder);

fn body(valid_until: BlockNumber) -> WithdrawBody {
    let (to, round, base, state_hash) = (Actor::Initiator.id(), AFTER.round, AFTER.base, AFTER.hash());
    WithdrawBody { party: Party::Initiator, amount: AMOUNT, to, round, base, state_hash, valid_until }
}

#[tokio::test]
async fn a_withdrawal_pays_one_party_out_of_the_open_channel() {
    let (mut world, channel) = World::open().await;
    let before = world.snapshot().await;
    let mut expected = world.record(&channel).await.unwrap();
    let call = Call::ChannelWithdraw(channel.withdraw(body(world.now() + 5)));
    let done = world.accept(Actor::Responder, &call, 0).await;

    let (total, round, state_hash) = (TOTAL - AMOUNT, 4, AFTER.hash());
    let event = ArbiterEvent::ChannelWithdrawn { party: Party::Initiator, amount: AMOUNT, total, round, state_hash };
    let payouts = vec![Payout {
        party: Some(Party::Initiator),
        to: Actor::Initiator.id(),
        amount: AMOUNT,
        destination: Destination::Account,
    }];
    assert_eq!(done.events, [ChannelEvent { channel: channel.id, event, payouts }]);
    (expected.total, expected.on_chain) = (total, OnChain::agreed(round, state_hash));
    assert_eq!(world.record(&channel).await, Some(expected));

    let after = world.snapshot().await;
    assert_eq!(after.free[&Actor::Initiator.id()], before.free[&Actor::Initiator.id()] + AMOUNT);
    assert_eq!(after.free[&world.address()], before.free[&world.address()] - AMOUNT);
    assert_eq!((after.vaults, after.info), (before.vaults, before.info));
}

#[tokio::test]
async fn a_withdrawal_to_a_vault_stays_in_the_arbiter() {
    let mut world = World::funded().await;
    let mut opening = create_body(world.now());
    opening.terms.parties.initiator.payout = Destination::Vault;
    let channel = world.create(&opening).await;
    let before = world.vault(&Actor::Initiator.vault());
    let _done = world.accept(Actor::Stranger, &Call::ChannelWithdraw(channel.withdraw(body(world.now()))), 0).await;
    assert_eq!(world.vault(&Actor::Initiator.vault()), before + AMOUNT);
}

#[tokio::test]
async fn anybody_may_submit_a_withdrawal() {
    let (world, channel) = World::open().await;
    for who in Actor::ALL {
        let mut world = world.fork_for(&who).await;
        let _done = world.accept(who, &Call::ChannelWithdraw(channel.withdraw(body(world.now()))), 0).await;
    }
}

/// An account that does not exist on the chain.
const NOBODY: AccountId = AccountId([0x0A; 32]);

#[tokio::test]
async fn a_withdrawal_to_a_third_account_is_paid_there_also_where_it_did_not_exist_before() {
    // Whichever way the party's own payouts go: an account of somebody else's has no vault of the party's.
    for payout in [Destination::Account, Destination::Vault] {
        let mut world = World::funded().await;
        world.watch_account(NOBODY);
        let mut opening = create_body(world.now());
        opening.terms.parties.initiator.payout = payout;
        let channel = world.create(&opening).await;
        for to in [Actor::Stranger.id(), NOBODY] {
            let mut world = world.fork_for(&(payout, to)).await;
            let before = world.snapshot().await;
            let call = Call::ChannelWithdraw(channel.withdraw(WithdrawBody { to, ..body(world.now()) }));
            let done = world.accept(Actor::Responder, &call, 0).await;
            let party = Some(Party::Initiator);
            let paid = Payout { party, to, amount: AMOUNT, destination: Destination::Account };
            assert_eq!(done.events[0].payouts, [paid]);
            let after = world.snapshot().await;
            assert_eq!(after.free[&to] - before.free[&to], AMOUNT);
            assert_eq!(after.vaults, before.vaults);
        }
    }
}

#[tokio::test]
async fn a_withdrawal_that_the_third_account_cannot_take_goes_to_the_vault_of_the_party_whose_coins_they_are() {
    let (world, channel) = World::open().await;
    for (amount, is_paid) in [(EXISTENTIAL_DEPOSIT - 1, false), (EXISTENTIAL_DEPOSIT, true)] {
        let mut world = world.fork_for(&amount).await;
        world.watch_account(NOBODY);
        let before = world.vault(&Actor::Initiator.vault());
        let body = WithdrawBody { to: NOBODY, amount, ..body(world.now()) };
        let done = world.accept(Actor::Stranger, &Call::ChannelWithdraw(channel.withdraw(body)), 0).await;
        let destination = if is_paid { Destination::Account } else { Destination::Vault };
        let party = Some(Party::Initiator);
        assert_eq!(done.events[0].payouts, [Payout { party, to: NOBODY, amount, destination }]);
        let left = if is_paid { 0 } else { amount };
        assert_eq!(world.vault(&Actor::Initiator.vault()), before + left);
    }
}

#[tokio::test]
async fn a_withdrawal_to_the_peers_account_is_paid_whichever_way_the_peers_own_payouts_go() {
    let mut world = World::funded().await;
    let mut opening = create_body(world.now());
    opening.terms.parties.responder.payout = Destination::Vault;
    let channel = world.create(&opening).await;
    let (to, before) = (Actor::Responder.id(), world.snapshot().await);
    let call = Call::ChannelWithdraw(channel.withdraw(WithdrawBody { to, ..body(world.now()) }));
    let _done = world.accept(Actor::Stranger, &call, 0).await;
    let after = world.snapshot().await;
    assert_eq!((after.free[&to] - before.free[&to], after.vaults), (AMOUNT, before.vaults));
}

mutations! {
    /// Withdrawals on the very edge of what is allowed.
    Edge {
        /// In the last block in which it counts (R5.3).
        ValidUntilNow,
        ValidAsLongAsAllowed,
        OneCoin,
        /// Exactly two reserves remain.
        DownToTheReserves,
        ByTheResponder,
        ToThePeer,
        /// Coins that nobody gets back: both signed it.
        ToTheArbiter,
        WithTheNextRound,
    }
}

#[tokio::test]
async fn withdrawals_on_the_edge_of_what_is_allowed_succeed() {
    let (world, channel) = World::open().await;
    for &edge in Edge::ALL {
        let mut world = world.fork_for(&edge).await;
        let mut body = body(world.now() + 1);
        match edge {
            Edge::ValidUntilNow => body.valid_until = world.now(),
            Edge::ValidAsLongAsAllowed => body.valid_until = world.now() + LIMITS.validity_max,
            Edge::OneCoin => body.amount = 1,
            Edge::DownToTheReserves => body.amount = TOTAL - 2 * RESERVE,
            Edge::ByTheResponder => (body.party, body.to) = (Party::Responder, Actor::Responder.id()),
            Edge::ToThePeer => body.to = Actor::Responder.id(),
            Edge::ToTheArbiter => body.to = world.address(),
            Edge::WithTheNextRound => body.round = 2,
        }
        let _done = world.accept(Actor::Initiator, &Call::ChannelWithdraw(channel.withdraw(body)), 0).await;
    }
}

mutations! {
    /// One thing wrong with a withdrawal that both parties signed all the same.
    Mutation {
        /// Never opened here, or over.
        FromNoChannel,
        /// R5.3: agreed too long ago.
        ExpiredOneBlockAgo,
        /// R5.13: a withdrawal that hangs over both for longer than the arbiter allows.
        ValidTooLong,
        /// It would spend a round and move nothing.
        Nothing,
        /// R5.5: one coin less than two reserves would remain.
        IntoTheReserves,
        /// Coins of other channels.
        MoreThanThereIs,
        MoreThanThereIsAnywhere,
        /// R5.4: the first round, with the state on chain.
        OfTheRoundOnChain,
        /// R5.4: the round on chain, with another state.
        OfTheRoundOnChainWithAnotherState,
        /// R5.4: a round before the one on chain.
        OfAnOlderRound,
    }
}

impl Mutation {
    fn make(self, call: &mut WithdrawBody, channel: &mut Channel, now: BlockNumber) -> Rejection {
        let too_much = |amount| Rejection::BelowReserves { total: TOTAL, amount, need: 2 * RESERVE };
        match self {
            Self::FromNoChannel => {
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
            Self::IntoTheReserves => {
                call.amount = TOTAL - 2 * RESERVE + 1;
                too_much(call.amount)
            }
            Self::MoreThanThereIs => {
                call.amount = TOTAL + 1;
                too_much(call.amount)
            }
            Self::MoreThanThereIsAnywhere => {
                call.amount = Amount::MAX;
                too_much(Amount::MAX)
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
async fn each_thing_wrong_with_a_withdrawal_is_refused_by_its_own_error_and_changes_nothing() {
    let (world, channel) = World::open().await;
    for &mutation in Mutation::ALL {
        let mut world = world.fork_for(&mutation).await;
        let (mut body, mut channel) = (body(world.now() + 5), channel);
        let rejection = mutation.make(&mut body, &mut channel, world.now());
        let call = Call::ChannelWithdraw(channel.withdraw(body));
        world.refuse(Actor::Initiator, &call, 0, rejection).await;
    }
}

#[tokio::test]
async fn a_withdrawal_with_forged_signatures_is_refused_and_changes_nothing() {
    let (world, channel) = World::open().await;
    let (body, binding) = (body(world.now() + 5), channel.binding(Kind::Withdraw));
    let call = |signatures| Call::ChannelWithdraw(Withdraw { channel: channel.id, body: body.clone(), signatures });
    world.refuse_forgeries(Actor::Initiator, &binding, &body, call).await;
}

#[tokio::test]
async fn a_withdrawal_cannot_be_made_twice_nor_changed_after_it_was_signed() {
    let (mut world, channel) = World::open().await;
    let signed = channel.withdraw(body(world.now() + 20));
    let changes: [fn(&mut WithdrawBody); 7] = [
        |body| body.party = Party::Responder,
        |body| body.amount += 1,
        |body| body.to = Actor::Responder.id(),
        |body| body.round += 1,
        |body| body.base.agreed += 1,
        |body| body.state_hash.0[0] ^= 1,
        |body| body.valid_until += 1,
    ];
    for change in changes {
        let mut call = signed.clone();
        change(&mut call.body);
        let rejection = Rejection::SignatureInvalid { party: Party::Initiator };
        world.refuse(Actor::Initiator, &Call::ChannelWithdraw(call), 0, rejection).await;
    }
    let call = Call::ChannelWithdraw(signed);
    let _done = world.accept(Actor::Initiator, &call, 0).await;
    world.refuse(Actor::Initiator, &call, 0, Rejection::RoundAlreadyKnown { round: 4 }).await;
}

#[tokio::test]
async fn a_deposit_signed_as_such_is_no_withdrawal() {
    // The same bytes, signed as a body of the other kind: the kind alone tells them apart.
    let (mut world, channel) = World::open().await;
    let body = body(world.now() + 5);
    let signatures = channel.binding(Kind::Deposit).sign(&keys(), &body);
    let call = Call::ChannelWithdraw(Withdraw { channel: channel.id, body, signatures });
    world.refuse(Actor::Initiator, &call, 0, Rejection::SignatureInvalid { party: Party::Initiator }).await;
}

#[tokio::test]
async fn a_channel_that_closes_pays_no_withdrawal() {
    let (mut world, channel) = World::open().await;
    let _done = world.accept(Actor::Responder, &channel.close_solo(&State::new(2, 0, TOTAL - 1)), 0).await;
    let call = |world: &World| Call::ChannelWithdraw(channel.withdraw(body(world.now())));
    world.refuse(Actor::Initiator, &call(&world), 0, Rejection::NotOpen).await;
    world.travel_to(world.now() + LOCK_PERIOD).await;
    world.refuse(Actor::Initiator, &call(&world), 0, Rejection::NotOpen).await;
    let _done = world.accept(Actor::Responder, &channel.settle(), 0).await;
    world.refuse(Actor::Initiator, &call(&world), 0, Rejection::NotOpen).await;
}
