//! An escrow in parts: every step, every refusal, every boundary, and what holds whatever the two do.

// Clippy knows tests, but not the functions that tests share.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use app_kit::{
    Amount, BlockNumber, MAX_STATE, Pair, Party,
    testing::{Bench, Refusal},
};
use milestones::{Creation, Error, Input, MAX_MILESTONES, Milestone, Milestones, Split};
use proptest::prelude::*;

const PAYER: Party = Party::Initiator;
const PAYEE: Party = Party::Responder;
const NOW: BlockNumber = 50;
/// The deadlines of the three milestones that tests begin with; their amounts are 10, 20 and 30.
const DEADLINES: [BlockNumber; 3] = [100, 200, 200];

fn milestones() -> Vec<Milestone> {
    let milestone = |(amount, deadline)| Milestone { amount, deadline };
    [10, 20, 30].into_iter().zip(DEADLINES).map(milestone).collect()
}

fn created(coins: Amount, milestones: Vec<Milestone>) -> Result<Bench<Milestones>, Refusal<Error>> {
    Bench::create(PAYEE, Pair::new(coins, 0), NOW, Creation { payer: PAYER, milestones })
}

fn unfunded() -> Bench<Milestones> {
    created(0, milestones()).unwrap()
}

fn bench() -> Bench<Milestones> {
    created(60, milestones()).unwrap()
}

fn release(count: u32) -> Input {
    Input::Release { count }
}

fn propose(to_payee: Amount, expiry: BlockNumber) -> Input {
    Input::Propose { to_payee, expiry }
}

fn accept(to_payee: Amount) -> Input {
    Input::Accept { to_payee }
}

fn refused(error: Error) -> Option<Refusal<Error>> {
    Some(Refusal::App(error))
}

#[test]
fn a_new_escrow_holds_all_coins_or_waits_for_the_payer_to_put_them_in() {
    assert!(bench().state().is_funded);
    let mut bench = unfunded();
    assert!(!bench.state().is_funded);
    assert_eq!(bench.pay(PAYER, 60, Input::Fund).unwrap().output, 60);
    assert!(bench.state().is_funded);
    bench.assert_refused(PAYER, 60, Input::Fund, Error::FundedAlready);
}

#[test]
fn lists_that_make_no_escrow_are_refused() {
    let one = Milestone { amount: 1, deadline: NOW + 1 };
    let error = |milestones| created(0, milestones).err();
    assert_eq!(error(vec![]), refused(Error::NotThatMany));
    assert_eq!(error(vec![one; MAX_MILESTONES + 1]), refused(Error::NotThatMany));
    assert_eq!(error(vec![one; MAX_MILESTONES]), None);
    assert_eq!(error(vec![one, Milestone { amount: 0, ..one }]), refused(Error::AmountZero));
    let later = Milestone { deadline: NOW + 2, ..one };
    assert_eq!(error(vec![later, one]), refused(Error::DeadlinesOutOfOrder));
    assert_eq!(error(vec![one, later, later]), None);
    let all = Milestone { amount: Amount::MAX, ..one };
    assert_eq!((error(vec![all]), error(vec![all, one])), (None, refused(Error::Overflow)));
}

#[test]
fn the_longest_list_fits_into_a_state() {
    let longest = created(0, vec![Milestone { amount: 1, deadline: NOW + 1 }; MAX_MILESTONES]).unwrap();
    assert!(longest.state_len() < 1024, "{} bytes of {MAX_STATE}", longest.state_len());
}

#[test]
fn the_coins_are_exactly_the_sum_of_the_milestones() {
    for coins in [1, 59, 61] {
        assert_eq!(created(coins, milestones()).err(), refused(Error::NotTheSum));
        unfunded().assert_refused(PAYER, coins, Input::Fund, Error::NotTheSum);
    }
    unfunded().assert_refused(PAYER, 0, Input::Fund, Error::NotTheSum);
    unfunded().assert_refused(PAYEE, 60, Input::Fund, Error::NotThePayer);
}

