//! Messages in every order: each state that was put on chain, by whatever means, can be gone on from by every other (R5.4).

use crate::harness::*;
use protocol::{
    Amount, Base, Pair, Party, Rejection, Round,
    call::Call,
    record::Penalty,
    signing::{DepositBody, SetDelegatesBody, WithdrawBody},
};

mutations! {
    /// What puts a state on chain.
    First {
        Create,
        Deposit,
        Withdraw,
        Snapshot,
        SetDelegates,
        ForceProgress,
    }
}

mutations! {
    /// What follows.
    Next {
        Deposit,
        Withdraw,
        Snapshot,
        SetDelegates,
        CloseMutual,
        CloseSolo,
        CloseSoloOnChain,
        ForceProgress,
        ForceProgressOnChain,
    }
}

/// A state of a channel that holds so much.
fn state(world: &World, round: Round, total: Amount) -> Inside {
    let counter = (COUNTER, world.apps.counting(10 * UNIT, 0, 99));
    Inside::new(round, Pair::new(40 * UNIT, total - 50 * UNIT), [counter])
}

fn deposit(world: &World, channel: &Channel, after: &Inside) -> Call {
    let (round, base, state_hash, valid_until) = (after.round, after.base, after.state().hash(), world.now());
    let body = DepositBody { party: Party::Responder, amount: UNIT, round, base, state_hash, valid_until };
    Call::ChannelDeposit(channel.deposit(body))
}

fn withdraw(world: &World, channel: &Channel, after: &Inside) -> Call {
    let (round, base, state_hash, valid_until) = (after.round, after.base, after.state().hash(), world.now());
    let to = Actor::Initiator.id();
    let body = WithdrawBody { party: Party::Initiator, amount: UNIT, to, round, base, state_hash, valid_until };
    Call::ChannelWithdraw(channel.withdraw(body))
}

fn set_delegates(world: &World, channel: &Channel, after: &Inside) -> Call {
    let (round, base, state_hash, valid_until) = (after.round, after.base, after.state().hash(), world.now());
    let body = SetDelegatesBody { delegates: Pair::default(), round, base, state_hash, valid_until };
    Call::ChannelSetDelegates(channel.set_delegates(body))
}

impl First {
    /// Does it, and answers the state that is on chain then.
    async fn make(self, world: &mut World, channel: &Channel) -> Inside {
        let total = match self {
            Self::Deposit => TOTAL + UNIT,
            Self::Withdraw => TOTAL - UNIT,
            _ => TOTAL,
        };
        let after = state(world, 4, total);
        let call = match self {
            Self::Create => return Inside::new(1, BALANCES, []),
            Self::Deposit => deposit(world, channel, &after),
            Self::Withdraw => withdraw(world, channel, &after),
            Self::Snapshot => channel.snapshot(&after.state()),
            Self::SetDelegates => set_delegates(world, channel, &after),
            Self::ForceProgress => {
                return world.force(&channel.step(&after, Party::Initiator, vec![count(1)])).await;
            }
        };
        let _done = world.accept(Actor::Responder, &call, 0).await;
        after
    }
}

impl Next {
    async fn make(self, world: &mut World, channel: &Channel, on_chain: &Inside) {
        let total = world.recorded(channel).total;
        let newer = |world: &World, total| state(world, on_chain.round + 2, total);
        let call = match self {
            Self::Deposit => deposit(world, channel, &newer(world, total + UNIT)),
            Self::Withdraw => withdraw(world, channel, &newer(world, total - UNIT)),
            Self::Snapshot => channel.snapshot(&newer(world, total).state()),
            Self::SetDelegates => set_delegates(world, channel, &newer(world, total)),
            Self::CloseMutual => channel.close_mutual(Pair::new(total, 0), 0, world.now()),
            Self::CloseSolo => channel.close_solo(&newer(world, total).state()),
            Self::CloseSoloOnChain => channel.close_solo_on_chain(on_chain.commitment()),
            Self::ForceProgress => {
                let step = channel.step(&newer(world, total), Party::Responder, vec![count(2)]);
                let _after = world.force(&step).await;
                return;
            }
            Self::ForceProgressOnChain => {
                let step = channel.step_on_chain(on_chain, Party::Responder, vec![count(2)]);
                if on_chain.contracts.is_empty() {
                    let not_there = Rejection::ContractNotShown { contract: COUNTER };
                    return world.refuse_step(&step, not_there).await;
                }
                let _after = world.force(&step).await;
                return;
            }
        };
        let _done = world.accept(Actor::Initiator, &call, 0).await;
    }
}

