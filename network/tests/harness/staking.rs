//! Premiums that an initiator is asked for.

use super::{Msg, World};
use ::channel::transfer::{LockedCalls, Offer, Stake, TransferEvent};
use network::{At, RouterInput};

impl World {
    /// A router that has to decide first for which offer it stakes does.
    pub(super) fn decide_to_stake(&mut self, node: usize, at: At, message: &Msg) {
        let Msg::Offer { contract, terms, premium, instruction } = message else { return };
        let (terms, premium, instruction) = (*terms, *premium, instruction.clone());
        let offer = Offer { terms, premium, calls: LockedCalls::NONE, instruction };
        let router = &mut self.nodes[node].router;
        if premium > 0 && router.stakes(&at, contract, &offer) == Stake::NotYet {
            let valid_until = terms.expiry;
            let wanted = TransferEvent::PledgeWanted { contract: *contract, offer, valid_until };
            let _answers = router.handle(RouterInput::Transfer(at, wanted));
        }
    }
}
