//! Pre-images of own transfers, wherever they become known: each proves itself (A4).

use super::Transfers;
use protocol::{
    contracts::{
        ContractId,
        conditional::{HashLock, Preimage},
    },
    crypto::Native,
};

impl Transfers {
    /// The peer has shown the pre-image of an own transfer, whether its round is agreed to or not (I3).
    pub(crate) fn learn_of(&mut self, contract: &ContractId, preimage: &Preimage) {
        if let Some(id) = self.outgoing.id_of(self.main_of(contract)) {
            self.outgoing.fulfil(id, preimage, &mut self.news);
        }
    }

    /// The peer has shown what opens own transfers, in a round that was not agreed to: each pre-image proves itself (A4).
    pub(crate) fn learn_shown(&mut self, shown: &[(ContractId, Preimage)]) {
        for (contract, preimage) in shown {
            let lock = self.outgoing_of(contract).map(|row| row.offer.terms.lock);
            if lock.is_some_and(|lock| preimage.lock(lock.function, &Native) == lock) {
                self.learn_of(contract, preimage);
            }
        }
    }

    /// The pre-image of a lock is known, from wherever: every own transfer with it is fulfilled (A4).
    pub(crate) fn learn(&mut self, lock: &HashLock, preimage: &Preimage) {
        if preimage.lock(lock.function, &Native) != *lock {
            return;
        }
        for id in self.outgoing.with_lock(lock) {
            self.outgoing.fulfil(id, preimage, &mut self.news);
        }
    }
}
