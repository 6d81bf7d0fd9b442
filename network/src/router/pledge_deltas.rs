//! How many blocks a hub needs between two pledges (R8.5h): by its own policy, by its announcement, and on the way to somebody else.

use super::{io::At, state::Core, tables::Link};
use protocol::{Amount, BlockNumber, PublicKey, signing::Domain};
use std::collections::BTreeSet;

/// How many blocks before the next one's pledge this side's own ends: its own may be shown in its last block, which is known once that is final, and the next
/// one's is to be shown after that. None where no premium is carried on.
pub(super) fn delta(core: &Core, chain: &Domain) -> Option<BlockNumber> {
    let carries = core.policy.is_hub && core.policy.carries_premiums && core.policy.slot_fee == 0;
    carries.then(|| least_delta(core, chain))
}

/// The same, of a hub with this side's own policy for the chain.
fn least_delta(core: &Core, chain: &Domain) -> BlockNumber {
    core.policy.chain(chain).max_lag.saturating_add(least_shown(core, chain))
}

/// What showing a pledge takes: two blocks at least (R6.5d).
fn least_shown(core: &Core, chain: &Domain) -> BlockNumber {
    core.policy.chain(chain).margins.register.max(2)
}

/// What a hub may need between two pledges, at most, to be used: beyond it whoever is responder would grant a choice for as long as a hub likes.
fn most_delta(core: &Core, chain: &Domain) -> BlockNumber {
    least_delta(core, chain).saturating_mul(2)
}

/// How many blocks sooner a pledge of a hub on the way to `other` ends than the one that it asks for, for the slowest hub that serves it; nothing where there is a
/// channel with it.
pub(super) fn delta_of_way(core: &Core, chain: Domain, other: PublicKey) -> BlockNumber {
    hubs_to(core, chain, other).map(|(_, delta)| delta).max().unwrap_or(0)
}

/// The same for whoever makes the ladder, where the pledge lasts for `base` blocks and that: no longer than a pledge by the hub may last, and as suits the most hubs. What
/// a hub says by which the leg does not come keeps no other one from carrying it.
pub(super) fn delta_for(
    core: &Core,
    chain: Domain,
    other: PublicKey,
    premium: Amount,
    base: BlockNumber,
) -> BlockNumber {
    let lasts = |hub| {
        let links = core.links.to(chain, hub).filter(|(_, link)| link.spendable >= premium);
        links.map(|(_, link)| link.pledges.kept_back).max()
    };
    let ways: Vec<(BlockNumber, BlockNumber)> =
        hubs_to(core, chain, other).filter_map(|(hub, delta)| Some((delta, lasts(hub)?))).collect();
    let suits = |delta: BlockNumber| {
        let is_suited =
            |(own, lasts): &&(BlockNumber, BlockNumber)| *own <= delta && base.saturating_add(delta) <= *lasts;
        ways.iter().filter(is_suited).count()
    };
    // Of those that suit as many the least one.
    let deltas: BTreeSet<BlockNumber> = ways.iter().map(|(delta, _)| *delta).collect();
    deltas.into_iter().rev().max_by_key(|delta| suits(*delta)).unwrap_or(0)
}

/// The hubs that serve somebody, and what each needs between two pledges; none where there is a channel with whom they serve.
fn hubs_to(core: &Core, chain: Domain, other: PublicKey) -> impl Iterator<Item = (PublicKey, BlockNumber)> {
    let is_far = core.links.to(chain, other).next().is_none();
    let serves = move |hub: &PublicKey| {
        let announced = core.announcements.of(chain, *hub, core.seconds());
        is_far && announced.is_some_and(|announced| announced.serves.contains(&other))
    };
    let hubs = core.links.peers_up(chain).filter(serves);
    hubs.filter_map(move |hub| Some((hub, delta_of_hub(core, &chain, hub)?)))
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

/// Whether a leg with a premium that is to be locked by this block may go through a hub: its own pledge, which ends sooner, can be shown yet.
pub(super) fn carries(core: &Core, chain: &Domain, hub: PublicKey, lock_by: BlockNumber) -> bool {
    let shown = core.best(chain).saturating_add(least_shown(core, chain));
    delta_of_hub(core, chain, hub).is_some_and(|delta| shown.saturating_add(delta) <= lock_by)
}

/// Whether a premium is staked for a leg that comes by this channel: the responder's own, or that of a hub where there is no channel with the responder.
pub(super) fn may_ask(core: &Core, at: &At, responder: PublicKey) -> bool {
    let is_direct = core.links.get(at).is_some_and(|link| link.peer == responder);
    is_direct || (core.links.to(at.chain, responder).next().is_none() && delta_of(core, *at).is_some())
}

/// Whether there is a channel in which a premium of a swap with this responder can be staked, by a pledge up to this block.
pub(super) fn could_stake(
    core: &Core,
    (chain, responder): (Domain, PublicKey),
    premium: Amount,
    until: BlockNumber,
) -> bool {
    let lasts = until.saturating_sub(core.heads.get(&chain).map_or(0, |heads| heads.finalised));
    let direct = core.links.to(chain, responder);
    let hubs = core.links.peers_up(chain).flat_map(|hub| core.links.to(chain, hub));
    let lasts_enough =
        |link: &Link| lasts <= if link.peer == responder { link.pledges.asked } else { link.pledges.kept_back };
    let mut all = direct.chain(hubs);
    all.any(|(at, link)| link.spendable >= premium && lasts_enough(link) && may_ask(core, &at, responder))
}

/// The last block of the payee's pledge for a leg of a swap that is offered by this channel: that by which the leg may be locked, or as much sooner as the hub needs
/// that carries it on.
pub(super) fn pledged_until(core: &Core, at: At, is_carried_on: bool, lock_by: BlockNumber) -> BlockNumber {
    let sooner = || delta_of(core, at).unwrap_or_else(|| least_delta(core, &at.chain));
    lock_by.saturating_sub(if is_carried_on { sooner() } else { 0 })
}
