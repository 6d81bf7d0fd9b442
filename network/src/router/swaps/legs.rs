//! Execution: the source leg, then the target leg, then the pre-image (R8.5c).

use super::{
    ask::{
        claim_staked, has_gone_on, has_time_to_claim, is_revealed, ladder, may_reveal, note_target, tell, unread, view,
        view_of_target, write,
    },
    clear, early, inventory,
    kinds::{SwapEvent, SwapRole, SwapStage},
    tables::{Swap, SwapRow},
};
use crate::{
    instruction::{FailureCode, Instruction, SwapInstruction},
    keys::OfferName,
    router::{
        io::{At, Origin},
        parts, pledge_deltas,
        rows::{Part, RowName},
        state::{Beside, Core},
        tables::Source,
    },
    swap::{Ladder, SwapBody, SwapCalls, SwapCode, SwapId, SwapTerms},
};
use channel::{
    IdempotencyKey,
    transfer::{GivenPledge, Intent, Offer, TransferTerms},
};
use protocol::{Amount, BlockNumber, PublicKey, signing::Domain};

/// What the peer's leg has to say: its number, and that this side's words were heard.
fn expected(row: &SwapRow) -> (u64, protocol::Hash) {
    (row.sequences.1, SwapTerms::acknowledged(&own_words(row, row.role, row.sequences.0)))
}

/// The words by which a side agreed.
fn own_words(row: &SwapRow, role: SwapRole, sequence: u64) -> SwapBody {
    match role {
        SwapRole::Initiator => SwapBody::proposal(sequence, row.terms, &row.calls),
        SwapRole::Responder => SwapBody::Accept { sequence },
    }
}

/// What this side's leg says.
fn instruction(id: SwapId, row: &SwapRow) -> SwapInstruction {
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
    has_time_until(core, terms, terms.target.expiry)
}

/// Whether there is time where what the responder sends off expires then: later than the target leg, for a hub.
fn has_time_until(core: &Core, terms: &SwapTerms, expiry: BlockNumber) -> Result<(), SwapCode> {
    let source = view(core, &terms.source.chain)?;
    let target = view_of_target(core, &terms.target.chain, terms.premium)?;
    let ladder = Ladder { target: expiry, ..ladder(terms) };
    Ok(ladder.check(&source, &target, core.policy.swaps.answer)?)
}

/// The transfers that pay a side's leg.
pub(super) fn plan(
    core: &Core,
    role: SwapRole,
    (terms, calls): (&SwapTerms, &SwapCalls),
    peer: PublicKey,
) -> Result<Vec<Part>, SwapCode> {
    let (calls, chain) = match role {
        SwapRole::Initiator => (&calls.source, terms.source.chain),
        SwapRole::Responder => (&calls.target, terms.target.chain),
    };
    let planned = match role {
        SwapRole::Initiator => parts::plan_leg(core, &terms.source, peer, (0, 0), |_| true),
        SwapRole::Responder => {
            let is_in_time = |expiry| has_time_until(core, terms, expiry).is_ok();
            parts::plan_leg(core, &terms.target, peer, (terms.premium, terms.lock_by), is_in_time)
        }
    };
    let planned = planned.map_err(|_none| SwapCode::NoWay)?;
    if !calls.is_none() && !has_place_for_calls(core, &planned, chain, peer) {
        return Err(SwapCode::Calls);
    }
    Ok(planned)
}

/// Calls of apps go with a leg that is one transfer in the one channel that the two have with each other there: what is called is in it.
fn has_place_for_calls(core: &Core, planned: &[Part], chain: Domain, peer: PublicKey) -> bool {
    let channels: Vec<At> = core.links.to(chain, peer).map(|(at, _)| at).collect();
    matches!((planned, channels.as_slice()), ([part], [only]) if part.at == *only && part.hub.is_none())
}

/// Offers this side's leg.
fn lock(core: &mut Core, id: SwapId) -> Result<(), SwapCode> {
    let swap = core.swaps.get(&id).ok_or(SwapCode::Declined)?;
    let row = swap.row.clone();
    let premium = match row.role {
        SwapRole::Initiator => 0,
        SwapRole::Responder => row.terms.premium,
    };
    let stake = (premium, row.terms.lock_by);
    let planned = plan(core, row.role, (&row.terms, &row.calls), row.peer)?;
    let instruction = instruction(id, &row);
    let offers: Option<Vec<_>> = (0_u32..)
        .zip(planned)
        .map(|(number, part)| {
            let until = pledge_deltas::pledged_until(core, part.at, part.hub.is_some(), row.terms.lock_by);
            let beside = if premium > 0 { Beside::Pledge { until, is_kept_back: false } } else { Beside::Fee(0) };
            let offer = parts::leg_offer(&part, row.peer, row.terms.lock, stake, instruction)?;
            Some((number, part.at, Offer { calls: row.own_calls().clone(), ..offer }, beside))
        })
        .collect();
    for (number, at, offer, beside) in offers.ok_or(SwapCode::NoWay)? {
        let _is_new = core.swaps.legs.entry(id).or_default().insert((at, number));
        core.offer(at, OfferName::Leg(id, number).key(), Source::Leg(id, number), (offer, beside), false);
    }
    inventory::count(core, id);
    Ok(())
}

