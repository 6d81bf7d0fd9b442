//! An exchange of two parties: every step, every refusal, every boundary, and what holds whatever the two do.

// Clippy knows tests, but not the functions that tests share.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use app_kit::{
    Amount, BlockNumber, MAX_STATE, Pair, Party,
    testing::{Bench, Refusal},
};
use exchange::{Creation, Error, Exchange, Holdings, Input, MAX_ORDERS, Order, Side, State};
use proptest::prelude::*;

const ALICE: Party = Party::Initiator;
const BOB: Party = Party::Responder;
const NOW: BlockNumber = 100;
const VALIDITY: BlockNumber = 20;
const EXPIRY: BlockNumber = NOW + VALIDITY;

/// Alice has the coins, Bob the tokens, and a few of the other.
const FIRST: Pair<Holdings> = Pair::new(Holdings { coins: 1000, tokens: 5 }, Holdings { coins: 50, tokens: 100 });

fn create() -> Creation {
    Creation { holdings: FIRST, max_validity: VALIDITY }
}

fn bench() -> Bench<Exchange> {
    Bench::create(ALICE, Pair::new(1000, 50), NOW, create()).unwrap()
}

fn sell(nonce: u64, amount: Amount, price: Amount) -> Input {
    Input::Place { nonce, side: Side::Sell, amount, price, expiry: EXPIRY }
}

fn buy(nonce: u64, amount: Amount, price: Amount) -> Input {
    Input::Place { nonce, side: Side::Buy, amount, price, expiry: EXPIRY }
}

fn take(nonce: u64, amount: Amount, price: Amount) -> Input {
    Input::Take { nonce, amount, price }
}

/// What each has free: coins and tokens of Alice, then of Bob.
fn free(bench: &Bench<Exchange>) -> [Amount; 4] {
    let Pair { initiator, responder } = bench.state().free;
    [initiator.coins, initiator.tokens, responder.coins, responder.tokens]
}

/// What is a party's in all: free, or locked in its orders.
fn all(state: &State, party: Party) -> Holdings {
    let locked = state.orders.iter().filter(|order| order.maker == party).map(|order| order.locked().unwrap());
    locked.fold(state.free[party], |sum, locked| Holdings {
        coins: sum.coins + locked.coins,
        tokens: sum.tokens + locked.tokens,
    })
}

#[test]
fn a_new_exchange_books_the_first_coins_and_issues_the_tokens() {
    assert_eq!(free(&bench()), [1000, 5, 50, 100]);
}

#[test]
fn terms_that_make_no_exchange_are_refused() {
    let create = |coins, creation| Bench::<Exchange>::create(ALICE, coins, NOW, creation).err();
    let refused = |error| Some(Refusal::App(error));
    let with_validity = |max_validity| create(Pair::new(1000, 50), Creation { holdings: FIRST, max_validity });
    assert_eq!((with_validity(0), with_validity(1)), (refused(Error::ValidityZero), None));
    for coins in [Pair::new(999, 50), Pair::new(1000, 51), Pair::default()] {
        assert_eq!(create(coins, self::create()), refused(Error::NotTheCoins));
    }
    let issued = |alice, bob| {
        let holdings = Pair::new(alice, bob).map(|tokens| Holdings { coins: 0, tokens });
        create(Pair::default(), Creation { holdings, max_validity: 1 })
    };
    assert_eq!((issued(Amount::MAX, 0), issued(Amount::MAX, 1)), (None, refused(Error::Overflow)));
    let too_many = Pair::new(Amount::MAX, 1).map(|coins| Holdings { coins, tokens: 0 });
    assert_eq!(create(Pair::default(), Creation { holdings: too_many, max_validity: 1 }), refused(Error::NotTheCoins));
}

#[test]
fn coins_come_and_go() {
    let mut bench = bench();
    let done = bench.pay(BOB, 30, Input::Deposit).unwrap();
    assert_eq!((done.payouts, done.output), (Pair::default(), Holdings { coins: 80, tokens: 100 }));
    let done = bench.call(BOB, Input::Withdraw(80)).unwrap();
    assert_eq!((done.payouts, done.output), (Pair::new(0, 80), Holdings { coins: 0, tokens: 100 }));
    assert_eq!(bench.balance(), 1000);
}

#[test]
fn nobody_withdraws_more_than_is_free() {
    let mut bench = bench();
    bench.assert_refused(BOB, 0, Input::Withdraw(51), Error::CoinsShort);
    bench.assert_refused(BOB, 0, Input::Withdraw(0), Error::Zero);
    bench.assert_refused(BOB, 0, Input::Deposit, Error::Zero);
    let _locked = bench.call(BOB, buy(1, 1, 1)).unwrap();
    bench.assert_refused(BOB, 0, Input::Withdraw(50), Error::CoinsShort);
    assert_eq!(bench.call(BOB, Input::Withdraw(49)).unwrap().payouts, Pair::new(0, 49));
}

