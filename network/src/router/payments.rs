//! Paying: each payment once by its id, however often it is asked for and whatever crashes (D12).
//!
//! The row is in the commit before the first part leaves, with every part that is under way. A part is made anew only once it is irrevocably
//! absent, never because time passes; a part that a crash kept from being signed is offered again by the same key.

use super::{
    forward,
    io::{At, CommandRefusal, RouterNotice},
    parts,
    rows::{Order, Part, PaymentRow, RowName, Stage},
    state::{Beside, Core, Paying},
    tables::{Onward, Reached, Source},
};
use crate::{
    instruction::FailureCode,
    keys::{OfferName, PaymentId},
};
use channel::{
    IdempotencyKey,
    transfer::{Failure, TransferTerms},
};
use protocol::{
    contracts::conditional::{HashLock, Preimage},
    signing::Domain,
};
use scale::{Decode, Encode};

/// How far a payment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum PaymentState {
    /// Parts of it are under way.
    #[codec(index = 0)]
    Pending,
    /// It is made, and this proves it.
    #[codec(index = 1)]
    Paid(Preimage),
    /// It came to nothing: no coins have moved, but for what places of its parts have cost (R8.4i).
    #[codec(index = 2)]
    Failed(FailureCode),
}

/// Why a payment is not begun; nothing of it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PayError {
    /// The invoice cannot be paid here and now.
    #[error(transparent)]
    Invoice(#[from] crate::invoice::InvoiceError),
    /// The id names another payment.
    #[error("the id names another payment")]
    OtherPayment,
    /// Another payment is on its way to the same lock, or has reached it.
    #[error("another payment has the same lock")]
    SameLock,
    /// The invoice asks for any amount, so one has to be given; or the one given is below what is asked for, or above twice that.
    #[error("the amount does not fit the invoice")]
    Amount,
    /// No channels can carry it.
    #[error("no channels can carry it: {0}")]
    NoWay(FailureCode),
    /// The fees are above what was allowed.
    #[error("the fees come to {needed}, {allowed} are allowed")]
    Fees {
        /// What they come to.
        needed: u128,
        /// What was allowed.
        allowed: u128,
    },
    /// As many payments as fit are kept: some have to be forgotten.
    #[error("too many payments are kept")]
    TooMany,
    /// What is stored of the payment with this id cannot be read: it may be under way, or made.
    #[error("what is stored of the payment cannot be read: it may be under way, or made")]
    Unreadable,
    /// This side is the payee; or the payee's key is none, or the note is too long.
    #[error("the payee cannot be paid")]
    Payee,
}

impl From<Stage> for PaymentState {
    fn from(stage: Stage) -> Self {
        match stage {
            Stage::Pending | Stage::GivingUp(_) => Self::Pending,
            Stage::Paid(preimage) => Self::Paid(preimage),
            Stage::Failed(code) => Self::Failed(code),
        }
    }
}

