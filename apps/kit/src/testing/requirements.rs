//! What an app requires of a hash lock, on the bench (R7.1a).

use super::*;
use protocol::contracts::{Requirement, conditional::HashFunction};

const SECRET: Preimage = Preimage([0x5E; 32]);
/// The expiry of what is required.
const EXPIRY: BlockNumber = 200;

/// An app that counts its calls and requires what it is told to.
struct Demanding;

#[derive(Clone, Debug, Encode, Decode)]
enum Order {
    #[codec(index = 0)]
    Require(Requirement),
    /// Where it was called before.
    #[codec(index = 1)]
    RequireNextTime(Requirement),
    /// It asks for more than there is.
    #[codec(index = 2)]
    RequireAndOverpay(Requirement),
    #[codec(index = 3)]
    RequireAndRefuse(Requirement, u8),
}

impl App for Demanding {
    type State = u32;
    type Creation = ();
    type Input = Order;
    type Output = ();
    type Error = u8;

    fn init(_context: &AppContext, _creation: ()) -> Result<u32, u8> {
        Ok(0)
    }

    fn call(context: &AppContext, calls: &mut u32, input: Order) -> Result<(Pair<Amount>, ()), u8> {
        *calls = calls.saturating_add(1);
        match input {
            Order::Require(_) | Order::RequireNextTime(_) => Ok((Pair::default(), ())),
            Order::RequireAndOverpay(_) => Ok((Pair::new(context.balance, 1), ())),
            Order::RequireAndRefuse(_, error) => Err(error),
        }
    }

    fn requires(_context: &AppContext, calls: &u32, input: &Order) -> Option<Requirement> {
        match input {
            Order::RequireNextTime(requirement) => (*calls > 0).then_some(*requirement),
            Order::Require(requirement)
            | Order::RequireAndOverpay(requirement)
            | Order::RequireAndRefuse(requirement, _) => Some(*requirement),
        }
    }
}

fn bench() -> Bench<Demanding> {
    Bench::create(Party::Initiator, Pair::new(10, 5), 100, ()).unwrap()
}

fn lock() -> HashLock {
    SECRET.lock(HashFunction::Blake2b256, &Native)
}

fn shown() -> Requirement {
    Requirement::Shown { lock: lock(), preimage: SECRET, before: EXPIRY }
}

fn silent() -> Requirement {
    Requirement::Silent { lock: lock(), from: EXPIRY }
}

#[test]
fn a_call_that_requires_a_pre_image_shows_it_and_counts_at_any_time_where_that_was_before_the_expiry() {
    for (height, in_time) in [(EXPIRY - 1, true), (EXPIRY, false), (EXPIRY + 1, false)] {
        let mut bench = bench();
        let called = bench.at(height).call(Party::Responder, Order::Require(shown()));
        let too_late = Refusal::Requirement(CallFault::TooLate { expiry: EXPIRY });
        assert_eq!(called.err(), (!in_time).then_some(too_late));
        assert_eq!(bench.state(), u32::from(in_time), "what is unmet has not happened");
        if in_time {
            // It was shown: this call and any other may be made later.
            let _again = bench.at(EXPIRY + 1_000).call(Party::Initiator, Order::Require(shown())).unwrap();
            bench.assert_unmet(Party::Initiator, Order::Require(silent()), CallFault::ShownInTime);
        } else {
            let _silent = bench.call(Party::Initiator, Order::Require(silent())).unwrap();
        }
    }
}

#[test]
fn what_is_said_to_be_shown_counts_by_its_first_block() {
    for (block, in_time) in [(EXPIRY - 1, true), (EXPIRY, false)] {
        let mut bench = bench();
        let _shown = bench.show(lock(), block).show(lock(), 1).at(EXPIRY + 1_000);
        let other = CallFault::TooLate { expiry: EXPIRY };
        let (met, unmet, fault) = match in_time {
            true => (shown(), silent(), CallFault::ShownInTime),
            false => (silent(), shown(), other),
        };
        bench.assert_unmet(Party::Initiator, Order::Require(unmet), fault);
        let _met = bench.call(Party::Initiator, Order::Require(met)).unwrap();
    }
}

#[test]
fn silence_is_required_from_the_expiry_on_and_a_pre_image_has_to_be_the_right_one() {
    for height in [100, EXPIRY - 1] {
        let fault = CallFault::TooEarly { expiry: EXPIRY, height };
        bench().at(height).assert_unmet(Party::Initiator, Order::Require(silent()), fault);
    }
    let wrong = Requirement::Shown { lock: lock(), preimage: Preimage([0; 32]), before: EXPIRY };
    bench().assert_unmet(Party::Initiator, Order::Require(wrong), CallFault::WrongPreimage);
    let sha = SECRET.lock(HashFunction::Sha2_256, &Native);
    let other_function = Requirement::Silent { lock: sha, from: EXPIRY };
    let mut bench = bench();
    let _met = bench.show(lock(), 150).at(EXPIRY).call(Party::Initiator, Order::Require(other_function)).unwrap();
}

#[test]
fn what_is_required_is_judged_on_the_state_before_the_call() {
    let mut bench = bench();
    let order = Order::RequireNextTime(silent());
    let _nothing_required = bench.call(Party::Initiator, order.clone()).unwrap();
    let early = CallFault::TooEarly { expiry: EXPIRY, height: 100 };
    bench.assert_unmet(Party::Initiator, order, early);
}

#[test]
fn a_call_that_the_app_refuses_shows_nothing_and_its_error_comes_first() {
    let mut bench = bench();
    bench.assert_refused(Party::Initiator, 0, Order::RequireAndRefuse(shown(), 9), 9);
    bench.assert_refused(Party::Initiator, 0, Order::RequireAndRefuse(silent(), 9), 9);
    let _silent = bench.at(EXPIRY).call(Party::Initiator, Order::Require(silent())).unwrap();
}

#[test]
fn a_copy_of_the_bench_knows_what_was_shown_and_shows_the_other_nothing() {
    let mut one = bench();
    let mut other = one.clone();
    let _shown = one.call(Party::Initiator, Order::Require(shown())).unwrap();
    let mut third = one.clone();
    third.at(EXPIRY).assert_unmet(Party::Initiator, Order::Require(silent()), CallFault::ShownInTime);
    let _silent = other.at(EXPIRY).call(Party::Initiator, Order::Require(silent())).unwrap();
}

#[test]
#[should_panic(expected = "holds 15 and would pay out more")]
fn an_app_that_pays_too_much_is_found_also_where_it_requires_something() {
    let _done = bench().call(Party::Initiator, Order::RequireAndOverpay(shown()));
}

#[test]
#[should_panic(expected = "ShownInTime")]
fn a_requirement_that_is_unmet_for_another_reason_than_the_expected_one_is_found() {
    bench().at(EXPIRY).assert_unmet(Party::Initiator, Order::Require(shown()), CallFault::ShownInTime);
}
