//! Being paid: parts are gathered until they come to the total, and then all of them are claimed, held, or given back (D12).
//!
//! ```text
//!   Open --all parts, pre-image known--> Settled --last part ended--> (the row stays, as paid)
//!    |  '--all parts, user holds it----> Held --settle(pre-image)--> Settled
//!    |                                    '--cancel, or E - 2M------> Cancelled
//!    '--cancel------------------------------------------------------> Cancelled
//! ```
//!
//! What the parts are is in the row before any of them is claimed: after a crash exactly those are claimed, and a later one is refused.

use super::{
    forward::next_due,
    io::{Origin, RouterNotice},
    rows::{InvoiceRow, Receipt, RowName, row},
    state::{Core, Gathering},
};
use crate::instruction::{Delivery, FailureCode, RouteFailure};
use protocol::{
    Amount, BlockNumber,
    contracts::conditional::{HashLock, Preimage},
    crypto::Native,
    signing::Domain,
};
use std::collections::BTreeSet;

/// The most parts of one payment.
const MAX_PARTS: usize = 256;

/// A transfer is for this side.
pub(super) fn delivered(core: &mut Core, origin: Origin, sealed: &[u8]) -> Result<(), FailureCode> {
    let Some(terms) = core.transfers.incoming(&origin).map(|entry| entry.terms) else { return Ok(()) };
    let words = core.seal.open(sealed, &terms.lock).ok_or(FailureCode::UnknownOrWrong)?;
    let delivery = Delivery::from_bytes(&words).ok_or(FailureCode::UnknownOrWrong)?;
    accept(core, origin, terms.lock, terms.expiry, &delivery)?;
    gather(core, origin, terms.lock, terms.amount, delivery)
}

/// What opens a transfer to this side by what is sealed in it: that of a spontaneous payment.
pub(super) fn preimage_in(core: &Core, lock: &HashLock, sealed: &[u8]) -> Option<Preimage> {
    let delivery = Delivery::from_bytes(&core.seal.open(sealed, lock)?)?;
    delivery.preimage.filter(|preimage| preimage.lock(lock.function, &Native) == *lock)
}

/// Whether it is what was asked for.
fn accept(
    core: &Core,
    origin: Origin,
    lock: HashLock,
    expiry: BlockNumber,
    delivery: &Delivery,
) -> Result<(), FailureCode> {
    let wrong = FailureCode::UnknownOrWrong;
    let chain = origin.at.chain;
    let best = core.best(&chain);
    let least = core.policy.chain(&chain).margins.forward();
    // What cannot be read may be paid, and is paid once.
    if core.is_unread(RowName::Invoice(lock)) {
        return Err(wrong);
    }
    let Some(invoice) = core.invoices.get(&lock) else {
        let preimage = delivery.preimage.filter(|_| core.policy.takes_spontaneous).ok_or(wrong)?;
        let is_right = preimage.lock(lock.function, &Native) == lock && delivery.total > 0;
        let is_late_enough = expiry >= best.saturating_add(least);
        let has_room = core.invoices.len() < usize::try_from(core.policy.max_kept).unwrap_or(usize::MAX);
        return match (is_right, is_late_enough, has_room) {
            (true, true, true) => Ok(()),
            (true, false, _) => Err(FailureCode::Expiry),
            (true, true, false) => Err(FailureCode::Limits),
            (false, ..) => Err(wrong),
        };
    };
    let is_known = invoice.chain == chain && invoice.secret == delivery.secret;
    let parts_known = match &invoice.state {
        Receipt::Open => false,
        Receipt::Held { parts, .. } => parts.contains(&origin),
        // An invoice is paid once.
        Receipt::Settled { .. } | Receipt::Cancelled => return Err(wrong),
    };
    let fits = invoice.amount.is_none_or(|asked| (asked..=asked.saturating_mul(2)).contains(&delivery.total))
        && delivery.total > 0;
    if parts_known {
        return Ok(());
    }
    if !is_known || !fits || invoice.state != Receipt::Open || core.seconds() > invoice.expires_at {
        return Err(wrong);
    }
    let is_late_enough = expiry >= best.saturating_add(least.max(invoice.least_expiry));
    is_late_enough.then_some(()).ok_or(FailureCode::Expiry)
}

