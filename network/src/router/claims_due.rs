//! What each block does about claims that no peer has agreed to yet: `claims` says how one is kept.

use super::{claims::Claims, io::RouterNotice, state::Core};
use channel::transfer::Intent;
use protocol::{PublicKey, signing::Domain};

/// Claims of before a start have their time from the first block that is shown after it.
pub(super) fn begin(core: &mut Core, chain: Domain) {
    let awaited = core.claims.get(&chain).map(Claims::awaited).unwrap_or_default();
    awaited.iter().for_each(|(_, origin)| core.await_claim(origin));
    core.claims.entry(chain).or_default().begin();
}

/// The best block has fallen: what was judged by those that are not there is judged again. A claim that had its time keeps its block; one that had not, by a block
/// that is not there, may have it now.
pub(super) fn fall(core: &mut Core, chain: Domain) {
    let best = core.best(&chain);
    let Some(claims) = core.claims.get_mut(&chain) else { return };
    let (forgiven, awaited) = (claims.fall(best), claims.awaited());
    forgiven.into_iter().for_each(|peer| bar(core, chain, peer, false));
    let register = core.policy.chain(&chain).margins.register;
    for (due, origin) in awaited {
        let last = core.transfers.incoming(&origin).map(|entry| entry.terms.expiry.saturating_sub(register));
        if last.is_some_and(|last| last < due) {
            core.await_claim(&origin);
        }
    }
}

/// Has the pre-images of claims registered whose block has come, whatever has become of the command and of the task that was to carry it out; then bars whoever has
/// left one unanswered, and tells of those for whom that is final.
pub(super) fn due(core: &mut Core, chain: Domain) {
    register(core, chain);
    judge(core, chain);
    let finalised = core.heads.get(&chain).map_or(0, |heads| heads.finalised);
    let told = core.claims.get_mut(&chain).map(|claims| claims.take_final(finalised)).unwrap_or_default();
    for (peer, origin) in told {
        core.notify(RouterNotice::ClaimUnanswered { chain, peer, origin });
    }
}

/// What is not owed is not worth a registration.
fn register(core: &mut Core, chain: Domain) {
    let best = core.best(&chain);
    while let Some((due, origin)) = core.claims.get_mut(&chain).and_then(|claims| claims.next_due(best)) {
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
        let is_missed = core.sure(&chain) >= terms.expiry;
        let claims = core.claims.entry(chain).or_default();
        if is_missed {
            claims.note_missed((due, origin));
        }
        // One that was asked too late to have its time may refuse as this side does (R8.4f), and is not to blame.
        if due == last {
            claims.note_owed((due, origin), peer);
        }
    }
}

/// A peer that is late is barred in its row at once: a start may come before its block is final.
fn judge(core: &mut Core, chain: Domain) {
    let sure = core.sure(&chain);
    while let Some((claim, peer)) = core.claims.get_mut(&chain).and_then(|claims| claims.next_unanswered(sure)) {
        if !core.guard.row(&(chain, peer)).is_barred {
            core.claims.entry(chain).or_default().note_late(peer, claim);
            bar(core, chain, peer, true);
        }
    }
}

fn bar(core: &mut Core, chain: Domain, peer: PublicKey, is_barred: bool) {
    core.guard.row_mut((chain, peer)).is_barred = is_barred;
    core.write_peer(chain, peer);
}
