//! How a payment is split over channels.

use super::{
    forward::LEAST_DELTA,
    io::At,
    pledge_deltas,
    rows::{Order, Part},
    state::Core,
    tables::Link,
};
use crate::{
    announce::HubTerms,
    instruction::{Delivery, FailureCode, Forward, Instruction, StakedForward, SwapInstruction},
    seal::seal,
    swap::SwapLeg,
};
use channel::transfer::{LockedCalls, Offer, TransferTerms};
use protocol::{
    Amount, BlockNumber, PublicKey,
    contracts::conditional::{HashFunction, HashLock},
    crypto::{Crypto, Native},
    signing::Domain,
};
use scale::Encode;

/// How much later a leg of a swap may expire where it is sent off, for a hub: one that asks for more is not used, nor reckoned with.
const MOST_DELTA: BlockNumber = 1_008;

/// Blocks that may pass while a part is on its way.
const SLACK: BlockNumber = 3;

/// A channel that could carry a part.
#[derive(Clone, Copy, Debug)]
struct Way {
    at: At,
    hub: Option<(PublicKey, HubTerms)>,
    /// What the payee can get through it, at least and at most.
    least: Amount,
    most: Amount,
}

/// Splits `amount` over channels, for `budget` if that can be. The parts have no numbers yet.
pub(super) fn plan(
    core: &Core,
    order: &Order,
    amount: Amount,
    budget: Amount,
    avoid: &[At],
    max_parts: u32,
) -> Result<Vec<Part>, FailureCode> {
    let best = core.best(&order.chain);
    let least = order.least_expiry.max(core.policy.chain(&order.chain).margins.forward());
    let is_fit = |way: &Way| part(core, *way, way.most, best, least).is_ok();
    let fitting = shares(core, order, (amount, budget), avoid, max_parts, is_fit);
    // Where none can be used, the first one that would be says why.
    let shares = fitting.or_else(|_| shares(core, order, (amount, budget), avoid, max_parts, |_| true))?;
    shares.into_iter().map(|(way, amount)| part(core, way, amount, best, least)).collect()
}

/// Which channel carries how much of it.
fn shares(
    core: &Core,
    order: &Order,
    (amount, budget): (Amount, Amount),
    avoid: &[At],
    max_parts: u32,
    is_fit: impl Fn(&Way) -> bool,
) -> Result<Vec<(Way, Amount)>, FailureCode> {
    let mut ways = ways(core, order, avoid)?;
    ways.retain(is_fit);
    ways.sort_by(|one, other| other.most.cmp(&one.most).then(one.at.cmp(&other.at)));
    let whole = single(&ways, amount).map(|way| vec![(way, amount)]);
    match whole {
        Some(whole) if cost(&whole) <= budget => Ok(whole),
        // What one channel carries for too much, several may for less.
        whole => {
            let split = split(&ways, amount, budget, max_parts);
            [whole, split].into_iter().flatten().min_by_key(|shares| cost(shares)).ok_or(FailureCode::Liquidity)
        }
    }
}

fn ways(core: &Core, order: &Order, avoid: &[At]) -> Result<Vec<Way>, FailureCode> {
    let direct = core.links.to(order.chain, order.payee).filter_map(|(at, link)| way(at, link, None));
    let mut all: Vec<Way> = direct.collect();
    for hub in hubs(core, order) {
        let Some(announced) = core.announcements.of(order.chain, hub, core.seconds()) else { continue };
        let terms = announced.terms;
        all.extend(core.links.to(order.chain, hub).filter_map(|(at, link)| way(at, link, Some((hub, terms)))));
    }
    let is_empty = all.is_empty();
    all.retain(|way| !avoid.contains(&way.at));
    if is_empty { Err(FailureCode::PeerAway) } else { Ok(all) }
}

