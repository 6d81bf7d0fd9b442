//! Blocks that are worth a durable write, and are not noted yet as looked at.

use crate::chain::BlockRef;
use protocol::BlockNumber;
use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

/// They are noted in their order, once everything that came of them is committed.
#[derive(Debug, Default)]
pub(in crate::node) struct Notes(Mutex<VecDeque<BlockRef>>);

impl Notes {
    /// This block is to be noted, once that may be.
    pub(super) fn owe(&self, at: BlockRef) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_back(at);
    }

    /// The block to note, where whatever came of those up to `done` is committed.
    pub(in crate::node) fn due(&self, done: BlockNumber) -> Option<BlockRef> {
        let mut owed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut last = None;
        while let Some(at) = owed.pop_front_if(|at| at.number <= done) {
            last = Some(at);
        }
        last
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::Hash;

    #[test]
    fn of_the_blocks_that_are_done_the_last_one_is_noted_once() {
        let notes = Notes::default();
        for number in [3, 5, 8] {
            notes.owe(BlockRef { number, hash: Hash::ZERO });
        }
        let due = |done| notes.due(done).map(|at| at.number);
        assert_eq!([2, 6, 6, 9].map(due), [None, Some(5), None, Some(8)]);
    }
}
