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

use super::io::Origin;
use protocol::{BlockNumber, PublicKey};
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
    pub(super) fn wait(&mut self, origin: Origin, due: BlockNumber, former: Option<BlockNumber>) {
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
    pub(super) fn next_due(&mut self, best: BlockNumber) -> Option<(BlockNumber, Origin)> {
        let next = self.awaited.first().copied().filter(|(due, _)| *due <= best)?;
        let _was_there = self.awaited.remove(&next);
        let _is_new = self.asked.insert(next);
        Some(next)
    }

    /// The best block has fallen to this one: every claim is awaited again, and nobody is late by a block that is not there.
    pub(super) fn fall(&mut self, best: BlockNumber) {
        self.awaited.append(&mut self.asked);
        self.late.retain(|_, (due, _)| *due <= best);
    }

    /// A peer has left a claim unanswered by its block.
    pub(super) fn note_late(&mut self, peer: PublicKey, due: BlockNumber, origin: Origin) {
        let first = self.late.entry(peer).or_insert((due, origin));
        *first = (*first).min((due, origin));
    }

    /// The peers whose lateness is final, each with the claim; they are late no more.
    pub(super) fn take_final(&mut self, finalised: BlockNumber) -> Vec<(PublicKey, Origin)> {
        self.late.extract_if(.., |_, (due, _)| *due <= finalised).map(|(peer, (_, origin))| (peer, origin)).collect()
    }

    /// The claims that are awaited, by their blocks.
    pub(super) fn awaited(&self) -> Vec<(BlockNumber, Origin)> {
        self.awaited.iter().copied().collect()
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