/// The hubs that the payee names; else those that say that they serve it.
fn hubs(core: &Core, order: &Order) -> Vec<PublicKey> {
    if !order.hubs.is_empty() {
        return order.hubs.clone();
    }
    let serves = |hub: &PublicKey| {
        let announced = core.announcements.of(order.chain, *hub, core.seconds());
        announced.is_some_and(|announced| announced.serves.contains(&order.payee))
    };
    core.links.peers_up(order.chain).filter(serves).collect()
}

fn way(at: At, link: &Link, hub: Option<(PublicKey, HubTerms)>) -> Option<Way> {
    let limits = &link.limits;
    if !link.is_up || link.open >= limits.max_open {
        return None;
    }
    let place = hub.map_or(0, |(_, terms)| terms.slot_fee);
    let can_leave = link.spendable.checked_sub(place)?.min(limits.max_amount.saturating_sub(link.amount));
    let (least, most) = match hub {
        None => (limits.min_amount.max(1), can_leave),
        // What leaves is more than what arrives: its own minimum is met with what arrives.
        Some((_, terms)) => {
            (limits.min_amount.max(terms.min_amount).max(1), terms.fee.without(can_leave).min(terms.max_amount))
        }
    };
    (least <= most).then_some(Way { at, hub, least, most })
}

/// The one channel that carries all of it for the lowest fee, the one with the most coins among equals.
fn single(ways: &[Way], amount: Amount) -> Option<Way> {
    let fits = |way: &&Way| (way.least..=way.most).contains(&amount);
    let mut best: Option<(Amount, Way)> = None;
    for way in ways.iter().filter(fits) {
        let fee = fee(way, amount);
        if best.is_none_or(|(least, _)| fee < least) {
            best = Some((fee, *way));
        }
    }
    best.map(|(_, way)| way)
}

/// What a hub takes for carrying so much, its place included.
fn fee(way: &Way, amount: Amount) -> Amount {
    let Some((_, terms)) = way.hub else { return 0 };
    terms.fee.of(amount).unwrap_or(Amount::MAX).saturating_add(terms.slot_fee)
}

/// What hubs take for all of them.
fn cost(shares: &[(Way, Amount)]) -> Amount {
    shares.iter().fold(0_u128, |sum, (way, amount)| sum.saturating_add(fee(way, *amount)))
}

/// The greatest channels first, which takes the fewest of them; the cheapest ones first only where the others cannot carry it for the budget. Whoever is cheap and
/// carries nothing on would else keep a payment from being made by those that do.
fn split(greatest_first: &[Way], amount: Amount, budget: Amount, max_parts: u32) -> Option<Vec<(Way, Amount)>> {
    let greatest = fill(greatest_first, amount, max_parts);
    if greatest.as_ref().is_some_and(|shares| cost(shares) <= budget) {
        return greatest;
    }
    let mut cheapest_first = greatest_first.to_vec();
    cheapest_first.sort_by_key(|way| {
        let share = way.most.min(amount);
        // In millionths of what it carries.
        fee(way, share).saturating_mul(1_000_000).checked_div(share)
    });
    // Those whose share of it alone is within the budget.
    let is_cheap = |way: &&Way| fee(way, way.most.min(amount)) <= budget;
    let cheap: Vec<Way> = greatest_first.iter().filter(is_cheap).copied().collect();
    let fills = [greatest, fill(&cheapest_first, amount, max_parts), fill(&cheap, amount, max_parts)];
    fills.into_iter().flatten().min_by_key(|shares| cost(shares))
}

/// Fills one channel after the other; what is left for the last is at least its least.
fn fill(ways: &[Way], amount: Amount, max_parts: u32) -> Option<Vec<(Way, Amount)>> {
    let mut left = amount;
    let mut shares: Vec<(Way, Amount)> = Vec::new();
    for way in ways.iter().take(usize::try_from(max_parts).unwrap_or(usize::MAX)) {
        if left == 0 {
            break;
        }
        let share = way.most.min(left);
        if share < way.least {
            // The channel before gives up some of its own.
            let (before, its) = shares.last_mut()?;
            let lacks = way.least.checked_sub(share)?;
            let rest = its.checked_sub(lacks).filter(|rest| *rest >= before.least)?;
            *its = rest;
            shares.push((*way, way.least));
            left = 0;
            break;
        }
        shares.push((*way, share));
        left = left.checked_sub(share)?;
    }
    (left == 0).then_some(shares)
}

