//! Healthy forced steps.

use super::*;
use protocol::{
    Amount, Base, Hash, Mark, Rejection,
    call::Call,
    contracts::conditional::{ConditionalInput, HashFunction, Preimage},
    contracts::{Contract, ContractId},
    crypto::{Crypto, Native},
    decode_exact,
    event::ArbiterEvent,
    record::{Closing, OnChain, Penalty, Phase},
};
use scale::Encode;
use sdk::chain::arbiter::ChannelEvent;

const SHOWN: [Shown; 2] = [Shown::AsPayload, Shown::OnChain];

#[tokio::test]
async fn either_party_goes_on_alone_while_open_on_a_state_it_shows_or_that_is_on_chain() {
    let (world, channel, base) = open().await;
    for party in Party::BOTH {
        for shown in SHOWN {
            let mut world = world.fork_for(&(party, shown)).await;
            let before = world.snapshot().await;
            let mut expected = world.recorded(&channel);
            let step = Step { shown, ..channel.step(&base, party, vec![count(4)]) };
            let (done, after) = world.force_as(party.into(), &step).await;

            let at = Base { agreed: 6, steps: 1 };
            let mark = Mark { reached: at, block: world.now() - 1 };
            // A floor of nothing, and one mark (R5.4b).
            let maturity = decode_exact(&(Base::default(), vec![mark]).encode()).unwrap();
            expected.on_chain = OnChain { at, state_hash: after.state().hash(), maturity };
            expected.forced_steps[party] = 1;
            let event = ArbiterEvent::ChannelProgressed {
                party,
                at,
                state_hash: expected.on_chain.state_hash,
                forced_steps: expected.forced_steps,
                total: TOTAL,
                closing: None,
                calls: step.calls,
            };
            assert_eq!(done.events, [ChannelEvent { channel: channel.id, event, payouts: Vec::new() }]);
            assert_eq!(world.record(&channel).await, Some(expected));
            assert_eq!(after.state_of::<counter::State>(COUNTER).count, 4);
            let now = world.snapshot().await;
            assert_eq!(now.free[&world.address()], before.free[&world.address()], "nothing is paid out");
            assert_eq!((now.vaults, now.info.items), (before.vaults, before.info.items));
        }
    }
}

#[tokio::test]
async fn while_closing_the_closing_balances_follow_and_the_lock_restarts_for_a_full_period() {
    for closer in Party::BOTH {
        let (world, channel, _older) = closing(closer).await;
        // Round 8 was agreed too, and is not on chain.
        let newer = Inside { balances: Pair::new(100 * UNIT, 50 * UNIT), ..agreed(&world, 8) };
        let base =
            Inside { contracts: [(COUNTER, world.apps.counting(10 * UNIT, 3, 5))].into_iter().collect(), ..newer };
        world.travel_to(world.now() + 7).await;
        for party in Party::BOTH {
            let mut world = world.fork_for(&(closer, party)).await;
            let unlock_at = world.now() + LOCK_PERIOD;
            let step = channel.step(&base, party, vec![call(COUNTER, 2 * UNIT, &2u64)]);
            let (done, after) = world.force_as(party.into(), &step).await;
            let mut balances = base.balances;
            balances[party] += 10 * UNIT;
            assert_eq!(after.balances, balances, "who reaches the goal has all that the counter held");
            let shown_wrong = closer == Party::Initiator;
            let at_risk = Penalty::AtRisk { closer, closed_on: 6 };
            let penalty = if shown_wrong { Penalty::Due(closer) } else { at_risk };
            let expected = Closing { balances, unlock_at, penalty };
            assert_eq!(world.recorded(&channel).phase, Phase::Closing(expected.clone()));
            let ArbiterEvent::ChannelProgressed { closing, .. } = &done.events[0].event else {
                panic!("it progressed")
            };
            assert_eq!(*closing, Some(expected));
        }
    }
}

#[tokio::test]
async fn each_call_is_a_round_and_the_state_keeps_the_last_one() {
    let (mut world, channel, base) = open().await;
    let step = channel.step_on_chain(&base, Party::Responder, vec![count(1), call(COUNTER, UNIT, &2u64), count(3)]);
    let after = world.force(&step).await;
    let record = world.recorded(&channel);
    assert_eq!(record.on_chain.at, Base { agreed: 6, steps: 3 });
    assert_eq!(record.forced_steps, Pair::new(0, 1), "many calls in one transaction count once");
    assert_eq!(after.contract(COUNTER).balance, 6 * UNIT);
    assert_eq!(after.balances, Pair::new(85 * UNIT, 69 * UNIT));

    // The last call's receipt, written down anew from R4.1: contract, caller, value, input, payouts, output.
    let (input, output) = (Native.hash(&3u64.to_le_bytes()), Native.hash(&6u64.to_le_bytes()));
    let receipt = [&[4][..], &COUNTER.0, &[1], &[0; 16], &input.0, &[0; 32], &output.0].concat();
    assert_eq!(after.calls_root, Native.hash(&receipt));
}

