//! Execution: the source leg, then the target leg, then the pre-image (R8.5c).

use super::{
    SwapEvent, SwapRole, SwapStage, clear,
    negotiate::{is_revealed, ladder},
    tables::Swap,
    tell, view, write,
};
use crate::{
    instruction::{FailureCode, SwapInstruction},
    keys::OfferName,
    router::{
        io::{At, Origin},
        parts,
        rows::RowName,
        state::Core,
        tables::{Reached, Source},
    },
    swap::{SwapBody, SwapCode, SwapId, SwapTerms},
};
use channel::{
    IdempotencyKey,
    transfer::{Intent, TransferTerms},
};
use protocol::Amount;

/// What the peer's leg has to say: its number, and that this side's words were heard.
fn expected(row: &super::SwapRow) -> (u64, protocol::Hash) {
    (row.sequences.1, SwapTerms::acknowledged(&own_words(row, row.role, row.sequences.0)))
}

/// The words by which a side agreed.
const fn own_words(row: &super::SwapRow, role: SwapRole, sequence: u64) -> SwapBody {
    match role {
        SwapRole::Initiator => SwapBody::Propose { sequence, terms: row.terms },
        SwapRole::Responder => SwapBody::Accept { sequence },
    }
}

/// What this side's leg says.
fn instruction(id: SwapId, row: &super::SwapRow) -> SwapInstruction {
    let other = match row.role {
        SwapRole::Initiator => SwapRole::Responder,
        SwapRole::Responder => SwapRole::Initiator,
    };
    let acknowledges = SwapTerms::acknowledged(&own_words(row, other, row.sequences.1));
    SwapInstruction { id, source: row.terms.source.chain, sequence: row.sequences.0, acknowledges }
}

/// The initiator locks the source leg: both have agreed.
pub(super) fn lock_source(core: &mut Core, id: SwapId) {
    let Some(terms) = core.swaps.get(&id).map(|swap| swap.row.terms) else { return };
    // Time has passed: nothing is locked that the responder would not follow.
    if let Err(code) = has_time(core, &terms).and_then(|()| lock(core, id)) {
        clear::clear(core, id, code);
    }
}

/// Whether there is time for both legs, as both chains stand now.
pub(super) fn has_time(core: &Core, terms: &SwapTerms) -> Result<(), SwapCode> {
    let (source, target) = (view(core, &terms.source.chain)?, view(core, &terms.target.chain)?);
    let short = ladder(terms).check(&source, &target, core.policy.swaps.answer);
    short.map_err(|short| SwapCode::Ladder { have: short.have, need: short.need })
}

/// Offers this side's leg.
fn lock(core: &mut Core, id: SwapId) -> Result<(), SwapCode> {
    let swap = core.swaps.get(&id).ok_or(SwapCode::Declined)?;
    let row = swap.row.clone();
    let (leg, premium) = match row.role {
        SwapRole::Initiator => (row.terms.source, 0),
        SwapRole::Responder => (row.terms.target, row.terms.premium),
    };
    let planned = parts::plan_leg(core, &leg, row.peer).map_err(|_none| SwapCode::NoWay)?;
    // A premium is staked in one round with one transfer, between the two.
    if premium > 0 && (planned.len() > 1 || planned.iter().any(|part| part.hub.is_some())) {
        return Err(SwapCode::Premium);
    }
    let instruction = instruction(id, &row);
    let offers: Option<Vec<_>> = (0_u32..)
        .zip(planned)
        .map(|(number, part)| {
            Some((number, part.at, parts::leg_offer(&part, row.peer, row.terms.lock, premium, instruction)?))
        })
        .collect();
    for (number, at, offer) in offers.ok_or(SwapCode::NoWay)? {
        let _is_new = core.swaps.legs.entry(id).or_default().insert((at, number));
        core.offer(at, OfferName::Leg(id, number).key(), Source::Leg(id, number), offer, false);
    }
    Ok(())
}

