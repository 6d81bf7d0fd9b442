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
    io::{At, Millis, Origin},
    state::Core,
    swaps::legs,
    tables::{Source, Transfers},
};
use crate::{
    instruction::{FailureCode, Instruction, StakedForward},
    keys::OfferName,
};
use channel::{
    ChannelRef, IdempotencyKey,
    transfer::{Offer, Stake, TransferCommand, TransferTerms},
};
use protocol::{Amount, BlockNumber, PublicKey, contracts::ContractId, signing::Domain};
use std::collections::BTreeMap;

/// How far the next one's pledge is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It was asked for.
    Asked { since: Millis },
    /// This side has it, and may pledge itself.
    Held,
    /// It did not come.
    Failed,
}

/// What goes on once something comes in, for which the next one pledges first.
#[derive(Clone, Debug)]
struct Reservation {
    /// Where it goes on.
    at: At,
    /// What is offered there.
    onward: Offer,
    /// The last block of the next one's pledge.
    until: BlockNumber,
    stage: Stage,
}

/// The pledges that this side has asked for, or has, by what is to come in for each.
#[derive(Clone, Debug, Default)]
pub(super) struct Stakes {
    reserved: BTreeMap<Origin, Reservation>,
    /// What has come in, and where what goes on waits to be released: told again with each block, since commands may be lost.
    releasing: BTreeMap<Origin, At>,
}

impl Stakes {
    /// Whether the next one has pledged for what this is to be carried on by.
    pub(super) fn is_held(&self, origin: &Origin) -> bool {
        self.reserved.get(origin).is_some_and(|reserved| reserved.stage == Stage::Held)
    }

    /// What has come in is to go on, which was kept back for it.
    pub(super) fn await_release(&mut self, origin: Origin, at: At) {
        let _former = self.releasing.insert(origin, at);
    }

    /// What came in has ended.
    pub(super) fn ended(&mut self, origin: &Origin) {
        let _over = self.releasing.remove(origin);
    }

    /// What goes on is agreed: it was released.
    pub(super) fn accepted(&mut self, at: At, key: &IdempotencyKey) {
        if let Some(OfferName::Forward(channel, contract)) = OfferName::read(key) {
            let _released = self.releasing.remove(&Origin { at: At { chain: at.chain, channel }, contract });
        }
    }

    /// Whether another offer of a channel waits, or may come: one is carried on at a time.
    fn is_busy(&self, with: &Origin) -> bool {
        let first = Origin { at: with.at, contract: ContractId([0; 32]) };
        let of_channel = self.reserved.range(first..).take_while(|(origin, _)| origin.at == with.at);
        of_channel.into_iter().any(|(origin, reserved)| origin != with && reserved.stage != Stage::Failed)
    }

    /// How much has failed for offers of a channel whose time is not over: what was asked of the next one is not asked again by the same name.
    fn failed(&self, at: At) -> usize {
        let of_channel = self.reserved.range(Origin { at, contract: ContractId([0; 32]) }..);
        of_channel.take_while(|(origin, _)| origin.at == at).filter(|(_, it)| it.stage == Stage::Failed).count()
    }
}

/// The most offers of a channel that may have failed before their time is over: whoever asks in vain waits.
const MOST_FAILED: usize = 16;

/// How many blocks before the next one's pledge this side's own ends: its own may be shown in its last block, which is known once that is final, and the next
/// one's is to be shown after that. None where no premium is carried on.
pub(super) fn delta(core: &Core, chain: &Domain) -> Option<BlockNumber> {
    let carries = core.policy.is_hub && core.policy.carries_premiums && core.policy.slot_fee == 0;
    carries.then(|| least_delta(core, chain))
}

/// The same, of a hub with this side's own policy for the chain.
fn least_delta(core: &Core, chain: &Domain) -> BlockNumber {
    let bounds = core.policy.chain(chain);
    // A pledge is shown two blocks before its last one at the latest (R6.5d).
    bounds.max_lag.saturating_add(bounds.margins.register.max(2))
}

/// What a hub may need between two pledges, at most, to be used: beyond it whoever is responder would grant a choice for as long as a hub likes.
fn most_delta(core: &Core, chain: &Domain) -> BlockNumber {
    least_delta(core, chain).saturating_mul(2)
}