/// Both have agreed: where the initiator's premium can be asked for at once, in a channel with the initiator itself, it is (R8.5c).
pub(super) fn ask_early(core: &mut Core, id: SwapId) {
    let Some(row) = core.swaps.get(&id).map(|swap| swap.row.clone()) else { return };
    let SwapTerms { source, lock, premium, lock_by, .. } = row.terms;
    let planned = if premium > 0 && core.joined.contains(&source.chain) {
        plan(core, row.role, (&row.terms, &row.calls), row.peer).unwrap_or_default()
    } else {
        Vec::new()
    };
    let [part] = planned.as_slice() else { return };
    if part.hub.is_none()
        && early::may_ask(core, &part.at, lock_by)
        && let Some(offer) = parts::leg_offer(part, row.peer, lock, (premium, lock_by), instruction(id, &row))
    {
        early::ask(core, id, part.at, offer, lock_by);
    }
}

/// A transfer has come in that says that it is of a swap.
pub(in crate::router) fn arrived(core: &mut Core, origin: Origin, said: SwapInstruction) -> Result<(), FailureCode> {
    let Some(entry) = core.transfers.incoming(&origin) else { return Ok(()) };
    let (terms, has_calls) = (entry.terms, entry.has_calls);
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
    let Some(swap) = core.swaps.get(&said.id) else {
        if core.swaps.legs.contains_key(&said.id) {
            // Its row is gone, and what went on because of it is not: likewise.
            bind(core, origin, origin.at);
            return Ok(());
        }
        return Err(FailureCode::UnknownOrWrong);
    };
    let (role, leg) = (swap.row.role, swap.row.peers_leg());
    if claims_pledged(core, origin, &said) {
        return Ok(());
    }
    let Some(swap) = core.swaps.get(&said.id) else { return Ok(()) };
    if !is_as_agreed(&swap.row, &origin.at, &terms, &said) || has_calls == swap.row.peers_calls().is_none() {
        return Err(FailureCode::UnknownOrWrong);
    }
    if swap.row.stage != SwapStage::Agreed {
        if role == SwapRole::Initiator && core.transfers.incoming(&origin).is_some_and(|entry| entry.is_staked) {
            note(core, origin, said.id);
            claim_staked(core, said.id);
        }
        return came_late(core, origin, said.id);
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

/// A leg that this side has pledged its premium for, and whose word of agreement a crash has taken: what is staked for it is claimed, as long as there is time. Nobody else's word would be pledged for.
fn claims_pledged(core: &mut Core, origin: Origin, said: &SwapInstruction) -> bool {
    let terms = core.swaps.get(&said.id).map(|swap| swap.row.terms);
    let is_pledged =
        is_pledged_unheard(core, &origin, said) && terms.is_some_and(|terms| has_time_to_claim(core, &terms));
    if is_pledged {
        note(core, origin, said.id);
        claim_staked(core, said.id);
    }
    is_pledged
}

/// Whether this side has pledged its premium for a transfer, and has not heard the word of agreement.
fn is_pledged_unheard(core: &Core, origin: &Origin, said: &SwapInstruction) -> bool {
    let Some((entry, swap)) = core.transfers.incoming(origin).zip(core.swaps.get(&said.id)) else { return false };
    let SwapRow { role, sequences, terms, .. } = swap.row;
    (role, sequences.1) == (SwapRole::Initiator, 0)
        && entry.is_staked
        && (entry.terms.lock, origin.at.chain) == (terms.lock, terms.target.chain)
}

/// A transfer of a leg is here whose swap comes to nothing: what has gone on is decided by what went on (I4).
fn came_late(core: &mut Core, origin: Origin, id: SwapId) -> Result<(), FailureCode> {
    let Some(swap) = core.swaps.get(&id).filter(|swap| swap.row.role == SwapRole::Responder) else {
        return Err(FailureCode::SwapOver);
    };
    if !core.joined.contains(&swap.chains().0) {
        // What went on is known once its chain is: until then the swap is not over.
        note(core, origin, id);
        let _is_new = core.swaps.parked.insert(origin);
        return Ok(());
    }
    if !core.swaps.legs.contains_key(&id) && unread(core, swap).is_none() {
        return Err(FailureCode::SwapOver);
    }
    note(core, origin, id);
    follow(core, id);
    Ok(())
}

/// Why a swap does not go on.
enum Waits {
    /// A chain has not joined, or shown a block since.
    Chain,
    /// It comes to nothing.
    Never(SwapCode),
}

fn note(core: &mut Core, origin: Origin, id: SwapId) {
    if let Some(swap) = core.swaps.get_mut(&id) {
        let _is_new = swap.arrived.insert(origin);
    }
}

/// What has come in, but for what is given back.
fn arrived_amount(core: &Core, id: SwapId) -> Amount {
    let Some(swap) = core.swaps.get(&id) else { return 0 };
    let entries = swap.arrived.iter().filter_map(|origin| core.transfers.incoming(origin));
    let entries = entries.filter(|entry| !matches!(entry.intent, Intent::Fail(_)));
    entries.fold(0, |sum, entry| sum.saturating_add(entry.terms.amount))
}

/// The responder locks the target leg, now that all of the source leg is there; or has, before a start.
fn go_on(core: &mut Core, id: SwapId) -> Result<(), Waits> {
    let Some(swap) = core.swaps.get(&id) else { return Ok(()) };
    let terms = swap.row.terms;
    let (source, target) = (terms.source.chain, terms.target.chain);
    if !core.joined.contains(&target) || ![source, target].iter().all(|chain| core.heads.contains_key(chain)) {
        return Err(Waits::Chain);
    }
    if has_gone_on(core, id) || unread(core, swap).is_some() {
        follow(core, id);
        return Ok(());
    }
    if core.transfers.lock(&terms.lock).is_some_and(|used| used.preimage.is_some()) {
        return Err(Waits::Never(SwapCode::LockUsed));
    }
    tell(core, id, SwapEvent::SourceLocked);
    has_time(core, &terms).map_err(Waits::Never)?;
    if early::is_too_late(core, id) {
        return Err(Waits::Never(SwapCode::Late));
    }
    if !early::go_on(core, id) {
        lock(core, id).map_err(Waits::Never)?;
    }
    follow(core, id);
    tell(core, id, SwapEvent::TargetLocked);
    Ok(())
}

/// The responder locks target legs whose pledges were asked for early and have not come.
pub(super) fn lock_lapsed(core: &mut Core) {
    early::take_lapsed(core).into_iter().for_each(|id| lock_target(core, id));
}

fn lock_target(core: &mut Core, id: SwapId) {
    let swap = core.swaps.get(&id).filter(|swap| swap.row.stage == SwapStage::Agreed && !swap.arrived.is_empty());
    let Some(terms) = swap.map(|swap| swap.row.terms).filter(|_| !core.swaps.legs.contains_key(&id)) else { return };
    match has_time(core, &terms).and_then(|()| lock(core, id)) {
        Ok(()) => follow(core, id),
        Err(code) => clear::clear(core, id, code),
    }
}

/// What came in is bound to what went on, or may have: it is claimed by its pre-image, and given back only where that is absent.
pub(super) fn follow(core: &mut Core, id: SwapId) {
    let Some(swap) = core.swaps.get(&id) else { return };
    let known = core.swaps.legs.get(&id).and_then(|legs| legs.first().map(|(at, _)| *at));
    let may_be_unread = swap.row.role == SwapRole::Responder;
    let Some(at) = known.or_else(|| unread(core, swap).filter(|_| may_be_unread)) else { return };
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
    if !core.heads.contains_key(&terms.target.chain) {
        return Err(Waits::Chain);
    }
    // What this side has pledged a premium for may come by the chain, a while after it was shown there: it is claimed as long as there is time.
    if terms.premium == 0 || !has_time_to_claim(core, &terms) {
        let is_late = core.best(&terms.target.chain) > terms.lock_by;
        may_reveal(core, &terms).and(if is_late { Err(SwapCode::Late) } else { Ok(()) }).map_err(Waits::Never)?;
    }
    let preimage = preimage.ok_or(Waits::Never(SwapCode::OtherTerms))?;
    tell(core, id, SwapEvent::Revealed);
    origins.iter().for_each(|origin| core.claim(origin, preimage));
    Ok(())
}

/// A transfer of this side's leg is paid.
pub(in crate::router) fn leg_paid(core: &mut Core, at: At, key: IdempotencyKey, (id, number): (SwapId, u32)) {
    early::accepted(core, at, &key);
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
        note_target(core, id, true);
        tell(core, id, SwapEvent::Revealed);
        inventory::count(core, id);
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
    match early::failed(core, at, key.as_ref(), (id, number)) {
        None | Some(early::Next::Failed) => {}
        Some(next) => return offered_later(core, at, key, (id, number), next),
    }
    let best = core.best(&at.chain);
    let Some(swap) = core.swaps.get_mut(&id) else {
        if key.is_none() {
            drop_leg(core, id, at, number);
        }
        return;
    };
    let role = swap.row.role;
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
    inventory::count(core, id);
    match role {
        // The pre-image is out: where the responder has let all of its leg expire, nothing more happens to it.
        SwapRole::Initiator if is_revealed(core, id) => {
            if !core.swaps.legs.contains_key(&id) {
                clear::begin(core, id, SwapCode::LegFailed);
            }
        }
        _ => clear::clear(core, id, SwapCode::LegFailed),
    }
    clear::finish(core, id);
}

/// A target leg that was asked for early was never agreed: its row says nothing, and goes.
fn offered_later(core: &mut Core, at: At, key: Option<IdempotencyKey>, (id, number): (SwapId, u32), next: early::Next) {
    drop_leg(core, id, at, number);
    if let Some(key) = key {
        core.forget(at, key);
    }
    inventory::count(core, id);
    let terms = core.swaps.get(&id).filter(|swap| swap.row.stage == SwapStage::Agreed).map(|swap| swap.row.terms);
    if terms.is_some_and(|terms| core.best(&terms.target.chain) > terms.lock_by) {
        return clear::clear(core, id, SwapCode::Late);
    }
    if matches!(next, early::Next::Now) {
        early::note_lapsed(core, id);
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

/// What came in of a swap whose target leg this side pays: nothing where this side pays the source leg; none where it is not known, or is not here, and could not
/// be claimed in time any more.
pub(in crate::router) fn origins_of(core: &Core, id: SwapId) -> Option<Vec<Origin>> {
    let swap = core.swaps.get(&id)?;
    if swap.row.role == SwapRole::Initiator {
        return Some(Vec::new());
    }
    let (source, origins) = (swap.row.terms.source, swap.arrived.iter().copied().collect::<Vec<_>>());
    if origins.is_empty() && !swap.row.source_moved {
        // It may be in a channel that cannot be read.
        let margin = core.policy.chain(&source.chain).margins.forward();
        let heads = core.heads.get(&source.chain)?;
        return (heads.best < source.expiry.saturating_sub(margin)).then_some(origins);
    }
    Some(origins)
}

/// Whether calls of apps go with an offer as both have agreed to: it is all of the peer's leg of a swap, and the first of it that comes (R8.3g).
pub(in crate::router) fn takes_calls(core: &Core, at: &At, offer: &Offer) -> bool {
    let Some(Instruction::Swap(said)) = Instruction::from_bytes(&offer.instruction) else { return false };
    let peer = core.links.get(at).map(|link| link.peer);
    core.swaps.get(&said.id).is_some_and(|swap| {
        swap.row.stage == SwapStage::Agreed
            && peer == Some(swap.row.peer)
            && swap.arrived.is_empty()
            && *swap.row.peers_calls() == offer.calls
            && offer.terms.amount >= swap.row.peers_leg().amount
            && is_as_agreed(&swap.row, at, &offer.terms, &said)
    })
}

/// Until which block this side pledges the premium of an offer beside it, if it does: the target leg of a swap that it has proposed, in time and in the words that
/// were agreed to, from the responder itself, or from a hub where there is no channel with it (A7, R8.5h). It is shown the pre-image for as soon as it is here.
pub(in crate::router) fn stakes_until(core: &Core, origin: &Origin, offer: &Offer) -> Option<BlockNumber> {
    let at = &origin.at;
    let Some(Instruction::Swap(said)) = Instruction::from_bytes(&offer.instruction) else { return None };
    let swap = core.swaps.get(&said.id)?;
    let agreed = &swap.row.terms;
    let is_first = !swap
        .arrived
        .iter()
        .any(|origin| core.transfers.incoming(origin).is_some_and(|entry| !matches!(entry.intent, Intent::Fail(_))));
    let is_in_time = core.best(&agreed.target.chain) <= agreed.lock_by && may_reveal(core, agreed).is_ok();
    let stakes = is_whole_target(swap, at, &offer.terms, &said)
        && pledge_deltas::may_ask(core, at, swap.row.peer)
        && offer.terms.amount == agreed.target.amount
        && is_first
        && !has_pledged_elsewhere(core, said.id, origin)
        && agreed.premium == offer.premium
        && is_in_time;
    // What is shown in the pledge's last block is known here once that is final, and claimed then.
    let (bounds, chain) = (core.policy.chain(&agreed.target.chain), &agreed.target);
    let known = chain.expiry.saturating_sub(bounds.margins.forward()).saturating_sub(bounds.max_lag);
    stakes.then_some(agreed.lock_by.min(known))
}

/// Whether this side pledges for an offer that it would stake its premium for: for one of a swap alone, though several channels ask at once. None before that is decided.
pub(in crate::router) fn is_chosen(core: &Core, origin: &Origin, offer: &Offer) -> Option<bool> {
    let Some(Instruction::Swap(said)) = Instruction::from_bytes(&offer.instruction) else { return Some(false) };
    let chosen = core.swaps.pledging.get(&said.id).filter(|chosen| core.links.get(&chosen.at).is_some());
    chosen.map(|chosen| chosen == origin)
}

/// A question is looked at for the first time: where its swap's premium would be staked for it, it is, and for no other one.
pub(in crate::router) fn choose(core: &mut Core, origin: &Origin, offer: &Offer) {
    let Some(Instruction::Swap(said)) = Instruction::from_bytes(&offer.instruction) else { return };
    // One of a channel that is gone is chosen no more.
    if stakes_until(core, origin, offer).is_some() && is_chosen(core, origin, offer).is_none() {
        let _former = core.swaps.pledging.insert(said.id, *origin);
    }
}

/// This side does not pledge for an offer that it has looked at.
pub(in crate::router) fn pledge_not_given(core: &mut Core, origin: &Origin) {
    core.swaps.pledging.retain(|_, chosen| chosen != origin);
}

/// Whether the premium of a swap is pledged for another offer than this one, which may yet come to count: it is staked once.
fn has_pledged_elsewhere(core: &Core, id: SwapId, origin: &Origin) -> bool {
    let finalised = core.heads.get(&origin.at.chain).map_or(0, |heads| heads.finalised);
    // The other one's channel may hear of the chain a little later.
    let answer = core.policy.chain(&origin.at.chain).margins.answer;
    let may_count = |until: BlockNumber| finalised <= until.saturating_add(answer);
    core.swaps.pledged.get(&id).is_some_and(|(other, until)| other != origin && may_count(*until))
}

/// This side has pledged for an offer.
pub(in crate::router) fn pledge_given(core: &mut Core, at: At, given: &GivenPledge) {
    let Some(Instruction::Swap(said)) = Instruction::from_bytes(&given.offer.instruction) else { return };
    let pledged = (Origin { at, contract: given.contract }, given.valid_until);
    let _given = core.swaps.pledging.remove(&said.id);
    let _former = core.swaps.pledged.insert(said.id, pledged);
}

/// Whether a transfer is all of the target leg of a swap of this side's own: a premium may be staked beside it, so that no bound has it given back.
pub(in crate::router) fn is_awaited(core: &Core, origin: &Origin) -> bool {
    let Some(entry) = core.transfers.incoming(origin) else { return false };
    let Some(Instruction::Swap(said)) = Instruction::from_bytes(&entry.instruction) else { return false };
    core.swaps.get(&said.id).is_some_and(|swap| {
        let is_pledged = entry.is_staked && swap.row.role == SwapRole::Initiator;
        (is_pledged && is_as_agreed(&swap.row, &origin.at, &entry.terms, &said))
            || is_pledged_unheard(core, origin, &said)
            || is_whole_target(swap, &origin.at, &entry.terms, &said)
    })
}

fn is_whole_target(swap: &Swap, at: &At, terms: &TransferTerms, said: &SwapInstruction) -> bool {
    (swap.row.role, swap.row.stage) == (SwapRole::Initiator, SwapStage::Agreed)
        && terms.amount >= swap.row.terms.target.amount
        && is_as_agreed(&swap.row, at, terms, said)
}

/// Whether a transfer is of the peer's leg, as both have agreed to it.
fn is_as_agreed(row: &SwapRow, at: &At, terms: &TransferTerms, said: &SwapInstruction) -> bool {
    let leg = row.peers_leg();
    leg.chain == at.chain
        && said.source == row.terms.source.chain
        && terms.lock == row.terms.lock
        && terms.expiry >= leg.expiry
        && (said.sequence, said.acknowledges) == expected(row)
}