/// A transfer has come in that says that it is of a swap.
pub(in crate::router) fn arrived(core: &mut Core, origin: Origin, said: SwapInstruction) -> Result<(), FailureCode> {
    let Some(entry) = core.transfers.incoming(&origin) else { return Ok(()) };
    let terms = entry.terms;
    if core.unread.contains(&RowName::Swap(said.id).key()) {
        // It may have gone on: it is claimed once its pre-image is known, and else goes back by its expiry (I4).
        bind(core, origin, origin.at);
        return Ok(());
    }
    if !core.joined.contains(&said.source) {
        // The row of the swap is not here yet: nothing can be said of it.
        let _is_new = core.swaps.parked.insert(origin);
        return Ok(());
    }
    let swap = core.swaps.get(&said.id).ok_or(FailureCode::UnknownOrWrong)?;
    let leg = match swap.row.role {
        SwapRole::Initiator => swap.row.terms.target,
        SwapRole::Responder => swap.row.terms.source,
    };
    let is_as_agreed = leg.chain == origin.at.chain
        && terms.lock == swap.row.terms.lock
        && terms.expiry >= leg.expiry
        && (said.sequence, said.acknowledges) == expected(&swap.row);
    if !is_as_agreed {
        return Err(FailureCode::UnknownOrWrong);
    }
    let (role, stage) = (swap.row.role, swap.row.stage);
    if role == SwapRole::Responder && is_unknown(core, said.id) {
        // It may have gone on, whatever the stage is: it is claimed once its pre-image is known, and never given back before more is known (I4).
        note(core, origin, said.id);
        bind(core, origin, origin.at);
        let _is_new = core.swaps.parked.insert(origin);
        return Ok(());
    }
    if stage != SwapStage::Agreed {
        // What has gone on is decided by what went on.
        return if role == SwapRole::Responder && core.swaps.legs.contains_key(&said.id) {
            note(core, origin, said.id);
            follow(core, said.id);
            Ok(())
        } else {
            Err(FailureCode::SwapOver)
        };
    }
    note(core, origin, said.id);
    if arrived_amount(core, said.id) < leg.amount {
        return Ok(());
    }
    let done = match role {
        SwapRole::Initiator => reveal(core, said.id),
        SwapRole::Responder => go_on(core, said.id),
    };
    match done {
        Err(Waits::Chain) => {
            let _is_new = core.swaps.parked.insert(origin);
            Ok(())
        }
        Err(Waits::Never(code)) => {
            clear::clear(core, said.id, code);
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

/// Whether this side, the responder, may have locked its leg without it being known here: the target chain has not joined, or not all rows of its channels can be read.
pub(super) fn is_unknown(core: &Core, id: SwapId) -> bool {
    let Some(swap) = core.swaps.get(&id) else { return true };
    let target = swap.row.terms.target.chain;
    !core.joined.contains(&target) || core.links.unread().any(|at| at.chain == target)
}

/// Why a swap does not go on.
enum Waits {
    /// A chain has not shown a block since the start.
    Chain,
    /// It comes to nothing.
    Never(SwapCode),
}

fn note(core: &mut Core, origin: Origin, id: SwapId) {
    if let Some(swap) = core.swaps.get_mut(&id) {
        let _is_new = swap.arrived.insert(origin);
    }
}

fn arrived_amount(core: &Core, id: SwapId) -> Amount {
    let Some(swap) = core.swaps.get(&id) else { return 0 };
    let amounts = swap.arrived.iter().filter_map(|origin| Some(core.transfers.incoming(origin)?.terms.amount));
    amounts.fold(0, Amount::saturating_add)
}

/// The responder locks the target leg, now that all of the source leg is there; or has, before a start.
fn go_on(core: &mut Core, id: SwapId) -> Result<(), Waits> {
    let Some(terms) = core.swaps.get(&id).map(|swap| swap.row.terms) else { return Ok(()) };
    if core.swaps.legs.contains_key(&id) {
        follow(core, id);
        return Ok(());
    }
    if !core.heads.contains_key(&terms.target.chain) {
        return Err(Waits::Chain);
    }
    if core.transfers.lock(&terms.lock).is_some_and(|used| used.preimage.is_some()) {
        return Err(Waits::Never(SwapCode::LockUsed));
    }
    tell(core, id, SwapEvent::SourceLocked);
    has_time(core, &terms).map_err(Waits::Never)?;
    lock(core, id).map_err(Waits::Never)?;
    follow(core, id);
    tell(core, id, SwapEvent::TargetLocked);
    Ok(())
}

/// What came in is bound to what went on: it is claimed by its pre-image, and given back only where it is absent.
pub(super) fn follow(core: &mut Core, id: SwapId) {
    let Some(at) = core.swaps.legs.get(&id).and_then(|legs| legs.first().map(|(at, _)| *at)) else { return };
    let Some(swap) = core.swaps.get(&id) else { return };
    let (origins, lock): (Vec<Origin>, _) = (swap.arrived.iter().copied().collect(), swap.row.terms.lock);
    origins.iter().for_each(|origin| bind(core, *origin, at));
    if let Some(preimage) = core.transfers.lock(&lock).and_then(|used| used.preimage) {
        origins.iter().for_each(|origin| core.claim(origin, preimage));
    }
}

fn bind(core: &mut Core, origin: Origin, at: At) {
    if let Some(entry) = core.transfers.incoming_mut(&origin) {
        entry.onward = Some(at);
    }
    let _waited = core.waiting.remove(&origin);
}

/// The initiator shows the pre-image, now that all of the target leg is there.
fn reveal(core: &mut Core, id: SwapId) -> Result<(), Waits> {
    let Some(swap) = core.swaps.get(&id) else { return Ok(()) };
    let (terms, preimage, origins) =
        (swap.row.terms, swap.row.preimage, swap.arrived.iter().copied().collect::<Vec<_>>());
    if is_revealed(core, id) {
        // More than was agreed to: it is this side's as well.
        origins.iter().for_each(|origin| preimage.into_iter().for_each(|preimage| core.claim(origin, preimage)));
        return Ok(());
    }
    tell(core, id, SwapEvent::TargetLocked);
    may_show(core, &terms)?;
    let preimage = preimage.ok_or(Waits::Never(SwapCode::OtherTerms))?;
    tell(core, id, SwapEvent::Revealed);
    origins.iter().for_each(|origin| core.claim(origin, preimage));
    Ok(())
}

/// Whether the initiator may show the pre-image now, as the target chain stands.
fn may_show(core: &Core, terms: &SwapTerms) -> Result<(), Waits> {
    if !core.heads.contains_key(&terms.target.chain) {
        return Err(Waits::Chain);
    }
    let target = view(core, &terms.target.chain).map_err(Waits::Never)?;
    if target.best > terms.lock_by {
        return Err(Waits::Never(SwapCode::Late));
    }
    let short = ladder(terms).check_reveal(&target);
    short.map_err(|short| Waits::Never(SwapCode::Ladder { have: short.have, need: short.need }))
}

/// A transfer of this side's leg is paid.
pub(in crate::router) fn leg_paid(core: &mut Core, at: At, key: IdempotencyKey, (id, number): (SwapId, u32)) {
    let best = core.best(&at.chain);
    let Some(swap) = core.swaps.get_mut(&id) else {
        // Its row is in a store that has not joined: the transfer's own row waits for that.
        return;
    };
    if matches!(swap.row.stage, SwapStage::Ended { .. }) {
        // It was over before a start that has lost what came after.
        drop_leg(core, id, at, number);
        return core.forget(at, key);
    }
    if swap.row.role == SwapRole::Responder {
        // What came in is claimed by now, since the pre-image is known; the row stays until that has ended (I5).
        (swap.target_moved, swap.blocks.1) = (true, best);
        tell(core, id, SwapEvent::Revealed);
        follow(core, id);
        return clear::finish(core, id);
    }
    swap.blocks.0 = best;
    if !swap.row.source_moved {
        swap.row.source_moved = true;
        write(core, id);
    }
    drop_leg(core, id, at, number);
    core.forget(at, key);
    clear::finish(core, id);
}

/// A transfer of this side's leg is irrevocably absent, or was never signed (`key` is none).
pub(in crate::router) fn leg_failed(core: &mut Core, at: At, key: Option<IdempotencyKey>, (id, number): (SwapId, u32)) {
    let best = core.best(&at.chain);
    let Some(swap) = core.swaps.get_mut(&id) else {
        if key.is_none() {
            drop_leg(core, id, at, number);
        }
        return;
    };
    let (role, target) = (swap.row.role, swap.row.terms.target.chain);
    if matches!(swap.row.stage, SwapStage::Ended { .. }) {
        drop_leg(core, id, at, number);
        return key.into_iter().for_each(|key| core.forget(at, key));
    }
    match role {
        SwapRole::Initiator => swap.blocks.0 = best,
        SwapRole::Responder => swap.blocks.1 = best,
    }
    match (role, key) {
        // The responder's rows stay until what came in has ended: else the leg might be locked once more after a start.
        (SwapRole::Responder, Some(_)) => {}
        (SwapRole::Responder, None) => drop_leg(core, id, at, number),
        (SwapRole::Initiator, key) => {
            drop_leg(core, id, at, number);
            if let Some(key) = key {
                core.forget(at, key);
            }
        }
    }
    match role {
        // Whether it was shown is not known before the target chain is here.
        SwapRole::Initiator if !core.joined.contains(&target) => {}
        // It was shown, and the responder has let the source leg expire: what comes in is claimed all the same.
        SwapRole::Initiator if is_revealed(core, id) => clear::begin(core, id, SwapCode::LegFailed),
        _ => clear::clear(core, id, SwapCode::LegFailed),
    }
    clear::finish(core, id);
}

pub(super) fn drop_leg(core: &mut Core, id: SwapId, at: At, number: u32) {
    if let Some(legs) = core.swaps.legs.get_mut(&id) {
        let _was_there = legs.remove(&(at, number));
        if legs.is_empty() {
            let _empty = core.swaps.legs.remove(&id);
        }
    }
}

/// Whether a transfer of this side's leg may still be paid, or was.
pub(super) fn is_owed(core: &Core, id: SwapId) -> bool {
    let legs = core.swaps.legs.get(&id).into_iter().flatten();
    let mut reached = legs.filter_map(|(at, number)| core.transfers.outgoing(*at, &OfferName::Leg(id, *number).key()));
    reached.any(|onward| !matches!(onward.reached, Reached::Failed(_)))
}

/// What came in of a swap whose target leg this side pays: nothing where this side pays the source leg, none where it is not known.
pub(in crate::router) fn origins_of(core: &Core, id: SwapId) -> Option<Vec<Origin>> {
    let swap = core.swaps.get(&id)?;
    Some(match swap.row.role {
        SwapRole::Initiator => Vec::new(),
        SwapRole::Responder => swap.arrived.iter().copied().collect(),
    })
}

/// Whether this side stakes this premium beside a transfer to it: the target leg of a swap that it has proposed, by which it shows the pre-image at once. A leg
/// that it would have to give back would cost it the premium (A7).
pub(in crate::router) fn stakes_premium(core: &Core, at: &At, terms: &TransferTerms, premium: Amount) -> bool {
    let Some((_, swap)) = with_premium(core, at, terms) else { return false };
    let is_first = !swap
        .arrived
        .iter()
        .any(|origin| core.transfers.incoming(origin).is_some_and(|entry| !matches!(entry.intent, Intent::Fail(_))));
    is_first && swap.row.terms.premium == premium && may_show(core, &swap.row.terms).is_ok()
}

/// What a transfer that came in has to say, where it is a target leg beside which this side stakes a premium: known by its lock and its terms alone, whatever it
/// says, since whoever gives it back gives the premium away.
pub(in crate::router) fn staked_leg(core: &Core, origin: &Origin) -> Option<SwapInstruction> {
    let entry = core.transfers.incoming(origin)?;
    let (id, swap) = with_premium(core, &origin.at, &entry.terms)?;
    let (sequence, acknowledges) = expected(&swap.row);
    Some(SwapInstruction { id, source: swap.row.terms.source.chain, sequence, acknowledges })
}

/// The swap with a premium, proposed by this side and agreed to, whose target leg has these terms.
fn with_premium<'a>(core: &'a Core, at: &At, terms: &TransferTerms) -> Option<(SwapId, &'a Swap)> {
    let id = core.swaps.by_lock(&terms.lock)?;
    let swap = core.swaps.get(&id)?;
    let leg = &swap.row.terms.target;
    let is_leg = (leg.chain, leg.amount) == (at.chain, terms.amount) && terms.expiry >= leg.expiry;
    let is_awaited = swap.row.role == SwapRole::Initiator && swap.row.stage == SwapStage::Agreed;
    (is_leg && is_awaited && swap.row.terms.premium > 0).then_some((id, swap))
}
