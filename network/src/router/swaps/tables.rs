//! What is known of swaps, with an index for each question.

use super::{
    asked_early::Early,
    counts::{less, more},
    kinds::{SwapRole, SwapStage, SwapState},
};
use crate::{
    router::{
        io::{At, Origin},
        rows,
    },
    swap::{SwapCalls, SwapId, SwapItem, SwapLeg, SwapQuote, SwapTerms, Talk},
};
use channel::transfer::LockedCalls;
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
    /// The calls of apps that go with the legs. Stored behind the row, where there are any.
    #[codec(skip)]
    pub(in crate::router) calls: SwapCalls,
}

impl SwapRow {
    /// What is stored.
    pub(in crate::router) fn to_bytes(&self) -> Vec<u8> {
        if self.calls.is_none() { rows::row(self) } else { rows::row_with(self, &self.calls) }
    }

    /// Reads what is stored.
    pub(in crate::router) fn read(bytes: &[u8]) -> Option<Self> {
        let (row, calls): (Self, Option<SwapCalls>) = rows::read_with(bytes)?;
        Some(Self { calls: calls.unwrap_or_default(), ..row })
    }

    /// The calls that go with what the peer pays.
    pub(in crate::router) const fn peers_calls(&self) -> &LockedCalls {
        match self.role {
            SwapRole::Initiator => &self.calls.target,
            SwapRole::Responder => &self.calls.source,
        }
    }

    /// The calls that go with what this side pays.
    pub(in crate::router) const fn own_calls(&self) -> &LockedCalls {
        match self.role {
            SwapRole::Initiator => &self.calls.source,
            SwapRole::Responder => &self.calls.target,
        }
    }

    /// What the peer pays this side.
    pub(in crate::router) const fn peers_leg(&self) -> SwapLeg {
        match self.role {
            SwapRole::Initiator => self.terms.target,
            SwapRole::Responder => self.terms.source,
        }
    }
}

/// What became of a swap's target leg: a row in the store of its *target* chain, written with what ended the leg there (R8.5e).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(in crate::router) struct TargetEnd {
    /// The chain in whose store the swap's own row is.
    pub(in crate::router) source: Domain,
    pub(in crate::router) has_moved: bool,
    /// The newest block of the target chain then.
    pub(in crate::router) block: BlockNumber,
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

/// On whose account a swap is: strangers, who have no channel with this side, have one account together.
pub(in crate::router) type Account = Option<PublicKey>;

/// What a responder's coins for a swap are counted as (R8.5f).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::router) enum Held {
    /// Both have agreed, and this side's leg is not locked: the initiator may never lock its own.
    Idle(Account),
    /// This side's leg is locked, or is being locked.
    Locked,
}

/// A swap with what is remembered of it only while the process lasts.
#[derive(Clone, Debug)]
pub(in crate::router) struct Swap {
    pub(in crate::router) row: SwapRow,
    /// Whether it was begun before the start.
    pub(in crate::router) is_restored: bool,
    /// The transfers of the peer's leg that are here.
    pub(in crate::router) arrived: BTreeSet<Origin>,
    /// Blocks in which transfers were over, of the source and the target chain.
    pub(in crate::router) blocks: (BlockNumber, BlockNumber),
    /// What the target leg's coins are counted as; none where none are kept for it.
    held: Option<Held>,
}