fn part(core: &Core, way: Way, amount: Amount, best: BlockNumber, least: BlockNumber) -> Result<Part, FailureCode> {
    let (sent, delta, least) = match way.hub {
        None => (Some(amount), 0, least),
        Some((_, terms)) => (terms.fee.with(amount), terms.delta.max(2), least.max(terms.least_expiry)),
    };
    let expiry = best.checked_add(least).and_then(|expiry| expiry.checked_add(SLACK)).ok_or(FailureCode::Expiry)?;
    let sent_expiry = expiry.checked_add(delta).ok_or(FailureCode::Expiry)?;
    within_lock(core, &way, sent_expiry)?;
    let sent = sent.ok_or(FailureCode::Fee)?;
    let (hub, place) = way.hub.map_or((None, 0), |(hub, terms)| (Some(hub), terms.slot_fee));
    Ok(Part { number: 0, at: way.at, hub, amount, sent, expiry, sent_expiry, place })
}

/// Splits a leg of a swap over channels to whom it is for, or to hubs that serve them: it arrives with the leg's expiry. The parts are numbered. A hub has it
/// expire later where it is sent off: `is_in_time` says whether that may be. A premium is staked in one round with one transfer, and not through every hub (R8.5h). Hubs that
/// want their places paid for are passed over: what a leg costs is agreed before it is known who carries it.
pub(super) fn plan_leg(
    core: &Core,
    leg: &SwapLeg,
    to: PublicKey,
    (premium, lock_by): (Amount, BlockNumber),
    is_in_time: impl Fn(BlockNumber) -> bool,
) -> Result<Vec<Part>, FailureCode> {
    let policy = &core.policy;
    let max_fee = policy.swaps.max_fee.of(leg.amount).unwrap_or(Amount::MAX);
    let order = Order {
        chain: leg.chain,
        payee: to,
        hubs: Vec::new(),
        lock: HashLock { function: HashFunction::Sha2_256, digest: protocol::Hash([0; 32]) },
        secret: [0; 32],
        total: leg.amount,
        max_fee,
        least_expiry: 0,
        preimage: None,
        note: Vec::new(),
    };
    let max_parts = if premium > 0 { 1 } else { policy.max_parts };
    let is_fit = |way: &Way| {
        let expiry = sent_expiry(way, leg).filter(|expiry| within_lock(core, way, *expiry).is_ok());
        let is_free = way.hub.is_none_or(|(_, terms)| terms.slot_fee == 0);
        let carries = |hub| pledge_deltas::carries(core, &leg.chain, hub, lock_by);
        let is_staked = premium == 0 || way.hub.is_none_or(|(hub, _)| carries(hub));
        expiry.is_some_and(&is_in_time) && is_free && is_staked
    };
    let shares = shares(core, &order, (leg.amount, max_fee), &[], max_parts, is_fit)?;
    let fixed = |(way, amount)| leg_part(way, amount, leg);
    let parts: Vec<Part> = shares.into_iter().map(fixed).collect::<Result<_, _>>()?;
    let fees = parts.iter().fold(0_u128, |sum, part| sum.saturating_add(part.cost()));
    if fees > max_fee {
        return Err(FailureCode::Fee);
    }
    Ok((0..).zip(parts).map(|(number, part)| Part { number, ..part }).collect())
}

/// When a transfer of a leg expires where it is sent off.
fn sent_expiry(way: &Way, leg: &SwapLeg) -> Option<BlockNumber> {
    let delta = way.hub.map_or(0, |(_, terms)| terms.delta.max(LEAST_DELTA));
    leg.expiry.checked_add(delta).filter(|_| delta <= MOST_DELTA)
}

