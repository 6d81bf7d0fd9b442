//! A stream of coins: every step, every refusal, every boundary, and what holds whatever the two do.

// Clippy knows tests, but not the functions that tests share.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use app_kit::{
    Amount, BlockNumber, Pair, Party,
    testing::{Bench, Refusal},
};
use proptest::prelude::*;
use stream::{Creation, Error, Input, Receipt, State, Stream};

const PAYER: Party = Party::Responder;
const PAYEE: Party = Party::Initiator;
const RATE: Amount = 10;
const START: BlockNumber = 100;
const END: BlockNumber = 200;

const CREATE: Creation = Creation { payer: PAYER, rate: RATE, start: START, end: Some(END) };
const ENDLESS: Creation = Creation { payer: PAYER, rate: RATE, start: START, end: None };

fn bench_of(creation: Creation, coins: Amount) -> Bench<Stream> {
    Bench::create(PAYEE, Pair::new(0, coins), START, creation).unwrap()
}

fn bench(coins: Amount) -> Bench<Stream> {
    bench_of(CREATE, coins)
}

fn to_payee(amount: Amount) -> Pair<Amount> {
    Pair::new(amount, 0)
}

#[test]
fn a_new_stream_remembers_its_terms_and_has_paid_nothing() {
    let bench = bench(500);
    let terms = State { payer: PAYER, rate: RATE, end: Some(END), paid_until: START, is_stopped: false };
    assert_eq!((bench.state(), bench.balance()), (terms, 500));
}

#[test]
fn terms_that_make_no_stream_are_refused() {
    let create = |creation| Bench::<Stream>::create(PAYER, Pair::new(0, 5), 1, creation).map(|bench| bench.state().end);
    let with_end = |end| create(Creation { payer: PAYER, rate: 1, start: START, end: Some(end) });
    let refused = |error| Err(Refusal::App(error));
    assert_eq!(create(Creation { payer: PAYER, rate: 0, start: 1, end: None }), refused(Error::RateZero));
    assert_eq!(with_end(START - 1), refused(Error::EndNotAfterStart));
    assert_eq!(with_end(START), refused(Error::EndNotAfterStart));
    assert_eq!(with_end(START + 1), Ok(Some(START + 1)));
}

#[test]
fn both_parties_may_have_the_payee_paid_for_each_block_that_went_by() {
    for caller in Party::BOTH {
        let mut bench = bench(500);
        let done = bench.at(START + 7).call(caller, Input::Collect).unwrap();
        assert_eq!((done.payouts, done.output), (to_payee(70), Receipt { paid: 70, left: 430 }));
        assert_eq!(bench.state().paid_until, START + 7);
    }
}

#[test]
fn the_first_block_is_paid_once_the_next_has_come() {
    for height in [0, START - 1, START] {
        bench(500).at(height).assert_refused(PAYEE, 0, Input::Collect, Error::NothingDue);
    }
    assert_eq!(bench(500).at(START + 1).call(PAYEE, Input::Collect).unwrap().payouts, to_payee(RATE));
}

#[test]
fn from_the_end_on_nothing_more_accrues() {
    for (height, paid) in [(END - 1, 990), (END, 1000), (END + 1, 1000), (BlockNumber::MAX, 1000)] {
        assert_eq!(bench(5000).at(height).call(PAYEE, Input::Collect).unwrap().payouts, to_payee(paid));
    }
    let mut bench = bench(5000);
    let _all = bench.at(END).call(PAYEE, Input::Collect).unwrap();
    bench.at(END + 50).assert_refused(PAYEE, 0, Input::Collect, Error::NothingDue);
    assert_eq!(bench.call(PAYER, Input::Stop).unwrap().payouts, Pair::new(0, 4000));
}

#[test]
fn a_stream_without_an_end_goes_on_to_its_last_coin() {
    let mut bench = bench_of(ENDLESS, 5005);
    let done = bench.at(BlockNumber::MAX).call(PAYEE, Input::Collect).unwrap();
    assert_eq!((done.payouts, done.output.left), (to_payee(5000), 5));
}

