//! The pledges that a hub has asked for, or has, for what it is to carry on (R8.5h).

use super::io::{At, Millis, Origin};
use crate::keys::OfferName;
use channel::{IdempotencyKey, transfer::Offer};
use protocol::{BlockNumber, contracts::ContractId};
use std::collections::BTreeMap;

/// How far the next one's pledge is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PledgeStage {
    /// It was asked for.
    Asked { since: Millis },
    /// This side has it, and may pledge itself.
    Held,
    /// It did not come.
    Failed,
}

/// What goes on once something comes in, for which the next one pledges first.
#[derive(Clone, Debug)]
pub(super) struct Reservation {
    /// Where it goes on.
    pub(super) at: At,
    /// What is offered there.
    pub(super) onward: Offer,
    /// The last block of the next one's pledge.
    pub(super) until: BlockNumber,
    pub(super) stage: PledgeStage,
}

/// The pledges that this side has asked for, or has, by what is to come in for each.
#[derive(Clone, Debug, Default)]
pub(super) struct Stakes {
    pub(super) reserved: BTreeMap<Origin, Reservation>,
    /// What has come in, and where what goes on waits to be released: told again with each block, since commands may be lost.
    pub(super) releasing: BTreeMap<Origin, At>,
}

impl Stakes {
    /// Whether the next one has pledged for what this is to be carried on by.
    pub(super) fn is_held(&self, origin: &Origin) -> bool {
        self.reserved.get(origin).is_some_and(|reserved| reserved.stage == PledgeStage::Held)
    }

    /// What has come in is to go on, which was kept back for it.
    pub(super) fn await_release(&mut self, origin: Origin, at: At) {
        let _former = self.releasing.insert(origin, at);
    }

    /// What came in has ended.
    pub(super) fn ended(&mut self, origin: &Origin) {
        let _over = self.releasing.remove(origin);
    }

    /// What goes on is agreed: it was released.
    pub(super) fn accepted(&mut self, at: At, key: &IdempotencyKey) {
        if let Some(OfferName::Forward(channel, contract)) = OfferName::read(key) {
            let _released = self.releasing.remove(&Origin { at: At { chain: at.chain, channel }, contract });
        }
    }

    /// Whether another offer of a channel waits, or may come: one is carried on at a time.
    pub(super) fn is_busy(&self, with: &Origin) -> bool {
        let first = Origin { at: with.at, contract: ContractId([0; 32]) };
        let of_channel = self.reserved.range(first..).take_while(|(origin, _)| origin.at == with.at);
        of_channel.into_iter().any(|(origin, reserved)| origin != with && reserved.stage != PledgeStage::Failed)
    }

    /// How much has failed for offers of a channel whose time is not over: what was asked of the next one is not asked again by the same name.
    pub(super) fn failed(&self, at: At) -> usize {
        let of_channel = self.reserved.range(Origin { at, contract: ContractId([0; 32]) }..);
        of_channel.take_while(|(origin, _)| origin.at == at).filter(|(_, it)| it.stage == PledgeStage::Failed).count()
    }
}
