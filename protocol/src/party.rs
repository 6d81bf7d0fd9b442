//! The two parties of a channel, and values that each of them has one of.

use crate::{AccountId, PublicKey, Round};
use core::ops::{Index, IndexMut};
use scale::{Decode, Encode, MaxEncodedLen};

/// One of the two sides of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, MaxEncodedLen)]
#[cfg_attr(feature = "std", derive(scale_info::TypeInfo))]
pub enum Party {
    /// Dialled, proposed the channel, and owns the odd rounds.
    #[codec(index = 0)]
    Initiator,
    /// Accepted the channel, and owns the even rounds.
    #[codec(index = 1)]
    Responder,
}

impl Party {
    /// Both, in the order in which everything is written.
    pub const BOTH: [Self; 2] = [Self::Initiator, Self::Responder];

    /// The other side.
    #[must_use]
    pub const fn peer(self) -> Self {
        match self {
            Self::Initiator => Self::Responder,
            Self::Responder => Self::Initiator,
        }
    }

    /// Who proposes `round`: odd rounds are the initiator's, even ones the responder's (R6.1).
    #[must_use]
    pub const fn owner_of(round: Round) -> Self {
        if round % 2 == 1 { Self::Initiator } else { Self::Responder }
    }
}

/// A party as the arbiter knows it across channels: an account, and the key that the account named. Vaults (R5.1) and the nonces of pairs
/// (R5.2) belong to it, so that nobody moves either with a key of its own and somebody else's account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, MaxEncodedLen)]
#[cfg_attr(feature = "std", derive(scale_info::TypeInfo))]
pub struct PartyId {
    /// Pays into its vault, and alone takes coins out of it.
    pub account: AccountId,
    /// Signs for the coins in the vault to move into channels.
    pub key: PublicKey,
}

/// One value for each party, indexed by [`Party`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, MaxEncodedLen)]
#[cfg_attr(feature = "std", derive(scale_info::TypeInfo))]
pub struct Pair<T> {
    /// The initiator's.
    pub initiator: T,
    /// The responder's.
    pub responder: T,
}

impl<T> Pair<T> {
    /// Both values, the initiator's first.
    pub const fn new(initiator: T, responder: T) -> Self {
        Self { initiator, responder }
    }

    /// Applies `f` to each.
    pub fn map<U>(self, mut f: impl FnMut(T) -> U) -> Pair<U> {
        Pair { initiator: f(self.initiator), responder: f(self.responder) }
    }

    /// Borrows each.
    pub const fn as_ref(&self) -> Pair<&T> {
        Pair { initiator: &self.initiator, responder: &self.responder }
    }

    /// Each with its party, the initiator's first.
    pub fn iter(&self) -> impl Iterator<Item = (Party, &T)> {
        [(Party::Initiator, &self.initiator), (Party::Responder, &self.responder)].into_iter()
    }
}

impl Pair<crate::Amount> {
    /// What both have together, or nothing where that exceeds the number range (R3.3).
    #[must_use]
    pub const fn sum(&self) -> Option<crate::Amount> {
        self.initiator.checked_add(self.responder)
    }
}

impl<T> Index<Party> for Pair<T> {
    type Output = T;
    fn index(&self, party: Party) -> &T {
        match party {
            Party::Initiator => &self.initiator,
            Party::Responder => &self.responder,
        }
    }
}

impl<T> IndexMut<Party> for Pair<T> {
    fn index_mut(&mut self, party: Party) -> &mut T {
        match party {
            Party::Initiator => &mut self.initiator,
            Party::Responder => &mut self.responder,
        }
    }
}
