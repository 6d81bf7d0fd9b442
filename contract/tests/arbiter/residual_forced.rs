//! Forced steps on a settled channel: what the contracts release leaves at once, until nothing is left (R5.10, R5.11).

use crate::harness::*;
use protocol::{
    AccountId, Amount, Base, BlockNumber, Pair, Party, PartyId, Rejection,
    call::{Call, ForceProgress, ForcedCall},
    contracts::{
        CallFault, ContractId,
        conditional::{ConditionalInput, HashFunction, Preimage},
    },
    event::{ArbiterEvent, Payout},
    record::Phase,
    terms::Destination,
};

const SECRET: Preimage = Preimage([0xAA; 32]);
const LATER: ContractId = ContractId([0x1D; 32]);
const OUTSIDE: Pair<Amount> = Pair::new(80 * UNIT, 50 * UNIT);
/// What the contracts hold: the hostile app 8, one transfer 10, the other 12.
const REST: Amount = 30 * UNIT;

/// A settled channel whose contracts hold [`REST`], and the expiry of both transfers to the responder.
async fn settled() -> (World, Channel, Inside, BlockNumber) {
    let (mut world, channel) = World::open().await;
    let expiry = world.now() + 100;
    let to_responder = |amount| transfer(amount, Party::Responder, &SECRET, HashFunction::Blake2b256, expiry);
    let contracts = [
        (HOSTILE, world.apps.hostile(8 * UNIT, vec![9])),
        (TRANSFER, to_responder(10 * UNIT)),
        (LATER, to_responder(12 * UNIT)),
    ];
    let base = Inside::new(6, OUTSIDE, contracts);
    settle_on(&mut world, &channel, &base).await;
    (world, channel, base, expiry)
}

async fn settle_on(world: &mut World, channel: &Channel, base: &Inside) {
    let _done = world.accept(Actor::Initiator, &channel.close_solo(&base.state()), 0).await;
    world.travel_to(world.now() + LOCK_PERIOD).await;
    let _done = world.accept(Actor::InitiatorsDelegate, &channel.settle(), 0).await;
}

fn pay(initiator: Amount, responder: Amount) -> ForcedCall {
    call(HOSTILE, 0, &hostile::Input::Pay(initiator, responder))
}

fn claim(contract: ContractId) -> ForcedCall {
    call(contract, 0, &ConditionalInput::Claim(SECRET))
}

fn refund(contract: ContractId) -> ForcedCall {
    call(contract, 0, &ConditionalInput::Refund)
}

fn to(party: Party, amount: Amount) -> Payout {
    Payout { party: Some(party), to: Actor::from(party).id(), amount, destination: Destination::Account }
}

#[tokio::test]
async fn what_a_contract_pays_leaves_at_once_and_the_balances_paid_before_do_not_move() {
    let (mut world, channel, base, _expiry) = settled().await;
    let before = world.snapshot().await;
    let step = channel.step_on_chain(&base, Party::Initiator, vec![pay(UNIT, 0), pay(2 * UNIT, 3 * UNIT)]);
    let (done, after) = world.force_as(Actor::Initiator, &step).await;
    assert_eq!(done.events[0].payouts, [to(Party::Initiator, 3 * UNIT), to(Party::Responder, 3 * UNIT)]);
    assert_eq!(after.balances, OUTSIDE);
    let record = world.recorded(&channel);
    assert_eq!(record.total, REST - 6 * UNIT);
    assert!(matches!(record.phase, Phase::Residual { .. }));
    assert_eq!((record.on_chain.at, record.forced_steps), (Base { agreed: 6, steps: 2 }, Pair::new(1, 0)));
    let ArbiterEvent::ChannelProgressed { total, closing: None, .. } = done.events[0].event else {
        panic!("it progressed")
    };
    assert_eq!(total, record.total);
    let now = world.snapshot().await;
    let responder = Actor::Responder.id();
    assert_eq!(now.free[&responder] - before.free[&responder], 3 * UNIT);
    assert_eq!(now.free[&world.address()], before.free[&world.address()] - 6 * UNIT);
}

