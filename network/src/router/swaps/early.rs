//! A pledge that is asked for early (R8.5c): the responder asks for the initiator's premium with its word of agreement, and keeps the round back until the source leg is here. So a swap with a
//! premium takes as many flights as one without.
//!
//! ```text
//!   initiator                                          responder
//!     | -- Propose ------------------------------------> |
//!     | <- Accept, pledge_created(target leg) ---------- |
//!     | -- offer of the source leg, pledge_signed -----> |  kept back until both are here
//!     | <- acknowledgement, update(target leg) --------- |
//! ```
//!
//! Nothing depends on it: where the question cannot be asked, or comes to nothing, the target leg is offered once the source leg is here, and the pledge is asked for then.

use super::{
    ask::is_awaiting,
    asked_early::EarlyStage,
    inventory,
    kinds::{SwapRole, SwapStage},
};
use crate::{
    instruction::Instruction,
    keys::OfferName,
    router::{
        io::{At, Millis, Origin},
        state::{Beside, Core},
        tables::{Reached, Source},
    },
    swap::{SwapId, SwapTerms},
};
use channel::{
    IdempotencyKey,
    transfer::{Failure, Offer, TransferCommand},
};
use protocol::{BlockNumber, signing::Domain};
use std::collections::BTreeMap;

/// A leg with a premium is one transfer.
const NUMBER: u32 = 0;

fn key(id: SwapId) -> IdempotencyKey {
    OfferName::Leg(id, NUMBER).key()
}

// The responder.

/// The target leg is offered, and its round kept back.
pub(super) fn ask(core: &mut Core, id: SwapId, at: At, offer: Offer, until: BlockNumber) {
    core.swaps.early.insert(at, id, EarlyStage::Awaits(core.now));
    let pledge = Beside::Pledge { until, is_kept_back: true };
    core.offer(at, key(id), Source::Leg(id, NUMBER), (offer, pledge), false);
}

/// Whether a pledge up to this block may be asked for early in this channel: nothing else is kept back there, and it may last for so long. Not where a source leg on this chain may have to wait for
/// what is kept back: of a swap that is open in the other direction, or, since it carries those of others, where either side is a hub. They would wait for each other.
pub(super) fn may_ask(core: &Core, at: &At, until: BlockNumber) -> bool {
    let Some((link, heads)) = core.links.get(at).zip(core.heads.get(&at.chain)) else { return false };
    let is_hub = core.policy.is_hub || core.announcements.of(at.chain, link.peer, core.seconds()).is_some();
    let is_free = !core.swaps.early.is_in(at) && !core.stakes.is_taken(*at) && !core.swaps.has_any_from(at.chain);
    let lasts = until.saturating_sub(heads.finalised);
    is_free && !is_hub && !core.is_ahead && lasts <= link.pledges.kept_back
}

/// The source leg is here: what was asked for early is offered. False where nothing was. Said here alone: this leaves once the source leg is in its chain's store (I1).
pub(super) fn go_on(core: &mut Core, id: SwapId) -> bool {
    let Some((at, stage)) = core.swaps.early.of(id) else { return false };
    let _is_new = core.swaps.legs.entry(id).or_default().insert((at, NUMBER));
    inventory::count(core, id);
    let (next, command) = match stage {
        EarlyStage::Awaits(_) | EarlyStage::Held => {
            (EarlyStage::Due(core.now), TransferCommand::Release { key: key(id) })
        }
        EarlyStage::Due(_) => (stage, TransferCommand::Release { key: key(id) }),
        EarlyStage::TakenBack | EarlyStage::Anew => (EarlyStage::Anew, TransferCommand::TakeBack { key: key(id) }),
    };
    let _set = core.swaps.early.set(id, next);
    core.command(at, command);
    true
}

/// Whether the round of what was asked for early is said too late: where its pledge could not be shown any more the initiator would have the choice (R6.5d).
pub(super) fn is_too_late(core: &Core, id: SwapId) -> bool {
    let Some((at, _)) = core.swaps.early.of(id) else { return false };
    let shown = core.policy.chain(&at.chain).margins.register.max(2);
    let last = core.swaps.get(&id).map_or(0, |swap| swap.row.terms.lock_by);
    core.best(&at.chain).saturating_add(shown) > last
}

