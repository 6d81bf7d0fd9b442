//! What a channel's machine asks of its node when it judges transfers: heads and locks, and the router.

use super::{registry::LockRegistry, routing::Routing};
use channel::{
    ChannelRef, IdempotencyKey,
    transfer::{Margins, Offer, Registered, Stake, TransferBook, TransferTerms, Verdict},
};
use protocol::{
    BlockNumber,
    contracts::{
        ContractId,
        conditional::{HashLock, Preimage},
    },
};

/// For one channel.
#[derive(Debug)]
pub(super) struct Book<'a> {
    pub(super) registry: &'a LockRegistry,
    pub(super) routing: &'a Routing,
    pub(super) channel: ChannelRef,
}

impl TransferBook for Book<'_> {
    fn best(&self) -> BlockNumber {
        self.registry.best()
    }

    fn margins(&self) -> Margins {
        self.registry.margins()
    }

    fn registered(&self, lock: &HashLock) -> Registered {
        self.registry.registered(lock)
    }

    fn preimage(&self, lock: &HashLock) -> Option<Preimage> {
        self.registry.preimage(lock).or_else(|| self.routing.ask(|router| router.preimage(lock)))
    }

    fn may_be_claimed(&self, key: &IdempotencyKey, terms: &TransferTerms, preimage: &Preimage) -> Verdict {
        // Whoever shows it, it counts from here on.
        let _known = self.registry.learn(&terms.lock, *preimage);
        let registered = self.registry.registered(&terms.lock);
        let at = self.routing.at(self.channel);
        self.routing.ask(|router| router.may_be_claimed(&at, key, terms, registered))
    }

    fn is_owed(&self, contract: &ContractId) -> bool {
        let at = self.routing.at(self.channel);
        self.routing.ask(|router| router.is_owed(&at, contract))
    }

    fn takes_calls(&self, offer: &Offer) -> bool {
        let at = self.routing.at(self.channel);
        self.routing.ask(|router| router.takes_calls(&at, offer))
    }

    fn stakes(&self, contract: &ContractId, offer: &Offer) -> Stake {
        let at = self.routing.at(self.channel);
        self.routing.ask(|router| router.stakes(&at, contract, offer))
    }
}