#[test]
fn nothing_is_put_in_once_the_first_deadline_has_come() {
    let with_deadline = |coins, deadline| created(coins, vec![Milestone { amount: 5, deadline }]).err();
    for coins in [0, 5] {
        let errors = [NOW - 1, NOW, NOW + 1].map(|deadline| with_deadline(coins, deadline));
        assert_eq!(errors, [refused(Error::TooLate), refused(Error::TooLate), None]);
    }
    for (height, is_in_time) in [(99, true), (100, false), (101, false)] {
        let funded = unfunded().at(height).pay(PAYER, 60, Input::Fund);
        assert_eq!(funded.err(), if is_in_time { None } else { refused(Error::TooLate) });
    }
}

#[test]
fn without_its_coins_an_escrow_does_nothing() {
    for input in [release(1), Input::Decline, Input::Expire, propose(1, 99), Input::Withdraw, accept(1)] {
        for caller in Party::BOTH {
            unfunded().at(500).assert_refused(caller, 0, input.clone(), Error::NotFunded);
        }
    }
}

#[test]
fn the_payer_releases_milestones_in_their_order_one_by_one_or_together() {
    let mut one_by_one = bench();
    for (amount, left) in [(10, 50), (20, 30), (30, 0)] {
        let done = one_by_one.call(PAYER, release(1)).unwrap();
        assert_eq!((done.payouts, done.output), (Pair::new(0, amount), left));
    }
    let mut together = bench();
    assert_eq!(together.call(PAYER, release(2)).unwrap().payouts, Pair::new(0, 30));
    assert_eq!(together.call(PAYER, release(1)).unwrap().payouts, Pair::new(0, 30));
    assert_eq!(together.balance(), 0);
}

#[test]
fn only_the_payer_releases_and_only_what_is_open() {
    bench().assert_refused(PAYEE, 0, release(1), Error::NotThePayer);
    bench().assert_refused(PAYER, 0, release(0), Error::NotThatMany);
    bench().assert_refused(PAYER, 0, release(4), Error::NotThatMany);
    bench().assert_refused(PAYER, 0, release(u32::MAX), Error::NotThatMany);
}

#[test]
fn a_milestone_is_released_before_its_deadline_and_goes_back_from_it_on() {
    assert_eq!(bench().at(99).call(PAYER, release(1)).unwrap().payouts, Pair::new(0, 10));
    for height in [100, 101, 199] {
        // The first is the payer's again; the next one is released.
        assert_eq!(bench().at(height).call(PAYER, release(1)).unwrap().payouts, Pair::new(10, 20));
        bench().at(height).assert_refused(PAYER, 0, release(3), Error::NotThatMany);
    }
    for height in [200, 201] {
        bench().at(height).assert_refused(PAYER, 0, release(1), Error::NotThatMany);
    }
}

#[test]
fn either_party_may_clear_what_has_expired() {
    for caller in Party::BOTH {
        for (height, back) in [(100, 10), (101, 10), (199, 10), (200, 60), (BlockNumber::MAX, 60)] {
            let mut bench = bench();
            let done = bench.at(height).call(caller, Input::Expire).unwrap();
            assert_eq!((done.payouts, done.output), (Pair::new(back, 0), 60 - back));
        }
        bench().at(99).assert_refused(caller, 0, Input::Expire, Error::NothingExpired);
    }
}

#[test]
fn what_was_given_back_stays_so_when_heights_go_back() {
    let mut bench = bench();
    let _first = bench.at(100).call(PAYEE, Input::Expire).unwrap();
    bench.at(99).assert_refused(PAYER, 0, release(3), Error::NotThatMany);
    assert_eq!(bench.call(PAYER, release(2)).unwrap().payouts, Pair::new(0, 50));
}

#[test]
fn the_payee_may_decline_what_is_open() {
    for (height, first) in [(99, 0), (100, 10)] {
        let mut bench = bench();
        bench.assert_refused(PAYER, 0, Input::Decline, Error::NotThePayee);
        if first == 0 {
            let _released = bench.call(PAYER, release(1)).unwrap();
        }
        assert_eq!(bench.at(height).call(PAYEE, Input::Decline).unwrap().payouts, Pair::new(50 + first, 0));
        assert_eq!(bench.balance(), 0);
    }
}

#[test]
fn what_one_proposes_and_the_other_accepts_is_shared_out() {
    for by in Party::BOTH {
        for to_payee in [0, 1, 60] {
            let mut bench = bench();
            assert_eq!(bench.call(by, propose(to_payee, 90)).unwrap().payouts, Pair::default());
            assert_eq!(bench.state().split, Some(Split { by, to_payee, expiry: 90 }));
            let done = bench.call(by.peer(), accept(to_payee)).unwrap();
            assert_eq!((done.payouts, done.output), (Pair::new(60 - to_payee, to_payee), 0));
        }
    }
}