#[tokio::test]
async fn the_record_leaves_with_the_last_coin_and_not_before() {
    let (mut world, channel, base, _expiry) = settled().await;
    let all_but_one = channel.step_on_chain(&base, Party::Responder, vec![pay(8 * UNIT - 1, 0), claim(TRANSFER)]);
    let tip = world.force(&all_but_one).await;
    let tip = world.force(&channel.step_on_chain(&tip, Party::Responder, vec![claim(LATER)])).await;
    assert_eq!(world.recorded(&channel).total, 1);
    let before = world.snapshot().await;
    let last = channel.step_on_chain(&tip, Party::Initiator, vec![pay(0, 1)]);
    let (done, _after) = world.force_as(Actor::Initiator, &last).await;
    assert_eq!(world.record(&channel).await, None);
    let after = world.snapshot().await;
    assert_eq!(after.info.items, before.info.items - 1, "the record is gone, the nonce and the pre-image stay");
    assert_eq!(after.nonces, before.nonces);
    let returned = Amount::try_from(-done.receipt.storage_deposit).unwrap();
    assert_eq!(returned, before.info.deposit - after.info.deposit, "the deposit goes to whoever ended it");
    let gone = Call::ChannelForceProgress(world.blind(&last));
    world.refuse(Actor::Initiator, &gone, 0, Rejection::ChannelUnknown).await;
}

#[tokio::test]
async fn all_of_it_can_leave_in_one_transaction_and_only_the_nonce_stays() {
    let (mut world, channel) = World::open().await;
    let counter = world.apps.counting(REST, 3, 4);
    let base = Inside::new(6, OUTSIDE, [(COUNTER, counter)]);
    settle_on(&mut world, &channel, &base).await;
    let (done, _after) =
        world.force_as(Actor::Responder, &channel.step_on_chain(&base, Party::Responder, vec![count(1)])).await;
    assert_eq!(done.events[0].payouts, [to(Party::Responder, REST)]);
    assert_eq!((world.record(&channel).await, world.ledger.held()), (None, 2 * VAULT - TOTAL));
    let empty = World::funded().await.snapshot().await;
    assert_eq!(world.snapshot().await.info.items, empty.info.items + 1, "only the pair's nonce stays (R5.15)");
    // The accounts may open another channel, with another id.
    let next = world.create(&create_body(world.now())).await;
    assert_ne!(next.id, channel.id);
}

#[tokio::test]
async fn each_party_makes_as_many_steps_in_a_lock_period_as_the_terms_allow_whatever_they_pay() {
    // Dust: steps that pay one coin, each of which makes what its peer has ready too old.
    for coins in [0, 1, UNIT] {
        let (mut world, channel, base, _expiry) = settled().await;
        let mut tip = base;
        for step in 1..=terms().max_forced {
            tip = world.force(&channel.step_on_chain(&tip, Party::Responder, vec![pay(0, coins)])).await;
            assert_eq!(world.recorded(&channel).forced_steps, Pair::new(0, step));
        }
        let again = channel.step_on_chain(&tip, Party::Responder, vec![pay(0, coins)]);
        world.refuse_step(&again, Rejection::ForcedStepsUsedUp { max: 3 }).await;
        // Its peer has its own steps, which nothing makes too old any more.
        let _tip = world.force(&channel.step_on_chain(&tip, Party::Initiator, vec![pay(2 * UNIT, 0)])).await;
    }
}

#[tokio::test]
async fn steps_are_counted_anew_a_lock_period_after_a_partys_first_one_and_not_a_block_earlier() {
    let (mut world, channel, base, _expiry) = settled().await;
    let settled_at = world.now() - 1;
    let mut tip = base;
    // Waiting for the end of a lock period earns nobody twice its steps.
    world.travel_to(settled_at + LOCK_PERIOD - 1).await;
    let first = world.now();
    for _ in 0..terms().max_forced {
        tip = world.force(&channel.step_on_chain(&tip, Party::Responder, vec![pay(0, 1)])).await;
    }
    let step = channel.step_on_chain(&tip, Party::Responder, vec![pay(0, 1)]);
    for block in [world.now(), first + LOCK_PERIOD - 1, first + LOCK_PERIOD, first + LOCK_PERIOD + 1] {
        let mut world = world.fork_for(&block).await;
        world.travel_to(block).await;
        if block < first + LOCK_PERIOD {
            world.refuse_step(&step, Rejection::ForcedStepsUsedUp { max: 3 }).await;
            continue;
        }
        let tip = world.force(&step).await;
        let Phase::Residual { counted_from } = world.recorded(&channel).phase else { panic!("it is residual") };
        assert_eq!(counted_from, Pair::new(settled_at, block), "each party has a count of its own");
        assert_eq!(world.recorded(&channel).forced_steps, Pair::new(0, 1));
        // The next count begins with its first step, not with the lock period before it.
        let mut tip = tip;
        for _ in 1..terms().max_forced {
            tip = world.force(&channel.step_on_chain(&tip, Party::Responder, vec![pay(0, 1)])).await;
        }
        world.travel_to(block + LOCK_PERIOD - 1).await;
        let step = channel.step_on_chain(&tip, Party::Responder, vec![pay(0, 1)]);
        world.refuse_step(&step, Rejection::ForcedStepsUsedUp { max: 3 }).await;
        let _tip = world.force(&step).await;
    }
}