impl Swap {
    pub(in crate::router) const fn new(row: SwapRow) -> Self {
        Self { row, is_restored: false, arrived: BTreeSet::new(), blocks: (0, 0), held: None }
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
    /// Whom this side has asked what it swaps.
    pub(in crate::router) asked: BTreeSet<(Domain, PublicKey)>,
    /// What peers said that they swap.
    pub(in crate::router) quotes: BTreeMap<(Domain, PublicKey), Vec<SwapQuote>>,
    /// Transfers that say that they are of swaps of which nothing can be said before another chain has joined.
    pub(in crate::router) parked: BTreeSet<Origin>,
    /// For which offer this side has pledged the premium of a swap, and until when that may count; also of swaps whose rows are not here yet.
    pub(in crate::router) pledged: BTreeMap<SwapId, (Origin, BlockNumber)>,
    /// For which offer this side is about to pledge the premium of a swap.
    pub(in crate::router) pledging: BTreeMap<SwapId, Origin>,
    /// The target legs whose pledges this side has asked for early.
    pub(in crate::router) early: Early,
    /// What became of target legs, and in which chain's store that is; also of swaps whose rows are not here yet.
    pub(in crate::router) targets: BTreeMap<SwapId, (Domain, TargetEnd)>,
    /// Swaps of which the peer has not acknowledged all that was said.
    pub(in crate::router) unheard: BTreeSet<(Domain, PublicKey, SwapId)>,
    /// Swaps that others proposed, that are over, and in which no coins have moved.
    pub(in crate::router) in_vain: BTreeSet<SwapId>,
    /// How many swaps are open with a peer.
    counts: BTreeMap<PublicKey, usize>,
    /// How many are open, whoever proposed them, by their source chains.
    open_from: BTreeMap<Domain, usize>,
    /// What this side has promised on a chain; and what of it on whose account with nothing locked.
    promised: BTreeMap<Domain, Amount>,
    idle: BTreeMap<(Domain, Account), Amount>,
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
        let is_over = matches!(row.stage, SwapStage::Ended { .. });
        if !is_over {
            more(&mut self.counts, row.peer);
            more(&mut self.open_from, row.terms.source.chain);
        }
        let _former = self.all.insert(id, Swap::new(row));
        let _is_waiting = self.heed(id);
        if is_over {
            self.note_vain(id);
        }
    }

    /// Counts a swap no more that is over.
    pub(in crate::router) fn close(&mut self, id: SwapId) {
        self.hold(id, None);
        let Some(row) = self.all.get(&id).map(|swap| &swap.row) else { return };
        less(&mut self.counts, &row.peer);
        less(&mut self.open_from, &row.terms.source.chain);
    }

    /// Whether a swap is open whose source chain is this one.
    pub(in crate::router) fn has_any_from(&self, chain: Domain) -> bool {
        self.open_from.contains_key(&chain)
    }

    /// Counts the coins of a swap's target leg as this from now on.
    pub(in crate::router) fn hold(&mut self, id: SwapId, held: Option<Held>) {
        let Some(swap) = self.all.get_mut(&id) else { return };
        let SwapLeg { chain, amount, .. } = swap.row.terms.target;
        let former = std::mem::replace(&mut swap.held, held);
        let account = |held: Option<Held>| match held {
            Some(Held::Idle(account)) => Some((chain, account)),
            Some(Held::Locked) | None => None,
        };
        recount(&mut self.promised, former.map(|_| chain), held.map(|_| chain), amount);
        recount(&mut self.idle, account(former), account(held), amount);
    }

    /// Notes a swap that is over, where it came to nothing and somebody else had proposed it.
    pub(in crate::router) fn note_vain(&mut self, id: SwapId) {
        let Some(swap) = self.all.get(&id) else { return };
        if let (SwapRole::Responder, SwapStage::Ended { outcome, .. }) = (swap.row.role, swap.row.stage)
            && !outcome.source_moved
            && !outcome.target_moved
        {
            let _is_new = self.in_vain.insert(id);
        }
    }

    /// Whether it is known that the target leg moved.
    pub(in crate::router) fn has_target_moved(&self, id: &SwapId) -> bool {
        self.targets.get(id).is_some_and(|(_, end)| end.has_moved)
    }

