//! Negotiation: both legs are proposed, agreed to and acknowledged before anything is locked (R8.5a, R8.5b).

use super::{
    ask::{drop_target, is_revealed, ladder, tell, view_of_way, write},
    clear, early, inventory,
    kinds::{SwapError, SwapEvent, SwapOrder, SwapRole, SwapStage},
    legs,
    tables::{NamedSequence, SwapRow},
};
use crate::{
    router::{
        io::Millis,
        parts, pledge_deltas,
        rows::{RowName, row},
        state::Core,
    },
    swap::{ChainView, Ladder, SwapBody, SwapCalls, SwapCode, SwapId, SwapItem, SwapLeg, SwapTerms, SwapWords, Talk},
};
use protocol::{
    PublicKey,
    contracts::conditional::{HashFunction, Preimage},
    crypto::{Crypto, Native},
    signing::Domain,
};
use scale::Encode;

/// How long words wait for an acknowledgement before they are said again.
const REPEAT: Millis = 5_000;

/// Proposes a swap, or says how far it is. `seed` is drawn at random: the pre-image follows from it.
pub(in crate::router) fn propose(
    core: &mut Core,
    id: SwapId,
    (order, calls): (SwapOrder, &SwapCalls),
    seed: &[u8; 32],
) -> Result<SwapStage, SwapError> {
    if let Some(known) = core.swaps.get(&id) {
        let terms = &known.row.terms;
        let is_same = known.row.role == SwapRole::Initiator
            && (known.row.peer, terms.premium) == (order.responder, order.premium)
            && (terms.source.chain, terms.source.amount) == order.source
            && (terms.target.chain, terms.target.amount) == order.target
            && known.row.calls == *calls;
        return is_same.then_some(known.row.stage).ok_or(SwapError::OtherSwap);
    }
    // It may have been proposed before.
    if core.is_unread(RowName::Swap(id)) || core.swaps.legs.contains_key(&id) {
        return Err(SwapError::OtherSwap);
    }
    let preimage = Preimage(Native.hash(&(b"isc-swap", seed).encode()).0);
    let terms = terms(core, &order, preimage)?;
    terms.check().and_then(|()| calls.check(&terms)).map_err(SwapError::Terms)?;
    if !make_room(core) {
        return Err(SwapError::Terms(SwapCode::Inventory));
    }
    let _parts = legs::plan(core, SwapRole::Initiator, (&terms, calls), order.responder).map_err(SwapError::Terms)?;
    let on_target = (order.target.0, order.responder);
    if order.premium > 0 && !pledge_deltas::could_stake(core, on_target, order.premium, terms.lock_by) {
        return Err(SwapError::Terms(SwapCode::Premium));
    }
    let sequence = next_own(core, terms.source.chain, order.responder);
    let mut talk = Talk::default();
    talk.say(SwapBody::proposal(sequence, terms, calls));
    let row = SwapRow {
        peer: order.responder,
        role: SwapRole::Initiator,
        terms,
        calls: calls.clone(),
        preimage: Some(preimage),
        sequences: (sequence, 0),
        talk,
        stage: SwapStage::Proposed,
        source_moved: false,
    };
    core.swaps.insert(id, row);
    write(core, id);
    core.swaps.say(id);
    Ok(SwapStage::Proposed)
}

/// The terms of what is ordered, with the shortest safe ladder.
fn terms(core: &Core, order: &SwapOrder, preimage: Preimage) -> Result<SwapTerms, SwapError> {
    let view = |chain: &Domain, premium| {
        view_of_way(core, chain, premium, order.responder).map_err(|code| match code {
            SwapCode::Chain => SwapError::NoChain,
            SwapCode::ChainStalled if core.policy.chain(chain).clock.is_none() => SwapError::NoBlockTime,
            other => SwapError::Terms(other),
        })
    };
    let (source, target) = (view(&order.source.0, 0)?, view(&order.target.0, order.premium)?);
    let policy = &core.policy.swaps;
    let target = if order.premium > 0 { suited(core, order, target) } else { target };
    let delta = parts::delta_of_hubs(core, order.target.0, order.responder);
    let ladder = Ladder::shortest(&source, &target, policy.answer, policy.handshake, delta);
    let ladder = ladder.ok_or(SwapError::NoBlockTime)?;
    Ok(SwapTerms {
        lock: preimage.lock(HashFunction::Sha2_256, &Native),
        source: SwapLeg { chain: order.source.0, amount: order.source.1, expiry: ladder.source },
        target: SwapLeg { chain: order.target.0, amount: order.target.1, expiry: ladder.target },
        premium: order.premium,
        lock_by: ladder.lock_by,
    })
}