#[test]
fn more_than_is_open_cannot_be_proposed() {
    bench().assert_refused(PAYEE, 0, propose(61, 90), Error::MoreThanOpen);
    bench().at(100).assert_refused(PAYEE, 0, propose(51, 190), Error::MoreThanOpen);
    bench().at(200).assert_refused(PAYEE, 0, propose(0, 290), Error::MoreThanOpen);
    assert_eq!(bench().at(100).call(PAYEE, propose(50, 190)).unwrap().payouts, Pair::new(10, 0));
}

#[test]
fn a_proposal_is_acceptable_before_its_expiry_only() {
    for (expiry, error) in [(NOW - 1, refused(Error::TooLate)), (NOW, refused(Error::TooLate)), (NOW + 1, None)] {
        assert_eq!(bench().call(PAYER, propose(6, expiry)).err(), error);
    }
    let mut bench = bench();
    let _proposed = bench.call(PAYER, propose(6, 90)).unwrap();
    for height in [90, 91] {
        bench.at(height).assert_refused(PAYEE, 0, accept(6), Error::TooLate);
    }
    assert_eq!(bench.at(89).call(PAYEE, accept(6)).unwrap().payouts, Pair::new(54, 6));
}

#[test]
fn one_accepts_the_peers_proposal_and_no_other() {
    let mut bench = bench();
    bench.assert_refused(PAYEE, 0, accept(6), Error::NoProposal);
    let _proposed = bench.call(PAYER, propose(6, 90)).unwrap();
    bench.assert_refused(PAYER, 0, accept(6), Error::NoProposal);
    bench.assert_refused(PAYEE, 0, accept(7), Error::OtherProposal);
    let _replaced = bench.call(PAYEE, propose(40, 90)).unwrap();
    bench.assert_refused(PAYEE, 0, accept(6), Error::NoProposal);
    assert_eq!(bench.call(PAYER, accept(40)).unwrap().payouts, Pair::new(20, 40));
}

#[test]
fn a_proposal_ends_when_its_maker_takes_it_back() {
    let mut bench = bench();
    bench.assert_refused(PAYER, 0, Input::Withdraw, Error::NoProposal);
    let _proposed = bench.call(PAYER, propose(6, 90)).unwrap();
    bench.assert_refused(PAYEE, 0, Input::Withdraw, Error::NoProposal);
    assert_eq!(bench.call(PAYER, Input::Withdraw).unwrap().payouts, Pair::default());
    bench.assert_refused(PAYEE, 0, accept(6), Error::NoProposal);
}

#[test]
fn a_proposal_ends_when_a_milestone_is_decided() {
    let mut released = bench();
    let _proposed = released.call(PAYEE, propose(6, 190)).unwrap();
    let mut expired = released.clone();
    let _released = released.call(PAYER, release(1)).unwrap();
    released.assert_refused(PAYER, 0, accept(6), Error::NoProposal);
    expired.at(100).assert_refused(PAYER, 0, accept(6), Error::NoProposal);
}

#[test]
fn when_all_is_decided_it_is_over() {
    let mut bench = bench();
    let _all = bench.call(PAYER, release(3)).unwrap();
    for input in [release(1), Input::Decline, Input::Expire, propose(0, 90), Input::Withdraw, accept(0)] {
        for caller in Party::BOTH {
            bench.at(50).assert_refused(caller, 0, input.clone(), Error::Over);
            bench.at(500).assert_refused(caller, 0, input.clone(), Error::Over);
        }
    }
    bench.assert_refused(PAYER, 60, Input::Fund, Error::FundedAlready);
}

#[test]
fn coins_that_nobody_asked_for_are_refused() {
    for input in [release(1), Input::Decline, Input::Expire, propose(1, 90), Input::Withdraw, accept(1)] {
        bench().assert_refused(PAYER, 1, input, Error::CoinsUnasked);
    }
}