#[tokio::test]
async fn a_quota_used_up_before_settling_does_not_bind_afterwards() {
    let (mut world, channel) = World::open().await;
    let mut tip = Inside::new(6, OUTSIDE, [(HOSTILE, world.apps.hostile(REST, Vec::new()))]);
    let _done = world.accept(Actor::Initiator, &channel.close_solo(&tip.state()), 0).await;
    for _ in 0..terms().max_forced {
        tip = world.force(&channel.step_on_chain(&tip, Party::Responder, vec![pay(0, 1)])).await;
    }
    let step = channel.step_on_chain(&tip, Party::Responder, vec![pay(0, 1)]);
    world.refuse_step(&step, Rejection::ForcedStepsUsedUp { max: 3 }).await;
    world.travel_to(world.now() + LOCK_PERIOD).await;
    let _done = world.accept(Actor::InitiatorsDelegate, &channel.settle(), 0).await;
    let after = world.force(&step).await;
    assert_eq!((after.round, world.recorded(&channel).forced_steps), (10, Pair::new(0, 1)), "counted anew");
}

#[tokio::test]
async fn transfers_are_claimed_after_settling_before_expiry_and_after_it_where_the_pre_image_was_shown_in_time() {
    let (mut world, channel, base, expiry) = settled().await;
    world.travel_to(expiry - 1).await;
    let tip = world.force(&channel.step_on_chain(&base, Party::Responder, vec![claim(TRANSFER)])).await;
    assert_eq!(world.recorded(&channel).total, REST - 10 * UNIT);
    world.travel_to(expiry + 5).await;
    let refunds = channel.step_on_chain(&tip, Party::Initiator, vec![refund(LATER)]);
    world.refuse_step(&refunds, Rejection::CallFailed { round: 8, fault: CallFault::ShownInTime }).await;
    // Even the payer may make the claim; the payee is paid.
    let (done, _after) =
        world.force_as(Actor::Initiator, &channel.step_on_chain(&tip, Party::Initiator, vec![claim(LATER)])).await;
    assert_eq!(done.events[0].payouts, [to(Party::Responder, 12 * UNIT)]);
}

#[tokio::test]
async fn transfers_go_back_after_settling_from_expiry_on() {
    let (world, channel, base, expiry) = settled().await;
    for height in [expiry - 1, expiry] {
        let mut world = world.fork_for(&height).await;
        world.travel_to(height).await;
        let step = channel.step_on_chain(&base, Party::Initiator, vec![refund(TRANSFER), refund(LATER)]);
        if height < expiry {
            let fault = CallFault::TooEarly { expiry, height };
            world.refuse_step(&step, Rejection::CallFailed { round: 7, fault }).await;
        } else {
            let (done, _after) = world.force_as(Actor::Initiator, &step).await;
            assert_eq!(done.events[0].payouts, [to(Party::Initiator, 22 * UNIT)], "one payout for both");
        }
    }
}

#[tokio::test]
async fn what_is_released_goes_where_each_party_asked_for_its_payouts() {
    let mut world = World::funded().await;
    let mut body = create_body(world.now());
    body.terms.parties.responder.payout = Destination::Vault;
    let channel = world.create(&body).await;
    let base = Inside::new(6, OUTSIDE, [(HOSTILE, world.apps.hostile(REST, Vec::new()))]);
    settle_on(&mut world, &channel, &base).await;
    let vault = world.vault(&Actor::Responder.vault());
    let step = channel.step_on_chain(&base, Party::Initiator, vec![pay(UNIT, 2 * UNIT)]);
    let (done, _after) = world.force_as(Actor::Initiator, &step).await;
    let to_vault = Payout { destination: Destination::Vault, ..to(Party::Responder, 2 * UNIT) };
    assert_eq!(done.events[0].payouts, [to(Party::Initiator, UNIT), to_vault]);
    assert_eq!(world.vault(&Actor::Responder.vault()), vault + 2 * UNIT);
}

