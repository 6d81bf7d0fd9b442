//! Why a peer refuses a proposal.

use scale::{Decode, Encode};
use std::fmt;

/// Why a proposal was refused. Below 128 the protocol's, from there on the application's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct RefusalCode(pub u16);

impl RefusalCode {
    /// The proposal breaks a rule.
    pub const VALIDATION: Self = Self(1);
    /// The terms do not suit the responder's policy.
    pub const POLICY: Self = Self(2);
    /// It took too long.
    pub const TIMEOUT: Self = Self(3);
    /// A close is under way.
    pub const CLOSING: Self = Self(4);
    /// The chain refused.
    pub const ON_CHAIN: Self = Self(5);
    /// No such channel here.
    pub const UNKNOWN_CHANNEL: Self = Self(6);
    /// Too much is going on already.
    pub const BUSY: Self = Self(7);
    /// Something that is under way on chain goes first: the same may be asked for again after another block.
    pub const NOT_NOW: Self = Self(8);
    /// The refuser's store is older than what it has signed: it signs nothing more but a close (R6.6).
    pub const STALE_STORE: Self = Self(9);
    /// The height of a round lies too far from what the refuser sees as the head of the chain: try again after another block.
    pub const HEIGHT: Self = Self(10);
    /// The refuser does not have the app, and could not get it.
    pub const CODE_UNKNOWN: Self = Self(11);
    /// The refuser has signed a higher round that may still be used: the same changes are made again above it (R6.1).
    pub const SUPERSEDED: Self = Self(12);
    /// The vault of whoever proposes a channel does not hold its share: it deposits it first (R6.7).
    pub const UNFUNDED: Self = Self(13);
    /// More conditional transfers than was agreed at opening, or one of less (R8.3b).
    pub const LIMITS: Self = Self(14);
    /// The conditional transfer has expired, and its pre-image was not shown before.
    pub const EXPIRED: Self = Self(15);
    /// The pre-image of the conditional transfer was shown in time: it is its payee's.
    pub const SHOWN: Self = Self(16);
    /// The first of the application's own codes.
    pub const APPLICATION: Self = Self(128);
}

impl fmt::Display for RefusalCode {
    /// What happened and, where there is something, what to do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(code) = *self;
        let meaning = match *self {
            Self::VALIDATION => "the proposal breaks a rule",
            Self::POLICY => "the terms or the change do not suit the peer's policy: propose others",
            Self::TIMEOUT => "it took too long",
            Self::CLOSING => "the channel is being closed",
            Self::ON_CHAIN => "the chain refused",
            Self::UNKNOWN_CHANNEL => "the peer has no such channel",
            Self::BUSY => "too much is going on at the peer's: try again later",
            Self::NOT_NOW => "something on chain goes first: try again after another block",
            Self::STALE_STORE => "the peer's store is older than what it has signed: it signs nothing more but a close",
            Self::HEIGHT => "the peer sees another head of the chain: try again after another block",
            Self::CODE_UNKNOWN => "the peer does not have the app, and could not get it",
            Self::SUPERSEDED => "the peer has signed a higher round: the same is proposed again above it",
            Self::UNFUNDED => "the peer finds less in the vault than the channel takes out of it: deposit it first",
            Self::LIMITS => "the peer takes no more conditional transfers, or none so small: wait for some to end",
            Self::EXPIRED => "the conditional transfer has expired",
            Self::SHOWN => "the pre-image of the conditional transfer was shown in time: it is the payee's",
            _ if code >= Self::APPLICATION.0 => "the peer's application says no",
            _ => "the peer gives a reason unknown here",
        };
        write!(f, "{meaning} (code {code})")
    }
}
