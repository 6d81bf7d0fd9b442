//! What a hub takes upon itself: bounds on what may have to be registered, on places and coins, and on how fast offers come (B1, B2, D5) (R8.4e).

use super::{
    io::{At, Millis},
    policy::{ChainPolicy, RoutingPolicy},
    rows::{NamedPeer, PeerRow},
    tables::Link,
};
use crate::instruction::FailureCode;
use protocol::{Amount, BlockNumber, PublicKey, signing::Domain};
use std::collections::BTreeMap;

/// A peer on a chain.
pub(super) type PeerName = (Domain, PublicKey);

/// What is counted of a peer.
#[derive(Clone, Copy, Debug, Default)]
struct Standing {
    row: PeerRow,
    open: u32,
    /// Offers that it has made and that time has not given back, in thousandths.
    used: u64,
    used_at: Millis,
}

/// How many transfers are open, and how many of them came from peers that bring no revenue.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    all: u32,
    general: u32,
}

impl Count {
    fn add(&mut self, is_general: bool) {
        self.all = self.all.saturating_add(1);
        self.general = self.general.saturating_add(u32::from(is_general));
    }

    fn remove(&mut self, is_general: bool) {
        self.all = self.all.saturating_sub(1);
        self.general = self.general.saturating_sub(u32::from(is_general));
    }

    const fn plus(self, other: Self) -> Self {
        Self { all: self.all.saturating_add(other.all), general: self.general.saturating_add(other.general) }
    }

    /// The greater of each.
    fn max(self, other: Self) -> Self {
        Self { all: self.all.max(other.all), general: self.general.max(other.general) }
    }
}

/// A transfer that has come in, as its bounds see it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub(super) expiry: BlockNumber,
    /// The peer's coins in its channel.
    pub(super) risked: Amount,
    /// It is of a peer that brings no revenue, for which half of what is bounded is there.
    pub(super) is_general: bool,
    /// It is to be carried on, and not for this side itself: its place costs.
    pub(super) goes_on: bool,
}

/// What is open on a chain.
#[derive(Clone, Debug, Default)]
struct Load {
    by_expiry: BTreeMap<BlockNumber, Count>,
    open: Count,
}

/// What a hub has taken upon itself on a chain, against its bounds (B2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HubLoad {
    /// Transfers that are open towards this side.
    pub open: u32,
    /// The most of them whose expiries lie within any `Rg` blocks.
    pub crowded: u32,
    /// How many may.
    pub crowded_bound: u32,
    /// What registering all of them costs.
    pub cost: Amount,
    /// What is there for it.
    pub reserve: Amount,
}

/// All that is counted.
#[derive(Clone, Debug, Default)]
pub(super) struct Guard {
    peers: BTreeMap<PeerName, Standing>,
    loads: BTreeMap<Domain, Load>,
}

impl Guard {
    pub(super) fn restore(&mut self, named: NamedPeer) {
        self.peers.entry((named.chain, named.peer)).or_default().row = named.row;
    }

    pub(super) fn row(&self, peer: &PeerName) -> PeerRow {
        self.peers.get(peer).map(|standing| standing.row).unwrap_or_default()
    }

    pub(super) fn row_mut(&mut self, peer: PeerName) -> &mut PeerRow {
        &mut self.peers.entry(peer).or_default().row
    }

    /// Counts a transfer that has come in, against its peer.
    pub(super) fn open(&mut self, peer: PeerName) {
        let standing = self.peers.entry(peer).or_default();
        standing.open = standing.open.saturating_add(1);
    }

    /// Counts it no more.
    pub(super) fn close(&mut self, peer: PeerName) {
        if let Some(standing) = self.peers.get_mut(&peer) {
            standing.open = standing.open.saturating_sub(1);
        }
    }

    /// Counts a transfer that the hub may have to register. `is_general`: of a peer that brings no revenue.
    pub(super) fn load_with(&mut self, chain: Domain, expiry: BlockNumber, is_general: bool) {
        let load = self.loads.entry(chain).or_default();
        load.open.add(is_general);
        load.by_expiry.entry(expiry).or_default().add(is_general);
    }

