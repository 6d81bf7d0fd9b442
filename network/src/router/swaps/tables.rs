//! What is known of swaps, with an index for each question.

use super::{SwapRole, SwapStage, SwapState};
use crate::{
    router::io::{At, Origin},
    swap::{SwapId, SwapItem, SwapQuote, SwapTerms, Talk},
};
use protocol::{
    Amount, BlockNumber, PublicKey,
    contracts::conditional::{HashLock, Preimage},
    signing::Domain,
};
use scale::{Decode, Encode};
use std::collections::{BTreeMap, BTreeSet};

/// The row of a swap, in the store of its source chain.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(in crate::router) struct SwapRow {
    pub(in crate::router) peer: PublicKey,
    pub(in crate::router) role: SwapRole,
    pub(in crate::router) terms: SwapTerms,
    /// What opens the lock; the initiator's.
    pub(in crate::router) preimage: Option<Preimage>,
    /// This side's number of the swap, and the peer's: 0 before there is one.
    pub(in crate::router) sequences: (u64, u64),
    pub(in crate::router) talk: Talk,
    pub(in crate::router) stage: SwapStage,
    /// Whether the source leg moved.
    pub(in crate::router) source_moved: bool,
}

/// The last numbers of swaps between this side and a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(in crate::router) struct NamedSequence {
    pub(in crate::router) chain: Domain,
    pub(in crate::router) peer: PublicKey,
    /// The last one that this side used in a proposal or an answer.
    pub(in crate::router) own: u64,
    /// The last one that the peer used in a proposal.
    pub(in crate::router) heard: u64,
}

/// A swap with what is remembered of it only while the process lasts.
#[derive(Clone, Debug)]
pub(in crate::router) struct Swap {
    pub(in crate::router) row: SwapRow,
    /// The transfers of the peer's leg that are here.
    pub(in crate::router) arrived: BTreeSet<Origin>,
    /// Whether the target leg moved, as far as this process saw it.
    pub(in crate::router) target_moved: bool,
    /// Blocks in which transfers were over, of the source and the target chain.
    pub(in crate::router) blocks: (BlockNumber, BlockNumber),
}

impl Swap {
    pub(in crate::router) const fn new(row: SwapRow) -> Self {
        Self { row, arrived: BTreeSet::new(), target_moved: false, blocks: (0, 0) }
    }

    /// The chain on which this side pays, and the one on which it is paid.
    pub(in crate::router) const fn chains(&self) -> (Domain, Domain) {
        let (source, target) = (self.row.terms.source.chain, self.row.terms.target.chain);
        match self.row.role {
            SwapRole::Initiator => (source, target),
            SwapRole::Responder => (target, source),
        }
    }

    pub(in crate::router) const fn state(&self) -> SwapState {
        let SwapRow { peer, role, terms, stage, .. } = &self.row;
        SwapState { role: *role, peer: *peer, terms: *terms, stage: *stage }
    }
}

/// All swaps.
#[derive(Debug, Default)]
pub(in crate::router) struct Swaps {
    all: BTreeMap<SwapId, Swap>,
    by_lock: BTreeMap<HashLock, SwapId>,
    /// The transfers by which this side pays its own leg, as long as there are rows of them; also of swaps whose rows are not here yet.
    pub(in crate::router) legs: BTreeMap<SwapId, BTreeSet<(At, u32)>>,
    pub(in crate::router) sequences: BTreeMap<(Domain, PublicKey), NamedSequence>,
    /// The last blocks in which target legs may be locked.
    pub(in crate::router) due: BTreeMap<Domain, BTreeSet<(BlockNumber, SwapId)>>,
    /// Whom something is to be said about which swaps.
    pub(in crate::router) to_tell: BTreeMap<(Domain, PublicKey), BTreeSet<SwapId>>,
    /// What is said about swaps of which there is no row.
    pub(in crate::router) bare: Vec<(Domain, PublicKey, SwapItem)>,
    /// What peers said that they swap.
    pub(in crate::router) quotes: BTreeMap<(Domain, PublicKey), Vec<SwapQuote>>,
    /// Transfers that say that they are of swaps of which nothing can be said before another chain has joined.
    pub(in crate::router) parked: BTreeSet<Origin>,
    /// When it was last said again what is not acknowledged.
    pub(in crate::router) repeated: u64,
}

