//! What is asked of a swap from everywhere: how a chain stands, how far it is, what of it may be owed; and its row.

use super::{
    asked_early::EarlyStage,
    kinds::{SwapEvent, SwapRole},
    tables::{Swap, TargetEnd},
};
use crate::{
    keys::OfferName,
    router::{
        io::{At, Origin, RouterNotice},
        pledge_deltas,
        rows::{RowName, row},
        state::Core,
        tables::Reached,
    },
    swap::{ChainView, Ladder, SwapCode, SwapId, SwapTerms},
};
use channel::transfer::Intent;
use protocol::{Amount, PublicKey, signing::Domain};

/// How a chain stands, for a ladder.
pub(super) fn view(core: &Core, chain: &Domain) -> Result<ChainView, SwapCode> {
    let policy = core.policy.chain(chain);
    let heads = core.heads.get(chain).filter(|_| core.joined.contains(chain)).ok_or(SwapCode::Chain)?;
    let clock = policy.clock.ok_or(SwapCode::ChainStalled)?;
    if heads.best.saturating_sub(heads.finalised) > policy.max_lag {
        return Err(SwapCode::ChainStalled);
    }
    let (finality, margins) = (policy.finality, policy.margins);
    Ok(ChainView { best: heads.best, clock, finality, margins, lag_of_pledge: None, pledge_delta: 0 })
}

/// The same of the target chain of a swap with this premium.
pub(super) fn view_of_target(core: &Core, chain: &Domain, premium: Amount) -> Result<ChainView, SwapCode> {
    let lag = core.policy.chain(chain).max_lag;
    view(core, chain).map(|view| ChainView { lag_of_pledge: (premium > 0).then_some(lag), ..view })
}

/// The same, with what pledges take on the way between this side and another one.
pub(super) fn view_of_way(
    core: &Core,
    chain: &Domain,
    premium: Amount,
    other: PublicKey,
) -> Result<ChainView, SwapCode> {
    let pledge_delta = pledge_deltas::delta_of_way(core, *chain, other);
    view_of_target(core, chain, premium).map(|view| ChainView { pledge_delta, ..view })
}

/// Writes the row of a swap.
pub(super) fn write(core: &mut Core, id: SwapId) {
    let Some(swap) = core.swaps.get(&id) else { return };
    let (chain, value) = (swap.row.terms.source.chain, swap.row.to_bytes());
    core.write(chain, RowName::Swap(id), Some(value));
}

/// Notes what became of the target leg, with whatever it follows from.
pub(super) fn note_target(core: &mut Core, id: SwapId, has_moved: bool) {
    let Some(SwapTerms { source, target, .. }) = core.swaps.get(&id).map(|swap| swap.row.terms) else { return };
    let has_moved = has_moved || core.swaps.has_target_moved(&id);
    let end = TargetEnd { source: source.chain, has_moved, block: core.best(&target.chain) };
    if core.swaps.targets.insert(id, (target.chain, end)) != Some((target.chain, end)) {
        core.write(target.chain, RowName::SwapTarget(id), Some(row(&end)));
    }
}

/// Erases what is noted of a target leg.
pub(super) fn drop_target(core: &mut Core, id: SwapId) {
    if let Some((chain, _)) = core.swaps.targets.remove(&id) {
        core.write(chain, RowName::SwapTarget(id), None);
    }
}

pub(super) fn tell(core: &mut Core, id: SwapId, event: SwapEvent) {
    core.notify(RouterNotice::Swap { id, event });
}

/// The ladder of a swap's terms.
pub(super) const fn ladder(terms: &SwapTerms) -> Ladder {
    Ladder { lock_by: terms.lock_by, target: terms.target.expiry, source: terms.source.expiry }
}