#[tokio::test]
async fn forced_steps_of_both_parties_stand_on_one_another() {
    let (mut world, channel, base) = open().await;
    let mut tip = base;
    for (turn, party) in [Party::Initiator, Party::Responder, Party::Responder, Party::Initiator].iter().enumerate() {
        let calls = vec![count(1 + turn as u64); 1 + turn];
        tip = world.force(&channel.step_on_chain(&tip, *party, calls)).await;
        assert_eq!(world.recorded(&channel).on_chain.at.agreed, 6, "what the chain began on");
    }
    assert_eq!((tip.round, world.recorded(&channel).forced_steps), (6 + 10, Pair::new(2, 2)));
    assert_eq!(tip.state_of::<counter::State>(COUNTER).count, 1 + 4 + 9 + 16);
    // It can be closed on, and goes on while closing.
    let _done = world.accept(Actor::Responder, &channel.close_solo_on_chain(tip.commitment()), 0).await;
    let after = world.force(&channel.step_on_chain(&tip, Party::Responder, vec![count(1)])).await;
    assert_eq!((after.round, world.recorded(&channel).on_chain.at), (17, Base { agreed: 6, steps: 11 }));
}

#[tokio::test]
async fn several_contracts_are_called_in_one_transaction_and_one_of_them_ends() {
    let (mut world, channel) = World::open().await;
    let secret = Preimage([3; 32]);
    let (now, blake) = (world.now(), HashFunction::Blake2b256);
    let others = (0..40u8).map(|n| (ContractId(Native.hash(&[n]).0), world.apps.counting(UNIT / 10, 0, 9)));
    let called = [
        (COUNTER, world.apps.counting(5 * UNIT, 0, 1_000)),
        (ESCROW, world.apps.escrowing(Pair::new(3 * UNIT, 4 * UNIT), now + 50)),
        (TRANSFER, transfer(8 * UNIT, Party::Responder, &secret, blake, now + 10)),
    ];
    let base = Inside::new(6, Pair::new(70 * UNIT, 60 * UNIT), called.into_iter().chain(others));
    let calls = vec![
        call(ESCROW, 0, &escrow::Input::Move(UNIT)),
        call(TRANSFER, 0, &ConditionalInput::Claim(secret)),
        call(COUNTER, 2 * UNIT, &7u64),
        call(ESCROW, 0, &escrow::Input::Redeem(2 * UNIT)),
        call(ESCROW, 6 * UNIT, &escrow::Input::Issue),
    ];
    let after = world.force(&channel.step(&base, Party::Responder, calls)).await;
    assert_eq!(after.round, 11);
    assert_eq!(after.contracts.get(&TRANSFER), None, "paid, and gone");
    assert_eq!(after.contracts.len(), base.contracts.len() - 1);
    let tokens = after.state_of::<escrow::State>(ESCROW).tokens;
    assert_eq!(tokens, Pair::new(4 * UNIT, 7 * UNIT));
    assert_eq!(after.balances, Pair::new(70 * UNIT, (60 + 8 - 2 + 2 - 6) * UNIT));
    assert_eq!(world.ledger.preimages.len(), 1, "a claim shows its pre-image (R8.2)");

    let gone = channel.step_on_chain(&after, Party::Responder, vec![call(TRANSFER, 0, &ConditionalInput::Refund)]);
    world.refuse_step(&gone, Rejection::ContractNotShown { contract: TRANSFER }).await;
    let _after = world.force(&channel.step_on_chain(&after, Party::Initiator, vec![count(1)])).await;
}

#[tokio::test]
async fn the_only_contract_ends_and_leaves_an_empty_tree() {
    let (mut world, channel) = World::open().await;
    let secret = Preimage([9; 32]);
    let locked = transfer(10 * UNIT, Party::Initiator, &secret, HashFunction::Sha2_256, world.now() + 9);
    let base = Inside::new(6, Pair::new(80 * UNIT, 70 * UNIT), [(TRANSFER, locked)]);
    let calls = vec![call(TRANSFER, 0, &ConditionalInput::Claim(secret))];
    let after = world.force(&channel.step(&base, Party::Initiator, calls)).await;
    assert_eq!((after.contracts.root(), after.balances), (Hash::ZERO, Pair::new(90 * UNIT, 70 * UNIT)));
}

