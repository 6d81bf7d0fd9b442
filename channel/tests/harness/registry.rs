//! What a side knows outside of its channel: the newest heads, and the registry of the simulated chain as far as the side has seen it.

use super::chain::SimChain;
use channel::{
    IdempotencyKey,
    transfer::{LockedCalls, Margins, Offer, Registered, Stake, TransferBook, TransferTerms, Verdict},
};
use protocol::{
    Amount, BlockNumber,
    contracts::{
        ContractId,
        conditional::{HashLock, Preimage},
    },
};
use std::{collections::BTreeMap, fmt::Debug, sync::Arc};

/// One side's view.
#[derive(Clone, Debug)]
pub(crate) struct Registry {
    /// The last block whose registry it has read, and what was there.
    read: BlockNumber,
    shown: BTreeMap<HashLock, (Preimage, BlockNumber)>,
    /// The newest block that any endpoint shows.
    pub(crate) best: BlockNumber,
    /// It cannot be read: nothing is known of silence.
    pub(crate) blind: bool,
    /// It was never read.
    pub(crate) is_unread: bool,
    /// What is said to claims of own transfers; none for what an origin says.
    pub(crate) verdict: Option<Verdict>,
    /// The premium that this side has agreed to stake.
    pub(crate) premium: Amount,
    /// Its router has something to do before it stakes that.
    /// The calls of apps that the side takes with an offer.
    pub(crate) calls: LockedCalls,
    pub(crate) asks_first: bool,
    pub(crate) margins: Margins,
    /// Who is asked what is known and agreed to beyond this, where somebody is.
    pub(crate) router: Option<Arc<dyn Asked>>,
}

/// A router, as a transfer book asks it.
pub(crate) trait Asked: Debug + Send + Sync {
    fn may_be_claimed(&self, key: &IdempotencyKey, terms: &TransferTerms, registered: Registered) -> Verdict;
    fn preimage(&self, lock: &HashLock) -> Option<Preimage>;
    fn is_owed(&self, contract: &ContractId) -> bool;
    fn takes_calls(&self, offer: &Offer) -> bool;
    fn stakes(&self, contract: &ContractId, offer: &Offer) -> Stake;
}

impl Registry {
    pub(crate) fn new(head: BlockNumber) -> Self {
        let margins = Margins { register: 2, answer: 1 };
        let (shown, read, best) = (BTreeMap::new(), head, head);
        let (blind, is_unread, asks_first, calls) = (false, false, false, LockedCalls::NONE);
        Self {
            read,
            shown,
            best,
            blind,
            is_unread,
            verdict: None,
            premium: 0,
            calls,
            asks_first,
            margins,
            router: None,
        }
    }

    /// The side sees the chain up to this block, which is final.
    pub(crate) fn see(&mut self, chain: &SimChain, seen: BlockNumber) {
        self.best = self.best.max(chain.head());
        if !self.blind {
            self.read = seen;
            self.shown = chain.preimages.iter().filter(|(_, (_, at))| *at <= seen).map(|(k, v)| (*k, *v)).collect();
        }
    }
}

impl TransferBook for Registry {
    fn best(&self) -> BlockNumber {
        self.best
    }

    fn margins(&self) -> Margins {
        self.margins
    }

    fn registered(&self, lock: &HashLock) -> Registered {
        match self.shown.get(lock) {
            Some((_, at)) => Registered::Shown { at: *at },
            None if self.is_unread => Registered::Unknown,
            None => Registered::Silent { at: self.read },
        }
    }

    fn preimage(&self, lock: &HashLock) -> Option<Preimage> {
        let shown = self.shown.get(lock).map(|(preimage, _)| *preimage);
        shown.or_else(|| self.router.as_ref()?.preimage(lock))
    }

    fn may_be_claimed(&self, key: &IdempotencyKey, terms: &TransferTerms, _preimage: &Preimage) -> Verdict {
        if let Some(router) = &self.router {
            return router.may_be_claimed(key, terms, self.registered(&terms.lock));
        }
        let own = if self.best < terms.expiry { Verdict::Agree } else { Verdict::NotYet };
        self.verdict.unwrap_or(own)
    }

    fn is_owed(&self, contract: &ContractId) -> bool {
        self.router.as_ref().is_none_or(|router| router.is_owed(contract))
    }

    fn takes_calls(&self, offer: &Offer) -> bool {
        self.router.as_ref().map_or(self.calls == offer.calls, |router| router.takes_calls(offer))
    }

    fn stakes(&self, contract: &ContractId, offer: &Offer) -> Stake {
        if let Some(router) = &self.router {
            return router.stakes(contract, offer);
        }
        match (offer.premium <= self.premium, self.asks_first) {
            (false, _) => Stake::No,
            (true, true) => Stake::NotYet,
            (true, false) => Stake::Until(offer.terms.expiry),
        }
    }
}
