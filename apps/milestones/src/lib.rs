//! An escrow in parts: the payer locks coins against a list of milestones, each with an amount and a deadline.
//!
//! ```text
//!                  .-- Release (payer) ------------------> the payee's
//!   open ----------+-- Decline (payee), deadline passed -> the payer's
//!                  '-- Propose, Accept ------------------> shared out as both said
//! ```
//!
//! Milestones are decided in their order, several at once if need be. A milestone whose deadline has come goes back to the payer with the next
//! call, whatever the call is: every call first gives back what has expired. So each coin is open, or was paid to one of the two, and after the last
//! deadline either party can clear the contract with `Expire`. Nothing is stuck, also in a channel that has ended.
//!
//! **Deadlines.** `Release` counts in blocks before the deadline, expiry from the deadline on. A payee that works towards a milestone should see
//! to it that the deadline leaves time to be paid by force: the payer decides alone whether to release.
//!
//! **Free option.** The payer may wait with each milestone until its deadline, and no longer: that is what the deadline limits. A proposal to
//! share out lets the peer choose until the proposal's own expiry, which is why it has to name one; it lapses earlier when it is withdrawn or replaced
//! or when any milestone is decided. A `Release`, `Propose` or `Accept` that the peer leaves unanswered stays in its hand until a later round is
//! agreed: whoever made it forces it on chain rather than wait.

#![cfg_attr(not(feature = "std"), no_std, no_main)]
#![allow(unexpected_cfgs, reason = "ink!'s macros test features of their own")]

use app_kit::{Amount, App, AppContext, BlockNumber, Pair, Party};
use ink::prelude::vec::Vec;
use scale::{Decode, Encode};

app_kit::shell!(crate::Milestones);

/// As many milestones as one contract may have. Its state stays below 1 KiB with them.
pub const MAX_MILESTONES: usize = 32;

/// The logic.
#[derive(Debug)]
pub struct Milestones;

/// A part of the coins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Milestone {
    /// How many.
    pub amount: Amount,
    /// The first block in which they are the payer's again.
    pub deadline: BlockNumber,
}

/// How one party would share out all that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Split {
    /// Who said so.
    pub by: Party,
    /// What the payee would get; the rest would be the payer's.
    pub to_payee: Amount,
    /// The first block in which it cannot be accepted any more.
    pub expiry: BlockNumber,
}

/// What it remembers. Once funded, the contract holds exactly the open milestones.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct State {
    /// Whose coins are locked; the other party is the payee.
    pub payer: Party,
    /// Whether the coins have been put in.
    pub is_funded: bool,
    /// The open milestones, in the order of their deadlines.
    pub open: Vec<Milestone>,
    /// A proposal to share them out.
    pub split: Option<Split>,
}

impl State {
    /// What is open.
    fn total(&self) -> Result<Amount, Error> {
        sum(&self.open)
    }

    /// Takes the first `count` open milestones out, and gives their sum. A proposal was about all of them, so it lapses.
    fn take(&mut self, count: usize) -> Result<Amount, Error> {
        let amount = sum(self.open.get(..count).ok_or(Error::NotThatMany)?)?;
        if count > 0 {
            self.open.drain(..count);
            self.split = None;
        }
        Ok(amount)
    }

    /// Takes those out whose deadline has come. They come first, since deadlines are in order.
    fn expire(&mut self, height: BlockNumber) -> Result<Amount, Error> {
        self.take(self.open.iter().take_while(|milestone| milestone.deadline <= height).count())
    }
}

/// What the creation says. The contract is created with all coins, or with none, which the payer puts in later.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Creation {
    /// Whose coins are locked.
    pub payer: Party,
    /// One to [`MAX_MILESTONES`], in the order of their deadlines.
    pub milestones: Vec<Milestone>,
}

/// What a call does.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Input {
    /// The payer puts in all coins, attached.
    #[codec(index = 0)]
    Fund,
    /// The payer pays the next `count` milestones to the payee.
    #[codec(index = 1)]
    Release {
        /// How many.
        count: u32,
    },
    /// The payee gives all that is open back to the payer.
    #[codec(index = 2)]
    Decline,
    /// Gives back what has expired. Either party may say so.
    #[codec(index = 3)]
    Expire,
    /// Either party proposes how to share out all that is open; it takes the place of an earlier proposal.
    #[codec(index = 4)]
    Propose {
        /// What the payee would get.
        to_payee: Amount,
        /// The first block in which it cannot be accepted any more.
        expiry: BlockNumber,
    },
    /// Takes one's own proposal back.
    #[codec(index = 5)]
    Withdraw,
    /// Accepts the other party's proposal.
    #[codec(index = 6)]
    Accept {
        /// What is accepted, so that another proposal is not accepted by mistake.
        to_payee: Amount,
    },
}