/// The target chain as whoever makes the ladder sees it: with what suits the hubs by which a premium can be staked.
fn suited(core: &Core, order: &SwapOrder, target: ChainView) -> ChainView {
    let (chain, finalised) = (order.target.0, core.heads.get(&order.target.0).map_or(0, |heads| heads.finalised));
    let locked = ChainView { pledge_delta: 0, ..target }.until_locked(core.policy.swaps.handshake).unwrap_or(0);
    let base = target.best.saturating_sub(finalised).saturating_add(locked);
    let pledge_delta = pledge_deltas::delta_for(core, chain, order.responder, order.premium, base);
    ChainView { pledge_delta, ..target }
}

fn sequence(core: &mut Core, chain: Domain, peer: PublicKey) -> &mut NamedSequence {
    core.swaps.sequences.entry((chain, peer)).or_insert(NamedSequence { chain, peer, own: 0, heard: 0 })
}

/// A peer's word of agreement counts among its numbers, as its proposals do, also where its swap is not known any more.
fn hear_number(core: &mut Core, chain: Domain, peer: PublicKey, number: u64) {
    let named = sequence(core, chain, peer);
    if named.heard < number {
        named.heard = number;
        write_sequence(core, chain, peer);
    }
}

/// A proposal counts where its number is the next one, whatever becomes of it. None where it is another one: then the one that is expected.
fn hear_proposal(core: &mut Core, chain: Domain, peer: PublicKey, number: u64) -> Result<(), SwapCode> {
    let expected = core.swaps.sequences.get(&(chain, peer)).map_or(0, |named| named.heard).saturating_add(1);
    if number != expected {
        return Err(SwapCode::Sequence { expected });
    }
    hold_sequences(core, chain, peer);
    hear_number(core, chain, peer, number);
    Ok(())
}

fn write_sequence(core: &mut Core, chain: Domain, peer: PublicKey) {
    let named = *sequence(core, chain, peer);
    core.write(chain, RowName::swap_sequence(chain, peer), Some(row(&named)));
}

/// Whether one more swap can be kept: of what came to nothing by somebody else's proposal, the first one is forgotten for it.
fn make_room(core: &mut Core) -> bool {
    let most = usize::try_from(core.policy.max_kept).unwrap_or(usize::MAX);
    if core.swaps.len() >= most
        && let Some(id) = core.swaps.in_vain.first().copied()
    {
        let _forgotten = forget(core, id);
        let _was_there = core.swaps.in_vain.remove(&id);
    }
    core.swaps.len() < most
}

/// Strangers cost nothing: where as many numbers are kept as may be, those of one without a channel are forgotten for another's. It hears what is expected of it.
fn hold_sequences(core: &mut Core, chain: Domain, peer: PublicKey) {
    let most = usize::try_from(core.policy.max_kept).unwrap_or(usize::MAX);
    if core.swaps.sequences.len() < most || core.swaps.sequences.contains_key(&(chain, peer)) {
        return;
    }
    let is_stranger = |named: &&(Domain, PublicKey)| core.links.to(named.0, named.1).next().is_none();
    if let Some(named) = core.swaps.sequences.keys().find(is_stranger).copied() {
        let _forgotten = core.swaps.sequences.remove(&named);
        core.write(named.0, RowName::swap_sequence(named.0, named.1), None);
    }
}

/// This side's next number towards a peer.
fn next_own(core: &mut Core, chain: Domain, peer: PublicKey) -> u64 {
    let named = sequence(core, chain, peer);
    named.own = named.own.saturating_add(1);
    let next = named.own;
    write_sequence(core, chain, peer);
    next
}