#[test]
fn coins_that_nobody_asked_for_are_refused() {
    for input in [Input::Withdraw(1), sell(1, 1, 1), take(1, 1, 1), Input::Cancel { nonce: 1 }] {
        bench().assert_refused(ALICE, 1, input, Error::CoinsUnasked);
    }
}

#[test]
fn an_order_locks_what_it_would_give() {
    let mut bench = bench();
    let _order = bench.call(BOB, sell(1, 40, 7)).unwrap();
    assert_eq!(free(&bench), [1000, 5, 50, 60]);
    let done = bench.call(ALICE, buy(1, 40, 7)).unwrap();
    assert_eq!(done.output, Holdings { coins: 720, tokens: 5 });
    assert_eq!(free(&bench), [720, 5, 50, 60]);
    let order = Order { maker: BOB, nonce: 1, side: Side::Sell, amount: 40, price: 7, expiry: EXPIRY };
    assert_eq!(bench.state().orders, [order, Order { maker: ALICE, side: Side::Buy, ..order }]);
}

#[test]
fn an_order_beyond_what_is_free_is_refused() {
    bench().assert_refused(BOB, 0, sell(1, 101, 1), Error::TokensShort);
    bench().assert_refused(ALICE, 0, buy(1, 1001, 1), Error::CoinsShort);
    bench().assert_refused(ALICE, 0, buy(1, 1, 1001), Error::CoinsShort);
    bench().assert_refused(ALICE, 0, buy(1, Amount::MAX, 2), Error::Overflow);
    bench().assert_refused(ALICE, 0, buy(1, 0, 2), Error::Zero);
    bench().assert_refused(ALICE, 0, buy(1, 2, 0), Error::Zero);
    assert_eq!(bench().call(ALICE, buy(1, 100, 10)).unwrap().output.coins, 0);
    assert_eq!(bench().call(BOB, sell(1, 100, Amount::MAX)).unwrap().output.tokens, 0);
}

#[test]
fn a_nonce_names_one_order_for_ever() {
    let mut bench = bench();
    bench.assert_refused(BOB, 0, sell(0, 1, 1), Error::NonceUsed);
    let _order = bench.call(BOB, sell(5, 1, 1)).unwrap();
    let _cancelled = bench.call(BOB, Input::Cancel { nonce: 5 }).unwrap();
    for nonce in [4, 5] {
        bench.assert_refused(BOB, 0, sell(nonce, 1, 2), Error::NonceUsed);
    }
    let _other_partys = bench.call(ALICE, sell(5, 1, 1)).unwrap();
    let _next = bench.call(BOB, sell(6, 1, 1)).unwrap();
}

#[test]
fn an_order_expires_within_the_blocks_that_were_agreed() {
    let place =
        |expiry| bench().call(BOB, Input::Place { nonce: 1, side: Side::Sell, amount: 1, price: 1, expiry }).err();
    for expiry in [0, NOW - 1, NOW, EXPIRY + 1, BlockNumber::MAX] {
        assert_eq!(place(expiry), Some(Refusal::App(Error::ExpiryOutOfRange)));
    }
    assert_eq!([NOW + 1, EXPIRY].map(place), [None, None]);
}

#[test]
fn a_party_has_so_many_orders_open_and_no_more() {
    let mut bench = bench();
    for party in Party::BOTH {
        for nonce in 1..=MAX_ORDERS as u64 {
            let _order = bench.call(party, buy(nonce, 1, 1)).unwrap();
        }
        bench.assert_refused(party, 0, buy(99, 1, 1), Error::TooManyOrders);
    }
    assert!(bench.state_len() < 4096, "{} bytes of {MAX_STATE}", bench.state_len());
    let _room = bench.call(BOB, Input::Cancel { nonce: 7 }).unwrap();
    let _order = bench.call(BOB, buy(99, 1, 1)).unwrap();
}

#[test]
fn taking_a_sale_pays_its_price_for_the_tokens() {
    let mut bench = bench();
    let _order = bench.call(BOB, sell(1, 40, 7)).unwrap();
    let done = bench.call(ALICE, take(1, 15, 7)).unwrap();
    assert_eq!((done.payouts, done.output), (Pair::default(), Holdings { coins: 895, tokens: 20 }));
    assert_eq!((free(&bench), bench.state().orders[0].amount), ([895, 20, 155, 60], 25));
    let _rest = bench.call(ALICE, take(1, 25, 7)).unwrap();
    assert_eq!((free(&bench), bench.state().orders), ([720, 45, 330, 60], vec![]));
}

