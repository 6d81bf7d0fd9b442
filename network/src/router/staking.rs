//! Premiums that a hub carries on (R8.5h): before it pledges one itself it has the next one's pledge, whose round is kept back until what it carries on is agreed.
//!
//! ```text
//!   payer (responder)                       hub                                  payee (initiator)
//!     | -- pledge_created(leg', until') ---> | put off                              |
//!     |                                      | -- pledge_created(leg, until) -----> |
//!     |                                      | <- pledge_signed ------------------- |  kept back
//!     | <- pledge_signed ------------------- |                                      |
//!     | -- update(leg') -------------------> | released                             |
//!     | <- update_ack ---------------------- | -- update(leg) --------------------> |
//! ```
//!
//! The hub's own pledge ends sooner than the one that it holds, by what it takes to learn from the chain that its own was shown, and to show the other one
//! ([`delta`]). So whatever either end keeps back, the hub has both premiums staked, or none.

use super::{
    forward,
    guard::{self, Arrival},
    io::{At, Origin},
    pledge_deltas::delta,
    stakes::{PledgeStage, Reservation},
    state::{Beside, Core},
    swaps::{early, legs},
    tables::{Source, Transfers},
};
use crate::{
    instruction::{FailureCode, Instruction, StakedForward},
    keys::OfferName,
};
use channel::{
    ChannelRef, IdempotencyKey,
    transfer::{LockedCalls, Offer, Stake, TransferCommand, TransferTerms},
};
use protocol::{BlockNumber, contracts::ContractId, signing::Domain};

/// Whether this side stakes the premium of an offer beside it.
pub(super) fn stakes(core: &Core, origin: &Origin, offer: &Offer) -> Stake {
    if let Some(until) = legs::stakes_until(core, origin, offer) {
        return match legs::is_chosen(core, origin, offer) {
            Some(true) => Stake::Until(until),
            Some(false) => Stake::No,
            None => Stake::NotYet,
        };
    }
    if early::awaits_word(core, origin, offer) {
        return Stake::NotYet;
    }
    let Some(staked) = staked(offer).filter(|_| !core.is_ahead) else { return Stake::No };
    let Some(delta) = delta(core, &origin.at.chain) else { return Stake::No };
    if check(core, origin, offer, &staked).is_err() {
        return Stake::No;
    }
    match core.stakes.reserved.get(origin) {
        // Whoever has asked in vain so often waits.
        None if core.stakes.has_failed_too_often(origin.at, &staked.forward.next) => Stake::No,
        None => Stake::NotYet,
        Some(reserved) if reserved.onward != onward(offer, &staked) || reserved.until != Some(staked.pledged_until) => {
            Stake::No
        }
        Some(reserved) => match reserved.stage {
            PledgeStage::Asked { .. } => Stake::NotYet,
            PledgeStage::Held => Stake::Until(staked.pledged_until.saturating_sub(delta)),
            PledgeStage::Failed => Stake::No,
        },
    }
}

fn staked(offer: &Offer) -> Option<StakedForward> {
    match Instruction::from_bytes(&offer.instruction)? {
        // It goes to the initiator itself: no other hub's channels wait for it.
        Instruction::ForwardStaked(staked) if offer.premium > 0 && staked.premium == offer.premium => {
            let is_last = matches!(Instruction::from_bytes(&staked.forward.inner), Some(Instruction::Swap(_)));
            is_last.then_some(staked)
        }
        _ => None,
    }
}

/// What is offered to the next one.
fn onward(came: &Offer, StakedForward { forward, premium, .. }: &StakedForward) -> Offer {
    let terms = TransferTerms { amount: forward.amount, lock: came.terms.lock, expiry: forward.expiry };
    Offer { terms, premium: *premium, calls: LockedCalls::NONE, instruction: forward.inner.clone() }
}

/// Whether an offer may be carried on with its premium, as far as that does not depend on the next one.
fn check(core: &Core, origin: &Origin, offer: &Offer, staked: &StakedForward) -> Result<(), FailureCode> {
    forward::check(core, origin.at.chain, &offer.terms, &staked.forward)?;
    // It is known before the pledge which transfer it is for: there is time to claim it.
    let is_in_order = staked.pledged_until < staked.forward.expiry && !core.stakes.is_busy(origin);
    is_in_order.then_some(()).ok_or(FailureCode::Limits)
}