/// Whether the initiator has shown the pre-image, or may have: what its leg's channel says of it is not known before the target chain has joined.
pub(super) fn is_revealed(core: &Core, id: SwapId) -> bool {
    let Some(swap) = core.swaps.get(&id) else { return false };
    let is_claimed =
        |origin| core.transfers.incoming(origin).is_some_and(|entry| matches!(entry.intent, Intent::Claim(_)));
    swap.row.source_moved
        || core.swaps.has_target_moved(&id)
        || !core.joined.contains(&swap.row.terms.target.chain)
        || swap.arrived.iter().any(is_claimed)
}

/// Whether there is time to show the pre-image for a target leg that expires as agreed.
pub(super) fn may_reveal(core: &Core, terms: &SwapTerms) -> Result<(), SwapCode> {
    let target = view(core, &terms.target.chain)?;
    ladder(terms).check_reveal(&target).map_err(Into::into)
}

/// Whether the target leg is claimed in time by whoever shows the pre-image now, also where its peer does not answer: also while finality stands still, since a
/// registration counts from its block on.
pub(super) fn has_time_to_claim(core: &Core, terms: &SwapTerms) -> bool {
    let (chain, margin) = (&terms.target.chain, core.policy.chain(&terms.target.chain).margins.forward());
    core.heads.contains_key(chain) && core.best(chain).saturating_add(margin) <= terms.target.expiry
}

/// An initiator that has staked a premium loses it where it does not claim: what is locked beside it is claimed as long as there is time, whatever has become of the
/// swap meanwhile. The responder has locked it, or has shown the pledge for it to the chain (R6.5d), when it could have let it be.
pub(super) fn claim_staked(core: &mut Core, id: SwapId) {
    let Some(swap) = core.swaps.get(&id).filter(|swap| swap.row.role == SwapRole::Initiator) else { return };
    let (terms, preimage) = (swap.row.terms, swap.row.preimage);
    let is_staked = |origin: &Origin| core.transfers.incoming(origin).is_some_and(|entry| entry.is_staked);
    let staked: Vec<Origin> = swap.arrived.iter().copied().filter(is_staked).collect();
    let Some(preimage) = preimage.filter(|_| has_time_to_claim(core, &terms)) else { return };
    staked.iter().for_each(|origin| core.claim(origin, preimage));
}

/// Whether a transfer of this side's leg may still be paid, or was.
pub(super) fn is_owed(core: &Core, id: SwapId) -> bool {
    reached(core, id).any(|reached| !matches!(reached, Reached::Failed(_)))
}

/// A channel by which the responder's leg may have gone on without anybody knowing: one of which not all rows can be read, where the swap was begun before the
/// start. It may be a hub's.
pub(super) fn unread(core: &Core, swap: &Swap) -> Option<At> {
    let pays_on = swap.chains().0;
    core.links.unread().find(|at| swap.is_restored && at.chain == pays_on)
}

/// How far the transfers of this side's leg are.
fn reached(core: &Core, id: SwapId) -> impl Iterator<Item = &Reached> {
    let legs = core.swaps.legs.get(&id).into_iter().flatten();
    legs.filter_map(move |(at, number)| {
        Some(&core.transfers.outgoing(*at, &OfferName::Leg(id, *number).key())?.reached)
    })
}

/// Whether a transfer of this side's leg may still be paid.
pub(super) fn is_live(core: &Core, id: SwapId) -> bool {
    reached(core, id).any(|reached| *reached == Reached::Live)
}

/// Whether one of them was paid.
pub(super) fn was_paid(core: &Core, id: SwapId) -> bool {
    reached(core, id).any(|reached| matches!(reached, Reached::Fulfilled(_)))
}

/// Whether a target leg was asked for early and waits for its source leg.
pub(super) fn is_awaiting(core: &Core, id: SwapId) -> bool {
    let awaits = |stage| matches!(stage, EarlyStage::Awaits(_) | EarlyStage::Held | EarlyStage::TakenBack);
    core.swaps.early.of(id).is_some_and(|(_, stage)| awaits(stage))
}

/// Whether a transfer of this side's own leg has gone on, or may have.
pub(super) fn has_gone_on(core: &Core, id: SwapId) -> bool {
    core.swaps.legs.contains_key(&id) && !is_awaiting(core, id)
}