/// Begins a payment, or says how far it is.
pub(super) fn pay(core: &mut Core, id: PaymentId, order: Order, seed: [u8; 32]) -> Result<PaymentState, PayError> {
    if let Some(known) = core.payments.get(&id) {
        let is_same = known.row.order.is_same(&order);
        return is_same.then(|| known.row.state.into()).ok_or(PayError::OtherPayment);
    }
    if core.is_unread(RowName::Payment(id)) {
        return Err(PayError::Unreadable);
    }
    if core.paying.contains_key(&order.lock) {
        return Err(PayError::SameLock);
    }
    if order.payee == core.identity.public() {
        return Err(PayError::Payee);
    }
    if core.payments.len() >= usize::try_from(core.policy.max_kept).unwrap_or(usize::MAX) {
        return Err(PayError::TooMany);
    }
    if order.total == 0 {
        return Err(PayError::Amount);
    }
    let planned = parts::plan(core, &order, order.total, order.max_fee, &[], core.policy.max_parts);
    let planned = planned.map_err(PayError::NoWay)?;
    let needed = planned.iter().fold(0_u128, |sum, part| sum.saturating_add(part.cost()));
    if needed > order.max_fee {
        return Err(PayError::Fees { needed, allowed: order.max_fee });
    }
    let parts: Vec<Part> = (0..).zip(planned).map(|(number, part)| Part { number, ..part }).collect();
    // Sealing costs more than anything else here: it is done once.
    let offers: Option<Vec<_>> = parts.iter().map(|part| parts::offer(&order, &seed, part)).collect();
    let offers = offers.ok_or(PayError::Payee)?;
    let _former = core.paying.insert(order.lock, id);
    let made = u32::try_from(parts.len()).unwrap_or(u32::MAX);
    let row = PaymentRow { order, seed, parts: parts.clone(), made, state: Stage::Pending, lost: 0 };
    let _former = core.payments.insert(id, Paying { row, avoid: Vec::new() });
    write(core, id);
    for (part, offer) in parts.into_iter().zip(offers) {
        let (name, source) = (OfferName::Part(id, part.number), Source::Part(id, part.number));
        core.offer(part.at, name.key(), source, (offer, Beside::Fee(part.place)), false);
    }
    Ok(PaymentState::Pending)
}

impl Order {
    /// Whether it is the same payment; the secrets of a spontaneous one are drawn anew each time it is asked for.
    fn is_same(&self, other: &Self) -> bool {
        let is_free = self.preimage.is_some() && other.preimage.is_some();
        let paid =
            (self.chain, self.payee, self.total, &self.note) == (other.chain, other.payee, other.total, &other.note);
        paid && (is_free || self.lock == other.lock)
    }
}

/// Writes parts that take the place of another one into the row, and offers them.
fn make(core: &mut Core, id: PaymentId, planned: Vec<Part>) {
    let Some(paying) = core.payments.get_mut(&id) else { return };
    let mut numbers = Vec::new();
    for mut part in planned {
        part.number = paying.row.made;
        paying.row.made = paying.row.made.saturating_add(1);
        numbers.push(part.number);
        paying.row.parts.push(part);
    }
    write(core, id);
    numbers.into_iter().for_each(|number| offer(core, id, number));
}

/// Offers a part of the row.
fn offer(core: &mut Core, id: PaymentId, number: u32) {
    let Some(paying) = core.payments.get(&id) else { return };
    let Some(part) = paying.row.parts.iter().find(|part| part.number == number).copied() else { return };
    let Some(offer) = parts::offer(&paying.row.order, &paying.row.seed, &part) else { return };
    core.offer(
        part.at,
        OfferName::Part(id, number).key(),
        Source::Part(id, number),
        (offer, Beside::Fee(part.place)),
        false,
    );
}

fn write(core: &mut Core, id: PaymentId) {
    let Some(paying) = core.payments.get(&id) else { return };
    let (chain, value) = (paying.row.order.chain, paying.row.to_bytes());
    core.write(chain, RowName::Payment(id), Some(value));
}

/// A part is paid: so is the payment. The other parts follow, since whoever showed the pre-image wants them.
pub(super) fn fulfilled(core: &mut Core, at: At, key: IdempotencyKey, id: PaymentId, number: u32, preimage: Preimage) {
    if let Some(paying) = core.payments.get_mut(&id) {
        let before = paying.row.clone();
        paying.row.parts.retain(|part| (part.number, part.at) != (number, at));
        let is_news = !matches!(paying.row.state, Stage::Paid(_));
        paying.row.state = Stage::Paid(preimage);
        if paying.row != before {
            write(core, id);
        }
        if is_news {
            core.notify(RouterNotice::Paid { id, preimage });
        }
    }
    forget_part(core, at, key, id);
}

/// A part is irrevocably absent: another one takes its place, or the payment comes to nothing.
pub(super) fn failed(core: &mut Core, at: At, key: IdempotencyKey, id: PaymentId, number: u32, why: &Failure) {
    lost(core, at, (id, number), forward::passed_on(why).code, has_cost(why));
    forget_part(core, at, key, id);
}

