//! Who may do what, and when: delegates have the least power that defends (R5.6, R5.9, R5.10).

use crate::harness::*;
use protocol::{
    Pair, Party, Rejection,
    call::Call,
    contracts::conditional::{HashFunction, Preimage},
    signing::{DepositBody, SetDelegatesBody, WithdrawBody},
    terms::{Delegate, Power},
};

/// Where a channel stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Open,
    /// Before `unlock_at`.
    Locked,
    /// From `unlock_at` on, and nobody settled.
    Unlocked,
    /// From a lock period after that on.
    Overdue,
    Residual,
}

use Stage::{Locked, Open, Overdue, Residual, Unlocked};

const STAGES: [Stage; 5] = [Open, Locked, Unlocked, Overdue, Residual];
/// A delegate of the initiator's that may defend and no more: a watchtower.
const TOWER: Actor = Actor::Deployer;
const CALLERS: [Actor; 6] =
    [Actor::Initiator, Actor::Responder, Actor::InitiatorsDelegate, Actor::RespondersDelegate, TOWER, Actor::Stranger];
const PARTIES: &[Actor] = &[Actor::Initiator, Actor::Responder];
const DEFENDERS: &[Actor] =
    &[Actor::Initiator, Actor::Responder, Actor::InitiatorsDelegate, Actor::RespondersDelegate, TOWER];
const CLOSING: [Stage; 3] = [Locked, Unlocked, Overdue];

mutations! {
    /// What a caller may try on a channel.
    Attempt {
        Deposit,
        Withdraw,
        Snapshot,
        SetDelegates,
        CloseMutual,
        CloseSolo,
        CloseSoloOnChain,
        Slash,
        Settle,
        ForceForTheInitiator,
        ForceForTheInitiatorWithCoins,
        ForceForTheInitiatorOnANewerState,
        ForceForTheResponder,
        PreimageRegister,
        PreimagesRegister,
    }
}

/// The channel in all its stages.
async fn stages() -> (Vec<(Stage, World)>, Channel, Inside) {
    let mut world = World::funded().await;
    let mut body = create_body(world.now());
    body.terms.parties.initiator.delegates.push(Delegate::defender(TOWER.id()));
    let channel = world.create(&body).await;
    let counter = (COUNTER, world.apps.counting(5 * UNIT, 0, 1_000));
    let base = Inside::new(6, Pair::new(85 * UNIT, 70 * UNIT), [counter]);
    let _done = world.accept(Actor::Initiator, &channel.snapshot(&base.state()), 0).await;
    let open = world.fork().await;
    let _done = world.accept(Actor::Initiator, &channel.close_solo_on_chain(base.commitment()), 0).await;
    let locked = world.fork().await;
    world.travel_to(world.now() + LOCK_PERIOD).await;
    let unlocked = world.fork().await;
    let overdue = world.fork().await;
    overdue.travel_to(overdue.now() + LOCK_PERIOD).await;
    let _done = world.accept(Actor::Initiator, &channel.settle(), 0).await;
    let stages = vec![(Open, open), (Locked, locked), (Unlocked, unlocked), (Overdue, overdue), (Residual, world)];
    (stages, channel, base)
}

impl Attempt {
    /// A call that is healthy wherever it is allowed.
    fn call(self, world: &World, channel: &Channel, base: &Inside) -> Call {
        let newer = base.at(8);
        let (party, round, base_of, state_hash) = (Party::Initiator, newer.round, newer.base, newer.state().hash());
        let (amount, to, valid_until) = (UNIT, Actor::Initiator.id(), world.now());
        let force = |party, shown, base: &Inside, value| {
            let step = Step { shown, ..channel.step(base, party, vec![call(COUNTER, value, &1u64)]) };
            Call::ChannelForceProgress(world.blind(&step))
        };
        match self {
            Self::Deposit => {
                let body = DepositBody { party, amount, round, base: base_of, state_hash, valid_until };
                Call::ChannelDeposit(channel.deposit(body))
            }
            Self::Withdraw => {
                let body = WithdrawBody { party, amount, to, round, base: base_of, state_hash, valid_until };
                Call::ChannelWithdraw(channel.withdraw(body))
            }
            Self::Snapshot => channel.snapshot(&newer.state()),
            Self::SetDelegates => {
                let delegates = Pair::default();
                let body = SetDelegatesBody { delegates, round, base: base_of, state_hash, valid_until };
                Call::ChannelSetDelegates(channel.set_delegates(body))
            }
            Self::CloseMutual => {
                let total = world.recorded(channel).total;
                channel.close_mutual(Pair::new(total - UNIT, UNIT), 0, valid_until)
            }
            Self::CloseSolo => channel.close_solo(&newer.state()),
            Self::CloseSoloOnChain => channel.close_solo_on_chain(base.commitment()),
            Self::Slash => channel.slash(&newer.state()),
            Self::Settle => channel.settle(),
            Self::ForceForTheInitiator => force(Party::Initiator, Shown::OnChain, base, 0),
            Self::ForceForTheInitiatorWithCoins => force(Party::Initiator, Shown::OnChain, base, UNIT),
            Self::ForceForTheInitiatorOnANewerState => force(Party::Initiator, Shown::AsPayload, &newer, 0),
            Self::ForceForTheResponder => force(Party::Responder, Shown::OnChain, base, 0),
            Self::PreimageRegister => {
                Call::PreimageRegister { preimage: Preimage([1; 32]), function: HashFunction::Sha2_256 }
            }
            Self::PreimagesRegister => {
                Call::PreimagesRegister { preimages: vec![Preimage([1; 32])], function: HashFunction::Sha2_256 }
            }
        }
    }

