//! `channel_close_mutual` (R5.12): a healthy close in every phase, and every single way in which one can be wrong.

use crate::harness::*;
use protocol::{
    Amount, BlockNumber, ChannelId, Pair, Party, Rejection,
    call::{Call, CloseMutual},
    event::{ArbiterEvent, Payout},
    signing::{CloseMutualBody, Kind},
    terms::Destination,
};
use sdk::chain::arbiter::ChannelEvent;

const FEE: Amount = UNIT / 100;
const FINAL: Pair<Amount> = Pair::new(40 * UNIT - FEE, 120 * UNIT);

fn body(valid_until: BlockNumber) -> CloseMutualBody {
    CloseMutualBody { balances: FINAL, fee: FEE, valid_until }
}

#[tokio::test]
async fn closing_in_agreement_pays_both_and_the_submitter_and_leaves_only_the_pairs_nonce() {
    let world = World::funded().await;
    let empty = world.snapshot().await;
    let (mut world, channel) = World::open().await;
    let open = world.snapshot().await;
    let done = world.accept(Actor::Stranger, &channel.close_mutual(FINAL, FEE, world.now() + 5), 0).await;

    let account = |party, who: Actor, amount| Payout { party, to: who.id(), amount, destination: Destination::Account };
    let event = ArbiterEvent::ChannelClosedMutually { balances: FINAL, fee: FEE };
    let payouts = vec![
        account(Some(Party::Initiator), Actor::Initiator, FINAL.initiator),
        account(Some(Party::Responder), Actor::Responder, FINAL.responder),
        account(None, Actor::Stranger, FEE),
    ];
    assert_eq!(done.events, [ChannelEvent { channel: channel.id, event, payouts }]);
    assert_eq!(world.record(&channel).await, None);

    let after = world.snapshot().await;
    let gained = |who: Actor| after.free[&who.id()] - open.free[&who.id()];
    assert_eq!((gained(Actor::Initiator), gained(Actor::Responder)), (FINAL.initiator, FINAL.responder));
    assert_eq!(after.info.items, empty.info.items + 1, "the pair's nonce is all that stays (R5.15)");
    // The deposit goes to whoever closes.
    let returned = Amount::try_from(-done.receipt.storage_deposit).unwrap();
    assert_eq!(returned, open.info.deposit - after.info.deposit);
    let for_the_nonce = after.info.deposit - empty.info.deposit;
    assert!(returned > for_the_nonce, "most of the deposit is the record's");
    let spent = done.receipt.fee;
    let stranger = after.free[&Actor::Stranger.id()] + spent - open.free[&Actor::Stranger.id()];
    assert_eq!(stranger, FEE + returned);
}

#[tokio::test]
async fn a_channel_closes_in_agreement_in_every_phase() {
    let (world, channel) = World::open().await;
    for who in Actor::ALL {
        // Open.
        let mut world = world.fork_for(&who).await;
        let _done = world.fork().await.accept(who, &channel.close_mutual(FINAL, FEE, world.now()), 0).await;
        // Locked, then with the lock run out.
        let _done = world.accept(Actor::Responder, &channel.close_solo(&State::new(7, 0, TOTAL)), 0).await;
        let _done = world.fork().await.accept(who, &channel.close_mutual(FINAL, FEE, world.now()), 0).await;
        world.travel_to(world.now() + LOCK_PERIOD + 1).await;
        let _done = world.accept(who, &channel.close_mutual(FINAL, FEE, world.now()), 0).await;
    }
}

mutations! {
    /// Agreements on the very edge of what is allowed.
    Edge {
        /// In the last block in which it counts (R5.3).
        ValidUntilNow,
        ValidUntilTheNextBlock,
        /// As far ahead as the arbiter allows (R5.13).
        ValidAsLongAsAllowed,
        NoFee,
        /// The reserve is for disputes: in agreement, everything may go.
        AllToTheInitiator,
        AllToTheResponder,
        AllToTheSubmitter,
    }
}

#[tokio::test]
async fn agreements_on_the_edge_of_what_is_allowed_succeed_and_zero_is_not_paid_out() {
    let (world, channel) = World::open().await;
    for &edge in Edge::ALL {
        let mut world = world.fork_for(&edge).await;
        let mut body = body(world.now() + 1);
        let payouts = match edge {
            Edge::ValidUntilNow => {
                body.valid_until = world.now();
                3
            }
            Edge::ValidUntilTheNextBlock => 3,
            Edge::ValidAsLongAsAllowed => {
                body.valid_until = world.now() + LIMITS.validity_max;
                3
            }
            Edge::NoFee => {
                (body.balances.initiator, body.fee) = (40 * UNIT, 0);
                2
            }
            Edge::AllToTheInitiator => {
                (body.balances, body.fee) = (Pair::new(TOTAL, 0), 0);
                1
            }
            Edge::AllToTheResponder => {
                (body.balances, body.fee) = (Pair::new(0, TOTAL), 0);
                1
            }
            Edge::AllToTheSubmitter => {
                (body.balances, body.fee) = (Pair::new(0, 0), TOTAL);
                1
            }
        };
        let call = Call::ChannelCloseMutual(channel.close_mutual_as(body));
        let done = world.accept(Actor::Stranger, &call, 0).await;
        assert_eq!(done.events[0].payouts.len(), payouts);
    }
}

