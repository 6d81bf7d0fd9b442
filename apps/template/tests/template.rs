//! The box: every step, every refusal, every boundary, and what holds whatever the two do.

// Clippy knows tests, but not the functions that tests share.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use app_kit::{
    Amount, BlockNumber, Pair, Party,
    testing::{Bench, Refusal},
};
use proptest::prelude::*;

use template::{Creation, Error, Input, Template};

const ALICE: Party = Party::Initiator;
const BOB: Party = Party::Responder;
const DEADLINE: BlockNumber = 100;

fn create(booked: Pair<Amount>) -> Creation {
    Creation { booked, deadline: DEADLINE }
}

/// Alice has 30 in it, Bob 5.
fn bench() -> Bench<Template> {
    let coins = Pair::new(30, 5);
    Bench::create(ALICE, coins, 1, create(coins)).unwrap()
}

#[test]
fn a_new_box_books_the_coins_that_it_is_created_with() {
    assert_eq!(bench().state().booked, Pair::new(30, 5));
    let created = |creation| Bench::<Template>::create(ALICE, Pair::new(30, 5), 1, creation).err();
    assert_eq!(created(create(Pair::new(30, 6))), Some(Refusal::App(Error::NotTheCoins)));
    assert_eq!(created(create(Pair::new(Amount::MAX, 1))), Some(Refusal::App(Error::NotTheCoins)));
}

#[test]
fn coins_attached_are_booked_for_whoever_attached_them() {
    let mut bench = bench();
    let done = bench.pay(BOB, 7, Input::Put).unwrap();
    assert_eq!((done.payouts, done.output), (Pair::default(), 12));
    bench.assert_refused(BOB, 0, Input::Put, Error::Zero);
    bench.assert_refused(BOB, 1, Input::Take(1), Error::CoinsUnasked);
}

#[test]
fn coins_are_given_before_the_deadline_only() {
    for height in [DEADLINE, DEADLINE + 1] {
        bench().at(height).assert_refused(ALICE, 0, Input::Give(10), Error::TooLate);
    }
    let mut bench = bench();
    assert_eq!(bench.at(DEADLINE - 1).call(ALICE, Input::Give(10)).unwrap().output, 20);
    assert_eq!(bench.state().booked, Pair::new(20, 15));
    bench.assert_refused(ALICE, 0, Input::Give(21), Error::NotThatMany);
    bench.assert_refused(ALICE, 0, Input::Give(0), Error::Zero);
}

#[test]
fn each_takes_out_what_is_booked_for_it_and_no_more() {
    let mut bench = bench();
    let done = bench.at(DEADLINE + 1).call(ALICE, Input::Take(30)).unwrap();
    assert_eq!((done.payouts, done.output, bench.balance()), (Pair::new(30, 0), 0, 5));
    bench.assert_refused(BOB, 0, Input::Take(6), Error::NotThatMany);
    bench.assert_refused(BOB, 0, Input::Take(0), Error::Zero);
}

fn call() -> impl Strategy<Value = (Party, BlockNumber, Amount, Input)> {
    let party = prop_oneof![Just(ALICE), Just(BOB)];
    let input = prop_oneof![Just(Input::Put), (0..40u128).prop_map(Input::Give), (0..40u128).prop_map(Input::Take)];
    (party, 90..110u32, 0..20u128, input).prop_map(|(caller, height, value, input)| {
        let value = if input == Input::Put { value } else { 0 };
        (caller, height, value, input)
    })
}

proptest! {
    /// The box holds what is booked, and what a party has in it changes by nobody's calls but its own, except to grow.
    #[test]
    fn nobody_loses_coins_by_what_the_other_does(calls in prop::collection::vec(call(), 0..40)) {
        let mut bench = bench();
        for (caller, height, value, input) in calls {
            let before = bench.state().booked[caller.peer()];
            let _done_or_refused = bench.at(height).pay(caller, value, input);
            let booked = bench.state().booked;
            prop_assert!(booked[caller.peer()] >= before);
            prop_assert_eq!(booked.sum(), Some(bench.balance()));
        }
        for party in Party::BOTH {
            let booked = bench.state().booked[party];
            prop_assert_eq!(bench.call(party, Input::Take(booked)).is_ok(), booked > 0);
        }
        prop_assert_eq!(bench.balance(), 0);
    }
}