#[tokio::test]
async fn what_the_chain_refuses_to_pay_an_account_is_released_to_its_vault() {
    // One coin does not make a new account.
    let pauper = AccountId([0x0B; 32]);
    let mut world = World::funded().await;
    world.watch_account(pauper);
    let mut body = create_body(world.now());
    body.terms.parties.responder.account = pauper;
    (body.shares, body.balances) = (Pair::new(TOTAL, 0), Pair::new(TOTAL - RESERVE, RESERVE));
    let channel = world.create(&body).await;
    let base = Inside::new(6, Pair::new(TOTAL - REST, 0), [(HOSTILE, world.apps.hostile(REST, Vec::new()))]);
    settle_on(&mut world, &channel, &base).await;
    let step = channel.step_on_chain(&base, Party::Initiator, vec![pay(0, 1)]);
    let (done, tip) = world.force_as(Actor::Initiator, &step).await;
    let party = Some(Party::Responder);
    let refused = Payout { party, to: pauper, amount: 1, destination: Destination::Vault };
    assert_eq!(done.events[0].payouts, [refused]);
    assert_eq!(world.vault(&PartyId { account: pauper, ..Actor::Responder.vault() }), 1);
    // Enough of them do.
    let step = channel.step_on_chain(&tip, Party::Initiator, vec![pay(0, UNIT)]);
    let (done, _after) = world.force_as(Actor::Initiator, &step).await;
    let paid = Payout { party, to: pauper, amount: UNIT, destination: Destination::Account };
    assert_eq!(done.events[0].payouts, [paid]);
}

#[tokio::test]
async fn an_agreement_shares_out_what_forced_steps_left() {
    let (mut world, channel, base, _expiry) = settled().await;
    let _tip = world.force(&channel.step_on_chain(&base, Party::Initiator, vec![pay(8 * UNIT, 0)])).await;
    let too_much = channel.close_mutual(Pair::new(REST, 0), 0, world.now());
    let sum = Rejection::SumMismatch { got: Some(REST), want: 22 * UNIT };
    world.refuse(Actor::Responder, &too_much, 0, sum).await;
    let rest = channel.close_mutual(Pair::new(10 * UNIT, 12 * UNIT), 0, world.now());
    let _done = world.accept(Actor::Responder, &rest, 0).await;
    assert_eq!(world.record(&channel).await, None);
}

#[tokio::test]
async fn a_penalty_paid_when_settling_does_not_change_what_the_state_says() {
    let (mut world, channel) = World::open().await;
    let base = Inside::new(7, OUTSIDE, [(HOSTILE, world.apps.hostile(REST, Vec::new()))]);
    let _done = world.accept(Actor::Responder, &channel.close_solo(&State::new(2, 0, TOTAL)), 0).await;
    let _done = world.accept(Actor::Initiator, &channel.slash(&base.state()), 0).await;
    world.travel_to(world.now() + LOCK_PERIOD).await;
    let done = world.accept(Actor::Initiator, &channel.settle(), 0).await;
    let balances = Pair::new(OUTSIDE.initiator + PENALTY, OUTSIDE.responder - PENALTY);
    assert_eq!(done.events[0].event, ArbiterEvent::ChannelSettled { balances, remaining: REST });
    let _after = world.force(&channel.step_on_chain(&base, Party::Responder, vec![pay(0, REST)])).await;
    assert_eq!(world.record(&channel).await, None);
}

mutations! {
    /// One thing wrong with a forced step on a settled channel, whose last state is round 6.
    Mutation {
        /// R5.11: its state is final.
        OnANewerState,
        OnTheSameRoundOfAnotherState,
        OnAnOlderState,
        WithAnotherCommitment,
        /// Everything outside contracts is paid out: there is nothing to attach.
        WithCoins,
        WithOneCoin,
        /// R4.4: the contracts say that they hold more than is left.
        PayingOneMoreThanIsLeft,
        ByADelegate,
        ByThePeer,
        ByStranger,
    }
}

