//! A box in which each party keeps coins. Coins attached are booked for whoever attached them; before a deadline a party may give some
//! of its own to its peer; at any time it may take its own out.
//!
//! **Deadlines and free option.** `Give` counts in blocks before the deadline only. A `Give` that the peer leaves unanswered is the peer's to agree to
//! until another round is agreed, so give nothing that you may want back.

#![cfg_attr(not(feature = "std"), no_std, no_main)]
#![allow(unexpected_cfgs, reason = "ink!'s macros test features of their own")]

use app_kit::{Amount, App, AppContext, BlockNumber, Pair};
use scale::{Decode, Encode};

// The contract for the chain: `init` and `call`, by the bytes that the arbiter and the peers use.
app_kit::shell!(crate::Template);

/// The logic.
#[derive(Debug)]
pub struct Template;

/// What it remembers. The contract always holds what is booked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct State {
    /// What is each party's.
    pub booked: Pair<Amount>,
    /// The first block in which nothing changes hands any more.
    pub deadline: BlockNumber,
}

/// What the creation says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Creation {
    /// The coins that the contract is created with: whose they are.
    pub booked: Pair<Amount>,
    /// The first block in which nothing changes hands any more.
    pub deadline: BlockNumber,
}

/// What a call says. Numbers are never reused, so that old calls keep their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Input {
    /// Books the coins attached for the caller.
    #[codec(index = 0)]
    Put,
    /// Books so many of the caller's coins for its peer.
    #[codec(index = 1)]
    Give(Amount),
    /// Pays the caller so many of its coins.
    #[codec(index = 2)]
    Take(Amount),
}

/// Why it refuses. Every reason has a number of its own, and a test of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Error {
    /// The first coins are not those that the contract is created with.
    #[codec(index = 0)]
    NotTheCoins,
    /// Coins attached to a call other than `Put`: nobody would own them.
    #[codec(index = 1)]
    CoinsUnasked,
    /// An amount of nothing.
    #[codec(index = 2)]
    Zero,
    /// More than the caller has.
    #[codec(index = 3)]
    NotThatMany,
    /// From the deadline on.
    #[codec(index = 4)]
    TooLate,
}

impl App for Template {
    type State = State;
    type Creation = Creation;
    type Input = Input;
    /// What the caller has after it.
    type Output = Amount;
    type Error = Error;

    fn init(context: &AppContext, Creation { booked, deadline }: Creation) -> Result<State, Error> {
        if booked.sum() != Some(context.balance) {
            return Err(Error::NotTheCoins);
        }
        Ok(State { booked, deadline })
    }

    fn call(context: &AppContext, state: &mut State, input: Input) -> Result<(Pair<Amount>, Amount), Error> {
        let caller = context.caller;
        if context.value > 0 && input != Input::Put {
            return Err(Error::CoinsUnasked);
        }
        let mut payouts = Pair::default();
        match input {
            Input::Put => add(&mut state.booked[caller], not_zero(context.value)?)?,
            Input::Give(_) if context.height >= state.deadline => return Err(Error::TooLate),
            Input::Give(amount) => {
                subtract(&mut state.booked[caller], not_zero(amount)?)?;
                add(&mut state.booked[caller.peer()], amount)?;
            }
            Input::Take(amount) => {
                subtract(&mut state.booked[caller], not_zero(amount)?)?;
                payouts[caller] = amount;
            }
        }
        Ok((payouts, state.booked[caller]))
    }
}

fn not_zero(amount: Amount) -> Result<Amount, Error> {
    if amount > 0 { Ok(amount) } else { Err(Error::Zero) }
}

fn add(to: &mut Amount, amount: Amount) -> Result<(), Error> {
    *to = to.checked_add(amount).ok_or(Error::NotThatMany)?;
    Ok(())
}

fn subtract(from: &mut Amount, amount: Amount) -> Result<(), Error> {
    *from = from.checked_sub(amount).ok_or(Error::NotThatMany)?;
    Ok(())
}