    /// It has ended, or is given back: it is not registered any more, whether its payer signs that or not.
    pub(super) fn unload(&mut self, chain: Domain, expiry: BlockNumber, is_general: bool) {
        let Some(load) = self.loads.get_mut(&chain) else { return };
        load.open.remove(is_general);
        if let Some(count) = load.by_expiry.get_mut(&expiry) {
            count.remove(is_general);
            if count.all == 0 {
                let _empty = load.by_expiry.remove(&expiry);
            }
        }
    }

    /// Whether a transfer that has been counted may stay: else it is given back.
    pub(super) fn admit(
        &mut self,
        peer: PeerName,
        arrival: &Arrival,
        policy: &RoutingPolicy,
        now: Millis,
    ) -> Result<(), FailureCode> {
        let Arrival { expiry, risked, is_general, goes_on } = *arrival;
        let chain = policy.chain(&peer.0);
        let standing = self.peers.entry(peer).or_default();
        if standing.row.is_barred {
            return Err(FailureCode::NotServed);
        }
        if !standing.spend(policy, now) || standing.open > standing.bound(policy.least_open, risked, chain) {
            return Err(FailureCode::Limits);
        }
        if policy.slot_fee > 0 && goes_on {
            standing.row.prepaid = standing.row.prepaid.checked_sub(policy.slot_fee).ok_or(FailureCode::Fee)?;
        }
        let load = self.loads.entry(peer.0).or_default();
        let (crowded, bound) = (load.crowded(expiry, chain), crowded_bound(chain));
        let cost = |count: u32| Amount::from(count).saturating_mul(chain.registration_cost);
        let is_within = crowded.all <= bound && cost(load.open.all) <= chain.reserve;
        // Strangers that fill all of it would keep out whoever the hub lives on.
        let leaves_the_rest =
            crowded.general <= bound.div_ceil(2) && cost(load.open.general) <= chain.reserve.div_ceil(2);
        (is_within && (leaves_the_rest || !is_general)).then_some(()).ok_or(FailureCode::Limits)
    }

    pub(super) fn load(&self, chain: Domain, policy: &RoutingPolicy) -> HubLoad {
        let bounds = policy.chain(&chain);
        let load = self.loads.get(&chain).cloned().unwrap_or_default();
        let crowded = load.by_expiry.keys().map(|expiry| load.from(*expiry, bounds).all).max().unwrap_or(0);
        HubLoad {
            open: load.open.all,
            crowded,
            crowded_bound: crowded_bound(bounds),
            cost: Amount::from(load.open.all).saturating_mul(bounds.registration_cost),
            reserve: bounds.reserve,
        }
    }

    /// The fees that peers on a chain have brought.
    pub(super) fn earned(&self, chain: Domain) -> impl Iterator<Item = (PublicKey, Amount)> {
        let all = self.peers.iter().filter(move |((on, _), _)| *on == chain);
        all.map(|((_, peer), standing)| (*peer, standing.row.earned)).filter(|(_, earned)| *earned > 0)
    }

    /// Whether a peer brings revenue: then it may use what is reserved.
    pub(super) fn brings_revenue(&self, peer: &PeerName, policy: &RoutingPolicy) -> bool {
        self.row(peer).earned >= policy.revenue
    }
}

/// How many transfers may expire within any `Rg` blocks: a tenth of what the chain registers while one transaction waits.
fn crowded_bound(chain: &ChainPolicy) -> u32 {
    chain.registrations_per_block.saturating_mul(chain.inclusion).div_ceil(10)
}

impl Load {
    /// The most that expire in any window of `Rg` blocks with this block in it.
    fn crowded(&self, expiry: BlockNumber, chain: &ChainPolicy) -> Count {
        let first = expiry.saturating_sub(chain.margins.register.saturating_sub(1));
        let windows = self.by_expiry.range(first..=expiry).map(|(start, _)| self.from(*start, chain));
        windows.fold(Count::default(), Count::max)
    }

    /// How many expire in the window of `Rg` blocks that begins here.
    fn from(&self, start: BlockNumber, chain: &ChainPolicy) -> Count {
        let end = start.saturating_add(chain.margins.register);
        self.by_expiry.range(start..end).fold(Count::default(), |sum, (_, count)| sum.plus(*count))
    }
}

