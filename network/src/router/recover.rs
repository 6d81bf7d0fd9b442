//! After a start: what was under way is derived from rows, not replayed.
//!
//! | what came in says | what goes on because of it says | then |
//! |---|---|---|
//! | nothing decided | nothing: it was never signed | it is decided anew, once its next one is there; given back if that takes too long |
//! | nothing decided | it cannot be read | wait: it is claimed once its pre-image is known, and else goes back by its expiry |
//! | nothing decided | it is for this side, by an invoice that cannot be read | the same |
//! | nothing decided | proposed, or offered | wait |
//! | nothing decided | a pre-image | claim it |
//! | nothing decided | irrevocably absent | give it back |
//! | claim | anything | the channel goes on claiming; others under the same lock follow |
//! | give back | anything | the channel goes on |
//! | it has ended | over | forget what went on |
//! | it has ended | not over | wait, then forget |

use super::{
    forward, guard,
    io::{At, Origin, Restored, RestoredChannel, RouterNotice, RowKey},
    offers, payments, receive,
    rows::{self, InvoiceRow, NamedPeer, PaymentRow, RowName, Stage},
    staking,
    state::{Core, Paying},
    swaps::{early, legs, restored as restored_swaps, tables::SwapRow},
    tables::{Onward, Reached, Source},
};
use crate::{
    instruction::{FailureCode, Instruction, RouteFailure, StakedForward},
    keys::OfferName,
};
use channel::{
    IdempotencyKey,
    transfer::{Failure, Intent, OutgoingTransfer, Progress},
};
use protocol::{
    contracts::conditional::{HashLock, Preimage},
    crypto::Native,
    signing::Domain,
};

/// Takes over what the store has, and derives what is to be done.
pub(super) fn restored(core: &mut Core, restored: Restored) {
    let _is_new = core.joined.insert(restored.chain);
    core.claims.entry(restored.chain).or_default().restart();
    core.started = Some(core.now).filter(|now| *now > 0);
    let mut known = Vec::new();
    for (key, value) in restored.rows {
        if own_row(core, restored.chain, &key, &value, &mut known).is_none() {
            let _new = core.unread.insert(key.clone());
            core.notify(RouterNotice::RowUnreadable { key });
        }
    }
    let mut over: Vec<(At, IdempotencyKey)> = Vec::new();
    let mut outgoing = Vec::new();
    let mut origins = Vec::new();
    for RestoredChannel { at, peer, incoming, outgoing: own, is_whole } in restored.channels {
        let _link = core.link(at, peer);
        if !is_whole {
            core.links.note_unread(at);
        }
        for row in incoming {
            let origin = Origin { at, contract: row.contract };
            if let Intent::Claim(preimage) = row.intent {
                known.push((row.terms.lock, preimage));
            }
            core.admit(origin, offers::entry(peer, row));
            origins.push(origin);
        }
        outgoing.extend(own.into_iter().map(|row| (at, row)));
    }
    for (at, row) in outgoing {
        let key = row.key.clone();
        if let Some(is_over) = own_transfer(core, at, row, &mut known)
            && is_over
        {
            over.push((at, key));
        }
    }
    payments::restored(core, restored.chain);
    for (lock, preimage) in known {
        core.learn(lock, preimage);
        pays_unread(core, lock, preimage);
    }
    receive::restored(core, restored.chain);
    origins.into_iter().for_each(|origin| undecided(core, origin));
    over.into_iter().for_each(|(at, key)| resolve(core, at, key));
    restored_swaps::restored(core, restored.chain);
    core.sweep(core.kept.keys().copied().collect());
}

fn own_row(
    core: &mut Core,
    chain: Domain,
    key: &RowKey,
    value: &[u8],
    known: &mut Vec<(HashLock, Preimage)>,
) -> Option<()> {
    match RowName::read(key)? {
        RowName::Payment(id) => {
            let row = PaymentRow::read(value)?;
            if !matches!(row.state, Stage::Failed(_)) {
                let _other = core.paying.insert(row.order.lock, id);
            }
            let _former = core.payments.insert(id, Paying { row, avoid: Vec::new() });
        }
        RowName::Invoice(lock) => {
            let row: InvoiceRow = rows::read(value)?;
            let _former = core.invoices.insert(lock, row);
        }
        RowName::Preimage(lock) => {
            known.push((lock, rows::read(value)?));
            let _former = core.kept.insert(lock, chain);
        }
        RowName::Swap(id) => restored_swaps::swap(core, id, SwapRow::read(value)?),
        RowName::SwapTarget(id) => restored_swaps::target(core, id, chain, rows::read(value)?),
        RowName::SwapSequence(_) => restored_swaps::sequence(core, rows::read(value)?),
        RowName::Peer(_) => core.guard.restore(rows::read::<NamedPeer>(value)?),
    }
    Some(())
}

