//! Who closes on an old state pays, and who closes on the newest state that it has does not (R5.9). Stories of payments, each with the coins
//! that come out of it in the end.

use crate::fixture::*;
use protocol::call::{CloseSolo, Slash};

/// A channel of payments in which round `agreed` is on chain. A penalty of 5 is charged of whoever closed.
fn paid(agreed: Round, initiator: Amount) -> World {
    let mut world = World::on(&payments(initiator));
    world.record().on_chain = OnChain::agreed(agreed, payments(initiator).hash());
    world
}

fn payments(initiator: Amount) -> State {
    let contracts = Contracts::new();
    State { balances: Pair::new(initiator, TOTAL - initiator), contracts, calls_root: Hash::ZERO }
}

fn account(party: Party) -> AccountId {
    if party == Party::Initiator { INITIATOR } else { RESPONDER }
}

fn close(world: &mut World, closer: Party, shown: Option<(Payload, &State)>, on_chain: &State) {
    let (payload, state) = shown.map_or((None, on_chain), |(payload, state)| (Some(payload), state));
    let call = CloseSolo { channel: CHANNEL, payload, commitment: state.commitment() };
    let _closed = world.apply(account(closer), Call::ChannelCloseSolo(call)).unwrap();
}

fn slash(world: &mut World, by: AccountId, payload: Payload, state: &State) -> Result<Applied, Rejection> {
    let call = Slash { channel: CHANNEL, payload, commitment: state.commitment() };
    world.apply(by, Call::ChannelSlash(call))
}

/// What the parties are paid when the lock is over.
fn settled(world: &mut World) -> Pair<Amount> {
    world.now = world.record().closing().unwrap().unlock_at;
    let applied = world.apply(RESPONDER, Call::ChannelSettle { channel: CHANNEL }).unwrap();
    let [(_, ArbiterEvent::ChannelSettled { balances, .. }, _)] = applied.events[..] else { panic!() };
    balances
}

/// In one-way payments the payer owns every round; each goes on from the one before it, which proves that the payer held that one.
#[test]
fn a_payer_that_closes_on_its_third_round_and_is_shown_its_two_hundred_and_first_pays() {
    let of = |round: Round| payments(999 - Amount::from(round));
    let mut world = paid(1, 998);
    let third = payload_on(Base::of(1), 3, &of(3));
    close(&mut world, Party::Initiator, Some((third, &of(3))), &of(1));
    let newest = payload_on(Base::of(199), 201, &of(201));
    let _slashed = slash(&mut world, RESPONDER, newest, &of(201)).unwrap();
    assert_eq!(world.record().closing().unwrap().penalty, Penalty::Due(Party::Initiator));
    assert_eq!(settled(&mut world), Pair::new(798 - 5, 202 + 5));
}

/// The round that would cost it is the responder's 10; its own 11 makes that one too old, and costs the same since it goes on from it.
#[test]
fn a_cheater_that_shows_its_own_newest_round_first_pays_all_the_same() {
    let of = |round: Round| payments(900 - Amount::from(round));
    let mut world = paid(7, 893);
    close(&mut world, Party::Initiator, Some((payload(9, &of(9)), &of(9))), &of(7));
    let _own = slash(&mut world, INITIATOR, payload_on(Base::of(10), 11, &of(11)), &of(11)).unwrap();
    let late = slash(&mut world, RESPONDER, payload_on(Base::of(9), 10, &of(10)), &of(10));
    assert_eq!(late, Err(Rejection::RoundTooOld { got: 10, have: 11 }));
    assert_eq!(settled(&mut world), Pair::new(889 - 5, 111 + 5));
}

/// What its peer kept back are rounds of its own, each on what it knew to be agreed. Shown in whatever order and by whomever, they say
/// nothing about what the closer held.
#[test]
fn an_honest_closer_whose_peer_kept_back_its_last_answers_never_pays() {
    let of = |round: Round| payments(900 - Amount::from(round));
    for closer in Party::BOTH {
        let agreed = if closer == Party::Initiator { 7 } else { 8 };
        for (kept_back, by) in
            [(vec![2], RESPONDER), (vec![2, 4, 6], INITIATOR), (vec![4, 6], DELEGATE), (vec![2, 6], WATCHER)]
        {
            let mut world = paid(agreed, 900 - Amount::from(agreed));
            close(&mut world, closer, None, &of(agreed));
            let mut last = agreed;
            for ahead in kept_back {
                last = agreed + ahead;
                let _shown = slash(&mut world, by, payload_on(Base::of(agreed), last, &of(last)), &of(last)).unwrap();
            }
            let penalty = Penalty::AtRisk { closer, closed_on: agreed };
            assert_eq!(world.record().closing().unwrap().penalty, penalty);
            assert_eq!(settled(&mut world), of(last).balances);
        }
    }
}