/// A peer says something about swaps. What cannot be read, and what strangers say, is as if it had not been said.
pub(in crate::router) fn heard(core: &mut Core, chain: Domain, peer: PublicKey, bytes: &[u8]) {
    let is_known = core.links.to(chain, peer).next().is_some() || core.policy.swaps.takes_strangers;
    let Some(words) = SwapWords::from_bytes(bytes).filter(|_| is_known && core.joined.contains(&chain)) else { return };
    match words {
        SwapWords::Items(items) => items.into_iter().for_each(|item| on_item(core, chain, peer, item)),
        SwapWords::AskQuotes => {
            let quotes = core.policy.swaps.quotes.iter().filter(|quote| quote.source == chain);
            let bytes = SwapWords::Quotes(quotes.copied().take(64).collect()).to_bytes();
            core.say_to(chain, peer, bytes);
        }
        // What nobody has asked for is not kept.
        SwapWords::Quotes(quotes) if core.swaps.asked.remove(&(chain, peer)) => {
            let _former = core.swaps.quotes.insert((chain, peer), quotes);
        }
        SwapWords::Quotes(_) => {}
    }
}

fn on_item(core: &mut Core, chain: Domain, peer: PublicKey, item: SwapItem) {
    let named = core.swaps.get(&item.id).map(|swap| (swap.row.peer, swap.row.terms.source.chain));
    if named != Some((peer, chain)) {
        return on_unknown(core, chain, peer, item);
    }
    if let Some((sequence, ..)) = item.body.as_ref().and_then(SwapBody::proposed) {
        // Also where it crosses an own proposal by the same id.
        let _is_next = hear_proposal(core, chain, peer, sequence);
    }
    let Some(swap) = core.swaps.get_mut(&item.id) else { return };
    let was_waiting = !swap.row.talk.is_acknowledged();
    let body = match swap.row.talk.hear(&item) {
        Ok(body) => body,
        Err(_fault) => {
            tell(core, item.id, SwapEvent::Violated);
            return clear::clear(core, item.id, SwapCode::WordsChanged);
        }
    };
    let is_waiting = core.swaps.heed(item.id);
    // What is only said again changes nothing.
    if body.is_some() || was_waiting != is_waiting {
        write(core, item.id);
    }
    if item.body.is_some() {
        // What is said again is acknowledged again.
        core.swaps.say(item.id);
    }
    if let Some(body) = body {
        on_body(core, item.id, body);
    }
}

/// Words about a swap of which there is no row with this peer: a proposal, or about one that is forgotten.
fn on_unknown(core: &mut Core, chain: Domain, peer: PublicKey, item: SwapItem) {
    let Some(body) = &item.body else { return };
    // Of one whose row cannot be read nothing is known, and nothing is said.
    if core.is_unread(RowName::Swap(item.id)) {
        return;
    }
    let Some((number, terms, calls)) = body.proposed() else {
        if let SwapBody::Accept { sequence } = body {
            hold_sequences(core, chain, peer);
            hear_number(core, chain, peer, *sequence);
        }
        let ack = SwapItem { id: item.id, number: 0, acknowledges: item.number, body: None };
        return core.swaps.bare.push((chain, peer, ack));
    };
    let mut talk = Talk::default();
    let Ok(Some(_)) = talk.hear(&item) else { return };
    let decided = hear_proposal(core, chain, peer, number).and_then(|()| {
        let has_room = make_room(core);
        let is_quoted = check(core, chain, peer, item.id, (&terms, &calls))?;
        has_room.then_some(is_quoted).ok_or(SwapCode::Inventory)
    });
    let is_quoted = match decided {
        Ok(is_quoted) => is_quoted,
        Err(code) => {
            // Of what is declined nothing is kept.
            talk.say(SwapBody::Decline(code));
            return core.swaps.bare.extend(talk.items(item.id).into_iter().map(|item| (chain, peer, item)));
        }
    };
    let row = SwapRow {
        peer,
        role: SwapRole::Responder,
        terms,
        calls,
        preimage: None,
        sequences: (0, number),
        talk,
        stage: SwapStage::Proposed,
        source_moved: false,
    };
    core.swaps.insert(item.id, row);
    if is_quoted {
        agree(core, item.id);
    } else {
        write(core, item.id);
        core.swaps.say(item.id);
        tell(core, item.id, SwapEvent::Proposed);
    }
}

