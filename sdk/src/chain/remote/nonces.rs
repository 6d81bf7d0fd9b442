//! Which nonce the next transaction of an account gets.
//!
//! The chain (or its pool) says which is the lowest that it has not seen. From there on, those are passed over that this process has in
//! flight, and those that another program was met at. Nothing else is remembered, so nothing can drift: a nonce whose transaction was lost is
//! simply the lowest free one again, and fills its own gap.

use protocol::AccountId;
use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Every account that has sent something.
#[derive(Default)]
pub(super) struct Nonces {
    lanes: Mutex<HashMap<AccountId, Arc<Lane>>>,
}

/// One account.
#[derive(Default)]
pub(super) struct Lane {
    /// Signing and sending take turns, so that transactions reach the pool in the order of their nonces.
    pub(super) turn: tokio::sync::Mutex<()>,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    /// No nonce below it can be used any more.
    floor: u64,
    in_flight: BTreeSet<u64>,
    /// In the chain's pool, by another program.
    taken: BTreeSet<u64>,
}

impl Book {
    fn take(&mut self, lowest: u64) -> u64 {
        let from = lowest.max(self.floor);
        self.taken = self.taken.split_off(&from);
        let nonce = (from..=u64::MAX).find(|nonce| !self.in_flight.contains(nonce) && !self.taken.contains(nonce));
        let nonce = nonce.unwrap_or(u64::MAX);
        let _new = self.in_flight.insert(nonce);
        nonce
    }
}

/// A nonce that a transaction is under way with. Dropped, it is free again, unless it was [used](Self::used) or [taken](Self::taken).
pub(super) struct Held {
    lane: Arc<Lane>,
    nonce: u64,
}

impl Nonces {
    pub(super) fn lane(&self, account: AccountId) -> Arc<Lane> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(lanes.entry(account).or_default())
    }
}

impl Lane {
    /// The lowest free nonce, the chain's own answer being `lowest`.
    pub(super) fn take(self: &Arc<Self>, lowest: u64) -> Held {
        let nonce = self.book().take(lowest);
        Held { lane: Arc::clone(self), nonce }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    pub(super) const fn nonce(&self) -> u64 {
        self.nonce
    }

    /// It is in a final block, by whomever.
    pub(super) fn used(self) {
        let mut book = self.lane.book();
        book.floor = book.floor.max(self.nonce.saturating_add(1));
    }

    /// Another program's transaction with this nonce is in the chain's pool.
    pub(super) fn taken(self) {
        let _new = self.lane.book().taken.insert(self.nonce);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _was_there = self.lane.book().in_flight.remove(&self.nonce);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lane() -> Arc<Lane> {
        Nonces::default().lane(AccountId([1; 32]))
    }

    fn take(lane: &Arc<Lane>, lowest: u64) -> Held {
        lane.take(lowest)
    }

    #[test]
    fn many_in_flight_get_nonces_in_a_row() {
        let lane = lane();
        let held: Vec<_> = (0..100).map(|_| take(&lane, 7)).collect();
        let nonces: Vec<_> = held.iter().map(Held::nonce).collect();
        assert_eq!(nonces, (7..107).collect::<Vec<_>>());
    }

    #[test]
    fn a_lost_nonce_is_the_next_ones() {
        let lane = lane();
        let (first, second, third) = (take(&lane, 0), take(&lane, 0), take(&lane, 0));
        drop(second);
        assert_eq!(take(&lane, 0).nonce(), 1, "the gap comes first");
        first.used();
        assert_eq!(third.nonce(), 2);
        assert_eq!(take(&lane, 0).nonce(), 1, "whatever the endpoint says, 0 is used");
    }

    #[test]
    fn another_programs_nonce_is_passed_over_until_the_chain_has_it() {
        let lane = lane();
        let clash = take(&lane, 3);
        clash.taken();
        let next = take(&lane, 3);
        assert_eq!(next.nonce(), 4);
        drop(next);
        assert_eq!(take(&lane, 4).nonce(), 4);
        // A chain that was started anew begins at 0, and remembers no clash above what it says itself.
        assert_eq!(take(&lane, 5).nonce(), 5);
    }

    #[test]
    fn what_another_program_has_sent_moves_everything_on() {
        let lane = lane();
        let ours = take(&lane, 0);
        assert_eq!(take(&lane, 10).nonce(), 10);
        drop(ours);
        assert_eq!(take(&lane, 10).nonce(), 10);
    }

    #[test]
    fn accounts_do_not_share_nonces() {
        let nonces = Nonces::default();
        let (a, b) = (nonces.lane(AccountId([1; 32])), nonces.lane(AccountId([2; 32])));
        let _held = (take(&a, 0), take(&a, 0));
        assert_eq!(take(&b, 0).nonce(), 0);
        assert_eq!(take(&nonces.lane(AccountId([1; 32])), 0).nonce(), 2, "an account keeps its lane");
    }

    proptest! {
        #[test]
        fn no_nonce_is_in_flight_twice_and_none_is_below_what_the_chain_has(steps in prop::collection::vec((0_u8..4, 0_u64..6), 0..60)) {
            let lane = lane();
            let mut held: Vec<Held> = Vec::new();
            let mut chain = 0_u64;
            for (step, number) in steps {
                match step {
                    0 => {
                        let next = take(&lane, chain);
                        prop_assert!(next.nonce() >= chain);
                        prop_assert!(held.iter().all(|other| other.nonce() != next.nonce()));
                        held.push(next);
                    }
                    1 => chain = chain.saturating_add(number),
                    2 => drop(held.pop()),
                    _ => held.drain(..1.min(held.len())).for_each(Held::taken),
                }
            }
        }
    }
}
