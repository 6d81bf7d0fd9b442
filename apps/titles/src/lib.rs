//! A register of titles: things that belong to one of two parties and are no coins, such as tickets, deeds or names.
//!
//! ```text
//!                 .-- Give (owner) ------------------------------------------------> the peer's
//!   the owner's --+                  .-- Claim (anybody), pre-image shown in time -> the peer's
//!                 '-- Lock (owner) --+-- Return (the peer), at any time -----------> the owner's
//!                                    '-- Return (the owner), from expiry on,
//!                                        where no pre-image was shown in time -----> the owner's
//! ```
//!
//! **Under a hash lock.** An owner locks a title for its peer as a conditional transfer locks coins (R8.1): what it is locked with decides, and the arbiter's
//! registry of pre-images says how (R7.1a). So a title and coins, or titles of two channels, that have one lock move together or not at all. A lock ends in one of
//! the three ways above and in no other: meanwhile the owner neither gives the title nor locks it anew, and only the peer for whom it is locked gives it up early.
//!
//! **No deadline of its own.** The app compares no heights. Where the pre-image was shown before the expiry, the title can be claimed for ever after, and the owner can
//! never take it back; where it was not, the reverse holds. No forced step that comes first or takes another's place changes that. A lock that has expired when it
//! is made is worth nothing to the peer, and harms nobody.
//!
//! **Free option.** A title that is locked is the peer's to take until the expiry, if it knows the pre-image, and stays locked until then if it does not give it up: what
//! the owner asks for that is agreed elsewhere. A `Give` or `Lock` that the peer leaves unanswered stays in its hand until a later round is agreed.
//!
//! **No coins.** The contract holds none. So it looks worthless and is not: it has to be accepted as an app that is not worthless when empty. And the record of a
//! channel leaves the chain with the last coin of its contracts (R5.11): what is to be claimed by force is claimed before the channel is settled, or while another contract of it holds coins.

#![cfg_attr(not(feature = "std"), no_std, no_main)]
#![allow(unexpected_cfgs, reason = "ink!'s macros test features of their own")]

use app_kit::{Amount, App, AppContext, BlockNumber, HashLock, Pair, Party, Preimage, Requirement};
use ink::prelude::vec::Vec;
use scale::{Decode, Encode};

app_kit::shell!(crate::Titles);

/// As many titles as one contract may have. Its state stays below 12 KiB, also where all of them are locked.
pub const MAX_TITLES: usize = 256;

/// The logic.
#[derive(Debug)]
pub struct Titles;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Title {
    /// Which.
    pub number: u32,
    /// Whose it is.
    pub owner: Party,
    /// What it is locked with, for the owner's peer.
    pub lock: Option<Lock>,
}

/// How a title becomes the peer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Lock {
    /// What the pre-image opens.
    pub lock: HashLock,
    /// The first block in which it is too late to show it.
    pub expiry: BlockNumber,
}

/// What it remembers.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct State {
    /// All titles, in the order of their numbers.
    pub titles: Vec<Title>,
}

impl State {
    /// A title.
    pub fn title(&self, number: u32) -> Option<&Title> {
        self.titles.iter().find(|title| title.number == number)
    }

    fn title_mut(&mut self, number: u32) -> Result<&mut Title, Error> {
        self.titles.iter_mut().find(|title| title.number == number).ok_or(Error::NoSuchTitle)
    }
}

impl Title {
    /// The owner does something with it, which nobody does while it is locked.
    fn ensure_free(&self, caller: Party) -> Result<(), Error> {
        ensure(caller == self.owner, Error::NotTheOwner)?;
        ensure(self.lock.is_none(), Error::Locked)
    }

    /// Its lock ends.
    fn unlock(&mut self) -> Result<(), Error> {
        self.lock.take().map(|_ended| ()).ok_or(Error::NotLocked)
    }
}

/// What the creation says: the number and the owner of each title. The numbers increase, so none is there twice.
pub type Creation = Vec<(u32, Party)>;