#[tokio::test]
async fn each_thing_wrong_with_a_forced_step_on_a_settled_channel_is_refused_and_changes_nothing() {
    let (mut world, channel) = World::open().await;
    // They say that they hold one coin more than there is.
    let base = Inside::new(6, OUTSIDE, [(HOSTILE, world.apps.hostile(REST + 1, Vec::new()))]);
    settle_on(&mut world, &channel, &base).await;
    let healthy = channel.step_on_chain(&base, Party::Initiator, vec![pay(0, REST)]);
    let _done = world.fork().await.force_as(Actor::Initiator, &healthy).await;
    let cannot = |value| Rejection::CannotAttach { have: 0, value, reserve: RESERVE };
    for &mutation in Mutation::ALL {
        let mut world = world.fork_for(&mutation).await;
        let mut step = healthy.clone();
        let mut who = Actor::Initiator;
        let payload = |base: &Inside| Step { shown: Shown::AsPayload, base: base.clone(), ..healthy.clone() };
        let rejection = match mutation {
            Mutation::OnANewerState => {
                step = payload(&base.at(7));
                Rejection::StateFinal
            }
            Mutation::OnTheSameRoundOfAnotherState => {
                step = payload(&Inside { balances: Pair::default(), ..base.clone() });
                Rejection::RoundHasOtherState { round: 6 }
            }
            Mutation::OnAnOlderState => {
                step = payload(&base.at(5));
                Rejection::RoundTooOld { got: 5, have: 6 }
            }
            Mutation::WithAnotherCommitment => {
                step.base.balances = Pair::default();
                Rejection::CommitmentMismatch
            }
            Mutation::WithCoins => {
                step.calls[0].value = UNIT;
                cannot(UNIT)
            }
            Mutation::WithOneCoin => {
                step.calls[0].value = 1;
                cannot(1)
            }
            Mutation::PayingOneMoreThanIsLeft => {
                step.calls = vec![pay(REST, 1)];
                Rejection::BalancesExceedTotal { total: REST }
            }
            Mutation::ByADelegate => {
                who = Actor::InitiatorsDelegate;
                Rejection::MayNotForce { party: Party::Initiator }
            }
            Mutation::ByThePeer => {
                who = Actor::Responder;
                Rejection::MayNotForce { party: Party::Initiator }
            }
            Mutation::ByStranger => {
                who = Actor::Stranger;
                Rejection::MayNotForce { party: Party::Initiator }
            }
        };
        world.refuse_step_of(who, &step, rejection).await;
    }
}

fn forced(call: ForceProgress) -> Call {
    Call::ChannelForceProgress(call)
}

#[tokio::test]
async fn a_settled_forced_chain_is_final_too() {
    let (mut world, channel) = World::open().await;
    let base = Inside::new(6, OUTSIDE, [(HOSTILE, world.apps.hostile(REST, Vec::new()))]);
    let _done = world.accept(Actor::Initiator, &channel.close_solo(&base.state()), 0).await;
    let tip = world.force(&channel.step_on_chain(&base, Party::Initiator, vec![pay(1, 1), pay(2, 2)])).await;
    world.travel_to(world.now() + LOCK_PERIOD).await;
    let _done = world.accept(Actor::InitiatorsDelegate, &channel.settle(), 0).await;
    for (round, rejection) in [
        (6, Rejection::RoundTooOld { got: 6, have: 6 }),
        (7, Rejection::StateFinal),
        (8, Rejection::StateFinal),
        (9, Rejection::StateFinal),
    ] {
        let step = channel.step(&tip.at(round), Party::Responder, vec![pay(0, 1)]);
        world.refuse_step(&step, rejection).await;
    }
    let _after = world.force(&channel.step_on_chain(&tip, Party::Responder, vec![pay(0, 1)])).await;
    assert!(world.recorded(&channel).on_chain.is_forced());
}

#[tokio::test]
async fn the_state_settled_on_may_be_shown_once_more_and_its_signatures_are_not_even_looked_at() {
    let (mut world, channel, base, _expiry) = settled().await;
    let step = channel.step(&base, Party::Responder, vec![pay(0, UNIT)]);
    let (mut call, _after) = world.plan(&step).unwrap();
    call.payload.as_mut().unwrap().signatures.initiator.0 = [0; 64];
    let _done = world.accept(Actor::Responder, &forced(call), 0).await;
}
