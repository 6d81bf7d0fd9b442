//! How many blocks a hub needs between two pledges (R8.5h): by its own policy, by its announcement, and on the way to somebody else.

use super::{io::At, state::Core};
use protocol::{Amount, BlockNumber, PublicKey, signing::Domain};

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

/// The last block of the payee's pledge for a leg of a swap that is offered by this channel: that by which the leg may be locked, or as much sooner as the hub needs
/// that carries it on.
pub(super) fn pledged_until(core: &Core, at: At, is_carried_on: bool, lock_by: BlockNumber) -> BlockNumber {
    let sooner = || delta_of(core, at).unwrap_or_else(|| least_delta(core, &at.chain));
    lock_by.saturating_sub(if is_carried_on { sooner() } else { 0 })
}
