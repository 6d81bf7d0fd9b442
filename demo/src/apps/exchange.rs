//! Alice has coins, Bob has tokens, and they trade by orders. Bob stops answering: Alice takes his order while it is open, and then what is hers.

use super::{stage::Stage, words::name};
use crate::{
    SHARE,
    report::{UNIT, short},
    say,
};
use anyhow::{Result, ensure};
use exchange::{Creation, Error, Exchange, Holdings, Input, Side};
use protocol::{Amount, BlockNumber, Pair, Party};
use std::time::Instant;

const ALICE: Party = Party::Initiator;
const BOB: Party = Party::Responder;
/// What each brings.
const COINS: Pair<Amount> = Pair::new(20 * UNIT, 5 * UNIT);
/// What Bob has issued.
const TOKENS: Amount = 10_000;
/// Coins for a token.
const PRICE: Amount = UNIT / 100;
/// As many trades as leave Alice what she takes out later.
const MAX_TRADES: u32 = 500;
/// For how many blocks an order may be open.
const VALIDITY: BlockNumber = 50;
/// For how many blocks those of the story are.
const OPEN: BlockNumber = 10;

/// What both should have inside.
#[derive(Clone, Copy)]
struct Books(Pair<Holdings>);

impl Books {
    /// Alice buys so many tokens.
    fn alice_buys(&mut self, tokens: Amount) {
        let Self(Pair { initiator: alice, responder: bob }) = self;
        let coins = tokens.saturating_mul(PRICE);
        (alice.coins, bob.coins) = (alice.coins.saturating_sub(coins), bob.coins.saturating_add(coins));
        (alice.tokens, bob.tokens) = (alice.tokens.saturating_add(tokens), bob.tokens.saturating_sub(tokens));
    }
}

pub(super) async fn play(mut stage: Stage<Exchange>) -> Result<()> {
    let holdings =
        Pair::new(Holdings { coins: COINS.initiator, tokens: 0 }, Holdings { coins: COINS.responder, tokens: TOKENS });
    let mut books = Books(holdings);
    let contract = stage.begin(ALICE, COINS, Creation { holdings, max_validity: VALIDITY }).await?;
    stage.expect(Pair::new(SHARE.saturating_sub(COINS.initiator), SHARE.saturating_sub(COINS.responder))).await?;
    let take = |nonce, amount| Input::Take { nonce, amount, price: PRICE };

    // An order has its time.
    let expiry = stage.head().await?.saturating_add(OPEN);
    let _done = stage.calls(BOB, contract, 0, sell(1, 100, expiry)).await?;
    let _pays = stage.try_call(ALICE, contract, take(1, 40)).await?;
    let _done = stage.calls(ALICE, contract, 0, take(1, 40)).await?;
    let dear = Input::Take { nonce: 1, amount: 1, price: PRICE / 2 };
    stage.is_refused(ALICE, contract, 0, dear, Error::OtherPrice).await?;
    stage.pass_until(expiry.saturating_sub(1)).await?;
    let _done = stage.calls(ALICE, contract, 0, take(1, 10)).await?;
    books.alice_buys(50);
    stage.pass_until(expiry).await?;
    stage.is_refused(ALICE, contract, 0, take(1, 10), Error::Expired).await?;
    let _done = stage.calls(BOB, contract, 0, Input::Cancel { nonce: 1 }).await?;
    ensure!(stage.state(contract).await?.free == books.0, "50 tokens have changed hands");

    // Many have less.
    let trades = (stage.calls / 2).min(MAX_TRADES);
    say(&format!("{trades} orders of Bob's, each taken by Alice, one after the other"));
    let (began, expiry) = (Instant::now(), stage.head().await?.saturating_add(OPEN));
    for nonce in 2..u64::from(trades).saturating_add(2) {
        let _done = stage.call(BOB, contract, 0, sell(nonce, 1, expiry)).await?;
        let _done = stage.call(ALICE, contract, 0, take(nonce, 1)).await?;
    }
    books.alice_buys(trades.into());
    stage.note_speed("orders placed and taken, one after the other", trades.saturating_mul(2), began);
    ensure!(stage.state(contract).await?.free == books.0, "{trades} tokens have changed hands");

    // Both have an order open when Bob stops.
    let expiry = stage.head().await?.saturating_add(OPEN);
    let nonce = 1_000_000;
    let _done = stage.calls(BOB, contract, 0, sell(nonce, 100, expiry)).await?;
    let buy = Input::Place { nonce, side: Side::Buy, amount: 200, price: PRICE, expiry };
    let _done = stage.calls(ALICE, contract, 0, buy).await?;
    stage.bob_stops().await?;
    stage.pass_until(expiry.saturating_sub(2)).await?;
    let [_done] = stage.force(ALICE, contract, [take(nonce, 30)]).await?;
    books.alice_buys(30);
    stage.pass_until(expiry).await?;
    stage.is_not_forced(ALICE, contract, take(nonce, 30), Error::Expired).await?;
    let out = 10 * UNIT;
    let [_cancelled, withdrawn] = stage.force(ALICE, contract, [Input::Cancel { nonce }, Input::Withdraw(out)]).await?;
    ensure!(withdrawn.payouts == Pair::new(out, 0), "what is Alice's own is paid to her");
    books.0.initiator.coins = books.0.initiator.coins.saturating_sub(out);

    // And goes on.
    stage.bob_returns().await?;
    let _done = stage.calls(BOB, contract, 0, Input::Cancel { nonce }).await?;
    let expiry = stage.head().await?.saturating_add(OPEN);
    let _done = stage.calls(BOB, contract, 0, sell(nonce.saturating_add(1), 20, expiry)).await?;
    let _done = stage.calls(ALICE, contract, 0, take(nonce.saturating_add(1), 20)).await?;
    books.alice_buys(20);
    ensure!(stage.state(contract).await?.free == books.0, "everybody has what was traded, and nothing is open");
    let Books(left) = books;
    say(&format!("{} has {} tokens, {} has {}", name(ALICE), left.initiator.tokens, name(BOB), left.responder.tokens));
    stage.remove(ALICE, contract, left.map(|holdings| holdings.coins)).await?;
    let cost = left.initiator.tokens.saturating_mul(PRICE);
    say(&format!("Alice has paid {} units for her tokens", short(cost)));
    let expected = Pair::new(SHARE.saturating_sub(cost), SHARE.saturating_add(cost));
    stage.expect(expected).await?;
    let closed = stage.close().await?;
    stage.end(&closed, expected).await
}

const fn sell(nonce: u64, amount: Amount, expiry: BlockNumber) -> Input {
    Input::Place { nonce, side: Side::Sell, amount, price: PRICE, expiry }
}