/// Takes over an own transfer. None where it is not the router's, else whether it is over.
fn own_transfer(core: &mut Core, at: At, row: OutgoingTransfer, known: &mut Vec<(HashLock, Preimage)>) -> Option<bool> {
    let terms = row.offer.terms;
    // What the peer never had, or may not have.
    let is_unsigned = row.offer.premium > 0
        && match &row.progress {
            Progress::Proposed => true,
            Progress::Failed(why) => row.contract.is_none() && !matches!(why, Failure::ByPayee(_) | Failure::Expired),
            Progress::Offered | Progress::Absent(_) | Progress::Fulfilled(_) => false,
        };
    let reached = match row.progress {
        // What is absent for now may yet be there again (I4).
        Progress::Proposed | Progress::Offered | Progress::Absent(_) => Reached::Live,
        Progress::Fulfilled(preimage) => {
            known.push((terms.lock, preimage));
            Reached::Fulfilled(preimage)
        }
        Progress::Failed(why) => Reached::Failed(why),
    };
    let is_live = reached == Reached::Live;
    let name = OfferName::read(&row.key);
    if payments::is_of_another(core, at, name, &terms, &reached) {
        core.forget(at, row.key);
        return None;
    }
    let mut is_general = false;
    let source = match name? {
        OfferName::Leg(id, number) => {
            let _is_new = core.swaps.legs.entry(id).or_default().insert((at, number));
            if is_unsigned {
                early::restored(core, at, id, number);
            }
            Source::Leg(id, number)
        }
        OfferName::Part(id, number) => {
            payments::part_of_unread(core, id, terms.lock, &reached);
            Source::Part(id, number)
        }
        OfferName::Forward(channel, contract) => {
            let origin = core.transfers.named(channel, contract);
            let entry = origin.and_then(|origin| core.transfers.incoming_mut(&origin));
            let is_kept_back = is_live && entry.as_ref().is_some_and(|entry| entry.is_staked);
            if let Some(origin) = origin.filter(|_| is_kept_back) {
                core.stakes.await_release(origin, at);
            }
            if let Some(entry) = entry
                // Of two channels that were asked, one after the other, the one that may still pay counts (I9).
                && (entry.onward.is_none() || is_live)
            {
                entry.onward = Some(at);
                is_general = !core.guard.brings_revenue(&(at.chain, entry.peer), &core.policy);
            }
            let origin = origin.or_else(|| staking::restored(core, at, (channel, contract), &row.offer, is_live));
            Source::Forward(origin)
        }
    };
    if is_live && let Some(link) = core.links.get_mut(&at) {
        guard::hold_room(link, terms.amount, is_general);
    }
    let is_claimed = matches!(reached, Reached::Fulfilled(_));
    core.transfers.insert_outgoing(at, row.key, Onward { source, terms, reached, is_claimed, is_general });
    Some(!is_live)
}