/// The peer has pledged: the round is kept back until the source leg is here.
pub(in crate::router) fn pledged(core: &mut Core, at: At, key: &IdempotencyKey) {
    let Some(OfferName::Leg(id, NUMBER)) = OfferName::read(key) else { return };
    match core.swaps.early.of(id).filter(|(asked, _)| *asked == at) {
        Some((_, EarlyStage::Awaits(_))) => drop(core.swaps.early.set(id, EarlyStage::Held)),
        Some((_, EarlyStage::TakenBack | EarlyStage::Anew)) => {
            core.command(at, TransferCommand::TakeBack { key: key.clone() });
        }
        Some((_, EarlyStage::Held | EarlyStage::Due(_))) | None => {}
    }
}

/// A leg is agreed: it is one as any other.
pub(in crate::router) fn accepted(core: &mut Core, at: At, key: &IdempotencyKey) {
    if let Some(OfferName::Leg(id, NUMBER)) = OfferName::read(key) {
        let _over = core.swaps.early.remove(at, id);
    }
}

/// What becomes of a swap whose target leg was asked for early, and was never agreed.
pub(super) enum Next {
    /// It is offered once the source leg is here.
    Later,
    /// The source leg has come meanwhile: it is offered now.
    Now,
    /// It has failed as any leg may.
    Failed,
}

/// A leg has failed: none where it was not asked for early.
pub(super) fn failed(
    core: &mut Core,
    at: At,
    key: Option<&IdempotencyKey>,
    (id, number): (SwapId, u32),
) -> Option<Next> {
    let stage = (number == NUMBER).then(|| core.swaps.early.remove(at, id)).flatten()?;
    let has_gone_on = core.swaps.legs.get(&id).is_some_and(|legs| legs.contains(&(at, NUMBER)));
    let is_here = has_gone_on && core.swaps.get(&id).is_some_and(|swap| !swap.arrived.is_empty());
    let is_agreed = core.swaps.get(&id).is_some_and(|swap| swap.row.stage == SwapStage::Agreed);
    let was_offered = key
        .and_then(|key| core.transfers.outgoing(at, key))
        .is_some_and(|onward| matches!(onward.reached, Reached::Failed(Failure::ByPayee(_) | Failure::Expired)));
    let is_due = is_agreed && !was_offered && matches!(stage, EarlyStage::Due(_) | EarlyStage::Anew);
    Some(match (is_here, is_due) {
        (true, true) => Next::Now,
        (true, false) => Next::Failed,
        (false, _) => Next::Later,
    })
}

/// The swap comes to nothing, or its source leg does not come: what the peer has no signature for is not offered.
pub(super) fn take_back(core: &mut Core, id: SwapId) {
    let _over = core.swaps.early.lapsed.remove(&id);
    if let Some(at) = core.swaps.early.set(id, EarlyStage::TakenBack) {
        core.command(at, TransferCommand::TakeBack { key: key(id) });
    }
}

/// A leg that was stored, and that the peer has not agreed to: its round may be kept back.
pub(in crate::router) fn restored(core: &mut Core, at: At, id: SwapId, number: u32) {
    if number == NUMBER {
        core.swaps.early.insert(at, id, EarlyStage::Held);
    }
}

/// What was asked for early before a start is taken back where the swap comes to nothing; else the source leg decides, as before.
pub(super) fn resume(core: &mut Core, id: SwapId) {
    let is_agreed = core.swaps.get(&id).is_some_and(|swap| swap.row.stage == SwapStage::Agreed);
    if !is_agreed && is_awaiting(core, id) {
        take_back(core, id);
    }
}

/// A source leg is here, and its early question has come to nothing: the target leg is offered anew with the next tick, when the source leg is in its chain's store (I1).
pub(super) fn note_lapsed(core: &mut Core, id: SwapId) {
    let _new = core.swaps.early.lapsed.insert(id, core.now);
}

