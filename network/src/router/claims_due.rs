//! What each block does about claims that no peer has agreed to yet: `claims` says how one is kept.

use super::{claims::Claims, io::RouterNotice, state::Core};
use channel::transfer::Intent;
use protocol::signing::Domain;

/// Claims of before a start have their time from the first block that is shown.
pub(super) fn begin(core: &mut Core, chain: Domain) {
    let awaited = core.claims.get(&chain).map(Claims::awaited).unwrap_or_default();
    awaited.iter().for_each(|(_, origin)| core.await_claim(origin));
}

/// The best block has fallen: what was judged by those that are not there is judged again. A claim that had its time keeps its block; one that had not, by a block
/// that is not there, may have it now.
pub(super) fn fall(core: &mut Core, chain: Domain) {
    let best = core.best(&chain);
    let Some(claims) = core.claims.get_mut(&chain) else { return };
    claims.fall(best);
    let register = core.policy.chain(&chain).margins.register;
    for (due, origin) in claims.awaited() {
        let last = core.transfers.incoming(&origin).map(|entry| entry.terms.expiry.saturating_sub(register));
        if last.is_some_and(|last| last < due) {
            core.await_claim(&origin);
        }
    }
}

/// Has the pre-images of claims registered whose block has come, whatever has become of the command and of the task that was to carry it out. What is not owed is
/// not worth a registration. Then bars whoever's lateness is final: one that was asked too late to have its time may refuse as this side does (R8.4f), and is not.
pub(super) fn due(core: &mut Core, chain: Domain) {
    let heads = core.heads.get(&chain).copied().unwrap_or_default();
    while let Some((due, origin)) = core.claims.get_mut(&chain).and_then(|claims| claims.next_due(heads.best)) {
        let Some(entry) = core.transfers.incoming(&origin) else { continue };
        let (peer, terms) = (entry.peer, entry.terms);
        let Intent::Claim(preimage) = entry.intent else { continue };
        let last = terms.expiry.saturating_sub(core.policy.chain(&chain).margins.register);
        // Who was registered by somebody else before has left nothing to be registered.
        let shown = core.transfers.lock(&terms.lock).and_then(|used| used.shown.get(&chain));
        if shown.is_some_and(|block| *block < last) || !core.is_owed(&origin) {
            continue;
        }
        core.register(chain, terms, preimage, Some(peer));
        if due == last && !core.guard.row(&(chain, peer)).is_barred {
            core.claims.entry(chain).or_default().note_late(peer, due, origin);
        }
    }
    let barred = core.claims.get_mut(&chain).map(|claims| claims.take_final(heads.finalised)).unwrap_or_default();
    for (peer, origin) in barred {
        core.guard.row_mut((chain, peer)).is_barred = true;
        core.write_peer(chain, peer);
        core.notify(RouterNotice::ClaimUnanswered { chain, peer, origin });
    }
}