/// A part was never signed.
pub(super) fn refused(core: &mut Core, at: At, id: PaymentId, number: u32, why: CommandRefusal) {
    lost(core, at, (id, number), forward::refusal(why), false);
}

/// Whether a part that came to nothing was ever agreed, and with it what is paid for its place.
const fn has_cost(why: &Failure) -> bool {
    let was_never_made = matches!(
        why,
        Failure::Refused(_) | Failure::NotMade(_) | Failure::Dropped | Failure::TooLate | Failure::PeerAway
    );
    !was_never_made
}

/// A part came to nothing. `has_cost`: what its place costs has moved.
fn lost(core: &mut Core, at: At, (id, number): (PaymentId, u32), code: FailureCode, has_cost: bool) {
    let _unsent = core.unsent.remove(&(id, number));
    let Some(paying) = core.payments.get_mut(&id) else { return };
    let Some(place) = paying.row.parts.iter().position(|part| part.number == number) else { return };
    let part = paying.row.parts.swap_remove(place);
    if has_cost {
        paying.row.lost = paying.row.lost.saturating_add(part.place);
    }
    if !paying.avoid.contains(&at) {
        paying.avoid.push(at);
    }
    if paying.row.state == Stage::Pending {
        match replacement(core, id, &part, code) {
            Ok(planned) => return make(core, id, planned),
            Err(code) => give_up(core, id, code),
        }
    }
    close(core, id);
    write(core, id);
}

fn give_up(core: &mut Core, id: PaymentId, code: FailureCode) {
    if let Some(paying) = core.payments.get_mut(&id) {
        paying.row.state = Stage::GivingUp(code);
    }
}

/// A payment that is given up has failed once no part of it is under way.
fn close(core: &mut Core, id: PaymentId) {
    let Some(paying) = core.payments.get_mut(&id) else { return };
    if let Stage::GivingUp(code) = paying.row.state
        && paying.row.parts.is_empty()
    {
        paying.row.state = Stage::Failed(code);
        let lock = paying.row.order.lock;
        let _free = core.paying.remove(&lock);
        core.notify(RouterNotice::PaymentFailed { id, code });
    }
}

/// What takes the place of a part that failed for this reason; the reason that counts where nothing does.
fn replacement(core: &Core, id: PaymentId, part: &Part, code: FailureCode) -> Result<Vec<Part>, FailureCode> {
    let Some(Paying { row, avoid }) = core.payments.get(&id) else { return Err(code) };
    let is_final = matches!(code, FailureCode::UnknownOrWrong | FailureCode::HashUsed | FailureCode::HeldTooLong);
    let left = core.policy.max_attempts.saturating_sub(row.made);
    if is_final || left == 0 {
        return Err(code);
    }
    let room = core.policy.max_parts.saturating_sub(u32::try_from(row.parts.len()).unwrap_or(u32::MAX)).min(left);
    let budget = row.order.max_fee.saturating_sub(row.fees_with(&[]));
    let planned = parts::plan(core, &row.order, part.amount, budget, avoid, room).map_err(|_none| code)?;
    (row.fees_with(&planned) <= row.order.max_fee).then_some(planned).ok_or(FailureCode::Fee)
}

/// After a start: parts that no channel has were never signed, where all rows of their channels can be read.
pub(super) fn restored(core: &mut Core, chain: Domain) {
    let now = core.now;
    let (mut unsent, mut unread) = (Vec::new(), Vec::new());
    for (id, paying) in core.payments.iter().filter(|(_, paying)| paying.row.order.chain == chain) {
        for part in &paying.row.parts {
            let key = OfferName::Part(*id, part.number).key();
            if core.transfers.outgoing(part.at, &key).is_some() {
                continue;
            }
            if core.links.is_unread(&part.at) {
                let terms = TransferTerms { amount: part.sent, lock: paying.row.order.lock, expiry: part.sent_expiry };
                unread.push((part.at, key, Source::Part(*id, part.number), terms));
            } else {
                unsent.push((*id, part.number));
            }
        }
    }
    core.unsent.extend(unsent.into_iter().map(|which| (which, now)));
    // What cannot be read may have been signed, and may be paid.
    for (at, key, source, terms) in unread {
        let (reached, is_claimed, is_general) = (Reached::Live, false, false);
        core.transfers.insert_outgoing(at, key, Onward { source, terms, reached, is_claimed, is_general });
    }
}