/// How much later a leg expires where it is sent off, if it comes to this side through one of its hubs: nothing where whoever sends it has a channel with it.
pub(super) fn delta_of_hubs(core: &Core, chain: Domain, from: PublicKey) -> BlockNumber {
    if core.links.to(chain, from).next().is_some() {
        return 0;
    }
    let announced = core.links.peers_up(chain).filter_map(|hub| core.announcements.of(chain, hub, core.seconds()));
    let serving = announced.filter(|announced| announced.serves.contains(&from));
    let deltas = serving.map(|announced| announced.terms.delta.max(LEAST_DELTA));
    deltas.filter(|delta| *delta <= MOST_DELTA).max().unwrap_or(0)
}

fn leg_part(way: Way, amount: Amount, leg: &SwapLeg) -> Result<Part, FailureCode> {
    let sent = match way.hub {
        None => amount,
        Some((_, terms)) => terms.fee.with(amount).ok_or(FailureCode::Fee)?,
    };
    let sent_expiry = sent_expiry(&way, leg).ok_or(FailureCode::Expiry)?;
    let hub = way.hub.map(|(hub, _)| hub);
    Ok(Part { number: 0, at: way.at, hub, amount, sent, expiry: leg.expiry, sent_expiry, place: 0 })
}

/// Whether the peer of a channel takes a transfer that is locked for so long.
fn within_lock(core: &Core, way: &Way, sent_expiry: BlockNumber) -> Result<(), FailureCode> {
    let link = core.links.get(&way.at).ok_or(FailureCode::PeerAway)?;
    let lasts = sent_expiry.saturating_sub(core.best(&way.at.chain));
    (lasts <= link.limits.max_lock).then_some(()).ok_or(FailureCode::Expiry)
}

/// What a part of a leg offers. None where its words are too long.
pub(super) fn leg_offer(
    part: &Part,
    to: PublicKey,
    lock: HashLock,
    (premium, pledged_until): (Amount, BlockNumber),
    said: SwapInstruction,
) -> Option<Offer> {
    let said = Instruction::Swap(said).to_bytes()?;
    let terms = TransferTerms { amount: part.sent, lock, expiry: part.sent_expiry };
    let instruction = match forward(part, to, said) {
        Err(said) => said,
        Ok(forward) if premium > 0 => {
            Instruction::ForwardStaked(StakedForward { forward, premium, pledged_until }).to_bytes()?
        }
        Ok(forward) => Instruction::Forward(forward).to_bytes()?,
    };
    Some(Offer { terms, premium, calls: LockedCalls::NONE, instruction })
}

/// The instruction of a part: what it says to whom it is for, through a hub if it goes through one.
fn through(part: &Part, to: PublicKey, said: Vec<u8>) -> Option<Vec<u8>> {
    match forward(part, to, said) {
        Ok(forward) => Instruction::Forward(forward).to_bytes(),
        Err(said) => Some(said),
    }
}

/// How a hub carries a part on, where it goes through one; else what it says to whom it is for.
fn forward(part: &Part, to: PublicKey, said: Vec<u8>) -> Result<Forward, Vec<u8>> {
    match part.hub {
        Some(_hub) => Ok(Forward { next: to, chain: None, amount: part.amount, expiry: part.expiry, inner: said }),
        None => Err(said),
    }
}

/// What a part offers: the same bytes each time. None where the payee's key is not one, or the words are too long.
pub(super) fn offer(order: &Order, seed: &[u8; 32], part: &Part) -> Option<Offer> {
    let secret = Native.hash(&(b"isc-part", seed, part.number).encode()).0;
    let delivery =
        Delivery { secret: order.secret, total: order.total, preimage: order.preimage, note: order.note.clone() };
    let sealed = seal(&delivery.to_bytes(), &order.payee, &order.lock, &secret)?;
    let deliver = Instruction::Deliver(sealed).to_bytes()?;
    let instruction = through(part, order.payee, deliver)?;
    let terms = TransferTerms { amount: part.sent, lock: order.lock, expiry: part.sent_expiry };
    Some(Offer { terms, premium: 0, calls: LockedCalls::NONE, instruction })
}
