//! What registrations have cost, and on account of whom (R8.33).

use protocol::{Amount, BlockNumber, PublicKey};
use std::collections::BTreeMap;

/// What one peer has caused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caused {
    /// How many of its transfers this node has registered, or tried to.
    pub count: u64,
    /// What that has cost, deposits included.
    pub cost: Amount,
    /// How many were too late: their pre-images were not shown before their expiries.
    pub too_late: u64,
}

/// Counts since the node started.
#[derive(Debug, Default)]
pub(super) struct Tally {
    peers: BTreeMap<PublicKey, Caused>,
    /// How many pre-images anybody has shown in the last block that counts, and the most in any.
    pub(super) in_block: (BlockNumber, usize),
    pub(super) busiest: usize,
    /// Why the last call failed, where it did.
    pub(super) failing: Option<String>,
}

impl Tally {
    /// A call was in a block: what it has cost is shared by those on whose account it was made.
    pub(super) fn paid(&mut self, cost: Amount, peers: &[PublicKey]) {
        let count = Amount::try_from(peers.len()).unwrap_or(Amount::MAX);
        // Rounded up: nobody's share is forgotten.
        let each = cost.div_ceil(count.max(1));
        for peer in peers {
            let of = self.peers.entry(*peer).or_default();
            of.count = of.count.saturating_add(1);
            of.cost = of.cost.saturating_add(each);
        }
    }

    pub(super) fn too_late(&mut self, peer: PublicKey) {
        let of = self.peers.entry(peer).or_default();
        of.too_late = of.too_late.saturating_add(1);
    }

    /// So many pre-images were shown in a final block.
    pub(super) fn shown(&mut self, block: BlockNumber, count: usize) {
        self.in_block = (block, count);
        self.busiest = self.busiest.max(count);
    }

    pub(super) fn of(&self, peer: &PublicKey) -> Caused {
        self.peers.get(peer).copied().unwrap_or_default()
    }

    pub(super) fn all(&self) -> Vec<(PublicKey, Caused)> {
        self.peers.iter().map(|(peer, of)| (*peer, *of)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_call_has_cost_is_shared_by_those_who_caused_it() {
        let [alice, bob] = [1, 2].map(|peer| PublicKey([peer; 32]));
        let mut tally = Tally::default();
        tally.paid(100, &[alice, bob, alice]);
        tally.paid(5, &[bob]);
        tally.too_late(bob);
        assert_eq!(tally.of(&alice), Caused { count: 2, cost: 68, too_late: 0 });
        assert_eq!(tally.of(&bob), Caused { count: 2, cost: 39, too_late: 1 });
        assert_eq!(tally.all().len(), 2);
        assert_eq!(tally.of(&PublicKey([3; 32])), Caused::default());
    }
}
