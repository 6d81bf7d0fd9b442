//! Tokens that live inside a channel. Whoever attaches coins is issued as many tokens; tokens move between the parties; whoever
//! redeems tokens is paid the coins behind them. From a deadline on, tokens are only redeemed.

#![cfg_attr(not(feature = "std"), no_std, no_main)]
#![allow(unexpected_cfgs, reason = "ink!'s macros test features of their own")]

use app_kit::{Amount, App, AppContext, BlockNumber, Pair};
use scale::{Decode, Encode};

app_kit::shell!(crate::Escrow);

/// The logic.
#[derive(Debug)]
pub struct Escrow;

/// What it remembers. The contract always holds as many coins as there are tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct State {
    /// Each party's tokens.
    pub tokens: Pair<Amount>,
    /// The first block in which tokens do not move any more.
    pub deadline: BlockNumber,
}

/// What the creation says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Creation {
    /// The first block in which tokens do not move any more.
    pub deadline: BlockNumber,
}

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Input {
    /// Issues as many tokens to the caller as it attaches coins.
    #[codec(index = 0)]
    Issue,
    /// Moves tokens of the caller to its peer.
    #[codec(index = 1)]
    Move(Amount),
    /// Pays the caller the coins behind its tokens.
    #[codec(index = 2)]
    Redeem(Amount),
}

/// Why it refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Error {
    /// More than the caller has, or nothing.
    #[codec(index = 0)]
    NotThatMany,
    /// From the deadline on.
    #[codec(index = 1)]
    AfterTheDeadline,
    /// Coins attached to a call that issues no tokens for them.
    #[codec(index = 2)]
    CoinsUnasked,
}

impl App for Escrow {
    type State = State;
    type Creation = Creation;
    type Input = Input;
    /// The caller's tokens after it.
    type Output = Amount;
    type Error = Error;

    fn init(_context: &AppContext, Creation { deadline }: Creation) -> Result<State, Error> {
        Ok(State { tokens: Pair::default(), deadline })
    }

    fn call(context: &AppContext, state: &mut State, input: Input) -> Result<(Pair<Amount>, Amount), Error> {
        let caller = context.caller;
        if context.value > 0 && input != Input::Issue {
            return Err(Error::CoinsUnasked);
        }
        let is_over = context.height >= state.deadline;
        let mut payouts = Pair::default();
        let mut take = |amount: Amount| {
            let left = state.tokens[caller].checked_sub(amount).filter(|_| amount > 0);
            left.map(|left| state.tokens[caller] = left).ok_or(Error::NotThatMany)
        };
        match input {
            Input::Issue | Input::Move(_) if is_over => return Err(Error::AfterTheDeadline),
            Input::Issue => {
                let issued = state.tokens[caller].checked_add(context.value).filter(|_| context.value > 0);
                state.tokens[caller] = issued.ok_or(Error::NotThatMany)?;
            }
            Input::Move(amount) => {
                take(amount)?;
                let received = state.tokens[caller.peer()].checked_add(amount);
                state.tokens[caller.peer()] = received.ok_or(Error::NotThatMany)?;
            }
            Input::Redeem(amount) => {
                take(amount)?;
                payouts[caller] = amount;
            }
        }
        Ok((payouts, state.tokens[caller]))
    }
}