#[test]
fn the_bytes_of_inputs_and_errors_stay_what_they_are() {
    use scale::Encode;
    let creation = Creation { payer: PAYER, milestones: milestones() };
    assert_eq!(creation.encode(), (0u8, vec![(10u128, 100u32), (20, 200), (30, 200)]).encode());
    let inputs = [Input::Fund, release(1), Input::Decline, Input::Expire, propose(1, 1), Input::Withdraw, accept(1)];
    assert_eq!(inputs.map(|input| input.encode()[0]), [0, 1, 2, 3, 4, 5, 6]);
    assert_eq!([Error::NotThatMany.encode(), Error::Over.encode()], [[0], [15]]);
}

fn party() -> impl Strategy<Value = Party> {
    prop_oneof![Just(Party::Initiator), Just(Party::Responder)]
}

fn input() -> impl Strategy<Value = Input> {
    prop_oneof![
        3 => (0..4u32).prop_map(release),
        1 => Just(Input::Decline),
        2 => Just(Input::Expire),
        3 => (0..120u128, 60..300u32).prop_map(|(to_payee, expiry)| propose(to_payee, expiry)),
        1 => Just(Input::Withdraw),
        3 => (0..120u128).prop_map(accept),
    ]
}

proptest! {
    /// The contract always holds what is open; the payee never gets what the payer did not release or share out, nor the payer what is not
    /// expired, declined or shared out; and at the end everything can be cleared by either party.
    #[test]
    fn each_coin_has_one_owner_and_moves_only_as_its_owner_said(
        amounts in prop::collection::vec(1..50u128, 1..8),
        gaps in prop::collection::vec(0..40u32, 8),
        calls in prop::collection::vec((party(), 50..300u32, input(), any::<bool>()), 0..30),
        last in party(),
    ) {
        let deadlines = gaps.iter().scan(NOW + 1, |deadline, gap| { *deadline += gap; Some(*deadline) });
        let milestones: Vec<_> =
            amounts.iter().zip(deadlines).map(|(&amount, deadline)| Milestone { amount, deadline }).collect();
        let total = amounts.iter().sum();
        let mut bench = created(total, milestones).unwrap();
        for (caller, height, input, agree) in calls {
            let before = bench.state();
            // An acceptance of some amount would nearly never be of the one proposed.
            let input = match (&input, before.split) {
                (Input::Accept { .. }, Some(split)) if agree => accept(split.to_payee),
                _ => input,
            };
            let Ok(done) = bench.at(height).call(caller, input.clone()) else { continue };
            let after = bench.state();
            let open = |milestones: &[Milestone]| milestones.iter().map(|milestone| milestone.amount).sum::<Amount>();
            prop_assert_eq!((bench.balance(), done.output), (open(&after.open), open(&after.open)));
            prop_assert_eq!(bench.paid().sum().unwrap() + bench.balance(), total);
            prop_assert!(before.open.ends_with(&after.open));
            let expired: Vec<_> = before.open.iter().filter(|milestone| milestone.deadline <= height).copied().collect();
            prop_assert!(after.open.iter().all(|milestone| milestone.deadline > height));
            let rest = &before.open[expired.len()..];
            let (to_payer, to_payee) = match input {
                Input::Release { count } => {
                    prop_assert_eq!(caller, PAYER);
                    (0, open(&rest[..count as usize]))
                }
                Input::Decline => {
                    prop_assert_eq!(caller, PAYEE);
                    (open(rest), 0)
                }
                Input::Accept { to_payee } => {
                    let agreed = Split { by: caller.peer(), to_payee, expiry: before.split.unwrap().expiry };
                    prop_assert_eq!(before.split, Some(agreed));
                    prop_assert!(height < agreed.expiry && expired.is_empty());
                    (open(rest) - to_payee, to_payee)
                }
                _ => (0, 0),
            };
            prop_assert_eq!(done.payouts, Pair::new(to_payer + open(&expired), to_payee));
        }
        let is_over = bench.state().open.is_empty();
        prop_assert_eq!(bench.at(BlockNumber::MAX).call(last, Input::Expire).is_err(), is_over);
        prop_assert_eq!(bench.balance(), 0);
    }

    /// No bytes make it panic or pay.
    #[test]
    fn arbitrary_bytes_pay_nothing_to_the_payee_of_its_own_accord(
        bytes in prop::collection::vec(any::<u8>(), 0..40),
        height: u32,
    ) {
        let mut bench = bench();
        if bench.at(height).pay_bytes(PAYEE, 0, &bytes).is_ok() {
            prop_assert_eq!(bench.paid().responder, 0);
        }
    }
}
