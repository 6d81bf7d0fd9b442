//! What is done with a transfer that has come in: it is carried on, taken, or given back.

use super::{forward, guard::Arrival, io::Origin, receive, staking, state::Core, swaps::legs, tables::Entry};
use crate::instruction::{FailureCode, Instruction, RouteFailure};
use channel::transfer::{IncomingTransfer, Intent};
use protocol::PublicKey;

/// The entry of a row.
pub(super) fn entry(peer: PublicKey, incoming: IncomingTransfer) -> Entry {
    Entry {
        peer,
        terms: incoming.terms,
        intent: incoming.intent,
        is_staked: incoming.premium.is_some(),
        has_calls: !incoming.calls.is_none(),
        due: None,
        onward: None,
        is_general: false,
        is_counted: false,
        refused: Vec::new(),
        instruction: incoming.instruction,
    }
}

/// A peer's offer is agreed.
pub(super) fn offered(core: &mut Core, origin: Origin, incoming: IncomingTransfer) {
    // Told again, it is known; of a channel that never came up, whose it is cannot be known.
    let Some(link) = core.links.get(&origin.at).filter(|_| core.transfers.incoming(&origin).is_none()) else { return };
    let (peer, risked) = (link.peer, link.risked);
    let expiry = incoming.terms.expiry;
    core.admit(origin, entry(peer, incoming));
    let name = (origin.at.chain, peer);
    let has_paid = core.policy.slot_fee > 0;
    let Some(entry) = core.transfers.incoming(&origin) else { return };
    let goes_on = matches!(
        Instruction::from_bytes(&entry.instruction),
        Some(Instruction::Forward(_) | Instruction::ForwardStaked(_))
    );
    let arrival = Arrival { expiry, risked, is_general: entry.is_general, goes_on };
    let admitted = core.guard.admit(name, &arrival, &core.policy, core.now);
    if has_paid {
        core.write_peer(origin.at.chain, peer);
    }
    let is_staked = legs::is_awaited(core, &origin) || core.stakes.is_held(&origin);
    let is_served = admitted.or_else(|code| if is_staked { Ok(()) } else { Err(code) });
    match is_served.and_then(|()| decide(core, origin)) {
        Ok(()) => {}
        Err(FailureCode::PeerAway) if core.is_new() => drop(core.waiting.insert(origin, core.now)),
        Err(code) => core.fail(&origin, &RouteFailure::new(code)),
    }
}

/// Decides about a transfer of which nothing is decided yet.
pub(super) fn decide(core: &mut Core, origin: Origin) -> Result<(), FailureCode> {
    if core.is_ahead {
        // Nothing goes on: it would be claimed without that.
        return Ok(());
    }
    let Some(entry) = core.transfers.incoming_mut(&origin).filter(|entry| entry.intent == Intent::Undecided) else {
        return Ok(());
    };
    match Instruction::from_bytes(&entry.instruction).ok_or(FailureCode::UnknownOrWrong)? {
        Instruction::Forward(forward) => forward::forward(core, origin, forward),
        Instruction::Deliver(sealed) => receive::delivered(core, origin, &sealed),
        Instruction::Swap(said) => legs::arrived(core, origin, said),
        Instruction::ForwardStaked(_) => staking::go_on(core, origin),
    }
}