#[test]
fn no_block_is_paid_twice_when_heights_go_back() {
    let mut bench = bench(500);
    let _seven = bench.at(START + 7).call(PAYEE, Input::Collect).unwrap();
    for height in [START + 7, START + 6, START, 0] {
        bench.at(height).assert_refused(PAYEE, 0, Input::Collect, Error::NothingDue);
    }
    let _settled_at_a_lower_height = bench.at(START + 3).pay(PAYER, 1, Input::TopUp).unwrap();
    assert_eq!(bench.state().paid_until, START + 7);
    assert_eq!(bench.at(START + 8).call(PAYEE, Input::Collect).unwrap().payouts, to_payee(RATE));
}

#[test]
fn only_whole_blocks_are_paid_and_what_is_too_little_for_one_is_the_payers() {
    for (coins, paid) in [(29, 20), (30, 30), (31, 30)] {
        let mut bench = bench(coins);
        assert_eq!(bench.at(START + 50).call(PAYEE, Input::Collect).unwrap().payouts, to_payee(paid));
        assert_eq!(bench.call(PAYEE, Input::Stop).unwrap().payouts, Pair::new(0, coins - paid));
    }
}

#[test]
fn a_top_up_adds_coins_and_pays_what_accrued_before() {
    let mut bench = bench(500);
    let done = bench.at(START + 2).pay(PAYER, 40, Input::TopUp).unwrap();
    assert_eq!((done.payouts, done.output), (to_payee(20), Receipt { paid: 20, left: 520 }));
}

#[test]
fn blocks_in_which_the_stream_was_dry_are_not_paid_out_of_a_later_top_up() {
    let mut bench = bench(20);
    let done = bench.at(START + 50).pay(PAYER, 1000, Input::TopUp).unwrap();
    assert_eq!((done.payouts, done.output.left), (to_payee(20), 1000));
    assert_eq!(bench.at(START + 51).call(PAYEE, Input::Collect).unwrap().payouts, to_payee(10));
}

#[test]
fn only_the_payer_tops_up_with_something_and_before_the_end() {
    let mut bench = bench(500);
    bench.at(START + 1);
    bench.assert_refused(PAYEE, 5, Input::TopUp, Error::NotThePayer);
    bench.assert_refused(PAYER, 0, Input::TopUp, Error::NothingAttached);
    bench.at(END).assert_refused(PAYER, 5, Input::TopUp, Error::AfterTheEnd);
    bench.at(END + 1).assert_refused(PAYER, 5, Input::TopUp, Error::AfterTheEnd);
    assert_eq!(bench.at(END - 1).pay(PAYER, 5, Input::TopUp).unwrap().output, Receipt { paid: 500, left: 5 });
}

#[test]
fn coins_that_nobody_asked_for_are_refused() {
    let mut bench = bench(500);
    for input in [Input::Collect, Input::Stop] {
        bench.at(START + 9).assert_refused(PAYER, 1, input, Error::CoinsUnasked);
    }
}

#[test]
fn either_party_may_stop_it_and_each_gets_what_is_its_own() {
    for caller in Party::BOTH {
        for (height, paid) in [(START - 5, 0), (START, 0), (START + 1, 10), (END - 1, 500), (END + 1, 500)] {
            let mut bench = bench(500);
            let done = bench.at(height).call(caller, Input::Stop).unwrap();
            assert_eq!(done.payouts, Pair::new(paid, 500 - paid));
            assert_eq!((done.output, bench.balance()), (Receipt { paid, left: 0 }, 0));
        }
    }
}

#[test]
fn a_stopped_stream_stays_stopped() {
    let mut bench = bench(500);
    let _done = bench.at(START + 5).call(PAYER, Input::Stop).unwrap();
    for (value, input) in [(0, Input::Collect), (9, Input::TopUp), (0, Input::Stop)] {
        bench.assert_refused(PAYER, value, input, Error::Stopped);
    }
}

#[test]
fn one_can_see_until_when_the_coins_last() {
    let funded = |creation, balance| bench_of(creation, 0).state().funded_until(balance);
    assert_eq!([0, 9, 10, 995].map(|balance| funded(CREATE, balance)), [START, START, START + 1, START + 99]);
    assert_eq!(funded(CREATE, Amount::MAX), END);
    assert_eq!(funded(ENDLESS, Amount::MAX), BlockNumber::MAX);
}

