//! The smallest app: it counts. Coins attached stay in it until the count reaches the goal; then they all go to whoever reached it.

#![cfg_attr(not(feature = "std"), no_std, no_main)]
#![allow(unexpected_cfgs, reason = "ink!'s macros test features of their own")]

use app_kit::{Amount, App, AppContext, Pair};
use scale::{Decode, Encode};

app_kit::shell!(crate::Counter);

/// The logic.
#[derive(Debug)]
pub struct Counter;

/// What it remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct State {
    /// So far.
    pub count: u64,
    /// Where it pays out.
    pub goal: u64,
}

/// Why it refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Error {
    /// An increment of nothing, or beyond the goal.
    NotTowardsTheGoal,
}

impl App for Counter {
    type State = State;
    /// The goal.
    type Creation = u64;
    /// An increment.
    type Input = u64;
    type Output = u64;
    type Error = Error;

    fn init(_context: &AppContext, goal: u64) -> Result<State, Error> {
        if goal == 0 { Err(Error::NotTowardsTheGoal) } else { Ok(State { count: 0, goal }) }
    }

    fn call(context: &AppContext, state: &mut State, increment: u64) -> Result<(Pair<Amount>, u64), Error> {
        let count = state.count.checked_add(increment).filter(|&count| increment > 0 && count <= state.goal);
        state.count = count.ok_or(Error::NotTowardsTheGoal)?;
        let mut payouts = Pair::default();
        if state.count == state.goal {
            payouts[context.caller] = context.balance;
        }
        Ok((payouts, state.count))
    }
}
