//! What a side knows of the age of its own store (R6.6a).
//!
//! Invariant: once a newer state was shown than the stored one, the store stays stale; a mere suspicion is dropped where the owner vouches for it.

use crate::{error::Misuse, event::Notice};
use protocol::Round;
use scale::{Decode, Encode};

/// What was shown of a store that is older than what its side has signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
struct StaleStore {
    /// What was stored.
    from: Round,
    /// What was shown.
    to: Round,
}

/// Whether this side's store is older than what it has signed, or may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct StoreAge(Option<StaleStore>);

impl StaleStore {
    /// Nothing newer was shown: the store was copied from elsewhere, and may be old.
    const SUSPECTED: Self = Self { from: 0, to: 0 };
}

impl StoreAge {
    /// Of a store that was put here from elsewhere, or of one that was not.
    pub(crate) const fn of(is_copy: bool) -> Self {
        Self(if is_copy { Some(StaleStore::SUSPECTED) } else { None })
    }

    /// Whether the store is stale, or may be: this side begins nothing and agrees to nothing.
    pub(crate) const fn is_doubtful(self) -> bool {
        self.0.is_some()
    }

    /// Whether a newer state than the stored one was shown.
    pub(crate) fn is_stale(self) -> bool {
        self.0.is_some_and(|stale| stale != StaleStore::SUSPECTED)
    }

    /// The store was put here from elsewhere. Says whether that is news.
    pub(crate) const fn suspect(&mut self) -> bool {
        let is_news = self.0.is_none();
        if is_news {
            self.0 = Some(StaleStore::SUSPECTED);
        }
        is_news
    }

    /// The owner vouches for the store. Says whether that is news.
    pub(crate) fn trust(&mut self) -> bool {
        self.0.take_if(|stale| *stale == StaleStore::SUSPECTED).is_some()
    }

    /// A state of round `to` was shown that this side has signed, and `from` was stored. Returns what the user is told of it.
    pub(crate) fn note_stale(&mut self, from: Round, to: Round) -> Notice {
        let from = self.0.filter(|known| *known != StaleStore::SUSPECTED).map_or(from, |known| known.from);
        self.0 = Some(StaleStore { from, to });
        Notice::StaleStore { from, to }
    }

    /// What the user is told of it at each start.
    pub(crate) fn notice(self) -> Option<Notice> {
        self.0.map(|stale| match stale {
            StaleStore::SUSPECTED => Notice::StoreCopied,
            StaleStore { from, to } => Notice::StaleStore { from, to },
        })
    }

    /// Whether this side's store is known to be good: then it may begin something.
    pub(crate) fn check(self) -> Result<(), Misuse> {
        match self.0 {
            None => Ok(()),
            Some(StaleStore::SUSPECTED) => Err(Misuse::StoreCopied),
            Some(_) => Err(Misuse::StaleStore),
        }
    }
}
