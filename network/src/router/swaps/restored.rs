//! Swaps after a start, or when a second chain joins: derived from what both stores have, as far as they are here.

use super::{
    ask::{drop_target, is_owed, unread},
    clear, early, inventory,
    kinds::{SwapRole, SwapStage},
    legs,
    tables::{NamedSequence, SwapRow, TargetEnd},
};
use crate::{
    instruction::RouteFailure,
    keys::OfferName,
    router::{io::Origin, offers, rows::RowName, state::Core, tables::Reached},
    swap::{SwapCode, SwapId},
};
use channel::transfer::Intent;
use protocol::signing::Domain;

/// Takes the row of a swap over.
pub(in crate::router) fn swap(core: &mut Core, id: SwapId, row: SwapRow) {
    core.swaps.insert(id, row);
    if let Some(swap) = core.swaps.get_mut(&id) {
        swap.is_restored = true;
    }
}

/// Takes over what became of a target leg.
pub(in crate::router) fn target(core: &mut Core, id: SwapId, chain: Domain, end: TargetEnd) {
    let _former = core.swaps.targets.insert(id, (chain, end));
}

/// Takes the numbers of swaps with a peer over.
pub(in crate::router) fn sequence(core: &mut Core, named: NamedSequence) {
    let _former = core.swaps.sequences.insert((named.chain, named.peer), named);
}

/// A chain's rows are here: goes on with the swaps that have to do with it.
pub(in crate::router) fn restored(core: &mut Core, chain: Domain) {
    look_again(core);
    // Of swaps that were forgotten before the erasure was kept here.
    let is_left = |(id, (_, end)): &(&SwapId, &(Domain, TargetEnd))| {
        core.joined.contains(&end.source) && core.swaps.get(id).is_none() && !core.is_unread(RowName::Swap(**id))
    };
    let left: Vec<SwapId> = core.swaps.targets.iter().filter(is_left).map(|(id, _)| *id).collect();
    left.into_iter().for_each(|id| drop_target(core, id));
    let of_chain: Vec<SwapId> = core
        .swaps
        .iter()
        .filter(|(_, swap)| [swap.row.terms.source.chain, swap.row.terms.target.chain].contains(&chain))
        .map(|(id, _)| *id)
        .collect();
    for id in of_chain {
        inventory::count(core, id);
        decided_before(core, id);
        legs::follow(core, id);
        early::resume(core, id);
        resume(core, id, chain);
        clear::finish(core, id);
    }
}

/// Looks again at what has waited for another chain.
pub(in crate::router) fn look_again(core: &mut Core) {
    for origin in std::mem::take(&mut core.swaps.parked) {
        if let Err(code) = offers::decide(core, origin) {
            core.fail(&origin, &RouteFailure::new(code));
        }
    }
}

/// Transfers of the peer's leg that were being claimed before the start; or given back, where the swap comes to nothing: else what is given back was of no leg, and
/// whoever knows the lock may have offered it.
fn decided_before(core: &mut Core, id: SwapId) {
    let Some(swap) = core.swaps.get(&id) else { return };
    let (lock, paid_on) = (swap.row.terms.lock, swap.chains().1);
    let comes_to_nothing = matches!(swap.row.stage, SwapStage::Clearing(_));
    let Some(used) = core.transfers.lock(&lock) else { return };
    let is_decided = |origin: &&Origin| {
        origin.at.chain == paid_on
            && core.transfers.incoming(origin).is_some_and(|entry| match entry.intent {
                Intent::Undecided => false,
                Intent::Claim(_) => true,
                Intent::Fail(_) => comes_to_nothing,
            })
    };
    let origins: Vec<Origin> = used.incoming.iter().filter(is_decided).copied().collect();
    if let Some(swap) = core.swaps.get_mut(&id) {
        swap.arrived.extend(origins);
    }
}

/// What depends on which rows there are of this side's own leg.
fn resume(core: &mut Core, id: SwapId, chain: Domain) {
    let Some(swap) = core.swaps.get(&id) else { return };
    let (pays_on, is_unread) = (swap.chains().0, unread(core, swap).is_some());
    match (swap.row.role, swap.row.stage) {
        // Both had agreed, and no transfer of the source leg was ever signed: nobody waits for it any more.
        (SwapRole::Initiator, SwapStage::Agreed)
            if chain == pays_on && !swap.row.source_moved && !core.swaps.legs.contains_key(&id) && !is_unread =>
        {
            clear::clear(core, id, SwapCode::LegFailed);
        }
        (_, SwapStage::Clearing(code)) => clear::begin(core, id, code),
        // It was over before the start, and rows of it are left.
        (_, SwapStage::Ended { .. }) => {
            let legs = core.swaps.legs.get(&id).cloned().unwrap_or_default();
            for (at, number) in legs {
                let key = OfferName::Leg(id, number).key();
                if core.transfers.outgoing(at, &key).is_some_and(|onward| onward.reached != Reached::Live) {
                    legs::drop_leg(core, id, at, number);
                    core.forget(at, key);
                }
            }
        }
        (SwapRole::Responder, SwapStage::Agreed)
            if core.swaps.legs.contains_key(&id) && core.joined.contains(&pays_on) && !is_owed(core, id) =>
        {
            clear::clear(core, id, SwapCode::LegFailed);
        }
        _ => {}
    }
}