/// Puts a part to the others, and goes on once they come to the total.
fn gather(
    core: &mut Core,
    origin: Origin,
    lock: HashLock,
    amount: Amount,
    delivery: Delivery,
) -> Result<(), FailureCode> {
    let Delivery { secret, total, preimage, note } = delivery;
    let now = core.now;
    let fresh = || Gathering { since: now, secret, total, amount: 0, preimage, note, parts: BTreeSet::new() };
    let set = core.gathering.entry(lock).or_insert_with(fresh);
    let is_same = set.total == total && set.secret == secret && set.preimage == preimage;
    // Coins of one chain do not make up for those of another.
    let is_same = is_same && set.parts.first().is_none_or(|first| first.at.chain == origin.at.chain);
    let sum = set.amount.checked_add(amount).filter(|_| is_same && set.parts.len() < MAX_PARTS);
    // More than twice the total is not a payer's mistake.
    let sum = sum.filter(|sum| *sum <= total.saturating_mul(2)).ok_or(FailureCode::UnknownOrWrong)?;
    set.amount = sum;
    let _is_new = set.parts.insert(origin);
    if sum >= total {
        complete(core, lock);
    }
    Ok(())
}

/// All parts are there.
fn complete(core: &mut Core, lock: HashLock) {
    let Some(set) = core.gathering.get(&lock) else { return };
    let (amount, parts) = (set.amount, set.parts.iter().copied().collect::<Vec<_>>());
    let spontaneous = set.preimage.map(|preimage| InvoiceRow {
        chain: parts.first().map_or_else(default_chain, |origin| origin.at.chain),
        secret: set.secret,
        amount: Some(set.total),
        least_expiry: 0,
        expires_at: u64::MAX,
        preimage: Some(preimage),
        is_spontaneous: true,
        state: Receipt::Open,
    });
    if let (None, Some(row)) = (core.invoices.get(&lock), spontaneous) {
        let _new = core.invoices.insert(lock, row);
    }
    match core.invoices.get(&lock).map(|invoice| invoice.preimage) {
        Some(Some(preimage)) => settle(core, lock, preimage, amount, parts),
        Some(None) => hold(core, lock, amount, parts),
        None => {}
    }
}

const fn default_chain() -> Domain {
    Domain { genesis: protocol::Hash([0; 32]), arbiter: protocol::AccountId([0; 32]) }
}

/// Writes down what is claimed, and claims it.
fn settle(core: &mut Core, lock: HashLock, preimage: Preimage, amount: Amount, parts: Vec<Origin>) {
    let Some(invoice) = core.invoices.get_mut(&lock) else { return };
    invoice.state = Receipt::Settled { preimage, amount, parts: parts.clone() };
    let chain = invoice.chain;
    write(core, chain, lock);
    let note = core.gathering.remove(&lock).map(|set| set.note).unwrap_or_default();
    core.notify(RouterNotice::Received { lock, amount, note });
    parts.iter().for_each(|origin| core.claim(origin, preimage));
}

fn hold(core: &mut Core, lock: HashLock, amount: Amount, parts: Vec<Origin>) {
    let Some(invoice) = core.invoices.get_mut(&lock) else { return };
    let chain = invoice.chain;
    let was_told = matches!(invoice.state, Receipt::Held { .. });
    invoice.state = Receipt::Held { amount, parts: parts.clone() };
    if let Some(due) = hold_until(core, &parts) {
        let _is_new = core.holds.entry(chain).or_default().insert((due, lock));
    }
    if !was_told {
        write(core, chain, lock);
        core.notify(RouterNotice::Held { lock, amount });
    }
}

/// The block in which what is held is given back: its least expiry less twice the margin.
fn hold_until(core: &Core, parts: &[Origin]) -> Option<BlockNumber> {
    let expiry = parts.iter().filter_map(|origin| Some(core.transfers.incoming(origin)?.terms.expiry)).min()?;
    let chain = parts.first()?.at.chain;
    Some(expiry.saturating_sub(core.policy.chain(&chain).margins.forward().saturating_mul(2)))
}

fn write(core: &mut Core, chain: Domain, lock: HashLock) {
    let value = core.invoices.get(&lock).map(row);
    core.write(chain, RowName::Invoice(lock), value);
}

/// The user settles what it holds. False where it is not held, or the pre-image opens something else, or it is too late.
pub(super) fn settle_held(core: &mut Core, lock: HashLock, preimage: Preimage) -> bool {
    let Some(InvoiceRow { chain, state: Receipt::Held { amount, parts }, .. }) = core.invoices.get(&lock) else {
        return false;
    };
    let (chain, amount, parts) = (*chain, *amount, parts.clone());
    let is_late = hold_until(core, &parts).is_none_or(|due| core.best(&chain) >= due);
    if is_late || preimage.lock(lock.function, &Native) != lock {
        return false;
    }
    settle(core, lock, preimage, amount, parts);
    true
}

