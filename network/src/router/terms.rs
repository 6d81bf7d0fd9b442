//! The own terms, told to peers: anew when they change, when whom one serves changes, and before they end (R8.4d).

use super::{
    io::{Millis, RouterOutput},
    pledge_deltas,
    state::Core,
};
use crate::announce::{Announcement, AnnouncementError, HubTerms, MAX_SERVED};
use protocol::{Amount, PublicKey, signing::Domain};

/// How long a change waits for others, so that many at once are told once.
const CALM: Millis = 1_000;

/// Something has changed that peers are told.
pub(super) fn changed(core: &mut Core, chain: Domain) {
    let due = core.now.saturating_add(CALM);
    let at = core.announce_at.entry(chain).or_insert(due);
    *at = (*at).min(due);
}

/// Tells what is due.
pub(super) fn tick(core: &mut Core) {
    let due: Vec<Domain> =
        core.announce_at.iter().filter(|(_, at)| **at <= core.now).map(|(chain, _)| *chain).collect();
    for chain in due {
        let again = core.now.saturating_add(core.policy.announced_for / 2);
        let _former = core.announce_at.insert(chain, again);
        if !core.policy.is_hub {
            continue;
        }
        if let Ok(bytes) = own(core, chain).sign(&core.identity) {
            core.outputs.push(RouterOutput::Announce { chain, bytes });
        }
    }
}

/// The own terms as they are now. Its number is the time, so that it grows over restarts without a row.
pub(super) fn own(core: &Core, chain: Domain) -> Announcement {
    let bounds = core.policy.chain(&chain);
    let terms = HubTerms {
        fee: core.policy.fee,
        slot_fee: core.policy.slot_fee,
        delta: core.policy.delta.max(2),
        least_expiry: bounds.margins.forward(),
        min_amount: bounds.registration_cost.max(1),
        max_amount: Amount::MAX,
        pledge_delta: pledge_deltas::delta(core, &chain),
    };
    let serves = core.links.peers_up(chain).take(MAX_SERVED).collect();
    let valid_until = core.now.saturating_add(core.policy.announced_for) / 1_000;
    Announcement { hub: core.identity.public(), chain, sequence: core.now, valid_until, terms, serves }
}

/// A peer tells its terms.
pub(super) fn heard(core: &mut Core, peer: &PublicKey, bytes: &[u8]) -> Result<(), AnnouncementError> {
    let now = core.seconds();
    let announcement = Announcement::read(bytes, peer, now)?;
    let Core { announcements, links, .. } = core;
    let has_channel = |(chain, hub): &(Domain, PublicKey)| links.to(*chain, *hub).next().is_some();
    // Whoever has no channel to pay through there is of no use, and would take the place of others.
    if !has_channel(&(announcement.chain, announcement.hub)) {
        return Err(AnnouncementError::NoChannel);
    }
    announcements.take(announcement, |kept| kept.valid_until >= now && has_channel(&(kept.chain, kept.hub)))
}
