//! Pre-images that were seen, and that no transfer has asked for yet.

use protocol::contracts::conditional::{HashLock, Preimage};
use std::collections::{HashMap, VecDeque};

/// How many are kept: those of more blocks than are looked at between a node's start and the moment at which it knows all its transfers. About 130 bytes
/// each.
const MOST: usize = 16_384;

/// The last ones, by their locks.
#[derive(Debug, Default)]
pub(super) struct Recent {
    preimages: HashMap<HashLock, Preimage>,
    order: VecDeque<HashLock>,
}

impl Recent {
    pub(super) fn get(&self, lock: &HashLock) -> Option<Preimage> {
        self.preimages.get(lock).copied()
    }

    pub(super) fn keep(&mut self, lock: HashLock, preimage: Preimage) {
        if self.preimages.insert(lock, preimage).is_some() {
            return;
        }
        self.order.push_back(lock);
        if self.order.len() > MOST
            && let Some(oldest) = self.order.pop_front()
        {
            let _forgotten = self.preimages.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::{Hash, contracts::conditional::HashFunction};

    #[test]
    fn the_oldest_gives_way() {
        let mut recent = Recent::default();
        let lock = |of: usize| {
            let mut digest = [0; 32];
            digest[..8].copy_from_slice(&of.to_le_bytes());
            HashLock { function: HashFunction::Sha2_256, digest: Hash(digest) }
        };
        for of in 0..=MOST {
            recent.keep(lock(of), Preimage([1; 32]));
            recent.keep(lock(of), Preimage([1; 32]));
        }
        assert_eq!(recent.get(&lock(0)), None);
        assert!(recent.get(&lock(1)).is_some() && recent.get(&lock(MOST)).is_some());
        assert_eq!((recent.preimages.len(), recent.order.len()), (MOST, MOST));
    }
}
