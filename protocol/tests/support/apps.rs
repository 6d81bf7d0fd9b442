//! The apps of the tests' channels as native code, byte for byte like those in `apps/`, which know ink and so cannot be used here.
#![allow(unreachable_pub, reason = "a module of several test crates")]

use protocol::contracts::{
    App, AppContext, AppOutcome, NativeApps, Requirement,
    conditional::{HashLock, Preimage},
};
use protocol::{AccountId, Amount, BlockNumber, Hash, Pair, Party};
use scale::{Decode, Encode};
use std::collections::BTreeMap;

/// An app on the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deployed {
    pub account: AccountId,
    pub code: Hash,
}

pub const COUNTER: Deployed = Deployed { account: AccountId([0xC0; 32]), code: Hash([0xC1; 32]) };
pub const ESCROW: Deployed = Deployed { account: AccountId([0x50; 32]), code: Hash([0x51; 32]) };
pub const DEED: Deployed = Deployed { account: AccountId([0xDE; 32]), code: Hash([0xDF; 32]) };
/// Does as it is told: answers with the input, which is an outcome.
pub const PUPPET: Deployed = Deployed { account: AccountId([0x60; 32]), code: Hash([0x61; 32]) };

/// Where each stands.
pub fn deployed() -> BTreeMap<AccountId, Hash> {
    [COUNTER, ESCROW, PUPPET, DEED].map(|app| (app.account, app.code)).into_iter().collect()
}

/// What each does.
pub fn native() -> NativeApps {
    let mut apps = NativeApps::new();
    apps.register::<Counter>(COUNTER.code);
    apps.register::<Escrow>(ESCROW.code);
    apps.register::<Deed>(DEED.code);
    apps.register_as(
        PUPPET.code,
        |_context, _input| Ok(Ok(AppOutcome::default())),
        |_context, _state, input| {
            protocol::decode_exact(input).map_err(|_| protocol::contracts::CallFault::Undecodable)
        },
    );
    apps
}

/// Counts; whoever reaches the goal has everything.
pub struct Counter;

impl App for Counter {
    /// The count and the goal.
    type State = (u64, u64);
    type Creation = u64;
    type Input = u64;
    type Output = u64;
    type Error = u8;

    fn init(_context: &AppContext, goal: u64) -> Result<(u64, u64), u8> {
        if goal == 0 { Err(0) } else { Ok((0, goal)) }
    }

    fn call(context: &AppContext, (count, goal): &mut (u64, u64), by: u64) -> Result<(Pair<Amount>, u64), u8> {
        *count = count.checked_add(by).filter(|count| by > 0 && count <= goal).ok_or(0)?;
        let mut payouts = Pair::default();
        if count == goal {
            payouts[context.caller] = context.balance;
        }
        Ok((payouts, *count))
    }
}

/// Tokens for coins.
pub struct Escrow;

/// What to do with tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Tokens {
    #[codec(index = 0)]
    Issue,
    #[codec(index = 1)]
    Move(Amount),
    #[codec(index = 2)]
    Redeem(Amount),
}

impl App for Escrow {
    type State = (Pair<Amount>, BlockNumber);
    /// The first block in which tokens do not move any more.
    type Creation = BlockNumber;
    type Input = Tokens;
    type Output = Amount;
    type Error = u8;

    fn init(_context: &AppContext, deadline: BlockNumber) -> Result<Self::State, u8> {
        Ok((Pair::default(), deadline))
    }

    fn call(
        context: &AppContext,
        (tokens, deadline): &mut Self::State,
        input: Tokens,
    ) -> Result<(Pair<Amount>, Amount), u8> {
        let caller = context.caller;
        if context.value > 0 && input != Tokens::Issue {
            return Err(2);
        }
        let mut payouts = Pair::default();
        match input {
            Tokens::Issue | Tokens::Move(_) if context.height >= *deadline => return Err(1),
            Tokens::Issue => {
                let issued = tokens[caller].checked_add(context.value).filter(|_| context.value > 0);
                tokens[caller] = issued.ok_or(0)?;
            }
            Tokens::Move(amount) | Tokens::Redeem(amount) => {
                tokens[caller] = tokens[caller].checked_sub(amount).filter(|_| amount > 0).ok_or(0)?;
                if matches!(input, Tokens::Redeem(_)) {
                    payouts[caller] = amount;
                } else {
                    tokens[caller.peer()] = tokens[caller.peer()].checked_add(amount).ok_or(0)?;
                }
            }
        }
        Ok((payouts, tokens[caller]))
    }
}

/// One thing that belongs to one of the two and moves under a hash lock: what `apps/titles` is, for a single title.
pub struct Deed;

/// What to do with the thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum DeedInput {
    /// The owner promises it to its peer, under this lock and until this block.
    #[codec(index = 0)]
    Lock(HashLock, BlockNumber),
    /// It moves, whoever says so.
    #[codec(index = 1)]
    Claim(Preimage),
    /// It is free again: the peer lets it go, or it is not claimed in time.
    #[codec(index = 2)]
    Return,
    /// The owner gives it to its peer.
    #[codec(index = 3)]
    Give,
}

impl App for Deed {
    type State = (Party, Option<(HashLock, BlockNumber)>);
    type Creation = Party;
    type Input = DeedInput;
    type Output = ();
    type Error = u8;

    fn init(_context: &AppContext, owner: Party) -> Result<Self::State, u8> {
        Ok((owner, None))
    }

    fn call(
        context: &AppContext,
        (owner, locked): &mut Self::State,
        input: DeedInput,
    ) -> Result<(Pair<Amount>, ()), u8> {
        match (input, *locked) {
            _ if context.value > 0 => return Err(0),
            (DeedInput::Lock(lock, expiry), None) if context.caller == *owner => *locked = Some((lock, expiry)),
            (DeedInput::Give, None) if context.caller == *owner => *owner = owner.peer(),
            (DeedInput::Claim(_), Some(_)) => (*owner, *locked) = (owner.peer(), None),
            (DeedInput::Return, Some(_)) => *locked = None,
            _ => return Err(1),
        }
        Ok((Pair::default(), ()))
    }

    fn requires(context: &AppContext, (owner, locked): &Self::State, input: &DeedInput) -> Option<Requirement> {
        let (lock, expiry) = (*locked)?;
        match input {
            DeedInput::Claim(preimage) => Some(Requirement::Shown { lock, preimage: *preimage, before: expiry }),
            DeedInput::Return if context.caller == *owner => Some(Requirement::Silent { lock, from: expiry }),
            _ => None,
        }
    }
}