/// Those whose source legs have been in the store for some time.
pub(super) fn take_lapsed(core: &mut Core) -> Vec<SwapId> {
    let now = core.now;
    let (due, rest) = std::mem::take(&mut core.swaps.early.lapsed).into_iter().partition(|(_, since)| *since < now);
    core.swaps.early.lapsed = rest;
    let due: BTreeMap<SwapId, Millis> = due;
    due.into_keys().collect()
}

// The initiator.

/// Whether a question is for the premium of a swap that its responder has not yet agreed to as far as this side knows: its word of agreement is on its way, by another connection.
pub(in crate::router) fn awaits_word(core: &Core, origin: &Origin, offer: &Offer) -> bool {
    let Some(Instruction::Swap(said)) = Instruction::from_bytes(&offer.instruction) else { return false };
    let peer = core.links.get(&origin.at).map(|link| link.peer);
    core.swaps.get(&said.id).is_some_and(|swap| {
        let (row, SwapTerms { source, target, lock, premium, .. }) = (&swap.row, swap.row.terms);
        (row.role, row.stage) == (SwapRole::Initiator, SwapStage::Proposed)
            && peer == Some(row.peer)
            && (said.source, origin.at.chain) == (source.chain, target.chain)
            && (offer.terms.lock, offer.terms.amount, offer.premium) == (lock, target.amount, premium)
            && offer.terms.expiry >= target.expiry
            && premium > 0
            && !core.is_ahead
    })
}

/// A question is put off until the word of agreement is here. False where it is to be answered now: one of a swap is put off at a time.
pub(in crate::router) fn put_off(core: &mut Core, origin: Origin, offer: &Offer) -> bool {
    if !awaits_word(core, &origin, offer) {
        return false;
    }
    let Some(Instruction::Swap(said)) = Instruction::from_bytes(&offer.instruction) else { return false };
    let now = core.now;
    let (first, since) = core.swaps.early.put_off.entry(said.id).or_insert((origin, now));
    let is_first = *first == origin;
    if is_first {
        *since = now;
    }
    is_first
}

/// The word of agreement is here, or does not come: the question is answered.
pub(super) fn answer(core: &mut Core, id: SwapId) {
    if let Some((origin, _)) = core.swaps.early.put_off.remove(&id) {
        if core.swaps.get(&id).is_some_and(|swap| swap.row.stage == SwapStage::Agreed) {
            let _chosen = core.swaps.pledging.entry(id).or_insert(origin);
        }
        core.command(origin.at, TransferCommand::AnswerPledge { contract: origin.contract });
    }
}

// Both.

/// A source leg, and a word of agreement, that do not come in time are not waited for.
pub(super) fn tick(core: &mut Core) {
    let (now, patience) = (core.now, core.policy.swaps.answer);
    let is_late = |since: Millis| now.saturating_sub(since) >= patience;
    let early = &core.swaps.early;
    let asked: Vec<SwapId> = early
        .asked
        .iter()
        .filter(|(_, (_, stage))| matches!(stage, EarlyStage::Awaits(since) if is_late(*since)))
        .map(|(id, _)| *id)
        .collect();
    let put_off: Vec<SwapId> =
        early.put_off.iter().filter(|(_, (_, since))| is_late(*since)).map(|(id, _)| *id).collect();
    asked.into_iter().for_each(|id| take_back(core, id));
    put_off.into_iter().for_each(|id| answer(core, id));
}

/// A block: what is to be taken back, or offered, is told so again, since commands may be lost. What is offered only where its pledge can still be shown.
pub(in crate::router) fn due(core: &mut Core, chain: Domain) {
    let asked = core.swaps.early.asked.iter().filter(|(_, (at, _))| at.chain == chain);
    for (id, (at, stage)) in asked.map(|(id, asked)| (*id, *asked)).collect::<Vec<_>>() {
        match stage {
            EarlyStage::TakenBack | EarlyStage::Anew => core.command(at, TransferCommand::TakeBack { key: key(id) }),
            EarlyStage::Due(since) if since < core.now && !is_too_late(core, id) => {
                core.command(at, TransferCommand::Release { key: key(id) });
            }
            EarlyStage::Awaits(_) | EarlyStage::Held | EarlyStage::Due(_) => {}
        }
    }
}
