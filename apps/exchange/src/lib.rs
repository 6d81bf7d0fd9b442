//! Two parties trade coins against tokens, by orders that say how many, at what price, and until when.
//!
//! ```text
//!             Deposit                Place                     Take (the peer)
//!   channel ----------> free coins ----------> locked in an order ----------> the peer's free coins
//!           <----------            <----------
//!            Withdraw                 Cancel            tokens go the other way, at the order's price
//! ```
//!
//! Coins are the channel's, and come and go. Tokens are units of whatever the two mean by them (a stock, a debt, a share); all are issued at
//! creation, and stay. What an order would give is locked in it, so an order can always be filled. Every unit is free or locked, and
//! somebody's; it changes hands in no way but `Take`, at the price of the order. Its maker has signed the order, its taker the taking, price
//! and amount included.
//!
//! **Deadlines.** An order is takeable in blocks before its expiry. Afterwards its maker takes back what is in it with `Cancel`, whenever
//! it likes; also in a channel that has ended, where `Cancel` and `Withdraw` can still be forced.
//!
//! **Free option.** An open order lets the peer wait and see how prices move. Its maker limits that by the expiry, and the terms limit every
//! expiry: at most `max_validity` blocks after the placing. A `Take` that the maker leaves unanswered is in the maker's hand, to be agreed to later or
//! never: its taker forces it on chain while the order is takeable, and so has to begin a transaction's time before the expiry. A taker that was too
//! late agrees another round or closes the channel: until then the maker may still agree to the old one.

#![cfg_attr(not(feature = "std"), no_std, no_main)]
#![allow(unexpected_cfgs, reason = "ink!'s macros test features of their own")]

use app_kit::{Amount, App, AppContext, BlockNumber, Pair, Party};
use ink::prelude::vec::Vec;
use scale::{Decode, Encode};

app_kit::shell!(crate::Exchange);

/// As many open orders as one party may have. The state stays below 4 KiB with all of both.
pub const MAX_ORDERS: usize = 32;

/// The logic.
#[derive(Debug)]
pub struct Exchange;

/// Coins and tokens of one party.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Holdings {
    /// Coins of the channel.
    pub coins: Amount,
    /// Tokens.
    pub tokens: Amount,
}

/// Which way an order goes, as its maker sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Side {
    /// Coins for tokens; locks `amount` times `price` coins.
    #[codec(index = 0)]
    Buy,
    /// Tokens for coins; locks `amount` tokens.
    #[codec(index = 1)]
    Sell,
}

/// An open order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Order {
    /// Whose.
    pub maker: Party,
    /// Its number among its maker's.
    pub nonce: u64,
    /// Which way.
    pub side: Side,
    /// How many tokens are left to trade.
    pub amount: Amount,
    /// Coins for each token.
    pub price: Amount,
    /// The first block in which it is not takeable any more.
    pub expiry: BlockNumber,
}

impl Order {
    /// What is locked in it.
    pub fn locked(&self) -> Result<Holdings, Error> {
        Ok(match self.side {
            Side::Buy => Holdings { coins: self.cost(self.amount)?, tokens: 0 },
            Side::Sell => Holdings { coins: 0, tokens: self.amount },
        })
    }

    fn cost(&self, amount: Amount) -> Result<Amount, Error> {
        self.price.checked_mul(amount).ok_or(Error::Overflow)
    }
}

/// What it remembers. The coins free and locked are together what the contract holds.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct State {
    /// What is each party's and in no order.
    pub free: Pair<Holdings>,
    /// The number of each party's last order.
    pub nonces: Pair<u64>,
    /// So many blocks after its placing an order may expire at the latest.
    pub max_validity: BlockNumber,
    /// The open orders, the oldest first.
    pub orders: Vec<Order>,
}

/// What the creation says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Creation {
    /// What each begins with. The coins are those that the contract is created with; the tokens are all that there will ever be.
    pub holdings: Pair<Holdings>,
    /// The longest that an order may be takeable, in blocks.
    pub max_validity: BlockNumber,
}

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Input {
    /// Adds the coins attached to the caller's.
    #[codec(index = 0)]
    Deposit,
    /// Pays the caller so many of its free coins.
    #[codec(index = 1)]
    Withdraw(Amount),
    /// Opens an order.
    #[codec(index = 2)]
    Place {
        /// Higher than every nonce that the caller has used.
        nonce: u64,
        /// Which way.
        side: Side,
        /// How many tokens.
        amount: Amount,
        /// Coins for each token.
        price: Amount,
        /// The first block in which it is not takeable any more.
        expiry: BlockNumber,
    },
    /// Trades with an order of the peer's.
    #[codec(index = 3)]
    Take {
        /// Which order.
        nonce: u64,
        /// How many tokens, at most what is left.
        amount: Amount,
        /// The price that the caller has seen. At another one nothing is traded.
        price: Amount,
    },
    /// Closes an order of the caller's.
    #[codec(index = 4)]
    Cancel {
        /// Which one.
        nonce: u64,
    },
}

/// Why it refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Error {
    /// The first coins are not those that the contract is created with.
    #[codec(index = 0)]
    NotTheCoins,
    /// Orders that may never be takeable.
    #[codec(index = 1)]
    ValidityZero,
    /// Amounts beyond the number range.
    #[codec(index = 2)]
    Overflow,
    /// Coins attached to a call other than `Deposit`.
    #[codec(index = 3)]
    CoinsUnasked,
    /// An amount or a price of nothing.
    #[codec(index = 4)]
    Zero,
    /// More coins than the caller has free.
    #[codec(index = 5)]
    CoinsShort,
    /// More tokens than the caller has free.
    #[codec(index = 6)]
    TokensShort,
    /// A nonce not above the caller's last.
    #[codec(index = 7)]
    NonceUsed,
    /// Expired already, or takeable for longer than agreed.
    #[codec(index = 8)]
    ExpiryOutOfRange,
    /// The caller has [`MAX_ORDERS`] open.
    #[codec(index = 9)]
    TooManyOrders,
    /// No such order is open: taken, cancelled, or never there.
    #[codec(index = 10)]
    NoSuchOrder,
    /// The order is not takeable any more.
    #[codec(index = 11)]
    Expired,
    /// The order has another price.
    #[codec(index = 12)]
    OtherPrice,
    /// The order has less left.
    #[codec(index = 13)]
    MoreThanLeft,
}