    /// The whole table: who may do it in which stage. Everything else is refused.
    fn allowed(self) -> Vec<(&'static [Actor], Vec<Stage>)> {
        match self {
            // Both signed: it does not matter who brings it.
            Self::Deposit | Self::Withdraw | Self::SetDelegates => vec![(&CALLERS, vec![Open])],
            Self::CloseMutual | Self::PreimageRegister | Self::PreimagesRegister => {
                vec![(&CALLERS, STAGES.to_vec())]
            }
            Self::Snapshot => vec![(DEFENDERS, vec![Open])],
            Self::CloseSolo | Self::CloseSoloOnChain => vec![(PARTIES, vec![Open])],
            Self::Slash => vec![(DEFENDERS, CLOSING.to_vec())],
            Self::Settle => vec![(DEFENDERS, vec![Unlocked]), (&CALLERS, vec![Overdue])],
            Self::ForceForTheInitiator => {
                vec![(&[Actor::Initiator], STAGES.to_vec()), (&[Actor::InitiatorsDelegate], CLOSING.to_vec())]
            }
            // What is settled is paid out: nobody has coins in it to attach.
            Self::ForceForTheInitiatorWithCoins => vec![(&[Actor::Initiator], vec![Open, Locked, Unlocked, Overdue])],
            Self::ForceForTheInitiatorOnANewerState => {
                vec![
                    (&[Actor::Initiator], vec![Open, Locked, Unlocked, Overdue]),
                    (&[Actor::InitiatorsDelegate], CLOSING.to_vec()),
                ]
            }
            Self::ForceForTheResponder => {
                vec![(&[Actor::Responder], STAGES.to_vec()), (&[Actor::RespondersDelegate], CLOSING.to_vec())]
            }
        }
    }
}

#[tokio::test]
async fn everybody_may_do_exactly_what_the_table_says_in_each_stage() {
    let (stages, channel, base) = stages().await;
    for (stage, world) in &stages {
        for &attempt in Attempt::ALL {
            for who in CALLERS {
                let mut world = world.fork_for(&(stage, attempt, who)).await;
                let call = attempt.call(&world, &channel, &base);
                let outcome = world.accept_or_refuse(who, &call, 0).await;
                let allowed = attempt.allowed();
                let may = allowed.iter().any(|(who_may, when)| who_may.contains(&who) && when.contains(stage));
                assert_eq!(outcome.is_ok(), may, "{attempt:?} by {who:?} while {stage:?}: {outcome:?}");
            }
        }
    }
}

#[tokio::test]
async fn whoever_may_never_force_is_told_so_before_anything_else() {
    let (stages, channel, base) = stages().await;
    for (stage, world) in &stages {
        for (attempt, party) in
            [(Attempt::ForceForTheInitiator, Party::Initiator), (Attempt::ForceForTheResponder, Party::Responder)]
        {
            let closing = CLOSING.contains(stage);
            for who in CALLERS {
                let own = match party {
                    Party::Initiator => Actor::InitiatorsDelegate,
                    Party::Responder => Actor::RespondersDelegate,
                };
                if who == party.into() || (closing && who == own) {
                    continue;
                }
                let mut world = world.fork_for(&(stage, attempt, who)).await;
                let call = attempt.call(&world, &channel, &base);
                let rejection = if closing && who == TOWER && party == Party::Initiator {
                    Rejection::DelegateMayNotCall { party }
                } else {
                    Rejection::MayNotForce { party }
                };
                world.refuse(who, &call, 0, rejection).await;
            }
        }
    }
}

