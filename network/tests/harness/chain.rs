//! A modelled chain: its blocks, its finality, what its registry has from which block on, and what each node sees of it.

use channel::transfer::{Registered, TransferTerms};
use protocol::{
    BlockNumber,
    contracts::conditional::{HashLock, Preimage},
};
use std::collections::BTreeMap;

/// A registration on its way into a block.
#[derive(Clone, Debug)]
struct Sent {
    node: usize,
    lock: HashLock,
    preimage: Preimage,
    /// In how many blocks it is in one; none while its node has no connection.
    waits: Option<BlockNumber>,
}

/// What a node without a connection saw last, and when the newest block was shown.
#[derive(Clone, Copy, Debug)]
struct LastSeen {
    height: BlockNumber,
    finalised: BlockNumber,
    shown_at: u64,
}

/// A chain.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    pub(crate) height: BlockNumber,
    pub(crate) registry: BTreeMap<HashLock, (BlockNumber, Preimage)>,
    /// How many blocks final ones are behind the newest.
    pub(crate) finality: BlockNumber,
    /// The last final block, while finality stands still.
    pub(crate) frozen: Option<BlockNumber>,
    /// After how many blocks a registration is in one; none: it is in the newest at once.
    pub(crate) inclusion: BlockNumber,
    /// The least time between blocks, by which a node's clock carries the newest one on; none where blocks are made by hand.
    pub(crate) clock: Option<u64>,
    /// The time between blocks, where time makes them.
    pub(crate) every: u64,
    /// When the next block is made, where time makes them.
    pub(crate) next_at: u64,
    /// When the newest block was made.
    shown_at: u64,
    sent: Vec<Sent>,
    blind: BTreeMap<usize, LastSeen>,
}

/// What a node sees of a chain.
#[derive(Clone, Debug)]
pub(crate) struct Sight {
    pub(crate) best: BlockNumber,
    pub(crate) finalised: BlockNumber,
    pub(crate) registry: BTreeMap<HashLock, (BlockNumber, Preimage)>,
}

impl View {
    pub(crate) fn at_height(height: BlockNumber) -> Self {
        Self { height, ..Self::default() }
    }

    fn finalised(&self) -> BlockNumber {
        self.frozen.unwrap_or_else(|| self.height.saturating_sub(self.finality))
    }

    /// What a node sees: without a connection what it saw last, carried on by its clock.
    pub(crate) fn sight(&self, node: usize, now: u64) -> Sight {
        let now_seen = LastSeen { height: self.height, finalised: self.finalised(), shown_at: self.shown_at };
        let LastSeen { height, finalised, shown_at } = self.blind.get(&node).copied().unwrap_or(now_seen);
        let passed = self.clock.map_or(0, |least| now.saturating_sub(shown_at) / least);
        let is_seen = |entry: &(&HashLock, &(BlockNumber, Preimage))| entry.1.0 <= height;
        let registry = self.registry.iter().filter(is_seen).map(|(lock, shown)| (*lock, *shown)).collect();
        Sight { best: height + BlockNumber::try_from(passed).unwrap(), finalised, registry }
    }

    /// A node loses its connection to this chain: it sees no block, and what it sends waits.
    pub(crate) fn blind(&mut self, node: usize) {
        let seen = LastSeen { height: self.height, finalised: self.finalised(), shown_at: self.shown_at };
        let _former = self.blind.insert(node, seen);
    }

    /// The node's connection is back.
    pub(crate) fn see_again(&mut self, node: usize) {
        let _former = self.blind.remove(&node);
    }

    /// Takes a registration in. True where the registry has it at once.
    pub(crate) fn register(&mut self, node: usize, lock: HashLock, preimage: Preimage) -> bool {
        if self.registry.contains_key(&lock) {
            return false;
        }
        if self.inclusion == 0 && !self.blind.contains_key(&node) {
            let _new = self.registry.insert(lock, (self.height, preimage));
            return true;
        }
        if !self.sent.iter().any(|sent| (sent.node, sent.lock) == (node, lock)) {
            let waits = (!self.blind.contains_key(&node)).then_some(self.inclusion);
            self.sent.push(Sent { node, lock, preimage, waits });
        }
        false
    }

    /// A registration that somebody has put into exactly this block, whatever others wait.
    pub(crate) fn register_in(&mut self, block: BlockNumber, node: usize, lock: HashLock, preimage: Preimage) {
        let waits = Some(block.saturating_sub(self.height).max(1));
        self.sent.push(Sent { node, lock, preimage, waits });
    }

    /// Makes a block, with the registrations in it that have waited for it.
    pub(crate) fn make_block(&mut self, now: u64) {
        self.height += 1;
        self.shown_at = now;
        for mut sent in std::mem::take(&mut self.sent) {
            sent.waits = match sent.waits {
                None if self.blind.contains_key(&sent.node) => None,
                None => Some(self.inclusion),
                Some(waits) => Some(waits.saturating_sub(1)),
            };
            if sent.waits == Some(0) {
                let _first = self.registry.entry(sent.lock).or_insert((self.height, sent.preimage));
            } else {
                self.sent.push(sent);
            }
        }
    }
}

impl Sight {
    /// What final blocks have of a lock.
    pub(crate) fn registered(&self, lock: &HashLock) -> Registered {
        match self.registry.get(lock).filter(|(at, _)| *at <= self.finalised) {
            Some((at, _)) => Registered::Shown { at: *at },
            None => Registered::Silent { at: self.finalised },
        }
    }

    /// What opens a transfer, where a final block before its expiry has it.
    pub(crate) fn shown_in_time(&self, terms: &TransferTerms) -> Option<Preimage> {
        let shown = self.registry.get(&terms.lock).filter(|(at, _)| *at < terms.expiry && *at <= self.finalised);
        shown.map(|(_, preimage)| *preimage)
    }
}