/// How many blocks sooner a pledge of a hub on the way to `other` ends than the one that it asks for, for the slowest hub that serves it; nothing where there is a
/// channel with it.
pub(super) fn delta_of_way(core: &Core, chain: Domain, other: PublicKey) -> BlockNumber {
    if core.links.to(chain, other).next().is_some() {
        return 0;
    }
    let serves = |hub: &PublicKey| {
        let announced = core.announcements.of(chain, *hub, core.seconds());
        announced.is_some_and(|announced| announced.serves.contains(&other))
    };
    let hubs = core.links.peers_up(chain).filter(serves);
    hubs.filter_map(|hub| delta_of_hub(core, &chain, hub)).max().unwrap_or(0)
}

/// Whether this side stakes the premium of an offer beside it.
pub(super) fn stakes(core: &Core, origin: &Origin, offer: &Offer) -> Stake {
    if let Some(until) = legs::stakes_until(core, origin, offer) {
        return Stake::Until(until);
    }
    let Some(staked) = staked(offer).filter(|_| !core.is_ahead) else { return Stake::No };
    let Some(delta) = delta(core, &origin.at.chain) else { return Stake::No };
    if check(core, origin, offer, &staked).is_err() {
        return Stake::No;
    }
    match core.stakes.reserved.get(origin) {
        None => Stake::NotYet,
        Some(reserved) if reserved.onward != onward(offer, &staked) || reserved.until != staked.pledged_until => {
            Stake::No
        }
        Some(reserved) => match reserved.stage {
            Stage::Asked { .. } => Stake::NotYet,
            Stage::Held => Stake::Until(reserved.until.saturating_sub(delta)),
            Stage::Failed => Stake::No,
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
    Offer { terms, premium: *premium, instruction: forward.inner.clone() }
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
    if core.stakes.reserved.get(&origin).is_some_and(|reserved| matches!(reserved.stage, Stage::Asked { .. })) {
        return;
    }
    if core.stakes.reserved.contains_key(&origin) || ask(core, origin, offer, valid_until).is_err() {
        answer(core, &origin);
    }
}

/// Asks the next one. Of what cannot be carried on it is noted that it is not.
fn ask(core: &mut Core, origin: Origin, offer: &Offer, valid_until: BlockNumber) -> Result<(), FailureCode> {
    if core.stakes.failed(origin.at) >= MOST_FAILED {
        return Err(FailureCode::Limits);
    }
    let staked = staked(offer).filter(|_| !core.is_ahead).ok_or(FailureCode::UnknownOrWrong)?;
    let (at, until, carried) = (origin.at, staked.pledged_until, onward(offer, &staked));
    // Of what is not asked it is remembered as long as the pledge would last, at most: the same question is not looked at again.
    let reserved = Reservation { at, onward: carried.clone(), until: until.min(valid_until), stage: Stage::Failed };
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
    let to = core.links.to(at.chain, staked.forward.next);
    let next = guard::choose(to, staked.forward.amount, is_general, &[])?;
    forward::within_lock(core, &next, staked.forward.expiry)?;
    let stage = Stage::Asked { since: core.now };
    let _former = core.stakes.reserved.insert(origin, Reservation { at: next, onward: carried.clone(), until, stage });
    core.offer(next, Transfers::onward_key(&origin), Source::Forward(Some(origin)), (carried, 0), is_general);
    Ok(())
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
    let is_asked = |reserved: &&mut Reservation| reserved.at == at && matches!(reserved.stage, Stage::Asked { .. });
    match core.stakes.reserved.get_mut(&origin).filter(is_asked) {
        Some(reserved) if reserved.until == valid_until => {
            reserved.stage = Stage::Held;
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
    let Some(reserved) = core.stakes.reserved.get_mut(origin).filter(|reserved| reserved.at == at) else { return };
    if std::mem::replace(&mut reserved.stage, Stage::Failed) != Stage::Failed {
        answer(core, origin);
    }
}

/// What is carried on is agreed: the round that was kept back goes out.
pub(super) fn go_on(core: &mut Core, origin: Origin) -> Result<(), FailureCode> {
    let reserved = core.stakes.reserved.remove(&origin).filter(|reserved| reserved.stage == Stage::Held);
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
    let reserved = Reservation { at, onward: offer.clone(), until: BlockNumber::MAX, stage: Stage::Held };
    let _known = core.stakes.reserved.entry(origin).or_insert(reserved);
    Some(origin)
}

/// Whoever does not pledge in time is not waited for.
pub(super) fn tick(core: &mut Core) {
    let (now, patience) = (core.now, core.policy.swaps.answer);
    let is_late = |stage: Stage| matches!(stage, Stage::Asked { since } if now.saturating_sub(since) >= patience);
    let late = core.stakes.reserved.iter().filter(|(_, it)| is_late(it.stage));
    for (origin, at) in late.map(|(origin, it)| (*origin, it.at)).collect::<Vec<_>>() {
        failed(core, at, &origin);
        core.command(at, TransferCommand::TakeBack { key: Transfers::onward_key(&origin) });
    }
}

/// A block: pledges that no block takes any more are over, and what is to be released is told so again.
pub(super) fn due(core: &mut Core, chain: Domain) {
    let finalised = core.heads.get(&chain).map_or(0, |heads| heads.finalised);
    let is_over = |origin: &Origin, reserved: &Reservation| origin.at.chain == chain && reserved.until < finalised;
    core.stakes.reserved.retain(|origin, reserved| !is_over(origin, reserved));
    let releasing = core.stakes.releasing.iter().filter(|(origin, _)| origin.at.chain == chain);
    for (origin, at) in releasing.map(|(origin, at)| (*origin, *at)).collect::<Vec<_>>() {
        core.command(at, TransferCommand::Release { key: Transfers::onward_key(&origin) });
    }
}

/// The last block of the payee's pledge, where it stakes a premium beside an offer, and whether the round is kept back for it: the block until which the target leg
/// of its swap may be locked (R6.5d), or as much sooner as the hub needs that carries it on.
pub(super) fn pledge_for(core: &Core, at: At, source: Source, offer: &Offer) -> Option<(BlockNumber, bool)> {
    if offer.premium == 0 {
        return None;
    }
    match source {
        Source::Leg(id, _) => {
            let lock_by = core.swaps.get(&id)?.row.terms.lock_by;
            let sooner =
                staked(offer).map_or(0, |_| delta_of(core, at).unwrap_or_else(|| least_delta(core, &at.chain)));
            Some((lock_by.saturating_sub(sooner), false))
        }
        Source::Forward(Some(origin)) => Some((core.stakes.reserved.get(&origin)?.until, true)),
        Source::Forward(None) | Source::Part(..) => None,
    }
}

/// What the hub at the other end of a channel says that it needs between two pledges.
fn delta_of(core: &Core, at: At) -> Option<BlockNumber> {
    delta_of_hub(core, &at.chain, core.links.get(&at)?.peer)
}

/// What a hub says that it needs between two pledges, where it carries premiums and is not too slow to be used.
fn delta_of_hub(core: &Core, chain: &Domain, hub: PublicKey) -> Option<BlockNumber> {
    let delta = core.announcements.of(*chain, hub, core.seconds())?.terms.pledge_delta?;
    (delta <= most_delta(core, chain)).then_some(delta)
}

/// Whether a leg with a premium may go through this hub.
pub(super) fn carries(core: &Core, chain: &Domain, hub: PublicKey) -> bool {
    delta_of_hub(core, chain, hub).is_some()
}

/// Whether a premium is staked for a leg that comes by this channel: the responder's own, or that of a hub where there is no channel with the responder.
pub(super) fn may_ask(core: &Core, at: &At, responder: PublicKey) -> bool {
    let is_direct = core.links.get(at).is_some_and(|link| link.peer == responder);
    is_direct || (core.links.to(at.chain, responder).next().is_none() && delta_of(core, *at).is_some())
}

/// Whether there is a channel in which a premium of a swap with this responder can be staked.
pub(super) fn could_stake(core: &Core, chain: Domain, responder: PublicKey, premium: Amount) -> bool {
    let direct = core.links.to(chain, responder);
    let hubs = core.links.peers_up(chain).flat_map(|hub| core.links.to(chain, hub));
    direct.chain(hubs).any(|(at, link)| link.spendable >= premium && may_ask(core, &at, responder))
}