    /// Looks whether the peer has still to acknowledge something.
    pub(in crate::router) fn heed(&mut self, id: SwapId) -> bool {
        let Some(swap) = self.all.get(&id) else { return false };
        let (name, is_waiting) = ((swap.row.terms.source.chain, swap.row.peer, id), !swap.row.talk.is_acknowledged());
        if is_waiting {
            let _is_new = self.unheard.insert(name);
        } else {
            let _was_there = self.unheard.remove(&name);
        }
        is_waiting
    }

    /// The swaps with a peer of which it has not acknowledged all that was said.
    pub(in crate::router) fn waiting_for(&self, chain: Domain, peer: PublicKey) -> Vec<SwapId> {
        let from = (chain, peer, SwapId([0; 32]))..=(chain, peer, SwapId([0xff; 32]));
        self.unheard.range(from).map(|(_, _, id)| *id).collect()
    }

    pub(in crate::router) fn remove(&mut self, id: &SwapId) -> Option<Swap> {
        if self.all.get(id).is_some_and(|swap| !matches!(swap.row.stage, SwapStage::Ended { .. })) {
            self.close(*id);
        }
        let swap = self.all.remove(id)?;
        let _was_there = self.in_vain.remove(id);
        let _was_waiting = self.unheard.remove(&(swap.row.terms.source.chain, swap.row.peer, *id));
        let SwapTerms { lock, target, lock_by, .. } = swap.row.terms;
        if self.by_lock.get(&lock) == Some(id) {
            let _was_there = self.by_lock.remove(&lock);
        }
        if let Some(due) = self.due.get_mut(&target.chain) {
            let _was_there = due.remove(&(lock_by, *id));
        }
        Some(swap)
    }

    /// How many swaps are open with a peer.
    pub(in crate::router) fn count(&self, peer: &PublicKey) -> usize {
        self.counts.get(peer).copied().unwrap_or(0)
    }

    /// What this side has promised on a chain, as the one who pays there; and what of it on this account with nothing locked.
    pub(in crate::router) fn promised(&self, chain: Domain, account: Account) -> (Amount, Amount) {
        let idle = self.idle.get(&(chain, account));
        (self.promised.get(&chain).copied().unwrap_or(0), idle.copied().unwrap_or(0))
    }

    /// Takes what is to be said, by whom it is for.
    pub(in crate::router) fn take_words(&mut self) -> Vec<(Domain, PublicKey, Vec<SwapItem>)> {
        let mut words: BTreeMap<(Domain, PublicKey), Vec<SwapItem>> = BTreeMap::new();
        for (chain, peer, item) in std::mem::take(&mut self.bare) {
            words.entry((chain, peer)).or_default().push(item);
        }
        for (to, ids) in std::mem::take(&mut self.to_tell) {
            // Proposals are counted by the peer: in the order of their numbers.
            let mut said: Vec<_> = ids.into_iter().filter_map(|id| Some((id, &self.all.get(&id)?.row))).collect();
            said.sort_by_key(|(_, row)| row.sequences.0);
            words.entry(to).or_default().extend(said.into_iter().flat_map(|(id, row)| row.talk.items(id)));
        }
        words.into_iter().map(|((chain, peer), items)| (chain, peer, items)).collect()
    }

    /// Has something said about a swap.
    pub(in crate::router) fn say(&mut self, id: SwapId) {
        let _is_waiting = self.heed(id);
        if let Some(swap) = self.all.get(&id) {
            let _is_new = self.to_tell.entry((swap.row.terms.source.chain, swap.row.peer)).or_default().insert(id);
        }
    }
}

/// Takes an amount from one sum and adds it to another one.
fn recount<K: Ord>(sums: &mut BTreeMap<K, Amount>, from: Option<K>, to: Option<K>, amount: Amount) {
    if let Some(key) = from
        && let Some(sum) = sums.get_mut(&key)
    {
        *sum = sum.saturating_sub(amount);
        if *sum == 0 {
            let _none = sums.remove(&key);
        }
    }
    if let Some(key) = to {
        let sum = sums.entry(key).or_default();
        *sum = sum.saturating_add(amount);
    }
}