/// Whether a proposal can be agreed to, and whether a quote says so; else the user does.
fn check(
    core: &Core,
    chain: Domain,
    peer: PublicKey,
    id: SwapId,
    (terms, calls): (&SwapTerms, &SwapCalls),
) -> Result<bool, SwapCode> {
    terms.check()?;
    calls.check(terms)?;
    // Transfers of a swap by this name may still be there, or another one's swap has it.
    let is_used = core.swaps.get(&id).is_some()
        || core.swaps.legs.contains_key(&id)
        || core.swaps.by_lock(&terms.lock).is_some()
        || core.transfers.lock(&terms.lock).is_some()
        || core.paying.contains_key(&terms.lock)
        || core.invoices.contains_key(&terms.lock);
    if is_used {
        return Err(SwapCode::LockUsed);
    }
    if terms.source.chain != chain {
        return Err(SwapCode::Chain);
    }
    let policy = &core.policy.swaps;
    if core.swaps.count(&peer) >= usize::try_from(policy.max_open).unwrap_or(usize::MAX) {
        return Err(SwapCode::Inventory);
    }
    legs::has_time(core, terms)?;
    let target = view_of_way(core, &terms.target.chain, terms.premium, peer)?;
    ladder(terms).check_length(&target, policy.answer, policy.handshake)?;
    let _parts = legs::plan(core, SwapRole::Responder, (terms, calls), peer)?;
    match (calls.is_none(), policy.asks_user) {
        (true, _) => inventory::is_quoted(core, terms, peer),
        // What a call is worth is the user's to say.
        (false, true) => Ok(false),
        (false, false) => Err(SwapCode::Calls),
    }
}

/// The responder agrees.
fn agree(core: &mut Core, id: SwapId) {
    let Some((chain, peer)) = core.swaps.get(&id).map(|swap| (swap.row.terms.source.chain, swap.row.peer)) else {
        return;
    };
    let number = next_own(core, chain, peer);
    let Some(swap) = core.swaps.get_mut(&id) else { return };
    swap.row.sequences.0 = number;
    swap.row.stage = SwapStage::Agreed;
    swap.row.talk.say(SwapBody::Accept { sequence: number });
    inventory::count(core, id);
    write(core, id);
    core.swaps.say(id);
    tell(core, id, SwapEvent::Agreed);
    legs::ask_early(core, id);
}

fn on_body(core: &mut Core, id: SwapId, body: SwapBody) {
    let Some(swap) = core.swaps.get(&id) else { return };
    let (role, chain, peer) = (swap.row.role, swap.row.terms.source.chain, swap.row.peer);
    if let (SwapBody::Accept { sequence }, SwapRole::Initiator) = (&body, role) {
        // Also where it crosses what ends the swap.
        hear_number(core, chain, peer, *sequence);
    }
    let Some(swap) = core.swaps.get_mut(&id) else { return };
    match (body, swap.row.role, swap.row.stage) {
        (SwapBody::Accept { sequence }, SwapRole::Initiator, SwapStage::Proposed) => {
            swap.row.sequences.1 = sequence;
            swap.row.stage = SwapStage::Agreed;
            write(core, id);
            tell(core, id, SwapEvent::Agreed);
            legs::lock_source(core, id);
            early::answer(core, id);
        }
        (SwapBody::Decline(code), SwapRole::Initiator, SwapStage::Proposed) => {
            let (chain, peer) = (swap.row.terms.source.chain, swap.row.peer);
            if let SwapCode::Sequence { expected } = code {
                // The peer counts otherwise: it has forgotten, or this side has.
                sequence(core, chain, peer).own = expected.saturating_sub(1);
                write_sequence(core, chain, peer);
            }
            clear::begin(core, id, code);
        }
        // Both legs move already.
        (SwapBody::Cancel(_), SwapRole::Initiator, SwapStage::Agreed) if is_revealed(core, id) => {}
        (SwapBody::Cancel(code), _, SwapStage::Proposed | SwapStage::Agreed) => clear::begin(core, id, code),
        // It crosses what ends the swap here, or says again that it is over.
        (SwapBody::Accept { .. } | SwapBody::Decline(_) | SwapBody::Cancel(_) | SwapBody::Done, ..) => {}
        (SwapBody::Propose { .. } | SwapBody::ProposeCalls { .. }, ..) => {
            tell(core, id, SwapEvent::Violated);
            clear::clear(core, id, SwapCode::WordsChanged);
        }
    }
}