/// What a call does.
///
/// Whatever locks has the lock and its expiry as its last fields, and whatever claims has the pre-image: so do the calls that a swap makes under a lock of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Input {
    /// The owner gives it to its peer.
    #[codec(index = 0)]
    Give {
        /// Which.
        title: u32,
    },
    /// The owner locks it for its peer.
    #[codec(index = 1)]
    Lock {
        /// Which.
        title: u32,
        /// What the pre-image opens.
        lock: HashLock,
        /// The first block in which it is too late to show it.
        expiry: BlockNumber,
    },
    /// What is locked becomes the peer's. Either party may say so.
    #[codec(index = 2)]
    Claim {
        /// Which.
        title: u32,
        /// What opens its lock.
        preimage: Preimage,
    },
    /// What is locked stays the owner's. The peer for whom it is locked may say so at any time; the owner from expiry on, where the pre-image was not shown in time.
    #[codec(index = 3)]
    Return {
        /// Which.
        title: u32,
    },
}

/// Why it refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Error {
    /// Coins came with the creation or with a call: no title is any.
    #[codec(index = 0)]
    CoinsUnasked,
    /// More than [`MAX_TITLES`].
    #[codec(index = 1)]
    TooManyTitles,
    /// A number that is not above the one in front of it.
    #[codec(index = 2)]
    NumbersOutOfOrder,
    /// There is no title with this number.
    #[codec(index = 3)]
    NoSuchTitle,
    /// Only the owner may.
    #[codec(index = 4)]
    NotTheOwner,
    /// It is locked already.
    #[codec(index = 5)]
    Locked,
    /// It is not locked, or not any more.
    #[codec(index = 6)]
    NotLocked,
}

impl App for Titles {
    type State = State;
    type Creation = Creation;
    type Input = Input;
    type Output = ();
    type Error = Error;

    fn init(context: &AppContext, creation: Creation) -> Result<State, Error> {
        ensure(context.balance == 0, Error::CoinsUnasked)?;
        ensure(creation.len() <= MAX_TITLES, Error::TooManyTitles)?;
        ensure(creation.is_sorted_by(|(one, _), (next, _)| one < next), Error::NumbersOutOfOrder)?;
        let title = |(number, owner)| Title { number, owner, lock: None };
        Ok(State { titles: creation.into_iter().map(title).collect() })
    }

    fn call(context: &AppContext, state: &mut State, input: Input) -> Result<(Pair<Amount>, ()), Error> {
        ensure(context.value == 0, Error::CoinsUnasked)?;
        match input {
            Input::Give { title } => {
                let title = state.title_mut(title)?;
                title.ensure_free(context.caller)?;
                title.owner = title.owner.peer();
            }
            Input::Lock { title, lock, expiry } => {
                let title = state.title_mut(title)?;
                title.ensure_free(context.caller)?;
                title.lock = Some(Lock { lock, expiry });
            }
            Input::Claim { title, .. } => {
                let title = state.title_mut(title)?;
                title.unlock()?;
                title.owner = title.owner.peer();
            }
            Input::Return { title } => state.title_mut(title)?.unlock()?,
        }
        Ok((Pair::default(), ()))
    }

    fn requires(context: &AppContext, state: &State, input: &Input) -> Option<Requirement> {
        match *input {
            Input::Claim { title, preimage } => {
                let Lock { lock, expiry } = state.title(title)?.lock?;
                Some(Requirement::Shown { lock, preimage, before: expiry })
            }
            Input::Return { title } => {
                let Title { owner, lock, .. } = *state.title(title)?;
                let Lock { lock, expiry } = lock?;
                (context.caller == owner).then_some(Requirement::Silent { lock, from: expiry })
            }
            Input::Give { .. } | Input::Lock { .. } => None,
        }
    }
}

fn ensure(holds: bool, otherwise: Error) -> Result<(), Error> {
    if holds { Ok(()) } else { Err(otherwise) }
}