#[tokio::test]
async fn an_expected_state_may_be_given_or_left_out() {
    let (world, channel, base) = open().await;
    let step = channel.step_on_chain(&base, Party::Initiator, vec![count(1)]);
    let (planned, after) = world.plan(&step).unwrap();
    assert_eq!(planned.state_hash, Some(after.state().hash()));
    for state_hash in [planned.state_hash, None] {
        let mut world = world.fork_for(&state_hash).await;
        let call = protocol::call::ForceProgress { state_hash, ..planned.clone() };
        let _done = world.accept(Actor::Initiator, &Call::ChannelForceProgress(call), 0).await;
        assert_eq!(world.recorded(&channel).on_chain.state_hash, after.state().hash());
    }
}

#[tokio::test]
async fn a_state_that_somebody_put_on_chain_first_keeps_nobody_from_forcing_on_it() {
    // R5.4: "already known" is success, while open and while closing.
    let (world, channel) = World::open().await;
    let base = agreed(&world, 6);
    for message in [channel.snapshot(&base.state()), channel.close_solo(&base.state())] {
        let mut world = world.fork_for(&message.name()).await;
        let step = channel.step(&base, Party::Initiator, vec![count(1)]);
        let (planned, _after) = world.plan(&step).unwrap();
        let _done = world.accept(Actor::Responder, &message, 0).await;
        let _done = world.accept(Actor::Initiator, &Call::ChannelForceProgress(planned), 0).await;
    }
}

#[tokio::test]
async fn a_contract_that_is_shown_and_not_called_stays_as_it_is() {
    let (mut world, channel, base) = open().await;
    let beside = world.apps.escrowing(Pair::default(), 1);
    let mut base = base.at(8);
    base.contracts.insert(ESCROW, beside);
    let both = vec![call(ESCROW, 0, &escrow::Input::Issue), count(1)];
    let mut step = world.blind(&channel.step(&base, Party::Initiator, both));
    step.calls.remove(0);
    let (_, after) = world.plan(&channel.step(&base, Party::Initiator, vec![count(1)])).unwrap();
    step.state_hash = Some(after.state().hash());
    assert_eq!(step.contracts.len(), 2);
    let _done = world.accept(Actor::Initiator, &Call::ChannelForceProgress(step), 0).await;
}

#[tokio::test]
async fn whoever_owns_a_contract_either_party_may_call_it_and_pays_may_go_to_both() {
    let (mut world, channel) = World::open().await;
    let hostile: Contract = world.apps.hostile(20 * UNIT, vec![1, 2, 3]);
    let base = Inside::new(6, Pair::new(80 * UNIT, 60 * UNIT), [(HOSTILE, hostile)]);
    let mut tip = world.force(&channel.step(&base, Party::Initiator, vec![pay(3 * UNIT, 4 * UNIT)])).await;
    assert_eq!(tip.balances, Pair::new(83 * UNIT, 64 * UNIT));
    tip = world.force(&channel.step_on_chain(&tip, Party::Responder, vec![pay(0, 13 * UNIT)])).await;
    assert_eq!((tip.balances, tip.contract(HOSTILE).balance), (Pair::new(83 * UNIT, 77 * UNIT), 0));
    assert_eq!(tip.state_of::<[u8; 3]>(HOSTILE), [1, 2, 3]);
}

fn pay(initiator: Amount, responder: Amount) -> protocol::call::ForcedCall {
    call(HOSTILE, 0, &hostile::Input::Pay(initiator, responder))
}

#[tokio::test]
async fn the_forced_state_may_be_agreed_on_afterwards_and_is_forced_no_more() {
    // R5.4: both may co-sign what was forced, in the very round that it has.
    let (mut world, channel, tip) = forced().await;
    let _done = world.accept(Actor::Responder, &channel.snapshot(&tip.state()), 0).await;
    let record = world.recorded(&channel);
    assert_eq!((record.on_chain.at, record.forced_steps), (Base::of(9), Pair::default()));
    let again = Rejection::RoundAlreadyKnown { round: 9 };
    world.refuse(Actor::Responder, &channel.snapshot(&tip.state()), 0, again).await;
}