/// The user agrees to a proposal.
pub(in crate::router) fn accept(core: &mut Core, id: SwapId) -> Result<(), SwapError> {
    let swap = core.swaps.get(&id).ok_or(SwapError::Unknown)?;
    match (swap.row.role, swap.row.stage) {
        (SwapRole::Responder, SwapStage::Proposed) => {}
        (SwapRole::Responder, SwapStage::Agreed) => return Ok(()),
        _ => return Err(SwapError::TooLate),
    }
    let terms = swap.row.terms;
    legs::has_time(core, &terms).map_err(SwapError::Terms)?;
    agree(core, id);
    Ok(())
}

/// The user does not.
pub(in crate::router) fn decline(core: &mut Core, id: SwapId) -> Result<(), SwapError> {
    let swap = core.swaps.get_mut(&id).ok_or(SwapError::Unknown)?;
    if (swap.row.role, swap.row.stage) != (SwapRole::Responder, SwapStage::Proposed) {
        return Err(SwapError::TooLate);
    }
    swap.row.talk.say(SwapBody::Decline(SwapCode::Declined));
    core.swaps.say(id);
    clear::begin(core, id, SwapCode::Declined);
    Ok(())
}

/// The user wants a swap over. The responder's word is a wish once its leg is locked.
pub(in crate::router) fn cancel(core: &mut Core, id: SwapId) -> Result<(), SwapError> {
    let swap = core.swaps.get(&id).ok_or(SwapError::Unknown)?;
    let (role, stage) = (swap.row.role, swap.row.stage);
    match stage {
        SwapStage::Clearing(_) => return Ok(()),
        SwapStage::Ended { .. } => return Err(SwapError::TooLate),
        SwapStage::Proposed | SwapStage::Agreed => {}
    }
    if role == SwapRole::Initiator && stage == SwapStage::Agreed && is_revealed(core, id) {
        return Err(SwapError::TooLate);
    }
    clear::clear(core, id, SwapCode::Cancelled);
    Ok(())
}

/// Forgets a swap that is over. False where it is under way, or the peer may still say something of it.
pub(in crate::router) fn forget(core: &mut Core, id: SwapId) -> Result<(), SwapError> {
    let swap = core.swaps.get(&id).ok_or(SwapError::Unknown)?;
    // What an initiator has pledged may be shown to the chain up to its last block, and is known here once that is final.
    let target = swap.row.terms.target.chain;
    let finalised = core.heads.get(&target).map_or(0, |heads| heads.finalised);
    let is_pledged = swap.row.role == SwapRole::Initiator
        && (swap.row.sequences.1 > 0 || core.swaps.pledged.contains_key(&id))
        && swap.row.terms.premium > 0
        && finalised <= swap.row.terms.lock_by.saturating_add(core.policy.chain(&target).margins.answer)
        && !core.swaps.has_target_moved(&id);
    let is_ended = matches!(swap.row.stage, SwapStage::Ended { .. }) && !core.swaps.legs.contains_key(&id);
    if is_pledged || !is_ended {
        return Err(SwapError::UnderWay);
    }
    let chain = swap.row.terms.source.chain;
    let _forgotten = core.swaps.remove(&id);
    let _over = (core.swaps.pledged.remove(&id), core.swaps.pledging.remove(&id));
    core.write(chain, RowName::Swap(id), None);
    drop_target(core, id);
    Ok(())
}

/// A peer is there: what it has not acknowledged is said again.
pub(in crate::router) fn peer_up(core: &mut Core, chain: Domain, peer: PublicKey) {
    let waiting = core.swaps.waiting_for(chain, peer);
    waiting.into_iter().for_each(|id| core.swaps.say(id));
}

/// Says again what has waited.
pub(in crate::router) fn tick(core: &mut Core) {
    if core.now.saturating_sub(core.swaps.repeated) >= REPEAT {
        core.swaps.repeated = core.now;
        let waiting: Vec<SwapId> = core.swaps.unheard.iter().map(|(_, _, id)| *id).collect();
        waiting.into_iter().for_each(|id| core.swaps.say(id));
    }
    early::tick(core);
    legs::lock_lapsed(core);
}

/// Asks a peer what it swaps.
pub(in crate::router) fn ask_quotes(core: &mut Core, chain: Domain, peer: PublicKey) {
    let _is_new = core.swaps.asked.insert((chain, peer));
    core.say_to(chain, peer, SwapWords::AskQuotes.to_bytes());
}