#[tokio::test]
async fn a_delegates_step_does_what_its_principals_would_and_pays_the_principal() {
    let (stages, channel, base) = stages().await;
    let (_, locked) = &stages[1];
    let mut by_delegate = locked.fork().await;
    let mut by_party = locked.fork().await;
    let reach = vec![count(1_000)];
    let step = channel.step_on_chain(&base, Party::Responder, reach);
    let (_done, after) = by_delegate.force_as(Actor::RespondersDelegate, &step).await;
    let _same = by_party.force(&step).await;
    assert_eq!(after.balances, Pair::new(85 * UNIT, 75 * UNIT));
    assert_eq!(by_delegate.recorded(&channel), by_party.recorded(&channel));
    // The delegate earns nothing by it.
    let unlock_at = by_delegate.recorded(&channel).closing().unwrap().unlock_at;
    by_delegate.travel_to(unlock_at).await;
    let before = by_delegate.snapshot().await;
    let _done = by_delegate.accept(Actor::InitiatorsDelegate, &channel.settle(), 0).await;
    let now = by_delegate.snapshot().await;
    let earned = |who: Actor| now.free[&who.id()] - before.free[&who.id()];
    assert_eq!((earned(Actor::Responder), earned(Actor::RespondersDelegate)), (75 * UNIT, 0));
}

#[tokio::test]
async fn a_delegate_that_was_replaced_may_nothing_any_more_and_the_new_one_may() {
    let (stages, channel, base) = stages().await;
    let mut world = stages[0].1.fork().await;
    let delegates = Pair::new(vec![Delegate::caller(Actor::Stranger.id())], Vec::new());
    let base = base.at(7);
    let (state_hash, valid_until) = (base.state().hash(), world.now());
    let body = SetDelegatesBody { delegates, round: base.round, base: base.base, state_hash, valid_until };
    let _done = world.accept(Actor::Responder, &Call::ChannelSetDelegates(channel.set_delegates(body)), 0).await;
    let _done = world.accept(Actor::Responder, &channel.close_solo_on_chain(base.commitment()), 0).await;
    let step = channel.step_on_chain(&base, Party::Initiator, vec![count(1)]);
    let may_not = Rejection::MayNotForce { party: Party::Initiator };
    world.refuse_step_of(Actor::InitiatorsDelegate, &step, may_not).await;
    let slash = channel.slash(&base.at(9).state());
    world.refuse(Actor::InitiatorsDelegate, &slash, 0, Rejection::NotPartyOrDelegate).await;
    let _done = world.force_as(Actor::Stranger, &step).await;
}

#[tokio::test]
async fn the_class_of_a_delegate_may_be_changed_and_named_twice_the_greater_power_counts() {
    let (stages, channel, base) = stages().await;
    let base = base.at(7);
    let step = channel.step_on_chain(&base, Party::Initiator, vec![count(1)]);
    for (powers, may_call) in [
        (&[Power::Defend][..], false),
        (&[Power::Call], true),
        (&[Power::Defend, Power::Defend], false),
        (&[Power::Defend, Power::Call], true),
        (&[Power::Call, Power::Defend], true),
    ] {
        let mut world = stages[0].1.fork_for(&powers).await;
        let delegates = powers.iter().map(|&power| Delegate { account: TOWER.id(), power }).collect();
        let (state_hash, valid_until) = (base.state().hash(), world.now());
        let delegates = Pair::new(delegates, Vec::new());
        let body = SetDelegatesBody { delegates, round: base.round, base: base.base, state_hash, valid_until };
        let _done = world.accept(Actor::Responder, &Call::ChannelSetDelegates(channel.set_delegates(body)), 0).await;
        let _done = world.accept(Actor::Responder, &channel.close_solo_on_chain(base.commitment()), 0).await;
        if may_call {
            let _done = world.force_as(TOWER, &step).await;
        } else {
            let may_not = Rejection::DelegateMayNotCall { party: Party::Initiator };
            world.refuse_step_of(TOWER, &step, may_not).await;
            // It defends all the same.
            let _done = world.accept(TOWER, &channel.slash(&base.at(9).state()), 0).await;
        }
    }
}

#[tokio::test]
async fn a_watchtower_gives_none_of_its_partys_coins_away() {
    // What it may not: call the escrow in the party's name, so that the peer can redeem. It is told before anything is run.
    let (mut world, channel) = World::open().await;
    let escrow = (ESCROW, world.apps.escrowing(Pair::new(6 * UNIT, 4 * UNIT), world.now() + 900));
    let base = Inside::new(6, Pair::new(80 * UNIT, 70 * UNIT), [escrow]);
    let (round, state_hash, valid_until) = (5, base.state().hash(), world.now());
    let delegates = Pair::new(vec![Delegate::defender(TOWER.id())], Vec::new());
    let body = SetDelegatesBody { delegates, round, base: OPENING, state_hash, valid_until };
    let _done = world.accept(Actor::Initiator, &Call::ChannelSetDelegates(channel.set_delegates(body)), 0).await;
    let _done = world.accept(Actor::Responder, &channel.close_solo(&base.state()), 0).await;
    let gives = channel.step_on_chain(&base, Party::Initiator, vec![call(ESCROW, 0, &escrow::Input::Move(6 * UNIT))]);
    let may_not = Rejection::DelegateMayNotCall { party: Party::Initiator };
    world.refuse_step_of(TOWER, &gives, may_not).await;
}