impl Swaps {
    pub(in crate::router) fn get(&self, id: &SwapId) -> Option<&Swap> {
        self.all.get(id)
    }

    pub(in crate::router) fn get_mut(&mut self, id: &SwapId) -> Option<&mut Swap> {
        self.all.get_mut(id)
    }

    pub(in crate::router) fn by_lock(&self, lock: &HashLock) -> Option<SwapId> {
        self.by_lock.get(lock).copied()
    }

    pub(in crate::router) fn iter(&self) -> impl Iterator<Item = (&SwapId, &Swap)> {
        self.all.iter()
    }

    pub(in crate::router) fn len(&self) -> usize {
        self.all.len()
    }

    pub(in crate::router) fn insert(&mut self, id: SwapId, row: SwapRow) {
        let SwapTerms { lock, target, lock_by, .. } = row.terms;
        let _former = self.by_lock.insert(lock, id);
        if matches!(row.stage, SwapStage::Proposed | SwapStage::Agreed) {
            let _is_new = self.due.entry(target.chain).or_default().insert((lock_by, id));
        }
        let _former = self.all.insert(id, Swap::new(row));
    }

    pub(in crate::router) fn remove(&mut self, id: &SwapId) -> Option<Swap> {
        let swap = self.all.remove(id)?;
        let SwapTerms { lock, target, lock_by, .. } = swap.row.terms;
        if self.by_lock.get(&lock) == Some(id) {
            let _was_there = self.by_lock.remove(&lock);
        }
        if let Some(due) = self.due.get_mut(&target.chain) {
            let _was_there = due.remove(&(lock_by, *id));
        }
        Some(swap)
    }

    /// What this side has in open swaps on a chain, as the one who pays there at last; and how many it has with a peer.
    pub(in crate::router) fn open(&self, chain: &Domain, peer: &PublicKey) -> (Amount, usize) {
        let is_open = |swap: &&Swap| !matches!(swap.row.stage, SwapStage::Ended { .. });
        let open = self.all.values().filter(is_open);
        open.fold((0, 0), |(sum, count), swap| {
            let SwapRow { role, terms, peer: with, .. } = &swap.row;
            let pays = *role == SwapRole::Responder && terms.target.chain == *chain;
            let sum = if pays { terms.target.amount.saturating_add(sum) } else { sum };
            (sum, if with == peer { count.saturating_add(1) } else { count })
        })
    }

    /// Takes what is to be said, by whom it is for.
    pub(in crate::router) fn take_words(&mut self) -> Vec<(Domain, PublicKey, Vec<SwapItem>)> {
        let mut words: BTreeMap<(Domain, PublicKey), Vec<SwapItem>> = BTreeMap::new();
        for (chain, peer, item) in std::mem::take(&mut self.bare) {
            words.entry((chain, peer)).or_default().push(item);
        }
        for (to, ids) in std::mem::take(&mut self.to_tell) {
            let said = ids.into_iter().filter_map(|id| Some(self.all.get(&id)?.row.talk.items(id)));
            words.entry(to).or_default().extend(said.flatten());
        }
        words.into_iter().map(|((chain, peer), items)| (chain, peer, items)).collect()
    }

    /// Has something said about a swap.
    pub(in crate::router) fn say(&mut self, id: SwapId) {
        if let Some(swap) = self.all.get(&id) {
            let _is_new = self.to_tell.entry((swap.row.terms.source.chain, swap.row.peer)).or_default().insert(id);
        }
    }
}