/// A peer wants this side to pledge for an offer: the next one is asked first.
pub(super) fn wanted(core: &mut Core, origin: Origin, offer: &Offer, valid_until: BlockNumber) {
    if early::put_off(core, origin, offer) {
        return;
    }
    legs::choose(core, &origin, offer);
    if core.stakes.reserved.get(&origin).is_some_and(|reserved| matches!(reserved.stage, PledgeStage::Asked { .. })) {
        return;
    }
    if core.stakes.reserved.contains_key(&origin) || ask(core, origin, offer, valid_until).is_err() {
        answer(core, &origin);
    }
}

/// Asks the next one. Of what cannot be carried on it is noted that it is not.
fn ask(core: &mut Core, origin: Origin, offer: &Offer, valid_until: BlockNumber) -> Result<(), FailureCode> {
    let staked = staked(offer).filter(|_| !core.is_ahead).ok_or(FailureCode::UnknownOrWrong)?;
    let (at, until, carried, next) = (origin.at, staked.pledged_until, onward(offer, &staked), staked.forward.next);
    // Of what is not asked it is remembered as long as the pledge would last, at most: the same question is not looked at again.
    let (lasts, nothing) = (Some(until.min(valid_until)), Offer { instruction: Vec::new(), ..carried.clone() });
    let reserved = Reservation { at, next, onward: nothing, until: lasts, stage: PledgeStage::Failed };
    let _former = core.stakes.reserved.insert(origin, reserved);
    check(core, &origin, offer, &staked)?;
    let delta = delta(core, &at.chain).ok_or(FailureCode::OtherRegistry)?;
    if valid_until.saturating_add(delta) > until {
        return Err(FailureCode::Expiry);
    }
    let link = core.links.get(&at).ok_or(FailureCode::PeerAway)?;
    let (peer, risked) = ((at.chain, link.peer), link.risked);
    let is_general = !core.guard.brings_revenue(&peer, &core.policy);
    let arrival = Arrival { expiry: offer.terms.expiry, risked, is_general, goes_on: true };
    core.guard.admit(peer, &arrival, &core.policy, core.now)?;
    let to = way(core, &origin, &staked, is_general)?;
    forward::within_lock(core, &to, staked.forward.expiry)?;
    let stage = PledgeStage::Asked { wished: core.now, since: core.now };
    let reserved = Reservation { at: to, next, onward: carried.clone(), until: Some(until), stage };
    let _former = core.stakes.reserved.insert(origin, reserved);
    let pledge = Beside::Pledge { until, is_kept_back: true };
    core.offer(to, Transfers::onward_key(&origin), Source::Forward(Some(origin)), (carried, pledge), is_general);
    Ok(())
}

/// The channel in which the next one is asked: one in which nothing goes first, where there is one, and none in which the question would wait for the answer to what it
/// is asked for.
fn way(core: &Core, origin: &Origin, staked: &StakedForward, is_general: bool) -> Result<At, FailureCode> {
    let (stakes, amount) = (&core.stakes, staked.forward.amount);
    let all = || {
        let to = core.links.to(origin.at.chain, staked.forward.next);
        to.filter(|(at, _)| !stakes.waits_for(*at, origin.at))
    };
    let is_free = |at: &At| !stakes.is_taken(*at) && !core.swaps.early.is_in(at);
    let free = guard::choose(all().filter(|(at, _)| is_free(at)), amount, is_general, &[]);
    free.or_else(|_taken| guard::choose(all(), amount, is_general, &[]))
}

/// The question of the peer that waits is to be answered.
fn answer(core: &mut Core, origin: &Origin) {
    core.command(origin.at, TransferCommand::AnswerPledge { contract: origin.contract });
}

/// The next one has pledged: this side may.
pub(super) fn pledged(core: &mut Core, at: At, key: &IdempotencyKey, valid_until: BlockNumber) {
    let Some(OfferName::Forward(channel, contract)) = OfferName::read(key) else { return };
    let origin = Origin { at: At { chain: at.chain, channel }, contract };
    if core.transfers.incoming(&origin).is_some() {
        // It was pledged for once more, and what came in waits for it.
        return release(core, origin, at);
    }
    let is_asked =
        |reserved: &&mut Reservation| reserved.at == at && matches!(reserved.stage, PledgeStage::Asked { .. });
    match core.stakes.reserved.get_mut(&origin).filter(is_asked) {
        Some(reserved) if reserved.until == Some(valid_until) => {
            reserved.stage = PledgeStage::Held;
            answer(core, &origin);
        }
        // It comes too late, or is not what was asked for.
        _ => core.command(at, TransferCommand::TakeBack { key: key.clone() }),
    }
}