#[test]
fn taking_a_purchase_gives_the_tokens_for_its_price() {
    let mut bench = bench();
    let _order = bench.call(ALICE, buy(1, 40, 7)).unwrap();
    let done = bench.call(BOB, take(1, 15, 7)).unwrap();
    assert_eq!((done.payouts, done.output), (Pair::default(), Holdings { coins: 155, tokens: 85 }));
    assert_eq!((free(&bench), bench.state().orders[0].amount), ([720, 20, 155, 85], 25));
    let _rest = bench.call(BOB, take(1, 25, 7)).unwrap();
    assert_eq!((free(&bench), bench.state().orders), ([720, 45, 330, 60], vec![]));
}

#[test]
fn one_takes_what_is_there_at_its_price_with_what_one_has() {
    let mut bench = bench();
    let _order = bench.call(BOB, sell(1, 40, 30)).unwrap();
    bench.assert_refused(ALICE, 0, take(2, 1, 30), Error::NoSuchOrder);
    bench.assert_refused(BOB, 0, take(1, 1, 30), Error::NoSuchOrder);
    bench.assert_refused(ALICE, 0, take(1, 1, 29), Error::OtherPrice);
    bench.assert_refused(ALICE, 0, take(1, 1, 31), Error::OtherPrice);
    bench.assert_refused(ALICE, 0, take(1, 0, 30), Error::Zero);
    bench.assert_refused(ALICE, 0, take(1, 41, 30), Error::MoreThanLeft);
    bench.assert_refused(ALICE, 0, take(1, 34, 30), Error::CoinsShort);
    assert_eq!(bench.call(ALICE, take(1, 33, 30)).unwrap().output, Holdings { coins: 10, tokens: 38 });
    let _order = bench.call(ALICE, buy(1, 10, 1)).unwrap();
    let _without_tokens = bench.call(BOB, sell(2, 60, 1)).unwrap();
    bench.assert_refused(BOB, 0, take(1, 1, 1), Error::TokensShort);
}

#[test]
fn a_price_beyond_the_number_range_trades_nothing() {
    let mut bench = bench();
    let _order = bench.call(BOB, sell(1, 40, Amount::MAX)).unwrap();
    bench.assert_refused(ALICE, 0, take(1, 1, Amount::MAX), Error::CoinsShort);
    bench.assert_refused(ALICE, 0, take(1, 2, Amount::MAX), Error::Overflow);
    let _back = bench.call(BOB, Input::Cancel { nonce: 1 }).unwrap();
}

#[test]
fn an_order_is_takeable_before_its_expiry_only_and_can_be_cancelled_for_ever() {
    let mut bench = bench();
    let _order = bench.call(BOB, sell(1, 40, 7)).unwrap();
    for height in [EXPIRY, EXPIRY + 1, BlockNumber::MAX] {
        bench.at(height).assert_refused(ALICE, 0, take(1, 1, 7), Error::Expired);
    }
    let _in_time = bench.clone().at(EXPIRY - 1).call(ALICE, take(1, 1, 7)).unwrap();
    assert_eq!(bench.call(BOB, Input::Cancel { nonce: 1 }).unwrap().output, FIRST[BOB]);
}

#[test]
fn only_its_maker_cancels_an_order_and_gets_back_what_is_left_in_it() {
    let mut bench = bench();
    let _order = bench.call(ALICE, buy(1, 40, 7)).unwrap();
    let _taken = bench.call(BOB, take(1, 15, 7)).unwrap();
    bench.assert_refused(BOB, 0, Input::Cancel { nonce: 1 }, Error::NoSuchOrder);
    assert_eq!(bench.call(ALICE, Input::Cancel { nonce: 1 }).unwrap().output, Holdings { coins: 895, tokens: 20 });
    bench.assert_refused(ALICE, 0, Input::Cancel { nonce: 1 }, Error::NoSuchOrder);
    bench.assert_refused(BOB, 0, take(1, 1, 7), Error::NoSuchOrder);
}

#[test]
fn the_bytes_of_inputs_and_errors_stay_what_they_are() {
    use scale::Encode;
    assert_eq!(create().encode(), ((1000u128, 5u128), (50u128, 100u128), 20u32).encode());
    let inputs = [Input::Deposit, Input::Withdraw(1), sell(1, 1, 1), take(1, 1, 1), Input::Cancel { nonce: 1 }];
    assert_eq!(inputs.map(|input| input.encode()[0]), [0, 1, 2, 3, 4]);
    assert_eq!([Error::NotTheCoins.encode(), Error::MoreThanLeft.encode()], [[0], [13]]);
}

