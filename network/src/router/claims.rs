//! Claims that a peer has not agreed to yet: when their pre-images are registered, and who is barred for it (B1, R8.4h).
//!
//! ```text
//!   awaited --the best block reaches `due`--> asked for: registered where it is owed, and the peer is late
//!      ^                                        |
//!      '------- the best block falls -----------'       (a claim that is agreed, or has ended, leaves either)
//!
//!   late    --block `due` is final----------> barred    (also where the claim was agreed in between)
//!      '----- the best block falls below `due`: not late
//! ```
//!
//! An endpoint may show blocks that are not there, and take them back (R8.30). By such a block a pre-image is registered, too early at the worst; whatever was
//! judged by it is judged again when it is taken back, and nobody is barred by it.

use super::{io::Origin, io::RouterNotice, state::Core};
use channel::transfer::Intent;
use protocol::{BlockNumber, PublicKey, signing::Domain};
use std::collections::{BTreeMap, BTreeSet};

/// The claims of a chain that no peer has agreed to yet, by the block in which their pre-images have to be registered.
#[derive(Clone, Debug, Default)]
pub(super) struct Claims {
    awaited: BTreeSet<(BlockNumber, Origin)>,
    /// Those whose block has come: of these the pre-images have been asked for, where that was worth it.
    asked: BTreeSet<(BlockNumber, Origin)>,
    /// Peers that had left a claim unanswered by its block, which is not final yet: of each the first such block, and the claim.
    late: BTreeMap<PublicKey, (BlockNumber, Origin)>,
}

impl Claims {
    /// Awaits a claim until this block, and no longer until the former one.
    fn wait(&mut self, origin: Origin, due: BlockNumber, former: Option<BlockNumber>) {
        if let Some(former) = former {
            self.remove(&origin, former);
        }
        let _is_new = self.awaited.insert((due, origin));
    }

    /// A claim has been agreed to, or has ended. Whether the peer was late is not forgotten by it.
    pub(super) fn remove(&mut self, origin: &Origin, due: BlockNumber) {
        let name = (due, *origin);
        let _was_there = self.awaited.remove(&name) || self.asked.remove(&name);
    }

    /// The next claim whose block has come; from then on it is asked for.
    fn next_due(&mut self, best: BlockNumber) -> Option<(BlockNumber, Origin)> {
        let next = self.awaited.first().copied().filter(|(due, _)| *due <= best)?;
        let _was_there = self.awaited.remove(&next);
        let _is_new = self.asked.insert(next);
        Some(next)
    }

    /// The best block has fallen to this one: every claim is awaited again, and nobody is late by a block that is not there.
    fn fall(&mut self, best: BlockNumber) {
        self.awaited.append(&mut self.asked);
        self.late.retain(|_, (due, _)| *due <= best);
    }

    /// A peer has left a claim unanswered by its block.
    fn note_late(&mut self, peer: PublicKey, due: BlockNumber, origin: Origin) {
        let first = self.late.entry(peer).or_insert((due, origin));
        *first = (*first).min((due, origin));
    }

    /// The peers whose lateness is final, each with the claim; they are late no more.
    fn take_final(&mut self, finalised: BlockNumber) -> Vec<(PublicKey, Origin)> {
        self.late.extract_if(.., |_, (due, _)| *due <= finalised).map(|(peer, (_, origin))| (peer, origin)).collect()
    }

    /// Whether the peer is late, by a block that is not final: it offers nothing until that is decided.
    pub(super) fn is_late(&self, peer: &PublicKey) -> bool {
        self.late.contains_key(peer)
    }

    /// The operator lets the peer offer again.
    pub(super) fn forgive(&mut self, peer: &PublicKey) {
        let _was_late = self.late.remove(peer);
    }
}

/// Awaits a claim until the block in which its pre-image has to be registered. Where the peer cannot have its time before that any more, the pre-image is registered
/// with the next block from then on.
pub(super) fn wait(core: &mut Core, origin: &Origin) {
    let chain = origin.at.chain;
    let (margins, best) = (core.policy.chain(&chain).margins, core.best(&chain));
    let Some(entry) = core.transfers.incoming_mut(origin) else { return };
    let last = entry.terms.expiry.saturating_sub(margins.register);
    let has_time = best.saturating_add(margins.answer) <= last;
    let due = if has_time { last } else { last.max(best).saturating_add(1) };
    let former = entry.due.replace(due);
    core.claims.entry(chain).or_default().wait(*origin, due, former);
}

/// Claims of before a start have their time from the first block that is shown.
pub(super) fn begin(core: &mut Core, chain: Domain) {
    let awaited = core.claims.get(&chain).map(|claims| claims.awaited.clone()).unwrap_or_default();
    awaited.iter().for_each(|(_, origin)| wait(core, origin));
}

/// The best block has fallen: what was judged by those that are not there is judged again. A claim that had its time keeps its block; one that had not, by a block
/// that is not there, may have it now.
pub(super) fn fall(core: &mut Core, chain: Domain) {
    let best = core.best(&chain);
    let Some(claims) = core.claims.get_mut(&chain) else { return };
    claims.fall(best);
    let register = core.policy.chain(&chain).margins.register;
    for (due, origin) in claims.awaited.clone() {
        let last = core.transfers.incoming(&origin).map(|entry| entry.terms.expiry.saturating_sub(register));
        if last.is_some_and(|last| last < due) {
            wait(core, &origin);
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