/// Takes no payment of it any more, and gives back what there is. False where it is being paid, or there is none.
pub(super) fn cancel(core: &mut Core, lock: HashLock, code: FailureCode) -> bool {
    let Some(invoice) = core.invoices.get_mut(&lock) else { return false };
    let was_held = match &invoice.state {
        Receipt::Open => false,
        Receipt::Held { .. } => true,
        Receipt::Settled { .. } => return false,
        Receipt::Cancelled => return true,
    };
    invoice.state = Receipt::Cancelled;
    let chain = invoice.chain;
    write(core, chain, lock);
    if was_held {
        core.notify(RouterNotice::HoldCancelled { lock });
    }
    give_back(core, lock, code);
    true
}

fn give_back(core: &mut Core, lock: HashLock, code: FailureCode) {
    let Some(set) = core.gathering.remove(&lock) else { return };
    set.parts.iter().for_each(|origin| core.fail(origin, &RouteFailure::new(code)));
}

/// A part has ended: of a payment that is being claimed one less is open; of one that was not complete it counts no more.
pub(super) fn ended(core: &mut Core, origin: Origin, lock: &HashLock, amount: Amount) {
    if let Some(set) = core.gathering.get_mut(lock)
        && set.parts.remove(&origin)
    {
        set.amount = set.amount.saturating_sub(amount);
        if set.parts.is_empty() {
            let _empty = core.gathering.remove(lock);
        }
    }
    let Some(invoice) = core.invoices.get_mut(lock) else { return };
    let chain = invoice.chain;
    let InvoiceRow { state: Receipt::Settled { parts, .. }, is_spontaneous, .. } = invoice else { return };
    let before = parts.len();
    parts.retain(|one| *one != origin);
    if parts.len() == before {
        return;
    }
    if parts.is_empty() && *is_spontaneous {
        let _over = core.invoices.remove(lock);
    }
    write(core, chain, *lock);
}

/// Gives back what has waited too long for missing parts. In a start's first tick all of them are new.
pub(super) fn tick(core: &mut Core) {
    let (now, timeout) = (core.now, core.policy.parts_timeout);
    let is_held =
        |lock: &HashLock| core.invoices.get(lock).is_some_and(|invoice| matches!(invoice.state, Receipt::Held { .. }));
    let mut late = Vec::new();
    for (lock, set) in &core.gathering {
        if !is_held(lock) && set.since > 0 && now.saturating_sub(set.since) >= timeout {
            late.push(*lock);
        }
    }
    core.gathering.values_mut().filter(|set| set.since == 0).for_each(|set| set.since = now);
    late.into_iter().for_each(|lock| give_back(core, lock, FailureCode::HeldTooLong));
}

/// Gives back what was held up to its last block.
pub(super) fn holds_due(core: &mut Core, chain: Domain) {
    let best = core.best(&chain);
    while let Some(lock) = next_due(core.holds.get_mut(&chain), best) {
        let is_held = |invoice: &InvoiceRow| matches!(invoice.state, Receipt::Held { .. });
        if core.invoices.get(&lock).is_some_and(is_held) {
            let _was_held = cancel(core, lock, FailureCode::HeldTooLong);
        }
    }
}

/// After a start: what was being claimed is claimed on, and what was held is given back in its block, whether or not all of it is still there.
pub(super) fn restored(core: &mut Core, chain: Domain) {
    let (mut claims, mut held) = (Vec::new(), Vec::new());
    for (lock, invoice) in core.invoices.iter().filter(|(_, invoice)| invoice.chain == chain) {
        match &invoice.state {
            Receipt::Settled { preimage, parts, .. } => {
                claims.extend(parts.iter().map(|origin| (*origin, *preimage)));
            }
            Receipt::Held { parts, .. } => held.push((invoice.chain, *lock, hold_until(core, parts))),
            Receipt::Open | Receipt::Cancelled => {}
        }
    }
    for (chain, lock, due) in held {
        // Where nothing of it is there any more, at once.
        let _is_new = core.holds.entry(chain).or_default().insert((due.unwrap_or(0), lock));
    }
    for (origin, preimage) in claims {
        core.claim(&origin, preimage);
    }
}