/// Why it refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Error {
    /// No milestones, or more than [`MAX_MILESTONES`].
    #[codec(index = 0)]
    NotThatMany,
    /// A milestone of nothing.
    #[codec(index = 1)]
    AmountZero,
    /// A deadline before the one in front of it.
    #[codec(index = 2)]
    DeadlinesOutOfOrder,
    /// The first deadline, or a proposal's expiry, has come already.
    #[codec(index = 3)]
    TooLate,
    /// The amounts exceed the number range.
    #[codec(index = 4)]
    Overflow,
    /// Coins that are not exactly the sum of the milestones.
    #[codec(index = 5)]
    NotTheSum,
    /// The coins are there already.
    #[codec(index = 6)]
    FundedAlready,
    /// The coins are not there yet.
    #[codec(index = 7)]
    NotFunded,
    /// Only the payer may.
    #[codec(index = 8)]
    NotThePayer,
    /// Only the payee may.
    #[codec(index = 9)]
    NotThePayee,
    /// Coins attached to a call other than `Fund`.
    #[codec(index = 10)]
    CoinsUnasked,
    /// No deadline has come.
    #[codec(index = 11)]
    NothingExpired,
    /// The payee would get more than is open.
    #[codec(index = 12)]
    MoreThanOpen,
    /// There is no proposal of the party that has to have made it.
    #[codec(index = 13)]
    NoProposal,
    /// The proposal is another one.
    #[codec(index = 14)]
    OtherProposal,
    /// Every milestone has been decided.
    #[codec(index = 15)]
    Over,
}

impl App for Milestones {
    type State = State;
    type Creation = Creation;
    type Input = Input;
    /// What is still open.
    type Output = Amount;
    type Error = Error;

    fn init(context: &AppContext, Creation { payer, milestones: open }: Creation) -> Result<State, Error> {
        if open.is_empty() || open.len() > MAX_MILESTONES {
            return Err(Error::NotThatMany);
        }
        if open.iter().any(|milestone| milestone.amount == 0) {
            return Err(Error::AmountZero);
        }
        if !open.is_sorted_by_key(|milestone| milestone.deadline) {
            return Err(Error::DeadlinesOutOfOrder);
        }
        let mut state = State { payer, is_funded: false, open, split: None };
        let total = state.total()?;
        if context.balance > 0 {
            fund(context, &mut state, context.balance, total)?;
        } else {
            ensure_time_is_left(context, &state)?;
        }
        Ok(state)
    }

    fn call(context: &AppContext, state: &mut State, input: Input) -> Result<(Pair<Amount>, Amount), Error> {
        let (caller, payer, payee) = (context.caller, state.payer, state.payer.peer());
        let mut payouts = Pair::default();
        if context.value > 0 && input != Input::Fund {
            return Err(Error::CoinsUnasked);
        }
        let expired = if input == Input::Fund {
            0
        } else {
            ensure(state.is_funded, Error::NotFunded)?;
            ensure(!state.open.is_empty(), Error::Over)?;
            state.expire(context.height)?
        };
        payouts[payer] = expired;
        match input {
            Input::Fund => {
                ensure(caller == payer, Error::NotThePayer)?;
                ensure(!state.is_funded, Error::FundedAlready)?;
                let total = state.total()?;
                fund(context, state, context.value, total)?;
            }
            Input::Release { count } => {
                ensure(caller == payer, Error::NotThePayer)?;
                ensure(count > 0, Error::NotThatMany)?;
                let count = usize::try_from(count).map_err(|_too_many| Error::NotThatMany)?;
                payouts[payee] = state.take(count)?;
            }
            Input::Decline => {
                ensure(caller == payee, Error::NotThePayee)?;
                let declined = state.take(state.open.len())?;
                payouts[payer] = expired.checked_add(declined).ok_or(Error::Overflow)?;
            }
            Input::Expire => ensure(expired > 0, Error::NothingExpired)?,
            Input::Propose { to_payee, expiry } => {
                ensure(to_payee <= state.total()? && !state.open.is_empty(), Error::MoreThanOpen)?;
                ensure(context.height < expiry, Error::TooLate)?;
                state.split = Some(Split { by: caller, to_payee, expiry });
            }
            Input::Withdraw => {
                let own = state.split.take().filter(|split| split.by == caller);
                ensure(own.is_some(), Error::NoProposal)?;
            }
            Input::Accept { to_payee } => {
                let split = state.split.filter(|split| split.by != caller).ok_or(Error::NoProposal)?;
                ensure(split.to_payee == to_payee, Error::OtherProposal)?;
                ensure(context.height < split.expiry, Error::TooLate)?;
                let open = state.take(state.open.len())?;
                payouts[payee] = to_payee;
                // Nothing has expired, or the proposal would have lapsed with it.
                payouts[payer] = open.checked_sub(to_payee).ok_or(Error::MoreThanOpen)?;
            }
        }
        Ok((payouts, state.total()?))
    }
}

/// Takes note that `coins` are there: all of them, and while the first milestone still has time.
fn fund(context: &AppContext, state: &mut State, coins: Amount, total: Amount) -> Result<(), Error> {
    ensure_time_is_left(context, state)?;
    ensure(coins == total, Error::NotTheSum)?;
    state.is_funded = true;
    Ok(())
}

fn ensure_time_is_left(context: &AppContext, state: &State) -> Result<(), Error> {
    ensure(state.open.iter().all(|milestone| context.height < milestone.deadline), Error::TooLate)
}

fn sum(milestones: &[Milestone]) -> Result<Amount, Error> {
    let total = milestones.iter().try_fold(0, |sum: Amount, milestone| sum.checked_add(milestone.amount));
    total.ok_or(Error::Overflow)
}

fn ensure(holds: bool, otherwise: Error) -> Result<(), Error> {
    if holds { Ok(()) } else { Err(otherwise) }
}
