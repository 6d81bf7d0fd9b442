//! A stream of coins from one party to the other, by the block.
//!
//! ```text
//!        start            paid_until          height                 funded_until
//!   -------|===== paid =======|== the payee's ===|...... the payer's ......|----> blocks
//! ```
//!
//! Payer, rate, start and end are agreed at creation, and so are the first coins, whoever brings them: they count as the payer's. Every call
//! first pays the payee for the whole blocks that went by since the last one, as far as the coins held suffice. What is left is the payer's.
//! Blocks for which there were no coins are never paid: a stream that has run dry stands still until it is topped up.
//!
//! **Deadlines.** There are none to miss: what has accrued stays the payee's until it is paid. A channel that ends does not stop the
//! stream. The payer has to `Stop` it (by force if need be), or it runs on until its end or its last coin.
//!
//! **Free option.** Whoever answers a proposed round last may hold the answer back, and later choose between the state before and after it.
//! Here the two differ in who holds what accrued anyway, so waiting gains nothing. A `Stop` that stays unanswered is forced on chain and counts
//! there in its own block: the payer goes on paying until then, at most `rate` for each block. The caller names the height off chain, within the
//! window that its peer accepts, so each call may err by `rate` times that window; `paid_until` never goes back, so no block is paid twice.

#![cfg_attr(not(feature = "std"), no_std, no_main)]
#![allow(unexpected_cfgs, reason = "ink!'s macros test features of their own")]

use app_kit::{Amount, App, AppContext, BlockNumber, Pair, Party};
use scale::{Decode, Encode};

app_kit::shell!(crate::Stream);

/// The logic.
#[derive(Debug)]
pub struct Stream;

/// What it remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct State {
    /// Whose coins flow; the other party is the payee.
    pub payer: Party,
    /// Coins for each block.
    pub rate: Amount,
    /// The first block that is not paid for any more, if one was agreed.
    pub end: Option<BlockNumber>,
    /// The first block that is not yet paid for. It only grows.
    pub paid_until: BlockNumber,
    /// Whether somebody has stopped it; nothing is held then.
    pub is_stopped: bool,
}

impl State {
    /// The first block that `balance` does not pay for: when to top up, or when to stop serving.
    pub fn funded_until(&self, balance: Amount) -> BlockNumber {
        let blocks = balance.checked_div(self.rate).unwrap_or_default();
        let until = BlockNumber::try_from(blocks).unwrap_or(BlockNumber::MAX).saturating_add(self.paid_until);
        self.end.map_or(until, |end| until.min(end))
    }

    /// What the payee is owed for the blocks before `height`, out of `held`. They count as paid from then on.
    fn settle(&mut self, height: BlockNumber, held: Amount) -> Amount {
        let until = self.end.map_or(height, |end| height.min(end));
        let passed = Amount::from(until.saturating_sub(self.paid_until));
        let payable = held.checked_div(self.rate).unwrap_or_default();
        self.paid_until = self.paid_until.max(until);
        // No more than `held`, since `payable` is not.
        self.rate.saturating_mul(passed.min(payable))
    }
}

/// What the creation says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Creation {
    /// Whose coins flow.
    pub payer: Party,
    /// Coins for each block.
    pub rate: Amount,
    /// The first block that is paid for.
    pub start: BlockNumber,
    /// The first block that is not paid for any more; later than `start`.
    pub end: Option<BlockNumber>,
}

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Input {
    /// Pays what has accrued. Either party may say so.
    #[codec(index = 0)]
    Collect,
    /// Adds the coins attached. The payer only, before the end.
    #[codec(index = 1)]
    TopUp,
    /// Pays what has accrued, gives the rest back, and ends the stream. Either party may say so.
    #[codec(index = 2)]
    Stop,
}

/// What a call answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Receipt {
    /// What the payee got.
    pub paid: Amount,
    /// What is still held.
    pub left: Amount,
}

/// Why it refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Error {
    /// A stream of nothing.
    #[codec(index = 0)]
    RateZero,
    /// An end that is not after the start.
    #[codec(index = 1)]
    EndNotAfterStart,
    /// Coins attached to a call other than `TopUp`.
    #[codec(index = 2)]
    CoinsUnasked,
    /// A top-up with nothing attached.
    #[codec(index = 3)]
    NothingAttached,
    /// Only the payer tops up.
    #[codec(index = 4)]
    NotThePayer,
    /// Nothing has accrued, or nothing is there to pay it with.
    #[codec(index = 5)]
    NothingDue,
    /// A top-up from the end on.
    #[codec(index = 6)]
    AfterTheEnd,
    /// It has been stopped.
    #[codec(index = 7)]
    Stopped,
}

impl App for Stream {
    type State = State;
    type Creation = Creation;
    type Input = Input;
    type Output = Receipt;
    type Error = Error;

    fn init(_context: &AppContext, Creation { payer, rate, start, end }: Creation) -> Result<State, Error> {
        if rate == 0 {
            return Err(Error::RateZero);
        }
        if end.is_some_and(|end| end <= start) {
            return Err(Error::EndNotAfterStart);
        }
        Ok(State { payer, rate, end, paid_until: start, is_stopped: false })
    }

    fn call(context: &AppContext, state: &mut State, input: Input) -> Result<(Pair<Amount>, Receipt), Error> {
        if state.is_stopped {
            return Err(Error::Stopped);
        }
        if context.value > 0 && input != Input::TopUp {
            return Err(Error::CoinsUnasked);
        }
        // Coins that come now were not there in the blocks that went by. `balance` includes `value` (R7.1).
        let paid = state.settle(context.height, context.balance.saturating_sub(context.value));
        let left = context.balance.saturating_sub(paid);
        let mut payouts = Pair::default();
        payouts[state.payer.peer()] = paid;
        match input {
            Input::Collect if paid == 0 => return Err(Error::NothingDue),
            Input::Collect => {}
            Input::TopUp if context.caller != state.payer => return Err(Error::NotThePayer),
            Input::TopUp if context.value == 0 => return Err(Error::NothingAttached),
            Input::TopUp if state.end.is_some_and(|end| context.height >= end) => return Err(Error::AfterTheEnd),
            Input::TopUp => {}
            Input::Stop => {
                payouts[state.payer] = left;
                state.is_stopped = true;
                return Ok((payouts, Receipt { paid, left: 0 }));
            }
        }
        Ok((payouts, Receipt { paid, left }))
    }
}