/// What was to go on by this channel will not be offered: the next one has not pledged.
pub(super) fn failed(core: &mut Core, at: At, origin: &Origin) {
    if core.stakes.releasing.get(origin) == Some(&at) {
        core.stakes.ended(origin);
    }
    if core.stakes.fail(at, origin) {
        answer(core, origin);
    }
}

/// This side has not pledged for what was to come in, whatever the next one has pledged for it: that is not used, and binds neither channel any longer.
pub(super) fn not_given(core: &mut Core, origin: &Origin) {
    let held = core.stakes.reserved.get(origin).filter(|reserved| reserved.stage == PledgeStage::Held);
    let Some(at) = held.filter(|_| core.transfers.incoming(origin).is_none()).map(|reserved| reserved.at) else {
        return;
    };
    let _was_open = core.stakes.fail(at, origin);
    core.command(at, TransferCommand::TakeBack { key: Transfers::onward_key(origin) });
}

/// What is carried on is agreed: the round that was kept back goes out.
pub(super) fn go_on(core: &mut Core, origin: Origin) -> Result<(), FailureCode> {
    let reserved = core.stakes.reserved.remove(&origin).filter(|reserved| reserved.stage == PledgeStage::Held);
    let at =
        reserved.map(|reserved| reserved.at).or_else(|| unread_onward(core, &origin)).ok_or(FailureCode::Limits)?;
    if let Some(entry) = core.transfers.incoming_mut(&origin) {
        entry.onward = Some(at);
    }
    release(core, origin, at);
    // It may be known meanwhile what opens it.
    let lock = core.transfers.incoming(&origin).map(|entry| entry.terms.lock);
    if let Some(preimage) = lock.and_then(|lock| core.transfers.lock(&lock)?.preimage) {
        core.claim(&origin, preimage);
    }
    Ok(())
}

/// A channel by which it may have gone on without anybody knowing: then it is claimed once its pre-image is known, and else goes back by its expiry (I4).
fn unread_onward(core: &Core, origin: &Origin) -> Option<At> {
    let instruction = Instruction::from_bytes(&core.transfers.incoming(origin)?.instruction)?;
    let Instruction::ForwardStaked(staked) = instruction else { return None };
    core.links.to(origin.at.chain, staked.forward.next).map(|(at, _)| at).find(|at| core.links.is_unread(at))
}

fn release(core: &mut Core, origin: Origin, at: At) {
    core.stakes.await_release(origin, at);
    core.command(at, TransferCommand::Release { key: Transfers::onward_key(&origin) });
}

/// An own offer with a premium was stored that carries on what is named so: the next one has pledged for it, or will not any more. Where it comes from, where that is
/// not agreed yet.
pub(super) fn restored(
    core: &mut Core,
    at: At,
    (channel, contract): (ChannelRef, ContractId),
    offer: &Offer,
    is_live: bool,
) -> Option<Origin> {
    let origin = Origin { at: At { chain: at.chain, channel }, contract };
    if offer.premium == 0 || !is_live || core.links.is_unread(&origin.at) {
        return None;
    }
    // Its last block is not known any more: this side pledges nothing by it that it has not pledged before. The channel drops it when it is over.
    let (next, onward) = (core.links.get(&at)?.peer, offer.clone());
    let reserved = Reservation { at, next, onward, until: None, stage: PledgeStage::Held };
    let _known = core.stakes.reserved.entry(origin).or_insert(reserved);
    Some(origin)
}

/// Whoever does not pledge in time is not waited for.
pub(super) fn tick(core: &mut Core) {
    let (now, patience) = (core.now, core.policy.swaps.answer);
    for (origin, at) in core.stakes.late(now, patience) {
        failed(core, at, &origin);
        core.command(at, TransferCommand::TakeBack { key: Transfers::onward_key(&origin) });
    }
}

/// A block: pledges that no block takes any more are over, and what is to be released is told so again.
pub(super) fn due(core: &mut Core, chain: Domain) {
    let finalised = core.heads.get(&chain).map_or(0, |heads| heads.finalised);
    let is_over = |reserved: &Reservation| reserved.until.is_some_and(|until| until < finalised);
    core.stakes.reserved.retain(|origin, reserved| origin.at.chain != chain || !is_over(reserved));
    let releasing = core.stakes.releasing.iter().filter(|(origin, _)| origin.at.chain == chain);
    for (origin, at) in releasing.map(|(origin, at)| (*origin, *at)).collect::<Vec<_>>() {
        core.command(at, TransferCommand::Release { key: Transfers::onward_key(&origin) });
    }
}