/// Offers parts that were not signed before the start, once their channels are there; waits no longer than a policy says.
pub(super) fn look_again(core: &mut Core) {
    for ((id, number), since) in core.unsent.clone() {
        let since = if since == 0 { core.now } else { since };
        let _former = core.unsent.insert((id, number), since);
        let paying = core.payments.get(&id);
        let part = paying.and_then(|paying| paying.row.parts.iter().find(|part| part.number == number)).copied();
        let Some(part) = part else {
            let _gone = core.unsent.remove(&(id, number));
            continue;
        };
        let is_wanted = paying.is_some_and(|paying| paying.row.state == Stage::Pending);
        let best = core.best(&part.at.chain);
        let margin = core.policy.chain(&part.at.chain).margins.forward();
        let is_late = part.expiry < best.saturating_add(margin);
        let leaves = part.sent.saturating_add(part.place);
        let fits = core.links.get(&part.at).is_some_and(|link| link.is_up && link.spendable >= leaves);
        if !is_wanted || is_late || core.now.saturating_sub(since) >= core.policy.patience {
            lost(core, part.at, (id, number), FailureCode::PeerAway, false);
        } else if fits {
            let _sent = core.unsent.remove(&(id, number));
            offer(core, id, number);
        }
    }
}

/// Whether an own transfer that is over says nothing of the payment whose id it has: it was a part of an earlier one by that id, which is forgotten, or its place
/// was taken by another part. Its row may wait for its coins long after that.
pub(super) fn is_of_another(
    core: &Core,
    at: At,
    name: Option<OfferName>,
    terms: &TransferTerms,
    reached: &Reached,
) -> bool {
    let Some(OfferName::Part(id, number)) = name else { return false };
    let Some(Paying { row, .. }) = core.payments.get(&id) else { return false };
    let has_its_lock = row.order.lock == terms.lock;
    match reached {
        Reached::Live => false,
        // What opens the payment's lock proves it, whichever part it came by.
        Reached::Fulfilled(_) => !has_its_lock,
        Reached::Failed(_) => !has_its_lock || !row.parts.iter().any(|part| (part.number, part.at) == (number, at)),
    }
}

/// An own transfer is a part of a payment whose row cannot be read: no other payment is made to its lock, unless it has failed.
pub(super) fn part_of_unread(core: &mut Core, id: PaymentId, lock: HashLock, reached: &Reached) {
    if core.is_unread(RowName::Payment(id)) && !matches!(reached, Reached::Failed(_)) {
        let _known = core.paying.entry(lock).or_insert(id);
    }
}

/// A part has ended: its row goes, but where that of its payment cannot be read. Once that can be read it would tell of a part that was never offered.
fn forget_part(core: &mut Core, at: At, key: IdempotencyKey, id: PaymentId) {
    if !core.is_unread(RowName::Payment(id)) {
        core.forget(at, key);
    }
}

/// Forgets a payment that is over. False where it is under way, or there is none.
pub(super) fn forget(core: &mut Core, id: PaymentId) -> bool {
    let is_over =
        |paying: &Paying| paying.row.parts.is_empty() && matches!(paying.row.state, Stage::Paid(_) | Stage::Failed(_));
    let Some(paying) = core.payments.get(&id).filter(|paying| is_over(paying)) else { return false };
    let (chain, lock) = (paying.row.order.chain, paying.row.order.lock);
    if core.paying.get(&lock) == Some(&id) {
        let _free = core.paying.remove(&lock);
    }
    let _forgotten = core.payments.remove(&id);
    core.write(chain, RowName::Payment(id), None);
    true
}