impl App for Exchange {
    type State = State;
    type Creation = Creation;
    type Input = Input;
    /// What the caller has free after it.
    type Output = Holdings;
    type Error = Error;

    fn init(context: &AppContext, Creation { holdings: free, max_validity }: Creation) -> Result<State, Error> {
        if max_validity == 0 {
            return Err(Error::ValidityZero);
        }
        if free.map(|holdings| holdings.coins).sum() != Some(context.balance) {
            return Err(Error::NotTheCoins);
        }
        // None are issued later, so no addition of tokens overflows.
        let _issued = free.map(|holdings| holdings.tokens).sum().ok_or(Error::Overflow)?;
        Ok(State { free, nonces: Pair::default(), max_validity, orders: Vec::new() })
    }

    fn call(context: &AppContext, state: &mut State, input: Input) -> Result<(Pair<Amount>, Holdings), Error> {
        let caller = context.caller;
        if context.value > 0 && input != Input::Deposit {
            return Err(Error::CoinsUnasked);
        }
        let mut payouts = Pair::default();
        match input {
            Input::Deposit => {
                let coins = not_zero(context.value)?;
                give(&mut state.free[caller], Holdings { coins, tokens: 0 })?;
            }
            Input::Withdraw(amount) => {
                let coins = not_zero(amount)?;
                take(&mut state.free[caller], Holdings { coins, tokens: 0 })?;
                payouts[caller] = coins;
            }
            Input::Place { nonce, side, amount, price, expiry } => {
                place(context, state, Order { maker: caller, nonce, side, amount, price, expiry })?;
            }
            Input::Take { nonce, amount, price } => trade(context, state, nonce, amount, price)?,
            Input::Cancel { nonce } => {
                let at = find(state, caller, nonce)?;
                let locked = state.orders.remove(at).locked()?;
                give(&mut state.free[caller], locked)?;
            }
        }
        Ok((payouts, state.free[caller]))
    }
}

/// Opens an order, and locks what it would give.
fn place(context: &AppContext, state: &mut State, order: Order) -> Result<(), Error> {
    let maker = order.maker;
    let _amount = not_zero(order.amount)?;
    let _price = not_zero(order.price)?;
    if order.nonce <= state.nonces[maker] {
        return Err(Error::NonceUsed);
    }
    let validity = order.expiry.checked_sub(context.height);
    if validity.is_none_or(|blocks| blocks == 0 || blocks > state.max_validity) {
        return Err(Error::ExpiryOutOfRange);
    }
    if state.orders.iter().filter(|open| open.maker == maker).count() >= MAX_ORDERS {
        return Err(Error::TooManyOrders);
    }
    take(&mut state.free[maker], order.locked()?)?;
    state.nonces[maker] = order.nonce;
    state.orders.push(order);
    Ok(())
}

/// Trades `amount` tokens between the caller and an order of its peer's.
fn trade(context: &AppContext, state: &mut State, nonce: u64, amount: Amount, price: Amount) -> Result<(), Error> {
    let (taker, maker) = (context.caller, context.caller.peer());
    let at = find(state, maker, nonce)?;
    let order = state.orders.get_mut(at).ok_or(Error::NoSuchOrder)?;
    if context.height >= order.expiry {
        return Err(Error::Expired);
    }
    if price != order.price {
        return Err(Error::OtherPrice);
    }
    order.amount = order.amount.checked_sub(not_zero(amount)?).ok_or(Error::MoreThanLeft)?;
    let coins = Holdings { coins: order.cost(amount)?, tokens: 0 };
    let tokens = Holdings { coins: 0, tokens: amount };
    // What the maker gives has left its free holdings when the order was placed.
    let (from_taker, from_maker) = match order.side {
        Side::Sell => (coins, tokens),
        Side::Buy => (tokens, coins),
    };
    if order.amount == 0 {
        let _filled = state.orders.remove(at);
    }
    take(&mut state.free[taker], from_taker)?;
    give(&mut state.free[maker], from_taker)?;
    give(&mut state.free[taker], from_maker)
}

fn find(state: &State, maker: Party, nonce: u64) -> Result<usize, Error> {
    let is_it = |order: &Order| order.maker == maker && order.nonce == nonce;
    state.orders.iter().position(is_it).ok_or(Error::NoSuchOrder)
}

fn give(to: &mut Holdings, what: Holdings) -> Result<(), Error> {
    to.coins = to.coins.checked_add(what.coins).ok_or(Error::Overflow)?;
    to.tokens = to.tokens.checked_add(what.tokens).ok_or(Error::Overflow)?;
    Ok(())
}

fn take(from: &mut Holdings, what: Holdings) -> Result<(), Error> {
    from.coins = from.coins.checked_sub(what.coins).ok_or(Error::CoinsShort)?;
    from.tokens = from.tokens.checked_sub(what.tokens).ok_or(Error::TokensShort)?;
    Ok(())
}

fn not_zero(amount: Amount) -> Result<Amount, Error> {
    if amount > 0 { Ok(amount) } else { Err(Error::Zero) }
}
