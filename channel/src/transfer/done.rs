//! What a round, or a forced step, did to conditional transfers: told by the changes and calls alone.

use crate::{
    message::Update,
    state::{Change, ChangeId, FailReason, Offer},
    transfer::row::IncomingEnd,
};
use protocol::{
    Amount, ChannelId, Party, Round,
    call::ForcedCall,
    contracts::{
        ContractId,
        conditional::{ConditionalInput, Preimage},
    },
    crypto::Native,
    decode_exact,
};

/// One thing that was done to a transfer, in a state that counts now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    Offered {
        by: Party,
        /// The id of the change, where it is one's own.
        change: Option<ChangeId>,
        contract: ContractId,
        premium: Option<ContractId>,
        offer: Offer,
        fee: Amount,
    },
    Claimed {
        contract: ContractId,
        preimage: Preimage,
    },
    Failed {
        contract: ContractId,
        reason: FailReason,
    },
    Refunded {
        contract: ContractId,
    },
}

/// What the changes of a round do to transfers. `id` gives the id of an own change by its place.
pub(crate) fn of_round(
    (channel, round, by): (&ChannelId, Round, Party),
    changes: &[Change],
    id: impl Fn(u32) -> Option<ChangeId>,
) -> Vec<Done> {
    let mut done = Vec::new();
    let mut created = 0_u32;
    let mut next = || {
        let contract = ContractId::derive(channel, round, created, &Native);
        created = created.saturating_add(1);
        contract
    };
    for (place, change) in (0_u32..).zip(changes) {
        match change {
            Change::CreateContract(_) => {
                let _app = next();
            }
            Change::Offer(offer) | Change::PaidOffer { offer, .. } => {
                let contract = next();
                let premium = (offer.premium > 0).then(&mut next);
                let fee = change.offered().map_or(0, |(_, fee)| fee);
                let (change, offer) = (id(place), offer.clone());
                done.push(Done::Offered { by, change, contract, premium, offer, fee });
            }
            Change::Claim { contract, preimage, .. } => {
                done.push(Done::Claimed { contract: *contract, preimage: *preimage });
            }
            Change::Fail { contract, reason, .. } => {
                done.push(Done::Failed { contract: *contract, reason: reason.clone() });
            }
            Change::Refund { contract, .. } => done.push(Done::Refunded { contract: *contract }),
            _ => {}
        }
    }
    done
}

/// What a round of the peer's does to transfers.
pub(crate) fn of_update(channel: &ChannelId, update: &Update) -> Vec<Done> {
    of_round((channel, update.round, Party::owner_of(update.round)), &update.changes, |_| None)
}

/// What forced calls did to transfers, where `is_transfer` says of a contract that it was one.
pub(crate) fn of_calls(calls: &[ForcedCall], is_transfer: impl Fn(&ContractId) -> bool) -> Vec<Done> {
    let done = |call: &ForcedCall| {
        let contract = call.contract;
        match decode_exact(&call.input).ok()? {
            ConditionalInput::Claim(preimage) => Some(Done::Claimed { contract, preimage }),
            ConditionalInput::Refund => Some(Done::Refunded { contract }),
        }
    };
    calls.iter().filter(|call| is_transfer(&call.contract)).filter_map(done).collect()
}

/// The conditional transfer that a change ends, and how.
pub(crate) const fn ended_by(change: &Change) -> Option<(ContractId, IncomingEnd)> {
    match change {
        Change::Claim { contract, .. } => Some((*contract, IncomingEnd::Claimed)),
        Change::Fail { contract, .. } => Some((*contract, IncomingEnd::Failed)),
        Change::Refund { contract, .. } => Some((*contract, IncomingEnd::Refunded)),
        _ => None,
    }
}