impl Standing {
    /// B1: what the peer has brought and risks, in registrations.
    fn bound(&self, least: u32, risked: Amount, chain: &ChainPolicy) -> u32 {
        let worth = self.row.earned.saturating_add(risked).checked_div(chain.registration_cost);
        worth.map_or(u32::MAX, |count| u32::try_from(count).unwrap_or(u32::MAX)).max(least)
    }

    /// Takes one offer out of the bucket, which time fills.
    fn spend(&mut self, policy: &RoutingPolicy, now: Millis) -> bool {
        let passed = now.saturating_sub(self.used_at);
        self.used = self.used.saturating_sub(passed.saturating_mul(u64::from(policy.offers_per_second)));
        self.used_at = self.used_at.max(now);
        let after = self.used.saturating_add(1_000);
        let fits = after <= u64::from(policy.burst).saturating_mul(1_000);
        if fits {
            self.used = after;
        }
        fits
    }
}

/// Why this link cannot carry a transfer, if so. `is_general`: of a peer that brings no revenue, for which half is there.
pub(super) fn room(link: &Link, amount: Amount, is_general: bool) -> Result<(), FailureCode> {
    let limits = &link.limits;
    if !link.is_up {
        return Err(FailureCode::PeerAway);
    }
    if amount < limits.min_amount || amount > link.spendable {
        return Err(FailureCode::Liquidity);
    }
    let fits =
        link.open < limits.max_open && link.amount.checked_add(amount).is_some_and(|sum| sum <= limits.max_amount);
    // The coins of the channel are those that can still be spent and those under way.
    let coins = link.spendable.saturating_add(link.amount).min(limits.max_amount);
    let fits_general = link.general_open < limits.max_open.div_ceil(2)
        && link.general_amount.saturating_add(amount) <= coins.div_ceil(2);
    (fits && (fits_general || !is_general)).then_some(()).ok_or(FailureCode::Limits)
}

/// Takes room for a transfer.
pub(super) fn take_room(link: &mut Link, amount: Amount, is_general: bool) {
    link.spendable = link.spendable.saturating_sub(amount);
    hold_room(link, amount, is_general);
}

/// What was to be offered has not left the channel: it was refused there. Never more than the channel had as it was told last.
pub(super) fn return_coins(link: &mut Link, amount: Amount) {
    link.spendable = link.spendable.saturating_add(amount).min(link.told);
}

/// Counts a transfer that is there already.
pub(super) fn hold_room(link: &mut Link, amount: Amount, is_general: bool) {
    link.open = link.open.saturating_add(1);
    link.amount = link.amount.saturating_add(amount);
    if is_general {
        link.general_open = link.general_open.saturating_add(1);
        link.general_amount = link.general_amount.saturating_add(amount);
    }
}

/// Gives the room of a transfer back that cannot be paid any more, or is.
pub(super) fn give_room(link: &mut Link, amount: Amount, is_general: bool) {
    link.open = link.open.saturating_sub(1);
    link.amount = link.amount.saturating_sub(amount);
    if is_general {
        link.general_open = link.general_open.saturating_sub(1);
        link.general_amount = link.general_amount.saturating_sub(amount);
    }
}

/// The channel to the next one that fits best: the one with the most coins.
pub(super) fn choose<'a>(
    links: impl Iterator<Item = (At, &'a Link)>,
    amount: Amount,
    is_general: bool,
    refused: &[At],
) -> Result<At, FailureCode> {
    let mut best: Option<(Amount, At)> = None;
    let mut why = FailureCode::PeerAway;
    for (at, link) in links.filter(|(at, _)| !refused.contains(at)) {
        match room(link, amount, is_general) {
            Ok(()) if best.is_none_or(|(most, _)| link.spendable > most) => best = Some((link.spendable, at)),
            Ok(()) => {}
            // What is said of a channel that is there says more.
            Err(code) if why == FailureCode::PeerAway => why = code,
            Err(_) => {}
        }
    }
    best.map(|(_, at)| at).ok_or(why)
}