/// Decides about what came in and has not gone on, as far as that is possible without anybody there.
fn undecided(core: &mut Core, origin: Origin) {
    let Some(entry) = core.transfers.incoming(&origin) else { return };
    if entry.intent != Intent::Undecided || entry.onward.is_some() {
        return;
    }
    let lock = entry.terms.lock;
    let instruction = Instruction::from_bytes(&entry.instruction);
    let is_unread = |at: &At| core.links.is_unread(at);
    let next = match &instruction {
        Some(Instruction::Forward(forward) | Instruction::ForwardStaked(StakedForward { forward, .. })) => {
            Some(forward.next)
        }
        Some(Instruction::Deliver(_) | Instruction::Swap(_)) | None => None,
    };
    let onward = next.and_then(|next| core.links.to(origin.at.chain, next).map(|(at, _)| at).find(is_unread));
    // It may have gone on there, and may be paid: it is claimed once its pre-image is known, and goes back by its expiry alone (I4). Nor does anything go on now
    // by which this side may not be paid.
    if let Some(at) = onward.or(Some(origin.at).filter(is_unread)) {
        return gone_on(core, origin, at, lock, None);
    }
    // It may be a part of what this side was claiming, whose other parts have shown the pre-image.
    if let Some(Instruction::Deliver(sealed)) = &instruction
        && core.is_unread(RowName::Invoice(lock))
    {
        let shown = receive::preimage_in(core, &lock, sealed);
        return gone_on(core, origin, origin.at, lock, shown);
    }
    if next.is_some() {
        let _former = core.waiting.insert(origin, core.now);
        return;
    }
    if let Err(code) = offers::decide(core, origin) {
        core.fail(&origin, &RouteFailure::new(code));
    }
}

/// What came in may have been dealt with by what cannot be read. It is claimed at once where its pre-image is known: `shown` is one that it shows itself.
fn gone_on(core: &mut Core, origin: Origin, at: At, lock: HashLock, shown: Option<Preimage>) {
    if let Some(entry) = core.transfers.incoming_mut(&origin) {
        entry.onward = Some(at);
    }
    if let Some(preimage) = shown.or_else(|| core.transfers.lock(&lock)?.preimage) {
        core.claim(&origin, preimage);
    }
}

/// A pre-image pays whatever went on under its lock by channels whose rows cannot be read: those say nothing by themselves.
pub(super) fn pays_unread(core: &mut Core, lock: HashLock, preimage: Preimage) {
    if preimage.lock(lock.function, &Native) != lock {
        return;
    }
    for at in core.links.unread().collect::<Vec<_>>() {
        for key in core.transfers.live(at, lock) {
            if core.reach(at, &key, Reached::Fulfilled(preimage)) {
                resolve(core, at, key);
            }
        }
    }
}

/// Goes on with an own transfer that is over.
pub(super) fn resolve(core: &mut Core, at: At, key: IdempotencyKey) {
    let Some(onward) = core.transfers.outgoing(at, &key) else { return };
    let (source, reached) = (onward.source, onward.reached.clone());
    match (source, reached) {
        (_, Reached::Live) => {}
        (Source::Forward(origin), Reached::Fulfilled(preimage)) => forward::fulfilled(core, at, key, origin, preimage),
        (Source::Forward(origin), Reached::Failed(why)) => {
            // Another channel may carry it on by now.
            let carries =
                |origin: Origin| core.transfers.incoming(&origin).is_some_and(|entry| entry.onward == Some(at));
            match origin {
                Some(one) if !carries(one) => {
                    staking::failed(core, at, &one);
                    core.forget(at, key);
                }
                _ => forward::failed(core, at, key, origin, &why),
            }
        }
        (Source::Part(id, number), Reached::Fulfilled(preimage)) => {
            payments::fulfilled(core, at, key, id, number, preimage);
        }
        (Source::Part(id, number), Reached::Failed(why)) => payments::failed(core, at, key, id, number, &why),
        (Source::Leg(id, number), Reached::Fulfilled(_)) => legs::leg_paid(core, at, key, (id, number)),
        (Source::Leg(id, number), Reached::Failed(_)) => legs::leg_failed(core, at, Some(key), (id, number)),
    }
}

/// Decides about what has waited since the start: where its next one is there by now, or where it has waited for too long.
pub(super) fn look_again(core: &mut Core) {
    let _first = core.started.get_or_insert(core.now);
    staking::tick(core);
    for (origin, since) in core.waiting.clone() {
        // Not known before the first tick.
        let since = if since == 0 { core.now } else { since };
        match offers::decide(core, origin) {
            Ok(()) => drop(core.waiting.remove(&origin)),
            Err(FailureCode::PeerAway | FailureCode::Liquidity | FailureCode::ChainStalled)
                if core.now.saturating_sub(since) < core.policy.patience =>
            {
                let _former = core.waiting.insert(origin, since);
            }
            Err(code) => core.fail(&origin, &RouteFailure::new(code)),
        }
    }
    payments::look_again(core);
}
