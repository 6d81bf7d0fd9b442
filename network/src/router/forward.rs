//! Transfers that go on: from the one who offers to the next one, and back with a pre-image or a failure (R8.4g).
//!
//! ```text
//!   Offered --> decide --> Offer(next)      --> Fulfilled --> Claim where it came in --> Ended(Claimed) --> Forget
//!                  '-> Fail(code)           '-> Failed ----> Fail where it came in ---> Ended(Failed) ---> Forget
//! ```
//!
//! A transfer fails where it came in only if nothing goes on because of it: it was never signed, or the channel says that it is irrevocably
//! absent (I4). A channel that closes, lags or is away says nothing, and nothing is done.

use super::{
    guard,
    io::{At, CommandRefusal, Origin, RouterNotice},
    rows::PeerRow,
    state::{Beside, Core},
    tables::{Entry, Reached, Source, Transfers},
};
use crate::{
    instruction::{FailureCode, Forward, RouteFailure},
    keys::OfferName,
};
use channel::{
    IdempotencyKey,
    transfer::{Failure, IncomingEnd, LockedCalls, Offer, TransferCommand, TransferTerms},
};
use protocol::{BlockNumber, contracts::conditional::Preimage, signing::Domain};
use std::collections::BTreeSet;

/// How much later what comes in expires than what goes on, whatever a policy says (A5).
pub(super) const LEAST_DELTA: BlockNumber = 2;

/// Carries a transfer on that was counted and may stay.
pub(super) fn forward(core: &mut Core, origin: Origin, forward: Forward) -> Result<(), FailureCode> {
    let Some(entry) = core.transfers.incoming(&origin) else { return Ok(()) };
    check(core, origin.at.chain, &entry.terms, &forward)?;
    let peer = (origin.at.chain, entry.peer);
    let is_general = !core.guard.brings_revenue(&peer, &core.policy);
    let to = core.links.to(origin.at.chain, forward.next);
    let at = guard::choose(to, forward.amount, is_general, &entry.refused)?;
    within_lock(core, &at, forward.expiry)?;
    let terms = TransferTerms { amount: forward.amount, lock: entry.terms.lock, expiry: forward.expiry };
    let offer = Offer { terms, premium: 0, calls: LockedCalls::NONE, instruction: forward.inner };
    if let Some(entry) = core.transfers.incoming_mut(&origin) {
        entry.onward = Some(at);
    }
    let _waited = core.waiting.remove(&origin);
    let beside = Beside::Fee(0);
    core.offer(at, Transfers::onward_key(&origin), Source::Forward(Some(origin)), (offer, beside), is_general);
    Ok(())
}

/// Whether the next one takes a transfer that is locked for so long.
pub(super) fn within_lock(core: &Core, at: &At, expiry: BlockNumber) -> Result<(), FailureCode> {
    let link = core.links.get(at).ok_or(FailureCode::PeerAway)?;
    let lasts = expiry.saturating_sub(core.best(&at.chain));
    (lasts <= link.limits.max_lock).then_some(()).ok_or(FailureCode::Expiry)
}

/// Whether a transfer that comes in at these terms may go on at all, through whichever channel.
pub(super) fn check(core: &Core, chain: Domain, came: &TransferTerms, forward: &Forward) -> Result<(), FailureCode> {
    if !core.policy.is_hub || forward.chain.is_some_and(|other| other != chain) {
        return Err(FailureCode::OtherRegistry);
    }
    if core.transfers.lock(&came.lock).is_some_and(|used| used.preimage.is_some()) {
        return Err(FailureCode::HashUsed);
    }
    let needed = core.policy.fee.with(forward.amount).filter(|_| forward.amount > 0);
    if needed.is_none_or(|needed| came.amount < needed) {
        return Err(FailureCode::Fee);
    }
    let heads = core.heads.get(&chain).copied().unwrap_or_default();
    let bounds = core.policy.chain(&chain);
    if heads.best.saturating_sub(heads.finalised) > bounds.max_lag {
        return Err(FailureCode::ChainStalled);
    }
    let delta = core.policy.delta.max(LEAST_DELTA);
    let is_far_enough = forward.expiry.checked_add(delta).is_some_and(|least| came.expiry >= least);
    // The next channel offers nothing that expires sooner (R8.3d).
    let is_late_enough = forward.expiry > heads.best.saturating_add(bounds.margins.forward());
    (is_far_enough && is_late_enough).then_some(()).ok_or(FailureCode::Expiry)
}

/// What goes on is paid for: so is what came in.
pub(super) fn fulfilled(core: &mut Core, at: At, key: IdempotencyKey, origin: Option<Origin>, preimage: Preimage) {
    match origin {
        Some(origin) => core.claim(&origin, preimage),
        None if is_of_unread(core, &key) => register_for_unknown(core, at, &key, preimage),
        // What came in has ended before.
        None => core.forget(at, key),
    }
}

/// Whether what came in may be in a channel whose rows cannot be read.
pub(super) fn is_of_unread(core: &Core, key: &IdempotencyKey) -> bool {
    matches!(OfferName::read(key), Some(OfferName::Forward(channel, _)) if core.links.unread().any(|at| at.channel == channel))
}