mutations! {
    /// One thing wrong with an agreement that both parties signed all the same.
    Mutation {
        /// Never opened here, or over.
        OfNoChannel,
        /// R5.3: agreed too long ago.
        ExpiredOneBlockAgo,
        /// R5.13: an agreement that hangs over the channel for longer than the arbiter allows.
        ValidTooLong,
        /// R5.12: a coin of somebody else's channel.
        InitiatorOneOver,
        /// R5.12: a coin left behind for good.
        InitiatorOneShort,
        ResponderOneOver,
        ResponderOneShort,
        /// R5.12: the fee is part of the sum.
        FeeOneOver,
        FeeOneShort,
        /// The fee on top of the total.
        FeeOnTop,
        /// R3.3: balances whose sum wraps round to the total.
        BalancesOverflow,
        /// R3.3: a fee with which the sum wraps round to the total.
        FeeOverflows,
    }
}

impl Mutation {
    fn make(self, body: &mut CloseMutualBody, channel: &mut Channel, now: BlockNumber) -> Rejection {
        let sum = |got| Rejection::SumMismatch { got, want: TOTAL };
        let CloseMutualBody { balances, fee, valid_until } = body;
        match self {
            Self::OfNoChannel => {
                channel.id = ChannelId([7; 32]);
                Rejection::ChannelUnknown
            }
            Self::ExpiredOneBlockAgo => {
                *valid_until = now - 1;
                Rejection::Expired { valid_until: now - 1, now }
            }
            Self::ValidTooLong => {
                *valid_until = now + 51;
                Rejection::ExpiryTooFar { valid_until: now + 51, max: now + 50 }
            }
            Self::InitiatorOneOver => {
                balances.initiator += 1;
                sum(Some(TOTAL + 1))
            }
            Self::InitiatorOneShort => {
                balances.initiator -= 1;
                sum(Some(TOTAL - 1))
            }
            Self::ResponderOneOver => {
                balances.responder += 1;
                sum(Some(TOTAL + 1))
            }
            Self::ResponderOneShort => {
                balances.responder -= 1;
                sum(Some(TOTAL - 1))
            }
            Self::FeeOneOver => {
                *fee += 1;
                sum(Some(TOTAL + 1))
            }
            Self::FeeOneShort => {
                *fee -= 1;
                sum(Some(TOTAL - 1))
            }
            Self::FeeOnTop => {
                balances.initiator += *fee;
                sum(Some(TOTAL + FEE))
            }
            Self::BalancesOverflow => {
                (*balances, *fee) = (Pair::new(Amount::MAX, TOTAL + 1), 0);
                sum(None)
            }
            Self::FeeOverflows => {
                (*balances, *fee) = (Pair::new(TOTAL, 1), Amount::MAX);
                sum(None)
            }
        }
    }
}

#[tokio::test]
async fn each_thing_wrong_with_an_agreement_is_refused_by_its_own_error_and_changes_nothing() {
    let (world, channel) = World::open().await;
    for &mutation in Mutation::ALL {
        let mut world = world.fork_for(&mutation).await;
        let (mut body, mut channel) = (body(world.now() + 5), channel);
        let rejection = mutation.make(&mut body, &mut channel, world.now());
        let call = Call::ChannelCloseMutual(channel.close_mutual_as(body));
        world.refuse(Actor::Initiator, &call, 0, rejection).await;
    }
}

#[tokio::test]
async fn an_agreement_with_forged_signatures_is_refused_and_changes_nothing() {
    let (world, channel) = World::open().await;
    let (body, binding) = (body(world.now() + 5), channel.binding(Kind::CloseMutual));
    let call =
        |signatures| Call::ChannelCloseMutual(CloseMutual { channel: channel.id, body: body.clone(), signatures });
    world.refuse_forgeries(Actor::Initiator, &binding, &body, call).await;
}

#[tokio::test]
async fn an_agreement_changed_after_it_was_signed_is_refused_and_changes_nothing() {
    let changes: [fn(&mut CloseMutualBody); 3] = [
        |body| body.balances = Pair::new(FINAL.initiator + 1, FINAL.responder - 1),
        |body| (body.balances.initiator, body.fee) = (FINAL.initiator - 1, FEE + 1),
        |body| body.valid_until += 1,
    ];
    let (mut world, channel) = World::open().await;
    for change in changes {
        let mut call = channel.close_mutual_as(body(world.now() + 5));
        change(&mut call.body);
        let rejection = Rejection::SignatureInvalid { party: Party::Initiator };
        world.refuse(Actor::Stranger, &Call::ChannelCloseMutual(call), 0, rejection).await;
    }
}
