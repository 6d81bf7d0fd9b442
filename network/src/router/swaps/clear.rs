//! Clearing: what is locked and comes to nothing goes back, and what is over is noted (R8.5d).

use super::{
    ask::{claim_staked, has_gone_on, is_live, is_owed, is_revealed, note_target, tell, unread, was_paid, write},
    early, inventory,
    kinds::{SwapEvent, SwapOutcome, SwapRole, SwapStage},
};
use crate::{
    instruction::{FailureCode, RouteFailure},
    keys::OfferName,
    router::{forward::next_due, io::Origin, state::Core},
    swap::{SwapBody, SwapCode, SwapId},
};
use channel::transfer::IncomingEnd;
use protocol::{contracts::conditional::HashLock, signing::Domain};

/// This side wants a swap over, and says so.
pub(super) fn clear(core: &mut Core, id: SwapId, code: SwapCode) {
    let Some(swap) = core.swaps.get_mut(&id) else { return };
    if matches!(swap.row.stage, SwapStage::Proposed | SwapStage::Agreed) {
        swap.row.talk.say(SwapBody::Cancel(code));
        core.swaps.say(id);
    }
    begin(core, id, code);
}

/// A swap comes to nothing: nothing more of it is locked, and what is locked goes back as soon as that is safe.
pub(super) fn begin(core: &mut Core, id: SwapId, code: SwapCode) {
    let Some(swap) = core.swaps.get_mut(&id) else { return };
    if matches!(swap.row.stage, SwapStage::Proposed | SwapStage::Agreed) {
        swap.row.stage = SwapStage::Clearing(code);
        inventory::count(core, id);
        write(core, id);
        tell(core, id, SwapEvent::Clearing(code));
    }
    early::take_back(core, id);
    early::answer(core, id);
    give_back(core, id);
    finish(core, id);
}

/// Gives back what came in, unless what went on because of it may be paid.
fn give_back(core: &mut Core, id: SwapId) {
    let Some(swap) = core.swaps.get(&id) else { return };
    let target = swap.row.terms.target.chain;
    // What went on is known only where its chain is, and all rows of its channels can be read.
    let is_known = core.joined.contains(&target) && unread(core, swap).is_none();
    let may_be_owed = swap.row.role == SwapRole::Responder && (!is_known || is_owed(core, id));
    if may_be_owed || !matches!(swap.row.stage, SwapStage::Clearing(_)) {
        return;
    }
    let origins: Vec<Origin> = swap.arrived.iter().copied().collect();
    claim_staked(core, id);
    origins.iter().for_each(|origin| core.fail(origin, &RouteFailure::new(FailureCode::SwapOver)));
}

/// A transfer of the peer's leg has ended.
pub(in crate::router) fn ended(core: &mut Core, origin: Origin, lock: &HashLock, end: IncomingEnd) {
    let Some(id) = core.swaps.by_lock(lock) else { return };
    let best = core.best(&origin.at.chain);
    let Some(swap) = core.swaps.get_mut(&id).filter(|swap| swap.chains().1 == origin.at.chain) else { return };
    if !swap.arrived.remove(&origin) {
        return;
    }
    let has_moved = end == IncomingEnd::Claimed;
    match swap.row.role {
        SwapRole::Initiator => note_target(core, id, has_moved),
        SwapRole::Responder => {
            swap.blocks.0 = best;
            if has_moved && !swap.row.source_moved {
                swap.row.source_moved = true;
                write(core, id);
            }
        }
    }
    if !has_moved {
        begin(core, id, SwapCode::LegFailed);
    }
    finish(core, id);
}

/// Notes that a swap is over, once nothing of it is open on either chain.
pub(super) fn finish(core: &mut Core, id: SwapId) {
    let Some(swap) = core.swaps.get(&id) else { return };
    let is_decided = swap.row.source_moved || matches!(swap.row.stage, SwapStage::Clearing(_));
    let (pays_on, paid_on) = swap.chains();
    let is_known = core.joined.contains(&pays_on) && core.joined.contains(&paid_on);
    if !is_decided || !is_known || !swap.arrived.is_empty() || matches!(swap.row.stage, SwapStage::Ended { .. }) {
        return;
    }
    if is_live(core, id) {
        return;
    }
    let code = match swap.row.stage {
        SwapStage::Clearing(code) if !swap.row.source_moved => Some(code),
        _ => None,
    };
    // Where nothing is noted, for the leg ended while the swap's own row was not here, it is known by what came of it: only what the initiator had shown for all of
    // the target leg could move the source leg.
    let was_claimed = || match swap.row.role {
        SwapRole::Initiator => {
            swap.is_restored && swap.row.source_moved && !matches!(swap.row.stage, SwapStage::Clearing(_))
        }
        SwapRole::Responder => was_paid(core, id),
    };
    let noted = core.swaps.targets.get(&id).map(|(_, end)| *end);
    let outcome = SwapOutcome {
        source_moved: swap.row.source_moved,
        target_moved: noted.map_or_else(was_claimed, |end| end.has_moved),
        source_block: swap.blocks.0,
        target_block: noted.map_or(swap.blocks.1, |end| end.block),
    };
    for (at, number) in core.swaps.legs.remove(&id).into_iter().flatten() {
        core.forget(at, OfferName::Leg(id, number).key());
    }
    if let Some(swap) = core.swaps.get_mut(&id) {
        swap.row.stage = SwapStage::Ended { outcome, code };
        swap.row.talk.say(SwapBody::Done);
        core.swaps.say(id);
    }
    core.swaps.close(id);
    core.swaps.note_vain(id);
    write(core, id);
    tell(core, id, SwapEvent::Ended(outcome));
}

/// Swaps whose target leg may not be locked any more, and is not.
pub(in crate::router) fn due(core: &mut Core, chain: Domain) {
    let Some(before) = core.best(&chain).checked_sub(1).filter(|_| core.joined.contains(&chain)) else { return };
    while let Some(id) = next_due(core.swaps.due.get_mut(&chain), before) {
        let Some(swap) = core.swaps.get(&id) else { continue };
        let is_open = matches!(swap.row.stage, SwapStage::Proposed | SwapStage::Agreed);
        let goes_on = match swap.row.role {
            SwapRole::Initiator => swap.row.stage == SwapStage::Agreed && is_revealed(core, id),
            SwapRole::Responder => has_gone_on(core, id),
        };
        if is_open && !goes_on {
            clear(core, id, SwapCode::Late);
        }
    }
}