/// What came in cannot be read, but expires later than what went on: with its pre-image in the registry before that, it is claimed whenever its channel can be
/// read again. Until then what went on is remembered (I5).
fn register_for_unknown(core: &mut Core, at: At, key: &IdempotencyKey, preimage: Preimage) {
    let Some(onward) = core.transfers.outgoing(at, key) else { return };
    let terms = TransferTerms { expiry: onward.terms.expiry.saturating_add(LEAST_DELTA), ..onward.terms };
    core.register(at.chain, terms, preimage, None);
}

/// What went on is irrevocably absent: what came in is given back, unless a pre-image is known.
pub(super) fn failed(core: &mut Core, at: At, key: IdempotencyKey, origin: Option<Origin>, why: &Failure) {
    match origin {
        Some(origin) => core.fail(&origin, &passed_on(why)),
        // Whatever came in expires: once its channel can be read again, it is given back.
        None if is_of_unread(core, &key) => {}
        None => core.forget(at, key),
    }
}

/// What a failure is called where the transfer came from.
pub(super) fn passed_on(why: &Failure) -> RouteFailure {
    match why {
        Failure::ByPayee(reason) => RouteFailure::from_reason(reason),
        Failure::Refused(_) => RouteFailure::new(FailureCode::Limits),
        Failure::NotMade(_) => RouteFailure::new(FailureCode::Liquidity),
        Failure::Expired => RouteFailure::new(FailureCode::HeldTooLong),
        // `Failure` may grow: whatever it is, the next one cannot be reached.
        _ => RouteFailure::new(FailureCode::PeerAway),
    }
}

/// What came in has ended. What went on because of it is forgotten, once it is over as well (I5).
pub(super) fn ended(core: &mut Core, origin: Origin, end: IncomingEnd) {
    let Some(entry) = core.dismiss(&origin) else { return };
    let Some(at) = entry.onward else { return };
    let key = Transfers::onward_key(&origin);
    let Some(onward) = core.transfers.outgoing_mut(at, &key) else { return };
    onward.source = Source::Forward(None);
    let (paid, is_live) = (onward.terms.amount, onward.reached == Reached::Live);
    if end == IncomingEnd::Claimed {
        earn(core, &origin, &entry, paid);
    }
    if !is_live {
        core.forget(at, key);
    }
}

fn earn(core: &mut Core, origin: &Origin, entry: &Entry, paid: u128) {
    let fee = entry.terms.amount.saturating_sub(paid);
    let row: &mut PeerRow = core.guard.row_mut((origin.at.chain, entry.peer));
    row.earned = row.earned.saturating_add(fee);
    if fee > 0 {
        core.write_peer(origin.at.chain, entry.peer);
    }
    core.notify(RouterNotice::Forwarded { origin: *origin, fee });
}

/// A channel refused at once to carry a transfer on: another one may, else it is given back (never signed, I4).
pub(super) fn refused(core: &mut Core, at: At, origin: Origin, why: CommandRefusal, offer: &Offer) {
    let Some(entry) = core.transfers.incoming_mut(&origin) else { return };
    if entry.is_staked {
        // Nothing goes on without the premium that is staked for it.
        return core.fail(&origin, &RouteFailure::new(refusal(why)));
    }
    entry.onward = None;
    entry.refused.push(at);
    let next = core.links.get(&at).map(|link| link.peer);
    let again = next.map(|next| Forward {
        next,
        chain: None,
        amount: offer.terms.amount,
        expiry: offer.terms.expiry,
        inner: offer.instruction.clone(),
    });
    let tried = again.is_some_and(|again| forward(core, origin, again).is_ok());
    if !tried {
        core.fail(&origin, &RouteFailure::new(refusal(why)));
    }
}

/// What a channel's refusal is called where the transfer came from.
pub(super) const fn refusal(why: CommandRefusal) -> FailureCode {
    match why {
        CommandRefusal::NotOpen => FailureCode::PeerAway,
        CommandRefusal::Coins | CommandRefusal::Other => FailureCode::Liquidity,
        CommandRefusal::Limits => FailureCode::Limits,
        CommandRefusal::Expiry => FailureCode::Expiry,
    }
}

/// A channel cannot claim: the pre-image is shown in the registry instead (A5, I11), if not being paid would cost anything.
pub(super) fn claim_refused(core: &mut Core, origin: Origin, preimage: Preimage) {
    let Some(entry) = core.transfers.incoming(&origin).filter(|_| core.is_owed(&origin)) else { return };
    let (terms, peer) = (entry.terms, entry.peer);
    core.register(origin.at.chain, terms, preimage, Some(peer));
}

/// The next thing of a list whose block has come, taken out of it.
pub(super) fn next_due<T: Copy + Ord>(all: Option<&mut BTreeSet<(BlockNumber, T)>>, best: BlockNumber) -> Option<T> {
    let all = all?;
    let next = all.first().copied().filter(|(block, _)| *block <= best)?;
    let _was_there = all.remove(&next);
    Some(next.1)
}

/// A command about a transfer that came in, read back.
pub(super) fn origin_of(at: At, command: &TransferCommand) -> Option<Origin> {
    match command {
        TransferCommand::Claim { contract, .. } | TransferCommand::Fail { contract, .. } => {
            Some(Origin { at, contract: *contract })
        }
        TransferCommand::Offer { .. }
        | TransferCommand::OfferStaked { .. }
        | TransferCommand::Release { .. }
        | TransferCommand::TakeBack { .. }
        | TransferCommand::AnswerPledge { .. }
        | TransferCommand::Forget { .. } => None,
    }
}