fn party() -> impl Strategy<Value = Party> {
    prop_oneof![Just(ALICE), Just(BOB)]
}

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Buy), Just(Side::Sell)]
}

/// Few nonces and prices, so that calls meet.
fn input() -> impl Strategy<Value = Input> {
    let place = (1..8u64, side(), 0..30u128, 0..4u128, 90..140u32)
        .prop_map(|(nonce, side, amount, price, expiry)| Input::Place { nonce, side, amount, price, expiry });
    prop_oneof![
        1 => Just(Input::Deposit),
        1 => (0..300u128).prop_map(Input::Withdraw),
        4 => place,
        6 => (1..8u64, 0..20u128, 1..4u128).prop_map(|(nonce, amount, price)| take(nonce, amount, price)),
        1 => (1..8u64).prop_map(|nonce| Input::Cancel { nonce }),
    ]
}

proptest! {
    /// Coins held are coins booked, tokens stay as many, and what a party has changes by its own deposits and withdrawals, and by trades at a
    /// price that both named, of orders not expired.
    #[test]
    fn a_party_loses_only_what_it_has_signed_away(
        calls in prop::collection::vec((party(), 95..125u32, 0..200u128, input(), any::<bool>()), 0..60),
    ) {
        let mut bench = bench();
        let mut placed = Vec::new();
        for (caller, height, value, input, fits) in calls {
            let value = if fits == (input == Input::Deposit) { value } else { 0 };
            let before = bench.state();
            let Ok(done) = bench.at(height).pay(caller, value, input) else {
                prop_assert_eq!(bench.state(), before);
                continue;
            };
            let after = bench.state();
            let [was, is] = [&before, &after].map(|state| Pair::new(all(state, ALICE), all(state, BOB)));
            prop_assert_eq!(is.initiator.coins + is.responder.coins, bench.balance());
            prop_assert_eq!(is.initiator.tokens + is.responder.tokens, 105);
            prop_assert_eq!(done.output, after.free[caller]);
            let peer = caller.peer();
            let mut expected = was;
            match input {
                Input::Deposit => expected[caller].coins += value,
                Input::Withdraw(amount) => expected[caller].coins -= amount,
                Input::Place { nonce, side, amount, price, expiry } => {
                    placed.push((Order { maker: caller, nonce, side, amount: 0, price, expiry }, amount));
                }
                Input::Take { nonce, amount, price } => {
                    let signed = placed.iter_mut().find(|(order, _)| order.maker == peer && order.nonce == nonce);
                    let (order, left) = signed.expect("its maker placed it");
                    prop_assert!(order.price == price && height < order.expiry);
                    // No more than the maker has ever offered.
                    *left = left.checked_sub(amount).unwrap();
                    let (buyer, seller) = if order.side == Side::Buy { (peer, caller) } else { (caller, peer) };
                    expected[buyer].tokens += amount;
                    expected[seller].tokens -= amount;
                    expected[buyer].coins -= amount * price;
                    expected[seller].coins += amount * price;
                }
                Input::Cancel { nonce } => placed.retain(|(order, _)| order.maker != caller || order.nonce != nonce),
            }
            prop_assert_eq!(is, expected);
            let paid = if let Input::Withdraw(amount) = input { amount } else { 0 };
            prop_assert_eq!((done.payouts[caller], done.payouts[peer]), (paid, 0));
        }
        // Whatever the other does, each gets all of its coins out, at any height.
        for party in Party::BOTH {
            let coins = all(&bench.state(), party).coins;
            for order in bench.state().orders.into_iter().filter(|order| order.maker == party) {
                let _cancelled = bench.at(500).call(party, Input::Cancel { nonce: order.nonce }).unwrap();
            }
            prop_assert_eq!(bench.call(party, Input::Withdraw(coins)).is_ok(), coins > 0);
        }
        prop_assert_eq!(bench.balance(), 0);
    }

    /// No bytes of one party cost the other anything while it has no order open.
    #[test]
    fn arbitrary_bytes_cost_the_peer_nothing(
        bytes in prop::collection::vec(any::<u8>(), 0..60),
        height: u32,
        value in 0..50u128,
    ) {
        let mut bench = bench();
        let _any = bench.at(height).pay_bytes(ALICE, value, &bytes);
        prop_assert_eq!(all(&bench.state(), BOB), FIRST[BOB]);
    }
}
