//! Claims that a peer has not agreed to yet: when their pre-images are registered, and who is barred for it (B1, R8.4e).
//!
//! ```text
//!   awaited --the best block reaches `due`--> asked for: registered where it is owed
//!      ^                                        |
//!      '--- the best block falls below `due` ---'       (a claim that is agreed, or has ended, leaves either)
//!
//!   asked for, and owed --the sure block reaches `due`, and it is unanswered--> late: barred --block `due` is final--> told
//!                                                                                |   (also where it was agreed in between)
//!                                     not late <--best falls well below `due` ---'
//! ```
//!
//! An endpoint may show blocks that are not there, and take them back, or not (R8.30). By such a block a pre-image is registered, too early at the worst; nobody is
//! late by one that is further from the final block than finality lags, and whoever was late by one that is taken back is so no more.

use super::io::Origin;
use protocol::{BlockNumber, PublicKey};
use std::collections::{BTreeMap, BTreeSet};

/// How far the best block may fall below a claim's and leave judged what was judged by it: clocks that had gone on before a late block came, and forks of the
/// newest blocks, take no more back (R8.30). A peer that answers whenever that happens would have this side pay for registrations, and never be late.
const CLOCKS_AND_FORKS: BlockNumber = 2;

/// A claim, behind the block in which its pre-image has to be registered.
type Due = (BlockNumber, Origin);

/// The claims of a chain that no peer has agreed to yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Claims {
    /// A block has been shown since the start: before that there was no time for anything.
    has_begun: bool,
    awaited: BTreeSet<Due>,
    /// Those whose block has come: of these the pre-images have been asked for, where that was worth it.
    asked: BTreeSet<Due>,
    /// Of those, what has not been registered since it was too late by then.
    missed: BTreeSet<Due>,
    /// Of those, what is owed by peers that had their time, as long as an endpoint alone may have shown its block.
    unjudged: BTreeMap<Due, PublicKey>,
    /// What has been judged: it is not again, unless its block is taken back.
    judged: BTreeSet<Due>,
    /// Peers that had left a claim unanswered by its block, which is not final yet.
    late: BTreeMap<PublicKey, Due>,
}

impl Claims {
    /// The process has started: claims have no time before a block is shown.
    pub(super) const fn restart(&mut self) {
        self.has_begun = false;
    }

    /// A block is shown.
    pub(super) const fn begin(&mut self) {
        self.has_begun = true;
    }

    pub(super) const fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Awaits a claim until this block, and no longer until the former one.
    pub(super) fn wait(&mut self, origin: Origin, due: BlockNumber, former: Option<BlockNumber>) {
        if let Some(former) = former {
            self.remove(&origin, former);
        }
        let _is_new = self.awaited.insert((due, origin));
    }

    /// A claim has been agreed to, or has ended. Whether the peer was late is not forgotten by it.
    pub(super) fn remove(&mut self, origin: &Origin, due: BlockNumber) {
        let claim = (due, *origin);
        let _was_there = self.awaited.remove(&claim) || self.asked.remove(&claim);
        let _was_missed = self.missed.remove(&claim);
        let _was_unjudged = self.unjudged.remove(&claim);
        let _was_judged = self.judged.remove(&claim);
    }

    /// The next claim whose block has come; from then on it is asked for.
    pub(super) fn next_due(&mut self, best: BlockNumber) -> Option<Due> {
        let next = self.awaited.first().copied().filter(|(due, _)| *due <= best)?;
        let _was_there = self.awaited.remove(&next);
        let _is_new = self.asked.insert(next);
        Some(next)
    }

    /// It is too late to register a claim that is asked for, by blocks that may yet be taken back.
    pub(super) fn note_missed(&mut self, claim: Due) {
        let _is_new = self.missed.insert(claim);
    }

    /// A claim that is asked for is owed by a peer that had its time.
    pub(super) fn note_owed(&mut self, claim: Due, peer: PublicKey) {
        if !self.judged.contains(&claim) {
            let _former = self.unjudged.insert(claim, peer);
        }
    }

    /// The next claim that is unanswered though its block is sure, and whose it was to answer; from then on it is judged.
    pub(super) fn next_unanswered(&mut self, sure: BlockNumber) -> Option<(Due, PublicKey)> {
        let next = self.unjudged.first_entry().filter(|entry| entry.key().0 <= sure)?.remove_entry();
        let _is_new = self.judged.insert(next.0);
        Some(next)
    }

    /// A peer has left a claim unanswered by its block.
    pub(super) fn note_late(&mut self, peer: PublicKey, claim: Due) {
        let _former = self.late.insert(peer, claim);
    }

    /// The best block has fallen to this one: claims whose blocks are not there any more are awaited again, and those for which it was too late. The peers that
    /// are late no more.
    pub(super) fn fall(&mut self, best: BlockNumber) -> Vec<PublicKey> {
        let missed = std::mem::take(&mut self.missed);
        self.awaited.extend(self.asked.extract_if(.., |claim| claim.0 > best || missed.contains(claim)));
        self.unjudged.retain(|(due, _), _| *due <= best);
        let stays = best.saturating_add(CLOCKS_AND_FORKS);
        self.judged.retain(|(due, _)| *due <= stays);
        self.late.extract_if(.., |_, (due, _)| *due > stays).map(|(peer, _)| peer).collect()
    }

    /// The peers whose lateness is final, each with the claim; nothing takes that back.
    pub(super) fn take_final(&mut self, finalised: BlockNumber) -> Vec<(PublicKey, Origin)> {
        self.late.extract_if(.., |_, (due, _)| *due <= finalised).map(|(peer, (_, origin))| (peer, origin)).collect()
    }

    /// The claims that are awaited, by their blocks.
    pub(super) fn awaited(&self) -> Vec<Due> {
        self.awaited.iter().copied().collect()
    }

    /// The operator lets the peer offer again.
    pub(super) fn forgive(&mut self, peer: &PublicKey) {
        let _was_late = self.late.remove(peer);
    }
}