#[test]
fn input_that_does_not_decode_is_refused() {
    for bytes in [&[][..], &[3], &[1, 0], &[255; 40]] {
        assert_eq!(bench(5).pay_bytes(PAYEE, 0, bytes), Err(Refusal::Undecodable));
    }
}

#[test]
fn the_bytes_of_inputs_and_errors_stay_what_they_are() {
    use scale::Encode;
    assert_eq!(CREATE.encode(), (1u8, 10u128, 100u32, Some(200u32)).encode());
    let inputs = [Input::Collect, Input::TopUp, Input::Stop];
    assert_eq!(inputs.map(|input| input.encode()), [[0], [1], [2]]);
    assert_eq!([Error::RateZero.encode(), Error::Stopped.encode()], [[0], [7]]);
}

/// A call at some height.
#[derive(Clone, Copy, Debug)]
struct Call {
    caller: Party,
    height: BlockNumber,
    value: Amount,
    input: Input,
}

fn party() -> impl Strategy<Value = Party> {
    prop_oneof![Just(Party::Initiator), Just(Party::Responder)]
}

fn call() -> impl Strategy<Value = Call> {
    let input = prop_oneof![8 => Just(Input::Collect), 4 => Just(Input::TopUp), 1 => Just(Input::Stop)];
    (party(), 90..230u32, 0..400u128, input, any::<bool>()).prop_map(|(caller, height, value, input, fits)| {
        let value = if fits == (input == Input::TopUp) { value } else { 0 };
        Call { caller, height, value, input }
    })
}

proptest! {
    /// The payee gets exactly the blocks for which there were coins, counted one by one; the payer gets all the rest.
    #[test]
    fn the_payee_gets_each_block_once_and_the_payer_the_rest(
        rate in 1..40u128,
        coins in 0..3000u128,
        end in prop_oneof![Just(None), (101..220u32).prop_map(Some)],
        calls in prop::collection::vec(call(), 0..25),
        last in 90..230u32,
    ) {
        let create = Creation { payer: PAYER, rate, start: START, end };
        let mut bench = bench_of(create, coins);
        // Block by block: the slow way to say what the payee is due.
        let (mut block, mut pot, mut due) = (START, coins, 0);
        let mut pass = |height: BlockNumber, pot: &mut Amount| {
            while block < height && end.is_none_or(|end| block < end) {
                block += 1;
                if *pot >= rate {
                    *pot -= rate;
                    due += rate;
                }
            }
            due
        };
        let mut is_stopped = false;
        for Call { caller, height, value, input } in calls.into_iter().chain([Call { caller: PAYEE, height: last, value: 0, input: Input::Stop }]) {
            let held = bench.balance();
            let Ok(done) = bench.at(height).pay(caller, value, input) else { continue };
            prop_assert!(!is_stopped);
            prop_assert_eq!(done.output.left, bench.balance());
            prop_assert!(done.payouts.initiator <= held);
            prop_assert_eq!(bench.paid().initiator, pass(height, &mut pot));
            pot += value;
            is_stopped = input == Input::Stop;
            prop_assert_eq!(bench.balance(), if is_stopped { 0 } else { pot });
            prop_assert_eq!(bench.attached().sum().unwrap(), bench.paid().sum().unwrap() + bench.balance());
        }
        prop_assert!(is_stopped, "it can always be stopped");
        prop_assert_eq!(bench.attached().initiator, 0);
    }

    /// However large the numbers are, nothing overflows.
    #[test]
    fn no_numbers_are_too_large(rate in 1..=Amount::MAX, coins: u64, start: u32, height: u32, caller in party()) {
        let mut bench = bench_of(Creation { payer: PAYER, rate, start, end: None }, coins.into());
        let done = bench.at(height).call(caller, Input::Stop).unwrap();
        let blocks = Amount::from(height.saturating_sub(start));
        prop_assert_eq!(done.payouts.initiator, rate * blocks.min(Amount::from(coins) / rate));
    }
}