#[tokio::test]
async fn every_message_may_follow_every_other_on_an_open_channel() {
    let (world, channel) = World::open().await;
    for &first in First::ALL {
        let mut world = world.fork().await;
        let on_chain = first.make(&mut world, &channel).await;
        for &next in Next::ALL {
            let mut world = world.fork_for(&(first, next)).await;
            next.make(&mut world, &channel, &on_chain).await;
        }
    }
}

#[tokio::test]
async fn a_close_in_the_middle_of_a_forced_chain_is_slashed_from_the_chains_first_round_on() {
    // Forced 7 and 8, closed on 8, forced 9, answered with 7.
    let (mut world, channel) = World::open().await;
    let base = state(&world, 6, TOTAL);
    let tip = world.force(&channel.step(&base, Party::Responder, vec![count(1), count(1)])).await;
    let _done = world.accept(Actor::Responder, &channel.close_solo_on_chain(tip.commitment()), 0).await;
    let _tip = world.force(&channel.step_on_chain(&tip, Party::Responder, vec![count(1)])).await;
    assert_eq!(world.recorded(&channel).on_chain.at, Base { agreed: 6, steps: 3 });
    let too_old = Rejection::RoundTooOld { got: 6, have: 6 };
    world.refuse(Actor::Initiator, &channel.slash(&base.state()), 0, too_old).await;
    let agreed = State::new(7, 100 * UNIT, 60 * UNIT);
    let _done = world.accept(Actor::Initiator, &channel.slash(&agreed), 0).await;
    let record = world.recorded(&channel);
    assert_eq!(record.on_chain.at, Base::of(7));
    let closing = record.closing().unwrap();
    assert_eq!((closing.balances, closing.penalty), (agreed.commitment.balances, Penalty::Due(Party::Responder)));
}

#[tokio::test]
async fn a_dispute_of_every_step_there_is_ends_and_pays_what_was_forced_last() {
    // Closed, slashed, forced as often as both may: then nothing moves the lock any more, and it runs out.
    let (mut world, channel) = World::open().await;
    let old = state(&world, 3, TOTAL);
    let _done = world.accept(Actor::Responder, &channel.close_solo(&old.state()), 0).await;
    let newest = state(&world, 8, TOTAL);
    let _done = world.accept(Actor::InitiatorsDelegate, &channel.slash(&newest.state()), 0).await;
    let mut tip = newest.clone();
    for _ in 0..terms().max_forced {
        for party in Party::BOTH {
            world.travel_to(world.recorded(&channel).closing().unwrap().unlock_at - 1).await;
            tip = world.force(&channel.step_on_chain(&tip, party, vec![call(COUNTER, UNIT, &1u64)])).await;
        }
    }
    let unlock_at = world.recorded(&channel).closing().unwrap().unlock_at;
    for party in Party::BOTH {
        let used_up = Rejection::ForcedStepsUsedUp { max: 3 };
        world.refuse_step(&channel.step_on_chain(&tip, party, vec![count(1)]), used_up).await;
    }
    world.travel_to(unlock_at).await;
    let done = world.accept(Actor::InitiatorsDelegate, &channel.settle(), 0).await;
    let paid: Vec<Amount> = done.events[0].payouts.iter().map(|payout| payout.amount).collect();
    assert_eq!(paid, [37 * UNIT, 107 * UNIT]);
    assert_eq!(world.recorded(&channel).total, 16 * UNIT);
}