/// What was closed on is fixed at the close: answers in between do not raise what a later one is measured by.
#[test]
fn an_answer_that_proves_nothing_does_not_hide_a_later_one_that_does() {
    let of = |round: Round| payments(900 - Amount::from(round));
    let mut world = paid(7, 893);
    close(&mut world, Party::Initiator, Some((payload(9, &of(9)), &of(9))), &of(7));
    let _nothing_yet = slash(&mut world, INITIATOR, payload_on(Base::of(9), 11, &of(11)), &of(11)).unwrap();
    let at_risk = Penalty::AtRisk { closer: Party::Initiator, closed_on: 9 };
    assert_eq!(world.record().closing().unwrap().penalty, at_risk);
    let _proof = slash(&mut world, RESPONDER, payload_on(Base::of(11), 13, &of(13)), &of(13)).unwrap();
    assert_eq!(world.record().closing().unwrap().penalty, Penalty::Due(Party::Initiator));
    // Nor does one afterwards that proves nothing by itself take it back.
    let _later = slash(&mut world, INITIATOR, payload_on(Base::of(9), 15, &of(15)), &of(15)).unwrap();
    assert_eq!(settled(&mut world), Pair::new(885 - 5, 115 + 5));
}

/// Whose round, what it goes on from, and how it comes on chain: by a slash of either party, or as the payload of a forced step.
#[test]
fn what_is_charged_depends_on_whose_round_it_is_and_on_its_base_and_on_nothing_else() {
    const CLOSED_ON: Round = 20;
    let shown = state();
    let on_chain = State { balances: Pair::new(301, 299), ..shown.clone() };
    for closer in Party::BOTH {
        for (round, agreed) in (21..=23).flat_map(|round| (18..round).map(move |agreed| (round, agreed))) {
            let due = Party::owner_of(round) != closer || agreed > CLOSED_ON;
            let mut expected = shown.balances;
            if due {
                expected[closer] -= 5;
                expected[closer.peer()] += 5;
            }
            for by in [Some(INITIATOR), Some(RESPONDER), Some(WATCHER), None] {
                let mut world = World::on(&on_chain);
                world.record().on_chain = OnChain::agreed(CLOSED_ON, on_chain.hash());
                close(&mut world, closer, None, &on_chain);
                let payload = payload_on(Base::of(agreed), round, &shown);
                let mut expected = expected;
                if let Some(by) = by {
                    let _slashed = slash(&mut world, by, payload, &shown).unwrap();
                } else {
                    let plan = world.plan(&shown, Some(payload), Party::Responder, vec![redeem(7)]).unwrap();
                    let _forced = world.force(RESPONDER, plan.call).unwrap();
                    expected.responder += 7;
                }
                assert_eq!(settled(&mut world), expected, "{closer:?} closed, {round} on {agreed} was shown by {by:?}");
            }
        }
    }
}

/// A forced step is nobody's signature: it neither proves anything nor moves what was closed on.
#[test]
fn forced_steps_after_a_close_prove_nothing_and_what_goes_on_from_them_does_neither() {
    let state = state();
    let mut world = World::on(&state).closing(state.balances);
    let (step, after) = world.step(&state, Party::Responder, vec![redeem(1), redeem(1)]);
    let _forced = world.force(RESPONDER, step).unwrap();
    assert_eq!(world.record().closing().unwrap().penalty, at_risk(ROUND));
    // The closer's own round, on its forced chain, and not above what it closed on.
    let own = payload_on(Base { agreed: ROUND, steps: 2 }, 10, &after);
    let _slashed = slash(&mut world, INITIATOR, own, &after).unwrap();
    assert_eq!(world.record().closing().unwrap().penalty, at_risk(ROUND));
    assert_eq!(settled(&mut world), after.balances);
}
